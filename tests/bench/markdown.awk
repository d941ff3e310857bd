# SPDX-License-Identifier: BSD-3-Clause
#
# The results of tests/bench/run as a page in Markdown, on standard output. For its input see stats.awk.
#
# Variables: rounds; notes (file to print), quick, facts (a file of lines "name<tab>value" about the machine), plots
# (names of the SVG files that there are).

function heading(s) {
	printf "\n## %s\n\n", s
}

function print_facts(    part, text_line) {
	while ((getline text_line < facts) > 0) {
		split(text_line, part, FS)
		printf "- %s: %s\n", part[1], part[2]
	}
	close(facts)
	printf "- rounds: %d (at most 3 in the rows 12, 14, idle, conns, size and depth, and with 1e7 timers)\n", rounds
	if (quick == "yes")
		printf "\n**A quick run: less work and fewer rounds, its numbers are for a first look.**\n"
}

function print_summary() {
	printf "- Targets missed: %d. Lines with a target on which the readiness ring is slower than stock (a ratio below %.2f): %d.\n",
		n_missed, SLOWER, n_slower
	printf "- %s\n- %s\n", noise_text(), machine_text()
	printf "\nEvery peer ran once a round, one after the other. Costs are medians over the rounds, of the CPU time of all threads " \
		"of the server unless a line says otherwise; less is better. A ratio is stock's cost divided by this library's, taken " \
		"within each round: the median, and in parentheses the lowest and the highest; more is better. " \
		"io_uring and readiness are this library with and without io_uring.\n"
}

function print_ratios(    i) {
	print "| row | what | io_uring | readiness | need | goal | verdict |"
	print "| --- | --- | --- | --- | --- | --- | --- |"
	for (i = 1; i <= n_lines; i++)
		printf "| %s | %s | %s | %s | %s | %s | %s |\n", row_of[i], text[i], ratio_text(ratio(line[i], "io_uring")),
			ratio_text(ratio(line[i], "readiness")), need[i], goal[i], verdicts(i)
}

function print_costs(    i, j) {
	print "| row | what | unit | stock | io_uring | readiness | libev | raw epoll | raw io_uring | raw spin |"
	print "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
	for (i = 1; i <= n_lines; i++) {
		printf "| %s | %s | %s |", row_of[i], text[i], unit[i]
		for (j = 1; j <= n_peers; j++)
			printf " %s |", number(cost(line[i], peers[j]))
		printf "\n"
	}
}

function print_limits(    i, x) {
	print "io_uring's cost divided by that of a server without an event library (the better one where none is named); less is better.\n"
	print "| row | what | against | ratio | at most | verdict |"
	print "| --- | --- | --- | --- | --- | --- |"
	for (i = 1; i <= n_limits; i++) {
		x = limit_ratio(i)
		printf "| %s | %s | %s | %s | %s | %s |\n", limit_row[i], limit_text[i], raw_peer(i), ratio_text(x),
			limit_most[i], most_verdict(x, limit_most[i])
	}
}

function print_growths(    i, j) {
	print "A cost divided by the same peer's cost with fewer descriptors. The bound is for io_uring.\n"
	print "| what | stock | io_uring | readiness | libev | raw epoll | raw io_uring | at most | verdict |"
	print "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
	for (i = 1; i <= n_growths; i++) {
		printf "| %s |", growth_text[i]
		for (j = 1; j <= n_peers - 1; j++)
			printf " %s |", ratio_text(growth_ratio(i, peers[j]))
		printf " %s | %s |\n", growth_most[i], most_verdict(growth_ratio(i, "io_uring"), growth_most[i])
	}
}

function print_plots(    i, n, name) {
	n = split(plots, name, " ")
	for (i = 1; i <= n; i++)
		printf "![cost a request: %s](%s)\n\n", substr(name[i], 1, length(name[i]) - 4), name[i]
}

function print_notes(    note, n) {
	while ((getline note < notes) > 0) {
		if (!n++)
			heading("Notes")
		print "- " note
	}
	close(notes)
}

END {
	judge()
	print "# Benchmark report\n"
	print_facts()
	heading("In short")
	print_summary()
	if (n_lines) {
		heading("Ratios")
		print_ratios()
	}
	if (n_limits) {
		heading("Against the raw servers")
		print_limits()
	}
	if (n_growths) {
		heading("Growth")
		print_growths()
	}
	if (plots != "") {
		heading("Plots")
		print_plots()
	}
	heading("Costs")
	print_costs()
	print_notes()
}
