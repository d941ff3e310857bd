/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The callbacks of socket bufferevents, seen from the program: timeouts, triggers, deferral,
 * priorities, and callbacks that change callbacks.
 */
#include "diff_bev_sock.h"

#include <event2/thread.h>

static struct event_base *base;
static struct side a;

/* A base, and a pair of which one end is observed and the other is a plain fd. */
static int start(int options)
{
	int fd[2];

	signal(SIGPIPE, SIG_IGN);
	base = new_base();
	new_pair(fd);
	side_new(&a, "A", base, fd[0], options);
	return fd[1];
}

static int start_reading(int options)
{
	int peer = start(options);

	MUST(bufferevent_enable(a.bev, EV_READ) == 0);
	return peer;
}

static void write_a(const char *text)
{
	say("write: %d", bufferevent_write(a.bev, text, strlen(text)));
}

/* ---- timeouts ---- */

static void set_timeouts(long read_ms, long write_ms)
{
	struct timeval r = msec(read_ms), w = msec(write_ms);

	bufferevent_set_timeouts(a.bev, read_ms ? &r : NULL, write_ms ? &w : NULL);
}

static void read_timeout(void)
{
	int peer = start(0);

	set_timeouts(20, 0);
	bufferevent_enable(a.bev, EV_READ);
	until(base, a.events > 0);
	say_enabled(&a);
	run_for(base, 60);
	say("events %d", a.events);
	bufferevent_enable(a.bev, EV_READ);
	stream_put(peer, 0, 10);
	until(base, a.events > 1);
	side_sum(&a);
}

static void write_timeout(void)
{
	int peer = start(0);

	fill(bufferevent_getfd(a.bev));
	set_timeouts(0, 20);
	run_for(base, 60);
	say("nothing to write: events %d", a.events);
	write_a("hello");
	until(base, a.events > 0);
	say_enabled(&a);
	say("in the buffer: %zu", evbuffer_get_length(out(&a)));
	while (take(peer, 4096) > 0)
		;
	bufferevent_enable(a.bev, EV_WRITE);
	until(base, a.writes > 0);
	say("then the peer gets %d", take(peer, 100));
}

static void both_timeouts(void)
{
	start(0);
	fill(bufferevent_getfd(a.bev));
	set_timeouts(20, 80);
	write_a("hello");
	bufferevent_enable(a.bev, EV_READ | EV_WRITE);
	until(base, a.events == 2);
	say_enabled(&a);
}

static void timeouts_taken_back(void)
{
	start_reading(0);
	set_timeouts(40, 40);
	set_timeouts(0, 0);
	run_for(base, 100);
	say("events %d", a.events);
	say_enabled(&a);
}

static void timeout_set_while_reading(void)
{
	start_reading(0);
	one_pass(base);
	set_timeouts(20, 20);
	until(base, a.events > 0);
	say_enabled(&a);
}

static void no_timeout_while_disabled(void)
{
	start_reading(0);
	set_timeouts(30, 0);
	bufferevent_disable(a.bev, EV_READ);
	run_for(base, 80);
	say("events %d", a.events);
	bufferevent_enable(a.bev, EV_READ);
	until(base, a.events > 0);
}

static void deferred_timeout(void)
{
	start(BEV_OPT_DEFER_CALLBACKS);
	set_timeouts(20, 0);
	bufferevent_enable(a.bev, EV_READ);
	until(base, a.events > 0);
	say_enabled(&a);
}

/* ---- triggers and deferral ---- */

static void say_read(struct bufferevent *bev, void *name)
{
	(void)bev;
	say("%s: read callback", (const char *)name);
}

static void say_write(struct bufferevent *bev, void *name)
{
	(void)bev;
	say("%s: write callback", (const char *)name);
}

static void say_event(struct bufferevent *bev, short what, void *name)
{
	(void)bev;
	say("%s: %s", (const char *)name, bev_bits(what));
}

static void talkative(struct bufferevent *bev, const char *name)
{
	bufferevent_setcb(bev, say_read, say_write, say_event, (void *)(uintptr_t)name);
}

static void trigger_all(int options)
{
	bufferevent_trigger_event(a.bev, BEV_EVENT_EOF | BEV_EVENT_READING, options);
	bufferevent_trigger(a.bev, EV_WRITE, options);
	bufferevent_trigger(a.bev, EV_READ, options);
	bufferevent_trigger_event(a.bev, BEV_EVENT_CONNECTED, options);
	bufferevent_trigger(a.bev, EV_READ | EV_WRITE, options);
	say("triggered");
	passes(base, 2);
}

static void triggers(void)
{
	start(0);
	talkative(a.bev, "A");
	trigger_all(0);
}

static void deferred_triggers(void)
{
	start(0);
	talkative(a.bev, "A");
	trigger_all(BEV_OPT_DEFER_CALLBACKS);
}

static void triggers_of_a_deferring_one(void)
{
	start(BEV_OPT_DEFER_CALLBACKS);
	talkative(a.bev, "A");
	trigger_all(0);
}

static void triggers_of_an_unlocking_one(void)
{
	MUST(evthread_use_pthreads() == 0);
	start(BEV_OPT_DEFER_CALLBACKS | BEV_OPT_UNLOCK_CALLBACKS | BEV_OPT_THREADSAFE);
	talkative(a.bev, "A");
	trigger_all(0);
}

static void triggers_and_watermarks(void)
{
	start(0);
	talkative(a.bev, "A");
	bufferevent_setwatermark(a.bev, EV_READ, 1, 0);
	bufferevent_trigger(a.bev, EV_READ, 0);
	say("below the mark");
	bufferevent_trigger(a.bev, EV_READ, BEV_TRIG_IGNORE_WATERMARKS);
	bufferevent_disable(a.bev, EV_WRITE);
	bufferevent_write(a.bev, "x", 1);
	bufferevent_trigger(a.bev, EV_WRITE, 0);
	say("above the mark");
	bufferevent_trigger(a.bev, EV_WRITE, BEV_TRIG_IGNORE_WATERMARKS);
	passes(base, 1);
}

static void options_that_are_refused(void)
{
	int fd[2];

	base = new_base();
	new_pair(fd);
	say("UNLOCK without DEFER: %s",
	    yes(bufferevent_socket_new(base, fd[0], BEV_OPT_UNLOCK_CALLBACKS) != NULL));
	say("THREADSAFE without threads: %s",
	    yes(bufferevent_socket_new(base, fd[0], BEV_OPT_THREADSAFE) != NULL));
}

static void everything_deferred(void)
{
	int peer = start(BEV_OPT_DEFER_CALLBACKS);

	talkative(a.bev, "A");
	stream_put(peer, 0, 10);
	bufferevent_write(a.bev, "x", 1);
	bufferevent_enable(a.bev, EV_READ);
	passes(base, 3);
}

/* ---- priorities ---- */

static void priorities(int options)
{
	int fd[2][2];
	static const char *const names[] = {"less urgent", "more urgent"};
	struct bufferevent *bev[2];

	base = new_base();
	event_base_priority_init(base, 3);
	for (int i = 0; i < 2; i++) {
		new_pair(fd[i]);
		bev[i] = bufferevent_socket_new(base, fd[i][0], options);
		talkative(bev[i], names[i]);
		say("priority %d", bufferevent_get_priority(bev[i]));
		say("set: %d", bufferevent_priority_set(bev[i], 2 - 2 * i));
		say("priority %d", bufferevent_get_priority(bev[i]));
		say("out of range: %d", bufferevent_priority_set(bev[i], 3));
		stream_put(fd[i][1], 0, 10);
		bufferevent_enable(bev[i], EV_READ);
	}
	run_for(base, SETTLE_MS);
}

static void priorities_of_reads(void)
{
	priorities(0);
}

static void priorities_of_deferred_reads(void)
{
	priorities(BEV_OPT_DEFER_CALLBACKS);
}

/* ---- callbacks that change callbacks ---- */

static void replace_callbacks(struct side *side)
{
	talkative(side->bev, "replaced");
}

static void replaced_in_readcb(void)
{
	int peer = start_reading(0);

	a.on_read = replace_callbacks;
	stream_put(peer, 0, 10);
	until(base, a.reads > 0);
	settle(base);
	stream_put(peer, 10, 10);
	settle(base);
	close(peer);
	settle(base);
	say("reads %d, events %d", a.reads, a.events);
}

static void no_callbacks(struct side *side)
{
	bufferevent_setcb(side->bev, NULL, NULL, NULL, NULL);
}

static void removed_in_readcb(void)
{
	int peer = start_reading(0);

	a.on_read = no_callbacks;
	stream_put(peer, 0, 10);
	until(base, a.reads > 0);
	stream_put(peer, 10, 10);
	close(peer);
	settle(base);
	say("reads %d, events %d, input %zu", a.reads, a.events, evbuffer_get_length(in(&a)));
	say_enabled(&a);
}

static void replace_in_eventcb(struct side *side, short what)
{
	(void)what;
	talkative(side->bev, "replaced");
	bufferevent_trigger_event(side->bev, BEV_EVENT_EOF, 0);
	bufferevent_enable(side->bev, EV_READ);
}

static void replaced_in_eventcb(void)
{
	int peer = start_reading(0);

	a.on_event = replace_in_eventcb;
	close(peer);
	until(base, a.events > 0);
	passes(base, 2);
}

static void removed_before_deferral_ends(void)
{
	int peer = start_reading(BEV_OPT_DEFER_CALLBACKS);

	stream_put(peer, 0, 10);
	bufferevent_trigger(a.bev, EV_READ, BEV_TRIG_IGNORE_WATERMARKS);
	bufferevent_setcb(a.bev, NULL, NULL, NULL, NULL);
	settle(base);
	say("reads %d, input %zu", a.reads, evbuffer_get_length(in(&a)));
}

static void write_in_readcb(struct side *side)
{
	bufferevent_write(side->bev, "x", 1);
}

static void enable_in_writecb(struct side *side)
{
	bufferevent_enable(side->bev, EV_READ);
}

static void chain_of_callbacks(void)
{
	int peer = start(0);

	a.on_write = enable_in_writecb;
	a.on_read = write_in_readcb;
	stream_put(peer, 0, 10);
	bufferevent_write(a.bev, "12", 2);
	until(base, a.got == 10);
	settle(base);
	say("peer %d, writecb %d", take(peer, 100), a.writes);
}

static void count_added(struct evbuffer *buffer, const struct evbuffer_cb_info *info, void *arg)
{
	size_t *sums = arg;

	(void)buffer;
	sums[0] += info->n_added;
	sums[1] += info->n_deleted;
}

static void buffer_callbacks(void)
{
	int peer = start_reading(0);
	size_t of_input[2] = {0, 0}, of_output[2] = {0, 0};

	evbuffer_add_cb(in(&a), count_added, of_input);
	evbuffer_add_cb(out(&a), count_added, of_output);
	stream_put(peer, 0, 20000);
	stream_add(out(&a), 10000, 0);
	until(base, a.got == 20000);
	peer_expects(base, peer, 10000);
	say("input: %zu added, %zu deleted", of_input[0], of_input[1]);
	say("output: %zu added, %zu deleted", of_output[0], of_output[1]);
}

static const struct diff_scenario scenarios[] = {
    DIFF_SCENARIO(read_timeout),
    DIFF_SCENARIO(write_timeout),
    DIFF_SCENARIO(both_timeouts),
    DIFF_SCENARIO(timeouts_taken_back),
    DIFF_SCENARIO(timeout_set_while_reading),
    DIFF_SCENARIO(no_timeout_while_disabled),
    DIFF_SCENARIO(deferred_timeout),
    DIFF_SCENARIO(triggers),
    DIFF_SCENARIO(deferred_triggers),
    DIFF_SCENARIO(triggers_of_a_deferring_one),
    DIFF_SCENARIO(triggers_of_an_unlocking_one),
    DIFF_SCENARIO(triggers_and_watermarks),
    DIFF_SCENARIO(options_that_are_refused),
    DIFF_SCENARIO(everything_deferred),
    DIFF_SCENARIO(priorities_of_reads),
    DIFF_SCENARIO(priorities_of_deferred_reads),
    DIFF_SCENARIO(replaced_in_readcb),
    DIFF_SCENARIO(removed_in_readcb),
    DIFF_SCENARIO(replaced_in_eventcb),
    DIFF_SCENARIO(removed_before_deferral_ends),
    DIFF_SCENARIO(chain_of_callbacks),
    DIFF_SCENARIO(buffer_callbacks),
};

DIFF_MAIN(scenarios)
