/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzzer for what reads addresses from text. Whatever the text, nothing may crash; what was
 * understood must, once written out, be understood again, and mean the same.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/util.h>

#include "evutil_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void set_port_if_none(struct sockaddr_storage *where)
{
	/* sin_port and sin6_port are at the same place */
	struct sockaddr_in *in = (struct sockaddr_in *)where;

	if (in->sin_port == 0)
		in->sin_port = htons(1);
}

static void endpoint(const char *text)
{
	struct sockaddr_storage first, second;
	int first_len = sizeof(first), second_len = sizeof(second);
	char written[128];

	memset(&first, 0, sizeof(first));
	memset(&second, 0, sizeof(second));
	if (evutil_parse_sockaddr_port(text, (struct sockaddr *)&first, &first_len) != 0)
		return;
	/* Port 0 is what a text without a port means; written out it is not a port. */
	set_port_if_none(&first);
	evutil_format_sockaddr_port_((struct sockaddr *)&first, written, sizeof(written));
	if (evutil_parse_sockaddr_port(written, (struct sockaddr *)&second, &second_len) != 0)
		abort();
	if (evutil_sockaddr_cmp((struct sockaddr *)&first, (struct sockaddr *)&second, 1) != 0)
		abort();
}

static void address(int family, const char *text)
{
	struct in6_addr first, second;
	size_t len = family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
	char written[128];

	if (evutil_inet_pton(family, text, &first) != 1)
		return;
	if (!evutil_inet_ntop(family, &first, written, sizeof(written)))
		abort();
	if (evutil_inet_pton(family, written, &second) != 1 || memcmp(&first, &second, len) != 0)
		abort();
}

static void names(const char *text)
{
	struct evutil_addrinfo hints, *found = NULL;

	memset(&hints, 0, sizeof(hints));
	hints.ai_flags = EVUTIL_AI_NUMERICHOST | EVUTIL_AI_NUMERICSERV;
	hints.ai_socktype = SOCK_STREAM;
	if (evutil_getaddrinfo(text, "80", &hints, &found) == 0)
		evutil_freeaddrinfo(found);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	endpoint(text);
	address(AF_INET, text);
	address(AF_INET6, text);
	names(text);
	(void)evutil_strtoll(text, NULL, 0);
	free(text);
	return 0;
}
