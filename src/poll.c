/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Readiness of file descriptors, with level semantics supplied here.
 *
 * The happy path on io_uring. want() puts the poll on the pending list; the next flush arms it as a
 * multishot request that stays for as long as the fd is watched. A completion puts the poll on the
 * hot list. When all completions of a turn are in, one poll(2) over the hot list says what is so,
 * and that is told. A level poll then stays hot: the next turn asks again, and only when poll(2)
 * denies it does it leave the list. Then the armed request will wake us: whatever happens after the
 * poll(2) makes a completion.
 *
 * So a completion is a hint and poll(2) is the truth (but a completion is taken at its word when
 * the program cannot have run since the request was armed or last denied: in a turn that slept,
 * that is). It costs one call for all fds that fired, and buys:
 * - level semantics, which multishot polls do not have (they are edge-triggered after the first
 * completion);
 * - no stale event: a file that was closed while armed lives on in the request, but its number does
 * not (POLLNVAL), or names another file, whose state is told as poll(2) would;
 * - masks without the kernel's additions, and spurious completions that harm nobody.
 *
 * A request may end at any time (no F_MORE): one-shot requests always do, multishots when the
 * completion queue overflowed or for files that cannot be waited for. It is armed anew when its
 * poll leaves the hot list, for arming looks at the file first: nothing between the poll(2) and the
 * arming is lost.
 *
 * A poll beside an intake of connections (EVU_BESIDE) is told less often: see evu_poll_calm.
 *
 * The readiness rings tell the truth themselves and need none of this; there the hot list holds
 * only `bare` fds, those without a poll method, which epoll refuses.
 *
 * Dropping. The op is cut off and cancelled; the poll may be freed at once. From a thread that does
 * not own the ring the op is handed to the owner.
 */
#include "poll.h"

#include <assert.h>
#include <errno.h>
#include <sys/stat.h>

#include "request.h"

#define TOLD (POLLERR | POLLHUP)

/* Who is told something while it is parked is not parked again so often: it costs a turn. */
#define PARK_PAUSE 15

/* Closes the holes. */
static void hot_pack(struct evu_engine *e)
{
	int i, n = 0;

	if (!e->holes)
		return;
	e->holes = 0;
	for (i = 0; i < e->nhot; i++) {
		struct evu_poll *p = e->hot[i];

		if (!p)
			continue;
		p->hot = n;
		e->hot[n++] = p;
	}
	e->nhot = n;
}

/* There is room for every poll that is wanted, without holes. */
static void hot_add(struct evu_engine *e, struct evu_poll *p)
{
	if (p->hot >= 0)
		return;
	if (e->nhot == e->cap_hot)
		hot_pack(e);
	assert(e->nhot < e->cap_hot);
	p->hot = e->nhot;
	e->hot[e->nhot++] = p;
}

/* Leaves a hole. */
static void hot_remove(struct evu_engine *e, struct evu_poll *p)
{
	if (p->hot < 0)
		return;
	e->hot[p->hot] = NULL;
	e->holes++;
	p->hot = -1;
	p->hint = 0;
}

static int hot_reserve(struct evu_engine *e, int want)
{
	int cap = e->cap_hot ? e->cap_hot : 16;
	void *p;

	if (want <= e->cap_hot)
		return 0;
	while (cap < want)
		cap *= 2;
	p = evu_mem.realloc(e->hot, (size_t)cap * sizeof(*e->hot));
	if (!p)
		return -ENOMEM;
	e->hot = p;
	p = evu_mem.realloc(e->checks, (size_t)cap * sizeof(*e->checks));
	if (!p)
		return -ENOMEM;
	e->checks = p;
	e->cap_hot = cap;
	return 0;
}

static void pend(struct evu_engine *e, struct evu_poll *p)
{
	if (!evu_link_linked(&p->pending))
		evu_link_append(&e->pending, &p->pending);
}

/* True iff somebody had waited for it. */
static bool tell(struct evu_engine *e, struct evu_poll *p, unsigned mask)
{
	bool heard = e->hooks->ready(e->arg, p, mask);

	e->told += heard;
	/* A hang-up that nobody waits for: epoll tells of it again and again, io_uring does not. */
	if (!heard && e->spare)
		e->moving = true;
	return heard;
}

static void woken(struct evu_engine *e)
{
	e->woken = true;
	if (!e->ring->ops->edge)
		evu_wake_drain(e->wake.fd);
	if (!e->wake.op)
		pend(e, &e->wake);
}

/* The poll has no request any more. */
static void release(struct evu_engine *e, struct evu_poll *p)
{
	p->op = NULL;
	e->narmed--;
}

/* Something happened that nobody waits for: the registration goes. */
static void unpark(struct evu_engine *e, struct evu_poll *p, bool more)
{
	struct evu_op *op = p->op;

	p->parked = false;
	e->nparked--;
	release(e, p);
	if (!more) {
		p->again = true;
		return;
	}
	p->tired = PARK_PAUSE;
	evu_op_orphan(op);
	(void)e->ring->ops->cancel(e->ring, op);
}

static void on_completion(struct evu_op *op, void *ctx, int res, bool more)
{
	struct evu_poll *p = ctx;
	struct evu_engine *e = p->engine;

	assert(p->op == op);
	if (__builtin_expect(p->parked, 0)) {
		unpark(e, p, more);
		return;
	}
	if (!more)
		release(e, p);
	if (__builtin_expect(p == &e->wake, 0)) {
		woken(e);
		return;
	}
	if (e->ring->ops->truth) {
		p->again = !more;
		(void)tell(e, p, (unsigned)res);
		return;
	}
	/* More wait queues than io_uring can follow: another method can. */
	if (res == -EINVAL)
		e->broken = true;
	/* Since the kernel last looked the fd up by its number nobody had a chance to close it. */
	if (res > 0 && (p->hot < 0 || p->hint) && p->seen == e->epoch && p->watch != EVU_BESIDE &&
	    (!e->hooks->lock || e->blind))
		p->hint |= (uint16_t)((unsigned)res & (p->want | TOLD));
	else
		p->hint = 0;
	hot_add(e, p);
}

/* Arms one poll. 0, or -errno with nothing changed. */
static int arm(struct evu_engine *e, struct evu_poll *p)
{
	struct evu_op *op = evu_op_get(&e->pool, on_completion, p);
	static const enum evu_poll_kind kinds[] = {
	    [EVU_ONCE] = EVU_POLL_ONCE,
	    [EVU_LEVEL] = EVU_POLL_LEVEL,
	    [EVU_EDGE] = EVU_POLL_EDGE,
	    [EVU_BESIDE] = EVU_POLL_LEVEL,
	};
	int rc;

	assert(!p->op);
	if (!op)
		return -ENOMEM;
	rc = e->ring->ops->arm(
	    e->ring, op, p->fd, p->want, kinds[p->denied ? EVU_LEVEL : p->watch], p->again);
	if (rc < 0) {
		evu_op_put(&e->pool, op);
		return rc;
	}
	p->op = op;
	e->narmed++;
	p->again = false;
	p->seen = e->epoch;
	return 0;
}

/* A character device without a poll method (/dev/null): poll(2) calls it ready, always, so it lives
 * on the hot list. Being always ready has no edge, and no end of file. */
static int watch_bare(struct evu_engine *e, struct evu_poll *p)
{
	if (p->watch == EVU_EDGE || !(p->want & (POLLIN | POLLOUT)))
		return -EPERM;
	p->bare = true;
	hot_add(e, p);
	return 0;
}

/* epoll said EPERM: to the fd, or to us. */
static int arm_refused(struct evu_engine *e, struct evu_poll *p)
{
	struct stat st;
	int rc = evu_fd_admit(p->fd);

	if (rc == EVU_FD_BARE)
		return watch_bare(e, p);
	if (rc < 0 || fstat(p->fd, &st) < 0)
		return -EPERM;
	return -ENOSYS;
}

/* Arms one poll. 0 also when it has to wait for the next turn: the poll is pending then. Other
 * errors are about the fd. */
static int arm_or_pend(struct evu_engine *e, struct evu_poll *p)
{
	int rc = arm(e, p);

	if (rc == -EPERM && e->ring->ops->any_thread)
		rc = arm_refused(e, p);
	if (rc == 0)
		return 0;
	if (rc == -ENOSYS || !e->ring->ops->any_thread) {
		/* The ring cannot be used. A full queue and a kernel short of memory pass. */
		if (rc != -ENOMEM && rc != -EBUSY && rc != -EAGAIN)
			e->broken = true;
		rc = 0;
	}
	if (rc == 0)
		pend(e, p);
	return rc;
}

void evu_poll_flush(struct evu_engine *e)
{
	struct evu_link batch;
	struct evu_link *l;

	/* The list moves aside: what cannot be armed now goes on the list anew. */
	evu_link_init(&batch);
	while ((l = evu_link_take(&e->pending)))
		evu_link_append(&batch, l);
	while ((l = evu_link_take(&batch))) {
		struct evu_poll *p = evu_container_of(l, struct evu_poll, pending);
		int rc = p->op ? 0 : arm_or_pend(e, p);

		/* Any other error: the fd was closed meanwhile, and nobody can tell anything of it
		 * any more. */
		if (rc == -ENOMEM || rc == -ENOSPC)
			pend(e, p);
	}
}

/* Ends the request of a poll, if there is one. On io_uring the cancel is only queued. */
static void disarm(struct evu_engine *e, struct evu_poll *p)
{
	struct evu_op *op = p->op;

	if (!op)
		return;
	release(e, p);
	evu_op_orphan(op);
	if (!e->ring->ops->any_thread && !evu_engine_owned(e, evu_thread_id())) {
		if (e->looper)
			evu_op_hand(&e->handoff, op);
		else
			evu_engine_abandon(e);
		return;
	}
	if (e->ring->ops->cancel(e->ring, op) < 0)
		e->broken = true;
	e->unflushed = !e->ring->ops->any_thread;
}

void evu_poll_take_handoff(struct evu_engine *e)
{
	struct evu_op *op;

	while ((op = evu_op_take_handed(&e->pool, &e->handoff))) {
		if (e->ring->ops->cancel(e->ring, op) < 0)
			e->broken = true;
		e->unflushed = true;
	}
}

static void lost(evu_op_handler *handler, void *ctx)
{
	struct evu_poll *p = ctx;

	if (evu_request_handles(handler)) {
		evu_request_lost(ctx);
		return;
	}
	release(p->engine, p);
	p->again = false;
	if (p->parked) {
		p->parked = false;
		p->engine->nparked--;
		return;
	}
	if (p->hot < 0)
		pend(p->engine, p);
}

static void rest(struct evu_op *op, void *arg)
{
	struct evu_engine *e = arg;
	struct evu_poll *p = op->ctx;

	if (evu_request_handles(op->handler)) {
		evu_request_rest(op->ctx);
		return;
	}
	if (!op->handler || p == &e->wake || p->watch == EVU_EDGE)
		return;
	disarm(e, p);
	if (p->hot < 0)
		pend(e, p);
}

void evu_poll_rest(struct evu_engine *e)
{
	evu_op_each_armed(&e->pool, rest, e);
}

void evu_poll_ring_lost(struct evu_engine *e)
{
	while (evu_op_take_handed(&e->pool, &e->handoff))
		;
	e->unflushed = e->unsettled = false;
	evu_op_reset_all(&e->pool, lost);
}

/*
 * What is to be told of a hot fd, given what poll(2), or its own completion, says. True iff it
 * stays hot.
 *
 * What nobody has waited for (a hang-up, for an event that wants EV_CLOSED only) counts as nothing.
 * A one-shot request that ended for nothing would end again at once when armed anew: io_uring's
 * polls always look for RDHUP too. So it is armed as a multishot then, which says a thing once
 * (`denied`).
 */
static bool confirm_one(struct evu_engine *e, struct evu_poll *p, unsigned mask)
{
	bool heard;

	if (mask & POLLNVAL) {
		/* Closed without being dropped. epoll forgets such an fd by itself. */
		disarm(e, p);
		return false;
	}
	mask &= p->want | TOLD;
	heard = mask && tell(e, p, mask);
	if (heard && p->watch == EVU_LEVEL)
		return true;
	if (heard && p->watch == EVU_ONCE) {
		disarm(e, p);
		return false;
	}
	if (!heard)
		p->seen = e->epoch;
	/* A device that is not ready: the number means another file by now. If that is refused as
	 * well, epoll is forbidden. */
	if (!heard && p->bare)
		e->broken |= p->denied;
	/* Nobody asks poll(2) for it any more: its request must be there to bring it back. */
	if (!p->op) {
		p->denied = p->bare || p->watch == EVU_ONCE;
		pend(e, p);
	}
	return false;
}

/* Writes down what to ask. Returns how many questions there are. */
static unsigned hot_ask(struct evu_engine *e)
{
	unsigned n = 0;
	int i;

	hot_pack(e);
	for (i = 0; i < e->nhot; i++) {
		const struct evu_poll *p = e->hot[i];

		if (!p->hint)
			e->checks[n++] = (struct pollfd){.fd = p->fd, .events = (short)p->want};
	}
	return n;
}

void evu_poll_confirm(struct evu_engine *e)
{
	unsigned n_ask, asked = 0;
	int i, n_stay = 0, rc = 0;

	if (e->nhot == 0)
		return;
	n_ask = hot_ask(e);
	if (n_ask) {
		rc = e->ring->ops->check(e->ring, e->checks, n_ask);
		e->blind = rc < 0;
	}
	for (i = 0; i < e->nhot; i++) {
		struct evu_poll *p = e->hot[i];
		unsigned mask = p->hint;

		if (!mask && rc == 0)
			mask = (unsigned)e->checks[asked++].revents;
		p->hint = 0;
		p->hot = -1;
		/* Nobody can be asked: arming it anew will show. */
		if (!mask && rc < 0)
			disarm(e, p);
		if (confirm_one(e, p, mask)) {
			p->hot = n_stay;
			e->hot[n_stay++] = p;
		} else {
			p->bare = false;
		}
	}
	e->nhot = n_stay;
}

void evu_poll_init(struct evu_poll *poll, struct evu_engine *engine, int fd)
{
	*poll = (struct evu_poll){.engine = engine, .fd = fd, .hot = -1};
	evu_link_init(&poll->pending);
}

/* The kernel holds, or will hold at the next flush, exactly this request. */
static bool watched_as(const struct evu_poll *p, unsigned mask, enum evu_watch watch)
{
	return p->want == mask && p->watch == watch &&
	       (p->op || p->hot >= 0 || evu_link_linked(&p->pending));
}

/* Arms or changes at once, where any thread may: epoll's answer is the answer. */
static int want_now(struct evu_engine *e, struct evu_poll *p)
{
	struct evu_op *op = p->op;
	int rc;

	if (!op)
		return arm_or_pend(e, p);
	/* epoll changes a registration in one call, but for one whose file was closed: `again`
	 * covers both. */
	release(e, p);
	p->again = true;
	rc = arm_or_pend(e, p);
	if (rc < 0) {
		p->op = op;
		e->narmed++;
		p->again = false;
		return rc;
	}
	e->nparked -= p->parked;
	p->parked = false;
	evu_op_orphan(op);
	if (p->op)
		e->ring->ops->replaced(e->ring, op);
	else
		/* Another file, which is not for epoll, has the number; the old one may live on. */
		(void)e->ring->ops->cancel(e->ring, op);
	return 0;
}

static int want_later(struct evu_engine *e, struct evu_poll *p, bool known)
{
	int rc = known || p->op ? 0 : evu_fd_admit(p->fd);

	/* Whoever forbids epoll (tmux does) may do so because it refuses files; poll, which is
	 * left, does not, nor does this ring then. */
	if (rc == -EPERM && (e->methods & (1u << EVU_EPOLL | 1u << EVU_POLL2)) == 1u << EVU_POLL2)
		rc = EVU_FD_BARE;
	if (rc < 0)
		return rc;
	if (rc == EVU_FD_BARE)
		return watch_bare(e, p);
	disarm(e, p);
	if (p->hot < 0)
		pend(e, p);
	return 0;
}

int evu_poll_want(struct evu_poll *p, unsigned mask, enum evu_watch watch, bool known)
{
	struct evu_engine *e = p->engine;
	unsigned old_want = p->want;
	uint8_t old_watch = p->watch;
	int rc;

	assert(mask && p->fd >= 0);
	evu_engine_see_fork(e);
	if (watched_as(p, mask, watch))
		return 0;
	/* Memory is for this call to ask for: arming and telling come later, and have nobody to
	 * tell that there is none. (Two more ops than polls without: one for the wake-up, one for
	 * what a change cancels.) */
	if (hot_reserve(e, e->npolls + (old_want == 0)) < 0 ||
	    evu_op_reserve(&e->pool,
		(uint32_t)(e->npolls + (old_want == 0) + 2 - (e->narmed - e->nparked))) < 0)
		return -ENOMEM;
	p->denied = false;
	p->want = (uint16_t)mask;
	p->watch = watch;
	if (e->ring && e->ring->ops->any_thread && !evu_link_linked(&p->pending) && p->hot < 0)
		rc = want_now(e, p);
	else
		rc = want_later(e, p, known);
	if (rc < 0) {
		p->want = (uint16_t)old_want;
		p->watch = old_watch;
		return rc;
	}
	e->npolls += old_want == 0;
	return 0;
}

/* The request accepts until nobody waits, and it has gone on after this poll was woken: whoever
 * woke it has been accepted, by whomever. (Both run in this thread, one after the other.) */
void evu_poll_calm(struct evu_poll *p)
{
	if (p->hot < 0 || p->watch != EVU_BESIDE)
		return;
	hot_remove(p->engine, p);
	if (!p->op)
		pend(p->engine, p);
}

static inline void drop(struct evu_engine *e, struct evu_poll *p)
{
	hot_remove(e, p);
	p->bare = false;
	if (p->op)
		disarm(e, p);
	/* Also for a request that an earlier want() replaced. */
	e->unsettled |= e->unflushed;
	/* After disarm(): a ring that had to be given up puts the poll on the list. */
	if (evu_link_linked(&p->pending))
		evu_link_remove(&p->pending);
	/* Not by `parked`: a ring that is given up, or a fork that was just noticed, ends that. */
	e->npolls -= p->want != 0;
	e->nparked -= p->parked;
	p->parked = false;
	p->want = 0;
}

void evu_poll_drop(struct evu_poll *p)
{
	if (!p->want && !p->parked)
		return;
	evu_engine_see_fork(p->engine);
	drop(p->engine, p);
}

/* What is ready to be written is told at once, so parking would not last. */
static bool may_park(const struct evu_engine *e, const struct evu_poll *p)
{
	/* Other threads may close what they have deleted, and open something else. */
	return p->op && !(p->want & POLLOUT) && !e->hooks->lock && e->ring &&
	       e->ring->ops->lets_go && !e->no_parking && p->hot < 0;
}

/*
 * Programs stop watching a connection for a moment, and those that close it do not care. An epoll
 * registration that is left alone for that time costs nothing, ends with its file, and is brought
 * back by one MOD instead of a DEL and an ADD. If it tells something meanwhile it is removed. When
 * that fails, because the number is closed but the file is not, there is a new epoll set (see
 * ring_readiness.c), once, and no parking any more.
 */
bool evu_poll_park(struct evu_poll *p)
{
	struct evu_engine *e = p->engine;

	if (!p->want)
		return e->unsettled || e->handoff;
	evu_engine_see_fork(e);
	if (!may_park(e, p) || p->tired) {
		p->tired -= p->tired > 0;
		drop(e, p);
		return e->unsettled || e->handoff;
	}
	evu_link_remove(&p->pending);
	p->parked = true;
	p->want = 0;
	e->nparked++;
	e->npolls--;
	return e->unsettled || e->handoff;
}
