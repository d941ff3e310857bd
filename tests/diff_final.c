/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ends of events and bases: finalizers, freeing a base with events in every state, and that
 * every byte taken through event_set_mem_functions is given back.
 *
 * An event outlives its base in none of these: libevent forbids to touch it then.
 */
#include "diff_common.h"

#include <event2/event_compat.h>

static struct event_base *base;

static void final_cb(struct event *ev, void *arg)
{
	say("finalizer, argument %s, event %s", (const char *)arg, ev ? "given" : "missing");
}

static struct event *new_event(const char *name)
{
	struct event *ev = event_new(base, -1, 0, note_cb, (void *)(uintptr_t)name);

	MUST(ev != NULL);
	return ev;
}

/* ---- finalizers ---- */

static void finalizer_runs_in_the_loop(void)
{
	struct event ev;
	int fd[2];

	base = new_base();
	new_pair(fd);
	event_assign(&ev, base, fd[0], EV_READ | EV_PERSIST, note_cb, "arg");
	event_add(&ev, NULL);
	say("finalize: %d", event_finalize(0, &ev, final_cb));
	say("pending %s", pending(&ev));
	say("active: %d", event_base_get_num_events(base, EVENT_BASE_COUNT_ACTIVE));
	put(fd[1], "x");
	passes(base, 2);
}

static void finalizer_of_an_event_never_added(void)
{
	struct event ev;

	base = new_base();
	event_assign(&ev, base, -1, 0, note_cb, "arg");
	say("finalize: %d", event_finalize(0, &ev, final_cb));
	say("loop: %d", event_base_loop(base, 0));
}

static void nothing_goes_after_finalize(void)
{
	struct event ev;
	int result;

	base = new_base();
	event_assign(&ev, base, -1, 0, note_cb, "arg");
	event_finalize(0, &ev, final_cb);
	result = event_add(&ev, NULL);
	say("add: %d", result);
	event_active(&ev, EV_READ, 1);
	result = event_del(&ev);
	say("del: %d", result);
	passes(base, 2);
	result = event_add(&ev, NULL);
	say("add after the finalizer: %d", result);
}

static void finalizing_an_active_event(void)
{
	struct event ev;

	base = new_base();
	event_assign(&ev, base, -1, 0, note_cb, "arg");
	event_active(&ev, EV_READ, 1);
	event_active(new_event("other"), EV_READ, 1);
	say("finalize: %d", event_finalize(0, &ev, final_cb));
	passes(base, 2);
}

static void free_finalize(void)
{
	struct timeval later = msec(60000);

	base = new_base();
	struct event *ev = new_event("arg");
	event_add(ev, &later);
	say("free_finalize: %d", event_free_finalize(0, ev, final_cb));
	say("events: %d", event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED));
	say("loop: %d", event_base_loop(base, 0));
}

static void finalizers_keep_priorities(void)
{
	struct event low, high;

	base = new_base();
	event_base_priority_init(base, 2);
	event_assign(&low, base, -1, 0, note_cb, "low");
	event_assign(&high, base, -1, 0, note_cb, "high");
	event_priority_set(&low, 1);
	event_priority_set(&high, 0);
	event_finalize(0, &low, final_cb);
	event_finalize(0, &high, final_cb);
	say("loop: %d", event_base_loop(base, 0));
}

static void final_self_cb(struct event *ev, void *arg)
{
	say("finalizer, argument is the event: %s", yes(ev == arg));
}

static void finalize_self_cb(evutil_socket_t fd, short what, void *arg)
{
	note_cb(fd, what, "finalizes itself");
	say("finalize: %d", event_finalize(0, arg, final_self_cb));
}

static void free_finalize_self_cb(evutil_socket_t fd, short what, void *arg)
{
	note_cb(fd, what, "finalizes and frees itself");
	say("finalize: %d", event_free_finalize(0, event_base_get_running_event(base), final_cb));
	(void)arg;
}

static void finalized_in_its_own_callback(void)
{
	struct event ev;
	struct timeval soon = msec(1);

	base = new_base();
	event_assign(&ev, base, -1, EV_PERSIST, finalize_self_cb, event_self_cbarg());
	event_add(&ev, &soon);
	event_base_loop(base, EVLOOP_ONCE);
	struct event *heap = event_new(base, -1, 0, free_finalize_self_cb, "arg");
	event_active(heap, EV_READ, 1);
	say("loop: %d", event_base_loop(base, 0));
}

static void assign_again_cb(struct event *ev, void *arg)
{
	final_cb(ev, arg);
	say("assign: %d", event_assign(ev, base, -1, 0, note_cb, "second life"));
	event_active(ev, EV_READ, 1);
}

static void finalizer_may_assign_again(void)
{
	struct event ev;

	base = new_base();
	event_assign(&ev, base, -1, 0, note_cb, "first life");
	event_finalize(0, &ev, assign_again_cb);
	say("loop: %d", event_base_loop(base, 0));
}

static void no_event_is_running_cb(struct event *ev, void *arg)
{
	final_cb(ev, arg);
	say("active: %d", event_base_get_num_events(base, EVENT_BASE_COUNT_ACTIVE));
}

static void finalizers_and_callbacks_in_order(void)
{
	struct event ev;

	base = new_base();
	event_assign(&ev, base, -1, 0, note_cb, "arg");
	event_active(new_event("before"), EV_READ, 1);
	event_finalize(0, &ev, no_event_is_running_cb);
	event_active(new_event("after"), EV_READ, 1);
	say("loop: %d", event_base_loop(base, 0));
}

static void base_free_runs_finalizers(void)
{
	struct event ev;

	base = new_base();
	event_assign(&ev, base, -1, 0, note_cb, "arg");
	event_finalize(0, &ev, final_cb);
	event_free_finalize(0, new_event("second"), final_cb);
	say("freeing the base");
	event_base_free(base);
	say("freed");
}

static void base_free_nofinalize_does_not(void)
{
	struct event ev;

	base = new_base();
	event_assign(&ev, base, -1, 0, note_cb, "arg");
	event_finalize(0, &ev, final_cb);
	event_base_free_nofinalize(base);
	say("freed");
}

static struct event chained;

static void chain_cb(struct event *ev, void *arg)
{
	final_cb(ev, arg);
	event_finalize(0, &chained, final_cb);
}

static void finalizer_that_finalizes_another(void)
{
	struct event ev;

	base = new_base();
	event_assign(&ev, base, -1, 0, note_cb, "one");
	event_assign(&chained, base, -1, 0, note_cb, "two");
	event_finalize(0, &ev, chain_cb);
	event_base_free(base);
	say("freed");
}

static void signal_event_finalized(void)
{
	struct event ev;

	base = new_base();
	event_assign(&ev, base, SIGUSR1, EV_SIGNAL | EV_PERSIST, note_cb, "signal");
	event_add(&ev, NULL);
	event_add(evsignal_new(base, SIGUSR2, note_cb, "usr2"), NULL);
	raise(SIGUSR1);
	say("finalize: %d", event_finalize(0, &ev, final_cb));
	passes(base, 2);
}

/* ---- the memory functions ---- */

static size_t blocks_out, blocks_taken;
static long fail_after = -1;

static void *counted_malloc(size_t size)
{
	if (fail_after >= 0 && fail_after-- == 0)
		return NULL;
	blocks_out++;
	blocks_taken++;
	return malloc(size);
}

static void *counted_realloc(void *old, size_t size)
{
	if (fail_after >= 0 && fail_after-- == 0)
		return NULL;
	blocks_out += !old;
	blocks_taken++;
	return realloc(old, size);
}

static void counted_free(void *block)
{
	blocks_out -= block != NULL;
	free(block);
}

static void count_memory(void)
{
	event_set_mem_functions(counted_malloc, counted_realloc, counted_free);
}

static void say_blocks(const char *when)
{
	say("%s: all given back %s, any taken %s", when, yes(blocks_out == 0),
	    yes(blocks_taken > 0));
}

static void base_gives_all_back(void)
{
	count_memory();
	base = new_base();
	say_blocks("new");
	event_base_free(base);
	say_blocks("freed");
}

/* Every kind of event, and each of the counted blocks comes back once events and base are freed. */
static void used_base_gives_all_back(void)
{
	struct timeval later = msec(60000), much_later = msec(120000);
	struct event *ev[6];
	int fd[2];

	count_memory();
	base = new_base();
	event_base_priority_init(base, 5);
	new_pair(fd);
	put(fd[1], "x");
	const struct timeval *common = event_base_init_common_timeout(base, &later);
	ev[0] = event_new(base, fd[0], EV_READ | EV_PERSIST, drain_cb, "read");
	ev[1] = event_new(base, fd[0], EV_WRITE, note_cb, "write");
	ev[2] = event_new(base, -1, 0, note_cb, "timer");
	ev[3] = event_new(base, -1, 0, note_cb, "common");
	ev[4] = evsignal_new(base, SIGUSR1, note_cb, "signal");
	ev[5] = event_new(base, fd[1], EV_READ | EV_WRITE, note_cb, "never");
	for (int i = 0; i < 5; i++)
		event_add(ev[i], i == 2 ? &much_later : i == 3 ? common : NULL);
	one_pass(base);
	for (int i = 0; i < 6; i++)
		event_free(ev[i]);
	event_base_free(base);
	say_blocks("freed");
}

static void once_events_go_with_the_base(void)
{
	struct timeval later = msec(60000);
	int fd[2];

	count_memory();
	base = new_base();
	new_pair(fd);
	event_base_once(base, fd[0], EV_READ, note_cb, "never", NULL);
	event_base_once(base, fd[0], EV_READ, note_cb, "never", &later);
	event_base_once(base, -1, EV_TIMEOUT, note_cb, "never", &later);
	event_base_once(base, -1, EV_TIMEOUT, note_cb, "never", NULL);
	event_base_free(base);
	say_blocks("freed");
}

static void free_finalize_gives_back(void)
{
	count_memory();
	base = new_base();
	event_free_finalize(0, new_event("arg"), final_cb);
	one_pass(base);
	event_free_finalize(0, new_event("with the base"), final_cb);
	event_base_free(base);
	say_blocks("freed");
}

static void configs_give_all_back(void)
{
	count_memory();
	struct event_config *config = event_config_new();
	event_config_avoid_method(config, "no such method");
	event_config_avoid_method(config, "nor this one");
	base = event_base_new_with_config(config);
	event_config_free(config);
	say("base: %s", yes(base != NULL));
	event_base_free(base);
	say_blocks("freed");
}

/* Every allocation fails once, in turn: no crash, and nothing is kept. */
static void memory_fails_while_a_base_is_made(void)
{
	bool clean = true;

	count_memory();
	for (long n = 0; n < 200; n++) {
		fail_after = n;
		base = event_base_new();
		bool unused = fail_after >= 0;
		fail_after = -1;
		if (base)
			event_base_free(base);
		clean = clean && blocks_out == 0;
		if (unused)
			break;
	}
	say("nothing is kept after a failure: %s", yes(clean));
}

static void memory_fails_in_event_new(void)
{
	count_memory();
	base = new_base();
	fail_after = 0;
	say("event: %s", yes(event_new(base, -1, 0, note_cb, NULL) != NULL));
	fail_after = 0;
	say("once: %d", event_base_once(base, -1, EV_TIMEOUT, note_cb, "x", NULL));
	fail_after = -1;
	say("config: %s", yes(event_config_new() != NULL));
	event_base_free(base);
}

/* Whether an add needs memory at all is a library's own affair; what it says has to be true. */
static void add_without_memory(struct event *ev, const struct timeval *tv)
{
	fail_after = 0;
	int result = event_add(ev, tv);
	fail_after = -1;
	bool is_pending = event_pending(ev, EV_READ | EV_TIMEOUT, NULL) != 0;
	say("result and state agree: %s", yes((result == 0) == is_pending));
}

static void memory_fails_in_add(void)
{
	struct timeval later = msec(60000);
	int fd[2];

	count_memory();
	base = new_base();
	new_pair(fd);
	struct event *ev = event_new(base, fd[0], EV_READ, note_cb, "read");
	add_without_memory(ev, NULL);
	say("again: %d", event_add(ev, NULL));
	struct event *timer = new_event("timer");
	add_without_memory(timer, &later);
	put(fd[1], "x");
	passes(base, 1);
	event_free(ev);
	event_free(timer);
	event_base_free(base);
	say_blocks("freed");
}

/* ---- a base with events in it ---- */

static void base_with_events_in_every_state(void)
{
	static struct event fds, timer, active, sig, common;
	struct timeval later = msec(60000);
	int fd[2];

	base = new_base();
	new_pair(fd);
	event_assign(&fds, base, fd[0], EV_READ | EV_WRITE | EV_PERSIST, note_cb, "fd");
	event_assign(&timer, base, -1, EV_PERSIST, note_cb, "timer");
	event_assign(&active, base, -1, 0, note_cb, "active");
	event_assign(&sig, base, SIGUSR1, EV_SIGNAL | EV_PERSIST, note_cb, "signal");
	event_assign(&common, base, -1, 0, note_cb, "common");
	event_add(&fds, NULL);
	event_add(&timer, &later);
	event_add(&sig, NULL);
	event_add(&common, event_base_init_common_timeout(base, &later));
	event_active(&active, EV_READ, 1);
	event_base_free(base);
	say("freed, no callback ran");
	close(fd[0]);
	say("the peer reads the end: %d", take(fd[1], 1));
}

static void base_freed_after_a_break(void)
{
	base = new_base();
	event_active(new_event("a"), EV_READ, 1);
	event_base_loopexit(base, NULL);
	one_pass(base);
	event_active(new_event("never"), EV_READ, 1);
	event_base_free(base);
	say("freed");
}

static void null_base_is_the_current_one(void)
{
	struct event_base *current = event_init();

	say("base: %s", yes(current != NULL));
	event_base_free(NULL);
	say("freed");
	event_base_free(NULL);
	say("nothing to free");
	base = new_base();
	event_base_free(base);
}

static void current_base_cb(struct event *ev, void *arg)
{
	struct event other;

	final_cb(ev, arg);
	event_set(&other, -1, 0, note_cb, NULL);
	say("the current base is still this one: %s", yes(event_get_base(&other) == base));
}

static void current_base_until_the_end(void)
{
	struct event ev, other;

	base = event_init();
	event_set(&ev, -1, 0, note_cb, "arg");
	event_finalize(0, &ev, current_base_cb);
	event_base_free(base);
	event_set(&other, -1, 0, note_cb, NULL);
	say("no current base afterwards: %s", yes(event_get_base(&other) == NULL));
}

static void many_bases(void)
{
	enum { BASES = 20 };
	struct event_base *all[BASES];
	int n = 0, fd[2];

	new_pair(fd);
	put(fd[1], "x");
	for (int i = 0; i < BASES; i++) {
		all[i] = new_base();
		event_add(event_new(all[i], fd[0], EV_READ | EV_PERSIST, count_cb, &n), NULL);
	}
	for (int turn = 0; turn < 3; turn++)
		for (int i = 0; i < BASES; i++)
			one_pass(all[i]);
	say("callbacks: %d", n);
	for (int i = 0; i < BASES; i += 2)
		event_base_free(all[i]);
	for (int i = 1; i < BASES; i += 2)
		one_pass(all[i]);
	say("callbacks: %d", n);
}

static int open_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) != -1;
	return n;
}

static void base_keeps_no_fds(void)
{
	int before = open_fds(), fd[2];

	for (int i = 0; i < 5; i++) {
		base = new_base();
		event_add(evsignal_new(base, SIGUSR1, note_cb, "signal"), NULL);
		new_pair(fd);
		event_add(event_new(base, fd[0], EV_READ, note_cb, "read"), NULL);
		one_pass(base);
		event_base_free(base);
		close(fd[0]);
		close(fd[1]);
	}
	say("more fds than before: %d", open_fds() - before);
}

static void shut_down_the_library(void)
{
	count_memory();
	base = new_base();
	event_add(evsignal_new(base, SIGUSR1, note_cb, "signal"), NULL);
	raise(SIGUSR1);
	passes(base, 1);
	event_base_free(base);
	libevent_global_shutdown();
	say("shut down");
	base = new_base();
	event_active(new_event("works again"), EV_READ, 1);
	passes(base, 1);
}

static const struct diff_scenario scenarios[] = {
    DIFF_SCENARIO(finalizer_runs_in_the_loop),
    DIFF_SCENARIO(finalizer_of_an_event_never_added),
    DIFF_SCENARIO(nothing_goes_after_finalize),
    DIFF_SCENARIO(finalizing_an_active_event),
    DIFF_SCENARIO(free_finalize),
    DIFF_SCENARIO(finalizers_keep_priorities),
    DIFF_SCENARIO(finalized_in_its_own_callback),
    DIFF_SCENARIO(finalizer_may_assign_again),
    DIFF_SCENARIO(finalizers_and_callbacks_in_order),
    DIFF_SCENARIO(base_free_runs_finalizers),
    DIFF_SCENARIO(base_free_nofinalize_does_not),
    DIFF_SCENARIO(finalizer_that_finalizes_another),
    DIFF_SCENARIO(signal_event_finalized),
    DIFF_SCENARIO(base_gives_all_back),
    DIFF_SCENARIO(used_base_gives_all_back),
    DIFF_SCENARIO(once_events_go_with_the_base),
    DIFF_SCENARIO(free_finalize_gives_back),
    DIFF_SCENARIO(configs_give_all_back),
    DIFF_SCENARIO(memory_fails_while_a_base_is_made),
    DIFF_SCENARIO(memory_fails_in_event_new),
    DIFF_SCENARIO(memory_fails_in_add),
    DIFF_SCENARIO(base_with_events_in_every_state),
    DIFF_SCENARIO(base_freed_after_a_break),
    DIFF_SCENARIO(null_base_is_the_current_one),
    DIFF_SCENARIO(current_base_until_the_end),
    DIFF_SCENARIO(many_bases),
    DIFF_SCENARIO(base_keeps_no_fds),
    DIFF_SCENARIO(shut_down_the_library),
};

DIFF_MAIN(scenarios)
