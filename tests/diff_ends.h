/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the programs about bufferevents without descriptors share: the two ends of a pair, with
 * callbacks that tell of themselves.
 *
 * Nothing here depends on the kernel, so the transcript tells every callback with the lengths of
 * the buffers at that moment. `settle` runs the loop until nothing is active any more. Where a
 * timeout counts, the loop runs until it came.
 *
 * Trap: a readcb that takes nothing from an input at its high mark is called without end by stock
 * (libevent issue 891); no scenario does that.
 */
#ifndef DIFF_ENDS_H
#define DIFF_ENDS_H

#include "diff_common.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_compat.h>
#include <event2/bufferevent_struct.h>
#include <event2/thread.h>

static struct event_base *base;
static bool tell_errno; /* in event callbacks */

/* One bufferevent under test: the argument of its callbacks. */
struct side {
	const char *name;
	struct bufferevent *bev;
	int take;   /* what readcb takes at most; -1: all */
	int echo;   /* so many more times readcb writes back what it took */
	int refill; /* so many more times writecb writes 3 bytes */
	bool quiet; /* counts only */
	size_t taken;
	int reads, writes, events;
	void (*then)(struct side *); /* called once, at the end of the next callback */
};

static struct side a = {.name = "a", .take = -1}, b = {.name = "b", .take = -1};

static inline const char *bev_bits(int what)
{
	static const struct {
		int bit;
		const char *name;
	} names[] = {{BEV_EVENT_READING, "READING"}, {BEV_EVENT_WRITING, "WRITING"},
	    {BEV_EVENT_EOF, "EOF"}, {BEV_EVENT_ERROR, "ERROR"}, {BEV_EVENT_TIMEOUT, "TIMEOUT"},
	    {BEV_EVENT_CONNECTED, "CONNECTED"}};
	static char out[96];

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

static inline size_t in_len(struct side *s)
{
	return evbuffer_get_length(bufferevent_get_input(s->bev));
}

static inline size_t out_len(struct side *s)
{
	return evbuffer_get_length(bufferevent_get_output(s->bev));
}

static inline void do_then(struct side *s)
{
	void (*then)(struct side *) = s->then;

	s->then = NULL;
	if (then)
		then(s);
}

static inline void read_cb(struct bufferevent *bev, void *arg)
{
	struct side *s = arg;
	size_t want = s->take < 0 ? in_len(s) : (size_t)s->take;
	char *data = malloc(want + 1);

	s->reads++;
	if (!s->quiet)
		say("%s: read, in %zu, out %zu", s->name, in_len(s), out_len(s));
	size_t n = bufferevent_read(bev, data, want);
	s->taken += n;
	if (s->echo > 0) {
		s->echo--;
		bufferevent_write(bev, data, n);
	}
	free(data);
	do_then(s);
}

static inline void write_cb(struct bufferevent *bev, void *arg)
{
	struct side *s = arg;

	s->writes++;
	if (!s->quiet)
		say("%s: write, in %zu, out %zu", s->name, in_len(s), out_len(s));
	if (s->refill > 0) {
		s->refill--;
		bufferevent_write(bev, "abc", 3);
	}
	do_then(s);
}

static inline void event_cb(struct bufferevent *bev, short what, void *arg)
{
	struct side *s = arg;
	int err = tell_errno ? errno : 0;

	s->events++;
	say("%s: event %s, errno %d, enabled %s", s->name, bev_bits(what), err,
	    bits(bufferevent_get_enabled(bev)));
	do_then(s);
}

static inline void use(struct side *s, struct bufferevent *bev)
{
	s->bev = bev;
	bufferevent_setcb(bev, read_cb, write_cb, event_cb, s);
}

static inline void new_ends(int options)
{
	struct bufferevent *ends[2];

	base = new_base();
	MUST(bufferevent_pair_new(base, options, ends) == 0);
	use(&a, ends[0]);
	use(&b, ends[1]);
}

static inline void settle(void)
{
	event_base_loop(base, EVLOOP_NONBLOCK);
}

static inline void say_lens(void)
{
	say("a in %zu out %zu, b in %zu out %zu", in_len(&a), out_len(&a), in_len(&b), out_len(&b));
}

static inline void write_n(struct side *s, size_t n)
{
	char *data = malloc(n + 1);

	for (size_t i = 0; i < n; i++)
		data[i] = (char)('a' + i % 26);
	say("%s writes %zu: %d", s->name, n, bufferevent_write(s->bev, data, n));
	free(data);
}

static inline void until(const int *count, int n)
{
	struct timeval bound = {20, 0};

	event_base_loopexit(base, &bound);
	while (*count < n && !event_base_got_exit(base))
		event_base_loop(base, EVLOOP_ONCE);
}

static inline void free_it(struct side *s)
{
	say("%s frees itself", s->name);
	bufferevent_free(s->bev);
}

static inline void say_timers(const char *when, struct bufferevent *bev)
{
	say("%s: read %s, write %s", when, pending(&bev->ev_read), pending(&bev->ev_write));
}

#endif
