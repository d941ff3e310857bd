# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # the variables are those of tests/bench/run, which reads this file
#
# The rows: which programs, which peers, how much work, and what the report is to ask of them.

# A whole case: METRIC is the one shown while it runs; the peers are a list in $peers.
measure() { # ROW CASE METRIC COMMAND ARGUMENT...
	local round
	for ((round = 1; round <= rounds; round++)); do
		measure_round "$round" "$@" || return 0
	done
}

# A whole case in which each round is several short runs of all peers in turn; a peer's value is the median of them:
# for times, which a host that takes the CPUs away now and then falsifies in most of the longer runs. A first look has
# no time for that.
slices=5
[ "$quick" = no ] || slices=1

measure_slices() { # ROW CASE METRIC COMMAND ARGUMENT...
	local whole=$tsv
	local rounds=$((rounds * slices)) tsv=$out/slices.tsv
	: >"$tsv"
	measure "$@"
	awk -F '\t' -v OFS='\t' -v slices="$slices" '
		function put(key,    i, j, x, list) {
			n = split(values[key], list, " ")
			for (i = 2; i <= n; i++) {
				x = list[i]
				for (j = i - 1; j >= 1 && list[j] + 0 > x + 0; j--)
					list[j + 1] = list[j]
				list[j + 1] = x
			}
			print key, n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
		}
		{
			key = $1 OFS $2 OFS int(($3 - 1) / slices) + 1 OFS $4 OFS $5
			if (!(key in values))
				keys[++n_keys] = key
			values[key] = values[key] " " $6
		}
		END {
			for (k = 1; k <= n_keys; k++)
				put(keys[k])
		}' "$tsv" >>"$whole"
	rm -f "$tsv"
}

# The rows of load.h: echo's connections, or evhttp's.
load() { # ROW CASE METRIC PROGRAM ARGUMENT...
	measure "$@" --server-cpu "$cpu_server" --client-cpu "$cpu_client"
}

# For what takes long, or varies little: bytes, system calls, a curve. The caller has a `rounds` of its own.
few_rounds() {
	[ "$rounds" -le 3 ] || rounds=3
}

row_1() {
	peers="stock io_uring readiness raw-epoll $raw_uring"
	show 1 tcp cpu_us us 1.5 - "bufferevent echo, TCP, 64 B x 64: a request"
	show 1 tcp p50_us us - - "bufferevent echo, TCP, 64 B x 64: p50"
	limit 1 tcp cpu_us raw-io_uring 1.05 "bufferevent echo, TCP, 64 B x 64"
	load 1 tcp cpu_us echo --requests $((150000 / share))
}

row_2() {
	peers="stock io_uring readiness raw-epoll $raw_uring"
	show 2 unix cpu_us us 1.9 - "bufferevent echo, AF_UNIX, 64 B x 64: a request"
	load 2 unix cpu_us echo --unix --requests $((250000 / share))
}

row_3() {
	peers="stock io_uring readiness raw-epoll $raw_uring"
	show 3 16k cpu_us us 6 - "bufferevent echo, 16 KiB x 64: a request"
	limit 3 16k cpu_us raw 1.3 "bufferevent echo, 16 KiB x 64"
	load 3 16k cpu_us echo --size 16384 --requests $((25000 / share))
	show 3 64k cpu_us us 8 - "bufferevent echo, 64 KiB x 4: a request"
	limit 3 64k cpu_us raw 1.3 "bufferevent echo, 64 KiB x 4"
	load 3 64k cpu_us echo --size 65536 --connections 4 --requests $((10000 / share))
}

row_4() {
	peers="stock io_uring readiness"
	show 4 http cpu_us us 2.0 - "evhttp GET, 128 B x 64, kept alive: a request"
	show 4 http p50_us us - - "evhttp GET, 128 B x 64, kept alive: p50"
	load 4 http cpu_us http --size 128 --requests $((100000 / share))
}

# Throughput is told as time on the wall, so that less is better here too.
#
# By Little's law requests in flight = throughput x time in the server. 64 connections with 16 each are 1,024 in
# flight: half of them answered within 1 ms would be over 1,000,000 requests a second, more than any server here
# does on one CPU. So the bound of the median is asked of 4 connections, where 64,000 a second meet it, and where
# a reply that waits for a delayed acknowledgement shows as 40 ms all the same.
row_5() {
	peers="stock io_uring readiness"
	show 5 pipelined wall_us us 8 - "evhttp GET, 64 x 16 pipelined, Nagle: time a request"
	show 5 pipelined p50_us us - - "evhttp GET, 64 x 16 pipelined, Nagle: p50"
	show 5 pipelined cpu_us us - - "evhttp GET, 64 x 16 pipelined, Nagle: a request"
	load 5 pipelined wall_us http --size 128 --depth 16 --nagle --requests $((40960 / share))
	show 5 pipelined-4 p50_us us "<1000" - "evhttp GET, 4 x 16 pipelined, Nagle: p50"
	show 5 pipelined-4 wall_us us - - "evhttp GET, 4 x 16 pipelined, Nagle: time a request"
	load 5 pipelined-4 p50_us http --size 128 --connections 4 --depth 16 --nagle --requests $((2560 / share))
}

row_6() {
	peers="stock io_uring readiness raw-epoll $raw_uring"
	show 6 depth-16 cpu_us us 1.4 - "bufferevent echo, TCP, 64 B x 64 x 16: a request"
	load 6 depth-16 cpu_us echo --depth 16 --requests $((2000000 / share))
}

row_7() {
	peers="stock io_uring readiness"
	show 7 memcached cpu_us us 1.03 - "memcached, 64 connections: a request"
	measure 7 memcached cpu_us memcached.sh $((100000 / share))
	show 7 pgbouncer cpu_us us 1.03 - "pgbouncer, 64 clients: a transaction"
	measure 7 pgbouncer cpu_us pgbouncer.sh $((300 / share))
}

row_8() {
	local active need
	peers="stock io_uring readiness $libev raw-epoll $raw_uring"
	for active in 1 8 64 100; do
		case $active in
		1) need=- ;;
		100) need=1.3 ;;
		*) need=1.0 ;;
		esac
		show 8 "$active-active" cpu_ns ns "$need" - "chain of 1,000, $active active: an event"
		measure 8 "$active-active" cpu_ns chain --cpu "$cpu_server" --active "$active" \
			--events $((200000 / share))
	done
}

row_9() {
	peers="stock io_uring readiness $libev"
	show 9 cascade cpu_ns ns 1.5 - "cascade of 1,000, with timeouts: a hop"
	measure 9 cascade cpu_ns cascade --cpu "$cpu_server" --hops $((100000 / share))
}

timer_lines() { # CASE NEED TEXT
	show 10 "$1" readd_ns ns "$2" - "timers, $3: re-add"
	show 10 "$1" loop_ns ns "$2" - "timers, $3: re-add in a callback"
	show 10 "$1" warm_ns ns "$2" - "timers, $3: ... with the event cached"
	show 10 "$1" mixed_ns ns "$2" - "timers, $3: ... one in ten earlier"
	show 10 "$1" worst_ns ns - - "timers, $3: re-add, at worst"
	show 10 "$1" add_ns ns - - "timers, $3: first add"
	show 10 "$1" del_ns ns - - "timers, $3: del"
	show 10 "$1" expire_ns ns - - "timers, $3: fire"
}

row_10() {
	local readds=$((1000000 / share)) rounds=$rounds
	peers="stock io_uring readiness $libev"
	timer_lines 1e5 20 "1e5 pending"
	measure 10 1e5 readd_ns timers --cpu "$cpu_server" --pending 100000 --readds "$readds"
	timer_lines 1e6 10 "1e6 pending"
	measure 10 1e6 readd_ns timers --cpu "$cpu_server" --pending 1000000 --readds "$readds"
	[ "$quick" = no ] || return 0
	if [ "$(awk '/^MemAvailable:/ {print int($2 / 1e6)}' /proc/meminfo)" -lt 4 ]; then
		note "1e7 timers need 4 GB of memory: left out"
		return
	fi
	few_rounds
	timer_lines 1e7 6 "1e7 pending"
	measure 10 1e7 readd_ns timers --cpu "$cpu_server" --pending 10000000 --readds "$readds"
}

row_11() {
	local connections=$((15000 / share))
	peers="stock io_uring readiness raw-epoll $raw_uring"
	show 11 reset cpu_us us 1.4 - "$connections connections, taken, then reset: each"
	show 11 reset open_us us - - "$connections connections: taking one"
	load 11 reset cpu_us echo --kind reset --connections "$connections"
	show 11 close cpu_us us 1.4 - "$connections connections, taken, then closed: each"
	load 11 close cpu_us echo --kind churn --connections "$connections"
}

row_12() {
	local connections=$((15000 / share)) rounds=$rounds
	few_rounds
	# Bytes hardly vary, and three seconds go by before they are counted.
	[ "$quick" = no ] || rounds=1
	peers="stock io_uring readiness raw-epoll $raw_uring"
	show 12 idle user_B B 3.5 - "$connections idle bufferevents: user space, each"
	if [ -r /proc/slabinfo ]; then
		show 12 idle kernel_B B - - "$connections idle bufferevents: kernel, each"
		show 12 idle total_B B "<4350" - "$connections idle bufferevents: both, each"
	else
		note "what idle connections occupy in the kernel is in /proc/slabinfo, which only root may read"
	fi
	load 12 idle user_B echo --kind idle --connections "$connections"
}

row_13() {
	peers="stock io_uring readiness raw-epoll $raw_uring raw-spin"
	show 13 ping-pong p50_us us 0.95 1.0 "ping-pong, 1 connection: p50"
	show 13 ping-pong p99_us us 0.95 1.0 "ping-pong, 1 connection: p99"
	show 13 ping-pong p99_all_us us - - "ping-pong, 1 connection: p99, stalls too"
	show 13 ping-pong cpu_us us - - "ping-pong, 1 connection: server CPU"
	measure_slices 13 ping-pong p50_us pingpong --server-cpu "$cpu_server" \
		--client-cpu "$cpu_client" --rounds $((20000 / share / slices))
	# Stock knows nothing of the variable.
	peers="stock io_uring readiness"
	show 13 spin p50_us us 2.2 - "ping-pong, EVENT_URING_SPIN=100: p50"
	show 13 spin p99_us us - - "ping-pong, EVENT_URING_SPIN=100: p99"
	show 13 spin cpu_us us - - "ping-pong, EVENT_URING_SPIN=100: server CPU"
	export EVENT_URING_SPIN=100
	measure 13 spin p50_us pingpong --server-cpu "$cpu_server" \
		--client-cpu "$cpu_client" --rounds $((20000 / share))
	unset EVENT_URING_SPIN
}

row_14() {
	local rounds=$rounds
	few_rounds
	peers="stock io_uring readiness raw-epoll $raw_uring"
	show 14 echo calls "" 100 - "system calls a request, echo of row 1"
	load 14 echo calls echo --calls --requests $((10000 / share))
	# Not under strace, where turns take longer and bring more together.
	show 14 live calls "" - - "system calls a request, echo of row 1, at full speed"
	load 14 live calls echo --calls --live --requests $((100000 / share))
	peers="stock io_uring readiness"
	show 14 http calls "" 100 - "system calls a request, GET of row 4"
	load 14 http calls http --size 128 --calls --requests $((10000 / share))
	show 14 pipelined calls "" - - "system calls a request, GET of row 5"
	load 14 pipelined calls http --size 128 --depth 16 --nagle --calls --requests $((10000 / share))
}

row_15() {
	peers="stock io_uring readiness raw-epoll $raw_uring"
	show 15 fan-out cpu_us us 1.5 - "fan-out, 64 B to 5,000 bufferevents: a delivery"
	load 15 fan-out cpu_us echo --kind fanout --connections 5000 --requests $((200000 / share))
}

# ---- open loop

# Requests a second that stock serves 64 connections that each wait for their answers: the median of three runs.
stock_peak() { # PROGRAM ARGUMENT...
	local -i run
	for ((run = 0; run < 3; run++)); do
		run_program stock "$@" --server-cpu "$cpu_server" --client-cpu "$cpu_client" |
			awk '$1 == "wall_us" {printf "%.0f\n", 1e6 / $2}'
	done | sort -n | sed -n 2p
}

# The client must have kept its schedule, or the times are its own doing; and a server that falls behind is told.
check_schedule() { # CASE
	awk -v name="$1" '
		BEGIN { FS = "\t" }
		$1 != 16 || $2 != name { next }
		{ value[$3 " " $4, $5] = $6; runs[$3 " " $4] = 1 }
		END {
			for (run in runs) {
				late += value[run, "late_p99_us"] > 50
				behind += value[run, "achieved"] < 0.99 * value[run, "offered"]
				n++
			}
			if (late)
				printf "row 16, %s: in %d of %d runs the client itself sent late (p99 above 50 us)\n", name, late, n
			if (behind)
				printf "row 16, %s: in %d of %d runs the server fell behind the offered load\n", name, behind, n
		}' "$tsv" >"$out/late"
	while read -r line; do note "$line"; done <"$out/late"
	rm -f "$out/late"
}

open_loop() { # CASE TEXT PROGRAM ARGUMENT...
	local name=$1 text=$2 peak percent rate loads="70 50 90"
	shift 2
	peak=$(stock_peak "$@" --requests $((100000 / share)))
	[ -n "$peak" ] || fail "stock's peak could not be measured"
	note "row 16, $name: stock's peak was $peak requests a second"
	[ "$quick" = no ] || loads=70
	for percent in $loads; do
		rate=$((peak * percent / 100))
		show 16 "$name-$percent" p99_us us 1.0 - "$text at $percent % of stock's peak: p99"
		show 16 "$name-$percent" p99_all_us us - - "$text at $percent %: p99, stalls too"
		show 16 "$name-$percent" p90_us us - - "$text at $percent %: p90"
		show 16 "$name-$percent" p50_us us - - "$text at $percent %: p50"
		measure_slices 16 "$name-$percent" p99_us "$@" --kind open --rate "$rate" \
			--requests $((rate * 3 / 2 / quick_share / slices)) \
			--server-cpu "$cpu_server" --client-cpu "$cpu_client"
		check_schedule "$name-$percent"
	done
}

row_16() {
	local quick_share=1
	[ "$quick" = no ] || quick_share=2
	if [ "$cpu_client" = "$cpu_server" ]; then
		note "row 16: skipped, its client needs a CPU of its own"
		return
	fi
	peers="stock io_uring readiness raw-epoll $raw_uring"
	open_loop echo "echo of row 1" echo
	peers="stock io_uring readiness"
	open_loop http "GET of row 4" http --size 128
}

# ---- growth and sweeps
#
# The rounds are the outer loop here: what the machine does in a minute falls on all points of a curve.

# What one more or one active descriptor costs beside idle ones.
row_idle() {
	local rounds=$rounds round n counts="0 1000 5000 15000"
	few_rounds
	[ "$quick" = no ] || counts="0 15000"
	peers="stock io_uring readiness $libev"
	for n in $counts; do
		show idle "$n" dispatch_ns ns - - "a turn with 1 active event beside $n idle ones"
		show idle "$n" toggle_ns ns - - "... which also adds or deletes one"
		show idle "$n" add_del_ns ns - - "event_add and event_del beside $n idle events"
	done
	growth idle 15000 0 dispatch_ns 1.3 "a turn with 1 active event, 15,000 idle ones against none"
	growth idle 15000 0 toggle_ns 1.3 "... which also adds or deletes one"
	growth idle 15000 0 add_del_ns 1.3 "event_add and event_del, 15,000 idle events against none"
	for ((round = 1; round <= rounds; round++)); do
		for n in $counts; do
			measure_round "$round" idle "$n" dispatch_ns idle --cpu "$cpu_server" --idle "$n" \
				--turns $((50000 / share))
		done
	done
}

# One point of a sweep, on all peers.
point() { # ROUND ROW CASE ARGUMENT...
	measure_round "$1" "$2" "$3" cpu_us echo "${@:4}" --server-cpu "$cpu_server" --client-cpu "$cpu_client"
}

row_conns() {
	local rounds=$rounds round n counts="1 8 64 256 1000 5000 15000" requests
	few_rounds
	peers="stock io_uring readiness raw-epoll $raw_uring"
	for n in $counts; do
		show conns "$n" cpu_us us - - "echo, 64 B x $n: a request"
	done
	growth conns 15000 64 cpu_us 1.3 "echo, 64 B: a request with 15,000 connections against 64"
	for ((round = 1; round <= rounds; round++)); do
		for n in $counts; do
			# A tenth as many go before: at least one for each connection.
			requests=$((n == 1 ? 10000 : n < 15000 ? 80000 : 150000))
			point "$round" conns "$n" --connections "$n" --requests "$((requests / (n < 1000 ? share : 1)))"
		done
	done
}

# 64 connections up to 16 KiB, 4 beyond: what is in flight stays below a few MiB.
row_size() {
	local rounds=$rounds round size few
	local sizes="1 8 64 512 4096 16384 65536 262144 1048576"
	few_rounds
	peers="stock io_uring readiness raw-epoll $raw_uring"
	for size in $sizes; do
		few=$((size >= 65536 ? 4 : 64))
		show size "$size" cpu_us us - - "echo, $size B x $few: a request"
	done
	for ((round = 1; round <= rounds; round++)); do
		for size in $sizes; do
			few=$((size >= 65536 ? 4 : 64))
			point "$round" size "$size" --size "$size" --connections $few \
				--requests $(((400000000 / (size + 6000) + 30) / share))
		done
	done
}

row_depth() {
	local rounds=$rounds round depth depths="1 2 4 8 16 32"
	few_rounds
	peers="stock io_uring readiness raw-epoll $raw_uring"
	for depth in $depths; do
		show depth "$depth" cpu_us us - - "echo, 64 B x 64 x $depth: a request"
	done
	for ((round = 1; round <= rounds; round++)); do
		for depth in $depths; do
			point "$round" depth "$depth" --depth "$depth" --requests $(((30000 + depth * 30000) / share))
		done
	done
}
