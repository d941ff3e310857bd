/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Positions in an evbuffer, and looking for bytes, words and line ends.
 *
 * A position knows its chain and its place there, so going on from one does not walk the list
 * again. The end of the buffer is a position too: pos is the length, and there is no chain. "Not
 * found" has pos -1 and no chain either; both find nothing when a search starts from them.
 *
 * Traps: any change of the buffer ends the life of its positions, and nothing can tell. Chains may
 * be empty, and chains that are to be sent from a file have no memory: their bytes match nothing.
 */
#include <string.h>

#include "evbuffer.h"

static struct evbuffer_ptr ptr_none(void)
{
	return (struct evbuffer_ptr){.pos = -1};
}

/* Where to start; without a start, the front. */
static struct evbuffer_ptr ptr_start(const struct evbuffer *buf, const struct evbuffer_ptr *start)
{
	return start ? *start : (struct evbuffer_ptr){.internal_.chain = buf->first};
}

static bool in_memory(const struct evbuffer_chain *chain)
{
	return !(chain->flags & EVBUFFER_SENDFILE);
}

/* `at` goes to the byte that is n bytes behind the start of `chain`; if that is behind the end by
 * one or more, it is lost. */
static int ptr_place(struct evbuffer_ptr *at, struct evbuffer_chain *chain, size_t n)
{
	for (; chain && n >= chain->off; chain = chain->next)
		n -= chain->off;
	if (!chain && n > 0) {
		*at = ptr_none();
		return -1;
	}
	at->internal_.chain = chain;
	at->internal_.pos_in_chain = n;
	return 0;
}

int evbuffer_ptr_set(
    struct evbuffer *buf, struct evbuffer_ptr *pos, size_t position, enum evbuffer_ptr_how how)
{
	int result = -1;

	EVBUFFER_LOCK(buf);
	switch (how) {
	case EVBUFFER_PTR_SET:
		pos->pos = (ev_ssize_t)position;
		result = ptr_place(pos, buf->first, position);
		break;
	case EVBUFFER_PTR_ADD:
		if (pos->pos < 0 || position > EV_SIZE_MAX - (size_t)pos->pos)
			break;
		pos->pos = (ev_ssize_t)((size_t)pos->pos + position);
		result =
		    ptr_place(pos, pos->internal_.chain, pos->internal_.pos_in_chain + position);
		break;
	}
	EVBUFFER_UNLOCK(buf);
	return result;
}

/* Finds what it looks for in n bytes, or NULL. */
typedef const char *(*finder)(const char *bytes, size_t n, int byte);

static const char *find_byte(const char *bytes, size_t n, int byte)
{
	return memchr(bytes, byte, n);
}

/* CR or LF. In short pieces, because a text may have one kind only, and the search for the other
 * would run through all of it again for each line. */
static const char *find_line_end(const char *bytes, size_t n, int byte)
{
	const size_t piece = 128;

	(void)byte;
	while (n > 0) {
		size_t len = n < piece ? n : piece;
		const char *lf = memchr(bytes, '\n', len);
		const char *cr = memchr(bytes, '\r', lf ? (size_t)(lf - bytes) : len);

		if (cr || lf)
			return cr ? cr : lf;
		bytes += len;
		n -= len;
	}
	return NULL;
}

/* Moves on to what `find` finds, looking into all chains that start before position `end`. */
static bool walk_to(struct evbuffer_ptr *at, ev_ssize_t end, finder find, int byte)
{
	struct evbuffer_chain *chain = at->internal_.chain;
	size_t i = at->internal_.pos_in_chain;

	for (; chain && at->pos < end; chain = chain->next, i = 0) {
		const char *bytes, *hit = NULL;

		if (i < chain->off && in_memory(chain)) {
			bytes = (const char *)evc_chain_data(chain) + i;
			hit = find(bytes, chain->off - i, byte);
		}
		if (hit) {
			at->pos += hit - bytes;
			at->internal_.chain = chain;
			at->internal_.pos_in_chain = i + (size_t)(hit - bytes);
			return true;
		}
		at->pos += (ev_ssize_t)(chain->off - i);
	}
	return false;
}

/* True iff the buffer has the len bytes of `what` at that position. */
static bool matches(const struct evbuffer_ptr *at, const char *what, size_t len)
{
	const struct evbuffer_chain *chain = at->internal_.chain;
	size_t i = at->internal_.pos_in_chain;

	for (; len > 0; chain = chain->next, i = 0) {
		size_t n;

		if (!chain)
			return false;
		n = chain->off - i < len ? chain->off - i : len;
		if (n == 0)
			continue;
		if (!in_memory(chain) || memcmp(evc_chain_data(chain) + i, what, n) != 0)
			return false;
		what += n;
		len -= n;
	}
	return true;
}

/* The match has to end at `end` or before. */
static bool search_to(struct evbuffer_ptr *at, ev_ssize_t end, const char *what, size_t len)
{
	while (walk_to(at, end, find_byte, what[0])) {
		if (at->pos > end || len > (size_t)(end - at->pos))
			return false;
		if (matches(at, what, len))
			return true;
		at->pos++;
		at->internal_.pos_in_chain++;
	}
	return false;
}

struct evbuffer_ptr evbuffer_search_range(struct evbuffer *buf, const char *what, size_t len,
    const struct evbuffer_ptr *start, const struct evbuffer_ptr *end)
{
	struct evbuffer_ptr at;
	ev_ssize_t limit;

	EVBUFFER_LOCK(buf);
	at = ptr_start(buf, start);
	limit = (ev_ssize_t)buf->total_len;
	if (end && end->pos < limit)
		limit = end->pos;
	/* Nothing is found where one starts, whatever the end. */
	if (len > 0 && len <= EV_SSIZE_MAX && !search_to(&at, limit, what, len))
		at = ptr_none();
	EVBUFFER_UNLOCK(buf);
	return at;
}

struct evbuffer_ptr evbuffer_search(
    struct evbuffer *buf, const char *what, size_t len, const struct evbuffer_ptr *start)
{
	return evbuffer_search_range(buf, what, len, start, NULL);
}

unsigned char *evbuffer_find(struct evbuffer *buf, const unsigned char *what, size_t len)
{
	unsigned char *found = NULL;
	struct evbuffer_ptr at;

	EVBUFFER_LOCK(buf);
	at = evbuffer_search(buf, (const char *)what, len, NULL);
	if (at.pos >= 0)
		found = evbuffer_pullup(buf, at.pos + (ev_ssize_t)len);
	if (found)
		found += at.pos;
	EVBUFFER_UNLOCK(buf);
	return found;
}

/* How many CR and LF there are from here on. */
static size_t line_end_run(const struct evbuffer_ptr *at)
{
	const struct evbuffer_chain *chain = at->internal_.chain;
	size_t i = at->internal_.pos_in_chain, n = 0;

	for (; chain && in_memory(chain); chain = chain->next, i = 0) {
		for (; i < chain->off; i++, n++) {
			char c = (char)evc_chain_data(chain)[i];

			if (c != '\r' && c != '\n')
				return n;
		}
	}
	return n;
}

/* Goes back by one byte if that is a CR. */
static bool back_over_cr(struct evbuffer *buf, struct evbuffer_ptr *at)
{
	struct evbuffer_ptr before = *at;
	const struct evbuffer_chain *chain;

	if (before.internal_.pos_in_chain > 0) {
		before.internal_.pos_in_chain--;
		before.pos--;
	} else if (evbuffer_ptr_set(buf, &before, (size_t)before.pos - 1, EVBUFFER_PTR_SET) < 0) {
		return false;
	}
	chain = before.internal_.chain;
	if (!chain || !in_memory(chain) ||
	    evc_chain_data(chain)[before.internal_.pos_in_chain] != '\r')
		return false;
	*at = before;
	return true;
}

/* `at` moves on to the line end. Returns its length, 0 if there is none. */
static size_t find_eol(struct evbuffer *buf, struct evbuffer_ptr *at, enum evbuffer_eol_style style)
{
	const ev_ssize_t start = at->pos, end = EV_SSIZE_MAX;

	switch (style) {
	case EVBUFFER_EOL_ANY:
		return walk_to(at, end, find_line_end, 0) ? line_end_run(at) : 0;
	case EVBUFFER_EOL_CRLF_STRICT:
		return search_to(at, (ev_ssize_t)buf->total_len, "\r\n", 2) ? 2 : 0;
	case EVBUFFER_EOL_CRLF:
		if (!walk_to(at, end, find_byte, '\n'))
			return 0;
		/* A CR in front of where the search began is none of ours. */
		return at->pos > start && back_over_cr(buf, at) ? 2 : 1;
	case EVBUFFER_EOL_LF:
		return walk_to(at, end, find_byte, '\n');
	case EVBUFFER_EOL_NUL:
		return walk_to(at, end, find_byte, '\0');
	}
	return 0;
}

struct evbuffer_ptr evbuffer_search_eol(struct evbuffer *buf, struct evbuffer_ptr *start,
    size_t *eol_len_out, enum evbuffer_eol_style eol_style)
{
	struct evbuffer_ptr at;
	size_t eol_len;

	EVBUFFER_LOCK(buf);
	at = ptr_start(buf, start);
	eol_len = find_eol(buf, &at, eol_style);
	EVBUFFER_UNLOCK(buf);
	if (eol_len_out)
		*eol_len_out = eol_len;
	return eol_len > 0 ? at : ptr_none();
}

/* Takes the n bytes of a line and then its end; two steps, if anybody is told of them. */
static void take_line(struct evbuffer *buf, char *line, size_t n, size_t eol_len)
{
	if (!evc_buffer_is_watched(buf) && n < buf->first->off) {
		memcpy(line, evc_chain_data(buf->first), n);
		evc_buffer_drain(buf, n + eol_len);
		evc_buffer_changed(buf);
	} else {
		evbuffer_remove(buf, line, n);
		evbuffer_drain(buf, eol_len);
	}
	line[n] = '\0';
}

/* The length of the first line, and of its end. False: there is none. */
static bool first_line(
    struct evbuffer *buf, enum evbuffer_eol_style style, size_t *len, size_t *eol_len)
{
	const struct evbuffer_chain *first = buf->first;
	const char *bytes, *lf;
	struct evbuffer_ptr at;

	if (style == EVBUFFER_EOL_CRLF && first && first->off && in_memory(first)) {
		bytes = (const char *)evc_chain_data(first);
		lf = memchr(bytes, '\n', first->off);
		if (lf) {
			*eol_len = lf > bytes && lf[-1] == '\r' ? 2 : 1;
			*len = (size_t)(lf + 1 - bytes) - *eol_len;
			return true;
		}
	}
	at = evbuffer_search_eol(buf, NULL, eol_len, style);
	*len = (size_t)at.pos;
	return at.pos >= 0;
}

char *evbuffer_readln(struct evbuffer *buf, size_t *n_read_out, enum evbuffer_eol_style eol_style)
{
	size_t n = 0, eol_len = 0;
	char *line = NULL;

	EVBUFFER_LOCK(buf);
	if (!buf->freeze_start && first_line(buf, eol_style, &n, &eol_len)) {
		line = mm_malloc(n + 1);
		if (line)
			take_line(buf, line, n, eol_len);
		else
			event_warn("%s: no memory for a line", __func__);
	}
	EVBUFFER_UNLOCK(buf);
	if (n_read_out)
		*n_read_out = line ? n : 0;
	return line;
}

char *evbuffer_readline(struct evbuffer *buf)
{
	return evbuffer_readln(buf, NULL, EVBUFFER_EOL_ANY);
}
