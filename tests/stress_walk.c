/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A random walk over a few descriptors, pass by pass beside what poll(2) says.
 *
 * Events are added, deleted and freed, between passes and in callbacks; bytes come and are taken;
 * descriptors are closed, or get another file under their number while a duplicate keeps the old
 * file alive. At some step the first bufferevents appear, which moves the base from epoll to
 * io_uring, parked registrations and all; their receives fall idle at once and become polls. After
 * every turn of the loop each event that nobody touched must have been told what poll(2) told
 * before, no event may be told anything that is not pending, and no byte of a bufferevent is lost.
 *
 * The seeds are fixed; a failure names its seed and step, and STRESS_SEED runs one seed alone.
 */
#include "stress_common.h"

#include <event2/bufferevent.h>

enum { SLOTS = 8, BEVS = 2, DUPS = 6, STEPS = 150, SEEDS = 80, IDLE_US = 2500 };
enum { ALL = EV_READ | EV_WRITE | EV_CLOSED };

struct walk;

struct slot {
	struct walk *walk;
	struct st_pair fds;
	int dups[DUPS], ndups;
	struct event *ev;
	short kind, expected, got;
	bool pending;
	bool touched; /* added or deleted in a callback of this pass */
};

struct side {
	struct bufferevent *bev;
	int peer;
	size_t sent, got;
};

struct walk {
	struct event_base *base;
	struct slot slots[SLOTS];
	struct side sides[BEVS];
	uint64_t seed, rnd;
	int step;
	bool moved, in_callbacks;
};

#define walk_check(w, cond, fmt, ...)                                                            \
	st_check(cond, "seed %llu step %d (%s): " fmt, (unsigned long long)(w)->seed, (w)->step, \
	    event_base_get_method((w)->base), __VA_ARGS__)

static uint32_t below(struct walk *w, uint32_t n)
{
	return st_below(&w->rnd, n);
}

static void add(struct slot *s)
{
	if (!s->ev || s->pending)
		return;
	st_add(s->ev, NULL);
	s->pending = true;
	s->touched = s->walk->in_callbacks;
}

static void del(struct slot *s)
{
	if (!s->pending)
		return;
	event_del(s->ev);
	s->pending = false;
	s->touched = s->walk->in_callbacks;
}

static void event_cb(evutil_socket_t fd, short what, void *arg)
{
	struct slot *s = arg;
	struct walk *w = s->walk;
	struct slot *other = &w->slots[below(w, SLOTS)];

	walk_check(w, s->pending, "fd %d told %#x and not pending", (int)fd, (unsigned)what);
	s->got |= what;
	s->pending = s->kind & EV_PERSIST;
	switch (below(w, 8)) {
	case 0:
		del(s);
		break;
	case 1:
		del(other);
		break;
	case 2:
		add(other);
		break;
	case 3:
		del(other);
		add(other);
		break;
	default:
		break;
	}
}

static void fresh_event(struct slot *s)
{
	static const short kinds[] = {EV_READ, EV_READ | EV_PERSIST, EV_READ | EV_PERSIST,
	    EV_WRITE | EV_PERSIST, EV_READ | EV_WRITE | EV_PERSIST,
	    EV_READ | EV_CLOSED | EV_PERSIST};

	if (s->pending)
		return;
	if (s->ev)
		event_free(s->ev);
	s->kind = kinds[below(s->walk, sizeof(kinds) / sizeof(kinds[0]))];
	s->ev = st_event_new(s->walk->base, s->fds.ours, s->kind, event_cb, s);
	add(s);
}

static void free_event(struct slot *s)
{
	if (s->ev)
		event_free(s->ev);
	s->ev = NULL;
	s->pending = false;
}

static void hang_up(struct slot *s)
{
	if (s->fds.peer >= 0)
		close(s->fds.peer);
	s->fds.peer = -1;
}

/* Another file under this number or, as the kernel chooses, another. */
static void replace(struct slot *s)
{
	free_event(s);
	hang_up(s);
	if (below(s->walk, 2)) {
		s->fds = st_pair_at(s->fds.ours);
	} else {
		close(s->fds.ours);
		s->fds = st_socketpair();
	}
}

static void put(struct slot *s)
{
	if (s->fds.peer >= 0)
		(void)!write(s->fds.peer, "x", 1);
}

/* A bite, not all. */
static void take(struct slot *s)
{
	char buf[8];

	(void)!read(s->fds.ours, buf, sizeof(buf));
}

static void move(struct walk *w, struct slot *s)
{
	switch (below(w, 11)) {
	case 0:
	case 1:
		fresh_event(s);
		break;
	case 2:
		add(s);
		break;
	case 3:
	case 4:
		del(s);
		break;
	case 5:
		put(s);
		break;
	case 6:
		take(s);
		break;
	case 7:
		if (s->ndups < DUPS && below(w, 3) == 0)
			s->dups[s->ndups++] = dup(s->fds.ours);
		break;
	case 8:
		if (below(w, 3) == 0)
			replace(s);
		break;
	case 9:
		if (below(w, 8) == 0)
			hang_up(s);
		break;
	default:
		if (s->ndups)
			close(s->dups[--s->ndups]);
		break;
	}
}

static short ready(const struct slot *s)
{
	struct pollfd p = {.fd = s->fds.ours,
	    .events =
		(short)((s->kind & EV_READ ? POLLIN : 0) | (s->kind & EV_WRITE ? POLLOUT : 0) |
			(s->kind & EV_CLOSED ? POLLRDHUP : 0))};
	short what = 0;

	poll(&p, 1, 0);
	what |= p.revents & POLLIN ? EV_READ : 0;
	what |= p.revents & POLLOUT ? EV_WRITE : 0;
	what |= p.revents & POLLRDHUP ? EV_CLOSED : 0;
	return what & s->kind;
}

static void turn(struct walk *w)
{
	for (struct slot *s = w->slots; s < w->slots + SLOTS; s++) {
		s->expected = s->pending ? ready(s) : 0;
		s->got = 0;
		s->touched = false;
	}
	w->in_callbacks = true;
	st_pass(w->base);
	w->in_callbacks = false;
	for (struct slot *s = w->slots; s < w->slots + SLOTS; s++) {
		walk_check(w, s->touched || (s->got & ALL) == s->expected,
		    "fd %d, kind %#x, is ready for %#x and was told %#x", s->fds.ours,
		    (unsigned)s->kind, (unsigned)s->expected, (unsigned)s->got);
		walk_check(w, !s->ev || !!event_pending(s->ev, ALL, NULL) == s->pending,
		    "fd %d: pending is not %d", s->fds.ours, s->pending);
	}
}

static void read_cb(struct bufferevent *bev, void *arg)
{
	struct side *side = arg;
	char buf[64];
	size_t n;

	while ((n = bufferevent_read(bev, buf, sizeof(buf))) > 0)
		side->got += n;
}

static void open_sides(struct walk *w)
{
	for (struct side *side = w->sides; side < w->sides + BEVS; side++) {
		struct st_pair p = st_socketpair();

		side->peer = p.peer;
		side->bev = bufferevent_socket_new(w->base, p.ours, BEV_OPT_CLOSE_ON_FREE);
		st_check(side->bev, "bufferevent_socket_new");
		bufferevent_setcb(side->bev, read_cb, NULL, NULL, side);
		bufferevent_enable(side->bev, EV_READ | EV_WRITE);
	}
	w->moved = true;
}

/* Bytes for one of the bufferevents, or time for its receive to fall idle. */
static void feed(struct walk *w)
{
	struct side *side = &w->sides[below(w, BEVS)];

	if (below(w, 4) == 0) {
		st_put(side->peer);
		side->sent++;
	} else if (below(w, 8) == 0) {
		usleep(IDLE_US);
	}
}

static void close_sides(struct walk *w)
{
	for (struct side *side = w->sides; w->moved && side < w->sides + BEVS; side++) {
		int64_t end = st_now_ms() + ST_BOUND_S * 1000;

		while (side->got < side->sent && st_now_ms() < end)
			st_pass(w->base);
		walk_check(
		    w, side->got == side->sent, "%zu bytes of %zu came", side->got, side->sent);
		bufferevent_free(side->bev);
		close(side->peer);
	}
}

static void close_slot(struct slot *s)
{
	free_event(s);
	hang_up(s);
	close(s->fds.ours);
	while (s->ndups)
		close(s->dups[--s->ndups]);
}

static void walk_run(uint64_t seed)
{
	struct walk w = {.base = st_base_new(), .seed = seed};
	int when;

	w.rnd = seed * 2654435761u + 88172645463325252ull;
	for (struct slot *s = w.slots; s < w.slots + SLOTS; s++) {
		s->walk = &w;
		s->fds = st_socketpair();
	}
	when = below(&w, 4) ? (int)below(&w, STEPS) : STEPS; /* a quarter stays with plain events */
	for (w.step = 0; w.step < STEPS; w.step++) {
		for (uint32_t moves = 1 + below(&w, 6); moves > 0; moves--)
			move(&w, &w.slots[below(&w, SLOTS)]);
		if (w.step == when)
			open_sides(&w);
		if (w.moved)
			feed(&w);
		turn(&w);
	}
	close_sides(&w);
	for (struct slot *s = w.slots; s < w.slots + SLOTS; s++)
		close_slot(s);
	event_base_free(w.base);
}

static void walk(int arg)
{
	const char *seed = getenv("STRESS_SEED");
	int fds = st_count_fds();

	(void)arg;
	if (seed) {
		walk_run(strtoull(seed, NULL, 0));
		return;
	}
	for (uint64_t n = 1; n <= SEEDS; n++)
		walk_run(n);
	st_check(st_count_fds() == fds, "%d descriptors more than before", st_count_fds() - fds);
}

int main(int argc, char **argv)
{
	static const struct st_case cases[] = {
	    {"walk", walk, 0, 0},
	    {NULL, NULL, 0, 0},
	};

	setenv("EVENT_URING_IDLE_MS", "1", 0);
	return st_main(argc, argv, cases);
}
