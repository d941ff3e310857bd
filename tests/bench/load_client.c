/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client of the rows that measure requests: epoll, edge-triggered, no library.
 *
 * Its job is to keep the server busy and to notice when an answer is wrong. A connection sends a
 * batch of `depth` requests in one send, reads until all of it is answered and sends the next. Each
 * descriptor is armed once, for both directions, so that a turn is one epoll_wait, and a recv and a
 * send a connection.
 *
 * What is checked. Each echoed message begins with its number and goes on with bytes that are the
 * connection's own; an answer to another request repeats the first one that this server gave,
 * except its date. All answers are compared where a batch is small. Where it is large, the client
 * would be the slower side: one batch in sixteen is compared, of the others TCP throws the bytes
 * away uncopied (MSG_TRUNC) and only their number is looked at.
 *
 * The measured stretch begins when a tenth of the requests has been answered and ends at the last,
 * with the other connections still busy at both ends. CPU time is the server's, by its process
 * clock.
 */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
	BATCH_OF_EVENTS = 256,
	SCRATCH = 256 * 1024, /* bytes received at a time */
	SMALL = 4096,         /* bytes of a batch up to which all are compared */
	SAMPLE = 16,          /* beyond, one batch in so many */
	PATIENCE_MS = 10000   /* a server that is silent for so long has failed */
};

struct connection {
	int fd;
	int64_t batch;       /* number of the batch in flight */
	size_t sent, got;    /* bytes of it */
	int64_t started;     /* when it was sent */
	unsigned char *data; /* what is sent; echoed messages must equal it */
};

struct client {
	struct load *load;
	struct connection *connections;
	size_t request_size, reply_size; /* of one */
	size_t out_size, in_size;        /* of a batch */
	struct load_reply reply;         /* what an answer looks like, unless it is an echo */
	int64_t warm, done;              /* requests that go before; that were answered */
	int64_t *times;                  /* of the measured requests */
	int64_t cpu, wall;               /* at the start of the measured stretch */
	struct load_tracer tracer;
	int64_t calls;
	unsigned char *scratch;
};

/* ---- one connection */

/* Compare bytes that begin at `position` of the batch. */
static void check(const struct client *client, const struct connection *connection,
    const unsigned char *bytes, size_t position, size_t count)
{
	bool same;

	if (client->reply.bytes == NULL)
		same = memcmp(connection->data + position, bytes, count) == 0;
	else
		same = load_reply_equal(&client->reply, bytes, position, count);
	if (!same)
		bench_fail("batch %lld was answered wrongly", (long long)connection->batch);
}

static void send_rest(struct client *client, struct connection *connection)
{
	while (connection->sent < client->out_size) {
		ssize_t count = send(connection->fd, connection->data + connection->sent,
		    client->out_size - connection->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (count < 0 && errno == EAGAIN)
			return;
		if (count < 0)
			load_fail(client->load, "send failed");
		connection->sent += (size_t)count;
	}
}

static void next_batch(struct client *client, struct connection *connection)
{
	const struct load *load = client->load;
	size_t room =
	    client->request_size < sizeof(int64_t) ? client->request_size : sizeof(int64_t);

	connection->batch++;
	connection->sent = connection->got = 0;
	for (int i = 0; load->request == NULL && i < load->depth; i++) {
		int64_t number = connection->batch * load->depth + i;

		memcpy(connection->data + (size_t)i * client->request_size, &number, room);
	}
	connection->started = bench_wall_ns();
	send_rest(client, connection);
}

static void start_measuring(struct client *client)
{
	struct load *load = client->load;

	if (load->calls)
		load_trace(&client->tracer, load);
	client->cpu = bench_cpu_ns(load->server);
	client->wall = bench_wall_ns();
}

static void stop_measuring(struct client *client)
{
	client->wall = bench_wall_ns() - client->wall;
	client->cpu = bench_cpu_ns(client->load->server) - client->cpu;
	if (client->load->calls)
		client->calls = load_trace_stop(&client->tracer);
}

static void count_answers(struct client *client, const struct connection *connection, size_t count)
{
	size_t before = connection->got / client->reply_size;
	size_t after = (connection->got + count) / client->reply_size;
	int64_t time = after == before ? 0 : bench_wall_ns() - connection->started;

	for (; before < after; before++) {
		if (client->done == client->warm)
			start_measuring(client);
		if (client->done >= client->warm &&
		    client->done - client->warm < client->load->requests)
			client->times[client->done - client->warm] = time;
		client->done++;
		if (client->done == client->warm + client->load->requests)
			stop_measuring(client);
	}
}

static void receive(struct client *client, struct connection *connection)
{
	bool small = client->in_size <= SMALL;
	bool looks = small || client->load->local || connection->batch % SAMPLE == 0;
	size_t most = client->in_size - connection->got;
	ssize_t count;

	if (most > SCRATCH)
		most = SCRATCH;
	count = recv(connection->fd, client->scratch, most, MSG_DONTWAIT | (looks ? 0 : MSG_TRUNC));
	if (count < 0 && errno == EAGAIN)
		return;
	if (count <= 0)
		load_fail(client->load, "the server closed a connection");
	if (small || connection->batch % SAMPLE == 0)
		check(client, connection, client->scratch, connection->got, (size_t)count);
	count_answers(client, connection, (size_t)count);
	connection->got += (size_t)count;
	if (connection->got == client->in_size)
		next_batch(client, connection);
	else if ((size_t)count == most)
		receive(client, connection);
}

/* ---- all of them */

static void open_connection(
    struct client *client, struct connection *connection, int number, int fd, int epfd)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = connection};
	const char *request = client->load->request;

	connection->fd = fd;
	connection->data = load_allocate(client->out_size);
	for (size_t i = 0; i < client->out_size; i++)
		connection->data[i] = request != NULL
					  ? (unsigned char)request[i % client->request_size]
					  : (unsigned char)((size_t)number * 31 + i * 7);
	if (epoll_ctl(epfd, EPOLL_CTL_ADD, connection->fd, &event) != 0)
		bench_fail("epoll_ctl: %s", strerror(errno));
}

static void run(struct client *client)
{
	const struct load *load = client->load;
	struct epoll_event events[BATCH_OF_EVENTS];
	int epfd = epoll_create1(EPOLL_CLOEXEC), *fds = NULL;

	if (load->request == NULL) /* such servers count what they accept */
		fds = load_connect_all(load, load->connections, 0);
	for (int i = 0; i < load->connections; i++)
		open_connection(client, &client->connections[i], i,
		    fds != NULL ? fds[i] : load_connect(load, i), epfd);
	free(fds);
	for (int i = 0; i < load->connections; i++)
		next_batch(client, &client->connections[i]);
	while (client->done < client->warm + load->requests) {
		int count = epoll_wait(epfd, events, BATCH_OF_EVENTS, PATIENCE_MS);

		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			load_fail(load, "the server does not answer");
		for (int i = 0; i < count; i++) {
			struct connection *connection = events[i].data.ptr;

			send_rest(client, connection);
			receive(client, connection);
		}
	}
	close(epfd);
}

static void report(const struct client *client)
{
	const struct load *load = client->load;
	double requests = (double)load->requests;

	if (load->calls) {
		/* strace slows the server down, so that no time means anything. */
		bench_report("calls", (double)client->calls / requests);
		return;
	}
	bench_report("cpu_us", (double)client->cpu / 1e3 / requests);
	bench_report("wall_us", (double)client->wall / 1e3 / requests);
	bench_report("busy", (double)client->cpu / (double)client->wall);
	load_sort(client->times, load->requests);
	bench_report("p50_us", load_percentile_us(client->times, load->requests, 50));
	bench_report("p99_us", load_percentile_us(client->times, load->requests, 99));
}

void load_run_echo(struct load *load)
{
	struct client client = {.load = load, .warm = load->requests / 10};

	client.request_size = client.reply_size = (size_t)load->size;
	if (load->request != NULL) {
		client.request_size = strlen(load->request);
		load_learn_reply(load, &client.reply);
		client.reply_size = client.reply.size;
	}
	client.out_size = client.request_size * (size_t)load->depth;
	client.in_size = client.reply_size * (size_t)load->depth;
	client.connections = load_allocate((size_t)load->connections * sizeof(*client.connections));
	client.times = load_allocate((size_t)load->requests * sizeof(*client.times));
	client.scratch = load_allocate(SCRATCH);
	run(&client);
	report(&client);
	for (int i = 0; i < load->connections; i++) {
		load_reset(client.connections[i].fd);
		free(client.connections[i].data);
	}
	free(client.connections);
	free(client.times);
	free(client.scratch);
	free(client.reply.bytes);
}
