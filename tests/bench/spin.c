/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A fixed piece of work that is nothing but arithmetic on registers: spin [--cpu N].
 *
 * No library, no kernel and no memory is in it, so whatever its time varies by is the machine's own
 * doing: other guests, other programs, the clock of the CPU. The runner times it in every round.
 */
#include "bench.h"

#include <getopt.h>

enum { STEPS = 15000000 };

int main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"cpu", required_argument, NULL, 'c'}, {NULL, 0, NULL, 0}};
	uint64_t state = 88172645463325252u, sum = 0;
	struct bench_span span;
	int option, cpu = -1;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option != 'c')
			bench_fail("usage: spin [--cpu N]");
		cpu = (int)bench_number("cpu", optarg, 0);
	}
	bench_pin(cpu);
	bench_start(&span);
	for (int i = 0; i < STEPS; i++)
		sum += bench_random(&state);
	bench_stop(&span);
	if (sum == 0)
		bench_fail("the generator is broken");
	bench_report("cpu_ms", (double)span.cpu / 1e6);
	bench_report("wall_ms", (double)span.wall / 1e6);
	return 0;
}
