/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A load client for memcached that believes nothing.
 *
 * Every connection owns a range of keys that no other connection touches, so for every get the
 * expected value is known exactly: the client compares key, flags, length and every byte. Values
 * are not kept; each is a stream of pseudo-random words computed from (seed, connection, slot,
 * generation, version), made again when the answer arrives. A miss of a stored key is a mismatch,
 * as is a byte of another key, of an older version, or of a shifted stream.
 *
 * The happy path of a connection: connect, then keep --depth requests in flight: fill the output
 * buffer, write, read, parse the answers in the order of the requests. One thread, one epoll.
 *
 * With --churn a connection now and then stops issuing, waits until nothing is in flight, and
 * leaves in one of the ways of enum leave: politely, by reset, half way through a value that it
 * stores or that it is being sent, or without waiting for the answer to a set. Then it connects
 * again and goes on with the same keys.
 *
 * Traps:
 *  - A set that was cut off in the middle must leave the old value; that is checked by later gets.
 *  - A set sent whole on a connection that vanished may be applied at any later time, by another
 *    thread of the server. Its key is retired: the slot goes on under the next generation's name.
 *  - Large values make both sides write at once, so this client never stops reading to write.
 *  - A lost wake-up in the server shows as silence: no progress for --timeout seconds is an error.
 *
 * It uses no libevent on purpose: the thing under test must not test itself.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "mcvalue.h"

enum {
	OUT_BYTES = 16 * 1024,       /* output buffer of a connection */
	HEAD_BYTES = 256,            /* room that one request line needs at most */
	LINE_BYTES = 512,            /* longest answer line */
	IN_BYTES = 64 * 1024,        /* one read */
	PREFIX_BYTES = 64,           /* longest --prefix */
	REPORTS_MAX = 20,            /* mismatches and errors that are told one by one */
	LINGER_NS = 5 * 1000 * 1000, /* how long a vanishing client may stay silent */
};

static struct {
	const char *host;
	uint16_t port;
	uint32_t connections;
	uint64_t requests;
	struct size_mix sizes;
	double set_ratio, churn, large; /* chances, from 0 to 1 */
	uint32_t depth, keys, timeout;
	uint64_t seed;
	char prefix[PREFIX_BYTES + 1];
	bool verify;
} opt = {
    .host = "127.0.0.1",
    .port = 11211,
    .connections = 64,
    .requests = 100000,
    .set_ratio = 0.1,
    .depth = 1,
    .keys = 16,
    .timeout = 30,
    .seed = 1,
};

/* What the server must hold under one key. */
struct slot {
	uint32_t generation; /* part of the key's name; grows when the key is retired */
	uint32_t version;    /* of the value stored last; 0 = nothing is stored */
	uint32_t next;       /* version that the next set uses; never used twice in a generation */
	uint32_t size;
};

enum request_kind { REQUEST_GET, REQUEST_SET };

struct request {
	enum request_kind kind;
	uint32_t slot;
	struct value value; /* stored by the set, expected by the get */
};

enum conn_state {
	CONN_CONNECTING,
	CONN_READY,   /* serving requests, or idle */
	CONN_LEAVING, /* does not read any more; closed at leave_at_ns */
};

enum leave {
	LEAVE_NOT,
	LEAVE_POLITELY,   /* closed while nothing is in flight */
	LEAVE_RESET,      /* the same, by RST */
	LEAVE_HALF_SET,   /* part of a set's value was sent */
	LEAVE_UNSURE_SET, /* a whole set was sent, the answer not awaited */
	LEAVE_HALF_GET,   /* a get was sent, the answer not read, or a part of it */
	LEAVE_KINDS,
};

/* What the next byte of the server's answer belongs to. */
enum parse { PARSE_LINE, PARSE_DATA, PARSE_DATA_END };

struct conn {
	int fd;
	uint32_t index;
	enum conn_state state;
	uint32_t armed; /* epoll events asked for */

	struct slot *slots;       /* opt.keys of them */
	struct request *inflight; /* ring of opt.depth, oldest at first */
	uint32_t first, count;
	uint32_t verify_next; /* next slot to check in the last phase */

	char out[OUT_BYTES];
	size_t out_start, out_end;
	bool putting; /* True iff a value is being copied to out */
	struct value put;
	size_t put_done, put_limit; /* bytes copied, bytes to copy (value and CRLF) */

	enum parse parse;
	char line[LINE_BYTES];
	size_t line_len;
	uint32_t data_size, data_done; /* of the value being received */
	bool value_seen, value_bad;    /* for the oldest request in flight */

	enum leave leave; /* how to leave once nothing is in flight */
	uint64_t leave_at_ns;
};

enum phase { PHASE_CONNECT, PHASE_LOAD, PHASE_VERIFY, PHASE_DONE };

static struct {
	enum phase phase;
	int epoll;
	struct sockaddr_in address;
	struct conn *conns;
	uint64_t random;
	uint32_t connected; /* since the start, first connections only */
	uint32_t leaving;   /* connections in CONN_LEAVING */
	uint64_t issued, answered, gets, sets, compared;
	uint64_t bytes, mismatches, errors, reopened, vanished;
	uint64_t start_ns, end_ns, progress_ns;
	bool abort;
} run;

static void conn_open(struct conn *c);
static void conn_pump(struct conn *c);

/* ---- small things ---- */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t random_word(void)
{
	run.random += VALUE_STEP;
	return mix(run.random);
}

static uint32_t random_below(uint32_t n)
{
	assert(n > 0);
	return (uint32_t)(random_word() % n);
}

static bool chance(double p)
{
	return p > 0 && (double)(random_word() >> 11) * 0x1p-53 < p;
}

static void tell(uint64_t nth, const char *format, va_list args)
{
	if (nth > REPORTS_MAX)
		return;
	fputs("mcload: ", stderr);
	vfprintf(stderr, format, args);
	fputs(nth == REPORTS_MAX ? " (no more of these are told)\n" : "\n", stderr);
}

__attribute__((format(printf, 1, 2))) static void mismatch(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	tell(++run.mismatches, format, args);
	va_end(args);
}

__attribute__((format(printf, 1, 2))) static void error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	tell(++run.errors, format, args);
	va_end(args);
	if (run.errors > 4 * (uint64_t)opt.connections)
		run.abort = true;
}

/* ---- values ---- */

static struct value value_of(const struct conn *c, uint32_t slot, uint32_t version, uint32_t size)
{
	uint64_t x = mix(opt.seed + VALUE_STEP);

	x = mix(x ^ ((uint64_t)c->index << 32 | slot));
	x = mix(x ^ ((uint64_t)c->slots[slot].generation << 32 | version));
	return (struct value){.stream = x, .size = size};
}

static uint32_t choose_size(void)
{
	if (chance(opt.large))
		return ITEM_BYTES - ITEM_OVERHEAD;
	return size_mix_choose(&opt.sizes, random_word());
}

static int key_print(const struct conn *c, uint32_t slot, char *to, size_t room)
{
	return snprintf(to, room, "%s-%" PRIu32 "-%" PRIu32 "-%" PRIu32, opt.prefix, c->index, slot,
	    c->slots[slot].generation);
}

/* The key's content is not known any more: go on under a name that was never used. */
static void slot_retire(struct slot *s)
{
	s->generation++;
	s->version = 0;
	s->next = 0;
}

/* ---- sending ---- */

static size_t out_room(const struct conn *c)
{
	return OUT_BYTES - c->out_end;
}

static void out_compact(struct conn *c)
{
	if (c->out_start == 0)
		return;
	memmove(c->out, c->out + c->out_start, c->out_end - c->out_start);
	c->out_end -= c->out_start;
	c->out_start = 0;
}

/* Copy as much of the value being sent as fits; the CRLF counts as its last two bytes. */
static void out_put(struct conn *c)
{
	while (c->put_done < c->put_limit && out_room(c) > 0) {
		size_t n = c->put_limit - c->put_done;

		if (n > out_room(c))
			n = out_room(c);
		if (c->put_done < c->put.size) {
			if (n > c->put.size - c->put_done)
				n = c->put.size - c->put_done;
			value_fill(&c->put, c->put_done, c->out + c->out_end, n);
		} else {
			memcpy(c->out + c->out_end, &"\r\n"[c->put_done - c->put.size], n);
		}
		c->out_end += n;
		c->put_done += n;
	}
	if (c->put_done == c->put_limit)
		c->putting = false;
}

static void out_get(struct conn *c, uint32_t slot)
{
	char key[HEAD_BYTES];

	assert(out_room(c) >= HEAD_BYTES && !c->putting);
	key_print(c, slot, key, sizeof(key));
	c->out_end += (size_t)snprintf(c->out + c->out_end, HEAD_BYTES, "get %.200s\r\n", key);
}

/* Start a set; only the first `limit` bytes of value and CRLF will be sent. */
static void out_set(struct conn *c, uint32_t slot, struct value v, size_t limit)
{
	char key[HEAD_BYTES];

	assert(out_room(c) >= HEAD_BYTES && !c->putting);
	key_print(c, slot, key, sizeof(key));
	c->out_end += (size_t)snprintf(c->out + c->out_end, HEAD_BYTES,
	    "set %.200s %" PRIu32 " 0 %" PRIu32 "\r\n", key, value_flags(&v), v.size);
	c->put = v;
	c->put_done = 0;
	c->put_limit = limit;
	c->putting = true;
	out_put(c);
}

static struct request *inflight_push(struct conn *c)
{
	assert(c->count < opt.depth);
	return &c->inflight[(c->first + c->count++) % opt.depth];
}

static void issue_get(struct conn *c, uint32_t slot)
{
	struct slot *s = &c->slots[slot];

	assert(s->version > 0);
	*inflight_push(c) = (struct request){
	    .kind = REQUEST_GET, .slot = slot, .value = value_of(c, slot, s->version, s->size)};
	out_get(c, slot);
}

static void issue_set(struct conn *c, uint32_t slot)
{
	struct slot *s = &c->slots[slot];
	struct value v;

	s->version = ++s->next;
	s->size = choose_size();
	v = value_of(c, slot, s->version, s->size);
	*inflight_push(c) = (struct request){.kind = REQUEST_SET, .slot = slot, .value = v};
	out_set(c, slot, v, (size_t)v.size + 2);
}

/* The next request of this connection; false when it has nothing to ask now. */
static bool issue(struct conn *c)
{
	uint32_t slot;

	switch (run.phase) {
	case PHASE_LOAD:
		if (run.issued == opt.requests || c->leave != LEAVE_NOT)
			return false;
		slot = random_below(opt.keys);
		if (c->slots[slot].version == 0 || chance(opt.set_ratio))
			issue_set(c, slot);
		else
			issue_get(c, slot);
		run.issued++;
		if (chance(opt.churn))
			c->leave = (enum leave)(LEAVE_NOT + 1 + random_below(LEAVE_KINDS - 1));
		return true;
	case PHASE_VERIFY:
		while (c->verify_next < opt.keys && c->slots[c->verify_next].version == 0)
			c->verify_next++;
		if (c->verify_next == opt.keys)
			return false;
		issue_get(c, c->verify_next++);
		run.issued++;
		return true;
	case PHASE_CONNECT:
	case PHASE_DONE:
		return false;
	}
	abort();
}

/* Put into the output buffer what fits and may go. */
static void conn_fill(struct conn *c)
{
	out_compact(c);
	if (c->putting)
		out_put(c);
	while (c->state == CONN_READY && !c->putting && c->count < opt.depth &&
	       out_room(c) >= HEAD_BYTES && issue(c))
		continue;
}

/* ---- opening and closing ---- */

static void conn_arm(struct conn *c, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = c};

	if (events == c->armed)
		return;
	if (epoll_ctl(run.epoll, EPOLL_CTL_MOD, c->fd, &ev) < 0) {
		perror("mcload: epoll_ctl");
		exit(2);
	}
	c->armed = events;
}

static void conn_open(struct conn *c)
{
	struct epoll_event ev = {.events = EPOLLOUT, .data.ptr = c};
	int one = 1;

	c->state = CONN_CONNECTING;
	c->armed = ev.events;
	c->leave = LEAVE_NOT;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0) {
		perror("mcload: socket");
		exit(2);
	}
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(c->fd, (struct sockaddr *)&run.address, sizeof(run.address)) < 0 &&
	    errno != EINPROGRESS) {
		error("connect: %s", strerror(errno));
		run.abort = true;
	}
	if (epoll_ctl(run.epoll, EPOLL_CTL_ADD, c->fd, &ev) < 0) {
		perror("mcload: epoll_ctl");
		exit(2);
	}
}

/* Close, forget the half-done, open again. What the lost sets did is unknown: retire their keys. */
static void conn_reopen(struct conn *c, bool reset)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	if (reset)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(c->fd);
	for (uint32_t i = 0; i < c->count; i++) {
		const struct request *r = &c->inflight[(c->first + i) % opt.depth];

		if (r->kind == REQUEST_SET)
			slot_retire(&c->slots[r->slot]);
	}
	run.issued -= c->count;
	run.reopened++;
	c->first = c->count = 0;
	c->out_start = c->out_end = 0;
	c->putting = c->value_seen = c->value_bad = false;
	c->parse = PARSE_LINE;
	c->line_len = 0;
	conn_open(c);
}

/* The server closed, or said what it must not say. */
__attribute__((format(printf, 2, 3))) static void conn_broken(
    struct conn *c, const char *format, ...)
{
	char why[LINE_BYTES + 64];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	error("connection %" PRIu32 ", %" PRIu32 " in flight: %s", c->index, c->count, why);
	conn_reopen(c, false);
}

/* Stay silent for a while, or not at all, then close. */
static void leave_later(struct conn *c)
{
	c->state = CONN_LEAVING;
	c->leave_at_ns = now_ns() + random_below(2) * LINGER_NS;
	run.leaving++;
	run.vanished++;
}

static void leave_in_set(struct conn *c)
{
	uint32_t slot = random_below(opt.keys);
	struct slot *s = &c->slots[slot];
	struct value v = value_of(c, slot, ++s->next, choose_size());
	size_t whole = (size_t)v.size + 2;

	if (c->leave == LEAVE_HALF_SET) {
		out_set(c, slot, v, random_below((uint32_t)whole));
	} else {
		out_set(c, slot, v, whole);
		slot_retire(s);
	}
	leave_later(c);
}

/* Nothing is in flight, and this connection is to go. */
static void conn_leave(struct conn *c)
{
	uint32_t slot = random_below(opt.keys);

	assert(c->count == 0 && c->out_start == c->out_end && !c->putting);
	c->out_start = c->out_end = 0;
	switch (c->leave) {
	case LEAVE_NOT:
	case LEAVE_KINDS:
		abort();
	case LEAVE_POLITELY:
	case LEAVE_RESET:
		conn_reopen(c, c->leave == LEAVE_RESET);
		return;
	case LEAVE_HALF_SET:
	case LEAVE_UNSURE_SET:
		leave_in_set(c);
		return;
	case LEAVE_HALF_GET:
		out_get(c, slot);
		leave_later(c);
		return;
	}
}

/* The time of a vanishing connection has come. */
static void conn_vanish(struct conn *c)
{
	char some[1000];

	if (c->leave == LEAVE_HALF_GET && random_below(2) == 0 &&
	    recv(c->fd, some, sizeof(some), MSG_DONTWAIT) < 0 && errno == ECONNRESET)
		error("connection %" PRIu32 " was reset by the server", c->index);
	run.leaving--;
	conn_reopen(c, random_below(2) == 0);
}

/* ---- receiving ---- */

static void request_done(struct conn *c)
{
	const struct request *r = &c->inflight[c->first];

	if (r->kind == REQUEST_SET) {
		run.sets++;
	} else {
		run.gets++;
		if (c->value_bad)
			mismatch("connection %" PRIu32 ", slot %" PRIu32
				 ": a value differs from the one stored (%" PRIu32 " bytes)",
			    c->index, r->slot, r->value.size);
		else if (!c->value_seen)
			mismatch("connection %" PRIu32 ", slot %" PRIu32
				 ": a stored value is missing (%" PRIu32 " bytes)",
			    c->index, r->slot, r->value.size);
	}
	c->value_seen = c->value_bad = false;
	c->first = (c->first + 1) % opt.depth;
	c->count--;
	run.answered++;
	run.progress_ns = 0;
}

/* "VALUE key flags bytes": set up for the data; false when the line makes no sense. */
static bool parse_value_line(struct conn *c, const struct request *r)
{
	char expected[HEAD_BYTES], key[HEAD_BYTES];
	uint32_t flags;
	int end = -1;

	if (sscanf(c->line, "VALUE %255s %" SCNu32 " %" SCNu32 "%n", key, &flags, &c->data_size,
		&end) != 3 ||
	    c->line[end] != '\0' || c->value_seen || c->data_size > ITEM_BYTES)
		return false;
	key_print(c, r->slot, expected, sizeof(expected));
	c->value_seen = true;
	c->value_bad = strcmp(key, expected) != 0 || flags != value_flags(&r->value) ||
		       c->data_size != r->value.size;
	c->data_done = 0;
	c->parse = c->data_size > 0 ? PARSE_DATA : PARSE_DATA_END;
	run.compared++;
	return true;
}

/* A whole line, without its CRLF; false when it is not an answer to the oldest request. */
static bool parse_line(struct conn *c)
{
	const struct request *r = &c->inflight[c->first];

	if (c->parse == PARSE_DATA_END) {
		c->parse = PARSE_LINE;
		return c->line_len == 0;
	}
	if (c->count == 0)
		return false;
	if (r->kind == REQUEST_SET ? strcmp(c->line, "STORED") == 0 : strcmp(c->line, "END") == 0) {
		request_done(c);
		return true;
	}
	return r->kind == REQUEST_GET && parse_value_line(c, r);
}

/* Collect bytes up to a newline. Returns the bytes taken; *whole tells whether the line ended. */
static size_t take_line(struct conn *c, const char *from, size_t len, bool *whole)
{
	const char *newline = memchr(from, '\n', len);
	size_t n = newline ? (size_t)(newline - from) + 1 : len;

	*whole = newline != NULL;
	if (n > LINE_BYTES - 1 - c->line_len)
		return 0;
	memcpy(c->line + c->line_len, from, n);
	c->line_len += n;
	if (*whole) {
		c->line_len -= c->line_len >= 2 && c->line[c->line_len - 2] == '\r' ? 2 : 1;
		c->line[c->line_len] = '\0';
	}
	return n;
}

static size_t take_data(struct conn *c, const char *from, size_t len)
{
	const struct value *v = &c->inflight[c->first].value;
	size_t n = c->data_size - c->data_done;

	if (n > len)
		n = len;
	if (!c->value_bad && !value_holds(v, c->data_done, from, n))
		c->value_bad = true;
	run.bytes += n;
	c->data_done += (uint32_t)n;
	if (c->data_done == c->data_size)
		c->parse = PARSE_DATA_END;
	return n;
}

/* False when the connection was found broken (and is being opened again). */
static bool conn_parse(struct conn *c, const char *from, size_t len)
{
	while (len > 0) {
		bool whole = false;
		size_t n;

		if (c->parse == PARSE_DATA)
			n = take_data(c, from, len);
		else
			n = take_line(c, from, len, &whole);
		if (n == 0 || (whole && !parse_line(c))) {
			conn_broken(c, "unexpected answer: %.*s", (int)c->line_len, c->line);
			return false;
		}
		if (whole)
			c->line_len = 0;
		from += n;
		len -= n;
	}
	return true;
}

static bool conn_read(struct conn *c)
{
	static char buffer[IN_BYTES];
	ssize_t n = recv(c->fd, buffer, sizeof(buffer), 0);

	if (n > 0)
		return conn_parse(c, buffer, (size_t)n);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	conn_broken(c, "%s", n == 0 ? "closed by the server" : strerror(errno));
	return false;
}

/* ---- driving ---- */

/* Write what there is; false when the connection was found broken. */
static bool conn_write(struct conn *c)
{
	ssize_t n;

	if (c->out_start == c->out_end)
		return true;
	n = send(c->fd, c->out + c->out_start, c->out_end - c->out_start, MSG_NOSIGNAL);
	if (n >= 0) {
		c->out_start += (size_t)n;
		return true;
	}
	if (errno == EAGAIN || errno == EINTR)
		return true;
	if (c->state == CONN_LEAVING)
		run.leaving--;
	conn_broken(c, "send: %s", strerror(errno));
	return false;
}

/* Give the connection all that can be given now, and ask for what it then waits for. */
static void conn_pump(struct conn *c)
{
	uint32_t events = c->state == CONN_LEAVING ? 0 : EPOLLIN;
	bool had, blocked;

	if (c->state == CONN_CONNECTING)
		return;
	do {
		conn_fill(c);
		had = c->out_start < c->out_end;
		if (!conn_write(c))
			return;
		blocked = c->out_start < c->out_end;
	} while (had && !blocked);
	if (c->state == CONN_READY && c->leave != LEAVE_NOT && c->count == 0) {
		conn_leave(c);
		conn_pump(c);
		return;
	}
	conn_arm(c, events | (blocked ? EPOLLOUT : 0));
}

static void conn_connected(struct conn *c)
{
	int problem = 0;
	socklen_t len = sizeof(problem);

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &problem, &len);
	if (problem != 0) {
		error("connect: %s", strerror(problem));
		run.abort = true;
		return;
	}
	c->state = CONN_READY;
	if (run.phase == PHASE_CONNECT)
		run.connected++;
}

static void conn_event(struct conn *c, uint32_t events)
{
	if (c->state == CONN_CONNECTING)
		conn_connected(c);
	else if (c->state == CONN_READY && (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) &&
		 !conn_read(c))
		return;
	if (!run.abort)
		conn_pump(c);
}

/* True iff this phase has nothing more to do. */
static bool phase_over(void)
{
	switch (run.phase) {
	case PHASE_CONNECT:
		return run.connected == opt.connections;
	case PHASE_LOAD:
		return run.answered >= opt.requests && run.leaving == 0;
	case PHASE_VERIFY:
		for (uint32_t i = 0; i < opt.connections; i++)
			if (run.conns[i].verify_next < opt.keys || run.conns[i].count > 0)
				return false;
		return true;
	case PHASE_DONE:
		return false;
	}
	abort();
}

static void next_phase(void)
{
	run.phase++;
	if (run.phase == PHASE_LOAD)
		run.start_ns = now_ns();
	if (run.phase == PHASE_VERIFY && !opt.verify)
		run.phase++;
	if (run.phase == PHASE_DONE)
		run.end_ns = now_ns();
	for (uint32_t i = 0; i < opt.connections; i++)
		conn_pump(&run.conns[i]);
}

/* No answer for --timeout seconds: say which connections hang in what. */
static void check_progress(void)
{
	uint64_t now = now_ns();

	if (run.progress_ns == 0)
		run.progress_ns = now;
	if (now - run.progress_ns < (uint64_t)opt.timeout * 1000000000u)
		return;
	for (uint32_t i = 0; i < opt.connections; i++) {
		const struct conn *c = &run.conns[i];

		if (c->state == CONN_CONNECTING || c->count > 0)
			error("connection %" PRIu32 " hangs: %s, %" PRIu32
			      " in flight, %zu bytes unsent",
			    c->index, c->state == CONN_CONNECTING ? "connecting" : "connected",
			    c->count, c->out_end - c->out_start);
	}
	error("no answer for %" PRIu32 " seconds", opt.timeout);
	run.abort = true;
}

static void loop(void)
{
	struct epoll_event events[256];

	while (run.phase != PHASE_DONE && !run.abort) {
		int n = epoll_wait(run.epoll, events, 256, run.leaving > 0 ? 1 : 100);

		for (int i = 0; i < n && !run.abort; i++)
			conn_event(events[i].data.ptr, events[i].events);
		if (run.leaving > 0) {
			uint64_t now = now_ns();

			for (uint32_t i = 0; i < opt.connections; i++)
				if (run.conns[i].state == CONN_LEAVING &&
				    run.conns[i].leave_at_ns <= now)
					conn_vanish(&run.conns[i]);
		}
		if (phase_over())
			next_phase();
		if (n == 0)
			check_progress();
	}
}

/* ---- the command line ---- */

static const char usage_text[] =
    "usage: mcload [options]\n"
    "  --host ADDRESS     IPv4 address of the server (127.0.0.1)\n"
    "  --port N           its port (11211)\n"
    "  --connections N    connections, each with keys of its own (64)\n"
    "  --requests N       requests in all (100000)\n"
    "  --keys N           keys of one connection (16)\n"
    "  --value-size MIX   bytes, or a mix: SIZE[-SIZE][:WEIGHT],... (16-1024)\n"
    "  --large[=P]        P percent of the sets (100) store 1 MB less the item's overhead\n"
    "  --set-ratio R      part of the requests that are sets, 0 to 1 (0.1)\n"
    "  --depth N          requests in flight on a connection (1)\n"
    "  --churn P          after a request, leave and come back with P percent chance (0)\n"
    "  --verify           at the end get every key that was stored once more\n"
    "  --seed N           of all that is random (1)\n"
    "  --prefix TEXT      of the keys (one of its own for every process)\n"
    "  --timeout N        seconds without an answer that are an error (30)\n"
    "  --help\n"
    "The last line of the output is: mcload name=value ...; the exit status is 1 when a value\n"
    "or an answer was not what it must be.\n";

__attribute__((noreturn)) static void usage(FILE *to, int status)
{
	fputs(usage_text, to);
	exit(status);
}

static double number(const char *name, const char *text, double low, double high)
{
	char *end;
	double x = strtod(text, &end);

	if (*text == '\0' || *end != '\0' || !(x >= low && x <= high)) {
		fprintf(
		    stderr, "mcload: --%s: %s is not from %.0f to %.0f\n", name, text, low, high);
		usage(stderr, 2);
	}
	return x;
}

static const struct option long_options[] = {
    {"host", required_argument, NULL, 'h'},
    {"port", required_argument, NULL, 'p'},
    {"connections", required_argument, NULL, 'c'},
    {"requests", required_argument, NULL, 'n'},
    {"keys", required_argument, NULL, 'k'},
    {"value-size", required_argument, NULL, 'v'},
    {"large", optional_argument, NULL, 'l'},
    {"set-ratio", required_argument, NULL, 'r'},
    {"depth", required_argument, NULL, 'd'},
    {"churn", required_argument, NULL, 'C'},
    {"verify", no_argument, NULL, 'V'},
    {"seed", required_argument, NULL, 's'},
    {"prefix", required_argument, NULL, 'P'},
    {"timeout", required_argument, NULL, 't'},
    {"help", no_argument, NULL, 'H'},
    {NULL, 0, NULL, 0},
};

static void set_prefix(const char *text)
{
	if (strlen(text) > PREFIX_BYTES || strpbrk(text, " \t\r\n"))
		usage(stderr, 2);
	strcpy(opt.prefix, text);
}

static void options(int argc, char **argv)
{
	int c, i = 0;

	while ((c = getopt_long(argc, argv, "", long_options, &i)) != -1) {
		const char *name = long_options[i].name, *arg = optarg;

		if (c == 'h')
			opt.host = arg;
		else if (c == 'p')
			opt.port = (uint16_t)number(name, arg, 1, 65535);
		else if (c == 'c')
			opt.connections = (uint32_t)number(name, arg, 1, 100000);
		else if (c == 'n')
			opt.requests = (uint64_t)number(name, arg, 1, 1e12);
		else if (c == 'k')
			opt.keys = (uint32_t)number(name, arg, 1, 1e6);
		else if (c == 'v' && !size_mix_parse(&opt.sizes, arg))
			usage(stderr, 2);
		else if (c == 'l')
			opt.large = number(name, arg ? arg : "100", 0, 100) / 100;
		else if (c == 'r')
			opt.set_ratio = number(name, arg, 0, 1);
		else if (c == 'd')
			opt.depth = (uint32_t)number(name, arg, 1, 10000);
		else if (c == 'C')
			opt.churn = number(name, arg, 0, 100) / 100;
		else if (c == 'V')
			opt.verify = true;
		else if (c == 's')
			opt.seed = (uint64_t)number(name, arg, 0, 0x1p53);
		else if (c == 'P')
			set_prefix(arg);
		else if (c == 't')
			opt.timeout = (uint32_t)number(name, arg, 1, 3600);
		else if (c != 'v')
			usage(c == 'H' ? stdout : stderr, c == 'H' ? 0 : 2);
	}
	if (optind < argc)
		usage(stderr, 2);
}

static void *calloc_or_die(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (!p) {
		perror("mcload");
		exit(2);
	}
	return p;
}

static void prepare(void)
{
	struct rlimit limit;

	if (opt.sizes.n == 0)
		size_mix_parse(&opt.sizes, "16-1024");
	if (opt.prefix[0] == '\0')
		snprintf(opt.prefix, sizeof(opt.prefix), "mcload-%ld", (long)getpid());
	run.address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(opt.port)};
	if (inet_pton(AF_INET, opt.host, &run.address.sin_addr) != 1)
		usage(stderr, 2);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	run.random = mix(opt.seed);
	run.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (run.epoll < 0) {
		perror("mcload: epoll_create1");
		exit(2);
	}
	run.conns = calloc_or_die(opt.connections, sizeof(*run.conns));
	for (uint32_t i = 0; i < opt.connections; i++) {
		struct conn *c = &run.conns[i];

		c->index = i;
		c->slots = calloc_or_die(opt.keys, sizeof(*c->slots));
		c->inflight = calloc_or_die(opt.depth, sizeof(*c->inflight));
		conn_open(c);
	}
}

static void release(void)
{
	for (uint32_t i = 0; i < opt.connections; i++) {
		close(run.conns[i].fd);
		free(run.conns[i].slots);
		free(run.conns[i].inflight);
	}
	free(run.conns);
	close(run.epoll);
}

int main(int argc, char **argv)
{
	double seconds;

	options(argc, argv);
	signal(SIGPIPE, SIG_IGN);
	prepare();
	loop();
	if (run.end_ns == 0)
		run.end_ns = now_ns();
	seconds = run.start_ns ? (double)(run.end_ns - run.start_ns) / 1e9 : 0;
	printf("mcload requests=%" PRIu64 " gets=%" PRIu64 " sets=%" PRIu64 " compared=%" PRIu64
	       " bytes=%" PRIu64 " mismatches=%" PRIu64 " errors=%" PRIu64 " reopened=%" PRIu64
	       " vanished=%" PRIu64 " seconds=%.3f rate=%.0f\n",
	    run.answered, run.gets, run.sets, run.compared, run.bytes, run.mismatches, run.errors,
	    run.reopened, run.vanished, seconds, seconds > 0 ? (double)run.answered / seconds : 0);
	release();
	return run.mismatches > 0 || run.errors > 0 ? 1 : 0;
}
