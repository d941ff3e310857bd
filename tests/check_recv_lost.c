/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_recv_lost.c - receiving, on the fake ring, when its ring is lost: to an error, to another
 * thread, to a fork, to a method that does not receive; and what other threads do to it. Threads
 * and processes are real ones.
 */
#include "data_turns.h"

static struct evu_intake *a, *b;

/* ---- every state in which a ring can be lost */

enum state { STARTING, ARMED, HALTING, CANCELLING, CANCELLING_WANTED, ENDED, N_STATES };

/* `a` is in the state, on fd A, and not in the state of anything else. */
static void bring_to(enum state state)
{
	a = started(EVU_RECV, A);
	if (state == STARTING)
		return;
	turn();
	fake.cancel_by_hand = true;
	switch (state) {
	case STARTING:
	case ARMED:
		break;
	case ENDED:
		fake_complete(A, 0, false);
		turn();
		break;
	case HALTING:
		evu_request_halt(&a->req);
		break;
	case CANCELLING:
	case CANCELLING_WANTED:
		evu_request_halt(&a->req);
		turn();
		if (state == CANCELLING_WANTED)
			evu_intake_start(a, A, 0);
		break;
	case N_STATES:
		ck_abort();
	}
}

static bool wanted_in(enum state state)
{
	return state == STARTING || state == ARMED || state == CANCELLING_WANTED;
}

/* On the new ring: armed anew iff it was wanted, with all buffers there. */
static void goes_on(enum state state)
{
	turn();
	ck_assert_int_eq(fake_req(A) != NULL, wanted_in(state));
	ck_assert_int_eq(evu_request_over(&a->req), !wanted_in(state));
	ck_assert_int_eq(a->end, state == ENDED ? EVU_END_OF_FILE : 0);
	if (!wanted_in(state))
		return;
	ck_assert_uint_eq(fake.nqueue, POOL);
	fake_bytes(A, "new", true);
	turn();
	ck_assert_str_eq(taken(a), "new");
}

START_TEST(test_a_ring_that_breaks_loses_no_receive_in_any_state)
{
	bring_to((enum state)_i);
	fake.refuse_wait = (struct fake_refusal){-EBADF, 1, 0};
	turn();
	ck_assert_uint_eq(fake.opens[EVU_IO_URING], 2);
	goes_on((enum state)_i);
}
END_TEST

START_TEST(test_a_new_ring_by_reinit_loses_no_receive_in_any_state)
{
	bring_to((enum state)_i);
	ck_assert_int_eq(evu_engine_reinit(e), 0);
	goes_on((enum state)_i);
}
END_TEST

/* Closing may enter the kernel: nothing that was given up may make progress by that. */
START_TEST(test_reinit_cancels_what_is_halting_before_it_reaps)
{
	bring_to(HALTING);
	fake.reap_enters = true;
	ck_assert_int_eq(evu_engine_reinit(e), 0);
	ck_assert(evu_request_over(&a->req));
}
END_TEST

START_TEST(test_an_abandoned_ring_loses_no_receive_in_any_state)
{
	bring_to((enum state)_i);
	evu_engine_abandon(e);
	ck_assert_uint_eq(fake.alien_closes, 1);
	ck_assert_int_eq(e->nrequests, 0);
	goes_on((enum state)_i);
}
END_TEST

/* What the embedder is told when io_uring is gone for good: once, and only of what goes on. */
static void told_that_it_is_gone(enum state state)
{
	ck_assert(!evu_engine_moves_data(e, EVU_RECV));
	ck_assert_int_eq(evu_engine_method(e), EVU_EPOLL);
	ck_assert(evu_request_over(&a->req));
	if (state == ENDED)
		ck_assert_int_eq(a->end, EVU_END_OF_FILE);
	else
		ck_assert_int_eq(a->end, wanted_in(state) ? -EOPNOTSUPP : 0);
	ck_assert_int_eq(fake_arrived(a), wanted_in(state));
	turn();
	ck_assert_int_eq(fake_arrived(a), 0);
}

START_TEST(test_when_io_uring_is_forbidden_what_is_wanted_ends_and_is_told_once)
{
	bring_to((enum state)_i);
	fake.refuse_wait = (struct fake_refusal){-EPERM, 1, 0};
	turn();
	told_that_it_is_gone((enum state)_i);
}
END_TEST

START_TEST(test_when_settling_loses_io_uring_what_is_wanted_ends_with_the_next_turn)
{
	bring_to((enum state)_i);
	b = receiving(B);
	evu_request_drop(&b->req);
	fake.refuse_flush = (struct fake_refusal){-EPERM, 1, 0};
	settle();
	ck_assert_uint_eq(fake.closes, 1);
	ck_assert(evu_request_over(&b->req));
	turn();
	if (_i == HALTING || _i == CANCELLING)
		ck_assert(evu_request_over(&a->req));
	else if (_i != ENDED)
		ck_assert_int_eq(a->end, -EOPNOTSUPP);
}
END_TEST

/* ---- what had come */

static void post_when_asleep(int64_t timeout_ns)
{
	(void)timeout_ns;
	fake.on_wait = NULL;
	fake_bytes(A, "last", true);
	fake.refuse_wait = (struct fake_refusal){-EBADF, 1, 0};
	fake.real_sleep = true; /* refuse_wait is asked again behind the sleep */
}

START_TEST(test_bytes_that_completed_before_the_ring_broke_are_not_lost)
{
	a = receiving(A);
	fake_bytes(A, "first ", true);
	turn();
	fake.on_wait = post_when_asleep;
	turn_of(1000);
	fake.real_sleep = false;
	ck_assert_uint_eq(fake.opens[EVU_IO_URING], 2);
	turn();
	fake_bytes(A, " new", true);
	turn();
	ck_assert_str_eq(taken(a), "first last new");
}
END_TEST

static void post_on_close(bool alien)
{
	ck_assert(!alien);
	fake.on_close = NULL;
	fake_bytes(A, "caught", false);
}

START_TEST(test_bytes_that_come_while_the_ring_closes_are_not_lost)
{
	a = receiving(A);
	fake.on_close = post_on_close;
	ck_assert_int_eq(evu_engine_reinit(e), 0);
	ck_assert_str_eq(taken(a), "caught");
	turn();
	ck_assert_ptr_nonnull(fake_req(A));
}
END_TEST

START_TEST(test_bytes_that_completed_when_another_thread_closes_the_ring_are_not_lost)
{
	a = receiving(A);
	fake_bytes(A, "kept", true);
	evu_engine_abandon(e);
	ck_assert_str_eq(taken(a), "kept");
	turn();
	fake_bytes(A, "on", true);
	turn();
	ck_assert_str_eq(taken(a), "on");
}
END_TEST

START_TEST(test_the_end_that_completed_before_the_ring_broke_is_the_end)
{
	a = receiving(A);
	fake_complete(A, 0, false);
	fake.refuse_wait = (struct fake_refusal){-EBADF, 1, 0};
	turn();
	ck_assert_int_eq(a->end, EVU_END_OF_FILE);
	turn();
	ck_assert_ptr_null(fake_req(A));
}
END_TEST

START_TEST(test_the_next_ring_gets_the_buffers_that_the_last_one_had)
{
	unsigned asked;

	a = receiving(A);
	fake_bytes(A, "x", true);
	turn();
	asked = fake_log.blocks_asked;
	fake.refuse_wait = (struct fake_refusal){-EBADF, 1, 0};
	turn();
	turn();
	ck_assert_uint_eq(fake.registrations, 2);
	ck_assert_uint_eq(fake.nqueue, POOL);
	ck_assert_uint_le(fake_log.blocks_asked, asked + 1);
	ck_assert_str_eq(taken(a), "x");
}
END_TEST

START_TEST(test_a_cancel_that_is_refused_costs_the_ring_and_ends_what_was_halted)
{
	a = receiving(A);
	b = receiving(B);
	evu_request_drop(&a->req);
	fake.refuse_cancel = (struct fake_refusal){-EBADF, 1, 0};
	settle();
	ck_assert(evu_request_over(&a->req));
	turn();
	ck_assert_int_eq(a->end, 0);
	ck_assert_int_eq(b->end, -EOPNOTSUPP);
}
END_TEST

START_TEST(test_a_cancel_that_is_refused_in_a_turn_lets_nothing_make_progress)
{
	a = receiving(A);
	evu_request_halt(&a->req);
	fake.refuse_cancel = (struct fake_refusal){-EBUSY, 1, 0};
	turn();
	ck_assert(evu_request_over(&a->req));
	ck_assert_int_eq(a->end, 0);
}
END_TEST

/* A filter was entered: it is the ring that is refused, not this receive. */
START_TEST(test_an_arm_that_is_forbidden_moves_to_the_next_method)
{
	static const int errors[] = {-EPERM, -EACCES, -EBADF, -ENOSYS};

	a = started(EVU_RECV, A);
	fake.refuse_recv = (struct fake_refusal){errors[_i], -1, 0};
	turn();
	turn();
	ck_assert_int_eq(evu_engine_method(e), EVU_EPOLL);
	ck_assert_int_eq(a->end, -EOPNOTSUPP);
}
END_TEST

START_TEST(test_an_engine_may_be_freed_while_it_receives)
{
	a = receiving(A);
	fake_bytes(A, "x", true);
	turn();
	give(evu_intake_take(a));
	fake_engine_done(e);
	n_intakes = 0;
	free(a);
	e = fake_engine(FAKE_ALL_METHODS);
}
END_TEST

/* ---- a rest, and threads */

START_TEST(test_nothing_stays_armed_during_a_rest)
{
	a = receiving(A);
	evu_engine_leave(e, true);
	ck_assert_int_eq(fake_live(), 0);
	ck_assert_int_eq(e->nrequests, 0);
	ck_assert(a->req.wanted);
	evu_engine_enter(e);
	turn();
	fake_bytes(A, "x", true);
	turn();
	ck_assert_str_eq(taken(a), "x");
}
END_TEST

START_TEST(test_a_loop_that_comes_back_soon_leaves_it_armed)
{
	a = receiving(A);
	evu_engine_leave(e, false);
	ck_assert_ptr_nonnull(fake_req(A));
	ck_assert_uint_eq(fake.cancels, 0);
	evu_engine_enter(e);
}
END_TEST

START_TEST(test_what_is_halting_is_cancelled_and_settled_by_leaving)
{
	a = receiving(A);
	evu_request_halt(&a->req);
	evu_engine_leave(e, _i);
	ck_assert(evu_request_over(&a->req));
	ck_assert(!evu_engine_unsettled(e));
	ck_assert_uint_eq(fake.cancels, 1);
	evu_engine_enter(e);
}
END_TEST

START_TEST(test_bytes_that_come_when_the_loop_goes_to_rest_are_kept)
{
	a = receiving(A);
	fake.cancel_by_hand = true;
	fake_bytes(A, "1", true);
	evu_engine_leave(e, true);
	fake_post_bytes(fake_cancelled(A), "2", 1, false, true);
	fake_end_cancelled(A, -ECANCELED);
	evu_engine_enter(e);
	turn();
	ck_assert_str_eq(taken(a), "12");
	turn();
	ck_assert_ptr_nonnull(fake_req(A));
}
END_TEST

static bool settled_at_once;

static void drop_a_and_wake(void)
{
	ck_assert(evu_engine_asleep(e));
	evu_request_drop(&a->req);
	settled_at_once = evu_engine_settle(e);
	evu_engine_wake(e);
}

START_TEST(test_dropped_by_another_thread_while_the_owner_sleeps_it_is_settled_when_it_wakes)
{
	a = receiving(A);
	sleep_while(drop_a_and_wake);
	ck_assert(!settled_at_once);
	ck_assert_int_ge(fake_log.nsettled, 1);
	ck_assert(!evu_engine_unsettled(e));
	ck_assert(evu_request_over(&a->req));
	ck_assert(pthread_equal(fake.toucher, pthread_self()));
}
END_TEST

static void drop_a_while_bytes_come(void)
{
	drop_a_and_wake();
	fake_bytes(A, "before the cancel", true);
}

START_TEST(test_bytes_that_come_before_the_owner_wakes_are_kept)
{
	a = receiving(A);
	sleep_while(drop_a_while_bytes_come);
	ck_assert(evu_request_over(&a->req));
	ck_assert_str_eq(taken(a), "before the cancel");
}
END_TEST

static void halt_and_start_a(void)
{
	evu_request_halt(&a->req);
	evu_intake_start(a, A, 0);
	evu_engine_wake(e);
}

START_TEST(test_halted_and_started_by_another_thread_while_the_owner_sleeps_it_stays_armed)
{
	a = receiving(A);
	sleep_while(halt_and_start_a);
	turn();
	ck_assert_uint_eq(fake.cancels, 0);
	fake_bytes(A, "x", true);
	turn();
	ck_assert_str_eq(taken(a), "x");
}
END_TEST

static void halt_a(void)
{
	evu_request_halt(&a->req);
}

/* The owner runs callbacks meanwhile. */
START_TEST(test_halted_by_another_thread_while_the_owner_is_busy_it_is_cancelled_first_thing)
{
	a = receiving(A);
	elsewhere(halt_a);
	ck_assert_uint_eq(fake.cancels, 0);
	turn();
	ck_assert_uint_eq(fake.cancels, 1);
	ck_assert(evu_request_over(&a->req));
}
END_TEST

static void drop_a_while_busy(void)
{
	evu_request_drop(&a->req);
	settled_at_once = evu_engine_settle(e);
}

START_TEST(test_dropped_by_another_thread_while_the_owner_is_busy_it_is_the_owners_to_settle)
{
	a = receiving(A);
	elsewhere(drop_a_while_busy);
	ck_assert(!settled_at_once);
	ck_assert(evu_engine_unsettled(e));
	ck_assert_uint_eq(fake.closes, 0);
	settle();
	ck_assert(evu_request_over(&a->req));
}
END_TEST

static void start_b(void)
{
	b = started(EVU_RECV, B);
}

START_TEST(test_started_by_another_thread_it_is_armed_by_the_owner)
{
	a = receiving(A);
	elsewhere(start_b);
	ck_assert_ptr_null(fake_req(B));
	turn();
	ck_assert_ptr_nonnull(fake_req(B));
}
END_TEST

START_TEST(test_dropped_by_another_thread_when_nobody_loops_it_costs_the_ring)
{
	a = receiving(A);
	b = receiving(B);
	fake_bytes(A, "kept", true);
	evu_engine_leave(e, false);
	elsewhere(drop_a_while_busy);
	ck_assert(settled_at_once);
	ck_assert_uint_eq(fake.alien_closes, 1);
	ck_assert(evu_request_over(&a->req));
	ck_assert_str_eq(taken(a), "kept");
	evu_engine_enter(e);
	turn();
	ck_assert_ptr_null(fake_req(A));
	ck_assert_ptr_nonnull(fake_req(B));
	ck_assert_uint_eq(fake.nqueue, POOL);
}
END_TEST

START_TEST(test_dropped_by_another_thread_during_a_rest_it_costs_nothing)
{
	a = receiving(A);
	evu_engine_leave(e, true);
	elsewhere(drop_a_while_busy);
	ck_assert(settled_at_once);
	ck_assert_uint_eq(fake.closes, 0);
	evu_engine_enter(e);
	turn();
	ck_assert_ptr_null(fake_req(A));
}
END_TEST

static void turns_of_its_own(void)
{
	evu_engine_enter(e);
	turn();
	ck_assert_uint_eq(fake.nqueue, POOL);
	fake_bytes(A, "there", true);
	turn();
	evu_engine_leave(e, false);
}

START_TEST(test_a_loop_that_moves_to_another_thread_goes_on_receiving)
{
	a = receiving(A);
	fake_bytes(A, "here ", true);
	evu_engine_leave(e, false);
	elsewhere(turns_of_its_own);
	ck_assert_uint_eq(fake.alien_closes, 1);
	ck_assert_uint_eq(fake.registrations, 2);
	ck_assert_str_eq(taken(a), "here there");
	evu_engine_enter(e);
}
END_TEST

static void one_turn(void)
{
	evu_engine_enter(e);
	turn();
	evu_engine_leave(e, false);
}

START_TEST(test_a_loop_that_moves_loses_no_receive_in_any_state)
{
	bring_to((enum state)_i);
	fake.cancel_by_hand = false;
	evu_engine_leave(e, true);
	elsewhere(one_turn);
	ck_assert_int_eq(fake_req(A) != NULL, wanted_in((enum state)_i));
	ck_assert_int_eq(evu_request_over(&a->req), !wanted_in((enum state)_i));
	evu_engine_enter(e);
}
END_TEST

/* ---- processes */

static void child_goes_on(void)
{
	must(evu_engine_turn(e, 0) == 0);
	must(fake.alien_closes == 1 && fake.registrations == 2 && fake.nqueue == POOL);
	must(!strcmp(taken(a), "")); /* what completed on the parent's ring is the parent's */
	must(fake_req(A) && fake.cancels == 0);
	fake_bytes(A, "child", true);
	must(evu_engine_turn(e, 0) == 0);
	must(strcmp(taken(a), "child") == 0);
}

START_TEST(test_a_child_receives_on_a_ring_and_into_buffers_of_its_own)
{
	a = receiving(A);
	fake_bytes(A, "parent", true);
	in_fork(child_goes_on);
	turn();
	ck_assert_str_eq(taken(a), "parent");
	ck_assert_uint_eq(fake.closes, 0);
}
END_TEST

static void child_drops(void)
{
	evu_request_drop(&a->req);
	must(fake.alien_closes == 1 && fake.cancels == 0 && fake.flushes == 0);
	must(evu_request_over(&a->req) && evu_engine_settle(e));
	must(evu_engine_turn(e, 0) == 0);
	must(!fake_req(A));
}

START_TEST(test_a_child_that_drops_does_not_touch_its_parents_ring)
{
	a = receiving(A);
	in_fork(child_drops);
	ck_assert_ptr_nonnull(fake_req(A));
}
END_TEST

static void child_halts_and_starts(void)
{
	evu_request_halt(&a->req);
	must(evu_request_over(&a->req));
	evu_intake_start(a, A, 0);
	must(evu_engine_turn(e, 0) == 0);
	must(fake_req(A) && fake.nqueue == POOL);
}

START_TEST(test_a_child_that_halts_and_starts_receives_on_its_own_ring)
{
	a = receiving(A);
	in_fork(child_halts_and_starts);
}
END_TEST

static enum state state_at_fork;

static void child_goes_on_from_any_state(void)
{
	must(evu_engine_reinit(e) == 0);
	must(evu_engine_turn(e, 0) == 0);
	must((fake_req(A) != NULL) == wanted_in(state_at_fork));
	must(evu_request_over(&a->req) == !wanted_in(state_at_fork));
}

START_TEST(test_a_child_loses_no_receive_in_any_state)
{
	state_at_fork = (enum state)_i;
	bring_to(state_at_fork);
	in_fork(child_goes_on_from_any_state);
}
END_TEST

static void child_frees(void)
{
	evu_engine_leave(e, false);
	evu_engine_free(e);
	must(fake.alien_closes == 1 && !fake.ring && fake_log.nblocks == 0);
}

START_TEST(test_a_child_that_frees_the_engine_frees_every_block)
{
	a = receiving(A);
	in_fork(child_frees);
}
END_TEST

static TCase *state_case(void)
{
	TCase *tc = tcase_create("lost in each state");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, test_a_ring_that_breaks_loses_no_receive_in_any_state, 0, N_STATES);
	tcase_add_loop_test(
	    tc, test_a_new_ring_by_reinit_loses_no_receive_in_any_state, 0, N_STATES);
	tcase_add_test(tc, test_reinit_cancels_what_is_halting_before_it_reaps);
	tcase_add_loop_test(tc, test_an_abandoned_ring_loses_no_receive_in_any_state, 0, N_STATES);
	tcase_add_loop_test(
	    tc, test_when_io_uring_is_forbidden_what_is_wanted_ends_and_is_told_once, 0, N_STATES);
	tcase_add_loop_test(tc,
	    test_when_settling_loses_io_uring_what_is_wanted_ends_with_the_next_turn, 0, N_STATES);
	return tc;
}

static TCase *lost_case(void)
{
	TCase *tc = tcase_create("lost rings");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_bytes_that_completed_before_the_ring_broke_are_not_lost);
	tcase_add_test(tc, test_bytes_that_come_while_the_ring_closes_are_not_lost);
	tcase_add_test(
	    tc, test_bytes_that_completed_when_another_thread_closes_the_ring_are_not_lost);
	tcase_add_test(tc, test_the_end_that_completed_before_the_ring_broke_is_the_end);
	tcase_add_test(tc, test_the_next_ring_gets_the_buffers_that_the_last_one_had);
	tcase_add_test(tc, test_a_cancel_that_is_refused_costs_the_ring_and_ends_what_was_halted);
	tcase_add_test(tc, test_a_cancel_that_is_refused_in_a_turn_lets_nothing_make_progress);
	tcase_add_loop_test(tc, test_an_arm_that_is_forbidden_moves_to_the_next_method, 0, 4);
	tcase_add_test(tc, test_an_engine_may_be_freed_while_it_receives);
	return tc;
}

static TCase *thread_case(void)
{
	TCase *tc = tcase_create("threads");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, test_nothing_stays_armed_during_a_rest);
	tcase_add_test(tc, test_a_loop_that_comes_back_soon_leaves_it_armed);
	tcase_add_loop_test(tc, test_what_is_halting_is_cancelled_and_settled_by_leaving, 0, 2);
	tcase_add_test(tc, test_bytes_that_come_when_the_loop_goes_to_rest_are_kept);
	tcase_add_test(
	    tc, test_dropped_by_another_thread_while_the_owner_sleeps_it_is_settled_when_it_wakes);
	tcase_add_test(tc, test_bytes_that_come_before_the_owner_wakes_are_kept);
	tcase_add_test(
	    tc, test_halted_and_started_by_another_thread_while_the_owner_sleeps_it_stays_armed);
	tcase_add_test(
	    tc, test_halted_by_another_thread_while_the_owner_is_busy_it_is_cancelled_first_thing);
	tcase_add_test(
	    tc, test_dropped_by_another_thread_while_the_owner_is_busy_it_is_the_owners_to_settle);
	tcase_add_test(tc, test_started_by_another_thread_it_is_armed_by_the_owner);
	tcase_add_test(tc, test_dropped_by_another_thread_when_nobody_loops_it_costs_the_ring);
	tcase_add_test(tc, test_dropped_by_another_thread_during_a_rest_it_costs_nothing);
	tcase_add_test(tc, test_a_loop_that_moves_to_another_thread_goes_on_receiving);
	tcase_add_loop_test(tc, test_a_loop_that_moves_loses_no_receive_in_any_state, 0, N_STATES);
	return tc;
}

static TCase *process_case(void)
{
	TCase *tc = tcase_create("processes");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, test_a_child_receives_on_a_ring_and_into_buffers_of_its_own);
	tcase_add_test(tc, test_a_child_that_drops_does_not_touch_its_parents_ring);
	tcase_add_test(tc, test_a_child_that_halts_and_starts_receives_on_its_own_ring);
	tcase_add_loop_test(tc, test_a_child_loses_no_receive_in_any_state, 0, N_STATES);
	tcase_add_test(tc, test_a_child_that_frees_the_engine_frees_every_block);
	return tc;
}

int main(void)
{
	Suite *s = suite_create("recv_lost");

	suite_add_tcase(s, state_case());
	suite_add_tcase(s, lost_case());
	suite_add_tcase(s, thread_case());
	suite_add_tcase(s, process_case());
	return data_suite_run(s);
}
