/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Streams: what the engine takes in and sends, turned into events that become active. See stream.h.
 *
 * When. What comes while callbacks run (a callback that gives up an fd enters the kernel) is told
 * in the next turn: as with any method, a turn tells what was so before its callbacks ran.
 */
#include "stream.h"

#include <unistd.h>

#include "evmap.h"

void evc_stream_init(struct evc_stream *s, struct event_base *base, enum evu_request_kind kind,
    struct event *reader, bool has_writer)
{
	*s =
	    (struct evc_stream){.reader = reader, .has_writer = has_writer, .base = base, .fd = -1};
	evu_link_init(&s->to_send);
	evu_intake_init(&s->in, base->engine, kind);
	s->no_in = !evu_engine_moves_data(base->engine, kind);
	s->no_out = !evu_engine_moves_data(base->engine, EVU_SEND);
}

void evc_stream_attach(struct evc_stream *s, evutil_socket_t fd)
{
	if (fd >= 0 && evc_io_attach(s->base, fd, s))
		s->fd = fd;
}

void evc_stream_detach(struct evc_stream *s)
{
	if (s->fd < 0)
		return;
	evc_io_detach(s->base, s->fd);
	s->fd = -1;
	s->reading = s->writing = s->poll_out = false;
	evu_link_remove(&s->to_send);
	evu_request_drop(&s->in.req);
	if (s->send)
		evu_request_drop(&s->send->req);
	s->base->to_settle = true;
}

static void drop_items(struct evc_stream *s)
{
	struct evu_item *item = evu_intake_take(&s->in);

	while (item) {
		struct evu_item *next = item->next;

		if (item->fd >= 0)
			close(item->fd);
		evu_item_give(s->base->engine, item);
		item = next;
	}
}

void evc_stream_end(struct evc_stream *s)
{
	evc_assert(s->fd < 0);
	/* Even if it was tried since: the loop's thread may have entered the kernel meanwhile. */
	evc_settle_now(s->base);
	if (!evu_request_over(&s->in.req) || (s->send && !evu_request_over(&s->send->req)))
		evu_engine_abandon(s->base->engine);
}

void evc_stream_fini(struct evc_stream *s)
{
	struct event_base *base = s->base;

	if (!base)
		return;
	evc_stream_end(s);
	drop_items(s);
	if (s->send)
		evu_send_free(s->send);
	s->send = NULL;
	s->base = NULL;
}

bool evc_stream_reads(const struct evc_stream *s)
{
	const struct evc_fd *slot = s->fd >= 0 ? s->base->io.slots[s->fd] : NULL;

	return slot && evc_io_reads_itself(slot);
}

bool evc_stream_sends(const struct evc_stream *s)
{
	const struct evc_fd *slot = s->fd >= 0 ? s->base->io.slots[s->fd] : NULL;

	return slot && evc_io_sends_itself(slot);
}

bool evc_stream_may_send(const struct evc_stream *s)
{
	const struct evc_fd *slot = s->fd >= 0 ? s->base->io.slots[s->fd] : NULL;

	return slot && s->writing && !s->no_out && slot->nwrite == 1;
}

/* Off the loop's callbacks it is as if poll had told it; within them it is for the next turn. */
static void activate(struct event_base *base, struct event *ev, short what)
{
	if (base->event_running_priority >= 0) {
		event_active_later_nolock_(ev, what);
		return;
	}
	evc_activate_io(base, ev, what);
	if (evc_must_notify(base))
		evc_notify(base);
}

void evc_stream_changed(struct evc_stream *s)
{
	int rc;

	if (s->fd < 0)
		return;
	rc = evc_io_refresh(s->base, s->fd);
	if (rc > 0 && evc_must_notify(s->base))
		evc_notify(s->base);
	if (rc < 0 && s->reading)
		event_active_later_nolock_(s->reader, EV_READ);
	if (rc < 0 && s->writing)
		event_active_later_nolock_(evc_stream_writer(s), EV_WRITE);
}

void evc_stream_renew(struct evc_stream *s)
{
	if (!s->in.req.wanted && !s->no_in)
		evc_stream_changed(s);
	else if (s->reading && evu_intake_pending(&s->in))
		event_active_later_nolock_(s->reader, EV_READ);
}

void evc_stream_look(struct evc_stream *s)
{
	if (!evu_link_linked(&s->to_send))
		evu_link_append(&s->base->to_send, &s->to_send);
}

void evc_stream_arrived(void *arg, struct evu_intake *in)
{
	struct evc_stream *s = evu_container_of(in, struct evc_stream, in);

	if (s->reading)
		activate(arg, s->reader, EV_READ);
}

void evc_stream_sent(void *arg, struct evu_send *send)
{
	struct evc_stream *s = send->ctx;

	/* A stage's send is looked at before the next turn. */
	if (s && s->writing)
		activate(arg, evc_stream_writer(s), EV_WRITE);
}
