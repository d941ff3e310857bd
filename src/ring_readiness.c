/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The readiness rings: the same operations done with epoll, or with poll(2) where epoll is
 * forbidden too.
 *
 * epoll. arm() is an epoll_ctl, at once, from any thread; its error is the error that event_add
 * reports. A LEVEL request is a plain registration, an EDGE request has EPOLLET, a ONCE request has
 * EPOLLONESHOT: when it has fired, its registration stays behind, disabled, and arming it again is
 * one EPOLL_CTL_MOD where libevent needs a DEL and an ADD. If the file was closed meanwhile the MOD
 * finds nothing (ENOENT), also when the number was used again, and becomes an ADD.
 *
 * poll. The set is an array; wait() works on a snapshot of it, so other threads may change the set
 * meanwhile.
 *
 * Trap: epoll forgets a registration when the file is closed, not when the descriptor is. After
 * close(fd) with a dup of it still open, EPOLL_CTL_DEL cannot name the registration any more, and a
 * level-triggered one would be reported for ever. We notice that a DEL failed and that a completion
 * for no request comes in, and answer the next wait() with -ESTALE: the engine then builds a new
 * epoll set.
 */
#define _GNU_SOURCE
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "list.h"
#include "mem.h"
#include "ring.h"

#define EVENTS_MIN 64u
#define FAR_NS INT64_C(1000000000)

/* The two interfaces use the same numbers; masks go through unchanged. */
_Static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT && EPOLLRDHUP == POLLRDHUP &&
		   EPOLLERR == POLLERR && EPOLLHUP == POLLHUP,
    "epoll and poll masks");

struct ring_epoll {
	struct evu_ring ring;
	int epfd;
	struct epoll_event *events;
	uint32_t cap;
	int n;        /* completions not reaped yet */
	bool no_ns;   /* epoll_pwait2 is not to be had */
	bool suspect; /* an EPOLL_CTL_DEL failed: registrations nobody can name may exist */
	bool stale;   /* one of them was seen */
};

static struct ring_epoll *epoll_of(struct evu_ring *ring)
{
	return evu_container_of(ring, struct ring_epoll, ring);
}

static int common_enable(struct evu_ring *ring)
{
	(void)ring;
	return 0;
}

static int common_flush(struct evu_ring *ring)
{
	(void)ring;
	return 0;
}

static int common_check(struct evu_ring *ring, struct pollfd *fds, unsigned n)
{
	(void)ring;
	return evu_poll_now(fds, n);
}

/* ARMED -> IDLE and back to the pool, without a completion. */
static void op_end(struct evu_ring *ring, struct evu_op *op)
{
	assert(op->state == EVU_OP_ARMED);
	evu_op_orphan(op);
	evu_op_complete(ring->pool, evu_op_tag(op), 0, false);
}

/* Milliseconds, rounded up: never early. */
static int to_ms(int64_t timeout_ns)
{
	int64_t ms;

	if (timeout_ns < 0)
		return -1;
	ms = timeout_ns / 1000000 + (timeout_ns % 1000000 != 0);
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

static int epoll_arm(struct evu_ring *ring, struct evu_op *op, int fd, unsigned mask,
    enum evu_poll_kind kind, bool again)
{
	struct ring_epoll *r = epoll_of(ring);
	struct epoll_event ev = {.events = mask};
	int cmd = again ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
	int rc;

	switch (kind) {
	case EVU_POLL_ONCE:
		ev.events |= EPOLLONESHOT;
		break;
	case EVU_POLL_EDGE:
		ev.events |= EPOLLET;
		break;
	case EVU_POLL_LEVEL:
	case EVU_NO_POLL:
		break;
	}
	evu_op_armed(ring->pool, op, fd, kind);
	ev.data.u64 = evu_op_tag(op);
	rc = epoll_ctl(r->epfd, cmd, fd, &ev);
	if (rc < 0 && ((again && errno == ENOENT) || (!again && errno == EEXIST))) {
		/* The file that was registered is not this one; nobody can name its registration
		 * any more. */
		r->suspect |= again;
		cmd = again ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
		rc = epoll_ctl(r->epfd, cmd, fd, &ev);
	}
	if (rc < 0) {
		rc = -errno;
		evu_op_disarmed(ring->pool, op);
		return rc;
	}
	return 0;
}

static int epoll_cancel(struct evu_ring *ring, struct evu_op *op)
{
	struct ring_epoll *r = epoll_of(ring);

	/* It fails when the file is closed already, which did the same. */
	if (epoll_ctl(r->epfd, EPOLL_CTL_DEL, op->fd, NULL) < 0)
		r->suspect = true;
	op_end(ring, op);
	return 0;
}

/* Room for everything to fire at once: what is ready is told in one turn. Without memory it is told
 * in several. */
static __attribute__((noinline, cold)) void epoll_grow(struct ring_epoll *r)
{
	uint32_t cap = r->cap;
	struct epoll_event *events;

	while (cap < r->ring.pool->in_flight)
		cap *= 2;
	events = evu_mem.realloc(r->events, (size_t)cap * sizeof(*events));
	if (!events)
		return;
	r->events = events;
	r->cap = cap;
}

static int epoll_prepare(struct evu_ring *ring)
{
	struct ring_epoll *r = epoll_of(ring);

	assert(r->n == 0);
	if (r->cap < ring->pool->in_flight)
		epoll_grow(r);
	return r->stale ? -ESTALE : 0;
}

/* epoll_pwait2 costs more, also when it does not sleep: what is far away is waited for in
 * milliseconds, but for the rest of the last one. */
static int epoll_sleep(struct ring_epoll *r, int64_t timeout_ns)
{
	if (timeout_ns >= FAR_NS && timeout_ns < FAR_NS * 1000 && !r->no_ns) {
		int n = epoll_wait(r->epfd, r->events, (int)r->cap, (int)(timeout_ns / 1000000));

		if (n != 0)
			return n;
		timeout_ns %= 1000000;
	}
	if (timeout_ns > 0 && !r->no_ns) {
		struct timespec ts = {timeout_ns / 1000000000, timeout_ns % 1000000000};
		int n = epoll_pwait2(r->epfd, r->events, (int)r->cap, &ts, NULL);

		if (n >= 0 || (errno != ENOSYS && errno != EPERM))
			return n;
		r->no_ns = true;
	}
	return epoll_wait(r->epfd, r->events, (int)r->cap, to_ms(timeout_ns));
}

static int epoll_wait_(struct evu_ring *ring, int64_t timeout_ns)
{
	struct ring_epoll *r = epoll_of(ring);
	int n = epoll_sleep(r, timeout_ns);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	r->n = n;
	return 0;
}

static int epoll_look(struct evu_ring *ring)
{
	int rc = epoll_wait_(ring, 0);

	return rc < 0 ? rc : epoll_of(ring)->n > 0;
}

/* As in ring_uring.c: what is needed soon is on its way from memory. */
static void epoll_look_ahead(const struct ring_epoll *r, int i, int n)
{
	if (i + 6 < n)
		__builtin_prefetch(evu_op_peek(r->ring.pool, r->events[i + 6].data.u64));
	if (i + 3 < n) {
		const struct evu_op *op = evu_op_peek(r->ring.pool, r->events[i + 3].data.u64);

		if (op)
			__builtin_prefetch(op->ctx, 1);
	}
}

static unsigned epoll_reap(struct evu_ring *ring)
{
	struct ring_epoll *r = epoll_of(ring);
	int i, n = r->n;

	r->n = 0;
	for (i = 0; i < n; i++) {
		uint64_t tag = r->events[i].data.u64;
		struct evu_op *op = evu_op_find(ring->pool, tag);

		epoll_look_ahead(r, i, n);
		if (op)
			evu_op_tell(
			    ring->pool, op, (int)r->events[i].events, op->kind != EVU_POLL_ONCE);
		else if (r->suspect)
			r->stale = true;
	}
	return (unsigned)n;
}

static void epoll_close(struct evu_ring *ring, bool alien)
{
	struct ring_epoll *r = epoll_of(ring);

	(void)alien;
	close(r->epfd);
	evu_mem.free(r->events);
	evu_mem.free(r);
}

static const struct evu_ring_ops epoll_ops = {
    .name = "epoll",
    .truth = true,
    .any_thread = true,
    .edge = true,
    .lets_go = true,
    .enable = common_enable,
    .arm = epoll_arm,
    .cancel = epoll_cancel,
    .replaced = op_end,
    .flush = common_flush,
    .prepare = epoll_prepare,
    .wait = epoll_wait_,
    .look = epoll_look,
    .reap = epoll_reap,
    .close = epoll_close,
    .check = common_check,
};

struct evu_ring *evu_ring_epoll_open(struct evu_op_pool *pool, int *err)
{
	struct ring_epoll *r = evu_mem.zalloc(1, sizeof(*r));

	*err = -ENOMEM;
	if (!r)
		return NULL;
	r->ring.ops = &epoll_ops;
	r->ring.pool = pool;
	r->cap = EVENTS_MIN;
	r->events = evu_mem.alloc((size_t)r->cap * sizeof(*r->events));
	if (!r->events)
		goto free_ring;
	r->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (r->epfd < 0) {
		*err = -errno;
		goto free_events;
	}
	*err = 0;
	return &r->ring;

free_events:
	evu_mem.free(r->events);
free_ring:
	evu_mem.free(r);
	return NULL;
}

/* poll(2) */

struct ring_poll {
	struct evu_ring ring;
	struct pollfd *set; /* what is armed */
	struct evu_op **ops;
	int n;
	int cap;
	struct pollfd *shot; /* what wait() looks at: a copy of the set */
	uint64_t *shot_tags;
	int nshot;
	int cap_shot;
	bool changed; /* the set is newer than the snapshot */
	bool fired;   /* the snapshot holds results to reap */
};

static struct ring_poll *poll_of(struct evu_ring *ring)
{
	return evu_container_of(ring, struct ring_poll, ring);
}

/* Grows two parallel arrays. 0 or -ENOMEM. */
static int grow_pair(void **a, size_t size_a, void **b, size_t size_b, int *cap, int want)
{
	int n = *cap ? *cap : 32;
	void *p;

	while (n < want)
		n *= 2;
	if (n == *cap)
		return 0;
	p = evu_mem.realloc(*a, (size_t)n * size_a);
	if (!p)
		return -ENOMEM;
	*a = p;
	p = evu_mem.realloc(*b, (size_t)n * size_b);
	if (!p)
		return -ENOMEM;
	*b = p;
	*cap = n;
	return 0;
}

static int poll_arm(struct evu_ring *ring, struct evu_op *op, int fd, unsigned mask,
    enum evu_poll_kind kind, bool again)
{
	struct ring_poll *r = poll_of(ring);

	(void)again;
	if (r->n == r->cap && grow_pair((void **)&r->set, sizeof(*r->set), (void **)&r->ops,
				  sizeof(struct evu_op *), &r->cap, r->n + 1) < 0)
		return -ENOMEM;
	evu_op_armed(ring->pool, op, fd, kind);
	op->slot = r->n;
	r->set[r->n] = (struct pollfd){.fd = fd, .events = (short)mask};
	r->ops[r->n] = op;
	r->n++;
	r->changed = true;
	return 0;
}

static void poll_forget(struct ring_poll *r, struct evu_op *op)
{
	int last = --r->n;

	assert(op->slot >= 0 && op->slot <= last && r->ops[op->slot] == op);
	r->set[op->slot] = r->set[last];
	r->ops[op->slot] = r->ops[last];
	r->ops[op->slot]->slot = op->slot;
	op->slot = -1;
	r->changed = true;
}

static int poll_cancel(struct evu_ring *ring, struct evu_op *op)
{
	poll_forget(poll_of(ring), op);
	op_end(ring, op);
	return 0;
}

static void poll_replaced(struct evu_ring *ring, struct evu_op *op)
{
	(void)poll_cancel(ring, op);
}

static int poll_prepare(struct evu_ring *ring)
{
	struct ring_poll *r = poll_of(ring);
	int i;

	if (!r->changed)
		return 0;
	if (grow_pair((void **)&r->shot, sizeof(*r->shot), (void **)&r->shot_tags,
		sizeof(*r->shot_tags), &r->cap_shot, r->n) < 0)
		return -ENOMEM;
	memcpy(r->shot, r->set, (size_t)r->n * sizeof(*r->set));
	for (i = 0; i < r->n; i++)
		r->shot_tags[i] = evu_op_tag(r->ops[i]);
	r->nshot = r->n;
	r->changed = false;
	return 0;
}

static int poll_wait(struct evu_ring *ring, int64_t timeout_ns)
{
	struct ring_poll *r = poll_of(ring);
	struct timespec ts = {timeout_ns / 1000000000, timeout_ns % 1000000000};
	int n = ppoll(r->shot, (nfds_t)r->nshot, timeout_ns < 0 ? NULL : &ts, NULL);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	r->fired = n > 0;
	return 0;
}

static int poll_look(struct evu_ring *ring)
{
	int rc = poll_wait(ring, 0);

	return rc < 0 ? rc : poll_of(ring)->fired;
}

static unsigned poll_reap(struct evu_ring *ring)
{
	struct ring_poll *r = poll_of(ring);
	unsigned n = 0;
	int i;

	if (!r->fired)
		return 0;
	r->fired = false;
	for (i = 0; i < r->nshot; i++) {
		struct evu_op *op =
		    r->shot[i].revents ? evu_op_find(ring->pool, r->shot_tags[i]) : NULL;
		bool more;

		if (!op)
			continue;
		more = op->kind != EVU_POLL_ONCE;
		if (!more)
			poll_forget(r, op);
		evu_op_complete(ring->pool, r->shot_tags[i], r->shot[i].revents, more);
		n++;
	}
	return n;
}

static void poll_close(struct evu_ring *ring, bool alien)
{
	struct ring_poll *r = poll_of(ring);

	(void)alien;
	if (r->set)
		evu_mem.free(r->set);
	if (r->ops)
		evu_mem.free(r->ops);
	if (r->shot)
		evu_mem.free(r->shot);
	if (r->shot_tags)
		evu_mem.free(r->shot_tags);
	evu_mem.free(r);
}

static const struct evu_ring_ops poll_ops = {
    .name = "poll",
    .truth = true,
    .any_thread = true,
    .edge = false,
    .enable = common_enable,
    .arm = poll_arm,
    .cancel = poll_cancel,
    .replaced = poll_replaced,
    .flush = common_flush,
    .prepare = poll_prepare,
    .wait = poll_wait,
    .look = poll_look,
    .reap = poll_reap,
    .close = poll_close,
    .check = common_check,
};

struct evu_ring *evu_ring_poll_open(struct evu_op_pool *pool, int *err)
{
	struct ring_poll *r = evu_mem.zalloc(1, sizeof(*r));

	*err = r ? 0 : -ENOMEM;
	if (!r)
		return NULL;
	r->ring.ops = &poll_ops;
	r->ring.pool = pool;
	return &r->ring;
}
