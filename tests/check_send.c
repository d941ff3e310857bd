/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_send.c - sending, on the fake ring: one request, one result, and who owns the memory until
 * it is over.
 */
#include "data_turns.h"

static struct evu_send *s;

/* What the kernel would send of the request that is armed for fd. */
static const char *offered(int fd)
{
	static char text[256];
	const struct msghdr *msg = fake_req(fd)->msg;
	size_t i, n = 0;

	for (i = 0; i < (size_t)msg->msg_iovlen; i++) {
		ck_assert_uint_lt(n + msg->msg_iov[i].iov_len, sizeof(text));
		memcpy(text + n, msg->msg_iov[i].iov_base, msg->msg_iov[i].iov_len);
		n += msg->msg_iov[i].iov_len;
	}
	text[n] = '\0';
	ck_assert_ptr_null(msg->msg_name);
	ck_assert_ptr_null(msg->msg_control);
	return text;
}

/* A send that the kernel has seen. */
static struct evu_send *sent_to_ring(int fd, const char *text)
{
	struct evu_send *send = sending(fd, text);

	turn();
	ck_assert_ptr_nonnull(fake_req(fd));
	return send;
}

/* ---- results */

START_TEST(test_a_send_is_offered_with_the_next_turn)
{
	s = sending(A, "hello");
	ck_assert_uint_eq(fake.arms, 0);
	ck_assert(!evu_request_over(&s->req));
	turn();
	ck_assert_int_eq(fake_req(A)->moves, EVU_SEND);
	ck_assert_str_eq(offered(A), "hello");
	ck_assert_int_eq(s->result, -EINPROGRESS);
}
END_TEST

START_TEST(test_the_result_is_told_once)
{
	s = sent_to_ring(A, "hello");
	fake_complete(A, 5, false);
	turn();
	ck_assert_int_eq(s->result, 5);
	ck_assert_int_eq(fake_sent(s), 1);
	ck_assert(evu_request_over(&s->req));
	turn();
	ck_assert_int_eq(fake_sent(s), 0);
	ck_assert_ptr_null(fake_req(A));
}
END_TEST

START_TEST(test_a_short_send_is_told_as_it_is_and_goes_on_when_started_again)
{
	s = sent_to_ring(A, "hello");
	fake_complete(A, 2, false);
	turn();
	ck_assert_int_eq(s->result, 2);
	s->vecs[0].iov_base = (char *)s->vecs[0].iov_base + 2;
	s->vecs[0].iov_len -= 2;
	evu_send_start(s, A);
	ck_assert_int_eq(s->result, -EINPROGRESS);
	turn();
	ck_assert_str_eq(offered(A), "llo");
	fake_complete(A, 3, false);
	turn();
	ck_assert_int_eq(s->result, 3);
}
END_TEST

START_TEST(test_an_error_is_told_as_it_is)
{
	static const int errors[] = {
	    -EPIPE, -ECONNRESET, -ENOTSOCK, -EOPNOTSUPP, -ENOBUFS, -ENOMEM};

	s = sent_to_ring(A, "hello");
	fake_complete(A, errors[_i], false);
	turn();
	ck_assert_int_eq(s->result, errors[_i]);
	ck_assert_int_eq(fake_sent(s), 1);
	ck_assert(evu_request_over(&s->req));
	turn();
	ck_assert_ptr_null(fake_req(A));
}
END_TEST

START_TEST(test_all_pieces_are_offered_in_order)
{
	char text[EVU_SEND_VECS + 1] = "";
	int i;

	s = evu_send_new(e);
	sends[n_sends++] = s;
	for (i = 0; i < EVU_SEND_VECS; i++) {
		text[i] = (char)('a' + i);
		s->vecs[i] = (struct iovec){text + i, 1};
	}
	s->n_vecs = EVU_SEND_VECS;
	evu_send_start(s, A);
	turn();
	ck_assert_str_eq(offered(A), text);
}
END_TEST

START_TEST(test_sends_of_several_fds_are_told_apart)
{
	struct evu_send *b;

	s = sending(A, "a");
	b = sending(B, "bb");
	turn();
	fake_complete(B, 2, false);
	turn();
	ck_assert_int_eq(b->result, 2);
	ck_assert_int_eq(s->result, -EINPROGRESS);
	ck_assert_int_eq(fake_sent(s), 0);
	ck_assert_str_eq(offered(A), "a");
}
END_TEST

START_TEST(test_what_the_embedder_keeps_in_a_send_is_left_alone)
{
	int mine;

	s = sending(A, "x");
	s->ctx = &mine;
	s->owners[EVU_SEND_VECS - 1] = &mine;
	turn();
	fake_complete(A, 1, false);
	turn();
	ck_assert_ptr_eq(s->ctx, &mine);
	ck_assert_ptr_eq(s->owners[EVU_SEND_VECS - 1], &mine);
}
END_TEST

START_TEST(test_an_interruption_sends_again_from_the_beginning)
{
	static const int errors[] = {-ECANCELED, -EINTR, -EAGAIN};

	s = sent_to_ring(A, "hello");
	fake_complete(A, errors[_i], false);
	turn();
	ck_assert_int_eq(fake_sent(s), 0);
	turn();
	ck_assert_str_eq(offered(A), "hello");
	fake_complete(A, 5, false);
	turn();
	ck_assert_int_eq(s->result, 5);
}
END_TEST

/* ---- halting */

START_TEST(test_halted_before_the_flush_nothing_is_offered)
{
	s = sending(A, "x");
	evu_request_halt(&s->req);
	ck_assert(evu_request_over(&s->req));
	turn();
	ck_assert_uint_eq(fake.arms, 1); /* the eventfd's */
	ck_assert_int_eq(s->result, -EINPROGRESS);
}
END_TEST

START_TEST(test_until_its_last_completion_a_halted_send_is_not_over)
{
	s = sent_to_ring(A, "x");
	fake.cancel_by_hand = true;
	evu_request_halt(&s->req);
	ck_assert(!evu_request_over(&s->req));
	turn();
	ck_assert(!evu_request_over(&s->req));
	fake_end_cancelled(A, -ECANCELED);
	turn();
	ck_assert(evu_request_over(&s->req));
	ck_assert_int_eq(s->result, -EINPROGRESS);
	ck_assert_int_eq(fake_sent(s), 0);
}
END_TEST

START_TEST(test_a_send_that_completes_though_it_was_halted_has_its_result)
{
	static const int results[] = {5, 2, -EPIPE};

	s = sent_to_ring(A, "hello");
	fake.cancel_by_hand = true;
	evu_request_halt(&s->req);
	turn();
	fake_end_cancelled(A, results[_i]);
	turn();
	ck_assert(evu_request_over(&s->req));
	ck_assert_int_eq(s->result, results[_i]);
	ck_assert_int_eq(fake_sent(s), 1);
}
END_TEST

START_TEST(test_a_send_that_completed_before_it_was_halted_has_its_result)
{
	s = sent_to_ring(A, "hello");
	fake_complete(A, 5, false);
	evu_request_halt(&s->req);
	turn();
	ck_assert(evu_request_over(&s->req));
	ck_assert_int_eq(s->result, 5);
}
END_TEST

START_TEST(test_cancelled_and_started_again_it_is_offered_again_when_it_has_ended)
{
	s = sent_to_ring(A, "hello");
	fake.cancel_by_hand = true;
	evu_request_halt(&s->req);
	turn();
	evu_send_start(s, A);
	turn();
	ck_assert_ptr_null(fake_req(A));
	fake_end_cancelled(A, -ECANCELED);
	turn();
	turn();
	ck_assert_str_eq(offered(A), "hello");
	ck_assert_int_eq(fake_sent(s), 0);
	fake_complete(A, 5, false);
	turn();
	ck_assert_int_eq(s->result, 5);
}
END_TEST

/* It was started again while the cancel was on its way, and the bytes went out all the same: they
 * must not go out twice. */
START_TEST(test_cancelled_started_again_and_completed_after_all_it_is_sent_once)
{
	s = sent_to_ring(A, "hello");
	fake.cancel_by_hand = true;
	evu_request_halt(&s->req);
	turn();
	evu_send_start(s, A);
	fake_end_cancelled(A, 5);
	turn();
	ck_assert_int_eq(s->result, 5);
	ck_assert_int_eq(fake_sent(s), 1);
	turn();
	turn();
	ck_assert_int_eq(fake_live(), 0);
}
END_TEST

START_TEST(test_halted_and_started_before_the_flush_it_was_never_disturbed)
{
	s = sent_to_ring(A, "hello");
	evu_request_halt(&s->req);
	evu_send_start(s, A);
	turn();
	ck_assert_uint_eq(fake.cancels, 0);
	ck_assert_uint_eq(fake.arms, 2);
	fake_complete(A, 5, false);
	turn();
	ck_assert_int_eq(fake_sent(s), 1);
}
END_TEST

START_TEST(test_after_drop_and_settle_it_is_over)
{
	s = sent_to_ring(A, "hello");
	evu_request_drop(&s->req);
	settle();
	ck_assert(evu_request_over(&s->req));
	ck_assert_int_eq(fake_live(), 0);
}
END_TEST

START_TEST(test_a_send_that_completes_while_settling_has_its_result)
{
	s = sent_to_ring(A, "hello");
	fake.cancel_by_hand = true;
	evu_request_drop(&s->req);
	fake_complete(A, 5, false);
	settle();
	ck_assert(evu_request_over(&s->req));
	ck_assert_int_eq(s->result, 5);
}
END_TEST

/* ---- memory */

START_TEST(test_a_send_that_was_freed_is_used_again)
{
	s = sent_to_ring(A, "x");
	fake_complete(A, 1, false);
	turn();
	evu_send_free(s);
	n_sends = 0;
	ck_assert_ptr_eq(evu_send_new(e), s);
	ck_assert_int_eq(s->n_vecs, 0);
	ck_assert_int_eq(s->result, -EINPROGRESS);
	ck_assert(evu_request_over(&s->req));
	evu_send_free(s);
}
END_TEST

START_TEST(test_without_memory_there_is_no_send)
{
	fake_mem_install(0);
	ck_assert_ptr_null(evu_send_new(e));
	fake_mem_install(-1);
}
END_TEST

START_TEST(test_without_memory_for_an_op_it_is_offered_later)
{
	struct evu_send *sends_first[3];
	int good, i;

	for (good = 0; good < 3; good++) {
		again_with("4");
		for (i = 0; i < 3; i++)
			sends_first[i] = sending(2000 + i, "x");
		fake_mem_install(good);
		turn();
		turn();
		fake_mem_install(-1);
		turn();
		for (i = 0; i < 3; i++) {
			ck_assert_int_eq(sends_first[i]->result, -EINPROGRESS);
			ck_assert_str_eq(offered(2000 + i), "x");
		}
	}
}
END_TEST

START_TEST(test_what_cannot_be_armed_now_is_tried_again_soon)
{
	static const int errors[] = {-EBUSY, -ENOMEM, -EAGAIN};

	s = sending(A, "x");
	fake.refuse_send = (struct fake_refusal){errors[_i], 2, 0};
	turn_of(-1);
	ck_assert_int_gt(fake.last_timeout_ns, 0);
	turn();
	ck_assert_int_eq(fake_sent(s), 0);
	turn();
	ck_assert_str_eq(offered(A), "x");
}
END_TEST

START_TEST(test_a_ring_that_does_not_send_says_so_once)
{
	fake_engine_done(e);
	fake.no_moves = 1u << EVU_SEND;
	e = fake_engine(FAKE_ALL_METHODS);
	s = sending(A, "x");
	turn();
	ck_assert_int_eq(s->result, -EOPNOTSUPP);
	ck_assert_int_eq(fake_sent(s), 1);
	ck_assert(evu_request_over(&s->req));
	turn();
	ck_assert_int_eq(fake_sent(s), 0);
}
END_TEST

/* ---- lost rings, threads, processes */

START_TEST(test_a_lost_ring_sends_again_from_the_beginning_on_the_next)
{
	s = sent_to_ring(A, "hello");
	fake.refuse_wait = (struct fake_refusal){-EBADF, 1, 0};
	turn();
	turn();
	ck_assert_str_eq(offered(A), "hello");
	ck_assert_int_eq(fake_sent(s), 0);
}
END_TEST

START_TEST(test_what_had_completed_when_the_ring_was_lost_is_not_sent_again)
{
	s = sent_to_ring(A, "hello");
	fake_complete(A, 3, false);
	fake.refuse_wait = (struct fake_refusal){-EBADF, 1, 0};
	turn();
	ck_assert_int_eq(s->result, 3);
	ck_assert_int_eq(fake_sent(s), 1);
	turn();
	ck_assert_int_eq(fake_live(), 0);
}
END_TEST

static void complete_on_close(bool alien)
{
	ck_assert(!alien);
	fake.on_close = NULL;
	fake_complete(A, 5, false);
}

START_TEST(test_what_completes_while_the_ring_closes_is_not_sent_again)
{
	s = sent_to_ring(A, "hello");
	fake.on_close = complete_on_close;
	ck_assert_int_eq(evu_engine_reinit(e), 0);
	ck_assert_int_eq(s->result, 5);
	turn();
	ck_assert_int_eq(fake_live(), 0);
}
END_TEST

START_TEST(test_a_halted_send_whose_ring_is_lost_is_over_without_a_result)
{
	s = sent_to_ring(A, "hello");
	fake.cancel_by_hand = true;
	evu_request_halt(&s->req);
	if (_i)
		turn();
	evu_engine_abandon(e);
	ck_assert(evu_request_over(&s->req));
	ck_assert_int_eq(s->result, -EINPROGRESS);
	turn();
	ck_assert_int_eq(fake_sent(s), 0);
	ck_assert_int_eq(fake_live(), 0);
}
END_TEST

START_TEST(test_when_io_uring_is_forbidden_it_ends_and_is_told_once)
{
	s = sent_to_ring(A, "hello");
	fake.refuse_wait = (struct fake_refusal){-EPERM, 1, 0};
	turn();
	ck_assert_int_eq(s->result, -EOPNOTSUPP);
	ck_assert_int_eq(fake_sent(s), 1);
	ck_assert(evu_request_over(&s->req));
	turn();
	ck_assert_int_eq(fake_sent(s), 0);
}
END_TEST

START_TEST(test_an_arm_that_is_forbidden_moves_to_the_next_method)
{
	s = sending(A, "hello");
	fake.refuse_send = (struct fake_refusal){-EPERM, -1, 0};
	turn();
	ck_assert_int_eq(evu_engine_method(e), EVU_EPOLL);
	ck_assert_int_eq(s->result, -EOPNOTSUPP);
}
END_TEST

START_TEST(test_during_a_rest_nothing_is_sent_and_then_it_goes_on)
{
	s = sent_to_ring(A, "hello");
	evu_engine_leave(e, true);
	ck_assert_int_eq(fake_live(), 0);
	ck_assert_int_eq(s->result, -EINPROGRESS);
	evu_engine_enter(e);
	turn();
	ck_assert_str_eq(offered(A), "hello");
}
END_TEST

static void drop_s(void)
{
	evu_request_drop(&s->req);
	(void)evu_engine_settle(e);
}

START_TEST(test_dropped_by_another_thread_when_nobody_loops_it_costs_the_ring)
{
	s = sent_to_ring(A, "hello");
	evu_engine_leave(e, false);
	elsewhere(drop_s);
	ck_assert_uint_eq(fake.alien_closes, 1);
	ck_assert(evu_request_over(&s->req));
	ck_assert_int_eq(s->result, -EINPROGRESS);
	evu_engine_enter(e);
}
END_TEST

static void drop_s_and_wake(void)
{
	ck_assert(evu_engine_asleep(e));
	drop_s();
	evu_engine_wake(e);
}

START_TEST(test_dropped_by_another_thread_while_the_owner_sleeps_it_is_over_when_it_wakes)
{
	s = sent_to_ring(A, "hello");
	sleep_while(drop_s_and_wake);
	ck_assert(evu_request_over(&s->req));
	ck_assert_int_ge(fake_log.nsettled, 1);
}
END_TEST

static void start_another(void)
{
	s = sending(B, "from elsewhere");
	evu_engine_wake(e);
}

START_TEST(test_started_by_another_thread_while_the_owner_sleeps_it_is_offered_next)
{
	turn();
	sleep_while(start_another);
	turn();
	ck_assert_str_eq(offered(B), "from elsewhere");
}
END_TEST

static void child_sends(void)
{
	must(evu_engine_turn(e, 0) == 0);
	must(fake.alien_closes == 1 && fake_req(A) && !strcmp(offered(A), "hello"));
	must(s->result == -EINPROGRESS);
}

START_TEST(test_a_child_sends_on_a_ring_of_its_own)
{
	s = sent_to_ring(A, "hello");
	fake_complete(A, 5, false);
	in_fork(child_sends);
	turn();
	ck_assert_int_eq(s->result, 5);
}
END_TEST

static TCase *result_case(void)
{
	TCase *tc = tcase_create("results");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_a_send_is_offered_with_the_next_turn);
	tcase_add_test(tc, test_the_result_is_told_once);
	tcase_add_test(tc, test_a_short_send_is_told_as_it_is_and_goes_on_when_started_again);
	tcase_add_loop_test(tc, test_an_error_is_told_as_it_is, 0, 6);
	tcase_add_test(tc, test_all_pieces_are_offered_in_order);
	tcase_add_test(tc, test_sends_of_several_fds_are_told_apart);
	tcase_add_test(tc, test_what_the_embedder_keeps_in_a_send_is_left_alone);
	tcase_add_loop_test(tc, test_an_interruption_sends_again_from_the_beginning, 0, 3);
	return tc;
}

static TCase *halt_case(void)
{
	TCase *tc = tcase_create("halting");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_halted_before_the_flush_nothing_is_offered);
	tcase_add_test(tc, test_until_its_last_completion_a_halted_send_is_not_over);
	tcase_add_loop_test(
	    tc, test_a_send_that_completes_though_it_was_halted_has_its_result, 0, 3);
	tcase_add_test(tc, test_a_send_that_completed_before_it_was_halted_has_its_result);
	tcase_add_test(tc, test_cancelled_and_started_again_it_is_offered_again_when_it_has_ended);
	tcase_add_test(tc, test_cancelled_started_again_and_completed_after_all_it_is_sent_once);
	tcase_add_test(tc, test_halted_and_started_before_the_flush_it_was_never_disturbed);
	tcase_add_test(tc, test_after_drop_and_settle_it_is_over);
	tcase_add_test(tc, test_a_send_that_completes_while_settling_has_its_result);
	return tc;
}

static TCase *memory_case(void)
{
	TCase *tc = tcase_create("memory");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_a_send_that_was_freed_is_used_again);
	tcase_add_test(tc, test_without_memory_there_is_no_send);
	tcase_add_test(tc, test_without_memory_for_an_op_it_is_offered_later);
	tcase_add_loop_test(tc, test_what_cannot_be_armed_now_is_tried_again_soon, 0, 3);
	tcase_add_test(tc, test_a_ring_that_does_not_send_says_so_once);
	return tc;
}

static TCase *lost_case(void)
{
	TCase *tc = tcase_create("lost rings, threads, processes");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, test_a_lost_ring_sends_again_from_the_beginning_on_the_next);
	tcase_add_test(tc, test_what_had_completed_when_the_ring_was_lost_is_not_sent_again);
	tcase_add_test(tc, test_what_completes_while_the_ring_closes_is_not_sent_again);
	tcase_add_loop_test(
	    tc, test_a_halted_send_whose_ring_is_lost_is_over_without_a_result, 0, 2);
	tcase_add_test(tc, test_when_io_uring_is_forbidden_it_ends_and_is_told_once);
	tcase_add_test(tc, test_an_arm_that_is_forbidden_moves_to_the_next_method);
	tcase_add_test(tc, test_during_a_rest_nothing_is_sent_and_then_it_goes_on);
	tcase_add_test(tc, test_dropped_by_another_thread_when_nobody_loops_it_costs_the_ring);
	tcase_add_test(
	    tc, test_dropped_by_another_thread_while_the_owner_sleeps_it_is_over_when_it_wakes);
	tcase_add_test(
	    tc, test_started_by_another_thread_while_the_owner_sleeps_it_is_offered_next);
	tcase_add_test(tc, test_a_child_sends_on_a_ring_of_its_own);
	return tc;
}

int main(void)
{
	Suite *suite = suite_create("send");

	suite_add_tcase(suite, result_case());
	suite_add_tcase(suite, halt_case());
	suite_add_tcase(suite, memory_case());
	suite_add_tcase(suite, lost_case());
	return data_suite_run(suite);
}
