/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Free chains that are kept for the next ones: which are, where, and that they all go back to the
 * allocator in the end. The allocator is watched from in here: free() is this program's own.
 */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "evbuffer.h"

enum { USUAL = 100, SO_MANY = 1000 };

extern void __libc_free(void *p);

static void *watched[SO_MANY];
static int n_watched;
static int n_freed; /* of those that are watched */

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define KEPT 1

void free(void *p)
{
	for (int i = 0; p && i < n_watched; i++)
		if (watched[i] == p) {
			watched[i] = NULL;
			__atomic_add_fetch(&n_freed, 1, __ATOMIC_RELAXED);
		}
	__libc_free(p);
}
#endif

static struct event_base *base;

static void begin(void)
{
	base = event_base_new();
	ck_assert_ptr_nonnull(base);
	n_watched = n_freed = 0;
}

static void end(void)
{
	n_watched = 0;
	if (base)
		event_base_free(base);
	base = NULL;
}

/* Made in turn, the last one on top. */
static void make(struct evbuffer_chain **chains, int n, size_t size)
{
	for (int i = 0; i < n; i++) {
		chains[i] = evc_chain_new(size);
		ck_assert_ptr_nonnull(chains[i]);
	}
}

static void watch(struct evbuffer_chain **chains, int n)
{
	for (int i = 0; i < n; i++)
		watched[i] = chains[i];
	n_freed = 0;
	n_watched = n;
}

static void free_all(struct evbuffer_chain **chains, int n)
{
	for (int i = 0; i < n; i++)
		evc_chain_free(chains[i]);
}

START_TEST(the_last_one_freed_comes_first)
{
	struct evbuffer_chain *chains[3], *again[3];

	make(chains, 3, USUAL);
	watch(chains, 3);
	free_all(chains, 3);
	ck_assert_int_eq(n_freed, 0);
	make(again, 3, USUAL);
	for (int i = 0; i < 3; i++) {
		ck_assert_ptr_eq(again[i], chains[2 - i]);
		ck_assert_uint_eq(again[i]->off, 0);
		ck_assert_uint_eq(again[i]->flags, 0);
		ck_assert_int_eq(again[i]->refcnt, 1);
		ck_assert_ptr_null(again[i]->next);
	}
	n_watched = 0;
	free_all(again, 3);
}
END_TEST

START_TEST(larger_ones_are_not_kept)
{
	struct evbuffer_chain *chains[3];

	make(chains, 3, 3000);
	watch(chains, 3);
	free_all(chains, 3);
	ck_assert_int_eq(n_freed, 3);
}
END_TEST

START_TEST(there_is_a_limit_to_what_is_kept)
{
	static struct evbuffer_chain *chains[SO_MANY];

	make(chains, SO_MANY, USUAL);
	watch(chains, SO_MANY);
	free_all(chains, SO_MANY);
	ck_assert_int_gt(n_freed, SO_MANY * 3 / 4);
	ck_assert_int_lt(n_freed, SO_MANY);
}
END_TEST

START_TEST(with_the_last_base_they_are_freed)
{
	struct evbuffer_chain *chains[3];

	make(chains, 3, USUAL);
	watch(chains, 3);
	free_all(chains, 3);
	event_base_free(base);
	base = NULL;
	ck_assert_int_eq(n_freed, 3);
}
END_TEST

START_TEST(without_a_base_none_is_kept)
{
	struct evbuffer_chain *chains[3];

	event_base_free(base);
	base = NULL;
	make(chains, 3, USUAL);
	watch(chains, 3);
	free_all(chains, 3);
	ck_assert_int_eq(n_freed, 3);
}
END_TEST

static void *make_and_free(void *unused)
{
	struct evbuffer_chain *chains[3];

	(void)unused;
	make(chains, 3, USUAL);
	watch(chains, 3);
	free_all(chains, 3);
	ck_assert_int_eq(n_freed, 0);
	return NULL;
}

START_TEST(with_its_thread_they_are_freed)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, make_and_free, NULL), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(n_freed, 3);
}
END_TEST

static int n_own_mallocs, n_own_frees;

static void *own_malloc(size_t size)
{
	n_own_mallocs++;
	return malloc(size);
}

static void own_free(void *p)
{
	n_own_frees++;
	__libc_free(p);
}

START_TEST(a_programs_own_allocator_sees_every_chain)
{
	struct evbuffer_chain *kept, *chains[3];

	make(&kept, 1, USUAL);
	free_all(&kept, 1);
	event_set_mem_functions(own_malloc, realloc, own_free);
	n_own_mallocs = n_own_frees = 0;
	make(chains, 3, USUAL);
	ck_assert_int_eq(n_own_mallocs, 3);
	free_all(chains, 3);
	ck_assert_int_eq(n_own_frees, 3);
	event_set_mem_functions(NULL, NULL, NULL);
}
END_TEST

int main(void)
{
	Suite *s;
	TCase *tc;
	SRunner *runner;
	int failed;

#ifndef KEPT
	puts("nothing is kept with a sanitizer");
	return 77;
#endif
	s = suite_create("evbuffer_pool");
	tc = tcase_create("chains");
	runner = srunner_create(s);
	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, the_last_one_freed_comes_first);
	tcase_add_test(tc, larger_ones_are_not_kept);
	tcase_add_test(tc, there_is_a_limit_to_what_is_kept);
	tcase_add_test(tc, with_the_last_base_they_are_freed);
	tcase_add_test(tc, without_a_base_none_is_kept);
	tcase_add_test(tc, with_its_thread_they_are_freed);
	tcase_add_test(tc, a_programs_own_allocator_sees_every_chain);
	suite_add_tcase(s, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
