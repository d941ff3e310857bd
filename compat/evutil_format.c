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

/* The text goes to `at`, and up to `end`, in front of the zero. What does not fit is for libc,
 * which counts it. Each function returns where it got to, or NULL for what is libc's to do. */
static char *put_number(
    char *at, const char *end, uint64_t value, bool negative, int width, char fill)
{
	char digits[64];
	char *const behind = digits + sizeof(digits);
	char *p = behind;

	do {
		*--p = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	if (fill == '0')
		while (behind - p < width - negative)
			*--p = '0';
	if (negative)
		*--p = '-';
	while (behind - p < width)
		*--p = ' ';
	if (behind - p > end - at)
		return NULL;
	while (p < behind)
		*at++ = *p++;
	return at;
}

/* Any integer, from behind the percent sign; *format goes on to what follows. */
static char *put_integer(char *at, const char *end, const char **format, va_list *ap)
{
	const char *f = *format;
	int width = 0, longs = 0;
	bool negative = false;
	char fill = ' ';
	uint64_t value;

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
	if (width > WIDTH_MOST || (*f != 'd' && *f != 'u'))
		return NULL;
	*format = f + 1;
	if (longs)
		value = va_arg(*ap, unsigned long);
	else if (*f == 'd')
		value = (uint64_t)(int64_t)va_arg(*ap, int);
	else
		value = va_arg(*ap, unsigned);
	if (*f == 'd' && (int64_t)value < 0) {
		negative = true;
		value = -value;
	}
	return put_number(at, end, value, negative, width, fill);
}

static inline char *put_string(char *at, const char *end, const char *s)
{
	size_t n;

	if (!s)
		return NULL;
	n = strlen(s);
	if (n > (size_t)(end - at))
		return NULL;
	return (char *)memcpy(at, s, n) + n;
}

static inline char *put_char(char *at, const char *end, char c)
{
	if (at == end)
		return NULL;
	*at = c;
	return at + 1;
}

static inline char *put_small(char *at, const char *end, int n)
{
	if ((unsigned)n < 10)
		return put_char(at, end, (char)('0' + n));
	return put_number(at, end, n < 0 ? -(uint64_t)n : (uint64_t)n, n < 0, 0, ' ');
}

static char *put_formatted(char *at, const char *end, const char *f, va_list *ap)
{
	const char *rest;

	for (; at && *f; f++) {
		if (*f != '%') {
			at = put_char(at, end, *f);
			continue;
		}
		switch (*++f) {
		case 's':
			at = put_string(at, end, va_arg(*ap, const char *));
			break;
		case 'd':
			at = put_small(at, end, va_arg(*ap, int));
			break;
		case 'c':
			at = put_char(at, end, (char)va_arg(*ap, int));
			break;
		case '%':
			at = put_char(at, end, '%');
			break;
		default:
			rest = f;
			at = put_integer(at, end, &rest, ap);
			f = rest - 1;
		}
	}
	return at;
}

/* Unlike the C library's, an empty buffer yields 0 and not the length that would be needed, and the
 * last byte is zero whatever the text's length. */
int evutil_vsnprintf(char *buf, size_t buflen, const char *fmt, va_list ap)
{
	va_list again;
	char *end;
	int n;

	if (buflen == 0)
		return 0;
	va_copy(again, ap);
	end = put_formatted(buf, buf + buflen - 1, fmt, &again);
	va_end(again);
	if (end && end - buf <= INT32_MAX) {
		*end = '\0';
		n = (int)(end - buf);
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
