/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The small rules of the API: what event_assign, event_base_set and the priority functions refuse,
 * what the getters give, configurations, event_base_foreach_event and the dump, the old calls of
 * event_compat.h, fork with and without event_reinit, and misuse that debug mode catches.
 *
 * The dump is compared with every number and address replaced by '#'. What debug mode says is not
 * compared, only that the fatal callback was called and with which code.
 */
#include "diff_common.h"

#include <ctype.h>
#include <event2/event_compat.h>

static struct event_base *base;

static struct event *new_event(const char *name)
{
	struct event *ev = event_new(base, -1, 0, note_cb, (void *)(uintptr_t)name);

	MUST(ev != NULL);
	return ev;
}

/* ---- assign, set, get ---- */

static void assignments_refused(void)
{
	struct event ev;

	base = new_base();
	say("signal and read: %d",
	    event_assign(&ev, base, SIGUSR1, EV_SIGNAL | EV_READ, note_cb, ""));
	say("signal and write: %d",
	    event_assign(&ev, base, SIGUSR1, EV_SIGNAL | EV_WRITE, note_cb, ""));
	say("signal and closed: %d",
	    event_assign(&ev, base, SIGUSR1, EV_SIGNAL | EV_CLOSED, note_cb, ""));
	say("signal, persistent: %d",
	    event_assign(&ev, base, SIGUSR1, EV_SIGNAL | EV_PERSIST, note_cb, ""));
	say("timeout: %d", event_assign(&ev, base, -1, EV_TIMEOUT, note_cb, ""));
	say("nothing: %d", event_assign(&ev, base, -1, 0, note_cb, ""));
	say("new, signal and read: %s",
	    yes(event_new(base, SIGUSR1, EV_SIGNAL | EV_READ, note_cb, "") != NULL));
}

static void getters(void)
{
	struct event_base *got_base;
	event_callback_fn got_cb;
	evutil_socket_t got_fd;
	short got_events;
	void *got_arg;
	int fd[2];

	base = new_base();
	new_pair(fd);
	struct event *ev = event_new(base, fd[0], EV_READ | EV_PERSIST | EV_ET, note_cb, &fd);
	event_get_assignment(ev, &got_base, &got_fd, &got_events, &got_cb, &got_arg);
	say("all at once: %s",
	    yes(got_base == base && got_fd == fd[0] && got_cb == note_cb && got_arg == &fd));
	say("events %s", bits(got_events));
	say("one by one: %s",
	    yes(event_get_base(ev) == base && event_get_fd(ev) == fd[0] &&
		event_get_callback(ev) == note_cb && event_get_callback_arg(ev) == &fd));
	say("events %s, priority %d", bits(event_get_events(ev)), event_get_priority(ev));
	event_get_assignment(ev, NULL, NULL, NULL, NULL, NULL);
	say("size: %s", yes(event_get_struct_event_size() == sizeof(struct event)));
	say("initialized: %s", yes(event_initialized(ev)));
	struct event zero = {.ev_fd = -1};
	say("zeroed, initialized: %s", yes(event_initialized(&zero)));
}

static void own_event_as_argument(void)
{
	struct event ev;

	base = new_base();
	event_assign(&ev, base, -1, 0, note_cb, event_self_cbarg());
	say("assigned: %s", yes(event_get_callback_arg(&ev) == &ev));
	struct event *heap = event_new(base, -1, 0, note_cb, event_self_cbarg());
	say("new: %s", yes(event_get_callback_arg(heap) == heap));
}

static void moving_to_another_base(void)
{
	struct event_base *one, *two;

	one = base = new_base();
	struct event *ev = new_event("mover");
	two = base = new_base();
	event_base_priority_init(two, 5);
	say("set: %d", event_base_set(two, ev));
	say("priority %d", event_get_priority(ev));
	say("base is the second: %s", yes(event_get_base(ev) == two));
	event_active(ev, EV_READ, 1);
	say("set while active: %d", event_base_set(one, ev));
	one_pass(two);
	say("set after it ran: %d", event_base_set(one, ev));
	event_add(ev, &(struct timeval){60, 0});
	say("set while added: %d", event_base_set(two, ev));
	event_del(ev);
	say("set after del: %d", event_base_set(two, ev));
}

static void priorities_refused(void)
{
	base = new_base();
	struct event *ev = new_event("ev");
	say("set 0: %d", event_priority_set(ev, 0));
	say("set 1: %d", event_priority_set(ev, 1));
	say("set -1: %d", event_priority_set(ev, -1));
	say("init 0: %d", event_base_priority_init(base, 0));
	say("init -1: %d", event_base_priority_init(base, -1));
	say("init 256: %d", event_base_priority_init(base, 256));
	say("priorities: %d", event_base_get_npriorities(base));
	say("init 255: %d", event_base_priority_init(base, 255));
	say("priorities: %d", event_base_get_npriorities(base));
	say("born with %d", event_get_priority(new_event("x")));
	say("set 254: %d", event_priority_set(ev, 254));
	say("set 255: %d", event_priority_set(ev, 255));
	event_active(ev, EV_READ, 1);
	say("set while active: %d", event_priority_set(ev, 1));
	say("init while active: %d", event_base_priority_init(base, 3));
	say("init to the same: %d", event_base_priority_init(base, 255));
	event_del(ev);
	say("init to 3: %d", event_base_priority_init(base, 3));
	event_add(ev, &(struct timeval){60, 0});
	say("set while added: %d", event_priority_set(ev, 2));
	say("born with %d", event_get_priority(new_event("y")));
}

static void del_of_what_was_never_added(void)
{
	base = new_base();
	struct event *ev = new_event("ev");
	say("del: %d", event_del(ev));
	say("del_block: %d", event_del_block(ev));
	say("del_noblock: %d", event_del_noblock(ev));
	event_add(ev, &(struct timeval){60, 0});
	say("add twice: %d", event_add(ev, &(struct timeval){60, 0}));
	say("del: %d", event_del(ev));
	say("del again: %d", event_del(ev));
	event_free(ev);
	say("free");
}

static void version_and_methods(void)
{
	const char **method = event_get_supported_methods();
	bool in_use = false;

	base = new_base();
	say("version %s, number as the header's %s", event_get_version(),
	    yes(event_get_version_number() == LIBEVENT_VERSION_NUMBER));
	for (; *method; method++)
		in_use = in_use || strcmp(*method, event_base_get_method(base)) == 0;
	say("the method in use is a supported one: %s", yes(in_use));
}

/* ---- configurations ---- */

static struct event_base *base_of(struct event_config *config)
{
	struct event_base *b = event_base_new_with_config(config);

	event_config_free(config);
	return b;
}

static void config_that_avoids_everything(void)
{
	struct event_config *config = event_config_new();
	const char **method = event_get_supported_methods();

	say("avoid a strange one: %d", event_config_avoid_method(config, "carrier pigeon"));
	for (; *method; method++)
		MUST(event_config_avoid_method(config, *method) == 0);
	say("base: %s", yes(base_of(config) != NULL));
	say("a new one without a config: %s", yes(event_base_new() != NULL));
}

static void config_of_features(void)
{
	static const int wanted[] = {0, EV_FEATURE_ET, EV_FEATURE_O1, EV_FEATURE_FDS,
	    EV_FEATURE_EARLY_CLOSE, EV_FEATURE_ET | EV_FEATURE_O1 | EV_FEATURE_EARLY_CLOSE};

	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		struct event_config *config = event_config_new();
		int result = event_config_require_features(config, wanted[i]);
		base = base_of(config);
		say("%#x: %d, base %s, has it %s", (unsigned)wanted[i], result, yes(base != NULL),
		    yes(base && has_feature(base, wanted[i])));
	}
}

static void config_of_impossible_features(void)
{
	struct event_config *config = event_config_new();

	event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_FDS);
	say("edges and files: %s", yes(base_of(config) != NULL));
}

static void config_flags(void)
{
	static const int flags[] = {EVENT_BASE_FLAG_NOLOCK, EVENT_BASE_FLAG_IGNORE_ENV,
	    EVENT_BASE_FLAG_STARTUP_IOCP, EVENT_BASE_FLAG_NO_CACHE_TIME,
	    EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST, EVENT_BASE_FLAG_PRECISE_TIMER};
	struct timeval soon = msec(2);
	int fd[2];

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		struct event_config *config = event_config_new();
		say("flag %zu: %d", i, event_config_set_flag(config, flags[i]));
		base = base_of(config);
		MUST(base != NULL);
		new_pair(fd);
		put(fd[1], "x");
		event_add(event_new(base, fd[0], EV_READ, drain_cb, "read"), NULL);
		event_base_loop(base, 0);
		event_add(new_event("timer"), &soon);
		event_base_loop(base, 0);
		event_base_free(base);
	}
}

static void config_of_other_things(void)
{
	struct event_config *config = event_config_new();
	struct timeval tv = msec(1);

	say("processors: %d", event_config_set_num_cpus_hint(config, 4));
	say("interval: %d", event_config_set_max_dispatch_interval(config, &tv, -1, -1));
	say("interval: %d", event_config_set_max_dispatch_interval(config, &tv, 0, 300));
	say("flag of no config: %d", event_config_set_flag(NULL, EVENT_BASE_FLAG_NOLOCK));
	say("features of no config: %d", event_config_require_features(NULL, EV_FEATURE_ET));
	base = event_base_new_with_config(NULL);
	say("base of no config: %s", yes(base != NULL));
}

/* ---- foreach and dump ---- */

/* Skips the library's own events: how many it has is not part of the contract, and their argument
 * is not a name. */
static int name_of_event(const struct event_base *b, const struct event *ev, void *stop)
{
	const char *name = event_get_callback_arg(ev);

	if (event_get_callback(ev) != note_cb)
		return 0;
	say("%s, in this base %s", name, yes(event_get_base(ev) == b));
	return stop && strcmp(stop, name) == 0 ? 42 : 0;
}

static void base_of_many_kinds(int fd[2])
{
	struct timeval later = msec(60000), much_later = msec(120000);

	base = new_base();
	new_pair(fd);
	if (fd[0] > fd[1]) {
		int swap = fd[0];
		fd[0] = fd[1];
		fd[1] = swap;
	}
	event_add(event_new(base, fd[1], EV_READ | EV_PERSIST, note_cb, "higher fd"), NULL);
	event_add(event_new(base, fd[0], EV_READ | EV_PERSIST, note_cb, "lower fd, older"), NULL);
	event_add(event_new(base, fd[0], EV_WRITE, note_cb, "lower fd, with timeout"), &later);
	event_add(new_event("timer"), &much_later);
	struct event *active = new_event("active");
	event_active(active, EV_READ, 1);
}

static void foreach_in_order(void)
{
	int fd[2];

	base_of_many_kinds(fd);
	event_add(evsignal_new(base, SIGUSR1, note_cb, "signal"), NULL);
	struct timeval tv = msec(90000);
	event_add(new_event("common timeout"), event_base_init_common_timeout(base, &tv));
	new_event("neither added nor active");
	say("result: %d", event_base_foreach_event(base, name_of_event, NULL));
}

static void foreach_stops(void)
{
	int fd[2];

	base_of_many_kinds(fd);
	say("result: %d", event_base_foreach_event(base, name_of_event, "lower fd, older"));
	say("no callback: %d", event_base_foreach_event(base, NULL, NULL));
	base = new_base();
	say("empty base: %d", event_base_foreach_event(base, name_of_event, NULL));
}

/* The dump with numbers and addresses masked. */
static void say_dump(void)
{
	static char text[16384];
	FILE *file = tmpfile();
	char *out = text;
	bool in_number = false;

	MUST(file != NULL);
	event_base_dump_events(base, file);
	rewind(file);
	for (int c; (c = fgetc(file)) != EOF && out < text + sizeof(text) - 2;) {
		bool number = isdigit(c) || (in_number && (isxdigit(c) || c == 'x' || c == '.'));
		if (number && !in_number)
			*out++ = '#';
		else if (!number)
			*out++ = (char)(c == '\n' ? '\n' : c);
		in_number = number;
	}
	*out = 0;
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		say("|%s|", line);
	fclose(file);
}

static void dump_of_nothing(void)
{
	base = new_base();
	say_dump();
}

static void dump_of_everything(void)
{
	int fd[2];

	base_of_many_kinds(fd);
	event_add(event_new(base, fd[0], EV_READ | EV_ET | EV_CLOSED, note_cb, "edge"), NULL);
	event_active(event_new(base, SIGUSR2, EV_SIGNAL, note_cb, "active signal"), EV_SIGNAL, 1);
	say_dump();
}

static void dump_of_common_timeouts(void)
{
	struct timeval tv = msec(90000);

	base = new_base();
	const struct timeval *common = event_base_init_common_timeout(base, &tv);
	event_add(new_event("common timeout"), common);
	event_base_once(base, -1, EV_TIMEOUT, note_cb, "once", common);
	say_dump();
}

/* ---- the old calls ---- */

static void old_style_events(void)
{
	struct timeval soon = msec(2);
	struct event r, t, s;
	int fd[2];

	say("init: %s", yes(event_init() != NULL));
	new_pair(fd);
	event_set(&r, fd[0], EV_READ, note_cb, "read");
	evtimer_set(&t, note_cb, "timer");
	evsignal_set(&s, SIGUSR1, note_cb, "signal");
	say("initialized %s %s %s", yes(event_initialized(&r)), yes(evtimer_initialized(&t)),
	    yes(evsignal_initialized(&s)));
	event_add(&r, NULL);
	evsignal_add(&s, NULL);
	put(fd[1], "x");
	say("loop: %d", event_loop(EVLOOP_ONCE | EVLOOP_NONBLOCK));
	evtimer_add(&t, &soon);
	say("timer pending %s", yes(evtimer_pending(&t, NULL) != 0));
	say("loop: %d", event_loop(EVLOOP_ONCE));
	raise(SIGUSR1);
	say("loop: %d", event_loop(EVLOOP_ONCE));
	evsignal_del(&s);
	say("dispatch: %d", event_dispatch());
}

static void old_exit_cb(evutil_socket_t fd, short what, void *name)
{
	note_cb(fd, what, name);
	event_loopexit(NULL);
}

static void old_break_cb(evutil_socket_t fd, short what, void *name)
{
	note_cb(fd, what, name);
	event_loopbreak();
}

static void old_style_loop(void)
{
	struct timeval soon = msec(2);

	event_init();
	event_once(-1, EV_TIMEOUT, old_exit_cb, "exits", NULL);
	event_once(-1, EV_TIMEOUT, note_cb, "after the exit", NULL);
	say("dispatch: %d", event_dispatch());
	event_once(-1, EV_TIMEOUT, old_break_cb, "breaks", NULL);
	event_once(-1, EV_TIMEOUT, note_cb, "after the break", NULL);
	say("dispatch: %d", event_dispatch());
	say("dispatch: %d", event_dispatch());
	event_once(-1, EV_TIMEOUT, note_cb, "timer", &soon);
	event_loopexit(&soon);
	say("once signal: %d", event_once(SIGUSR1, EV_SIGNAL, note_cb, "x", NULL));
	say("dispatch: %d", event_dispatch());
}

static void old_style_priorities(void)
{
	struct event low, high;

	event_init();
	say("init: %d", event_priority_init(3));
	event_set(&low, -1, 0, note_cb, "low");
	event_set(&high, -1, 0, note_cb, "high");
	say("born with %d", event_get_priority(&low));
	event_priority_set(&low, 2);
	event_priority_set(&high, 0);
	event_active(&low, EV_READ, 1);
	event_active(&high, EV_READ, 1);
	say("dispatch: %d", event_dispatch());
}

static void set_takes_the_current_base(void)
{
	struct event ev;

	struct event_base *first = event_init();
	base = new_base();
	event_set(&ev, -1, 0, note_cb, "ev");
	say("the base of event_init: %s", yes(event_get_base(&ev) == first));
	say("moved: %d", event_base_set(base, &ev));
	struct event_base *second = event_init();
	event_assign(&ev, NULL, -1, 0, note_cb, "ev");
	say("the newer one: %s", yes(event_get_base(&ev) == second));
	say("method as the base's: %s",
	    yes(strcmp(event_get_method(), event_base_get_method(second)) == 0));
}

/* ---- processes: a child that frees the base without event_reinit disturbs its parent on stock, so
 * it is not here ---- */

/* The child's lines come before the parent's: the parent waits. */
static void in_child(void (*work)(int fd[2]), int fd[2])
{
	int status = -1;
	pid_t child = fork();

	MUST(child >= 0);
	if (child == 0) {
		say("in the child");
		work(fd);
		fflush(stdout);
		_exit(0);
	}
	MUST(waitpid(child, &status, 0) == child);
	say("child: %d", status);
}

static void reinit_and_loop(int fd[2])
{
	say("reinit: %d", event_reinit(base));
	passes(base, 1);
	MUST(take(fd[0], 1) == 1);
	passes(base, 1);
	raise(SIGUSR1);
	passes(base, 1);
	event_base_free(base);
}

static void base_before_the_fork(int fd[2])
{
	base = new_base();
	new_pair(fd);
	event_add(event_new(base, fd[0], EV_READ | EV_PERSIST, note_cb, "read"), NULL);
	event_add(evsignal_new(base, SIGUSR1, note_cb, "signal"), NULL);
	passes(base, 1);
}

static void child_with_reinit(void)
{
	int fd[2];

	base_before_the_fork(fd);
	put(fd[1], "x");
	in_child(reinit_and_loop, fd);
	say("in the parent");
	passes(base, 1);
	raise(SIGUSR1);
	passes(base, 1);
	put(fd[1], "y");
	passes(base, 1);
	MUST(take(fd[0], 10) == 1);
	passes(base, 1);
}

static void reinit_and_new_events(int fd[2])
{
	struct timeval soon = msec(3);

	say("reinit: %d", event_reinit(base));
	event_add(event_new(base, fd[0], EV_WRITE, note_cb, "write in the child"), NULL);
	passes(base, 1);
	event_add(new_event("timer in the child"), &soon);
	event_base_loop(base, EVLOOP_ONCE);
}

static void child_adds_its_own(void)
{
	int fd[2];

	base_before_the_fork(fd);
	in_child(reinit_and_new_events, fd);
	say("in the parent");
	put(fd[1], "x");
	passes(base, 1);
}

static void reinit_without_a_fork(void)
{
	int fd[2];

	base_before_the_fork(fd);
	say("reinit: %d", event_reinit(base));
	put(fd[1], "x");
	passes(base, 1);
	MUST(take(fd[0], 1) == 1);
	raise(SIGUSR1);
	passes(base, 1);
	say("reinit of an empty base: %d", event_reinit(new_base()));
}

static void timers_after_a_fork(int fd[2])
{
	(void)fd;
	say("reinit: %d", event_reinit(base));
	say("loop: %d", event_base_loop(base, 0));
}

static void child_inherits_timers(void)
{
	struct timeval soon = msec(10);

	base = new_base();
	event_add(new_event("timer"), &soon);
	in_child(timers_after_a_fork, NULL);
	say("in the parent");
	say("loop: %d", event_base_loop(base, 0));
}

/* ---- misuse ---- */

static void fatal_cb(int code)
{
	say("fatal: code %#x", (unsigned)code);
	fflush(stdout);
	_exit(0);
}

static void in_debug_mode(void (*misuse)(int fd[2]))
{
	int fd[2];

	new_pair(fd);
	in_child(misuse, fd);
}

static void start_debug_mode(void)
{
	event_set_fatal_callback(fatal_cb);
	event_enable_debug_mode();
	base = new_base();
}

static void add_of_garbage(int fd[2])
{
	static struct event ev;

	(void)fd;
	start_debug_mode();
	say("add: %d", event_add(&ev, NULL));
}

static void assign_while_added(int fd[2])
{
	struct event ev;

	start_debug_mode();
	event_assign(&ev, base, fd[0], EV_READ, note_cb, "");
	event_add(&ev, NULL);
	say("assign: %d", event_assign(&ev, base, fd[0], EV_READ, note_cb, ""));
}

static void add_after_unassign(int fd[2])
{
	struct event ev;

	start_debug_mode();
	event_assign(&ev, base, fd[0], EV_READ, note_cb, "");
	event_debug_unassign(&ev);
	say("add: %d", event_add(&ev, NULL));
}

static void add_after_free(int fd[2])
{
	static struct event copy;

	start_debug_mode();
	struct event *ev = event_new(base, fd[0], EV_READ, note_cb, "");
	copy = *ev;
	event_free(ev);
	say("add: %d", event_add(&copy, NULL));
}

static void blocking_fd(int fd[2])
{
	struct event ev;

	start_debug_mode();
	MUST(fcntl(fd[0], F_SETFL, 0) == 0);
	say("assign: %d", event_assign(&ev, base, fd[0], EV_READ, note_cb, ""));
}

static void unassign_while_added(int fd[2])
{
	struct event ev;

	start_debug_mode();
	event_assign(&ev, base, fd[0], EV_READ, note_cb, "");
	event_add(&ev, NULL);
	event_debug_unassign(&ev);
	say("unassigned");
}

static void set_priority_of_garbage(int fd[2])
{
	static struct event ev;

	(void)fd;
	start_debug_mode();
	say("set: %d", event_priority_set(&ev, 0));
}

static void edge_and_level_mixed(int fd[2])
{
	start_debug_mode();
	if (!has_feature(base, EV_FEATURE_ET)) {
		say("no edge triggers here");
		return;
	}
	event_add(event_new(base, fd[0], EV_READ | EV_ET, note_cb, ""), NULL);
	say("add: %d", event_add(event_new(base, fd[0], EV_WRITE, note_cb, ""), NULL));
}

static void too_late(int fd[2])
{
	(void)fd;
	event_set_fatal_callback(fatal_cb);
	base = new_base();
	event_enable_debug_mode();
	say("enabled");
}

static void twice(int fd[2])
{
	(void)fd;
	start_debug_mode();
	event_enable_debug_mode();
	say("enabled");
}

static void proper_use(int fd[2])
{
	struct event ev;

	start_debug_mode();
	event_assign(&ev, base, fd[0], EV_READ | EV_PERSIST, note_cb, "read");
	event_add(&ev, NULL);
	put(fd[1], "x");
	passes(base, 1);
	event_del(&ev);
	say("assign again: %d", event_assign(&ev, base, fd[0], EV_READ, note_cb, "read again"));
	event_add(&ev, NULL);
	passes(base, 1);
	event_debug_unassign(&ev);
	libevent_global_shutdown();
}

static void debug_mode(void)
{
	static const struct {
		const char *name;
		void (*work)(int fd[2]);
	} cases[] = {{"add of garbage", add_of_garbage}, {"assign while added", assign_while_added},
	    {"add after unassign", add_after_unassign}, {"add after free", add_after_free},
	    {"blocking fd", blocking_fd}, {"unassign while added", unassign_while_added},
	    {"priority of garbage", set_priority_of_garbage},
	    {"edge and level", edge_and_level_mixed}, {"too late", too_late}, {"twice", twice},
	    {"proper use", proper_use}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		say("%s", cases[i].name);
		in_debug_mode(cases[i].work);
	}
}

/* ---- logs ---- */

static void log_cb(int severity, const char *text)
{
	say("log: severity %d, any text %s", severity, yes(text && *text));
}

static void warnings_reach_the_log_callback(void)
{
	base = new_base();
	event_set_log_callback(log_cb);
	struct event *ev = event_new(base, SIGUSR1, EV_SIGNAL | EV_READ, note_cb, "");
	say("event: %s", yes(ev != NULL));
	struct event zero = {.ev_fd = -1};
	say("del without a base: %d", event_del(&zero));
	say("add of an event without a base is not tried");
}

static const struct diff_scenario scenarios[] = {
    DIFF_SCENARIO(assignments_refused),
    DIFF_SCENARIO(getters),
    DIFF_SCENARIO(own_event_as_argument),
    DIFF_SCENARIO(moving_to_another_base),
    DIFF_SCENARIO(priorities_refused),
    DIFF_SCENARIO(del_of_what_was_never_added),
    DIFF_SCENARIO(version_and_methods),
    DIFF_SCENARIO(config_that_avoids_everything),
    DIFF_SCENARIO(config_of_features),
    DIFF_SCENARIO(config_of_impossible_features),
    DIFF_SCENARIO(config_flags),
    DIFF_SCENARIO(config_of_other_things),
    DIFF_SCENARIO(foreach_in_order),
    DIFF_SCENARIO(foreach_stops),
    DIFF_SCENARIO(dump_of_nothing),
    DIFF_SCENARIO(dump_of_everything),
    DIFF_SCENARIO(dump_of_common_timeouts),
    DIFF_SCENARIO(old_style_events),
    DIFF_SCENARIO(old_style_loop),
    DIFF_SCENARIO(old_style_priorities),
    DIFF_SCENARIO(set_takes_the_current_base),
    DIFF_SCENARIO(child_with_reinit),
    DIFF_SCENARIO(child_adds_its_own),
    DIFF_SCENARIO(reinit_without_a_fork),
    DIFF_SCENARIO(child_inherits_timers),
    DIFF_SCENARIO(debug_mode),
    DIFF_SCENARIO(warnings_reach_the_log_callback),
};

DIFF_MAIN(scenarios)
