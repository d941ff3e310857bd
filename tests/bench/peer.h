/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The libevent that a benchmark is compiled for: libevent itself (whichever implementation the
 * loader finds at run time), or libev's emulation of it when BENCH_LIBEV is defined.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include "bench.h"

#ifdef BENCH_LIBEV
#include "libev_event.h"
#else
#include <event2/event.h>
#include <event2/event_struct.h>
#endif

#include <stdio.h>

/* A new base, having printed which method and which library it is. */
static inline struct event_base *bench_base_new(void)
{
	struct event_base *base = event_base_new();

	if (base == NULL)
		bench_fail("event_base_new failed");
#ifdef BENCH_LIBEV
	printf(
	    "method %s\n", ev_backend((struct ev_loop *)base) == EVBACKEND_EPOLL ? "epoll" : "?");
#else
	printf("method %s\n", event_base_get_method(base));
#endif
	bench_report_library((const void *)(uintptr_t)event_base_new);
	return base;
}

#endif
