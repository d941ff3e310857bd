/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Deadlines.
 *
 * A pending event has its true deadline in ev_timeout. Its key in the heap may be earlier: moving a
 * deadline later, which is what programs do with every packet, stores the new time and leaves the
 * heap alone. When the old key comes to the top it is replaced by the true one; at worst the loop
 * has looked once for nothing.
 *
 * The clock is CLOCK_MONOTONIC, read once a turn; between two polls the cached time is used, as
 * libevent does. Outside the loop there is no cached time, and reading the clock costs more than
 * adding a timer: there the coarse clock is read, which is behind by up to one tick, and the tick
 * is added, so no timer is early, unless the kernel is late with its tick: under a hypervisor by
 * some milliseconds. (Stock uses the coarse clock everywhere.) Short intervals, and all with
 * EVENT_BASE_FLAG_PRECISE_TIMER, go by the fine clock there too.
 */
#include <errno.h>
#include <time.h>

#include "debug.h"
#include "queue.h"
#include "timeout.h"

/* How often the offset of the wall clock is looked at again. */
#define CLOCK_SYNC_US (5 * 1000000)

/* A loop that goes to sleep makes sure that it is for a deadline if it would wake within this time;
 * keys that are later are left to become outdated further. So it wakes for nothing no more often
 * than once in this time, and one that is busy seldom has to look at what was put off. */
#define SETTLE_AHEAD_US 1000000

/* Intervals from here on may start up to a tick late. */
#define COARSE_FROM_S 1

static struct event *of_pos(int *pos)
{
	return evu_container_of(pos, struct event, ev_heap_pos);
}

int64_t evc_odd_interval_us(const struct event_base *base, const struct timeval *tv)
{
	const int64_t far_s = EVC_FAR_US / 1000000;
	int64_t s = tv->tv_sec, us = tv->tv_usec;

	if (evc_is_common(base, tv))
		us &= EVC_USEC_MASK;
	if (__builtin_add_overflow(s, us / 1000000, &s))
		s = us > 0 ? INT64_MAX : INT64_MIN;
	us %= 1000000;
	if (s > far_s)
		return EVC_FAR_US;
	return s < -far_s ? -EVC_FAR_US : s * 1000000 + us;
}

/* The queue of a timeval that is known to be a common timeout. */
static struct evc_common *common_of(const struct event_base *base, const struct timeval *tv)
{
	return base->commons[(tv->tv_usec & EVC_COMMON_IDX_MASK) >> EVC_COMMON_IDX_SHIFT];
}

static void sync_clocks(struct event_base *base, const struct timeval *mono)
{
	struct timeval wall;

	evutil_gettimeofday(&wall, NULL);
	evutil_timersub(&wall, mono, &base->tv_clock_diff);
	base->clock_diff_at_us = evc_tv_us(mono);
}

/* Reads the clock. What a base without a monotonic clock does is left to evutil. */
static inline int64_t clock_us(struct event_base *base, struct timeval *tv)
{
	int clock = base->monotonic_timer.monotonic_clock;
	struct timespec ts;
	int64_t us;

	if (clock < 0 || clock_gettime(clock, &ts) < 0) {
		evutil_gettime_monotonic_(&base->monotonic_timer, tv);
	} else {
		tv->tv_sec = ts.tv_sec;
		tv->tv_usec = (uint32_t)ts.tv_nsec / 1000;
	}
	us = evc_tv_us(tv);
	if (__builtin_expect(us >= base->clock_diff_at_us + CLOCK_SYNC_US, 0))
		sync_clocks(base, tv);
	return us;
}

int64_t evc_now(struct event_base *base)
{
	struct timeval tv;

	return base->now_us ? base->now_us : clock_us(base, &tv);
}

/* One step of the coarse clock, rounded up. */
static long tick_us(void)
{
	static _Atomic long us;
	struct timespec ts;

	if (!us) {
		clock_getres(CLOCK_MONOTONIC_COARSE, &ts);
		us = ts.tv_sec ? 999999 : ts.tv_nsec / 1000 + 1;
	}
	return us;
}

struct timeval evc_now_to_add(struct event_base *base, time_t interval_s)
{
	struct timespec ts;
	struct timeval tv;

	if (base->now_us)
		return base->now_tv;
	if (interval_s < COARSE_FROM_S || base->flags & EVENT_BASE_FLAG_PRECISE_TIMER)
		return evc_us_tv(evc_now(base));
	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	tv.tv_sec = ts.tv_sec;
	tv.tv_usec = ts.tv_nsec / 1000 + tick_us();
	if (tv.tv_usec >= 1000000) {
		tv.tv_sec++;
		tv.tv_usec -= 1000000;
	}
	return tv;
}

void evc_time_update(struct event_base *base)
{
	evc_time_forget(base);
	if (base->flags & EVENT_BASE_FLAG_NO_CACHE_TIME)
		return;
	base->now_us = clock_us(base, &base->now_tv);
	if (!base->th_base_lock && !event_debug_mode_on_)
		base->quick = true;
}

/* The queue's own event waits for the queue's first. */
static void common_schedule(struct evc_common *c)
{
	struct event *first = TAILQ_FIRST(&c->events);
	struct timeval at = evc_us_tv(evc_tv_us(&first->ev_timeout));

	event_add_nolock_(&c->timer, &at, 1);
}

/* Nearly always at the end: all have the same interval. */
static void common_insert(struct evc_common *c, struct event *ev)
{
	struct event *e;

	TAILQ_FOREACH_REVERSE(e, &c->events, event_list, ev_common_next)
	{
		if (evc_tv_us(&ev->ev_timeout) >= evc_tv_us(&e->ev_timeout)) {
			TAILQ_INSERT_AFTER(&c->events, e, ev, ev_common_next);
			return;
		}
	}
	TAILQ_INSERT_HEAD(&c->events, ev, ev_common_next);
}

static void note_key(struct event *ev, int64_t key)
{
	ev->ev_common_next.tqe_prev = (struct event **)(intptr_t)key;
}

/* Both before and after the deadline is one of the heap. */
static bool heap_move(struct event_base *base, struct event *ev, int64_t at_us)
{
	ev->ev_timeout = evc_us_tv(at_us);
	if (at_us >= evc_timeout_key(ev))
		return false;
	note_key(ev, at_us);
	evu_heap_raise(&base->timeheap, &ev->ev_heap_pos, at_us);
	return ev->ev_heap_pos == 0;
}

bool evc_timeout_set(
    struct event_base *base, struct event *ev, const struct timeval *tv, int64_t at_us)
{
	bool common = evc_is_common(base, tv);

	if (ev->ev_flags & EVLIST_TIMEOUT) {
		if (!common && !evc_is_common(base, &ev->ev_timeout))
			return heap_move(base, ev, at_us);
		evc_timeout_clear(base, ev);
	}
	evc_count_add(base, ev->ev_flags);
	ev->ev_flags |= EVLIST_TIMEOUT;
	ev->ev_timeout = evc_us_tv(at_us);
	if (common) {
		struct evc_common *c = common_of(base, tv);

		ev->ev_timeout.tv_usec |= tv->tv_usec & ~(long)EVC_USEC_MASK;
		common_insert(c, ev);
		if (TAILQ_FIRST(&c->events) == ev)
			common_schedule(c);
		return false; /* the queue's event has told the loop */
	}
	note_key(ev, at_us);
	ev->ev_heap_pos = -1;
	evu_heap_push(&base->timeheap, at_us, &ev->ev_heap_pos);
	return ev->ev_heap_pos == 0;
}

bool evc_timeout_clear(struct event_base *base, struct event *ev)
{
	bool first;

	evc_assert(ev->ev_flags & EVLIST_TIMEOUT);
	evc_count_del(base, ev->ev_flags);
	ev->ev_flags &= ~EVLIST_TIMEOUT;
	if (evc_is_common(base, &ev->ev_timeout)) {
		struct evc_common *c = common_of(base, &ev->ev_timeout);

		first = TAILQ_FIRST(&c->events) == ev;
		TAILQ_REMOVE(&c->events, ev, ev_common_next);
		return first;
	}
	first = ev->ev_heap_pos == 0;
	evu_heap_remove(&base->timeheap, &ev->ev_heap_pos);
	return first;
}

/* Gives the first entry its true deadline as its key. False: it had it. */
static bool settle_top(struct evu_heap *h)
{
	struct event *ev = of_pos(evu_heap_top(h)->pos);
	int64_t at = evc_tv_us(&ev->ev_timeout);

	if (at == evu_heap_top(h)->key)
		return false;
	note_key(ev, at);
	evu_heap_rekey_top(h, at);
	return true;
}

int64_t evc_timeout_next(struct event_base *base)
{
	struct evu_heap *h = &base->timeheap;
	int64_t now, left;

	if (!evu_heap_top(h))
		return -1;
	now = evc_now(base);
	/* Waking for an outdated key is harmless, but wants to be rare. */
	while (evu_heap_top(h)->key < now + SETTLE_AHEAD_US && settle_top(h))
		continue;
	left = evu_heap_top(h)->key - now;
	if (left <= 0)
		return 0;
	return left < INT64_MAX / 1000 ? left * 1000 : INT64_MAX;
}

/* An event's time has come. What it is active for already stays known (stock forgets it: libevent
 * #1530). */
static void expire(struct event *ev)
{
	short res = 0, ncalls = 1;

	if (ev->ev_flags & (EVLIST_ACTIVE | EVLIST_ACTIVE_LATER)) {
		res = ev->ev_res;
		if (ev->ev_events & EV_SIGNAL && ev->ev_ncalls > 1)
			ncalls = ev->ev_ncalls;
	}
	event_del_nolock_(ev, EVENT_DEL_NOBLOCK);
	event_debug(
	    "timeout of event %p, callback %p", (void *)ev, (void *)(uintptr_t)ev->ev_callback);
	event_active_nolock_(ev, res | EV_TIMEOUT, ncalls);
}

void evc_timeout_expire(struct event_base *base)
{
	struct evu_heap *h = &base->timeheap;
	int64_t now = evc_now(base);

	while (evu_heap_top(h) && evu_heap_top(h)->key <= now) {
		if (!settle_top(h))
			expire(of_pos(evu_heap_top(h)->pos));
	}
}

static void common_expire(evutil_socket_t fd, short what, void *arg)
{
	struct evc_common *c = arg;
	struct event_base *base = c->base;
	struct event *ev;
	int64_t now;

	(void)fd;
	(void)what;
	EVBASE_LOCK(base);
	now = evc_now(base);
	while ((ev = TAILQ_FIRST(&c->events)) && evc_tv_us(&ev->ev_timeout) <= now)
		expire(ev);
	if (ev)
		common_schedule(c);
	EVBASE_UNLOCK(base);
}

static int commons_grow(struct event_base *base)
{
	int cap = base->cap_commons ? base->cap_commons * 2 : 16;
	struct evc_common **p;

	if (base->n_commons < base->cap_commons)
		return 0;
	p = mm_realloc(base->commons, (size_t)cap * sizeof(*p));
	if (!p)
		return -1;
	base->commons = p;
	base->cap_commons = cap;
	return 0;
}

static const struct timeval *common_new(struct event_base *base, int64_t us)
{
	struct evc_common *c;

	if (base->n_commons == EVC_MAX_COMMONS) {
		event_warnx("event_base_init_common_timeout: this event_base has %d common "
			    "timeouts already",
		    EVC_MAX_COMMONS);
		return NULL;
	}
	if (commons_grow(base) < 0 || !(c = mm_calloc(1, sizeof(*c)))) {
		event_warn("event_base_init_common_timeout: out of memory");
		return NULL;
	}
	TAILQ_INIT(&c->events);
	c->duration = evc_us_tv(us);
	c->duration.tv_usec |= EVC_COMMON_MAGIC | (long)base->n_commons << EVC_COMMON_IDX_SHIFT;
	c->base = base;
	event_assign(&c->timer, base, -1, 0, common_expire, c);
	c->timer.ev_flags |= EVLIST_INTERNAL;
	c->timer.ev_pri = 0;
	base->commons[base->n_commons++] = c;
	return &c->duration;
}

const struct timeval *event_base_init_common_timeout(
    struct event_base *base, const struct timeval *duration)
{
	const struct timeval *result = NULL;
	int64_t us;
	int i;

	EVBASE_LOCK(base);
	us = evc_interval_us(base, duration);
	for (i = 0; i < base->n_commons && !result; i++)
		if (evc_tv_us(&base->commons[i]->duration) == us)
			result = &base->commons[i]->duration;
	if (!result)
		result = common_new(base, us);
	EVBASE_UNLOCK(base);
	return result;
}

int evc_timeout_delete_all(struct event_base *base)
{
	const struct evu_heap_slot *top;
	struct event *ev;
	int i, n = 0;

	for (i = 0; i < base->n_commons; i++) {
		struct evc_common *c = base->commons[i];

		while ((ev = TAILQ_FIRST(&c->events))) {
			n += !(ev->ev_flags & EVLIST_INTERNAL);
			event_del_nolock_(ev, EVENT_DEL_EVEN_IF_FINALIZING);
		}
	}
	while ((top = evu_heap_top(&base->timeheap))) {
		ev = of_pos(top->pos);
		n += !(ev->ev_flags & EVLIST_INTERNAL);
		event_del_nolock_(ev, EVENT_DEL_EVEN_IF_FINALIZING);
	}
	return n;
}

void evc_timeout_fini(struct event_base *base)
{
	int i;

	/* Finalizers may have added some again. */
	(void)evc_timeout_delete_all(base);
	for (i = 0; i < base->n_commons; i++) {
		event_debug_unassign(&base->commons[i]->timer);
		mm_free(base->commons[i]);
	}
	base->n_commons = 0;
	if (base->commons)
		mm_free(base->commons);
	base->commons = NULL;
	evu_heap_fini(&base->timeheap);
}

static void common_assert_ok(struct event_base *base, int i)
{
	const struct event *ev, *last = NULL;

	TAILQ_FOREACH (ev, &base->commons[i]->events, ev_common_next) {
		evc_assert(ev->ev_flags & EVLIST_TIMEOUT);
		evc_assert(evc_is_common(base, &ev->ev_timeout));
		evc_assert(common_of(base, &ev->ev_timeout) == base->commons[i]);
		evc_assert(!last || evc_tv_us(&last->ev_timeout) <= evc_tv_us(&ev->ev_timeout));
		last = ev;
	}
}

void evc_timeout_assert_ok(struct event_base *base)
{
	struct evu_heap *h = &base->timeheap;
	int i;

	for (i = 0; i < h->len; i++) {
		const struct event *ev = of_pos(h->slots[i].pos);

		evc_assert(ev->ev_flags & EVLIST_TIMEOUT);
		evc_assert(ev->ev_heap_pos == i);
		evc_assert(h->slots[i].key == evc_timeout_key(ev));
		evc_assert(h->slots[i].key <= evc_tv_us(&ev->ev_timeout));
		evc_assert(i == 0 || h->slots[(i - 1) / 4].key <= h->slots[i].key);
	}
	for (i = 0; i < base->n_commons; i++)
		common_assert_ok(base, i);
}

int event_base_gettimeofday_cached(struct event_base *base, struct timeval *tv)
{
	struct timeval mono;
	int r = 0;

	if (!base)
		base = event_global_current_base_;
	if (!base)
		return evutil_gettimeofday(tv, NULL);
	EVBASE_LOCK(base);
	if (base->now_us) {
		mono = evc_us_tv(base->now_us);
		evutil_timeradd(&mono, &base->tv_clock_diff, tv);
	} else {
		r = evutil_gettimeofday(tv, NULL);
	}
	EVBASE_UNLOCK(base);
	return r;
}

int event_base_update_cache_time(struct event_base *base)
{
	if (!base)
		base = event_global_current_base_;
	if (!base)
		return -1;
	EVBASE_LOCK(base);
	if (base->running_loop)
		evc_time_update(base);
	EVBASE_UNLOCK(base);
	return 0;
}

int event_gettime_monotonic(struct event_base *base, struct timeval *tv)
{
	int r = -1;

	if (base && tv) {
		EVBASE_LOCK(base);
		r = evutil_gettime_monotonic_(&base->monotonic_timer, tv);
		EVBASE_UNLOCK(base);
	}
	return r;
}
