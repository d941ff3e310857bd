/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bufferevents on file descriptors, continued: connecting and writing. bufferevent_sock.c says how
 * it all goes.
 *
 * ev_write is added while there is something to write. Before the loop's next turn it is looked at:
 * the front of the output becomes a send, or ev_write is made active for its callback to write, or
 * the fd is polled for. When the callback runs something has left the output, or failed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/socket.h>

#include "bufferevent_sock.h"
#include "evmap.h"

/* No single send is larger, so that nobody is kept waiting for long; and a peer that has answered
 * and gone is noticed before megabytes are written to it. */
#define SEND_MOST (128 * 1024)

/*
 * What a single write may take of a large output. Where what is written at once arrives at once, or
 * not at all, as much as with stock; likewise no more than that, or the socket's own buffer, where
 * the program has made that small: what does not fit would wait for half of it to be acknowledged.
 */
static size_t write_most(struct evc_sock *s)
{
	evutil_socket_t fd = s->priv.bev.ev_write.ev_fd;
	int type = 0, sndbuf = 0;
	socklen_t len = sizeof(type);

	if (s->priv.bev.output->total_len <= EVC_MAX_SINGLE_DEFAULT)
		return EVC_MAX_SINGLE_DEFAULT;
	if (s->write_most)
		return s->write_most;
	s->write_most = EVC_MAX_SINGLE_DEFAULT;
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM &&
	    getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &sndbuf, &len) == 0 &&
	    sndbuf > EVC_MAX_SINGLE_DEFAULT)
		s->write_most = sndbuf < SEND_MOST ? (unsigned)sndbuf : SEND_MOST;
	return s->write_most;
}

/* How many bytes may be written at once now. */
static size_t write_limit(struct evc_sock *s)
{
	const struct bufferevent_private *p = &s->priv;
	ev_ssize_t max;

	if (!p->rate_limiting && evc_max_single_write(p) == EVC_MAX_SINGLE_DEFAULT)
		return write_most(s);
	max = bufferevent_get_write_max_(&s->priv);
	return max > 0 ? (size_t)max : 0;
}

/* The stream asks before, or does not ask, whether the fd takes data. */
static void ask_first(struct evc_sock *s, bool ask)
{
	struct event_base *base = base_of(s);

	if (!base)
		return;
	EVBASE_LOCK(base);
	s->stream.poll_out = ask;
	if (s->stream.fd >= 0)
		evc_stream_changed(&s->stream);
	EVBASE_UNLOCK(base);
}

/* Pins what the output begins with, `most` bytes at most, and hands it over. False: no memory. Base
 * locked. */
static bool send_some(struct evc_sock *s, size_t most)
{
	struct event_base *base = base_of(s);
	struct evu_send *send = evu_send_new(base->engine);
	size_t bytes;

	if (!send)
		return false;
	send->ctx = &s->stream;
	send->n_vecs = evc_buffer_pin(s->priv.bev.output, send->vecs,
	    (struct evbuffer_chain **)send->owners, EVU_SEND_VECS, most, &bytes);
	if (send->n_vecs == 0) {
		evu_send_free(send);
		return false;
	}
	s->stream.send = send;
	s->drained = 0;
	evu_send_start(send, s->stream.fd);
	return true;
}

int evc_sock_end_send(struct evc_sock *s)
{
	struct event_base *base = base_of(s);
	struct evu_send *send;
	int i, result;

	EVBASE_LOCK(base);
	send = s->stream.send;
	if (send && evu_request_over(&send->req))
		s->stream.send = NULL;
	else
		send = NULL;
	EVBASE_UNLOCK(base);
	if (!send)
		return -EINPROGRESS;
	/* This may free memory that the program gave us, and so call it. */
	for (i = 0; i < send->n_vecs; i++)
		evbuffer_chain_unpin_(send->owners[i], EVBUFFER_MEM_PINNED_W);
	result = send->result;
	EVBASE_LOCK(base);
	evu_send_free(send);
	EVBASE_UNLOCK(base);
	return result;
}

ev_ssize_t evc_sock_take_result(struct evc_sock *s)
{
	int result = evc_sock_end_send(s);

	if (result == -EINPROGRESS)
		return NOTHING;
	if (result >= 0) {
		size_t n = (size_t)result;

		evc_stage_forget_room(s);
		evc_buffer_drain(s->priv.bev.output, n > s->drained ? n - s->drained : 0);
		evbuffer_invoke_callbacks_(s->priv.bev.output);
		return result;
	}
	if (result == -EOPNOTSUPP || result == -ENOTSOCK) {
		s->not_socket |= result == -ENOTSOCK;
		EVBASE_LOCK(base_of(s));
		s->stream.no_out = true;
		EVBASE_UNLOCK(base_of(s));
		return NOTHING;
	}
	errno = -result;
	return FAILED;
}

/* Before the loop's next turn: the writer was added, or has something to go on with. */
static void look(struct evc_sock *s)
{
	struct event_base *base = base_of(s);
	struct evc_stream *st = &s->stream;
	size_t most = write_limit(s);

	evc_stage_judge(s);
	if (evc_stage_busy(s))
		return;
	evc_sock_freeze(&s->priv.bev);
	EVBASE_LOCK(base);
	if (st->writing && !s->priv.write_suspended) {
		bool empty = s->priv.bev.output->total_len == 0;
		bool ask =
		    s->priv.connecting || (empty && !st->fresh) || (st->no_out && s->not_socket);

		if (st->send && st->send->result == -EINPROGRESS)
			evu_send_start(st->send, st->fd);
		else if (st->send)
			event_active_later_nolock_(evc_stream_writer(st), EV_WRITE);
		else if (ask)
			st->poll_out = true;
		else if (empty || st->no_out || evc_buffer_starts_in_file(s->priv.bev.output))
			event_active_later_nolock_(evc_stream_writer(st), EV_WRITE);
		else if (!send_some(s, most))
			st->poll_out = true;
		if (st->poll_out)
			evc_stream_changed(st);
		st->fresh = false;
	}
	EVBASE_UNLOCK(base);
}

void evc_sock_send_all(struct event_base *base)
{
	struct evu_link *l;

	/* A bufferevent's memory goes only in this thread, by its finalizer. */
	while ((l = evu_link_take(&base->to_send))) {
		struct evc_stream *st = evu_container_of(l, struct evc_stream, to_send);
		struct evc_sock *s = evu_container_of(st, struct evc_sock, stream);

		EVBASE_UNLOCK(base);
		BEV_LOCK(&s->priv.bev);
		if (!s->dead)
			look(s);
		BEV_UNLOCK(&s->priv.bev);
		EVBASE_LOCK(base);
	}
}

/* write(2) on a socket never blocks, and raises no SIGPIPE. As write(2). */
static ev_ssize_t write_socket(struct evc_sock *s, size_t most)
{
	struct evbuffer *output = s->priv.bev.output;
	struct evbuffer_chain *chains[EVU_SEND_VECS];
	struct iovec vecs[EVU_SEND_VECS];
	struct msghdr msg = {.msg_iov = vecs};
	size_t bytes;
	ev_ssize_t n;
	int i, error;

	msg.msg_iovlen = (size_t)evc_buffer_pin(output, vecs, chains, EVU_SEND_VECS, most, &bytes);
	n = sendmsg(s->priv.bev.ev_write.ev_fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	error = errno;
	for (i = 0; i < (int)msg.msg_iovlen; i++)
		evbuffer_chain_unpin_(chains[i], EVBUFFER_MEM_PINNED_W);
	if (n > 0)
		evc_buffer_drain(output, (size_t)n);
	errno = error;
	return n;
}

/* Bytes written, NOTHING, or FAILED with errno. */
static ev_ssize_t write_now(struct evc_sock *s)
{
	struct evbuffer *output = s->priv.bev.output;
	size_t most = write_limit(s);
	ev_ssize_t n;

	/* Asking for the limit may have found the group's used up. */
	if (s->priv.write_suspended || most == 0)
		return NOTHING;
	if (s->not_socket || evc_buffer_starts_in_file(output))
		n = evc_buffer_write(output, s->priv.bev.ev_write.ev_fd, (ev_ssize_t)most);
	else
		n = write_socket(s, most);
	evc_stage_forget_room(s);
	if (n >= 0) {
		evbuffer_invoke_callbacks_(output);
		return n;
	}
	if (errno == ENOTSOCK && !s->not_socket)
		s->not_socket = true;
	else if (!EVUTIL_ERR_RW_RETRIABLE(errno))
		return FAILED;
	ask_first(s, true);
	return NOTHING;
}

static bool may_send(struct evc_sock *s)
{
	struct event_base *base = base_of(s);
	bool yes;

	if (!base)
		return false;
	EVBASE_LOCK(base);
	yes = evc_stream_may_send(&s->stream);
	EVBASE_UNLOCK(base);
	return yes;
}

/* ev_write is active: bytes that left the output, NOTHING, or FAILED with errno. */
static ev_ssize_t sock_write(struct evc_sock *s, bool connected)
{
	struct evbuffer *output = s->priv.bev.output;

	if (s->stream.send) {
		ev_ssize_t n = evc_sock_take_result(s);

		if (n != NOTHING || s->stream.send)
			return n;
	}
	if (output->total_len == 0)
		return 0;
	/* Looked at again when the stage is empty. */
	if (s->priv.bev.ev_write.ev_fd < 0 || evc_stage_busy(s))
		return NOTHING;
	/* Programs free it when they are told of the connection: what they had written goes first.
	 */
	if (connected || !may_send(s) || evc_buffer_starts_in_file(output))
		return write_now(s);
	/* It was polled for, and takes data now. */
	ask_first(s, false);
	return NOTHING;
}

/* A connect is over, or not yet. True iff there is a connection. */
static bool connect_over(struct evc_sock *s)
{
	struct bufferevent *bev = &s->priv.bev;
	int c = evutil_socket_finished_connecting_(bev->ev_write.ev_fd);

	if (s->priv.connection_refused) {
		s->priv.connection_refused = 0;
		errno = ECONNREFUSED;
		c = -1;
	}
	if (c == 0) {
		ask_first(s, true);
		return false;
	}
	s->priv.connecting = 0;
	if (c < 0) {
		int error = errno;

		event_del(&bev->ev_write);
		event_del(&bev->ev_read);
		errno = error;
		bufferevent_run_eventcb_(bev, BEV_EVENT_ERROR, 0);
		return false;
	}
	evc_sock_update_mode(s);
	ask_first(s, false);
	bufferevent_socket_set_conn_address_fd_(bev, bev->ev_write.ev_fd);
	bufferevent_run_eventcb_(bev, BEV_EVENT_CONNECTED, 0);
	if (bev->enabled & EV_WRITE && !s->priv.write_suspended)
		return true;
	event_del(&bev->ev_write);
	return false;
}

/* Nothing is left to write. */
static void write_no_more(struct evc_sock *s)
{
	struct event_base *base = base_of(s);
	bool done = false;

	if (base) {
		EVBASE_LOCK(base);
		done = evc_io_writer_goes(base, &s->stream);
		EVBASE_UNLOCK(base);
	}
	if (!done)
		event_del(&s->priv.bev.ev_write);
}

/* Something is left to write: in a send of the next turn, unless the fd is polled for already. */
static void write_on(struct evc_sock *s)
{
	struct event_base *base = base_of(s);

	if (!base)
		return;
	EVBASE_LOCK(base);
	if (s->stream.writing) {
		s->stream.poll_out = false;
		evc_stream_changed(&s->stream);
	}
	EVBASE_UNLOCK(base);
}

static void write_ready(struct evc_sock *s, bool connected)
{
	struct bufferevent *bev = &s->priv.bev;
	ev_ssize_t n;

	if (s->priv.write_suspended)
		return;
	n = sock_write(s, connected);
	if (n == FAILED) {
		int error = errno;

		bufferevent_disable(bev, EV_WRITE);
		errno = error;
		bufferevent_run_eventcb_(bev, BEV_EVENT_WRITING | BEV_EVENT_ERROR, 0);
		return;
	}
	if (n == NOTHING)
		return;
	/* A file that has become shorter than what was promised of it. */
	if (n == 0 && bev->output->total_len > 0) {
		bufferevent_disable(bev, EV_WRITE);
		bufferevent_run_eventcb_(bev, BEV_EVENT_WRITING | BEV_EVENT_EOF, 0);
		return;
	}
	if (n > 0 && s->priv.rate_limiting)
		bufferevent_decrement_write_buckets_(&s->priv, n);
	if (bev->output->total_len == 0)
		write_no_more(s);
	else
		write_on(s);
	if (n > 0 || !connected)
		bufferevent_trigger_nolock_(bev, EV_WRITE, 0);
}

void evc_sock_writecb(evutil_socket_t fd, short what, void *arg)
{
	struct bufferevent *bev = arg;
	struct evc_sock *s = sock_of(bev);
	bool connected = false;

	(void)fd;
	if (!evc_sock_enter(s))
		return;
	if (what == EV_TIMEOUT) {
		bufferevent_disable(bev, EV_WRITE);
		bufferevent_run_eventcb_(bev, BEV_EVENT_WRITING | BEV_EVENT_TIMEOUT, 0);
	} else if (!s->priv.connecting || (connected = connect_over(s))) {
		write_ready(s, connected);
	}
	bufferevent_decref_and_unlock_(bev);
}
