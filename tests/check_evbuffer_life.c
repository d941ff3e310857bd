/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_evbuffer_life.c - how long the memory of an evbuffer lives: references, chains that are
 * shown by other buffers, pinned chains, the buffer itself.
 */
#include "evbuffer_probe.h"

/* What the first chain of a small buffer has room for. */
#define FIRST_ROOM (1024 - EVBUFFER_CHAIN_SIZE)

/* ---- references */

START_TEST(test_a_reference_is_cleaned_up_once)
{
	struct evbuffer *buf = probe_buffer("<"), *other = evbuffer_new();
	int cleanups = 0;

	probe_refer(buf, "reference", &cleanups);
	ck_assert_int_eq(evbuffer_add(buf, ">", 1), 0);
	probe_expect_text(buf, "<reference>");
	ck_assert_int_eq(evbuffer_add_buffer(other, buf), 0);
	ck_assert_int_eq(evbuffer_drain(other, 9), 0);
	ck_assert_int_eq(cleanups, 0);
	ck_assert_int_eq(evbuffer_drain(other, 1), 0);
	ck_assert_int_eq(cleanups, 1);
	probe_refer(other, "again", &cleanups);
	evbuffer_free(buf);
	evbuffer_free(other);
	ck_assert_int_eq(cleanups, 2);
}
END_TEST

START_TEST(test_a_refused_reference_is_not_cleaned_up)
{
	struct evbuffer *buf = evbuffer_new();
	int cleanups = 0;

	evbuffer_freeze(buf, 0);
	ck_assert_int_eq(evbuffer_add_reference(buf, "x", 1, probe_count_cleanup, &cleanups), -1);
	evbuffer_unfreeze(buf, 0);
	probe_allocations_left = 0;
	ck_assert_int_eq(evbuffer_add_reference(buf, "x", 1, probe_count_cleanup, &cleanups), -1);
	evbuffer_free(buf);
	ck_assert_int_eq(cleanups, 0);
}
END_TEST

START_TEST(test_an_empty_reference_goes_when_data_comes)
{
	struct evbuffer *buf = evbuffer_new();
	int cleanups = 0;

	probe_refer(buf, "", &cleanups);
	probe_expect_text(buf, "");
	ck_assert_int_eq(cleanups, 0);
	ck_assert_int_eq(evbuffer_add(buf, "x", 1), 0);
	ck_assert_int_eq(cleanups, 1);
	probe_refer(buf, "", &cleanups);
	ck_assert_int_eq(evbuffer_prepend(buf, "<", 1), 0);
	probe_expect_text(buf, "<x");
	evbuffer_free(buf);
	ck_assert_int_eq(cleanups, 2);
}
END_TEST

/* Adds what it refers to, to the buffer that lets go of it. */
static void add_from_cleanup(const void *data, size_t len, void *buf)
{
	probe_validate(buf);
	evbuffer_add(buf, data, len);
}

START_TEST(test_a_cleanup_may_use_the_buffer)
{
	struct evbuffer *buf = evbuffer_new();

	evbuffer_add_reference(buf, "abc", 3, add_from_cleanup, buf);
	evbuffer_add(buf, "def", 3);
	ck_assert_int_eq(evbuffer_drain(buf, 4), 0);
	probe_expect_text(buf, "efabc");
	evbuffer_free(buf);
}
END_TEST

/* ---- multicast */

START_TEST(test_shown_chains_outlive_their_source)
{
	struct evbuffer *src = evbuffer_new(), *a = evbuffer_new(), *b = evbuffer_new();
	int cleanups = 0;

	probe_refer(src, "reference ", &cleanups);
	ck_assert_int_eq(evbuffer_add(src, "data", 4), 0);
	ck_assert_int_eq(evbuffer_add_buffer_reference(a, src), 0);
	ck_assert_int_eq(evbuffer_add_buffer_reference(b, src), 0);
	ck_assert_int_eq(evbuffer_drain(src, 12), 0);
	probe_expect_text(src, "ta");
	evbuffer_free(src);
	ck_assert_int_eq(evbuffer_prepend(a, "<", 1), 0);
	ck_assert_int_eq(evbuffer_add(a, ">", 1), 0);
	probe_expect_text(a, "<reference data>");
	ck_assert_int_eq(evbuffer_drain(b, 12), 0);
	probe_expect_text(b, "ta");
	evbuffer_free(a);
	ck_assert_int_eq(cleanups, 1);
	probe_expect_text(b, "ta");
	evbuffer_free(b);
}
END_TEST

START_TEST(test_shown_chains_are_not_shown_again)
{
	struct evbuffer *src = probe_buffer("x"), *a = evbuffer_new(), *b = evbuffer_new();

	ck_assert_int_eq(evbuffer_add_buffer_reference(a, b), 0);
	ck_assert_int_eq(evbuffer_add_buffer_reference(a, src), 0);
	ck_assert_int_eq(evbuffer_add_buffer_reference(b, a), -1);
	probe_expect_text(b, "");
	evbuffer_free(a);
	ck_assert_int_eq(evbuffer_add(src, "y", 1), 0);
	probe_expect_text(src, "xy");
	evbuffer_free(b);
	evbuffer_free(src);
}
END_TEST

/* ---- pins */

START_TEST(test_a_pinned_chain_dangles_until_it_is_unpinned)
{
	struct evbuffer *buf = evbuffer_new();
	struct evbuffer_chain *chain;
	int cleanups = 0;

	probe_refer(buf, "reference", &cleanups);
	chain = buf->first;
	evbuffer_chain_pin_(chain, EVBUFFER_MEM_PINNED_W);
	ck_assert_int_eq(evbuffer_drain(buf, 9), 0);
	probe_expect_text(buf, "");
	ck_assert_int_eq(cleanups, 0);
	ck_assert_uint_ne(chain->flags & EVBUFFER_DANGLING, 0);
	evbuffer_free(buf);
	ck_assert_int_eq(cleanups, 0);
	evbuffer_chain_unpin_(chain, EVBUFFER_MEM_PINNED_W);
	ck_assert_int_eq(cleanups, 1);
}
END_TEST

START_TEST(test_both_pins_have_to_go)
{
	struct evbuffer *buf = probe_buffer("x");
	struct evbuffer_chain *chain = buf->first;

	evbuffer_chain_pin_(chain, EVBUFFER_MEM_PINNED_W);
	evbuffer_chain_pin_(chain, EVBUFFER_MEM_PINNED_R);
	evbuffer_free(buf);
	ck_assert_int_eq(probe_blocks, 1);
	evbuffer_chain_unpin_(chain, EVBUFFER_MEM_PINNED_W);
	ck_assert_int_eq(probe_blocks, 1);
	evbuffer_chain_unpin_(chain, EVBUFFER_MEM_PINNED_R);
	ck_assert_int_eq(probe_blocks, 0);
}
END_TEST

START_TEST(test_a_chain_that_is_shown_and_pinned_goes_last)
{
	struct evbuffer *src = probe_buffer("x"), *dst = evbuffer_new();
	struct evbuffer_chain *chain = src->first;

	ck_assert_int_eq(evbuffer_add_buffer_reference(dst, src), 0);
	evbuffer_chain_pin_(chain, EVBUFFER_MEM_PINNED_W);
	evbuffer_drain(src, 1);
	evbuffer_free(dst);
	ck_assert_uint_ne(chain->flags & EVBUFFER_DANGLING, 0);
	evbuffer_chain_unpin_(chain, EVBUFFER_MEM_PINNED_W);
	evbuffer_free(src);
}
END_TEST

START_TEST(test_what_is_being_sent_can_be_pulled_up)
{
	struct evbuffer *buf = evbuffer_new();
	struct evbuffer_chain *first, *second;
	unsigned char want[2500];
	size_t in_second;

	probe_fill(want, 0, sizeof(want));
	for (size_t at = 0; at < 2500; at += 100)
		probe_add(buf, at, 100);
	first = buf->first;
	second = first->next;
	in_second = second->off;
	evbuffer_chain_pin_(first, EVBUFFER_MEM_PINNED_W);
	evbuffer_chain_pin_(second, EVBUFFER_MEM_PINNED_W);
	ck_assert_mem_eq(evbuffer_pullup(buf, -1), want, 2500);
	ck_assert_mem_eq(first->buffer, want, FIRST_ROOM);
	ck_assert_mem_eq(second->buffer, want + FIRST_ROOM, in_second);
	probe_expect_bytes(buf, 0, 2500);
	evbuffer_chain_unpin_(second, EVBUFFER_MEM_PINNED_W);
	evbuffer_chain_unpin_(first, EVBUFFER_MEM_PINNED_W);
	evbuffer_free(buf);
}
END_TEST

START_TEST(test_the_memory_of_a_pinned_chain_is_not_reused)
{
	struct evbuffer *buf = probe_buffer("sent, partly");
	struct evbuffer_chain *chain = buf->first;

	evbuffer_chain_pin_(chain, EVBUFFER_MEM_PINNED_W);
	ck_assert_int_eq(evbuffer_drain(buf, 6), 0);
	ck_assert_int_eq(evbuffer_prepend(buf, "XXX", 3), 0);
	ck_assert_int_eq(evbuffer_expand(buf, 970), 0);
	ck_assert_int_eq(evbuffer_add(buf, "YYY", 3), 0);
	ck_assert_mem_eq(chain->buffer, "sent, partly", 12);
	probe_expect_text(buf, "XXXpartlyYYY");
	evbuffer_free(buf);
	evbuffer_chain_unpin_(chain, EVBUFFER_MEM_PINNED_W);
}
END_TEST

/* The last chain is being written to by somebody else from now on. */
static struct evbuffer_chain *pin_last(struct evbuffer *buf)
{
	evbuffer_chain_pin_(buf->last, EVBUFFER_MEM_PINNED_R);
	return buf->last;
}

START_TEST(test_a_chain_that_is_written_to_does_not_move)
{
	struct evbuffer *buf = probe_buffer("abc"), *dst = probe_buffer("<");
	struct evbuffer_chain *chain = pin_last(buf);

	ck_assert_int_eq(evbuffer_add_buffer(dst, buf), 0);
	probe_expect_text(dst, "<abc");
	probe_expect_text(buf, "");
	ck_assert_ptr_eq(buf->first, chain);
	ck_assert_int_eq(evbuffer_add(buf, "def", 3), 0);
	ck_assert_ptr_ne(buf->last, chain);
	ck_assert_int_eq(evbuffer_prepend_buffer(dst, buf), 0);
	probe_expect_text(dst, "def<abc");
	ck_assert_ptr_eq(buf->first, chain);
	evbuffer_chain_unpin_(chain, EVBUFFER_MEM_PINNED_R);
	ck_assert_int_eq(evbuffer_add(buf, "ghi", 3), 0);
	ck_assert_ptr_eq(buf->last, chain);
	probe_expect_text(buf, "ghi");
	evbuffer_free(buf);
	evbuffer_free(dst);
}
END_TEST

START_TEST(test_a_chain_that_is_written_to_stays_when_some_move)
{
	struct evbuffer *buf = evbuffer_new(), *dst = evbuffer_new();
	struct evbuffer_chain *chain;

	for (size_t at = 0; at < 2000; at += 100)
		probe_add(buf, at, 100);
	chain = pin_last(buf);
	ck_assert_int_eq(evbuffer_remove_buffer(buf, dst, 1500), 1500);
	probe_expect_bytes(dst, 0, 1500);
	probe_expect_bytes(buf, 1500, 500);
	ck_assert_ptr_eq(buf->last, chain);
	ck_assert_int_eq(evbuffer_remove_buffer(buf, dst, 500), 500);
	probe_expect_bytes(dst, 0, 2000);
	ck_assert_ptr_eq(buf->first, chain);
	evbuffer_chain_unpin_(chain, EVBUFFER_MEM_PINNED_R);
	evbuffer_free(buf);
	evbuffer_free(dst);
}
END_TEST

START_TEST(test_a_chain_that_is_written_to_stays_when_drained)
{
	struct evbuffer *buf = evbuffer_new();
	struct evbuffer_chain *chain;

	probe_add(buf, 0, 1500);
	chain = pin_last(buf);
	ck_assert_int_eq(evbuffer_drain(buf, 1500), 0);
	probe_expect_text(buf, "");
	ck_assert_ptr_eq(buf->first, chain);
	ck_assert_int_eq(evbuffer_add(buf, "abc", 3), 0);
	ck_assert_int_eq(evbuffer_prepend(buf, "_", 1), 0);
	ck_assert_ptr_null(evbuffer_pullup(buf, 4));
	probe_expect_text(buf, "_abc");
	ck_assert_int_eq(evbuffer_drain(buf, 4), 0);
	ck_assert_ptr_eq(buf->first, chain);
	evbuffer_chain_unpin_(chain, EVBUFFER_MEM_PINNED_R);
	evbuffer_free(buf);
}
END_TEST

/* ---- life */

START_TEST(test_the_last_reference_frees_the_buffer)
{
	struct evbuffer *buf = evbuffer_new();
	int cleanups = 0;

	probe_refer(buf, "x", &cleanups);
	evbuffer_incref_(buf);
	evbuffer_incref_and_lock_(buf);
	evbuffer_decref_and_unlock_(buf);
	evbuffer_free(buf);
	ck_assert_int_eq(cleanups, 0);
	probe_expect_text(buf, "x");
	evbuffer_free(buf);
	ck_assert_int_eq(cleanups, 1);
}
END_TEST

START_TEST(test_flags_are_kept)
{
	struct evbuffer *buf = evbuffer_new();

	evbuffer_set_flags(buf, EVBUFFER_FLAG_DRAINS_TO_FD | 0x100);
	evbuffer_clear_flags(buf, 0x100);
	ck_assert_uint_eq(buf->flags, EVBUFFER_FLAG_DRAINS_TO_FD);
	evbuffer_free(buf);
}
END_TEST

START_TEST(test_without_threads_there_are_no_locks)
{
	struct evbuffer *buf = evbuffer_new();

	ck_assert_int_eq(evbuffer_enable_locking(buf, NULL), -1);
	ck_assert_uint_eq(buf->own_lock, 0);
	evbuffer_lock(buf);
	evbuffer_unlock(buf);
	evbuffer_free(buf);
}
END_TEST

/* ---- the suite */

static void add_life_case(Suite *s)
{
	TCase *tc = probe_case(s, "life");

	tcase_add_test(tc, test_a_reference_is_cleaned_up_once);
	tcase_add_test(tc, test_a_refused_reference_is_not_cleaned_up);
	tcase_add_test(tc, test_an_empty_reference_goes_when_data_comes);
	tcase_add_test(tc, test_a_cleanup_may_use_the_buffer);
	tcase_add_test(tc, test_shown_chains_outlive_their_source);
	tcase_add_test(tc, test_shown_chains_are_not_shown_again);
	tcase_add_test(tc, test_a_pinned_chain_dangles_until_it_is_unpinned);
	tcase_add_test(tc, test_both_pins_have_to_go);
	tcase_add_test(tc, test_a_chain_that_is_shown_and_pinned_goes_last);
	tcase_add_test(tc, test_what_is_being_sent_can_be_pulled_up);
	tcase_add_test(tc, test_the_memory_of_a_pinned_chain_is_not_reused);
	tcase_add_test(tc, test_a_chain_that_is_written_to_does_not_move);
	tcase_add_test(tc, test_a_chain_that_is_written_to_stays_when_some_move);
	tcase_add_test(tc, test_a_chain_that_is_written_to_stays_when_drained);
	tcase_add_test(tc, test_the_last_reference_frees_the_buffer);
	tcase_add_test(tc, test_flags_are_kept);
	tcase_add_test(tc, test_without_threads_there_are_no_locks);
}

static Suite *evbuffer_life_suite(void)
{
	Suite *s = suite_create("evbuffer_life");

	add_life_case(s);
	return s;
}

int main(void)
{
	SRunner *sr = srunner_create(evbuffer_life_suite());
	int failed;

	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
