/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the diff_evbuffer*.c programs share: making evbuffers of known pieces, and showing what is
 * in one.
 *
 * How a library cuts its memory is nobody's promise, so a transcript shows bytes, never pieces.
 * Where a piece has to end at a known place it is a reference: no library may join those.
 */
#ifndef DIFF_BUF_H
#define DIFF_BUF_H

#include "diff_common.h"

#include <event2/buffer.h>
#include <event2/buffer_compat.h>

enum { BUF_SHOWN = 60, BUF_MAX_PIECES = 4096 };

static inline struct evbuffer *new_buf(void)
{
	struct evbuffer *b = evbuffer_new();

	MUST(b != NULL);
	return b;
}

/* The byte at a position of a stream in which neighbouring blocks are unlike. */
static inline unsigned char stream_at(size_t pos)
{
	return (unsigned char)(pos * 31 + (pos >> 8) * 7 + (pos >> 16));
}

static inline void stream_fill(unsigned char *out, size_t pos, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = stream_at(pos + i);
}

static inline void add_stream(struct evbuffer *b, size_t n)
{
	unsigned char *bytes = malloc(n + 1);

	MUST(bytes != NULL);
	stream_fill(bytes, 0, n);
	MUST(evbuffer_add(b, bytes, n) == 0);
	free(bytes);
}

static inline void add_text(struct evbuffer *b, const char *text)
{
	MUST(evbuffer_add(b, text, strlen(text)) == 0);
}

/* Each text becomes a piece of its own; NULL ends the list. */
static inline void add_pieces(struct evbuffer *b, ...)
{
	const char *text;
	va_list ap;

	va_start(ap, b);
	while ((text = va_arg(ap, const char *)))
		MUST(evbuffer_add_reference(b, text, strlen(text), NULL, NULL) == 0);
	va_end(ap);
}

#define NEW_PIECES(name, ...)              \
	struct evbuffer *name = new_buf(); \
	add_pieces(name, __VA_ARGS__, NULL)

static inline uint64_t hash_more(uint64_t hash, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ p[i]) * 0x100000001b3;
	return hash;
}

enum { HASH_START = 0x1505 };

/* Looks at the bytes with evbuffer_peek, which works on frozen buffers too. Frees nothing of b. */
static inline unsigned char *bytes_of(struct evbuffer *b, size_t *n)
{
	static struct evbuffer_iovec vec[BUF_MAX_PIECES];
	int pieces = evbuffer_peek(b, -1, NULL, vec, BUF_MAX_PIECES);
	unsigned char *out = malloc(evbuffer_get_length(b) + 1);

	MUST(out != NULL && pieces <= BUF_MAX_PIECES);
	*n = 0;
	for (int i = 0; i < pieces; i++) {
		MUST(*n + vec[i].iov_len <= evbuffer_get_length(b));
		if (vec[i].iov_len > 0)
			memcpy(out + *n, vec[i].iov_base, vec[i].iov_len);
		*n += vec[i].iov_len;
	}
	return out;
}

static inline uint64_t hash_of(struct evbuffer *b)
{
	size_t n;
	unsigned char *bytes = bytes_of(b, &n);
	uint64_t hash = hash_more(HASH_START, bytes, n);

	free(bytes);
	return hash;
}

/* Short texts as they are, with unprintable bytes in hexadecimal; of longer ones the hash. */
static inline const char *quoted(const void *bytes, size_t n)
{
	static char ring[4][BUF_SHOWN * 4 + 3];
	static unsigned next;
	const unsigned char *p = bytes;
	char *out = ring[next++ % 4], *at = out;

	if (n > BUF_SHOWN) {
		sprintf(out, "hash %016llx", (unsigned long long)hash_more(HASH_START, bytes, n));
		return out;
	}
	*at++ = '"';
	for (size_t i = 0; i < n; i++) {
		if (p[i] >= ' ' && p[i] < 127 && p[i] != '\\' && p[i] != '"')
			*at++ = (char)p[i];
		else
			at += sprintf(at, "\\x%02x", p[i]);
	}
	*at++ = '"';
	*at = 0;
	return out;
}

static inline void show(const char *name, struct evbuffer *b)
{
	size_t n;
	unsigned char *bytes = bytes_of(b, &n);

	say("%s: %zu bytes, %s%s", name, evbuffer_get_length(b), quoted(bytes, n),
	    n == evbuffer_get_length(b) ? "" : ", and the pieces do not add up");
	free(bytes);
}

/* Cleanup callback of a reference: says its name. */
static inline void cleanup_cb(const void *data, size_t n, void *name)
{
	say("cleanup of %s, %zu bytes, data %s", (const char *)name, n, data ? "given" : "NULL");
}

static inline int add_ref(struct evbuffer *b, const char *text)
{
	return evbuffer_add_reference(b, text, strlen(text), cleanup_cb, (void *)(uintptr_t)text);
}

/* Callback of an evbuffer: says its name and what happened. */
static inline void change_cb(struct evbuffer *b, const struct evbuffer_cb_info *info, void *name)
{
	say("%s: was %zu, +%zu -%zu, is %zu", (const char *)name, info->orig_size, info->n_added,
	    info->n_deleted, evbuffer_get_length(b));
}

static inline struct evbuffer_cb_entry *listen_to(struct evbuffer *b, const char *name)
{
	struct evbuffer_cb_entry *entry = evbuffer_add_cb(b, change_cb, (void *)(uintptr_t)name);

	MUST(entry != NULL);
	return entry;
}

/* Position, and whether there is a byte. */
static inline const char *at_text(struct evbuffer *b, struct evbuffer_ptr at)
{
	static char ring[4][48];
	static unsigned next;
	char *out = ring[next++ % 4];
	char byte = 0;
	ev_ssize_t n = at.pos >= 0 ? evbuffer_copyout_from(b, &at, &byte, 1) : 0;

	if (n == 1)
		sprintf(out, "%zd %s", at.pos, quoted(&byte, 1));
	else
		sprintf(out, "%zd (%zd)", at.pos, n);
	return out;
}

#endif
