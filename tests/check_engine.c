/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_engine.c - turns, sleeping and waking, and the loss of rings, on the fake ring. (Threads
 * and processes: check_engine_move.c.)
 *
 * The order of a turn that matters here: arm, flush and sleep, reap, confirm; and when the first
 * half found that nothing is ready after all, a second half that sleeps.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ring_fake.h"

#define A 1001
#define B 1002

static struct evu_engine *e;
static struct evu_poll a, b;

static void watch(struct evu_poll *p, int fd, enum evu_watch how)
{
	evu_poll_init(p, e, fd);
	ck_assert_int_eq(evu_poll_want(p, POLLIN, how, true), 0);
}

static void turn(int64_t timeout_ns)
{
	fake_log_clear();
	ck_assert_int_eq(evu_engine_turn(e, timeout_ns), 0);
}

static void fire(int fd)
{
	fake_set_ready(fd, POLLIN);
	fake_complete(fd, POLLIN, true);
}

static void setup(void)
{
	fake_install();
	fake_mem_install(-1);
	e = fake_engine(FAKE_ALL_METHODS);
}

static void teardown(void)
{
	fake_engine_done(e);
}

/* ---- opening */

START_TEST(test_the_first_method_that_opens_is_taken)
{
	int i;

	for (i = 0; i < EVU_NMETHODS; i++) {
		ck_assert_int_eq(evu_engine_method(e), i);
		ck_assert_str_eq(evu_method_name(evu_engine_method(e)), fake.ring->ops->name);
		fake_engine_done(e);
		fake.refuse_open[i] = (struct fake_refusal){-EPERM, -1, 0};
		if (i < EVU_POLL2)
			e = fake_engine(FAKE_ALL_METHODS);
	}
	setup();
}
END_TEST

START_TEST(test_a_method_that_is_not_allowed_is_not_opened)
{
	fake_engine_done(e);
	e = fake_engine(1u << EVU_POLL2);
	ck_assert_int_eq(evu_engine_method(e), EVU_POLL2);
	ck_assert_uint_eq(fake.opens[EVU_EPOLL], 0);
	ck_assert_uint_eq(fake.opens[EVU_IO_URING], 1); /* the fixture's */
}
END_TEST

START_TEST(test_when_no_method_opens_there_is_no_engine)
{
	struct evu_engine *none = NULL;
	int i;

	fake_engine_done(e);
	for (i = 0; i < EVU_NMETHODS; i++)
		fake.refuse_open[i] = (struct fake_refusal){-EMFILE, -1, 0};
	ck_assert_int_eq(evu_engine_new(&none, FAKE_ALL_METHODS, &fake_hooks, NULL), -EMFILE);
	ck_assert_int_eq(evu_engine_new(&none, 0, &fake_hooks, NULL), -ENOSYS);
	ck_assert_ptr_null(none);
	setup();
}
END_TEST

START_TEST(test_an_unknown_method_has_no_name)
{
	ck_assert_ptr_null(evu_method_name(EVU_NMETHODS));
}
END_TEST

START_TEST(test_the_ring_is_enabled_once_by_the_thread_that_turns_first)
{
	ck_assert_uint_eq(fake.enables, 0);
	turn(0);
	turn(0);
	ck_assert_uint_eq(fake.enables, 1);
}
END_TEST

/* ---- sleeping */

START_TEST(test_a_turn_sleeps_for_the_time_it_was_given)
{
	turn(12345);
	ck_assert_int_eq(fake.last_timeout_ns, 12345);
	turn(-1);
	ck_assert_int_eq(fake.last_timeout_ns, -1);
	turn(0);
	ck_assert_int_eq(fake.last_timeout_ns, 0);
	ck_assert_uint_eq(fake.waits, 3);
}
END_TEST

START_TEST(test_a_turn_does_not_sleep_while_something_is_hot)
{
	watch(&a, A, EVU_LEVEL);
	turn(0);
	fire(A);
	turn(-1); /* sleeps, and finds the completion */
	fake.sleeps = fake.waits = 0;
	turn(-1);
	ck_assert_int_eq(fake_told(A), 1);
	ck_assert_uint_eq(fake.sleeps, 0);
	ck_assert_uint_eq(fake.waits, 1);
}
END_TEST

START_TEST(test_when_nothing_hot_is_ready_after_all_the_second_half_sleeps)
{
	watch(&a, A, EVU_LEVEL);
	turn(0);
	fire(A);
	turn(0);
	fake_set_ready(A, 0);
	fake.sleeps = fake.waits = 0;
	turn(777);
	ck_assert_uint_eq(fake.waits, 2);
	ck_assert_uint_eq(fake.sleeps, 1);
	ck_assert_int_eq(fake.last_timeout_ns, 777);
	ck_assert_int_eq(fake_log.ntold, 0);
}
END_TEST

static void fire_b_when_asleep(int64_t timeout_ns)
{
	if (timeout_ns != 0)
		fire(B);
}

START_TEST(test_what_completes_in_the_second_half_is_told_by_the_same_turn)
{
	watch(&a, A, EVU_LEVEL);
	watch(&b, B, EVU_LEVEL);
	turn(0);
	fire(A);
	turn(0);
	fake_set_ready(A, 0);
	fake.on_wait = fire_b_when_asleep;
	turn(-1);
	ck_assert_int_eq(fake_told(A), 0);
	ck_assert_int_eq(fake_told(B), 1);
}
END_TEST

/* A hot poll whose request ended: the second half must arm it before it sleeps. */
START_TEST(test_the_second_half_arms_before_it_sleeps)
{
	watch(&a, A, EVU_LEVEL);
	turn(0);
	fake_set_ready(A, POLLIN);
	fake_complete(A, POLLIN, false);
	turn(0);
	fake_set_ready(A, 0);
	turn(-1);
	ck_assert_ptr_nonnull(fake_req(A));
	ck_assert(fake_req(A)->seen);
	ck_assert_uint_eq(fake.sleeps, 1);
}
END_TEST

START_TEST(test_a_hot_list_of_nothing_but_holes_does_not_keep_the_turn_awake)
{
	watch(&a, A, EVU_LEVEL);
	turn(0);
	fire(A);
	turn(0);
	evu_poll_drop(&a);
	fake.sleeps = 0;
	turn(-1);
	ck_assert_uint_eq(fake.sleeps, 1);
}
END_TEST

static bool asleep_in_wait;

static void look_whether_asleep(int64_t timeout_ns)
{
	(void)timeout_ns;
	asleep_in_wait = evu_engine_asleep(e);
}

START_TEST(test_the_engine_says_that_it_sleeps_while_it_is_in_the_ring)
{
	fake.on_wait = look_whether_asleep;
	turn(-1);
	ck_assert(asleep_in_wait);
	ck_assert(!evu_engine_asleep(e));
	asleep_in_wait = false;
	turn(0); /* only a look, but the ring is in use */
	ck_assert(asleep_in_wait);
	ck_assert(!evu_engine_asleep(e));
}
END_TEST

/* ---- waking */

static void wake_then(int64_t timeout_ns)
{
	(void)timeout_ns;
	fake.on_wait = NULL;
	evu_engine_wake(e);
}

START_TEST(test_a_wake_before_the_first_turn_ends_its_sleep)
{
	fake.real_sleep = true;
	evu_engine_wake(e);
	turn(-1);
	ck_assert_uint_eq(fake.waits, 1);
	ck_assert_uint_eq(fake.overslept, 0);
}
END_TEST

START_TEST(test_a_wake_while_asleep_ends_the_sleep)
{
	turn(0);
	fake.on_wait = wake_then;
	fake.real_sleep = true;
	turn(-1);
	ck_assert_uint_eq(fake.sleeps, 1);
	ck_assert_uint_eq(fake.overslept, 0);
}
END_TEST

START_TEST(test_each_wake_is_an_edge_of_its_own_though_nobody_reads)
{
	int i;

	fake.real_sleep = true;
	for (i = 0; i < 3; i++) {
		evu_engine_wake(e);
		turn(-1);
		turn(0);
	}
	ck_assert_uint_eq(fake.overslept, 0);
	ck_assert_uint_eq(fake.arms, 1);
}
END_TEST

START_TEST(test_a_wake_that_settle_reaps_ends_the_next_sleep)
{
	watch(&a, A, EVU_LEVEL);
	turn(0);
	evu_engine_wake(e);
	evu_poll_drop(&a);
	ck_assert(evu_engine_settle(e));
	ck_assert(e->woken);
	fake.sleeps = 0;
	turn(-1);
	ck_assert_uint_eq(fake.sleeps, 0);
	turn(-1);
	ck_assert_uint_eq(fake.sleeps, 1);
}
END_TEST

/* The first half reaps the wake; the second half must not sleep. */
START_TEST(test_a_wake_in_the_first_half_keeps_the_second_from_sleeping)
{
	watch(&a, A, EVU_LEVEL);
	turn(0);
	fire(A);
	turn(0);
	fake_set_ready(A, 0);
	evu_engine_wake(e);
	fake.sleeps = 0;
	turn(-1);
	ck_assert_uint_eq(fake.sleeps, 0);
	ck_assert_int_eq(fake_log.ntold, 0);
}
END_TEST

START_TEST(test_a_wake_whose_request_ended_is_armed_again)
{
	turn(0);
	fake_post(fake_req(e->wake.fd), POLLIN, false);
	turn(0);
	turn(0);
	ck_assert_ptr_nonnull(fake_req(e->wake.fd));
	fake.real_sleep = true;
	evu_engine_wake(e);
	turn(-1);
	ck_assert_uint_eq(fake.overslept, 0);
}
END_TEST

/* One turn comes back; the next one may sleep again. */
START_TEST(test_a_wake_ends_one_sleep_and_not_two)
{
	turn(0);
	evu_engine_wake(e);
	turn(-1);
	fake.sleeps = 0;
	turn(-1);
	ck_assert_uint_eq(fake.sleeps, 1);
}
END_TEST

START_TEST(test_where_there_are_no_edges_the_eventfd_is_drained)
{
	struct pollfd p = {.events = POLLIN};

	fake_engine_done(e);
	e = fake_engine(1u << EVU_POLL2);
	p.fd = e->wake.fd;
	fake.real_sleep = true;
	evu_engine_wake(e);
	turn(-1);
	ck_assert_uint_eq(fake.overslept, 0);
	ck_assert_int_eq(poll(&p, 1, 0), 0);
}
END_TEST

static void *wake_from_a_thread(void *arg)
{
	int i;

	for (i = 0; i < *(int *)arg; i++)
		evu_engine_wake(e);
	return NULL;
}

START_TEST(test_a_wake_from_another_thread_is_never_lost)
{
	int i, one = 1;

	fake.real_sleep = true;
	for (i = 0; i < 300; i++) {
		pthread_t t;

		ck_assert_int_eq(pthread_create(&t, NULL, wake_from_a_thread, &one), 0);
		turn(-1);
		pthread_join(t, NULL);
		turn(0);
	}
	ck_assert_uint_eq(fake.overslept, 0);
}
END_TEST

/* ---- rings that are lost */

static void watch_two_one_hot(void)
{
	watch(&a, A, EVU_LEVEL);
	watch(&b, B, EVU_LEVEL);
	turn(0);
	fire(A);
	turn(0);
}

/* After a loss: the hot one is told as before, the other is armed, and so is the eventfd. */
static void nothing_was_lost(enum evu_method method)
{
	ck_assert_int_eq(evu_engine_method(e), method);
	ck_assert_int_eq(fake_told(A), 1);
	ck_assert_ptr_nonnull(fake_req(B));
	ck_assert_ptr_nonnull(fake_req(e->wake.fd));
	fire(B);
	turn(0);
	ck_assert_int_eq(fake_told(B), 1);
	fake_set_ready(A, 0);
	turn(0);
	turn(0);
	ck_assert_ptr_nonnull(fake_req(A));
	turn(0);
	evu_engine_wake(e);
	fake.real_sleep = true;
	turn(-1);
	fake.real_sleep = false;
	ck_assert_uint_eq(fake.overslept, 0);
}

START_TEST(test_a_wait_that_is_forbidden_moves_to_the_next_method)
{
	static const int errors[] = {-EPERM, -EACCES, -ENOSYS, -EOPNOTSUPP, -EINVAL};

	watch_two_one_hot();
	fake.refuse_wait = (struct fake_refusal){errors[_i], 1, 0};
	turn(0);
	ck_assert_uint_eq(fake.opens[EVU_IO_URING], 1);
	nothing_was_lost(EVU_EPOLL);
}
END_TEST

START_TEST(test_a_ring_that_breaks_once_is_opened_again)
{
	static const int errors[] = {-EBADF, -EBADFD, -ENXIO, -EEXIST};

	watch_two_one_hot();
	fake.refuse_wait = (struct fake_refusal){errors[_i], 1, 0};
	turn(0);
	ck_assert_uint_eq(fake.opens[EVU_IO_URING], 2);
	nothing_was_lost(EVU_IO_URING);
}
END_TEST

START_TEST(test_a_ring_that_breaks_twice_is_given_up)
{
	watch_two_one_hot();
	fake.refuse_wait = (struct fake_refusal){-EBADF, 2, 0};
	turn(0);
	ck_assert_uint_eq(fake.opens[EVU_IO_URING], 2);
	nothing_was_lost(EVU_EPOLL);
}
END_TEST

START_TEST(test_a_prepare_that_fails_costs_the_ring_only)
{
	watch_two_one_hot();
	fake.refuse_prepare = (struct fake_refusal){-ESTALE, 1, 0};
	turn(0);
	nothing_was_lost(EVU_IO_URING);
}
END_TEST

START_TEST(test_a_ring_that_cannot_be_enabled_is_given_up)
{
	fake.refuse_enable = (struct fake_refusal){-EPERM, 1, 0};
	watch(&a, A, EVU_LEVEL);
	turn(0);
	ck_assert_int_eq(evu_engine_method(e), EVU_EPOLL);
	ck_assert_ptr_nonnull(fake_req(A));
	ck_assert_ptr_nonnull(fake_req(e->wake.fd));
}
END_TEST

START_TEST(test_a_flush_that_fails_while_settling_moves_to_the_next_method)
{
	struct evu_poll c;

	watch_two_one_hot();
	watch(&c, B + 1, EVU_LEVEL);
	turn(0);
	evu_poll_drop(&c);
	fake.refuse_flush = (struct fake_refusal){-EPERM, 1, 0};
	ck_assert(evu_engine_settle(e));
	ck_assert(!evu_engine_unsettled(e));
	ck_assert_uint_eq(fake.closes, 1);
	turn(0);
	ck_assert_ptr_null(fake_req(B + 1));
	nothing_was_lost(EVU_EPOLL);
}
END_TEST

/* The answers that were there are taken, and arming anew may find more. */
START_TEST(test_what_had_completed_on_a_lost_ring_is_told)
{
	watch(&a, A, EVU_EDGE);
	turn(0);
	fire(A);
	fake.refuse_wait = (struct fake_refusal){-EBADF, 1, 0};
	turn(0);
	ck_assert_uint_eq(fake.opens[EVU_IO_URING], 2);
	ck_assert_int_eq(fake_told(A), 1);
	turn(0);
	ck_assert_int_eq(fake_told(A), 0);
	ck_assert_ptr_nonnull(fake_req(A));
}
END_TEST

START_TEST(test_when_every_method_breaks_the_turn_fails_and_the_next_one_may_mend_it)
{
	watch(&a, A, EVU_LEVEL);
	turn(0);
	fake.refuse_wait = (struct fake_refusal){-EPERM, -1, 0};
	ck_assert_int_lt(evu_engine_turn(e, 0), 0);
	ck_assert(!fake.ring);
	ck_assert_int_lt(evu_engine_turn(e, 0), 0);
	fake.refuse_wait.times = 0;
	turn(0);
	ck_assert_int_eq(evu_engine_method(e), EVU_POLL2);
	ck_assert_ptr_nonnull(fake_req(A));
}
END_TEST

START_TEST(test_without_a_ring_dropping_and_freeing_still_work)
{
	watch(&a, A, EVU_LEVEL);
	watch(&b, B, EVU_LEVEL);
	turn(0);
	fake.refuse_wait = (struct fake_refusal){-EPERM, -1, 0};
	ck_assert_int_lt(evu_engine_turn(e, 0), 0);
	evu_poll_drop(&a);
	ck_assert(evu_engine_settle(e));
	watch(&a, A, EVU_ONCE);
	ck_assert_int_eq(e->npolls, 2);
}
END_TEST

START_TEST(test_reopening_that_is_refused_for_a_while_is_an_error_and_then_mended)
{
	int i;

	watch(&a, A, EVU_LEVEL);
	turn(0);
	for (i = 0; i < EVU_NMETHODS; i++)
		fake.refuse_open[i] = (struct fake_refusal){-EMFILE, 1, 0};
	fake.refuse_wait = (struct fake_refusal){-EBADF, 1, 0};
	ck_assert_int_eq(evu_engine_turn(e, 0), -EMFILE);
	turn(0);
	ck_assert_ptr_nonnull(fake_req(A));
}
END_TEST

/* The kernel's limit of registrations is reached while a lost epoll set is built anew. */
START_TEST(test_what_cannot_be_armed_on_the_new_ring_is_tried_again)
{
	fake_engine_done(e);
	e = fake_engine(1u << EVU_EPOLL);
	watch(&a, A, EVU_LEVEL);
	turn(0);
	fake.refuse_wait = (struct fake_refusal){-EBADF, 1, 0};
	fake.refuse_arm = (struct fake_refusal){-ENOSPC, 2, 0};
	turn(0);
	ck_assert_ptr_null(fake_req(A));
	turn(0);
	ck_assert_ptr_nonnull(fake_req(A));
	ck_assert_ptr_nonnull(fake_req(e->wake.fd));
}
END_TEST

START_TEST(test_reinit_without_a_fork_arms_everything_anew)
{
	watch_two_one_hot();
	ck_assert_int_eq(evu_engine_reinit(e), 0);
	turn(0);
	ck_assert_uint_eq(fake.alien_closes, 0);
	ck_assert_uint_eq(fake.closes, 1);
	nothing_was_lost(EVU_IO_URING);
}
END_TEST

static TCase *turn_case(void)
{
	TCase *tc = tcase_create("turns");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, test_the_first_method_that_opens_is_taken);
	tcase_add_test(tc, test_a_method_that_is_not_allowed_is_not_opened);
	tcase_add_test(tc, test_when_no_method_opens_there_is_no_engine);
	tcase_add_test(tc, test_an_unknown_method_has_no_name);
	tcase_add_test(tc, test_the_ring_is_enabled_once_by_the_thread_that_turns_first);
	tcase_add_test(tc, test_a_turn_sleeps_for_the_time_it_was_given);
	tcase_add_test(tc, test_a_turn_does_not_sleep_while_something_is_hot);
	tcase_add_test(tc, test_when_nothing_hot_is_ready_after_all_the_second_half_sleeps);
	tcase_add_test(tc, test_what_completes_in_the_second_half_is_told_by_the_same_turn);
	tcase_add_test(tc, test_the_second_half_arms_before_it_sleeps);
	tcase_add_test(tc, test_a_hot_list_of_nothing_but_holes_does_not_keep_the_turn_awake);
	tcase_add_test(tc, test_the_engine_says_that_it_sleeps_while_it_is_in_the_ring);
	tcase_add_test(tc, test_a_wake_before_the_first_turn_ends_its_sleep);
	tcase_add_test(tc, test_a_wake_while_asleep_ends_the_sleep);
	tcase_add_test(tc, test_each_wake_is_an_edge_of_its_own_though_nobody_reads);
	tcase_add_test(tc, test_a_wake_that_settle_reaps_ends_the_next_sleep);
	tcase_add_test(tc, test_a_wake_in_the_first_half_keeps_the_second_from_sleeping);
	tcase_add_test(tc, test_a_wake_whose_request_ended_is_armed_again);
	tcase_add_test(tc, test_a_wake_ends_one_sleep_and_not_two);
	tcase_add_test(tc, test_where_there_are_no_edges_the_eventfd_is_drained);
	tcase_add_test(tc, test_a_wake_from_another_thread_is_never_lost);
	return tc;
}

static TCase *loss_case(void)
{
	TCase *tc = tcase_create("lost rings");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 30);
	tcase_add_loop_test(tc, test_a_wait_that_is_forbidden_moves_to_the_next_method, 0, 5);
	tcase_add_loop_test(tc, test_a_ring_that_breaks_once_is_opened_again, 0, 4);
	tcase_add_test(tc, test_a_ring_that_breaks_twice_is_given_up);
	tcase_add_test(tc, test_a_prepare_that_fails_costs_the_ring_only);
	tcase_add_test(tc, test_a_ring_that_cannot_be_enabled_is_given_up);
	tcase_add_test(tc, test_a_flush_that_fails_while_settling_moves_to_the_next_method);
	tcase_add_test(tc, test_what_had_completed_on_a_lost_ring_is_told);
	tcase_add_test(
	    tc, test_when_every_method_breaks_the_turn_fails_and_the_next_one_may_mend_it);
	tcase_add_test(tc, test_without_a_ring_dropping_and_freeing_still_work);
	tcase_add_test(tc, test_reopening_that_is_refused_for_a_while_is_an_error_and_then_mended);
	tcase_add_test(tc, test_what_cannot_be_armed_on_the_new_ring_is_tried_again);
	tcase_add_test(tc, test_reinit_without_a_fork_arms_everything_anew);
	return tc;
}

int main(void)
{
	Suite *s = suite_create("engine");
	SRunner *sr;
	int failed;

	suite_add_tcase(s, turn_case());
	suite_add_tcase(s, loss_case());
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
