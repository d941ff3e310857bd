/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rows 1, 2, 3, 6, 11, 12 and 14: an echo server as programs write it for libevent, a listener and
 * a socket bufferevent a connection. What is read is moved to the output, never copied.
 */
#include "load.h"
#include "peer.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>

static void on_readable(struct bufferevent *connection, void *arg)
{
	(void)arg;
	if (bufferevent_write_buffer(connection, bufferevent_get_input(connection)) != 0)
		bench_fail("bufferevent_write_buffer failed");
}

static void on_event(struct bufferevent *connection, short what, void *arg)
{
	struct load *load = arg;

	if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) == 0)
		bench_fail("a connection had the event %x", (unsigned)what);
	bufferevent_free(connection);
	load_count(&load->counts->closed);
}

static void on_connection(struct evconnlistener *listener, evutil_socket_t fd,
    struct sockaddr *address, int length, void *arg)
{
	struct load *load = arg;
	struct bufferevent *connection =
	    bufferevent_socket_new(evconnlistener_get_base(listener), fd, BEV_OPT_CLOSE_ON_FREE);

	(void)address, (void)length;
	if (connection == NULL)
		bench_fail("bufferevent_socket_new failed");
	bufferevent_setcb(connection, on_readable, NULL, on_event, load);
	bufferevent_enable(connection, EV_READ | EV_WRITE);
	load_count(&load->counts->accepted);
}

static void serve(int listening, struct load *load)
{
	struct event_base *base = bench_base_new();
	struct evconnlistener *listener =
	    evconnlistener_new(base, on_connection, load, LEV_OPT_CLOSE_ON_FREE, 0, listening);

	if (listener == NULL)
		bench_fail("evconnlistener_new failed");
	fflush(stdout);
	event_base_dispatch(base);
	evconnlistener_free(listener);
	event_base_free(base);
}

int main(int argc, char **argv)
{
	return load_main(argc, argv, serve, NULL);
}
