/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Forks are noticed by a page that the kernel hands to children wiped (MADV_WIPEONFORK,
 * Linux 4.14): a zero there means that this is a new process. Unlike an atfork handler this also
 * sees clone() and costs one load. Where madvise refuses, an atfork handler wipes the page.
 */
#define _GNU_SOURCE
#include "wake.h"

#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

int evu_wake_open(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	return fd < 0 ? -errno : fd;
}

void evu_wake_write(int fd)
{
	uint64_t one = 1;
	int saved = errno;

	/* EAGAIN only when 2^64-2 wake-ups were never drained: the eventfd is readable then anyway.
	 */
	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	errno = saved;
}

void evu_wake_drain(int fd)
{
	uint64_t count;
	ssize_t n = read(fd, &count, sizeof(count));

	(void)n; /* EAGAIN: drained already */
}

uint64_t evu_thread_id(void)
{
	static _Atomic uint64_t last;
	static __thread uint64_t id;

	if (!id)
		id = ++last;
	return id;
}

static _Atomic uint64_t no_page; /* used when there is no memory even for one page */
_Atomic uint64_t *_Atomic evu_fork_page = &no_page;
static _Atomic uint64_t generations;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void wipe(void)
{
	*evu_fork_page = 0;
}

static void make_page(void)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page != MAP_FAILED)
		evu_fork_page = page;
	if (page == MAP_FAILED || madvise(page, size, MADV_WIPEONFORK) < 0)
		pthread_atfork(NULL, NULL, wipe);
}

uint64_t evu_fork_first(void)
{
	uint64_t seen = 0;
	uint64_t fresh;

	pthread_once(&once, make_page);
	/* Threads that meet here agree on the one that was first. */
	fresh = ++generations;
	if (atomic_compare_exchange_strong(evu_fork_page, &seen, fresh))
		return fresh;
	return seen;
}
