/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Events that nobody holds: event_base_once makes one, runs it once, and frees it.
 */
#include "debug.h"

static void once_cb(evutil_socket_t fd, short what, void *arg)
{
	struct event_once *once = arg;
	struct event_base *base = once->ev.ev_base;

	once->cb(fd, what, once->arg);
	EVBASE_LOCK(base);
	LIST_REMOVE(once, next_once);
	EVBASE_UNLOCK(base);
	event_debug_unassign(&once->ev);
	mm_free(once);
}

/* Makes it pending. A timeout of nothing is active at once, in the order of the calls. */
static int once_start(struct event_base *base, struct event_once *once, const struct timeval *tv)
{
	bool at_once = !(once->ev.ev_events & (EV_READ | EV_WRITE | EV_CLOSED)) &&
		       (!tv || !evutil_timerisset(tv));
	int r = 0;

	EVBASE_LOCK(base);
	if (at_once)
		event_active_nolock_(&once->ev, EV_TIMEOUT, 1);
	else
		r = event_add_nolock_(&once->ev, tv, 0);
	if (r == 0)
		LIST_INSERT_HEAD(&base->once_events, once, next_once);
	EVBASE_UNLOCK(base);
	return r;
}

int event_base_once(struct event_base *base, evutil_socket_t fd, short events,
    event_callback_fn callback, void *arg, const struct timeval *tv)
{
	short io = events & EVC_IO;
	struct event_once *once;

	if (!base || events & (EV_SIGNAL | EV_PERSIST) || !(io || events & EV_TIMEOUT))
		return -1;
	once = mm_calloc(1, sizeof(*once));
	if (!once)
		return -1;
	once->cb = callback;
	once->arg = arg;
	event_assign(&once->ev, base, io ? fd : -1, io, once_cb, once);
	if (once_start(base, once, tv) < 0) {
		event_debug_unassign(&once->ev);
		mm_free(once);
		return -1;
	}
	return 0;
}

int event_once(evutil_socket_t fd, short events, event_callback_fn callback, void *arg,
    const struct timeval *tv)
{
	return event_base_once(event_global_current_base_, fd, events, callback, arg, tv);
}
