/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_evthread.c - the lock and condition tables, and lock debugging.
 *
 * What is set here stays set for the process, and much of it is to end the process. So each test is
 * a body that runs in a child of its own; the test proper says how that child must end. The
 * program's tables are played by pthreads, with a book kept of what they were asked for.
 */
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

static void *lock_alloc(unsigned locktype)
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

static void lock_free(void *lock, unsigned locktype)
{
	last_locktype = locktype;
	must(pthread_mutex_destroy(lock) == 0);
	free(lock);
	--locks_alive;
}

static int lock_take(unsigned mode, void *lock)
{
	if (locked_count < LOG_SIZE)
		locked_log[locked_count++] = lock;
	return mode & EVTHREAD_TRY ? pthread_mutex_trylock(lock) : pthread_mutex_lock(lock);
}

static int lock_give(unsigned mode, void *lock)
{
	(void)mode;
	return pthread_mutex_unlock(lock);
}

static int a_cond, last_broadcast = -1;

static void *cond_alloc(unsigned condtype)
{
	must(condtype == 0);
	return &a_cond;
}

static void cond_free(void *cond)
{
	must(cond == &a_cond);
}

static int cond_signal(void *cond, int broadcast)
{
	must(cond == &a_cond);
	last_broadcast = broadcast;
	return 0;
}

/* Gives the lock away and takes it again as a real wait does; answers 1 if there is a time limit.
 */
static int cond_wait(void *cond, void *lock, const struct timeval *tv)
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

static unsigned long thread_id(void)
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

static void use_threads(void)
{
	must(evthread_set_lock_callbacks(&lock_fns) == 0);
	must(evthread_set_condition_callbacks(&cond_fns) == 0);
	evthread_set_id_callback(thread_id);
}

static void use_checked_threads(void)
{
	evthread_enable_lock_debugging();
	use_threads();
}

static void *thread_main(void *fn)
{
	((void (*)(void))(uintptr_t)fn)();
	return NULL;
}

/* Runs fn in another thread, to its end. */
static void in_thread(void (*fn)(void))
{
	pthread_t t;

	must(pthread_create(&t, NULL, thread_main, (void *)(uintptr_t)fn) == 0);
	must(pthread_join(t, NULL) == 0);
}

/* ---- how a child must end */

static int warnings;

static void count_warnings(int severity, const char *msg)
{
	(void)msg;
	warnings += severity == EVENT_LOG_WARN;
}

static void assert_well(void (*body)(void))
{
	struct in_child c = in_child(body);

	ck_assert_msg(
	    c.exit_code == 0, "exit %d, signal %d: %s", c.exit_code, c.signal, c.stderr_text);
}

static void assert_aborts(void (*body)(void))
{
	struct in_child c = in_child(body);

	ck_assert_msg(
	    c.signal == SIGABRT, "exit %d, signal %d: %s", c.exit_code, c.signal, c.stderr_text);
	ck_assert_ptr_nonnull(strstr(c.stderr_text, "[err]"));
}

static void assert_exits(void (*body)(void), int code)
{
	struct in_child c = in_child(body);

	ck_assert_msg(
	    c.exit_code == code, "exit %d, signal %d: %s", c.exit_code, c.signal, c.stderr_text);
	ck_assert_ptr_nonnull(strstr(c.stderr_text, "[err]"));
}

/* ---- without tables */

static void nothing_is_locked(void)
{
	void *lock = &warnings, *cond = &warnings;
	struct timeval tv = {0, 1};

	must(!EVTHREAD_LOCKING_ENABLED());
	EVTHREAD_ALLOC_LOCK(lock, EVTHREAD_LOCKTYPE_RECURSIVE);
	must(!lock);
	EVLOCK_LOCK(lock, 0);
	EVLOCK_ASSERT_LOCKED(lock);
	must(EVLOCK_TRY_LOCK_(lock));
	EVLOCK_UNLOCK(lock, 0);
	EVLOCK_LOCK2(lock, lock, 0, 0);
	EVLOCK_UNLOCK2(lock, lock, 0, 0);
	EVTHREAD_FREE_LOCK(lock, EVTHREAD_LOCKTYPE_RECURSIVE);
	EVTHREAD_ALLOC_COND(cond);
	must(!cond);
	must(EVTHREAD_COND_SIGNAL(cond) == 0);
	must(EVTHREAD_COND_BROADCAST(cond) == 0);
	must(EVTHREAD_COND_WAIT(cond, lock) == 0);
	must(EVTHREAD_COND_WAIT_TIMED(cond, lock, &tv) == 0);
	EVTHREAD_FREE_COND(cond);
}

START_TEST(test_without_tables_nothing_is_locked)
{
	assert_well(nothing_is_locked);
}
END_TEST

static unsigned long seventeen(void)
{
	return 17;
}

static void threads_have_numbers(void)
{
	must(evthread_id_fn_ == NULL);
	must(EVTHREAD_GET_ID() == 1);
	must(evc_thread_is(4711));
	evthread_set_id_callback(seventeen);
	must(evthread_id_fn_ == seventeen);
	must(EVTHREAD_GET_ID() == 17);
	must(evc_thread_is(17));
	must(!evc_thread_is(4711));
	evthread_set_id_callback(NULL);
	must(EVTHREAD_GET_ID() == 1);
}

START_TEST(test_threads_are_told_apart_by_the_id_function)
{
	assert_well(threads_have_numbers);
}
END_TEST

START_TEST(test_the_data_objects_have_the_sizes_of_the_abi)
{
	ck_assert_uint_eq(sizeof(evthread_lock_fns_), 40);
	ck_assert_uint_eq(sizeof(evthread_cond_fns_), 40);
	ck_assert_uint_eq(sizeof(evthread_id_fn_), 8);
	ck_assert_uint_eq(sizeof(evthread_lock_debugging_enabled_), 4);
}
END_TEST

/* ---- setting tables */

static void set_lock_table(void)
{
	must(evthread_set_lock_callbacks(&lock_fns) == 0);
	must(EVTHREAD_LOCKING_ENABLED());
	must(memcmp(&evthread_lock_fns_, &lock_fns, sizeof(lock_fns)) == 0);
	must(evthread_get_lock_callbacks() == &evthread_lock_fns_);
	must(evthread_get_condition_callbacks() == &evthread_cond_fns_);
	must(locks_alive > 0);
}

START_TEST(test_setting_the_lock_table_makes_the_locks_of_the_library)
{
	assert_well(set_lock_table);
}
END_TEST

static void set_lock_table_again(void)
{
	struct evthread_lock_callbacks other = lock_fns;
	int alive;

	use_threads();
	alive = locks_alive;
	event_set_log_callback(count_warnings);
	must(evthread_set_lock_callbacks(&lock_fns) == 0);
	must(warnings == 0);
	other.supported_locktypes = 0;
	must(evthread_set_lock_callbacks(&other) == -1);
	must(warnings == 1);
	must(memcmp(&evthread_lock_fns_, &lock_fns, sizeof(lock_fns)) == 0);
	must(locks_alive == alive);
}

START_TEST(test_the_same_lock_table_is_accepted_and_another_refused)
{
	assert_well(set_lock_table_again);
}
END_TEST

static void set_half_a_lock_table(void)
{
	struct evthread_lock_callbacks half = lock_fns;

	half.unlock = NULL;
	must(evthread_set_lock_callbacks(&half) == -1);
	must(!EVTHREAD_LOCKING_ENABLED());
	must(locks_alive == 0);
	must(evthread_set_lock_callbacks(&lock_fns) == 0);
}

START_TEST(test_an_incomplete_lock_table_is_refused)
{
	assert_well(set_half_a_lock_table);
}
END_TEST

static void take_tables_away(void)
{
	event_set_log_callback(count_warnings);
	must(evthread_set_lock_callbacks(NULL) == 0);
	must(evthread_set_condition_callbacks(NULL) == 0);
	must(warnings == 0);
	use_threads();
	must(evthread_set_lock_callbacks(NULL) == 0);
	must(warnings == 1);
	must(!EVTHREAD_LOCKING_ENABLED());
	must(evthread_set_condition_callbacks(NULL) == 0);
	must(warnings == 2);
	must(!evthread_cond_fns_.wait_condition);
}

START_TEST(test_taking_tables_away_warns_if_they_were_set)
{
	assert_well(take_tables_away);
}
END_TEST

static void fail_to_make_library_locks(void)
{
	event_set_log_callback(count_warnings);
	no_lock_memory = 1;
	must(evthread_set_lock_callbacks(&lock_fns) == -1);
	must(warnings > 0);
}

START_TEST(test_setting_the_lock_table_fails_without_memory_for_the_locks)
{
	assert_well(fail_to_make_library_locks);
}
END_TEST

static void set_condition_table_again(void)
{
	struct evthread_condition_callbacks other = cond_fns;

	use_threads();
	event_set_log_callback(count_warnings);
	must(evthread_set_condition_callbacks(&cond_fns) == 0);
	must(warnings == 0);
	other.condition_api_version = 0;
	must(evthread_set_condition_callbacks(&other) == -1);
	must(warnings == 1);
	must(memcmp(&evthread_cond_fns_, &cond_fns, sizeof(cond_fns)) == 0);
}

START_TEST(test_the_same_condition_table_is_accepted_and_another_refused)
{
	assert_well(set_condition_table_again);
}
END_TEST

static void set_half_a_condition_table(void)
{
	struct evthread_condition_callbacks half = cond_fns;

	half.wait_condition = NULL;
	must(evthread_set_condition_callbacks(&half) == 0);
	must(!evthread_cond_fns_.alloc_condition);
	must(evthread_set_condition_callbacks(&cond_fns) == 0);
	must(evthread_cond_fns_.alloc_condition == cond_alloc);
}

START_TEST(test_an_incomplete_condition_table_is_ignored)
{
	assert_well(set_half_a_condition_table);
}
END_TEST

static void set_lock_table_after_a_base_in_debug_mode(void)
{
	event_debug_mode_on_ = 1;
	event_debug_created_threadable_ctx_ = 1;
	evthread_set_lock_callbacks(&lock_fns);
}

static void set_condition_table_after_a_base_in_debug_mode(void)
{
	event_debug_mode_on_ = 1;
	event_debug_created_threadable_ctx_ = 1;
	evthread_set_condition_callbacks(&cond_fns);
}

static void set_tables_before_a_base_in_debug_mode(void)
{
	event_debug_mode_on_ = 1;
	use_threads();
}

static void set_tables_after_a_base(void)
{
	event_debug_created_threadable_ctx_ = 1;
	use_threads();
}

START_TEST(test_in_debug_mode_the_tables_must_come_before_the_first_base)
{
	assert_exits(set_lock_table_after_a_base_in_debug_mode, 1);
	assert_exits(set_condition_table_after_a_base_in_debug_mode, 1);
	assert_well(set_tables_before_a_base_in_debug_mode);
	assert_well(set_tables_after_a_base);
}
END_TEST

/* ---- using locks */

static void *the_lock;

static void make_the_lock(unsigned locktype)
{
	EVTHREAD_ALLOC_LOCK(the_lock, locktype);
	must(the_lock);
}

static void fail_to_try(void)
{
	must(!EVLOCK_TRY_LOCK_(the_lock));
}

static void succeed_to_try(void)
{
	must(EVLOCK_TRY_LOCK_(the_lock));
	EVLOCK_UNLOCK(the_lock, 0);
}

static void lock_and_try(void)
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

static void lock_and_try_plainly(void)
{
	use_threads();
	lock_and_try();
}

static void lock_and_try_checked(void)
{
	use_checked_threads();
	lock_and_try();
}

START_TEST(test_a_held_lock_cannot_be_had_by_another_thread)
{
	assert_well(lock_and_try_plainly);
	assert_well(lock_and_try_checked);
}
END_TEST

static void lock_two(void)
{
	void *a, *b;

	use_threads();
	EVTHREAD_ALLOC_LOCK(a, 0);
	EVTHREAD_ALLOC_LOCK(b, 0);
	locked_count = 0;
	EVLOCK_LOCK2(a, b, 0, 0);
	EVLOCK_UNLOCK2(a, b, 0, 0);
	EVLOCK_LOCK2(b, a, 0, 0);
	EVLOCK_UNLOCK2(b, a, 0, 0);
	must(locked_count == 4);
	must(locked_log[0] == locked_log[2] && locked_log[1] == locked_log[3]);
	must(locked_log[0] != locked_log[1]);
	EVLOCK_LOCK2(a, a, 0, 0);
	must(locked_count == 5);
	EVLOCK_UNLOCK2(a, a, 0, 0);
	EVLOCK_LOCK2(NULL, b, 0, 0);
	EVLOCK_UNLOCK2(NULL, b, 0, 0);
	must(locked_count == 6 && locked_log[5] == b);
	the_lock = a;
	in_thread(succeed_to_try);
	the_lock = b;
	in_thread(succeed_to_try);
}

START_TEST(test_two_locks_are_taken_in_one_order)
{
	assert_well(lock_two);
}
END_TEST

static void use_condition(void)
{
	struct timeval tv = {0, 1};
	void *cond;

	use_threads();
	make_the_lock(0);
	EVTHREAD_ALLOC_COND(cond);
	must(cond == &a_cond);
	EVLOCK_LOCK(the_lock, 0);
	must(EVTHREAD_COND_SIGNAL(cond) == 0 && last_broadcast == 0);
	must(EVTHREAD_COND_BROADCAST(cond) == 0 && last_broadcast == 1);
	must(EVTHREAD_COND_WAIT(cond, the_lock) == 0);
	must(cond_waited_lock == the_lock);
	must(EVTHREAD_COND_WAIT_TIMED(cond, the_lock, &tv) == 1);
	EVLOCK_UNLOCK(the_lock, 0);
	EVTHREAD_FREE_COND(cond);
}

START_TEST(test_conditions_are_the_programs)
{
	assert_well(use_condition);
}
END_TEST

/* ---- lock debugging: the tables */

static void debug_after_tables(void)
{
	use_threads();
	evthread_enable_lock_debugging();
	must(evthread_lock_debugging_enabled_);
	must(evthread_get_lock_callbacks() != &evthread_lock_fns_);
	must(memcmp(evthread_get_lock_callbacks(), &lock_fns, sizeof(lock_fns)) == 0);
	must(evthread_get_condition_callbacks() != &evthread_cond_fns_);
	must(memcmp(evthread_get_condition_callbacks(), &cond_fns, sizeof(cond_fns)) == 0);
	must(evthread_lock_fns_.alloc != lock_alloc && evthread_lock_fns_.lock != lock_take);
	must(evthread_cond_fns_.alloc_condition == cond_alloc);
	must(evthread_cond_fns_.wait_condition != cond_wait);
}

static void debug_before_tables(void)
{
	struct evthread_lock_callbacks checking;

	evthread_enable_lock_debugging();
	must(EVTHREAD_LOCKING_ENABLED());
	must(!evthread_get_lock_callbacks()->alloc);
	checking = evthread_lock_fns_;
	use_threads();
	must(memcmp(&checking, &evthread_lock_fns_, sizeof(checking)) == 0);
	must(memcmp(evthread_get_lock_callbacks(), &lock_fns, sizeof(lock_fns)) == 0);
	must(memcmp(evthread_get_condition_callbacks(), &cond_fns, sizeof(cond_fns)) == 0);
	must(evthread_cond_fns_.alloc_condition == cond_alloc);
	must(evthread_cond_fns_.signal_condition == cond_signal);
	must(evthread_cond_fns_.wait_condition && evthread_cond_fns_.wait_condition != cond_wait);
	must(evthread_set_lock_callbacks(&lock_fns) == 0);
	must(evthread_set_condition_callbacks(&cond_fns) == 0);
}

START_TEST(test_with_lock_debugging_the_programs_tables_are_still_told)
{
	assert_well(debug_after_tables);
	assert_well(debug_before_tables);
}
END_TEST

static void debug_twice(void)
{
	use_threads();
	evthread_enable_lock_debuging();
	must(evthread_lock_debugging_enabled_);
	evthread_enable_lock_debugging();
	evthread_enable_lock_debuging();
	must(evthread_get_lock_callbacks()->alloc == lock_alloc);
	lock_and_try();
}

START_TEST(test_lock_debugging_is_enabled_once_under_either_spelling)
{
	assert_well(debug_twice);
}
END_TEST

static void debug_again_after_shutdown(void)
{
	use_checked_threads();
	evthreadimpl_disable_lock_debugging_();
	must(!evthread_lock_debugging_enabled_);
	evthread_enable_lock_debugging();
	must(evthread_get_lock_callbacks()->alloc == lock_alloc);
	lock_and_try();
}

START_TEST(test_lock_debugging_can_be_enabled_again_after_it_was_disabled)
{
	assert_well(debug_again_after_shutdown);
}
END_TEST

/* ---- lock debugging: what a checked lock knows */

static void look_into_lock(void)
{
	use_checked_threads();
	make_the_lock(0);
	must(last_locktype == EVTHREAD_LOCKTYPE_RECURSIVE);
	must(!evthread_is_debug_lock_held_(the_lock));
	locked_count = 0;
	EVLOCK_LOCK(the_lock, 0);
	must(evthread_is_debug_lock_held_(the_lock));
	must(locked_count == 1 && locked_log[0] == evthread_debug_get_real_lock_(the_lock));
	must(locked_log[0] != the_lock);
	EVLOCK_UNLOCK(the_lock, 0);
	must(!evthread_is_debug_lock_held_(the_lock));
	EVTHREAD_FREE_LOCK(the_lock, 0);
	must(last_locktype == EVTHREAD_LOCKTYPE_RECURSIVE);
}

START_TEST(test_a_checked_lock_wraps_a_recursive_real_one)
{
	assert_well(look_into_lock);
}
END_TEST

static void see_lock_not_held(void)
{
	must(!evthread_is_debug_lock_held_(the_lock));
}

static void hold_from_one_thread(void)
{
	use_checked_threads();
	make_the_lock(0);
	EVLOCK_LOCK(the_lock, 0);
	in_thread(see_lock_not_held);
	must(evthread_is_debug_lock_held_(the_lock));
	evthread_set_id_callback(NULL);
	must(evthread_is_debug_lock_held_(the_lock));
}

START_TEST(test_a_lock_is_held_only_in_the_eyes_of_its_owner)
{
	assert_well(hold_from_one_thread);
}
END_TEST

static void assert_the_lock_is_held(void)
{
	EVLOCK_ASSERT_LOCKED(the_lock);
}

static void assert_held_when_it_is(void)
{
	use_checked_threads();
	make_the_lock(0);
	EVLOCK_LOCK(the_lock, 0);
	assert_the_lock_is_held();
	the_lock = NULL;
	assert_the_lock_is_held();
}

static void assert_held_when_it_is_not(void)
{
	use_checked_threads();
	make_the_lock(0);
	assert_the_lock_is_held();
}

static void assert_held_by_another(void)
{
	use_checked_threads();
	make_the_lock(0);
	EVLOCK_LOCK(the_lock, 0);
	in_thread(assert_the_lock_is_held);
}

static void assert_held_after_shutdown(void)
{
	use_checked_threads();
	make_the_lock(0);
	evthreadimpl_disable_lock_debugging_();
	assert_the_lock_is_held();
}

START_TEST(test_asserting_a_lock_aborts_unless_this_thread_holds_it)
{
	assert_well(assert_held_when_it_is);
	assert_aborts(assert_held_when_it_is_not);
	assert_aborts(assert_held_by_another);
	assert_well(assert_held_after_shutdown);
}
END_TEST

static void lock_recursive_twice(void)
{
	use_checked_threads();
	make_the_lock(EVTHREAD_LOCKTYPE_RECURSIVE);
	EVLOCK_LOCK(the_lock, 0);
	EVLOCK_LOCK(the_lock, 0);
	EVLOCK_UNLOCK(the_lock, 0);
	assert_the_lock_is_held();
	in_thread(fail_to_try);
	assert_the_lock_is_held();
	EVLOCK_UNLOCK(the_lock, 0);
	see_lock_not_held();
	in_thread(succeed_to_try);
}

static void lock_plain_twice(void)
{
	use_checked_threads();
	make_the_lock(0);
	EVLOCK_LOCK(the_lock, 0);
	EVLOCK_LOCK(the_lock, 0);
}

START_TEST(test_only_a_recursive_lock_may_be_taken_twice)
{
	assert_well(lock_recursive_twice);
	assert_aborts(lock_plain_twice);
}
END_TEST

static void unlock_the_lock(void)
{
	EVLOCK_UNLOCK(the_lock, 0);
}

static void unlock_unlocked(void)
{
	use_checked_threads();
	make_the_lock(0);
	unlock_the_lock();
}

static void unlock_unlocked_without_ids(void)
{
	use_checked_threads();
	evthread_set_id_callback(NULL);
	make_the_lock(0);
	unlock_the_lock();
}

static void unlock_too_often(void)
{
	use_checked_threads();
	make_the_lock(EVTHREAD_LOCKTYPE_RECURSIVE);
	EVLOCK_LOCK(the_lock, 0);
	unlock_the_lock();
	unlock_the_lock();
}

static void unlock_from_another_thread(void)
{
	use_checked_threads();
	make_the_lock(0);
	EVLOCK_LOCK(the_lock, 0);
	in_thread(unlock_the_lock);
}

START_TEST(test_only_the_owner_may_unlock)
{
	assert_aborts(unlock_unlocked);
	assert_aborts(unlock_unlocked_without_ids);
	assert_aborts(unlock_too_often);
	assert_aborts(unlock_from_another_thread);
}
END_TEST

static void free_held(void)
{
	use_checked_threads();
	make_the_lock(0);
	EVLOCK_LOCK(the_lock, 0);
	EVTHREAD_FREE_LOCK(the_lock, 0);
}

static void free_as_another_type(void)
{
	use_checked_threads();
	make_the_lock(0);
	EVTHREAD_FREE_LOCK(the_lock, EVTHREAD_LOCKTYPE_RECURSIVE);
}

START_TEST(test_a_lock_must_be_freed_unheld_and_as_what_it_is)
{
	assert_aborts(free_held);
	assert_aborts(free_as_another_type);
}
END_TEST

/* Nothing that a lock would be: all zero, so neither held nor signed. */
static long no_lock[16];

static void lock_no_lock(void)
{
	use_checked_threads();
	/* The real lock of such a thing is no lock either; a table that would not mind. */
	evthread_get_lock_callbacks()->lock = NULL;
	EVLOCK_LOCK(no_lock, 0);
}

static void unlock_no_lock(void)
{
	use_checked_threads();
	EVLOCK_UNLOCK(no_lock, 0);
}

static void free_no_lock(void)
{
	use_checked_threads();
	EVTHREAD_FREE_LOCK(no_lock, 0);
}

static void wait_with_no_lock(void)
{
	use_checked_threads();
	EVTHREAD_COND_WAIT(&a_cond, no_lock);
}

static void wait_with_null(void)
{
	use_checked_threads();
	EVTHREAD_COND_WAIT(&a_cond, NULL);
}

START_TEST(test_what_bears_no_signature_is_no_lock)
{
	assert_aborts(lock_no_lock);
	assert_aborts(unlock_no_lock);
	assert_aborts(free_no_lock);
	assert_aborts(wait_with_no_lock);
	assert_aborts(wait_with_null);
}
END_TEST

static void lock_plain_for_reading(void)
{
	use_checked_threads();
	make_the_lock(0);
	EVLOCK_LOCK(the_lock, EVTHREAD_READ);
}

static void unlock_plain_for_writing(void)
{
	use_checked_threads();
	make_the_lock(0);
	EVLOCK_LOCK(the_lock, 0);
	EVLOCK_UNLOCK(the_lock, EVTHREAD_WRITE);
}

static void lock_readwrite_without_saying(void)
{
	use_checked_threads();
	make_the_lock(EVTHREAD_LOCKTYPE_READWRITE);
	EVLOCK_LOCK(the_lock, 0);
}

static void lock_readwrite(void)
{
	use_checked_threads();
	make_the_lock(EVTHREAD_LOCKTYPE_READWRITE);
	EVLOCK_LOCK(the_lock, EVTHREAD_WRITE);
	EVLOCK_UNLOCK(the_lock, EVTHREAD_WRITE);
	EVTHREAD_FREE_LOCK(the_lock, EVTHREAD_LOCKTYPE_READWRITE);
}

START_TEST(test_the_mode_must_suit_the_lock)
{
	assert_aborts(lock_plain_for_reading);
	assert_aborts(unlock_plain_for_writing);
	assert_aborts(lock_readwrite_without_saying);
	assert_well(lock_readwrite);
}
END_TEST

static void make_lock_without_memory(void)
{
	use_checked_threads();
	no_lock_memory = 1;
	EVTHREAD_ALLOC_LOCK(the_lock, 0);
	must(!the_lock);
}

static void *no_malloc(size_t sz)
{
	(void)sz;
	return NULL;
}

static void make_wrapper_without_memory(void)
{
	int alive;

	use_checked_threads();
	alive = locks_alive;
	event_set_mem_functions(no_malloc, NULL, NULL);
	EVTHREAD_ALLOC_LOCK(the_lock, 0);
	must(!the_lock);
	must(locks_alive == alive);
}

START_TEST(test_a_checked_lock_that_cannot_be_made_is_null_and_leaves_nothing)
{
	assert_well(make_lock_without_memory);
	assert_well(make_wrapper_without_memory);
}
END_TEST

static void use_lock_made_before_the_tables(void)
{
	evthread_enable_lock_debugging();
	make_the_lock(0);
	must(!evthread_debug_get_real_lock_(the_lock));
	use_threads();
	EVLOCK_LOCK(the_lock, 0);
	assert_the_lock_is_held();
	EVLOCK_UNLOCK(the_lock, 0);
	EVTHREAD_FREE_LOCK(the_lock, 0);
}

START_TEST(test_a_checked_lock_from_before_the_tables_only_keeps_count)
{
	assert_well(use_lock_made_before_the_tables);
}
END_TEST

/* ---- lock debugging: conditions */

static int have_lock_taken_by_another(void)
{
	see_lock_not_held();
	in_thread(succeed_to_try);
	return 1;
}

static void wait_checked(void)
{
	use_checked_threads();
	make_the_lock(0);
	EVLOCK_LOCK(the_lock, 0);
	must(EVTHREAD_COND_WAIT(&a_cond, the_lock) == 0);
	must(cond_waited_lock == evthread_debug_get_real_lock_(the_lock));
	assert_the_lock_is_held();
	during_cond_wait = have_lock_taken_by_another;
	must(EVTHREAD_COND_WAIT(&a_cond, the_lock) == 1);
	assert_the_lock_is_held();
	EVLOCK_UNLOCK(the_lock, 0);
	EVTHREAD_FREE_LOCK(the_lock, 0);
}

START_TEST(test_a_wait_is_given_the_real_lock_and_gives_it_away_meanwhile)
{
	assert_well(wait_checked);
}
END_TEST

static void wait_unheld(void)
{
	use_checked_threads();
	make_the_lock(0);
	EVTHREAD_COND_WAIT(&a_cond, the_lock);
}

START_TEST(test_a_wait_needs_the_lock_held)
{
	assert_aborts(wait_unheld);
}
END_TEST

/* ---- locks of the library as a whole */

static void turn_on_debugging_alone(void)
{
	evthread_enable_lock_debugging();
	the_lock = evthread_setup_global_lock_(NULL, 0, 0);
	must(the_lock);
	must(!evthread_debug_get_real_lock_(the_lock));
	EVLOCK_LOCK(the_lock, 0);
	EVLOCK_UNLOCK(the_lock, 0);
	use_threads();
	must(evthread_setup_global_lock_(the_lock, 0, 1) == the_lock);
	must(evthread_debug_get_real_lock_(the_lock));
	must(last_locktype == EVTHREAD_LOCKTYPE_RECURSIVE);
	in_thread(succeed_to_try);
	EVTHREAD_FREE_LOCK(the_lock, 0);
}

START_TEST(test_a_global_lock_is_first_checked_and_then_filled)
{
	assert_well(turn_on_debugging_alone);
}
END_TEST

static void turn_on_locking_alone(void)
{
	use_threads();
	the_lock = evthread_setup_global_lock_(NULL, 0, 1);
	must(the_lock);
	must(last_locktype == 0);
	in_thread(succeed_to_try);
	EVTHREAD_FREE_LOCK(the_lock, 0);
}

START_TEST(test_a_global_lock_is_the_programs_without_lock_debugging)
{
	assert_well(turn_on_locking_alone);
}
END_TEST

static void turn_on_debugging_over_locking(unsigned locktype)
{
	int alive;

	use_threads();
	the_lock = evthread_setup_global_lock_(NULL, locktype, 1);
	must(the_lock);
	evthread_enable_lock_debugging();
	alive = locks_alive;
	last_locktype = 0;
	the_lock = evthread_setup_global_lock_(the_lock, locktype, 0);
	must(the_lock);
	must(locks_alive == alive);
}

static void wrap_plain(void)
{
	turn_on_debugging_over_locking(0);
	must(last_locktype == EVTHREAD_LOCKTYPE_RECURSIVE);
	in_thread(succeed_to_try);
	EVTHREAD_FREE_LOCK(the_lock, 0);
}

static void wrap_recursive(void)
{
	turn_on_debugging_over_locking(EVTHREAD_LOCKTYPE_RECURSIVE);
	must(last_locktype == 0);
	in_thread(succeed_to_try);
	EVTHREAD_FREE_LOCK(the_lock, EVTHREAD_LOCKTYPE_RECURSIVE);
}

START_TEST(test_a_global_lock_is_wrapped_when_debugging_comes_on)
{
	assert_well(wrap_plain);
	assert_well(wrap_recursive);
}
END_TEST

static void set_up_under_both(void)
{
	use_checked_threads();
	the_lock = evthread_setup_global_lock_(NULL, 0, 1);
	must(the_lock);
	must(evthread_debug_get_real_lock_(the_lock));
	must(evthread_setup_global_lock_(the_lock, 0, 1) == the_lock);
	EVTHREAD_FREE_LOCK(the_lock, 0);
}

static void set_up_without_memory(void)
{
	evthread_enable_lock_debugging();
	the_lock = evthread_setup_global_lock_(NULL, 0, 0);
	use_threads();
	no_lock_memory = 1;
	must(!evthread_setup_global_lock_(the_lock, 0, 1));
}

START_TEST(test_a_global_lock_under_both_is_made_whole_or_not_at_all)
{
	assert_well(set_up_under_both);
	assert_well(set_up_without_memory);
}
END_TEST

/* ---- */

static TCase *tables_tcase(void)
{
	TCase *tc = tcase_create("tables");

	tcase_add_test(tc, test_without_tables_nothing_is_locked);
	tcase_add_test(tc, test_threads_are_told_apart_by_the_id_function);
	tcase_add_test(tc, test_the_data_objects_have_the_sizes_of_the_abi);
	tcase_add_test(tc, test_setting_the_lock_table_makes_the_locks_of_the_library);
	tcase_add_test(tc, test_the_same_lock_table_is_accepted_and_another_refused);
	tcase_add_test(tc, test_an_incomplete_lock_table_is_refused);
	tcase_add_test(tc, test_taking_tables_away_warns_if_they_were_set);
	tcase_add_test(tc, test_setting_the_lock_table_fails_without_memory_for_the_locks);
	tcase_add_test(tc, test_the_same_condition_table_is_accepted_and_another_refused);
	tcase_add_test(tc, test_an_incomplete_condition_table_is_ignored);
	tcase_add_test(tc, test_in_debug_mode_the_tables_must_come_before_the_first_base);
	tcase_add_test(tc, test_a_held_lock_cannot_be_had_by_another_thread);
	tcase_add_test(tc, test_two_locks_are_taken_in_one_order);
	tcase_add_test(tc, test_conditions_are_the_programs);
	return tc;
}

static TCase *debugging_tcase(void)
{
	TCase *tc = tcase_create("lock debugging");

	tcase_add_test(tc, test_with_lock_debugging_the_programs_tables_are_still_told);
	tcase_add_test(tc, test_lock_debugging_is_enabled_once_under_either_spelling);
	tcase_add_test(tc, test_lock_debugging_can_be_enabled_again_after_it_was_disabled);
	tcase_add_test(tc, test_a_checked_lock_wraps_a_recursive_real_one);
	tcase_add_test(tc, test_a_lock_is_held_only_in_the_eyes_of_its_owner);
	tcase_add_test(tc, test_asserting_a_lock_aborts_unless_this_thread_holds_it);
	tcase_add_test(tc, test_only_a_recursive_lock_may_be_taken_twice);
	tcase_add_test(tc, test_only_the_owner_may_unlock);
	tcase_add_test(tc, test_a_lock_must_be_freed_unheld_and_as_what_it_is);
	tcase_add_test(tc, test_what_bears_no_signature_is_no_lock);
	tcase_add_test(tc, test_the_mode_must_suit_the_lock);
	tcase_add_test(tc, test_a_checked_lock_that_cannot_be_made_is_null_and_leaves_nothing);
	tcase_add_test(tc, test_a_checked_lock_from_before_the_tables_only_keeps_count);
	tcase_add_test(tc, test_a_wait_is_given_the_real_lock_and_gives_it_away_meanwhile);
	tcase_add_test(tc, test_a_wait_needs_the_lock_held);
	tcase_add_test(tc, test_a_global_lock_is_first_checked_and_then_filled);
	tcase_add_test(tc, test_a_global_lock_is_the_programs_without_lock_debugging);
	tcase_add_test(tc, test_a_global_lock_is_wrapped_when_debugging_comes_on);
	tcase_add_test(tc, test_a_global_lock_under_both_is_made_whole_or_not_at_all);
	return tc;
}

int main(void)
{
	Suite *s = suite_create("evthread");
	SRunner *sr;
	int failed;

	suite_add_tcase(s, tables_tcase());
	suite_add_tcase(s, debugging_tcase());
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
