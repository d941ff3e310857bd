/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_recv_bulk.c - receiving into large blocks what fills one block after the other, on the fake
 * ring: when it begins, when it ends, and what happens without them.
 */
#include "data_turns.h"

static struct evu_intake *a;
static char bytes[EVU_BULK_SIZE];

static void come(unsigned len, bool nonempty, bool more)
{
	fake_post_bytes(fake_req(A), bytes, len, nonempty, more);
}

/* How many bytes wait; they are given back. */
static size_t took(void)
{
	struct evu_item *item = evu_intake_take(a), *i;
	size_t n = 0;

	for (i = item; i; i = i->next)
		n += i->end - i->start;
	give(item);
	return n;
}

/* Full blocks with more behind them. */
static void fill_blocks(int n)
{
	while (n-- > 0) {
		come(EVU_BLOCK_SIZE, true, true);
		turn();
		ck_assert_uint_eq(took(), EVU_BLOCK_SIZE);
	}
}

/* Until the cancel has come back and it is armed anew. */
static void settle_down(void)
{
	turn();
	turn();
	ck_assert_ptr_nonnull(fake_req(A));
}

static struct evu_intake *in_bulk(void)
{
	a = receiving(A);
	fill_blocks(4);
	settle_down();
	ck_assert(fake_req(A)->bulk);
	return a;
}

START_TEST(test_what_fills_blocks_is_received_into_large_ones)
{
	struct evu_item *item;

	a = receiving(A);
	fill_blocks(3);
	settle_down();
	ck_assert(!fake_req(A)->bulk);
	ck_assert_uint_eq(fake.cancels, 0);
	fill_blocks(1);
	settle_down();
	ck_assert(fake_req(A)->bulk && fake_req(A)->now);
	ck_assert_uint_eq(fake.cancels, 1);
	memset(bytes, 'x', sizeof(bytes));
	come(EVU_BULK_SIZE, true, true);
	turn();
	item = evu_intake_take(a);
	ck_assert(item->bulk);
	ck_assert_uint_eq(item->end - item->start, EVU_BULK_SIZE);
	ck_assert_mem_eq(item->data, bytes, sizeof(bytes));
	give(item);
}
END_TEST

START_TEST(test_full_blocks_with_nothing_behind_are_no_bulk)
{
	int i;

	a = receiving(A);
	for (i = 0; i < 50; i++) {
		come(EVU_BLOCK_SIZE, false, true);
		turn();
		come(EVU_BLOCK_SIZE - 1, true, true);
		turn();
		(void)took();
	}
	settle_down();
	ck_assert(!fake_req(A)->bulk);
	ck_assert_uint_eq(fake.cancels, 0);
}
END_TEST

START_TEST(test_what_comes_before_the_cancel_is_kept_in_order)
{
	struct evu_item *item;

	a = receiving(A);
	fill_blocks(3);
	fake.cancel_by_hand = true;
	come(EVU_BLOCK_SIZE, true, true);
	turn();
	turn();
	bytes[0] = '1';
	fake_post_bytes(fake_cancelled(A), bytes, 1, true, true);
	fake_end_cancelled(A, -ECANCELED);
	turn();
	turn();
	ck_assert(fake_req(A)->bulk);
	bytes[0] = '2';
	come(EVU_BULK_SIZE, false, true);
	turn();
	item = evu_intake_take(a);
	ck_assert_uint_eq(item->end, EVU_BLOCK_SIZE);
	ck_assert_uint_eq(item->next->end, 1);
	ck_assert_int_eq(*(char *)item->next->data, '1');
	ck_assert_int_eq(*(char *)item->next->next->data, '2');
	give(item);
}
END_TEST

static void come_and_go(unsigned len, int times)
{
	while (times-- > 0) {
		come(len, false, true);
		turn();
		ck_assert_uint_eq(took(), len);
		turn();
	}
}

START_TEST(test_large_blocks_with_little_in_them_are_given_up)
{
	a = in_bulk();
	come_and_go(EVU_BLOCK_SIZE, 15);
	come_and_go(EVU_BLOCK_SIZE + 1, 1);
	come_and_go(1, 15);
	settle_down();
	ck_assert(fake_req(A)->bulk);
	ck_assert_uint_eq(fake.cancels, 1);
	come_and_go(1, 1);
	settle_down();
	ck_assert(!fake_req(A)->bulk);
	ck_assert_uint_eq(fake.cancels, 2);
}
END_TEST

/* There is one large block here. */
START_TEST(test_without_a_large_block_it_goes_on_with_the_next_turn)
{
	a = in_bulk();
	come(EVU_BULK_SIZE, true, true);
	fake_complete(A, -ENOBUFS, false);
	turn();
	ck_assert_int_eq(a->end, 0);
	ck_assert_uint_eq(took(), EVU_BULK_SIZE);
	ck_assert_ptr_null(fake_req(A));
	turn();
	ck_assert(fake_req(A)->bulk && fake_req(A)->now);
	come(10, false, true);
	turn();
	ck_assert_uint_eq(took(), 10);
}
END_TEST

START_TEST(test_with_a_cap_there_are_no_large_blocks)
{
	a = in_bulk();
	evu_intake_start(a, A, 100);
	settle_down();
	ck_assert(!fake_req(A)->bulk);
	ck_assert_uint_eq(fake_req(A)->cap, 100);
	come(100, true, false);
	turn();
	ck_assert_uint_eq(took(), 100);
	evu_intake_start(a, A, 0);
	turn();
	ck_assert(fake_req(A)->bulk);
}
END_TEST

START_TEST(test_a_ring_without_large_blocks_is_not_asked)
{
	fake_engine_done(e);
	fake.no_bulk = true;
	e = fake_engine(FAKE_ALL_METHODS);
	a = receiving(A);
	fill_blocks(20);
	settle_down();
	ck_assert(!fake_req(A)->bulk);
	ck_assert_uint_eq(fake.cancels, 0);
}
END_TEST

/* The kernel has no second ring for it, or there is no memory for one, or for blocks. */
START_TEST(test_what_cannot_have_large_blocks_goes_on_with_the_others)
{
	a = receiving(A);
	fill_blocks(3);
	if (_i == 0)
		fake.refuse_buffers = (struct fake_refusal){-ENOMEM, -1, 0};
	come(EVU_BLOCK_SIZE, true, true);
	turn();
	(void)took();
	turn();
	fake_log.refuse_block = (struct fake_refusal){-ENOMEM, _i == 1 ? -1 : 0, 0};
	if (_i == 2)
		fake_mem_install(0);
	turn();
	fake_mem_install(-1);
	ck_assert_ptr_nonnull(fake_req(A));
	ck_assert(!fake_req(A)->bulk);
	fill_blocks(20);
	ck_assert_uint_eq(fake.cancels, 1);
}
END_TEST

START_TEST(test_the_next_ring_has_large_blocks_as_well)
{
	a = in_bulk();
	ck_assert_uint_eq(fake.registrations, 2);
	ck_assert_int_eq(evu_engine_reinit(e), 0);
	turn();
	ck_assert_uint_eq(fake.registrations, 3);
	ck_assert(fake_req(A)->bulk);
	ck_assert_uint_eq(fake.bulks.nqueue, 1);
	come(EVU_BULK_SIZE, false, true);
	turn();
	ck_assert_uint_eq(took(), EVU_BULK_SIZE);
}
END_TEST

START_TEST(test_large_blocks_that_the_embedder_keeps_are_replaced)
{
	struct evu_item *item;
	int i;

	a = in_bulk();
	for (i = 0; i < 40; i++) {
		come(EVU_BULK_SIZE, true, true);
		turn();
		item = evu_intake_take(a);
		fake_block_free(item->data);
		item->data = NULL;
		give(item);
		turn();
		ck_assert_uint_eq(fake.bulks.nqueue, 1);
	}
}
END_TEST

START_TEST(test_there_are_more_large_blocks_when_they_ran_out_but_not_many)
{
	unsigned want = EVU_BULKS_FIRST;
	int i;

	fake_engine_done(e);
	unsetenv("EVENT_URING_BUFFERS");
	e = fake_engine(FAKE_ALL_METHODS);
	a = in_bulk();
	for (i = 0; i < 5; i++) {
		ck_assert_uint_eq(fake.bulks.nqueue, want);
		while (fake.bulks.nqueue)
			come(EVU_BLOCK_SIZE + 1, true, true);
		fake_complete(A, -ENOBUFS, false);
		turn();
		(void)took();
		evu_intake_start(a, A, 0);
		turn();
		want = want < EVU_BULKS_MOST ? want * 2 : want;
	}
	ck_assert_uint_eq(want, EVU_BULKS_MOST);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("recv_bulk");
	TCase *tc = tcase_create("bulk");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_what_fills_blocks_is_received_into_large_ones);
	tcase_add_test(tc, test_full_blocks_with_nothing_behind_are_no_bulk);
	tcase_add_test(tc, test_what_comes_before_the_cancel_is_kept_in_order);
	tcase_add_test(tc, test_large_blocks_with_little_in_them_are_given_up);
	tcase_add_test(tc, test_without_a_large_block_it_goes_on_with_the_next_turn);
	tcase_add_test(tc, test_with_a_cap_there_are_no_large_blocks);
	tcase_add_test(tc, test_a_ring_without_large_blocks_is_not_asked);
	tcase_add_loop_test(tc, test_what_cannot_have_large_blocks_goes_on_with_the_others, 0, 3);
	tcase_add_test(tc, test_the_next_ring_has_large_blocks_as_well);
	tcase_add_test(tc, test_large_blocks_that_the_embedder_keeps_are_replaced);
	tcase_add_test(tc, test_there_are_more_large_blocks_when_they_ran_out_but_not_many);
	suite_add_tcase(s, tc);
	return data_suite_run(s);
}
