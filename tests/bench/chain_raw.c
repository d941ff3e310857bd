/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Row 8 without an event library: the same ring of links on bare epoll, or on bare io_uring.
 *
 * This is the limit that a library can come near, not a rival. The epoll loop is level-triggered
 * and reads one byte an event, as libevent's is. The io_uring loop arms a multishot poll a link,
 * once; such a poll reports arrivals and not what is left, so it reads all that a link holds, which
 * a library that leaves the reading to the program may not do. Both make their own read and write
 * calls.
 */
#include "tokens.h"

#include <errno.h>
#include <getopt.h>
#include <liburing.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
	BATCH = 256,     /* events taken from the kernel at a time */
	READ_ALL = 64,   /* more than a link ever holds, so a poll is not needed to find it empty */
	N_ENTRIES = 1024 /* of the ring's submission queue */
};

static void run_epoll(struct tokens *tokens, int n_active)
{
	struct epoll_event events[BATCH];
	int epfd = epoll_create1(EPOLL_CLOEXEC);

	for (int i = 0; i < tokens->n_links; i++) {
		struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};

		if (epoll_ctl(epfd, EPOLL_CTL_ADD, tokens->links[i].reader, &event) != 0)
			bench_fail("epoll_ctl: %s", strerror(errno));
	}
	tokens_launch(tokens, n_active);
	while (!tokens_done(tokens)) {
		int count = epoll_wait(epfd, events, BATCH, -1);

		for (int i = 0; i < count; i++) {
			int index = (int)events[i].data.u32;

			tokens_pass(tokens, index, tokens_read(tokens, index, 1));
		}
	}
	close(epfd);
}

static void arm(struct io_uring *ring, struct tokens *tokens, int index)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	if (sqe == NULL) {
		io_uring_submit(ring);
		sqe = io_uring_get_sqe(ring);
	}
	io_uring_prep_poll_multishot(sqe, tokens->links[index].reader, POLLIN);
	io_uring_sqe_set_data64(sqe, (uint64_t)index);
}

static void handle(struct io_uring *ring, struct tokens *tokens, const struct io_uring_cqe *cqe)
{
	int index = (int)cqe->user_data;

	if (cqe->res < 0)
		bench_fail("poll: %s", strerror(-cqe->res));
	if ((cqe->flags & IORING_CQE_F_MORE) == 0)
		arm(ring, tokens, index);
	tokens_pass(tokens, index, tokens_read(tokens, index, READ_ALL));
}

static void open_ring(struct io_uring *ring)
{
	struct io_uring_params params = {
	    .flags = IORING_SETUP_CQSIZE | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
	    .cq_entries = 4 * N_ENTRIES};
	int error = io_uring_queue_init_params(N_ENTRIES, ring, &params);

	if (error == -ENOSYS || error == -EPERM || error == -EINVAL) {
		fprintf(stderr, "chain_raw: no io_uring here: %s\n", strerror(-error));
		_exit(77);
	}
	if (error != 0)
		bench_fail("io_uring_queue_init: %s", strerror(-error));
}

static void run_uring(struct tokens *tokens, int n_active)
{
	struct io_uring ring;

	open_ring(&ring);
	for (int i = 0; i < tokens->n_links; i++)
		arm(&ring, tokens, i);
	tokens_launch(tokens, n_active);
	while (!tokens_done(tokens)) {
		struct io_uring_cqe *cqe;
		unsigned head, count = 0;

		io_uring_submit_and_wait(&ring, 1);
		io_uring_for_each_cqe(&ring, head, cqe)
		{
			handle(&ring, tokens, cqe);
			count++;
		}
		io_uring_cq_advance(&ring, count);
	}
	io_uring_queue_exit(&ring);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"links", required_argument, NULL, 'l'},
	    {"active", required_argument, NULL, 'a'}, {"events", required_argument, NULL, 'e'},
	    {"cpu", required_argument, NULL, 'c'}, {"method", required_argument, NULL, 'm'},
	    {NULL, 0, NULL, 0}};
	struct tokens tokens;
	const char *method = "epoll";
	long links = 1000, active = 100, events = 200000, cpu = -1;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'l')
			links = bench_number("links", optarg, 1);
		else if (option == 'a')
			active = bench_number("active", optarg, 1);
		else if (option == 'e')
			events = bench_number("events", optarg, 1);
		else if (option == 'c')
			cpu = bench_number("cpu", optarg, 0);
		else if (option == 'm')
			method = optarg;
		else
			bench_fail("usage: chain_raw [--method epoll|io_uring] [--links N] "
				   "[--active N] [--events N] [--cpu N]");
	}
	if (active > links)
		bench_fail("more active links than links");
	bench_pin((int)cpu);
	tokens_open(&tokens, (int)links, events / 10 + active, events);
	printf("method %s\n", method);
	if (strcmp(method, "epoll") == 0)
		run_epoll(&tokens, (int)active);
	else if (strcmp(method, "io_uring") == 0)
		run_uring(&tokens, (int)active);
	else
		bench_fail("no method is called \"%s\"", method);
	tokens_check_and_report(&tokens);
	return 0;
}
