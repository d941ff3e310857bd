/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Listeners.
 *
 * The happy path, where the kernel can (stream.h): connections are accepted by themselves and wait
 * at the stream; the listener's event becomes active, and its callback hands them to the program
 * one by one. The peer's address is asked of the connection. Elsewhere the callback accepts until
 * there is nothing left.
 *
 * Requests to accept are woken one at a time, also across processes that share the socket: a
 * connection that woke the request of a process that is busy, or about to end, would wait for that
 * one while another one sleeps. So the socket is polled for as well, which wakes everybody; if no
 * connection has come in since, and poll(2) says that there is one, it is accepted as elsewhere
 * (EVU_BESIDE).
 *
 * Disabled: the requests end before the call returns; what was accepted by then is handed out when
 * the listener is enabled again, and closed when it is freed.
 *
 * Out of descriptors: accepting again at once would fail at once, for ever. The error is told, and
 * the listener rests for a moment before it tries again.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/listener.h>

#include "debug.h"
#include "stream.h"

/* How long it rests when there was no descriptor or no memory. */
static const struct timeval rest_time = {.tv_usec = 50000};

struct evconnlistener {
	struct event event; /* readable */
	struct event rest;  /* a timer: it tries again then */
	struct event_base *base;
	struct evc_stream stream;
	void *lock;
	evconnlistener_cb cb;
	evconnlistener_errorcb errorcb;
	void *user_data;
	unsigned flags; /* LEV_OPT_* */
	int refcnt;     /* the program's, and one for each callback of it that runs */
	int accept_flags;
	bool enabled;  /* by the program */
	bool attached; /* the stream was put on the fd, or could not be */
	bool wary;     /* it ran out of something, and has accepted nobody since */
	bool dead;     /* freed, but for the memory: another thread's callback may yet look at it */
};

#define LOCK(l) EVLOCK_LOCK((l)->lock, 0)
#define UNLOCK(l) EVLOCK_UNLOCK((l)->lock, 0)

/* ---- switching it on and off. Locked. */

static int start(struct evconnlistener *l)
{
	if (!l->attached) {
		l->attached = true;
		EVBASE_LOCK(l->base);
		evc_stream_attach(&l->stream, l->event.ev_fd);
		EVBASE_UNLOCK(l->base);
	}
	return event_add(&l->event, NULL);
}

/* Nothing is accepted any more when it returns. */
static int stop(struct evconnlistener *l)
{
	int r;

	/* A callback that another thread is about to run waits for our lock: it is not waited for.
	 */
	event_del_noblock(&l->rest);
	/* Some programs free their listeners after the base. */
	if (!l->stream.base)
		return event_del_noblock(&l->event);
	EVBASE_LOCK(l->base);
	r = event_del_nolock_(&l->event, EVENT_DEL_NOBLOCK);
	evu_request_drop(&l->stream.in.req);
	l->base->to_settle = true;
	evc_settle(l->base);
	EVBASE_UNLOCK(l->base);
	return r;
}

/* The callback of it that another thread is in: it may be about to look at the listener. */
static struct event_callback *called_elsewhere(struct evconnlistener *l)
{
	struct event_callback *current = l->base->current_event;

	if (evc_in_loop_thread(l->base) ||
	    (current != &l->event.ev_evcallback && current != &l->rest.ev_evcallback))
		return NULL;
	return current;
}

static void finalized(struct event_callback *evcb, void *arg)
{
	struct evconnlistener *l = arg;

	(void)evcb;
	/* Whoever frees it holds the lock until nothing of it is looked at any more. */
	LOCK(l);
	UNLOCK(l);
	EVTHREAD_FREE_LOCK(l->lock, EVTHREAD_LOCKTYPE_RECURSIVE);
	mm_free(l);
}

static void destroy(struct evconnlistener *l)
{
	struct event_callback *current;
	bool has_base = l->stream.base;

	(void)stop(l);
	if (has_base) {
		EVBASE_LOCK(l->base);
		evc_stream_detach(&l->stream);
		evc_stream_fini(&l->stream);
		EVBASE_UNLOCK(l->base);
	}
	if (l->flags & LEV_OPT_CLOSE_ON_FREE)
		evutil_closesocket(l->event.ev_fd);
	event_debug_unassign(&l->event);
	event_debug_unassign(&l->rest);
	if (!has_base)
		return;
	EVBASE_LOCK(l->base);
	current = called_elsewhere(l);
	l->dead = current != NULL;
	if (current)
		event_callback_finalize_nolock_(l->base, 0, current, finalized);
	EVBASE_UNLOCK(l->base);
}

/* True iff that was the last reference, and the listener is gone. */
static bool decref_and_unlock(struct evconnlistener *l)
{
	bool dead;

	if (--l->refcnt > 0) {
		UNLOCK(l);
		return false;
	}
	destroy(l);
	dead = l->dead;
	UNLOCK(l);
	if (!dead)
		finalized(NULL, l);
	return true;
}

int evconnlistener_enable(struct evconnlistener *l)
{
	int r;

	LOCK(l);
	l->enabled = true;
	r = l->cb ? start(l) : 0;
	UNLOCK(l);
	return r;
}

int evconnlistener_disable(struct evconnlistener *l)
{
	int r;

	LOCK(l);
	l->enabled = false;
	r = stop(l);
	UNLOCK(l);
	return r;
}

void evconnlistener_free(struct evconnlistener *l)
{
	LOCK(l);
	l->cb = NULL;
	l->errorcb = NULL;
	(void)decref_and_unlock(l);
}

/* ---- handing out. Locked on entry and on return, unless the listener is gone. */

/* For as long as the program is being told of it, nobody has to ask whether it can be watched. */
static void note_fresh(struct evconnlistener *l, int fd)
{
	EVBASE_LOCK(l->base);
	l->base->fresh_fd = fd;
	EVBASE_UNLOCK(l->base);
}

/* False: the listener was freed or disabled by the callback. */
static bool deliver(struct evconnlistener *l, int fd, struct sockaddr_storage *ss, socklen_t len)
{
	evconnlistener_cb cb = l->cb;
	void *arg = l->user_data;

	if (!cb) {
		evutil_closesocket(fd);
		return true;
	}
	l->refcnt++;
	UNLOCK(l);
	note_fresh(l, fd);
	cb(l, fd, (struct sockaddr *)ss, (int)len, arg);
	note_fresh(l, -1);
	LOCK(l);
	if (l->refcnt == 1) {
		(void)decref_and_unlock(l);
		return false;
	}
	l->refcnt--;
	if (l->enabled)
		return true;
	UNLOCK(l);
	return false;
}

static bool passes(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}

/* Tells the error, and unlocks. */
static void failed(struct evconnlistener *l, int error)
{
	evconnlistener_errorcb errorcb = l->errorcb;

	if (passes(error) && l->enabled) {
		(void)stop(l);
		(void)event_add(&l->rest, &rest_time);
	}
	if (!errorcb) {
		errno = error;
		event_sock_warn(l->event.ev_fd, "listener: accept");
		UNLOCK(l);
		return;
	}
	l->refcnt++;
	UNLOCK(l);
	errno = error;
	errorcb(l, l->user_data);
	LOCK(l);
	(void)decref_and_unlock(l);
}

/* The next connection that was accepted by itself, or -1. */
static int next_accepted(struct evconnlistener *l)
{
	struct evu_item *item;
	int fd = -1;

	EVBASE_LOCK(l->base);
	item = evu_intake_pop(&l->stream.in);
	if (item) {
		fd = item->fd;
		evu_item_give(l->base->engine, item);
	}
	EVBASE_UNLOCK(l->base);
	return fd;
}

/* Whose connection it is. One that was reset meanwhile is told only by SO_PEERNAME, and only to who
 * asks for no more than there is. */
static bool peer_of(int fd, struct sockaddr_storage *ss, socklen_t *len)
{
	*len = sizeof(*ss);
	if (getpeername(fd, (struct sockaddr *)ss, len) == 0)
		return *len > 0;
	*len = sizeof(struct sockaddr_in6);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERNAME, ss, len) == 0)
		return true;
	*len = sizeof(struct sockaddr_in);
	return getsockopt(fd, SOL_SOCKET, SO_PEERNAME, ss, len) == 0;
}

/* Hands out what was accepted. False: that is all for now, and the lock is given up. */
static bool hand_out(struct evconnlistener *l)
{
	struct sockaddr_storage ss;
	int fd;

	while ((fd = next_accepted(l)) >= 0) {
		socklen_t len;

		if (!peer_of(fd, &ss, &len)) {
			evutil_closesocket(fd);
			continue;
		}
		if (!deliver(l, fd, &ss, len))
			return false;
	}
	return true;
}

/* After an accept that succeeded the kernel may do it by itself again. */
static void trust_again(struct evconnlistener *l)
{
	l->wary = false;
	EVBASE_LOCK(l->base);
	l->stream.no_in = !evu_engine_moves_data(l->base->engine, EVU_ACCEPT);
	evc_stream_changed(&l->stream);
	EVBASE_UNLOCK(l->base);
}

/* Nobody comes back to those who wait, unless the fd is polled for them until one is accepted. */
static void mistrust(struct evconnlistener *l)
{
	l->wary = true;
	EVBASE_LOCK(l->base);
	l->stream.no_in = true;
	evc_stream_changed(&l->stream);
	EVBASE_UNLOCK(l->base);
}

/* Accepts until there is nothing left. */
static void accept_all(struct evconnlistener *l)
{
	bool any = false;

	for (;;) {
		struct sockaddr_storage ss;
		socklen_t len = sizeof(ss);
		int fd =
		    evutil_accept4_(l->event.ev_fd, (struct sockaddr *)&ss, &len, l->accept_flags);

		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0)
			break;
		any = true;
		if (len == 0) /* nmap does this to some kernels */
			evutil_closesocket(fd);
		else if (!deliver(l, fd, &ss, len))
			return;
	}
	if (errno != EAGAIN) {
		int error = errno;

		if (!l->wary)
			mistrust(l);
		failed(l, error);
		return;
	}
	if (any && l->wary)
		trust_again(l);
	UNLOCK(l);
}

/* Begins a callback. False: there is nothing to do, and it is unlocked. */
static bool begin(struct evconnlistener *l)
{
	LOCK(l);
	if (l->enabled && !l->dead)
		return true;
	UNLOCK(l);
	return false;
}

static void ready(evutil_socket_t fd, short what, void *arg)
{
	struct evconnlistener *l = arg;
	bool passed_over, fatal;
	int end;

	(void)fd;
	(void)what;
	if (!begin(l) || !hand_out(l))
		return;
	EVBASE_LOCK(l->base);
	end = l->stream.in.end;
	l->stream.in.end = 0;
	/* A request takes a descriptor before it looks for a connection: it fails for want of one
	 * also when nobody is there. So the fd is polled for connections then. */
	l->wary |= passes(-end);
	if (l->wary || end == -EOPNOTSUPP || end == -EINVAL || end == -ENOTSOCK)
		l->stream.no_in = true;
	if (end)
		evc_stream_changed(&l->stream);
	else
		evc_stream_renew(&l->stream);
	fatal = end && !l->stream.no_in;
	passed_over = l->stream.passed_over || !evc_stream_reads(&l->stream);
	l->stream.passed_over = false;
	EVBASE_UNLOCK(l->base);
	if (passes(-end))
		UNLOCK(l);
	else if (fatal)
		failed(l, -end);
	else if (passed_over)
		accept_all(l);
	else
		UNLOCK(l);
}

static void rested(evutil_socket_t fd, short what, void *arg)
{
	struct evconnlistener *l = arg;

	(void)fd;
	(void)what;
	if (!begin(l))
		return;
	if (l->cb)
		(void)start(l);
	UNLOCK(l);
}

/* ---- made and asked */

struct evconnlistener *evconnlistener_new(struct event_base *base, evconnlistener_cb cb, void *ptr,
    unsigned flags, int backlog, evutil_socket_t fd)
{
	struct evconnlistener *l;

	if (backlog != 0 && listen(fd, backlog > 0 ? backlog : 128) < 0)
		return NULL;
	l = mm_calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	l->base = base;
	l->cb = cb;
	l->user_data = ptr;
	l->flags = flags;
	l->refcnt = 1;
	if (!(flags & LEV_OPT_LEAVE_SOCKETS_BLOCKING))
		l->accept_flags |= EVUTIL_SOCK_NONBLOCK;
	if (flags & LEV_OPT_CLOSE_ON_EXEC)
		l->accept_flags |= EVUTIL_SOCK_CLOEXEC;
	if (flags & LEV_OPT_THREADSAFE)
		EVTHREAD_ALLOC_LOCK(l->lock, EVTHREAD_LOCKTYPE_RECURSIVE);
	event_assign(&l->event, base, fd, EV_READ | EV_PERSIST, ready, l);
	l->base = l->event.ev_base;
	evtimer_assign(&l->rest, l->base, rested, l);
	EVBASE_LOCK(l->base);
	evc_stream_init(&l->stream, l->base, EVU_ACCEPT, &l->event, false);
	l->stream.in.accept_cloexec = l->accept_flags & SOCK_CLOEXEC;
	l->stream.in.accept_nonblock = l->accept_flags & SOCK_NONBLOCK;
	l->stream.net = true;
	EVBASE_UNLOCK(l->base);
	if (!(flags & LEV_OPT_DISABLED))
		(void)evconnlistener_enable(l);
	return l;
}

/* What the flags ask of the socket. */
static int set_options(evutil_socket_t fd, unsigned flags)
{
	int on = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) < 0)
		return -1;
	if (flags & LEV_OPT_REUSEABLE && evutil_make_listen_socket_reuseable(fd) < 0)
		return -1;
	if (flags & LEV_OPT_REUSEABLE_PORT && evutil_make_listen_socket_reuseable_port(fd) < 0)
		return -1;
	if (flags & LEV_OPT_DEFERRED_ACCEPT && evutil_make_tcp_listen_socket_deferred(fd) < 0)
		return -1;
	if (flags & LEV_OPT_BIND_IPV6ONLY && evutil_make_listen_socket_ipv6only(fd) < 0)
		return -1;
	return 0;
}

struct evconnlistener *evconnlistener_new_bind(struct event_base *base, evconnlistener_cb cb,
    void *ptr, unsigned flags, int backlog, const struct sockaddr *sa, int socklen)
{
	int type = SOCK_STREAM | EVUTIL_SOCK_NONBLOCK;
	struct evconnlistener *l = NULL;
	evutil_socket_t fd;

	if (backlog == 0)
		return NULL;
	if (flags & LEV_OPT_CLOSE_ON_EXEC)
		type |= EVUTIL_SOCK_CLOEXEC;
	fd = evutil_socket_(sa ? sa->sa_family : AF_UNSPEC, type, 0);
	if (fd < 0)
		return NULL;
	if (set_options(fd, flags) == 0 && (!sa || bind(fd, sa, (socklen_t)socklen) == 0))
		l = evconnlistener_new(base, cb, ptr, flags, backlog, fd);
	if (!l)
		evutil_closesocket(fd);
	return l;
}

evutil_socket_t evconnlistener_get_fd(struct evconnlistener *l)
{
	evutil_socket_t fd;

	LOCK(l);
	fd = l->event.ev_fd;
	UNLOCK(l);
	return fd;
}

struct event_base *evconnlistener_get_base(struct evconnlistener *l)
{
	struct event_base *base;

	LOCK(l);
	base = l->base;
	UNLOCK(l);
	return base;
}

void evconnlistener_set_cb(struct evconnlistener *l, evconnlistener_cb cb, void *arg)
{
	bool had;

	LOCK(l);
	had = l->cb != NULL;
	l->cb = cb;
	l->user_data = arg;
	if (l->enabled && !had)
		(void)evconnlistener_enable(l);
	UNLOCK(l);
}

void evconnlistener_set_error_cb(struct evconnlistener *l, evconnlistener_errorcb errorcb)
{
	LOCK(l);
	l->errorcb = errorcb;
	UNLOCK(l);
}
