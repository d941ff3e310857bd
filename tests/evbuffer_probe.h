/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the unit tests of evbuffers share: the invariants, a look at the contents, bytes that tell
 * where they are, and an allocator that counts and that can be made to fail.
 */
#ifndef TESTS_EVBUFFER_PROBE_H
#define TESTS_EVBUFFER_PROBE_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "evbuffer.h"

/* ---- the allocator. Memory is poisoned, so that what is not initialised shows. */

static int probe_blocks;                /* allocated and not yet freed */
static int probe_allocations_left = -1; /* < 0: no limit */
static unsigned probe_failures_per_256; /* at random */
static unsigned probe_seed;

static inline unsigned probe_random(void)
{
	probe_seed = probe_seed * 1103515245 + 12345;
	return probe_seed >> 16 & 0x7fff;
}

static inline bool probe_may_allocate(void)
{
	if (probe_failures_per_256 && probe_random() % 256 < probe_failures_per_256)
		return false;
	if (probe_allocations_left > 0)
		probe_allocations_left--;
	else if (probe_allocations_left == 0)
		return false;
	return true;
}

static inline void *probe_malloc(size_t size)
{
	void *p = probe_may_allocate() ? malloc(size) : NULL;

	if (p) {
		memset(p, 0xa5, size);
		probe_blocks++;
	}
	return p;
}

static inline void *probe_realloc(void *p, size_t size)
{
	if (!probe_may_allocate())
		return NULL;
	if (!p)
		probe_blocks++;
	return realloc(p, size);
}

static inline void probe_free(void *p)
{
	if (p)
		probe_blocks--;
	free(p);
}

/* Shortages are warned of; here they are wanted. */
static inline void probe_say_nothing(int severity, const char *text)
{
	(void)severity;
	(void)text;
}

static inline void probe_setup(void)
{
	event_set_log_callback(probe_say_nothing);
	probe_blocks = 0;
	probe_allocations_left = -1;
	probe_failures_per_256 = 0;
	event_set_mem_functions(probe_malloc, probe_realloc, probe_free);
}

/* Every test gives back all it took. */
static inline void probe_teardown(void)
{
	ck_assert_int_eq(probe_blocks, 0);
	event_set_mem_functions(NULL, NULL, NULL);
	event_set_log_callback(NULL);
}

/* ---- bytes */

/* The byte at this place of an endless text, in which no place looks like its neighbours. */
static inline unsigned char probe_byte(size_t place)
{
	return (unsigned char)(place * 31 + (place >> 8) * 7 + (place >> 16));
}

static inline void probe_fill(void *out, size_t place, size_t n)
{
	unsigned char *bytes = out;

	for (size_t i = 0; i < n; i++)
		bytes[i] = probe_byte(place + i);
}

static inline void probe_add(struct evbuffer *buf, size_t place, size_t n)
{
	unsigned char *bytes = malloc(n);

	probe_fill(bytes, place, n);
	ck_assert_int_eq(evbuffer_add(buf, bytes, n), 0);
	free(bytes);
}

/* ---- the invariants */

static inline void probe_validate_chain(const struct evbuffer_chain *c)
{
	ck_assert_int_gt(c->refcnt, 0);
	ck_assert_uint_eq(c->flags & EVBUFFER_DANGLING, 0);
	ck_assert_int_ge(c->misalign, 0);
	ck_assert_uint_le((size_t)c->misalign + c->off, c->buffer_len);
	if (c->flags & EVC_CHAIN_BLOCK)
		ck_assert_uint_eq(c->buffer_len, EVC_BLOCK_SIZE);
}

static inline void probe_validate(struct evbuffer *buf)
{
	struct evbuffer_chain **slot, **last_with_data = &buf->first, *last = NULL;
	size_t sum = 0;

	for (slot = &buf->first; *slot; slot = &(*slot)->next) {
		probe_validate_chain(*slot);
		last = *slot;
		sum += last->off;
		if (last->off)
			last_with_data = slot;
	}
	ck_assert_uint_eq(sum, buf->total_len);
	ck_assert_ptr_eq(buf->last, last);
	ck_assert_ptr_eq(buf->last_with_datap, last_with_data);
}

static inline size_t probe_chains(const struct evbuffer *buf)
{
	size_t n = 0;

	for (const struct evbuffer_chain *c = buf->first; c; c = c->next)
		n++;
	return n;
}

/* The buffer is sound and holds exactly these bytes. */
static inline void probe_expect(struct evbuffer *buf, const void *bytes, size_t n)
{
	const unsigned char *at = bytes;

	probe_validate(buf);
	ck_assert_uint_eq(evbuffer_get_length(buf), n);
	for (const struct evbuffer_chain *c = buf->first; c; c = c->next) {
		ck_assert(c->off == 0 || memcmp(evc_chain_data(c), at, c->off) == 0);
		at += c->off;
	}
}

static inline void probe_expect_text(struct evbuffer *buf, const char *text)
{
	probe_expect(buf, text, strlen(text));
}

/* The n bytes from this place of the endless text. */
static inline void probe_expect_bytes(struct evbuffer *buf, size_t place, size_t n)
{
	unsigned char *bytes = malloc(n + 1);

	probe_fill(bytes, place, n);
	probe_expect(buf, bytes, n);
	free(bytes);
}

static inline struct evbuffer *probe_buffer(const char *text)
{
	struct evbuffer *buf = evbuffer_new();

	ck_assert_ptr_nonnull(buf);
	ck_assert_int_eq(evbuffer_add(buf, text, strlen(text)), 0);
	return buf;
}

/* ---- references whose cleanup counts */

static inline void probe_count_cleanup(const void *data, size_t len, void *count)
{
	(void)data;
	(void)len;
	++*(int *)count;
}

static inline void probe_refer(struct evbuffer *buf, const char *text, int *cleanups)
{
	ck_assert_int_eq(
	    evbuffer_add_reference(buf, text, strlen(text), probe_count_cleanup, cleanups), 0);
}

/* A case whose tests use the allocator above. */
static inline TCase *probe_case(Suite *s, const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, probe_setup, probe_teardown);
	suite_add_tcase(s, tc);
	return tc;
}

#endif
