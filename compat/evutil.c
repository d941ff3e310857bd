/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The odds and ends of event2/util.h: ASCII character classes and comparisons, bounded strings,
 * the environment, small files.
 *
 * Traps: everything here is about bytes on a wire, so the locale must not matter; and plain char
 * is signed on some machines and not on others, so classes look at unsigned char. The two
 * comparison functions however order bytes above 127 as plain char does, because the library that
 * we replace does and a sorted container may depend on it.
 */
#include "evutil_priv.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "mm.h"

static bool within(char c, unsigned char first, unsigned char last)
{
	unsigned char u = (unsigned char)c;
	return u >= first && u <= last;
}

int EVUTIL_ISLOWER_(char c)
{
	return within(c, 'a', 'z');
}

int EVUTIL_ISUPPER_(char c)
{
	return within(c, 'A', 'Z');
}

int EVUTIL_ISALPHA_(char c)
{
	return within(c, 'a', 'z') || within(c, 'A', 'Z');
}

int EVUTIL_ISDIGIT_(char c)
{
	return within(c, '0', '9');
}

int EVUTIL_ISALNUM_(char c)
{
	return EVUTIL_ISALPHA_(c) || within(c, '0', '9');
}

int EVUTIL_ISXDIGIT_(char c)
{
	return evutil_hex_char_to_int_(c) >= 0;
}

int EVUTIL_ISSPACE_(char c)
{
	return c == ' ' || within(c, '\t', '\r');
}

int EVUTIL_ISPRINT_(char c)
{
	return within(c, ' ', '~');
}

char EVUTIL_TOUPPER_(char c)
{
	return within(c, 'a', 'z') ? (char)(c - 'a' + 'A') : c;
}

char EVUTIL_TOLOWER_(char c)
{
	return within(c, 'A', 'Z') ? (char)(c - 'A' + 'a') : c;
}

int evutil_hex_char_to_int_(char c)
{
	if (within(c, '0', '9'))
		return c - '0';
	if (within(c, 'a', 'f'))
		return c - 'a' + 10;
	if (within(c, 'A', 'F'))
		return c - 'A' + 10;
	return -1;
}

static inline char lower(char c)
{
	return (unsigned char)(c - 'A') < 26 ? (char)(c | 0x20) : c;
}

int evutil_ascii_strncasecmp(const char *str1, const char *str2, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char a = str1[i], b = str2[i];

		if (a != b && lower(a) != lower(b))
			return lower(a) < lower(b) ? -1 : 1;
		if (a == '\0')
			break;
	}
	return 0;
}

int evutil_ascii_strcasecmp(const char *str1, const char *str2)
{
	char a, b;

	/* A list of names is looked through with this: most differ in the first letter. */
	do {
		a = *str1++;
		b = *str2++;
		if (a != b && lower(a) != lower(b))
			return lower(a) < lower(b) ? -1 : 1;
	} while (a != '\0');
	return 0;
}

ev_int64_t evutil_strtoll(const char *s, char **endptr, int base)
{
	return strtoll(s, endptr, base);
}

void evutil_rtrim_lws_(char *str)
{
	if (str == NULL)
		return;
	size_t len = strlen(str);
	while (len > 0 && (str[len - 1] == ' ' || str[len - 1] == '\t'))
		len--;
	str[len] = '\0';
}

size_t event_strlcpy_(char *dst, const char *src, size_t siz)
{
	size_t len = strlen(src);
	if (siz > 0) {
		size_t fits = len < siz ? len : siz - 1;
		memcpy(dst, src, fits);
		dst[fits] = '\0';
	}
	return len;
}

const char *evutil_getenv_(const char *name)
{
	if (getuid() != geteuid() || getgid() != getegid())
		return NULL;
	return getenv(name);
}

void *(*volatile evutil_memset_volatile_)(void *, int, size_t) = memset;

void evutil_memclear_(void *mem, size_t len)
{
	evutil_memset_volatile_(mem, 0, len);
}

int evutil_open_closeonexec_(const char *pathname, int flags, unsigned mode)
{
	return open(pathname, flags | O_CLOEXEC, (mode_t)mode);
}

/* Up to len bytes; fewer only at the end of the file. -1 on an error. */
static ssize_t read_fully(int fd, char *mem, size_t len)
{
	size_t have = 0;
	while (have < len) {
		ssize_t n = read(fd, mem + have, len - have);
		if (n == 0)
			break;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

/*
 * The size is asked for once: a file that grows meanwhile is cut there, and one whose size the
 * kernel gives as 0 (in /proc) comes out empty.
 */
static int read_open_file(int fd, char **content_out, size_t *len_out)
{
	struct stat st;
	if (fstat(fd, &st) < 0 || st.st_size < 0 || st.st_size > EV_SSIZE_MAX - 1)
		return -2;
	char *mem = mm_malloc((size_t)st.st_size + 1);
	if (mem == NULL)
		return -2;
	ssize_t len = read_fully(fd, mem, (size_t)st.st_size);
	if (len < 0) {
		mm_free(mem);
		return -2;
	}
	mem[len] = '\0';
	*content_out = mem;
	*len_out = (size_t)len;
	return 0;
}

int evutil_read_file_(const char *filename, char **content_out, size_t *len_out, int is_binary)
{
	(void)is_binary; /* all files are */
	evc_assert(content_out);
	evc_assert(len_out);
	*content_out = NULL;
	*len_out = 0;

	int fd = evutil_open_closeonexec_(filename, O_RDONLY, 0);
	if (fd < 0)
		return -1;
	int r = read_open_file(fd, content_out, len_out);
	close(fd);
	return r;
}

int evutil_global_setup_locks_(const int enable_locks)
{
	(void)enable_locks;
	return 0;
}

void evutil_free_globals_(void)
{
	evutil_free_secure_rng_globals_();
}
