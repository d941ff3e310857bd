/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Volumes and limits of socket bufferevents: watermarks, back-pressure, much data both ways, rate
 * limits, and what an output buffer may be made of. Whatever the limit, the stream is whole.
 */
#include "diff_bev_sock.h"

#include <sys/mman.h>

static struct event_base *base;
static struct side a, b;

enum { MUCH = 4 << 20 };

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

/* Two that talk with each other. */
static void start_both(bool tcp)
{
	int fd[2];

	base = new_base();
	if (tcp)
		tcp_pair(fd);
	else
		new_pair(fd);
	side_reading(&a, "A", base, fd[0], 0);
	side_reading(&b, "B", base, fd[1], 0);
}

static void say_sum(const struct side *side, uint64_t expected)
{
	say("%s: all came: %s, %s", side->name, yes(side->got == expected),
	    side->garbled ? "garbled" : "in order");
}

/* ---- watermarks ---- */

static void low_mark_of_input(void)
{
	int peer = start_reading(0);

	bufferevent_setwatermark(a.bev, EV_READ, 100, 0);
	stream_put(peer, 0, 60);
	settle(base);
	say("60: reads %d, in the buffer %zu", a.reads, evbuffer_get_length(in(&a)));
	stream_put(peer, 60, 40);
	until(base, a.reads > 0);
	say("100: reads %d, taken %llu", a.reads, (unsigned long long)a.got);
	stream_put(peer, 100, 99);
	settle(base);
	say("99: reads %d, taken %llu", a.reads, (unsigned long long)a.got);
	close(peer);
	until(base, a.events > 0);
	say("in the buffer %zu", evbuffer_get_length(in(&a)));
}

static void low_mark_lowered(void)
{
	int peer = start_reading(0);

	bufferevent_setwatermark(a.bev, EV_READ, 100, 0);
	stream_put(peer, 0, 60);
	settle(base);
	bufferevent_setwatermark(a.bev, EV_READ, 10, 0);
	settle(base);
	say("lowered: reads %d", a.reads);
	stream_put(peer, 60, 1);
	until(base, a.reads > 0);
	say("one more: reads %d, taken %llu", a.reads, (unsigned long long)a.got);
}

static void keep_and_count(struct side *side)
{
	size_t length = evbuffer_get_length(in(side));

	if (length > side->most_input)
		side->most_input = length;
}

static void high_mark(void)
{
	int peer = start(0);
	uint64_t sent = 0;

	a.keeps = true;
	a.on_read = keep_and_count;
	bufferevent_setwatermark(a.bev, EV_READ, 0, 1000);
	bufferevent_enable(a.bev, EV_READ);
	stream_write(peer, &sent, 50000);
	until(base, evbuffer_get_length(in(&a)) >= 1000);
	settle(base);
	say("in the buffer %zu, at most %zu", evbuffer_get_length(in(&a)), a.most_input);
	a.quiet = true;
	while (a.got < 50000) {
		uint64_t before = a.got;

		a.garbled = !stream_remove(in(&a), &a.got) || a.garbled;
		MUST(a.got - before <= 1000);
		if (a.got < 50000)
			until(base, evbuffer_get_length(in(&a)) >= 1);
	}
	say("at most %s 1000", a.most_input <= 1000 ? "<=" : ">");
	side_sum(&a);
}

static void drain_half(struct side *side)
{
	char block[300];
	int n = evbuffer_remove(in(side), block, sizeof(block));

	side->garbled = !stream_is(block, (size_t)n, side->got) || side->garbled;
	side->got += (uint64_t)n;
}

/* The callback leaves some: it is called again while the buffer stays full. */
static void high_mark_drained_in_readcb(void)
{
	int peer = start(0);

	a.keeps = true;
	a.quiet = true;
	a.on_read = drain_half;
	bufferevent_setwatermark(a.bev, EV_READ, 0, 1000);
	bufferevent_enable(a.bev, EV_READ);
	stream_put(peer, 0, 30000);
	until(base, a.got + evbuffer_get_length(in(&a)) == 30000);
	say("at most %s 1000", a.most_input <= 1000 ? "<=" : ">");
	a.garbled = !stream_remove(in(&a), &a.got) || a.garbled;
	side_sum(&a);
}

static void high_mark_raised(void)
{
	int peer = start(0);

	a.keeps = true;
	bufferevent_setwatermark(a.bev, EV_READ, 0, 1000);
	bufferevent_enable(a.bev, EV_READ);
	stream_put(peer, 0, 5000);
	until(base, evbuffer_get_length(in(&a)) >= 1000);
	settle(base);
	say("mark 1000: %zu", evbuffer_get_length(in(&a)));
	bufferevent_setwatermark(a.bev, EV_READ, 0, 3000);
	until(base, evbuffer_get_length(in(&a)) >= 3000);
	settle(base);
	say("mark 3000: %zu", evbuffer_get_length(in(&a)));
	bufferevent_setwatermark(a.bev, EV_READ, 0, 2000);
	settle(base);
	say("mark 2000: %zu", evbuffer_get_length(in(&a)));
	evbuffer_drain(in(&a), 1500);
	until(base, evbuffer_get_length(in(&a)) >= 2000);
	settle(base);
	say("1500 drained: %zu", evbuffer_get_length(in(&a)));
	bufferevent_setwatermark(a.bev, EV_READ, 0, 0);
	until(base, evbuffer_get_length(in(&a)) >= 3500);
	say("no mark: %zu", evbuffer_get_length(in(&a)));
	a.got = 1500;
	say("the stream is %s",
	    stream_remove(in(&a), &a.got) && a.got == 5000 ? "whole" : "not whole");
}

/* The mark comes while more than that is in the buffer. */
static void high_mark_set_late(void)
{
	int peer = start_reading(0);

	a.keeps = true;
	stream_put(peer, 0, 3000);
	until(base, evbuffer_get_length(in(&a)) == 3000);
	bufferevent_setwatermark(a.bev, EV_READ, 0, 1000);
	stream_put(peer, 3000, 3000);
	settle(base);
	say("in the buffer %zu", evbuffer_get_length(in(&a)));
	evbuffer_drain(in(&a), 2000);
	settle(base);
	say("2000 drained: %zu", evbuffer_get_length(in(&a)));
	evbuffer_drain(in(&a), 900);
	until(base, evbuffer_get_length(in(&a)) >= 1000);
	settle(base);
	say("900 drained: %zu", evbuffer_get_length(in(&a)));
}

static void end_behind_a_high_mark(void)
{
	int peer = start(0);

	a.keeps = true;
	bufferevent_setwatermark(a.bev, EV_READ, 0, 1000);
	bufferevent_enable(a.bev, EV_READ);
	stream_put(peer, 0, 2500);
	close(peer);
	until(base, evbuffer_get_length(in(&a)) >= 1000);
	settle(base);
	for (int i = 0; i < 3; i++) {
		say("in the buffer %zu, events %d", evbuffer_get_length(in(&a)), a.events);
		stream_remove(in(&a), &a.got);
		settle(base);
	}
	say("in the buffer %zu, events %d", evbuffer_get_length(in(&a)), a.events);
}

static void off_and_on(struct side *side)
{
	bufferevent_disable(side->bev, EV_READ);
	bufferevent_enable(side->bev, EV_READ);
}

/* The end is there with the bytes, whose callback switches reading off and on. */
static void end_behind_bytes_that_switch_reading_off_and_on(void)
{
	int peer = start(0);

	a.on_read = off_and_on;
	stream_put(peer, 0, 100);
	close(peer);
	bufferevent_enable(a.bev, EV_READ);
	until(base, a.events > 0);
	say_sum(&a, 100);
	say("events %d", a.events);
}

static void no_timeout_at_the_high_mark(void)
{
	struct timeval tv = msec(30);
	int peer = start(0);

	a.keeps = true;
	bufferevent_setwatermark(a.bev, EV_READ, 0, 100);
	bufferevent_set_timeouts(a.bev, &tv, NULL);
	stream_put(peer, 0, 150);
	bufferevent_enable(a.bev, EV_READ);
	run_for(base, 100);
	say("full: events %d, in the buffer %zu", a.events, evbuffer_get_length(in(&a)));
	stream_remove(in(&a), &a.got);
	until(base, a.events > 0);
	say("in the buffer %zu", evbuffer_get_length(in(&a)));
}

static void disabled_at_the_high_mark(void)
{
	int peer = start(0);

	a.keeps = true;
	bufferevent_setwatermark(a.bev, EV_READ, 0, 100);
	stream_put(peer, 0, 250);
	bufferevent_enable(a.bev, EV_READ);
	until(base, evbuffer_get_length(in(&a)) >= 100);
	settle(base);
	bufferevent_disable(a.bev, EV_READ);
	stream_remove(in(&a), &a.got);
	settle(base);
	say("drained while disabled: %zu", evbuffer_get_length(in(&a)));
	bufferevent_enable(a.bev, EV_READ);
	until(base, evbuffer_get_length(in(&a)) >= 100);
	settle(base);
	say("enabled: %zu", evbuffer_get_length(in(&a)));
}

/* Whose turn is first meddles with the other, whose data have been received, perhaps, but not told.
 */
static void meddle(struct side *side)
{
	struct bufferevent *other = side == &a ? b.bev : a.bev;

	side->on_read = NULL;
	if (a.reads + b.reads > 1)
		return;
	bufferevent_disable(other, EV_READ);
	bufferevent_enable(other, EV_READ);
	bufferevent_setwatermark(other, EV_READ, 0, 100);
}

static void read_two(void (*on_read)(struct side *))
{
	int first[2], second[2];

	signal(SIGPIPE, SIG_IGN);
	base = new_base();
	new_pair(first);
	new_pair(second);
	side_reading(&a, "A", base, first[0], 0);
	side_reading(&b, "B", base, second[0], 0);
	a.quiet = b.quiet = true;
	a.on_read = b.on_read = on_read;
	settle(base);
	stream_put(first[1], 0, 3000);
	stream_put(second[1], 0, 3000);
	until(base, a.got + b.got == 6000);
	say_sum(&a, 3000);
	say_sum(&b, 3000);
}

static void high_mark_set_before_data_are_told(void)
{
	read_two(meddle);
}

/* The limit that is used up as well goes first, and leaves the mark alone. */
static void meddle_with_a_limit(struct side *side)
{
	struct bufferevent *other = side == &a ? b.bev : a.bev;
	const struct timeval tick = msec(20);

	side->on_read = NULL;
	if (a.reads + b.reads > 1)
		return;
	bufferevent_disable(other, EV_READ);
	MUST(bufferevent_set_rate_limit(
		 other, ev_token_bucket_cfg_new(4000, 4000, 4000, 4000, &tick)) == 0);
	MUST(bufferevent_decrement_read_limit(other, 5000) == 0);
	bufferevent_setwatermark(other, EV_READ, 0, 500);
	bufferevent_enable(other, EV_READ);
}

static void high_mark_and_a_limit_before_data_are_told(void)
{
	read_two(meddle_with_a_limit);
}

static void low_and_high_mark(void)
{
	int peer = start(0);
	uint64_t sent = 0;

	a.quiet = true;
	bufferevent_setwatermark(a.bev, EV_READ, 500, 2000);
	bufferevent_enable(a.bev, EV_READ);
	stream_write(peer, &sent, 40000);
	close(peer);
	until(base, a.events > 0);
	a.garbled = !stream_remove(in(&a), &a.got) || a.garbled;
	say("at most %s 2000", a.most_input <= 2000 ? "<=" : ">");
	side_sum(&a);
}

static size_t longest_at_writecb;

static void note_output(struct side *side)
{
	size_t length = evbuffer_get_length(out(side));

	if (length > longest_at_writecb)
		longest_at_writecb = length;
}

static void low_mark_of_output(void)
{
	int peer = start(0);

	a.on_write = note_output;
	bufferevent_setwatermark(a.bev, EV_WRITE, 1000, 0);
	stream_add(out(&a), MUCH, 0);
	settle(base);
	say("nobody reads: writecb %d", a.writes);
	peer_expects(base, peer, MUCH);
	until(base, a.writes > 0);
	say("longest output at a writecb: %s 1000", longest_at_writecb <= 1000 ? "<=" : ">");
}

/* The high mark of the output is the program's own business. */
static void high_mark_of_output(void)
{
	int peer = start(0);
	size_t low, high;

	bufferevent_setwatermark(a.bev, EV_WRITE, 0, 10);
	stream_add(out(&a), 1000, 0);
	say("in the buffer %zu", evbuffer_get_length(out(&a)));
	peer_expects(base, peer, 1000);
	bufferevent_getwatermark(a.bev, EV_WRITE, &low, &high);
	say("low %zu, high %zu", low, high);
}

/* ---- volumes ---- */

static void much_both_ways(bool tcp)
{
	start_both(tcp);
	a.quiet = b.quiet = true;
	stream_add(out(&a), MUCH, 0);
	stream_add(out(&b), MUCH, 0);
	until(base, a.got == MUCH && b.got == MUCH);
	say_sum(&a, MUCH);
	say_sum(&b, MUCH);
	until(base, a.writes > 0 && b.writes > 0);
	bufferevent_free(a.bev);
	settle(base);
	say("events of B %d", b.events);
}

static void much_both_ways_over_unix(void)
{
	much_both_ways(false);
}

static void much_both_ways_over_tcp(void)
{
	much_both_ways(true);
}

static void slow_reader(bool tcp)
{
	uint64_t got = 0;
	bool right = true, eof;
	int fd[2], turns = 0;

	base = new_base();
	if (tcp)
		tcp_pair(fd);
	else
		new_pair(fd);
	side_new(&a, "A", base, fd[0], 0);
	stream_add(out(&a), MUCH, 0);
	settle(base);
	say("nobody reads: writecb %d, something is left: %s", a.writes,
	    yes(evbuffer_get_length(out(&a)) > 0));
	while (got < MUCH && turns++ < 100000) {
		char block[7000];
		ssize_t n = read(fd[1], block, sizeof(block));

		if (n > 0) {
			right = stream_is(block, (size_t)n, got) && right;
			got += (uint64_t)n;
		}
		one_pass(base);
	}
	right = stream_read(fd[1], &got, &eof) && right;
	say("all came: %s, %s", yes(got == MUCH), right ? "in order" : "garbled");
	until(base, a.writes > 0);
	say("left %zu", evbuffer_get_length(out(&a)));
}

static void slow_reader_over_unix(void)
{
	slow_reader(false);
}

static void slow_reader_over_tcp(void)
{
	slow_reader(true);
}

/* The program takes back what it had written, while some of that is on its way, and writes
 * something else. How much had gone is nobody's promise; all of it, and what is written then,
 * arrives. */
static void output_taken_back(void)
{
	static const char last[] = "something else";
	const size_t n_last = sizeof(last) - 1;
	char *got = malloc(MUCH + sizeof(last));
	size_t n = 0;
	int peer = start(0), turns = 0;

	MUST(got);
	stream_add(out(&a), MUCH, 0);
	settle(base);
	say("unfrozen: %d", evbuffer_unfreeze(out(&a), 1));
	say("taken back: %d", evbuffer_drain(out(&a), MUCH));
	say("left: %zu", evbuffer_get_length(out(&a)));
	MUST(bufferevent_write(a.bev, last, n_last) == 0);
	while (turns++ < 20000 && (n < n_last || memcmp(got + n - n_last, last, n_last) != 0)) {
		ssize_t more = read(peer, got + n, MUCH + sizeof(last) - n);

		n += more > 0 ? (size_t)more : 0;
		one_pass(base);
	}
	say("what was written last came last: %s", yes(n >= n_last && turns <= 20000));
	say("in front of it what had gone: %s",
	    yes(n >= n_last && n < MUCH && stream_is(got, n - n_last, 0)));
	until(base, evbuffer_get_length(out(&a)) == 0);
	free(got);
}

/* A reader that stops reading stops its peer, and nothing piles up in between. */
static void reader_that_stops(void)
{
	int peer = start_reading(0);
	uint64_t sent = 0, stopped;

	a.quiet = true;
	stream_write(peer, &sent, 1000);
	until(base, a.got == 1000);
	bufferevent_disable(a.bev, EV_READ);
	for (int i = 0; i < 50; i++) {
		stream_write(peer, &sent, MUCH);
		one_pass(base);
	}
	stopped = sent;
	say("the peer could not send it all: %s", yes(stopped < MUCH));
	say("in the buffer %zu", evbuffer_get_length(in(&a)));
	bufferevent_enable(a.bev, EV_READ);
	until_outside(base, (stream_write(peer, &sent, MUCH), a.got == MUCH));
	say_sum(&a, MUCH);
}

static void reader_at_its_high_mark_stops_the_peer(void)
{
	int peer = start(0);
	uint64_t sent = 0;

	a.keeps = true;
	a.quiet = true;
	bufferevent_setwatermark(a.bev, EV_READ, 0, 4096);
	bufferevent_enable(a.bev, EV_READ);
	for (int i = 0; i < 50; i++) {
		stream_write(peer, &sent, MUCH);
		one_pass(base);
	}
	say("the peer could not send it all: %s", yes(sent < MUCH));
	say("in the buffer %zu", evbuffer_get_length(in(&a)));
	a.keeps = false;
	a.garbled = !stream_remove(in(&a), &a.got);
	until_outside(base, (stream_write(peer, &sent, MUCH), a.got == MUCH));
	say_sum(&a, MUCH);
	say("at most %s 4096", a.most_input <= 4096 ? "<=" : ">");
}

enum { ROUNDS = 1000 };

static void serve(struct side *side)
{
	if (side->got < ROUNDS)
		stream_add(out(side), 1, side == &b ? side->got - 1 : side->got);
}

static void ping_pong(void)
{
	start_both(false);
	a.quiet = b.quiet = true;
	a.on_read = b.on_read = serve;
	stream_add(out(&a), 1, 0);
	until(base, b.got == ROUNDS);
	side_sum(&a);
	side_sum(&b);
	say("writecbs %s", yes(a.writes == ROUNDS || a.writes == ROUNDS - 1));
}

/* What comes in on one side is put into the other's output, both ways. */
static void proxy_read_cb(struct bufferevent *bev, void *other)
{
	bufferevent_write_buffer(other, bufferevent_get_input(bev));
}

static void proxy(void)
{
	int left[2], right[2];
	uint64_t to_right = 0, to_left = 0, at_right = 0, at_left = 0;
	bool ok = true;

	base = new_base();
	new_pair(left);
	new_pair(right);
	side_reading(&a, "A", base, left[0], 0);
	side_reading(&b, "B", base, right[0], 0);
	bufferevent_setcb(a.bev, proxy_read_cb, NULL, NULL, b.bev);
	bufferevent_setcb(b.bev, proxy_read_cb, NULL, NULL, a.bev);
	until_outside(
	    base, (stream_write(left[1], &to_right, MUCH), stream_write(right[1], &to_left, MUCH),
		      ok = stream_read(left[1], &at_left, NULL) && ok,
		      ok = stream_read(right[1], &at_right, NULL) && ok,
		      at_left == MUCH && at_right == MUCH));
	say("to the right %llu, to the left %llu, %s", (unsigned long long)at_right,
	    (unsigned long long)at_left, ok ? "in order" : "garbled");
}

/* ---- limits ---- */

static uint64_t before_callback;
static uint64_t most_in_one;

static void note_piece(struct side *side)
{
	if (side->got - before_callback > most_in_one)
		most_in_one = side->got - before_callback;
	before_callback = side->got;
}

static void max_single_read(void)
{
	int peer = start(0);

	a.quiet = true;
	a.on_read = note_piece;
	say("set: %d", bufferevent_set_max_single_read(a.bev, 100));
	say("max %zd, now %zd", (ssize_t)bufferevent_get_max_single_read(a.bev),
	    (ssize_t)bufferevent_get_max_to_read(a.bev));
	bufferevent_enable(a.bev, EV_READ);
	stream_put(peer, 0, 5000);
	until(base, a.got == 5000);
	side_sum(&a);
	say("in one callback %s 100", most_in_one <= 100 ? "<=" : ">");
	bufferevent_set_max_single_read(a.bev, 0);
	say("max %zd", (ssize_t)bufferevent_get_max_single_read(a.bev));
	stream_put(peer, 5000, 5000);
	until(base, a.got == 10000);
}

static void max_single_write(void)
{
	int peer = start(0);

	say("set: %d", bufferevent_set_max_single_write(a.bev, 100));
	say("max %zd, now %zd", (ssize_t)bufferevent_get_max_single_write(a.bev),
	    (ssize_t)bufferevent_get_max_to_write(a.bev));
	stream_add(out(&a), 5000, 0);
	one_pass(base);
	say("after one pass %s 100", 5000 - evbuffer_get_length(out(&a)) <= 100 ? "<=" : ">");
	peer_expects(base, peer, 5000);
	until(base, a.writes > 0);
	bufferevent_set_max_single_write(a.bev, 0);
	stream_add(out(&a), 5000, 0);
	until(base, evbuffer_get_length(out(&a)) == 0);
}

static struct ev_token_bucket_cfg *bucket(size_t bytes)
{
	struct timeval tick = msec(10);
	struct ev_token_bucket_cfg *cfg =
	    ev_token_bucket_cfg_new(bytes, bytes, bytes, bytes, &tick);

	MUST(cfg != NULL);
	return cfg;
}

static void rate_limit_of_reading(void)
{
	int peer = start(0);

	a.quiet = true;
	a.on_read = note_piece;
	say("set: %d", bufferevent_set_rate_limit(a.bev, bucket(500)));
	say("read limit %zd, to read %zd", (ssize_t)bufferevent_get_read_limit(a.bev),
	    (ssize_t)bufferevent_get_max_to_read(a.bev));
	bufferevent_enable(a.bev, EV_READ);
	stream_put(peer, 0, 5000);
	until(base, a.got == 5000);
	side_sum(&a);
	say("in one callback %s 500", most_in_one <= 500 ? "<=" : ">");
	say("removed: %d", bufferevent_set_rate_limit(a.bev, NULL));
	say("read limit is the greatest: %s",
	    yes(bufferevent_get_read_limit(a.bev) == EV_SSIZE_MAX));
	stream_put(peer, 5000, 20000);
	until(base, a.got == 25000);
	side_sum(&a);
}

static void rate_limit_of_writing(void)
{
	int peer = start(0);

	bufferevent_set_rate_limit(a.bev, bucket(500));
	stream_add(out(&a), 5000, 0);
	one_pass(base);
	say("after one pass %s 500", 5000 - evbuffer_get_length(out(&a)) <= 500 ? "<=" : ">");
	peer_expects(base, peer, 5000);
	bufferevent_set_rate_limit(a.bev, NULL);
	stream_add(out(&a), 20000, 0);
	peer_expects(base, peer, 20000);
}

/* Out of tokens; the limit is taken away, and all goes on without the tick. */
static void rate_limit_removed_while_out(void)
{
	struct timeval tick = {600, 0};
	struct ev_token_bucket_cfg *cfg = ev_token_bucket_cfg_new(100, 100, 100, 100, &tick);
	int peer = start(0);

	a.quiet = true;
	bufferevent_set_rate_limit(a.bev, cfg);
	bufferevent_enable(a.bev, EV_READ);
	stream_put(peer, 0, 1000);
	stream_add(out(&a), 1000, 0);
	until(base, a.got == 100 && evbuffer_get_length(out(&a)) == 900);
	settle(base);
	say("taken %llu, left %zu", (unsigned long long)a.got, evbuffer_get_length(out(&a)));
	say("limits %zd and %zd", (ssize_t)bufferevent_get_read_limit(a.bev),
	    (ssize_t)bufferevent_get_write_limit(a.bev));
	bufferevent_set_rate_limit(a.bev, NULL);
	until(base, a.got == 1000);
	peer_expects(base, peer, 1000);
	ev_token_bucket_cfg_free(cfg);
}

static void rate_limit_by_hand(void)
{
	struct timeval tick = {600, 0};
	struct ev_token_bucket_cfg *cfg = ev_token_bucket_cfg_new(100, 100, 100, 100, &tick);
	int peer = start(0);

	a.quiet = true;
	bufferevent_set_rate_limit(a.bev, cfg);
	say("decrement: %d", bufferevent_decrement_read_limit(a.bev, 150));
	say("read limit %zd", (ssize_t)bufferevent_get_read_limit(a.bev));
	bufferevent_enable(a.bev, EV_READ);
	stream_put(peer, 0, 1000);
	settle(base);
	say("taken %llu", (unsigned long long)a.got);
	say("decrement: %d", bufferevent_decrement_read_limit(a.bev, -80));
	until(base, a.got == 30);
	settle(base);
	say("taken %llu, limit %zd", (unsigned long long)a.got,
	    (ssize_t)bufferevent_get_read_limit(a.bev));
}

static void group_limit(void)
{
	struct ev_token_bucket_cfg *cfg = bucket(1000);
	ev_uint64_t total_read, total_written;

	start_both(false);
	a.quiet = b.quiet = true;
	struct bufferevent_rate_limit_group *group = bufferevent_rate_limit_group_new(base, cfg);
	say("add: %d", bufferevent_add_to_rate_limit_group(a.bev, group));
	say("add: %d", bufferevent_add_to_rate_limit_group(b.bev, group));
	stream_add(out(&a), 10000, 0);
	stream_add(out(&b), 10000, 0);
	until(base, a.got == 10000 && b.got == 10000);
	side_sum(&a);
	side_sum(&b);
	bufferevent_rate_limit_group_get_totals(group, &total_read, &total_written);
	say("totals %llu and %llu", (unsigned long long)total_read,
	    (unsigned long long)total_written);
	say("remove: %d", bufferevent_remove_from_rate_limit_group(a.bev));
	say("remove: %d", bufferevent_remove_from_rate_limit_group(b.bev));
	bufferevent_rate_limit_group_free(group);
	stream_add(out(&a), 10000, 10000);
	until(base, b.got == 20000);
	side_sum(&b);
}

/* ---- what the output is made of ---- */

static int file_of_the_stream(size_t size)
{
	int fd = memfd_create("stream", MFD_CLOEXEC);
	uint64_t position = 0;

	MUST(fd >= 0);
	while (position < size) {
		char block[4096];
		size_t part = size - position < sizeof(block) ? size - position : sizeof(block);

		stream_fill(block, part, position);
		MUST(write(fd, block, part) == (ssize_t)part);
		position += part;
	}
	return fd;
}

static void a_file_in_the_output(void)
{
	enum { SIZE = 300000 };
	int peer = start(0), file = file_of_the_stream(SIZE);

	say("add_file: %d", evbuffer_add_file(out(&a), file, 0, SIZE));
	say("in the buffer %zu", evbuffer_get_length(out(&a)));
	peer_expects(base, peer, SIZE);
	until(base, a.writes > 0);
	say("the file is open: %s", yes(fcntl(file, F_GETFD) >= 0));
}

static void segments_between_bytes(void)
{
	enum { SIZE = 100000 };
	int peer = start(0), file = file_of_the_stream(SIZE);
	struct evbuffer_file_segment *whole =
	    evbuffer_file_segment_new(file, 0, SIZE, EVBUF_FS_CLOSE_ON_FREE);

	MUST(whole != NULL);
	stream_add(out(&a), 100, 0);
	say("part: %d", evbuffer_add_file_segment(out(&a), whole, 100, 900));
	stream_add(out(&a), 5000, 1000);
	say("rest: %d", evbuffer_add_file_segment(out(&a), whole, 6000, -1));
	stream_add(out(&a), 1000, SIZE);
	evbuffer_file_segment_free(whole);
	peer_expects(base, peer, SIZE + 1000);
	until(base, a.writes > 0);
	until_outside(base, fcntl(file, F_GETFD) < 0);
	say("the file is open: %s", yes(fcntl(file, F_GETFD) >= 0));
}

static void segment_without_sendfile(void)
{
	enum { SIZE = 100000 };
	int peer = start(0), file = file_of_the_stream(SIZE);
	struct evbuffer_file_segment *whole = evbuffer_file_segment_new(
	    file, 0, SIZE, EVBUF_FS_CLOSE_ON_FREE | EVBUF_FS_DISABLE_SENDFILE);

	MUST(whole != NULL);
	say("add: %d", evbuffer_add_file_segment(out(&a), whole, 0, SIZE));
	evbuffer_file_segment_free(whole);
	peer_expects(base, peer, SIZE);
}

static int cleanups;

static void cleanup_cb(const void *data, size_t n, void *arg)
{
	(void)n;
	(void)arg;
	free((void *)(uintptr_t)data);
	cleanups++;
}

static void reference_in_the_output(void)
{
	enum { SIZE = 1 << 20 };
	char *block = malloc(SIZE);
	int peer = start(0);

	stream_fill(block, SIZE, 0);
	say("add: %d", evbuffer_add_reference(out(&a), block, SIZE, cleanup_cb, NULL));
	settle(base);
	say("nobody reads: cleanups %d", cleanups);
	peer_expects(base, peer, SIZE);
	until(base, a.writes > 0);
	say("cleanups %d", cleanups);
	settle(base);
	say("cleanups %d", cleanups);
}

static void reference_of_one_that_is_freed(void)
{
	enum { SIZE = 1 << 20 };
	char *block = malloc(SIZE);
	int peer = start(BEV_OPT_CLOSE_ON_FREE);

	stream_fill(block, SIZE, 0);
	evbuffer_add_reference(out(&a), block, SIZE, cleanup_cb, NULL);
	settle(base);
	bufferevent_free(a.bev);
	settle(base);
	say("cleanups %d", cleanups);
	peer_expects_eof(base, peer, false);
}

/* The same buffer into the outputs of two. */
static void buffer_reference_in_two_outputs(void)
{
	struct evbuffer *source = evbuffer_new();
	int left[2], right[2];

	base = new_base();
	new_pair(left);
	new_pair(right);
	side_new(&a, "A", base, left[0], 0);
	side_new(&b, "B", base, right[0], 0);
	stream_add(source, 500000, 0);
	say("add: %d", evbuffer_add_buffer_reference(out(&a), source));
	say("add: %d", evbuffer_add_buffer_reference(out(&b), source));
	evbuffer_free(source);
	peer_expects(base, left[1], 500000);
	peer_expects(base, right[1], 500000);
}

static void many_small_pieces(void)
{
	struct evbuffer *piece = evbuffer_new();
	int peer = start(0);
	uint64_t position = 0;

	for (size_t i = 0; i < 2000; i++) {
		size_t n = i % 37 + 1;

		stream_add(piece, n, position);
		position += n;
		if (i % 3)
			evbuffer_add_buffer(out(&a), piece);
		else
			bufferevent_write_buffer(a.bev, piece);
	}
	peer_expects(base, peer, position);
	until(base, a.writes > 0);
	say("left %zu", evbuffer_get_length(out(&a)));
}

static const struct diff_scenario scenarios[] = {
    DIFF_SCENARIO(low_mark_of_input),
    DIFF_SCENARIO(low_mark_lowered),
    DIFF_SCENARIO(high_mark),
    DIFF_SCENARIO(high_mark_drained_in_readcb),
    DIFF_SCENARIO(high_mark_raised),
    DIFF_SCENARIO(high_mark_set_late),
    DIFF_SCENARIO(end_behind_a_high_mark),
    DIFF_SCENARIO(end_behind_bytes_that_switch_reading_off_and_on),
    DIFF_SCENARIO(no_timeout_at_the_high_mark),
    DIFF_SCENARIO(disabled_at_the_high_mark),
    DIFF_SCENARIO(high_mark_set_before_data_are_told),
    DIFF_SCENARIO(high_mark_and_a_limit_before_data_are_told),
    DIFF_SCENARIO(low_and_high_mark),
    DIFF_SCENARIO(low_mark_of_output),
    DIFF_SCENARIO(high_mark_of_output),
    DIFF_SCENARIO(much_both_ways_over_unix),
    DIFF_SCENARIO(much_both_ways_over_tcp),
    DIFF_SCENARIO(slow_reader_over_unix),
    DIFF_SCENARIO(slow_reader_over_tcp),
    DIFF_SCENARIO(output_taken_back),
    DIFF_SCENARIO(reader_that_stops),
    DIFF_SCENARIO(reader_at_its_high_mark_stops_the_peer),
    DIFF_SCENARIO(ping_pong),
    DIFF_SCENARIO(proxy),
    DIFF_SCENARIO(max_single_read),
    DIFF_SCENARIO(max_single_write),
    DIFF_SCENARIO(rate_limit_of_reading),
    DIFF_SCENARIO(rate_limit_of_writing),
    DIFF_SCENARIO(rate_limit_removed_while_out),
    DIFF_SCENARIO(rate_limit_by_hand),
    DIFF_SCENARIO(group_limit),
    DIFF_SCENARIO(a_file_in_the_output),
    DIFF_SCENARIO(segments_between_bytes),
    DIFF_SCENARIO(segment_without_sendfile),
    DIFF_SCENARIO(reference_in_the_output),
    DIFF_SCENARIO(reference_of_one_that_is_freed),
    DIFF_SCENARIO(buffer_reference_in_two_outputs),
    DIFF_SCENARIO(many_small_pieces),
};

DIFF_MAIN(scenarios)
