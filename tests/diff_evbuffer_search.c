/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Positions in evbuffers, searching, line ends, peeking, formatted text. Everything that is looked
 * for is tried with its bytes in one piece, cut in two at each place, and byte by byte: the answers
 * must not depend on it.
 */
#include "diff_buf.h"

static const struct {
	enum evbuffer_eol_style style;
	const char *name;
} styles[] = {
    {EVBUFFER_EOL_ANY, "ANY"},
    {EVBUFFER_EOL_CRLF, "CRLF"},
    {EVBUFFER_EOL_CRLF_STRICT, "CRLF_STRICT"},
    {EVBUFFER_EOL_LF, "LF"},
    {EVBUFFER_EOL_NUL, "NUL"},
    {(enum evbuffer_eol_style)77, "unknown"},
};

enum { N_STYLES = sizeof(styles) / sizeof(styles[0]), WHOLE = -1, BYTES = -2 };

static void add_piece(struct evbuffer *b, const char *bytes, size_t n)
{
	MUST(evbuffer_add_reference(b, bytes, n, NULL, NULL) == 0);
}

/* A buffer of the bytes, cut in two at `cut` (with an empty piece in between), or WHOLE, or into
 * BYTES. */
static struct evbuffer *cut_up(const char *bytes, size_t n, int cut)
{
	struct evbuffer *b = new_buf();

	if (cut == BYTES) {
		for (size_t i = 0; i < n; i++)
			add_piece(b, bytes + i, 1);
	} else if (cut == WHOLE) {
		add_piece(b, bytes, n);
	} else {
		add_piece(b, bytes, (size_t)cut);
		add_piece(b, bytes + cut, n - (size_t)cut);
	}
	return b;
}

/* ---- positions ---- */

static void say_ptr(const char *name, int result, struct evbuffer *b, struct evbuffer_ptr at)
{
	say("%s: %d, %s", name, result, at_text(b, at));
}

static void setting_positions(void)
{
	NEW_PIECES(b, "abc", "defg", "hi");
	struct evbuffer_ptr at;
	char name[32];

	for (size_t i = 0; i <= 11; i++) {
		memset(&at, 0x55, sizeof(at));
		int result = evbuffer_ptr_set(b, &at, i, EVBUFFER_PTR_SET);

		sprintf(name, "set %zu", i);
		say_ptr(name, result, b, at);
		for (size_t more = 0; result == 0 && more <= 10 - i; more++) {
			struct evbuffer_ptr on = at;
			int added = evbuffer_ptr_set(b, &on, more, EVBUFFER_PTR_ADD);

			sprintf(name, "add %zu", more);
			say_ptr(name, added, b, on);
		}
	}
	evbuffer_free(b);
}

static void positions_that_do_not_exist(void)
{
	NEW_PIECES(b, "abc", "d");
	struct evbuffer *empty = new_buf();
	struct evbuffer_ptr at;
	const size_t far[] = {
	    5, 100, EV_SSIZE_MAX, (size_t)EV_SSIZE_MAX + 1, SIZE_MAX - 1, SIZE_MAX};

	for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
		say_ptr("set", evbuffer_ptr_set(b, &at, far[i], EVBUFFER_PTR_SET), b, at);
		say_ptr("add to that", evbuffer_ptr_set(b, &at, 0, EVBUFFER_PTR_ADD), b, at);
		evbuffer_ptr_set(b, &at, 2, EVBUFFER_PTR_SET);
		int result = evbuffer_ptr_set(b, &at, far[i], EVBUFFER_PTR_ADD);
		say("add to 2: %d, pos %zd", result, at.pos);
	}
	say_ptr("empty, 0", evbuffer_ptr_set(empty, &at, 0, EVBUFFER_PTR_SET), empty, at);
	say_ptr("and on by 0", evbuffer_ptr_set(empty, &at, 0, EVBUFFER_PTR_ADD), empty, at);
	say_ptr("and on by 1", evbuffer_ptr_set(empty, &at, 1, EVBUFFER_PTR_ADD), empty, at);
	say_ptr("empty, 1", evbuffer_ptr_set(empty, &at, 1, EVBUFFER_PTR_SET), empty, at);
	evbuffer_expand(empty, 100);
	say_ptr("room, 0", evbuffer_ptr_set(empty, &at, 0, EVBUFFER_PTR_SET), empty, at);
	evbuffer_free(b);
	evbuffer_free(empty);
}

static void copying_from_positions(void)
{
	NEW_PIECES(b, "abc", "defg", "hi");
	struct evbuffer_ptr at;
	char out[16];

	for (size_t i = 0; i <= 9; i++) {
		for (size_t n = 0; n <= 11; n += 1 + n / 3) {
			evbuffer_ptr_set(b, &at, i, EVBUFFER_PTR_SET);
			ev_ssize_t got = evbuffer_copyout_from(b, &at, out, n);
			say("%zu, %zu: %zd %s", i, n, got, quoted(out, got > 0 ? (size_t)got : 0));
		}
	}
	evbuffer_ptr_set(b, &at, 3, EVBUFFER_PTR_SET);
	say("far too much: %zd", evbuffer_copyout_from(b, &at, out, SIZE_MAX));
	evbuffer_freeze(b, 1);
	say("frozen: %zd", evbuffer_copyout_from(b, &at, out, 2));
	say("frozen, nothing: %zd", evbuffer_copyout_from(b, &at, out, 0));
	evbuffer_free(b);
}

/* ---- search ---- */

/* All answers for one way of cutting, as a hash and, if wanted, as text. */
static uint64_t search_everywhere(struct evbuffer *b, const char *what, size_t len, bool aloud)
{
	struct evbuffer_ptr start, end, at;
	size_t n = evbuffer_get_length(b);
	uint64_t hash = HASH_START;

	for (size_t i = 0; i <= n; i++) {
		evbuffer_ptr_set(b, &start, i, EVBUFFER_PTR_SET);
		at = evbuffer_search(b, what, len, &start);
		hash = hash_more(hash, &at.pos, sizeof(at.pos));
		if (aloud)
			say("from %zu: %s", i, at_text(b, at));
		for (size_t j = 0; j <= n; j++) {
			evbuffer_ptr_set(b, &end, j, EVBUFFER_PTR_SET);
			at = evbuffer_search_range(b, what, len, &start, &end);
			hash = hash_more(hash, &at.pos, sizeof(at.pos));
		}
		end.pos = -1;
		end.internal_.chain = NULL;
		at = evbuffer_search_range(b, what, len, &start, &end);
		hash = hash_more(hash, &at.pos, sizeof(at.pos));
	}
	return hash;
}

static void search_in_all_cuts(const char *text, const char *what)
{
	size_t n = strlen(text), len = strlen(what);

	say("%s in %s", quoted(what, len), quoted(text, n));
	for (int cut = BYTES; cut <= (int)n; cut++) {
		struct evbuffer *b = cut_up(text, n, cut);
		struct evbuffer_ptr at = evbuffer_search(b, what, len, NULL);
		uint64_t hash = search_everywhere(b, what, len, cut == WHOLE);
		unsigned char *found = evbuffer_find(b, (const unsigned char *)what, len);

		say("cut %d: %zd, %016llx, found %s", cut, at.pos, (unsigned long long)hash,
		    found ? quoted(found, len) : "nothing");
		show("still", b);
		evbuffer_free(b);
	}
}

static void searching(void)
{
	search_in_all_cuts("abcabcabd", "abcabd");
	search_in_all_cuts("abcabcabd", "abd");
	search_in_all_cuts("aaaaab", "aab");
	search_in_all_cuts("abcabcabd", "x");
	search_in_all_cuts("abcabcabd", "");
	search_in_all_cuts("short", "much longer");
	search_in_all_cuts("exactly", "exactly");
	search_in_all_cuts("", "a");
}

static void searching_impossible_lengths(void)
{
	NEW_PIECES(b, "abc", "def");
	struct evbuffer_ptr at;

	at = evbuffer_search(b, "a", (size_t)EV_SSIZE_MAX + 1, NULL);
	say("more than SSIZE_MAX: %zd", at.pos);
	at = evbuffer_search(b, "a", EV_SSIZE_MAX, NULL);
	say("SSIZE_MAX: %zd", at.pos);
	say("from nowhere: %zd", evbuffer_search(b, "a", 1, &at).pos);
	say("nothing from nowhere: %zd", evbuffer_search(b, "", 0, &at).pos);
	say("line end from nowhere: %zd", evbuffer_search_eol(b, &at, NULL, EVBUFFER_EOL_LF).pos);
	evbuffer_free(b);
}

static void searching_large_buffers(void)
{
	struct evbuffer *b = new_buf();
	struct evbuffer_ptr at = {.pos = -1};
	unsigned char what[40];

	add_stream(b, 200000);
	for (size_t pos = 0; pos < 200000; pos += 7919) {
		stream_fill(what, pos, sizeof(what));
		at = evbuffer_search(b, (const char *)what, sizeof(what), NULL);
		say("%zu: %zd", pos, at.pos);
	}
	evbuffer_free(b);
}

/* ---- line ends ---- */

/* Every line end that is found from every start. */
static uint64_t eols_everywhere(struct evbuffer *b, enum evbuffer_eol_style style)
{
	uint64_t hash = HASH_START;

	for (size_t i = 0; i <= evbuffer_get_length(b); i++) {
		struct evbuffer_ptr start, at;
		size_t len = 99;

		evbuffer_ptr_set(b, &start, i, EVBUFFER_PTR_SET);
		at = evbuffer_search_eol(b, &start, &len, style);
		hash = hash_more(hash, &at.pos, sizeof(at.pos));
		hash = hash_more(hash, &len, sizeof(len));
	}
	return hash;
}

static void eols_in_all_cuts(const char *text, size_t n)
{
	say("%s", quoted(text, n));
	for (int s = 0; s < N_STYLES; s++) {
		uint64_t first = 0;

		for (int cut = BYTES; cut <= (int)n; cut++) {
			struct evbuffer *b = cut_up(text, n, cut);
			size_t len = 99;
			struct evbuffer_ptr at =
			    evbuffer_search_eol(b, NULL, &len, styles[s].style);
			uint64_t hash =
			    eols_everywhere(b, styles[s].style) + len * 5 + (uint64_t)at.pos;

			if (cut == BYTES)
				say("%s: %zd, length %zu, %016llx", styles[s].name, at.pos, len,
				    (unsigned long long)(first = hash));
			else if (hash != first)
				say("but cut at %d: %zd, length %zu", cut, at.pos, len);
			evbuffer_free(b);
		}
	}
}

#define EOLS(text) eols_in_all_cuts(text, sizeof(text) - 1)

static void line_ends(void)
{
	EOLS("");
	EOLS("no line end");
	EOLS("\n");
	EOLS("\r");
	EOLS("\r\n");
	EOLS("\r\r\n");
	EOLS("a\nb\r\nc\rd\n\re");
	EOLS("\r\r\n\n\r\r\n\nx\r");
	EOLS("ends in cr\r");
	EOLS("a\0b\r\0\n\0\0");
	EOLS("\n\n\n\n");
}

static void line_ends_far_away(void)
{
	char text[700];

	for (size_t at = 100; at < 300; at += at < 120 || at > 140 ? 17 : 1) {
		memset(text, 'x', sizeof(text));
		text[at] = '\r';
		text[at + 130] = '\n';
		struct evbuffer *b = cut_up(text, sizeof(text), (int)at / 2);
		for (int s = 0; s < N_STYLES; s++)
			say("%zu %s: %zd", at, styles[s].name,
			    evbuffer_search_eol(b, NULL, NULL, styles[s].style).pos);
		evbuffer_free(b);
	}
}

static void read_all_lines(const char *text, size_t n, enum evbuffer_eol_style style, int cut)
{
	struct evbuffer *b = cut_up(text, n, cut);
	char *line;
	size_t len = 99;

	while ((line = evbuffer_readln(b, &len, style))) {
		say("%s, then %d", quoted(line, len), line[len]);
		free(line);
	}
	say("end, length %zu", len);
	show("left", b);
	evbuffer_free(b);
}

static void reading_lines(void)
{
	static const char text[] = "first\nsecond\r\n\r\nthird\rfourth\0fifth\n\rsixth";

	for (int s = 0; s < N_STYLES; s++) {
		say("%s", styles[s].name);
		read_all_lines(text, sizeof(text) - 1, styles[s].style, WHOLE);
		read_all_lines(text, sizeof(text) - 1, styles[s].style, BYTES);
		read_all_lines(text, sizeof(text) - 1, styles[s].style, 13);
	}
}

static void reading_lines_the_old_way(void)
{
	NEW_PIECES(b, "one\r", "\ntwo\n", "\n\nthree");
	char *line;

	while ((line = evbuffer_readline(b))) {
		say("%s", quoted(line, strlen(line)));
		free(line);
	}
	show("left", b);
	evbuffer_free(b);
}

static void reading_lines_calls_back(void)
{
	NEW_PIECES(b, "one\r\n\r\ntwo", "\r", "\n");

	listen_to(b, "b");
	while (evbuffer_get_length(b) > 0) {
		say("line");
		free(evbuffer_readln(b, NULL, EVBUFFER_EOL_CRLF));
	}
	evbuffer_free(b);
}

/* ---- peek ---- */

static void say_peek(struct evbuffer *b, ev_ssize_t len, struct evbuffer_ptr *at, int n_vec)
{
	struct evbuffer_iovec v[8];
	int n = evbuffer_peek(b, len, at, n_vec > 0 ? v : NULL, n_vec);
	char text[160] = "";

	for (int i = 0; i < n && i < n_vec; i++)
		sprintf(text + strlen(text), " %s", quoted(v[i].iov_base, v[i].iov_len));
	say("peek %zd into %d: %d%s", len, n_vec, n, text);
}

static void peeking(void)
{
	NEW_PIECES(b, "abc", "defg", "hi");
	const ev_ssize_t lens[] = {-1, 0, 1, 3, 4, 7, 8, 9, 10, 100};
	struct evbuffer_ptr at;

	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		for (int n_vec = 0; n_vec < 5; n_vec++)
			say_peek(b, lens[i], NULL, n_vec);
	}
	for (size_t start = 0; start <= 9; start += 1 + start / 3) {
		evbuffer_ptr_set(b, &at, start, EVBUFFER_PTR_SET);
		say("from %zu", start);
		for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
			for (int n_vec = 0; n_vec < 4; n_vec++)
				say_peek(b, lens[i], &at, n_vec);
		}
	}
	evbuffer_drain(b, 1);
	evbuffer_freeze(b, 1);
	evbuffer_freeze(b, 0);
	say_peek(b, -1, NULL, 8);
	evbuffer_free(b);
}

static void peeking_into_nothing(void)
{
	struct evbuffer *b = new_buf();
	struct evbuffer_ptr at;

	say_peek(b, -1, NULL, 0);
	say_peek(b, -1, NULL, 4);
	say_peek(b, 10, NULL, 4);
	evbuffer_ptr_set(b, &at, 0, EVBUFFER_PTR_SET);
	say_peek(b, -1, &at, 4);
	add_piece(b, "", 0);
	say_peek(b, 0, NULL, 4);
	add_piece(b, "x", 1);
	say_peek(b, -1, NULL, 0);
	say_peek(b, 1, NULL, 0);
	evbuffer_free(b);
}

/* ---- formatted text ---- */

static void formatting_all_sizes(void)
{
	struct evbuffer *b = new_buf();
	uint64_t sum = 0;
	static char text[20001];

	memset(text, 'p', sizeof(text) - 1);
	for (int n = 0; n <= 20000; n += n < 300 ? 1 : n / 50) {
		for (int lead = 0; lead < 3; lead++) {
			struct evbuffer *fresh = new_buf();

			add_stream(fresh, (size_t)lead * 900);
			MUST(evbuffer_add_printf(fresh, "%.*s<%d>", n, text, n) >= n);
			sum = sum * 3 + hash_of(fresh);
			evbuffer_free(fresh);
		}
		MUST(evbuffer_add_printf(b, "%.*s", n, text) == n);
		MUST(evbuffer_drain(b, (size_t)n / 2) == 0);
	}
	say("sum %016llx", (unsigned long long)sum);
	show("b", b);
	evbuffer_free(b);
}

static int add_through_va_list(struct evbuffer *b, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = evbuffer_add_vprintf(b, format, ap);
	va_end(ap);
	return n;
}

static void formatting(void)
{
	struct evbuffer *b = new_buf();

	listen_to(b, "b");
	say("text: %d", evbuffer_add_printf(b, "%s %d %5.2f|", "text", -5, 3.14159));
	say("va_list: %d", add_through_va_list(b, "%c%zu", 'x', (size_t)99));
	say("nothing: %d", evbuffer_add_printf(b, "%s", ""));
	add_piece(b, "reference", 9);
	say("behind a reference: %d", evbuffer_add_printf(b, "[%*d]", 20, 7));
	say("with a zero byte: %d", evbuffer_add_printf(b, "a%cb", 0));
	say("impossible: %d", evbuffer_add_printf(b, "%ls", L"\xd800"));
	show("b", b);
	evbuffer_freeze(b, 0);
	say("frozen: %d", evbuffer_add_printf(b, "x"));
	evbuffer_free(b);
}

static const struct diff_scenario scenarios[] = {
    DIFF_SCENARIO(setting_positions),
    DIFF_SCENARIO(positions_that_do_not_exist),
    DIFF_SCENARIO(copying_from_positions),
    DIFF_SCENARIO(searching),
    DIFF_SCENARIO(searching_impossible_lengths),
    DIFF_SCENARIO(searching_large_buffers),
    DIFF_SCENARIO(line_ends),
    DIFF_SCENARIO(line_ends_far_away),
    DIFF_SCENARIO(reading_lines),
    DIFF_SCENARIO(reading_lines_the_old_way),
    DIFF_SCENARIO(reading_lines_calls_back),
    DIFF_SCENARIO(peeking),
    DIFF_SCENARIO(peeking_into_nothing),
    DIFF_SCENARIO(formatting_all_sizes),
    DIFF_SCENARIO(formatting),
};

DIFF_MAIN(scenarios)
