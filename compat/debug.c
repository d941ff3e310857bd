/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table of debug mode: open addressing over event addresses, kept at most half full, with its
 * own lock. It trusts nothing that is written in an event.
 */
#include <fcntl.h>

#include "debug.h"

int event_debug_mode_on_;
int event_debug_created_threadable_ctx_;

struct entry {
	const struct event *ev; /* NULL: free. An address stays where it is until the table grows */
	bool live;              /* it is assigned; most addresses come back */
	bool added;
};

static struct entry *table;
static size_t cap;    /* a power of two */
static size_t used;   /* entries that are not free */
static size_t n_live; /* those of them that are live */
static void *lock;
static _Atomic bool too_late;

void evc_debug_started(void)
{
	if (!too_late)
		too_late = true;
}

/* The place of an address, or the free place where it would go. There is always a free one. */
static struct entry *place(const struct event *ev)
{
	size_t i = (((uintptr_t)ev >> 4) * 0x9e3779b97f4a7c15u >> 20) & (cap - 1);

	while (table[i].ev && table[i].ev != ev)
		i = (i + 1) & (cap - 1);
	return &table[i];
}

/* NULL unless it is assigned. */
static struct entry *find(const struct event *ev)
{
	struct entry *e = cap ? place(ev) : NULL;

	return e && e->live ? e : NULL;
}

/* A new table, without the addresses that are not live; larger only if those that are need it. */
static void rebuild(void)
{
	struct entry *old = table;
	size_t i, old_cap = cap;

	if (cap == 0)
		cap = 64;
	else if (n_live > cap / 4)
		cap *= 2;
	table = mm_calloc(cap, sizeof(*table));
	if (!table)
		event_err(1, "debug mode: out of memory");
	used = 0;
	for (i = 0; i < old_cap; i++)
		if (old[i].live) {
			*place(old[i].ev) = old[i];
			used++;
		}
	if (old)
		mm_free(old);
}

void evc_debug_note_setup(const struct event *ev)
{
	struct entry *e;

	evc_debug_started();
	if (!event_debug_mode_on_)
		return;
	EVLOCK_LOCK(lock, 0);
	if ((used + 1) * 2 > cap)
		rebuild();
	e = place(ev);
	used += !e->ev;
	n_live += !e->live;
	*e = (struct entry){.ev = ev, .live = true};
	EVLOCK_UNLOCK(lock, 0);
}

void evc_debug_note_teardown(const struct event *ev)
{
	struct entry *e;

	if (!event_debug_mode_on_)
		return;
	EVLOCK_LOCK(lock, 0);
	e = find(ev);
	if (e) {
		e->live = e->added = false;
		n_live--;
	}
	EVLOCK_UNLOCK(lock, 0);
}

static void die(const struct event *ev, const char *func, const char *why)
{
	event_errx(EVENT_ERR_ABORT_, "%s: %s %p (events: 0x%x, fd: %d, flags: 0x%x)", func, why,
	    (const void *)ev, (unsigned)ev->ev_events, ev->ev_fd, (unsigned)ev->ev_flags);
}

void evc_debug_added(const struct event *ev, bool added)
{
	struct entry *e;

	EVLOCK_LOCK(lock, 0);
	e = find(ev);
	if (e)
		e->added = added;
	else
		die(ev, added ? "event_add" : "event_del",
		    "called on an event that was never set up:");
	EVLOCK_UNLOCK(lock, 0);
}

void evc_debug_is_setup(const struct event *ev, const char *func)
{
	EVLOCK_LOCK(lock, 0);
	if (!find(ev))
		die(ev, func, "called on a non-initialized event");
	EVLOCK_UNLOCK(lock, 0);
}

void evc_debug_is_not_added(const struct event *ev, const char *func)
{
	const struct entry *e;

	EVLOCK_LOCK(lock, 0);
	e = find(ev);
	if (e && e->added)
		die(ev, func, "called on an already added event");
	EVLOCK_UNLOCK(lock, 0);
}

void evc_debug_is_nonblocking(evutil_socket_t fd, const char *func)
{
	int flags;

	if (fd < 0)
		return;
	flags = fcntl(fd, F_GETFL);
	if (flags >= 0 && !(flags & O_NONBLOCK))
		event_errx(EVENT_ERR_ABORT_, "%s: fd %d is not non-blocking", func, fd);
}

void event_enable_debug_mode(void)
{
	if (event_debug_mode_on_)
		event_errx(1, "event_enable_debug_mode was called twice");
	if (too_late)
		event_errx(1, "event_enable_debug_mode must be called before any event or "
			      "event_base is made");
	event_debug_mode_on_ = 1;
}

void event_disable_debug_mode(void)
{
	EVLOCK_LOCK(lock, 0);
	if (table)
		mm_free(table);
	table = NULL;
	cap = used = n_live = 0;
	event_debug_mode_on_ = 0;
	EVLOCK_UNLOCK(lock, 0);
}

int evc_debug_setup_locks(int enable_locks)
{
	EVTHREAD_SETUP_GLOBAL_LOCK(lock, 0, enable_locks);
	return 0;
}

void evc_debug_free_globals(void)
{
	if (!lock)
		return;
	EVTHREAD_FREE_LOCK(lock, 0);
	lock = NULL;
	evthreadimpl_disable_lock_debugging_();
}
