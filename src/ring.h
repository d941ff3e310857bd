/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ring: what the engine asks of the kernel, whichever way the kernel is asked.
 *
 * Three implementations: io_uring (ring_uring.c), plain readiness calls on epoll or poll
 * (ring_readiness.c), and a fake one that posts whatever completions a test wants, in any order (in
 * tests/).
 *
 * A ring is used under the embedder's lock, except for wait(), which runs without it. A ring that
 * is not `any_thread` is touched by one thread only, the one that called enable() last.
 *
 * Results are 0 or -errno throughout. Errors that mean the ring itself is unusable (a seccomp
 * filter was entered, somebody closed its descriptor) are returned by flush() and wait(); the
 * engine then opens another ring.
 */
#ifndef EVU_RING_H
#define EVU_RING_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "op.h"
#include "words.h"

enum evu_poll_kind {
	EVU_POLL_ONCE,  /* one completion, then the request is over */
	EVU_POLL_LEVEL, /* reported as long as it is so */
	EVU_POLL_EDGE,  /* reported when it becomes so */
	EVU_NO_POLL,    /* of an op: it is not a poll */
};

struct evu_ring;

struct evu_ring_ops {
	const char *name; /* as event_base_get_method() gives it */

	/* True iff a completion states what is so at the time of reap() and LEVEL requests are
	 * reported again and again by the kernel. False: a completion is a hint that something
	 * happened once. */
	bool truth;
	bool any_thread; /* arm() and cancel() may be called from any thread and act at once */
	bool edge;       /* EVU_POLL_EDGE is honoured; else it behaves like LEVEL */
	bool lets_go;    /* a request ends with its file, and may be changed by arm(.., again) */

	/* Makes the calling thread the ring's owner. Called once, before the first flush(). */
	int (*enable)(struct evu_ring *ring);
	/* Arms an IDLE op as a poll for `mask` (POLLIN...). `again`: this fd was armed or had fired
	 * here before and was not disarmed since (epoll then modifies its registration). On success
	 * the op is ARMED. */
	int (*arm)(struct evu_ring *ring, struct evu_op *op, int fd, unsigned mask,
	    enum evu_poll_kind kind, bool again);
	/* Ends an ARMED op: it becomes CANCELLING, and its last completion may come at any time, or
	 * (epoll, poll) it is IDLE and back in the pool at once. The caller has orphaned it. For
	 * io_uring it takes effect with flush(). */
	int (*cancel)(struct evu_ring *ring, struct evu_op *op);
	/* The fd of this ARMED, orphaned op was armed again with another op: the op ends. Only
	 * where any_thread. */
	void (*replaced)(struct evu_ring *ring, struct evu_op *op);
	/* Hands everything queued to the kernel and lets it take effect before returning. */
	int (*flush)(struct evu_ring *ring);
	/* Locked, right before wait(). */
	int (*prepare)(struct evu_ring *ring);
	/* Hands everything queued to the kernel and waits up to timeout_ns (-1: for ever, 0: not at
	 * all) for a completion. A signal ends the wait early with 0. Unlocked: touches nothing
	 * that arm() and cancel() of other threads touch. */
	int (*wait)(struct evu_ring *ring, int64_t timeout_ns);
	/* For who spins: hands over what is queued and looks, once. 1: there is something to reap,
	 * 0: not yet. Unlocked, between prepare() and wait(), which is left out after 1. */
	int (*look)(struct evu_ring *ring);
	/* Locked: gives completions to their ops until none is left. Returns how many. */
	unsigned (*reap)(struct evu_ring *ring);
	/* Closes and frees the ring. `alien`: called in a forked child or in a thread that does not
	 * own the ring; nothing may be submitted then. Ops in flight are the caller's to reset. */
	void (*close)(struct evu_ring *ring, bool alien);
	/* poll(2) over fds, not waiting. */
	int (*check)(struct evu_ring *ring, struct pollfd *fds, unsigned n);

	/* What follows is called only where `moves` below has the bit. The requests make progress
	 * only within flush() and wait(), and behind all cancels that were queued before. */

	/* Room for `entries` buffers, a power of two, known by their numbers. There are two such
	 * groups, if `bulk` below says so. By the owner. */
	int (*buffers)(struct evu_ring *ring, bool bulk, unsigned entries);
	/* Buffer `id` may be filled. Takes effect at once. */
	void (*provide)(struct evu_ring *ring, bool bulk, unsigned id, void *data, unsigned len);
	/* Arm an IDLE op, as arm() does. recv: a completion with a buffer each time bytes come
	 * (op->bid), or with a `cap` only once, and not more than that; `now`: there may be bytes
	 * already; `bulk`: with a buffer of the second group. accept: a completion for each
	 * connection, accepted with `flags`. send: one completion; the msghdr and the iovec are
	 * read by the next flush() or wait(), the bytes until the completion. */
	int (*recv)(
	    struct evu_ring *ring, struct evu_op *op, int fd, bool bulk, unsigned cap, bool now);
	int (*accept)(struct evu_ring *ring, struct evu_op *op, int fd, int flags);
	int (*send)(struct evu_ring *ring, struct evu_op *op, int fd, const struct msghdr *msg);
};

struct evu_ring {
	const struct evu_ring_ops *ops;
	struct evu_op_pool *pool; /* the engine's */
	unsigned moves;           /* 1u << enum evu_request_kind: what it can do with data */
	int64_t idle_ns; /* a receive that has brought nothing for so long is better a poll; 0:
			    never */
	bool bulk;       /* it has two groups of buffers */
	bool for_data;   /* to be used where data is moved; for polls alone epoll is better */
};

/* Constructors: the ring or NULL with *err set to -errno. */
struct evu_ring *evu_ring_uring_open(struct evu_op_pool *pool, int *err);
struct evu_ring *evu_ring_epoll_open(struct evu_op_pool *pool, int *err);
struct evu_ring *evu_ring_poll_open(struct evu_op_pool *pool, int *err);

/* poll(2) without waiting, in pieces that a lowered RLIMIT_NOFILE still allows. Fills revents. 0 or
 * -errno. */
int evu_poll_now(struct pollfd *fds, unsigned n);

#endif
