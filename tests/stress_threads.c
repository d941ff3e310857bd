/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Many threads and one base. A base is made in one thread and looped in another, events are added,
 * deleted and activated from anywhere while it runs, and the loop may move from thread to thread.
 *
 * An io_uring ring belongs to the thread that enabled it, so every call from elsewhere has to be
 * handed over or has to wake the owner, and an event_del still has to have reached the kernel when
 * it returns. Three bugs of stock 2.1.12 have a scenario each; see the marks in the table.
 *
 * Threads meet through semaphores with a bound; nothing depends on who is faster.
 */
#include "stress_common.h"

#include <pthread.h>
#include <semaphore.h>

static const struct timeval long_time = {3600, 0};

/* --- meeting --- */

static void meet(sem_t *sem, const char *what)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += ST_BOUND_S;
	while (sem_timedwait(sem, &end))
		if (errno != EINTR)
			st_fail("%s never happened", what);
}

static void post_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	sem_post(arg);
}

static void drain_post_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)what;
	st_drain(fd);
	sem_post(arg);
}

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

/* --- a loop in a thread of its own --- */

struct looper {
	struct event_base *base;
	pthread_t thread;
	int flags, result;
	sem_t inside; /* posted by a callback: the loop has been entered */
};

static void *loop_main(void *arg)
{
	struct looper *l = arg;

	l->result = event_base_loop(l->base, l->flags);
	return NULL;
}

/* Returns when the loop has been entered, so that a loopbreak cannot come too early. */
static void looper_start(struct looper *l, struct event_base *base, int flags)
{
	const struct timeval zero = {0, 0};

	l->base = base;
	l->flags = flags;
	l->result = -100;
	sem_init(&l->inside, 0, 0);
	st_check(event_base_once(base, -1, EV_TIMEOUT, post_cb, &l->inside, &zero) == 0,
	    "event_base_once");
	l->thread = start(loop_main, l);
	meet(&l->inside, "the first callback of the loop");
}

static void looper_join(struct looper *l)
{
	join(l->thread, "the loop");
	sem_destroy(&l->inside);
}

static void looper_stop(struct looper *l)
{
	st_check(event_base_loopbreak(l->base) == 0, "event_base_loopbreak");
	looper_join(l);
	st_check(l->result == 0, "the loop returned %d", l->result);
}

static struct event_base *locked_base(void)
{
	st_check(evthread_use_pthreads() == 0, "evthread_use_pthreads");
	return st_base_new();
}

/* --- waking --- */

enum { WAKES = 200 };

/* how: 0 loopbreak, 1 loopexit, 2 event_active, 3 a new timer, 4 a new fd event that is ready. */
static void t_wake(int how)
{
	const struct timeval soon = {0, 1000};
	struct event_base *base = locked_base();
	struct st_pair p = st_socketpair();
	struct looper l;
	sem_t hit;
	struct event *far = st_event_new(base, -1, EV_PERSIST, post_cb, &hit);
	struct event *ev;

	sem_init(&hit, 0, 0);
	st_add(far, &long_time);
	for (int i = 0; i < WAKES; i++) {
		looper_start(&l, base, 0);
		if (i % 4 == 0)
			usleep(2000); /* let it fall asleep; both ways must work */
		if (how == 0) {
			looper_stop(&l);
			continue;
		}
		if (how == 1) {
			st_check(event_base_loopexit(base, i & 1 ? &soon : NULL) == 0, "loopexit");
			looper_join(&l);
			continue;
		}
		ev = st_event_new(
		    base, how == 4 ? p.ours : -1, how == 4 ? EV_WRITE : 0, post_cb, &hit);
		if (how == 2)
			event_active(ev, EV_READ, 1);
		else
			st_add(ev, how == 3 ? &soon : NULL);
		meet(&hit, "what another thread asked for");
		looper_stop(&l);
		event_free(ev);
	}
	event_free(far);
	st_close_pair(&p);
	event_base_free(base);
}

/*
 * Another thread takes the last event away: the loop has nothing to do and must say so. how: 0 a
 * timer, 1 an interval, 2 a read, 3 a timer with a common timeout, 4 a read with a timeout.
 */
static void t_empty(int how)
{
	struct event_base *base = locked_base();
	struct st_pair p = st_socketpair();
	struct looper l;
	sem_t never;
	struct event *ev;
	const struct timeval *tv = &long_time;

	sem_init(&never, 0, 0);
	if (how == 0 || how == 3)
		ev = st_event_new(base, -1, 0, post_cb, &never);
	else if (how == 1)
		ev = st_event_new(base, -1, EV_PERSIST, post_cb, &never);
	else
		ev = st_event_new(base, p.ours, EV_READ | EV_PERSIST, post_cb, &never);
	if (how == 2)
		tv = NULL;
	if (how == 3)
		tv = event_base_init_common_timeout(base, &long_time);
	st_add(ev, tv);
	looper_start(&l, base, 0);
	usleep(20000);
	st_check(event_del(ev) == 0, "event_del");
	looper_join(&l);
	st_check(l.result == 1, "an empty loop returned %d", l.result);
	event_free(ev);
	st_close_pair(&p);
	event_base_free(base);
}

/* --- event_del waits for the callback --- */

struct slow {
	sem_t running, release;
	int done;
};

static void slow_cb(evutil_socket_t fd, short what, void *arg)
{
	struct slow *s = arg;

	(void)fd;
	(void)what;
	sem_post(&s->running);
	meet(&s->release, "the release of the callback");
	usleep(20000);
	__atomic_store_n(&s->done, 1, __ATOMIC_SEQ_CST);
}

static void *release_main(void *arg)
{
	struct slow *s = arg;

	usleep(20000);
	sem_post(&s->release);
	return NULL;
}

/* how: 0 event_del, 1 event_del_block of an EV_FINALIZE event, 2 event_del_noblock. */
static void t_del_waits(int how)
{
	struct event_base *base = locked_base();

	for (int round = 0; round < 10; round++) {
		struct slow s = {.done = 0};
		struct looper l;
		pthread_t helper;
		struct event *ev = st_event_new(base, -1, how == 1 ? EV_FINALIZE : 0, slow_cb, &s);

		sem_init(&s.running, 0, 0);
		sem_init(&s.release, 0, 0);
		looper_start(&l, base, EVLOOP_NO_EXIT_ON_EMPTY);
		event_active(ev, EV_READ, 1);
		meet(&s.running, "the callback");
		if (how == 2) {
			st_check(event_del_noblock(ev) == 0, "event_del_noblock");
			st_check(!__atomic_load_n(&s.done, __ATOMIC_SEQ_CST),
			    "event_del_noblock waited");
			sem_post(&s.release);
		} else {
			helper = start(release_main, &s);
			st_check((how ? event_del_block(ev) : event_del(ev)) == 0, "event_del");
			st_check(__atomic_load_n(&s.done, __ATOMIC_SEQ_CST),
			    "event_del came back while the callback was running");
			join(helper, "the helper");
		}
		looper_stop(&l);
		event_free(ev);
	}
	event_base_free(base);
}

/* --- close from another thread --- */

/*
 * The loop sleeps; this thread deletes and closes. order: 0 event_del then close, 1 close first.
 * The event was added before the loop began (armed by the loop), or just now from here, and may be
 * deleted before the loop has seen it at all.
 */
static void t_close_while_asleep(int order)
{
	struct event_base *base = locked_base();
	struct looper l;
	sem_t hit;

	sem_init(&hit, 0, 0);
	looper_start(&l, base, EVLOOP_NO_EXIT_ON_EMPTY);
	for (int i = 0; i < 600; i++) {
		struct st_pair p = st_socketpair();
		struct event *ev =
		    st_event_new(base, p.ours, EV_READ | EV_PERSIST, drain_post_cb, &hit);

		st_add(ev, NULL);
		if (i % 3 == 0) {
			st_put(p.peer);
			meet(&hit, "a read");
		} else if (i % 3 == 1) {
			usleep(200);
		}
		if (order) {
			close(p.ours);
			event_del(ev);
		} else {
			st_check(event_del(ev) == 0, "event_del");
			close(p.ours);
		}
		st_check(st_peer_gone(p.peer), "round %d: the peer sees no end (%s)", i,
		    event_base_get_method(base));
		close(p.peer);
		event_free(ev);
	}
	/* poll(2) reports a number that is closed while it waits, as stock's poll method does. */
	st_check(
	    sem_trywait(&hit) < 0 || (order && st_method_is(base, "poll")), "a stale callback");
	looper_stop(&l);
	event_base_free(base);
}

/* --- a loop that moves --- */

struct mover {
	struct event_base *base;
	sem_t go, idle, bye;
	bool stay; /* the thread lives on, idle, after its turn */
};

static void *turn_main(void *arg)
{
	struct mover *m = arg;

	st_check(event_base_loop(m->base, 0) >= 0, "event_base_loop");
	sem_post(&m->idle);
	if (m->stay)
		meet(&m->bye, "the farewell");
	return NULL;
}

struct cargo {
	struct event_base *base;
	int reads, edges, ticks, signals, total, want;
};

static void cargo_hit(struct cargo *c)
{
	if (++c->total == c->want)
		event_base_loopexit(c->base, NULL);
}

static void cargo_read_cb(evutil_socket_t fd, short what, void *arg)
{
	struct cargo *c = arg;

	st_drain(fd);
	if (what & EV_ET)
		c->edges++;
	else
		c->reads++;
	cargo_hit(c);
}

static void cargo_other_cb(evutil_socket_t fd, short what, void *arg)
{
	struct cargo *c = arg;

	(void)fd;
	if (what & EV_SIGNAL)
		c->signals++;
	else
		c->ticks++;
	cargo_hit(c);
}

/*
 * Each turn of the loop is taken by another thread, with events that stay armed from turn to turn:
 * a level and an edge read, a signal, and a timer that was set in the thread before. stay: the
 * threads that looped before are alive and idle, or have exited, and the last turns are taken by
 * the first thread of all.
 */
static void t_moves(int stay)
{
	enum { TURNS = 30 };
	const struct timeval soon = {0, 3000};
	struct event_base *base = locked_base();
	struct cargo c = {.base = base};
	struct st_pair p = st_socketpair(), q = st_socketpair();
	short et = event_base_get_features(base) & EV_FEATURE_ET ? EV_ET : 0;
	struct event *r = st_event_new(base, p.ours, EV_READ | EV_PERSIST, cargo_read_cb, &c);
	struct event *e =
	    st_event_new(base, q.ours, (short)(EV_READ | EV_PERSIST | et), cargo_read_cb, &c);
	struct event *s = st_event_new(base, SIGUSR1, EV_SIGNAL | EV_PERSIST, cargo_other_cb, &c);
	struct event *t = st_event_new(base, -1, 0, cargo_other_cb, &c);
	struct mover m[TURNS];
	pthread_t thread[TURNS];

	st_add(r, NULL);
	st_add(e, NULL);
	st_add(s, NULL);
	for (int i = 0; i < TURNS; i++) {
		m[i] = (struct mover){.base = base, .stay = stay};
		sem_init(&m[i].idle, 0, 0);
		sem_init(&m[i].bye, 0, 0);
		st_add(t, &soon);
		c.want = c.total + 4;
		if (i & 1) { /* before anybody loops, or meanwhile */
			st_put(p.peer);
			st_put(q.peer);
			kill(getpid(), SIGUSR1);
		}
		if (i % 6 == 5) {
			turn_main(&(struct mover){.base = base});
			thread[i] = pthread_self();
			continue;
		}
		thread[i] = start(turn_main, &m[i]);
		if (!(i & 1)) {
			st_put(p.peer);
			st_put(q.peer);
			kill(getpid(), SIGUSR1);
		}
		meet(&m[i].idle, "the end of a turn");
		st_check(c.reads + c.edges == 2 * (i + 1) && c.ticks == i + 1 && c.signals == i + 1,
		    "turn %d: %d reads, %d edges, %d ticks, %d signals", i, c.reads, c.edges,
		    c.ticks, c.signals);
		if (!stay)
			join(thread[i], "a turn");
	}
	for (int i = 0; stay && i < TURNS; i++) {
		if (pthread_equal(thread[i], pthread_self()))
			continue;
		sem_post(&m[i].bye);
		join(thread[i], "a turn");
	}
	event_free(r);
	event_free(e);
	event_free(s);
	event_free(t);
	st_close_pair(&p);
	st_close_pair(&q);
	event_base_free(base);
}

/* how: 0 event_del + close, 1 close + event_del, 2 event_base_free + close; +8: the looper is
 * alive. */
static void t_close_between_turns(int how)
{
	struct event_base *base = locked_base();
	struct st_pair p = st_socketpair();
	struct mover m = {.base = base, .stay = how & 8};
	int calls = 0;
	struct event *ev = st_event_new(base, p.ours, EV_READ | EV_PERSIST, st_count_cb, &calls);
	pthread_t thread;

	sem_init(&m.idle, 0, 0);
	sem_init(&m.bye, 0, 0);
	st_add(ev, NULL);
	st_check(event_base_loopexit(base, &(struct timeval){0, 20000}) == 0, "loopexit");
	thread = start(turn_main, &m);
	meet(&m.idle, "the end of the turn");
	if (!m.stay)
		join(thread, "the turn");
	if ((how & 3) == 1)
		close(p.ours);
	if ((how & 3) == 2)
		event_base_free(base);
	else
		event_del(ev);
	if ((how & 3) != 1)
		close(p.ours);
	st_check(st_peer_gone(p.peer), "the peer sees no end");
	if ((how & 3) != 2) {
		st_passes(base, 3);
		st_workout(base);
		event_free(ev);
		event_base_free(base);
	} else {
		st_forget(ev);
	}
	st_check(calls == 0, "a stale callback");
	if (m.stay) {
		sem_post(&m.bye);
		join(thread, "the looper");
	}
	close(p.peer);
}

/* --- everybody at once --- */

enum { WORKERS = 4, WORK_ROUNDS = 1000 };

struct worker {
	struct event_base *base;
	pthread_t thread;
	sem_t hit;
	uint64_t rnd;
	long reads, timers, activations, closes;
};

static void work_read(struct worker *w)
{
	struct st_pair p = st_socketpair();
	short what = st_below(&w->rnd, 2) ? EV_READ | EV_PERSIST : EV_READ;
	struct event *ev = st_event_new(w->base, p.ours, what, drain_post_cb, &w->hit);
	bool early = st_below(&w->rnd, 2);

	if (early)
		st_put(p.peer);
	st_add(ev, st_below(&w->rnd, 2) ? &long_time : NULL);
	if (!early)
		st_put(p.peer);
	meet(&w->hit, "a read");
	st_check(event_del(ev) == 0, "event_del");
	close(p.ours);
	st_check(st_peer_gone(p.peer), "the peer sees no end");
	close(p.peer);
	event_free(ev);
	w->reads++;
}

static void work_timer(struct worker *w)
{
	const struct timeval soon = {0, (suseconds_t)st_below(&w->rnd, 3000)};
	struct event *ev = st_event_new(w->base, -1, 0, post_cb, &w->hit);

	st_add(ev, &long_time);
	st_add(ev, &soon);
	meet(&w->hit, "a timeout");
	event_free(ev);
	w->timers++;
}

static void work_activate(struct worker *w)
{
	struct event *ev = st_event_new(w->base, -1, EV_PERSIST, post_cb, &w->hit);

	event_active(ev, EV_READ, 1);
	meet(&w->hit, "an activation");
	event_free(ev);
	w->activations++;
}

/*
 * Added and gone again before, while or after the loop hears of it. Never closed first here:
 * another thread would get the number, and its event would meet this one.
 */
static void work_close(struct worker *w)
{
	struct st_pair p = st_socketpair();
	struct event *ev =
	    st_event_new(w->base, p.ours, EV_READ | EV_PERSIST, drain_post_cb, &w->hit);

	st_add(ev, NULL);
	event_free(ev);
	close(p.ours);
	st_check(st_peer_gone(p.peer), "the peer sees no end");
	close(p.peer);
	w->closes++;
}

static void *work_main(void *arg)
{
	struct worker *w = arg;

	for (int i = 0; i < WORK_ROUNDS; i++) {
		switch (st_below(&w->rnd, 8)) {
		case 0:
			work_timer(w);
			break;
		case 1:
		case 2:
			work_activate(w);
			break;
		case 3:
		case 4:
			work_close(w);
			break;
		default:
			work_read(w);
			break;
		}
		st_check(sem_trywait(&w->hit) < 0, "a callback too many");
	}
	return NULL;
}

/* Made here, looped in B, worked on from C to F; moving: the loop also changes threads meanwhile.
 */
static void t_workers(int moving)
{
	struct event_base *base = locked_base();
	struct worker w[WORKERS];
	struct looper l;

	looper_start(&l, base, EVLOOP_NO_EXIT_ON_EMPTY);
	for (int i = 0; i < WORKERS; i++) {
		w[i] = (struct worker){.base = base, .rnd = 0x9e3779b97f4a7c15ull * (i + 1)};
		sem_init(&w[i].hit, 0, 0);
		w[i].thread = start(work_main, &w[i]);
	}
	for (int i = 0; moving && i < 40; i++) {
		usleep(3000);
		looper_stop(&l);
		looper_start(&l, base, EVLOOP_NO_EXIT_ON_EMPTY);
	}
	for (int i = 0; i < WORKERS; i++) {
		st_check(pthread_join(w[i].thread, NULL) == 0, "pthread_join");
		st_check(w[i].reads + w[i].timers + w[i].activations + w[i].closes == WORK_ROUNDS,
		    "the rounds do not add up");
	}
	looper_stop(&l);
	st_check(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED) == 0, "%d events left",
	    event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED));
	event_base_free(base);
}

/* Many threads hammer one event; after the last activation it runs at least once more. */
struct hammer {
	struct event *ev;
	int sent, seen; /* how many activations; the last value of `sent` a callback has seen */
	int times;
};

static void hammer_cb(evutil_socket_t fd, short what, void *arg)
{
	struct hammer *h = arg;

	(void)fd;
	(void)what;
	__atomic_store_n(&h->seen, __atomic_load_n(&h->sent, __ATOMIC_SEQ_CST), __ATOMIC_SEQ_CST);
}

static void *hammer_main(void *arg)
{
	struct hammer *h = arg;

	for (int i = 0; i < h->times; i++) {
		__atomic_add_fetch(&h->sent, 1, __ATOMIC_SEQ_CST);
		event_active(h->ev, EV_READ, 1);
	}
	return NULL;
}

static void t_hammer(int unused)
{
	struct event_base *base = locked_base();
	struct hammer h = {.times = 20000};
	pthread_t t[WORKERS];
	struct looper l;
	int64_t end;

	(void)unused;
	h.ev = st_event_new(base, -1, EV_PERSIST, hammer_cb, &h);
	looper_start(&l, base, EVLOOP_NO_EXIT_ON_EMPTY);
	for (int i = 0; i < WORKERS; i++)
		t[i] = start(hammer_main, &h);
	for (int i = 0; i < WORKERS; i++)
		join(t[i], "a hammer");
	end = st_now_ms() + ST_BOUND_S * 1000;
	while (__atomic_load_n(&h.seen, __ATOMIC_SEQ_CST) != WORKERS * h.times) {
		st_check(st_now_ms() < end, "the last activation was lost");
		usleep(1000);
	}
	looper_stop(&l);
	event_free(h.ev);
	event_base_free(base);
}

/* A signal event that another thread adds to a sleeping loop. */
static void t_signal_from_thread(int unused)
{
	struct event_base *base = locked_base();
	struct looper l;
	sem_t hit;
	struct event *ev = st_event_new(base, SIGUSR1, EV_SIGNAL | EV_PERSIST, post_cb, &hit);

	(void)unused;
	sem_init(&hit, 0, 0);
	looper_start(&l, base, EVLOOP_NO_EXIT_ON_EMPTY);
	for (int i = 0; i < 50; i++) {
		st_add(ev, NULL);
		kill(getpid(), SIGUSR1);
		meet(&hit, "the signal");
		st_check(event_del(ev) == 0, "event_del");
	}
	looper_stop(&l);
	event_free(ev);
	event_base_free(base);
}

/* --- bugs of 2.1.12 --- */

static void note_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	*(int *)arg |= what;
}

/* libevent issue 1530: a timeout must add to what an active event already has to report. */
static void t_1530_alone(int unused)
{
	const struct timeval soon = {0, 1000};
	struct event_base *base = locked_base();
	int seen = 0;
	struct event *ev = st_event_new(base, -1, EV_PERSIST, note_cb, &seen);

	(void)unused;
	st_add(ev, &soon);
	event_active(ev, EV_WRITE, 1);
	usleep(50000);
	st_pass(base);
	st_check(seen & EV_WRITE, "only 0x%x was reported, the activation is lost", (unsigned)seen);
	st_check(seen & EV_TIMEOUT, "only 0x%x was reported, the timeout is lost", (unsigned)seen);
	event_free(ev);
	event_base_free(base);
}

struct lossy {
	sem_t hit;
	int writes;
};

static void lossy_cb(evutil_socket_t fd, short what, void *arg)
{
	struct lossy *s = arg;

	(void)fd;
	if (!(what & EV_WRITE))
		return;
	s->writes++;
	sem_post(&s->hit);
}

/* The same as it was reported: one thread activates while timeouts fire in the loop. */
static void t_1530_threads(int unused)
{
	const struct timeval often = {0, 100};
	struct event_base *base = locked_base();
	struct lossy s = {.writes = 0};
	struct looper l;
	struct event *ev = st_event_new(base, -1, EV_PERSIST, lossy_cb, &s);

	(void)unused;
	sem_init(&s.hit, 0, 0);
	st_add(ev, &often);
	looper_start(&l, base, 0);
	for (int i = 0; i < 20000; i++) {
		event_active(ev, EV_WRITE, 1);
		meet(&s.hit, "the callback of an activation");
	}
	looper_stop(&l);
	event_free(ev);
	event_base_free(base);
}

static void *use_base_main(void *arg)
{
	struct looper *l = arg;
	struct event *ev = st_event_new(l->base, -1, 0, post_cb, &l->inside);

	event_active(ev, EV_READ, 1);
	sem_post(&l->inside);
	event_base_get_num_events(l->base, EVENT_BASE_COUNT_ADDED);
	event_del(ev);
	event_free(ev);
	sem_post(&l->inside);
	return NULL;
}

/* A once-event that cannot be added must not keep the base's lock. */
static void t_once_fails(int unused)
{
	struct looper l = {.base = locked_base()};
	int calls = 0;

	(void)unused;
	sem_init(&l.inside, 0, 0);
	st_check(event_base_once(l.base, INT_MAX, EV_READ, st_count_cb, &calls, NULL) == -1,
	    "a file number that cannot exist was added");
	l.thread = start(use_base_main, &l);
	meet(&l.inside, "an event_active in another thread");
	meet(&l.inside, "the base's lock in another thread");
	join(l.thread, "the user of the base");
	st_passes(l.base, 2);
	st_check(calls == 0, "called");
	event_base_free(l.base);
}

static const struct st_case cases[] = {
    {"loopbreak_wakes", t_wake, 0, 0},
    {"loopexit_wakes", t_wake, 1, 0},
    {"active_wakes", t_wake, 2, 0},
    {"timer_wakes", t_wake, 3, 0},
    {"fd_event_wakes", t_wake, 4, 0},
    {"last_fd_event_removed", t_empty, 2, 0},
    {"del_waits_for_callback", t_del_waits, 0, 0},
    {"del_block_waits_for_callback", t_del_waits, 1, 0},
    {"del_noblock_does_not_wait", t_del_waits, 2, 0},
    {"del_close_while_loop_sleeps", t_close_while_asleep, 0, 0},
    {"close_del_while_loop_sleeps", t_close_while_asleep, 1, 0},
    {"loop_moves_threads_exit", t_moves, 0, 0},
    {"loop_moves_threads_stay", t_moves, 1, 0},
    {"del_close_between_turns_looper_gone", t_close_between_turns, 0, 0},
    {"close_del_between_turns_looper_gone", t_close_between_turns, 1, 0},
    {"base_free_between_turns_looper_gone", t_close_between_turns, 2, 0},
    {"del_close_between_turns_looper_idle", t_close_between_turns, 8, 0},
    {"close_del_between_turns_looper_idle", t_close_between_turns, 9, 0},
    {"base_free_between_turns_looper_idle", t_close_between_turns, 10, 0},
    {"workers", t_workers, 0, 0},
    {"workers_and_moving_loop", t_workers, 1, 0},
    {"hammer_one_event", t_hammer, 0, 0},
    {"signal_added_by_thread", t_signal_from_thread, 0, 0},
    {"issue_1530_alone", t_1530_alone, 0, ST_STOCK_FAILS},
    {"issue_1530_threads", t_1530_threads, 0, ST_STOCK_FAILS},
    {"issue_1727_only_timer_removed", t_empty, 0, ST_STOCK_FAILS},
    {"issue_1727_only_interval_removed", t_empty, 1, ST_STOCK_FAILS},
    {"issue_1727_only_common_timeout_removed", t_empty, 3, ST_STOCK_FAILS},
    {"issue_1727_read_with_timeout_removed", t_empty, 4, 0},
    {"once_fails_with_lock_free", t_once_fails, 0, ST_STOCK_FAILS},
    {NULL, NULL, 0, 0},
};

int main(int argc, char **argv)
{
	return st_main(argc, argv, cases);
}
