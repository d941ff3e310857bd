/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One base and several threads, with evthread_use_pthreads: what another thread may do while the
 * loop sleeps or a callback runs, and what it waits for.
 *
 * Nothing here depends on who is faster. Threads hand over by semaphores, and where one has to
 * sleep in the kernel first (the loop in its wait, a thread in event_del) the other looks it up in
 * /proc until it does.
 */
#include "diff_common.h"

#include <poll.h>
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

static void start(void)
{
	MUST(evthread_use_pthreads() == 0);
	MUST(sem_init(&in_callback, 0, 0) == 0 && sem_init(&go_on, 0, 0) == 0);
	base = new_base();
}

static void wait_for(sem_t *sem)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += DIFF_BOUND_S / 2;
	while (sem_timedwait(sem, &until) != 0)
		MUST(errno == EINTR);
}

static int thread_id(void)
{
	return (int)syscall(SYS_gettid);
}

/* The state letter that the kernel gives for a thread. */
static char state_of(int tid)
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
static void until_asleep(_Atomic int *tid)
{
	int asleep = 0;

	for (int waited_ms = 0; asleep < 10; waited_ms++) {
		MUST(waited_ms < DIFF_BOUND_S * 500);
		sleep_ms(1);
		asleep = *tid && state_of(*tid) == 'S' ? asleep + 1 : 0;
	}
}

static void *run_loop(void *flags)
{
	loop_tid = thread_id();
	loop_result = event_base_loop(base, (int)(intptr_t)flags);
	return NULL;
}

static void loop_in_a_thread(int flags)
{
	loop_tid = 0;
	MUST(pthread_create(&loop_thread, NULL, run_loop, (void *)(intptr_t)flags) == 0);
}

static void loop_asleep_in_a_thread(int flags)
{
	loop_in_a_thread(flags);
	until_asleep(&loop_tid);
}

static void join_loop(void)
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
static void hold_cb(evutil_socket_t fd, short what, void *name)
{
	note_cb(fd, what, name);
	sem_post(&in_callback);
	wait_for(&go_on);
	say("%s ends", (const char *)name);
}

static void exit_cb(evutil_socket_t fd, short what, void *name)
{
	note_cb(fd, what, name);
	event_base_loopexit(base, NULL);
}

/* ---- rousing a sleeping loop ---- */

static void add_of_a_ready_fd(void)
{
	int fd[2];

	start();
	new_pair(fd);
	keep_alive();
	struct event *ev = event_new(base, fd[0], EV_READ, exit_cb, "read");
	put(fd[1], "x");
	loop_asleep_in_a_thread(0);
	int result = event_add(ev, NULL);
	join_loop();
	say("add: %d", result);
}

static void add_then_data(void)
{
	int fd[2];

	start();
	new_pair(fd);
	keep_alive();
	struct event *ev = event_new(base, fd[0], EV_READ | EV_PERSIST, exit_cb, "read");
	loop_asleep_in_a_thread(0);
	say("add: %d", event_add(ev, NULL));
	until_asleep(&loop_tid);
	put(fd[1], "x");
	join_loop();
}

static void add_of_an_earlier_timer(void)
{
	struct timeval soon = msec(5);

	start();
	keep_alive();
	struct event *ev = event_new(base, -1, 0, exit_cb, "earlier timer");
	loop_asleep_in_a_thread(0);
	int result = event_add(ev, &soon);
	join_loop();
	say("add: %d", result);
}

static void active_from_another_thread(void)
{
	start();
	keep_alive();
	struct event *ev = event_new(base, -1, 0, exit_cb, "activated");
	loop_asleep_in_a_thread(0);
	event_active(ev, EV_READ, 1);
	join_loop();
}

static void once_from_another_thread(void)
{
	start();
	keep_alive();
	loop_asleep_in_a_thread(0);
	int result = event_base_once(base, -1, EV_TIMEOUT, exit_cb, "once", NULL);
	join_loop();
	say("once: %d", result);
}

static void break_from_another_thread(void)
{
	start();
	keep_alive();
	for (int turn = 0; turn < 2; turn++) {
		loop_asleep_in_a_thread(0);
		int result = event_base_loopbreak(base);
		join_loop();
		say("break: %d", result);
	}
}

static void exit_from_another_thread(void)
{
	start();
	keep_alive();
	loop_asleep_in_a_thread(0);
	int result = event_base_loopexit(base, NULL);
	join_loop();
	say("exit: %d", result);
}

static void last_event_deleted_from_another_thread(void)
{
	int fd[2];

	start();
	new_pair(fd);
	struct event *ev = event_new(base, fd[0], EV_READ | EV_PERSIST, note_cb, "read");
	event_add(ev, NULL);
	loop_asleep_in_a_thread(0);
	int result = event_del(ev);
	join_loop();
	say("del: %d", result);
}

static void last_timer_deleted_from_another_thread(void)
{
	start();
	struct event *ev = keep_alive();
	loop_asleep_in_a_thread(EVLOOP_NO_EXIT_ON_EMPTY);
	say("del: %d", event_del(ev));
	until_asleep(&loop_tid);
	int result = event_base_loopbreak(base);
	join_loop();
	say("break: %d", result);
}

static void a_wake_up_is_not_an_event(void)
{
	struct timeval later = msec(600000);
	int fd[2];

	start();
	new_pair(fd);
	keep_alive();
	loop_asleep_in_a_thread(EVLOOP_ONCE);
	struct event *idle = event_new(base, fd[0], EV_READ, note_cb, "idle");
	event_add(idle, NULL);
	until_asleep(&loop_tid);
	event_add(idle, &later);
	until_asleep(&loop_tid);
	event_del(idle);
	until_asleep(&loop_tid);
	say("ONCE still waits");
	event_active(idle, EV_READ, 1);
	join_loop();
}

static void signal_event_from_another_thread(void)
{
	start();
	keep_alive();
	loop_asleep_in_a_thread(0);
	struct event *ev = evsignal_new(base, SIGUSR1, exit_cb, "signal");
	say("add: %d", event_add(ev, NULL));
	until_asleep(&loop_tid);
	MUST(kill(getpid(), SIGUSR1) == 0);
	join_loop();
}

static void waiting_forever_without_events(void)
{
	start();
	loop_asleep_in_a_thread(EVLOOP_NO_EXIT_ON_EMPTY);
	struct event *ev = event_new(base, -1, 0, exit_cb, "activated");
	event_active(ev, EV_WRITE, 1);
	join_loop();
}

static void change_of_a_watched_fd(void)
{
	int fd[2];

	start();
	new_pair(fd);
	struct event *r = event_new(base, fd[0], EV_READ | EV_PERSIST, note_cb, "read");
	event_add(r, NULL);
	loop_asleep_in_a_thread(0);
	struct event *w = event_new(base, fd[0], EV_WRITE, exit_cb, "write");
	int result = event_add(w, NULL);
	join_loop();
	say("add write: %d", result);
	say("pending %s and %s", pending(r), pending(w));
}

static void deleted_then_silent(void)
{
	int fd[2];

	start();
	new_pair(fd);
	keep_alive();
	struct event *ev = event_new(base, fd[0], EV_READ | EV_PERSIST, note_cb, "deleted");
	event_add(ev, NULL);
	loop_asleep_in_a_thread(0);
	say("del: %d", event_del(ev));
	put(fd[1], "x");
	until_asleep(&loop_tid);
	close(fd[0]);
	say("the peer: %s", yes(take(fd[1], 1) <= 0));
	event_base_loopbreak(base);
	join_loop();
}

/* poll(2) itself holds the file until it is woken, which event_del does not wait for. */
static void closed_by_another_thread_after_del(void)
{
	int fd[2];

	start();
	new_pair(fd);
	keep_alive();
	struct event *ev = event_new(base, fd[0], EV_READ | EV_PERSIST, note_cb, "deleted");
	event_add(ev, NULL);
	loop_asleep_in_a_thread(0);
	say("del: %d", event_del(ev));
	close(fd[0]);
	if (strcmp(event_base_get_method(base), "poll") == 0)
		until_asleep(&loop_tid);
	say("the peer reads the end: %d", take(fd[1], 1));
	event_base_loopbreak(base);
	join_loop();
}

/* ---- a running callback ---- */

struct deleter {
	struct event *ev;
	int (*del)(struct event *);
	_Atomic int tid;
	_Atomic bool done;
};

static void *delete_it(void *arg)
{
	struct deleter *deleter = arg;

	deleter->tid = thread_id();
	say("del starts");
	int result = deleter->del(deleter->ev);
	say("del: %d", result);
	deleter->done = true;
	return NULL;
}

static void delete_while_running(int (*del)(struct event *), short extra, bool waits)
{
	struct deleter deleter = {.del = del};
	struct timeval soon = msec(1);
	pthread_t thread;

	start();
	deleter.ev = event_new(base, -1, (short)(EV_PERSIST | extra), hold_cb, "callback");
	event_add(deleter.ev, &soon);
	loop_in_a_thread(0);
	wait_for(&in_callback);
	MUST(pthread_create(&thread, NULL, delete_it, &deleter) == 0);
	if (waits)
		until_asleep(&deleter.tid);
	else
		pthread_join(thread, NULL);
	say("deleted while the callback runs: %s", yes(deleter.done));
	sem_post(&go_on);
	if (waits)
		pthread_join(thread, NULL);
	join_loop();
}

static void del_waits_for_the_callback(void)
{
	delete_while_running(event_del, 0, true);
}

static void del_block_waits_for_the_callback(void)
{
	delete_while_running(event_del_block, 0, true);
}

static void del_noblock_does_not_wait(void)
{
	delete_while_running(event_del_noblock, 0, false);
}

static void del_of_a_finalize_event_does_not_wait(void)
{
	delete_while_running(event_del, EV_FINALIZE, false);
}

static void del_block_of_a_finalize_event_waits(void)
{
	delete_while_running(event_del_block, EV_FINALIZE, true);
}

static void del_of_another_event_does_not_wait(void)
{
	struct timeval soon = msec(1);

	start();
	struct event *other = keep_alive();
	event_add(event_new(base, -1, 0, hold_cb, "callback"), &soon);
	loop_in_a_thread(0);
	wait_for(&in_callback);
	say("del: %d", event_del(other));
	sem_post(&go_on);
	join_loop();
}

static void del_active_cb(evutil_socket_t fd, short what, void *arg)
{
	hold_cb(fd, what, "first");
	(void)arg;
}

static void del_of_an_event_that_waits_in_the_queue(void)
{
	start();
	keep_alive();
	struct event *first = event_new(base, -1, 0, del_active_cb, NULL);
	struct event *second = event_new(base, -1, 0, note_cb, "second");
	event_active(first, EV_READ, 1);
	event_active(second, EV_READ, 1);
	event_active(event_new(base, -1, 0, exit_cb, "third"), EV_READ, 1);
	loop_in_a_thread(0);
	wait_for(&in_callback);
	say("del: %d", event_del(second));
	sem_post(&go_on);
	join_loop();
}

static void active_while_it_runs(void)
{
	start();
	keep_alive();
	struct event *ev = event_new(base, -1, 0, hold_cb, "callback");
	event_active(ev, EV_READ, 1);
	loop_in_a_thread(0);
	wait_for(&in_callback);
	event_active(ev, EV_WRITE, 1);
	sem_post(&go_on);
	wait_for(&in_callback);
	say("runs again");
	event_base_loopbreak(base);
	sem_post(&go_on);
	join_loop();
}

static void break_while_it_runs(void)
{
	start();
	keep_alive();
	event_active(event_new(base, -1, 0, hold_cb, "callback"), EV_READ, 1);
	struct event *next = event_new(base, -1, 0, note_cb, "next");
	event_active(next, EV_READ, 1);
	loop_in_a_thread(0);
	wait_for(&in_callback);
	event_base_loopbreak(base);
	sem_post(&go_on);
	join_loop();
	say("left for later: %s", pending(next));
}

static void final_cb(struct event *ev, void *name)
{
	(void)ev;
	say("%s", (const char *)name);
	event_base_loopexit(base, NULL);
}

static void finalize_while_it_runs(void)
{
	static struct event ev;

	start();
	keep_alive();
	event_assign(&ev, base, -1, EV_FINALIZE, hold_cb, "callback");
	event_active(&ev, EV_READ, 1);
	loop_in_a_thread(0);
	wait_for(&in_callback);
	say("finalize: %d", event_finalize(0, &ev, final_cb));
	sem_post(&go_on);
	join_loop();
}

static void free_finalize_while_asleep(void)
{
	start();
	keep_alive();
	struct event *ev = event_new(base, -1, 0, note_cb, "finalizer");
	loop_asleep_in_a_thread(0);
	int result = event_free_finalize(0, ev, final_cb);
	join_loop();
	say("finalize: %d", result);
}

/* ---- threads and bases ---- */

static void made_here_looped_there(void)
{
	int fd[2];

	start();
	new_pair(fd);
	event_add(event_new(base, fd[0], EV_READ, exit_cb, "read"), NULL);
	loop_in_a_thread(0);
	put(fd[1], "x");
	join_loop();
}

static void the_loop_moves_between_threads(void)
{
	int fd[2];

	start();
	new_pair(fd);
	event_add(event_new(base, fd[0], EV_READ | EV_PERSIST, drain_cb, "read"), NULL);
	for (int turn = 0; turn < 3; turn++) {
		put(fd[1], "x");
		loop_in_a_thread(EVLOOP_ONCE);
		join_loop();
		put(fd[1], "y");
		say("here: %d", event_base_loop(base, EVLOOP_ONCE));
	}
}

static void looped_in_two_threads_at_once(void)
{
	start();
	keep_alive();
	event_active(event_new(base, -1, 0, hold_cb, "callback"), EV_READ, 1);
	loop_in_a_thread(0);
	wait_for(&in_callback);
	say("loop here too: %d", event_base_loop(base, EVLOOP_NONBLOCK));
	event_base_loopbreak(base);
	sem_post(&go_on);
	join_loop();
}

static void freed_after_the_thread_is_gone(void)
{
	int fd[2];

	start();
	new_pair(fd);
	event_add(event_new(base, fd[0], EV_READ | EV_PERSIST, note_cb, "read"), NULL);
	loop_asleep_in_a_thread(0);
	event_base_loopbreak(base);
	join_loop();
	event_base_free(base);
	close(fd[0]);
	say("the peer reads the end: %d", take(fd[1], 1));
}

/* The peer sees the end, whatever else happens or does not happen meanwhile. */
static void say_the_end_comes(int peer)
{
	struct pollfd end = {.fd = peer, .events = POLLIN};

	MUST(poll(&end, 1, 20000) == 1);
	say("the peer reads the end: %d", take(peer, 1));
}

/* Deletes and closes; the peer has to see it without another turn of the loop. It may take the kernel a moment where the thread that
 * looped is alive and not in the loop (doc/compatibility.md). */
static void say_closed_is_closed(struct event *ev, int fd[2])
{
	int result = event_del(ev);

	close(fd[0]);
	say("del: %d", result);
	say_the_end_comes(fd[1]);
}

static void closed_while_a_callback_runs(void)
{
	int fd[2];

	start();
	new_pair(fd);
	struct event *ev = event_new(base, fd[0], EV_READ | EV_PERSIST, note_cb, "read");
	event_add(ev, NULL);
	one_pass(base);
	event_active(event_new(base, -1, 0, hold_cb, "callback"), EV_READ, 1);
	loop_in_a_thread(0);
	wait_for(&in_callback);
	/* A busy loop lets go when its callback returns, and has not to poll again for that. */
	say("del: %d", event_del(ev));
	close(fd[0]);
	sem_post(&go_on);
	say_the_end_comes(fd[1]);
	join_loop();
}

static void closed_after_the_looping_thread_is_gone(void)
{
	int fd[2];

	start();
	new_pair(fd);
	struct event *ev = event_new(base, fd[0], EV_READ | EV_PERSIST, note_cb, "read");
	event_add(ev, NULL);
	loop_asleep_in_a_thread(0);
	event_base_loopbreak(base);
	join_loop();
	say_closed_is_closed(ev, fd);
}

static void *loop_and_stay(void *arg)
{
	(void)arg;
	one_pass(base);
	sem_post(&in_callback);
	wait_for(&go_on);
	return NULL;
}

static void closed_between_loops_of_another_thread(void)
{
	pthread_t thread;
	int fd[2];

	start();
	new_pair(fd);
	struct event *ev = event_new(base, fd[0], EV_READ | EV_PERSIST, note_cb, "read");
	event_add(ev, NULL);
	MUST(pthread_create(&thread, NULL, loop_and_stay, NULL) == 0);
	wait_for(&in_callback);
	say_closed_is_closed(ev, fd);
	sem_post(&go_on);
	pthread_join(thread, NULL);
}

static void *loop_own_base(void *arg)
{
	struct event_base *own = event_base_new();
	int fd[2], *count = arg;

	MUST(own != NULL);
	new_pair(fd);
	put(fd[1], "x");
	struct event *ev = event_new(own, fd[0], EV_READ | EV_PERSIST, count_cb, count);
	event_add(ev, NULL);
	for (int i = 0; i < 100; i++)
		one_pass(own);
	event_free(ev);
	event_base_free(own);
	close(fd[0]);
	close(fd[1]);
	return NULL;
}

static void a_base_for_each_thread(void)
{
	enum { THREADS = 4 };
	pthread_t thread[THREADS];
	int count[THREADS] = {0};

	start();
	for (int i = 0; i < THREADS; i++)
		MUST(pthread_create(&thread[i], NULL, loop_own_base, &count[i]) == 0);
	for (int i = 0; i < THREADS; i++) {
		MUST(pthread_join(thread[i], NULL) == 0);
		say("thread %d: %d callbacks", i, count[i]);
	}
}

static void nolock_base_beside_threads(void)
{
	struct event_config *config = event_config_new();

	start();
	event_base_free(base);
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	base = event_base_new_with_config(config);
	event_config_free(config);
	MUST(base != NULL);
	event_active(event_new(base, -1, 0, note_cb, "active"), EV_READ, 1);
	say("loop: %d", event_base_loop(base, 0));
}

static void notifiable_afterwards(void)
{
	start();
	say("notifiable: %d", evthread_make_base_notifiable(base));
	say("again: %d", evthread_make_base_notifiable(base));
	say("use again: %d", evthread_use_pthreads());
	keep_alive();
	loop_asleep_in_a_thread(0);
	event_base_loopbreak(base);
	join_loop();
}

static void with_lock_debugging(void)
{
	evthread_enable_lock_debugging();
	start();
	keep_alive();
	struct event *ev = event_new(base, -1, 0, exit_cb, "activated");
	loop_asleep_in_a_thread(0);
	event_active(ev, EV_READ, 1);
	join_loop();
	event_free(ev);
	event_base_free(base);
	say("freed");
}

static void fired_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)what;
	take(fd, 1);
	if (++*(_Atomic int *)arg == 400)
		event_base_loopexit(base, NULL);
}

static void *add_many(void *arg)
{
	for (int i = 0; i < 100; i++) {
		int fd[2];
		new_pair(fd);
		put(fd[1], "x");
		event_add(event_new(base, fd[0], EV_READ | EV_PERSIST, fired_cb, arg), NULL);
	}
	return NULL;
}

static void four_threads_that_add(void)
{
	static _Atomic int fired;
	pthread_t thread[4];

	start();
	keep_alive();
	loop_in_a_thread(0);
	for (int i = 0; i < 4; i++)
		MUST(pthread_create(&thread[i], NULL, add_many, &fired) == 0);
	for (int i = 0; i < 4; i++)
		MUST(pthread_join(thread[i], NULL) == 0);
	join_loop();
	say("fired: %d", fired);
}

static const struct diff_scenario scenarios[] = {
    DIFF_SCENARIO(add_of_a_ready_fd),
    DIFF_SCENARIO(add_then_data),
    DIFF_SCENARIO(add_of_an_earlier_timer),
    DIFF_SCENARIO(active_from_another_thread),
    DIFF_SCENARIO(once_from_another_thread),
    DIFF_SCENARIO(break_from_another_thread),
    DIFF_SCENARIO(exit_from_another_thread),
    DIFF_SCENARIO(last_event_deleted_from_another_thread),
    DIFF_SCENARIO(last_timer_deleted_from_another_thread),
    DIFF_SCENARIO(a_wake_up_is_not_an_event),
    DIFF_SCENARIO(signal_event_from_another_thread),
    DIFF_SCENARIO(waiting_forever_without_events),
    DIFF_SCENARIO(change_of_a_watched_fd),
    DIFF_SCENARIO(deleted_then_silent),
    DIFF_SCENARIO(closed_by_another_thread_after_del),
    DIFF_SCENARIO(del_waits_for_the_callback),
    DIFF_SCENARIO(del_block_waits_for_the_callback),
    DIFF_SCENARIO(del_noblock_does_not_wait),
    DIFF_SCENARIO(del_of_a_finalize_event_does_not_wait),
    DIFF_SCENARIO(del_block_of_a_finalize_event_waits),
    DIFF_SCENARIO(del_of_another_event_does_not_wait),
    DIFF_SCENARIO(del_of_an_event_that_waits_in_the_queue),
    DIFF_SCENARIO(active_while_it_runs),
    DIFF_SCENARIO(break_while_it_runs),
    DIFF_SCENARIO(finalize_while_it_runs),
    DIFF_SCENARIO(free_finalize_while_asleep),
    DIFF_SCENARIO(made_here_looped_there),
    DIFF_SCENARIO(the_loop_moves_between_threads),
    DIFF_SCENARIO(looped_in_two_threads_at_once),
    DIFF_SCENARIO(freed_after_the_thread_is_gone),
    DIFF_SCENARIO(closed_while_a_callback_runs),
    DIFF_SCENARIO(closed_after_the_looping_thread_is_gone),
    DIFF_SCENARIO(closed_between_loops_of_another_thread),
    DIFF_SCENARIO(a_base_for_each_thread),
    DIFF_SCENARIO(nolock_base_beside_threads),
    DIFF_SCENARIO(notifiable_afterwards),
    DIFF_SCENARIO(with_lock_debugging),
    DIFF_SCENARIO(four_threads_that_add),
};

DIFF_MAIN(scenarios)
