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

struct evu_send *evu_send_new(struct evu_engine *e)
{
	struct evu_send *send = e->sends;

	if (send)
		e->sends = send->next;
	else
		send = evu_mem.alloc(sizeof(*send));
	if (!send)
		return NULL;
	evu_request_init(&send->req, e, EVU_SEND);
	send->n_vecs = 0;
	send->next = NULL;
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
	send->msg = (struct msghdr){.msg_iov = send->vecs, .msg_iovlen = (size_t)send->n_vecs};
	evu_request_start(&send->req);
}

int evu_send_arm(struct evu_request *r, struct evu_op *op)
{
	struct evu_send *send = evu_container_of(r, struct evu_send, req);

	return r->engine->ring->ops->send(r->engine->ring, op, r->fd, &send->msg);
}

void evu_send_completed(struct evu_request *r, struct evu_op *op, int res)
{
	struct evu_send *send = evu_container_of(r, struct evu_send, req);
	struct evu_engine *e = r->engine;

	(void)op;
	/* Cancelled, but wanted again since; or for no reason. */
	if (res == -ECANCELED || res == -EINTR || res == -EAGAIN)
		return;
	send->result = res;
	r->wanted = false;
	e->told++;
	e->hooks->sent(e->arg, send);
}
