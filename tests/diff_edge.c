/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is reported about fds beyond plain level semantics: EV_CLOSED (the peer's end, before the
 * data is read), EV_ET (one report for each arrival), and several events on one fd, which are
 * called newest first and must not disturb each other when one of them goes. Where the method
 * offers no edge triggers, stock's poll, both sides say so.
 */
#include "diff_common.h"

static struct event_base *base;

/* ---- EV_CLOSED ---- */

static bool closed_is_offered(void)
{
	base = new_base();
	if (has_feature(base, EV_FEATURE_EARLY_CLOSE))
		return true;
	say("no early close here");
	return false;
}

/* A reset is an end as well, whether its error is taken first or not. */
static void closed_by_a_reset(void)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct linger abort_it = {1, 0};
	socklen_t len = sizeof(sin);
	int door, peer, conn, told = 0;

	if (!closed_is_offered())
		return;
	door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	MUST(bind(door, (struct sockaddr *)&sin, len) == 0 && listen(door, 1) == 0);
	MUST(getsockname(door, (struct sockaddr *)&sin, &len) == 0);
	peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	MUST(connect(peer, (struct sockaddr *)&sin, len) == 0);
	conn = accept4(door, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	MUST(conn >= 0);
	event_add(event_new(base, conn, EV_CLOSED | EV_PERSIST, count_cb, &told), NULL);
	one_pass(base);
	MUST(setsockopt(peer, SOL_SOCKET, SO_LINGER, &abort_it, sizeof(abort_it)) == 0);
	close(peer);
	one_pass(base);
	say("send: %d", (int)send(conn, "x", 1, MSG_NOSIGNAL));
	one_pass(base);
	say("told: %s", yes(told > 0));
}

/* Each kind of interest in an fd has room for so many events, on its own. */
static void as_many_events_as_fit(void)
{
	enum { MOST = 65535 };
	static struct event reader[MOST + 1], writer;
	int fd[2], added = 0;

	base = new_base();
	new_pair(fd);
	for (int i = 0; i < MOST; i++) {
		event_assign(&reader[i], base, fd[0], EV_READ | EV_PERSIST, note_cb, "reader");
		added += event_add(&reader[i], NULL) == 0;
	}
	event_assign(&writer, base, fd[0], EV_WRITE, note_cb, "writer");
	say("readers %d, a writer %d", added, event_add(&writer, NULL));
	event_assign(&reader[MOST], base, fd[0], EV_READ, note_cb, "one more");
	say("one reader more: %d", event_add(&reader[MOST], NULL));
	one_pass(base);
}

static void closed_alone(void)
{
	int fd[2];

	if (!closed_is_offered())
		return;
	new_pair(fd);
	watch(base, fd[0], EV_CLOSED | EV_PERSIST, "closed");
	passes(base, 1);
	put(fd[1], "x");
	passes(base, 1);
	MUST(shutdown(fd[1], SHUT_WR) == 0);
	passes(base, 2);
	MUST(take(fd[0], 10) == 1);
	passes(base, 1);
	close(fd[1]);
	passes(base, 1);
}

static void closed_with_read(void)
{
	int fd[2];

	if (!closed_is_offered())
		return;
	new_pair(fd);
	watch(base, fd[0], EV_CLOSED | EV_READ | EV_PERSIST, "both");
	put(fd[1], "x");
	passes(base, 1);
	MUST(shutdown(fd[1], SHUT_WR) == 0);
	passes(base, 1);
	MUST(take(fd[0], 10) == 1);
	passes(base, 1);
}

static void closed_beside_read_on_one_fd(void)
{
	int fd[2];

	if (!closed_is_offered())
		return;
	new_pair(fd);
	watch(base, fd[0], EV_READ | EV_PERSIST, "reader");
	struct event *c = watch(base, fd[0], EV_CLOSED, "closed once");
	put(fd[1], "x");
	passes(base, 1);
	close(fd[1]);
	passes(base, 2);
	say("pending %s", pending(c));
}

static void closed_over_tcp(void)
{
	int fd[2];

	if (!closed_is_offered())
		return;
	tcp_pair(fd);
	watch(base, fd[0], EV_CLOSED, "closed");
	passes(base, 1);
	close(fd[1]);
	event_base_loop(base, EVLOOP_ONCE);
	passes(base, 1);
}

/* A socket that is not connected yet has hung up, as the kernel sees it. That is not what is waited
 * for, and must not use up what is. */
static void closed_before_the_connection(int how)
{
	struct pollfd arrival;
	int listener, fd, peer;

	if (!closed_is_offered())
		return;
	listener = bound_socket(SOCK_STREAM, 0);
	MUST(listen(listener, 1) == 0);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	MUST(fd >= 0);
	struct event *ev = watch(base, fd, how, "closed");
	passes(base, 3);
	struct sockaddr_in sin = loopback(port_of(listener));
	MUST(connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0 || errno == EINPROGRESS);
	arrival = (struct pollfd){.fd = listener, .events = POLLIN};
	MUST(poll(&arrival, 1, 5000) == 1);
	peer = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	MUST(peer >= 0);
	passes(base, 2);
	close(peer);
	say("loop: %d", event_base_loop(base, EVLOOP_ONCE));
	say("pending %s", pending(ev));
}

static void closed_once_before_the_connection(void)
{
	closed_before_the_connection(EV_CLOSED);
}

static void closed_persistent_before_the_connection(void)
{
	closed_before_the_connection(EV_CLOSED | EV_PERSIST);
}

/* ---- EV_ET ---- */

static bool edges_are_offered(void)
{
	base = new_base();
	if (has_feature(base, EV_FEATURE_ET))
		return true;
	say("no edge triggers here");
	return false;
}

static void edge_once_for_each_arrival(void)
{
	int fd[2];

	if (!edges_are_offered())
		return;
	new_pair(fd);
	watch(base, fd[0], EV_READ | EV_ET | EV_PERSIST, "edge");
	passes(base, 1);
	put(fd[1], "1234");
	passes(base, 2);
	MUST(take(fd[0], 2) == 2);
	passes(base, 1);
	put(fd[1], "5");
	put(fd[1], "6");
	passes(base, 2);
}

static void edge_of_what_is_there_already(void)
{
	int fd[2];

	if (!edges_are_offered())
		return;
	new_pair(fd);
	put(fd[1], "x");
	struct event *ev = watch(base, fd[0], EV_READ | EV_ET | EV_PERSIST, "edge");
	passes(base, 2);
	say_del("edge", ev);
	say_add("edge", ev);
	passes(base, 2);
}

static void edge_of_writing(void)
{
	int fd[2];

	if (!edges_are_offered())
		return;
	new_pair(fd);
	watch(base, fd[0], EV_WRITE | EV_ET | EV_PERSIST, "edge");
	passes(base, 2);
	fill(fd[0]);
	passes(base, 1);
	while (take(fd[1], 4096) > 0)
		;
	passes(base, 2);
}

static void edge_non_persistent(void)
{
	int fd[2];

	if (!edges_are_offered())
		return;
	new_pair(fd);
	put(fd[1], "x");
	struct event *ev = watch(base, fd[0], EV_READ | EV_ET, "edge");
	passes(base, 2);
	say_add("again", ev);
	passes(base, 2);
}

static void edges_two_on_one_fd(void)
{
	int fd[2];

	if (!edges_are_offered())
		return;
	new_pair(fd);
	struct event *r = watch(base, fd[0], EV_READ | EV_ET | EV_PERSIST, "read");
	watch(base, fd[0], EV_WRITE | EV_ET | EV_PERSIST, "write");
	passes(base, 2);
	put(fd[1], "x");
	passes(base, 2);
	say_del("read", r);
	passes(base, 2);
	say_add("read", r);
	passes(base, 2);
}

static void edge_of_the_end(void)
{
	int fd[2];

	if (!edges_are_offered())
		return;
	new_pair(fd);
	watch(base, fd[0], EV_READ | EV_ET | EV_PERSIST, "edge");
	passes(base, 1);
	MUST(shutdown(fd[1], SHUT_WR) == 0);
	passes(base, 2);
	close(fd[1]);
	passes(base, 2);
}

static void edge_of_a_pipe(void)
{
	int fd[2];

	if (!edges_are_offered())
		return;
	new_pipe(fd);
	watch(base, fd[0], EV_READ | EV_ET | EV_PERSIST, "edge");
	put(fd[1], "x");
	passes(base, 2);
	MUST(take(fd[0], 10) == 1);
	passes(base, 1);
	put(fd[1], "y");
	passes(base, 1);
	close(fd[1]);
	passes(base, 2);
}

/* What is always ready has neither an edge nor an end to report. */
static void dev_null_has_no_edge(void)
{
	int null = open("/dev/null", O_RDWR | O_NONBLOCK | O_CLOEXEC), fd[2];
	const char *method;

	if (!edges_are_offered())
		return;
	MUST(null >= 0);
	method = event_base_get_method(base);
	say_refused(
	    base, "edge", event_new(base, null, EV_READ | EV_ET | EV_PERSIST, note_cb, "edge"));
	say_refused(base, "end", event_new(base, null, EV_CLOSED | EV_PERSIST, note_cb, "end"));
	passes(base, 2);
	new_pair(fd);
	put(fd[1], "x");
	watch(base, fd[0], EV_READ, "socket");
	passes(base, 1);
	say("same method: %s", yes(event_base_get_method(base) == method));
}

/* ---- several events on one fd ---- */

static void one_event_for_both(void)
{
	int fd[2];

	base = new_base();
	new_pair(fd);
	watch(base, fd[0], EV_READ | EV_WRITE | EV_PERSIST, "both");
	passes(base, 1);
	put(fd[1], "x");
	passes(base, 1);
	fill(fd[0]);
	passes(base, 1);
	MUST(take(fd[0], 1) == 1);
	passes(base, 1);
}

static void newest_first_on_one_fd(void)
{
	int fd[2];

	base = new_base();
	new_pair(fd);
	struct event *a = watch(base, fd[0], EV_READ | EV_PERSIST, "a");
	watch(base, fd[0], EV_READ | EV_PERSIST, "b");
	watch(base, fd[0], EV_READ | EV_PERSIST, "c");
	put(fd[1], "x");
	passes(base, 1);
	event_del(a);
	event_add(a, NULL);
	passes(base, 2);
}

static void read_and_write_events_on_one_fd(void)
{
	int fd[2];

	base = new_base();
	new_pair(fd);
	struct event *r = watch(base, fd[0], EV_READ | EV_PERSIST, "read");
	struct event *w = watch(base, fd[0], EV_WRITE | EV_PERSIST, "write");
	watch(base, fd[0], EV_READ | EV_WRITE, "both, once");
	passes(base, 1);
	put(fd[1], "x");
	passes(base, 2);
	say_del("write", w);
	passes(base, 1);
	say_del("read", r);
	say_add("write", w);
	passes(base, 1);
	say_del("write", w);
	passes(base, 1);
}

static void first_callback_empties_the_fd(void)
{
	int fd[2];

	base = new_base();
	new_pair(fd);
	watch(base, fd[0], EV_READ | EV_PERSIST, "older");
	event_add(event_new(base, fd[0], EV_READ | EV_PERSIST, drain_cb, "newer, drains"), NULL);
	put(fd[1], "x");
	passes(base, 2);
}

static void del_other_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	say("deletes the other: %s", bits(what));
	event_del(arg);
}

static void deleted_by_an_earlier_callback(void)
{
	int fd[2];

	base = new_base();
	new_pair(fd);
	struct event *older = watch(base, fd[0], EV_READ | EV_PERSIST, "older");
	event_add(event_new(base, fd[0], EV_READ | EV_PERSIST, del_other_cb, older), NULL);
	put(fd[1], "x");
	passes(base, 2);
	say("pending %s", pending(older));
}

static void other_part_survives_one_shot(void)
{
	int fd[2];

	base = new_base();
	new_pair(fd);
	watch(base, fd[0], EV_READ | EV_PERSIST, "persistent");
	struct event *once = watch(base, fd[0], EV_READ, "once");
	put(fd[1], "x");
	passes(base, 2);
	event_add(once, NULL);
	passes(base, 2);
}

static void write_waits_for_room(void)
{
	int fd[2];

	base = new_base();
	new_pair(fd);
	fill(fd[0]);
	watch(base, fd[0], EV_WRITE, "writer");
	passes(base, 1);
	while (take(fd[1], 4096) > 0)
		;
	passes(base, 2);
}

static const struct diff_scenario scenarios[] = {
    DIFF_SCENARIO(closed_alone),
    DIFF_SCENARIO(closed_with_read),
    DIFF_SCENARIO(closed_beside_read_on_one_fd),
    DIFF_SCENARIO(closed_over_tcp),
    DIFF_SCENARIO(closed_once_before_the_connection),
    DIFF_SCENARIO(closed_persistent_before_the_connection),
    DIFF_SCENARIO(edge_once_for_each_arrival),
    DIFF_SCENARIO(edge_of_what_is_there_already),
    DIFF_SCENARIO(edge_of_writing),
    DIFF_SCENARIO(edge_non_persistent),
    DIFF_SCENARIO(edges_two_on_one_fd),
    DIFF_SCENARIO(edge_of_the_end),
    DIFF_SCENARIO(edge_of_a_pipe),
    DIFF_SCENARIO(dev_null_has_no_edge),
    DIFF_SCENARIO(one_event_for_both),
    DIFF_SCENARIO(newest_first_on_one_fd),
    DIFF_SCENARIO(read_and_write_events_on_one_fd),
    DIFF_SCENARIO(first_callback_empties_the_fd),
    DIFF_SCENARIO(deleted_by_an_earlier_callback),
    DIFF_SCENARIO(other_part_survives_one_shot),
    DIFF_SCENARIO(write_waits_for_room),
    DIFF_SCENARIO(closed_by_a_reset),
    DIFF_SCENARIO(as_many_events_as_fit),
};

DIFF_MAIN(scenarios)
