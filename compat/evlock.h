/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * evlock.h - how compat/ takes locks, waits for conditions and tells threads apart.
 *
 * The library brings no thread library: a program gives us function tables (evthread_use_pthreads()
 * of libevent_pthreads, or its own), and until then there are no locks at all. So a lock is a void
 * pointer made when its object is made, and NULL means that this object is never locked. An object
 * made before the tables were set stays unlocked for its whole life.
 *
 * evthread_lock_fns_ and evthread_cond_fns_ are data objects of the ABI (40 bytes each): extra and
 * openssl read them, and programs may have them copied into their own image, so they are always
 * reached by name through the GOT and never through an alias.
 *
 * With lock debugging the tables point at evthread_debug.c, and a lock is a struct around the real
 * one. Nobody but that file may look inside a lock.
 */
#ifndef COMPAT_EVLOCK_H
#define COMPAT_EVLOCK_H

#include <stddef.h>
#include <stdint.h>
#include <event2/thread.h>

#include "log.h"

/* The tables in force: the program's own, or the checking ones while lock debugging is on. Every
 * pointer is NULL while there is no locking. */
extern struct evthread_lock_callbacks evthread_lock_fns_;
extern struct evthread_condition_callbacks evthread_cond_fns_;

/* Tells the calling thread's number. NULL: threads cannot be told apart, hence all are "the same".
 */
extern unsigned long (*evthread_id_fn_)(void);

/* True iff evthread_enable_lock_debugging() is in force. */
extern int evthread_lock_debugging_enabled_;

/* Both defined in debug.c. The first is true iff event_enable_debug_mode() was called; the second
 * iff an event_base was ever made. Once both are, setting the tables is refused by ending the
 * process. */
extern int event_debug_mode_on_;
extern int event_debug_created_threadable_ctx_;

/* The program's own tables, also while lock debugging has replaced them. */
struct evthread_lock_callbacks *evthread_get_lock_callbacks(void);
struct evthread_condition_callbacks *evthread_get_condition_callbacks(void);

/* For global shutdown: EVLOCK_ASSERT_LOCKED checks nothing any more. The tables stay as they are,
 * because locks made through them may still be given back. */
void evthreadimpl_disable_lock_debugging_(void);

/* Only valid on locks made while lock debugging is on. Held: by this thread, as far as known. */
int evthread_is_debug_lock_held_(void *lock);
void *evthread_debug_get_real_lock_(void *lock);

/* What a library-wide lock has to become now that locking (enable_locks) or lock debugging (not
 * enable_locks) was just turned on. Takes over lock, returns its successor; NULL: no memory. */
void *evthread_setup_global_lock_(void *lock, unsigned locktype, int enable_locks);

/* Runs every library-wide lock through evthread_setup_global_lock_(). 0, or -1 if one failed. Each
 * part of the library that owns such locks has a function of this kind. */
int event_global_setup_locks_(int enable_locks);

/* For the bodies of those functions: returns -1 out of them when there is no memory. */
#define EVTHREAD_SETUP_GLOBAL_LOCK(lockvar, locktype, enable_locks)                             \
	do {                                                                                    \
		(lockvar) = evthread_setup_global_lock_((lockvar), (locktype), (enable_locks)); \
		if (!(lockvar)) {                                                               \
			event_warn("No memory for the lock %s", #lockvar);                      \
			return -1;                                                              \
		}                                                                               \
	} while (0)

/* True iff lock functions are set, so that a new object will have a lock. */
#define EVTHREAD_LOCKING_ENABLED() (evthread_lock_fns_.lock != NULL)

/* The calling thread's number; 1 if nobody can tell. */
#define EVTHREAD_GET_ID() (evthread_id_fn_ ? evthread_id_fn_() : 1UL)

/* True iff the caller may take itself for the thread whose EVTHREAD_GET_ID() was owner: it is, or
 * threads cannot be told apart. A running loop needs a wake-up iff this is false of its thread. */
static inline int evc_thread_is(unsigned long owner)
{
	return !evthread_id_fn_ || evthread_id_fn_() == owner;
}

/* Sets lockvar to a new lock, or NULL if there is no locking or no memory. */
#define EVTHREAD_ALLOC_LOCK(lockvar, locktype) \
	((lockvar) = evthread_lock_fns_.alloc ? evthread_lock_fns_.alloc(locktype) : NULL)

/* locktype must be the one that the lock was made with. */
#define EVTHREAD_FREE_LOCK(lock, locktype) evc_lock_free((lock), (locktype))

/* mode is 0: no lock of ours is a read-write lock. */
#define EVLOCK_LOCK(lock, mode) evc_lock_take((lock), (mode))
#define EVLOCK_UNLOCK(lock, mode) evc_lock_give((lock), (mode))

/* True iff the lock was free and is ours now; always true where there is no lock. */
#define EVLOCK_TRY_LOCK_(lock) evc_lock_try(lock)

/* Two locks at once, in an order of their own, so that two callers with the arguments swapped
 * cannot wait for each other. Either may be NULL; both may be the same lock, taken once then. */
#define EVLOCK_LOCK2(lock1, lock2, mode1, mode2) \
	evc_lock_take_both((lock1), (lock2), (mode1), (mode2))
#define EVLOCK_UNLOCK2(lock1, lock2, mode1, mode2) \
	evc_lock_give_both((lock1), (lock2), (mode1), (mode2))

/* With lock debugging: dies unless this thread holds the lock. */
#define EVLOCK_ASSERT_LOCKED(lock) \
	evc_assert(                \
	    !evthread_lock_debugging_enabled_ || !(lock) || evthread_is_debug_lock_held_(lock))

/* Sets condvar to a new condition, or NULL if there are none or no memory. */
#define EVTHREAD_ALLOC_COND(condvar) \
	((condvar) =                 \
		evthread_cond_fns_.alloc_condition ? evthread_cond_fns_.alloc_condition(0) : NULL)
#define EVTHREAD_FREE_COND(cond) evc_cond_free(cond)

/* All of these answer 0 where there is no condition. Signalling is done with the lock held. */
#define EVTHREAD_COND_SIGNAL(cond) evc_cond_signal((cond), 0)
#define EVTHREAD_COND_BROADCAST(cond) evc_cond_signal((cond), 1)

/* Called with the lock held exactly once, returns with it held. 0 signalled (or for no reason: test
 * again), 1 after tv ran out, -1 on error. */
#define EVTHREAD_COND_WAIT(cond, lock) evc_cond_wait((cond), (lock), NULL)
#define EVTHREAD_COND_WAIT_TIMED(cond, lock, tv) evc_cond_wait((cond), (lock), (tv))

/* The rest is what the names above stand for. */

static inline void evc_lock_free(void *lock, unsigned locktype)
{
	if (lock && evthread_lock_fns_.free)
		evthread_lock_fns_.free(lock, locktype);
}

static inline void evc_lock_take(void *lock, unsigned mode)
{
	if (lock)
		evthread_lock_fns_.lock(mode, lock);
}

static inline void evc_lock_give(void *lock, unsigned mode)
{
	if (lock)
		evthread_lock_fns_.unlock(mode, lock);
}

static inline int evc_lock_try(void *lock)
{
	if (!lock || !evthread_lock_fns_.lock)
		return 1;
	return evthread_lock_fns_.lock(EVTHREAD_TRY, lock) == 0;
}

static inline void evc_lock_take_both(void *a, void *b, unsigned mode_a, unsigned mode_b)
{
	if (a == b) {
		evc_lock_take(a, mode_a);
	} else if ((uintptr_t)a < (uintptr_t)b) {
		evc_lock_take(a, mode_a);
		evc_lock_take(b, mode_b);
	} else {
		evc_lock_take(b, mode_b);
		evc_lock_take(a, mode_a);
	}
}

static inline void evc_lock_give_both(void *a, void *b, unsigned mode_a, unsigned mode_b)
{
	if (a != b)
		evc_lock_give(b, mode_b);
	evc_lock_give(a, mode_a);
}

static inline void evc_cond_free(void *cond)
{
	if (cond && evthread_cond_fns_.free_condition)
		evthread_cond_fns_.free_condition(cond);
}

static inline int evc_cond_signal(void *cond, int broadcast)
{
	return cond ? evthread_cond_fns_.signal_condition(cond, broadcast) : 0;
}

static inline int evc_cond_wait(void *cond, void *lock, const struct timeval *tv)
{
	return cond ? evthread_cond_fns_.wait_condition(cond, lock, tv) : 0;
}

#endif
