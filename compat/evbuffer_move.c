/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whole chains going from one evbuffer to another, and pulling bytes together into one chain.
 *
 * Moving costs no copy: a run of chains is cut off the front of one buffer and linked into the
 * other. Chains that somebody else writes to (PINNED_R) must stay where they are, for it is this
 * buffer that the new bytes are meant for; so their data is copied into ordinary chains first, and
 * they end up empty at the end of the buffer.
 */
#include <string.h>

#include "evbuffer.h"

/* Chains that are in no buffer. */
struct run {
	struct evbuffer_chain *first, *last;
	struct evbuffer_chain **last_with_datap; /* NULL: what holds `first` is it */
	size_t len;                              /* bytes */
};

/* ---- chains that must stay */

static bool is_written_to(const struct evbuffer_chain *chain)
{
	return chain->flags & EVBUFFER_MEM_PINNED_R;
}

static inline bool any_is_written_to(const struct evbuffer *buf)
{
	const struct evbuffer_chain *chain = buf->first;

	while (chain && !is_written_to(chain))
		chain = chain->next;
	return chain;
}

/* The chain's data goes to a copy in front of it. The buffer's contents do not change. */
static int evacuate(struct evbuffer_chain **slot)
{
	struct evbuffer_chain *chain = *slot;
	struct evbuffer_chain *copy = evc_chain_new(chain->off);

	if (!copy)
		return -1;
	memcpy(copy->buffer, evc_chain_data(chain), chain->off);
	copy->off = chain->off;
	copy->next = chain;
	*slot = copy;
	chain->misalign += (ev_off_t)chain->off;
	chain->off = 0;
	return 0;
}

static int set_written_to_aside(struct evbuffer *buf, struct evbuffer_chain **aside)
{
	struct evbuffer_chain *chain, **slot;

	for (slot = &buf->first; (chain = *slot); slot = &(*slot)->next) {
		if (is_written_to(chain) && chain->off && evacuate(slot) < 0)
			return -1;
	}
	buf->last = NULL;
	for (slot = &buf->first; (chain = *slot);) {
		if (!is_written_to(chain)) {
			buf->last = chain;
			slot = &chain->next;
			continue;
		}
		if (buf->last_with_datap == &chain->next)
			buf->last_with_datap = slot;
		*slot = chain->next;
		*aside = chain;
		aside = &chain->next;
	}
	*aside = NULL;
	return 0;
}

/* Takes the chains that must stay out of the buffer, emptied, as a list. */
static inline int set_aside(struct evbuffer *buf, struct evbuffer_chain **aside)
{
	*aside = NULL;
	return any_is_written_to(buf) ? set_written_to_aside(buf, aside) : 0;
}

static void put_back(struct evbuffer *buf, struct evbuffer_chain *aside)
{
	if (!aside)
		return;
	if (buf->last)
		buf->last->next = aside;
	else
		buf->first = aside;
	while (aside->next)
		aside = aside->next;
	buf->last = aside;
}

/* ---- runs */

static void cut_all(struct evbuffer *buf, struct run *run)
{
	*run = (struct run){
	    .first = buf->first,
	    .last = buf->last,
	    .len = buf->total_len,
	};
	if (buf->last_with_datap != &buf->first)
		run->last_with_datap = buf->last_with_datap;
	buf->first = buf->last = NULL;
	buf->last_with_datap = &buf->first;
	buf->total_len = 0;
}

/* Cuts off the chains that hold at most n bytes together. There are more in the buffer, so that its
 * last chain with data stays. */
static void cut_front(struct evbuffer *buf, size_t n, struct run *run)
{
	struct evbuffer_chain **slot = &buf->first;
	struct evbuffer_chain *chain;

	*run = (struct run){.first = buf->first};
	while ((chain = *slot)->off <= n - run->len) {
		run->len += chain->off;
		run->last = chain;
		if (chain->off)
			run->last_with_datap = slot == &buf->first ? NULL : slot;
		slot = &chain->next;
	}
	if (!run->last) {
		run->first = NULL;
		return;
	}
	if (buf->last_with_datap == slot)
		buf->last_with_datap = &buf->first;
	buf->first = chain;
	*slot = NULL;
	buf->total_len -= run->len;
}

static void link_end(struct evbuffer *buf, const struct run *run)
{
	struct evbuffer_chain **end = buf->first ? evc_free_trailing_empty(buf) : &buf->first;

	*end = run->first;
	buf->last = run->last;
	if (run->len)
		buf->last_with_datap = run->last_with_datap ? run->last_with_datap : end;
	buf->total_len += run->len;
}

/* In front of what is there, which has data. */
static void link_front(struct evbuffer *buf, const struct run *run)
{
	run->last->next = buf->first;
	buf->first = run->first;
	if (buf->last_with_datap == &buf->first)
		buf->last_with_datap = &run->last->next;
	buf->total_len += run->len;
}

/* Both have been changed by n bytes. */
static void count_moved(struct evbuffer *from, struct evbuffer *to, size_t n)
{
	from->n_del_for_cb += n;
	to->n_add_for_cb += n;
}

/* ---- buffer to buffer */

/* Everything, to one end of outbuf. */
static inline int move_all(struct evbuffer *outbuf, struct evbuffer *inbuf, bool to_front)
{
	struct evbuffer_chain *aside;
	struct run run;

	if ((to_front ? outbuf->freeze_start : outbuf->freeze_end) || inbuf->freeze_start)
		return -1;
	if (set_aside(inbuf, &aside) < 0)
		return -1;
	cut_all(inbuf, &run);
	put_back(inbuf, aside);
	if (to_front && outbuf->total_len)
		link_front(outbuf, &run);
	else
		link_end(outbuf, &run);
	count_moved(inbuf, outbuf, run.len);
	return 0;
}

static int move_all_and_tell(struct evbuffer *outbuf, struct evbuffer *inbuf, bool to_front)
{
	int result = 0;

	EVBUFFER_LOCK2(inbuf, outbuf);
	if (inbuf->total_len != 0 && outbuf != inbuf) {
		result = move_all(outbuf, inbuf, to_front);
		if (result == 0) {
			evc_buffer_changed(inbuf);
			evc_buffer_changed(outbuf);
		}
	}
	EVBUFFER_UNLOCK2(inbuf, outbuf);
	return result;
}

int evbuffer_add_buffer(struct evbuffer *outbuf, struct evbuffer *inbuf)
{
	return move_all_and_tell(outbuf, inbuf, false);
}

int evbuffer_prepend_buffer(struct evbuffer *outbuf, struct evbuffer *inbuf)
{
	return move_all_and_tell(outbuf, inbuf, true);
}

/* A copy of the first n bytes, which are in the first chain. NULL: no memory. */
static struct evbuffer_chain *copy_of_front(const struct evbuffer_chain *first, size_t n)
{
	struct evbuffer_chain *copy = evc_chain_new(n);

	if (!copy)
		return NULL;
	memcpy(copy->buffer, evc_chain_data(first), n);
	copy->off = n;
	return copy;
}

/* The chain that the first n bytes end in the middle of; *rest is how many of them are in it. */
static const struct evbuffer_chain *chain_cut_at(const struct evbuffer *buf, size_t n, size_t *rest)
{
	const struct evbuffer_chain *chain = buf->first;

	for (; chain->off <= n; chain = chain->next)
		n -= chain->off;
	*rest = n;
	return chain;
}

/* The first n bytes; there are more. Chains as they are, and a copy of the part of one; a file is
 * not divided, less is moved then. Returns how many bytes, -1 without memory. */
static ev_ssize_t move_some(struct evbuffer *src, struct evbuffer *dst, size_t n)
{
	struct evbuffer_chain *copy = NULL, *aside;
	const struct evbuffer_chain *cut;
	struct run run;
	size_t rest;

	cut = chain_cut_at(src, n, &rest);
	if (cut->flags & EVBUFFER_SENDFILE)
		rest = 0;
	if (rest && cut == src->first) {
		if (evc_buffer_append(dst, evc_chain_data(cut), rest) < 0)
			return -1;
		evc_buffer_drain(src, rest);
		return (ev_ssize_t)rest;
	}
	if (rest && !(copy = copy_of_front(cut, rest)))
		return -1;
	if (set_aside(src, &aside) < 0) {
		if (copy)
			evc_chain_free(copy);
		return -1;
	}
	cut_front(src, n, &run);
	put_back(src, aside);
	if (run.first)
		link_end(dst, &run);
	count_moved(src, dst, run.len);
	if (copy) {
		evc_chain_insert(dst, copy);
		dst->n_add_for_cb += rest;
		evc_buffer_drain(src, rest);
	}
	return (ev_ssize_t)(run.len + rest);
}

/* The first n bytes, or all. As with evbuffer_add_buffer() the callbacks of what got less are first
 * if it is all, but last if some stays. */
static ev_ssize_t move_up_to(struct evbuffer *src, struct evbuffer *dst, size_t n)
{
	const size_t there = src->total_len;
	ev_ssize_t moved;

	if (dst->freeze_end || src->freeze_start)
		return -1;
	if (n >= there)
		return evbuffer_add_buffer(dst, src) < 0 ? -1 : (ev_ssize_t)there;
	moved = move_some(src, dst, n);
	if (moved > 0) {
		evc_buffer_changed(dst);
		evc_buffer_changed(src);
	}
	return moved;
}

int evbuffer_remove_buffer(struct evbuffer *src, struct evbuffer *dst, size_t datlen)
{
	ev_ssize_t n = 0;

	EVBUFFER_LOCK2(src, dst);
	if (datlen != 0 && dst != src)
		n = move_up_to(src, dst, datlen);
	EVBUFFER_UNLOCK2(src, dst);
	return (int)n;
}

/* ---- pulling together */

/* True iff the first n bytes are in memory, in chains that nobody writes to. */
static bool can_gather(const struct evbuffer *buf, size_t n)
{
	const struct evbuffer_chain *chain = buf->first;

	while (chain->off < n) {
		if (is_written_to(chain) || chain->flags & EVBUFFER_SENDFILE)
			return false;
		n -= chain->off;
		chain = chain->next;
	}
	return !(n && (is_written_to(chain) || chain->flags & EVBUFFER_SENDFILE));
}

/* The first chain if it can hold n bytes from its first on, else a new one. */
static struct evbuffer_chain *gathering_place(const struct evbuffer *buf, size_t n)
{
	struct evbuffer_chain *first = buf->first;

	if (!(first->flags & (EVBUFFER_IMMUTABLE | EVBUFFER_MEM_PINNED_R)) &&
	    first->buffer_len - (size_t)first->misalign >= n)
		return first;
	return evc_chain_new(n);
}

/* The first n bytes are brought into one chain. They are in several now. */
static unsigned char *gather(struct evbuffer *buf, size_t n)
{
	struct evbuffer_chain *const last_with_data = *buf->last_with_datap;
	struct evbuffer_chain *place, *chain, *gone = NULL, **gone_end = &gone;

	if (!can_gather(buf, n))
		return NULL;
	place = gathering_place(buf, n);
	if (!place) {
		event_warnx("evbuffer_pullup: no memory for %zu bytes", n);
		return NULL;
	}
	chain = place == buf->first ? place->next : buf->first;
	while (place->off < n) {
		size_t piece = chain->off < n - place->off ? chain->off : n - place->off;

		/* An empty reference may be one to NULL. */
		if (piece)
			memcpy(evc_chain_data(place) + place->off, evc_chain_data(chain), piece);
		place->off += piece;
		if (piece < chain->off) {
			chain->misalign += (ev_off_t)piece;
			chain->off -= piece;
			break;
		}
		*gone_end = chain;
		gone_end = &chain->next;
		chain = chain->next;
	}
	*gone_end = NULL;
	buf->first = place;
	place->next = chain;
	if (!chain)
		buf->last = place;
	if (n == buf->total_len)
		buf->last_with_datap = &buf->first;
	else if (chain == last_with_data)
		buf->last_with_datap = &place->next;
	evc_chain_free_all(gone);
	return evc_chain_data(place);
}

unsigned char *evbuffer_pullup(struct evbuffer *buf, ev_ssize_t size)
{
	unsigned char *result = NULL;
	size_t n;

	EVBUFFER_LOCK(buf);
	n = size < 0 ? buf->total_len : (size_t)size;
	if (n == 0 || n > buf->total_len)
		result = NULL;
	else if (buf->first->off < n)
		result = gather(buf, n);
	else if (!(buf->first->flags & EVBUFFER_SENDFILE))
		result = evc_chain_data(buf->first);
	EVBUFFER_UNLOCK(buf);
	return result;
}
