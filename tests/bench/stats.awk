# SPDX-License-Identifier: BSD-3-Clause
#
# What report.awk and markdown.awk know of the results: awk -f stats.awk -f ... spec.tsv relations.tsv results.tsv
#
# spec.tsv says which lines the tables have: row, case, metric, unit, ratio needed, goal, text. "<N" in place of the
# ratio needed is a bound of the cost on io_uring.
# relations.tsv says which costs are compared with others than stock's (see limit and growth in tests/bench/run).
# results.tsv holds all values: row, case, round, peer, metric, value. Only the JSON file has all of them.
# Variables: rounds.
#
# A ratio is taken within each round and the median of the rounds is the ratio; the spread is what lies between the
# lowest and the highest, as a part of the median.

BEGIN {
	FS = "\t"
	n_peers = split("stock io_uring readiness libev raw-epoll raw-io_uring raw-spin", peers, " ")
	NOISY = 0.15 # spread of a ratio beyond which it is not to be trusted
	SLOWER = 0.97 # ratio on the readiness ring below which it is slower than stock
}

FILENAME ~ /spec\.tsv$/ {
	line[++n_lines] = $1 FS $2 FS $3
	row_of[n_lines] = $1
	unit[n_lines] = $4
	need[n_lines] = $5
	goal[n_lines] = $6
	text[n_lines] = $7
	next
}

FILENAME ~ /relations\.tsv$/ && $1 == "limit" {
	limit_row[++n_limits] = $2
	limit_key[n_limits] = $2 FS $3 FS $4
	limit_raw[n_limits] = $5
	limit_most[n_limits] = $6
	limit_text[n_limits] = $7
	next
}

FILENAME ~ /relations\.tsv$/ {
	growth_row[++n_growths] = $2
	growth_key[n_growths] = $2 FS $3 FS $5
	growth_base[n_growths] = $2 FS $4 FS $5
	growth_most[n_growths] = $6
	growth_text[n_growths] = $7
	next
}

{
	key = $1 FS $2 FS $5
	if (!(key in known)) {
		known[key] = 1
		keys[++n_keys] = key
	}
	value[key, $4, $3] = $6
	count[key, $4]++
}

# Sort list[1..n] and return its median.
function median(list, n,    i, j, x) {
	for (i = 2; i <= n; i++) {
		x = list[i]
		for (j = i - 1; j >= 1 && list[j] > x; j--)
			list[j + 1] = list[j]
		list[j + 1] = x
	}
	return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
}

function cost(key, peer,    i, n, list) {
	for (i = 1; i <= rounds; i++)
		if ((key, peer, i) in value)
			list[++n] = value[key, peer, i] + 0
	return n ? median(list, n) : -1
}

# One cost divided by another, round by round; sets ratio_low, ratio_high and ratio_spread. -1: there is none.
function quotient(key, peer, base_key, base_peer,    i, n, list, middle) {
	for (i = 1; i <= rounds; i++)
		if ((key, peer, i) in value && (base_key, base_peer, i) in value && value[base_key, base_peer, i] > 0)
			list[++n] = value[key, peer, i] / value[base_key, base_peer, i]
	if (!n)
		return -1
	middle = median(list, n)
	ratio_low = list[1]
	ratio_high = list[n]
	ratio_spread = middle > 0 ? (ratio_high - ratio_low) / middle : 0
	return middle
}

# Stock's cost divided by a peer's.
function ratio(key, peer) {
	return quotient(key, "stock", key, peer)
}

function number(x) {
	return x < 0 ? "-" : sprintf(x < 0.9995 ? "%.3f" : x < 9.995 ? "%.2f" : x < 99.95 ? "%.1f" : "%.0f", x)
}

# A ratio as the tables show it, from its median and what quotient() has set.
function ratio_text(x) {
	return x < 0 ? "-" : sprintf(x < 100 ? "%.2f (%.2f-%.2f)%s" : "%.0f (%.0f-%.0f)%s", x, ratio_low, ratio_high,
		ratio_spread > NOISY ? "*" : "")
}

function is_bound(i) {
	return substr(need[i], 1, 1) == "<"
}

function has_target(i) {
	return need[i] != "-" || goal[i] != "-"
}

# What is to be said of line i: of the ratio on io_uring, "" where nothing is asked.
function verdict(i,    x) {
	x = ratio(line[i], "io_uring")
	if (x < 0 || !has_target(i))
		return ""
	if (is_bound(i))
		return cost(line[i], "io_uring") < substr(need[i], 2) + 0 ? "ok" : "ABOVE"
	if (need[i] != "-" && sprintf("%.2f", x) + 0 < need[i] + 0)
		return "BELOW"
	return goal[i] != "-" && x >= goal[i] + 0 ? "goal" : need[i] != "-" ? "ok" : ""
}

# ... and of the readiness ring, which must not be slower than stock anywhere.
function readiness_verdict(i,    x) {
	x = ratio(line[i], "readiness")
	return x >= 0 && sprintf("%.2f", x) + 0 < SLOWER ? "slower" : ""
}

# Both, for the tables.
function verdicts(i,    both) {
	both = verdict(i)
	if (readiness_verdict(i) != "")
		both = both (both == "" ? "" : ", ") "readiness slower"
	return both
}

# The raw server that io_uring is compared with: "raw" is the one with the lower cost.
function raw_peer(i,    a, b) {
	if (limit_raw[i] != "raw")
		return limit_raw[i]
	a = cost(limit_key[i], "raw-epoll")
	b = cost(limit_key[i], "raw-io_uring")
	return b >= 0 && (a < 0 || b < a) ? "raw-io_uring" : "raw-epoll"
}

function limit_ratio(i) {
	return quotient(limit_key[i], "io_uring", limit_key[i], raw_peer(i))
}

function growth_ratio(i, peer) {
	return quotient(growth_key[i], peer, growth_base[i], peer)
}

function most_verdict(x, most) {
	return x < 0 ? "" : sprintf("%.2f", x) + 0 <= most + 0 ? "ok" : "ABOVE"
}

# Sets n_missed (targets that are not met), n_slower (lines with a target on which the readiness ring is slower),
# n_ratios, n_noisy, n_noisy_targets, and machine_* of the fixed piece of work, in milliseconds of CPU.
function judge(    i, j, v, x, n, list) {
	for (i = 1; i <= n_lines; i++) {
		v = verdict(i)
		n_missed += v == "BELOW" || v == "ABOVE"
		n_slower += has_target(i) && readiness_verdict(i) != ""
		for (j = 2; j <= 3; j++)
			if (ratio(line[i], peers[j]) >= 0) {
				n_ratios++
				n_noisy += ratio_spread > NOISY
				n_noisy_targets += ratio_spread > NOISY && has_target(i)
			}
	}
	for (i = 1; i <= n_limits; i++)
		n_missed += most_verdict(limit_ratio(i), limit_most[i]) == "ABOVE"
	for (i = 1; i <= n_growths; i++)
		n_missed += most_verdict(growth_ratio(i, "io_uring"), growth_most[i]) == "ABOVE"
	for (i = 1; i <= n_keys; i++) {
		if (keys[i] !~ /^noise\t.*\tcpu_ms$/)
			continue
		for (j = 1; j <= rounds; j++)
			if ((keys[i], "machine", j) in value)
				list[++n] = value[keys[i], "machine", j] + 0
	}
	machine_runs = n
	machine = n ? median(list, n) : -1
	machine_low = list[1]
	machine_high = list[n]
	machine_tenth = list[int((n + 9) / 10)]
	machine_nine_tenths = list[n - int((n - 1) / 10)]
}

function noise_text() {
	if (rounds < 2)
		return "With one round nothing is known of how far the ratios spread."
	if (!n_noisy)
		return sprintf("None of %d ratios spread by more than %d %%.", n_ratios, NOISY * 100)
	return sprintf("%d of %d ratios spread by more than %d %%: do not trust them (marked *; %d of them have a target).",
		n_noisy, n_ratios, NOISY * 100, n_noisy_targets)
}

function machine_text() {
	return sprintf("The machine itself: a fixed piece of arithmetic, timed before each round (%d times), took %.1f ms of CPU;" \
		" lowest %.1f, highest %.1f, eight in ten between %.1f and %.1f (%.0f %% apart).", machine_runs, machine,
		machine_low, machine_high, machine_tenth, machine_nine_tenths,
		100 * (machine_nine_tenths - machine_tenth) / machine)
}
