#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# System calls a request, counted by strace, at 64 connections: a bufferevent echo and an evhttp GET need at most half a
# one. (With a machine of one's own they need 0.05 and 0.06; how much comes together in a turn depends on what else runs.
# A call for every request would be 1.) The servers are those of the benchmarks. For stock the same count is printed
# beside it.
set -eu

bench=$EVU_SRCDIR/tests/bench
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

if [ "${EVU_SANITIZED-}" = yes ]; then
	echo "skipped: a sanitizer makes system calls of its own"
	exit 77
fi
for tool in strace pkg-config; do
	command -v "$tool" >"$work/out" || { echo "skipped: no $tool"; exit 77; }
done
if [ "$(LD_LIBRARY_PATH=$EVU_BUILDDIR/dropin "$EVU_BUILDDIR/examples/which_loop" method)" != io_uring ]; then
	echo "skipped: the bounds are for io_uring"
	exit 77
fi

# build NAME LIBRARIES SOURCE
build()
{
	# shellcheck disable=SC2086 # lists of flags
	(cd "$bench" && $CC -std=gnu11 -O2 -o "$work/$1" "$3" load*.c bench.c $2)
}

# count NAME DIRECTORY [OPTION...]
count()
{
	local name=$1 directory=$2
	shift 2
	env ${directory:+LD_LIBRARY_PATH="$directory"} "$work/$name" --calls --requests 50000 "$@" |
		awk '$1 == "calls" { print $2 }'
}

# at_most BOUND NAME [OPTION...]
at_most()
{
	local bound=$1 name=$2 ours stock
	shift 2
	ours=$(count "$name" "$EVU_BUILDDIR/dropin" "$@")
	stock=$(count "$name" "" "$@")
	echo "$name: ${ours:-no answer} system calls a request, at most $bound; stock: ${stock:-no answer}"
	awk -v n="${ours:-9}" -v bound="$bound" 'BEGIN { exit !(n <= bound) }' || failed=1
}

unset LD_LIBRARY_PATH LD_PRELOAD
build echo "$(pkg-config --libs libevent_core)" bev_echo.c
build http "$(pkg-config --libs libevent_extra libevent_core)" http.c
if ! strace -o "$work/trace" true; then
	echo "skipped: strace may not trace here"
	exit 77
fi
at_most 0.5 echo
at_most 0.5 http --size 128
exit "$failed"
