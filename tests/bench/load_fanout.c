/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client of row 15: what one connection sends, the server sends to all.
 *
 * A broadcast is over when every connection, the sender too, has the whole message; then the next
 * connection in turn sends one. So there is one broadcast at a time, and no connection is ever
 * behind. A message begins with the number of its broadcast, and each connection compares what it
 * gets. The cost is the server's CPU time a message delivered; `requests` counts deliveries.
 */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
	BATCH_OF_EVENTS = 256,
	PATIENCE_MS = 10000 /* a server that is silent for so long has failed */
};

struct fanout {
	struct load *load;
	int *fds;
	size_t *got; /* bytes of this broadcast, by connection */
	int epfd;
	int64_t number;         /* of the broadcast */
	unsigned char *message; /* that is on its way */
	unsigned char *scratch; /* as large */
	int missing;            /* connections that do not have it all */
};

static void begin(struct fanout *fanout)
{
	const struct load *load = fanout->load;
	size_t size = (size_t)load->size;
	int sender = fanout->fds[fanout->number % load->connections];

	fanout->number++;
	for (size_t i = 0; i < size; i++)
		fanout->message[i] = (unsigned char)((size_t)fanout->number * 31 + i * 7);
	memcpy(fanout->message, &fanout->number,
	    size < sizeof(fanout->number) ? size : sizeof(fanout->number));
	memset(fanout->got, 0, (size_t)load->connections * sizeof(*fanout->got));
	fanout->missing = load->connections;
	if (send(sender, fanout->message, size, MSG_NOSIGNAL) != (ssize_t)size)
		load_fail(load, "send failed");
}

static void receive(struct fanout *fanout, int index)
{
	size_t *got = &fanout->got[index], size = (size_t)fanout->load->size;
	ssize_t count = recv(fanout->fds[index], fanout->scratch, size, MSG_DONTWAIT);

	if (count < 0 && errno == EAGAIN)
		return;
	if (count <= 0)
		load_fail(fanout->load, "the server closed a connection");
	if (*got + (size_t)count > size)
		bench_fail("a message was sent twice");
	if (memcmp(fanout->scratch, fanout->message + *got, (size_t)count) != 0)
		bench_fail("broadcast %lld arrived wrongly", (long long)fanout->number);
	*got += (size_t)count;
	fanout->missing -= *got == size;
}

static void broadcast(struct fanout *fanout, int64_t times)
{
	struct epoll_event events[BATCH_OF_EVENTS];

	for (int64_t i = 0; i < times; i++) {
		begin(fanout);
		while (fanout->missing > 0) {
			int count = epoll_wait(fanout->epfd, events, BATCH_OF_EVENTS, PATIENCE_MS);

			if (count < 0 && errno == EINTR)
				continue;
			if (count <= 0)
				load_fail(fanout->load, "a message did not reach everybody");
			for (int j = 0; j < count; j++)
				receive(fanout, (int)events[j].data.u32);
		}
	}
}

static void open_all(struct fanout *fanout)
{
	const struct load *load = fanout->load;

	fanout->fds = load_connect_all(load, load->connections, 0);
	fanout->epfd = epoll_create1(EPOLL_CLOEXEC);
	for (int i = 0; i < load->connections; i++) {
		struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u32 = (uint32_t)i};

		if (epoll_ctl(fanout->epfd, EPOLL_CTL_ADD, fanout->fds[i], &event) != 0)
			bench_fail("epoll_ctl: %s", strerror(errno));
	}
	fanout->got = load_allocate((size_t)load->connections * sizeof(*fanout->got));
	fanout->message = load_allocate((size_t)load->size);
	fanout->scratch = load_allocate((size_t)load->size);
}

void load_run_fanout(struct load *load)
{
	struct fanout fanout = {.load = load};
	int64_t times = load->requests / load->connections, cpu, wall;
	double deliveries;

	if (times < 1)
		times = 1;
	deliveries = (double)times * load->connections;
	open_all(&fanout);
	broadcast(&fanout, times / 10 + 1);
	cpu = bench_cpu_ns(load->server);
	wall = bench_wall_ns();
	broadcast(&fanout, times);
	cpu = bench_cpu_ns(load->server) - cpu;
	wall = bench_wall_ns() - wall;
	bench_report("cpu_us", (double)cpu / 1e3 / deliveries);
	bench_report("wall_us", (double)wall / 1e3 / deliveries);
	bench_report("busy", (double)cpu / (double)wall);
	close(fanout.epfd);
	load_reset_all(fanout.fds, load->connections);
	free(fanout.got);
	free(fanout.message);
	free(fanout.scratch);
}
