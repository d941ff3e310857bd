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
	struct evu_item **list = item->data ? &e->items.spare[item->bulk] : &e->items.bare;

	item->fd = -1;
	item->next = *list;
	*list = item;
}

/* An item with a block. */
static struct evu_item *item_with_block(struct evu_engine *e, bool bulk)
{
	struct evu_item *item = e->items.spare[bulk];

	if (item) {
		e->items.spare[bulk] = item->next;
		return item;
	}
	item = evu_item_new(e);
	if (!item)
		return NULL;
	item->bulk = bulk;
	item->data = e->hooks->block_new(e->arg, bulk);
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

static int set_up(struct evu_bufring *b, bool bulk)
{
	const unsigned first = bulk ? EVU_BULKS_FIRST : EVU_BUFFERS_FIRST;
	const unsigned most = bulk ? EVU_BULKS_MOST : EVU_BUFFERS_MOST;
	const unsigned ratio = bulk ? EVU_BULK_SIZE / EVU_BLOCK_SIZE : 1;
	unsigned i, fixed = (asked_for() + ratio - 1) / ratio, entries = 1;

	if (fixed > most)
		fixed = most;
	while (entries < (fixed ? fixed : most))
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
	b->target = fixed ? fixed : first;
	return 0;
}

static void provide(struct evu_engine *e, bool bulk, unsigned id)
{
	e->ring->ops->provide(e->ring, bulk, id, e->bufrings[bulk].slots[id]->data,
	    bulk ? EVU_BULK_SIZE : EVU_BLOCK_SIZE);
}

static int do_register(struct evu_engine *e, bool bulk)
{
	struct evu_bufring *b = &e->bufrings[bulk];
	unsigned id;
	int rc = b->entries ? 0 : set_up(b, bulk);

	if (rc < 0)
		return rc;
	/* Whatever it is, waiting does not help: a limit of locked memory refuses for ever. */
	if (e->ring->ops->buffers(e->ring, bulk, b->entries) < 0)
		return -EOPNOTSUPP;
	b->registered = true;
	for (id = 0; id < b->entries; id++)
		if (b->slots[id])
			provide(e, bulk, id);
	return 0;
}

int evu_bufring_fill(struct evu_engine *e, bool bulk)
{
	struct evu_bufring *b = &e->bufrings[bulk];
	int rc = b->registered ? 0 : do_register(e, bulk);

	b->grown = false;
	while (rc == 0 && b->entries - b->n_free < b->target) {
		struct evu_item *item = item_with_block(e, bulk);
		unsigned id;

		/* With fewer, reading goes on, by ENOBUFS. */
		if (!item)
			break;
		id = b->free_ids[--b->n_free];
		b->slots[id] = item;
		provide(e, bulk, id);
	}
	return rc;
}

void evu_bufring_refill(struct evu_engine *e)
{
	if (e->bufrings[false].registered)
		(void)evu_bufring_fill(e, false);
	if (e->bufrings[true].registered)
		(void)evu_bufring_fill(e, true);
}

void evu_bufring_dry(struct evu_engine *e, bool bulk)
{
	struct evu_bufring *b = &e->bufrings[bulk];

	/* Once between two fills, however many requests found none. */
	if (b->target < b->entries && !b->grown && !asked_for()) {
		b->target *= 2;
		b->grown = true;
	}
}

void evu_bufring_lost(struct evu_engine *e)
{
	e->bufrings[false].registered = e->bufrings[true].registered = false;
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
	for (i = 0; i < 2; i++) {
		if (!e->bufrings[i].entries)
			continue;
		evu_mem.free(e->bufrings[i].slots);
		evu_mem.free(e->bufrings[i].free_ids);
	}
}
