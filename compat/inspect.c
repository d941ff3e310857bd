/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Looking at all events of a base: foreach, the dump, activation by fd or signal, and the integrity
 * check that libevent's own tests call.
 */
#include <stdio.h>

#include "evmap.h"
#include "timeout.h"

static int foreach_heap(struct event_base *base, event_base_foreach_event_cb fn, void *arg)
{
	int i, r = 0;

	for (i = 0; i < base->timeheap.len && r == 0; i++) {
		struct event *ev =
		    evu_container_of(base->timeheap.slots[i].pos, struct event, ev_heap_pos);

		if (!(ev->ev_flags & EVLIST_INSERTED))
			r = fn(base, ev, arg);
	}
	return r;
}

static int foreach_common(struct event_base *base, event_base_foreach_event_cb fn, void *arg)
{
	struct event *ev;
	int i, r;

	for (i = 0; i < base->n_commons; i++)
		TAILQ_FOREACH (ev, &base->commons[i]->events, ev_common_next)
			if (!(ev->ev_flags & EVLIST_INSERTED) && (r = fn(base, ev, arg)))
				return r;
	return 0;
}

static int foreach_active(struct event_base *base, event_base_foreach_event_cb fn, void *arg)
{
	const short seen = EVLIST_INSERTED | EVLIST_TIMEOUT;
	struct event_callback *evcb;
	int i, r;

	for (i = 0; i < base->nactivequeues; i++)
		TAILQ_FOREACH (evcb, &base->activequeues[i], evcb_active_next)
			if ((evcb->evcb_flags & (EVLIST_INIT | seen)) == EVLIST_INIT &&
			    (r = fn(base, evc_event_of(evcb), arg)))
				return r;
	return 0;
}

/* Each event once: those inserted, then those that only have a deadline, then those that are only
 * active. */
int event_base_foreach_event_nolock_(
    struct event_base *base, event_base_foreach_event_cb fn, void *arg)
{
	int r = evc_map_foreach(base, fn, arg);

	if (r == 0)
		r = foreach_heap(base, fn, arg);
	if (r == 0)
		r = foreach_common(base, fn, arg);
	if (r == 0)
		r = foreach_active(base, fn, arg);
	return r;
}

int event_base_foreach_event(struct event_base *base, event_base_foreach_event_cb fn, void *arg)
{
	int r;

	if (!fn || !base)
		return -1;
	EVBASE_LOCK(base);
	r = event_base_foreach_event_nolock_(base, fn, arg);
	EVBASE_UNLOCK(base);
	return r;
}

/* The lines of the dump are read by programs and people: their form is stock's. */
static void dump_head(FILE *out, const struct event *ev)
{
	fprintf(out, "  %p [%s %d", (const void *)ev, ev->ev_events & EV_SIGNAL ? "sig" : "fd ",
	    ev->ev_fd);
}

static int dump_inserted(const struct event_base *base, const struct event *ev, void *arg)
{
	FILE *out = arg;

	if (!(ev->ev_flags & (EVLIST_INSERTED | EVLIST_TIMEOUT)))
		return 0;
	dump_head(out, ev);
	fprintf(out, "]%s%s%s%s%s%s%s", ev->ev_events & EV_READ ? " Read" : "",
	    ev->ev_events & EV_WRITE ? " Write" : "", ev->ev_events & EV_CLOSED ? " EOF" : "",
	    ev->ev_events & EV_SIGNAL ? " Signal" : "",
	    ev->ev_events & EV_PERSIST ? " Persist" : "", ev->ev_events & EV_ET ? " ET" : "",
	    ev->ev_flags & EVLIST_INTERNAL ? " Internal" : "");
	if (ev->ev_flags & EVLIST_TIMEOUT) {
		struct timeval at = evc_us_tv(evc_tv_us(&ev->ev_timeout));

		evutil_timeradd(&at, &base->tv_clock_diff, &at);
		fprintf(out, " Timeout=%ld.%06d", (long)at.tv_sec, (int)at.tv_usec);
	}
	fputc('\n', out);
	return 0;
}

static int dump_active(const struct event_base *base, const struct event *ev, void *arg)
{
	FILE *out = arg;

	(void)base;
	if (!(ev->ev_flags & (EVLIST_ACTIVE | EVLIST_ACTIVE_LATER)))
		return 0;
	dump_head(out, ev);
	fprintf(out, ", priority=%d]%s%s%s%s%s active%s%s\n", ev->ev_pri,
	    ev->ev_res & EV_READ ? " Read" : "", ev->ev_res & EV_WRITE ? " Write" : "",
	    ev->ev_res & EV_CLOSED ? " EOF" : "", ev->ev_res & EV_SIGNAL ? " Signal" : "",
	    ev->ev_res & EV_TIMEOUT ? " Timeout" : "",
	    ev->ev_flags & EVLIST_INTERNAL ? " [Internal]" : "",
	    ev->ev_flags & EVLIST_ACTIVE_LATER ? " [NextTime]" : "");
	return 0;
}

void event_base_dump_events(struct event_base *base, FILE *output)
{
	EVBASE_LOCK(base);
	fprintf(output, "Inserted events:\n");
	event_base_foreach_event_nolock_(base, dump_inserted, output);
	fprintf(output, "Active events:\n");
	event_base_foreach_event_nolock_(base, dump_active, output);
	EVBASE_UNLOCK(base);
}

/* Timer events of that fd: in the heap and in the common queues. Activating does not move events
 * within those. */
static void activate_timers(struct event_base *base, evutil_socket_t fd)
{
	struct event *ev;
	int i;

	for (i = 0; i < base->timeheap.len; i++) {
		ev = evu_container_of(base->timeheap.slots[i].pos, struct event, ev_heap_pos);
		if (ev->ev_fd == fd)
			event_active_nolock_(ev, EV_TIMEOUT, 1);
	}
	for (i = 0; i < base->n_commons; i++)
		TAILQ_FOREACH (ev, &base->commons[i]->events, ev_common_next)
			if (ev->ev_fd == fd)
				event_active_nolock_(ev, EV_TIMEOUT, 1);
}

void event_base_active_by_fd(struct event_base *base, evutil_socket_t fd, short events)
{
	EVBASE_LOCK(base);
	if (events & EV_TIMEOUT)
		activate_timers(base, fd);
	else
		evc_io_active(base, fd, events & EVC_IO);
	EVBASE_UNLOCK(base);
}

void event_base_active_by_signal(struct event_base *base, int sig)
{
	EVBASE_LOCK(base);
	evc_sig_active(base, sig, 1);
	EVBASE_UNLOCK(base);
}

void event_base_assert_ok_nolock_(struct event_base *base)
{
	struct event_callback *evcb;
	int i, count = 0;

	evc_map_assert_ok(base);
	evc_timeout_assert_ok(base);
	for (i = 0; i < base->nactivequeues; i++)
		TAILQ_FOREACH (evcb, &base->activequeues[i], evcb_active_next) {
			evc_assert((evcb->evcb_flags & (EVLIST_ACTIVE | EVLIST_ACTIVE_LATER)) ==
				   EVLIST_ACTIVE);
			evc_assert(evcb->evcb_pri == i);
			count++;
		}
	TAILQ_FOREACH (evcb, &base->active_later_queue, evcb_active_next) {
		evc_assert((evcb->evcb_flags & (EVLIST_ACTIVE | EVLIST_ACTIVE_LATER)) ==
			   EVLIST_ACTIVE_LATER);
		count++;
	}
	evc_assert(count == base->event_count_active);
}

void event_base_assert_ok_(struct event_base *base)
{
	EVBASE_LOCK(base);
	event_base_assert_ok_nolock_(base);
	EVBASE_UNLOCK(base);
}
