/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_evbuffer_hard.c - evbuffers without memory, and everything at random.
 *
 * Each thing that needs memory is done with an allocator that fails at its first call, then at its
 * second, and so on until it is done: what failed must have changed nothing. At random, two buffers
 * and two plain arrays of bytes go through the same, chains being pinned and unpinned meanwhile,
 * and after each step the buffers must be sound and hold what the arrays do.
 */
#include "evbuffer_probe.h"

/* ---- no memory */

enum { N_NEEDS = 12, PULLUP = 5 };

/* One of the things that need memory. True iff it was done. */
static bool need(int which, struct evbuffer *buf, struct evbuffer *other)
{
	static unsigned char bytes[5000];
	struct evbuffer_iovec vec[3] = {
	    {.iov_base = bytes, .iov_len = 3000}, {.iov_base = bytes, .iov_len = 1500}};

	switch (which) {
	case 0:
		return evbuffer_add(buf, bytes, sizeof(bytes)) == 0;
	case 1:
		return evbuffer_prepend(buf, bytes, sizeof(bytes)) == 0;
	case 2:
		return evbuffer_expand(buf, 50000) == 0;
	case 3:
		return evbuffer_reserve_space(buf, 70000, vec, 1) == 1;
	case 4:
		return evbuffer_reserve_space(buf, 90000, vec, 2) > 0;
	case PULLUP:
		return evbuffer_pullup(buf, -1) != NULL;
	case 6:
		return evbuffer_add_reference(buf, bytes, 10, NULL, NULL) == 0;
	case 7:
		return evbuffer_add_buffer_reference(other, buf) == 0;
	case 8:
		return evbuffer_remove_buffer(buf, other, 2500) == 2500;
	case 9:
		return evbuffer_add_buffer(other, buf) == 0;
	case 10:
		return evbuffer_prepend_buffer(other, buf) == 0;
	default:
		return evbuffer_add_iovec(buf, vec, 2) == 4500;
	}
}

/* Does it with so many allocations allowed. Somebody else is writing to the last chain, which asks
 * for more memory, and which pulling up would be refused for. */
static bool need_within(int which, int limit)
{
	struct evbuffer *buf = evbuffer_new(), *other = probe_buffer("other");
	struct evbuffer_chain *pinned;
	bool done;

	for (size_t at = 0; at < 2900; at += 100)
		probe_add(buf, at, 100);
	pinned = buf->last;
	if (which != PULLUP)
		evbuffer_chain_pin_(pinned, EVBUFFER_MEM_PINNED_R);
	probe_allocations_left = limit;
	done = need(which, buf, other);
	probe_allocations_left = -1;
	probe_validate(buf);
	probe_validate(other);
	if (!done) {
		probe_expect_bytes(buf, 0, 2900);
		probe_expect_text(other, "other");
	}
	if (which != PULLUP)
		evbuffer_chain_unpin_(pinned, EVBUFFER_MEM_PINNED_R);
	evbuffer_free(buf);
	evbuffer_free(other);
	return done;
}

START_TEST(test_what_fails_for_want_of_memory_changes_nothing)
{
	int limit = 0;

	while (!need_within(_i, limit))
		ck_assert_int_lt(++limit, 20);
	ck_assert_int_gt(limit, 0);
}
END_TEST

START_TEST(test_without_memory_there_is_no_new_buffer)
{
	probe_allocations_left = 0;
	ck_assert_ptr_null(evbuffer_new());
}
END_TEST

/* ---- at random */

enum { MODEL_MAX = 100000, ENOUGH = 15000, MAX_SIZE = 6000, MAX_PINS = 8 };

/* Two buffers, what should be in them, and the chains that are pinned. */
struct world {
	struct evbuffer *buf[2];
	unsigned char *bytes[2];
	size_t len[2];
	struct evbuffer_chain *pinned[MAX_PINS];
	unsigned pin_flag[MAX_PINS];
};

static void model_insert(struct world *w, int to, size_t at, const void *bytes, size_t n)
{
	ck_assert_uint_le(w->len[to] + n, MODEL_MAX);
	memmove(w->bytes[to] + at + n, w->bytes[to] + at, w->len[to] - at);
	memcpy(w->bytes[to] + at, bytes, n);
	w->len[to] += n;
}

static void model_drain(struct world *w, int from, size_t n)
{
	if (n > w->len[from])
		n = w->len[from];
	w->len[from] -= n;
	memmove(w->bytes[from], w->bytes[from] + n, w->len[from]);
}

/* Mostly small, sometimes larger than a chain. */
static size_t random_size(void)
{
	const unsigned limits[] = {10, 300, 1100, MAX_SIZE};

	return probe_random() % limits[probe_random() % 4];
}

static void free_bytes(const void *data, size_t len, void *unused)
{
	(void)len;
	(void)unused;
	free((void *)(uintptr_t)data);
}

static bool adopt(struct evbuffer *buf, const void *bytes, size_t n)
{
	struct evbuffer_chain *block = evc_block_new();

	if (!block)
		return false;
	memcpy(block->buffer, bytes, n);
	evc_buffer_adopt(buf, block, n);
	return true;
}

static void put_something(struct world *w, int to)
{
	const size_t n = random_size();
	unsigned char *bytes = malloc(n + 1);
	bool at_front = false, given = false, done;

	for (size_t i = 0; i < n; i++)
		bytes[i] = (unsigned char)probe_random();
	switch (probe_random() % 6) {
	case 0:
		at_front = true;
		done = evbuffer_prepend(w->buf[to], bytes, n) == 0;
		break;
	case 1:
		given = evbuffer_add_reference(w->buf[to], bytes, n, free_bytes, NULL) == 0;
		done = given;
		break;
	case 2:
		done = adopt(w->buf[to], bytes, n);
		break;
	case 3:
		done = evc_buffer_append(w->buf[to], bytes, n) == 0;
		break;
	default:
		done = evbuffer_add(w->buf[to], bytes, n) == 0;
	}
	/* A reference of no bytes may be gone already. */
	if (done && n)
		model_insert(w, to, at_front ? 0 : w->len[to], bytes, n);
	if (!given)
		free(bytes);
}

static void move_something(struct world *w, int from, int to)
{
	size_t n = w->len[from];
	bool at_front = false, done;

	switch (probe_random() % 4) {
	case 0:
		at_front = true;
		done = evbuffer_prepend_buffer(w->buf[to], w->buf[from]) == 0;
		break;
	case 1:
		done = evbuffer_add_buffer(w->buf[to], w->buf[from]) == 0;
		break;
	default:
		n = random_size();
		n = n < w->len[from] ? n : w->len[from];
		done = evbuffer_remove_buffer(w->buf[from], w->buf[to], n) == (int)n;
	}
	if (!done)
		return;
	model_insert(w, to, at_front ? 0 : w->len[to], w->bytes[from], n);
	model_drain(w, from, n);
}

static void show_something(struct world *w, int from, int to)
{
	if (evbuffer_add_buffer_reference(w->buf[to], w->buf[from]) == 0)
		model_insert(w, to, w->len[to], w->bytes[from], w->len[from]);
}

static void fill_room(struct world *w, int to)
{
	struct evbuffer_iovec vec[4];
	int n = evbuffer_reserve_space(
	    w->buf[to], (ev_ssize_t)random_size(), vec, 1 + (int)(probe_random() % 4));

	if (n < 0)
		return;
	for (int i = 0; i < n; i++) {
		if (probe_random() % 2 || vec[i].iov_len > MAX_SIZE)
			vec[i].iov_len = probe_random() % (vec[i].iov_len + 1) % MAX_SIZE;
		probe_fill(vec[i].iov_base, probe_random(), vec[i].iov_len);
		model_insert(w, to, w->len[to], vec[i].iov_base, vec[i].iov_len);
	}
	ck_assert_int_eq(evbuffer_commit_space(w->buf[to], vec, n), 0);
}

/* Pins the first chain or the last, or unpins what was pinned here. */
static void pin_something(struct world *w, int which)
{
	const bool last = probe_random() % 2;
	const unsigned flag = last ? EVBUFFER_MEM_PINNED_R : EVBUFFER_MEM_PINNED_W;
	struct evbuffer_chain *chain = last ? w->buf[which]->last : w->buf[which]->first;
	const unsigned i = probe_random() % MAX_PINS;

	if (w->pinned[i]) {
		evbuffer_chain_unpin_(w->pinned[i], w->pin_flag[i]);
		w->pinned[i] = NULL;
	} else if (chain && !(chain->flags & (flag | EVBUFFER_IMMUTABLE))) {
		evbuffer_chain_pin_(chain, flag);
		w->pinned[i] = chain;
		w->pin_flag[i] = flag;
	}
}

static void pull_something(struct world *w, int which)
{
	const size_t n = random_size();
	const unsigned char *p = evbuffer_pullup(w->buf[which], (ev_ssize_t)n);

	if (n > w->len[which])
		ck_assert_ptr_null(p);
	if (p)
		ck_assert_mem_eq(p, w->bytes[which], n);
}

static void take_something(struct world *w, int from)
{
	const size_t n = random_size(), there = n < w->len[from] ? n : w->len[from];
	unsigned char got[MAX_SIZE];

	switch (probe_random() % 3) {
	case 0:
		ck_assert_int_eq(evbuffer_drain(w->buf[from], n), 0);
		break;
	case 1:
		evc_buffer_drain(w->buf[from], n);
		break;
	default:
		ck_assert_int_eq(evbuffer_remove(w->buf[from], got, n), (int)there);
		ck_assert(there == 0 || memcmp(got, w->bytes[from], there) == 0);
	}
	model_drain(w, from, n);
}

static void do_something(struct world *w)
{
	const int a = (int)(probe_random() % 2), b = 1 - a;

	switch (probe_random() % 12) {
	case 0:
		move_something(w, a, b);
		break;
	case 1:
		show_something(w, a, b);
		break;
	case 2:
	case 3:
		fill_room(w, a);
		break;
	case 4:
		pull_something(w, a);
		break;
	case 5:
		evbuffer_expand(w->buf[a], random_size());
		break;
	case 6:
		pin_something(w, a);
		break;
	case 7:
	case 8:
		take_something(w, a);
		break;
	default:
		put_something(w, a);
	}
}

static void check_and_trim(struct world *w, int which)
{
	const size_t n = w->len[which];

	probe_expect(w->buf[which], w->bytes[which], n);
	if (n > ENOUGH) {
		ck_assert_int_eq(evbuffer_drain(w->buf[which], n - 100), 0);
		model_drain(w, which, n - 100);
	}
}

/* Every round has a seed of its own. In the odd ones memory is short; in every other two blocks are
 * kept for reuse. */
START_TEST(test_anything_goes)
{
	struct world w = {.buf = {evbuffer_new(), evbuffer_new()}};

	w.bytes[0] = malloc(MODEL_MAX);
	w.bytes[1] = malloc(MODEL_MAX);
	probe_seed = (unsigned)_i;
	probe_failures_per_256 = _i % 2 ? 30 : 0;
	if (_i % 4 >= 2)
		evc_block_store_open();
	for (int i = 0; i < 2000; i++) {
		do_something(&w);
		check_and_trim(&w, 0);
		check_and_trim(&w, 1);
	}
	/* Emptied first: if they show each other's chains, each would wait for the other to go. */
	for (int i = 0; i < 2; i++)
		evbuffer_drain(w.buf[i], w.len[i]);
	evbuffer_free(w.buf[0]);
	evbuffer_free(w.buf[1]);
	for (int i = 0; i < MAX_PINS; i++) {
		if (w.pinned[i])
			evbuffer_chain_unpin_(w.pinned[i], w.pin_flag[i]);
	}
	if (_i % 4 >= 2)
		evc_block_store_close();
	free(w.bytes[0]);
	free(w.bytes[1]);
}
END_TEST

static Suite *evbuffer_hard_suite(void)
{
	Suite *s = suite_create("evbuffer_hard");
	TCase *tc = probe_case(s, "hard");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, test_what_fails_for_want_of_memory_changes_nothing, 0, N_NEEDS);
	tcase_add_test(tc, test_without_memory_there_is_no_new_buffer);
	tcase_add_loop_test(tc, test_anything_goes, 0, 24);
	return s;
}

int main(void)
{
	SRunner *sr = srunner_create(evbuffer_hard_suite());
	int failed;

	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
