# SPDX-License-Identifier: BSD-3-Clause
#
# The results of tests/bench/run as tables for a terminal, as a JSON file, and as data for plots.gp.
# For its input see stats.awk.
#
# Variables: rounds; json (file to write), plots (directory to write the data of the plots to), notes (file to print),
# quick, kernel, cpu, date.
# Exit status 3: something is below what the row needs, or above its bound, or slower on the readiness ring than on stock.

function print_costs(    i, j) {
	printf "\nCosts, medians (rounds: %d; less is better)\n", rounds
	printf "%-5s %-53s %-2s %8s %8s %9s %7s %7s %8s %7s\n", "row", "what", "", "stock", "io_uring",
		"readiness", "libev", "epoll", "io_uring", "spin"
	printf "%-5s %-53s %-2s %8s %8s %9s %7s %7s %8s %7s\n", "", "", "", "", "", "", "", "(raw)", "(raw)", "(raw)"
	for (i = 1; i <= n_lines; i++) {
		printf "%-5s %-53s %-2s", row_of[i], text[i], unit[i]
		for (j = 1; j <= n_peers; j++)
			printf " %*s", j == 3 ? 9 : j < 3 || j == 6 ? 8 : 7, number(cost(line[i], peers[j]))
		printf "\n"
	}
}

function print_ratios(    i) {
	printf "\nStock's cost divided by this library's: median of the rounds (lowest-highest), more is better\n"
	printf "%-5s %-53s %-21s %-21s %5s %5s\n", "row", "what", "io_uring", "readiness", "need", "goal"
	for (i = 1; i <= n_lines; i++)
		printf "%-5s %-53s %-21s %-21s %5s %5s %s\n", row_of[i], text[i], ratio_text(ratio(line[i], "io_uring")),
			ratio_text(ratio(line[i], "readiness")), need[i], goal[i], verdicts(i)
}

function print_limits(    i, x) {
	if (n_limits)
		printf "\nio_uring's cost divided by a raw server's: less is better\n"
	for (i = 1; i <= n_limits; i++) {
		x = limit_ratio(i)
		printf "%-5s %-53s %-21s at most %-5s %-13s %s\n", limit_row[i], limit_text[i], ratio_text(x),
			limit_most[i], raw_peer(i), most_verdict(x, limit_most[i])
	}
}

function print_growths(    i, j, x) {
	if (n_growths)
		printf "\nGrowth of a cost: less is better\n"
	for (i = 1; i <= n_growths; i++) {
		printf "%-5s %s, at most %s: %s\n", growth_row[i], growth_text[i], growth_most[i],
			most_verdict(growth_ratio(i, "io_uring"), growth_most[i])
		for (j = 1; j <= n_peers; j++) {
			x = growth_ratio(i, peers[j])
			if (x >= 0)
				printf "      %-13s %s\n", peers[j], ratio_text(x)
		}
	}
}

function print_notes(    note) {
	printf "\n%s\n%s\n", noise_text(), machine_text()
	printf "Targets missed: %d; lines with a target on which the readiness ring is slower than stock: %d\n", n_missed,
		n_slower
	while ((getline note < notes) > 0)
		print "note: " note
	close(notes)
	if (quick == "yes")
		print "note: a quick run; its numbers are for a first look"
}

function quote(s) {
	gsub(/["\\]/, "\\\\&", s)
	return "\"" s "\""
}

function json_peer(key, peer, separator,    i, comma, x) {
	printf("%s%s: {\"median\": %s, \"values\": [", separator, quote(peer), cost(key, peer)) > json
	for (i = 1; i <= rounds; i++)
		if ((key, peer, i) in value) {
			printf("%s%s", comma, value[key, peer, i]) > json
			comma = ", "
		}
	x = peer == "stock" ? -1 : ratio(key, peer)
	if (x >= 0)
		printf("], \"ratio\": {\"median\": %.4f, \"lowest\": %.4f, \"highest\": %.4f}}", x, ratio_low,
			ratio_high) > json
	else
		printf "]}" > json
}

function json_peers(key,    j, separator) {
	for (j = 1; j <= n_peers; j++) {
		if (!((key, peers[j]) in count))
			continue
		json_peer(key, peers[j], separator)
		separator = ", "
	}
	if ((key, "machine") in count)
		json_peer(key, "machine", separator)
}

function write_json(    k, row) {
	printf("{\n\"date\": %s, \"kernel\": %s, \"cpu\": %s, \"quick\": %s, \"rounds\": %d,\n", quote(date),
		quote(kernel), quote(cpu), quick == "yes" ? "true" : "false", rounds) > json
	printf("\"ratios\": %d, \"noisy\": %d, \"missed\": %d, \"readiness_slower\": %d,\n\"results\": [", n_ratios,
		n_noisy, n_missed, n_slower) > json
	for (k = 1; k <= n_keys; k++) {
		split(keys[k], row, FS)
		printf("%s\n{\"row\": %s, \"case\": %s, \"metric\": %s, \"peers\": {", k > 1 ? "," : "",
			row[1] ~ /^[0-9]+$/ ? row[1] : quote(row[1]), quote(row[2]), quote(row[3])) > json
		json_peers(keys[k])
		printf "}}" > json
	}
	printf "\n]\n}\n" > json
	close(json)
}

# One file a sweep: the first column is the case, then a median a peer, "-" where there is none.
function write_plot(row,    i, j, part, file) {
	file = plots "/" row ".dat"
	for (i = 1; i <= n_lines; i++) {
		if (row_of[i] != row)
			continue
		split(line[i], part, FS)
		printf("%s", part[2]) > file
		for (j = 1; j <= n_peers; j++)
			printf(" %s", cost(line[i], peers[j]) < 0 ? "-" : cost(line[i], peers[j])) > file
		printf "\n" > file
	}
	close(file)
}

END {
	judge()
	print_costs()
	print_ratios()
	print_limits()
	print_growths()
	print_notes()
	write_json()
	write_plot("conns")
	write_plot("size")
	write_plot("depth")
	exit n_missed + n_slower ? 3 : 0
}
