/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the suites on the real rings share: an engine that is allowed one method, turns, socket
 * pairs; and the second run of the whole suite, once for each feature of io_uring that is switched
 * off. Features are asked once per process, so that run is this same program, executed anew with
 * EVENT_URING_DISABLE set.
 *
 * A method that this machine does not have is left out: start() says no.
 */
#ifndef TESTS_RING_REAL_H
#define TESTS_RING_REAL_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "features.h"
#include "in_child.h"
#include "ring_fake.h"

#define MS 1000000LL

static struct evu_engine *e;
static const char *without; /* the feature that this run has to do without */

static inline bool available(int method)
{
	return method != EVU_IO_URING || evu_features()->ring;
}

static inline int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static inline void turn(int64_t timeout_ns)
{
	fake_log_clear();
	ck_assert_int_eq(evu_engine_turn(e, timeout_ns), 0);
}

/* Turns until the fd is told, at most 5 seconds. */
static inline void turn_until_told(int fd)
{
	int i;

	for (i = 0; i < 50; i++) {
		turn(100 * MS);
		if (fake_told(fd))
			return;
	}
	ck_abort_msg("fd %d is not told", fd);
}

/* For some turns the fd is not told, and the engine comes to rest: it sleeps through its time. */
static inline void comes_to_rest(int fd)
{
	int i, untold = 0;
	int64_t start = 0;

	for (i = 0; i < 4; i++) {
		start = now_ns();
		turn(20 * MS);
		untold += !fake_told(fd);
	}
	ck_assert_int_ge(now_ns() - start, 20 * MS);
	ck_assert_int_eq(untold, 4);
}

static inline void want(struct evu_poll *p, int fd, unsigned mask, enum evu_watch how)
{
	evu_poll_init(p, e, fd);
	ck_assert_int_eq(evu_poll_want(p, mask, how, false), 0);
}

static inline void pair(int sv[2])
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv), 0);
}

static inline void put(int fd)
{
	ck_assert_int_eq(write(fd, "x", 1), 1);
}

static inline void take(int fd)
{
	char c;

	ck_assert_int_eq(read(fd, &c, 1), 1);
}

static inline void at_end(int fd)
{
	char c;

	ck_assert_msg(read(fd, &c, 1) == 0, "the peer is still open");
}

static inline bool start(int method)
{
	if (!available(method))
		return false;
	fake_mem_install(-1);
	e = fake_engine(1u << method);
	ck_assert_int_eq(evu_engine_method(e), method);
	return true;
}

/* ---- without a feature */

static const char *const features[] = {"defer_taskrun", "defer_taskrun,coop_taskrun",
    "coop_taskrun", "multishot_poll", "cqe_skip", "idle_poll", "no_iowait",
    "defer_taskrun,coop_taskrun,multishot_poll,cqe_skip,no_iowait", "ring", "no_such_feature"};

/* Runs this program again, in a child, with the features switched off. */
static int run_without(const char *names)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		execl("/proc/self/exe", "check_ring", "without", names, (char *)NULL);
		_exit(IN_CHILD_MUST_FAILED);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

START_TEST(test_without_a_feature_the_suite_for_it_passes)
{
	ck_assert_msg(run_without(features[_i]) == 0, "without %s", features[_i]);
}
END_TEST

START_TEST(test_a_feature_that_is_switched_off_is_off)
{
	const struct evu_features *f = evu_features();
	const struct {
		const char *name;
		bool has;
	} bits[] = {{"defer_taskrun", f->defer_taskrun}, {"coop_taskrun", f->coop_taskrun},
	    {"multishot_poll", f->multishot_poll}, {"cqe_skip", f->cqe_skip},
	    {"idle_poll", f->idle_poll}, {"no_iowait", f->no_iowait}, {"ring", f->ring}};
	size_t i;

	for (i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		if (strstr(without, bits[i].name))
			ck_assert_msg(!bits[i].has, "%s is not off", bits[i].name);
	ck_assert_int_eq(f->ring, f->ring_error == 0);
	if (strcmp(without, "ring") == 0)
		ck_assert_int_eq(f->ring_error, -EPERM);
	ck_assert_ptr_eq(evu_features(), f);
}
END_TEST

START_TEST(test_without_it_the_best_method_left_is_taken)
{
	e = fake_engine(FAKE_ALL_METHODS);
	ck_assert_int_eq(evu_engine_method(e), evu_features()->ring ? EVU_IO_URING : EVU_EPOLL);
	fake_engine_done(e);
}
END_TEST

static TCase *without_case(void)
{
	TCase *tc = tcase_create("without");

	tcase_set_timeout(tc, 120);
	if (!without) {
		tcase_add_loop_test(tc, test_without_a_feature_the_suite_for_it_passes, 0,
		    (int)(sizeof(features) / sizeof(features[0])));
		return tc;
	}
	tcase_add_test(tc, test_a_feature_that_is_switched_off_is_off);
	tcase_add_test(tc, test_without_it_the_best_method_left_is_taken);
	return tc;
}

/* `add` puts its cases into the suite; `methods` of them run each test, from io_uring on. */
static inline int ring_suite_run(
    const char *name, void (*add)(Suite *s, int methods), int argc, char **argv)
{
	Suite *s = suite_create(name);
	SRunner *sr;
	int failed;

	if (argc == 3 && strcmp(argv[1], "without") == 0) {
		without = argv[2];
		setenv("EVENT_URING_DISABLE", without, 1);
	}
	add(s, without ? 1 : EVU_NMETHODS); /* the features are io_uring's */
	suite_add_tcase(s, without_case());
	sr = srunner_create(s);
	srunner_run_all(sr, without ? CK_SILENT : CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	if (without && failed)
		srunner_print(sr, CK_NORMAL);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
