/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The pool of requests. Ops live in slabs that never move and are never freed before the pool, so a
 * tag that comes back from the kernel can always be looked up, and a lookup touches one op and
 * nothing else.
 */
#include "op.h"

#include <assert.h>
#include <stddef.h>

#include "mem.h"

void evu_op_pool_init(struct evu_op_pool *pool)
{
	*pool = (struct evu_op_pool){0};
}

void evu_op_pool_fini(struct evu_op_pool *pool)
{
	uint32_t i;

	for (i = 0; i < pool->nslabs; i++)
		evu_mem.free(pool->slabs[i]);
	if (pool->slabs)
		evu_mem.free(pool->slabs);
	evu_op_pool_init(pool);
}

static int pool_grow(struct evu_op_pool *pool)
{
	struct evu_op *slab;
	uint32_t i;

	if (pool->nslabs == pool->cap_slabs) {
		uint32_t cap = pool->cap_slabs ? pool->cap_slabs * 2 : 4;
		struct evu_op **slabs = evu_mem.realloc(pool->slabs, cap * sizeof(*slabs));

		if (!slabs)
			return -1;
		pool->slabs = slabs;
		pool->cap_slabs = cap;
	}
	slab = evu_mem.zalloc(EVU_OP_SLAB, sizeof(*slab));
	if (!slab)
		return -1;
	for (i = EVU_OP_SLAB; i-- > 0;) {
		slab[i].index = pool->nslabs * EVU_OP_SLAB + i;
		slab[i].slot = slab[i].bid = -1;
		slab[i].next = pool->free;
		pool->free = &slab[i];
	}
	pool->slabs[pool->nslabs++] = slab;
	pool->n_free += EVU_OP_SLAB;
	return 0;
}

int evu_op_grow(struct evu_op_pool *pool, uint32_t n)
{
	while (pool->n_free < n)
		if (pool_grow(pool) < 0)
			return -1;
	return 0;
}

void evu_op_disarmed(struct evu_op_pool *pool, struct evu_op *op)
{
	assert(op->state == EVU_OP_ARMED);
	op->state = EVU_OP_IDLE;
	pool->in_flight--;
}

void evu_op_orphan(struct evu_op *op)
{
	op->handler = NULL;
	op->ctx = NULL;
}

void evu_op_hand(struct evu_op **list, struct evu_op *op)
{
	assert(op->state == EVU_OP_ARMED && !op->handler && !op->handed);
	op->handed = true;
	op->next = *list;
	*list = op;
}

struct evu_op *evu_op_take_handed(struct evu_op_pool *pool, struct evu_op **list)
{
	struct evu_op *op;

	while ((op = *list)) {
		*list = op->next;
		op->handed = false;
		if (op->state == EVU_OP_ARMED)
			return op;
		evu_op_put(pool, op); /* it ended by itself meanwhile */
	}
	return NULL;
}

void evu_op_each_armed(
    struct evu_op_pool *pool, void (*fn)(struct evu_op *op, void *arg), void *arg)
{
	uint32_t i, j;

	for (i = 0; i < pool->nslabs; i++)
		for (j = 0; j < EVU_OP_SLAB; j++)
			if (pool->slabs[i][j].state == EVU_OP_ARMED)
				fn(&pool->slabs[i][j], arg);
}

void evu_op_reset_all(struct evu_op_pool *pool, void (*lost)(evu_op_handler *handler, void *ctx))
{
	uint32_t i, j;

	for (i = 0; i < pool->nslabs; i++) {
		for (j = 0; j < EVU_OP_SLAB; j++) {
			struct evu_op *op = &pool->slabs[i][j];
			evu_op_handler *handler = op->handler;
			void *ctx = op->ctx;

			if (op->state == EVU_OP_IDLE)
				continue;
			op->state = EVU_OP_IDLE;
			pool->in_flight--;
			evu_op_put(pool, op);
			if (handler)
				lost(handler, ctx);
		}
	}
	assert(pool->in_flight == 0);
}
