/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_poll_drop.c - the readiness machine on hints: polls that are dropped, by their owner, from
 * the ready hook, and by other threads; and the hot list's holes that this makes.
 */
#include <errno.h>

#include "poll_turns.h"

/* ---- dropping */

START_TEST(test_a_drop_is_cancelled_by_settle_before_it_returns)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	turn();
	drop(p);
	ck_assert(evu_engine_unsettled(e));
	ck_assert_uint_eq(fake.flushes, 0);
	ck_assert(evu_engine_settle(e));
	ck_assert_uint_eq(fake.flushes, 1);
	ck_assert(!evu_engine_unsettled(e));
	ck_assert_int_eq(fake_live(), 0);
	ck_assert_uint_eq(e->pool.in_flight, 1);
}
END_TEST

START_TEST(test_settle_costs_nothing_when_nothing_was_dropped)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	turn();
	want(p, POLLOUT, EVU_LEVEL);
	ck_assert(evu_engine_settle(e));
	ck_assert_uint_eq(fake.flushes, 0);
	drop(p);
	ck_assert(evu_engine_settle(e));
	ck_assert_uint_eq(fake.flushes, 1);
}
END_TEST

/* A change left a cancel queued; the fd is then dropped while nothing is armed: that cancel must
 * still reach the kernel. */
START_TEST(test_a_drop_settles_what_an_earlier_change_cancelled)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	turn();
	want(p, POLLOUT, EVU_LEVEL);
	drop(p);
	ck_assert(evu_engine_unsettled(e));
	ck_assert(evu_engine_settle(e));
	ck_assert_int_eq(fake_live(), 0);
}
END_TEST

START_TEST(test_completions_after_a_drop_reach_nobody)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	fake.cancel_by_hand = true;
	turn();
	drop(p);
	fake_set_ready(A, POLLIN);
	fake_post(fake_cancelled(A), POLLIN, true);
	turn();
	ck_assert_int_eq(fake_log.ntold, 0);
	ck_assert_uint_eq(e->pool.in_flight, 2);
	fake_end_cancelled(A, -ECANCELED);
	turn();
	ck_assert_uint_eq(e->pool.in_flight, 1);
}
END_TEST

/* Every order of: the drop, one completion that says more will come, the last completion; a turn
 * after any of them or not. The last completion before the drop is the cancel that finds nothing
 * (-ENOENT); between cancel and the end, -EALREADY. */
START_TEST(test_drop_and_completions_may_come_in_any_order)
{
	static const char *const orders[] = {"dml", "mdl", "mld", "dl", "ld", "md+l"};
	const char *order = orders[_i % 6];
	int turns = _i / 6;
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);
	struct fake_req *req;
	const char *c;

	fake.cancel_by_hand = true;
	turn();
	req = fake_req(A);
	for (c = order; *c; c++, turns >>= 1) {
		switch (*c) {
		case 'd':
			drop(p);
			p = NULL;
			break;
		case 'm':
			fake_set_ready(A, POLLIN);
			fake_post(req, POLLIN, true);
			break;
		case 'l':
			fake_post(req, p ? POLLIN : -ECANCELED, false);
			break;
		}
		if (turns & 1) {
			turn();
			ck_assert(p || fake_log.ntold == 0);
		}
	}
	turn();
	ck_assert_int_eq(fake_log.ntold, 0);
	ck_assert_uint_eq(e->pool.in_flight, 1);
	ck_assert_int_eq(e->npolls, 0);
}
END_TEST

START_TEST(test_the_same_number_wanted_after_a_drop_hears_nothing_of_the_old_file)
{
	struct evu_poll *old = watch(A, POLLIN, EVU_LEVEL);
	struct evu_poll *p;
	struct fake_req *old_req;

	fake.cancel_by_hand = true;
	turn();
	old_req = fake_req(A);
	drop(old);
	p = watch(A, POLLIN, EVU_LEVEL);
	turn();
	ck_assert_ptr_ne(fake_req(A), old_req);
	fake_post(old_req, POLLIN, true);
	fake_post(old_req, POLLIN, false);
	turn();
	ck_assert_int_eq(fake_log.ntold, 0);
	fire(A, POLLIN, true);
	turn();
	ck_assert_int_eq(fake_told(A), 1);
	ck_assert_ptr_eq(fake_log.told[0].poll, p);
	drop(p);
}
END_TEST

START_TEST(test_a_hot_poll_that_is_dropped_is_not_asked_for)
{
	struct evu_poll *a = watch(A, POLLIN, EVU_LEVEL);
	struct evu_poll *b = watch(B, POLLIN, EVU_LEVEL);

	turn();
	fire(A, POLLIN, true);
	fire(B, POLLIN, true);
	turn();
	drop(a);
	turn();
	ck_assert_uint_eq(fake.last_check_n, 1);
	ck_assert_int_eq(fake_told(B), 1);
	drop(b);
	turn();
	ck_assert_int_eq(fake_log.ntold, 0);
	ck_assert_int_eq(e->nhot, 0);
}
END_TEST

START_TEST(test_a_cancel_that_is_refused_costs_the_ring_and_nobodys_events)
{
	struct evu_poll *a = watch(A, POLLIN, EVU_LEVEL);
	struct evu_poll *b = watch(B, POLLIN, EVU_LEVEL);

	turn();
	fake.refuse_cancel = (struct fake_refusal){-EBUSY, 1, 0};
	drop(a);
	ck_assert(evu_engine_settle(e));
	turn();
	ck_assert_uint_eq(fake.closes, 1);
	ck_assert_ptr_null(fake_req(A));
	ck_assert_ptr_nonnull(fake_req(B));
	drop(b);
}
END_TEST

/* ---- the hot list grows, and has holes */

static struct evu_poll *many[300];

START_TEST(test_the_hot_list_grows_while_some_are_hot)
{
	struct evu_poll *a = watch(A, POLLIN, EVU_LEVEL);
	int i;

	turn();
	fire(A, POLLIN, true);
	turn();
	for (i = 0; i < 300; i++)
		many[i] = watch(2000 + i, POLLIN, EVU_LEVEL);
	turn();
	for (i = 0; i < 300; i++)
		fire(2000 + i, POLLIN, true);
	turn();
	ck_assert_int_eq(fake_log.ntold, 301);
	for (i = 0; i < 300; i++)
		drop(many[i]);
	turn();
	ck_assert_int_eq(fake_log.ntold, 1);
	drop(a);
}
END_TEST

START_TEST(test_arming_and_telling_need_no_memory_after_want)
{
	int i;

	for (i = 0; i < 300; i++)
		many[i] = watch(2000 + i, POLLIN, EVU_LEVEL);
	fake_mem_install(0);
	turn();
	ck_assert_int_eq(fake_live(), 300);
	for (i = 0; i < 300; i++)
		fire(2000 + i, POLLIN, true);
	turn();
	ck_assert_int_eq(fake_log.ntold, 300);
	for (i = 0; i < 300; i++)
		drop(many[i]);
	ck_assert(evu_engine_settle(e));
	ck_assert_int_eq(fake_mem_asked, 0);
}
END_TEST

START_TEST(test_the_hot_list_has_room_for_holes_and_for_those_that_come_instead)
{
	int i, round;

	for (i = 0; i < 300; i++)
		many[i] = watch(2000 + i, POLLIN, EVU_LEVEL);
	turn();
	for (i = 0; i < 300; i++)
		fire(2000 + i, POLLIN, true);
	for (round = 0; round < 3; round++) {
		turn();
		for (i = 0; i < 300; i++) {
			drop(many[i]);
			fake_set_ready(2000 + i, 0);
			many[i] = watch(2000 + i, POLLIN, EVU_LEVEL);
		}
		ck_assert(evu_engine_settle(e));
		evu_poll_flush(e);
		for (i = 0; i < 300; i++)
			fire(2000 + i, POLLIN, true);
		turn();
		ck_assert_int_eq(fake_log.ntold, 300);
	}
	for (i = 0; i < 300; i++)
		drop(many[i]);
}
END_TEST

/* ---- other threads */

static void drop_a_and_b(void *arg)
{
	struct evu_poll **p = arg;

	fake_hold();
	drop(p[0]);
	drop(p[1]);
	ck_assert(!evu_engine_settle(e));
	fake_let_go();
}

static void nothing_may_be_live(int64_t timeout_ns)
{
	ck_assert_int_eq(timeout_ns, -1);
	ck_assert_int_eq(fake_live(), 0);
}

START_TEST(test_what_another_thread_dropped_is_cancelled_before_the_owner_sleeps)
{
	struct evu_poll *p[2] = {watch(A, POLLIN, EVU_LEVEL), watch(B, POLLIN, EVU_LEVEL)};

	turn();
	fake_in_thread(drop_a_and_b, p);
	fake.on_wait = nothing_may_be_live;
	turn_of(-1);
	ck_assert_uint_eq(fake.cancels, 2);
}
END_TEST

START_TEST(test_what_another_thread_drops_is_cancelled_by_the_owner)
{
	struct evu_poll *p[2] = {watch(A, POLLIN, EVU_LEVEL), watch(B, POLLIN, EVU_LEVEL)};

	turn();
	fake_in_thread(drop_a_and_b, p);
	ck_assert_uint_eq(fake.cancels, 0);
	ck_assert_int_eq(fake_live(), 2);
	ck_assert(evu_engine_unsettled(e));
	fake_set_ready(A, POLLIN);
	fake_complete(A, POLLIN, true);
	turn();
	ck_assert_int_eq(fake_log.ntold, 0);
	ck_assert_uint_eq(fake.cancels, 2);
	ck_assert_int_eq(fake_live(), 0);
	ck_assert(!evu_engine_unsettled(e));
	ck_assert_uint_eq(e->pool.in_flight, 1);
	ck_assert(pthread_equal(fake.toucher, pthread_self()));
}
END_TEST

START_TEST(test_what_another_thread_dropped_may_end_before_the_owner_cancels)
{
	struct evu_poll *p[2] = {watch(A, POLLIN, EVU_LEVEL), watch(B, POLLIN, EVU_LEVEL)};

	turn();
	fake_in_thread(drop_a_and_b, p);
	fake_complete(A, POLLIN, false);
	fake_complete(B, POLLIN, false);
	fake.ring->ops->reap(fake.ring);
	ck_assert(evu_engine_settle(e));
	ck_assert_uint_eq(fake.cancels, 0);
	ck_assert_uint_eq(e->pool.in_flight, 1);
	turn();
}
END_TEST

START_TEST(test_the_owner_settles_what_another_thread_dropped)
{
	struct evu_poll *p[2] = {watch(A, POLLIN, EVU_LEVEL), watch(B, POLLIN, EVU_LEVEL)};

	turn();
	fake_in_thread(drop_a_and_b, p);
	ck_assert(evu_engine_settle(e));
	ck_assert_int_eq(fake_live(), 0);
	ck_assert_ptr_null(e->handoff);
}
END_TEST

static void change_a(void *arg)
{
	fake_hold();
	want(arg, POLLOUT, EVU_LEVEL);
	fake_let_go();
}

START_TEST(test_what_another_thread_changes_is_armed_by_the_owner)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	turn();
	fake_in_thread(change_a, p);
	ck_assert_uint_eq(fake_req(A)->mask, POLLIN);
	turn();
	ck_assert_int_eq(fake_live(), 1);
	ck_assert_uint_eq(fake_req(A)->mask, POLLOUT);
	drop(p);
}
END_TEST

static void drop_a_when_nobody_loops(void *arg)
{
	fake_hold();
	drop(arg);
	ck_assert(evu_engine_settle(e));
	fake_let_go();
}

START_TEST(test_a_drop_by_another_thread_while_nobody_loops_gives_up_the_ring)
{
	struct evu_poll *a = watch(A, POLLIN, EVU_LEVEL);
	struct evu_poll *b = watch(B, POLLIN, EVU_LEVEL);

	turn();
	evu_engine_leave(e, false);
	fake_in_thread(drop_a_when_nobody_loops, a);
	ck_assert_uint_eq(fake.alien_closes, 1);
	ck_assert_uint_eq(fake.cancels, 0);
	evu_engine_enter(e);
	turn();
	ck_assert_int_eq(evu_engine_method(e), EVU_IO_URING);
	ck_assert_ptr_null(fake_req(A));
	ck_assert_ptr_nonnull(fake_req(B));
	drop(b);
}
END_TEST

static TCase *drop_case(void)
{
	TCase *tc = tcase_create("drops");

	tcase_add_checked_fixture(tc, hint_setup, teardown);
	tcase_add_test(tc, test_a_drop_is_cancelled_by_settle_before_it_returns);
	tcase_add_test(tc, test_settle_costs_nothing_when_nothing_was_dropped);
	tcase_add_test(tc, test_a_drop_settles_what_an_earlier_change_cancelled);
	tcase_add_test(tc, test_completions_after_a_drop_reach_nobody);
	tcase_add_loop_test(tc, test_drop_and_completions_may_come_in_any_order, 0, 6 * 16);
	tcase_add_test(tc, test_the_same_number_wanted_after_a_drop_hears_nothing_of_the_old_file);
	tcase_add_test(tc, test_a_hot_poll_that_is_dropped_is_not_asked_for);
	tcase_add_test(tc, test_a_cancel_that_is_refused_costs_the_ring_and_nobodys_events);
	tcase_add_test(tc, test_arming_and_telling_need_no_memory_after_want);
	tcase_add_test(tc, test_the_hot_list_grows_while_some_are_hot);
	tcase_add_test(tc, test_the_hot_list_has_room_for_holes_and_for_those_that_come_instead);
	tcase_add_test(tc, test_what_another_thread_drops_is_cancelled_by_the_owner);
	tcase_add_test(tc, test_what_another_thread_dropped_is_cancelled_before_the_owner_sleeps);
	tcase_add_test(tc, test_what_another_thread_dropped_may_end_before_the_owner_cancels);
	tcase_add_test(tc, test_the_owner_settles_what_another_thread_dropped);
	tcase_add_test(tc, test_what_another_thread_changes_is_armed_by_the_owner);
	tcase_add_test(tc, test_a_drop_by_another_thread_while_nobody_loops_gives_up_the_ring);
	return tc;
}

int main(void)
{
	Suite *s = suite_create("poll_drop");

	suite_add_tcase(s, drop_case());
	return poll_suite_run(s);
}
