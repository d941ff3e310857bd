/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What every benchmark program shares: clocks, a random generator, the way results are printed.
 *
 * A program measures one workload once and prints lines of "name value" on stdout; tests/bench/run
 * starts the programs in turn, peer after peer, and does the statistics. A program that finds its
 * own work wrong (a lost message, a timer that fired twice) prints why and exits 1, so a broken
 * library can never look fast.
 *
 * Costs are CPU time of the whole process, by the process CPU clock: it adds up all threads, also
 * those that have ended and the worker threads that the kernel makes for io_uring.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>
#include <stddef.h>
#include <sys/types.h>

/* Print "program: message" on stderr and exit 1. */
void bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Print one result line, "name value". */
void bench_report(const char *name, double value);

/* Print which shared object holds the function at `code`: the runner checks that it measured the
 * library that it meant to. */
void bench_report_library(const void *code);

/* CPU time of a process (0 is this one), all threads; and the monotonic clock; in nanoseconds. */
int64_t bench_cpu_ns(pid_t pid);
int64_t bench_wall_ns(void);

/* Bind this process to one CPU; a negative number leaves it where it is. */
void bench_pin(int cpu);

/* Raise the soft limit of open files so that `files` fit. */
void bench_want_files(int files);

/* A number from the command line, at least `least`. */
long bench_number(const char *option, const char *text, long least);

/*
 * The 99th percentile of `count` times in nanoseconds, which are in the order in which they were
 * measured, in microseconds: the lower quartile of the percentiles of windows of 500.
 *
 * The host of a virtual machine takes its CPUs away every 5 to 20 ms here, for 0.1 to 2 ms. A
 * percentile over everything says how often it did; so does the median of windows where half of
 * them are hit. What the quieter quarter of the windows has is the server's own, for whatever it
 * does in every stretch of 500. What is rarer than in three of four windows is not seen.
 */
double bench_quiet_p99_us(const int64_t *times, int64_t count);

/* A stretch of time that is measured, in CPU and on the wall. */
struct bench_span {
	int64_t cpu;  /* CPU nanoseconds: at the start, then of the span */
	int64_t wall; /* the same on the monotonic clock */
};

void bench_start(struct bench_span *span);
void bench_stop(struct bench_span *span);

/* The generator is xorshift64*: a few cycles a number, the same sequence for every peer. */
static inline uint64_t bench_random(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * UINT64_C(2685821657736338717);
}

/* A number below `limit`, which must fit in 32 bits; the bias is under one in 2^32 / limit. */
static inline uint32_t bench_random_below(uint64_t *state, uint32_t limit)
{
	return (uint32_t)(((bench_random(state) >> 32) * limit) >> 32);
}

#endif
