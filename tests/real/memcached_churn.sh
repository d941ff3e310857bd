#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Debian's memcached under clients that do not behave: 256 connections that come and go, values of
# nearly 1 MB, and clients that vanish by reset, half way through a value that they store or that
# they are being sent. All the while every value got is compared with what was stored. Afterwards
# well-behaved clients are served, nothing of the vanished ones is left in the server, it is idle
# when nobody asks, and SIGTERM ends it in the middle of a load.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need memcached
find_mcload .

# load_start NAME OPTION...: one client in the background, its pid in client; its one line of result
# goes to NAME.out.
load_start()
{
	local name=$1
	shift
	timeout 180 "$mcload" --port "$server_port" "$@" \
		>"$scratch/$name.out" 2>>"$scratch/$name.log" &
	client=$!
	children+=("$client")
}

fds() { find "/proc/$server_pid/fd" -mindepth 1 | wc -l; }
connections_at_most() { [ "$(memcached_stat "$server_port" curr_connections)" -le "$1" ]; }
fds_at_most() { [ "$(fds)" -le "$1" ]; }

start_memcached "$dropin" "$scratch/memcached.log" -- -- -t 4 -m 1024 -c 2048
assert_method "$server_pid" "$(server_user nobody)"
connections_before=$(memcached_stat "$server_port" curr_connections)
fds_before=$(fds)

say "256 connections come and go, 16 move large values and vanish"
load_start small --connections 256 --requests 60000 --churn 5 --value-size 1-64:4,1000-20000:2 \
	--verify --seed 7
small=$client
load_start large --connections 16 --requests 1500 --churn 10 --large --keys 2 --set-ratio 0.3 \
	--verify --seed 8
large=$client
wait "$small" || fail "the client with small values: status $?"
wait "$large" || fail "the client with large values: status $?"
say "$(cat "$scratch/small.out")"
say "$(cat "$scratch/large.out")"

say "the server goes on serving"
load_start after --connections 256 --requests 20000 --depth 4 --verify --seed 9
wait "$client" || fail "clients after the churn: status $?"
say "$(cat "$scratch/after.out")"
wait_until 20 connections_at_most "$connections_before" ||
	fail "connections left over: $(memcached_stat "$server_port" curr_connections)," \
		"$connections_before before"
wait_until 20 fds_at_most "$fds_before" || fail "$(fds) descriptors, $fds_before before"
assert_idle "$server_pid"

say "SIGTERM under load"
load_start term --connections 64 --requests 100000000 --timeout 10
term=$client
served=$(memcached_stat "$server_port" cmd_get)
more_served() { [ "$(memcached_stat "$server_port" cmd_get)" -gt $((served + 1000)) ]; }
wait_until 20 more_served || fail "the last load was not served"
stop "$server_pid" TERM 10 || fail "memcached does not end on SIGTERM under load"
[ "$stop_status" -eq 0 ] || fail "memcached ended with status $stop_status"
wait_until 30 stopped "$term" || fail "the client outlived the server"
wait "$term" || true
[ "$(field mismatches "$(cat "$scratch/term.out")")" = 0 ] || fail "values differed at the end"
