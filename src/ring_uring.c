/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The io_uring ring: with features.c the only file that calls liburing.
 *
 * The happy path. arm() fills an SQE. wait() hands all new SQEs over and sleeps, in one
 * io_uring_enter. reap() copies completions out of the shared queue to their ops. A system call per
 * turn, whatever was armed.
 *
 * Set-ups, best first: SINGLE_ISSUER + DEFER_TASKRUN (completions are made only while we are in the
 * kernel for them, so a flag in shared memory says whether there is anything to go there for),
 * COOP_TASKRUN, none. The ring is made disabled and enabled by the thread that will loop:
 * single-issuer rings belong to the thread that enables them.
 *
 * Traps:
 * - A cancel has reached the peer of a socket only when its task work ran: flush() therefore asks
 * for events as well (measured on 6.18: cancel + submit alone leaves the file open until the next
 * turn).
 * - Since 6.13 one enter runs about 20 pieces of task work unless more are waited for: pump() goes
 * on until none is pending.
 * - When the completion queue overflows the kernel keeps the rest and hands it over at the next
 * enter; multishots end. Both show in the SQ flags or as a completion without F_MORE: nothing
 * special is done here.
 * - In a forked child the ring belongs to the parent: close() only drops the child's descriptor and
 * maps. The maps are inherited on purpose: unmapping what DONTFORK left out could hit a newer
 * mapping of the child.
 * - The ring's descriptor is not registered (IORING_REGISTER_RING_FDS): the registration would keep
 * the ring and all that is armed alive in the thread that looped first when the loop moves to
 * another thread.
 */
#define _GNU_SOURCE
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "features.h"
#include "list.h"
#include "mem.h"
#include "ring.h"
#include "uapi.h"

/* SQEs are only needed for one turn's changes; more are flushed in between. Completions outnumber
 * them: every armed poll may complete in one turn. 2,048 cover a large batch; the rest overflows
 * into the kernel's list and is not lost. */
#define SQ_ENTRIES 256u
#define CQ_ENTRIES 2048u
/* A turn that slept takes about so many completions; what is left comes in the next one. More would
 * not find buffers, and what they brought would have left the cache when the callbacks look at it.
 */
#define TURN_ENTRIES 1536u

struct buf_group {
	struct io_uring_buf_ring *bufs; /* NULL: not registered */
	size_t size;
	unsigned n;
};

struct ring_uring {
	struct evu_ring ring;
	struct io_uring uring;
	struct buf_group groups[2]; /* of blocks, and of large ones */
	bool all;       /* the next reap must leave nothing behind: something was cancelled, or the
			   program asked what there is */
	bool task_flag; /* IORING_SQ_TASKRUN tells whether there is task work */
	bool skip;      /* cancels that succeed post no completion */
	unsigned enter_flags;
};

/* liburing maps its queues with system calls that ThreadSanitizer does not see. A ring that is
 * mapped where another thread has unmapped one would look like a race; this tells it that the one
 * came after the other. */
#ifdef __SANITIZE_THREAD__
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
static char maps;
#define MAPS_COME() __tsan_acquire(&maps)
#define MAPS_GO() __tsan_release(&maps)
#else
#define MAPS_COME() ((void)0)
#define MAPS_GO() ((void)0)
#endif

static struct ring_uring *of(struct evu_ring *ring)
{
	return evu_container_of(ring, struct ring_uring, ring);
}

/* How many SQEs the kernel has not seen yet; publishes them. */
static unsigned publish(struct ring_uring *r)
{
	struct io_uring_sq *sq = &r->uring.sq;

	if (sq->sqe_head != sq->sqe_tail) {
		sq->sqe_head = sq->sqe_tail;
		io_uring_smp_store_release(sq->ktail, sq->sqe_tail);
	}
	return sq->sqe_tail - io_uring_smp_load_acquire(sq->khead);
}

/* Makes room in the submission queue, and nothing else: requests that are to be cancelled, but
 * whose cancel is not queued yet, must not make progress. */
static int submit_only(struct ring_uring *r)
{
	int rc = io_uring_enter2((unsigned)r->uring.enter_ring_fd, publish(r), 0, 0, NULL, 0);

	return rc == -EINTR || rc == -EBUSY || rc == -EAGAIN ? 0 : rc < 0 ? rc : 0;
}

/* One io_uring_enter: submits what is queued, asks for events, waits for `want` of them. */
static int enter(struct ring_uring *r, unsigned want, int64_t timeout_ns)
{
	struct __kernel_timespec ts;
	struct io_uring_getevents_arg arg = {.sigmask_sz = _NSIG / 8};
	unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG | r->enter_flags;
	int rc;

	if (want && timeout_ns >= 0) {
		ts.tv_sec = timeout_ns / 1000000000;
		ts.tv_nsec = timeout_ns % 1000000000;
		arg.ts = (uintptr_t)&ts;
	}
	rc = io_uring_enter2((unsigned)r->uring.enter_ring_fd, publish(r), want, flags,
	    (sigset_t *)&arg, sizeof(arg));
	/* A timeout and a signal are ends of a wait like any other. EBUSY and EAGAIN ask us to reap
	 * first, which comes next anyway; what was not taken stays queued. */
	if (rc == -ETIME || rc == -EINTR || rc == -EBUSY || rc == -EAGAIN)
		return 0;
	return rc < 0 ? rc : 0;
}

/* libevent's methods sleep in calls that are cancellation points; io_uring_enter is none, so it is
 * made one. No lock is held. */
static int enter_sleeping(struct ring_uring *r, int64_t timeout_ns)
{
	int type, rc;

	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
	rc = enter(r, 1, timeout_ns);
	pthread_setcanceltype(type, NULL);
	return rc;
}

/* True iff an enter would make completions that are not in the queue yet. */
static bool work_pending(struct ring_uring *r)
{
	unsigned flags = IO_URING_READ_ONCE(*r->uring.sq.kflags);

	return flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

static bool overflown(struct ring_uring *r)
{
	return IO_URING_READ_ONCE(*r->uring.sq.kflags) & IORING_SQ_CQ_OVERFLOW;
}

/* Goes on until all task work is done, or the completion queue is so full that it has to be reaped
 * first. The bound is what everything armed could need; fds that fire again and again do not hold
 * up the rest. */
static int pump(struct ring_uring *r)
{
	unsigned i, most = r->ring.pool->in_flight / 16 + 2;
	int rc = 0;

	for (i = 0; rc == 0 && i < most && work_pending(r); i++) {
		if (io_uring_cq_ready(&r->uring) > CQ_ENTRIES / 2)
			break;
		rc = enter(r, 0, 0);
	}
	return rc;
}

static int uring_wait(struct evu_ring *ring, int64_t timeout_ns)
{
	struct ring_uring *r = of(ring);
	int rc = 0;

	r->all |= timeout_ns == 0;
	if (timeout_ns != 0 && io_uring_cq_ready(&r->uring) == 0)
		rc = enter_sleeping(r, timeout_ns);
	else if (publish(r) || !r->task_flag || work_pending(r))
		rc = enter(r, 0, 0);
	return rc < 0 ? rc : pump(r);
}

static int uring_look(struct evu_ring *ring)
{
	struct ring_uring *r = of(ring);
	int rc = 0;

	if (publish(r) || !r->task_flag || work_pending(r))
		rc = enter(r, 0, 0);
	return rc < 0 ? rc : io_uring_cq_ready(&r->uring) > 0;
}

static int uring_flush(struct evu_ring *ring)
{
	struct ring_uring *r = of(ring);
	int rc = publish(r) ? enter(r, 0, 0) : 0;

	r->all = true;
	return rc < 0 ? rc : pump(r);
}

/* A free SQE, or NULL. It is clean: from liburing 2.6 on io_uring_prep_*() leave alone what they do
 * not need, the flags and the group of buffers of the request that had it before among them. */
static struct io_uring_sqe *next_sqe(struct ring_uring *r)
{
	struct io_uring_sq *sq = &r->uring.sq;
	struct io_uring_sqe *sqe;

	if (sq->sqe_tail - io_uring_smp_load_acquire(sq->khead) >= sq->ring_entries)
		return NULL;
	sqe = &sq->sqes[sq->sqe_tail++ & sq->ring_mask];
	memset(sqe, 0, sizeof(*sqe));
	return sqe;
}

/* A free SQE, making room if need be; NULL with *err set if there is none. */
static inline struct io_uring_sqe *get_sqe(struct ring_uring *r, int *err)
{
	struct io_uring_sqe *sqe = next_sqe(r);

	if (__builtin_expect(sqe != NULL, 1))
		return sqe;
	*err = submit_only(r);
	if (*err < 0)
		return NULL;
	sqe = next_sqe(r);
	*err = -EBUSY;
	return sqe;
}

static int uring_arm(struct evu_ring *ring, struct evu_op *op, int fd, unsigned mask,
    enum evu_poll_kind kind, bool again)
{
	struct ring_uring *r = of(ring);
	struct io_uring_sqe *sqe;
	int err;

	(void)again;
	sqe = get_sqe(r, &err);
	if (!sqe)
		return err;
	evu_op_armed(ring->pool, op, fd, kind);
	if (kind == EVU_POLL_ONCE)
		io_uring_prep_poll_add(sqe, fd, mask);
	else
		io_uring_prep_poll_multishot(sqe, fd, mask);
	io_uring_sqe_set_data64(sqe, evu_op_tag(op));
	return 0;
}

static int uring_cancel(struct evu_ring *ring, struct evu_op *op)
{
	struct ring_uring *r = of(ring);
	struct io_uring_sqe *sqe;
	int err;

	assert(op->state == EVU_OP_ARMED);
	sqe = get_sqe(r, &err);
	if (!sqe)
		return err;
	/* Not POLL_REMOVE: that leaves a poll alone (EALREADY) whose wake-up has not been turned
	 * into a completion yet. */
	io_uring_prep_cancel64(sqe, evu_op_tag(op), 0);
	io_uring_sqe_set_data64(sqe, 0);
	if (r->skip)
		sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	op->state = EVU_OP_CANCELLING;
	r->all = true;
	return 0;
}

static struct io_uring_sqe *get_data_sqe(struct ring_uring *r, struct evu_op *op, int fd, int *err)
{
	struct io_uring_sqe *sqe = get_sqe(r, err);

	if (sqe)
		evu_op_armed(r->ring.pool, op, fd, EVU_NO_POLL);
	return sqe;
}

static int uring_recv(
    struct evu_ring *ring, struct evu_op *op, int fd, bool bulk, unsigned cap, bool now)
{
	int err;
	struct io_uring_sqe *sqe = get_data_sqe(of(ring), op, fd, &err);

	if (!sqe)
		return err;
	if (cap)
		io_uring_prep_recv(sqe, fd, NULL, cap, 0);
	else
		io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = bulk;
	if (!now)
		sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
	io_uring_sqe_set_data64(sqe, evu_op_tag(op));
	return 0;
}

static int uring_accept(struct evu_ring *ring, struct evu_op *op, int fd, int flags)
{
	int err;
	struct io_uring_sqe *sqe = get_data_sqe(of(ring), op, fd, &err);

	if (!sqe)
		return err;
	io_uring_prep_multishot_accept(sqe, fd, NULL, NULL, flags);
	io_uring_sqe_set_data64(sqe, evu_op_tag(op));
	return 0;
}

static int uring_send(struct evu_ring *ring, struct evu_op *op, int fd, const struct msghdr *msg)
{
	int err;
	struct io_uring_sqe *sqe = get_data_sqe(of(ring), op, fd, &err);

	if (!sqe)
		return err;
	if (msg->msg_iovlen == 1)
		io_uring_prep_send(
		    sqe, fd, msg->msg_iov[0].iov_base, msg->msg_iov[0].iov_len, MSG_NOSIGNAL);
	else
		io_uring_prep_sendmsg(sqe, fd, msg, MSG_NOSIGNAL);
	io_uring_sqe_set_data64(sqe, evu_op_tag(op));
	return 0;
}

static int uring_buffers(struct evu_ring *ring, bool bulk, unsigned entries)
{
	struct ring_uring *r = of(ring);
	struct buf_group *g = &r->groups[bulk];
	struct io_uring_buf_reg reg = {.ring_entries = entries, .bgid = bulk};
	int rc;

	g->size = entries * sizeof(struct io_uring_buf);
	g->bufs = mmap(NULL, g->size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
	if (g->bufs == MAP_FAILED) {
		g->bufs = NULL;
		return -ENOMEM;
	}
	MAPS_COME();
	io_uring_buf_ring_init(g->bufs);
	g->n = entries;
	reg.ring_addr = (uintptr_t)g->bufs;
	rc = io_uring_register_buf_ring(&r->uring, &reg, 0);
	if (rc < 0) {
		munmap(g->bufs, g->size);
		g->bufs = NULL;
	}
	return rc;
}

static void uring_provide(struct evu_ring *ring, bool bulk, unsigned id, void *data, unsigned len)
{
	struct buf_group *g = &of(ring)->groups[bulk];

	io_uring_buf_ring_add(
	    g->bufs, data, len, (unsigned short)id, io_uring_buf_ring_mask(g->n), 0);
	io_uring_buf_ring_advance(g->bufs, 1);
}

static int uring_prepare(struct evu_ring *ring)
{
	(void)ring;
	return 0;
}

/* So many ops do not stay in the nearest cache from turn to turn. */
#define FAR_SLABS 4u
#define STRIDE 8u

/* The ops of the next n completions, and then what their handlers will touch, are fetched together.
 * As a function of its own it would have no effect, and gcc would leave it out. */
static inline __attribute__((always_inline)) void look_ahead(const struct ring_uring *r, unsigned n)
{
	const struct io_uring_cq *cq = &r->uring.cq;
	const struct evu_op *ops[STRIDE];
	unsigned i, head = *cq->khead;

	for (i = 0; i < n; i++) {
		ops[i] = evu_op_peek(r->ring.pool, cq->cqes[(head + i) & cq->ring_mask].user_data);
		__builtin_prefetch(ops[i]);
	}
	for (i = 0; i < n; i++)
		if (ops[i])
			__builtin_prefetch(ops[i]->ctx, 1);
}

static inline void complete_next(struct ring_uring *r)
{
	const struct io_uring_cq *cq = &r->uring.cq;
	unsigned head = *cq->khead;
	const struct io_uring_cqe *cqe = &cq->cqes[head & cq->ring_mask];
	struct evu_op *op = evu_op_find(r->ring.pool, cqe->user_data);
	unsigned flags = cqe->flags;
	int res = cqe->res;

	io_uring_smp_store_release(cq->khead, head + 1);
	if (!op)
		return;
	if (op->kind == EVU_NO_POLL) {
		op->bid =
		    flags & IORING_CQE_F_BUFFER ? (int)(flags >> IORING_CQE_BUFFER_SHIFT) : -1;
		op->nonempty = flags & IORING_CQE_F_SOCK_NONEMPTY;
	}
	evu_op_tell(r->ring.pool, op, res, flags & IORING_CQE_F_MORE);
}

static unsigned drain(struct ring_uring *r)
{
	bool far = r->ring.pool->nslabs >= FAR_SLABS;
	unsigned left, n = 0;

	/* A handler may arm, which may flush, which may add completions: then there is another
	 * round. */
	while ((left = io_uring_cq_ready(&r->uring))) {
		for (; left; left--, n++) {
			if (far && n % STRIDE == 0)
				look_ahead(r, left < STRIDE ? left : STRIDE);
			complete_next(r);
		}
	}
	return n;
}

static unsigned uring_reap(struct evu_ring *ring)
{
	struct ring_uring *r = of(ring);
	unsigned most = ring->pool->in_flight / CQ_ENTRIES * 4 + 2;
	unsigned n = drain(r);

	/* What did not fit in the queue, for it has happened already; and what has not happened
	 * yet, but after a sleep no more than a turn should have. */
	while ((r->all || n < TURN_ENTRIES || overflown(r)) && work_pending(r) && most-- > 0 &&
	       pump(r) == 0)
		n += drain(r);
	r->all = false;
	return n;
}

static int uring_check(struct evu_ring *ring, struct pollfd *fds, unsigned n)
{
	(void)ring;
	return evu_poll_now(fds, n);
}

static int uring_enable(struct evu_ring *ring)
{
	struct ring_uring *r = of(ring);
	/* Debian 12's shared liburing (2.3) does not export io_uring_enable_rings. */
	int rc =
	    io_uring_register((unsigned)r->uring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);

	return rc < 0 ? rc : 0;
}

/* Closing a ring cancels what is armed, but later, in a kernel worker. So that files closed after
 * this call are closed in truth, the owner cancels first. One by one: to cancel all at once the
 * kernel starts its search anew for each. */
static void cancel_one(struct evu_op *op, void *arg)
{
	struct evu_ring *ring = arg;

	(void)uring_cancel(ring, op);
}

static void uring_close(struct evu_ring *ring, bool alien)
{
	struct ring_uring *r = of(ring);

	if (!alien) {
		evu_op_each_armed(ring->pool, cancel_one, ring);
		(void)uring_flush(ring);
		(void)drain(r);
	}
	MAPS_GO();
	io_uring_queue_exit(&r->uring);
	/* The kernel holds on to the pages by itself until the ring has come to its end. */
	for (int i = 0; i < 2; i++)
		if (r->groups[i].bufs)
			munmap(r->groups[i].bufs, r->groups[i].size);
	evu_mem.free(r);
}

static const struct evu_ring_ops uring_ops = {
    .name = "io_uring",
    .truth = false,
    .any_thread = false,
    .edge = true,
    .enable = uring_enable,
    .arm = uring_arm,
    .cancel = uring_cancel,
    .flush = uring_flush,
    .prepare = uring_prepare,
    .wait = uring_wait,
    .look = uring_look,
    .reap = uring_reap,
    .close = uring_close,
    .check = uring_check,
    .buffers = uring_buffers,
    .provide = uring_provide,
    .recv = uring_recv,
    .accept = uring_accept,
    .send = uring_send,
};

/* After how much silence a receive makes room for a poll; EVENT_URING_IDLE_MS in the environment
 * says another time. */
static int64_t idle_ns(void)
{
	const char *text = secure_getenv("EVENT_URING_IDLE_MS");
	long ms = text ? strtol(text, NULL, 10) : 0;

	return (ms > 0 && ms < INT_MAX ? ms : 1000) * INT64_C(1000000);
}

struct evu_ring *evu_ring_uring_open(struct evu_op_pool *pool, int *err)
{
	const struct evu_features *f = evu_features();
	struct io_uring_params p = {
	    .flags = IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
	    .cq_entries = CQ_ENTRIES};
	struct ring_uring *r;

	*err = f->ring_error;
	if (!f->ring)
		return NULL;
	r = evu_mem.zalloc(1, sizeof(*r));
	if (!r) {
		*err = -ENOMEM;
		return NULL;
	}
	r->ring.ops = &uring_ops;
	r->ring.pool = pool;
	r->ring.moves = (f->recv ? 1u << EVU_RECV : 0u) | (f->accept ? 1u << EVU_ACCEPT : 0u) |
			(f->send ? 1u << EVU_SEND : 0u);
	r->ring.idle_ns = f->idle_poll ? idle_ns() : 0;
	r->ring.bulk = f->bulk;
	r->ring.for_data = r->ring.moves && f->plain_epoll;
	r->task_flag = f->defer_taskrun;
	r->skip = f->cqe_skip;
	r->enter_flags = f->no_iowait ? EVU_ENTER_NO_IOWAIT : 0;
	/* Both modes are newer than SUBMIT_ALL (5.18), without which one refused request delays
	 * those behind it. */
	if (f->defer_taskrun)
		p.flags |= IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			   IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL;
	else if (f->coop_taskrun)
		p.flags |=
		    IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL;
	*err = io_uring_queue_init_params(SQ_ENTRIES, &r->uring, &p);
	if (*err < 0) {
		evu_mem.free(r);
		return NULL;
	}
	MAPS_COME();
	return &r->ring;
}
