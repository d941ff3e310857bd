/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The chains of an evbuffer, as a list and one by one.
 *
 * A chain is one allocation: the struct, and behind it the room for data, or for those that hold
 * somebody else's memory what says whose. It lives as long as it has references: one of the buffer
 * that it is in, and one of each multicast chain that shows its memory. With the last reference the
 * memory goes back to where it came from; unless the chain is pinned: then the kernel still looks
 * at it, it dangles, in no buffer any more, and goes when it is unpinned.
 *
 * Trap: freeing a chain may call the program (the cleanup of a reference, of a file segment). So
 * chains are cut out of the list first, and freed when the buffer is whole again.
 */
#include <string.h>

#include "evbuffer.h"

/* The least that is allocated for a chain, and what nearly all are. */
#define MIN_TOTAL 1024

/* Moving more than that to make room costs more than the room is worth. */
#define MAX_REALIGN 2048

struct evbuffer_chain *evc_chain_new(size_t size)
{
	struct evbuffer_chain *chain;
	size_t total = MIN_TOTAL;

	if (size > EVBUFFER_CHAIN_MAX - EVBUFFER_CHAIN_SIZE)
		return NULL;
	size += EVBUFFER_CHAIN_SIZE;
	if (size >= EVBUFFER_CHAIN_MAX / 2)
		total = size;
	while (total < size)
		total <<= 1;
	chain = total == MIN_TOTAL ? evc_pool_take() : NULL;
	if (!chain)
		chain = mm_malloc(total);
	if (!chain)
		return NULL;
	*chain = (struct evbuffer_chain){
	    .buffer_len = total - EVBUFFER_CHAIN_SIZE,
	    .refcnt = 1,
	    .buffer = EVBUFFER_CHAIN_EXTRA(unsigned char, chain),
	};
	return chain;
}

static void release_reference(struct evbuffer_chain *chain)
{
	struct evbuffer_chain_reference *ref =
	    EVBUFFER_CHAIN_EXTRA(struct evbuffer_chain_reference, chain);

	if (ref->cleanupfn)
		ref->cleanupfn(chain->buffer, chain->buffer_len, ref->extra);
}

/* The parent's own buffer may have let go of it long ago, but it is that buffer's lock that its
 * reference count is under. */
static void release_multicast(struct evbuffer_chain *chain)
{
	struct evbuffer_multicast_parent *shown =
	    EVBUFFER_CHAIN_EXTRA(struct evbuffer_multicast_parent, chain);

	EVBUFFER_LOCK(shown->source);
	evc_chain_free(shown->parent);
	evbuffer_decref_and_unlock_(shown->source);
}

#define KINDS (EVBUFFER_REFERENCE | EVBUFFER_FILESEGMENT | EVBUFFER_MULTICAST | EVC_CHAIN_BLOCK)

/* One that is not simply memory of its own. */
static void free_other(struct evbuffer_chain *chain)
{
	if (chain->flags & EVBUFFER_REFERENCE)
		release_reference(chain);
	if (chain->flags & EVBUFFER_FILESEGMENT)
		evc_file_chain_release(chain);
	if (chain->flags & EVBUFFER_MULTICAST)
		release_multicast(chain);
	if (chain->flags & EVC_CHAIN_BLOCK)
		evc_block_free(chain);
	else
		mm_free(chain);
}

void evc_chain_free(struct evbuffer_chain *chain)
{
	evc_assert(chain->refcnt > 0);
	if (--chain->refcnt > 0)
		return;
	if (evc_chain_is_pinned(chain)) {
		chain->refcnt = 1;
		chain->flags |= EVBUFFER_DANGLING;
		return;
	}
	if (chain->flags & KINDS)
		free_other(chain);
	else if (chain->buffer_len != MIN_TOTAL - EVBUFFER_CHAIN_SIZE || !evc_pool_keep(chain))
		mm_free(chain);
}

void evc_chain_free_all(struct evbuffer_chain *chain)
{
	while (chain) {
		struct evbuffer_chain *next = chain->next;

		evc_chain_free(chain);
		chain = next;
	}
}

void evbuffer_chain_pin_(struct evbuffer_chain *chain, unsigned flag)
{
	evc_assert(!(chain->flags & flag));
	chain->flags |= flag;
}

void evbuffer_chain_unpin_(struct evbuffer_chain *chain, unsigned flag)
{
	evc_assert(chain->flags & flag);
	chain->flags &= ~flag;
	if (chain->flags & EVBUFFER_DANGLING)
		evc_chain_free(chain);
}

/* Cuts out the empty chains behind the last one with data, the pinned ones excepted, and returns
 * them as a list. *end is the slot behind what is left. The buffer is whole again, but for the
 * caller's lack of somewhere to put its data. */
static struct evbuffer_chain *cut_trailing_empty(struct evbuffer *buf, struct evbuffer_chain ***end)
{
	struct evbuffer_chain *chain, **slot = buf->last_with_datap;
	struct evbuffer_chain *cut = NULL, **cut_end = &cut;
	struct evbuffer_chain *last = NULL;

	while ((chain = *slot)) {
		if (chain->off || evc_chain_is_pinned(chain)) {
			last = chain;
			slot = &chain->next;
		} else {
			*slot = chain->next;
			*cut_end = chain;
			cut_end = &chain->next;
		}
	}
	*cut_end = NULL;
	buf->last = last;
	*end = slot;
	return cut;
}

struct evbuffer_chain **evc_free_trailing_empty(struct evbuffer *buf)
{
	struct evbuffer_chain **end;

	EVBUFFER_ASSERT_LOCKED(buf);
	evc_chain_free_all(cut_trailing_empty(buf, &end));
	/* Looked for again: a cleanup may have added something. */
	for (end = buf->last_with_datap; *end; end = &(*end)->next)
		;
	return end;
}

void evc_chain_insert(struct evbuffer *buf, struct evbuffer_chain *chain)
{
	struct evbuffer_chain **end, *cut;

	EVBUFFER_ASSERT_LOCKED(buf);
	cut = cut_trailing_empty(buf, &end);
	*end = buf->last = chain;
	if (chain->off)
		buf->last_with_datap = end;
	buf->total_len += chain->off;
	evc_chain_free_all(cut);
}

struct evbuffer_chain *evc_chain_insert_new(struct evbuffer *buf, size_t size)
{
	struct evbuffer_chain *chain = evc_chain_new(size);

	if (chain)
		evc_chain_insert(buf, chain);
	return chain;
}

bool evc_advance_last_with_data(struct evbuffer *buf)
{
	struct evbuffer_chain **slot = buf->last_with_datap;
	bool moved = false;

	EVBUFFER_ASSERT_LOCKED(buf);
	while (*slot && (*slot)->next) {
		slot = &(*slot)->next;
		if ((*slot)->off) {
			buf->last_with_datap = slot;
			moved = true;
		}
	}
	return moved;
}

bool evc_chain_realign(struct evbuffer_chain *chain, size_t n)
{
	if (chain->flags & (EVBUFFER_IMMUTABLE | EVBUFFER_MEM_PINNED_ANY))
		return false;
	if (chain->buffer_len - chain->off < n || chain->off >= chain->buffer_len / 2 ||
	    chain->off > MAX_REALIGN)
		return false;
	memmove(chain->buffer, evc_chain_data(chain), chain->off);
	chain->misalign = 0;
	return true;
}
