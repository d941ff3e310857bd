/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mm.c - the allocator that a program may replace.
 *
 * Normally every call goes to libc. After event_set_mem_functions() it goes to the program's three
 * functions; each of them may be NULL and leaves that one operation to libc, which is the program's
 * own affair. There is no replacement for calloc and strdup: both are made of the program's malloc,
 * so that no byte of ours escapes it.
 *
 * Traps: errno is ours to set only where we find the failure ourselves, a program's malloc may
 * leave it alone. mm_realloc(p, 0) is handed on as it is. mm_free(NULL) reaches the program's
 * function.
 */
#include "mm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

/* glibc caches what is not larger. */
enum { CACHED_MOST = 1032 };

/* The program's functions. NULL: libc's. */
static void *(*user_malloc)(size_t sz);
static void *(*user_realloc)(void *p, size_t sz);
static void (*user_free)(void *p);
bool evc_mm_replaced;

void event_set_mem_functions(void *(*malloc_fn)(size_t sz), void *(*realloc_fn)(void *p, size_t sz),
    void (*free_fn)(void *p))
{
	user_malloc = malloc_fn;
	user_realloc = realloc_fn;
	user_free = free_fn;
	evc_mm_replaced = malloc_fn || realloc_fn || free_fn;
}

void *event_mm_malloc_(size_t sz)
{
	if (sz == 0)
		return NULL;
	return user_malloc ? user_malloc(sz) : malloc(sz);
}

/* The program's malloc for a caller that promises ENOMEM on failure. */
static void *user_malloc_or_enomem(size_t sz)
{
	void *p = user_malloc(sz);

	if (!p)
		errno = ENOMEM;
	return p;
}

void *event_mm_calloc_(size_t count, size_t size)
{
	size_t total;
	void *p;

	if (count == 0 || size == 0)
		return NULL;
	/* Before libc sees it too: a sanitizer's calloc ends the process. */
	if (__builtin_mul_overflow(count, size, &total)) {
		errno = ENOMEM;
		return NULL;
	}
	/* glibc's calloc passes by the cache of the thread, which is what makes malloc fast. */
	if (!user_malloc && total <= CACHED_MOST) {
		p = malloc(total);
		/* Else the compiler makes it a calloc again. */
		__asm__("" : "+r"(p));
		return p ? memset(p, 0, total) : NULL;
	}
	if (!user_malloc)
		return calloc(count, size);
	p = user_malloc_or_enomem(total);
	return p ? memset(p, 0, total) : NULL;
}

char *event_mm_strdup_(const char *str)
{
	size_t size;
	char *copy;

	if (!str) {
		errno = EINVAL;
		return NULL;
	}
	if (!user_malloc)
		return strdup(str);
	size = strlen(str) + 1;
	copy = user_malloc_or_enomem(size);
	return copy ? memcpy(copy, str, size) : NULL;
}

void *event_mm_realloc_(void *p, size_t sz)
{
	return user_realloc ? user_realloc(p, sz) : realloc(p, sz);
}

void event_mm_free_(void *p)
{
	if (user_free)
		user_free(p);
	else
		free(p);
}
