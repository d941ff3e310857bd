/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pairs of bufferevents, and with them what all bufferevents have in common: watermarks, flushing,
 * timeouts, deferral, switching directions, triggering, references, and what may be freed when.
 */
#include "diff_ends.h"

static void free_b(struct side *s)
{
	say("%s frees b", s->name);
	bufferevent_free(b.bev);
}

static void free_both(struct side *s)
{
	say("%s frees both", s->name);
	bufferevent_free(a.bev);
	bufferevent_free(b.bev);
}

static void pair_as_it_is_new(void)
{
	size_t low = 9, high = 9;
	bufferevent_data_cb readcb, writecb;
	bufferevent_event_cb eventcb;
	void *arg;

	new_ends(0);
	say("enabled: %s", bits(bufferevent_get_enabled(a.bev)));
	say("base: %s", yes(bufferevent_get_base(a.bev) == base));
	say("partners: %s", yes(bufferevent_pair_get_partner(a.bev) == b.bev &&
				bufferevent_pair_get_partner(b.bev) == a.bev));
	say("fd %d, setfd %d", (int)bufferevent_getfd(a.bev), bufferevent_setfd(a.bev, 3));
	say("underlying: %s", yes(bufferevent_get_underlying(a.bev) != NULL));
	say("read marks: %d, %zu %zu", bufferevent_getwatermark(a.bev, EV_READ, &low, &high), low,
	    high);
	say("both marks: %d", bufferevent_getwatermark(a.bev, EV_READ | EV_WRITE, &low, &high));
	say("no marks: %d", bufferevent_getwatermark(a.bev, 0, NULL, NULL));
	bufferevent_getcb(a.bev, &readcb, &writecb, &eventcb, &arg);
	say("callbacks: %s",
	    yes(readcb == read_cb && writecb == write_cb && eventcb == event_cb && arg == &a));
	bufferevent_getcb(a.bev, NULL, NULL, NULL, NULL);
	say("base_set: %d", bufferevent_base_set(base, a.bev));
	say("limits: %ld %ld", (long)bufferevent_get_max_to_read(a.bev),
	    (long)bufferevent_get_max_to_write(a.bev));
	settle();
}

static void pair_priorities(void)
{
	struct bufferevent *ends[2];

	base = new_base();
	event_base_priority_init(base, 6);
	MUST(bufferevent_pair_new(base, 0, ends) == 0);
	say("priority %d", bufferevent_get_priority(ends[0]));
	say("set: %d", bufferevent_priority_set(ends[0], 1));
	say("priority %d", bufferevent_get_priority(ends[0]));
	struct bufferevent *filter = bufferevent_filter_new(ends[0], NULL, NULL, 0, NULL, NULL);
	say("filter: priority %d, set %d", bufferevent_get_priority(filter),
	    bufferevent_priority_set(filter, 1));
}

static void option_refused(int options)
{
	struct bufferevent *ends[2] = {NULL, NULL};
	int result = bufferevent_pair_new(base, options, ends);

	say("options %d: %d", options, result);
	if (result == 0)
		say("filter: %s",
		    yes(bufferevent_filter_new(ends[0], NULL, NULL, options, NULL, NULL) != NULL));
}

static void options_that_are_refused(void)
{
	base = new_base();
	option_refused(0);
	option_refused(BEV_OPT_UNLOCK_CALLBACKS);
	option_refused(BEV_OPT_DEFER_CALLBACKS | BEV_OPT_UNLOCK_CALLBACKS);
	option_refused(BEV_OPT_THREADSAFE);
	say("filter on nothing: %s",
	    yes(bufferevent_filter_new(NULL, NULL, NULL, 0, NULL, NULL) != NULL));
}

static void write_then_enable(void)
{
	new_ends(0);
	write_n(&a, 10);
	settle();
	say_lens();
	say("enable: %d", bufferevent_enable(b.bev, EV_READ));
	say_lens();
	settle();
	say_lens();
}

static void enable_then_write_both_ways(void)
{
	new_ends(0);
	bufferevent_enable(a.bev, EV_READ);
	bufferevent_enable(b.bev, EV_READ);
	write_n(&a, 10);
	write_n(&b, 20);
	write_n(&a, 5);
	say_lens();
	settle();
	write_n(&b, 1);
	settle();
}

static void switching(void)
{
	new_ends(0);
	bufferevent_enable(b.bev, EV_READ);
	say("disable write: %d", bufferevent_disable(a.bev, EV_WRITE));
	write_n(&a, 4);
	say_lens();
	bufferevent_enable(a.bev, EV_WRITE);
	say_lens();
	bufferevent_disable(b.bev, EV_READ | EV_WRITE);
	say("b: %s", bits(bufferevent_get_enabled(b.bev)));
	write_n(&a, 3);
	write_n(&b, 2);
	bufferevent_enable(a.bev, EV_READ);
	settle();
	say_lens();
	bufferevent_enable(b.bev, EV_READ | EV_WRITE);
	say_lens();
	settle();
	bufferevent_disable(b.bev, 0);
	bufferevent_enable(b.bev, 0);
	settle();
}

static void ping_pong(void)
{
	new_ends(0);
	bufferevent_enable(a.bev, EV_READ);
	bufferevent_enable(b.bev, EV_READ);
	a.echo = b.echo = 3;
	write_n(&a, 7);
	settle();
	say("a took %zu, b took %zu", a.taken, b.taken);
}

static void high_mark_in_steps(void)
{
	new_ends(0);
	bufferevent_setwatermark(b.bev, EV_READ, 0, 10);
	bufferevent_enable(b.bev, EV_READ);
	b.take = 4;
	write_n(&a, 35);
	say_lens();
	settle();
	say_lens();
	say("b took %zu", b.taken);
}

static void high_mark_comes_and_goes(void)
{
	new_ends(0);
	bufferevent_setcb(b.bev, NULL, NULL, NULL, NULL);
	bufferevent_enable(b.bev, EV_READ);
	write_n(&a, 10);
	bufferevent_setwatermark(b.bev, EV_READ, 0, 8);
	write_n(&a, 10);
	say_lens();
	bufferevent_setwatermark(b.bev, EV_READ, 0, 15);
	say_lens();
	bufferevent_setwatermark(b.bev, EV_READ, 0, 12);
	evbuffer_drain(bufferevent_get_input(b.bev), 2);
	say_lens();
	evbuffer_drain(bufferevent_get_input(b.bev), 2);
	say_lens();
	write_n(&a, 20);
	bufferevent_setwatermark(b.bev, EV_READ, 0, 0);
	say_lens();
	settle();
}

static void low_read_mark(void)
{
	new_ends(0);
	bufferevent_setwatermark(b.bev, EV_READ, 10, 0);
	bufferevent_enable(b.bev, EV_READ);
	write_n(&a, 9);
	settle();
	write_n(&a, 1);
	settle();
	b.take = 5;
	write_n(&a, 12);
	settle();
	write_n(&a, 2);
	settle();
	write_n(&a, 1);
	settle();
}

static void low_write_mark(void)
{
	new_ends(0);
	bufferevent_setwatermark(a.bev, EV_WRITE, 5, 1000);
	bufferevent_setwatermark(b.bev, EV_READ, 0, 10);
	bufferevent_enable(b.bev, EV_READ);
	b.take = 3;
	write_n(&a, 28);
	settle();
	say_lens();
	a.refill = 2;
	write_n(&a, 1);
	settle();
	say_lens();
}

static void try_flush(short iotype, enum bufferevent_flush_mode mode, const char *name)
{
	say("%s %s: %d", name, bits(iotype), bufferevent_flush(a.bev, iotype, mode));
	say_lens();
	settle();
	say_lens();
}

static void flushing(void)
{
	new_ends(0);
	bufferevent_setwatermark(b.bev, EV_READ, 0, 6);
	write_n(&a, 10);
	write_n(&b, 5);
	try_flush(EV_READ | EV_WRITE, BEV_NORMAL, "normal");
	try_flush(EV_WRITE, BEV_FLUSH, "flush");
	try_flush(EV_READ, BEV_FLUSH, "flush");
	bufferevent_setcb(b.bev, NULL, NULL, event_cb, &b);
	write_n(&a, 8);
	try_flush(EV_WRITE, BEV_FLUSH, "flush");
	write_n(&a, 3);
	try_flush(EV_WRITE, BEV_FLUSH, "flush");
	try_flush(EV_READ | EV_WRITE, BEV_FLUSH, "flush");
}

static void finishing(void)
{
	new_ends(0);
	write_n(&a, 10);
	try_flush(EV_WRITE, BEV_FINISHED, "finished");
	try_flush(EV_READ, BEV_FINISHED, "finished");
	try_flush(EV_READ | EV_WRITE, BEV_FINISHED, "finished");
	try_flush(0, BEV_FINISHED, "finished");
	bufferevent_enable(b.bev, EV_READ);
	write_n(&a, 10);
	try_flush(EV_WRITE, BEV_FINISHED, "finished");
}

static void alone(void)
{
	new_ends(0);
	bufferevent_enable(b.bev, EV_READ);
	write_n(&a, 10);
	bufferevent_free(b.bev);
	say("partner: %s", yes(bufferevent_pair_get_partner(a.bev) != NULL));
	write_n(&a, 5);
	say("out %zu", out_len(&a));
	settle();
	write_n(&a, 5);
	bufferevent_enable(a.bev, EV_READ | EV_WRITE);
	say("flush: %d %d", bufferevent_flush(a.bev, EV_WRITE, BEV_NORMAL),
	    bufferevent_flush(a.bev, EV_WRITE, BEV_FINISHED));
	settle();
	say("out %zu", out_len(&a));
	bufferevent_free(a.bev);
	settle();
}

static void free_in(void (*then)(struct side *), struct side *who)
{
	new_ends(0);
	bufferevent_enable(a.bev, EV_READ);
	bufferevent_enable(b.bev, EV_READ);
	who->then = then;
	write_n(&a, 10);
	write_n(&b, 20);
	settle();
	say("no more events: %s",
	    yes(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED) == 0));
	event_base_free(base);
}

static void free_itself_in_readcb(void)
{
	free_in(free_it, &b);
}

static void free_partner_in_readcb(void)
{
	free_in(free_b, &a);
}

static void free_both_in_readcb(void)
{
	free_in(free_both, &b);
}

static void free_itself_in_eventcb(void)
{
	new_ends(0);
	b.then = free_it;
	bufferevent_setcb(b.bev, NULL, NULL, event_cb, &b);
	bufferevent_flush(a.bev, EV_WRITE, BEV_FINISHED);
	settle();
	say("partner: %s", yes(bufferevent_pair_get_partner(a.bev) != NULL));
	event_base_free(base);
}

static void free_itself_in_writecb(void)
{
	new_ends(0);
	bufferevent_setcb(a.bev, NULL, write_cb, event_cb, &a);
	bufferevent_enable(b.bev, EV_READ);
	a.then = free_it;
	write_n(&a, 10);
	bufferevent_trigger_event(a.bev, BEV_EVENT_EOF, 0);
	settle();
	say("b took %zu", b.taken);
	event_base_free(base);
}

static void freed_with_callbacks_pending(void)
{
	new_ends(0);
	bufferevent_enable(b.bev, EV_READ);
	write_n(&a, 10);
	bufferevent_free(a.bev);
	bufferevent_free(b.bev);
	settle();
	event_base_free(base);
	new_ends(0);
	bufferevent_enable(b.bev, EV_READ);
	write_n(&a, 10);
	bufferevent_free(b.bev);
	bufferevent_free(a.bev);
	event_base_free(base);
}

static void references(void)
{
	new_ends(0);
	bufferevent_incref(b.bev);
	bufferevent_lock(b.bev);
	bufferevent_enable(b.bev, EV_READ);
	write_n(&a, 10);
	bufferevent_free(b.bev);
	say("partner: %s", yes(bufferevent_pair_get_partner(a.bev) != NULL));
	settle();
	say_lens();
	bufferevent_unlock(b.bev);
	say("partner: %s", yes(bufferevent_pair_get_partner(a.bev) != NULL));
	say("last: %d", bufferevent_decref(b.bev));
	say("partner: %s", yes(bufferevent_pair_get_partner(a.bev) != NULL));
	settle();
}

static void read_timeout(void)
{
	struct timeval soon = msec(20);

	new_ends(0);
	say("set: %d", bufferevent_set_timeouts(b.bev, &soon, NULL));
	say("events: %d", event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED));
	bufferevent_enable(b.bev, EV_READ);
	say("events: %d", event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED));
	until(&b.events, 1);
	write_n(&a, 5);
	say_lens();
	bufferevent_enable(b.bev, EV_READ);
	until(&b.events, 2);
	bufferevent_set_timeouts(b.bev, NULL, NULL);
	bufferevent_enable(b.bev, EV_READ);
	say("pending: %s", pending(&b.bev->ev_read));
}

static void write_timeout(void)
{
	struct timeval soon = msec(20);

	new_ends(0);
	bufferevent_set_timeouts(a.bev, NULL, &soon);
	bufferevent_enable(a.bev, EV_READ | EV_WRITE);
	say("pending: %s", pending(&a.bev->ev_write));
	write_n(&a, 5);
	say("pending: %s", pending(&a.bev->ev_write));
	bufferevent_enable(a.bev, EV_WRITE);
	say("pending: %s", pending(&a.bev->ev_write));
	until(&a.events, 1);
	say_lens();
	bufferevent_enable(b.bev, EV_READ);
	settle();
	say_lens();
	bufferevent_enable(a.bev, EV_WRITE);
	settle();
	say_lens();
}

static void when_timers_run(void)
{
	struct timeval long_time = {60, 0};

	new_ends(0);
	bufferevent_settimeout(a.bev, 60, 60);
	say_timers("new", a.bev);
	write_n(&a, 5);
	say_timers("written", a.bev);
	bufferevent_set_timeouts(a.bev, &long_time, &long_time);
	say_timers("set again", a.bev);
	bufferevent_enable(a.bev, EV_READ);
	say_timers("reading", a.bev);
	bufferevent_disable(a.bev, EV_WRITE);
	say_timers("not writing", a.bev);
	bufferevent_enable(a.bev, EV_WRITE);
	say_timers("writing", a.bev);
	bufferevent_enable(b.bev, EV_READ);
	say_timers("sent", a.bev);
	write_n(&b, 5);
	say_timers("received", a.bev);
	bufferevent_setwatermark(a.bev, EV_READ, 0, 5);
	say_timers("at the high mark", a.bev);
	evbuffer_drain(bufferevent_get_input(a.bev), 1);
	say_timers("below", a.bev);
	bufferevent_settimeout(a.bev, 0, 0);
	say_timers("none", a.bev);
}

static void triggering(void)
{
	new_ends(0);
	bufferevent_setwatermark(b.bev, EV_READ, 5, 0);
	bufferevent_enable(b.bev, EV_READ);
	b.take = 1;
	write_n(&a, 4);
	settle();
	say("with marks");
	bufferevent_trigger(b.bev, EV_READ | EV_WRITE, 0);
	settle();
	say("without");
	bufferevent_trigger(b.bev, EV_READ | EV_WRITE, BEV_TRIG_IGNORE_WATERMARKS);
	say("triggered");
	settle();
	bufferevent_disable(b.bev, EV_READ | EV_WRITE);
	bufferevent_trigger(b.bev, EV_READ, BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
	say("triggered");
	settle();
	bufferevent_trigger(b.bev, 0, BEV_TRIG_IGNORE_WATERMARKS);
	settle();
}

static void triggering_events(void)
{
	new_ends(0);
	tell_errno = true;
	errno = ECONNRESET;
	bufferevent_trigger_event(a.bev, BEV_EVENT_ERROR | BEV_EVENT_READING, 0);
	errno = 0;
	settle();
	errno = EPIPE;
	bufferevent_trigger_event(a.bev, BEV_EVENT_EOF, 0);
	errno = EINVAL;
	bufferevent_trigger_event(a.bev, BEV_EVENT_TIMEOUT, BEV_TRIG_DEFER_CALLBACKS);
	errno = 0;
	settle();
	say("a: %s", bits(bufferevent_get_enabled(a.bev)));
}

static void order_of_what_is_pending(void)
{
	new_ends(0);
	bufferevent_enable(a.bev, EV_READ);
	bufferevent_enable(b.bev, EV_READ);
	bufferevent_trigger_event(b.bev, BEV_EVENT_EOF | BEV_EVENT_READING, 0);
	write_n(&a, 5);
	write_n(&b, 6);
	bufferevent_trigger_event(b.bev, BEV_EVENT_CONNECTED, 0);
	settle();
}

static void set_the_others(struct side *s)
{
	say("sets its readcb only");
	bufferevent_setcb(s->bev, read_cb, NULL, NULL, s);
}

static void pending_without_a_callback(void)
{
	new_ends(0);
	bufferevent_enable(a.bev, EV_READ);
	bufferevent_enable(b.bev, EV_READ);
	write_n(&a, 5);
	write_n(&b, 6);
	bufferevent_trigger_event(b.bev, BEV_EVENT_EOF, 0);
	b.then = set_the_others;
	settle();
	use(&b, b.bev);
	settle();
	write_n(&a, 1);
	settle();
}

static void whole_buffers(void)
{
	struct evbuffer *buf = evbuffer_new();

	new_ends(0);
	bufferevent_setcb(b.bev, NULL, NULL, NULL, NULL);
	bufferevent_enable(b.bev, EV_READ);
	evbuffer_add(buf, "0123456789", 10);
	say("write_buffer: %d, left %zu", bufferevent_write_buffer(a.bev, buf),
	    evbuffer_get_length(buf));
	say_lens();
	evbuffer_add(buf, "x", 1);
	say("read_buffer: %d, has %zu", bufferevent_read_buffer(b.bev, buf),
	    evbuffer_get_length(buf));
	say_lens();
	char data[16];
	say("read: %d", (int)bufferevent_read(b.bev, data, sizeof(data)));
	say("add to input: %d", evbuffer_add(bufferevent_get_input(b.bev), "x", 1));
	write_n(&b, 3);
	say("drain output: %d", evbuffer_drain(bufferevent_get_output(b.bev), 1));
	say_lens();
}

static void many_pairs(void)
{
	enum { PAIRS = 50 };
	static struct side sides[PAIRS][2];
	static char names[PAIRS][2][8];

	base = new_base();
	for (int i = 0; i < PAIRS; i++) {
		struct bufferevent *ends[2];
		MUST(bufferevent_pair_new(base, 0, ends) == 0);
		for (int end = 0; end < 2; end++) {
			snprintf(names[i][end], sizeof(names[i][end]), "%d%c", i, 'a' + end);
			sides[i][end] = (struct side){.name = names[i][end], .take = -1};
			use(&sides[i][end], ends[end]);
		}
		bufferevent_enable(ends[1], EV_READ);
	}
	for (int i = 0; i < PAIRS; i++)
		bufferevent_write(sides[i][0].bev, "x", 1);
	for (int i = 1; i <= 4; i++) {
		say("pass %d", i);
		one_pass(base);
	}
}

static void much_data(void)
{
	static const size_t pieces[] = {1, 4095, 70000, 13, 1024, 300000, 2};
	size_t sent = 0;

	new_ends(0);
	a.quiet = b.quiet = true;
	bufferevent_setwatermark(b.bev, EV_READ, 0, 5000);
	bufferevent_enable(b.bev, EV_READ);
	b.take = 1234;
	for (int round = 0; round < 10; round++) {
		for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
			char *data = calloc(1, pieces[i]);
			bufferevent_write(a.bev, data, pieces[i]);
			sent += pieces[i];
			free(data);
		}
		settle();
	}
	say("sent %zu, took %zu, left %zu", sent, b.taken, in_len(&b) + out_len(&a));
	say("reads %d, writes %d", b.reads, a.writes);
}

static void changed_cb(struct evbuffer *buf, const struct evbuffer_cb_info *info, void *name)
{
	say("%s: had %zu, added %zu, deleted %zu, has %zu", (const char *)name, info->orig_size,
	    info->n_added, info->n_deleted, evbuffer_get_length(buf));
}

static void what_the_buffers_tell(void)
{
	new_ends(0);
	evbuffer_add_cb(bufferevent_get_output(a.bev), changed_cb, "a's output");
	evbuffer_add_cb(bufferevent_get_input(b.bev), changed_cb, "b's input");
	bufferevent_setwatermark(b.bev, EV_READ, 0, 6);
	write_n(&a, 4);
	bufferevent_enable(b.bev, EV_READ);
	write_n(&a, 7);
	settle();
}

static void deferred_buffer_callbacks(void)
{
	new_ends(0);
	evbuffer_add_cb(bufferevent_get_output(a.bev), changed_cb, "a's output");
	evbuffer_add_cb(bufferevent_get_input(b.bev), changed_cb, "b's input");
	evbuffer_defer_callbacks(bufferevent_get_output(a.bev), base);
	evbuffer_defer_callbacks(bufferevent_get_input(b.bev), base);
	bufferevent_setwatermark(b.bev, EV_READ, 0, 6);
	bufferevent_enable(b.bev, EV_READ);
	write_n(&a, 4);
	write_n(&a, 7);
	say_lens();
	settle();
	say_lens();
	evbuffer_drain(bufferevent_get_output(a.bev), 1);
	write_n(&a, 3);
	settle();
	say_lens();
}

static void unlocked_callbacks(void)
{
	MUST(evthread_use_pthreads() == 0);
	new_ends(BEV_OPT_THREADSAFE | BEV_OPT_UNLOCK_CALLBACKS);
	bufferevent_enable(a.bev, EV_READ);
	bufferevent_enable(b.bev, EV_READ);
	bufferevent_trigger_event(b.bev, BEV_EVENT_EOF, 0);
	bufferevent_trigger_event(b.bev, BEV_EVENT_CONNECTED, 0);
	write_n(&a, 5);
	write_n(&b, 6);
	b.then = free_it;
	settle();
	bufferevent_free(a.bev);
	event_base_free(base);
}

static void locked_pairs_in_any_order(void)
{
	evthread_enable_lock_debugging();
	MUST(evthread_use_pthreads() == 0);
	for (int first = 0; first < 2; first++) {
		for (int between = 0; between < 2; between++) {
			new_ends(BEV_OPT_THREADSAFE);
			bufferevent_enable(b.bev, EV_READ);
			bufferevent_write(a.bev, "x", 1);
			bufferevent_free(first ? b.bev : a.bev);
			if (between)
				settle();
			bufferevent_free(first ? a.bev : b.bev);
			event_base_free(base);
		}
	}
	say("done");
}

static const struct diff_scenario scenarios[] = {
    DIFF_SCENARIO(pair_as_it_is_new),
    DIFF_SCENARIO(pair_priorities),
    DIFF_SCENARIO(options_that_are_refused),
    DIFF_SCENARIO(write_then_enable),
    DIFF_SCENARIO(enable_then_write_both_ways),
    DIFF_SCENARIO(switching),
    DIFF_SCENARIO(ping_pong),
    DIFF_SCENARIO(high_mark_in_steps),
    DIFF_SCENARIO(high_mark_comes_and_goes),
    DIFF_SCENARIO(low_read_mark),
    DIFF_SCENARIO(low_write_mark),
    DIFF_SCENARIO(flushing),
    DIFF_SCENARIO(finishing),
    DIFF_SCENARIO(alone),
    DIFF_SCENARIO(free_itself_in_readcb),
    DIFF_SCENARIO(free_partner_in_readcb),
    DIFF_SCENARIO(free_both_in_readcb),
    DIFF_SCENARIO(free_itself_in_eventcb),
    DIFF_SCENARIO(free_itself_in_writecb),
    DIFF_SCENARIO(freed_with_callbacks_pending),
    DIFF_SCENARIO(references),
    DIFF_SCENARIO(read_timeout),
    DIFF_SCENARIO(write_timeout),
    DIFF_SCENARIO(when_timers_run),
    DIFF_SCENARIO(triggering),
    DIFF_SCENARIO(triggering_events),
    DIFF_SCENARIO(order_of_what_is_pending),
    DIFF_SCENARIO(pending_without_a_callback),
    DIFF_SCENARIO(whole_buffers),
    DIFF_SCENARIO(many_pairs),
    DIFF_SCENARIO(much_data),
    DIFF_SCENARIO(what_the_buffers_tell),
    DIFF_SCENARIO(deferred_buffer_callbacks),
    DIFF_SCENARIO(unlocked_callbacks),
    DIFF_SCENARIO(locked_pairs_in_any_order),
};

DIFF_MAIN(scenarios)
