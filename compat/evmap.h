/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From fds and signals to the events that wait for them.
 */
#ifndef COMPAT_EVMAP_H
#define COMPAT_EVMAP_H

#include "base.h"
#include "stream.h"

struct evc_fd {
	struct event_dlist events; /* newest first */
	struct evc_stream *stream; /* or NULL */
	struct evu_poll *poll;     /* NULL: it has not been polled for yet */
	uint16_t nread;
	uint16_t nwrite;
	uint16_t nclose;
};

/* -1 with errno and a warning where the fd cannot be watched; otherwise 0, and 1 if the kernel has
 * something new to watch, which a sleeping loop must be told. */
int evc_io_add(struct event_base *base, struct event *ev);
/* 1 if that changed what the kernel watches. */
int evc_io_del(struct event_base *base, struct event *ev);
/* An event that is inserted was active and will not be run after all: its fd is to be looked at
 * again. */
void evc_io_renew(struct event_base *base, struct event *ev);
/* The events of fd that wait for any of `what` become active. True iff there are such. */
bool evc_io_active(struct event_base *base, evutil_socket_t fd, short what);

/* Puts a stream on an fd. False: there is one, or no memory, or the fd cannot be polled. */
bool evc_io_attach(struct event_base *base, evutil_socket_t fd, struct evc_stream *s);
void evc_io_detach(struct event_base *base, evutil_socket_t fd);
/* The writer of a stream is added, or, by the loop's thread, deleted. False: nothing was done,
 * event_add or event_del has to do it. */
bool evc_io_writer_comes(struct event_base *base, struct evc_stream *s);
bool evc_io_writer_goes(struct event_base *base, struct evc_stream *s);
/* What the stream's flags say takes effect. 1 if the kernel has something new to do. */
int evc_io_refresh(struct event_base *base, evutil_socket_t fd);

/* True iff the only event for reading is the stream's, and needs no poll. */
static inline bool evc_io_reads_itself(const struct evc_fd *slot)
{
	const struct evc_stream *s = slot->stream;

	return s && s->reading && (!s->no_in || s->hold_in) && slot->nread == 1;
}

static inline bool evc_io_sends_itself(const struct evc_fd *slot)
{
	const struct evc_stream *s = slot->stream;

	return s && s->writing && !s->poll_out && slot->nwrite == 1;
}

int evc_sig_add(struct event_base *base, struct event *ev);
int evc_sig_del(struct event_base *base, struct event *ev);
void evc_sig_active(struct event_base *base, int sig, int ncalls);

/* The engine's hook. */
bool evc_io_ready(void *base, struct evu_poll *poll, unsigned mask);

int evc_map_foreach(struct event_base *base, event_base_foreach_event_cb fn, void *arg);
void evc_map_assert_ok(struct event_base *base);
/* Deletes every event of the maps; how many were not internal. */
int evc_map_delete_all(struct event_base *base);
/* Takes all streams off their fds, for good. */
void evc_map_forget_streams(struct event_base *base);
void evc_map_fini(struct event_base *base);

#endif
