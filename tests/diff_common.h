/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the diff_*.c programs share. Such a program knows libevent's public API only and prints a
 * transcript of what it saw; the same binary is run on Debian's libevent and on ours, with the same
 * environment, and the two transcripts have to be equal. So a transcript has no addresses, no
 * times, no fd numbers and no method names in it.
 *
 * A program is a table of scenarios. Each runs in a child process of its own: a crash or a hang in
 * one is a line of the transcript and does not hide the others, and global state (debug mode,
 * locks, signal handlers) ends with the child. Warnings of the library are swallowed, their wording
 * is not part of the contract.
 *
 * Two traps. The order of events on different fds is nobody's promise: scenarios count those, or
 * sort. And stock's poll method takes closed fds, which ours may refuse: add_refused() reports
 * epoll's answer for stock on poll, so that the transcripts stay comparable.
 */
#ifndef DIFF_COMMON_H
#define DIFF_COMMON_H

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/util.h>

/* Generous: a scenario takes milliseconds; only a hang, or a sanitizer on a loaded machine, comes
 * near. */
enum { DIFF_BOUND_S = 30, DIFF_MAX_LINES = 1000 };

struct diff_scenario {
	const char *name;
	void (*run)(void);
};

#define DIFF_SCENARIO(function)                    \
	{                                          \
		.name = #function, .run = function \
	}

/* One line of the transcript; a scenario that does not stop talking is stopped. */
__attribute__((format(printf, 1, 2))) static inline void say(const char *format, ...)
{
	static _Atomic int lines;
	va_list ap;

	va_start(ap, format);
	fputs("  ", stdout);
	vprintf(format, ap);
	putchar('\n');
	va_end(ap);
	fflush(stdout);
	if (++lines > DIFF_MAX_LINES)
		_exit(1);
}

static inline const char *yes(bool b)
{
	return b ? "yes" : "no";
}

/* The names of event flags, in a buffer that is good for the next three calls as well. */
static inline const char *bits(int what)
{
	static const struct {
		int bit;
		const char *name;
	} names[] = {{EV_TIMEOUT, "TIMEOUT"}, {EV_READ, "READ"}, {EV_WRITE, "WRITE"},
	    {EV_SIGNAL, "SIGNAL"}, {EV_PERSIST, "PERSIST"}, {EV_ET, "ET"},
	    {EV_FINALIZE, "FINALIZE"}, {EV_CLOSED, "CLOSED"}};
	static _Thread_local char ring[4][96];
	static _Thread_local unsigned next;
	char *out = ring[next++ % 4];

	out[0] = 0;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!(what & names[i].bit))
			continue;
		if (out[0])
			strcat(out, "|");
		strcat(out, names[i].name);
	}
	return out[0] ? out : "nothing";
}

static inline struct event_base *new_base(void)
{
	struct event_base *base = event_base_new();

	if (!base) {
		say("no base");
		exit(1);
	}
	return base;
}

/* One look at everything, without waiting. */
static inline int one_pass(struct event_base *base)
{
	return event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static inline struct timeval msec(long ms)
{
	struct timeval tv = {ms / 1000, (ms % 1000) * 1000};

	return tv;
}

static inline void sleep_ms(long ms)
{
	struct timespec ts = {ms / 1000, (ms % 1000) * 1000000};

	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

static inline void must(bool ok, const char *what)
{
	if (ok)
		return;
	say("set-up failed: %s: %s", what, strerror(errno));
	exit(1);
}

#define MUST(condition) must((condition), #condition)

static inline void new_pair(int fd[2])
{
	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) == 0);
}

static inline void new_pipe(int fd[2])
{
	MUST(pipe2(fd, O_NONBLOCK | O_CLOEXEC) == 0);
}

static inline void put(int fd, const char *text)
{
	MUST(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

/* Reads up to n bytes and forgets them; how many, or -1. */
static inline int take(int fd, size_t n)
{
	char buf[4096];

	return (int)read(fd, buf, n < sizeof(buf) ? n : sizeof(buf));
}

/* Callback: says its name and what happened. */
static inline void note_cb(evutil_socket_t fd, short what, void *name)
{
	(void)fd;
	say("%s: %s", (const char *)name, bits(what));
}

/* Callback: counts. */
static inline void count_cb(evutil_socket_t fd, short what, void *counter)
{
	(void)fd;
	(void)what;
	++*(int *)counter;
}

/* Callback: says its name and what happened, and empties the fd. */
static inline void drain_cb(evutil_socket_t fd, short what, void *name)
{
	say("%s: %s", (const char *)name, bits(what));
	while (take(fd, 4096) > 0)
		;
}

static inline const char *pending(struct event *ev)
{
	return bits(
	    event_pending(ev, EV_TIMEOUT | EV_READ | EV_WRITE | EV_SIGNAL | EV_CLOSED, NULL));
}

static inline bool has_feature(const struct event_base *base, int feature)
{
	return (event_base_get_features(base) & feature) == feature;
}

/* Is the library under the program ours? Only stock's poll method needs to know. */
static inline bool on_our_library(void)
{
	const char **method = event_get_supported_methods();

	for (; method && *method; method++) {
		if (strcmp(*method, "io_uring") == 0)
			return true;
	}
	return false;
}

/* Adds an event that has to be refused; the answer of stock's epoll stands in for stock's poll. */
static inline bool add_refused(struct event_base *base, struct event *ev)
{
	bool refused = event_add(ev, NULL) == -1;

	if (refused || on_our_library() || strcmp(event_base_get_method(base), "poll") != 0)
		return refused;
	event_del(ev);
	return true;
}

/* An added event that says its name. */
static inline struct event *watch(struct event_base *base, int fd, int what, const char *name)
{
	struct event *ev = event_new(base, fd, (short)what, note_cb, (void *)(uintptr_t)name);

	MUST(ev != NULL);
	int result = event_add(ev, NULL);
	if (result != 0)
		say("add %s: %d", name, result);
	return ev;
}

static inline void say_add(const char *name, struct event *ev)
{
	int result = event_add(ev, NULL);

	say("add %s: %d, pending %s", name, result, pending(ev));
}

static inline void say_del(const char *name, struct event *ev)
{
	int result = event_del(ev);

	say("del %s: %d, pending %s", name, result, pending(ev));
}

static inline void say_refused(struct event_base *base, const char *name, struct event *ev)
{
	bool refused = add_refused(base, ev);

	say("%s refused: %s, pending %s", name, yes(refused), pending(ev));
}

static inline void passes(struct event_base *base, int n)
{
	for (int i = 1; i <= n; i++) {
		say("pass %d", i);
		one_pass(base);
	}
}

static inline struct sockaddr_in loopback(int port)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return sin;
}

static inline int port_of(int fd)
{
	struct sockaddr_in sin;
	socklen_t len = sizeof(sin);

	MUST(getsockname(fd, (struct sockaddr *)&sin, &len) == 0);
	return ntohs(sin.sin_port);
}

static inline int bound_socket(int type, int port)
{
	struct sockaddr_in sin = loopback(port);
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	MUST(fd >= 0);
	MUST(bind(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0);
	return fd;
}

static inline int connect_to(int type, int port)
{
	struct sockaddr_in sin = loopback(port);
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	MUST(fd >= 0);
	MUST(connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0 || errno == EINPROGRESS);
	return fd;
}

static inline void fill(int fd)
{
	static const char block[4096];

	while (write(fd, block, sizeof(block)) > 0)
		;
}

static inline void tcp_pair(int fd[2])
{
	int listener = bound_socket(SOCK_STREAM, 0);

	MUST(listen(listener, 1) == 0);
	fd[0] = connect_to(SOCK_STREAM, port_of(listener));
	struct pollfd p = {.fd = listener, .events = POLLIN};
	MUST(poll(&p, 1, 5000) == 1);
	fd[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	MUST(fd[1] >= 0);
	close(listener);
}

static inline void diff_swallow_log(int severity, const char *text)
{
	(void)severity;
	(void)text;
}

static inline void diff_child(const struct diff_scenario *scenario)
{
	setpgid(0, 0);
	event_set_log_callback(diff_swallow_log);
	scenario->run();
	fflush(stdout);
	exit(0);
}

/* Waits for the scenario's process, for DIFF_BOUND_S at most; true if it ended by itself and well.
 */
static inline bool diff_wait(pid_t pid)
{
	int status = 0;

	for (int waited_ms = 0; waitpid(pid, &status, WNOHANG) == 0; waited_ms += 2) {
		if (waited_ms > DIFF_BOUND_S * 1000) {
			kill(-pid, SIGKILL);
			waitpid(pid, &status, 0);
			say("did not end in time");
			return false;
		}
		sleep_ms(2);
	}
	if (WIFSIGNALED(status))
		say("ended by signal %d", WTERMSIG(status));
	else if (WEXITSTATUS(status) != 0)
		say("ended with status %d", WEXITSTATUS(status));
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static inline bool diff_wanted(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(name, argv[i]) == 0)
			return true;
	}
	return argc < 2;
}

/* Runs the scenarios named on the command line, or all. */
static inline int diff_main(int argc, char **argv, const struct diff_scenario *table, size_t n)
{
	bool ok = true;
	size_t ran = 0;

	for (size_t i = 0; i < n; i++) {
		if (!diff_wanted(table[i].name, argc, argv))
			continue;
		ran++;
		printf("== %s\n", table[i].name);
		fflush(stdout);
		pid_t pid = fork();
		MUST(pid >= 0);
		if (pid == 0)
			diff_child(&table[i]);
		ok = diff_wait(pid) && ok;
	}
	return ok && ran > 0 ? 0 : 1;
}

/*
 * Scenarios leave their events and bases to the end of their process. That is no leak to report;
 * what the library itself keeps is counted in diff_final.c. (A hook of LeakSanitizer, without
 * meaning in other builds.)
 */
int __lsan_is_turned_off(void);

#define DIFF_MAIN(table)                                                                 \
	int __lsan_is_turned_off(void)                                                   \
	{                                                                                \
		return 1;                                                                \
	}                                                                                \
	int main(int argc, char **argv)                                                  \
	{                                                                                \
		return diff_main(argc, argv, table, sizeof(table) / sizeof((table)[0])); \
	}

#endif
