/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Probing. The happy path makes a ring of four entries as the engine would, arms a multishot poll
 * on an eventfd that is ready, and looks at the completion. Everything that can be refused is
 * refused here, before a program depends on it: the set-up (sysctl, seccomp, old kernel), the
 * enter, the multishot.
 */
#define _GNU_SOURCE
#include "features.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "uapi.h"
#include "words.h"

static struct evu_features features;
static bool settled; /* features will not change any more */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

bool evu_disabled(const char *name)
{
	const char *list = secure_getenv("EVENT_URING_DISABLE");
	size_t len = strlen(name);

	while (list && *list) {
		size_t n = strcspn(list, ",");

		if (n == len && strncmp(list, name, n) == 0)
			return true;
		list += n;
		list += strspn(list, ",");
	}
	return false;
}

/* Makes a ring with the best task-run mode that the kernel has. */
static int open_ladder(struct io_uring *ring, struct evu_features *f)
{
	static const unsigned modes[] = {
	    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
	    IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
	    0,
	};
	int rc = -EINVAL;
	unsigned i;

	for (i = 0; i < 3; i++) {
		struct io_uring_params p = {.flags = modes[i]};

		if ((i == 0 && evu_disabled("defer_taskrun")) ||
		    (i == 1 && evu_disabled("coop_taskrun")))
			continue;
		rc = io_uring_queue_init_params(4, ring, &p);
		if (rc == 0) {
			f->defer_taskrun = i == 0;
			f->coop_taskrun = i == 1;
			break;
		}
		if (rc !=
		    -EINVAL) /* EINVAL: a flag is unknown; anything else holds for all modes */
			break;
	}
	return rc;
}

/* Arms a multishot poll on a ready eventfd and waits for its completion. */
static int try_poll(struct io_uring *ring, struct evu_features *f)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct io_uring_cqe *cqe;
	int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	int rc;

	if (fd < 0)
		return -errno;
	io_uring_prep_poll_multishot(sqe, fd, POLLIN);
	rc = io_uring_submit_and_wait(ring, 1);
	if (rc >= 0)
		rc = io_uring_peek_cqe(ring, &cqe);
	if (rc == 0) {
		f->multishot_poll = cqe->res >= 0 && (cqe->flags & IORING_CQE_F_MORE);
		io_uring_cqe_seen(ring, cqe);
	}
	close(fd);
	return rc < 0 ? rc : 0;
}

static bool has_op(struct io_uring *ring, int opcode)
{
	struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
	bool has = probe && io_uring_opcode_supported(probe, opcode);

	if (probe)
		io_uring_free_probe(probe);
	return has;
}

/* Rings of buffers came with multishot accept (the opcode of SOCKET is of that age), multishot
 * receives with zero-copy sends. */
static void ask_data(struct io_uring *ring, struct evu_features *f)
{
	if (!f->defer_taskrun)
		return;
	f->accept = has_op(ring, IORING_OP_SOCKET);
	f->send = has_op(ring, IORING_OP_SENDMSG);
	f->recv = f->accept && has_op(ring, IORING_OP_SEND_ZC);
}

static int probe_ring(struct evu_features *f)
{
	const unsigned needed = IORING_FEAT_EXT_ARG | IORING_FEAT_NODROP;
	struct io_uring ring;
	int rc = open_ladder(&ring, f);

	if (rc < 0)
		return rc;
	if ((ring.features & needed) != needed)
		rc = -EOPNOTSUPP;
	else
		rc = try_poll(&ring, f);
	if (rc == 0)
		ask_data(&ring, f);
	f->cqe_skip = ring.features & IORING_FEAT_CQE_SKIP;
	f->no_iowait = ring.features & EVU_FEAT_NO_IOWAIT;
	io_uring_queue_exit(&ring);
	return rc;
}

/* True iff the probe said something about this moment, not about this kernel. */
static bool transient(int rc)
{
	return rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM || rc == -EAGAIN || rc == -EINTR;
}

static void probe(struct evu_features *f)
{
	*f = (struct evu_features){0};
	f->ring_error = evu_disabled("ring") ? -EPERM : probe_ring(f);
	f->multishot_poll &= !evu_disabled("multishot_poll");
	if (f->ring_error == 0 && !f->multishot_poll)
		f->ring_error = -EOPNOTSUPP;
	f->ring = f->ring_error == 0;
	f->cqe_skip &= !evu_disabled("cqe_skip");
	f->no_iowait &= !evu_disabled("no_iowait");
	f->recv &= !evu_disabled("recv");
	f->bulk = f->recv && !evu_disabled("bulk");
	f->accept &= !evu_disabled("accept");
	f->send &= !evu_disabled("send");
	f->idle_poll = f->recv && !evu_disabled("idle_poll");
	f->plain_epoll = !evu_disabled("plain_epoll");
	settled = !transient(f->ring_error);
}

const struct evu_features *evu_features(void)
{
	pthread_mutex_lock(&lock);
	if (!settled)
		probe(&features);
	pthread_mutex_unlock(&lock);
	return &features;
}
