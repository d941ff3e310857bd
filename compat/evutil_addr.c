/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Addresses to text and back, and what can be said about one.
 *
 * Programs compare these strings, keep them in files and feed them back, so text and accepted
 * input are those of libevent 2.1.12 to the byte, and not the C library's. Where they differ:
 *
 *  - a dotted quad is read as scanf's %u reads it: spaces and a sign may stand before a number,
 *    leading zeros mean nothing, and a number is cut to 32 bits before it is compared with 255;
 *  - a word of an IPv6 address is read as strtol's base 16 reads it, so "0x1f" is one, as long as
 *    it has at most four characters;
 *  - one colon may trail after the last word: "1::2:" is 1::2;
 *  - ::ffff:1.2.3.4 is printed with dots, and so are ::1.2.3.4 and its like, but only if neither
 *    half of the quad is 0;
 *  - a buffer that is short by exactly the final NUL gets the text without its last character
 *    where any other short buffer is an error (IPv6 only).
 */
#include "evutil_priv.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mm.h"

/* ---- printing ---- */

static const char *ntop_v4(const unsigned char *b, char *dst, size_t len)
{
	int r = evutil_snprintf(dst, len, "%d.%d.%d.%d", b[0], b[1], b[2], b[3]);
	return r >= 0 && (size_t)r < len ? dst : NULL;
}

/* The first of the longest runs of at least two zero words; a length of 0 if there is none. */
static int longest_zero_run(const uint16_t words[8], int *start)
{
	int best = 1;
	*start = -1;
	for (int i = 0, run = 0; i < 8; i++) {
		run = words[i] == 0 ? run + 1 : 0;
		if (run > best) {
			best = run;
			*start = i + 1 - run;
		}
	}
	return *start < 0 ? 0 : best;
}

static void print_words(const uint16_t words[8], char *buf, size_t len)
{
	int gap, gap_len = longest_zero_run(words, &gap);
	size_t at = 0;

	for (int i = 0; i < 8;) {
		if (i == gap) {
			at += (size_t)evutil_snprintf(buf + at, len - at, "::");
			i += gap_len;
			continue;
		}
		bool after_colon = i == 0 || (gap >= 0 && i == gap + gap_len);
		at += (size_t)evutil_snprintf(
		    buf + at, len - at, "%s%x", after_colon ? "" : ":", words[i]);
		i++;
	}
}

/* True iff the address is to be printed with a dotted quad behind the prefix. */
static bool quad_prefix(const uint16_t words[8], const char **prefix)
{
	for (int i = 0; i < 5; i++)
		if (words[i] != 0)
			return false;
	*prefix = words[5] == 0 ? "::" : "::ffff:";
	return words[5] == 0xffff || (words[5] == 0 && words[6] != 0 && words[7] != 0);
}

static const char *ntop_v6(const unsigned char *b, char *dst, size_t len)
{
	uint16_t words[8];
	const char *prefix;
	char buf[INET6_ADDRSTRLEN];

	for (int i = 0; i < 8; i++)
		words[i] = (uint16_t)(b[2 * i] << 8 | b[2 * i + 1]);
	if (quad_prefix(words, &prefix))
		evutil_snprintf(
		    buf, sizeof(buf), "%s%d.%d.%d.%d", prefix, b[12], b[13], b[14], b[15]);
	else
		print_words(words, buf, sizeof(buf));

	if (strlen(buf) > len)
		return NULL;
	event_strlcpy_(dst, buf, len);
	return dst;
}

const char *evutil_inet_ntop(int af, const void *src, char *dst, size_t len)
{
	if (af == AF_INET)
		return ntop_v4(src, dst, len);
	if (af == AF_INET6)
		return ntop_v6(src, dst, len);
	return NULL;
}

/* ---- parsing ---- */

/* All of the string must be a quad; quad gets its four bytes. */
static bool parse_quad(const char *s, unsigned char quad[4])
{
	unsigned n[4];
	char beyond;

	if (sscanf(s, "%u.%u.%u.%u%c", &n[0], &n[1], &n[2], &n[3], &beyond) != 4)
		return false;
	for (int i = 0; i < 4; i++) {
		if (n[i] > 255)
			return false;
		quad[i] = (unsigned char)n[i];
	}
	return true;
}

/* What stands between the start of an IPv6 address and its end or its dotted quad. */
struct v6_words {
	uint16_t word[8];
	int n;   /* words in use */
	int gap; /* "::" stands before word[gap]; -1 if nowhere */
};

/* Read one word and the colon behind it; NULL if it is none. */
static const char *parse_word(const char *s, const char *end, uint16_t *word)
{
	char *next;
	long value = strtol(s, &next, 16);

	if (next > s + 4)
		return NULL;
	*word = (uint16_t)value;
	if (*next == ':')
		return next + 1;
	return next == end ? next : NULL;
}

static bool parse_words(const char *s, const char *end, struct v6_words *w)
{
	w->n = 0;
	w->gap = -1;
	while (s < end) {
		if (w->n == 8)
			return false;
		if (EVUTIL_ISXDIGIT_(*s)) {
			s = parse_word(s, end, &w->word[w->n]);
			if (s == NULL)
				return false;
			w->n++;
			continue;
		}
		/* The word before has taken the first colon of "::", if there was a word. */
		if (*s != ':' || w->gap >= 0 || (w->n == 0 && s[1] != ':'))
			return false;
		w->gap = w->n;
		s += w->n == 0 ? 2 : 1;
	}
	return true;
}

/* Words before the gap go to the front, words after it to the back, of an address of n_max words.
 */
static void place_words(const struct v6_words *w, int n_max, unsigned char out[16])
{
	for (int i = 0; i < w->n; i++) {
		int to = w->gap >= 0 && i >= w->gap ? n_max - w->n + i : i;
		out[2 * to] = (unsigned char)(w->word[i] >> 8);
		out[2 * to + 1] = (unsigned char)(w->word[i] & 0xff);
	}
}

static int pton_v6(const char *src, unsigned char *dst)
{
	const char *dot = strchr(src, '.');
	const char *end = dot != NULL ? dot : src + strlen(src);
	unsigned char out[16] = {0};
	struct v6_words w;

	if (dot != NULL) {
		while (end > src && EVUTIL_ISDIGIT_(end[-1]))
			end--;
		if (!parse_quad(end, out + 12))
			return 0;
	}
	int n_max = dot != NULL ? 6 : 8;
	if (!parse_words(src, end, &w))
		return 0;
	if (w.gap >= 0 ? w.n >= n_max : w.n != n_max)
		return 0;
	place_words(&w, n_max, out);
	memcpy(dst, out, sizeof(out));
	return 1;
}

int evutil_inet_pton(int af, const char *src, void *dst)
{
	unsigned char quad[4];

	if (af == AF_INET6)
		return pton_v6(src, dst);
	if (af != AF_INET)
		return -1;
	if (!parse_quad(src, quad))
		return 0;
	memcpy(dst, quad, sizeof(quad));
	return 1;
}

/* The zone behind '%' is an interface's name, or failing that any number. */
static bool parse_zone(const char *zone, unsigned *indexp)
{
	char *end;

	*indexp = if_nametoindex(zone);
	if (*indexp != 0)
		return true;
	unsigned long number = strtoul(zone, &end, 10);
	if (*end != '\0')
		return false;
	*indexp = (unsigned)number;
	return true;
}

int evutil_inet_pton_scope(int af, const char *src, void *dst, unsigned *indexp)
{
	const char *percent = af == AF_INET6 ? strchr(src, '%') : NULL;

	*indexp = 0;
	if (percent == NULL)
		return evutil_inet_pton(af, src, dst);
	if (!parse_zone(percent + 1, indexp))
		return 0;

	/* No fixed buffer would do: a quad's leading spaces and zeros know no limit. */
	char *address = mm_strdup(src);
	if (address == NULL)
		return 0;
	address[percent - src] = '\0';
	int r = evutil_inet_pton(af, address, dst);
	mm_free(address);
	return r;
}

/* ---- with a port ---- */

/* The two halves of "address:port"; either may point into buf or into the string itself. */
struct host_port {
	const char *host;
	const char *port; /* NULL if there is none */
	bool v6;
	char buf[128];
};

/* True iff the host, the len bytes from s on, fits into the buffer. */
static bool take_host(struct host_port *hp, const char *s, size_t len)
{
	if (len >= sizeof(hp->buf))
		return false;
	memcpy(hp->buf, s, len);
	hp->buf[len] = '\0';
	hp->host = hp->buf;
	return true;
}

/* One colon separates a port; two can only be IPv6, which needs brackets to have a port. */
static bool split_host_port(const char *s, struct host_port *hp)
{
	const char *colon = strchr(s, ':');

	hp->host = s;
	hp->port = NULL;
	hp->v6 = false;
	if (*s == '[') {
		const char *close = strchr(s, ']');
		if (close == NULL)
			return false;
		hp->v6 = true;
		hp->port = close[1] == ':' ? close + 2 : NULL;
		return take_host(hp, s + 1, (size_t)(close - s - 1));
	}
	if (colon == NULL)
		return true;
	if (strchr(colon + 1, ':') != NULL) {
		hp->v6 = true;
		return true;
	}
	hp->port = colon + 1;
	return take_host(hp, s, (size_t)(colon - s));
}

/* Success clears all of out, not only what is used. */
static int hand_out(const void *sa, size_t len, struct sockaddr *out, int *outlen)
{
	if ((int)len > *outlen)
		return -1;
	memset(out, 0, (size_t)*outlen);
	memcpy(out, sa, len);
	*outlen = (int)len;
	return 0;
}

static int parse_v6(const char *host, int port, struct sockaddr *out, int *outlen)
{
	struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};

	if (evutil_inet_pton_scope(AF_INET6, host, &sin6.sin6_addr, &sin6.sin6_scope_id) != 1)
		return -1;
	return hand_out(&sin6, sizeof(sin6), out, outlen);
}

static int parse_v4(const char *host, int port, struct sockaddr *out, int *outlen)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	if (evutil_inet_pton(AF_INET, host, &sin.sin_addr) != 1)
		return -1;
	return hand_out(&sin, sizeof(sin), out, outlen);
}

int evutil_parse_sockaddr_port(const char *str, struct sockaddr *out, int *outlen)
{
	struct host_port hp;
	int port = 0;

	if (!split_host_port(str, &hp))
		return -1;
	if (hp.port != NULL) {
		port = atoi(hp.port); /* text behind the digits does not matter */
		if (port <= 0 || port > 65535)
			return -1;
	}
	return hp.v6 ? parse_v6(hp.host, port, out, outlen) : parse_v4(hp.host, port, out, outlen);
}

const char *evutil_format_sockaddr_port_(const struct sockaddr *sa, char *out, size_t outlen)
{
	char text[INET6_ADDRSTRLEN];

	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *sin = (const void *)sa;
		evutil_inet_ntop(AF_INET, &sin->sin_addr, text, sizeof(text));
		evutil_snprintf(out, outlen, "%s:%d", text, ntohs(sin->sin_port));
	} else if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *sin6 = (const void *)sa;
		evutil_inet_ntop(AF_INET6, &sin6->sin6_addr, text, sizeof(text));
		evutil_snprintf(out, outlen, "[%s]:%d", text, ntohs(sin6->sin6_port));
	} else {
		evutil_snprintf(out, outlen, "<addr with socktype %d>", (int)sa->sa_family);
	}
	return out;
}

/* ---- comparing and classing ---- */

static int cmp_v4(const struct sockaddr_in *a, const struct sockaddr_in *b, int include_port)
{
	if (a->sin_addr.s_addr != b->sin_addr.s_addr)
		return a->sin_addr.s_addr < b->sin_addr.s_addr ? -1 : 1;
	return include_port ? (int)a->sin_port - (int)b->sin_port : 0;
}

static int cmp_v6(const struct sockaddr_in6 *a, const struct sockaddr_in6 *b, int include_port)
{
	int r = memcmp(&a->sin6_addr, &b->sin6_addr, sizeof(a->sin6_addr));
	if (r != 0)
		return r;
	return include_port ? (int)a->sin6_port - (int)b->sin6_port : 0;
}

/*
 * An order for containers, not one that makes sense to people: addresses and ports are compared
 * as they lie in memory. Families that are not known never compare equal.
 */
int evutil_sockaddr_cmp(const struct sockaddr *sa1, const struct sockaddr *sa2, int include_port)
{
	if (sa1->sa_family != sa2->sa_family)
		return (int)sa1->sa_family - (int)sa2->sa_family;
	if (sa1->sa_family == AF_INET)
		return cmp_v4((const void *)sa1, (const void *)sa2, include_port);
	if (sa1->sa_family == AF_INET6)
		return cmp_v6((const void *)sa1, (const void *)sa2, include_port);
	return 1;
}

int evutil_sockaddr_is_loopback_(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *sin = (const void *)sa;
		return ntohl(sin->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	}
	if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *sin6 = (const void *)sa;
		return IN6_IS_ADDR_LOOPBACK(&sin6->sin6_addr);
	}
	return 0;
}

/* The unspecified address, 127/8, 169.254/16 and multicast. */
int evutil_v4addr_is_local_(const struct in_addr *in)
{
	uint32_t addr = ntohl(in->s_addr);
	return addr == INADDR_ANY || addr >> 24 == IN_LOOPBACKNET || addr >> 16 == 0xa9fe ||
	       IN_MULTICAST(addr);
}

/* ::/64 with all that is mapped or embedded there, fc00::/7, fe80::/10, fec0::/10, multicast. */
int evutil_v6addr_is_local_(const struct in6_addr *in)
{
	static const unsigned char zeros[8];
	const unsigned char *b = in->s6_addr;

	return memcmp(b, zeros, sizeof(zeros)) == 0 || (b[0] & 0xfe) == 0xfc ||
	       (b[0] == 0xfe && (b[1] & 0x80) != 0) || b[0] == 0xff;
}
