/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The engine: opens rings, runs turns, survives the loss of a ring.
 *
 * A turn: arm what is pending, sleep in the ring until something completes or the time is up, let
 * the completions reach their ops, confirm what fired, tell it. When polls are hot the ring is only
 * looked at; if then nothing is ready after all, the second half of the turn sleeps.
 *
 * A ring is lost when the loop moves to another thread, when the process forks, when a seccomp
 * filter or a closed descriptor makes it useless. All that is wanted is known here, so losing a
 * ring costs no event: requests end, polls become pending, the next ring (the same method once
 * more, or the next one) arms them, and arming looks at each file anew. Hot polls stay hot.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "poll.h"
#include "request.h"

/* An embedder with an allocator defines its own. */
__attribute__((weak)) const struct evu_mem evu_mem = {malloc, calloc, realloc, free};

#define RETRY_NS 10000000

evu_ring_opener *evu_ring_openers[EVU_NMETHODS] = {
    [EVU_IO_URING] = evu_ring_uring_open,
    [EVU_EPOLL] = evu_ring_epoll_open,
    [EVU_POLL2] = evu_ring_poll_open,
};

const char *evu_method_name(enum evu_method method)
{
	static const char *const names[] = {
	    [EVU_IO_URING] = "io_uring",
	    [EVU_EPOLL] = "epoll",
	    [EVU_POLL2] = "poll",
	};

	return method < EVU_NMETHODS ? names[method] : NULL;
}

enum evu_method evu_engine_method(const struct evu_engine *e)
{
	return e->method;
}

static inline bool unsettled(const struct evu_engine *e)
{
	return __builtin_expect(e->unsettled || e->handoff, 0);
}

/* All that has to be cancelled is queued: nothing that was given up may make progress when the
 * kernel is entered. */
static void queue_cancels(struct evu_engine *e)
{
	if (evu_link_linked(&e->halting))
		evu_request_flush_halts(e);
	if (e->handoff)
		evu_poll_take_handoff(e);
}

/* What has completed counts: bytes that were received are nowhere else. (In a forked child it is
 * the parent's.) Reaping may enter the kernel. */
static void ring_close(struct evu_engine *e, bool alien)
{
	if (!e->ring)
		return;
	if (!alien)
		queue_cancels(e);
	/* What is told of it may be told later, when the program has run. */
	e->epoch++;
	if (e->generation == evu_fork_generation())
		e->ring->ops->reap(e->ring);
	e->ring->ops->close(e->ring, alien);
	e->ring = NULL;
	e->owner = 0;
	e->broken = false;
	evu_bufring_lost(e);
	evu_poll_ring_lost(e);
}

static void spare_close(struct evu_engine *e)
{
	if (e->spare)
		e->spare->ops->close(e->spare, true);
	e->spare = NULL;
}

/* io_uring, or epoll with io_uring to spare. */
static struct evu_ring *uring_open(struct evu_engine *e, int *err)
{
	struct evu_ring *uring = e->spare;
	struct evu_ring *plain;
	int unused;

	if (!uring)
		uring = evu_ring_openers[EVU_IO_URING](&e->pool, err);
	e->spare = NULL;
	if (!uring || !uring->for_data || e->moving || !(e->methods & 1u << EVU_EPOLL))
		return uring;
	plain = evu_ring_openers[EVU_EPOLL](&e->pool, &unused);
	if (!plain)
		return uring;
	e->spare = uring;
	return plain;
}

/* Opens the first allowed ring from `method` on. */
static int ring_open(struct evu_engine *e, unsigned method)
{
	int err = -ENOSYS;

	assert(!e->ring);
	if (method != EVU_IO_URING)
		spare_close(e);
	for (; method < EVU_NMETHODS; method++) {
		if (!(e->methods & 1u << method))
			continue;
		e->ring = method == EVU_IO_URING ? uring_open(e, &err)
						 : evu_ring_openers[method](&e->pool, &err);
		if (e->ring) {
			/* It may be asked for without the lock. */
			if (e->method != (enum evu_method)method)
				e->method = (enum evu_method)method;
			e->generation = evu_fork_generation();
			return 0;
		}
	}
	return err;
}

/* True iff the calling thread may submit to the ring. */
static bool ours(const struct evu_engine *e)
{
	return e->owner && e->owner == evu_thread_id();
}

/* Gives up the ring: it failed, or the loop moved. `next`: not this method again. */
static int ring_replace(struct evu_engine *e, bool next)
{
	ring_close(e, !ours(e));
	return ring_open(e, e->method + (next ? 1u : 0u));
}

/* The eventfd is the parent's as well: a child needs its own. */
static int wake_renew(struct evu_engine *e)
{
	int fd = evu_wake_open();
	int old = e->wake.fd;

	/* In this order: a signal handler may write to it at any time. */
	e->wake.fd = fd < 0 ? -1 : fd;
	if (old >= 0)
		close(old);
	return fd < 0 ? fd : 0;
}

void evu_engine_guard(struct evu_engine *e)
{
	if (e->generation == evu_fork_generation())
		return;
	ring_close(e, true);
	spare_close(e);
	e->generation = evu_fork_generation();
	(void)wake_renew(e);
	if (e->hooks->forked)
		e->hooks->forked(e->arg);
}

void evu_engine_abandon(struct evu_engine *e)
{
	ring_close(e, true);
}

int evu_engine_new(
    struct evu_engine **engine, unsigned methods, const struct evu_hooks *hooks, void *arg)
{
	struct evu_engine *e = evu_mem.zalloc(1, sizeof(*e));
	int rc = -ENOMEM;

	if (!e)
		return rc;
	e->hooks = hooks;
	e->arg = arg;
	e->methods = methods;
	e->place = -1;
	evu_link_init(&e->pending);
	evu_link_init(&e->starting);
	evu_link_init(&e->halting);
	evu_link_init(&e->unsure);
	evu_op_pool_init(&e->pool);
	evu_poll_init(&e->wake, e, -1);
	rc = wake_renew(e);
	if (rc < 0)
		goto free_engine;
	rc = ring_open(e, 0);
	if (rc < 0)
		goto close_wake;
	e->wake.want = POLLIN;
	e->wake.watch = EVU_EDGE;
	evu_link_append(&e->pending, &e->wake.pending);
	*engine = e;
	return 0;

close_wake:
	close(e->wake.fd);
free_engine:
	evu_mem.free(e);
	return rc;
}

void evu_engine_free(struct evu_engine *e)
{
	evu_engine_guard(e);
	if (e->ring)
		e->ring->ops->close(e->ring, !ours(e));
	spare_close(e);
	evu_op_pool_fini(&e->pool);
	evu_bufring_fini(e);
	evu_send_fini(e);
	if (e->unsure_fds)
		evu_mem.free(e->unsure_fds);
	if (e->wake.fd >= 0)
		close(e->wake.fd);
	if (e->place >= 0)
		close(e->place);
	if (e->hot)
		evu_mem.free(e->hot);
	if (e->checks)
		evu_mem.free(e->checks);
	evu_mem.free(e);
}

int evu_engine_reinit(struct evu_engine *e)
{
	int rc;

	evu_engine_guard(e);
	ring_close(e, !ours(e));
	rc = ring_open(e, e->method);
	if (rc == 0 && e->wake.fd < 0)
		rc = wake_renew(e);
	return rc;
}

void evu_engine_enter(struct evu_engine *e)
{
	e->looper = evu_thread_id();
}

void evu_engine_leave(struct evu_engine *e, bool rest)
{
	e->looper = 0;
	if (!e->ring || e->ring->ops->any_thread || !ours(e))
		return;
	queue_cancels(e);
	/* Without locks no other thread may drop anything. */
	if (rest && e->hooks->lock)
		evu_poll_rest(e);
	e->unsettled |= e->unflushed;
	(void)evu_engine_settle(e);
}

void evu_engine_wake(struct evu_engine *e)
{
	if (e->wake.fd >= 0)
		evu_wake_write(e->wake.fd);
}

int evu_engine_wake_fd(const struct evu_engine *e)
{
	return e->wake.fd;
}

bool evu_engine_asleep(const struct evu_engine *e)
{
	return e->asleep;
}

bool evu_engine_unsettled(const struct evu_engine *e)
{
	return unsettled(e);
}

bool evu_engine_settle(struct evu_engine *e)
{
	if (!unsettled(e))
		return true;
	evu_engine_guard(e);
	if (!e->ring || !unsettled(e))
		return true;
	if (!ours(e))
		return false;
	queue_cancels(e);
	/* A ring that cannot even cancel must go: closing it ends what is armed. */
	if (e->broken || e->ring->ops->flush(e->ring) < 0)
		return ring_replace(e, true) == 0;
	e->unflushed = e->unsettled = false;
	e->epoch++;
	e->ring->ops->reap(e->ring);
	return true;
}

/* True iff ring_ready has nothing to do, as in nearly every turn. */
static inline bool ring_is_ready(const struct evu_engine *e)
{
	return __builtin_expect(e->ring && e->generation == evu_fork_generation() && e->looper &&
				    e->owner == e->looper && e->wake.fd >= 0 &&
				    !(e->spare && e->moving),
	    1);
}

/* A ring that this thread may use. */
static __attribute__((noinline)) int ring_ready(struct evu_engine *e)
{
	int rc = 0;

	evu_engine_guard(e);
	if (e->wake.fd < 0)
		rc = wake_renew(e);
	if (rc == 0 && e->ring && e->owner && !ours(e)) {
		if (e->ring->ops->any_thread)
			e->owner = evu_thread_id();
		else
			ring_close(e, true);
	}
	/* Data is to be moved: from now on io_uring does everything. The descriptor that this sets
	 * free stays in use: programs count on what they have counted, limits above all. */
	if (rc == 0 && e->ring && e->spare && e->moving) {
		ring_close(e, false);
		if (e->place < 0)
			e->place = evu_wake_open();
	}
	if (rc == 0 && !e->ring)
		rc = ring_open(e, e->method);
	if (rc == 0 && !e->owner) {
		rc = e->ring->ops->enable(e->ring);
		e->owner = evu_thread_id();
		if (rc < 0)
			rc = ring_replace(e, true) < 0 ? rc : ring_ready(e);
	}
	return rc;
}

/* We have the lock again, or are being cancelled and have it for a moment. Who waits for us to
 * settle looks again when we give it up: by then it is done, or we sleep anew, or are gone. */
static inline void awake(struct evu_engine *e)
{
	if (e->hooks->lock)
		e->hooks->lock(e->arg);
	e->asleep = false;
	if (e->hooks->settled)
		e->hooks->settled(e->arg);
}

static void cancelled(void *arg)
{
	struct evu_engine *e = arg;

	awake(e);
	e->looper = 0;
	if (e->hooks->unlock)
		e->hooks->unlock(e->arg);
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

void evu_engine_spin(struct evu_engine *e, int64_t ns)
{
	e->spin_ns = ns < 0 ? 0 : ns > EVU_SPIN_MOST ? EVU_SPIN_MOST : ns;
}

/* Looks, and only then sleeps; not longer than timeout_ns in all. Unlocked. */
static int spin_wait(struct evu_engine *e, int64_t timeout_ns)
{
	const struct evu_ring_ops *ops = e->ring->ops;
	int64_t start = now_ns(), spent;

	do {
		int rc = ops->look(e->ring);

		if (rc != 0)
			return rc < 0 ? rc : 0;
		pthread_testcancel();
		spent = now_ns() - start;
		if (timeout_ns > 0 && spent >= timeout_ns)
			return 0;
	} while (spent < e->spin_ns);
	return ops->wait(e->ring, timeout_ns < 0 ? -1 : timeout_ns - spent);
}

/* Sleeping is a cancellation point. */
static int ring_wait(struct evu_engine *e, int64_t timeout_ns)
{
	const struct evu_ring_ops *ops = e->ring->ops;
	int rc;

	/* Also for a look: the kernel may be at work, and the ring is in use. */
	e->asleep = true;
	if (e->hooks->unlock)
		e->hooks->unlock(e->arg);
	pthread_cleanup_push(cancelled, e);
	if (e->hasty)
		rc = ops->look(e->ring);
	else
		rc = __builtin_expect(e->spin_ns != 0, 0) && timeout_ns
			 ? spin_wait(e, timeout_ns)
			 : ops->wait(e->ring, timeout_ns);
	pthread_cleanup_pop(0);
	awake(e);
	return rc < 0 ? rc : 0;
}

/* Hands over what is queued, sleeps, and takes what completed. */
static int ring_turn(struct evu_engine *e, int64_t timeout_ns)
{
	const struct evu_ring_ops *ops = e->ring->ops;
	int rc;

	e->roused = false;
	e->hasty = evu_link_linked(&e->unsure) && evu_recv_make_sure(e, timeout_ns);
	queue_cancels(e);
	if (evu_link_linked(&e->pending))
		evu_poll_flush(e);
	if (e->bufrings[0].registered || evu_link_linked(&e->starting))
		evu_request_flush(e);
	if (e->broken)
		return -ENOSYS;
	rc = ops->prepare(e->ring);
	if (rc < 0)
		return rc;
	/* What could not be armed, for want of memory, is tried again soon. */
	if (__builtin_expect(evu_link_linked(&e->pending) || evu_link_linked(&e->starting), 0) &&
	    (timeout_ns < 0 || timeout_ns > RETRY_NS))
		timeout_ns = RETRY_NS;
	/* What this ring does not do has been told already. */
	e->hasty &= e->told == 0;
	rc = ring_wait(e, e->told ? 0 : timeout_ns);
	if (rc < 0)
		return rc;
	/* What others gave up while this thread slept was not flushed yet. */
	if (!e->handoff && !evu_link_linked(&e->halting))
		e->unflushed = e->unsettled = false;
	ops->reap(e->ring);
	return 0;
}

/* A filter that refuses refuses for ever; anything else may be mended by a new ring of the same
 * kind, once. */
static bool for_ever(int rc)
{
	return rc == -EPERM || rc == -EACCES || rc == -ENOSYS || rc == -EOPNOTSUPP || rc == -EINVAL;
}

/* ring_turn on whatever ring works. */
static int any_ring_turn(struct evu_engine *e, int64_t timeout_ns)
{
	bool replaced = false;

	for (;;) {
		int rc = ring_is_ready(e) ? 0 : ring_ready(e);

		if (rc < 0)
			return rc;
		rc = ring_turn(e, timeout_ns);
		if (__builtin_expect(rc == 0, 1))
			return 0;
		e->no_parking |= rc == -ESTALE;
		rc = ring_replace(e, replaced || for_ever(rc));
		if (rc < 0)
			return rc;
		replaced = true;
	}
}

/* A poll in the place of a receive that fired, and a receive that made room for a poll, may leave
 * something waiting that belongs to this turn: at worst the poll is armed, fires, and the receive
 * is armed. */
static int rouse(struct evu_engine *e)
{
	int rc = 0, i;

	for (i = 0; rc == 0 && e->roused && i < 2; i++)
		rc = any_ring_turn(e, 0);
	return rc;
}

int evu_engine_turn(struct evu_engine *e, int64_t timeout_ns)
{
	bool slept, blind;

	e->told = 0;
	e->epoch++;
	e->patient = timeout_ns != 0;
	e->looked = false;
	if (e->woken) /* seen by evu_engine_settle, between turns */
		timeout_ns = 0;
	e->woken = false;
	do {
		int64_t sleep_ns = e->nhot ? 0 : timeout_ns;
		int rc;

		slept = sleep_ns == timeout_ns;
		if (e->nreceiving && e->ring->idle_ns)
			sleep_ns = evu_recv_sweep(e, sleep_ns);
		rc = any_ring_turn(e, sleep_ns);
		slept &= !e->hasty;
		if (rc == 0)
			rc = rouse(e);
		if (rc < 0)
			return rc;
		blind = false;
		/* What other threads dropped while we slept takes effect before anything else
		 * happens. */
		if (unsettled(e))
			(void)evu_engine_settle(e);
		/* Hot fds that cannot be asked about have to be armed anew before this turn can
		 * tell of them. */
		if (e->nhot && e->ring) {
			evu_poll_confirm(e);
			blind = e->blind && evu_link_linked(&e->pending);
		}
	} while ((!slept || blind) && !e->told && !e->woken);
	e->woken = false;
	return 0;
}
