/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading and writing an fd for the program. Bufferevents do not come through here, they use
 * evbuffer_net.c directly.
 *
 * What programs may rely on: one read takes at most MAX_READ bytes and never more than were there
 * when it began; a write of an empty buffer answers -1, as does a frozen one. A file at the front
 * is sent alone and as a whole, however little was asked for, and if the socket is full the answer
 * is then 0 and not -1.
 */
#include <errno.h>
#include <sys/ioctl.h>

#include "evbuffer.h"

enum { MAX_READ = 4096 };

/* At most howmuch (< 0: all) of what fd says it has. An fd that says nothing, or that it has
 * nothing, is asked for MAX_READ: the read has the truth. */
static int bytes_to_read(evutil_socket_t fd, int howmuch)
{
	int n = 0;

	if (ioctl(fd, FIONREAD, &n) < 0 || n <= 0 || n > MAX_READ)
		n = MAX_READ;
	return howmuch < 0 || howmuch > n ? n : howmuch;
}

int evbuffer_read(struct evbuffer *buf, evutil_socket_t fd, int howmuch)
{
	int n = -1;

	EVBUFFER_LOCK(buf);
	if (!buf->freeze_end)
		n = evc_buffer_read(buf, fd, (size_t)bytes_to_read(fd, howmuch));
	if (n > 0)
		evbuffer_invoke_callbacks_(buf);
	EVBUFFER_UNLOCK(buf);
	return n;
}

static bool must_wait(int error)
{
	return error == EAGAIN || error == EINTR;
}

int evbuffer_write_atmost(struct evbuffer *buf, evutil_socket_t fd, ev_ssize_t howmuch)
{
	int n = -1;

	EVBUFFER_LOCK(buf);
	if (buf->freeze_start || buf->total_len == 0 || howmuch == 0) {
		/* nothing to write, or not allowed to */
	} else if (evc_buffer_starts_in_file(buf)) {
		n = evc_buffer_write(buf, fd, -1);
		if (n < 0 && must_wait(errno))
			n = 0;
	} else {
		n = evc_buffer_write(buf, fd, howmuch);
	}
	if (n > 0)
		evbuffer_invoke_callbacks_(buf);
	EVBUFFER_UNLOCK(buf);
	return n;
}

int evbuffer_write(struct evbuffer *buf, evutil_socket_t fd)
{
	return evbuffer_write_atmost(buf, fd, -1);
}
