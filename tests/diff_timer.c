/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Timers: their order among themselves and after fds, what event_pending says of them, when
 * persistent ones are armed again, common timeouts, timeouts of fd events, and the time that the
 * loop caches.
 *
 * They are milliseconds long and the transcript says only their order and number. Where an order of
 * two timers counts, the program sleeps past both first, so that they expire in the same turn.
 */
#include "diff_common.h"

static struct event_base *base;

static const struct timeval at_once = {0, 0};

static struct event *new_event(const char *name)
{
	struct event *ev = event_new(base, -1, 0, note_cb, (void *)(uintptr_t)name);

	MUST(ev != NULL);
	return ev;
}

static void activate(struct event *ev)
{
	event_active(ev, EV_READ, 1);
}

static void say_loop(int flags)
{
	int result = event_base_loop(base, flags);

	say("loop: %d, break %s, exit %s", result, yes(event_base_got_break(base)),
	    yes(event_base_got_exit(base)));
}

struct ticker {
	struct event *ev;
	int left;
};

static void tick_cb(evutil_socket_t fd, short what, void *arg)
{
	struct ticker *ticker = arg;

	(void)fd;
	say("%s, %d left, pending %s", bits(what), ticker->left, pending(ticker->ev));
	if (--ticker->left == 0)
		event_del(ticker->ev);
}

/* ---- timers ---- */

static void timers_in_order_of_time(void)
{
	static const struct {
		const char *name;
		long ms;
	} timers[] = {{"30", 30}, {"10", 10}, {"40", 40}, {"20", 20}};

	base = new_base();
	for (int i = 0; i < 4; i++) {
		struct timeval tv = msec(timers[i].ms);
		event_add(new_event(timers[i].name), &tv);
	}
	sleep_ms(60);
	one_pass(base);
	say("events left: %d", event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED));
}

enum { MOVED = 64, MOVES = 4000 };

static struct event *moved[MOVED];

/* Every timer is moved many times, later and earlier, and some are deleted; no two are due at the
 * same time in the end. */
static void move_about_cb(evutil_socket_t fd, short what, void *arg)
{
	unsigned random = 12345;

	(void)fd;
	(void)what;
	(void)arg;
	for (int i = 0; i < MOVES; i++) {
		random = random * 1103515245u + 12345u;
		struct event *ev = moved[random >> 16 & (MOVED - 1)];
		struct timeval tv = msec((long)(1 + (random >> 8 & 0xff)));
		if ((random >> 4 & 15) == 0)
			event_del(ev);
		else
			event_add(ev, &tv);
	}
	for (int i = 0; i < MOVED; i++) {
		struct timeval tv = {0, 1000 + i * 37 % MOVED * 10};
		if (i % 5 != 0)
			event_add(moved[i], &tv);
	}
	for (int i = 0; i < MOVED; i += 5) {
		struct timeval long_before = {0, 100 + i}, long_after = {100000, 999999};
		event_add(moved[i], i % 2 ? &long_before : &long_after);
	}
}

static void move_about(void)
{
	static char names[MOVED][8];

	for (int i = 0; i < MOVED; i++) {
		struct timeval tv = msec(50 + i);
		snprintf(names[i], sizeof(names[i]), "%d", i);
		moved[i] = new_event(names[i]);
		event_add(moved[i], &tv);
	}
	for (int turn = 0; turn < 3; turn++) {
		event_base_once(base, -1, EV_TIMEOUT, move_about_cb, NULL, &at_once);
		one_pass(base);
		sleep_ms(20);
		one_pass(base);
		say("events left: %d", event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED));
	}
}

static void timers_moved_about(void)
{
	base = new_base();
	move_about();
}

/* Adds the event and tells if its deadline is as far away as it was told, to a tenth of a second.
 */
static bool move_is_right(struct event *ev, const struct timeval *tv)
{
	const struct timeval tenth = msec(100);
	struct timeval first, last, when, diff;

	evutil_gettimeofday(&first, NULL);
	event_add(ev, tv);
	evutil_gettimeofday(&last, NULL);
	event_pending(ev, EV_TIMEOUT, &when);
	evutil_timersub(&when, tv, &diff);
	evutil_timersub(&first, &tenth, &first);
	evutil_timeradd(&last, &tenth, &last);
	return when.tv_usec >= 0 && when.tv_usec < 1000000 && evutil_timercmp(&diff, &first, >) &&
	       evutil_timercmp(&diff, &last, <);
}

/* Without the cached time another way through event_add is taken. */
static void timers_moved_about_without_a_cache(void)
{
	static const char *const names[] = {"a", "b", "c", "d"};
	struct event *ev[4];

	base = new_base();
	for (int i = 0; i < 4; i++) {
		struct timeval tv = {10, 0}, later = {20 + i, 999999}, earlier = {14, 1};
		ev[i] = new_event(names[i]);
		event_add(ev[i], &tv);
		say("%s: put off: %s", names[i], yes(move_is_right(ev[i], &later)));
		/* Earlier than it was, but not than it was first. */
		say("brought forward: %s", yes(move_is_right(ev[i], &earlier)));
	}
	for (int i = 0; i < 4; i++) {
		struct timeval tv = msec(1 + 10 * (3 - i));
		event_add(ev[i], &tv);
	}
	sleep_ms(50);
	one_pass(base);
}

static void active_then_fds_then_timers(void)
{
	struct timeval soon = msec(1);
	int fd[2];

	base = new_base();
	new_pair(fd);
	event_add(new_event("timer"), &soon);
	event_add(event_new(base, fd[0], EV_READ, note_cb, "fd"), NULL);
	put(fd[1], "x");
	activate(new_event("active"));
	sleep_ms(20);
	one_pass(base);
}

static void pending_of_a_timer(void)
{
	struct timeval later = msec(60000), much_later = msec(120000), when = {0, 0}, now;

	base = new_base();
	struct event *ev = new_event("timer");
	say("before: %s", bits(event_pending(ev, EV_TIMEOUT, &when)));
	say("time untouched: %s", yes(when.tv_sec == 0));
	event_add(ev, &later);
	say("added: %s", bits(event_pending(ev, EV_TIMEOUT | EV_READ, &when)));
	evutil_gettimeofday(&now, NULL);
	say("in a minute: %s", yes(labs((long)(when.tv_sec - now.tv_sec) - 60) <= 1));
	event_add(ev, NULL);
	event_pending(ev, EV_TIMEOUT, &when);
	say("the same after an add without time: %s",
	    yes(labs((long)(when.tv_sec - now.tv_sec) - 60) <= 1));
	event_add(ev, &much_later);
	event_pending(ev, EV_TIMEOUT, &when);
	say("moved by an add with a time: %s",
	    yes(labs((long)(when.tv_sec - now.tv_sec) - 120) <= 1));
	say("asked for read only: %s", bits(event_pending(ev, EV_READ, NULL)));
}

static void remove_timer(void)
{
	struct timeval soon = msec(1);
	int fd[2];

	base = new_base();
	new_pair(fd);
	struct event *ev = event_new(base, fd[0], EV_READ | EV_PERSIST, note_cb, "read");
	say("no timer: %d", event_remove_timer(ev));
	event_add(ev, &soon);
	say("pending %s", pending(ev));
	say("remove: %d", event_remove_timer(ev));
	say("pending %s", pending(ev));
	sleep_ms(10);
	one_pass(base);
	put(fd[1], "x");
	one_pass(base);
	struct event *never = new_event("never");
	event_add(never, &soon);
	say("remove: %d", event_remove_timer(never));
	say("again: %d", event_remove_timer(never));
	say("pending %s", pending(never));
}

static void persistent_timer(void)
{
	struct timeval soon = msec(2);
	struct ticker ticker = {NULL, 3};

	base = new_base();
	ticker.ev = event_new(base, -1, EV_PERSIST, tick_cb, &ticker);
	event_add(ticker.ev, &soon);
	say_loop(0);
}

static void timer_once(void)
{
	struct timeval soon = msec(2);
	struct ticker ticker = {NULL, 5};

	base = new_base();
	ticker.ev = event_new(base, -1, 0, tick_cb, &ticker);
	event_add(ticker.ev, &soon);
	say_loop(0);
	event_add(ticker.ev, &soon);
	say_loop(0);
}

static void persistent_timer_of_zero(void)
{
	struct ticker ticker = {NULL, 3};

	base = new_base();
	ticker.ev = event_new(base, -1, EV_PERSIST, tick_cb, &ticker);
	event_add(ticker.ev, &at_once);
	one_pass(base);
	one_pass(base);
	say("pending %s", pending(ticker.ev));
	say_loop(EVLOOP_NONBLOCK);
}

static void slow_persistent_timer_does_not_catch_up(void)
{
	struct timeval interval = msec(150);
	int n = 0;

	base = new_base();
	event_add(event_new(base, -1, EV_PERSIST, count_cb, &n), &interval);
	sleep_ms(500);
	for (int i = 0; i < 3; i++)
		one_pass(base);
	say("runs after three intervals asleep: %d", n);
}

static void timeout_of_a_persistent_fd(void)
{
	struct timeval soon = msec(3);
	struct ticker ticker = {NULL, 3};
	int fd[2];

	base = new_base();
	new_pair(fd);
	ticker.ev = event_new(base, fd[0], EV_READ | EV_PERSIST, tick_cb, &ticker);
	event_add(ticker.ev, &soon);
	event_base_loop(base, EVLOOP_ONCE);
	event_base_loop(base, EVLOOP_ONCE);
	say("pending %s", pending(ticker.ev));
	put(fd[1], "x");
	event_add(ticker.ev, &(struct timeval){60, 0});
	event_base_loop(base, EVLOOP_ONCE);
	say("pending %s", pending(ticker.ev));
}

static void timeout_of_a_fd_once(void)
{
	struct timeval soon = msec(3), later = msec(60000);
	int fd[2];

	base = new_base();
	new_pair(fd);
	struct event *ev = event_new(base, fd[0], EV_READ, note_cb, "read or timeout");
	event_add(ev, &soon);
	say_loop(0);
	say("pending %s", pending(ev));
	event_add(ev, &later);
	put(fd[1], "x");
	say_loop(0);
	say("pending %s", pending(ev));
}

static double clock_ms(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* A library keeps time by the coarse clock or by the fine one, and is right by its own. */
static void timers_are_never_early(void)
{
	struct timeval tv = msec(30);

	base = new_base();
	double coarse = clock_ms(CLOCK_MONOTONIC_COARSE), fine = clock_ms(CLOCK_MONOTONIC);
	event_add(new_event("timer"), &tv);
	say_loop(0);
	coarse = clock_ms(CLOCK_MONOTONIC_COARSE) - coarse;
	fine = clock_ms(CLOCK_MONOTONIC) - fine;
	say("early: %s", yes(coarse < 29.9 && fine < 29.9));
}

static void bad_time_values(void)
{
	struct timeval past = {-1, 0};

	base = new_base();
	struct event *ev = new_event("in the past");
	say("add: %d", event_add(ev, &past));
	one_pass(base);
	say("pending %s", pending(ev));
	event_add(ev, &at_once);
	one_pass(base);
}

static int runs_in_passes(struct timeval interval, int turns)
{
	int n = 0;

	base = new_base();
	struct event *ev = event_new(base, -1, EV_PERSIST, count_cb, &n);
	event_add(ev, &interval);
	while (turns-- > 0)
		one_pass(base);
	event_free(ev);
	event_base_free(base);
	return n;
}

/* (Intervals of more than a second, or less than none, in tv_usec: stress_time.c. Stock does not
 * get them right.) */
static void persistent_timer_of_less_than_nothing(void)
{
	say("a second ago: %d of 3", runs_in_passes((struct timeval){-1, 0}, 3));
	say("many years ago: %d of 3", runs_in_passes((struct timeval){-1000000000, 0}, 3));
}

static void common_timeouts(void)
{
	struct timeval ms30 = msec(30), ms20 = msec(20);
	const struct timeval *a, *b, *c;

	base = new_base();
	a = event_base_init_common_timeout(base, &ms30);
	b = event_base_init_common_timeout(base, &ms30);
	c = event_base_init_common_timeout(base, &ms20);
	say("same: %s, different: %s", yes(a == b), yes(a != c));
	say("of a common one: %s", yes(event_base_init_common_timeout(base, a) == a));
	say("seconds as given: %s", yes(a->tv_sec == 0 && (a->tv_usec & 0xfffff) == 30000));
	event_add(new_event("30 first"), a);
	event_add(new_event("20 first"), c);
	event_add(new_event("30 second"), a);
	event_add(new_event("25"), &(struct timeval){0, 25000});
	event_add(new_event("20 second"), c);
	event_add(new_event("30 third"), a);
	say("events: %d", event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED));
	sleep_ms(50);
	one_pass(base);
	say("events: %d", event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED));
}

static void common_timeouts_deleted_and_moved(void)
{
	struct timeval ms20 = msec(20);

	base = new_base();
	const struct timeval *common = event_base_init_common_timeout(base, &ms20);
	struct event *a = new_event("a"), *b = new_event("b"), *c = new_event("c");
	event_add(a, common);
	event_add(b, common);
	event_add(c, common);
	event_del(a);
	event_add(b, &(struct timeval){60, 0});
	event_add(a, common);
	say("pending %s %s %s", pending(a), pending(b), pending(c));
	sleep_ms(40);
	one_pass(base);
	say("pending %s %s %s", pending(a), pending(b), pending(c));
	event_del(b);
	say_loop(0);
}

/* However many other timers there are: a common timeout has no place among them, an ordinary one
 * has. */
static void common_timeout_becomes_ordinary(void)
{
	enum { MOST = 40 };
	struct timeval common = msec(600000), other = msec(700000);

	for (int n = 0; n <= MOST; n++) {
		base = new_base();
		const struct timeval *tv = event_base_init_common_timeout(base, &common);
		struct event *ev = new_event("changes");
		int added = event_add(ev, tv);
		for (int i = 0; i < n; i++)
			added += event_add(new_event("other"), &other);
		added += event_add(ev, &other);
		added += event_add(ev, tv);
		added += event_add(ev, &other);
		if (added != 0 || !event_pending(ev, EV_TIMEOUT, NULL) ||
		    event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED) < n + 1)
			say("with %d timers: lost", n);
		event_free(ev);
		event_base_free(base);
	}
	say("done");
}

static void common_timeout_persistent(void)
{
	struct timeval ms3 = msec(3);
	struct ticker ticker = {NULL, 3};

	base = new_base();
	ticker.ev = event_new(base, -1, EV_PERSIST, tick_cb, &ticker);
	event_add(ticker.ev, event_base_init_common_timeout(base, &ms3));
	say_loop(0);
}

/* ---- the cached time ---- */

static bool time_moves(struct event_base *b)
{
	struct timeval first, second;

	event_base_gettimeofday_cached(b, &first);
	sleep_ms(20);
	event_base_gettimeofday_cached(b, &second);
	return evutil_timercmp(&first, &second, !=);
}

static void time_cb(evutil_socket_t fd, short what, void *arg)
{
	struct timeval before, after;

	(void)fd;
	(void)what;
	(void)arg;
	say("moves in a callback: %s", yes(time_moves(base)));
	event_base_gettimeofday_cached(base, &before);
	say("update: %d", event_base_update_cache_time(base));
	event_base_gettimeofday_cached(base, &after);
	say("moved by the update: %s", yes(evutil_timercmp(&before, &after, <)));
}

static void cached_time(void)
{
	base = new_base();
	say("moves outside: %s", yes(time_moves(base)));
	activate(event_new(base, -1, 0, time_cb, NULL));
	say_loop(0);
	say("moves after the loop: %s", yes(time_moves(base)));
	say("update outside: %d", event_base_update_cache_time(base));
	say("still moves: %s", yes(time_moves(base)));
	say("without a base: %s", yes(time_moves(NULL)));
}

static void uncached_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	say("moves in a callback: %s", yes(time_moves(base)));
}

static void time_without_a_cache(void)
{
	struct event_config *config = event_config_new();

	MUST(config != NULL);
	say("flag: %d", event_config_set_flag(config, EVENT_BASE_FLAG_NO_CACHE_TIME));
	base = event_base_new_with_config(config);
	event_config_free(config);
	MUST(base != NULL);
	activate(event_new(base, -1, 0, uncached_cb, NULL));
	say_loop(0);
}

static const struct diff_scenario scenarios[] = {
    DIFF_SCENARIO(timers_in_order_of_time),
    DIFF_SCENARIO(timers_moved_about),
    DIFF_SCENARIO(timers_moved_about_without_a_cache),
    DIFF_SCENARIO(active_then_fds_then_timers),
    DIFF_SCENARIO(pending_of_a_timer),
    DIFF_SCENARIO(remove_timer),
    DIFF_SCENARIO(persistent_timer),
    DIFF_SCENARIO(timer_once),
    DIFF_SCENARIO(persistent_timer_of_zero),
    DIFF_SCENARIO(slow_persistent_timer_does_not_catch_up),
    DIFF_SCENARIO(timeout_of_a_persistent_fd),
    DIFF_SCENARIO(timeout_of_a_fd_once),
    DIFF_SCENARIO(timers_are_never_early),
    DIFF_SCENARIO(bad_time_values),
    DIFF_SCENARIO(persistent_timer_of_less_than_nothing),
    DIFF_SCENARIO(common_timeouts),
    DIFF_SCENARIO(common_timeouts_deleted_and_moved),
    DIFF_SCENARIO(common_timeout_becomes_ordinary),
    DIFF_SCENARIO(common_timeout_persistent),
    DIFF_SCENARIO(cached_time),
    DIFF_SCENARIO(time_without_a_cache),
};

DIFF_MAIN(scenarios)
