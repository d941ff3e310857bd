/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * evhttp on top of the core: what a client receives, and in which order a server's callbacks run.
 *
 * Server and client are in one thread: the client is a bare socket, which is written to and looked
 * at between the turns of the server's loop. So nothing here depends on who is faster. A scenario
 * ends when the client has what it waits for, or the server has closed.
 *
 * The path says what the server answers: "/N" a body of N bytes, "/chunks" three chunks in one
 * callback, "/steps" each chunk when the one before was written, "/ref" memory of the program's,
 * "/file" a file. Bodies are printed as lengths and sums, everything else as it is.
 */
#include "diff_common.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <netinet/tcp.h>

enum { MANY = 200, RECEIVED_MOST = 16 << 20 };

static struct event_base *base;
static struct evhttp *http;
static struct evhttp_bound_socket *bound;
static int peer = -1;
static struct evbuffer *got; /* what the client has received */
static bool ended;           /* and this was all */
static int window;           /* the client's SO_RCVBUF, if it is not 0 */

static char *reference;
static int n_cleanups;

/* What a scenario does beside answering. */
static bool quiet;
static void (*when_asked)(struct evhttp_request *req);
static void (*when_complete)(struct evhttp_request *req);

/* ---- the server */

static const char *path(struct evhttp_request *req)
{
	return evhttp_request_get_uri(req);
}

static struct bufferevent *bev_of(struct evhttp_request *req)
{
	return evhttp_connection_get_bufferevent(evhttp_request_get_connection(req));
}

static void completed(struct evhttp_request *req, void *arg)
{
	(void)arg;
	if (!quiet)
		say("complete %s", path(req));
	if (when_complete)
		when_complete(req);
}

static struct evbuffer *body(size_t n)
{
	struct evbuffer *buf = evbuffer_new();
	size_t i;

	MUST(buf);
	for (i = 0; i < n; i++)
		evbuffer_add(buf, &(char){(char)('a' + i % 23)}, 1);
	return buf;
}

static void cleanup(const void *data, size_t len, void *arg)
{
	(void)data;
	(void)len;
	(void)arg;
	n_cleanups++;
}

static struct evbuffer *body_of_reference(void)
{
	struct evbuffer *buf = evbuffer_new();

	evbuffer_add_reference(buf, reference, 5000, cleanup, NULL);
	return buf;
}

static struct evbuffer *body_of_file(void)
{
	struct evbuffer *buf = evbuffer_new();
	char name[] = "/tmp/diff_evhttp.XXXXXX";
	int fd = mkstemp(name);

	MUST(fd >= 0 && unlink(name) == 0 && ftruncate(fd, 7000) == 0);
	MUST(evbuffer_add_file(buf, fd, 0, 7000) == 0);
	return buf;
}

static void add_chunk(struct evhttp_request *req, size_t n)
{
	struct evbuffer *buf = body(n);

	evhttp_send_reply_chunk(req, buf);
	evbuffer_free(buf);
}

static void step(struct evhttp_connection *evcon, void *arg)
{
	struct evhttp_request *req = arg;
	static int n;
	struct evbuffer *buf;

	(void)evcon;
	if (!quiet)
		say("step %d of %s", n, path(req));
	if (n++ % 4 == 3) {
		evhttp_send_reply_end(req);
		return;
	}
	buf = body((size_t)n * 100);
	evhttp_send_reply_chunk_with_cb(req, buf, step, req);
	evbuffer_free(buf);
}

static void reply(struct evhttp_request *req)
{
	struct evbuffer *buf = NULL;
	const char *p = path(req);

	if (strcmp(p, "/chunks") == 0 || strcmp(p, "/steps") == 0) {
		evhttp_send_reply_start(req, 200, "OK");
		if (p[1] == 's') {
			step(NULL, req);
			return;
		}
		add_chunk(req, 10);
		add_chunk(req, 3000);
		add_chunk(req, 1);
		evhttp_send_reply_end(req);
		return;
	}
	if (strcmp(p, "/ref") == 0)
		buf = body_of_reference();
	else if (strcmp(p, "/file") == 0)
		buf = body_of_file();
	else
		buf = body((size_t)atoi(p + 1));
	evhttp_send_reply(req, 200, "OK", buf);
	evbuffer_free(buf);
}

static void closed(struct evhttp_connection *evcon, void *arg)
{
	(void)evcon;
	(void)arg;
	if (!quiet)
		say("closed");
}

static void asked(struct evhttp_request *req, void *arg)
{
	(void)arg;
	if (!quiet)
		say("asked for %s, %zu bytes", path(req),
		    evbuffer_get_length(evhttp_request_get_input_buffer(req)));
	evhttp_add_header(evhttp_request_get_output_headers(req), "Date", "today");
	evhttp_request_set_on_complete_cb(req, completed, NULL);
	evhttp_connection_set_closecb(evhttp_request_get_connection(req), closed, NULL);
	if (when_asked)
		when_asked(req);
	else
		reply(req);
}

static int port(void)
{
	struct sockaddr_in addr;
	socklen_t len = sizeof(addr);

	MUST(getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&addr, &len) == 0);
	return ntohs(addr.sin_port);
}

static void warm_up(void);

static void serve_on(struct event_base *b)
{
	base = b;
	http = evhttp_new(base);
	bound = evhttp_bind_socket_with_handle(http, "127.0.0.1", 0);
	MUST(bound);
	evhttp_set_gencb(http, asked, NULL);
	got = evbuffer_new();
	reference = calloc(1, 5000);
	warm_up();
}

static void serve(void)
{
	serve_on(new_base());
}

/* ---- the client */

static void meet(void)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port())};

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (window)
		MUST(setsockopt(peer, SOL_SOCKET, SO_RCVBUF, &window, sizeof(window)) == 0);
	MUST(connect(peer, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	MUST(fcntl(peer, F_SETFL, O_NONBLOCK) == 0);
}

static void request(const char *uri, const char *headers)
{
	char text[512];

	snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: h\r\n%s\r\n", uri, headers);
	put(peer, text);
}

static void last_request(const char *uri)
{
	request(uri, "Connection: close\r\n");
}

/* True iff something has come. */
static bool receive(void)
{
	bool any = false;
	char buf[65536];
	ssize_t n;

	while (!ended && (n = recv(peer, buf, sizeof(buf), MSG_DONTWAIT)) != -1) {
		any = true;
		evbuffer_add(got, buf, (size_t)n);
		ended = n == 0;
	}
	if (!ended && errno != EAGAIN) {
		say("the client's error: %s", strerror(errno));
		ended = true;
	}
	return any;
}

static int count(const char *what)
{
	struct evbuffer_ptr at = evbuffer_search(got, what, strlen(what), NULL);
	int n = 0;

	while (at.pos >= 0) {
		n++;
		evbuffer_ptr_set(got, &at, strlen(what), EVBUFFER_PTR_ADD);
		at = evbuffer_search(got, what, strlen(what), &at);
	}
	return n;
}

/* Until the client has seen `what` n times, or the end. */
static void turn_until(const char *what, int n)
{
	while (!ended && count(what) < n) {
		if (!receive())
			event_base_loop(base, EVLOOP_NONBLOCK);
	}
}

static void turn_until_end(void)
{
	while (!ended) {
		receive();
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
}

static unsigned sum_of_bodies;

/* The next n bytes. */
static void say_sum(size_t n)
{
	unsigned char *data = evbuffer_pullup(got, (ev_ssize_t)n);
	unsigned sum = 1;
	size_t i;

	if (n > evbuffer_get_length(got)) {
		say("(%zu bytes of %zu)", evbuffer_get_length(got), n);
		n = evbuffer_get_length(got);
		data = evbuffer_pullup(got, (ev_ssize_t)n);
	}
	for (i = 0; i < n; i++)
		sum = sum * 31 + data[i];
	if (!quiet)
		say("< %zu bytes, %08x", n, sum);
	sum_of_bodies = sum_of_bodies * 31 + sum;
	evbuffer_drain(got, n);
}

/* A base's first answer may go another way. */
static void warm_up(void)
{
	quiet = true;
	meet();
	last_request("/0");
	turn_until_end();
	close(peer);
	evbuffer_drain(got, evbuffer_get_length(got));
	quiet = ended = false;
}

/* All that was received, with bodies as sums. */
static void say_received(void)
{
	size_t length = 0;
	bool chunked = false, headers = false;
	int n = 0;
	char *line;

	while ((line = evbuffer_readln(got, NULL, EVBUFFER_EOL_CRLF))) {
		if (!quiet)
			say("< %s", line);
		if (strncmp(line, "HTTP/1.", 7) == 0) {
			n++;
			headers = true;
			length = 0;
			chunked = false;
		} else if (!headers) {
			size_t chunk = chunked ? strtoul(line, NULL, 16) : 0;

			if (chunk > 0)
				say_sum(chunk + 2);
		} else if (!*line) {
			headers = false;
			if (length > 0)
				say_sum(length);
		}
		if (strncmp(line, "Content-Length: ", 16) == 0)
			length = strtoul(line + 16, NULL, 10);
		if (strcmp(line, "Transfer-Encoding: chunked") == 0)
			chunked = true;
		free(line);
	}
	say("%d answers, sum %08x, %zu bytes behind them%s", n, sum_of_bodies,
	    evbuffer_get_length(got), ended ? ", the end" : "");
	sum_of_bodies = 0;
}

static void leave(void)
{
	if (peer >= 0)
		close(peer);
	evhttp_free(http);
	event_base_free(base);
	say("%d cleanups", n_cleanups);
}

/* ---- scenarios: what is received */

static void one_after_the_other(void)
{
	serve();
	meet();
	request("/10", "");
	turn_until("abcdefghij", 1);
	request("/20", "");
	turn_until("abcdefghij", 2);
	last_request("/0");
	turn_until_end();
	say_received();
	leave();
}

static void many_sent_ahead(void)
{
	int i;

	serve();
	meet();
	quiet = true;
	for (i = 0; i < MANY; i++) {
		char uri[16];

		snprintf(uri, sizeof(uri), "/%d", i);
		request(uri, "");
	}
	request("/chunks", "");
	put(peer, "GET /5000 HTTP/1.1\r\nHo");
	turn_until("\r\n0\r\n\r\n", 1);
	say_received();
	put(peer, "st: h\r\nConnection: close\r\n\r\n");
	turn_until_end();
	say_received();
	leave();
}

static void all_kinds_sent_ahead(void)
{
	static const char *const uris[] = {"/5", "/chunks", "/100000", "/ref", "/1", "/file", "/2",
	    "/steps", "/16384", "/3", "/16000", "/15000", "/14000", "/4", "/ref", "/chunks"};
	size_t i;

	serve();
	meet();
	for (i = 0; i < sizeof(uris) / sizeof(uris[0]); i++)
		request(uris[i], "");
	last_request("/6");
	turn_until_end();
	say_received();
	leave();
}

static void the_old_protocol(void)
{
	serve();
	meet();
	put(peer, "GET /30 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
		  "GET /chunks HTTP/1.0\r\n\r\n");
	turn_until_end();
	say_received();
	leave();
}

static void bodies_that_wait_for_a_continue(void)
{
	serve();
	meet();
	put(peer,
	    "POST /9 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
	turn_until("100 Continue\r\n\r\n", 1);
	say_received();
	put(peer, "hello");
	last_request("/8");
	turn_until_end();
	say_received();
	leave();
}

static void what_is_no_request(void)
{
	serve();
	meet();
	evhttp_set_gencb(http, NULL, NULL);
	request("/gone", "");
	turn_until("HTTP/1.1", 1);
	say("%d not found", count("404 Not Found"));
	put(peer, "NONSENSE\r\n\r\n");
	turn_until_end();
	say("%d bad", count("400 Bad Request"));
	leave();
}

static void half_closed(void)
{
	serve();
	meet();
	request("/77", "");
	turn_until("HTTP/1.1", 1);
	shutdown(peer, SHUT_WR);
	turn_until_end();
	say_received();
	leave();
}

/* The kernel has room for some of it only, and the client starts to read when all has been
 * answered that can be. */
static void read_late(const char *const *uris)
{
	int i;

	meet();
	for (; *uris; uris++)
		request(*uris, "");
	last_request("/900");
	for (i = 0; i < 300; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	turn_until_end();
	say_received();
}

static void serve_with_a_buffer_of(int bytes)
{
	serve();
	MUST(setsockopt(evhttp_bound_socket_get_fd(bound), SOL_SOCKET, SO_SNDBUF, &bytes,
		 sizeof(bytes)) == 0);
	quiet = true;
	window = 4096;
}

/* An answer that just fits leaves no room for the ones behind it. */
static void a_client_that_reads_late(void)
{
	int size;

	serve_with_a_buffer_of(40000);
	for (size = 20000; size < 180000; size += 8000) {
		char large[16];
		const char *const uris[] = {"/100", large, "/300", "/400", NULL};

		snprintf(large, sizeof(large), "/%d", size);
		read_late(uris);
		close(peer);
		ended = false;
	}
	peer = -1;
	leave();
}

static void small_answers_into_a_small_buffer(void)
{
	static const char *const uris[] = {"/1000", "/900", "/2000", "/1500", "/1400", "/1300",
	    "/4000", "/1200", "/1100", "/7", "/16000", "/800", NULL};

	serve_with_a_buffer_of(4096);
	read_late(uris);
	leave();
}

/* The kernel takes less than the buffer has room for. */
static void little_may_be_unsent(void)
{
	static const char *const uris[] = {"/1000", "/900", "/2000", "/1500", "/15000", "/1300",
	    "/14000", "/1200", "/1100", "/7", "/16000", "/800", NULL};

	serve();
	window = 4096;
	quiet = true;
	MUST(setsockopt(evhttp_bound_socket_get_fd(bound), IPPROTO_TCP, TCP_NOTSENT_LOWAT,
		 &(int){3000}, sizeof(int)) == 0);
	read_late(uris);
	leave();
}

/* ---- scenarios: callbacks */

static void active_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	say("active: %s", (char *)arg);
}

static void reply_and_activate(struct evhttp_request *req)
{
	static char name[] = "after the answer";

	reply(req);
	event_base_once(base, -1, EV_TIMEOUT, active_cb, name, NULL);
}

/* What a callback makes active runs in the same turn. */
static void something_to_do_after_the_answer(void)
{
	serve();
	when_asked = reply_and_activate;
	meet();
	request("/10", "");
	last_request("/chunks");
	turn_until_end();
	say_received();
	leave();
}

static void answer_later_cb(evutil_socket_t fd, short what, void *req)
{
	(void)fd;
	(void)what;
	say("now");
	reply(req);
}

static void later(struct evhttp_request *req)
{
	struct timeval tv = msec(2);

	event_base_once(base, -1, EV_TIMEOUT, answer_later_cb, req, &tv);
}

static void answers_from_a_timer(void)
{
	serve();
	when_asked = later;
	meet();
	request("/10", "");
	request("/steps", "");
	last_request("/chunks");
	turn_until_end();
	say_received();
	leave();
}

static void loop_break(struct evhttp_request *req)
{
	(void)req;
	event_base_loopbreak(base);
}

static void loop_exit(struct evhttp_request *req)
{
	(void)req;
	event_base_loopexit(base, NULL);
}

static void receive_all(void)
{
	while (!ended)
		if (!receive())
			sleep_ms(1);
}

/* The loop is left with the last answer: it arrives although nobody turns the loop again. */
static void left_by(void (*how)(struct evhttp_request *))
{
	serve();
	when_complete = how;
	meet();
	request("/10", "");
	event_base_dispatch(base);
	while (count("abcdefghij") == 0)
		receive();
	evhttp_free(http);
	event_base_free(base);
	receive_all();
	say_received();
}

static void left_by_break(void)
{
	left_by(loop_break);
}

static void left_by_exit(void)
{
	left_by(loop_exit);
}

static void free_cb(evutil_socket_t fd, short what, void *evcon)
{
	(void)fd;
	(void)what;
	evhttp_connection_free(evcon);
}

static void free_soon(struct evhttp_request *req)
{
	event_base_once(base, -1, EV_TIMEOUT, free_cb, evhttp_request_get_connection(req), NULL);
}

static void freed_when_complete(void)
{
	serve();
	when_complete = free_soon;
	meet();
	request("/10", "");
	turn_until_end();
	say_received();
	leave();
}

static void exit_process(struct evhttp_request *req)
{
	(void)req;
	exit(0);
}

/* The process ends: what was complete has been sent. */
static void exit_when_complete(void)
{
	pid_t child;
	int status;

	serve();
	meet();
	request("/10", "");
	child = fork();
	MUST(child >= 0);
	if (child == 0) {
		event_reinit(base);
		when_complete = exit_process;
		event_base_dispatch(base);
		_exit(1);
	}
	evhttp_del_accept_socket(http, bound);
	MUST(waitpid(child, &status, 0) == child);
	say("status %d", status);
	receive_all();
	say_received();
}

static void fork_process(struct evhttp_request *req)
{
	pid_t child = fork();
	int status;

	MUST(child >= 0);
	if (child == 0) {
		if (strcmp(path(req), "/11") != 0)
			event_reinit(base);
		if (strcmp(path(req), "/12") == 0)
			event_base_free(base);
		exit(0);
	}
	MUST(waitpid(child, &status, 0) == child);
}

/* A child has what it inherited from the parent, and sends nothing of it. */
static void children_when_complete(void)
{
	serve();
	when_complete = fork_process;
	quiet = true;
	meet();
	request("/10", "");
	request("/11", "");
	request("/12", "");
	last_request("/13");
	turn_until_end();
	quiet = false;
	say_received();
	leave();
}

static void write_by_hand(struct evhttp_request *req)
{
	put(bufferevent_getfd(bev_of(req)), "by hand\r\n");
}

static void written_by_hand_when_complete(void)
{
	serve();
	when_complete = write_by_hand;
	meet();
	request("/10", "");
	request("/20", "");
	turn_until("by hand", 2);
	say_received();
	leave();
}

static evutil_socket_t kept_fd;

static void keep_fd(struct evhttp_request *req)
{
	kept_fd = bufferevent_getfd(bev_of(req));
	reply(req);
}

static void write_to_kept(struct evhttp_request *req)
{
	(void)req;
	put(kept_fd, "by hand\r\n");
}

static void written_to_an_fd_that_was_kept(void)
{
	serve();
	when_asked = keep_fd;
	when_complete = write_to_kept;
	meet();
	request("/10", "");
	request("/20", "");
	turn_until("by hand", 2);
	say_received();
	leave();
}

static void echo_cb(struct bufferevent *bev, void *arg)
{
	(void)arg;
	bufferevent_write_buffer(bev, bufferevent_get_input(bev));
}

static void take_over(struct evhttp_request *req)
{
	struct bufferevent *bev = bev_of(req);

	bufferevent_setcb(bev, echo_cb, NULL, NULL, NULL);
	bufferevent_enable(bev, EV_READ | EV_WRITE);
	bufferevent_write(bev, "mine\r\n", 6);
}

static void reply_and_take_over(struct evhttp_request *req)
{
	reply(req);
	take_over(req);
}

static void taken_over_when_asked(void)
{
	serve();
	when_asked = reply_and_take_over;
	meet();
	request("/10", "");
	turn_until("mine", 1);
	put(peer, "hello\r\n");
	turn_until("hello", 1);
	say_received();
	leave();
}

static struct event *endless;

static void endless_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	add_chunk(arg, 1000);
	/* Nobody looks whether the client is still there but by writing to it. */
	bufferevent_disable(bev_of(arg), EV_READ);
}

static void gone_cb(struct evhttp_connection *evcon, void *arg)
{
	(void)evcon;
	*(bool *)arg = true;
	event_free(endless);
}

static bool gone;

static void answer_without_end(struct evhttp_request *req)
{
	evhttp_connection_set_closecb(evhttp_request_get_connection(req), gone_cb, &gone);
	evhttp_send_reply_start(req, 200, "OK");
	endless = event_new(base, -1, EV_PERSIST, endless_cb, req);
	event_add(endless, &(struct timeval){0, 100});
}

/* The client breaks off, and the server notices although it does not read. */
static void a_client_that_breaks_off(void)
{
	serve();
	quiet = true;
	when_asked = answer_without_end;
	meet();
	request("/", "");
	turn_until("\r\n3e8\r\n", 2);
	setsockopt(peer, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
	close(peer);
	peer = -1;
	while (!gone)
		event_base_loop(base, EVLOOP_ONCE);
	say("noticed: %s", yes(gone));
	leave();
}

/* ---- scenarios: evhttp's own client */

static struct evhttp_connection *client;
static int n_left;

static void response(struct evhttp_request *req, void *arg)
{
	say("response to %s: %d, %zu bytes", (char *)arg,
	    req ? evhttp_request_get_response_code(req) : -1,
	    req ? evbuffer_get_length(evhttp_request_get_input_buffer(req)) : 0);
	if (--n_left == 0)
		event_base_loopexit(base, NULL);
}

static void ask(const char *uri, size_t n)
{
	struct evhttp_request *req = evhttp_request_new(response, (void *)(uintptr_t)uri);

	evhttp_add_header(evhttp_request_get_output_headers(req), "Host", "h");
	if (n) {
		struct evbuffer *buf = body(n);

		evbuffer_add_buffer(evhttp_request_get_output_buffer(req), buf);
		evbuffer_free(buf);
	}
	n_left++;
	evhttp_make_request(client, req, n ? EVHTTP_REQ_POST : EVHTTP_REQ_GET, uri);
}

static void evhttps_client(void)
{
	serve();
	client = evhttp_connection_base_new(base, NULL, "127.0.0.1", (ev_uint16_t)port());
	ask("/10", 0);
	ask("/11", 2000);
	ask("/chunks", 0);
	ask("/20000", 100000);
	ask("/steps", 5);
	event_base_dispatch(base);
	evhttp_connection_free(client);
	leave();
}

static void stepwise(int flags, bool limits)
{
	struct event_config *cfg = event_config_new();
	int i;

	if (limits)
		event_config_set_max_dispatch_interval(cfg, NULL, 1, 0);
	serve_on(event_base_new_with_config(cfg));
	event_config_free(cfg);
	meet();
	for (i = 0; i < 40; i++)
		request("/50", "");
	last_request("/steps");
	while (!ended) {
		event_base_loop(base, flags);
		receive();
	}
	quiet = true;
	say_received();
	leave();
}

static void once_at_a_time(void)
{
	stepwise(EVLOOP_NONBLOCK | EVLOOP_ONCE, false);
}

static void one_callback_at_a_time(void)
{
	stepwise(EVLOOP_NONBLOCK, true);
}

static const struct diff_scenario scenarios[] = {
    DIFF_SCENARIO(one_after_the_other),
    DIFF_SCENARIO(many_sent_ahead),
    DIFF_SCENARIO(all_kinds_sent_ahead),
    DIFF_SCENARIO(the_old_protocol),
    DIFF_SCENARIO(bodies_that_wait_for_a_continue),
    DIFF_SCENARIO(what_is_no_request),
    DIFF_SCENARIO(half_closed),
    DIFF_SCENARIO(a_client_that_reads_late),
    DIFF_SCENARIO(small_answers_into_a_small_buffer),
    DIFF_SCENARIO(little_may_be_unsent),
    DIFF_SCENARIO(something_to_do_after_the_answer),
    DIFF_SCENARIO(answers_from_a_timer),
    DIFF_SCENARIO(left_by_break),
    DIFF_SCENARIO(left_by_exit),
    DIFF_SCENARIO(freed_when_complete),
    DIFF_SCENARIO(exit_when_complete),
    DIFF_SCENARIO(children_when_complete),
    DIFF_SCENARIO(written_by_hand_when_complete),
    DIFF_SCENARIO(written_to_an_fd_that_was_kept),
    DIFF_SCENARIO(taken_over_when_asked),
    DIFF_SCENARIO(a_client_that_breaks_off),
    DIFF_SCENARIO(evhttps_client),
    DIFF_SCENARIO(once_at_a_time),
    DIFF_SCENARIO(one_callback_at_a_time),
};

DIFF_MAIN(scenarios)
