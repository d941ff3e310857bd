/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The seam: all that the rooms above may know of the engine.
 *
 * An engine watches file descriptors and sleeps. Whoever embeds it keeps one struct evu_poll per
 * fd, tells what it wants to know of the fd (evu_poll_want), and is told through the `ready` hook
 * what is so. Nothing here ever calls the program.
 *
 * Where the kernel can do more than tell (evu_engine_moves_data), it also receives, accepts and
 * sends by itself: see struct evu_intake and struct evu_send below.
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
#include <sys/socket.h>
#include <sys/uio.h>

#include "heap.h"
#include "list.h"
#include "mem.h"
#include "words.h"

/* Best first: the engine opens the first one that is allowed and works. */
enum evu_method { EVU_IO_URING, EVU_EPOLL, EVU_POLL2, EVU_NMETHODS };

enum evu_watch {
	EVU_ONCE,  /* told once; want() again to be told again */
	EVU_LEVEL, /* told once a turn while it is so */
	EVU_EDGE,  /* told when it becomes so */
	/* Beside an intake of connections, whose `beside` it is: told when it becomes so, and none
	 * has come in since. */
	EVU_BESIDE,
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
	bool parked; /* not wanted any more, but still registered: see evu_poll_park */
	uint8_t tired; /* so often it is not parked */
	bool bare;     /* the fd has no poll method and is always ready: it lives on the hot list */
};

/*
 * A request that moves data by itself: receives, accepts or sends.
 *
 * start() only marks, the next turn arms. halt() stops it: nothing more is received, accepted or
 * sent by the time it returns, although the kernel hears of it only with the next entry (a request
 * makes progress only while the loop's thread is in the kernel, and cancels go in first). Until
 * then the file stays open if the program closes it: whoever gives the fd away calls
 * evu_request_drop and evu_engine_settle. A thread that does not loop has to do that as well.
 *
 * The memory is the embedder's, and the kernel's until evu_request_over().
 */
struct evu_request {
	struct evu_engine *engine;
	struct evu_op *op;    /* the request in the kernel, NULL when there is none */
	struct evu_link link; /* on the list of what the next flush arms, or cancels */
	int fd;
	uint8_t kind; /* enum evu_request_kind */
	bool wanted;  /* goes on: is armed again when it ends without a reason */
	bool halting; /* on the list of what the next flush cancels */
	bool renewed; /* cancelled to be armed anew, with other terms */
};

/* A piece of what came in. */
struct evu_item {
	struct evu_item *next;
	void *data;     /* a block; NULL if the embedder kept it */
	unsigned start; /* first byte of it that was not taken yet */
	unsigned end;   /* behind the last byte */
	int fd;         /* an accepted connection, or -1 */
	bool bulk;      /* the block has EVU_BULK_SIZE bytes, not EVU_BLOCK_SIZE */
};

/* What evu_intake.end says beside -errno. */
#define EVU_END_OF_FILE 1

/*
 * What comes in by itself from a socket: bytes, or connections. What has come waits here, in order,
 * until the embedder takes it; then, if `end` is set, why nothing more will come: EVU_END_OF_FILE,
 * -ENOBUFS (no buffer was free: read it yourself and start again), or another error. The embedder
 * clears it to start again.
 */
struct evu_intake {
	struct evu_request req;
	struct evu_item *first;
	struct evu_item **last; /* where the next one goes */
	union {
		struct evu_link unsure;  /* EVU_RECV: on the list of those whose end may have
					    gone unnoticed */
		struct evu_poll *beside; /* EVU_ACCEPT: the embedder's, or NULL */
	};
	unsigned queued; /* how much waits: bytes, or so many for each connection */
	int end;
	uint16_t cap; /* EVU_RECV: what the next receive may bring; 0: any amount, again and again
		       */
	uint16_t armed_cap;       /* the same, of the present one */
	bool nonempty : 1;        /* there was more in the socket when the last bytes came */
	bool bulk : 1;            /* EVU_RECV: it brings so much that large blocks are worth it */
	bool armed_bulk : 1;      /* the present receive has large blocks */
	bool used : 1;            /* bytes came since idle receives were last looked for */
	bool fresh : 1;           /* EVU_RECV: nothing has come since it was armed */
	bool idle : 1;            /* a poll waits in the place of a receive */
	bool accept_cloexec : 1;  /* EVU_ACCEPT: connections are closed by exec(); the embedder's */
	bool accept_nonblock : 1; /* and do not block; likewise */
	uint8_t doubts;           /* how often the other size would have been better */
};

/* When so many bytes wait, nothing more is received until they are taken and it is started again; a
 * connection counts for EVU_INTAKE_CONNECTION of them. */
#define EVU_INTAKE_MOST (256u * 1024)
#define EVU_INTAKE_CONNECTION 1024u

/* So many bytes has a buffer that the kernel receives into, and so many one for flows that fill the
 * others one after the other. */
#define EVU_BLOCK_SIZE 16384u
#define EVU_BULK_SIZE 65536u

/* How many pieces one send has at most. */
#define EVU_SEND_VECS 16

/* One send. The pieces, and what they lie in, stay as they are until it is over. */
struct evu_send {
	struct evu_request req;
	int result; /* bytes sent, or -errno; -EINPROGRESS until there is one */
	int n_vecs;
	void *ctx;             /* the embedder's */
	struct evu_send *next; /* the engine's */
	struct msghdr msg;     /* the engine's */
	struct iovec vecs[EVU_SEND_VECS];
	void *owners[EVU_SEND_VECS]; /* the embedder's */
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
	/* Something came in, or ended. Locked; may come with any call. NULL: no data is moved. */
	void (*arrived)(void *arg, struct evu_intake *in);
	/* `send` has its result. Locked, as above. */
	void (*sent)(void *arg, struct evu_send *send);
	/* Memory for EVU_BLOCK_SIZE bytes, or EVU_BULK_SIZE; NULL: there is none. Any thread. */
	void *(*block_new)(void *arg, bool bulk);
	void (*block_free)(void *arg, void *data);
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

/* Before it sleeps a turn looks for so long whether something comes: less delay for CPU time. At
 * most EVU_SPIN_MOST; 0, as at first: not at all. */
#define EVU_SPIN_MOST 1000000
void evu_engine_spin(struct evu_engine *engine, int64_t ns);

/* Ends the present or else the next sleep. */
void evu_engine_wake(struct evu_engine *engine);
/* The same for signal handlers: writing eight bytes, the number 1, to this descriptor. It changes
 * only in forked children. */
int evu_engine_wake_fd(const struct evu_engine *engine);

/* A ring and descriptors of its own for a process that forked. 0, or an error when none can be had.
 */
int evu_engine_reinit(struct evu_engine *engine);

/* In a forked child: lets go of what is the parent's. Most calls do. */
void evu_engine_guard(struct evu_engine *engine);

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
/* The same for a poll that may come back: its registration may stay in the kernel, where that keeps
 * no file open, until evu_poll_drop or the engine's end. True iff evu_engine_settle has something
 * to do. */
bool evu_poll_park(struct evu_poll *poll);

/* ---- data */

/* True iff the engine's ring receives, or accepts, or sends by itself. It may change with any turn:
 * to false, when io_uring is lost; then everything that was started ends with -EOPNOTSUPP. */
bool evu_engine_moves_data(const struct evu_engine *engine, enum evu_request_kind kind);

void evu_intake_init(struct evu_intake *in, struct evu_engine *engine, enum evu_request_kind kind);
/* Takes in what comes to `fd` from now on, in the next turns. Does nothing while `end` is set, or
 * EVU_INTAKE_MOST bytes wait (then req.wanted turns false by itself). With
 * a cap only once: the embedder takes what came and starts again, with the next cap. Starting with
 * a lower cap than that of the receive that is armed renews that one. */
void evu_intake_start(struct evu_intake *in, int fd, unsigned cap);
/* All that has come, in order; the caller's until evu_item_give(). NULL: nothing. */
struct evu_item *evu_intake_take(struct evu_intake *in);
/* Puts back what was not used: the list, from `item` on, comes first again. */
void evu_intake_put_back(struct evu_intake *in, struct evu_item *item);
/* The first that has come, or NULL. */
struct evu_item *evu_intake_pop(struct evu_intake *in);
static inline bool evu_intake_pending(const struct evu_intake *in)
{
	return in->first || in->end;
}
/* Gives an item back, with its block, unless item->data was set to NULL. Its fd is the caller's. */
void evu_item_give(struct evu_engine *engine, struct evu_item *item);

/* A send with room for EVU_SEND_VECS pieces; NULL: no memory. The caller fills in vecs, n_vecs. */
struct evu_send *evu_send_new(struct evu_engine *engine);
/* With the next turn. `result` tells how it went: possibly less than everything was sent. */
void evu_send_start(struct evu_send *send, int fd);
/* It must be over. */
void evu_send_free(struct evu_send *send);

void evu_request_halt(struct evu_request *req);
/* The same, and it takes effect in the kernel with evu_engine_settle. */
void evu_request_drop(struct evu_request *req);
/* True iff the kernel knows nothing of it any more. */
static inline bool evu_request_over(const struct evu_request *req)
{
	return !req->op && !evu_link_linked(&req->link);
}
/* Ends all requests for good, by closing the ring, for a thread that may not settle and cannot wait
 * for the owner. What is wanted goes on with the next turn. */
void evu_engine_abandon(struct evu_engine *engine);

#endif
