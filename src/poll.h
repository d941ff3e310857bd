/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The readiness machine, and the engine's insides that it shares with engine.c.
 */
#ifndef EVU_POLL_H
#define EVU_POLL_H

#include "bufring.h"
#include "engine.h"
#include "op.h"
#include "ring.h"
#include "wake.h"

struct evu_engine {
	const struct evu_hooks *hooks;
	void *arg;

	struct evu_ring *ring;  /* NULL: one has to be opened before the next turn */
	struct evu_ring *spare; /* io_uring, while `ring` is epoll because no data is moved yet */
	int place;              /* a descriptor in the place of the epoll set; or negative */
	bool moving;            /* io_uring itself has to be used: data is, or was, to be moved */
	enum evu_method method; /* of the ring, or of the last one */
	unsigned methods;       /* those allowed */
	struct evu_op_pool pool;

	uint64_t owner;  /* evu_thread_id() of the thread that enabled the ring; 0: nobody yet */
	uint64_t looper; /* that of the thread between enter and leave; 0: none is */
	uint64_t generation; /* evu_fork_generation() of the process that opened the ring */
	int64_t spin_ns;     /* how long it looks before it sleeps */
	bool asleep;         /* the owner is in ring->wait() without the lock, and may sleep */
	bool broken;         /* the ring answered that it cannot go on */

	struct evu_link pending; /* polls to arm at the next flush */
	struct evu_op
	    *handoff; /* ops that other threads dropped, for the owner to cancel; see evu_op_hand */
	bool unflushed; /* cancels are queued that the kernel has not seen */
	bool unsettled; /* and somebody dropped an fd that one of them is for */

	/* Polls that poll(2) must confirm, in the order in which they are told. Room for `npolls`
	 * is always reserved. */
	struct evu_poll **hot;
	struct pollfd *checks;
	int nhot; /* with holes: what was dropped leaves a NULL */
	int holes;
	int cap_hot;
	int npolls;      /* polls with want != 0, but for the wake-up */
	int narmed;      /* polls with an op */
	int nparked;     /* those of them that nobody wants: see evu_poll_park */
	bool no_parking; /* it has led to registrations that nobody can name */
	bool blind; /* poll(2) cannot be asked (RLIMIT_NOFILE is 0): completions of what was just
		       armed have to do */

	/* Requests that move data (request.c): to be armed, and to be cancelled, by the next flush.
	 */
	struct evu_link starting;
	struct evu_link halting;
	int nrequests;          /* with an op */
	int nreceiving;         /* armed receives (polls in their place do not count) */
	int64_t sweep_ns;       /* when idle receives are to be looked for next */
	uint32_t sweep_at;      /* the op that is looked at next */
	bool sweeping;          /* the present sweep has not come to its end */
	bool roused;            /* a poll in the place of a receive has fired, or is to be armed */
	struct evu_link unsure; /* receives whose end may have gone unnoticed: see recv.c */
	int64_t ask_ns;         /* before that they are not asked, if the turn is patient */
	bool patient;           /* the turn's caller lets it wait */
	bool looked, hasty;     /* the turn has looked before it sleeps; does so now */
	struct pollfd *unsure_fds;
	unsigned cap_unsure;
	struct evu_bufring bufrings[2]; /* of blocks, and of large ones */
	struct evu_items items;
	struct evu_send *sends; /* free ones */

	struct evu_poll wake; /* the eventfd */
	uint32_t epoch;       /* changes whenever the program may have run */
	bool woken;           /* by it, in this turn */
	unsigned told;        /* calls of hooks->ready, arrived and sent in this turn */
};

/* How the ring of each method is opened; tests put their fake ring here. */
typedef struct evu_ring *evu_ring_opener(struct evu_op_pool *pool, int *err);
extern evu_ring_opener *evu_ring_openers[EVU_NMETHODS];

/* Arms what is pending. */
void evu_poll_flush(struct evu_engine *e);
/* One poll(2) over the hot list: tells what is so, and drops from the list what is not. */
void evu_poll_confirm(struct evu_engine *e);
/* What a poll beside an intake (EVU_BESIDE) has heard of is taken in: nothing is to be told. */
void evu_poll_calm(struct evu_poll *poll);
/* Queues the cancels that other threads asked for. */
void evu_poll_take_handoff(struct evu_engine *e);
/* No turn may come for a while: requests end, but for edges, which could not be armed again without
 * telling them twice. */
void evu_poll_rest(struct evu_engine *e);
/* The ring is closed: every request is over, all that is wanted is to be armed anew. */
void evu_poll_ring_lost(struct evu_engine *e);

/* What evu_engine_guard does, with the test in place. */
static inline void evu_engine_see_fork(struct evu_engine *e)
{
	if (__builtin_expect(e->generation != evu_fork_generation(), 0))
		evu_engine_guard(e);
}

static inline bool evu_engine_owned(const struct evu_engine *e, uint64_t thread)
{
	return e->owner == thread;
}

#endif
