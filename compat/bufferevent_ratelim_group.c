/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rate limits of groups: one bucket for all members, filled by one timer, once a tick.
 *
 * A member may transfer its share, which is what there is divided by the number of members, but at
 * least the group's minimal share. When the bucket is empty all members are suspended
 * (BEV_SUSPEND_BW_GROUP); when it holds the minimal share again, they are taken up, beginning with
 * a different one each time.
 *
 * Locks. The group's is taken inside a bufferevent's, so who holds the group's may only try for a
 * member's. A member that could not be had is told later: to stop, when it asks for its share; to
 * go on, at the next tick (pending_unsuspend_*).
 *
 * Traps. Taking a member up may run callbacks of the program, and those may remove members, free
 * bufferevents, or use up the bucket; other threads may do so meanwhile, too. And a bufferevent
 * that nobody refers to any more is a member until its finalizer is run: it is left alone.
 */
#include "bufferevent_ratelim.h"

#include "debug.h"

#define MIN_SHARE_DEFAULT 64

/* A group, and what only this file knows of it. */
struct group {
	struct bufferevent_rate_limit_group g;
	unsigned n_changes; /* of the list of members */
};

#define LOCK_GROUP(g) EVLOCK_LOCK((g)->lock, 0)
#define UNLOCK_GROUP(g) EVLOCK_UNLOCK((g)->lock, 0)

/* From here on with the group's lock held. */

static unsigned *changes_of(struct bufferevent_rate_limit_group *g)
{
	return &evu_container_of(g, struct group, g)->n_changes;
}

static bool is_suspended(const struct bufferevent_rate_limit_group *g, bool writing)
{
	return writing ? g->write_suspended : g->read_suspended;
}

static void set_suspended(struct bufferevent_rate_limit_group *g, bool writing, bool suspended)
{
	if (writing)
		g->write_suspended = suspended;
	else
		g->read_suspended = suspended;
}

static bool is_pending(const struct bufferevent_rate_limit_group *g, bool writing)
{
	return writing ? g->pending_unsuspend_write : g->pending_unsuspend_read;
}

static void set_pending(struct bufferevent_rate_limit_group *g, bool writing, bool pending)
{
	if (writing)
		g->pending_unsuspend_write = pending;
	else
		g->pending_unsuspend_read = pending;
}

static void suspend_members(struct bufferevent_rate_limit_group *g, bool writing)
{
	struct bufferevent_private *bevp;

	if (is_suspended(g, writing))
		return;
	set_suspended(g, writing, true);
	set_pending(g, writing, false);
	LIST_FOREACH (bevp, &g->members, rate_limiting->next_in_group) {
		if (EVLOCK_TRY_LOCK_(bevp->lock)) {
			if (bevp->refcnt > 0)
				evc_ratelim_suspend(bevp, writing, BEV_SUSPEND_BW_GROUP);
			EVLOCK_UNLOCK(bevp->lock, 0);
		}
	}
}

static struct bufferevent_private *next_member(
    struct bufferevent_rate_limit_group *g, struct bufferevent_private *bevp)
{
	struct bufferevent_private *next = LIST_NEXT(bevp, rate_limiting->next_in_group);

	return next ? next : LIST_FIRST(&g->members);
}

static struct bufferevent_private *random_member(struct bufferevent_rate_limit_group *g)
{
	struct bufferevent_private *bevp = LIST_FIRST(&g->members);
	int n;

	for (n = evutil_weakrand_range_(&g->weakrand_seed, g->n_members); n > 0; n--)
		bevp = LIST_NEXT(bevp, rate_limiting->next_in_group);
	return bevp;
}

/* False: its lock is taken. The group's lock is given up while callbacks may run. The reference
 * keeps the memory. */
static bool unsuspend_member(
    struct bufferevent_rate_limit_group *g, struct bufferevent_private *bevp, bool writing)
{
	if (!EVLOCK_TRY_LOCK_(bevp->lock))
		return false;
	if (bevp->refcnt == 0) {
		EVLOCK_UNLOCK(bevp->lock, 0);
		return true;
	}
	bevp->refcnt++;
	UNLOCK_GROUP(g);
	evc_ratelim_unsuspend(bevp, writing, BEV_SUSPEND_BW_GROUP);
	LOCK_GROUP(g);
	bufferevent_decref_and_unlock_(&bevp->bev);
	return true;
}

/* One round over the members. False if it has to be done again, because they have changed. */
static bool unsuspend_round(struct bufferevent_rate_limit_group *g, bool writing)
{
	const unsigned changes = *changes_of(g);
	struct bufferevent_private *bevp;
	int left = g->n_members;

	if (left == 0)
		return true;
	for (bevp = random_member(g); left > 0; left--, bevp = next_member(g, bevp)) {
		if (!unsuspend_member(g, bevp, writing))
			set_pending(g, writing, true);
		if (is_suspended(g, writing))
			return true; /* used up meanwhile */
		if (*changes_of(g) != changes)
			return false;
	}
	return true;
}

static void unsuspend_members(struct bufferevent_rate_limit_group *g, bool writing)
{
	set_suspended(g, writing, false);
	set_pending(g, writing, false);
	while (!unsuspend_round(g, writing))
		;
}

static void consider_unsuspend(struct bufferevent_rate_limit_group *g, bool writing)
{
	bool enough = *evc_bucket_limit(&g->rate_limit, writing) >= g->min_share;

	if (is_pending(g, writing) || (is_suspended(g, writing) && enough))
		unsuspend_members(g, writing);
}

/* No more than a tick brings: else a suspended group would not be taken up again. */
static void set_min_share(struct bufferevent_rate_limit_group *g, size_t share)
{
	g->configured_min_share = (ev_ssize_t)share;
	if (share > g->rate_limit_cfg.read_rate)
		share = g->rate_limit_cfg.read_rate;
	if (share > g->rate_limit_cfg.write_rate)
		share = g->rate_limit_cfg.write_rate;
	g->min_share = (ev_ssize_t)share;
}

static void refill_cb(evutil_socket_t fd, short what, void *arg)
{
	struct bufferevent_rate_limit_group *g = arg;

	(void)fd;
	(void)what;
	LOCK_GROUP(g);
	ev_token_bucket_update_(&g->rate_limit, &g->rate_limit_cfg,
	    evc_ratelim_tick(event_get_base(&g->master_refill_event), &g->rate_limit_cfg));
	consider_unsuspend(g, false);
	consider_unsuspend(g, true);
	UNLOCK_GROUP(g);
}

/* ---- a member's side */

ev_ssize_t evc_ratelim_group_share(struct bufferevent_private *bev, bool writing)
{
	struct bufferevent_rate_limit_group *g = bev->rate_limiting->group;
	ev_ssize_t share = 0;

	LOCK_GROUP(g);
	if (is_suspended(g, writing)) {
		evc_ratelim_suspend(bev, writing, BEV_SUSPEND_BW_GROUP);
	} else {
		evc_assert(g->n_members > 0);
		share = *evc_bucket_limit(&g->rate_limit, writing) / g->n_members;
		if (share < g->min_share)
			share = g->min_share;
		/* A read of nothing would look like the end of the stream. */
		if (share < 1)
			share = 1;
	}
	UNLOCK_GROUP(g);
	return share;
}

void evc_ratelim_group_transferred(struct bufferevent_private *bev, bool writing, ev_ssize_t bytes)
{
	struct bufferevent_rate_limit_group *g = bev->rate_limiting->group;

	LOCK_GROUP(g);
	if (writing)
		g->total_written += (ev_uint64_t)bytes;
	else
		g->total_read += (ev_uint64_t)bytes;
	if (evc_bucket_take(&g->rate_limit, writing, bytes) <= 0) {
		suspend_members(g, writing);
		/* It may not have been to be had when the others were told. */
		evc_ratelim_suspend(bev, writing, BEV_SUSPEND_BW_GROUP);
	} else if (is_suspended(g, writing)) {
		unsuspend_members(g, writing);
	}
	UNLOCK_GROUP(g);
}

static void leave_group(struct bufferevent_private *bevp)
{
	struct bufferevent_rate_limit_group *g = bevp->rate_limiting->group;

	LOCK_GROUP(g);
	bevp->rate_limiting->group = NULL;
	LIST_REMOVE(bevp, rate_limiting->next_in_group);
	g->n_members--;
	++*changes_of(g);
	UNLOCK_GROUP(g);
}

static void join_group(struct bufferevent_private *bevp, struct bufferevent_rate_limit_group *g)
{
	LOCK_GROUP(g);
	bevp->rate_limiting->group = g;
	LIST_INSERT_HEAD(&g->members, bevp, rate_limiting->next_in_group);
	g->n_members++;
	++*changes_of(g);
	if (is_suspended(g, false))
		evc_ratelim_suspend(bevp, false, BEV_SUSPEND_BW_GROUP);
	if (is_suspended(g, true))
		evc_ratelim_suspend(bevp, true, BEV_SUSPEND_BW_GROUP);
	UNLOCK_GROUP(g);
}

int bufferevent_remove_from_rate_limit_group_internal_(struct bufferevent *bev, int unsuspend)
{
	struct bufferevent_private *bevp = BEV_UPCAST(bev);

	BEV_LOCK(bev);
	if (bevp->rate_limiting && bevp->rate_limiting->group) {
		leave_group(bevp);
		if (unsuspend) {
			evc_ratelim_unsuspend(bevp, false, BEV_SUSPEND_BW_GROUP);
			evc_ratelim_unsuspend(bevp, true, BEV_SUSPEND_BW_GROUP);
			evc_sock_limits_changed(bev);
		}
	}
	BEV_UNLOCK(bev);
	return 0;
}

int bufferevent_remove_from_rate_limit_group(struct bufferevent *bev)
{
	return bufferevent_remove_from_rate_limit_group_internal_(bev, 1);
}

int bufferevent_add_to_rate_limit_group(
    struct bufferevent *bev, struct bufferevent_rate_limit_group *g)
{
	struct bufferevent_private *bevp = BEV_UPCAST(bev);
	int r = 0;

	if (!g)
		return bufferevent_remove_from_rate_limit_group(bev);
	BEV_LOCK(bev);
	if (!evc_ratelim_get(bevp)) {
		r = -1;
	} else if (bevp->rate_limiting->group != g) {
		bufferevent_remove_from_rate_limit_group(bev);
		join_group(bevp, g);
		evc_sock_limits_changed(bev);
	}
	BEV_UNLOCK(bev);
	return r;
}

/* ---- the group's side */

struct bufferevent_rate_limit_group *bufferevent_rate_limit_group_new(
    struct event_base *base, const struct ev_token_bucket_cfg *cfg)
{
	struct group *group = mm_calloc(1, sizeof(*group));
	struct bufferevent_rate_limit_group *g;

	if (!group)
		return NULL;
	g = &group->g;
	g->rate_limit_cfg = *cfg;
	LIST_INIT(&g->members);
	ev_token_bucket_init_(&g->rate_limit, cfg, evc_ratelim_tick(base, cfg), 0);
	set_min_share(g, MIN_SHARE_DEFAULT);
	evutil_weakrand_seed_(&g->weakrand_seed, 0);
	EVTHREAD_ALLOC_LOCK(g->lock, EVTHREAD_LOCKTYPE_RECURSIVE);
	event_assign(&g->master_refill_event, base, -1, EV_PERSIST | EV_FINALIZE, refill_cb, g);
	/* Last: with threads the callback may run from here on. */
	if (event_add(&g->master_refill_event, &cfg->tick_timeout) < 0) {
		bufferevent_rate_limit_group_free(g);
		return NULL;
	}
	return g;
}

int bufferevent_rate_limit_group_set_cfg(
    struct bufferevent_rate_limit_group *g, const struct ev_token_bucket_cfg *cfg)
{
	struct ev_token_bucket_cfg old;
	ev_uint32_t tick;
	int r = 0;

	if (!g || !cfg)
		return -1;
	LOCK_GROUP(g);
	tick = evc_ratelim_tick(event_get_base(&g->master_refill_event), cfg);
	old = g->rate_limit_cfg;
	g->rate_limit_cfg = *cfg;
	ev_token_bucket_init_(&g->rate_limit, cfg, tick, 1);
	/* Ticks of another length have other numbers. */
	if (old.msec_per_tick != cfg->msec_per_tick)
		g->rate_limit.last_updated = tick;
	if (!evutil_timercmp(&old.tick_timeout, &cfg->tick_timeout, ==))
		r = event_add(&g->master_refill_event, &cfg->tick_timeout);
	/* The new rates may leave room for more of what the program wanted, or for less. */
	set_min_share(g, (size_t)g->configured_min_share);
	UNLOCK_GROUP(g);
	return r;
}

int bufferevent_rate_limit_group_set_min_share(struct bufferevent_rate_limit_group *g, size_t share)
{
	if (share > EV_SSIZE_MAX)
		return -1;
	LOCK_GROUP(g);
	set_min_share(g, share);
	UNLOCK_GROUP(g);
	return 0;
}

void bufferevent_rate_limit_group_free(struct bufferevent_rate_limit_group *g)
{
	LOCK_GROUP(g);
	evc_assert(g->n_members == 0);
	UNLOCK_GROUP(g);
	/* Without the lock, for which the callback may be waiting in the loop's thread. */
	event_del_block(&g->master_refill_event);
	event_debug_unassign(&g->master_refill_event);
	EVTHREAD_FREE_LOCK(g->lock, EVTHREAD_LOCKTYPE_RECURSIVE);
	mm_free(evu_container_of(g, struct group, g));
}

static ev_ssize_t group_limit(struct bufferevent_rate_limit_group *g, bool writing)
{
	ev_ssize_t limit;

	LOCK_GROUP(g);
	limit = *evc_bucket_limit(&g->rate_limit, writing);
	UNLOCK_GROUP(g);
	return limit;
}

ev_ssize_t bufferevent_rate_limit_group_get_read_limit(struct bufferevent_rate_limit_group *g)
{
	return group_limit(g, false);
}

ev_ssize_t bufferevent_rate_limit_group_get_write_limit(struct bufferevent_rate_limit_group *g)
{
	return group_limit(g, true);
}

static int group_decrement(struct bufferevent_rate_limit_group *g, bool writing, ev_ssize_t decr)
{
	ev_ssize_t before, after;

	LOCK_GROUP(g);
	before = *evc_bucket_limit(&g->rate_limit, writing);
	after = evc_bucket_take(&g->rate_limit, writing, decr);
	if (before > 0 && after <= 0)
		suspend_members(g, writing);
	else if (before <= 0 && after > 0)
		unsuspend_members(g, writing);
	UNLOCK_GROUP(g);
	return 0;
}

int bufferevent_rate_limit_group_decrement_read(
    struct bufferevent_rate_limit_group *g, ev_ssize_t decr)
{
	return group_decrement(g, false, decr);
}

int bufferevent_rate_limit_group_decrement_write(
    struct bufferevent_rate_limit_group *g, ev_ssize_t decr)
{
	return group_decrement(g, true, decr);
}

void bufferevent_rate_limit_group_get_totals(struct bufferevent_rate_limit_group *g,
    ev_uint64_t *total_read_out, ev_uint64_t *total_written_out)
{
	evc_assert(g != NULL);
	LOCK_GROUP(g);
	if (total_read_out)
		*total_read_out = g->total_read;
	if (total_written_out)
		*total_written_out = g->total_written;
	UNLOCK_GROUP(g);
}

void bufferevent_rate_limit_group_reset_totals(struct bufferevent_rate_limit_group *g)
{
	LOCK_GROUP(g);
	g->total_read = 0;
	g->total_written = 0;
	UNLOCK_GROUP(g);
}
