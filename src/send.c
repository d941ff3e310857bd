/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sending: one request for one gathering of bytes.
 *
 * The kernel tries at once, when the turn hands it over; if the socket takes nothing it waits until
 * it does. It may take less than everything; the embedder goes on from there. As long as there is
 * no completion nothing was sent, so a send that loses its ring starts again from its beginning.
 */
#include "request.h"

#include <assert.h>
#include <errno.h>

static struct evu_send *make(struct evu_engine *e)
{
	struct evu_send *send = evu_mem.zalloc(1, sizeof(*send));

	if (send)
		evu_request_init(&send->req, e, EVU_SEND);
	return send;
}

struct evu_send *evu_send_new(struct evu_engine *e)
{
	struct evu_send *send = e->sends;

	/* A request that is over is as it was at first. */
	if (send)
		e->sends = send->next;
	else
		send = make(e);
	if (!send)
		return NULL;
	send->n_vecs = 0;
	send->result = -EINPROGRESS;
	return send;
}

void evu_send_free(struct evu_send *send)
{
	struct evu_engine *e = send->req.engine;

	assert(evu_request_over(&send->req));
	send->next = e->sends;
	e->sends = send;
}

void evu_send_fini(struct evu_engine *e)
{
	struct evu_send *send;

	while ((send = e->sends)) {
		e->sends = send->next;
		evu_mem.free(send);
	}
}

void evu_send_start(struct evu_send *send, int fd)
{
	assert(send->n_vecs > 0);
	send->req.fd = fd;
	send->result = -EINPROGRESS;
	send->msg.msg_iov = send->vecs;
	send->msg.msg_iovlen = (size_t)send->n_vecs;
	evu_request_start(&send->req);
}

int evu_send_arm(struct evu_request *r, struct evu_op *op)
{
	struct evu_send *send = evu_container_of(r, struct evu_send, req);
	struct evu_ring *ring = r->engine->ring;

	return ring->ops->send(ring, op, r->fd, &send->msg);
}

static inline void sent(struct evu_request *r, int res)
{
	struct evu_send *send = evu_container_of(r, struct evu_send, req);
	struct evu_engine *e = r->engine;

	send->result = res;
	r->wanted = false;
	e->told++;
	e->hooks->sent(e->arg, send);
}

void evu_send_refused(struct evu_request *r, int rc)
{
	sent(r, rc);
}

void evu_send_completed(struct evu_op *op, void *ctx, int res, bool more)
{
	struct evu_request *r = ctx;

	assert(r->op == op);
	(void)op;
	if (!more)
		evu_request_ended(r);
	/* Cancelled, but wanted again since; or for no reason. */
	if (res < 0 && (res == -ECANCELED || res == -EINTR || res == -EAGAIN)) {
		if (r->wanted)
			evu_request_enlist(r);
		return;
	}
	sent(r, res);
}
