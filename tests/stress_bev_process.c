/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bufferevents and listeners, whose data the kernel moves by itself, in processes that fork, exec
 * and become daemons, and in loops that move from thread to thread.
 *
 * A request belongs to the process, and the thread, that made it. Whoever goes on has to find every
 * byte that nobody has taken: in an input buffer, or still in the socket.
 */
#include "stress_common.h"

#include <pthread.h>
#include <sys/syscall.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>

enum { PAIRS = 8 };

extern void __asan_init(void) __attribute__((weak));

/* Echoes on some connections, and a listener. */
struct load {
	struct event_base *base;
	struct st_pair p[PAIRS];
	struct bufferevent *bev[PAIRS];
	struct evconnlistener *door;
	uint16_t port;
	int echoed, accepted;
};

static void echo_cb(struct bufferevent *bev, void *arg)
{
	struct load *l = arg;

	l->echoed += (int)evbuffer_get_length(bufferevent_get_input(bev));
	bufferevent_write_buffer(bev, bufferevent_get_input(bev));
}

static void no_event_cb(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	(void)arg;
	st_fail("an event 0x%x: %s", (unsigned)what, strerror(errno));
}

static void door_cb(
    struct evconnlistener *door, evutil_socket_t fd, struct sockaddr *sa, int len, void *arg)
{
	struct load *l = arg;

	(void)door;
	(void)len;
	st_check(sa->sa_family == AF_INET, "no address");
	l->accepted++;
	close(fd);
}

static void load_new(struct load *l, struct event_base *base)
{
	int options = getenv("STRESS_LOCKS") ? BEV_OPT_THREADSAFE : 0;

	memset(l, 0, sizeof(*l));
	l->base = base;
	for (int i = 0; i < PAIRS; i++) {
		l->p[i] = i & 1 ? st_tcp_pair() : st_socketpair();
		l->bev[i] =
		    bufferevent_socket_new(base, l->p[i].ours, (enum bufferevent_options)options);
		bufferevent_setcb(l->bev[i], echo_cb, NULL, no_event_cb, l);
		st_check(bufferevent_enable(l->bev[i], EV_READ | EV_WRITE) == 0, "enable");
	}
	l->door = evconnlistener_new(
	    base, door_cb, l, LEV_OPT_CLOSE_ON_FREE, 0, st_listen(&l->port, true));
	st_check(l->door, "evconnlistener_new");
}

static void load_free(struct load *l)
{
	for (int i = 0; i < PAIRS; i++) {
		bufferevent_free(l->bev[i]);
		st_close_pair(&l->p[i]);
	}
	evconnlistener_free(l->door);
}

/* Data of every connection is on its way, in both directions. */
static void load_stir(struct load *l)
{
	for (int i = 0; i < PAIRS; i++)
		st_check(write(l->p[i].peer, "stir", 4) == 4, "write");
}

/* Takes what comes back at the peers until `n` bytes of each have. */
static void load_collect(struct load *l, int n, const char *who)
{
	int got[PAIRS] = {0}, done = 0;
	int64_t end = st_now_ms() + ST_BOUND_S * 1000;

	while (done < PAIRS) {
		st_check(st_now_ms() < end, "%s: data is lost (%s)", who,
		    event_base_get_method(l->base));
		st_pass(l->base);
		for (int i = done = 0; i < PAIRS; i++) {
			got[i] += st_drain(l->p[i].peer);
			st_check(got[i] <= n, "%s: data came twice", who);
			done += got[i] == n;
		}
	}
}

static void load_works(struct load *l, const char *who)
{
	int accepted = l->accepted, fd = st_connect(l->port);

	st_check(fd >= 0, "connect: %s", strerror(errno));
	load_stir(l);
	load_collect(l, 4, who);
	st_check(st_run_until(l->base, &l->accepted, accepted + 1), "%s: nobody accepts", who);
	st_check(st_peer_gone(fd), "%s: the connection is not closed", who);
	close(fd);
}

static pid_t st_fork(void)
{
	pid_t pid = fork();

	st_check(pid >= 0, "fork: %s", strerror(errno));
	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, 0);
	return pid;
}

/* --- children --- */

enum child { EXITS, FREES_ALL, FREES_BASE, REINITS_AND_FREES, USES, REINITS_AND_GOES_ON };

/* Its own connections, not its parent's: what both read, both would echo. */
static void child_uses_base(struct event_base *base)
{
	struct load own;

	load_new(&own, base);
	load_works(&own, "child");
	load_free(&own);
}

static void be_child(struct load *l, enum child what)
{
	if (what == REINITS_AND_FREES || what == REINITS_AND_GOES_ON)
		st_check(event_reinit(l->base) == 0, "event_reinit");
	switch (what) {
	case EXITS:
		break;
	case FREES_BASE:
		event_base_free(l->base);
		break;
	case FREES_ALL:
	case REINITS_AND_FREES:
		load_free(l);
		event_base_free(l->base);
		break;
	case USES:
	case REINITS_AND_GOES_ON:
		load_free(l);
		child_uses_base(l->base);
		event_base_free(l->base);
		break;
	}
	_exit(0);
}

/* The parent has data in every state: in sockets, received, in output buffers, being sent. */
static void t_child(int what)
{
	for (int round = 0; round < 10; round++) {
		struct event_base *base = st_base_new();
		struct load l;
		pid_t pid;

		load_new(&l, base);
		st_passes(base, 2);
		load_stir(&l);
		if (round & 1)
			st_pass(base);
		pid = st_fork();
		if (pid == 0)
			be_child(&l, (enum child)what);
		if (round & 2)
			st_wait_child(pid);
		load_collect(&l, 4, "parent, meanwhile");
		if (!(round & 2))
			st_wait_child(pid);
		load_works(&l, "parent, after");
		load_free(&l);
		event_base_free(base);
	}
}

struct forker {
	struct load *l;
	enum child what;
	pid_t pid;
	int forked;
};

static void fork_cb(evutil_socket_t fd, short what, void *arg)
{
	struct forker *f = arg;

	(void)fd;
	(void)what;
	load_stir(f->l);
	f->pid = st_fork();
	if (f->pid == 0)
		be_child(f->l, f->what);
	f->forked++;
}

/* The same from within a callback. */
static void t_child_of_callback(int what)
{
	struct event_base *base = st_base_new();
	struct load l;
	struct forker f = {.l = &l, .what = (enum child)what};

	load_new(&l, base);
	for (int i = 1; i <= 10; i++) {
		st_check(event_base_once(base, -1, EV_TIMEOUT, fork_cb, &f, NULL) == 0, "once");
		st_check(st_run_until(base, &f.forked, i), "the timer never fired");
		for (int k = 0; k < PAIRS; k++)
			st_check(write(l.p[k].peer, "+", 1) == 1, "write");
		while (l.echoed < 5 * PAIRS * i)
			st_pass(base);
		st_wait_child(f.pid);
	}
	load_collect(&l, 50, "parent");
	load_works(&l, "parent");
	load_free(&l);
	event_base_free(base);
}

/* --- daemons --- */

/* What the parent had not taken when it exited is the daemon's. how: 0 the parent forks between
 * turns, 1 within a callback, where data has come that nobody knows of yet. */
static void become_daemon(struct load *l, int alive[2])
{
	char c;

	if (st_fork() > 0)
		_exit(0);
	close(alive[1]);
	st_check(read(alive[0], &c, 1) == 0, "read");
	(void)l;
}

struct daemon {
	struct load *l;
	int alive[2], done;
};

static void daemon_cb(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;

	(void)fd;
	(void)what;
	load_stir(d->l);
	become_daemon(d->l, d->alive);
	d->done++;
}

static void t_daemon(int how)
{
	struct daemon d = {.done = 0};
	int status;
	pid_t first, pid;

	st_check(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0, "prctl");
	st_check(pipe2(d.alive, O_CLOEXEC) == 0, "pipe2");
	first = st_fork();
	if (first == 0) {
		struct load l;

		d.l = &l;
		load_new(&l, st_base_new());
		st_passes(l.base, 3);
		if (how) {
			st_check(event_base_once(l.base, -1, EV_TIMEOUT, daemon_cb, &d, NULL) == 0,
			    "once");
			st_check(st_run_until(l.base, &d.done, 1), "the timer never fired");
		} else {
			daemon_cb(-1, 0, &d);
		}
		load_collect(&l, 4, "daemon");
		load_works(&l, "daemon");
		load_free(&l);
		event_base_free(l.base);
		_exit(0);
	}
	close(d.alive[1]);
	st_wait_child(first);
	while ((pid = waitpid(-1, &status, 0)) < 0 && errno == EINTR)
		continue;
	st_check(pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0,
	    "the daemon ended with status 0x%x", (unsigned)status);
}

/* --- what a dying process leaves --- */

struct heir {
	struct load *l;
	int how, client;
};

enum { BY_EXIT = 1, BY_SIGNAL = 2, DISABLED = 4 };

static void die_cb(evutil_socket_t fd, short what, void *arg)
{
	struct heir *h = arg;

	(void)fd;
	(void)what;
	load_stir(h->l);
	h->client = st_connect(h->l->port);
	for (int i = 0; h->how & DISABLED && i < PAIRS; i++)
		bufferevent_disable(h->l->bev[i], EV_READ);
	if (h->how & BY_SIGNAL)
		kill(getpid(), SIGKILL);
	_exit(0);
}

/* Data and a connection that come while a callback runs, in which the process ends, are still there
 * for another process that has the same sockets. */
static void t_leaves(int how)
{
	struct load l;
	int status, lfd;
	pid_t pid;

	memset(&l, 0, sizeof(l));
	lfd = st_listen(&l.port, true);
	for (int i = 0; i < PAIRS; i++)
		l.p[i] = i & 1 ? st_tcp_pair() : st_socketpair();
	pid = st_fork();
	if (pid == 0) {
		struct heir h = {.l = &l, .how = how};

		l.base = st_base_new();
		for (int i = 0; i < PAIRS; i++) {
			l.bev[i] = bufferevent_socket_new(l.base, l.p[i].ours, 0);
			bufferevent_setcb(l.bev[i], echo_cb, NULL, no_event_cb, &l);
			bufferevent_enable(l.bev[i], EV_READ);
		}
		l.door = evconnlistener_new(l.base, door_cb, &l, 0, 0, lfd);
		st_passes(l.base, 3);
		event_base_once(l.base, -1, EV_TIMEOUT, die_cb, &h, NULL);
		event_base_dispatch(l.base);
		_exit(1);
	}
	while (waitpid(pid, &status, 0) < 0)
		st_check(errno == EINTR, "waitpid");
	for (int i = 0; i < PAIRS; i++)
		st_check(st_drain(l.p[i].ours) == 4, "data went with the process");
	st_check(accept(lfd, NULL, NULL) >= 0, "the connection went with the process");
}

/* --- a listening socket of two processes --- */

enum { SLEEPS, DISABLES, FREES, ENDS };

struct server {
	struct event_base *base;
	struct evconnlistener *door;
	int what;
	int *state; /* shared: 1 the busy one is in its callback, 2 go on, 3 a connection was taken
		     */
};

static void taken_cb(
    struct evconnlistener *door, evutil_socket_t fd, struct sockaddr *sa, int len, void *arg)
{
	struct server *s = arg;

	(void)door;
	(void)sa;
	(void)len;
	close(fd);
	__atomic_store_n(s->state, 3, __ATOMIC_SEQ_CST);
}

static void await_state(const int *state, int want, const char *what)
{
	int64_t end = st_now_ms() + ST_BOUND_S * 1000;

	while (__atomic_load_n(state, __ATOMIC_SEQ_CST) < want) {
		st_check(st_now_ms() < end, "%s", what);
		usleep(1000);
	}
}

static void busy_cb(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;

	(void)fd;
	(void)what;
	__atomic_store_n(s->state, 1, __ATOMIC_SEQ_CST);
	await_state(s->state, 2, "nobody connects");
	if (s->what == ENDS)
		_exit(0);
	if (s->what == DISABLES)
		evconnlistener_disable(s->door);
	else if (s->what == FREES)
		evconnlistener_free(s->door);
	else
		await_state(s->state, 3, "the idle process does not accept");
}

static pid_t serve(struct server *s, int lfd, bool busy)
{
	const struct timeval soon = {0, 50000};
	pid_t pid = fork();

	if (pid)
		return pid;
	s->base = st_base_new();
	s->door = evconnlistener_new(s->base, taken_cb, s, 0, 0, lfd);
	st_check(s->door, "evconnlistener_new");
	if (busy)
		event_base_once(s->base, -1, EV_TIMEOUT, busy_cb, s, &soon);
	event_base_loop(s->base, EVLOOP_NO_EXIT_ON_EMPTY);
	_exit(0);
}

/* One process is busy when a connection comes, and then does not take it: the other, idle, does. */
static void t_shared_listener(int what)
{
	struct server s = {.what = what};
	uint16_t port = 0;
	int lfd = st_listen(&port, true), fd, status;
	pid_t busy, idle;

	s.state = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	st_check(s.state != MAP_FAILED, "mmap");
	busy = serve(&s, lfd, true);
	await_state(s.state, 1, "the first process does not come up");
	idle = serve(&s, lfd, false);
	usleep(200000); /* the other one is asleep by now, or finds the connection when it looks */
	fd = st_connect(port);
	st_check(fd >= 0, "connect: %s", strerror(errno));
	if (what != SLEEPS)
		usleep(1000);
	__atomic_compare_exchange_n(
	    s.state, &(int){1}, 2, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	await_state(s.state, 3, "the idle process does not accept");
	kill(busy, SIGKILL);
	kill(idle, SIGKILL);
	waitpid(busy, &status, 0);
	waitpid(idle, &status, 0);
	close(fd);
	close(lfd);
}

/* --- loops that move --- */

enum { TURNS = 60 };

struct mover {
	struct load *l;
	int flags, want;
	_Atomic int tid;
};

static void *turn_main(void *arg)
{
	struct mover *m = arg;

	m->tid = (int)syscall(SYS_gettid);
	do
		st_check(event_base_loop(m->l->base, m->flags) >= 0, "event_base_loop");
	while (m->flags & EVLOOP_ONCE && m->l->echoed < m->want);
	return NULL;
}

static void enough_cb(evutil_socket_t fd, short what, void *arg)
{
	struct mover *m = arg;

	(void)fd;
	(void)what;
	if (m->l->echoed >= m->want)
		event_base_loopbreak(m->l->base);
}

/* Each turn of the loop is in a thread of its own, which then exits. Data comes before the turn,
 * while it lasts, and when it is over. flags: how it loops. */
static void t_moves(int flags)
{
	const struct timeval often = {0, 1000};
	struct event_base *base;
	struct event *tick;
	struct load l;
	struct mover m = {.l = &l, .flags = flags};

	st_check(evthread_use_pthreads() == 0, "evthread_use_pthreads");
	base = st_base_new();
	load_new(&l, base);
	tick = st_event_new(base, -1, EV_PERSIST, enough_cb, &m);
	st_add(tick, &often);
	for (int i = 0; i < TURNS; i++) {
		pthread_t t;

		if (i & 1)
			load_stir(&l);
		/* What of the last round comes now was left by the thread before. */
		m.want += PAIRS * 4;
		st_check(pthread_create(&t, NULL, turn_main, &m) == 0, "pthread_create");
		if (!(i & 1))
			load_stir(&l);
		st_check(pthread_join(t, NULL) == 0, "pthread_join");
	}
	load_collect(&l, 4 * TURNS, "at last");
	st_check(l.echoed == 4 * TURNS * PAIRS, "%d bytes were echoed", l.echoed);
	load_works(&l, "at last");
	event_free(tick);
	load_free(&l);
	event_base_free(base);
}

/* The state letter that the kernel gives for a thread of this process. */
static char state_of(int tid)
{
	char path[64], line[512];
	FILE *stat;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	stat = fopen(path, "r");
	st_check(stat && fgets(line, sizeof(line), stat), "%s", path);
	fclose(stat);
	return strrchr(line, ')')[2];
}

/* Returns when the mover sleeps: is found asleep ten times in a row. */
static void await_sleep(const struct mover *m)
{
	int64_t end = st_now_ms() + ST_BOUND_S * 1000;

	for (int asleep = 0; asleep < 10; usleep(1000)) {
		st_check(st_now_ms() < end, "the loop does not go to sleep");
		asleep = m->tid && state_of(m->tid) == 'S' ? asleep + 1 : 0;
	}
}

/* A thread that sleeps in the loop is cancelled, with everything armed. Nobody can loop any more,
 * but all can be freed, and the peers see it. */
static void t_cancelled(int unused)
{
	(void)unused;
	if (__asan_init)
		st_skip("AddressSanitizer and cancellation do not go together");
	for (int i = 0; i < 20; i++) {
		struct event_base *base;
		struct load l;
		struct mover m = {.l = &l, .flags = EVLOOP_NO_EXIT_ON_EMPTY};
		pthread_t t;

		st_check(evthread_use_pthreads() == 0, "evthread_use_pthreads");
		base = st_base_new();
		load_new(&l, base);
		st_check(pthread_create(&t, NULL, turn_main, &m) == 0, "pthread_create");
		await_sleep(&m);
		pthread_cancel(t);
		if (i & 1)
			load_stir(&l);
		st_check(pthread_join(t, NULL) == 0, "pthread_join");
		for (int k = 0; k < PAIRS; k++) {
			bufferevent_free(l.bev[k]);
			close(l.p[k].ours);
			st_check(st_peer_gone(l.p[k].peer), "the peer sees no end");
			close(l.p[k].peer);
		}
		evconnlistener_free(l.door);
		event_base_free(base);
	}
}

/* fork while another thread loops: the child exits, or runs a base of its own. */
static void t_fork_beside_loop(int uses)
{
	struct event_base *base;
	struct load l;
	struct mover m = {.l = &l, .flags = EVLOOP_NO_EXIT_ON_EMPTY, .want = INT_MAX};
	pthread_t t;
	int got[PAIRS] = {0}, done = 0;
	int64_t end = st_now_ms() + ST_BOUND_S * 1000;

	st_check(evthread_use_pthreads() == 0, "evthread_use_pthreads");
	base = st_base_new();
	load_new(&l, base);
	st_check(pthread_create(&t, NULL, turn_main, &m) == 0, "pthread_create");
	for (int i = 0; i < 20; i++) {
		pid_t pid;

		load_stir(&l);
		pid = st_fork();
		if (pid == 0) {
			if (uses) {
				struct event_base *own = st_base_new();

				child_uses_base(own);
				event_base_free(own);
			}
			_exit(0);
		}
		st_wait_child(pid);
	}
	while (done < PAIRS) {
		st_check(st_now_ms() < end, "data is lost");
		usleep(1000);
		for (int i = done = 0; i < PAIRS; i++) {
			got[i] += st_drain(l.p[i].peer);
			st_check(got[i] <= 80, "data came twice");
			done += got[i] == 80;
		}
	}
	event_base_loopbreak(base);
	st_check(pthread_join(t, NULL) == 0, "pthread_join");
	load_free(&l);
	event_base_free(base);
}

static const struct st_case cases[] = {
    {"child_exits", t_child, EXITS, 0},
    {"child_frees_base", t_child, FREES_BASE, ST_STOCK_FAILS},
    {"child_frees_everything", t_child, FREES_ALL, ST_STOCK_FAILS},
    {"child_reinits_and_frees", t_child, REINITS_AND_FREES, 0},
    {"child_uses_base", t_child, USES, ST_STOCK_FAILS},
    {"child_reinits_and_goes_on", t_child, REINITS_AND_GOES_ON, 0},
    {"callbacks_child_exits", t_child_of_callback, EXITS, 0},
    {"callbacks_child_frees_everything", t_child_of_callback, FREES_ALL, ST_STOCK_FAILS},
    {"callbacks_child_reinits_and_frees", t_child_of_callback, REINITS_AND_FREES, 0},
    {"daemon_between_turns", t_daemon, 0, 0},
    {"daemon_in_callback", t_daemon, 1, 0},
    {"exit_leaves_data", t_leaves, BY_EXIT, 0},
    {"exit_after_disable_leaves_data", t_leaves, BY_EXIT | DISABLED, 0},
    {"kill_leaves_data", t_leaves, BY_SIGNAL, 0},
    {"shared_listener_busy", t_shared_listener, SLEEPS, 0},
    {"shared_listener_disabled", t_shared_listener, DISABLES, 0},
    {"shared_listener_freed", t_shared_listener, FREES, 0},
    {"shared_listener_exit", t_shared_listener, ENDS, 0},
    {"loop_moves", t_moves, 0, 0},
    {"loop_moves_once", t_moves, EVLOOP_ONCE, 0},
    {"loop_cancelled", t_cancelled, 0, 0},
    {"fork_beside_loop_child_exits", t_fork_beside_loop, 0, 0},
    {"fork_beside_loop_child_uses_own", t_fork_beside_loop, 1, 0},
    {NULL, NULL, 0, 0},
};

int main(int argc, char **argv)
{
	return st_main(argc, argv, cases);
}
