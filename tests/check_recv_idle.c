/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_recv_idle.c - receives that bring nothing, on the fake ring: how a poll takes their place,
 * how they come back when it fires, and what may happen in between.
 */
#include "data_turns.h"

#define HOUR INT64_C(3600000000000)

static struct evu_intake *a;

static void setup_idle(void)
{
	setup();
	e->ring->idle_ns = HOUR;
	e->sweep_ns = INT64_MAX; /* no sweep but those that a test asks for */
}

/* A turn with a sweep. */
static void sweep(void)
{
	e->sweep_ns = 0;
	turn();
	e->sweep_ns = INT64_MAX;
}

static void is_receiving(int fd)
{
	ck_assert_ptr_nonnull(fake_req(fd));
	ck_assert_int_eq(fake_req(fd)->kind, EVU_NO_POLL);
}

static void is_polled_for(int fd)
{
	ck_assert_ptr_nonnull(fake_req(fd));
	ck_assert_int_eq(fake_req(fd)->kind, EVU_POLL_ONCE);
	ck_assert_uint_eq(fake_req(fd)->mask, POLLIN | POLLRDHUP);
}

/* A receive whose place a poll has taken. */
static struct evu_intake *idle_one(int fd)
{
	struct evu_intake *in = receiving(fd);

	sweep();
	is_receiving(fd);
	sweep();
	turn();
	is_polled_for(fd);
	ck_assert_int_eq(e->nreceiving, 0);
	return in;
}

/* What a receive finds when it looks: the program's bytes. */
static const char *in_the_socket;

static void bring(struct fake_req *req)
{
	if (!in_the_socket)
		return;
	if (req->kind != EVU_NO_POLL) {
		fake_post(req, POLLIN, false);
		return;
	}
	fake_post_bytes(req, in_the_socket, (unsigned)strlen(in_the_socket), false, !req->cap);
	in_the_socket = NULL;
}

/* ---- to a poll */

START_TEST(test_a_receive_that_brought_nothing_between_two_sweeps_becomes_a_poll)
{
	a = idle_one(A);
	turn();
	ck_assert_int_eq(fake_live(), 1);
	ck_assert(!evu_intake_pending(a));
}
END_TEST

START_TEST(test_one_that_brings_bytes_stays)
{
	int i;

	a = receiving(A);
	for (i = 0; i < 3; i++) {
		sweep();
		fake_bytes(A, "x", true);
		turn();
		ck_assert_str_eq(taken(a), "x");
	}
	is_receiving(A);
	ck_assert_uint_eq(fake.cancels, 0);
}
END_TEST

START_TEST(test_one_that_is_halted_or_accepts_is_no_concern_of_a_sweep)
{
	struct evu_intake *b = started(EVU_ACCEPT, B);

	(void)b;
	a = receiving(A);
	fake.cancel_by_hand = true;
	sweep();
	evu_request_halt(&a->req);
	sweep();
	ck_assert_uint_eq(fake.cancels, 1);
	fake_post(fake_cancelled(A), -ECANCELED, false);
	turn();
	ck_assert_ptr_null(fake_req(A));
	ck_assert_int_eq(fake_req(B)->moves, EVU_ACCEPT);
}
END_TEST

START_TEST(test_bytes_that_cross_the_cancel_are_kept_and_it_goes_on_receiving)
{
	a = receiving(A);
	fake.cancel_by_hand = true;
	sweep();
	sweep();
	fake_post_bytes(fake_cancelled(A), "late", 4, false, true);
	fake_post(fake_cancelled(A), -ECANCELED, false);
	turn();
	ck_assert_str_eq(taken(a), "late");
	turn();
	is_receiving(A);
}
END_TEST

START_TEST(test_bytes_that_wait_when_it_becomes_a_poll_come_in_the_same_turn)
{
	a = receiving(A);
	sweep();
	in_the_socket = "there";
	fake.on_seen = bring;
	sweep();
	ck_assert_str_eq(taken(a), "there");
	is_receiving(A);
}
END_TEST

START_TEST(test_an_end_that_crosses_the_cancel_is_told)
{
	a = receiving(A);
	fake.cancel_by_hand = true;
	sweep();
	sweep();
	fake_post(fake_cancelled(A), 0, false);
	turn();
	ck_assert_int_eq(a->end, EVU_END_OF_FILE);
	turn();
	ck_assert_ptr_null(fake_req(A));
}
END_TEST

START_TEST(test_want_of_buffers_that_crosses_the_cancel_is_told)
{
	a = receiving(A);
	(void)receiving(B);
	fake.cancel_by_hand = true;
	sweep();
	sweep();
	while (fake.nqueue)
		fake_post_bytes(fake_cancelled(B), "x", 1, false, true);
	fake_post(fake_cancelled(A), -ENOBUFS, false);
	turn();
	ck_assert_int_eq(a->end, -ENOBUFS);
	a->end = 0;
	evu_intake_start(a, A, 0);
	turn();
	is_receiving(A);
}
END_TEST

START_TEST(test_one_that_is_halted_while_it_becomes_a_poll_stays_so)
{
	a = receiving(A);
	sweep();
	sweep();
	evu_request_halt(&a->req);
	turn();
	ck_assert_ptr_null(fake_req(A));
	ck_assert(evu_request_over(&a->req));
	evu_intake_start(a, A, 0);
	turn();
	is_polled_for(A);
}
END_TEST

START_TEST(test_without_the_feature_nothing_becomes_a_poll)
{
	a = receiving(A);
	e->ring->idle_ns = 0;
	sweep();
	sweep();
	sweep();
	is_receiving(A);
	ck_assert_uint_eq(fake.cancels, 0);
}
END_TEST

START_TEST(test_many_ops_are_swept_in_steps_without_sleeping)
{
	int turns = 0;

	ck_assert_int_eq(evu_op_reserve(&e->pool, 1000), 0);
	a = receiving(A);
	e->sweep_ns = 0;
	do {
		turn_of(-1);
		turns++;
		ck_assert(!e->sweeping || fake.last_timeout_ns == 0);
	} while (e->sweeping);
	ck_assert_int_ge(turns, 4);
	ck_assert_int_le(turns, 6);
}
END_TEST

/* ---- and back */

START_TEST(test_a_poll_that_fires_brings_the_bytes_in_the_same_turn)
{
	a = idle_one(A);
	in_the_socket = "hello";
	fake.on_seen = bring;
	fake_complete(A, POLLIN, false);
	turn_of(-1);
	ck_assert_int_eq(fake_arrived(a), 1);
	ck_assert_str_eq(taken(a), "hello");
	is_receiving(A);
	ck_assert(fake_req(A)->now);
	ck_assert_int_eq(e->nreceiving, 1);
}
END_TEST

START_TEST(test_a_poll_that_promised_too_much_costs_no_second_sleep)
{
	unsigned waits;

	a = idle_one(A);
	waits = fake.waits;
	fake_complete(A, POLLIN, false);
	turn_of(-1);
	ck_assert_uint_eq(fake.waits, waits + 2);
	ck_assert_int_eq(fake.last_timeout_ns, 0);
	ck_assert(!evu_intake_pending(a));
	is_receiving(A);
}
END_TEST

START_TEST(test_a_poll_that_tells_of_an_end_lets_the_receive_say_which)
{
	a = idle_one(A);
	fake_complete(A, POLLIN | POLLRDHUP | POLLHUP, false);
	turn();
	fake_complete(A, -ECONNRESET, false);
	turn();
	ck_assert_int_eq(a->end, -ECONNRESET);
}
END_TEST

START_TEST(test_a_poll_that_fails_lets_the_receive_say_why)
{
	a = idle_one(A);
	fake_complete(A, -EBADF, false);
	turn();
	is_receiving(A);
	fake_complete(A, -EBADF, false);
	turn();
	ck_assert_int_eq(a->end, -EBADF);
}
END_TEST

START_TEST(test_a_poll_that_ends_for_no_reason_is_armed_again)
{
	a = idle_one(A);
	fake_complete(A, -EINTR, false);
	turn();
	turn();
	is_polled_for(A);
}
END_TEST

START_TEST(test_a_poll_that_fires_for_one_who_was_halted_brings_nothing)
{
	a = idle_one(A);
	in_the_socket = "later";
	fake.on_seen = bring;
	fake.cancel_by_hand = true;
	fake_complete(A, POLLIN, false);
	evu_request_halt(&a->req);
	turn();
	turn();
	ck_assert(!evu_intake_pending(a));
	ck_assert(evu_request_over(&a->req));
	evu_intake_start(a, A, 0);
	turn();
	turn();
	ck_assert_str_eq(taken(a), "later");
}
END_TEST

START_TEST(test_halting_and_starting_leaves_the_poll_alone)
{
	unsigned cancels;

	a = idle_one(A);
	cancels = fake.cancels;
	evu_request_halt(&a->req);
	evu_intake_start(a, A, 0);
	turn();
	is_polled_for(A);
	ck_assert_uint_eq(fake.cancels, cancels);
}
END_TEST

START_TEST(test_dropping_an_idle_one_cancels_the_poll)
{
	a = idle_one(A);
	evu_request_drop(&a->req);
	settle();
	ck_assert_int_eq(fake_live(), 0);
	ck_assert(evu_request_over(&a->req));
}
END_TEST

START_TEST(test_a_cap_that_changes_holds_when_the_poll_has_fired)
{
	unsigned cancels;

	a = idle_one(A);
	cancels = fake.cancels;
	evu_intake_start(a, A, 3);
	turn();
	is_polled_for(A);
	ck_assert_uint_eq(fake.cancels, cancels);
	fake_complete(A, POLLIN, false);
	turn();
	is_receiving(A);
	ck_assert_uint_eq(fake_req(A)->cap, 3);
}
END_TEST

/* ---- the ring, and sleeping */

START_TEST(test_on_a_new_ring_it_is_a_poll_again_if_that_ring_has_them)
{
	a = idle_one(A);
	ck_assert_int_eq(evu_engine_reinit(e), 0);
	e->ring->idle_ns = _i ? HOUR : 0;
	turn();
	if (_i)
		is_polled_for(A);
	else
		is_receiving(A);
	ck_assert_int_eq(e->nreceiving, !_i);
}
END_TEST

START_TEST(test_with_a_receive_armed_a_sleep_ends_for_the_next_sweep)
{
	a = receiving(A);
	e->sweep_ns = 0;
	turn_of(-1);
	ck_assert_int_eq(fake.last_timeout_ns, HOUR);
	turn_of(HOUR / 2);
	ck_assert_int_eq(fake.last_timeout_ns, HOUR / 2);
	turn_of(0);
	ck_assert_int_eq(fake.last_timeout_ns, 0);
}
END_TEST

START_TEST(test_with_polls_only_a_sleep_has_no_end)
{
	a = idle_one(A);
	turn_of(-1);
	ck_assert_int_eq(fake.last_timeout_ns, -1);
}
END_TEST

static TCase *idle_case(void)
{
	TCase *tc = tcase_create("idle");

	tcase_add_checked_fixture(tc, setup_idle, teardown);
	tcase_add_test(tc, test_a_receive_that_brought_nothing_between_two_sweeps_becomes_a_poll);
	tcase_add_test(tc, test_one_that_brings_bytes_stays);
	tcase_add_test(tc, test_one_that_is_halted_or_accepts_is_no_concern_of_a_sweep);
	tcase_add_test(tc, test_bytes_that_cross_the_cancel_are_kept_and_it_goes_on_receiving);
	tcase_add_test(tc, test_bytes_that_wait_when_it_becomes_a_poll_come_in_the_same_turn);
	tcase_add_test(tc, test_an_end_that_crosses_the_cancel_is_told);
	tcase_add_test(tc, test_want_of_buffers_that_crosses_the_cancel_is_told);
	tcase_add_test(tc, test_one_that_is_halted_while_it_becomes_a_poll_stays_so);
	tcase_add_test(tc, test_without_the_feature_nothing_becomes_a_poll);
	tcase_add_test(tc, test_many_ops_are_swept_in_steps_without_sleeping);
	tcase_add_test(tc, test_a_poll_that_fires_brings_the_bytes_in_the_same_turn);
	tcase_add_test(tc, test_a_poll_that_promised_too_much_costs_no_second_sleep);
	tcase_add_test(tc, test_a_poll_that_tells_of_an_end_lets_the_receive_say_which);
	tcase_add_test(tc, test_a_poll_that_fails_lets_the_receive_say_why);
	tcase_add_test(tc, test_a_poll_that_ends_for_no_reason_is_armed_again);
	tcase_add_test(tc, test_a_poll_that_fires_for_one_who_was_halted_brings_nothing);
	tcase_add_test(tc, test_halting_and_starting_leaves_the_poll_alone);
	tcase_add_test(tc, test_dropping_an_idle_one_cancels_the_poll);
	tcase_add_test(tc, test_a_cap_that_changes_holds_when_the_poll_has_fired);
	tcase_add_loop_test(tc, test_on_a_new_ring_it_is_a_poll_again_if_that_ring_has_them, 0, 2);
	tcase_add_test(tc, test_with_a_receive_armed_a_sleep_ends_for_the_next_sweep);
	tcase_add_test(tc, test_with_polls_only_a_sleep_has_no_end);
	return tc;
}

int main(void)
{
	Suite *s = suite_create("recv_idle");

	suite_add_tcase(s, idle_case());
	return data_suite_run(s);
}
