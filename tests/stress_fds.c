/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Close means close, and descriptors are never lost.
 *
 * After bufferevent_free with CLOSE_ON_FREE the peer reads the end at once, and after
 * evconnlistener_free the port can be bound at once: without another turn of the loop, inside and
 * outside of callbacks, whatever was under way in the kernel. (Stock closes a bufferevent's fd from
 * the loop, later: those scenarios are ours only.)
 */
#include "stress_common.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>

static struct event_base *base;

/* ---- the end is seen at once */

static void no_data(struct bufferevent *bev, void *arg)
{
	(void)bev;
	(void)arg;
}

static struct bufferevent *reading(int fd, int options)
{
	struct bufferevent *bev = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE | options);

	st_check(bev, "bufferevent_socket_new");
	bufferevent_setcb(bev, no_data, NULL, NULL, NULL);
	st_check(bufferevent_enable(bev, EV_READ) == 0, "bufferevent_enable");
	return bev;
}

enum under_way { NOTHING_YET, RECEIVING, SENDING, BOTH, DEFERRED, CONNECTED_TCP, N_UNDER_WAY };

static struct bufferevent *prepare(int what, struct st_pair *p)
{
	struct bufferevent *bev;

	*p = what == CONNECTED_TCP ? st_tcp_pair() : st_socketpair();
	bev = reading(p->ours, what == DEFERRED ? BEV_OPT_DEFER_CALLBACKS : 0);
	if (what == SENDING || what == BOTH) {
		char *much = calloc(1, 4 << 20);

		bufferevent_write(bev, much, 4 << 20);
		free(much);
	}
	if (what != NOTHING_YET)
		st_passes(base, 3);
	if (what == BOTH)
		st_put(p->peer);
	return bev;
}

static void free_outside(int arg)
{
	base = st_base_new();
	for (int i = 0; i < 50; i++) {
		struct st_pair p;
		struct bufferevent *bev = prepare(arg, &p);

		bufferevent_free(bev);
		st_check(st_peer_gone(p.peer), "round %d: the peer does not see the end", i);
		close(p.peer);
	}
	event_base_free(base);
}

static int freed;

static void free_and_look(struct bufferevent *bev, int peer)
{
	bufferevent_free(bev);
	/* The callback still holds it; the end comes when the callback is over. */
	(void)peer;
	freed++;
}

static void free_at_read(struct bufferevent *bev, void *arg)
{
	free_and_look(bev, ((struct st_pair *)arg)->peer);
}

static void free_at_event(struct bufferevent *bev, short what, void *arg)
{
	(void)what;
	free_and_look(bev, ((struct st_pair *)arg)->peer);
}

/* Freed in its own callback: when that turn of the loop is over the peer sees the end. */
static void free_inside(int arg)
{
	base = st_base_new();
	for (int i = 0; i < 50; i++) {
		struct st_pair p;
		struct bufferevent *bev = prepare(arg, &p);

		bufferevent_setcb(bev, free_at_read, NULL, free_at_event, &p);
		freed = 0;
		st_put(p.peer);
		st_check(st_run_until(base, &freed, 1), "round %d: no callback", i);
		st_check(st_peer_gone(p.peer), "round %d: the peer does not see the end", i);
		close(p.peer);
	}
	event_base_free(base);
}

struct victim {
	struct bufferevent *bev;
	struct st_pair p;
};

static void free_victim(evutil_socket_t fd, short what, void *arg)
{
	struct victim *v = arg;

	(void)fd;
	(void)what;
	bufferevent_free(v->bev);
	st_check(st_peer_gone(v->p.peer), "the peer does not see the end within the callback");
	freed++;
}

/* Freed in another callback: the peer sees the end before that returns. */
static void free_in_another_callback(int arg)
{
	const struct timeval soon = {0, 1000};

	base = st_base_new();
	for (int i = 0; i < 50; i++) {
		struct victim v;
		struct event *timer = st_event_new(base, -1, 0, free_victim, &v);

		v.bev = prepare(arg, &v.p);
		st_add(timer, &soon);
		freed = 0;
		st_check(st_run_until(base, &freed, 1), "round %d: no timer", i);
		event_free(timer);
		close(v.p.peer);
	}
	event_base_free(base);
}

static void free_at_read_look(struct bufferevent *bev, void *arg)
{
	struct victim *v = arg;

	(void)bev;
	free_victim(-1, 0, v);
}

/* Freed in the read callback of another bufferevent. */
static void free_in_anothers_callback(int arg)
{
	base = st_base_new();
	for (int i = 0; i < 50; i++) {
		struct victim v;
		struct st_pair p = st_socketpair();
		struct bufferevent *other = reading(p.ours, 0);

		v.bev = prepare(arg, &v.p);
		bufferevent_setcb(other, free_at_read_look, NULL, NULL, &v);
		freed = 0;
		st_put(p.peer);
		st_check(st_run_until(base, &freed, 1), "round %d: no callback", i);
		bufferevent_free(other);
		close(p.peer);
		close(v.p.peer);
	}
	event_base_free(base);
}

/* The number is used again at once by something else, which must not be disturbed. */
static void number_used_again(int arg)
{
	int rounds = 300;
	struct st_pair p;
	struct bufferevent *bev;

	base = st_base_new();
	bev = prepare(arg, &p);
	while (rounds-- > 0) {
		int number = p.ours, got = 0;
		struct st_pair next;
		struct event *ev;

		bufferevent_free(bev);
		close(p.peer);
		next = st_pair_at(number);
		ev = st_event_new(base, next.ours, EV_READ, st_count_cb, &got);
		st_add(ev, NULL);
		st_put(next.peer);
		st_check(st_run_until(base, &got, 1), "the new file hears nothing");
		st_check(st_drain(next.ours) == 1, "its byte is gone");
		event_free(ev);
		st_close_pair(&next);
		bev = prepare(arg, &p);
	}
}

/* ---- listeners */

static int came;
static bool free_there;
static uint16_t port;

static void bind_at_once(void)
{
	int fd = st_listen(&port, false);

	st_check(fd >= 0, "bind: %s", strerror(errno));
	close(fd);
}

static void accept_cb(
    struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int len, void *arg)
{
	struct linger abort_it = {1, 0};

	(void)sa;
	(void)len;
	(void)arg;
	came++;
	/* No TIME_WAIT in the way of binding again. */
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort_it, sizeof(abort_it));
	close(fd);
	if (free_there)
		evconnlistener_free(l);
}

static struct evconnlistener *listening(void)
{
	struct sockaddr_in sin = {.sin_family = AF_INET};
	socklen_t len = sizeof(sin);
	struct evconnlistener *l;

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	l = evconnlistener_new_bind(
	    base, accept_cb, NULL, LEV_OPT_CLOSE_ON_FREE, -1, (struct sockaddr *)&sin, sizeof(sin));
	st_check(l, "evconnlistener_new_bind: %s", strerror(errno));
	getsockname(evconnlistener_get_fd(l), (struct sockaddr *)&sin, &len);
	port = ntohs(sin.sin_port);
	return l;
}

/* arg: how many passes before it is freed. */
static void port_is_free(int arg)
{
	base = st_base_new();
	for (int i = 0; i < 200; i++) {
		struct evconnlistener *l = listening();

		st_passes(base, arg);
		evconnlistener_free(l);
		bind_at_once();
	}
	event_base_free(base);
}

static void port_is_free_after_the_callback(int arg)
{
	(void)arg;
	base = st_base_new();
	free_there = true;
	for (int i = 0; i < 100; i++) {
		int fd;

		(void)listening();
		came = 0;
		fd = st_connect(port);
		st_check(fd >= 0, "connect: %s", strerror(errno));
		st_check(st_run_until(base, &came, 1), "no connection");
		close(fd);
		bind_at_once();
	}
	event_base_free(base);
}

/* ---- nothing is lost */

static int ended, peak_fds;

static void end_echo(struct bufferevent *bev, short what, void *arg)
{
	(void)arg;
	(void)what;
	bufferevent_free(bev);
	ended++;
}

static void echo(struct bufferevent *bev, void *arg)
{
	(void)arg;
	bufferevent_write_buffer(bev, bufferevent_get_input(bev));
}

static void serve(
    struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int len, void *arg)
{
	struct bufferevent *bev = reading(fd, 0);

	(void)l;
	(void)sa;
	(void)len;
	(void)arg;
	bufferevent_setcb(bev, echo, NULL, end_echo, NULL);
	came++;
}

/* Each client sends a byte, some wait for the echo, and go in one way or another. */
static void client(int i)
{
	struct linger abort_it = {1, 0};
	int fd = st_connect(port);

	st_check(fd >= 0, "connect: %s", strerror(errno));
	if (i % 5 != 0)
		st_put(fd);
	if (i % 4 == 0)
		st_pass(base);
	/* Most break off, or TIME_WAIT would use up the ports for whoever comes next. */
	if (i % 10 != 0)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort_it, sizeof(abort_it));
	close(fd);
}

static void connections_leave_nothing(int n)
{
	struct evconnlistener *l;
	int before, i;

	base = st_base_new();
	before = st_count_fds();
	l = listening();
	evconnlistener_set_cb(l, serve, NULL);
	st_passes(base, 2);
	for (i = 0; i < n; i++) {
		client(i);
		if (i % 50 == 49)
			st_check(
			    st_run_until(base, &came, i + 1) && st_run_until(base, &ended, i + 1),
			    "%d made, %d came, %d ended", i + 1, came, ended);
		if (st_count_fds() > peak_fds)
			peak_fds = st_count_fds();
	}
	evconnlistener_free(l);
	st_check(
	    st_count_fds() <= before, "%d descriptors before, %d after", before, st_count_fds());
	st_check(peak_fds < before + 120, "at most %d descriptors", peak_fds);
	event_base_free(base);
}

/* Connections that were taken in but never handed out are closed with the listener. */
static void waiting_connections_leave_nothing(int arg)
{
	int fds[20], before;

	(void)arg;
	base = st_base_new();
	before = st_count_fds();
	for (int i = 0; i < 50; i++) {
		struct evconnlistener *l = listening();

		if (i % 2)
			st_passes(base, 2);
		for (int k = 0; k < 20; k++)
			fds[k] = st_connect(port);
		if (i % 3 == 0)
			evconnlistener_disable(l);
		if (i % 3 == 1)
			free_there = true;
		if (i % 5 == 0)
			st_pass(base);
		if (!free_there || i % 5)
			evconnlistener_free(l);
		free_there = false;
		for (int k = 0; k < 20; k++)
			close(fds[k]);
	}
	st_check(
	    st_count_fds() <= before, "%d descriptors before, %d after", before, st_count_fds());
}

#define KINDS(name, function)                                       \
	{name "_fresh", function, NOTHING_YET, ST_OURS_ONLY},       \
	    {name "_receiving", function, RECEIVING, ST_OURS_ONLY}, \
	    {name "_sending", function, SENDING, ST_OURS_ONLY},     \
	    {name "_both", function, BOTH, ST_OURS_ONLY},           \
	    {name "_deferred", function, DEFERRED, ST_OURS_ONLY},   \
	{                                                           \
		name "_tcp", function, CONNECTED_TCP, ST_OURS_ONLY  \
	}

/* Who has counted the descriptors, to set a limit, finds as many when data begins to be moved. */
static void descriptors_stay_as_many(int unused)
{
	struct event_base *base = st_base_new();
	struct st_pair p = st_socketpair();
	struct bufferevent *bev;
	int before;

	(void)unused;
	event_base_loop(base, EVLOOP_NONBLOCK);
	before = st_count_fds();
	bev = bufferevent_socket_new(base, p.ours, BEV_OPT_CLOSE_ON_FREE);
	st_check(bev && bufferevent_enable(bev, EV_READ) == 0, "a bufferevent");
	event_base_loop(base, EVLOOP_NONBLOCK);
	event_base_loop(base, EVLOOP_NONBLOCK);
	st_check(
	    st_count_fds() == before, "%d descriptors before, %d after", before, st_count_fds());
	bufferevent_free(bev);
	event_base_free(base);
	close(p.peer);
}

static const struct st_case cases[] = {
    {"descriptors_stay_as_many", descriptors_stay_as_many, 0, 0},
    KINDS("free_outside", free_outside),
    KINDS("free_inside", free_inside),
    KINDS("free_in_another_callback", free_in_another_callback),
    KINDS("free_in_anothers_callback", free_in_anothers_callback),
    KINDS("number_used_again", number_used_again),
    {"port_is_free_before_a_turn", port_is_free, 0, 0},
    {"port_is_free_after_a_turn", port_is_free, 2, 0},
    {"port_is_free_after_the_callback", port_is_free_after_the_callback, 0, 0},
    {"connections_leave_nothing", connections_leave_nothing, 10000, 0},
    {"waiting_connections_leave_nothing", waiting_connections_leave_nothing, 0, 0},
    {NULL, NULL, 0, 0},
};

int main(int argc, char **argv)
{
	return st_main(argc, argv, cases);
}
