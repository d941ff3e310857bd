/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory that evbuffers show without owning it: the program's (references), and other buffers'
 * chains (multicast).
 *
 * The cleanup of a reference is called once, when the last chain that shows the memory is gone;
 * never for a reference that was refused. A chain that others show is immutable from then on, and
 * so are those that show it; each keeps the chain alive, and the buffer it came from, whose lock
 * the chain's reference count is under.
 */
#include "evbuffer.h"

static struct evbuffer_chain *reference_to(
    const void *data, size_t datlen, evbuffer_ref_cleanup_cb cleanupfn, void *extra)
{
	struct evbuffer_chain *chain = evc_chain_new(sizeof(struct evbuffer_chain_reference));

	if (!chain)
		return NULL;
	chain->flags |= EVBUFFER_REFERENCE | EVBUFFER_IMMUTABLE;
	chain->buffer = (unsigned char *)(uintptr_t)data;
	chain->buffer_len = chain->off = datlen;
	*EVBUFFER_CHAIN_EXTRA(struct evbuffer_chain_reference, chain) =
	    (struct evbuffer_chain_reference){.cleanupfn = cleanupfn, .extra = extra};
	return chain;
}

int evbuffer_add_reference(struct evbuffer *outbuf, const void *data, size_t datlen,
    evbuffer_ref_cleanup_cb cleanupfn, void *extra)
{
	struct evbuffer_chain *chain = NULL;

	EVBUFFER_LOCK(outbuf);
	if (!outbuf->freeze_end && datlen <= EV_SIZE_MAX - outbuf->total_len)
		chain = reference_to(data, datlen, cleanupfn, extra);
	if (chain) {
		evc_chain_insert(outbuf, chain);
		outbuf->n_add_for_cb += datlen;
		evc_buffer_changed(outbuf);
	}
	EVBUFFER_UNLOCK(outbuf);
	return chain ? 0 : -1;
}

/* Files have no memory to show, or one that counts its users in another way; and a chain that shows
 * another's is not shown again, so that freeing one never takes more than two locks. */
static bool can_be_shown(const struct evbuffer *buf)
{
	const unsigned others = EVBUFFER_FILESEGMENT | EVBUFFER_SENDFILE | EVBUFFER_MULTICAST;

	for (const struct evbuffer_chain *c = buf->first; c; c = c->next) {
		if (c->flags & others)
			return false;
	}
	return true;
}

/* Chains as many as there are with data, so that what follows cannot fail. */
static int allocate_shows(const struct evbuffer *buf, struct evbuffer_chain **list)
{
	*list = NULL;
	for (const struct evbuffer_chain *c = buf->first; c; c = c->next) {
		struct evbuffer_chain *show;

		if (c->off == 0)
			continue;
		show = evc_chain_new(sizeof(struct evbuffer_multicast_parent));
		if (!show) {
			evc_chain_free_all(*list);
			return -1;
		}
		show->next = *list;
		*list = show;
	}
	return 0;
}

static void show_chain(
    struct evbuffer_chain *show, struct evbuffer *source, struct evbuffer_chain *parent)
{
	source->refcnt++;
	parent->refcnt++;
	parent->flags |= EVBUFFER_IMMUTABLE;
	*EVBUFFER_CHAIN_EXTRA(struct evbuffer_multicast_parent, show) =
	    (struct evbuffer_multicast_parent){.source = source, .parent = parent};
	show->next = NULL;
	show->flags |= EVBUFFER_MULTICAST | EVBUFFER_IMMUTABLE;
	show->buffer = parent->buffer;
	show->buffer_len = parent->buffer_len;
	show->misalign = parent->misalign;
	show->off = parent->off;
}

static int add_shows(struct evbuffer *outbuf, struct evbuffer *inbuf)
{
	struct evbuffer_chain *list, *show;

	if (outbuf->freeze_end || outbuf == inbuf || !can_be_shown(inbuf) ||
	    allocate_shows(inbuf, &list) < 0)
		return -1;
	for (struct evbuffer_chain *c = inbuf->first; c; c = c->next) {
		if (c->off == 0)
			continue;
		show = list;
		list = list->next;
		show_chain(show, inbuf, c);
		evc_chain_insert(outbuf, show);
		outbuf->n_add_for_cb += show->off;
	}
	evc_buffer_changed(outbuf);
	return 0;
}

int evbuffer_add_buffer_reference(struct evbuffer *outbuf, struct evbuffer *inbuf)
{
	int result = 0;

	EVBUFFER_LOCK2(inbuf, outbuf);
	if (inbuf->total_len != 0)
		result = add_shows(outbuf, inbuf);
	EVBUFFER_UNLOCK2(inbuf, outbuf);
	return result;
}
