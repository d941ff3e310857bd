/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Socket bufferevents: what is called, when and in which order. Enabling and disabling, the ends of
 * a stream, errors, and files that are no sockets. (Timeouts, triggers and callbacks that change
 * callbacks: diff_bev_call.c; volumes and limits: diff_bev_flow.c; hand-over and lifetime:
 * diff_bev_life.c; connecting: diff_bev_connect.c.)
 */
#include "diff_bev_sock.h"

#include <event2/bufferevent_struct.h>

#include <pty.h>
#include <termios.h>

static struct event_base *base;
static struct side a, b;

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

static int start_tcp(void)
{
	int fd[2];

	signal(SIGPIPE, SIG_IGN);
	base = new_base();
	tcp_pair(fd);
	side_reading(&a, "A", base, fd[0], 0);
	return fd[1];
}

static void write_a(const char *text)
{
	say("write: %d", bufferevent_write(a.bev, text, strlen(text)));
}

/* ---- new, enable, disable ---- */

static void what_a_new_one_is(void)
{
	size_t low = 9, high = 9;
	bufferevent_data_cb readcb, writecb;
	bufferevent_event_cb eventcb;
	void *arg;
	int fd[2];

	base = new_base();
	new_pair(fd);
	struct bufferevent *bev = bufferevent_socket_new(base, fd[0], 0);
	say("enabled %s", bits(bufferevent_get_enabled(bev)));
	say("its fd %s, its base %s", yes(bufferevent_getfd(bev) == fd[0]),
	    yes(bufferevent_get_base(bev) == base));
	say("underlying %s", yes(bufferevent_get_underlying(bev) != NULL));
	say("priority %d", bufferevent_get_priority(bev));
	for (short what = EV_READ; what <= EV_WRITE; what = (short)(what * 2)) {
		say("watermarks: %d", bufferevent_getwatermark(bev, what, &low, &high));
		say("low %zu, high %zu", low, high);
	}
	say("of both at once: %d", bufferevent_getwatermark(bev, EV_READ | EV_WRITE, &low, &high));
	bufferevent_getcb(bev, &readcb, &writecb, &eventcb, &arg);
	say("callbacks %s", yes(readcb || writecb || eventcb || arg));
	say("at most %zd read, %zd written", (ssize_t)bufferevent_get_max_single_read(bev),
	    (ssize_t)bufferevent_get_max_single_write(bev));
	say("max to read %zd, to write %zd", (ssize_t)bufferevent_get_max_to_read(bev),
	    (ssize_t)bufferevent_get_max_to_write(bev));
	say("dns error %d", bufferevent_socket_get_dns_error(bev));
	bufferevent_free(bev);
	say("loop: %d", event_base_loop(base, 0));
	say("still open: %s", yes(fcntl(fd[0], F_GETFD) >= 0));
}

static void a_loop_of_idle_ones(void)
{
	start(0);
	say("not enabled: %d", event_base_loop(base, EVLOOP_NONBLOCK));
	say("enable: %d", bufferevent_enable(a.bev, EV_READ));
	say("reading: %d", event_base_loop(base, EVLOOP_NONBLOCK));
	say("events: %s", yes(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED) > 0));
	say("disable: %d", bufferevent_disable(a.bev, EV_READ));
	say("not reading: %d", event_base_loop(base, 0));
}

static void enable_and_disable(void)
{
	start(0);
	for (int what = 0; what <= (EV_READ | EV_WRITE); what += EV_READ) {
		say("enable %s: %d", bits(what), bufferevent_enable(a.bev, (short)what));
		say_enabled(&a);
		say("disable %s: %d", bits(what), bufferevent_disable(a.bev, (short)what));
		say_enabled(&a);
	}
	settle(base);
}

static void not_reading_at_first(void)
{
	int peer = start(0);

	stream_put(peer, 0, 10);
	settle(base);
	say("before: %d reads, %zu bytes", a.reads, evbuffer_get_length(in(&a)));
	bufferevent_enable(a.bev, EV_READ);
	until(base, a.got == 10);
	side_sum(&a);
}

static void writing_at_first(void)
{
	int peer = start(0);

	write_a("hello");
	say("in the buffer: %zu", evbuffer_get_length(out(&a)));
	until(base, a.writes > 0);
	say("in the buffer: %zu, at the peer %d, writecb %d", evbuffer_get_length(out(&a)),
	    take(peer, 100), a.writes);
	settle(base);
	say("writecb %d", a.writes);
}

static void write_before_enable(void)
{
	int peer = start(0);

	bufferevent_disable(a.bev, EV_WRITE);
	write_a("hello");
	settle(base);
	say("disabled: the peer reads %d, writecb %d", take(peer, 100), a.writes);
	say("enable: %d", bufferevent_enable(a.bev, EV_WRITE));
	until(base, a.writes > 0);
	say("enabled: the peer reads %d, writecb %d", take(peer, 100), a.writes);
}

static void enable_writing_with_nothing_to_write(void)
{
	start(0);
	settle(base);
	say("writecb %d", a.writes);
	bufferevent_enable(a.bev, EV_WRITE);
	settle(base);
	say("writecb %d", a.writes);
	bufferevent_enable(a.bev, EV_WRITE);
	bufferevent_enable(a.bev, EV_WRITE);
	settle(base);
	say("writecb %d", a.writes);
}

static void one_writecb_for_each_flush(void)
{
	int peer = start(0);

	for (int i = 1; i <= 3; i++) {
		write_a("a line");
		write_a("another");
		until(base, evbuffer_get_length(out(&a)) == 0 && a.writes >= i);
		settle(base);
		say("writecb %d, peer %d", a.writes, take(peer, 100));
	}
}

static void write_functions(void)
{
	struct evbuffer *from = evbuffer_new();
	char block[8];
	int peer = start_reading(0);

	a.keeps = true;
	evbuffer_add(from, "12345", 5);
	int result = bufferevent_write_buffer(a.bev, from);
	say("write_buffer: %d, left %zu", result, evbuffer_get_length(from));
	say("nothing: %d", bufferevent_write(a.bev, "", 0));
	say("empty: %d", bufferevent_write_buffer(a.bev, from));
	until(base, a.writes > 0);
	say("peer %d", take(peer, 100));
	put(peer, "abcdefghij");
	until(base, evbuffer_get_length(in(&a)) == 10);
	size_t n = bufferevent_read(a.bev, block, 4);
	say("read %zu: %.4s", n, block);
	result = bufferevent_read_buffer(a.bev, from);
	say("read_buffer: %d, has %zu", result, evbuffer_get_length(from));
	say("read %zu", bufferevent_read(a.bev, block, 4));
	say("flush: %d", bufferevent_flush(a.bev, EV_READ | EV_WRITE, BEV_FINISHED));
}

static void frozen_ends(void)
{
	int peer = start_reading(0);

	a.keeps = true;
	put(peer, "12345");
	until(base, evbuffer_get_length(in(&a)) == 5);
	bufferevent_disable(a.bev, EV_WRITE);
	say("add to input: %d", evbuffer_add(in(&a), "x", 1));
	say("prepend to input: %d", evbuffer_prepend(in(&a), "x", 1));
	say("drain from input: %d", evbuffer_drain(in(&a), 2));
	say("add to output: %d", evbuffer_add(out(&a), "abc", 3));
	say("prepend to output: %d", evbuffer_prepend(out(&a), "x", 1));
	say("drain from output: %d", evbuffer_drain(out(&a), 1));
	say("input %zu, output %zu", evbuffer_get_length(in(&a)), evbuffer_get_length(out(&a)));
}

static void written_through_the_buffer(void)
{
	int peer = start(0);

	evbuffer_add_printf(out(&a), "%d and %s", 12, "more");
	until(base, a.writes > 0);
	say("peer %d", take(peer, 100));
}

static void data_while_disabled(void)
{
	int peer = start_reading(0);

	settle(base);
	bufferevent_disable(a.bev, EV_READ);
	stream_put(peer, 0, 100);
	settle(base);
	say("disabled: %d reads, %zu bytes", a.reads, evbuffer_get_length(in(&a)));
	bufferevent_enable(a.bev, EV_READ);
	until(base, a.got == 100);
	stream_put(peer, 100, 50);
	until(base, a.got == 150);
	side_sum(&a);
}

static void disable_me(struct side *side)
{
	bufferevent_disable(side->bev, EV_READ);
}

static void disable_in_readcb(void)
{
	int peer = start_reading(0);

	a.on_read = disable_me;
	for (uint64_t i = 0; i < 4; i++) {
		bufferevent_enable(a.bev, EV_READ);
		stream_put(peer, i * 10, 10);
		until(base, a.got == (i + 1) * 10);
		settle(base);
		say("reads %d", a.reads);
	}
	stream_put(peer, 40, 60000);
	settle(base);
	say("disabled: reads %d", a.reads);
	a.on_read = NULL;
	bufferevent_enable(a.bev, EV_READ);
	until(base, a.got == 60040);
	side_sum(&a);
}

static void turns_between_writes(void)
{
	int peer = start_reading(0);

	one_pass(base);
	for (uint64_t i = 0; i < 5; i++) {
		stream_put(peer, i * 10, 10);
		one_pass(base);
		say("after one pass: %llu", (unsigned long long)a.got);
	}
	for (uint64_t i = 5; i < 8; i++) {
		stream_put(peer, i * 10, 10);
		event_base_loop(base, EVLOOP_ONCE);
		say("after one turn: %llu", (unsigned long long)a.got);
	}
	bufferevent_write(a.bev, "x", 1);
	one_pass(base);
	say("peer reads %d after one pass", take(peer, 10));
	bufferevent_write(a.bev, "xy", 2);
	event_base_loop(base, EVLOOP_ONCE);
	say("peer reads %d after one turn", take(peer, 10));
}

/* ---- the end of a stream ---- */

static void end_alone(void)
{
	int peer = start_reading(0);

	close(peer);
	until(base, a.events > 0);
	say_enabled(&a);
	say("loop: %d", event_base_loop(base, 0));
	bufferevent_enable(a.bev, EV_READ);
	until(base, a.events > 1);
	say("loop: %d", event_base_loop(base, 0));
}

static void data_and_end_in_one_go(void)
{
	int peer = start(0);

	stream_put(peer, 0, 1000);
	close(peer);
	bufferevent_enable(a.bev, EV_READ);
	until(base, a.events > 0);
	side_sum(&a);
	say("loop: %d", event_base_loop(base, 0));
}

static void much_data_and_end_over_tcp(void)
{
	int peer = start_tcp();
	uint64_t sent = 0;

	stream_write(peer, &sent, 200000);
	close(peer);
	a.quiet = true;
	until(base, a.events > 0);
	say("%s, all came: %s, %s", bev_bits(a.what), yes(a.got == sent),
	    a.garbled ? "garbled" : "in order");
}

static void end_while_disabled(void)
{
	int peer = start_reading(0);

	settle(base);
	bufferevent_disable(a.bev, EV_READ);
	stream_put(peer, 0, 10);
	close(peer);
	settle(base);
	say("disabled: events %d, %zu bytes", a.events, evbuffer_get_length(in(&a)));
	bufferevent_enable(a.bev, EV_READ);
	until(base, a.events > 0);
}

static void peer_half_closes(void)
{
	int peer = start_reading(0);

	stream_put(peer, 0, 10);
	MUST(shutdown(peer, SHUT_WR) == 0);
	until(base, a.events > 0);
	say_enabled(&a);
	stream_add(out(&a), 5000, 0);
	peer_expects(base, peer, 5000);
	say("events %d", a.events);
}

static void we_half_close(void)
{
	int peer = start_reading(0);

	stream_add(out(&a), 100, 0);
	until(base, a.writes > 0);
	MUST(shutdown(bufferevent_getfd(a.bev), SHUT_WR) == 0);
	peer_expects_eof(base, peer, true);
	stream_put(peer, 0, 5000);
	until(base, a.got == 5000);
	close(peer);
	until(base, a.events > 0);
}

static void half_closes_over_tcp(void)
{
	int peer = start_tcp();

	MUST(shutdown(peer, SHUT_WR) == 0);
	until(base, a.events > 0);
	stream_add(out(&a), 5000, 0);
	until(base, evbuffer_get_length(out(&a)) == 0);
	MUST(shutdown(bufferevent_getfd(a.bev), SHUT_WR) == 0);
	peer_expects_eof(base, peer, true);
	settle(base);
	say("events %d", a.events);
}

static void answer(struct side *side, short what)
{
	(void)what;
	bufferevent_write(side->bev, "bye", 3);
}

static void answer_the_end(void)
{
	int peer = start_reading(0);

	a.on_event = answer;
	MUST(shutdown(peer, SHUT_WR) == 0);
	until(base, a.writes > 0);
	say("peer %d", take(peer, 100));
}

/* ---- errors ---- */

static void reset_close(int fd)
{
	struct linger abort_it = {1, 0};

	MUST(setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort_it, sizeof(abort_it)) == 0);
	close(fd);
}

static void reset(void)
{
	int peer = start_tcp();

	settle(base);
	reset_close(peer);
	until(base, a.events > 0);
	say_enabled(&a);
	settle(base);
	side_sum(&a);
}

static void reset_after_data(void)
{
	int peer = start_tcp();

	settle(base);
	stream_put(peer, 0, 1000);
	until(base, a.got == 1000);
	stream_put(peer, 1000, 100);
	reset_close(peer);
	until(base, a.events > 0);
	side_sum(&a);
}

static void reset_of_one_that_only_writes(void)
{
	int peer = start_tcp();

	bufferevent_disable(a.bev, EV_READ);
	settle(base);
	reset_close(peer);
	settle(base);
	say("events %d", a.events);
	stream_add(out(&a), 100, 0);
	until(base, a.events > 0);
	say_enabled(&a);
	say("in the buffer: %zu", evbuffer_get_length(out(&a)));
}

static void reset_of_a_unix_socket(void)
{
	int peer = start_reading(0);

	write_a("never read");
	until(base, a.writes > 0);
	close(peer);
	until(base, a.events > 0);
	say_enabled(&a);
}

static void broken_pipe(void)
{
	int peer = start(0);

	close(peer);
	write_a("hello");
	until(base, a.events > 0);
	say_enabled(&a);
	say("in the buffer: %zu, writecb %d", evbuffer_get_length(out(&a)), a.writes);
	write_a("again");
	settle(base);
	say("events %d", a.events);
	bufferevent_enable(a.bev, EV_WRITE);
	until(base, a.events > 1);
}

static void broken_pipe_while_reading(void)
{
	int peer = start_reading(0);

	stream_put(peer, 0, 10);
	MUST(shutdown(bufferevent_getfd(a.bev), SHUT_WR) == 0);
	until(base, a.got == 10);
	write_a("hello");
	until(base, a.events > 0);
	say_enabled(&a);
	stream_put(peer, 10, 10);
	until(base, a.got == 20);
	close(peer);
	until(base, a.events > 1);
}

static void deferred_error(void)
{
	int peer = start(BEV_OPT_DEFER_CALLBACKS);

	close(peer);
	write_a("hello");
	until(base, a.events > 0);
	say_enabled(&a);
}

/* ---- files that are no stream sockets ---- */

static void reading_a_pipe(void)
{
	int fd[2];

	base = new_base();
	new_pipe(fd);
	side_reading(&a, "A", base, fd[0], BEV_OPT_CLOSE_ON_FREE);
	settle(base);
	for (uint64_t i = 0; i < 4; i++) {
		MUST(write(fd[1], (char[]){(char)stream_at(i)}, 1) == 1);
		until(base, a.got == i + 1);
	}
	close(fd[1]);
	until(base, a.events > 0);
	say_enabled(&a);
}

static void writing_a_pipe(void)
{
	int fd[2];

	signal(SIGPIPE, SIG_IGN);
	base = new_base();
	new_pipe(fd);
	side_new(&a, "A", base, fd[1], 0);
	stream_add(out(&a), 200000, 0);
	peer_expects(base, fd[0], 200000);
	until(base, a.writes > 0);
	close(fd[0]);
	write_a("hello");
	until(base, a.events > 0);
	say_enabled(&a);
}

static void open_pty(int *master, int *slave)
{
	struct termios raw;

	memset(&raw, 0, sizeof(raw));
	cfmakeraw(&raw);
	MUST(openpty(master, slave, NULL, &raw, NULL) == 0);
	MUST(evutil_make_socket_nonblocking(*master) == 0);
	MUST(evutil_make_socket_nonblocking(*slave) == 0);
}

static void over_a_pty(void)
{
	int master, slave;

	base = new_base();
	open_pty(&master, &slave);
	side_reading(&a, "master", base, master, 0);
	side_reading(&b, "slave", base, slave, 0);
	settle(base);
	stream_add(out(&a), 20000, 0);
	until(base, b.got == 20000);
	stream_add(out(&b), 20000, 0);
	until(base, a.got == 20000);
	side_sum(&a);
	side_sum(&b);
	bufferevent_free(b.bev);
	settle(base);
	close(slave);
	until(base, a.events > 0);
	say_enabled(&a);
}

/* Messages, as many bytes in sum as were sent. */
static void over_messages(int type)
{
	int fd[2];

	base = new_base();
	MUST(socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) == 0);
	side_reading(&a, "A", base, fd[0], 0);
	settle(base);
	for (uint64_t i = 0; i < 5; i++)
		stream_put(fd[1], i * 100, 100);
	until(base, a.got == 500);
	for (int i = 0; i < 3; i++) {
		write_a("message");
		until(base, a.writes > i);
	}
	for (int i = 0; i < 3; i++)
		say("peer %d", take(fd[1], 100));
	side_sum(&a);
}

static void over_seqpacket(void)
{
	over_messages(SOCK_SEQPACKET);
}

static void over_datagrams(void)
{
	over_messages(SOCK_DGRAM);
}

static void end_of_seqpacket(void)
{
	int fd[2];

	base = new_base();
	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) == 0);
	side_reading(&a, "A", base, fd[0], 0);
	stream_put(fd[1], 0, 100);
	close(fd[1]);
	until(base, a.events > 0);
}

/* The program has taken the writer away, and an event of its own waits in its place. */
static void writer_made_active_by_hand(void)
{
	struct event own;
	int fd[2];

	base = new_base();
	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) == 0);
	side_reading(&a, "A", base, fd[0], 0);
	event_assign(&own, base, fd[0], EV_WRITE | EV_PERSIST, note_cb, "own");
	event_add(&own, NULL);
	bufferevent_write(a.bev, "written", 7);
	event_del(&a.bev->ev_write);
	event_active(&a.bev->ev_write, EV_WRITE, 1);
	passes(base, 1);
	say("left: %zu", evbuffer_get_length(bufferevent_get_output(a.bev)));
	event_del(&own);
	close(fd[1]);
}

static const struct diff_scenario scenarios[] = {
    DIFF_SCENARIO(what_a_new_one_is),
    DIFF_SCENARIO(a_loop_of_idle_ones),
    DIFF_SCENARIO(enable_and_disable),
    DIFF_SCENARIO(not_reading_at_first),
    DIFF_SCENARIO(writing_at_first),
    DIFF_SCENARIO(write_before_enable),
    DIFF_SCENARIO(enable_writing_with_nothing_to_write),
    DIFF_SCENARIO(one_writecb_for_each_flush),
    DIFF_SCENARIO(write_functions),
    DIFF_SCENARIO(frozen_ends),
    DIFF_SCENARIO(written_through_the_buffer),
    DIFF_SCENARIO(data_while_disabled),
    DIFF_SCENARIO(disable_in_readcb),
    DIFF_SCENARIO(turns_between_writes),
    DIFF_SCENARIO(end_alone),
    DIFF_SCENARIO(data_and_end_in_one_go),
    DIFF_SCENARIO(much_data_and_end_over_tcp),
    DIFF_SCENARIO(end_while_disabled),
    DIFF_SCENARIO(peer_half_closes),
    DIFF_SCENARIO(we_half_close),
    DIFF_SCENARIO(half_closes_over_tcp),
    DIFF_SCENARIO(answer_the_end),
    DIFF_SCENARIO(reset),
    DIFF_SCENARIO(reset_after_data),
    DIFF_SCENARIO(reset_of_one_that_only_writes),
    DIFF_SCENARIO(reset_of_a_unix_socket),
    DIFF_SCENARIO(broken_pipe),
    DIFF_SCENARIO(broken_pipe_while_reading),
    DIFF_SCENARIO(deferred_error),
    DIFF_SCENARIO(reading_a_pipe),
    DIFF_SCENARIO(writing_a_pipe),
    DIFF_SCENARIO(over_a_pty),
    DIFF_SCENARIO(over_seqpacket),
    DIFF_SCENARIO(over_datagrams),
    DIFF_SCENARIO(end_of_seqpacket),
    DIFF_SCENARIO(writer_made_active_by_hand),
};

DIFF_MAIN(scenarios)
