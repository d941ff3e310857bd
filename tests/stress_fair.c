/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One base, one greedy connection and 1,000 modest ones.
 *
 * The greedy peer keeps its socket full. Before each turn of the loop some of the modest peers send
 * a byte, and when that one turn is over each of these bytes must have reached its callback,
 * whatever the greedy one took. The same while a reader that never takes anything out of its input
 * buffer comes to keep 100 MB there: what it keeps must not be missing for the others.
 */
#include "stress_common.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>

enum { MODEST = 1000, AT_ONCE = 100, TURNS = 300, HOARD = 100 << 20 };

struct modest {
	int peer;
	int asked, served;
};

static struct event_base *base;
static struct modest modest[MODEST];
static struct bufferevent *greedy;
static int greedy_peer;
static uint64_t greedy_got, seed = 0xfa120001;

static void modest_readcb(struct bufferevent *bev, void *arg)
{
	struct modest *m = arg;
	struct evbuffer *input = bufferevent_get_input(bev);

	m->served += (int)evbuffer_get_length(input);
	bufferevent_write_buffer(bev, input);
}

static void greedy_readcb(struct bufferevent *bev, void *arg)
{
	struct evbuffer *input = bufferevent_get_input(bev);

	(void)arg;
	greedy_got += evbuffer_get_length(input);
	evbuffer_drain(input, SIZE_MAX);
}

static void hoarder_readcb(struct bufferevent *bev, void *arg)
{
	(void)arg;
	greedy_got = evbuffer_get_length(bufferevent_get_input(bev));
}

static void no_event(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	(void)arg;
	st_fail("event %#x: %s", (unsigned)what, strerror(errno));
}

static struct bufferevent *reading(int fd, bufferevent_data_cb readcb, void *arg)
{
	struct bufferevent *bev = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);

	st_check(bev, "bufferevent_socket_new");
	bufferevent_setcb(bev, readcb, NULL, no_event, arg);
	st_check(bufferevent_enable(bev, EV_READ) == 0, "bufferevent_enable");
	return bev;
}

static void connect_all(bufferevent_data_cb greedy_cb)
{
	struct rlimit files;
	struct st_pair p;

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	if (files.rlim_cur < 2 * MODEST + 50)
		st_skip("not enough descriptors");
	base = st_base_new();
	p = st_tcp_pair();
	greedy = reading(p.ours, greedy_cb, NULL);
	greedy_peer = p.peer;
	for (int i = 0; i < MODEST; i++) {
		p = st_socketpair();
		modest[i].peer = p.peer;
		reading(p.ours, modest_readcb, &modest[i]);
	}
	st_passes(base, 3);
}

static void feed_greedy(void)
{
	static char block[1 << 18];

	while (send(greedy_peer, block, sizeof(block), MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
		;
}

static void ask(struct modest *m)
{
	st_drain(m->peer);
	st_put(m->peer);
	m->asked++;
}

/* Some ask, the loop turns once, and all have been served. */
static void one_turn(int turn)
{
	feed_greedy();
	for (int i = 0; i < AT_ONCE; i++)
		ask(&modest[st_below(&seed, MODEST)]);
	st_check(event_base_loop(base, EVLOOP_ONCE) >= 0, "event_base_loop");
	for (int i = 0; i < MODEST; i++)
		st_check(modest[i].served == modest[i].asked,
		    "turn %d: number %d asked %d times and was served %d times", turn, i,
		    modest[i].asked, modest[i].served);
}

static void beside_a_greedy_one(int arg)
{
	(void)arg;
	connect_all(greedy_readcb);
	for (int turn = 0; turn < TURNS; turn++)
		one_turn(turn);
	st_check(greedy_got > 0, "the greedy one got nothing");
}

/* All ask in the same turn. */
static void all_at_once(int arg)
{
	(void)arg;
	connect_all(greedy_readcb);
	for (int turn = 0; turn < 20; turn++) {
		feed_greedy();
		for (int i = 0; i < MODEST; i++)
			ask(&modest[i]);
		st_check(event_base_loop(base, EVLOOP_ONCE) >= 0, "event_base_loop");
		for (int i = 0; i < MODEST; i++)
			st_check(modest[i].served == modest[i].asked,
			    "turn %d: number %d asked %d times and was served %d times", turn, i,
			    modest[i].asked, modest[i].served);
	}
}

static long resident_mb(void)
{
	long pages = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	st_check(f && fscanf(f, "%ld %ld", &pages, &resident) == 2, "/proc/self/statm");
	fclose(f);
	return resident * (sysconf(_SC_PAGESIZE) / 1024) / 1024;
}

static void beside_a_hoarder(int arg)
{
	int64_t end = st_now_ms() + 3 * ST_BOUND_S * 1000;
	int turn = 0;

	(void)arg;
	connect_all(hoarder_readcb);
	while (greedy_got < HOARD) {
		one_turn(turn++);
		st_check(st_now_ms() < end, "only %llu bytes came", (unsigned long long)greedy_got);
	}
	bufferevent_disable(greedy, EV_READ);
	for (int more = 0; more < 20; more++)
		one_turn(turn++);
	long mb = resident_mb();
	st_check(mb < 3 * (HOARD >> 20) || getenv("STRESS_ANY_MEMORY"), "%ld MB are in use", mb);
}

static const struct st_case cases[] = {
    {"beside_a_greedy_one", beside_a_greedy_one, 0, ST_OURS_ONLY},
    {"all_at_once", all_at_once, 0, ST_OURS_ONLY},
    {"beside_a_hoarder", beside_a_hoarder, 0, ST_OURS_ONLY},
    {NULL, NULL, 0, 0},
};

int main(int argc, char **argv)
{
	return st_main(argc, argv, cases);
}
