/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Deadlines: the base's clock, the heap, and the queues of common timeouts.
 */
#ifndef COMPAT_TIMEOUT_H
#define COMPAT_TIMEOUT_H

#include "base.h"

/*
 * A common timeout is a timeval whose tv_usec holds, above the 20 bits that microseconds need, a
 * magic nibble and the index of its queue. Programs copy it around as any timeval; whoever computes
 * with one strips it first.
 */
#define EVC_USEC_MASK 0x000fffff
#define EVC_COMMON_MASK 0xf0000000
#define EVC_COMMON_MAGIC 0x50000000
#define EVC_COMMON_IDX_SHIFT 20
#define EVC_COMMON_IDX_MASK 0x0ff00000
#define EVC_MAX_COMMONS 256

static inline bool evc_is_common(const struct event_base *base, const struct timeval *tv)
{
	long usec = tv->tv_usec;

	if ((usec & EVC_COMMON_MASK) != EVC_COMMON_MAGIC)
		return false;
	return (usec & EVC_COMMON_IDX_MASK) >> EVC_COMMON_IDX_SHIFT < base->n_commons;
}

/* Intervals and deadlines are kept within this: it can be added to a few times. */
#define EVC_FAR_US (INT64_MAX / 8)

/* A deadline of ours: normalized, but for the mark of a common timeout. */
static inline int64_t evc_tv_us(const struct timeval *tv)
{
	return (int64_t)tv->tv_sec * 1000000 + (tv->tv_usec & EVC_USEC_MASK);
}

/* Of a time that is not negative, as all deadlines are. */
static inline struct timeval evc_us_tv(int64_t us)
{
	return (struct timeval){.tv_sec = us / 1000000, .tv_usec = us % 1000000};
}

/* A program's interval: any timeval, also one with more than a second, or less than none, in
 * tv_usec; or a common timeout. */
int64_t evc_odd_interval_us(const struct event_base *base, const struct timeval *tv);
static inline int64_t evc_interval_us(const struct event_base *base, const struct timeval *tv)
{
	if ((uint64_t)tv->tv_usec < 1000000 && (uint64_t)tv->tv_sec <= EVC_FAR_US / 1000000)
		return tv->tv_sec * 1000000 + tv->tv_usec;
	return evc_odd_interval_us(base, tv);
}

/* The cached time where there is one, else the clock's. Never 0. */
int64_t evc_now(struct event_base *base);
/* What a new interval of so many seconds starts from. */
struct timeval evc_now_to_add(struct event_base *base, time_t interval_s);
static inline void evc_time_forget(struct event_base *base)
{
	base->now_us = 0;
	/* Only bases without a lock ever write it: others read it without one. */
	if (base->quick)
		base->quick = false;
}
void evc_time_update(struct event_base *base);

/* Room for one more deadline: 0 or -1. evc_timeout_set needs it where the event has no deadline
 * yet. */
static inline int evc_timeout_reserve(struct event_base *base)
{
	struct evu_heap *h = &base->timeheap;

	return h->len < h->cap ? 0 : evu_heap_reserve(h, h->len + 1);
}
/* Gives ev the deadline `at_us`; `tv` says which queue, if it is a common timeout. Returns true iff
 * the loop may have to wake earlier than it thinks. */
bool evc_timeout_set(
    struct event_base *base, struct event *ev, const struct timeval *tv, int64_t at_us);
/* An event in the heap has a copy of its key where an event in a common queue has a link, so that
 * it can be told without a look at the heap that the heap need not change. */
static inline int64_t evc_timeout_key(const struct event *ev)
{
	return (int64_t)(intptr_t)ev->ev_common_next.tqe_prev;
}

/*
 * The short way of moving a pending deadline by a number of microseconds that is no common timeout,
 * to a time that is not before the key. False: not this way.
 *
 * The event has often to come from memory. How many such fetches overlap is up to the number of
 * instructions between one event's loads and the next one's, and of the registers that they write:
 * so no call, and nothing kept across one. The carry is a branch because most programs have whole
 * seconds; without one it was slower also where it is at random.
 */
static inline bool evc_timeout_move(
    struct event *ev, const struct timeval *tv, const struct timeval *now)
{
	struct timeval at;

	if ((uint64_t)tv->tv_usec >= 1000000 || (uint64_t)tv->tv_sec > INT32_MAX ||
	    (uint64_t)ev->ev_timeout.tv_usec > EVC_USEC_MASK)
		return false;
	at.tv_sec = now->tv_sec + tv->tv_sec;
	at.tv_usec = now->tv_usec + tv->tv_usec;
	if (at.tv_usec >= 1000000) {
		at.tv_sec++;
		at.tv_usec -= 1000000;
	}
	if (at.tv_sec * 1000000 + at.tv_usec < evc_timeout_key(ev))
		return false;
	ev->ev_timeout = at;
	return true;
}

/* Takes the deadline away. True iff it was the one that the loop waits for. */
bool evc_timeout_clear(struct event_base *base, struct event *ev);

/* Nanoseconds until the first deadline; -1: there is none. */
int64_t evc_timeout_next(struct event_base *base);
/* Makes the events whose time has come active. */
void evc_timeout_expire(struct event_base *base);

/* Deletes every event that has a deadline; how many were not internal. */
int evc_timeout_delete_all(struct event_base *base);
/* Frees what deadlines need. */
void evc_timeout_fini(struct event_base *base);
void evc_timeout_assert_ok(struct event_base *base);

#endif
