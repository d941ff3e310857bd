/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_ring.c - the real rings, each of io_uring, epoll and poll(2), under the engine: what is
 * told, time, wakes, crowds, processes, threads, memory.
 *
 * Most tests run once for each method, _i. Traffic is on socket pairs and eventfds.
 */
#include "ring_real.h"

/* ---- what is told */

START_TEST(test_data_that_was_there_before_is_told)
{
	struct evu_poll p;
	int sv[2];

	if (!start(_i))
		return;
	pair(sv);
	put(sv[1]);
	want(&p, sv[0], POLLIN, EVU_LEVEL);
	turn_until_told(sv[0]);
	ck_assert_uint_eq(fake_told_mask(sv[0]), POLLIN);
	fake_engine_done(e);
}
END_TEST

START_TEST(test_data_that_comes_later_is_told)
{
	struct evu_poll p;
	int sv[2];

	if (!start(_i))
		return;
	pair(sv);
	want(&p, sv[0], POLLIN, EVU_LEVEL);
	turn(0);
	turn(0);
	ck_assert_int_eq(fake_log.ntold, 0);
	put(sv[1]);
	turn_until_told(sv[0]);
	fake_engine_done(e);
}
END_TEST

START_TEST(test_level_is_told_each_turn_until_it_is_read)
{
	struct evu_poll p;
	int sv[2], i, round;

	if (!start(_i))
		return;
	pair(sv);
	want(&p, sv[0], POLLIN, EVU_LEVEL);
	for (round = 0; round < 3; round++) {
		put(sv[1]);
		turn_until_told(sv[0]);
		for (i = 0; i < 3; i++) {
			turn(0);
			ck_assert_int_eq(fake_told(sv[0]), 1);
		}
		take(sv[0]);
		comes_to_rest(sv[0]);
	}
	fake_engine_done(e);
}
END_TEST

START_TEST(test_edge_is_told_once_for_each_arrival)
{
	struct evu_poll p;
	int sv[2], round;

	if (_i == EVU_POLL2 || !start(_i)) /* poll(2) knows no edges */
		return;
	pair(sv);
	want(&p, sv[0], POLLIN, EVU_EDGE);
	for (round = 0; round < 3; round++) {
		put(sv[1]);
		turn_until_told(sv[0]);
		comes_to_rest(sv[0]);
	}
	fake_engine_done(e);
}
END_TEST

START_TEST(test_once_is_told_once_and_again_when_wanted_again)
{
	struct evu_poll p;
	int sv[2], round;

	if (!start(_i))
		return;
	pair(sv);
	put(sv[1]);
	want(&p, sv[0], POLLIN, EVU_ONCE);
	for (round = 0; round < 3; round++) {
		turn_until_told(sv[0]);
		comes_to_rest(sv[0]);
		ck_assert_int_eq(evu_poll_want(&p, POLLIN, EVU_ONCE, true), 0);
	}
	fake_engine_done(e);
}
END_TEST

START_TEST(test_a_change_of_mask_takes_effect)
{
	struct evu_poll p;
	int sv[2];

	if (!start(_i))
		return;
	pair(sv);
	want(&p, sv[0], POLLIN, EVU_LEVEL);
	turn(0);
	ck_assert_int_eq(evu_poll_want(&p, POLLIN | POLLOUT, EVU_LEVEL, true), 0);
	turn_until_told(sv[0]);
	ck_assert_uint_eq(fake_told_mask(sv[0]), POLLOUT);
	put(sv[1]);
	turn(0);
	ck_assert_uint_eq(fake_told_mask(sv[0]), POLLIN | POLLOUT);
	ck_assert_int_eq(evu_poll_want(&p, POLLIN, EVU_LEVEL, true), 0);
	take(sv[0]);
	comes_to_rest(sv[0]);
	fake_engine_done(e);
}
END_TEST

START_TEST(test_the_end_of_the_peer_is_told_as_poll_would)
{
	struct evu_poll p;
	int sv[2];

	if (!start(_i))
		return;
	pair(sv);
	want(&p, sv[0], POLLIN | POLLRDHUP, EVU_LEVEL);
	turn(0);
	ck_assert_int_eq(shutdown(sv[1], SHUT_WR), 0);
	turn_until_told(sv[0]);
	ck_assert_uint_eq(fake_told_mask(sv[0]), POLLIN | POLLRDHUP);
	close(sv[1]);
	turn(0);
	turn_until_told(sv[0]);
	ck_assert_uint_eq(fake_told_mask(sv[0]), POLLIN | POLLRDHUP | POLLHUP);
	fake_engine_done(e);
}
END_TEST

START_TEST(test_files_are_refused_and_devices_without_poll_are_always_ready)
{
	struct evu_poll p;
	int file, null;

	if (!start(_i))
		return;
	file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	evu_poll_init(&p, e, file);
	ck_assert_int_eq(evu_poll_want(&p, POLLIN, EVU_LEVEL, false), _i == EVU_POLL2 ? 0 : -EPERM);
	evu_poll_drop(&p);
	want(&p, null, POLLIN, EVU_LEVEL);
	turn_until_told(null);
	turn_until_told(null);
	ck_assert_int_eq(evu_engine_method(e), _i);
	evu_poll_drop(&p);
	close(file);
	close(null);
	fake_engine_done(e);
}
END_TEST

START_TEST(test_a_device_without_poll_is_told_each_time_it_is_wanted)
{
	struct evu_poll p;
	int null, i;

	if (!start(_i))
		return;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	want(&p, null, POLLIN, EVU_ONCE);
	for (i = 0; i < 4; i++) {
		turn_until_told(null);
		comes_to_rest(null);
		ck_assert_int_eq(evu_poll_want(&p, POLLIN, EVU_ONCE, true), 0);
	}
	ck_assert_int_eq(evu_engine_method(e), _i);
	evu_poll_drop(&p);
	close(null);
	fake_engine_done(e);
}
END_TEST

/* dup2() over the number of a device, as daemons do with their standard descriptors, while it is
 * watched. */
START_TEST(test_a_device_whose_number_becomes_a_socket_does_not_hang_the_loop)
{
	struct evu_poll p;
	int null, sv[2];

	if (!start(_i))
		return;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	pair(sv);
	want(&p, null, POLLIN, EVU_LEVEL);
	turn_until_told(null);
	ck_assert_int_eq(dup3(sv[0], null, O_CLOEXEC), null);
	comes_to_rest(null);
	evu_poll_drop(&p);
	ck_assert(evu_engine_settle(e));
	want(&p, null, POLLIN, EVU_LEVEL);
	put(sv[1]);
	turn_until_told(null);
	fake_engine_done(e);
}
END_TEST

/* ---- time, signals, wakes */

START_TEST(test_a_turn_without_events_lasts_its_time)
{
	int64_t start_ns;

	if (!start(_i))
		return;
	turn(0);
	start_ns = now_ns();
	turn(30 * MS);
	ck_assert_int_ge(now_ns() - start_ns, 30 * MS);
	start_ns = now_ns();
	turn(300000); /* less than a millisecond */
	ck_assert_int_ge(now_ns() - start_ns, 300000);
	fake_engine_done(e);
}
END_TEST

static void on_alarm(int sig)
{
	(void)sig;
}

START_TEST(test_a_signal_ends_the_sleep_without_an_error)
{
	struct sigaction sa = {.sa_handler = on_alarm};
	struct itimerval often = {{0, 20000}, {0, 20000}}, never = {{0, 0}, {0, 0}};

	if (!start(_i))
		return;
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	turn(-1);
	turn(-1);
	setitimer(ITIMER_REAL, &never, NULL);
	fake_engine_done(e);
}
END_TEST

static void *wake_soon(void *arg)
{
	(void)arg;
	usleep(2000);
	evu_engine_wake(e);
	return NULL;
}

START_TEST(test_a_wake_from_another_thread_ends_the_sleep)
{
	int i;

	if (!start(_i))
		return;
	for (i = 0; i < 20; i++) {
		pthread_t t;

		ck_assert_int_eq(pthread_create(&t, NULL, wake_soon, NULL), 0);
		turn(-1);
		pthread_join(t, NULL);
		turn(0);
	}
	fake_engine_done(e);
}
END_TEST

/* ---- crowds */

#define CROWD 3000

static struct evu_poll crowd[CROWD];

static bool crowd_fits(void)
{
	struct rlimit lim;

	getrlimit(RLIMIT_NOFILE, &lim);
	if (lim.rlim_cur < CROWD + 100 && lim.rlim_max >= CROWD + 100) {
		lim.rlim_cur = CROWD + 100;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
	return lim.rlim_cur >= CROWD + 100;
}

static void crowd_watched(int count, enum evu_watch how)
{
	int i;

	for (i = 0; i < CROWD; i++) {
		int fd = eventfd((unsigned)count, EFD_CLOEXEC | EFD_NONBLOCK);

		ck_assert_int_ge(fd, 0);
		want(&crowd[i], fd, POLLIN, how);
	}
}

static void crowd_is_told(void)
{
	static int told[2 * CROWD];
	int i, turns, missing = CROWD;

	memset(told, 0, sizeof(told));
	for (turns = 0; turns < 100 && missing; turns++) {
		turn(10 * MS);
		for (i = 0; i < fake_log.ntold; i++)
			missing -= told[fake_log.told[i].fd]++ == 0;
	}
	ck_assert_int_eq(missing, 0);
}

static void crowd_leaves(void)
{
	int i;

	for (i = 0; i < CROWD; i++) {
		evu_poll_drop(&crowd[i]);
		close(crowd[i].fd);
	}
	ck_assert(evu_engine_settle(e));
	for (i = 0; i < 50 && e->pool.in_flight > 1; i++)
		turn(0);
	ck_assert_uint_eq(e->pool.in_flight, 1);
	ck_assert_int_eq(e->npolls, 0);
}

START_TEST(test_thousands_armed_in_one_turn_that_are_ready_are_all_told)
{
	if (!crowd_fits() || !start(_i % 3))
		return;
	crowd_watched(1, (enum evu_watch)(_i / 3));
	crowd_is_told();
	crowd_leaves();
	fake_engine_done(e);
}
END_TEST

/* More completions than the queue holds: the kernel ends the multishots that it cannot report.
 * Three times, so that they must have been armed again. */
START_TEST(test_thousands_that_become_ready_at_once_are_all_told)
{
	enum evu_watch how = (enum evu_watch)(_i / 3);
	uint64_t one = 1, count;
	int i, round;

	if (!crowd_fits() || !start(_i % 3))
		return;
	crowd_watched(0, how);
	for (round = 0; round < 3; round++) {
		turn(0);
		turn(0);
		for (i = 0; i < CROWD; i++)
			ck_assert_int_eq(write(crowd[i].fd, &one, sizeof(one)), sizeof(one));
		crowd_is_told();
		for (i = 0; i < CROWD; i++)
			ck_assert_int_eq(read(crowd[i].fd, &count, sizeof(count)), sizeof(count));
		for (i = 0; i < CROWD && how == EVU_ONCE; i++)
			ck_assert_int_eq(evu_poll_want(&crowd[i], POLLIN, how, true), 0);
	}
	crowd_leaves();
	fake_engine_done(e);
}
END_TEST

START_TEST(test_thousands_dropped_at_once_leave_nothing_behind)
{
	if (!crowd_fits() || !start(_i))
		return;
	crowd_watched(0, EVU_LEVEL);
	turn(0);
	crowd_leaves();
	fake_engine_done(e);
}
END_TEST

/* ---- processes, threads, memory */

static struct evu_poll shared;
static int shared_sv[2];

static void child_uses_the_engine(void)
{
	must(evu_engine_turn(e, 0) == 0);
	evu_poll_drop(&shared);
	must(evu_engine_settle(e));
	must(evu_engine_turn(e, 0) == 0);
	evu_engine_leave(e, false);
	evu_engine_free(e);
}

static void child_reinits(void)
{
	must(evu_engine_reinit(e) == 0);
	put(shared_sv[1]);
	fake_log_clear();
	must(evu_engine_turn(e, 1000 * MS) == 0);
	must(evu_engine_turn(e, 0) == 0);
	must(fake_told(shared_sv[0]) >= 1);
	take(shared_sv[0]);
}

START_TEST(test_a_child_does_not_disturb_its_parent)
{
	struct in_child c;

	if (!start(_i))
		return;
	pair(shared_sv);
	want(&shared, shared_sv[0], POLLIN, EVU_LEVEL);
	turn(0);
	if (_i !=
	    EVU_EPOLL) { /* an epoll set is shared: only reinit parts it, there as in libevent */
		c = in_child(child_uses_the_engine);
		ck_assert_msg(c.exit_code == 0, "%d %d %s", c.exit_code, c.signal, c.stderr_text);
	}
	c = in_child(child_reinits);
	ck_assert_msg(c.exit_code == 0, "%d %d %s", c.exit_code, c.signal, c.stderr_text);
	comes_to_rest(shared_sv[0]);
	put(shared_sv[1]);
	turn_until_told(shared_sv[0]);
	fake_engine_done(e);
}
END_TEST

static void loop_in_another_thread(void *arg)
{
	(void)arg;
	fake_hold();
	evu_engine_enter(e);
	put(shared_sv[1]);
	turn_until_told(shared_sv[0]);
	take(shared_sv[0]);
	turn(0);
	evu_engine_leave(e, false);
	fake_let_go();
}

START_TEST(test_the_loop_may_move_from_thread_to_thread)
{
	int i;

	if (!start(_i))
		return;
	pair(shared_sv);
	want(&shared, shared_sv[0], POLLIN, EVU_LEVEL);
	evu_engine_leave(e, false);
	for (i = 0; i < 5; i++)
		fake_in_thread(loop_in_another_thread, NULL);
	evu_engine_enter(e);
	put(shared_sv[1]);
	turn_until_told(shared_sv[0]);
	ck_assert_int_eq(evu_engine_method(e), _i);
	fake_engine_done(e);
}
END_TEST

static void use_with_little_memory(int method, int good)
{
	struct evu_poll p[40];
	int sv[2], i, rc;

	fake_mem_install(good);
	memset(&fake_log, 0, sizeof(fake_log));
	rc = evu_engine_new(&e, 1u << method, &fake_hooks, &fake_log);
	if (rc < 0) {
		ck_assert_int_eq(rc, -ENOMEM);
		return;
	}
	evu_engine_enter(e);
	pair(sv);
	put(sv[1]);
	for (i = 0; i < 40; i++) {
		evu_poll_init(&p[i], e, fcntl(sv[0], F_DUPFD_CLOEXEC, 0));
		rc = evu_poll_want(&p[i], POLLIN, EVU_LEVEL, false);
		ck_assert(rc == 0 || rc == -ENOMEM);
		if (i % 8 == 0)
			(void)evu_engine_turn(e, 0);
	}
	(void)evu_engine_turn(e, 0);
	fake_mem_install(-1);
	for (i = 0; i < 3; i++)
		turn(0);
	for (i = 0; i < 40; i++) {
		ck_assert_int_eq(fake_told(p[i].fd), p[i].want ? 1 : 0);
		evu_poll_drop(&p[i]);
		close(p[i].fd);
	}
	close(sv[0]);
	close(sv[1]);
	evu_engine_leave(e, false);
	evu_engine_free(e);
}

START_TEST(test_whichever_allocation_fails_nothing_that_was_accepted_is_lost)
{
	int good;

	if (!available(_i))
		return;
	fake_hold();
	for (good = 0; good < 25; good++)
		use_with_little_memory(_i, good);
	fake_let_go();
}
END_TEST

/* ---- the plain questions */

START_TEST(test_poll_now_works_under_a_lowered_limit_of_descriptors)
{
	struct rlimit lim;
	struct pollfd fds[40];
	int i;

	for (i = 0; i < 40; i++)
		fds[i] =
		    (struct pollfd){.fd = eventfd((unsigned)i % 2, EFD_CLOEXEC), .events = POLLIN};
	getrlimit(RLIMIT_NOFILE, &lim);
	lim.rlim_cur = 7;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &lim), 0);
	ck_assert_int_eq(evu_poll_now(fds, 40), 0);
	lim.rlim_cur = lim.rlim_max < 1024 ? lim.rlim_max : 1024;
	setrlimit(RLIMIT_NOFILE, &lim);
	for (i = 0; i < 40; i++) {
		ck_assert_int_eq(fds[i].revents, i % 2 ? POLLIN : 0);
		close(fds[i].fd);
	}
}
END_TEST

START_TEST(test_admit_answers_as_epoll_would)
{
	int fds[2], dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(evu_fd_admit(fds[0]), 0);
	ck_assert_int_eq(evu_fd_admit(dir), -EPERM);
	ck_assert_int_eq(evu_fd_admit(-1), -EBADF);
	close(fds[0]);
	close(fds[1]);
	ck_assert_int_eq(evu_fd_admit(fds[0]), -EBADF);
	close(dir);
}
END_TEST

static TCase *told_case(int methods)
{
	TCase *tc = tcase_create("told");

	tcase_set_timeout(tc, 15);
	tcase_add_loop_test(tc, test_data_that_was_there_before_is_told, 0, methods);
	tcase_add_loop_test(tc, test_data_that_comes_later_is_told, 0, methods);
	tcase_add_loop_test(tc, test_level_is_told_each_turn_until_it_is_read, 0, methods);
	tcase_add_loop_test(tc, test_edge_is_told_once_for_each_arrival, 0, methods);
	tcase_add_loop_test(tc, test_once_is_told_once_and_again_when_wanted_again, 0, methods);
	tcase_add_loop_test(tc, test_a_change_of_mask_takes_effect, 0, methods);
	tcase_add_loop_test(tc, test_the_end_of_the_peer_is_told_as_poll_would, 0, methods);
	tcase_add_loop_test(
	    tc, test_files_are_refused_and_devices_without_poll_are_always_ready, 0, methods);
	tcase_add_loop_test(
	    tc, test_a_device_without_poll_is_told_each_time_it_is_wanted, 0, methods);
	tcase_add_loop_test(
	    tc, test_a_device_whose_number_becomes_a_socket_does_not_hang_the_loop, 0, methods);
	tcase_add_loop_test(tc, test_a_turn_without_events_lasts_its_time, 0, methods);
	tcase_add_loop_test(tc, test_a_signal_ends_the_sleep_without_an_error, 0, methods);
	tcase_add_loop_test(tc, test_a_wake_from_another_thread_ends_the_sleep, 0, methods);
	return tc;
}

static TCase *crowd_case(int methods)
{
	TCase *tc = tcase_create("crowds");
	int all = methods == 1 ? 1 : 9;

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(
	    tc, test_thousands_armed_in_one_turn_that_are_ready_are_all_told, 0, all);
	tcase_add_loop_test(tc, test_thousands_that_become_ready_at_once_are_all_told, 0, all);
	tcase_add_loop_test(tc, test_thousands_dropped_at_once_leave_nothing_behind, 0, methods);
	return tc;
}

static TCase *other_case(int methods)
{
	TCase *tc = tcase_create("processes, threads, memory");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, test_a_child_does_not_disturb_its_parent, 0, methods);
	tcase_add_loop_test(tc, test_the_loop_may_move_from_thread_to_thread, 0, methods);
	tcase_add_loop_test(
	    tc, test_whichever_allocation_fails_nothing_that_was_accepted_is_lost, 0, methods);
	tcase_add_test(tc, test_poll_now_works_under_a_lowered_limit_of_descriptors);
	tcase_add_test(tc, test_admit_answers_as_epoll_would);
	return tc;
}

static void add(Suite *s, int methods)
{
	suite_add_tcase(s, told_case(methods));
	suite_add_tcase(s, crowd_case(methods));
	suite_add_tcase(s, other_case(methods));
}

int main(int argc, char **argv)
{
	return ring_suite_run("ring", add, argc, argv);
}
