/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_list.c - the list whose links live inside the objects.
 */
#include <check.h>
#include <stdlib.h>

#include "list.h"

struct item {
	int before; /* so that the link is not at the item's address */
	struct evu_link link;
};

START_TEST(test_a_new_link_is_on_no_list)
{
	struct evu_link l;

	evu_link_init(&l);
	ck_assert(!evu_link_linked(&l));
}
END_TEST

START_TEST(test_nothing_can_be_taken_from_an_empty_list)
{
	struct evu_link head;

	evu_link_init(&head);
	ck_assert_ptr_null(evu_link_take(&head));
}
END_TEST

START_TEST(test_links_are_taken_in_the_order_in_which_they_were_appended)
{
	struct evu_link head, l[3];
	int i;

	evu_link_init(&head);
	for (i = 0; i < 3; i++)
		evu_link_append(&head, &l[i]);
	for (i = 0; i < 3; i++)
		ck_assert_ptr_eq(evu_link_take(&head), &l[i]);
	ck_assert_ptr_null(evu_link_take(&head));
}
END_TEST

START_TEST(test_a_link_that_was_taken_is_on_no_list)
{
	struct evu_link head, l;

	evu_link_init(&head);
	evu_link_append(&head, &l);
	ck_assert(evu_link_linked(&l) && evu_link_linked(&head));
	evu_link_take(&head);
	ck_assert(!evu_link_linked(&l) && !evu_link_linked(&head));
}
END_TEST

START_TEST(test_a_link_can_leave_from_the_middle)
{
	struct evu_link head, l[3];
	int i;

	evu_link_init(&head);
	for (i = 0; i < 3; i++)
		evu_link_append(&head, &l[i]);
	evu_link_remove(&l[1]);
	ck_assert(!evu_link_linked(&l[1]));
	ck_assert_ptr_eq(evu_link_take(&head), &l[0]);
	ck_assert_ptr_eq(evu_link_take(&head), &l[2]);
	ck_assert_ptr_null(evu_link_take(&head));
}
END_TEST

START_TEST(test_removing_a_link_twice_harms_nobody)
{
	struct evu_link head, l[2];

	evu_link_init(&head);
	evu_link_append(&head, &l[0]);
	evu_link_append(&head, &l[1]);
	evu_link_remove(&l[0]);
	evu_link_remove(&l[0]);
	ck_assert_ptr_eq(evu_link_take(&head), &l[1]);
	ck_assert_ptr_null(evu_link_take(&head));
}
END_TEST

START_TEST(test_the_container_of_a_link_is_its_item)
{
	struct item item;

	ck_assert_ptr_eq(evu_container_of(&item.link, struct item, link), &item);
}
END_TEST

static Suite *list_suite(void)
{
	Suite *s = suite_create("list");
	TCase *tc = tcase_create("list");

	tcase_add_test(tc, test_a_new_link_is_on_no_list);
	tcase_add_test(tc, test_nothing_can_be_taken_from_an_empty_list);
	tcase_add_test(tc, test_links_are_taken_in_the_order_in_which_they_were_appended);
	tcase_add_test(tc, test_a_link_that_was_taken_is_on_no_list);
	tcase_add_test(tc, test_a_link_can_leave_from_the_middle);
	tcase_add_test(tc, test_removing_a_link_twice_harms_nobody);
	tcase_add_test(tc, test_the_container_of_a_link_is_its_item);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	SRunner *sr = srunner_create(list_suite());
	int failed;

	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
