/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_op.c - the life of a request: pool, tags, generations, orphans, and ops handed from thread
 * to thread.
 */
#include <check.h>
#include <stdlib.h>

#include "op.h"
#include "ring_fake.h"

static struct evu_op_pool pool;
static int calls, last_res;
static bool last_more;
static struct evu_op *last_op;
static int lost_calls;
static void *last_lost;
static int me; /* a handler's context */

static void handler(struct evu_op *op, void *ctx, int res, bool more)
{
	ck_assert_ptr_eq(ctx, &me);
	calls++;
	last_op = op;
	last_res = res;
	last_more = more;
	ck_assert_int_eq(op->state == EVU_OP_IDLE, !more);
}

static void lost(evu_op_handler *whose, void *ctx)
{
	ck_assert(whose == handler);
	lost_calls++;
	last_lost = ctx;
}

static void setup(void)
{
	fake_mem_install(-1);
	evu_op_pool_init(&pool);
	calls = lost_calls = 0;
}

static void teardown(void)
{
	evu_op_pool_fini(&pool);
}

static struct evu_op *armed(void)
{
	struct evu_op *op = evu_op_get(&pool, handler, &me);

	ck_assert_ptr_nonnull(op);
	evu_op_armed(&pool, op, 7, 1);
	return op;
}

START_TEST(test_an_op_from_the_pool_is_idle)
{
	struct evu_op *op = evu_op_get(&pool, handler, &me);

	ck_assert_int_eq(op->state, EVU_OP_IDLE);
	ck_assert_int_eq(op->slot, -1);
	ck_assert_uint_eq(pool.in_flight, 0);
	evu_op_put(&pool, op);
}
END_TEST

START_TEST(test_an_armed_op_is_in_flight_and_found_by_its_tag)
{
	struct evu_op *op = armed();

	ck_assert_uint_eq(pool.in_flight, 1);
	ck_assert_ptr_eq(evu_op_find(&pool, evu_op_tag(op)), op);
	ck_assert_int_eq(op->fd, 7);
	ck_assert_int_eq(op->kind, 1);
}
END_TEST

START_TEST(test_a_tag_is_never_zero)
{
	struct evu_op *op = armed();

	ck_assert_uint_eq(op->index, 0);
	ck_assert_uint_ne(evu_op_tag(op), 0);
	evu_op_disarmed(&pool, op);
	op->gen = UINT32_MAX;
	evu_op_armed(&pool, op, 7, 1);
	ck_assert_uint_ne(evu_op_tag(op), 0);
}
END_TEST

START_TEST(test_a_completion_with_more_leaves_the_op_armed)
{
	struct evu_op *op = armed();

	evu_op_complete(&pool, evu_op_tag(op), 5, true);
	ck_assert_int_eq(calls, 1);
	ck_assert_int_eq(last_res, 5);
	ck_assert(last_more);
	ck_assert_ptr_eq(last_op, op);
	ck_assert_uint_eq(pool.in_flight, 1);
}
END_TEST

START_TEST(test_the_last_completion_gives_the_op_back)
{
	struct evu_op *op = armed();

	evu_op_complete(&pool, evu_op_tag(op), 5, false);
	ck_assert_int_eq(calls, 1);
	ck_assert_uint_eq(pool.in_flight, 0);
	ck_assert_ptr_eq(evu_op_get(&pool, handler, &me), op);
}
END_TEST

START_TEST(test_a_completion_of_an_earlier_life_is_ignored)
{
	struct evu_op *op = armed();
	uint64_t old = evu_op_tag(op);

	evu_op_complete(&pool, old, 0, false);
	calls = 0;
	ck_assert_ptr_eq(armed(), op);
	evu_op_complete(&pool, old, 9, false);
	ck_assert_int_eq(calls, 0);
	ck_assert_int_eq(op->state, EVU_OP_ARMED);
	ck_assert_uint_eq(pool.in_flight, 1);
}
END_TEST

START_TEST(test_a_completion_of_an_idle_op_is_ignored)
{
	struct evu_op *op = armed();
	uint64_t tag = evu_op_tag(op);

	evu_op_complete(&pool, tag, 0, false);
	evu_op_complete(&pool, tag, 0, false);
	ck_assert_int_eq(calls, 1);
	ck_assert_uint_eq(pool.in_flight, 0);
}
END_TEST

START_TEST(test_tags_that_never_were_are_ignored)
{
	armed();
	evu_op_complete(&pool, 0, 0, false);
	evu_op_complete(&pool, UINT64_MAX, 0, false);
	evu_op_complete(&pool, (uint64_t)1 << 32 | EVU_OP_SLAB, 0, false);
	ck_assert_int_eq(calls, 0);
	ck_assert_uint_eq(pool.in_flight, 1);
}
END_TEST

START_TEST(test_an_orphan_ends_without_its_handler)
{
	struct evu_op *op = armed();

	evu_op_orphan(op);
	evu_op_complete(&pool, evu_op_tag(op), 1, true);
	ck_assert_uint_eq(pool.in_flight, 1);
	evu_op_complete(&pool, evu_op_tag(op), 1, false);
	ck_assert_int_eq(calls, 0);
	ck_assert_uint_eq(pool.in_flight, 0);
	ck_assert_ptr_eq(pool.free, op);
}
END_TEST

START_TEST(test_a_cancelling_op_waits_for_its_last_completion)
{
	struct evu_op *op = armed();

	evu_op_orphan(op);
	op->state = EVU_OP_CANCELLING;
	evu_op_complete(&pool, evu_op_tag(op), 1, true);
	ck_assert_uint_eq(pool.in_flight, 1);
	ck_assert_int_eq(op->state, EVU_OP_CANCELLING);
	evu_op_complete(&pool, evu_op_tag(op), -125, false);
	ck_assert_uint_eq(pool.in_flight, 0);
}
END_TEST

START_TEST(test_an_op_that_was_refused_stays_its_owners)
{
	struct evu_op *op = armed();
	uint64_t tag = evu_op_tag(op);

	evu_op_disarmed(&pool, op);
	ck_assert_uint_eq(pool.in_flight, 0);
	ck_assert_ptr_null(evu_op_find(&pool, tag));
	evu_op_put(&pool, op);
}
END_TEST

static void rearming_handler(struct evu_op *op, void *ctx, int res, bool more)
{
	struct evu_op *other = evu_op_get(&pool, handler, &me);

	(void)ctx;
	(void)res;
	(void)more;
	ck_assert_ptr_ne(other, op);
	evu_op_armed(&pool, other, 8, 1);
	last_op = other;
}

START_TEST(test_a_handler_that_arms_gets_another_op_than_the_one_that_ends)
{
	struct evu_op *op = evu_op_get(&pool, rearming_handler, &me);

	evu_op_armed(&pool, op, 7, 1);
	evu_op_complete(&pool, evu_op_tag(op), 0, false);
	ck_assert_uint_eq(pool.in_flight, 1);
	ck_assert_ptr_eq(evu_op_find(&pool, evu_op_tag(last_op)), last_op);
}
END_TEST

START_TEST(test_a_handed_op_is_taken_once)
{
	struct evu_op *op = armed(), *list = NULL;

	evu_op_orphan(op);
	evu_op_hand(&list, op);
	ck_assert_ptr_eq(evu_op_take_handed(&pool, &list), op);
	ck_assert(!op->handed);
	ck_assert_ptr_null(evu_op_take_handed(&pool, &list));
}
END_TEST

START_TEST(test_all_ops_that_were_handed_are_taken)
{
	struct evu_op *list = NULL;
	int i, n = 0;

	for (i = 0; i < 10; i++) {
		struct evu_op *op = armed();

		evu_op_orphan(op);
		evu_op_hand(&list, op);
	}
	while (evu_op_take_handed(&pool, &list))
		n++;
	ck_assert_int_eq(n, 10);
}
END_TEST

START_TEST(test_a_handed_op_that_ends_by_itself_returns_to_the_pool_when_the_list_is_read)
{
	struct evu_op *op = armed(), *list = NULL;

	evu_op_orphan(op);
	evu_op_hand(&list, op);
	evu_op_complete(&pool, evu_op_tag(op), 0, false);
	ck_assert_uint_eq(pool.in_flight, 0);
	ck_assert_ptr_ne(pool.free, op);
	ck_assert_ptr_null(evu_op_take_handed(&pool, &list));
	ck_assert_ptr_eq(pool.free, op);
	ck_assert(!op->handed);
}
END_TEST

START_TEST(test_one_handed_op_that_ended_does_not_hide_the_others)
{
	struct evu_op *a = armed(), *b = armed(), *c = armed(), *list = NULL;

	evu_op_orphan(a);
	evu_op_orphan(b);
	evu_op_orphan(c);
	evu_op_hand(&list, a);
	evu_op_hand(&list, b);
	evu_op_hand(&list, c);
	evu_op_complete(&pool, evu_op_tag(b), 0, false);
	ck_assert_ptr_eq(evu_op_take_handed(&pool, &list), c);
	ck_assert_ptr_eq(evu_op_take_handed(&pool, &list), a);
	ck_assert_ptr_null(evu_op_take_handed(&pool, &list));
}
END_TEST

START_TEST(test_reset_ends_every_op_in_flight)
{
	struct evu_op *a = armed(), *b = armed(), *c = armed();

	evu_op_orphan(b);
	b->state = EVU_OP_CANCELLING;
	evu_op_reset_all(&pool, lost);
	ck_assert_uint_eq(pool.in_flight, 0);
	ck_assert_int_eq(lost_calls, 2);
	ck_assert_ptr_eq(last_lost, &me);
	ck_assert_int_eq(calls, 0);
	ck_assert_int_eq(a->state | b->state | c->state, EVU_OP_IDLE);
}
END_TEST

START_TEST(test_after_a_reset_no_completion_of_before_counts)
{
	struct evu_op *op = armed();
	uint64_t old = evu_op_tag(op);

	evu_op_reset_all(&pool, lost);
	ck_assert_ptr_eq(armed(), op);
	evu_op_complete(&pool, old, 0, false);
	ck_assert_int_eq(calls, 0);
	ck_assert_uint_eq(pool.in_flight, 1);
}
END_TEST

START_TEST(test_reset_of_a_pool_that_was_never_used_is_nothing)
{
	evu_op_reset_all(&pool, lost);
	ck_assert_int_eq(lost_calls, 0);
	ck_assert_uint_eq(pool.nslabs, 0);
}
END_TEST

START_TEST(test_many_ops_have_tags_of_their_own_and_never_move)
{
	enum { N = 20 * EVU_OP_SLAB + 1 };
	static struct evu_op *ops[N];
	static uint64_t tags[N];
	int i;

	for (i = 0; i < N; i++) {
		ops[i] = armed();
		tags[i] = evu_op_tag(ops[i]);
	}
	ck_assert_uint_eq(pool.in_flight, N);
	for (i = 0; i < N; i++)
		ck_assert_ptr_eq(evu_op_find(&pool, tags[i]), ops[i]);
	for (i = 0; i < N; i++)
		evu_op_complete(&pool, tags[i], 0, false);
	ck_assert_int_eq(calls, N);
	ck_assert_uint_eq(pool.in_flight, 0);
}
END_TEST

START_TEST(test_without_memory_there_is_no_op_and_nothing_breaks)
{
	unsigned got[4];
	int good;

	for (good = 0; good < 4; good++) {
		fake_mem_install(good);
		for (got[good] = 0; evu_op_get(&pool, handler, &me); got[good]++)
			;
		fake_mem_install(-1);
		ck_assert_ptr_nonnull(evu_op_get(&pool, handler, &me));
		teardown();
		setup();
	}
	ck_assert_uint_eq(got[0], 0);
	ck_assert_uint_eq(got[1], 0);
	ck_assert_uint_eq(got[2], EVU_OP_SLAB);
	ck_assert_uint_eq(got[3], 2 * EVU_OP_SLAB);
}
END_TEST

START_TEST(test_what_was_reserved_is_there_when_memory_is_not)
{
	int i;

	ck_assert_int_eq(evu_op_reserve(&pool, 300), 0);
	fake_mem_install(0);
	ck_assert_int_eq(evu_op_reserve(&pool, 300), 0);
	for (i = 0; i < 300; i++)
		ck_assert_ptr_nonnull(evu_op_get(&pool, handler, &me));
	ck_assert_int_eq(evu_op_reserve(&pool, 300), -1);
}
END_TEST

static int armed_seen;

static void see_armed(struct evu_op *op, void *arg)
{
	ck_assert_ptr_eq(arg, &me);
	ck_assert_int_eq(op->state, EVU_OP_ARMED);
	armed_seen++;
	op->state = EVU_OP_CANCELLING;
}

START_TEST(test_each_armed_op_is_seen_and_may_be_cancelled)
{
	int i;

	for (i = 0; i < 200; i++)
		armed();
	evu_op_complete(&pool, evu_op_tag(armed()), 0, false);
	evu_op_each_armed(&pool, see_armed, &me);
	ck_assert_int_eq(armed_seen, 200);
	evu_op_each_armed(&pool, see_armed, &me);
	ck_assert_int_eq(armed_seen, 200);
	evu_op_reset_all(&pool, lost);
}
END_TEST

static Suite *op_suite(void)
{
	Suite *s = suite_create("op");
	TCase *tc = tcase_create("op");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_an_op_from_the_pool_is_idle);
	tcase_add_test(tc, test_an_armed_op_is_in_flight_and_found_by_its_tag);
	tcase_add_test(tc, test_a_tag_is_never_zero);
	tcase_add_test(tc, test_a_completion_with_more_leaves_the_op_armed);
	tcase_add_test(tc, test_the_last_completion_gives_the_op_back);
	tcase_add_test(tc, test_a_completion_of_an_earlier_life_is_ignored);
	tcase_add_test(tc, test_a_completion_of_an_idle_op_is_ignored);
	tcase_add_test(tc, test_tags_that_never_were_are_ignored);
	tcase_add_test(tc, test_an_orphan_ends_without_its_handler);
	tcase_add_test(tc, test_a_cancelling_op_waits_for_its_last_completion);
	tcase_add_test(tc, test_an_op_that_was_refused_stays_its_owners);
	tcase_add_test(tc, test_a_handler_that_arms_gets_another_op_than_the_one_that_ends);
	tcase_add_test(tc, test_a_handed_op_is_taken_once);
	tcase_add_test(tc, test_all_ops_that_were_handed_are_taken);
	tcase_add_test(
	    tc, test_a_handed_op_that_ends_by_itself_returns_to_the_pool_when_the_list_is_read);
	tcase_add_test(tc, test_one_handed_op_that_ended_does_not_hide_the_others);
	tcase_add_test(tc, test_reset_ends_every_op_in_flight);
	tcase_add_test(tc, test_after_a_reset_no_completion_of_before_counts);
	tcase_add_test(tc, test_reset_of_a_pool_that_was_never_used_is_nothing);
	tcase_add_test(tc, test_many_ops_have_tags_of_their_own_and_never_move);
	tcase_add_test(tc, test_without_memory_there_is_no_op_and_nothing_breaks);
	tcase_add_test(tc, test_what_was_reserved_is_there_when_memory_is_not);
	tcase_add_test(tc, test_each_armed_op_is_seen_and_may_be_cancelled);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	SRunner *sr = srunner_create(op_suite());
	int failed;

	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
