/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Parts of files in evbuffers.
 *
 * A segment is a range of a file that any number of chains may refer to. A buffer that ends in a
 * socket (EVBUFFER_FLAG_DRAINS_TO_FD) gets chains without memory, which are sent from the fd. For
 * any other buffer, and if the program forbids that, the segment is brought to memory when it is
 * first needed: mapped, or read if it cannot or must not be mapped.
 *
 * Life: the creator has a reference and each chain has one. With the last the memory goes, then the
 * fd (EVBUF_FS_CLOSE_ON_FREE), and the cleanup callback comes at the end.
 *
 * Traps: evbuffer_add_file_segment() takes the caller's reference away if it refuses the segment,
 * but not if it merely cannot read the file. An empty range cannot be mapped nor allocated, so it
 * counts as unreadable.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "evbuffer.h"

static bool range_is_sane(ev_off_t offset, ev_off_t length)
{
	return offset >= 0 && length >= 0 && offset <= (ev_off_t)EVBUFFER_CHAIN_MAX - length;
}

/* mmap(2) wants the offset to be a multiple of the page size, so that the mapping begins some
 * bytes before the segment. */
static bool map_segment(struct evbuffer_file_segment *seg)
{
	ev_off_t before = seg->file_offset % sysconf(_SC_PAGESIZE);
	void *mapping = mmap(NULL, (size_t)(before + seg->length), PROT_READ, MAP_PRIVATE, seg->fd,
	    seg->file_offset - before);

	if (mapping == MAP_FAILED) {
		event_warn("%s: cannot map fd %d", __func__, seg->fd);
		return false;
	}
	seg->mapping = mapping;
	seg->mmap_offset = before;
	seg->contents = (char *)mapping + before;
	seg->is_mapping = 1;
	return true;
}

/* pread(2), so that the file's position is nobody's concern. Anything short is a failure. */
static bool read_segment(struct evbuffer_file_segment *seg)
{
	char *mem = mm_malloc((size_t)seg->length);
	ev_off_t got = 0;

	if (!mem)
		return false;
	while (got < seg->length) {
		ssize_t n =
		    pread(seg->fd, mem + got, (size_t)(seg->length - got), seg->file_offset + got);

		if (n <= 0) {
			mm_free(mem);
			return false;
		}
		got += n;
	}
	seg->contents = mem;
	return true;
}

/* Brings the bytes to memory unless they are there. Locked, or the segment is new. */
static bool materialize(struct evbuffer_file_segment *seg)
{
	if (seg->contents)
		return true;
	if (!(seg->flags & EVBUF_FS_DISABLE_MMAP) && map_segment(seg))
		return true;
	return read_segment(seg);
}

/* The length asked for; -1 stands for the size of the whole file, wherever the range begins. */
static ev_off_t length_of(int fd, ev_off_t length)
{
	struct stat st;

	if (length != -1)
		return length;
	return fstat(fd, &st) < 0 ? -1 : st.st_size;
}

struct evbuffer_file_segment *evbuffer_file_segment_new(
    int fd, ev_off_t offset, ev_off_t length, unsigned flags)
{
	struct evbuffer_file_segment *seg;

	length = length_of(fd, length);
	if (!range_is_sane(offset, length))
		return NULL;
	seg = mm_calloc(1, sizeof(*seg));
	if (!seg)
		return NULL;
	seg->refcnt = 1;
	seg->flags = flags;
	seg->fd = fd;
	seg->file_offset = offset;
	seg->length = length;
	seg->can_sendfile = !(flags & EVBUF_FS_DISABLE_SENDFILE);
	if (!seg->can_sendfile && !materialize(seg)) {
		mm_free(seg);
		return NULL;
	}
	if (!(flags & EVBUF_FS_DISABLE_LOCKING))
		EVTHREAD_ALLOC_LOCK(seg->lock, 0);
	return seg;
}

void evbuffer_file_segment_add_cleanup_cb(
    struct evbuffer_file_segment *seg, evbuffer_file_segment_cleanup_cb cb, void *arg)
{
	evc_assert(seg->refcnt > 0);
	seg->cleanup_cb = cb;
	seg->cleanup_cb_arg = arg;
}

static void free_contents(struct evbuffer_file_segment *seg)
{
	if (!seg->is_mapping) {
		if (seg->contents)
			mm_free(seg->contents);
	} else if (munmap(seg->mapping, (size_t)(seg->mmap_offset + seg->length)) < 0) {
		event_warn("%s: cannot unmap", __func__);
	}
}

void evbuffer_file_segment_free(struct evbuffer_file_segment *seg)
{
	int refcnt;

	EVLOCK_LOCK(seg->lock, 0);
	refcnt = --seg->refcnt;
	EVLOCK_UNLOCK(seg->lock, 0);
	if (refcnt > 0)
		return;
	evc_assert(refcnt == 0);
	free_contents(seg);
	if (seg->flags & EVBUF_FS_CLOSE_ON_FREE && seg->fd >= 0)
		close(seg->fd);
	if (seg->cleanup_cb)
		seg->cleanup_cb(seg, (int)seg->flags, seg->cleanup_cb_arg);
	EVTHREAD_FREE_LOCK(seg->lock, 0);
	mm_free(seg);
}

void evc_file_chain_release(struct evbuffer_chain *chain)
{
	evbuffer_file_segment_free(
	    EVBUFFER_CHAIN_EXTRA(struct evbuffer_chain_file_segment, chain)->segment);
}

/* A chain for a part of the segment, with a reference. NULL: no memory. */
static struct evbuffer_chain *chain_of_segment(
    struct evbuffer_file_segment *seg, ev_off_t offset, ev_off_t length, bool sendfile)
{
	struct evbuffer_chain *chain = evc_chain_new(sizeof(struct evbuffer_chain_file_segment));

	if (!chain)
		return NULL;
	chain->flags |= EVBUFFER_IMMUTABLE | EVBUFFER_FILESEGMENT;
	chain->off = (size_t)length;
	if (sendfile) {
		chain->flags |= EVBUFFER_SENDFILE;
		chain->buffer = NULL;
		chain->misalign = seg->file_offset + offset;
		chain->buffer_len = (size_t)(chain->misalign + length);
	} else {
		chain->buffer = (unsigned char *)seg->contents + offset;
		chain->buffer_len = (size_t)length;
	}
	EVLOCK_LOCK(seg->lock, 0);
	seg->refcnt++;
	EVLOCK_UNLOCK(seg->lock, 0);
	EVBUFFER_CHAIN_EXTRA(struct evbuffer_chain_file_segment, chain)->segment = seg;
	return chain;
}

enum added {
	ADDED,
	UNREADABLE, /* the bytes are needed in memory and cannot be had */
	REFUSED,
};

/* Neither answer touches the caller's reference. Locked. */
static enum added add_segment(
    struct evbuffer *buf, struct evbuffer_file_segment *seg, ev_off_t offset, ev_off_t length)
{
	const bool to_fd = buf->flags & EVBUFFER_FLAG_DRAINS_TO_FD;
	struct evbuffer_chain *chain;
	bool ready;

	EVLOCK_LOCK(seg->lock, 0);
	ready = to_fd || materialize(seg);
	EVLOCK_UNLOCK(seg->lock, 0);
	if (!ready)
		return UNREADABLE;
	if (buf->freeze_end || offset < 0 || offset > seg->length)
		return REFUSED;
	if (length < 0)
		length = seg->length - offset;
	if (length > seg->length - offset)
		return REFUSED;
	chain = chain_of_segment(seg, offset, length, to_fd && seg->can_sendfile);
	if (!chain)
		return REFUSED;
	evc_chain_insert(buf, chain);
	buf->n_add_for_cb += (size_t)length;
	evbuffer_invoke_callbacks_(buf);
	return ADDED;
}

int evbuffer_add_file_segment(
    struct evbuffer *buf, struct evbuffer_file_segment *seg, ev_off_t offset, ev_off_t length)
{
	enum added added;

	EVBUFFER_LOCK(buf);
	added = add_segment(buf, seg, offset, length);
	EVBUFFER_UNLOCK(buf);
	if (added == REFUSED)
		evbuffer_file_segment_free(seg);
	return added == ADDED ? 0 : -1;
}

/* The fd is the buffer's from now on, also when it is refused; but if the file cannot be read, it
 * stays the caller's, and all that is undone is ours. */
int evbuffer_add_file(struct evbuffer *buf, int fd, ev_off_t offset, ev_off_t length)
{
	struct evbuffer_file_segment *seg =
	    evbuffer_file_segment_new(fd, offset, length, EVBUF_FS_CLOSE_ON_FREE);
	enum added added;

	if (!seg)
		return -1;
	EVBUFFER_LOCK(buf);
	added = add_segment(buf, seg, 0, length);
	EVBUFFER_UNLOCK(buf);
	if (added == UNREADABLE)
		seg->flags &= ~(unsigned)EVBUF_FS_CLOSE_ON_FREE;
	evbuffer_file_segment_free(seg);
	return added == ADDED ? 0 : -1;
}
