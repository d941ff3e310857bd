/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Print the CPU time of other processes, in nanoseconds, all together: cputime PID...
 *
 * It reads their process CPU clocks, so threads that have ended and io_uring's kernel workers are
 * in the sum, which /proc/PID/task would lose.
 */
#include "bench.h"

#include <inttypes.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	int64_t sum = 0;

	if (argc < 2)
		bench_fail("usage: cputime PID...");
	for (int i = 1; i < argc; i++)
		sum += bench_cpu_ns((pid_t)bench_number("PID", argv[i], 1));
	printf("%" PRId64 "\n", sum);
	return 0;
}
