/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Row "idle": what one descriptor costs beside many that do nothing. Plain events.
 *
 * One link, a socketpair with one token that the callback takes and puts back, keeps the loop
 * turning with one active descriptor. Beside it `idle` sockets have a persistent EV_READ event, and
 * nothing ever comes. One after the other, in one dispatch, are measured
 *
 *   dispatch_ns  a turn with its one callback
 *   toggle_ns    the same when each turn also adds one more event or deletes it again, so that each
 *                add and each del reaches the kernel
 *   add_del_ns   event_add and event_del of that event at once: BURST pairs a turn
 *
 * Independent of the number of idle descriptors is what does not grow with it. The idle sockets are
 * unconnected UDP sockets: one descriptor each, and nothing to read.
 */
#define _GNU_SOURCE
#include "peer.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { BURST = 256, FILES_BESIDES = 64 };

enum phase { WARM, DISPATCH, TOGGLE, BURSTS, DONE };

struct idle {
	struct event_base *base;
	int link[2];           /* the active descriptor is [0] */
	struct event active;   /* of link[0] */
	struct event extra;    /* what is added and deleted */
	struct event *waiting; /* of the idle sockets */
	long n_idle;
	bool added;       /* True iff `extra` is pending */
	enum phase phase; /* what is being measured */
	long turns;       /* that remain of it */
	long count;       /* of turns in a phase */
	struct bench_span span;
};

static long turns_of(const struct idle *idle, enum phase phase)
{
	return phase == BURSTS ? idle->count / 16 : phase == WARM ? idle->count / 10 : idle->count;
}

static void report_phase(const struct idle *idle)
{
	double cpu = (double)idle->span.cpu, turns = (double)turns_of(idle, idle->phase);

	switch (idle->phase) {
	case DISPATCH:
		bench_report("dispatch_ns", cpu / turns);
		break;
	case TOGGLE:
		bench_report("toggle_ns", cpu / turns);
		break;
	case BURSTS:
		bench_report("add_del_ns", cpu / turns / BURST);
		break;
	case WARM:
	case DONE:
		break;
	}
}

static void next_phase(struct idle *idle)
{
	bench_stop(&idle->span);
	report_phase(idle);
	idle->phase++;
	idle->turns = turns_of(idle, idle->phase);
	if (idle->phase == DONE)
		event_base_loopbreak(idle->base);
	bench_start(&idle->span);
}

static void add_or_del(struct idle *idle)
{
	if ((idle->added ? event_del(&idle->extra) : event_add(&idle->extra, NULL)) != 0)
		bench_fail("event_add or event_del failed");
	idle->added = !idle->added;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct idle *idle = arg;
	char byte;

	(void)what;
	if (recv(fd, &byte, 1, 0) != 1)
		bench_fail("the token is lost");
	if (idle->phase == TOGGLE)
		add_or_del(idle);
	for (int i = 0; idle->phase == BURSTS && i < 2 * BURST; i++)
		add_or_del(idle);
	if (send(idle->link[1], &byte, 1, MSG_NOSIGNAL) != 1)
		bench_fail("the token cannot be sent: %s", strerror(errno));
	if (--idle->turns <= 0)
		next_phase(idle);
}

static void on_nothing(evutil_socket_t fd, short what, void *arg)
{
	(void)arg;
	bench_fail("descriptor %d had the event %x", (int)fd, (unsigned)what);
}

static int idle_socket(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		bench_fail("socket: %s", strerror(errno));
	return fd;
}

static void watch(struct idle *idle, struct event *event, int fd)
{
	event_assign(event, idle->base, fd, EV_READ | EV_PERSIST, on_nothing, NULL);
	if (event_add(event, NULL) != 0)
		bench_fail("event_add failed");
}

static void run(struct idle *idle)
{
	char byte = 1;

	idle->base = bench_base_new();
	idle->waiting = calloc((size_t)idle->n_idle + 1, sizeof(*idle->waiting));
	if (idle->waiting == NULL)
		bench_fail("out of memory");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, idle->link) != 0)
		bench_fail("socketpair: %s", strerror(errno));
	for (long i = 0; i < idle->n_idle; i++)
		watch(idle, &idle->waiting[i], idle_socket());
	event_assign(
	    &idle->extra, idle->base, idle_socket(), EV_READ | EV_PERSIST, on_nothing, NULL);
	event_assign(
	    &idle->active, idle->base, idle->link[0], EV_READ | EV_PERSIST, on_readable, idle);
	if (event_add(&idle->active, NULL) != 0 || send(idle->link[1], &byte, 1, MSG_NOSIGNAL) != 1)
		bench_fail("cannot begin");
	idle->turns = turns_of(idle, WARM);
	event_base_dispatch(idle->base);
	if (idle->phase != DONE)
		bench_fail("the loop ended early");
	event_del(&idle->active);
	for (long i = 0; i < idle->n_idle; i++)
		event_del(&idle->waiting[i]);
	event_base_free(idle->base);
	free(idle->waiting);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"idle", required_argument, NULL, 'i'},
	    {"turns", required_argument, NULL, 't'}, {"cpu", required_argument, NULL, 'c'},
	    {NULL, 0, NULL, 0}};
	struct idle idle = {.count = 50000};
	long cpu = -1;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'i')
			idle.n_idle = bench_number("idle", optarg, 0);
		else if (option == 't')
			idle.count = bench_number("turns", optarg, 16);
		else if (option == 'c')
			cpu = bench_number("cpu", optarg, 0);
		else
			bench_fail("usage: idle [--idle N] [--turns N] [--cpu N]");
	}
	idle.count += idle.count % 2; /* after an even number of turns nothing is added */
	bench_pin((int)cpu);
	bench_want_files((int)idle.n_idle + FILES_BESIDES);
	run(&idle);
	return 0;
}
