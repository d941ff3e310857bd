/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_poll.c - the readiness machine on hints (the fake ring in io_uring's place): what is armed,
 * what is told, requests that end by themselves, and changes.
 *
 * Descriptors are numbers that are open nowhere. Every poll is memory of its own that is
 * overwritten and freed as soon as it is dropped, so that under AddressSanitizer whatever still
 * points there is found.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "poll_turns.h"

/* ---- arming */

START_TEST(test_want_only_marks_and_the_next_turn_arms)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	ck_assert_ptr_null(fake_req(A));
	turn();
	ck_assert_uint_eq(fake_req(A)->mask, POLLIN);
	ck_assert_int_eq(fake_req(A)->kind, EVU_POLL_LEVEL);
	drop(p);
}
END_TEST

START_TEST(test_the_kind_of_the_request_is_what_is_watched)
{
	struct evu_poll *a = watch(A, POLLIN | POLLOUT, EVU_ONCE);
	struct evu_poll *b = watch(B, POLLOUT, EVU_EDGE);

	turn();
	ck_assert_int_eq(fake_req(A)->kind, EVU_POLL_ONCE);
	ck_assert_uint_eq(fake_req(A)->mask, POLLIN | POLLOUT);
	ck_assert_int_eq(fake_req(B)->kind, EVU_POLL_EDGE);
	drop(a);
	drop(b);
}
END_TEST

START_TEST(test_wanting_the_same_again_changes_nothing)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	want(p, POLLIN, EVU_LEVEL);
	turn();
	want(p, POLLIN, EVU_LEVEL);
	turn();
	ck_assert_uint_eq(fake.arms, 2); /* with the engine's own */
	ck_assert_uint_eq(fake.cancels, 0);
	drop(p);
}
END_TEST

START_TEST(test_changes_before_the_turn_arm_the_last_one_only)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	want(p, POLLOUT, EVU_LEVEL);
	want(p, POLLOUT, EVU_EDGE);
	turn();
	ck_assert_int_eq(fake_live(), 1);
	ck_assert_uint_eq(fake_req(A)->mask, POLLOUT);
	ck_assert_int_eq(fake_req(A)->kind, EVU_POLL_EDGE);
	drop(p);
}
END_TEST

START_TEST(test_a_poll_dropped_before_the_turn_is_never_armed)
{
	drop(watch(A, POLLIN, EVU_LEVEL));
	turn();
	ck_assert_int_eq(fake_live(), 0);
	ck_assert_uint_eq(fake.cancels, 0);
}
END_TEST

START_TEST(test_dropping_what_is_not_watched_is_nothing)
{
	struct evu_poll *p = new_poll(A);

	evu_poll_drop(p);
	want(p, POLLIN, EVU_LEVEL);
	evu_poll_drop(p);
	evu_poll_drop(p);
	ck_assert_int_eq(e->npolls, 0);
	free(p);
}
END_TEST

START_TEST(test_an_fd_that_is_not_known_is_looked_at)
{
	struct evu_poll *p = new_poll(-1);
	int null = open("/dev/null", O_RDONLY);
	int dir = open("/", O_RDONLY | O_DIRECTORY);

	p->fd = null;
	ck_assert_int_eq(evu_poll_want(p, POLLIN, EVU_LEVEL, false), 0);
	drop(p);
	p = new_poll(dir);
	ck_assert_int_eq(evu_poll_want(p, POLLIN, EVU_LEVEL, false), -EPERM);
	ck_assert_uint_eq(p->want, 0);
	close(dir);
	ck_assert_int_eq(evu_poll_want(p, POLLIN, EVU_LEVEL, false), -EBADF);
	ck_assert_int_eq(e->npolls, 0);
	free(p);
	close(null);
}
END_TEST

START_TEST(test_an_arm_that_is_refused_for_a_while_is_tried_again_soon)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	fake.refuse_arm = (struct fake_refusal){-EBUSY, 2, 0};
	turn_of(-1);
	ck_assert_int_ge(fake.last_timeout_ns, 0);
	ck_assert_int_lt(fake.last_timeout_ns, 100000000);
	ck_assert_int_eq(fake_live(), 0);
	turn_of(-1);
	ck_assert_int_eq(fake.last_timeout_ns, -1);
	ck_assert_int_eq(fake_live(), 1);
	ck_assert_int_eq(evu_engine_method(e), EVU_IO_URING);
	drop(p);
}
END_TEST

START_TEST(test_an_arm_that_is_refused_for_good_moves_all_to_the_next_method)
{
	struct evu_poll *a = watch(A, POLLIN, EVU_LEVEL);
	struct evu_poll *b = watch(B, POLLIN, EVU_ONCE);

	turn();
	want(b, POLLOUT, EVU_ONCE);
	fake.refuse_arm = (struct fake_refusal){-EPERM, 1, 0};
	turn();
	ck_assert_int_eq(evu_engine_method(e), EVU_EPOLL);
	ck_assert_uint_eq(fake_req(A)->mask, POLLIN);
	ck_assert_uint_eq(fake_req(B)->mask, POLLOUT);
	drop(a);
	drop(b);
}
END_TEST

/* ---- what is told */

START_TEST(test_level_is_told_each_turn_and_armed_once)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);
	int i;

	turn();
	fire(A, POLLIN, true);
	for (i = 0; i < 5; i++) {
		turn();
		ck_assert_int_eq(fake_told(A), 1);
	}
	ck_assert_uint_eq(fake.arms, 2);
	drop(p);
}
END_TEST

START_TEST(test_level_leaves_the_hot_list_when_poll_denies_it)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);
	unsigned checks;

	turn();
	fire(A, POLLIN, true);
	turn();
	fake_set_ready(A, 0);
	turn();
	ck_assert_int_eq(fake_log.ntold, 0);
	checks = fake.checks;
	turn();
	ck_assert_uint_eq(fake.checks, checks);
	fire(A, POLLIN, true);
	turn();
	ck_assert_int_eq(fake_told(A), 1);
	ck_assert_uint_eq(fake.arms, 2);
	drop(p);
}
END_TEST

START_TEST(test_a_completion_that_poll_denies_is_not_told)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	turn();
	fake_complete(A, POLLIN, true);
	turn();
	ck_assert_int_eq(fake_log.ntold, 0);
	drop(p);
}
END_TEST

START_TEST(test_the_mask_told_is_polls_and_only_what_is_wanted)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	turn();
	fake_set_ready(A, POLLIN | POLLRDHUP | POLLOUT);
	fake_complete(A, POLLIN | POLLRDHUP | POLLHUP, true);
	turn();
	ck_assert_uint_eq(fake_told_mask(A), POLLIN);
	drop(p);
}
END_TEST

START_TEST(test_errors_and_hangups_are_told_unasked)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	turn();
	fire(A, POLLERR | POLLHUP, true);
	turn();
	ck_assert_uint_eq(fake_told_mask(A), POLLERR | POLLHUP);
	drop(p);
}
END_TEST

START_TEST(test_several_completions_of_one_turn_are_told_once)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_EDGE);

	turn();
	fire(A, POLLIN, true);
	fire(A, POLLIN, true);
	fire(A, POLLIN, true);
	turn();
	ck_assert_int_eq(fake_told(A), 1);
	drop(p);
}
END_TEST

START_TEST(test_one_check_asks_for_all_that_fired)
{
	struct evu_poll *p[3];
	int i;

	for (i = 0; i < 3; i++)
		p[i] = watch(A + i, POLLIN, EVU_LEVEL);
	turn();
	for (i = 2; i >= 0; i--)
		fire(A + i, POLLIN, true);
	turn();
	ck_assert_uint_eq(fake.checks, 1);
	ck_assert_uint_eq(fake.last_check_n, 3);
	for (i = 0; i < 3; i++) { /* in the order of their completions */
		ck_assert_int_eq(fake_log.told[i].fd, C - i);
		drop(p[i]);
	}
}
END_TEST

/* What the kernel does when it first sees a request. */
static void complete_at_once(struct fake_req *req)
{
	fake_post(req, POLLIN, req->kind != EVU_POLL_ONCE);
}

/* Nobody can be asked: the kernel is made to look again, by arming anew. */
START_TEST(test_when_poll_fails_what_is_ready_is_told_all_the_same)
{
	struct evu_poll *p = watch(A, POLLIN, (enum evu_watch)_i);
	int i, told = 0;

	turn();
	fire(A, POLLIN, _i != EVU_ONCE);
	fake.on_seen = complete_at_once;
	fake.refuse_check = (struct fake_refusal){-EINVAL, -1, 0};
	for (i = 0; i < 6; i++) {
		turn();
		told += fake_told(A);
	}
	if (_i == EVU_ONCE)
		ck_assert_int_eq(told, 1);
	else
		ck_assert_int_ge(told, 1);
	drop(p);
}
END_TEST

START_TEST(test_once_is_told_once_and_armed_again_when_wanted_again)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_ONCE);

	turn();
	fire(A, POLLIN, false);
	turn();
	ck_assert_int_eq(fake_told(A), 1);
	turn();
	ck_assert_int_eq(fake_told(A), 0);
	ck_assert_ptr_null(fake_req(A));
	want(p, POLLIN, EVU_ONCE);
	turn();
	ck_assert_ptr_nonnull(fake_req(A));
	drop(p);
}
END_TEST

START_TEST(test_once_whose_data_somebody_else_took_is_armed_again)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_ONCE);

	turn();
	fake_complete(A, POLLIN, false);
	turn();
	ck_assert_int_eq(fake_log.ntold, 0);
	turn();
	fire(A, POLLIN, false);
	turn();
	ck_assert_int_eq(fake_told(A), 1);
	drop(p);
}
END_TEST

START_TEST(test_edge_is_told_once_for_each_completion)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_EDGE);

	turn();
	fire(A, POLLIN, true);
	turn();
	ck_assert_int_eq(fake_told(A), 1);
	turn();
	ck_assert_int_eq(fake_told(A), 0);
	fire(A, POLLIN, true);
	turn();
	ck_assert_int_eq(fake_told(A), 1);
	ck_assert_uint_eq(fake.arms, 2);
	drop(p);
}
END_TEST

/* ---- requests that end by themselves */

START_TEST(test_level_whose_request_ended_is_armed_again_when_it_leaves_the_hot_list)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	turn();
	fire(A, POLLIN, false);
	turn();
	turn();
	ck_assert_int_eq(fake_told(A), 1);
	ck_assert_ptr_null(fake_req(A));
	fake_set_ready(A, 0);
	turn();
	turn();
	ck_assert_ptr_nonnull(fake_req(A));
	drop(p);
}
END_TEST

START_TEST(test_a_request_that_ends_while_hot_is_missed_later)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	turn();
	fire(A, POLLIN, true);
	turn();
	fake_complete(A, POLLIN, false);
	turn();
	fake_set_ready(A, 0);
	turn();
	turn();
	ck_assert_ptr_nonnull(fake_req(A));
	drop(p);
}
END_TEST

START_TEST(test_edge_whose_request_ended_is_armed_again_when_told)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_EDGE);

	turn();
	fire(A, POLLIN, false);
	turn();
	ck_assert_int_eq(fake_told(A), 1);
	turn();
	ck_assert_ptr_nonnull(fake_req(A));
	drop(p);
}
END_TEST

START_TEST(test_edge_whose_request_ended_is_armed_again_when_denied)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_EDGE);

	turn();
	fake_complete(A, POLLIN, false);
	turn();
	turn();
	ck_assert_ptr_nonnull(fake_req(A));
	drop(p);
}
END_TEST

START_TEST(test_a_request_that_fails_for_want_of_memory_is_armed_again)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	turn();
	fake_complete(A, -ENOMEM, false);
	turn();
	turn();
	ck_assert_int_eq(fake_log.ntold, 0);
	ck_assert_ptr_nonnull(fake_req(A));
	ck_assert_int_eq(evu_engine_method(e), EVU_IO_URING);
	drop(p);
}
END_TEST

START_TEST(test_a_request_for_a_closed_fd_ends_quietly)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	turn();
	fake_set_ready(A, POLLNVAL);
	fake_complete(A, -EBADF, false);
	turn();
	turn();
	ck_assert_int_eq(fake_log.ntold, 0);
	ck_assert_int_eq(fake_live(), 0);
	ck_assert_int_eq(e->nhot, 0);
	drop(p);
}
END_TEST

START_TEST(test_a_file_with_too_many_queues_moves_all_to_the_next_method)
{
	struct evu_poll *a = watch(A, POLLIN, EVU_LEVEL);
	struct evu_poll *b = watch(B, POLLIN, EVU_LEVEL);

	turn();
	fake_complete(A, -EINVAL, false);
	turn();
	ck_assert_int_eq(fake_log.ntold, 0);
	turn();
	ck_assert_int_eq(evu_engine_method(e), EVU_EPOLL);
	ck_assert_ptr_nonnull(fake_req(A));
	ck_assert_ptr_nonnull(fake_req(B));
	drop(a);
	drop(b);
}
END_TEST

/* ---- closed numbers */

START_TEST(test_a_poll_whose_fd_was_closed_is_not_told_and_its_request_cancelled)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	turn();
	fire(A, POLLNVAL, true);
	turn();
	ck_assert_int_eq(fake_log.ntold, 0);
	ck_assert_uint_eq(fake.cancels, 1);
	turn();
	ck_assert_int_eq(fake_live(), 0);
	drop(p);
}
END_TEST

START_TEST(test_after_pollnval_wanting_the_same_again_arms_the_new_file)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	turn();
	fire(A, POLLNVAL, true);
	turn();
	fake_set_ready(A, 0);
	want(p, POLLIN, EVU_LEVEL);
	turn();
	ck_assert_ptr_nonnull(fake_req(A));
	fire(A, POLLIN, true);
	turn();
	ck_assert_int_eq(fake_told(A), 1);
	drop(p);
}
END_TEST

/* ---- changes */

START_TEST(test_a_change_of_mask_cancels_and_arms_anew)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	turn();
	want(p, POLLIN | POLLOUT, EVU_LEVEL);
	turn();
	ck_assert_uint_eq(fake.cancels, 1);
	ck_assert_int_eq(fake_live(), 1);
	ck_assert_uint_eq(fake_req(A)->mask, POLLIN | POLLOUT);
	drop(p);
}
END_TEST

START_TEST(test_a_hot_poll_that_changes_is_asked_for_the_new_mask_at_once)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	turn();
	fire(A, POLLIN | POLLOUT, true);
	turn();
	ck_assert_uint_eq(fake_told_mask(A), POLLIN);
	want(p, POLLOUT, EVU_LEVEL);
	turn();
	ck_assert_uint_eq(fake_told_mask(A), POLLOUT);
	ck_assert_ptr_null(fake_req(A)); /* not before it is cold */
	fake_set_ready(A, 0);
	turn();
	turn();
	ck_assert_uint_eq(fake_req(A)->mask, POLLOUT);
	drop(p);
}
END_TEST

START_TEST(test_completions_of_the_request_before_a_change_are_not_told)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);
	struct fake_req *old;

	fake.cancel_by_hand = true;
	turn();
	old = fake_req(A);
	want(p, POLLOUT, EVU_LEVEL);
	turn();
	fake_set_ready(A, POLLIN | POLLOUT);
	fake_post(old, POLLIN, true);
	fake_post(old, -ECANCELED, false);
	turn();
	ck_assert_int_eq(fake_log.ntold, 0);
	fake_complete(A, POLLOUT, true);
	turn();
	ck_assert_uint_eq(fake_told_mask(A), POLLOUT);
	drop(p);
}
END_TEST

/* From each kind to each other, cold and hot. What must hold: it is told again by the rules of the
 * new kind. */
START_TEST(test_a_change_of_kind_follows_the_rules_of_the_new_kind)
{
	enum evu_watch from = (enum evu_watch)(_i % 3), to = (enum evu_watch)(_i / 3 % 3);
	bool hot = _i / 9;
	struct evu_poll *p = watch(A, POLLIN, from);
	int i, told = 0;

	turn();
	if (hot)
		fire(A, POLLIN, from != EVU_ONCE);
	turn();
	want(p, POLLIN | POLLOUT, to);
	for (i = 0; i < 4; i++) {
		if (fake_req(A) && fake_req(A)->seen && told == 0)
			fire(A, POLLIN, to != EVU_ONCE);
		turn();
		told += fake_told(A);
	}
	ck_assert_int_ge(told, to == EVU_LEVEL ? 2 : 1);
	if (to == EVU_ONCE)
		ck_assert_int_eq(told, 1);
	fake_set_ready(A, 0);
	turn();
	turn();
	if (to != EVU_ONCE)
		ck_assert_int_eq(
		    fake_req(A)->kind, to == EVU_EDGE ? EVU_POLL_EDGE : EVU_POLL_LEVEL);
	drop(p);
}
END_TEST

START_TEST(test_a_hot_poll_that_changes_after_the_ring_was_replaced_is_told_once_a_turn)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	turn();
	fire(A, POLLIN | POLLOUT, true);
	turn();
	fake.refuse_wait = (struct fake_refusal){-EPERM, 1, 0};
	turn();
	ck_assert_int_eq(evu_engine_method(e), EVU_EPOLL);
	ck_assert_int_eq(fake_told(A), 1);
	want(p, POLLIN | POLLOUT, EVU_LEVEL);
	if (fake_req(A))
		fake_complete(A, POLLIN | POLLOUT, true);
	turn();
	ck_assert_int_eq(fake_told(A), 1);
	drop(p);
}
END_TEST

/* ---- what nobody waits for */

START_TEST(test_a_hangup_that_nobody_waits_for_does_not_keep_the_turn_awake)
{
	struct evu_poll *p = watch(A, POLLRDHUP, (enum evu_watch)_i);

	turn();
	fake_log.boring = POLLHUP;
	fire(A, POLLHUP, _i != EVU_ONCE);
	turn();
	turn_of(-1); /* arms */
	fake.sleeps = 0;
	turn_of(-1);
	ck_assert_uint_eq(fake.sleeps, 1);
	ck_assert_int_eq(e->nhot, 0);
	fire(A, POLLHUP | POLLRDHUP, true);
	turn();
	ck_assert_uint_eq(fake_told_mask(A), POLLHUP | POLLRDHUP);
	drop(p);
}
END_TEST

/* It would end again at once, for the same nothing: as a multishot it says a thing once. */
START_TEST(test_once_that_was_denied_is_armed_as_a_multishot_and_told_once)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_ONCE);

	turn();
	fake_complete(A, POLLIN, false);
	turn();
	turn();
	ck_assert_int_ne(fake_req(A)->kind, EVU_POLL_ONCE);
	fake_complete(A, POLLIN, true);
	turn();
	ck_assert_int_eq(fake_told(A), 0);
	fire(A, POLLIN, true);
	turn();
	ck_assert_int_eq(fake_told(A), 1);
	turn();
	ck_assert_int_eq(fake_told(A), 0);
	ck_assert_int_eq(fake_live(), 0);
	want(p, POLLIN, EVU_ONCE);
	turn();
	ck_assert_int_eq(fake_req(A)->kind, EVU_POLL_ONCE);
	drop(p);
}
END_TEST

/* ---- devices without a poll method */

START_TEST(test_a_device_without_poll_is_told_each_turn_and_never_armed)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC), i;
	struct evu_poll *p = new_poll(fd);

	ck_assert_int_eq(evu_poll_want(p, POLLIN, EVU_LEVEL, false), 0);
	fake_set_ready(fd, POLLIN | POLLOUT);
	for (i = 0; i < 3; i++) {
		turn_of(-1);
		ck_assert_uint_eq(fake_told_mask(fd), POLLIN);
	}
	ck_assert_int_eq(fake_live(), 0);
	drop(p);
	close(fd);
}
END_TEST

START_TEST(test_a_device_without_poll_has_no_edge_and_no_end)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct evu_poll *p = new_poll(fd);

	ck_assert_int_eq(evu_poll_want(p, POLLIN, EVU_EDGE, false), -EPERM);
	ck_assert_int_eq(evu_poll_want(p, POLLRDHUP, EVU_LEVEL, false), -EPERM);
	ck_assert_uint_eq(p->want, 0);
	free(p);
	close(fd);
}
END_TEST

/* Its number was given to another file, or what is ready of it is not wanted any more. */
START_TEST(test_a_device_that_ceases_to_be_ready_does_not_hang_the_turn)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct evu_poll *p = new_poll(fd);

	ck_assert_int_eq(evu_poll_want(p, POLLIN, (enum evu_watch)_i, false), 0);
	fake_set_ready(fd, 0);
	turn_of(1000);
	turn_of(-1);
	ck_assert_int_eq(fake_log.ntold, 0);
	drop(p);
	close(fd);
}
END_TEST

/* ---- without other threads a completion may be taken at its word */

static void complete_with_more_bits(struct fake_req *req)
{
	fake_post(req, POLLIN | POLLRDHUP, req->kind != EVU_POLL_ONCE);
}

static void complete_in_two(struct fake_req *req)
{
	fake_post(req, POLLOUT, true);
	fake_post(req, POLLIN, true);
}

static void fail_at_once(struct fake_req *req)
{
	fake_post(req, -ENOMEM, false);
}

START_TEST(test_alone_what_completes_in_the_turn_that_armed_it_is_told_unasked)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	fake_set_ready(A, POLLIN);
	fake.on_seen = complete_at_once;
	turn();
	ck_assert_uint_eq(fake_told_mask(A), POLLIN);
	ck_assert_uint_eq(fake.checks, 0);
	turn(); /* it stays hot: now it must be asked */
	ck_assert_int_eq(fake_told(A), 1);
	ck_assert_uint_eq(fake.checks, 1);
	drop(p);
}
END_TEST

START_TEST(test_alone_what_completes_in_a_later_turn_is_asked_for)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	turn();
	fake_complete(A, POLLIN, true);
	turn();
	ck_assert_int_eq(fake_log.ntold, 0);
	ck_assert_uint_eq(fake.checks, 1);
	drop(p);
}
END_TEST

START_TEST(test_alone_what_settle_reaps_is_asked_for)
{
	struct evu_poll *a = watch(A, POLLIN, EVU_LEVEL), *b = watch(B, POLLIN, EVU_LEVEL);

	turn();
	fake_complete(A, POLLIN, true);
	drop(b);
	ck_assert(evu_engine_settle(e));
	turn();
	ck_assert_int_eq(fake_log.ntold, 0);
	ck_assert_uint_eq(fake.checks, 1);
	drop(a);
}
END_TEST

START_TEST(test_alone_the_mask_told_is_what_was_asked_for)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_ONCE);

	fake_set_ready(A, POLLIN | POLLRDHUP);
	fake.on_seen = complete_with_more_bits;
	turn();
	ck_assert_uint_eq(fake_told_mask(A), POLLIN);
	drop(p);
}
END_TEST

START_TEST(test_alone_a_request_that_fails_is_asked_for)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	fake.on_seen = fail_at_once;
	turn();
	ck_assert_int_eq(fake_log.ntold, 0);
	ck_assert_uint_eq(fake.checks, 1);
	fake.on_seen = NULL;
	turn();
	ck_assert_ptr_nonnull(fake_req(A));
	drop(p);
}
END_TEST

static void complete_and_fail(struct fake_req *req)
{
	fake_post(req, POLLIN, true);
	fake_post(req, -ENOMEM, false);
}

START_TEST(test_alone_a_failure_after_a_completion_is_asked_for)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	fake.on_seen = complete_and_fail;
	turn();
	ck_assert_uint_eq(fake.checks, 1);
	ck_assert_int_eq(fake_log.ntold, 0);
	drop(p);
}
END_TEST

/* The kernel reports a socket that can be written and then one that can be read: two edges, one
 * turn. */
START_TEST(test_alone_two_edges_of_one_turn_are_both_told)
{
	struct evu_poll *p = watch(A, POLLIN | POLLOUT, EVU_EDGE);

	fake_set_ready(A, POLLIN | POLLOUT);
	fake.on_seen = complete_in_two;
	turn();
	ck_assert_uint_eq(fake_told_mask(A), POLLIN | POLLOUT);
	drop(p);
}
END_TEST

static TCase *hint_case(void)
{
	TCase *tc = tcase_create("hints");

	tcase_add_checked_fixture(tc, hint_setup, teardown);
	tcase_add_test(tc, test_want_only_marks_and_the_next_turn_arms);
	tcase_add_test(tc, test_the_kind_of_the_request_is_what_is_watched);
	tcase_add_test(tc, test_wanting_the_same_again_changes_nothing);
	tcase_add_test(tc, test_changes_before_the_turn_arm_the_last_one_only);
	tcase_add_test(tc, test_a_poll_dropped_before_the_turn_is_never_armed);
	tcase_add_test(tc, test_dropping_what_is_not_watched_is_nothing);
	tcase_add_test(tc, test_an_fd_that_is_not_known_is_looked_at);
	tcase_add_test(tc, test_an_arm_that_is_refused_for_a_while_is_tried_again_soon);
	tcase_add_test(tc, test_an_arm_that_is_refused_for_good_moves_all_to_the_next_method);
	tcase_add_test(tc, test_level_is_told_each_turn_and_armed_once);
	tcase_add_test(tc, test_level_leaves_the_hot_list_when_poll_denies_it);
	tcase_add_test(tc, test_a_completion_that_poll_denies_is_not_told);
	tcase_add_test(tc, test_the_mask_told_is_polls_and_only_what_is_wanted);
	tcase_add_test(tc, test_errors_and_hangups_are_told_unasked);
	tcase_add_test(tc, test_several_completions_of_one_turn_are_told_once);
	tcase_add_test(tc, test_one_check_asks_for_all_that_fired);
	tcase_add_loop_test(tc, test_when_poll_fails_what_is_ready_is_told_all_the_same, 0, 3);
	tcase_add_test(tc, test_once_is_told_once_and_armed_again_when_wanted_again);
	tcase_add_test(tc, test_once_whose_data_somebody_else_took_is_armed_again);
	tcase_add_test(tc, test_edge_is_told_once_for_each_completion);
	tcase_add_test(
	    tc, test_a_hot_poll_that_changes_after_the_ring_was_replaced_is_told_once_a_turn);
	return tc;
}

static TCase *end_case(void)
{
	TCase *tc = tcase_create("ends and changes");

	tcase_add_checked_fixture(tc, hint_setup, teardown);
	tcase_add_test(
	    tc, test_level_whose_request_ended_is_armed_again_when_it_leaves_the_hot_list);
	tcase_add_test(tc, test_a_request_that_ends_while_hot_is_missed_later);
	tcase_add_test(tc, test_edge_whose_request_ended_is_armed_again_when_told);
	tcase_add_test(tc, test_edge_whose_request_ended_is_armed_again_when_denied);
	tcase_add_test(tc, test_a_request_that_fails_for_want_of_memory_is_armed_again);
	tcase_add_test(tc, test_a_request_for_a_closed_fd_ends_quietly);
	tcase_add_test(tc, test_a_file_with_too_many_queues_moves_all_to_the_next_method);
	tcase_add_test(tc, test_a_poll_whose_fd_was_closed_is_not_told_and_its_request_cancelled);
	tcase_add_test(tc, test_after_pollnval_wanting_the_same_again_arms_the_new_file);
	tcase_add_test(tc, test_a_change_of_mask_cancels_and_arms_anew);
	tcase_add_test(tc, test_a_hot_poll_that_changes_is_asked_for_the_new_mask_at_once);
	tcase_add_test(tc, test_completions_of_the_request_before_a_change_are_not_told);
	tcase_add_loop_test(tc, test_a_change_of_kind_follows_the_rules_of_the_new_kind, 0, 18);
	return tc;
}

static void alone_setup(void)
{
	fake_install();
	fake_mem_install(-1);
	fake.alone = true;
	e = fake_engine(FAKE_ALL_METHODS);
}

static TCase *nobody_case(void)
{
	TCase *tc = tcase_create("nobody waits, devices");

	tcase_add_checked_fixture(tc, hint_setup, teardown);
	tcase_add_loop_test(
	    tc, test_a_hangup_that_nobody_waits_for_does_not_keep_the_turn_awake, 0, 3);
	tcase_add_test(tc, test_once_that_was_denied_is_armed_as_a_multishot_and_told_once);
	tcase_add_test(tc, test_a_device_without_poll_is_told_each_turn_and_never_armed);
	tcase_add_test(tc, test_a_device_without_poll_has_no_edge_and_no_end);
	tcase_add_loop_test(tc, test_a_device_that_ceases_to_be_ready_does_not_hang_the_turn, 0, 2);
	return tc;
}

static TCase *alone_case(void)
{
	TCase *tc = tcase_create("alone");

	tcase_add_checked_fixture(tc, alone_setup, teardown);
	tcase_add_test(tc, test_alone_what_completes_in_the_turn_that_armed_it_is_told_unasked);
	tcase_add_test(tc, test_alone_what_completes_in_a_later_turn_is_asked_for);
	tcase_add_test(tc, test_alone_what_settle_reaps_is_asked_for);
	tcase_add_test(tc, test_alone_the_mask_told_is_what_was_asked_for);
	tcase_add_test(tc, test_alone_a_request_that_fails_is_asked_for);
	tcase_add_test(tc, test_alone_a_failure_after_a_completion_is_asked_for);
	tcase_add_test(tc, test_alone_two_edges_of_one_turn_are_both_told);
	return tc;
}

int main(void)
{
	Suite *s = suite_create("poll");

	suite_add_tcase(s, hint_case());
	suite_add_tcase(s, end_case());
	suite_add_tcase(s, nobody_case());
	suite_add_tcase(s, alone_case());
	return poll_suite_run(s);
}
