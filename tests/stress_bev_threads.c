/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bufferevents and listeners that several threads use while another one loops.
 *
 * A thread that does not loop cannot stop what the kernel does by itself; it asks the owner and
 * waits. What may go wrong is what happens between two moments: the owner enters the kernel,
 * another thread takes the fd away, the owner comes back. So some scenarios bring locks of their
 * own that let the other threads go first at every unlock, which makes such moments long.
 *
 * Every byte is checked: an echo has to come back whole, in order, and once.
 */
#include "stress_common.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>

enum {
	SAFE = BEV_OPT_THREADSAFE | BEV_OPT_CLOSE_ON_FREE,
	DEFER = BEV_OPT_DEFER_CALLBACKS,
	UNLOCK = BEV_OPT_DEFER_CALLBACKS | BEV_OPT_UNLOCK_CALLBACKS,
	YIELDING = 1 << 16, /* with the locks below */
};

extern void __asan_init(void) __attribute__((weak));
extern void __tsan_init(void) __attribute__((weak));

/* Sanitizers make everything slower. */
static int rounds(int n)
{
	return __asan_init || __tsan_init ? n / 4 : n;
}

/* --- locks that let others go first --- */

static unsigned yield_one_in = 16;

static void let_others(void)
{
	static __thread uint64_t rnd;

	if (!rnd)
		rnd = (uint64_t)(uintptr_t)&rnd | 1;
	if (st_below(&rnd, yield_one_in) == 0)
		usleep(st_below(&rnd, 60));
}

static void *lock_alloc(unsigned type)
{
	pthread_mutex_t *m = malloc(sizeof(*m));
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	if (type & EVTHREAD_LOCKTYPE_RECURSIVE)
		pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(m, &attr);
	return m;
}

static void lock_free(void *lock, unsigned type)
{
	(void)type;
	pthread_mutex_destroy(lock);
	free(lock);
}

static int lock_take(unsigned mode, void *lock)
{
	return mode & EVTHREAD_TRY ? pthread_mutex_trylock(lock) : pthread_mutex_lock(lock);
}

static int lock_give(unsigned mode, void *lock)
{
	int r = pthread_mutex_unlock(lock);

	(void)mode;
	let_others();
	return r;
}

static void *cond_alloc(unsigned type)
{
	pthread_cond_t *c = malloc(sizeof(*c));

	(void)type;
	pthread_cond_init(c, NULL);
	return c;
}

static void cond_free(void *cond)
{
	pthread_cond_destroy(cond);
	free(cond);
}

static int cond_signal(void *cond, int broadcast)
{
	return broadcast ? pthread_cond_broadcast(cond) : pthread_cond_signal(cond);
}

/* Nobody waits with a timeout. */
static int cond_wait(void *cond, void *lock, const struct timeval *tv)
{
	(void)tv;
	return pthread_cond_wait(cond, lock);
}

static unsigned long thread_id(void)
{
	return (unsigned long)pthread_self();
}

static void use_yielding_locks(void)
{
	static const struct evthread_lock_callbacks locks = {
	    .lock_api_version = EVTHREAD_LOCK_API_VERSION,
	    .supported_locktypes = EVTHREAD_LOCKTYPE_RECURSIVE,
	    .alloc = lock_alloc,
	    .free = lock_free,
	    .lock = lock_take,
	    .unlock = lock_give,
	};
	static const struct evthread_condition_callbacks conds = {
	    .condition_api_version = EVTHREAD_CONDITION_API_VERSION,
	    .alloc_condition = cond_alloc,
	    .free_condition = cond_free,
	    .signal_condition = cond_signal,
	    .wait_condition = cond_wait,
	};

	if (getenv("STRESS_LOCKS") || getenv("STRESS_DEBUG_LOCKS"))
		st_skip("other locks are asked for");
	st_check(evthread_set_lock_callbacks(&locks) == 0, "evthread_set_lock_callbacks");
	st_check(evthread_set_condition_callbacks(&conds) == 0, "set_condition_callbacks");
	evthread_set_id_callback(thread_id);
}

/* --- threads --- */

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
	end.tv_sec += 4 * ST_BOUND_S;
	if (pthread_timedjoin_np(t, NULL, &end))
		st_fail("%s never ended", what);
}

static void *loop_main(void *base)
{
	st_check(event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY) == 0, "event_base_loop");
	return NULL;
}

static void post_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	sem_post(arg);
}

/* Returns when the loop runs, so that a loopbreak cannot come too early. */
static pthread_t loop_start(struct event_base *base)
{
	sem_t inside;
	pthread_t t;

	sem_init(&inside, 0, 0);
	st_check(event_base_once(base, -1, EV_TIMEOUT, post_cb, &inside, NULL) == 0, "once");
	t = start(loop_main, base);
	while (sem_wait(&inside))
		continue;
	sem_destroy(&inside);
	return t;
}

static void loop_stop(struct event_base *base, pthread_t t)
{
	st_check(event_base_loopbreak(base) == 0, "event_base_loopbreak");
	join(t, "the loop");
}

static struct event_base *locked_base(int options)
{
	if (options & YIELDING)
		use_yielding_locks();
	else
		st_check(evthread_use_pthreads() == 0, "evthread_use_pthreads");
	return st_base_new();
}

/* --- an echo whose every byte is known --- */

static void echo_cb(struct bufferevent *bev, void *arg)
{
	(void)arg;
	st_check(bufferevent_write_buffer(bev, bufferevent_get_input(bev)) == 0, "write_buffer");
}

/* What the program triggers itself. */
enum { MADE_UP = 0x4000 };

static void no_event_cb(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	(void)arg;
	st_check(what == MADE_UP, "an event 0x%x: %s", (unsigned)what, strerror(errno));
}

static struct bufferevent *echo_new(struct event_base *base, int fd, int options)
{
	struct bufferevent *bev =
	    bufferevent_socket_new(base, fd, (enum bufferevent_options)(SAFE | options));

	st_check(bev, "bufferevent_socket_new");
	bufferevent_setcb(bev, echo_cb, NULL, no_event_cb, NULL);
	st_check(bufferevent_enable(bev, EV_READ | EV_WRITE) == 0, "bufferevent_enable");
	return bev;
}

struct stream {
	int fd;
	uint32_t out, in;
};

static unsigned char byte_at(uint32_t i)
{
	return (unsigned char)(i * 7 + (i >> 8));
}

/* As much as the socket takes of n bytes. */
static void stream_put(struct stream *s, unsigned n)
{
	unsigned char buf[8192];
	ssize_t r;

	for (unsigned i = 0; i < n; i++)
		buf[i] = byte_at(s->out + i);
	r = write(s->fd, buf, n);
	st_check(r > 0 || errno == EAGAIN, "write: %s", strerror(errno));
	s->out += r > 0 ? (uint32_t)r : 0;
}

static bool stream_get(struct stream *s)
{
	unsigned char buf[8192];
	ssize_t r = read(s->fd, buf, sizeof(buf));

	st_check(r > 0 || (r < 0 && errno == EAGAIN), "read: %zd, %s", r, strerror(errno));
	for (ssize_t i = 0; i < r; i++)
		st_check(buf[i] == byte_at(s->in + (uint32_t)i), "byte %u is wrong",
		    s->in + (unsigned)i);
	s->in += r > 0 ? (uint32_t)r : 0;
	return r > 0;
}

static void stream_get_all(struct stream *s, struct bufferevent *bev)
{
	int64_t end = st_now_ms() + ST_BOUND_S * 1000;

	while (s->in != s->out) {
		struct pollfd pfd = {.fd = s->fd, .events = POLLIN};

		if (stream_get(s))
			continue;
		st_check(st_now_ms() < end,
		    "of %u bytes %u came back; %zu are in the input, %zu in the output", s->out,
		    s->in, evbuffer_get_length(bufferevent_get_input(bev)),
		    evbuffer_get_length(bufferevent_get_output(bev)));
		poll(&pfd, 1, 50);
	}
}

/* --- a write from another thread wakes the loop --- */

static void t_wake(int options)
{
	struct event_base *base = locked_base(options);
	pthread_t loop = loop_start(base);
	struct st_pair p = st_socketpair();
	struct bufferevent *bev = echo_new(base, p.ours, options & UNLOCK);
	int n = rounds(1000);

	for (int i = 0; i < n; i++) {
		struct pollfd pfd = {.fd = p.peer, .events = POLLIN};
		char c;

		if (i % 4 == 0)
			usleep(500);
		st_check(bufferevent_write(bev, "w", 1) == 0, "bufferevent_write");
		st_check(poll(&pfd, 1, ST_BOUND_S * 1000) == 1, "write %d is not sent", i);
		st_check(read(p.peer, &c, 1) == 1 && c == 'w', "not what was written");
	}
	bufferevent_free(bev);
	st_check(st_peer_gone(p.peer), "the peer sees no end");
	close(p.peer);
	loop_stop(base, loop);
	event_base_free(base);
}

/* --- everything at once --- */

enum { WORKERS = 4 };

struct worker {
	struct event_base *base;
	pthread_t thread;
	int options, rounds;
	uint64_t rnd;
	struct st_pair p;
	struct stream s;
	struct bufferevent *bev;
};

static void work_open(struct worker *w)
{
	w->p = st_below(&w->rnd, 2) ? st_tcp_pair() : st_socketpair();
	w->s = (struct stream){.fd = w->p.peer};
	w->bev = echo_new(w->base, w->p.ours, w->options);
}

/* Now and then something is still on its way. */
static void work_close(struct worker *w)
{
	if (st_below(&w->rnd, 2))
		st_put(w->p.peer);
	bufferevent_free(w->bev);
	st_check(st_peer_gone(w->p.peer), "the peer sees no end");
	close(w->p.peer);
}

/* None of it may lose a byte. */
static void work_disturb(struct worker *w)
{
	const struct timeval far = {3600, 0};
	struct bufferevent *bev = w->bev;

	switch (st_below(&w->rnd, 10)) {
	case 0:
		bufferevent_disable(bev, EV_READ);
		if (st_below(&w->rnd, 2))
			sched_yield();
		bufferevent_enable(bev, EV_READ);
		break;
	case 1:
		bufferevent_disable(bev, EV_READ | EV_WRITE);
		bufferevent_enable(bev, EV_READ | EV_WRITE);
		break;
	case 2:
		bufferevent_trigger(
		    bev, EV_READ, BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
		break;
	case 3:
		bufferevent_trigger_event(bev, MADE_UP, BEV_TRIG_DEFER_CALLBACKS);
		break;
	case 4:
		st_check(bufferevent_setfd(bev, -1) == 0, "setfd");
		st_check(bufferevent_setfd(bev, w->p.ours) == 0, "setfd");
		break;
	case 5:
		bufferevent_set_timeouts(bev, &far, &far);
		break;
	case 6:
		bufferevent_setwatermark(
		    bev, EV_READ, 0, st_below(&w->rnd, 2) ? 0 : 100 + st_below(&w->rnd, 5000));
		break;
	default:
		break;
	}
}

static void *work_main(void *arg)
{
	struct worker *w = arg;

	work_open(w);
	for (int i = 0; i < w->rounds; i++) {
		stream_put(&w->s, 1 + st_below(&w->rnd, st_below(&w->rnd, 8) ? 64 : 8000));
		work_disturb(w);
		if (st_below(&w->rnd, 40)) {
			stream_get(&w->s);
			continue;
		}
		stream_get_all(&w->s, w->bev);
		if (st_below(&w->rnd, 2)) {
			work_close(w);
			work_open(w);
		}
	}
	stream_get_all(&w->s, w->bev);
	work_close(w);
	return NULL;
}

static void t_workers(int options)
{
	struct event_base *base = locked_base(options);
	pthread_t loop = loop_start(base);
	struct worker w[WORKERS];

	for (int i = 0; i < WORKERS; i++) {
		w[i] = (struct worker){.base = base,
		    .options = options & UNLOCK,
		    .rounds = rounds(options & YIELDING ? 400 : 1500),
		    .rnd = 0x9e3779b97f4a7c15ull * (unsigned)(i + 1)};
		w[i].thread = start(work_main, &w[i]);
	}
	for (int i = 0; i < WORKERS; i++)
		join(w[i].thread, "a worker");
	loop_stop(base, loop);
	event_base_free(base);
}

/* --- the fd is taken away while the owner is anywhere --- */

struct busy {
	struct event *again;
	int fd, stop, spin_us;
};

static void spin(int us)
{
	struct timespec t0, t;

	clock_gettime(CLOCK_MONOTONIC, &t0);
	do
		clock_gettime(CLOCK_MONOTONIC, &t);
	while ((t.tv_sec - t0.tv_sec) * 1000000 + (t.tv_nsec - t0.tv_nsec) / 1000 < us);
}

static void again_cb(evutil_socket_t fd, short what, void *arg)
{
	struct busy *b = arg;

	(void)what;
	if (fd >= 0) {
		st_drain(fd);
		spin(b->spin_us);
	} else {
		event_active(b->again, EV_READ, 1);
	}
}

static void *ping_main(void *arg)
{
	struct busy *b = arg;

	while (!__atomic_load_n(&b->stop, __ATOMIC_SEQ_CST)) {
		ssize_t n = write(b->fd, "x", 1);

		(void)n;
		usleep(1);
	}
	return NULL;
}

/* sleeps: the loop alternates between sleep and callbacks; else it never sleeps, but looks. */
static void setfd_rounds(struct event_base *base, bool sleeps, int n)
{
	struct st_pair q = st_socketpair(), p = st_socketpair();
	struct busy b = {.fd = q.peer, .spin_us = 15};
	struct bufferevent *bev;
	pthread_t loop, ping = 0;

	b.again = st_event_new(base, sleeps ? q.ours : -1, EV_READ | EV_PERSIST, again_cb, &b);
	if (sleeps)
		st_add(b.again, NULL);
	else
		event_active(b.again, EV_READ, 1);
	loop = loop_start(base);
	if (sleeps)
		ping = start(ping_main, &b);
	bev = echo_new(base, p.ours, 0);
	for (int i = 0; i < n; i++) {
		if (i & 1)
			usleep((unsigned)i % 50);
		st_check(bufferevent_setfd(bev, -1) == 0, "setfd");
		st_check(bufferevent_setfd(bev, p.ours) == 0, "setfd");
		if (i % 8 == 0)
			(void)!write(p.peer, "x", 1);
		st_drain(p.peer);
	}
	bufferevent_free(bev);
	st_check(st_peer_gone(p.peer), "the peer sees no end");
	__atomic_store_n(&b.stop, 1, __ATOMIC_SEQ_CST);
	if (sleeps)
		join(ping, "the peer");
	loop_stop(base, loop);
	event_free(b.again);
	close(p.peer);
	st_close_pair(&q);
}

static void t_setfd_looks(int options)
{
	struct event_base *base = locked_base(options);

	setfd_rounds(base, false, rounds(20000));
	event_base_free(base);
}

static void t_setfd_sleeps(int options)
{
	struct event_base *base;

	yield_one_in = 4;
	base = locked_base(options);
	setfd_rounds(base, true, rounds(5000));
	event_base_free(base);
}

/* What was there when another thread had disabled reading is in the input or in the socket, and
 * nothing gets into the input any more. */
static void t_disable_hands_over(int options)
{
	struct event_base *base = locked_base(options);
	pthread_t loop = loop_start(base);
	int n = rounds(1000);

	for (int i = 0; i < n; i++) {
		struct st_pair p = st_socketpair();
		struct bufferevent *bev = bufferevent_socket_new(base, p.ours, BEV_OPT_THREADSAFE);
		struct evbuffer *in = bufferevent_get_input(bev);
		unsigned char got[128];
		size_t n_in;
		ssize_t r;

		bufferevent_enable(bev, EV_READ);
		for (unsigned char c = 0; c < 60; c++) {
			st_check(write(p.peer, &c, 1) == 1, "write");
			if (c == i % 60)
				bufferevent_disable(bev, EV_READ);
		}
		n_in = evbuffer_get_length(in);
		r = read(p.ours, got, sizeof(got));
		st_check(n_in + (size_t)(r > 0 ? r : 0) == 60, "%zu bytes in the input, %zd left",
		    n_in, r);
		st_check(r <= 0 || got[0] == n_in, "byte %d follows %zu", got[0], n_in);
		st_check(evbuffer_get_length(in) == n_in, "the input grew");
		bufferevent_free(bev);
		st_close_pair(&p);
	}
	loop_stop(base, loop);
	event_base_free(base);
}

/* --- listeners --- */

struct door {
	struct event_base *base;
	uint16_t port;
	int accepted, stop;
};

static void door_cb(
    struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int len, void *arg)
{
	struct door *d = arg;

	(void)l;
	(void)len;
	st_check(sa->sa_family == AF_INET, "no address");
	__atomic_add_fetch(&d->accepted, 1, __ATOMIC_SEQ_CST);
	/* No port may be left in TIME_WAIT: there are not so many. */
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
	close(fd);
}

/* Whoever gets in is thrown out. */
static void *knock_main(void *arg)
{
	struct door *d = arg;

	while (!__atomic_load_n(&d->stop, __ATOMIC_SEQ_CST)) {
		int fd = st_connect(d->port);

		if (fd < 0) {
			st_check(errno == ECONNREFUSED || errno == ECONNRESET, "connect: %s",
			    strerror(errno));
			usleep(100);
			continue;
		}
		/* Also in vain: a connect to a port that nobody listens on may meet itself. */
		poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 100);
		close(fd);
	}
	return NULL;
}

static struct evconnlistener *door_open(struct door *d)
{
	int64_t end = st_now_ms() + ST_EOF_MS;
	uint16_t port = d->port;
	int fd = st_listen(&port, true);
	struct evconnlistener *l;

	/* The loop's thread may be busy with a callback of the listener that was there before. */
	while (fd < 0 && st_now_ms() < end) {
		usleep(1000);
		fd = st_listen(&port, true);
	}
	st_check(fd >= 0, "the port cannot be bound: %s", strerror(errno));
	if (!d->port)
		d->port = port;
	l = evconnlistener_new(
	    d->base, door_cb, d, LEV_OPT_THREADSAFE | LEV_OPT_CLOSE_ON_FREE, 0, fd);
	st_check(l, "evconnlistener_new");
	return l;
}

/* Two threads connect while this one enables, disables and frees; the port can be bound at once. */
static void t_listener(int options)
{
	struct event_base *base = locked_base(options);
	struct door d = {.base = base}, d2 = {.base = base};
	struct evconnlistener *l = door_open(&d);
	pthread_t loop = loop_start(base), knock[2];
	int before, n = rounds(400);

	d2.port = d.port;
	knock[0] = start(knock_main, &d);
	knock[1] = start(knock_main, &d2);
	for (int i = 0; i < n; i++) {
		usleep(200);
		st_check(evconnlistener_disable(l) == 0, "disable");
		before = __atomic_load_n(&d.accepted, __ATOMIC_SEQ_CST);
		if (i % 3 == 0) {
			evconnlistener_free(l);
			l = door_open(&d);
			continue;
		}
		usleep(100);
		/* One callback may have been running. */
		st_check(__atomic_load_n(&d.accepted, __ATOMIC_SEQ_CST) <= before + 1,
		    "a disabled listener accepts");
		st_check(evconnlistener_enable(l) == 0, "enable");
	}
	__atomic_store_n(&d.stop, 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&d2.stop, 1, __ATOMIC_SEQ_CST);
	join(knock[0], "a peer");
	join(knock[1], "a peer");
	evconnlistener_enable(l);
	before = st_connect(d.port);
	st_check(before >= 0 && st_peer_gone(before), "nobody accepts any more");
	close(before);
	evconnlistener_free(l);
	loop_stop(base, loop);
	event_base_free(base);
}

/* Freed at any moment of its callback: its memory goes, once. */
static long n_live;

static void *live_malloc(size_t n)
{
	void *p = malloc(n);

	__atomic_add_fetch(&n_live, p != NULL, __ATOMIC_SEQ_CST);
	return p;
}

static void *live_realloc(void *old, size_t n)
{
	void *p = realloc(old, n);

	__atomic_add_fetch(&n_live, p && !old, __ATOMIC_SEQ_CST);
	return p;
}

static void live_free(void *p)
{
	__atomic_sub_fetch(&n_live, p != NULL, __ATOMIC_SEQ_CST);
	free(p);
}

static void t_listener_freed(int options)
{
	struct event_base *base;
	int n = rounds(2000);
	/* A callback may be running still when its listener is gone. */
	struct door *doors = calloc((size_t)n, sizeof(*doors));
	pthread_t loop;

	event_set_mem_functions(live_malloc, live_realloc, live_free);
	yield_one_in = 3;
	base = locked_base(options);
	loop = loop_start(base);
	for (int i = 0; i < n; i++) {
		struct door *d = &doors[i];
		struct evconnlistener *l;
		int fd;

		d->base = base;
		l = door_open(d);
		fd = st_connect(d->port);

		if (i & 1)
			while (!__atomic_load_n(&d->accepted, __ATOMIC_SEQ_CST))
				sched_yield();
		else
			usleep((unsigned)i % 100);
		evconnlistener_free(l);
		if (fd >= 0)
			close(fd);
	}
	loop_stop(base, loop);
	event_base_free(base);
	free(doors);
	libevent_global_shutdown();
	st_check(n_live == 0, "%ld pieces of memory are left", n_live);
}

/* --- what shows the bytes of a bufferevent outlives it, and goes while it goes --- */

static void t_shown(int options)
{
	struct event_base *base = locked_base(options);
	pthread_t loop = loop_start(base);
	int n = rounds(2000);

	for (int i = 0; i < n; i++) {
		struct bufferevent *bev =
		    bufferevent_socket_new(base, -1, BEV_OPT_THREADSAFE | options % YIELDING);
		struct evbuffer *shows = evbuffer_new();

		st_check(bev && shows, "no memory");
		if (i % 4 == 0)
			evbuffer_defer_callbacks(bufferevent_get_output(bev), base);
		st_check(bufferevent_write(bev, "w", 1) == 0, "bufferevent_write");
		bufferevent_lock(bev);
		st_check(evbuffer_add_buffer_reference(shows, bufferevent_get_output(bev)) == 0,
		    "evbuffer_add_buffer_reference");
		bufferevent_unlock(bev);
		bufferevent_free(bev);
		for (int k = i % 50; k > 0; k--)
			sched_yield();
		st_check(*evbuffer_pullup(shows, 1) == 'w', "not what was written");
		evbuffer_free(shows);
	}
	loop_stop(base, loop);
	event_base_free(base);
}

static const struct st_case cases[] = {
    {"write_wakes", t_wake, 0, 0},
    {"write_wakes_deferred", t_wake, UNLOCK, 0},
    {"write_wakes_yielding", t_wake, YIELDING, 0},
    {"workers", t_workers, 0, 0},
    {"workers_deferred", t_workers, DEFER, 0},
    {"workers_unlocked", t_workers, UNLOCK, 0},
    {"workers_yielding", t_workers, YIELDING, 0},
    {"workers_unlocked_yielding", t_workers, UNLOCK | YIELDING, 0},
    {"setfd_while_loop_looks", t_setfd_looks, 0, 0},
    {"setfd_while_loop_sleeps", t_setfd_sleeps, YIELDING, 0},
    {"disable_hands_over", t_disable_hands_over, 0, ST_STOCK_FAILS},
    {"disable_hands_over_yielding", t_disable_hands_over, YIELDING, ST_STOCK_FAILS},
    {"shown", t_shown, 0, ST_STOCK_FAILS},
    {"shown_yielding", t_shown, YIELDING, ST_STOCK_FAILS},
    {"listener_on_off_freed", t_listener, 0, 0},
    {"listener_on_off_freed_yielding", t_listener, YIELDING, 0},
    {"listener_freed_in_callback", t_listener_freed, YIELDING, 0},
    {NULL, NULL, 0, 0},
};

int main(int argc, char **argv)
{
	return st_main(argc, argv, cases);
}
