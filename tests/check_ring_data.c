/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_ring_data.c - receiving on the real io_uring ring: streams through socket pairs and TCP on
 * loopback, left alone and disturbed in every way. (Letting go, connections and sends:
 * check_ring_conn.c.)
 *
 * The writer is this same thread, between the turns: it writes what the socket takes.
 */
#include "data_real.h"

/* What the socket takes. */
static void feed(struct flow *f, size_t piece)
{
	static char bytes[65536];
	size_t i, n = f->size - f->written;
	ssize_t rc;

	n = n < piece ? n : piece;
	for (i = 0; i < n; i++)
		bytes[i] = place_byte(f->written + i);
	rc = n ? write(f->peer, bytes, n) : 0;
	ck_assert(rc >= 0 || errno == EAGAIN);
	f->written += rc > 0 ? (size_t)rc : 0;
}

static void take_all(struct flow *f)
{
	struct evu_item *item = evu_intake_take(f->in), *next;

	for (; item; item = next) {
		next = item->next;
		see(f, (char *)item->data + item->start, item->end - item->start);
		/* Some blocks are kept, as large data is. */
		if (item->end > EVU_BLOCK_SIZE / 2) {
			fake_block_free(item->data);
			item->data = NULL;
		}
		evu_item_give(e, item);
	}
}

static void go_on_after_end(struct flow *f)
{
	take_all(f);
	if (f->in->end != -ENOBUFS)
		return;
	read_rest(f);
	f->in->end = 0;
	evu_intake_start(f->in, f->fd, 0);
}

/* To the last byte and the end behind it; `disturb` comes in between. */
static void run(struct flow *f, size_t piece, void (*disturb)(struct flow *f))
{
	int64_t start = now_ns();

	while (f->in->end != EVU_END_OF_FILE) {
		if (f->written < f->size)
			feed(f, piece);
		else
			shutdown(f->peer, SHUT_WR);
		turn(f->written < f->size ? 0 : 10 * MS);
		f->turns++;
		go_on_after_end(f);
		if (disturb)
			disturb(f);
		ck_assert_msg(
		    f->in->end == 0 || f->in->end == EVU_END_OF_FILE, "%s", strerror(-f->in->end));
		ck_assert_msg(now_ns() - start < 30000 * MS, "%zu of %zu bytes", f->seen, f->size);
	}
	take_all(f);
	ck_assert_uint_eq(f->seen, f->size);
}

static void end_flow(struct flow *f)
{
	discard(f->in);
	close(f->fd);
	close(f->peer);
}

static const char *const pools[] = {"", "2", "1"};

START_TEST(test_a_stream_arrives_whole_and_in_order)
{
	struct flow f;

	setenv("EVENT_URING_BUFFERS", pools[_i / 2], 1);
	if (!start_moving())
		return;
	f = flow(_i % 2, BIG);
	run(&f, 65536, NULL);
	end_flow(&f);
	unsetenv("EVENT_URING_BUFFERS");
	fake_engine_done(e);
}
END_TEST

START_TEST(test_a_stream_in_small_pieces_arrives_whole_and_in_order)
{
	struct flow f;

	if (!start_moving())
		return;
	f = flow(_i % 2, 3000);
	run(&f, _i / 2 ? 7 : 1, NULL);
	end_flow(&f);
	fake_engine_done(e);
}
END_TEST

/* Nothing is received while it is halted; the socket still has all the rest. */
static void halt_and_read(struct flow *f)
{
	evu_request_halt(&f->in->req);
	feed(f, 1000);
	take_all(f);
	read_rest(f);
	if (f->in->end == 0)
		evu_intake_start(f->in, f->fd, 0);
}

static void drop_and_read(struct flow *f)
{
	evu_request_drop(&f->in->req);
	ck_assert(evu_engine_settle(e));
	ck_assert(evu_request_over(&f->in->req));
	feed(f, 1000);
	take_all(f);
	read_rest(f);
	if (f->in->end == 0)
		evu_intake_start(f->in, f->fd, 0);
}

static void halt_and_start(struct flow *f)
{
	evu_request_halt(&f->in->req);
	if (f->turns % 2)
		turn(0);
	evu_intake_start(f->in, f->fd, 0);
}

static void reinit(struct flow *f)
{
	if (f->turns % 8 == 0)
		ck_assert_int_eq(evu_engine_reinit(e), 0);
}

static void rest_and_read(struct flow *f)
{
	evu_engine_leave(e, true);
	ck_assert_int_eq(e->nrequests, 0);
	feed(f, 1000);
	take_all(f);
	if (f->in->end == 0)
		read_rest(f);
	evu_engine_enter(e);
}

static void turn_elsewhere(void *arg)
{
	(void)arg;
	fake_hold();
	evu_engine_enter(e);
	turn(0);
	evu_engine_leave(e, false);
	fake_let_go();
}

static void move_to_a_thread_and_back(struct flow *f)
{
	if (f->turns % 16)
		return;
	evu_engine_leave(e, f->turns % 32);
	fake_in_thread(turn_elsewhere, NULL);
	evu_engine_enter(e);
}

static void change_caps(struct flow *f)
{
	if (f->in->end == 0)
		evu_intake_start(f->in, f->fd, f->turns % 5 * 1000);
}

static void (*const disturbances[])(struct flow *f) = {halt_and_read, drop_and_read, halt_and_start,
    reinit, rest_and_read, move_to_a_thread_and_back, change_caps};
#define N_DISTURBANCES (int)(sizeof(disturbances) / sizeof(disturbances[0]))

START_TEST(test_a_stream_that_is_disturbed_loses_nothing)
{
	struct flow f;

	if (!start_moving())
		return;
	f = flow(_i % 2, BIG / 4);
	run(&f, 30000, disturbances[_i / 2]);
	end_flow(&f);
	fake_engine_done(e);
}
END_TEST

/* The child has copies of everything, and touches nothing that is its parent's. */
static void fork_between(struct flow *f)
{
	pid_t pid;
	int status;

	if (f->turns % 16)
		return;
	pid = fork();
	if (pid == 0) {
		evu_request_drop(&f->in->req);
		_exit(evu_request_over(&f->in->req) && evu_engine_settle(e) ? 0 : 1);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	ck_assert_int_eq(status, 0);
}

START_TEST(test_forks_do_not_disturb_a_stream)
{
	struct flow f;

	if (!start_moving())
		return;
	f = flow(_i, BIG / 4);
	run(&f, 30000, fork_between);
	end_flow(&f);
	fake_engine_done(e);
}
END_TEST

/* Another thread takes the socket away, reads it, and gives it back, while the owner turns. */
#define ROUNDS 50

struct thief {
	struct flow *flow;
	int rounds;
	bool done;
};

static struct thief thief;

/* The stream goes on until it was taken often enough. */
static void end_after_rounds(struct flow *f)
{
	if (thief.rounds >= ROUNDS && f->size > f->written)
		f->size = f->written;
}

/* With the lock. As a thread does that is not the owner. */
static void drop_and_wait(struct evu_request *r)
{
	int i;

	evu_request_drop(r);
	for (i = 0; i < 50000 && !evu_request_over(r); i++) {
		if (!evu_engine_settle(e))
			evu_engine_wake(e);
		fake_let_go();
		usleep(100);
		fake_hold();
	}
	ck_assert(evu_request_over(r));
}

static void *steal(void *arg)
{
	struct thief *t = arg;

	fake_hold();
	while (!t->flow->in->end || t->flow->in->end == -ENOBUFS) {
		t->rounds++;
		if (t->rounds % 2)
			drop_and_wait(&t->flow->in->req);
		else
			evu_request_halt(&t->flow->in->req);
		if (evu_request_over(&t->flow->in->req) && !t->flow->in->end) {
			take_all(t->flow);
			read_rest(t->flow);
		}
		evu_intake_start(t->flow->in, t->flow->fd, 0);
		evu_engine_wake(e);
		fake_let_go();
		usleep(50);
		fake_hold();
	}
	t->done = true;
	fake_let_go();
	return NULL;
}

START_TEST(test_a_stream_that_another_thread_takes_and_gives_back_loses_nothing)
{
	struct flow f;
	pthread_t thread;

	if (!start_moving())
		return;
	f = flow(_i, SIZE_MAX);
	thief = (struct thief){.flow = &f};
	turn(0);
	ck_assert_int_eq(pthread_create(&thread, NULL, steal, &thief), 0);
	run(&f, 5000, end_after_rounds);
	while (!thief.done)
		turn(MS);
	pthread_join(thread, NULL);
	end_flow(&f);
	fake_engine_done(e);
}
END_TEST

/* More completions than the queue holds, fewer buffers than bytes. */
START_TEST(test_each_of_a_crowd_is_served)
{
	enum { N = 1200 };
	static struct evu_intake *in[N];
	static int sv[N][2];
	struct rlimit lim;
	int i, turns, came = 0;

	getrlimit(RLIMIT_NOFILE, &lim);
	lim.rlim_cur = lim.rlim_max;
	if (lim.rlim_max < 2 * N + 100 || setrlimit(RLIMIT_NOFILE, &lim) < 0 || !start_moving())
		return;
	for (i = 0; i < N; i++) {
		pair(sv[i]);
		in[i] = intake(EVU_RECV);
		evu_intake_start(in[i], sv[i][0], 0);
	}
	turn(0);
	for (i = 0; i < N; i++)
		put(sv[i][1]);
	for (turns = 0; turns < 100 && came < N; turns++) {
		turn(10 * MS);
		for (came = i = 0; i < N; i++) {
			if (in[i]->end == -ENOBUFS) {
				in[i]->end = 0;
				evu_intake_start(in[i], sv[i][0], 0);
			}
			came += in[i]->first != NULL;
		}
	}
	ck_assert_int_eq(came, N);
	for (i = 0; i < N; i++) {
		discard(in[i]);
		close(sv[i][0]);
		at_end(sv[i][1]);
		close(sv[i][1]);
	}
	fake_engine_done(e);
}
END_TEST

START_TEST(test_a_cap_is_kept)
{
	struct flow f;
	struct evu_item *item;
	int i;

	if (!start_moving())
		return;
	f = flow(_i, 100);
	discard(f.in);
	feed(&f, 100);
	f.in = intake(EVU_RECV);
	evu_intake_start(f.in, f.fd, 10);
	for (i = 0; i < 5; i++)
		turn(MS);
	item = f.in->first;
	ck_assert_ptr_nonnull(item);
	ck_assert_uint_eq(item->end, 10);
	ck_assert_ptr_null(item->next);
	take_all(&f);
	read_rest(&f);
	ck_assert_uint_eq(f.seen, 100);
	end_flow(&f);
	fake_engine_done(e);
}
END_TEST

/* A receive that is armed as a multishot must not take what a lower cap forbids. */
START_TEST(test_a_lower_cap_holds_at_once)
{
	struct flow f;

	if (!start_moving())
		return;
	f = flow(_i, 100);
	turn(0);
	evu_intake_start(f.in, f.fd, 10);
	feed(&f, 100);
	turn(MS);
	turn(MS);
	turn(MS);
	ck_assert_ptr_nonnull(f.in->first);
	ck_assert_uint_eq(f.in->first->end, 10);
	ck_assert_ptr_null(f.in->first->next);
	take_all(&f);
	read_rest(&f);
	ck_assert_uint_eq(f.seen, 100);
	end_flow(&f);
	fake_engine_done(e);
}
END_TEST

START_TEST(test_a_reset_is_told_behind_the_data)
{
	struct linger now = {1, 0};
	struct flow f;
	int i;

	if (!start_moving())
		return;
	f = flow(true, 10);
	feed(&f, 10);
	for (i = 0; i < 50 && !f.in->first; i++)
		turn(100 * MS);
	ck_assert_int_eq(setsockopt(f.peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	close(f.peer);
	for (i = 0; i < 50 && !f.in->end; i++)
		turn(100 * MS);
	ck_assert_int_eq(f.in->end, -ECONNRESET);
	take_all(&f);
	ck_assert_uint_eq(f.seen, 10);
	f.peer = open("/dev/null", O_RDONLY | O_CLOEXEC);
	end_flow(&f);
	fake_engine_done(e);
}
END_TEST

START_TEST(test_what_is_not_a_socket_ends_with_an_error)
{
	struct evu_intake *in;
	int fds[2], i;

	if (!start_moving())
		return;
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	put(fds[1]);
	in = intake(_i ? EVU_ACCEPT : EVU_RECV);
	evu_intake_start(in, fds[0], 0);
	for (i = 0; i < 5 && !in->end; i++)
		turn(10 * MS);
	ck_assert_int_eq(in->end, -ENOTSOCK);
	discard(in);
	close(fds[0]);
	close(fds[1]);
	fake_engine_done(e);
}
END_TEST

/* ---- features */

static const char *const moves[] = {"recv", "accept", "send"};

START_TEST(test_without_a_feature_nothing_of_its_kind_is_moved)
{
	char name[16];

	snprintf(name, sizeof(name), "%s", moves[_i]);
	ck_assert_msg(run_without(name) == 0, "without %s", name);
}
END_TEST

START_TEST(test_what_is_switched_off_ends_at_once)
{
	struct evu_intake *in;
	enum evu_request_kind kind;

	for (kind = EVU_RECV; kind <= EVU_ACCEPT; kind++) {
		e = fake_engine(FAKE_ALL_METHODS);
		in = intake(kind);
		if (!evu_engine_moves_data(e, kind)) {
			evu_intake_start(in, 0, 0);
			turn(0);
			ck_assert_int_eq(in->end, -EOPNOTSUPP);
		}
		if (strcmp(without, moves[kind]) == 0)
			ck_assert(!evu_engine_moves_data(e, kind));
		discard(in);
		fake_engine_done(e);
	}
}
END_TEST

static TCase *stream_case(void)
{
	TCase *tc = tcase_create("streams");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, test_a_stream_arrives_whole_and_in_order, 0, 6);
	tcase_add_loop_test(tc, test_a_stream_in_small_pieces_arrives_whole_and_in_order, 0, 4);
	tcase_add_loop_test(
	    tc, test_a_stream_that_is_disturbed_loses_nothing, 0, 2 * N_DISTURBANCES);
	tcase_add_loop_test(tc, test_forks_do_not_disturb_a_stream, 0, 2);
	tcase_add_loop_test(
	    tc, test_a_stream_that_another_thread_takes_and_gives_back_loses_nothing, 0, 2);
	tcase_add_test(tc, test_each_of_a_crowd_is_served);
	tcase_add_loop_test(tc, test_a_cap_is_kept, 0, 2);
	tcase_add_loop_test(tc, test_a_lower_cap_holds_at_once, 0, 2);
	tcase_add_test(tc, test_a_reset_is_told_behind_the_data);
	tcase_add_loop_test(tc, test_what_is_not_a_socket_ends_with_an_error, 0, 2);
	return tc;
}

static TCase *feature_case(void)
{
	TCase *tc = tcase_create("features");

	tcase_set_timeout(tc, 120);
	if (without)
		tcase_add_test(tc, test_what_is_switched_off_ends_at_once);
	else
		tcase_add_loop_test(tc, test_without_a_feature_nothing_of_its_kind_is_moved, 0, 3);
	return tc;
}

static void add(Suite *s, int methods)
{
	(void)methods;
	suite_add_tcase(s, stream_case());
	suite_add_tcase(s, feature_case());
}

int main(int argc, char **argv)
{
	return data_ring_suite_run("ring_data", add, argc, argv);
}
