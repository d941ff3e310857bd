/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * diff_evbuffer_walk [seed [-v]]
 *
 * A random walk over a handful of evbuffers: every operation, its result, what the callbacks were
 * told and a hash of the contents go into a digest, which is printed once in a while. Both
 * libraries walk the same way, as nothing is decided by what they answer, other than by lengths and
 * contents, which have to be equal anyway. With -v each step is a line, for the search after the
 * first difference.
 *
 * What the walk goes around. Stock writes behind the data of shared memory when it is pulled up, so
 * buffers that took part in a multicast are not ("shared"); it aborts when an empty reference, or a
 * full chain for 0 bytes, is taken for room; it does not take what it reserved in one piece if
 * there is more room behind, so that the bytes are then added in the plain way; it tells the
 * callbacks of a deferred buffer that do not wait twice of a remove_buffer. Whether a buffer may be
 * multicast depends on where its pieces end once it has parts of others ("mixed"), and so does how
 * long a freed buffer lives whose parts others have ("lent"), so that is emptied first. Changes of
 * another buffer inside a callback find it half moved, so callbacks change their own only; and only
 * in the outermost round, as those that do not wait are told of the same bytes each time and would
 * go on for ever.
 */
#include "diff_buf.h"

#include <sys/mman.h>

enum {
	N_BUFS = 6,
	N_STEPS = 5000,
	STEPS_PER_LINE = 100,
	MAX_LEN = 12000, /* a buffer with more is drained */
	FILE_LEN = 20000,
	MAX_NOTE = 200,
	NODEFER = 2, /* the flag of callbacks that do not wait, which is not in a public header */
};

static const unsigned default_seeds[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

struct walked {
	struct evbuffer *b;
	struct evbuffer_cb_entry *entry; /* the newest callback, or NULL */
	int n_callbacks;
	bool shared, mixed, lent;
	bool deferred;
	bool hasty; /* deferred, and has or had a callback that does not wait */
};

static struct walked bufs[N_BUFS];
static struct event_base *base;
static uint64_t digest, rng;
static bool aloud;
static int step, file, pair[2];
static unsigned char scratch[20000];

/* ---- chance, and what is noted ---- */

static unsigned chance(unsigned n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (unsigned)(rng >> 33) % n;
}

/* Mostly small, and often where memory ends in either library. */
static size_t some_size(void)
{
	static const size_t edges[] = {464, 976, 1000, 1024, 2000, 2048, 4048, 4096};

	switch (chance(8)) {
	case 0:
		return 0;
	case 1:
	case 2:
		return edges[chance(8)] - 2 + chance(5);
	case 3:
		return chance(6000);
	case 4:
		return chance(600);
	default:
		return chance(30);
	}
}

/* Few different bytes, so that searches find something. */
static unsigned char *some_bytes(size_t n)
{
	static const char letters[] = "aaaabbbc\r\n\r\nde\0f";

	for (size_t i = 0; i < n; i++)
		scratch[i] = (unsigned char)letters[chance(16)];
	return scratch;
}

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...)
{
	char line[MAX_NOTE];
	va_list ap;

	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	digest = hash_more(digest, line, strlen(line));
	if (aloud)
		printf("  %d: %s\n", step, line);
}

static void note_bytes(const char *name, const void *bytes, ev_ssize_t n)
{
	note("%s: %zd, %s", name, n, quoted(bytes, n > 0 ? (size_t)n : 0));
}

static void note_ptr(const char *name, struct evbuffer *b, struct evbuffer_ptr at)
{
	note("%s: %s", name, at_text(b, at));
}

static int index_of(const struct walked *w)
{
	return (int)(w - bufs);
}

static void note_state(struct walked *w)
{
	size_t n;
	unsigned char *bytes = bytes_of(w->b, &n);

	note("buffer %d: %zu bytes, %s%s", index_of(w), evbuffer_get_length(w->b), quoted(bytes, n),
	    n == evbuffer_get_length(w->b) ? "" : ", broken");
	free(bytes);
	if (n == 0)
		w->shared = w->mixed = false;
}

/* ---- callbacks ---- */

/* The argument's number decides what it does. */
static void walk_cb(struct evbuffer *b, const struct evbuffer_cb_info *info, void *arg)
{
	static int depth;
	int number = (int)(intptr_t)arg;

	note("callback %d: %zu +%zu -%zu", number, info->orig_size, info->n_added, info->n_deleted);
	if (depth > 0)
		return;
	depth++;
	if (number % 7 == 3 && info->n_added > 500)
		note("  drains: %d", evbuffer_drain(b, 11));
	if (number % 7 == 5 && info->n_deleted > 500)
		note("  adds: %d", evbuffer_add(b, "more", 4));
	depth--;
}

static void walk_old_cb(struct evbuffer *b, size_t was, size_t is, void *arg)
{
	(void)b;
	note("old callback %d: %zu, %zu", (int)(intptr_t)arg, was, is);
}

static void walk_cleanup(const void *data, size_t n, void *arg)
{
	note("cleanup: %zu", n);
	MUST(data == arg);
	free(arg);
}

/* ---- steps on one buffer ---- */

static void do_add(struct walked *w)
{
	size_t n = some_size();

	note("add %zu: %d", n, evbuffer_add(w->b, some_bytes(n), n));
}

static void do_prepend(struct walked *w)
{
	size_t n = some_size();

	note("prepend %zu: %d", n, evbuffer_prepend(w->b, some_bytes(n), n));
}

static void do_drain(struct walked *w)
{
	size_t n = some_size();

	note("drain %zu: %d", n, evbuffer_drain(w->b, n));
}

static void do_remove(struct walked *w)
{
	size_t n = some_size();
	int got = evbuffer_remove(w->b, scratch, n);

	note_bytes("remove", scratch, got);
}

static void do_copyout(struct walked *w)
{
	size_t n = some_size();
	ev_ssize_t got = evbuffer_copyout(w->b, scratch, n);

	note_bytes("copyout", scratch, got);
}

/* Somewhere in the buffer, at its end, or a bit behind. */
static int some_ptr(struct walked *w, struct evbuffer_ptr *at)
{
	size_t len = evbuffer_get_length(w->b), pos = chance((unsigned)len + 3);
	size_t first = chance(3) ? pos : chance((unsigned)pos + 1);
	int result = evbuffer_ptr_set(w->b, at, first, EVBUFFER_PTR_SET);

	if (result == 0 && first != pos)
		result = evbuffer_ptr_set(w->b, at, pos - first, EVBUFFER_PTR_ADD);
	note("position %zu: %d, %zd", pos, result, at->pos);
	return result;
}

static void do_copyout_from(struct walked *w)
{
	struct evbuffer_ptr at;

	if (some_ptr(w, &at) == 0)
		note_bytes("copyout from", scratch,
		    evbuffer_copyout_from(w->b, &at, scratch, some_size()));
}

static void do_pullup(struct walked *w)
{
	ev_ssize_t n = chance(5) ? (ev_ssize_t)some_size() : -1;
	unsigned char *p = w->shared ? NULL : evbuffer_pullup(w->b, n);

	if (n < 0)
		n = (ev_ssize_t)evbuffer_get_length(w->b);
	note_bytes("pull up", p, p ? n : -1);
}

static void do_reserve(struct walked *w)
{
	struct evbuffer_iovec v[4];
	size_t size = some_size() + 1, used = chance((unsigned)size + 1), done = 0;
	int n_vecs = 1 + (int)chance(4);
	int n = evbuffer_reserve_space(w->b, (ev_ssize_t)size, v, n_vecs);

	note("reserve %zu in %d: %s", size, n_vecs, n < 0 ? "refused" : "done");
	some_bytes(used);
	for (int i = 0; i < n; i++) {
		if (v[i].iov_len > used - done)
			v[i].iov_len = used - done;
		memcpy(v[i].iov_base, scratch + done, v[i].iov_len);
		done += v[i].iov_len;
	}
	if (n < 0 || chance(8) == 0)
		return;
	int result = evbuffer_commit_space(w->b, v, n);
	if (result < 0 && n_vecs == 1 && !on_our_library())
		result = evbuffer_add(w->b, scratch, done);
	note("commit %zu: %d", done, result);
}

static void do_expand(struct walked *w)
{
	size_t n = some_size();

	note("expand %zu: %d", n, evbuffer_expand(w->b, n));
}

static void do_add_iovec(struct walked *w)
{
	struct evbuffer_iovec v[3];
	int n = (int)chance(4);

	some_bytes(1500);
	for (int i = 0; i < n; i++)
		v[i] = (struct evbuffer_iovec){scratch + i * 500, chance(500)};
	note("add %d vectors: %zu", n, evbuffer_add_iovec(w->b, v, n));
}

static void do_printf(struct walked *w)
{
	unsigned n = chance(3) ? chance(100) : (unsigned)some_size();

	some_bytes(n + 1);
	for (unsigned i = 0; i < n; i++)
		scratch[i] |= 0x20;
	note("printf: %d", evbuffer_add_printf(w->b, "%u:%.*s", n, (int)n, (char *)scratch));
}

static void do_reference(struct walked *w)
{
	size_t n = 1 + some_size();
	char *data = malloc(n);

	MUST(data != NULL);
	memcpy(data, some_bytes(n), n);
	int result = evbuffer_add_reference(w->b, data, n, walk_cleanup, data);
	note("reference %zu: %d", n, result);
	if (result < 0)
		free(data);
}

static void do_file(struct walked *w)
{
	static const unsigned flags[] = {
	    EVBUF_FS_DISABLE_SENDFILE, EVBUF_FS_DISABLE_SENDFILE | EVBUF_FS_DISABLE_MMAP, 0};
	size_t from = chance(FILE_LEN - 1), n = some_size() + 1;
	struct evbuffer_file_segment *seg;
	int result;

	if (n > FILE_LEN - from)
		n = FILE_LEN - from;
	seg = evbuffer_file_segment_new(file, (ev_off_t)from, (ev_off_t)n, flags[chance(3)]);
	MUST(seg != NULL);
	from = chance((unsigned)n);
	w->mixed = true;
	result = evbuffer_add_file_segment(w->b, seg, (ev_off_t)from, -1);
	note("file, %zu of %zu: %d", from, n, result);
	if (result == 0)
		evbuffer_file_segment_free(seg);
}

static void do_peek(struct walked *w)
{
	struct evbuffer_iovec v[BUF_MAX_PIECES];
	struct evbuffer_ptr at;
	size_t want = some_size(), n = 0;
	bool from = chance(2);

	if (from && some_ptr(w, &at) < 0)
		return;
	int pieces = evbuffer_peek(w->b, (ev_ssize_t)want, from ? &at : NULL, v, BUF_MAX_PIECES);
	for (int i = 0; i < pieces && n < want; i++) {
		size_t piece = v[i].iov_len < want - n ? v[i].iov_len : want - n;

		memcpy(scratch + n, v[i].iov_base, piece);
		n += piece;
	}
	note_bytes("peek", scratch, (ev_ssize_t)n);
}

static void do_search(struct walked *w)
{
	char what[4];
	size_t len = 1 + chance(4);
	struct evbuffer_ptr start, end;

	memcpy(what, some_bytes(len), len);
	note_ptr("search", w->b, evbuffer_search(w->b, what, len, NULL));
	if (some_ptr(w, &start) < 0 || some_ptr(w, &end) < 0)
		return;
	note_ptr("from", w->b, evbuffer_search(w->b, what, len, &start));
	note_ptr("range", w->b, evbuffer_search_range(w->b, what, len, &start, &end));
	if (w->shared || chance(4))
		return;
	unsigned char *found = evbuffer_find(w->b, (unsigned char *)what, len);
	note_bytes("find", found, found ? (ev_ssize_t)len : -1);
}

static enum evbuffer_eol_style some_style(void)
{
	static const enum evbuffer_eol_style styles[] = {EVBUFFER_EOL_ANY, EVBUFFER_EOL_CRLF,
	    EVBUFFER_EOL_CRLF_STRICT, EVBUFFER_EOL_LF, EVBUFFER_EOL_NUL};

	return styles[chance(5)];
}

static void do_search_eol(struct walked *w)
{
	enum evbuffer_eol_style style = some_style();
	struct evbuffer_ptr start, at;
	bool from = chance(2);
	size_t len = 99;

	if (from && some_ptr(w, &start) < 0)
		return;
	at = evbuffer_search_eol(w->b, from ? &start : NULL, &len, style);
	note("line end %d: %zd, %zu", (int)style, at.pos, len);
}

static void do_readln(struct walked *w)
{
	enum evbuffer_eol_style style = some_style();
	size_t n = 99;
	char *line = evbuffer_readln(w->b, &n, style);

	note_bytes("line", line, line ? (ev_ssize_t)n : -1);
	free(line);
}

static void do_freeze(struct walked *w)
{
	int start = (int)chance(2);

	note("freeze %d: %d", start, evbuffer_freeze(w->b, start));
}

static void do_unfreeze(struct walked *w)
{
	note("unfreeze: %d %d", evbuffer_unfreeze(w->b, 0), evbuffer_unfreeze(w->b, 1));
}

static void do_add_cb(struct walked *w)
{
	if (w->n_callbacks >= 3)
		return;
	w->entry = evbuffer_add_cb(w->b, walk_cb, (void *)(intptr_t)step);
	w->n_callbacks++;
	note("add callback");
}

static void do_remove_cb(struct walked *w)
{
	if (!w->entry)
		return;
	note("remove callback: %d", evbuffer_remove_cb_entry(w->b, w->entry));
	w->n_callbacks--;
	w->entry = NULL;
}

static void do_setcb(struct walked *w)
{
	bool any = chance(2);

	note("setcb: %d", evbuffer_setcb(w->b, any ? walk_old_cb : NULL, (void *)(intptr_t)step));
	w->n_callbacks = any;
	w->entry = NULL;
}

static void do_flags(struct walked *w)
{
	ev_uint32_t flags = 1 + chance(3);

	if (!w->entry)
		return;
	if (chance(2)) {
		note("set %u: %d", flags, evbuffer_cb_set_flags(w->b, w->entry, flags));
		w->hasty = w->hasty || (w->deferred && flags & NODEFER);
	} else {
		note("clear %u: %d", flags, evbuffer_cb_clear_flags(w->b, w->entry, flags));
	}
}

static void do_write(struct walked *w)
{
	ssize_t n, total = 0;

	note("write: %d", evbuffer_write_atmost(w->b, pair[0], 1 + chance(100)));
	while ((n = read(pair[1], scratch + total, sizeof(scratch) - (size_t)total)) > 0)
		total += n;
	note_bytes("arrived", scratch, total);
}

static void do_read(struct walked *w)
{
	size_t n = some_size() + 1;
	int max = chance(3) ? -1 : 1 + (int)chance(5000), got = 0, more;

	MUST(write(pair[1], some_bytes(n), n) == (ssize_t)n);
	while ((more = evbuffer_read(w->b, pair[0], max)) > 0) {
		note("read %d: %d", max, more);
		got += more;
	}
	while ((more = (int)read(pair[0], scratch, sizeof(scratch))) > 0)
		got += more;
	note("read all: %s", yes(got == (int)n));
}

static void open_buffer(struct walked *w)
{
	*w = (struct walked){.b = new_buf()};
	w->deferred = chance(4) == 0;
	if (w->deferred)
		note("defer: %d", evbuffer_defer_callbacks(w->b, base));
}

static void close_buffer(struct walked *w)
{
	if (w->lent) {
		do_unfreeze(w);
		note("empty: %d", evbuffer_drain(w->b, EV_SIZE_MAX));
	}
	evbuffer_free(w->b);
}

static void do_replace(struct walked *w)
{
	if (chance(10))
		return;
	note("free");
	close_buffer(w);
	open_buffer(w);
}

static void do_loop(struct walked *w)
{
	(void)w;
	note("loop: %d", event_base_loop(base, EVLOOP_NONBLOCK));
}

/* ---- steps on two ---- */

static struct walked *another(struct walked *w)
{
	struct walked *to = &bufs[chance(N_BUFS)];

	note("with %d", index_of(to));
	to->shared = w->shared = w->shared || to->shared;
	to->mixed = w->mixed = w->mixed || to->mixed;
	return to;
}

static void do_add_buffer(struct walked *w)
{
	struct walked *to = another(w);

	note("add buffer: %d", evbuffer_add_buffer(to->b, w->b));
	note_state(to);
}

static void do_prepend_buffer(struct walked *w)
{
	struct walked *to = another(w);

	note("prepend buffer: %d", evbuffer_prepend_buffer(to->b, w->b));
	note_state(to);
}

static void do_remove_buffer(struct walked *w)
{
	struct walked *to = another(w);
	size_t n = some_size();

	if (to->hasty && n < evbuffer_get_length(w->b))
		n = evbuffer_get_length(w->b);
	note("remove buffer %zu: %d", n, evbuffer_remove_buffer(w->b, to->b, n));
	note_state(to);
}

static void do_multicast(struct walked *w)
{
	struct walked *to = another(w);

	if (w->mixed)
		return;
	to->shared = to->mixed = w->shared = w->lent = true;
	note("multicast: %d", evbuffer_add_buffer_reference(to->b, w->b));
	note_state(to);
}

/* ---- the walk ---- */

static const struct {
	void (*run)(struct walked *w);
	unsigned weight;
} steps[] = {
    {do_add, 14},
    {do_prepend, 6},
    {do_drain, 8},
    {do_remove, 6},
    {do_copyout, 2},
    {do_copyout_from, 3},
    {do_pullup, 5},
    {do_reserve, 9},
    {do_expand, 3},
    {do_add_iovec, 2},
    {do_printf, 3},
    {do_reference, 5},
    {do_file, 2},
    {do_peek, 3},
    {do_search, 4},
    {do_search_eol, 4},
    {do_readln, 4},
    {do_freeze, 2},
    {do_unfreeze, 6},
    {do_add_cb, 2},
    {do_remove_cb, 1},
    {do_setcb, 1},
    {do_flags, 2},
    {do_write, 3},
    {do_read, 3},
    {do_replace, 2},
    {do_loop, 3},
    {do_add_buffer, 5},
    {do_prepend_buffer, 3},
    {do_remove_buffer, 8},
    {do_multicast, 2},
};

static void one_step(void)
{
	struct walked *w = &bufs[chance(N_BUFS)];
	unsigned total = 0, pick;
	size_t i;

	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		total += steps[i].weight;
	pick = chance(total);
	for (i = 0; pick >= steps[i].weight; i++)
		pick -= steps[i].weight;
	note("on %d", index_of(w));
	steps[i].run(w);
	note_state(w);
	if (evbuffer_get_length(w->b) > MAX_LEN) {
		note("too long: %d", evbuffer_drain(w->b, MAX_LEN / 2 + chance(MAX_LEN)));
		note_state(w);
	}
}

static void set_up(unsigned seed)
{
	digest = HASH_START;
	rng = 0x9e3779b97f4a7c15 * (seed + 1);
	base = new_base();
	new_pair(pair);
	file = memfd_create("file", MFD_CLOEXEC);
	MUST(file >= 0);
	MUST(write(file, some_bytes(FILE_LEN), FILE_LEN) == FILE_LEN);
	for (int i = 0; i < N_BUFS; i++)
		open_buffer(&bufs[i]);
}

static void walk(unsigned seed)
{
	set_up(seed);
	for (step = 1; step <= N_STEPS; step++) {
		one_step();
		if (step % STEPS_PER_LINE == 0) {
			printf(
			    "seed %u, step %d: %016llx\n", seed, step, (unsigned long long)digest);
			fflush(stdout);
		}
	}
	for (int i = 0; i < N_BUFS; i++)
		close_buffer(&bufs[i]);
	do_loop(&bufs[0]);
	printf("seed %u, end: %016llx\n", seed, (unsigned long long)digest);
}

static bool walk_in_child(unsigned seed)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	MUST(pid >= 0);
	if (pid == 0) {
		setpgid(0, 0);
		event_set_log_callback(diff_swallow_log);
		walk(seed);
		fflush(stdout);
		exit(0);
	}
	return diff_wait(pid);
}

int __lsan_is_turned_off(void)
{
	return 1;
}

int main(int argc, char **argv)
{
	bool ok = true;

	aloud = argc > 2;
	if (argc > 1)
		return walk_in_child((unsigned)strtoul(argv[1], NULL, 10)) ? 0 : 1;
	for (size_t i = 0; i < sizeof(default_seeds) / sizeof(default_seeds[0]); i++)
		ok = walk_in_child(default_seeds[i]) && ok;
	return ok ? 0 : 1;
}
