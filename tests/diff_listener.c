/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Listeners: what the flags do to both sockets, who the peer is, disabling, freeing, other
 * callbacks, and running out of descriptors.
 *
 * Clients connect before the loop turns, so many connections wait at once; they are told apart by
 * their own addresses, and have to come in the order in which they were made. When exactly a
 * connection leaves the kernel's queue is nobody's promise, so how a listener that has been freed
 * treats those that still waited is said only of those that came afterwards.
 */
#include "diff_bev_sock.h"

#include <netinet/tcp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/un.h>

#include <event2/listener.h>
#include <event2/thread.h>

enum { MAX_CLIENTS = 600 };

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un path;
};

struct client {
	int fd;
	union address own;
	socklen_t length;
};

static struct event_base *base;
static struct evconnlistener *listener;
static struct client clients[MAX_CLIENTS];
static int made, came, errors, last_error, others;
static bool keep_open, mismatched;
static int last_fd = -1;
static void (*then)(int number); /* at the end of the accept callback */

static int length_of(int family)
{
	return family == AF_INET    ? (int)sizeof(struct sockaddr_in)
	       : family == AF_INET6 ? (int)sizeof(struct sockaddr_in6)
				    : (int)sizeof(sa_family_t);
}

/* Any port, or any name. */
static union address anywhere(int family)
{
	union address address;

	memset(&address, 0, sizeof(address));
	address.any.sa_family = (sa_family_t)family;
	if (family == AF_INET)
		address.v4 = loopback(0);
	if (family == AF_INET6)
		address.v6.sin6_addr = in6addr_loopback;
	return address;
}

static void accept_cb(
    struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int length, void *arg)
{
	const struct client *client = &clients[came];

	(void)arg;
	MUST(l == listener);
	if ((socklen_t)length != client->length || memcmp(sa, &client->own, (size_t)length) != 0)
		mismatched = true;
	came++;
	if (keep_open)
		last_fd = fd;
	else
		close(fd);
	if (then)
		then(came);
}

static void other_cb(
    struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int length, void *arg)
{
	(void)l;
	(void)sa;
	(void)length;
	close(fd);
	__atomic_add_fetch(&others, 1, __ATOMIC_SEQ_CST);
	if (arg)
		say("the argument is %s", (const char *)arg);
}

static void error_cb(struct evconnlistener *l, void *arg)
{
	last_error = errno;
	(void)arg;
	MUST(l == listener);
	errors++;
}

static void start(int family, unsigned flags)
{
	union address address = anywhere(family);

	if (!base)
		base = new_base();
	listener = evconnlistener_new_bind(
	    base, accept_cb, NULL, flags, -1, &address.any, length_of(family));
	MUST(listener != NULL);
	evconnlistener_set_error_cb(listener, error_cb);
}

static void connect_client(struct client *client)
{
	union address to;
	socklen_t length = sizeof(to);

	memset(&to, 0, sizeof(to));
	MUST(getsockname(evconnlistener_get_fd(listener), &to.any, &length) == 0);
	client->fd = socket(to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	MUST(client->fd >= 0);
	MUST(connect(client->fd, &to.any, length) == 0);
	client->length = sizeof(client->own);
	MUST(getsockname(client->fd, &client->own.any, &client->length) == 0);
	MUST(evutil_make_socket_nonblocking(client->fd) == 0);
}

static void connect_clients(int n)
{
	while (n-- > 0)
		connect_client(&clients[made++]);
}

static void say_came(void)
{
	say("came %d of %d, %s, errors %d", came, made, mismatched ? "not as made" : "as made",
	    errors);
}

/* ---- flags ---- */

static int option(int fd, int level, int name)
{
	int value = 0;
	socklen_t length = sizeof(value);

	return getsockopt(fd, level, name, &value, &length) < 0 ? -1 : value;
}

static void say_socket(const char *name, int fd)
{
	say("%s: %s, %s", name, fcntl(fd, F_GETFL) & O_NONBLOCK ? "nonblocking" : "blocking",
	    fcntl(fd, F_GETFD) & FD_CLOEXEC ? "closed on exec" : "inherited");
	say("keepalive %d, reuseaddr %d, reuseport %d, defer %s, v6only %d",
	    option(fd, SOL_SOCKET, SO_KEEPALIVE), option(fd, SOL_SOCKET, SO_REUSEADDR),
	    option(fd, SOL_SOCKET, SO_REUSEPORT),
	    yes(option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT) > 0),
	    option(fd, IPPROTO_IPV6, IPV6_V6ONLY));
}

static void flags_are(int family, unsigned flags)
{
	start(family, flags);
	keep_open = true;
	say_socket("listening", evconnlistener_get_fd(listener));
	connect_clients(1);
	put(clients[0].fd, "x");
	say("enable: %d", evconnlistener_enable(listener));
	until(base, came == 1);
	say_socket("accepted", last_fd);
	int fd = evconnlistener_get_fd(listener);
	evconnlistener_free(listener);
	say("open after free: %s", yes(fcntl(fd, F_GETFD) >= 0));
}

#define FLAGS(name, family, flags)        \
	static void flags_##name(void)    \
	{                                 \
		flags_are(family, flags); \
	}

FLAGS(none, AF_INET, 0)
FLAGS(leave_blocking, AF_INET, LEV_OPT_LEAVE_SOCKETS_BLOCKING)
FLAGS(close_on_free, AF_INET, LEV_OPT_CLOSE_ON_FREE)
FLAGS(close_on_exec, AF_INET, LEV_OPT_CLOSE_ON_EXEC)
FLAGS(reuseable, AF_INET, LEV_OPT_REUSEABLE)
FLAGS(reuseable_port, AF_INET, LEV_OPT_REUSEABLE_PORT)
FLAGS(threadsafe, AF_INET, LEV_OPT_THREADSAFE)
FLAGS(disabled, AF_INET, LEV_OPT_DISABLED)
FLAGS(deferred_accept, AF_INET, LEV_OPT_DEFERRED_ACCEPT)
FLAGS(ipv6only, AF_INET6, LEV_OPT_BIND_IPV6ONLY)
FLAGS(v6, AF_INET6, LEV_OPT_CLOSE_ON_FREE)
FLAGS(unix, AF_UNIX, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC)
FLAGS(all_together, AF_INET,
    LEV_OPT_LEAVE_SOCKETS_BLOCKING | LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC |
	LEV_OPT_REUSEABLE | LEV_OPT_REUSEABLE_PORT | LEV_OPT_THREADSAFE | LEV_OPT_DISABLED |
	LEV_OPT_DEFERRED_ACCEPT)

static void disabled_at_first(void)
{
	start(AF_INET, LEV_OPT_DISABLED);
	connect_clients(3);
	say("loop: %d", event_base_loop(base, EVLOOP_NONBLOCK));
	settle(base);
	say_came();
	evconnlistener_enable(listener);
	until(base, came == 3);
	say_came();
}

/* ---- who the peer is ---- */

static void peers(int family)
{
	start(family, LEV_OPT_CLOSE_ON_FREE);
	connect_clients(100);
	until(base, came == 100);
	connect_clients(100);
	until(base, came == 200);
	say_came();
}

static void peers_v4(void)
{
	peers(AF_INET);
}

static void peers_v6(void)
{
	peers(AF_INET6);
}

static void peers_without_a_name(void)
{
	peers(AF_UNIX);
}

/* Each client has a name of its own. */
static void peers_with_names(void)
{
	union address to;
	socklen_t length = sizeof(to);

	start(AF_UNIX, LEV_OPT_CLOSE_ON_FREE);
	MUST(getsockname(evconnlistener_get_fd(listener), &to.any, &length) == 0);
	while (made < 100) {
		struct client *client = &clients[made++];

		client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		MUST(client->fd >= 0);
		client->own = anywhere(AF_UNIX);
		MUST(bind(client->fd, &client->own.any, sizeof(sa_family_t)) == 0);
		client->length = sizeof(client->own);
		MUST(getsockname(client->fd, &client->own.any, &client->length) == 0);
		MUST(connect(client->fd, &to.any, length) == 0);
	}
	until(base, came == made);
	say_came();
}

static void peers_that_have_left(void)
{
	start(AF_INET, LEV_OPT_CLOSE_ON_FREE);
	connect_clients(20);
	for (int i = 0; i < 20; i++)
		close(clients[i].fd);
	until(base, came == 20);
	say_came();
}

static void peers_that_have_broken_off(void)
{
	struct linger abort_it = {1, 0};

	start(AF_INET, LEV_OPT_CLOSE_ON_FREE);
	connect_clients(20);
	for (int i = 0; i < 20; i++) {
		MUST(setsockopt(
			 clients[i].fd, SOL_SOCKET, SO_LINGER, &abort_it, sizeof(abort_it)) == 0);
		close(clients[i].fd);
	}
	settle(base);
	say_came();
}

static void a_crowd(void)
{
	start(AF_INET, LEV_OPT_CLOSE_ON_FREE);
	for (int i = 0; i < 5; i++) {
		connect_clients(100);
		until(base, came == made);
	}
	say_came();
}

/* ---- making one ---- */

static void backlogs(void)
{
	static const int backlogs[] = {-1, 0, 1, 5, 4096};
	union address address = anywhere(AF_INET);

	base = new_base();
	for (size_t i = 0; i < sizeof(backlogs) / sizeof(backlogs[0]); i++) {
		listener = evconnlistener_new_bind(base, accept_cb, NULL, LEV_OPT_CLOSE_ON_FREE,
		    backlogs[i], &address.any, length_of(AF_INET));
		say("backlog %d: made %s", backlogs[i], yes(listener != NULL));
		if (!listener)
			continue;
		made = came = 0;
		connect_clients(1);
		until(base, came == 1);
		evconnlistener_free(listener);
	}
}

static void on_a_socket_that_listens(void)
{
	base = new_base();
	int fd = bound_socket(SOCK_STREAM, 0);
	MUST(listen(fd, 10) == 0);
	listener = evconnlistener_new(base, accept_cb, NULL, 0, 0, fd);
	say("its fd %s, its base %s", yes(evconnlistener_get_fd(listener) == fd),
	    yes(evconnlistener_get_base(listener) == base));
	connect_clients(5);
	until(base, came == 5);
	say_came();
	evconnlistener_free(listener);
	say("still open: %s", yes(fcntl(fd, F_GETFD) >= 0));
}

static void on_a_bound_socket(void)
{
	base = new_base();
	int fd = bound_socket(SOCK_STREAM, 0);
	listener = evconnlistener_new(base, accept_cb, NULL, LEV_OPT_CLOSE_ON_FREE, -1, fd);
	connect_clients(5);
	until(base, came == 5);
	say_came();
}

static void on_a_socket_that_does_not_listen(void)
{
	base = new_base();
	int fd = bound_socket(SOCK_STREAM, 0);
	listener = evconnlistener_new(base, accept_cb, NULL, LEV_OPT_CLOSE_ON_FREE, 0, fd);
	evconnlistener_set_error_cb(listener, error_cb);
	until(base, errors > 0);
	say("%s", strerror(last_error));
	evconnlistener_free(listener);
	say("loop: %d", event_base_loop(base, 0));
}

static void what_cannot_be_made(void)
{
	union address address = anywhere(AF_INET);

	start(AF_INET, LEV_OPT_CLOSE_ON_FREE);
	address.v4.sin_port = htons((uint16_t)port_of(evconnlistener_get_fd(listener)));
	say("a used port: %s",
	    yes(evconnlistener_new_bind(base, accept_cb, NULL, LEV_OPT_CLOSE_ON_FREE, -1,
		    &address.any, length_of(AF_INET)) != NULL));
	say("no address: %s",
	    yes(evconnlistener_new_bind(base, accept_cb, NULL, 0, -1, NULL, 0) != NULL));
	address.any.sa_family = 9999;
	say("no such family: %s", yes(evconnlistener_new_bind(base, accept_cb, NULL, 0, -1,
					  &address.any, length_of(AF_INET)) != NULL));
	connect_clients(1);
	until(base, came == 1);
	say_came();
}

static void two_on_one_port(void)
{
	struct evconnlistener *second;
	union address address = anywhere(AF_INET);

	start(AF_INET, LEV_OPT_REUSEABLE_PORT | LEV_OPT_CLOSE_ON_FREE);
	address.v4.sin_port = htons((uint16_t)port_of(evconnlistener_get_fd(listener)));
	second = evconnlistener_new_bind(base, other_cb, NULL,
	    LEV_OPT_REUSEABLE_PORT | LEV_OPT_CLOSE_ON_FREE, -1, &address.any, length_of(AF_INET));
	say("the second: %s", yes(second != NULL));
	connect_clients(50);
	until(base, came + others == 50);
	say("came %d", came + others);
}

/* ---- enabling and disabling ---- */

static void disable_it(int number)
{
	if (number % 3 == 0)
		say("%d came, disable: %d", number, evconnlistener_disable(listener));
}

static void disable_in_the_callback(void)
{
	start(AF_INET, LEV_OPT_CLOSE_ON_FREE);
	then = disable_it;
	connect_clients(10);
	for (int i = 3; i < 10; i += 3) {
		until(base, came == i);
		settle(base);
		say_came();
		say("enable: %d", evconnlistener_enable(listener));
	}
	until(base, came == 10);
	connect_clients(2);
	until(base, came == 12);
	say_came();
}

static void disable_from_outside(void)
{
	start(AF_INET, LEV_OPT_CLOSE_ON_FREE);
	connect_clients(2);
	until(base, came == 2);
	say("disable: %d, %d", evconnlistener_disable(listener), evconnlistener_disable(listener));
	connect_clients(5);
	settle(base);
	say_came();
	say("enable: %d, %d", evconnlistener_enable(listener), evconnlistener_enable(listener));
	until(base, came == 7);
	say_came();
	evconnlistener_disable(listener);
	say("loop: %d", event_base_loop(base, 0));
}

/* What comes while it is disabled stays with the kernel. */
static void program_accepts_while_disabled(void)
{
	start(AF_INET, LEV_OPT_CLOSE_ON_FREE);
	connect_clients(1);
	until(base, came == 1);
	evconnlistener_disable(listener);
	connect_clients(3);
	int taken = 0, fd;
	while ((fd = accept(evconnlistener_get_fd(listener), NULL, NULL)) >= 0) {
		close(fd);
		taken++;
	}
	say("taken: %d", taken);
	evconnlistener_enable(listener);
	settle(base);
	say("came %d", came);
}

static void disabled_before_the_first_turn(void)
{
	start(AF_INET, LEV_OPT_CLOSE_ON_FREE);
	evconnlistener_disable(listener);
	connect_clients(5);
	settle(base);
	say_came();
	evconnlistener_enable(listener);
	until(base, came == 5);
	say_came();
}

static void switched_on_and_off(void)
{
	start(AF_INET, LEV_OPT_CLOSE_ON_FREE);
	for (int i = 0; i < 20; i++) {
		connect_clients(2);
		evconnlistener_disable(listener);
		one_pass(base);
		evconnlistener_enable(listener);
		one_pass(base);
	}
	until(base, came == made);
	say_came();
}

/* ---- freeing ---- */

static void free_it(int number)
{
	(void)number;
	evconnlistener_free(listener);
}

static void free_in_the_callback(void)
{
	start(AF_INET, LEV_OPT_CLOSE_ON_FREE);
	int fd = evconnlistener_get_fd(listener);
	then = free_it;
	connect_clients(5);
	until(base, came > 0);
	settle(base);
	say("came %d, open %s", came, yes(fcntl(fd, F_GETFD) >= 0));
	int closed = 0;
	for (int i = 0; i < 5; i++)
		closed += take(clients[i].fd, 1) <= 0;
	say("closed: %d", closed);
	say("loop: %d", event_base_loop(base, 0));
}

static void free_in_the_callback_without_closing(void)
{
	start(AF_INET, 0);
	int fd = evconnlistener_get_fd(listener);
	then = free_it;
	connect_clients(1);
	until(base, came > 0);
	settle(base);
	say("open %s", yes(fcntl(fd, F_GETFD) >= 0));
	int client = connect_to(SOCK_STREAM, port_of(fd));
	settle(base);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	MUST(poll(&p, 1, BEV_BOUND_MS) == 1);
	say("the program accepts: %s", yes(accept(fd, NULL, NULL) >= 0));
	close(client);
	say("came %d", came);
}

static void bind_again(int port)
{
	struct sockaddr_in sin = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	MUST(fd >= 0);
	say("bind: %d", bind(fd, (struct sockaddr *)&sin, sizeof(sin)));
	say("listen: %d", listen(fd, 5));
	close(fd);
}

static void port_is_free_at_once(void)
{
	start(AF_INET, LEV_OPT_CLOSE_ON_FREE);
	int port = port_of(evconnlistener_get_fd(listener));
	one_pass(base);
	evconnlistener_free(listener);
	bind_again(port);
}

static int port_to_bind;

static void free_and_bind(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	evconnlistener_free(listener);
	bind_again(port_to_bind);
}

static void port_is_free_at_once_in_a_callback(void)
{
	start(AF_INET, LEV_OPT_CLOSE_ON_FREE);
	port_to_bind = port_of(evconnlistener_get_fd(listener));
	struct timeval tv = msec(1);
	event_base_once(base, -1, EV_TIMEOUT, free_and_bind, NULL, &tv);
	say("loop: %d", event_base_loop(base, 0));
}

static void freed_with_connections_waiting(void)
{
	start(AF_INET, LEV_OPT_CLOSE_ON_FREE);
	one_pass(base);
	connect_clients(5);
	evconnlistener_free(listener);
	settle(base);
	int closed = 0;
	for (int i = 0; i < 5; i++)
		closed += take(clients[i].fd, 1) <= 0;
	say("came %d, closed %d", came, closed);
}

/* ---- callbacks ---- */

static void without_a_callback(void)
{
	start(AF_INET, LEV_OPT_CLOSE_ON_FREE);
	connect_clients(1);
	until(base, came == 1);
	evconnlistener_set_cb(listener, NULL, NULL);
	connect_clients(2);
	until_outside(base, take(clients[1].fd, 1) == 0 && take(clients[2].fd, 1) == 0);
	say("came %d, the others were closed", came);
	evconnlistener_set_cb(listener, other_cb, (void *)(uintptr_t) "new");
	connect_clients(1);
	until(base, others == 1);
	say("came %d, %d", came, others);
}

static void without_a_callback_at_first(void)
{
	union address address = anywhere(AF_INET);

	base = new_base();
	listener = evconnlistener_new_bind(
	    base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE, -1, &address.any, length_of(AF_INET));
	say("loop: %d", event_base_loop(base, EVLOOP_NONBLOCK));
	connect_clients(2);
	settle(base);
	say_came();
	evconnlistener_set_cb(listener, accept_cb, NULL);
	until(base, came == 2);
	say_came();
}

static void change_it(int number)
{
	if (number == 3)
		evconnlistener_set_cb(listener, other_cb, (void *)(uintptr_t) "other");
}

static void changed_in_the_callback(void)
{
	start(AF_INET, LEV_OPT_CLOSE_ON_FREE);
	then = change_it;
	connect_clients(5);
	until(base, others == 2);
	say("came %d, %d", came, others);
}

static void connect_one_more(int number)
{
	if (number < 50)
		connect_clients(1);
}

static void connections_made_in_the_callback(void)
{
	start(AF_INET, LEV_OPT_CLOSE_ON_FREE);
	then = connect_one_more;
	connect_clients(1);
	until(base, came == 50);
	say_came();
}

static void read_and_answer(struct bufferevent *bev, void *arg)
{
	(void)arg;
	bufferevent_write_buffer(bev, bufferevent_get_input(bev));
}

static void free_bev(struct bufferevent *bev, short what, void *arg)
{
	(void)arg;
	(void)what;
	others++;
	bufferevent_free(bev);
}

static void serve(int number)
{
	struct bufferevent *bev = bufferevent_socket_new(base, last_fd, BEV_OPT_CLOSE_ON_FREE);

	(void)number;
	bufferevent_setcb(bev, read_and_answer, NULL, free_bev, NULL);
	bufferevent_enable(bev, EV_READ);
}

static void an_echo_server(void)
{
	uint64_t got[20] = {0};
	bool right = true;

	start(AF_INET, LEV_OPT_CLOSE_ON_FREE);
	keep_open = true;
	then = serve;
	connect_clients(20);
	for (int i = 0; i < 20; i++)
		stream_put(clients[i].fd, 0, 10000);
	for (int i = 0; i < 20; i++)
		until_outside(base,
		    (right = stream_read(clients[i].fd, &got[i], NULL) && right, got[i] >= 10000));
	for (int i = 0; i < 20; i++)
		close(clients[i].fd);
	until(base, others == 20);
	say("came %d, left %d, %s", came, others, right ? "in order" : "garbled");
}

/* ---- no descriptors left ---- */

static int hoard[256];
static int hoarded;

/* Before anything else: what is already under way in the kernel may keep the limit that it found.
 */
static void few_descriptors(void)
{
	struct rlimit low;

	MUST(getrlimit(RLIMIT_NOFILE, &low) == 0);
	low.rlim_cur = 100;
	MUST(setrlimit(RLIMIT_NOFILE, &low) == 0);
}

static void take_all_descriptors(void)
{
	while ((hoard[hoarded] = dup(0)) >= 0)
		hoarded++;
	MUST(errno == EMFILE);
}

static void give_descriptors_back(void)
{
	while (hoarded > 0)
		close(hoard[--hoarded]);
}

static void out_of_descriptors(bool tell)
{
	few_descriptors();
	start(AF_INET, LEV_OPT_CLOSE_ON_FREE);
	if (!tell)
		evconnlistener_set_error_cb(listener, NULL);
	one_pass(base);
	connect_clients(3);
	take_all_descriptors();
	if (tell) {
		until(base, errors > 0);
		say("the error callback ran: %s", strerror(last_error));
	} else {
		settle(base);
	}
	say("came %d", came);
	give_descriptors_back();
	until(base, came == 3);
	say("came %d, %s", came, mismatched ? "not as made" : "as made");
}

static void descriptors_run_out(void)
{
	out_of_descriptors(true);
}

static void descriptors_run_out_and_nobody_is_told(void)
{
	out_of_descriptors(false);
}

static void disable_on_error(struct evconnlistener *l, void *arg)
{
	(void)arg;
	errors++;
	evconnlistener_disable(l);
}

static void disabled_in_the_error_callback(void)
{
	few_descriptors();
	start(AF_INET, LEV_OPT_CLOSE_ON_FREE);
	evconnlistener_set_error_cb(listener, disable_on_error);
	one_pass(base);
	connect_clients(3);
	take_all_descriptors();
	until(base, errors > 0);
	give_descriptors_back();
	run_for(base, 150);
	say_came();
	evconnlistener_enable(listener);
	until(base, came == 3);
	say_came();
}

static void free_on_error(struct evconnlistener *l, void *arg)
{
	(void)arg;
	errors++;
	evconnlistener_free(l);
}

static void freed_in_the_error_callback(void)
{
	few_descriptors();
	start(AF_INET, LEV_OPT_CLOSE_ON_FREE);
	evconnlistener_set_error_cb(listener, free_on_error);
	one_pass(base);
	connect_clients(1);
	take_all_descriptors();
	until(base, errors > 0);
	give_descriptors_back();
	say("loop: %d", event_base_loop(base, 0));
	say_came();
}

/* ---- another thread ---- */

static void *run_loop(void *arg)
{
	(void)arg;
	event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY);
	return NULL;
}

/* What the other thread has counted. */
static bool count_is(const int *count, int n)
{
	for (int waited = 0; waited < BEV_BOUND_MS; waited++) {
		if (__atomic_load_n(count, __ATOMIC_SEQ_CST) == n)
			return true;
		sleep_ms(1);
	}
	return false;
}

static void in_another_thread(void)
{
	static int before;
	pthread_t thread;

	MUST(evthread_use_pthreads() == 0);
	start(AF_INET, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_THREADSAFE);
	int port = port_of(evconnlistener_get_fd(listener));
	evconnlistener_set_cb(listener, other_cb, NULL);
	MUST(pthread_create(&thread, NULL, run_loop, NULL) == 0);
	connect_clients(50);
	say("all came: %s", yes(count_is(&others, 50)));
	say("disable: %d", evconnlistener_disable(listener));
	before = __atomic_load_n(&others, __ATOMIC_SEQ_CST);
	connect_clients(20);
	sleep_ms(SETTLE_MS);
	say("while disabled: %d", __atomic_load_n(&others, __ATOMIC_SEQ_CST) - before);
	say("enable: %d", evconnlistener_enable(listener));
	say("all came: %s", yes(count_is(&others, 70)));
	evconnlistener_free(listener);
	bind_again(port);
	event_base_loopbreak(base);
	MUST(pthread_join(thread, NULL) == 0);
}

static const struct diff_scenario scenarios[] = {
    DIFF_SCENARIO(flags_none),
    DIFF_SCENARIO(flags_leave_blocking),
    DIFF_SCENARIO(flags_close_on_free),
    DIFF_SCENARIO(flags_close_on_exec),
    DIFF_SCENARIO(flags_reuseable),
    DIFF_SCENARIO(flags_reuseable_port),
    DIFF_SCENARIO(flags_threadsafe),
    DIFF_SCENARIO(flags_disabled),
    DIFF_SCENARIO(flags_deferred_accept),
    DIFF_SCENARIO(flags_ipv6only),
    DIFF_SCENARIO(flags_v6),
    DIFF_SCENARIO(flags_unix),
    DIFF_SCENARIO(flags_all_together),
    DIFF_SCENARIO(disabled_at_first),
    DIFF_SCENARIO(peers_v4),
    DIFF_SCENARIO(peers_v6),
    DIFF_SCENARIO(peers_without_a_name),
    DIFF_SCENARIO(peers_with_names),
    DIFF_SCENARIO(peers_that_have_left),
    DIFF_SCENARIO(peers_that_have_broken_off),
    DIFF_SCENARIO(a_crowd),
    DIFF_SCENARIO(backlogs),
    DIFF_SCENARIO(on_a_socket_that_listens),
    DIFF_SCENARIO(on_a_bound_socket),
    DIFF_SCENARIO(on_a_socket_that_does_not_listen),
    DIFF_SCENARIO(what_cannot_be_made),
    DIFF_SCENARIO(two_on_one_port),
    DIFF_SCENARIO(disable_in_the_callback),
    DIFF_SCENARIO(disable_from_outside),
    DIFF_SCENARIO(program_accepts_while_disabled),
    DIFF_SCENARIO(disabled_before_the_first_turn),
    DIFF_SCENARIO(switched_on_and_off),
    DIFF_SCENARIO(free_in_the_callback),
    DIFF_SCENARIO(free_in_the_callback_without_closing),
    DIFF_SCENARIO(port_is_free_at_once),
    DIFF_SCENARIO(port_is_free_at_once_in_a_callback),
    DIFF_SCENARIO(freed_with_connections_waiting),
    DIFF_SCENARIO(without_a_callback),
    DIFF_SCENARIO(without_a_callback_at_first),
    DIFF_SCENARIO(changed_in_the_callback),
    DIFF_SCENARIO(connections_made_in_the_callback),
    DIFF_SCENARIO(an_echo_server),
    DIFF_SCENARIO(descriptors_run_out),
    DIFF_SCENARIO(descriptors_run_out_and_nobody_is_told),
    DIFF_SCENARIO(disabled_in_the_error_callback),
    DIFF_SCENARIO(freed_in_the_error_callback),
    DIFF_SCENARIO(in_another_thread),
};

DIFF_MAIN(scenarios)
