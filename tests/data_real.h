/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the suites of data on the real io_uring ring share: streams in which every byte tells its
 * place, their sockets, and requests that are overwritten as soon as they are gone.
 *
 * Where io_uring does not move data the tests are left out: start_moving() says no. If it never
 * does the suite is skipped.
 */
#ifndef TESTS_DATA_REAL_H
#define TESTS_DATA_REAL_H

#include <arpa/inet.h>
#include <netinet/in.h>

#include "request.h"
#include "ring_real.h"

#define BIG (4u << 20)

static inline char place_byte(size_t place)
{
	return (char)(place * 131 + (place >> 8) * 7 + (place >> 16));
}

static inline bool start_moving(void)
{
	const struct evu_features *f = evu_features();

	if (!f->recv || !f->accept || !f->send)
		return false;
	return start(EVU_IO_URING);
}

static inline int listener(struct sockaddr_in *addr)
{
	socklen_t len = sizeof(*addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	*addr = (struct sockaddr_in){.sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	    .sin_port = addr->sin_port};
	ck_assert_int_eq(bind(fd, (struct sockaddr *)addr, sizeof(*addr)), 0);
	ck_assert_int_eq(listen(fd, 128), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)addr, &len), 0);
	return fd;
}

static inline int connected(const struct sockaddr_in *addr)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(connect(fd, (const struct sockaddr *)addr, sizeof(*addr)), 0);
	ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

/* Two ends of a TCP connection, or of a socket pair. */
static inline void ends(int sv[2], bool tcp)
{
	struct sockaddr_in addr = {0};
	struct pollfd p = {.events = POLLIN};

	if (!tcp) {
		pair(sv);
		return;
	}
	p.fd = listener(&addr);
	sv[1] = connected(&addr);
	ck_assert_int_eq(poll(&p, 1, 5000), 1);
	sv[0] = accept4(p.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	ck_assert_int_ge(sv[0], 0);
	close(p.fd);
}

static inline struct evu_intake *intake(enum evu_request_kind kind)
{
	struct evu_intake *in = malloc(sizeof(*in));

	ck_assert_ptr_nonnull(in);
	evu_intake_init(in, e, kind);
	return in;
}

/* Gone at once, and from memory. */
static inline void discard(struct evu_intake *in)
{
	struct evu_item *item, *next;

	evu_request_drop(&in->req);
	ck_assert(evu_engine_settle(e));
	ck_assert(evu_request_over(&in->req));
	for (item = evu_intake_take(in); item; item = next) {
		next = item->next;
		evu_item_give(e, item);
	}
	memset(in, 0xdd, sizeof(*in));
	free(in);
}

struct flow {
	struct evu_intake *in;
	int fd, peer;
	size_t size, written, seen;
	unsigned turns;
};

static inline void see(struct flow *f, const char *bytes, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (bytes[i] != place_byte(f->seen + i))
			ck_abort_msg("byte %zu is not in its place", f->seen + i);
	f->seen += n;
}

/* Everything that is in the socket, by read(2). */
static inline void read_rest(struct flow *f)
{
	char bytes[4096];
	ssize_t n;

	while ((n = read(f->fd, bytes, sizeof(bytes))) > 0)
		see(f, bytes, (size_t)n);
	ck_assert(n == 0 || errno == EAGAIN);
}

static inline struct flow flow(bool tcp, size_t size)
{
	struct flow f = {.size = size};
	int sv[2];

	ends(sv, tcp);
	f.fd = sv[0];
	f.peer = sv[1];
	f.in = intake(EVU_RECV);
	evu_intake_start(f.in, f.fd, 0);
	return f;
}

static inline int data_ring_suite_run(
    const char *name, void (*add)(Suite *s, int methods), int argc, char **argv)
{
	const struct evu_features *f = argc == 1 ? evu_features() : NULL;

	if (f && !(f->recv && f->accept && f->send))
		return 77;
	return ring_suite_run(name, add, argc, argv);
}

#endif
