/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Limits of memory. Every allocation that a base asks for in its life fails once, and in another
 * life everything from that allocation on; each step then either works or fails cleanly, works when
 * there is memory again, and nothing is lost or leaked. And where the kernel has no address space
 * or no locked memory for a ring, the base works without one.
 */
#include "stress_common.h"

#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>

static const struct timeval soon = {0, 2000};
static const struct timeval long_time = {3600, 0};

extern void __asan_init(void) __attribute__((weak));
extern void __tsan_init(void) __attribute__((weak));

/* Sanitizers and valgrind need address space of their own. */
static bool address_space_is_ours(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return !__asan_init && !__tsan_init && !(preload && strstr(preload, "valgrind"));
}

/* --- memory --- */

/* The allocations that libevent asks for; one, or all from one on, are refused. */
static struct {
	long live, count, fail_at, refused;
	bool all_after;
	const char *step;
} heap;

static bool refuse_memory(void)
{
	heap.count++;
	if (!heap.fail_at || heap.count < heap.fail_at)
		return false;
	if (heap.count > heap.fail_at && !heap.all_after)
		return false;
	heap.refused++;
	errno = ENOMEM;
	return true;
}

static void *heap_malloc(size_t n)
{
	void *p = refuse_memory() ? NULL : malloc(n);

	heap.live += p != NULL;
	return p;
}

static void *heap_realloc(void *old, size_t n)
{
	void *p = refuse_memory() ? NULL : realloc(old, n);

	heap.live += p && !old;
	return p;
}

static void heap_free(void *p)
{
	heap.live -= p != NULL;
	free(p);
}

/* True iff the step succeeded at once; else memory was the reason, and from now on there is enough.
 */
static bool had_memory(bool ok, const char *step)
{
	if (ok)
		return true;
	st_check(heap.refused > 0, "%s failed although there was memory", step);
	heap.fail_at = 0;
	heap.step = step;
	return false;
}

/* Does the step; if it fails for want of memory it must succeed once there is enough. */
#define STEP(expr)                                                                        \
	do {                                                                              \
		if (!had_memory((expr), #expr))                                           \
			st_check((expr), "%s fails for ever after %s", #expr, heap.step); \
	} while (0)

struct thrift {
	struct event_base *base;
	struct event_config *cfg;
	struct st_pair p, q, r;
	struct event *read, *write, *timer, *signal;
	const struct timeval *common;
	int reads, writes, ticks, signals, onces, timed;
};

static void thrift_open(struct thrift *t)
{
	STEP((t->cfg = event_config_new()) != NULL);
	STEP(event_config_avoid_method(t->cfg, "kqueue") == 0);
	STEP((t->base = event_base_new_with_config(t->cfg)) != NULL);
	STEP(event_base_priority_init(t->base, 5) == 0);
	STEP((t->read = event_new(
		  t->base, t->p.ours, EV_READ | EV_PERSIST, st_count_cb, &t->reads)) != NULL);
	STEP((t->write = event_new(t->base, t->q.ours, EV_WRITE, st_count_cb, &t->writes)) != NULL);
	STEP((t->timer = event_new(t->base, -1, 0, st_count_cb, &t->ticks)) != NULL);
	STEP((t->signal = event_new(
		  t->base, SIGUSR1, EV_SIGNAL | EV_PERSIST, st_count_cb, &t->signals)) != NULL);
	STEP((t->common = event_base_init_common_timeout(t->base, &soon)) != NULL);
}

static void thrift_add(struct thrift *t)
{
	STEP(event_add(t->read, &long_time) == 0);
	STEP(event_add(t->write, NULL) == 0);
	STEP(event_add(t->timer, t->common) == 0);
	STEP(event_add(t->signal, NULL) == 0);
	STEP(event_base_once(t->base, t->r.ours, EV_READ, st_count_cb, &t->onces, NULL) == 0);
	STEP(event_base_once(t->base, -1, EV_TIMEOUT, st_count_cb, &t->timed, &soon) == 0);
	st_put(t->p.peer);
	st_put(t->r.peer);
	kill(getpid(), SIGUSR1);
}

/* All that was added comes, however often the loop has to be entered again for want of memory. */
static void thrift_loop(struct thrift *t)
{
	int64_t end = st_now_ms() + ST_BOUND_S * 1000;

	while (!t->reads || !t->writes || !t->ticks || !t->signals || !t->onces || !t->timed) {
		int r = event_base_loop(t->base, ST_ONE_PASS);

		had_memory(r >= 0, "event_base_loop");
		st_check(st_now_ms() < end,
		    "lost after a refusal in %s: %d reads, %d writes, %d ticks, %d signals, %d "
		    "and %d once",
		    heap.step, t->reads, t->writes, t->ticks, t->signals, t->onces, t->timed);
		usleep(200);
	}
	st_check(
	    t->writes == 1 && t->ticks == 1 && t->onces == 1 && t->timed == 1 && t->signals == 1,
	    "twice: %d writes, %d ticks, %d signals, %d and %d once", t->writes, t->ticks,
	    t->signals, t->onces, t->timed);
	STEP(event_add(t->write, &soon) == 0);
	STEP(event_del(t->read) == 0);
	STEP(event_add(t->read, NULL) == 0);
	STEP(event_base_once(t->base, -1, EV_TIMEOUT, st_count_cb, &t->timed, NULL) == 0);
}

static void thrift_close(struct thrift *t)
{
	STEP(event_del(t->read) == 0);
	STEP(event_del(t->signal) == 0);
	event_free(t->read);
	event_free(t->write);
	event_free(t->timer);
	event_free(t->signal);
	event_base_free(t->base);
	event_config_free(t->cfg);
}

/* One life of a base in which the k-th allocation fails. Returns false when none was refused. */
static bool one_thrift(struct thrift *t, long k, bool all_after)
{
	long live = heap.live;
	int fds = st_count_fds();
	bool refused;

	t->reads = t->writes = t->ticks = t->signals = t->onces = t->timed = 0;
	heap.count = heap.refused = 0;
	heap.step = "nothing";
	heap.all_after = all_after;
	heap.fail_at = k;
	thrift_open(t);
	thrift_add(t);
	thrift_loop(t);
	refused = heap.refused > 0;
	heap.fail_at = 0;
	thrift_close(t);
	st_drain(t->p.ours);
	st_drain(t->r.ours);
	st_check(heap.live == live, "refusal %ld (in %s) leaks %ld blocks", k, heap.step,
	    heap.live - live);
	st_check(st_count_fds() == fds, "refusal %ld (in %s) leaks %d files", k, heap.step,
	    st_count_fds() - fds);
	return refused;
}

/*
 * (Stock leaks the saved handler of a signal event whose first event_add failed.)
 * how: bit 0, with locks; bit 1, everything after the k-th allocation fails too.
 */
static void t_no_memory(int how)
{
	struct thrift t = {.p = st_socketpair(), .q = st_socketpair(), .r = st_socketpair()};
	long k = 1;

	event_set_mem_functions(heap_malloc, heap_realloc, heap_free);
	if (how & 1)
		st_check(evthread_use_pthreads() == 0, "evthread_use_pthreads");
	one_thrift(&t, 0, false); /* what is allocated once for ever */
	while (one_thrift(&t, k, how & 2))
		k++;
	st_check(k > 10, "only %ld allocations: the library does not use these functions", k);
}

/* --- no memory for what is added --- */

static void break_cb(evutil_socket_t fd, short what, void *base)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(base);
}

/* Loops for a while without memory, and sleeps meanwhile. False: the loop could not go on. */
static bool sleeps_without_memory(struct event_base *base, struct event *end)
{
	enum { WAIT_MS = 500, AWAKE_MS = 150 };
	const struct timeval tv = {0, WAIT_MS * 1000};
	struct timespec before, after;
	long cpu_ms;
	int r;

	st_add(end, &tv);
	heap.fail_at = 1;
	heap.all_after = true;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
	r = event_base_dispatch(base);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
	heap.fail_at = 0;
	cpu_ms = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
	st_check(cpu_ms < AWAKE_MS, "%ld ms of CPU time in %d ms of waiting (%s)", cpu_ms, WAIT_MS,
	    event_base_get_method(base));
	return r >= 0;
}

/*
 * An event_add either asks for all that the event will ever need, and may be refused it, or needs
 * nothing. So what has been added while there was no memory is waited for like anything else.
 */
static void t_no_memory_to_arm(int unused)
{
	enum { MANY = 400 };
	struct st_pair p[MANY];
	struct event *ev[MANY], *end;
	struct event_base *base;
	int calls = 0, added = 0;

	(void)unused;
	st_check(setrlimit(RLIMIT_NOFILE, &(struct rlimit){2000, 2000}) == 0, "setrlimit");
	event_set_mem_functions(heap_malloc, heap_realloc, heap_free);
	base = st_base_new();
	end = st_event_new(base, -1, 0, break_cb, base);
	for (int i = 0; i < MANY; i++) {
		p[i] = st_socketpair();
		ev[i] = st_event_new(base, p[i].ours, EV_READ, st_count_cb, &calls);
	}
	/* The maps have grown, and nothing has ever been armed. */
	for (int i = 0; i < MANY; i++)
		st_add(ev[i], NULL);
	for (int i = 0; i < MANY; i++)
		st_check(event_del(ev[i]) == 0, "event_del");
	heap.all_after = true;
	heap.fail_at = 1;
	for (int i = 0; i < MANY; i++)
		added += event_add(ev[i], NULL) == 0;
	heap.fail_at = 0;
	/* The poll method copies its table, whose size follows what is added, when it loops. */
	if (!sleeps_without_memory(base, end))
		st_check(st_method_is(base, "poll"), "the loop failed");
	st_check(calls == 0, "called");
	for (int i = 0; i < MANY; i++)
		st_put(p[i].peer);
	st_check(st_run_until(base, &calls, added), "of %d that were added %d came", added, calls);
	st_passes(base, 3);
	st_check(calls == added, "%d came, and %d had been added", calls, added);
	for (int i = 0; i < MANY; i++)
		event_free(ev[i]);
	event_free(end);
	event_base_free(base);
}

/* --- address space and locked memory --- */

/* No more memory maps: what malloc needs it has already. */
static void limit_address_space(void)
{
	unsigned long pages = 0;
	FILE *f;
	char *p;

	mallopt(M_MMAP_MAX, 0);
	mallopt(M_TRIM_THRESHOLD, 256 << 20);
	p = malloc(16 << 20);
	st_check(p, "malloc");
	memset(p, 1, 16 << 20);
	free(p);
	f = fopen("/proc/self/statm", "re");
	st_check(f && fscanf(f, "%lu", &pages) == 1, "/proc/self/statm");
	fclose(f);
	st_check(setrlimit(RLIMIT_AS, &(struct rlimit){pages * (rlim_t)sysconf(_SC_PAGESIZE),
					  pages * (rlim_t)sysconf(_SC_PAGESIZE)}) == 0,
	    "setrlimit: %s", strerror(errno));
	st_check(mmap(NULL, 65536, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED,
	    "the limit does nothing");
}

static void t_no_address_space(int unused)
{
	struct event_base *base;

	(void)unused;
	if (!address_space_is_ours())
		st_skip("under a sanitizer");
	limit_address_space();
	base = st_base_new();
	st_workout(base);
	event_base_free(base);
}

struct late {
	struct event_base *base;
	sem_t go;
};

static void *late_main(void *arg)
{
	struct late *l = arg;

	while (sem_wait(&l->go))
		continue;
	st_workout(l->base);
	return NULL;
}

/* The loop moves to a thread whose ring cannot be made. */
static void t_no_address_space_later(int unused)
{
	struct late l;
	pthread_t thread;
	void *warm;

	(void)unused;
	if (!address_space_is_ours())
		st_skip("under a sanitizer");
	/* One arena for all threads, so that what is set aside below serves them too. */
	mallopt(M_ARENA_MAX, 1);
	st_check(evthread_use_pthreads() == 0, "evthread_use_pthreads");
	sem_init(&l.go, 0, 0);
	l.base = st_base_new();
	st_workout(l.base);
	st_check(pthread_create(&thread, NULL, late_main, &l) == 0, "pthread_create");
	limit_address_space();
	warm = malloc(1000);
	free(warm);
	sem_post(&l.go);
	st_check(pthread_join(thread, NULL) == 0, "pthread_join");
	st_workout(l.base);
	event_base_free(l.base);
}

static void t_no_locked_memory(int unused)
{
	struct event_base *base;

	(void)unused;
	st_check(setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){0, 0}) == 0, "setrlimit");
	if (geteuid() == 0 && (setgid(65534) || setuid(65534))) /* root may lock what it likes */
		st_skip("setuid: %s", strerror(errno));
	for (int i = 0; i < 20; i++) {
		base = st_base_new();
		st_workout(base);
		event_base_free(base);
	}
}

static const struct st_case cases[] = {
    {"no_memory_once", t_no_memory, 0, ST_STOCK_FAILS},
    {"no_memory_from_then_on", t_no_memory, 2, ST_STOCK_FAILS},
    {"no_memory_once_locks", t_no_memory, 1, ST_STOCK_FAILS},
    {"no_memory_from_then_on_locks", t_no_memory, 3, ST_STOCK_FAILS},
    {"no_memory_to_arm", t_no_memory_to_arm, 0, 0},
    {"no_address_space", t_no_address_space, 0, 0},
    {"no_address_space_loop_moves", t_no_address_space_later, 0, 0},
    {"no_locked_memory", t_no_locked_memory, 0, 0},
    {NULL, NULL, 0, 0},
};

int main(int argc, char **argv)
{
	return st_main(argc, argv, cases);
}
