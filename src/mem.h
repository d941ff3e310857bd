/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where the engine's memory comes from.
 *
 * The engine never calls malloc itself: whoever embeds it may have an allocator of its own (and its
 * tests fail every allocation in turn). Then it defines evu_mem; otherwise that is libc's.
 */
#ifndef EVU_MEM_H
#define EVU_MEM_H

#include <stddef.h>

struct evu_mem {
	void *(*alloc)(size_t size);
	void *(*zalloc)(size_t n, size_t size);
	void *(*realloc)(void *p, size_t size);
	void (*free)(void *p);
};

extern const struct evu_mem evu_mem;

#endif
