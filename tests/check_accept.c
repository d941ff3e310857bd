/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_accept.c - accepting, on the fake ring. What it shares with receiving (check_recv.c) is
 * looked at only where accepting has a part of its own. Connections are numbers here, but real
 * descriptors where it matters that they are closed.
 */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "data_turns.h"

static struct evu_intake *a;

static struct evu_intake *accepting(int fd)
{
	struct evu_intake *in = started(EVU_ACCEPT, fd);

	turn();
	ck_assert_ptr_nonnull(fake_req(fd));
	return in;
}

/* Takes the connections: they are the numbers from `first` on. Returns how many. */
static int take_from(struct evu_intake *in, int first)
{
	struct evu_item *item = evu_intake_take(in), *i;
	int n = 0;

	for (i = item; i; i = i->next) {
		ck_assert_int_eq(i->fd, first + n++);
		ck_assert_ptr_null(i->data);
	}
	give(item);
	return n;
}

static int a_descriptor(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* ---- connections */

START_TEST(test_connections_arrive_in_order_with_one_request)
{
	int i;

	a = accepting(A);
	ck_assert_int_eq(fake_req(A)->moves, EVU_ACCEPT);
	for (i = 0; i < 10; i++)
		fake_complete(A, 3000 + i, true);
	turn();
	ck_assert_int_eq(fake_arrived(a), 10);
	ck_assert_int_eq(take_from(a, 3000), 10);
	fake_complete(A, 3010, true);
	turn();
	ck_assert_int_eq(take_from(a, 3010), 1);
	ck_assert_uint_eq(fake.arms, 2);
}
END_TEST

START_TEST(test_the_number_zero_is_a_connection)
{
	int saved = fcntl(0, F_DUPFD_CLOEXEC, 10);

	a = accepting(A);
	fake_complete(A, 0, true);
	turn();
	ck_assert_int_eq(a->end, 0);
	ck_assert_int_eq(take_from(a, 0), 1);
	close(saved);
}
END_TEST

START_TEST(test_the_connections_flags_are_the_embedders)
{
	a = new_intake(EVU_ACCEPT);
	a->accept_cloexec = a->accept_nonblock = true;
	evu_intake_start(a, A, 0);
	turn();
	ck_assert_int_eq(fake_req(A)->flags, SOCK_CLOEXEC | SOCK_NONBLOCK);
}
END_TEST

START_TEST(test_accepting_takes_no_buffers)
{
	a = accepting(A);
	fake_complete(A, 3000, true);
	turn();
	ck_assert_uint_eq(fake.registrations, 0);
	ck_assert_uint_eq(fake_log.blocks_asked, 0);
	take_from(a, 3000);
}
END_TEST

START_TEST(test_connections_that_are_put_back_come_first_again)
{
	struct evu_item *item, *rest;

	a = accepting(A);
	fake_complete(A, 3000, true);
	fake_complete(A, 3001, true);
	turn();
	item = evu_intake_take(a);
	rest = item->next;
	item->next = NULL;
	give(item);
	fake_complete(A, 3002, true);
	turn();
	evu_intake_put_back(a, rest);
	ck_assert_int_eq(take_from(a, 3001), 2);
}
END_TEST

START_TEST(test_an_end_without_a_reason_is_armed_again)
{
	a = accepting(A);
	fake_complete(A, 3000, false);
	turn();
	turn();
	fake_complete(A, 3001, true);
	turn();
	ck_assert_int_eq(take_from(a, 3000), 2);
}
END_TEST

/* ---- errors */

START_TEST(test_connections_that_died_and_interruptions_are_passed_over)
{
	static const int errors[] = {-ECONNABORTED, -EINTR, -EAGAIN, -ECANCELED};

	a = accepting(A);
	fake_complete(A, errors[_i], false);
	turn();
	ck_assert_int_eq(fake_arrived(a), 0);
	turn();
	fake_complete(A, 3000, true);
	turn();
	ck_assert_int_eq(take_from(a, 3000), 1);
}
END_TEST

START_TEST(test_an_error_is_told_once_and_nothing_is_tried_again)
{
	static const int errors[] = {-EMFILE, -ENFILE, -ENOMEM, -EINVAL, -ENOTSOCK, -EBADF};
	unsigned arms;

	a = accepting(A);
	fake_complete(A, 3000, true);
	fake_complete(A, errors[_i], false);
	turn();
	ck_assert_int_eq(a->end, errors[_i]);
	ck_assert_int_eq(fake_arrived(a), 2);
	ck_assert_int_eq(take_from(a, 3000), 1);
	arms = fake.arms;
	evu_intake_start(a, A, 0);
	turn();
	turn();
	ck_assert_uint_eq(fake.arms, arms);
	ck_assert_int_eq(fake_arrived(a), 0);
	a->end = 0;
	evu_intake_start(a, A, 0);
	turn();
	ck_assert_ptr_nonnull(fake_req(A));
}
END_TEST

/* Items are made 64 at a time. */
START_TEST(test_without_memory_for_it_a_connection_is_closed_and_accepting_ends)
{
	int fds[2] = {a_descriptor(), a_descriptor()}, i;

	a = accepting(A);
	for (i = 0; i < 64; i++)
		fake_complete(A, 3000 + i, true);
	turn();
	fake_mem_install(0);
	fake_complete(A, fds[0], true);
	turn();
	ck_assert(!is_open(fds[0]));
	ck_assert_int_eq(a->end, -ENOMEM);
	turn();
	ck_assert(evu_request_over(&a->req));
	ck_assert_uint_eq(fake.cancels, 1);
	fake_mem_install(-1);
	ck_assert_int_eq(take_from(a, 3000), 64);
	a->end = 0;
	evu_intake_start(a, A, 0);
	turn();
	fake_complete(A, fds[1], true);
	turn();
	ck_assert_int_eq(take_from(a, fds[1]), 1);
	ck_assert(is_open(fds[1]));
	close(fds[1]);
}
END_TEST

START_TEST(test_without_memory_for_it_the_last_connection_of_a_request_is_closed_too)
{
	int fd = a_descriptor();

	a = accepting(A);
	fake_mem_install(0);
	fake_complete(A, fd, false);
	turn();
	fake_mem_install(-1);
	ck_assert(!is_open(fd));
	ck_assert_int_eq(a->end, -ENOMEM);
	ck_assert(evu_request_over(&a->req));
	turn();
	ck_assert_ptr_null(fake_req(A));
}
END_TEST

START_TEST(test_what_cannot_be_armed_now_is_tried_again_soon)
{
	static const int errors[] = {-EBUSY, -ENOMEM, -EAGAIN};

	a = started(EVU_ACCEPT, A);
	fake.refuse_accept = (struct fake_refusal){errors[_i], 2, 0};
	turn_of(-1);
	ck_assert_int_gt(fake.last_timeout_ns, 0);
	turn();
	ck_assert_ptr_null(fake_req(A));
	turn();
	ck_assert_ptr_nonnull(fake_req(A));
}
END_TEST

START_TEST(test_a_ring_that_does_not_accept_says_so_once)
{
	fake_engine_done(e);
	fake.no_moves = 1u << EVU_ACCEPT;
	e = fake_engine(FAKE_ALL_METHODS);
	a = started(EVU_ACCEPT, A);
	turn();
	ck_assert_int_eq(fake_arrived(a), 1);
	ck_assert_int_eq(a->end, -EOPNOTSUPP);
	turn();
	ck_assert_int_eq(fake_arrived(a), 0);
}
END_TEST

/* ---- stopping */

START_TEST(test_a_connection_that_comes_before_the_cancel_took_effect_is_kept)
{
	a = accepting(A);
	fake.cancel_by_hand = true;
	evu_request_drop(&a->req);
	fake.cancel_by_hand = true;
	turn();
	fake_post(fake_cancelled(A), 3000, true);
	fake_end_cancelled(A, -ECANCELED);
	turn();
	ck_assert(evu_request_over(&a->req));
	evu_intake_start(a, A, 0);
	turn();
	fake_complete(A, 3001, true);
	turn();
	ck_assert_int_eq(take_from(a, 3000), 2);
}
END_TEST

START_TEST(test_halted_and_started_before_the_flush_reaches_nobody)
{
	a = accepting(A);
	evu_request_halt(&a->req);
	evu_intake_start(a, A, 0);
	turn();
	ck_assert_uint_eq(fake.cancels, 0);
	ck_assert_uint_eq(fake.arms, 2);
}
END_TEST

START_TEST(test_after_drop_and_settle_nothing_is_armed)
{
	a = accepting(A);
	evu_request_drop(&a->req);
	settle();
	ck_assert(evu_request_over(&a->req));
	ck_assert_int_eq(fake_live(), 0);
	turn();
	ck_assert_int_eq(fake_live(), 0);
}
END_TEST

START_TEST(test_during_a_rest_nothing_is_accepted_and_then_it_goes_on)
{
	a = accepting(A);
	fake_complete(A, 3000, true);
	evu_engine_leave(e, true);
	ck_assert_int_eq(fake_live(), 0);
	evu_engine_enter(e);
	turn();
	fake_complete(A, 3001, true);
	turn();
	ck_assert_int_eq(take_from(a, 3000), 2);
}
END_TEST

/* As when a program frees its base first. */
START_TEST(test_connections_that_nobody_took_are_closed_with_the_engine)
{
	int untaken = a_descriptor(), taken_away = a_descriptor(), held = a_descriptor();
	struct evu_item *item;

	a = accepting(A);
	fake_complete(A, taken_away, true);
	turn();
	take_from(a, taken_away);
	fake_complete(A, held, true);
	turn();
	item = evu_intake_take(a);
	fake_complete(A, untaken, true);
	turn();
	item->fd = -1;
	fake_engine_done(e);
	n_intakes = 0;
	free(a);
	ck_assert(!is_open(untaken));
	ck_assert(is_open(taken_away));
	ck_assert(is_open(held));
	close(taken_away);
	close(held);
	e = fake_engine(FAKE_ALL_METHODS);
}
END_TEST

/* ---- lost rings */

START_TEST(test_a_lost_ring_goes_on_accepting_on_the_next)
{
	a = accepting(A);
	fake_complete(A, 3000, true);
	fake.refuse_wait = (struct fake_refusal){-EBADF, 1, 0};
	turn();
	turn();
	fake_complete(A, 3001, true);
	turn();
	ck_assert_int_eq(take_from(a, 3000), 2);
}
END_TEST

START_TEST(test_when_io_uring_is_forbidden_it_ends_and_is_told_once_behind_what_came)
{
	a = accepting(A);
	fake_complete(A, 3000, true);
	fake.refuse_wait = (struct fake_refusal){-EPERM, 1, 0};
	turn();
	ck_assert_int_eq(a->end, -EOPNOTSUPP);
	ck_assert_int_eq(fake_arrived(a), 2);
	ck_assert_int_eq(take_from(a, 3000), 1);
	turn();
	ck_assert_int_eq(fake_arrived(a), 0);
}
END_TEST

static void drop_a(void)
{
	evu_request_drop(&a->req);
	(void)evu_engine_settle(e);
}

START_TEST(test_dropped_by_another_thread_when_nobody_loops_it_costs_the_ring)
{
	a = accepting(A);
	fake_complete(A, 3000, true);
	evu_engine_leave(e, false);
	elsewhere(drop_a);
	ck_assert_uint_eq(fake.alien_closes, 1);
	ck_assert(evu_request_over(&a->req));
	ck_assert_int_eq(take_from(a, 3000), 1);
	evu_engine_enter(e);
	turn();
	ck_assert_ptr_null(fake_req(A));
}
END_TEST

static void child_accepts(void)
{
	must(evu_engine_turn(e, 0) == 0);
	must(fake.alien_closes == 1 && fake_req(A) && fake_req(A)->flags == SOCK_CLOEXEC);
	must(!evu_intake_take(a)); /* what completed on the parent's ring is the parent's */
}

START_TEST(test_a_child_accepts_on_a_ring_of_its_own)
{
	a = new_intake(EVU_ACCEPT);
	a->accept_cloexec = true;
	evu_intake_start(a, A, 0);
	turn();
	fake_complete(A, 3000, true);
	in_fork(child_accepts);
	turn();
	ck_assert_int_eq(take_from(a, 3000), 1);
}
END_TEST

/* ---- a poll beside it (B stands for the same socket, to have a name for the poll's request) */

static struct evu_poll beside;

static struct evu_intake *accepting_with_a_poll(void)
{
	evu_poll_init(&beside, e, B);
	a = started(EVU_ACCEPT, A);
	a->beside = &beside;
	ck_assert_int_eq(evu_poll_want(&beside, POLLIN, EVU_BESIDE, true), 0);
	turn();
	ck_assert_ptr_nonnull(fake_req(A));
	ck_assert_ptr_nonnull(fake_req(B));
	return a;
}

static void put_the_poll_away(void)
{
	a->beside = NULL;
	evu_poll_drop(&beside);
	settle();
}

START_TEST(test_a_poll_beside_it_asks_nothing_when_a_connection_has_come_since)
{
	a = accepting_with_a_poll();
	fake_set_ready(B, POLLIN);
	fake_complete(B, POLLIN, true);
	fake_complete(A, 3000, true);
	turn();
	ck_assert_int_eq(fake_told(B), 0);
	ck_assert_uint_eq(fake.checks, 0);
	ck_assert_int_eq(take_from(a, 3000), 1);
	turn();
	ck_assert_uint_eq(fake.checks, 0);
	ck_assert_ptr_nonnull(fake_req(B));
	put_the_poll_away();
}
END_TEST

START_TEST(test_a_poll_beside_it_that_ended_is_armed_anew_when_a_connection_has_come_since)
{
	a = accepting_with_a_poll();
	fake_complete(B, POLLIN, false);
	fake_complete(A, 3000, true);
	turn();
	ck_assert_int_eq(take_from(a, 3000), 1);
	turn();
	ck_assert_ptr_nonnull(fake_req(B));
	ck_assert_int_eq(fake_told(B), 0);
	put_the_poll_away();
}
END_TEST

START_TEST(test_a_poll_beside_it_tells_of_who_is_passed_over_once)
{
	a = accepting_with_a_poll();
	fake_set_ready(B, POLLIN);
	fake_complete(A, 3000, true);
	fake_complete(B, POLLIN, true);
	turn();
	ck_assert_int_eq(fake_told(B), 1);
	ck_assert_int_eq(take_from(a, 3000), 1);
	turn();
	ck_assert_int_eq(fake_told(B), 0);
	ck_assert_uint_eq(fake.checks, 1);
	put_the_poll_away();
}
END_TEST

START_TEST(test_a_poll_beside_it_tells_nothing_when_nobody_waits)
{
	a = accepting_with_a_poll();
	fake_complete(A, 3000, true);
	fake_complete(B, POLLIN, true);
	turn();
	ck_assert_int_eq(fake_told(B), 0);
	ck_assert_uint_eq(fake.checks, 1);
	turn();
	ck_assert_uint_eq(fake.checks, 1);
	ck_assert_int_eq(take_from(a, 3000), 1);
	put_the_poll_away();
}
END_TEST

static void complete_beside(int64_t timeout_ns)
{
	(void)timeout_ns;
	fake_complete(B, POLLIN, true);
}

/* Armed and completed in one turn, and poll(2) could not be asked the last time: any other poll is
 * taken at its word. */
START_TEST(test_a_poll_beside_it_is_never_taken_at_its_word)
{
	evu_poll_init(&beside, e, B);
	a = started(EVU_ACCEPT, A);
	a->beside = &beside;
	ck_assert_int_eq(evu_poll_want(&beside, POLLIN, EVU_BESIDE, true), 0);
	fake.on_wait = complete_beside;
	e->blind = true;
	turn();
	fake.on_wait = NULL;
	ck_assert_int_eq(fake_told(B), 0);
	ck_assert_uint_eq(fake.checks, 1);
	put_the_poll_away();
}
END_TEST

START_TEST(test_a_rest_ends_the_poll_beside_it_too)
{
	a = accepting_with_a_poll();
	evu_engine_leave(e, true);
	ck_assert_int_eq(fake_live(), 0);
	evu_engine_enter(e);
	turn();
	ck_assert_ptr_nonnull(fake_req(A));
	ck_assert_ptr_nonnull(fake_req(B));
	put_the_poll_away();
}
END_TEST

START_TEST(test_the_first_is_taken_alone)
{
	struct evu_item *item;

	a = accepting(A);
	ck_assert_ptr_null(evu_intake_pop(a));
	fake_complete(A, 3000, true);
	fake_complete(A, 3001, true);
	turn();
	item = evu_intake_pop(a);
	ck_assert_int_eq(item->fd, 3000);
	ck_assert_ptr_null(item->next);
	give(item);
	ck_assert_uint_eq(a->queued, EVU_INTAKE_CONNECTION);
	item = evu_intake_pop(a);
	ck_assert_int_eq(item->fd, 3001);
	give(item);
	ck_assert_uint_eq(a->queued, 0);
	ck_assert(!evu_intake_pending(a));
	fake_complete(A, 3002, true);
	turn();
	ck_assert_int_eq(take_from(a, 3002), 1);
}
END_TEST

static TCase *beside_case(void)
{
	TCase *tc = tcase_create("a poll beside it");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_a_poll_beside_it_asks_nothing_when_a_connection_has_come_since);
	tcase_add_test(
	    tc, test_a_poll_beside_it_that_ended_is_armed_anew_when_a_connection_has_come_since);
	tcase_add_test(tc, test_a_poll_beside_it_tells_of_who_is_passed_over_once);
	tcase_add_test(tc, test_a_poll_beside_it_tells_nothing_when_nobody_waits);
	tcase_add_test(tc, test_a_poll_beside_it_is_never_taken_at_its_word);
	tcase_add_test(tc, test_a_rest_ends_the_poll_beside_it_too);
	tcase_add_test(tc, test_the_first_is_taken_alone);
	return tc;
}

static TCase *accept_case(void)
{
	TCase *tc = tcase_create("connections");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_connections_arrive_in_order_with_one_request);
	tcase_add_test(tc, test_the_number_zero_is_a_connection);
	tcase_add_test(tc, test_the_connections_flags_are_the_embedders);
	tcase_add_test(tc, test_accepting_takes_no_buffers);
	tcase_add_test(tc, test_connections_that_are_put_back_come_first_again);
	tcase_add_test(tc, test_an_end_without_a_reason_is_armed_again);
	return tc;
}

static TCase *error_case(void)
{
	TCase *tc = tcase_create("errors");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, test_connections_that_died_and_interruptions_are_passed_over, 0, 4);
	tcase_add_loop_test(tc, test_an_error_is_told_once_and_nothing_is_tried_again, 0, 6);
	tcase_add_test(tc, test_without_memory_for_it_a_connection_is_closed_and_accepting_ends);
	tcase_add_test(
	    tc, test_without_memory_for_it_the_last_connection_of_a_request_is_closed_too);
	tcase_add_loop_test(tc, test_what_cannot_be_armed_now_is_tried_again_soon, 0, 3);
	tcase_add_test(tc, test_a_ring_that_does_not_accept_says_so_once);
	return tc;
}

static TCase *stop_case(void)
{
	TCase *tc = tcase_create("stopping");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, test_a_connection_that_comes_before_the_cancel_took_effect_is_kept);
	tcase_add_test(tc, test_halted_and_started_before_the_flush_reaches_nobody);
	tcase_add_test(tc, test_after_drop_and_settle_nothing_is_armed);
	tcase_add_test(tc, test_during_a_rest_nothing_is_accepted_and_then_it_goes_on);
	tcase_add_test(tc, test_connections_that_nobody_took_are_closed_with_the_engine);
	tcase_add_test(tc, test_a_lost_ring_goes_on_accepting_on_the_next);
	tcase_add_test(
	    tc, test_when_io_uring_is_forbidden_it_ends_and_is_told_once_behind_what_came);
	tcase_add_test(tc, test_dropped_by_another_thread_when_nobody_loops_it_costs_the_ring);
	tcase_add_test(tc, test_a_child_accepts_on_a_ring_of_its_own);
	return tc;
}

int main(void)
{
	Suite *s = suite_create("accept");

	suite_add_tcase(s, accept_case());
	suite_add_tcase(s, beside_case());
	suite_add_tcase(s, error_case());
	suite_add_tcase(s, stop_case());
	return data_suite_run(s);
}
