/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Looking up names.
 *
 * evutil_getaddrinfo() is the C library's getaddrinfo(), which blocks. The rest serves resolvers
 * that do not: they ask evutil_getaddrinfo_common_() first, which answers whatever needs no
 * lookup, and build their results from the same parts.
 *
 * Ownership: a list comes either from the C library or, entry by entry, from mm_calloc here. The
 * entries made here carry OWN_ENTRY in ai_flags, and evutil_freeaddrinfo() goes by the first one,
 * so the two kinds must never be joined.
 *
 * Trap: without hints the C library would assume AI_V4MAPPED | AI_ADDRCONFIG; here no hints mean
 * no flags.
 */
#include "evutil_priv.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "mm.h"

/* Outside of what the C library uses; part of the ABI, libevent_extra's lists are made with it. */
#define OWN_ENTRY 0x80000000u

/* ---- lists ---- */

static struct evutil_addrinfo *new_entry(
    const struct sockaddr *sa, ev_socklen_t socklen, int socktype, int protocol)
{
	struct evutil_addrinfo *ai = mm_calloc(1, sizeof(*ai) + socklen);
	if (ai == NULL)
		return NULL;
	ai->ai_addr = (struct sockaddr *)(ai + 1);
	memcpy(ai->ai_addr, sa, socklen);
	ai->ai_addrlen = socklen;
	ai->ai_family = sa->sa_family;
	ai->ai_flags = (int)OWN_ENTRY;
	ai->ai_socktype = socktype;
	ai->ai_protocol = protocol;
	return ai;
}

struct evutil_addrinfo *evutil_new_addrinfo_(
    struct sockaddr *sa, ev_socklen_t socklen, const struct evutil_addrinfo *hints)
{
	evc_assert(hints);
	if (hints->ai_socktype != 0 || hints->ai_protocol != 0)
		return new_entry(sa, socklen, hints->ai_socktype, hints->ai_protocol);

	struct evutil_addrinfo *tcp = new_entry(sa, socklen, SOCK_STREAM, IPPROTO_TCP);
	if (tcp == NULL)
		return NULL;
	tcp->ai_next = new_entry(sa, socklen, SOCK_DGRAM, IPPROTO_UDP);
	if (tcp->ai_next == NULL) {
		mm_free(tcp);
		return NULL;
	}
	return tcp;
}

struct evutil_addrinfo *evutil_addrinfo_append_(
    struct evutil_addrinfo *first, struct evutil_addrinfo *append)
{
	struct evutil_addrinfo **end = &first;
	while (*end != NULL)
		end = &(*end)->ai_next;
	*end = append;
	return first;
}

void evutil_freeaddrinfo(struct evutil_addrinfo *ai)
{
	if (ai == NULL || !((unsigned)ai->ai_flags & OWN_ENTRY)) {
		freeaddrinfo(ai);
		return;
	}
	while (ai != NULL) {
		struct evutil_addrinfo *next = ai->ai_next;
		if (ai->ai_canonname != NULL)
			mm_free(ai->ai_canonname);
		mm_free(ai);
		ai = next;
	}
}

/* ---- which families this host can use ---- */

enum {
	FAMILIES_KNOWN = 1,
	FAMILY_V4 = 2,
	FAMILY_V6 = 4,
};

/* The bit of the family of sa if that address leads beyond this host and its link. */
static int family_bit(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *sin = (const void *)sa;
		return evutil_v4addr_is_local_(&sin->sin_addr) ? 0 : FAMILY_V4;
	}
	if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *sin6 = (const void *)sa;
		return evutil_v6addr_is_local_(&sin6->sin6_addr) ? 0 : FAMILY_V6;
	}
	return 0;
}

/* The address that the kernel would send from. Connecting a UDP socket sends nothing. */
static int family_by_route(const struct sockaddr *to, socklen_t to_len)
{
	struct sockaddr_storage from;
	socklen_t from_len = sizeof(from);
	int bit = 0;

	int fd = socket(to->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	if (connect(fd, to, to_len) == 0 &&
	    getsockname(fd, (struct sockaddr *)&from, &from_len) == 0)
		bit = family_bit((struct sockaddr *)&from);
	evutil_closesocket(fd);
	return bit;
}

/*
 * For processes that a sandbox denies netlink sockets. Any address of the wide internet does;
 * these two belong to a root name server.
 */
static int families_by_route(void)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(53)};
	struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6, .sin6_port = htons(53)};

	inet_pton(AF_INET, "199.7.83.42", &sin.sin_addr);
	inet_pton(AF_INET6, "2001:500:9f::42", &sin6.sin6_addr);
	return family_by_route((struct sockaddr *)&sin, sizeof(sin)) |
	       family_by_route((struct sockaddr *)&sin6, sizeof(sin6));
}

static int families_by_interface(void)
{
	struct ifaddrs *list;
	int found = 0;

	if (getifaddrs(&list) < 0) {
		event_warn("Unable to call getifaddrs()");
		return families_by_route();
	}
	for (const struct ifaddrs *i = list; i != NULL; i = i->ifa_next)
		if (i->ifa_addr != NULL)
			found |= family_bit(i->ifa_addr);
	freeifaddrs(list);
	return found;
}

/* Asked once in the life of the process. Two threads may both ask: they get the same answer. */
static int usable_families(void)
{
	static atomic_int known;
	int families = atomic_load_explicit(&known, memory_order_relaxed);

	if (families == 0) {
		families = FAMILIES_KNOWN | families_by_interface();
		atomic_store_explicit(&known, families, memory_order_relaxed);
	}
	return families & ~FAMILIES_KNOWN;
}

void evutil_adjust_hints_for_addrconfig_(struct evutil_addrinfo *hints)
{
	if (!(hints->ai_flags & EVUTIL_AI_ADDRCONFIG) || hints->ai_family != AF_UNSPEC)
		return;
	int families = usable_families();
	if (families == FAMILY_V4)
		hints->ai_family = AF_INET;
	else if (families == FAMILY_V6)
		hints->ai_family = AF_INET6;
}

/* ---- what needs no lookup ---- */

/* A socket type and a protocol follow from each other where there is no choice. */
static void infer_protocol(struct evutil_addrinfo *hints)
{
	if (hints->ai_protocol == 0) {
		if (hints->ai_socktype == SOCK_DGRAM)
			hints->ai_protocol = IPPROTO_UDP;
		else if (hints->ai_socktype == SOCK_STREAM)
			hints->ai_protocol = IPPROTO_TCP;
	}
	if (hints->ai_socktype == 0) {
		if (hints->ai_protocol == IPPROTO_UDP)
			hints->ai_socktype = SOCK_DGRAM;
		else if (hints->ai_protocol == IPPROTO_TCP || hints->ai_protocol == IPPROTO_SCTP)
			hints->ai_socktype = SOCK_STREAM;
	}
}

/* -1 if it is no number or no port. As strtol reads it: spaces and a sign may lead. */
static int numeric_port(const char *servname)
{
	char *end;
	int port = (int)strtol(servname, &end, 10);

	if (*servname == '\0' || *end != '\0' || port < 0 || port > 65535)
		return -1;
	return port;
}

/* The name of the protocol goes into buf if it has to be looked up. NULL means any protocol. */
static const char *protocol_name(int protocol, char *buf, size_t len)
{
	struct protoent ent, *found = NULL;

	switch (protocol) {
	case 0:
		return NULL;
	case IPPROTO_TCP:
		return "tcp";
	case IPPROTO_UDP:
		return "udp";
	case IPPROTO_SCTP:
		return "sctp";
	}
	getprotobynumber_r(protocol, &ent, buf, len, &found);
	return found != NULL ? found->p_name : NULL;
}

/* -1 if nothing is known under that name. */
static int service_port(const char *servname, const struct evutil_addrinfo *hints)
{
	char proto_buf[1024], serv_buf[1024];
	struct servent ent, *found = NULL;
	int port = numeric_port(servname);

	if (port >= 0 || (hints->ai_flags & EVUTIL_AI_NUMERICSERV))
		return port;
	const char *proto = protocol_name(hints->ai_protocol, proto_buf, sizeof(proto_buf));
	getservbyname_r(servname, proto, &ent, serv_buf, sizeof(serv_buf), &found);
	return found != NULL ? ntohs((uint16_t)found->s_port) : -1;
}

/* No name: every address to listen at, or this host to connect to. IPv4 comes first. */
static int nameless(int port, const struct evutil_addrinfo *hints, struct evutil_addrinfo **res)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
	struct evutil_addrinfo *v4 = NULL, *v6 = NULL;

	if (!(hints->ai_flags & EVUTIL_AI_PASSIVE)) {
		sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		sin6.sin6_addr = in6addr_loopback;
	}
	if (hints->ai_family != AF_INET) {
		v6 = evutil_new_addrinfo_((struct sockaddr *)&sin6, sizeof(sin6), hints);
		if (v6 == NULL)
			return EVUTIL_EAI_MEMORY;
	}
	if (hints->ai_family != AF_INET6) {
		v4 = evutil_new_addrinfo_((struct sockaddr *)&sin, sizeof(sin), hints);
		if (v4 == NULL) {
			evutil_freeaddrinfo(v6);
			return EVUTIL_EAI_MEMORY;
		}
	}
	*res = evutil_addrinfo_append_(v4, v6);
	return 0;
}

/* The name is an address. EVUTIL_EAI_NEED_RESOLVE if it is not. */
static int literal(const char *nodename, int port, const struct evutil_addrinfo *hints,
    struct evutil_addrinfo **res)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};

	if (hints->ai_family != AF_INET &&
	    evutil_inet_pton_scope(AF_INET6, nodename, &sin6.sin6_addr, &sin6.sin6_scope_id) == 1) {
		*res = evutil_new_addrinfo_((struct sockaddr *)&sin6, sizeof(sin6), hints);
		return *res != NULL ? 0 : EVUTIL_EAI_MEMORY;
	}
	if (hints->ai_family != AF_INET6 &&
	    evutil_inet_pton(AF_INET, nodename, &sin.sin_addr) == 1) {
		*res = evutil_new_addrinfo_((struct sockaddr *)&sin, sizeof(sin), hints);
		return *res != NULL ? 0 : EVUTIL_EAI_MEMORY;
	}
	return EVUTIL_EAI_NEED_RESOLVE;
}

int evutil_getaddrinfo_common_(const char *nodename, const char *servname,
    struct evutil_addrinfo *hints, struct evutil_addrinfo **res, int *portnum)
{
	int port = 0;

	if (nodename == NULL && servname == NULL)
		return EVUTIL_EAI_NONAME;
	if (hints->ai_family != AF_UNSPEC && hints->ai_family != AF_INET &&
	    hints->ai_family != AF_INET6)
		return EVUTIL_EAI_FAMILY;
	infer_protocol(hints);
	if (servname != NULL) {
		port = service_port(servname, hints);
		if (port < 0)
			return EVUTIL_EAI_NONAME;
	}
	if (nodename == NULL)
		return nameless(port, hints, res);
	int r = literal(nodename, port, hints, res);
	if (r != EVUTIL_EAI_NEED_RESOLVE)
		return r;
	if (hints->ai_flags & EVUTIL_AI_NUMERICHOST)
		return EVUTIL_EAI_NONAME;
	*portnum = port;
	return EVUTIL_EAI_NEED_RESOLVE;
}

/* ---- lookup ---- */

int evutil_getaddrinfo(const char *nodename, const char *servname,
    const struct evutil_addrinfo *hints_in, struct evutil_addrinfo **res)
{
	struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC};

	if (hints_in != NULL)
		hints = *hints_in;
	hints.ai_flags &= (int)~OWN_ENTRY;
	return getaddrinfo(nodename, servname, &hints, res);
}

/* Set by libevent_extra's evdns_base_new(), possibly in several threads, but to one value. */
static _Atomic(evdns_getaddrinfo_fn) evdns_getaddrinfo_impl;
static _Atomic(evdns_getaddrinfo_cancel_fn) evdns_getaddrinfo_cancel_impl;

void evutil_set_evdns_getaddrinfo_fn_(evdns_getaddrinfo_fn fn)
{
	evdns_getaddrinfo_fn unset = NULL;
	atomic_compare_exchange_strong(&evdns_getaddrinfo_impl, &unset, fn);
}

void evutil_set_evdns_getaddrinfo_cancel_fn_(evdns_getaddrinfo_cancel_fn fn)
{
	evdns_getaddrinfo_cancel_fn unset = NULL;
	atomic_compare_exchange_strong(&evdns_getaddrinfo_cancel_impl, &unset, fn);
}

struct evdns_getaddrinfo_request *evutil_getaddrinfo_async_(struct evdns_base *dns_base,
    const char *nodename, const char *servname, const struct evutil_addrinfo *hints_in,
    void (*cb)(int, struct evutil_addrinfo *, void *), void *arg)
{
	evdns_getaddrinfo_fn resolve = atomic_load(&evdns_getaddrinfo_impl);
	struct evutil_addrinfo *res = NULL;

	if (dns_base != NULL && resolve != NULL)
		return resolve(dns_base, nodename, servname, hints_in, cb, arg);
	int err = evutil_getaddrinfo(nodename, servname, hints_in, &res);
	cb(err, res, arg);
	return NULL;
}

void evutil_getaddrinfo_cancel_async_(struct evdns_getaddrinfo_request *data)
{
	evdns_getaddrinfo_cancel_fn cancel = atomic_load(&evdns_getaddrinfo_cancel_impl);

	if (cancel != NULL && data != NULL)
		cancel(data);
}

/* The texts are part of what programs print and match, so they are libevent's, not libc's. */
const char *evutil_gai_strerror(int err)
{
	switch (err) {
	case 0:
		return "No error";
	case EVUTIL_EAI_CANCEL:
		return "Request canceled";
	case EVUTIL_EAI_ADDRFAMILY:
		return "address family for nodename not supported";
	case EVUTIL_EAI_AGAIN:
		return "temporary failure in name resolution";
	case EVUTIL_EAI_BADFLAGS:
		return "invalid value for ai_flags";
	case EVUTIL_EAI_FAIL:
		return "non-recoverable failure in name resolution";
	case EVUTIL_EAI_FAMILY:
		return "ai_family not supported";
	case EVUTIL_EAI_MEMORY:
		return "memory allocation failure";
	case EVUTIL_EAI_NODATA:
		return "no address associated with nodename";
	case EVUTIL_EAI_NONAME:
		return "nodename nor servname provided, or not known";
	case EVUTIL_EAI_SERVICE:
		return "servname not supported for ai_socktype";
	case EVUTIL_EAI_SOCKTYPE:
		return "ai_socktype not supported";
	case EVUTIL_EAI_SYSTEM:
		return "system error";
	}
	return gai_strerror(err);
}
