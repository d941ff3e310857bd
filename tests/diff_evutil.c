/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What event2/util.h answers, over many inputs: addresses as text in all directions, strings,
 * numbers, dates, socket options, lookups that need no name server, with the messages logged.
 *
 * Besides lists of known cases there are generated ones: strings put together from the pieces
 * that addresses are made of, well-formed addresses with one character changed, and addresses
 * with many zero words. The generator has a fixed seed, so that two runs see the same inputs.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/util.h>

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

/* ---- inputs ---- */

static uint64_t generator = 0x9e3779b97f4a7c15u;

static unsigned draw(unsigned below)
{
	generator ^= generator << 13;
	generator ^= generator >> 7;
	generator ^= generator << 17;
	return (unsigned)(generator >> 33) % below;
}

static const char *const pieces[] = {"::", ":", ":", ":", "1", "0", "ffff", "FfFf", "abc", "12",
    "0x1", "0x1f", "0X", "12345", "00001", "1.2.3.4", "255.255.255.255", "256", "255", ".", ".",
    " ", "\t", "+", "-", "-0", "4294967297", "18446744073709551617", "%lo", "%1", "%", "%0",
    "%no-such-zone", "%4294967297", "[", "]", "]:", ":80", ":0", ":65535", ":65536", ":80x",
    ":4294967376", "g", "/", "a.b", "::ffff:", "::1", "1.", "2.", ".3"};

static void draw_from_pieces(char *buf, size_t len)
{
	unsigned n = 1 + draw(9);

	buf[0] = '\0';
	while (n-- > 0)
		strncat(buf, pieces[draw(N_OF(pieces))], len - strlen(buf) - 1);
}

static void draw_address(unsigned char out[16])
{
	for (int i = 0; i < 8; i++) {
		unsigned kind = draw(10);
		uint16_t word = kind < 5    ? 0
				: kind == 5 ? 0xffff
				: kind < 8  ? draw(16)
					    : draw(65536);
		out[2 * i] = (unsigned char)(word >> 8);
		out[2 * i + 1] = (unsigned char)word;
	}
	if (draw(4) == 0)
		memset(out, 0, 10);
}

/* A well-formed address, bare, with a zone, or with a port, in which one character is replaced. */
static void draw_nearly_well_formed(char *buf, size_t len)
{
	static const char alphabet[] = "0123456789abcdefABCDEF:.:.[]% xg-+";
	static const char *const before[] = {"", "[", "[", "", "", "["};
	static const char *const after[] = {"", "]", "]:8080", ":8080", "%lo", "%1]:7"};
	unsigned char address[16];
	char text[64];

	draw_address(address);
	evutil_inet_ntop(draw(3) ? AF_INET6 : AF_INET, address, text, sizeof(text));
	unsigned form = draw(N_OF(before));
	snprintf(buf, len, "%s%s%s", before[form], text, after[form]);
	if (draw(5) != 0)
		buf[draw((unsigned)strlen(buf))] = alphabet[draw(sizeof(alphabet) - 1)];
}

/* ---- output ---- */

static void print_quoted(const char *s)
{
	putchar('"');
	for (; *s != '\0'; s++) {
		if (*s < ' ' || *s > '~' || *s == '"' || *s == '\\')
			printf("\\x%02x", (unsigned char)*s);
		else
			putchar(*s);
	}
	putchar('"');
}

static void print_bytes(const void *mem, size_t len)
{
	const unsigned char *b = mem;
	for (size_t i = 0; i < len; i++)
		printf("%02x", b[i]);
}

static int sign(int n)
{
	return (n > 0) - (n < 0);
}

static void log_to_stdout(int severity, const char *msg)
{
	printf("  log %d: %s\n", severity, msg);
}

/* ---- addresses ---- */

/* Whatever fails must leave the memory as it was: it is filled and printed in any case. */
static void show_pton(const char *s)
{
	unsigned char out[16];
	unsigned zone = 77;

	memset(out, 0xee, sizeof(out));
	printf("pton4 %d ", evutil_inet_pton(AF_INET, s, out));
	print_bytes(out, sizeof(out));
	memset(out, 0xee, sizeof(out));
	printf(" pton6 %d ", evutil_inet_pton(AF_INET6, s, out));
	print_bytes(out, sizeof(out));
	memset(out, 0xee, sizeof(out));
	int r = evutil_inet_pton_scope(AF_INET6, s, out, &zone);
	printf(" scope %d zone %u ", r, zone);
	print_bytes(out, sizeof(out));
	zone = 77;
	r = evutil_inet_pton_scope(AF_INET, s, out, &zone);
	printf(" scope4 %d zone %u\n", r, zone);
}

static void show_parse(const char *s, int room)
{
	unsigned char out[sizeof(struct sockaddr_storage)];
	int len = room;

	memset(out, 0xee, sizeof(out));
	int r = evutil_parse_sockaddr_port(s, (struct sockaddr *)out, &len);
	printf("parse/%d %d len %d ", room, r, len);
	print_bytes(out, 48);
	putchar('\n');
}

static void show_text(const char *s)
{
	print_quoted(s);
	putchar('\n');
	show_pton(s);
	show_parse(s, sizeof(struct sockaddr_storage));
}

static const char *const address_texts[] = {"", " ", "1.2.3.4", "255.255.255.255",
    "255.255.255.256", "1.2.3", "1.2.3.4.5", "1.2.3.4.", "1.2.3.4 ", " 1.2.3.4", "1. 2.\t3.\n4",
    "01.002.0003.00004", "+1.2.3.4", "-1.2.3.4", "-0.0.0.0", "1.2.3.-4294967295", "0x1.2.3.4",
    "4294967297.1.1.1", "18446744073709551616.1.1.1", "a.b.c.d", "1.2.3.x", ".1.2.3.4", "::", ":",
    ":::", "::1", "1::", "1::2", "1::2:", "1::2::", "::1::2", ":1::2", "1:", "1:2:3:4:5:6:7:8",
    "1:2:3:4:5:6:7:8:", "1:2:3:4:5:6:7:8::", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1::3:4:5:6:7:8", "1:2:3:4::5:6:7:8",
    "12345::", "0x1::", "0x1f::", "0x::", "0x1ff::", "1::0x", "fFfF:AbCd::", "g::", "::1.2.3.4",
    "::ffff:1.2.3.4", "1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:7:1.2.3.4", "1:2:3:4:5:1.2.3.4",
    "1:2:3:4:5:6::1.2.3.4", "1:2:3:4:5::1.2.3.4", "::1.2.3", "::1.2.3.4.5", "::1.0.1.1000",
    "::a1.2.3.4", "::ab12.1.1.1", "::.1.2.3", "::a.1.2.3", "1.2.3.4::", "::1.2.3.4:5", "::1. 2.3.4",
    "::01.2.3.4", ".::", "fe80::1%lo", "fe80::1%1", "fe80::1%", "fe80::1%0", "fe80::1%no-such-zone",
    "fe80::1%lo%lo", "fe80::1%1x", "fe80::1%-1", "fe80::1%4294967297", "::1.2.3.4%lo", "1.2.3.4%lo",
    "%lo", "%", "fe80::1%lo.1", "[::1]:80", "[::1]", "[::1", "::1]", "[::1]80", "[::1]:", "[::1]:0",
    "[::1]:-1", "[::1]:65535", "[::1]:65536", "[::1]:80x", "[::1]: 80", "[::1]:x",
    "[::1]:4294967376", "[1.2.3.4]:80", "[]:80", "[", "[]", "]", "[fe80::1%lo]:80", "[fe80::1%3]",
    "[[::1]]:80", "1.2.3.4:80", "1.2.3.4:", "1.2.3.4:0", "1.2.3.4:65535", "1.2.3.4:65536",
    "1.2.3.4:080", "1.2.3.4:80:80", ":80", "localhost:80", "localhost"};

static void show_address_texts(void)
{
	char buf[300];

	for (size_t i = 0; i < N_OF(address_texts); i++)
		show_text(address_texts[i]);
	for (int i = 0; i < 6000; i++) {
		draw_from_pieces(buf, sizeof(buf));
		show_text(buf);
	}
	for (int i = 0; i < 6000; i++) {
		draw_nearly_well_formed(buf, sizeof(buf));
		show_text(buf);
	}
}

/* The host part has a limit of 127 characters where it has to be copied. */
static void show_long_texts(void)
{
	static const char *const tails[] = {"1.2.3.4", "1.2.3.4:80"};
	char buf[300];

	for (int pad = 100; pad < 140; pad++) {
		for (size_t i = 0; i < N_OF(tails); i++) {
			snprintf(buf, sizeof(buf), "%*s%s", pad, "", tails[i]);
			show_text(buf);
		}
		snprintf(buf, sizeof(buf), "[::1.%*s2.3.4]:80", pad, "");
		show_text(buf);
		snprintf(buf, sizeof(buf), "::1.%*s2.3.4%%1", pad, "");
		show_text(buf);
	}
}

static void show_short_room(void)
{
	static const char *const texts[] = {"1.2.3.4:5", "[::1]:5", "bad"};

	for (size_t i = 0; i < N_OF(texts); i++)
		for (int room = -1; room < 40; room++)
			show_parse(texts[i], room);
}

static void show_ntop(int af, const unsigned char address[16], size_t len)
{
	char buf[64];

	memset(buf, '~', sizeof(buf));
	const char *r = evutil_inet_ntop(af, address, buf, len);
	printf("ntop/%zu %s ", len, r == NULL ? "NULL" : r == buf ? "dst" : "elsewhere");
	if (r != NULL) {
		buf[sizeof(buf) - 1] = '\0';
		print_quoted(buf);
	}
	putchar('\n');
}

static void show_all_ntop(void)
{
	unsigned char address[16];

	for (int i = 0; i < 4000; i++) {
		draw_address(address);
		show_ntop(AF_INET6, address, 64);
		show_ntop(AF_INET, address, 64);
	}
	for (int i = 0; i < 12; i++) {
		draw_address(address);
		for (size_t len = 0; len < 48; len++) {
			show_ntop(AF_INET6, address, len);
			show_ntop(AF_INET, address, len);
		}
	}
	show_ntop(AF_UNIX, address, 64);
	printf("pton of AF_UNIX %d\n", evutil_inet_pton(AF_UNIX, "1.2.3.4", address));
}

static void show_cmp(void)
{
	static const char *const texts[] = {"1.2.3.4:5", "1.2.3.4:6", "1.2.3.4:1280", "4.3.2.1:5",
	    "[::1]:5", "[::1]:6", "[::2]:5", "[ff00::1]:5", "0.0.0.0"};
	struct sockaddr_storage ss[N_OF(texts) + 1];

	memset(ss, 0, sizeof(ss));
	for (size_t i = 0; i < N_OF(texts); i++) {
		int len = sizeof(ss[i]);
		evutil_parse_sockaddr_port(texts[i], (struct sockaddr *)&ss[i], &len);
	}
	ss[N_OF(texts)].ss_family = AF_UNIX;
	for (size_t i = 0; i < N_OF(ss); i++)
		for (size_t j = 0; j < N_OF(ss); j++)
			printf("cmp %zu %zu %d %d\n", i, j,
			    sign(evutil_sockaddr_cmp(
				(struct sockaddr *)&ss[i], (struct sockaddr *)&ss[j], 0)),
			    sign(evutil_sockaddr_cmp(
				(struct sockaddr *)&ss[i], (struct sockaddr *)&ss[j], 1)));
}

/* ---- strings and numbers ---- */

static void show_casecmp(void)
{
	char a[6], b[6];

	for (int i = 0; i < 3000; i++) {
		memset(a, 0, sizeof(a));
		for (int j = 0; j < 5; j++)
			a[j] = (char)draw(256);
		memcpy(b, a, sizeof(b));
		b[draw(5)] ^= draw(2) ? 0x20 : (char)draw(256);
		printf("case %d", evutil_ascii_strcasecmp(a, b));
		for (size_t n = 0; n < 7; n++)
			printf(" %d", evutil_ascii_strncasecmp(a, b, n));
		putchar('\n');
	}
}

static int format_v(char *buf, size_t len, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	int r = evutil_vsnprintf(buf, len, format, ap);
	va_end(ap);
	return r;
}

static void show_snprintf(void)
{
	char buf[16];

	for (size_t len = 0; len <= sizeof(buf); len++) {
		memset(buf, '~', sizeof(buf));
		int r = evutil_snprintf(buf, len, "%s-%d", "eleven", 2012);
		printf("snprintf/%zu %d ", len, r);
		print_bytes(buf, sizeof(buf));
		r = format_v(buf, len, "%x", 0xfeed);
		printf(" vsnprintf %d ", r);
		print_bytes(buf, sizeof(buf));
		putchar('\n');
	}
}

static void show_strtoll(void)
{
	static const char *const texts[] = {"", "0", "-1", " 42x", "0x7f", "077", "zz",
	    "9223372036854775807", "9223372036854775808", "-9223372036854775809", "+5", "- 5"};
	static const int bases[] = {0, 8, 10, 16, 36};

	for (size_t i = 0; i < N_OF(texts); i++) {
		for (size_t j = 0; j < N_OF(bases); j++) {
			char *end;
			ev_int64_t n = evutil_strtoll(texts[i], &end, bases[j]);
			printf("strtoll %s/%d %lld at %d\n", texts[i], bases[j], (long long)n,
			    (int)(end - texts[i]));
		}
	}
}

static void show_dates(void)
{
	static const time_t times[] = {0, 1, 86399, 951782399, 951868800, 1289692800, 1356998400,
	    2147483647, 4102444800, 32503680000, -1, -2208988800, 253402300800};
	char buf[64];
	struct tm tm;

	for (size_t i = 0; i < N_OF(times); i++) {
		gmtime_r(&times[i], &tm);
		for (size_t len = 0; len < 34; len += 3) {
			strcpy(buf, "untouched");
			int r = evutil_date_rfc1123(buf, len, &tm);
			printf("date/%zu %d %s\n", len, r, buf);
		}
	}
	int r = evutil_date_rfc1123(buf, sizeof(buf), NULL);
	printf("date of now %d %zu\n", r, strlen(buf));
}

/* ---- sockets ---- */

static void show_option(const char *what, int r, int fd, int level, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	int saved = errno;
	getsockopt(fd, level, option, &value, &len);
	printf("%s: %d, value %d, errno %d\n", what, r, value, r < 0 ? saved : 0);
}

static void show_options(int fd)
{
	show_option(
	    "reuseable", evutil_make_listen_socket_reuseable(fd), fd, SOL_SOCKET, SO_REUSEADDR);
	show_option("reuseable_port", evutil_make_listen_socket_reuseable_port(fd), fd, SOL_SOCKET,
	    SO_REUSEPORT);
	show_option(
	    "ipv6only", evutil_make_listen_socket_ipv6only(fd), fd, IPPROTO_IPV6, IPV6_V6ONLY);
	int r = evutil_make_tcp_listen_socket_deferred(fd);
	printf("deferred: %d, errno %d\n", r, r < 0 ? errno : 0);
	for (int twice = 0; twice < 2; twice++) {
		errno = 0;
		r = evutil_make_socket_nonblocking(fd);
		printf("nonblocking: %d, errno %d, flags %#x\n", r, errno, fcntl(fd, F_GETFL));
		errno = 0;
		r = evutil_make_socket_closeonexec(fd);
		printf("closeonexec: %d, errno %d, flags %#x\n", r, errno, fcntl(fd, F_GETFD));
	}
	errno = 0;
	r = evutil_closesocket(fd);
	printf("closesocket: %d, errno %d\n", r, errno);
}

static void show_sockets(void)
{
	int sv[2];

	show_options(socket(AF_INET, SOCK_STREAM, 0));
	show_options(socket(AF_INET6, SOCK_STREAM, 0));
	show_options(socket(AF_INET, SOCK_DGRAM, 0));
	show_options(socket(AF_UNIX, SOCK_STREAM, 0));
	show_options(-1);
	show_options(999999);

	printf("socketpair %d\n", evutil_socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	printf("flags %#x %#x\n", fcntl(sv[0], F_GETFL), fcntl(sv[1], F_GETFD));
	printf("write %zd\n", write(sv[0], "x", 1));
	char c = 0;
	ssize_t n = read(sv[1], &c, 1);
	printf("read %zd %c\n", n, c);
	evutil_closesocket(sv[0]);
	n = read(sv[1], &c, 1);
	printf("end of file %zd\n", n);
	evutil_closesocket(sv[1]);
	int r = evutil_socketpair(AF_INET, SOCK_STREAM, 0, sv);
	printf("socketpair of AF_INET %d, errno %d\n", r, errno);
}

/* ---- lookups ---- */

static void show_list(const struct evutil_addrinfo *ai)
{
	for (; ai != NULL; ai = ai->ai_next) {
		printf("  flags %#x family %d type %d protocol %d name %s addr ", ai->ai_flags,
		    ai->ai_family, ai->ai_socktype, ai->ai_protocol,
		    ai->ai_canonname != NULL ? ai->ai_canonname : "-");
		print_bytes(ai->ai_addr, ai->ai_addrlen);
		putchar('\n');
	}
}

static void show_lookup(const char *node, const char *serv, const struct evutil_addrinfo *hints)
{
	struct evutil_addrinfo *res = NULL;

	int r = evutil_getaddrinfo(node, serv, hints, &res);
	printf("getaddrinfo %s %s: %d %s\n", node != NULL ? node : "NULL",
	    serv != NULL ? serv : "NULL", r, evutil_gai_strerror(r));
	if (r != 0)
		return;
	show_list(res);
	evutil_freeaddrinfo(res);
}

/* So many of the nodes below are addresses; localhost comes next, then names and no name. */
enum { N_LITERALS = 3 };

static void show_hinted_lookups(int flags, int family, int socktype)
{
	static const char *const nodes[] = {
	    "1.2.3.4", "::1", "fe80::1%lo", "localhost", "1.2.3", "no such host", NULL};
	static const char *const servs[] = {
	    "80", "http", "no-such-service", "65536", "-1", " 80", "", NULL};
	struct evutil_addrinfo hints = {
	    .ai_flags = flags, .ai_family = family, .ai_socktype = socktype};

	printf("hints: flags %#x family %d type %d\n", flags, family, socktype);
	for (size_t i = 0; i < N_OF(nodes); i++) {
		/* Nothing may reach a name server; /etc/hosts has localhost, though maybe not in
		 * IPv6. */
		hints.ai_flags = flags;
		if (i >= N_LITERALS && nodes[i] != NULL && (i > N_LITERALS || family != AF_INET))
			hints.ai_flags |= EVUTIL_AI_NUMERICHOST;
		for (size_t j = 0; j < N_OF(servs); j++)
			show_lookup(nodes[i], servs[j], &hints);
	}
}

static void show_lookups(void)
{
	static const int flags[] = {0, EVUTIL_AI_PASSIVE, EVUTIL_AI_NUMERICHOST,
	    EVUTIL_AI_NUMERICHOST | EVUTIL_AI_NUMERICSERV | EVUTIL_AI_CANONNAME,
	    EVUTIL_AI_V4MAPPED | EVUTIL_AI_ALL, EVUTIL_AI_ADDRCONFIG, (int)0x80000000u};
	static const int families[] = {AF_UNSPEC, AF_INET, AF_INET6, AF_UNIX};
	static const int types[] = {0, SOCK_STREAM, SOCK_DGRAM, 77};

	for (size_t i = 0; i < N_OF(flags); i++)
		for (size_t j = 0; j < N_OF(families); j++)
			for (size_t k = 0; k < N_OF(types); k++)
				show_hinted_lookups(flags[i], families[j], types[k]);
	show_lookup("127.0.0.1", "80", NULL);
	show_lookup("::1", NULL, NULL);
	show_lookup(NULL, "80", NULL);
	show_lookup(NULL, NULL, NULL);
	for (int err = -120; err < 20; err++)
		printf("gai_strerror %d %s\n", err, evutil_gai_strerror(err));
	printf("gai_strerror of cancel %s\n", evutil_gai_strerror(EVUTIL_EAI_CANCEL));
}

/* ---- clocks and chance ---- */

static void show_monotonic(int flags)
{
	struct evutil_monotonic_timer *timer = evutil_monotonic_timer_new();
	struct timeval last = {0, 0}, tv;
	int backwards = 0;

	printf("configure %d: %d\n", flags, evutil_configure_monotonic_time(timer, flags));
	for (int i = 0; i < 1000; i++) {
		if (evutil_gettime_monotonic(timer, &tv) != 0 || evutil_timercmp(&tv, &last, <))
			backwards++;
		last = tv;
	}
	printf("backwards %d, since the epoch %d\n", backwards, tv.tv_sec > 1000000000);
	evutil_monotonic_timer_free(timer);
}

static void show_clocks_and_chance(void)
{
	unsigned char a[64] = {0}, b[64] = {0};

	for (int flags = 0; flags < 4; flags++)
		show_monotonic(flags);
	struct evutil_monotonic_timer *timer = evutil_monotonic_timer_new();
	struct timeval tv;
	evutil_gettime_monotonic(timer, &tv);
	printf("never configured, since the epoch %d\n", tv.tv_sec > 1000000000);
	evutil_monotonic_timer_free(timer);
	evutil_monotonic_timer_free(NULL);

	char device[] = "/dev/zero";
	printf("set_urandom_device_file %d\n", evutil_secure_rng_set_urandom_device_file(device));
	printf("init %d\n", evutil_secure_rng_init());
	evutil_secure_rng_add_bytes("seed", 4);
	evutil_secure_rng_get_bytes(a, sizeof(a));
	evutil_secure_rng_get_bytes(b, sizeof(b));
	evutil_secure_rng_get_bytes(b, 0);
	printf("random bytes repeat: %d\n", memcmp(a, b, sizeof(a)) == 0);
}

int main(void)
{
	event_set_log_callback(log_to_stdout);
	show_address_texts();
	show_long_texts();
	show_short_room();
	show_all_ntop();
	show_cmp();
	show_casecmp();
	show_snprintf();
	show_strtoll();
	show_dates();
	show_sockets();
	show_lookups();
	show_clocks_and_chance();
	return 0;
}
