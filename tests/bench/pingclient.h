/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client of row 13, and the frame that both servers of that row run in.
 *
 * The program forks before it makes anything else. The child is the server: it takes one connection
 * of TCP on the loopback interface and sends back what it gets until the connection ends. The
 * parent is the client: it writes a message, waits in recv for all of it, and times that. It reads
 * the child's CPU clock at both ends of the measured stretch, so that the server measures nothing
 * itself.
 */
#ifndef BENCH_PINGCLIENT_H
#define BENCH_PINGCLIENT_H

#include "bench.h"

enum { PING_SIZE_MAX = 4096 }; /* the longest message, and the size of the servers' buffers */

struct ping {
	int64_t rounds;           /* measured; a tenth as many go before */
	int size;                 /* bytes a message */
	int server_cpu;           /* -1: anywhere */
	int client_cpu;           /* -1: anywhere */
	const char *method;       /* for raw servers */
	int64_t rounds_with_warm; /* what the server must have served in the end */
};

/* Serve one connection, that is open, non-blocking and has TCP_NODELAY, until its end; return how
 * many bytes were echoed. */
typedef int64_t (*ping_server_fn)(int fd, const struct ping *ping);

/* Parse the command line, run the server in a child and the client here, check and report. */
int ping_main(int argc, char **argv, ping_server_fn server);

#endif
