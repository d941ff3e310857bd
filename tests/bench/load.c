/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The frame of load.h: options, the listening socket, the server's process, connections.
 *
 * The parent closes the listening socket once the child has it, so a server that dies resets every
 * connection and the client fails at once instead of waiting. A client that fails leaves no server
 * behind: the child is killed with its parent.
 */
#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	BACKLOG = 4096,
	AHEAD = 512,        /* connections that the server need not have accepted yet */
	N_SOURCES = 4,      /* client addresses: one has too few ports for 15,000 connections */
	N_WAITS = 60000,    /* milliseconds that load_wait has patience */
	SKIPPED = 77,       /* exit status */
	FILES_BESIDES = 200 /* that a process may have open beside its connections */
};

static void wait_a_millisecond(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void on(int fd, int level, int option, const char *name)
{
	int one = 1;

	if (setsockopt(fd, level, option, &one, sizeof(one)) != 0)
		bench_fail("%s: %s", name, strerror(errno));
}

/* ---- sockets */

static void choose_address(struct load *load)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&load->address;
	struct sockaddr_un *un = (struct sockaddr_un *)&load->address;

	memset(&load->address, 0, sizeof(load->address));
	if (!load->local) {
		in->sin_family = AF_INET;
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		load->address_length = sizeof(*in);
		return;
	}
	/* Without a path: bound so, the kernel chooses a name that leaves no file behind. */
	un->sun_family = AF_UNIX;
	load->address_length = offsetof(struct sockaddr_un, sun_path);
}

static int listen_somewhere(struct load *load)
{
	int fd;

	choose_address(load);
	fd = socket(load->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		bench_fail("socket: %s", strerror(errno));
	if (!load->local && !load->nagle)
		on(fd, IPPROTO_TCP, TCP_NODELAY, "TCP_NODELAY");
	if (bind(fd, (struct sockaddr *)&load->address, load->address_length) != 0 ||
	    listen(fd, BACKLOG) != 0)
		bench_fail("cannot listen: %s", strerror(errno));
	load->address_length = sizeof(load->address);
	if (getsockname(fd, (struct sockaddr *)&load->address, &load->address_length) != 0)
		bench_fail("getsockname: %s", strerror(errno));
	return fd;
}

static void bind_source(int fd, int number)
{
	struct sockaddr_in source = {.sin_family = AF_INET};

	source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + (uint32_t)(number % N_SOURCES));
	on(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, "IP_BIND_ADDRESS_NO_PORT");
	if (bind(fd, (struct sockaddr *)&source, sizeof(source)) != 0)
		bench_fail("bind: %s", strerror(errno));
}

int load_connect(const struct load *load, int number)
{
	int fd = socket(load->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		bench_fail("socket: %s", strerror(errno));
	if (!load->local) {
		bind_source(fd, number);
		if (!load->nagle)
			on(fd, IPPROTO_TCP, TCP_NODELAY, "TCP_NODELAY");
	}
	if (connect(fd, (const struct sockaddr *)&load->address, load->address_length) != 0)
		bench_fail("connect: %s", strerror(errno));
	return fd;
}

int *load_connect_all(const struct load *load, int count, int64_t accepted_before)
{
	int *fds = load_allocate((size_t)count * sizeof(*fds));

	for (int i = 0; i < count; i++) {
		fds[i] = load_connect(load, i);
		if (i % 64 == 63)
			load_wait(load, &load->counts->accepted, accepted_before + i - AHEAD);
	}
	load_wait(load, &load->counts->accepted, accepted_before + count);
	return fds;
}

void load_reset(int fd)
{
	struct linger linger = {.l_onoff = 1};

	if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) != 0)
		bench_fail("SO_LINGER: %s", strerror(errno));
	close(fd);
}

void load_reset_all(int *fds, int count)
{
	for (int i = 0; i < count; i++)
		load_reset(fds[i]);
	free(fds);
}

/* ---- the server's process */

void load_start(struct load *load, load_server_fn server)
{
	int listener = listen_somewhere(load);

	atomic_store(&load->counts->accepted, 0);
	atomic_store(&load->counts->closed, 0);
	fflush(stdout);
	load->server = fork();
	if (load->server < 0)
		bench_fail("fork: %s", strerror(errno));
	if (load->server == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
		signal(SIGPIPE, SIG_IGN); /* clients end while they are being answered */
		bench_pin(load->server_cpu);
		server(listener, load);
		bench_fail("the server came to an end");
	}
	close(listener);
}

void load_end(struct load *load)
{
	int status;

	kill(load->server, SIGTERM);
	if (waitpid(load->server, &status, 0) != load->server)
		bench_fail("waitpid: %s", strerror(errno));
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGTERM)
		bench_fail("the server ended on its own, with status %x", (unsigned)status);
}

void load_fail(const struct load *load, const char *what)
{
	int status;

	wait_a_millisecond();
	if (waitpid(load->server, &status, WNOHANG) == load->server) {
		if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
			exit(SKIPPED);
		bench_fail("%s: the server died, with status %x", what, (unsigned)status);
	}
	bench_fail("%s", what);
}

void load_wait(const struct load *load, const _Atomic int64_t *count, int64_t wanted)
{
	for (int i = 0; i < N_WAITS; i++) {
		if (atomic_load_explicit(count, memory_order_acquire) >= wanted)
			return;
		wait_a_millisecond();
	}
	load_fail(load, "the server does not keep up");
}

/* ---- options */

static enum load_kind kind_of(const char *name)
{
	if (strcmp(name, "echo") == 0)
		return LOAD_ECHO;
	if (strcmp(name, "churn") == 0)
		return LOAD_CHURN;
	if (strcmp(name, "reset") == 0)
		return LOAD_RESET;
	if (strcmp(name, "idle") == 0)
		return LOAD_IDLE;
	if (strcmp(name, "fanout") == 0)
		return LOAD_FANOUT;
	if (strcmp(name, "open") == 0)
		return LOAD_OPEN;
	bench_fail("--kind: there is no \"%s\"", name);
}

static bool take_number(struct load *load, int option, const char *text)
{
	switch (option) {
	case 'n':
		load->connections = (int)bench_number("connections", text, 1);
		return true;
	case 's':
		load->size = (int)bench_number("size", text, 1);
		return true;
	case 'd':
		load->depth = (int)bench_number("depth", text, 1);
		return true;
	case 'r':
		load->requests = bench_number("requests", text, 10);
		return true;
	case 'R':
		load->rate = bench_number("rate", text, 1);
		return true;
	case 'S':
		load->server_cpu = (int)bench_number("server-cpu", text, 0);
		return true;
	case 'C':
		load->client_cpu = (int)bench_number("client-cpu", text, 0);
		return true;
	}
	return false;
}

static void take_options(struct load *load, int argc, char **argv)
{
	static const struct option options[] = {{"kind", required_argument, NULL, 'k'},
	    {"connections", required_argument, NULL, 'n'}, {"size", required_argument, NULL, 's'},
	    {"depth", required_argument, NULL, 'd'}, {"requests", required_argument, NULL, 'r'},
	    {"rate", required_argument, NULL, 'R'}, {"unix", no_argument, NULL, 'u'},
	    {"nagle", no_argument, NULL, 'g'}, {"calls", no_argument, NULL, 'c'},
	    {"live", no_argument, NULL, 'l'}, {"server-cpu", required_argument, NULL, 'S'},
	    {"client-cpu", required_argument, NULL, 'C'}, {"method", required_argument, NULL, 'm'},
	    {NULL, 0, NULL, 0}};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'k')
			load->kind = kind_of(optarg);
		else if (option == 'u')
			load->local = true;
		else if (option == 'g')
			load->nagle = true;
		else if (option == 'c')
			load->calls = true;
		else if (option == 'l')
			load->live = true;
		else if (option == 'm')
			load->method = optarg;
		else if (!take_number(load, option, optarg))
			bench_fail("the options are in tests/bench/load.h");
	}
	if (optind != argc)
		bench_fail("\"%s\" is no option", argv[optind]);
}

static void run_client(struct load *load)
{
	switch (load->kind) {
	case LOAD_ECHO:
		load_run_echo(load);
		break;
	case LOAD_CHURN:
	case LOAD_RESET:
		load_run_churn(load);
		break;
	case LOAD_FANOUT:
		load_run_fanout(load);
		break;
	case LOAD_OPEN:
		load_run_open(load);
		break;
	case LOAD_IDLE: /* starts its servers itself */
		break;
	}
}

int load_main(int argc, char **argv, load_server_fn server, const char *request)
{
	struct load load = {.kind = LOAD_ECHO,
	    .connections = 64,
	    .size = 64,
	    .depth = 1,
	    .requests = 100000,
	    .server_cpu = -1,
	    .client_cpu = -1,
	    .method = "epoll",
	    .request = request};

	take_options(&load, argc, argv);
	if (load.kind != LOAD_ECHO && load.kind != LOAD_OPEN && request != NULL)
		bench_fail("this server does not count its connections: --kind echo or open");
	if ((load.kind == LOAD_OPEN) != (load.rate > 0))
		bench_fail("--rate goes with --kind open");
	bench_want_files(load.connections + FILES_BESIDES);
	load.counts = mmap(
	    NULL, sizeof(*load.counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (load.counts == MAP_FAILED)
		bench_fail("mmap: %s", strerror(errno));
	if (load.kind == LOAD_IDLE) {
		load_run_idle(&load, server);
		return 0;
	}
	load_start(&load, server);
	bench_pin(load.client_cpu);
	run_client(&load);
	load_end(&load);
	return 0;
}
