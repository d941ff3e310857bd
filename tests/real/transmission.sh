#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Two of Debian's transmission-daemons on 127.0.0.1: one seeds a file of 64 MB (another number of
# megabytes: first argument, or TORRENT_MEGABYTES), the other fetches it, loses its peer by a reset
# on the way and goes on; the copies are equal. Meanwhile and afterwards the daemons answer on their
# RPC port, which is evhttp: to transmission-remote, and to curl asking by hand, with a large
# request, for large files, and without a right to. The torrents come by RPC to the one and through
# a watched directory to the other, which reads inotify's descriptor with a bufferevent.
#
# Nothing here leaves the machine: no tracker, no DHT, no peer exchange, no local discovery, no port
# forwarding; tests/real/btrelay.py introduces the two.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
[ "${EVU_SANITIZED-}" != yes ] ||
	skip "under AddressSanitizer the daemon does not end, on stock either: a destructor of libp11-kit waits for ever"
need transmission-daemon transmission-create transmission-remote transmission-show python3 curl
megabytes=${1:-${TORRENT_MEGABYTES:-64}}

user=$(id -un)
export HOME=$scratch TRANSMISSION_HOME=
unset TRANSMISSION_HOME TRANSMISSION_WEB_HOME http_proxy HTTP_PROXY all_proxy ALL_PROXY
declare -A pid=() rpc=() peer=()

# ---- the daemons ----

configure()
{
	mkdir -p "$scratch/$1/config" "$scratch/$1/files" "$scratch/$1/watched"
	cat >"$scratch/$1/config/settings.json" <<-CONF
		{
			"bind-address-ipv4": "127.0.0.1",
			"bind-address-ipv6": "::1",
			"blocklist-enabled": false,
			"dht-enabled": false,
			"download-dir": "$scratch/$1/files",
			"encryption": 0,
			"incomplete-dir-enabled": false,
			"lpd-enabled": false,
			"peer-port": ${peer[$1]},
			"peer-port-random-on-start": false,
			"pex-enabled": false,
			"port-forwarding-enabled": false,
			"rpc-bind-address": "127.0.0.1",
			"rpc-enabled": true,
			"rpc-port": ${rpc[$1]},
			"rpc-whitelist": "127.0.0.1",
			"rpc-whitelist-enabled": true,
			"utp-enabled": false,
			"watch-dir": "$scratch/$1/watched",
			"watch-dir-enabled": true
		}
	CONF
}

both_listen()
{
	! running "$server_pid" || { port_open "${rpc[$1]}" && port_open "${peer[$1]}"; }
}

launch()
{
	local name=$1 try
	for try in 1 2 3 4 5; do
		rpc[$name]=$(free_port)
		peer[$name]=$(free_port)
		configure "$name"
		start "$dropin" "$scratch/$name.log" "$(program transmission-daemon)" -f \
			-g "$scratch/$name/config"
		wait_until 30 both_listen "$name" || fail "$name does not listen"
		! running "$server_pid" || break
		say "$name did not start on ports ${rpc[$name]} and ${peer[$name]} (attempt $try)" >&2
	done
	pid[$name]=$server_pid
	running "$server_pid" || fail "$name does not start"
	assert_method "$server_pid" "$user"
}

# remote NAME OPTION...: transmission-remote is a libevent program as well, and stays on stock.
remote()
{
	local port=${rpc[$1]}
	shift
	timeout 30 transmission-remote "127.0.0.1:$port" "$@"
}

percent() { remote "$1" -t 1 -i | sed -n 's/^ *Percent Done: *//p'; }
percent_is() { [ "$(percent "$1")" = "$2" ]; }
has_torrents() { [ "$(remote "$1" -l | grep -c '^ *[0-9]')" -eq "$2" ]; }
# Sockets and files of torrents; what else a daemon has it opens when it gets round to it.
fds() { find "/proc/${pid[$1]}/fd" \( -lname 'socket:*' -o -lname "$scratch/$1/files/*" \) | wc -l; }
fds_at_most() { [ "$(fds "$1")" -le "$2" ]; }

# ---- RPC by hand ----

ask() { curl -q -sS --max-time 30 --noproxy '*' "$@"; }
rpc_url() { printf 'http://127.0.0.1:%s/transmission/%s\n' "${rpc[$1]}" "$2"; }

# Without the session's id the answer is 409, and names it.
session_id()
{
	ask -o /dev/null -D - -X POST -d '{}' "$(rpc_url "$1" rpc)" | tr -d '\r' >"$scratch/$1.head"
	head -n 1 "$scratch/$1.head" | grep -q '^HTTP/1.1 409 ' || fail "$1: no 409 without an id"
	sed -n 's/^X-Transmission-Session-Id: *//p' "$scratch/$1.head"
}

# call NAME BODY: BODY is as curl's --data-binary wants it.
call()
{
	ask -H "X-Transmission-Session-Id: $(session_id "$1")" --data-binary "$2" "$(rpc_url "$1" rpc)"
}

# value EXPRESSION: of the answer on standard input, as Python sees it.
value() { python3 -c "import json, sys; r = json.load(sys.stdin); print($1)"; }

check_rpc()
{
	local name=$1 answer code
	answer=$(call "$name" '{"method": "session-get", "tag": 39}' |
		value 'r["result"], r["tag"], r["arguments"]["peer-port"]')
	[ "$answer" = "success 39 ${peer[$name]}" ] || fail "$name: session-get: $answer"
	code=$(ask -o /dev/null -w '%{http_code}' "$(rpc_url "$name" web/no-such-file)")
	[ "$code" = 404 ] || fail "$name: $code for what is not there"
	code=$(ask -o /dev/null -w '%{http_code}' -X DELETE "$(rpc_url "$name" rpc)")
	case $code in 4?? | 501) ;; *) fail "$name: $code for DELETE" ;; esac
	# Several requests on one connection.
	ask -o /dev/null -o /dev/null -o /dev/null -w '%{num_connects} %{http_code}\n' \
		"$(rpc_url "$name" web/)" "$(rpc_url "$name" web/)" "$(rpc_url "$name" web/)" \
		>"$scratch/$name.codes"
	[ "$(sort "$scratch/$name.codes" | uniq -c | tr -s ' ' | tr '\n' ';')" = ' 2 0 200; 1 1 200;' ] ||
		fail "$name: three requests on a connection: $(cat "$scratch/$name.codes")"
}

# The files of the web client, plain and compressed, as they are on the disk.
check_web()
{
	local name=$1 web=/usr/share/transmission/web file count=0
	while read -r file; do
		ask -o "$scratch/got" "$(rpc_url "$name" "web/$file")"
		cmp "$web/$file" "$scratch/got" || fail "$name: $file is not what was served"
		ask --compressed -o "$scratch/got" "$(rpc_url "$name" "web/$file")"
		cmp "$web/$file" "$scratch/got" || fail "$name: $file, compressed, is not what was served"
		count=$((count + 1))
	done < <(cd "$web" 2>/dev/null && find . -type f \( -name '*.html' -o -name '*.js' -o \
		-name '*.css' -o -name '*.png' \) -printf '%P\n')
	say "$count files of the web client"
}

# ---- the torrent ----

seed=$scratch/seed/files/data.bin
launch seed
launch leech
fds_before=$(fds leech)
head -c $((megabytes * 1024 * 1024)) /dev/urandom >"$seed"
transmission-create -s 64 -o "$scratch/data.torrent" "$seed" >"$scratch/create.log" 2>&1 ||
	fail "transmission-create"
info_hash=$(transmission-show "$scratch/data.torrent" | sed -n 's/^ *Hash: *//p')

say "a torrent by RPC, one through a watched directory"
printf '{"method": "torrent-add", "arguments": {"metainfo": "%s"}}' \
	"$(base64 -w 0 "$scratch/data.torrent")" >"$scratch/add.json"
[ "$(call seed "@$scratch/add.json" | value 'r["arguments"]["torrent-added"]["hashString"]')" = \
	"$info_hash" ] || fail "torrent-add"
# In one step, so that it is not read half written.
cp "$scratch/data.torrent" "$scratch/leech/data.part"
mv "$scratch/leech/data.part" "$scratch/leech/watched/data.torrent"
find "/proc/${pid[leech]}/fd" -mindepth 1 -lname 'anon_inode:inotify' | grep -q . ||
	fail "the directory is not watched with inotify"
wait_until 30 has_torrents leech 1 || fail "the watched directory was not looked at"
wait_until 60 percent_is seed 100% || fail "the seed has $(percent seed)"
percent_is leech 0.0% || percent_is leech 0% || fail "the leech begins with $(percent leech)"

# relay NAME [CUT_BYTES]
relay()
{
	local name=$1
	shift
	timeout 300 python3 "$real_dir/btrelay.py" "${peer[seed]}" "${peer[leech]}" "$info_hash" "$@" \
		>"$scratch/$name.out" 2>"$scratch/$name.log" &
	relay=$!
	children+=("$relay")
}

say "the exchange, cut by a reset"
relay cut $((megabytes * 1024 * 1024 / 8))
wait "$relay" || fail "the first relay: status $?"
say "$(cat "$scratch/cut.out")"
# They notice, each when it next has to do with its peer.
peers() { remote "$1" -t 1 -ip | grep -c '^127' || true; }
no_peers() { [ "$(peers seed)" = 0 ] && [ "$(peers leech)" = 0 ]; }
wait_until 60 no_peers || fail "peers that were reset stay: $(peers seed), $(peers leech)"
! percent_is leech 100% || fail "the leech has all of it already"
check_rpc leech

say "the exchange, to the end"
relay rest
answers=0
until percent_is leech 100%; do
	running "$relay" || fail "the peers parted at $(percent leech)"
	check_rpc seed
	answers=$((answers + 1))
	[ "$SECONDS" -lt 280 ] || fail "the leech has only $(percent leech)"
done
cmp "$seed" "$scratch/leech/files/data.bin" || fail "the copies differ"
remote leech -l | grep -q '^ *1 *100% ' || fail "the list is $(remote leech -l)"
say "$(du -m "$seed" | cut -f 1) MB are equal; RPC answered $answers times meanwhile"

# ---- the daemons by themselves ----

for name in seed leech; do
	check_rpc "$name"
	check_web "$name"
	assert_idle "${pid[$name]}"
done
[ "$(call leech '{"method": "torrent-get", "arguments": {"fields": ["pieces", "percentDone"]}}' |
	value 'r["arguments"]["torrents"][0]["percentDone"]')" = 1 ] || fail "torrent-get"
remote leech -t 1 --verify >/dev/null
wait_until 60 percent_is leech 100% || fail "verified, the leech has $(percent leech)"

kill "$relay" 2>/dev/null || true
wait_until 20 stopped "$relay" || fail "the relay stays"
wait_until 60 no_peers || fail "peers that closed stay"
remote leech -t 1 --remove-and-delete >/dev/null
wait_until 30 has_torrents leech 0 || fail "the torrent stays"
wait_until 30 fds_at_most leech "$fds_before" || fail "$(fds leech) descriptors, $fds_before before"

for name in leech seed; do
	stop "${pid[$name]}" TERM 30 || fail "$name does not end on SIGTERM"
	[ "$stop_status" -eq 0 ] || fail "$name ended with status $stop_status"
done
