/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Races, run for a while: peers that write while events are being armed, threads that add and
 * delete beside a loop that does the same, signals that arrive while bases are freed, bases made
 * and freed side by side.
 *
 * There is nothing to wait for but the end, in most: what can go wrong is a lost event, a hang, or
 * what a sanitizer sees. A race that is lost now and then shows now and then; each scenario found
 * its bug within its time when the bug was there.
 */
#include "stress_common.h"

#include <pthread.h>

enum { RUN_MS = 1500 };

static _Atomic bool stop;

static pthread_t start(void *(*run)(void *), void *arg)
{
	pthread_t t;

	st_check(pthread_create(&t, NULL, run, arg) == 0, "pthread_create");
	return t;
}

static void join(pthread_t t, const char *what)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += ST_BOUND_S;
	if (pthread_timedjoin_np(t, NULL, &end))
		st_fail("%s never ended", what);
}

static void *dispatch_main(void *base)
{
	st_check(event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY) == 0, "the loop failed");
	return NULL;
}

static void nothing_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

static void stop_cb(evutil_socket_t fd, short what, void *base)
{
	(void)fd;
	(void)what;
	if (stop)
		event_base_loopbreak(base);
}

/* A timer in whose callback the loop ends once `stop` is true. */
static struct event *stop_watch(struct event_base *base)
{
	const struct timeval often = {0, 10000};
	struct event *ev = st_event_new(base, -1, EV_PERSIST, stop_cb, base);

	st_add(ev, &often);
	return ev;
}

/* --- edges --- */

enum { EDGES = 400, EDGE_ROUNDS = 150 };

struct edges {
	struct st_pair p[EDGES];
	struct event *ev[EDGES];
	bool got[EDGES];
	int n_got;
	struct event_base *base;
	_Atomic int round;   /* the writer's sign to begin */
	_Atomic int written; /* the last round that it has finished */
	_Atomic unsigned delay;
};

struct edge {
	struct edges *all;
	int i;
};

static void edge_cb(evutil_socket_t fd, short what, void *arg)
{
	struct edge *e = arg;

	if (!(what & EV_READ))
		return;
	st_drain(fd);
	if (e->all->got[e->i])
		return;
	e->all->got[e->i] = true;
	if (++e->all->n_got == EDGES)
		event_base_loopbreak(e->all->base);
}

static void *edge_writer(void *arg)
{
	struct edges *all = arg;

	for (int round = 1; round <= EDGE_ROUNDS; round++) {
		while (all->round != round)
			continue;
		for (unsigned n = all->delay; n; n--)
			__asm__ volatile("");
		for (int i = 0; i < EDGES; i++)
			st_put(all->p[i].peer);
		all->written = round;
	}
	return NULL;
}

static void edge_round(struct edges *all, int round)
{
	const struct timeval bound = {ST_BOUND_S, 0};
	struct event *guard = st_event_new(all->base, -1, 0, nothing_cb, NULL);

	memset(all->got, 0, sizeof(all->got));
	all->n_got = 0;
	for (int i = 0; i < EDGES; i++)
		st_add(all->ev[i], NULL);
	st_add(guard, &bound);
	all->round = round;
	while (all->n_got < EDGES && event_pending(guard, EV_TIMEOUT, NULL))
		st_check(event_base_loop(all->base, EVLOOP_ONCE) >= 0, "event_base_loop");
	st_check(all->n_got == EDGES, "round %d: %d edges are lost", round, EDGES - all->n_got);
	event_free(guard);
	for (int i = 0; i < EDGES; i++) {
		st_check(event_del(all->ev[i]) == 0, "event_del");
		st_drain(all->p[i].ours);
	}
	while (all->written != round)
		usleep(100);
}

/*
 * A writable socket that waits for both edges completes at once; what arrives just then is an edge
 * of its own. The base has no locks: a peer is no thread of the program's.
 */
static void t_edges(int what)
{
	static struct edges all;
	static struct edge edge[EDGES];
	uint64_t rnd = 0x9e3779b97f4a7c15ull;
	pthread_t writer;

	all.base = st_base_new();
	if (!(event_base_get_features(all.base) & EV_FEATURE_ET))
		st_skip("%s has no edges", event_base_get_method(all.base));
	st_check(setrlimit(RLIMIT_NOFILE, &(struct rlimit){2000, 2000}) == 0, "setrlimit");
	for (int i = 0; i < EDGES; i++) {
		edge[i] = (struct edge){&all, i};
		all.p[i] = st_socketpair();
		all.ev[i] = st_event_new(
		    all.base, all.p[i].ours, (short)(what | EV_ET | EV_PERSIST), edge_cb, &edge[i]);
	}
	writer = start(edge_writer, &all);
	for (int round = 1; round <= EDGE_ROUNDS; round++) {
		all.delay = st_below(&rnd, 200000);
		edge_round(&all, round);
	}
	join(writer, "the writer");
}

/* --- a thread that adds and deletes, beside a loop that changes what it waits for --- */

struct duel {
	struct event *mine, *theirs;
	bool on;
	_Atomic long rounds;
};

static void duel_cb(evutil_socket_t fd, short what, void *arg)
{
	struct duel *d = arg;

	(void)fd;
	(void)what;
	d->on = !d->on;
	st_check((d->on ? event_add(d->mine, NULL) : event_del(d->mine)) == 0, "in the loop");
}

static void *duel_main(void *arg)
{
	struct duel *d = arg;

	while (!stop) {
		st_check(event_add(d->theirs, NULL) == 0, "event_add");
		st_check(event_del(d->theirs) == 0, "event_del");
		d->rounds++;
	}
	return NULL;
}

static void fill(int fd)
{
	static const char block[4096];

	while (write(fd, block, sizeof(block)) > 0)
		continue;
}

/* Deleting waits for the loop to let go, which must come whatever the loop has to do. */
static void t_del_beside_changes(int unused)
{
	const struct timeval often = {0, 200};
	struct st_pair p = st_socketpair(), q = st_socketpair();
	struct duel d = {.rounds = 0};
	struct event_base *base;
	struct event *read, *tick, *end;
	pthread_t loop, other;
	int64_t until;

	(void)unused;
	st_check(evthread_use_pthreads() == 0, "evthread_use_pthreads");
	base = st_base_new();
	fill(p.ours);
	read = st_event_new(base, p.ours, EV_READ | EV_PERSIST, nothing_cb, NULL);
	d.mine = st_event_new(base, p.ours, EV_WRITE | EV_PERSIST, nothing_cb, NULL);
	d.theirs = st_event_new(base, q.ours, EV_READ | EV_PERSIST, nothing_cb, NULL);
	tick = st_event_new(base, -1, EV_PERSIST, duel_cb, &d);
	end = stop_watch(base);
	st_add(read, NULL);
	st_add(tick, &often);
	loop = start(dispatch_main, base);
	other = start(duel_main, &d);
	until = st_now_ms() + 2 * RUN_MS;
	while (st_now_ms() < until)
		usleep(10000);
	stop = true;
	join(other, "event_del");
	join(loop, "the loop");
	st_check(d.rounds > 10, "only %ld rounds", (long)d.rounds);
	event_free(read);
	event_free(d.mine);
	event_free(d.theirs);
	event_free(tick);
	event_free(end);
	event_base_free(base);
}

/* --- signals --- */

static void *spin_main(void *arg)
{
	(void)arg;
	while (!stop)
		continue;
	return NULL;
}

static void *kill_main(void *arg)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	while (!stop)
		pthread_kill(*(pthread_t *)arg, SIGUSR1);
	return NULL;
}

/* Signals hit another thread all the time, also while their base goes. */
static void t_signals_and_free(int unused)
{
	pthread_t target, killer;
	int64_t until = st_now_ms() + RUN_MS;
	int calls = 0, bases = 0;

	(void)unused;
	signal(SIGUSR1, SIG_IGN);
	st_check(evthread_use_pthreads() == 0, "evthread_use_pthreads");
	target = start(spin_main, NULL);
	killer = start(kill_main, &target);
	for (; st_now_ms() < until || bases < 10; bases++) {
		struct event_base *base = st_base_new();
		struct event *ev =
		    st_event_new(base, SIGUSR1, EV_SIGNAL | EV_PERSIST, st_count_cb, &calls);

		st_add(ev, NULL);
		st_pass(base);
		if (bases & 1)
			event_free(ev);
		event_base_free(base);
		if (!(bases & 1))
			st_forget(ev);
	}
	stop = true;
	join(killer, "the thread that sends signals");
	join(target, "the thread that gets them");
	st_check(calls > 0, "in the lives of %d bases no signal came", bases);
}

/* --- bases side by side --- */

static void *bases_main(void *arg)
{
	const struct timeval soon = {0, 100};
	int *count = arg;

	for (int i = 0; i < 20; i++) {
		struct event_base *base = st_base_new();
		struct st_pair p = st_socketpair();
		struct event *timer = st_event_new(base, -1, 0, st_count_cb, count);
		struct event *read = st_event_new(base, p.ours, EV_READ, st_count_cb, count);

		st_add(timer, &soon);
		st_add(read, NULL);
		st_put(p.peer);
		st_check(event_base_dispatch(base) == 1, "event_base_dispatch");
		event_free(timer);
		event_free(read);
		event_base_free(base);
		st_close_pair(&p);
	}
	return NULL;
}

/* locks: with evthread_use_pthreads; the threads have nothing in common in either case. */
static void t_bases_side_by_side(int locks)
{
	enum { THREADS = 3 };
	pthread_t t[THREADS];
	int count[THREADS] = {0};

	if (locks)
		st_check(evthread_use_pthreads() == 0, "evthread_use_pthreads");
	for (int i = 0; i < THREADS; i++)
		t[i] = start(bases_main, &count[i]);
	for (int i = 0; i < THREADS; i++) {
		join(t[i], "a thread with its own bases");
		st_check(count[i] == 40, "%d callbacks, not 40", count[i]);
	}
}

/* --- anything, from anywhere --- */

enum { PLACES = 64, HANDS = 3 };

struct place {
	pthread_mutex_t lock; /* of what follows; the loop's thread takes none */
	struct st_pair p;
	struct event *ev;
};

struct ground {
	struct event_base *base;
	struct place place[PLACES];
	_Atomic long calls;
};

struct hand {
	struct ground *g;
	pthread_t thread;
	uint64_t rnd;
	long rounds;
};

static void ground_cb(evutil_socket_t fd, short what, void *arg)
{
	struct ground *g = arg;
	char c[8];

	if (what & EV_READ)
		(void)!read(fd, c, sizeof(c));
	g->calls++;
}

/* A new file, mostly with the old one's number, and a new event. */
static void replace(struct ground *g, struct place *at, uint32_t chance)
{
	static const short what[] = {EV_READ, EV_READ | EV_PERSIST, EV_WRITE,
	    EV_READ | EV_ET | EV_PERSIST, EV_READ | EV_WRITE, EV_CLOSED | EV_READ};
	short w = what[chance % (sizeof(what) / sizeof(what[0]))];

	if (at->ev) {
		st_check(event_del(at->ev) == 0, "event_del");
		close(at->p.ours);
		st_check(st_peer_gone(at->p.peer), "the peer sees no end");
		close(at->p.peer);
		event_free(at->ev);
	}
	if (!(event_base_get_features(g->base) & EV_FEATURE_ET))
		w &= ~EV_ET;
	at->p = st_socketpair();
	at->ev = st_event_new(g->base, at->p.ours, w, ground_cb, g);
}

static void do_anything(struct hand *h, struct place *at)
{
	const struct timeval soon = {0, 500};

	switch (st_below(&h->rnd, 7)) {
	case 0:
	case 1:
		st_add(at->ev, st_below(&h->rnd, 2) ? &soon : NULL);
		break;
	case 2:
		st_check(event_del(at->ev) == 0, "event_del");
		break;
	case 3:
		event_active(at->ev, EV_TIMEOUT, 1);
		break;
	case 4:
		(void)!write(at->p.peer, "x", 1);
		break;
	case 5:
		replace(h->g, at, st_random(&h->rnd));
		break;
	default:
		event_pending(at->ev, EV_READ, NULL);
		break;
	}
}

static void *hand_main(void *arg)
{
	struct hand *h = arg;

	for (; !stop; h->rounds++) {
		struct place *at = &h->g->place[st_below(&h->rnd, PLACES)];

		pthread_mutex_lock(&at->lock);
		do_anything(h, at);
		pthread_mutex_unlock(&at->lock);
	}
	return NULL;
}

static void t_anything(int unused)
{
	struct ground g = {.calls = 0};
	struct hand hand[HANDS];
	struct event *end;
	pthread_t loop;

	(void)unused;
	st_check(evthread_use_pthreads() == 0, "evthread_use_pthreads");
	g.base = st_base_new();
	for (int i = 0; i < PLACES; i++) {
		pthread_mutex_init(&g.place[i].lock, NULL);
		replace(&g, &g.place[i], 1);
	}
	end = stop_watch(g.base);
	loop = start(dispatch_main, g.base);
	for (int i = 0; i < HANDS; i++) {
		hand[i] = (struct hand){&g, 0, 0x9e3779b97f4a7c15ull * (unsigned)(i + 1), 0};
		hand[i].thread = start(hand_main, &hand[i]);
	}
	usleep(2 * RUN_MS * 1000);
	stop = true;
	for (int i = 0; i < HANDS; i++) {
		join(hand[i].thread, "a thread that adds and deletes");
		st_check(hand[i].rounds > 10, "only %ld rounds", hand[i].rounds);
	}
	join(loop, "the loop");
	st_check(g.calls > 0, "no callback at all");
	for (int i = 0; i < PLACES; i++) {
		event_free(g.place[i].ev);
		st_close_pair(&g.place[i].p);
	}
	event_free(end);
	st_check(event_base_get_num_events(g.base, EVENT_BASE_COUNT_ADDED) == 0, "%d events left",
	    event_base_get_num_events(g.base, EVENT_BASE_COUNT_ADDED));
	event_base_free(g.base);
}

static const struct st_case cases[] = {
    {"edges_while_arming", t_edges, EV_READ, 0},
    {"edges_of_both_kinds_while_arming", t_edges, EV_READ | EV_WRITE, 0},
    {"del_beside_changes_in_the_loop", t_del_beside_changes, 0, 0},
    {"signals_while_bases_are_freed", t_signals_and_free, 0, 0},
    {"bases_side_by_side", t_bases_side_by_side, 1, 0},
    {"bases_side_by_side_without_locks", t_bases_side_by_side, 0, 0},
    {"anything_from_anywhere", t_anything, 0, 0},
    {NULL, NULL, 0, 0},
};

int main(int argc, char **argv)
{
	return st_main(argc, argv, cases);
}
