/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The bufferevent: what its kinds share.
 *
 * struct bufferevent_private is what stock libevent_openssl expects: 632 bytes, with its own fields
 * right behind. Nothing here may grow; the kinds of this library keep what is theirs behind it.
 *
 * Lock: one per bufferevent, shared with both its evbuffers, with a filter's underlying bufferevent
 * and with a pair's partner. NULL without BEV_OPT_THREADSAFE. Order: bufferevent, then base; a
 * rate-limit group's lock inside the bufferevent's (the other way only trying).
 *
 * Life. refcnt counts who may still look: the program (1, until bufferevent_free), each scheduled
 * callback, each internal callback while it runs. At 0 the kind's unlink() runs at once; then all
 * events and callbacks are finalized together, and the finalizer, run by the loop or by
 * event_base_free, calls destruct() and frees the memory.
 */
#ifndef COMPAT_BUFFEREVENT_H
#define COMPAT_BUFFEREVENT_H

#include <netinet/in.h>
#include <sys/socket.h>

#include <event2/bufferevent.h>
#include <event2/bufferevent_struct.h>

#include "base.h"
#include "evbuffer.h"

/* Why reading or writing is suspended: a set. */
#define BEV_SUSPEND_WM 0x01        /* input is at its high watermark */
#define BEV_SUSPEND_BW 0x02        /* the bufferevent's own rate limit */
#define BEV_SUSPEND_BW_GROUP 0x04  /* its group's */
#define BEV_SUSPEND_LOOKUP 0x08    /* a host name is being looked up */
#define BEV_SUSPEND_FILT_READ 0x10 /* the filter on top does not read */

typedef ev_uint16_t bufferevent_suspend_flags;

/* max_single_read and max_single_write as long as the program has not set them. */
#define EVC_MAX_SINGLE_DEFAULT 16384

struct ev_token_bucket {
	ev_ssize_t read_limit, write_limit; /* bytes left; may be below 0 */
	ev_uint32_t last_updated;           /* tick */
};

struct ev_token_bucket_cfg {
	size_t read_rate;    /* bytes a tick */
	size_t read_maximum; /* bytes */
	size_t write_rate;
	size_t write_maximum;
	struct timeval tick_timeout;
	unsigned msec_per_tick;
};

struct bufferevent_private;

struct bufferevent_rate_limit_group {
	LIST_HEAD(rlim_group_member_list, bufferevent_private) members;
	struct ev_token_bucket rate_limit;
	struct ev_token_bucket_cfg rate_limit_cfg;
	unsigned read_suspended : 1;
	unsigned write_suspended : 1;
	unsigned pending_unsuspend_read : 1; /* some member could not be locked; try again */
	unsigned pending_unsuspend_write : 1;
	int n_members;
	ev_ssize_t min_share;            /* what each member may transfer at least; in force */
	ev_ssize_t configured_min_share; /* as the program set it */
	ev_uint64_t total_read;
	ev_uint64_t total_written;
	struct event master_refill_event; /* persistent, once a tick */
	struct evutil_weakrand_state weakrand_seed;
	void *lock;
};

/* Exists once the bufferevent has, or had, a limit or a max_single_* of its own. */
struct bufferevent_rate_limit {
	LIST_ENTRY(bufferevent_private) next_in_group;
	struct bufferevent_rate_limit_group *group; /* or NULL */
	struct ev_token_bucket limit;
	struct ev_token_bucket_cfg *cfg; /* the program's; NULL: no limit of its own */
	ev_ssize_t max_single_read;
	ev_ssize_t max_single_write;
	struct event refill_bucket_event;
};

struct bufferevent_private {
	struct bufferevent bev;
	struct bufferevent_rate_limit *rate_limiting;
	unsigned own_lock : 1;
	unsigned readcb_pending : 1;
	unsigned writecb_pending : 1;
	unsigned connecting : 1;
	unsigned connection_refused : 1;
	short eventcb_pending;
	bufferevent_suspend_flags read_suspended;
	bufferevent_suspend_flags write_suspended;
	int errno_pending; /* for the deferred eventcb */
	int dns_error;
	struct event_callback deferred;
	enum bufferevent_options options;
	int refcnt;
	void *lock;
	/* From here on it is as each kind likes; sockets have other things here. */
	struct evc_connecting {
		union {
			struct sockaddr_storage storage;
			struct sockaddr_in6 in6;
			struct sockaddr_in in;
		} address;
		struct evdns_getaddrinfo_request *dns_request;
	} connecting_to;
	char unused[24];
};
/* The part that all kinds have. */
#define EVC_PRIVATE_COMMON offsetof(struct bufferevent_private, connecting_to)

#define EVC_AT(field, offset)                                                   \
	_Static_assert(offsetof(struct bufferevent_private, field) == (offset), \
	    "stock libevent_openssl looks for " #field " there")
EVC_AT(read_suspended, 404);
EVC_AT(write_suspended, 406);
EVC_AT(options, 456);
EVC_AT(refcnt, 460);
EVC_AT(lock, 464);
_Static_assert(sizeof(struct bufferevent_private) == 632,
    "stock libevent_openssl puts its own fields behind it");

enum bufferevent_ctrl_op {
	BEV_CTRL_SET_FD,
	BEV_CTRL_GET_FD,
	BEV_CTRL_GET_UNDERLYING,
	BEV_CTRL_CANCEL_ALL
};

union bufferevent_ctrl_data {
	void *ptr;
	evutil_socket_t fd;
};

static inline ev_ssize_t evc_max_single_read(const struct bufferevent_private *p)
{
	return p->rate_limiting ? p->rate_limiting->max_single_read : EVC_MAX_SINGLE_DEFAULT;
}

static inline ev_ssize_t evc_max_single_write(const struct bufferevent_private *p)
{
	return p->rate_limiting ? p->rate_limiting->max_single_write : EVC_MAX_SINGLE_DEFAULT;
}

/* A kind of bufferevent. Its functions are called with the lock held. */
struct bufferevent_ops {
	const char *type;
	ev_off_t mem_offset; /* of struct bufferevent in the kind's own struct */
	int (*enable)(struct bufferevent *, short);
	int (*disable)(struct bufferevent *, short);
	void (*unlink)(struct bufferevent *);   /* the last reference is gone */
	void (*destruct)(struct bufferevent *); /* from the finalizer: the last chance */
	int (*adj_timeouts)(struct bufferevent *);
	int (*flush)(struct bufferevent *, short, enum bufferevent_flush_mode);
	int (*ctrl)(struct bufferevent *, enum bufferevent_ctrl_op, union bufferevent_ctrl_data *);
};

extern const struct bufferevent_ops bufferevent_ops_socket;
extern const struct bufferevent_ops bufferevent_ops_filter;
extern const struct bufferevent_ops bufferevent_ops_pair;

#define BEV_IS_SOCKET(b) ((b)->be_ops == &bufferevent_ops_socket)
#define BEV_IS_FILTER(b) ((b)->be_ops == &bufferevent_ops_filter)
#define BEV_IS_PAIR(b) ((b)->be_ops == &bufferevent_ops_pair)

#define BEV_UPCAST(b) evu_container_of((b), struct bufferevent_private, bev)
#define BEV_LOCK(b) EVLOCK_LOCK(BEV_UPCAST(b)->lock, 0)
#define BEV_UNLOCK(b) EVLOCK_UNLOCK(BEV_UPCAST(b)->lock, 0)

/* ---- bufferevent.c. Exported (taken by stock libevent_openssl and libevent_extra). Locked, unless
 * said otherwise. */
/* Not locked. base may be NULL for a pair. 0 or -1; on failure the caller frees its struct. */
int bufferevent_init_common_(struct bufferevent_private *bev, struct event_base *base,
    const struct bufferevent_ops *ops, enum bufferevent_options options);
void bufferevent_suspend_read_(struct bufferevent *bev, bufferevent_suspend_flags what);
void bufferevent_unsuspend_read_(struct bufferevent *bev, bufferevent_suspend_flags what);
void bufferevent_suspend_write_(struct bufferevent *bev, bufferevent_suspend_flags what);
void bufferevent_unsuspend_write_(struct bufferevent *bev, bufferevent_suspend_flags what);
/* As bufferevent_disable, also while connecting. Not locked. */
int bufferevent_disable_hard_(struct bufferevent *bev, short event);
/* lock NULL: allocates one. */
int bufferevent_enable_locking_(struct bufferevent *bev, void *lock);
void bufferevent_incref_and_lock_(struct bufferevent *bev);  /* not locked on entry */
int bufferevent_decref_and_unlock_(struct bufferevent *bev); /* 1 if that was the last reference */
/* Run the program's callbacks, now or deferred. `options`: enum bufferevent_trigger_options. */
void bufferevent_run_readcb_(struct bufferevent *bev, int options);
void bufferevent_run_writecb_(struct bufferevent *bev, int options);
void bufferevent_run_eventcb_(struct bufferevent *bev, short what, int options);
/* event_add with tv, or without a timeout if tv is zero. */
int bufferevent_add_event_(struct event *ev, const struct timeval *tv);
void bufferevent_init_generic_timeout_cbs_(struct bufferevent *bev);
int bufferevent_generic_adj_timeouts_(struct bufferevent *bev);
int bufferevent_generic_adj_existing_timeouts_(struct bufferevent *bev);
enum bufferevent_options bufferevent_get_options_(struct bufferevent *bev); /* not locked */

/* The callbacks if the watermarks allow them. */
static inline void bufferevent_trigger_nolock_(struct bufferevent *bev, short iotype, int options)
{
	bool always = options & BEV_TRIG_IGNORE_WATERMARKS;

	if (iotype & EV_READ && (always || bev->input->total_len >= bev->wm_read.low))
		bufferevent_run_readcb_(bev, options);
	if (iotype & EV_WRITE && (always || bev->output->total_len <= bev->wm_write.low))
		bufferevent_run_writecb_(bev, options);
}

#define BEV_RESET_GENERIC_READ_TIMEOUT(b)                             \
	do {                                                          \
		if (evutil_timerisset(&(b)->timeout_read))            \
			event_add(&(b)->ev_read, &(b)->timeout_read); \
	} while (0)
#define BEV_RESET_GENERIC_WRITE_TIMEOUT(b)                              \
	do {                                                            \
		if (evutil_timerisset(&(b)->timeout_write))             \
			event_add(&(b)->ev_write, &(b)->timeout_write); \
	} while (0)
#define BEV_DEL_GENERIC_READ_TIMEOUT(b) event_del(&(b)->ev_read)
#define BEV_DEL_GENERIC_WRITE_TIMEOUT(b) event_del(&(b)->ev_write)

/* ---- bufferevent_ratelim.c. Exported. Locked (bufferevent). */
int bufferevent_ratelim_init_(struct bufferevent_private *bev);
ev_ssize_t bufferevent_get_read_max_(struct bufferevent_private *bev);
ev_ssize_t bufferevent_get_write_max_(struct bufferevent_private *bev);
int bufferevent_decrement_read_buckets_(struct bufferevent_private *bev, ev_ssize_t bytes);
int bufferevent_decrement_write_buckets_(struct bufferevent_private *bev, ev_ssize_t bytes);
/* unsuspend: also ends the suspensions that the group caused. */
int bufferevent_remove_from_rate_limit_group_internal_(struct bufferevent *bev, int unsuspend);
int ev_token_bucket_init_(struct ev_token_bucket *bucket, const struct ev_token_bucket_cfg *cfg,
    ev_uint32_t current_tick, int reinitialize);
int ev_token_bucket_update_(struct ev_token_bucket *bucket, const struct ev_token_bucket_cfg *cfg,
    ev_uint32_t current_tick);
ev_uint32_t ev_token_bucket_get_tick_(
    const struct timeval *tv, const struct ev_token_bucket_cfg *cfg);
/* Frees what bev has for rate limits, for the finalizer; it is in no group any more. */
void evc_ratelim_fini(struct bufferevent_private *bev);

/* ---- bufferevent_connect.c. Exported. */
const struct sockaddr *bufferevent_socket_get_conn_address_(struct bufferevent *bev);
void bufferevent_socket_set_conn_address_fd_(struct bufferevent *bev, evutil_socket_t fd);
/* 0, or EVUTIL_EAI_FAIL if the address is too long (Debian's version returns this). */
int bufferevent_socket_set_conn_address_(
    struct bufferevent *bev, struct sockaddr *addr, size_t addrlen);
/* ---- bufferevent_sock.c */
/* What a socket bufferevent needs while it connects, and remembers of it; NULL: no memory, or, if
 * it is not to be `made`, there is none yet. Locked. */
struct evc_connecting *evc_sock_connecting(struct bufferevent *bev, bool made);
/* The memory of the bufferevent and that of its buffers is one piece, and goes when all three are
 * gone, with the lock if that is the bufferevent's own. */
void evc_sock_memory_gone(struct bufferevent *bev);
void evc_sock_buffer_gone(struct evbuffer *buf);
/* The output of a socket bufferevent has changed. Locked. */
void evc_sock_output_changed(struct evbuffer *output, size_t n_added, size_t n_deleted);
/* The program changed what limits a read (high watermark, rate limit, max_single_read): the way of
 * reading may have to change. Locked; any kind. */
void evc_sock_limits_changed(struct bufferevent *bev);
/* bufferevent_disable(EV_READ) by the program: what the kernel has handed over already goes to the
 * input buffer. Locked; any kind. */
void evc_sock_absorb(struct bufferevent *bev);
/* Reading is enabled: if the input has become full by what the kernel had handed over, the readcb
 * is told, for nothing else will come. Locked; any kind. */
void evc_sock_announce(struct bufferevent *bev);
/* The filter on top reads again: it is told of what lies in the input already. Stock reads so
 * little at once that more is always to come; filters count on being called for that. Locked; any
 * kind. */
void evc_sock_filter_resumes(struct bufferevent *bev);

#endif
