/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The maps. Each fd has one watch at the engine for all its events: the union of what they want.
 *
 * How an fd is watched: events with EV_ET are edge-triggered, all of an fd's or none. An fd with a
 * single event that is not persistent is watched once: when it fires, the request is over by
 * itself, and nothing has to be cancelled before the callback (unless it wants EV_CLOSED: fds that
 * hang up without it fire for nothing). Everything else is watched as long as it has events. A
 * watch stays what it is while it serves: changing it costs more than a report that nobody waits
 * for.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "debug.h"
#include "evmap.h"
#include "queue.h"
#include "timeout.h"

#define MAX_PER_FD 0xffff

#define SLAB 64

struct evc_fd_slab {
	struct evc_fd_slab *next;
	struct evc_fd slots[SLAB];
};

static struct evc_fd *slot_find(struct event_base *base, evutil_socket_t fd)
{
	return fd >= 0 && fd < base->io.len ? base->io.slots[fd] : NULL;
}

/* The table grows with the highest fd in use; -1 when there is no memory. */
static int table_grow(struct evc_fdmap *map, evutil_socket_t fd)
{
	int len = map->len ? map->len : 32;
	struct evc_fd **slots;

	if (fd < map->len)
		return 0;
	while (len <= fd) {
		if (len > INT_MAX / 2)
			return -1;
		len *= 2;
	}
	slots = mm_realloc(map->slots, (size_t)len * sizeof(*slots));
	if (!slots)
		return -1;
	memset(slots + map->len, 0, (size_t)(len - map->len) * sizeof(*slots));
	map->slots = slots;
	map->len = len;
	return 0;
}

static struct evc_fd *slot_new(struct evc_fdmap *map)
{
	struct evc_fd_slab *slab = map->slabs;

	if (!slab || map->n_used == SLAB) {
		slab = mm_calloc(1, sizeof(*slab));
		if (!slab)
			return NULL;
		slab->next = map->slabs;
		map->slabs = slab;
		map->n_used = 0;
	}
	return &slab->slots[map->n_used++];
}

static __attribute__((noinline)) struct evc_fd *slot_missing(
    struct event_base *base, evutil_socket_t fd)
{
	struct evc_fd *slot;

	/* No table is made for a number that cannot be an fd: INT_MAX would be 16 GiB. */
	if (fd >= base->io.len && fcntl(fd, F_GETFD) < 0)
		return NULL;
	if (table_grow(&base->io, fd) < 0 || !(slot = slot_new(&base->io))) {
		errno = ENOMEM;
		return NULL;
	}
	base->io.slots[fd] = slot;
	return slot;
}

static inline struct evc_fd *slot_make(struct event_base *base, evutil_socket_t fd)
{
	struct evc_fd *slot = slot_find(base, fd);

	return slot ? slot : slot_missing(base, fd);
}

/* Fds whose data moves by itself may never need a poll. NULL: no memory. */
static struct evu_poll *slot_poll(struct event_base *base, struct evc_fd *slot, evutil_socket_t fd)
{
	if (!slot->poll && (slot->poll = mm_malloc(sizeof(*slot->poll))))
		evu_poll_init(slot->poll, base->engine, fd);
	return slot->poll;
}

static unsigned slot_want(const struct evc_fd *slot)
{
	return slot->poll ? slot->poll->want : 0;
}

static inline unsigned slot_mask(const struct evc_fd *slot)
{
	unsigned mask = (slot->nread ? POLLIN : 0u) | (slot->nwrite ? POLLOUT : 0u) |
			(slot->nclose ? POLLRDHUP : 0u);

	if (slot->stream) {
		if (evc_io_reads_itself(slot) && !slot->stream->net)
			mask &= ~(unsigned)POLLIN;
		if (evc_io_sends_itself(slot))
			mask &= ~(unsigned)POLLOUT;
	}
	return mask;
}

static enum evu_watch slot_watch(const struct evc_fd *slot, unsigned mask)
{
	const struct event *ev = LIST_FIRST(&slot->events);

	if (slot->stream) {
		/* It waits for a poll once in a while only. */
		if (slot->stream->poll_out && mask == POLLOUT && slot->nwrite == 1)
			return EVU_ONCE;
		if (evc_io_reads_itself(slot) && mask == POLLIN)
			return EVU_BESIDE;
	}
	if (ev->ev_events & EV_ET)
		return EVU_EDGE;
	if (ev->ev_events & EV_PERSIST || LIST_NEXT(ev, ev_io_next) || slot->nclose)
		return EVU_LEVEL;
	if (slot->poll->want == mask && slot->poll->watch == EVU_LEVEL)
		return EVU_LEVEL;
	return EVU_ONCE;
}

static void slot_count(struct evc_fd *slot, const struct event *ev, int n)
{
	slot->nread = (uint16_t)(slot->nread + (ev->ev_events & EV_READ ? n : 0));
	slot->nwrite = (uint16_t)(slot->nwrite + (ev->ev_events & EV_WRITE ? n : 0));
	slot->nclose = (uint16_t)(slot->nclose + (ev->ev_events & EV_CLOSED ? n : 0));
}

static bool slot_full(const struct evc_fd *slot, const struct event *ev)
{
	return (ev->ev_events & EV_READ && slot->nread == MAX_PER_FD) ||
	       (ev->ev_events & EV_WRITE && slot->nwrite == MAX_PER_FD) ||
	       (ev->ev_events & EV_CLOSED && slot->nclose == MAX_PER_FD);
}

/* A request of a stream stops. The loop's thread, while it runs callbacks, need not enter the
 * kernel for that: nothing moves before it does, and the program may start it again before. */
static void halt(struct event_base *base, struct evu_request *req)
{
	if (base->running_loop && evc_in_loop_thread(base)) {
		evu_request_halt(req);
		return;
	}
	evu_request_drop(req);
	base->to_settle = true;
}

/* 1 if there is something new for the loop to do. */
static int stream_update_in(struct event_base *base, struct evc_fd *slot)
{
	struct evc_stream *s = slot->stream;

	if (!evc_io_reads_itself(slot) || s->hold_in) {
		if (s->in.req.wanted)
			halt(base, &s->in.req);
		return 0;
	}
	if (evu_intake_pending(&s->in)) {
		event_active_later_nolock_(s->reader, EV_READ);
		/* What came has to be counted first. */
		if (s->cap)
			return 0;
	}
	if (s->in.req.wanted && s->in.cap == s->cap)
		return 0;
	evu_intake_start(&s->in, s->fd, s->cap);
	return 1;
}

static int stream_update_out(struct event_base *base, struct evc_fd *slot)
{
	struct evc_stream *s = slot->stream;

	if (!evc_io_sends_itself(slot)) {
		evu_link_remove(&s->to_send);
		if (s->send && s->send->req.wanted)
			halt(base, &s->send->req);
		return 0;
	}
	if (s->send && s->send->req.wanted)
		return 0;
	evc_stream_look(s);
	return 1;
}

/* 1 if that is new to the kernel, 0, or -errno. */
static int slot_watch_for(
    struct event_base *base, struct evc_fd *slot, evutil_socket_t fd, unsigned mask, bool known)
{
	struct evu_poll *poll = slot_poll(base, slot, fd);
	unsigned old_want = poll ? poll->want : 0;
	uint8_t old_watch = poll ? poll->watch : 0;
	int rc = poll ? evu_poll_want(poll, mask, slot_watch(slot, mask), known) : -ENOMEM;

	if (rc < 0)
		return rc;
	return old_want != mask || old_watch != poll->watch || poll->watch == EVU_ONCE;
}

/* Tells the engine what is wanted now: 0, 1 if that is new to the kernel, or -errno. */
static int slot_update(struct event_base *base, struct evc_fd *slot, evutil_socket_t fd, bool known)
{
	unsigned mask = slot_mask(slot);
	int new = 0;

	if (mask) {
		new = slot_watch_for(base, slot, fd, mask, known);
		if (new < 0)
			return new;
	} else if (slot->poll) {
		new = slot->poll->want != 0;
		/* A bufferevent needed it for a moment: when writing began, or the socket was full.
		 * A listener's belongs to its intake. */
		if (slot->stream && !slot->stream->net) {
			base->to_settle = true;
			evu_poll_drop(slot->poll);
			mm_free(slot->poll);
			slot->poll = NULL;
		} else if (evu_poll_park(slot->poll)) {
			base->to_settle = true;
		}
	}
	if (slot->stream) {
		new |= stream_update_in(base, slot);
		new |= stream_update_out(base, slot);
	}
	return new;
}

/* The stream's own events come and go. */
static void stream_note(struct evc_fd *slot, const struct event *ev, bool on)
{
	struct evc_stream *s = slot->stream;

	if (!s)
		return;
	if (ev == s->reader)
		s->reading = on;
	if (ev == evc_stream_writer(s)) {
		s->writing = on;
		s->poll_out = false;
	}
}

bool evc_io_attach(struct event_base *base, evutil_socket_t fd, struct evc_stream *s)
{
	struct evc_fd *slot;

	/* Without a stream, adding the event says what is wrong with the fd. */
	if (fd != base->fresh_fd && evu_fd_admit(fd) != 0)
		return false;
	slot = slot_make(base, fd);
	if (!slot || slot->stream)
		return false;
	slot->stream = s;
	s->fresh = fd == base->fresh_fd;
	if (s->net)
		s->in.beside = slot_poll(base, slot, fd);
	return true;
}

void evc_io_detach(struct event_base *base, evutil_socket_t fd)
{
	struct evc_fd *slot = slot_find(base, fd);

	if (slot->stream->net)
		slot->stream->in.beside = NULL;
	slot->stream = NULL;
}

int evc_io_refresh(struct event_base *base, evutil_socket_t fd)
{
	return slot_update(base, slot_find(base, fd), fd, true);
}

static int add_failed(const struct event *ev, int err)
{
	errno = err;
	event_warn("event_add: fd %d cannot be watched", ev->ev_fd);
	errno = err;
	return -1;
}

/* The kernel watches an fd one way or the other; which one, for a mixture, nobody can tell. */
static bool mixes_edges(const struct evc_fd *slot, const struct event *ev)
{
	const struct event *other = LIST_FIRST(&slot->events);

	return other && (other->ev_events & EV_ET) != (ev->ev_events & EV_ET);
}

int evc_io_add(struct event_base *base, struct event *ev)
{
	struct evc_fd *slot;
	int rc;

	if (ev->ev_fd < 0)
		return 0;
	slot = slot_make(base, ev->ev_fd);
	if (!slot)
		return add_failed(ev, errno);
	if (slot_full(slot, ev)) {
		event_warnx("event_add: too many events on fd %d", ev->ev_fd);
		return -1;
	}
	if (event_debug_mode_on_ && mixes_edges(slot, ev)) {
		event_warnx(
		    "event_add: edge-triggered and other events do not mix on fd %d", ev->ev_fd);
		return -1;
	}
	slot_count(slot, ev, 1);
	LIST_INSERT_HEAD(&slot->events, ev, ev_io_next);
	stream_note(slot, ev, true);
	rc = slot_update(base, slot, ev->ev_fd, false);
	if (rc < 0) {
		LIST_REMOVE(ev, ev_io_next);
		slot_count(slot, ev, -1);
		stream_note(slot, ev, false);
		return add_failed(ev, -rc);
	}
	return rc;
}

int evc_io_del(struct event_base *base, struct event *ev)
{
	struct evc_fd *slot = slot_find(base, ev->ev_fd);
	int rc;

	if (ev->ev_fd < 0)
		return 0;
	evc_assert(slot);
	LIST_REMOVE(ev, ev_io_next);
	slot_count(slot, ev, -1);
	stream_note(slot, ev, false);
	rc = slot_update(base, slot, ev->ev_fd, true);
	if (rc < 0) {
		/* Memory, or the fd is closed: what is left of the events goes unheard, as after
		 * any close. */
		event_debug("fd %d: cannot change what is watched: %s", ev->ev_fd, strerror(-rc));
		return 1;
	}
	return rc;
}

/* True iff the fd is polled for as it would be without a writer that sends by itself. */
static bool polls_regardless(const struct evc_fd *slot)
{
	return slot->poll->want == POLLIN && slot->poll->watch == EVU_LEVEL && !slot->nclose &&
	       !evc_io_reads_itself(slot);
}

/*
 * The short way: what event_add and event_del come to for a writer that neither waits for anything
 * nor has a timeout, on an fd where reading and polling go on as they do. That is what each message
 * of a bufferevent begins and ends with.
 */
static struct evc_fd *short_way(struct event_base *base, const struct evc_stream *s, short flags)
{
	struct evc_fd *slot = s->fd >= 0 ? base->io.slots[s->fd] : NULL;

	if (!slot || s->send || evc_stream_writer(s)->ev_flags != flags || event_debug_mode_on_ ||
	    (slot->poll && !polls_regardless(slot)))
		return NULL;
	return s->in.req.wanted || !evc_io_reads_itself(slot) ? slot : NULL;
}

bool evc_io_writer_comes(struct event_base *base, struct evc_stream *s)
{
	struct event *ev = evc_stream_writer(s);
	struct evc_fd *slot = short_way(base, s, EVLIST_INIT);

	if (!slot || slot->nwrite)
		return false;
	event_debug("event_add: event %p (fd %d), a writer", (void *)ev, s->fd);
	slot->nwrite = 1;
	LIST_INSERT_HEAD(&slot->events, ev, ev_io_next);
	s->writing = true;
	s->poll_out = false;
	evc_insert_inserted(base, ev);
	evc_stream_look(s);
	if (evc_must_notify(base))
		evc_notify(base);
	return true;
}

bool evc_io_writer_goes(struct event_base *base, struct evc_stream *s)
{
	struct event *ev = evc_stream_writer(s);
	struct evc_fd *slot = short_way(base, s, EVLIST_INIT | EVLIST_INSERTED);

	if (!slot || slot->nwrite != 1)
		return false;
	event_debug("event_del: %p (fd %d), a writer", (void *)ev, s->fd);
	LIST_REMOVE(ev, ev_io_next);
	slot->nwrite = 0;
	s->writing = s->poll_out = false;
	evc_remove_inserted(base, ev);
	evu_link_remove(&s->to_send);
	return true;
}

void evc_io_renew(struct event_base *base, struct event *ev)
{
	struct evc_fd *slot = slot_find(base, ev->ev_fd);

	if (slot && (slot_want(slot) || slot->stream))
		(void)slot_update(base, slot, ev->ev_fd, true);
}

bool evc_io_active(struct event_base *base, evutil_socket_t fd, short what)
{
	struct evc_fd *slot = slot_find(base, fd);
	struct event *ev;
	bool any = false;

	if (!slot)
		return false;
	LIST_FOREACH (ev, &slot->events, ev_io_next)
		if (ev->ev_events & what & ~EV_ET) {
			event_active_nolock_(ev, ev->ev_events & what, 1);
			any = true;
		}
	return any;
}

/* What a mask means, in the words of libevent's epoll method, or of its poll method, which differ
 * about hang-ups. */
static short meaning(enum evu_method method, unsigned mask)
{
	short what = (short)((method == EVU_POLL2 ? 0 : EV_ET) | (mask & POLLIN ? EV_READ : 0) |
			     (mask & POLLOUT ? EV_WRITE : 0) | (mask & POLLRDHUP ? EV_CLOSED : 0));

	if (__builtin_expect(!(mask & (POLLHUP | POLLERR | POLLNVAL)), 1))
		return what;
	if (method == EVU_POLL2)
		return what | EV_READ | EV_WRITE;
	if (mask & POLLERR || !(mask & POLLRDHUP))
		return EV_READ | EV_WRITE | EV_ET;
	return what;
}

static bool slot_active(struct event_base *base, const struct evc_fd *slot, short what)
{
	struct event *ev;
	bool any = false;

	LIST_FOREACH (ev, &slot->events, ev_io_next)
		if (ev->ev_events & what & ~EV_ET) {
			evc_activate_io(base, ev, ev->ev_events & what);
			any = true;
		}
	return any;
}

bool evc_io_ready(void *arg, struct evu_poll *poll, unsigned mask)
{
	struct event_base *base = arg;
	struct evc_fd *slot = slot_find(base, poll->fd);
	bool heard;

	if (__builtin_expect(slot->stream && slot->stream->net, 0))
		slot->stream->passed_over = true;
	heard = slot_active(base, slot, meaning(evu_engine_method(base->engine), mask));

	/* While a socket's error has not been taken, an event for EV_CLOSED alone hears nothing of
	 * the end that came with it, and taking it would not be told: so it is told now. */
	if (!heard && mask & POLLRDHUP)
		heard = slot_active(base, slot, EV_CLOSED | EV_ET);
	return heard;
}

int evc_sig_add(struct event_base *base, struct event *ev)
{
	int sig = ev->ev_fd;

	if (sig < 0 || sig >= EVC_NSIG)
		return -1;
	if (LIST_EMPTY(&base->sigmap.events[sig]) && evc_signal_catch(base, sig) < 0)
		return -1;
	LIST_INSERT_HEAD(&base->sigmap.events[sig], ev, ev_signal_next);
	return 1;
}

int evc_sig_del(struct event_base *base, struct event *ev)
{
	int sig = ev->ev_fd;

	if (sig < 0 || sig >= EVC_NSIG)
		return -1;
	LIST_REMOVE(ev, ev_signal_next);
	if (LIST_EMPTY(&base->sigmap.events[sig]) && evc_signal_release(base, sig) < 0)
		return -1;
	return 1;
}

void evc_sig_active(struct event_base *base, int sig, int ncalls)
{
	struct event *ev;

	if (sig < 0 || sig >= EVC_NSIG)
		return;
	LIST_FOREACH (ev, &base->sigmap.events[sig], ev_signal_next) {
		bool waits = ev->ev_flags & EVLIST_ACTIVE && !ev->ev_pncalls;
		int n = ncalls + (waits ? ev->ev_ncalls : 0);

		if (n > SHRT_MAX)
			n = SHRT_MAX;
		/* Active already, for instance by hand: these calls come on top. */
		if (waits)
			ev->ev_ncalls = (short)n;
		event_active_nolock_(ev, EV_SIGNAL, (short)n);
	}
}

int evc_map_foreach(struct event_base *base, event_base_foreach_event_cb fn, void *arg)
{
	struct event *ev;
	int i, r;

	for (i = 0; i < base->io.len; i++) {
		if (!base->io.slots[i])
			continue;
		LIST_FOREACH (ev, &base->io.slots[i]->events, ev_io_next)
			if ((r = fn(base, ev, arg)))
				return r;
	}
	for (i = 0; i < EVC_NSIG; i++)
		LIST_FOREACH (ev, &base->sigmap.events[i], ev_signal_next)
			if ((r = fn(base, ev, arg)))
				return r;
	return 0;
}

static void slot_assert_ok(const struct evc_fd *slot, int fd)
{
	const struct event *ev;
	int nread = 0, nwrite = 0, nclose = 0;

	LIST_FOREACH (ev, &slot->events, ev_io_next) {
		evc_assert(ev->ev_flags & EVLIST_INSERTED);
		evc_assert(ev->ev_fd == fd && !(ev->ev_events & EV_SIGNAL));
		nread += (ev->ev_events & EV_READ) != 0;
		nwrite += (ev->ev_events & EV_WRITE) != 0;
		nclose += (ev->ev_events & EV_CLOSED) != 0;
	}
	evc_assert(nread == slot->nread && nwrite == slot->nwrite && nclose == slot->nclose);
	evc_assert(slot_want(slot) == slot_mask(slot));
}

void evc_map_assert_ok(struct event_base *base)
{
	const struct event *ev;
	int i;

	for (i = 0; i < base->io.len; i++)
		if (base->io.slots[i])
			slot_assert_ok(base->io.slots[i], i);
	for (i = 0; i < EVC_NSIG; i++)
		LIST_FOREACH (ev, &base->sigmap.events[i], ev_signal_next) {
			evc_assert(ev->ev_flags & EVLIST_INSERTED);
			evc_assert(ev->ev_fd == i && ev->ev_events & EV_SIGNAL);
		}
}

static int delete_list(struct event_dlist *list)
{
	struct event *ev;
	int n = 0;

	while ((ev = LIST_FIRST(list))) {
		n += !(ev->ev_flags & EVLIST_INTERNAL);
		event_del_nolock_(ev, EVENT_DEL_EVEN_IF_FINALIZING);
	}
	return n;
}

int evc_map_delete_all(struct event_base *base)
{
	int i, n = 0;

	for (i = 0; i < base->io.len; i++)
		if (base->io.slots[i])
			n += delete_list(&base->io.slots[i]->events);
	for (i = 0; i < EVC_NSIG; i++)
		n += delete_list(&base->sigmap.events[i]);
	return n;
}

/* Bufferevents that outlive their base. */
static void forget_stream(struct evc_stream *s)
{
	evc_stream_detach(s);
	evc_stream_fini(s);
}

void evc_map_forget_streams(struct event_base *base)
{
	int i;

	for (i = 0; i < base->io.len; i++)
		if (base->io.slots[i] && base->io.slots[i]->stream)
			forget_stream(base->io.slots[i]->stream);
}

void evc_map_fini(struct event_base *base)
{
	struct evc_fd_slab *slab;
	int i;

	for (i = 0; i < base->io.len; i++)
		if (base->io.slots[i] && base->io.slots[i]->poll)
			mm_free(base->io.slots[i]->poll);
	while ((slab = base->io.slabs)) {
		base->io.slabs = slab->next;
		mm_free(slab);
	}
	if (base->io.slots)
		mm_free(base->io.slots);
	base->io = (struct evc_fdmap){0};
}
