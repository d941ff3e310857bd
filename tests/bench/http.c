/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rows 4, 5, 14 and 16: evhttp, answering GET with a body of `size` bytes, connections kept alive.
 *
 * evhttp is in libevent_extra, which is the system's own for all peers; what is under it, buffers,
 * bufferevents, the listener and the loop, is the library that is measured.
 */
#include "load.h"
#include "peer.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <stdlib.h>
#include <string.h>

struct site {
	char *body;
	size_t size;
};

static void on_request(struct evhttp_request *request, void *arg)
{
	const struct site *site = arg;
	struct evbuffer *body = evbuffer_new();

	if (body == NULL || evbuffer_add(body, site->body, site->size) != 0)
		bench_fail("evbuffer_add failed");
	evhttp_send_reply(request, HTTP_OK, "OK", body);
	evbuffer_free(body);
}

static void serve(int listening, struct load *load)
{
	struct event_base *base = bench_base_new();
	struct evhttp *http = evhttp_new(base);
	struct site site = {malloc((size_t)load->size), (size_t)load->size};

	if (http == NULL || site.body == NULL)
		bench_fail("out of memory");
	memset(site.body, 'x', site.size);
	evhttp_set_gencb(http, on_request, &site);
	if (evhttp_accept_socket(http, listening) != 0)
		bench_fail("evhttp_accept_socket failed");
	fflush(stdout);
	event_base_dispatch(base);
	evhttp_free(http);
	event_base_free(base);
	free(site.body);
}

int main(int argc, char **argv)
{
	return load_main(argc, argv, serve, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
}
