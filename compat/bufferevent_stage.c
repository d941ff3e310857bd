/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Answers that leave together: bytes that count as written while they wait for the end of the turn.
 *
 * evhttp writes a reply, waits until it is written, frees the request, and only then looks at the
 * next one. If writing takes until the end of the turn, the requests of all connections are alive
 * at once, and of those that a client has sent ahead one is answered a turn, each in a segment of
 * its own, which Nagle's algorithm and delayed acknowledgements then hold up for 40 ms.
 *
 * The happy path: a callback has written a small reply. Right after the callback it is copied to
 * the bufferevent's stage and drained from the output, and evhttp's write callback runs, as if the
 * kernel had taken the bytes. Before the next turn all that is on the stage is one send.
 *
 * Why nobody can tell. The kernel would have taken the bytes at once: the stage takes no more than
 * the socket has room for (credit_left). And whatever happens next finds them sent: the stage is
 * emptied before the fd is given up and before the loop is left. Only code that runs between could
 * see a difference, with the bare fd or by ending the process, so it is done for evhttp's own
 * callback alone: the one in libevent_extra. Bufferevents with a lock are left out: other threads
 * may free them.
 *
 * An error of the send says that the connection is gone; reading says so, too, and is what evhttp
 * waits for then.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bufferevent_sock.h"

enum {
	STAGE_MOST = 16 * 1024, /* bytes on one stage */
	CREDIT_MOST = 256 * 1024,
	SEND_WEIGHT = 2048,  /* what a send costs the socket's buffer beside its bytes */
	JUDGED_MOST = 64,    /* write callbacks that are looked up, for one base */
	LAST_PATIENCE = 100, /* ms; see flush() */
};

struct evc_stage {
	struct evu_link link; /* on base->staged: there are bytes */
	struct evc_sock *sock;
	struct evbuffer *bytes;
	struct evu_send *send; /* of these bytes; NULL: none */
	size_t credit;
	bool grown;   /* since evc_stage_send_all came by */
	bool limited; /* the kernel may take less than the buffer has room for */
	bool known;   /* `limited` is */
	bool failed;  /* a send did: the next one has to tell the program */
};

/* The loops that this thread is in: each base leads to the one outside of it. */
static __thread struct event_base *looping;

/* What the machine allows to be unsent on a TCP connection, if it sets a limit at all. */
static bool machine_limits(void)
{
	static _Atomic int limits = -1;
	char text[32] = "";
	ssize_t n;
	int fd;

	if (limits >= 0)
		return limits;
	fd = open("/proc/sys/net/ipv4/tcp_notsent_lowat", O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	limits = n > 0 && strtoul(text, NULL, 10) < INT32_MAX;
	return limits;
}

void evc_stage_init(struct event_base *base)
{
	(void)machine_limits();
	evu_link_init(&base->staged);
	if (evu_disabled("stage"))
		base->stage.n_judged = JUDGED_MOST;
}

bool evc_stage_busy(const struct evc_sock *s)
{
	return s->stage && evu_link_linked(&s->stage->link);
}

/* ---- for whom */

static bool is_evhttps(bufferevent_data_cb cb)
{
	static const char name[] = "libevent_extra";
	const char *file;
	Dl_info info;

	if (!dladdr((void *)(uintptr_t)cb, &info) || !info.dli_fname)
		return false;
	file = strrchr(info.dli_fname, '/');
	return strncmp(file ? file + 1 : info.dli_fname, name, sizeof(name) - 1) == 0;
}

void evc_stage_judge(struct evc_sock *s)
{
	struct event_base *base = base_of(s);
	bufferevent_data_cb cb = s->priv.bev.writecb;

	if (!cb || cb == base->stage.writecb || cb == base->stage.other ||
	    base->stage.n_judged == JUDGED_MOST)
		return;
	base->stage.n_judged++;
	if (is_evhttps(cb))
		base->stage.writecb = cb;
	else
		base->stage.other = cb;
}

/* ---- room */

/* The socket has room for so many bytes more, in sends of their own: half of what its buffer has
 * left, for its own accounts. */
static size_t ask_room(evutil_socket_t fd)
{
	uint32_t mem[SK_MEMINFO_VARS] = {0};
	socklen_t len = sizeof(mem);
	size_t used, room;

	if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, mem, &len) < 0)
		return 0;
	used = mem[SK_MEMINFO_WMEM_QUEUED] > mem[SK_MEMINFO_WMEM_ALLOC]
		   ? mem[SK_MEMINFO_WMEM_QUEUED]
		   : mem[SK_MEMINFO_WMEM_ALLOC];
	room = mem[SK_MEMINFO_SNDBUF] > used ? (mem[SK_MEMINFO_SNDBUF] - used) / 2 : 0;
	return room < CREDIT_MOST ? room : CREDIT_MOST;
}

/* With a limit to what may be unsent, what is staged could be left over when the fd is given up. */
static bool limits_unsent(evutil_socket_t fd)
{
	unsigned lowat = 0;
	socklen_t len = sizeof(lowat);

	if (getsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, &len) < 0)
		return false;
	return lowat ? lowat < INT32_MAX : machine_limits();
}

static bool credit_left(struct evc_stage *stage, evutil_socket_t fd, size_t n)
{
	size_t need = n + (stage->bytes->total_len ? 0 : SEND_WEIGHT);

	if (!stage->known)
		stage->limited = limits_unsent(fd);
	stage->known = true;
	if (stage->limited)
		return false;
	if (stage->credit < need)
		stage->credit = ask_room(fd);
	if (stage->credit < need)
		return false;
	stage->credit -= need;
	return true;
}

void evc_stage_forget_room(struct evc_sock *s)
{
	if (s->stage)
		s->stage->credit = 0;
}

/* ---- onto the stage */

static struct evc_stage *stage_of(struct evc_sock *s)
{
	struct evc_stage *stage = s->stage;

	if (stage)
		return stage;
	stage = mm_calloc(1, sizeof(*stage));
	if (!stage)
		return NULL;
	stage->bytes = evbuffer_new();
	if (!stage->bytes) {
		mm_free(stage);
		return NULL;
	}
	evu_link_init(&stage->link);
	stage->sock = s;
	s->stage = stage;
	return stage;
}

/* Memory of the program's, or of files, is to be released when it was sent, and not before. */
static bool plain(const struct evbuffer *output)
{
	const struct evbuffer_chain *c;

	for (c = output->first; c; c = c->next)
		if (c->flags & (EVBUFFER_IMMUTABLE | EVBUFFER_SENDFILE))
			return false;
	return true;
}

static bool may_stage(const struct evc_sock *s)
{
	const struct bufferevent_private *p = &s->priv;
	size_t n = p->bev.output->total_len;

	return n > 0 && n <= STAGE_MOST && p->bev.writecb == base_of(s)->stage.writecb &&
	       p->bev.ev_write.ev_pri == base_of(s)->event_running_priority && !s->fd_told &&
	       p->bev.ev_write.ev_flags & EVLIST_INSERTED && !p->write_suspended &&
	       !p->connecting && !p->rate_limiting && !p->lock &&
	       !(p->options & BEV_OPT_DEFER_CALLBACKS) && !s->dead && !s->not_socket &&
	       !s->stream.send && !s->stream.poll_out && plain(p->bev.output);
}

/* What the output holds goes to the stage. False: it cannot. */
static bool put_on_stage(struct evc_sock *s)
{
	struct evbuffer *output = s->priv.bev.output;
	struct evc_stage *stage = stage_of(s);
	size_t n = output->total_len;
	struct evbuffer_chain *c;

	if (!stage || stage->send || stage->failed || stage->bytes->total_len + n > STAGE_MOST ||
	    !credit_left(stage, s->priv.bev.ev_write.ev_fd, n) ||
	    evbuffer_expand(stage->bytes, n) < 0)
		return false;
	for (c = output->first; c; c = c->next)
		(void)evc_buffer_append(stage->bytes, evc_chain_data(c), c->off);
	evc_buffer_drain(output, n);
	stage->grown = true;
	return true;
}

/* Everything that was written counts as sent: the callback runs. */
static void written(struct evc_sock *s)
{
	struct bufferevent *bev = &s->priv.bev;

	evbuffer_invoke_callbacks_(bev->output);
	if (bev->output->total_len == 0)
		event_del(&bev->ev_write);
	bufferevent_trigger_nolock_(bev, EV_WRITE, 0);
}

/* ---- off the stage. Base locked, but for flush() and evc_stage_leave(). */

static void drop_bytes(struct evc_stage *stage)
{
	evc_buffer_drain(stage->bytes, stage->bytes->total_len);
}

static void fail(struct evc_stage *stage)
{
	stage->failed = true;
	drop_bytes(stage);
}

/* A send that is over. */
static void take_result(struct evc_stage *stage)
{
	struct evu_send *send = stage->send;
	int i;

	if (!send || !evu_request_over(&send->req))
		return;
	stage->send = NULL;
	for (i = 0; i < send->n_vecs; i++)
		evbuffer_chain_unpin_(send->owners[i], EVBUFFER_MEM_PINNED_W);
	if (send->result >= 0)
		evc_buffer_drain(stage->bytes, (size_t)send->result);
	else if (send->result != -EOPNOTSUPP && send->result != -EINPROGRESS)
		fail(stage);
	evu_send_free(send);
}

void evc_stage_try(struct event_base *base)
{
	struct evc_stream *st = evu_container_of(base->to_send.prev, struct evc_stream, to_send);
	struct evc_sock *s = evu_container_of(st, struct evc_sock, stream);

	if (base->event_break || s->priv.lock || s->priv.bev.writecb != base->stage.writecb)
		return;
	if (s->stage)
		take_result(s->stage);
	EVBASE_UNLOCK(base);
	bufferevent_incref_and_lock_(&s->priv.bev);
	if (may_stage(s) && put_on_stage(s)) {
		EVBASE_LOCK(base);
		if (!evu_link_linked(&s->stage->link))
			evu_link_append(&base->staged, &s->stage->link);
		EVBASE_UNLOCK(base);
		written(s);
	}
	bufferevent_decref_and_unlock_(&s->priv.bev);
	EVBASE_LOCK(base);
}

/* The kernel takes what it can now. False: not all. */
static bool send_now(struct evc_stage *stage)
{
	struct evbuffer_chain *chains[EVU_SEND_VECS];
	struct iovec vecs[EVU_SEND_VECS];

	while (stage->bytes->total_len) {
		struct msghdr msg = {.msg_iov = vecs};
		size_t bytes;
		ev_ssize_t n;
		int i;

		msg.msg_iovlen = (size_t)evc_buffer_pin(
		    stage->bytes, vecs, chains, EVU_SEND_VECS, STAGE_MOST, &bytes);
		n = sendmsg(
		    stage->sock->priv.bev.ev_write.ev_fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		for (i = 0; i < (int)msg.msg_iovlen; i++)
			evbuffer_chain_unpin_(chains[i], EVBUFFER_MEM_PINNED_W);
		if (n > 0)
			evc_buffer_drain(stage->bytes, (size_t)n);
		else if (n < 0 && EVUTIL_ERR_RW_RETRIABLE(errno))
			return false;
		else
			fail(stage);
	}
	return true;
}

static bool start_send(struct evc_stage *stage)
{
	struct event_base *base = base_of(stage->sock);
	struct evu_send *send;
	size_t bytes;

	if (!evu_engine_moves_data(base->engine, EVU_SEND))
		return false;
	send = evu_send_new(base->engine);
	if (!send)
		return false;
	send->ctx = NULL;
	send->n_vecs = evc_buffer_pin(stage->bytes, send->vecs,
	    (struct evbuffer_chain **)send->owners, EVU_SEND_VECS, STAGE_MOST, &bytes);
	stage->send = send;
	evu_send_start(send, stage->sock->priv.bev.ev_write.ev_fd);
	return true;
}

/* It is empty: what the program wrote since may go. */
static void emptied(struct evc_stage *stage)
{
	struct evc_stream *st = &stage->sock->stream;

	evu_link_remove(&stage->link);
	if (st->writing)
		evc_stream_look(st);
}

/* The client has sent more requests ahead, and evhttp is on its way through them: one for each
 * connection in a turn, and more of the first 32. */
static bool more_to_come(const struct event_base *base, struct evc_stage *stage)
{
	bool grown = stage->grown;

	stage->grown = false;
	return grown && base->event_count_active && stage->sock->priv.bev.input->total_len > 0;
}

void evc_stage_send_all(struct event_base *base)
{
	struct evu_link *l, *next;

	evu_engine_guard(base->engine);
	for (l = base->staged.next; l != &base->staged; l = next) {
		struct evc_stage *stage = evu_container_of(l, struct evc_stage, link);

		next = l->next;
		take_result(stage);
		if (stage->send || more_to_come(base, stage))
			continue;
		if (stage->bytes->total_len == 0)
			emptied(stage);
		else if (!start_send(stage) && send_now(stage))
			emptied(stage);
	}
}

bool evc_stage_waits(const struct event_base *base)
{
	const struct evu_link *l;

	for (l = base->staged.next; l != &base->staged; l = l->next)
		if (!evu_container_of(l, const struct evc_stage, link)->send)
			return true;
	return false;
}

/* Everything goes to the kernel now. */
static void flush_all(struct event_base *base)
{
	struct evu_link *l, *next;

	evu_engine_guard(base->engine);
	for (l = base->staged.next; l != &base->staged; l = next) {
		struct evc_stage *stage = evu_container_of(l, struct evc_stage, link);

		next = l->next;
		take_result(stage);
		if (!stage->send && send_now(stage))
			emptied(stage);
	}
}

/* In a forked child: the parent has these bytes, too, and sends them. */
void evc_stage_forked(struct event_base *base)
{
	struct evu_link *l;

	for (l = base->staged.next; l != &base->staged; l = l->next) {
		struct evc_stage *stage = evu_container_of(l, struct evc_stage, link);

		if (stage->send)
			evu_request_drop(&stage->send->req);
		take_result(stage);
		drop_bytes(stage);
	}
}

/* Only if the kernel is short of memory does a socket not take what it has room for. */
static void flush(struct evc_stage *stage)
{
	const evutil_socket_t fd = stage->sock->priv.bev.ev_write.ev_fd;
	struct pollfd room = {.fd = fd, .events = POLLOUT};

	if (send_now(stage))
		return;
	(void)poll(&room, 1, LAST_PATIENCE);
	if (!send_now(stage))
		event_warnx("%zu bytes could not be sent to fd %d before it was given up",
		    stage->bytes->total_len, fd);
	drop_bytes(stage);
}

/* No send is in flight any more. */
static void end_send(struct evc_stage *stage)
{
	struct event_base *base = base_of(stage->sock);

	evu_engine_guard(base->engine);
	if (!stage->send)
		return;
	evu_request_drop(&stage->send->req);
	evc_settle_now(base);
	if (!evu_request_over(&stage->send->req))
		evu_engine_abandon(base->engine);
	take_result(stage);
}

void evc_stage_halt(struct evc_sock *s)
{
	if (s->stage && s->stage->send)
		evu_request_drop(&s->stage->send->req);
}

void evc_stage_leave(struct evc_sock *s)
{
	struct evc_stage *stage = s->stage;
	struct event_base *base = base_of(s);

	if (!stage)
		return;
	EVBASE_LOCK(base);
	end_send(stage);
	emptied(stage);
	EVBASE_UNLOCK(base);
	flush(stage);
	stage->credit = 0;
	stage->known = stage->failed = false;
}

void evc_stage_free(struct evc_sock *s)
{
	struct evc_stage *stage = s->stage;

	if (!stage)
		return;
	s->stage = NULL;
	evc_assert(!stage->send && !evu_link_linked(&stage->link));
	evbuffer_free(stage->bytes);
	mm_free(stage);
}

/* ---- loops, and the ends of them */

void evc_stage_loop_begins(struct event_base *base)
{
	base->stage.outside = looping;
	looping = base;
}

void evc_stage_loop_ends(struct event_base *base)
{
	struct event_base **b = &looping;

	if (evu_link_linked(&base->staged))
		flush_all(base);
	while (*b && *b != base)
		b = &(*b)->stage.outside;
	if (*b)
		*b = base->stage.outside;
}

void evc_stage_base_ends(struct event_base *base)
{
	struct evu_link *l;

	evc_stage_loop_ends(base);
	while ((l = evu_link_take(&base->staged))) {
		struct evc_stage *stage = evu_container_of(l, struct evc_stage, link);

		end_send(stage);
		flush(stage);
	}
}

/* exit() in a callback: what counts as written is written. */
__attribute__((destructor)) static void process_ends(void)
{
	struct event_base *base;

	for (base = looping; base; base = base->stage.outside) {
		EVBASE_LOCK(base);
		if (evu_link_linked(&base->staged))
			flush_all(base);
		EVBASE_UNLOCK(base);
	}
}
