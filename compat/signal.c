/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Signals. The handler counts the signal and wakes the loop of the base that is preferred; the loop
 * turns counts into active events, so no signal is lost however many come, and none is taken while
 * callbacks run: those come with the next turn.
 *
 * A process has one base that gets signals: the one that last added a signal event, or last entered
 * its loop with one. Programs see a plain handler (SA_RESTART, all signals blocked meanwhile) and
 * their own back when the last event of a signal is gone.
 *
 * The handler runs in any thread at any time, also while a base is freed. So it touches nothing but
 * the few static objects here.
 */
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "evmap.h"

static _Atomic int caught[EVC_NSIG];
_Atomic int evc_signal_any;      /* some counter is not 0 */
static _Atomic int wake_fd = -1; /* of the preferred base's engine */
static _Atomic int in_handler;   /* threads that may be about to write to it */

static struct event_base
    *_Atomic preferred; /* NULL: nobody wants signals. Written with the lock. */
static int n_added;     /* of the preferred base */
static void *lock;

static void handler(int sig)
{
	const uint64_t one = 1;
	int saved = errno;
	int fd;

	caught[sig]++;
	evc_signal_any = 1;
	in_handler++;
	fd = wake_fd;
	if (fd >= 0 && write(fd, &one, sizeof(one)) < 0)
		errno = 0; /* EAGAIN: it is readable already */
	in_handler--;
	errno = saved;
}

/* What came while this base was preferred stays its own. */
static void leave_caught(struct event_base *base)
{
	int sig;

	if (!evc_signal_any)
		return;
	evc_signal_any = 0;
	for (sig = 1; sig < EVC_NSIG; sig++)
		base->sig.left[sig] += atomic_exchange(&caught[sig], 0);
	base->sig.any_left = 1;
	evu_engine_wake(base->engine);
}

static void prefer_locked(struct event_base *base)
{
	struct event_base *old = preferred;

	if (old && old != base)
		leave_caught(old);
	preferred = base;
	n_added = base->sig.n_added;
	wake_fd = evu_engine_wake_fd(base->engine);
}

void evc_signal_prefer(struct event_base *base)
{
	EVLOCK_LOCK(lock, 0);
	prefer_locked(base);
	EVLOCK_UNLOCK(lock, 0);
}

/* The descriptor is about to be closed, and its number may soon be another file's: no handler may
 * be on its way to it. (A child that was forked while another thread was in the handler counts that
 * one for ever: hence the bound.) */
static void wait_for_handlers(void)
{
	int i;

	for (i = 0; i < 100000 && in_handler > 0; i++)
		sched_yield();
}

static void forget_caught(void)
{
	int sig;

	evc_signal_any = 0;
	for (sig = 0; sig < EVC_NSIG; sig++)
		caught[sig] = 0;
}

void evc_signal_forked(struct event_base *base)
{
	if (preferred != base)
		return;
	in_handler = 0;
	forget_caught();
	wake_fd = evu_engine_wake_fd(base->engine);
}

static int install(struct event_base *base, int sig)
{
	struct sigaction sa = {.sa_handler = handler, .sa_flags = SA_RESTART};
	struct sigaction *old = mm_malloc(sizeof(*old));

	if (!old) {
		event_warn("event_add: no memory for signal %d", sig);
		return -1;
	}
	sigfillset(&sa.sa_mask);
	if (sigaction(sig, &sa, old) < 0) {
		event_warn("sigaction");
		mm_free(old);
		return -1;
	}
	base->sig.old[sig] = old;
	return 0;
}

static void count(struct event_base *base, int n)
{
	EVLOCK_LOCK(lock, 0);
	base->sig.n_added += n;
	if (preferred == base)
		n_added = base->sig.n_added;
	EVLOCK_UNLOCK(lock, 0);
}

int evc_signal_catch(struct event_base *base, int sig)
{
	EVLOCK_LOCK(lock, 0);
	if (preferred != base && n_added > 0)
		event_warnx("event_base %p gets a signal event while event_base %p has some: only "
			    "one can have "
			    "signals at a time, the one that added last or entered its loop last",
		    (void *)base, (void *)preferred);
	base->sig.n_added++;
	prefer_locked(base);
	EVLOCK_UNLOCK(lock, 0);
	if (install(base, sig) < 0) {
		count(base, -1);
		return -1;
	}
	return 0;
}

int evc_signal_release(struct event_base *base, int sig)
{
	struct sigaction *old = base->sig.old[sig];
	int r = 0;

	count(base, -1);
	base->sig.old[sig] = NULL;
	if (!old)
		return 0;
	if (sigaction(sig, old, NULL) < 0) {
		event_warn("sigaction");
		r = -1;
	}
	mm_free(old);
	return r;
}

bool evc_signal_pending(const struct event_base *base)
{
	return (evc_signal_any && preferred == base) || base->sig.any_left;
}

/* How often a signal came for this base since it was asked last. */
static int take(struct event_base *base, int sig)
{
	int n = base->sig.left[sig];

	base->sig.left[sig] = 0;
	if (preferred == base && caught[sig])
		n += atomic_exchange(&caught[sig], 0);
	return n;
}

void evc_signal_collect(struct event_base *base)
{
	int sig, n[EVC_NSIG];

	if (!evc_signal_pending(base))
		return;
	EVLOCK_LOCK(lock, 0);
	if (preferred == base)
		evc_signal_any = 0;
	base->sig.any_left = 0;
	for (sig = 1; sig < EVC_NSIG; sig++)
		n[sig] = take(base, sig);
	EVLOCK_UNLOCK(lock, 0);
	for (sig = 1; sig < EVC_NSIG; sig++)
		if (n[sig])
			evc_sig_active(base, sig, n[sig]);
}

void evc_signal_fini(struct event_base *base)
{
	int sig;

	for (sig = 0; sig < EVC_NSIG; sig++)
		if (base->sig.old[sig])
			evc_signal_release(base, sig);
	EVLOCK_LOCK(lock, 0);
	if (preferred == base) {
		wake_fd = -1;
		preferred = NULL;
		n_added = 0;
		forget_caught();
	}
	EVLOCK_UNLOCK(lock, 0);
	wait_for_handlers();
}

int evc_signal_setup_locks(int enable_locks)
{
	EVTHREAD_SETUP_GLOBAL_LOCK(lock, 0, enable_locks);
	return 0;
}

void evc_signal_free_globals(void)
{
	EVTHREAD_FREE_LOCK(lock, 0);
	lock = NULL;
}
