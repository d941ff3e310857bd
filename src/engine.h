/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The seam: all that the rooms above may know of the engine.
 *
 * An engine watches file descriptors and sleeps. Whoever embeds it keeps one struct evu_poll per
 * fd, tells what it wants to know of the fd (evu_poll_want), and is told through the `ready` hook
 * what is so. Nothing here ever calls the program.
 *
 * Threads. Every function is called with the embedder's lock held. Only evu_engine_turn gives the
 * lock up while it sleeps. Any thread may want() and drop(); the io_uring ring itself is touched by
 * one thread only, its owner: the one that last entered the loop.
 *
 * Processes. A forked child that uses the engine gets a ring of its own, whatever it does first;
 * its parent's is not touched.
 *
 * Errors are -errno.
 */
#ifndef EVU_ENGINE_H
#define EVU_ENGINE_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "heap.h"
#include "list.h"
#include "mem.h"

/* Best first: the engine opens the first one that is allowed and works. */
enum evu_method { EVU_IO_URING, EVU_EPOLL, EVU_POLL2, EVU_NMETHODS };

enum evu_watch {
	EVU_ONCE,  /* told once; want() again to be told again */
	EVU_LEVEL, /* told once a turn while it is so */
	EVU_EDGE,  /* told when it becomes so */
};

struct evu_op;
struct evu_engine;

/* One fd of the embedder's. Zeroed memory after evu_poll_init; all fields are the engine's. */
struct evu_poll {
	struct evu_engine *engine;
	struct evu_op *op;       /* the request in the kernel, NULL when there is none */
	struct evu_link pending; /* on the list of what the next flush arms */
	int fd;
	int hot;       /* index in the list of what poll(2) has to confirm, -1 when not on it */
	uint32_t seen; /* the epoch in which the kernel last looked at this fd by its number */
	uint16_t want; /* POLLIN | POLLOUT | POLLRDHUP; 0: not watched */
	uint16_t hint; /* hot, and known to be so without asking: a mask */
	uint8_t watch; /* enum evu_watch */
	bool denied; /* poll(2) denied what a one-shot, or bareness, had said: armed as a multishot
			since */
	bool again;  /* epoll may still have a disabled registration of this fd */
	bool bare;   /* the fd has no poll method and is always ready: it lives on the hot list */
};

struct evu_hooks {
	void (*lock)(void *arg);
	void (*unlock)(void *arg);
	/* `mask` of POLLIN, POLLOUT, POLLRDHUP, POLLERR, POLLHUP, POLLNVAL is so now. Locked. Must
	 * not want() nor drop(). False: it is of no interest to anybody. */
	bool (*ready)(void *arg, struct evu_poll *poll, unsigned mask);
	/* The owner is awake, and settles what other threads dropped before it gives up the lock.
	 * Locked. */
	void (*settled)(void *arg);
	/* This process turned out to be a forked child; the engine has new descriptors. Locked. */
	void (*forked)(void *arg);
};

/* `methods`: bit set of allowed methods (1u << enum evu_method). The hooks and arg must outlive the
 * engine. A lock hook that is NULL says that no other thread touches what this engine watches, nor
 * closes its fds, while a turn is going on. */
int evu_engine_new(
    struct evu_engine **engine, unsigned methods, const struct evu_hooks *hooks, void *arg);
/* Polls that are still wanted are forgotten. */
void evu_engine_free(struct evu_engine *engine);

enum evu_method evu_engine_method(const struct evu_engine *engine);
const char *evu_method_name(enum evu_method method);

/* The calling thread starts, or stops, to run turns. `rest`: it may not come back soon. Then
 * nothing but edges stays armed, so that other threads, which could not cancel it, may drop it and
 * close it. */
void evu_engine_enter(struct evu_engine *engine);
void evu_engine_leave(struct evu_engine *engine, bool rest);

/* Sleeps up to timeout_ns (-1: until something happens, 0: not at all) and tells what is ready. 0,
 * or an error when no method works any more. */
int evu_engine_turn(struct evu_engine *engine, int64_t timeout_ns);

/* Ends the present or else the next sleep. */
void evu_engine_wake(struct evu_engine *engine);
/* The same for signal handlers: writing eight bytes, the number 1, to this descriptor. It changes
 * only in forked children. */
int evu_engine_wake_fd(const struct evu_engine *engine);

/* A ring and descriptors of its own for a process that forked. 0, or an error when none can be had.
 */
int evu_engine_reinit(struct evu_engine *engine);

/* Lets what was dropped take effect in the kernel before returning. False: only the owner, another
 * thread, can do that; it will with its next turn (`settled`), and if it sleeps it must be woken.
 */
bool evu_engine_settle(struct evu_engine *engine);
/* True iff dropping has not taken effect yet. */
bool evu_engine_unsettled(const struct evu_engine *engine);
/* True iff the owner sleeps in evu_engine_turn. */
bool evu_engine_asleep(const struct evu_engine *engine);

void evu_poll_init(struct evu_poll *poll, struct evu_engine *engine, int fd);

/* Sets what is watched, anew or instead of what was. `known`: the caller knows that the fd can be
 * polled (it just was); else -EBADF and -EPERM say that it cannot, as epoll_ctl does. On error
 * nothing changed. */
int evu_poll_want(struct evu_poll *poll, unsigned mask, enum evu_watch watch, bool known);
/* Nothing of this fd is told any more. Takes effect in the kernel with evu_engine_settle. */
void evu_poll_drop(struct evu_poll *poll);

#endif
