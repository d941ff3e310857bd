/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_evutil_addr.c - addresses and lookups in evutil.
 *
 * Which text is which address is compared with stock, over many inputs, by diff_evutil.c; what is
 * pinned here is what that cannot see: internal names, failures, ownership of memory.
 *
 * Two functions of others are played. The allocator counts, and fails once a countdown is over.
 * getifaddrs() gives the interfaces that a test wants, so that AI_ADDRCONFIG can be tested on any
 * machine; what it finds is remembered for the life of a process, so those tests need a child.
 */
#include "evutil_priv.h"

#include <check.h>
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "in_child.h"
#include "mm.h"

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

static int live;             /* blocks that were allocated and not freed */
static int allocations_left; /* negative: no limit */

static void *counting_malloc(size_t sz)
{
	if (allocations_left == 0)
		return NULL;
	if (allocations_left > 0)
		--allocations_left;
	++live;
	return malloc(sz);
}

static void counting_free(void *p)
{
	--live;
	free(p);
}

static void use_counting(int allocations)
{
	live = 0;
	allocations_left = allocations;
	event_set_mem_functions(counting_malloc, realloc, counting_free);
}

static void use_libc(void)
{
	event_set_mem_functions(NULL, NULL, NULL);
}

static const char *const *interfaces; /* their addresses, up to a NULL; NULL: the call fails */

/* One allocation holds an entry and its address, so that freeifaddrs() of this file is short. */
struct played_interface {
	struct ifaddrs ifa;
	struct sockaddr_storage addr;
};

int getifaddrs(struct ifaddrs **list)
{
	*list = NULL;
	if (interfaces == NULL) {
		errno = EPERM;
		return -1;
	}
	for (const char *const *text = interfaces; *text != NULL; text++) {
		struct played_interface *i = calloc(1, sizeof(*i));
		int len = sizeof(i->addr);
		if (evutil_parse_sockaddr_port(*text, (struct sockaddr *)&i->addr, &len) == 0)
			i->ifa.ifa_addr = (struct sockaddr *)&i->addr;
		i->ifa.ifa_next = *list;
		*list = &i->ifa;
	}
	return 0;
}

void freeifaddrs(struct ifaddrs *list)
{
	while (list != NULL) {
		struct ifaddrs *next = list->ifa_next;
		free(list);
		list = next;
	}
}

static char last_log[256];

static void keep_log(int severity, const char *msg)
{
	(void)severity;
	snprintf(last_log, sizeof(last_log), "%s", msg);
}

/* The address in text, which has to be well-formed, as a sockaddr. */
static struct sockaddr *address(const char *text)
{
	static struct sockaddr_storage ss;
	int len = sizeof(ss);

	if (evutil_parse_sockaddr_port(text, (struct sockaddr *)&ss, &len) != 0)
		abort();
	return (struct sockaddr *)&ss;
}

static socklen_t address_len(const struct sockaddr *sa)
{
	return sa->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

/* ---- addresses ---- */

START_TEST(test_format_writes_address_and_port)
{
	char buf[64];
	struct sockaddr other = {.sa_family = AF_UNIX};

	ck_assert_str_eq(
	    evutil_format_sockaddr_port_(address("1.2.3.4:80"), buf, sizeof(buf)), "1.2.3.4:80");
	ck_assert_str_eq(
	    evutil_format_sockaddr_port_(address("[ff00::8010]:999"), buf, sizeof(buf)),
	    "[ff00::8010]:999");
	ck_assert_str_eq(
	    evutil_format_sockaddr_port_(&other, buf, sizeof(buf)), "<addr with socktype 1>");
	ck_assert_ptr_eq(evutil_format_sockaddr_port_(&other, buf, 5), buf);
	ck_assert_str_eq(buf, "<add");
}
END_TEST

START_TEST(test_text_and_address_are_inverse)
{
	static const char *const texts[] = {"::", "::1", "1::", "1::2", "::1.2.3.4",
	    "::ffff:1.2.3.4", "1:2:3:4:5:6:7:8", "1:0:0:2::", "0:1::", "2001:db8::a:b",
	    "::9:c0a8:1:1", "ffff:1::"};
	unsigned char out[16];
	char buf[64];

	for (size_t i = 0; i < N_OF(texts); i++) {
		ck_assert_int_eq(evutil_inet_pton(AF_INET6, texts[i], out), 1);
		ck_assert_str_eq(evutil_inet_ntop(AF_INET6, out, buf, sizeof(buf)), texts[i]);
	}
}
END_TEST

START_TEST(test_zone_that_finds_no_memory_is_no_address)
{
	unsigned char out[16];
	unsigned zone;

	use_counting(-1);
	ck_assert_int_eq(evutil_inet_pton_scope(AF_INET6, "fe80::1%7", out, &zone), 1);
	ck_assert_uint_eq(zone, 7);
	ck_assert_int_eq(live, 0);
	use_counting(0);
	ck_assert_int_eq(evutil_inet_pton_scope(AF_INET6, "fe80::1%7", out, &zone), 0);
	use_libc();
}
END_TEST

static const struct {
	const char *text;
	int loopback, local;
} classed[] = {{"127.0.0.1", 1, 1}, {"127.255.255.255", 1, 1}, {"126.255.255.255", 0, 0},
    {"128.0.0.1", 0, 0}, {"0.0.0.0", 0, 1}, {"0.0.0.1", 0, 0}, {"169.254.3.4", 0, 1},
    {"169.253.3.4", 0, 0}, {"224.0.0.1", 0, 1}, {"239.255.255.255", 0, 1}, {"240.0.0.1", 0, 0},
    {"10.0.0.1", 0, 0}, {"::1", 1, 1}, {"::", 0, 1}, {"::2", 0, 1}, {"::ffff:8.8.8.8", 0, 1},
    {"0:0:0:1::", 0, 0}, {"fbff::1", 0, 0}, {"fc00::1", 0, 1}, {"fdff::1", 0, 1}, {"fe00::1", 0, 0},
    {"fe7f::1", 0, 0}, {"fe80::1", 0, 1}, {"febf::1", 0, 1}, {"fec0::1", 0, 1}, {"ff02::1", 0, 1},
    {"2001:db8::1", 0, 0}};

START_TEST(test_loopback_and_local_addresses_are_known)
{
	const struct sockaddr *sa = address(classed[_i].text);
	int local;

	ck_assert_int_eq(evutil_sockaddr_is_loopback_(sa), classed[_i].loopback);
	if (sa->sa_family == AF_INET)
		local = evutil_v4addr_is_local_(&((const struct sockaddr_in *)sa)->sin_addr);
	else
		local = evutil_v6addr_is_local_(&((const struct sockaddr_in6 *)sa)->sin6_addr);
	ck_assert_int_eq(local, classed[_i].local);
}
END_TEST

START_TEST(test_other_families_have_no_loopback)
{
	struct sockaddr other = {.sa_family = AF_UNIX};
	ck_assert_int_eq(evutil_sockaddr_is_loopback_(&other), 0);
	ck_assert_int_ne(evutil_sockaddr_cmp(&other, &other, 1), 0);
}
END_TEST

/* ---- name lookup ---- */

static struct evutil_addrinfo hints_for(int family, int socktype, int flags)
{
	return (struct evutil_addrinfo){
	    .ai_family = family, .ai_socktype = socktype, .ai_flags = flags};
}

static void check_entry(
    const struct evutil_addrinfo *ai, const char *text, int socktype, int protocol)
{
	char buf[64];

	ck_assert_ptr_nonnull(ai);
	ck_assert_str_eq(evutil_format_sockaddr_port_(ai->ai_addr, buf, sizeof(buf)), text);
	ck_assert_int_eq(ai->ai_family, ai->ai_addr->sa_family);
	ck_assert_uint_eq(ai->ai_addrlen, address_len(ai->ai_addr));
	ck_assert_int_eq(ai->ai_socktype, socktype);
	ck_assert_int_eq(ai->ai_protocol, protocol);
	ck_assert_uint_eq((unsigned)ai->ai_flags, 0x80000000u);
	ck_assert_ptr_null(ai->ai_canonname);
}

START_TEST(test_undecided_hints_give_a_stream_and_a_datagram_entry)
{
	struct evutil_addrinfo hints = hints_for(AF_UNSPEC, 0, 0);
	struct sockaddr *sa = address("[2001:db8::1]:7");

	use_counting(-1);
	struct evutil_addrinfo *ai = evutil_new_addrinfo_(sa, address_len(sa), &hints);
	check_entry(ai, "[2001:db8::1]:7", SOCK_STREAM, IPPROTO_TCP);
	check_entry(ai->ai_next, "[2001:db8::1]:7", SOCK_DGRAM, IPPROTO_UDP);
	ck_assert_ptr_null(ai->ai_next->ai_next);
	evutil_freeaddrinfo(ai);
	ck_assert_int_eq(live, 0);
	use_libc();
}
END_TEST

START_TEST(test_decided_hints_give_one_entry)
{
	struct evutil_addrinfo hints = hints_for(AF_UNSPEC, 0, 0);
	struct sockaddr *sa = address("1.2.3.4:7");

	hints.ai_protocol = IPPROTO_UDP;
	struct evutil_addrinfo *ai = evutil_new_addrinfo_(sa, address_len(sa), &hints);
	check_entry(ai, "1.2.3.4:7", 0, IPPROTO_UDP);
	ck_assert_ptr_null(ai->ai_next);
	evutil_freeaddrinfo(ai);
}
END_TEST

START_TEST(test_entries_that_find_no_memory_leave_none_behind)
{
	struct evutil_addrinfo hints = hints_for(AF_UNSPEC, 0, 0);
	struct sockaddr *sa = address("1.2.3.4:7");

	for (int allocations = 0; allocations < 2; allocations++) {
		use_counting(allocations);
		ck_assert_ptr_null(evutil_new_addrinfo_(sa, address_len(sa), &hints));
		ck_assert_int_eq(live, 0);
	}
	use_libc();
}
END_TEST

START_TEST(test_lists_are_joined_and_either_may_be_empty)
{
	struct evutil_addrinfo a = {0}, b = {0}, c = {0};

	ck_assert_ptr_null(evutil_addrinfo_append_(NULL, NULL));
	ck_assert_ptr_eq(evutil_addrinfo_append_(&a, NULL), &a);
	ck_assert_ptr_eq(evutil_addrinfo_append_(NULL, &a), &a);
	ck_assert_ptr_eq(evutil_addrinfo_append_(&a, &b), &a);
	ck_assert_ptr_eq(evutil_addrinfo_append_(&a, &c), &a);
	ck_assert_ptr_eq(a.ai_next, &b);
	ck_assert_ptr_eq(b.ai_next, &c);
	ck_assert_ptr_null(c.ai_next);
}
END_TEST

START_TEST(test_free_knows_the_c_librarys_lists_from_ours)
{
	struct evutil_addrinfo hints = hints_for(AF_INET, SOCK_STREAM, EVUTIL_AI_NUMERICHOST);
	struct evutil_addrinfo *ai = NULL;

	use_counting(-1);
	hints.ai_flags |= (int)0x80000000u;
	ck_assert_int_eq(evutil_getaddrinfo("1.2.3.4", "80", &hints, &ai), 0);
	ck_assert_int_eq(ai->ai_flags & (int)0x80000000u, 0);
	evutil_freeaddrinfo(ai);
	ck_assert_int_eq(live, 0);
	struct sockaddr *sa = address("1.2.3.4:7");
	ai = evutil_new_addrinfo_(sa, address_len(sa), &hints);
	ai->ai_canonname = mm_strdup("name");
	evutil_freeaddrinfo(ai);
	ck_assert_int_eq(live, 0);
	use_libc();
}
END_TEST

/* What _common_ answers to node and serv, with the list freed again. */
static int common(const char *node, const char *serv, struct evutil_addrinfo hints, int *port)
{
	struct evutil_addrinfo *res = NULL;
	int r = evutil_getaddrinfo_common_(node, serv, &hints, &res, port);

	ck_assert_int_eq(r == 0, res != NULL);
	if (res != NULL)
		evutil_freeaddrinfo(res);
	return r;
}

START_TEST(test_common_answers_for_no_node)
{
	struct evutil_addrinfo hints = hints_for(AF_UNSPEC, SOCK_STREAM, 0);
	struct evutil_addrinfo *res;
	int port = -7;

	ck_assert_int_eq(evutil_getaddrinfo_common_(NULL, "9999", &hints, &res, &port), 0);
	check_entry(res, "127.0.0.1:9999", SOCK_STREAM, IPPROTO_TCP);
	check_entry(res->ai_next, "[::1]:9999", SOCK_STREAM, IPPROTO_TCP);
	ck_assert_ptr_null(res->ai_next->ai_next);
	evutil_freeaddrinfo(res);
	ck_assert_int_eq(hints.ai_protocol, IPPROTO_TCP);
	ck_assert_int_eq(port, -7);

	hints = hints_for(AF_INET6, SOCK_DGRAM, EVUTIL_AI_PASSIVE);
	ck_assert_int_eq(evutil_getaddrinfo_common_(NULL, "53", &hints, &res, &port), 0);
	check_entry(res, "[::]:53", SOCK_DGRAM, IPPROTO_UDP);
	ck_assert_ptr_null(res->ai_next);
	evutil_freeaddrinfo(res);
	ck_assert_int_eq(common(NULL, NULL, hints, &port), EVUTIL_EAI_NONAME);
}
END_TEST

START_TEST(test_common_answers_for_addresses)
{
	struct evutil_addrinfo hints = hints_for(AF_UNSPEC, SOCK_STREAM, 0);
	struct evutil_addrinfo *res;
	int port;

	ck_assert_int_eq(evutil_getaddrinfo_common_("fe80::1%9", "80", &hints, &res, &port), 0);
	check_entry(res, "[fe80::1]:80", SOCK_STREAM, IPPROTO_TCP);
	ck_assert_uint_eq(((struct sockaddr_in6 *)res->ai_addr)->sin6_scope_id, 9);
	evutil_freeaddrinfo(res);
	hints = hints_for(AF_INET, SOCK_DGRAM, 0);
	ck_assert_int_eq(evutil_getaddrinfo_common_("1.2.3.4", NULL, &hints, &res, &port), 0);
	check_entry(res, "1.2.3.4:0", SOCK_DGRAM, IPPROTO_UDP);
	evutil_freeaddrinfo(res);
}
END_TEST

START_TEST(test_common_leaves_names_to_a_resolver)
{
	int port = -7;

	ck_assert_int_eq(
	    common("a.name", "80", hints_for(AF_UNSPEC, 0, 0), &port), EVUTIL_EAI_NEED_RESOLVE);
	ck_assert_int_eq(port, 80);
	ck_assert_int_eq(
	    common("::1", NULL, hints_for(AF_INET, 0, 0), &port), EVUTIL_EAI_NEED_RESOLVE);
	ck_assert_int_eq(port, 0);
	ck_assert_int_eq(
	    common("a.name", "80", hints_for(AF_UNSPEC, 0, EVUTIL_AI_NUMERICHOST), &port),
	    EVUTIL_EAI_NONAME);
}
END_TEST

START_TEST(test_common_refuses_families_and_services_that_it_does_not_know)
{
	struct evutil_addrinfo numeric = hints_for(AF_UNSPEC, 0, EVUTIL_AI_NUMERICSERV);
	struct evutil_addrinfo any = hints_for(AF_UNSPEC, 0, 0);
	int port;

	ck_assert_int_eq(common("::1", "80", hints_for(AF_UNIX, 0, 0), &port), EVUTIL_EAI_FAMILY);
	ck_assert_int_eq(common("::1", "no-such-service", any, &port), EVUTIL_EAI_NONAME);
	ck_assert_int_eq(common("::1", "http", numeric, &port), EVUTIL_EAI_NONAME);
	ck_assert_int_eq(common("::1", "65536", any, &port), EVUTIL_EAI_NONAME);
	ck_assert_int_eq(common("::1", "-1", any, &port), EVUTIL_EAI_NONAME);
	ck_assert_int_eq(common("::1", "", any, &port), EVUTIL_EAI_NONAME);
	any.ai_protocol = 253; /* reserved for experiments: it has neither name nor services */
	ck_assert_int_eq(common("::1", "80", any, &port), 0);
}
END_TEST

START_TEST(test_common_finds_services_as_the_c_library_does)
{
	static const struct {
		int protocol, socktype;
		const char *name;
	} cases[] = {{0, 0, NULL}, {IPPROTO_TCP, SOCK_STREAM, "tcp"},
	    {IPPROTO_UDP, SOCK_DGRAM, "udp"}, {IPPROTO_SCTP, SOCK_STREAM, "sctp"},
	    {IPPROTO_ICMP, 0, "icmp"}};
	struct evutil_addrinfo hints = hints_for(AF_UNSPEC, 0, 0), *res = NULL;
	int port;

	hints.ai_protocol = cases[_i].protocol;
	const struct servent *ent = getservbyname("domain", cases[_i].name);
	int r = evutil_getaddrinfo_common_("a.name", "domain", &hints, &res, &port);
	ck_assert_int_eq(hints.ai_socktype, cases[_i].socktype);
	ck_assert_int_eq(r, ent != NULL ? EVUTIL_EAI_NEED_RESOLVE : EVUTIL_EAI_NONAME);
	if (ent != NULL)
		ck_assert_int_eq(port, ntohs((uint16_t)ent->s_port));
}
END_TEST

START_TEST(test_common_that_finds_no_memory_leaves_none_behind)
{
	int port;

	for (int allocations = 0; allocations < 4; allocations++) {
		use_counting(allocations);
		ck_assert_int_eq(
		    common(NULL, "80", hints_for(AF_UNSPEC, 0, 0), &port), EVUTIL_EAI_MEMORY);
		ck_assert_int_eq(live, 0);
	}
	use_counting(0);
	ck_assert_int_eq(common("::1", "80", hints_for(AF_UNSPEC, 0, 0), &port), EVUTIL_EAI_MEMORY);
	ck_assert_int_eq(
	    common("1.2.3.4", "80", hints_for(AF_INET, 0, 0), &port), EVUTIL_EAI_MEMORY);
	use_libc();
}
END_TEST

static int adjusted(const char *const *having, int family, int flags)
{
	struct evutil_addrinfo hints = hints_for(family, 0, flags);

	interfaces = having;
	evutil_adjust_hints_for_addrconfig_(&hints);
	return hints.ai_family;
}

static const char *const v4_only[] = {
    "127.0.0.1", "no address", "10.1.2.3", "::1", "fe80::1", NULL};
static const char *const v6_only[] = {"127.0.0.1", "::1", "169.254.1.1", "2001:db8::7", NULL};
static const char *const both[] = {"10.1.2.3", "2001:db8::7", NULL};
static const char *const neither[] = {"127.0.0.1", "::1", "fe80::1", NULL};

static void addrconfig_v4(void)
{
	must(adjusted(v4_only, AF_INET6, EVUTIL_AI_ADDRCONFIG) == AF_INET6);
	must(adjusted(v4_only, AF_UNSPEC, 0) == AF_UNSPEC);
	must(adjusted(v4_only, AF_UNSPEC, EVUTIL_AI_ADDRCONFIG) == AF_INET);
	must(adjusted(both, AF_UNSPEC, EVUTIL_AI_ADDRCONFIG) == AF_INET); /* asked once only */
}

static void addrconfig_v6(void)
{
	must(adjusted(v6_only, AF_UNSPEC, EVUTIL_AI_ADDRCONFIG) == AF_INET6);
}

static void addrconfig_both(void)
{
	must(adjusted(both, AF_UNSPEC, EVUTIL_AI_ADDRCONFIG) == AF_UNSPEC);
}

static void addrconfig_neither(void)
{
	must(adjusted(neither, AF_UNSPEC, EVUTIL_AI_ADDRCONFIG) == AF_UNSPEC);
}

/* What the routes then say depends on the machine; it has to be an answer, and stay one. */
static void addrconfig_unknown(void)
{
	event_set_log_callback(keep_log);
	int family = adjusted(NULL, AF_UNSPEC, EVUTIL_AI_ADDRCONFIG);
	must(family == AF_UNSPEC || family == AF_INET || family == AF_INET6);
	must(strstr(last_log, "getifaddrs") != NULL);
	must(adjusted(both, AF_UNSPEC, EVUTIL_AI_ADDRCONFIG) == family);
}

static void (*const addrconfigs[])(void) = {
    addrconfig_v4, addrconfig_v6, addrconfig_both, addrconfig_neither, addrconfig_unknown};

START_TEST(test_addrconfig_follows_the_interfaces)
{
	struct in_child c = in_child(addrconfigs[_i]);
	ck_assert_msg(c.exit_code == 0, "%s", c.stderr_text);
}
END_TEST

static int answers, answered_with;
static struct evutil_addrinfo *answer;

static void keep_answer(int err, struct evutil_addrinfo *ai, void *arg)
{
	ck_assert_ptr_eq(arg, &answers);
	answers++;
	answered_with = err;
	answer = ai;
}

static int asked, cancelled;
static char request;

static struct evdns_getaddrinfo_request *play_resolver(struct evdns_base *base,
    const char *nodename, const char *servname, const struct evutil_addrinfo *hints_in,
    void (*cb)(int, struct evutil_addrinfo *, void *), void *arg)
{
	(void)servname;
	(void)hints_in;
	ck_assert_ptr_eq(base, (struct evdns_base *)&request);
	ck_assert_str_eq(nodename, "a.name");
	asked++;
	cb(EVUTIL_EAI_AGAIN, NULL, arg);
	return (struct evdns_getaddrinfo_request *)&request;
}

static struct evdns_getaddrinfo_request *second_resolver(struct evdns_base *base,
    const char *nodename, const char *servname, const struct evutil_addrinfo *hints_in,
    void (*cb)(int, struct evutil_addrinfo *, void *), void *arg)
{
	ck_abort_msg("the resolver that came second was asked");
	return play_resolver(base, nodename, servname, hints_in, cb, arg);
}

static void play_cancel(struct evdns_getaddrinfo_request *req)
{
	ck_assert_ptr_eq(req, (struct evdns_getaddrinfo_request *)&request);
	cancelled++;
}

START_TEST(test_async_without_a_resolver_answers_at_once)
{
	struct evutil_addrinfo hints = hints_for(AF_INET, SOCK_STREAM, EVUTIL_AI_NUMERICHOST);

	ck_assert_ptr_null(
	    evutil_getaddrinfo_async_(NULL, "1.2.3.4", "80", &hints, keep_answer, &answers));
	ck_assert_int_eq(answers, 1);
	ck_assert_int_eq(answered_with, 0);
	ck_assert_ptr_nonnull(answer);
	evutil_freeaddrinfo(answer);
	ck_assert_ptr_null(
	    evutil_getaddrinfo_async_(NULL, "a.name", "80", &hints, keep_answer, &answers));
	ck_assert_int_eq(answers, 2);
	ck_assert_int_eq(answered_with, EVUTIL_EAI_NONAME);
	ck_assert_ptr_null(answer);
	answers = 0;
}
END_TEST

START_TEST(test_async_asks_the_resolver_that_came_first)
{
	struct evdns_base *dns = (struct evdns_base *)&request;

	evutil_getaddrinfo_cancel_async_(NULL);
	evutil_set_evdns_getaddrinfo_fn_(play_resolver);
	evutil_set_evdns_getaddrinfo_fn_(second_resolver);
	evutil_set_evdns_getaddrinfo_cancel_fn_(play_cancel);
	struct evdns_getaddrinfo_request *req =
	    evutil_getaddrinfo_async_(dns, "a.name", NULL, NULL, keep_answer, &answers);
	ck_assert_int_eq(asked, 1);
	ck_assert_int_eq(answered_with, EVUTIL_EAI_AGAIN);
	evutil_getaddrinfo_cancel_async_(req);
	evutil_getaddrinfo_cancel_async_(NULL);
	ck_assert_int_eq(cancelled, 1);
	answers = 0;
}
END_TEST

/* ---- the suite ---- */

static TCase *group(Suite *s, const char *name)
{
	TCase *tc = tcase_create(name);

	suite_add_tcase(s, tc);
	tcase_set_timeout(tc, 60);
	return tc;
}

static void add_addresses(Suite *s)
{
	TCase *tc = group(s, "addresses");
	tcase_add_test(tc, test_format_writes_address_and_port);
	tcase_add_test(tc, test_text_and_address_are_inverse);
	tcase_add_test(tc, test_zone_that_finds_no_memory_is_no_address);
	tcase_add_loop_test(tc, test_loopback_and_local_addresses_are_known, 0, (int)N_OF(classed));
	tcase_add_test(tc, test_other_families_have_no_loopback);
}

static void add_lookup(Suite *s)
{
	TCase *tc = group(s, "name lookup");
	tcase_add_test(tc, test_undecided_hints_give_a_stream_and_a_datagram_entry);
	tcase_add_test(tc, test_decided_hints_give_one_entry);
	tcase_add_test(tc, test_entries_that_find_no_memory_leave_none_behind);
	tcase_add_test(tc, test_lists_are_joined_and_either_may_be_empty);
	tcase_add_test(tc, test_free_knows_the_c_librarys_lists_from_ours);
	tcase_add_test(tc, test_common_answers_for_no_node);
	tcase_add_test(tc, test_common_answers_for_addresses);
	tcase_add_test(tc, test_common_leaves_names_to_a_resolver);
	tcase_add_test(tc, test_common_refuses_families_and_services_that_it_does_not_know);
	tcase_add_loop_test(tc, test_common_finds_services_as_the_c_library_does, 0, 5);
	tcase_add_test(tc, test_common_that_finds_no_memory_leaves_none_behind);
	tcase_add_loop_test(tc, test_addrconfig_follows_the_interfaces, 0, (int)N_OF(addrconfigs));
	tcase_add_test(tc, test_async_without_a_resolver_answers_at_once);
	tcase_add_test(tc, test_async_asks_the_resolver_that_came_first);
}

int main(void)
{
	Suite *s = suite_create("evutil_addr");
	SRunner *sr = srunner_create(s);
	int failed;

	add_addresses(s);
	add_lookup(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
