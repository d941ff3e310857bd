/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bufferevents, the part that all kinds share, continued: switching reading and writing on and off,
 * timeouts, moving data in and out, and what a program may ask.
 *
 * Two things decide whether a direction works: `enabled`, which the program sets, and the reasons
 * to suspend it, a set that the library keeps. The kind's enable() is called when the direction is
 * enabled and no reason is left, also if nothing changed; its disable() when the program disables,
 * or when the first reason comes. `enabled` tells what the program wants, suspended or not.
 */
#include "bufferevent.h"

#include <event2/bufferevent_compat.h>

/* ---- suspended by the library ---- */

void bufferevent_suspend_read_(struct bufferevent *bev, bufferevent_suspend_flags what)
{
	struct bufferevent_private *p = BEV_UPCAST(bev);

	BEV_LOCK(bev);
	if (!p->read_suspended)
		bev->be_ops->disable(bev, EV_READ);
	p->read_suspended |= what;
	/* Data that no callback was told of yet are not read again: at the high mark nobody else
	 * would tell. */
	if (bev->enabled & EV_READ)
		evc_sock_announce(bev);
	BEV_UNLOCK(bev);
}

void bufferevent_unsuspend_read_(struct bufferevent *bev, bufferevent_suspend_flags what)
{
	struct bufferevent_private *p = BEV_UPCAST(bev);

	BEV_LOCK(bev);
	if (p->read_suspended & what & BEV_SUSPEND_FILT_READ)
		evc_sock_filter_resumes(bev);
	p->read_suspended &= (bufferevent_suspend_flags)~what;
	if (!p->read_suspended && bev->enabled & EV_READ)
		bev->be_ops->enable(bev, EV_READ);
	else if (bev->enabled & EV_READ)
		evc_sock_announce(bev);
	BEV_UNLOCK(bev);
}

void bufferevent_suspend_write_(struct bufferevent *bev, bufferevent_suspend_flags what)
{
	struct bufferevent_private *p = BEV_UPCAST(bev);

	BEV_LOCK(bev);
	if (!p->write_suspended)
		bev->be_ops->disable(bev, EV_WRITE);
	p->write_suspended |= what;
	BEV_UNLOCK(bev);
}

void bufferevent_unsuspend_write_(struct bufferevent *bev, bufferevent_suspend_flags what)
{
	struct bufferevent_private *p = BEV_UPCAST(bev);

	BEV_LOCK(bev);
	p->write_suspended &= (bufferevent_suspend_flags)~what;
	if (!p->write_suspended && bev->enabled & EV_WRITE)
		bev->be_ops->enable(bev, EV_WRITE);
	BEV_UNLOCK(bev);
}

/* ---- switched by the program ---- */

int bufferevent_enable(struct bufferevent *bev, short event)
{
	struct bufferevent_private *p = BEV_UPCAST(bev);
	short now = event;
	int result = 0;

	bufferevent_incref_and_lock_(bev);
	if (p->read_suspended)
		now &= ~EV_READ;
	if (p->write_suspended)
		now &= ~EV_WRITE;
	bev->enabled |= event;
	if (now && bev->be_ops->enable(bev, now) < 0)
		result = -1;
	if (event & EV_READ)
		evc_sock_announce(bev);
	bufferevent_decref_and_unlock_(bev);
	return result;
}

/* Locked. */
static int disable(struct bufferevent *bev, short event)
{
	int result;

	bev->enabled &= ~event;
	result = bev->be_ops->disable(bev, event) < 0 ? -1 : 0;
	if (event & EV_READ)
		evc_sock_absorb(bev);
	return result;
}

int bufferevent_disable(struct bufferevent *bev, short event)
{
	int result;

	BEV_LOCK(bev);
	result = disable(bev, event);
	BEV_UNLOCK(bev);
	return result;
}

int bufferevent_disable_hard_(struct bufferevent *bev, short event)
{
	int result;

	BEV_LOCK(bev);
	BEV_UPCAST(bev)->connecting = 0;
	result = disable(bev, event);
	BEV_UNLOCK(bev);
	return result;
}

/* ---- timeouts ---- */

static void set_timeout(struct timeval *timeout, const struct timeval *tv)
{
	if (tv)
		*timeout = *tv;
	else
		evutil_timerclear(timeout);
}

int bufferevent_set_timeouts(
    struct bufferevent *bev, const struct timeval *tv_read, const struct timeval *tv_write)
{
	int result = 0;

	BEV_LOCK(bev);
	set_timeout(&bev->timeout_read, tv_read);
	set_timeout(&bev->timeout_write, tv_write);
	if (bev->be_ops->adj_timeouts)
		result = bev->be_ops->adj_timeouts(bev);
	BEV_UNLOCK(bev);
	return result;
}

/* In seconds; 0: none. */
void bufferevent_settimeout(struct bufferevent *bev, int timeout_read, int timeout_write)
{
	struct timeval tv_read = {.tv_sec = timeout_read};
	struct timeval tv_write = {.tv_sec = timeout_write};

	bufferevent_set_timeouts(
	    bev, timeout_read ? &tv_read : NULL, timeout_write ? &tv_write : NULL);
}

/*
 * Kinds without a descriptor use ev_read and ev_write as mere timers: that of reading runs while
 * the bufferevent reads, that of writing only while there is something to write.
 */
static void timed_out(struct bufferevent *bev, short direction, short what)
{
	bufferevent_incref_and_lock_(bev);
	bufferevent_disable(bev, direction);
	bufferevent_run_eventcb_(bev, what | BEV_EVENT_TIMEOUT, 0);
	bufferevent_decref_and_unlock_(bev);
}

static void read_timed_out(evutil_socket_t fd, short what, void *bev)
{
	(void)fd;
	(void)what;
	timed_out(bev, EV_READ, BEV_EVENT_READING);
}

static void write_timed_out(evutil_socket_t fd, short what, void *bev)
{
	(void)fd;
	(void)what;
	timed_out(bev, EV_WRITE, BEV_EVENT_WRITING);
}

void bufferevent_init_generic_timeout_cbs_(struct bufferevent *bev)
{
	event_assign(&bev->ev_read, bev->ev_base, -1, EV_FINALIZE, read_timed_out, bev);
	event_assign(&bev->ev_write, bev->ev_base, -1, EV_FINALIZE, write_timed_out, bev);
}

static int start_or_stop(struct event *timer, bool runs, const struct timeval *tv)
{
	return runs && evutil_timerisset(tv) ? event_add(timer, tv) : event_del(timer);
}

int bufferevent_generic_adj_timeouts_(struct bufferevent *bev)
{
	struct bufferevent_private *p = BEV_UPCAST(bev);
	bool reads = bev->enabled & EV_READ && !p->read_suspended;
	bool writes =
	    bev->enabled & EV_WRITE && !p->write_suspended && evbuffer_get_length(bev->output) > 0;
	int read_result = start_or_stop(&bev->ev_read, reads, &bev->timeout_read);
	int write_result = start_or_stop(&bev->ev_write, writes, &bev->timeout_write);

	return read_result < 0 || write_result < 0 ? -1 : 0;
}

static int change_timer(struct event *ev, short what, const struct timeval *tv)
{
	if (!event_pending(ev, what, NULL))
		return 0;
	if (evutil_timerisset(tv))
		return event_add(ev, tv) < 0 ? -1 : 0;
	event_remove_timer(ev);
	return 0;
}

/* For kinds whose events have descriptors: what is not being waited for is left alone. */
int bufferevent_generic_adj_existing_timeouts_(struct bufferevent *bev)
{
	int read_result = change_timer(&bev->ev_read, EV_READ, &bev->timeout_read);
	int write_result = change_timer(&bev->ev_write, EV_WRITE, &bev->timeout_write);

	return read_result < 0 || write_result < 0 ? -1 : 0;
}

int bufferevent_add_event_(struct event *ev, const struct timeval *tv)
{
	return event_add(ev, evutil_timerisset(tv) ? tv : NULL);
}

/* ---- data ---- */

int bufferevent_write(struct bufferevent *bev, const void *data, size_t size)
{
	return evbuffer_add(bev->output, data, size) == -1 ? -1 : 0;
}

int bufferevent_write_buffer(struct bufferevent *bev, struct evbuffer *buf)
{
	return evbuffer_add_buffer(bev->output, buf) == -1 ? -1 : 0;
}

/* What evbuffer_remove answers: its -1 arrives as a huge number. */
size_t bufferevent_read(struct bufferevent *bev, void *data, size_t size)
{
	return (size_t)evbuffer_remove(bev->input, data, size);
}

int bufferevent_read_buffer(struct bufferevent *bev, struct evbuffer *buf)
{
	return evbuffer_add_buffer(buf, bev->input);
}

int bufferevent_flush(struct bufferevent *bev, short iotype, enum bufferevent_flush_mode mode)
{
	int result = -1;

	BEV_LOCK(bev);
	if (bev->be_ops->flush)
		result = bev->be_ops->flush(bev, iotype, mode);
	BEV_UNLOCK(bev);
	return result;
}

/* ---- questions ---- */

struct evbuffer *bufferevent_get_input(struct bufferevent *bev)
{
	return bev->input;
}

struct evbuffer *bufferevent_get_output(struct bufferevent *bev)
{
	return bev->output;
}

struct event_base *bufferevent_get_base(struct bufferevent *bev)
{
	return bev->ev_base;
}

/* The one that a kind has by default, for as long as its events are not made. */
int bufferevent_get_priority(const struct bufferevent *bev)
{
	if (event_initialized(&bev->ev_read))
		return event_get_priority(&bev->ev_read);
	return event_base_get_npriorities(bev->ev_base) / 2;
}

short bufferevent_get_enabled(struct bufferevent *bev)
{
	short enabled;

	BEV_LOCK(bev);
	enabled = bev->enabled;
	BEV_UNLOCK(bev);
	return enabled;
}

enum bufferevent_options bufferevent_get_options_(struct bufferevent *bev)
{
	enum bufferevent_options options;

	BEV_LOCK(bev);
	options = BEV_UPCAST(bev)->options;
	BEV_UNLOCK(bev);
	return options;
}

/* What the kind does for it; -1 if it does nothing. */
static int control(
    struct bufferevent *bev, enum bufferevent_ctrl_op op, union bufferevent_ctrl_data *data)
{
	int result = -1;

	BEV_LOCK(bev);
	if (bev->be_ops->ctrl)
		result = bev->be_ops->ctrl(bev, op, data);
	BEV_UNLOCK(bev);
	return result;
}

int bufferevent_setfd(struct bufferevent *bev, evutil_socket_t fd)
{
	union bufferevent_ctrl_data data = {.fd = fd};

	return control(bev, BEV_CTRL_SET_FD, &data);
}

evutil_socket_t bufferevent_getfd(struct bufferevent *bev)
{
	union bufferevent_ctrl_data data = {.fd = -1};

	return control(bev, BEV_CTRL_GET_FD, &data) < 0 ? -1 : data.fd;
}

struct bufferevent *bufferevent_get_underlying(struct bufferevent *bev)
{
	union bufferevent_ctrl_data data = {.ptr = NULL};

	return control(bev, BEV_CTRL_GET_UNDERLYING, &data) < 0 ? NULL : data.ptr;
}
