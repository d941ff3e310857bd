/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Telling the program that an evbuffer changed.
 *
 * Whoever changes a buffer counts the bytes in n_add_for_cb and n_del_for_cb and calls
 * evbuffer_invoke_callbacks_() when the buffer is whole again. The callbacks, newest first, are
 * told both counts; these are zeroed before the first of them runs, so that a callback that changes
 * the buffer causes a round of its own, inside the outer one.
 *
 * With evbuffer_defer_callbacks() the rounds wait for the loop, which then runs one for all that
 * has happened. Entries with EVBUFFER_CB_NODEFER do not wait; as they leave the counts to the
 * deferred round, each of their rounds is told everything since the last deferred one.
 *
 * Traps: a callback may remove its own entry, nothing else of the list that has yet to run. A
 * scheduled round holds a reference to the buffer and one to its parent, whose lock this is.
 */
#include "bufferevent.h"

enum cb_round {
	ROUND_ALL,
	ROUND_AT_ONCE,  /* only those that do not wait for the loop */
	ROUND_DEFERRED, /* only those that did */
};

static bool cb_is_due(const struct evbuffer_cb_entry *entry, enum cb_round round)
{
	bool waits = !(entry->flags & EVBUFFER_CB_NODEFER);

	if (!(entry->flags & EVBUFFER_CB_ENABLED))
		return false;
	switch (round) {
	case ROUND_ALL:
		return true;
	case ROUND_AT_ONCE:
		return !waits;
	case ROUND_DEFERRED:
		return waits;
	}
	return false;
}

static void run_callbacks(struct evbuffer *buf, enum cb_round round)
{
	struct evbuffer_cb_entry *entry, *next;
	size_t now = buf->total_len;
	struct evbuffer_cb_info info = {
	    .orig_size = now + buf->n_del_for_cb - buf->n_add_for_cb,
	    .n_added = buf->n_add_for_cb,
	    .n_deleted = buf->n_del_for_cb,
	};

	EVBUFFER_ASSERT_LOCKED(buf);
	if (info.n_added == 0 && info.n_deleted == 0)
		return;
	if (round != ROUND_AT_ONCE)
		buf->n_add_for_cb = buf->n_del_for_cb = 0;
	for (entry = evc_buffer_first_callback(buf); entry; entry = next) {
		next = LIST_NEXT(entry, next);
		if (!cb_is_due(entry, round))
			continue;
		if (entry->flags & EVBUFFER_CB_OBSOLETE)
			entry->cb.cb_obsolete(buf, info.orig_size, now, entry->cbarg);
		else
			entry->cb.cb_func(buf, &info, entry->cbarg);
	}
	if (buf->sends && round != ROUND_AT_ONCE)
		evc_sock_output_changed(buf, info.n_added, info.n_deleted);
}

/* The bufferevent, if nobody else has ever asked to be told. */
static void tell_sock(struct evbuffer *buf)
{
	size_t added = buf->n_add_for_cb, deleted = buf->n_del_for_cb;

	EVBUFFER_ASSERT_LOCKED(buf);
	buf->n_add_for_cb = buf->n_del_for_cb = 0;
	if (added || deleted)
		evc_sock_output_changed(buf, added, deleted);
}

static void deferred_round(struct event_callback *cb, void *arg)
{
	struct evbuffer *buf = arg;
	struct bufferevent *parent;

	(void)cb;
	EVBUFFER_LOCK(buf);
	parent = buf->parent;
	run_callbacks(buf, ROUND_DEFERRED);
	evbuffer_decref_and_unlock_(buf);
	if (parent)
		bufferevent_decref(parent);
}

static void schedule_round(struct evbuffer *buf)
{
	if (!event_deferred_cb_schedule_(buf->watch->base, &buf->watch->round))
		return;
	evbuffer_incref_(buf);
	if (buf->parent)
		bufferevent_incref(buf->parent);
}

void evbuffer_invoke_callbacks_(struct evbuffer *buf)
{
	if (!evc_buffer_is_watched(buf)) {
		buf->n_add_for_cb = buf->n_del_for_cb = 0;
		return;
	}
	if (!buf->watch) {
		tell_sock(buf);
		return;
	}
	if (buf->deferred_cbs)
		schedule_round(buf);
	run_callbacks(buf, buf->deferred_cbs ? ROUND_AT_ONCE : ROUND_ALL);
}

/* Locked. NULL: no memory. */
static struct evc_watch *watch(struct evbuffer *buf)
{
	if (!buf->watch)
		buf->watch = mm_calloc(1, sizeof(*buf->watch));
	return buf->watch;
}

int evbuffer_defer_callbacks(struct evbuffer *buf, struct event_base *base)
{
	struct evc_watch *w;

	EVBUFFER_LOCK(buf);
	w = watch(buf);
	if (w) {
		buf->deferred_cbs = 1;
		w->base = base;
		event_deferred_cb_init_(&w->round,
		    (ev_uint8_t)(event_base_get_npriorities(base) / 2), deferred_round, buf);
	}
	EVBUFFER_UNLOCK(buf);
	return w ? 0 : -1;
}

int evbuffer_get_callbacks_(struct evbuffer *buf, struct event_callback **cbs, int max_cbs)
{
	EVBUFFER_ASSERT_LOCKED(buf);
	if (!buf->deferred_cbs || max_cbs < 1)
		return 0;
	cbs[0] = &buf->watch->round;
	return 1;
}

void evc_buffer_remove_all_callbacks(struct evbuffer *buf)
{
	struct evbuffer_cb_entry *entry;

	buf->sends = 0;
	while ((entry = evc_buffer_first_callback(buf))) {
		LIST_REMOVE(entry, next);
		mm_free(entry);
	}
}

struct evbuffer_cb_entry *evbuffer_add_cb(struct evbuffer *buf, evbuffer_cb_func cb, void *cbarg)
{
	struct evbuffer_cb_entry *entry = mm_calloc(1, sizeof(*entry));

	if (!entry)
		return NULL;
	entry->cb.cb_func = cb;
	entry->cbarg = cbarg;
	entry->flags = EVBUFFER_CB_ENABLED;
	EVBUFFER_LOCK(buf);
	if (watch(buf)) {
		LIST_INSERT_HEAD(&buf->watch->callbacks, entry, next);
	} else {
		mm_free(entry);
		entry = NULL;
	}
	EVBUFFER_UNLOCK(buf);
	return entry;
}

int evbuffer_remove_cb_entry(struct evbuffer *buf, struct evbuffer_cb_entry *entry)
{
	EVBUFFER_LOCK(buf);
	LIST_REMOVE(entry, next);
	EVBUFFER_UNLOCK(buf);
	mm_free(entry);
	return 0;
}

/* The newest of the entries that match. */
int evbuffer_remove_cb(struct evbuffer *buf, evbuffer_cb_func cb, void *cbarg)
{
	struct evbuffer_cb_entry *entry;
	int result = -1;

	EVBUFFER_LOCK(buf);
	for (entry = evc_buffer_first_callback(buf); entry; entry = LIST_NEXT(entry, next)) {
		if (entry->cb.cb_func == cb && entry->cbarg == cbarg)
			break;
	}
	if (entry)
		result = evbuffer_remove_cb_entry(buf, entry);
	EVBUFFER_UNLOCK(buf);
	return result;
}

int evbuffer_cb_set_flags(struct evbuffer *buf, struct evbuffer_cb_entry *entry, ev_uint32_t flags)
{
	EVBUFFER_LOCK(buf);
	entry->flags |= flags & 0xffff;
	EVBUFFER_UNLOCK(buf);
	return 0;
}

int evbuffer_cb_clear_flags(
    struct evbuffer *buf, struct evbuffer_cb_entry *entry, ev_uint32_t flags)
{
	EVBUFFER_LOCK(buf);
	entry->flags &= ~(flags & 0xffff);
	EVBUFFER_UNLOCK(buf);
	return 0;
}

/* The obsolete way: one callback, in the place of all there are. */
int evbuffer_setcb(struct evbuffer *buf, evbuffer_cb cb, void *cbarg)
{
	struct evbuffer_cb_entry *entry = NULL;

	EVBUFFER_LOCK(buf);
	evc_buffer_remove_all_callbacks(buf);
	if (cb && (entry = evbuffer_add_cb(buf, NULL, cbarg))) {
		entry->cb.cb_obsolete = cb;
		entry->flags |= EVBUFFER_CB_OBSOLETE;
	}
	EVBUFFER_UNLOCK(buf);
	return cb && !entry ? -1 : 0;
}
