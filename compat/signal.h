/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Signals: counted by a handler, turned into active events by the loop.
 */
#ifndef COMPAT_SIGNAL_H
#define COMPAT_SIGNAL_H

#include <signal.h>
#include <stdbool.h>

struct event;
struct event_base;

/* Signal numbers are 1 to EVC_NSIG - 1. */
#define EVC_NSIG 65

/* A base's share. */
struct evc_sigs {
	struct sigaction
	    *old[EVC_NSIG]; /* what the program had before the first event of that signal */
	int n_added;        /* signals that have events */
	int left[EVC_NSIG]; /* came while this base was preferred, and were not collected before
			       another one was */
	_Atomic int any_left;
};

/* The first event of a signal, or the last, came or went: the handler is set, or the old one is
 * back. */
int evc_signal_catch(struct event_base *base, int sig);
int evc_signal_release(struct event_base *base, int sig);
/* This base gets the signals from now on. */
void evc_signal_prefer(struct event_base *base);
/* Some signal came that was not collected yet. */
extern __attribute__((visibility("hidden"))) _Atomic int evc_signal_any;
/* True iff signals came for this base that were not collected yet. */
bool evc_signal_pending(const struct event_base *base);
/* Makes the events of signals that came active. */
void evc_signal_collect(struct event_base *base);
/* This process is a child: what its parent caught is not its own. */
void evc_signal_forked(struct event_base *base);
/* Puts old handlers back and forgets the base. */
void evc_signal_fini(struct event_base *base);

int evc_signal_setup_locks(int enable_locks);
void evc_signal_free_globals(void);

#endif
