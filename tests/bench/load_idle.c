/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The clients of the rows that have many connections: opening and closing them, and what they
 * occupy while they do nothing.
 *
 * churn: the server's CPU time from before the first connection until it has closed the last one,
 * a connection. The client opens them one after the other, as fast as it can but never more than
 * a few hundred ahead of the server, whose backlog would overflow otherwise; then it closes them
 * all. On the loopback device the server's last segment makes the client's TIME_WAIT in the
 * server's own time: on all servers alike, but not their doing.
 *
 * reset: as churn, but the client resets the connections, and there is no TIME_WAIT.
 *
 * idle: bytes a connection, in three figures.
 *   user_B    growth of the server's private pages (/proc/PID/smaps_rollup)
 *   kernel_B  growth of the kernel's objects that the server's side is answerable for: its socket,
 *             and what waits on it (/proc/slabinfo: for root only, left out otherwise)
 *   total_B   both
 * The kernel's objects are the same for both ends of a connection except for what waits. So the
 * program first makes as many connections to a server that does nothing but accept; half of that
 * growth is one end. kernel_B is what the measured run grew by, less the client's end. (The
 * client's ports are objects too; half of them, some 60 bytes a connection, fall on the server that
 * way, on every server alike.) Only caches that grow by at least one object for two connections
 * count: all else is other programs' doing.
 *
 * The figures are taken when the connections have been idle for three seconds: some servers keep
 * less of one that is silent.
 *
 * Connections that were idle are reset when they are closed: 15,000 of them in TIME_WAIT would be
 * objects that vanish in the middle of the next run.
 */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	WARM = 16,          /* connections that come and go before anything is measured */
	N_CACHES = 1024,    /* of the kernel's allocator, at most */
	SETTLE_US = 200000, /* for the kernel to finish freeing */
	IDLE_US = 3000000   /* after which a connection counts as idle: a server may put it aside */
};

static void close_all(int *fds, int count, bool reset)
{
	if (reset) {
		load_reset_all(fds, count);
		return;
	}
	for (int i = 0; i < count; i++)
		close(fds[i]);
	free(fds);
}

void load_run_churn(struct load *load)
{
	int *fds = load_connect_all(load, WARM, 0);
	bool reset = load->kind == LOAD_RESET;
	int64_t cpu, wall;

	close_all(fds, WARM, reset);
	load_wait(load, &load->counts->closed, WARM);
	cpu = bench_cpu_ns(load->server);
	wall = bench_wall_ns();
	fds = load_connect_all(load, load->connections, WARM);
	bench_report("open_us",
	    (double)(bench_cpu_ns(load->server) - cpu) / 1e3 / (double)load->connections);
	close_all(fds, load->connections, reset);
	load_wait(load, &load->counts->closed, WARM + load->connections);
	cpu = bench_cpu_ns(load->server) - cpu;
	wall = bench_wall_ns() - wall;
	bench_report("cpu_us", (double)cpu / 1e3 / (double)load->connections);
	bench_report("wall_us", (double)wall / 1e3 / (double)load->connections);
}

/* ---- memory */

static double private_bytes(pid_t pid)
{
	char path[64], line[256];
	double kilobytes = 0;
	long value;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	file = fopen(path, "re");
	if (file == NULL)
		bench_fail("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), file) != NULL) {
		if (sscanf(line, "Private_Clean: %ld", &value) == 1 ||
		    sscanf(line, "Private_Dirty: %ld", &value) == 1)
			kilobytes += (double)value;
	}
	fclose(file);
	return kilobytes * 1024;
}

struct slabs {
	int count; /* 0: the kernel does not tell */
	struct {
		char name[64];
		long objects, size;
	} caches[N_CACHES];
};

static void read_slabs(struct slabs *slabs)
{
	FILE *file = fopen("/proc/slabinfo", "re");
	char line[512];

	slabs->count = 0;
	while (file != NULL && slabs->count < N_CACHES && fgets(line, sizeof(line), file) != NULL) {
		if (sscanf(line, "%63s %ld %*d %ld", slabs->caches[slabs->count].name,
			&slabs->caches[slabs->count].objects,
			&slabs->caches[slabs->count].size) == 3)
			slabs->count++;
	}
	if (file != NULL)
		fclose(file);
}

static long objects_of(const struct slabs *slabs, const char *name)
{
	for (int i = 0; i < slabs->count; i++) {
		if (strcmp(slabs->caches[i].name, name) == 0)
			return slabs->caches[i].objects;
	}
	return 0;
}

static long grown_by(const struct slabs *before, const struct slabs *after, const char *name)
{
	return objects_of(after, name) - objects_of(before, name);
}

/* Bytes in the caches that have grown with the connections. Whoever lists our descriptors in /proc
 * meanwhile leaves inodes of /proc behind, each with a directory entry and a security label. */
static double growth(const struct slabs *before, const struct slabs *after, int connections)
{
	long looks = grown_by(before, after, "proc_inode_cache");
	double bytes = 0;

	for (int i = 0; i < after->count; i++) {
		const char *name = after->caches[i].name;
		long grown = grown_by(before, after, name);

		if (strcmp(name, "proc_inode_cache") == 0)
			continue;
		if (strcmp(name, "dentry") == 0 || strcmp(name, "lsm_inode_cache") == 0)
			grown -= looks;
		if (grown >= connections / 2)
			bytes += (double)grown * (double)after->caches[i].size;
	}
	return bytes;
}

/* One message over each connection: what a first use leaves behind is part of what it costs. */
static void use_once(const struct load *load, const int *fds, int count)
{
	char out[64] = "echo", in[64];

	for (int i = 0; i < count; i++) {
		if (send(fds[i], out, sizeof(out), MSG_NOSIGNAL) != sizeof(out) ||
		    recv(fds[i], in, sizeof(in), MSG_WAITALL) != sizeof(in))
			load_fail(load, "a message did not come back");
		if (memcmp(in, out, sizeof(out)) != 0)
			bench_fail("a message came back changed");
	}
}

/* The first few connections stay open: closed, they would leave memory for the measured ones. */
static void measure(struct load *load, bool use, double *user, double *kernel)
{
	static struct slabs before, after;
	int *warm = load_connect_all(load, WARM, 0), *fds;
	double start;

	if (use)
		use_once(load, warm, WARM);
	usleep(SETTLE_US);
	start = private_bytes(load->server);
	read_slabs(&before);
	fds = load_connect_all(load, load->connections, WARM);
	if (use)
		use_once(load, fds, load->connections);
	usleep(use ? IDLE_US : SETTLE_US);
	*user = (private_bytes(load->server) - start) / load->connections;
	read_slabs(&after);
	*kernel = growth(&before, &after, load->connections) / load->connections;
	if (after.count == 0)
		*kernel = -1;
	load_reset_all(fds, load->connections);
	load_reset_all(warm, WARM);
}

/* The server that does nothing but accept. */
static void serve_plainly(int listener, struct load *load)
{
	for (;;) {
		if (accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC) >= 0)
			load_count(&load->counts->accepted);
		else if (errno == EAGAIN)
			usleep(100);
		else
			bench_fail("accept: %s", strerror(errno));
	}
}

void load_run_idle(struct load *load, load_server_fn server)
{
	double user, kernel, both_ends;

	load_start(load, serve_plainly);
	bench_pin(load->client_cpu);
	measure(load, false, &user, &both_ends);
	load_end(load);
	load_start(load, server);
	measure(load, true, &user, &kernel);
	load_end(load);
	bench_report("user_B", user);
	if (kernel < 0)
		return;
	bench_report("socket_B", both_ends / 2);
	bench_report("kernel_B", kernel - both_ends / 2);
	bench_report("total_B", user + kernel - both_ends / 2);
}
