/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The buffers' way round: see bufring.h.
 */
#define _GNU_SOURCE
#include "bufring.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "poll.h"

#define ITEM_SLAB 64

/* Items are freed with the engine only: so none can be lost, whoever holds it. */
struct evu_item_slab {
	struct evu_item_slab *next;
	struct evu_item items[ITEM_SLAB];
};

static bool items_grow(struct evu_items *items)
{
	struct evu_item_slab *slab = evu_mem.zalloc(1, sizeof(*slab));
	int i;

	if (!slab)
		return false;
	slab->next = items->slabs;
	items->slabs = slab;
	for (i = ITEM_SLAB; i-- > 0;) {
		slab->items[i].fd = -1;
		slab->items[i].next = items->bare;
		items->bare = &slab->items[i];
	}
	return true;
}

struct evu_item *evu_item_new(struct evu_engine *e)
{
	struct evu_item *item;

	if (!e->items.bare && !items_grow(&e->items))
		return NULL;
	item = e->items.bare;
	e->items.bare = item->next;
	item->next = NULL;
	return item;
}

void evu_item_give(struct evu_engine *e, struct evu_item *item)
{
	struct evu_item **list = item->data ? &e->items.spare : &e->items.bare;

	item->fd = -1;
	item->next = *list;
	*list = item;
}

/* An item with a block. */
static struct evu_item *item_with_block(struct evu_engine *e)
{
	struct evu_item *item = e->items.spare;

	if (item) {
		e->items.spare = item->next;
		return item;
	}
	item = evu_item_new(e);
	if (!item)
		return NULL;
	item->data = e->hooks->block_new(e->arg);
	if (!item->data) {
		evu_item_give(e, item);
		return NULL;
	}
	return item;
}

/* How many buffers the environment asks for; 0: it does not. */
static unsigned asked_for(void)
{
	const char *text = secure_getenv("EVENT_URING_BUFFERS");
	long n = text ? strtol(text, NULL, 10) : 0;

	if (n <= 0)
		return 0;
	return n > (long)EVU_BUFFERS_MOST ? EVU_BUFFERS_MOST : (unsigned)n;
}

static int set_up(struct evu_bufring *b)
{
	unsigned i, fixed = asked_for(), entries = 1;

	while (entries < (fixed ? fixed : EVU_BUFFERS_MOST))
		entries *= 2;
	b->slots = evu_mem.zalloc(entries, sizeof(struct evu_item *));
	b->free_ids = evu_mem.zalloc(entries, sizeof(*b->free_ids));
	if (!b->slots || !b->free_ids) {
		if (b->slots)
			evu_mem.free(b->slots);
		if (b->free_ids)
			evu_mem.free(b->free_ids);
		b->slots = NULL;
		b->free_ids = NULL;
		return -ENOMEM;
	}
	for (i = 0; i < entries; i++)
		b->free_ids[i] = (uint16_t)(entries - 1 - i);
	b->n_free = b->entries = entries;
	b->target = fixed ? fixed : EVU_BUFFERS_FIRST;
	return 0;
}

static int do_register(struct evu_engine *e)
{
	struct evu_bufring *b = &e->bufring;
	unsigned id;
	int rc = b->entries ? 0 : set_up(b);

	if (rc < 0)
		return rc;
	/* Whatever it is, waiting does not help: a limit of locked memory refuses for ever. */
	if (e->ring->ops->buffers(e->ring, b->entries) < 0)
		return -EOPNOTSUPP;
	b->registered = true;
	for (id = 0; id < b->entries; id++)
		if (b->slots[id])
			e->ring->ops->provide(e->ring, id, b->slots[id]->data, EVU_BLOCK_SIZE);
	return 0;
}

int evu_bufring_fill(struct evu_engine *e)
{
	struct evu_bufring *b = &e->bufring;
	int rc = b->registered ? 0 : do_register(e);

	b->grown = false;
	while (rc == 0 && b->entries - b->n_free < b->target) {
		struct evu_item *item = item_with_block(e);
		unsigned id;

		/* With fewer, reading goes on, by ENOBUFS. */
		if (!item)
			break;
		id = b->free_ids[--b->n_free];
		b->slots[id] = item;
		e->ring->ops->provide(e->ring, id, item->data, EVU_BLOCK_SIZE);
	}
	return rc;
}

struct evu_item *evu_bufring_filled(struct evu_engine *e, int id)
{
	struct evu_bufring *b = &e->bufring;
	struct evu_item *item;

	if (id < 0 || (unsigned)id >= b->entries || !b->slots[id])
		return NULL;
	item = b->slots[id];
	b->slots[id] = NULL;
	b->free_ids[b->n_free++] = (uint16_t)id;
	item->next = NULL;
	return item;
}

void evu_bufring_dry(struct evu_engine *e)
{
	struct evu_bufring *b = &e->bufring;

	/* Once between two fills, however many requests found none. */
	if (b->target < b->entries && !b->grown && !asked_for()) {
		b->target *= 2;
		b->grown = true;
	}
}

void evu_bufring_lost(struct evu_engine *e)
{
	e->bufring.registered = false;
}

void evu_bufring_fini(struct evu_engine *e)
{
	struct evu_item_slab *slab;
	int i;

	while ((slab = e->items.slabs)) {
		e->items.slabs = slab->next;
		for (i = 0; i < ITEM_SLAB; i++) {
			if (slab->items[i].data)
				e->hooks->block_free(e->arg, slab->items[i].data);
			if (slab->items[i].fd >= 0)
				close(slab->items[i].fd);
		}
		evu_mem.free(slab);
	}
	if (e->bufring.entries) {
		evu_mem.free(e->bufring.slots);
		evu_mem.free(e->bufring.free_ids);
	}
}
