/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The evbuffer: a list of chains, each a piece of memory with data in the middle.
 *
 *   first -> [ misalign | off bytes of data | room ] -> ... -> last -> NULL
 *
 * True iff total_len == sum of all off. True iff first == NULL => last == NULL, total_len == 0.
 * last_with_datap points at the `next` slot (or at &first) that holds the last chain with data; at
 * &first if there is none. All chains behind it have off == 0.
 *
 * The first fields of both structs, and of the file segment, are where stock has them: programs
 * that were built with its private header look at them.
 *
 * Lock: that of the evbuffer, NULL without threads; a bufferevent's buffers share its lock.
 * Functions whose names start with evc_ expect it held, unless they say otherwise.
 */
#ifndef COMPAT_EVBUFFER_H
#define COMPAT_EVBUFFER_H

#include <sys/queue.h>
#include <sys/uio.h>

#include <event2/buffer.h>
#include <event2/buffer_compat.h>

#include "base.h"

struct evbuffer_cb_entry {
	LIST_ENTRY(evbuffer_cb_entry) next;
	union {
		evbuffer_cb_func cb_func;
		evbuffer_cb cb_obsolete; /* iff flags has EVBUFFER_CB_OBSOLETE */
	} cb;
	void *cbarg;
	ev_uint32_t flags;
};

/* Runs at once even if the buffer's callbacks are deferred. */
#define EVBUFFER_CB_NODEFER 2
/* Above the 16 bits that are the program's. */
#define EVBUFFER_CB_OBSOLETE 0x00040000
/* What cb_set_flags and cb_clear_flags may touch is the low 16 bits. */

struct evbuffer {
	struct evbuffer_chain *first;
	struct evbuffer_chain *last;
	struct evbuffer_chain **last_with_datap;
	size_t total_len;
	size_t n_add_for_cb; /* bytes added since the callbacks were last invoked */
	size_t n_del_for_cb;
	void *lock;
	struct bufferevent *parent; /* whose input or output this is; NULL: nobody's */
	struct evc_watch *watch;    /* NULL: nobody has ever asked to be told of changes */
	int refcnt;
	ev_uint16_t flags;         /* EVBUFFER_FLAG_* */
	unsigned deferred_cbs : 1; /* callbacks run from the loop */
	unsigned own_lock : 1;     /* the lock is freed with the buffer */
	unsigned freeze_start : 1; /* nobody may drain or prepend */
	unsigned freeze_end : 1;   /* nobody may append */
	unsigned of_sock : 1;      /* lies in its socket bufferevent's memory */
	unsigned is_output : 1;    /* and is its output */
	unsigned sends : 1;        /* the bufferevent is told of changes, as if by the oldest of the
				      callbacks */
};
_Static_assert(sizeof(struct evbuffer) <= 80, "every connection has two");

/* Who is told of changes, and how. */
struct evc_watch {
	LIST_HEAD(evbuffer_cb_queue, evbuffer_cb_entry) callbacks; /* newest first */
	struct event_base *base; /* in whose loop they run, iff deferred_cbs */
	struct event_callback round;
};

struct evbuffer_chain {
	struct evbuffer_chain *next;
	size_t buffer_len; /* size of the memory at `buffer`; of the file's part for
			      EVBUFFER_SENDFILE */
	ev_off_t
	    misalign; /* unused bytes in front of the data; for EVBUFFER_SENDFILE the file offset */
	size_t off;   /* bytes of data */
	unsigned flags;
	int refcnt;
	unsigned char *buffer; /* behind the struct, or elsewhere (reference, mapping, multicast) */
};

#define EVBUFFER_FILESEGMENT 0x0001  /* the memory belongs to a file segment */
#define EVBUFFER_SENDFILE 0x0002     /* there is no memory: it is sent from the file */
#define EVBUFFER_REFERENCE 0x0004    /* the memory is the program's */
#define EVBUFFER_IMMUTABLE 0x0008    /* not to be written to */
#define EVBUFFER_MEM_PINNED_R 0x0010 /* somebody else writes to the memory: it must not move */
#define EVBUFFER_MEM_PINNED_W 0x0020 /* somebody else reads the memory */
#define EVBUFFER_MEM_PINNED_ANY (EVBUFFER_MEM_PINNED_R | EVBUFFER_MEM_PINNED_W)
#define EVBUFFER_DANGLING 0x0040  /* to be freed when it is no longer pinned */
#define EVBUFFER_MULTICAST 0x0080 /* the memory is another buffer's chain's */
#define EVC_CHAIN_BLOCK 0x0100    /* from evc_block_new(): the allocation goes back there */

#define EVBUFFER_CHAIN_SIZE sizeof(struct evbuffer_chain)
#define EVBUFFER_CHAIN_MAX ((size_t)EV_SSIZE_MAX)
/* What a chain keeps right behind itself. */
#define EVBUFFER_CHAIN_EXTRA(type, chain) ((type *)((struct evbuffer_chain *)(chain) + 1))

struct evbuffer_chain_reference {
	evbuffer_ref_cleanup_cb cleanupfn;
	void *extra;
};

struct evbuffer_chain_file_segment {
	struct evbuffer_file_segment *segment; /* a reference */
};

struct evbuffer_multicast_parent {
	struct evbuffer *source;       /* a reference */
	struct evbuffer_chain *parent; /* a reference */
};

struct evbuffer_file_segment {
	void *lock; /* for refcnt */
	int refcnt;
	unsigned flags; /* EVBUF_FS_* */
	unsigned can_sendfile : 1;
	unsigned is_mapping : 1;
	int fd;
	void *mapping;  /* as mmap(2) gave it */
	char *contents; /* the segment's bytes, in the mapping or in memory of our own */
	ev_off_t file_offset;
	ev_off_t mmap_offset; /* of the segment in the mapping */
	ev_off_t length;
	evbuffer_file_segment_cleanup_cb cleanup_cb;
	void *cleanup_cb_arg;
};

#define EVBUFFER_LOCK(b) EVLOCK_LOCK((b)->lock, 0)
#define EVBUFFER_UNLOCK(b) EVLOCK_UNLOCK((b)->lock, 0)
#define EVBUFFER_LOCK2(a, b) EVLOCK_LOCK2((a)->lock, (b)->lock, 0, 0)
#define EVBUFFER_UNLOCK2(a, b) EVLOCK_UNLOCK2((a)->lock, (b)->lock, 0, 0)
#define EVBUFFER_ASSERT_LOCKED(b) EVLOCK_ASSERT_LOCKED((b)->lock)

/* ---- exported, for the sister libraries; locks are not held unless said */
void evbuffer_incref_(struct evbuffer *buf);
void evbuffer_incref_and_lock_(struct evbuffer *buf);
/* Locked on entry, not on return; the buffer may be gone then. */
void evbuffer_decref_and_unlock_(struct evbuffer *buf);
/* Locked. `flag`: one of EVBUFFER_MEM_PINNED_*. */
void evbuffer_chain_pin_(struct evbuffer_chain *chain, unsigned flag);
/* Frees the chain if it is dangling. */
void evbuffer_chain_unpin_(struct evbuffer_chain *chain, unsigned flag);
/* Room for datlen bytes at the end in at most n (>= 2) chains, without copying data around. Locked.
 */
int evbuffer_expand_fast_(struct evbuffer *buf, size_t datlen, int n);
/* Locked. Lists up to n_avail pieces of room at the end that make up howmuch bytes (`exact`: not
 * more); *chainp is the slot of the first chain listed. Returns how many, -1 if there is not that
 * much room. */
int evbuffer_read_setup_vecs_(struct evbuffer *buf, ev_ssize_t howmuch, struct evbuffer_iovec *vecs,
    int n_avail, struct evbuffer_chain ***chainp, int exact);
void evbuffer_set_parent_(struct evbuffer *buf, struct bufferevent *bev);
/* Locked. Runs the callbacks, or schedules them, if anything changed since they last ran. */
void evbuffer_invoke_callbacks_(struct evbuffer *buf);
/* Locked. The buffer's event_callbacks that a finalizer of the whole must wait for. Returns how
 * many (0 or 1, never more than max_cbs). */
int evbuffer_get_callbacks_(struct evbuffer *buf, struct event_callback **cbs, int max_cbs);

/* ---- evbuffer_chain.c: the list (used by all evbuffer*.c). Locked. */
/* A chain with room for at least `size` bytes (a power of two >= 1024 with its header); NULL: no
 * memory, or size too big. */
struct evbuffer_chain *evc_chain_new(size_t size);
/* Gives up one reference; the last one frees the memory by its kind, or leaves it dangling. */
void evc_chain_free(struct evbuffer_chain *chain);
/* A chain and all behind it. */
void evc_chain_free_all(struct evbuffer_chain *chain);
/* Appends a chain, in the place of the empty chains behind the last one with data (those are freed
 * unless pinned). Counts total_len, not n_add_for_cb. */
void evc_chain_insert(struct evbuffer *buf, struct evbuffer_chain *chain);
/* Appends a new chain for at least `size` bytes. NULL: no memory. */
struct evbuffer_chain *evc_chain_insert_new(struct evbuffer *buf, size_t size);
/* last_with_datap moves on over chains with data. True iff it moved. */
bool evc_advance_last_with_data(struct evbuffer *buf);
/* Frees empty chains at the end; returns the slot where the next chain belongs. */
struct evbuffer_chain **evc_free_trailing_empty(struct evbuffer *buf);
/* Room behind the data; 0 for chains that must not be written to. */
static inline size_t evc_chain_space(const struct evbuffer_chain *c)
{
	if (c->flags & EVBUFFER_IMMUTABLE)
		return 0;
	return c->buffer_len - ((size_t)c->misalign + c->off);
}
static inline unsigned char *evc_chain_data(const struct evbuffer_chain *c)
{
	return c->buffer + c->misalign;
}
static inline bool evc_chain_is_pinned(const struct evbuffer_chain *c)
{
	return c->flags & EVBUFFER_MEM_PINNED_ANY;
}
/* The part of evc_chain_space() that data may be put into now: none while somebody else writes
 * there. */
static inline size_t evc_chain_room(const struct evbuffer_chain *c)
{
	return c->flags & EVBUFFER_MEM_PINNED_R ? 0 : evc_chain_space(c);
}
/* All of an empty chain becomes room. */
static inline void evc_chain_rewind(struct evbuffer_chain *c)
{
	if (c->off == 0 && !(c->flags & (EVBUFFER_IMMUTABLE | EVBUFFER_MEM_PINNED_ANY)))
		c->misalign = 0;
}
/* The slot of the first chain that has room, from this slot on; one that holds NULL if there is
 * none. */
static inline struct evbuffer_chain **evc_slot_with_room(struct evbuffer_chain **slot)
{
	while (*slot && evc_chain_room(*slot) == 0)
		slot = &(*slot)->next;
	return slot;
}
/* Moves the data to the start of the chain if that makes room for n bytes at a fair price. */
bool evc_chain_realign(struct evbuffer_chain *chain, size_t n);

/* ---- evbuffer_space.c. Locked. */
/* Makes room for n bytes in one piece behind the data, or in an empty chain behind it, for which
 * data may be moved. The chain that has it at its end then; NULL: no memory. */
struct evbuffer_chain *evc_expand_in_one(struct evbuffer *buf, size_t n);
/* The same, without a call if it is there: the usual case. */
static inline struct evbuffer_chain *evc_room_in_one(struct evbuffer *buf, size_t n)
{
	struct evbuffer_chain *last = *buf->last_with_datap;

	if (last && last->off && n && evc_chain_room(last) >= n)
		return last;
	return evc_expand_in_one(buf, n);
}

/* ---- evbuffer_net.c: what bufferevents need. Locked; freezes do not apply; callbacks are not
 * invoked, only counted (call evbuffer_invoke_callbacks_ afterwards). */

/* A block: a chain with exactly EVC_BLOCK_SIZE bytes of room, or, a large one, EVC_BULK_SIZE, that
 * is in no buffer yet. Blocks are kept in a small LIFO store for the whole process when they are
 * freed, so that hot memory is used again. Needs no lock; any thread. NULL: no memory. */
#define EVC_BLOCK_SIZE 16384u
#define EVC_BULK_SIZE 65536u
struct evbuffer_chain *evc_block_new(void);
struct evbuffer_chain *evc_bulk_new(void);
void evc_block_free(struct evbuffer_chain *block);
/* Users of blocks (one per event_base); the store is emptied with the last. */
void evc_block_store_open(void);
void evc_block_store_close(void);
/* True iff there is a base. */
bool evc_block_store_is_open(void);

/* ---- evbuffer_pool.c: free chains of the usual size, of this thread; no lock is needed */
/* One that is not initialised; NULL: there is none. */
struct evbuffer_chain *evc_pool_take(void);
/* False: it is to be freed. */
bool evc_pool_keep(struct evbuffer_chain *chain);
void evc_pool_empty(void);
static inline struct evbuffer_chain *evc_block_of(void *data)
{
	return (struct evbuffer_chain *)data - 1;
}

/* Copies n bytes to the end. 0 or -1. */
int evc_buffer_append(struct evbuffer *buf, const void *data, size_t n);
/* Appends a block that holds `n` bytes from its start; it is the buffer's from now on. */
void evc_buffer_adopt(struct evbuffer *buf, struct evbuffer_chain *block, size_t n);
/* Pins the first chains that have data (EVBUFFER_MEM_PINNED_W) and lists what they hold, up to
 * `max_vecs` pieces and `max_bytes` bytes; stops before a chain that must be sent from its file.
 * Returns the number of pieces; *bytes is their sum; *chains[] are the pinned chains, one per
 * piece. */
int evc_buffer_pin(struct evbuffer *buf, struct iovec *vecs, struct evbuffer_chain **chains,
    int max_vecs, size_t max_bytes, size_t *bytes);
/* Takes n bytes off the front, as evbuffer_drain does, frozen or not. */
void evc_buffer_drain(struct evbuffer *buf, size_t n);
/* Reads from fd to the end, up to `howmuch` bytes, without asking how much there is, in one call of
 * readv(2). As read(2): -1 with errno, 0 at the end of the file. */
int evc_buffer_read(struct evbuffer *buf, evutil_socket_t fd, size_t howmuch);
/* Writes the front to fd, up to `howmuch` bytes (< 0: all), with writev(2) or, for a chain that
 * lives in a file, sendfile(2), and drains what was written. As write(2): -1 with errno (EAGAIN
 * too). Nothing to write: 0. */
int evc_buffer_write(struct evbuffer *buf, evutil_socket_t fd, ev_ssize_t howmuch);
/* True iff the first byte has to be sent from a file. */
static inline bool evc_buffer_starts_in_file(const struct evbuffer *buf)
{
	return buf->first && buf->first->flags & EVBUFFER_SENDFILE;
}

/* ---- evbuffer_cb.c. Locked. */
/* True iff somebody is to be told of changes. */
static inline bool evc_buffer_is_watched(const struct evbuffer *buf)
{
	return (buf->watch && !LIST_EMPTY(&buf->watch->callbacks)) || buf->sends;
}
/* As evbuffer_invoke_callbacks_, without a call where there are none. */
static inline void evc_buffer_changed(struct evbuffer *buf)
{
	if (!evc_buffer_is_watched(buf))
		buf->n_add_for_cb = buf->n_del_for_cb = 0;
	else
		evbuffer_invoke_callbacks_(buf);
}
void evc_buffer_remove_all_callbacks(struct evbuffer *buf);
/* The callbacks, newest first; NULL: none. */
static inline struct evbuffer_cb_entry *evc_buffer_first_callback(const struct evbuffer *buf)
{
	return buf->watch ? LIST_FIRST(&buf->watch->callbacks) : NULL;
}

/* ---- evbuffer.c */
/* A new buffer in zeroed memory that is the caller's. */
void evc_buffer_init(struct evbuffer *buf);

/* ---- evbuffer_file.c: what evc_chain_free calls for a chain of a file segment. */
void evc_file_chain_release(struct evbuffer_chain *chain);

#endif
