/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_heap.c - the heap of deadlines.
 *
 * What every test leans on is heap_ok(): no child before its parent, and every item knows its
 * place. The last test walks at random beside an array in which the smallest key is found by
 * looking at all.
 */
#include <check.h>
#include <stdlib.h>

#include "heap.h"

#define ITEMS 500

static int pos[ITEMS];
static struct evu_heap heap;

static void setup(void)
{
	int i;

	evu_heap_init(&heap, realloc, free);
	for (i = 0; i < ITEMS; i++)
		pos[i] = -1;
	ck_assert_int_eq(evu_heap_reserve(&heap, ITEMS), 0);
}

static void teardown(void)
{
	evu_heap_fini(&heap);
}

static void heap_ok(void)
{
	int i;

	for (i = 0; i < heap.len; i++) {
		ck_assert_int_eq(*heap.slots[i].pos, i);
		if (i > 0)
			ck_assert_int_le(heap.slots[(i - 1) / 4].key, heap.slots[i].key);
	}
}

static int take_top(void)
{
	const struct evu_heap_slot *top = evu_heap_top(&heap);
	int item = (int)(top->pos - pos);

	evu_heap_remove(&heap, top->pos);
	heap_ok();
	return item;
}

START_TEST(test_an_empty_heap_has_no_top)
{
	ck_assert_ptr_null(evu_heap_top(&heap));
}
END_TEST

START_TEST(test_keys_come_out_in_order)
{
	int i;

	for (i = 0; i < ITEMS; i++)
		evu_heap_push(&heap, (i * 7919) % ITEMS, &pos[i]);
	heap_ok();
	for (i = 0; i < ITEMS; i++) {
		ck_assert_int_eq(evu_heap_top(&heap)->key, i);
		ck_assert_int_eq((take_top() * 7919) % ITEMS, i);
	}
	ck_assert_int_eq(heap.len, 0);
}
END_TEST

START_TEST(test_negative_and_extreme_keys_are_keys_like_any_other)
{
	evu_heap_push(&heap, INT64_MAX, &pos[0]);
	evu_heap_push(&heap, 0, &pos[1]);
	evu_heap_push(&heap, INT64_MIN, &pos[2]);
	ck_assert_int_eq(take_top(), 2);
	ck_assert_int_eq(take_top(), 1);
	ck_assert_int_eq(take_top(), 0);
}
END_TEST

START_TEST(test_an_item_that_was_removed_has_no_place)
{
	evu_heap_push(&heap, 1, &pos[0]);
	evu_heap_push(&heap, 2, &pos[1]);
	evu_heap_remove(&heap, &pos[1]);
	ck_assert_int_eq(pos[1], -1);
	ck_assert_int_eq(heap.len, 1);
}
END_TEST

/* The last item takes the place of the removed one and may have to go up: its keys are from another
 * branch. */
START_TEST(test_removing_from_one_branch_may_lift_an_item_of_another)
{
	static const int64_t keys[] = {0, 100, 1, 2, 3, 101, 102, 103, 104, 4};
	int i;

	for (i = 0; i < 10; i++)
		evu_heap_push(&heap, keys[i], &pos[i]);
	heap_ok();
	evu_heap_remove(&heap, &pos[5]);
	heap_ok();
	ck_assert_int_eq(heap.len, 9);
}
END_TEST

START_TEST(test_raise_brings_an_item_to_the_top)
{
	int i;

	for (i = 0; i < 50; i++)
		evu_heap_push(&heap, i, &pos[i]);
	evu_heap_raise(&heap, &pos[49], -1);
	heap_ok();
	ck_assert_int_eq(take_top(), 49);
	ck_assert_int_eq(take_top(), 0);
}
END_TEST

START_TEST(test_rekey_top_lets_the_next_one_come_first)
{
	int i;

	for (i = 0; i < 50; i++)
		evu_heap_push(&heap, i, &pos[i]);
	evu_heap_rekey_top(&heap, 25);
	heap_ok();
	ck_assert_int_eq(take_top(), 1);
	evu_heap_rekey_top(&heap, 1000);
	heap_ok();
	ck_assert_int_eq(take_top(), 3);
}
END_TEST

static int reallocs_left;

static void *scarce(void *p, size_t size)
{
	ck_assert_uint_ne(size, 0);
	return reallocs_left-- > 0 ? realloc(p, size) : NULL;
}

START_TEST(test_reserve_without_memory_changes_nothing)
{
	struct evu_heap h;
	int item = -1;

	reallocs_left = 1;
	evu_heap_init(&h, scarce, free);
	ck_assert_int_eq(evu_heap_reserve(&h, 1), 0);
	evu_heap_push(&h, 5, &item);
	ck_assert_int_eq(evu_heap_reserve(&h, h.cap), 0);
	ck_assert_int_eq(evu_heap_reserve(&h, h.cap + 1), -1);
	ck_assert_int_eq(h.len, 1);
	ck_assert_int_eq(evu_heap_top(&h)->key, 5);
	evu_heap_fini(&h);
}
END_TEST

START_TEST(test_reserve_of_more_than_an_int_counts_is_refused)
{
	struct evu_heap h;

	reallocs_left = 0;
	evu_heap_init(&h, scarce, free);
	ck_assert_int_eq(evu_heap_reserve(&h, INT_MAX), -1);
	evu_heap_fini(&h);
}
END_TEST

START_TEST(test_a_heap_that_never_grew_frees_nothing)
{
	struct evu_heap h;

	evu_heap_init(&h, scarce, NULL);
	evu_heap_fini(&h);
	ck_assert_int_eq(h.cap, 0);
}
END_TEST

/* The model. */
static int64_t model[ITEMS]; /* keys, by item; only where pos >= 0 */

static void random_step(void)
{
	int i = rand() % ITEMS;
	int64_t key = rand() % 1000;

	if (pos[i] < 0) {
		evu_heap_push(&heap, model[i] = key, &pos[i]);
		return;
	}
	switch (rand() % 4) {
	case 0:
		evu_heap_raise(&heap, &pos[i], model[i] -= key);
		break;
	case 1:
		i = (int)(evu_heap_top(&heap)->pos - pos);
		evu_heap_rekey_top(&heap, model[i] += key);
		break;
	default:
		evu_heap_remove(&heap, &pos[i]);
		break;
	}
}

START_TEST(test_a_random_walk_agrees_with_a_model)
{
	int step, i;

	srand(20001);
	for (step = 0; step < 20000; step++) {
		int64_t min = INT64_MAX;
		int n = 0;

		random_step();
		for (i = 0; i < ITEMS; i++) {
			if (pos[i] < 0)
				continue;
			n++;
			min = model[i] < min ? model[i] : min;
			ck_assert_int_eq(heap.slots[pos[i]].key, model[i]);
		}
		ck_assert_int_eq(heap.len, n);
		if (n)
			ck_assert_int_eq(evu_heap_top(&heap)->key, min);
	}
	heap_ok();
}
END_TEST

static Suite *heap_suite(void)
{
	Suite *s = suite_create("heap");
	TCase *tc = tcase_create("heap");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_an_empty_heap_has_no_top);
	tcase_add_test(tc, test_keys_come_out_in_order);
	tcase_add_test(tc, test_negative_and_extreme_keys_are_keys_like_any_other);
	tcase_add_test(tc, test_an_item_that_was_removed_has_no_place);
	tcase_add_test(tc, test_removing_from_one_branch_may_lift_an_item_of_another);
	tcase_add_test(tc, test_raise_brings_an_item_to_the_top);
	tcase_add_test(tc, test_rekey_top_lets_the_next_one_come_first);
	tcase_add_test(tc, test_reserve_without_memory_changes_nothing);
	tcase_add_test(tc, test_reserve_of_more_than_an_int_counts_is_refused);
	tcase_add_test(tc, test_a_heap_that_never_grew_frees_nothing);
	tcase_add_test(tc, test_a_random_walk_agrees_with_a_model);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	SRunner *sr = srunner_create(heap_suite());
	int failed;

	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
