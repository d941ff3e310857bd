/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A filter: a bufferevent on top of another one, the underlying. Input goes from the underlying's
 * input through process_in to ours, output from our output through process_out to the underlying's.
 *
 *   program -> output -> process_out -> underlying output -> ...
 *   program <- input  <- process_in  <- underlying input  <- ...
 *
 * The underlying's callbacks are ours, and it is always enabled for both; while the filter does not
 * read, its reading is suspended. Output is pushed on when the program adds some and when the
 * underlying has drained some; input when the underlying has read some, and, if it had to stay down
 * there because we were at our high mark, when the program takes some (input_cb, which is enabled
 * just as long).
 *
 * A filter function is called again and again while it says BEV_OK, has something to work on, and
 * the direction is enabled and below its mark. Anything else that it says only ends that round.
 *
 * Life: the filter holds a reference to the underlying until its own memory is gone. With
 * BEV_OPT_CLOSE_ON_FREE the program's reference to the underlying is the filter's to give up.
 * The underlying's callbacks may still come when the filter's last reference is gone and its
 * finalizer has not run yet: they do nothing then. Both have one lock if the underlying has one.
 */
#include "bufferevent.h"

struct bufferevent_filter {
	struct bufferevent_private priv;
	struct bufferevent *underlying; /* NULL only until it is complete */
	struct evbuffer_cb_entry *input_cb;
	struct evbuffer_cb_entry *output_cb;
	bufferevent_filter_cb process_in;
	bufferevent_filter_cb process_out;
	void (*free_context)(void *); /* or NULL */
	void *context;
};

static struct bufferevent_filter *filter_of(struct bufferevent *bev)
{
	return evu_container_of(bev, struct bufferevent_filter, priv.bev);
}

/* In the place of a filter function that is NULL: lets everything pass. */
static enum bufferevent_filter_result pass(struct evbuffer *src, struct evbuffer *dst,
    ev_ssize_t limit, enum bufferevent_flush_mode mode, void *context)
{
	(void)mode;
	(void)context;
	return evbuffer_remove_buffer(src, dst, (size_t)limit) >= 0 ? BEV_OK : BEV_ERROR;
}

/* Marks count in normal mode only. */
static bool is_full(const struct evbuffer *buf, size_t high, enum bufferevent_flush_mode mode)
{
	return mode == BEV_NORMAL && high && evbuffer_get_length(buf) >= high;
}

static bool input_is_full(const struct bufferevent_filter *f, enum bufferevent_flush_mode mode)
{
	return is_full(f->priv.bev.input, f->priv.bev.wm_read.high, mode);
}

static bool output_is_full(const struct bufferevent_filter *f, enum bufferevent_flush_mode mode)
{
	return is_full(f->underlying->output, f->underlying->wm_write.high, mode);
}

/* How much a filter function should make at most; -1: any amount. */
static ev_ssize_t quota(const struct evbuffer *buf, size_t high, enum bufferevent_flush_mode mode)
{
	if (mode != BEV_NORMAL || !high)
		return -1;
	return (ev_ssize_t)(high - evbuffer_get_length(buf));
}

/* ---- input ---- */

/* Returns whether the filter function took anything. */
static bool process_input(struct bufferevent_filter *f, enum bufferevent_flush_mode mode)
{
	struct bufferevent *bev = &f->priv.bev;
	enum bufferevent_filter_result result;
	bool processed = false;

	if (mode == BEV_NORMAL && (!(bev->enabled & EV_READ) || input_is_full(f, mode)))
		return false;
	do {
		result = f->process_in(f->underlying->input, bev->input,
		    quota(bev->input, bev->wm_read.high, mode), mode, f->context);
		if (result == BEV_OK)
			processed = true;
	} while (result == BEV_OK && bev->enabled & EV_READ &&
		 evbuffer_get_length(f->underlying->input) && !input_is_full(f, mode));
	if (processed)
		BEV_RESET_GENERIC_READ_TIMEOUT(bev);
	return processed;
}

static void take_input(struct bufferevent_filter *f)
{
	struct bufferevent *bev = &f->priv.bev;

	if (f->priv.refcnt == 0 || !process_input(f, BEV_NORMAL))
		return;
	bufferevent_trigger_nolock_(bev, EV_READ, 0);
	if (evbuffer_get_length(f->underlying->input) && input_is_full(f, BEV_NORMAL))
		evbuffer_cb_set_flags(bev->input, f->input_cb, EVBUFFER_CB_ENABLED);
}

static void input_cb(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg)
{
	struct bufferevent_filter *f = arg;

	(void)info;
	BEV_LOCK(&f->priv.bev);
	if (!input_is_full(f, BEV_NORMAL)) {
		evbuffer_cb_clear_flags(input, f->input_cb, EVBUFFER_CB_ENABLED);
		if (evbuffer_get_length(f->underlying->input))
			take_input(f);
	}
	BEV_UNLOCK(&f->priv.bev);
}

static void underlying_readcb(struct bufferevent *underlying, void *arg)
{
	struct bufferevent_filter *f = arg;

	(void)underlying;
	BEV_LOCK(&f->priv.bev);
	take_input(f);
	BEV_UNLOCK(&f->priv.bev);
}

/* ---- output ---- */

static bool more_output(const struct bufferevent_filter *f, enum bufferevent_flush_mode mode)
{
	const struct bufferevent *bev = &f->priv.bev;

	return bev->enabled & EV_WRITE && evbuffer_get_length(bev->output) &&
	       !output_is_full(f, mode);
}

/* Runs the filter function until it stops, or there is no more for it to do. Sets *processed if it
 * took anything. */
static enum bufferevent_filter_result output_round(
    struct bufferevent_filter *f, enum bufferevent_flush_mode mode, bool *processed)
{
	struct evbuffer *down = f->underlying->output;
	enum bufferevent_filter_result result;

	do {
		result = f->process_out(f->priv.bev.output, down,
		    quota(down, f->underlying->wm_write.high, mode), mode, f->context);
		if (result == BEV_OK)
			*processed = true;
	} while (result == BEV_OK && more_output(f, mode));
	return result;
}

/* Needs a reference: it may run the writecb. That may add more, which is taken in the next round:
 * output_cb is off meanwhile. Returns whether the filter function took anything. */
static bool process_output(struct bufferevent_filter *f, enum bufferevent_flush_mode mode)
{
	struct bufferevent *bev = &f->priv.bev;
	enum bufferevent_filter_result result;
	bool processed = false, in_round;

	if (mode == BEV_NORMAL && !more_output(f, mode))
		return false;
	evbuffer_cb_clear_flags(bev->output, f->output_cb, EVBUFFER_CB_ENABLED);
	do {
		in_round = false;
		result = output_round(f, mode, &in_round);
		if (in_round) {
			processed = true;
			bufferevent_trigger_nolock_(bev, EV_WRITE, 0);
		}
	} while (in_round && result == BEV_OK && more_output(f, mode));
	evbuffer_cb_set_flags(bev->output, f->output_cb, EVBUFFER_CB_ENABLED);
	if (processed)
		BEV_RESET_GENERIC_WRITE_TIMEOUT(bev);
	return processed;
}

static void output_cb(struct evbuffer *output, const struct evbuffer_cb_info *info, void *arg)
{
	struct bufferevent_filter *f = arg;

	(void)output;
	if (!info->n_added)
		return;
	bufferevent_incref_and_lock_(&f->priv.bev);
	process_output(f, BEV_NORMAL);
	bufferevent_decref_and_unlock_(&f->priv.bev);
}

static void underlying_writecb(struct bufferevent *underlying, void *arg)
{
	struct bufferevent_filter *f = arg;

	(void)underlying;
	BEV_LOCK(&f->priv.bev);
	if (f->priv.refcnt > 0)
		process_output(f, BEV_NORMAL);
	BEV_UNLOCK(&f->priv.bev);
}

/* ---- the rest ---- */

static void underlying_eventcb(struct bufferevent *underlying, short what, void *arg)
{
	struct bufferevent_filter *f = arg;

	(void)underlying;
	BEV_LOCK(&f->priv.bev);
	if (f->priv.refcnt > 0)
		bufferevent_run_eventcb_(&f->priv.bev, what, 0);
	BEV_UNLOCK(&f->priv.bev);
}

static int filter_enable(struct bufferevent *bev, short events)
{
	if (events & EV_WRITE)
		BEV_RESET_GENERIC_WRITE_TIMEOUT(bev);
	if (events & EV_READ) {
		BEV_RESET_GENERIC_READ_TIMEOUT(bev);
		bufferevent_unsuspend_read_(filter_of(bev)->underlying, BEV_SUSPEND_FILT_READ);
	}
	return 0;
}

static int filter_disable(struct bufferevent *bev, short events)
{
	if (events & EV_WRITE)
		BEV_DEL_GENERIC_WRITE_TIMEOUT(bev);
	if (events & EV_READ) {
		BEV_DEL_GENERIC_READ_TIMEOUT(bev);
		bufferevent_suspend_read_(filter_of(bev)->underlying, BEV_SUSPEND_FILT_READ);
	}
	return 0;
}

/* An underlying that stays gets back its freedom; its callbacks only go if they are still ours. */
static void filter_unlink(struct bufferevent *bev)
{
	struct bufferevent_filter *f = filter_of(bev);
	struct bufferevent *underlying = f->underlying;

	if (!underlying)
		return;
	if (f->priv.options & BEV_OPT_CLOSE_ON_FREE) {
		if (BEV_UPCAST(underlying)->refcnt < 2)
			event_warnx("bufferevent_filter: the underlying bufferevent, which "
				    "BEV_OPT_CLOSE_ON_FREE should free, was freed already");
		else
			bufferevent_free(underlying);
		return;
	}
	if (underlying->errorcb == underlying_eventcb)
		bufferevent_setcb(underlying, NULL, NULL, NULL, NULL);
	bufferevent_unsuspend_read_(underlying, BEV_SUSPEND_FILT_READ);
}

/* Somebody may still have references to the buffers. */
static void filter_destruct(struct bufferevent *bev)
{
	struct bufferevent_filter *f = filter_of(bev);

	if (f->free_context)
		f->free_context(f->context);
	if (f->input_cb)
		evbuffer_remove_cb_entry(bev->input, f->input_cb);
	if (f->output_cb)
		evbuffer_remove_cb_entry(bev->output, f->output_cb);
}

static int filter_flush(struct bufferevent *bev, short iotype, enum bufferevent_flush_mode mode)
{
	struct bufferevent_filter *f = filter_of(bev);
	bool processed = false;

	bufferevent_incref_and_lock_(bev);
	if (iotype & EV_READ)
		processed |= process_input(f, mode);
	if (iotype & EV_WRITE)
		processed |= process_output(f, mode);
	bufferevent_flush(f->underlying, iotype, mode);
	bufferevent_decref_and_unlock_(bev);
	return processed;
}

static int filter_ctrl(
    struct bufferevent *bev, enum bufferevent_ctrl_op op, union bufferevent_ctrl_data *data)
{
	struct bufferevent *underlying = filter_of(bev)->underlying;

	switch (op) {
	case BEV_CTRL_GET_UNDERLYING:
		data->ptr = underlying;
		return 0;
	case BEV_CTRL_SET_FD:
	case BEV_CTRL_GET_FD:
		if (underlying && underlying->be_ops->ctrl)
			return underlying->be_ops->ctrl(underlying, op, data);
		return -1;
	case BEV_CTRL_CANCEL_ALL:
		return -1;
	}
	return -1;
}

/* Unlike stock's, a filter with BEV_OPT_THREADSAFE takes the lock of an underlying that has one:
 * two locks would be taken in both orders. An underlying without a lock stays without. */
static struct bufferevent_filter *new_filter(struct bufferevent *underlying, int options)
{
	struct bufferevent_filter *f = mm_calloc(1, sizeof(*f));
	struct bufferevent *bev;

	if (!f)
		return NULL;
	bev = &f->priv.bev;
	if (bufferevent_init_common_(&f->priv, underlying->ev_base, &bufferevent_ops_filter,
		(enum bufferevent_options)(options & ~BEV_OPT_THREADSAFE)) < 0) {
		mm_free(f);
		return NULL;
	}
	if (options & BEV_OPT_THREADSAFE)
		bufferevent_enable_locking_(bev, BEV_UPCAST(underlying)->lock);
	bufferevent_init_generic_timeout_cbs_(bev);
	f->input_cb = evbuffer_add_cb(bev->input, input_cb, f);
	f->output_cb = evbuffer_add_cb(bev->output, output_cb, f);
	if (!f->input_cb || !f->output_cb) {
		bufferevent_free(bev);
		return NULL;
	}
	evbuffer_cb_clear_flags(bev->input, f->input_cb, EVBUFFER_CB_ENABLED);
	return f;
}

struct bufferevent *bufferevent_filter_new(struct bufferevent *underlying,
    bufferevent_filter_cb input_filter, bufferevent_filter_cb output_filter, int options,
    void (*free_context)(void *), void *ctx)
{
	struct bufferevent_filter *f;

	if (!underlying)
		return NULL;
	f = new_filter(underlying, options);
	if (!f)
		return NULL;
	f->underlying = underlying;
	f->process_in = input_filter ? input_filter : pass;
	f->process_out = output_filter ? output_filter : pass;
	f->free_context = free_context;
	f->context = ctx;

	bufferevent_setcb(underlying, underlying_readcb, underlying_writecb, underlying_eventcb, f);
	bufferevent_incref(underlying);
	bufferevent_enable(underlying, EV_READ | EV_WRITE);
	bufferevent_suspend_read_(underlying, BEV_SUSPEND_FILT_READ);
	return &f->priv.bev;
}

const struct bufferevent_ops bufferevent_ops_filter = {
    .type = "filter",
    .mem_offset = offsetof(struct bufferevent_filter, priv.bev),
    .enable = filter_enable,
    .disable = filter_disable,
    .unlink = filter_unlink,
    .destruct = filter_destruct,
    .adj_timeouts = bufferevent_generic_adj_timeouts_,
    .flush = filter_flush,
    .ctrl = filter_ctrl,
};
