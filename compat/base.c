/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bases: made, freed, taken over by a forked child.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "debug.h"
#include "evbuffer.h"
#include "evmap.h"
#include "stream.h"
#include "timeout.h"

_Static_assert(offsetof(struct event_base, abi.ev_signal_pair) == 168, "where stock has it");
_Static_assert(offsetof(struct event_base, abi.th_notify_fd) == 500, "where stock has it");
_Static_assert(sizeof(struct event) == 128 && sizeof(struct event_callback) == 40, "Debian's ABI");

static void base_lock(void *arg)
{
	struct event_base *base = arg;

	EVBASE_LOCK(base);
}

static void base_unlock(void *arg)
{
	struct event_base *base = arg;

	EVBASE_UNLOCK(base);
}

static void base_settled(void *arg)
{
	struct event_base *base = arg;

	if (base->settle_waiters)
		EVTHREAD_COND_BROADCAST(base->settled_cond);
}

/* The parent's signals and wake-ups are the parent's. */
static void base_forked(void *arg)
{
	struct event_base *base = arg;

	base->is_notify_pending = 0;
	evc_signal_forked(base);
}

static void engine_forked(void *base)
{
	base_forked(base);
	evc_stage_forked(base);
}

/* The buffers that the kernel receives into are chains of evbuffers from the start. */
static void *block_new(void *arg, bool bulk)
{
	struct evbuffer_chain *block = bulk ? evc_bulk_new() : evc_block_new();

	(void)arg;
	return block ? block->buffer : NULL;
}

static void block_free(void *arg, void *data)
{
	(void)arg;
	evc_block_free(evc_block_of(data));
}

_Static_assert(EVC_BLOCK_SIZE == EVU_BLOCK_SIZE && EVC_BULK_SIZE == EVU_BULK_SIZE,
    "a block has room for what the engine receives");

#define DATA_HOOKS                                                                      \
	.arrived = evc_stream_arrived, .sent = evc_stream_sent, .block_new = block_new, \
	.block_free = block_free

static const struct evu_hooks threaded_hooks = {
    .lock = base_lock,
    .unlock = base_unlock,
    .ready = evc_io_ready,
    .settled = base_settled,
    .forked = engine_forked,
    DATA_HOOKS,
};

static const struct evu_hooks hooks = {
    .ready = evc_io_ready,
    .forked = engine_forked,
    DATA_HOOKS,
};

/* The engine's memory is the program's: see mem.h. */
const struct evu_mem evu_mem = {
    .alloc = event_mm_malloc_,
    .zalloc = event_mm_calloc_,
    .realloc = event_mm_realloc_,
    .free = event_mm_free_,
};

static void base_configure(struct event_base *base, const struct event_config *cfg)
{
	bool look;

	base->max_dispatch_time.tv_sec = -1;
	base->max_dispatch_callbacks = INT_MAX;
	base->limit_callbacks_after_prio = 1;
	if (cfg) {
		base->flags = (enum event_base_config_flag)cfg->flags;
		base->max_dispatch_time = cfg->max_dispatch_interval;
		base->max_dispatch_callbacks = cfg->max_dispatch_callbacks;
		base->limit_callbacks_after_prio = cfg->limit_callbacks_after_prio;
	}
	if (base->max_dispatch_callbacks == INT_MAX && base->max_dispatch_time.tv_sec == -1)
		base->limit_callbacks_after_prio = INT_MAX;
	look = !(base->flags & EVENT_BASE_FLAG_IGNORE_ENV);
	if (look && evutil_getenv_("EVENT_PRECISE_TIMER"))
		base->flags |= EVENT_BASE_FLAG_PRECISE_TIMER;
	if (look && evutil_getenv_("EVENT_EPOLL_USE_CHANGELIST"))
		base->flags |= EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST;
}

/* How long to look before sleeping, in ns. */
static int64_t spin_asked_for(const struct event_base *base)
{
	const char *us =
	    base->flags & EVENT_BASE_FLAG_IGNORE_ENV ? NULL : evutil_getenv_("EVENT_URING_SPIN");

	long n = us ? strtol(us, NULL, 10) : 0;

	return n <= 0 ? 0 : n < EVU_SPIN_MOST / 1000 ? n * INT64_C(1000) : EVU_SPIN_MOST;
}

/* The fields that are not zero at first. */
static void base_init(struct event_base *base)
{
	base->abi.ev_signal_pair[0] = base->abi.ev_signal_pair[1] = -1;
	base->abi.th_notify_fd[0] = base->abi.th_notify_fd[1] = -1;
	base->event_running_priority = -1;
	base->fresh_fd = -1;
	TAILQ_INIT(&base->active_later_queue);
	LIST_INIT(&base->once_events);
	evu_link_init(&base->to_send);
	evc_stage_init(base);
	evu_heap_init(&base->timeheap, event_mm_realloc_, event_mm_free_);
	evutil_configure_monotonic_time_(&base->monotonic_timer, EV_MONOT_PRECISE);
	base->clock_diff_at_us = INT64_MIN / 2;
	(void)evc_now(base);
}

/* Locks, if the program uses threads and this base is not said to stay in one. */
static int base_init_threads(struct event_base *base)
{
	if (!__atomic_load_n(&event_debug_created_threadable_ctx_, __ATOMIC_RELAXED))
		__atomic_store_n(&event_debug_created_threadable_ctx_, 1, __ATOMIC_RELAXED);
	if (!EVTHREAD_LOCKING_ENABLED() || base->flags & EVENT_BASE_FLAG_NOLOCK)
		return 0;
	EVTHREAD_ALLOC_LOCK(base->th_base_lock, EVTHREAD_LOCKTYPE_RECURSIVE);
	EVTHREAD_ALLOC_COND(base->current_event_cond);
	EVTHREAD_ALLOC_COND(base->settled_cond);
	return base->th_base_lock ? 0 : -1;
}

static int base_open(struct event_base *base, const struct event_config *cfg)
{
	const struct evu_hooks *h = base->th_base_lock ? &threaded_hooks : &hooks;
	int rc = evu_engine_new(&base->engine, evc_config_methods(cfg), h, base);

	if (rc < 0) {
		event_warnx("event_base_new: no event mechanism available: %s", strerror(-rc));
		return -1;
	}
	evu_engine_spin(base->engine, spin_asked_for(base));
	evc_block_store_open();
	if (evutil_getenv_("EVENT_SHOW_METHOD"))
		event_msgx("libevent using: %s", event_base_get_method(base));
	return 0;
}

struct event_base *event_base_new_with_config(const struct event_config *cfg)
{
	struct event_base *base;

	evc_debug_started();
	base = mm_calloc(1, sizeof(*base));
	if (!base) {
		event_warn("event_base_new: calloc");
		return NULL;
	}
	base_configure(base, cfg);
	base_init(base);
	if (base_init_threads(base) < 0 || base_open(base, cfg) < 0 ||
	    event_base_priority_init(base, 1) < 0) {
		event_base_free(base);
		return NULL;
	}
	return base;
}

struct event_base *event_base_new(void)
{
	struct event_config *cfg = event_config_new();
	struct event_base *base;

	if (!cfg)
		return NULL;
	base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	return base;
}

/* Takes a callback off its queue, and runs it if it is a finalizer. 1 if it was the program's. */
static int cancel_callback(
    struct event_base *base, struct event_callback *evcb, bool run_finalizers)
{
	bool internal = evcb->evcb_flags & EVLIST_INIT && evcb->evcb_flags & EVLIST_INTERNAL;

	EVBASE_LOCK(base);
	event_callback_cancel_nolock_(base, evcb, 1);
	EVBASE_UNLOCK(base);
	if (run_finalizers && evcb->evcb_flags & EVLIST_FINALIZING)
		evc_run_finalizer(evcb);
	return !internal;
}

/* Finalizers may schedule more: called until it returns 0. */
static int empty_queues(struct event_base *base, bool run_finalizers)
{
	struct event_callback *evcb;
	int i, n = 0;

	for (i = 0; i < base->nactivequeues; i++)
		while ((evcb = TAILQ_FIRST(&base->activequeues[i])))
			n += cancel_callback(base, evcb, run_finalizers);
	while ((evcb = TAILQ_FIRST(&base->active_later_queue)))
		n += cancel_callback(base, evcb, run_finalizers);
	return n;
}

static void free_onces(struct event_base *base)
{
	struct event_once *once;

	while ((once = LIST_FIRST(&base->once_events))) {
		LIST_REMOVE(once, next_once);
		evc_debug_note_teardown(&once->ev);
		mm_free(once);
	}
}

static void base_free(struct event_base *base, bool run_finalizers)
{
	int n = 0, more;

	if (!base)
		base = event_global_current_base_;
	if (!base) {
		event_warnx("event_base_free: no base to free");
		return;
	}
	EVBASE_LOCK(base);
	if (base->engine)
		n = evc_map_delete_all(base);
	n += evc_timeout_delete_all(base);
	if (base->engine) {
		evc_stage_base_ends(base);
		evc_settle(base);
	}
	EVBASE_UNLOCK(base);
	while ((more = empty_queues(base, run_finalizers)))
		n += more;
	if (n)
		event_debug("event_base_free: %d events were still in the base", n);
	free_onces(base);
	evc_timeout_fini(base);
	evc_signal_fini(base);
	base->to_settle =
	    false; /* some programs free events after their base, and get away with it */
	if (base->engine) {
		evc_map_forget_streams(base);
		evu_engine_free(base->engine);
		evc_block_store_close();
	}
	evc_map_fini(base);
	if (base->activequeues)
		mm_free(base->activequeues);
	EVTHREAD_FREE_LOCK(base->th_base_lock, EVTHREAD_LOCKTYPE_RECURSIVE);
	EVTHREAD_FREE_COND(base->current_event_cond);
	EVTHREAD_FREE_COND(base->settled_cond);
	/* Finalizers may still have asked for it. */
	if (base == event_global_current_base_)
		event_global_current_base_ = NULL;
	mm_free(base);
}

void event_base_free(struct event_base *base)
{
	base_free(base, true);
}

void event_base_free_nofinalize(struct event_base *base)
{
	base_free(base, false);
}

/* Works in any process and is needed in none: a child's engine finds out by itself. It is the
 * chance to learn of errors. */
int event_reinit(struct event_base *base)
{
	int rc;

	EVBASE_LOCK(base);
	base_forked(base);
	rc = evu_engine_reinit(base->engine);
	if (base->sig.n_added)
		evc_signal_prefer(base);
	EVBASE_UNLOCK(base);
	return rc < 0 ? -1 : 0;
}

void evc_notify(struct event_base *base)
{
	EVBASE_ASSERT_LOCKED(base);
	if (base->is_notify_pending)
		return;
	base->is_notify_pending = 1;
	evu_engine_wake(base->engine);
}

void evc_settle_now(struct event_base *base)
{
	struct evu_engine *e = base->engine;

	base->to_settle = false;
	if (!evu_engine_unsettled(e) || evu_engine_settle(e))
		return;
	/* The loop's thread sleeps: it needs no lock but the one that waiting gives up, and comes
	 * here first. */
	while (base->settled_cond && evu_engine_asleep(e) && evu_engine_unsettled(e)) {
		evu_engine_wake(e);
		base->settle_waiters++;
		EVTHREAD_COND_WAIT(base->settled_cond, base->th_base_lock);
		base->settle_waiters--;
	}
}

/* Every base is: the wake-up descriptor is made with the base. */
int evthread_make_base_notifiable(struct event_base *base)
{
	return base ? 0 : -1;
}

const char *event_base_get_method(const struct event_base *base)
{
	enum evu_method m;

	evc_assert(base);
	m = evu_engine_method(base->engine);
	if (m == EVU_EPOLL && base->flags & EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST)
		return "epoll (with changelist)";
	return evu_method_name(m);
}

int event_base_get_features(const struct event_base *base)
{
	return evc_method_features(evu_engine_method(base->engine));
}

int event_base_priority_init(struct event_base *base, int npriorities)
{
	struct evcallback_list *queues;
	int i, r = -1;

	EVBASE_LOCK(base);
	if (base->event_count_active || npriorities < 1 || npriorities >= EVENT_MAX_PRIORITIES)
		goto out;
	r = 0;
	if (npriorities == base->nactivequeues)
		goto out;
	queues = mm_calloc((size_t)npriorities, sizeof(*queues));
	if (!queues) {
		event_warn("event_base_priority_init: calloc");
		r = -1;
		goto out;
	}
	for (i = 0; i < npriorities; i++)
		TAILQ_INIT(&queues[i]);
	if (base->activequeues)
		mm_free(base->activequeues);
	base->activequeues = queues;
	base->nactivequeues = npriorities;
out:
	EVBASE_UNLOCK(base);
	return r;
}

int event_base_get_npriorities(struct event_base *base)
{
	int n;

	if (!base)
		base = event_global_current_base_;
	EVBASE_LOCK(base);
	n = base->nactivequeues;
	EVBASE_UNLOCK(base);
	return n;
}

int event_base_get_num_events(struct event_base *base, unsigned flags)
{
	int n = 0;

	EVBASE_LOCK(base);
	if (flags & EVENT_BASE_COUNT_ACTIVE)
		n += base->event_count_active;
	if (flags & EVENT_BASE_COUNT_VIRTUAL)
		n += base->virtual_event_count;
	if (flags & EVENT_BASE_COUNT_ADDED)
		n += base->event_count;
	EVBASE_UNLOCK(base);
	return n;
}

static int read_max(int *max, int clear)
{
	int n = *max;

	if (clear)
		*max = 0;
	return n;
}

int event_base_get_max_events(struct event_base *base, unsigned flags, int clear)
{
	int n = 0;

	EVBASE_LOCK(base);
	if (flags & EVENT_BASE_COUNT_ACTIVE)
		n += read_max(&base->event_count_active_max, clear);
	if (flags & EVENT_BASE_COUNT_VIRTUAL)
		n += read_max(&base->virtual_event_count_max, clear);
	if (flags & EVENT_BASE_COUNT_ADDED)
		n += read_max(&base->event_count_max, clear);
	EVBASE_UNLOCK(base);
	return n;
}

struct event *event_base_get_running_event(struct event_base *base)
{
	struct event *ev = NULL;

	EVBASE_LOCK(base);
	if (evc_in_loop_thread(base) && base->current_event &&
	    base->current_event->evcb_flags & EVLIST_INIT)
		ev = evc_event_of(base->current_event);
	EVBASE_UNLOCK(base);
	return ev;
}

const char *event_get_version(void)
{
	return "2.1.12-stable";
}

ev_uint32_t event_get_version_number(void)
{
	return 0x02010c00;
}

/* Completion ports are another system's; the sister libraries' tests ask for them. */
int event_base_start_iocp_(struct event_base *base, int n_cpus)
{
	(void)base;
	(void)n_cpus;
	return -1;
}

void event_base_stop_iocp_(struct event_base *base)
{
	(void)base;
}

int event_global_setup_locks_(int enable_locks)
{
	if (evc_debug_setup_locks(enable_locks) < 0 || evc_signal_setup_locks(enable_locks) < 0 ||
	    evutil_global_setup_locks_(enable_locks) < 0 ||
	    evutil_secure_rng_global_setup_locks_(enable_locks) < 0)
		return -1;
	return 0;
}

void libevent_global_shutdown(void)
{
	event_disable_debug_mode();
	evc_debug_free_globals();
	evc_signal_free_globals();
	evutil_free_globals_();
}
