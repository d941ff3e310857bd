/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_evthread_debug.c - lock debugging, and the locks of the library as a whole, which are made
 * before or after it comes on.
 */
#include "thread_tables.h"

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
	return run_tcase("evthread, lock debugging", debugging_tcase());
}
