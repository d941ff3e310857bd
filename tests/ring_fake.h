/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A ring that does what a test says.
 *
 * fake_install() puts it in the place of all three rings: under io_uring's name it gives hints and
 * belongs to one thread, under epoll's and poll's it tells the truth from any thread (poll's knows
 * no edges). There is no kernel behind it. Armed requests lie in fake.reqs; the test posts their
 * completions, in the order that it wants the engine to see them, answers for poll(2), and makes
 * any call fail. Descriptors are only numbers here, except the engine's eventfd, which is looked at
 * at every enter (flush and wait), so that waking is what it is.
 *
 * Under io_uring's name it also moves data. Bytes that a test posts for a receive are copied into
 * the buffer that was provided first, and without one none can be posted: then -ENOBUFS is what a
 * kernel posts. Whenever the kernel is entered, everything that was given up must have been
 * cancelled.
 *
 * Also here: the hooks that the suites give to an engine. They write down what is told, and see to
 * it that the lock is held where it must be. Test code holds the lock (fake_hold) wherever the
 * embedder would.
 */
#ifndef TESTS_RING_FAKE_H
#define TESTS_RING_FAKE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "poll.h"

#define FAKE_REQS 4096
#define FAKE_CQES 8192
#define FAKE_FDS 4096
#define FAKE_BUFFERS 1024
#define FAKE_BULKS 64
#define FAKE_BLOCKS 4096

/* The next `times` calls answer `error`, after `skip` that do not; times < 0: all of them. */
struct fake_refusal {
	int error;
	int times;
	int skip;
};

/* A request, as the kernel would hold it. */
struct fake_req {
	uint64_t tag;
	int fd;
	unsigned mask;
	enum evu_poll_kind kind;
	bool again;
	bool live;      /* its last completion was not posted yet */
	bool seen;      /* by the kernel: a flush or a wait came after arm() */
	bool cancelled; /* cancel() was called */
	bool looked;    /* the eventfd's: its file was looked at since it was armed */

	/* Of a request with the kind EVU_NO_POLL: */
	enum evu_request_kind moves;
	unsigned cap;             /* EVU_RECV: brings not more than that, once; 0: multishot */
	bool now;                 /* EVU_RECV: there may be bytes already */
	bool bulk;                /* EVU_RECV: into large blocks */
	int flags;                /* EVU_ACCEPT */
	const struct msghdr *msg; /* EVU_SEND */
};

struct fake_cqe {
	uint64_t tag;
	int res;
	bool more;
	int bid; /* the buffer that it fills, -1: none */
	bool nonempty;
};

struct fake_buffer {
	void *data; /* NULL: the kernel does not have it */
	unsigned len;
};

/* Large blocks that the kernel may fill. */
struct fake_bulks {
	unsigned entries;
	struct fake_buffer buffers[FAKE_BULKS];
	unsigned queue[FAKE_BULKS];
	unsigned nqueue;
};

struct fake {
	/* What the test asks for. */
	bool cancel_by_hand; /* else a cancel is answered with -ECANCELED at the next flush or wait
			      */
	bool alone; /* the hooks have no lock: no other thread, and hints are taken at their word
		       where they can be */
	bool all_hints;  /* every method's ring gives hints */
	bool apart;      /* io_uring's ring is for data; it becomes `ring` when it is enabled */
	bool real_sleep; /* wait() blocks until the eventfd is readable, when nothing is to be
			    reaped */
	struct fake_refusal refuse_open[EVU_NMETHODS];
	struct fake_refusal refuse_enable, refuse_arm, refuse_cancel, refuse_flush, refuse_prepare,
	    refuse_wait, refuse_look, refuse_check, refuse_buffers, refuse_recv, refuse_accept,
	    refuse_send;
	unsigned no_moves; /* what io_uring's ring cannot do with data: 1u << enum
			      evu_request_kind */
	bool no_bulk;      /* its ring has no second group of buffers */
	bool reap_enters;  /* reap() may enter the kernel, as io_uring's does while it has more to
			      give */
	unsigned
	    ready[FAKE_FDS];   /* check() answers this & (what was asked | the masks always told) */
	void (*on_look)(void); /* in look(), unlocked, before it answers */
	void (*on_wait)(int64_t timeout_ns);   /* in wait(), unlocked, before it returns */
	void (*on_seen)(struct fake_req *req); /* the kernel sees a request for the first time */
	void (*on_check)(void);                /* before check() answers */
	void (*on_enter)(void);       /* the kernel was entered, and has seen what was queued */
	void (*on_close)(bool alien); /* unless alien, what it posts is still reaped */

	/* What was done. */
	unsigned opens[EVU_NMETHODS], closes, alien_closes;
	unsigned enables, arms, cancels, replaced, flushes, prepares, waits, looks, sleeps, reaps,
	    checks;
	unsigned overslept; /* sleeps that nothing ended within 20 seconds */
	unsigned provides;
	unsigned registrations; /* of buffers */
	unsigned queued_arms;   /* since the last enter */
	int64_t last_timeout_ns;
	unsigned last_check_n;
	pthread_t toucher; /* who called arm, cancel, flush, wait or reap last */

	/* What the kernel holds. */
	struct evu_ring *ring;  /* the open one, NULL: none */
	struct evu_ring *spare; /* io_uring's, open and not used */
	enum evu_method method;
	const int *wake_fd;
	const struct evu_engine *engine; /* NULL: none */
	uint64_t wake_count;             /* what the eventfd held when it was looked at last */
	struct fake_req reqs[FAKE_REQS];
	int nreqs; /* slots ever used */
	struct fake_cqe cqes[FAKE_CQES];
	int ncqes;
	unsigned entries; /* buffer numbers there are; 0: not registered */
	struct fake_buffer buffers[FAKE_BUFFERS];
	unsigned queue[FAKE_BUFFERS]; /* the numbers of those that may be filled, oldest first */
	unsigned nqueue;
	struct fake_bulks bulks;
};
extern struct fake fake;

/* Forgets everything and takes the place of the three rings. */
void fake_install(void);

/* The live request of an fd that was armed last and not cancelled; NULL when there is none. */
struct fake_req *fake_req(int fd);
/* The live request of an fd whose cancel was asked for, the oldest; NULL when there is none. */
struct fake_req *fake_cancelled(int fd);
/* How many requests are live, cancelled ones included, the engine's own one not. */
int fake_live(void);
/* Posts a completion; without `more` it is the request's last. */
void fake_post(struct fake_req *req, int res, bool more);
/* Posts a completion for the live request of an fd, which must be there. */
void fake_complete(int fd, int res, bool more);
/* The cancelled request of an fd ends. */
void fake_end_cancelled(int fd, int res);
/* `len` bytes come in for a receive. `nonempty`: and there are more. */
void fake_post_bytes(
    struct fake_req *req, const void *bytes, unsigned len, bool nonempty, bool more);
/* The same for the live receive of an fd, and with a text. */
void fake_bytes(int fd, const char *text, bool more);
/* Answers of check(). */
void fake_set_ready(int fd, unsigned mask);

/* The hooks, and what they were told since fake_log_clear(). */
struct fake_told {
	struct evu_poll *poll;
	int fd;
	unsigned mask;
};
struct fake_log {
	struct fake_told told[FAKE_CQES];
	int ntold;
	int nsettled;
	int nforked;
	unsigned boring; /* masks that nobody waits for: ready() answers false to them */
	void (*on_ready)(struct evu_poll *poll, unsigned mask);
	struct evu_intake *arrived[FAKE_CQES];
	int narrived;
	struct evu_send *sent[FAKE_CQES];
	int nsent;
	void (*on_arrived)(struct evu_intake *in);
	struct fake_refusal refuse_block;
	unsigned blocks_asked;
	void *blocks[FAKE_BLOCKS]; /* what block_new() gave out and was not freed */
	int nblocks;
};
extern struct fake_log fake_log;
extern const struct evu_hooks fake_hooks;

void fake_log_clear(void);
/* How often an fd was told since fake_log_clear(), and the union of the masks. */
int fake_told(int fd);
unsigned fake_told_mask(int fd);

int fake_arrived(const struct evu_intake *in);
int fake_sent(const struct evu_send *send);
/* What block_new() gave out and the embedder has kept. */
void fake_block_free(void *data);

/* The embedder's lock. */
void fake_hold(void);
void fake_let_go(void);

/* An engine on the fake ring (or on real ones, without fake_install), entered, the lock held. */
struct evu_engine *fake_engine(unsigned methods);
/* Leaves and frees it, and lets go of the lock. All blocks must have come back. */
void fake_engine_done(struct evu_engine *e);

/* Runs fn(arg) in another thread to its end. It starts without the lock; the caller's is let go
 * meanwhile. */
void fake_in_thread(void (*fn)(void *arg), void *arg);

/* Allocations through evu_mem, which is the tests' own: after `good` of them every one fails; -1:
 * none does. Counts those that were asked for. */
void fake_mem_install(int good);
extern int fake_mem_asked;

#define FAKE_ALL_METHODS (1u << EVU_IO_URING | 1u << EVU_EPOLL | 1u << EVU_POLL2)

#endif
