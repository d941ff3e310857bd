/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The evutil functions that event2/util.h does not declare.
 *
 * Names that end in an underscore are exported by Debian's libevent_core and taken by its sister
 * libraries (libevent_extra, libevent_openssl), so names, signatures and the layouts of the two
 * structs below are fixed.
 *
 * Include this header before any system header: it asks for glibc's extensions.
 */
#ifndef EVUTIL_PRIV_H
#define EVUTIL_PRIV_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <event2/util.h>

/* ---- errors of the socket calls, by what to do about them ---- */

/* True iff a read or write that failed with e may simply be tried again later. */
#define EVUTIL_ERR_IS_EAGAIN(e) ((e) == EAGAIN)
#define EVUTIL_ERR_RW_RETRIABLE(e) ((e) == EINTR || EVUTIL_ERR_IS_EAGAIN(e))
/* True iff a connect that failed with e goes on in the background. */
#define EVUTIL_ERR_CONNECT_RETRIABLE(e) ((e) == EINTR || (e) == EINPROGRESS)
/* True iff an accept that failed with e says nothing about the next one. */
#define EVUTIL_ERR_ACCEPT_RETRIABLE(e) (EVUTIL_ERR_RW_RETRIABLE(e) || (e) == ECONNABORTED)
/* True iff nobody listens there. */
#define EVUTIL_ERR_CONNECT_REFUSED(e) ((e) == ECONNREFUSED)

/* ---- text (evutil.c) ---- */

/* ctype for bytes that go over the wire: ASCII whatever the locale says, 0 or 1. */
int EVUTIL_ISALPHA_(char c);
int EVUTIL_ISALNUM_(char c);
int EVUTIL_ISSPACE_(char c);
int EVUTIL_ISDIGIT_(char c);
int EVUTIL_ISXDIGIT_(char c);
int EVUTIL_ISPRINT_(char c);
int EVUTIL_ISLOWER_(char c);
int EVUTIL_ISUPPER_(char c);
char EVUTIL_TOUPPER_(char c);
char EVUTIL_TOLOWER_(char c);

/* The value of a hexadecimal digit, -1 for anything else. */
int evutil_hex_char_to_int_(char c);

/* Cut spaces and tabs off the end; NULL is allowed. */
void evutil_rtrim_lws_(char *str);

/* BSD's strlcpy: the length of src, which is >= siz if it did not fit. */
size_t event_strlcpy_(char *dst, const char *src, size_t siz);

/* ---- process and files (evutil.c) ---- */

/* getenv, but NULL in a setuid or setgid program. */
const char *evutil_getenv_(const char *name);

/* memset through a pointer that no compiler may look through. */
extern void *(*volatile evutil_memset_volatile_)(void *, int, size_t);
/* Zero memory that held a secret. */
void evutil_memclear_(void *mem, size_t len);

int evutil_open_closeonexec_(const char *pathname, int flags, unsigned mode);

/*
 * The whole file as a string of *len_out bytes and a NUL, for the caller to mm_free.
 * 0, or -1 if it cannot be opened, -2 if anything else fails (then *content_out is NULL).
 */
int evutil_read_file_(const char *filename, char **content_out, size_t *len_out, int is_binary);

/* There are no globals that need a lock or must be freed; kept for those who call them. */
int evutil_global_setup_locks_(const int enable_locks);
void evutil_free_globals_(void);

/* ---- random numbers (evutil_rand.c) ---- */

/* A cheap generator for spreading and shuffling; no secret may depend on it. */
struct evutil_weakrand_state {
	ev_uint32_t seed; /* the last value that was handed out */
};
#define EVUTIL_WEAKRAND_MAX EV_INT32_MAX

/* Seed 0 means "take the clock and the pid". Returns the seed in use. */
ev_uint32_t evutil_weakrand_seed_(struct evutil_weakrand_state *state, ev_uint32_t seed);
/* 0 ... EVUTIL_WEAKRAND_MAX; the caller holds the lock that guards the state, if any. */
ev_int32_t evutil_weakrand_(struct evutil_weakrand_state *state);
/* 0 ... top - 1, with top > 0. */
ev_int32_t evutil_weakrand_range_(struct evutil_weakrand_state *state, ev_int32_t top);

int evutil_secure_rng_global_setup_locks_(const int enable_locks);
void evutil_free_secure_rng_globals_(void);

/* ---- time (evutil_time.c) ---- */

struct evutil_monotonic_timer {
	int monotonic_clock;                   /* a clockid_t, or -1: the ratcheted wall clock */
	struct timeval adjust_monotonic_clock; /* what the ratchet adds to the wall clock */
	struct timeval last_time;              /* what the ratchet answered last */
};

int evutil_configure_monotonic_time_(struct evutil_monotonic_timer *mt, int flags);
int evutil_gettime_monotonic_(struct evutil_monotonic_timer *mt, struct timeval *tv);

/* Milliseconds, rounded up; -1 if that does not fit or tv is not normalized. */
long evutil_tv_to_msec_(const struct timeval *tv);
/* Sleep; a signal ends it early. NULL does nothing. */
void evutil_usleep_(const struct timeval *tv);

/* ---- sockets (evutil_sock.c) ---- */

#define EVUTIL_SOCK_NONBLOCK SOCK_NONBLOCK
#define EVUTIL_SOCK_CLOEXEC SOCK_CLOEXEC

evutil_socket_t evutil_socket_(int domain, int type, int protocol);
evutil_socket_t evutil_accept4_(
    evutil_socket_t sockfd, struct sockaddr *addr, ev_socklen_t *addrlen, int flags);
evutil_socket_t evutil_eventfd_(unsigned initval, int flags);
/* fd[1] writes to fd[0]; both non-blocking and close-on-exec. On failure both are -1. */
int evutil_make_internal_pipe_(evutil_socket_t fd[2]);
/* A connected pair of TCP sockets over 127.0.0.1, for AF_INET and AF_UNIX alike. */
int evutil_ersatz_socketpair_(int family, int type, int protocol, evutil_socket_t fd[2]);

/*
 * Start to connect *fd_ptr, which is made first if it is negative.
 * 1 connected, 0 on its way, 2 refused, -1 failed (a socket made here is closed again).
 */
int evutil_socket_connect_(evutil_socket_t *fd_ptr, const struct sockaddr *sa, int socklen);
/* 1 connected, 0 not yet, -1 failed with errno saying why. */
int evutil_socket_finished_connecting_(evutil_socket_t fd);

/* ---- addresses (evutil_addr.c) ---- */

/* "a.b.c.d:port", "[v6]:port" or a note about the family; always returns out. */
const char *evutil_format_sockaddr_port_(const struct sockaddr *sa, char *out, size_t outlen);
int evutil_sockaddr_is_loopback_(const struct sockaddr *sa);
/* True iff an interface with only such addresses does not lead to the internet. */
int evutil_v4addr_is_local_(const struct in_addr *in);
int evutil_v6addr_is_local_(const struct in6_addr *in);

/* ---- name lookup (evutil_gai.c) ---- */

/* evutil_getaddrinfo_common_ could not answer: a resolver has to be asked. */
#define EVUTIL_EAI_NEED_RESOLVE -90002

struct evdns_base;
struct evdns_getaddrinfo_request;
typedef struct evdns_getaddrinfo_request *(*evdns_getaddrinfo_fn)(struct evdns_base *base,
    const char *nodename, const char *servname, const struct evutil_addrinfo *hints_in,
    void (*cb)(int, struct evutil_addrinfo *, void *), void *arg);
typedef void (*evdns_getaddrinfo_cancel_fn)(struct evdns_getaddrinfo_request *req);

/* libevent_extra announces its resolver here, so that core need not link to it. The first wins. */
void evutil_set_evdns_getaddrinfo_fn_(evdns_getaddrinfo_fn fn);
void evutil_set_evdns_getaddrinfo_cancel_fn_(evdns_getaddrinfo_cancel_fn fn);

/*
 * Look up with the announced resolver if there is one and dns_base is given; otherwise block in
 * libc's, call cb before returning, and return NULL. cb owns the list it is given.
 */
struct evdns_getaddrinfo_request *evutil_getaddrinfo_async_(struct evdns_base *dns_base,
    const char *nodename, const char *servname, const struct evutil_addrinfo *hints_in,
    void (*cb)(int, struct evutil_addrinfo *, void *), void *arg);
void evutil_getaddrinfo_cancel_async_(struct evdns_getaddrinfo_request *data);

/* One entry for sa, or a TCP and a UDP one if the hints leave that open. NULL: out of memory. */
struct evutil_addrinfo *evutil_new_addrinfo_(
    struct sockaddr *sa, ev_socklen_t socklen, const struct evutil_addrinfo *hints);
/* The two lists as one; either may be NULL. */
struct evutil_addrinfo *evutil_addrinfo_append_(
    struct evutil_addrinfo *first, struct evutil_addrinfo *append);
/* AI_ADDRCONFIG without a family: narrow the family to what this host's interfaces have. */
void evutil_adjust_hints_for_addrconfig_(struct evutil_addrinfo *hints);
/*
 * All of getaddrinfo that needs no resolver. 0 with *res set; an EVUTIL_EAI_ error; or
 * EVUTIL_EAI_NEED_RESOLVE with *portnum set. Fills in the hints' socktype and protocol.
 */
int evutil_getaddrinfo_common_(const char *nodename, const char *servname,
    struct evutil_addrinfo *hints, struct evutil_addrinfo **res, int *portnum);

#endif
