/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_data_walk.c - random walks of an embedder, a kernel and a peer, on the fake ring.
 *
 * The peer of each socket writes a stream in which every byte tells its place. The kernel takes
 * from it, whenever it is entered, as much as it likes, ends requests for any reason that a kernel
 * has, and runs out of buffers (there are three). The embedder starts, halts, drops, takes, puts
 * back, keeps blocks, reads by itself while nothing is armed, rests, forks its loop off to other
 * threads, loses rings, and runs out of memory. Whatever they do: each byte is seen once and in its
 * place. The same for what is sent.
 *
 * A walk is its number: a failure can be repeated.
 */
#include "data_turns.h"

#define SOCKETS 3
#define LENGTH 400 /* of a stream; then it ends */
#define STEPS 250

struct sock {
	struct evu_intake *in;
	int fd;
	unsigned written; /* by the peer */
	unsigned gone;    /* out of the socket, into buffers or to who read it */
	unsigned seen;    /* by the embedder */
	bool finished;    /* it has seen the end */

	struct evu_send *send;
	char piece[16];
	unsigned heard; /* by the peer */
	unsigned told;  /* as sent, to the embedder */
};

static struct sock socks[SOCKETS];
static uint32_t dice;
static bool calm; /* the kernel does what it can */

static unsigned roll(unsigned n)
{
	dice ^= dice << 13;
	dice ^= dice >> 17;
	dice ^= dice << 5;
	return dice % n;
}

static char byte_at(const struct sock *s, unsigned place)
{
	return (char)(s->fd + (int)place * 7 + (int)(place >> 8));
}

static struct sock *sock_of(int fd)
{
	return &socks[fd - A];
}

/* ---- the kernel */

static unsigned in_socket(const struct sock *s)
{
	return s->written - s->gone;
}

static void fill(struct fake_req *req, struct sock *s, bool more)
{
	char bytes[32];
	unsigned i, n = 1 + roll(sizeof(bytes));

	if (n > in_socket(s))
		n = in_socket(s);
	if (req->cap && n > req->cap)
		n = req->cap;
	for (i = 0; i < n; i++)
		bytes[i] = byte_at(s, s->gone++);
	fake_post_bytes(req, bytes, n, in_socket(s) > 0, more && !req->cap);
}

static void receive(struct fake_req *req, struct sock *s)
{
	while (req->live && in_socket(s) && (calm || roll(3))) {
		if (fake.nqueue == 0)
			fake_post(req, -ENOBUFS, false);
		else
			fill(req, s, calm || roll(6));
	}
	if (req->live && !in_socket(s) && s->written == LENGTH && (calm || roll(2)))
		fake_post(req, 0, false);
	else if (req->live && !calm && roll(30) == 0)
		fake_post(req, roll(2) ? -EINTR : -EAGAIN, false);
}

/* Cancelled, it may have been at it. */
static void end_receive(struct fake_req *req, struct sock *s)
{
	if (in_socket(s) && fake.nqueue && roll(4) == 0)
		fill(req, s, roll(2));
	if (req->live)
		fake_post(req, -ECANCELED, false);
}

static void hear(struct fake_req *req, struct sock *s)
{
	const struct iovec *v = req->msg->msg_iov;
	unsigned i, n = 1 + roll((unsigned)v->iov_len);

	for (i = 0; i < n; i++)
		ck_assert_int_eq(((const char *)v->iov_base)[i], byte_at(s, s->heard + i));
	s->heard += n;
	fake_post(req, (int)n, false);
}

static void serve(struct fake_req *req, bool over)
{
	struct sock *s = sock_of(req->fd);

	if (req->moves == EVU_RECV && over)
		end_receive(req, s);
	else if (req->moves == EVU_RECV)
		receive(req, s);
	else if (roll(over ? 4 : 2) == 0)
		hear(req, s);
	else if (over || roll(20) == 0)
		fake_post(req, -ECANCELED, false);
}

/* Cancels come before anything else. */
static void kernel_entered(void)
{
	int i, first;

	for (i = 0; i < fake.nreqs; i++)
		if (fake.reqs[i].live && fake.reqs[i].cancelled)
			serve(&fake.reqs[i], true);
	first = fake.nreqs ? (int)roll((unsigned)fake.nreqs) : 0;
	for (i = 0; i < fake.nreqs; i++) {
		struct fake_req *req = &fake.reqs[(first + i) % fake.nreqs];

		if (req->live && req->kind == EVU_NO_POLL)
			serve(req, false);
	}
}

/* Its owner closes the ring: everything is cancelled and reaped. */
static void kernel_closed(bool alien)
{
	int i;

	for (i = 0; i < fake.nreqs && !alien; i++)
		if (fake.reqs[i].live && fake.reqs[i].kind == EVU_NO_POLL)
			serve(&fake.reqs[i], true);
}

/* ---- the embedder */

/* Takes the queue and uses some of it; `all`: all of it. */
static void take(struct sock *s, bool all)
{
	struct evu_item *item = evu_intake_take(s->in), *next;

	for (; item && (all || roll(4)); item = next) {
		bool whole = all || roll(3);
		unsigned n = item->end - item->start;

		for (n = whole ? n : roll(n); n; n--, item->start++)
			ck_assert_int_eq(((char *)item->data)[item->start], byte_at(s, s->seen++));
		next = item->next;
		if (item->start < item->end)
			break;
		if (roll(3) == 0) {
			fake_block_free(item->data);
			item->data = NULL;
		}
		evu_item_give(e, item);
	}
	if (item)
		evu_intake_put_back(s->in, item);
}

/* Nothing is armed, or nothing that could make progress: read(2) gives the rest. */
static void read_itself(struct sock *s)
{
	unsigned n = in_socket(s);

	take(s, true);
	for (n = n ? roll(n + 1) : 0; n; n--, s->seen++) {
		ck_assert_uint_eq(s->seen, s->gone);
		s->gone++;
	}
}

/* What an embedder does when something ended. */
static void look_at_end(struct sock *s)
{
	int end = s->in->end;

	if (!end)
		return;
	take(s, true);
	ck_assert_msg(end == EVU_END_OF_FILE || end == -ENOBUFS, "%s", strerror(-end));
	if (end == EVU_END_OF_FILE) {
		ck_assert_uint_eq(s->seen, LENGTH);
		s->finished = true;
		return;
	}
	read_itself(s);
	s->in->end = 0;
	evu_intake_start(s->in, s->fd, 0);
}

static void start_receiving(struct sock *s)
{
	evu_intake_start(s->in, s->fd, calm || roll(2) ? 0 : 1 + roll(20));
}

static void look_at_result(struct sock *s)
{
	if (!evu_request_over(&s->send->req))
		return;
	if (s->send->result > 0) {
		s->told += (unsigned)s->send->result;
		s->send->result = -EINPROGRESS;
	}
	ck_assert_int_eq(s->send->result, -EINPROGRESS);
	ck_assert_uint_eq(s->told, s->heard);
}

static void start_sending(struct sock *s)
{
	unsigned i;

	look_at_result(s);
	if (!evu_request_over(&s->send->req) || s->told == LENGTH)
		return;
	for (i = 0; i < sizeof(s->piece) && s->told + i < LENGTH; i++)
		s->piece[i] = byte_at(s, s->told + i);
	s->send->vecs[0] = (struct iovec){s->piece, i};
	s->send->n_vecs = 1;
	evu_send_start(s->send, s->fd);
}

static void a_turn_elsewhere(void)
{
	evu_engine_enter(e);
	turn();
	evu_engine_leave(e, roll(2));
}

static void lose_the_ring(void)
{
	switch (roll(5)) {
	case 0:
		ck_assert_int_eq(evu_engine_reinit(e), 0);
		break;
	case 1:
		evu_engine_abandon(e);
		break;
	case 2:
		fake.refuse_wait = (struct fake_refusal){-EBADF, 1, 0};
		turn();
		break;
	case 3:
		evu_engine_leave(e, roll(2));
		evu_engine_enter(e);
		break;
	case 4:
		if (roll(4))
			break;
		evu_engine_leave(e, roll(2));
		elsewhere(a_turn_elsewhere);
		evu_engine_enter(e);
		break;
	}
}

static void lack_memory(void)
{
	if (roll(2))
		fake_mem_install((int)roll(3));
	if (roll(2))
		fake_log.refuse_block = (struct fake_refusal){-ENOMEM, (int)roll(6), 0};
	turn();
	fake_mem_install(-1);
	fake_log.refuse_block.times = 0;
}

static void halt_both(struct sock *s)
{
	if (roll(2))
		evu_request_halt(&s->send->req);
	evu_request_halt(&s->in->req);
	if (roll(2))
		read_itself(s);
}

static void drop_both(struct sock *s)
{
	evu_request_drop(&s->send->req);
	evu_request_drop(&s->in->req);
	if (!evu_engine_settle(e))
		turn();
	ck_assert(evu_request_over(&s->in->req) && evu_request_over(&s->send->req));
	if (roll(2))
		read_itself(s);
}

static void step(void)
{
	struct sock *s = &socks[roll(SOCKETS)];

	switch (roll(12)) {
	case 0:
		halt_both(s);
		break;
	case 1:
		drop_both(s);
		break;
	case 2:
	case 3:
		start_receiving(s);
		start_sending(s);
		break;
	case 4:
	case 5:
		take(s, roll(2));
		break;
	case 6:
		s->written += roll(60);
		if (s->written > LENGTH)
			s->written = LENGTH;
		break;
	case 7:
		if (roll(3) == 0)
			lose_the_ring();
		break;
	case 8:
		if (roll(3) == 0)
			lack_memory();
		break;
	default:
		turn();
		break;
	}
	look_at_end(s);
}

/* What has to be so between any two steps. */
static void books_balance(void)
{
	const struct evu_bufring *b = &e->bufrings[false];

	ck_assert_int_eq(fake_live(), e->nrequests);
	if (b->registered)
		ck_assert_uint_eq(fake.nqueue, b->entries - b->n_free);
	ck_assert_uint_eq(e->pool.in_flight, (unsigned)(e->nrequests + e->narmed));
}

static bool all_done(void)
{
	int i;

	for (i = 0; i < SOCKETS; i++)
		if (!socks[i].finished || socks[i].told < LENGTH)
			return false;
	return true;
}

/* Nobody gets in the way any more: everything comes to its end. */
static void finish(void)
{
	int i, turns;

	calm = true;
	for (turns = 0; turns < 5000 && !all_done(); turns++) {
		for (i = 0; i < SOCKETS; i++) {
			struct sock *s = &socks[i];

			s->written = LENGTH;
			take(s, true);
			look_at_end(s);
			look_at_result(s);
			if (!s->finished)
				start_receiving(s);
			start_sending(s);
		}
		turn();
	}
	ck_assert_msg(all_done(), "it does not come to its end");
}

static void walk(unsigned number)
{
	int i;

	setup_with("3");
	dice = number * 2654435761u + 1;
	calm = false;
	for (i = 0; i < SOCKETS; i++) {
		socks[i] =
		    (struct sock){.in = new_intake(EVU_RECV), .fd = A + i, .send = evu_send_new(e)};
		sends[n_sends++] = socks[i].send;
	}
	fake.cancel_by_hand = true;
	fake.on_enter = kernel_entered;
	fake.on_close = kernel_closed;
	for (i = 0; i < STEPS; i++) {
		step();
		books_balance();
	}
	finish();
	fake.on_close = NULL;
	teardown();
}

#define WALKS 200

START_TEST(test_every_byte_is_seen_once_and_in_its_place)
{
	unsigned i;

	for (i = 0; i < WALKS; i++)
		walk((unsigned)_i * WALKS + i + 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("data_walk");
	TCase *tc = tcase_create("walks");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, test_every_byte_is_seen_once_and_in_its_place, 0, 10);
	suite_add_tcase(s, tc);
	return data_suite_run(s);
}
