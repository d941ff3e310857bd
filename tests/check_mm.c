/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_mm.c - the allocator and its replacement.
 *
 * The program's allocator is played by functions that count, and that fail once a countdown is
 * over. Every test that puts them in takes them out again, so the tests may share a process.
 */
#include <check.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "mm.h"

static int mallocs, reallocs, frees;
static size_t last_size;
static void *last_freed;
static int allocations_left; /* negative: no limit */

static int may_allocate(void)
{
	if (allocations_left == 0)
		return 0;
	if (allocations_left > 0)
		--allocations_left;
	return 1;
}

static void *counting_malloc(size_t sz)
{
	void *p;

	++mallocs;
	last_size = sz;
	if (!may_allocate())
		return NULL;
	p = malloc(sz);
	if (p)
		memset(p, 0x5a, sz);
	return p;
}

static void *counting_realloc(void *p, size_t sz)
{
	++reallocs;
	last_size = sz;
	return may_allocate() ? realloc(p, sz) : NULL;
}

static void counting_free(void *p)
{
	++frees;
	last_freed = p;
	free(p);
}

static void use_counting(void)
{
	mallocs = reallocs = frees = 0;
	last_size = 0;
	allocations_left = -1;
	event_set_mem_functions(counting_malloc, counting_realloc, counting_free);
}

static void use_libc(void)
{
	event_set_mem_functions(NULL, NULL, NULL);
}

START_TEST(test_malloc_of_nothing_is_null)
{
	ck_assert_ptr_null(mm_malloc(0));
	use_counting();
	ck_assert_ptr_null(mm_malloc(0));
	ck_assert_int_eq(mallocs, 0);
	use_libc();
}
END_TEST

START_TEST(test_malloc_gives_writable_memory)
{
	char *p = mm_malloc(100);

	ck_assert_ptr_nonnull(p);
	memset(p, 1, 100);
	mm_free(p);
}
END_TEST

START_TEST(test_malloc_goes_to_the_programs_function)
{
	void *p;

	use_counting();
	p = mm_malloc(33);
	ck_assert_ptr_nonnull(p);
	ck_assert_int_eq(mallocs, 1);
	ck_assert_uint_eq(last_size, 33);
	mm_free(p);
	ck_assert_int_eq(frees, 1);
	ck_assert_ptr_eq(last_freed, p);
	use_libc();
}
END_TEST

START_TEST(test_malloc_that_fails_is_null)
{
	use_counting();
	allocations_left = 0;
	ck_assert_ptr_null(mm_malloc(8));
	use_libc();
}
END_TEST

START_TEST(test_calloc_of_nothing_is_null)
{
	use_counting();
	ck_assert_ptr_null(mm_calloc(0, 8));
	ck_assert_ptr_null(mm_calloc(8, 0));
	ck_assert_int_eq(mallocs, 0);
	use_libc();
	ck_assert_ptr_null(mm_calloc(0, 8));
	ck_assert_ptr_null(mm_calloc(8, 0));
}
END_TEST

static void assert_zeroed(const unsigned char *p, size_t size)
{
	ck_assert_ptr_nonnull(p);
	for (size_t i = 0; i < size; i++)
		ck_assert_uint_eq(p[i], 0);
}

START_TEST(test_calloc_zeroes)
{
	unsigned char *p = mm_calloc(7, 9);

	assert_zeroed(p, 63);
	mm_free(p);
	use_counting();
	p = mm_calloc(7, 9);
	assert_zeroed(p, 63);
	ck_assert_int_eq(mallocs, 1);
	ck_assert_uint_eq(last_size, 63);
	mm_free(p);
	use_libc();
}
END_TEST

START_TEST(test_calloc_refuses_a_product_that_does_not_fit)
{
	volatile size_t huge = SIZE_MAX / 2 + 1;

	errno = 0;
	ck_assert_ptr_null(mm_calloc(huge, 2));
	ck_assert_int_eq(errno, ENOMEM);
	use_counting();
	errno = 0;
	ck_assert_ptr_null(mm_calloc(huge, 2));
	ck_assert_int_eq(errno, ENOMEM);
	ck_assert_int_eq(mallocs, 0);
	use_libc();
}
END_TEST

START_TEST(test_calloc_that_fails_says_enomem)
{
	use_counting();
	allocations_left = 0;
	errno = 0;
	ck_assert_ptr_null(mm_calloc(2, 4));
	ck_assert_int_eq(errno, ENOMEM);
	use_libc();
}
END_TEST

START_TEST(test_strdup_copies)
{
	const char *text = "a string";
	char *copy = mm_strdup(text);

	ck_assert_str_eq(copy, text);
	ck_assert_ptr_ne(copy, text);
	mm_free(copy);
	use_counting();
	copy = mm_strdup(text);
	ck_assert_str_eq(copy, text);
	ck_assert_uint_eq(last_size, strlen(text) + 1);
	mm_free(copy);
	copy = mm_strdup("");
	ck_assert_str_eq(copy, "");
	mm_free(copy);
	ck_assert_int_eq(mallocs, 2);
	ck_assert_int_eq(frees, 2);
	use_libc();
}
END_TEST

START_TEST(test_strdup_of_null_says_einval)
{
	errno = 0;
	ck_assert_ptr_null(mm_strdup(NULL));
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

START_TEST(test_strdup_that_fails_says_enomem)
{
	use_counting();
	allocations_left = 0;
	errno = 0;
	ck_assert_ptr_null(mm_strdup("x"));
	ck_assert_int_eq(errno, ENOMEM);
	use_libc();
}
END_TEST

START_TEST(test_realloc_keeps_the_contents)
{
	char *p = mm_malloc(4);

	memcpy(p, "abc", 4);
	p = mm_realloc(p, 4000);
	ck_assert_str_eq(p, "abc");
	mm_free(p);
}
END_TEST

START_TEST(test_realloc_goes_to_the_programs_function)
{
	void *p;

	use_counting();
	p = mm_realloc(NULL, 10);
	ck_assert_ptr_nonnull(p);
	p = mm_realloc(p, 20);
	ck_assert_ptr_nonnull(p);
	ck_assert_int_eq(reallocs, 2);
	ck_assert_int_eq(mallocs, 0);
	ck_assert_uint_eq(last_size, 20);
	mm_free(p);
	use_libc();
}
END_TEST

START_TEST(test_free_of_null_reaches_the_programs_function)
{
	mm_free(NULL);
	use_counting();
	mm_free(NULL);
	ck_assert_int_eq(frees, 1);
	use_libc();
}
END_TEST

START_TEST(test_a_function_left_out_is_libcs)
{
	char *p;

	use_counting();
	event_set_mem_functions(NULL, counting_realloc, NULL);
	p = mm_calloc(1, 16);
	ck_assert_ptr_nonnull(p);
	p = mm_realloc(p, 32);
	ck_assert_ptr_nonnull(p);
	mm_free(p);
	ck_assert_int_eq(mallocs, 0);
	ck_assert_int_eq(reallocs, 1);
	ck_assert_int_eq(frees, 0);
	use_libc();
}
END_TEST

static Suite *mm_suite(void)
{
	Suite *s = suite_create("mm");
	TCase *tc = tcase_create("mm");

	tcase_add_test(tc, test_malloc_of_nothing_is_null);
	tcase_add_test(tc, test_malloc_gives_writable_memory);
	tcase_add_test(tc, test_malloc_goes_to_the_programs_function);
	tcase_add_test(tc, test_malloc_that_fails_is_null);
	tcase_add_test(tc, test_calloc_of_nothing_is_null);
	tcase_add_test(tc, test_calloc_zeroes);
	tcase_add_test(tc, test_calloc_refuses_a_product_that_does_not_fit);
	tcase_add_test(tc, test_calloc_that_fails_says_enomem);
	tcase_add_test(tc, test_strdup_copies);
	tcase_add_test(tc, test_strdup_of_null_says_einval);
	tcase_add_test(tc, test_strdup_that_fails_says_enomem);
	tcase_add_test(tc, test_realloc_keeps_the_contents);
	tcase_add_test(tc, test_realloc_goes_to_the_programs_function);
	tcase_add_test(tc, test_free_of_null_reaches_the_programs_function);
	tcase_add_test(tc, test_a_function_left_out_is_libcs);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	SRunner *sr = srunner_create(mm_suite());
	int failed;

	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
