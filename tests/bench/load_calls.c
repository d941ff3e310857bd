/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Counting a server's system calls.
 *
 * The kernel's own tracepoint counts without slowing anybody down, so that as much comes together
 * in a turn as ever. Who may not use it (it takes root, as a rule) has strace, under which a server
 * takes some fifty times as long.
 */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	N_WAITS = 60000, /* milliseconds that strace gets to begin */
	SKIPPED = 77,    /* exit status */
};

static void wait_a_millisecond(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* Of the tracepoint at the begin of every system call; -1: not to be had. */
static long tracepoint(void)
{
	static const char *const roots[] = {"/sys/kernel/tracing", "/sys/kernel/debug/tracing"};
	char path[128];
	long id = -1;

	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]) && id < 0; i++) {
		FILE *file;

		snprintf(path, sizeof(path), "%s/events/raw_syscalls/sys_enter/id", roots[i]);
		file = fopen(path, "re");
		if (file == NULL)
			continue;
		if (fscanf(file, "%ld", &id) != 1)
			id = -1;
		fclose(file);
	}
	return id;
}

/* A descriptor to read the number from; -1: not allowed. Of a server with a single thread. */
static int open_counter(pid_t server)
{
	long id = tracepoint();
	struct perf_event_attr attr = {
	    .type = PERF_TYPE_TRACEPOINT,
	    .size = sizeof(attr),
	    .config = (__u64)id,
	    .inherit = 1,
	};

	if (id < 0)
		return -1;
	return (int)syscall(SYS_perf_event_open, &attr, server, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static bool is_traced(pid_t pid)
{
	char path[64], line[128];
	int tracer = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	if (file == NULL)
		bench_fail("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), file) != NULL) {
		if (sscanf(line, "TracerPid: %d", &tracer) == 1)
			break;
	}
	fclose(file);
	return tracer != 0;
}

static void exec_strace(pid_t server, int file)
{
	char output[64], pid[16];

	snprintf(output, sizeof(output), "/proc/self/fd/%d", file);
	snprintf(pid, sizeof(pid), "%d", (int)server);
	execlp("strace", "strace", "-q", "-f", "-c", "-U", "calls,name", "-o", output, "-p", pid,
	    (char *)NULL);
	_exit(SKIPPED);
}

static void start_strace(struct load_tracer *tracer, pid_t server)
{
	int status;

	tracer->file = memfd_create("strace", 0);
	if (tracer->file < 0)
		bench_fail("memfd_create: %s", strerror(errno));
	tracer->pid = fork();
	if (tracer->pid < 0)
		bench_fail("fork: %s", strerror(errno));
	if (tracer->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		exec_strace(server, tracer->file);
	}
	for (int i = 0; i < N_WAITS && !is_traced(server); i++) {
		if (waitpid(tracer->pid, &status, WNOHANG) == tracer->pid) {
			fprintf(stderr, "strace is not installed, or may not trace\n");
			exit(SKIPPED);
		}
		wait_a_millisecond();
	}
}

static int64_t stop_strace(struct load_tracer *tracer)
{
	char line[128], name[64];
	long calls, total = -1;
	FILE *file;

	kill(tracer->pid, SIGINT);
	waitpid(tracer->pid, NULL, 0);
	lseek(tracer->file, 0, SEEK_SET);
	file = fdopen(tracer->file, "r");
	if (file == NULL)
		bench_fail("fdopen: %s", strerror(errno));
	while (fgets(line, sizeof(line), file) != NULL) {
		if (sscanf(line, "%ld %63s", &calls, name) == 2 && strcmp(name, "total") == 0)
			total = calls;
	}
	fclose(file);
	if (total < 0)
		bench_fail("strace counted nothing");
	return total;
}

void load_trace(struct load_tracer *tracer, const struct load *load)
{
	tracer->counter = -1;
	if (!load->live) {
		start_strace(tracer, load->server);
		return;
	}
	tracer->counter = open_counter(load->server);
	if (tracer->counter < 0) {
		fprintf(
		    stderr, "the kernel's tracepoints are not to be had: %s\n", strerror(errno));
		exit(SKIPPED);
	}
}

int64_t load_trace_stop(struct load_tracer *tracer)
{
	uint64_t total;

	if (tracer->counter < 0)
		return stop_strace(tracer);
	if (read(tracer->counter, &total, sizeof(total)) != sizeof(total))
		bench_fail("the counter of system calls: %s", strerror(errno));
	close(tracer->counter);
	return (int64_t)total;
}
