/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Filters, over one end of a pair and over other filters: how often, with what and in what order
 * the filter functions are called, whatever they do (change lengths, want more, hold back, fail),
 * and who is freed with whom. The transcript tells every call of a filter function.
 */
#include "diff_ends.h"

static struct side f = {.name = "f", .take = -1}, g = {.name = "g", .take = -1};

/* What a filter of this program does, and its argument. */
struct stage {
	const char *name;
	int in_per_call; /* bytes taken in a call; 0: all; needs that many, or BEV_NEED_MORE */
	int expand;      /* each byte comes out so many times */
	int shrink;      /* only each so manieth byte comes out */
	int fail_after;  /* so many calls go well, then BEV_ERROR; 0: all do */
	bool keep;       /* hold everything back until a flush */
	bool quiet;
	int calls;
	struct evbuffer *kept;
};

static struct stage down = {.name = "down"}, up = {.name = "up"};

static const char *mode_name(enum bufferevent_flush_mode mode)
{
	switch (mode) {
	case BEV_NORMAL:
		return "normal";
	case BEV_FLUSH:
		return "flush";
	case BEV_FINISHED:
		return "finished";
	}
	return "?";
}

static void put_out(struct stage *st, struct evbuffer *dst, const char *data, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (st->shrink && i % (size_t)st->shrink)
			continue;
		for (int k = 0; k < (st->expand ? st->expand : 1); k++)
			evbuffer_add(dst, data + i, 1);
	}
}

static enum bufferevent_filter_result run_stage(struct stage *st, struct evbuffer *src,
    struct evbuffer *dst, ev_ssize_t limit, enum bufferevent_flush_mode mode)
{
	size_t has = evbuffer_get_length(src);
	size_t n = st->in_per_call ? (size_t)st->in_per_call : has;

	st->calls++;
	if (!st->quiet)
		say("%s filter: %zu there, limit %ld, %s", st->name, has, (long)limit,
		    mode_name(mode));
	if (st->fail_after && st->calls > st->fail_after)
		return BEV_ERROR;
	if (st->keep) {
		if (!st->kept)
			st->kept = evbuffer_new();
		evbuffer_add_buffer(st->kept, src);
		if (mode == BEV_NORMAL || evbuffer_get_length(st->kept) == 0)
			return BEV_NEED_MORE;
		evbuffer_add_buffer(dst, st->kept);
		return BEV_OK;
	}
	if (has == 0 || has < n)
		return BEV_NEED_MORE;
	if (limit >= 0 && !st->in_per_call && n > (size_t)limit)
		n = (size_t)limit;
	char *data = malloc(n + 1);
	evbuffer_remove(src, data, n);
	put_out(st, dst, data, n);
	free(data);
	return BEV_OK;
}

static enum bufferevent_filter_result filter_in(struct evbuffer *src, struct evbuffer *dst,
    ev_ssize_t limit, enum bufferevent_flush_mode mode, void *ctx)
{
	(void)ctx;
	return run_stage(&up, src, dst, limit, mode);
}

static enum bufferevent_filter_result filter_out(struct evbuffer *src, struct evbuffer *dst,
    ev_ssize_t limit, enum bufferevent_flush_mode mode, void *ctx)
{
	(void)ctx;
	return run_stage(&down, src, dst, limit, mode);
}

static void free_context(void *ctx)
{
	say("context of %s freed", (const char *)ctx);
}

static struct bufferevent *new_filter(struct bufferevent *under, int options, char *name)
{
	struct bufferevent *filter =
	    bufferevent_filter_new(under, filter_in, filter_out, options, free_context, name);

	MUST(filter != NULL);
	return filter;
}

/* f is a filter over a. */
static void new_filtered_ends(int options)
{
	new_ends(0);
	use(&f, new_filter(a.bev, options, "f"));
}

static void say_filter(void)
{
	say("f in %zu out %zu, a in %zu out %zu, b in %zu out %zu", in_len(&f), out_len(&f),
	    in_len(&a), out_len(&a), in_len(&b), out_len(&b));
}

static void filter_as_it_is_new(void)
{
	new_ends(0);
	use(&f, bufferevent_filter_new(a.bev, NULL, NULL, 0, NULL, NULL));
	say("enabled: f %s, a %s", bits(bufferevent_get_enabled(f.bev)),
	    bits(bufferevent_get_enabled(a.bev)));
	say("underlying: %s, partner: %s", yes(bufferevent_get_underlying(f.bev) == a.bev),
	    yes(bufferevent_pair_get_partner(f.bev) != NULL));
	say("fd %d, setfd %d", (int)bufferevent_getfd(f.bev), bufferevent_setfd(f.bev, 3));
	say("base_set: %d", bufferevent_base_set(base, f.bev));
	bufferevent_enable(b.bev, EV_READ);
	write_n(&f, 10);
	say_filter();
	write_n(&b, 20);
	say_filter();
	settle();
	bufferevent_enable(f.bev, EV_READ);
	say_filter();
	settle();
	say_filter();
}

static void filter_calls(void)
{
	new_filtered_ends(0);
	bufferevent_enable(b.bev, EV_READ);
	bufferevent_enable(f.bev, EV_READ);
	write_n(&f, 10);
	write_n(&b, 20);
	settle();
	bufferevent_disable(f.bev, EV_READ | EV_WRITE);
	write_n(&f, 3);
	write_n(&b, 4);
	settle();
	say_filter();
	bufferevent_enable(f.bev, EV_READ | EV_WRITE);
	settle();
	say_filter();
	write_n(&f, 1);
	settle();
	say_filter();
}

static void filter_in_blocks(void)
{
	new_filtered_ends(0);
	up.in_per_call = down.in_per_call = 4;
	bufferevent_enable(b.bev, EV_READ);
	bufferevent_enable(f.bev, EV_READ);
	write_n(&f, 3);
	write_n(&f, 6);
	settle();
	say_filter();
	write_n(&b, 10);
	settle();
	write_n(&b, 2);
	settle();
	say_filter();
}

static void filter_that_changes_lengths(void)
{
	new_filtered_ends(0);
	down.expand = 3;
	up.shrink = 2;
	bufferevent_enable(b.bev, EV_READ);
	bufferevent_enable(f.bev, EV_READ);
	write_n(&f, 5);
	write_n(&b, 9);
	settle();
	say("f took %zu, b took %zu", f.taken, b.taken);
}

static void filter_that_fails(void)
{
	new_filtered_ends(0);
	down.in_per_call = up.in_per_call = 2;
	down.fail_after = up.fail_after = 2;
	bufferevent_enable(b.bev, EV_READ);
	bufferevent_enable(f.bev, EV_READ);
	write_n(&f, 10);
	write_n(&b, 10);
	settle();
	say_filter();
	write_n(&f, 1);
	settle();
	say_filter();
}

static void filter_flush(short iotype, enum bufferevent_flush_mode mode)
{
	say("%s %s: %d", mode_name(mode), bits(iotype), bufferevent_flush(f.bev, iotype, mode));
	settle();
	say_filter();
}

static void filter_that_holds_back(void)
{
	new_filtered_ends(0);
	down.keep = up.keep = true;
	bufferevent_enable(b.bev, EV_READ);
	bufferevent_enable(f.bev, EV_READ);
	write_n(&f, 10);
	write_n(&b, 20);
	settle();
	say_filter();
	filter_flush(EV_WRITE, BEV_NORMAL);
	filter_flush(EV_WRITE, BEV_FLUSH);
	filter_flush(EV_READ, BEV_FLUSH);
	write_n(&f, 7);
	filter_flush(EV_READ | EV_WRITE, BEV_FINISHED);
}

static void flush_of_a_disabled_filter(void)
{
	new_filtered_ends(0);
	bufferevent_disable(f.bev, EV_WRITE);
	write_n(&f, 10);
	write_n(&b, 5);
	filter_flush(EV_READ | EV_WRITE, BEV_NORMAL);
	filter_flush(EV_READ | EV_WRITE, BEV_FLUSH);
	filter_flush(EV_READ | EV_WRITE, BEV_FLUSH);
}

static void filter_high_read_mark(void)
{
	new_filtered_ends(0);
	bufferevent_setwatermark(f.bev, EV_READ, 0, 10);
	bufferevent_enable(f.bev, EV_READ);
	f.take = 4;
	write_n(&b, 33);
	settle();
	say_filter();
	say("f took %zu", f.taken);
}

static void filter_overruns_its_mark(void)
{
	new_filtered_ends(0);
	up.expand = 5;
	bufferevent_setwatermark(f.bev, EV_READ, 3, 8);
	bufferevent_enable(f.bev, EV_READ);
	f.take = 6;
	write_n(&b, 9);
	settle();
	say_filter();
	say("f took %zu", f.taken);
}

static void filter_high_mark_below(void)
{
	new_filtered_ends(0);
	bufferevent_setwatermark(a.bev, EV_WRITE, 0, 6);
	bufferevent_setwatermark(b.bev, EV_READ, 0, 5);
	bufferevent_enable(b.bev, EV_READ);
	b.take = 2;
	write_n(&f, 30);
	say_filter();
	settle();
	say_filter();
	say("b took %zu", b.taken);
}

static void filter_on_a_reader_that_waits(void)
{
	new_filtered_ends(0);
	bufferevent_setwatermark(a.bev, EV_WRITE, 0, 4);
	f.refill = 2;
	write_n(&f, 9);
	say_filter();
	bufferevent_enable(b.bev, EV_READ);
	settle();
	say_filter();
}

static void refilling_filter(void)
{
	new_filtered_ends(0);
	bufferevent_enable(b.bev, EV_READ);
	f.refill = 3;
	down.in_per_call = 2;
	write_n(&f, 4);
	say_filter();
	settle();
	say_filter();
}

static void deferred_filter(void)
{
	new_filtered_ends(BEV_OPT_DEFER_CALLBACKS);
	bufferevent_enable(b.bev, EV_READ);
	bufferevent_enable(f.bev, EV_READ);
	write_n(&b, 5);
	write_n(&f, 6);
	bufferevent_trigger_event(f.bev, BEV_EVENT_EOF, 0);
	say_filter();
	settle();
}

static void filter_over_a_filter(void)
{
	new_filtered_ends(0);
	up.quiet = down.quiet = true;
	use(&g, new_filter(f.bev, 0, "g"));
	up.expand = 2;
	say("underlying: %s", yes(bufferevent_get_underlying(g.bev) == f.bev));
	bufferevent_enable(b.bev, EV_READ);
	write_n(&g, 10);
	write_n(&b, 10);
	settle();
	say("g in %zu out %zu", in_len(&g), out_len(&g));
	say_filter();
	bufferevent_enable(g.bev, EV_READ);
	settle();
	say("flush: %d", bufferevent_flush(g.bev, EV_WRITE, BEV_FINISHED));
	settle();
	say("calls up %d, down %d", up.calls, down.calls);
	bufferevent_flush(b.bev, EV_WRITE, BEV_FINISHED);
	settle();
	bufferevent_free(g.bev);
	bufferevent_free(f.bev);
	settle();
}

static void events_from_below(void)
{
	new_filtered_ends(0);
	bufferevent_enable(f.bev, EV_READ);
	write_n(&b, 3);
	bufferevent_flush(b.bev, EV_WRITE, BEV_FINISHED);
	settle();
	bufferevent_trigger_event(a.bev, BEV_EVENT_ERROR, 0);
	settle();
	say("f %s, a %s", bits(bufferevent_get_enabled(f.bev)),
	    bits(bufferevent_get_enabled(a.bev)));
}

static void filter_freed_with_underlying(void)
{
	new_filtered_ends(BEV_OPT_CLOSE_ON_FREE);
	bufferevent_enable(f.bev, EV_READ);
	write_n(&b, 3);
	write_n(&f, 3);
	bufferevent_free(f.bev);
	say("partner: %s", yes(bufferevent_pair_get_partner(b.bev) != NULL));
	settle();
	say("partner: %s", yes(bufferevent_pair_get_partner(b.bev) != NULL));
	write_n(&b, 3);
	settle();
	event_base_free(base);
}

static void filter_freed_alone(void)
{
	bufferevent_data_cb readcb;

	new_filtered_ends(0);
	write_n(&b, 3);
	settle();
	say_lens();
	bufferevent_free(f.bev);
	bufferevent_getcb(a.bev, &readcb, NULL, NULL, NULL);
	say("callbacks of a: %s", yes(readcb != NULL));
	say_lens();
	settle();
	use(&a, a.bev);
	write_n(&b, 2);
	settle();
	say_lens();
}

static void filter_whose_underlying_was_taken(void)
{
	new_filtered_ends(0);
	bufferevent_enable(f.bev, EV_READ);
	use(&a, a.bev);
	write_n(&b, 3);
	settle();
	bufferevent_free(f.bev);
	settle();
	write_n(&b, 4);
	settle();
}

static void underlying_freed_first(void)
{
	new_filtered_ends(0);
	bufferevent_enable(f.bev, EV_READ);
	bufferevent_free(a.bev);
	write_n(&b, 3);
	settle();
	say("partner: %s", yes(bufferevent_pair_get_partner(b.bev) != NULL));
	bufferevent_free(f.bev);
	say("partner: %s", yes(bufferevent_pair_get_partner(b.bev) != NULL));
	settle();
	say("partner: %s", yes(bufferevent_pair_get_partner(b.bev) != NULL));
	event_base_free(base);
}

static void filter_frees_itself(int options, void (**then)(struct side *), bool reading)
{
	new_filtered_ends(options);
	up.quiet = down.quiet = true;
	*then = free_it;
	bufferevent_enable(b.bev, EV_READ);
	bufferevent_enable(f.bev, EV_READ);
	if (reading)
		write_n(&b, 5);
	else
		write_n(&f, 5);
	settle();
	say("b's partner: %s", yes(bufferevent_pair_get_partner(b.bev) != NULL));
	event_base_free(base);
}

static void filter_freed_in_its_callbacks(void)
{
	for (int options = 0; options <= 4; options += 4) {
		filter_frees_itself(options, &f.then, true);
		filter_frees_itself(options | BEV_OPT_CLOSE_ON_FREE, &f.then, true);
		filter_frees_itself(options, &f.then, false);
		filter_frees_itself(options | BEV_OPT_CLOSE_ON_FREE, &f.then, false);
	}
}

static void filter_timers(void)
{
	struct timeval soon = msec(20);

	new_filtered_ends(0);
	up.quiet = down.quiet = true;
	bufferevent_settimeout(f.bev, 60, 60);
	say_timers("new", f.bev);
	bufferevent_enable(f.bev, EV_READ | EV_WRITE);
	say_timers("enabled", f.bev);
	write_n(&f, 4);
	say_timers("written", f.bev);
	bufferevent_disable(f.bev, EV_READ | EV_WRITE);
	say_timers("disabled", f.bev);
	bufferevent_set_timeouts(f.bev, &soon, NULL);
	bufferevent_enable(f.bev, EV_READ);
	until(&f.events, 1);
	write_n(&b, 4);
	settle();
	say_filter();
	bufferevent_set_timeouts(f.bev, NULL, &soon);
	bufferevent_enable(f.bev, EV_WRITE);
	until(&f.events, 2);
}

static void locked_filter(void)
{
	evthread_enable_lock_debugging();
	MUST(evthread_use_pthreads() == 0);
	for (int options = 0; options < 2; options++) {
		new_ends(options ? BEV_OPT_THREADSAFE : 0);
		use(&f, new_filter(a.bev, BEV_OPT_THREADSAFE | BEV_OPT_CLOSE_ON_FREE, "f"));
		bufferevent_enable(b.bev, EV_READ);
		bufferevent_enable(f.bev, EV_READ);
		write_n(&b, 5);
		write_n(&f, 6);
		settle();
		bufferevent_free(f.bev);
		bufferevent_free(b.bev);
		event_base_free(base);
	}
}

static const struct diff_scenario scenarios[] = {
    DIFF_SCENARIO(filter_as_it_is_new),
    DIFF_SCENARIO(filter_calls),
    DIFF_SCENARIO(filter_in_blocks),
    DIFF_SCENARIO(filter_that_changes_lengths),
    DIFF_SCENARIO(filter_that_fails),
    DIFF_SCENARIO(filter_that_holds_back),
    DIFF_SCENARIO(flush_of_a_disabled_filter),
    DIFF_SCENARIO(filter_high_read_mark),
    DIFF_SCENARIO(filter_overruns_its_mark),
    DIFF_SCENARIO(filter_high_mark_below),
    DIFF_SCENARIO(filter_on_a_reader_that_waits),
    DIFF_SCENARIO(refilling_filter),
    DIFF_SCENARIO(deferred_filter),
    DIFF_SCENARIO(filter_over_a_filter),
    DIFF_SCENARIO(events_from_below),
    DIFF_SCENARIO(filter_freed_with_underlying),
    DIFF_SCENARIO(filter_freed_alone),
    DIFF_SCENARIO(filter_whose_underlying_was_taken),
    DIFF_SCENARIO(underlying_freed_first),
    DIFF_SCENARIO(filter_freed_in_its_callbacks),
    DIFF_SCENARIO(filter_timers),
    DIFF_SCENARIO(locked_filter),
};

DIFF_MAIN(scenarios)
