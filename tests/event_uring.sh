#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The command event-uring: programs that it runs get this library, their arguments and their status are their own, and
# what is wrong is said.
set -eu

unset LD_LIBRARY_PATH LD_PRELOAD
tool=$EVU_BUILDDIR/tools/event-uring
program=$EVU_BUILDDIR/examples/which_loop
dropin=$EVU_BUILDDIR/dropin
export EVENT_URING_DROPIN=$dropin
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# expect STATUS TEXT COMMAND...: the command ends with STATUS, and TEXT is in what it prints on either output.
expect()
{
	local expected=$1 text=$2 status=0
	shift 2
	"$@" >"$work/out" 2>&1 || status=$?
	if [ "$status" != "$expected" ] || ! grep -qF -- "$text" "$work/out"; then
		echo "FAILED: $*: status $status, expected $expected and \"$text\":"
		cat "$work/out"
		failed=1
	fi
}

# Named from inside another directory, as it may be when typed in.
cd "$work"
expect 0 '' "$tool" run "$program" method
method=$(cat "$work/out")
case $method in
io_uring | epoll | poll) echo "which_loop runs on $method" ;;
*) echo "FAILED: which_loop runs on \"$method\"" && failed=1 ;;
esac
if [ "$method" != "$(LD_LIBRARY_PATH=$dropin "$program" method)" ]; then
	echo "FAILED: without the command, on the same library, it runs on something else"
	failed=1
fi

expect 0 "$dropin:/there before" env LD_LIBRARY_PATH='/there before' "$tool" run printenv LD_LIBRARY_PATH
expect 0 '<a b><-c><>' "$tool" run printf '<%s>' 'a b' -c ''
expect 0 '<7><8><9><10>' "$tool" run printf '<%s>' 1 2 3 4 5 6 7 8 9 10
expect 41 'gone' "$tool" run sh -c 'echo gone; exit 41'
expect 127 'no-such-program' "$tool" run no-such-program
expect 0 'usage: event-uring' "$tool" --help
expect 2 'usage: event-uring' "$tool"
expect 2 'usage: event-uring' "$tool" run
expect 2 'usage: event-uring' "$tool" walk "$program"

expect 0 "library: $(readlink -f "$dropin/libevent_core-2.1.so.7")" "$tool" status
expect 0 "=> $dropin/libevent_core-2.1.so.7" "$tool" status "$program"
expect 1 'has no libevent' "$tool" status true
expect 127 'not found' "$tool" status no-such-program

ln -s "$dropin" here
expect 0 "$method" env EVENT_URING_DROPIN=here "$tool" run "$program" method
expect 1 'no such directory' env EVENT_URING_DROPIN=nowhere "$tool" run "$program"
mkdir empty
expect 1 'there is no libevent_core' env EVENT_URING_DROPIN=empty "$tool" run "$program"
mkdir a:b
ln -s "$dropin/libevent_core-2.1.so.7" a:b/
expect 1 'cannot be on a library path' env EVENT_URING_DROPIN=a:b "$tool" run "$program"

# Installed, it knows the directory by itself.
grep -q '@libdir@' "$tool" && echo "FAILED: it does not know its library directory" && failed=1
exit $failed
