# SPDX-License-Identifier: BSD-3-Clause
#
# Turn the results of tests/bench/run into two tables and a JSON file: awk -f report.awk spec.tsv results.tsv
#
# spec.tsv says which lines the tables have: row, case, metric, unit, ratio needed, goal, text. "<N" in place of the
# ratio needed is a bound of the cost on io_uring.
# results.tsv holds all values: row, case, round, peer, metric, value. Only the JSON file has all of them.
# Variables: json (file to write), notes (file to print), quick, rounds, kernel, cpu, date.
# Exit status 3: a ratio is below what the row needs, or a cost is not below its bound.

BEGIN {
	FS = "\t"
	n_peers = split("stock io_uring readiness libev raw-epoll raw-io_uring raw-spin", peers, " ")
}

FNR == NR {
	line[++n_lines] = $1 FS $2 FS $3
	unit[n_lines] = $4
	need[n_lines] = $5
	goal[n_lines] = $6
	text[n_lines] = $7
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

# The ratio of stock to a peer, round by round; sets ratio_low and ratio_high. -1: there is none.
function ratio(key, peer,    i, n, list, middle) {
	for (i = 1; i <= rounds; i++)
		if ((key, peer, i) in value && (key, "stock", i) in value && value[key, peer, i] > 0)
			list[++n] = value[key, "stock", i] / value[key, peer, i]
	if (!n)
		return -1
	middle = median(list, n)
	ratio_low = list[1]
	ratio_high = list[n]
	return middle
}

function number(x) {
	return x < 0 ? "-" : sprintf(x < 0.9995 ? "%.3f" : x < 9.995 ? "%.2f" : x < 99.95 ? "%.1f" : "%.0f", x)
}

function ratio_text(key, peer,    x) {
	x = ratio(key, peer)
	return x < 0 ? "-" : sprintf("%.2f (%.2f-%.2f)", x, ratio_low, ratio_high)
}

function verdict(i,    x) {
	x = ratio(line[i], "io_uring")
	if (x < 0)
		return ""
	if (substr(need[i], 1, 1) == "<") {
		if (cost(line[i], "io_uring") < substr(need[i], 2) + 0)
			return "  ok"
		below++
		return "  ABOVE"
	}
	if (need[i] != "-" && sprintf("%.2f", x) + 0 < need[i]) {
		below++
		return "  BELOW"
	}
	return goal[i] != "-" && x >= goal[i] ? "  goal" : need[i] != "-" ? "  ok" : ""
}

function print_costs(    i, j, row) {
	printf "\nCosts, medians (rounds: %d; less is better)\n", rounds
	printf "%-3s %-48s %-2s %8s %8s %9s %7s %7s %8s %7s\n", "row", "what", "", "stock", "io_uring",
		"readiness", "libev", "epoll", "io_uring", "spin"
	printf "%-3s %-48s %-2s %8s %8s %9s %7s %7s %8s %7s\n", "", "", "", "", "", "", "", "(raw)", "(raw)", "(raw)"
	for (i = 1; i <= n_lines; i++) {
		split(line[i], row, FS)
		printf "%-3s %-48s %-2s", row[1], text[i], unit[i]
		for (j = 1; j <= n_peers; j++)
			printf " %*s", j == 3 ? 9 : j < 3 || j == 6 ? 8 : 7, number(cost(line[i], peers[j]))
		printf "\n"
	}
}

function print_ratios(    i, row) {
	printf "\nStock's cost divided by this library's: median of the rounds (lowest-highest), more is better\n"
	printf "%-3s %-48s %-19s %-19s %5s %5s\n", "row", "what", "io_uring", "readiness", "need", "goal"
	for (i = 1; i <= n_lines; i++) {
		split(line[i], row, FS)
		printf "%-3s %-48s %-19s %-19s %5s %5s%s\n", row[1], text[i], ratio_text(line[i], "io_uring"),
			ratio_text(line[i], "readiness"), need[i], goal[i], verdict(i)
	}
}

function print_notes(    note) {
	while ((getline note < notes) > 0)
		print "note: " note
	if (quick == "yes")
		print "note: a quick run; its numbers are for a first look"
}

function quote(s) {
	gsub(/["\\]/, "\\\\&", s)
	return "\"" s "\""
}

function json_peers(key,    j, i, separator) {
	for (j = 1; j <= n_peers; j++) {
		if (!((key, peers[j]) in count))
			continue
		printf("%s%s: {\"median\": %s, \"values\": [", separator, quote(peers[j]), cost(key, peers[j])) > json
		separator = ", "
		for (i = 1; i <= rounds; i++)
			printf("%s%s", i > 1 ? ", " : "",
				((key, peers[j], i) in value) ? value[key, peers[j], i] : "null") > json
		if (ratio(key, peers[j]) >= 0 && j > 1)
			printf("], \"ratio\": {\"median\": %.4f, \"lowest\": %.4f, \"highest\": %.4f}}",
				ratio(key, peers[j]), ratio_low, ratio_high) > json
		else
			printf "]}" > json
	}
}

function write_json(    k, row) {
	printf("{\n\"date\": %s, \"kernel\": %s, \"cpu\": %s, \"quick\": %s, \"rounds\": %d,\n\"results\": [",
		quote(date), quote(kernel), quote(cpu), quick == "yes" ? "true" : "false", rounds) > json
	for (k = 1; k <= n_keys; k++) {
		split(keys[k], row, FS)
		printf("%s\n{\"row\": %d, \"case\": %s, \"metric\": %s, \"peers\": {", k > 1 ? "," : "",
			row[1], quote(row[2]), quote(row[3])) > json
		json_peers(keys[k])
		printf "}}" > json
	}
	printf "\n]\n}\n" > json
	close(json)
}

END {
	print_costs()
	print_ratios()
	print_notes()
	write_json()
	exit below ? 3 : 0
}
