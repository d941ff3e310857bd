/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * No byte lost, none twice, none out of order.
 *
 * A stream whose every position can be told goes through an echo server, a filter, a pair, and a
 * proxy whose far side reads in small bites; written as a whole, byte by byte, and in random cuts.
 * The ends are bufferevents too, so both directions of every kind are busy at the same time. What
 * waits in buffers is bounded, by watermarks, so that the flow stops and goes on all the time.
 *
 * EVENT_URING_BUFFERS=2 makes the receiving run dry all the time; everything has to hold then too.
 */
#include "stress_common.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>

enum {
	WHOLE = 64 << 20,
	BYTES = 1 << 20, /* of a stream that is written byte by byte */
	CUTS = 16 << 20,
	IN_FLIGHT = 1 << 20,
	LOW = 64 << 10,
	HIGH = 256 << 10,
	BLOCK = 1 << 16,
};

enum cut { AS_A_WHOLE, BYTE_BY_BYTE, AT_RANDOM };

/* The client: writes the stream and takes it back. */
struct client {
	struct event_base *base;
	struct bufferevent *bev;
	enum cut cut;
	uint64_t total, sent, got;
	uint64_t seed;
	int done;
};

static unsigned char at(uint64_t position)
{
	return (unsigned char)((position * 0x9e3779b97f4a7c15u) >> 56);
}

static size_t next_cut(struct client *c)
{
	static const uint32_t bounds[] = {1, 7, 100, 1500, 5000, 40000};

	switch (c->cut) {
	case AS_A_WHOLE:
		return BLOCK;
	case BYTE_BY_BYTE:
		return 1;
	case AT_RANDOM:
		return 1 + st_below(&c->seed, bounds[st_below(&c->seed, 6)]);
	}
	return 0;
}

/* Writes until enough is under way. */
static void write_more(struct client *c)
{
	static unsigned char block[BLOCK];
	struct evbuffer *output = bufferevent_get_output(c->bev);

	while (c->sent < c->total && c->sent - c->got < IN_FLIGHT &&
	       evbuffer_get_length(output) < HIGH) {
		size_t n = next_cut(c);

		if (n > c->total - c->sent)
			n = (size_t)(c->total - c->sent);
		for (size_t i = 0; i < n; i++)
			block[i] = at(c->sent + i);
		/* First: a filter may call back for more within the call. */
		c->sent += n;
		st_check(evbuffer_add(output, block, n) == 0, "evbuffer_add");
	}
}

static void take_back(struct client *c)
{
	static unsigned char block[BLOCK];
	int n;

	while ((n = evbuffer_remove(bufferevent_get_input(c->bev), block, sizeof(block))) > 0) {
		for (int i = 0; i < n; i++)
			st_check(block[i] == at(c->got + (uint64_t)i),
			    "byte %llu is wrong (%llu sent)",
			    (unsigned long long)c->got + (unsigned)i, (unsigned long long)c->sent);
		c->got += (uint64_t)n;
	}
	st_check(c->got <= c->sent, "more came back than was sent");
	if (c->got == c->total)
		c->done = 1;
}

static void client_readcb(struct bufferevent *bev, void *arg)
{
	(void)bev;
	take_back(arg);
	write_more(arg);
}

static void client_writecb(struct bufferevent *bev, void *arg)
{
	(void)bev;
	write_more(arg);
}

static void no_event(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	(void)arg;
	st_fail("event %#x: %s", (unsigned)what, strerror(errno));
}

static struct bufferevent *on_socket(struct event_base *base, int fd)
{
	struct bufferevent *bev = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);

	st_check(bev, "bufferevent_socket_new");
	return bev;
}

static void watch(
    struct bufferevent *bev, bufferevent_data_cb readcb, bufferevent_data_cb writecb, void *arg)
{
	bufferevent_setcb(bev, readcb, writecb, no_event, arg);
	st_check(bufferevent_enable(bev, EV_READ | EV_WRITE) == 0, "bufferevent_enable");
}

/* ---- what the stream goes through */

/* Moves what came on, and stops reading while too much waits to be written. */
static void pass_on(struct bufferevent *from, void *arg)
{
	struct bufferevent *to = arg;

	st_check(bufferevent_read_buffer(from, bufferevent_get_output(to)) == 0, "read_buffer");
	if (evbuffer_get_length(bufferevent_get_output(to)) >= HIGH)
		bufferevent_disable(from, EV_READ);
}

static void go_on(struct bufferevent *to, void *arg)
{
	struct bufferevent *from = arg;

	(void)to;
	bufferevent_enable(from, EV_READ);
}

/* Reads on one side, writes on the other, both ways, with a bound. */
static void join(struct bufferevent *left, struct bufferevent *right)
{
	watch(left, pass_on, go_on, right);
	watch(right, pass_on, go_on, left);
	bufferevent_setwatermark(left, EV_WRITE, LOW, 0);
	bufferevent_setwatermark(right, EV_WRITE, LOW, 0);
}

static void echo(struct bufferevent *bev)
{
	watch(bev, pass_on, go_on, bev);
	bufferevent_setwatermark(bev, EV_WRITE, LOW, 0);
}

/* Nothing is freed: the process ends. A leak checker has to find what is there. */
static struct event_base *volatile found;

static void run(struct client *c, struct bufferevent *bev, enum cut cut)
{
	static const uint64_t totals[] = {WHOLE, BYTES, CUTS};
	const char *seed = getenv("STRESS_SEED");

	found = c->base;
	c->bev = bev;
	c->cut = cut;
	c->total = totals[cut];
	c->seed = seed ? strtoull(seed, NULL, 0) : 0x5eed0001;
	watch(bev, client_readcb, client_writecb, c);
	bufferevent_setwatermark(bev, EV_WRITE, LOW, 0);
	write_more(c);
	int64_t last_ms = st_now_ms();
	uint64_t last = 0;
	struct timeval tick = {1, 0};
	struct event *timer = st_event_new(c->base, -1, EV_PERSIST, st_count_cb, &(int){0});
	st_add(timer, &tick);
	while (!c->done) {
		st_check(event_base_loop(c->base, EVLOOP_ONCE) >= 0, "event_base_loop");
		if (c->got != last) {
			last = c->got;
			last_ms = st_now_ms();
		}
		st_check(st_now_ms() - last_ms < ST_BOUND_S * 1000, "stuck: %llu sent, %llu back",
		    (unsigned long long)c->sent, (unsigned long long)c->got);
	}
	event_free(timer);
}

static void through_echo(int arg)
{
	struct client c = {.base = st_base_new()};
	struct st_pair p = st_tcp_pair();

	echo(on_socket(c.base, p.ours));
	run(&c, on_socket(c.base, p.peer), (enum cut)arg);
}

static void through_unix_echo(int arg)
{
	struct client c = {.base = st_base_new()};
	struct st_pair p = st_socketpair();

	echo(on_socket(c.base, p.ours));
	run(&c, on_socket(c.base, p.peer), (enum cut)arg);
}

static void over_a_pair(int arg)
{
	struct client c = {.base = st_base_new()};
	struct bufferevent *ends[2];

	st_check(bufferevent_pair_new(c.base, 0, ends) == 0, "bufferevent_pair_new");
	echo(ends[0]);
	run(&c, ends[1], (enum cut)arg);
	/* Nothing else would know of them, and a leak checker would say so. */
	bufferevent_free(ends[0]);
	bufferevent_free(ends[1]);
	event_base_free(c.base);
}

/* Changes every byte; twice is the identity. */
static enum bufferevent_filter_result turn_bits(struct evbuffer *from, struct evbuffer *to,
    ev_ssize_t limit, enum bufferevent_flush_mode mode, void *arg)
{
	unsigned char block[5000];
	size_t most = limit < 0 || (size_t)limit > sizeof(block) ? sizeof(block) : (size_t)limit;
	int n = evbuffer_remove(from, block, most);

	(void)mode;
	(void)arg;
	if (n <= 0)
		return BEV_NEED_MORE;
	for (int i = 0; i < n; i++)
		block[i] ^= 0xa5;
	evbuffer_add(to, block, (size_t)n);
	return BEV_OK;
}

static struct bufferevent *filter(struct bufferevent *under)
{
	struct bufferevent *bev =
	    bufferevent_filter_new(under, turn_bits, turn_bits, BEV_OPT_CLOSE_ON_FREE, NULL, NULL);

	st_check(bev, "bufferevent_filter_new");
	return bev;
}

static void through_filters(int arg)
{
	struct client c = {.base = st_base_new()};
	struct st_pair p = st_tcp_pair();

	echo(filter(on_socket(c.base, p.ours)));
	run(&c, filter(on_socket(c.base, p.peer)), (enum cut)arg);
}

/* client - proxy - slow server: the server's socket is small, and its reads are limited. */
static void through_a_proxy(int arg)
{
	struct client c = {.base = st_base_new()};
	struct st_pair near = st_tcp_pair(), far = st_socketpair();
	int small = 8192;
	struct bufferevent *server;

	setsockopt(far.ours, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	setsockopt(far.peer, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	server = on_socket(c.base, far.ours);
	echo(server);
	bufferevent_set_max_single_read(server, 3000);
	bufferevent_setwatermark(server, EV_READ, 0, 10000);
	join(on_socket(c.base, near.ours), on_socket(c.base, far.peer));
	run(&c, on_socket(c.base, near.peer), (enum cut)arg);
}

/* Bytes move through a socket pair that is shuffled from one bufferevent to the next on the way. */
static void handed_over(int arg)
{
	struct client c = {.base = st_base_new()};
	struct st_pair p = st_socketpair();
	struct bufferevent *server = on_socket(c.base, p.ours), *client = on_socket(c.base, p.peer);

	c.bev = client;
	c.cut = (enum cut)arg;
	c.total = BYTES;
	c.seed = 0x5eed0002;
	bufferevent_setcb(client, client_readcb, client_writecb, no_event, &c);
	bufferevent_enable(client, EV_READ);
	echo(server);
	write_more(&c);
	int64_t end = st_now_ms() + 4 * ST_BOUND_S * 1000;
	while (!c.done) {
		struct bufferevent *next;

		st_check(st_now_ms() < end, "stuck: %llu sent, %llu back",
		    (unsigned long long)c.sent, (unsigned long long)c.got);
		st_pass(c.base);
		/* Nothing of the output may be under way when the fd changes hands. */
		if (evbuffer_get_length(bufferevent_get_output(server)) > 0)
			continue;
		bufferevent_disable(server, EV_READ | EV_WRITE);
		next = bufferevent_socket_new(c.base, p.ours, BEV_OPT_CLOSE_ON_FREE);
		bufferevent_read_buffer(server, bufferevent_get_output(next));
		bufferevent_setcb(server, NULL, NULL, NULL, NULL);
		bufferevent_setfd(server, -1);
		bufferevent_free(server);
		server = next;
		echo(server);
	}
}

static const struct st_case cases[] = {
    {"echo_whole", through_echo, AS_A_WHOLE, 0},
    {"echo_byte_by_byte", through_echo, BYTE_BY_BYTE, 0},
    {"echo_random_cuts", through_echo, AT_RANDOM, 0},
    {"unix_echo_whole", through_unix_echo, AS_A_WHOLE, 0},
    {"unix_echo_byte_by_byte", through_unix_echo, BYTE_BY_BYTE, 0},
    {"unix_echo_random_cuts", through_unix_echo, AT_RANDOM, 0},
    {"pair_whole", over_a_pair, AS_A_WHOLE, 0},
    {"pair_byte_by_byte", over_a_pair, BYTE_BY_BYTE, 0},
    {"pair_random_cuts", over_a_pair, AT_RANDOM, 0},
    {"filters_whole", through_filters, AS_A_WHOLE, 0},
    {"filters_byte_by_byte", through_filters, BYTE_BY_BYTE, 0},
    {"filters_random_cuts", through_filters, AT_RANDOM, 0},
    {"slow_proxy_whole", through_a_proxy, AS_A_WHOLE, 0},
    {"slow_proxy_byte_by_byte", through_a_proxy, BYTE_BY_BYTE, 0},
    {"slow_proxy_random_cuts", through_a_proxy, AT_RANDOM, 0},
    {"handed_over_byte_by_byte", handed_over, BYTE_BY_BYTE, 0},
    {"handed_over_random_cuts", handed_over, AT_RANDOM, 0},
    {NULL, NULL, 0, 0},
};

int main(int argc, char **argv)
{
	return st_main(argc, argv, cases);
}
