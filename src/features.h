/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What this kernel can do: asked once per process, constant afterwards (but asked again
 * if the first answer was only that descriptors or memory had run out).
 *
 * Asked by setting up a small ring and using it, never by the kernel's version. EVENT_URING_DISABLE
 * in the environment switches bits off, a comma-separated list of the names below, so that every
 * fallback can be reached on a kernel that has everything. It is ignored in set-user-ID programs.
 */
#ifndef EVU_FEATURES_H
#define EVU_FEATURES_H

#include <stdbool.h>

struct evu_features {
	bool ring;           /* "ring": io_uring works at all, and has what we cannot do without */
	int ring_error;      /* why not: -errno; 0 when it does */
	bool defer_taskrun;  /* "defer_taskrun": SINGLE_ISSUER and DEFER_TASKRUN (6.1) */
	bool coop_taskrun;   /* "coop_taskrun" (5.19); used where defer_taskrun is not */
	bool multishot_poll; /* "multishot_poll" (5.13): without it there is no ring, for nothing
				else can watch edges */
	bool cqe_skip;       /* "cqe_skip" (5.17) */
	bool recv;      /* "recv": multishot receive into provided buffers (6.0); with defer_taskrun
			   only,      for nothing may be received behind the program's back */
	bool bulk;      /* "bulk": a second group of larger buffers for flows in bulk */
	bool accept;    /* "accept": multishot accept (5.19); likewise */
	bool send;      /* "send": likewise */
	bool idle_poll; /* "idle_poll": receives that bring nothing become polls; with recv only */
	bool plain_epoll; /* "plain_epoll": while no data is moved, fds are watched by epoll */
	bool no_iowait;   /* "no_iowait": waiting need not count as io-wait (6.15) */
};

const struct evu_features *evu_features(void);

#endif
