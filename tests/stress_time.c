/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Time: any timeval is an interval, long callbacks are not slept over, and who waits, waits: a loop
 * that has nothing to tell takes no CPU time.
 *
 * Bounds are wide, for loaded machines. That a timeout came before the later one that ends the loop
 * says that it was in time; by the clock it may be late by as much as the machine stood still. Too
 * early is never right, but for what the coarse clock is behind. A loop that spins takes most of
 * the time that it should sleep, one that sleeps takes nearly none.
 */
#include "stress_common.h"

/* LOOP_MS: until after the last interval. STALL_MS: this long no machine stands still. COARSE_MS:
 * so late the kernel may be in setting its coarse clock, which stands still while the CPU that sets
 * it does; what is added outside of a loop goes by it and comes early by as much. */
enum { LOOP_MS = 2200, STALL_MS = 20000, COARSE_MS = 200 };

#define COUNT_OF(table) ((int)(sizeof(table) / sizeof((table)[0])))

static void break_cb(evutil_socket_t fd, short what, void *base)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(base);
}

/* Loops for a while. Returns the CPU time that this thread took for it, in ms. */
static int64_t loop_for(struct event_base *base, int ms)
{
	const struct timeval tv = {ms / 1000, ms % 1000 * 1000};
	struct event *end = st_event_new(base, -1, 0, break_cb, base);
	struct timespec before, after;

	st_add(end, &tv);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
	st_check(event_base_dispatch(base) == 0, "event_base_dispatch");
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
	event_free(end);
	return (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
}

/* --- intervals --- */

struct interval {
	struct timeval tv;
	int ms; /* its length; negative: longer than any test */
};

/* Some have in tv_usec what looks like a common timeout's mark, or its bits above the microseconds.
 */
static const struct interval odd[] = {
    {{0, 1000000}, 1000},
    {{0, 1048576}, 1048},
    {{0, 1100000}, 1100},
    {{0, 1500000}, 1500},
    {{1, 500000}, 1500},
    {{1, -500000}, 500},
    {{2, -1999000}, 1},
    {{-1, 1300000}, 300},
    {{-1, 1000000}, 0},
    {{0, -1}, 0},
    {{0, -2000000}, 0},
    {{-5, 0}, 0},
    {{-5, 999999}, 0},
    {{-1, 0}, 0},
    {{0, 0x50000000}, -1},
    {{0, 0x5ff00000 + 1}, -1},
    {{0, 0x10000000}, -1},
};

static const struct interval huge[] = {
    {{INT_MAX, 0}, -1},
    {{INT_MAX, 999999}, -1},
    {{10000000000000, 0}, -1},
    {{LONG_MAX / 1000000, 0}, -1},
    {{LONG_MAX / 1000, 0}, -1},
    {{LONG_MAX / 2, 0}, -1},
    {{LONG_MAX - 1, 999999}, -1},
    {{LONG_MAX, 0}, -1},
    {{0, LONG_MAX}, -1},
    {{INT_MIN, 0}, 0},
    {{LONG_MIN / 2, 0}, 0},
    {{LONG_MAX, LONG_MAX}, -1},
    {{LONG_MIN, 0}, 0},
    {{LONG_MIN, LONG_MIN}, 0},
    {{0, LONG_MIN}, 0},
};

struct timed {
	struct event *ev;
	int64_t added_ms, first_ms;
	int calls;
};

static void timed_cb(evutil_socket_t fd, short what, void *arg)
{
	struct timed *t = arg;

	(void)fd;
	st_check(what == EV_TIMEOUT, "0x%x, not a timeout", (unsigned)what);
	if (t->calls++ == 0)
		t->first_ms = st_now_ms();
}

static void check_timed(const struct timed *t, const struct interval *in, bool coarse)
{
	/* One millisecond is what the clock of this test is cut to. */
	const int early_ms = coarse && in->ms >= 1000 ? COARSE_MS : 1;
	int64_t took = t->first_ms - t->added_ms;

	if (in->ms < 0) {
		st_check(
		    t->calls == 0, "{%ld, %ld} came", (long)in->tv.tv_sec, (long)in->tv.tv_usec);
		return;
	}
	st_check(t->calls > 0, "{%ld, %ld} never came", (long)in->tv.tv_sec, (long)in->tv.tv_usec);
	st_check(took >= in->ms - early_ms && took <= in->ms + STALL_MS,
	    "{%ld, %ld} came after %d ms", (long)in->tv.tv_sec, (long)in->tv.tv_usec, (int)took);
}

/* What the intervals are given to. */
enum timed_kind {
	TIMERS,
	READS,      /* the timeout of an event that reads */
	MOVED,      /* added with another timeout before */
	FROM_INSIDE /* added in a callback, where the time is cached */
};

struct timed_set {
	struct event_base *base;
	const struct interval *table;
	int n;
	enum timed_kind kind;
	struct st_pair quiet;
	int64_t before_loop_ms;
	struct timed timed[32];
};

static void add_all_cb(evutil_socket_t fd, short what, void *arg)
{
	const struct timeval before = {3600, 0};
	struct timed_set *s = arg;

	(void)fd;
	(void)what;
	for (int i = 0; i < s->n; i++) {
		struct timed *t = &s->timed[i];

		t->ev = s->kind == READS
			    ? st_event_new(s->base, s->quiet.ours, EV_READ, timed_cb, t)
			    : st_event_new(s->base, -1, 0, timed_cb, t);
		if (s->kind == MOVED)
			st_add(t->ev, &before);
		/* The cached time, from which it counts inside, is not older than the loop. */
		t->added_ms = s->kind == FROM_INSIDE ? s->before_loop_ms : st_now_ms();
		st_add(t->ev, &s->table[i].tv);
	}
}

static void run_timed(enum timed_kind kind, const struct interval *table, int n)
{
	const struct timeval zero = {0, 0};
	struct timed_set s = {
	    st_base_new(), table, n, kind, st_socketpair(), st_now_ms(), {{NULL, 0, 0, 0}}};

	if (kind == FROM_INSIDE)
		event_base_once(s.base, -1, EV_TIMEOUT, add_all_cb, &s, &zero);
	else
		add_all_cb(-1, 0, &s);
	loop_for(s.base, LOOP_MS);
	for (int i = 0; i < n; i++) {
		check_timed(&s.timed[i], &table[i], kind != FROM_INSIDE);
		event_free(s.timed[i].ev);
	}
	st_close_pair(&s.quiet);
	event_base_free(s.base);
}

static void t_odd(int kind)
{
	run_timed((enum timed_kind)kind, odd, COUNT_OF(odd));
}

static void t_huge(int kind)
{
	run_timed((enum timed_kind)kind, huge, COUNT_OF(huge));
}

/* How often a persistent event comes; from less than nothing it follows that it is always due. */
static void t_odd_persistent(int unused)
{
	struct event_base *base = st_base_new();
	struct timed timed[COUNT_OF(odd)] = {{NULL, 0, 0, 0}};

	(void)unused;
	for (int i = 0; i < COUNT_OF(odd); i++) {
		timed[i].ev = st_event_new(base, -1, EV_PERSIST, timed_cb, &timed[i]);
		timed[i].added_ms = st_now_ms();
		if (odd[i].ms < 0 || odd[i].ms >= 300)
			st_add(timed[i].ev, &odd[i].tv);
	}
	loop_for(base, LOOP_MS);
	for (int i = 0; i < COUNT_OF(odd); i++) {
		/* Not more than fit in, though how long the loop took nobody promises. */
		int early_ms = odd[i].ms >= 1000 ? COARSE_MS : 0, most = 0;

		if (odd[i].ms > 0)
			most = (int)(st_now_ms() - timed[i].added_ms + early_ms) / odd[i].ms;
		if (odd[i].ms < 0 || odd[i].ms >= 300) {
			check_timed(&timed[i], &odd[i], true);
			st_check(timed[i].calls <= most, "{%ld, %ld} came %d times, not %d",
			    (long)odd[i].tv.tv_sec, (long)odd[i].tv.tv_usec, timed[i].calls, most);
		}
		event_free(timed[i].ev);
	}
	event_base_free(base);
}

/* --- a callback that takes its time --- */

static void slow_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	usleep(1000000);
}

/* While a callback runs a second the next timeout comes near. (Stock waits for all of it anew.) */
static void t_long_callback(int unused)
{
	const struct timeval zero = {0, 0}, next = {1, 100000};
	struct event_base *base = st_base_new();
	struct timed t = {NULL, 0, 0, 0};

	(void)unused;
	t.ev = st_event_new(base, -1, 0, timed_cb, &t);
	t.added_ms = st_now_ms();
	st_add(t.ev, &next);
	st_check(event_base_once(base, -1, EV_TIMEOUT, slow_cb, NULL, &zero) == 0, "once");
	st_check(event_base_dispatch(base) == 1, "event_base_dispatch");
	check_timed(&t, &(struct interval){next, 1100}, true);
	event_free(t.ev);
	event_base_free(base);
}

/* --- a loop that waits sleeps --- */

enum { WAIT_MS = 600, AWAKE_MS = 300 };

static void check_sleeps(struct event_base *base, const char *what)
{
	int64_t cpu_ms = loop_for(base, WAIT_MS);

	st_check(cpu_ms < AWAKE_MS, "%s: %d ms of CPU time in %d ms of waiting (%s)", what,
	    (int)cpu_ms, WAIT_MS, event_base_get_method(base));
}

/* Until it stays full: TCP moves from the one buffer to the other when it gets round to it. */
static void fill(int fd)
{
	static const char block[4096];
	struct pollfd pfd = {fd, POLLOUT, 0};

	do {
		while (write(fd, block, sizeof(block)) > 0)
			continue;
	} while (poll(&pfd, 1, 100) > 0 && pfd.revents & POLLOUT);
}

/* The peer has shut down its half, and there is no room to write: nothing to tell, until there is.
 */
static void t_half_closed(int how)
{
	struct event_base *base = st_base_new();
	struct st_pair p = how & 1 ? st_tcp_pair() : st_socketpair();
	int calls = 0;
	struct event *ev = st_event_new(
	    base, p.ours, how & 2 ? EV_WRITE | EV_PERSIST : EV_WRITE, st_count_cb, &calls);

	st_check(shutdown(p.peer, SHUT_WR) == 0, "shutdown");
	fill(p.ours);
	st_add(ev, NULL);
	check_sleeps(base, "a writer");
	st_check(calls == 0, "writable, but there is no room");
	st_drain(p.peer);
	st_check(st_run_until(base, &calls, 1), "never writable again");
	event_free(ev);
	st_close_pair(&p);
	event_base_free(base);
}

/* A hang-up that nobody waits for, on a file that never says RDHUP. how: 0 a pipe whose writer is
 * gone, 1 a socket that is not connected. */
static void t_hung_up(int how)
{
	struct event_base *base = st_base_new();
	struct st_pair p = st_pipe(true);
	int calls = 0, fd = how ? socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) : p.ours;
	struct event *ev = st_event_new(base, fd, EV_CLOSED | EV_PERSIST, st_count_cb, &calls);

	if (st_ours() && !st_method_is(base, "io_uring"))
		st_skip("%s tells of hang-ups without end", event_base_get_method(base));
	close(p.peer);
	st_add(ev, NULL);
	check_sleeps(base, how ? "an unconnected socket" : "a pipe without a writer");
	st_check(calls == 0, "told");
	st_workout(base);
	event_free(ev);
	event_base_free(base);
}

/* Every kind of wait at once. */
static void t_idle(int unused)
{
	const struct timeval far = {3600, 0};
	struct event_base *base = st_base_new();
	struct st_pair p = st_socketpair(), q = st_pipe(true), r = st_tcp_pair();
	int calls = 0;
	struct event *ev[] = {st_event_new(base, p.ours, EV_READ, st_count_cb, &calls),
	    st_event_new(base, p.peer, EV_READ | EV_PERSIST, st_count_cb, &calls),
	    st_event_new(base, q.ours, EV_READ | EV_PERSIST, st_count_cb, &calls),
	    st_event_new(base, r.ours, EV_READ | EV_PERSIST, st_count_cb, &calls),
	    st_event_new(base, SIGUSR1, EV_SIGNAL | EV_PERSIST, st_count_cb, &calls)};

	(void)unused;
	for (int i = 0; i < COUNT_OF(ev); i++)
		st_add(ev[i], i & 1 ? &far : NULL);
	check_sleeps(base, "all sorts");
	st_check(calls == 0, "%d callbacks", calls);
	for (int i = 0; i < COUNT_OF(ev); i++)
		event_free(ev[i]);
	event_base_free(base);
}

/* --- debug mode --- */

static int64_t cpu_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/*
 * Debug mode keeps a book of all events. What it costs must not grow with all that ever were: all
 * these take less than a tenth of a second in a plain build. live: so many of them live at a time.
 */
static void t_debug_mode(int live)
{
	enum { TIMES = 400000, BOUND_MS = 10000, MOST = 1000 };
	struct event *ev[MOST] = {NULL};
	struct event_base *base;
	int64_t begin = cpu_ms();

	event_enable_debug_mode();
	base = st_base_new();
	for (int i = 0; i < TIMES; i++) {
		struct event **e = &ev[i % live];

		if (*e)
			event_free(*e);
		*e = st_event_new(base, -1, 0, st_count_cb, NULL);
		/* Now and then ask, so that a slow test ends early. */
		if (i % 1000 == 0)
			st_check(cpu_ms() - begin < BOUND_MS,
			    "%d events took %d ms of CPU time, %d live", i, (int)(cpu_ms() - begin),
			    live);
	}
	for (int i = 0; i < live; i++)
		event_free(ev[i]);
	event_base_free(base);
}

static const struct st_case cases[] = {
    {"odd_intervals", t_odd, TIMERS, ST_OURS_ONLY},
    {"odd_intervals_of_reads", t_odd, READS, ST_OURS_ONLY},
    {"odd_intervals_moved", t_odd, MOVED, ST_OURS_ONLY},
    {"odd_intervals_in_callback", t_odd, FROM_INSIDE, ST_OURS_ONLY},
    {"odd_intervals_persistent", t_odd_persistent, 0, ST_OURS_ONLY},
    {"huge_intervals", t_huge, TIMERS, ST_STOCK_FAILS},
    {"huge_intervals_of_reads", t_huge, READS, ST_STOCK_FAILS},
    {"huge_intervals_moved", t_huge, MOVED, ST_STOCK_FAILS},
    {"huge_intervals_in_callback", t_huge, FROM_INSIDE, ST_STOCK_FAILS},
    {"long_callback_is_not_slept_over", t_long_callback, 0, ST_STOCK_FAILS},
    {"idle_sleeps", t_idle, 0, 0},
    {"half_closed_unix_once_sleeps", t_half_closed, 0, 0},
    {"half_closed_unix_persistent_sleeps", t_half_closed, 2, 0},
    {"half_closed_tcp_once_sleeps", t_half_closed, 1, 0},
    {"half_closed_tcp_persistent_sleeps", t_half_closed, 3, 0},
    {"hung_up_pipe_sleeps", t_hung_up, 0, ST_STOCK_FAILS},
    {"hung_up_socket_sleeps", t_hung_up, 1, ST_STOCK_FAILS},
    {"debug_mode_one_live_event", t_debug_mode, 1, 0},
    {"debug_mode_1000_live_events", t_debug_mode, 1000, 0},
    {NULL, NULL, 0, 0},
};

int main(int argc, char **argv)
{
	return st_main(argc, argv, cases);
}
