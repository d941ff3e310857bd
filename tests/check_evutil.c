/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_evutil.c - text, files, chance, time and sockets in evutil; check_evutil_addr.c has the
 * addresses and lookups.
 *
 * The public functions are also compared with stock, over many inputs, by diff_evutil.c; what is
 * pinned here is what that cannot see: internal names, failures, descriptors.
 */
#include "evutil_priv.h"

#include <check.h>
#include <arpa/inet.h>
#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "in_child.h"
#include "mm.h"

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

static char last_log[256];

static void keep_log(int severity, const char *msg)
{
	(void)severity;
	snprintf(last_log, sizeof(last_log), "%s", msg);
}

static void *no_memory(size_t sz)
{
	(void)sz;
	return NULL;
}

/* ---- text ---- */

START_TEST(test_classes_are_those_of_ascii)
{
	for (int i = 0; i < 256; i++) {
		bool ascii = i < 128;
		char c = (char)i;
		ck_assert_int_eq(EVUTIL_ISALPHA_(c), ascii && isalpha(i));
		ck_assert_int_eq(EVUTIL_ISALNUM_(c), ascii && isalnum(i));
		ck_assert_int_eq(EVUTIL_ISSPACE_(c), ascii && isspace(i));
		ck_assert_int_eq(EVUTIL_ISDIGIT_(c), ascii && isdigit(i));
		ck_assert_int_eq(EVUTIL_ISXDIGIT_(c), ascii && isxdigit(i));
		ck_assert_int_eq(EVUTIL_ISPRINT_(c), ascii && isprint(i));
		ck_assert_int_eq(EVUTIL_ISLOWER_(c), ascii && islower(i));
		ck_assert_int_eq(EVUTIL_ISUPPER_(c), ascii && isupper(i));
	}
}
END_TEST

START_TEST(test_case_is_changed_in_ascii_only)
{
	for (int i = 0; i < 256; i++) {
		bool ascii = i < 128;
		ck_assert_int_eq((unsigned char)EVUTIL_TOUPPER_((char)i), ascii ? toupper(i) : i);
		ck_assert_int_eq((unsigned char)EVUTIL_TOLOWER_((char)i), ascii ? tolower(i) : i);
	}
}
END_TEST

START_TEST(test_comparing_ignores_case_and_stops_at_the_limit)
{
	ck_assert_int_eq(evutil_ascii_strcasecmp("ABC", "abc"), 0);
	ck_assert_int_eq(evutil_ascii_strcasecmp("abc", "ABd"), -1);
	ck_assert_int_eq(evutil_ascii_strcasecmp("abcd", "ABC"), 1);
	ck_assert_int_eq(evutil_ascii_strcasecmp("", "a"), -1);
	ck_assert_int_eq(evutil_ascii_strncasecmp("abcX", "ABCY", 3), 0);
	ck_assert_int_eq(evutil_ascii_strncasecmp("abcX", "ABCY", 4), -1);
	ck_assert_int_eq(evutil_ascii_strncasecmp("a", "b", 0), 0);
}
END_TEST

START_TEST(test_hex_digits_have_values_and_nothing_else_has)
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < 256; i++) {
		const char *at = i != 0 ? strchr(digits, i < 128 ? tolower(i) : i) : NULL;
		ck_assert_int_eq(
		    evutil_hex_char_to_int_((char)i), at != NULL ? (int)(at - digits) : -1);
	}
}
END_TEST

START_TEST(test_rtrim_takes_spaces_and_tabs_off_the_end_only)
{
	static const char *const cases[][2] = {{"", ""}, {" ", ""}, {" \t \t", ""}, {"a", "a"},
	    {" a b \t", " a b"}, {"a\n", "a\n"}, {"a \n ", "a \n"}};
	char buf[16];

	for (size_t i = 0; i < N_OF(cases); i++) {
		strcpy(buf, cases[i][0]);
		evutil_rtrim_lws_(buf);
		ck_assert_str_eq(buf, cases[i][1]);
	}
	evutil_rtrim_lws_(NULL);
}
END_TEST

START_TEST(test_strlcpy_says_the_length_and_always_terminates)
{
	char buf[8] = "untouch";

	ck_assert_uint_eq(event_strlcpy_(buf, "anything", 0), 8);
	ck_assert_str_eq(buf, "untouch");
	ck_assert_uint_eq(event_strlcpy_(buf, "anything", 1), 8);
	ck_assert_str_eq(buf, "");
	ck_assert_uint_eq(event_strlcpy_(buf, "anything", sizeof(buf)), 8);
	ck_assert_str_eq(buf, "anythin");
	ck_assert_uint_eq(event_strlcpy_(buf, "seven..", sizeof(buf)), 7);
	ck_assert_str_eq(buf, "seven..");
	ck_assert_uint_eq(event_strlcpy_(buf, "", sizeof(buf)), 0);
	ck_assert_str_eq(buf, "");
}
END_TEST

START_TEST(test_snprintf_into_nothing_says_nothing)
{
	char buf[4] = "abc";

	ck_assert_int_eq(evutil_snprintf(buf, 0, "%d", 12345), 0);
	ck_assert_str_eq(buf, "abc");
	ck_assert_int_eq(evutil_snprintf(buf, sizeof(buf), "%d", 12345), 5);
	ck_assert_str_eq(buf, "123");
}
END_TEST

START_TEST(test_strtoll_reads_64_bits)
{
	char *end;

	ck_assert_int_eq(evutil_strtoll("-9223372036854775808x", &end, 10), INT64_MIN);
	ck_assert_str_eq(end, "x");
	ck_assert_int_eq(evutil_strtoll("7fffffffffffffff", NULL, 16), INT64_MAX);
}
END_TEST

/* ---- process and files ---- */

START_TEST(test_getenv_is_blind_in_a_setuid_program)
{
	setenv("EVUTIL_CHECK", "here", 1);
	ck_assert_str_eq(evutil_getenv_("EVUTIL_CHECK"), "here");
	ck_assert_ptr_null(evutil_getenv_("EVUTIL_CHECK_NOT"));
	if (geteuid() != 0)
		return;
	ck_assert_int_eq(seteuid(65534), 0);
	const char *as_other_user = evutil_getenv_("EVUTIL_CHECK");
	ck_assert_int_eq(seteuid(0), 0);
	ck_assert_ptr_null(as_other_user);
	ck_assert_int_eq(setegid(65534), 0);
	const char *as_other_group = evutil_getenv_("EVUTIL_CHECK");
	ck_assert_int_eq(setegid(getgid()), 0);
	ck_assert_ptr_null(as_other_group);
}
END_TEST

static size_t wiped;

static void *noting_memset(void *mem, int c, size_t len)
{
	wiped += len;
	return memset(mem, c, len);
}

START_TEST(test_memclear_goes_through_the_pointer)
{
	char secret[8] = "secrets";

	evutil_memset_volatile_ = noting_memset;
	evutil_memclear_(secret, sizeof(secret));
	evutil_memset_volatile_ = memset;
	ck_assert_uint_eq(wiped, sizeof(secret));
	ck_assert_int_eq(secret[0], 0);
	ck_assert_int_eq(secret[6], 0);
}
END_TEST

static int memory_fd;

/* The name of a new file in memory that holds the text; good until memory_fd is closed. */
static const char *file_with(const char *text)
{
	static char name[64];

	memory_fd = memfd_create("check_evutil", MFD_CLOEXEC);
	ck_assert_int_ge(memory_fd, 0);
	ck_assert_int_eq(write(memory_fd, text, strlen(text)), (ssize_t)strlen(text));
	snprintf(name, sizeof(name), "/proc/self/fd/%d", memory_fd);
	return name;
}

START_TEST(test_read_file_gives_all_of_it_and_a_nul)
{
	const char *name = file_with("one\ntwo\n");
	char *content;
	size_t len;

	ck_assert_int_eq(evutil_read_file_(name, &content, &len, 1), 0);
	ck_assert_uint_eq(len, 8);
	ck_assert_str_eq(content, "one\ntwo\n");
	mm_free(content);
	close(memory_fd);
}
END_TEST

START_TEST(test_read_file_of_an_empty_file_is_an_empty_string)
{
	const char *name = file_with("");
	char *content;
	size_t len = 7;

	ck_assert_int_eq(evutil_read_file_(name, &content, &len, 0), 0);
	ck_assert_uint_eq(len, 0);
	ck_assert_str_eq(content, "");
	mm_free(content);
	close(memory_fd);
}
END_TEST

START_TEST(test_read_file_tells_a_missing_file_from_an_unreadable_one)
{
	char *content = last_log;
	size_t len = 7;

	ck_assert_int_eq(evutil_read_file_("/no/such/file", &content, &len, 0), -1);
	ck_assert_ptr_null(content);
	ck_assert_uint_eq(len, 0);
	ck_assert_int_eq(evutil_read_file_("/", &content, &len, 0), -2);
	ck_assert_ptr_null(content);
	event_set_mem_functions(no_memory, realloc, free);
	ck_assert_int_eq(evutil_read_file_("/proc/self/exe", &content, &len, 0), -2);
	event_set_mem_functions(NULL, NULL, NULL);
	ck_assert_ptr_null(content);
}
END_TEST

static void read_file_into_nothing(void)
{
	size_t len;
	evutil_read_file_("/", NULL, &len, 0);
}

START_TEST(test_read_file_without_a_place_for_the_answer_aborts)
{
	struct in_child c = in_child(read_file_into_nothing);
	ck_assert_int_eq(c.signal, SIGABRT);
}
END_TEST

START_TEST(test_open_is_close_on_exec)
{
	int fd = evutil_open_closeonexec_("/dev/null", O_RDONLY, 0);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
	ck_assert_int_eq(evutil_open_closeonexec_("/no/such/file", O_RDONLY, 0), -1);
}
END_TEST

START_TEST(test_the_hooks_for_globals_are_harmless)
{
	ck_assert_int_eq(evutil_global_setup_locks_(1), 0);
	ck_assert_int_eq(evutil_secure_rng_global_setup_locks_(1), 0);
	evutil_free_globals_();
	evutil_free_secure_rng_globals_();
}
END_TEST

/* ---- random numbers ---- */

START_TEST(test_weakrand_is_the_known_sequence)
{
	struct evutil_weakrand_state state;

	ck_assert_uint_eq(evutil_weakrand_seed_(&state, 1), 1);
	ck_assert_int_eq(evutil_weakrand_(&state), 1103527590);
	uint32_t expected = 1103527590;
	for (int i = 0; i < 1000; i++) {
		expected = (uint32_t)((expected * UINT64_C(1103515245) + 12345) % 2147483648);
		ck_assert_int_eq(evutil_weakrand_(&state), (int)expected);
	}
}
END_TEST

START_TEST(test_weakrand_without_a_seed_makes_one)
{
	struct evutil_weakrand_state state = {0};

	ck_assert_uint_eq(evutil_weakrand_seed_(&state, 0), state.seed);
	ck_assert_uint_ne(state.seed, 0);
}
END_TEST

START_TEST(test_weakrand_range_keeps_below_the_top_and_reaches_all)
{
	struct evutil_weakrand_state state;
	int seen[10] = {0};

	evutil_weakrand_seed_(&state, 4711);
	for (int i = 0; i < 1000; i++)
		seen[evutil_weakrand_range_(&state, 10)]++;
	for (size_t i = 0; i < N_OF(seen); i++)
		ck_assert_int_gt(seen[i], 0);
	for (int i = 0; i < 10; i++) {
		ck_assert_int_eq(evutil_weakrand_range_(&state, 1), 0);
		ck_assert_int_ge(evutil_weakrand_range_(&state, EVUTIL_WEAKRAND_MAX), 0);
	}
}
END_TEST

START_TEST(test_secure_rng_reaches_every_bit_and_no_further)
{
	unsigned char all[19] = {0}, buf[20];

	ck_assert_int_eq(evutil_secure_rng_init(), 0);
	for (int i = 0; i < 100; i++) {
		buf[19] = 0x5a;
		evutil_secure_rng_get_bytes(buf, 19);
		ck_assert_uint_eq(buf[19], 0x5a);
		for (int j = 0; j < 19; j++)
			all[j] |= buf[j];
	}
	for (int j = 0; j < 19; j++)
		ck_assert_uint_eq(all[j], 0xff);
}
END_TEST

START_TEST(test_secure_rng_fills_more_than_one_call_of_the_kernel)
{
	static unsigned char buf[1 << 16];

	evutil_secure_rng_get_bytes(buf, sizeof(buf));
	unsigned any = 0;
	for (size_t i = sizeof(buf) - 32; i < sizeof(buf); i++)
		any |= buf[i];
	ck_assert_uint_ne(any, 0);
}
END_TEST

START_TEST(test_secure_rng_takes_no_device_and_no_seed)
{
	char device[] = "/dev/zero";

	ck_assert_int_eq(evutil_secure_rng_set_urandom_device_file(device), -1);
	evutil_secure_rng_add_bytes("seed", 4);
}
END_TEST

/* ---- time ---- */

START_TEST(test_tv_to_msec_rounds_up_and_refuses_what_does_not_fit)
{
	static const struct {
		struct timeval tv;
		long msec;
	} cases[] = {{{0, 0}, 0}, {{0, 1}, 1}, {{0, 1000}, 1}, {{0, 1001}, 2}, {{1, 999999}, 2000},
	    {{1, 1000000}, 2000}, {{1, 1000001}, -1}, {{LONG_MAX, 0}, -1},
	    {{(LONG_MAX - 999) / 1000 + 1, 0}, -1},
	    {{(LONG_MAX - 999) / 1000, 0}, (LONG_MAX - 999) / 1000 * 1000}};

	for (size_t i = 0; i < N_OF(cases); i++)
		ck_assert_int_eq(evutil_tv_to_msec_(&cases[i].tv), cases[i].msec);
}
END_TEST

START_TEST(test_usleep_sleeps_at_least_that_long)
{
	struct timeval delay = {0, 20000};
	struct timespec before, after;

	clock_gettime(CLOCK_MONOTONIC, &before);
	evutil_usleep_(&delay);
	clock_gettime(CLOCK_MONOTONIC, &after);
	long slept_us =
	    (after.tv_sec - before.tv_sec) * 1000000 + (after.tv_nsec - before.tv_nsec) / 1000;
	ck_assert_int_ge(slept_us, 20000);
	evutil_usleep_(NULL);
}
END_TEST

START_TEST(test_date_is_rfc1123_in_english)
{
	time_t t = 1289692800;
	struct tm tm;
	char buf[30];

	gmtime_r(&t, &tm);
	ck_assert_int_eq(evutil_date_rfc1123(buf, sizeof(buf), &tm), 29);
	ck_assert_str_eq(buf, "Sun, 14 Nov 2010 00:00:00 GMT");
	ck_assert_int_eq(evutil_date_rfc1123(buf, 8, &tm), 29);
	ck_assert_str_eq(buf, "Sun, 14");
	ck_assert_int_eq(evutil_date_rfc1123(buf, sizeof(buf), NULL), 29);
}
END_TEST

START_TEST(test_monotonic_flags_choose_the_clock)
{
	struct evutil_monotonic_timer mt = {0};

	ck_assert_int_eq(evutil_configure_monotonic_time_(&mt, 0), 0);
	ck_assert_int_eq(mt.monotonic_clock, CLOCK_MONOTONIC_COARSE);
	ck_assert_int_eq(evutil_configure_monotonic_time_(&mt, EV_MONOT_PRECISE), 0);
	ck_assert_int_eq(mt.monotonic_clock, CLOCK_MONOTONIC);
	ck_assert_int_eq(
	    evutil_configure_monotonic_time_(&mt, EV_MONOT_FALLBACK | EV_MONOT_PRECISE), 0);
	ck_assert_int_eq(mt.monotonic_clock, -1);
}
END_TEST

START_TEST(test_monotonic_timers_lie_as_the_siblings_expect)
{
	ck_assert_uint_eq(sizeof(struct evutil_monotonic_timer), 40);
	ck_assert_uint_eq(offsetof(struct evutil_monotonic_timer, adjust_monotonic_clock), 8);
	ck_assert_uint_eq(offsetof(struct evutil_monotonic_timer, last_time), 24);
}
END_TEST

START_TEST(test_ratchet_stands_still_when_the_clock_is_set_back)
{
	struct evutil_monotonic_timer mt = {0};
	struct timeval first, second, third;

	evutil_configure_monotonic_time_(&mt, EV_MONOT_FALLBACK);
	ck_assert_int_eq(evutil_gettime_monotonic_(&mt, &first), 0);
	mt.last_time.tv_sec += 1000; /* as if the clock had lost these since */
	ck_assert_int_eq(evutil_gettime_monotonic_(&mt, &second), 0);
	ck_assert_int_eq(second.tv_sec, first.tv_sec + 1000);
	ck_assert_int_eq(second.tv_usec, first.tv_usec);
	ck_assert_int_eq(evutil_gettime_monotonic_(&mt, &third), 0);
	ck_assert(timercmp(&third, &second, >=));
	ck_assert_int_lt(third.tv_sec, second.tv_sec + 500);
}
END_TEST

START_TEST(test_monotonic_time_moves_forward)
{
	struct evutil_monotonic_timer *mt = evutil_monotonic_timer_new();
	struct timeval before, after, delay = {0, 30000};

	for (int flags = 0; flags < 4; flags++) {
		ck_assert_int_eq(evutil_configure_monotonic_time(mt, flags), 0);
		ck_assert_int_eq(evutil_gettime_monotonic(mt, &before), 0);
		evutil_usleep_(&delay);
		ck_assert_int_eq(evutil_gettime_monotonic(mt, &after), 0);
		ck_assert(timercmp(&after, &before, >));
		ck_assert_int_lt(after.tv_usec, 1000000);
	}
	evutil_monotonic_timer_free(mt);
	evutil_monotonic_timer_free(NULL);
}
END_TEST

START_TEST(test_a_clock_that_does_not_exist_is_an_error)
{
	struct evutil_monotonic_timer mt = {.monotonic_clock = 12345};
	struct timeval tv;

	ck_assert_int_eq(evutil_gettime_monotonic_(&mt, &tv), -1);
}
END_TEST

/* ---- sockets ---- */

START_TEST(test_socket_has_the_flags_from_the_start)
{
	int fd =
	    evutil_socket_(AF_INET, SOCK_STREAM | EVUTIL_SOCK_NONBLOCK | EVUTIL_SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	evutil_closesocket(fd);
	ck_assert_int_eq(evutil_socket_(-1, SOCK_STREAM, 0), -1);
}
END_TEST

/* A socket in the abstract namespace under a name that only this process uses. */
static int unix_socket(struct sockaddr_un *sun, socklen_t *len, bool bound, bool listening)
{
	static int serial;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	memset(sun, 0, sizeof(*sun));
	sun->sun_family = AF_UNIX;
	snprintf(sun->sun_path + 1, sizeof(sun->sun_path) - 1, "check_evutil.%d.%d", (int)getpid(),
	    ++serial);
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(sun->sun_path + 1));
	if (bound)
		ck_assert_int_eq(bind(fd, (struct sockaddr *)sun, *len), 0);
	if (listening)
		ck_assert_int_eq(listen(fd, 4), 0);
	return fd;
}

START_TEST(test_connect_makes_a_socket_and_says_connected)
{
	struct sockaddr_un sun;
	socklen_t len;
	int listener = unix_socket(&sun, &len, true, true);
	int fd = -1;

	ck_assert_int_eq(evutil_socket_connect_(&fd, (struct sockaddr *)&sun, (int)len), 1);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD), 0);
	ck_assert_int_eq(evutil_socket_finished_connecting_(fd), 1);

	int accepted =
	    evutil_accept4_(listener, NULL, NULL, EVUTIL_SOCK_NONBLOCK | EVUTIL_SOCK_CLOEXEC);
	ck_assert_int_ge(accepted, 0);
	ck_assert_int_ne(fcntl(accepted, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_eq(fcntl(accepted, F_GETFD), FD_CLOEXEC);
	evutil_closesocket(accepted);
	evutil_closesocket(fd);
	evutil_closesocket(listener);
}
END_TEST

START_TEST(test_connect_that_is_refused_keeps_the_socket)
{
	struct sockaddr_un sun;
	socklen_t len;
	int deaf = unix_socket(&sun, &len, true, false);
	int fd = -1;

	ck_assert_int_eq(evutil_socket_connect_(&fd, (struct sockaddr *)&sun, (int)len), 2);
	ck_assert_int_ge(fd, 0);
	evutil_closesocket(fd);
	evutil_closesocket(deaf);
}
END_TEST

START_TEST(test_connect_that_fails_closes_only_what_it_made)
{
	struct sockaddr_un sun;
	socklen_t len;
	int own = unix_socket(&sun, &len, false, false);
	int fd = own, made = -1;

	/* An abstract name without a socket refuses; what fails is an address of no family. */
	sun.sun_family = AF_INET;
	ck_assert_int_eq(evutil_socket_connect_(&fd, (struct sockaddr *)&sun, (int)len), -1);
	ck_assert_int_eq(fd, own);
	ck_assert_int_ge(fcntl(own, F_GETFD), 0);
	sun.sun_family = 9999;
	ck_assert_int_eq(evutil_socket_connect_(&made, (struct sockaddr *)&sun, (int)len), -1);
	ck_assert_int_eq(made, -1);
	sun.sun_family = AF_UNIX;
	errno = 0;
	ck_assert_int_eq(evutil_socket_connect_(&made, (struct sockaddr *)&sun, 1), -1);
	ck_assert_int_eq(made, -1);
	ck_assert_int_eq(errno, EINVAL);
	evutil_closesocket(own);
}
END_TEST

START_TEST(test_finished_connecting_leaves_the_reason_in_errno)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr *sa = (struct sockaddr *)&sin;
	socklen_t len = sizeof(sin);
	int deaf = socket(AF_INET, SOCK_STREAM, 0);
	int fd = -1;

	ck_assert_int_eq(bind(deaf, sa, len), 0);
	ck_assert_int_eq(getsockname(deaf, sa, &len), 0);
	int r = evutil_socket_connect_(&fd, sa, (int)len);
	ck_assert(r == 0 || r == 2);
	if (r == 0) {
		struct pollfd p = {.fd = fd, .events = POLLOUT};
		ck_assert_int_eq(poll(&p, 1, 30000), 1);
		ck_assert_int_eq(evutil_socket_finished_connecting_(fd), -1);
		ck_assert_int_eq(errno, ECONNREFUSED);
	}
	evutil_closesocket(fd);
	ck_assert_int_eq(evutil_socket_finished_connecting_(-1), -1);
	ck_assert_int_eq(errno, EBADF);
	evutil_closesocket(deaf);
}
END_TEST

static void check_talk(int from, int to)
{
	char c = 0;
	ck_assert_int_eq(write(from, "x", 1), 1);
	ck_assert_int_eq(read(to, &c, 1), 1);
	ck_assert_int_eq(c, 'x');
}

START_TEST(test_ersatz_socketpair_is_a_connected_pair)
{
	static const int families[] = {AF_INET, AF_UNIX};

	for (size_t i = 0; i < N_OF(families); i++) {
		int fd[2] = {-1, -1};
		ck_assert_int_eq(evutil_ersatz_socketpair_(families[i], SOCK_STREAM, 0, fd), 0);
		check_talk(fd[0], fd[1]);
		check_talk(fd[1], fd[0]);
		evutil_closesocket(fd[0]);
		evutil_closesocket(fd[1]);
	}
}
END_TEST

START_TEST(test_ersatz_socketpair_refuses_what_it_cannot_do)
{
	int fd[2] = {-5, -5};

	ck_assert_int_eq(evutil_ersatz_socketpair_(AF_INET6, SOCK_STREAM, 0, fd), -1);
	ck_assert_int_eq(errno, EAFNOSUPPORT);
	ck_assert_int_eq(evutil_ersatz_socketpair_(AF_INET, SOCK_STREAM, 1, fd), -1);
	ck_assert_int_eq(errno, EAFNOSUPPORT);
	ck_assert_int_eq(evutil_ersatz_socketpair_(AF_INET, SOCK_STREAM, 0, NULL), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(evutil_ersatz_socketpair_(AF_INET, SOCK_DGRAM, 0, fd), -1);
	ck_assert_int_eq(fd[0], -5);
}
END_TEST

START_TEST(test_internal_pipe_flows_one_way_and_never_blocks)
{
	int fd[2];
	char c;

	ck_assert_int_eq(evutil_make_internal_pipe_(fd), 0);
	check_talk(fd[1], fd[0]);
	ck_assert_int_eq(read(fd[0], &c, 1), -1);
	ck_assert_int_eq(errno, EAGAIN);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_ne(fcntl(fd[i], F_GETFL) & O_NONBLOCK, 0);
		ck_assert_int_eq(fcntl(fd[i], F_GETFD), FD_CLOEXEC);
		close(fd[i]);
	}
}
END_TEST

static void pipe_without_descriptors(void)
{
	struct rlimit none = {0, 0};
	int fd[2] = {7, 7};

	event_set_log_callback(keep_log);
	must(setrlimit(RLIMIT_NOFILE, &none) == 0);
	must(evutil_make_internal_pipe_(fd) == -1);
	must(fd[0] == -1 && fd[1] == -1);
	must(strstr(last_log, "evutil_make_internal_pipe_: pipe: ") == last_log);
}

START_TEST(test_internal_pipe_that_fails_leaves_no_descriptor)
{
	struct in_child c = in_child(pipe_without_descriptors);
	ck_assert_msg(c.exit_code == 0, "%s", c.stderr_text);
}
END_TEST

START_TEST(test_eventfd_counts)
{
	int fd = evutil_eventfd_(3, O_NONBLOCK | O_CLOEXEC);
	uint64_t value = 0;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(read(fd, &value, sizeof(value)), sizeof(value));
	ck_assert_uint_eq(value, 3);
	ck_assert_int_eq(read(fd, &value, sizeof(value)), -1);
	close(fd);
	ck_assert_int_eq(evutil_eventfd_(0, -1), -1);
}
END_TEST

START_TEST(test_flags_of_a_bad_descriptor_are_warned_about)
{
	event_set_log_callback(keep_log);
	ck_assert_int_eq(evutil_make_socket_nonblocking(-1), -1);
	ck_assert_str_eq(last_log, "fcntl(-1, F_GETFL): Bad file descriptor");
	ck_assert_int_eq(evutil_make_socket_closeonexec(-1), -1);
	ck_assert_str_eq(last_log, "fcntl(-1, F_GETFD): Bad file descriptor");
	event_set_log_callback(NULL);
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

static void add_text_and_files(Suite *s)
{
	TCase *tc = group(s, "text");
	tcase_add_test(tc, test_classes_are_those_of_ascii);
	tcase_add_test(tc, test_case_is_changed_in_ascii_only);
	tcase_add_test(tc, test_comparing_ignores_case_and_stops_at_the_limit);
	tcase_add_test(tc, test_hex_digits_have_values_and_nothing_else_has);
	tcase_add_test(tc, test_rtrim_takes_spaces_and_tabs_off_the_end_only);
	tcase_add_test(tc, test_strlcpy_says_the_length_and_always_terminates);
	tcase_add_test(tc, test_snprintf_into_nothing_says_nothing);
	tcase_add_test(tc, test_strtoll_reads_64_bits);

	tc = group(s, "process and files");
	tcase_add_test(tc, test_getenv_is_blind_in_a_setuid_program);
	tcase_add_test(tc, test_memclear_goes_through_the_pointer);
	tcase_add_test(tc, test_read_file_gives_all_of_it_and_a_nul);
	tcase_add_test(tc, test_read_file_of_an_empty_file_is_an_empty_string);
	tcase_add_test(tc, test_read_file_tells_a_missing_file_from_an_unreadable_one);
	tcase_add_test(tc, test_read_file_without_a_place_for_the_answer_aborts);
	tcase_add_test(tc, test_open_is_close_on_exec);
	tcase_add_test(tc, test_the_hooks_for_globals_are_harmless);
}

static void add_chance_and_time(Suite *s)
{
	TCase *tc = group(s, "random numbers");
	tcase_add_test(tc, test_weakrand_is_the_known_sequence);
	tcase_add_test(tc, test_weakrand_without_a_seed_makes_one);
	tcase_add_test(tc, test_weakrand_range_keeps_below_the_top_and_reaches_all);
	tcase_add_test(tc, test_secure_rng_reaches_every_bit_and_no_further);
	tcase_add_test(tc, test_secure_rng_fills_more_than_one_call_of_the_kernel);
	tcase_add_test(tc, test_secure_rng_takes_no_device_and_no_seed);

	tc = group(s, "time");
	tcase_add_test(tc, test_tv_to_msec_rounds_up_and_refuses_what_does_not_fit);
	tcase_add_test(tc, test_usleep_sleeps_at_least_that_long);
	tcase_add_test(tc, test_date_is_rfc1123_in_english);
	tcase_add_test(tc, test_monotonic_flags_choose_the_clock);
	tcase_add_test(tc, test_monotonic_timers_lie_as_the_siblings_expect);
	tcase_add_test(tc, test_ratchet_stands_still_when_the_clock_is_set_back);
	tcase_add_test(tc, test_monotonic_time_moves_forward);
	tcase_add_test(tc, test_a_clock_that_does_not_exist_is_an_error);
}

static void add_sockets(Suite *s)
{
	TCase *tc = group(s, "sockets");
	tcase_add_test(tc, test_socket_has_the_flags_from_the_start);
	tcase_add_test(tc, test_connect_makes_a_socket_and_says_connected);
	tcase_add_test(tc, test_connect_that_is_refused_keeps_the_socket);
	tcase_add_test(tc, test_connect_that_fails_closes_only_what_it_made);
	tcase_add_test(tc, test_finished_connecting_leaves_the_reason_in_errno);
	tcase_add_test(tc, test_ersatz_socketpair_is_a_connected_pair);
	tcase_add_test(tc, test_ersatz_socketpair_refuses_what_it_cannot_do);
	tcase_add_test(tc, test_internal_pipe_flows_one_way_and_never_blocks);
	tcase_add_test(tc, test_internal_pipe_that_fails_leaves_no_descriptor);
	tcase_add_test(tc, test_eventfd_counts);
	tcase_add_test(tc, test_flags_of_a_bad_descriptor_are_warned_about);
}

int main(void)
{
	Suite *s = suite_create("evutil");
	SRunner *sr = srunner_create(s);
	int failed;

	add_text_and_files(s);
	add_chance_and_time(s);
	add_sockets(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
