/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the clients of load.h share: what an answer must look like, and percentiles.
 *
 * A server that does not echo answers every request alike, except for the date. So the first answer
 * is learned and all others are compared with it.
 */
#define _GNU_SOURCE
#include "load.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { REPLY_MAX = 1024 * 1024 /* of a reply to a request, with its head */ };

void *load_allocate(size_t size)
{
	void *memory = calloc(1, size);

	if (memory == NULL)
		bench_fail("out of memory");
	return memory;
}

/* One request over a blocking connection: learns how long a reply is and where its date stands. */
void load_learn_reply(const struct load *load, struct load_reply *reply)
{
	const char *request = load->request;
	size_t length = 0, whole = 0;
	int fd = load_connect(load, 0);
	char *text = load_allocate(REPLY_MAX + 1), *date, *body;

	if (send(fd, request, strlen(request), MSG_NOSIGNAL) != (ssize_t)strlen(request))
		load_fail(load, "cannot send the first request");
	while (whole == 0 || length < whole) {
		ssize_t count = recv(fd, text + length, REPLY_MAX - length, 0);

		if (count <= 0)
			load_fail(load, "no reply to the first request");
		length += (size_t)count;
		body = strstr(text, "\r\n\r\n");
		if (body != NULL)
			whole = (size_t)(body + 4 - text) + (size_t)load->size;
	}
	if (strncmp(text, "HTTP/1.1 200 ", 13) != 0 || length != whole)
		bench_fail("the reply is not as expected: %s", text);
	*reply = (struct load_reply){.bytes = (unsigned char *)text, .size = length};
	date = strstr(text, "\r\nDate: ");
	if (date != NULL) {
		reply->date = (size_t)(date - text) + 2;
		reply->date_end = (size_t)(strstr(date + 2, "\r\n") - text);
	}
	load_reset(fd);
}

static bool equal(const unsigned char *a, const unsigned char *b, size_t from, size_t to)
{
	return from >= to || memcmp(a + from, b, to - from) == 0;
}

bool load_reply_equal(
    const struct load_reply *reply, const unsigned char *bytes, size_t position, size_t count)
{
	bool same = true;

	while (count > 0 && same) {
		size_t from = position % reply->size, to = from + count;
		size_t late = from > reply->date_end ? from : reply->date_end;

		if (to > reply->size)
			to = reply->size;
		same = equal(reply->bytes, bytes, from, to < reply->date ? to : reply->date);
		if (late < to)
			same = same && equal(reply->bytes, bytes + (late - from), late, to);
		position += to - from;
		bytes += to - from;
		count -= to - from;
	}
	return same;
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

void load_sort(int64_t *times, int64_t count)
{
	qsort(times, (size_t)count, sizeof(*times), compare);
}

double load_percentile_us(const int64_t *sorted, int64_t count, int percent)
{
	return (double)sorted[count * percent / 100] / 1e3;
}
