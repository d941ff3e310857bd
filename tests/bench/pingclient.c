/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The frame and the client of pingclient.h.
 *
 * The child must echo exactly as many bytes as were sent, and each message must come back as it
 * went: it carries its number.
 */
#define _GNU_SOURCE
#include "pingclient.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int listen_on_loopback(struct sockaddr_in *address)
{
	socklen_t length = sizeof(*address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*address = (struct sockaddr_in){.sin_family = AF_INET};
	address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)address, length) != 0 || listen(fd, 1) != 0 ||
	    getsockname(fd, (struct sockaddr *)address, &length) != 0)
		bench_fail("cannot listen: %s", strerror(errno));
	return fd;
}

static void send_at_once(int fd)
{
	int on = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0)
		bench_fail("TCP_NODELAY: %s", strerror(errno));
}

static int serve(int listener, const struct ping *ping, ping_server_fn server)
{
	int fd;
	int64_t echoed;

	/* A server whose loop hangs must not outlive the client that gave up on it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	bench_pin(ping->server_cpu);
	fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		bench_fail("accept: %s", strerror(errno));
	send_at_once(fd);
	close(listener);
	echoed = server(fd, ping);
	close(fd);
	if (echoed != ping->rounds_with_warm * ping->size)
		bench_fail("%lld bytes echoed instead of %lld", (long long)echoed,
		    (long long)(ping->rounds_with_warm * ping->size));
	return fflush(stdout);
}

static void one_round(int fd, int64_t number, int size)
{
	unsigned char out[PING_SIZE_MAX], in[PING_SIZE_MAX];

	memset(out, (int)(number & 0xff), (size_t)size);
	memcpy(out, &number, (size_t)size < sizeof(number) ? (size_t)size : sizeof(number));
	if (send(fd, out, (size_t)size, MSG_NOSIGNAL) != size)
		bench_fail("send: %s", strerror(errno));
	if (recv(fd, in, (size_t)size, MSG_WAITALL) != size)
		bench_fail("the server went away: %s", strerror(errno));
	if (memcmp(in, out, (size_t)size) != 0)
		bench_fail("message %lld came back changed", (long long)number);
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void run_client(int fd, pid_t server, const struct ping *ping)
{
	int64_t *times = calloc((size_t)ping->rounds, sizeof(*times));
	int64_t warm = ping->rounds_with_warm - ping->rounds, cpu;

	if (times == NULL)
		bench_fail("out of memory");
	for (int64_t i = 0; i < warm; i++)
		one_round(fd, i, ping->size);
	cpu = bench_cpu_ns(server);
	for (int64_t i = 0; i < ping->rounds; i++) {
		int64_t start = bench_wall_ns();

		one_round(fd, warm + i, ping->size);
		times[i] = bench_wall_ns() - start;
	}
	cpu = bench_cpu_ns(server) - cpu;
	bench_report("p99_us", bench_quiet_p99_us(times, ping->rounds));
	qsort(times, (size_t)ping->rounds, sizeof(*times), compare);
	bench_report("cpu_us", (double)cpu / 1e3 / (double)ping->rounds);
	bench_report("p50_us", (double)times[ping->rounds / 2] / 1e3);
	bench_report("p99_all_us", (double)times[ping->rounds * 99 / 100] / 1e3);
	free(times);
}

static int measure(const struct ping *ping, ping_server_fn server)
{
	struct sockaddr_in address;
	int listener = listen_on_loopback(&address), fd, status;
	pid_t child = fork();

	if (child < 0)
		bench_fail("fork: %s", strerror(errno));
	if (child == 0)
		_exit(serve(listener, ping, server));
	bench_pin(ping->client_cpu);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		bench_fail("connect: %s", strerror(errno));
	close(listener);
	send_at_once(fd);
	run_client(fd, child, ping);
	close(fd);
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		bench_fail("the server was killed");
	return WEXITSTATUS(status);
}

int ping_main(int argc, char **argv, ping_server_fn server)
{
	static const struct option options[] = {{"rounds", required_argument, NULL, 'r'},
	    {"size", required_argument, NULL, 's'}, {"server-cpu", required_argument, NULL, 'c'},
	    {"client-cpu", required_argument, NULL, 'd'}, {"method", required_argument, NULL, 'm'},
	    {NULL, 0, NULL, 0}};
	struct ping ping = {20000, 64, -1, -1, "epoll", 0};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'r')
			ping.rounds = bench_number("rounds", optarg, 10);
		else if (option == 's')
			ping.size = (int)bench_number("size", optarg, 1);
		else if (option == 'c')
			ping.server_cpu = (int)bench_number("server-cpu", optarg, 0);
		else if (option == 'd')
			ping.client_cpu = (int)bench_number("client-cpu", optarg, 0);
		else if (option == 'm')
			ping.method = optarg;
		else
			bench_fail("usage: %s [--rounds N] [--size BYTES] [--server-cpu N] "
				   "[--client-cpu N] [--method NAME]",
			    argv[0]);
	}
	if (ping.size > PING_SIZE_MAX)
		bench_fail("a message may have %d bytes", PING_SIZE_MAX);
	ping.rounds_with_warm = ping.rounds + ping.rounds / 10;
	return measure(&ping, server);
}
