/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Events: assigned, added, deleted, made active, asked.
 */
#include <errno.h>

#include "debug.h"
#include "evmap.h"
#include "queue.h"
#include "timeout.h"

static char self_cbarg;

void *event_self_cbarg(void)
{
	return &self_cbarg;
}

static int assign_closure(struct event *ev)
{
	if (ev->ev_events & EV_SIGNAL) {
		if (ev->ev_events & EVC_IO) {
			event_warnx("event_assign: EV_SIGNAL does not go with EV_READ, EV_WRITE or "
				    "EV_CLOSED");
			return -1;
		}
		ev->ev_closure = EV_CLOSURE_EVENT_SIGNAL;
	} else if (ev->ev_events & EV_PERSIST) {
		evutil_timerclear(&ev->ev_io_timeout);
		ev->ev_closure = EV_CLOSURE_EVENT_PERSIST;
	} else {
		ev->ev_closure = EV_CLOSURE_EVENT;
	}
	return 0;
}

int event_assign(struct event *ev, struct event_base *base, evutil_socket_t fd, short events,
    event_callback_fn callback, void *arg)
{
	if (!base)
		base = event_global_current_base_;
	if (!(events & EV_SIGNAL))
		evc_debug_assert_nonblocking(fd, __func__);
	evc_debug_assert_not_added(ev, __func__);
	ev->ev_base = base;
	ev->ev_callback = callback;
	ev->ev_arg = arg == &self_cbarg ? ev : arg;
	ev->ev_fd = fd;
	ev->ev_events = events;
	ev->ev_res = 0;
	ev->ev_flags = EVLIST_INIT;
	ev->ev_ncalls = 0;
	ev->ev_pncalls = NULL;
	if (assign_closure(ev) < 0)
		return -1;
	ev->ev_heap_pos = -1;
	if (base)
		ev->ev_pri = (ev_uint8_t)(base->nactivequeues / 2);
	evc_debug_note_setup(ev);
	return 0;
}

int event_base_set(struct event_base *base, struct event *ev)
{
	if (ev->ev_flags != EVLIST_INIT)
		return -1;
	evc_debug_assert_setup(ev, __func__);
	ev->ev_base = base;
	ev->ev_pri = (ev_uint8_t)(base->nactivequeues / 2);
	return 0;
}

struct event *event_new(struct event_base *base, evutil_socket_t fd, short events,
    event_callback_fn callback, void *arg)
{
	struct event *ev = mm_malloc(sizeof(*ev));

	if (!ev)
		return NULL;
	if (event_assign(ev, base, fd, events, callback, arg) < 0) {
		mm_free(ev);
		return NULL;
	}
	return ev;
}

void event_free(struct event *ev)
{
	event_del(ev);
	evc_debug_note_teardown(ev);
	mm_free(ev);
}

void event_debug_unassign(struct event *ev)
{
	evc_debug_assert_not_added(ev, __func__);
	evc_debug_note_teardown(ev);
	ev->ev_flags &= ~EVLIST_INIT;
}

int event_priority_set(struct event *ev, int pri)
{
	evc_debug_assert_setup(ev, __func__);
	if (ev->ev_flags & EVLIST_ACTIVE)
		return -1;
	if (pri < 0 || pri >= ev->ev_base->nactivequeues)
		return -1;
	ev->ev_pri = (ev_uint8_t)pri;
	return 0;
}

/* Another thread runs this signal event's callback right now, and counts on ev_ncalls. */
static void wait_signal_callback(struct event_base *base, struct event *ev)
{
	if (ev->ev_events & EV_SIGNAL)
		evc_wait_callback(base, ev);
}

void evc_wait_callback(struct event_base *base, struct event *ev)
{
	if (base->current_event != &ev->ev_evcallback || evc_in_loop_thread(base))
		return;
	base->current_event_waiters++;
	EVTHREAD_COND_WAIT(base->current_event_cond, base->th_base_lock);
}

/* A callback that is being run several times for a signal is not run again. */
static void stop_repeating(struct event *ev)
{
	if (ev->ev_events & EV_SIGNAL && ev->ev_ncalls && ev->ev_pncalls) {
		*ev->ev_pncalls = 0;
		ev->ev_pncalls = NULL; /* it is on the stack of the loop */
	}
}

/* Watches the fd or signal. -1; 0; 1: a sleeping loop must hear of it. */
static int add_source(struct event_base *base, struct event *ev)
{
	int r = 0;

	if (!(ev->ev_events & (EVC_IO | EV_SIGNAL)) ||
	    ev->ev_flags & (EVLIST_INSERTED | EVLIST_ACTIVE | EVLIST_ACTIVE_LATER))
		return 0;
	if (ev->ev_events & EVC_IO)
		r = evc_io_add(base, ev);
	else
		r = evc_sig_add(base, ev);
	if (r >= 0)
		evc_insert_inserted(base, ev);
	return r;
}

/* Sets the deadline. True iff the loop may have to wake earlier. */
static bool add_timeout(
    struct event_base *base, struct event *ev, const struct timeval *tv, int absolute)
{
	int64_t at = absolute ? evc_tv_us(tv) : evc_interval_us(base, tv);

	if (ev->ev_closure == EV_CLOSURE_EVENT_PERSIST && !absolute)
		ev->ev_io_timeout = *tv;
	/* Rescheduled before its callback ran for the old deadline: it does not run for that any
	 * more. */
	if (ev->ev_flags & EVLIST_ACTIVE && ev->ev_res & EV_TIMEOUT) {
		stop_repeating(ev);
		evc_remove_active(base, &ev->ev_evcallback);
		if (ev->ev_flags & EVLIST_INSERTED && ev->ev_events & EVC_IO)
			evc_io_renew(base, ev);
	}
	event_debug("event_add: event %p, timeout %ld s %ld us", (void *)ev, (long)tv->tv_sec,
	    (long)(tv->tv_usec & EVC_USEC_MASK));
	if (!absolute && base->now_us) {
		at += base->now_us;
	} else if (!absolute) {
		struct timeval now = evc_now_to_add(base, (time_t)(at / 1000000));

		at += evc_tv_us(&now);
	}
	return evc_timeout_set(base, ev, tv, at > 0 ? at : 0);
}

int event_add_nolock_(struct event *ev, const struct timeval *tv, int tv_is_absolute)
{
	struct event_base *base = ev->ev_base;
	bool notify;
	int r;

	EVBASE_ASSERT_LOCKED(base);
	evc_debug_assert_setup(ev, __func__);
	event_debug("event_add: event %p (fd %d), events 0x%x, callback %p", (void *)ev, ev->ev_fd,
	    (unsigned)ev->ev_events, (void *)(uintptr_t)ev->ev_callback);
	evc_assert(!(ev->ev_flags & ~EVLIST_ALL));
	if (ev->ev_flags & EVLIST_FINALIZING)
		return -1;
	wait_signal_callback(base, ev);
	/* What can fail comes first: on failure nothing has changed. */
	if (tv && evc_timeout_reserve(base) < 0)
		return -1;
	r = add_source(base, ev);
	if (r < 0)
		return -1;
	notify = r > 0;
	if (tv && add_timeout(base, ev, tv, tv_is_absolute))
		notify = true;
	if (notify && evc_must_notify(base))
		evc_notify(base);
	evc_debug_note_add(ev);
	return 0;
}

/* True iff the event waits, and is not about to run. */
static inline bool waits(const struct event *ev)
{
	const short look = EVLIST_TIMEOUT | EVLIST_ACTIVE | EVLIST_ACTIVE_LATER | EVLIST_FINALIZING;

	return (ev->ev_flags & look) == EVLIST_TIMEOUT &&
	       (!(ev->ev_events & (EVC_IO | EV_SIGNAL)) || ev->ev_flags & EVLIST_INSERTED);
}

/*
 * What servers do most: an event that waits gets a later deadline. It comes down to one store. True
 * iff that is what it was, and it is done. Whatever else event_add has to do is left to the long
 * way.
 */
static inline bool put_off(struct event *ev, const struct timeval *tv, const struct timeval *now)
{
	if (!evc_timeout_move(ev, tv, now))
		return false;
	if (ev->ev_closure == EV_CLOSURE_EVENT_PERSIST)
		ev->ev_io_timeout = *tv;
	return true;
}

static __attribute__((noinline)) int add(struct event *ev, const struct timeval *tv)
{
	struct event_base *base = ev->ev_base;
	int r = -1;

	if (!base) {
		event_warnx("event_add: event has no event_base set");
		return -1;
	}
	EVBASE_LOCK(base);
	if (tv && waits(ev) && !base->quick && !event_debug_mode_on_ &&
	    !(ev->ev_events & EV_SIGNAL)) {
		struct timeval now = evc_now_to_add(base, tv->tv_sec);

		r = put_off(ev, tv, &now) ? 0 : -1;
	}
	if (r < 0)
		r = event_add_nolock_(ev, tv, 0);
	EVBASE_UNLOCK(base);
	return r;
}

int event_add(struct event *ev, const struct timeval *tv)
{
	const struct event_base *base = ev->ev_base;

	if (base && base->quick && tv && waits(ev) && put_off(ev, tv, &base->now_tv))
		return 0;
	return add(ev, tv);
}

/* Off the queue of callbacks to run. */
static void del_active(struct event_base *base, struct event *ev)
{
	if (ev->ev_flags & EVLIST_ACTIVE)
		evc_remove_active(base, &ev->ev_evcallback);
	else if (ev->ev_flags & EVLIST_ACTIVE_LATER)
		evc_remove_active_later(base, &ev->ev_evcallback);
}

/* -1; 0; 1: the loop must hear of it. */
static int del_source(struct event_base *base, struct event *ev)
{
	if (!(ev->ev_flags & EVLIST_INSERTED))
		return 0;
	evc_remove_inserted(base, ev);
	if (ev->ev_events & EVC_IO)
		return evc_io_del(base, ev);
	return evc_sig_del(base, ev);
}

int event_del_nolock_(struct event *ev, int blocking)
{
	struct event_base *base = ev->ev_base;
	bool notify = false;
	int r;

	event_debug("event_del: %p (fd %d), callback %p", (void *)ev, ev->ev_fd,
	    (void *)(uintptr_t)ev->ev_callback);
	if (!base)
		return -1;
	EVBASE_ASSERT_LOCKED(base);
	if (blocking != EVENT_DEL_EVEN_IF_FINALIZING && ev->ev_flags & EVLIST_FINALIZING)
		return 0;
	evc_assert(!(ev->ev_flags & ~EVLIST_ALL));
	stop_repeating(ev);
	/* A loop that sleeps until this deadline has to look for the next one, or see that it has
	 * nothing left to do. (Stock sleeps on: libevent #1727.) */
	if (ev->ev_flags & EVLIST_TIMEOUT)
		notify = evc_timeout_clear(base, ev);
	del_active(base, ev);
	r = del_source(base, ev);
	notify |= r > 0 || (!evc_has_events(base) && base->event_count_active == 0);
	if (r >= 0 && notify && evc_must_notify(base))
		evc_notify(base);
	evc_debug_note_del(ev);
	if (blocking == EVENT_DEL_BLOCK ||
	    (blocking == EVENT_DEL_AUTOBLOCK && !(ev->ev_events & EV_FINALIZE)))
		evc_wait_callback(base, ev);
	return r < 0 ? -1 : 0;
}

static int del(struct event *ev, enum evc_del blocking)
{
	struct event_base *base = ev->ev_base;
	int r;

	if (!base) {
		event_warnx("event_del: event has no event_base set");
		return -1;
	}
	EVBASE_LOCK(base);
	r = event_del_nolock_(ev, blocking);
	evc_settle(base);
	EVBASE_UNLOCK(base);
	return r;
}

int event_del(struct event *ev)
{
	return del(ev, EVENT_DEL_AUTOBLOCK);
}

int event_del_block(struct event *ev)
{
	return del(ev, EVENT_DEL_BLOCK);
}

int event_del_noblock(struct event *ev)
{
	return del(ev, EVENT_DEL_NOBLOCK);
}

int event_remove_timer_nolock_(struct event *ev)
{
	struct event_base *base = ev->ev_base;

	EVBASE_ASSERT_LOCKED(base);
	evc_debug_assert_setup(ev, __func__);
	if (!(ev->ev_flags & EVLIST_TIMEOUT))
		return 0;
	if (evc_timeout_clear(base, ev) && evc_must_notify(base))
		evc_notify(base);
	if (!(ev->ev_events & EV_SIGNAL)) /* those have their counters in this place */
		evutil_timerclear(&ev->ev_io_timeout);
	return 0;
}

int event_remove_timer(struct event *ev)
{
	int r;

	if (!ev->ev_base) {
		event_warnx("event_remove_timer: event has no event_base set");
		return -1;
	}
	EVBASE_LOCK(ev->ev_base);
	r = event_remove_timer_nolock_(ev);
	EVBASE_UNLOCK(ev->ev_base);
	return r;
}

void event_active_nolock_(struct event *ev, int res, short ncalls)
{
	struct event_base *base = ev->ev_base;

	event_debug("event_active: %p (fd %d), res %d, callback %p", (void *)ev, ev->ev_fd, res,
	    (void *)(uintptr_t)ev->ev_callback);
	EVBASE_ASSERT_LOCKED(base);
	if (ev->ev_flags & EVLIST_FINALIZING)
		return;
	if (ev->ev_flags & EVLIST_ACTIVE) {
		ev->ev_res = (short)(ev->ev_res | res);
		return;
	}
	if (ev->ev_flags & EVLIST_ACTIVE_LATER)
		res |= ev->ev_res;
	ev->ev_res = (short)res;
	if (ev->ev_pri < base->event_running_priority)
		base->event_continue = 1;
	if (ev->ev_events & EV_SIGNAL) {
		wait_signal_callback(base, ev);
		ev->ev_ncalls = ncalls;
		ev->ev_pncalls = NULL;
	}
	event_callback_activate_nolock_(base, &ev->ev_evcallback);
}

void event_active(struct event *ev, int res, short ncalls)
{
	if (!ev->ev_base) {
		event_warnx("event_active: event has no event_base set");
		return;
	}
	EVBASE_LOCK(ev->ev_base);
	evc_debug_assert_setup(ev, __func__);
	event_active_nolock_(ev, res, ncalls);
	EVBASE_UNLOCK(ev->ev_base);
}

void event_active_later_nolock_(struct event *ev, int res)
{
	EVBASE_ASSERT_LOCKED(ev->ev_base);
	if (ev->ev_flags & (EVLIST_ACTIVE | EVLIST_ACTIVE_LATER)) {
		ev->ev_res = (short)(ev->ev_res | res);
		return;
	}
	ev->ev_res = (short)res;
	event_callback_activate_later_nolock_(ev->ev_base, &ev->ev_evcallback);
}

void event_active_later_(struct event *ev, int res)
{
	EVBASE_LOCK(ev->ev_base);
	event_active_later_nolock_(ev, res);
	EVBASE_UNLOCK(ev->ev_base);
}

int event_pending(const struct event *ev, short events, struct timeval *tv)
{
	int flags = 0;

	if (!ev->ev_base) {
		event_warnx("event_pending: event has no event_base set");
		return 0;
	}
	EVBASE_LOCK(ev->ev_base);
	evc_debug_assert_setup(ev, __func__);
	if (ev->ev_flags & EVLIST_INSERTED)
		flags |= ev->ev_events & (EVC_IO | EV_SIGNAL);
	if (ev->ev_flags & (EVLIST_ACTIVE | EVLIST_ACTIVE_LATER))
		flags |= ev->ev_res;
	if (ev->ev_flags & EVLIST_TIMEOUT)
		flags |= EV_TIMEOUT;
	flags &= events & (EV_TIMEOUT | EVC_IO | EV_SIGNAL);
	if (tv && flags & EV_TIMEOUT) {
		struct timeval at = evc_us_tv(evc_tv_us(&ev->ev_timeout));

		evutil_timeradd(&ev->ev_base->tv_clock_diff, &at, tv);
	}
	EVBASE_UNLOCK(ev->ev_base);
	return flags;
}

int event_initialized(const struct event *ev)
{
	return (ev->ev_flags & EVLIST_INIT) != 0;
}

void event_get_assignment(const struct event *ev, struct event_base **base_out,
    evutil_socket_t *fd_out, short *events_out, event_callback_fn *callback_out, void **arg_out)
{
	evc_debug_assert_setup(ev, __func__);
	if (base_out)
		*base_out = ev->ev_base;
	if (fd_out)
		*fd_out = ev->ev_fd;
	if (events_out)
		*events_out = ev->ev_events;
	if (callback_out)
		*callback_out = ev->ev_callback;
	if (arg_out)
		*arg_out = ev->ev_arg;
}

size_t event_get_struct_event_size(void)
{
	return sizeof(struct event);
}

evutil_socket_t event_get_fd(const struct event *ev)
{
	evc_debug_assert_setup(ev, __func__);
	return ev->ev_fd;
}

struct event_base *event_get_base(const struct event *ev)
{
	evc_debug_assert_setup(ev, __func__);
	return ev->ev_base;
}

short event_get_events(const struct event *ev)
{
	evc_debug_assert_setup(ev, __func__);
	return ev->ev_events;
}

event_callback_fn event_get_callback(const struct event *ev)
{
	evc_debug_assert_setup(ev, __func__);
	return ev->ev_callback;
}

void *event_get_callback_arg(const struct event *ev)
{
	evc_debug_assert_setup(ev, __func__);
	return ev->ev_arg;
}

int event_get_priority(const struct event *ev)
{
	evc_debug_assert_setup(ev, __func__);
	return ev->ev_pri;
}
