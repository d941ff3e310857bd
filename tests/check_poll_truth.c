/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_poll_truth.c - the readiness machine on a ring that tells the truth (the fake one in
 * epoll's place); and, on both kinds of ring, what becomes of it when memory runs out.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "poll_turns.h"

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
static bool crowd(int good, unsigned methods)
{
	struct evu_poll *polls[CROWD];
	bool failed;
	int i, rc;

	fake_mem_install(good);
	memset(&fake_log, 0, sizeof(fake_log));
	rc = evu_engine_new(&e, methods, &fake_hooks, &fake_log);
	if (rc < 0) {
		ck_assert_int_eq(rc, -ENOMEM);
		return true;
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
	failed = fake_mem_asked > good;
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
	evu_engine_leave(e, false);
	evu_engine_free(e);
	return failed;
}

START_TEST(test_whichever_allocation_fails_what_was_accepted_is_told)
{
	unsigned methods = _i ? 1u << EVU_EPOLL : 1u << EVU_IO_URING;
	int good = 0;

	fake_mem_install(-1);
	fake_hold();
	do {
		fake_install();
		fake.on_seen = complete_if_ready;
	} while (crowd(good++, methods));
	fake_let_go();
	ck_assert_int_gt(good, 5);
}
END_TEST

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
	return tc;
}

int main(void)
{
	Suite *s = suite_create("poll_truth");
	TCase *memory = tcase_create("memory");

	suite_add_tcase(s, truth_case());
	tcase_add_loop_test(
	    memory, test_whichever_allocation_fails_what_was_accepted_is_told, 0, 2);
	tcase_set_timeout(memory, 60);
	suite_add_tcase(s, memory);
	return poll_suite_run(s);
}
