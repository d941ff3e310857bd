/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ring of tokens.h. Reads and writes never block: a link holds at most as many bytes as there
 * are tokens, far below a socket's buffer, so a write that would block is a failure.
 */
#define _GNU_SOURCE
#include "tokens.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { READ_MOST = 64 }; /* the most tokens that one read may take */

void tokens_open(struct tokens *tokens, int n_links, int64_t warm, int64_t goal)
{
	memset(tokens, 0, sizeof(*tokens));
	bench_want_files(2 * n_links);
	tokens->n_links = n_links;
	tokens->warm = warm;
	tokens->goal = warm + goal;
	tokens->links = calloc((size_t)n_links, sizeof(*tokens->links));
	if (tokens->links == NULL)
		bench_fail("out of memory");
	for (int i = 0; i < n_links; i++) {
		int pair[2];

		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
			bench_fail("socketpair: %s", strerror(errno));
		tokens->links[i].reader = pair[0];
		tokens->links[i].writer = pair[1];
	}
}

static void write_tokens(struct tokens *tokens, struct link *link, int count)
{
	char bytes[READ_MOST];

	for (int i = 0; i < count; i++)
		bytes[i] = (char)link->written++;
	if (send(link->writer, bytes, (size_t)count, MSG_NOSIGNAL) != count)
		bench_fail("cannot write to a link: %s", strerror(errno));
	tokens->n_written += count;
	if (tokens->n_written == tokens->goal)
		bench_stop(&tokens->span);
}

void tokens_launch(struct tokens *tokens, int n_active)
{
	for (int i = 0; i < n_active; i++) {
		int index = (int)((int64_t)i * tokens->n_links / n_active);

		write_tokens(tokens, &tokens->links[index], 1);
	}
	if (tokens->warm == 0)
		bench_start(&tokens->span);
}

/* True iff the clock was to start between two counts of tokens read. */
static bool warm_between(const struct tokens *tokens, int64_t before, int64_t after)
{
	return before < tokens->warm && after >= tokens->warm;
}

int tokens_read(struct tokens *tokens, int index, int most)
{
	struct link *link = &tokens->links[index];
	uint8_t bytes[READ_MOST];
	ssize_t count = recv(link->reader, bytes, (size_t)(most < READ_MOST ? most : READ_MOST), 0);

	if (count < 0 && errno == EAGAIN) {
		tokens->n_empty++;
		return 0;
	}
	if (count <= 0)
		bench_fail("cannot read from a link: %s", count == 0 ? "closed" : strerror(errno));
	for (ssize_t i = 0; i < count; i++) {
		if (bytes[i] != link->expected++)
			bench_fail("link %d: a message is lost or out of order", index);
	}
	tokens->n_events++;
	tokens->n_read += count;
	if (warm_between(tokens, tokens->n_read - count, tokens->n_read))
		bench_start(&tokens->span);
	return (int)count;
}

void tokens_pass(struct tokens *tokens, int index, int count)
{
	int64_t room = tokens->goal - tokens->n_written;

	if (room < count)
		count = (int)room;
	if (count > 0)
		write_tokens(tokens, &tokens->links[(index + 1) % tokens->n_links], count);
}

void tokens_check_and_report(struct tokens *tokens)
{
	double events = (double)(tokens->goal - tokens->warm);

	if (!tokens_done(tokens))
		bench_fail("the loop ended with %lld of %lld messages read",
		    (long long)tokens->n_read, (long long)tokens->goal);
	for (int i = 0; i < tokens->n_links; i++) {
		struct link *link = &tokens->links[i];
		char byte;

		if (link->written != link->expected || recv(link->reader, &byte, 1, 0) >= 0)
			bench_fail("link %d: a message was left unread", i);
	}
	bench_report("cpu_ns", (double)tokens->span.cpu / events);
	bench_report("wall_ns", (double)tokens->span.wall / events);
	bench_report("empty", (double)tokens->n_empty);
}
