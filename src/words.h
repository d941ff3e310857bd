/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What both the seam (engine.h) and the rings speak of.
 */
#ifndef EVU_WORDS_H
#define EVU_WORDS_H

#include <stdbool.h>

/* Requests that move data. */
enum evu_request_kind { EVU_RECV, EVU_ACCEPT, EVU_SEND };

/* Whether an fd can be polled at all, as epoll_ctl would answer: 0, -EBADF, or -EPERM (regular
 * files, directories, block devices). EVU_FD_BARE: it cannot, but it is a character device, which
 * poll(2) calls ready. */
#define EVU_FD_BARE 1
int evu_fd_admit(int fd);

/* True iff the environment wants to do without it: `name` is in EVENT_URING_DISABLE. */
bool evu_disabled(const char *name);

#endif
