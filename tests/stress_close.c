/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Close means close. After event_del and close, in either order, the peer sees the end and a
 * listening port is free, without another turn of the loop; and whatever is opened next under the
 * same number never hears from its predecessor.
 *
 * An armed io_uring poll holds its file open, which epoll does not do: every way of closing is
 * tried from every place where a program may do it. (Closing at random: stress_churn.c.)
 */
#include "stress_common.h"

/* --- every kind of file, every kind of watch --- */

enum kind { KIND_UNIX, KIND_TCP, KIND_PIPE_READ, KIND_PIPE_WRITE, KINDS };

static const char *const kind_name[KINDS] = {"unix socket", "tcp socket", "read end", "write end"};

static const struct {
	short what;
	bool timeout; /* armed with a timeout that is not to come */
} watches[] = {
    {EV_READ, false},
    {EV_READ | EV_PERSIST, false},
    {EV_READ | EV_PERSIST, true},
    {EV_WRITE, false},
    {EV_WRITE | EV_PERSIST, false},
    {EV_READ | EV_WRITE | EV_PERSIST, false},
    {EV_READ | EV_ET | EV_PERSIST, false},
    {EV_READ | EV_CLOSED | EV_PERSIST, false},
};

enum { WATCHES = sizeof(watches) / sizeof(watches[0]) };

static const struct timeval long_time = {3600, 0};
static const struct timeval at_once = {0, 0};

static struct st_pair open_kind(enum kind kind)
{
	switch (kind) {
	case KIND_TCP:
		return st_tcp_pair();
	case KIND_PIPE_READ:
		return st_pipe(true);
	case KIND_PIPE_WRITE:
		return st_pipe(false);
	case KIND_UNIX:
	case KINDS:
		break;
	}
	return st_socketpair();
}

/* True iff this watch on this kind can be made to fire. */
static bool can_fire(enum kind kind, short what)
{
	if (kind == KIND_PIPE_READ)
		return what & EV_READ;
	if (kind == KIND_PIPE_WRITE)
		return what & EV_WRITE;
	return true;
}

/* --- the ways to close and the places to do it in --- */

enum order { DEL_CLOSE, CLOSE_DEL, FREE_CLOSE, BASE_FREE_CLOSE, CLOSE_BASE_FREE };
enum place { BEFORE_LOOP, OUTSIDE_LOOP, OWN_CALLBACK, OTHER_CALLBACK };

/* One file on its way to being closed. */
struct victim {
	struct event_base *base;
	struct event *ev;
	struct st_pair p;
	enum order order;
	int calls;     /* of the event's callback */
	int done;      /* times it has been closed */
	bool in_own;   /* close from the event's own callback */
	bool was_gone; /* the peer saw the end before the loop turned */
};

static void close_victim(struct victim *v)
{
	v->done++;
	switch (v->order) {
	case DEL_CLOSE:
		st_check(event_del(v->ev) == 0, "event_del");
		close(v->p.ours);
		break;
	case CLOSE_DEL:
		close(v->p.ours);
		st_check(event_del(v->ev) == 0, "event_del of a closed fd");
		break;
	case FREE_CLOSE:
		event_free(v->ev);
		v->ev = NULL;
		close(v->p.ours);
		break;
	case BASE_FREE_CLOSE:
		event_base_free(v->base);
		v->base = NULL;
		close(v->p.ours);
		break;
	case CLOSE_BASE_FREE:
		close(v->p.ours);
		event_base_free(v->base);
		v->base = NULL;
		break;
	}
	v->was_gone = v->p.peer < 0 || st_peer_gone(v->p.peer);
}

static void victim_cb(evutil_socket_t fd, short what, void *arg)
{
	struct victim *v = arg;

	(void)fd;
	(void)what;
	v->calls++;
	if (v->in_own && !v->done)
		close_victim(v);
}

static void other_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	close_victim(arg);
}

/* Brings the victim to the place and closes it there. */
static void close_in_place(struct victim *v, enum place place)
{
	switch (place) {
	case BEFORE_LOOP:
		close_victim(v);
		break;
	case OUTSIDE_LOOP:
		st_passes(v->base, 2);
		close_victim(v);
		break;
	case OWN_CALLBACK:
		v->in_own = true;
		if (fcntl(v->p.peer, F_GETFL) & (O_WRONLY | O_RDWR))
			st_put(v->p.peer);
		st_check(st_run_until(v->base, &v->done, 1), "the event never fired");
		break;
	case OTHER_CALLBACK:
		st_pass(v->base);
		st_check(event_base_once(v->base, -1, EV_TIMEOUT, other_cb, v, &at_once) == 0,
		    "event_base_once");
		st_check(st_run_until(v->base, &v->done, 1), "the timer never fired");
		break;
	}
}

static void end_victim(struct victim *v)
{
	if (v->ev && v->base)
		event_free(v->ev);
	else if (v->ev)
		st_forget(v->ev);
	if (v->base)
		event_base_free(v->base);
}

static void one_close(enum kind kind, int w, enum order order, enum place place)
{
	struct victim v = {.base = st_base_new(), .order = order};
	int calls;

	if ((watches[w].what & EV_CLOSED) &&
	    !(event_base_get_features(v.base) & EV_FEATURE_EARLY_CLOSE)) {
		event_base_free(v.base);
		return;
	}
	v.p = open_kind(kind);
	v.ev = st_event_new(v.base, v.p.ours, watches[w].what, victim_cb, &v);
	st_add(v.ev, watches[w].timeout ? &long_time : NULL);
	close_in_place(&v, place);
	st_check(v.was_gone, "%s watched for 0x%x: the peer sees no end (%s)", kind_name[kind],
	    (unsigned)watches[w].what, v.base ? event_base_get_method(v.base) : "base freed");
	calls = v.calls;
	if (v.base)
		st_passes(v.base, 3);
	st_check(v.calls == calls, "%s watched for 0x%x: %d callbacks after the close",
	    kind_name[kind], (unsigned)watches[w].what, v.calls - calls);
	close(v.p.peer);
	end_victim(&v);
}

#define HOW(order, place) ((order)*16 + (place))

static void t_close(int how)
{
	enum order order = (enum order)(how / 16);
	enum place place = (enum place)(how % 16);

	for (int kind = 0; kind < KINDS; kind++)
		for (int w = 0; w < WATCHES; w++)
			if (place != OWN_CALLBACK || can_fire((enum kind)kind, watches[w].what))
				one_close((enum kind)kind, w, order, place);
}

/* --- a listening port --- */

static void one_port(enum order order, enum place place, bool accepted)
{
	struct victim v = {.base = st_base_new(), .order = order};
	uint16_t port = 0;
	int again, conn = -1, refused;

	v.p.ours = st_listen(&port, true);
	st_check(v.p.ours >= 0, "listen: %s", strerror(errno));
	v.ev = st_event_new(v.base, v.p.ours, EV_READ | EV_PERSIST, victim_cb, &v);
	st_add(v.ev, NULL);
	v.p.peer = st_connect(port);
	st_check(v.p.peer >= 0, "connect: %s", strerror(errno));
	if (accepted) {
		struct pollfd pfd = {.fd = v.p.ours, .events = POLLIN};

		st_check(poll(&pfd, 1, ST_BOUND_S * 1000) == 1, "nothing to accept");
		conn = accept(v.p.ours, NULL, NULL);
		st_check(conn >= 0, "accept: %s", strerror(errno));
		close(v.p.peer);
		v.p.peer = st_connect(port);
	}
	/* A connection is waiting now, whose peer is reset when the listener really ends. */
	close_in_place(&v, place);
	st_check(v.was_gone, "the waiting connection was not reset");
	refused = st_connect(port);
	st_check(refused < 0 && errno == ECONNREFUSED, "the closed port still accepts");
	again = st_listen(&port, true);
	st_check(again >= 0, "bind again: %s", strerror(errno));
	close(again);
	close(v.p.peer);
	if (conn >= 0)
		close(conn);
	end_victim(&v);
}

/* Without SO_REUSEADDR, the strictest: nobody has ever connected. */
static void one_idle_port(bool in_callback)
{
	struct victim v = {.base = st_base_new(), .order = DEL_CLOSE};
	uint16_t port = 0;
	int again;

	v.p.ours = st_listen(&port, false);
	st_check(v.p.ours >= 0, "listen: %s", strerror(errno));
	v.p.peer = -1;
	v.ev = st_event_new(v.base, v.p.ours, EV_READ | EV_PERSIST, victim_cb, &v);
	st_add(v.ev, NULL);
	close_in_place(&v, in_callback ? OTHER_CALLBACK : OUTSIDE_LOOP);
	again = st_listen(&port, false);
	st_check(again >= 0, "bind again: %s", strerror(errno));
	close(again);
	event_free(v.ev);
	event_base_free(v.base);
}

static void t_port(int place)
{
	for (int order = DEL_CLOSE; order <= FREE_CLOSE; order++) {
		one_port((enum order)order, (enum place)place, false);
		one_port((enum order)order, (enum place)place, true);
	}
	if (place != OWN_CALLBACK)
		one_idle_port(place == OTHER_CALLBACK);
}

/* --- many at once --- */

enum { MASS = 2000 };

struct mass {
	struct event *ev[MASS];
	struct st_pair p[MASS];
	int calls, done;
};

static void mass_close_cb(evutil_socket_t fd, short what, void *arg)
{
	struct mass *m = arg;

	(void)fd;
	(void)what;
	for (int i = 0; i < MASS; i++) {
		event_del(m->ev[i]);
		close(m->p[i].ours);
	}
	for (int i = 0; i < MASS; i++)
		st_check(st_peer_gone(m->p[i].peer), "peer %d of %d sees no end", i, MASS);
	m->done++;
}

/* how: 0 armed, then closed in a callback; 1 added, deleted and closed in one callback; 2 outside.
 */
static void t_mass(int how)
{
	struct event_base *base = st_base_new();
	struct mass *m = calloc(1, sizeof(*m));

	st_check(m, "calloc");
	for (int i = 0; i < MASS; i++) {
		m->p[i] = st_socketpair();
		m->ev[i] =
		    st_event_new(base, m->p[i].ours, EV_READ | EV_PERSIST, st_count_cb, &m->calls);
		st_add(m->ev[i], NULL);
	}
	if (how != 1)
		st_passes(base, 2);
	if (how == 2) {
		mass_close_cb(-1, 0, m);
	} else {
		st_check(event_base_once(base, -1, EV_TIMEOUT, mass_close_cb, m, &at_once) == 0,
		    "event_base_once");
		st_check(st_run_until(base, &m->done, 1), "the timer never fired");
	}
	st_passes(base, 3);
	st_check(m->calls == 0, "%d stale callbacks", m->calls);
	for (int i = 0; i < MASS; i++) {
		close(m->p[i].peer);
		event_free(m->ev[i]);
	}
	free(m);
	event_base_free(base);
}

/*
 * Many files have something to report that the loop has not taken yet, when one after the other is
 * closed: the last in line has its end at once like the first.
 */
static void t_close_among_ready(int backwards)
{
	enum { N = 300 };
	struct event_base *base = st_base_new();
	struct event *ev[N];
	struct st_pair p[N];
	int calls = 0;

	for (int i = 0; i < N; i++) {
		p[i] = st_socketpair();
		ev[i] = st_event_new(base, p[i].ours, EV_READ | EV_PERSIST, st_count_cb, &calls);
		st_add(ev[i], NULL);
	}
	st_passes(base, 2);
	for (int i = 0; i < N; i++)
		st_put(p[i].peer);
	for (int i = 0; i < N / 2; i++) {
		int k = backwards ? N - 1 - i : i;

		event_free(ev[k]);
		close(p[k].ours);
		st_check(st_peer_gone(p[k].peer), "peer %d of %d sees no end", k, N);
		close(p[k].peer);
	}
	st_passes(base, 1);
	st_check(calls == N - N / 2 || !st_ours(), "%d of %d came", calls, N - N / 2);
	for (int i = N / 2; i < N; i++) {
		int k = backwards ? N - 1 - i : i;

		event_free(ev[k]);
		st_close_pair(&p[k]);
	}
	event_base_free(base);
}

/* --- close without event_del --- */

/*
 * epoll forgets a closed file by itself. Here the program deletes only much later; what the peer
 * does meanwhile must not be reported for a number that means nothing now. (poll(2) does report
 * such a number, and stock with it.)
 */
static void t_close_no_del(int peer_acts)
{
	struct event_base *base = st_base_new();
	struct st_pair p = st_socketpair();
	int calls = 0;
	struct event *ev = st_event_new(base, p.ours, EV_READ | EV_PERSIST, st_count_cb, &calls);

	if (st_method_is(base, "poll"))
		st_skip("poll(2) reports a closed number");
	st_add(ev, NULL);
	st_passes(base, 2);
	close(p.ours);
	if (peer_acts == 1 && send(p.peer, "x", 1, MSG_NOSIGNAL) < 0 && errno != EPIPE)
		st_fail("send: %s", strerror(errno));
	if (peer_acts == 2)
		close(p.peer);
	st_passes(base, 5);
	st_check(calls == 0, "%d stale callbacks for a closed number", calls);
	st_check(event_del(ev) == 0, "event_del");
	st_passes(base, 3);
	st_check(calls == 0, "%d stale callbacks after event_del", calls);
	if (peer_acts != 2) {
		st_check(st_peer_gone(p.peer), "the peer sees no end after event_del");
		close(p.peer);
	}
	event_free(ev);
	st_workout(base);
	event_base_free(base);
}

/* --- two numbers for one file --- */

/* how: 0 the original is deleted and closed and the copy goes on; 1 the other way round. */
static void t_dup(int how)
{
	struct event_base *base = st_base_new();
	struct st_pair p = st_socketpair();
	int copy = fcntl(p.ours, F_DUPFD_CLOEXEC, 0), calls[2] = {0, 0}, keep = how ? 0 : 1;
	int fd[2] = {p.ours, copy};
	struct event *ev[2];

	st_check(copy >= 0, "dup: %s", strerror(errno));
	for (int i = 0; i < 2; i++) {
		ev[i] = st_event_new(base, fd[i], EV_READ | EV_PERSIST, st_count_cb, &calls[i]);
		st_add(ev[i], NULL);
	}
	st_put(p.peer);
	st_pass(base);
	st_check(
	    calls[0] == 1 && calls[1] == 1, "calls %d and %d, not one each", calls[0], calls[1]);
	st_drain(copy);
	st_pass(base);
	st_check(calls[0] == 1 && calls[1] == 1, "called although nothing is there");
	event_del(ev[!keep]);
	close(fd[!keep]);
	st_check(recv(p.peer, &(char){0}, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN,
	    "the peer sees an end although a copy is open");
	st_put(p.peer);
	st_check(st_run_until(base, &calls[keep], 2), "the copy lost its event");
	st_check(calls[!keep] == 1, "a deleted event fired");
	event_del(ev[keep]);
	close(fd[keep]);
	st_check(st_peer_gone(p.peer), "the peer sees no end after both are closed");
	close(p.peer);
	event_free(ev[0]);
	event_free(ev[1]);
	event_base_free(base);
}

/* --- the same number for another file --- */

/*
 * The old file has something to report that the loop has not seen yet, when its number goes to a
 * new file. how: bit 0, close before event_del; bit 1, the new event writes; bit 2, dup2 closes the
 * old; bit 3, the event's own memory is used again.
 */
static void one_reuse(struct event_base *base, int how)
{
	short what = how & 2 ? EV_WRITE : EV_READ;
	struct st_pair old = st_socketpair(), new;
	int old_calls = 0, new_calls = 0;
	struct event first, second, *ev = how & 8 ? &first : &second;

	event_assign(&first, base, old.ours, EV_READ | EV_PERSIST, st_count_cb, &old_calls);
	st_add(&first, NULL);
	st_pass(base);
	st_put(old.peer);
	if (!(how & 1))
		event_del(&first);
	if (!(how & 4))
		close(old.ours);
	new = st_pair_at(old.ours);
	if (how & 1)
		event_del(&first);
	event_assign(ev, base, new.ours, what | EV_PERSIST, st_count_cb, &new_calls);
	st_add(ev, NULL);
	st_check(st_peer_gone(old.peer), "the old peer sees no end");
	st_passes(base, 3);
	st_check(old_calls == 0, "the old event fired");
	if (how & 2) {
		st_check(
		    new_calls == 3, "a writable socket reported %d times in 3 passes", new_calls);
	} else {
		st_check(new_calls == 0, "the new event fired for the old file");
		st_put(new.peer);
		st_check(st_run_until(base, &new_calls, 1), "the new event never fired");
	}
	event_del(ev);
	close(new.ours);
	st_check(st_peer_gone(new.peer), "the new peer sees no end");
	close(old.peer);
	close(new.peer);
}

static void t_reuse(int unused)
{
	struct event_base *base = st_base_new();

	(void)unused;
	for (int round = 0; round < 20; round++)
		for (int how = 0; how < 16; how++)
			one_reuse(base, how);
	event_base_free(base);
}

/* Two events are active in one pass; whichever runs first replaces the other's file. */
struct rivals {
	struct event_base *base;
	struct event ev[2], fresh;
	struct st_pair p[2], fresh_pair;
	int calls[2], fresh_calls;
	bool close_first;
	bool decided;
};

static void rival_cb(evutil_socket_t fd, short what, void *arg)
{
	struct rivals *r = arg;
	int me = fd == r->p[0].ours ? 0 : 1, other = !me;

	(void)what;
	r->calls[me]++;
	st_drain(fd);
	if (r->decided)
		return;
	r->decided = true;
	if (!r->close_first)
		event_del(&r->ev[other]);
	close(r->p[other].ours);
	if (r->close_first)
		event_del(&r->ev[other]);
	st_check(st_peer_gone(r->p[other].peer), "the rival's peer sees no end");
	r->fresh_pair = st_pair_at(r->p[other].ours);
	event_assign(&r->fresh, r->base, r->fresh_pair.ours, EV_READ | EV_PERSIST, st_count_cb,
	    &r->fresh_calls);
	st_add(&r->fresh, NULL);
}

static void one_rivalry(struct event_base *base, bool close_first)
{
	struct rivals r = {.base = base, .close_first = close_first};

	for (int i = 0; i < 2; i++) {
		r.p[i] = st_socketpair();
		event_assign(&r.ev[i], base, r.p[i].ours, EV_READ | EV_PERSIST, rival_cb, &r);
		st_add(&r.ev[i], NULL);
	}
	st_pass(base);
	st_put(r.p[0].peer);
	st_put(r.p[1].peer);
	st_passes(base, 3);
	st_check(r.calls[0] + r.calls[1] == 1, "%d and %d calls, not one in all", r.calls[0],
	    r.calls[1]);
	st_check(r.fresh_calls == 0, "the fresh event fired for the old file");
	st_put(r.fresh_pair.peer);
	st_check(st_run_until(base, &r.fresh_calls, 1), "the fresh event never fired");
	for (int i = 0; i < 2; i++)
		event_del(&r.ev[i]);
	event_del(&r.fresh);
	st_close_pair(&r.fresh_pair);
	for (int i = 0; i < 2; i++) {
		close(r.p[i].peer);
		if (r.calls[i])
			close(r.p[i].ours);
	}
}

static void t_reuse_in_callback(int unused)
{
	struct event_base *base = st_base_new();

	(void)unused;
	for (int round = 0; round < 100; round++)
		one_rivalry(base, round & 1);
	event_base_free(base);
}

/* A once-event that has not fired dies with its base and holds nothing. */
static void t_once_base_free(int unused)
{
	struct event_base *base = st_base_new();
	struct st_pair p = st_socketpair();
	int calls = 0;

	(void)unused;
	st_check(event_base_once(base, p.ours, EV_READ, st_count_cb, &calls, NULL) == 0,
	    "event_base_once");
	st_passes(base, 2);
	event_base_free(base);
	close(p.ours);
	st_check(st_peer_gone(p.peer), "the peer sees no end");
	close(p.peer);
	st_check(calls == 0, "called");
}

/* A non-persistent event that has fired holds nothing: a plain close is enough. */
static void t_fired_once_close(int kind)
{
	struct event_base *base = st_base_new();
	struct st_pair p = open_kind((enum kind)kind);
	int calls = 0;
	struct event *ev = st_event_new(base, p.ours, EV_READ, st_count_cb, &calls);

	st_add(ev, NULL);
	st_pass(base);
	st_put(p.peer);
	st_check(st_run_until(base, &calls, 1), "never fired");
	close(p.ours);
	st_check(st_peer_gone(p.peer), "the peer sees no end");
	close(p.peer);
	event_free(ev);
	event_base_free(base);
}

static const struct st_case cases[] = {
    {"del_close_before_loop", t_close, HOW(DEL_CLOSE, BEFORE_LOOP), 0},
    {"del_close_outside_loop", t_close, HOW(DEL_CLOSE, OUTSIDE_LOOP), 0},
    {"del_close_in_own_callback", t_close, HOW(DEL_CLOSE, OWN_CALLBACK), 0},
    {"del_close_in_other_callback", t_close, HOW(DEL_CLOSE, OTHER_CALLBACK), 0},
    {"close_del_before_loop", t_close, HOW(CLOSE_DEL, BEFORE_LOOP), 0},
    {"close_del_outside_loop", t_close, HOW(CLOSE_DEL, OUTSIDE_LOOP), 0},
    {"close_del_in_own_callback", t_close, HOW(CLOSE_DEL, OWN_CALLBACK), 0},
    {"close_del_in_other_callback", t_close, HOW(CLOSE_DEL, OTHER_CALLBACK), 0},
    {"free_close_outside_loop", t_close, HOW(FREE_CLOSE, OUTSIDE_LOOP), 0},
    {"free_close_in_own_callback", t_close, HOW(FREE_CLOSE, OWN_CALLBACK), 0},
    {"free_close_in_other_callback", t_close, HOW(FREE_CLOSE, OTHER_CALLBACK), 0},
    {"base_free_close_before_loop", t_close, HOW(BASE_FREE_CLOSE, BEFORE_LOOP), 0},
    {"base_free_close", t_close, HOW(BASE_FREE_CLOSE, OUTSIDE_LOOP), 0},
    {"close_base_free", t_close, HOW(CLOSE_BASE_FREE, OUTSIDE_LOOP), 0},
    {"port_outside_loop", t_port, OUTSIDE_LOOP, 0},
    {"port_before_loop", t_port, BEFORE_LOOP, 0},
    {"port_in_own_callback", t_port, OWN_CALLBACK, 0},
    {"port_in_other_callback", t_port, OTHER_CALLBACK, 0},
    {"mass_close_in_callback", t_mass, 0, 0},
    {"mass_add_del_close_in_callback", t_mass, 1, 0},
    {"mass_close_outside_loop", t_mass, 2, 0},
    {"close_among_many_ready", t_close_among_ready, 0, 0},
    {"close_among_many_ready_backwards", t_close_among_ready, 1, 0},
    {"close_without_del_quiet", t_close_no_del, 0, 0},
    {"close_without_del_peer_writes", t_close_no_del, 1, 0},
    {"close_without_del_peer_closes", t_close_no_del, 2, 0},
    {"dup_copy_goes_on", t_dup, 0, 0},
    {"dup_original_goes_on", t_dup, 1, 0},
    {"number_reused", t_reuse, 0, 0},
    {"number_reused_in_callback", t_reuse_in_callback, 0, 0},
    {"once_base_free", t_once_base_free, 0, 0},
    {"fired_once_close_unix", t_fired_once_close, KIND_UNIX, 0},
    {"fired_once_close_tcp", t_fired_once_close, KIND_TCP, 0},
    {"fired_once_close_pipe", t_fired_once_close, KIND_PIPE_READ, 0},
    {NULL, NULL, 0, 0},
};

int main(int argc, char **argv)
{
	return st_main(argc, argv, cases);
}
