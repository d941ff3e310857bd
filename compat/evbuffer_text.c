/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Formatted text at the end of an evbuffer.
 *
 * The text is made right in the room at the end. If it turns out not to fit, there is enough room
 * the second time, unless the arguments change meanwhile; so it goes on until it fits. vsnprintf
 * writes a zero byte behind the text: that has to fit too, and is not counted.
 */
#include <stdarg.h>
#include <stdio.h>

#include "evbuffer.h"

/* Enough for most lines, so that they are formatted once. */
enum { FIRST_GUESS = 64 };

/* The length of the text, or -1. It fitted iff the length is less than the room. */
EVC_PRINTF(3, 0)
static inline int format_into(
    const struct evbuffer_chain *chain, size_t room, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	n = evutil_vsnprintf((char *)evc_chain_data(chain) + chain->off, room, fmt, again);
	va_end(again);
	return n;
}

static int add_formatted(struct evbuffer *buf, const char *fmt, va_list ap)
{
	struct evbuffer_chain *chain;
	size_t room, wanted = FIRST_GUESS;
	int n;

	if (buf->freeze_end)
		return -1;
	do {
		chain = evc_room_in_one(buf, wanted);
		if (!chain)
			return -1;
		room = evc_chain_room(chain);
		n = format_into(chain, room, fmt, ap);
		if (n < 0)
			return -1;
		wanted = (size_t)n + 1;
	} while ((size_t)n >= room);
	chain->off += (size_t)n;
	if (chain != *buf->last_with_datap)
		evc_advance_last_with_data(buf);
	buf->total_len += (size_t)n;
	buf->n_add_for_cb += (size_t)n;
	evc_buffer_changed(buf);
	return n;
}

int evbuffer_add_vprintf(struct evbuffer *buf, const char *fmt, va_list ap)
{
	int n;

	EVBUFFER_LOCK(buf);
	n = add_formatted(buf, fmt, ap);
	EVBUFFER_UNLOCK(buf);
	return n;
}

int evbuffer_add_printf(struct evbuffer *buf, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = evbuffer_add_vprintf(buf, fmt, ap);
	va_end(ap);
	return n;
}
