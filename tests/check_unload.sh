#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A program may load the library with dlopen() and unload it while threads go on that have used it: nothing of it may
# be called when they end. And again, and again: a process has a thousand thread-specific keys.
set -eu

if [ "${EVU_SANITIZED-}" = yes ]; then
	echo "skipped: a sanitizer wants to be the first library in the process"
	exit 77
fi
unset LD_LIBRARY_PATH LD_PRELOAD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/unload.c" <<'END'
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <event2/buffer.h>
#include <event2/event.h>

#define OF_LIBRARY(f) ((__typeof__(&(f)))sym(#f))

enum { ROUNDS = 1100 };

static void *library;
static pthread_barrier_t barrier;

static void *sym(const char *name)
{
	void *p = dlsym(library, name);

	if (!p)
		exit(2);
	return p;
}

static void use(void)
{
	struct evbuffer *buf = OF_LIBRARY(evbuffer_new)();

	OF_LIBRARY(evbuffer_add)(buf, "x", 1);
	OF_LIBRARY(evbuffer_free)(buf);
}

static void *thread(void *arg)
{
	use();
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	return arg;
}

int main(int argc, char **argv)
{
	struct event_base *base;
	pthread_t id;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		library = dlopen(argv[argc - 1], RTLD_NOW | RTLD_LOCAL);
		if (!library) {
			fprintf(stderr, "%s\n", dlerror());
			return 2;
		}
		base = OF_LIBRARY(event_base_new)();
		pthread_barrier_init(&barrier, NULL, 2);
		pthread_create(&id, NULL, thread, NULL);
		pthread_barrier_wait(&barrier);
		use();
		OF_LIBRARY(event_base_free)(base);
		dlclose(library);
		if (dlopen(argv[argc - 1], RTLD_NOW | RTLD_NOLOAD))
			return 77;
		pthread_barrier_wait(&barrier);
		pthread_join(id, NULL);
		pthread_barrier_destroy(&barrier);
	}
	return 0;
}
END
# shellcheck disable=SC2086 # the compiler may come with flags
$CC -D_GNU_SOURCE -o "$work/unload" "$work/unload.c" -ldl -pthread
status=0
"$work/unload" "$EVU_BUILDDIR/$EVU_OBJDIR/libevent_uring.so.0" || status=$?
[ "$status" = 0 ] || echo "status $status"
exit "$status"
