/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rousing a loop that sleeps in the kernel, from another thread or from a signal handler: an
 * eventfd whose readiness the ring reports as an edge, so nobody has to read it. (poll(2) knows no
 * edges: there it is drained.)
 *
 * Also here: the two questions "which thread is this?" and "has this process forked?", in forms
 * cheap enough to ask on every call.
 */
#ifndef EVU_WAKE_H
#define EVU_WAKE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The new eventfd, or -errno. CLOEXEC, non-blocking. */
int evu_wake_open(void);
/* Async-signal-safe; errno is preserved. */
void evu_wake_write(int fd);
void evu_wake_drain(int fd);

/* A number that no other thread of this process has or will have; never 0. */
uint64_t evu_thread_id(void);

/* Holds 0 where nobody has asked in this process. */
extern __attribute__((visibility("hidden"))) _Atomic uint64_t *_Atomic evu_fork_page;
uint64_t evu_fork_first(void);

/* A number that changes, in the child, with each fork (and any other way to copy the address
 * space). */
static inline uint64_t evu_fork_generation(void)
{
	uint64_t seen = *evu_fork_page;

	return __builtin_expect(seen != 0, 1) ? seen : evu_fork_first();
}

/* True iff `generation` is still the answer. */
static inline bool evu_fork_unchanged(uint64_t generation)
{
	return *evu_fork_page == generation;
}

#endif
