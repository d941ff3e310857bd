/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Close means close, also where one thread loops and another deletes events and closes their files:
 * while the loop sleeps, while a callback runs, and after the loop has ended. And a thread that is
 * cancelled in its loop holds nothing.
 */
#include "diff_looper.h"

/* Callback: holds, and tells when it has spoken its last word. */
static void hold_and_tell_cb(evutil_socket_t fd, short what, void *name)
{
	hold_cb(fd, what, name);
	sem_post(&in_callback);
}

/* Callback: holds, and ends the loop. */
static void hold_and_break_cb(evutil_socket_t fd, short what, void *name)
{
	hold_cb(fd, what, name);
	event_base_loopbreak(base);
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

/* The peer sees the end, whatever else happens or does not happen meanwhile. */
static void say_the_end_comes(int peer)
{
	struct pollfd end = {.fd = peer, .events = POLLIN};

	MUST(poll(&end, 1, 20000) == 1);
	say("the peer reads the end: %d", take(peer, 1));
}

/* Deletes and closes; the peer has to see it without another turn of the loop. It may take the
 * kernel a moment where the thread that looped is alive and not in the loop (doc/compatibility.md).
 */
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
	event_active(event_new(base, -1, 0, hold_and_tell_cb, "callback"), EV_READ, 1);
	loop_in_a_thread(0);
	wait_for(&in_callback);
	/* A busy loop lets go when its callback returns, and has not to poll again for that. */
	say("del: %d", event_del(ev));
	close(fd[0]);
	sem_post(&go_on);
	wait_for(&in_callback);
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

struct watched {
	struct event *ev;
	int fd;
};

static void *del_and_close(void *arg)
{
	struct watched *w = arg;

	wait_for(&in_callback);
	say("del: %d", event_del(w->ev));
	close(w->fd);
	sem_post(&go_on);
	return NULL;
}

/* The callback is the loop's last: there is no later turn to let go of the file, and the thread
 * that looped lives on. */
static void closed_while_the_last_callback_runs(void)
{
	struct timeval soon = msec(30);
	pthread_t thread;
	int fd[2];

	start();
	new_pair(fd);
	struct watched w = {event_new(base, fd[0], EV_READ | EV_PERSIST, note_cb, "read"), fd[0]};
	event_add(w.ev, NULL);
	event_add(event_new(base, -1, 0, hold_and_break_cb, "callback"), &soon);
	MUST(pthread_create(&thread, NULL, del_and_close, &w) == 0);
	say("loop: %d", event_base_loop(base, 0));
	MUST(pthread_join(thread, NULL) == 0);
	say_the_end_comes(fd[1]);
}

static bool thread_stays;

static void *loop_once_and_end(void *arg)
{
	(void)arg;
	loop_tid = thread_id();
	MUST(event_base_loop(base, 0) == 0);
	sem_post(&in_callback);
	if (thread_stays)
		wait_for(&go_on);
	return NULL;
}

enum server_end { DELETES, FREES_BASE };

/* A server looped in another thread until it was told to end. At once the peer of its connection
 * sees the end, and the next server can have the port. Returns what went wrong. */
static const char *serve_and_end(enum server_end how, bool stays)
{
	int listener = bound_socket(SOCK_STREAM, 0), port = port_of(listener), fd[2], next;
	struct sockaddr_in sin = loopback(port);
	const char *wrong = NULL;

	base = new_base();
	MUST(listen(listener, 5) == 0);
	new_pair(fd);
	struct event *l = event_new(base, listener, EV_READ | EV_PERSIST, note_cb, "listener");
	struct event *c = event_new(base, fd[0], EV_READ | EV_PERSIST, note_cb, "connection");
	event_add(l, NULL);
	event_add(c, NULL);
	thread_stays = stays;
	loop_tid = 0;
	MUST(pthread_create(&loop_thread, NULL, loop_once_and_end, NULL) == 0);
	until_asleep(&loop_tid);
	event_base_loopbreak(base);
	wait_for(&in_callback);
	if (!stays)
		MUST(pthread_join(loop_thread, NULL) == 0);
	event_free(l);
	event_free(c);
	if (how == FREES_BASE)
		event_base_free(base);
	close(listener);
	close(fd[0]);
	if (take(fd[1], 1) != 0)
		wrong = "no end of the connection";
	next = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(next, (struct sockaddr *)&sin, sizeof(sin)) != 0 || listen(next, 5) != 0)
		wrong = "the port is still in use";
	if (how == DELETES)
		event_base_free(base);
	if (stays) {
		sem_post(&go_on);
		MUST(pthread_join(loop_thread, NULL) == 0);
	}
	close(next);
	close(fd[1]);
	return wrong;
}

static void server_ended_by_another_thread(void)
{
	start();
	for (int i = 0; i < 20; i++) {
		const char *wrong = serve_and_end(i & 1 ? FREES_BASE : DELETES, i & 2);
		if (wrong)
			say("%s, the thread %s: %s", i & 1 ? "base freed" : "events deleted",
			    i & 2 ? "stays" : "is gone", wrong);
	}
	say("done");
}

/* AddressSanitizer does not notice that a cancelled thread's frames are gone, and takes what is
 * called then for an overflow. */
#ifndef __SANITIZE_ADDRESS__
/* A loop sleeps in what POSIX calls a cancellation point, and holds no lock there. */
static void cancelled_while_it_sleeps(void)
{
	void *result = NULL;
	int fd[2];

	start();
	new_pair(fd);
	struct event *ev = event_new(base, fd[0], EV_READ | EV_PERSIST, note_cb, "read");
	event_add(ev, NULL);
	loop_asleep_in_a_thread(0);
	say("cancel: %d", pthread_cancel(loop_thread));
	say("join: %d", pthread_join(loop_thread, &result));
	say("cancelled: %s", yes(result == PTHREAD_CANCELED));
	say("del: %d", event_del(ev));
	close(fd[0]);
	say_the_end_comes(fd[1]);
}
#endif

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

static const struct diff_scenario scenarios[] = {
    DIFF_SCENARIO(closed_by_another_thread_after_del),
    DIFF_SCENARIO(freed_after_the_thread_is_gone),
    DIFF_SCENARIO(closed_while_a_callback_runs),
    DIFF_SCENARIO(closed_after_the_looping_thread_is_gone),
    DIFF_SCENARIO(closed_while_the_last_callback_runs),
    DIFF_SCENARIO(server_ended_by_another_thread),
#ifndef __SANITIZE_ADDRESS__
    DIFF_SCENARIO(cancelled_while_it_sleeps),
#endif
    DIFF_SCENARIO(closed_between_loops_of_another_thread),
};

DIFF_MAIN(scenarios)
