/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Row 10: timers, with many of them pending.
 *
 * Every timer starts with a timeout of 100 to 200 seconds. Then, each on its own clock:
 *
 * - add: the first event_add of each.
 * - readd: event_add on a random pending timer with a later deadline, as when a connection shows
 *   life, outside a running loop.
 * - loop: the same from a callback, where the base's clock is cached, BATCH a turn.
 * - warm: as "loop", but the event is in the CPU's cache, as it is when a server puts off the timer
 *   of a connection that it has just served. Otherwise the cost is mostly that of fetching a random
 *   event from memory, which no library can avoid.
 * - mixed: as "loop", but one in ten deadlines is brought forward.
 * - expire: EXPIRE_MOST timers that are due fire, with all the others still pending.
 * - settle: what putting a timer off may leave to be paid later. As many timers are added to be due
 *   soon and at once put off for long; then, past the first deadline, the loop turns once. A
 *   library that moves the timer in event_add pays nothing here, one that waits for the old
 *   deadline pays now. readd + settle, printed as "worst", is the most that one re-add costs.
 * - del: event_del of pending timers in random order.
 *
 * Verified: no timer is lost; each due timer fires once, in the order of the deadlines, and nothing
 * else fires; the new deadlines of a sample are what was asked for; a deleted timer is not pending;
 * and when all are deleted the loop returns at once.
 */
#include "peer.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	BATCH = 1000,         /* re-adds a callback in the phase "loop" */
	EXPIRE_MOST = 100000, /* timers that fire in the phase "expire" */
	DEL_MOST = 1000000,   /* deletions that are timed */
	SAMPLE = 1000,        /* timers whose deadline is looked at */
	AHEAD = 16,           /* how many re-adds before its own an event is fetched in "warm" */
	LINE = 64,            /* bytes of a cache line */
	NOT_DUE = -1          /* place of a timer that must not fire */
};

struct timers;

struct timer {
	struct event event;
	int32_t place; /* which one to fire it is, or NOT_DUE */
	struct timers *timers;
};

/* One re-add. All are drawn before the clock starts, so that the program itself costs little. */
struct draw {
	uint32_t index; /* of the timer */
	uint32_t ms;    /* its new timeout */
};

struct timers {
	struct event_base *base;
	struct timer *timer; /* all of them */
	uint32_t *ms;        /* the timeout of each as it was last drawn */
	struct draw *draws;  /* the re-adds to come */
	uint32_t n;
	uint64_t random;  /* state of the generator */
	int64_t n_draws;  /* re-adds a phase */
	int64_t n_done;   /* re-adds done in the phases "loop" and "warm" */
	uint32_t earlier; /* of ten re-adds, how many bring the deadline forward */
	bool warm;        /* fetch events into the cache ahead of their re-adds */
	uint32_t n_due;   /* timers that should fire */
	uint32_t n_fired;
	struct event driver; /* runs the phases that are inside the loop */
	int pair[2];         /* a socket that is always writable, for the driver */
};

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct timer *timer = arg;
	struct timers *timers = timer->timers;

	(void)fd;
	(void)what;
	if (timer->place != (int32_t)timers->n_fired)
		bench_fail("timer %d fired as number %u", (int)timer->place, timers->n_fired);
	timer->place = NOT_DUE;
	timers->n_fired++;
}

static void add_ms(struct timer *timer, uint32_t ms)
{
	struct timeval timeout = {ms / 1000, (ms % 1000) * 1000};

	if (event_add(&timer->event, &timeout) != 0)
		bench_fail("event_add failed");
}

/* Deadlines are put off, or else brought forward, by up to a minute. */
static void draw_readds(struct timers *timers)
{
	for (int64_t i = 0; i < timers->n_draws; i++) {
		uint32_t index = bench_random_below(&timers->random, timers->n);
		uint32_t by = bench_random_below(&timers->random, 60000), *ms = &timers->ms[index];

		if (bench_random_below(&timers->random, 10) >= timers->earlier)
			*ms += by;
		else
			*ms = *ms > 100000 + by ? *ms - by : 100000;
		timers->draws[i] = (struct draw){index, *ms};
	}
}

static void fetch(const struct event *event)
{
	for (size_t at = 0; at < sizeof(*event); at += LINE)
		__builtin_prefetch((const char *)event + at, 1);
	__builtin_prefetch((const char *)(event + 1) - 1, 1);
}

static void readd(struct timers *timers, int64_t from, int64_t to)
{
	for (int64_t i = from; i < to; i++) {
		if (timers->warm && i + AHEAD < timers->n_draws)
			fetch(&timers->timer[timers->draws[i + AHEAD].index].event);
		add_ms(&timers->timer[timers->draws[i].index], timers->draws[i].ms);
	}
}

static double report(const char *name, struct bench_span *span, int64_t count)
{
	double ns;

	bench_stop(span);
	ns = (double)span->cpu / (double)count;
	bench_report(name, ns);
	return ns;
}

static void add_all(struct timers *timers)
{
	struct bench_span span;

	for (uint32_t i = 0; i < timers->n; i++) {
		struct timer *timer = &timers->timer[i];

		timer->timers = timers;
		timer->place = NOT_DUE;
		timers->ms[i] = 100000 + bench_random_below(&timers->random, 100000);
		event_assign(&timer->event, timers->base, -1, 0, on_timer, timer);
	}
	bench_start(&span);
	for (uint32_t i = 0; i < timers->n; i++)
		add_ms(&timers->timer[i], timers->ms[i]);
	report("add_ns", &span, timers->n);
}

static double readd_outside(struct timers *timers)
{
	struct bench_span span;

	draw_readds(timers);
	bench_start(&span);
	readd(timers, 0, timers->n_draws);
	return report("readd_ns", &span, timers->n_draws);
}

/* Run the loop with a callback that is called once a turn until it breaks the loop. */
static void drive(struct timers *timers, void (*callback)(evutil_socket_t, short, void *))
{
	event_assign(&timers->driver, timers->base, timers->pair[0], EV_WRITE | EV_PERSIST,
	    callback, timers);
	if (event_add(&timers->driver, NULL) != 0)
		bench_fail("event_add failed");
	event_base_dispatch(timers->base);
	event_del(&timers->driver);
}

static void on_readd_turn(evutil_socket_t fd, short what, void *arg)
{
	struct timers *timers = arg;
	int64_t left = timers->n_draws - timers->n_done;
	int64_t to = timers->n_done + (left < BATCH ? left : BATCH);

	(void)fd;
	(void)what;
	readd(timers, timers->n_done, to);
	timers->n_done = to;
	if (to == timers->n_draws)
		event_base_loopbreak(timers->base);
}

static void readd_inside(struct timers *timers, const char *name, bool warm)
{
	struct bench_span span;

	draw_readds(timers);
	timers->warm = warm;
	timers->n_done = 0;
	bench_start(&span);
	drive(timers, on_readd_turn);
	report(name, &span, timers->n_draws);
}

/* A stride that visits every timer once, in an order that no cache expects. */
static uint32_t stride(const struct timers *timers)
{
	uint32_t a = (uint32_t)((double)timers->n * 0.6180339887) | 1, b, c;

	for (;; a += 2) {
		uint32_t x = a;

		for (b = timers->n; b != 0; b = c) {
			c = x % b;
			x = b;
		}
		if (x == 1)
			return a % timers->n;
	}
}

/* Add some timers from within the loop, so that all have the same "now": due 1 us apart. */
static void on_expire_turn(evutil_socket_t fd, short what, void *arg)
{
	struct timers *timers = arg;
	uint64_t step = stride(timers), index = 0;

	(void)fd;
	(void)what;
	for (uint32_t i = 0; i < timers->n_due; i++) {
		struct timer *timer = &timers->timer[index];
		struct timeval timeout = {0, (suseconds_t)(1 + i)};

		timer->place = (int32_t)i;
		event_add(&timer->event, &timeout);
		index = (index + step) % timers->n;
	}
	event_base_loopbreak(timers->base);
}

static void sleep_ms(long ms)
{
	struct timespec left = {ms / 1000, (ms % 1000) * 1000000};

	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		continue;
}

static void expire(struct timers *timers)
{
	struct bench_span span;

	timers->n_due = timers->n < EXPIRE_MOST ? timers->n : EXPIRE_MOST;
	drive(timers, on_expire_turn);
	sleep_ms(timers->n_due / 1000 + 50);
	bench_start(&span);
	event_base_loop(timers->base, EVLOOP_NONBLOCK);
	report("expire_ns", &span, timers->n_due);
	if (timers->n_fired != timers->n_due)
		bench_fail("%u of %u due timers fired", timers->n_fired, timers->n_due);
}

/* The timers that fired are the ones that are put off here: pending again, soon, then late. */
static double settle(struct timers *timers)
{
	uint64_t step = stride(timers), index = 0;
	uint32_t n_idle = timers->n_due;
	struct bench_span span;
	double ns;

	for (uint32_t i = 0; i < n_idle; i++) {
		add_ms(&timers->timer[index], 20);
		add_ms(&timers->timer[index], 100000 + i % 50000);
		index = (index + step) % timers->n;
	}
	sleep_ms(100);
	bench_start(&span);
	event_base_loop(timers->base, EVLOOP_NONBLOCK);
	ns = report("settle_ns", &span, n_idle);
	if (timers->n_fired != n_idle)
		bench_fail("a timer fired that had been put off");
	return ns;
}

#ifndef BENCH_LIBEV
/* Put off by a known time, a timer's deadline is that far away; libev's event_pending cannot say.
 */
static void check_deadlines(struct timers *timers)
{
	for (int i = 0; i < SAMPLE; i++) {
		uint32_t index = bench_random_below(&timers->random, timers->n);
		struct timer *timer = &timers->timer[index];
		struct timeval now, deadline;
		int64_t ms;

		timers->ms[index] += 1000;
		add_ms(timer, timers->ms[index]);
		if (event_pending(&timer->event, EV_TIMEOUT, &deadline) == 0)
			bench_fail("a timer that was added is not pending");
		evutil_gettimeofday(&now, NULL);
		ms =
		    (deadline.tv_sec - now.tv_sec) * 1000 + (deadline.tv_usec - now.tv_usec) / 1000;
		if (llabs(ms - (int64_t)timers->ms[index]) > 2000)
			bench_fail(
			    "a deadline is %lld ms away, not %u", (long long)ms, timers->ms[index]);
	}
}
#else
static void check_deadlines(struct timers *timers)
{
	(void)timers;
}
#endif

static void check_all_pending(struct timers *timers)
{
	for (uint32_t i = 0; i < timers->n; i++) {
		if (event_pending(&timers->timer[i].event, EV_TIMEOUT, NULL) == 0)
			bench_fail("a timer that was added is not pending");
	}
}

static void delete_many(struct timers *timers)
{
	uint64_t step = stride(timers), index = 0;
	uint32_t count = timers->n < DEL_MOST ? timers->n : DEL_MOST;
	struct bench_span span;

	bench_start(&span);
	for (uint32_t i = 0; i < count; i++) {
		event_del(&timers->timer[index].event);
		index = (index + step) % timers->n;
	}
	report("del_ns", &span, count);
	index = 0;
	for (uint32_t i = 0; i < count; i++) {
		if (event_pending(&timers->timer[index].event, EV_TIMEOUT, NULL) != 0)
			bench_fail("a deleted timer is pending");
		index = (index + step) % timers->n;
	}
	if (count == timers->n)
		event_base_dispatch(timers->base);
	if (timers->n_fired != timers->n_due)
		bench_fail("a deleted timer fired");
}

static void run(struct timers *timers)
{
	double worst;

	timers->random = 88172645463325252u;
	timers->base = bench_base_new();
	timers->timer = calloc(timers->n, sizeof(*timers->timer));
	timers->ms = calloc(timers->n, sizeof(*timers->ms));
	timers->draws = calloc((size_t)timers->n_draws, sizeof(*timers->draws));
	if (timers->timer == NULL || timers->ms == NULL || timers->draws == NULL)
		bench_fail("out of memory");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, timers->pair) != 0)
		bench_fail("socketpair: %s", strerror(errno));
	add_all(timers);
	worst = readd_outside(timers);
	readd_inside(timers, "loop_ns", false);
	readd_inside(timers, "warm_ns", true);
	timers->earlier = 1;
	readd_inside(timers, "mixed_ns", false);
	check_all_pending(timers);
	check_deadlines(timers);
	expire(timers);
	worst += settle(timers);
	bench_report("worst_ns", worst);
	delete_many(timers);
	/* With millions left, taking the base apart takes longer than the benchmark. */
	if (timers->n <= DEL_MOST)
		event_base_free(timers->base);
	free(timers->draws);
	free(timers->ms);
	free(timers->timer);
	close(timers->pair[0]);
	close(timers->pair[1]);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"pending", required_argument, NULL, 'p'},
	    {"readds", required_argument, NULL, 'r'}, {"cpu", required_argument, NULL, 'c'},
	    {NULL, 0, NULL, 0}};
	struct timers timers = {.n = 100000, .n_draws = 1000000};
	long cpu = -1;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'p')
			timers.n = (uint32_t)bench_number("pending", optarg, 2);
		else if (option == 'r')
			timers.n_draws = bench_number("readds", optarg, 1);
		else if (option == 'c')
			cpu = bench_number("cpu", optarg, 0);
		else
			bench_fail("usage: timers [--pending N] [--readds N] [--cpu N]");
	}
	bench_pin((int)cpu);
	run(&timers);
	return 0;
}
