/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Lifetimes at random: 10,000 rounds in which bufferevents and listeners are made, fed, and freed
 * at whatever moment: in each of their callbacks, in those of others, between turns, from another
 * thread, with data under way in both directions, with callbacks deferred, without being closed,
 * and with the base gone first. What must hold is that nothing breaks (this is a test for
 * AddressSanitizer), that no freed one is called, and that no descriptor stays open.
 *
 * A failure names its seed; STRESS_SEED=N repeats it.
 */
#include "stress_common.h"

#include <pthread.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>

enum { SLOTS = 12, ROUNDS = 10000, ROUNDS_A_BASE = 250 };

/* One connection: our end, and the plain fd of its peer. */
struct slot {
	struct bufferevent *bev; /* NULL: free */
	int fd, peer;
	bool closes; /* CLOSE_ON_FREE */
};

static struct event_base *base;
static struct slot slots[SLOTS];
static uint64_t seed;
static int quiet_depth; /* callbacks do nothing: the base is being torn down */

static bool chance(uint32_t one_in)
{
	return st_below(&seed, one_in) == 0;
}

static struct slot *any_slot(void)
{
	return &slots[st_below(&seed, SLOTS)];
}

static void slot_free(struct slot *s)
{
	struct bufferevent *bev = s->bev;

	if (!bev)
		return;
	s->bev = NULL;
	bufferevent_free(bev);
	if (!s->closes)
		close(s->fd);
	if (s->peer >= 0)
		close(s->peer);
	s->peer = -1;
}

static void meddle(struct slot *s);

/* Every callback: the slot must be alive; then anything may happen. */
static void called(struct slot *s, const struct bufferevent *bev)
{
	st_check(s->bev == bev, "a freed bufferevent is called");
	if (quiet_depth)
		return;
	if (chance(6))
		slot_free(s);
	else if (chance(8))
		slot_free(any_slot());
	else
		meddle(s);
}

static void readcb(struct bufferevent *bev, void *arg)
{
	if (chance(2))
		evbuffer_drain(bufferevent_get_input(bev), st_below(&seed, 100000));
	called(arg, bev);
}

static void writecb(struct bufferevent *bev, void *arg)
{
	called(arg, bev);
}

static void eventcb(struct bufferevent *bev, short what, void *arg)
{
	(void)what;
	called(arg, bev);
}

static void write_some(struct bufferevent *bev)
{
	static char block[100000];
	size_t n = st_below(&seed, chance(4) ? sizeof(block) : 500);

	bufferevent_write(bev, block, n);
}

/* The peer reads, writes or leaves. */
static void peer_acts(struct slot *s)
{
	static char block[50000];

	if (s->peer < 0)
		return;
	switch (st_below(&seed, 6)) {
	case 0:
		close(s->peer);
		s->peer = -1;
		break;
	case 1:
		shutdown(s->peer, SHUT_WR);
		break;
	case 2:
		st_drain(s->peer);
		break;
	default:
		(void)!send(s->peer, block, st_below(&seed, sizeof(block)), MSG_NOSIGNAL);
		break;
	}
}

static void switch_some(struct bufferevent *bev)
{
	struct timeval tv = {0, (suseconds_t)st_below(&seed, 3000)};
	size_t high = chance(2) ? 0 : st_below(&seed, 20000);

	switch (st_below(&seed, 7)) {
	case 0:
		bufferevent_disable(bev, EV_READ);
		break;
	case 1:
		bufferevent_disable(bev, EV_WRITE);
		break;
	case 2:
		bufferevent_setwatermark(bev, EV_READ, 0, high);
		break;
	case 3:
		bufferevent_set_timeouts(bev, chance(2) ? &tv : NULL, chance(2) ? &tv : NULL);
		break;
	case 4:
		bufferevent_set_max_single_read(bev, chance(2) ? 0 : 100);
		break;
	case 5:
		bufferevent_trigger(bev, EV_READ | EV_WRITE, BEV_OPT_DEFER_CALLBACKS);
		break;
	default:
		bufferevent_enable(bev, EV_READ | EV_WRITE);
		break;
	}
}

static void meddle(struct slot *s)
{
	if (!s->bev)
		return;
	switch (st_below(&seed, 4)) {
	case 0:
		write_some(s->bev);
		break;
	case 1:
		peer_acts(s);
		break;
	case 2:
		switch_some(s->bev);
		break;
	default:
		break;
	}
}

static void slot_make(struct slot *s)
{
	static const int extra[] = {
	    0, 0, BEV_OPT_DEFER_CALLBACKS, BEV_OPT_DEFER_CALLBACKS | BEV_OPT_UNLOCK_CALLBACKS};
	/* Few, for their ports stay in TIME_WAIT. */
	struct st_pair p = chance(20) ? st_tcp_pair() : st_socketpair();

	s->fd = p.ours;
	s->peer = p.peer;
	s->closes = !chance(4);
	s->bev = bufferevent_socket_new(base, p.ours,
	    (s->closes ? BEV_OPT_CLOSE_ON_FREE : 0) | BEV_OPT_THREADSAFE |
		extra[st_below(&seed, 4)]);
	st_check(s->bev, "bufferevent_socket_new");
	bufferevent_setcb(s->bev, readcb, writecb, eventcb, s);
	bufferevent_enable(s->bev, EV_READ);
}

/* An fd that moves from one bufferevent to a new one. */
static void slot_hand_over(struct slot *s)
{
	struct bufferevent *old = s->bev;

	bufferevent_setfd(old, -1);
	s->bev = bufferevent_socket_new(
	    base, s->fd, (s->closes ? BEV_OPT_CLOSE_ON_FREE : 0) | BEV_OPT_THREADSAFE);
	bufferevent_setcb(s->bev, readcb, writecb, eventcb, s);
	bufferevent_enable(s->bev, EV_READ);
	bufferevent_free(old);
}

static void round_of(struct slot *s)
{
	if (!s->bev)
		slot_make(s);
	for (int i = (int)st_below(&seed, 4); i > 0; i--)
		meddle(any_slot());
	if (s->bev && chance(10))
		slot_hand_over(s);
	if (s->bev && chance(3))
		slot_free(s);
	if (chance(2))
		st_pass(base);
}

static void slots_free(void)
{
	for (int i = 0; i < SLOTS; i++)
		slot_free(&slots[i]);
}

static uint64_t first_seed(uint64_t fallback)
{
	const char *text = getenv("STRESS_SEED");

	return text ? strtoull(text, NULL, 0) : fallback;
}

static void at_random(int arg)
{
	int before = 0;

	(void)arg;
	st_check(evthread_use_pthreads() == 0, "evthread_use_pthreads");
	seed = first_seed(0xf4ee0001);
	for (int i = 0; i < ROUNDS; i++) {
		if (i % ROUNDS_A_BASE == 0) {
			before = st_count_fds();
			base = st_base_new();
		}
		round_of(any_slot());
		if (i % ROUNDS_A_BASE < ROUNDS_A_BASE - 1)
			continue;
		slots_free();
		/* A callback that is deferred holds its bufferevent. */
		st_passes(base, 3);
		event_base_free(base);
		st_check(st_count_fds() == before, "round %d: %d descriptors before, %d after", i,
		    before, st_count_fds());
	}
}

/* The base goes while bufferevents are alive and busy; nothing is called any more. */
static void base_goes_first(int arg)
{
	(void)arg;
	st_check(evthread_use_pthreads() == 0, "evthread_use_pthreads");
	seed = first_seed(0xf4ee0002);
	for (int i = 0; i < 200; i++) {
		base = st_base_new();
		for (int k = 0; k < 20; k++)
			round_of(any_slot());
		quiet_depth++;
		event_base_free(base);
		quiet_depth--;
		for (int k = 0; k < SLOTS; k++) {
			struct slot *s = &slots[k];

			if (!s->bev)
				continue;
			/* Its memory is the program's loss: freeing it would touch the base. */
			s->bev = NULL;
			close(s->fd);
			if (s->peer >= 0)
				close(s->peer);
		}
	}
}

/* ---- from another thread */

static int stop_freeing;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static struct bufferevent *given[64];

static void take_away(struct bufferevent *bev, void *arg)
{
	(void)arg;
	evbuffer_drain(bufferevent_get_input(bev), SIZE_MAX);
}

static void nothing(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	(void)what;
	(void)arg;
}

/* Frees whatever it is given. */
static void *free_them(void *arg)
{
	uint64_t own = 0xf4ee0003;

	(void)arg;
	while (!__atomic_load_n(&stop_freeing, __ATOMIC_SEQ_CST)) {
		uint32_t i = st_below(&own, 64);

		pthread_mutex_lock(&gate);
		struct bufferevent *bev = given[i];
		given[i] = NULL;
		pthread_mutex_unlock(&gate);
		if (!bev)
			continue;
		if (st_below(&own, 2))
			bufferevent_write(bev, "bye", 3);
		if (st_below(&own, 4) == 0)
			bufferevent_disable(bev, EV_READ);
		bufferevent_free(bev);
	}
	return NULL;
}

static void *loop(void *arg)
{
	event_base_loop(arg, EVLOOP_NO_EXIT_ON_EMPTY);
	return NULL;
}

static void give(int i, int *peer)
{
	struct st_pair p = st_socketpair();
	struct bufferevent *bev =
	    bufferevent_socket_new(base, p.ours, BEV_OPT_THREADSAFE | BEV_OPT_CLOSE_ON_FREE);
	static char block[30000];

	st_check(bev, "bufferevent_socket_new");
	bufferevent_setcb(bev, take_away, NULL, nothing, NULL);
	bufferevent_enable(bev, EV_READ);
	(void)!send(p.peer, block, sizeof(block), MSG_NOSIGNAL);
	bufferevent_write(bev, block, sizeof(block));
	*peer = p.peer;
	pthread_mutex_lock(&gate);
	given[i] = bev;
	pthread_mutex_unlock(&gate);
}

/* One thread makes, one loops, one frees. */
static void from_another_thread(int rounds)
{
	int peers[64] = {0}, before;
	pthread_t looper, freer;

	st_check(evthread_use_pthreads() == 0, "evthread_use_pthreads");
	seed = first_seed(0xf4ee0004);
	before = st_count_fds();
	base = st_base_new();
	pthread_create(&looper, NULL, loop, base);
	pthread_create(&freer, NULL, free_them, NULL);
	for (int made = 0; made < rounds;) {
		int i = (int)st_below(&seed, 64);

		pthread_mutex_lock(&gate);
		bool taken = given[i] != NULL;
		pthread_mutex_unlock(&gate);
		if (taken)
			continue;
		if (peers[i])
			close(peers[i]);
		give(i, &peers[i]);
		made++;
	}
	__atomic_store_n(&stop_freeing, 1, __ATOMIC_SEQ_CST);
	pthread_join(freer, NULL);
	for (int i = 0; i < 64; i++) {
		if (given[i])
			bufferevent_free(given[i]);
		if (peers[i])
			close(peers[i]);
	}
	event_base_loopbreak(base);
	pthread_join(looper, NULL);
	event_base_free(base);
	st_check(
	    st_count_fds() == before, "%d descriptors before, %d after", before, st_count_fds());
}

/* ---- listeners */

static struct evconnlistener *listener;
static uint16_t port;

static void accepted(
    struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int len, void *arg)
{
	struct slot *s = any_slot();

	(void)sa;
	(void)len;
	(void)arg;
	st_check(l == listener, "a freed listener is called");
	if (chance(2) || s->bev) {
		close(fd);
	} else {
		*s = (struct slot){.fd = fd, .peer = -1, .closes = true};
		s->bev = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
		bufferevent_setcb(s->bev, readcb, writecb, eventcb, s);
		bufferevent_enable(s->bev, EV_READ);
	}
	if (chance(5)) {
		evconnlistener_free(listener);
		listener = NULL;
	} else if (chance(5)) {
		evconnlistener_disable(listener);
	}
}

static void listener_make(void)
{
	struct sockaddr_in sin = {.sin_family = AF_INET};
	socklen_t len = sizeof(sin);

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = evconnlistener_new_bind(base, accepted, NULL,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE | (chance(2) ? LEV_OPT_THREADSAFE : 0), -1,
	    (struct sockaddr *)&sin, sizeof(sin));
	st_check(listener, "evconnlistener_new_bind: %s", strerror(errno));
	getsockname(evconnlistener_get_fd(listener), (struct sockaddr *)&sin, &len);
	port = ntohs(sin.sin_port);
}

/* Mostly by a reset, which leaves no port in TIME_WAIT. */
static void leave(int fd)
{
	struct linger abort_it = {1, 0};

	if (!chance(10))
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort_it, sizeof(abort_it));
	close(fd);
}

static void listeners_at_random(int rounds)
{
	int before, fds[4];

	seed = first_seed(0xf4ee0005);
	before = st_count_fds();
	base = st_base_new();
	for (int i = 0; i < rounds; i++) {
		int n = (int)st_below(&seed, 5);

		if (!listener)
			listener_make();
		for (int k = 0; k < n; k++)
			fds[k] = st_connect(port);
		if (listener && chance(4))
			evconnlistener_enable(listener);
		st_passes(base, (int)st_below(&seed, 3));
		if (listener && chance(6)) {
			evconnlistener_free(listener);
			listener = NULL;
		} else if (listener && chance(4)) {
			evconnlistener_disable(listener);
		}
		for (int k = 0; k < n; k++)
			leave(fds[k]);
	}
	if (listener)
		evconnlistener_free(listener);
	slots_free();
	event_base_free(base);
	st_check(
	    st_count_fds() == before, "%d descriptors before, %d after", before, st_count_fds());
}

static const struct st_case cases[] = {
    {"at_random", at_random, 0, 0},
    {"base_goes_first", base_goes_first, 0, 0},
    {"from_another_thread", from_another_thread, 5000, 0},
    {"listeners_at_random", listeners_at_random, 2000, 0},
    {NULL, NULL, 0, 0},
};

/* base_goes_first leaves memory behind on purpose. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
	return 1;
}

int main(int argc, char **argv)
{
	return st_main(argc, argv, cases);
}
