/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_poll_apart.c - io_uring set apart for data, with epoll for polls until there is any; and
 * polls that are parked in epoll's set, a fake one and a real one, while nobody wants them.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "poll_turns.h"
#include "request.h"

/* ---- apart */

static struct evu_intake in;

static void apart_setup(void)
{
	fake_install();
	fake_mem_install(-1);
	fake.apart = true;
	e = fake_engine(FAKE_ALL_METHODS);
}

/* No other thread may close what was deleted. */
static void park_setup(void)
{
	fake_install();
	fake_mem_install(-1);
	fake.alone = true;
	e = fake_engine(1u << EVU_EPOLL | 1u << EVU_POLL2);
}

static void start(void)
{
	evu_intake_init(&in, e, EVU_ACCEPT);
	evu_intake_start(&in, B, 0);
}

static void stop(void)
{
	evu_request_drop(&in.req);
	ck_assert(evu_engine_settle(e));
	turn();
	ck_assert(evu_request_over(&in.req));
}

START_TEST(test_polls_alone_are_epolls_although_the_method_is_io_uring)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	ck_assert_int_eq(evu_engine_method(e), EVU_IO_URING);
	ck_assert_int_eq(fake.method, EVU_EPOLL);
	fake_complete(A, POLLIN, true);
	turn();
	ck_assert_uint_eq(fake_told_mask(A), POLLIN);
	ck_assert_uint_eq(fake.checks, 0);
	ck_assert(evu_engine_moves_data(e, EVU_RECV));
	drop(p);
}
END_TEST

START_TEST(test_the_first_request_moves_everything_to_io_uring)
{
	struct evu_poll *level = watch(A, POLLIN, EVU_LEVEL);
	struct evu_poll *edge = watch(C, POLLIN, EVU_EDGE);

	turn();
	start();
	turn();
	ck_assert_int_eq(fake.method, EVU_IO_URING);
	ck_assert_ptr_null(fake.spare);
	ck_assert_uint_eq(fake.opens[EVU_IO_URING], 1);
	ck_assert_ptr_nonnull(fake_req(A));
	ck_assert_int_eq(fake_req(B)->kind, EVU_NO_POLL);
	ck_assert_int_eq(fake_req(C)->kind, EVU_POLL_EDGE);
	fire(A, POLLIN, true);
	turn();
	ck_assert_uint_eq(fake_told_mask(A), POLLIN);
	stop();
	ck_assert_int_eq(fake.method, EVU_IO_URING);
	drop(level);
	drop(edge);
}
END_TEST

START_TEST(test_a_request_that_ends_before_its_turn_is_over_at_once)
{
	turn();
	start();
	evu_request_drop(&in.req);
	ck_assert(evu_engine_settle(e));
	ck_assert(evu_request_over(&in.req));
	turn();
	ck_assert_int_eq(fake_live(), 0);
}
END_TEST

START_TEST(test_io_uring_that_is_refused_later_leaves_epoll_for_all)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	turn();
	fake.refuse_enable = (struct fake_refusal){-EACCES, 1, 0};
	start();
	turn();
	ck_assert_int_eq(evu_engine_method(e), EVU_EPOLL);
	ck_assert_int_eq(fake.method, EVU_EPOLL);
	ck_assert(!evu_engine_moves_data(e, EVU_RECV));
	turn();
	ck_assert_int_eq(in.end, -EOPNOTSUPP);
	fake_complete(A, POLLIN, true);
	turn();
	ck_assert_uint_eq(fake_told_mask(A), POLLIN);
	drop(p);
}
END_TEST

START_TEST(test_a_stale_epoll_set_is_renewed_and_io_uring_kept)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	fake.refuse_prepare = (struct fake_refusal){-ESTALE, 1, 0};
	turn();
	ck_assert_uint_eq(fake.opens[EVU_IO_URING], 1);
	ck_assert_uint_eq(fake.opens[EVU_EPOLL], 2);
	ck_assert_ptr_nonnull(fake.spare);
	ck_assert_ptr_nonnull(fake_req(A));
	drop(p);
}
END_TEST

START_TEST(test_epoll_that_fails_for_good_leaves_no_data_to_io_uring)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	fake.refuse_wait = (struct fake_refusal){-EPERM, 1, 0};
	turn();
	ck_assert_int_eq(evu_engine_method(e), EVU_EPOLL);
	ck_assert_ptr_null(fake.spare);
	ck_assert(!evu_engine_moves_data(e, EVU_RECV));
	drop(p);
}
END_TEST

START_TEST(test_without_epoll_io_uring_polls)
{
	fake_engine_done(e);
	fake_install();
	fake.apart = true;
	if (_i == 0)
		fake.refuse_open[EVU_EPOLL] = (struct fake_refusal){-EMFILE, -1, 0};
	e = fake_engine(_i == 0 ? FAKE_ALL_METHODS : 1u << EVU_IO_URING);
	ck_assert_int_eq(fake.method, EVU_IO_URING);
	ck_assert_ptr_null(fake.spare);
}
END_TEST

static void start_there(void *arg)
{
	(void)arg;
	fake_hold();
	start();
	evu_engine_wake(e);
	fake_let_go();
}

static void start_while_it_sleeps(int64_t timeout_ns)
{
	if (timeout_ns == 0)
		return;
	fake.on_wait = NULL;
	start_there(NULL);
}

START_TEST(test_a_request_that_another_thread_starts_goes_with_the_next_turn)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	turn();
	fake.on_wait = start_while_it_sleeps;
	turn_of(-1);
	ck_assert_int_eq(fake.method, EVU_EPOLL);
	turn();
	ck_assert_int_eq(fake.method, EVU_IO_URING);
	ck_assert_ptr_nonnull(fake_req(A));
	ck_assert_ptr_nonnull(fake_req(B));
	stop();
	drop(p);
}
END_TEST

/* ---- parked */

START_TEST(test_a_parked_poll_comes_back_with_one_call)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);
	unsigned arms;

	turn();
	arms = fake.arms;
	ck_assert(!evu_poll_park(p));
	ck_assert_uint_eq(p->want, 0);
	ck_assert_int_eq(e->npolls, 0);
	ck_assert_uint_eq(fake.cancels, 0);
	want(p, POLLIN | POLLRDHUP, EVU_LEVEL);
	ck_assert_uint_eq(fake.arms, arms + 1);
	ck_assert(fake_req(A)->again);
	ck_assert_uint_eq(fake.replaced, 1);
	ck_assert_int_eq(fake_live(), 1);
	ck_assert_int_eq(e->nparked, 0);
	drop(p);
	ck_assert_int_eq(fake_live(), 0);
}
END_TEST

START_TEST(test_what_a_parked_poll_would_be_told_takes_it_off)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	evu_poll_park(p);
	fake_complete(A, POLLIN, true);
	turn();
	ck_assert_int_eq(fake_log.ntold, 0);
	ck_assert_uint_eq(fake.cancels, 1);
	ck_assert_int_eq(fake_live(), 0);
	ck_assert_int_eq(e->nparked, 0);
	want(p, POLLIN, EVU_LEVEL);
	ck_assert(!fake_req(A)->again);
	/* And for a while it is not parked again. */
	evu_poll_park(p);
	ck_assert_int_eq(fake_live(), 0);
	free(p);
}
END_TEST

START_TEST(test_a_parked_one_shot_that_fires_is_armed_as_again)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_ONCE);

	evu_poll_park(p);
	fake_complete(A, POLLIN, false);
	turn();
	ck_assert_int_eq(fake_log.ntold, 0);
	ck_assert_uint_eq(fake.cancels, 0);
	want(p, POLLIN, EVU_ONCE);
	ck_assert(fake_req(A)->again);
	drop(p);
}
END_TEST

START_TEST(test_a_parked_poll_that_is_dropped_may_be_freed)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	evu_poll_park(p);
	drop(p);
	ck_assert_uint_eq(fake.cancels, 1);
	ck_assert_int_eq(e->nparked, 0);
	ck_assert_int_eq(e->npolls, 0);
	ck_assert_int_eq(fake_live(), 0);
	turn();
	ck_assert_int_eq(fake_log.ntold, 0);
}
END_TEST

static void drop_in_a_child(void)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);
	struct evu_poll *q = watch(B, POLLIN, EVU_LEVEL);
	int status = 0;
	pid_t child;

	evu_poll_park(p);
	child = fork();
	if (child == 0) {
		drop(p);
		_exit(e->npolls == 1 && e->nparked == 0 ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	drop(p);
	drop(q);
}

START_TEST(test_a_parked_poll_that_a_child_drops_counts_once)
{
	drop_in_a_child();
	ck_assert_int_eq(e->npolls, 0);
}
END_TEST

START_TEST(test_what_waits_for_room_to_write_is_not_parked)
{
	struct evu_poll *p = watch(A, POLLIN | POLLOUT, EVU_LEVEL);

	evu_poll_park(p);
	ck_assert_int_eq(fake_live(), 0);
	free(p);
}
END_TEST

START_TEST(test_a_parked_poll_that_cannot_be_watched_again_stays_parked)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	evu_poll_park(p);
	fake.refuse_arm = (struct fake_refusal){-EBADF, 1, 0};
	ck_assert_int_eq(evu_poll_want(p, POLLIN, EVU_LEVEL, false), -EBADF);
	ck_assert_uint_eq(p->want, 0);
	ck_assert_int_eq(e->nparked, 1);
	want(p, POLLIN, EVU_LEVEL);
	ck_assert_int_eq(e->nparked, 0);
	fake_complete(A, POLLIN, true);
	turn();
	ck_assert_int_eq(fake_told(A), 1);
	drop(p);
}
END_TEST

START_TEST(test_a_stale_set_forgets_what_is_parked_and_parks_no_more)
{
	struct evu_poll *p = watch(A, POLLIN, EVU_LEVEL);

	evu_poll_park(p);
	fake.refuse_prepare = (struct fake_refusal){-ESTALE, 1, 0};
	turn();
	ck_assert_int_eq(fake_live(), 0);
	ck_assert_int_eq(e->nparked, 0);
	want(p, POLLIN, EVU_LEVEL);
	ck_assert(!fake_req(A)->again);
	evu_poll_park(p);
	ck_assert_int_eq(fake_live(), 0);
	free(p);
}
END_TEST

START_TEST(test_with_other_threads_nothing_is_parked)
{
	struct evu_poll *p;

	fake_engine_done(e);
	truth_setup();
	p = watch(A, POLLIN, EVU_LEVEL);
	turn();
	evu_poll_park(p);
	ck_assert_int_eq(e->nparked, 0);
	ck_assert_int_eq(fake_live(), 0);
	free(p);
}
END_TEST

START_TEST(test_io_uring_parks_nothing)
{
	struct evu_poll *p;

	fake_engine_done(e);
	hint_setup();
	p = watch(A, POLLIN, EVU_LEVEL);
	turn();
	ck_assert(evu_poll_park(p));
	ck_assert(evu_engine_unsettled(e));
	ck_assert(evu_engine_settle(e));
	ck_assert_int_eq(fake_live(), 0);
	free(p);
}
END_TEST

START_TEST(test_many_parked_polls_leave_ops_for_the_others)
{
	struct evu_poll *polls[600];
	int i, round;

	for (i = 0; i < 600; i++)
		polls[i] = watch(2000 + i, POLLIN, EVU_LEVEL);
	for (round = 0; round < 3; round++) {
		for (i = 0; i < 600; i++)
			evu_poll_park(polls[i]);
		ck_assert_int_eq(e->nparked, 600);
		for (i = round; i < 600; i += 2)
			want(polls[i], POLLIN, EVU_LEVEL);
	}
	for (i = 0; i < 600; i++) {
		if (i % 2 == 0)
			fake_complete(2000 + i, POLLIN, true);
	}
	turn();
	ck_assert_int_eq(fake_log.ntold, 299); /* the first one is parked, and goes */
	ck_assert_uint_eq(e->pool.in_flight, 600);
	for (i = 0; i < 600; i++)
		want(polls[i], POLLOUT, EVU_LEVEL);
	for (i = 0; i < 600; i++)
		drop(polls[i]);
	ck_assert_int_eq(fake_live(), 0);
}
END_TEST

/* ---- parked in a real epoll set */

static void real_setup(void)
{
	fake_mem_install(-1);
	fake.alone = true;
	e = fake_engine(1u << EVU_EPOLL);
}

START_TEST(test_a_number_that_is_used_again_after_parking_is_the_new_file)
{
	int old[2], new[2], fd;
	struct evu_poll *p;

	ck_assert_int_eq(pipe(old), 0);
	fd = old[0];
	p = watch(fd, POLLIN, EVU_LEVEL);
	evu_poll_park(p);
	close(fd);
	ck_assert_int_eq(pipe(new), 0);
	ck_assert_int_eq(new[0], fd);
	want(p, POLLIN, EVU_LEVEL);
	ck_assert_int_eq(write(new[1], "x", 1), 1);
	turn_of(1000000000);
	ck_assert_uint_eq(fake_told_mask(fd), POLLIN);
	drop(p);
	close(old[1]);
	close(new[0]);
	close(new[1]);
}
END_TEST

START_TEST(test_a_parked_file_that_lives_on_under_another_number_falls_silent)
{
	int fds[2], other[2], copy, i;
	struct timespec before, after;
	struct evu_poll *p, *q;

	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(pipe(other), 0);
	p = watch(fds[0], POLLIN, EVU_LEVEL);
	q = watch(other[0], POLLIN, EVU_LEVEL);
	evu_poll_park(p);
	copy = dup(fds[0]);
	close(fds[0]);
	ck_assert_int_eq(write(fds[1], "x", 1), 1);
	for (i = 0; i < 4; i++) {
		turn();
		ck_assert_int_eq(fake_log.ntold, 0);
	}
	ck_assert(e->no_parking);
	/* Nothing is left that would wake it: the whole time is slept. */
	clock_gettime(CLOCK_MONOTONIC, &before);
	turn_of(30000000);
	clock_gettime(CLOCK_MONOTONIC, &after);
	ck_assert_int_eq(fake_log.ntold, 0);
	ck_assert_int_ge(
	    (after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec, 30000000);
	ck_assert_int_eq(write(other[1], "x", 1), 1);
	turn_of(1000000000);
	ck_assert_int_eq(fake_told(other[0]), 1);
	drop(p);
	drop(q);
	close(copy);
	close(fds[1]);
	close(other[0]);
	close(other[1]);
}
END_TEST

/* The number of the parked one is one of a device that epoll refuses, and its file lives on. */
START_TEST(test_a_parked_file_whose_number_is_a_device_now_falls_silent)
{
	int fds[2], copy, null, i;
	struct timespec before, after;
	struct evu_poll *p;

	ck_assert_int_eq(pipe(fds), 0);
	p = watch(fds[0], POLLIN, EVU_LEVEL);
	evu_poll_park(p);
	copy = dup(fds[0]);
	close(fds[0]);
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(null, fds[0]);
	want(p, POLLIN, EVU_LEVEL);
	turn();
	ck_assert_int_eq(fake_told(null), 1);
	drop(p);
	ck_assert_int_eq(write(fds[1], "x", 1), 1);
	for (i = 0; i < 4; i++)
		turn();
	fake_log_clear();
	clock_gettime(CLOCK_MONOTONIC, &before);
	turn_of(30000000);
	clock_gettime(CLOCK_MONOTONIC, &after);
	ck_assert_int_eq(fake_log.ntold, 0);
	ck_assert_int_ge(
	    (after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec, 30000000);
	close(null);
	close(copy);
	close(fds[1]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("poll_apart");
	TCase *apart = tcase_create("apart"), *park = tcase_create("park");
	TCase *real = tcase_create("real");

	tcase_add_checked_fixture(apart, apart_setup, teardown);
	tcase_add_test(apart, test_polls_alone_are_epolls_although_the_method_is_io_uring);
	tcase_add_test(apart, test_the_first_request_moves_everything_to_io_uring);
	tcase_add_test(apart, test_a_request_that_ends_before_its_turn_is_over_at_once);
	tcase_add_test(apart, test_io_uring_that_is_refused_later_leaves_epoll_for_all);
	tcase_add_test(apart, test_a_stale_epoll_set_is_renewed_and_io_uring_kept);
	tcase_add_test(apart, test_epoll_that_fails_for_good_leaves_no_data_to_io_uring);
	tcase_add_loop_test(apart, test_without_epoll_io_uring_polls, 0, 2);
	tcase_add_test(apart, test_a_request_that_another_thread_starts_goes_with_the_next_turn);
	suite_add_tcase(s, apart);
	tcase_add_checked_fixture(park, park_setup, teardown);
	tcase_add_test(park, test_with_other_threads_nothing_is_parked);
	tcase_add_test(park, test_a_parked_poll_comes_back_with_one_call);
	tcase_add_test(park, test_what_a_parked_poll_would_be_told_takes_it_off);
	tcase_add_test(park, test_a_parked_one_shot_that_fires_is_armed_as_again);
	tcase_add_test(park, test_a_parked_poll_that_is_dropped_may_be_freed);
	tcase_add_test(park, test_a_parked_poll_that_a_child_drops_counts_once);
	tcase_add_test(park, test_what_waits_for_room_to_write_is_not_parked);
	tcase_add_test(park, test_a_parked_poll_that_cannot_be_watched_again_stays_parked);
	tcase_add_test(park, test_a_stale_set_forgets_what_is_parked_and_parks_no_more);
	tcase_add_test(park, test_io_uring_parks_nothing);
	tcase_add_test(park, test_many_parked_polls_leave_ops_for_the_others);
	suite_add_tcase(s, park);
	tcase_add_checked_fixture(real, real_setup, teardown);
	tcase_add_test(real, test_a_number_that_is_used_again_after_parking_is_the_new_file);
	tcase_add_test(real, test_a_parked_file_that_lives_on_under_another_number_falls_silent);
	tcase_add_test(real, test_a_parked_file_whose_number_is_a_device_now_falls_silent);
	suite_add_tcase(s, real);
	return poll_suite_run(s);
}
