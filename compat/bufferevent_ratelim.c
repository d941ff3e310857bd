/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rate limits of one bufferevent: token buckets, and how much one call may transfer. Groups are in
 * bufferevent_ratelim_group.c.
 *
 * Time is cut into ticks of the wall clock. A bucket is filled at the rate up to its maximum, a
 * tick at a time, whenever somebody looks; what was transferred is taken out, also more than there
 * is. At 0 or below that direction is suspended (BEV_SUSPEND_BW), and a timer looks again a tick
 * later.
 *
 * Traps. The number of a tick wraps around. It goes back when the wall clock is set back; a bucket
 * then starts anew from there, so that nobody is kept waiting until the clock has caught up (in
 * stock everybody is). A tick shorter than a millisecond, by which stock divides as by zero, is
 * refused; amounts stop at the ends of their type, where stock's overflow.
 */
#include "bufferevent_ratelim.h"

#include <limits.h>

#include "debug.h"
#include "timeout.h"

/* The clock may go back by this much without meaning it: the loop's cached time is older than the
 * time outside of the loop. */
#define CLOCK_JITTER_MS 1000

/* What a bufferevent has for rate limits, and what only this file knows of it. */
struct own {
	struct bufferevent_rate_limit rlim;
	/* Of the configuration in force. The program may have freed that one by the time that it
	 * brings the next. */
	unsigned msec_per_tick;
};

/* ---- buckets */

ev_uint32_t ev_token_bucket_get_tick_(
    const struct timeval *tv, const struct ev_token_bucket_cfg *cfg)
{
	ev_uint64_t ms = (ev_uint64_t)tv->tv_sec * 1000 + (ev_uint64_t)tv->tv_usec / 1000;

	return (ev_uint32_t)(ms / cfg->msec_per_tick);
}

ev_uint32_t evc_ratelim_tick(struct event_base *base, const struct ev_token_bucket_cfg *cfg)
{
	struct timeval now;

	event_base_gettimeofday_cached(base, &now);
	return ev_token_bucket_get_tick_(&now, cfg);
}

int ev_token_bucket_init_(struct ev_token_bucket *bucket, const struct ev_token_bucket_cfg *cfg,
    ev_uint32_t current_tick, int reinitialize)
{
	if (!reinitialize) {
		bucket->read_limit = (ev_ssize_t)cfg->read_rate;
		bucket->write_limit = (ev_ssize_t)cfg->write_rate;
		bucket->last_updated = current_tick;
		return 0;
	}
	/* Nobody knows what was used up in this tick already: nothing is added. */
	if (bucket->read_limit > (ev_ssize_t)cfg->read_maximum)
		bucket->read_limit = (ev_ssize_t)cfg->read_maximum;
	if (bucket->write_limit > (ev_ssize_t)cfg->write_maximum)
		bucket->write_limit = (ev_ssize_t)cfg->write_maximum;
	return 0;
}

static void fill(ev_ssize_t *limit, size_t rate, size_t maximum, ev_uint32_t n_ticks)
{
	/* Right also where the difference is more than half of the range: unsigned. */
	size_t missing = maximum - (size_t)*limit;

	if (*limit >= (ev_ssize_t)maximum || missing / n_ticks < rate)
		*limit = (ev_ssize_t)maximum;
	else
		*limit = (ev_ssize_t)((size_t)*limit + n_ticks * rate);
}

int ev_token_bucket_update_(
    struct ev_token_bucket *bucket, const struct ev_token_bucket_cfg *cfg, ev_uint32_t current_tick)
{
	ev_uint32_t n_ticks = current_tick - bucket->last_updated;

	if (n_ticks > INT_MAX) {
		if (-n_ticks > CLOCK_JITTER_MS / cfg->msec_per_tick + 1)
			bucket->last_updated = current_tick;
		return 0;
	}
	if (n_ticks == 0)
		return 0;
	fill(&bucket->read_limit, cfg->read_rate, cfg->read_maximum, n_ticks);
	fill(&bucket->write_limit, cfg->write_rate, cfg->write_maximum, n_ticks);
	bucket->last_updated = current_tick;
	return 1;
}

ev_ssize_t evc_bucket_take(struct ev_token_bucket *bucket, bool writing, ev_ssize_t bytes)
{
	ev_ssize_t *limit = evc_bucket_limit(bucket, writing);

	if (__builtin_sub_overflow(*limit, bytes, limit))
		*limit = bytes > 0 ? EV_SSIZE_MIN : EV_SSIZE_MAX;
	return *limit;
}

/* ---- configurations */

/* Whole milliseconds of a tick: 0 if there is none, or if that is no length of time. */
static unsigned tick_ms(const struct timeval *tick_len)
{
	ev_int64_t usec = tick_len->tv_usec, ms;

	if ((usec & EVC_COMMON_MASK) == EVC_COMMON_MAGIC)
		usec &= EVC_USEC_MASK;
	if (tick_len->tv_sec < 0 || usec < 0)
		return 0;
	if (__builtin_mul_overflow((ev_int64_t)tick_len->tv_sec, 1000, &ms) ||
	    __builtin_add_overflow(ms, usec / 1000, &ms) || ms > UINT_MAX)
		return UINT_MAX;
	return (unsigned)ms;
}

struct ev_token_bucket_cfg *ev_token_bucket_cfg_new(size_t read_rate, size_t read_burst,
    size_t write_rate, size_t write_burst, const struct timeval *tick_len)
{
	static const struct timeval second = {.tv_sec = 1};
	struct ev_token_bucket_cfg *cfg;

	if (!tick_len)
		tick_len = &second;
	if (read_rate < 1 || read_rate > read_burst || read_burst > EV_RATE_LIMIT_MAX)
		return NULL;
	if (write_rate < 1 || write_rate > write_burst || write_burst > EV_RATE_LIMIT_MAX)
		return NULL;
	if (tick_ms(tick_len) == 0)
		return NULL;
	cfg = mm_calloc(1, sizeof(*cfg));
	if (!cfg)
		return NULL;
	cfg->read_rate = read_rate;
	cfg->read_maximum = read_burst;
	cfg->write_rate = write_rate;
	cfg->write_maximum = write_burst;
	cfg->tick_timeout = *tick_len;
	cfg->msec_per_tick = tick_ms(tick_len);
	return cfg;
}

void ev_token_bucket_cfg_free(struct ev_token_bucket_cfg *cfg)
{
	mm_free(cfg);
}

/* ---- the bufferevent's own limit */

static void suspend_own(struct bufferevent_private *bevp, bool writing)
{
	evc_ratelim_suspend(bevp, writing, BEV_SUSPEND_BW);
}

static void unsuspend_own(struct bufferevent_private *bevp, bool writing)
{
	evc_ratelim_unsuspend(bevp, writing, BEV_SUSPEND_BW);
}

static bool is_suspended_own(const struct bufferevent_private *bevp, bool writing)
{
	return (writing ? bevp->write_suspended : bevp->read_suspended) & BEV_SUSPEND_BW;
}

static struct own *own_of(struct bufferevent_rate_limit *rlim)
{
	return evu_container_of(rlim, struct own, rlim);
}

static bool has_own_limit(const struct bufferevent_private *bevp)
{
	return bevp->rate_limiting && bevp->rate_limiting->cfg;
}

static void update_bucket(struct bufferevent_private *bevp)
{
	struct bufferevent_rate_limit *rlim = bevp->rate_limiting;

	ev_token_bucket_update_(
	    &rlim->limit, rlim->cfg, evc_ratelim_tick(bevp->bev.ev_base, rlim->cfg));
}

static int schedule_refill(struct bufferevent_rate_limit *rlim)
{
	return event_add(&rlim->refill_bucket_event, &rlim->cfg->tick_timeout);
}

/* Takes an empty bucket's direction up again if there is something in it now. True iff not. */
static bool still_empty(struct bufferevent_private *bevp, bool writing)
{
	if (!is_suspended_own(bevp, writing))
		return false;
	if (*evc_bucket_limit(&bevp->rate_limiting->limit, writing) <= 0)
		return true;
	unsuspend_own(bevp, writing);
	return false;
}

/* Taking up a direction may call the program, which may drop the limit or the bufferevent. */
static void refill(struct bufferevent_private *bevp)
{
	bool again;

	update_bucket(bevp);
	again = still_empty(bevp, false);
	if (bevp->refcnt == 1 || !has_own_limit(bevp))
		return;
	again |= still_empty(bevp, true);
	if (bevp->refcnt == 1 || !has_own_limit(bevp))
		return;
	if (again && schedule_refill(bevp->rate_limiting) < 0)
		event_warn("bufferevent: cannot wait for the next tick of a rate limit");
}

static void refill_cb(evutil_socket_t fd, short what, void *arg)
{
	struct bufferevent_private *bevp = arg;

	(void)fd;
	(void)what;
	BEV_LOCK(&bevp->bev);
	/* Another thread may have given up the last reference before we had the lock. */
	if (bevp->refcnt == 0) {
		BEV_UNLOCK(&bevp->bev);
		return;
	}
	bevp->refcnt++;
	if (has_own_limit(bevp))
		refill(bevp);
	bufferevent_decref_and_unlock_(&bevp->bev);
}

static void assign_refill(struct bufferevent_private *bevp)
{
	event_assign(&bevp->rate_limiting->refill_bucket_event, bevp->bev.ev_base, -1, EV_FINALIZE,
	    refill_cb, bevp);
}

struct bufferevent_rate_limit *evc_ratelim_get(struct bufferevent_private *bevp)
{
	struct own *own;

	if (bevp->rate_limiting)
		return bevp->rate_limiting;
	own = mm_calloc(1, sizeof(*own));
	if (!own)
		return NULL;
	bevp->rate_limiting = &own->rlim;
	own->rlim.max_single_read = own->rlim.max_single_write = EVC_MAX_SINGLE_DEFAULT;
	assign_refill(bevp);
	return bevp->rate_limiting;
}

static void drop_limit(struct bufferevent_private *bevp)
{
	if (!has_own_limit(bevp))
		return;
	bevp->rate_limiting->cfg = NULL;
	event_del(&bevp->rate_limiting->refill_bucket_event);
	unsuspend_own(bevp, false);
	unsuspend_own(bevp, true);
	evc_sock_limits_changed(&bevp->bev);
}

/* Suspends a direction, or takes it up, by what is in the bucket. True iff suspended. */
static bool obey_bucket(struct bufferevent_private *bevp, bool writing)
{
	if (*evc_bucket_limit(&bevp->rate_limiting->limit, writing) > 0) {
		unsuspend_own(bevp, writing);
		return false;
	}
	suspend_own(bevp, writing);
	return true;
}

static int set_limit(struct bufferevent_private *bevp, struct ev_token_bucket_cfg *cfg)
{
	ev_uint32_t tick = evc_ratelim_tick(bevp->bev.ev_base, cfg);
	struct bufferevent_rate_limit *rlim = evc_ratelim_get(bevp);
	bool again;

	if (!rlim)
		return -1;
	ev_token_bucket_init_(&rlim->limit, cfg, tick, rlim->cfg != NULL);
	/* Ticks of another length have other numbers. */
	if (rlim->cfg && own_of(rlim)->msec_per_tick != cfg->msec_per_tick)
		rlim->limit.last_updated = tick;
	/* The bufferevent may have got another base; the old one may be gone. */
	if (rlim->cfg)
		event_del(&rlim->refill_bucket_event);
	rlim->cfg = cfg;
	own_of(rlim)->msec_per_tick = cfg->msec_per_tick;
	if (bevp->bev.ev_base && event_get_base(&rlim->refill_bucket_event) != bevp->bev.ev_base)
		assign_refill(bevp);
	again = obey_bucket(bevp, false);
	again |= obey_bucket(bevp, true);
	evc_sock_limits_changed(&bevp->bev);
	return again && has_own_limit(bevp) ? schedule_refill(rlim) : 0;
}

int bufferevent_set_rate_limit(struct bufferevent *bev, struct ev_token_bucket_cfg *cfg)
{
	struct bufferevent_private *bevp = BEV_UPCAST(bev);
	int r = 0;

	BEV_LOCK(bev);
	if (!cfg)
		drop_limit(bevp);
	else if (!has_own_limit(bevp) || bevp->rate_limiting->cfg != cfg)
		r = set_limit(bevp, cfg);
	BEV_UNLOCK(bev);
	return r;
}

/* Suspends a direction until the next refill. 0 or -1. */
static int bucket_ran_dry(struct bufferevent_private *bevp, bool writing)
{
	suspend_own(bevp, writing);
	return schedule_refill(bevp->rate_limiting);
}

/* Takes a direction up again before its refill, which may have become needless. */
static void bucket_recovered(struct bufferevent_private *bevp, bool writing)
{
	if (!is_suspended_own(bevp, !writing))
		event_del(&bevp->rate_limiting->refill_bucket_event);
	unsuspend_own(bevp, writing);
}

/* ---- what transfers are held to */

static ev_ssize_t transfer_max(struct bufferevent_private *bevp, bool writing)
{
	ev_ssize_t max = writing ? evc_max_single_write(bevp) : evc_max_single_read(bevp);

	if (has_own_limit(bevp)) {
		/* The bucket takes the place of the limit for single transfers. */
		update_bucket(bevp);
		max = *evc_bucket_limit(&bevp->rate_limiting->limit, writing);
	}
	if (bevp->rate_limiting && bevp->rate_limiting->group) {
		ev_ssize_t share = evc_ratelim_group_share(bevp, writing);

		if (max > share)
			max = share;
	}
	return max > 0 ? max : 0;
}

ev_ssize_t bufferevent_get_read_max_(struct bufferevent_private *bev)
{
	return transfer_max(bev, false);
}

ev_ssize_t bufferevent_get_write_max_(struct bufferevent_private *bev)
{
	return transfer_max(bev, true);
}

static int transferred(struct bufferevent_private *bevp, bool writing, ev_ssize_t bytes)
{
	int r = 0;

	if (has_own_limit(bevp)) {
		if (evc_bucket_take(&bevp->rate_limiting->limit, writing, bytes) <= 0)
			r = bucket_ran_dry(bevp, writing);
		else if (is_suspended_own(bevp, writing))
			bucket_recovered(bevp, writing);
	}
	if (bevp->rate_limiting && bevp->rate_limiting->group)
		evc_ratelim_group_transferred(bevp, writing, bytes);
	return r;
}

int bufferevent_decrement_read_buckets_(struct bufferevent_private *bev, ev_ssize_t bytes)
{
	return transferred(bev, false, bytes);
}

int bufferevent_decrement_write_buckets_(struct bufferevent_private *bev, ev_ssize_t bytes)
{
	return transferred(bev, true, bytes);
}

/* The program takes from a bucket, or adds. The group does not hear of it. */
static int decrement_limit(struct bufferevent *bev, bool writing, ev_ssize_t decr)
{
	struct bufferevent_private *bevp = BEV_UPCAST(bev);
	ev_ssize_t before, after;
	int r = 0;

	BEV_LOCK(bev);
	evc_assert(has_own_limit(bevp));
	before = *evc_bucket_limit(&bevp->rate_limiting->limit, writing);
	after = evc_bucket_take(&bevp->rate_limiting->limit, writing, decr);
	if (before > 0 && after <= 0)
		r = bucket_ran_dry(bevp, writing);
	else if (before <= 0 && after > 0)
		bucket_recovered(bevp, writing);
	BEV_UNLOCK(bev);
	return r;
}

int bufferevent_decrement_read_limit(struct bufferevent *bev, ev_ssize_t decr)
{
	return decrement_limit(bev, false, decr);
}

int bufferevent_decrement_write_limit(struct bufferevent *bev, ev_ssize_t decr)
{
	return decrement_limit(bev, true, decr);
}

int bufferevent_ratelim_init_(struct bufferevent_private *bev)
{
	bev->rate_limiting = NULL;
	return 0;
}

void evc_ratelim_fini(struct bufferevent_private *bev)
{
	if (!bev->rate_limiting)
		return;
	evc_assert(!bev->rate_limiting->group);
	event_debug_unassign(&bev->rate_limiting->refill_bucket_event);
	mm_free(own_of(bev->rate_limiting));
	bev->rate_limiting = NULL;
}

/* ---- what the program asks and sets */

static ev_ssize_t current_limit(struct bufferevent *bev, bool writing)
{
	struct bufferevent_private *bevp = BEV_UPCAST(bev);
	ev_ssize_t limit = EV_SSIZE_MAX;

	BEV_LOCK(bev);
	if (has_own_limit(bevp)) {
		update_bucket(bevp);
		limit = *evc_bucket_limit(&bevp->rate_limiting->limit, writing);
	}
	BEV_UNLOCK(bev);
	return limit;
}

ev_ssize_t bufferevent_get_read_limit(struct bufferevent *bev)
{
	return current_limit(bev, false);
}

ev_ssize_t bufferevent_get_write_limit(struct bufferevent *bev)
{
	return current_limit(bev, true);
}

ev_ssize_t bufferevent_get_max_to_read(struct bufferevent *bev)
{
	ev_ssize_t max;

	BEV_LOCK(bev);
	max = bufferevent_get_read_max_(BEV_UPCAST(bev));
	BEV_UNLOCK(bev);
	return max;
}

ev_ssize_t bufferevent_get_max_to_write(struct bufferevent *bev)
{
	ev_ssize_t max;

	BEV_LOCK(bev);
	max = bufferevent_get_write_max_(BEV_UPCAST(bev));
	BEV_UNLOCK(bev);
	return max;
}

const struct ev_token_bucket_cfg *bufferevent_get_token_bucket_cfg(const struct bufferevent *bev)
{
	struct bufferevent *b = (struct bufferevent *)(uintptr_t)bev;
	const struct ev_token_bucket_cfg *cfg;

	BEV_LOCK(b);
	cfg = has_own_limit(BEV_UPCAST(b)) ? BEV_UPCAST(b)->rate_limiting->cfg : NULL;
	BEV_UNLOCK(b);
	return cfg;
}

/* What the program calls a single transfer, in bytes; 0 and too much stand for the default. */
static ev_ssize_t single_max(size_t size)
{
	return size == 0 || size > EV_SSIZE_MAX ? EVC_MAX_SINGLE_DEFAULT : (ev_ssize_t)size;
}

/* -1: no memory. */
static int set_single_max(struct bufferevent *bev, bool writing, ev_ssize_t max)
{
	struct bufferevent_private *p = BEV_UPCAST(bev);
	struct bufferevent_rate_limit *rlim;
	int result = 0;

	BEV_LOCK(bev);
	rlim = p->rate_limiting;
	if (!rlim && max != EVC_MAX_SINGLE_DEFAULT && !(rlim = evc_ratelim_get(p)))
		result = -1;
	else if (rlim && writing)
		rlim->max_single_write = max;
	else if (rlim)
		rlim->max_single_read = max;
	if (result == 0 && !writing)
		evc_sock_limits_changed(bev);
	BEV_UNLOCK(bev);
	return result;
}

int bufferevent_set_max_single_read(struct bufferevent *bev, size_t size)
{
	return set_single_max(bev, false, single_max(size));
}

int bufferevent_set_max_single_write(struct bufferevent *bev, size_t size)
{
	return set_single_max(bev, true, single_max(size));
}

ev_ssize_t bufferevent_get_max_single_read(struct bufferevent *bev)
{
	ev_ssize_t max;

	BEV_LOCK(bev);
	max = evc_max_single_read(BEV_UPCAST(bev));
	BEV_UNLOCK(bev);
	return max;
}

ev_ssize_t bufferevent_get_max_single_write(struct bufferevent *bev)
{
	ev_ssize_t max;

	BEV_LOCK(bev);
	max = evc_max_single_write(BEV_UPCAST(bev));
	BEV_UNLOCK(bev);
	return max;
}
