/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A 4-ary min-heap of deadlines.
 *
 * The keys are held in the array itself: sifting compares neighbours in one cache line and never
 * touches the items. An item is known by the address of its own position, an int that the heap
 * keeps up to date (-1 when it is not in the heap), so removing any item costs one sift. Equal keys
 * come out in no particular order.
 *
 * A key is a lower bound. Whoever moves a deadline later may leave the key as it is and settle the
 * difference when the entry reaches the top (evu_heap_rekey_top); that makes re-adding a pending
 * timer one store.
 */
#ifndef EVU_HEAP_H
#define EVU_HEAP_H

#include <assert.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

struct evu_heap_slot {
	int64_t key; /* ns or us: the caller's unit */
	int *pos;    /* where the item keeps its index */
};

struct evu_heap {
	struct evu_heap_slot *slots;
	int len;
	int cap;
	void *(*realloc)(void *, size_t); /* how the array grows; realloc(p, 0) is never called */
	void (*free)(void *);
};

static inline void evu_heap_init(
    struct evu_heap *h, void *(*re)(void *, size_t), void (*fr)(void *))
{
	h->slots = NULL;
	h->len = h->cap = 0;
	h->realloc = re;
	h->free = fr;
}

static inline void evu_heap_fini(struct evu_heap *h)
{
	if (h->slots)
		h->free(h->slots);
	h->slots = NULL;
	h->len = h->cap = 0;
}

/* Makes room for `want` items in all. 0, or -1 when there is no memory; the heap is unchanged then.
 */
static inline int evu_heap_reserve(struct evu_heap *h, int want)
{
	int cap = h->cap ? h->cap : 8;
	struct evu_heap_slot *slots;

	if (want <= h->cap)
		return 0;
	while (cap < want) {
		if (cap > INT_MAX / 2)
			return -1;
		cap *= 2;
	}
	slots = h->realloc(h->slots, (size_t)cap * sizeof(*slots));
	if (!slots)
		return -1;
	h->slots = slots;
	h->cap = cap;
	return 0;
}

static inline void evu_heap_put_(struct evu_heap *h, int i, struct evu_heap_slot s)
{
	h->slots[i] = s;
	*s.pos = i;
}

static inline void evu_heap_up_(struct evu_heap *h, int i, struct evu_heap_slot s)
{
	while (i > 0) {
		int parent = (i - 1) / 4;

		if (h->slots[parent].key <= s.key)
			break;
		evu_heap_put_(h, i, h->slots[parent]);
		i = parent;
	}
	evu_heap_put_(h, i, s);
}

static inline void evu_heap_down_(struct evu_heap *h, int i, struct evu_heap_slot s)
{
	for (;;) {
		int64_t first = (int64_t)i * 4 + 1;
		int c, best, end;

		if (first >= h->len)
			break;
		best = (int)first;
		end = first + 4 < h->len ? (int)first + 4 : h->len;
		for (c = best + 1; c < end; c++)
			if (h->slots[c].key < h->slots[best].key)
				best = c;
		if (h->slots[best].key >= s.key)
			break;
		evu_heap_put_(h, i, h->slots[best]);
		i = best;
	}
	evu_heap_put_(h, i, s);
}

/* Adds an item. Room must have been reserved. */
static inline void evu_heap_push(struct evu_heap *h, int64_t key, int *pos)
{
	struct evu_heap_slot s = {key, pos};

	assert(h->len < h->cap && *pos == -1);
	evu_heap_up_(h, h->len++, s);
}

static inline const struct evu_heap_slot *evu_heap_top(const struct evu_heap *h)
{
	return h->len ? &h->slots[0] : NULL;
}

static inline void evu_heap_remove(struct evu_heap *h, int *pos)
{
	int i = *pos;
	struct evu_heap_slot last;

	assert(i >= 0 && i < h->len && h->slots[i].pos == pos);
	last = h->slots[--h->len];
	*pos = -1;
	if (last.pos == pos)
		return;
	if (i > 0 && h->slots[(i - 1) / 4].key > last.key)
		evu_heap_up_(h, i, last);
	else
		evu_heap_down_(h, i, last);
}

/* Gives an item an earlier key. */
static inline void evu_heap_raise(struct evu_heap *h, int *pos, int64_t key)
{
	struct evu_heap_slot s = {key, pos};

	assert(h->slots[*pos].pos == pos && key <= h->slots[*pos].key);
	evu_heap_up_(h, *pos, s);
}

/* Gives the first item a later key. */
static inline void evu_heap_rekey_top(struct evu_heap *h, int64_t key)
{
	struct evu_heap_slot s = {key, h->slots[0].pos};

	assert(h->len > 0 && key >= h->slots[0].key);
	evu_heap_down_(h, 0, s);
}

#endif
