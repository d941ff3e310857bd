/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_recv.c - receiving, on the fake ring: what comes in and in which order, how a receive ends
 * and goes on, halting and starting, the pool of buffers. (Caps: check_recv_cap.c. Lost rings,
 * threads and processes: check_recv_lost.c.)
 */
#include "data_turns.h"

static struct evu_intake *a;

/* ---- what comes in */

START_TEST(test_nothing_reaches_the_ring_before_the_next_turn)
{
	a = started(EVU_RECV, A);
	ck_assert_uint_eq(fake.arms, 0);
	ck_assert(!evu_request_over(&a->req));
	turn();
	ck_assert(fake_req(A)->seen);
	ck_assert_int_eq(fake_req(A)->moves, EVU_RECV);
}
END_TEST

START_TEST(test_bytes_arrive_in_order_over_many_completions)
{
	int i;

	a = receiving(A);
	for (i = 0; i < 10; i++) {
		fake_bytes(A, "abc", true);
		fake_bytes(A, "d", true);
		turn();
		ck_assert_int_eq(fake_arrived(a), 2);
		ck_assert_str_eq(taken(a), "abcd");
		ck_assert(!evu_intake_pending(a));
	}
	ck_assert_uint_eq(fake.arms, 2); /* its own, and the eventfd's */
}
END_TEST

START_TEST(test_bytes_that_are_not_taken_wait_in_order)
{
	a = receiving(A);
	fake_bytes(A, "1", true);
	turn();
	fake_bytes(A, "2", true);
	fake_bytes(A, "3", true);
	turn();
	ck_assert_str_eq(taken(a), "123");
	ck_assert_ptr_null(evu_intake_take(a));
}
END_TEST

START_TEST(test_each_intake_gets_its_own_bytes)
{
	struct evu_intake *b;

	a = receiving(A);
	b = receiving(B);
	fake_bytes(A, "a1", true);
	fake_bytes(B, "b1", true);
	fake_bytes(A, "a2", true);
	turn();
	ck_assert_str_eq(taken(a), "a1a2");
	ck_assert_str_eq(taken(b), "b1");
}
END_TEST

START_TEST(test_a_full_buffer_arrives_whole)
{
	static char block[EVU_BLOCK_SIZE];
	struct evu_item *item;

	memset(block, 'x', sizeof(block));
	a = receiving(A);
	fake_post_bytes(fake_req(A), block, sizeof(block), false, true);
	turn();
	item = evu_intake_take(a);
	ck_assert_uint_eq(item->end - item->start, EVU_BLOCK_SIZE);
	ck_assert_int_eq(item->fd, -1);
	ck_assert_mem_eq(item->data, block, sizeof(block));
	give(item);
}
END_TEST

START_TEST(test_what_is_put_back_comes_first_again)
{
	struct evu_item *item, *rest;

	a = receiving(A);
	fake_bytes(A, "12", true);
	fake_bytes(A, "34", true);
	fake_bytes(A, "56", true);
	turn();
	item = evu_intake_take(a);
	rest = item->next;
	item->next = NULL;
	give(item);
	rest->start++;
	evu_intake_put_back(a, rest);
	turn();
	fake_bytes(A, "78", true);
	turn();
	ck_assert_str_eq(taken(a), "45678");
}
END_TEST

START_TEST(test_what_is_put_back_stands_before_what_came_meanwhile)
{
	struct evu_item *item;

	a = receiving(A);
	fake_bytes(A, "1", true);
	fake_bytes(A, "2", true);
	turn();
	item = evu_intake_take(a);
	fake_bytes(A, "3", true);
	turn();
	evu_intake_put_back(a, item);
	fake_bytes(A, "4", true);
	turn();
	ck_assert_str_eq(taken(a), "1234");
}
END_TEST

START_TEST(test_put_back_into_an_empty_queue_leaves_room_at_its_end)
{
	a = receiving(A);
	fake_bytes(A, "1", true);
	turn();
	evu_intake_put_back(a, evu_intake_take(a));
	fake_bytes(A, "2", true);
	turn();
	ck_assert_str_eq(taken(a), "12");
}
END_TEST

/* ---- how it ends */

START_TEST(test_the_end_is_told_behind_the_data)
{
	a = receiving(A);
	fake_bytes(A, "last", true);
	fake_complete(A, 0, false);
	turn();
	ck_assert_int_eq(a->end, EVU_END_OF_FILE);
	ck_assert(evu_request_over(&a->req));
	ck_assert_str_eq(taken(a), "last");
	ck_assert(evu_intake_pending(a));
	turn();
	ck_assert_ptr_null(fake_req(A));
	ck_assert_int_eq(fake_arrived(a), 0);
}
END_TEST

START_TEST(test_an_error_is_told_once_and_behind_the_data)
{
	static const int errors[] = {-ECONNRESET, -ETIMEDOUT, -EINVAL, -ENOTSOCK};

	a = receiving(A);
	fake_bytes(A, "x", true);
	turn();
	fake_complete(A, errors[_i], false);
	turn();
	ck_assert_int_eq(fake_arrived(a), 1);
	ck_assert_int_eq(a->end, errors[_i]);
	ck_assert_str_eq(taken(a), "x");
	turn();
	ck_assert_int_eq(fake_arrived(a), 0);
	ck_assert_int_eq(fake_live(), 0);
}
END_TEST

START_TEST(test_after_an_end_starting_does_nothing_until_it_is_cleared)
{
	a = receiving(A);
	fake_complete(A, -ECONNRESET, false);
	turn();
	evu_intake_start(a, A, 0);
	turn();
	ck_assert_ptr_null(fake_req(A));
	a->end = 0;
	evu_intake_start(a, A, 0);
	turn();
	ck_assert_ptr_nonnull(fake_req(A));
}
END_TEST

/* The completion queue overflowed, or the kernel had other reasons. */
START_TEST(test_an_end_without_a_reason_is_armed_again)
{
	a = receiving(A);
	fake_bytes(A, "1", true);
	fake_bytes(A, "2", false);
	turn();
	ck_assert_int_eq(a->end, 0);
	turn();
	fake_bytes(A, "3", true);
	turn();
	ck_assert_str_eq(taken(a), "123");
}
END_TEST

START_TEST(test_an_interruption_is_armed_again_and_not_told)
{
	static const int errors[] = {-ECANCELED, -EINTR, -EAGAIN};

	a = receiving(A);
	fake_complete(A, errors[_i], false);
	turn();
	ck_assert_int_eq(fake_arrived(a), 0);
	turn();
	ck_assert_ptr_nonnull(fake_req(A));
	ck_assert_int_eq(a->end, 0);
}
END_TEST

START_TEST(test_it_waits_first_unless_the_socket_held_more)
{
	a = receiving(A);
	ck_assert(!fake_req(A)->now);
	fake_post_bytes(fake_req(A), "x", 1, true, false);
	turn();
	turn();
	ck_assert(fake_req(A)->now);
	fake_bytes(A, "y", false);
	turn();
	turn();
	ck_assert(!fake_req(A)->now);
}
END_TEST

/* A kernel may have taken a buffer for what then was the end, or nothing. */
START_TEST(test_a_buffer_that_comes_back_empty_is_used_again)
{
	struct evu_item *item;
	struct fake_cqe *c;

	a = receiving(A);
	fake_bytes(A, "x", false);
	c = &fake.cqes[fake.ncqes - 1];
	c->res = _i ? -ECONNRESET : 0;
	turn();
	ck_assert_int_eq(a->end, _i ? -ECONNRESET : EVU_END_OF_FILE);
	ck_assert_ptr_null(evu_intake_take(a));
	turn();
	ck_assert_uint_eq(fake.nqueue, POOL);
	item = e->items.spare[false];
	ck_assert_ptr_null(item);
	ck_assert_uint_eq(fake_log.blocks_asked, POOL);
}
END_TEST

/* ---- the pool runs dry */

START_TEST(test_running_dry_is_told_behind_the_data_and_the_pool_is_filled_again)
{
	int i;

	a = receiving(A);
	for (i = 0; i < POOL; i++)
		fake_bytes(A, "d", true);
	fake_complete(A, -ENOBUFS, false);
	turn();
	ck_assert_int_eq(a->end, -ENOBUFS);
	ck_assert_str_eq(taken(a), "dddd");
	a->end = 0;
	evu_intake_start(a, A, 0);
	turn();
	ck_assert_uint_eq(fake.nqueue, POOL);
	fake_bytes(A, "e", true);
	turn();
	ck_assert_str_eq(taken(a), "e");
}
END_TEST

START_TEST(test_a_fixed_pool_does_not_grow)
{
	again_with("2");
	a = receiving(A);
	ck_assert_uint_eq(fake.entries, 2);
	fake_bytes(A, "1", true);
	fake_bytes(A, "2", true);
	fake_complete(A, -ENOBUFS, false);
	turn();
	ck_assert_str_eq(taken(a), "12");
	turn();
	ck_assert_uint_eq(fake.nqueue, 2);
}
END_TEST

START_TEST(test_two_buffers_carry_any_number_of_bytes)
{
	char want[601] = "", byte[2] = "a";
	int i;

	again_with("2");
	a = receiving(A);
	for (i = 0; i < 600; i++) {
		byte[0] = (char)('a' + i % 26);
		want[i] = byte[0];
		if (!fake_req(A))
			turn();
		fake_bytes(A, byte, fake.nqueue > 1);
		if (fake.nqueue == 0)
			turn();
	}
	turn();
	ck_assert_str_eq(taken(a), want);
}
END_TEST

static void run_dry(struct evu_intake *in, int fd)
{
	while (fake.nqueue)
		fake_bytes(fd, "x", true);
	fake_complete(fd, -ENOBUFS, false);
	turn();
	ck_assert_int_eq(in->end, -ENOBUFS);
	give(evu_intake_take(in));
	in->end = 0;
	evu_intake_start(in, fd, 0);
	turn();
}

START_TEST(test_the_pool_grows_when_it_ran_dry_and_not_for_ever)
{
	unsigned want;

	again_with(NULL);
	a = receiving(A);
	ck_assert_uint_eq(fake.entries, EVU_BUFFERS_MOST);
	for (want = EVU_BUFFERS_FIRST; want < EVU_BUFFERS_MOST; want *= 2) {
		ck_assert_uint_eq(fake.nqueue, want);
		run_dry(a, A);
	}
	ck_assert_uint_eq(fake.nqueue, EVU_BUFFERS_MOST);
	run_dry(a, A);
	ck_assert_uint_eq(fake.nqueue, EVU_BUFFERS_MOST);
	ck_assert_int_eq(fake_log.nblocks, EVU_BUFFERS_MOST);
}
END_TEST

START_TEST(test_odd_wishes_for_the_pool_are_met_as_well_as_can_be)
{
	static const struct {
		const char *asked;
		unsigned entries, buffers;
	} wishes[] = {{"1", 1, 1}, {"3", 4, 3}, {"1000", 1024, 1000}, {"99999", 1024, 1024},
	    {"0", 1024, 64}, {"-5", 1024, 64}, {"many", 1024, 64}};

	again_with(wishes[_i].asked);
	a = receiving(A);
	ck_assert_uint_eq(fake.entries, wishes[_i].entries);
	ck_assert_uint_eq(fake.nqueue, wishes[_i].buffers);
}
END_TEST

START_TEST(test_what_is_given_back_is_used_again_last_in_first_out)
{
	void *data;
	int i;

	a = receiving(A);
	for (i = 0; i < 100; i++) {
		struct evu_item *item;

		fake_bytes(A, "x", true);
		turn();
		item = evu_intake_take(a);
		data = item->data;
		give(item);
		ck_assert_ptr_eq(e->items.spare[false]->data, data);
		turn();
	}
	ck_assert_int_le(fake_log.nblocks, POOL + 1);
}
END_TEST

START_TEST(test_an_embedder_that_keeps_every_block_starves_nobody)
{
	enum { N = 300 };
	static void *kept[N];
	int i;

	a = receiving(A);
	for (i = 0; i < N; i++) {
		struct evu_item *item;

		fake_bytes(A, "keep", true);
		turn();
		item = evu_intake_take(a);
		kept[i] = item->data;
		item->data = NULL;
		give(item);
		turn();
		ck_assert_uint_eq(fake.nqueue, POOL);
	}
	for (i = 0; i < N; i++) {
		ck_assert_mem_eq(kept[i], "keep", 4);
		fake_block_free(kept[i]);
	}
	ck_assert_int_le(fake_log.nblocks, POOL + 1);
}
END_TEST

START_TEST(test_what_lies_in_a_queue_takes_no_buffer_from_others)
{
	struct evu_intake *b;
	int i;

	a = receiving(A);
	b = receiving(B);
	for (i = 0; i < 50; i++) {
		fake_bytes(A, "x", true);
		turn();
		turn();
		ck_assert_uint_eq(fake.nqueue, POOL);
	}
	fake_bytes(B, "y", true);
	turn();
	ck_assert_str_eq(taken(b), "y");
	ck_assert_uint_eq(strlen(taken(a)), 50);
}
END_TEST

/* ---- halting and starting */

START_TEST(test_started_and_halted_before_the_flush_reaches_nobody)
{
	a = started(EVU_RECV, A);
	evu_request_halt(&a->req);
	ck_assert(evu_request_over(&a->req));
	turn();
	ck_assert_uint_eq(fake.arms, 1); /* the eventfd's */
}
END_TEST

START_TEST(test_halted_and_started_before_the_flush_reaches_nobody)
{
	int i;

	a = receiving(A);
	for (i = 0; i < 5; i++) {
		evu_request_halt(&a->req);
		evu_request_halt(&a->req);
		evu_intake_start(a, A, 0);
		evu_intake_start(a, A, 0);
	}
	turn();
	ck_assert_uint_eq(fake.cancels, 0);
	ck_assert_uint_eq(fake.arms, 2);
	fake_bytes(A, "x", true);
	turn();
	ck_assert_str_eq(taken(a), "x");
}
END_TEST

START_TEST(test_halting_reaches_the_kernel_with_the_next_entry)
{
	a = receiving(A);
	evu_request_halt(&a->req);
	ck_assert_uint_eq(fake.cancels, 0);
	ck_assert(!evu_request_over(&a->req));
	turn();
	ck_assert_uint_eq(fake.cancels, 1);
	ck_assert(evu_request_over(&a->req));
	ck_assert_int_eq(fake_arrived(a), 0);
	turn();
	ck_assert_uint_eq(fake.arms, 2);
}
END_TEST

START_TEST(test_halting_needs_no_entry_of_its_own)
{
	a = receiving(A);
	evu_request_halt(&a->req);
	ck_assert(!evu_engine_unsettled(e));
	settle();
	ck_assert_uint_eq(fake.flushes, 0);
}
END_TEST

START_TEST(test_dropping_takes_effect_with_settle)
{
	a = receiving(A);
	evu_request_drop(&a->req);
	ck_assert(evu_engine_unsettled(e));
	settle();
	ck_assert_uint_eq(fake.flushes, 1);
	ck_assert(evu_request_over(&a->req));
	ck_assert_int_eq(fake_live(), 0);
}
END_TEST

START_TEST(test_dropping_what_was_never_armed_has_nothing_to_settle)
{
	a = started(EVU_RECV, A);
	evu_request_drop(&a->req);
	ck_assert(evu_request_over(&a->req));
	ck_assert(!evu_engine_unsettled(e));
}
END_TEST

START_TEST(test_what_is_halted_only_is_cancelled_when_anything_is_settled)
{
	struct evu_intake *b;

	a = receiving(A);
	b = receiving(B);
	evu_request_halt(&a->req);
	evu_request_drop(&b->req);
	settle();
	ck_assert_uint_eq(fake.cancels, 2);
	ck_assert(evu_request_over(&a->req));
}
END_TEST

START_TEST(test_a_poll_that_is_dropped_settles_what_is_halted_as_well)
{
	struct evu_poll p;

	a = receiving(A);
	evu_poll_init(&p, e, B);
	ck_assert_int_eq(evu_poll_want(&p, POLLIN, EVU_LEVEL, true), 0);
	turn();
	evu_request_halt(&a->req);
	evu_poll_drop(&p);
	settle();
	ck_assert_uint_eq(fake.cancels, 2);
	ck_assert(evu_request_over(&a->req));
}
END_TEST

START_TEST(test_data_that_comes_before_the_cancel_took_effect_is_kept)
{
	a = receiving(A);
	fake.cancel_by_hand = true;
	evu_request_halt(&a->req);
	turn();
	fake_post_bytes(fake_cancelled(A), "kept", 4, false, true);
	fake_end_cancelled(A, -ECANCELED);
	turn();
	ck_assert(evu_request_over(&a->req));
	ck_assert_int_eq(fake_arrived(a), 1);
	ck_assert_str_eq(taken(a), "kept");
	ck_assert_int_eq(a->end, 0);
	turn();
	ck_assert_ptr_null(fake_req(A));
}
END_TEST

START_TEST(test_data_may_be_the_last_completion_of_what_was_cancelled)
{
	a = receiving(A);
	fake.cancel_by_hand = true;
	evu_request_halt(&a->req);
	turn();
	fake_post_bytes(fake_cancelled(A), "kept", 4, true, false);
	turn();
	ck_assert(evu_request_over(&a->req));
	ck_assert_str_eq(taken(a), "kept");
	evu_intake_start(a, A, 0);
	turn();
	ck_assert(fake_req(A)->now);
}
END_TEST

/* Completed before the halt, reaped after it: the cancel finds nothing. */
START_TEST(test_a_cancel_that_comes_too_late_harms_nobody)
{
	a = receiving(A);
	fake_bytes(A, "1", false);
	evu_request_halt(&a->req);
	turn();
	ck_assert(evu_request_over(&a->req));
	ck_assert_int_eq(fake_live(), 0);
	ck_assert_str_eq(taken(a), "1");
	evu_intake_start(a, A, 0);
	turn();
	ck_assert_ptr_nonnull(fake_req(A));
}
END_TEST

START_TEST(test_an_end_that_comes_after_the_halt_is_told_as_well)
{
	static const int ends[] = {0, -ECONNRESET};

	a = receiving(A);
	fake.cancel_by_hand = true;
	evu_request_halt(&a->req);
	turn();
	fake_end_cancelled(A, ends[_i]);
	turn();
	ck_assert_int_eq(a->end, ends[_i] ? ends[_i] : EVU_END_OF_FILE);
	ck_assert(evu_request_over(&a->req));
}
END_TEST

START_TEST(test_started_before_its_cancelled_request_has_ended_it_is_armed_again)
{
	a = receiving(A);
	fake.cancel_by_hand = true;
	evu_request_halt(&a->req);
	turn();
	evu_intake_start(a, A, 0);
	turn();
	ck_assert_ptr_null(fake_req(A));
	fake_post_bytes(fake_cancelled(A), "1", 1, false, true);
	fake_end_cancelled(A, -ECANCELED);
	turn();
	turn();
	fake_bytes(A, "2", true);
	turn();
	ck_assert_str_eq(taken(a), "12");
	ck_assert_uint_eq(fake.arms, 3);
}
END_TEST

START_TEST(test_started_and_halted_again_while_it_is_cancelled_it_stays_halted)
{
	a = receiving(A);
	fake.cancel_by_hand = true;
	evu_request_halt(&a->req);
	turn();
	evu_intake_start(a, A, 0);
	evu_request_halt(&a->req);
	fake_end_cancelled(A, -ECANCELED);
	turn();
	turn();
	ck_assert(evu_request_over(&a->req));
	ck_assert_uint_eq(fake.cancels, 1);
	ck_assert_ptr_null(fake_req(A));
}
END_TEST

START_TEST(test_dropping_what_is_being_cancelled_has_to_be_settled)
{
	a = receiving(A);
	fake.cancel_by_hand = true;
	evu_request_halt(&a->req);
	turn();
	evu_request_drop(&a->req);
	ck_assert(evu_engine_unsettled(e));
	fake.cancel_by_hand = false;
	settle();
	ck_assert(evu_request_over(&a->req));
	ck_assert_uint_eq(fake.cancels, 1);
}
END_TEST

START_TEST(test_what_ended_while_it_was_halting_is_not_cancelled)
{
	a = receiving(A);
	fake_bytes(A, "x", false);
	evu_request_halt(&a->req);
	fake.ring->ops->reap(fake.ring);
	ck_assert(evu_request_over(&a->req));
	turn();
	ck_assert_uint_eq(fake.cancels, 0);
}
END_TEST

START_TEST(test_it_may_be_started_on_another_fd_after_it_was_over)
{
	a = receiving(A);
	fake_bytes(A, "a", true);
	evu_request_drop(&a->req);
	settle();
	evu_intake_start(a, B, 0);
	turn();
	fake_bytes(B, "b", true);
	turn();
	ck_assert_str_eq(taken(a), "ab");
}
END_TEST

static void halt_it(struct evu_intake *in)
{
	evu_request_halt(&in->req);
}

/* Two completions in one reap; the hook gives up after the first. */
START_TEST(test_halted_by_the_hook_it_still_takes_what_was_reaped_with_it)
{
	a = receiving(A);
	fake_log.on_arrived = halt_it;
	fake_bytes(A, "1", true);
	fake_bytes(A, "2", true);
	turn();
	ck_assert_str_eq(taken(a), "12");
	turn();
	ck_assert(evu_request_over(&a->req));
	ck_assert_uint_eq(fake.cancels, 1);
}
END_TEST

/* ---- refusals and memory */

START_TEST(test_what_cannot_be_armed_now_is_tried_again_soon)
{
	static const int errors[] = {-EBUSY, -ENOMEM, -EAGAIN};

	a = started(EVU_RECV, A);
	fake.refuse_recv = (struct fake_refusal){errors[_i], 2, 0};
	turn_of(-1);
	ck_assert_int_gt(fake.last_timeout_ns, 0);
	ck_assert_int_lt(fake.last_timeout_ns, 1000000000);
	ck_assert_int_eq(fake_arrived(a), 0);
	turn();
	ck_assert_ptr_null(fake_req(A));
	turn();
	ck_assert_ptr_nonnull(fake_req(A));
	turn_of(-1);
	ck_assert_int_eq(fake.last_timeout_ns, -1);
}
END_TEST

START_TEST(test_a_kernel_without_rings_of_buffers_ends_it)
{
	a = started(EVU_RECV, A);
	fake.refuse_buffers = (struct fake_refusal){-EINVAL, -1, 0};
	turn();
	ck_assert_int_eq(fake_arrived(a), 1);
	ck_assert_int_eq(a->end, -EOPNOTSUPP);
	ck_assert(evu_request_over(&a->req));
	turn();
	ck_assert_int_eq(fake_arrived(a), 0);
}
END_TEST

START_TEST(test_a_ring_that_does_not_receive_says_so_once)
{
	fake_engine_done(e);
	fake.no_moves = 1u << EVU_RECV;
	e = fake_engine(FAKE_ALL_METHODS);
	ck_assert(!evu_engine_moves_data(e, EVU_RECV));
	ck_assert(evu_engine_moves_data(e, EVU_SEND));
	a = started(EVU_RECV, A);
	turn();
	ck_assert_int_eq(fake_arrived(a), 1);
	ck_assert_int_eq(a->end, -EOPNOTSUPP);
	turn();
	ck_assert_int_eq(fake_arrived(a), 0);
}
END_TEST

/* Fewer blocks than the kernel shall have, or none: ENOBUFS makes the embedder read by itself. */
START_TEST(test_without_memory_for_blocks_the_kernel_has_fewer_and_later_all)
{
	a = started(EVU_RECV, A);
	fake_log.refuse_block = (struct fake_refusal){-ENOMEM, -1, _i};
	turn();
	ck_assert_uint_eq(fake.nqueue, (unsigned)_i);
	ck_assert_ptr_nonnull(fake_req(A));
	while (fake.nqueue)
		fake_bytes(A, "x", true);
	fake_complete(A, -ENOBUFS, false);
	turn();
	ck_assert_int_eq(a->end, -ENOBUFS);
	ck_assert_uint_eq(strlen(taken(a)), (unsigned)_i);
	fake_log.refuse_block.times = 0;
	a->end = 0;
	evu_intake_start(a, A, 0);
	turn();
	ck_assert_uint_eq(fake.nqueue, POOL);
}
END_TEST

START_TEST(test_without_memory_of_any_kind_nothing_is_lost)
{
	int good, turns;

	for (good = 0; good < 12; good++) {
		again_with("4");
		a = started(EVU_RECV, A);
		fake_mem_install(good);
		for (turns = 0; turns < 5; turns++)
			turn();
		if (fake_req(A) && fake.nqueue) {
			fake_bytes(A, "1", true);
			turn();
		}
		fake_mem_install(-1);
		turn();
		ck_assert_ptr_nonnull(fake_req(A));
		turn();
		fake_bytes(A, "2", true);
		turn();
		ck_assert_int_eq(a->end, 0);
		ck_assert_ptr_nonnull(strchr(taken(a), '2'));
	}
}
END_TEST

/* A slab of ops holds 128. */
START_TEST(test_when_ops_run_out_those_that_wait_are_armed_later)
{
	enum { N = MAX_REQUESTS };
	int i, n, round;

	for (round = 0; round < 2; round++) {
		n = 0;
		for (i = 0; i < N; i++)
			started(EVU_RECV, 2000 + i);
		fake_mem_install(2);
		turn();
		turn();
		for (i = 0; i < N; i++)
			n += fake_req(2000 + i) != NULL;
		ck_assert_int_le(n, N);
		fake_mem_install(-1);
		turn();
		for (i = 0; i < N; i++)
			ck_assert_ptr_nonnull(fake_req(2000 + i));
		again_with("4");
	}
}
END_TEST

static TCase *in_case(void)
{
	TCase *tc = tcase_create("what comes in");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_nothing_reaches_the_ring_before_the_next_turn);
	tcase_add_test(tc, test_bytes_arrive_in_order_over_many_completions);
	tcase_add_test(tc, test_bytes_that_are_not_taken_wait_in_order);
	tcase_add_test(tc, test_each_intake_gets_its_own_bytes);
	tcase_add_test(tc, test_a_full_buffer_arrives_whole);
	tcase_add_test(tc, test_what_is_put_back_comes_first_again);
	tcase_add_test(tc, test_what_is_put_back_stands_before_what_came_meanwhile);
	tcase_add_test(tc, test_put_back_into_an_empty_queue_leaves_room_at_its_end);
	return tc;
}

static TCase *end_case(void)
{
	TCase *tc = tcase_create("how it ends");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_the_end_is_told_behind_the_data);
	tcase_add_loop_test(tc, test_an_error_is_told_once_and_behind_the_data, 0, 4);
	tcase_add_test(tc, test_after_an_end_starting_does_nothing_until_it_is_cleared);
	tcase_add_test(tc, test_an_end_without_a_reason_is_armed_again);
	tcase_add_loop_test(tc, test_an_interruption_is_armed_again_and_not_told, 0, 3);
	tcase_add_test(tc, test_it_waits_first_unless_the_socket_held_more);
	tcase_add_loop_test(tc, test_a_buffer_that_comes_back_empty_is_used_again, 0, 2);
	return tc;
}

static TCase *pool_case(void)
{
	TCase *tc = tcase_create("the pool");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_running_dry_is_told_behind_the_data_and_the_pool_is_filled_again);
	tcase_add_test(tc, test_a_fixed_pool_does_not_grow);
	tcase_add_test(tc, test_two_buffers_carry_any_number_of_bytes);
	tcase_add_test(tc, test_the_pool_grows_when_it_ran_dry_and_not_for_ever);
	tcase_add_loop_test(tc, test_odd_wishes_for_the_pool_are_met_as_well_as_can_be, 0, 7);
	tcase_add_test(tc, test_what_is_given_back_is_used_again_last_in_first_out);
	tcase_add_test(tc, test_an_embedder_that_keeps_every_block_starves_nobody);
	tcase_add_test(tc, test_what_lies_in_a_queue_takes_no_buffer_from_others);
	return tc;
}

static TCase *halt_case(void)
{
	TCase *tc = tcase_create("halting and starting");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_started_and_halted_before_the_flush_reaches_nobody);
	tcase_add_test(tc, test_halted_and_started_before_the_flush_reaches_nobody);
	tcase_add_test(tc, test_halting_reaches_the_kernel_with_the_next_entry);
	tcase_add_test(tc, test_halting_needs_no_entry_of_its_own);
	tcase_add_test(tc, test_dropping_takes_effect_with_settle);
	tcase_add_test(tc, test_dropping_what_was_never_armed_has_nothing_to_settle);
	tcase_add_test(tc, test_what_is_halted_only_is_cancelled_when_anything_is_settled);
	tcase_add_test(tc, test_a_poll_that_is_dropped_settles_what_is_halted_as_well);
	tcase_add_test(tc, test_data_that_comes_before_the_cancel_took_effect_is_kept);
	tcase_add_test(tc, test_data_may_be_the_last_completion_of_what_was_cancelled);
	tcase_add_test(tc, test_a_cancel_that_comes_too_late_harms_nobody);
	tcase_add_loop_test(tc, test_an_end_that_comes_after_the_halt_is_told_as_well, 0, 2);
	tcase_add_test(tc, test_started_before_its_cancelled_request_has_ended_it_is_armed_again);
	tcase_add_test(tc, test_started_and_halted_again_while_it_is_cancelled_it_stays_halted);
	tcase_add_test(tc, test_dropping_what_is_being_cancelled_has_to_be_settled);
	tcase_add_test(tc, test_what_ended_while_it_was_halting_is_not_cancelled);
	tcase_add_test(tc, test_it_may_be_started_on_another_fd_after_it_was_over);
	tcase_add_test(tc, test_halted_by_the_hook_it_still_takes_what_was_reaped_with_it);
	return tc;
}

static TCase *memory_case(void)
{
	TCase *tc = tcase_create("refusals and memory");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, test_what_cannot_be_armed_now_is_tried_again_soon, 0, 3);
	tcase_add_test(tc, test_a_kernel_without_rings_of_buffers_ends_it);
	tcase_add_test(tc, test_a_ring_that_does_not_receive_says_so_once);
	tcase_add_loop_test(
	    tc, test_without_memory_for_blocks_the_kernel_has_fewer_and_later_all, 0, POOL);
	tcase_add_test(tc, test_without_memory_of_any_kind_nothing_is_lost);
	tcase_add_test(tc, test_when_ops_run_out_those_that_wait_are_armed_later);
	return tc;
}

int main(void)
{
	Suite *s = suite_create("recv");

	suite_add_tcase(s, in_case());
	suite_add_tcase(s, end_case());
	suite_add_tcase(s, pool_case());
	suite_add_tcase(s, halt_case());
	suite_add_tcase(s, memory_case());
	return data_suite_run(s);
}
