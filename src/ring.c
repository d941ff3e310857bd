/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What all rings have in common: the plain system calls that ask about file descriptors.
 */
#define _GNU_SOURCE
#include "ring.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* What counts is whether the file has a poll method, which nothing but epoll tells. */
static int ask_epoll(int fd)
{
	struct epoll_event ev = {.events = EPOLLIN};
	int epfd = epoll_create1(EPOLL_CLOEXEC);
	int rc;

	if (epfd < 0)
		return -EPERM;
	rc = epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
	close(epfd);
	return rc;
}

int evu_fd_admit(int fd)
{
	struct stat st;
	int rc;

	/* Sockets, pipes and terminals, nearly all that is ever asked, have no position; asking for
	 * it is cheaper than fstat. */
	if (lseek(fd, 0, SEEK_CUR) < 0 && errno == ESPIPE)
		return 0;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode) && !S_ISBLK(st.st_mode) &&
	    !S_ISCHR(st.st_mode))
		return 0;
	rc = ask_epoll(fd);
	return rc == -EPERM && S_ISCHR(st.st_mode) ? EVU_FD_BARE : rc;
}

/* poll(2), but no cancellation point: a lock is held. */
static int poll_now(struct pollfd *fds, unsigned n)
{
	struct timespec zero = {0};

	return (int)syscall(SYS_ppoll, fds, (nfds_t)n, &zero, NULL, (size_t)0);
}

static int poll_retry(struct pollfd *fds, unsigned n)
{
	int rc;

	do
		rc = poll_now(fds, n);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : rc;
}

/* poll(2) refuses more fds than RLIMIT_NOFILE (EINVAL), even if they were opened before the limit
 * was lowered. */
static int poll_pieces(struct pollfd *fds, unsigned n)
{
	struct rlimit lim;
	unsigned at, piece;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0 || lim.rlim_cur == 0)
		return -EINVAL;
	piece = lim.rlim_cur < n ? (unsigned)lim.rlim_cur : n;
	for (at = 0; at < n; at += piece) {
		int rc = poll_retry(fds + at, n - at < piece ? n - at : piece);

		if (rc < 0)
			return rc;
	}
	return 0;
}

int evu_poll_now(struct pollfd *fds, unsigned n)
{
	int rc = poll_retry(fds, n);

	if (rc == -EINVAL)
		rc = poll_pieces(fds, n);
	return rc < 0 ? rc : 0;
}
