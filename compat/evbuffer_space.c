/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Room at the end of an evbuffer that somebody else fills.
 *
 * The room is in the last chain with data and in the empty ones behind it. Whoever wants all of it
 * in one piece (evbuffer_expand, evbuffer_reserve_space with one vector) may have data moved for
 * it, but not much; whoever takes pieces has nothing moved, ever.
 *
 * What was reserved is not marked in any way: committing finds it again by its addresses, and
 * refuses it if the buffer changed meanwhile. Chains without room (immutable, or pinned for
 * somebody else to write to) are passed over.
 */
#include <string.h>

#include "evbuffer.h"

/* A chain with more data than that is not copied into a bigger one. */
#define MAX_COPY 4096

static unsigned char *room_of(const struct evbuffer_chain *chain)
{
	return evc_chain_data(chain) + chain->off;
}

/* Replaces the chain by a bigger one with the same data and room for n bytes. */
static struct evbuffer_chain *enlarge(struct evbuffer *buf, struct evbuffer_chain **slot, size_t n)
{
	struct evbuffer_chain *old = *slot;
	struct evbuffer_chain *bigger = evc_chain_new(old->off + n);

	if (!bigger)
		return NULL;
	memcpy(bigger->buffer, evc_chain_data(old), old->off);
	bigger->off = old->off;
	bigger->next = old->next;
	*slot = bigger;
	if (buf->last == old)
		buf->last = bigger;
	evc_chain_free(old);
	return bigger;
}

/* True iff leaving the chain's room unused would be a waste, and copying its data none. */
static bool worth_enlarging(const struct evbuffer_chain *chain, size_t n)
{
	return evc_chain_space(chain) >= chain->buffer_len / 8 && chain->off <= MAX_COPY &&
	       n < EVBUFFER_CHAIN_MAX - chain->off;
}

struct evbuffer_chain *evc_expand_in_one(struct evbuffer *buf, size_t n)
{
	struct evbuffer_chain **slot = buf->last_with_datap;
	struct evbuffer_chain *chain;

	EVBUFFER_ASSERT_LOCKED(buf);
	if (*slot && evc_chain_room(*slot) == 0)
		slot = &(*slot)->next;
	chain = *slot;
	/* Even no room at all must be room that can be committed. */
	if (!chain || chain->flags & (EVBUFFER_IMMUTABLE | EVBUFFER_MEM_PINNED_R))
		return evc_chain_insert_new(buf, n);
	evc_chain_rewind(chain);
	if (evc_chain_room(chain) >= n)
		return chain;
	if (chain->off == 0 || evc_chain_is_pinned(chain))
		return evc_chain_insert_new(buf, n);
	if (evc_chain_realign(chain, n))
		return chain;
	if (worth_enlarging(chain, n))
		return enlarge(buf, slot, n);
	if (chain->next && evc_chain_room(chain->next) >= n)
		return chain->next;
	return evc_chain_insert_new(buf, n);
}

int evbuffer_expand(struct evbuffer *buf, size_t datlen)
{
	struct evbuffer_chain *chain;

	EVBUFFER_LOCK(buf);
	chain = evc_room_in_one(buf, datlen);
	EVBUFFER_UNLOCK(buf);
	return chain ? 0 : -1;
}

/* Adds an empty chain behind those that there are. */
static int add_empty(struct evbuffer *buf, size_t size)
{
	struct evbuffer_chain *fresh = evc_chain_new(size);

	if (!fresh)
		return -1;
	if (buf->last)
		buf->last->next = fresh;
	else
		buf->first = fresh;
	buf->last = fresh;
	return 0;
}

int evbuffer_expand_fast_(struct evbuffer *buf, size_t datlen, int n)
{
	struct evbuffer_chain *chain = *buf->last_with_datap;
	size_t avail = 0;
	size_t kept = chain && chain->off ? evc_chain_room(chain) : 0;
	int used = 0;

	EVBUFFER_ASSERT_LOCKED(buf);
	evc_assert(n >= 2);
	for (; chain && used < n; chain = chain->next) {
		size_t room;

		evc_chain_rewind(chain);
		room = evc_chain_room(chain);
		if (room == 0)
			continue;
		avail += room;
		used++;
		if (avail >= datlen)
			return 0;
	}
	if (used < n)
		return add_empty(buf, datlen - avail);
	/* One for all that are empty. */
	return evc_chain_insert_new(buf, datlen - kept) ? 0 : -1;
}

int evbuffer_read_setup_vecs_(struct evbuffer *buf, ev_ssize_t howmuch, struct evbuffer_iovec *vecs,
    int n_avail, struct evbuffer_chain ***chainp, int exact)
{
	struct evbuffer_chain **slot;
	size_t left = (size_t)howmuch;
	int n = 0;

	EVBUFFER_ASSERT_LOCKED(buf);
	if (howmuch < 0)
		return -1;
	*chainp = slot = evc_slot_with_room(buf->last_with_datap);
	while (left && n < n_avail) {
		size_t room;

		if (!*slot)
			return -1;
		room = evc_chain_room(*slot);
		vecs[n].iov_base = room_of(*slot);
		vecs[n++].iov_len = exact && room > left ? left : room;
		left -= room < left ? room : left;
		slot = evc_slot_with_room(&(*slot)->next);
	}
	return n;
}

/* One piece: all the room at its place, which is size or more. */
static int reserve_one(struct evbuffer *buf, size_t size, struct evbuffer_iovec *vec)
{
	struct evbuffer_chain *chain = evc_room_in_one(buf, size);

	if (!chain)
		return -1;
	vec->iov_base = room_of(chain);
	vec->iov_len = evc_chain_room(chain);
	return 1;
}

int evbuffer_reserve_space(
    struct evbuffer *buf, ev_ssize_t size, struct evbuffer_iovec *vec, int n_vecs)
{
	struct evbuffer_chain **slot;
	int n = -1;

	EVBUFFER_LOCK(buf);
	if (buf->freeze_end || n_vecs < 1 || size < 0)
		n = -1;
	else if (n_vecs == 1)
		n = reserve_one(buf, (size_t)size, vec);
	else if (evbuffer_expand_fast_(buf, (size_t)size, n_vecs) == 0)
		n = evbuffer_read_setup_vecs_(buf, size, vec, n_vecs, &slot, 0);
	EVBUFFER_UNLOCK(buf);
	return n;
}

/* True iff vecs are the rooms of the chains from slot on, in their order, or parts of them from
 * their starts. */
static bool rooms_match(struct evbuffer_chain **slot, const struct evbuffer_iovec *vecs, int n_vecs)
{
	for (int i = 0; i < n_vecs; i++) {
		slot = evc_slot_with_room(slot);
		if (!*slot || vecs[i].iov_base != room_of(*slot) ||
		    vecs[i].iov_len > evc_chain_room(*slot))
			return false;
		slot = &(*slot)->next;
	}
	return true;
}

/* Takes what was filled as data. Returns how much. */
static size_t take_rooms(
    struct evbuffer_chain **slot, const struct evbuffer_iovec *vecs, int n_vecs)
{
	size_t added = 0;

	for (int i = 0; i < n_vecs; i++) {
		slot = evc_slot_with_room(slot);
		(*slot)->off += vecs[i].iov_len;
		added += vecs[i].iov_len;
		slot = &(*slot)->next;
	}
	return added;
}

/* A single piece may be any of the rooms: evbuffer_reserve_space() passes over those that are too
 * small. The chain with that room, or NULL. */
static struct evbuffer_chain *chain_of_room(const struct evbuffer *buf, const void *base)
{
	struct evbuffer_chain *chain;

	for (chain = *buf->last_with_datap; chain; chain = chain->next) {
		if (!(chain->flags & EVBUFFER_IMMUTABLE) && room_of(chain) == base)
			break;
	}
	return chain;
}

static int commit(struct evbuffer *buf, const struct evbuffer_iovec *vecs, int n_vecs)
{
	size_t added;

	if (n_vecs == 1) {
		struct evbuffer_chain *chain = chain_of_room(buf, vecs->iov_base);

		added = vecs->iov_len;
		if (!chain || added > evc_chain_space(chain))
			return -1;
		chain->off += added;
	} else {
		if (!rooms_match(buf->last_with_datap, vecs, n_vecs))
			return -1;
		added = take_rooms(buf->last_with_datap, vecs, n_vecs);
	}
	evc_advance_last_with_data(buf);
	buf->total_len += added;
	buf->n_add_for_cb += added;
	evc_buffer_changed(buf);
	return 0;
}

int evbuffer_commit_space(struct evbuffer *buf, struct evbuffer_iovec *vec, int n_vecs)
{
	int result = -1;

	EVBUFFER_LOCK(buf);
	if (!buf->freeze_end)
		result = n_vecs == 0 ? 0 : commit(buf, vec, n_vecs);
	EVBUFFER_UNLOCK(buf);
	return result;
}
