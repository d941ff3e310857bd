/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_evbuffer.c - the chains of an evbuffer: bytes in and out, moving, pulling up, room for
 * others.
 */
#include "evbuffer_probe.h"

/* What the first chain of a small buffer has room for. */
#define FIRST_ROOM (1024 - EVBUFFER_CHAIN_SIZE)

/* ---- adding */

START_TEST(test_a_new_buffer_is_empty)
{
	struct evbuffer *buf = evbuffer_new();

	probe_expect_text(buf, "");
	ck_assert_uint_eq(probe_chains(buf), 0);
	ck_assert_uint_eq(evbuffer_get_contiguous_space(buf), 0);
	evbuffer_free(buf);
}
END_TEST

START_TEST(test_small_adds_share_a_chain)
{
	struct evbuffer *buf = probe_buffer("one ");

	ck_assert_int_eq(evbuffer_add(buf, "two ", 4), 0);
	ck_assert_int_eq(evbuffer_add(buf, "three", 5), 0);
	probe_expect_text(buf, "one two three");
	ck_assert_uint_eq(probe_chains(buf), 1);
	ck_assert_uint_eq(evbuffer_get_contiguous_space(buf), 13);
	evbuffer_free(buf);
}
END_TEST

START_TEST(test_chains_double_up_to_4096_bytes)
{
	struct evbuffer *buf = evbuffer_new();
	const size_t totals[] = {1024, 2048, 4096, 4096, 4096};
	int i = 0;

	for (size_t at = 0; at < 12000; at += 10)
		probe_add(buf, at, 10);
	probe_expect_bytes(buf, 0, 12000);
	for (struct evbuffer_chain *c = buf->first; c; c = c->next, i++)
		ck_assert_uint_eq(c->buffer_len + EVBUFFER_CHAIN_SIZE, totals[i]);
	evbuffer_free(buf);
}
END_TEST

START_TEST(test_the_last_chain_is_filled_before_a_new_one_begins)
{
	struct evbuffer *buf = evbuffer_new();

	probe_add(buf, 0, FIRST_ROOM - 3);
	probe_add(buf, FIRST_ROOM - 3, 10);
	probe_expect_bytes(buf, 0, FIRST_ROOM + 7);
	ck_assert_uint_eq(probe_chains(buf), 2);
	ck_assert_uint_eq(buf->first->off, FIRST_ROOM);
	evbuffer_free(buf);
}
END_TEST

START_TEST(test_little_data_at_the_end_of_a_chain_is_moved_to_its_start)
{
	struct evbuffer *buf = evbuffer_new();

	probe_add(buf, 0, FIRST_ROOM);
	ck_assert_int_eq(evbuffer_drain(buf, FIRST_ROOM - 5), 0);
	probe_add(buf, FIRST_ROOM, 100);
	probe_expect_bytes(buf, FIRST_ROOM - 5, 105);
	ck_assert_uint_eq(probe_chains(buf), 1);
	ck_assert_int_eq(buf->first->misalign, 0);
	evbuffer_free(buf);
}
END_TEST

START_TEST(test_room_that_was_asked_for_is_used)
{
	struct evbuffer *buf = evbuffer_new();

	probe_add(buf, 0, FIRST_ROOM - 1);
	ck_assert_int_eq(evbuffer_expand(buf, 10000), 0);
	ck_assert_uint_eq(probe_chains(buf), 2);
	probe_allocations_left = 0;
	probe_add(buf, FIRST_ROOM - 1, 10001);
	probe_expect_bytes(buf, 0, FIRST_ROOM + 10000);
	ck_assert_uint_eq(probe_chains(buf), 2);
	evbuffer_free(buf);
}
END_TEST

START_TEST(test_adding_nothing_does_nothing)
{
	struct evbuffer *buf = evbuffer_new();

	ck_assert_int_eq(evbuffer_add(buf, NULL, 0), 0);
	ck_assert_int_eq(evbuffer_prepend(buf, NULL, 0), 0);
	ck_assert_int_eq(evbuffer_drain(buf, 0), 0);
	probe_expect_text(buf, "");
	evbuffer_free(buf);
}
END_TEST

START_TEST(test_more_than_can_be_counted_is_refused)
{
	struct evbuffer *buf = probe_buffer("x");

	ck_assert_int_eq(evbuffer_add(buf, "", EV_SIZE_MAX), -1);
	ck_assert_int_eq(evbuffer_add(buf, "", EV_SSIZE_MAX), -1);
	ck_assert_int_eq(evbuffer_prepend(buf, "", EV_SIZE_MAX), -1);
	ck_assert_int_eq(evbuffer_prepend(buf, "", EV_SSIZE_MAX), -1);
	ck_assert_int_eq(evbuffer_expand(buf, EV_SIZE_MAX), -1);
	ck_assert_int_eq(evbuffer_expand(buf, EVBUFFER_CHAIN_MAX), -1);
	ck_assert_int_eq(evbuffer_add_reference(buf, "", EV_SIZE_MAX, NULL, NULL), -1);
	probe_expect_text(buf, "x");
	evbuffer_free(buf);
}
END_TEST

START_TEST(test_after_somebody_elses_memory_a_chain_is_small)
{
	static char big[1000000];
	struct evbuffer *buf = evbuffer_new();

	ck_assert_int_eq(evbuffer_add_reference(buf, big, sizeof(big), NULL, NULL), 0);
	ck_assert_int_eq(evbuffer_add(buf, "x", 1), 0);
	probe_validate(buf);
	ck_assert_uint_eq(buf->last->buffer_len, FIRST_ROOM);
	evbuffer_free(buf);
}
END_TEST

START_TEST(test_add_iovec_adds_all_pieces)
{
	struct evbuffer *buf = probe_buffer("0");
	char one[] = "1", twos[2000];
	struct evbuffer_iovec vec[3] = {
	    {.iov_base = one, .iov_len = 1},
	    {.iov_base = twos, .iov_len = sizeof(twos)},
	    {.iov_base = NULL, .iov_len = 0},
	};

	memset(twos, '2', sizeof(twos));
	ck_assert_uint_eq(evbuffer_add_iovec(buf, vec, 3), 2001);
	probe_validate(buf);
	ck_assert_uint_eq(evbuffer_get_length(buf), 2002);
	evbuffer_free(buf);
}
END_TEST

START_TEST(test_add_iovec_adds_all_or_nothing)
{
	struct evbuffer *buf = probe_buffer("0");
	char bytes[2000] = "";
	struct evbuffer_iovec vec[2] = {
	    {.iov_base = bytes, .iov_len = 1},
	    {.iov_base = bytes, .iov_len = EV_SIZE_MAX},
	};

	ck_assert_uint_eq(evbuffer_add_iovec(buf, vec, 2), 0);
	probe_allocations_left = 0;
	vec[1].iov_len = sizeof(bytes);
	ck_assert_uint_eq(evbuffer_add_iovec(buf, vec, 2), 0);
	probe_expect_text(buf, "0");
	evbuffer_free(buf);
}
END_TEST

START_TEST(test_prepending_uses_the_room_in_front)
{
	struct evbuffer *buf = probe_buffer("tail");

	ck_assert_int_eq(evbuffer_prepend(buf, "b", 1), 0);
	ck_assert_uint_eq(probe_chains(buf), 2);
	ck_assert_int_eq(evbuffer_prepend(buf, "a", 1), 0);
	ck_assert_uint_eq(probe_chains(buf), 2);
	probe_expect_text(buf, "abtail");
	ck_assert_int_eq(evbuffer_drain(buf, 3), 0);
	ck_assert_int_eq(evbuffer_prepend(buf, "T", 1), 0);
	probe_expect_text(buf, "Tail");
	ck_assert_uint_eq(probe_chains(buf), 1);
	evbuffer_free(buf);
}
END_TEST

/* ---- taking */

START_TEST(test_draining_more_than_there_is_empties)
{
	struct evbuffer *buf = evbuffer_new();

	probe_add(buf, 0, 10000);
	ck_assert_int_eq(evbuffer_drain(buf, 20000), 0);
	probe_expect_text(buf, "");
	ck_assert_uint_eq(probe_chains(buf), 0);
	evbuffer_free(buf);
}
END_TEST

START_TEST(test_bytes_come_out_as_they_went_in)
{
	struct evbuffer *buf = evbuffer_new();
	unsigned char got[700], want[700];

	for (size_t at = 0; at < 7000; at += 70)
		probe_add(buf, at, 70);
	for (size_t at = 0; at < 7000; at += 700) {
		probe_fill(want, at, 700);
		ck_assert_int_eq(evbuffer_copyout(buf, got, 700), 700);
		ck_assert_mem_eq(got, want, 700);
		memset(got, 0, 700);
		ck_assert_int_eq(evbuffer_remove(buf, got, 700), 700);
		ck_assert_mem_eq(got, want, 700);
		probe_validate(buf);
	}
	ck_assert_int_eq(evbuffer_remove(buf, got, 700), 0);
	evbuffer_free(buf);
}
END_TEST

START_TEST(test_copying_can_begin_anywhere)
{
	struct evbuffer *buf = probe_buffer("0123456789");
	struct evbuffer_ptr pos;
	char got[11] = "";

	ck_assert_int_eq(evbuffer_ptr_set(buf, &pos, 4, EVBUFFER_PTR_SET), 0);
	ck_assert_int_eq(evbuffer_copyout_from(buf, &pos, got, 3), 3);
	ck_assert_str_eq(got, "456");
	ck_assert_int_eq(evbuffer_copyout_from(buf, &pos, got, 10), 6);
	ck_assert_int_eq(evbuffer_copyout_from(buf, &pos, got, EV_SSIZE_MAX), -1);
	ck_assert_int_eq(evbuffer_ptr_set(buf, &pos, 10, EVBUFFER_PTR_SET), 0);
	ck_assert_int_eq(evbuffer_copyout_from(buf, &pos, got, 1), 0);
	pos.pos = -1;
	ck_assert_int_eq(evbuffer_copyout_from(buf, &pos, got, 1), -1);
	evbuffer_free(buf);
}
END_TEST

START_TEST(test_a_frozen_end_takes_nothing)
{
	struct evbuffer *buf = probe_buffer("abc"), *other = probe_buffer("x");
	struct evbuffer_iovec vec;

	evbuffer_freeze(buf, 0);
	ck_assert_int_eq(evbuffer_add(buf, "d", 1), -1);
	ck_assert_int_eq(evbuffer_add_reference(buf, "d", 1, NULL, NULL), -1);
	ck_assert_int_eq(evbuffer_add_buffer(buf, other), -1);
	ck_assert_int_eq(evbuffer_add_buffer_reference(buf, other), -1);
	ck_assert_int_eq(evbuffer_remove_buffer(other, buf, 1), -1);
	ck_assert_int_eq(evbuffer_reserve_space(buf, 1, &vec, 1), -1);
	ck_assert_int_eq(evbuffer_commit_space(buf, &vec, 0), -1);
	ck_assert_int_eq(evbuffer_prepend(buf, "_", 1), 0);
	probe_expect_text(buf, "_abc");
	evbuffer_unfreeze(buf, 0);
	ck_assert_int_eq(evbuffer_add_buffer(buf, other), 0);
	probe_expect_text(buf, "_abcx");
	evbuffer_free(buf);
	evbuffer_free(other);
}
END_TEST

START_TEST(test_a_frozen_start_gives_nothing)
{
	struct evbuffer *buf = probe_buffer("abc"), *other = probe_buffer("x");
	char c;

	evbuffer_freeze(buf, 1);
	ck_assert_int_eq(evbuffer_drain(buf, 1), -1);
	ck_assert_int_eq(evbuffer_remove(buf, &c, 1), -1);
	ck_assert_int_eq(evbuffer_copyout(buf, &c, 1), -1);
	ck_assert_int_eq(evbuffer_prepend(buf, "_", 1), -1);
	ck_assert_int_eq(evbuffer_add_buffer(other, buf), -1);
	ck_assert_int_eq(evbuffer_prepend_buffer(other, buf), -1);
	ck_assert_int_eq(evbuffer_prepend_buffer(buf, other), -1);
	ck_assert_int_eq(evbuffer_remove_buffer(buf, other, 1), -1);
	ck_assert_int_eq(evbuffer_add(buf, "d", 1), 0);
	probe_expect_text(buf, "abcd");
	ck_assert_ptr_nonnull(evbuffer_pullup(buf, -1));
	evbuffer_free(buf);
	evbuffer_free(other);
}
END_TEST

START_TEST(test_nothing_can_be_taken_from_a_frozen_start)
{
	struct evbuffer *buf = evbuffer_new(), *other = evbuffer_new();
	char c;

	evbuffer_freeze(buf, 1);
	ck_assert_int_eq(evbuffer_drain(buf, 4), 0);
	ck_assert_int_eq(evbuffer_remove(buf, &c, 1), 0);
	ck_assert_int_eq(evbuffer_prepend(buf, "", 0), 0);
	ck_assert_int_eq(evbuffer_add_buffer(other, buf), 0);
	ck_assert_int_eq(evbuffer_remove_buffer(buf, other, 0), 0);
	evbuffer_free(buf);
	evbuffer_free(other);
}
END_TEST

/* ---- moving */

START_TEST(test_chains_move_without_being_copied)
{
	struct evbuffer *a = probe_buffer("a"), *b = probe_buffer("b");
	struct evbuffer_chain *chain = b->first;

	ck_assert_int_eq(evbuffer_add_buffer(a, b), 0);
	ck_assert_ptr_eq(a->last, chain);
	probe_expect_text(a, "ab");
	probe_expect_text(b, "");
	ck_assert_int_eq(evbuffer_prepend_buffer(b, a), 0);
	ck_assert_ptr_eq(b->last, chain);
	ck_assert_int_eq(evbuffer_add(a, "c", 1), 0);
	ck_assert_int_eq(evbuffer_prepend_buffer(b, a), 0);
	probe_expect_text(a, "");
	probe_expect_text(b, "cab");
	evbuffer_free(a);
	evbuffer_free(b);
}
END_TEST

START_TEST(test_a_buffer_does_not_move_into_itself)
{
	struct evbuffer *buf = probe_buffer("abc");

	ck_assert_int_eq(evbuffer_add_buffer(buf, buf), 0);
	ck_assert_int_eq(evbuffer_prepend_buffer(buf, buf), 0);
	ck_assert_int_eq(evbuffer_remove_buffer(buf, buf, 2), 0);
	ck_assert_int_eq(evbuffer_add_buffer_reference(buf, buf), -1);
	probe_expect_text(buf, "abc");
	evbuffer_free(buf);
}
END_TEST

START_TEST(test_part_of_a_buffer_moves)
{
	const size_t cuts[] = {1, 975, 976, 977, 2000, 4999, 5000, 9000};

	for (size_t i = 0; i < sizeof(cuts) / sizeof(*cuts); i++) {
		struct evbuffer *src = evbuffer_new(), *dst = evbuffer_new();
		size_t n = cuts[i] < 5000 ? cuts[i] : 5000;

		for (size_t at = 0; at < 5000; at += 100)
			probe_add(src, at, 100);
		ck_assert_int_eq(evbuffer_expand(dst, 10), 0);
		ck_assert_int_eq(evbuffer_remove_buffer(src, dst, cuts[i]), (int)n);
		probe_expect_bytes(dst, 0, n);
		probe_expect_bytes(src, n, 5000 - n);
		evbuffer_free(src);
		evbuffer_free(dst);
	}
}
END_TEST

/* ---- pulling up */

START_TEST(test_pullup_gathers_what_it_is_asked_for)
{
	struct evbuffer *buf = evbuffer_new();
	unsigned char want[10000];

	probe_fill(want, 0, sizeof(want));
	for (size_t at = 0; at < 10000; at += 50)
		probe_add(buf, at, 50);
	ck_assert_ptr_eq(evbuffer_pullup(buf, 976), evc_chain_data(buf->first));
	for (size_t n = 977; n < 10000; n += 999) {
		ck_assert_mem_eq(evbuffer_pullup(buf, (ev_ssize_t)n), want, n);
		ck_assert_uint_ge(evbuffer_get_contiguous_space(buf), n);
		probe_validate(buf);
	}
	ck_assert_mem_eq(evbuffer_pullup(buf, -1), want, 10000);
	ck_assert_ptr_null(evbuffer_pullup(buf, 10001));
	ck_assert_ptr_null(evbuffer_pullup(buf, 0));
	probe_expect_bytes(buf, 0, 10000);
	evbuffer_free(buf);
}
END_TEST

START_TEST(test_pullup_does_not_write_to_shared_memory)
{
	struct evbuffer *src = probe_buffer("shared"), *a = evbuffer_new(), *b = evbuffer_new();

	ck_assert_int_eq(evbuffer_add_buffer_reference(a, src), 0);
	ck_assert_int_eq(evbuffer_add_buffer_reference(b, src), 0);
	ck_assert_int_eq(evbuffer_add(a, " by a", 5), 0);
	ck_assert_int_eq(evbuffer_add(b, " by b", 5), 0);
	ck_assert_mem_eq(evbuffer_pullup(a, -1), "shared by a", 11);
	ck_assert_mem_eq(evbuffer_pullup(b, -1), "shared by b", 11);
	probe_expect_text(a, "shared by a");
	probe_expect_text(src, "shared");
	evbuffer_free(src);
	evbuffer_free(a);
	evbuffer_free(b);
}
END_TEST

/* ---- looking */

static struct evbuffer *three_pieces(void)
{
	struct evbuffer *buf = evbuffer_new();

	evbuffer_add_reference(buf, "one", 3, NULL, NULL);
	evbuffer_add_reference(buf, "two", 3, NULL, NULL);
	evbuffer_add_reference(buf, "three", 5, NULL, NULL);
	return buf;
}

START_TEST(test_peek_counts_the_pieces_it_has_no_room_for)
{
	struct evbuffer *buf = three_pieces();
	struct evbuffer_iovec vec[2];

	ck_assert_int_eq(evbuffer_peek(buf, -1, NULL, NULL, 0), 3);
	ck_assert_int_eq(evbuffer_peek(buf, -1, NULL, vec, 2), 2);
	ck_assert_int_eq(evbuffer_peek(buf, 11, NULL, vec, 2), 3);
	ck_assert_int_eq(evbuffer_peek(buf, 4, NULL, vec, 1), 2);
	ck_assert_int_eq(evbuffer_peek(buf, 0, NULL, vec, 1), 0);
	evbuffer_drain(buf, 11);
	ck_assert_int_eq(evbuffer_peek(buf, -1, NULL, vec, 2), 0);
	evbuffer_free(buf);
}
END_TEST

START_TEST(test_peek_can_begin_anywhere)
{
	struct evbuffer *buf = three_pieces();
	struct evbuffer_iovec vec[2];
	struct evbuffer_ptr pos;

	evbuffer_ptr_set(buf, &pos, 4, EVBUFFER_PTR_SET);
	ck_assert_int_eq(evbuffer_peek(buf, -1, &pos, vec, 2), 2);
	ck_assert_uint_eq(vec[0].iov_len, 2);
	ck_assert_mem_eq(vec[0].iov_base, "wo", 2);
	ck_assert_int_eq(evbuffer_peek(buf, -1, &pos, NULL, 0), 2);
	evbuffer_ptr_set(buf, &pos, 11, EVBUFFER_PTR_SET);
	ck_assert_int_eq(evbuffer_peek(buf, -1, &pos, vec, 2), 0);
	evbuffer_free(buf);
}
END_TEST

/* ---- room for others */

START_TEST(test_expanding_keeps_room_that_suffices)
{
	struct evbuffer *buf = evbuffer_new();
	unsigned char *memory;

	ck_assert_int_eq(evbuffer_expand(buf, 20000), 0);
	ck_assert_uint_eq(probe_chains(buf), 1);
	memory = buf->first->buffer;
	probe_add(buf, 0, 1024);
	ck_assert_int_eq(evbuffer_expand(buf, 1024), 0);
	ck_assert_ptr_eq(buf->first->buffer, memory);
	probe_expect_bytes(buf, 0, 1024);
	evbuffer_free(buf);
}
END_TEST

START_TEST(test_expanding_copies_a_little_but_not_much)
{
	struct evbuffer *buf = evbuffer_new();

	probe_add(buf, 0, 700);
	ck_assert_int_eq(evbuffer_expand(buf, 5000), 0);
	ck_assert_uint_eq(probe_chains(buf), 1);
	probe_expect_bytes(buf, 0, 700);
	probe_add(buf, 700, 5000);
	ck_assert_int_eq(evbuffer_expand(buf, 20000), 0);
	ck_assert_uint_eq(probe_chains(buf), 2);
	probe_expect_bytes(buf, 0, 5700);
	evbuffer_free(buf);
}
END_TEST

START_TEST(test_what_is_reserved_can_be_committed)
{
	struct evbuffer *buf = probe_buffer("abc");
	struct evbuffer_iovec vec[4];

	ck_assert_int_eq(evbuffer_reserve_space(buf, 100, vec, 1), 1);
	ck_assert_uint_ge(vec[0].iov_len, 100);
	memcpy(vec[0].iov_base, "def", 3);
	vec[0].iov_len = 3;
	ck_assert_int_eq(evbuffer_commit_space(buf, vec, 1), 0);
	probe_expect_text(buf, "abcdef");
	ck_assert_int_eq(evbuffer_commit_space(buf, vec, 1), -1);
	ck_assert_int_eq(evbuffer_reserve_space(buf, 5000, vec, 4), 2);
	probe_fill(vec[0].iov_base, 0, vec[0].iov_len);
	vec[1].iov_len = 1;
	probe_fill(vec[1].iov_base, 0, 1);
	ck_assert_int_eq(evbuffer_commit_space(buf, vec, 2), 0);
	probe_validate(buf);
	ck_assert_uint_eq(evbuffer_get_length(buf), 6 + vec[0].iov_len + 1);
	evbuffer_free(buf);
}
END_TEST

START_TEST(test_commits_that_do_not_match_change_nothing)
{
	struct evbuffer *buf = evbuffer_new();
	struct evbuffer_iovec vec[2], swapped[2];

	ck_assert_int_eq(evbuffer_commit_space(buf, vec, 0), 0);
	vec[0] = vec[1] = (struct evbuffer_iovec){.iov_base = vec, .iov_len = 1};
	ck_assert_int_eq(evbuffer_commit_space(buf, vec, 1), -1);
	ck_assert_int_eq(evbuffer_commit_space(buf, vec, 2), -1);
	probe_add(buf, 0, 500);
	ck_assert_int_eq(evbuffer_reserve_space(buf, 2000, vec, 2), 2);
	swapped[0] = vec[1];
	swapped[1] = vec[0];
	ck_assert_int_eq(evbuffer_commit_space(buf, swapped, 2), -1);
	vec[1].iov_len++;
	ck_assert_int_eq(evbuffer_commit_space(buf, vec, 2), -1);
	probe_expect_bytes(buf, 0, 500);
	evbuffer_free(buf);
}
END_TEST

START_TEST(test_senseless_reservations_are_refused)
{
	struct evbuffer *buf = evbuffer_new();
	struct evbuffer_iovec vec[2];

	ck_assert_int_eq(evbuffer_reserve_space(buf, 1, vec, 0), -1);
	ck_assert_int_eq(evbuffer_reserve_space(buf, -1, vec, 1), -1);
	ck_assert_int_eq(evbuffer_reserve_space(buf, -1, vec, 2), -1);
	ck_assert_int_eq(evbuffer_reserve_space(buf, EV_SSIZE_MAX, vec, 1), -1);
	ck_assert_int_eq(evbuffer_reserve_space(buf, EV_SSIZE_MAX, vec, 2), -1);
	probe_expect_text(buf, "");
	evbuffer_free(buf);
}
END_TEST

START_TEST(test_one_reserved_piece_may_be_any_of_the_rooms)
{
	struct evbuffer *buf = evbuffer_new();
	struct evbuffer_iovec vec[4];

	probe_add(buf, 0, FIRST_ROOM - 10);
	ck_assert_int_eq(evbuffer_reserve_space(buf, 500, vec, 2), 2);
	ck_assert_int_eq(evbuffer_reserve_space(buf, 3000, vec, 3), 3);
	ck_assert_int_eq(evbuffer_reserve_space(buf, 500, vec, 1), 1);
	ck_assert_ptr_eq(vec[0].iov_base, buf->first->next->buffer);
	probe_fill(vec[0].iov_base, FIRST_ROOM - 10, 500);
	vec[0].iov_len = 500;
	ck_assert_int_eq(evbuffer_commit_space(buf, vec, 1), 0);
	probe_expect_bytes(buf, 0, FIRST_ROOM + 490);
	evbuffer_free(buf);
}
END_TEST

START_TEST(test_reserving_over_and_over_does_not_pile_up_chains)
{
	struct evbuffer *buf = probe_buffer("abc");
	struct evbuffer_iovec vec[3];

	for (ev_ssize_t n = 1; n < 100000; n += 777) {
		ck_assert_int_ge(evbuffer_reserve_space(buf, n, vec, 3), 1);
		probe_expect_text(buf, "abc");
		ck_assert_uint_le(probe_chains(buf), 3);
	}
	for (ev_ssize_t n = 1; n < 100000; n += 777) {
		ck_assert_int_eq(evbuffer_reserve_space(buf, n, vec, 1), 1);
		probe_expect_text(buf, "abc");
		ck_assert_uint_le(probe_chains(buf), 3);
	}
	evbuffer_free(buf);
}
END_TEST

START_TEST(test_exact_vectors_are_no_longer_than_asked_for)
{
	struct evbuffer *buf = probe_buffer("abc");
	struct evbuffer_chain **slot;
	struct evbuffer_iovec vec[4];

	ck_assert_int_eq(evbuffer_expand_fast_(buf, 2000, 2), 0);
	ck_assert_int_eq(evbuffer_read_setup_vecs_(buf, 2000, vec, 2, &slot, 1), 2);
	ck_assert_uint_eq(vec[0].iov_len + vec[1].iov_len, 2000);
	ck_assert_ptr_eq(slot, &buf->first);
	ck_assert_int_eq(evbuffer_read_setup_vecs_(buf, 2000, vec, 2, &slot, 0), 2);
	ck_assert_uint_gt(vec[0].iov_len + vec[1].iov_len, 2000);
	ck_assert_int_eq(evbuffer_read_setup_vecs_(buf, 200000, vec, 4, &slot, 0), -1);
	ck_assert_int_eq(evbuffer_read_setup_vecs_(buf, -1, vec, 2, &slot, 0), -1);
	evbuffer_free(buf);
}
END_TEST

/* ---- the suite */

static void add_bytes_case(Suite *s)
{
	TCase *tc = probe_case(s, "bytes");

	tcase_add_test(tc, test_a_new_buffer_is_empty);
	tcase_add_test(tc, test_small_adds_share_a_chain);
	tcase_add_test(tc, test_chains_double_up_to_4096_bytes);
	tcase_add_test(tc, test_the_last_chain_is_filled_before_a_new_one_begins);
	tcase_add_test(tc, test_little_data_at_the_end_of_a_chain_is_moved_to_its_start);
	tcase_add_test(tc, test_room_that_was_asked_for_is_used);
	tcase_add_test(tc, test_adding_nothing_does_nothing);
	tcase_add_test(tc, test_more_than_can_be_counted_is_refused);
	tcase_add_test(tc, test_after_somebody_elses_memory_a_chain_is_small);
	tcase_add_test(tc, test_add_iovec_adds_all_pieces);
	tcase_add_test(tc, test_add_iovec_adds_all_or_nothing);
	tcase_add_test(tc, test_prepending_uses_the_room_in_front);
	tcase_add_test(tc, test_draining_more_than_there_is_empties);
	tcase_add_test(tc, test_bytes_come_out_as_they_went_in);
	tcase_add_test(tc, test_copying_can_begin_anywhere);
	tcase_add_test(tc, test_a_frozen_end_takes_nothing);
	tcase_add_test(tc, test_a_frozen_start_gives_nothing);
	tcase_add_test(tc, test_nothing_can_be_taken_from_a_frozen_start);
}

static void add_chains_case(Suite *s)
{
	TCase *tc = probe_case(s, "chains");

	tcase_add_test(tc, test_chains_move_without_being_copied);
	tcase_add_test(tc, test_a_buffer_does_not_move_into_itself);
	tcase_add_test(tc, test_part_of_a_buffer_moves);
	tcase_add_test(tc, test_pullup_gathers_what_it_is_asked_for);
	tcase_add_test(tc, test_pullup_does_not_write_to_shared_memory);
	tcase_add_test(tc, test_peek_counts_the_pieces_it_has_no_room_for);
	tcase_add_test(tc, test_peek_can_begin_anywhere);
	tcase_add_test(tc, test_expanding_keeps_room_that_suffices);
	tcase_add_test(tc, test_expanding_copies_a_little_but_not_much);
	tcase_add_test(tc, test_what_is_reserved_can_be_committed);
	tcase_add_test(tc, test_commits_that_do_not_match_change_nothing);
	tcase_add_test(tc, test_senseless_reservations_are_refused);
	tcase_add_test(tc, test_one_reserved_piece_may_be_any_of_the_rooms);
	tcase_add_test(tc, test_reserving_over_and_over_does_not_pile_up_chains);
	tcase_add_test(tc, test_exact_vectors_are_no_longer_than_asked_for);
}

static Suite *evbuffer_suite(void)
{
	Suite *s = suite_create("evbuffer");

	add_bytes_case(s);
	add_chains_case(s);
	return s;
}

int main(void)
{
	SRunner *sr = srunner_create(evbuffer_suite());
	int failed;

	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
