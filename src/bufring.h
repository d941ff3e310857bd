/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The buffers that the kernel receives into.
 *
 * Each buffer is a block of the embedder's memory and has exactly one owner:
 *
 *   spare --fill--> the kernel's --completion--> an intake's queue --take--> the embedder
 *     ^                                                                          |
 *     +------------------------------ give --------------------------------------+
 *
 * The embedder may keep a block and give back the bare item: the kernel gets fresh memory then. So
 * a reader that lets data lie takes no buffer from anybody.
 *
 * How many buffers the kernel has follows the need: it starts with a few, and doubles whenever they
 * ran out (EVENT_URING_BUFFERS in the environment fixes the number). Spare ones are used again last
 * in, first out, while they are in the cache.
 *
 * There are two rings of them. What brings more than a block at a time would take several, each by
 * a receive of its own, and each receive may send an acknowledgement: it gets large blocks instead,
 * from a ring of few, made when the first flow needs it (EVENT_URING_BUFFERS: as many as have the
 * same size together).
 */
#ifndef EVU_BUFRING_H
#define EVU_BUFRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct evu_engine;
struct evu_item;

struct evu_bufring {
	struct evu_item **slots; /* by buffer number; NULL: the number is free */
	uint16_t *free_ids;
	unsigned n_free;
	unsigned entries; /* numbers there are; 0: not set up */
	unsigned target;  /* buffers that the kernel shall have */
	bool grown;       /* since the last fill */
	bool registered;  /* with the present ring */
};

/* Items of all kinds, wherever they are. */
struct evu_items {
	struct evu_item_slab *slabs;
	struct evu_item *spare[2]; /* with a block, or a large one */
	struct evu_item *bare;     /* without */
};

#define EVU_BUFFERS_FIRST 64u
#define EVU_BUFFERS_MOST 1024u
/* Of large blocks. */
#define EVU_BULKS_FIRST 8u
#define EVU_BULKS_MOST 16u

/* Gives the kernel the buffers that it lacks. 0, or -errno if it cannot have any. By the owner. */
int evu_bufring_fill(struct evu_engine *e, bool bulk);
/* The same with whatever buffers it has already. */
void evu_bufring_refill(struct evu_engine *e);
/* True iff it has any. */
static inline bool evu_bufring_any(const struct evu_bufring *b)
{
	return b->n_free < b->entries;
}
/* The kernel has filled buffer `id`: the item is the caller's. NULL: there is no such buffer. */
static inline struct evu_item *evu_bufring_filled(struct evu_bufring *b, int id)
{
	struct evu_item *item;

	/* -1 is beyond any number of entries. */
	if ((unsigned)id >= b->entries || !(item = b->slots[id]))
		return NULL;
	b->slots[id] = NULL;
	b->free_ids[b->n_free++] = (uint16_t)id;
	return item;
}
/* They ran out. */
void evu_bufring_dry(struct evu_engine *e, bool bulk);
/* The ring is gone; the next fill gives everything to the next ring. */
void evu_bufring_lost(struct evu_engine *e);
/* Frees all blocks and items, closes connections that nobody took. */
void evu_bufring_fini(struct evu_engine *e);

/* An item without a block; NULL: no memory. */
struct evu_item *evu_item_new(struct evu_engine *e);

#endif
