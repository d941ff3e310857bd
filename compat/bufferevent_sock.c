/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bufferevents on file descriptors.
 *
 * The happy path, where the kernel can move data (stream.h). Reading: buffers that the kernel
 * filled wait at the stream; ev_read becomes active, and its callback takes them into the input
 * buffer: small ones are copied, large ones become chains of it as they are. Writing: data in the
 * output buffer adds ev_write; before the loop's next turn the first chains are pinned and handed
 * over as one send; when it is over ev_write becomes active, and its callback drains what was sent,
 * and goes on with the rest.
 *
 * Reads that have a limit are received one at a time, never more than the limit allows.
 *
 * Elsewhere (epoll, poll, pipes, terminals) ev_read is active when there is something to read, and
 * its callback reads. ev_write is made active without asking whether the fd takes data: the
 * callback tries, and only if the fd takes none it is polled for. The exception are fds that are no
 * sockets: writing to one that does not take data could block, so they are asked first.
 *
 * Disabled reading: what the kernel had handed over by then goes to the input buffer, for the
 * program may go on with the bare fd; it is announced when reading is enabled again.
 *
 * The end: unlink() ends both requests before it returns and closes the fd, so that the peer sees
 * it at once. (Stock closes it from the loop, later.) The memory goes with the finalizer.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "bufferevent_sock.h"
#include "evmap.h"

#include <event2/bufferevent_compat.h>

/* From so many bytes on a block is worth more as a chain than its bytes copied. It keeps a buffer
 * from holding more than twice its data. */
static size_t adopt_min(const struct evu_item *item)
{
	return (item->bulk ? EVC_BULK_SIZE : EVC_BLOCK_SIZE) / 2;
}

static void sock_readcb(evutil_socket_t fd, short what, void *arg);

/* ---- who reads, and how much at once */

/* True iff the program has set a limit to what a read may bring. */
static bool limited(const struct evc_sock *s)
{
	const struct bufferevent_private *p = &s->priv;

	return p->bev.wm_read.high != 0 || evc_max_single_read(p) != EVC_MAX_SINGLE_DEFAULT ||
	       (p->rate_limiting && (p->rate_limiting->cfg || p->rate_limiting->group));
}

/* How many bytes may be read now; 0: none, the input is full. */
static size_t read_limit(struct evc_sock *s)
{
	struct bufferevent *bev = &s->priv.bev;
	size_t most, len = bev->input->total_len;
	ev_ssize_t max = bufferevent_get_read_max_(&s->priv);

	most = max > 0 ? (size_t)max : 0;
	if (bev->wm_read.high) {
		size_t room = len < bev->wm_read.high ? bev->wm_read.high - len : 0;

		most = room < most ? room : most;
	}
	return most;
}

void evc_sock_update_mode(struct evc_sock *s)
{
	struct event_base *base = base_of(s);
	struct evc_stream *st = &s->stream;
	bool some = limited(s), no_in;
	size_t most = some ? read_limit(s) : 0;
	unsigned cap = most < EVC_BLOCK_SIZE ? (unsigned)most : EVC_BLOCK_SIZE;

	if (!base)
		return;
	EVBASE_LOCK(base);
	/* With nothing to be read the event is about to be suspended, or asks in vain. */
	no_in = s->deaf || (some && most == 0) || !evu_engine_moves_data(base->engine, EVU_RECV);
	if (cap || no_in != st->no_in || cap != st->cap || s->priv.connecting != st->hold_in ||
	    !st->in.req.wanted) {
		st->no_in = no_in;
		st->cap = (uint16_t)cap;
		st->hold_in = s->priv.connecting;
		evc_stream_changed(st);
	}
	EVBASE_UNLOCK(base);
}

void evc_sock_limits_changed(struct bufferevent *bev)
{
	if (BEV_IS_SOCKET(bev))
		evc_sock_update_mode(sock_of(bev));
}

/* ---- reading */

/* Moves an item's bytes, at most `most` of them, to the input. How many; FAILED: no memory. */
static ev_ssize_t absorb_item(struct evbuffer *input, struct evu_item *item, size_t most)
{
	size_t n = item->end - item->start;
	unsigned char *data = item->data;

	if (n <= most && n >= adopt_min(item) && item->start == 0) {
		evc_buffer_adopt(input, evc_block_of(data), n);
		item->data = NULL;
		item->start = item->end;
		return (ev_ssize_t)n;
	}
	n = n < most ? n : most;
	if (evc_buffer_append(input, data + item->start, n) < 0)
		return FAILED;
	item->start += (unsigned)n;
	return (ev_ssize_t)n;
}

/* Takes what the kernel handed over, at most `most` bytes, to the input. Bytes, or FAILED. */
static ev_ssize_t take_items(struct evc_sock *s, size_t most)
{
	struct event_base *base = base_of(s);
	struct evbuffer *input = s->priv.bev.input;
	struct evu_item *item, *used = NULL;
	ev_ssize_t n = 0, total = 0;

	EVBASE_LOCK(base);
	item = evu_intake_take(&s->stream.in);
	EVBASE_UNLOCK(base);
	while (item && n >= 0 && (size_t)total < most) {
		n = absorb_item(input, item, most - (size_t)total);
		total += n > 0 ? n : 0;
		if (item->start == item->end) {
			struct evu_item *next = item->next;

			item->next = used;
			used = item;
			item = next;
		}
	}
	EVBASE_LOCK(base);
	if (item)
		evu_intake_put_back(&s->stream.in, item);
	while (used) {
		struct evu_item *next = used->next;

		evu_item_give(base->engine, used);
		used = next;
	}
	EVBASE_UNLOCK(base);
	if (total)
		evbuffer_invoke_callbacks_(input);
	return total == 0 && n < 0 ? FAILED : total;
}

/* The stream ended; why? Bytes read; 0: end of file; NOTHING; FAILED with errno. */
static ev_ssize_t stream_end(struct evc_sock *s, size_t most)
{
	struct event_base *base = base_of(s);
	struct bufferevent *bev = &s->priv.bev;
	int end = s->stream.in.end, error;
	ev_ssize_t n = NOTHING;

	EVBASE_LOCK(base);
	s->stream.in.end = 0;
	EVBASE_UNLOCK(base);
	if (end == EVU_END_OF_FILE)
		return 0;
	if (end == -ENOBUFS) {
		n = evc_buffer_read(bev->input, bev->ev_read.ev_fd, most);
		if (n < 0)
			n = EVUTIL_ERR_RW_RETRIABLE(errno) ? NOTHING : FAILED;
		else
			evbuffer_invoke_callbacks_(bev->input);
	} else if (end == -ENOTSOCK || end == -EOPNOTSUPP || end == -EINVAL) {
		s->deaf = true;
		s->not_socket |= end == -ENOTSOCK;
	} else {
		errno = -end;
		return FAILED;
	}
	error = errno;
	evc_sock_update_mode(s);
	errno = error;
	return n;
}

static bool reads_itself(struct evc_sock *s)
{
	struct event_base *base = base_of(s);
	bool yes;

	if (!base)
		return false;
	EVBASE_LOCK(base);
	yes = evc_stream_reads(&s->stream);
	EVBASE_UNLOCK(base);
	return yes;
}

/* Bytes read; 0: end of file; NOTHING to read; FAILED with errno. */
static ev_ssize_t sock_read(struct evc_sock *s, size_t most)
{
	struct bufferevent *bev = &s->priv.bev;
	ev_ssize_t n;

	if (s->stream.in.first) {
		n = take_items(s, limited(s) ? most : SIZE_MAX);
		if (n == FAILED)
			errno = ENOMEM;
		return n;
	}
	if (s->stream.in.end)
		return stream_end(s, most);
	/* Or the fd was taken away while the callback waited for the lock. */
	if (reads_itself(s) || bev->ev_read.ev_fd < 0)
		return NOTHING;
	n = evc_buffer_read(bev->input, bev->ev_read.ev_fd, most);
	if (n < 0)
		return EVUTIL_ERR_RW_RETRIABLE(errno) ? NOTHING : FAILED;
	evbuffer_invoke_callbacks_(bev->input);
	return n;
}

/* More came than was taken: the rest is for the next turn. Reads that have a cap are started one by
 * one. */
static void read_on(struct evc_sock *s)
{
	struct event_base *base = base_of(s);

	if (!base)
		return;
	if (limited(s) || s->stream.cap) {
		evc_sock_update_mode(s);
		return;
	}
	EVBASE_LOCK(base);
	evc_stream_renew(&s->stream);
	EVBASE_UNLOCK(base);
}

static void read_ready(struct evc_sock *s)
{
	struct bufferevent *bev = &s->priv.bev;
	size_t most = limited(s) ? read_limit(s) : EVC_MAX_SINGLE_DEFAULT;
	bool announce = s->announce && bev->input->total_len > 0;
	ev_ssize_t n;

	if (most == 0 && bev->wm_read.high && bev->input->total_len >= bev->wm_read.high) {
		bufferevent_suspend_read_(bev, BEV_SUSPEND_WM);
		return;
	}
	/* Another thread may have disabled it while the callback waited for the lock. */
	if (s->priv.read_suspended || most == 0 || !(bev->enabled & EV_READ))
		return;
	s->announce = false;
	/* What is in the input already comes before whatever else there is, the end above all. */
	if (announce && !s->stream.in.first) {
		read_on(s);
		bufferevent_trigger_nolock_(bev, EV_READ, 0);
		return;
	}
	n = sock_read(s, most);
	if (n == FAILED && errno == ECONNREFUSED) {
		s->priv.connection_refused = 1;
		evc_sock_update_mode(s);
		return;
	}
	if (n == 0 || n == FAILED) {
		int error = errno;

		bufferevent_disable(bev, EV_READ);
		errno = error;
		bufferevent_run_eventcb_(
		    bev, BEV_EVENT_READING | (n == 0 ? BEV_EVENT_EOF : BEV_EVENT_ERROR), 0);
		return;
	}
	if (n > 0 && s->priv.rate_limiting)
		bufferevent_decrement_read_buckets_(&s->priv, n);
	read_on(s);
	if (n > 0 || announce)
		bufferevent_trigger_nolock_(bev, EV_READ, 0);
}

bool evc_sock_enter(struct evc_sock *s)
{
	struct bufferevent *bev = &s->priv.bev;
	bool dead;

	BEV_LOCK(bev);
	dead = s->dead;
	if (!dead) {
		bufferevent_incref_and_lock_(bev);
		evc_sock_freeze(bev);
	}
	BEV_UNLOCK(bev);
	return !dead;
}

static void sock_readcb(evutil_socket_t fd, short what, void *arg)
{
	struct bufferevent *bev = arg;

	(void)fd;
	if (!evc_sock_enter(sock_of(bev)))
		return;
	if (what == EV_TIMEOUT) {
		bufferevent_disable(bev, EV_READ);
		bufferevent_run_eventcb_(bev, BEV_EVENT_READING | BEV_EVENT_TIMEOUT, 0);
	} else {
		read_ready(sock_of(bev));
	}
	bufferevent_decref_and_unlock_(bev);
}

void evc_sock_absorb(struct bufferevent *bev)
{
	struct evc_sock *s;

	if (!BEV_IS_SOCKET(bev))
		return;
	s = sock_of(bev);
	bufferevent_incref_and_lock_(bev);
	if (base_of(s) && take_items(s, SIZE_MAX) > 0)
		s->announce = true;
	bufferevent_decref_and_unlock_(bev);
}

void evc_sock_announce(struct bufferevent *bev)
{
	if (!BEV_IS_SOCKET(bev) || !sock_of(bev)->announce ||
	    BEV_UPCAST(bev)->read_suspended != BEV_SUSPEND_WM)
		return;
	sock_of(bev)->announce = false;
	bufferevent_trigger_nolock_(bev, EV_READ, BEV_TRIG_DEFER_CALLBACKS);
}

void evc_sock_filter_resumes(struct bufferevent *bev)
{
	if (BEV_IS_SOCKET(bev) && bev->input->total_len > 0)
		sock_of(bev)->announce = true;
}

/* ---- made, switched, given other fds */

static void stream_init(struct evc_sock *s)
{
	struct bufferevent *bev = &s->priv.bev;
	struct event_base *base = bev->ev_read.ev_base;

	s->attached = s->deaf = s->not_socket = false;
	s->write_most = 0;
	if (!base) {
		s->stream = (struct evc_stream){.fd = -1};
		return;
	}
	EVBASE_LOCK(base);
	_Static_assert(offsetof(struct bufferevent, ev_write) ==
			   offsetof(struct bufferevent, ev_read) + sizeof(struct event),
	    "the writer is right behind the reader");
	evc_stream_init(&s->stream, base, EVU_RECV, &bev->ev_read, true);
	EVBASE_UNLOCK(base);
}

static void assign_events(struct evc_sock *s, evutil_socket_t fd)
{
	struct bufferevent *bev = &s->priv.bev;

	event_assign(
	    &bev->ev_read, bev->ev_base, fd, EV_READ | EV_PERSIST | EV_FINALIZE, sock_readcb, bev);
	event_assign(&bev->ev_write, bev->ev_base, fd, EV_WRITE | EV_PERSIST | EV_FINALIZE,
	    evc_sock_writecb, bev);
}

/* Adds one of the two events. */
static int add(struct evc_sock *s, struct event *ev, const struct timeval *tv)
{
	struct event_base *base = base_of(s);

	if (!s->attached && base) {
		s->attached = true;
		EVBASE_LOCK(base);
		evc_stream_attach(&s->stream, ev->ev_fd);
		EVBASE_UNLOCK(base);
	}
	if (ev == &s->priv.bev.ev_read)
		evc_sock_update_mode(s);
	return bufferevent_add_event_(ev, tv);
}

/* There is something to write: the writer is added, unless it is already. */
static void want_write(struct evc_sock *s)
{
	struct bufferevent *bev = &s->priv.bev;
	struct event_base *base = base_of(s);
	bool done = false;

	if (base) {
		EVBASE_LOCK(base);
		done = bev->ev_write.ev_flags & EVLIST_INSERTED ||
		       (!evutil_timerisset(&bev->timeout_write) &&
			   evc_io_writer_comes(base, &s->stream));
		EVBASE_UNLOCK(base);
	}
	if (!done && !event_pending(&bev->ev_write, EV_WRITE, NULL))
		(void)add(s, &bev->ev_write, &bev->timeout_write);
}

void evc_sock_output_changed(struct evbuffer *output, size_t n_added, size_t n_deleted)
{
	struct evc_sock *s = evu_container_of(output, struct evc_sock, output);

	if (n_deleted && s->stream.send)
		s->drained += n_deleted;
	if (n_added && s->priv.bev.enabled & EV_WRITE && !s->priv.write_suspended)
		want_write(s);
}

static void buffers_init(struct evc_sock *s)
{
	evc_buffer_init(&s->input);
	evc_buffer_init(&s->output);
	s->input.of_sock = s->output.of_sock = 1;
	s->output.is_output = s->output.sends = 1;
	s->output.flags = EVBUFFER_FLAG_DRAINS_TO_FD;
	s->priv.bev.input = &s->input;
	s->priv.bev.output = &s->output;
	s->residents = 3;
}

static void resident_gone(struct evc_sock *s)
{
	if (__atomic_sub_fetch(&s->residents, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	if (s->priv.own_lock)
		EVTHREAD_FREE_LOCK(s->priv.lock, EVTHREAD_LOCKTYPE_RECURSIVE);
	mm_free(s);
}

void evc_sock_memory_gone(struct bufferevent *bev)
{
	resident_gone(sock_of(bev));
}

void evc_sock_buffer_gone(struct evbuffer *buf)
{
	resident_gone(buf->is_output ? evu_container_of(buf, struct evc_sock, output)
				     : evu_container_of(buf, struct evc_sock, input));
}

struct evc_connecting *evc_sock_connecting(struct bufferevent *bev, bool made)
{
	struct evc_sock *s = sock_of(bev);

	if (!s->connecting_to && made)
		s->connecting_to = mm_calloc(1, sizeof(*s->connecting_to));
	return s->connecting_to;
}

static void cancel_lookup(struct evc_sock *s)
{
	if (s->connecting_to)
		evutil_getaddrinfo_cancel_async_(s->connecting_to->dns_request);
}

struct bufferevent *bufferevent_socket_new(struct event_base *base, evutil_socket_t fd, int options)
{
	struct evc_sock *s = mm_calloc(1, sizeof(*s));
	struct bufferevent *bev;

	if (!s)
		return NULL;
	buffers_init(s);
	if (bufferevent_init_common_(
		&s->priv, base, &bufferevent_ops_socket, (enum bufferevent_options)options) < 0) {
		resident_gone(s);
		return NULL;
	}
	bev = &s->priv.bev;
	assign_events(s, fd);
	stream_init(s);
	evc_sock_freeze(bev);
	return bev;
}

struct bufferevent *bufferevent_new(evutil_socket_t fd, bufferevent_data_cb readcb,
    bufferevent_data_cb writecb, bufferevent_event_cb eventcb, void *cbarg)
{
	struct bufferevent *bev = bufferevent_socket_new(NULL, fd, 0);

	if (bev)
		bufferevent_setcb(bev, readcb, writecb, eventcb, cbarg);
	return bev;
}

/* What was read while reading was disabled is announced now. */
static void announce(struct evc_sock *s)
{
	struct event_base *base = base_of(s);

	EVBASE_LOCK(base);
	event_active_later_nolock_(&s->priv.bev.ev_read, EV_READ);
	EVBASE_UNLOCK(base);
}

static int be_socket_enable(struct bufferevent *bev, short what)
{
	struct evc_sock *s = sock_of(bev);

	if (what & EV_READ) {
		if (add(s, &bev->ev_read, &bev->timeout_read) < 0)
			return -1;
		if (s->announce)
			announce(s);
	}
	if (what & EV_WRITE && add(s, &bev->ev_write, &bev->timeout_write) < 0)
		return -1;
	return 0;
}

static int be_socket_disable(struct bufferevent *bev, short what)
{
	if (what & EV_READ && event_del(&bev->ev_read) < 0)
		return -1;
	/* A connect that is going on is waited for. */
	if (what & EV_WRITE && !BEV_UPCAST(bev)->connecting && event_del(&bev->ev_write) < 0)
		return -1;
	return 0;
}

/* Lets go of the fd: nothing is in the kernel any more when it returns, as far as this thread can
 * see to it. */
static void let_go(struct evc_sock *s)
{
	struct event_base *base = base_of(s);

	struct event *ev_read = &s->priv.bev.ev_read, *ev_write = &s->priv.bev.ev_write;

	if (!base) {
		event_del_noblock(ev_read);
		event_del_noblock(ev_write);
		return;
	}
	EVBASE_LOCK(base);
	/* One that waits for something does so at this base, also in bufferevent_base_set. */
	if (!evc_callback_rests(&ev_read->ev_evcallback))
		event_del_nolock_(ev_read, EVENT_DEL_NOBLOCK);
	if (!evc_callback_rests(&ev_write->ev_evcallback))
		event_del_nolock_(ev_write, EVENT_DEL_NOBLOCK);
	evc_stream_detach(&s->stream);
	evc_stage_halt(s);
	evc_settle(base);
	EVBASE_UNLOCK(base);
	evc_stage_leave(s);
}

static void be_socket_unlink(struct bufferevent *bev)
{
	struct evc_sock *s = sock_of(bev);
	evutil_socket_t fd = bev->ev_read.ev_fd;

	if (s->dead)
		return;
	s->dead = true;
	let_go(s);
	if (s->priv.options & BEV_OPT_CLOSE_ON_FREE && fd >= 0)
		evutil_closesocket(fd);
}

/* The kernel knows nothing of it when this returns. */
static void stream_end_requests(struct evc_sock *s)
{
	struct event_base *base = base_of(s);

	EVBASE_LOCK(base);
	evc_stream_end(&s->stream);
	EVBASE_UNLOCK(base);
}

static void be_socket_destruct(struct bufferevent *bev)
{
	struct evc_sock *s = sock_of(bev);
	struct event_base *base = base_of(s);

	if (base) {
		stream_end_requests(s);
		(void)evc_sock_end_send(s);
		EVBASE_LOCK(base);
		evc_stream_fini(&s->stream);
		EVBASE_UNLOCK(base);
	}
	evc_stage_free(s);
	cancel_lookup(s);
	if (s->connecting_to)
		mm_free(s->connecting_to);
	s->connecting_to = NULL;
}

static int be_socket_flush(struct bufferevent *bev, short iotype, enum bufferevent_flush_mode mode)
{
	(void)bev;
	(void)iotype;
	(void)mode;
	return 0;
}

/* The stream as it is without an fd; what it had taken in goes to the input, what it had sent
 * leaves the output. */
static void stream_renew(struct evc_sock *s)
{
	struct event_base *base = base_of(s);

	if (!base)
		return;
	stream_end_requests(s);
	if (s->stream.in.first && take_items(s, SIZE_MAX) > 0)
		s->announce = true;
	if (s->stream.send)
		(void)evc_sock_take_result(s);
	EVBASE_LOCK(base);
	evc_stream_fini(&s->stream);
	EVBASE_UNLOCK(base);
}

static void be_socket_setfd(struct bufferevent *bev, evutil_socket_t fd)
{
	struct evc_sock *s = sock_of(bev);

	/* The program's callbacks of the buffers may run, and free it. */
	bufferevent_incref_and_lock_(bev);
	let_go(s);
	stream_renew(s);
	/* The buffers' callbacks, the high watermark's among them, may have enabled it meanwhile.
	 */
	event_del_noblock(&bev->ev_read);
	event_del_noblock(&bev->ev_write);
	evbuffer_unfreeze(bev->input, 0);
	evbuffer_unfreeze(bev->output, 1);
	assign_events(s, fd);
	stream_init(s);
	if (fd >= 0)
		bufferevent_enable(bev, bev->enabled);
	cancel_lookup(s);
	bufferevent_decref_and_unlock_(bev);
}

static int be_socket_ctrl(
    struct bufferevent *bev, enum bufferevent_ctrl_op op, union bufferevent_ctrl_data *data)
{
	switch (op) {
	case BEV_CTRL_SET_FD:
		be_socket_setfd(bev, data->fd);
		return 0;
	case BEV_CTRL_GET_FD:
		/* From now on what the program is told is written has to be in the socket. */
		sock_of(bev)->fd_told = true;
		if (evc_stage_busy(sock_of(bev)))
			evc_stage_leave(sock_of(bev));
		data->fd = event_get_fd(&bev->ev_read);
		return 0;
	case BEV_CTRL_CANCEL_ALL:
		/* It is being freed, but somebody may hold a reference still, and the program shuts
		 * the fd down right afterwards. */
		if (evc_stage_busy(sock_of(bev)))
			evc_stage_leave(sock_of(bev));
		break;
	case BEV_CTRL_GET_UNDERLYING:
		break;
	}
	return -1;
}

const struct bufferevent_ops bufferevent_ops_socket = {
    .type = "socket",
    .mem_offset = offsetof(struct evc_sock, priv.bev),
    .enable = be_socket_enable,
    .disable = be_socket_disable,
    .unlink = be_socket_unlink,
    .destruct = be_socket_destruct,
    .adj_timeouts = bufferevent_generic_adj_existing_timeouts_,
    .flush = be_socket_flush,
    .ctrl = be_socket_ctrl,
};

int bufferevent_priority_set(struct bufferevent *bev, int priority)
{
	int r = -1;

	BEV_LOCK(bev);
	if (!BEV_IS_FILTER(bev) && !BEV_IS_PAIR(bev) &&
	    event_priority_set(&bev->ev_read, priority) == 0 &&
	    event_priority_set(&bev->ev_write, priority) == 0) {
		event_deferred_cb_set_priority_(&BEV_UPCAST(bev)->deferred, (ev_uint8_t)priority);
		r = 0;
	}
	BEV_UNLOCK(bev);
	return r;
}

int bufferevent_base_set(struct event_base *base, struct bufferevent *bev)
{
	struct evc_sock *s = sock_of(bev);
	int r = -1;

	bufferevent_incref_and_lock_(bev);
	if (BEV_IS_SOCKET(bev)) {
		bev->ev_base = base;
		r = event_base_set(base, &bev->ev_read);
		if (r == 0)
			r = event_base_set(base, &bev->ev_write);
		if (r == 0) {
			let_go(s);
			stream_renew(s);
			event_del_noblock(&bev->ev_read);
			event_del_noblock(&bev->ev_write);
			stream_init(s);
		}
	}
	bufferevent_decref_and_unlock_(bev);
	return r;
}
