/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The evbuffer for the program: its life, and bytes going in and out at both ends.
 *
 * The functions here take the lock, look whether the end in question is frozen, have the work done,
 * and tell the callbacks last, when the buffer is whole. What fails changes nothing: memory is
 * asked for before the first byte moves.
 *
 * Trap: the bytes of a file that is to be sent from its descriptor are not in memory. Where they
 * would have to be read the answer is -1.
 */
#include <string.h>

#include "bufferevent.h"

/* ---- life */

void evc_buffer_init(struct evbuffer *buf)
{
	buf->refcnt = 1;
	buf->last_with_datap = &buf->first;
}

struct evbuffer *evbuffer_new(void)
{
	struct evbuffer *buf = mm_calloc(1, sizeof(*buf));

	if (buf)
		evc_buffer_init(buf);
	return buf;
}

void evbuffer_incref_(struct evbuffer *buf)
{
	EVBUFFER_LOCK(buf);
	buf->refcnt++;
	EVBUFFER_UNLOCK(buf);
}

void evbuffer_incref_and_lock_(struct evbuffer *buf)
{
	EVBUFFER_LOCK(buf);
	buf->refcnt++;
}

void evbuffer_decref_and_unlock_(struct evbuffer *buf)
{
	EVBUFFER_ASSERT_LOCKED(buf);
	evc_assert(buf->refcnt > 0);
	if (--buf->refcnt > 0) {
		EVBUFFER_UNLOCK(buf);
		return;
	}
	evc_chain_free_all(buf->first);
	evc_buffer_remove_all_callbacks(buf);
	if (buf->deferred_cbs)
		event_deferred_cb_cancel_(buf->watch->base, &buf->watch->round);
	if (buf->watch)
		mm_free(buf->watch);
	EVBUFFER_UNLOCK(buf);
	if (buf->own_lock)
		EVTHREAD_FREE_LOCK(buf->lock, EVTHREAD_LOCKTYPE_RECURSIVE);
	if (buf->of_sock)
		evc_sock_buffer_gone(buf);
	else
		mm_free(buf);
}

void evbuffer_free(struct evbuffer *buf)
{
	EVBUFFER_LOCK(buf);
	evbuffer_decref_and_unlock_(buf);
}

/* lock NULL: one of its own. Nobody else may know the buffer yet. */
int evbuffer_enable_locking(struct evbuffer *buf, void *lock)
{
	const bool own = !lock;

	if (buf->lock)
		return -1;
	if (own)
		EVTHREAD_ALLOC_LOCK(lock, EVTHREAD_LOCKTYPE_RECURSIVE);
	if (!lock)
		return -1;
	buf->lock = lock;
	buf->own_lock = own;
	return 0;
}

void evbuffer_lock(struct evbuffer *buf)
{
	EVBUFFER_LOCK(buf);
}

void evbuffer_unlock(struct evbuffer *buf)
{
	EVBUFFER_UNLOCK(buf);
}

int evbuffer_set_flags(struct evbuffer *buf, ev_uint64_t flags)
{
	EVBUFFER_LOCK(buf);
	buf->flags |= (ev_uint16_t)flags;
	EVBUFFER_UNLOCK(buf);
	return 0;
}

int evbuffer_clear_flags(struct evbuffer *buf, ev_uint64_t flags)
{
	EVBUFFER_LOCK(buf);
	buf->flags &= (ev_uint16_t)~flags;
	EVBUFFER_UNLOCK(buf);
	return 0;
}

static int set_frozen(struct evbuffer *buf, int at_front, unsigned frozen)
{
	EVBUFFER_LOCK(buf);
	if (at_front)
		buf->freeze_start = frozen & 1;
	else
		buf->freeze_end = frozen & 1;
	EVBUFFER_UNLOCK(buf);
	return 0;
}

int evbuffer_freeze(struct evbuffer *buf, int at_front)
{
	return set_frozen(buf, at_front, 1);
}

int evbuffer_unfreeze(struct evbuffer *buf, int at_front)
{
	return set_frozen(buf, at_front, 0);
}

void evbuffer_set_parent_(struct evbuffer *buf, struct bufferevent *bev)
{
	EVBUFFER_LOCK(buf);
	buf->parent = bev;
	EVBUFFER_UNLOCK(buf);
}

size_t evbuffer_get_length(const struct evbuffer *buf)
{
	size_t len;

	/* Most often asked, and most often of a buffer without a lock. */
	if (!buf->lock)
		return buf->total_len;
	EVBUFFER_LOCK(buf);
	len = buf->total_len;
	EVBUFFER_UNLOCK(buf);
	return len;
}

size_t evbuffer_get_contiguous_space(const struct evbuffer *buf)
{
	size_t len;

	EVBUFFER_LOCK(buf);
	len = buf->first ? buf->first->off : 0;
	EVBUFFER_UNLOCK(buf);
	return len;
}

/* ---- bytes in */

int evbuffer_add(struct evbuffer *buf, const void *data, size_t datlen)
{
	int result = -1;

	EVBUFFER_LOCK(buf);
	if (!buf->freeze_end && evc_buffer_append(buf, data, datlen) == 0) {
		evc_buffer_changed(buf);
		result = 0;
	}
	EVBUFFER_UNLOCK(buf);
	return result;
}

/* False: more than can be counted. */
static bool sum_lengths(const struct evbuffer_iovec *vec, int n_vec, size_t *sum)
{
	*sum = 0;
	for (int i = 0; i < n_vec; i++) {
		if (__builtin_add_overflow(*sum, vec[i].iov_len, sum))
			return false;
	}
	return true;
}

/* Callbacks hear of each piece. Returns how many bytes were added: all, unless a callback froze the
 * buffer or took the room. */
size_t evbuffer_add_iovec(struct evbuffer *buf, struct evbuffer_iovec *vec, int n_vec)
{
	size_t sum, added = 0;

	EVBUFFER_LOCK(buf);
	if (!buf->freeze_end && sum_lengths(vec, n_vec, &sum) &&
	    evbuffer_expand_fast_(buf, sum, 2) == 0) {
		for (int i = 0; i < n_vec; i++) {
			if (evbuffer_add(buf, vec[i].iov_base, vec[i].iov_len) < 0)
				break;
			added += vec[i].iov_len;
		}
	}
	EVBUFFER_UNLOCK(buf);
	return added;
}

/* Room in front of the data; in an empty chain all of it. Of a pinned chain the kernel may still
 * read what is no longer data, or write to what is not data yet. */
static size_t room_in_front(const struct evbuffer_chain *chain)
{
	if (chain->flags & (EVBUFFER_IMMUTABLE | EVBUFFER_MEM_PINNED_ANY))
		return 0;
	return chain->off ? (size_t)chain->misalign : chain->buffer_len;
}

/* Puts n bytes right in front of the chain's data. */
static void fill_front(struct evbuffer_chain *chain, const void *data, size_t n)
{
	if (chain->off == 0)
		chain->misalign = (ev_off_t)chain->buffer_len;
	chain->misalign -= (ev_off_t)n;
	chain->off += n;
	memcpy(evc_chain_data(chain), data, n);
}

/* A chain with data goes to the front. */
static void insert_front(struct evbuffer *buf, struct evbuffer_chain *chain)
{
	struct evbuffer_chain *head = buf->first;

	chain->next = head;
	buf->first = chain;
	if (!head)
		buf->last = chain;
	else if (head->off && buf->last_with_datap == &buf->first)
		buf->last_with_datap = &chain->next;
}

/* The end of the data goes to the first chain's room, the rest to a new chain, at its end, so that
 * there is room for the next one. */
static int prepend(struct evbuffer *buf, const unsigned char *data, size_t n)
{
	struct evbuffer_chain *head = buf->first, *fresh = NULL;
	size_t near = head ? room_in_front(head) : 0;
	size_t far;

	if (n > EV_SIZE_MAX - buf->total_len)
		return -1;
	if (near > n)
		near = n;
	far = n - near;
	if (far && !(fresh = evc_chain_new(far)))
		return -1;
	if (near)
		fill_front(head, data + far, near);
	if (fresh) {
		fill_front(fresh, data, far);
		insert_front(buf, fresh);
	}
	buf->total_len += n;
	buf->n_add_for_cb += n;
	return 0;
}

int evbuffer_prepend(struct evbuffer *buf, const void *data, size_t datlen)
{
	int result = -1;

	EVBUFFER_LOCK(buf);
	if (datlen == 0) {
		result = 0;
	} else if (!buf->freeze_start && prepend(buf, data, datlen) == 0) {
		evc_buffer_changed(buf);
		result = 0;
	}
	EVBUFFER_UNLOCK(buf);
	return result;
}

/* ---- bytes out */

int evbuffer_drain(struct evbuffer *buf, size_t len)
{
	int result = 0;

	EVBUFFER_LOCK(buf);
	if (buf->total_len != 0) {
		if (buf->freeze_start) {
			result = -1;
		} else {
			evc_buffer_drain(buf, len);
			evc_buffer_changed(buf);
		}
	}
	EVBUFFER_UNLOCK(buf);
	return result;
}

/* Copies n bytes, which are there, from a place in a chain on. Returns n, or -1 if some are in a
 * file. */
static ev_ssize_t copy_out(
    const struct evbuffer_chain *chain, size_t pos_in_chain, unsigned char *out, size_t n)
{
	size_t left = n;

	for (; left; chain = chain->next, pos_in_chain = 0) {
		size_t piece = chain->off - pos_in_chain;

		if (piece > left)
			piece = left;
		if (piece == 0)
			continue;
		if (chain->flags & EVBUFFER_SENDFILE)
			return -1;
		memcpy(out, evc_chain_data(chain) + pos_in_chain, piece);
		out += piece;
		left -= piece;
	}
	return (ev_ssize_t)n;
}

int evbuffer_remove(struct evbuffer *buf, void *data_out, size_t datlen)
{
	ev_ssize_t n = -1;

	EVBUFFER_LOCK(buf);
	if (datlen > buf->total_len)
		datlen = buf->total_len;
	if (datlen == 0)
		n = 0;
	else if (!buf->freeze_start)
		n = copy_out(buf->first, 0, data_out, datlen);
	if (n > 0) {
		evc_buffer_drain(buf, (size_t)n);
		evc_buffer_changed(buf);
	}
	EVBUFFER_UNLOCK(buf);
	return (int)n;
}

/* Copies from a place that is in the buffer, or at its end. Locked. */
static ev_ssize_t copy_from(struct evbuffer *buf, const struct evbuffer_chain *chain,
    size_t pos_in_chain, size_t before, void *out, size_t n)
{
	if (n > buf->total_len - before)
		n = buf->total_len - before;
	if (n == 0)
		return 0;
	return buf->freeze_start ? -1 : copy_out(chain, pos_in_chain, out, n);
}

ev_ssize_t evbuffer_copyout(struct evbuffer *buf, void *data_out, size_t datlen)
{
	return evbuffer_copyout_from(buf, NULL, data_out, datlen);
}

ev_ssize_t evbuffer_copyout_from(
    struct evbuffer *buf, const struct evbuffer_ptr *pos, void *data_out, size_t datlen)
{
	ev_ssize_t n;

	EVBUFFER_LOCK(buf);
	if (!pos)
		n = copy_from(buf, buf->first, 0, 0, data_out, datlen);
	else if (pos->pos < 0 || (size_t)pos->pos > buf->total_len ||
		 datlen > (size_t)(EV_SSIZE_MAX - pos->pos))
		n = -1;
	else
		n = copy_from(buf, pos->internal_.chain, pos->internal_.pos_in_chain,
		    (size_t)pos->pos, data_out, datlen);
	EVBUFFER_UNLOCK(buf);
	return n;
}

/* ---- looking */

/* What a chain holds from a place in it on. A file's bytes have no address. */
static struct evbuffer_iovec vec_of(const struct evbuffer_chain *chain, size_t pos_in_chain)
{
	bool in_file = chain->flags & EVBUFFER_SENDFILE;

	return (struct evbuffer_iovec){
	    .iov_base = in_file ? NULL : evc_chain_data(chain) + pos_in_chain,
	    .iov_len = chain->off - pos_in_chain,
	};
}

/* Lists len bytes (< 0: all that vecs can list, or count) from a place in a chain on. Returns how
 * many pieces that takes, which may be more than there are vecs. The first piece counts even if no
 * bytes are wanted of it. */
static int list_from(const struct evbuffer_chain *chain, size_t pos_in_chain, bool at_least_one,
    ev_ssize_t len, struct evbuffer_iovec *vec, int n_vec)
{
	size_t so_far = 0;
	int n = 0;

	for (; chain; chain = chain->next, pos_in_chain = 0) {
		if (len >= 0 && so_far >= (size_t)len && !(n == 0 && at_least_one))
			break;
		if (n < n_vec)
			vec[n] = vec_of(chain, pos_in_chain);
		else if (len < 0)
			break;
		so_far += chain->off - pos_in_chain;
		n++;
	}
	return n;
}

int evbuffer_peek(struct evbuffer *buf, ev_ssize_t len, struct evbuffer_ptr *start_at,
    struct evbuffer_iovec *vec, int n_vec)
{
	int n;

	EVBUFFER_LOCK(buf);
	/* Counting "everything" leaves out what has no bytes at the end. */
	if (n_vec == 0 && len < 0)
		len = (ev_ssize_t)buf->total_len - (start_at ? start_at->pos : 0);
	if (!start_at)
		n = list_from(buf->first, 0, false, len, vec, n_vec);
	else
		n = list_from(start_at->internal_.chain, start_at->internal_.pos_in_chain, true,
		    len, vec, n_vec);
	EVBUFFER_UNLOCK(buf);
	return n;
}
