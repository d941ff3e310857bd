/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The values that mcload stores: how large they are, and which bytes they hold.
 *
 * A value is never kept in memory. It is a stream of words, word n being a mix of the stream's
 * number and n, so that any part of it can be made, or compared, from any offset. A stream that
 * is shifted, or taken from another key or version, differs in nearly every byte.
 */
#ifndef MCVALUE_H
#define MCVALUE_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum {
	SIZES_MAX = 16,           /* entries in a mix of sizes */
	ITEM_BYTES = 1024 * 1024, /* memcached's default limit of one item, with its header */
	ITEM_OVERHEAD = 256,      /* header, key, flags and CAS of an item fit in this */
};

#define VALUE_STEP UINT64_C(0x9e3779b97f4a7c15)

/* Identity of one value: which words it is made of, and how many bytes. */
struct value {
	uint64_t stream;
	uint32_t size;
};

/* One entry of a mix: sizes from low to high, taken with this weight. */
struct size_choice {
	uint32_t low, high, weight;
};

struct size_mix {
	struct size_choice choices[SIZES_MAX];
	uint32_t n, weights; /* entries in choices, the sum of their weights */
};

/* The finalizer of splitmix64: a counter in, a well mixed word out. */
static inline uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

static inline uint64_t value_word(const struct value *v, size_t n)
{
	return mix(v->stream + (n + 1) * VALUE_STEP);
}

/* What is stored as the item's flags: they too must come back. */
static inline uint32_t value_flags(const struct value *v)
{
	return (uint32_t)v->stream;
}

static inline void value_fill(const struct value *v, size_t at, char *to, size_t len)
{
	while (len > 0) {
		uint64_t word = value_word(v, at / 8);
		size_t skip = at % 8;
		size_t n = 8 - skip < len ? 8 - skip : len;

		memcpy(to, (char *)&word + skip, n);
		at += n;
		to += n;
		len -= n;
	}
}

/* True iff these len bytes are what the value holds at this offset. */
static inline bool value_holds(const struct value *v, size_t at, const char *from, size_t len)
{
	while (len > 0) {
		uint64_t word = value_word(v, at / 8);
		size_t skip = at % 8;
		size_t n = 8 - skip < len ? 8 - skip : len;

		if (at + n > v->size || memcmp(from, (char *)&word + skip, n) != 0)
			return false;
		at += n;
		from += n;
		len -= n;
	}
	return true;
}

/* SIZE[-SIZE][:WEIGHT],... */
static inline bool size_mix_parse(struct size_mix *m, const char *text)
{
	m->n = m->weights = 0;
	while (m->n < SIZES_MAX) {
		struct size_choice s = {.weight = 1};
		int n = 0;

		if (sscanf(text, "%" SCNu32 "%n", &s.low, &n) != 1)
			return false;
		text += n;
		s.high = s.low;
		if (*text == '-') {
			if (sscanf(text, "-%" SCNu32 "%n", &s.high, &n) != 1)
				return false;
			text += n;
		}
		if (*text == ':') {
			if (sscanf(text, ":%" SCNu32 "%n", &s.weight, &n) != 1)
				return false;
			text += n;
		}
		if (s.low > s.high || s.high > ITEM_BYTES - ITEM_OVERHEAD || s.weight == 0 ||
		    s.weight > 1000)
			return false;
		m->choices[m->n++] = s;
		m->weights += s.weight;
		if (*text == '\0')
			return true;
		if (*text++ != ',')
			return false;
	}
	return false;
}

/* The size that a random word stands for. */
static inline uint32_t size_mix_choose(const struct size_mix *m, uint64_t random)
{
	uint32_t left = (uint32_t)(random >> 32) % m->weights;
	const struct size_choice *s = m->choices;

	while (left >= s->weight)
		left -= s++->weight;
	return s->low + (uint32_t)random % (s->high - s->low + 1);
}

#endif
