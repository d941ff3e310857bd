/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Monotonic time, sleeping, and the date of HTTP headers.
 *
 * A monotonic timer is one of three: CLOCK_MONOTONIC_COARSE (the default: a read costs a few
 * nanoseconds, the value moves with the kernel's tick, up to 10 ms), CLOCK_MONOTONIC (asked for
 * with EV_MONOT_PRECISE), or the wall clock behind a ratchet (EV_MONOT_FALLBACK).
 *
 * Trap: evutil_monotonic_timer_new() gives zeroed memory, and clock 0 is CLOCK_REALTIME; a timer
 * that was never configured follows the wall clock in both directions.
 */
#include "evutil_priv.h"

#include <limits.h>
#include <string.h>
#include <time.h>

#include "mm.h"

long evutil_tv_to_msec_(const struct timeval *tv)
{
	if (tv->tv_usec > 1000000 || tv->tv_sec > (LONG_MAX - 999) / 1000)
		return -1;
	return tv->tv_sec * 1000 + (tv->tv_usec + 999) / 1000;
}

void evutil_usleep_(const struct timeval *tv)
{
	if (tv == NULL)
		return;
	struct timespec ts = {.tv_sec = tv->tv_sec, .tv_nsec = tv->tv_usec * 1000};
	nanosleep(&ts, NULL);
}

/* strftime would do it in the program's language; HTTP has but one. */
static int format_date(char *date, size_t datelen, const struct tm *tm)
{
	static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[][4] = {
	    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

	return evutil_snprintf(date, datelen, "%s, %02d %s %4d %02d:%02d:%02d GMT",
	    days[tm->tm_wday], tm->tm_mday, months[tm->tm_mon], 1900 + tm->tm_year, tm->tm_hour,
	    tm->tm_min, tm->tm_sec);
}

/* Servers put the present time into every answer: it is formatted once a second. */
int evutil_date_rfc1123(char *date, const size_t datelen, const struct tm *tm)
{
	static __thread struct {
		time_t at;
		int len; /* 0: nothing here yet */
		char text[64];
	} last;
	time_t now;

	if (tm)
		return format_date(date, datelen, tm);
	now = time(NULL);
	if (last.len == 0 || now != last.at) {
		struct tm utc;

		last.len = format_date(last.text, sizeof(last.text), gmtime_r(&now, &utc));
		last.at = now;
	}
	if ((size_t)last.len >= datelen)
		return evutil_snprintf(date, datelen, "%s", last.text);
	memcpy(date, last.text, (size_t)last.len + 1);
	date[datelen - 1] = '\0';
	return last.len;
}

struct evutil_monotonic_timer *evutil_monotonic_timer_new(void)
{
	return mm_calloc(1, sizeof(struct evutil_monotonic_timer));
}

void evutil_monotonic_timer_free(struct evutil_monotonic_timer *timer)
{
	if (timer != NULL)
		mm_free(timer);
}

/* The ratchet's own fields are left alone, so that a timer may be configured again in use. */
int evutil_configure_monotonic_time_(struct evutil_monotonic_timer *mt, int flags)
{
	if (flags & EV_MONOT_FALLBACK)
		mt->monotonic_clock = -1;
	else if (flags & EV_MONOT_PRECISE)
		mt->monotonic_clock = CLOCK_MONOTONIC;
	else
		mt->monotonic_clock = CLOCK_MONOTONIC_COARSE;
	return 0;
}

/* When the wall clock has been set back, stand still and from then on add what was lost. */
static void ratchet(struct evutil_monotonic_timer *mt, struct timeval *tv)
{
	struct timeval lost;

	timeradd(tv, &mt->adjust_monotonic_clock, tv);
	if (timercmp(tv, &mt->last_time, <)) {
		timersub(&mt->last_time, tv, &lost);
		timeradd(&mt->adjust_monotonic_clock, &lost, &mt->adjust_monotonic_clock);
		*tv = mt->last_time;
	}
	mt->last_time = *tv;
}

int evutil_gettime_monotonic_(struct evutil_monotonic_timer *mt, struct timeval *tv)
{
	struct timespec ts;

	if (mt->monotonic_clock < 0) {
		if (gettimeofday(tv, NULL) < 0)
			return -1;
		ratchet(mt, tv);
		return 0;
	}
	if (clock_gettime(mt->monotonic_clock, &ts) < 0)
		return -1;
	TIMESPEC_TO_TIMEVAL(tv, &ts);
	return 0;
}

int evutil_configure_monotonic_time(struct evutil_monotonic_timer *timer, int flags)
{
	return evutil_configure_monotonic_time_(timer, flags);
}

int evutil_gettime_monotonic(struct evutil_monotonic_timer *timer, struct timeval *tp)
{
	return evutil_gettime_monotonic_(timer, tp);
}
