/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mm.h - all memory of compat/ comes from here.
 *
 * A program may hand us its own allocator with event_set_mem_functions(), and the sibling libraries
 * (extra, openssl, pthreads) call the same entry points, so memory may cross library borders: what
 * came from mm_* goes back through mm_free(), and nothing else does. Zero bytes are never
 * allocated: the answer is NULL, which a caller must not take for a shortage.
 */
#ifndef COMPAT_MM_H
#define COMPAT_MM_H

#include <stdbool.h>
#include <stddef.h>

/* True from when the program has given functions of its own. */
extern bool evc_mm_replaced;

/* sz bytes, not initialised. NULL for sz == 0 and when there is no memory. */
void *event_mm_malloc_(size_t sz);

/* count * size zeroed bytes. NULL if either is 0; NULL and ENOMEM if the product does not fit. */
void *event_mm_calloc_(size_t count, size_t size);

/* A copy of str that the caller owns. NULL and EINVAL if str is NULL. */
char *event_mm_strdup_(const char *str);

/* As realloc(3) or the program's own; sz == 0 is not treated specially. */
void *event_mm_realloc_(void *p, size_t sz);

/* As free(3) or the program's own, which is handed p even if it is NULL. */
void event_mm_free_(void *p);

#define mm_malloc(sz) event_mm_malloc_(sz)
#define mm_calloc(count, size) event_mm_calloc_((count), (size))
#define mm_strdup(str) event_mm_strdup_(str)
#define mm_realloc(p, sz) event_mm_realloc_((p), (sz))
#define mm_free(p) event_mm_free_(p)

#endif
