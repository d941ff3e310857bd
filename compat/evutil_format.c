/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Formatting: vsnprintf's common cases, without its stream.
 *
 * Header lines, numbers and dates are most of what libevent programs format. A format made of
 * text, %s, %c, %% and integers in decimal, perhaps with a width and zeros, is done here, in about
 * a tenth of the instructions; libc does all others.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "evutil_priv.h"

enum { WIDTH_MOST = 20 };

/* Where the text goes: as with snprintf what does not fit is only counted. */
struct target {
	char *buf;
	size_t room; /* without the zero at the end */
	size_t len;
};

static inline void put_char(struct target *t, char c)
{
	if (t->len < t->room)
		t->buf[t->len] = c;
	t->len++;
}

static void put(struct target *t, const char *s, size_t n)
{
	if (t->len < t->room)
		memcpy(t->buf + t->len, s, n < t->room - t->len ? n : t->room - t->len);
	t->len += n;
}

static void put_number(struct target *t, uint64_t value, bool negative, int width, char fill)
{
	char digits[64];
	char *end = digits + sizeof(digits), *p = end;

	do {
		*--p = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	if (fill == '0')
		while (end - p < width - negative)
			*--p = '0';
	if (negative)
		*--p = '-';
	while (end - p < width)
		*--p = ' ';
	while (p < end)
		put_char(t, *p++);
}

/* One conversion, from behind its percent sign. Where it ends; NULL: it is for libc. */
static const char *convert(struct target *t, const char *f, va_list *ap)
{
	char fill = ' ', c;
	int width = 0, longs = 0;
	const char *s;
	int64_t n;

	if (*f == '0') {
		fill = '0';
		f++;
	}
	while (*f >= '0' && *f <= '9' && width <= WIDTH_MOST)
		width = width * 10 + *f++ - '0';
	if (*f == 'z') {
		longs = 1;
		f++;
	}
	for (; *f == 'l' && longs < 2 && f[-1] != 'z'; f++)
		longs++;
	if (width > WIDTH_MOST)
		return NULL;
	switch (*f) {
	case 'd':
		n = longs == 0   ? va_arg(*ap, int)
		    : longs == 1 ? va_arg(*ap, long)
				 : va_arg(*ap, long long);
		put_number(t, n < 0 ? -(uint64_t)n : (uint64_t)n, n < 0, width, fill);
		return f + 1;
	case 'u':
		put_number(t,
		    longs == 0   ? va_arg(*ap, unsigned)
		    : longs == 1 ? va_arg(*ap, unsigned long)
				 : va_arg(*ap, unsigned long long),
		    false, width, fill);
		return f + 1;
	case 's':
		s = va_arg(*ap, const char *);
		if (width || longs || fill == '0' || !s)
			return NULL;
		put(t, s, strlen(s));
		return f + 1;
	case 'c':
		c = (char)va_arg(*ap, int);
		if (width || longs || fill == '0')
			return NULL;
		put_char(t, c);
		return f + 1;
	case '%':
		if (f[-1] != '%')
			return NULL;
		put_char(t, '%');
		return f + 1;
	}
	return NULL;
}

/* False: something in the format is for libc. */
static bool format(struct target *t, const char *f, va_list *ap)
{
	while (f && *f) {
		size_t len = t->len;

		for (; *f && *f != '%'; f++, len++)
			if (len < t->room)
				t->buf[len] = *f;
		t->len = len;
		if (*f)
			f = convert(t, f + 1, ap);
	}
	return f != NULL;
}

/* Unlike the C library's, an empty buffer yields 0 and not the length that would be needed, and the
 * last byte is zero whatever the text's length. */
int evutil_vsnprintf(char *buf, size_t buflen, const char *fmt, va_list ap)
{
	struct target t = {.buf = buf, .room = buflen - 1};
	va_list again;
	bool done;
	int n;

	if (buflen == 0)
		return 0;
	va_copy(again, ap);
	done = format(&t, fmt, &again) && t.len <= INT32_MAX;
	va_end(again);
	if (done) {
		buf[t.len < t.room ? t.len : t.room] = '\0';
		n = (int)t.len;
	} else {
		n = vsnprintf(buf, buflen, fmt, ap);
	}
	buf[buflen - 1] = '\0'; /* also if the format could not be converted */
	return n;
}

int evutil_snprintf(char *buf, size_t buflen, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = evutil_vsnprintf(buf, buflen, format, ap);
	va_end(ap);
	return n;
}
