/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Debug mode: a table, kept apart from the events themselves, of which events were assigned and
 * which are added, so that misuse of an event is found even when its memory was overwritten. All of
 * these do nothing unless event_enable_debug_mode() was called.
 */
#ifndef COMPAT_DEBUG_H
#define COMPAT_DEBUG_H

#include "base.h"

extern int event_debug_mode_on_;
extern int event_debug_created_threadable_ctx_;

/* From the first event or base on, event_enable_debug_mode() is too late. */
void evc_debug_started(void);

void evc_debug_note_setup(const struct event *ev);
void evc_debug_note_teardown(const struct event *ev);

/* The rest are asked in every call of the program: the switch is looked at in place. */
#define EVC_DEBUG(call)                                        \
	do {                                                   \
		if (__builtin_expect(event_debug_mode_on_, 0)) \
			call;                                  \
	} while (0)
#define evc_debug_note_add(ev) EVC_DEBUG(evc_debug_added(ev, 1))
#define evc_debug_note_del(ev) EVC_DEBUG(evc_debug_added(ev, 0))
/* These end the process (EVENT_ERR_ABORT_) when it is not so. */
#define evc_debug_assert_setup(ev, func) EVC_DEBUG(evc_debug_is_setup((ev), (func)))
#define evc_debug_assert_not_added(ev, func) EVC_DEBUG(evc_debug_is_not_added((ev), (func)))
#define evc_debug_assert_nonblocking(fd, func) EVC_DEBUG(evc_debug_is_nonblocking((fd), (func)))

void evc_debug_added(const struct event *ev, bool added);
void evc_debug_is_setup(const struct event *ev, const char *func);
void evc_debug_is_not_added(const struct event *ev, const char *func);
void evc_debug_is_nonblocking(evutil_socket_t fd, const char *func);

/* Forgets all; exported by stock, declared in none of its headers. */
void event_disable_debug_mode(void);
int evc_debug_setup_locks(int enable_locks);
void evc_debug_free_globals(void);

#endif
