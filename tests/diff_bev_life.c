/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hand-over and lifetime of socket bufferevents.
 *
 * A program may take the fd back: it disables reading, frees the bufferevent without CLOSE_ON_FREE
 * or gives it another fd, and then reads the fd itself or through another bufferevent. What was
 * received is in the input buffer, what was not is still in the socket, and both together are the
 * stream. How much is on which side is nobody's promise.
 *
 * Freeing is legal in every callback and with data under way; the fd is closed by the loop.
 */
#include "diff_bev_sock.h"

#include <event2/thread.h>

static struct event_base *base;
static struct side a, b;

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

/* ---- hand-over ---- */

/* Takes what is in the input, then what is in the fd; both together must be the stream up to
 * `sent`. */
static void say_whole(struct side *side, int fd, uint64_t sent)
{
	bool right = stream_remove(in(side), &side->got);

	right = stream_read(fd, &side->got, NULL) && right;
	say("input and fd: %s", right && side->got == sent ? "the whole stream" : "not the stream");
}

/* A stream is flowing and has come to the middle of a big amount. */
static uint64_t flow(int peer)
{
	uint64_t sent = 0;

	a.quiet = true;
	one_pass(base);
	for (int i = 0; i < 5; i++) {
		stream_write(peer, &sent, sent + 50000);
		one_pass(base);
	}
	stream_write(peer, &sent, sent + 50000);
	return sent;
}

static void disable_then_read_the_fd(void)
{
	int peer = start_reading(0);
	uint64_t sent = flow(peer);

	bufferevent_disable(a.bev, EV_READ);
	say_whole(&a, bufferevent_getfd(a.bev), sent);
	stream_write(peer, &sent, sent + 100);
	one_pass(base);
	say_whole(&a, bufferevent_getfd(a.bev), sent);
	stream_write(peer, &sent, sent + 100);
	bufferevent_enable(a.bev, EV_READ);
	until(base, a.got == sent);
	say("the rest came: %s, %s", yes(a.got == sent), a.garbled ? "garbled" : "in order");
}

static void disable_and_read(struct side *side)
{
	bufferevent_disable(side->bev, EV_READ);
	side->garbled = !stream_read(bufferevent_getfd(side->bev), &side->got, NULL);
}

static void disable_then_read_in_readcb(void)
{
	int peer = start_reading(0);
	uint64_t sent = 0;

	a.on_read = disable_and_read;
	stream_write(peer, &sent, 100000);
	until(base, a.reads > 0);
	say("all at once: %s, %s", yes(a.got == sent), a.garbled ? "garbled" : "in order");
	settle(base);
	say("reads %d", a.reads);
}

static void fd_taken_away(void)
{
	int peer = start_reading(0);
	int fd = bufferevent_getfd(a.bev);
	uint64_t sent = flow(peer);

	say("setfd: %d", bufferevent_setfd(a.bev, -1));
	say("fd %d", (int)bufferevent_getfd(a.bev));
	say_whole(&a, fd, sent);
	stream_write(peer, &sent, sent + 100);
	settle(base);
	say_whole(&a, fd, sent);
	say_enabled(&a);
	bufferevent_free(a.bev);
	settle(base);
	say("the fd is open: %s", yes(fcntl(fd, F_GETFD) >= 0));
}

/* A second bufferevent goes on where the first one was. */
static void go_on_with_another(int fd, int peer, uint64_t sent)
{
	side_new(&b, "B", base, fd, BEV_OPT_CLOSE_ON_FREE);
	b.quiet = true;
	b.garbled = !stream_remove(in(&a), &a.got);
	b.got = a.got;
	bufferevent_enable(b.bev, EV_READ);
	until(base, b.got == sent);
	stream_write(peer, &sent, sent + 1000);
	until(base, b.got == sent);
	say("all came: %s, %s", yes(b.got == sent), b.garbled ? "garbled" : "in order");
	stream_add(out(&b), 3000, 0);
	peer_expects(base, peer, 3000);
	close(peer);
	until(base, b.events > 0);
	say("%s", bev_bits(b.what));
}

static void fd_given_to_another(void)
{
	int peer = start_reading(0);
	int fd = bufferevent_getfd(a.bev);
	uint64_t sent = flow(peer);

	bufferevent_setfd(a.bev, -1);
	go_on_with_another(fd, peer, sent);
	say("events of A %d", a.events);
}

static void fd_of_a_freed_one(void)
{
	int peer = start_reading(0);
	int fd = bufferevent_getfd(a.bev);
	uint64_t sent = flow(peer);
	bool right = stream_remove(in(&a), &a.got);
	uint64_t at = a.got;

	bufferevent_free(a.bev);
	right = stream_read(fd, &at, NULL) && right;
	say("after free: %s", right && at == sent ? "the whole stream" : "not the stream");
	settle(base);
	stream_write(peer, &sent, sent + 100);
	right = stream_read(fd, &at, NULL) && right;
	say("and more: %s", right && at == sent ? "the whole stream" : "not the stream");
}

/* Freed after what was received has been taken, without a turn of the loop between, and a second
 * one at once. */
static void fd_of_a_freed_one_given_to_another(void)
{
	int peer = start_reading(0);
	int fd = bufferevent_getfd(a.bev);
	uint64_t sent = flow(peer);
	struct evbuffer *rest = evbuffer_new();

	bufferevent_disable(a.bev, EV_READ);
	evbuffer_add_buffer(rest, in(&a));
	bufferevent_free(a.bev);
	side_new(&b, "B", base, fd, BEV_OPT_CLOSE_ON_FREE);
	b.quiet = true;
	b.got = a.got;
	b.garbled = !stream_remove(rest, &b.got);
	bufferevent_enable(b.bev, EV_READ);
	until(base, b.got == sent);
	say("all came: %s, %s", yes(b.got == sent), b.garbled ? "garbled" : "in order");
	close(peer);
	until(base, b.events > 0);
	say("%s", bev_bits(b.what));
}

static void another_fd(void)
{
	int fd[2], peer = start_reading(0);
	int old = bufferevent_getfd(a.bev);
	uint64_t sent = flow(peer);

	new_pair(fd);
	say("setfd: %d", bufferevent_setfd(a.bev, fd[0]));
	say("it is the new one: %s", yes(bufferevent_getfd(a.bev) == fd[0]));
	say_enabled(&a);
	say_whole(&a, old, sent);
	a.got = 0;
	close(old);
	stream_put(fd[1], 0, 1000);
	until(base, a.got == 1000);
	stream_add(out(&a), 1000, 0);
	peer_expects(base, fd[1], 1000);
	close(fd[1]);
	until(base, a.events > 0);
	say("%s, %s", bev_bits(a.what), a.garbled ? "garbled" : "in order");
}

/* The output that the old fd did not take goes to the new one. */
static void another_fd_with_output(void)
{
	int fd[2], peer = start(0);

	bufferevent_disable(a.bev, EV_WRITE);
	stream_add(out(&a), 1000, 0);
	settle(base);
	new_pair(fd);
	bufferevent_setfd(a.bev, fd[0]);
	bufferevent_enable(a.bev, EV_WRITE);
	peer_expects(base, fd[1], 1000);
	say("the old peer reads %d", take(peer, 100));
}

static void without_an_fd_at_first(void)
{
	int fd[2];

	base = new_base();
	new_pair(fd);
	side_new(&a, "A", base, -1, 0);
	say("fd %d", (int)bufferevent_getfd(a.bev));
	say("enable: %d", bufferevent_enable(a.bev, EV_READ));
	stream_add(out(&a), 1000, 0);
	settle(base);
	say("writecb %d, events %d", a.writes, a.events);
	stream_put(fd[1], 0, 100);
	say("setfd: %d", bufferevent_setfd(a.bev, fd[0]));
	until(base, a.got == 100);
	peer_expects(base, fd[1], 1000);
	until(base, a.writes > 0);
}

/* ---- an upgrade in the middle of a connection ---- */

static const char upgrade[] = "STARTTLS\n";

/* The first bufferevent reads one line; everything behind it belongs to the second. */
static void upgrade_line(struct bufferevent *bev, void *arg)
{
	struct evbuffer *input = bufferevent_get_input(bev);
	evutil_socket_t fd = bufferevent_getfd(bev);
	char *line = evbuffer_readln(input, NULL, EVBUFFER_EOL_LF);
	bool frees = *(bool *)arg;

	if (!line)
		return;
	say("line: %s", line);
	free(line);
	bufferevent_disable(bev, EV_READ | EV_WRITE);
	side_new(&b, "B", base, fd, BEV_OPT_CLOSE_ON_FREE);
	b.quiet = true;
	b.garbled = !stream_remove(input, &b.got);
	if (frees) {
		bufferevent_free(bev);
	} else {
		bufferevent_setcb(bev, NULL, NULL, NULL, NULL);
		bufferevent_setfd(bev, -1);
	}
	bufferevent_write(b.bev, "go on\n", 6);
	bufferevent_enable(b.bev, EV_READ);
}

static void upgraded(bool frees, uint64_t behind)
{
	int peer = start(0);

	bufferevent_setcb(a.bev, upgrade_line, NULL, NULL, &frees);
	put(peer, upgrade);
	stream_put(peer, 0, behind);
	bufferevent_enable(a.bev, EV_READ);
	until(base, b.bev != NULL && b.got == behind && b.writes > 0);
	say("peer %d", take(peer, 100));
	stream_put(peer, behind, 5000);
	close(peer);
	until(base, b.events > 0);
	say("%s", bev_bits(b.what));
	side_sum(&b);
}

static void upgrade_that_frees_the_first(void)
{
	upgraded(true, 0);
}

static void upgrade_that_frees_the_first_with_more_behind(void)
{
	upgraded(true, 60000);
}

static void upgrade_that_keeps_the_first_with_more_behind(void)
{
	upgraded(false, 60000);
}

/* ---- another base ---- */

static void another_base(void)
{
	struct event_base *other;
	int peer = start_reading(0);

	other = new_base();
	say("set while enabled: %d", bufferevent_base_set(other, a.bev));
	bufferevent_disable(a.bev, EV_READ | EV_WRITE);
	say("set: %d", bufferevent_base_set(other, a.bev));
	say("its base: %s", yes(bufferevent_get_base(a.bev) == other));
	bufferevent_enable(a.bev, EV_READ | EV_WRITE);
	stream_put(peer, 0, 100);
	settle(base);
	say("the old base: reads %d", a.reads);
	until(other, a.got == 100);
	stream_add(out(&a), 100, 0);
	peer_expects(other, peer, 100);
	event_base_free(base);
	stream_put(peer, 100, 100);
	until(other, a.got == 200);
	side_sum(&a);
}

/* ---- free ---- */

static void free_it(struct side *side)
{
	bufferevent_free(side->bev);
	side->bev = NULL;
}

static void free_at_event(struct side *side, short what)
{
	(void)what;
	free_it(side);
}

static void free_in_readcb(void)
{
	int peer = start_reading(BEV_OPT_CLOSE_ON_FREE);
	uint64_t sent = 0;

	a.on_read = free_it;
	stream_write(peer, &sent, 100000);
	until(base, a.reads > 0);
	settle(base);
	say("reads %d, events %d", a.reads, a.events);
	say("the peer cannot write: %s", yes(send(peer, "x", 1, MSG_NOSIGNAL) < 0));
}

static void free_in_writecb(void)
{
	int peer = start(BEV_OPT_CLOSE_ON_FREE);

	a.on_write = free_it;
	stream_add(out(&a), 300000, 0);
	peer_expects_eof(base, peer, true);
	say("writecb %d, events %d", a.writes, a.events);
}

static void free_in_eventcb(void)
{
	int peer = start_reading(BEV_OPT_CLOSE_ON_FREE);

	a.on_event = free_at_event;
	stream_put(peer, 0, 100);
	MUST(shutdown(peer, SHUT_WR) == 0);
	peer_expects_eof(base, peer, true);
	say("loop: %d", event_base_loop(base, 0));
}

static void free_in_deferred_callbacks(void)
{
	int peer = start_reading(BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);

	a.on_read = free_it;
	stream_put(peer, 0, 100);
	MUST(shutdown(peer, SHUT_WR) == 0);
	peer_expects_eof(base, peer, true);
	say("reads %d, events %d", a.reads, a.events);
}

static void free_in_readcb_without_closing(void)
{
	int peer = start_reading(0);
	int fd = bufferevent_getfd(a.bev);
	uint64_t sent = 0;

	a.on_read = free_it;
	stream_write(peer, &sent, 100000);
	until(base, a.reads > 0);
	a.garbled = !stream_read(fd, &a.got, NULL) || a.garbled;
	say("callback and fd: %s, %s", yes(a.got == sent), a.garbled ? "garbled" : "in order");
	settle(base);
	say("the fd is open: %s", yes(fcntl(fd, F_GETFD) >= 0));
}

static void free_before_anything(void)
{
	int peer = start_reading(BEV_OPT_CLOSE_ON_FREE);

	free_it(&a);
	peer_expects_eof(base, peer, true);
	say("loop: %d", event_base_loop(base, 0));
}

static void free_with_output(void)
{
	int peer = start(BEV_OPT_CLOSE_ON_FREE);

	stream_add(out(&a), 1000, 0);
	free_it(&a);
	peer_expects_eof(base, peer, true);
	say("writecb %d", a.writes);
}

/* The output is stuck half-way; what the peer gets is the beginning of it. */
static void free_with_output_under_way(void)
{
	int peer = start_reading(BEV_OPT_CLOSE_ON_FREE);

	stream_add(out(&a), 4 << 20, 0);
	settle(base);
	free_it(&a);
	peer_expects_eof(base, peer, false);
	say("writecb %d, events %d", a.writes, a.events);
}

static void free_with_output_under_way_over_tcp(void)
{
	int fd[2];

	base = new_base();
	tcp_pair(fd);
	side_reading(&a, "A", base, fd[0], BEV_OPT_CLOSE_ON_FREE);
	stream_add(out(&a), 16 << 20, 0);
	settle(base);
	free_it(&a);
	peer_expects_eof(base, fd[1], false);
	say("writecb %d, events %d", a.writes, a.events);
}

static void free_with_data_waiting(void)
{
	int peer = start_reading(BEV_OPT_CLOSE_ON_FREE);

	one_pass(base);
	stream_put(peer, 0, 1000);
	free_it(&a);
	settle(base);
	say("reads %d, events %d", a.reads, a.events);
	say("the peer cannot write: %s", yes(send(peer, "x", 1, MSG_NOSIGNAL) < 0));
}

static void free_with_a_callback_deferred(void)
{
	int peer = start_reading(BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);

	bufferevent_trigger(a.bev, EV_READ | EV_WRITE, BEV_TRIG_IGNORE_WATERMARKS);
	bufferevent_trigger_event(a.bev, BEV_EVENT_EOF, 0);
	free_it(&a);
	peer_expects_eof(base, peer, true);
	say("reads %d, writes %d, events %d", a.reads, a.writes, a.events);
}

static void free_with_a_timeout_pending(void)
{
	struct timeval tv = msec(20);

	start(0);
	bufferevent_set_timeouts(a.bev, &tv, &tv);
	bufferevent_enable(a.bev, EV_READ);
	free_it(&a);
	run_for(base, 60);
	say("events %d", a.events);
}

static void free_the_other(struct side *side)
{
	struct side *other = side == &a ? &b : &a;

	if (other->bev)
		free_it(other);
}

/* Both have data in the same turn, and the first frees the other: whose turn came first is not
 * said. */
static void free_the_other_in_readcb(void)
{
	int one[2], two[2];

	base = new_base();
	new_pair(one);
	new_pair(two);
	side_reading(&a, "A", base, one[0], BEV_OPT_CLOSE_ON_FREE);
	side_reading(&b, "B", base, two[0], BEV_OPT_CLOSE_ON_FREE);
	a.quiet = b.quiet = true;
	a.on_read = b.on_read = free_the_other;
	stream_put(one[1], 0, 100);
	stream_put(two[1], 0, 100);
	until(base, a.reads + b.reads > 0);
	settle(base);
	say("reads %d", a.reads + b.reads);
	say("one is left: %s", yes(!a.bev != !b.bev));
}

static void references(void)
{
	int peer = start_reading(BEV_OPT_CLOSE_ON_FREE);

	bufferevent_incref(a.bev);
	bufferevent_free(a.bev);
	say("last: %d", bufferevent_decref(a.bev));
	peer_expects_eof(base, peer, true);
}

/* The base goes first. Its bufferevents' memory is lost to the program in stock, but nothing is
 * touched afterwards. */
static void base_freed_first(void)
{
	int peer = start_reading(BEV_OPT_CLOSE_ON_FREE);

	stream_put(peer, 0, 100);
	stream_add(out(&a), 100, 0);
	one_pass(base);
	event_base_free(base);
	say("reads %d, events %d", a.reads, a.events);
}

static void freed_then_base_freed(void)
{
	int peer = start_reading(BEV_OPT_CLOSE_ON_FREE);
	char byte;

	stream_put(peer, 0, 100);
	one_pass(base);
	free_it(&a);
	event_base_free(base);
	say("the peer reads %d", (int)read(peer, &byte, 1));
}

/* ---- not alone ---- */

static int beside_bytes;

static void beside_cb(evutil_socket_t fd, short what, void *arg)
{
	int n = take(fd, 4096);

	(void)arg;
	(void)what;
	if (n > 0)
		beside_bytes += n;
}

static void event_that_reads_beside_one_that_writes(void)
{
	int peer = start(0);

	event_add(
	    event_new(base, bufferevent_getfd(a.bev), EV_READ | EV_PERSIST, beside_cb, NULL), NULL);
	stream_put(peer, 0, 100);
	stream_add(out(&a), 200000, 0);
	peer_expects(base, peer, 200000);
	until(base, beside_bytes == 100);
	stream_put(peer, 0, 100);
	until(base, beside_bytes == 200);
	say("the event read %d, reads %d", beside_bytes, a.reads);
}

static void event_that_writes_beside_one_that_reads(void)
{
	int peer = start_reading(0), writable = 0;

	event_add(event_new(base, bufferevent_getfd(a.bev), EV_WRITE, count_cb, &writable), NULL);
	stream_put(peer, 0, 100);
	until(base, a.got == 100 && writable == 1);
	settle(base);
	say("writable %d", writable);
	stream_put(peer, 100, 100);
	until(base, a.got == 200);
	side_sum(&a);
}

static void event_that_reads_beside_one_that_reads(void)
{
	int peer = start_reading(0), readable = 0;

	event_add(
	    event_new(base, bufferevent_getfd(a.bev), EV_READ | EV_PERSIST, count_cb, &readable),
	    NULL);
	for (uint64_t i = 0; i < 10; i++) {
		stream_put(peer, i * 1000, 1000);
		until(base, a.got == (i + 1) * 1000);
	}
	close(peer);
	until(base, a.events > 0);
	side_sum(&a);
}

static void deleted_event_beside_one_that_reads(void)
{
	int peer = start_reading(0), writable = 0;
	struct event *ev =
	    event_new(base, bufferevent_getfd(a.bev), EV_WRITE | EV_PERSIST, count_cb, &writable);

	event_add(ev, NULL);
	one_pass(base);
	event_del(ev);
	stream_put(peer, 0, 100);
	until(base, a.got == 100);
	side_sum(&a);
}

static void child_goes_on(int peer)
{
	MUST(event_reinit(base) == 0);
	stream_put(peer, 100, 100);
	until(base, a.got == 200);
	stream_add(out(&a), 50, 0);
	peer_expects(base, peer, 50);
	side_sum(&a);
	exit(0);
}

/* The child has a copy of the bufferevent on the same socket. */
static void fork_and_reinit(void)
{
	int peer = start_reading(0), status;

	stream_put(peer, 0, 100);
	until(base, a.got == 100);
	pid_t pid = fork();
	MUST(pid >= 0);
	if (pid == 0)
		child_goes_on(peer);
	MUST(waitpid(pid, &status, 0) == pid);
	say("the child ended with %d", status);
	stream_put(peer, 100, 100);
	until(base, a.got == 200);
	stream_add(out(&a), 50, 0);
	peer_expects(base, peer, 50);
	side_sum(&a);
}

static void fork_and_free_in_the_child(void)
{
	int peer = start_reading(BEV_OPT_CLOSE_ON_FREE), status;

	settle(base);
	pid_t pid = fork();
	MUST(pid >= 0);
	if (pid == 0) {
		MUST(event_reinit(base) == 0);
		bufferevent_free(a.bev);
		say("loop: %d", event_base_loop(base, EVLOOP_NONBLOCK));
		event_base_free(base);
		exit(0);
	}
	MUST(waitpid(pid, &status, 0) == pid);
	say("the child ended with %d", status);
	stream_put(peer, 0, 100);
	until(base, a.got == 100);
	stream_add(out(&a), 50, 0);
	peer_expects(base, peer, 50);
	side_sum(&a);
}

static void locks_without_threads(void)
{
	start(0);
	bufferevent_lock(a.bev);
	bufferevent_lock(a.bev);
	bufferevent_unlock(a.bev);
	bufferevent_unlock(a.bev);
	say("they do nothing");
}

/* The number of a closed fd is used again at once, for something else. */
static void number_used_again(void)
{
	int fd[2], peer = start_reading(BEV_OPT_CLOSE_ON_FREE);
	int number = bufferevent_getfd(a.bev), lower;

	one_pass(base);
	free_it(&a);
	settle(base);
	say("closed: %s", yes(fcntl(number, F_GETFD) < 0));
	/* Nothing below it is free: the base may have closed something of its own. */
	while ((lower = dup(peer)) < number)
		MUST(lower >= 0);
	close(lower);
	new_pair(fd);
	say("the number is back: %s", yes(fd[0] == number));
	side_reading(&b, "B", base, fd[0], 0);
	stream_put(fd[1], 0, 100);
	until(base, b.got == 100);
	close(peer);
	settle(base);
	say("events %d", b.events);
}

static const struct diff_scenario scenarios[] = {
    DIFF_SCENARIO(disable_then_read_the_fd),
    DIFF_SCENARIO(disable_then_read_in_readcb),
    DIFF_SCENARIO(fd_taken_away),
    DIFF_SCENARIO(fd_given_to_another),
    DIFF_SCENARIO(fd_of_a_freed_one),
    DIFF_SCENARIO(fd_of_a_freed_one_given_to_another),
    DIFF_SCENARIO(another_fd),
    DIFF_SCENARIO(another_fd_with_output),
    DIFF_SCENARIO(without_an_fd_at_first),
    DIFF_SCENARIO(upgrade_that_frees_the_first),
    DIFF_SCENARIO(upgrade_that_frees_the_first_with_more_behind),
    DIFF_SCENARIO(upgrade_that_keeps_the_first_with_more_behind),
    DIFF_SCENARIO(another_base),
    DIFF_SCENARIO(free_in_readcb),
    DIFF_SCENARIO(free_in_writecb),
    DIFF_SCENARIO(free_in_eventcb),
    DIFF_SCENARIO(free_in_deferred_callbacks),
    DIFF_SCENARIO(free_in_readcb_without_closing),
    DIFF_SCENARIO(free_before_anything),
    DIFF_SCENARIO(free_with_output),
    DIFF_SCENARIO(free_with_output_under_way),
    DIFF_SCENARIO(free_with_output_under_way_over_tcp),
    DIFF_SCENARIO(free_with_data_waiting),
    DIFF_SCENARIO(free_with_a_callback_deferred),
    DIFF_SCENARIO(free_with_a_timeout_pending),
    DIFF_SCENARIO(free_the_other_in_readcb),
    DIFF_SCENARIO(references),
    DIFF_SCENARIO(base_freed_first),
    DIFF_SCENARIO(freed_then_base_freed),
    DIFF_SCENARIO(event_that_reads_beside_one_that_writes),
    DIFF_SCENARIO(event_that_writes_beside_one_that_reads),
    DIFF_SCENARIO(event_that_reads_beside_one_that_reads),
    DIFF_SCENARIO(deleted_event_beside_one_that_reads),
    DIFF_SCENARIO(fork_and_reinit),
    DIFF_SCENARIO(fork_and_free_in_the_child),
    DIFF_SCENARIO(locks_without_threads),
    DIFF_SCENARIO(number_used_again),
};

DIFF_MAIN(scenarios)
