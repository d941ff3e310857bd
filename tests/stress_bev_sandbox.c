/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bufferevents and listeners where io_uring, memory, or descriptors are taken away while data is on
 * its way in both directions. Every byte arrives once, whatever happens: from one ring to the next,
 * from completions to readiness, after any allocation that failed.
 */
#include "stress_common.h"

#include <dirent.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/syscall.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>

enum { PAIRS = 24, BULK = 512 * 1024 };

extern void __asan_init(void) __attribute__((weak));
extern void __tsan_init(void) __attribute__((weak));

/* Both ends of each pair are bufferevents of the base: one sends a known stream, the other echoes
 * it, the first checks what comes back. */
struct side {
	struct flow *flow;
	struct bufferevent *near, *far;
	uint32_t out, in;
	struct st_pair p;
	bool asleep; /* an error event has come; it is enabled again */
};

struct flow {
	struct event_base *base;
	struct side side[PAIRS];
	struct evconnlistener *door;
	uint16_t port;
	int accepted, done;
	uint32_t bytes; /* that each side is to send */
	long errors;    /* error events that were allowed, and came */
	bool may_fail;
};

static unsigned char byte_at(uint32_t i)
{
	return (unsigned char)(i * 13 + (i >> 9));
}

/* Keeps up to 64 KiB in the output. */
static void side_fill(struct side *s)
{
	struct evbuffer *output = bufferevent_get_output(s->near);
	unsigned char buf[8192];

	while (s->out < s->flow->bytes && evbuffer_get_length(output) < 65536) {
		uint32_t n = s->flow->bytes - s->out;

		n = n < sizeof(buf) ? n : (uint32_t)sizeof(buf);
		for (uint32_t i = 0; i < n; i++)
			buf[i] = byte_at(s->out + i);
		if (bufferevent_write(s->near, buf, n) < 0) {
			st_check(s->flow->may_fail, "bufferevent_write");
			return;
		}
		s->out += n;
	}
}

static void near_write_cb(struct bufferevent *bev, void *arg)
{
	(void)bev;
	side_fill(arg);
}

static void near_read_cb(struct bufferevent *bev, void *arg)
{
	struct side *s = arg;
	unsigned char buf[8192];
	int n;

	while ((n = evbuffer_remove(bufferevent_get_input(bev), buf, sizeof(buf))) > 0) {
		for (int i = 0; i < n; i++)
			st_check(buf[i] == byte_at(s->in + (uint32_t)i), "byte %u is wrong (%s)",
			    s->in + (unsigned)i, event_base_get_method(s->flow->base));
		s->in += (uint32_t)n;
	}
	side_fill(s);
	s->flow->done += n <= 0 && s->in == s->flow->bytes;
}

/* Stops reading while much is waiting to be sent. */
static void far_read_cb(struct bufferevent *bev, void *arg)
{
	struct side *s = arg;

	if (bufferevent_write_buffer(bev, bufferevent_get_input(bev)) < 0)
		st_check(s->flow->may_fail, "write_buffer");
	if (evbuffer_get_length(bufferevent_get_output(bev)) > 65536)
		bufferevent_disable(bev, EV_READ);
}

static void far_write_cb(struct bufferevent *bev, void *arg)
{
	(void)arg;
	bufferevent_enable(bev, EV_READ);
}

static void side_event_cb(struct bufferevent *bev, short what, void *arg)
{
	struct side *s = arg;

	st_check(s->flow->may_fail && what & BEV_EVENT_ERROR && errno == ENOMEM,
	    "an event 0x%x: %s (%s)", (unsigned)what, strerror(errno),
	    event_base_get_method(s->flow->base));
	(void)bev;
	s->flow->errors++;
	s->asleep = true;
}

static void door_cb(
    struct evconnlistener *door, evutil_socket_t fd, struct sockaddr *sa, int len, void *arg)
{
	struct flow *f = arg;

	(void)door;
	(void)sa;
	(void)len;
	f->accepted++;
	close(fd);
}

static void door_error_cb(struct evconnlistener *door, void *arg)
{
	struct flow *f = arg;

	(void)door;
	st_check(f->may_fail, "the listener fails: %s", strerror(errno));
}

static struct bufferevent *end_new(struct flow *f, int fd)
{
	struct bufferevent *bev = bufferevent_socket_new(f->base, fd, BEV_OPT_CLOSE_ON_FREE);

	st_check(bev, "bufferevent_socket_new");
	return bev;
}

static void flow_new(struct flow *f, struct event_base *base, uint32_t bytes)
{
	memset(f, 0, sizeof(*f));
	f->base = base;
	f->bytes = bytes;
	for (int i = 0; i < PAIRS; i++) {
		struct side *s = &f->side[i];

		s->flow = f;
		s->p = i & 1 ? st_tcp_pair() : st_socketpair();
		s->near = end_new(f, s->p.ours);
		s->far = end_new(f, s->p.peer);
		bufferevent_setcb(s->near, near_read_cb, near_write_cb, side_event_cb, s);
		bufferevent_setcb(s->far, far_read_cb, far_write_cb, side_event_cb, s);
		bufferevent_setwatermark(s->near, EV_WRITE, 16384, 0);
		if (i % 3 == 0)
			bufferevent_setwatermark(s->far, EV_READ, 0, 20000);
	}
	f->door = evconnlistener_new(
	    base, door_cb, f, LEV_OPT_CLOSE_ON_FREE, 0, st_listen(&f->port, true));
	st_check(f->door, "evconnlistener_new");
	evconnlistener_set_error_cb(f->door, door_error_cb);
}

static void flow_start(struct flow *f)
{
	for (int i = 0; i < PAIRS; i++) {
		bufferevent_enable(f->side[i].near, EV_READ | EV_WRITE);
		bufferevent_enable(f->side[i].far, EV_READ | EV_WRITE);
		side_fill(&f->side[i]);
	}
}

static void flow_free(struct flow *f)
{
	for (int i = 0; i < PAIRS; i++) {
		bufferevent_free(f->side[i].near);
		bufferevent_free(f->side[i].far);
	}
	evconnlistener_free(f->door);
}

static uint64_t flow_sum(const struct flow *f)
{
	uint64_t sum = 0;

	for (int i = 0; i < PAIRS; i++)
		sum += f->side[i].in;
	return sum;
}

static void tick_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

/* Turns until so many bytes have come back; nothing but the data itself wakes the loop, for the
 * timer is the bound. */
static void flow_until(struct flow *f, uint64_t sum)
{
	const struct timeval bound = {ST_BOUND_S, 0};
	struct event *guard = st_event_new(f->base, -1, 0, tick_cb, NULL);

	st_add(guard, &bound);
	while (flow_sum(f) < sum) {
		st_check(event_base_loop(f->base, EVLOOP_ONCE) == 0, "event_base_loop");
		st_check(event_pending(guard, EV_TIMEOUT, NULL),
		    "after %lu of %lu bytes: stuck (%s)", (unsigned long)flow_sum(f),
		    (unsigned long)sum, event_base_get_method(f->base));
	}
	event_free(guard);
}

static void flow_accepts(struct flow *f)
{
	int before = f->accepted, fd[3];

	for (int i = 0; i < 3; i++) {
		fd[i] = st_connect(f->port);
		st_check(fd[i] >= 0, "connect: %s", strerror(errno));
	}
	st_check(st_run_until(f->base, &f->accepted, before + 3), "%d of 3 connections accepted",
	    f->accepted - before);
	for (int i = 0; i < 3; i++)
		close(fd[i]);
}

/* All that was promised comes; then another round from rest, so that what is idle works too. */
static void flow_finish(struct flow *f)
{
	flow_until(f, (uint64_t)f->bytes * PAIRS);
	flow_accepts(f);
	st_passes(f->base, 3);
	f->bytes += 1000;
	for (int i = 0; i < PAIRS; i++)
		side_fill(&f->side[i]);
	flow_until(f, (uint64_t)f->bytes * PAIRS);
	flow_accepts(f);
}

/* --- what is done in the middle --- */

enum harm {
	NOTHING,
	REFUSE_ENTER,
	REFUSE_ALL,
	CLOSE_RING,
	CLOSE_LATER,
	LOWER_NOFILE,
	REINIT,
	FROM_CALLBACK = 64, /* in a callback, not between turns */
};

static void refuse(bool all)
{
	struct sock_filter f[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_enter, 2, 0),
	    BPF_JUMP(
		BPF_JMP | BPF_JEQ | BPF_K, all ? __NR_io_uring_setup : __NR_io_uring_enter, 1, 0),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
	};
	struct sock_fprog prog = {sizeof(f) / sizeof(*f), f};

	st_check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		st_skip("no seccomp filters here: %s", strerror(errno));
}

/* As a program does that closes what it does not know. */
static void close_ring(void)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;
	int found[16], n = 0;

	st_check(d, "/proc/self/fd");
	while ((e = readdir(d)) && n < 16) {
		char target[100];
		ssize_t len = readlinkat(dirfd(d), e->d_name, target, sizeof(target) - 1);

		if (len < 0)
			continue;
		target[len] = 0;
		if (strstr(target, "io_uring"))
			found[n++] = atoi(e->d_name);
	}
	closedir(d);
	while (n > 0)
		close(found[--n]);
}

static void do_harm(struct flow *f, enum harm harm)
{
	struct rlimit few = {10, 10};

	switch (harm) {
	case REFUSE_ENTER:
		refuse(false);
		break;
	case REFUSE_ALL:
		refuse(true);
		break;
	case CLOSE_RING:
		close_ring();
		break;
	case CLOSE_LATER:
		close_ring();
		/* Other files get the numbers. */
		st_check(open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0, "open");
		break;
	case LOWER_NOFILE:
		getrlimit(RLIMIT_NOFILE, &few);
		few.rlim_cur = 10;
		st_check(setrlimit(RLIMIT_NOFILE, &few) == 0, "setrlimit");
		break;
	case REINIT:
		st_check(event_reinit(f->base) == 0, "event_reinit");
		break;
	case NOTHING:
	case FROM_CALLBACK:
		break;
	}
}

struct harmer {
	struct flow *f;
	enum harm harm;
	int times;
};

static void harm_cb(evutil_socket_t fd, short what, void *arg)
{
	struct harmer *h = arg;

	(void)fd;
	(void)what;
	do_harm(h->f, h->harm);
	h->times++;
}

static void t_harm(int how)
{
	struct event_base *base = st_base_new();
	struct flow f;
	struct harmer h = {.f = &f, .harm = (enum harm)(how & 63)};

	if (h.harm == LOWER_NOFILE && strcmp(event_base_get_method(base), "poll") == 0)
		st_skip("poll(2) itself refuses more fds than the limit allows");
	flow_new(&f, base, BULK);
	flow_start(&f);
	flow_until(&f, (uint64_t)BULK * PAIRS / 4);
	if (how & FROM_CALLBACK) {
		st_check(event_base_once(base, -1, EV_TIMEOUT, harm_cb, &h, NULL) == 0, "once");
		st_check(st_run_until(base, &h.times, 1), "the timer never fired");
	} else {
		harm_cb(-1, 0, &h);
	}
	if (h.harm == LOWER_NOFILE) {
		struct rlimit lim;

		flow_until(&f, (uint64_t)BULK * PAIRS);
		getrlimit(RLIMIT_NOFILE, &lim);
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
	flow_finish(&f);
	flow_free(&f);
	event_base_free(base);
}

/* The filter comes when everything is idle, and nothing but data will wake the loop. */
static void t_refused_idle(int how)
{
	struct event_base *base = st_base_new();
	struct flow f;

	flow_new(&f, base, 1000);
	flow_start(&f);
	flow_until(&f, 1000 * PAIRS);
	st_passes(base, 3);
	do_harm(&f, (enum harm)how);
	flow_finish(&f);
	flow_free(&f);
	event_base_free(base);
}

/* --- from the start --- */

/* kind: 0 the environment forbids io_uring, 1 its mode in which data moves only while the loop is
 * in the kernel, 2 to 4 one kind of request, 5 all of them. */
static void t_environment(int kind)
{
	static const char *const lists[] = {
	    NULL, "defer_taskrun", "recv", "accept", "send", "recv,accept,send"};
	struct event_base *base;
	struct flow f;

	if (kind == 0)
		setenv("EVENT_NOIO_URING", "1", 1);
	else
		setenv("EVENT_URING_DISABLE", lists[kind], 1);
	base = st_base_new();
	flow_new(&f, base, BULK);
	flow_start(&f);
	flow_finish(&f);
	flow_free(&f);
	event_base_free(base);
}

/*
 * A user without privileges may lock so much memory, all processes together. Bases are made until
 * there is none left; each of them receives, though the memory for buffers may not be had any more.
 */
static void t_locked_memory(int kib)
{
	enum { BASES = 40 };
	const rlim_t bytes = (rlim_t)kib * 1024;
	const struct rlimit lim = {bytes, bytes};
	struct event_base *base[BASES];

	st_check(setrlimit(RLIMIT_MEMLOCK, &lim) == 0, "setrlimit");
	if (geteuid() == 0)
		st_check(
		    setgroups(0, NULL) == 0 && setgid(64123) == 0 && setuid(64123) == 0, "setuid");
	for (int i = 0; i < BASES; i++)
		base[i] = st_base_new();
	for (int i = 0; i < BASES; i++) {
		struct flow f;

		flow_new(&f, base[i], 1000);
		flow_start(&f);
		flow_finish(&f);
		flow_free(&f);
		event_base_free(base[i]);
	}
}

/* --- memory --- */

static struct {
	long live, refused;
	uint64_t rnd;
	uint32_t one_in; /* 0: all that is asked for is there */
} heap;

static bool refuse_memory(void)
{
	if (!heap.one_in || st_below(&heap.rnd, heap.one_in))
		return false;
	heap.refused++;
	errno = ENOMEM;
	return true;
}

static void *heap_malloc(size_t n)
{
	void *p = refuse_memory() ? NULL : malloc(n);

	heap.live += p != NULL;
	return p;
}

static void *heap_realloc(void *old, size_t n)
{
	void *p = refuse_memory() ? NULL : realloc(old, n);

	heap.live += p && !old;
	return p;
}

static void heap_free(void *p)
{
	heap.live -= p != NULL;
	free(p);
}

/* After an error a program goes on by enabling again; what could not be echoed is in the input. */
static void flow_revive(struct flow *f)
{
	for (int i = 0; i < PAIRS; i++) {
		struct side *s = &f->side[i];

		far_read_cb(s->far, s);
		bufferevent_enable(s->near, EV_READ | EV_WRITE);
		bufferevent_enable(s->far, EV_READ | EV_WRITE);
		near_read_cb(s->near, s);
		s->asleep = false;
	}
}

/* one_in: every so-manieth allocation fails, at random, for a while. */
static void t_no_memory(int one_in)
{
	const char *seed = getenv("STRESS_SEED");
	int n = __asan_init || __tsan_init ? 6 : 20;

	event_set_mem_functions(heap_malloc, heap_realloc, heap_free);
	for (int round = 1; round <= n; round++) {
		struct event_base *base;
		struct flow f;
		int64_t end;

		heap.one_in = 0;
		heap.rnd = seed ? strtoull(seed, NULL, 10) : 88172645463325252ull * (unsigned)round;
		base = st_base_new();
		flow_new(&f, base, 40000);
		f.may_fail = true;
		heap.one_in = (uint32_t)one_in;
		flow_start(&f);
		end = st_now_ms() + 60;
		while (st_now_ms() < end && flow_sum(&f) < (uint64_t)f.bytes * PAIRS) {
			/* The poll method may find no memory to wait with. */
			(void)event_base_loop(base, ST_ONE_PASS);
			if (f.errors && st_below(&heap.rnd, 8) == 0)
				flow_revive(&f);
		}
		/* From here on there is memory, and nothing fails any more. */
		heap.one_in = 0;
		f.may_fail = false;
		flow_revive(&f);
		flow_finish(&f);
		flow_free(&f);
		event_base_free(base);
	}
	st_check(heap.refused > 0, "no allocation was refused");
	libevent_global_shutdown();
	st_check(heap.live == 0, "%ld pieces of memory are left", heap.live);
}

static const struct st_case cases[] = {
    {"nothing_happens", t_harm, NOTHING, 0},
    {"enter_refused", t_harm, REFUSE_ENTER, 0},
    {"enter_refused_in_callback", t_harm, REFUSE_ENTER | FROM_CALLBACK, 0},
    {"all_refused", t_harm, REFUSE_ALL, 0},
    {"all_refused_in_callback", t_harm, REFUSE_ALL | FROM_CALLBACK, 0},
    {"ring_closed", t_harm, CLOSE_RING, 0},
    {"ring_closed_in_callback", t_harm, CLOSE_RING | FROM_CALLBACK, 0},
    {"ring_closed_number_reused", t_harm, CLOSE_LATER | FROM_CALLBACK, 0},
    {"few_descriptors", t_harm, LOWER_NOFILE, 0},
    {"reinit", t_harm, REINIT, 0},
    {"reinit_in_callback", t_harm, REINIT | FROM_CALLBACK, 0},
    {"enter_refused_idle", t_refused_idle, REFUSE_ENTER, 0},
    {"all_refused_idle", t_refused_idle, REFUSE_ALL, 0},
    {"ring_closed_idle", t_refused_idle, CLOSE_RING, 0},
    {"env_no_uring", t_environment, 0, 0},
    {"env_no_defer_taskrun", t_environment, 1, 0},
    {"env_no_recv", t_environment, 2, 0},
    {"env_no_accept", t_environment, 3, 0},
    {"env_no_send", t_environment, 4, 0},
    {"env_no_data", t_environment, 5, 0},
    {"no_locked_memory", t_locked_memory, 0, 0},
    {"little_locked_memory", t_locked_memory, 60, 0},
    {"some_locked_memory", t_locked_memory, 2048, 0},
    {"no_memory_now_and_then", t_no_memory, 50, 0},
    {"no_memory_often", t_no_memory, 5, 0},
    {"no_memory_mostly", t_no_memory, 2, 0},
    {NULL, NULL, 0, 0},
};

int main(int argc, char **argv)
{
	return st_main(argc, argv, cases);
}
