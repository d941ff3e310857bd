/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Row 9: a cascade down 1,000 socketpairs with non-persistent events that carry timeouts.
 *
 * One token falls from link to link, round after round. Every hop reads it, adds the event of this
 * link again (it fired, so it is no longer pending) with a timeout, and writes to the next link. So
 * a hop costs a turn of the loop, an add and a removal of the fd, and an add and a removal of a
 * timer among 1,000. The timeouts are 20 to 60 seconds and none may fire.
 */
#include "peer.h"
#include "tokens.h"

#include <getopt.h>
#include <stdlib.h>

struct cascade {
	struct tokens tokens;
	struct event_base *base;
	uint64_t random; /* state of the generator that draws the timeouts */
};

struct place {
	struct event event;
	struct cascade *cascade;
	int index;
};

static void add(struct place *place)
{
	uint32_t us = bench_random_below(&place->cascade->random, 40000000);
	struct timeval timeout = {20 + us / 1000000, us % 1000000};

	if (event_add(&place->event, &timeout) != 0)
		bench_fail("event_add failed");
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct place *place = arg;
	struct cascade *cascade = place->cascade;
	int count;

	(void)fd;
	if ((what & EV_TIMEOUT) != 0)
		bench_fail("link %d: a timeout fired, the token is lost", place->index);
	count = tokens_read(&cascade->tokens, place->index, 1);
	add(place);
	tokens_pass(&cascade->tokens, place->index, count);
	if (tokens_done(&cascade->tokens))
		event_base_loopbreak(cascade->base);
}

static void run(struct cascade *cascade)
{
	int n_links = cascade->tokens.n_links;
	struct place *places = calloc((size_t)n_links, sizeof(*places));

	if (places == NULL)
		bench_fail("out of memory");
	cascade->random = 88172645463325252u;
	cascade->base = bench_base_new();
	for (int i = 0; i < n_links; i++) {
		places[i].cascade = cascade;
		places[i].index = i;
		event_assign(&places[i].event, cascade->base, cascade->tokens.links[i].reader,
		    EV_READ, on_readable, &places[i]);
		add(&places[i]);
	}
	tokens_launch(&cascade->tokens, 1);
	event_base_dispatch(cascade->base);
	for (int i = 0; i < n_links; i++)
		event_del(&places[i].event);
	event_base_free(cascade->base);
	free(places);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"links", required_argument, NULL, 'l'},
	    {"hops", required_argument, NULL, 'h'}, {"cpu", required_argument, NULL, 'c'},
	    {NULL, 0, NULL, 0}};
	struct cascade cascade;
	long links = 1000, hops = 100000, cpu = -1;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'l')
			links = bench_number("links", optarg, 1);
		else if (option == 'h')
			hops = bench_number("hops", optarg, 1);
		else if (option == 'c')
			cpu = bench_number("cpu", optarg, 0);
		else
			bench_fail("usage: cascade [--links N] [--hops N] [--cpu N]");
	}
	bench_pin((int)cpu);
	tokens_open(&cascade.tokens, (int)links, hops / 10, hops);
	run(&cascade);
	tokens_check_and_report(&cascade.tokens);
	return 0;
}
