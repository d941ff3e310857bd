/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * evthread.c - the tables through which a program teaches us to lock.
 *
 * A program sets the lock table, the condition table and the thread number once, before it makes
 * anything, mostly by evthread_use_pthreads(). Setting the lock table makes the locks that belong
 * to the library as a whole. From then on new objects have locks. Setting the same table again is
 * harmless (libraries in one program do that); another table is refused with -1, because locks of
 * the first are about. NULL empties a table, with a warning if it was in use.
 *
 * While lock debugging is on, evthread_lock_fns_ holds the checking functions of evthread_debug.c
 * and the program's table is kept there: so what is set or compared here is always the table that
 * evthread_get_*_callbacks() gives.
 *
 * Trap: the data objects are reached by programs and siblings by name. They are only ever assigned.
 */
#include "evlock.h"

#include <string.h>

int evthread_lock_debugging_enabled_;
struct evthread_lock_callbacks evthread_lock_fns_;
struct evthread_condition_callbacks evthread_cond_fns_;
unsigned long (*evthread_id_fn_)(void);

void evthread_set_id_callback(unsigned long (*id_fn)(void))
{
	evthread_id_fn_ = id_fn;
}

/* In debug mode a base that was made too early, and so has no lock, is an error that ends here. */
static void refuse_if_too_late(void)
{
	if (event_debug_mode_on_ && event_debug_created_threadable_ctx_)
		event_errx(1, "Set up threads before making the first event_base");
}

static int same_lock_fns(
    const struct evthread_lock_callbacks *a, const struct evthread_lock_callbacks *b)
{
	return a->lock_api_version == b->lock_api_version &&
	       a->supported_locktypes == b->supported_locktypes && a->alloc == b->alloc &&
	       a->free == b->free && a->lock == b->lock && a->unlock == b->unlock;
}

int evthread_set_lock_callbacks(const struct evthread_lock_callbacks *cbs)
{
	struct evthread_lock_callbacks *fns = evthread_get_lock_callbacks();

	refuse_if_too_late();
	if (!cbs) {
		if (fns->alloc)
			event_warnx("Lock functions taken away while locks may exist");
		memset(fns, 0, sizeof(*fns));
		return 0;
	}
	if (fns->alloc) {
		if (same_lock_fns(fns, cbs))
			return 0;
		event_warnx("Other lock functions are set already; not changed");
		return -1;
	}
	if (!cbs->alloc || !cbs->free || !cbs->lock || !cbs->unlock)
		return -1;
	*fns = *cbs;
	return event_global_setup_locks_(1);
}

static int same_cond_fns(
    const struct evthread_condition_callbacks *a, const struct evthread_condition_callbacks *b)
{
	return a->condition_api_version == b->condition_api_version &&
	       a->alloc_condition == b->alloc_condition && a->free_condition == b->free_condition &&
	       a->signal_condition == b->signal_condition && a->wait_condition == b->wait_condition;
}

/* While lock debugging is on, conditions are the program's but for the wait: it has to find the
 * real lock first, so evthread_cond_fns_ keeps its own wait_condition. */
static void publish_cond_fns(const struct evthread_condition_callbacks *cbs)
{
	evthread_cond_fns_.alloc_condition = cbs->alloc_condition;
	evthread_cond_fns_.free_condition = cbs->free_condition;
	evthread_cond_fns_.signal_condition = cbs->signal_condition;
}

/* Unlike the lock table, an incomplete one is ignored and yet answered with 0: programs may count
 * on that, and without conditions nothing waits. */
int evthread_set_condition_callbacks(const struct evthread_condition_callbacks *cbs)
{
	struct evthread_condition_callbacks *fns = evthread_get_condition_callbacks();

	refuse_if_too_late();
	if (!cbs) {
		if (fns->alloc_condition)
			event_warnx("Condition functions taken away while conditions may exist");
		memset(fns, 0, sizeof(*fns));
		return 0;
	}
	if (fns->alloc_condition) {
		if (same_cond_fns(fns, cbs))
			return 0;
		event_warnx("Other condition functions are set already; not changed");
		return -1;
	}
	if (!cbs->alloc_condition || !cbs->free_condition || !cbs->signal_condition ||
	    !cbs->wait_condition)
		return 0;
	*fns = *cbs;
	if (evthread_lock_debugging_enabled_)
		publish_cond_fns(cbs);
	return 0;
}
