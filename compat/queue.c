/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The queues of callbacks that wait to be run, and the counts of what the base has.
 */
#include "queue.h"
#include "timeout.h"

void evc_remove_active_later(struct event_base *base, struct event_callback *evcb)
{
	evc_assert(evcb->evcb_flags & EVLIST_ACTIVE_LATER);
	evc_count_del(base, evcb->evcb_flags);
	evcb->evcb_flags &= ~EVLIST_ACTIVE_LATER;
	base->event_count_active--;
	TAILQ_REMOVE(&base->active_later_queue, evcb, evcb_active_next);
}

void evc_later_to_active(struct event_base *base)
{
	struct event_callback *evcb;

	while ((evcb = TAILQ_FIRST(&base->active_later_queue))) {
		TAILQ_REMOVE(&base->active_later_queue, evcb, evcb_active_next);
		evcb->evcb_flags =
		    (short)((evcb->evcb_flags & ~EVLIST_ACTIVE_LATER) | EVLIST_ACTIVE);
		TAILQ_INSERT_TAIL(&base->activequeues[evcb->evcb_pri], evcb, evcb_active_next);
		base->n_deferreds_queued += evcb->evcb_closure == EV_CLOSURE_CB_SELF;
	}
}

void evc_activate_io(struct event_base *base, struct event *ev, short res)
{
	const short not_idle = EVLIST_FINALIZING | EVLIST_ACTIVE | EVLIST_ACTIVE_LATER;

	if (__builtin_expect(ev->ev_flags & not_idle, 0)) {
		event_active_nolock_(ev, res, 1);
		return;
	}
	event_debug("event %p (fd %d) is ready, res %d, callback %p", (void *)ev, ev->ev_fd, res,
	    (void *)(uintptr_t)ev->ev_callback);
	ev->ev_res = res;
	if (__builtin_expect(ev->ev_pri < base->event_running_priority, 0))
		base->event_continue = 1;
	evc_insert_active(base, &ev->ev_evcallback);
}

/* 1 if it is newly scheduled; 0 if it was already, or is being finalized. */
int event_callback_activate_nolock_(struct event_base *base, struct event_callback *evcb)
{
	int newly = 1;

	EVBASE_ASSERT_LOCKED(base);
	if (evcb->evcb_flags & (EVLIST_FINALIZING | EVLIST_ACTIVE))
		return 0;
	if (evcb->evcb_flags & EVLIST_ACTIVE_LATER) {
		evc_remove_active_later(base, evcb);
		newly = 0;
	}
	evc_insert_active(base, evcb);
	if (evc_must_notify(base))
		evc_notify(base);
	return newly;
}

int event_callback_activate_later_nolock_(struct event_base *base, struct event_callback *evcb)
{
	EVBASE_ASSERT_LOCKED(base);
	if (evcb->evcb_flags & (EVLIST_ACTIVE | EVLIST_ACTIVE_LATER))
		return 0;
	evc_count_active(base, evcb);
	evcb->evcb_flags |= EVLIST_ACTIVE_LATER;
	TAILQ_INSERT_TAIL(&base->active_later_queue, evcb, evcb_active_next);
	if (evc_must_notify(base))
		evc_notify(base);
	return 1;
}

int event_callback_activate_(struct event_base *base, struct event_callback *evcb)
{
	int r;

	EVBASE_LOCK(base);
	r = event_callback_activate_nolock_(base, evcb);
	EVBASE_UNLOCK(base);
	return r;
}

void event_callback_init_(struct event_base *base, struct event_callback *evcb)
{
	*evcb = (struct event_callback){.evcb_pri = (ev_uint8_t)(base->nactivequeues - 1)};
}

int event_callback_cancel_nolock_(
    struct event_base *base, struct event_callback *evcb, int even_if_finalizing)
{
	if ((evcb->evcb_flags & EVLIST_FINALIZING) && !even_if_finalizing)
		return 0;
	if (evcb->evcb_flags & EVLIST_INIT)
		return event_del_nolock_(evc_event_of(evcb),
		    even_if_finalizing ? EVENT_DEL_EVEN_IF_FINALIZING : EVENT_DEL_AUTOBLOCK);
	if (evcb->evcb_flags & EVLIST_ACTIVE)
		evc_remove_active(base, evcb);
	else if (evcb->evcb_flags & EVLIST_ACTIVE_LATER)
		evc_remove_active_later(base, evcb);
	return 0;
}

int event_callback_cancel_(struct event_base *base, struct event_callback *evcb)
{
	int r;

	EVBASE_LOCK(base);
	r = event_callback_cancel_nolock_(base, evcb, 0);
	evc_settle(base);
	EVBASE_UNLOCK(base);
	return r;
}
