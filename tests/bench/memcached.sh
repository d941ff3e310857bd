#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Row 7, first half: Debian's memcached, unmodified, under 64 connections with one request each in
# flight. Prints name and value as the programs do; the client compares every value it gets.
#
#   EVENT_URING_DROPIN=[DIR] memcached.sh BIN_DIR SERVER_CPU CLIENT_CPU REQUESTS

# shellcheck source-path=SCRIPTDIR source=../real/lib.sh
. "$(dirname "$0")/../real/lib.sh"
set -o pipefail
need memcached taskset
bin=$1
mcload=$bin/mcload

start_memcached "$dropin" "$scratch/memcached.log" -- taskset -c "$2" -- -t 4 -m 64 -c 1024
# A first load of a tenth brings the values in and the CPU up to speed.
taskset -c "$3" "$mcload" --port "$server_port" --requests $(($4 / 10)) --set-ratio 1 >/dev/null
before=$("$bin/cputime" "$server_pid")
line=$(taskset -c "$3" "$mcload" --port "$server_port" --requests "$4" | tail -n 1)
after=$("$bin/cputime" "$server_pid")
printf 'method %s\n' "$(method_by_fds "$server_pid")"
printf 'library %s\n' "$(mapped_libevent "$server_pid" | awk '/libevent_uring/ && !ours {ours = $0} !first {first = $0} END {print ours ? ours : first}')"
awk -v ns=$((after - before)) -v n="$(field requests "$line")" -v seconds="$(field seconds "$line")" 'BEGIN {
	printf "cpu_us %.4f\n", ns / 1000 / n
	if (seconds > 0)
		printf "wall_us %.4f\n", seconds * 1e6 / n
}'
