/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The event_base: what the files of the event room share.
 *
 * One lock per base (NULL without threads), held whenever a field is looked at. It is given up in
 * two places only: while the engine sleeps, and while a callback of the program runs. Functions
 * whose names end in nolock_ expect it held, and so do all evc_ functions here, unless they say
 * otherwise.
 *
 * Life of an event, as flags: INIT after event_assign; INSERTED while its fd or signal is watched;
 * TIMEOUT while its deadline is in the heap or in a common list; ACTIVE or ACTIVE_LATER while its
 * callback waits to be run; FINALIZING from event_finalize on. Each of INSERTED, TIMEOUT and ACTIVE
 * counts one in event_count, unless the event is INTERNAL.
 */
#ifndef COMPAT_BASE_H
#define COMPAT_BASE_H

#include <sys/queue.h>
#include <sys/time.h>

#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/util.h>

#include "engine.h"
#include "evlock.h"
#include "evutil_priv.h"
#include "log.h"
#include "mm.h"
#include "signal.h"

/* Names of struct event's parts. */
#define ev_flags ev_evcallback.evcb_flags
#define ev_closure ev_evcallback.evcb_closure
#define ev_pri ev_evcallback.evcb_pri
#define ev_callback ev_evcallback.evcb_cb_union.evcb_callback
#define ev_arg ev_evcallback.evcb_arg
#define ev_io_next ev_.ev_io.ev_io_next
#define ev_io_timeout ev_.ev_io.ev_timeout /* the interval of a persistent timeout */
#define ev_signal_next ev_.ev_signal.ev_signal_next
#define ev_ncalls ev_.ev_signal.ev_ncalls
#define ev_pncalls ev_.ev_signal.ev_pncalls
#define ev_heap_pos ev_timeout_pos.min_heap_idx /* -1: not in the heap */
#define ev_common_next ev_timeout_pos.ev_next_with_common_timeout

/* What a callback is, and so how it is run. The numbers are part of the ABI: sister libraries fill
 * them in. */
enum evc_closure {
	EV_CLOSURE_EVENT,
	EV_CLOSURE_EVENT_SIGNAL,
	EV_CLOSURE_EVENT_PERSIST,
	EV_CLOSURE_CB_SELF,
	EV_CLOSURE_CB_FINALIZE,
	EV_CLOSURE_EVENT_FINALIZE,
	EV_CLOSURE_EVENT_FINALIZE_FREE,
};

#define EVC_IO (EV_READ | EV_WRITE | EV_CLOSED)

/* `blocking` of event_del_nolock_. */
enum evc_del {
	EVENT_DEL_NOBLOCK,            /* never waits for a callback that another thread runs */
	EVENT_DEL_BLOCK,              /* waits */
	EVENT_DEL_AUTOBLOCK,          /* waits unless the event has EV_FINALIZE */
	EVENT_DEL_EVEN_IF_FINALIZING, /* for event_base_free */
};

#define EVENT_MAX_PRIORITIES 256

TAILQ_HEAD(evcallback_list, event_callback);

/* Events that share one timeout value wait in a queue, in order; the queue's own event waits in the
 * heap for its first. */
struct evc_common {
	struct event_list events;
	struct timeval duration; /* with the magic that tells it from an ordinary timeval */
	struct event timer;      /* internal */
	struct event_base *base;
};

struct event_once {
	LIST_ENTRY(event_once) next_once;
	struct event ev;
	void (*cb)(evutil_socket_t, short, void *);
	void *arg;
};

struct evc_fd;
struct evc_fd_slab;

/* Maps fds to what is watched of them. Slots are made at the first add and kept until the base is
 * freed. */
struct evc_fdmap {
	struct evc_fd **slots;
	int len;
	struct evc_fd_slab *slabs; /* where they lie; the first one has unused ones at its end */
	int n_used;                /* in the first one */
};

struct evc_sigmap {
	struct event_dlist events[EVC_NSIG]; /* per signal */
	int nevents;
};

/*
 * Two members of stock's struct event_base are looked at by programs that were built with its
 * private header (its own tests among them): the signal pipe's descriptors and those of the
 * notification. This library has neither; they find -1 there.
 */
struct evc_abi {
	char unused_a[168];
	int ev_signal_pair[2];
	char unused_b[324];
	int th_notify_fd[2];
};

struct bufferevent;

struct event_base {
	struct evc_abi abi;

	struct evu_engine *engine;

	int virtual_event_count;
	int virtual_event_count_max;
	int event_count;
	int event_count_max;
	int event_count_active; /* callbacks on all active queues and the later queue, internal ones
				   too */
	int event_count_active_max;

	unsigned n_activated; /* callbacks that became active, ever */

	int event_gotterm;  /* loopexit: leave before the next turn */
	int event_break;    /* loopbreak: leave after this callback */
	int event_continue; /* loopcontinue, or something more urgent came: a new turn after this
			       callback */
	int event_running_priority; /* -1 when no callbacks are being run */
	int running_loop;
	evutil_socket_t fresh_fd; /* accepted just now, and being told to the program; or -1 */
	bool to_settle;           /* an fd was dropped: evc_settle has something to look at */
	int n_deferreds_queued;   /* deferred callbacks made active in this turn */

	struct evcallback_list *activequeues; /* [nactivequeues], most urgent first */
	int nactivequeues;
	struct evcallback_list active_later_queue;

	struct evc_common **commons;
	int n_commons;
	int cap_commons;

	struct evc_fdmap io;
	struct evu_link to_send; /* streams that have something to send, or think so */
	struct evu_link staged;  /* see bufferevent_stage.c */
	struct {
		void (*writecb)(struct bufferevent *, void *); /* evhttp's; NULL: not seen yet */
		void (*other)(struct bufferevent *, void *);   /* the last one that is not */
		unsigned n_judged;
		struct event_base *outside; /* this one's loop is run in a callback of that one's */
	} stage;
	struct evc_sigmap sigmap;
	struct evc_sigs sig;

	struct evu_heap timeheap;     /* keys in us of the monotonic clock; may be earlier than
					 ev_timeout, never later */
	int64_t now_us;               /* the cached time; 0: none */
	struct timeval now_tv;        /* the same, where there is one */
	bool quick;                   /* there is one, no lock, and no debug mode */
	struct timeval tv_clock_diff; /* wall clock minus monotonic clock */
	int64_t clock_diff_at_us;     /* when that was last looked at */
	struct evutil_monotonic_timer monotonic_timer;

	unsigned long th_owner_id; /* thread that runs the loop */
	void *th_base_lock;
	void *current_event_cond; /* the running callback is over */
	int current_event_waiters;
	void *settled_cond; /* the loop's thread woke up */
	int settle_waiters;
	int is_notify_pending;
	struct event_callback *current_event; /* being run; NULL while finalizers run */

	enum event_base_config_flag flags;
	struct timeval max_dispatch_time; /* tv_sec -1: no limit */
	int max_dispatch_callbacks;
	int limit_callbacks_after_prio;

	LIST_HEAD(once_event_list, event_once) once_events;
};

extern struct event_base *event_global_current_base_;

#define EVBASE_LOCK(base) EVLOCK_LOCK((base)->th_base_lock, 0)
#define EVBASE_UNLOCK(base) EVLOCK_UNLOCK((base)->th_base_lock, 0)
#define EVBASE_ASSERT_LOCKED(base) EVLOCK_ASSERT_LOCKED((base)->th_base_lock)

static inline bool evc_in_loop_thread(const struct event_base *base)
{
	return evc_thread_is(base->th_owner_id);
}

/* True iff another thread runs the loop and may be asleep. */
static inline bool evc_must_notify(const struct event_base *base)
{
	return base->running_loop && !evc_in_loop_thread(base);
}

/* True iff it waits for nothing, and is not about to run: deleting it changes nothing. */
static inline bool evc_callback_rests(const struct event_callback *evcb)
{
	const short busy = EVLIST_TIMEOUT | EVLIST_INSERTED | EVLIST_ACTIVE | EVLIST_ACTIVE_LATER;

	return !(evcb->evcb_flags & busy);
}

static inline struct event *evc_event_of(struct event_callback *evcb)
{
	return evu_container_of(evcb, struct event, ev_evcallback);
}

/* base.c */
/* Wakes the loop, at most once a turn. */
void evc_notify(struct event_base *base);
/* What was deleted leaves the kernel before this returns, unless the loop's thread is busy with
 * callbacks: then it leaves as soon as those are done. May give up the lock for a moment if another
 * thread runs the loop. */
void evc_settle_now(struct event_base *base);
static inline void evc_settle(struct event_base *base)
{
	if (base->to_settle)
		evc_settle_now(base);
}

/* queue.c; see also queue.h */
/* The short way of event_active_nolock_, for an event of an fd, by the loop's own thread. */
void evc_activate_io(struct event_base *base, struct event *ev, short res);
void evc_remove_active_later(struct event_base *base, struct event_callback *evcb);
void evc_later_to_active(struct event_base *base);
int event_callback_activate_nolock_(struct event_base *base, struct event_callback *evcb);
int event_callback_activate_later_nolock_(struct event_base *base, struct event_callback *evcb);
int event_callback_activate_(struct event_base *base, struct event_callback *evcb);
void event_callback_init_(struct event_base *base, struct event_callback *evcb);
int event_callback_cancel_(struct event_base *base, struct event_callback *evcb);
int event_callback_cancel_nolock_(
    struct event_base *base, struct event_callback *evcb, int even_if_finalizing);

/* event.c */
int event_add_nolock_(struct event *ev, const struct timeval *tv, int tv_is_absolute);
int event_del_nolock_(struct event *ev, int blocking);
void event_active_nolock_(struct event *ev, int res, short ncalls);
void event_active_later_(struct event *ev, int res);
void event_active_later_nolock_(struct event *ev, int res);
int event_remove_timer_nolock_(struct event *ev);
/* Waits until another thread has run the callback of ev, if it is running it now. */
void evc_wait_callback(struct event_base *base, struct event *ev);

/* finalize.c */
void event_callback_finalize_nolock_(struct event_base *base, unsigned flags,
    struct event_callback *evcb, void (*cb)(struct event_callback *, void *));
void event_callback_finalize_(struct event_base *base, unsigned flags, struct event_callback *evcb,
    void (*cb)(struct event_callback *, void *));
int event_callback_finalize_many_(struct event_base *base, int n_cbs, struct event_callback **evcbs,
    void (*cb)(struct event_callback *, void *));
/* Runs one finalizer. Takes the callback off base->current_event; called without the lock. */
void evc_run_finalizer(struct event_callback *evcb);

/* deferred.c */
typedef void (*deferred_cb_fn)(struct event_callback *, void *);
void event_deferred_cb_init_(
    struct event_callback *cb, ev_uint8_t priority, deferred_cb_fn fn, void *arg);
void event_deferred_cb_set_priority_(struct event_callback *cb, ev_uint8_t priority);
void event_deferred_cb_cancel_(struct event_base *base, struct event_callback *cb);
int event_deferred_cb_schedule_(struct event_base *base, struct event_callback *cb);
void event_base_add_virtual_(struct event_base *base);
void event_base_del_virtual_(struct event_base *base);

/* inspect.c */
int event_base_foreach_event_nolock_(
    struct event_base *base, event_base_foreach_event_cb fn, void *arg);
void event_base_assert_ok_(struct event_base *base);
void event_base_assert_ok_nolock_(struct event_base *base);

#endif
