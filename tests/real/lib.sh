# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What the tests with real programs share: skipping and failing, a scratch directory, free ports,
# starting and stopping servers by pid, waiting for a state, and reading from a running process
# which libevent it has mapped and by which method it waits.
#
# Sourced by bash. Exit status as the automake harness wants it: 0, 1 = failed, 77 = skipped.
#
# EVENT_URING_DROPIN  directory with libevent-2.1.so.7 and libevent_core-2.1.so.7 of this project;
#                     unset = the programs run on the stock libevent
# MCLOAD              the load client, when it is not where the build puts it
#
# Traps: kill -0 also succeeds for a child that ended and was not waited for, so running() asks
# /proc; a server that drops root keeps its pid, as setpriv does (runuser and su need not); ports are
# taken from below the kernel's ephemeral range, so that no client's own port collides with them.

# shellcheck disable=SC2034 # variables set here are read by the scripts that source this file

set -eu

real_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
test_name=$(basename "$0" .sh)
dropin=${EVENT_URING_DROPIN:+$(realpath "$EVENT_URING_DROPIN")}
server_pid=
stop_status=
declare -a children=()

say() { printf '%s: %s\n' "$test_name" "$*"; }

skip()
{
	say "skipped: $*"
	exit 77
}

fail()
{
	say "FAILED: $*" >&2
	exit 1
}

# Where PROGRAM is; also looks where Debian keeps what only an administrator runs.
program() { PATH=$PATH:/usr/sbin:/sbin command -v "$1"; }

need()
{
	local p
	for p in "$@"; do
		program "$p" >/dev/null || skip "$p is not installed"
	done
}

# The loader would take the stock library in silence.
[ -z "$dropin" ] || [ -e "$dropin/libevent-2.1.so.7" ] ||
	fail "there is no $dropin/libevent-2.1.so.7"

# ---- scratch directory, and leaving nothing behind ----

# Short, because unix sockets live in it; open to the users that the servers become.
scratch=$(mktemp -d /tmp/evu-real.XXXXXX)
chmod 755 "$scratch"

running()
{
	local state
	[ -r "/proc/$1/status" ] || return 1
	state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null) || return 1
	[ -n "$state" ] && [ "$state" != Z ] && [ "$state" != X ]
}

stopped() { ! running "$1"; }

# wait_until SECONDS COMMAND...: run it again and again until it succeeds.
wait_until()
{
	local end=$((SECONDS + $1 + 1))
	shift
	until "$@"; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.05
	done
}

# Ask with ever less patience; QUIT is PostgreSQL's "at once, but take the children along".
end_child()
{
	local signal
	for signal in TERM QUIT KILL; do
		running "$1" || return 0
		kill -"$signal" "$1" 2>/dev/null || true
		wait_until 5 stopped "$1" && return 0
	done
	return 0
}

cleanup()
{
	local status=$? i
	trap - EXIT INT TERM HUP
	set +e
	for ((i = ${#children[@]} - 1; i >= 0; i--)); do
		end_child "${children[i]}"
	done
	if [ "$status" -ne 0 ] && [ "$status" -ne 77 ]; then
		local log
		for log in "$scratch"/*.log; do
			[ -s "$log" ] || continue
			printf -- '--- the last lines of %s ---\n' "${log##*/}" >&2
			tail -n 20 "$log" >&2
		done
	fi
	rm -rf "$scratch"
	exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# ---- ports, and a word with a text server ----

port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_port()
{
	local port
	while :; do
		port=$((10000 + RANDOM % 20000))
		port_open "$port" || break
	done
	printf '%s\n' "$port"
}

# memcached_stat PORT NAME: one value of its statistics.
memcached_stat()
{
	local word key value
	exec 4<>"/dev/tcp/127.0.0.1/$1" || return 1
	printf 'stats\r\nquit\r\n' >&4
	while read -r -t 10 word key value <&4 && [ "$word" = STAT ]; do
		[ "$key" != "$2" ] || printf '%s\n' "${value%$'\r'}"
	done
	exec 4>&-
}

# ---- users ----

# server_user NAME...: the user that servers run as, the first of these that exists; they refuse to
# be root, and without root there is no choice.
server_user()
{
	local name
	if [ "$(id -u)" -ne 0 ]; then
		id -un
		return
	fi
	for name in "$@"; do
		if id "$name" >/dev/null 2>&1; then
			printf '%s\n' "$name"
			return
		fi
	done
	fail "none of these users exists: $*"
}

# as USER COMMAND...: replaces the (sub)shell; the pid stays.
as()
{
	local user=$1
	shift
	if [ "$(id -un)" = "$user" ]; then
		exec "$@"
	else
		exec setpriv --reuid "$user" --regid "$(id -g "$user")" --init-groups "$@"
	fi
}

# ---- starting and stopping ----

# The environment that puts a program on the library at directory $1 (empty: on the stock one).
# A library built with a sanitizer needs its runtime first in the process.
library_env()
{
	local runtime
	[ -n "$1" ] || return 0
	printf 'LD_LIBRARY_PATH=%s\n' "$1${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
	runtime=$(ldd "$1/libevent_core-2.1.so.7" | sed -n 's/.*=> \(.*lib[at]san\.so[^ ]*\).*/\1/p')
	[ -z "$runtime" ] || printf '%s\n' "LD_PRELOAD=$runtime" \
		"ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"
}

# start LIBRARY_DIR LOG COMMAND...: in the background; its pid is in server_pid.
start()
{
	local -a env
	local log=$2
	mapfile -t env < <(library_env "$1")
	shift 2
	env "${env[@]}" "$@" >>"$log" 2>&1 </dev/null &
	server_pid=$!
	children+=("$server_pid")
}

# stop PID SIGNAL SECONDS: its exit status is in stop_status; fails when it does not end in time.
stop()
{
	local child rest=()
	kill -"$2" "$1" 2>/dev/null || true
	wait_until "$3" stopped "$1" || return 1
	stop_status=0
	wait "$1" || stop_status=$?
	for child in "${children[@]}"; do
		[ "$child" = "$1" ] || rest+=("$child")
	done
	children=(${rest[@]+"${rest[@]}"})
}

# True when the server listens, or when it has ended and never will.
listens_or_ended() { port_open "$2" || ! running "$1"; }

# start_memcached LIBRARY_DIR LOG [-- PREFIX...] [-- OPTION...]: on a port of its own, left in
# server_port. PREFIX is what runs it, such as taskset.
start_memcached()
{
	local dir=$1 log=$2 try
	local -a prefix=() become=()
	shift 2
	if [ "${1:-}" = -- ]; then
		shift
		while [ $# -gt 0 ] && [ "$1" != -- ]; do
			prefix+=("$1")
			shift
		done
		[ $# -eq 0 ] || shift
	fi
	[ "$(id -u)" -ne 0 ] || become=(-u nobody)
	for try in 1 2 3 4 5; do
		server_port=$(free_port)
		start "$dir" "$log" ${prefix[@]+"${prefix[@]}"} "$(program memcached)" \
			${become[@]+"${become[@]}"} -l 127.0.0.1 -p "$server_port" -U 0 "$@"
		wait_until 20 listens_or_ended "$server_pid" "$server_port" ||
			fail "memcached does not listen"
		! running "$server_pid" || return 0
		say "memcached did not start on port $server_port (attempt $try)" >&2
	done
	fail "memcached does not start"
}

# ---- what a running process is on ----

# Files of libevent, or of this project's library, that the process has mapped.
mapped_libevent()
{
	awk '$6 ~ /\/libevent[^\/]*$/ && !seen[$6]++ {print $6}' "/proc/$1/maps"
}

# The method by the kind of descriptor that the process waits on. Who has io_uring may have an epoll set beside it.
method_by_fds()
{
	local fd target uring='' epoll=''
	for fd in "/proc/$1/fd"/*; do
		target=$(readlink "$fd") || continue
		case $target in
		'anon_inode:[io_uring]') uring=io_uring ;;
		'anon_inode:[eventpoll]') epoll=epoll ;;
		esac
	done
	epoll=${epoll:-poll}
	printf '%s\n' "${uring:-$epoll}"
}

# What the library said it uses (EVENT_SHOW_METHOD=1), read from the server's log.
method_by_word()
{
	local said
	said=$(sed -n 's/.*libevent using: *\([a-z_]*\).*/\1/p' "$1" | sort -u | tr '\n' ' ')
	said=${said% }
	printf '%s\n' "${said:--}"
}

# Whether USER may make an io_uring here; when not, the reason goes to standard output.
io_uring_allowed()
{
	local why
	# shellcheck disable=SC2016 # the dollars are Perl's
	if why=$(as "$1" perl -e '
		my $params = "\0" x 120;
		my $fd = syscall(425, 4, $params);
		if ($fd < 0) { print "$!"; exit 1 }' 2>&1); then
		return 0
	fi
	printf 'io_uring_setup: %s; kernel.io_uring_disabled=%s\n' "$why" \
		"$(cat /proc/sys/kernel/io_uring_disabled 2>/dev/null || echo '(not there)')"
	return 1
}

# expected_method LIBRARY_DIR USER: what the environment and the kernel leave to choose.
expected_method()
{
	if [ -n "$1" ] && [ -z "${EVENT_NOIO_URING+set}" ] && io_uring_allowed "$2" >/dev/null; then
		echo io_uring
	elif [ -z "${EVENT_NOEPOLL+set}" ]; then
		echo epoll
	else
		echo poll
	fi
}

# The mapped libevent is the one of LIBRARY_DIR, and no other core beside it.
library_is()
{
	local dir=$2 core='' file
	[ -z "$dir" ] || core=$(realpath "$dir/libevent_core-2.1.so.7")
	[ -z "$dir" ] || dir=$(realpath "$dir")
	local found=''
	while read -r file; do
		case ${file##*/} in
		libevent_uring*) [ "$file" = "$core" ] || return 1 ;;
		libevent-2.1.so* | libevent_core-2.1.so*)
			[ -z "$dir" ] || [ "${file%/*}" = "$dir" ] || [ "$file" = "$core" ] || return 1 ;;
		*) continue ;;
		esac
		[ -n "$dir" ] && [ "$file" != "$core" ] || found=1
	done < <(mapped_libevent "$1")
	[ -n "$found" ]
}

# assert_method PID USER: the server runs on the library and by the method that this run is about.
assert_method()
{
	local expected method
	expected=$(expected_method "$dropin" "$2")
	library_is "$1" "$dropin" ||
		fail "on the wrong library: $(mapped_libevent "$1" | tr '\n' ' ')"
	method=$(method_by_fds "$1")
	[ "$method" = "$expected" ] || fail "waits by $method, expected $expected"
	if [ -n "$dropin" ]; then
		say "on libevent-uring, method $method"
	else
		say "on stock libevent, method $method"
	fi
}

# CPU time of all threads, in ns.
cpu_ns() { cat /proc/"$1"/task/*/schedstat 2>/dev/null | awk '{n += $1} END {printf "%.0f\n", n}'; }

# A server with nothing to do does nothing: less than a tenth of one CPU.
assert_idle()
{
	local before after
	before=$(cpu_ns "$1")
	sleep 1
	after=$(cpu_ns "$1")
	[ $((after - before)) -lt 100000000 ] ||
		fail "the idle server burned $(((after - before) / 1000000)) ms of CPU in a second"
}

# ---- the load client ----

# find_mcload BUILD_DIR: found, or compiled; its path is in mcload.
find_mcload()
{
	local candidate
	for candidate in "${MCLOAD:-}" "$1/tests/real/mcload"; do
		if [ -n "$candidate" ] && [ -x "$candidate" ]; then
			mcload=$(realpath "$candidate")
			return
		fi
	done
	command -v "${CC:-cc}" >/dev/null || skip "mcload is not built and there is no compiler"
	mcload=$scratch/mcload
	"${CC:-cc}" -O2 -std=gnu11 -o "$mcload" "$real_dir/mcload.c"
}

# field NAME LINE: the value of NAME=value.
field() { sed -n "s/.*[[:space:]]$1=\([^[:space:]]*\).*/\1/p" <<<"$2"; }
