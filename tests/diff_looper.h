/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A loop in a thread of its own, for diff_*.c.
 *
 * Nothing here depends on who is faster. Threads hand over by semaphores, and where one has to
 * sleep in the kernel first (the loop in its wait, a thread in event_del) the other looks it up in
 * /proc until it does.
 */
#ifndef DIFF_LOOPER_H
#define DIFF_LOOPER_H

#include "diff_common.h"

#include <pthread.h>
#include <semaphore.h>
#include <sys/syscall.h>

#include <event2/thread.h>

static struct event_base *base;

/* The loop's thread, and what it returned. */
static pthread_t loop_thread;
static _Atomic int loop_tid;
static int loop_result;

static sem_t in_callback, go_on;

static inline void start(void)
{
	MUST(evthread_use_pthreads() == 0);
	MUST(sem_init(&in_callback, 0, 0) == 0 && sem_init(&go_on, 0, 0) == 0);
	base = new_base();
}

static inline void wait_for(sem_t *sem)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += DIFF_BOUND_S / 2;
	while (sem_timedwait(sem, &until) != 0)
		MUST(errno == EINTR);
}

static inline int thread_id(void)
{
	return (int)syscall(SYS_gettid);
}

/* The state letter that the kernel gives for a thread. */
static inline char state_of(int tid)
{
	char path[64], line[512];
	FILE *stat;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	stat = fopen(path, "r");
	MUST(stat != NULL && fgets(line, sizeof(line), stat) != NULL);
	fclose(stat);
	return strrchr(line, ')')[2];
}

/* Returns when the thread has been asleep at several looks in a row. */
static inline void until_asleep(_Atomic int *tid)
{
	int asleep = 0;

	for (int waited_ms = 0; asleep < 10; waited_ms++) {
		MUST(waited_ms < DIFF_BOUND_S * 500);
		sleep_ms(1);
		asleep = *tid && state_of(*tid) == 'S' ? asleep + 1 : 0;
	}
}

static inline void *run_loop(void *flags)
{
	loop_tid = thread_id();
	loop_result = event_base_loop(base, (int)(intptr_t)flags);
	return NULL;
}

static inline void loop_in_a_thread(int flags)
{
	loop_tid = 0;
	MUST(pthread_create(&loop_thread, NULL, run_loop, (void *)(intptr_t)flags) == 0);
}

static inline void loop_asleep_in_a_thread(int flags)
{
	loop_in_a_thread(flags);
	until_asleep(&loop_tid);
}

static inline void join_loop(void)
{
	MUST(pthread_join(loop_thread, NULL) == 0);
	say("loop: %d, break %s, exit %s", loop_result, yes(event_base_got_break(base)),
	    yes(event_base_got_exit(base)));
}

/* Keeps the loop alive, without ever firing in a test. */
static struct event *keep_alive(void)
{
	struct timeval later = msec(600000);
	struct event *ev = event_new(base, -1, EV_PERSIST, note_cb, "keeps alive");

	event_add(ev, &later);
	return ev;
}

/* Callback: tells that it runs, and waits to be let go. */
static inline void hold_cb(evutil_socket_t fd, short what, void *name)
{
	note_cb(fd, what, name);
	sem_post(&in_callback);
	wait_for(&go_on);
	say("%s ends", (const char *)name);
}

#endif
