/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libev's emulation of libevent, as far as the benchmarks call it.
 *
 * libev.so.4 of Debian exports functions named as libevent's but with a struct event of its own.
 * Its header is in a package that excludes libevent's, so both cannot be installed, and the
 * functions are declared here instead, in the layout of libev 4.33: libev's own watchers first,
 * then the slots of the emulation. The constants too are libev's, not libevent's (EV_READ is 1): a
 * program must use the names. Including this file in place of event2/event.h, and linking with
 * libev, is all that makes the libev variant of a benchmark.
 */
#ifndef BENCH_LIBEV_EVENT_H
#define BENCH_LIBEV_EVENT_H

#include <ev.h>
#include <sys/time.h>

#define EV_PERSIST 0x10
#define EV_TIMEOUT EV_TIMER

typedef int evutil_socket_t;

struct event_base;

struct event {
	union {
		struct ev_io io;
		struct ev_signal signal;
	} watcher;
	struct ev_timer timer;
	struct event_base *base;
	void (*callback)(int, short, void *);
	void *arg;
	int fd;
	int priority;
	int result;
	int flags;
	short events;
};

struct event_base *event_base_new(void);
void event_base_free(struct event_base *base);
const char *event_base_get_method(const struct event_base *base);
int event_base_loop(struct event_base *base, int flags);
int event_base_dispatch(struct event_base *base);
int event_base_set(struct event_base *base, struct event *ev);
void event_set(
    struct event *ev, int fd, short events, void (*callback)(int, short, void *), void *arg);
int event_add(struct event *ev, struct timeval *timeout);
int event_del(struct event *ev);
int event_pending(struct event *ev, short events, struct timeval *timeout);

/* Two calls of libevent 2 that the emulation lacks, made from what it has. */
static inline int event_assign(struct event *ev, struct event_base *base, int fd, short events,
    void (*callback)(int, short, void *), void *arg)
{
	event_set(ev, fd, events, callback, arg);
	return event_base_set(base, ev);
}

static inline int event_base_loopbreak(struct event_base *base)
{
	ev_break((struct ev_loop *)base, EVBREAK_ONE);
	return 0;
}

#endif
