/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sandboxes. Docker, systemd and many programs themselves refuse io_uring by a seccomp filter: from
 * the start, or at any moment later, when requests are armed in a ring that nobody may enter any
 * more. The method may change then; no event may be lost, and close still means close.
 *
 * The filters are installed for good, so every scenario runs in a process of its own. They hold for
 * one thread only. Refused system calls answer EPERM (Docker, systemd) or ENOSYS (as an old kernel
 * does).
 */
#include "stress_common.h"

#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/syscall.h>

static const struct timeval soon = {0, 2000};
static const struct timeval long_time = {3600, 0};

/* --- filters --- */

enum refuse {
	URING_SETUP = 1,
	URING_ENTER = 2,
	URING_REGISTER = 4,
	EPOLL = 8,
	WITH_ENOSYS = 16,      /* instead of EPERM */
	OUTSIDE_CALLBACK = 32, /* refused between two loops, not inside one */
	URING = URING_SETUP | URING_ENTER | URING_REGISTER,
};

static const struct {
	enum refuse which;
	int nr;
} refusable[] = {
    {URING_SETUP, __NR_io_uring_setup},
    {URING_ENTER, __NR_io_uring_enter},
    {URING_REGISTER, __NR_io_uring_register},
#ifdef __NR_epoll_create
    {EPOLL, __NR_epoll_create},
#endif
#ifdef __NR_epoll_wait
    {EPOLL, __NR_epoll_wait},
#endif
#ifdef __NR_epoll_pwait2
    {EPOLL, __NR_epoll_pwait2},
#endif
    {EPOLL, __NR_epoll_create1},
    {EPOLL, __NR_epoll_ctl},
    {EPOLL, __NR_epoll_pwait},
};

enum { REFUSABLE = sizeof(refusable) / sizeof(refusable[0]) };

/* From now on this thread, and what it forks, is refused these system calls. */
static void refuse(int what)
{
	const uint32_t error = SECCOMP_RET_ERRNO | (what & WITH_ENOSYS ? ENOSYS : EPERM);
	struct sock_filter code[2 * REFUSABLE + 2];
	struct sock_fprog prog = {.filter = code};

	code[prog.len++] = (struct sock_filter)BPF_STMT(
	    BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (int i = 0; i < REFUSABLE; i++) {
		if (!(what & (int)refusable[i].which))
			continue;
		code[prog.len++] = (struct sock_filter)BPF_JUMP(
		    BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)refusable[i].nr, 0, 1);
		code[prog.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, error);
	}
	code[prog.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		st_skip("seccomp is not available: %s", strerror(errno));
}

/* --- which method should it be --- */

static bool kernel_has_uring(void)
{
	struct io_uring_params p;
	int fd;

	memset(&p, 0, sizeof(p));
	fd = (int)syscall(__NR_io_uring_setup, 2, &p);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* The method that the environment and the sandbox leave, best first. NULL: none. */
static const char *expected_method(bool uring, bool epoll)
{
	if (uring && st_ours() && !getenv("EVENT_NOIO_URING"))
		return "io_uring";
	if (epoll && !getenv("EVENT_NOEPOLL"))
		return "epoll";
	if (!getenv("EVENT_NOPOLL"))
		return "poll";
	return st_ours() || getenv("EVENT_NOSELECT") ? NULL : "select";
}

static void check_method(struct event_base *base, const char *expected)
{
	if (!expected) {
		st_check(!base, "a base although no method is allowed");
		return;
	}
	st_check(base, "no base");
	st_check(st_method_is(base, expected), "the method is %s, not %s",
	    event_base_get_method(base), expected);
}

/* --- refused from the start --- */

static void t_refused_at_start(int what)
{
	const char *method = expected_method(!(what & URING), !(what & EPOLL));
	struct event_base *base;

	refuse(what);
	for (int i = 0; i < 3; i++) {
		base = event_base_new();
		if (what & (URING_ENTER | URING_REGISTER) && !(what & URING_SETUP))
			st_check(base, "no base"); /* found out now or later */
		else
			check_method(base, method);
		if (!base)
			return;
		st_workout(base);
		event_base_free(base);
	}
}

/* --- refused later --- */

enum { READERS = 12 };

struct load {
	struct event_base *base;
	struct st_pair reader[READERS], edge, once, writer, victim;
	struct event *read_ev[READERS], *edge_ev, *once_ev, *write_ev, *victim_ev, *tick_ev,
	    *late_ev, *signal_ev;
	int reads[READERS], edges, onces, writes, victims, ticks, lates, signals;
	int refuse;         /* what the callback is to refuse */
	bool close_in_turn; /* and it closes the victim then */
	int refused;        /* it has done so */
};

static void drain_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)what;
	st_drain(fd);
	__atomic_add_fetch((int *)arg, 1, __ATOMIC_SEQ_CST);
}

/* A file that is always writable reports once a pass, which tells nothing: count once. */
static void write_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	__atomic_add_fetch((int *)arg, 1, __ATOMIC_SEQ_CST);
}

static void load_add_all(struct load *l)
{
	for (int i = 0; i < READERS; i++)
		st_add(l->read_ev[i], i % 3 ? NULL : &long_time);
	st_add(l->edge_ev, NULL);
	st_add(l->once_ev, NULL);
	st_add(l->victim_ev, NULL);
	st_add(l->tick_ev, &soon);
	st_add(l->late_ev, &(struct timeval){0, 100000});
	st_add(l->signal_ev, NULL);
}

static void load_new(struct load *l, struct event_base *base)
{
	bool et = event_base_get_features(base) & EV_FEATURE_ET;

	memset(l, 0, sizeof(*l));
	l->base = base;
	for (int i = 0; i < READERS; i++) {
		l->reader[i] = st_socketpair();
		l->read_ev[i] = st_event_new(
		    base, l->reader[i].ours, EV_READ | EV_PERSIST, drain_cb, &l->reads[i]);
	}
	l->edge = st_socketpair();
	l->edge_ev = st_event_new(base, l->edge.ours,
	    (short)(EV_READ | EV_PERSIST | (et ? EV_ET : 0)), drain_cb, &l->edges);
	l->once = st_socketpair();
	l->once_ev = st_event_new(base, l->once.ours, EV_READ, drain_cb, &l->onces);
	l->writer = st_socketpair();
	l->write_ev = st_event_new(base, l->writer.ours, EV_WRITE, write_cb, &l->writes);
	l->victim = st_socketpair();
	l->victim_ev =
	    st_event_new(base, l->victim.ours, EV_READ | EV_PERSIST, drain_cb, &l->victims);
	l->tick_ev = st_event_new(base, -1, EV_PERSIST, st_count_cb, &l->ticks);
	l->late_ev = st_event_new(base, -1, 0, st_count_cb, &l->lates);
	l->signal_ev =
	    st_event_new(base, SIGUSR1, EV_SIGNAL | EV_PERSIST, st_count_cb, &l->signals);
}

static void close_victim(struct load *l)
{
	st_check(event_del(l->victim_ev) == 0, "event_del");
	close(l->victim.ours);
	st_check(st_peer_gone(l->victim.peer), "the peer sees no end");
}

/* Half of what will be reported happens before, half after the door is shut. */
static void load_act(struct load *l, bool after)
{
	for (int i = after; i < READERS; i += 2)
		st_put(l->reader[i].peer);
	if (after) {
		st_put(l->once.peer);
		kill(getpid(), SIGUSR1);
		st_add(l->write_ev, NULL);
	} else {
		st_put(l->edge.peer);
	}
}

static void refuse_now(struct load *l)
{
	load_act(l, false);
	refuse(l->refuse);
	load_act(l, true);
	if (l->close_in_turn)
		close_victim(l);
	l->refused++;
}

static void refuse_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	refuse_now(arg);
}

/* Everything that load_act did has been reported, exactly once, and the timers go on. */
static void load_check(struct load *l)
{
	int ticks = l->ticks;

	for (int i = 0; i < READERS; i++)
		st_check(st_run_until(l->base, &l->reads[i], 1), "read %d is lost (%s)", i,
		    event_base_get_method(l->base));
	st_check(st_run_until(l->base, &l->edges, 1), "the edge is lost");
	st_check(st_run_until(l->base, &l->onces, 1), "the one-shot read is lost");
	st_check(st_run_until(l->base, &l->writes, 1), "the write is lost");
	st_check(st_run_until(l->base, &l->signals, 1), "the signal is lost");
	st_check(st_run_until(l->base, &l->lates, 1), "the timer set before is lost");
	st_check(st_run_until(l->base, &l->ticks, ticks + 3), "the interval is lost");
	st_passes(l->base, 3);
	for (int i = 0; i < READERS; i++)
		st_check(l->reads[i] == 1, "read %d came %d times", i, l->reads[i]);
	st_check(l->onces == 1 && l->writes == 1 && l->signals == 1 && l->victims == 0,
	    "%d one-shot reads, %d writes, %d signals, %d reads of nothing", l->onces, l->writes,
	    l->signals, l->victims);
	for (int i = 0; i < READERS; i++)
		st_put(l->reader[i].peer);
	for (int i = 0; i < READERS; i++)
		st_check(st_run_until(l->base, &l->reads[i], 2), "a second read %d is lost", i);
}

/* The base may be gone already. */
static void load_free(struct load *l)
{
	void (*release)(struct event *) = l->base ? event_free : st_forget;

	for (int i = 0; i < READERS; i++) {
		release(l->read_ev[i]);
		close(l->reader[i].ours);
		st_check(st_peer_gone(l->reader[i].peer), "the peer of reader %d sees no end", i);
		close(l->reader[i].peer);
	}
	release(l->edge_ev);
	release(l->once_ev);
	release(l->write_ev);
	release(l->victim_ev);
	release(l->tick_ev);
	release(l->late_ev);
	release(l->signal_ev);
	st_close_pair(&l->edge);
	st_close_pair(&l->once);
	st_close_pair(&l->writer);
	close(l->victim.peer);
}

static struct event_base *base_on_uring(void)
{
	struct event_base *base = st_base_new();

	if (st_ours() && !st_method_is(base, "io_uring"))
		st_skip("the base is on %s already", event_base_get_method(base));
	return base;
}

/* Epoll itself may only be refused when the base does not stand on it. */
static int refusal_for(struct event_base *base, int what)
{
	return st_method_is(base, "io_uring") ? what : what & ~EPOLL;
}

static void t_refused_later(int what)
{
	struct event_base *base = base_on_uring();
	struct load l;

	load_new(&l, base);
	l.refuse = refusal_for(base, what);
	load_add_all(&l);
	st_passes(base, 2);
	if (what & OUTSIDE_CALLBACK) {
		refuse_now(&l);
	} else {
		st_check(event_base_once(base, -1, EV_TIMEOUT, refuse_cb, &l, &soon) == 0, "once");
		st_check(st_run_until(base, &l.refused, 1), "the timer is lost");
	}
	load_check(&l);
	st_workout(base);
	close_victim(&l);
	load_free(&l);
	st_workout(base);
	event_base_free(base);
}

/* The first thing that needs the ring after it is refused is the cancel of an event_del. */
static void t_refused_then_close(int what)
{
	struct event_base *base = base_on_uring();
	struct load l;

	load_new(&l, base);
	l.refuse = refusal_for(base, what);
	l.close_in_turn = true;
	load_add_all(&l);
	st_passes(base, 2);
	if (what & OUTSIDE_CALLBACK) {
		refuse_now(&l);
	} else {
		st_check(event_base_once(base, -1, EV_TIMEOUT, refuse_cb, &l, &soon) == 0, "once");
		st_check(st_run_until(base, &l.refused, 1), "the timer is lost");
	}
	load_check(&l);
	load_free(&l);
	st_workout(base);
	event_base_free(base);
}

/* The next use of the ring is its end: the base is freed, what it watched is closed. */
static void t_refused_then_base_free(int what)
{
	struct event_base *base = base_on_uring();
	struct load l;

	load_new(&l, base);
	load_add_all(&l);
	st_passes(base, 2);
	refuse(refusal_for(base, what));
	event_base_free(base);
	l.base = NULL;
	close(l.victim.ours);
	st_check(st_peer_gone(l.victim.peer), "the peer sees no end");
	load_free(&l);
	base = st_base_new();
	st_workout(base);
	event_base_free(base);
}

/* The base exists but has not looped, so that its ring has never been entered. */
static void t_refused_before_loop(int what)
{
	struct event_base *base = base_on_uring();
	struct load l;

	load_new(&l, base);
	load_add_all(&l);
	l.refuse = refusal_for(base, what);
	refuse_now(&l);
	load_check(&l);
	close_victim(&l);
	load_free(&l);
	st_workout(base);
	event_base_free(base);
}

/* The sandbox is entered, then the process forks: both sides go on. */
static void t_refused_then_reinit(int what)
{
	struct event_base *base = base_on_uring();
	struct load l;
	pid_t pid;

	load_new(&l, base);
	l.refuse = refusal_for(base, what);
	load_add_all(&l);
	st_passes(base, 2);
	refuse(l.refuse);
	pid = fork();
	if (pid == 0) {
		st_check(event_reinit(base) == 0, "event_reinit");
		st_check(st_run_until(base, &l.ticks, l.ticks + 2), "the interval is lost");
		st_workout(base);
		_exit(0);
	}
	st_wait_child(pid);
	load_act(&l, false);
	load_act(&l, true);
	load_check(&l);
	close_victim(&l);
	load_free(&l);
	event_base_free(base);
}

/* --- the sandbox of one thread --- */

struct inmate {
	struct load *l;
	int what, entered;
	bool leave;
};

static void leave_cb(evutil_socket_t fd, short what, void *arg)
{
	struct inmate *in = arg;

	(void)fd;
	(void)what;
	if (__atomic_load_n(&in->leave, __ATOMIC_SEQ_CST))
		event_base_loopbreak(in->l->base);
}

static void enter_cb(evutil_socket_t fd, short what, void *arg)
{
	struct inmate *in = arg;

	(void)fd;
	(void)what;
	refuse(in->what);
	__atomic_store_n(&in->entered, 1, __ATOMIC_SEQ_CST);
}

static void *inmate_main(void *arg)
{
	struct inmate *in = arg;
	struct event *leave = st_event_new(in->l->base, -1, EV_PERSIST, leave_cb, in);

	st_add(leave, &soon);
	st_check(event_base_once(in->l->base, -1, EV_TIMEOUT, enter_cb, in, &soon) == 0, "once");
	st_check(event_base_loop(in->l->base, 0) == 0, "event_base_loop");
	event_free(leave);
	return NULL;
}

/*
 * The thread that loops enters a sandbox while it loops, another thread goes on adding, deleting
 * and closing, and takes the loop over in the end.
 */
static void t_refused_in_thread(int what)
{
	struct event_base *base;
	struct load l;
	struct inmate in = {.l = &l};
	pthread_t thread;

	st_check(evthread_use_pthreads() == 0, "evthread_use_pthreads");
	base = base_on_uring();
	load_new(&l, base);
	load_add_all(&l);
	in.what = refusal_for(base, what);
	st_check(pthread_create(&thread, NULL, inmate_main, &in) == 0, "pthread_create");
	while (!__atomic_load_n(&in.entered, __ATOMIC_SEQ_CST))
		usleep(500);
	for (int i = 0; i < 50; i++) {
		struct st_pair p = st_socketpair();
		int calls = 0;
		struct event *ev =
		    st_event_new(base, p.ours, EV_READ | EV_PERSIST, drain_cb, &calls);

		st_add(ev, NULL);
		st_put(p.peer);
		for (int ms = 0; !__atomic_load_n(&calls, __ATOMIC_SEQ_CST); ms++) {
			st_check(ms < ST_BOUND_S * 1000, "a read added from outside is lost");
			usleep(1000);
		}
		st_check(event_del(ev) == 0, "event_del");
		close(p.ours);
		st_check(st_peer_gone(p.peer), "the peer sees no end");
		close(p.peer);
		event_free(ev);
	}
	close_victim(&l);
	__atomic_store_n(&in.leave, true, __ATOMIC_SEQ_CST);
	st_check(pthread_join(thread, NULL) == 0, "pthread_join");
	load_act(&l, false);
	load_act(&l, true);
	load_check(&l);
	load_free(&l);
	event_base_free(base);
}

/* --- choosing the method --- */

/* bits: 1 EVENT_NOIO_URING, 2 EVENT_NOEPOLL, 4 EVENT_NOPOLL, 8 ask the base to ignore all that. */
static void t_environment(int bits)
{
	static const char *const name[] = {"EVENT_NOIO_URING", "EVENT_NOEPOLL", "EVENT_NOPOLL"};
	struct event_config *cfg = event_config_new();
	struct event_base *base;
	bool uring = kernel_has_uring();

	for (int i = 0; i < 3; i++) {
		unsetenv(name[i]);
		if (bits & (1 << i))
			setenv(name[i], "1", 1);
	}
	if (bits & 8)
		event_config_set_flag(cfg, EVENT_BASE_FLAG_IGNORE_ENV);
	base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	if (bits & 8)
		for (int i = 0; i < 3; i++)
			unsetenv(name[i]);
	check_method(base, expected_method(uring, true));
	if (base) {
		st_workout(base);
		event_base_free(base);
	}
}

/* The same by event_config_avoid_method. */
static void t_avoid(int bits)
{
	static const char *const name[] = {"io_uring", "epoll", "poll"};
	struct event_config *cfg = event_config_new();
	struct event_base *base;
	const char *expected;

	unsetenv("EVENT_NOIO_URING");
	unsetenv("EVENT_NOEPOLL");
	unsetenv("EVENT_NOPOLL");
	for (int i = 0; i < 3; i++)
		if (bits & (1 << i))
			st_check(event_config_avoid_method(cfg, name[i]) == 0, "avoid_method");
	base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	if (bits & 4) /* the table of expectations is written in the environment's words */
		setenv("EVENT_NOPOLL", "1", 1);
	expected = expected_method(!(bits & 1) && kernel_has_uring(), !(bits & 2));
	check_method(base, expected);
	if (base) {
		st_workout(base);
		event_base_free(base);
	}
}

/* Features that only some methods have. */
static void t_features(int feature)
{
	struct event_config *cfg = event_config_new();
	struct event_base *base;

	unsetenv("EVENT_NOIO_URING");
	unsetenv("EVENT_NOEPOLL");
	unsetenv("EVENT_NOPOLL");
	st_check(event_config_require_features(cfg, feature) == 0, "require_features");
	base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	st_check(base, "no method has the feature 0x%x", (unsigned)feature);
	st_check((event_base_get_features(base) & feature) == feature, "%s has the features 0x%x",
	    event_base_get_method(base), (unsigned)event_base_get_features(base));
	if (feature == EV_FEATURE_FDS)
		st_check(st_method_is(base, "poll"), "%s takes regular files?",
		    event_base_get_method(base));
	st_workout(base);
	event_base_free(base);
}

static const struct st_case cases[] = {
    {"setup_eperm", t_refused_at_start, URING_SETUP, 0},
    {"setup_enosys", t_refused_at_start, URING_SETUP | WITH_ENOSYS, 0},
    {"all_uring_eperm", t_refused_at_start, URING, 0},
    {"all_uring_enosys", t_refused_at_start, URING | WITH_ENOSYS, 0},
    {"enter_eperm_at_start", t_refused_at_start, URING_ENTER, 0},
    {"enter_enosys_at_start", t_refused_at_start, URING_ENTER | WITH_ENOSYS, 0},
    {"register_eperm_at_start", t_refused_at_start, URING_REGISTER, 0},
    {"uring_and_epoll_eperm", t_refused_at_start, URING | EPOLL, 0},
    {"uring_and_epoll_enosys", t_refused_at_start, URING | EPOLL | WITH_ENOSYS, 0},
    {"enter_eperm_later", t_refused_later, URING_ENTER, 0},
    {"enter_enosys_later", t_refused_later, URING_ENTER | WITH_ENOSYS, 0},
    {"all_uring_eperm_later", t_refused_later, URING, 0},
    {"all_uring_enosys_later", t_refused_later, URING | WITH_ENOSYS, 0},
    {"uring_and_epoll_eperm_later", t_refused_later, URING | EPOLL, 0},
    {"uring_and_epoll_enosys_later", t_refused_later, URING | EPOLL | WITH_ENOSYS, 0},
    {"setup_eperm_later", t_refused_later, URING_SETUP, 0},
    {"register_eperm_later", t_refused_later, URING_REGISTER, 0},
    {"enter_eperm_between_loops", t_refused_later, URING_ENTER | OUTSIDE_CALLBACK, 0},
    {"all_uring_enosys_between_loops", t_refused_later, URING | WITH_ENOSYS | OUTSIDE_CALLBACK, 0},
    {"enter_eperm_then_close", t_refused_then_close, URING_ENTER, 0},
    {"all_uring_enosys_then_close", t_refused_then_close, URING | WITH_ENOSYS, 0},
    {"enter_eperm_then_close_outside", t_refused_then_close, URING_ENTER | OUTSIDE_CALLBACK, 0},
    {"uring_and_epoll_eperm_then_close", t_refused_then_close, URING | EPOLL, 0},
    {"enter_eperm_then_base_free", t_refused_then_base_free, URING_ENTER, 0},
    {"all_uring_eperm_then_base_free", t_refused_then_base_free, URING, 0},
    {"enter_eperm_before_loop", t_refused_before_loop, URING_ENTER, 0},
    {"register_eperm_before_loop", t_refused_before_loop, URING_REGISTER, 0},
    {"all_uring_eperm_before_loop", t_refused_before_loop, URING, 0},
    {"enter_eperm_then_reinit", t_refused_then_reinit, URING_ENTER, 0},
    {"all_uring_eperm_then_reinit", t_refused_then_reinit, URING, 0},
    {"enter_eperm_in_thread", t_refused_in_thread, URING_ENTER, 0},
    {"all_uring_enosys_in_thread", t_refused_in_thread, URING | WITH_ENOSYS, 0},
    {"env_nothing", t_environment, 0, 0},
    {"env_no_uring", t_environment, 1, 0},
    {"env_no_epoll", t_environment, 2, 0},
    {"env_no_uring_no_epoll", t_environment, 3, 0},
    {"env_no_poll", t_environment, 4, 0},
    {"env_no_method", t_environment, 7, ST_OURS_ONLY},
    {"env_ignored", t_environment, 15, 0},
    {"avoid_uring", t_avoid, 1, 0},
    {"avoid_uring_and_epoll", t_avoid, 3, 0},
    {"avoid_all", t_avoid, 7, ST_OURS_ONLY},
    {"feature_edge", t_features, EV_FEATURE_ET, 0},
    {"feature_o1", t_features, EV_FEATURE_O1, 0},
    {"feature_early_close", t_features, EV_FEATURE_EARLY_CLOSE, 0},
    {"feature_files", t_features, EV_FEATURE_FDS, 0},
    {NULL, NULL, 0, 0},
};

int main(int argc, char **argv)
{
	return st_main(argc, argv, cases);
}
