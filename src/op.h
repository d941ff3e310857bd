/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One request to the kernel: its life from being armed to its last completion.
 *
 *   IDLE --arm--> ARMED --last completion--> IDLE
 *                   | cancel
 *                   v
 *               CANCELLING --last completion--> IDLE
 *
 * "Last" is a completion that says no more will follow. Until then the op belongs to the engine:
 * its owner may cut itself off at any time (evu_op_orphan) and be freed, the op stays. Requests
 * that wait for the next flush have no op yet.
 *
 * The kernel knows an op by its tag: index and generation. The generation changes each time the op
 * is armed, so a completion of an earlier life can never be taken for one of this life. A tag is
 * never 0: 0 marks replies nobody waits for.
 *
 *   in_flight == ops ARMED + ops CANCELLING; it is 0 when a ring has been closed.
 */
#ifndef EVU_OP_H
#define EVU_OP_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum evu_op_state { EVU_OP_IDLE, EVU_OP_ARMED, EVU_OP_CANCELLING };

struct evu_op;

/* Called for each completion while the op has a handler. `more` is false on the last one; the op is
 * then IDLE already and goes back to the pool when the handler returns. A handler may arm other
 * ops; it never calls the program. */
typedef void evu_op_handler(struct evu_op *op, void *ctx, int res, bool more);

struct evu_op {
	evu_op_handler *handler; /* NULL once orphaned */
	union {
		void *ctx;           /* the handler's */
		struct evu_op *next; /* without one: in the pool's free list, or in a list of ops
					handed to the ring's owner */
	};
	uint32_t index; /* place in the pool, for life */
	uint32_t gen;   /* which life this is; never 0 once armed */
	int fd;         /* of the request; for the rings that know requests by fd */
	union {
		int slot; /* ring_readiness: index in poll(2)'s array, -1 when none */
		int bid;  /* recv: the buffer of the present completion, -1: none */
	};
	uint8_t state; /* enum evu_op_state */
	uint8_t kind;  /* enum evu_poll_kind of the request */
	bool handed;   /* on the list of those handed over */
	bool nonempty; /* recv: the socket held more, as of the present completion */
};

struct evu_op_pool {
	struct evu_op **slabs; /* each of EVU_OP_SLAB ops; freed only with the pool */
	uint32_t nslabs;
	uint32_t cap_slabs;
	struct evu_op *free;
	uint32_t n_free;
	uint32_t in_flight;
};

#define EVU_OP_SLAB 128u

void evu_op_pool_init(struct evu_op_pool *pool);
/* Frees all ops, whatever their state: the ring must be closed. */
void evu_op_pool_fini(struct evu_op_pool *pool);

/* What evu_op_reserve does when there are fewer. */
int evu_op_grow(struct evu_op_pool *pool, uint32_t n);
/* Makes sure of n free ops. 0, or -1 when there is no memory. */
static inline int evu_op_reserve(struct evu_op_pool *pool, uint32_t n)
{
	return pool->n_free < n ? evu_op_grow(pool, n) : 0;
}

/* An op that was not armed after all goes back. */
static inline void evu_op_put(struct evu_op_pool *pool, struct evu_op *op)
{
	assert(op->state == EVU_OP_IDLE && !op->handed);
	op->handler = NULL;
	op->next = pool->free;
	pool->free = op;
	pool->n_free++;
}

/* ARMED -> IDLE: the request was refused. The op stays its owner's. */
void evu_op_disarmed(struct evu_op_pool *pool, struct evu_op *op);
/* Cuts the op off from its owner: no handler is called any more. */
void evu_op_orphan(struct evu_op *op);
/* Puts an orphaned op on a list that its pool does not know; it does not go back to the pool before
 * it was taken off. */
void evu_op_hand(struct evu_op **list, struct evu_op *op);
/* Takes an op that is still ARMED off the list; NULL when there is none left. */
struct evu_op *evu_op_take_handed(struct evu_op_pool *pool, struct evu_op **list);
/* Calls fn for each op that is ARMED; fn may cancel it. */
void evu_op_each_armed(
    struct evu_op_pool *pool, void (*fn)(struct evu_op *op, void *arg), void *arg);
/* The ring is gone and with it every request: ops in flight end without a completion. `lost` is
 * called for each that still has a handler, after the op went back to the pool. */
void evu_op_reset_all(struct evu_op_pool *pool, void (*lost)(evu_op_handler *handler, void *ctx));

/* An IDLE op from the pool; NULL when there is no memory. */
static inline struct evu_op *evu_op_get(
    struct evu_op_pool *pool, evu_op_handler *handler, void *ctx)
{
	struct evu_op *op;

	if (evu_op_reserve(pool, 1) < 0)
		return NULL;
	op = pool->free;
	pool->free = op->next;
	pool->n_free--;
	op->handler = handler;
	op->ctx = ctx;
	op->slot = -1;
	return op;
}

/* IDLE -> ARMED, with a new generation. */
static inline void evu_op_armed(struct evu_op_pool *pool, struct evu_op *op, int fd, unsigned kind)
{
	assert(op->state == EVU_OP_IDLE);
	op->state = EVU_OP_ARMED;
	op->fd = fd;
	op->kind = (uint8_t)kind;
	if (++op->gen == 0)
		op->gen = 1;
	pool->in_flight++;
}

static inline uint64_t evu_op_tag(const struct evu_op *op)
{
	return (uint64_t)op->gen << 32 | op->index;
}

/* The op that a tag is or was of, not looked at; NULL if there is no such place in the pool. */
static inline struct evu_op *evu_op_peek(const struct evu_op_pool *pool, uint64_t tag)
{
	uint32_t index = (uint32_t)tag;

	if (index / EVU_OP_SLAB >= pool->nslabs)
		return NULL;
	return &pool->slabs[index / EVU_OP_SLAB][index % EVU_OP_SLAB];
}

/* The op of a tag, NULL when that life is over. */
static inline struct evu_op *evu_op_find(const struct evu_op_pool *pool, uint64_t tag)
{
	struct evu_op *op = evu_op_peek(pool, tag);

	return op && evu_op_tag(op) == tag && op->state != EVU_OP_IDLE ? op : NULL;
}

/* A completion of an op that lives. The last one brings it back to the pool. */
static inline void evu_op_tell(struct evu_op_pool *pool, struct evu_op *op, int res, bool more)
{
	if (more) {
		if (op->handler)
			op->handler(op, op->ctx, res, true);
		return;
	}
	op->state = EVU_OP_IDLE;
	pool->in_flight--;
	if (op->handler)
		op->handler(op, op->ctx, res, false);
	if (!op->handed)
		evu_op_put(pool, op);
}

/* A completion for `tag`. Unknown and outdated tags are ignored. */
static inline void evu_op_complete(struct evu_op_pool *pool, uint64_t tag, int res, bool more)
{
	struct evu_op *op = evu_op_find(pool, tag);

	if (op)
		evu_op_tell(pool, op, res, more);
}

#endif
