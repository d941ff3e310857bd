/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A long random churn over 32 sockets: events come and go, files are closed before and after their
 * events, their numbers go to other files, peers write, read and close; inside callbacks and
 * outside. A model knows what every event must and may report in every pass of the loop: a report
 * that the model does not know is stale, one that it knows and that does not come is lost. Every
 * close has to reach the peer at once.
 *
 * The seeds are fixed; a failure names its seed and round, and STRESS_SEED runs one seed alone.
 */
#include "stress_common.h"

static const struct timeval long_time = {3600, 0};

enum { SLOTS = 32, ROUNDS = 10000, SEEDS = 6 };

/* One event of a slot, and what the model knows of it. */
struct watch {
	struct event ev;
	struct slot *slot;
	bool added;
	bool persist;
	bool et;
	bool edge; /* edge-triggered: something happened that it has not reported */
	bool must; /* it has to report in this pass, not only may */
	short due; /* what it must report in this pass; 0: it must be silent */
};

/* One watched socket. */
struct slot {
	struct churn *churn;
	struct st_pair p;
	int unread;       /* bytes that the peer wrote and we have not read */
	bool peer_closed; /* then p.peer is -1 */
	bool full;        /* we wrote until there was no room */
	struct watch r, w;
};

struct churn {
	struct event_base *base;
	struct slot slot[SLOTS];
	uint64_t seed, rnd;
	int round;
	bool in_pass;
	bool strict; /* a pass that does not sleep must report all that is due */
	long reports, closes;
};

#define CHURN_CHECK(c, s, cond, fmt, ...)                                                      \
	st_check(cond, "seed %llu round %d slot %d (%s): " fmt, (unsigned long long)(c)->seed, \
	    (c)->round, (int)((s) - (c)->slot), event_base_get_method((c)->base), ##__VA_ARGS__)

static bool readable(const struct slot *s)
{
	return s->unread > 0 || s->peer_closed;
}

static bool writable(const struct slot *s)
{
	return !s->full || s->peer_closed;
}

/* The model itself is checked against the kernel before it judges anybody. */
static void check_model(struct churn *c, struct slot *s)
{
	struct pollfd pfd = {.fd = s->p.ours, .events = POLLIN | POLLOUT};

	poll(&pfd, 1, 0);
	CHURN_CHECK(c, s, readable(s) == !!(pfd.revents & (POLLIN | POLLHUP | POLLERR)),
	    "the model is wrong about reading (0x%x)", (unsigned)pfd.revents);
	CHURN_CHECK(c, s, writable(s) == !!(pfd.revents & (POLLOUT | POLLHUP | POLLERR)),
	    "the model is wrong about writing (0x%x)", (unsigned)pfd.revents);
}

static void churn_act(struct churn *c, struct slot *own);

static void watch_cb(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;
	struct slot *s = w->slot;
	struct churn *c = s->churn;

	CHURN_CHECK(c, s, c->in_pass, "called outside the loop");
	CHURN_CHECK(c, s, w->added, "a deleted event reports 0x%x", (unsigned)what);
	CHURN_CHECK(c, s, fd == s->p.ours, "fd %d instead of %d", (int)fd, s->p.ours);
	what &= EV_READ | EV_WRITE | EV_CLOSED | EV_TIMEOUT;
	CHURN_CHECK(c, s, what == w->due, "reports 0x%x, due is 0x%x (%s)", (unsigned)what,
	    (unsigned)w->due,
	    w->et        ? "edge"
	    : w->persist ? "persistent"
			 : "once");
	w->due = 0;
	w->edge = false;
	c->reports++;
	if (!w->persist)
		w->added = false;
	for (uint32_t n = st_below(&c->rnd, 4); n > 0; n--)
		churn_act(c, s);
}

static void watch_add(struct churn *c, struct watch *w)
{
	struct slot *s = w->slot;
	bool reads = w == &s->r;
	short what = reads ? EV_READ : EV_WRITE;

	if (w->added || (s->r.added && s->r.et))
		return;
	w->persist = st_below(&c->rnd, 3) > 0;
	w->et = reads && !s->w.added && st_below(&c->rnd, 4) == 0;
	w->persist |= w->et;
	w->edge = w->et && readable(s);
	w->due = 0;
	if (w->persist)
		what |= EV_PERSIST;
	if (w->et)
		what |= EV_ET;
	event_assign(&w->ev, c->base, s->p.ours, what, watch_cb, w);
	st_add(&w->ev, st_below(&c->rnd, 4) ? NULL : &long_time);
	w->added = true;
}

/* Stock answers -1 when the number is closed and another event of it remains; the event is gone
 * anyway. */
static void watch_del(struct watch *w)
{
	event_del(&w->ev);
	w->added = false;
	w->due = 0;
}

/* Always through event_del, also of events that were never added: both are legal. */
static void slot_del(struct slot *s)
{
	watch_del(&s->r);
	watch_del(&s->w);
}

/* A slot on a fresh pair, under the number that it had or any other. */
static void slot_open(struct churn *c, struct slot *s, int number)
{
	int small = 1;

	s->churn = c;
	s->p = number < 0 ? st_socketpair() : st_pair_at(number);
	setsockopt(s->p.ours, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	s->unread = 0;
	s->peer_closed = s->full = false;
	s->r.slot = s->w.slot = s;
}

static void slot_peer_end(struct churn *c, struct slot *s, struct st_pair p, bool was_closed)
{
	c->closes++;
	if (was_closed)
		return;
	CHURN_CHECK(c, s, st_peer_gone(p.peer), "the peer sees no end");
	close(p.peer);
}

/* Closes the slot's file in one of the ways a program does, and opens another. */
static void slot_replace(struct churn *c, struct slot *s)
{
	struct st_pair old = s->p;
	bool was_closed = s->peer_closed;

	switch (st_below(&c->rnd, 4)) {
	case 0: /* event_del, close; the next number may be any */
		slot_del(s);
		close(old.ours);
		slot_peer_end(c, s, old, was_closed);
		slot_open(c, s, -1);
		break;
	case 1: /* close, event_del */
		close(old.ours);
		slot_del(s);
		slot_peer_end(c, s, old, was_closed);
		slot_open(c, s, -1);
		break;
	case 2: /* another file takes the number while the event still is there */
		slot_open(c, s, old.ours);
		slot_del(s);
		slot_peer_end(c, s, old, was_closed);
		break;
	default: /* event_del, then another file takes the number */
		slot_del(s);
		slot_open(c, s, old.ours);
		slot_peer_end(c, s, old, was_closed);
		break;
	}
}

static void slot_read(struct slot *s, int most)
{
	char buf[64];
	ssize_t n;

	if (most > (int)sizeof(buf))
		most = sizeof(buf);
	n = read(s->p.ours, buf, (size_t)most);
	if (n > 0)
		s->unread -= (int)n;
}

static void slot_fill(struct slot *s)
{
	char buf[1024];

	if (s->peer_closed)
		return;
	memset(buf, 'y', sizeof(buf));
	while (write(s->p.ours, buf, sizeof(buf)) > 0)
		continue;
	s->full = true;
}

static void slot_peer(struct slot *s, uint32_t how)
{
	if (s->peer_closed)
		return;
	switch (how) {
	case 0:
		close(s->p.peer);
		s->p.peer = -1;
		s->peer_closed = true;
		s->r.edge = true;
		break;
	case 1:
	case 2:
		st_drain(s->p.peer);
		s->full = false;
		break;
	default:
		if (s->unread > 40)
			return;
		st_put(s->p.peer);
		s->unread++;
		s->r.edge = true;
		break;
	}
}

/* One thing that a program or its peer may do at any moment. own: the slot whose callback runs. */
static void churn_act(struct churn *c, struct slot *own)
{
	struct slot *s = &c->slot[st_below(&c->rnd, SLOTS)];

	if (own && st_below(&c->rnd, 2))
		s = own;
	switch (st_below(&c->rnd, 16)) {
	case 0:
	case 1:
	case 2:
		watch_add(c, &s->r);
		break;
	case 3:
	case 4:
		watch_add(c, &s->w);
		break;
	case 5:
		watch_del(&s->r);
		break;
	case 6:
		watch_del(&s->w);
		break;
	case 7:
	case 8:
		slot_replace(c, s);
		break;
	case 9:
		slot_fill(s);
		break;
	case 10:
	case 11:
		slot_read(s, (int)st_below(&c->rnd, 60) + 1);
		break;
	default:
		slot_peer(s, st_below(&c->rnd, 8));
		break;
	}
}

/* What each event must report in the pass that comes; returns how many. */
static int churn_expect(struct churn *c)
{
	int due = 0;

	for (int i = 0; i < SLOTS; i++) {
		struct slot *s = &c->slot[i];

		check_model(c, s);
		s->r.due = s->r.added && readable(s) ? EV_READ : 0;
		s->w.due = s->w.added && writable(s) ? EV_WRITE : 0;
		/* An edge-triggered event may report again what still is there, but need not. */
		s->r.must = !s->r.et || s->r.edge;
		s->w.must = true;
		due += !!s->r.due + !!s->w.due;
	}
	return due;
}

static bool watch_lost(const struct watch *w)
{
	return w->due && w->must;
}

static void churn_pass(struct churn *c)
{
	int due = churn_expect(c), r;
	long before = c->reports;
	bool required = false;

	for (int i = 0; i < SLOTS; i++)
		required |= watch_lost(&c->slot[i].r) || watch_lost(&c->slot[i].w);
	/* A pass that may sleep is only taken when something is there to end it. */
	c->strict = !required || st_below(&c->rnd, 4);
	c->in_pass = true;
	r = event_base_loop(c->base, c->strict ? ST_ONE_PASS : EVLOOP_ONCE);
	c->in_pass = false;
	st_check(r >= 0, "event_base_loop");
	if (!c->strict) {
		st_check(c->reports > before, "nothing reported of %d", due);
		return;
	}
	for (int i = 0; i < SLOTS; i++) {
		struct slot *s = &c->slot[i];

		CHURN_CHECK(c, s, !watch_lost(&s->r), "lost: 0x%x of a %s event, fd %d",
		    (unsigned)s->r.due, s->r.et ? "edge" : "level", s->p.ours);
		CHURN_CHECK(c, s, !watch_lost(&s->w), "lost: writable, fd %d", s->p.ours);
	}
}

static void churn_run(uint64_t seed)
{
	struct churn *c = calloc(1, sizeof(*c));

	st_check(c, "calloc");
	c->base = st_base_new();
	c->seed = seed;
	c->rnd = seed * 2654435761u + 88172645463325252ull;
	for (int i = 0; i < SLOTS; i++) {
		struct slot *s = &c->slot[i];

		slot_open(c, s, -1);
		event_assign(&s->r.ev, c->base, s->p.ours, EV_READ, watch_cb, &s->r);
		event_assign(&s->w.ev, c->base, s->p.ours, EV_WRITE, watch_cb, &s->w);
	}
	for (c->round = 0; c->round < ROUNDS; c->round++) {
		if (st_below(&c->rnd, 6) == 0)
			churn_pass(c);
		else
			churn_act(c, NULL);
	}
	for (int i = 0; i < SLOTS; i++) {
		struct slot *s = &c->slot[i];

		slot_del(s);
		close(s->p.ours);
		slot_peer_end(c, s, s->p, s->peer_closed);
	}
	st_check(c->reports > ROUNDS / 10 && c->closes > ROUNDS / 10,
	    "the churn does nothing: %ld reports, %ld closes", c->reports, c->closes);
	event_base_free(c->base);
	free(c);
}

static void t_churn(int unused)
{
	const char *chosen = getenv("STRESS_SEED");

	(void)unused;
	if (chosen) {
		churn_run(strtoull(chosen, NULL, 0));
		return;
	}
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		churn_run(seed);
}

static const struct st_case cases[] = {
    {"churn", t_churn, 0, 0},
    {NULL, NULL, 0, 0},
};

int main(int argc, char **argv)
{
	return st_main(argc, argv, cases);
}
