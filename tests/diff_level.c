/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is reported about fds, when, and how often: level semantics first of all (what is still
 * there is reported again), then the kinds of files that can be watched and those that are refused,
 * how errors and hang-ups are mapped to READ and WRITE, EV_CLOSED, EV_ET, several events on one fd,
 * and what happens to fd numbers that are closed and used again. Readiness that the kernel gives a
 * moment later (ttys, timers) is waited for with EVLOOP_ONCE, all the rest is looked at with single
 * passes.
 */
#include "diff_common.h"

#include <limits.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <termios.h>

enum { ALWAYS_READY = 70 };

static struct event_base *base;

/* ---- level semantics ---- */

static void read_two_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)arg;
	say("%s, took %d", bits(what), take(fd, 2));
}

static void partial_read_is_reported_again(void)
{
	int fd[2];

	base = new_base();
	new_pair(fd);
	struct event *ev = event_new(base, fd[0], EV_READ | EV_PERSIST, read_two_cb, NULL);
	event_add(ev, NULL);
	put(fd[1], "12345");
	passes(base, 4);
	put(fd[1], "6");
	passes(base, 2);
}

static void partial_read_of_a_pipe(void)
{
	int fd[2];

	base = new_base();
	new_pipe(fd);
	struct event *ev = event_new(base, fd[0], EV_READ | EV_PERSIST, read_two_cb, NULL);
	event_add(ev, NULL);
	put(fd[1], "12345");
	passes(base, 4);
}

static void unread_data_is_reported_for_ever(void)
{
	int fd[2], n = 0;

	base = new_base();
	new_pair(fd);
	struct event *ev = event_new(base, fd[0], EV_READ | EV_PERSIST, count_cb, &n);
	event_add(ev, NULL);
	put(fd[1], "x");
	for (int i = 0; i < 50; i++)
		one_pass(base);
	say("50 passes, %d callbacks", n);
}

static void non_persistent_is_reported_once(void)
{
	int fd[2];

	base = new_base();
	new_pair(fd);
	struct event *ev = watch(base, fd[0], EV_READ, "once");
	put(fd[1], "x");
	passes(base, 2);
	say("pending %s", pending(ev));
	say_add("again", ev);
	passes(base, 2);
}

static void readd_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	++*(int *)arg;
	event_add(event_base_get_running_event(base), NULL);
}

/*
 * Stock's epoll takes 32 events a pass at first and doubles that when it got as many as it asked
 * for, so the first passes only say that nothing came twice.
 */
static void each_pass_has_each(event_callback_fn cb, short extra)
{
	int count[ALWAYS_READY] = {0}, before[ALWAYS_READY] = {0};

	base = new_base();
	for (int i = 0; i < ALWAYS_READY; i++) {
		int fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
		MUST(fd >= 0);
		event_add(event_new(base, fd, (short)(EV_READ | extra), cb, &count[i]), NULL);
	}
	for (int pass = 1; pass <= 8; pass++) {
		int low = INT_MAX, high = 0;
		one_pass(base);
		for (int i = 0; i < ALWAYS_READY; i++) {
			int now = count[i] - before[i];
			low = now < low ? now : low;
			high = now > high ? now : high;
			before[i] = count[i];
		}
		say("pass %d: none more than %d times", pass, high);
		if (pass > 4)
			say("none less than %d times", low);
	}
}

static void many_ready_persistent(void)
{
	each_pass_has_each(count_cb, EV_PERSIST);
}

static void many_ready_added_again_in_the_callback(void)
{
	each_pass_has_each(readd_cb, 0);
}

static void half_of_many_ready(void)
{
	enum { MANY = 60 };
	int count[MANY] = {0}, fds[MANY];

	base = new_base();
	for (int i = 0; i < MANY; i++) {
		fds[i] = eventfd((unsigned)(i & 1), EFD_NONBLOCK | EFD_CLOEXEC);
		MUST(fds[i] >= 0);
		event_add(event_new(base, fds[i], EV_READ | EV_PERSIST, count_cb, &count[i]), NULL);
	}
	for (int pass = 1; pass <= 3; pass++) {
		int even = 0, odd = 0;
		one_pass(base);
		for (int i = 0; i < MANY; i++)
			*(i & 1 ? &odd : &even) += count[i];
		say("after pass %d: even %d odd %d", pass, even, odd);
		for (int i = 0; pass == 1 && i < MANY; i++)
			if (i & 1)
				MUST(take(fds[i], 8) == 8);
			else
				MUST(eventfd_write(fds[i], 1) == 0);
	}
}

static void poke_other_cb(evutil_socket_t fd, short what, void *arg)
{
	say("first: %s", bits(what));
	take(fd, 1);
	put(*(int *)arg, "y");
}

static void data_made_in_a_callback_comes_next_pass(void)
{
	int a[2], b[2];

	base = new_base();
	new_pair(a);
	new_pair(b);
	event_add(event_new(base, a[0], EV_READ | EV_PERSIST, poke_other_cb, &b[1]), NULL);
	watch(base, b[0], EV_READ | EV_PERSIST, "second");
	put(a[1], "x");
	passes(base, 3);
}

static void add_other_cb(evutil_socket_t fd, short what, void *arg)
{
	say("adding: %s", bits(what));
	take(fd, 1);
	event_add(arg, NULL);
}

static void event_added_in_a_callback_comes_next_pass(void)
{
	int a[2], b[2];

	base = new_base();
	new_pair(a);
	new_pair(b);
	put(a[1], "x");
	put(b[1], "x");
	struct event *late = event_new(base, b[0], EV_READ, note_cb, "late");
	event_add(event_new(base, a[0], EV_READ | EV_PERSIST, add_other_cb, late), NULL);
	passes(base, 3);
}

/* ---- kinds of files ---- */

static void pipes(void)
{
	int fd[2];

	base = new_base();
	new_pipe(fd);
	watch(base, fd[0], EV_READ | EV_PERSIST, "reader");
	struct event *w = watch(base, fd[1], EV_WRITE | EV_PERSIST, "writer");
	passes(base, 1);
	event_del(w);
	put(fd[1], "x");
	passes(base, 1);
	MUST(take(fd[0], 10) == 1);
	fill(fd[1]);
	event_del(w);
	struct event *full = watch(base, fd[1], EV_WRITE | EV_PERSIST, "full writer");
	passes(base, 1);
	event_del(full);
}

static void pipe_whose_writer_is_gone(void)
{
	int fd[2];

	base = new_base();
	new_pipe(fd);
	put(fd[1], "x");
	close(fd[1]);
	watch(base, fd[0], EV_READ | EV_PERSIST, "reader");
	passes(base, 1);
	MUST(take(fd[0], 1) == 1);
	passes(base, 2);
	say("end of file: %d", take(fd[0], 1));
}

static void pipe_whose_writer_goes(void)
{
	int fd[2];

	base = new_base();
	new_pipe(fd);
	struct event *r = watch(base, fd[0], EV_READ | EV_PERSIST, "reader");
	passes(base, 1);
	close(fd[1]);
	passes(base, 2);
	event_del(r);
	watch(base, fd[0], EV_WRITE | EV_PERSIST, "write on the reading end");
	passes(base, 1);
}

static void pipe_whose_reader_goes(void)
{
	int fd[2];

	base = new_base();
	new_pipe(fd);
	fill(fd[1]);
	struct event *w = watch(base, fd[1], EV_WRITE | EV_PERSIST, "writer");
	passes(base, 1);
	close(fd[0]);
	passes(base, 2);
	event_del(w);
	watch(base, fd[1], EV_READ | EV_PERSIST, "read on the writing end");
	passes(base, 1);
}

static void unix_stream_sockets(void)
{
	int fd[2];

	base = new_base();
	new_pair(fd);
	watch(base, fd[0], EV_READ | EV_PERSIST, "reader");
	watch(base, fd[1], EV_WRITE, "writer");
	passes(base, 1);
	put(fd[1], "x");
	passes(base, 1);
	MUST(take(fd[0], 1) == 1);
	close(fd[1]);
	passes(base, 2);
	say("end of file: %d", take(fd[0], 1));
}

static void unix_datagram_sockets(void)
{
	int fd[2];

	base = new_base();
	MUST(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fd) == 0);
	struct event *ev = event_new(base, fd[0], EV_READ | EV_PERSIST, read_two_cb, NULL);
	event_add(ev, NULL);
	put(fd[1], "long datagram");
	put(fd[1], "z");
	passes(base, 3);
}

static void udp_sockets(void)
{
	int in = bound_socket(SOCK_DGRAM, 0), out = connect_to(SOCK_DGRAM, port_of(in));

	base = new_base();
	struct event *ev = event_new(base, in, EV_READ | EV_PERSIST, read_two_cb, NULL);
	event_add(ev, NULL);
	watch(base, out, EV_WRITE, "writer");
	passes(base, 1);
	put(out, "one");
	put(out, "two");
	passes(base, 4);
}

static void udp_port_unreachable(void)
{
	int gone = bound_socket(SOCK_DGRAM, 0), out = connect_to(SOCK_DGRAM, port_of(gone));

	base = new_base();
	close(gone);
	watch(base, out, EV_READ, "reader");
	passes(base, 1);
	put(out, "x");
	event_base_loop(base, EVLOOP_ONCE);
	say("the error is still there: %s", yes(take(out, 1) == -1 && errno == ECONNREFUSED));
}

static void tcp_accept_and_connect(void)
{
	int listener = bound_socket(SOCK_STREAM, 0);

	base = new_base();
	MUST(listen(listener, 5) == 0);
	struct event *l = watch(base, listener, EV_READ | EV_PERSIST, "listener");
	passes(base, 1);
	int fd = connect_to(SOCK_STREAM, port_of(listener));
	event_base_loop(base, EVLOOP_ONCE);
	passes(base, 1);
	int in = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	MUST(in >= 0);
	passes(base, 1);
	event_del(l);
	watch(base, fd, EV_WRITE, "connected");
	event_base_loop(base, EVLOOP_ONCE);
	watch(base, in, EV_READ, "accepted");
	put(fd, "x");
	event_base_loop(base, EVLOOP_ONCE);
}

static void tcp_connection_refused(void)
{
	int gone = bound_socket(SOCK_STREAM, 0), port = port_of(gone), error = 0;
	socklen_t len = sizeof(error);

	base = new_base();
	close(gone);
	int fd = connect_to(SOCK_STREAM, port);
	watch(base, fd, EV_WRITE, "connecting");
	event_base_loop(base, EVLOOP_ONCE);
	MUST(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0);
	say("refused: %s", yes(error == ECONNREFUSED));
}

static void tcp_reset(void)
{
	struct linger at_once = {1, 0};
	int fd[2];

	base = new_base();
	tcp_pair(fd);
	MUST(setsockopt(fd[1], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)) == 0);
	struct event *ev = watch(base, fd[0], EV_READ | EV_PERSIST, "reader");
	passes(base, 1);
	close(fd[1]);
	event_base_loop(base, EVLOOP_ONCE);
	event_del(ev);
	watch(base, fd[0], EV_READ | EV_WRITE | EV_PERSIST, "both");
	passes(base, 2);
}

static void tcp_half_closed(void)
{
	int fd[2];

	base = new_base();
	tcp_pair(fd);
	struct event *ev = watch(base, fd[0], EV_READ | EV_PERSIST, "reader");
	put(fd[1], "x");
	MUST(shutdown(fd[1], SHUT_WR) == 0);
	event_base_loop(base, EVLOOP_ONCE);
	MUST(take(fd[0], 10) == 1);
	event_base_loop(base, EVLOOP_ONCE);
	event_del(ev);
	watch(base, fd[0], EV_READ | EV_WRITE | EV_PERSIST, "both");
	passes(base, 1);
	MUST(shutdown(fd[0], SHUT_RDWR) == 0);
	passes(base, 1);
}

static void open_pty(int *master, int *slave)
{
	struct termios raw;

	*master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
	MUST(*master >= 0 && grantpt(*master) == 0 && unlockpt(*master) == 0);
	*slave = open(ptsname(*master), O_RDWR | O_NOCTTY | O_NONBLOCK);
	MUST(*slave >= 0 && tcgetattr(*slave, &raw) == 0);
	cfmakeraw(&raw);
	MUST(tcsetattr(*slave, TCSANOW, &raw) == 0);
}

static void ttys(void)
{
	int master, slave;

	base = new_base();
	open_pty(&master, &slave);
	struct event *s = watch(base, slave, EV_READ | EV_PERSIST, "tty");
	struct event *m = watch(base, master, EV_READ | EV_PERSIST, "master");
	passes(base, 1);
	put(master, "ab");
	event_base_loop(base, EVLOOP_ONCE);
	MUST(take(slave, 1) == 1);
	event_base_loop(base, EVLOOP_ONCE);
	MUST(take(slave, 1) == 1);
	put(slave, "c");
	event_base_loop(base, EVLOOP_ONCE);
	MUST(take(master, 1) == 1);
	watch(base, slave, EV_WRITE, "tty writable");
	passes(base, 1);
	event_del(s);
	close(slave);
	event_base_loop(base, EVLOOP_ONCE);
	event_del(m);
	say("after the hang-up: %s", yes(take(master, 1) == -1 && errno == EIO));
}

static void timerfds(void)
{
	struct itimerspec soon = {.it_value = {0, 1000000}};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);

	base = new_base();
	MUST(fd >= 0);
	watch(base, fd, EV_READ | EV_PERSIST, "timer");
	passes(base, 1);
	MUST(timerfd_settime(fd, 0, &soon, NULL) == 0);
	event_base_loop(base, EVLOOP_ONCE);
	passes(base, 1);
	MUST(take(fd, 8) == 8);
	passes(base, 1);
}

static void inotify_fds(void)
{
	char dir[] = "/tmp/diff_level.XXXXXX", file[64];
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

	base = new_base();
	MUST(fd >= 0 && mkdtemp(dir));
	MUST(inotify_add_watch(fd, dir, IN_CREATE | IN_DELETE) >= 0);
	watch(base, fd, EV_READ | EV_PERSIST, "inotify");
	passes(base, 1);
	snprintf(file, sizeof(file), "%s/f", dir);
	MUST(mkdir(file, 0700) == 0);
	passes(base, 2);
	MUST(take(fd, 4096) > 0);
	passes(base, 1);
	MUST(rmdir(file) == 0 && rmdir(dir) == 0);
	passes(base, 1);
}

static void eventfds(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	base = new_base();
	MUST(fd >= 0);
	watch(base, fd, EV_READ | EV_PERSIST, "readable");
	struct event *w = watch(base, fd, EV_WRITE | EV_PERSIST, "writable");
	passes(base, 1);
	MUST(eventfd_write(fd, UINT64_MAX - 1) == 0);
	passes(base, 2);
	event_del(w);
	MUST(take(fd, 8) == 8);
	passes(base, 1);
}

static void epoll_fds_and_pidfds(void)
{
	int ep = epoll_create1(EPOLL_CLOEXEC), fd[2];
	struct epoll_event want = {.events = EPOLLIN};

	base = new_base();
	new_pipe(fd);
	MUST(ep >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, fd[0], &want) == 0);
	struct event *ev = watch(base, ep, EV_READ | EV_PERSIST, "epoll");
	passes(base, 1);
	put(fd[1], "x");
	passes(base, 2);
	MUST(take(fd[0], 1) == 1);
	passes(base, 1);
	event_del(ev);
	pid_t child = fork();
	MUST(child >= 0);
	if (child == 0)
		_exit(0);
	int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
	MUST(pidfd >= 0);
	watch(base, pidfd, EV_READ, "child");
	event_base_loop(base, EVLOOP_ONCE);
	MUST(waitpid(child, NULL, 0) == child);
}

static void files_and_directories_are_refused(void)
{
	int file = fileno(tmpfile()), dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd[2];
	struct event *f, *d;

	base = new_base();
	MUST(file >= 0 && dir >= 0);
	/* poll takes any file, on stock as well. */
	if (event_base_get_features(base) & EV_FEATURE_FDS)
		return;
	f = event_new(base, file, EV_READ | EV_PERSIST, note_cb, "file");
	d = event_new(base, dir, EV_READ, note_cb, "directory");
	say_refused(base, "file", f);
	say_refused(base, "directory", d);
	say("events in the base: %d", event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED));
	say("loop: %d", event_base_loop(base, 0));
	new_pair(fd);
	put(fd[1], "x");
	watch(base, fd[0], EV_READ, "socket");
	passes(base, 1);
}

/* Some files of /proc can be waited for, though they look regular; most cannot. */
static void files_of_proc(void)
{
	static const char *const path[] = {"/proc/self/mountinfo", "/proc/self/mounts",
	    "/proc/pressure/cpu", "/proc/self/stat", "/proc/self/environ", "/proc/self"};

	base = new_base();
	if (event_base_get_features(base) & EV_FEATURE_FDS)
		return;
	for (size_t i = 0; i < sizeof(path) / sizeof(path[0]); i++) {
		int file = open(path[i], O_RDONLY | O_NONBLOCK | O_CLOEXEC);

		if (file < 0) {
			say("no %s here", path[i]);
			continue;
		}
		say_refused(base, path[i],
		    event_new(base, file, EV_READ | EV_PERSIST, note_cb, "file of /proc"));
	}
}

/* ---- HUP and ERR ---- */

static void hang_up_goes_to_both_kinds(void)
{
	int fd[2];

	base = new_base();
	new_pair(fd);
	fill(fd[0]);
	watch(base, fd[0], EV_WRITE | EV_PERSIST, "writer");
	watch(base, fd[0], EV_READ | EV_PERSIST, "reader");
	passes(base, 1);
	close(fd[1]);
	passes(base, 2);
}

static void own_shutdown(void)
{
	int fd[2];

	base = new_base();
	new_pair(fd);
	watch(base, fd[0], EV_READ | EV_PERSIST, "reader");
	passes(base, 1);
	MUST(shutdown(fd[0], SHUT_RD) == 0);
	passes(base, 1);
	MUST(shutdown(fd[0], SHUT_WR) == 0);
	passes(base, 1);
}

static void peer_shutdown_of_writing(void)
{
	int fd[2];

	base = new_base();
	new_pair(fd);
	watch(base, fd[0], EV_READ | EV_WRITE | EV_PERSIST, "both");
	MUST(shutdown(fd[1], SHUT_WR) == 0);
	passes(base, 2);
	close(fd[1]);
	passes(base, 1);
}

/* ---- fd numbers ---- */

static void duplicates_are_files_of_their_own(void)
{
	int fd[2];

	base = new_base();
	new_pair(fd);
	int twin = dup(fd[0]);
	MUST(twin >= 0);
	struct event *a = watch(base, fd[0], EV_READ | EV_PERSIST, "original");
	put(fd[1], "x");
	passes(base, 1);
	event_del(a);
	close(fd[0]);
	struct event *b = watch(base, twin, EV_READ | EV_PERSIST, "twin");
	passes(base, 1);
	MUST(take(twin, 1) == 1);
	passes(base, 1);
	event_del(b);
}

/* With a twin of the old file left open, stock's epoll would go on reporting it under the number:
 * not asked here. */
static void closed_then_deleted_then_same_number(void)
{
	int old[2], new[2];

	base = new_base();
	new_pair(old);
	new_pair(new);
	struct event *r = watch(base, old[0], EV_READ | EV_PERSIST, "old read");
	put(old[1], "x");
	passes(base, 1);
	close(old[0]);
	say_del("old read", r);
	MUST(dup2(new[0], old[0]) == old[0]);
	struct event *w = watch(base, old[0], EV_WRITE | EV_PERSIST, "new write");
	passes(base, 2);
	say_del("new write", w);
	watch(base, old[0], EV_READ | EV_PERSIST, "new read");
	passes(base, 1);
	put(new[1], "y");
	passes(base, 1);
}

static void replaced_under_the_event(void)
{
	int old[2], new[2];

	base = new_base();
	new_pair(old);
	new_pair(new);
	struct event *r = watch(base, old[0], EV_READ | EV_PERSIST, "read");
	passes(base, 1);
	MUST(dup2(new[0], old[0]) == old[0]);
	say_del("read", r);
	say_add("read", r);
	passes(base, 1);
	put(new[1], "x");
	passes(base, 1);
}

static void churn_of_one_number(void)
{
	int wrong = 0, lost = 0, rounds = 500;

	base = new_base();
	for (int i = 0; i < rounds; i++) {
		int fd[2], n = 0;
		new_pair(fd);
		struct event *ev = event_new(base, fd[0], EV_READ | EV_PERSIST, count_cb, &n);
		event_add(ev, NULL);
		one_pass(base);
		wrong += n;
		put(fd[1], "x");
		if (i % 3)
			one_pass(base);
		lost += i % 3 && n != 1;
		if (i & 1)
			close(fd[0]);
		event_free(ev);
		if (!(i & 1))
			close(fd[0]);
		close(fd[1]);
	}
	say("%d rounds: %d wrong, %d lost", rounds, wrong, lost);
}

static void deleted_and_closed_is_closed(void)
{
	int fd[2];

	base = new_base();
	new_pair(fd);
	struct event *ev = watch(base, fd[0], EV_READ | EV_PERSIST, "reader");
	passes(base, 1);
	event_del(ev);
	close(fd[0]);
	say("the peer reads the end: %d", take(fd[1], 1));
	new_pair(fd);
	ev = watch(base, fd[0], EV_READ | EV_PERSIST, "reader");
	passes(base, 1);
	close(fd[0]);
	event_free(ev);
	say("the peer reads the end: %d", take(fd[1], 1));
}

/* The kernel has news of the file that nobody fetched yet, when the event goes. */
static void deleted_and_closed_with_news_pending(void)
{
	int fd[2];

	base = new_base();
	new_pair(fd);
	struct event *ev = watch(base, fd[0], EV_READ | EV_PERSIST, "reader");
	passes(base, 1);
	put(fd[1], "x");
	event_del(ev);
	close(fd[0]);
	say("the peer is told: %s", yes(take(fd[1], 1) == -1 && errno == ECONNRESET));
}

static void all_deleted_and_closed_with_news_pending(void)
{
	enum { MANY = 200 };
	int fd[MANY][2], open = 0;
	struct event *ev[MANY];

	base = new_base();
	for (int i = 0; i < MANY; i++) {
		new_pair(fd[i]);
		ev[i] = watch(base, fd[i][0], EV_READ | EV_PERSIST, "reader");
	}
	passes(base, 1);
	for (int i = 0; i < MANY; i++)
		put(fd[i][1], "x");
	for (int i = 0; i < MANY; i++) {
		event_del(ev[i]);
		close(fd[i][0]);
		open += !(take(fd[i][1], 1) == -1 && errno == ECONNRESET);
	}
	say("still open: %d of %d", open, MANY);
}

static void freed_port_can_be_bound_again(void)
{
	int listener = bound_socket(SOCK_STREAM, 0), port = port_of(listener);

	base = new_base();
	MUST(listen(listener, 5) == 0);
	struct event *ev = watch(base, listener, EV_READ | EV_PERSIST, "listener");
	passes(base, 1);
	event_del(ev);
	close(listener);
	listener = bound_socket(SOCK_STREAM, port);
	say("listen again: %d", listen(listener, 5));
}

static void closed_fd_is_refused(void)
{
	int fd[2];

	base = new_base();
	new_pair(fd);
	close(fd[0]);
	struct event *ev = event_new(base, fd[0], EV_READ, note_cb, "closed");
	say_refused(base, "closed", ev);
	MUST(dup2(fd[1], fd[0]) == fd[0]);
	say_add("opened again", ev);
	passes(base, 1);
}

static void close_and_add_cb(evutil_socket_t fd, short what, void *arg)
{
	struct event **ev = arg;

	say("closes its fd: %s", bits(what));
	close(fd);
	say_add("itself", *ev);
}

/* The fd is known, for it has been watched all the time, and closed all the same. */
static void added_again_after_the_callback_closed_it(void)
{
	struct event *ev;
	int fd[2];

	base = new_base();
	if (event_base_get_features(base) & EV_FEATURE_FDS)
		return;
	new_pair(fd);
	ev = event_new(base, fd[0], EV_READ, close_and_add_cb, &ev);
	say_add("first", ev);
	put(fd[1], "x");
	say("loop: %d", event_base_loop(base, 0));
	say("pending %s", pending(ev));
}

static void negative_fd(void)
{
	struct timeval soon = msec(1);

	base = new_base();
	struct event *ev =
	    event_new(base, -1, EV_READ | EV_WRITE | EV_PERSIST, note_cb, "minus one");
	say_add("minus one", ev);
	say("added: %d", event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED));
	passes(base, 1);
	event_active(ev, EV_WRITE, 1);
	passes(base, 1);
	say("add with a timeout: %d", event_add(ev, &soon));
	event_base_loop(base, EVLOOP_ONCE);
	say_del("minus one", ev);
	ev = event_new(base, -7, EV_READ, note_cb, "minus seven");
	say_add("minus seven", ev);
	say_del("minus seven", ev);
}

static void huge_fd(void)
{
	base = new_base();
	struct event *ev = event_new(base, INT_MAX, EV_READ | EV_PERSIST, note_cb, "huge");
	say_refused(base, "huge", ev);
	say_del("huge", ev);
	say_refused(base, "almost", event_new(base, INT_MAX - 1, EV_WRITE, note_cb, "almost"));
	event_base_active_by_fd(base, INT_MAX, EV_READ);
	event_base_active_by_fd(base, INT_MIN, EV_READ);
	say("loop: %d", one_pass(base));
}

static const struct diff_scenario scenarios[] = {
    DIFF_SCENARIO(partial_read_is_reported_again),
    DIFF_SCENARIO(partial_read_of_a_pipe),
    DIFF_SCENARIO(unread_data_is_reported_for_ever),
    DIFF_SCENARIO(non_persistent_is_reported_once),
    DIFF_SCENARIO(many_ready_persistent),
    DIFF_SCENARIO(many_ready_added_again_in_the_callback),
    DIFF_SCENARIO(half_of_many_ready),
    DIFF_SCENARIO(data_made_in_a_callback_comes_next_pass),
    DIFF_SCENARIO(event_added_in_a_callback_comes_next_pass),
    DIFF_SCENARIO(pipes),
    DIFF_SCENARIO(pipe_whose_writer_is_gone),
    DIFF_SCENARIO(pipe_whose_writer_goes),
    DIFF_SCENARIO(pipe_whose_reader_goes),
    DIFF_SCENARIO(unix_stream_sockets),
    DIFF_SCENARIO(unix_datagram_sockets),
    DIFF_SCENARIO(udp_sockets),
    DIFF_SCENARIO(udp_port_unreachable),
    DIFF_SCENARIO(tcp_accept_and_connect),
    DIFF_SCENARIO(tcp_connection_refused),
    DIFF_SCENARIO(tcp_reset),
    DIFF_SCENARIO(tcp_half_closed),
    DIFF_SCENARIO(ttys),
    DIFF_SCENARIO(timerfds),
    DIFF_SCENARIO(inotify_fds),
    DIFF_SCENARIO(eventfds),
    DIFF_SCENARIO(epoll_fds_and_pidfds),
    DIFF_SCENARIO(files_and_directories_are_refused),
    DIFF_SCENARIO(files_of_proc),
    DIFF_SCENARIO(hang_up_goes_to_both_kinds),
    DIFF_SCENARIO(own_shutdown),
    DIFF_SCENARIO(peer_shutdown_of_writing),
    DIFF_SCENARIO(duplicates_are_files_of_their_own),
    DIFF_SCENARIO(closed_then_deleted_then_same_number),
    DIFF_SCENARIO(replaced_under_the_event),
    DIFF_SCENARIO(churn_of_one_number),
    DIFF_SCENARIO(deleted_and_closed_is_closed),
    DIFF_SCENARIO(deleted_and_closed_with_news_pending),
    DIFF_SCENARIO(all_deleted_and_closed_with_news_pending),
    DIFF_SCENARIO(freed_port_can_be_bound_again),
    DIFF_SCENARIO(closed_fd_is_refused),
    DIFF_SCENARIO(added_again_after_the_callback_closed_it),
    DIFF_SCENARIO(negative_fd),
    DIFF_SCENARIO(huge_fd),
};

DIFF_MAIN(scenarios)
