/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A web server for tests: evhttp, evconnlistener, bufferevents, files and TLS, by libevent's public
 * API only.
 *
 *     httpd DIRECTORY CERTIFICATE KEY
 *
 * It listens at four ports of 127.0.0.1 and says so in one line, "ready plain=P tls=P filter=P
 * raw=P":
 *
 *     plain    evhttp over socket bufferevents
 *     tls      evhttp over libevent_openssl that has the socket itself
 *     filter   evhttp over libevent_openssl as a filter on a socket bufferevent
 *     raw      no evhttp: a bufferevent, a line read from it, and a file added straight to its
 *              output, which is where evbuffer_add_file() may use sendfile; one request each
 *
 * evhttp answers GET /file/NAME, GET /chunks/BYTES (that many in chunks of growing size, each made
 * when the one before is on its way) and POST /sum (SHA-256 of the body, in hex, and its length).
 * SIGTERM ends it, with everything freed.
 *
 * Traps: a reply in chunks outlives its connection's end unless the close callback stops it.
 * evhttp_send_error() closes the connection, and over a filter that is before the reply has left.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>

#include <openssl/evp.h>
#include <openssl/ssl.h>

#define TIMEOUT_SECONDS 60
#define LONGEST_NAME_BYTES 200
#define LARGEST_CHUNK_BYTES 100000

static struct event_base *base;
static SSL_CTX *tls;
static int directory; /* fd */

static void die(const char *what)
{
	fprintf(stderr, "httpd: %s\n", what);
	exit(1);
}

static void *checked(void *p, const char *what)
{
	if (p == NULL)
		die(what);
	return p;
}

/* ---- files ---- */

/* Adds the file, which may be empty, to buf, which may be NULL to only ask. Its size, or -1. */
static ev_off_t add_file(struct evbuffer *buf, const char *name)
{
	struct stat st;
	int fd;

	if (strlen(name) > LONGEST_NAME_BYTES || strchr(name, '/') != NULL || name[0] == '.')
		return -1;
	fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return -1;
	}
	if (buf == NULL || st.st_size == 0)
		close(fd);
	else if (evbuffer_add_file(buf, fd, 0, st.st_size) < 0)
		die("evbuffer_add_file");
	return st.st_size;
}

static void on_file(struct evhttp_request *req)
{
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(req));

	if (add_file(evhttp_request_get_output_buffer(req), path + strlen("/file/")) < 0)
		evhttp_send_reply(req, HTTP_NOTFOUND, "Not Found", NULL);
	else
		evhttp_send_reply(req, HTTP_OK, "OK", NULL);
}

/* ---- chunks ---- */

struct stream {
	struct evhttp_request *req;
	size_t sent; /* bytes */
	size_t total;
	size_t chunk; /* bytes of the next one */
};

/* Byte number i of the stream is i * 7 + i / 1000, so that one that is lost or twice is noticed. */
static void fill(unsigned char *to, size_t from, size_t count)
{
	for (size_t i = 0; i < count; i++)
		to[i] = (unsigned char)((from + i) * 7 + (from + i) / 1000);
}

static void stream_closed(struct evhttp_connection *conn, void *arg)
{
	(void)conn;
	free(arg);
}

static void next_chunk(struct evhttp_connection *conn, void *arg)
{
	static unsigned char bytes[LARGEST_CHUNK_BYTES];
	struct stream *s = arg;
	struct evbuffer *buf;
	size_t count = s->total - s->sent < s->chunk ? s->total - s->sent : s->chunk;

	if (count == 0) {
		evhttp_connection_set_closecb(conn, NULL, NULL);
		evhttp_send_reply_end(s->req);
		free(s);
		return;
	}
	buf = checked(evbuffer_new(), "evbuffer_new");
	fill(bytes, s->sent, count);
	evbuffer_add(buf, bytes, count);
	s->sent += count;
	s->chunk = s->chunk * 3 / 2 + 1;
	if (s->chunk > LARGEST_CHUNK_BYTES)
		s->chunk = LARGEST_CHUNK_BYTES;
	evhttp_send_reply_chunk_with_cb(s->req, buf, next_chunk, s);
	evbuffer_free(buf);
}

static void on_chunks(struct evhttp_request *req)
{
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(req));
	struct stream *s = checked(calloc(1, sizeof(*s)), "no memory");
	struct evhttp_connection *conn = evhttp_request_get_connection(req);

	s->req = req;
	s->total = strtoul(path + strlen("/chunks/"), NULL, 10);
	s->chunk = 1;
	evhttp_connection_set_closecb(conn, stream_closed, s);
	evhttp_send_reply_start(req, HTTP_OK, "OK");
	next_chunk(conn, s);
}

/* ---- sums ---- */

static void on_sum(struct evhttp_request *req)
{
	struct evbuffer *body = evhttp_request_get_input_buffer(req);
	size_t length = evbuffer_get_length(body);
	int n = evbuffer_peek(body, -1, NULL, NULL, 0);
	struct evbuffer_iovec *vec = checked(calloc((size_t)n + 1, sizeof(*vec)), "no memory");
	EVP_MD_CTX *md = checked(EVP_MD_CTX_new(), "EVP_MD_CTX_new");
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned digest_bytes;
	struct evbuffer *answer = checked(evbuffer_new(), "evbuffer_new");

	if (evbuffer_peek(body, -1, NULL, vec, n) != n)
		die("evbuffer_peek");
	EVP_DigestInit_ex(md, EVP_sha256(), NULL);
	for (int i = 0; i < n; i++)
		EVP_DigestUpdate(md, vec[i].iov_base, vec[i].iov_len);
	EVP_DigestFinal_ex(md, digest, &digest_bytes);
	for (unsigned i = 0; i < digest_bytes; i++)
		evbuffer_add_printf(answer, "%02x", digest[i]);
	evbuffer_add_printf(answer, " %zu\n", length);
	evhttp_send_reply(req, HTTP_OK, "OK", answer);
	evbuffer_free(answer);
	EVP_MD_CTX_free(md);
	free(vec);
}

/* ---- evhttp, and what is below it ---- */

static void on_request(struct evhttp_request *req, void *arg)
{
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(req));
	enum evhttp_cmd_type command = evhttp_request_get_command(req);

	(void)arg;
	if (path != NULL && command == EVHTTP_REQ_GET && strncmp(path, "/file/", 6) == 0)
		on_file(req);
	else if (path != NULL && command == EVHTTP_REQ_GET && strncmp(path, "/chunks/", 8) == 0)
		on_chunks(req);
	else if (path != NULL && command == EVHTTP_REQ_POST && strcmp(path, "/sum") == 0)
		on_sum(req);
	else
		evhttp_send_error(req, HTTP_BADREQUEST, NULL);
}

static struct bufferevent *new_tls(struct event_base *b, void *arg)
{
	(void)arg;
	return bufferevent_openssl_socket_new(
	    b, -1, SSL_new(tls), BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
}

static struct bufferevent *new_filter(struct event_base *b, void *arg)
{
	struct bufferevent *below = bufferevent_socket_new(b, -1, BEV_OPT_CLOSE_ON_FREE);

	(void)arg;
	return bufferevent_openssl_filter_new(
	    b, below, SSL_new(tls), BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
}

static int port_of(struct evconnlistener *listener)
{
	struct sockaddr_in sin;
	socklen_t length = sizeof(sin);

	if (getsockname(evconnlistener_get_fd(listener), (struct sockaddr *)&sin, &length) < 0)
		die("getsockname");
	return ntohs(sin.sin_port);
}

static struct evconnlistener *new_listener(evconnlistener_cb cb)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	return checked(evconnlistener_new_bind(base, cb, NULL,
			   LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE, 512,
			   (struct sockaddr *)&sin, sizeof(sin)),
	    "evconnlistener_new_bind");
}

static struct evhttp *new_http(struct bufferevent *(*make)(struct event_base *, void *), int *port)
{
	struct evhttp *http = checked(evhttp_new(base), "evhttp_new");
	struct evconnlistener *listener = new_listener(NULL);

	*port = port_of(listener);
	if (make != NULL)
		evhttp_set_bevcb(http, make, NULL);
	evhttp_set_timeout(http, TIMEOUT_SECONDS);
	evhttp_set_gencb(http, on_request, NULL);
	checked(evhttp_bind_listener(http, listener), "evhttp_bind_listener");
	return http;
}

/* ---- files without evhttp ---- */

static void raw_event(struct bufferevent *bev, short what, void *arg)
{
	(void)what;
	(void)arg;
	bufferevent_free(bev);
}

static void raw_drained(struct bufferevent *bev, void *arg)
{
	(void)arg;
	if (evbuffer_get_length(bufferevent_get_output(bev)) == 0)
		bufferevent_free(bev);
}

/* Answers at the empty line that ends the request; what else the client sends is not read. */
static void raw_read(struct bufferevent *bev, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(bev);
	struct evbuffer *out = bufferevent_get_output(bev);
	char name[LONGEST_NAME_BYTES + 1] = "";
	ev_off_t size;
	char *line;
	struct evbuffer_ptr end = evbuffer_search(in, "\r\n\r\n", 4, NULL);

	(void)arg;
	if (end.pos < 0)
		return;
	bufferevent_disable(bev, EV_READ);
	line = evbuffer_readln(in, NULL, EVBUFFER_EOL_CRLF);
	if (line == NULL || sscanf(line, "GET /file/%200[^/ ] ", name) != 1)
		name[0] = '\0';
	free(line);
	bufferevent_setcb(bev, NULL, raw_drained, raw_event, NULL);
	size = add_file(NULL, name);
	evbuffer_add_printf(out, "HTTP/1.0 %s\r\nContent-Length: %lld\r\n\r\n",
	    size < 0 ? "404 Not Found" : "200 OK", size < 0 ? 0LL : (long long)size);
	add_file(out, name);
}

static void raw_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from,
    int length, void *arg)
{
	struct bufferevent *bev = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
	const struct timeval timeout = {TIMEOUT_SECONDS, 0};

	(void)listener;
	(void)from;
	(void)length;
	(void)arg;
	checked(bev, "bufferevent_socket_new");
	bufferevent_set_timeouts(bev, &timeout, &timeout);
	bufferevent_setcb(bev, raw_read, NULL, raw_event, NULL);
	bufferevent_enable(bev, EV_READ | EV_WRITE);
}

/* ---- beginning and end ---- */

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	event_base_loopbreak(base);
}

static void set_up_tls(const char *certificate, const char *key)
{
	tls = checked(SSL_CTX_new(TLS_server_method()), "SSL_CTX_new");
	if (SSL_CTX_use_certificate_chain_file(tls, certificate) != 1 ||
	    SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1)
		die("the certificate or its key cannot be used");
}

int main(int argc, char **argv)
{
	struct evhttp *http[3];
	struct evconnlistener *raw;
	struct event *term;
	int port[3];

	if (argc != 4)
		die("usage: httpd DIRECTORY CERTIFICATE KEY");
	directory = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0)
		die("cannot open the directory");
	signal(SIGPIPE, SIG_IGN); /* OpenSSL writes by write(2) */
	set_up_tls(argv[2], argv[3]);
	base = checked(event_base_new(), "event_base_new");
	http[0] = new_http(NULL, &port[0]);
	http[1] = new_http(new_tls, &port[1]);
	http[2] = new_http(new_filter, &port[2]);
	raw = new_listener(raw_accept);
	term = checked(evsignal_new(base, SIGTERM, on_signal, NULL), "evsignal_new");
	evsignal_add(term, NULL);
	printf("ready plain=%d tls=%d filter=%d raw=%d\n", port[0], port[1], port[2], port_of(raw));
	fflush(stdout);

	if (event_base_dispatch(base) < 0)
		die("event_base_dispatch");

	event_free(term);
	evconnlistener_free(raw);
	for (int i = 0; i < 3; i++)
		evhttp_free(http[i]);
	event_base_free(base);
	SSL_CTX_free(tls);
	close(directory);
	return 0;
}
