/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the programs about socket bufferevents share: a bufferevent under observation, and a stream
 * of bytes in which every position can be told.
 *
 * How much one read takes is nobody's promise, so a transcript has no sizes of single reads and no
 * number of read callbacks: an observer says when data begins, and every event it reports comes
 * with the sum so far. Whatever it took is compared with the stream at that position.
 *
 * until() sleeps in the loop until a callback has made the condition true, with a bound; where the
 * loop is not what makes it true (a peer that is read with read(2)), until_outside() looks every
 * millisecond. settle() gives things that must not happen time to happen.
 *
 * A trap: where a callback leaves the input at its high watermark, stock calls it again and again
 * and a turn of the loop never ends. So the callbacks that keep their data break the loop, and the
 * number of their calls is not for the transcript.
 */
#ifndef DIFF_BEV_SOCK_H
#define DIFF_BEV_SOCK_H

#include "diff_common.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>

enum { BEV_BOUND_MS = DIFF_BOUND_S * 1000 / 2, SETTLE_MS = 40 };

/* One bufferevent and what its callbacks saw. */
struct side {
	const char *name;
	struct bufferevent *bev;
	uint64_t got;      /* bytes that the read callback took */
	size_t most_input; /* the longest input that a callback found */
	int reads, writes, events;
	short what;                     /* of all events together */
	bool keeps;                     /* the read callback leaves the data where they are */
	bool quiet;                     /* it prints nothing */
	bool garbled;                   /* what was taken is not the stream */
	void (*on_read)(struct side *); /* called at the end of the callback, or NULL */
	void (*on_write)(struct side *);
	void (*on_event)(struct side *, short);
};

static inline const char *bev_bits(short what)
{
	static const struct {
		int bit;
		const char *name;
	} names[] = {{BEV_EVENT_CONNECTED, "CONNECTED"}, {BEV_EVENT_EOF, "EOF"},
	    {BEV_EVENT_ERROR, "ERROR"}, {BEV_EVENT_TIMEOUT, "TIMEOUT"},
	    {BEV_EVENT_READING, "READING"}, {BEV_EVENT_WRITING, "WRITING"}};
	static _Thread_local char out[96];

	out[0] = 0;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!(what & names[i].bit))
			continue;
		if (out[0])
			strcat(out, "|");
		strcat(out, names[i].name);
	}
	return out;
}

/* ---- the stream ---- */

static inline unsigned char stream_at(uint64_t position)
{
	uint64_t x = (position + 1) * 0x9e3779b97f4a7c15u;

	return (unsigned char)(x >> 56);
}

static inline void stream_fill(void *block, size_t n, uint64_t position)
{
	unsigned char *p = block;

	for (size_t i = 0; i < n; i++)
		p[i] = stream_at(position + i);
}

static inline bool stream_is(const void *block, size_t n, uint64_t position)
{
	const unsigned char *p = block;

	for (size_t i = 0; i < n; i++) {
		if (p[i] != stream_at(position + i))
			return false;
	}
	return true;
}

/* Adds n bytes of the stream, from that position on, to a buffer. */
static inline void stream_add(struct evbuffer *to, size_t n, uint64_t position)
{
	char block[4096];

	while (n > 0) {
		size_t part = n < sizeof(block) ? n : sizeof(block);

		stream_fill(block, part, position);
		MUST(evbuffer_add(to, block, part) == 0);
		position += part;
		n -= part;
	}
}

/* Takes everything out of the buffer; counts it, and tells whether it was the stream from *position
 * on. */
static inline bool stream_remove(struct evbuffer *from, uint64_t *position)
{
	char block[4096];
	bool right = true;
	int n;

	while ((n = evbuffer_remove(from, block, sizeof(block))) > 0) {
		right = stream_is(block, (size_t)n, *position) && right;
		*position += (uint64_t)n;
	}
	return right;
}

/* Puts as much of the stream into the fd as it takes, up to position `end`. */
static inline void stream_write(int fd, uint64_t *position, uint64_t end)
{
	char block[4096];

	while (*position < end) {
		uint64_t left = end - *position;
		size_t part = left < sizeof(block) ? (size_t)left : sizeof(block);

		stream_fill(block, part, *position);
		ssize_t n = send(fd, block, part, MSG_NOSIGNAL);
		if (n <= 0)
			return;
		*position += (uint64_t)n;
	}
}

/* A piece of the stream that has to fit into the fd. */
static inline void stream_put(int fd, uint64_t position, uint64_t n)
{
	uint64_t at = position;

	stream_write(fd, &at, position + n);
	MUST(at == position + n);
}

/* Reads what is in the fd now; false if it was not the stream. */
static inline bool stream_read(int fd, uint64_t *position, bool *eof)
{
	char block[4096];
	bool right = true;
	ssize_t n;

	while ((n = read(fd, block, sizeof(block))) > 0) {
		right = stream_is(block, (size_t)n, *position) && right;
		*position += (uint64_t)n;
	}
	if (eof)
		*eof = n == 0;
	return right;
}

/* ---- turning the loop ---- */

/* A guard timer is the only thing that wakes the loop besides what is waited for. */
struct guard {
	struct event_base *base;
	struct event *ev;
	int expired;
};

static inline void guard_cb(evutil_socket_t fd, short what, void *arg)
{
	struct guard *guard = arg;

	(void)fd;
	(void)what;
	guard->expired = 1;
	event_base_loopbreak(guard->base);
}

static inline void guard_start(struct guard *guard, struct event_base *event_base, long ms)
{
	struct timeval tv = msec(ms);

	guard->base = event_base;
	guard->expired = 0;
	guard->ev = event_new(event_base, -1, 0, guard_cb, guard);
	MUST(guard->ev && event_add(guard->ev, &tv) == 0);
}

static inline bool guard_turn(struct guard *guard)
{
	return !guard->expired && event_base_loop(guard->base, EVLOOP_ONCE) >= 0;
}

static inline void guard_end(struct guard *guard, const char *condition)
{
	if (guard->expired)
		say("never came: %s", condition);
	event_free(guard->ev);
}

#define until(event_base, condition)                              \
	do {                                                      \
		struct guard guard_;                              \
		guard_start(&guard_, (event_base), BEV_BOUND_MS); \
		while (!(condition) && guard_turn(&guard_))       \
			;                                         \
		guard_end(&guard_, #condition);                   \
	} while (0)

#define until_outside(event_base, condition)                       \
	do {                                                       \
		int waited_ = 0;                                   \
		while (!(condition) && waited_++ < BEV_BOUND_MS) { \
			one_pass(event_base);                      \
			sleep_ms(1);                               \
		}                                                  \
		if (waited_ > BEV_BOUND_MS)                        \
			say("never came: %s", #condition);         \
	} while (0)

/* Lets the loop run for a while. */
static inline void run_for(struct event_base *event_base, long ms)
{
	struct guard guard;

	guard_start(&guard, event_base, ms);
	while (guard_turn(&guard))
		;
	event_free(guard.ev);
}

static inline void settle(struct event_base *event_base)
{
	run_for(event_base, SETTLE_MS);
}

/* ---- observers ---- */

static inline void side_read_cb(struct bufferevent *bev, void *arg)
{
	struct side *side = arg;
	struct evbuffer *input = bufferevent_get_input(bev);
	size_t length = evbuffer_get_length(input);

	if (length > side->most_input)
		side->most_input = length;
	if (side->reads++ == 0 && !side->quiet)
		say("%s: data", side->name);
	if (side->keeps)
		event_base_loopbreak(bufferevent_get_base(bev));
	else if (!stream_remove(input, &side->got))
		side->garbled = true;
	if (side->on_read)
		side->on_read(side);
}

static inline void side_write_cb(struct bufferevent *bev, void *arg)
{
	struct side *side = arg;

	(void)bev;
	side->writes++;
	if (side->on_write)
		side->on_write(side);
}

static inline void side_event_cb(struct bufferevent *bev, short what, void *arg)
{
	struct side *side = arg;
	int error = errno;

	(void)bev;
	side->events++;
	side->what = (short)(side->what | what);
	if (!side->quiet)
		say("%s: %s%s%s after %llu bytes", side->name, bev_bits(what),
		    what & BEV_EVENT_ERROR ? ", " : "",
		    what & BEV_EVENT_ERROR ? strerror(error) : "", (unsigned long long)side->got);
	if (side->on_event)
		side->on_event(side, what);
}

static inline void side_watch(struct side *side, const char *name, struct bufferevent *bev)
{
	MUST(bev != NULL);
	side->name = name;
	side->bev = bev;
	bufferevent_setcb(bev, side_read_cb, side_write_cb, side_event_cb, side);
}

/* A socket bufferevent that is observed. */
static inline void side_new(
    struct side *side, const char *name, struct event_base *event_base, int fd, int options)
{
	side_watch(side, name, bufferevent_socket_new(event_base, fd, options));
}

/* The same, reading. */
static inline void side_reading(
    struct side *side, const char *name, struct event_base *event_base, int fd, int options)
{
	side_new(side, name, event_base, fd, options);
	MUST(bufferevent_enable(side->bev, EV_READ) == 0);
}

static inline struct evbuffer *in(const struct side *side)
{
	return bufferevent_get_input(side->bev);
}

static inline struct evbuffer *out(const struct side *side)
{
	return bufferevent_get_output(side->bev);
}

static inline void side_sum(const struct side *side)
{
	say("%s: %llu bytes, %s, events %d", side->name, (unsigned long long)side->got,
	    side->garbled ? "garbled" : "in order", side->events);
}

static inline void say_enabled(const struct side *side)
{
	say("%s is enabled for %s", side->name, bits(bufferevent_get_enabled(side->bev)));
}

/* Reads from the fd, with the loop turning, until n bytes of the stream have come. */
static inline void peer_expects(struct event_base *event_base, int fd, uint64_t n)
{
	uint64_t got = 0;
	bool right = true;

	until_outside(event_base, (right = stream_read(fd, &got, NULL) && right, got >= n));
	say("the peer has %llu bytes, %s", (unsigned long long)got, right ? "in order" : "garbled");
}

/* Reads from the fd until its end; how much came before it is said only if asked. */
static inline void peer_expects_eof(struct event_base *event_base, int fd, bool say_bytes)
{
	uint64_t got = 0;
	bool right = true, eof = false;

	until_outside(event_base, (right = stream_read(fd, &got, &eof) && right, eof));
	say("the peer sees the end: %s, the bytes before it %s", yes(eof),
	    right ? "in order" : "garbled");
	if (say_bytes)
		say("there were %llu", (unsigned long long)got);
}

#endif
