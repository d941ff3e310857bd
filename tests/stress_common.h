/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the stress programs share.
 *
 * A stress program is a table of named scenarios that use libevent's public API only, so that one
 * binary runs on stock libevent and, by library path or LD_PRELOAD, on this library. Every scenario
 * runs in a process of its own with its own process group: it may lower limits, enter a sandbox,
 * crash or hang, and the next one does not notice. The verdict travels through shared memory, so
 * that a thread, a child or a grandchild of a scenario may fail it.
 *
 * Usage: PROG [NAME...]. Prints "ok NAME", "FAIL NAME: why" or "skip NAME: why"; exits 1 if one
 * failed, 77 if all were skipped, else 0.
 *
 * Environment:
 *   STRESS_STOCK=1      on stock, run the scenarios that stock is known to fail and demand that
 * they do fail (without it they are skipped there) STRESS_LOCKS=1      make every base with locks
 * (evthread_use_pthreads) STRESS_DEBUG_LOCKS=1  the same, with libevent's lock debugging
 *   STRESS_TIMEOUT=N    seconds one scenario may take (default 120)
 *   STRESS_NOFORK=1     run in this process, for a debugger; name one scenario
 *   STRESS_VERBOSE=1    show the library's own warnings; many are provoked here
 *   STRESS_SEED=N       one seed instead of the fixed ones, where a scenario is random
 */
#ifndef STRESS_COMMON_H
#define STRESS_COMMON_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/thread.h>

enum {
	ST_BOUND_S = 20,  /* how long anything that must happen may take on a loaded machine */
	ST_EOF_MS = 2000, /* how long the peer of a closed fd may wait for the end */
	ST_ONE_PASS = EVLOOP_ONCE | EVLOOP_NONBLOCK,
	ST_EXIT_SKIP = 77,
};

/* Marks on a scenario. */
enum {
	ST_STOCK_FAILS = 1, /* stock 2.1.12 has the bug that this scenario is about */
	ST_OURS_ONLY = 2,   /* asks for something that stock does not claim */
};

struct st_case {
	const char *name;
	void (*run)(int arg);
	int arg;
	unsigned marks;
};

/* The verdict of the running scenario, in memory shared with all its processes. */
struct st_verdict {
	int written; /* set by the first who has something to say */
	int skipped;
	char why[500];
};

static struct st_verdict *st_verdict;
static const char *st_program; /* absolute path of this program, to run it again */

static inline void st_say(bool skipped, const char *fmt, va_list ap)
{
	if (__atomic_exchange_n(&st_verdict->written, 1, __ATOMIC_SEQ_CST))
		return;
	st_verdict->skipped = skipped;
	vsnprintf(st_verdict->why, sizeof(st_verdict->why), fmt, ap);
}

/* Ends the whole scenario as failed, from any thread or descendant of it. */
__attribute__((noreturn, format(printf, 1, 2))) static inline void st_fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	st_say(false, fmt, ap);
	va_end(ap);
	_exit(1);
}

__attribute__((noreturn, format(printf, 1, 2))) static inline void st_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	st_say(true, fmt, ap);
	va_end(ap);
	_exit(ST_EXIT_SKIP);
}

#define ST_STR2(x) #x
#define ST_STR(x) ST_STR2(x)
/* The condition must hold; the rest is a format that tells what was seen instead. */
#define st_check(cond, ...)                                                 \
	do {                                                                \
		if (!(cond))                                                \
			st_fail("line " ST_STR(__LINE__) ": " __VA_ARGS__); \
	} while (0)

/* --- the library under test --- */

/* True iff this library, not stock, answers. */
static inline bool st_ours(void)
{
	const char **m = event_get_supported_methods();

	for (; *m; m++)
		if (!strcmp(*m, "io_uring"))
			return true;
	return false;
}

static inline bool st_method_is(const struct event_base *base, const char *name)
{
	return !strcmp(event_base_get_method(base), name);
}

static inline struct event_base *st_base_new(void)
{
	struct event_base *base = event_base_new();

	st_check(base, "event_base_new: %s", strerror(errno));
	return base;
}

static inline struct event *st_event_new(
    struct event_base *base, int fd, short what, event_callback_fn cb, void *arg)
{
	struct event *ev = event_new(base, fd, what, cb, arg);

	st_check(ev, "event_new: %s", strerror(errno));
	return ev;
}

/* tv may be NULL. */
static inline void st_add(struct event *ev, const struct timeval *tv)
{
	st_check(
	    event_add(ev, tv) == 0, "event_add(fd %d): %s", (int)event_get_fd(ev), strerror(errno));
}

static inline void st_pass(struct event_base *base)
{
	int r = event_base_loop(base, ST_ONE_PASS);

	st_check(r >= 0, "event_base_loop: %d", r);
}

static inline void st_passes(struct event_base *base, int n)
{
	while (n-- > 0)
		st_pass(base);
}

/* An event whose base is gone: only its memory is left, event_free would still look at the base. */
static inline void st_forget(struct event *ev)
{
	event_debug_unassign(ev);
	free(ev);
}

static inline void st_count_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	__atomic_add_fetch((int *)arg, 1, __ATOMIC_SEQ_CST);
}

/*
 * Loops, asleep between events, until a callback has raised the counter to `want`. The only timer
 * is the bound itself, so a loop that fails to wake is seen and not helped.
 */
static inline bool st_run_until(struct event_base *base, const int *counter, int want)
{
	const struct timeval bound = {ST_BOUND_S, 0};
	int expired = 0;
	struct event *guard = st_event_new(base, -1, 0, st_count_cb, &expired);

	st_add(guard, &bound);
	while (*counter < want && !expired) {
		int r = event_base_loop(base, EVLOOP_ONCE);

		st_check(r >= 0, "event_base_loop: %d", r);
	}
	event_free(guard);
	return *counter >= want;
}

/* --- file descriptors --- */

/* One end is watched, the other plays the peer. */
struct st_pair {
	int ours;
	int peer;
};

static inline struct st_pair st_socketpair(void)
{
	int fd[2];

	st_check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) == 0,
	    "socketpair: %s", strerror(errno));
	return (struct st_pair){fd[0], fd[1]};
}

static inline struct st_pair st_pipe(bool watch_read_end)
{
	int fd[2];

	st_check(pipe2(fd, O_NONBLOCK | O_CLOEXEC) == 0, "pipe2: %s", strerror(errno));
	return watch_read_end ? (struct st_pair){fd[0], fd[1]} : (struct st_pair){fd[1], fd[0]};
}

/* Listens on a loopback port; *port 0 lets the kernel choose and is filled in. Returns -1 as bind
 * does. */
static inline int st_listen(uint16_t *port, bool reuse)
{
	int one = 1;
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(*port)};
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	st_check(fd >= 0, "socket: %s", strerror(errno));
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (reuse)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&sin, sizeof(sin)) || listen(fd, 16)) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	st_check(getsockname(fd, (struct sockaddr *)&sin, &len) == 0, "getsockname");
	*port = ntohs(sin.sin_port);
	return fd;
}

/* A blocking connect to a loopback port, then nonblocking. Returns -1 as connect does. */
static inline int st_connect(uint16_t port)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	st_check(fd >= 0, "socket: %s", strerror(errno));
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(fd, (struct sockaddr *)&sin, sizeof(sin))) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	return fd;
}

static inline struct st_pair st_tcp_pair(void)
{
	uint16_t port = 0;
	int lfd = st_listen(&port, false);
	struct st_pair p;
	struct pollfd pfd = {.fd = lfd, .events = POLLIN};

	st_check(lfd >= 0, "listen: %s", strerror(errno));
	p.peer = st_connect(port);
	st_check(p.peer >= 0, "connect: %s", strerror(errno));
	st_check(poll(&pfd, 1, ST_BOUND_S * 1000) == 1, "no connection to accept");
	p.ours = accept4(lfd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	st_check(p.ours >= 0, "accept: %s", strerror(errno));
	close(lfd);
	return p;
}

/* A new pair whose watched end gets the given number; what had it is closed by that. */
static inline struct st_pair st_pair_at(int number)
{
	struct st_pair p = st_socketpair();

	if (p.peer == number) {
		int other = p.ours;

		p.ours = number;
		p.peer = other;
	} else if (p.ours != number) {
		st_check(dup3(p.ours, number, O_CLOEXEC) == number, "dup3: %s", strerror(errno));
		close(p.ours);
		p.ours = number;
	}
	return p;
}

static inline void st_close_pair(struct st_pair *p)
{
	close(p->ours);
	close(p->peer);
	p->ours = p->peer = -1;
}

static inline void st_put(int fd)
{
	ssize_t n = write(fd, "x", 1);

	st_check(n == 1, "write(fd %d): %s", fd, strerror(errno));
}

/* Takes all that is there; returns how much. */
static inline int st_drain(int fd)
{
	char buf[4096];
	int total = 0;
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		total += (int)n;
	return total;
}

static inline int64_t st_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/*
 * True iff the other side of `peer` has really been closed: end of file or a reset on what can be
 * read, EPIPE on what can be written only. Waits up to ST_EOF_MS and never turns the loop.
 */
static inline bool st_peer_gone(int peer)
{
	int64_t end = st_now_ms() + ST_EOF_MS;
	bool writer = (fcntl(peer, F_GETFL) & O_ACCMODE) == O_WRONLY;

	for (;;) {
		struct pollfd pfd = {.fd = peer, .events = writer ? 0 : POLLIN};
		int64_t left = end - st_now_ms();
		char buf[4096];
		ssize_t n;

		if (poll(&pfd, 1, left > 0 ? (int)left : 0) <= 0)
			return false;
		if (writer)
			return pfd.revents & (POLLERR | POLLHUP);
		n = read(peer, buf, sizeof(buf));
		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return true;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return false;
	}
}

/* How many file descriptors are open. */
static inline int st_count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = -3; /* ".", ".." and the directory itself */

	st_check(d, "/proc/self/fd: %s", strerror(errno));
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* --- chance, the same on every run --- */

static inline uint32_t st_random(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	*state = x;
	return (uint32_t)(x >> 16);
}

static inline uint32_t st_below(uint64_t *state, uint32_t n)
{
	return st_random(state) % n;
}

/* --- one of each --- */

struct st_workout {
	int reads, writes, timeouts, signals, total;
};

static inline void st_workout_cb(evutil_socket_t fd, short what, void *arg)
{
	struct st_workout *w = arg;

	if (what & EV_SIGNAL) {
		w->signals++;
	} else if (what & EV_READ) {
		st_drain(fd);
		w->reads++;
	} else if (what & EV_WRITE) {
		w->writes++;
	} else {
		w->timeouts++;
	}
	w->total++;
}

/*
 * A base that is whole delivers a read, a write, a timer and a signal, and afterwards nothing. `p`
 * is two ends of a socket pair that nobody watches; no file descriptor is opened here.
 */
static inline void st_workout_on(struct event_base *base, const struct st_pair *p)
{
	const struct timeval soon = {0, 1000};
	struct st_workout w = {0, 0, 0, 0, 0};
	struct event *r = st_event_new(base, p->ours, EV_READ | EV_PERSIST, st_workout_cb, &w);
	struct event *wr = st_event_new(base, p->peer, EV_WRITE, st_workout_cb, &w);
	struct event *t = st_event_new(base, -1, 0, st_workout_cb, &w);
	struct event *s = st_event_new(base, SIGUSR2, EV_SIGNAL | EV_PERSIST, st_workout_cb, &w);

	st_add(r, NULL);
	st_add(wr, NULL);
	st_add(t, &soon);
	st_add(s, NULL);
	st_put(p->peer);
	st_check(kill(getpid(), SIGUSR2) == 0, "kill: %s", strerror(errno));
	st_run_until(base, &w.total, 4);
	st_check(w.reads == 1 && w.writes == 1 && w.timeouts == 1 && w.signals == 1,
	    "of one each came: %d reads, %d writes, %d timeouts, %d signals (%s)", w.reads,
	    w.writes, w.timeouts, w.signals, event_base_get_method(base));
	st_passes(base, 3);
	st_check(w.total == 4, "%d callbacks too many", w.total - 4);
	st_put(p->peer);
	st_check(st_run_until(base, &w.reads, 2), "a second read never came");
	event_free(r);
	event_free(wr);
	event_free(t);
	event_free(s);
}

static inline void st_workout(struct event_base *base)
{
	struct st_pair p = st_socketpair();

	st_workout_on(base, &p);
	st_close_pair(&p);
}

/* --- the runner --- */

/* Waits for a child of the scenario; its failure is ours. */
static inline void st_wait_child(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		st_check(errno == EINTR, "waitpid: %s", strerror(errno));
	if (WIFSIGNALED(status))
		st_fail("child killed by signal %d", WTERMSIG(status));
	if (WEXITSTATUS(status) == ST_EXIT_SKIP)
		_exit(ST_EXIT_SKIP);
	if (WEXITSTATUS(status))
		st_fail("child exited with %d", WEXITSTATUS(status));
}

static inline void st_ignore_log(int severity, const char *msg)
{
	(void)severity;
	(void)msg;
}

static inline void st_run_in_child(const struct st_case *c)
{
	signal(SIGPIPE, SIG_IGN);
	if (!getenv("STRESS_VERBOSE"))
		event_set_log_callback(st_ignore_log);
	if (getenv("STRESS_DEBUG_LOCKS"))
		evthread_enable_lock_debugging();
	if (getenv("STRESS_LOCKS") || getenv("STRESS_DEBUG_LOCKS"))
		st_check(evthread_use_pthreads() == 0, "evthread_use_pthreads");
	c->run(c->arg);
}

/* Waits for the end of the scenario, not yet reaped, so that its process group still is its own. */
static inline bool st_await_end(pid_t pid)
{
	const char *limit = getenv("STRESS_TIMEOUT");
	int64_t end = st_now_ms() + (limit ? atoi(limit) : 120) * 1000;
	siginfo_t info;

	do {
		info.si_pid = 0;
		if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT | WNOHANG) == 0 &&
		    info.si_pid == pid)
			return true;
		usleep(2000);
	} while (st_now_ms() < end);
	return false;
}

/* Runs one scenario in its own process; 0 ok, 1 failed, 77 skipped, with the reason in st_verdict.
 */
static inline int st_run_case(const struct st_case *c)
{
	int status;
	bool ended;
	pid_t pid;

	memset(st_verdict, 0, sizeof(*st_verdict));
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		st_run_in_child(c);
		exit(0);
	}
	st_check(pid > 0, "fork: %s", strerror(errno));
	setpgid(pid, pid);
	ended = st_await_end(pid);
	kill(-pid, SIGKILL);
	waitpid(pid, &status, 0);
	if (st_verdict->written)
		return st_verdict->skipped ? ST_EXIT_SKIP : 1;
	if (!ended)
		snprintf(st_verdict->why, sizeof(st_verdict->why), "hangs");
	else if (WIFSIGNALED(status))
		snprintf(st_verdict->why, sizeof(st_verdict->why), "killed by signal %d",
		    WTERMSIG(status));
	else if (WEXITSTATUS(status))
		snprintf(st_verdict->why, sizeof(st_verdict->why), "exit status %d",
		    WEXITSTATUS(status));
	else
		return 0;
	return 1;
}

/* Runs and reports one scenario; returns its exit status. */
static inline int st_report(const struct st_case *c)
{
	bool show_stock = getenv("STRESS_STOCK") != NULL, ours = st_ours();
	int r;

	if (!ours && (c->marks & ST_OURS_ONLY)) {
		printf("skip %s: stock does not claim it\n", c->name);
		return ST_EXIT_SKIP;
	}
	if (!ours && (c->marks & ST_STOCK_FAILS) && !show_stock) {
		printf("skip %s: stock has this bug (STRESS_STOCK=1 shows it)\n", c->name);
		return ST_EXIT_SKIP;
	}
	r = st_run_case(c);
	if (!ours && (c->marks & ST_STOCK_FAILS) && r != ST_EXIT_SKIP) {
		if (r == 1)
			printf("ok %s: stock fails as it is known to (%s)\n", c->name,
			    st_verdict->why);
		else
			printf("FAIL %s: stock was expected to fail this\n", c->name);
		return !r;
	}
	if (r == 0)
		printf("ok %s\n", c->name);
	else
		printf("%s %s: %s\n", r == 1 ? "FAIL" : "skip", c->name, st_verdict->why);
	return r;
}

static inline bool st_chosen(const char *name, int argc, char **argv)
{
	if (argc < 2)
		return true;
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], name))
			return true;
	return false;
}

/* A name that is not in the table must not look like a success. */
static inline void st_reject_unknown(const struct st_case *cases, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const struct st_case *c = cases;

		while (c->name && strcmp(c->name, argv[i]))
			c++;
		if (!c->name) {
			fprintf(stderr, "no scenario is called %s\n", argv[i]);
			exit(2);
		}
	}
}

/* Which library and method a base here has; found out in a child, so that this process stays fresh.
 */
static inline void st_print_method(void)
{
	struct event_base *base;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		event_set_log_callback(st_ignore_log);
		base = event_base_new();
		printf("# %s, method %s\n", st_ours() ? "libevent-uring" : "stock",
		    base ? event_base_get_method(base) : "none");
		if (base)
			event_base_free(base);
		fflush(stdout);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

/* The table ends with an entry without a name. */
static inline int st_main(int argc, char **argv, const struct st_case *cases)
{
	int failed = 0, passed = 0;

	st_program = realpath("/proc/self/exe", NULL);
	st_verdict = mmap(
	    NULL, sizeof(*st_verdict), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (st_verdict == MAP_FAILED || !st_program)
		return 2;
	st_reject_unknown(cases, argc, argv);
	st_print_method();
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (const struct st_case *c = cases; c->name; c++) {
		if (!st_chosen(c->name, argc, argv))
			continue;
		if (getenv("STRESS_NOFORK")) {
			st_run_in_child(c);
			passed++;
			continue;
		}
		switch (st_report(c)) {
		case 0:
			passed++;
			break;
		case 1:
			failed++;
			break;
		default:
			break;
		}
	}
	free((void *)(uintptr_t)st_program);
	return failed ? 1 : passed ? 0 : ST_EXIT_SKIP;
}

#endif
