/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Finalizers: callbacks that the loop runs when nothing else of an event can run any more, so that
 * its memory may go.
 */
#include "debug.h"

static void finalize(struct event *ev, enum evc_closure closure, event_finalize_callback_fn cb)
{
	event_del_nolock_(ev, EVENT_DEL_NOBLOCK);
	ev->ev_closure = (ev_uint8_t)closure;
	ev->ev_evcallback.evcb_cb_union.evcb_evfinalize = cb;
	event_active_nolock_(ev, EV_FINALIZE, 1);
	ev->ev_flags |= EVLIST_FINALIZING;
}

static int finalize_public(
    struct event *ev, enum evc_closure closure, event_finalize_callback_fn cb)
{
	struct event_base *base = ev->ev_base;

	if (!base) {
		event_warnx("event_finalize: event has no event_base set");
		return -1;
	}
	EVBASE_LOCK(base);
	finalize(ev, closure, cb);
	evc_settle(base);
	EVBASE_UNLOCK(base);
	return 0;
}

int event_finalize(unsigned flags, struct event *ev, event_finalize_callback_fn cb)
{
	(void)flags;
	return finalize_public(ev, EV_CLOSURE_EVENT_FINALIZE, cb);
}

int event_free_finalize(unsigned flags, struct event *ev, event_finalize_callback_fn cb)
{
	(void)flags;
	return finalize_public(ev, EV_CLOSURE_EVENT_FINALIZE_FREE, cb);
}

void event_callback_finalize_nolock_(struct event_base *base, unsigned flags,
    struct event_callback *evcb, void (*cb)(struct event_callback *, void *))
{
	(void)flags;
	if (!evc_callback_rests(evcb) && evcb->evcb_flags & EVLIST_INIT)
		event_del_nolock_(evc_event_of(evcb), EVENT_DEL_NOBLOCK);
	else if (!evc_callback_rests(evcb))
		event_callback_cancel_nolock_(base, evcb, 0);
	evcb->evcb_closure = EV_CLOSURE_CB_FINALIZE;
	evcb->evcb_cb_union.evcb_cbfinalize = cb;
	event_callback_activate_nolock_(base, evcb);
	evcb->evcb_flags |= EVLIST_FINALIZING;
}

void event_callback_finalize_(struct event_base *base, unsigned flags, struct event_callback *evcb,
    void (*cb)(struct event_callback *, void *))
{
	EVBASE_LOCK(base);
	event_callback_finalize_nolock_(base, flags, evcb, cb);
	evc_settle(base);
	EVBASE_UNLOCK(base);
}

/* Ends all of the callbacks; `cb` runs for one of them, when none of them can run any more: the one
 * that is running now if there is such a one, else the first. */
int event_callback_finalize_many_(struct event_base *base, int n_cbs, struct event_callback **evcbs,
    void (*cb)(struct event_callback *, void *))
{
	bool running = false;
	int i;

	if (!base)
		base = event_global_current_base_;
	EVBASE_LOCK(base);
	for (i = 0; i < n_cbs; i++) {
		if (evcbs[i] == base->current_event) {
			event_callback_finalize_nolock_(base, 0, evcbs[i], cb);
			running = true;
		} else if (!evc_callback_rests(evcbs[i])) {
			event_callback_cancel_nolock_(base, evcbs[i], 0);
		}
	}
	if (!running)
		event_callback_finalize_nolock_(base, 0, evcbs[0], cb);
	evc_settle(base);
	EVBASE_UNLOCK(base);
	return 0;
}

void evc_run_finalizer(struct event_callback *evcb)
{
	struct event *ev = evc_event_of(evcb);
	bool then_free = evcb->evcb_closure == EV_CLOSURE_EVENT_FINALIZE_FREE;

	if (evcb->evcb_closure == EV_CLOSURE_CB_FINALIZE) {
		evcb->evcb_cb_union.evcb_cbfinalize(evcb, evcb->evcb_arg);
		return;
	}
	evc_debug_note_teardown(ev);
	evcb->evcb_cb_union.evcb_evfinalize(ev, ev->ev_arg);
	if (then_free)
		mm_free(ev);
}
