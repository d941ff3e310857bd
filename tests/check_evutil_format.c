/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_evutil_format.c - formatting: the same text and number as libc's snprintf, whatever the
 * format, the values and the room; and the date, which is remembered for a second.
 *
 * Formats are put together at random out of text and three conversions; each kind of conversion has
 * an argument of its own type, hence the macros. Widths, zeros, precisions and signs are mixed in
 * as far as they are defined.
 */
#include "evutil_priv.h"

#include <check.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <event2/util.h>

enum { ROUNDS = 20000, ROOM = 512 };

static uint64_t seed = 0x5eed0f02;

static unsigned below(unsigned n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(seed >> 33) % n;
}

/* ---- values */

static int64_t number(void)
{
	static const int64_t edges[] = {0, 1, -1, 9, 10, -10, 99, 100, INT_MAX, INT_MIN, UINT_MAX,
	    INT64_MAX, INT64_MIN, (int64_t)INT_MAX + 1};

	if (below(2))
		return edges[below(sizeof(edges) / sizeof(edges[0]))];
	return (int64_t)(seed >> below(60));
}

static const char *text(void)
{
	static const char *const texts[] = {"", "a", "%d", "Content-Length", NULL,
	    "a text that is longer than any width that is asked for here"};

	return texts[below(sizeof(texts) / sizeof(texts[0]))];
}

/* ---- formats */

static char pieces[3][32];

static void add(char *format, const char *s)
{
	strcat(format, s);
}

/* Flags and a width for an integer: often none. */
static void add_width(char *format)
{
	static const char *const widths[] = {"", "", "", "", "0", "02", "04", "5", "12", "020",
	    "-5", "-012", "+", " ", "00", "21", "025", "-", ".3", "8.3"};

	add(format, widths[below(sizeof(widths) / sizeof(widths[0]))]);
}

static const char *integer(int i, const char *size)
{
	static const char *const letters[] = {"d", "u", "d", "u", "x", "i", "o", "X"};
	char *p = pieces[i];

	strcpy(p, "%");
	add_width(p);
	add(p, size);
	add(p, letters[below(sizeof(letters) / sizeof(letters[0]))]);
	return p;
}

static const char *one_of(int i, const char *const *formats, unsigned n)
{
	return strcpy(pieces[i], formats[below(n)]);
}

static const char *strings(int i)
{
	static const char *const f[] = {"%s", "%s", "%s", "%.3s", "%10s", "%-10s", "%.0s", "%70s"};

	return one_of(i, f, sizeof(f) / sizeof(f[0]));
}

static const char *characters(int i)
{
	static const char *const f[] = {"%c", "%c", "%3c", "%-3c"};

	return one_of(i, f, sizeof(f) / sizeof(f[0]));
}

static const char *floats(int i)
{
	static const char *const f[] = {"%f", "%.2f", "%g", "%10.3e"};

	return one_of(i, f, sizeof(f) / sizeof(f[0]));
}

/* The whole format: the three conversions and text between them. */
static const char *whole(const char *a, const char *b, const char *c)
{
	static const char *const between[] = {"", "", ": ", "\r\n", "%%", " %% and ", "HTTP/1.1 "};
	const unsigned n = sizeof(between) / sizeof(between[0]);
	static char format[256];

	format[0] = 0;
	add(format, between[below(n)]);
	add(format, a);
	add(format, between[below(n)]);
	add(format, b);
	add(format, between[below(n)]);
	add(format, c);
	add(format, between[below(n)]);
	return format;
}

/* ---- the comparison */

static char expected[ROOM], found[ROOM];

/* check notes each of its assertions in a file: they are for failures only. */
static void same(const char *format, size_t room, int want, int got)
{
	size_t i = room;

	if (got != (room ? want : 0))
		ck_abort_msg("\"%s\" in %zu bytes: %d, not %d", format, room, got, want);
	if (room && strcmp(expected, found) != 0)
		ck_abort_msg(
		    "\"%s\" in %zu bytes: \"%s\", not \"%s\"", format, room, found, expected);
	if (room && found[room - 1])
		ck_abort_msg("the last byte of %zu is not zero", room);
	while (i < ROOM && found[i] == 'z')
		i++;
	if (i < ROOM)
		ck_abort_msg("\"%s\" is written beyond %zu bytes", format, room);
}

#define TRY_IN(room, format, ...)                                                 \
	do {                                                                      \
		memset(expected, 'z', ROOM);                                      \
		memset(found, 'z', ROOM);                                         \
		same(format, room, snprintf(expected, room, format, __VA_ARGS__), \
		    evutil_snprintf(found, room, format, __VA_ARGS__));           \
	} while (0)

/* In all the room there is, and in less. */
#define TRY(format, ...)                                                    \
	do {                                                                \
		const char *f_ = (format);                                  \
		size_t room_;                                               \
                                                                            \
		TRY_IN(ROOM, f_, __VA_ARGS__);                              \
		for (room_ = below(7); room_ < 100; room_ += 1 + below(20)) \
			TRY_IN(room_, f_, __VA_ARGS__);                     \
	} while (0)

/* The first conversion's type is chosen here, the second's and third's are those of the caller. */
#define FIRST(b, vb, c, vc)                                                       \
	switch (below(9)) {                                                       \
	case 0:                                                                   \
		TRY(whole(integer(0, ""), b, c), (int)v, vb, vc);                 \
		break;                                                            \
	case 1:                                                                   \
		TRY(whole(integer(0, "l"), b, c), (long)v, vb, vc);               \
		break;                                                            \
	case 2:                                                                   \
		TRY(whole(integer(0, "ll"), b, c), (long long)v, vb, vc);         \
		break;                                                            \
	case 3:                                                                   \
		TRY(whole(integer(0, "z"), b, c), (size_t)v, vb, vc);             \
		break;                                                            \
	case 4:                                                                   \
		TRY(whole(integer(0, "h"), b, c), (int)(short)v, vb, vc);         \
		break;                                                            \
	case 5:                                                                   \
		TRY(whole(strings(0), b, c), s, vb, vc);                          \
		break;                                                            \
	case 6:                                                                   \
		TRY(whole(characters(0), b, c), letter, vb, vc);                  \
		break;                                                            \
	case 7:                                                                   \
		TRY(whole(floats(0), b, c), (double)v / 7, vb, vc);               \
		break;                                                            \
	case 8:                                                                   \
		TRY(whole(strcpy(pieces[0], "%*d"), b, c), star, (int)v, vb, vc); \
		break;                                                            \
	}

static void one_format(void)
{
	int64_t v = number(), w = number();
	const char *s = text(), *t = text();
	int letter = 'a' + (int)below(26), star = (int)below(30) - 10;

	switch (below(6)) {
	case 0:
		FIRST(strings(1), t, integer(2, ""), (int)w);
		break;
	case 1:
		FIRST(integer(1, ""), (int)w, strings(2), t);
		break;
	case 2:
		FIRST(integer(1, "l"), (long)w, integer(2, "z"), (size_t)w);
		break;
	case 3:
		FIRST(characters(1), 'x', integer(2, "ll"), (long long)w);
		break;
	case 4:
		FIRST(strings(1), t, strings(2), t);
		break;
	case 5:
		FIRST(floats(1), 1.5, integer(2, "j"), (intmax_t)w);
		break;
	}
}

START_TEST(any_format_gives_what_libc_gives)
{
	int i;

	for (i = 0; i < ROUNDS; i++)
		one_format();
}
END_TEST

/* The compiler is not to know it: some are formats that it warns of. */
static const char *hidden(const char *format)
{
	const char *volatile f = format;

	return f;
}

START_TEST(a_text_is_cut_at_every_length)
{
	const char *f = hidden("%s: %d%% of %lu, %c%05d");
	size_t room;

	for (room = 0; room < 80; room++)
		TRY_IN(room, f, "Content-Length", INT_MIN, ULONG_MAX, '!', -42);
}
END_TEST

START_TEST(zeros_and_widths_and_signs)
{
	static const char *const formats[] = {
	    "%02d", "%2d", "%4d", "%04d", "%020d", "%20d", "%21d", "%0d", "%00d", "%-4d|", "%1d"};
	static const int values[] = {0, 7, -7, 12345, -12345, INT_MAX, INT_MIN};
	size_t i, k;

	for (i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		for (k = 0; k < sizeof(values) / sizeof(values[0]); k++)
			TRY(hidden(formats[i]), values[k]);
}
END_TEST

START_TEST(what_is_no_format_is_what_libc_makes_of_it)
{
	static const char *const formats[] = {"%", "50%", "%5%", "%0%", "%l", "%y", "a%zs"};
	size_t i;

	for (i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		const char *f = hidden(formats[i]);
		int want, got;

		memset(found, 'z', ROOM);
		want = snprintf(expected, 100, f, "x");
		got = evutil_snprintf(found, 100, f, "x");
		ck_assert_int_eq(got, want);
		if (want >= 0)
			ck_assert_str_eq(found, expected);
	}
}
END_TEST

START_TEST(no_room_gives_zero)
{
	char c = 'z';

	ck_assert_int_eq(evutil_snprintf(&c, 0, "%s", "text"), 0);
	ck_assert_int_eq(evutil_snprintf(NULL, 0, "%d", 5), 0);
	ck_assert_int_eq(c, 'z');
}
END_TEST

/* ---- the date */

static time_t fake_now;

/* The library's calls come here, too. */
time_t time(time_t *t)
{
	if (t)
		*t = fake_now;
	return fake_now;
}

static void date_is(time_t now, const char *text)
{
	char date[64];

	fake_now = now;
	ck_assert_int_eq(evutil_date_rfc1123(date, sizeof(date), NULL), (int)strlen(text));
	ck_assert_str_eq(date, text);
}

START_TEST(the_date_goes_on_and_back)
{
	date_is(0, "Thu, 01 Jan 1970 00:00:00 GMT");
	date_is(0, "Thu, 01 Jan 1970 00:00:00 GMT");
	date_is(1, "Thu, 01 Jan 1970 00:00:01 GMT");
	date_is(951827696, "Tue, 29 Feb 2000 12:34:56 GMT");
	date_is(951827695, "Tue, 29 Feb 2000 12:34:55 GMT");
	date_is(-1, "Wed, 31 Dec 1969 23:59:59 GMT");
}
END_TEST

START_TEST(a_date_that_is_given_is_not_remembered)
{
	struct tm tm = {.tm_year = 99, .tm_mon = 11, .tm_mday = 31, .tm_wday = 5};
	char date[64];

	date_is(1000, "Thu, 01 Jan 1970 00:16:40 GMT");
	evutil_date_rfc1123(date, sizeof(date), &tm);
	ck_assert_str_eq(date, "Fri, 31 Dec 1999 00:00:00 GMT");
	date_is(1000, "Thu, 01 Jan 1970 00:16:40 GMT");
}
END_TEST

START_TEST(a_date_is_cut_like_any_text)
{
	char date[64];
	size_t room;

	fake_now = 0;
	for (room = 0; room < sizeof(date); room++) {
		memset(date, 'z', sizeof(date));
		ck_assert_int_eq(evutil_date_rfc1123(date, room, NULL), room ? 29 : 0);
		if (room)
			ck_assert_int_eq(strlen(date), room <= 29 ? room - 1 : 29);
		ck_assert(date[room] == 'z');
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("evutil_format");
	TCase *tc = tcase_create("formats");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, any_format_gives_what_libc_gives);
	tcase_add_test(tc, a_text_is_cut_at_every_length);
	tcase_add_test(tc, zeros_and_widths_and_signs);
	tcase_add_test(tc, what_is_no_format_is_what_libc_makes_of_it);
	tcase_add_test(tc, no_room_gives_zero);
	suite_add_tcase(s, tc);
	tc = tcase_create("date");
	tcase_add_test(tc, the_date_goes_on_and_back);
	tcase_add_test(tc, a_date_that_is_given_is_not_remembered);
	tcase_add_test(tc, a_date_is_cut_like_any_text);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	SRunner *sr = srunner_create(suite());
	int failed;

	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
