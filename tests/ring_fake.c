/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The fake ring. Its state is one global, so that it outlives the rings that the engine opens and
 * closes, and a test can ask what became of them.
 *
 * Traps. A request becomes visible to the kernel (`seen`) with the next flush or wait, as on
 * io_uring; where any_thread is so, at once. Posting is allowed at any time, also from on_wait; the
 * engine sees it at its next reap. The eventfd is read here where the engine does not drain it:
 * that is how the fake kernel knows a new edge from an old one.
 */
#include "ring_fake.h"

#include <assert.h>
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "list.h"
#include "request.h"
#include "wake.h"

struct fake fake;
struct fake_log fake_log;
int fake_mem_asked;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_t holder;
static bool held;

static int refused(struct fake_refusal *r)
{
	if (r->times == 0)
		return 0;
	if (r->skip > 0) {
		r->skip--;
		return 0;
	}
	if (r->times > 0)
		r->times--;
	return r->error;
}

static void touched(const char *what)
{
	if (!held || !pthread_equal(holder, pthread_self()))
		ck_abort_msg("%s without the lock", what);
	fake.toucher = pthread_self();
}

static bool is_wake(int fd)
{
	return fake.wake_fd && *fake.wake_fd == fd;
}

static struct fake_req *req_of_tag(uint64_t tag)
{
	int i;

	for (i = 0; i < fake.nreqs; i++)
		if (fake.reqs[i].live && fake.reqs[i].tag == tag)
			return &fake.reqs[i];
	return NULL;
}

struct fake_req *fake_req(int fd)
{
	struct fake_req *found = NULL;
	int i;

	for (i = 0; i < fake.nreqs; i++) {
		struct fake_req *r = &fake.reqs[i];

		if (r->live && !r->cancelled && r->fd == fd)
			found = r;
	}
	return found;
}

struct fake_req *fake_cancelled(int fd)
{
	int i;

	for (i = 0; i < fake.nreqs; i++)
		if (fake.reqs[i].live && fake.reqs[i].cancelled && fake.reqs[i].fd == fd)
			return &fake.reqs[i];
	return NULL;
}

int fake_live(void)
{
	int i, n = 0;

	for (i = 0; i < fake.nreqs; i++)
		n += fake.reqs[i].live && !is_wake(fake.reqs[i].fd);
	return n;
}

/* One of the two groups of buffers. */
struct pool {
	unsigned *entries, *queue, *nqueue;
	struct fake_buffer *buffers;
	unsigned most;
};

static struct pool pool_of(bool bulk)
{
	if (bulk)
		return (struct pool){&fake.bulks.entries, fake.bulks.queue, &fake.bulks.nqueue,
		    fake.bulks.buffers, FAKE_BULKS};
	return (struct pool){&fake.entries, fake.queue, &fake.nqueue, fake.buffers, FAKE_BUFFERS};
}

static void post(struct fake_req *req, struct fake_cqe cqe)
{
	ck_assert_int_lt(fake.ncqes, FAKE_CQES);
	fake.cqes[fake.ncqes++] = cqe;
	if (!cqe.more)
		req->live = false;
}

void fake_post(struct fake_req *req, int res, bool more)
{
	ck_assert_msg(req && req->live, "a completion of no request");
	ck_assert_msg(res <= 0 || req->kind != EVU_NO_POLL || req->moves != EVU_RECV,
	    "bytes without a buffer");
	ck_assert_msg(res != -ENOBUFS || *pool_of(req->bulk).nqueue == 0, "there are buffers");
	post(req, (struct fake_cqe){req->tag, res, more, -1, false});
}

void fake_post_bytes(
    struct fake_req *req, const void *bytes, unsigned len, bool nonempty, bool more)
{
	const struct pool pool = pool_of(req->bulk);
	struct fake_buffer *buf;
	unsigned bid;

	ck_assert_msg(req && req->live, "bytes for no request");
	ck_assert(req->kind == EVU_NO_POLL && req->moves == EVU_RECV);
	ck_assert_msg(*pool.nqueue > 0, "bytes, but no buffer to put them into");
	bid = pool.queue[0];
	memmove(pool.queue, pool.queue + 1, --*pool.nqueue * sizeof(pool.queue[0]));
	buf = &pool.buffers[bid];
	ck_assert(len > 0 && len <= buf->len);
	ck_assert_msg(!req->cap || (len <= req->cap && !more), "more than was asked for");
	memcpy(buf->data, bytes, len);
	*buf = (struct fake_buffer){0};
	post(req, (struct fake_cqe){req->tag, (int)len, more, (int)bid, nonempty});
}

void fake_bytes(int fd, const char *text, bool more)
{
	struct fake_req *req = fake_req(fd);

	ck_assert_msg(req != NULL, "fd %d is not armed", fd);
	fake_post_bytes(req, text, (unsigned)strlen(text), false, more);
}

void fake_complete(int fd, int res, bool more)
{
	struct fake_req *req = fake_req(fd);

	ck_assert_msg(req != NULL, "fd %d is not armed", fd);
	fake_post(req, res, more);
}

void fake_end_cancelled(int fd, int res)
{
	struct fake_req *req = fake_cancelled(fd);

	ck_assert_msg(req != NULL, "fd %d has no request that was cancelled", fd);
	fake_post(req, res, false);
}

void fake_set_ready(int fd, unsigned mask)
{
	ck_assert(fd >= 0 && fd < FAKE_FDS);
	fake.ready[fd] = mask;
}

/* How often the eventfd was written. Nothing is taken from it: the engine may never read it. */
static uint64_t wake_count(int fd)
{
	uint64_t count = 0;

	if (read(fd, &count, sizeof(count)) < 0)
		return 0;
	ck_assert_int_eq(write(fd, &count, sizeof(count)), sizeof(count));
	return count;
}

/* The eventfd, as the kernel would report it to the request that is armed for it: each write is an
 * edge, and arming looks at the state. */
static void look_at_wake(void)
{
	struct fake_req *req = fake.wake_fd ? fake_req(*fake.wake_fd) : NULL;
	uint64_t count;

	if (!req || !req->seen)
		return;
	count = wake_count(req->fd);
	if (count && (!req->looked || count != fake.wake_count || !fake.ring->ops->edge))
		fake_post(req, POLLIN, req->kind != EVU_POLL_ONCE);
	req->looked = true;
	fake.wake_count = count;
}

/* Until something is to be reaped. */
static void sleep_truly(int64_t timeout_ns)
{
	int64_t left_us = timeout_ns < 0 ? 20000000 : timeout_ns / 1000;

	for (; fake.ncqes == 0 && left_us > 0; left_us -= 200) {
		usleep(200);
		look_at_wake();
	}
	fake.overslept += fake.ncqes == 0 && timeout_ns < 0;
}

/* Requests make progress while the kernel is entered: those that were given up must have been
 * cancelled by then. Locked: what another thread gives up while the owner enters has to wait. */
static void may_enter(void)
{
	int i;

	if (fake.ring->ops->any_thread || !fake.engine)
		return;
	ck_assert_msg(!evu_link_linked(&fake.engine->halting), "entered before the cancels");
	for (i = 0; i < fake.nreqs; i++) {
		const struct fake_req *r = &fake.reqs[i];
		const struct evu_op *op = evu_op_find(fake.ring->pool, r->tag);

		if (r->live && !r->cancelled && op && evu_request_handles(op->handler))
			ck_assert_msg(((struct evu_request *)op->ctx)->wanted,
			    "entered while fd %d was given up, but not cancelled", r->fd);
	}
}

/* What is queued reaches the kernel. */
static void enter(void)
{
	int i;

	fake.queued_arms = 0;
	for (i = 0; i < fake.nreqs; i++) {
		struct fake_req *r = &fake.reqs[i];

		if (!r->live)
			continue;
		if (!r->seen && fake.on_seen && !is_wake(r->fd)) {
			r->seen = true;
			fake.on_seen(r);
		}
		r->seen = true;
		if (r->live && r->cancelled && !fake.cancel_by_hand)
			fake_post(r, -ECANCELED, false);
	}
	if (fake.on_enter)
		fake.on_enter();
	look_at_wake();
}

static int fake_enable(struct evu_ring *ring)
{
	if (!fake.ring && ring == fake.spare) {
		fake.ring = ring;
		fake.spare = NULL;
		fake.method = EVU_IO_URING;
	}
	ck_assert_ptr_eq(ring, fake.ring);
	touched("enable");
	fake.enables++;
	return refused(&fake.refuse_enable);
}

static struct fake_req *free_req(void)
{
	int i;

	for (i = 0; i < fake.nreqs && fake.reqs[i].live; i++)
		;
	ck_assert_int_lt(i, FAKE_REQS);
	if (i == fake.nreqs)
		fake.nreqs++;
	return &fake.reqs[i];
}

/* A request that is to be armed; the op becomes ARMED. NULL: refused. */
static struct fake_req *queue_req(struct evu_ring *ring, struct evu_op *op, int fd,
    enum evu_poll_kind kind, struct fake_refusal *refusal, int *rc)
{
	struct fake_req *req;

	ck_assert_ptr_eq(ring, fake.ring);
	touched("arm");
	*rc = refused(refusal);
	if (*rc < 0)
		return NULL;
	fake.arms++;
	fake.queued_arms++;
	evu_op_armed(ring->pool, op, fd, kind);
	req = free_req();
	*req = (struct fake_req){.tag = evu_op_tag(op), .fd = fd, .kind = kind, .live = true};
	return req;
}

static int fake_arm(struct evu_ring *ring, struct evu_op *op, int fd, unsigned mask,
    enum evu_poll_kind kind, bool again)
{
	int rc;
	struct fake_req *req = queue_req(ring, op, fd, kind, &fake.refuse_arm, &rc);

	if (!req)
		return rc;
	req->mask = mask;
	req->again = again;
	if (ring->ops->any_thread) {
		req->seen = true;
		if (fake.on_seen && !is_wake(fd))
			fake.on_seen(req);
	}
	return 0;
}

static struct fake_req *queue_data(struct evu_ring *ring, struct evu_op *op, int fd,
    enum evu_request_kind moves, struct fake_refusal *refusal, int *rc)
{
	struct fake_req *req;

	ck_assert_msg(ring->moves & 1u << moves, "the ring does not do this");
	req = queue_req(ring, op, fd, EVU_NO_POLL, refusal, rc);
	if (req)
		req->moves = moves;
	return req;
}

static int fake_recv(
    struct evu_ring *ring, struct evu_op *op, int fd, bool bulk, unsigned cap, bool now)
{
	int rc;
	struct fake_req *req;

	ck_assert_msg(*pool_of(bulk).entries > 0, "a receive, but no buffers are registered");
	ck_assert_msg(!bulk || cap == 0, "large blocks for a receive with a cap");
	req = queue_data(ring, op, fd, EVU_RECV, &fake.refuse_recv, &rc);
	if (!req)
		return rc;
	req->cap = cap;
	req->now = now;
	req->bulk = bulk;
	return 0;
}

static int fake_accept(struct evu_ring *ring, struct evu_op *op, int fd, int flags)
{
	int rc;
	struct fake_req *req = queue_data(ring, op, fd, EVU_ACCEPT, &fake.refuse_accept, &rc);

	if (req)
		req->flags = flags;
	return rc;
}

static int fake_send(struct evu_ring *ring, struct evu_op *op, int fd, const struct msghdr *msg)
{
	int rc;
	struct fake_req *req = queue_data(ring, op, fd, EVU_SEND, &fake.refuse_send, &rc);

	if (req)
		req->msg = msg;
	return rc;
}

static int fake_buffers(struct evu_ring *ring, bool bulk, unsigned entries)
{
	const struct pool pool = pool_of(bulk);
	int rc;

	ck_assert_ptr_eq(ring, fake.ring);
	touched("buffers");
	ck_assert(!bulk || ring->bulk);
	ck_assert_uint_eq(*pool.entries, 0);
	ck_assert(entries > 0 && entries <= pool.most && (entries & (entries - 1)) == 0);
	rc = refused(&fake.refuse_buffers);
	if (rc < 0)
		return rc;
	fake.registrations++;
	*pool.entries = entries;
	return 0;
}

static bool known_block(const void *data)
{
	int i;

	for (i = 0; i < fake_log.nblocks && fake_log.blocks[i] != data; i++)
		;
	return i < fake_log.nblocks;
}

static void fake_provide(struct evu_ring *ring, bool bulk, unsigned id, void *data, unsigned len)
{
	const struct pool pool = pool_of(bulk);

	ck_assert_ptr_eq(ring, fake.ring);
	touched("provide");
	ck_assert_uint_lt(id, *pool.entries);
	ck_assert_uint_eq(len, bulk ? EVU_BULK_SIZE : EVU_BLOCK_SIZE);
	ck_assert_msg(!pool.buffers[id].data, "buffer %u is provided twice", id);
	ck_assert_msg(known_block(data), "buffer %u is in memory that is nobody's", id);
	fake.provides++;
	pool.buffers[id] = (struct fake_buffer){data, len};
	pool.queue[(*pool.nqueue)++] = id;
}

/* ARMED -> IDLE at once, as on epoll. */
static void end_now(struct evu_ring *ring, struct evu_op *op)
{
	struct fake_req *req = req_of_tag(evu_op_tag(op));

	if (req)
		req->live = false;
	evu_op_orphan(op);
	evu_op_complete(ring->pool, evu_op_tag(op), 0, false);
}

static int fake_cancel(struct evu_ring *ring, struct evu_op *op)
{
	struct fake_req *req = req_of_tag(evu_op_tag(op));
	int rc;

	ck_assert_ptr_eq(ring, fake.ring);
	ck_assert_int_eq(op->state, EVU_OP_ARMED);
	ck_assert_msg(!op->handler || evu_request_handles(op->handler), "the op was not orphaned");
	touched("cancel");
	ck_assert_msg(ring->ops->any_thread || fake.queued_arms == 0, "a cancel behind an arm");
	rc = refused(&fake.refuse_cancel);
	if (rc < 0)
		return rc;
	fake.cancels++;
	if (ring->ops->any_thread) {
		end_now(ring, op);
		return 0;
	}
	op->state = EVU_OP_CANCELLING;
	if (req) /* else its last completion is on its way, and the cancel finds nothing: -ENOENT */
		req->cancelled = true;
	return 0;
}

static void fake_replaced(struct evu_ring *ring, struct evu_op *op)
{
	ck_assert(ring->ops->any_thread);
	fake.replaced++;
	end_now(ring, op);
}

static int fake_flush(struct evu_ring *ring)
{
	int rc;

	ck_assert_ptr_eq(ring, fake.ring);
	touched("flush");
	fake.flushes++;
	rc = refused(&fake.refuse_flush);
	if (rc < 0)
		return rc;
	may_enter();
	enter();
	return 0;
}

static int fake_prepare(struct evu_ring *ring)
{
	ck_assert_ptr_eq(ring, fake.ring);
	touched("prepare");
	fake.prepares++;
	may_enter();
	return refused(&fake.refuse_prepare);
}

static int fake_wait(struct evu_ring *ring, int64_t timeout_ns)
{
	int rc;

	ck_assert_ptr_eq(ring, fake.ring);
	ck_assert_msg(fake.alone || !held || !pthread_equal(holder, pthread_self()),
	    "sleeping with the lock held");
	fake.toucher = pthread_self();
	fake.waits++;
	fake.sleeps += timeout_ns != 0;
	fake.last_timeout_ns = timeout_ns;
	rc = refused(&fake.refuse_wait);
	if (rc < 0)
		return rc;
	enter();
	if (fake.on_wait)
		fake.on_wait(timeout_ns);
	if (fake.real_sleep)
		sleep_truly(timeout_ns);
	look_at_wake();
	/* A ring that is lost while it sleeps. */
	return fake.real_sleep ? refused(&fake.refuse_wait) : 0;
}

static int fake_look(struct evu_ring *ring)
{
	int rc;

	ck_assert_ptr_eq(ring, fake.ring);
	ck_assert_msg(fake.alone || !held || !pthread_equal(holder, pthread_self()),
	    "spinning with the lock held");
	fake.looks++;
	rc = refused(&fake.refuse_look);
	if (rc < 0)
		return rc;
	enter();
	if (fake.on_look)
		fake.on_look();
	look_at_wake();
	return fake.ncqes > 0;
}

/* A handler may cause completions: they are seen by this same walk, as on io_uring. */
static unsigned fake_reap(struct evu_ring *ring)
{
	int i;

	ck_assert_ptr_eq(ring, fake.ring);
	touched("reap");
	fake.reaps++;
	if (fake.reap_enters)
		may_enter();
	for (i = 0; i < fake.ncqes; i++) {
		struct fake_cqe c = fake.cqes[i];
		struct evu_op *op = evu_op_peek(ring->pool, c.tag);

		if (op && op->kind == EVU_NO_POLL) {
			op->bid = c.bid;
			op->nonempty = c.nonempty;
		}
		evu_op_complete(ring->pool, c.tag, c.res, c.more);
	}
	fake.ncqes = 0;
	return (unsigned)i;
}

static void fake_close(struct evu_ring *ring, bool alien)
{
	if (ring == fake.spare) {
		fake.closes++;
		fake.alien_closes += alien;
		fake.spare = NULL;
		free(ring);
		return;
	}
	ck_assert_ptr_eq(ring, fake.ring);
	if (fake.on_close)
		fake.on_close(alien);
	if (!alien && fake.ncqes > 0)
		(void)fake_reap(ring);
	fake.closes++;
	fake.alien_closes += alien;
	fake.ring = NULL;
	fake.nreqs = fake.ncqes = 0;
	fake.entries = fake.nqueue = fake.queued_arms = 0;
	memset(fake.buffers, 0, sizeof(fake.buffers));
	memset(&fake.bulks, 0, sizeof(fake.bulks));
	free(ring);
}

static int fake_check(struct evu_ring *ring, struct pollfd *fds, unsigned n)
{
	unsigned i;
	int rc;

	ck_assert_ptr_eq(ring, fake.ring);
	touched("check");
	fake.checks++;
	fake.last_check_n = n;
	if (fake.on_check)
		fake.on_check();
	rc = refused(&fake.refuse_check);
	for (i = 0; i < n && rc == 0; i++) {
		ck_assert(fds[i].fd >= 0 && fds[i].fd < FAKE_FDS);
		fds[i].revents = (short)(fake.ready[fds[i].fd] &
					 ((unsigned)fds[i].events | POLLERR | POLLHUP | POLLNVAL));
	}
	return rc;
}

#define FAKE_OPS                                                                                  \
	.enable = fake_enable, .arm = fake_arm, .cancel = fake_cancel, .replaced = fake_replaced, \
	.flush = fake_flush, .prepare = fake_prepare, .wait = fake_wait, .look = fake_look,       \
	.reap = fake_reap, .close = fake_close, .check = fake_check, .buffers = fake_buffers,     \
	.provide = fake_provide, .recv = fake_recv, .accept = fake_accept, .send = fake_send

static const struct evu_ring_ops ops[EVU_NMETHODS] = {
    [EVU_IO_URING] = {.name = "io_uring", .edge = true, FAKE_OPS},
    [EVU_EPOLL] = {.name = "epoll",
	.truth = true,
	.any_thread = true,
	.edge = true,
	.lets_go = true,
	FAKE_OPS},
    [EVU_POLL2] = {.name = "poll", .truth = true, .any_thread = true, FAKE_OPS},
};

static struct evu_ring *fake_open(enum evu_method method, struct evu_op_pool *pool, int *err)
{
	ck_assert_uint_eq(pool->in_flight, 0);
	*err = refused(&fake.refuse_open[method]);
	if (*err < 0)
		return NULL;
	if (fake.ring && fake.ring->for_data && method == EVU_EPOLL) {
		fake.spare = fake.ring;
		fake.ring = NULL;
	}
	ck_assert_msg(!fake.ring, "a second ring while the first one is open");
	fake.ring = calloc(1, sizeof(*fake.ring));
	ck_assert_ptr_nonnull(fake.ring);
	fake.ring->ops = &ops[fake.all_hints ? EVU_IO_URING : method];
	fake.ring->pool = pool;
	if (method == EVU_IO_URING)
		fake.ring->moves =
		    (1u << EVU_RECV | 1u << EVU_ACCEPT | 1u << EVU_SEND) & ~fake.no_moves;
	fake.ring->bulk = method == EVU_IO_URING && !fake.no_bulk;
	fake.ring->for_data = method == EVU_IO_URING && fake.apart;
	fake.method = method;
	fake.opens[method]++;
	return fake.ring;
}

static struct evu_ring *open_uring(struct evu_op_pool *pool, int *err)
{
	return fake_open(EVU_IO_URING, pool, err);
}

static struct evu_ring *open_epoll(struct evu_op_pool *pool, int *err)
{
	return fake_open(EVU_EPOLL, pool, err);
}

static struct evu_ring *open_poll(struct evu_op_pool *pool, int *err)
{
	return fake_open(EVU_POLL2, pool, err);
}

void fake_install(void)
{
	memset(&fake, 0, sizeof(fake));
	evu_ring_openers[EVU_IO_URING] = open_uring;
	evu_ring_openers[EVU_EPOLL] = open_epoll;
	evu_ring_openers[EVU_POLL2] = open_poll;
}

/* The hooks. */

void fake_hold(void)
{
	pthread_mutex_lock(&lock);
	holder = pthread_self();
	held = true;
}

void fake_let_go(void)
{
	assert(held && pthread_equal(holder, pthread_self()));
	held = false;
	pthread_mutex_unlock(&lock);
}

static void hook_lock(void *arg)
{
	(void)arg;
	fake_hold();
}

static void hook_unlock(void *arg)
{
	(void)arg;
	fake_let_go();
}

static bool hook_ready(void *arg, struct evu_poll *poll, unsigned mask)
{
	ck_assert_ptr_eq(arg, &fake_log);
	ck_assert_msg(held && pthread_equal(holder, pthread_self()), "told without the lock");
	ck_assert_msg(poll->want != 0, "fd %d is told although it was dropped", poll->fd);
	ck_assert_int_lt(fake_log.ntold, FAKE_CQES);
	fake_log.told[fake_log.ntold++] = (struct fake_told){poll, poll->fd, mask};
	if (fake_log.on_ready)
		fake_log.on_ready(poll, mask);
	return mask & ~fake_log.boring;
}

static void hook_settled(void *arg)
{
	ck_assert_ptr_eq(arg, &fake_log);
	ck_assert_msg(held && pthread_equal(holder, pthread_self()), "settled without the lock");
	fake_log.nsettled++;
}

static void hook_forked(void *arg)
{
	ck_assert_ptr_eq(arg, &fake_log);
	fake_log.nforked++;
}

static void hook_arrived(void *arg, struct evu_intake *in)
{
	ck_assert_ptr_eq(arg, &fake_log);
	ck_assert_msg(held && pthread_equal(holder, pthread_self()), "arrived without the lock");
	ck_assert_msg(evu_intake_pending(in), "nothing has arrived");
	ck_assert_int_lt(fake_log.narrived, FAKE_CQES);
	fake_log.arrived[fake_log.narrived++] = in;
	if (fake_log.on_arrived)
		fake_log.on_arrived(in);
}

static void hook_sent(void *arg, struct evu_send *send)
{
	ck_assert_ptr_eq(arg, &fake_log);
	ck_assert_msg(held && pthread_equal(holder, pthread_self()), "sent without the lock");
	ck_assert_int_ne(send->result, -EINPROGRESS);
	ck_assert_int_lt(fake_log.nsent, FAKE_CQES);
	fake_log.sent[fake_log.nsent++] = send;
}

static void *hook_block_new(void *arg, bool bulk)
{
	void *data;

	ck_assert_ptr_eq(arg, &fake_log);
	fake_log.blocks_asked++;
	if (refused(&fake_log.refuse_block))
		return NULL;
	ck_assert_int_lt(fake_log.nblocks, FAKE_BLOCKS);
	data = malloc(bulk ? EVU_BULK_SIZE : EVU_BLOCK_SIZE);
	ck_assert_ptr_nonnull(data);
	return fake_log.blocks[fake_log.nblocks++] = data;
}

void fake_block_free(void *data)
{
	unsigned id;
	int i;

	ck_assert_msg(known_block(data), "a block is freed that is nobody's");
	for (id = 0; id < fake.entries; id++)
		ck_assert_msg(fake.buffers[id].data != data, "the kernel's buffer %u is freed", id);
	for (id = 0; id < fake.bulks.entries; id++)
		ck_assert_msg(fake.bulks.buffers[id].data != data, "large buffer %u is freed", id);
	for (i = 0; fake_log.blocks[i] != data; i++)
		;
	fake_log.blocks[i] = fake_log.blocks[--fake_log.nblocks];
	free(data);
}

static void hook_block_free(void *arg, void *data)
{
	ck_assert_ptr_eq(arg, &fake_log);
	fake_block_free(data);
}

#define COMMON_HOOKS                                                             \
	.ready = hook_ready, .settled = hook_settled, .forked = hook_forked,     \
	.arrived = hook_arrived, .sent = hook_sent, .block_new = hook_block_new, \
	.block_free = hook_block_free

const struct evu_hooks fake_hooks = {.lock = hook_lock, .unlock = hook_unlock, COMMON_HOOKS};

static const struct evu_hooks alone_hooks = {COMMON_HOOKS};

void fake_log_clear(void)
{
	fake_log.ntold = fake_log.nsettled = fake_log.narrived = fake_log.nsent = 0;
}

int fake_arrived(const struct evu_intake *in)
{
	int i, n = 0;

	for (i = 0; i < fake_log.narrived; i++)
		n += fake_log.arrived[i] == in;
	return n;
}

int fake_sent(const struct evu_send *send)
{
	int i, n = 0;

	for (i = 0; i < fake_log.nsent; i++)
		n += fake_log.sent[i] == send;
	return n;
}

int fake_told(int fd)
{
	int i, n = 0;

	for (i = 0; i < fake_log.ntold; i++)
		n += fake_log.told[i].fd == fd;
	return n;
}

unsigned fake_told_mask(int fd)
{
	unsigned mask = 0;
	int i;

	for (i = 0; i < fake_log.ntold; i++)
		if (fake_log.told[i].fd == fd)
			mask |= fake_log.told[i].mask;
	return mask;
}

struct evu_engine *fake_engine(unsigned methods)
{
	struct evu_engine *e = NULL;
	int rc;

	memset(&fake_log, 0, sizeof(fake_log));
	fake_hold();
	rc = evu_engine_new(&e, methods, fake.alone ? &alone_hooks : &fake_hooks, &fake_log);
	ck_assert_msg(rc == 0, "evu_engine_new: %s", strerror(-rc));
	fake.wake_fd = &e->wake.fd;
	fake.engine = e;
	evu_engine_enter(e);
	return e;
}

void fake_engine_done(struct evu_engine *e)
{
	evu_engine_leave(e, false);
	evu_engine_free(e);
	fake.wake_fd = NULL;
	fake.engine = NULL;
	fake_let_go();
	ck_assert_msg(!fake.ring, "a ring was left open");
	ck_assert_int_eq(fake_log.nblocks, 0);
}

struct call {
	void (*fn)(void *arg);
	void *arg;
};

static void *run_call(void *p)
{
	const struct call *c = p;

	c->fn(c->arg);
	return NULL;
}

void fake_in_thread(void (*fn)(void *arg), void *arg)
{
	struct call c = {fn, arg};
	pthread_t t;

	fake_let_go();
	ck_assert_int_eq(pthread_create(&t, NULL, run_call, &c), 0);
	ck_assert_int_eq(pthread_join(t, NULL), 0);
	fake_hold();
}

/* Memory. */

static int good_left = -1;

static bool may_allocate(void)
{
	fake_mem_asked++;
	if (good_left == 0)
		return false;
	if (good_left > 0)
		good_left--;
	return true;
}

static void *mem_alloc(size_t size)
{
	return may_allocate() ? malloc(size) : NULL;
}

static void *mem_zalloc(size_t n, size_t size)
{
	return may_allocate() ? calloc(n, size) : NULL;
}

static void *mem_realloc(void *p, size_t size)
{
	return may_allocate() ? realloc(p, size) : NULL;
}

const struct evu_mem evu_mem = {mem_alloc, mem_zalloc, mem_realloc, free};

void fake_mem_install(int good)
{
	good_left = good;
	fake_mem_asked = 0;
}
