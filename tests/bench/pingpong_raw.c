/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Row 13 without an event library: the echo server on bare epoll, on bare io_uring, and spinning.
 *
 * "epoll" waits, receives and sends: three system calls a round trip. "io_uring" submits the send
 * and the next receive together and waits in the same call: one. "spin" never sleeps: it is the
 * shortest round trip that the machine can do, at the price of a whole CPU.
 */
#define _GNU_SOURCE
#include "pingclient.h"

#include <errno.h>
#include <liburing.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Echo what is there; returns false when the connection has ended. */
static bool echo(int fd, int64_t *echoed)
{
	char buffer[PING_SIZE_MAX];
	ssize_t count = recv(fd, buffer, sizeof(buffer), 0);

	if (count < 0 && errno == EAGAIN)
		return true;
	if (count < 0)
		bench_fail("recv: %s", strerror(errno));
	if (count > 0 && send(fd, buffer, (size_t)count, MSG_NOSIGNAL) != count)
		bench_fail("send: %s", strerror(errno));
	*echoed += count;
	return count > 0;
}

static int64_t serve_epoll(int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
	int epfd = epoll_create1(EPOLL_CLOEXEC);
	int64_t echoed = 0;
	bool open = true;

	if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event) != 0)
		bench_fail("epoll_ctl: %s", strerror(errno));
	while (open) {
		if (epoll_wait(epfd, &event, 1, -1) == 1)
			open = echo(fd, &echoed);
	}
	close(epfd);
	return echoed;
}

static int64_t serve_spinning(int fd)
{
	int64_t echoed = 0;

	while (echo(fd, &echoed))
		continue;
	return echoed;
}

static void open_ring(struct io_uring *ring)
{
	struct io_uring_params params = {
	    .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
	int error = io_uring_queue_init_params(8, ring, &params);

	if (error != 0)
		bench_fail("io_uring_queue_init: %s", strerror(-error));
}

/* Submit what is queued and wait for the receive; a send that went well posts no completion. */
static int64_t next_receive(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;
	int64_t result;

	io_uring_submit_and_wait(ring, 1);
	if (io_uring_peek_cqe(ring, &cqe) != 0)
		bench_fail("no completion");
	if (cqe->user_data != 1 || cqe->res < 0)
		bench_fail("completion: %s", strerror(-cqe->res));
	result = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return result;
}

static int64_t serve_uring(int fd)
{
	static char buffers[2][PING_SIZE_MAX]; /* one is sent while the other is filled */
	struct io_uring ring;
	int64_t echoed = 0, count = 0;
	int filled = 0;

	open_ring(&ring);
	do {
		struct io_uring_sqe *sqe;

		if (count > 0) {
			sqe = io_uring_get_sqe(&ring);
			io_uring_prep_send(
			    sqe, fd, buffers[filled], (size_t)count, MSG_NOSIGNAL | MSG_WAITALL);
			io_uring_sqe_set_flags(sqe, IOSQE_CQE_SKIP_SUCCESS);
			io_uring_sqe_set_data64(sqe, 0);
			echoed += count;
		}
		filled = !filled;
		sqe = io_uring_get_sqe(&ring);
		io_uring_prep_recv(sqe, fd, buffers[filled], PING_SIZE_MAX, 0);
		io_uring_sqe_set_data64(sqe, 1);
		count = next_receive(&ring);
	} while (count > 0);
	io_uring_queue_exit(&ring);
	return echoed;
}

static int64_t serve(int fd, const struct ping *ping)
{
	printf("method %s\n", ping->method);
	if (strcmp(ping->method, "epoll") == 0)
		return serve_epoll(fd);
	if (strcmp(ping->method, "io_uring") == 0)
		return serve_uring(fd);
	if (strcmp(ping->method, "spin") == 0)
		return serve_spinning(fd);
	bench_fail("no method is called \"%s\"", ping->method);
}

int main(int argc, char **argv)
{
	return ping_main(argc, argv, serve);
}
