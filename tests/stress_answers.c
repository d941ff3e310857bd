/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests that a client sends ahead are answered many in a turn of the loop, and the answers leave
 * together; with EVENT_URING_DISABLE=stage it is one in a turn, as with stock.
 *
 * Turns are counted, and no time is measured: all requests are in the server's socket before its
 * loop turns. What the client receives is the same, either way.
 */
#include "stress_common.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <sys/wait.h>

static void must(bool ok)
{
	if (!ok) {
		perror("set-up failed");
		_exit(99);
	}
}

enum { REQUESTS = 16, LENGTH = 100 };

static struct event_base *base;
static struct evhttp *http;
static int n_complete;

static void complete_cb(struct evhttp_request *req, void *arg)
{
	(void)req;
	(void)arg;
	n_complete++;
}

static void asked_cb(struct evhttp_request *req, void *arg)
{
	struct evbuffer *body = evbuffer_new();

	(void)arg;
	evbuffer_add_printf(body, "%0*d", LENGTH, atoi(evhttp_request_get_uri(req) + 1));
	evhttp_request_set_on_complete_cb(req, complete_cb, NULL);
	evhttp_send_reply(req, 200, "OK", body);
	evbuffer_free(body);
}

static int meet(struct evhttp_bound_socket *bound)
{
	struct sockaddr_in addr;
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	must(getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&addr, &len) == 0);
	must(connect(fd, (struct sockaddr *)&addr, len) == 0);
	return fd;
}

static void ask(int fd)
{
	char text[REQUESTS * 64];
	size_t len = 0;
	int i;

	for (i = 0; i < REQUESTS; i++)
		len += (size_t)snprintf(
		    text + len, sizeof(text) - len, "GET /%d HTTP/1.1\r\nHost: h\r\n\r\n", i);
	must(write(fd, text, len) == (ssize_t)len);
}

/* How many were complete in one turn, at most. */
static int most_in_a_turn(void)
{
	int before, most = 0, all = n_complete + REQUESTS;

	while (n_complete < all) {
		before = n_complete;
		event_base_loop(base, ST_ONE_PASS);
		if (n_complete - before > most)
			most = n_complete - before;
	}
	return most;
}

/* The bodies come in their order, and nothing comes twice. */
static void read_answers(int fd)
{
	struct evbuffer *got = evbuffer_new();
	int i;

	for (i = 0; i < REQUESTS;) {
		char body[LENGTH + 1];
		struct evbuffer_ptr at;

		snprintf(body, sizeof(body), "%0*d", LENGTH, i);
		at = evbuffer_search(got, body, LENGTH, NULL);
		if (at.pos < 0) {
			event_base_loop(base, ST_ONE_PASS);
			must(evbuffer_read(got, fd, 65536) > 0);
			continue;
		}
		evbuffer_drain(got, (size_t)at.pos + LENGTH);
		i++;
	}
	must(evbuffer_get_length(got) == 0);
	evbuffer_free(got);
}

/* The exit status says how many answers there were in a turn. */
static int serve(bool stage)
{
	struct evhttp_bound_socket *bound;
	int fd, most;

	if (!stage)
		setenv("EVENT_URING_DISABLE", "stage", 1);
	base = event_base_new();
	http = evhttp_new(base);
	bound = evhttp_bind_socket_with_handle(http, "127.0.0.1", 0);
	must(bound);
	evhttp_set_gencb(http, asked_cb, NULL);
	fd = meet(bound);
	/* The first of all may go another way. */
	ask(fd);
	(void)most_in_a_turn();
	read_answers(fd);
	ask(fd);
	most = most_in_a_turn();
	read_answers(fd);
	close(fd);
	evhttp_free(http);
	event_base_free(base);
	return most;
}

static int in_a_process(bool stage)
{
	int status;
	pid_t pid = fork();

	must(pid >= 0);
	if (pid == 0)
		exit(serve(stage));
	must(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	return WEXITSTATUS(status);
}

int main(void)
{
	int with, without;

	unsetenv("EVENT_URING_DISABLE");
	with = in_a_process(true);
	without = in_a_process(false);
	printf("answers in a turn: %d, without the stage %d\n", with, without);
	return with >= REQUESTS / 2 && without == 1 ? 0 : 1;
}
