/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A stream: an fd whose data moves by itself, and the events that stand for it.
 *
 * A bufferevent's ev_read and ev_write, and a listener's event, are ordinary events: they are added
 * and deleted, have timeouts and priorities, are counted and finalized as such. Only what makes
 * them active is another thing: with a stream on their fd, ev_read becomes active when bytes, or
 * connections, have been taken in, and ev_write when a send is over; nobody polls the fd.
 *
 * There is one stream on an fd at most, and it stands back (`by_itself` fails, the events are
 * polled for) where
 *   - the ring cannot move data, or the fd is no socket;
 *   - the program has events of its own for the same direction of the same fd.
 *
 * All fields and functions are under the base's lock.
 */
#ifndef COMPAT_STREAM_H
#define COMPAT_STREAM_H

#include "base.h"

struct evc_stream {
	struct event *reader;
	struct event_base *base;
	struct evu_intake in;
	struct evu_send *send; /* the one in flight, or whose result nobody took yet */
	struct evu_link
	    to_send;         /* on base->to_send: the writer was added, and is to be looked at */
	evutil_socket_t fd;  /* attached to it; -1: not attached */
	uint16_t cap;        /* bytes that the next receive may bring; 0: any */
	bool reading : 1;    /* the reader is inserted */
	bool has_writer : 1; /* right behind the reader; a listener has none */
	bool writing : 1;    /* the writer is */
	bool no_in : 1;      /* cannot take in by itself */
	bool no_out : 1;     /* cannot send by itself */
	bool net : 1; /* the reader is polled for as well, whatever comes by itself; a listener's */
	bool passed_over : 1; /* that poll has told of somebody whom the request has not accepted */
	bool hold_in : 1;     /* the reader waits for nothing: the socket is not connected yet */
	bool fresh : 1;       /* just accepted: it takes data, nobody needs to ask */
	bool poll_out : 1;    /* the writer waits until the fd takes data */
};

/* `kind`: EVU_RECV or EVU_ACCEPT. */
void evc_stream_init(struct evc_stream *s, struct event_base *base, enum evu_request_kind kind,
    struct event *reader, bool has_writer);
static inline struct event *evc_stream_writer(const struct evc_stream *s)
{
	return s->has_writer ? s->reader + 1 : NULL;
}
/* Puts the stream on an fd, unless there is one already. */
void evc_stream_attach(struct evc_stream *s, evutil_socket_t fd);
/* Takes it off. Its requests end now; evu_engine_settle has to follow before the fd is given away.
 * What was taken in and the result of the send stay. */
void evc_stream_detach(struct evc_stream *s);
/* When it returns no request of it is in the kernel any more. It is detached; may close the ring if
 * another thread owns it. */
void evc_stream_end(struct evc_stream *s);
/* Frees what it holds, after evc_stream_end. */
void evc_stream_fini(struct evc_stream *s);

/* True iff nobody polls for the reader, or the writer. */
bool evc_stream_reads(const struct evc_stream *s);
bool evc_stream_sends(const struct evc_stream *s);
/* True iff the writer is added, as the only one on the fd, and the kernel can send for it. */
bool evc_stream_may_send(const struct evc_stream *s);
/* One of the flags changed: the fd is watched accordingly from now on. */
void evc_stream_changed(struct evc_stream *s);
/* After something was taken: makes the reader active, in the next turn, if more waits for it, and
 * receiving goes on if it had to stop. */
void evc_stream_renew(struct evc_stream *s);
/* The writer is to be looked at before the next turn. */
void evc_stream_look(struct evc_stream *s);

/* The engine's hooks. */
void evc_stream_arrived(void *base, struct evu_intake *in);
void evc_stream_sent(void *base, struct evu_send *send);

/* bufferevent_sock.c: looks at the writers of base->to_send. Locked; gives the lock up meanwhile.
 */
void evc_sock_send_all(struct event_base *base);

/* bufferevent_stage.c: what counts as written already. Locked, all of them. */
void evc_stage_init(struct event_base *base);
/* After a callback: if what it wrote last is an answer that may wait, it is staged, and its write
 * callback runs. base->to_send is not empty. Gives the lock up meanwhile. */
void evc_stage_try(struct event_base *base);
/* Before the next turn: starts to send everything. */
void evc_stage_send_all(struct event_base *base);
/* True iff there is something that nobody sends: evc_stage_send_all is to try again, after so many
 * nanoseconds. */
#define EVC_STAGE_RETRY_NS 10000000
bool evc_stage_waits(const struct event_base *base);
/* When the loop is left everything goes to the kernel. */
void evc_stage_loop_begins(struct event_base *base);
void evc_stage_loop_ends(struct event_base *base);
/* The base is being freed, and bufferevents may be left. */
void evc_stage_base_ends(struct event_base *base);
/* This is a forked child. */
void evc_stage_forked(struct event_base *base);

#endif
