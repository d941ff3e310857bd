/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The loop: wait, expire, run.
 *
 * A turn asks the engine what is ready (not waiting if callbacks wait already), makes the events of
 * what is ready, of deadlines and of signals active, in this order, and runs the callbacks of the
 * most urgent priority that has any. Only then it polls again.
 */
#include <limits.h>
#include <string.h>

#include "debug.h"
#include "evmap.h"
#include "stream.h"
#include "queue.h"
#include "timeout.h"

/* Runs a signal event's callback as often as the signal came, unless it is deleted or the loop
 * broken meanwhile. */
static void run_signal(struct event_base *base, struct event *ev)
{
	short ncalls = ev->ev_ncalls;

	if (ncalls != 0)
		ev->ev_pncalls = &ncalls;
	EVBASE_UNLOCK(base);
	while (ncalls) {
		bool broken;

		ncalls--;
		ev->ev_ncalls = ncalls;
		if (ncalls == 0)
			ev->ev_pncalls = NULL;
		ev->ev_callback(ev->ev_fd, ev->ev_res, ev->ev_arg);
		/* From here on ev may be gone: it is touched only while ncalls, our own, is not 0.
		 */
		EVBASE_LOCK(base);
		broken = base->event_break;
		EVBASE_UNLOCK(base);
		if (broken && ncalls != 0) {
			ev->ev_pncalls = NULL;
			return;
		}
	}
}

/* A persistent event with a timeout gets its next deadline before its callback runs: an interval
 * after the last one was due if it is the timeout that fired, else after now; and if that has
 * passed already, after now, so that no burst makes up for it. */
static void rearm_persistent(struct event_base *base, struct event *ev)
{
	int64_t interval, now, at;
	struct timeval tv;

	if (!evutil_timerisset(&ev->ev_io_timeout))
		return;
	interval = evc_interval_us(base, &ev->ev_io_timeout);
	now = evc_now(base);
	at = (ev->ev_res & EV_TIMEOUT ? evc_tv_us(&ev->ev_timeout) : now) + interval;
	if (at < now)
		at = now + interval;
	tv = evc_us_tv(at > 0 ? at : 0);
	if (evc_is_common(base, &ev->ev_io_timeout))
		tv.tv_usec |= ev->ev_io_timeout.tv_usec & ~(long)EVC_USEC_MASK;
	event_add_nolock_(ev, &tv, 1);
}

/* Takes the callback off its queue, and with it what the event was waiting for, unless it persists.
 */
static void take_off(struct event_base *base, struct event_callback *evcb)
{
	struct event *ev;

	if (!(evcb->evcb_flags & EVLIST_INIT)) {
		evc_remove_active(base, evcb);
		return;
	}
	ev = evc_event_of(evcb);
	if (ev->ev_events & EV_PERSIST || ev->ev_flags & EVLIST_FINALIZING)
		evc_remove_active(base, evcb);
	else
		event_del_nolock_(ev, EVENT_DEL_NOBLOCK);
	event_debug("running event %p, res 0x%x, callback %p", (void *)ev, (unsigned)ev->ev_res,
	    (void *)(uintptr_t)ev->ev_callback);
}

/* Called with the lock, returns without it. What is needed of the event is read before: its
 * callback may free it. */
static void run(struct event_base *base, struct event_callback *evcb)
{
	struct event *ev = evc_event_of(evcb);

	switch ((enum evc_closure)evcb->evcb_closure) {
	case EV_CLOSURE_EVENT_SIGNAL:
		run_signal(base, ev);
		return;
	case EV_CLOSURE_EVENT_PERSIST:
		rearm_persistent(base, ev);
		/* fall through */
	case EV_CLOSURE_EVENT: {
		event_callback_fn fn = ev->ev_callback;
		evutil_socket_t fd = ev->ev_fd;
		short res = ev->ev_res;
		void *arg = ev->ev_arg;

		EVBASE_UNLOCK(base);
		fn(fd, res, arg);
		return;
	}
	case EV_CLOSURE_CB_SELF: {
		void (*fn)(struct event_callback *, void *) = evcb->evcb_cb_union.evcb_selfcb;

		EVBASE_UNLOCK(base);
		fn(evcb, evcb->evcb_arg);
		return;
	}
	case EV_CLOSURE_CB_FINALIZE:
	case EV_CLOSURE_EVENT_FINALIZE:
	case EV_CLOSURE_EVENT_FINALIZE_FREE:
		evc_assert(evcb->evcb_flags & EVLIST_FINALIZING);
		base->current_event = NULL;
		EVBASE_UNLOCK(base);
		evc_run_finalizer(evcb);
		return;
	}
	evc_assert(!"a closure that exists");
}

static void run_one(struct event_base *base, struct event_callback *evcb)
{
	unsigned n_activated;

	take_off(base, evcb);
	/* Its request must have left the kernel: the callback may close the fd. */
	evc_settle(base);
	base->current_event = evcb;
	base->current_event_waiters = 0;
	n_activated = base->n_activated;
	run(base, evcb);
	EVBASE_LOCK(base);
	base->current_event = NULL;
	/* What it made active runs before it learns that anything is written. */
	if (base->stage.writecb && evu_link_linked(&base->to_send) &&
	    n_activated == base->n_activated)
		evc_stage_try(base);
	if (base->current_event_waiters) {
		base->current_event_waiters = 0;
		EVTHREAD_COND_BROADCAST(base->current_event_cond);
	}
}

/* True iff it is time to poll again although callbacks of this priority wait. */
static bool limit_reached(struct event_base *base, int count, int max, int64_t end_us)
{
	if (count >= max)
		return true;
	if (count == 0 || end_us < 0)
		return false;
	evc_time_update(base);
	return evc_now(base) >= end_us;
}

/* Runs a queue. How many that were not internal; -1 if the loop was broken. */
static int run_queue(
    struct event_base *base, struct evcallback_list *queue, int max, int64_t end_us)
{
	struct event_callback *evcb;
	int count = 0;

	while ((evcb = TAILQ_FIRST(queue))) {
		count += !(evcb->evcb_flags & EVLIST_INTERNAL);
		run_one(base, evcb);
		if (base->event_break)
			return -1;
		if (limit_reached(base, count, max, end_us) || base->event_continue)
			break;
	}
	return count;
}

/* Runs the most urgent queue that has a callback of the program. */
static int run_active(struct event_base *base)
{
	int64_t end_us = -1;
	int i, count = 0;

	if (base->max_dispatch_time.tv_sec >= 0) {
		evc_time_update(base);
		end_us = evc_now(base) + evc_interval_us(base, &base->max_dispatch_time);
	}
	for (i = 0; i < base->nactivequeues && count == 0; i++) {
		bool limited = i >= base->limit_callbacks_after_prio;

		if (TAILQ_EMPTY(&base->activequeues[i]))
			continue;
		base->event_running_priority = i;
		count = run_queue(base, &base->activequeues[i],
		    limited ? base->max_dispatch_callbacks : INT_MAX, limited ? end_us : -1);
	}
	base->event_running_priority = -1;
	return count;
}

/* True iff some base has signals to collect. */
static inline bool signals_came(const struct event_base *base)
{
	return __builtin_expect(evc_signal_any || base->sig.any_left, 0);
}

/* How long the engine may sleep, in ns; -1: for ever. */
static int64_t may_sleep(struct event_base *base, int flags)
{
	int64_t sleep_ns;

	if (base->event_count_active || flags & EVLOOP_NONBLOCK ||
	    (signals_came(base) && evc_signal_pending(base)))
		return 0;
	/* What the callbacks took is not slept over. (Stock counts from before they ran.) */
	evc_time_forget(base);
	sleep_ns = evc_timeout_next(base);
	if (evu_link_linked(&base->staged) && evc_stage_waits(base) &&
	    (sleep_ns < 0 || sleep_ns > EVC_STAGE_RETRY_NS))
		sleep_ns = EVC_STAGE_RETRY_NS;
	return sleep_ns;
}

/* One turn. -1: the engine failed; 1: the loop is done; 0: go on. */
static int turn(struct event_base *base, int flags)
{
	int64_t sleep_ns;
	int rc;

	if (evu_link_linked(&base->staged))
		evc_stage_send_all(base);
	if (evu_link_linked(&base->to_send))
		evc_sock_send_all(base);
	sleep_ns = may_sleep(base, flags);
	if (!TAILQ_EMPTY(&base->active_later_queue))
		evc_later_to_active(base);
	evc_time_forget(base);
	rc = evu_engine_turn(base->engine, sleep_ns);
	base->is_notify_pending = 0;
	if (rc < 0) {
		event_warnx("event_base_loop: no method works any more: %s", strerror(-rc));
		return -1;
	}
	evc_time_update(base);
	if (evu_heap_top(&base->timeheap))
		evc_timeout_expire(base);
	if (signals_came(base))
		evc_signal_collect(base);
	if (base->event_count_active) {
		int n = run_active(base);

		return flags & EVLOOP_ONCE && base->event_count_active == 0 && n != 0;
	}
	return (flags & EVLOOP_NONBLOCK) != 0;
}

static void loop_begin(struct event_base *base)
{
	base->running_loop = 1;
	evc_time_forget(base);
	if (base->sig.n_added)
		evc_signal_prefer(base);
	base->th_owner_id = EVTHREAD_GET_ID();
	base->event_gotterm = base->event_break = 0;
	base->is_notify_pending = 0;
	evc_stage_loop_begins(base);
	evu_engine_enter(base->engine);
}

int event_base_loop(struct event_base *base, int flags)
{
	int result = 0, r = 0;

	EVBASE_LOCK(base);
	if (base->running_loop) {
		event_warnx(
		    "event_base_loop: reentrant call: an event_base runs one loop at a time");
		EVBASE_UNLOCK(base);
		return -1;
	}
	loop_begin(base);
	while (r == 0) {
		base->event_continue = 0;
		base->n_deferreds_queued = 0;
		if (base->event_gotterm || base->event_break)
			break;
		if (!(flags & EVLOOP_NO_EXIT_ON_EMPTY) && !evc_has_events(base) &&
		    !base->event_count_active) {
			event_debug("event_base_loop: no events");
			result = 1;
			break;
		}
		r = turn(base, flags);
		if (r < 0)
			result = -1;
	}
	evc_time_forget(base);
	evc_stage_loop_ends(base);
	/* A loop that was made to turn once will soon turn again. */
	evu_engine_leave(base->engine, !(flags & (EVLOOP_ONCE | EVLOOP_NONBLOCK)));
	base->running_loop = 0;
	EVBASE_UNLOCK(base);
	return result;
}

int event_base_dispatch(struct event_base *base)
{
	return event_base_loop(base, 0);
}

static void loopexit_cb(evutil_socket_t fd, short what, void *arg)
{
	struct event_base *base = arg;

	(void)fd;
	(void)what;
	EVBASE_LOCK(base);
	base->event_gotterm = 1;
	EVBASE_UNLOCK(base);
}

int event_base_loopexit(struct event_base *base, const struct timeval *tv)
{
	return event_base_once(base, -1, EV_TIMEOUT, loopexit_cb, base, tv);
}

/* Sets a flag that the loop looks at between callbacks, and wakes it. */
static int loop_flag(struct event_base *base, int *flag)
{
	if (!base)
		return -1;
	EVBASE_LOCK(base);
	*flag = 1;
	if (evc_must_notify(base))
		evc_notify(base);
	EVBASE_UNLOCK(base);
	return 0;
}

int event_base_loopbreak(struct event_base *base)
{
	return loop_flag(base, base ? &base->event_break : NULL);
}

int event_base_loopcontinue(struct event_base *base)
{
	return loop_flag(base, base ? &base->event_continue : NULL);
}

static int read_flag(struct event_base *base, const int *flag)
{
	int value;

	EVBASE_LOCK(base);
	value = *flag;
	EVBASE_UNLOCK(base);
	return value;
}

int event_base_got_break(struct event_base *base)
{
	return read_flag(base, &base->event_break);
}

int event_base_got_exit(struct event_base *base)
{
	return read_flag(base, &base->event_gotterm);
}
