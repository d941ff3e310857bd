/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What bufferevents do with evbuffers, and what the program's functions of the same kind are made
 * of: these here know nothing of freezing, and only count for the callbacks.
 *
 * Blocks. Received data lands in blocks. A block with a lot in it becomes a chain of the input
 * buffer and is replaced by a fresh one; when the program has read it, it goes to the store, from
 * where the next receive takes it while it is still in the cache. The store holds at most
 * MAX_STORED blocks, and MAX_BULKS large ones, what is beyond goes back to the allocator.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "evbuffer.h"

/* Chains double their sizes as data is added, up to this. */
#define MAX_DOUBLED 4096

enum {
	MAX_STORED = 128,
	MAX_BULKS = 16,
	WRITE_VECS = 128,
	READ_BLOCKS = 4,    /* the most that one read is given besides the room there is */
	BLOCK_WORTH = 4096, /* what is asked for in less room than this gets no block */
	SMALL_READ = 2048,  /* and no block is kept for less data than this */
};

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* ---- blocks */

struct shelf {
	struct evbuffer_chain *top;
	int n_stored;
	const int most;
};

static struct {
	pthread_mutex_t lock;
	struct shelf blocks, bulks;
	int n_users;
} store = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .blocks.most = MAX_STORED,
    .bulks.most = MAX_BULKS,
};

static pthread_once_t store_once = PTHREAD_ONCE_INIT;

static void lock_store(void)
{
	pthread_mutex_lock(&store.lock);
}

static void unlock_store(void)
{
	pthread_mutex_unlock(&store.lock);
}

/* A child must not find the lock held by a thread that it does not have. */
static void watch_forks(void)
{
	pthread_atfork(lock_store, unlock_store, unlock_store);
}

void evc_block_store_open(void)
{
	pthread_once(&store_once, watch_forks);
	lock_store();
	__atomic_add_fetch(&store.n_users, 1, __ATOMIC_RELAXED);
	unlock_store();
}

bool evc_block_store_is_open(void)
{
	return __atomic_load_n(&store.n_users, __ATOMIC_RELAXED) > 0;
}

static void clear(struct shelf *shelf)
{
	struct evbuffer_chain *block = shelf->top;

	shelf->top = NULL;
	shelf->n_stored = 0;
	while (block) {
		struct evbuffer_chain *next = block->next;

		mm_free(block);
		block = next;
	}
}

void evc_block_store_close(void)
{
	lock_store();
	evc_assert(store.n_users > 0);
	if (__atomic_sub_fetch(&store.n_users, 1, __ATOMIC_RELAXED) == 0) {
		clear(&store.blocks);
		clear(&store.bulks);
		evc_pool_empty();
	}
	unlock_store();
}

static struct evbuffer_chain *block_from(struct shelf *shelf, size_t size)
{
	struct evbuffer_chain *block;

	lock_store();
	block = shelf->top;
	if (block) {
		shelf->top = block->next;
		shelf->n_stored--;
	}
	unlock_store();
	if (!block)
		block = mm_malloc(EVBUFFER_CHAIN_SIZE + size);
	if (!block)
		return NULL;
	*block = (struct evbuffer_chain){
	    .buffer_len = size,
	    .flags = EVC_CHAIN_BLOCK,
	    .refcnt = 1,
	    .buffer = EVBUFFER_CHAIN_EXTRA(unsigned char, block),
	};
	return block;
}

struct evbuffer_chain *evc_block_new(void)
{
	return block_from(&store.blocks, EVC_BLOCK_SIZE);
}

struct evbuffer_chain *evc_bulk_new(void)
{
	return block_from(&store.bulks, EVC_BULK_SIZE);
}

void evc_block_free(struct evbuffer_chain *block)
{
	struct shelf *shelf = block->buffer_len == EVC_BULK_SIZE ? &store.bulks : &store.blocks;
	bool stored;

	lock_store();
	stored = store.n_users > 0 && shelf->n_stored < shelf->most;
	if (stored) {
		block->next = shelf->top;
		shelf->top = block;
		shelf->n_stored++;
	}
	unlock_store();
	if (!stored)
		mm_free(block);
}

/* ---- at the end */

/* Into a chain's room, which suffices. The buffer's total is the caller's concern. */
static void fill(struct evbuffer_chain *chain, const void *data, size_t n)
{
	memcpy(evc_chain_data(chain) + chain->off, data, n);
	chain->off += n;
}

/* The size of the chain that follows the last one with data: twice as big while that is small, and
 * not less than n. Somebody else's memory and blocks say nothing about the program's habits. */
static size_t next_size(const struct evbuffer_chain *last, size_t n)
{
	size_t size = 0;

	if (last && !(last->flags & (EVBUFFER_IMMUTABLE | EVC_CHAIN_BLOCK)))
		size = last->buffer_len;
	if (size <= MAX_DOUBLED / 2)
		size *= 2;
	return size > n ? size : n;
}

/* True iff the last chain with data and the empty ones behind it have room for n bytes. */
static bool has_room(const struct evbuffer *buf, size_t n)
{
	size_t room = 0;

	for (struct evbuffer_chain *c = *buf->last_with_datap; c && room < n; c = c->next) {
		evc_chain_rewind(c);
		room += evc_chain_room(c);
	}
	return room >= n;
}

/* Into the room that there is. */
static void spread(struct evbuffer *buf, const unsigned char *data, size_t n)
{
	struct evbuffer_chain **slot;

	for (slot = buf->last_with_datap; n; slot = &(*slot)->next) {
		size_t piece = smaller(evc_chain_room(*slot), n);

		if (piece == 0)
			continue;
		fill(*slot, data, piece);
		buf->last_with_datap = slot;
		data += piece;
		n -= piece;
	}
}

/* Fills up the last chain with data and puts the rest into a new one. */
static int grow(struct evbuffer *buf, const unsigned char *data, size_t n)
{
	struct evbuffer_chain *last = *buf->last_with_datap;
	struct evbuffer_chain *fresh = evc_chain_new(next_size(last, n));
	size_t room = last ? evc_chain_room(last) : 0;

	if (!fresh)
		return -1;
	if (room) {
		fill(last, data, room);
		buf->total_len += room;
	}
	fill(fresh, data + room, n - room);
	evc_chain_insert(buf, fresh);
	return 0;
}

/* For what does not fit into the last chain with data as it is. */
static int append_beyond(struct evbuffer *buf, const void *data, size_t n)
{
	struct evbuffer_chain *last = *buf->last_with_datap;

	if (n == 0)
		return 0;
	if (n > EV_SIZE_MAX - buf->total_len)
		return -1;
	if (last && evc_chain_realign(last, n)) {
		fill(last, data, n);
		buf->total_len += n;
	} else if (has_room(buf, n)) {
		spread(buf, data, n);
		buf->total_len += n;
	} else if (grow(buf, data, n) < 0) {
		return -1;
	}
	buf->n_add_for_cb += n;
	return 0;
}

int evc_buffer_append(struct evbuffer *buf, const void *data, size_t n)
{
	struct evbuffer_chain *last = *buf->last_with_datap;

	EVBUFFER_ASSERT_LOCKED(buf);
	/* Unsigned: 0 bytes never fit here, so that memcpy is not asked to copy from NULL. */
	if (!last || n - 1 >= evc_chain_room(last))
		return append_beyond(buf, data, n);
	fill(last, data, n);
	buf->total_len += n;
	buf->n_add_for_cb += n;
	return 0;
}

void evc_buffer_adopt(struct evbuffer *buf, struct evbuffer_chain *block, size_t n)
{
	evc_assert(n <= block->buffer_len && block->off == 0);
	if (n == 0) {
		evc_block_free(block);
		return;
	}
	block->off = n;
	evc_chain_insert(buf, block);
	buf->n_add_for_cb += n;
}

/* ---- at the front */

/* Lists what the first chains hold, up to a chain that has one of the flags in stop_at. */
static int list_front(const struct evbuffer *buf, unsigned stop_at, struct iovec *vecs,
    struct evbuffer_chain **chains, int max_vecs, size_t max_bytes, size_t *bytes)
{
	size_t left = max_bytes;
	int n = 0;

	for (struct evbuffer_chain *c = buf->first; c && n < max_vecs && left; c = c->next) {
		size_t piece = smaller(c->off, left);

		if (piece == 0)
			continue;
		if (c->flags & stop_at)
			break;
		vecs[n] = (struct iovec){.iov_base = evc_chain_data(c), .iov_len = piece};
		if (chains)
			chains[n] = c;
		left -= piece;
		n++;
	}
	*bytes = max_bytes - left;
	return n;
}

/* A chain can have one reader at a time. One that is pinned still, for another socket that the
 * buffer was sent to before, has to wait. */
int evc_buffer_pin(struct evbuffer *buf, struct iovec *vecs, struct evbuffer_chain **chains,
    int max_vecs, size_t max_bytes, size_t *bytes)
{
	int n = list_front(buf, EVBUFFER_SENDFILE | EVBUFFER_MEM_PINNED_W, vecs, chains, max_vecs,
	    max_bytes, bytes);

	EVBUFFER_ASSERT_LOCKED(buf);
	for (int i = 0; i < n; i++)
		evbuffer_chain_pin_(chains[i], EVBUFFER_MEM_PINNED_W);
	return n;
}

/* Chains that somebody writes to stay, emptied. */
static void drain_chains(struct evbuffer *buf, size_t n)
{
	struct evbuffer_chain *const last_with_data = *buf->last_with_datap;
	struct evbuffer_chain *chain, **slot = &buf->first, *kept = NULL;
	struct evbuffer_chain *gone = NULL, **gone_end = &gone;

	while ((chain = *slot) && chain->off <= n) {
		n -= chain->off;
		if (chain->flags & EVBUFFER_MEM_PINNED_R) {
			chain->misalign += (ev_off_t)chain->off;
			chain->off = 0;
			kept = chain;
			slot = &chain->next;
		} else {
			*slot = chain->next;
			*gone_end = chain;
			gone_end = &chain->next;
		}
	}
	*gone_end = NULL;
	if (!chain) {
		buf->last = kept;
		buf->last_with_datap = &buf->first;
	} else {
		chain->misalign += (ev_off_t)n;
		chain->off -= n;
		if (chain == last_with_data)
			buf->last_with_datap = slot;
	}
	evc_chain_free_all(gone);
}

void evc_buffer_drain(struct evbuffer *buf, size_t n)
{
	struct evbuffer_chain *first = buf->first;

	EVBUFFER_ASSERT_LOCKED(buf);
	n = smaller(n, buf->total_len);
	if (n == 0)
		return;
	buf->total_len -= n;
	buf->n_del_for_cb += n;
	if (n < first->off) {
		first->misalign += (ev_off_t)n;
		first->off -= n;
	} else if (!first->next && !(first->flags & EVBUFFER_MEM_PINNED_R)) {
		/* It was the last with data, too: last_with_datap is right. */
		buf->first = buf->last = NULL;
		evc_chain_free(first);
	} else {
		drain_chains(buf, n);
	}
}

/* ---- reading */

/* Where a read puts its bytes: the first room that the buffer has, then fresh chains, which do not
 * belong to the buffer until there is something in them. */
struct landing {
	struct iovec vecs[1 + READ_BLOCKS];
	int n_vecs;
	struct evbuffer_chain **tail; /* has that room */
	size_t n_tail;                /* how much of it is used; vecs[0] if not 0 */
	struct evbuffer_chain *fresh[READ_BLOCKS];
	int n_fresh;
};

static void add_vec(struct landing *l, struct evbuffer_chain *chain, size_t n)
{
	l->vecs[l->n_vecs++] = (struct iovec){
	    .iov_base = evc_chain_data(chain) + chain->off,
	    .iov_len = n,
	};
}

/* Without memory it is less than howmuch, perhaps nothing. */
static void prepare_landing(struct evbuffer *buf, struct landing *l, size_t howmuch)
{
	l->n_vecs = l->n_fresh = 0;
	l->n_tail = 0;
	l->tail = evc_slot_with_room(buf->last_with_datap);
	if (*l->tail) {
		evc_chain_rewind(*l->tail);
		l->n_tail = smaller(evc_chain_room(*l->tail), howmuch);
		add_vec(l, *l->tail, l->n_tail);
	}
	howmuch -= l->n_tail;
	while (howmuch && l->n_fresh < READ_BLOCKS) {
		struct evbuffer_chain *fresh =
		    howmuch < BLOCK_WORTH ? evc_chain_new(howmuch) : evc_block_new();
		size_t piece;

		if (!fresh)
			return;
		piece = smaller(fresh->buffer_len, howmuch);
		l->fresh[l->n_fresh++] = fresh;
		add_vec(l, fresh, piece);
		howmuch -= piece;
	}
}

/* A fresh chain with n bytes in it becomes the buffer's; of a block with little in it only the
 * bytes do, lest they hold on to all of it. */
static void land_chain(struct evbuffer *buf, struct evbuffer_chain *fresh, size_t n)
{
	if (n == 0) {
		evc_chain_free(fresh);
		return;
	}
	if (fresh->flags & EVC_CHAIN_BLOCK && n < SMALL_READ &&
	    evc_buffer_append(buf, fresh->buffer, n) == 0) {
		evc_chain_free(fresh);
		return;
	}
	fresh->off = n;
	evc_chain_insert(buf, fresh);
	buf->n_add_for_cb += n;
}

static void land(struct evbuffer *buf, struct landing *l, size_t n)
{
	size_t piece = smaller(l->n_tail, n);

	if (piece) {
		(*l->tail)->off += piece;
		buf->last_with_datap = l->tail;
		buf->total_len += piece;
		buf->n_add_for_cb += piece;
		n -= piece;
	}
	for (int i = 0; i < l->n_fresh; i++) {
		piece = smaller(l->fresh[i]->buffer_len, n);
		land_chain(buf, l->fresh[i], piece);
		n -= piece;
	}
}

int evc_buffer_read(struct evbuffer *buf, evutil_socket_t fd, size_t howmuch)
{
	struct landing l;
	ssize_t n;
	int saved;

	EVBUFFER_ASSERT_LOCKED(buf);
	prepare_landing(buf, &l, howmuch);
	if (howmuch && l.n_vecs == 0) {
		errno = ENOMEM;
		return -1;
	}
	n = readv(fd, l.vecs, l.n_vecs);
	saved = errno;
	land(buf, &l, n > 0 ? (size_t)n : 0);
	errno = saved;
	return (int)n;
}

/* ---- writing */

static const struct evbuffer_chain *first_with_data(const struct evbuffer *buf)
{
	const struct evbuffer_chain *chain = buf->first;

	while (chain && chain->off == 0)
		chain = chain->next;
	return chain;
}

static ssize_t write_file(const struct evbuffer_chain *chain, evutil_socket_t fd, size_t howmuch)
{
	const struct evbuffer_file_segment *seg =
	    EVBUFFER_CHAIN_EXTRA(struct evbuffer_chain_file_segment, chain)->segment;
	off_t at = chain->misalign;

	return sendfile(fd, seg->fd, &at, smaller(chain->off, howmuch));
}

static ssize_t write_memory(const struct evbuffer *buf, evutil_socket_t fd, size_t howmuch)
{
	struct iovec vecs[WRITE_VECS];
	size_t bytes;
	int n = list_front(buf, EVBUFFER_SENDFILE, vecs, NULL, WRITE_VECS, howmuch, &bytes);

	return writev(fd, vecs, n);
}

/* A file that became shorter than it was when it was added gives 0 although there is something to
 * write. */
int evc_buffer_write(struct evbuffer *buf, evutil_socket_t fd, ev_ssize_t howmuch)
{
	const struct evbuffer_chain *first = first_with_data(buf);
	size_t max = howmuch < 0 ? INT_MAX : smaller((size_t)howmuch, INT_MAX);
	ssize_t n;

	EVBUFFER_ASSERT_LOCKED(buf);
	if (!first || max == 0)
		return 0;
	if (first->flags & EVBUFFER_SENDFILE)
		n = write_file(first, fd, max);
	else
		n = write_memory(buf, fd, max);
	if (n > 0)
		evc_buffer_drain(buf, (size_t)n);
	return (int)n;
}
