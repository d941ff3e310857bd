/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Chains of the usual size that are free, kept for the next ones.
 *
 * A turn of a busy loop allocates a chain for each connection that has sent something, and frees
 * them all when the answers have gone. glibc keeps seven of a size at hand, a thread; here it is
 * enough for a turn. The one that was freed last, and is in the cache, goes out first.
 *
 * Each thread has its own, so nobody locks. A chain may be freed in another thread than it was
 * allocated in; what one has too many of goes back to the allocator. Nothing is kept without an
 * event_base in the process, when a thread has ended, where the program has an allocator of its
 * own, and where tools look for memory that is used after it was freed: sanitizers, and
 * EVENT_URING_DISABLE=pool.
 *
 * Trap: a program may unload the library (dlclose) while threads go on that have used it. Their
 * ends must not lead here then; what they keep is lost.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "evbuffer.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

enum { MOST = 128 };

/* In the static part of a thread's memory, where a library that is loaded late finds room for so
 * little: no call is needed to find it. */
static __thread struct {
	struct evbuffer_chain *top;
	int n;        /* MOST with nothing in it: this thread keeps none */
	bool entered; /* its end will be noticed */
} pool __attribute__((tls_model("initial-exec")));

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_end;
static _Atomic bool usable;

void evc_pool_empty(void)
{
	struct evbuffer_chain *chain;

	while ((chain = pool.top)) {
		pool.top = chain->next;
		pool.n--;
		/* Even if the program has set functions of its own since. */
		free(chain);
	}
}

static void leave(void *unused)
{
	(void)unused;
	evc_pool_empty();
	/* Others' destructors may free more. */
	pool.n = MOST;
}

static void prepare(void)
{
	usable = !SANITIZED && !evu_disabled("pool") && pthread_key_create(&thread_end, leave) == 0;
}

/* The library goes, or the process ends, perhaps with threads that use it still. */
__attribute__((destructor)) static void withdraw(void)
{
	leave(NULL);
	if (atomic_exchange(&usable, false))
		(void)pthread_key_delete(thread_end);
}

static bool enter(void)
{
	pthread_once(&once, prepare);
	pool.entered = usable && pthread_setspecific(thread_end, &pool) == 0;
	if (!pool.entered)
		pool.n = MOST;
	return pool.entered;
}

struct evbuffer_chain *evc_pool_take(void)
{
	struct evbuffer_chain *chain = pool.top;

	if (!chain || evc_mm_replaced)
		return NULL;
	pool.top = chain->next;
	pool.n--;
	return chain;
}

bool evc_pool_keep(struct evbuffer_chain *chain)
{
	if (pool.n == MOST || evc_mm_replaced || !evc_block_store_is_open())
		return false;
	if (!pool.entered && !enter())
		return false;
	chain->next = pool.top;
	pool.top = chain;
	pool.n++;
	return true;
}
