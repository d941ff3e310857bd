/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Debug mode: a table, kept apart from the events themselves, of which events were assigned and which are added, so that misuse of
 * an event is found even when its memory was overwritten. All of these do nothing unless event_enable_debug_mode() was called.
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
void evc_debug_note_add(const struct event *ev);
void evc_debug_note_del(const struct event *ev);
/* These end the process (EVENT_ERR_ABORT_) when it is not so. */
void evc_debug_assert_setup(const struct event *ev, const char *func);
void evc_debug_assert_not_added(const struct event *ev, const char *func);
void evc_debug_assert_nonblocking(evutil_socket_t fd, const char *func);

/* Forgets all; exported by stock, declared in none of its headers. */
void event_disable_debug_mode(void);
int evc_debug_setup_locks(int enable_locks);
void evc_debug_free_globals(void);

#endif
