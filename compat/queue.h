/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is done to queues and counts for every event that comes and goes, in place. The rest is in
 * queue.c.
 */
#ifndef COMPAT_QUEUE_H
#define COMPAT_QUEUE_H

#include "base.h"

static inline bool evc_has_events(const struct event_base *base)
{
	return base->virtual_event_count > 0 || base->event_count > 0;
}

static inline void evc_raise_max(int *max, int value)
{
	if (*max < value)
		*max = value;
}

static inline void evc_count_add(struct event_base *base, short flags)
{
	base->event_count += !(flags & EVLIST_INTERNAL);
	evc_raise_max(&base->event_count_max, base->event_count);
}

static inline void evc_count_del(struct event_base *base, short flags)
{
	base->event_count -= !(flags & EVLIST_INTERNAL);
}

static inline void evc_insert_inserted(struct event_base *base, struct event *ev)
{
	evc_assert(!(ev->ev_flags & EVLIST_INSERTED));
	evc_count_add(base, ev->ev_flags);
	ev->ev_flags |= EVLIST_INSERTED;
}

static inline void evc_remove_inserted(struct event_base *base, struct event *ev)
{
	evc_assert(ev->ev_flags & EVLIST_INSERTED);
	evc_count_del(base, ev->ev_flags);
	ev->ev_flags &= ~EVLIST_INSERTED;
}

static inline void evc_count_active(struct event_base *base, struct event_callback *evcb)
{
	evc_assert(evcb->evcb_pri < base->nactivequeues);
	evc_count_add(base, evcb->evcb_flags);
	base->event_count_active++;
	evc_raise_max(&base->event_count_active_max, base->event_count_active);
}

static inline void evc_insert_active(struct event_base *base, struct event_callback *evcb)
{
	evc_count_active(base, evcb);
	base->n_activated++;
	evcb->evcb_flags |= EVLIST_ACTIVE;
	TAILQ_INSERT_TAIL(&base->activequeues[evcb->evcb_pri], evcb, evcb_active_next);
}

static inline void evc_remove_active(struct event_base *base, struct event_callback *evcb)
{
	evc_assert(evcb->evcb_flags & EVLIST_ACTIVE);
	evc_count_del(base, evcb->evcb_flags);
	evcb->evcb_flags &= ~EVLIST_ACTIVE;
	base->event_count_active--;
	TAILQ_REMOVE(&base->activequeues[evcb->evcb_pri], evcb, evcb_active_next);
}

#endif
