/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_evthread.c - the lock and condition tables: setting them, and what is locked by them.
 * (Lock debugging: check_evthread_debug.c.)
 */
#include "thread_tables.h"

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

int main(void)
{
	return run_tcase("evthread", tables_tcase());
}
