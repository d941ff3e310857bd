/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The frame of the server benchmarks (rows 1 to 6, 11, 12, 14 to 16 and the sweeps) and their
 * clients.
 *
 * A program has one server and calls load_main with it. load_main makes the listening socket and
 * forks before anything else is made: the child runs the server until it is killed, the parent is
 * the client, knows nothing of the library that is measured, and reads the child's CPU clock, so
 * that a server measures nothing itself. There are six kinds of load:
 *
 *   echo   connections that each have `depth` requests in flight: a batch goes out in one send, the
 *          next follows when all of it is answered (load_client.c)
 *   churn  all connections are opened, then all are closed (load_idle.c)
 *   reset  the same, but the client resets them
 *   idle   all connections are opened and echo one message each; then memory is read (load_idle.c)
 *   fanout what one connection sends the server sends to all of them (load_fanout.c)
 *   open   requests are sent at a fixed rate, whether or not answers come (load_open.c)
 *
 * Options of every such program, with their defaults:
 *
 *   --kind echo         --connections 64  --size 64 (bytes a message, or of a reply's body)
 *   --depth 1           --requests 100000 (measured; a tenth as many go before)
 *   --rate N  requests a second (only --kind open, which needs it)
 *   --unix  AF_UNIX instead of TCP        --nagle  leave TCP_NODELAY off on both ends
 *   --calls count the server's system calls, with strace
 *   --live with --calls: by the kernel's tracepoint, at full speed; takes root
 *   --server-cpu N  --client-cpu N        --method NAME (raw servers only)
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "bench.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>

enum load_kind { LOAD_ECHO, LOAD_CHURN, LOAD_RESET, LOAD_IDLE, LOAD_FANOUT, LOAD_OPEN };

/* Lies in memory that server and client share. Only the server writes. */
struct load_counts {
	_Atomic int64_t accepted;
	_Atomic int64_t closed;
};

struct load {
	enum load_kind kind;
	int connections;
	int size; /* bytes a message */
	int depth;
	int64_t requests; /* measured */
	int64_t rate;     /* requests a second */
	bool local;       /* AF_UNIX */
	bool nagle;
	bool calls; /* count system calls */
	bool live;  /* not with strace */
	int server_cpu;
	int client_cpu;
	const char *method;  /* for raw servers */
	const char *request; /* what the client sends; NULL: messages, that come back as they are */
	struct load_counts *counts;      /* of the server that runs now */
	pid_t server;                    /* that runs now */
	struct sockaddr_storage address; /* of its listener */
	socklen_t address_length;
};

/* Serve `listener`, which is listening and non-blocking; what it accepts inherits TCP_NODELAY. Does
 * not return. Standard output is to be flushed once the method and the library are printed. */
typedef void (*load_server_fn)(int listener, struct load *load);

/* Parse the command line, start the server, run the client, check, report. `request` as above. */
int load_main(int argc, char **argv, load_server_fn server, const char *request);

/* For servers: say that a connection was taken, that it is gone. */
static inline void load_count(_Atomic int64_t *count)
{
	atomic_store_explicit(
	    count, atomic_load_explicit(count, memory_order_relaxed) + 1, memory_order_release);
}

/* ---- between load.c and the clients */

/* Start a server in a child of its own, and end it. */
void load_start(struct load *load, load_server_fn server);
void load_end(struct load *load);

/* A new blocking connection to the server; `number` tells connections apart. */
int load_connect(const struct load *load, int number);

/* `count` of them, the server being given time to accept; fds to be freed. */
int *load_connect_all(const struct load *load, int count, int64_t accepted_before);

/* Close them by a reset, so that no TIME_WAIT is left behind for what is measured next; one, or all
 * and the array. */
void load_reset(int fd);
void load_reset_all(int *fds, int count);

/* Wait until the server has accepted (closed) as many connections as said; fails after a minute. */
void load_wait(const struct load *load, const _Atomic int64_t *count, int64_t wanted);

/* Fail for a server that is gone or silent; never returns. */
void load_fail(const struct load *load, const char *what) __attribute__((noreturn));

/* Count the server's system calls from now; stop and return how many there were. */
struct load_tracer {
	int counter; /* of the kernel; -1: strace counts */
	pid_t pid;   /* of strace */
	int file;    /* what it writes */
};
void load_trace(struct load_tracer *tracer, const struct load *load);
int64_t load_trace_stop(struct load_tracer *tracer);

/* What an answer to load->request looks like. */
struct load_reply {
	unsigned char *bytes; /* NULL: the server echoes, there is no such thing */
	size_t size;
	size_t date, date_end; /* the bytes of it that may change */
};

/* Learn it by one request; to be freed by free(reply->bytes). */
void load_learn_reply(const struct load *load, struct load_reply *reply);

/* True iff `count` bytes are what such answers, one after another, have from `position` on. */
bool load_reply_equal(
    const struct load_reply *reply, const unsigned char *bytes, size_t position, size_t count);

/* calloc that does not fail. */
void *load_allocate(size_t size);

/* Sort times; the one below which `percent` of them are, in microseconds. */
void load_sort(int64_t *times, int64_t count);
double load_percentile_us(const int64_t *sorted, int64_t count, int percent);

/* The clients. */
void load_run_echo(struct load *load);
void load_run_fanout(struct load *load);
void load_run_open(struct load *load);
void load_run_churn(struct load *load);
void load_run_idle(struct load *load, load_server_fn server);

#endif
