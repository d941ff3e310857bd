/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the suites of the readiness machine share: an engine on the fake ring, polls that are
 * overwritten and freed as soon as they are dropped, and turns.
 */
#ifndef TESTS_POLL_TURNS_H
#define TESTS_POLL_TURNS_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "ring_fake.h"

#define A 1001
#define B 1002
#define C 1003

static struct evu_engine *e;

static inline struct evu_poll *new_poll(int fd)
{
	struct evu_poll *p = malloc(sizeof(*p));

	ck_assert_ptr_nonnull(p);
	evu_poll_init(p, e, fd);
	return p;
}

static inline struct evu_poll *watch(int fd, unsigned mask, enum evu_watch how)
{
	struct evu_poll *p = new_poll(fd);

	ck_assert_int_eq(evu_poll_want(p, mask, how, true), 0);
	return p;
}

static inline void want(struct evu_poll *p, unsigned mask, enum evu_watch how)
{
	ck_assert_int_eq(evu_poll_want(p, mask, how, true), 0);
}

static inline void drop(struct evu_poll *p)
{
	evu_poll_drop(p);
	memset(p, 0xdd, sizeof(*p));
	free(p);
}

/* One turn; the log holds what it told. */
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

/* Data comes: the armed request completes, and poll(2) will say so. */
static inline void fire(int fd, unsigned mask, bool more)
{
	fake_set_ready(fd, mask);
	fake_complete(fd, (int)mask, more);
}

static inline void hint_setup(void)
{
	fake_install();
	fake_mem_install(-1);
	e = fake_engine(FAKE_ALL_METHODS);
}

static inline void truth_setup(void)
{
	fake_install();
	fake_mem_install(-1);
	e = fake_engine(1u << EVU_EPOLL | 1u << EVU_POLL2);
}

static inline void teardown(void)
{
	fake_engine_done(e);
}

static inline int poll_suite_run(Suite *s)
{
	SRunner *sr = srunner_create(s);
	int failed;

	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
