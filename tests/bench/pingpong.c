/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Row 13: one connection, one message at a time, a plain persistent event that echoes.
 *
 * Nothing can be batched here, so the row shows what a single turn of the loop costs: the round
 * trip as the client sees it, and the server's CPU time a round trip. pingclient.c is the rest.
 */
#include "peer.h"
#include "pingclient.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

struct server {
	struct event_base *base;
	int64_t echoed;
};

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct server *server = arg;
	char buffer[PING_SIZE_MAX];
	ssize_t count = recv(fd, buffer, sizeof(buffer), 0);

	(void)what;
	if (count < 0 && errno == EAGAIN)
		return;
	if (count < 0)
		bench_fail("recv: %s", strerror(errno));
	if (count == 0) {
		event_base_loopbreak(server->base);
		return;
	}
	if (send(fd, buffer, (size_t)count, MSG_NOSIGNAL) != count)
		bench_fail("send: %s", strerror(errno));
	server->echoed += count;
}

static int64_t serve(int fd, const struct ping *ping)
{
	struct server server = {bench_base_new(), 0};
	struct event event;

	(void)ping;
	event_assign(&event, server.base, fd, EV_READ | EV_PERSIST, on_readable, &server);
	if (event_add(&event, NULL) != 0)
		bench_fail("event_add failed");
	event_base_dispatch(server.base);
	event_del(&event);
	event_base_free(server.base);
	return server.echoed;
}

int main(int argc, char **argv)
{
	return ping_main(argc, argv, serve);
}
