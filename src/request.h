/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What requests that move data have in common; engine.h says what they are.
 *
 *            start              flush              last completion
 *   idle ------------> starting -------> armed --------------------> idle, or starting if wanted
 *     ^                   |               |  ^
 *     +------- halt ------+          halt |  | start
 *                                         v  |      flush
 *                                       halting ------------> cancelling --last completion--> as
 * above
 *
 * A request that is halted and started again before the flush was never disturbed: switching
 * reading off and on within a callback costs nothing.
 */
#ifndef EVU_REQUEST_H
#define EVU_REQUEST_H

#include "poll.h"
#include "wake.h"

void evu_request_init(struct evu_request *r, struct evu_engine *e, enum evu_request_kind kind);

/* It is wanted: the next flush arms it, if it is not armed already. */
static inline void evu_request_enlist(struct evu_request *r)
{
	if (!r->op && !evu_link_linked(&r->link))
		evu_link_append(&r->engine->starting, &r->link);
}

static inline void evu_request_start(struct evu_request *r)
{
	struct evu_engine *e = r->engine;

	if (!evu_fork_unchanged(e->generation))
		evu_engine_guard(e);
	e->moving = true;
	r->wanted = true;
	if (r->halting && !r->renewed) {
		evu_link_remove(&r->link);
		r->halting = false;
	}
	evu_request_enlist(r);
}

/* The last completion is here, or the ring is gone. */
static inline void evu_request_ended(struct evu_request *r)
{
	struct evu_engine *e = r->engine;

	/* A receive, not a poll in the place of one. */
	if (r->kind == EVU_RECV && r->op->kind == EVU_NO_POLL)
		e->nreceiving--;
	e->nrequests--;
	r->op = NULL;
	r->renewed = false;
	if (r->halting) {
		evu_link_remove(&r->link);
		r->halting = false;
	}
}

/* It is armed on terms that do not hold any more: it ends, and is armed anew. */
void evu_request_renew(struct evu_request *r);

/* Queues the cancels of all that is halting: before anything else of a flush, and before every
 * entry to the kernel. */
void evu_request_flush_halts(struct evu_engine *e);
/* Arms all that is starting. */
void evu_request_flush(struct evu_engine *e);
/* The ring went without a completion for this one. */
void evu_request_lost(struct evu_request *r);
/* No turn may come for a while: nothing may stay armed. */
void evu_request_rest(struct evu_request *r);

/* Each kind's own part: arms, and handles completions. */
int evu_recv_arm(struct evu_request *r, struct evu_op *op);
void evu_recv_completed(struct evu_op *op, void *ctx, int res, bool more);
int evu_accept_arm(struct evu_request *r, struct evu_op *op);
void evu_accept_completed(struct evu_op *op, void *ctx, int res, bool more);
int evu_send_arm(struct evu_request *r, struct evu_op *op);
void evu_send_completed(struct evu_op *op, void *ctx, int res, bool more);
/* The ring does not send. */
void evu_send_refused(struct evu_request *r, int rc);

/* True iff the handler is one of those: its ctx is the request. */
static inline bool evu_request_handles(evu_op_handler *handler)
{
	return handler == evu_recv_completed || handler == evu_send_completed ||
	       handler == evu_accept_completed;
}

/* Looks whether receives that brought the last of what there was have come to their end since.
 * True: it has not, for it did a moment ago; the ring is to be looked at before it sleeps. */
bool evu_recv_make_sure(struct evu_engine *e, int64_t timeout_ns);
/* Makes polls of receives that have been idle for long. How long the turn may sleep. */
int64_t evu_recv_sweep(struct evu_engine *e, int64_t timeout_ns);
/* Frees what the engine keeps for sends. */
void evu_send_fini(struct evu_engine *e);

/* recv.c and accept.c share the queue. */
void evu_intake_append(struct evu_intake *in, struct evu_item *item);
void evu_intake_ended(struct evu_intake *in, int end);

#endif
