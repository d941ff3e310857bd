/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rows 1, 2, 3, 6, 11, 12, 14 and 16: an echo server as programs write it for libevent, a listener
 * and a socket bufferevent a connection. What is read is moved to the output, never copied.
 *
 * Row 15 (--kind fanout): the same as a server for a chat. Each message is written to all.
 */
#include "load.h"
#include "peer.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <stdlib.h>

struct server {
	struct load *load;
	struct bufferevent **members; /* all connections; only for fanout */
	int n_members;
	void *message; /* the one that is being passed on */
};

static void on_readable(struct bufferevent *connection, void *arg)
{
	(void)arg;
	if (bufferevent_write_buffer(connection, bufferevent_get_input(connection)) != 0)
		bench_fail("bufferevent_write_buffer failed");
}

static void on_message(struct bufferevent *connection, void *arg)
{
	struct server *server = arg;
	struct evbuffer *input = bufferevent_get_input(connection);
	size_t size = (size_t)server->load->size;

	while (evbuffer_get_length(input) >= size) {
		evbuffer_remove(input, server->message, size);
		for (int i = 0; i < server->n_members; i++) {
			if (bufferevent_write(server->members[i], server->message, size) != 0)
				bench_fail("bufferevent_write failed");
		}
	}
}

static void on_event(struct bufferevent *connection, short what, void *arg)
{
	struct server *server = arg;

	if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) == 0)
		bench_fail("a connection had the event %x", (unsigned)what);
	bufferevent_free(connection);
	server->n_members = 0; /* the client is about to end */
	load_count(&server->load->counts->closed);
}

static void on_connection(struct evconnlistener *listener, evutil_socket_t fd,
    struct sockaddr *address, int length, void *arg)
{
	struct server *server = arg;
	struct bufferevent *connection =
	    bufferevent_socket_new(evconnlistener_get_base(listener), fd, BEV_OPT_CLOSE_ON_FREE);

	(void)address, (void)length;
	if (connection == NULL)
		bench_fail("bufferevent_socket_new failed");
	bufferevent_setcb(
	    connection, server->members != NULL ? on_message : on_readable, NULL, on_event, server);
	bufferevent_enable(connection, EV_READ | EV_WRITE);
	if (server->members != NULL && server->n_members < server->load->connections)
		server->members[server->n_members++] = connection;
	load_count(&server->load->counts->accepted);
}

static void serve(int listening, struct load *load)
{
	struct server server = {.load = load};
	struct event_base *base = bench_base_new();
	struct evconnlistener *listener =
	    evconnlistener_new(base, on_connection, &server, LEV_OPT_CLOSE_ON_FREE, 0, listening);

	if (load->kind == LOAD_FANOUT) {
		server.members = load_allocate((size_t)load->connections * sizeof(*server.members));
		server.message = load_allocate((size_t)load->size);
	}
	if (listener == NULL)
		bench_fail("evconnlistener_new failed");
	fflush(stdout);
	event_base_dispatch(base);
	evconnlistener_free(listener);
	event_base_free(base);
	free(server.members);
	free(server.message);
}

int main(int argc, char **argv)
{
	return load_main(argc, argv, serve, NULL);
}
