/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * evbuffers by themselves: contents, moves, references, multicast, freezes, locks. Callbacks,
 * searching, and files and fds have programs of their own.
 */
#include "diff_buf.h"

#include <event2/thread.h>

/* ---- contents ---- */

static void adding_and_taking(void)
{
	struct evbuffer *b = new_buf();
	char out[64];
	int n;

	show("new", b);
	say("add nothing: %d", evbuffer_add(b, "x", 0));
	show("still new", b);
	add_text(b, "hello world");
	say("prepend: %d", evbuffer_prepend(b, "oh, ", 4));
	say("prepend nothing: %d", evbuffer_prepend(b, "x", 0));
	show("both", b);
	n = evbuffer_remove(b, out, 6);
	say("remove 6: %d %s", n, quoted(out, (size_t)n));
	n = (int)evbuffer_copyout(b, out, 5);
	say("copyout 5: %d %s", n, quoted(out, (size_t)n));
	n = (int)evbuffer_copyout(b, out, sizeof(out));
	say("copyout 64: %d %s", n, quoted(out, (size_t)n));
	say("copyout 0: %zd, remove 0: %d", evbuffer_copyout(b, out, 0),
	    evbuffer_remove(b, out, 0));
	say("drain 2: %d", evbuffer_drain(b, 2));
	show("left", b);
	say("drain 0: %d, drain 1000: %d", evbuffer_drain(b, 0), evbuffer_drain(b, 1000));
	say("drain of an empty one: %d", evbuffer_drain(b, 1));
	n = evbuffer_remove(b, out, 5);
	say("remove from an empty one: %d", n);
	say("contiguous in an empty one: %zu", evbuffer_get_contiguous_space(b));
	evbuffer_free(b);
}

static void sizes_that_do_not_fit(void)
{
	struct evbuffer *b = new_buf();
	struct evbuffer_iovec v[4];

	say("expand SIZE_MAX: %d", evbuffer_expand(b, SIZE_MAX));
	say("expand SSIZE_MAX: %d", evbuffer_expand(b, EV_SSIZE_MAX));
	say("expand SSIZE_MAX - 1024: %d", evbuffer_expand(b, EV_SSIZE_MAX - 1024));
	say("reserve -1 in 1: %d", evbuffer_reserve_space(b, -1, v, 1));
	say("reserve SSIZE_MAX in 1: %d", evbuffer_reserve_space(b, EV_SSIZE_MAX, v, 1));
	say("reserve SSIZE_MAX in 2: %d", evbuffer_reserve_space(b, EV_SSIZE_MAX, v, 2));
	say("add SIZE_MAX: %d", evbuffer_add(b, "x", SIZE_MAX));
	add_text(b, "some");
	say("add SIZE_MAX to some: %d", evbuffer_add(b, "x", SIZE_MAX));
	say("add SIZE_MAX - 3 to some: %d", evbuffer_add(b, "x", SIZE_MAX - 3));
	say("prepend SIZE_MAX - 3 to some: %d", evbuffer_prepend(b, "x", SIZE_MAX - 3));
	say("expand SIZE_MAX with some: %d", evbuffer_expand(b, SIZE_MAX));
	say("reserve SSIZE_MAX in 2 with some: %d", evbuffer_reserve_space(b, EV_SSIZE_MAX, v, 2));
	say("pullup 5: %s", evbuffer_pullup(b, 5) ? "done" : "NULL");
	show("some", b);
	evbuffer_free(b);
}

/* Adds that end just before, at and behind the sizes where memory comes to an end. */
static void growing_by_all_sizes(void)
{
	uint64_t hash = HASH_START;

	for (size_t first = 0; first < 5000; first += 61) {
		struct evbuffer *b = new_buf();
		unsigned char out[700];

		add_stream(b, first);
		for (size_t n = 1; n < 9000; n = n * 2 + 1) {
			add_stream(b, n);
			MUST(evbuffer_prepend(b, "front", n % 6) == 0);
			MUST(evbuffer_remove(b, out, n % 700) >= 0);
		}
		hash = hash * 5 + hash_of(b) + evbuffer_get_length(b);
		evbuffer_free(b);
	}
	say("all of them: %016llx", (unsigned long long)hash);
}

static void adding_many_vectors(void)
{
	struct evbuffer *b = new_buf();
	struct evbuffer_iovec v[3] = {{"ab", 2}, {"", 0}, {"cde", 3}};

	listen_to(b, "b");
	say("none: %zu", evbuffer_add_iovec(b, v, 0));
	say("three: %zu", evbuffer_add_iovec(b, v, 3));
	show("b", b);
	evbuffer_freeze(b, 0);
	say("frozen: %zu", evbuffer_add_iovec(b, v, 3));
	evbuffer_unfreeze(b, 0);
	v[1].iov_len = SIZE_MAX - 10;
	say("too much: %zu", evbuffer_add_iovec(b, v, 3));
	show("b", b);
	evbuffer_free(b);
}

static void pulling_up(void)
{
	NEW_PIECES(b, "one", "two", "three", "four");
	const ev_ssize_t sizes[] = {0, 1, 3, 4, 7, 11, 15, 16, 100, -1};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		unsigned char *p = evbuffer_pullup(b, sizes[i]);
		size_t n = sizes[i] < 0 ? evbuffer_get_length(b) : (size_t)sizes[i];

		say("%zd: %s, enough contiguous: %s", sizes[i], p ? quoted(p, n) : "NULL",
		    yes(!p || evbuffer_get_contiguous_space(b) >= n));
	}
	show("b", b);
	evbuffer_drain(b, 100);
	say("of an empty one: %s", evbuffer_pullup(b, -1) ? "done" : "NULL");
	evbuffer_free(b);
}

static void pulling_up_frees_references(void)
{
	struct evbuffer *b = new_buf();

	add_ref(b, "first");
	add_ref(b, "second");
	add_ref(b, "third");
	evbuffer_pullup(b, 5);
	say("8 bytes");
	evbuffer_pullup(b, 8);
	say("12 bytes");
	evbuffer_pullup(b, 12);
	show("b", b);
	say("free");
	evbuffer_free(b);
}

static void pulling_up_over_empty_references(void)
{
	NEW_PIECES(b, "abc", "", "def");

	MUST(evbuffer_add_reference(b, NULL, 0, NULL, NULL) == 0);
	add_pieces(b, "ghi", NULL);
	say("4 bytes: %s", quoted(evbuffer_pullup(b, 4), 4));
	say("all: %s", quoted(evbuffer_pullup(b, -1), 9));
	show("b", b);
	evbuffer_free(b);
}

/* ---- reserve, commit ---- */

static void say_room(struct evbuffer *b, ev_ssize_t size, int n_vecs)
{
	struct evbuffer_iovec v[8];
	int n = evbuffer_reserve_space(b, size, v, n_vecs);
	size_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += v[i].iov_len;
	say("reserve %zd in %d: %s, enough: %s", size, n_vecs, n < 0 ? "refused" : "done",
	    yes((ev_ssize_t)sum >= size));
}

static void reserving_and_committing(void)
{
	struct evbuffer *b = new_buf();
	struct evbuffer_iovec v[4], other[2];
	int n;

	say_room(b, 100, 0);
	say_room(b, 100, -1);
	say_room(b, 0, 1);
	say_room(b, 100, 1);
	say_room(b, 0, 2);
	say_room(b, 100000, 4);
	say("commit nothing: %d", evbuffer_commit_space(b, v, 0));
	n = evbuffer_reserve_space(b, 10, v, 1);
	memcpy(v[0].iov_base, "0123456789", 10);
	other[0] = v[0];
	other[0].iov_len++;
	say("reserve 10: %d; commit too much: %d", n, evbuffer_commit_space(b, other, 1));
	other[0].iov_base = (char *)v[0].iov_base + 1;
	other[0].iov_len = 3;
	say("commit elsewhere: %d", evbuffer_commit_space(b, other, 1));
	v[0].iov_len = 4;
	listen_to(b, "b");
	say("commit 4: %d", evbuffer_commit_space(b, v, 1));
	say("commit 4 again: %d", evbuffer_commit_space(b, v, 1));
	show("b", b);
	n = evbuffer_reserve_space(b, 10, v, 1);
	v[0].iov_len = 0;
	say("commit 0: %d", evbuffer_commit_space(b, v, n));
	show("b", b);
	evbuffer_free(b);
}

/* Fills what it got, all or in part, and commits. */
static void commit_stream(struct evbuffer *b, size_t size, int n_vecs, size_t used)
{
	struct evbuffer_iovec v[8];
	int n = evbuffer_reserve_space(b, (ev_ssize_t)size, v, n_vecs);
	size_t done = 0;

	MUST(n >= 0 && n <= 8);
	for (int i = 0; i < n; i++) {
		if (v[i].iov_len > used - done)
			v[i].iov_len = used - done;
		stream_fill(v[i].iov_base, done, v[i].iov_len);
		done += v[i].iov_len;
	}
	say("reserve %zu in %d, use %zu: %d", size, n_vecs, done, evbuffer_commit_space(b, v, n));
}

static void committing_all_sizes(void)
{
	struct evbuffer *b = new_buf();

	for (size_t size = 1; size < 30000; size = size * 3 + 1) {
		commit_stream(b, size, 1, size);
		commit_stream(b, size, 2, size - size / 3);
		commit_stream(b, size, 4, size / 2);
		add_stream(b, size);
		evbuffer_drain(b, size / 2);
		say("hash %016llx", (unsigned long long)hash_of(b));
	}
	evbuffer_free(b);
}

static void commit_while_frozen(void)
{
	struct evbuffer *b = new_buf();
	struct evbuffer_iovec v[2];

	MUST(evbuffer_reserve_space(b, 10, v, 1) == 1);
	v[0].iov_len = 5;
	memcpy(v[0].iov_base, "fives", 5);
	evbuffer_freeze(b, 0);
	say("commit: %d, commit nothing: %d, reserve: %d", evbuffer_commit_space(b, v, 1),
	    evbuffer_commit_space(b, v, 0), evbuffer_reserve_space(b, 10, v + 1, 1));
	evbuffer_unfreeze(b, 0);
	say("commit: %d", evbuffer_commit_space(b, v, 1));
	show("b", b);
	evbuffer_free(b);
}

/* ---- moves between buffers ---- */

static void moving_whole_buffers(void)
{
	NEW_PIECES(a, "aaa", "AAA");
	NEW_PIECES(b, "bbb");
	struct evbuffer *empty = new_buf();

	say("to itself: %d", evbuffer_add_buffer(a, a));
	say("before itself: %d", evbuffer_prepend_buffer(a, a));
	say("nothing: %d, before: %d", evbuffer_add_buffer(a, empty),
	    evbuffer_prepend_buffer(a, empty));
	say("behind: %d", evbuffer_add_buffer(b, a));
	show("a", a);
	show("b", b);
	add_text(a, "more of a");
	say("before: %d", evbuffer_prepend_buffer(b, a));
	show("b", b);
	say("into nothing: %d", evbuffer_prepend_buffer(empty, b));
	show("was empty", empty);
	evbuffer_expand(b, 5000);
	say("into room: %d", evbuffer_add_buffer(b, empty));
	show("b", b);
	add_text(b, "!");
	add_text(empty, "?");
	show("b", b);
	show("empty", empty);
	evbuffer_free(a);
	evbuffer_free(b);
	evbuffer_free(empty);
}

static void moving_parts(void)
{
	const size_t cuts[] = {0, 1, 2, 3, 4, 8, 9, 11, 12, 50};

	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		NEW_PIECES(from, "abc", "defgh", "ijkl");
		struct evbuffer *to = new_buf();

		add_text(to, "to:");
		say("%zu: %d", cuts[i], evbuffer_remove_buffer(from, to, cuts[i]));
		show("from", from);
		show("to", to);
		say("again: %d", evbuffer_remove_buffer(from, to, cuts[i]));
		add_text(from, "+");
		add_text(to, "+");
		show("from", from);
		show("to", to);
		say("to itself: %d", evbuffer_remove_buffer(to, to, cuts[i]));
		evbuffer_free(from);
		evbuffer_free(to);
	}
}

static void moving_large_parts(void)
{
	struct evbuffer *from = new_buf(), *to = new_buf();

	add_stream(from, 100000);
	for (size_t n = 1; evbuffer_get_length(from) > 0; n = n * 2 + 1) {
		int moved = evbuffer_remove_buffer(from, to, n);

		say("%zu: %d, hash %016llx", n, moved, (unsigned long long)hash_of(to));
	}
	evbuffer_free(from);
	show("to", to);
	evbuffer_free(to);
}

static void empty_pieces_in_moves(void)
{
	NEW_PIECES(a, "a");
	NEW_PIECES(b, "b");
	struct evbuffer *hollow = new_buf();

	say("empty reference: %d", add_ref(hollow, ""));
	say("its move: %d", evbuffer_add_buffer(a, hollow));
	show("hollow", hollow);
	say("add to it: %d", evbuffer_add(hollow, "xyz", 3));
	show("hollow", hollow);
	say("empty reference behind a: %d", add_ref(a, ""));
	say("b behind that: %d", evbuffer_add_buffer(a, b));
	show("a", a);
	say("empty reference before b: %d", add_ref(b, ""));
	say("prepend to it: %d", evbuffer_prepend(b, "front", 5));
	show("b", b);
	say("drain: %d", evbuffer_drain(b, 5));
	evbuffer_free(b);
	evbuffer_free(a);
	evbuffer_free(hollow);
}

/* ---- references and multicast ---- */

static void references_end_once(void)
{
	struct evbuffer *b = new_buf(), *c = new_buf();

	say("three: %d %d %d", add_ref(b, "one"), add_ref(b, "two"), add_ref(b, "three"));
	add_text(b, "copied");
	show("b", b);
	say("drain 2");
	evbuffer_drain(b, 2);
	say("drain 1");
	evbuffer_drain(b, 1);
	say("move 4 to c: %d", evbuffer_remove_buffer(b, c, 4));
	show("c", c);
	say("free c");
	evbuffer_free(c);
	say("prepend, drain the rest: %d", evbuffer_prepend(b, "|", 1));
	show("b", b);
	evbuffer_drain(b, 100);
	evbuffer_freeze(b, 0);
	say("frozen: %d", add_ref(b, "never"));
	evbuffer_unfreeze(b, 0);
	say("NULL: %d", evbuffer_add_reference(b, NULL, 0, cleanup_cb, "NULL"));
	show("b", b);
	say("without a callback: %d", evbuffer_add_reference(b, "quiet", 5, NULL, NULL));
	show("b", b);
	evbuffer_free(b);
}

static void cleanup_of_a_freed_buffer_comes_in_order(void)
{
	struct evbuffer *b = new_buf();

	add_ref(b, "first");
	add_text(b, " and ");
	add_ref(b, "second");
	add_ref(b, "");
	say("free");
	evbuffer_free(b);
}

static void multicast_shares_bytes(void)
{
	struct evbuffer *from = new_buf(), *one = new_buf(), *two = new_buf();

	add_text(from, "text ");
	add_ref(from, "reference");
	add_text(two, "two: ");
	listen_to(from, "from");
	listen_to(one, "one");
	say("one: %d", evbuffer_add_buffer_reference(one, from));
	say("two: %d", evbuffer_add_buffer_reference(two, from));
	add_text(from, " more");
	add_text(one, "!");
	say("prepend: %d %d", evbuffer_prepend(from, "<", 1), evbuffer_prepend(one, "[", 1));
	show("from", from);
	show("one", one);
	show("two", two);
	say("drain from");
	evbuffer_drain(from, 1000);
	add_text(from, "new life");
	show("from", from);
	show("one", one);
	say("free from");
	evbuffer_free(from);
	say("drain one");
	evbuffer_drain(one, 1000);
	show("two", two);
	say("pull up two: %s", evbuffer_pullup(two, -1) ? "done" : "NULL");
	show("two", two);
	say("free two");
	evbuffer_free(two);
	evbuffer_free(one);
}

static void multicast_refuses(void)
{
	struct evbuffer *from = new_buf(), *to = new_buf(), *third = new_buf();

	say("nothing: %d", evbuffer_add_buffer_reference(to, from));
	say("nothing to itself: %d", evbuffer_add_buffer_reference(to, to));
	add_text(from, "text");
	say("to itself: %d", evbuffer_add_buffer_reference(from, from));
	evbuffer_freeze(to, 0);
	say("frozen end: %d", evbuffer_add_buffer_reference(to, from));
	evbuffer_unfreeze(to, 0);
	evbuffer_freeze(from, 1);
	say("frozen source: %d", evbuffer_add_buffer_reference(to, from));
	show("to", to);
	say("of a multicast: %d", evbuffer_add_buffer_reference(third, to));
	add_text(third, "third");
	say("moved: %d", evbuffer_add_buffer(third, to));
	show("third", third);
	say("of its new home: %d", evbuffer_add_buffer_reference(to, third));
	evbuffer_free(third);
	evbuffer_free(from);
	evbuffer_free(to);
}

static void multicast_of_hollow_buffers(void)
{
	struct evbuffer *from = new_buf(), *to = new_buf();

	add_ref(from, "");
	say("only an empty reference: %d", evbuffer_add_buffer_reference(to, from));
	show("to", to);
	evbuffer_expand(to, 3000);
	add_text(from, "x");
	evbuffer_expand(from, 30000);
	say("room everywhere: %d", evbuffer_add_buffer_reference(to, from));
	evbuffer_free(from);
	add_text(to, "y");
	show("to", to);
	evbuffer_free(to);
}

/* ---- freezes ---- */

static char freeze_out[16];

static long op_add(struct evbuffer *b)
{
	return evbuffer_add(b, "+", 1);
}

static long op_add_nothing(struct evbuffer *b)
{
	return evbuffer_add(b, "+", 0);
}

static long op_prepend(struct evbuffer *b)
{
	return evbuffer_prepend(b, "-", 1);
}

static long op_prepend_nothing(struct evbuffer *b)
{
	return evbuffer_prepend(b, "-", 0);
}

static long op_drain(struct evbuffer *b)
{
	return evbuffer_drain(b, 1);
}

static long op_drain_nothing(struct evbuffer *b)
{
	return evbuffer_drain(b, 0);
}

static long op_remove(struct evbuffer *b)
{
	return evbuffer_remove(b, freeze_out, 2);
}

static long op_remove_nothing(struct evbuffer *b)
{
	return evbuffer_remove(b, freeze_out, 0);
}

static long op_copyout(struct evbuffer *b)
{
	return evbuffer_copyout(b, freeze_out, 2);
}

static long op_copyout_nothing(struct evbuffer *b)
{
	return evbuffer_copyout(b, freeze_out, 0);
}

static long op_readln(struct evbuffer *b)
{
	size_t n = 99;
	char *line = evbuffer_readln(b, &n, EVBUFFER_EOL_LF);

	free(line);
	return line ? (long)n : -(long)n - 1;
}

static long op_printf(struct evbuffer *b)
{
	return evbuffer_add_printf(b, "%d", 42);
}

static long op_reserve(struct evbuffer *b)
{
	struct evbuffer_iovec v[2];

	return evbuffer_reserve_space(b, 1, v, 1);
}

static long op_commit_nothing(struct evbuffer *b)
{
	return evbuffer_commit_space(b, NULL, 0);
}

static long op_reference(struct evbuffer *b)
{
	return add_ref(b, "r");
}

static long op_expand(struct evbuffer *b)
{
	return evbuffer_expand(b, 10000);
}

static long op_pullup(struct evbuffer *b)
{
	return evbuffer_pullup(b, -1) != NULL;
}

static long op_search(struct evbuffer *b)
{
	return (long)evbuffer_search(b, "l", 1, NULL).pos;
}

static long op_find(struct evbuffer *b)
{
	return evbuffer_find(b, (const unsigned char *)"l", 1) != NULL;
}

static long op_write(struct evbuffer *b)
{
	return evbuffer_write(b, -1);
}

/* The other buffer is as frozen as b in all these. */
static struct evbuffer *other_of(struct evbuffer *b)
{
	static struct evbuffer *other;

	if (other)
		evbuffer_free(other);
	other = new_buf();
	add_text(other, "other");
	(void)b;
	return other;
}

static long op_take_all(struct evbuffer *b)
{
	return evbuffer_add_buffer(b, other_of(b));
}

static long op_give_all(struct evbuffer *b)
{
	return evbuffer_add_buffer(other_of(b), b);
}

static long op_give_all_before(struct evbuffer *b)
{
	return evbuffer_prepend_buffer(other_of(b), b);
}

static long op_take_all_before(struct evbuffer *b)
{
	return evbuffer_prepend_buffer(b, other_of(b));
}

static long op_take_part(struct evbuffer *b)
{
	return evbuffer_remove_buffer(other_of(b), b, 2);
}

static long op_give_part(struct evbuffer *b)
{
	return evbuffer_remove_buffer(b, other_of(b), 2);
}

static long op_give_nothing(struct evbuffer *b)
{
	return evbuffer_remove_buffer(b, other_of(b), 0);
}

static long op_share(struct evbuffer *b)
{
	return evbuffer_add_buffer_reference(other_of(b), b);
}

static long op_take_share(struct evbuffer *b)
{
	return evbuffer_add_buffer_reference(b, other_of(b));
}

static const struct {
	const char *name;
	long (*run)(struct evbuffer *b);
} ops[] = {
    {"add", op_add},
    {"add nothing", op_add_nothing},
    {"prepend", op_prepend},
    {"prepend nothing", op_prepend_nothing},
    {"drain", op_drain},
    {"drain nothing", op_drain_nothing},
    {"remove", op_remove},
    {"remove nothing", op_remove_nothing},
    {"copyout", op_copyout},
    {"copyout nothing", op_copyout_nothing},
    {"readln", op_readln},
    {"printf", op_printf},
    {"reserve", op_reserve},
    {"commit nothing", op_commit_nothing},
    {"reference", op_reference},
    {"expand", op_expand},
    {"pullup", op_pullup},
    {"search", op_search},
    {"find", op_find},
    {"write", op_write},
    {"take all", op_take_all},
    {"give all", op_give_all},
    {"take all before", op_take_all_before},
    {"give all before", op_give_all_before},
    {"take part", op_take_part},
    {"give part", op_give_part},
    {"give nothing", op_give_nothing},
    {"share", op_share},
    {"take share", op_take_share},
};

static void all_ops(const char *content, int start, int end)
{
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		struct evbuffer *b = new_buf();
		long result;

		add_text(b, content);
		if (start)
			evbuffer_freeze(b, 1);
		if (end)
			evbuffer_freeze(b, 0);
		result = ops[i].run(b);
		say("%s: %ld", ops[i].name, result);
		show("b", b);
		evbuffer_free(b);
	}
}

static void not_frozen(void)
{
	all_ops("hel\nlo", 0, 0);
}

static void frozen_start(void)
{
	all_ops("hel\nlo", 1, 0);
}

static void frozen_end(void)
{
	all_ops("hel\nlo", 0, 1);
}

static void frozen_both(void)
{
	all_ops("hel\nlo", 1, 1);
}

static void frozen_and_empty(void)
{
	all_ops("", 1, 1);
}

static void freezes_do_not_nest(void)
{
	struct evbuffer *b = new_buf();

	say("freeze: %d %d", evbuffer_freeze(b, 0), evbuffer_freeze(b, 0));
	say("add: %d", evbuffer_add(b, "x", 1));
	say("unfreeze: %d %d", evbuffer_unfreeze(b, 0), evbuffer_unfreeze(b, 1));
	say("add: %d", evbuffer_add(b, "x", 1));
	say("flags: %d %d", evbuffer_set_flags(b, EVBUFFER_FLAG_DRAINS_TO_FD),
	    evbuffer_clear_flags(b, EVBUFFER_FLAG_DRAINS_TO_FD));
	evbuffer_free(b);
}

/* ---- locks, with functions that count ---- */

static int n_locks, n_held, n_most_held;
static unsigned newest_lock_type;

static void *lock_new(unsigned type)
{
	n_locks++;
	newest_lock_type = type;
	return malloc(1);
}

static void lock_free(void *lock, unsigned type)
{
	(void)type;
	n_locks--;
	free(lock);
}

static int lock_take(unsigned mode, void *lock)
{
	(void)mode;
	(void)lock;
	if (++n_held > n_most_held)
		n_most_held = n_held;
	return 0;
}

static int lock_give(unsigned mode, void *lock)
{
	(void)mode;
	(void)lock;
	n_held--;
	return 0;
}

static void held_cb(struct evbuffer *b, const struct evbuffer_cb_info *info, void *arg)
{
	(void)b;
	(void)info;
	(void)arg;
	say("callback, locked: %s", yes(n_held > 0));
}

static void set_locks(void)
{
	const struct evthread_lock_callbacks functions = {EVTHREAD_LOCK_API_VERSION,
	    EVTHREAD_LOCKTYPE_RECURSIVE, lock_new, lock_free, lock_take, lock_give};

	say("functions: %d", evthread_set_lock_callbacks(&functions));
}

static void locks_are_given_back(void)
{
	struct evbuffer *b = new_buf();
	void *shared;

	say("no functions: %d", evbuffer_enable_locking(b, NULL));
	set_locks();
	n_locks = 0;
	say("own: %d", evbuffer_enable_locking(b, NULL));
	say("recursive: %s", yes(newest_lock_type & EVTHREAD_LOCKTYPE_RECURSIVE));
	say("again: %d", evbuffer_enable_locking(b, NULL));
	evbuffer_add_cb(b, held_cb, NULL);
	evbuffer_lock(b);
	say("held: %d", n_held);
	evbuffer_unlock(b);
	say("held: %d", n_held);
	add_text(b, "1");
	evbuffer_free(b);
	say("left: %d locks, %d held", n_locks, n_held);
	b = new_buf();
	shared = lock_new(EVTHREAD_LOCKTYPE_RECURSIVE);
	say("shared: %d", evbuffer_enable_locking(b, shared));
	evbuffer_free(b);
	say("left: %d locks, %d held", n_locks, n_held);
	lock_free(shared, 0);
}

static void every_call_unlocks(void)
{
	set_locks();
	for (int frozen = 0; frozen < 4; frozen++) {
		for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
			struct evbuffer *b = new_buf();

			MUST(evbuffer_enable_locking(b, lock_take) == 0);
			add_text(b, "hel\nlo");
			if (frozen & 1)
				evbuffer_freeze(b, 1);
			if (frozen & 2)
				evbuffer_freeze(b, 0);
			n_most_held = 0;
			ops[i].run(b);
			if (n_held != 0 || n_most_held == 0)
				say("%s: held %d, was %d", ops[i].name, n_held, n_most_held);
			n_held = 0;
			evbuffer_free(b);
		}
	}
	say("held: %d", n_held);
}

static const struct diff_scenario scenarios[] = {
    DIFF_SCENARIO(adding_and_taking),
    DIFF_SCENARIO(sizes_that_do_not_fit),
    DIFF_SCENARIO(growing_by_all_sizes),
    DIFF_SCENARIO(adding_many_vectors),
    DIFF_SCENARIO(pulling_up),
    DIFF_SCENARIO(pulling_up_frees_references),
    DIFF_SCENARIO(pulling_up_over_empty_references),
    DIFF_SCENARIO(reserving_and_committing),
    DIFF_SCENARIO(committing_all_sizes),
    DIFF_SCENARIO(commit_while_frozen),
    DIFF_SCENARIO(moving_whole_buffers),
    DIFF_SCENARIO(moving_parts),
    DIFF_SCENARIO(moving_large_parts),
    DIFF_SCENARIO(empty_pieces_in_moves),
    DIFF_SCENARIO(references_end_once),
    DIFF_SCENARIO(cleanup_of_a_freed_buffer_comes_in_order),
    DIFF_SCENARIO(multicast_shares_bytes),
    DIFF_SCENARIO(multicast_refuses),
    DIFF_SCENARIO(multicast_of_hollow_buffers),
    DIFF_SCENARIO(not_frozen),
    DIFF_SCENARIO(frozen_start),
    DIFF_SCENARIO(frozen_end),
    DIFF_SCENARIO(frozen_both),
    DIFF_SCENARIO(frozen_and_empty),
    DIFF_SCENARIO(freezes_do_not_nest),
    DIFF_SCENARIO(locks_are_given_back),
    DIFF_SCENARIO(every_call_unlocks),
};

DIFF_MAIN(scenarios)
