/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_ring_conn.c - the real io_uring ring: it lets go of sockets and ports when it is told to,
 * accepts and sends. (Receiving: check_ring_data.c.)
 */
#include "data_real.h"

/* ---- letting go */

static struct evu_send *a_send(const void *bytes, size_t n, int fd)
{
	struct evu_send *s = evu_send_new(e);

	ck_assert_ptr_nonnull(s);
	s->vecs[0] = (struct iovec){(void *)(uintptr_t)bytes, n};
	s->n_vecs = 1;
	evu_send_start(s, fd);
	return s;
}

static void stuff(int fd)
{
	static const char bytes[65536];

	while (write(fd, bytes, sizeof(bytes)) > 0)
		;
	ck_assert_int_eq(errno, EAGAIN);
}

static size_t drain_to_end(int fd)
{
	char bytes[65536];
	size_t all = 0;
	ssize_t n;

	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		all += (size_t)n;
	ck_assert_msg(n == 0, "the peer is still open");
	return all;
}

START_TEST(test_after_drop_and_settle_a_close_is_seen_by_the_peer_at_once)
{
	struct evu_intake *in;
	struct evu_send *s;
	int sv[2], i;

	if (!start_moving())
		return;
	for (i = 0; i < 50; i++) {
		pair(sv);
		in = intake(EVU_RECV);
		evu_intake_start(in, sv[0], 0);
		stuff(sv[0]);
		s = a_send("x", 1, sv[0]); /* waits: the socket is full */
		turn(0);
		ck_assert_int_eq(s->result, -EINPROGRESS);
		if (i % 2)
			close(sv[0]);
		evu_request_drop(&s->req);
		discard(in);
		ck_assert(evu_request_over(&s->req));
		if (i % 2 == 0)
			close(sv[0]);
		(void)drain_to_end(sv[1]);
		close(sv[1]);
		evu_send_free(s);
	}
	fake_engine_done(e);
}
END_TEST

START_TEST(test_freeing_the_engine_lets_go_of_what_is_closed)
{
	struct evu_intake *in;
	int sv[2];

	if (!start_moving())
		return;
	pair(sv);
	in = intake(EVU_RECV);
	evu_intake_start(in, sv[0], 0);
	turn(0);
	close(sv[0]);
	fake_engine_done(e);
	at_end(sv[1]);
	close(sv[1]);
	free(in);
}
END_TEST

static void drop_in_another_thread(void *arg)
{
	struct evu_intake *in = arg;

	fake_hold();
	evu_request_drop(&in->req);
	(void)evu_engine_settle(e);
	fake_let_go();
}

START_TEST(test_dropped_by_another_thread_when_nobody_loops_it_is_closed)
{
	struct evu_intake *in;
	struct pollfd p = {.events = POLLIN};
	int sv[2];

	if (!start_moving())
		return;
	pair(sv);
	in = intake(EVU_RECV);
	evu_intake_start(in, sv[0], 0);
	turn(0);
	evu_engine_leave(e, _i);
	fake_in_thread(drop_in_another_thread, in);
	ck_assert(evu_request_over(&in->req));
	close(sv[0]);
	p.fd = sv[1];
	ck_assert_int_eq(poll(&p, 1, 5000), 1); /* a kernel worker does it */
	at_end(sv[1]);
	close(sv[1]);
	evu_engine_enter(e);
	discard(in);
	fake_engine_done(e);
}
END_TEST

START_TEST(test_after_drop_settle_and_close_the_port_is_free_at_once)
{
	struct sockaddr_in addr = {0};
	int i, fd;

	if (!start_moving())
		return;
	for (i = 0; i < 50; i++) {
		struct evu_intake *in = intake(EVU_ACCEPT);

		fd = listener(&addr); /* the same port each time */
		evu_intake_start(in, fd, 0);
		turn(0);
		if (i % 2)
			close(fd);
		discard(in);
		if (i % 2 == 0)
			close(fd);
	}
	fake_engine_done(e);
}
END_TEST

/* ---- connections */

START_TEST(test_every_connection_arrives_with_its_flags)
{
	enum { N = 100 };
	struct sockaddr_in addr = {0};
	struct evu_item *item;
	struct evu_intake *in;
	int fd, fds[N], i, n = 0, turns;

	if (!start_moving())
		return;
	in = intake(EVU_ACCEPT);
	in->accept_cloexec = in->accept_nonblock = true;
	fd = listener(&addr);
	evu_intake_start(in, fd, 0);
	turn(0);
	for (i = 0; i < N; i++)
		fds[i] = connected(&addr);
	for (turns = 0; turns < 100 && n < N; turns++) {
		turn(10 * MS);
		for (n = 0, item = in->first; item; item = item->next)
			n++;
	}
	ck_assert_int_eq(n, N);
	for (i = 0, item = in->first; item; item = item->next, i++) {
		ck_assert_int_eq(fcntl(item->fd, F_GETFD), FD_CLOEXEC);
		ck_assert(fcntl(item->fd, F_GETFL) & O_NONBLOCK);
		put(item->fd); /* the oldest connection first */
		ck_assert_int_eq(poll(&(struct pollfd){fds[i], POLLIN, 0}, 1, 5000), 1);
		close(item->fd);
		close(fds[i]);
	}
	discard(in);
	close(fd);
	fake_engine_done(e);
}
END_TEST

START_TEST(test_what_came_after_a_halt_is_still_in_the_backlog)
{
	struct sockaddr_in addr = {0};
	struct evu_intake *in;
	int fd, c, s;

	if (!start_moving())
		return;
	in = intake(EVU_ACCEPT);
	fd = listener(&addr);
	evu_intake_start(in, fd, 0);
	turn(0);
	evu_request_halt(&in->req);
	c = connected(&addr);
	turn(0);
	ck_assert(!evu_intake_pending(in));
	ck_assert(evu_request_over(&in->req));
	s = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(s, 0);
	close(s);
	close(c);
	discard(in);
	close(fd);
	fake_engine_done(e);
}
END_TEST

START_TEST(test_without_descriptors_it_ends_and_later_goes_on)
{
	struct sockaddr_in addr = {0};
	struct rlimit old, low;
	struct evu_intake *in;
	int fd, c, i;

	if (!start_moving())
		return;
	in = intake(EVU_ACCEPT);
	fd = listener(&addr);
	evu_intake_start(in, fd, 0);
	c = connected(&addr);
	getrlimit(RLIMIT_NOFILE, &old);
	low = old;
	low.rlim_cur = 0;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
	for (i = 0; i < 50 && !in->end; i++)
		turn(100 * MS);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	ck_assert_int_eq(in->end, -EMFILE);
	ck_assert_ptr_null(in->first);
	in->end = 0;
	evu_intake_start(in, fd, 0);
	for (i = 0; i < 50 && !in->first; i++)
		turn(100 * MS);
	ck_assert_ptr_nonnull(in->first);
	close(in->first->fd);
	close(c);
	discard(in);
	close(fd);
	fake_engine_done(e);
}
END_TEST

/* ---- sends */

static char outgoing[BIG];

/* Sends all of it, each time in up to `pieces` pieces, while the peer reads. */
static void send_all(struct flow *f, int pieces)
{
	struct evu_send *s = evu_send_new(e);
	size_t at = 0;
	int i;

	while (at < f->size) {
		size_t left = f->size - at, each = left / (size_t)pieces + 1;

		for (i = 0; i < pieces && left; i++, left -= each) {
			each = each < left ? each : left;
			s->vecs[i] = (struct iovec){outgoing + f->size - left, each};
		}
		s->n_vecs = i;
		evu_send_start(s, f->peer);
		for (i = 0; i < 1000 && s->result == -EINPROGRESS; i++) {
			turn(MS);
			read_rest(f);
		}
		ck_assert_int_gt(s->result, 0);
		ck_assert(evu_request_over(&s->req));
		at += (size_t)s->result;
	}
	read_rest(f);
	ck_assert_uint_eq(f->seen, f->size);
	evu_send_free(s);
}

START_TEST(test_what_is_sent_arrives_whole_and_in_order)
{
	static const int pieces[] = {1, 3, EVU_SEND_VECS};
	struct flow f;
	size_t i;

	if (!start_moving())
		return;
	for (i = 0; i < sizeof(outgoing); i++)
		outgoing[i] = place_byte(i);
	f = flow(_i % 2, BIG);
	discard(f.in);
	send_all(&f, pieces[_i / 2]);
	close(f.fd);
	close(f.peer);
	fake_engine_done(e);
}
END_TEST

START_TEST(test_a_peer_that_is_gone_is_an_error_and_no_signal)
{
	struct evu_send *s;
	int sv[2], i;

	if (!start_moving())
		return;
	signal(SIGPIPE, SIG_DFL);
	ends(sv, false);
	close(sv[0]);
	s = a_send("x", 1, sv[1]);
	if (_i) {
		s->vecs[1] = s->vecs[0];
		s->n_vecs = 2;
		evu_send_start(s, sv[1]);
	}
	for (i = 0; i < 50 && s->result == -EINPROGRESS; i++)
		turn(10 * MS);
	ck_assert_int_eq(s->result, -EPIPE);
	evu_send_free(s);
	close(sv[1]);
	fake_engine_done(e);
}
END_TEST

/* Halted while it waits for room: what arrives is what was told. */
START_TEST(test_a_send_that_is_dropped_sends_nothing_more)
{
	struct evu_send *s;
	size_t filled = 0;
	int sv[2];

	if (!start_moving())
		return;
	ends(sv, _i);
	stuff(sv[1]);
	s = a_send("never", 5, sv[1]);
	turn(0);
	ck_assert_int_eq(s->result, -EINPROGRESS);
	evu_request_halt(&s->req);
	filled = 0;
	while (read(sv[0], outgoing, sizeof(outgoing)) > 0 && filled < 10)
		filled++;
	evu_request_drop(&s->req);
	ck_assert(evu_engine_settle(e));
	ck_assert(evu_request_over(&s->req));
	ck_assert_int_eq(s->result, -EINPROGRESS);
	evu_send_free(s);
	ck_assert_int_eq(shutdown(sv[1], SHUT_WR), 0);
	ck_assert_int_eq(fcntl(sv[0], F_SETFL, 0), 0);
	memset(outgoing, 0, sizeof(outgoing));
	for (;;) {
		ssize_t n = read(sv[0], outgoing, sizeof(outgoing));

		if (n == 0)
			break;
		ck_assert_ptr_null(memchr(outgoing, 'n', (size_t)n));
	}
	close(sv[0]);
	close(sv[1]);
	fake_engine_done(e);
}
END_TEST

static TCase *close_case(void)
{
	TCase *tc = tcase_create("letting go");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_after_drop_and_settle_a_close_is_seen_by_the_peer_at_once);
	tcase_add_test(tc, test_freeing_the_engine_lets_go_of_what_is_closed);
	tcase_add_loop_test(
	    tc, test_dropped_by_another_thread_when_nobody_loops_it_is_closed, 0, 2);
	tcase_add_test(tc, test_after_drop_settle_and_close_the_port_is_free_at_once);
	return tc;
}

static TCase *move_case(void)
{
	TCase *tc = tcase_create("connections and sends");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_every_connection_arrives_with_its_flags);
	tcase_add_test(tc, test_what_came_after_a_halt_is_still_in_the_backlog);
	tcase_add_test(tc, test_without_descriptors_it_ends_and_later_goes_on);
	tcase_add_loop_test(tc, test_what_is_sent_arrives_whole_and_in_order, 0, 6);
	tcase_add_loop_test(tc, test_a_peer_that_is_gone_is_an_error_and_no_signal, 0, 2);
	tcase_add_loop_test(tc, test_a_send_that_is_dropped_sends_nothing_more, 0, 2);
	return tc;
}

static void add(Suite *s, int methods)
{
	(void)methods;
	suite_add_tcase(s, close_case());
	suite_add_tcase(s, move_case());
}

int main(int argc, char **argv)
{
	return data_ring_suite_run("ring_conn", add, argc, argv);
}
