/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Accepting: one multishot request for as long as the embedder listens.
 *
 * A completion is a connection; it waits in the intake's queue. Connections that died before they
 * were accepted are passed over, as everywhere. Other errors (EMFILE, a listening socket that was
 * shut down) end the request and are told; the embedder decides when to try again.
 *
 * There is no address in it: a multishot request would write every connection's address to the same
 * place. Whoever wants it asks the connection.
 */
#define _GNU_SOURCE
#include <assert.h>
#include <errno.h>
#include <unistd.h>

#include "poll.h"
#include "request.h"

int evu_accept_arm(struct evu_request *r, struct evu_op *op)
{
	struct evu_engine *e = r->engine;
	const struct evu_intake *in = evu_container_of(r, struct evu_intake, req);
	int flags =
	    (in->accept_cloexec ? SOCK_CLOEXEC : 0) | (in->accept_nonblock ? SOCK_NONBLOCK : 0);

	return e->ring->ops->accept(e->ring, op, r->fd, flags);
}

static void accepted(struct evu_request *r, int res)
{
	struct evu_intake *in = evu_container_of(r, struct evu_intake, req);
	struct evu_item *item;

	if (res == -ECANCELED || res == -EINTR || res == -EAGAIN || res == -ECONNABORTED)
		return;
	if (res < 0) {
		evu_intake_ended(in, res);
		return;
	}
	item = evu_item_new(r->engine);
	if (!item) {
		close(res);
		evu_intake_ended(in, -ENOMEM);
		evu_request_halt(r);
		return;
	}
	item->fd = res;
	evu_intake_append(in, item);
	if (in->beside)
		evu_poll_calm(in->beside);
}

void evu_accept_completed(struct evu_op *op, void *ctx, int res, bool more)
{
	struct evu_request *r = ctx;

	assert(r->op == op);
	if (!more)
		evu_request_ended(r);
	accepted(r, res);
	if (r->wanted)
		evu_request_enlist(r);
}
