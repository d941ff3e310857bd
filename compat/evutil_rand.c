/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random numbers: the kernel's for what an attacker must not guess, a linear congruential
 * generator for everything else.
 *
 * The secure functions keep no state, so they need neither locks nor a reaction to fork, and
 * seeding them is meaningless: the kernel does that. If the kernel gives nothing (it always does,
 * unless a sandbox forbids the call) the process ends, because no caller could be told.
 */
#include "evutil_priv.h"

#include <stdbool.h>
#include <sys/random.h>
#include <unistd.h>

#include "log.h"

static bool fill_from_kernel(void *buf, size_t n)
{
	unsigned char *p = buf;
	while (n > 0) {
		ssize_t got = getrandom(p, n, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return false;
		p += got;
		n -= (size_t)got;
	}
	return true;
}

void evutil_secure_rng_get_bytes(void *buf, size_t n)
{
	if (!fill_from_kernel(buf, n))
		event_err(EVENT_ERR_ABORT_, "getrandom");
}

int evutil_secure_rng_init(void)
{
	unsigned char probe;
	return fill_from_kernel(&probe, sizeof(probe)) ? 0 : -1;
}

/* The kernel's generator is not read from a file, so there is none to choose. */
int evutil_secure_rng_set_urandom_device_file(char *fname)
{
	(void)fname;
	return -1;
}

/* Debian's security update made this a no-op; programs still link to it. */
void evutil_secure_rng_add_bytes(const char *dat, size_t datlen)
{
	(void)dat;
	(void)datlen;
}

int evutil_secure_rng_global_setup_locks_(const int enable_locks)
{
	(void)enable_locks;
	return 0;
}

/* Nothing is held: the exported name is all that callers need. */
void evutil_free_secure_rng_globals_(void)
{
}

ev_uint32_t evutil_weakrand_seed_(struct evutil_weakrand_state *state, ev_uint32_t seed)
{
	if (seed == 0) {
		struct timeval now;
		gettimeofday(&now, NULL);
		seed = (ev_uint32_t)now.tv_sec + (ev_uint32_t)now.tv_usec + (ev_uint32_t)getpid();
	}
	state->seed = seed;
	return seed;
}

/*
 * Modulus 2^31 with the multiplier and addend that POSIX gives as an example for rand(). Programs
 * that seed it expect this very sequence.
 */
ev_int32_t evutil_weakrand_(struct evutil_weakrand_state *state)
{
	state->seed = (state->seed * 1103515245U + 12345U) & EVUTIL_WEAKRAND_MAX;
	return (ev_int32_t)state->seed;
}

/*
 * The low bits of such a generator repeat after a few steps, so the range is cut out of the high
 * ones by division; the few values beyond the last whole share are drawn again.
 */
ev_int32_t evutil_weakrand_range_(struct evutil_weakrand_state *state, ev_int32_t top)
{
	ev_int32_t share = EVUTIL_WEAKRAND_MAX / top;
	ev_int32_t value;
	do
		value = evutil_weakrand_(state) / share;
	while (value >= top);
	return value;
}
