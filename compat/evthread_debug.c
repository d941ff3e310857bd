/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * evthread_debug.c - locks that check how they are used.
 *
 * evthread_enable_lock_debugging() puts functions of this file into evthread_lock_fns_, in front of
 * the program's. Each lock made from then on is a struct debug_lock around a real lock; it knows
 * how often it is held and by whom, and misuse ends the process at the line that did it:
 *   - something that is not such a lock, or was one, is locked, unlocked, freed or waited with;
 *   - a lock that is not recursive is taken twice by one thread (the plain lock would hang for
 * ever: that is why the real lock is always a recursive one here);
 *   - a lock is unlocked by a thread that does not hold it, or more often than it was locked;
 *   - a lock is freed while held, or as another type than it was made with;
 *   - a read or write mode is given for a lock that is not a read-write lock, or none for one that
 * is. Owners can only be told apart if the program set an id function.
 *
 * It may be turned on before or after the program sets its own functions. Locks of the library as a
 * whole exist already in the second case and are brought over by evthread_setup_global_lock_().
 * Other locks made before are not: enable it before making anything.
 *
 * Traps: count and held_by belong to whoever holds the real lock, so they are written after taking
 * and before giving it back. A condition wait must be given the real lock, and gives the lock away
 * while it lasts, so the books are closed and opened around it.
 */
#include "evlock.h"

#include "mm.h"

/* In a live lock, and in one that was freed. Any odd numbers will do. */
#define SIGNATURE_LIVE 0x10c4ed01u
#define SIGNATURE_DEAD 0x0dead10cu

struct debug_lock {
	unsigned signature;    /* SIGNATURE_LIVE, or this is no lock */
	unsigned locktype;     /* as asked for; the real lock is recursive besides */
	unsigned long held_by; /* the holder's thread number; 0: nobody, or no id function */
	int count;             /* how often the holder has it */
	void *lock; /* the real lock, owned; NULL: made while the program had no lock functions */
};

/* The program's own tables, while lock debugging is on. */
static struct evthread_lock_callbacks user_lock_fns;
static struct evthread_condition_callbacks user_cond_fns;

struct evthread_lock_callbacks *evthread_get_lock_callbacks(void)
{
	return evthread_lock_debugging_enabled_ ? &user_lock_fns : &evthread_lock_fns_;
}

struct evthread_condition_callbacks *evthread_get_condition_callbacks(void)
{
	return evthread_lock_debugging_enabled_ ? &user_cond_fns : &evthread_cond_fns_;
}

void evthreadimpl_disable_lock_debugging_(void)
{
	evthread_lock_debugging_enabled_ = 0;
}

static void *real_lock_alloc(unsigned locktype)
{
	return user_lock_fns.alloc(locktype | EVTHREAD_LOCKTYPE_RECURSIVE);
}

/* Takes over the real lock, which is freed if there is no memory. */
static struct debug_lock *debug_lock_around(void *real, unsigned locktype)
{
	struct debug_lock *lock = mm_malloc(sizeof(*lock));

	if (!lock) {
		if (real)
			user_lock_fns.free(real, locktype | EVTHREAD_LOCKTYPE_RECURSIVE);
		return NULL;
	}
	*lock = (struct debug_lock){
	    .signature = SIGNATURE_LIVE,
	    .locktype = locktype,
	    .lock = real,
	};
	return lock;
}

static void *debug_lock_alloc(unsigned locktype)
{
	void *real = NULL;

	if (user_lock_fns.alloc) {
		real = real_lock_alloc(locktype);
		if (!real)
			return NULL;
	}
	return debug_lock_around(real, locktype);
}

static void debug_lock_free(void *lock_, unsigned locktype)
{
	struct debug_lock *lock = lock_;

	evc_assert(lock->signature == SIGNATURE_LIVE);
	evc_assert(lock->count == 0);
	evc_assert(lock->locktype == locktype);
	if (lock->lock && user_lock_fns.free)
		user_lock_fns.free(lock->lock, locktype | EVTHREAD_LOCKTYPE_RECURSIVE);
	lock->signature = SIGNATURE_DEAD;
	lock->lock = NULL;
	mm_free(lock);
}

/* EVTHREAD_TRY may come with either kind. */
static void check_mode(const struct debug_lock *lock, unsigned mode)
{
	int rw_lock = (lock->locktype & EVTHREAD_LOCKTYPE_READWRITE) != 0;
	int rw_mode = (mode & (EVTHREAD_READ | EVTHREAD_WRITE)) != 0;

	evc_assert(lock->signature == SIGNATURE_LIVE);
	evc_assert(rw_lock == rw_mode);
}

/* The real lock was just taken. */
static void note_taken(struct debug_lock *lock)
{
	++lock->count;
	if (!(lock->locktype & EVTHREAD_LOCKTYPE_RECURSIVE))
		evc_assert(lock->count == 1);
	if (evthread_id_fn_) {
		unsigned long me = evthread_id_fn_();

		evc_assert(lock->count == 1 || lock->held_by == me);
		lock->held_by = me;
	}
}

/* The real lock is about to be given back. */
static void note_given(struct debug_lock *lock)
{
	if (evthread_id_fn_)
		evc_assert(lock->held_by == evthread_id_fn_());
	evc_assert(lock->count > 0);
	if (--lock->count == 0)
		lock->held_by = 0;
}

static int debug_lock_lock(unsigned mode, void *lock_)
{
	struct debug_lock *lock = lock_;
	int err = 0;

	check_mode(lock, mode);
	if (lock->lock && user_lock_fns.lock)
		err = user_lock_fns.lock(mode, lock->lock);
	if (!err)
		note_taken(lock);
	return err;
}

static int debug_lock_unlock(unsigned mode, void *lock_)
{
	struct debug_lock *lock = lock_;

	check_mode(lock, mode);
	note_given(lock);
	if (lock->lock && user_lock_fns.unlock)
		return user_lock_fns.unlock(mode, lock->lock);
	return 0;
}

static int debug_cond_wait(void *cond, void *lock_, const struct timeval *tv)
{
	struct debug_lock *lock = lock_;
	int r;

	evc_assert(lock);
	check_mode(lock, 0);
	evc_assert(evthread_is_debug_lock_held_(lock));
	note_given(lock);
	r = user_cond_fns.wait_condition(cond, lock->lock, tv);
	note_taken(lock);
	return r;
}

static const struct evthread_lock_callbacks debug_lock_fns = {
    .lock_api_version = EVTHREAD_LOCK_API_VERSION,
    .supported_locktypes = EVTHREAD_LOCKTYPE_RECURSIVE,
    .alloc = debug_lock_alloc,
    .free = debug_lock_free,
    .lock = debug_lock_lock,
    .unlock = debug_lock_unlock,
};

void evthread_enable_lock_debugging(void)
{
	if (evthread_lock_debugging_enabled_)
		return;
	evthread_lock_debugging_enabled_ = 1;
	/* Back after a global shutdown: our functions never left, and must not be taken for the
	 * program's. */
	if (evthread_lock_fns_.alloc == debug_lock_alloc)
		return;
	user_lock_fns = evthread_lock_fns_;
	evthread_lock_fns_ = debug_lock_fns;
	user_cond_fns = evthread_cond_fns_;
	evthread_cond_fns_.wait_condition = debug_cond_wait;
	/* There is nobody to tell, and a lock that could not be made has been warned about. */
	(void)event_global_setup_locks_(0);
}

/* The name as it was first published, with its slip of the pen. */
void evthread_enable_lock_debuging(void)
{
	evthread_enable_lock_debugging();
}

int evthread_is_debug_lock_held_(void *lock_)
{
	const struct debug_lock *lock = lock_;

	if (lock->count == 0)
		return 0;
	return !evthread_id_fn_ || lock->held_by == evthread_id_fn_();
}

void *evthread_debug_get_real_lock_(void *lock_)
{
	const struct debug_lock *lock = lock_;

	return lock->lock;
}

/* Debugging was turned on. A recursive lock can be kept inside; another kind is made anew, as the
 * real lock must be recursive. Nobody may hold it now, which is the caller's promise. */
static void *debugging_came_on(void *lock, unsigned locktype)
{
	if (lock && (locktype & EVTHREAD_LOCKTYPE_RECURSIVE))
		return debug_lock_around(lock, locktype);
	if (lock)
		user_lock_fns.free(lock, locktype);
	return debug_lock_alloc(locktype);
}

/* Locking was turned on while debugging: a lock of ours that is still empty gets its real lock. */
static void *debugged_locking_came_on(struct debug_lock *lock, unsigned locktype)
{
	if (!lock)
		return debug_lock_alloc(locktype);
	evc_assert(lock->signature == SIGNATURE_LIVE);
	evc_assert(lock->locktype == locktype);
	if (!lock->lock)
		lock->lock = real_lock_alloc(locktype);
	if (!lock->lock) {
		lock->signature = SIGNATURE_DEAD;
		mm_free(lock);
		return NULL;
	}
	return lock;
}

void *evthread_setup_global_lock_(void *lock, unsigned locktype, int enable_locks)
{
	if (!enable_locks)
		return debugging_came_on(lock, locktype);
	if (evthread_lock_debugging_enabled_)
		return debugged_locking_came_on(lock, locktype);
	/* There was no locking so far, so there is no lock. */
	evc_assert(!lock);
	return evthread_lock_fns_.alloc(locktype);
}
