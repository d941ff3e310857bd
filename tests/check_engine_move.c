/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_engine_move.c - the engine between threads and processes, on the fake ring: what other
 * threads drop while the owner sleeps, loops that rest, loops that move, forked children. Threads
 * and processes are real ones.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "in_child.h"
#include "ring_fake.h"
#include "wake.h"

#define A 1001
#define B 1002

static struct evu_engine *e;
static struct evu_poll a, b;

static void watch(struct evu_poll *p, int fd, enum evu_watch how)
{
	evu_poll_init(p, e, fd);
	ck_assert_int_eq(evu_poll_want(p, POLLIN, how, true), 0);
}

static void turn(int64_t timeout_ns)
{
	fake_log_clear();
	ck_assert_int_eq(evu_engine_turn(e, timeout_ns), 0);
}

static void fire(int fd)
{
	fake_set_ready(fd, POLLIN);
	fake_complete(fd, POLLIN, true);
}

static void setup(void)
{
	fake_install();
	fake_mem_install(-1);
	e = fake_engine(FAKE_ALL_METHODS);
}

static void teardown(void)
{
	fake_engine_done(e);
}

/* ---- what other threads drop while the loop sleeps */

static void *(*other_threads_part)(void *arg);
static bool settled_at_once;

/* While the owner is in wait() without the lock, another thread does its part, to the end. */
static void run_other_thread(int64_t timeout_ns)
{
	pthread_t t;

	if (timeout_ns == 0)
		return;
	fake.on_wait = NULL;
	ck_assert_int_eq(pthread_create(&t, NULL, other_threads_part, NULL), 0);
	ck_assert_int_eq(pthread_join(t, NULL), 0);
}

static void sleep_while_another_thread(void *(*part)(void *arg))
{
	other_threads_part = part;
	fake.real_sleep = true;
	fake.on_wait = run_other_thread;
	turn(-1);
	ck_assert_uint_eq(fake.overslept, 0);
}

/* As the embedder does it: drop, settle, and if that is the owner's to do, wake it. */
static void *drop_a_and_wake(void *arg)
{
	(void)arg;
	fake_hold();
	ck_assert(evu_engine_asleep(e));
	evu_poll_drop(&a);
	memset(&a, 0xdd, sizeof(a));
	settled_at_once = evu_engine_settle(e);
	evu_engine_wake(e);
	fake_let_go();
	return NULL;
}

START_TEST(test_what_is_dropped_while_the_owner_sleeps_is_settled_when_it_wakes)
{
	watch(&a, A, EVU_LEVEL);
	turn(0);
	sleep_while_another_thread(drop_a_and_wake);
	ck_assert(!settled_at_once);
	ck_assert_int_ge(fake_log.nsettled, 1);
	ck_assert(!evu_engine_unsettled(e));
	ck_assert_int_eq(fake_live(), 0);
}
END_TEST

/* Who dropped waits for `settled`. Closing the ring settles as well, and must say so. */
START_TEST(test_what_is_dropped_while_the_owner_sleeps_is_settled_also_when_the_ring_is_lost)
{
	watch(&a, A, EVU_LEVEL);
	turn(0);
	fake.refuse_wait = (struct fake_refusal){-EPERM, 1, 1};
	sleep_while_another_thread(drop_a_and_wake);
	ck_assert_uint_eq(fake.closes, 1);
	ck_assert(!evu_engine_unsettled(e));
	ck_assert_int_ge(fake_log.nsettled, 1);
}
END_TEST

START_TEST(test_who_waits_for_settled_is_told_also_when_the_cancel_breaks_every_ring)
{
	watch(&a, A, EVU_LEVEL);
	turn(0);
	fake.refuse_open[EVU_EPOLL] = fake.refuse_open[EVU_POLL2] =
	    (struct fake_refusal){-EMFILE, 1, 0};
	fake.refuse_cancel = (struct fake_refusal){-EBADF, 1, 0};
	sleep_while_another_thread(drop_a_and_wake);
	ck_assert_uint_eq(fake.closes, 1);
	ck_assert(!evu_engine_unsettled(e));
	ck_assert_int_ge(fake_log.nsettled, 1);
}
END_TEST

static void *drop_a_while_b_fires(void *arg)
{
	(void)drop_a_and_wake(arg);
	fire(B);
	return NULL;
}

START_TEST(test_what_fired_is_told_also_when_settling_breaks_every_ring)
{
	watch(&a, A, EVU_LEVEL);
	watch(&b, B, EVU_LEVEL);
	turn(0);
	fake.refuse_open[EVU_EPOLL] = fake.refuse_open[EVU_POLL2] =
	    (struct fake_refusal){-EMFILE, 1, 0};
	fake.refuse_cancel = (struct fake_refusal){-EBADF, 1, 0};
	other_threads_part = drop_a_while_b_fires;
	fake.on_wait = run_other_thread;
	(void)evu_engine_turn(e, -1);
	ck_assert_uint_eq(fake.closes, 1);
	turn(0);
	ck_assert_int_eq(fake_told(B), 1);
}
END_TEST

/* What it dropped was not armed, and the cancel that the owner had queued went to the kernel when
 * the owner fell asleep. */
static void *want_and_drop_b(void *arg)
{
	(void)arg;
	fake_hold();
	watch(&b, B, EVU_LEVEL);
	evu_poll_drop(&b);
	settled_at_once = evu_engine_settle(e);
	evu_engine_wake(e);
	fake_let_go();
	return NULL;
}

START_TEST(test_whoever_has_to_wait_for_settled_is_told)
{
	watch(&a, A, EVU_LEVEL);
	turn(0);
	ck_assert_int_eq(evu_poll_want(&a, POLLOUT, EVU_LEVEL, true), 0);
	sleep_while_another_thread(want_and_drop_b);
	ck_assert(!evu_engine_unsettled(e));
	ck_assert(settled_at_once || fake_log.nsettled >= 1);
}
END_TEST

/* ---- the loop moves */

static void turn_in_another_thread(void *arg)
{
	(void)arg;
	fake_hold();
	evu_engine_enter(e);
	turn(0);
	fake_let_go();
}

START_TEST(test_a_loop_that_moves_to_another_thread_gets_a_ring_of_its_own)
{
	watch(&a, A, EVU_LEVEL);
	watch(&b, B, EVU_LEVEL);
	turn(0);
	fire(A);
	turn(0);
	evu_engine_leave(e, false);
	fake_in_thread(turn_in_another_thread, NULL);
	ck_assert_uint_eq(fake.alien_closes, 1);
	ck_assert_uint_eq(fake.opens[EVU_IO_URING], 2);
	ck_assert_uint_eq(fake.enables, 2);
	ck_assert_int_eq(fake_told(A), 1);
	ck_assert_ptr_nonnull(fake_req(B));
	ck_assert_ptr_nonnull(fake_req(e->wake.fd));
	ck_assert_uint_eq(fake.cancels, 0);
}
END_TEST

START_TEST(test_a_truthful_ring_moves_with_the_loop)
{
	fake_engine_done(e);
	e = fake_engine(1u << EVU_EPOLL);
	watch(&a, A, EVU_LEVEL);
	turn(0);
	evu_engine_leave(e, false);
	fake_in_thread(turn_in_another_thread, NULL);
	ck_assert_uint_eq(fake.opens[EVU_EPOLL], 1);
	ck_assert_ptr_nonnull(fake_req(A));
}
END_TEST

START_TEST(test_an_engine_may_be_made_here_and_looped_elsewhere)
{
	watch(&a, A, EVU_LEVEL);
	fake_in_thread(turn_in_another_thread, NULL);
	ck_assert_uint_eq(fake.opens[EVU_IO_URING], 1);
	ck_assert_uint_eq(fake.enables, 1);
	ck_assert_ptr_nonnull(fake_req(A));
	evu_engine_leave(e, false);
}
END_TEST

/* ---- a rest between loops */

START_TEST(test_a_loop_that_rests_leaves_nothing_but_edges_armed)
{
	struct evu_poll c;

	watch(&a, A, EVU_LEVEL);
	watch(&b, B, EVU_ONCE);
	watch(&c, B + 1, EVU_EDGE);
	turn(0);
	evu_engine_leave(e, true);
	ck_assert_ptr_null(fake_req(A));
	ck_assert_ptr_null(fake_req(B));
	ck_assert_ptr_nonnull(fake_req(B + 1));
	ck_assert_int_eq(fake_live(), 1); /* the cancels have reached the kernel */
	ck_assert_ptr_nonnull(fake_req(e->wake.fd));
	evu_engine_enter(e);
	turn(0);
	ck_assert_int_eq(fake_req(A)->kind, EVU_POLL_LEVEL);
	ck_assert_int_eq(fake_req(B)->kind, EVU_POLL_ONCE);
	ck_assert_uint_eq(fake.closes, 0);
}
END_TEST

START_TEST(test_a_loop_that_comes_back_soon_leaves_all_armed)
{
	watch(&a, A, EVU_LEVEL);
	turn(0);
	evu_engine_leave(e, false);
	ck_assert_ptr_nonnull(fake_req(A));
	ck_assert_uint_eq(fake.cancels, 0);
	evu_engine_enter(e);
}
END_TEST

START_TEST(test_a_rest_loses_nothing_that_is_hot)
{
	watch(&a, A, EVU_LEVEL);
	turn(0);
	fire(A);
	turn(0);
	evu_engine_leave(e, true);
	evu_engine_enter(e);
	turn(-1);
	ck_assert_int_eq(fake_told(A), 1);
	fake_set_ready(A, 0);
	turn(0);
	turn(0);
	ck_assert_ptr_nonnull(fake_req(A));
}
END_TEST

static void drop_a_elsewhere(void *arg)
{
	(void)arg;
	fake_hold();
	evu_poll_drop(&a);
	ck_assert(evu_engine_settle(e));
	fake_let_go();
}

START_TEST(test_during_a_rest_another_thread_drops_without_costing_the_ring)
{
	watch(&a, A, EVU_LEVEL);
	turn(0);
	evu_engine_leave(e, true);
	fake_in_thread(drop_a_elsewhere, NULL);
	ck_assert_uint_eq(fake.closes, 0);
	evu_engine_enter(e);
	turn(0);
	ck_assert_int_eq(fake_live(), 0);
}
END_TEST

static void drop_a_while_looping(void *arg)
{
	(void)arg;
	fake_hold();
	evu_poll_drop(&a);
	fake_let_go();
}

START_TEST(test_what_was_handed_to_the_owner_is_cancelled_when_it_leaves)
{
	watch(&a, A, EVU_LEVEL);
	turn(0);
	fake_in_thread(drop_a_while_looping, NULL);
	ck_assert_int_eq(fake_live(), 1);
	evu_engine_leave(e, false);
	ck_assert_int_eq(fake_live(), 0);
	ck_assert(!evu_engine_unsettled(e));
	evu_engine_enter(e);
}
END_TEST

/* ---- processes */

/* The body runs in a forked child, which ends with 0 if it comes through; its parent must not
 * notice. */
static void in_fork(void (*body)(void))
{
	struct in_child c = in_child(body);

	ck_assert_msg(
	    c.exit_code == 0, "exit %d, signal %d: %s", c.exit_code, c.signal, c.stderr_text);
}

static void child_takes_a_turn(void)
{
	must(evu_engine_turn(e, 0) == 0);
	must(fake.alien_closes == 1 && fake.opens[EVU_IO_URING] == 2);
	must(fake_log.nforked == 1);
	must(evu_engine_wake_fd(e) == e->wake.fd);
	must(fake_req(A) && fake_req(e->wake.fd));
	fire(A);
	must(evu_engine_turn(e, 0) == 0);
	must(fake_told(A) == 1);
	evu_engine_wake(e);
}

static unsigned wake_events(void)
{
	struct pollfd p = {.fd = e->wake.fd, .events = POLLIN};

	return (unsigned)poll(&p, 1, 0);
}

START_TEST(test_a_child_that_turns_gets_a_ring_and_an_eventfd_of_its_own)
{
	watch(&a, A, EVU_LEVEL);
	turn(0);
	in_fork(child_takes_a_turn);
	turn(-1);
	ck_assert_uint_eq(fake.sleeps, 1); /* the child's wake was not ours */
	ck_assert_uint_eq(wake_events(), 0);
	ck_assert_uint_eq(fake.closes, 0);
}
END_TEST

static void child_drops_and_wants(void)
{
	struct evu_poll c;

	evu_poll_drop(&a);
	must(fake.alien_closes == 1 && fake.cancels == 0 && fake.flushes == 0);
	must(evu_engine_settle(e) && !evu_engine_unsettled(e));
	evu_poll_init(&c, e, B);
	must(evu_poll_want(&c, POLLIN, EVU_ONCE, true) == 0);
	must(evu_engine_turn(e, 0) == 0);
	must(!fake_req(A) && fake_req(B));
}

START_TEST(test_a_child_that_drops_does_not_touch_its_parents_ring)
{
	watch(&a, A, EVU_LEVEL);
	turn(0);
	in_fork(child_drops_and_wants);
}
END_TEST

static void child_frees(void)
{
	evu_engine_leave(e, false);
	evu_engine_free(e);
	must(fake.alien_closes == 1 && !fake.ring);
}

START_TEST(test_a_child_that_frees_does_not_touch_its_parents_ring)
{
	watch(&a, A, EVU_LEVEL);
	turn(0);
	in_fork(child_frees);
}
END_TEST

static void child_reinits(void)
{
	must(evu_engine_reinit(e) == 0);
	must(fake.alien_closes == 1 && fake.closes == 1 && fake.opens[EVU_IO_URING] == 2);
	must(evu_engine_turn(e, 0) == 0);
	must(fake_req(A) && fake_req(e->wake.fd));
}

START_TEST(test_reinit_in_a_child_arms_everything_on_a_ring_of_its_own)
{
	watch(&a, A, EVU_LEVEL);
	turn(0);
	in_fork(child_reinits);
}
END_TEST

static void grandchild_turns(void)
{
	must(evu_engine_turn(e, 0) == 0);
	must(fake.alien_closes == 2 && fake_req(A));
}

static void child_forks(void)
{
	struct in_child c;

	must(evu_engine_turn(e, 0) == 0);
	c = in_child(grandchild_turns);
	must(c.exit_code == 0);
}

START_TEST(test_a_child_of_a_child_gets_a_ring_of_its_own)
{
	watch(&a, A, EVU_LEVEL);
	turn(0);
	in_fork(child_forks);
}
END_TEST

static void child_without_descriptors(void)
{
	struct rlimit none = {0, 0};
	int rc;

	setrlimit(RLIMIT_NOFILE, &none);
	fake.refuse_open[EVU_IO_URING] = fake.refuse_open[EVU_EPOLL] = fake.refuse_open[EVU_POLL2] =
	    (struct fake_refusal){-EMFILE, -1, 0};
	rc = evu_engine_reinit(e);
	must(rc < 0);
	must(evu_engine_turn(e, 0) < 0);
}

START_TEST(test_reinit_says_so_when_no_descriptor_can_be_had)
{
	turn(0);
	in_fork(child_without_descriptors);
}
END_TEST

/* The ring cannot be had, the eventfd can but only at the second attempt: that must not hide the
 * ring's error. */
static void child_whose_ring_is_refused(void)
{
	struct rlimit old;

	getrlimit(RLIMIT_NOFILE, &old);
	setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, old.rlim_max});
	evu_poll_drop(&a); /* notices the fork; there is no descriptor for an eventfd */
	must(e->wake.fd < 0);
	setrlimit(RLIMIT_NOFILE, &old);
	fake.refuse_open[EVU_IO_URING] = fake.refuse_open[EVU_EPOLL] = fake.refuse_open[EVU_POLL2] =
	    (struct fake_refusal){-EPERM, -1, 0};
	must(evu_engine_reinit(e) < 0);
}

START_TEST(test_reinit_says_so_when_no_ring_can_be_had)
{
	watch(&a, A, EVU_LEVEL);
	turn(0);
	in_fork(child_whose_ring_is_refused);
}
END_TEST

static void child_that_finds_descriptors_later(void)
{
	struct rlimit old;

	getrlimit(RLIMIT_NOFILE, &old);
	setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, old.rlim_max});
	must(evu_engine_turn(e, 0) < 0);
	evu_engine_wake(e); /* to nowhere, but harmless */
	setrlimit(RLIMIT_NOFILE, &old);
	must(evu_engine_turn(e, 0) == 0);
	must(fake_req(A) && fake_req(e->wake.fd));
	fake.real_sleep = true;
	evu_engine_wake(e);
	must(evu_engine_turn(e, -1) == 0);
	must(fake.overslept == 0);
}

START_TEST(test_a_child_that_gets_no_eventfd_gets_one_later)
{
	watch(&a, A, EVU_LEVEL);
	turn(0);
	in_fork(child_that_finds_descriptors_later);
}
END_TEST

static TCase *move_case(void)
{
	TCase *tc = tcase_create("threads and processes");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, test_a_loop_that_rests_leaves_nothing_but_edges_armed);
	tcase_add_test(tc, test_a_loop_that_comes_back_soon_leaves_all_armed);
	tcase_add_test(tc, test_a_rest_loses_nothing_that_is_hot);
	tcase_add_test(tc, test_during_a_rest_another_thread_drops_without_costing_the_ring);
	tcase_add_test(tc, test_what_was_handed_to_the_owner_is_cancelled_when_it_leaves);
	tcase_add_test(tc, test_a_loop_that_moves_to_another_thread_gets_a_ring_of_its_own);
	tcase_add_test(tc, test_a_truthful_ring_moves_with_the_loop);
	tcase_add_test(tc, test_an_engine_may_be_made_here_and_looped_elsewhere);
	tcase_add_test(tc, test_a_child_that_turns_gets_a_ring_and_an_eventfd_of_its_own);
	tcase_add_test(tc, test_a_child_that_drops_does_not_touch_its_parents_ring);
	tcase_add_test(tc, test_a_child_that_frees_does_not_touch_its_parents_ring);
	tcase_add_test(tc, test_reinit_in_a_child_arms_everything_on_a_ring_of_its_own);
	tcase_add_test(tc, test_a_child_of_a_child_gets_a_ring_of_its_own);
	tcase_add_test(tc, test_reinit_says_so_when_no_descriptor_can_be_had);
	tcase_add_test(tc, test_reinit_says_so_when_no_ring_can_be_had);
	tcase_add_test(tc, test_a_child_that_gets_no_eventfd_gets_one_later);
	tcase_add_test(tc, test_what_is_dropped_while_the_owner_sleeps_is_settled_when_it_wakes);
	tcase_add_test(
	    tc, test_what_is_dropped_while_the_owner_sleeps_is_settled_also_when_the_ring_is_lost);
	tcase_add_test(
	    tc, test_who_waits_for_settled_is_told_also_when_the_cancel_breaks_every_ring);
	tcase_add_test(tc, test_whoever_has_to_wait_for_settled_is_told);
	tcase_add_test(tc, test_what_fired_is_told_also_when_settling_breaks_every_ring);
	return tc;
}

int main(void)
{
	Suite *s = suite_create("engine_move");
	SRunner *sr;
	int failed;

	suite_add_tcase(s, move_case());
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
