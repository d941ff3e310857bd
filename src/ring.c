/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What all rings have in common: the plain system calls that ask about file descriptors.
 */
#include "ring.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

int evu_fd_admit(int fd)
{
	struct stat st;

	/* Sockets, pipes and terminals, nearly all that is ever asked, have no position; asking for it is cheaper than fstat. */
	if (lseek(fd, 0, SEEK_CUR) < 0 && errno == ESPIPE)
		return 0;
	if (fstat(fd, &st) < 0)
		return -errno;
	/* The kernel's own test is whether the file has a poll method. Character devices without one (/dev/null) are always
	 * ready to poll(2), and useful, so unlike epoll we take them. */
	if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISBLK(st.st_mode))
		return -EPERM;
	return 0;
}

static int poll_retry(struct pollfd *fds, unsigned n)
{
	int rc;

	do
		rc = poll(fds, n, 0);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : rc;
}

/* poll(2) refuses more fds than RLIMIT_NOFILE (EINVAL), even if they were opened before the limit was lowered. */
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
