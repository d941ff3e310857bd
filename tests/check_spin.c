/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_spin.c - looking before sleeping, on the fake ring of either kind: what is found, when it
 * ends, and what may happen meanwhile.
 */
#include <errno.h>
#include <time.h>

#include "poll_turns.h"

#define LONG_NS 20000000 /* longer than anything that is to end a spin here */

static int looks_left;

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void setup(void)
{
	fake_install();
	fake_mem_install(-1);
	e = fake_engine(FAKE_ALL_METHODS);
	turn();
	fake.looks = fake.waits = 0;
}

static void truth(void)
{
	truth_setup();
	turn();
	fake.looks = fake.waits = 0;
}

START_TEST(test_nobody_looks_who_was_not_asked_to)
{
	turn_of(1000);
	evu_engine_spin(e, 1000);
	evu_engine_spin(e, -1);
	turn_of(1000);
	evu_engine_spin(e, 0);
	turn_of(1000);
	ck_assert_uint_eq(fake.looks, 0);
	ck_assert_uint_eq(fake.waits, 3);
}
END_TEST

static void fire_at_last(void)
{
	if (--looks_left == 0)
		fire(A, POLLIN, true);
}

START_TEST(test_what_comes_while_it_looks_is_told_without_a_sleep)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	evu_engine_spin(e, EVU_SPIN_MOST);
	fake.on_look = fire_at_last;
	looks_left = 3;
	turn_of(-1);
	ck_assert_uint_eq(fake.looks, 3);
	ck_assert_uint_eq(fake.waits, 0);
	ck_assert_uint_eq(fake_told_mask(A), POLLIN);
	drop(p);
}
END_TEST

START_TEST(test_when_nothing_comes_it_sleeps_for_the_rest)
{
	evu_engine_spin(e, 200000);
	turn_of(LONG_NS);
	ck_assert_uint_ge(fake.looks, 1);
	ck_assert_uint_eq(fake.waits, 1);
	ck_assert_int_gt(fake.last_timeout_ns, 0);
	ck_assert_int_le(fake.last_timeout_ns, LONG_NS - 200000);
	turn_of(-1);
	ck_assert_uint_eq(fake.waits, 2);
	ck_assert_int_eq(fake.last_timeout_ns, -1);
}
END_TEST

START_TEST(test_it_does_not_look_beyond_the_deadline)
{
	int64_t start = now_ns();

	evu_engine_spin(e, EVU_SPIN_MOST);
	turn_of(50000);
	ck_assert_int_ge(now_ns() - start, 50000);
	ck_assert_uint_ge(fake.looks, 1);
	ck_assert_uint_eq(fake.waits, 0);
}
END_TEST

START_TEST(test_a_turn_that_may_not_sleep_does_not_look)
{
	evu_engine_spin(e, EVU_SPIN_MOST);
	turn();
	ck_assert_uint_eq(fake.looks, 0);
	ck_assert_uint_eq(fake.waits, 1);
}
END_TEST

START_TEST(test_it_looks_for_a_bounded_time)
{
	evu_engine_spin(e, INT64_MAX);
	ck_assert_int_eq(e->spin_ns, EVU_SPIN_MOST);
}
END_TEST

static void wake_with_the_lock(void)
{
	fake_hold();
	ck_assert(evu_engine_asleep(e));
	if (--looks_left == 0)
		evu_engine_wake(e);
	fake_let_go();
}

START_TEST(test_the_lock_is_free_meanwhile_and_waking_ends_it)
{
	evu_engine_spin(e, EVU_SPIN_MOST);
	fake.on_look = wake_with_the_lock;
	looks_left = 2;
	turn_of(-1);
	ck_assert_uint_eq(fake.looks, 2);
	ck_assert_uint_eq(fake.waits, 0);
	ck_assert(!evu_engine_asleep(e));
}
END_TEST

START_TEST(test_what_is_pending_is_armed_by_the_first_look)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_ONCE);

	evu_engine_spin(e, EVU_SPIN_MOST);
	fake.on_look = fire_at_last;
	looks_left = 1;
	turn_of(-1);
	ck_assert_int_eq(fake_told(A), 1);
	ck_assert_uint_eq(fake.waits, 0);
	drop(p);
}
END_TEST

START_TEST(test_a_ring_that_fails_while_it_looks_is_replaced)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);
	unsigned closes = fake.closes;

	evu_engine_spin(e, 100000);
	fake.refuse_look = (struct fake_refusal){-EBADF, 1, 0};
	turn_of(LONG_NS);
	ck_assert_uint_eq(fake.closes, closes + 1);
	ck_assert_ptr_nonnull(fake_req(A));
	ck_assert_uint_eq(fake.waits, 1);
	drop(p);
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_test(tc, test_nobody_looks_who_was_not_asked_to);
	tcase_add_test(tc, test_what_comes_while_it_looks_is_told_without_a_sleep);
	tcase_add_test(tc, test_when_nothing_comes_it_sleeps_for_the_rest);
	tcase_add_test(tc, test_it_does_not_look_beyond_the_deadline);
	tcase_add_test(tc, test_a_turn_that_may_not_sleep_does_not_look);
	tcase_add_test(tc, test_it_looks_for_a_bounded_time);
	tcase_add_test(tc, test_the_lock_is_free_meanwhile_and_waking_ends_it);
	tcase_add_test(tc, test_what_is_pending_is_armed_by_the_first_look);
	tcase_add_test(tc, test_a_ring_that_fails_while_it_looks_is_replaced);
}

int main(void)
{
	Suite *s = suite_create("spin");
	TCase *on_hints = tcase_create("hints"), *on_truth = tcase_create("truth");

	tcase_add_checked_fixture(on_hints, setup, teardown);
	add(on_hints);
	suite_add_tcase(s, on_hints);
	tcase_add_checked_fixture(on_truth, truth, teardown);
	add(on_truth);
	suite_add_tcase(s, on_truth);
	return poll_suite_run(s);
}
