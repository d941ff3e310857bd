/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Deferred callbacks: bare event_callbacks that the sister libraries schedule; and virtual events,
 * which only keep a loop alive.
 */
#include "base.h"

/* So many deferred callbacks may become active in one turn; later ones wait for the next, lest I/O
 * starve. */
#define MAX_DEFERREDS_QUEUED 32

void event_deferred_cb_init_(
    struct event_callback *cb, ev_uint8_t priority, deferred_cb_fn fn, void *arg)
{
	*cb = (struct event_callback){
	    .evcb_cb_union.evcb_selfcb = fn,
	    .evcb_arg = arg,
	    .evcb_pri = priority,
	    .evcb_closure = EV_CLOSURE_CB_SELF,
	};
}

void event_deferred_cb_set_priority_(struct event_callback *cb, ev_uint8_t priority)
{
	cb->evcb_pri = priority;
}

void event_deferred_cb_cancel_(struct event_base *base, struct event_callback *cb)
{
	event_callback_cancel_(base ? base : event_global_current_base_, cb);
}

/* 1 if it is newly scheduled: callers take a reference then. */
int event_deferred_cb_schedule_(struct event_base *base, struct event_callback *cb)
{
	int newly;

	if (!base)
		base = event_global_current_base_;
	EVBASE_LOCK(base);
	if (base->n_deferreds_queued > MAX_DEFERREDS_QUEUED) {
		newly = event_callback_activate_later_nolock_(base, cb);
	} else {
		newly = event_callback_activate_nolock_(base, cb);
		base->n_deferreds_queued += newly;
	}
	EVBASE_UNLOCK(base);
	return newly;
}

void event_base_add_virtual_(struct event_base *base)
{
	EVBASE_LOCK(base);
	base->virtual_event_count++;
	if (base->virtual_event_count_max < base->virtual_event_count)
		base->virtual_event_count_max = base->virtual_event_count;
	EVBASE_UNLOCK(base);
}

void event_base_del_virtual_(struct event_base *base)
{
	EVBASE_LOCK(base);
	evc_assert(base->virtual_event_count > 0);
	base->virtual_event_count--;
	if (base->virtual_event_count == 0 && evc_must_notify(base))
		evc_notify(base);
	EVBASE_UNLOCK(base);
}
