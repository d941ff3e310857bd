/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * event_config, and the choice of a method.
 *
 * Methods are tried best first: io_uring, epoll, poll. One is left out if the configuration avoids
 * it by name, if it lacks a required feature, or if EVENT_NO<NAME> is in the environment (which
 * set-user-ID programs and IGNORE_ENV do not look at).
 */
#include <limits.h>
#include <string.h>

#include "config.h"

int evc_method_features(enum evu_method method)
{
	static const int features[] = {
	    [EVU_IO_URING] = EV_FEATURE_ET | EV_FEATURE_O1 | EV_FEATURE_EARLY_CLOSE,
	    [EVU_EPOLL] = EV_FEATURE_ET | EV_FEATURE_O1 | EV_FEATURE_EARLY_CLOSE,
	    [EVU_POLL2] = EV_FEATURE_FDS | EV_FEATURE_EARLY_CLOSE,
	};

	return features[method];
}

struct event_config *event_config_new(void)
{
	struct event_config *cfg = mm_calloc(1, sizeof(*cfg));

	if (!cfg)
		return NULL;
	TAILQ_INIT(&cfg->avoided);
	cfg->max_dispatch_interval.tv_sec = -1;
	cfg->max_dispatch_callbacks = INT_MAX;
	cfg->limit_callbacks_after_prio = 1;
	return cfg;
}

void event_config_free(struct event_config *cfg)
{
	struct evc_avoided *a;

	while ((a = TAILQ_FIRST(&cfg->avoided))) {
		TAILQ_REMOVE(&cfg->avoided, a, next);
		mm_free(a->method);
		mm_free(a);
	}
	mm_free(cfg);
}

int event_config_avoid_method(struct event_config *cfg, const char *method)
{
	struct evc_avoided *a = mm_malloc(sizeof(*a));

	if (!a)
		return -1;
	a->method = mm_strdup(method);
	if (!a->method) {
		mm_free(a);
		return -1;
	}
	TAILQ_INSERT_TAIL(&cfg->avoided, a, next);
	return 0;
}

int event_config_require_features(struct event_config *cfg, int features)
{
	if (!cfg)
		return -1;
	cfg->features = features;
	return 0;
}

int event_config_set_flag(struct event_config *cfg, int flag)
{
	if (!cfg)
		return -1;
	cfg->flags |= flag;
	return 0;
}

int event_config_set_num_cpus_hint(struct event_config *cfg, int cpus)
{
	(void)cpus;
	return cfg ? 0 : -1;
}

int event_config_set_max_dispatch_interval(struct event_config *cfg,
    const struct timeval *max_interval, int max_callbacks, int min_priority)
{
	if (max_interval)
		cfg->max_dispatch_interval = *max_interval;
	else
		cfg->max_dispatch_interval.tv_sec = -1;
	cfg->max_dispatch_callbacks = max_callbacks >= 0 ? max_callbacks : INT_MAX;
	cfg->limit_callbacks_after_prio = min_priority > 0 ? min_priority : 0;
	return 0;
}

static bool avoided(const struct event_config *cfg, const char *name)
{
	const struct evc_avoided *a;

	TAILQ_FOREACH (a, &cfg->avoided, next)
		if (strcmp(a->method, name) == 0)
			return true;
	return false;
}

static bool forbidden(const char *name)
{
	char var[32];
	char *p;

	evutil_snprintf(var, sizeof(var), "EVENT_NO%s", name);
	for (p = var; *p; p++)
		*p = EVUTIL_TOUPPER_(*p);
	return evutil_getenv_(var) != NULL;
}

unsigned evc_config_methods(const struct event_config *cfg)
{
	bool look = !cfg || !(cfg->flags & EVENT_BASE_FLAG_IGNORE_ENV);
	unsigned set = 0;
	int m;

	for (m = 0; m < EVU_NMETHODS; m++) {
		const char *name = evu_method_name((enum evu_method)m);

		if (cfg && (avoided(cfg, name) ||
			       cfg->features & ~evc_method_features((enum evu_method)m)))
			continue;
		if (look && forbidden(name))
			continue;
		set |= 1u << m;
	}
	return set;
}

const char **event_get_supported_methods(void)
{
	static const char **list;
	const char **fresh = mm_calloc(EVU_NMETHODS + 1, sizeof(*fresh));
	int m;

	if (!fresh)
		return NULL;
	for (m = 0; m < EVU_NMETHODS; m++)
		fresh[m] = evu_method_name((enum evu_method)m);
	if (list)
		mm_free(list);
	list = fresh;
	return list;
}
