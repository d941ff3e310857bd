/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_recv_cap.c - receiving not more than the embedder wants, on the fake ring: one receive at a
 * time, each with its cap, and receives that end because the cap became lower. And the end that
 * came with the last bytes: when it is asked for.
 */
#include "data_turns.h"

#include <time.h>

#define MS INT64_C(1000000)
#define HOUR (3600000 * MS)

static struct evu_intake *a, *b;

static struct evu_intake *receiving_at_most(int fd, unsigned cap)
{
	struct evu_intake *in = new_intake(EVU_RECV);

	evu_intake_start(in, fd, cap);
	turn();
	ck_assert_uint_eq(fake_req(fd)->cap, cap);
	return in;
}

START_TEST(test_with_a_cap_it_receives_once_until_it_is_started_again)
{
	a = receiving_at_most(A, 3);
	fake_bytes(A, "abc", false);
	turn();
	turn();
	ck_assert(evu_request_over(&a->req));
	ck_assert_uint_eq(fake.arms, 2);
	evu_intake_start(a, A, 2);
	turn();
	ck_assert_uint_eq(fake_req(A)->cap, 2);
	fake_bytes(A, "de", false);
	turn();
	ck_assert_str_eq(taken(a), "abcde");
}
END_TEST

START_TEST(test_with_a_cap_an_interruption_is_armed_again_with_it)
{
	a = receiving_at_most(A, 3);
	fake_complete(A, -EINTR, false);
	turn();
	turn();
	ck_assert_uint_eq(fake_req(A)->cap, 3);
}
END_TEST

START_TEST(test_with_a_cap_the_end_is_the_end)
{
	a = receiving_at_most(A, 3);
	fake_complete(A, 0, false);
	turn();
	ck_assert_int_eq(a->end, EVU_END_OF_FILE);
	ck_assert(evu_request_over(&a->req));
}
END_TEST

START_TEST(test_a_lower_cap_renews_what_is_armed)
{
	static const unsigned armed_with[] = {0, 10};

	a = receiving_at_most(A, armed_with[_i]);
	evu_intake_start(a, A, 3);
	turn();
	ck_assert_uint_eq(fake.cancels, 1);
	turn();
	ck_assert_uint_eq(fake_req(A)->cap, 3);
}
END_TEST

START_TEST(test_a_cap_that_is_not_lower_disturbs_nothing)
{
	static const unsigned next[] = {3, 4, 0};

	a = receiving_at_most(A, 3);
	evu_intake_start(a, A, next[_i]);
	turn();
	ck_assert_uint_eq(fake.cancels, 0);
	ck_assert_uint_eq(fake_req(A)->cap, 3);
}
END_TEST

START_TEST(test_renewed_and_halted_it_stays_halted)
{
	a = receiving(A);
	evu_intake_start(a, A, 3);
	evu_request_halt(&a->req);
	turn();
	turn();
	ck_assert(evu_request_over(&a->req));
	ck_assert_uint_eq(fake.cancels, 1);
	evu_intake_start(a, A, 0);
	turn();
	ck_assert_uint_eq(fake_req(A)->cap, 0);
}
END_TEST

START_TEST(test_halted_and_started_with_a_lower_cap_it_is_renewed)
{
	a = receiving(A);
	evu_request_halt(&a->req);
	evu_intake_start(a, A, 3);
	turn();
	turn();
	ck_assert_uint_eq(fake.cancels, 1);
	ck_assert_uint_eq(fake_req(A)->cap, 3);
}
END_TEST

START_TEST(test_renewed_and_then_started_with_more_it_ends_all_the_same_and_goes_on)
{
	a = receiving_at_most(A, 10);
	evu_intake_start(a, A, 3);
	evu_intake_start(a, A, 0);
	turn();
	turn();
	ck_assert_uint_eq(fake_req(A)->cap, 0);
}
END_TEST

START_TEST(test_what_was_not_armed_yet_is_armed_with_the_last_cap)
{
	a = started(EVU_RECV, A);
	evu_intake_start(a, A, 10);
	evu_intake_start(a, A, 3);
	turn();
	ck_assert_uint_eq(fake_req(A)->cap, 3);
	ck_assert_uint_eq(fake.cancels, 0);
}
END_TEST

START_TEST(test_a_lower_cap_while_it_is_cancelled_holds_for_the_next)
{
	a = receiving(A);
	fake.cancel_by_hand = true;
	evu_request_halt(&a->req);
	turn();
	evu_intake_start(a, A, 3);
	fake_post_bytes(fake_cancelled(A), "12345", 5, false, true);
	fake_end_cancelled(A, -ECANCELED);
	turn();
	turn();
	ck_assert_uint_eq(fake_req(A)->cap, 3);
	ck_assert_str_eq(taken(a), "12345");
}
END_TEST

START_TEST(test_what_is_renewed_and_not_cancelled_yet_keeps_what_came)
{
	a = receiving(A);
	fake.cancel_by_hand = true;
	evu_intake_start(a, A, 3);
	turn();
	fake_post_bytes(fake_cancelled(A), "12345", 5, true, false);
	turn();
	turn();
	ck_assert_uint_eq(fake_req(A)->cap, 3);
	fake_bytes(A, "678", false);
	turn();
	ck_assert_str_eq(taken(a), "12345678");
}
END_TEST

START_TEST(test_the_next_ring_keeps_to_the_cap)
{
	a = receiving_at_most(A, 3);
	ck_assert_int_eq(evu_engine_reinit(e), 0);
	turn();
	ck_assert_uint_eq(fake_req(A)->cap, 3);
}
END_TEST

static void lower_the_cap_while_bytes_come(void)
{
	evu_intake_start(a, A, 3);
	fake_bytes(A, "12345", true);
	evu_engine_wake(e);
}

/* The owner has not cancelled it yet when the bytes are reaped: nobody may look for its end any
 * more when it is gone. */
START_TEST(test_renewed_while_bytes_come_and_then_dropped_it_is_on_no_list)
{
	a = receiving(A);
	sleep_while(lower_the_cap_while_bytes_come);
	ck_assert(a->req.halting);
	evu_request_drop(&a->req);
	settle();
	ck_assert(evu_request_over(&a->req));
	ck_assert(!evu_link_linked(&a->unsure));
	ck_assert_str_eq(taken(a), "12345");
}
END_TEST

/* ---- the end that came with the last bytes, and was not noticed */

START_TEST(test_after_the_last_bytes_it_is_asked_for_its_end_and_armed_anew)
{
	static const unsigned ends[] = {POLLRDHUP, POLLHUP, POLLERR};

	a = receiving(A);
	ck_assert(!fake_req(A)->now);
	fake_bytes(A, "12345", true);
	turn();
	fake_set_ready(A, ends[_i]);
	turn();
	ck_assert_str_eq(taken(a), "12345");
	turn();
	ck_assert_msg(fake_req(A) && fake_req(A)->now, "it waits for a wake-up that has been");
	fake_complete(A, 0, false);
	turn();
	ck_assert_int_eq(a->end, EVU_END_OF_FILE);
}
END_TEST

START_TEST(test_what_has_not_ended_is_asked_once_and_left_alone)
{
	unsigned checks;

	a = receiving(A);
	fake_bytes(A, "12345", true);
	turn();
	checks = fake.checks;
	turn();
	ck_assert_uint_eq(fake.checks, checks + 1);
	turn();
	ck_assert_uint_eq(fake.checks, checks + 1);
	ck_assert_uint_eq(fake.cancels, 0);
	ck_assert_str_eq(taken(a), "12345");
}
END_TEST

/* One whose last bytes have come, and nobody has been asked. */
static struct evu_intake *unsure(int fd)
{
	struct evu_intake *in;

	b = receiving(B);
	in = receiving(fd);
	fake_bytes(fd, "12345", true);
	turn();
	ck_assert(evu_link_linked(&in->unsure));
	return in;
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* A turn that finds something to do elsewhere. */
static void busy_turn(int64_t timeout_ns)
{
	b->fresh = false;
	fake_bytes(B, "x", true);
	turn_of(timeout_ns);
}

START_TEST(test_after_a_silence_it_is_asked_before_the_turn_sleeps)
{
	int64_t before;
	unsigned checks;

	a = unsure(A);
	checks = fake.checks;
	before = e->ask_ns = now_ns();
	turn_of(-1);
	ck_assert_uint_eq(fake.checks, checks + 1);
	ck_assert_int_eq(fake.last_timeout_ns, -1);
	ck_assert(!evu_link_linked(&a->unsure));
	/* And the next are not, for a while. */
	ck_assert_int_ge(e->ask_ns, before + 5 * MS);
	ck_assert_int_le(e->ask_ns, now_ns() + 5 * MS);
}
END_TEST

/* Their end may have been there with them when it was armed; later ones have had time. */
START_TEST(test_after_the_first_bytes_since_it_was_armed_it_is_asked_at_once)
{
	unsigned checks;

	b = receiving(B);
	a = receiving(A);
	checks = fake.checks;
	e->ask_ns = now_ns() + HOUR;
	fake_bytes(A, "1", true);
	turn_of(-1);
	busy_turn(-1);
	ck_assert_uint_eq(fake.checks, checks + 1);
	e->ask_ns = now_ns() + HOUR;
	fake_bytes(A, "2", true);
	turn_of(-1);
	busy_turn(-1);
	ck_assert_uint_eq(fake.checks, checks + 1);
	ck_assert_int_eq(evu_engine_reinit(e), 0);
	turn_of(-1);
	checks = fake.checks;
	e->ask_ns = now_ns() + HOUR;
	fake_bytes(A, "3", true);
	turn_of(-1);
	busy_turn(-1);
	ck_assert_uint_eq(fake.checks, checks + 1);
}
END_TEST

START_TEST(test_soon_after_another_asking_it_is_asked_only_before_a_sleep)
{
	static const int64_t timeouts[] = {-1, 2 * HOUR, MS};
	unsigned checks, waits;

	a = unsure(A);
	checks = fake.checks;
	e->ask_ns = now_ns() + HOUR;
	waits = fake.waits;
	busy_turn(timeouts[_i]);
	busy_turn(timeouts[_i]);
	ck_assert_uint_eq(fake.checks, checks);
	ck_assert_uint_eq(fake.waits, waits);
	ck_assert(evu_link_linked(&a->unsure));
	/* Nothing comes: it is asked, and sleeps as long as it may. */
	turn_of(timeouts[_i]);
	ck_assert_uint_eq(fake.checks, checks + 1);
	ck_assert_uint_eq(fake.waits, waits + 1);
	ck_assert_int_eq(fake.last_timeout_ns, timeouts[_i]);
	ck_assert(!evu_link_linked(&e->unsure));
	turn_of(timeouts[_i]);
	ck_assert_uint_eq(fake.checks, checks + 1);
	ck_assert_int_eq(fake.last_timeout_ns, timeouts[_i]);
}
END_TEST

START_TEST(test_the_end_that_was_not_asked_for_is_found_when_the_time_has_come)
{
	a = unsure(A);
	e->ask_ns = now_ns() + HOUR;
	fake_set_ready(A, POLLRDHUP);
	busy_turn(-1);
	ck_assert_uint_eq(fake.cancels, 0);
	e->ask_ns = now_ns();
	busy_turn(-1);
	/* That was not in vain: the next are asked at once. */
	ck_assert_int_le(e->ask_ns, now_ns());
	turn_of(-1);
	ck_assert_msg(fake_req(A) && fake_req(A)->now, "it waits for a wake-up that has been");
}
END_TEST

START_TEST(test_a_turn_that_may_not_sleep_asks_whatever_the_time)
{
	unsigned checks;

	a = unsure(A);
	checks = fake.checks;
	e->ask_ns = now_ns() + HOUR;
	turn();
	ck_assert_uint_eq(fake.checks, checks + 1);
	ck_assert(!evu_link_linked(&a->unsure));
}
END_TEST

/* A turn with a hot poll looks, and then sleeps. */
START_TEST(test_after_a_look_at_a_hot_poll_it_is_asked_once_and_the_turn_sleeps)
{
	struct evu_poll p;
	unsigned checks;

	evu_poll_init(&p, e, B);
	ck_assert_int_eq(evu_poll_want(&p, POLLIN, EVU_LEVEL, true), 0);
	a = receiving(A);
	fake_bytes(A, "12345", true);
	fake_set_ready(B, POLLIN);
	fake_complete(B, POLLIN, true);
	turn();
	ck_assert_int_eq(e->nhot, 1);
	fake_set_ready(B, 0);
	checks = fake.checks;
	e->ask_ns = now_ns() + HOUR;
	turn_of(-1);
	ck_assert_uint_eq(fake.checks, checks + 2); /* one of them for the poll */
	ck_assert(!evu_link_linked(&a->unsure));
	ck_assert_int_eq(fake.last_timeout_ns, -1);
	evu_poll_drop(&p);
}
END_TEST

/* Nobody asks for one that is gone, or for one that does not receive any more. */
START_TEST(test_one_that_waits_to_be_asked_and_goes_is_forgotten)
{
	unsigned checks;

	a = unsure(A);
	checks = fake.checks;
	e->ask_ns = now_ns() + HOUR;
	busy_turn(-1);
	switch (_i) {
	case 0:
		evu_request_drop(&a->req);
		settle();
		break;
	case 1:
		evu_request_halt(&a->req);
		break;
	case 2:
		fake_complete(A, 0, false);
		busy_turn(-1);
		break;
	}
	ck_assert(!evu_link_linked(&a->unsure));
	e->ask_ns = 0;
	turn_of(-1);
	ck_assert_uint_eq(fake.checks, checks + 1); /* for the other */
	ck_assert_uint_eq(fake.cancels, _i == 2 ? 0 : 1);
}
END_TEST

START_TEST(test_one_that_waits_to_be_asked_goes_on_when_its_ring_is_lost)
{
	a = unsure(A);
	e->ask_ns = now_ns() + HOUR;
	busy_turn(-1);
	ck_assert_int_eq(evu_engine_reinit(e), 0);
	fake_set_ready(A, POLLRDHUP);
	turn_of(-1);
	turn_of(-1);
	ck_assert(fake_req(A) && fake_req(A)->now);
	fake_complete(A, 0, false);
	turn_of(-1);
	ck_assert_int_eq(a->end, EVU_END_OF_FILE);
	ck_assert(!evu_link_linked(&e->unsure));
}
END_TEST

/* A callback that switches reading off and on: the receive is never disturbed. */
START_TEST(test_halted_and_started_again_it_is_asked_all_the_same)
{
	a = unsure(A);
	evu_request_halt(&a->req);
	evu_intake_start(a, A, 0);
	fake_set_ready(A, POLLRDHUP);
	turn();
	turn();
	ck_assert_msg(fake_req(A) && fake_req(A)->now, "it waits for a wake-up that has been");
}
END_TEST

static TCase *end_case(void)
{
	TCase *tc = tcase_create("ends");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(
	    tc, test_after_the_last_bytes_it_is_asked_for_its_end_and_armed_anew, 0, 3);
	tcase_add_test(tc, test_what_has_not_ended_is_asked_once_and_left_alone);
	tcase_add_test(tc, test_after_a_silence_it_is_asked_before_the_turn_sleeps);
	tcase_add_test(tc, test_after_the_first_bytes_since_it_was_armed_it_is_asked_at_once);
	tcase_add_loop_test(
	    tc, test_soon_after_another_asking_it_is_asked_only_before_a_sleep, 0, 3);
	tcase_add_test(tc, test_the_end_that_was_not_asked_for_is_found_when_the_time_has_come);
	tcase_add_test(tc, test_a_turn_that_may_not_sleep_asks_whatever_the_time);
	tcase_add_test(tc, test_after_a_look_at_a_hot_poll_it_is_asked_once_and_the_turn_sleeps);
	tcase_add_loop_test(tc, test_one_that_waits_to_be_asked_and_goes_is_forgotten, 0, 3);
	tcase_add_test(tc, test_one_that_waits_to_be_asked_goes_on_when_its_ring_is_lost);
	tcase_add_test(tc, test_halted_and_started_again_it_is_asked_all_the_same);
	return tc;
}

static TCase *cap_case(void)
{
	TCase *tc = tcase_create("caps");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_with_a_cap_it_receives_once_until_it_is_started_again);
	tcase_add_test(tc, test_with_a_cap_an_interruption_is_armed_again_with_it);
	tcase_add_test(tc, test_with_a_cap_the_end_is_the_end);
	tcase_add_loop_test(tc, test_a_lower_cap_renews_what_is_armed, 0, 2);
	tcase_add_loop_test(tc, test_a_cap_that_is_not_lower_disturbs_nothing, 0, 3);
	tcase_add_test(tc, test_renewed_and_halted_it_stays_halted);
	tcase_add_test(tc, test_halted_and_started_with_a_lower_cap_it_is_renewed);
	tcase_add_test(
	    tc, test_renewed_and_then_started_with_more_it_ends_all_the_same_and_goes_on);
	tcase_add_test(tc, test_what_was_not_armed_yet_is_armed_with_the_last_cap);
	tcase_add_test(tc, test_a_lower_cap_while_it_is_cancelled_holds_for_the_next);
	tcase_add_test(tc, test_what_is_renewed_and_not_cancelled_yet_keeps_what_came);
	tcase_add_test(tc, test_the_next_ring_keeps_to_the_cap);
	tcase_add_test(tc, test_renewed_while_bytes_come_and_then_dropped_it_is_on_no_list);
	return tc;
}

int main(void)
{
	Suite *s = suite_create("recv_cap");

	suite_add_tcase(s, cap_case());
	suite_add_tcase(s, end_case());
	return data_suite_run(s);
}
