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
EVC_PRINTF(2, 0)
static int format_into(const struct evbuffer_iovec *room, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	n = evutil_vsnprintf(room->iov_base, room->iov_len, fmt, again);
	va_end(again);
	return n;
}

static int add_formatted(struct evbuffer *buf, const char *fmt, va_list ap)
{
	struct evbuffer_iovec room;
	ev_ssize_t wanted = FIRST_GUESS;
	int n;

	do {
		if (evbuffer_reserve_space(buf, wanted, &room, 1) != 1)
			return -1;
		n = format_into(&room, fmt, ap);
		if (n < 0)
			return -1;
		wanted = (ev_ssize_t)n + 1;
	} while ((size_t)n >= room.iov_len);
	room.iov_len = (size_t)n;
	return evbuffer_commit_space(buf, &room, 1) < 0 ? -1 : n;
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
