/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A circular doubly linked list whose links live inside the objects that are on it.
 *
 * A link that is on no list points at itself, so "is it on a list?" needs no flag, and removing it
 * twice is harmless.
 */
#ifndef EVU_LIST_H
#define EVU_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct evu_link {
	struct evu_link *next;
	struct evu_link *prev;
};

#define evu_container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

static inline void evu_link_init(struct evu_link *l)
{
	l->next = l->prev = l;
}

/* True iff the link is on some list (for a head: iff something is on the list). */
static inline bool evu_link_linked(const struct evu_link *l)
{
	return l->next != l;
}

static inline void evu_link_append(struct evu_link *head, struct evu_link *l)
{
	l->prev = head->prev;
	l->next = head;
	head->prev->next = l;
	head->prev = l;
}

static inline void evu_link_remove(struct evu_link *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	evu_link_init(l);
}

/* Takes the first link off the list; NULL when there is none. */
static inline struct evu_link *evu_link_take(struct evu_link *head)
{
	struct evu_link *l = head->next;

	if (l == head)
		return NULL;
	head->next = l->next;
	l->next->prev = head;
	evu_link_init(l);
	return l;
}

/* Makes `to` the head of all that is on the list of `from`, which is empty then. */
static inline void evu_link_move_all(struct evu_link *to, struct evu_link *from)
{
	*to = *from;
	to->next->prev = to->prev->next = to;
	if (to->next == from)
		evu_link_init(to);
	evu_link_init(from);
}

#endif
