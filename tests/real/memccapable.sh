#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# libmemcached's conformance test of both protocols, against Debian's memcached with four worker
# threads: it passes wholly, and the server then ends cleanly.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need memcached memccapable

start_memcached "$dropin" "$scratch/memcached.log" -- -- -t 4
assert_method "$server_pid" "$(server_user nobody)"

timeout 120 memccapable -h 127.0.0.1 -p "$server_port" -t 10 >"$scratch/memccapable.log" 2>&1 ||
	fail "memccapable, status $?"
grep -q '^All tests passed$' "$scratch/memccapable.log" || fail "memccapable did not pass wholly"
! grep -E '\[(FAIL|fail)\]' "$scratch/memccapable.log" || fail "a test of memccapable failed"
say "$(grep -c '\[pass\]' "$scratch/memccapable.log") tests of memccapable passed"

stop "$server_pid" TERM 10 || fail "memcached does not end on SIGTERM"
[ "$stop_status" -eq 0 ] || fail "memcached ended with status $stop_status"
