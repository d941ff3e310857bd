/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One base and several threads, with evthread_use_pthreads: what another thread may do while the
 * loop sleeps or a callback runs, and what it waits for. (What they close: diff_thread_close.c.)
 */
#include "diff_looper.h"

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

struct addition {
	struct event *signal;
	_Atomic int tid;
	int result;
};

static void *add_with_a_timeout(void *arg)
{
	struct timeval later = msec(600000);
	struct addition *a = arg;

	a->tid = thread_id();
	a->result = event_add(a->signal, &later);
	return NULL;
}

/* Callback of the signal: while it runs another thread waits in event_add; then it adds one more.
 */
static void hold_and_add_cb(evutil_socket_t fd, short what, void *one_more)
{
	struct timeval later = msec(600000);

	(void)fd;
	(void)what;
	sem_post(&in_callback);
	wait_for(&go_on);
	MUST(event_add(one_more, &later) == 0);
	event_base_loopbreak(base);
}

static void add_a_signal_while_it_runs(int timers)
{
	struct timeval later = msec(600000);
	struct addition a = {.result = -1};
	pthread_t adder;

	base = new_base();
	for (int i = 0; i < timers; i++)
		event_add(event_new(base, -1, 0, note_cb, "timer"), &later);
	a.signal = evsignal_new(
	    base, SIGUSR1, hold_and_add_cb, event_new(base, -1, 0, note_cb, "one more"));
	event_add(a.signal, NULL);
	MUST(raise(SIGUSR1) == 0);
	loop_in_a_thread(0);
	wait_for(&in_callback);
	MUST(pthread_create(&adder, NULL, add_with_a_timeout, &a) == 0);
	until_asleep(&a.tid);
	sem_post(&go_on);
	MUST(pthread_join(adder, NULL) == 0 && pthread_join(loop_thread, NULL) == 0);
	if (a.result != 0 || !event_pending(a.signal, EV_TIMEOUT, NULL) ||
	    event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED) < timers + 2)
		say("with %d timers: lost", timers);
	event_base_free(base);
}

/* Adding a signal's event waits for its callback, and lets go of the base meanwhile: what it has
 * prepared before may be used up by others. */
static void add_of_a_signal_waits_while_others_add(void)
{
	start();
	for (int timers = 0; timers < 34; timers++)
		add_a_signal_while_it_runs(timers);
	say("done");
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
    DIFF_SCENARIO(del_waits_for_the_callback),
    DIFF_SCENARIO(del_block_waits_for_the_callback),
    DIFF_SCENARIO(del_noblock_does_not_wait),
    DIFF_SCENARIO(del_of_a_finalize_event_does_not_wait),
    DIFF_SCENARIO(del_block_of_a_finalize_event_waits),
    DIFF_SCENARIO(del_of_another_event_does_not_wait),
    DIFF_SCENARIO(del_of_an_event_that_waits_in_the_queue),
    DIFF_SCENARIO(add_of_a_signal_waits_while_others_add),
    DIFF_SCENARIO(active_while_it_runs),
    DIFF_SCENARIO(break_while_it_runs),
    DIFF_SCENARIO(finalize_while_it_runs),
    DIFF_SCENARIO(free_finalize_while_asleep),
    DIFF_SCENARIO(made_here_looped_there),
    DIFF_SCENARIO(the_loop_moves_between_threads),
    DIFF_SCENARIO(looped_in_two_threads_at_once),
    DIFF_SCENARIO(a_base_for_each_thread),
    DIFF_SCENARIO(nolock_base_beside_threads),
    DIFF_SCENARIO(notifiable_afterwards),
    DIFF_SCENARIO(with_lock_debugging),
    DIFF_SCENARIO(four_threads_that_add),
};

DIFF_MAIN(scenarios)
