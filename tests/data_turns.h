/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the suites of the requests that move data share: an engine on the fake ring with a pool of
 * four buffers, intakes and sends that are overwritten and freed as soon as they are over, turns,
 * and what has to be so at the end of every test: nothing in flight, every item and every block
 * given back.
 */
#ifndef TESTS_DATA_TURNS_H
#define TESTS_DATA_TURNS_H

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "in_child.h"
#include "request.h"
#include "ring_fake.h"

#define A 1001
#define B 1002
#define C 1003

#define POOL 4

static struct evu_engine *e;

#define MAX_REQUESTS 64
static struct evu_intake *intakes[MAX_REQUESTS];
static struct evu_send *sends[MAX_REQUESTS];
static int n_intakes, n_sends;

/* ---- turns */

static inline void turn_of(int64_t timeout_ns)
{
	fake_log_clear();
	ck_assert_int_eq(evu_engine_turn(e, timeout_ns), 0);
}

/* One that does not sleep. */
static inline void turn(void)
{
	turn_of(0);
}

static inline void settle(void)
{
	ck_assert(evu_engine_settle(e));
	ck_assert(!evu_engine_unsettled(e));
}

/* ---- requests */

static inline struct evu_intake *new_intake(enum evu_request_kind kind)
{
	struct evu_intake *in = malloc(sizeof(*in));

	ck_assert_ptr_nonnull(in);
	ck_assert_int_lt(n_intakes, MAX_REQUESTS);
	evu_intake_init(in, e, kind);
	return intakes[n_intakes++] = in;
}

static inline struct evu_intake *started(enum evu_request_kind kind, int fd)
{
	struct evu_intake *in = new_intake(kind);

	evu_intake_start(in, fd, 0);
	return in;
}

/* A receive that the kernel has seen. */
static inline struct evu_intake *receiving(int fd)
{
	struct evu_intake *in = started(EVU_RECV, fd);

	turn();
	ck_assert_ptr_nonnull(fake_req(fd));
	return in;
}

static inline void give(struct evu_item *item)
{
	while (item) {
		struct evu_item *next = item->next;

		evu_item_give(e, item);
		item = next;
	}
}

/* The bytes of a list, as a text, until the next call. */
static inline const char *text_of(const struct evu_item *item)
{
	static char text[65536];
	size_t n = 0;

	for (; item; item = item->next) {
		unsigned len = item->end - item->start;

		ck_assert_uint_le(item->end, item->bulk ? EVU_BULK_SIZE : EVU_BLOCK_SIZE);
		ck_assert_uint_lt(item->start, item->end);
		ck_assert_uint_lt(n + len, sizeof(text));
		memcpy(text + n, (char *)item->data + item->start, len);
		n += len;
	}
	text[n] = '\0';
	return text;
}

/* All that has come, and it is given back. */
static inline const char *taken(struct evu_intake *in)
{
	struct evu_item *item = evu_intake_take(in);
	const char *text = text_of(item);

	give(item);
	return text;
}

static inline struct evu_send *sending(int fd, const char *text)
{
	struct evu_send *s = evu_send_new(e);

	ck_assert_ptr_nonnull(s);
	ck_assert_int_lt(n_sends, MAX_REQUESTS);
	s->vecs[0] = (struct iovec){(void *)(uintptr_t)text, strlen(text)};
	s->n_vecs = 1;
	evu_send_start(s, fd);
	return sends[n_sends++] = s;
}

/* ---- the end of a test */

static inline void end_all(void)
{
	int i;

	fake.on_enter = NULL;
	fake.on_seen = NULL;
	fake.on_wait = NULL;
	fake.cancel_by_hand = fake.real_sleep = false;
	fake_log.on_arrived = NULL;
	fake_mem_install(-1);
	for (i = 0; i < n_intakes; i++)
		evu_request_drop(&intakes[i]->req);
	for (i = 0; i < n_sends; i++)
		evu_request_drop(&sends[i]->req);
	if (!evu_engine_settle(e))
		turn();
}

static inline void nothing_is_left(void)
{
	ck_assert(!evu_link_linked(&e->starting));
	ck_assert(!evu_link_linked(&e->halting));
	ck_assert_int_eq(e->nrequests, 0);
	ck_assert_int_eq(e->nreceiving, 0);
	ck_assert_uint_eq(e->pool.in_flight, (unsigned)e->narmed);
}

static inline void free_all(void)
{
	for (; n_intakes; n_intakes--) {
		struct evu_intake *in = intakes[n_intakes - 1];

		ck_assert(evu_request_over(&in->req));
		give(evu_intake_take(in));
		memset(in, 0xdd, sizeof(*in));
		free(in);
	}
	for (; n_sends; n_sends--) {
		ck_assert(evu_request_over(&sends[n_sends - 1]->req));
		evu_send_free(sends[n_sends - 1]);
	}
}

static inline void setup_with(const char *buffers)
{
	if (buffers)
		setenv("EVENT_URING_BUFFERS", buffers, 1);
	else
		unsetenv("EVENT_URING_BUFFERS");
	fake_install();
	fake_mem_install(-1);
	n_intakes = n_sends = 0;
	e = fake_engine(FAKE_ALL_METHODS);
}

static inline void setup(void)
{
	setup_with("4");
}

static inline void teardown(void)
{
	end_all();
	nothing_is_left();
	free_all();
	fake_engine_done(e);
}

/* Another pool. */
static inline void again_with(const char *buffers)
{
	teardown();
	setup_with(buffers);
}

/* ---- threads and processes */

/* The body runs in a forked child, which ends with 0 if it comes through. */
static inline void in_fork(void (*body)(void))
{
	struct in_child c = in_child(body);

	ck_assert_msg(
	    c.exit_code == 0, "exit %d, signal %d: %s", c.exit_code, c.signal, c.stderr_text);
}

static void (*other_part)(void);

static inline void other_with_lock(void *arg)
{
	(void)arg;
	fake_hold();
	other_part();
	fake_let_go();
}

/* Another thread does its part, with the lock, to the end. */
static inline void elsewhere(void (*part)(void))
{
	other_part = part;
	fake_in_thread(other_with_lock, NULL);
}

static inline void *other_while_asleep(void *arg)
{
	other_with_lock(arg);
	return NULL;
}

static inline void run_other_part(int64_t timeout_ns)
{
	pthread_t t;

	if (timeout_ns == 0)
		return;
	fake.on_wait = NULL;
	ck_assert_int_eq(pthread_create(&t, NULL, other_while_asleep, NULL), 0);
	ck_assert_int_eq(pthread_join(t, NULL), 0);
}

/* A turn in whose sleep another thread does its part, which has to end the sleep. */
static inline void sleep_while(void (*part)(void))
{
	other_part = part;
	fake.real_sleep = true;
	fake.on_wait = run_other_part;
	turn_of(-1);
	fake.real_sleep = false;
	ck_assert_uint_eq(fake.overslept, 0);
}

static inline int data_suite_run(Suite *s)
{
	SRunner *sr = srunner_create(s);
	int failed;

	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
