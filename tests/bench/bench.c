/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The helpers of bench.h. Nothing here is called inside a measured stretch except its two ends.
 */
#define _GNU_SOURCE
#include "bench.h"

#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

void bench_fail(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

void bench_report(const char *name, double value)
{
	printf("%s %.4f\n", name, value);
}

void bench_report_library(const void *code)
{
	Dl_info info;

	if (dladdr(code, &info) == 0 || info.dli_fname == NULL)
		bench_fail("cannot tell which library is loaded");
	printf("library %s\n", info.dli_fname);
}

static int64_t nanoseconds(clockid_t clock)
{
	struct timespec now;

	if (clock_gettime(clock, &now) != 0)
		bench_fail("clock_gettime: %s", strerror(errno));
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t bench_cpu_ns(pid_t pid)
{
	clockid_t clock;
	int error = clock_getcpuclockid(pid, &clock);

	if (error != 0)
		bench_fail("no CPU clock for process %d: %s", (int)pid, strerror(error));
	return nanoseconds(clock);
}

int64_t bench_wall_ns(void)
{
	return nanoseconds(CLOCK_MONOTONIC);
}

void bench_pin(int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		bench_fail("cannot run on CPU %d: %s", cpu, strerror(errno));
}

void bench_want_files(int files)
{
	struct rlimit limit;
	rlim_t wanted = (rlim_t)files + 64;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		bench_fail("getrlimit: %s", strerror(errno));
	if (limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = wanted;
	if (limit.rlim_max < wanted || setrlimit(RLIMIT_NOFILE, &limit) != 0)
		bench_fail(
		    "this needs %d open files, the limit is %ld", files, (long)limit.rlim_max);
}

long bench_number(const char *option, const char *text, long least)
{
	char *end;
	long number;

	errno = 0;
	number = strtol(text, &end, 10);
	if (errno != 0 || *text == '\0' || *end != '\0' || number < least || number > INT32_MAX)
		bench_fail("--%s: \"%s\" is not a number of at least %ld", option, text, least);
	return number;
}

static int compare_times(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

double bench_quiet_p99_us(const int64_t *times, int64_t count)
{
	enum { WINDOW = 500 };
	int64_t size = count < WINDOW ? count : WINDOW, n_windows = count / size;
	int64_t *percentiles = calloc((size_t)n_windows, sizeof(*percentiles));
	int64_t window[WINDOW], quiet;

	if (percentiles == NULL)
		bench_fail("out of memory");
	for (int64_t i = 0; i < n_windows; i++) {
		memcpy(window, times + i * size, (size_t)size * sizeof(*window));
		qsort(window, (size_t)size, sizeof(*window), compare_times);
		percentiles[i] = window[size * 99 / 100];
	}
	qsort(percentiles, (size_t)n_windows, sizeof(*percentiles), compare_times);
	quiet = percentiles[n_windows / 4];
	free(percentiles);
	return (double)quiet / 1e3;
}

void bench_start(struct bench_span *span)
{
	span->wall = bench_wall_ns();
	span->cpu = bench_cpu_ns(0);
}

void bench_stop(struct bench_span *span)
{
	span->cpu = bench_cpu_ns(0) - span->cpu;
	span->wall = bench_wall_ns() - span->wall;
}
