/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_ratelim.c - the arithmetic of token buckets: ticks, filling, taking, and the corners where
 * numbers end. What bufferevents make of it is in diff_ratelim.c; here are only the corners in
 * which stock fails.
 */
#include <check.h>
#include <limits.h>
#include <stdlib.h>

#include "bufferevent_ratelim.h"
#include "timeout.h"

/* Reads 10 a tick and up to 100, writes 20 a tick and up to 50. */
static struct ev_token_bucket_cfg *cfg;
static struct ev_token_bucket bucket;

static struct ev_token_bucket_cfg *of_ms(long ms)
{
	struct timeval tick = {ms / 1000, ms % 1000 * 1000};

	return ev_token_bucket_cfg_new(10, 100, 20, 50, &tick);
}

static void setup(void)
{
	cfg = of_ms(1000);
	ck_assert_ptr_nonnull(cfg);
	ev_token_bucket_init_(&bucket, cfg, 1000, 0);
}

static void teardown(void)
{
	ev_token_bucket_cfg_free(cfg);
}

static void replace_cfg(size_t read_rate, size_t read_burst, const struct timeval *tick)
{
	ev_token_bucket_cfg_free(cfg);
	cfg = ev_token_bucket_cfg_new(read_rate, read_burst, 20, 50, tick);
	ck_assert_ptr_nonnull(cfg);
}

#define ASSERT_BUCKET(reads, writes, tick)                              \
	do {                                                            \
		ck_assert_int_eq(bucket.read_limit, reads);             \
		ck_assert_int_eq(bucket.write_limit, writes);           \
		ck_assert_uint_eq(bucket.last_updated, (unsigned)tick); \
	} while (0)

/* ---- configurations ---- */

START_TEST(test_rates_are_at_least_one_and_at_most_the_burst)
{
	ck_assert_ptr_null(ev_token_bucket_cfg_new(0, 1, 1, 1, NULL));
	ck_assert_ptr_null(ev_token_bucket_cfg_new(1, 1, 0, 1, NULL));
	ck_assert_ptr_null(ev_token_bucket_cfg_new(2, 1, 1, 1, NULL));
	ck_assert_ptr_null(ev_token_bucket_cfg_new(1, 1, 2, 1, NULL));
	replace_cfg(1, 1, NULL);
}
END_TEST

START_TEST(test_the_largest_burst_is_that_of_the_signed_type)
{
	size_t most = EV_RATE_LIMIT_MAX;

	ck_assert_ptr_null(ev_token_bucket_cfg_new(1, most + 1, 1, 1, NULL));
	ck_assert_ptr_null(ev_token_bucket_cfg_new(1, 1, 1, most + 1, NULL));
	ck_assert_ptr_null(ev_token_bucket_cfg_new(SIZE_MAX, SIZE_MAX, 1, 1, NULL));
	replace_cfg(most, most, NULL);
	ev_token_bucket_init_(&bucket, cfg, 0, 0);
	ck_assert_int_eq(bucket.read_limit, EV_SSIZE_MAX);
}
END_TEST

START_TEST(test_a_tick_is_a_second_unless_given)
{
	replace_cfg(1, 1, NULL);
	ck_assert_uint_eq(cfg->msec_per_tick, 1000);
	ck_assert_int_eq(cfg->tick_timeout.tv_sec, 1);
}
END_TEST

START_TEST(test_fractions_of_a_millisecond_do_not_count)
{
	struct timeval tick = {2, 3999};

	replace_cfg(1, 1, &tick);
	ck_assert_uint_eq(cfg->msec_per_tick, 2003);
	ck_assert_int_eq(cfg->tick_timeout.tv_usec, 3999);
}
END_TEST

START_TEST(test_a_tick_without_a_millisecond_is_refused)
{
	static const struct timeval bad[] = {
	    {0, 0}, {0, 999}, {-1, 0}, {-1, 999999}, {0, -1}, {LONG_MIN, 0}};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_ptr_null(ev_token_bucket_cfg_new(1, 1, 1, 1, &bad[i]));
}
END_TEST

START_TEST(test_a_tick_that_is_too_long_to_count_is_the_longest)
{
	static const struct timeval longest[] = {
	    {4294968, 0}, {LONG_MAX / 1000, 0}, {LONG_MAX, 999999}, {4294967, 296000}};

	for (size_t i = 0; i < sizeof(longest) / sizeof(longest[0]); i++) {
		replace_cfg(1, 1, &longest[i]);
		ck_assert_uint_eq(cfg->msec_per_tick, UINT_MAX);
	}
}
END_TEST

START_TEST(test_a_tick_may_be_a_common_timeout)
{
	struct timeval tick = {1, 500000 | EVC_COMMON_MAGIC | 7 << EVC_COMMON_IDX_SHIFT};

	replace_cfg(1, 1, &tick);
	ck_assert_uint_eq(cfg->msec_per_tick, 1500);
	ck_assert_int_eq(cfg->tick_timeout.tv_usec, tick.tv_usec);
}
END_TEST

/* ---- ticks ---- */

START_TEST(test_ticks_are_counted_from_the_epoch_and_rounded_down)
{
	struct ev_token_bucket_cfg *quarter = of_ms(250);
	struct timeval at = {10, 749999};

	ck_assert_uint_eq(ev_token_bucket_get_tick_(&at, cfg), 10);
	ck_assert_uint_eq(ev_token_bucket_get_tick_(&at, quarter), 42);
	at.tv_usec++;
	ck_assert_uint_eq(ev_token_bucket_get_tick_(&at, quarter), 43);
	ev_token_bucket_cfg_free(quarter);
}
END_TEST

START_TEST(test_the_number_of_a_tick_wraps_around)
{
	struct ev_token_bucket_cfg *ms = of_ms(1);
	struct timeval at = {4294967, 295999};

	ck_assert_uint_eq(ev_token_bucket_get_tick_(&at, ms), UINT_MAX);
	at.tv_usec++;
	ck_assert_uint_eq(ev_token_bucket_get_tick_(&at, ms), 0);
	ev_token_bucket_cfg_free(ms);
}
END_TEST

/* ---- filling ---- */

START_TEST(test_a_new_bucket_holds_what_one_tick_brings)
{
	ASSERT_BUCKET(10, 20, 1000);
}
END_TEST

START_TEST(test_every_tick_adds_the_rate_up_to_the_maximum)
{
	ck_assert_int_eq(ev_token_bucket_update_(&bucket, cfg, 1001), 1);
	ASSERT_BUCKET(20, 40, 1001);
	ck_assert_int_eq(ev_token_bucket_update_(&bucket, cfg, 1002), 1);
	ASSERT_BUCKET(30, 50, 1002);
	ck_assert_int_eq(ev_token_bucket_update_(&bucket, cfg, 1009), 1);
	ASSERT_BUCKET(100, 50, 1009);
	ck_assert_int_eq(ev_token_bucket_update_(&bucket, cfg, 1010), 1);
	ASSERT_BUCKET(100, 50, 1010);
}
END_TEST

START_TEST(test_the_same_tick_adds_nothing)
{
	ck_assert_int_eq(ev_token_bucket_update_(&bucket, cfg, 1000), 0);
	ASSERT_BUCKET(10, 20, 1000);
}
END_TEST

START_TEST(test_ticks_go_on_over_the_end_of_their_numbers)
{
	bucket.last_updated = UINT_MAX;
	ck_assert_int_eq(ev_token_bucket_update_(&bucket, cfg, 1), 1);
	ASSERT_BUCKET(30, 50, 1);
}
END_TEST

START_TEST(test_a_debt_is_paid_tick_by_tick)
{
	bucket.read_limit = -25;
	ev_token_bucket_update_(&bucket, cfg, 1001);
	ck_assert_int_eq(bucket.read_limit, -15);
	ev_token_bucket_update_(&bucket, cfg, 1003);
	ck_assert_int_eq(bucket.read_limit, 5);
}
END_TEST

START_TEST(test_more_than_the_maximum_is_cut_at_the_next_tick)
{
	bucket.read_limit = 1000;
	bucket.write_limit = EV_SSIZE_MAX;
	ev_token_bucket_update_(&bucket, cfg, 1001);
	ASSERT_BUCKET(100, 50, 1001);
}
END_TEST

START_TEST(test_the_largest_rate_and_the_most_ticks_do_not_overflow)
{
	replace_cfg(EV_RATE_LIMIT_MAX, EV_RATE_LIMIT_MAX, NULL);
	bucket.read_limit = EV_SSIZE_MIN;
	ev_token_bucket_update_(&bucket, cfg, 1001);
	ck_assert_int_eq(bucket.read_limit, -1);
	bucket.read_limit = EV_SSIZE_MIN;
	bucket.last_updated = 0;
	ev_token_bucket_update_(&bucket, cfg, INT_MAX);
	ck_assert_int_eq(bucket.read_limit, EV_SSIZE_MAX);
	bucket.read_limit = 1;
	bucket.last_updated = 0;
	ev_token_bucket_update_(&bucket, cfg, 1);
	ck_assert_int_eq(bucket.read_limit, EV_SSIZE_MAX);
}
END_TEST

START_TEST(test_the_smallest_rate_pays_the_largest_debt_slowly)
{
	replace_cfg(1, 1, NULL);
	bucket.read_limit = EV_SSIZE_MIN;
	bucket.last_updated = 0;
	ev_token_bucket_update_(&bucket, cfg, INT_MAX);
	ck_assert_int_eq(bucket.read_limit, EV_SSIZE_MIN + INT_MAX);
}
END_TEST

/* ---- a clock that goes back ---- */

START_TEST(test_a_clock_that_trembles_is_waited_for)
{
	ck_assert_int_eq(ev_token_bucket_update_(&bucket, cfg, 999), 0);
	ASSERT_BUCKET(10, 20, 1000);
	ck_assert_int_eq(ev_token_bucket_update_(&bucket, cfg, 998), 0);
	ASSERT_BUCKET(10, 20, 1000);
}
END_TEST

START_TEST(test_a_clock_that_was_set_back_is_followed)
{
	ck_assert_int_eq(ev_token_bucket_update_(&bucket, cfg, 900), 0);
	ASSERT_BUCKET(10, 20, 900);
	ck_assert_int_eq(ev_token_bucket_update_(&bucket, cfg, 901), 1);
	ASSERT_BUCKET(20, 40, 901);
}
END_TEST

START_TEST(test_more_ticks_than_can_be_counted_are_a_new_beginning)
{
	bucket.last_updated = 0;
	ck_assert_int_eq(ev_token_bucket_update_(&bucket, cfg, (unsigned)INT_MAX + 1), 0);
	ASSERT_BUCKET(10, 20, (unsigned)INT_MAX + 1);
}
END_TEST

START_TEST(test_trembling_is_measured_in_time_and_not_in_ticks)
{
	ev_token_bucket_cfg_free(cfg);
	cfg = of_ms(1);
	bucket.last_updated = 5000;
	ev_token_bucket_update_(&bucket, cfg, 3999);
	ASSERT_BUCKET(10, 20, 5000);
	ev_token_bucket_update_(&bucket, cfg, 3998);
	ASSERT_BUCKET(10, 20, 3998);
}
END_TEST

/* ---- another configuration ---- */

START_TEST(test_initializing_again_only_cuts)
{
	ev_token_bucket_init_(&bucket, cfg, 2000, 1);
	ASSERT_BUCKET(10, 20, 1000);
	bucket.read_limit = 101;
	bucket.write_limit = -7;
	ev_token_bucket_init_(&bucket, cfg, 2000, 1);
	ASSERT_BUCKET(100, -7, 1000);
	bucket.write_limit = EV_SSIZE_MAX;
	ev_token_bucket_init_(&bucket, cfg, 2000, 1);
	ASSERT_BUCKET(100, 50, 1000);
}
END_TEST

START_TEST(test_initializing_for_the_first_time_forgets_what_was)
{
	bucket.read_limit = -1000;
	bucket.write_limit = 1000;
	ck_assert_int_eq(ev_token_bucket_init_(&bucket, cfg, 2000, 0), 0);
	ASSERT_BUCKET(10, 20, 2000);
}
END_TEST

/* ---- taking ---- */

START_TEST(test_taking_may_leave_a_debt)
{
	ck_assert_int_eq(evc_bucket_take(&bucket, false, 15), -5);
	ck_assert_int_eq(evc_bucket_take(&bucket, true, 20), 0);
	ASSERT_BUCKET(-5, 0, 1000);
}
END_TEST

START_TEST(test_taking_less_than_nothing_gives)
{
	ck_assert_int_eq(evc_bucket_take(&bucket, false, -1000), 1010);
	ck_assert_int_eq(evc_bucket_take(&bucket, true, -1), 21);
}
END_TEST

START_TEST(test_taking_and_giving_stop_at_the_ends_of_the_type)
{
	ck_assert_int_eq(evc_bucket_take(&bucket, false, EV_SSIZE_MIN), EV_SSIZE_MAX);
	ck_assert_int_eq(evc_bucket_take(&bucket, false, -1), EV_SSIZE_MAX);
	evc_bucket_take(&bucket, true, EV_SSIZE_MAX);
	ck_assert_int_eq(evc_bucket_take(&bucket, true, EV_SSIZE_MAX), EV_SSIZE_MIN);
	ck_assert_int_eq(evc_bucket_take(&bucket, true, 1), EV_SSIZE_MIN);
}
END_TEST

/* ---- ticks of another length, with the clock running ---- */

/* The numbers of ticks are other ones then; stock compares them all the same, and waits for weeks.
 */
enum { TICK_MS = 20, BOUND_S = 20 };
static const struct timeval weeks = {40 * 86400, 0};

static struct event_base *base;

static void wake_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

static void live_setup(void)
{
	struct timeval tick = {0, TICK_MS * 1000L};

	base = event_base_new();
	ck_assert_ptr_nonnull(base);
	cfg = ev_token_bucket_cfg_new(100, 100, 100, 100, &tick);
	ck_assert_ptr_nonnull(cfg);
}

static void live_teardown(void)
{
	event_base_free(base);
	ev_token_bucket_cfg_free(cfg);
}

static struct ev_token_bucket_cfg *slow_cfg(void)
{
	struct ev_token_bucket_cfg *slow = ev_token_bucket_cfg_new(100, 100, 100, 100, &weeks);

	ck_assert_ptr_nonnull(slow);
	return slow;
}

/* Turns the loop until the limit that `get` reads off `of` is 100 again; how long that took, in
 * milliseconds. */
static int64_t ms_until_full(ev_ssize_t (*get)(void *), void *of)
{
	struct timeval bound = {BOUND_S, 0}, tick = cfg->tick_timeout, start, now;
	struct event *wake = event_new(base, -1, EV_PERSIST, wake_cb, NULL);

	ck_assert_int_eq(event_add(wake, &tick), 0);
	evutil_gettimeofday(&start, NULL);
	do {
		event_base_loop(base, EVLOOP_ONCE);
		evutil_gettimeofday(&now, NULL);
		evutil_timersub(&now, &start, &now);
	} while (get(of) < 100 && evutil_timercmp(&now, &bound, <));
	event_free(wake);
	ck_assert_int_eq(get(of), 100);
	return evutil_tv_to_msec_(&now);
}

static ev_ssize_t limit_of_group(void *group)
{
	return bufferevent_rate_limit_group_get_read_limit(group);
}

static ev_ssize_t limit_of_bufferevent(void *bev)
{
	return bufferevent_get_read_limit(bev);
}

START_TEST(test_a_group_in_debt_recovers_by_its_new_ticks)
{
	struct ev_token_bucket_cfg *slow = slow_cfg();
	struct bufferevent_rate_limit_group *group = bufferevent_rate_limit_group_new(base, slow);

	ck_assert_ptr_nonnull(group);
	bufferevent_rate_limit_group_decrement_read(group, 1000);
	ck_assert_int_eq(bufferevent_rate_limit_group_set_cfg(group, cfg), 0);
	ck_assert_int_ge(ms_until_full(limit_of_group, group), 8 * TICK_MS);
	bufferevent_rate_limit_group_free(group);
	ev_token_bucket_cfg_free(slow);
}
END_TEST

START_TEST(test_a_bufferevent_in_debt_recovers_by_its_new_ticks)
{
	struct ev_token_bucket_cfg *slow = slow_cfg();
	struct bufferevent *bev = bufferevent_socket_new(base, -1, 0);

	ck_assert_ptr_nonnull(bev);
	ck_assert_int_eq(bufferevent_set_rate_limit(bev, slow), 0);
	bufferevent_decrement_read_limit(bev, 1000);
	ck_assert_int_eq(bufferevent_set_rate_limit(bev, cfg), 0);
	ck_assert_int_ge(ms_until_full(limit_of_bufferevent, bev), 8 * TICK_MS);
	bufferevent_free(bev);
	ev_token_bucket_cfg_free(slow);
}
END_TEST

/* Nobody counts references to a configuration, and stock does not look at the old one either. */
START_TEST(test_the_former_configuration_may_be_gone_already)
{
	struct bufferevent *bev = bufferevent_socket_new(base, -1, 0);
	struct ev_token_bucket_cfg *former = slow_cfg(), *next = slow_cfg();

	ck_assert_int_eq(bufferevent_set_rate_limit(bev, former), 0);
	bufferevent_decrement_read_limit(bev, 1000);
	ev_token_bucket_cfg_free(former);
	ck_assert_int_eq(bufferevent_set_rate_limit(bev, next), 0);
	ck_assert_int_eq(bufferevent_get_read_limit(bev), -900);
	ck_assert_ptr_eq(bufferevent_get_token_bucket_cfg(bev), next);
	bufferevent_free(bev);
	ev_token_bucket_cfg_free(next);
}
END_TEST

/* Stock takes the group's lock through a null pointer. */
START_TEST(test_joining_no_group_is_leaving)
{
	struct bufferevent *bev = bufferevent_socket_new(base, -1, 0);
	struct bufferevent_rate_limit_group *group = bufferevent_rate_limit_group_new(base, cfg);

	bufferevent_add_to_rate_limit_group(bev, group);
	ck_assert_int_eq(bufferevent_get_max_to_read(bev), 100);
	ck_assert_int_eq(bufferevent_add_to_rate_limit_group(bev, NULL), 0);
	ck_assert_int_eq(bufferevent_get_max_to_read(bev), 16384);
	bufferevent_rate_limit_group_free(group);
	bufferevent_free(bev);
}
END_TEST

/* A share of nothing would be read as the end of the stream. */
START_TEST(test_a_share_is_never_nothing_while_there_is_something)
{
	struct bufferevent *bev[2] = {
	    bufferevent_socket_new(base, -1, 0), bufferevent_socket_new(base, -1, 0)};
	struct ev_token_bucket_cfg *slow = slow_cfg();
	struct bufferevent_rate_limit_group *group = bufferevent_rate_limit_group_new(base, slow);

	bufferevent_rate_limit_group_set_min_share(group, 0);
	for (int i = 0; i < 2; i++)
		bufferevent_add_to_rate_limit_group(bev[i], group);
	bufferevent_rate_limit_group_decrement_read(group, 99);
	ck_assert_int_eq(bufferevent_get_max_to_read(bev[0]), 1);
	bufferevent_rate_limit_group_decrement_read(group, 1);
	ck_assert_int_eq(bufferevent_get_max_to_read(bev[0]), 0);
	for (int i = 0; i < 2; i++) {
		bufferevent_remove_from_rate_limit_group(bev[i]);
		bufferevent_free(bev[i]);
	}
	bufferevent_rate_limit_group_free(group);
	ev_token_bucket_cfg_free(slow);
}
END_TEST

static TCase *tcase(const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, setup, teardown);
	return tc;
}

static void add_cfg(Suite *suite)
{
	TCase *tc = tcase("configuration");

	tcase_add_test(tc, test_rates_are_at_least_one_and_at_most_the_burst);
	tcase_add_test(tc, test_the_largest_burst_is_that_of_the_signed_type);
	tcase_add_test(tc, test_a_tick_is_a_second_unless_given);
	tcase_add_test(tc, test_fractions_of_a_millisecond_do_not_count);
	tcase_add_test(tc, test_a_tick_without_a_millisecond_is_refused);
	tcase_add_test(tc, test_a_tick_that_is_too_long_to_count_is_the_longest);
	tcase_add_test(tc, test_a_tick_may_be_a_common_timeout);
	tcase_add_test(tc, test_ticks_are_counted_from_the_epoch_and_rounded_down);
	tcase_add_test(tc, test_the_number_of_a_tick_wraps_around);
	suite_add_tcase(suite, tc);
}

static void add_bucket(Suite *suite)
{
	TCase *tc = tcase("bucket");

	tcase_add_test(tc, test_a_new_bucket_holds_what_one_tick_brings);
	tcase_add_test(tc, test_every_tick_adds_the_rate_up_to_the_maximum);
	tcase_add_test(tc, test_the_same_tick_adds_nothing);
	tcase_add_test(tc, test_ticks_go_on_over_the_end_of_their_numbers);
	tcase_add_test(tc, test_a_debt_is_paid_tick_by_tick);
	tcase_add_test(tc, test_more_than_the_maximum_is_cut_at_the_next_tick);
	tcase_add_test(tc, test_the_largest_rate_and_the_most_ticks_do_not_overflow);
	tcase_add_test(tc, test_the_smallest_rate_pays_the_largest_debt_slowly);
	tcase_add_test(tc, test_a_clock_that_trembles_is_waited_for);
	tcase_add_test(tc, test_a_clock_that_was_set_back_is_followed);
	tcase_add_test(tc, test_more_ticks_than_can_be_counted_are_a_new_beginning);
	tcase_add_test(tc, test_trembling_is_measured_in_time_and_not_in_ticks);
	tcase_add_test(tc, test_initializing_again_only_cuts);
	tcase_add_test(tc, test_initializing_for_the_first_time_forgets_what_was);
	tcase_add_test(tc, test_taking_may_leave_a_debt);
	tcase_add_test(tc, test_taking_less_than_nothing_gives);
	tcase_add_test(tc, test_taking_and_giving_stop_at_the_ends_of_the_type);
	suite_add_tcase(suite, tc);
}

static void add_live(Suite *suite)
{
	TCase *tc = tcase_create("live");

	tcase_add_checked_fixture(tc, live_setup, live_teardown);
	tcase_set_timeout(tc, 2 * BOUND_S);
	tcase_add_test(tc, test_a_group_in_debt_recovers_by_its_new_ticks);
	tcase_add_test(tc, test_a_bufferevent_in_debt_recovers_by_its_new_ticks);
	tcase_add_test(tc, test_the_former_configuration_may_be_gone_already);
	tcase_add_test(tc, test_joining_no_group_is_leaving);
	tcase_add_test(tc, test_a_share_is_never_nothing_while_there_is_something);
	suite_add_tcase(suite, tc);
}

int main(void)
{
	Suite *suite = suite_create("ratelim");
	SRunner *runner;
	int failed;

	add_cfg(suite);
	add_bucket(suite);
	add_live(suite);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
