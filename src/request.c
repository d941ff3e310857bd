/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests that move data: their way from being wanted to their last completion.
 *
 * The rule that everything rests on: on a ring with DEFER_TASKRUN, the only one that does this, a
 * request makes progress only while the owner is in io_uring_enter. Outside of it the socket is
 * untouched, whatever is armed. So halting needs no system call, if only its cancel goes in with
 * the next entry, which runs submissions before anything else. It is then as if it had been
 * cancelled at once.
 *
 * A completion may come for a request that is halted or cancelled: what it brings is kept. It may
 * end at any time without a reason (no F_MORE): then it is armed anew, if it is still wanted.
 *
 * When the ring is lost, what was received is here already, what was sent has completed, and what
 * was waiting has done nothing: all requests simply start again.
 */
#include "request.h"

#include <assert.h>
#include <errno.h>

#include "wake.h"

static bool moves(const struct evu_engine *e, unsigned kind)
{
	const struct evu_ring *ring = e->spare ? e->spare : e->ring;

	return ring && ring->moves & 1u << kind;
}

bool evu_engine_moves_data(const struct evu_engine *e, enum evu_request_kind kind)
{
	return moves(e, kind);
}

void evu_request_init(struct evu_request *r, struct evu_engine *e, enum evu_request_kind kind)
{
	*r = (struct evu_request){.engine = e, .fd = -1, .kind = (uint8_t)kind};
	evu_link_init(&r->link);
}

/* True iff the kernel works on it, and was not asked to stop. */
static bool armed(const struct evu_request *r)
{
	return r->op && r->op->state == EVU_OP_ARMED;
}

void evu_request_renew(struct evu_request *r)
{
	if (!armed(r))
		return;
	r->renewed = true;
	if (r->halting)
		return;
	r->halting = true;
	evu_link_append(&r->engine->halting, &r->link);
}

void evu_request_halt(struct evu_request *r)
{
	struct evu_engine *e = r->engine;

	evu_engine_guard(e);
	r->wanted = false;
	if (r->kind == EVU_RECV)
		evu_link_remove(&evu_container_of(r, struct evu_intake, req)->unsure);
	if (r->halting)
		return;
	evu_link_remove(&r->link);
	if (armed(r)) {
		r->halting = true;
		evu_link_append(&e->halting, &r->link);
	}
}

void evu_request_drop(struct evu_request *r)
{
	struct evu_engine *e = r->engine;

	evu_request_halt(r);
	if (!r->op)
		return;
	/* Nobody will come to cancel it: the ring itself has to go. */
	if (!e->looper && !evu_engine_owned(e, evu_thread_id()))
		evu_engine_abandon(e);
	else
		e->unsettled = true;
}

void evu_request_lost(struct evu_request *r)
{
	evu_request_ended(r);
	if (r->wanted)
		evu_request_enlist(r);
}

static void cancel(struct evu_request *r)
{
	struct evu_engine *e = r->engine;

	if (e->ring->ops->cancel(e->ring, r->op) < 0)
		e->broken = true;
	e->unflushed = true;
}

void evu_request_rest(struct evu_request *r)
{
	if (armed(r) && !r->halting)
		cancel(r);
}

void evu_request_flush_halts(struct evu_engine *e)
{
	struct evu_link *l;

	while ((l = evu_link_take(&e->halting))) {
		struct evu_request *r = evu_container_of(l, struct evu_request, link);

		r->halting = false;
		cancel(r);
	}
}

static const struct {
	evu_op_handler *handler;
	int (*arm)(struct evu_request *r, struct evu_op *op);
} kinds[] = {
    [EVU_RECV] = {evu_recv_completed, evu_recv_arm},
    [EVU_ACCEPT] = {evu_accept_completed, evu_accept_arm},
    [EVU_SEND] = {evu_send_completed, evu_send_arm},
};

/* 0, or -errno with nothing changed. */
static int arm(struct evu_engine *e, struct evu_request *r)
{
	struct evu_op *op;
	int rc;

	assert(r->wanted && !r->op);
	if (!moves(e, r->kind))
		return -EOPNOTSUPP;
	if (e->spare) /* not before the next turn */
		return -EAGAIN;
	op = evu_op_get(&e->pool, kinds[r->kind].handler, r);
	if (!op)
		return -ENOMEM;
	rc = kinds[r->kind].arm(r, op);
	if (rc < 0) {
		evu_op_put(&e->pool, op);
		return rc;
	}
	r->op = op;
	e->nrequests++;
	e->nreceiving += r->kind == EVU_RECV && op->kind == EVU_NO_POLL;
	return 0;
}

/* The ring does not do this: the embedder has to do it in another way. */
static void refuse(struct evu_request *r, int rc)
{
	if (r->kind == EVU_SEND)
		evu_send_refused(r, rc);
	else
		evu_intake_ended(evu_container_of(r, struct evu_intake, req), rc);
}

void evu_request_flush(struct evu_engine *e)
{
	struct evu_link batch;
	struct evu_link *l;

	evu_bufring_refill(e);
	evu_link_move_all(&batch, &e->starting);
	while ((l = evu_link_take(&batch))) {
		struct evu_request *r = evu_container_of(l, struct evu_request, link);
		int rc = arm(e, r);

		if (__builtin_expect(rc == 0, 1))
			continue;
		if (rc == -EOPNOTSUPP)
			refuse(r, rc);
		else
			evu_request_enlist(r);
		/* A full queue and a shortage of memory pass. Else the ring cannot be used. */
		if (rc != -EOPNOTSUPP && rc != -ENOMEM && rc != -EBUSY && rc != -EAGAIN)
			e->broken = true;
	}
}
