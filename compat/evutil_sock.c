/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Making sockets, pipes and eventfds, and setting their options.
 *
 * Linux sets O_NONBLOCK and FD_CLOEXEC in the call that makes the descriptor, so most of this is
 * thin. Traps: evutil_socket_connect_ makes a socket that exec inherits, as it always did; and
 * "refused" is an answer of its own there (2), with the socket left open, so that a bufferevent
 * can report it from the loop instead of from inside the call.
 */
#include "evutil_priv.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "log.h"

int evutil_socketpair(int d, int type, int protocol, evutil_socket_t sv[2])
{
	return socketpair(d, type, protocol, sv);
}

/* Connect connector to listener and accept it; the accepted socket, or -1 with errno set. */
static int meet_on_loopback(int listener, int connector)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in peer, mine;
	socklen_t at_len = sizeof(at), peer_len = sizeof(peer), mine_len = sizeof(mine);

	if (bind(listener, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(listener, 1) < 0 ||
	    getsockname(listener, (struct sockaddr *)&at, &at_len) < 0 ||
	    connect(connector, (struct sockaddr *)&at, at_len) < 0)
		return -1;
	int acceptor = accept(listener, (struct sockaddr *)&peer, &peer_len);
	if (acceptor < 0)
		return -1;
	/* Anybody on this machine could have been faster than our own connector. */
	if (getsockname(connector, (struct sockaddr *)&mine, &mine_len) < 0 ||
	    evutil_sockaddr_cmp((struct sockaddr *)&peer, (struct sockaddr *)&mine, 1) != 0) {
		evutil_closesocket(acceptor);
		errno = ECONNABORTED;
		return -1;
	}
	return acceptor;
}

static void close_keeping_errno(int fd)
{
	int saved = errno;
	evutil_closesocket(fd);
	errno = saved;
}

int evutil_ersatz_socketpair_(int family, int type, int protocol, evutil_socket_t fd[2])
{
	int acceptor = -1;

	if (protocol != 0 || (family != AF_INET && family != AF_UNIX)) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	if (fd == NULL) {
		errno = EINVAL;
		return -1;
	}
	int listener = socket(AF_INET, type, 0);
	if (listener < 0)
		return -1;
	int connector = socket(AF_INET, type, 0);
	if (connector >= 0) {
		acceptor = meet_on_loopback(listener, connector);
		if (acceptor < 0)
			close_keeping_errno(connector);
	}
	close_keeping_errno(listener);
	if (acceptor < 0)
		return -1;
	fd[0] = connector;
	fd[1] = acceptor;
	return 0;
}

int evutil_make_socket_nonblocking(evutil_socket_t sock)
{
	int flags = fcntl(sock, F_GETFL);
	if (flags < 0) {
		event_warn("fcntl(%d, F_GETFL)", sock);
		return -1;
	}
	if (!(flags & O_NONBLOCK) && fcntl(sock, F_SETFL, flags | O_NONBLOCK) < 0) {
		event_warn("fcntl(%d, F_SETFL)", sock);
		return -1;
	}
	return 0;
}

int evutil_make_socket_closeonexec(evutil_socket_t sock)
{
	int flags = fcntl(sock, F_GETFD);
	if (flags < 0) {
		event_warn("fcntl(%d, F_GETFD)", sock);
		return -1;
	}
	if (!(flags & FD_CLOEXEC) && fcntl(sock, F_SETFD, flags | FD_CLOEXEC) < 0) {
		event_warn("fcntl(%d, F_SETFD)", sock);
		return -1;
	}
	return 0;
}

static int switch_on(evutil_socket_t sock, int level, int option)
{
	int one = 1;
	return setsockopt(sock, level, option, &one, sizeof(one));
}

int evutil_make_listen_socket_reuseable(evutil_socket_t sock)
{
	return switch_on(sock, SOL_SOCKET, SO_REUSEADDR);
}

int evutil_make_listen_socket_reuseable_port(evutil_socket_t sock)
{
	return switch_on(sock, SOL_SOCKET, SO_REUSEPORT);
}

int evutil_make_listen_socket_ipv6only(evutil_socket_t sock)
{
	return switch_on(sock, IPPROTO_IPV6, IPV6_V6ONLY);
}

int evutil_make_tcp_listen_socket_deferred(evutil_socket_t sock)
{
	return switch_on(sock, IPPROTO_TCP, TCP_DEFER_ACCEPT);
}

int evutil_closesocket(evutil_socket_t sock)
{
	return close(sock);
}

evutil_socket_t evutil_socket_(int domain, int type, int protocol)
{
	return socket(domain, type, protocol);
}

evutil_socket_t evutil_accept4_(
    evutil_socket_t sockfd, struct sockaddr *addr, ev_socklen_t *addrlen, int flags)
{
	return accept4(sockfd, addr, addrlen, flags);
}

evutil_socket_t evutil_eventfd_(unsigned initval, int flags)
{
	return eventfd(initval, flags);
}

int evutil_make_internal_pipe_(evutil_socket_t fd[2])
{
	if (pipe2(fd, O_NONBLOCK | O_CLOEXEC) == 0)
		return 0;
	event_warn("%s: pipe", __func__);
	fd[0] = fd[1] = -1;
	return -1;
}

/* The result of evutil_socket_connect_, for a socket that exists. */
static int start_connect(evutil_socket_t fd, const struct sockaddr *sa, int socklen)
{
	if (connect(fd, sa, (socklen_t)socklen) == 0)
		return 1;
	if (EVUTIL_ERR_CONNECT_RETRIABLE(errno))
		return 0;
	return EVUTIL_ERR_CONNECT_REFUSED(errno) ? 2 : -1;
}

int evutil_socket_connect_(evutil_socket_t *fd_ptr, const struct sockaddr *sa, int socklen)
{
	bool made = *fd_ptr < 0;

	if (made) {
		*fd_ptr = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
		if (*fd_ptr < 0)
			return -1;
	}
	int r = start_connect(*fd_ptr, sa, socklen);
	if (r < 0 && made) {
		close_keeping_errno(*fd_ptr);
		*fd_ptr = -1;
	}
	return r;
}

int evutil_socket_finished_connecting_(evutil_socket_t fd)
{
	int e;
	socklen_t elen = sizeof(e);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &elen) < 0)
		return -1;
	if (e == 0)
		return 1;
	if (EVUTIL_ERR_CONNECT_RETRIABLE(e))
		return 0;
	errno = e;
	return -1;
}
