/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client of row 16: an open loop. Requests are sent when they are due, at a rate that does not
 * depend on the answers, and an answer's time counts from when its request was DUE. A server that
 * stalls is thus charged for all the requests that had to wait meanwhile, which a client that waits
 * for answers before it goes on would forgive it (coordinated omission).
 *
 * The moments are a Poisson process, as of many clients that know nothing of each other: as many
 * moments as there are requests, drawn evenly from the time that they take at this rate, and
 * sorted. The seed is fixed, so every peer gets the same ones. Request i goes over connection i
 * modulo their number, whether or not an earlier one is still unanswered there; answers on one
 * connection come in order, which says which request each is the answer to.
 *
 * The client never sleeps, and looks at the clock between any two calls. It is late itself when its
 * CPU is taken away; how late is measured too (late_p99_us), and the runner warns.
 *
 * p99_us is that of the stretches of time in which the machine was left alone (bench_quiet_p99_us),
 * late_p99_us is made in the same way, and p99_all_us is over all requests and sees everything, the
 * host too. p90_us and p50_us are over all requests.
 */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
	BATCH_OF_EVENTS = 16, /* between two looks at what is due: few */
	SCRATCH = 16 * 1024,  /* bytes received at a time */
	HEAD_START_NS = 2000000,
	PATIENCE_S = 10 /* a server that is silent for so long has failed */
};

struct connection {
	int fd;
	int64_t answered;       /* requests */
	size_t got;             /* bytes of the answer that is coming */
	unsigned char *message; /* what is sent next; echoes only */
	unsigned char *echo;    /* what comes next; echoes only */
};

struct client {
	struct load *load;
	struct load_reply reply;
	struct connection *connections;
	size_t request_size, reply_size;
	int64_t total, warm, sent, answered;
	int64_t start; /* the clock when the first request could have been due */
	int64_t *due;  /* by request, after start */
	int64_t *times, *late;
	int64_t cpu, wall; /* at the start of the measured stretch, then of it */
	int epfd;
	unsigned char *scratch;
};

static void choose_moments(struct client *client)
{
	const struct load *load = client->load;
	double length = (double)client->total * 1e9 / (double)load->rate;
	uint64_t random = 88172645463325252u;

	client->due = load_allocate((size_t)client->total * sizeof(*client->due));
	for (int64_t i = 0; i < client->total; i++)
		client->due[i] = (int64_t)(length * (double)(bench_random(&random) >> 11) / 0x1p53);
	load_sort(client->due, client->total);
}

static void number_message(unsigned char *message, size_t size, int64_t number)
{
	memcpy(message, &number, size < sizeof(number) ? size : sizeof(number));
}

static void send_request(struct client *client)
{
	struct load *load = client->load;
	struct connection *connection = &client->connections[client->sent % load->connections];
	const void *bytes =
	    load->request != NULL ? (const void *)load->request : connection->message;
	ssize_t count;

	if (load->request == NULL)
		number_message(connection->message, client->request_size, client->sent);
	count = send(connection->fd, bytes, client->request_size, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (count != (ssize_t)client->request_size)
		load_fail(load, "the server is too far behind, or has gone");
	client->sent++;
}

static void send_what_is_due(struct client *client)
{
	int64_t now;

	while (client->sent < client->total &&
	       (now = bench_wall_ns() - client->start) >= client->due[client->sent]) {
		if (client->sent >= client->warm)
			client->late[client->sent - client->warm] = now - client->due[client->sent];
		send_request(client);
	}
}

static void on_answer(struct client *client, struct connection *connection, int64_t now)
{
	const struct load *load = client->load;
	int64_t number =
	    connection->answered * load->connections + (connection - client->connections);

	if (number >= client->sent)
		bench_fail("there are more answers than requests");
	if (number >= client->warm)
		client->times[number - client->warm] = now - client->start - client->due[number];
	connection->answered++;
	connection->got = 0;
	client->answered++;
	if (client->answered == client->warm) {
		client->cpu = bench_cpu_ns(load->server);
		client->wall = bench_wall_ns();
	}
	if (load->request == NULL)
		number_message(connection->echo, client->reply_size, number + load->connections);
}

static bool is_right(const struct client *client, const struct connection *connection,
    const unsigned char *bytes, size_t count)
{
	if (client->reply.bytes != NULL)
		return load_reply_equal(&client->reply, bytes, connection->got, count);
	return memcmp(connection->echo + connection->got, bytes, count) == 0;
}

static void receive(struct client *client, struct connection *connection)
{
	ssize_t count = recv(connection->fd, client->scratch, SCRATCH, MSG_DONTWAIT);
	const unsigned char *bytes = client->scratch;
	size_t left = count > 0 ? (size_t)count : 0;
	int64_t now = bench_wall_ns();

	if (count < 0 && errno == EAGAIN)
		return;
	if (count <= 0)
		load_fail(client->load, "the server closed a connection");
	while (left > 0) {
		size_t part = client->reply_size - connection->got;

		if (part > left)
			part = left;
		if (!is_right(client, connection, bytes, part))
			bench_fail("a request was answered wrongly");
		bytes += part;
		left -= part;
		connection->got += part;
		if (connection->got == client->reply_size)
			on_answer(client, connection, now);
	}
	if (count == SCRATCH)
		receive(client, connection);
}

static void run(struct client *client)
{
	struct epoll_event events[BATCH_OF_EVENTS];
	int64_t heard = bench_wall_ns();

	client->start = heard + HEAD_START_NS;
	while (client->answered < client->total) {
		int count;

		send_what_is_due(client);
		count = epoll_wait(client->epfd, events, BATCH_OF_EVENTS, 0);
		if (count > 0)
			heard = bench_wall_ns();
		else if (bench_wall_ns() - heard > PATIENCE_S * INT64_C(1000000000))
			load_fail(client->load, "the server does not answer");
		for (int i = 0; i < count; i++) {
			receive(client, events[i].data.ptr);
			send_what_is_due(client);
		}
	}
	client->wall = bench_wall_ns() - client->wall;
	client->cpu = bench_cpu_ns(client->load->server) - client->cpu;
}

static void open_connection(struct client *client, int index)
{
	struct connection *connection = &client->connections[index];
	struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = connection};

	connection->fd = load_connect(client->load, index);
	connection->message = load_allocate(client->request_size);
	connection->echo = load_allocate(client->request_size);
	for (size_t i = 0; i < client->request_size; i++)
		connection->message[i] = (unsigned char)((size_t)index * 31 + i * 7);
	memcpy(connection->echo, connection->message, client->request_size);
	number_message(connection->echo, client->request_size, index);
	if (epoll_ctl(client->epfd, EPOLL_CTL_ADD, connection->fd, &event) != 0)
		bench_fail("epoll_ctl: %s", strerror(errno));
}

static void report(struct client *client)
{
	int64_t count = client->load->requests;

	bench_report("p99_us", bench_quiet_p99_us(client->times, count));
	bench_report("late_p99_us", bench_quiet_p99_us(client->late, count));
	load_sort(client->times, count);
	bench_report("p50_us", load_percentile_us(client->times, count, 50));
	bench_report("p90_us", load_percentile_us(client->times, count, 90));
	bench_report("p99_all_us", load_percentile_us(client->times, count, 99));
	bench_report("cpu_us", (double)client->cpu / 1e3 / (double)count);
	bench_report("busy", (double)client->cpu / (double)client->wall);
	bench_report("offered", (double)client->load->rate);
	bench_report("achieved", (double)count * 1e9 / (double)client->wall);
}

void load_run_open(struct load *load)
{
	struct client client = {.load = load, .warm = load->requests / 10};

	client.total = client.warm + load->requests;
	client.request_size = client.reply_size = (size_t)load->size;
	if (load->request != NULL) {
		client.request_size = strlen(load->request);
		load_learn_reply(load, &client.reply);
		client.reply_size = client.reply.size;
	}
	client.epfd = epoll_create1(EPOLL_CLOEXEC);
	client.connections = load_allocate((size_t)load->connections * sizeof(*client.connections));
	client.times = load_allocate((size_t)load->requests * sizeof(*client.times));
	client.late = load_allocate((size_t)load->requests * sizeof(*client.late));
	client.scratch = load_allocate(SCRATCH);
	choose_moments(&client);
	for (int i = 0; i < load->connections; i++)
		open_connection(&client, i);
	run(&client);
	report(&client);
	for (int i = 0; i < load->connections; i++) {
		load_reset(client.connections[i].fd);
		free(client.connections[i].message);
		free(client.connections[i].echo);
	}
	close(client.epfd);
	free(client.connections);
	free(client.due);
	free(client.times);
	free(client.late);
	free(client.scratch);
	free(client.reply.bytes);
}
