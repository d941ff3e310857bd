/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_evbuffer_net.c - what bufferevents use of evbuffers: blocks and their store, appending and
 * adopting, what is pinned for a send, and reading and writing an fd.
 */
#include "evbuffer_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- blocks */

START_TEST(test_a_block_has_all_its_room)
{
	struct evbuffer_chain *block = evc_block_new();

	ck_assert_uint_eq(evc_chain_space(block), EVC_BLOCK_SIZE);
	ck_assert_ptr_eq(evc_block_of(block->buffer), block);
	memset(block->buffer, 1, EVC_BLOCK_SIZE);
	evc_block_free(block);
}
END_TEST

START_TEST(test_the_block_freed_last_is_used_first)
{
	struct evbuffer_chain *a, *b;

	evc_block_store_open();
	a = evc_block_new();
	b = evc_block_new();
	evc_block_free(a);
	evc_block_free(b);
	ck_assert_int_eq(probe_blocks, 2);
	ck_assert_ptr_eq(evc_block_new(), b);
	ck_assert_ptr_eq(evc_block_new(), a);
	evc_block_free(a);
	evc_block_free(b);
	evc_block_store_close();
}
END_TEST

START_TEST(test_the_store_keeps_128_blocks_until_its_last_user_goes)
{
	struct evbuffer_chain *blocks[150];

	evc_block_store_open();
	evc_block_store_open();
	for (int i = 0; i < 150; i++)
		blocks[i] = evc_block_new();
	for (int i = 0; i < 150; i++)
		evc_block_free(blocks[i]);
	ck_assert_int_eq(probe_blocks, 128);
	evc_block_store_close();
	ck_assert_int_eq(probe_blocks, 128);
	evc_block_store_close();
	ck_assert_int_eq(probe_blocks, 0);
}
END_TEST

START_TEST(test_without_users_nothing_is_kept)
{
	evc_block_free(evc_block_new());
	ck_assert_int_eq(probe_blocks, 0);
}
END_TEST

START_TEST(test_without_memory_there_is_no_block)
{
	probe_allocations_left = 0;
	ck_assert_ptr_null(evc_block_new());
}
END_TEST

START_TEST(test_a_used_block_comes_back_as_new)
{
	struct evbuffer *buf = evbuffer_new();
	struct evbuffer_chain *block;

	evc_block_store_open();
	block = evc_block_new();
	evc_buffer_adopt(buf, block, 100);
	evbuffer_chain_pin_(block, EVBUFFER_MEM_PINNED_W);
	evbuffer_drain(buf, 100);
	evbuffer_chain_unpin_(block, EVBUFFER_MEM_PINNED_W);
	ck_assert_ptr_eq(evc_block_new(), block);
	ck_assert_uint_eq(block->flags, EVC_CHAIN_BLOCK);
	ck_assert_uint_eq(evc_chain_space(block), EVC_BLOCK_SIZE);
	ck_assert_int_eq(block->refcnt, 1);
	evc_block_free(block);
	evc_block_store_close();
	evbuffer_free(buf);
}
END_TEST

/* ---- appending and adopting */

static void adopt_bytes(struct evbuffer *buf, size_t place, size_t n)
{
	struct evbuffer_chain *block = evc_block_new();

	probe_fill(block->buffer, place, n);
	evc_buffer_adopt(buf, block, n);
}

static void append_bytes(struct evbuffer *buf, size_t place, size_t n)
{
	unsigned char bytes[1000];

	probe_fill(bytes, place, n);
	ck_assert_int_eq(evc_buffer_append(buf, bytes, n), 0);
}

START_TEST(test_adopted_blocks_and_appended_bytes_stay_in_order)
{
	struct evbuffer *buf = evbuffer_new();
	size_t place = 0;

	for (int i = 0; i < 10; i++) {
		append_bytes(buf, place, 700);
		adopt_bytes(buf, place + 700, EVC_BLOCK_SIZE);
		append_bytes(buf, place + 700 + EVC_BLOCK_SIZE, 1);
		adopt_bytes(buf, place + 701 + EVC_BLOCK_SIZE, 3000);
		place += 3701 + EVC_BLOCK_SIZE;
		probe_validate(buf);
	}
	probe_expect_bytes(buf, 0, place);
	ck_assert_uint_eq(buf->n_add_for_cb, place);
	evbuffer_free(buf);
}
END_TEST

START_TEST(test_an_adopted_block_replaces_the_empty_chains_at_the_end)
{
	struct evbuffer *buf = evbuffer_new();

	ck_assert_int_eq(evbuffer_expand(buf, 100), 0);
	adopt_bytes(buf, 0, 10);
	ck_assert_uint_eq(probe_chains(buf), 1);
	probe_expect_bytes(buf, 0, 10);
	ck_assert_int_eq(evbuffer_expand(buf, 100000), 0);
	adopt_bytes(buf, 10, 10);
	probe_expect_bytes(buf, 0, 20);
	evbuffer_free(buf);
}
END_TEST

START_TEST(test_a_block_with_nothing_in_it_is_not_adopted)
{
	struct evbuffer *buf = evbuffer_new();

	adopt_bytes(buf, 0, 0);
	ck_assert_uint_eq(probe_chains(buf), 0);
	probe_expect_text(buf, "");
	evbuffer_free(buf);
}
END_TEST

START_TEST(test_small_bytes_go_into_the_room_of_a_block)
{
	struct evbuffer *buf = evbuffer_new();

	adopt_bytes(buf, 0, 3000);
	append_bytes(buf, 3000, 700);
	ck_assert_uint_eq(probe_chains(buf), 1);
	probe_expect_bytes(buf, 0, 3700);
	evbuffer_free(buf);
}
END_TEST

START_TEST(test_after_a_full_block_a_chain_is_small)
{
	struct evbuffer *buf = evbuffer_new();

	adopt_bytes(buf, 0, EVC_BLOCK_SIZE);
	append_bytes(buf, EVC_BLOCK_SIZE, 10);
	ck_assert_uint_lt(buf->last->buffer_len, 1024);
	evbuffer_free(buf);
}
END_TEST

/* Everything here works on buffers that are frozen to the program. */
START_TEST(test_freezes_do_not_apply)
{
	struct evbuffer *buf = evbuffer_new();

	evbuffer_freeze(buf, 0);
	evbuffer_freeze(buf, 1);
	append_bytes(buf, 0, 500);
	adopt_bytes(buf, 500, 500);
	evc_buffer_drain(buf, 400);
	probe_expect_bytes(buf, 400, 600);
	ck_assert_uint_eq(buf->n_del_for_cb, 400);
	evc_buffer_drain(buf, 4000);
	probe_expect_text(buf, "");
	ck_assert_uint_eq(buf->n_del_for_cb, 1000);
	evbuffer_free(buf);
}
END_TEST

/* ---- pinning for a send */

static void unpin_all(struct evbuffer_chain **chains, int n)
{
	for (int i = 0; i < n; i++)
		evbuffer_chain_unpin_(chains[i], EVBUFFER_MEM_PINNED_W);
}

START_TEST(test_the_first_chains_are_pinned_and_listed)
{
	struct evbuffer *buf = probe_buffer("one");
	struct evbuffer_chain *chains[4];
	struct iovec vecs[4];
	size_t bytes;

	evbuffer_add_reference(buf, "", 0, NULL, NULL);
	evbuffer_prepend(buf, "zero ", 5);
	evbuffer_add_reference(buf, " two", 4, NULL, NULL);
	ck_assert_int_eq(evc_buffer_pin(buf, vecs, chains, 4, 1000, &bytes), 3);
	ck_assert_uint_eq(bytes, 12);
	ck_assert_mem_eq(vecs[0].iov_base, "zero ", 5);
	ck_assert_uint_eq(vecs[2].iov_len, 4);
	for (int i = 0; i < 3; i++)
		ck_assert_uint_ne(chains[i]->flags & EVBUFFER_MEM_PINNED_W, 0);
	evc_buffer_drain(buf, 6);
	probe_expect_text(buf, "ne two");
	unpin_all(chains, 3);
	probe_expect_text(buf, "ne two");
	evbuffer_free(buf);
}
END_TEST

START_TEST(test_no_more_is_pinned_than_asked_for)
{
	struct evbuffer *buf = evbuffer_new();
	struct evbuffer_chain *chains[3];
	struct iovec vecs[3];
	size_t bytes;

	for (int i = 0; i < 4; i++)
		evbuffer_add_reference(buf, "0123456789", 10, NULL, NULL);
	ck_assert_int_eq(evc_buffer_pin(buf, vecs, chains, 3, 1000, &bytes), 3);
	ck_assert_uint_eq(bytes, 30);
	unpin_all(chains, 3);
	ck_assert_int_eq(evc_buffer_pin(buf, vecs, chains, 3, 15, &bytes), 2);
	ck_assert_uint_eq(bytes, 15);
	ck_assert_uint_eq(vecs[1].iov_len, 5);
	unpin_all(chains, 2);
	ck_assert_int_eq(evc_buffer_pin(buf, vecs, chains, 3, 0, &bytes), 0);
	ck_assert_uint_eq(bytes, 0);
	evbuffer_drain(buf, 40);
	ck_assert_int_eq(evc_buffer_pin(buf, vecs, chains, 3, 1000, &bytes), 0);
	evbuffer_free(buf);
}
END_TEST

START_TEST(test_a_chain_is_pinned_for_one_send_at_a_time)
{
	struct evbuffer *buf = probe_buffer("abc");
	struct evbuffer_chain *chains[2], *more[2];
	struct iovec vecs[2];
	size_t bytes;

	ck_assert_int_eq(evc_buffer_pin(buf, vecs, chains, 2, 100, &bytes), 1);
	ck_assert_int_eq(evc_buffer_pin(buf, vecs, more, 2, 100, &bytes), 0);
	ck_assert_uint_eq(bytes, 0);
	unpin_all(chains, 1);
	evbuffer_free(buf);
}
END_TEST

/* ---- reading and writing */

struct io {
	int fd[2];
	struct evbuffer *buf;
};

static struct io open_io(void)
{
	struct io io = {.buf = evbuffer_new()};

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, io.fd), 0);
	return io;
}

static void close_io(struct io *io)
{
	close(io->fd[0]);
	if (io->fd[1] >= 0)
		close(io->fd[1]);
	evbuffer_free(io->buf);
}

static void send_bytes(struct io *io, size_t place, size_t n)
{
	unsigned char *bytes = malloc(n);

	probe_fill(bytes, place, n);
	ck_assert_int_eq(write(io->fd[1], bytes, n), (ssize_t)n);
	free(bytes);
}

START_TEST(test_a_read_takes_what_there_is)
{
	struct io io = open_io();
	size_t place = 0;

	for (size_t n = 1; n < 20000; n = n * 3 + 1) {
		send_bytes(&io, place, n);
		ck_assert_int_eq(evc_buffer_read(io.buf, io.fd[0], 65536), (int)n);
		place += n;
		probe_expect_bytes(io.buf, 0, place);
	}
	ck_assert_uint_eq(io.buf->n_add_for_cb, place);
	close_io(&io);
}
END_TEST

START_TEST(test_a_read_takes_no_more_than_it_is_asked_to)
{
	const size_t limits[] = {1, 500, 3000, 4096, 16384, 40000};
	struct io io = open_io();
	size_t place = 0;

	send_bytes(&io, 0, 100000);
	for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
		ck_assert_int_eq(evc_buffer_read(io.buf, io.fd[0], limits[i]), (int)limits[i]);
		place += limits[i];
		probe_expect_bytes(io.buf, 0, place);
	}
	close_io(&io);
}
END_TEST

START_TEST(test_a_read_without_result_leaves_no_chains)
{
	struct io io = open_io();
	int i;

	for (i = 0; i < 100; i++) {
		ck_assert_int_eq(evc_buffer_read(io.buf, io.fd[0], 16384), -1);
		ck_assert_int_eq(errno, EAGAIN);
	}
	ck_assert_uint_eq(probe_chains(io.buf), 0);
	send_bytes(&io, 0, 10);
	ck_assert_int_eq(evc_buffer_read(io.buf, io.fd[0], 16384), 10);
	close(io.fd[1]);
	io.fd[1] = -1;
	for (i = 0; i < 100; i++)
		ck_assert_int_eq(evc_buffer_read(io.buf, io.fd[0], 16384), 0);
	ck_assert_uint_eq(probe_chains(io.buf), 1);
	probe_expect_bytes(io.buf, 0, 10);
	ck_assert_int_eq(evc_buffer_read(io.buf, -1, 16384), -1);
	ck_assert_int_eq(errno, EBADF);
	close_io(&io);
}
END_TEST

START_TEST(test_little_that_was_read_does_not_hold_a_block)
{
	struct io io = open_io();

	send_bytes(&io, 0, 100);
	ck_assert_int_eq(evc_buffer_read(io.buf, io.fd[0], 16384), 100);
	ck_assert_uint_lt(io.buf->first->buffer_len, 1024);
	send_bytes(&io, 100, 10000);
	ck_assert_int_eq(evc_buffer_read(io.buf, io.fd[0], 16384), 10000);
	ck_assert_uint_eq(io.buf->last->flags, EVC_CHAIN_BLOCK);
	probe_expect_bytes(io.buf, 0, 10100);
	close_io(&io);
}
END_TEST

START_TEST(test_reading_fills_the_room_there_is)
{
	struct io io = open_io();

	probe_add(io.buf, 0, 976);
	ck_assert_int_eq(evbuffer_expand(io.buf, 10000), 0);
	send_bytes(&io, 976, 8000);
	ck_assert_int_eq(evc_buffer_read(io.buf, io.fd[0], 9000), 8000);
	ck_assert_uint_eq(probe_chains(io.buf), 2);
	probe_expect_bytes(io.buf, 0, 8976);
	close_io(&io);
}
END_TEST

START_TEST(test_without_memory_a_read_makes_do_with_the_room_there_is)
{
	struct io io = open_io();

	send_bytes(&io, 0, 2000);
	probe_allocations_left = 0;
	ck_assert_int_eq(evc_buffer_read(io.buf, io.fd[0], 16384), -1);
	ck_assert_int_eq(errno, ENOMEM);
	probe_allocations_left = -1;
	ck_assert_int_eq(evc_buffer_read(io.buf, io.fd[0], 500), 500);
	probe_allocations_left = 0;
	ck_assert_int_eq(evc_buffer_read(io.buf, io.fd[0], 16384), 476);
	probe_expect_bytes(io.buf, 0, 976);
	probe_allocations_left = 1;
	ck_assert_int_eq(evc_buffer_read(io.buf, io.fd[0], 16384), 1024);
	probe_expect_bytes(io.buf, 0, 2000);
	close_io(&io);
}
END_TEST

/* What arrives at the other end is the next of the endless text. */
static void receive_bytes(struct io *io, size_t place, size_t n)
{
	unsigned char *got = malloc(n), *want = malloc(n);

	probe_fill(want, place, n);
	ck_assert_int_eq(recv(io->fd[1], got, n, MSG_WAITALL), (ssize_t)n);
	ck_assert_mem_eq(got, want, n);
	free(got);
	free(want);
}

START_TEST(test_a_write_sends_the_front)
{
	struct io io = open_io();

	for (size_t at = 0; at < 5000; at += 100)
		probe_add(io.buf, at, 100);
	ck_assert_int_eq(evc_buffer_write(io.buf, io.fd[0], 0), 0);
	ck_assert_int_eq(evc_buffer_write(io.buf, io.fd[0], 1500), 1500);
	probe_expect_bytes(io.buf, 1500, 3500);
	ck_assert_int_eq(evc_buffer_write(io.buf, io.fd[0], -1), 3500);
	probe_expect_text(io.buf, "");
	ck_assert_int_eq(evc_buffer_write(io.buf, io.fd[0], -1), 0);
	receive_bytes(&io, 0, 5000);
	close_io(&io);
}
END_TEST

START_TEST(test_many_chains_are_sent_in_several_writes)
{
	struct io io = open_io();
	size_t sent = 0;
	int n;

	for (size_t at = 0; at < 2000000; at += 10000)
		probe_add(io.buf, at, 10000);
	while ((n = evc_buffer_write(io.buf, io.fd[0], 100000)) > 0) {
		receive_bytes(&io, sent, (size_t)n);
		sent += (size_t)n;
	}
	ck_assert_int_eq(n, 0);
	ck_assert_uint_eq(sent, 2000000);
	close_io(&io);
}
END_TEST

START_TEST(test_a_socket_that_is_full_takes_nothing)
{
	struct io io = open_io();

	probe_add(io.buf, 0, 10000000);
	while (evc_buffer_write(io.buf, io.fd[0], -1) > 0)
		probe_validate(io.buf);
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_uint_gt(evbuffer_get_length(io.buf), 0);
	ck_assert_int_eq(evc_buffer_write(io.buf, io.fd[0], -1), -1);
	close_io(&io);
}
END_TEST

/* A file with the first n bytes of the endless text, which nobody else can see. */
static int text_file(size_t n)
{
	char name[] = "/tmp/check_evbuffer_XXXXXX";
	unsigned char *bytes = malloc(n);
	int fd = mkstemp(name);

	ck_assert_int_ge(fd, 0);
	unlink(name);
	probe_fill(bytes, 0, n);
	ck_assert_int_eq(write(fd, bytes, n), (ssize_t)n);
	free(bytes);
	return fd;
}

START_TEST(test_a_file_is_sent_in_its_turn)
{
	struct io io = open_io();
	struct evbuffer_chain *chains[4];
	struct iovec vecs[4];
	size_t bytes;

	evbuffer_set_flags(io.buf, EVBUFFER_FLAG_DRAINS_TO_FD);
	probe_add(io.buf, 0, 100);
	ck_assert_int_eq(evbuffer_add_file(io.buf, text_file(3000), 100, 2000), 0);
	probe_add(io.buf, 2100, 100);
	ck_assert(!evc_buffer_starts_in_file(io.buf));
	ck_assert_int_eq(evc_buffer_pin(io.buf, vecs, chains, 4, 9999, &bytes), 1);
	ck_assert_uint_eq(bytes, 100);
	unpin_all(chains, 1);
	ck_assert_int_eq(evc_buffer_write(io.buf, io.fd[0], -1), 100);
	ck_assert(evc_buffer_starts_in_file(io.buf));
	ck_assert_int_eq(evc_buffer_pin(io.buf, vecs, chains, 4, 9999, &bytes), 0);
	ck_assert_int_eq(evc_buffer_write(io.buf, io.fd[0], 300), 300);
	ck_assert_int_eq(evc_buffer_write(io.buf, io.fd[0], -1), 1700);
	ck_assert_int_eq(evc_buffer_write(io.buf, io.fd[0], -1), 100);
	receive_bytes(&io, 0, 2200);
	probe_expect_text(io.buf, "");
	close_io(&io);
}
END_TEST

START_TEST(test_the_bytes_of_a_file_cannot_be_looked_at)
{
	struct evbuffer *buf = probe_buffer("abc"), *other = evbuffer_new();
	struct evbuffer_iovec vec[2];
	char got[8];

	evbuffer_set_flags(buf, EVBUFFER_FLAG_DRAINS_TO_FD);
	ck_assert_int_eq(evbuffer_add_file(buf, text_file(100), 0, 100), 0);
	ck_assert_int_eq(evbuffer_copyout(buf, got, 3), 3);
	ck_assert_int_eq(evbuffer_copyout(buf, got, 4), -1);
	ck_assert_int_eq(evbuffer_remove(buf, got, 4), -1);
	ck_assert_ptr_null(evbuffer_pullup(buf, 4));
	ck_assert_int_eq(evbuffer_peek(buf, -1, NULL, vec, 2), 2);
	ck_assert_ptr_null(vec[1].iov_base);
	ck_assert_int_eq(evbuffer_remove_buffer(buf, other, 50), 3);
	ck_assert_ptr_null(evbuffer_pullup(buf, 1));
	probe_expect_text(other, "abc");
	ck_assert_uint_eq(evbuffer_get_length(buf), 100);
	evbuffer_free(buf);
	evbuffer_free(other);
}
END_TEST

START_TEST(test_no_line_ends_in_a_file)
{
	struct evbuffer *buf = evbuffer_new(), *used = evbuffer_new();
	char line_ends[900];

	/* What the file's chain has behind itself is memory that was used. */
	memset(line_ends, '\n', sizeof(line_ends));
	ck_assert_int_eq(evbuffer_add(used, line_ends, sizeof(line_ends)), 0);
	evbuffer_free(used);
	evbuffer_set_flags(buf, EVBUFFER_FLAG_DRAINS_TO_FD);
	ck_assert_int_eq(evbuffer_add_file(buf, text_file(100), 0, 100), 0);
	ck_assert(evc_buffer_starts_in_file(buf));
	ck_assert_ptr_null(evbuffer_readln(buf, NULL, EVBUFFER_EOL_CRLF));
	ck_assert_ptr_null(evbuffer_readln(buf, NULL, EVBUFFER_EOL_LF));
	ck_assert_uint_eq(evbuffer_get_length(buf), 100);
	evbuffer_free(buf);
}
END_TEST

START_TEST(test_a_file_that_became_shorter_gives_nothing)
{
	struct io io = open_io();
	int fd = text_file(1000);

	evbuffer_set_flags(io.buf, EVBUFFER_FLAG_DRAINS_TO_FD);
	ck_assert_int_eq(evbuffer_add_file(io.buf, fd, 0, 1000), 0);
	ck_assert_int_eq(ftruncate(fd, 600), 0);
	ck_assert_int_eq(evc_buffer_write(io.buf, io.fd[0], -1), 600);
	ck_assert_int_eq(evc_buffer_write(io.buf, io.fd[0], -1), 0);
	ck_assert_uint_eq(evbuffer_get_length(io.buf), 400);
	close_io(&io);
}
END_TEST

/* ---- the suite */

static void add_blocks_case(Suite *s)
{
	TCase *tc = probe_case(s, "blocks");

	tcase_add_test(tc, test_a_block_has_all_its_room);
	tcase_add_test(tc, test_the_block_freed_last_is_used_first);
	tcase_add_test(tc, test_the_store_keeps_128_blocks_until_its_last_user_goes);
	tcase_add_test(tc, test_without_users_nothing_is_kept);
	tcase_add_test(tc, test_without_memory_there_is_no_block);
	tcase_add_test(tc, test_a_used_block_comes_back_as_new);
	tcase_add_test(tc, test_adopted_blocks_and_appended_bytes_stay_in_order);
	tcase_add_test(tc, test_an_adopted_block_replaces_the_empty_chains_at_the_end);
	tcase_add_test(tc, test_a_block_with_nothing_in_it_is_not_adopted);
	tcase_add_test(tc, test_small_bytes_go_into_the_room_of_a_block);
	tcase_add_test(tc, test_after_a_full_block_a_chain_is_small);
	tcase_add_test(tc, test_freezes_do_not_apply);
}

static void add_io_case(Suite *s)
{
	TCase *tc = probe_case(s, "io");

	tcase_add_test(tc, test_the_first_chains_are_pinned_and_listed);
	tcase_add_test(tc, test_no_more_is_pinned_than_asked_for);
	tcase_add_test(tc, test_a_chain_is_pinned_for_one_send_at_a_time);
	tcase_add_test(tc, test_a_read_takes_what_there_is);
	tcase_add_test(tc, test_a_read_takes_no_more_than_it_is_asked_to);
	tcase_add_test(tc, test_a_read_without_result_leaves_no_chains);
	tcase_add_test(tc, test_little_that_was_read_does_not_hold_a_block);
	tcase_add_test(tc, test_reading_fills_the_room_there_is);
	tcase_add_test(tc, test_without_memory_a_read_makes_do_with_the_room_there_is);
	tcase_add_test(tc, test_a_write_sends_the_front);
	tcase_add_test(tc, test_many_chains_are_sent_in_several_writes);
	tcase_add_test(tc, test_a_socket_that_is_full_takes_nothing);
	tcase_add_test(tc, test_a_file_is_sent_in_its_turn);
	tcase_add_test(tc, test_the_bytes_of_a_file_cannot_be_looked_at);
	tcase_add_test(tc, test_no_line_ends_in_a_file);
	tcase_add_test(tc, test_a_file_that_became_shorter_gives_nothing);
}

static Suite *evbuffer_net_suite(void)
{
	Suite *s = suite_create("evbuffer_net");

	add_blocks_case(s);
	add_io_case(s);
	return s;
}

int main(void)
{
	SRunner *sr = srunner_create(evbuffer_net_suite());
	int failed;

	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
