/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Row 8: a ring of 1,000 socketpairs, some of them active, one-byte messages, plain events.
 *
 * Every link has one persistent EV_READ event. Its callback reads one byte and writes one to the
 * next link. With N tokens on the ring N links are ready in each turn of the loop, so the price of
 * a turn is spread over N events: 1 shows the turn, 100 shows the event.
 */
#include "peer.h"
#include "tokens.h"

#include <getopt.h>
#include <stdlib.h>

struct chain {
	struct tokens tokens;
	struct event_base *base;
	struct event *events; /* one a link */
};

/* An event's argument: which link it is, of which chain. */
struct place {
	struct chain *chain;
	int index;
};

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct place *place = arg;
	struct chain *chain = place->chain;
	int count = tokens_read(&chain->tokens, place->index, 1);

	(void)fd;
	(void)what;
	tokens_pass(&chain->tokens, place->index, count);
	if (tokens_done(&chain->tokens))
		event_base_loopbreak(chain->base);
}

static void run(struct chain *chain, int n_active)
{
	size_t n_links = (size_t)chain->tokens.n_links;
	struct place *places = calloc(n_links, sizeof(*places));

	chain->base = bench_base_new();
	chain->events = calloc(n_links, sizeof(*chain->events));
	if (places == NULL || chain->events == NULL)
		bench_fail("out of memory");
	for (size_t i = 0; i < n_links; i++) {
		places[i] = (struct place){chain, (int)i};
		event_assign(&chain->events[i], chain->base, chain->tokens.links[i].reader,
		    EV_READ | EV_PERSIST, on_readable, &places[i]);
		if (event_add(&chain->events[i], NULL) != 0)
			bench_fail("event_add failed");
	}
	tokens_launch(&chain->tokens, n_active);
	event_base_dispatch(chain->base);
	for (size_t i = 0; i < n_links; i++)
		event_del(&chain->events[i]);
	event_base_free(chain->base);
	free(chain->events);
	free(places);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"links", required_argument, NULL, 'l'},
	    {"active", required_argument, NULL, 'a'}, {"events", required_argument, NULL, 'e'},
	    {"cpu", required_argument, NULL, 'c'}, {NULL, 0, NULL, 0}};
	struct chain chain;
	long links = 1000, active = 100, events = 200000, cpu = -1;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'l')
			links = bench_number("links", optarg, 1);
		else if (option == 'a')
			active = bench_number("active", optarg, 1);
		else if (option == 'e')
			events = bench_number("events", optarg, 1);
		else if (option == 'c')
			cpu = bench_number("cpu", optarg, 0);
		else
			bench_fail("usage: chain [--links N] [--active N] [--events N] [--cpu N]");
	}
	if (active > links)
		bench_fail("more active links than links");
	bench_pin((int)cpu);
	tokens_open(&chain.tokens, (int)links, events / 10 + active, events);
	run(&chain, (int)active);
	tokens_check_and_report(&chain.tokens);
	return 0;
}
