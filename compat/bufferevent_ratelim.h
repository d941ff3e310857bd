/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the rate limits of one bufferevent and those of groups share. Bytes are read (`writing` is
 * false) or written (true).
 */
#ifndef COMPAT_BUFFEREVENT_RATELIM_H
#define COMPAT_BUFFEREVENT_RATELIM_H

#include "bufferevent.h"

static inline ev_ssize_t *evc_bucket_limit(struct ev_token_bucket *bucket, bool writing)
{
	return writing ? &bucket->write_limit : &bucket->read_limit;
}

static inline void evc_ratelim_suspend(
    struct bufferevent_private *bev, bool writing, bufferevent_suspend_flags why)
{
	if (writing)
		bufferevent_suspend_write_(&bev->bev, why);
	else
		bufferevent_suspend_read_(&bev->bev, why);
}

/* May run the program's callbacks. */
static inline void evc_ratelim_unsuspend(
    struct bufferevent_private *bev, bool writing, bufferevent_suspend_flags why)
{
	if (writing)
		bufferevent_unsuspend_write_(&bev->bev, why);
	else
		bufferevent_unsuspend_read_(&bev->bev, why);
}

/* ---- bufferevent_ratelim.c */
/* The tick that it is now. Needs no lock. */
ev_uint32_t evc_ratelim_tick(struct event_base *base, const struct ev_token_bucket_cfg *cfg);
/* Takes bytes out of the bucket (puts them in, if negative). What is in it then. */
ev_ssize_t evc_bucket_take(struct ev_token_bucket *bucket, bool writing, ev_ssize_t bytes);
/* bev->rate_limiting, made if it was not there. NULL: no memory. Locked (bufferevent). */
struct bufferevent_rate_limit *evc_ratelim_get(struct bufferevent_private *bev);

/* ---- bufferevent_ratelim_group.c: of a member. Locked (bufferevent). */
/* What this member may transfer at once; suspends it and says 0 if the group is suspended. */
ev_ssize_t evc_ratelim_group_share(struct bufferevent_private *bev, bool writing);
void evc_ratelim_group_transferred(struct bufferevent_private *bev, bool writing, ev_ssize_t bytes);

#endif
