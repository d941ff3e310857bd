/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Connecting bufferevents: over IPv4, IPv6 and unix sockets, by address and by name, to what is
 * there, to what is not and to what never answers. Names are looked up without evdns, so only those
 * that need no network are used.
 *
 * A connection that hangs is one to a listener whose queue is full.
 */
#include "diff_bev_sock.h"

#include <netinet/tcp.h>
#include <sys/un.h>

static struct event_base *base;
static struct side a;

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un local;
};

struct place {
	int fd; /* of a listening socket, or -1 */
	union address address;
	socklen_t length;
};

static void start(int options)
{
	signal(SIGPIPE, SIG_IGN);
	base = new_base();
	side_new(&a, "A", base, -1, options);
}

/* An address of that family with a port that the kernel chose, or a fresh abstract name. */
static struct place bound(int family)
{
	struct place place = {.length = sizeof(place.address)};

	memset(&place.address, 0, sizeof(place.address));
	place.address.any.sa_family = (sa_family_t)family;
	if (family == AF_INET)
		place.address.v4 = loopback(0);
	if (family == AF_INET6)
		place.address.v6.sin6_addr = in6addr_loopback;
	place.fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	MUST(place.fd >= 0);
	MUST(bind(place.fd, &place.address.any,
		 family == AF_INET    ? sizeof(struct sockaddr_in)
		 : family == AF_INET6 ? sizeof(struct sockaddr_in6)
				      : sizeof(sa_family_t)) == 0);
	MUST(getsockname(place.fd, &place.address.any, &place.length) == 0);
	return place;
}

static struct place listening(int family)
{
	struct place place = bound(family);

	MUST(listen(place.fd, 16) == 0);
	return place;
}

static bool queue_is_full(const struct place *place)
{
	struct pollfd p = {.events = POLLOUT};

	p.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	MUST(p.fd >= 0);
	MUST(connect(p.fd, &place->address.any, place->length) == 0 || errno == EINPROGRESS);
	return poll(&p, 1, 50) == 0;
}

/* Connections to it are neither made nor refused. */
static struct place deaf(void)
{
	struct place place = bound(AF_INET);

	MUST(listen(place.fd, 0) == 0);
	for (int i = 0; i < 20; i++) {
		if (queue_is_full(&place))
			return place;
	}
	MUST(!"a full queue");
	return place;
}

static void connect_a(const struct place *place)
{
	int result = bufferevent_socket_connect(
	    a.bev, (struct sockaddr *)(uintptr_t)&place->address.any, (int)place->length);

	say("connect: %d", result);
}

static int accepted(const struct place *place)
{
	struct pollfd p = {.fd = place->fd, .events = POLLIN};
	int fd;

	MUST(poll(&p, 1, BEV_BOUND_MS) == 1);
	fd = accept4(place->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	MUST(fd >= 0);
	return fd;
}

static bool connected(void)
{
	return a.what & BEV_EVENT_CONNECTED;
}

/* Both ways, over what is connected. */
static void talk(int peer)
{
	stream_add(out(&a), 1000, 0);
	peer_expects(base, peer, 1000);
	stream_put(peer, 0, 1000);
	bufferevent_enable(a.bev, EV_READ);
	until(base, a.got == 1000);
	side_sum(&a);
}

/* ---- to a listener ---- */

static void connects(int family, int options)
{
	struct place place = listening(family);

	start(options);
	connect_a(&place);
	say("events before the loop: %d", a.events);
	say("it has an fd: %s", yes(bufferevent_getfd(a.bev) >= 0));
	until(base, connected());
	settle(base);
	say("events %d, writecb %d", a.events, a.writes);
	say_enabled(&a);
	talk(accepted(&place));
}

static void to_v4(void)
{
	connects(AF_INET, 0);
}

static void to_v6(void)
{
	connects(AF_INET6, 0);
}

static void to_a_unix_socket(void)
{
	connects(AF_UNIX, 0);
}

static void to_v4_deferred(void)
{
	connects(AF_INET, BEV_OPT_DEFER_CALLBACKS);
}

static void to_a_unix_socket_deferred(void)
{
	connects(AF_UNIX, BEV_OPT_DEFER_CALLBACKS);
}

static void flags_of_the_socket(void)
{
	struct place place = listening(AF_INET);
	int fd;

	start(BEV_OPT_CLOSE_ON_FREE);
	connect_a(&place);
	fd = bufferevent_getfd(a.bev);
	say("nonblocking %s", yes(fcntl(fd, F_GETFL) & O_NONBLOCK));
	say("closed on exec %s", yes(fcntl(fd, F_GETFD) & FD_CLOEXEC));
	until(base, connected());
	bufferevent_free(a.bev);
	settle(base);
	say("closed %s", yes(fcntl(fd, F_GETFD) < 0));
}

static void written_before(int family)
{
	struct place place = listening(family);

	start(0);
	stream_add(out(&a), 100000, 0);
	connect_a(&place);
	int peer = accepted(&place);
	peer_expects(base, peer, 100000);
	until(base, a.writes > 0);
	say("events %d, connected %s", a.events, yes(connected()));
}

static void written_before_connect(void)
{
	written_before(AF_INET);
}

static void written_before_connect_to_a_unix_socket(void)
{
	written_before(AF_UNIX);
}

static void written_while_connecting(void)
{
	struct place place = listening(AF_INET);

	start(0);
	connect_a(&place);
	stream_add(out(&a), 1000, 0);
	peer_expects(base, accepted(&place), 1000);
	until(base, a.writes > 0);
	say("events %d", a.events);
}

static void reading_before(int options)
{
	struct place place = listening(AF_INET);

	start(options);
	bufferevent_enable(a.bev, EV_READ);
	connect_a(&place);
	int peer = accepted(&place);
	stream_put(peer, 0, 1000);
	close(peer);
	until(base, a.what & BEV_EVENT_EOF);
	side_sum(&a);
}

/* The data and the end are there before the first turn of the loop. */
static void reading_before_connect(void)
{
	reading_before(0);
}

static void reading_before_connect_deferred(void)
{
	reading_before(BEV_OPT_DEFER_CALLBACKS);
}

static void connected_without_writing(void)
{
	struct place place = listening(AF_INET);

	start(0);
	bufferevent_disable(a.bev, EV_WRITE);
	stream_add(out(&a), 1000, 0);
	connect_a(&place);
	until(base, connected());
	say_enabled(&a);
	settle(base);
	int peer = accepted(&place);
	say("the peer reads %d", take(peer, 10));
	bufferevent_enable(a.bev, EV_WRITE);
	peer_expects(base, peer, 1000);
}

static void disabled_while_connecting(void)
{
	struct place place = listening(AF_INET);

	start(0);
	connect_a(&place);
	say("disable: %d", bufferevent_disable(a.bev, EV_READ | EV_WRITE));
	say_enabled(&a);
	until(base, connected());
	stream_add(out(&a), 1000, 0);
	settle(base);
	int peer = accepted(&place);
	say("the peer reads %d", take(peer, 10));
	bufferevent_enable(a.bev, EV_WRITE);
	peer_expects(base, peer, 1000);
}

static void free_at_event(struct side *side, short what)
{
	(void)what;
	bufferevent_free(side->bev);
}

static void freed_when_connected(void)
{
	struct place place = listening(AF_INET);

	start(BEV_OPT_CLOSE_ON_FREE);
	a.on_event = free_at_event;
	stream_add(out(&a), 1000, 0);
	bufferevent_enable(a.bev, EV_READ);
	connect_a(&place);
	int peer = accepted(&place);
	stream_put(peer, 0, 1000);
	until(base, a.events > 0);
	settle(base);
	say("reads %d, writes %d, events %d", a.reads, a.writes, a.events);
	say("the peer reads %d", take(peer, 10));
}

static void one_after_the_other(void)
{
	struct place place = listening(AF_INET);

	start(0);
	for (int i = 1; i <= 5; i++) {
		connect_a(&place);
		until(base, a.events == i);
		int fd = bufferevent_getfd(a.bev);
		bufferevent_setfd(a.bev, -1);
		close(fd);
		close(accepted(&place));
	}
	settle(base);
	say("events %d", a.events);
}

/* ---- with a socket of the program's ---- */

static void with_a_socket_of_ones_own(void)
{
	struct place place = listening(AF_INET), own = bound(AF_INET);
	struct sockaddr_in from;
	socklen_t length = sizeof(from);

	start(0);
	bufferevent_setfd(a.bev, own.fd);
	connect_a(&place);
	say("it is that socket: %s", yes(bufferevent_getfd(a.bev) == own.fd));
	until(base, connected());
	int peer = accepted(&place);
	MUST(getpeername(peer, (struct sockaddr *)&from, &length) == 0);
	say("from its port: %s", yes(from.sin_port == own.address.v4.sin_port));
	talk(peer);
}

/* The program has called connect(2) itself. */
static void on_a_connecting_socket(void)
{
	struct place place = listening(AF_INET);

	start(0);
	int fd = connect_to(SOCK_STREAM, ntohs(place.address.v4.sin_port));
	bufferevent_setfd(a.bev, fd);
	say("connect: %d", bufferevent_socket_connect(a.bev, NULL, 0));
	until(base, connected());
	talk(accepted(&place));
}

static void on_a_connected_socket(void)
{
	int fd[2];

	start(0);
	tcp_pair(fd);
	bufferevent_setfd(a.bev, fd[0]);
	say("connect: %d", bufferevent_socket_connect(a.bev, NULL, 0));
	until(base, connected());
	talk(fd[1]);
}

static void on_a_connected_unix_socket(void)
{
	int fd[2];

	start(0);
	new_pair(fd);
	bufferevent_setfd(a.bev, fd[0]);
	say("connect: %d", bufferevent_socket_connect(a.bev, NULL, 0));
	until(base, connected());
	talk(fd[1]);
}

static void again_on_a_connected_one(void)
{
	struct place place = listening(AF_INET);

	start(0);
	connect_a(&place);
	until(base, connected());
	int peer = accepted(&place);
	connect_a(&place);
	settle(base);
	say("events %d", a.events);
	talk(peer);
}

static void without_an_address(void)
{
	start(0);
	say("connect: %d", bufferevent_socket_connect(a.bev, NULL, 0));
	settle(base);
	say("events %d, fd %d", a.events, (int)bufferevent_getfd(a.bev));
}

/* ---- to what is not there ---- */

static void refused(int family, int options)
{
	struct place place = bound(family);

	start(options);
	bufferevent_enable(a.bev, EV_READ);
	stream_add(out(&a), 100, 0);
	connect_a(&place);
	say("events before the loop: %d", a.events);
	until(base, a.events > 0);
	settle(base);
	say_enabled(&a);
	say("left %zu, writecb %d, events %d", evbuffer_get_length(out(&a)), a.writes, a.events);
	say("it has an fd: %s", yes(bufferevent_getfd(a.bev) >= 0));
}

static void refused_v4(void)
{
	refused(AF_INET, 0);
}

static void refused_v6(void)
{
	refused(AF_INET6, 0);
}

static void refused_by_a_unix_socket(void)
{
	refused(AF_UNIX, 0);
}

static void refused_v4_deferred(void)
{
	refused(AF_INET, BEV_OPT_DEFER_CALLBACKS);
}

static void refused_by_a_unix_socket_deferred(void)
{
	refused(AF_UNIX, BEV_OPT_DEFER_CALLBACKS);
}

static void refused_without_reading(void)
{
	struct place place = bound(AF_INET);

	start(0);
	connect_a(&place);
	until(base, a.events > 0);
	say_enabled(&a);
	settle(base);
	say("events %d", a.events);
}

static void refused_and_freed(void)
{
	struct place place = bound(AF_INET);

	start(BEV_OPT_CLOSE_ON_FREE);
	a.on_event = free_at_event;
	bufferevent_enable(a.bev, EV_READ);
	connect_a(&place);
	until(base, a.events > 0);
	say("loop: %d", event_base_loop(base, 0));
}

static void no_such_path(void)
{
	struct place place = {.length = sizeof(struct sockaddr_un)};

	place.address.local.sun_family = AF_UNIX;
	strcpy(place.address.local.sun_path, "/nonexistent/socket");
	start(0);
	connect_a(&place);
	say("events %d, it has an fd: %s", a.events, yes(bufferevent_getfd(a.bev) >= 0));
	settle(base);
	say("events %d", a.events);
}

static void no_such_family(void)
{
	struct place place = {.length = sizeof(struct sockaddr_in)};

	place.address.any.sa_family = 12345;
	start(0);
	connect_a(&place);
	settle(base);
	say("events %d", a.events);
}

static void first_refused_then_connected(void)
{
	struct place nobody = bound(AF_INET), place = listening(AF_INET);

	start(0);
	stream_add(out(&a), 100, 0);
	connect_a(&nobody);
	until(base, a.events > 0);
	int old = bufferevent_getfd(a.bev);
	say("setfd: %d", bufferevent_setfd(a.bev, -1));
	close(old);
	bufferevent_enable(a.bev, EV_WRITE);
	connect_a(&place);
	until(base, connected());
	peer_expects(base, accepted(&place), 100);
}

/* The other side has taken the connection and thrown it away before the first turn of the loop. */
static void reset_before_the_first_turn(void)
{
	struct linger abort_it = {1, 0};
	struct place place = listening(AF_INET);

	start(0);
	bufferevent_enable(a.bev, EV_READ);
	connect_a(&place);
	int peer = accepted(&place);
	MUST(setsockopt(peer, SOL_SOCKET, SO_LINGER, &abort_it, sizeof(abort_it)) == 0);
	close(peer);
	struct pollfd p = {.fd = bufferevent_getfd(a.bev), .events = 0};
	MUST(poll(&p, 1, BEV_BOUND_MS) == 1);
	until(base, a.what & BEV_EVENT_ERROR);
	say("events %d", a.events);
}

/* ---- to what never answers ---- */

static void hanging(long read_ms, long write_ms)
{
	struct timeval r = msec(read_ms), w = msec(write_ms);
	struct place place = deaf();

	start(BEV_OPT_CLOSE_ON_FREE);
	bufferevent_set_timeouts(a.bev, read_ms ? &r : NULL, write_ms ? &w : NULL);
	bufferevent_enable(a.bev, EV_READ);
	connect_a(&place);
}

static void timeout_while_connecting(void)
{
	hanging(0, 50);
	until(base, a.events > 0);
	say_enabled(&a);
	settle(base);
	say("events %d", a.events);
}

static void read_timeout_while_connecting(void)
{
	hanging(50, 0);
	until(base, a.events > 0);
	say_enabled(&a);
	settle(base);
	say("events %d", a.events);
}

static void timeout_and_freed(void)
{
	hanging(0, 50);
	a.on_event = free_at_event;
	until(base, a.events > 0);
	settle(base);
	say("events %d", a.events);
}

static void freed_while_connecting(void)
{
	hanging(0, 0);
	int fd = bufferevent_getfd(a.bev);
	settle(base);
	bufferevent_free(a.bev);
	settle(base);
	say("events %d, closed %s", a.events, yes(fcntl(fd, F_GETFD) < 0));
}

static void freed_before_the_first_turn(void)
{
	hanging(0, 0);
	int fd = bufferevent_getfd(a.bev);
	bufferevent_free(a.bev);
	settle(base);
	say("events %d, closed %s", a.events, yes(fcntl(fd, F_GETFD) < 0));
}

static void fd_taken_away_while_connecting(void)
{
	hanging(0, 0);
	int fd = bufferevent_getfd(a.bev);
	settle(base);
	say("setfd: %d", bufferevent_setfd(a.bev, -1));
	settle(base);
	say("events %d, open %s", a.events, yes(fcntl(fd, F_GETFD) >= 0));
	struct place place = listening(AF_INET);
	connect_a(&place);
	until(base, connected());
	talk(accepted(&place));
}

static void base_freed_while_connecting(void)
{
	hanging(0, 0);
	one_pass(base);
	event_base_free(base);
	say("events %d", a.events);
}

/* ---- by name ---- */

static void connect_name(int family, const char *name, int port)
{
	int result = bufferevent_socket_connect_hostname(a.bev, NULL, family, name, port);

	say("connect to %s: %d", strlen(name) < 40 ? name : "a long name", result);
}

static void say_dns_error(void)
{
	int error = bufferevent_socket_get_dns_error(a.bev);

	say("name error: %s", error ? evutil_gai_strerror(error) : "none");
}

static void by_name(int family, int place_family, const char *name)
{
	struct place place = listening(place_family);

	start(0);
	connect_name(family, name,
	    ntohs(
		place_family == AF_INET ? place.address.v4.sin_port : place.address.v6.sin6_port));
	until(base, a.events > 0);
	say_dns_error();
	if (connected())
		talk(accepted(&place));
}

static void by_v4_literal(void)
{
	by_name(AF_UNSPEC, AF_INET, "127.0.0.1");
}

static void by_v6_literal(void)
{
	by_name(AF_UNSPEC, AF_INET6, "::1");
}

static void by_localhost(void)
{
	by_name(AF_INET, AF_INET, "localhost");
}

static void by_a_name_that_cannot_be(void)
{
	char name[301];

	memset(name, 'x', 300);
	name[300] = 0;
	start(0);
	connect_name(AF_INET, name, 80);
	say("events before the loop: %d", a.events);
	settle(base);
	say("events %d, name error %s", a.events, yes(bufferevent_socket_get_dns_error(a.bev)));
	say("it has an fd: %s", yes(bufferevent_getfd(a.bev) >= 0));
}

static void by_a_literal_of_the_other_family(void)
{
	start(0);
	connect_name(AF_INET6, "127.0.0.1", 80);
	settle(base);
	say("events %d, name error %s", a.events, yes(bufferevent_socket_get_dns_error(a.bev)));
}

static void by_name_in_no_family(void)
{
	start(0);
	connect_name(AF_UNIX, "localhost", 80);
	connect_name(AF_INET, "localhost", 0);
	connect_name(AF_INET, "localhost", 65536);
	connect_name(AF_INET, "localhost", -1);
	settle(base);
	say("events %d", a.events);
	say_dns_error();
}

static void by_name_and_refused(void)
{
	struct place place = bound(AF_INET);

	start(0);
	bufferevent_enable(a.bev, EV_READ);
	connect_name(AF_INET, "127.0.0.1", ntohs(place.address.v4.sin_port));
	until(base, a.events > 0);
	say_dns_error();
	say_enabled(&a);
}

static void by_name_with_output(void)
{
	struct place place = listening(AF_INET);

	start(0);
	stream_add(out(&a), 1000, 0);
	bufferevent_enable(a.bev, EV_READ);
	connect_name(AF_INET, "localhost", ntohs(place.address.v4.sin_port));
	int peer = accepted(&place);
	peer_expects(base, peer, 1000);
	stream_put(peer, 0, 1000);
	until(base, a.got == 1000);
	side_sum(&a);
}

static const struct diff_scenario scenarios[] = {
    DIFF_SCENARIO(to_v4),
    DIFF_SCENARIO(to_v6),
    DIFF_SCENARIO(to_a_unix_socket),
    DIFF_SCENARIO(to_v4_deferred),
    DIFF_SCENARIO(to_a_unix_socket_deferred),
    DIFF_SCENARIO(flags_of_the_socket),
    DIFF_SCENARIO(written_before_connect),
    DIFF_SCENARIO(written_before_connect_to_a_unix_socket),
    DIFF_SCENARIO(written_while_connecting),
    DIFF_SCENARIO(reading_before_connect),
    DIFF_SCENARIO(reading_before_connect_deferred),
    DIFF_SCENARIO(connected_without_writing),
    DIFF_SCENARIO(disabled_while_connecting),
    DIFF_SCENARIO(freed_when_connected),
    DIFF_SCENARIO(one_after_the_other),
    DIFF_SCENARIO(with_a_socket_of_ones_own),
    DIFF_SCENARIO(on_a_connecting_socket),
    DIFF_SCENARIO(on_a_connected_socket),
    DIFF_SCENARIO(on_a_connected_unix_socket),
    DIFF_SCENARIO(again_on_a_connected_one),
    DIFF_SCENARIO(without_an_address),
    DIFF_SCENARIO(refused_v4),
    DIFF_SCENARIO(refused_v6),
    DIFF_SCENARIO(refused_by_a_unix_socket),
    DIFF_SCENARIO(refused_v4_deferred),
    DIFF_SCENARIO(refused_by_a_unix_socket_deferred),
    DIFF_SCENARIO(refused_without_reading),
    DIFF_SCENARIO(refused_and_freed),
    DIFF_SCENARIO(no_such_path),
    DIFF_SCENARIO(no_such_family),
    DIFF_SCENARIO(first_refused_then_connected),
    DIFF_SCENARIO(reset_before_the_first_turn),
    DIFF_SCENARIO(timeout_while_connecting),
    DIFF_SCENARIO(read_timeout_while_connecting),
    DIFF_SCENARIO(timeout_and_freed),
    DIFF_SCENARIO(freed_while_connecting),
    DIFF_SCENARIO(freed_before_the_first_turn),
    DIFF_SCENARIO(fd_taken_away_while_connecting),
    DIFF_SCENARIO(base_freed_while_connecting),
    DIFF_SCENARIO(by_v4_literal),
    DIFF_SCENARIO(by_v6_literal),
    DIFF_SCENARIO(by_localhost),
    DIFF_SCENARIO(by_a_name_that_cannot_be),
    DIFF_SCENARIO(by_a_literal_of_the_other_family),
    DIFF_SCENARIO(by_name_in_no_family),
    DIFF_SCENARIO(by_name_and_refused),
    DIFF_SCENARIO(by_name_with_output),
};

DIFF_MAIN(scenarios)
