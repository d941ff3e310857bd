/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The turn of the loop: when it returns and with what, the order of queues and priorities, break,
 * exit and continue, events activated by hand, once events, the counts of events, timers and their
 * re-arming, and the cached time.
 *
 * Timers here are milliseconds long and the transcript says only their order and number. Where an
 * order of two timers counts, the program sleeps past both first, so that they expire in the same
 * turn.
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

static void break_cb(evutil_socket_t fd, short what, void *name)
{
	note_cb(fd, what, name);
	event_base_loopbreak(base);
}

static void exit_cb(evutil_socket_t fd, short what, void *name)
{
	note_cb(fd, what, name);
	event_base_loopexit(base, NULL);
}

/* ---- return values and flags ---- */

static void empty_base(void)
{
	base = new_base();
	say_loop(0);
	say_loop(EVLOOP_ONCE);
	say_loop(EVLOOP_NONBLOCK);
	say_loop(EVLOOP_ONCE | EVLOOP_NONBLOCK);
	say_loop(EVLOOP_NO_EXIT_ON_EMPTY | EVLOOP_NONBLOCK);
	say("dispatch: %d", event_base_dispatch(base));
}

static void no_exit_on_empty_needs_an_exit(void)
{
	struct timeval soon = msec(5);

	base = new_base();
	event_base_loopexit(base, &soon);
	say_loop(EVLOOP_NO_EXIT_ON_EMPTY);
	event_base_loopexit(base, NULL);
	say_loop(EVLOOP_NO_EXIT_ON_EMPTY | EVLOOP_ONCE);
}

static void pending_but_not_ready(void)
{
	struct timeval later = msec(100000);
	int fd[2];

	base = new_base();
	new_pair(fd);
	struct event *r = event_new(base, fd[0], EV_READ, note_cb, "read");
	event_add(r, NULL);
	say_loop(EVLOOP_NONBLOCK);
	say_loop(EVLOOP_ONCE | EVLOOP_NONBLOCK);
	event_del(r);
	struct event *t = new_event("timer");
	event_add(t, &later);
	say_loop(EVLOOP_NONBLOCK);
	event_del(t);
	say_loop(EVLOOP_NONBLOCK);
}

static void once_waits_for_one(void)
{
	struct timeval soon = msec(5), later = msec(60000);

	base = new_base();
	event_add(new_event("soon"), &soon);
	event_add(new_event("later"), &later);
	say_loop(EVLOOP_ONCE);
	say_loop(EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static void once_runs_all_priorities(void)
{
	base = new_base();
	event_base_priority_init(base, 3);
	for (int i = 2; i >= 0; i--) {
		static const char *const names[] = {"urgent", "middle", "low"};
		struct event *ev = new_event(names[i]);
		event_priority_set(ev, i);
		activate(ev);
	}
	say_loop(EVLOOP_ONCE);
}

struct again {
	struct event *ev;
	int left;
};

static void again_cb(evutil_socket_t fd, short what, void *arg)
{
	struct again *again = arg;

	(void)fd;
	say("%d left, %s", again->left, bits(what));
	if (--again->left > 0)
		event_active(again->ev, EV_WRITE, 1);
}

static void activating_itself_runs_in_the_same_turn(void)
{
	struct again again = {NULL, 4};

	base = new_base();
	again.ev = event_new(base, -1, 0, again_cb, &again);
	activate(again.ev);
	say_loop(EVLOOP_ONCE | EVLOOP_NONBLOCK);
	again.left = 2;
	activate(again.ev);
	say_loop(EVLOOP_NONBLOCK);
}

static void nested_cb(evutil_socket_t fd, short what, void *name)
{
	note_cb(fd, what, name);
	say("loop inside the loop: %d", event_base_loop(base, EVLOOP_NONBLOCK));
}

static void loop_inside_the_loop(void)
{
	base = new_base();
	activate(event_new(base, -1, 0, nested_cb, "outer"));
	say_loop(0);
}

/* ---- break, exit, continue ---- */

static void break_before_the_loop_is_lost(void)
{
	base = new_base();
	say("break: %d, got %s", event_base_loopbreak(base), yes(event_base_got_break(base)));
	activate(new_event("still runs"));
	say_loop(0);
}

static void exit_before_the_loop_holds(void)
{
	base = new_base();
	activate(new_event("active before"));
	say("exit: %d, got %s", event_base_loopexit(base, NULL), yes(event_base_got_exit(base)));
	activate(new_event("active after"));
	say_loop(0);
	say_loop(0);
}

static void break_leaves_the_rest_active(void)
{
	base = new_base();
	activate(new_event("a"));
	activate(event_new(base, -1, 0, break_cb, "b breaks"));
	activate(new_event("c"));
	activate(new_event("d"));
	say_loop(0);
	say("active: %d", event_base_get_num_events(base, EVENT_BASE_COUNT_ACTIVE));
	say_loop(0);
}

static void exit_runs_the_rest_of_the_queue(void)
{
	base = new_base();
	event_base_priority_init(base, 2);
	struct event *low = new_event("low priority");
	struct event *mid[3] = {
	    new_event("a"), event_new(base, -1, 0, exit_cb, "b exits"), new_event("c")};
	event_priority_set(low, 1);
	activate(low);
	for (int i = 0; i < 3; i++) {
		event_priority_set(mid[i], 0);
		activate(mid[i]);
	}
	say_loop(0);
	say("low is pending: %s", bits(event_pending(low, EV_READ, NULL)));
	say_loop(0);
}

static void exit_after_a_while(void)
{
	struct timeval soon = msec(5), tick = msec(1);
	int n = 0;

	base = new_base();
	event_add(event_new(base, -1, EV_PERSIST, count_cb, &n), &tick);
	event_base_loopexit(base, &soon);
	say_loop(0);
	say("ticked: %s", yes(n > 0));
	event_base_loopexit(base, NULL);
	event_base_loopexit(base, NULL);
	say_loop(0);
	say_loop(EVLOOP_NONBLOCK);
}

static void break_and_exit_together(void)
{
	base = new_base();
	activate(event_new(base, -1, 0, exit_cb, "exits"));
	activate(event_new(base, -1, 0, break_cb, "breaks"));
	activate(new_event("left"));
	say_loop(0);
	say_loop(0);
	say_loop(0);
}

static void poke_and_continue_cb(evutil_socket_t fd, short what, void *arg)
{
	note_cb(fd, what, "pokes and continues");
	put(*(int *)arg, "x");
	event_base_loopcontinue(base);
}

static void continue_lets_a_more_urgent_fd_in(void)
{
	int fd[2];

	base = new_base();
	event_base_priority_init(base, 2);
	new_pair(fd);
	struct event *urgent = event_new(base, fd[0], EV_READ, note_cb, "urgent read");
	event_priority_set(urgent, 0);
	event_add(urgent, NULL);
	activate(event_new(base, -1, 0, poke_and_continue_cb, &fd[1]));
	activate(new_event("rest"));
	say_loop(0);
}

/* ---- priorities ---- */

static void urgent_before_old(void)
{
	base = new_base();
	say("priorities at first: %d", event_base_get_npriorities(base));
	say("init: %d", event_base_priority_init(base, 4));
	say("priorities now: %d", event_base_get_npriorities(base));
	static const char *const names[] = {"p0", "p1", "p2", "p3"};
	for (int i = 3; i >= 0; i--) {
		struct event *ev = new_event(names[i]);
		say("%s is born with %d, set: %d", names[i], event_get_priority(ev),
		    event_priority_set(ev, i));
		activate(ev);
	}
	say_loop(0);
}

static void three_times_cb(evutil_socket_t fd, short what, void *arg)
{
	struct again *again = arg;

	(void)fd;
	say("urgent: %s", bits(what));
	if (--again->left == 0)
		event_del(again->ev);
}

static void less_urgent_waits_its_turn(void)
{
	struct again again = {NULL, 3};
	int fd[2];

	base = new_base();
	event_base_priority_init(base, 2);
	new_pair(fd);
	again.ev = event_new(base, fd[0], EV_READ | EV_PERSIST, three_times_cb, &again);
	struct event *low = event_new(base, fd[0], EV_WRITE | EV_PERSIST, break_cb, "less urgent");
	event_priority_set(again.ev, 0);
	event_priority_set(low, 1);
	event_add(again.ev, NULL);
	event_add(low, NULL);
	put(fd[1], "x");
	say_loop(0);
}

struct inversion {
	struct event *urgent;
	const char *name;
};

static void inversion_cb(evutil_socket_t fd, short what, void *arg)
{
	struct inversion *inversion = arg;

	(void)fd;
	(void)what;
	say("%s", inversion->name);
	if (inversion->urgent)
		activate(inversion->urgent);
	inversion->urgent = NULL;
}

static void activating_a_more_urgent_event(void)
{
	static struct inversion low[3] = {{NULL, "low 1"}, {NULL, "low 2"}, {NULL, "low 3"}};

	base = new_base();
	event_base_priority_init(base, 8);
	struct event *urgent = new_event("urgent");
	event_priority_set(urgent, 1);
	low[1].urgent = urgent;
	for (int i = 0; i < 3; i++) {
		struct event *ev = event_new(base, -1, 0, inversion_cb, &low[i]);
		event_priority_set(ev, 5);
		activate(ev);
	}
	say_loop(0);
}

static void activating_a_less_urgent_event(void)
{
	static struct inversion high[2] = {{NULL, "high 1"}, {NULL, "high 2"}};

	base = new_base();
	event_base_priority_init(base, 2);
	struct event *low = new_event("low");
	event_priority_set(low, 1);
	high[0].urgent = low;
	for (int i = 0; i < 2; i++) {
		struct event *ev = event_new(base, -1, 0, inversion_cb, &high[i]);
		event_priority_set(ev, 0);
		activate(ev);
	}
	say_loop(0);
}

/* ---- limits on one dispatch ---- */

static void base_with_limits(int max_callbacks, int min_priority)
{
	struct event_config *config = event_config_new();

	MUST(config != NULL);
	say("config: %d",
	    event_config_set_max_dispatch_interval(config, NULL, max_callbacks, min_priority));
	base = event_base_new_with_config(config);
	event_config_free(config);
	MUST(base != NULL && event_base_priority_init(base, 2) == 0);
}

static void poke_cb(evutil_socket_t fd, short what, void *arg)
{
	int *to = arg;

	note_cb(fd, what, "low that pokes");
	put(*to, "x");
}

/* Five low events of which the first makes an urgent fd ready; how many run before that one is
 * seen? */
static void limited_dispatch(int max_callbacks, int min_priority)
{
	int fd[2];

	base_with_limits(max_callbacks, min_priority);
	new_pair(fd);
	struct event *urgent = event_new(base, fd[0], EV_READ | EV_PERSIST, drain_cb, "urgent");
	event_priority_set(urgent, 0);
	event_add(urgent, NULL);
	for (int i = 0; i < 5; i++) {
		struct event *ev =
		    event_new(base, -1, 0, i ? note_cb : poke_cb, i ? (void *)"low" : &fd[1]);
		event_priority_set(ev, 1);
		activate(ev);
	}
	say_loop(EVLOOP_NONBLOCK);
}

static void at_most_two_callbacks(void)
{
	limited_dispatch(2, 1);
}

static void unlimited_below_the_priority(void)
{
	limited_dispatch(2, 2);
}

static void no_limit(void)
{
	limited_dispatch(-1, 0);
}

static void dispatch_limited_by_time(void)
{
	struct event_config *config = event_config_new();
	struct timeval none = {0, 0};

	MUST(config != NULL);
	say("config: %d", event_config_set_max_dispatch_interval(config, &none, 100, 0));
	base = event_base_new_with_config(config);
	event_config_free(config);
	MUST(base != NULL);
	for (int i = 0; i < 3; i++)
		activate(new_event("a"));
	say_loop(EVLOOP_NONBLOCK);
}

/* ---- activation by hand ---- */

static void causes_are_joined(void)
{
	base = new_base();
	struct event *ev = new_event("joined");
	event_active(ev, EV_READ, 1);
	event_active(ev, EV_WRITE, 5);
	event_active(ev, EV_TIMEOUT, 1);
	say("pending %s", pending(ev));
	say_loop(0);
	say("pending %s", pending(ev));
	event_active(ev, EV_WRITE, 3);
	say_loop(0);
}

static void ready_and_activated(void)
{
	int fd[2];

	base = new_base();
	new_pair(fd);
	struct event *ev = event_new(base, fd[0], EV_READ | EV_PERSIST, drain_cb, "both ways");
	event_add(ev, NULL);
	put(fd[1], "x");
	event_active(ev, EV_WRITE, 1);
	one_pass(base);
	one_pass(base);
}

static void deleted_while_active(void)
{
	base = new_base();
	struct event *ev = new_event("never");
	activate(ev);
	say("active: %d", event_base_get_num_events(base, EVENT_BASE_COUNT_ACTIVE));
	say_del("never", ev);
	say("active: %d", event_base_get_num_events(base, EVENT_BASE_COUNT_ACTIVE));
	say_loop(0);
}

static void del_arg_cb(evutil_socket_t fd, short what, void *arg)
{
	note_cb(fd, what, "deletes");
	event_del(arg);
}

static void deleted_by_another_callback(void)
{
	base = new_base();
	struct event *victim = new_event("victim");
	struct event *first = event_new(base, -1, 0, del_arg_cb, victim);
	activate(first);
	activate(victim);
	say_loop(0);
	activate(victim);
	activate(first);
	say_loop(0);
}

static void added_while_active(void)
{
	int fd[2];

	base = new_base();
	new_pair(fd);
	put(fd[1], "x");
	struct event *ev =
	    event_new(base, fd[0], EV_READ | EV_PERSIST, note_cb, "added while active");
	event_active(ev, EV_WRITE, 1);
	say_add("ev", ev);
	one_pass(base);
	say("pending %s", pending(ev));
	say_add("ev", ev);
	one_pass(base);
}

static void by_fd_and_by_signal(void)
{
	struct timeval later = msec(100000);
	int fd[2];

	base = new_base();
	new_pair(fd);
	struct event *r = event_new(base, fd[0], EV_READ | EV_PERSIST, note_cb, "read");
	struct event *w =
	    event_new(base, fd[1], EV_READ | EV_PERSIST, note_cb, "read of the other");
	struct event *t = event_new(base, fd[0], 0, note_cb, "timer with that fd");
	struct event *s = evsignal_new(base, SIGUSR1, note_cb, "signal");
	event_add(r, NULL);
	event_add(w, NULL);
	event_add(t, &later);
	event_add(s, NULL);
	event_base_active_by_fd(base, fd[0], EV_READ);
	one_pass(base);
	event_base_active_by_fd(base, fd[0], EV_READ | EV_TIMEOUT);
	one_pass(base);
	event_base_active_by_fd(base, fd[0], EV_TIMEOUT);
	one_pass(base);
	event_base_active_by_fd(base, fd[0], EV_WRITE);
	one_pass(base);
	event_base_active_by_fd(base, 4000, EV_READ);
	event_base_active_by_fd(base, -1, EV_READ);
	event_base_active_by_signal(base, SIGUSR1);
	event_base_active_by_signal(base, SIGUSR2);
	event_base_active_by_signal(base, -1);
	one_pass(base);
}

static void running_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	say("running event is this one: %s", yes(event_base_get_running_event(base) == arg));
	say("pending inside: %s", pending(arg));
}

static void the_running_event(void)
{
	struct timeval soon = msec(1);

	base = new_base();
	struct event *ev = event_new(base, -1, 0, running_cb, event_self_cbarg());
	activate(ev);
	say_loop(0);
	struct event *tick = event_new(base, -1, EV_PERSIST, running_cb, event_self_cbarg());
	event_add(tick, &soon);
	say_loop(EVLOOP_ONCE);
	event_del(tick);
}

/* ---- once events ---- */

static void once_events(void)
{
	struct timeval soon = msec(2), less_soon = msec(12), later = msec(60000);
	int fd[2], result;

	base = new_base();
	new_pair(fd);
	result = event_base_once(base, fd[0], EV_READ, note_cb, "read", NULL);
	say("read: %d", result);
	result = event_base_once(base, fd[0], EV_WRITE, note_cb, "write", &later);
	say("write with a timeout: %d", result);
	one_pass(base);
	put(fd[1], "x");
	one_pass(base);
	one_pass(base);
	result = event_base_once(base, -1, EV_TIMEOUT, note_cb, "timer", &soon);
	say("timer: %d", result);
	result = event_base_once(base, fd[1], EV_READ, note_cb, "read or timer", &less_soon);
	say("read or timer: %d", result);
	say_loop(0);
}

static void once_events_refused(void)
{
	struct timeval soon = msec(2);

	base = new_base();
	say("signal: %d", event_base_once(base, SIGUSR1, EV_SIGNAL, note_cb, "x", NULL));
	say("persistent: %d", event_base_once(base, 0, EV_READ | EV_PERSIST, note_cb, "x", NULL));
	say("nothing: %d", event_base_once(base, -1, 0, note_cb, "x", &soon));
	say("events: %d", event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED));
	say_loop(0);
}

static void once_events_keep_their_order(void)
{
	base = new_base();
	activate(new_event("active before"));
	event_base_once(base, -1, EV_TIMEOUT, note_cb, "once without a time", NULL);
	activate(new_event("active after"));
	event_base_once(base, -1, EV_TIMEOUT, note_cb, "once at zero", &at_once);
	say_loop(0);
}

/* ---- counting ---- */

static void say_counts(const char *when)
{
	static const unsigned kinds[] = {EVENT_BASE_COUNT_ADDED, EVENT_BASE_COUNT_ACTIVE,
	    EVENT_BASE_COUNT_VIRTUAL, EVENT_BASE_COUNT_ADDED | EVENT_BASE_COUNT_ACTIVE};
	int now[4], max[4];

	for (int i = 0; i < 4; i++) {
		now[i] = event_base_get_num_events(base, kinds[i]);
		max[i] = event_base_get_max_events(base, kinds[i], 0);
	}
	say("%s: added %d (%d) active %d (%d) virtual %d (%d) added and active %d (%d)", when,
	    now[0], max[0], now[1], max[1], now[2], max[2], now[3], max[3]);
}

static void counts_of_events(void)
{
	struct timeval later = msec(60000);
	int fd[2];

	base = new_base();
	new_pair(fd);
	say_counts("empty");
	struct event *r = event_new(base, fd[0], EV_READ | EV_PERSIST, note_cb, "read");
	event_add(r, NULL);
	say_counts("one fd");
	event_add(r, &later);
	say_counts("with a timeout");
	activate(r);
	say_counts("active too");
	struct event *t = new_event("timer");
	event_add(t, &later);
	say_counts("and a timer");
	event_del(r);
	say_counts("fd deleted");
	say("max is cleared: %d", event_base_get_max_events(base, EVENT_BASE_COUNT_ADDED, 1));
	say_counts("after that");
	event_del(t);
	say_counts("all deleted");
	struct event *s = evsignal_new(base, SIGUSR1, note_cb, "signal");
	event_add(s, NULL);
	say_counts("one signal");
	event_del(s);
	say_counts("signal deleted");
}

static void last_event_gone_ends_the_loop(void)
{
	struct timeval soon = msec(3);
	int fd[2];

	base = new_base();
	new_pair(fd);
	struct event *r = event_new(base, fd[0], EV_READ, note_cb, "read");
	event_add(r, NULL);
	event_base_once(base, -1, EV_TIMEOUT, del_arg_cb, r, &soon);
	say_loop(0);
	struct event *s = evsignal_new(base, SIGUSR1, note_cb, "signal");
	event_add(s, NULL);
	event_base_once(base, -1, EV_TIMEOUT, del_arg_cb, s, &soon);
	say_loop(0);
}

static const struct diff_scenario scenarios[] = {
    DIFF_SCENARIO(empty_base),
    DIFF_SCENARIO(no_exit_on_empty_needs_an_exit),
    DIFF_SCENARIO(pending_but_not_ready),
    DIFF_SCENARIO(once_waits_for_one),
    DIFF_SCENARIO(once_runs_all_priorities),
    DIFF_SCENARIO(activating_itself_runs_in_the_same_turn),
    DIFF_SCENARIO(loop_inside_the_loop),
    DIFF_SCENARIO(break_before_the_loop_is_lost),
    DIFF_SCENARIO(exit_before_the_loop_holds),
    DIFF_SCENARIO(break_leaves_the_rest_active),
    DIFF_SCENARIO(exit_runs_the_rest_of_the_queue),
    DIFF_SCENARIO(exit_after_a_while),
    DIFF_SCENARIO(break_and_exit_together),
    DIFF_SCENARIO(continue_lets_a_more_urgent_fd_in),
    DIFF_SCENARIO(urgent_before_old),
    DIFF_SCENARIO(less_urgent_waits_its_turn),
    DIFF_SCENARIO(activating_a_more_urgent_event),
    DIFF_SCENARIO(activating_a_less_urgent_event),
    DIFF_SCENARIO(at_most_two_callbacks),
    DIFF_SCENARIO(unlimited_below_the_priority),
    DIFF_SCENARIO(no_limit),
    DIFF_SCENARIO(dispatch_limited_by_time),
    DIFF_SCENARIO(causes_are_joined),
    DIFF_SCENARIO(ready_and_activated),
    DIFF_SCENARIO(deleted_while_active),
    DIFF_SCENARIO(deleted_by_another_callback),
    DIFF_SCENARIO(added_while_active),
    DIFF_SCENARIO(by_fd_and_by_signal),
    DIFF_SCENARIO(the_running_event),
    DIFF_SCENARIO(once_events),
    DIFF_SCENARIO(once_events_refused),
    DIFF_SCENARIO(once_events_keep_their_order),
    DIFF_SCENARIO(counts_of_events),
    DIFF_SCENARIO(last_event_gone_ends_the_loop),
};

DIFF_MAIN(scenarios)
