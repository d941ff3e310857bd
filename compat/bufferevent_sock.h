/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The bufferevent on a file descriptor: what its reading (bufferevent_sock.c) and its writing
 * (bufferevent_sock_write.c) share. All is under the bufferevent's lock.
 */
#ifndef COMPAT_BUFFEREVENT_SOCK_H
#define COMPAT_BUFFEREVENT_SOCK_H

#include "bufferevent.h"
#include "stream.h"

/*
 * One piece of memory for the bufferevent, its buffers and its stream, as there may be many of them
 * that do nothing. What follows the common part of bufferevent_private lies over the rest of it.
 */
struct evc_sock {
	union {
		struct bufferevent_private priv; /* no further than EVC_PRIVATE_COMMON */
		struct {
			char common[EVC_PRIVATE_COMMON];
			struct evbuffer input;
			struct evbuffer output;
			struct evc_stream stream;
			struct evc_connecting *connecting_to; /* NULL: it never connected */
			size_t drained; /* what the program took off the output while it was being
					   sent */
			struct evc_stage *stage; /* NULL: never used */
			unsigned write_most;     /* bytes; 0: not known yet */
			bool attached : 1;       /* the stream was put on the fd, or could not be */
			bool deaf : 1;       /* the fd cannot be received from: no socket, or the
						kernel refused */
			bool not_socket : 1; /* it is written to only when it takes data */
			bool announce : 1;   /* there is input that no readcb was told of */
			bool dead : 1;       /* unlinked */
			bool fd_told : 1;    /* the program has asked for the fd */
			uint8_t residents;   /* bufferevent and buffers that are not gone yet;
						atomic */
		};
	};
};

/* What a try to read or write came to, beside a number of bytes. */
enum { NOTHING = -1, FAILED = -2 };

static inline struct evc_sock *sock_of(struct bufferevent *bev)
{
	return evu_container_of(bev, struct evc_sock, priv.bev);
}

static inline struct event_base *base_of(const struct evc_sock *s)
{
	return s->stream.base;
}

/* ---- bufferevent_sock.c */
/* Says how the stream is to read from now on. Not with the base's lock: a group of rate limits has
 * one of its own. */
void evc_sock_update_mode(struct evc_sock *s);
/* The buffers are in use from now on. (A change of the fd had unfrozen them.) */
static inline void evc_sock_freeze(struct bufferevent *bev)
{
	bev->input->freeze_end = 1;
	bev->output->freeze_start = 1;
}
/* The callbacks of both events begin with it: locks, and takes a reference. False: the bufferevent
 * is only waiting for its finalizer, and is not locked. */
bool evc_sock_enter(struct evc_sock *s);

/* ---- bufferevent_sock_write.c */
void evc_sock_writecb(evutil_socket_t fd, short what, void *arg);
/* Ends a send that is over. Its result; -EINPROGRESS: it has none, or there is no send that is
 * over. */
int evc_sock_end_send(struct evc_sock *s);
/* Takes what was sent off the output: bytes, FAILED with errno, or NOTHING. */
ev_ssize_t evc_sock_take_result(struct evc_sock *s);

/* ---- bufferevent_stage.c */
/* Finds out whether the write callback is one whose answers may be staged. */
void evc_stage_judge(struct evc_sock *s);
/* True iff something has to go before what is in the output. */
bool evc_stage_busy(const struct evc_sock *s);
/* Something else has filled the socket's buffer. */
void evc_stage_forget_room(struct evc_sock *s);
/* Its send ends when the engine is settled next. Base locked. */
void evc_stage_halt(struct evc_sock *s);
/* The fd is given up, or given away: what is staged goes to the kernel now. */
void evc_stage_leave(struct evc_sock *s);
void evc_stage_free(struct evc_sock *s);

#endif
