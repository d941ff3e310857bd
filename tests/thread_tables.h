/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * thread_tables.h - the lock and condition tables of a program, for the tests of what the library
 * does with them.
 *
 * They are played by pthreads, with a book kept of what they were asked for. What is set stays set
 * for the process, and much of it is to end the process: each test is a body that runs in a child
 * of its own, and the test proper says how that child must end.
 */
#ifndef TESTS_THREAD_TABLES_H
#define TESTS_THREAD_TABLES_H

#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "evlock.h"
#include "in_child.h"
#include "mm.h"

/* ---- the program's tables */

#define LOG_SIZE 16

static unsigned last_locktype;     /* of the last alloc or free */
static int locks_alive;            /* allocated and not freed; also those of the library itself */
static int no_lock_memory;         /* true: alloc answers NULL */
static void *locked_log[LOG_SIZE]; /* what lock was called with, in order */
static int locked_count;
static void *cond_waited_lock;        /* the lock that wait was called with */
static int (*during_cond_wait)(void); /* run by wait while the lock is free, tells its answer */

static inline void *lock_alloc(unsigned locktype)
{
	pthread_mutexattr_t attr;
	pthread_mutex_t *m;

	last_locktype = locktype;
	if (no_lock_memory)
		return NULL;
	m = malloc(sizeof(*m));
	must(m);
	pthread_mutexattr_init(&attr);
	if (locktype & EVTHREAD_LOCKTYPE_RECURSIVE)
		pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(m, &attr);
	pthread_mutexattr_destroy(&attr);
	++locks_alive;
	return m;
}

static inline void lock_free(void *lock, unsigned locktype)
{
	last_locktype = locktype;
	must(pthread_mutex_destroy(lock) == 0);
	free(lock);
	--locks_alive;
}

static inline int lock_take(unsigned mode, void *lock)
{
	if (locked_count < LOG_SIZE)
		locked_log[locked_count++] = lock;
	return mode & EVTHREAD_TRY ? pthread_mutex_trylock(lock) : pthread_mutex_lock(lock);
}

static inline int lock_give(unsigned mode, void *lock)
{
	(void)mode;
	return pthread_mutex_unlock(lock);
}

static int a_cond, last_broadcast = -1;

static inline void *cond_alloc(unsigned condtype)
{
	must(condtype == 0);
	return &a_cond;
}

static inline void cond_free(void *cond)
{
	must(cond == &a_cond);
}

static inline int cond_signal(void *cond, int broadcast)
{
	must(cond == &a_cond);
	last_broadcast = broadcast;
	return 0;
}

/* Gives the lock away and takes it again as a real wait does; answers 1 if there is a time limit.
 */
static inline int cond_wait(void *cond, void *lock, const struct timeval *tv)
{
	int r = tv ? 1 : 0;

	must(cond == &a_cond);
	cond_waited_lock = lock;
	must(pthread_mutex_unlock(lock) == 0);
	if (during_cond_wait)
		r = during_cond_wait();
	must(pthread_mutex_lock(lock) == 0);
	return r;
}

static inline unsigned long thread_id(void)
{
	return (unsigned long)pthread_self();
}

static const struct evthread_lock_callbacks lock_fns = {
    EVTHREAD_LOCK_API_VERSION,
    EVTHREAD_LOCKTYPE_RECURSIVE,
    lock_alloc,
    lock_free,
    lock_take,
    lock_give,
};

static const struct evthread_condition_callbacks cond_fns = {
    EVTHREAD_CONDITION_API_VERSION,
    cond_alloc,
    cond_free,
    cond_signal,
    cond_wait,
};

static inline void use_threads(void)
{
	must(evthread_set_lock_callbacks(&lock_fns) == 0);
	must(evthread_set_condition_callbacks(&cond_fns) == 0);
	evthread_set_id_callback(thread_id);
}

static inline void use_checked_threads(void)
{
	evthread_enable_lock_debugging();
	use_threads();
}

static inline void *thread_main(void *fn)
{
	((void (*)(void))(uintptr_t)fn)();
	return NULL;
}

/* Runs fn in another thread, to its end. */
static inline void in_thread(void (*fn)(void))
{
	pthread_t t;

	must(pthread_create(&t, NULL, thread_main, (void *)(uintptr_t)fn) == 0);
	must(pthread_join(t, NULL) == 0);
}

/* ---- how a child must end */

static int warnings;

static inline void count_warnings(int severity, const char *msg)
{
	(void)msg;
	warnings += severity == EVENT_LOG_WARN;
}

static inline void assert_well(void (*body)(void))
{
	struct in_child c = in_child(body);

	ck_assert_msg(
	    c.exit_code == 0, "exit %d, signal %d: %s", c.exit_code, c.signal, c.stderr_text);
}

static inline void assert_aborts(void (*body)(void))
{
	struct in_child c = in_child(body);

	ck_assert_msg(
	    c.signal == SIGABRT, "exit %d, signal %d: %s", c.exit_code, c.signal, c.stderr_text);
	ck_assert_ptr_nonnull(strstr(c.stderr_text, "[err]"));
}

static inline void assert_exits(void (*body)(void), int code)
{
	struct in_child c = in_child(body);

	ck_assert_msg(
	    c.exit_code == code, "exit %d, signal %d: %s", c.exit_code, c.signal, c.stderr_text);
	ck_assert_ptr_nonnull(strstr(c.stderr_text, "[err]"));
}

/* ---- a lock, tried */

static void *the_lock;

static inline void make_the_lock(unsigned locktype)
{
	EVTHREAD_ALLOC_LOCK(the_lock, locktype);
	must(the_lock);
}

static inline void fail_to_try(void)
{
	must(!EVLOCK_TRY_LOCK_(the_lock));
}

static inline void succeed_to_try(void)
{
	must(EVLOCK_TRY_LOCK_(the_lock));
	EVLOCK_UNLOCK(the_lock, 0);
}

static inline void lock_and_try(void)
{
	int alive = locks_alive;

	make_the_lock(0);
	in_thread(succeed_to_try);
	EVLOCK_LOCK(the_lock, 0);
	EVLOCK_ASSERT_LOCKED(the_lock);
	in_thread(fail_to_try);
	EVLOCK_UNLOCK(the_lock, 0);
	in_thread(succeed_to_try);
	EVTHREAD_FREE_LOCK(the_lock, 0);
	must(locks_alive == alive);
}

/* Runs the tests of one tcase; what main() is to return. */
static inline int run_tcase(const char *suite, TCase *tcase)
{
	Suite *s = suite_create(suite);
	SRunner *sr;
	int failed;

	suite_add_tcase(s, tcase);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
