/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Says which event loop a program gets here: run it as it is, then with the library path, and see
 * the method change.
 *
 *     ./examples/which_loop
 *     LD_LIBRARY_PATH=./dropin ./examples/which_loop
 *
 * With the argument "method" it prints the method's name and nothing else, for scripts.
 */
#include <stdio.h>
#include <string.h>

#include <event2/event.h>

static void print_features(int features)
{
	printf("edge-triggered events: %s\n", features & EV_FEATURE_ET ? "yes" : "no");
	printf("add and delete in constant time: %s\n", features & EV_FEATURE_O1 ? "yes" : "no");
	printf("all kinds of files: %s\n", features & EV_FEATURE_FDS ? "yes" : "no");
	printf("notice of a peer that closes early: %s\n",
	    features & EV_FEATURE_EARLY_CLOSE ? "yes" : "no");
}

int main(int argc, char **argv)
{
	struct event_base *base = event_base_new();

	if (!base) {
		fprintf(stderr, "which_loop: no event_base can be made here\n");
		return 1;
	}
	if (argc > 1 && strcmp(argv[1], "method") == 0) {
		puts(event_base_get_method(base));
	} else {
		printf(
		    "libevent %s, method %s\n", event_get_version(), event_base_get_method(base));
		print_features(event_base_get_features(base));
	}
	event_base_free(base);
	return 0;
}
