/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * event_config: what a program asks of a base that it is about to make.
 */
#ifndef COMPAT_CONFIG_H
#define COMPAT_CONFIG_H

#include "base.h"

struct evc_avoided {
	TAILQ_ENTRY(evc_avoided) next;
	char *method;
};

struct event_config {
	TAILQ_HEAD(evc_avoided_list, evc_avoided) avoided;
	int features;                         /* enum event_method_feature, or-ed */
	int flags;                            /* enum event_base_config_flag, or-ed */
	struct timeval max_dispatch_interval; /* tv_sec -1: none */
	int max_dispatch_callbacks;
	int limit_callbacks_after_prio;
};

/* The methods that cfg (NULL: no wishes) and the environment leave, as evu_engine_new takes them.
 */
unsigned evc_config_methods(const struct event_config *cfg);
int evc_method_features(enum evu_method method);

#endif
