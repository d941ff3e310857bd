/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The calls of event2/event_compat.h, from the days when a process had one event_base: the one that
 * event_init made last.
 */
#include "base.h"

#include <event2/event_compat.h>

struct event_base *event_global_current_base_;

struct event_base *event_init(void)
{
	struct event_base *base = event_base_new_with_config(NULL);

	if (!base)
		event_errx(1, "event_init: cannot make an event_base");
	event_global_current_base_ = base;
	return base;
}

int event_dispatch(void)
{
	return event_loop(0);
}

int event_loop(int flags)
{
	return event_base_loop(event_global_current_base_, flags);
}

int event_loopexit(const struct timeval *tv)
{
	return event_base_loopexit(event_global_current_base_, tv);
}

int event_loopbreak(void)
{
	return event_base_loopbreak(event_global_current_base_);
}

const char *event_get_method(void)
{
	return event_base_get_method(event_global_current_base_);
}

int event_priority_init(int npriorities)
{
	return event_base_priority_init(event_global_current_base_, npriorities);
}

void event_set(
    struct event *ev, evutil_socket_t fd, short events, event_callback_fn callback, void *arg)
{
	int r = event_assign(ev, event_global_current_base_, fd, events, callback, arg);

	evc_assert(r == 0);
}
