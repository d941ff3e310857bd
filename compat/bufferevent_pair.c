/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A pair of bufferevents, each the other end of the other: what goes to the output of one moves, by
 * chains and not by bytes, to the input of its partner.
 *
 * Data moves when the one writes and the other reads, at the moment when it is added or when either
 * side is enabled. Callbacks are always deferred, so that neither side ever runs inside the other.
 * The buffers are frozen where only transfer() may touch them.
 *
 * Both have one lock, which the first of them owns. They hold no references to each other: whoever
 * works on a pair holds one on both. When one goes, its partner stays behind alone, keeps its data,
 * and inherits the lock.
 */
#include "bufferevent.h"

struct bufferevent_pair {
	struct bufferevent_private priv;
	struct bufferevent_pair *partner; /* NULL when it is gone */
	struct bufferevent_pair *heir;    /* the partner it had; until destruct() */
};

static struct bufferevent_pair *pair_of(struct bufferevent *bev)
{
	return evu_container_of(bev, struct bufferevent_pair, priv.bev);
}

/* Takes the lock and a reference on both ends; returns the partner, or NULL. */
static struct bufferevent *hold(struct bufferevent *bev)
{
	struct bufferevent_pair *partner;

	bufferevent_incref_and_lock_(bev);
	partner = pair_of(bev)->partner;
	if (!partner)
		return NULL;
	bufferevent_incref_and_lock_(&partner->priv.bev);
	return &partner->priv.bev;
}

static void let_go(struct bufferevent *bev, struct bufferevent *partner)
{
	if (partner)
		bufferevent_decref_and_unlock_(partner);
	bufferevent_decref_and_unlock_(bev);
}

static void restart_timeouts(struct bufferevent *dst)
{
	BEV_RESET_GENERIC_READ_TIMEOUT(dst);
	if (evbuffer_get_length(dst->output))
		BEV_RESET_GENERIC_WRITE_TIMEOUT(dst);
	else
		BEV_DEL_GENERIC_WRITE_TIMEOUT(dst);
}

/* Moves what dst has room for. At its high mark dst takes nothing, or everything if past_mark. */
static void transfer(struct bufferevent *src, struct bufferevent *dst, bool past_mark)
{
	size_t high = dst->wm_read.high;
	size_t has = evbuffer_get_length(dst->input);
	size_t n;

	if (high && has >= high && !past_mark)
		return;
	evbuffer_unfreeze(src->output, 1);
	evbuffer_unfreeze(dst->input, 0);
	if (high && has < high) {
		n = high - has;
		evbuffer_remove_buffer(src->output, dst->input, n);
	} else {
		n = evbuffer_get_length(src->output);
		evbuffer_add_buffer(dst->input, src->output);
	}
	if (n)
		restart_timeouts(dst);
	bufferevent_trigger_nolock_(dst, EV_READ, 0);
	bufferevent_trigger_nolock_(src, EV_WRITE, 0);
	evbuffer_freeze(src->output, 1);
	evbuffer_freeze(dst->input, 0);
}

static void transfer_if_wanted(struct bufferevent *src, struct bufferevent *dst)
{
	if (src->enabled & EV_WRITE && dst->enabled & EV_READ && !BEV_UPCAST(dst)->read_suspended &&
	    evbuffer_get_length(src->output))
		transfer(src, dst, false);
}

static void output_cb(struct evbuffer *output, const struct evbuffer_cb_info *info, void *arg)
{
	struct bufferevent *bev = arg;
	struct bufferevent *partner;

	(void)output;
	if (info->n_added <= info->n_deleted)
		return;
	partner = hold(bev);
	if (partner)
		transfer_if_wanted(bev, partner);
	let_go(bev, partner);
}

static int pair_enable(struct bufferevent *bev, short events)
{
	struct bufferevent *partner = hold(bev);

	if (events & EV_READ)
		BEV_RESET_GENERIC_READ_TIMEOUT(bev);
	if (events & EV_WRITE && evbuffer_get_length(bev->output))
		BEV_RESET_GENERIC_WRITE_TIMEOUT(bev);
	if (events & EV_READ && partner)
		transfer_if_wanted(partner, bev);
	if (events & EV_WRITE && partner)
		transfer_if_wanted(bev, partner);
	let_go(bev, partner);
	return 0;
}

static int pair_disable(struct bufferevent *bev, short events)
{
	if (events & EV_READ)
		BEV_DEL_GENERIC_READ_TIMEOUT(bev);
	if (events & EV_WRITE)
		BEV_DEL_GENERIC_WRITE_TIMEOUT(bev);
	return 0;
}

static void pair_unlink(struct bufferevent *bev)
{
	struct bufferevent_pair *pair = pair_of(bev);

	if (!pair->partner)
		return;
	pair->heir = pair->partner;
	pair->partner->partner = NULL;
	pair->partner = NULL;
}

/* The heir is alive here even if it was freed meanwhile: finalizers run in the order in which they
 * were asked for. */
static void pair_destruct(struct bufferevent *bev)
{
	struct bufferevent_pair *pair = pair_of(bev);

	if (pair->heir && pair->priv.own_lock) {
		pair->heir->priv.own_lock = 1;
		pair->priv.own_lock = 0;
	}
	pair->heir = NULL;
}

/* What is left moves, whoever is enabled; BEV_FINISHED tells the partner that nothing more comes.
 */
static int pair_flush(struct bufferevent *bev, short iotype, enum bufferevent_flush_mode mode)
{
	struct bufferevent *partner;
	short what = BEV_EVENT_EOF;

	if (!pair_of(bev)->partner)
		return -1;
	if (mode == BEV_NORMAL)
		return 0;

	partner = hold(bev);
	if (iotype & EV_READ) {
		transfer(partner, bev, true);
		what |= BEV_EVENT_WRITING;
	}
	if (iotype & EV_WRITE) {
		transfer(bev, partner, true);
		what |= BEV_EVENT_READING;
	}
	if (mode == BEV_FINISHED)
		bufferevent_run_eventcb_(partner, what, 0);
	let_go(bev, partner);
	return 0;
}

static struct bufferevent_pair *new_end(struct event_base *base, int options)
{
	struct bufferevent_pair *end = mm_calloc(1, sizeof(*end));

	if (!end)
		return NULL;
	if (bufferevent_init_common_(
		&end->priv, base, &bufferevent_ops_pair, (enum bufferevent_options)options) < 0) {
		mm_free(end);
		return NULL;
	}
	bufferevent_init_generic_timeout_cbs_(&end->priv.bev);
	if (!evbuffer_add_cb(end->priv.bev.output, output_cb, &end->priv.bev)) {
		bufferevent_free(&end->priv.bev);
		return NULL;
	}
	evbuffer_freeze(end->priv.bev.input, 0);
	evbuffer_freeze(end->priv.bev.output, 1);
	return end;
}

int bufferevent_pair_new(struct event_base *base, int options, struct bufferevent *pair[2])
{
	struct bufferevent_pair *first, *second;

	options |= BEV_OPT_DEFER_CALLBACKS;
	first = new_end(base, options);
	if (!first)
		return -1;
	second = new_end(base, options & ~BEV_OPT_THREADSAFE);
	if (!second) {
		bufferevent_free(&first->priv.bev);
		return -1;
	}
	if (options & BEV_OPT_THREADSAFE)
		bufferevent_enable_locking_(&second->priv.bev, first->priv.lock);
	first->partner = second;
	second->partner = first;
	pair[0] = &first->priv.bev;
	pair[1] = &second->priv.bev;
	return 0;
}

struct bufferevent *bufferevent_pair_get_partner(struct bufferevent *bev)
{
	struct bufferevent *partner;

	if (!BEV_IS_PAIR(bev))
		return NULL;
	partner = hold(bev);
	let_go(bev, partner);
	return partner;
}

const struct bufferevent_ops bufferevent_ops_pair = {
    .type = "pair_elt",
    .mem_offset = offsetof(struct bufferevent_pair, priv.bev),
    .enable = pair_enable,
    .disable = pair_disable,
    .unlink = pair_unlink,
    .destruct = pair_destruct,
    .adj_timeouts = bufferevent_generic_adj_timeouts_,
    .flush = pair_flush,
};
