/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Connecting a socket bufferevent, by address or by name.
 *
 * The happy path: the connect is started, `connecting` set and ev_write added; when the socket
 * takes data the connect is over, one way or the other (bufferevent_sock.c). Until then nothing is
 * read. A name is looked up first, with reading and writing suspended; without a DNS base that
 * happens before the call returns.
 */
#include <errno.h>
#include <string.h>

#include "bufferevent.h"

#include <event2/dns.h>

/* Where a bufferevent keeps to what it connects. Sockets have it when they need it; `made`: now. */
static struct evc_connecting *connecting_to(struct bufferevent *bev, bool made)
{
	if (BEV_IS_SOCKET(bev))
		return evc_sock_connecting(bev, made);
	return &BEV_UPCAST(bev)->connecting_to;
}

const struct sockaddr *bufferevent_socket_get_conn_address_(struct bufferevent *bev)
{
	static const struct sockaddr_storage none;
	const struct evc_connecting *c = connecting_to(bev, false);

	return (const struct sockaddr *)(c ? &c->address.storage : &none);
}

void bufferevent_socket_set_conn_address_fd_(struct bufferevent *bev, evutil_socket_t fd)
{
	struct evc_connecting *c = connecting_to(bev, false);
	socklen_t len = sizeof(c->address);

	if (c && c->address.storage.ss_family != AF_UNSPEC)
		getpeername(fd, (struct sockaddr *)&c->address, &len);
}

int bufferevent_socket_set_conn_address_(
    struct bufferevent *bev, struct sockaddr *addr, size_t addrlen)
{
	struct evc_connecting *c;

	if (addrlen > sizeof(c->address))
		return EVUTIL_EAI_FAIL;
	c = connecting_to(bev, true);
	if (!c)
		return EVUTIL_EAI_MEMORY;
	memcpy(&c->address, addr, addrlen);
	return 0;
}

/* What became of connect(): 0 it goes on, 1 it is done, else it failed. */
static int started(struct bufferevent *bev, int r)
{
	struct bufferevent_private *p = BEV_UPCAST(bev);

	if (r == 0) {
		if (bev->be_ops->enable(bev, EV_WRITE) < 0)
			return -1;
		p->connecting = 1;
	} else if (r == 1) {
		p->connecting = 1;
		bufferevent_trigger_nolock_(bev, EV_WRITE, BEV_OPT_DEFER_CALLBACKS);
	} else {
		bufferevent_run_eventcb_(bev, BEV_EVENT_ERROR, BEV_OPT_DEFER_CALLBACKS);
		bufferevent_disable(bev, EV_WRITE | EV_READ);
	}
	evc_sock_limits_changed(bev);
	return 0;
}

int bufferevent_socket_connect(struct bufferevent *bev, const struct sockaddr *sa, int socklen)
{
	evutil_socket_t fd, made = -1;
	int r = 0, result = -1, error;

	bufferevent_incref_and_lock_(bev);
	fd = bufferevent_getfd(bev);
	if (fd < 0) {
		if (!sa)
			goto done;
		fd = made = evutil_socket_(sa->sa_family, SOCK_STREAM | EVUTIL_SOCK_NONBLOCK, 0);
		if (fd < 0)
			goto done;
	}
	if (sa) {
		r = evutil_socket_connect_(&fd, sa, socklen);
		if (r < 0) {
			if (made >= 0)
				evutil_closesocket(made);
			goto done;
		}
	}
	error = errno;
	bufferevent_setfd(bev, fd);
	errno = error; /* of a connect that failed, for the event callback */
	result = started(bev, r);
done:
	bufferevent_decref_and_unlock_(bev);
	return result;
}

static void looked_up(int result, struct evutil_addrinfo *ai, void *arg)
{
	struct bufferevent *bev = arg;
	struct bufferevent_private *p = BEV_UPCAST(bev);

	BEV_LOCK(bev);
	bufferevent_unsuspend_write_(bev, BEV_SUSPEND_LOOKUP);
	bufferevent_unsuspend_read_(bev, BEV_SUSPEND_LOOKUP);
	connecting_to(bev, true)->dns_request = NULL;
	if (result == 0)
		result = bufferevent_socket_set_conn_address_(bev, ai->ai_addr, ai->ai_addrlen);
	if (result != 0) {
		p->dns_error = result;
		if (result != EVUTIL_EAI_CANCEL)
			bufferevent_run_eventcb_(bev, BEV_EVENT_ERROR, 0);
	} else if (bufferevent_socket_connect(bev, ai->ai_addr, (int)ai->ai_addrlen) < 0) {
		bufferevent_run_eventcb_(bev, BEV_EVENT_ERROR, 0);
	}
	bufferevent_decref_and_unlock_(bev);
	if (ai)
		evutil_freeaddrinfo(ai);
}

int bufferevent_socket_connect_hostname(
    struct bufferevent *bev, struct evdns_base *dns, int family, const char *hostname, int port)
{
	struct evc_connecting *c;
	struct evutil_addrinfo hint = {
	    .ai_family = family, .ai_protocol = IPPROTO_TCP, .ai_socktype = SOCK_STREAM};
	char text[16];

	if (family != AF_INET && family != AF_INET6 && family != AF_UNSPEC)
		return -1;
	if (port < 1 || port > 65535)
		return -1;
	evutil_snprintf(text, sizeof(text), "%d", port);
	BEV_LOCK(bev);
	c = connecting_to(bev, true);
	if (!c) {
		BEV_UNLOCK(bev);
		return -1;
	}
	BEV_UPCAST(bev)->dns_error = 0;
	bufferevent_suspend_write_(bev, BEV_SUSPEND_LOOKUP);
	bufferevent_suspend_read_(bev, BEV_SUSPEND_LOOKUP);
	bufferevent_incref(bev);
	c->dns_request = evutil_getaddrinfo_async_(dns, hostname, text, &hint, looked_up, bev);
	BEV_UNLOCK(bev);
	return 0;
}

int bufferevent_socket_get_dns_error(struct bufferevent *bev)
{
	int error;

	BEV_LOCK(bev);
	error = BEV_UPCAST(bev)->dns_error;
	BEV_UNLOCK(bev);
	return error;
}
