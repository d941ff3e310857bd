/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Signals: how often a callback runs for how many signals, when it stops, which base gets them,
 * what the process sees of the installed handler and its mask, and that the handlers of before come
 * back.
 *
 * A signal raised by a thread to itself has been handled when raise() returns, so single passes are
 * enough. Signals from another process are waited for.
 */
#include "diff_common.h"

static struct event_base *base;

static struct event *new_signal(int sig, const char *name)
{
	struct event *ev = evsignal_new(base, sig, note_cb, (void *)(uintptr_t)name);

	MUST(ev != NULL);
	return ev;
}

static void raise_times(int sig, int n)
{
	while (n-- > 0)
		MUST(raise(sig) == 0);
}

/* ---- delivery ---- */

static void one_signal(void)
{
	base = new_base();
	struct event *ev = new_signal(SIGUSR1, "usr1");
	say_add("usr1", ev);
	passes(base, 1);
	raise(SIGUSR1);
	passes(base, 2);
	raise(SIGUSR1);
	passes(base, 2);
	say_del("usr1", ev);
}

static void fd_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)arg;
	say("the signal's number as fd: %s, %s", yes(fd == SIGUSR2), bits(what));
}

static void number_is_given_as_fd(void)
{
	base = new_base();
	struct event *ev = evsignal_new(base, SIGUSR2, fd_cb, NULL);
	event_add(ev, NULL);
	say("fd %s, signal %s, events %s", yes(event_get_fd(ev) == SIGUSR2),
	    yes(event_get_signal(ev) == SIGUSR2), bits(event_get_events(ev)));
	raise(SIGUSR2);
	passes(base, 1);
}

static void counted(void)
{
	base = new_base();
	event_add(new_signal(SIGUSR1, "usr1"), NULL);
	raise_times(SIGUSR1, 3);
	passes(base, 2);
}

static void left_for_its_base(void)
{
	struct event_base *first = new_base(), *second = new_base();

	base = first;
	event_add(new_signal(SIGUSR1, "first"), NULL);
	base = second;
	event_add(new_signal(SIGUSR2, "second"), NULL);
	one_pass(first);
	raise(SIGUSR1);
	say("the other base loops");
	one_pass(second);
	say("its own base loops");
	one_pass(first);
}

static void counted_beside_a_manual_activation(void)
{
	base = new_base();
	struct event *ev = new_signal(SIGUSR1, "usr1");

	event_add(ev, NULL);
	event_active(ev, EV_SIGNAL, 1);
	raise_times(SIGUSR1, 2);
	passes(base, 2);
}

static void counted_without_persist(void)
{
	base = new_base();
	struct event *ev = event_new(base, SIGUSR1, EV_SIGNAL, note_cb, "usr1 once");
	say_add("usr1", ev);
	raise_times(SIGUSR1, 3);
	passes(base, 2);
	say("pending %s", pending(ev));
}

static void two_events_for_one_signal(void)
{
	base = new_base();
	event_add(new_signal(SIGUSR1, "older"), NULL);
	event_add(new_signal(SIGUSR1, "newer"), NULL);
	raise(SIGUSR1);
	passes(base, 1);
	raise_times(SIGUSR1, 2);
	passes(base, 1);
}

static void several_signals(void)
{
	static const int sigs[] = {SIGUSR1, SIGUSR2, SIGHUP, SIGCHLD, SIGWINCH};
	int count[5] = {0};

	base = new_base();
	for (int i = 0; i < 5; i++)
		event_add(evsignal_new(base, sigs[i], count_cb, &count[i]), NULL);
	for (int i = 0; i < 5; i++)
		raise_times(sigs[i], i + 1);
	one_pass(base);
	for (int i = 0; i < 5; i++)
		say("signal %d of the list: %d", i, count[i]);
}

static void real_time_signals(void)
{
	base = new_base();
	struct event *first = new_signal(SIGRTMIN + 1, "first"),
		     *last = new_signal(SIGRTMAX, "last");
	say_add("first", first);
	say_add("last", last);
	raise(SIGRTMIN + 1);
	passes(base, 1);
	raise(SIGRTMAX);
	passes(base, 1);
}

static void many_signals_at_once(void)
{
	int n = 0;

	base = new_base();
	event_add(evsignal_new(base, SIGUSR1, count_cb, &n), NULL);
	raise_times(SIGUSR1, 1000);
	for (int i = 0; i < 5; i++)
		one_pass(base);
	say("1000 raised, callbacks: %d", n);
}

static void from_another_process_while_waiting(void)
{
	int fd[2];

	base = new_base();
	event_add(new_signal(SIGUSR1, "usr1"), NULL);
	struct event *child_ev = event_new(base, SIGCHLD, EV_SIGNAL, note_cb, "child");
	event_add(child_ev, NULL);
	MUST(pipe(fd) == 0);
	pid_t child = fork();
	MUST(child >= 0);
	if (child == 0) {
		sleep_ms(30);
		kill(getppid(), SIGUSR1);
		_exit(take(fd[0], 1));
	}
	say("loop: %d", event_base_loop(base, EVLOOP_ONCE));
	put(fd[1], "x");
	say("loop: %d", event_base_loop(base, EVLOOP_ONCE));
	MUST(waitpid(child, NULL, 0) == child);
}

static void raise_again_cb(evutil_socket_t fd, short what, void *arg)
{
	int *left = arg;

	(void)fd;
	say("%d left, %s", *left, bits(what));
	if (--*left > 0)
		raise(SIGUSR1);
}

static void raised_in_the_callback_comes_next_pass(void)
{
	int left = 3;

	base = new_base();
	event_add(evsignal_new(base, SIGUSR1, raise_again_cb, &left), NULL);
	raise(SIGUSR1);
	passes(base, 4);
}

static void raise_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	say("raises");
	raise(SIGUSR1);
}

static void raised_in_another_callback(void)
{
	base = new_base();
	event_add(new_signal(SIGUSR1, "usr1"), NULL);
	event_active(event_new(base, -1, 0, raise_cb, NULL), EV_READ, 1);
	event_active(event_new(base, -1, 0, note_cb, "after it"), EV_READ, 1);
	passes(base, 2);
}

static void priorities_of_signals(void)
{
	base = new_base();
	event_base_priority_init(base, 3);
	struct event *low = new_signal(SIGUSR1, "low"), *high = new_signal(SIGUSR2, "high");
	event_priority_set(low, 2);
	event_priority_set(high, 0);
	event_add(high, NULL);
	event_add(low, NULL);
	raise(SIGUSR1);
	raise(SIGUSR2);
	passes(base, 2);
}

static void a_signal_with_a_timeout(void)
{
	struct timeval soon = msec(5), later = msec(60000);

	base = new_base();
	struct event *ev = event_new(base, SIGUSR1, EV_SIGNAL, note_cb, "usr1 or timeout");
	event_add(ev, &later);
	say("pending %s", pending(ev));
	raise(SIGUSR1);
	passes(base, 1);
	say("pending %s", pending(ev));
	event_add(ev, &soon);
	say("loop: %d", event_base_loop(base, EVLOOP_ONCE));
	say("pending %s", pending(ev));
}

/* ---- repetition and how it stops ---- */

static void break_cb(evutil_socket_t fd, short what, void *name)
{
	note_cb(fd, what, name);
	event_base_loopbreak(base);
}

static void break_stops_the_repetition(void)
{
	base = new_base();
	event_add(evsignal_new(base, SIGUSR1, break_cb, "breaks"), NULL);
	raise_times(SIGUSR1, 3);
	passes(base, 2);
}

static void exit_cb(evutil_socket_t fd, short what, void *name)
{
	note_cb(fd, what, name);
	event_base_loopexit(base, NULL);
}

static void exit_does_not_stop_the_repetition(void)
{
	base = new_base();
	event_add(evsignal_new(base, SIGUSR1, exit_cb, "exits"), NULL);
	raise_times(SIGUSR1, 2);
	say("loop: %d", event_base_loop(base, 0));
}

static void del_self_cb(evutil_socket_t fd, short what, void *arg)
{
	note_cb(fd, what, "deletes itself");
	event_del(*(struct event **)arg);
}

static void del_stops_the_repetition(void)
{
	struct event *ev;

	base = new_base();
	ev = evsignal_new(base, SIGUSR1, del_self_cb, &ev);
	event_add(ev, NULL);
	raise_times(SIGUSR1, 3);
	passes(base, 2);
	say("pending %s", pending(ev));
}

static void free_self_cb(evutil_socket_t fd, short what, void *arg)
{
	note_cb(fd, what, "frees itself");
	event_free(*(struct event **)arg);
}

static void free_stops_the_repetition(void)
{
	struct event *ev;

	base = new_base();
	ev = evsignal_new(base, SIGUSR1, free_self_cb, &ev);
	event_add(ev, NULL);
	raise_times(SIGUSR1, 3);
	passes(base, 1);
	say("events: %d", event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED));
}

static void activated_by_hand(void)
{
	base = new_base();
	struct event *ev = new_signal(SIGUSR1, "usr1");
	event_add(ev, NULL);
	event_active(ev, EV_SIGNAL, 3);
	passes(base, 1);
	event_active(ev, EV_READ, 1);
	passes(base, 1);
	event_active(ev, EV_SIGNAL, 2);
	event_active(ev, EV_SIGNAL, 4);
	passes(base, 1);
}

static void deleted_before_it_is_seen(void)
{
	base = new_base();
	struct event *ev = new_signal(SIGUSR1, "usr1");
	event_add(new_signal(SIGUSR2, "usr2"), NULL);
	event_add(ev, NULL);
	raise(SIGUSR1);
	event_del(ev);
	passes(base, 2);
	event_add(ev, NULL);
	passes(base, 1);
	raise(SIGUSR1);
	passes(base, 1);
}

/* ---- what the process sees ---- */

static volatile sig_atomic_t own_calls;

static void own_handler(int sig)
{
	(void)sig;
	own_calls++;
}

static void own_sigaction(int sig, siginfo_t *info, void *context)
{
	(void)info;
	(void)context;
	own_handler(sig);
}

static void say_handler(const char *when)
{
	struct sigaction now;

	MUST(sigaction(SIGUSR1, NULL, &now) == 0);
	const char *whose = now.sa_handler == SIG_DFL       ? "default"
			    : now.sa_handler == SIG_IGN     ? "ignored"
			    : now.sa_handler == own_handler ? "own"
							    : "other";
	if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == own_sigaction)
		whose = "own with info";
	say("%s: %s, restarts %s, masks usr2 %s", when, whose, yes(now.sa_flags & SA_RESTART),
	    yes(sigismember(&now.sa_mask, SIGUSR2) == 1));
}

static void handler_while_added(void)
{
	base = new_base();
	struct event *ev = new_signal(SIGUSR1, "usr1");
	say_handler("before");
	event_add(ev, NULL);
	say_handler("added");
	event_add(ev, NULL);
	say_handler("added twice");
	event_del(ev);
	say_handler("deleted");
}

static void restore_of(const char *name, const struct sigaction *action)
{
	base = new_base();
	MUST(sigaction(SIGUSR1, action, NULL) == 0);
	struct event *ev = new_signal(SIGUSR1, "usr1");
	say("%s", name);
	say_handler("before");
	event_add(ev, NULL);
	raise(SIGUSR1);
	passes(base, 1);
	event_del(ev);
	say_handler("after");
}

static void handlers_come_back(void)
{
	struct sigaction action = {.sa_handler = own_handler};

	restore_of("a handler", &action);
	raise(SIGUSR1);
	say("own calls: %d", (int)own_calls);
	action.sa_handler = SIG_IGN;
	restore_of("ignored", &action);
	action.sa_sigaction = own_sigaction;
	action.sa_flags = SA_SIGINFO | SA_RESTART;
	sigaddset(&action.sa_mask, SIGUSR2);
	restore_of("with info and a mask", &action);
	raise(SIGUSR1);
	say("own calls: %d", (int)own_calls);
}

static void handler_comes_back_with_the_last_event(void)
{
	struct sigaction action = {.sa_handler = own_handler};

	base = new_base();
	MUST(sigaction(SIGUSR1, &action, NULL) == 0);
	struct event *a = new_signal(SIGUSR1, "a"), *b = new_signal(SIGUSR1, "b");
	event_add(a, NULL);
	event_add(b, NULL);
	event_del(a);
	say_handler("one deleted");
	raise(SIGUSR1);
	passes(base, 1);
	event_del(b);
	say_handler("both deleted");
}

static void handler_comes_back_with_the_base(void)
{
	struct sigaction action = {.sa_handler = own_handler};

	base = new_base();
	MUST(sigaction(SIGUSR1, &action, NULL) == 0);
	event_add(new_signal(SIGUSR1, "usr1"), NULL);
	say_handler("added");
	event_base_free(base);
	say_handler("base freed");
}

static void handler_comes_back_after_a_single_shot(void)
{
	base = new_base();
	event_add(event_new(base, SIGUSR1, EV_SIGNAL, note_cb, "once"), NULL);
	say_handler("added");
	raise(SIGUSR1);
	passes(base, 1);
	say_handler("delivered");
}

static void mask_and_errno_are_left_alone(void)
{
	sigset_t before, after;

	sigemptyset(&before);
	sigemptyset(&after);
	sigprocmask(SIG_BLOCK, NULL, &before);
	base = new_base();
	event_add(new_signal(SIGUSR1, "usr1"), NULL);
	sigprocmask(SIG_BLOCK, NULL, &after);
	int same = 1;
	for (int sig = 1; sig < NSIG; sig++)
		same &= sigismember(&before, sig) == sigismember(&after, sig);
	say("mask unchanged: %s", yes(same));
	errno = ENOTTY;
	raise(SIGUSR1);
	say("errno unchanged: %s", yes(errno == ENOTTY));
	passes(base, 1);
	sigprocmask(SIG_BLOCK, NULL, &after);
	say("usr1 blocked: %s", yes(sigismember(&after, SIGUSR1) == 1));
}

static void blocked_signals_wait(void)
{
	sigset_t set;

	base = new_base();
	event_add(new_signal(SIGUSR1, "usr1"), NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise_times(SIGUSR1, 3);
	passes(base, 1);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	passes(base, 1);
}

/* ---- two bases ---- */

static void the_last_base_that_added_gets_it(void)
{
	struct event_base *one, *two;

	one = base = new_base();
	event_add(new_signal(SIGUSR1, "first base"), NULL);
	two = base = new_base();
	event_add(new_signal(SIGUSR1, "second base"), NULL);
	raise(SIGUSR1);
	say("looping the second");
	one_pass(two);
	say("looping the first");
	one_pass(one);
}

static void the_looping_base_gets_it(void)
{
	struct event_base *one, *two;

	one = base = new_base();
	event_add(new_signal(SIGUSR1, "first base"), NULL);
	two = base = new_base();
	event_add(new_signal(SIGUSR1, "second base"), NULL);
	for (int i = 0; i < 2; i++) {
		say("looping the first, then a signal");
		one_pass(one);
		raise(SIGUSR1);
		one_pass(one);
		say("looping the second, then a signal");
		one_pass(two);
		raise(SIGUSR1);
		one_pass(two);
	}
}

static void freeing_the_other_base(void)
{
	struct event_base *one;

	one = base = new_base();
	struct event *ev = new_signal(SIGUSR1, "first base");
	event_add(ev, NULL);
	base = new_base();
	event_add(new_signal(SIGUSR2, "second base"), NULL);
	event_base_free(base);
	base = one;
	event_del(ev);
	event_add(ev, NULL);
	raise(SIGUSR1);
	passes(base, 1);
}

/* ---- a child ---- */

/* What the parent has caught is the parent's to report. */
static void child_does_not_repeat_the_parents_signals(void)
{
	int n = 0, status = -1;

	base = new_base();
	event_add(evsignal_new(base, SIGUSR1, count_cb, &n), NULL);
	raise_times(SIGUSR1, 3);
	fflush(stdout);
	pid_t pid = fork();
	MUST(pid >= 0);
	if (pid == 0) {
		MUST(event_reinit(base) == 0);
		one_pass(base);
		say("in the child: %d", n);
		raise(SIGUSR1);
		one_pass(base);
		say("of its own: %d", n);
		exit(0);
	}
	MUST(waitpid(pid, &status, 0) == pid);
	one_pass(base);
	say("child ended with %d, in the parent: %d", status, n);
}

/* ---- refusals ---- */

static void try_signal(const char *name, int sig)
{
	struct event *ev = evsignal_new(base, sig, note_cb, NULL);

	if (!ev) {
		say("%s: no event", name);
		return;
	}
	int result = event_add(ev, NULL);
	say("%s: %d, pending %s", name, result, pending(ev));
	event_free(ev);
}

static void signals_refused(void)
{
	base = new_base();
	try_signal("minus one", -1);
	try_signal("zero", 0);
	try_signal("kill", SIGKILL);
	try_signal("stop", SIGSTOP);
	try_signal("one too many", NSIG);
	try_signal("many too many", 100000);
	say("with READ: %s",
	    event_new(base, SIGUSR1, EV_SIGNAL | EV_READ, note_cb, NULL) ? "an event" : "none");
	say("events: %d", event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED));
	say("loop: %d", event_base_loop(base, 0));
	event_add(new_signal(SIGUSR1, "a good one still works"), NULL);
	raise(SIGUSR1);
	passes(base, 1);
}

static void pending_and_counts(void)
{
	base = new_base();
	struct event *ev = new_signal(SIGUSR1, "usr1");
	say("pending %s, initialized %s", bits(evsignal_pending(ev, NULL)),
	    yes(evsignal_initialized(ev)));
	evsignal_add(ev, NULL);
	say("pending %s", bits(evsignal_pending(ev, NULL)));
	say("asked for read: %s", bits(event_pending(ev, EV_READ, NULL)));
	say("events: %d", event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED));
	raise(SIGUSR1);
	passes(base, 1);
	evsignal_del(ev);
	say("pending %s", bits(evsignal_pending(ev, NULL)));
	say("loop: %d", event_base_loop(base, 0));
}

static const struct diff_scenario scenarios[] = {
    DIFF_SCENARIO(one_signal),
    DIFF_SCENARIO(number_is_given_as_fd),
    DIFF_SCENARIO(counted),
    DIFF_SCENARIO(counted_without_persist),
    DIFF_SCENARIO(two_events_for_one_signal),
    DIFF_SCENARIO(several_signals),
    DIFF_SCENARIO(real_time_signals),
    DIFF_SCENARIO(many_signals_at_once),
    DIFF_SCENARIO(from_another_process_while_waiting),
    DIFF_SCENARIO(raised_in_the_callback_comes_next_pass),
    DIFF_SCENARIO(raised_in_another_callback),
    DIFF_SCENARIO(priorities_of_signals),
    DIFF_SCENARIO(a_signal_with_a_timeout),
    DIFF_SCENARIO(break_stops_the_repetition),
    DIFF_SCENARIO(exit_does_not_stop_the_repetition),
    DIFF_SCENARIO(del_stops_the_repetition),
    DIFF_SCENARIO(free_stops_the_repetition),
    DIFF_SCENARIO(activated_by_hand),
    DIFF_SCENARIO(deleted_before_it_is_seen),
    DIFF_SCENARIO(handler_while_added),
    DIFF_SCENARIO(handlers_come_back),
    DIFF_SCENARIO(handler_comes_back_with_the_last_event),
    DIFF_SCENARIO(handler_comes_back_with_the_base),
    DIFF_SCENARIO(handler_comes_back_after_a_single_shot),
    DIFF_SCENARIO(mask_and_errno_are_left_alone),
    DIFF_SCENARIO(blocked_signals_wait),
    DIFF_SCENARIO(the_last_base_that_added_gets_it),
    DIFF_SCENARIO(the_looping_base_gets_it),
    DIFF_SCENARIO(freeing_the_other_base),
    DIFF_SCENARIO(child_does_not_repeat_the_parents_signals),
    DIFF_SCENARIO(left_for_its_base),
    DIFF_SCENARIO(counted_beside_a_manual_activation),
    DIFF_SCENARIO(signals_refused),
    DIFF_SCENARIO(pending_and_counts),
};

DIFF_MAIN(scenarios)
