/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The echo server without an event library, on bare epoll and on bare io_uring: the limit that the
 * rows of bev_echo.c can come near.
 *
 * "epoll": level-triggered, one large hot buffer for all connections, the answer sent in the same
 * turn. Only what the socket does not take is copied aside, and then the connection waits to write
 * and does not read.
 *
 * "io_uring": a multishot accept, a multishot receive a connection, and one send of each buffer
 * that was filled, straight from it. The life of a buffer:
 *   1. it is in the ring of provided buffers, the kernel's;
 *   2. a receive has filled it: it is queued at its connection;
 *   3. it is first in that queue, so it is being sent: one send in flight a connection keeps the
 * order;
 *   4. all of it is sent: back to 1.
 * When no buffer is left, receives end with ENOBUFS; such connections wait in a list until one is
 * back.
 *
 * For row 15 (--kind fanout) both send what came to all connections: from the hot buffer, and from
 * the one buffer that was filled, which goes back when the last of these sends has ended. One
 * broadcast is on its way at a time, and a message always fits the socket.
 */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	BATCH = 256,         /* events taken from epoll at a time */
	HOT = 64 * 1024,     /* bytes received at a time by the epoll server */
	N_ENTRIES = 1024,    /* of the ring's submission queue */
	N_BUFFERS = 256,     /* provided to the ring at most; a power of two */
	POOL = 512 * 1024,   /* bytes of all of them: what stays in the cache */
	BUFFER_LEAST = 2048, /* bytes of one */
	BUFFER_MOST = 64 * 1024,
	GROUP = 1, /* their group */
	NONE = -1,
	FILES_BESIDES = 256 /* numbers of descriptors beyond the number of connections */
};

static void *allocate(size_t count, size_t size)
{
	void *memory = calloc(count, size);

	if (memory == NULL)
		bench_fail("out of memory");
	return memory;
}

/* The connections in the order in which they came; only for fanout. */
struct members {
	int *fds;
	int count;
};

static void add_member(const struct load *load, struct members *members, int fd)
{
	if (load->kind != LOAD_FANOUT || members->count >= load->connections)
		return;
	if (members->fds == NULL)
		members->fds = allocate((size_t)load->connections, sizeof(*members->fds));
	members->fds[members->count++] = fd;
}

static int file_limit(const struct load *load)
{
	return load->connections + FILES_BESIDES;
}

static void check_file(const struct load *load, int fd)
{
	if (fd >= file_limit(load))
		bench_fail("descriptor %d is more than was expected", fd);
}

/* ---- epoll */

struct rest {
	unsigned char *bytes; /* what the socket did not take; NULL: nothing */
	size_t sent, length;
};

struct epoll_server {
	struct load *load;
	int epfd;
	struct rest *rests; /* by descriptor */
	struct members members;
	unsigned char hot[HOT];
};

static void watch(struct epoll_server *server, int operation, int fd, uint32_t what)
{
	struct epoll_event event = {.events = what, .data.fd = fd};

	if (epoll_ctl(server->epfd, operation, fd, &event) != 0)
		bench_fail("epoll_ctl: %s", strerror(errno));
}

static void accept_all(struct epoll_server *server, int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		check_file(server->load, fd);
		watch(server, EPOLL_CTL_ADD, fd, EPOLLIN);
		add_member(server->load, &server->members, fd);
		load_count(&server->load->counts->accepted);
	}
	if (errno != EAGAIN)
		bench_fail("accept: %s", strerror(errno));
}

static void hang_up(struct epoll_server *server, int fd)
{
	free(server->rests[fd].bytes);
	server->rests[fd].bytes = NULL;
	close(fd);
	load_count(&server->load->counts->closed);
}

static void put_aside(struct epoll_server *server, int fd, size_t from, size_t to)
{
	struct rest *rest = &server->rests[fd];

	*rest = (struct rest){allocate(1, to - from), 0, to - from};
	memcpy(rest->bytes, server->hot + from, to - from);
	watch(server, EPOLL_CTL_MOD, fd, EPOLLOUT);
}

static void send_to_all(const struct epoll_server *server, size_t size)
{
	for (int i = 0; i < server->members.count; i++) {
		if (send(server->members.fds[i], server->hot, size, MSG_NOSIGNAL) != (ssize_t)size)
			bench_fail("a message could not be sent whole");
	}
}

static void echo(struct epoll_server *server, int fd)
{
	ssize_t got = recv(fd, server->hot, HOT, 0), sent;

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0) {
		hang_up(server, fd);
		return;
	}
	if (server->load->kind == LOAD_FANOUT) {
		send_to_all(server, (size_t)got);
		return;
	}
	sent = send(fd, server->hot, (size_t)got, MSG_NOSIGNAL);
	if (sent < 0 && errno == EAGAIN)
		sent = 0;
	if (sent < 0)
		hang_up(server, fd);
	else if (sent < got)
		put_aside(server, fd, (size_t)sent, (size_t)got);
}

static void send_rest(struct epoll_server *server, int fd)
{
	struct rest *rest = &server->rests[fd];
	ssize_t sent = send(fd, rest->bytes + rest->sent, rest->length - rest->sent, MSG_NOSIGNAL);

	if (sent < 0 && errno != EAGAIN) {
		hang_up(server, fd);
		return;
	}
	if (sent > 0)
		rest->sent += (size_t)sent;
	if (rest->sent < rest->length)
		return;
	free(rest->bytes);
	rest->bytes = NULL;
	watch(server, EPOLL_CTL_MOD, fd, EPOLLIN);
}

static void serve_epoll(int listener, struct load *load)
{
	struct epoll_server *server = allocate(1, sizeof(*server));
	struct epoll_event events[BATCH];

	server->load = load;
	server->epfd = epoll_create1(EPOLL_CLOEXEC);
	server->rests = allocate((size_t)file_limit(load), sizeof(*server->rests));
	watch(server, EPOLL_CTL_ADD, listener, EPOLLIN);
	for (;;) {
		int count = epoll_wait(server->epfd, events, BATCH, -1);

		for (int i = 0; i < count; i++) {
			int fd = events[i].data.fd;

			if (fd == listener)
				accept_all(server, listener);
			else if (server->rests[fd].bytes != NULL)
				send_rest(server, fd);
			else
				echo(server, fd);
		}
	}
}

/* ---- io_uring */

enum request {
	ACCEPT,
	RECEIVE,
	SEND
}; /* in the upper half of user_data; the lower is the descriptor */

struct connection {
	int first, last;  /* the queue of filled buffers, by number, or NONE */
	int next_starved; /* the next descriptor that waits for a buffer, or NONE */
	bool ended;       /* nothing more is received */
};

struct buffer {
	int next;     /* in its connection's queue, or NONE */
	int from, to; /* the bytes still to send */
};

struct uring_server {
	struct load *load;
	struct io_uring ring;
	struct io_uring_buf_ring *provided;
	unsigned char *memory;
	int buffer_size;
	int starved; /* the first descriptor that waits for a buffer, or NONE */
	int in_use;  /* buffers that are filled and not back yet */
	struct members members;
	int broadcast; /* the number of the buffer that goes to all members, or NONE */
	int unsent;    /* sends of it that have not ended */
	struct buffer buffers[N_BUFFERS];
	struct connection *connections; /* by descriptor */
};

static struct io_uring_sqe *new_request(struct uring_server *server)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&server->ring);

	if (sqe == NULL) {
		io_uring_submit(&server->ring);
		sqe = io_uring_get_sqe(&server->ring);
	}
	return sqe;
}

static void name_request(struct io_uring_sqe *sqe, enum request request, int fd)
{
	io_uring_sqe_set_data64(sqe, (uint64_t)request << 32 | (uint32_t)fd);
}

static void arm_accept(struct uring_server *server, int listener)
{
	struct io_uring_sqe *sqe = new_request(server);

	io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	name_request(sqe, ACCEPT, listener);
}

static void arm_receive(struct uring_server *server, int fd)
{
	struct io_uring_sqe *sqe = new_request(server);

	io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
	sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
	sqe->buf_group = GROUP;
	io_uring_sqe_set_flags(sqe, IOSQE_BUFFER_SELECT);
	name_request(sqe, RECEIVE, fd);
}

static void arm_send(struct uring_server *server, int fd, int number)
{
	const struct buffer *buffer = &server->buffers[number];
	struct io_uring_sqe *sqe = new_request(server);

	io_uring_prep_send(sqe, fd,
	    server->memory + (size_t)number * (size_t)server->buffer_size + buffer->from,
	    (size_t)(buffer->to - buffer->from), MSG_NOSIGNAL | MSG_WAITALL);
	name_request(sqe, SEND, fd);
}

static void provide(struct uring_server *server, int number, int offset)
{
	io_uring_buf_ring_add(server->provided,
	    server->memory + (size_t)number * (size_t)server->buffer_size,
	    (unsigned)server->buffer_size, (unsigned short)number,
	    io_uring_buf_ring_mask(N_BUFFERS), offset);
}

static void wake_starved(struct uring_server *server)
{
	int fd = server->starved;

	if (fd == NONE)
		return;
	server->starved = server->connections[fd].next_starved;
	arm_receive(server, fd);
}

/* A buffer is back: the kernel may have it, and who waited for one tries again. */
static void give_back(struct uring_server *server, int number)
{
	provide(server, number, 0);
	io_uring_buf_ring_advance(server->provided, 1);
	server->in_use--;
	wake_starved(server);
}

static void consider_closing(struct uring_server *server, int fd)
{
	const struct connection *connection = &server->connections[fd];

	if (!connection->ended || connection->first != NONE)
		return;
	close(fd);
	load_count(&server->load->counts->closed);
}

static void on_accept(struct uring_server *server, const struct io_uring_cqe *cqe, int listener)
{
	if (cqe->res < 0)
		bench_fail("accept: %s", strerror(-cqe->res));
	check_file(server->load, cqe->res);
	server->connections[cqe->res] = (struct connection){NONE, NONE, NONE, false};
	arm_receive(server, cqe->res);
	add_member(server->load, &server->members, cqe->res);
	load_count(&server->load->counts->accepted);
	if ((cqe->flags & IORING_CQE_F_MORE) == 0)
		arm_accept(server, listener);
}

static void broadcast(struct uring_server *server, int number)
{
	if (server->broadcast != NONE)
		bench_fail("a message came while another was on its way");
	server->broadcast = number;
	server->unsent = server->members.count;
	for (int i = 0; i < server->members.count; i++)
		arm_send(server, server->members.fds[i], number);
}

static void on_broadcast_send(struct uring_server *server, const struct io_uring_cqe *cqe)
{
	if (cqe->res != server->buffers[server->broadcast].to)
		bench_fail("a message could not be sent whole");
	if (--server->unsent > 0)
		return;
	give_back(server, server->broadcast);
	server->broadcast = NONE;
}

static void on_receive(struct uring_server *server, const struct io_uring_cqe *cqe, int fd)
{
	struct connection *connection = &server->connections[fd];
	int number = (int)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);

	if (cqe->res == -ENOBUFS) {
		connection->next_starved = server->starved;
		server->starved = fd;
		if (server->in_use == 0) /* all came back before this was seen */
			wake_starved(server);
		return;
	}
	if (cqe->res <= 0) {
		connection->ended = true;
		consider_closing(server, fd);
		wake_starved(server); /* it took no buffer */
		return;
	}
	server->in_use++;
	server->buffers[number] = (struct buffer){NONE, 0, cqe->res};
	if (server->load->kind == LOAD_FANOUT) {
		broadcast(server, number);
	} else if (connection->first == NONE) {
		connection->first = connection->last = number;
		arm_send(server, fd, number);
	} else {
		server->buffers[connection->last].next = number;
		connection->last = number;
	}
	if ((cqe->flags & IORING_CQE_F_MORE) == 0)
		arm_receive(server, fd);
}

static void on_send(struct uring_server *server, const struct io_uring_cqe *cqe, int fd)
{
	struct connection *connection = &server->connections[fd];
	int number = connection->first;
	struct buffer *buffer = &server->buffers[number];

	/* A peer that is gone takes nothing more; the receive tells the rest. */
	buffer->from = cqe->res < 0 ? buffer->to : buffer->from + cqe->res;
	if (buffer->from == buffer->to) {
		connection->first = buffer->next;
		give_back(server, number);
	}
	if (connection->first != NONE)
		arm_send(server, fd, connection->first);
	else
		consider_closing(server, fd);
}

static void on_completion(struct uring_server *server, const struct io_uring_cqe *cqe)
{
	int fd = (int)(uint32_t)cqe->user_data;

	switch ((enum request)(cqe->user_data >> 32)) {
	case ACCEPT:
		on_accept(server, cqe, fd);
		break;
	case RECEIVE:
		on_receive(server, cqe, fd);
		break;
	case SEND:
		if (server->load->kind == LOAD_FANOUT)
			on_broadcast_send(server, cqe);
		else
			on_send(server, cqe, fd);
		break;
	}
}

static void open_ring(struct uring_server *server)
{
	struct io_uring_params params = {
	    .flags = IORING_SETUP_CQSIZE | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
	    .cq_entries = 16 * N_ENTRIES};
	int error = io_uring_queue_init_params(N_ENTRIES, &server->ring, &params);

	if (error == -ENOSYS || error == -EPERM || error == -EINVAL) {
		fprintf(stderr, "echo_raw: no io_uring here: %s\n", strerror(-error));
		_exit(77);
	}
	if (error != 0)
		bench_fail("io_uring_queue_init: %s", strerror(-error));
	io_uring_register_ring_fd(&server->ring);
}

static void open_buffers(struct uring_server *server)
{
	struct io_uring_buf_reg registration = {.ring_entries = N_BUFFERS, .bgid = GROUP};
	size_t ring_bytes = N_BUFFERS * sizeof(struct io_uring_buf);
	int wanted = server->load->size * server->load->depth, count = 0, error;

	server->buffer_size = wanted < BUFFER_LEAST  ? BUFFER_LEAST
			      : wanted > BUFFER_MOST ? BUFFER_MOST
						     : wanted;
	server->memory = allocate(N_BUFFERS, (size_t)server->buffer_size);
	server->provided =
	    mmap(NULL, ring_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (server->provided == MAP_FAILED)
		bench_fail("mmap: %s", strerror(errno));
	registration.ring_addr = (uint64_t)(uintptr_t)server->provided;
	error = io_uring_register_buf_ring(&server->ring, &registration, 0);
	if (error != 0)
		bench_fail("io_uring_register_buf_ring: %s", strerror(-error));
	io_uring_buf_ring_init(server->provided);
	while (count < N_BUFFERS && count * server->buffer_size < POOL) {
		provide(server, count, count);
		count++;
	}
	io_uring_buf_ring_advance(server->provided, count);
}

static void serve_uring(int listener, struct load *load)
{
	struct uring_server *server = allocate(1, sizeof(*server));

	server->load = load;
	server->starved = server->broadcast = NONE;
	server->connections = allocate((size_t)file_limit(load), sizeof(*server->connections));
	open_ring(server);
	open_buffers(server);
	arm_accept(server, listener);
	for (;;) {
		struct io_uring_cqe *cqe;
		unsigned head, count = 0;

		io_uring_submit_and_wait(&server->ring, 1);
		io_uring_for_each_cqe(&server->ring, head, cqe)
		{
			on_completion(server, cqe);
			count++;
		}
		io_uring_cq_advance(&server->ring, count);
	}
}

static void serve(int listener, struct load *load)
{
	printf("method %s\n", load->method);
	fflush(stdout);
	if (strcmp(load->method, "epoll") == 0)
		serve_epoll(listener, load);
	else if (strcmp(load->method, "io_uring") == 0)
		serve_uring(listener, load);
	else
		bench_fail("no method is called \"%s\"", load->method);
}

int main(int argc, char **argv)
{
	return load_main(argc, argv, serve, NULL);
}
