/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A ring of socketpairs round which one-byte messages, the tokens, travel: the workload of chain.c,
 * chain_raw.c and cascade.c, without the event loop that is measured.
 *
 * Link i is a pair of connected unix sockets. Reading a token from link i and writing one to link
 * i + 1 is one event. The first `warm` events only warm up; then the clock runs until the last
 * token has been written; the tokens still in flight are read off the clock, and then
 * tokens_check_and_report() proves that nothing was lost, added or reordered: each link numbers its
 * messages and the reader compares.
 */
#ifndef BENCH_TOKENS_H
#define BENCH_TOKENS_H

#include "bench.h"

#include <stdbool.h>

struct link {
	int reader;       /* where tokens of this link are read */
	int writer;       /* where tokens of this link are written */
	uint8_t written;  /* number of the next message, modulo 256 */
	uint8_t expected; /* number that the next message must bear */
};

struct tokens {
	int n_links;
	struct link *links;
	int64_t warm;      /* events before the clock starts */
	int64_t goal;      /* tokens to write altogether */
	int64_t n_written; /* tokens written so far */
	int64_t n_read;    /* tokens read so far */
	int64_t n_events;  /* callbacks that found something to read */
	int64_t n_empty;   /* callbacks that found nothing: wasted wake-ups */
	struct bench_span span;
};

/* Open the ring. `goal` counts measured events, `warm` those before them. */
void tokens_open(struct tokens *tokens, int n_links, int64_t warm, int64_t goal);

/* Put `n_active` tokens on the ring, evenly spaced. */
void tokens_launch(struct tokens *tokens, int n_active);

/* Read at most `most` tokens from a link; returns how many there were. */
int tokens_read(struct tokens *tokens, int index, int most);

/* Pass `count` tokens on to the link after this one, unless the goal is reached. */
void tokens_pass(struct tokens *tokens, int index, int count);

/* True iff all that was written has been read and no more will be written. */
static inline bool tokens_done(const struct tokens *tokens)
{
	return tokens->n_written >= tokens->goal && tokens->n_read == tokens->n_written;
}

/* Fail unless every link is empty and the sums are right; then print the costs an event. */
void tokens_check_and_report(struct tokens *tokens);

#endif
