/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_ring_close.c - the real rings: close means close, and numbers that are used again.
 *
 * Most tests run once for each method, _i. The peer of a socket pair is the witness: it sees the
 * end as soon as the last reference to the other side is gone, the kernel's own references
 * included.
 */
#include "ring_real.h"

/* ---- close means close */

START_TEST(test_after_drop_and_settle_a_close_is_seen_by_the_peer_at_once)
{
	enum evu_watch how = (enum evu_watch)(_i / 3);
	struct evu_poll p;
	int sv[2], i;

	if (!start(_i % 3))
		return;
	for (i = 0; i < 50; i++) {
		pair(sv);
		want(&p, sv[0], POLLIN, how);
		turn(0);
		evu_poll_drop(&p);
		ck_assert(evu_engine_settle(e));
		close(sv[0]);
		at_end(sv[1]);
		close(sv[1]);
	}
	fake_engine_done(e);
}
END_TEST

/* One enter of a new kernel runs about 20 pieces of task work: settling goes on until all are done.
 */
START_TEST(test_many_that_are_settled_together_are_all_closed)
{
	enum { N = 200 };
	static struct evu_poll p[N];
	int sv[N][2], i, open = 0;
	char c;

	if (!start(_i))
		return;
	for (i = 0; i < N; i++) {
		pair(sv[i]);
		want(&p[i], sv[i][0], POLLIN, EVU_LEVEL);
	}
	turn(0);
	for (i = 0; i < N; i++)
		evu_poll_drop(&p[i]);
	ck_assert(evu_engine_settle(e));
	for (i = 0; i < N; i++) {
		close(sv[i][0]);
		open += read(sv[i][1], &c, 1) != 0;
		close(sv[i][1]);
	}
	ck_assert_msg(open == 0, "%d of %d peers are still open", open, N);
	fake_engine_done(e);
}
END_TEST

START_TEST(test_an_fd_closed_first_and_dropped_later_is_closed_by_settle)
{
	struct evu_poll p;
	int sv[2], i;

	if (!start(_i))
		return;
	for (i = 0; i < 50; i++) {
		pair(sv);
		want(&p, sv[0], POLLIN, EVU_LEVEL);
		turn(0);
		close(sv[0]);
		evu_poll_drop(&p);
		ck_assert(evu_engine_settle(e));
		at_end(sv[1]);
		close(sv[1]);
	}
	fake_engine_done(e);
}
END_TEST

START_TEST(test_freeing_the_engine_closes_what_is_closed)
{
	struct evu_poll p;
	int sv[2];

	if (!start(_i))
		return;
	pair(sv);
	want(&p, sv[0], POLLIN, EVU_LEVEL);
	turn(0);
	close(sv[0]);
	fake_engine_done(e);
	at_end(sv[1]);
}
END_TEST

static void drop_in_another_thread(void *arg)
{
	fake_hold();
	evu_poll_drop(arg);
	(void)evu_engine_settle(e);
	fake_let_go();
}

START_TEST(test_what_another_thread_drops_is_closed_by_the_owners_next_turn)
{
	struct evu_poll p;
	int sv[2];

	if (!start(_i))
		return;
	pair(sv);
	want(&p, sv[0], POLLIN, EVU_LEVEL);
	turn(0);
	fake_in_thread(drop_in_another_thread, &p);
	close(sv[0]);
	turn(0);
	at_end(sv[1]);
	fake_engine_done(e);
}
END_TEST

static bool eof_within(int fd, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char c;

	return poll(&p, 1, timeout_ms) == 1 && read(fd, &c, 1) == 0;
}

START_TEST(test_what_another_thread_drops_when_nobody_loops_is_closed)
{
	struct evu_poll p;
	int sv[2];

	if (!start(_i))
		return;
	pair(sv);
	want(&p, sv[0], POLLIN, EVU_LEVEL);
	turn(0);
	evu_engine_leave(e, false);
	fake_in_thread(drop_in_another_thread, &p);
	close(sv[0]);
	ck_assert(eof_within(
	    sv[1], 5000)); /* a kernel worker does it, where the ring was another thread's */
	fake_engine_done(e);
}
END_TEST

/* ---- numbers that are used again */

START_TEST(test_a_number_used_again_hears_of_its_new_file_only)
{
	struct evu_poll p;
	int old[2], new[2], kept, i;

	if (!start(_i))
		return;
	for (i = 0; i < 6; i++) {
		bool drop_first = i & 1;
		enum evu_watch how = i < 2 ? EVU_LEVEL : i < 4 ? EVU_ONCE : EVU_EDGE;

		pair(old);
		want(&p, old[0], POLLIN, how);
		turn(0);
		kept = fcntl(old[0], F_DUPFD_CLOEXEC, 100); /* so that the old file lives on */
		if (drop_first)
			evu_poll_drop(&p);
		pair(new);
		ck_assert_int_eq(dup3(new[0], old[0], O_CLOEXEC), old[0]);
		if (!drop_first)
			evu_poll_drop(&p);
		(void)evu_engine_settle(e);
		want(&p, old[0], POLLIN, how);
		turn(0);
		put(old[1]);
		comes_to_rest(old[0]);
		put(new[1]);
		turn_until_told(old[0]);
		evu_poll_drop(&p);
		(void)evu_engine_settle(e);
		close(old[0]);
		close(old[1]);
		close(new[0]);
		close(new[1]);
		close(kept);
	}
	ck_assert_int_eq(evu_engine_method(e), _i);
	fake_engine_done(e);
}
END_TEST

START_TEST(test_once_that_fired_is_armed_again_on_a_new_file_of_the_same_number)
{
	struct evu_poll p;
	int old[2], new[2];

	if (!start(_i))
		return;
	pair(old);
	pair(new);
	want(&p, old[0], POLLIN, EVU_ONCE);
	put(old[1]);
	turn_until_told(old[0]);
	ck_assert_int_eq(dup3(new[0], old[0], O_CLOEXEC), old[0]);
	ck_assert_int_eq(evu_poll_want(&p, POLLIN, EVU_ONCE, false), 0);
	comes_to_rest(old[0]);
	put(new[1]);
	turn_until_told(old[0]);
	fake_engine_done(e);
}
END_TEST

/* The file lives on in a duplicate; on epoll its registration does too, and nobody can name it any
 * more. */
START_TEST(test_a_registration_that_cannot_be_deleted_does_not_spin_the_loop)
{
	struct evu_poll p, q;
	int sv[2], other[2], kept;

	if (!start(_i))
		return;
	pair(sv);
	pair(other);
	want(&p, sv[0], POLLIN, EVU_LEVEL);
	want(&q, other[0], POLLIN, EVU_LEVEL);
	turn(0);
	kept = fcntl(sv[0], F_DUPFD_CLOEXEC, 100);
	close(sv[0]);
	evu_poll_drop(&p);
	(void)evu_engine_settle(e);
	put(sv[1]);
	comes_to_rest(sv[0]);
	ck_assert_int_eq(evu_engine_method(e), _i);
	put(other[1]);
	turn_until_told(other[0]);
	close(kept);
	fake_engine_done(e);
}
END_TEST

START_TEST(test_an_fd_closed_without_a_drop_is_quiet)
{
	struct evu_poll p;
	int sv[2];

	if (_i == EVU_POLL2 ||
	    !start(_i)) /* poll(2) says POLLNVAL, as libevent's poll method does */
		return;
	pair(sv);
	want(&p, sv[0], POLLIN, EVU_LEVEL);
	turn(0);
	close(sv[0]);
	close(sv[1]);
	comes_to_rest(sv[0]);
	evu_poll_drop(&p);
	fake_engine_done(e);
}
END_TEST

static TCase *close_case(int methods)
{
	TCase *tc = tcase_create("close");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, test_after_drop_and_settle_a_close_is_seen_by_the_peer_at_once, 0,
	    methods == 1 ? 1 : 9);
	tcase_add_loop_test(tc, test_many_that_are_settled_together_are_all_closed, 0, methods);
	tcase_add_loop_test(
	    tc, test_an_fd_closed_first_and_dropped_later_is_closed_by_settle, 0, methods);
	tcase_add_loop_test(tc, test_freeing_the_engine_closes_what_is_closed, 0, methods);
	tcase_add_loop_test(
	    tc, test_what_another_thread_drops_is_closed_by_the_owners_next_turn, 0, methods);
	tcase_add_loop_test(
	    tc, test_what_another_thread_drops_when_nobody_loops_is_closed, 0, methods);
	tcase_add_loop_test(tc, test_a_number_used_again_hears_of_its_new_file_only, 0, methods);
	tcase_add_loop_test(
	    tc, test_once_that_fired_is_armed_again_on_a_new_file_of_the_same_number, 0, methods);
	tcase_add_loop_test(
	    tc, test_a_registration_that_cannot_be_deleted_does_not_spin_the_loop, 0, methods);
	tcase_add_loop_test(tc, test_an_fd_closed_without_a_drop_is_quiet, 0, methods);
	return tc;
}

static void add(Suite *s, int methods)
{
	suite_add_tcase(s, close_case(methods));
}

int main(int argc, char **argv)
{
	return ring_suite_run("ring_close", add, argc, argv);
}
