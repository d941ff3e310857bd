/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Receiving: one multishot request for as long as the embedder reads.
 *
 * The happy path: bytes come, the kernel puts them into one of the buffers and completes; the
 * buffer goes to the end of the intake's queue, and the request stays armed. The embedder is told,
 * and takes the queue when it runs its callbacks.
 *
 * How it ends: the peer is done (0, told behind the data); an error (likewise); no buffer was free
 * (ENOBUFS: the embedder reads by itself this once, more buffers are provided, and it is armed
 * anew); it had a cap, and has brought something (the embedder says how much the next one may
 * bring); for no reason (armed anew). When it is armed and nothing is known to wait in the socket,
 * it waits first (POLL_FIRST) and saves a receive in vain.
 *
 * Idle. An armed receive takes 860 bytes in the kernel, a poll 250. So a receive that brought
 * nothing for a while (ring->idle_ns, a second) ends, and a one-shot poll takes its place; when
 * that fires, the receive is armed again and brings what there is in the same turn. A clock hand
 * goes round all requests once in that while: who has not been used since the last time is idle.
 * While there are receives left the loop wakes up for it; with nothing but polls it sleeps on. What
 * waits in a socket when a turn begins is told by that turn all the same (rouse in engine.c).
 */
#include "request.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <time.h>

/* So long may an end that came with the last bytes go unnoticed while the loop is busy: several of
 * its turns, and less than what the kernel's own timers take amiss (a delayed ACK is 40 ms, a tick
 * 1 to 10). */
#define ASK_NS INT64_C(5000000)

/* So many blocks have to speak for the other size. */
enum { ENTER_BULK = 4, LEAVE_BULK = 16 };

void evu_intake_init(struct evu_intake *in, struct evu_engine *e, enum evu_request_kind kind)
{
	*in = (struct evu_intake){0};
	evu_request_init(&in->req, e, kind);
	if (kind == EVU_RECV)
		evu_link_init(&in->unsure);
	in->last = &in->first;
}

/* True iff the receive that is armed may bring more than it should. */
static bool too_much(const struct evu_intake *in)
{
	return in->cap && (in->armed_cap == 0 || in->armed_cap > in->cap);
}

/*
 * A multishot receive that has emptied the socket waits for the next wake-up, without having looked
 * for the end; and a wake-up for the end may have been one with that for the data (up to some 6.18
 * when it was armed already, in all kernels when both were there before). Only TCP's FIN counts as
 * something that is left to read; a reset, and the end of an AF_UNIX socket, do not. So those that
 * brought data and left nothing are asked, all together, before a wait. What ends after that makes
 * a wake-up of its own.
 *
 * That is a system call a turn where there is one turn after the other, and nearly always in vain:
 * so while there is always something to do it is asked once in ASK_NS. Before that a turn looks at
 * the ring, which with something to submit is the call that it makes anyway, and else none; only
 * when that brings nothing it is asked, and the turn sleeps. (Sleeping no longer than until ASK_NS
 * are over costs more: a timer is set for each sleep.) After a silence it is asked at once. So it
 * is, whatever the time, for a receive's first bytes since it was armed, and after an asking that
 * was not in vain: peers that send and end, and do nothing until the answer has ended, would be
 * served one in ASK_NS. And in a turn whose caller does not let it wait, for there may be no other
 * soon.
 */
static inline void may_have_ended(struct evu_intake *in)
{
	struct evu_engine *e = in->req.engine;

	if (!in->req.op || in->nonempty || !in->req.wanted) {
		evu_link_remove(&in->unsure);
		return;
	}
	if (!evu_link_linked(&in->unsure))
		evu_link_append(&e->unsure, &in->unsure);
	if (in->fresh)
		e->ask_ns = INT64_MIN;
	in->fresh = false;
}

void evu_intake_start(struct evu_intake *in, int fd, unsigned cap)
{
	bool halted = in->req.halting;

	assert(cap <= EVU_BLOCK_SIZE);
	if (in->end || in->queued >= EVU_INTAKE_MOST)
		return;
	in->req.fd = fd;
	in->cap = (uint16_t)cap;
	if (too_much(in))
		evu_request_renew(&in->req);
	evu_request_start(&in->req);
	/* It goes on as if nothing had been, but nobody would have been told of an end. */
	if (halted && !in->req.halting && in->req.kind == EVU_RECV)
		may_have_ended(in);
}

/* One more item of that weight is at hand. */
static inline void append(struct evu_intake *in, struct evu_item *item, unsigned n)
{
	struct evu_engine *e = in->req.engine;

	item->next = NULL;
	*in->last = item;
	in->last = &item->next;
	in->queued += n;
	/* Nobody takes it: the loop has more urgent things to do. The peer has to wait as well. */
	if (in->queued >= EVU_INTAKE_MOST)
		evu_request_halt(&in->req);
	e->told++;
	e->hooks->arrived(e->arg, in);
}

static unsigned weight(const struct evu_item *item)
{
	return item->fd >= 0 ? EVU_INTAKE_CONNECTION : item->end - item->start;
}

void evu_intake_append(struct evu_intake *in, struct evu_item *item)
{
	append(in, item, weight(item));
}

void evu_intake_ended(struct evu_intake *in, int end)
{
	struct evu_engine *e = in->req.engine;

	in->end = end;
	in->req.wanted = false;
	if (in->req.kind == EVU_RECV)
		evu_link_remove(&in->unsure);
	e->told++;
	e->hooks->arrived(e->arg, in);
}

struct evu_item *evu_intake_take(struct evu_intake *in)
{
	struct evu_item *item = in->first;

	in->first = NULL;
	in->last = &in->first;
	in->queued = 0;
	return item;
}

struct evu_item *evu_intake_pop(struct evu_intake *in)
{
	struct evu_item *item = in->first;

	if (!item)
		return NULL;
	in->first = item->next;
	if (!in->first)
		in->last = &in->first;
	in->queued -= weight(item);
	item->next = NULL;
	return item;
}

void evu_intake_put_back(struct evu_intake *in, struct evu_item *item)
{
	struct evu_item *tail = item;

	for (; tail->next; tail = tail->next)
		in->queued += weight(tail);
	in->queued += weight(tail);
	tail->next = in->first;
	if (!in->first)
		in->last = &tail->next;
	in->first = item;
}

/* 0, or an error. */
static int have_ring(struct evu_engine *e, bool bulk)
{
	return e->bufrings[bulk].registered ? 0 : evu_bufring_fill(e, bulk);
}

static bool have_bulk(struct evu_engine *e)
{
	return e->ring->bulk && have_ring(e, true) == 0 && evu_bufring_any(&e->bufrings[true]);
}

int evu_recv_arm(struct evu_request *r, struct evu_op *op)
{
	struct evu_engine *e = r->engine;
	struct evu_intake *in = evu_container_of(r, struct evu_intake, req);
	bool bulk;
	int rc;

	in->idle &= !in->nonempty && e->ring->idle_ns;
	in->used = true;
	if (in->idle) {
		in->armed_cap = 1; /* it brings nothing, whatever the cap */
		return e->ring->ops->arm(
		    e->ring, op, r->fd, POLLIN | POLLRDHUP, EVU_POLL_ONCE, false);
	}
	bulk = in->bulk && in->cap == 0 && have_bulk(e);
	rc = bulk ? 0 : have_ring(e, false);
	/* A kernel that has no rings of buffers may still do everything else. */
	if (rc < 0)
		return rc == -ENOMEM ? rc : -EOPNOTSUPP;
	in->fresh = true;
	in->armed_cap = in->cap;
	in->armed_bulk = bulk;
	return e->ring->ops->recv(e->ring, op, r->fd, bulk, in->cap, in->nonempty);
}

/*
 * `n` bytes came. Blocks that are full while more waits speak for large ones, and large blocks with
 * no more in them than fits in another against it. The receive is armed anew with the others.
 */
static __attribute__((noinline)) void choose_blocks(struct evu_intake *in, unsigned n)
{
	bool doubt = in->bulk ? n <= EVU_BLOCK_SIZE : n == EVU_BLOCK_SIZE && in->nonempty;

	/* It is to be armed anew already, or there are no large ones. */
	if (in->armed_cap || in->armed_bulk != in->bulk || !in->req.engine->ring->bulk)
		return;
	if (!doubt) {
		in->doubts = in->bulk ? 0 : in->doubts;
		return;
	}
	if (++in->doubts < (in->bulk ? LEAVE_BULK : ENTER_BULK))
		return;
	in->doubts = 0;
	in->bulk = !in->bulk;
	evu_request_renew(&in->req);
}

static bool room_for(struct evu_engine *e, unsigned n)
{
	unsigned cap = e->cap_unsure ? e->cap_unsure : 64;
	struct pollfd *fds;

	if (n <= e->cap_unsure)
		return true;
	while (cap < n)
		cap *= 2;
	fds = evu_mem.realloc(e->unsure_fds, cap * sizeof(*fds));
	if (!fds)
		return false;
	e->unsure_fds = fds;
	e->cap_unsure = cap;
	return true;
}

/* The first `most` of the list; how many. */
static unsigned ask(struct evu_engine *e)
{
	struct evu_link *l;
	unsigned n = 0;

	for (l = e->unsure.next; l != &e->unsure && room_for(e, n + 1); l = l->next) {
		const struct evu_intake *in = evu_container_of(l, struct evu_intake, unsure);

		e->unsure_fds[n++] = (struct pollfd){.fd = in->req.fd, .events = POLLRDHUP};
	}
	return n;
}

/* True iff any has ended. */
static bool found_ended(struct evu_engine *e)
{
	unsigned i, n = ask(e);
	bool found = false;

	if (n == 0 || e->ring->ops->check(e->ring, e->unsure_fds, n) < 0)
		return false;
	for (i = 0; i < n; i++) {
		struct evu_link *l = evu_link_take(&e->unsure);
		struct evu_intake *in = evu_container_of(l, struct evu_intake, unsure);

		if (!(e->unsure_fds[i].revents & (POLLRDHUP | POLLHUP | POLLERR)))
			continue;
		in->nonempty = true;
		evu_request_renew(&in->req);
		found = true;
	}
	return found;
}

static int64_t now_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int64_t at_most(int64_t timeout_ns, int64_t left)
{
	return timeout_ns < 0 || timeout_ns > left ? left : timeout_ns;
}

bool evu_recv_make_sure(struct evu_engine *e, int64_t timeout_ns)
{
	int64_t now = now_ns(CLOCK_MONOTONIC);
	bool early = e->patient && now < e->ask_ns;

	if (early && (timeout_ns == 0 || !e->looked)) {
		e->looked = true;
		return timeout_ns != 0;
	}
	e->ask_ns = found_ended(e) ? now : now + ASK_NS;
	return false;
}

/* Of ops that a sweep looks at in one turn: what it cancels must not hold up anybody else. */
#define SWEEP_STEP 256u

static void sweep_one(const struct evu_op *op)
{
	struct evu_request *r = op->ctx;
	struct evu_intake *in;

	if (op->state != EVU_OP_ARMED || op->handler != evu_recv_completed ||
	    op->kind != EVU_NO_POLL || r->kind != EVU_RECV || r->halting)
		return;
	in = evu_container_of(r, struct evu_intake, req);
	if (!in->used) {
		in->idle = true;
		evu_request_renew(r);
	}
	in->used = false;
}

static void sweep_on(struct evu_engine *e)
{
	const struct evu_op *op = NULL;
	unsigned i;

	for (i = 0; i < SWEEP_STEP && (op = evu_op_peek(&e->pool, e->sweep_at)); i++) {
		e->sweep_at++;
		sweep_one(op);
	}
	e->sweeping = op != NULL;
}

int64_t evu_recv_sweep(struct evu_engine *e, int64_t timeout_ns)
{
	int64_t now = now_ns(CLOCK_MONOTONIC_COARSE);

	if (now >= e->sweep_ns) {
		e->sweeping = true;
		e->sweep_at = 0;
		e->sweep_ns = now + e->ring->idle_ns;
	}
	if (e->sweeping)
		sweep_on(e);
	return at_most(timeout_ns, e->sweeping ? 0 : e->sweep_ns - now);
}

/* The poll of an idle one. If the fd cannot be polled, receiving will say why. */
static void roused(struct evu_engine *e, struct evu_intake *in, int res)
{
	if (res == -ECANCELED || res == -EINTR || res == -EAGAIN)
		return;
	in->idle = false;
	in->nonempty = true;
	e->roused = true;
}

/* It brought no bytes. */
static void nothing_came(struct evu_intake *in, const struct evu_op *op, int res)
{
	const struct evu_request *r = &in->req;
	struct evu_engine *e = r->engine;

	/* One that was cancelled to be armed anew knows better (evu_recv_make_sure). */
	if (res != -ECANCELED) {
		in->nonempty = op->nonempty;
		in->idle = false;
	}
	e->roused |= res == -ECANCELED && in->idle && r->wanted;
	if (res == -ECANCELED || res == -EINTR || res == -EAGAIN)
		return;
	if (res == -ENOBUFS)
		evu_bufring_dry(e, in->armed_bulk);
	/* There are few large blocks, for the sake of the cache; the next turn has others. */
	if (res == -ENOBUFS && in->armed_bulk) {
		in->nonempty = true;
		return;
	}
	evu_intake_ended(in, res == 0 ? EVU_END_OF_FILE : res);
}

/* It brought `n` bytes in `item`. */
static inline void bytes_came(
    struct evu_intake *in, struct evu_item *item, unsigned n, bool nonempty)
{
	item->start = 0;
	item->end = n;
	in->nonempty = nonempty;
	in->idle = false;
	in->used = true;
	if (in->bulk || n >= EVU_BLOCK_SIZE)
		choose_blocks(in, n);
	may_have_ended(in);
	append(in, item, n);
}

/* The last completion, or one without bytes. */
static __attribute__((noinline)) void received(
    struct evu_intake *in, const struct evu_op *op, int res, bool more)
{
	struct evu_request *r = &in->req;
	struct evu_engine *e = r->engine;
	struct evu_item *item;

	if (!more)
		evu_request_ended(r);
	item = op->kind == EVU_NO_POLL ? evu_bufring_filled(&e->bufrings[in->armed_bulk], op->bid)
				       : NULL;
	if (item && res > 0) {
		r->wanted &= in->armed_cap == 0;
		bytes_came(in, item, (unsigned)res, op->nonempty);
	} else {
		if (item)
			evu_item_give(e, item);
		if (op->kind == EVU_NO_POLL)
			nothing_came(in, op, res);
		else
			roused(e, in, res);
	}
	if (r->wanted)
		evu_request_enlist(r);
}

void evu_recv_completed(struct evu_op *op, void *ctx, int res, bool more)
{
	struct evu_intake *in = evu_container_of(ctx, struct evu_intake, req);
	const unsigned bulk = in->armed_bulk;
	struct evu_item *item;

	assert(in->req.op == op);
	if (more && res > 0 &&
	    (item = evu_bufring_filled(&in->req.engine->bufrings[bulk], op->bid)))
		bytes_came(in, item, (unsigned)res, op->nonempty);
	else
		received(in, op, res, more);
}
