/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One base and many processes. fork() copies a program's memory but not its io_uring: the ring that
 * a child inherits still is its parent's. So a child calls event_reinit and both go on; or it never
 * does, as every daemon that forks after event_base_new, and works all the same; or it deletes,
 * frees and exits, and its parent does not notice. exec inherits nothing.
 *
 * Every scenario here may be run with locks as well (STRESS_LOCKS=1), which adds the base's
 * eventfd.
 */
#include "stress_common.h"

static const struct timeval soon = {0, 2000};
static const struct timeval long_time = {3600, 0};

/* --- what a base carries across a fork --- */

struct load {
	struct event_base *base;
	struct st_pair p; /* read by `read` */
	struct event *read, *timer, *signal;
	int reads, ticks, signals;
};

static void load_read_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)what;
	st_drain(fd);
	++*(int *)arg;
}

static void load_new(struct load *l, struct event_base *base)
{
	memset(l, 0, sizeof(*l));
	l->base = base;
	l->p = st_socketpair();
	l->read = st_event_new(base, l->p.ours, EV_READ | EV_PERSIST, load_read_cb, &l->reads);
	l->timer = st_event_new(base, -1, EV_PERSIST, st_count_cb, &l->ticks);
	l->signal = st_event_new(base, SIGUSR1, EV_SIGNAL | EV_PERSIST, st_count_cb, &l->signals);
}

static void load_add(struct load *l)
{
	st_add(l->read, NULL);
	st_add(l->timer, &soon);
	st_add(l->signal, NULL);
}

static void load_del(struct load *l)
{
	event_del(l->read);
	event_del(l->timer);
	event_del(l->signal);
}

/* All that the base carries still comes, in this process. */
static void load_works(struct load *l, const char *who)
{
	int reads = l->reads, ticks = l->ticks, signals = l->signals;

	st_put(l->p.peer);
	st_check(st_run_until(l->base, &l->reads, reads + 1), "%s: the read is lost (%s)", who,
	    event_base_get_method(l->base));
	st_check(st_run_until(l->base, &l->ticks, ticks + 1), "%s: the timer is lost", who);
	kill(getpid(), SIGUSR1);
	st_check(st_run_until(l->base, &l->signals, signals + 1), "%s: the signal is lost", who);
	st_check(l->reads == reads + 1 && l->signals == signals + 1,
	    "%s: %d reads and %d signals, not one each", who, l->reads - reads,
	    l->signals - signals);
}

static void load_free(struct load *l)
{
	event_free(l->read);
	event_free(l->timer);
	event_free(l->signal);
	st_close_pair(&l->p);
}

static pid_t st_fork(void)
{
	pid_t pid = fork();

	st_check(pid >= 0, "fork: %s", strerror(errno));
	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, 0);
	return pid;
}

/* --- event_reinit --- */

/*
 * Parent and child carry each their own load, armed in one base before the fork. Each drops the
 * other's and goes on. how: bit 0, the loop has run before; bit 1, the child forks again and the
 * grandchild does the same.
 */
static void reinit_child(struct load *mine, struct load *theirs, int depth)
{
	st_check(event_reinit(mine->base) == 0, "event_reinit");
	load_del(theirs);
	load_works(mine, "child");
	if (depth > 0) {
		pid_t pid = st_fork();

		if (pid == 0) {
			st_check(event_reinit(mine->base) == 0, "event_reinit");
			load_works(mine, "grandchild");
			_exit(0);
		}
		st_wait_child(pid);
		load_works(mine, "child");
	}
	st_workout(mine->base);
	load_free(mine);
	load_free(theirs);
	event_base_free(mine->base);
	_exit(0);
}

static void t_reinit(int how)
{
	for (int round = 0; round < 10; round++) {
		struct event_base *base = st_base_new();
		struct load mine, theirs;
		pid_t pid;

		load_new(&mine, base);
		load_new(&theirs, base);
		load_add(&mine);
		load_add(&theirs);
		if (how & 1)
			st_passes(base, 2);
		pid = st_fork();
		if (pid == 0)
			reinit_child(&theirs, &mine, !!(how & 2));
		load_del(&theirs);
		load_works(&mine, "parent, meanwhile");
		st_wait_child(pid);
		load_works(&mine, "parent, after");
		st_workout(base);
		load_free(&mine);
		load_free(&theirs);
		event_base_free(base);
	}
}

/* The events were active already when the process forked: both sides still owe their callbacks. */
static void t_reinit_active(int unused)
{
	struct event_base *base = st_base_new();
	struct load l;
	pid_t pid;

	(void)unused;
	load_new(&l, base);
	load_add(&l);
	st_passes(base, 2);
	event_active(l.read, EV_READ, 1);
	st_put(l.p.peer);
	pid = st_fork();
	if (pid == 0) {
		/* The byte is shared: only one of the two processes can take it. */
		st_check(event_reinit(base) == 0, "event_reinit");
		st_check(st_run_until(base, &l.reads, 1), "child: the active event is lost");
		_exit(0);
	}
	st_check(st_run_until(base, &l.reads, 1), "parent: the active event is lost");
	st_wait_child(pid);
	load_free(&l);
	event_base_free(base);
}

/* A child has one signal, its parent another: neither hears the other's. */
static void t_reinit_signals(int unused)
{
	struct event_base *base = st_base_new();
	struct load l;
	pid_t pid;

	(void)unused;
	load_new(&l, base);
	load_add(&l);
	st_passes(base, 2);
	pid = st_fork();
	if (pid == 0) {
		st_check(event_reinit(base) == 0, "event_reinit");
		for (int i = 1; i <= 20; i++) {
			kill(getpid(), SIGUSR1);
			st_check(st_run_until(base, &l.signals, i), "child: a signal is lost");
		}
		st_passes(base, 3);
		st_check(l.signals == 20, "child: %d signals, not 20", l.signals);
		_exit(0);
	}
	for (int i = 1; i <= 20; i++) {
		kill(getpid(), SIGUSR1);
		st_check(st_run_until(base, &l.signals, i), "parent: a signal is lost");
	}
	st_wait_child(pid);
	st_passes(base, 3);
	st_check(l.signals == 20, "parent: %d signals, not 20", l.signals);
	load_free(&l);
	event_base_free(base);
}

/* --- daemons --- */

enum stage { ST_NEW, ST_ADDED, ST_ARMED, STAGES };

/* What the daemon does: all as if it had made the base itself. alone: nobody else has its files
 * open. */
static void be_daemon(struct load *l, enum stage stage, bool alone)
{
	if (stage == ST_NEW)
		load_add(l);
	load_works(l, "daemon");
	st_workout(l->base);
	event_del(l->read);
	close(l->p.ours);
	st_check(!alone || st_peer_gone(l->p.peer), "daemon: the peer sees no end");
	l->p.ours = -1;
	load_free(l);
	st_workout(l->base);
	event_base_free(l->base);
	_exit(0);
}

/*
 * Makes a base, brings it to the stage, forks, and exits in the parent, as daemon(3) does; the
 * child goes on without event_reinit once its parent is dead for certain.
 */
static void t_daemon(int stage)
{
	int alive[2], status;
	pid_t first, pid;

	st_check(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0, "prctl");
	st_check(pipe2(alive, O_CLOEXEC) == 0, "pipe2");
	first = st_fork();
	if (first == 0) {
		struct load l;
		char c;

		load_new(&l, st_base_new());
		if (stage >= ST_ADDED)
			load_add(&l);
		if (stage >= ST_ARMED)
			st_passes(l.base, 3);
		if (st_fork() > 0)
			_exit(0);
		close(alive[1]);
		st_check(read(alive[0], &c, 1) == 0, "read");
		be_daemon(&l, (enum stage)stage, true);
	}
	close(alive[1]);
	st_wait_child(first);
	while ((pid = waitpid(-1, &status, 0)) < 0 && errno == EINTR)
		continue;
	st_check(pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0,
	    "the daemon ended with status 0x%x", (unsigned)status);
}

/* The same while the parent waits for its child to be up, as daemons that report readiness do. */
static void t_daemon_parent_waits(int stage)
{
	struct load l;
	pid_t pid;

	load_new(&l, st_base_new());
	if (stage >= ST_ADDED)
		load_add(&l);
	if (stage >= ST_ARMED)
		st_passes(l.base, 3);
	pid = st_fork();
	if (pid == 0)
		be_daemon(&l, (enum stage)stage, false);
	st_wait_child(pid);
	load_free(&l);
	event_base_free(l.base);
}

/* --- children that do harm elsewhere --- */

enum harm {
	CHILD_EXITS,
	CHILD_FREES_BASE,
	CHILD_DELETES,
	CHILD_FREES_EVENTS,
	CHILD_CLOSES_ALL,
	CHILD_REINIT_FREES,
	CHILD_REINIT_DELETES,
	CHILD_ADDS,
};

static void do_harm(struct load *l, enum harm harm)
{
	switch (harm) {
	case CHILD_EXITS:
		break;
	case CHILD_FREES_BASE:
		event_base_free(l->base);
		break;
	case CHILD_DELETES:
		load_del(l);
		break;
	case CHILD_FREES_EVENTS:
		load_free(l);
		event_base_free(l->base);
		break;
	case CHILD_CLOSES_ALL:
		for (int fd = 3; fd < 200; fd++)
			close(fd);
		break;
	case CHILD_REINIT_FREES:
		st_check(event_reinit(l->base) == 0, "event_reinit");
		load_free(l);
		event_base_free(l->base);
		break;
	case CHILD_REINIT_DELETES:
		st_check(event_reinit(l->base) == 0, "event_reinit");
		load_del(l);
		break;
	case CHILD_ADDS:
		event_add(l->read, &long_time);
		event_add(l->timer, &long_time);
		event_active(l->read, EV_READ, 1);
		break;
	}
	_exit(0);
}

static void t_harm(int harm)
{
	for (int round = 0; round < 10; round++) {
		struct event_base *base = st_base_new();
		struct load l;
		pid_t pid;

		load_new(&l, base);
		load_add(&l);
		st_passes(base, 2);
		pid = st_fork();
		if (pid == 0)
			do_harm(&l, (enum harm)harm);
		st_wait_child(pid);
		load_works(&l, "parent");
		load_works(&l, "parent");
		st_workout(base);
		load_free(&l);
		event_base_free(base);
	}
}

/*
 * A child that lives on and has closed what it knows of still has a copy of the base's own files.
 * That must keep nothing open for the parent. how: 0 event_del + close, 1 event_base_free + close.
 */
static void t_child_lives_on(int how)
{
	struct event_base *base = st_base_new();
	struct st_pair p = st_socketpair(), q = st_socketpair();
	int calls = 0;
	struct event *ev = st_event_new(base, p.ours, EV_READ | EV_PERSIST, st_count_cb, &calls);
	pid_t pid;
	char c;

	st_add(ev, NULL);
	st_passes(base, 2);
	pid = st_fork();
	if (pid == 0) {
		st_close_pair(&p);
		close(q.peer);
		st_put(q.ours);
		poll(&(struct pollfd){.fd = q.ours, .events = POLLIN}, 1, ST_BOUND_S * 1000);
		_exit(0);
	}
	close(q.ours);
	poll(&(struct pollfd){.fd = q.peer, .events = POLLIN}, 1, ST_BOUND_S * 1000);
	st_check(read(q.peer, &c, 1) == 1, "the child never came up");
	if (how == 0)
		event_del(ev);
	else
		event_base_free(base);
	close(p.ours);
	st_check(st_peer_gone(p.peer), "the peer sees no end while a child lives");
	close(q.peer);
	st_wait_child(pid);
	if (how == 0) {
		event_free(ev);
		event_base_free(base);
	} else {
		st_forget(ev);
	}
	close(p.peer);
}

/* --- exec --- */

/* The names behind this process's open files, sorted out by the caller. */
static void print_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;

	while (d && (e = readdir(d))) {
		char path[300], target[300];
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/self/fd/%s", e->d_name);
		n = readlink(path, target, sizeof(target) - 1);
		if (n <= 0 || atoi(e->d_name) == dirfd(d))
			continue;
		target[n] = 0;
		printf("%s %s\n", e->d_name, target);
	}
	if (d)
		closedir(d);
}

/* Runs this program again to list what it inherits; returns the list, which the caller frees. */
static char *inherited(void)
{
	char *list = calloc(1, 65536);
	size_t used = 0;
	ssize_t n;
	int fd[2];
	pid_t pid;

	st_check(list && pipe2(fd, O_CLOEXEC) == 0, "pipe2");
	pid = st_fork();
	if (pid == 0) {
		dup2(fd[1], 1);
		setenv("STRESS_LIST_FDS", "1", 1);
		execl(st_program, st_program, (char *)NULL);
		_exit(127);
	}
	close(fd[1]);
	while ((n = read(fd[0], list + used, 65535 - used)) > 0)
		used += (size_t)n;
	close(fd[0]);
	st_wait_child(pid);
	st_check(used > 0, "the list is empty");
	return list;
}

static int count_lines(const char *s)
{
	int n = 0;

	for (; *s; s++)
		n += *s == '\n';
	return n;
}

static void check_inherits_nothing(const char *before, const char *when)
{
	char *now = inherited();

	st_check(!strstr(now, "io_uring") && !strstr(now, "eventpoll") && !strstr(now, "eventfd") &&
		     !strstr(now, "socket:["),
	    "%s, exec inherits: %s", when, now);
	st_check(count_lines(now) == count_lines(before), "%s, exec inherits: %s", when, now);
	free(now);
}

static void exec_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	check_inherits_nothing(arg, "in a callback");
}

static void t_exec(int unused)
{
	char *before = inherited();
	struct event_base *base;
	struct load l;

	(void)unused;
	st_check(!strstr(before, "socket:["), "the test itself was given a socket");
	base = st_base_new();
	check_inherits_nothing(before, "after event_base_new");
	load_new(&l, base);
	load_add(&l);
	st_workout(base);
	check_inherits_nothing(before, "after a workout");
	st_check(event_base_once(base, -1, EV_TIMEOUT, exec_cb, before, NULL) == 0, "once");
	st_passes(base, 2);
	st_check(event_reinit(base) == 0, "event_reinit");
	check_inherits_nothing(before, "after event_reinit");
	load_works(&l, "after exec");
	load_free(&l);
	event_base_free(base);
	free(before);
}

/* --- many bases --- */

static void t_many_bases(int unused)
{
	int before = st_count_fds();

	(void)unused;
	for (int i = 0; i < 3000; i++) {
		struct event_base *base = st_base_new();

		if (i % 3 == 1)
			st_pass(base);
		if (i % 3 == 2) {
			struct st_pair p = st_socketpair();
			int calls = 0;
			struct event *ev =
			    st_event_new(base, p.ours, EV_READ | EV_PERSIST, st_count_cb, &calls);

			st_add(ev, NULL);
			st_put(p.peer);
			st_pass(base);
			st_check(calls == 1, "base %d: %d calls", i, calls);
			if (i % 2)
				event_free(ev);
			event_base_free(base);
			if (!(i % 2))
				st_forget(ev);
			st_close_pair(&p);
			continue;
		}
		event_base_free(base);
	}
	st_check(st_count_fds() == before, "%d files open, %d before", st_count_fds(), before);
}

static void t_bases_side_by_side(int unused)
{
	enum { BASES = 200 };
	int before = st_count_fds();
	struct load l[BASES];

	(void)unused;
	for (int i = 0; i < BASES; i++) {
		load_new(&l[i], st_base_new());
		st_add(l[i].read, NULL);
		st_pass(l[i].base);
	}
	for (int i = 0; i < BASES; i++)
		st_put(l[i].p.peer);
	for (int i = BASES - 1; i >= 0; i--) {
		st_check(st_run_until(l[i].base, &l[i].reads, 1), "base %d lost a read", i);
		load_free(&l[i]);
		event_base_free(l[i].base);
	}
	st_check(st_count_fds() == before, "%d files open, %d before", st_count_fds(), before);
}

/* event_reinit over and over, in one process. */
static void t_many_reinits(int unused)
{
	struct event_base *base = st_base_new();
	struct load l;
	int before;

	(void)unused;
	load_new(&l, base);
	load_add(&l);
	st_passes(base, 2);
	before = st_count_fds();
	for (int i = 0; i < 300; i++) {
		st_check(event_reinit(base) == 0, "event_reinit %d", i);
		if (i % 50 == 0)
			load_works(&l, "after event_reinit");
	}
	st_check(st_count_fds() == before, "%d files open, %d before", st_count_fds(), before);
	load_works(&l, "at the end");
	load_free(&l);
	event_base_free(base);
}

/* --- fork while the loop runs --- */

struct forker {
	struct load mine, theirs;
	bool is_child, child_reinits;
	pid_t pid;
	int forked;
};

static void fork_cb(evutil_socket_t fd, short what, void *arg)
{
	struct forker *f = arg;

	(void)fd;
	(void)what;
	f->forked++;
	f->pid = st_fork();
	if (f->pid == 0) {
		f->is_child = true;
		if (f->child_reinits)
			st_check(event_reinit(f->mine.base) == 0, "event_reinit in a callback");
	}
}

/*
 * A callback forks and both processes return into the loop. child_goes_on 1: the child has called
 * event_reinit; 0: the child exits at once.
 */
static void t_fork_in_callback(int child_goes_on)
{
	struct forker f = {.child_reinits = child_goes_on};
	struct event_base *base = st_base_new();
	struct load *mine;

	load_new(&f.mine, base);
	load_new(&f.theirs, base);
	load_add(&f.mine);
	load_add(&f.theirs);
	st_passes(base, 2);
	st_check(event_base_once(base, -1, EV_TIMEOUT, fork_cb, &f, &soon) == 0, "once");
	st_check(st_run_until(base, &f.forked, 1), "the timer never fired");
	if (f.is_child && !child_goes_on)
		_exit(0);
	mine = f.is_child ? &f.theirs : &f.mine;
	load_del(f.is_child ? &f.mine : &f.theirs);
	load_works(mine, f.is_child ? "child" : "parent");
	st_workout(base);
	if (f.is_child)
		_exit(0);
	st_wait_child(f.pid);
	load_works(mine, "parent, after");
	load_free(&f.mine);
	load_free(&f.theirs);
	event_base_free(base);
}

/* A callback forks, the parent dies there, and the child returns into the loop without
 * event_reinit. */
static void daemon_cb(evutil_socket_t fd, short what, void *arg)
{
	int *alive = arg;
	char c;

	(void)fd;
	(void)what;
	if (st_fork() > 0)
		_exit(0);
	close(alive[1]);
	st_check(read(alive[0], &c, 1) == 0, "read");
	alive[2]++;
}

static void t_daemon_in_callback(int unused)
{
	int alive[3] = {-1, -1, 0}, status;
	pid_t first, pid;

	(void)unused;
	st_check(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0, "prctl");
	st_check(pipe2(alive, O_CLOEXEC) == 0, "pipe2");
	first = st_fork();
	if (first == 0) {
		struct load l;

		load_new(&l, st_base_new());
		load_add(&l);
		st_passes(l.base, 2);
		st_check(event_base_once(l.base, -1, EV_TIMEOUT, daemon_cb, alive, &soon) == 0,
		    "event_base_once");
		st_check(st_run_until(l.base, &alive[2], 1), "the timer never fired");
		be_daemon(&l, ST_ARMED, true);
	}
	close(alive[1]);
	st_wait_child(first);
	while ((pid = waitpid(-1, &status, 0)) < 0 && errno == EINTR)
		continue;
	st_check(pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0,
	    "the daemon ended with status 0x%x", (unsigned)status);
}

static void system_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	st_check(system("exit 0") == 0, "system");
	++*(int *)arg;
}

/* Programs run other programs from their callbacks. */
static void t_system_in_callback(int unused)
{
	struct event_base *base = st_base_new();
	struct load l;
	int runs = 0;
	struct event *ev = st_event_new(base, -1, EV_PERSIST, system_cb, &runs);

	(void)unused;
	load_new(&l, base);
	load_add(&l);
	st_add(ev, &soon);
	for (int i = 1; i <= 20; i++) {
		st_check(st_run_until(base, &runs, i), "the timer is lost");
		load_works(&l, "parent");
	}
	event_free(ev);
	load_free(&l);
	event_base_free(base);
}

static const struct st_case cases[] = {
    {"reinit_before_loop", t_reinit, 0, 0},
    {"reinit_after_loop", t_reinit, 1, 0},
    {"reinit_grandchild", t_reinit, 3, 0},
    {"reinit_with_active_event", t_reinit_active, 0, 0},
    {"reinit_signals_apart", t_reinit_signals, 0, 0},
    {"daemon_after_base_new", t_daemon, ST_NEW, 0},
    {"daemon_after_add", t_daemon, ST_ADDED, 0},
    {"daemon_after_loop", t_daemon, ST_ARMED, 0},
    {"daemon_in_callback", t_daemon_in_callback, 0, 0},
    {"daemon_parent_waits_after_base_new", t_daemon_parent_waits, ST_NEW, 0},
    {"daemon_parent_waits_after_add", t_daemon_parent_waits, ST_ADDED, 0},
    {"daemon_parent_waits_after_loop", t_daemon_parent_waits, ST_ARMED, 0},
    {"child_exits", t_harm, CHILD_EXITS, 0},
    {"child_frees_base", t_harm, CHILD_FREES_BASE, ST_STOCK_FAILS},
    {"child_deletes_events", t_harm, CHILD_DELETES, ST_STOCK_FAILS},
    {"child_frees_everything", t_harm, CHILD_FREES_EVENTS, ST_STOCK_FAILS},
    {"child_closes_all", t_harm, CHILD_CLOSES_ALL, 0},
    {"child_reinits_and_frees", t_harm, CHILD_REINIT_FREES, 0},
    {"child_reinits_and_deletes", t_harm, CHILD_REINIT_DELETES, 0},
    {"child_adds_events", t_harm, CHILD_ADDS, 0},
    {"child_lives_on_del_close", t_child_lives_on, 0, 0},
    {"child_lives_on_base_free", t_child_lives_on, 1, 0},
    {"exec_inherits_nothing", t_exec, 0, 0},
    {"many_bases_leave_no_file", t_many_bases, 0, 0},
    {"bases_side_by_side", t_bases_side_by_side, 0, 0},
    {"many_reinits_leave_no_file", t_many_reinits, 0, 0},
    {"fork_in_callback_child_exits", t_fork_in_callback, 0, 0},
    {"fork_in_callback_both_go_on", t_fork_in_callback, 1, 0},
    {"system_in_callback", t_system_in_callback, 0, 0},
    {NULL, NULL, 0, 0},
};

int main(int argc, char **argv)
{
	if (getenv("STRESS_LIST_FDS")) {
		print_fds();
		return 0;
	}
	return st_main(argc, argv, cases);
}
