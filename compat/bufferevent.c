/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bufferevents, the part that all kinds share: birth and end, locks, the callbacks of the program
 * and the watermarks that decide about them. What the program switches and asks for is in
 * bufferevent_switch.c.
 *
 * A callback runs at once with the lock held, or, with BEV_OPT_DEFER_CALLBACKS (or if the caller
 * says so), from the loop: the *_pending fields collect what happened and one event_callback tells
 * it, in the order connected, read, write, other events. A scheduled callback holds a reference.
 *
 * The end: bufferevent_free takes the callbacks away and gives up the program's reference. The last
 * reference to go unlinks the kind at once; the memory goes in finalize_cb, from the loop, when no
 * event of the bufferevent can be running any more.
 *
 * Traps. A callback may free its bufferevent: whoever runs one has to hold a reference, and must
 * look at bev->readcb and friends again afterwards. errno belongs to the event callback: nothing
 * between the failed call and bufferevent_run_eventcb_ may change it.
 */
#include "bufferevent.h"

/* Marks the entry of high_mark_cb: the last readcb took nothing from an input at its high mark. */
#define CB_UNTOUCHED 0x0100

#define TRIGGER_OPTIONS (BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS)

/* read, write, deferred, refill and one for each buffer */
#define MAX_CALLBACKS 6

/* ---- callbacks ---- */

static void high_mark_cb(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg);

static bool at_high_mark(const struct bufferevent *bev)
{
	return bev->wm_read.high && bev->input->total_len >= bev->wm_read.high;
}

/* That of high_mark_cb, unless the program has removed it (evbuffer_setcb replaces all callbacks).
 */
static struct evbuffer_cb_entry *high_mark_entry(struct bufferevent *bev)
{
	struct evbuffer_cb_entry *entry;

	entry = evc_buffer_first_callback(bev->input);
	for (; entry; entry = LIST_NEXT(entry, next)) {
		if (entry->cb.cb_func == high_mark_cb)
			break;
	}
	return entry;
}

/*
 * An input that is at its high mark gets nothing more, so nobody would call readcb again if it left
 * some of the data. (Kinds that put in more than the mark allows, like TLS, depend on this.) A
 * readcb that took nothing is not called again for the same bytes, where stock calls it without
 * end (libevent issue 891); high_mark_cb calls it when some have gone.
 */
static void readcb_again(struct bufferevent *bev, size_t before, bufferevent_data_cb called)
{
	struct evbuffer_cb_entry *entry;

	if (!bev->wm_read.high)
		return;
	entry = high_mark_entry(bev);
	if (entry)
		entry->flags &= ~CB_UNTOUCHED;
	if (!at_high_mark(bev) || !(bev->enabled & EV_READ))
		return;
	if (bev->input->total_len < before || bev->readcb != called)
		bufferevent_trigger(bev, EV_READ, BEV_TRIG_DEFER_CALLBACKS);
	else if (entry)
		entry->flags |= CB_UNTOUCHED;
}

static void call_readcb(struct bufferevent *bev, bool unlock)
{
	bufferevent_data_cb cb = bev->readcb;
	void *arg = bev->cbarg;
	size_t before = bev->input->total_len;

	if (unlock)
		BEV_UNLOCK(bev);
	cb(bev, arg);
	if (unlock)
		BEV_LOCK(bev);
	readcb_again(bev, before, cb);
}

static void call_writecb(struct bufferevent *bev, bool unlock)
{
	bufferevent_data_cb cb = bev->writecb;
	void *arg = bev->cbarg;

	if (unlock)
		BEV_UNLOCK(bev);
	cb(bev, arg);
	if (unlock)
		BEV_LOCK(bev);
}

static void call_eventcb(struct bufferevent *bev, short what, bool unlock)
{
	bufferevent_event_cb cb = bev->errorcb;
	void *arg = bev->cbarg;

	if (unlock)
		BEV_UNLOCK(bev);
	cb(bev, what, arg);
	if (unlock)
		BEV_LOCK(bev);
}

/* What is pending stays so while the program has no callback for it. */
static void deferred_cb(struct event_callback *evcb, void *arg)
{
	struct bufferevent_private *p = arg;
	struct bufferevent *bev = &p->bev;
	bool unlock = p->options & BEV_OPT_UNLOCK_CALLBACKS;

	(void)evcb;
	BEV_LOCK(bev);
	if (p->eventcb_pending & BEV_EVENT_CONNECTED && bev->errorcb) {
		p->eventcb_pending &= ~BEV_EVENT_CONNECTED;
		call_eventcb(bev, BEV_EVENT_CONNECTED, unlock);
	}
	if (p->readcb_pending && bev->readcb) {
		p->readcb_pending = 0;
		call_readcb(bev, unlock);
	}
	if (p->writecb_pending && bev->writecb) {
		p->writecb_pending = 0;
		call_writecb(bev, unlock);
	}
	if (p->eventcb_pending && bev->errorcb) {
		short what = p->eventcb_pending;
		int err = p->errno_pending;

		p->eventcb_pending = 0;
		p->errno_pending = 0;
		EVUTIL_SET_SOCKET_ERROR(err);
		call_eventcb(bev, what, unlock);
	}
	bufferevent_decref_and_unlock_(bev);
}

static bool is_deferred(const struct bufferevent_private *p, int options)
{
	return ((int)p->options | options) & BEV_OPT_DEFER_CALLBACKS;
}

static void schedule(struct bufferevent_private *p)
{
	if (event_deferred_cb_schedule_(p->bev.ev_base, &p->deferred))
		p->refcnt++;
}

void bufferevent_run_readcb_(struct bufferevent *bev, int options)
{
	struct bufferevent_private *p = BEV_UPCAST(bev);

	if (!bev->readcb)
		return;
	if (is_deferred(p, options)) {
		p->readcb_pending = 1;
		schedule(p);
	} else {
		call_readcb(bev, false);
	}
}

void bufferevent_run_writecb_(struct bufferevent *bev, int options)
{
	struct bufferevent_private *p = BEV_UPCAST(bev);

	if (!bev->writecb)
		return;
	if (is_deferred(p, options)) {
		p->writecb_pending = 1;
		schedule(p);
	} else {
		call_writecb(bev, false);
	}
}

void bufferevent_run_eventcb_(struct bufferevent *bev, short what, int options)
{
	struct bufferevent_private *p = BEV_UPCAST(bev);

	if (!bev->errorcb)
		return;
	if (is_deferred(p, options)) {
		p->eventcb_pending |= what;
		p->errno_pending = EVUTIL_SOCKET_ERROR();
		schedule(p);
	} else {
		call_eventcb(bev, what, false);
	}
}

void bufferevent_trigger(struct bufferevent *bev, short iotype, int options)
{
	bufferevent_incref_and_lock_(bev);
	bufferevent_trigger_nolock_(bev, iotype, options & TRIGGER_OPTIONS);
	bufferevent_decref_and_unlock_(bev);
}

void bufferevent_trigger_event(struct bufferevent *bev, short what, int options)
{
	bufferevent_incref_and_lock_(bev);
	bufferevent_run_eventcb_(bev, what, options & TRIGGER_OPTIONS);
	bufferevent_decref_and_unlock_(bev);
}

void bufferevent_setcb(struct bufferevent *bev, bufferevent_data_cb readcb,
    bufferevent_data_cb writecb, bufferevent_event_cb eventcb, void *cbarg)
{
	BEV_LOCK(bev);
	bev->readcb = readcb;
	bev->writecb = writecb;
	bev->errorcb = eventcb;
	bev->cbarg = cbarg;
	BEV_UNLOCK(bev);
}

void bufferevent_getcb(struct bufferevent *bev, bufferevent_data_cb *readcb,
    bufferevent_data_cb *writecb, bufferevent_event_cb *eventcb, void **cbarg)
{
	BEV_LOCK(bev);
	if (readcb)
		*readcb = bev->readcb;
	if (writecb)
		*writecb = bev->writecb;
	if (eventcb)
		*eventcb = bev->errorcb;
	if (cbarg)
		*cbarg = bev->cbarg;
	BEV_UNLOCK(bev);
}

/* ---- watermarks ---- */

/* On the input buffer while there is a high mark; never deferred, so that not a byte too much gets
 * in. Reading is unsuspended also if it was not suspended: kinds see that as a reason to look for
 * more data, and to restart the read timeout. */
static void high_mark_cb(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg)
{
	struct bufferevent *bev = arg;
	struct evbuffer_cb_entry *entry = high_mark_entry(bev);
	bool call = info->n_deleted && entry->flags & CB_UNTOUCHED;

	(void)input;
	if (info->n_deleted)
		entry->flags &= ~CB_UNTOUCHED;
	if (!at_high_mark(bev)) {
		bufferevent_unsuspend_read_(bev, BEV_SUSPEND_WM);
		return;
	}
	bufferevent_suspend_read_(bev, BEV_SUSPEND_WM);
	if (call && bev->enabled & EV_READ)
		bufferevent_trigger(bev, EV_READ, BEV_TRIG_DEFER_CALLBACKS);
}

static void watch_high_mark(struct bufferevent *bev)
{
	struct evbuffer_cb_entry *entry = high_mark_entry(bev);

	if (!entry)
		entry = evbuffer_add_cb(bev->input, high_mark_cb, bev);
	if (entry)
		entry->flags |= EVBUFFER_CB_ENABLED | EVBUFFER_CB_NODEFER;
}

static void unwatch_high_mark(struct bufferevent *bev)
{
	struct evbuffer_cb_entry *entry = high_mark_entry(bev);

	if (entry)
		entry->flags &= ~(ev_uint32_t)(EVBUFFER_CB_ENABLED | CB_UNTOUCHED);
}

static void set_read_marks(struct bufferevent *bev, size_t low, size_t high)
{
	size_t old_high = bev->wm_read.high;

	bev->wm_read.low = low;
	bev->wm_read.high = high;
	if (high)
		watch_high_mark(bev);
	else
		unwatch_high_mark(bev);
	if (at_high_mark(bev))
		bufferevent_suspend_read_(bev, BEV_SUSPEND_WM);
	else
		bufferevent_unsuspend_read_(bev, BEV_SUSPEND_WM);
	if (high != old_high)
		evc_sock_limits_changed(bev);
}

void bufferevent_setwatermark(
    struct bufferevent *bev, short events, size_t lowmark, size_t highmark)
{
	BEV_LOCK(bev);
	if (events & EV_WRITE) {
		bev->wm_write.low = lowmark;
		bev->wm_write.high = highmark;
	}
	if (events & EV_READ)
		set_read_marks(bev, lowmark, highmark);
	BEV_UNLOCK(bev);
}

/* -1 if asked for both directions, or none. */
int bufferevent_getwatermark(
    struct bufferevent *bev, short events, size_t *lowmark, size_t *highmark)
{
	const struct event_watermark *marks;

	if (events == EV_READ)
		marks = &bev->wm_read;
	else if (events == EV_WRITE)
		marks = &bev->wm_write;
	else
		return -1;
	BEV_LOCK(bev);
	if (lowmark)
		*lowmark = marks->low;
	if (highmark)
		*highmark = marks->high;
	BEV_UNLOCK(bev);
	return 0;
}

/* ---- birth ---- */

static int new_buffers(struct bufferevent *bev)
{
	if (!bev->input)
		bev->input = evbuffer_new();
	if (!bev->output)
		bev->output = evbuffer_new();
	return bev->input && bev->output ? 0 : -1;
}

static void free_buffers(struct bufferevent *bev)
{
	if (bev->input)
		evbuffer_free(bev->input);
	if (bev->output)
		evbuffer_free(bev->output);
	bev->input = bev->output = NULL;
}

int bufferevent_init_common_(struct bufferevent_private *p, struct event_base *base,
    const struct bufferevent_ops *ops, enum bufferevent_options options)
{
	struct bufferevent *bev = &p->bev;

	if (options & BEV_OPT_UNLOCK_CALLBACKS && !(options & BEV_OPT_DEFER_CALLBACKS)) {
		event_warnx("bufferevent: callbacks without the lock have to be deferred");
		goto failed;
	}
	if (new_buffers(bev) < 0)
		goto failed;

	p->refcnt = 1;
	p->options = options;
	bev->ev_base = base;
	bev->be_ops = ops;
	bev->enabled = EV_WRITE;
	evutil_timerclear(&bev->timeout_read);
	evutil_timerclear(&bev->timeout_write);
	event_deferred_cb_init_(
	    &p->deferred, (ev_uint8_t)(event_base_get_npriorities(base) / 2), deferred_cb, p);

	if (bufferevent_ratelim_init_(p) < 0)
		goto failed;
	if (options & BEV_OPT_THREADSAFE && bufferevent_enable_locking_(bev, NULL) < 0)
		goto failed;

	evbuffer_set_parent_(bev->input, bev);
	evbuffer_set_parent_(bev->output, bev);
	return 0;

failed:
	free_buffers(bev);
	return -1;
}

/* If the one below has a lock already it is ours too; if it has none, it gets ours. */
int bufferevent_enable_locking_(struct bufferevent *bev, void *lock)
{
	struct bufferevent_private *p = BEV_UPCAST(bev);
	struct bufferevent *underlying;

	if (p->lock)
		return -1;
	underlying = bufferevent_get_underlying(bev);
	if (!lock && underlying)
		lock = BEV_UPCAST(underlying)->lock;
	p->own_lock = !lock;
	if (!lock)
		EVTHREAD_ALLOC_LOCK(lock, EVTHREAD_LOCKTYPE_RECURSIVE);
	if (!lock) {
		p->own_lock = 0;
		return -1;
	}
	p->lock = lock;
	evbuffer_enable_locking(bev->input, lock);
	evbuffer_enable_locking(bev->output, lock);
	if (underlying && !BEV_UPCAST(underlying)->lock)
		bufferevent_enable_locking_(underlying, lock);
	return 0;
}

/* ---- references and the end ---- */

/* The lock must outlive the bufferevent below if that has got it from this one. */
static void leave_lock_to(struct bufferevent *underlying, struct bufferevent_private *p)
{
	if (!underlying || !p->own_lock || BEV_UPCAST(underlying)->lock != p->lock)
		return;
	BEV_UPCAST(underlying)->own_lock = 1;
	p->own_lock = 0;
}

/* Other buffers may still show what is in this one (evbuffer_add_buffer_reference): it outlives the
 * bufferevent then, and needs a lock of its own. A socket's own lock stays as long as its buffers:
 * somebody may be waiting for it. */
static void leave_to_others(struct evbuffer *buf, bool lock_stays)
{
	if (buf->refcnt < 2)
		return;
	buf->parent = NULL;
	buf->sends = 0;
	buf->deferred_cbs = 0; /* the base may be gone before it */
	if (!buf->lock || lock_stays)
		return;
	EVTHREAD_ALLOC_LOCK(buf->lock, EVTHREAD_LOCKTYPE_RECURSIVE);
	buf->own_lock = buf->lock != NULL;
}

/* The reference to the one below is given up last: the lock may be its. */
static void finalize_cb(struct event_callback *evcb, void *arg)
{
	struct bufferevent *bev = arg;
	struct bufferevent_private *p = BEV_UPCAST(bev);
	struct bufferevent *underlying;
	bool lock_stays;

	_Static_assert(offsetof(struct bufferevent_private, bev) == 0, "they have one address");
	(void)evcb;
	BEV_LOCK(bev);
	underlying = bufferevent_get_underlying(bev);
	if (bev->be_ops->destruct)
		bev->be_ops->destruct(bev);
	lock_stays = BEV_IS_SOCKET(bev) && p->own_lock;
	leave_to_others(bev->input, lock_stays);
	leave_to_others(bev->output, lock_stays);
	free_buffers(bev);
	if (p->rate_limiting) {
		if (p->rate_limiting->group)
			bufferevent_remove_from_rate_limit_group_internal_(bev, 0);
		evc_ratelim_fini(p);
	}
	leave_lock_to(underlying, p);
	BEV_UNLOCK(bev);

	if (p->own_lock && !lock_stays)
		EVTHREAD_FREE_LOCK(p->lock, EVTHREAD_LOCKTYPE_RECURSIVE);
	if (BEV_IS_SOCKET(bev))
		evc_sock_memory_gone(bev);
	else
		mm_free((char *)bev - bev->be_ops->mem_offset);
	if (underlying)
		bufferevent_decref(underlying);
}

static void finalize(struct bufferevent *bev)
{
	struct bufferevent_private *p = BEV_UPCAST(bev);
	struct event_callback *cbs[MAX_CALLBACKS];
	int buffers, n = 0;

	cbs[n++] = &bev->ev_read.ev_evcallback;
	cbs[n++] = &bev->ev_write.ev_evcallback;
	cbs[n++] = &p->deferred;
	if (p->rate_limiting && event_initialized(&p->rate_limiting->refill_bucket_event))
		cbs[n++] = &p->rate_limiting->refill_bucket_event.ev_evcallback;
	buffers = n;
	n += evbuffer_get_callbacks_(bev->input, cbs + n, MAX_CALLBACKS - n);
	n += evbuffer_get_callbacks_(bev->output, cbs + n, MAX_CALLBACKS - n);
	/* The finalizer gets the argument of one of them: the buffers' is another. Their rounds do
	 * not come any more, for each would hold a reference. */
	while (buffers < n)
		cbs[buffers++]->evcb_arg = bev;
	event_callback_finalize_many_(bev->ev_base, n, cbs, finalize_cb);
}

void bufferevent_incref_and_lock_(struct bufferevent *bev)
{
	BEV_LOCK(bev);
	BEV_UPCAST(bev)->refcnt++;
}

int bufferevent_decref_and_unlock_(struct bufferevent *bev)
{
	struct bufferevent_private *p = BEV_UPCAST(bev);
	void *lock = p->lock;

	evc_assert(p->refcnt > 0);
	if (--p->refcnt > 0) {
		BEV_UNLOCK(bev);
		return 0;
	}
	if (bev->be_ops->unlink)
		bev->be_ops->unlink(bev);
	finalize(bev);
	EVLOCK_UNLOCK(lock, 0);
	return 1;
}

void bufferevent_incref(struct bufferevent *bev)
{
	bufferevent_incref_and_lock_(bev);
	BEV_UNLOCK(bev);
}

int bufferevent_decref(struct bufferevent *bev)
{
	BEV_LOCK(bev);
	return bufferevent_decref_and_unlock_(bev);
}

static void cancel_all(struct bufferevent *bev)
{
	union bufferevent_ctrl_data data = {.ptr = NULL};

	if (bev->be_ops->ctrl)
		bev->be_ops->ctrl(bev, BEV_CTRL_CANCEL_ALL, &data);
}

void bufferevent_free(struct bufferevent *bev)
{
	BEV_LOCK(bev);
	bufferevent_setcb(bev, NULL, NULL, NULL, NULL);
	cancel_all(bev);
	bufferevent_decref_and_unlock_(bev);
}

/* The lock of a bufferevent that is locked by its program cannot go away: it comes with a
 * reference. */
void bufferevent_lock(struct bufferevent *bev)
{
	bufferevent_incref_and_lock_(bev);
}

void bufferevent_unlock(struct bufferevent *bev)
{
	bufferevent_decref_and_unlock_(bev);
}
