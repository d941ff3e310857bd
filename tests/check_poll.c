/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_poll.c - the readiness machine, on the fake ring.
 *
 * Descriptors are numbers that are open nowhere. Every poll is memory of its own that is
 * overwritten and freed as soon as it is dropped, so that under AddressSanitizer whatever still
 * points there is found. A test that says nothing else is on the ring that gives hints, io_uring's;
 * those named "truth" are on the one that tells what is so, epoll's.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ring_fake.h"
#include "wake.h"

#define A 1001
#define B 1002
#define C 1003

static struct evu_engine *e;

static struct evu_poll *new_poll(int fd)
{
	struct evu_poll *p = malloc(sizeof(*p));

	ck_assert_ptr_nonnull(p);
	evu_poll_init(p, e, fd);
	return p;
}

static struct evu_poll *watch(int fd, unsigned mask, enum evu_watch how)
{
	struct evu_poll *p = new_poll(fd);

	ck_assert_int_eq(evu_poll_want(p, mask, how, true), 0);
	return p;
}

static void want(struct evu_poll *p, unsigned mask, enum evu_watch how)
{
	ck_assert_int_eq(evu_poll_want(p, mask, how, true), 0);
}

static void drop(struct evu_poll *p)
{
	evu_poll_drop(p);
	memset(p, 0xdd, sizeof(*p));
	free(p);
}

/* One turn that does not sleep; the log holds what it told. */
static void turn(void)
{
	fake_log_clear();
	ck_assert_int_eq(evu_engine_turn(e, 0), 0);
}

/* Data comes: the armed request completes, and poll(2) will say so. */
static void fire(int fd, unsigned mask, bool more)
{
	fake_set_ready(fd, mask);
	fake_complete(fd, (int)mask, more);
}

static void hint_setup(void)
{
	fake_install();
	fake_mem_install(-1);
	e = fake_engine(FAKE_ALL_METHODS);
}

static void truth_setup(void)
{
	fake_install();
	fake_mem_install(-1);
	e = fake_engine(1u << EVU_EPOLL | 1u << EVU_POLL2);
}

static void teardown(void)
{
	fake_engine_done(e);
}

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

START_TEST(test_an_arm_that_is_refused_for_a_while_is_tried_again_without_sleeping)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	fake.refuse_arm = (struct fake_refusal){-EBUSY, 2, 0};
	ck_assert_int_eq(evu_engine_turn(e, -1), 0);
	ck_assert_uint_eq(fake.sleeps, 0);
	ck_assert_int_eq(fake_live(), 0);
	ck_assert_int_eq(evu_engine_turn(e, -1), 0);
	ck_assert_uint_eq(fake.sleeps, 1);
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

START_TEST(test_when_poll_fails_what_was_asked_for_is_told)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	turn();
	fake_complete(A, POLLIN, true);
	fake.refuse_check = (struct fake_refusal){-ENOMEM, 1, 0};
	turn();
	ck_assert_uint_eq(fake_told_mask(A), POLLIN);
	turn();
	ck_assert_int_eq(fake_log.ntold, 0);
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

/* ---- the ready hook may want and drop */

static struct evu_poll *victims[3];

static void drop_all_victims(struct evu_poll *p, unsigned mask)
{
	int i;

	(void)p;
	(void)mask;
	for (i = 0; i < 3; i++) {
		if (victims[i])
			drop(victims[i]);
		victims[i] = NULL;
	}
}

START_TEST(test_polls_dropped_and_freed_while_the_first_is_told_are_not_told)
{
	int i;

	for (i = 0; i < 3; i++)
		victims[i] = watch(A + i, POLLIN, EVU_LEVEL);
	turn();
	for (i = 0; i < 3; i++)
		fire(A + i, POLLIN, true);
	fake_log.on_ready = drop_all_victims;
	turn();
	ck_assert_int_eq(fake_log.ntold, 1);
	turn();
	ck_assert_int_eq(fake_log.ntold, 0);
	ck_assert_int_eq(fake_live(), 0);
}
END_TEST

static struct evu_poll *many[300];

static void want_many(struct evu_poll *p, unsigned mask)
{
	int i;

	(void)mask;
	fake_log.on_ready = NULL;
	for (i = 0; i < 300; i++)
		many[i] = watch(2000 + i, POLLIN, EVU_LEVEL);
	evu_poll_drop(p);
	want(p, POLLIN, EVU_EDGE);
}

START_TEST(test_the_hot_list_may_grow_while_it_is_told)
{
	struct evu_poll *a = watch(A, POLLIN, EVU_LEVEL);
	struct evu_poll *b = watch(B, POLLIN, EVU_LEVEL);
	int i;

	turn();
	fire(A, POLLIN, true);
	fire(B, POLLIN, true);
	fake_log.on_ready = want_many;
	turn();
	ck_assert_int_eq(fake_log.ntold, 2);
	turn();
	for (i = 0; i < 300; i++)
		fire(2000 + i, POLLIN, true);
	turn();
	ck_assert_int_eq(fake_log.ntold, 301);
	for (i = 0; i < 300; i++)
		drop(many[i]);
	drop(a);
	drop(b);
}
END_TEST

static void want_once_again(struct evu_poll *p, unsigned mask)
{
	(void)mask;
	want(p, POLLIN, EVU_ONCE);
}

START_TEST(test_once_wanted_again_while_it_is_told_is_told_again_in_the_next_turn)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_ONCE);

	turn();
	fire(A, POLLIN, false);
	fake_log.on_ready = want_once_again;
	turn();
	ck_assert_int_eq(fake_told(A), 1);
	turn(); /* arms */
	fake_complete(A, POLLIN, false);
	turn();
	ck_assert_int_eq(fake_told(A), 1);
	drop(p);
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
	evu_engine_leave(e);
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

/* ---- a ring that tells the truth */

START_TEST(test_truth_want_arms_at_once)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	ck_assert_ptr_nonnull(fake_req(A));
	ck_assert(!fake_req(A)->again);
	drop(p);
	ck_assert_int_eq(fake_live(), 0);
	ck_assert_uint_eq(e->pool.in_flight, 0);
}
END_TEST

START_TEST(test_truth_the_refusal_of_an_fd_is_the_answer)
{
	struct evu_poll *p = new_poll(A);

	fake.refuse_arm = (struct fake_refusal){-ENOSPC, 1, 0};
	ck_assert_int_eq(evu_poll_want(p, POLLIN, EVU_LEVEL, false), -ENOSPC);
	ck_assert_uint_eq(p->want, 0);
	ck_assert_int_eq(e->npolls, 0);
	turn();
	ck_assert_ptr_null(fake_req(A));
	free(p);
}
END_TEST

START_TEST(test_truth_is_told_without_asking_again)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	fake_complete(A, POLLIN | POLLHUP, true);
	turn();
	ck_assert_uint_eq(fake_told_mask(A), POLLIN | POLLHUP);
	ck_assert_uint_eq(fake.checks, 0);
	turn();
	ck_assert_int_eq(fake_log.ntold, 0);
	drop(p);
}
END_TEST

START_TEST(test_truth_once_that_fired_is_armed_as_again)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_ONCE);

	fake_complete(A, POLLIN, false);
	turn();
	ck_assert_int_eq(fake_told(A), 1);
	want(p, POLLIN, EVU_ONCE);
	ck_assert(fake_req(A)->again);
	drop(p);
}
END_TEST

START_TEST(test_truth_a_change_replaces_the_request_in_one_call)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	want(p, POLLIN | POLLOUT, EVU_EDGE);
	ck_assert_uint_eq(fake.replaced, 1);
	ck_assert_uint_eq(fake.cancels, 0);
	ck_assert_int_eq(fake_live(), 1);
	ck_assert(fake_req(A)->again);
	ck_assert_int_eq(fake_req(A)->kind, EVU_POLL_EDGE);
	drop(p);
}
END_TEST

START_TEST(test_truth_a_change_that_is_refused_changes_nothing)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	fake.refuse_arm = (struct fake_refusal){-ENOMEM, 1, 0};
	ck_assert_int_eq(evu_poll_want(p, POLLOUT, EVU_LEVEL, true), -ENOMEM);
	ck_assert_int_eq(fake_live(), 1);
	fake_complete(A, POLLIN, true);
	turn();
	ck_assert_uint_eq(fake_told_mask(A), POLLIN);
	want(p, POLLOUT, EVU_LEVEL);
	ck_assert_uint_eq(fake_req(A)->mask, POLLOUT);
	drop(p);
}
END_TEST

static void drop_at_once(void *arg)
{
	fake_hold();
	drop(arg);
	ck_assert(evu_engine_settle(e));
	fake_let_go();
}

START_TEST(test_truth_any_thread_drops_at_once)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	turn();
	fake_in_thread(drop_at_once, p);
	ck_assert_int_eq(fake_live(), 0);
	ck_assert_uint_eq(fake.closes, 0);
}
END_TEST

START_TEST(test_truth_a_device_without_poll_is_ready_each_turn)
{
	int fd = open("/dev/null", O_RDWR);
	struct evu_poll *p = new_poll(fd);

	fake.refuse_arm = (struct fake_refusal){-EPERM, 1, 0};
	ck_assert_int_eq(evu_poll_want(p, POLLOUT, EVU_LEVEL, false), 0);
	fake_set_ready(fd, POLLIN | POLLOUT);
	turn();
	ck_assert_uint_eq(fake_told_mask(fd), POLLOUT);
	want(p, POLLIN, EVU_LEVEL);
	turn();
	ck_assert_uint_eq(fake_told_mask(fd), POLLIN);
	ck_assert_ptr_null(fake_req(fd));
	drop(p);
	turn();
	ck_assert_int_eq(fake_log.ntold, 0);
	close(fd);
}
END_TEST

START_TEST(test_truth_a_file_is_refused_as_epoll_refuses_it)
{
	int fd = open("/proc/self/exe", O_RDONLY);
	struct evu_poll *p = new_poll(fd);

	fake.refuse_arm = (struct fake_refusal){-EPERM, 1, 0};
	ck_assert_int_eq(evu_poll_want(p, POLLIN, EVU_LEVEL, false), -EPERM);
	ck_assert_int_eq(e->nhot, 0);
	free(p);
	close(fd);
}
END_TEST

START_TEST(test_truth_eperm_for_a_socket_means_that_epoll_is_forbidden)
{
	int fds[2];
	struct evu_poll *p;

	ck_assert_int_eq(pipe(fds), 0);
	p = new_poll(fds[0]);
	fake.refuse_arm = (struct fake_refusal){-EPERM, 1, 0};
	ck_assert_int_eq(evu_poll_want(p, POLLIN, EVU_LEVEL, false), 0);
	turn();
	ck_assert_int_eq(evu_engine_method(e), EVU_POLL2);
	ck_assert_ptr_nonnull(fake_req(fds[0]));
	drop(p);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

START_TEST(test_truth_a_bare_device_that_is_not_ready_means_that_epoll_is_forbidden)
{
	int fd = open("/dev/null", O_RDWR);
	struct evu_poll *p = new_poll(fd);

	fake.refuse_arm = (struct fake_refusal){-EPERM, 1, 0};
	ck_assert_int_eq(evu_poll_want(p, POLLIN, EVU_LEVEL, false), 0);
	turn();
	turn();
	ck_assert_int_eq(evu_engine_method(e), EVU_POLL2);
	ck_assert_ptr_nonnull(fake_req(fd));
	drop(p);
	close(fd);
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

/* ---- memory */

#define CROWD 200

/* What the kernel would do: a file that is ready completes its request at once. */
static void complete_if_ready(struct fake_req *req)
{
	if (fake.ready[req->fd] & req->mask)
		fake_post(req, (int)(fake.ready[req->fd] & req->mask), req->kind != EVU_POLL_ONCE);
}

/* A crowd of polls is watched, told and dropped while memory runs out; then there is memory again,
 * and all that was accepted must be told. */
static void crowd(int good, unsigned methods)
{
	struct evu_poll *polls[CROWD];
	int i, rc;

	fake_mem_install(good);
	memset(&fake_log, 0, sizeof(fake_log));
	rc = evu_engine_new(&e, methods, &fake_hooks, &fake_log);
	if (rc < 0) {
		ck_assert_int_eq(rc, -ENOMEM);
		return;
	}
	fake.wake_fd = &e->wake.fd;
	evu_engine_enter(e);
	for (i = 0; i < CROWD; i++) {
		fake_set_ready(2000 + i, POLLIN);
		polls[i] = new_poll(2000 + i);
		rc = evu_poll_want(polls[i], POLLIN, (enum evu_watch)(i % 3), true);
		ck_assert(rc == 0 || rc == -ENOMEM);
		if (i % 32 == 0)
			ck_assert_int_eq(evu_engine_turn(e, 0), 0);
	}
	ck_assert_int_eq(evu_engine_turn(e, 0), 0);
	fake_mem_install(-1);
	for (i = 0; i < 3; i++)
		ck_assert_int_eq(evu_engine_turn(e, 0), 0);
	for (i = 0; i < CROWD; i++)
		if (polls[i]->want)
			ck_assert_int_ge(fake_told(2000 + i), 1);
	for (i = 0; i < CROWD; i++)
		drop(polls[i]);
	ck_assert(evu_engine_settle(e));
	ck_assert_int_eq(fake_live(), 0);
	evu_engine_leave(e);
	evu_engine_free(e);
}

START_TEST(test_whichever_allocation_fails_what_was_accepted_is_told)
{
	unsigned methods = _i ? 1u << EVU_EPOLL : 1u << EVU_IO_URING;
	int good = 0, asked;

	fake_mem_install(-1);
	fake_hold();
	do {
		fake_install();
		fake.on_seen = complete_if_ready;
		crowd(good, methods);
		/* All that a run without failures asks for was failed once the crowd came through
		 * with `good` to spare. */
		asked = good;
		good++;
	} while (asked < 40);
	fake_let_go();
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
	tcase_add_test(tc, test_an_arm_that_is_refused_for_a_while_is_tried_again_without_sleeping);
	tcase_add_test(tc, test_an_arm_that_is_refused_for_good_moves_all_to_the_next_method);
	tcase_add_test(tc, test_level_is_told_each_turn_and_armed_once);
	tcase_add_test(tc, test_level_leaves_the_hot_list_when_poll_denies_it);
	tcase_add_test(tc, test_a_completion_that_poll_denies_is_not_told);
	tcase_add_test(tc, test_the_mask_told_is_polls_and_only_what_is_wanted);
	tcase_add_test(tc, test_errors_and_hangups_are_told_unasked);
	tcase_add_test(tc, test_several_completions_of_one_turn_are_told_once);
	tcase_add_test(tc, test_one_check_asks_for_all_that_fired);
	tcase_add_test(tc, test_when_poll_fails_what_was_asked_for_is_told);
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
	tcase_add_test(tc, test_polls_dropped_and_freed_while_the_first_is_told_are_not_told);
	tcase_add_test(tc, test_the_hot_list_may_grow_while_it_is_told);
	tcase_add_test(tc, test_once_wanted_again_while_it_is_told_is_told_again_in_the_next_turn);
	tcase_add_test(tc, test_the_hot_list_has_room_for_holes_and_for_those_that_come_instead);
	tcase_add_test(tc, test_what_another_thread_drops_is_cancelled_by_the_owner);
	tcase_add_test(tc, test_what_another_thread_dropped_may_end_before_the_owner_cancels);
	tcase_add_test(tc, test_the_owner_settles_what_another_thread_dropped);
	tcase_add_test(tc, test_what_another_thread_changes_is_armed_by_the_owner);
	tcase_add_test(tc, test_a_drop_by_another_thread_while_nobody_loops_gives_up_the_ring);
	return tc;
}

static TCase *truth_case(void)
{
	TCase *tc = tcase_create("truth");

	tcase_add_checked_fixture(tc, truth_setup, teardown);
	tcase_add_test(tc, test_truth_want_arms_at_once);
	tcase_add_test(tc, test_truth_the_refusal_of_an_fd_is_the_answer);
	tcase_add_test(tc, test_truth_is_told_without_asking_again);
	tcase_add_test(tc, test_truth_once_that_fired_is_armed_as_again);
	tcase_add_test(tc, test_truth_a_change_replaces_the_request_in_one_call);
	tcase_add_test(tc, test_truth_a_change_that_is_refused_changes_nothing);
	tcase_add_test(tc, test_truth_any_thread_drops_at_once);
	tcase_add_test(tc, test_truth_a_device_without_poll_is_ready_each_turn);
	tcase_add_test(tc, test_truth_a_file_is_refused_as_epoll_refuses_it);
	tcase_add_test(tc, test_truth_eperm_for_a_socket_means_that_epoll_is_forbidden);
	tcase_add_test(
	    tc, test_truth_a_bare_device_that_is_not_ready_means_that_epoll_is_forbidden);
	return tc;
}

int main(void)
{
	Suite *s = suite_create("poll");
	TCase *memory = tcase_create("memory");
	SRunner *sr;
	int failed;

	suite_add_tcase(s, hint_case());
	suite_add_tcase(s, end_case());
	suite_add_tcase(s, drop_case());
	suite_add_tcase(s, truth_case());
	tcase_add_loop_test(
	    memory, test_whichever_allocation_fails_what_was_accepted_is_told, 0, 2);
	tcase_set_timeout(memory, 60);
	suite_add_tcase(s, memory);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
