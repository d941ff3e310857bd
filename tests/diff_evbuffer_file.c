/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * evbuffers and fds: the bounds of evbuffer_read, writing, and parts of files that are sent,
 * mapped or read.
 *
 * A segment's own fd can be seen with fstat(2): the transcript tells open from closed.
 */
#include "diff_buf.h"

#include <sys/mman.h>
#include <sys/stat.h>

static int fd[2];

/* ---- read ---- */

static void send_stream(int to, size_t n)
{
	unsigned char *bytes = malloc(n);

	MUST(bytes != NULL);
	stream_fill(bytes, 0, n);
	MUST(write(to, bytes, n) == (ssize_t)n);
	free(bytes);
}

/* Says the result and, if it failed, why. */
static void say_read(struct evbuffer *b, int from, int howmuch)
{
	errno = 0;
	int n = evbuffer_read(b, from, howmuch);

	say("read %d: %d%s%s", howmuch, n, n < 0 && errno ? ", " : "",
	    n < 0 && errno ? strerror(errno) : "");
}

static void read_bounds(void)
{
	const int bounds[] = {-1, 1, 100, 4095, 4096, 4097, 100000, 0, -100, 50, -1, -1, -1, 1};
	struct evbuffer *b = new_buf();

	new_pair(fd);
	send_stream(fd[1], 25000);
	for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++)
		say_read(b, fd[0], bounds[i]);
	show("b", b);
	close(fd[1]);
	say_read(b, fd[0], -1);
	say_read(b, fd[0], 0);
	close(fd[0]);
	say_read(b, fd[0], -1);
	say_read(b, fd[0], 0);
	say_read(b, -1, 100);
	evbuffer_free(b);
}

static void reading_calls_back(void)
{
	struct evbuffer *b = new_buf();

	new_pair(fd);
	listen_to(b, "b");
	send_stream(fd[1], 5000);
	say_read(b, fd[0], 3000);
	say_read(b, fd[0], -1);
	say_read(b, fd[0], -1);
	evbuffer_freeze(b, 0);
	send_stream(fd[1], 10);
	say_read(b, fd[0], -1);
	evbuffer_unfreeze(b, 0);
	evbuffer_freeze(b, 1);
	say_read(b, fd[0], -1);
	evbuffer_free(b);
}

/* Behind every kind of end, and with little room left there. */
static void reading_behind_anything(void)
{
	new_pair(fd);
	for (size_t before = 0; before < 3000; before += 91) {
		struct evbuffer *b = new_buf();

		add_stream(b, before);
		if (before % 2)
			add_pieces(b, "a reference", NULL);
		if (before % 3 == 0)
			MUST(evbuffer_expand(b, before) == 0);
		evbuffer_drain(b, before % 500);
		send_stream(fd[1], 2 * before + 1);
		while (evbuffer_read(b, fd[0], (int)before + 5) > 0)
			;
		say("%zu: hash %016llx", before, (unsigned long long)hash_of(b));
		evbuffer_free(b);
	}
}

static void reading_pipes_and_files(void)
{
	struct evbuffer *b = new_buf();
	int file = memfd_create("file", MFD_CLOEXEC);

	new_pipe(fd);
	send_stream(fd[1], 6000);
	say_read(b, fd[0], -1);
	say_read(b, fd[0], -1);
	say_read(b, fd[0], -1);
	say_read(b, fd[1], -1);
	close(fd[1]);
	say_read(b, fd[0], -1);
	MUST(file >= 0);
	send_stream(file, 10000);
	lseek(file, 1000, SEEK_SET);
	say_read(b, file, -1);
	say_read(b, file, 100000);
	say_read(b, file, 100);
	say_read(b, file, -1);
	say_read(b, file, -1);
	show("b", b);
	evbuffer_free(b);
}

/* ---- write ---- */

static void say_write(struct evbuffer *b, int to, ev_ssize_t howmuch)
{
	errno = 0;
	int n = evbuffer_write_atmost(b, to, howmuch);

	say("write %zd: %d%s%s, left %zu", howmuch, n, n < 0 && errno ? ", " : "",
	    n < 0 && errno ? strerror(errno) : "", evbuffer_get_length(b));
}

/* Takes all that is there. */
static void say_arrived(int from)
{
	static unsigned char bytes[1 << 20];
	size_t n = 0;
	ssize_t more;

	while ((more = read(from, bytes + n, sizeof(bytes) - n)) > 0)
		n += (size_t)more;
	say("arrived: %zu bytes, %s", n, quoted(bytes, n));
}

static void write_bounds(void)
{
	struct evbuffer *b = new_buf();

	new_pair(fd);
	say_write(b, fd[0], -1);
	say_write(b, fd[0], 0);
	say_write(b, fd[0], 5);
	add_pieces(b, "hello ", "wide ", "world", NULL);
	listen_to(b, "b");
	say_write(b, fd[0], 0);
	say_write(b, fd[0], 3);
	say_write(b, fd[0], 4);
	say_write(b, -1, 4);
	evbuffer_freeze(b, 1);
	say_write(b, fd[0], 1);
	evbuffer_unfreeze(b, 1);
	evbuffer_freeze(b, 0);
	say_write(b, fd[0], 1000);
	say("write of nothing: %d", evbuffer_write(b, fd[0]));
	say_arrived(fd[1]);
	evbuffer_unfreeze(b, 0);
	add_text(b, "more");
	say("write: %d", evbuffer_write(b, fd[0]));
	say_arrived(fd[1]);
	evbuffer_free(b);
}

static void writing_into_a_full_or_closed_socket(void)
{
	struct evbuffer *b = new_buf();

	signal(SIGPIPE, SIG_IGN);
	new_pair(fd);
	fill(fd[0]);
	add_text(b, "late");
	say_write(b, fd[0], -1);
	say_write(b, fd[0], 2);
	close(fd[1]);
	say_write(b, fd[0], -1);
	close(fd[0]);
	say_write(b, fd[0], -1);
	show("b", b);
	evbuffer_free(b);
}

/* A stream through a socket, as fast as both take it. */
static void pumping(void)
{
	struct evbuffer *out = new_buf(), *in = new_buf();
	int idle = 0;

	new_pair(fd);
	add_stream(out, 700000);
	while (evbuffer_get_length(out) > 0 || idle < 2) {
		int wrote = evbuffer_write(out, fd[0]), got = evbuffer_read(in, fd[1], -1);

		idle = wrote > 0 || got > 0 ? 0 : idle + 1;
	}
	show("in", in);
	evbuffer_free(in);
	evbuffer_free(out);
}

static void writing_many_pieces(void)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
	struct evbuffer *b = new_buf();

	new_pair(fd);
	for (int i = 0; i < 300; i++)
		MUST(evbuffer_add_reference(b, letters + i % 26, 1, NULL, NULL) == 0);
	say_write(b, fd[0], -1);
	say_write(b, fd[0], 20);
	say_write(b, fd[0], 1000);
	say_write(b, fd[0], -1);
	say_arrived(fd[1]);
	evbuffer_free(b);
}

/* ---- segments ---- */

enum { FILE_SIZE = 30000 };

static int new_file(size_t n)
{
	int file = memfd_create("file", MFD_CLOEXEC);

	MUST(file >= 0);
	if (n > 0)
		send_stream(file, n);
	MUST(lseek(file, 17, SEEK_SET) == 17);
	return file;
}

static bool is_open(int f)
{
	struct stat st;

	return fstat(f, &st) == 0;
}

static int watched_file;

static void segment_cb(const struct evbuffer_file_segment *seg, int flags, void *name)
{
	(void)seg;
	say("end of %s, flags %x, the fd is open: %s", (const char *)name, (unsigned)flags,
	    yes(is_open(watched_file)));
}

static struct evbuffer_file_segment *new_segment(
    int file, ev_off_t offset, ev_off_t length, unsigned flags, const char *name)
{
	struct evbuffer_file_segment *seg = evbuffer_file_segment_new(file, offset, length, flags);

	say("new segment %s: %s", name, seg ? "made" : "NULL");
	if (seg)
		evbuffer_file_segment_add_cleanup_cb(seg, segment_cb, (void *)(uintptr_t)name);
	watched_file = file;
	return seg;
}

/* Is what is in the buffer, or comes out of the socket, the stream from `pos` on? */
static void say_stream(struct evbuffer *b, bool send, size_t pos, size_t n)
{
	unsigned char *want = malloc(n + 1), *got = malloc(n + 1);
	ssize_t total = 0, more;

	stream_fill(want, pos, n);
	if (send) {
		while (evbuffer_get_length(b) > 0 && evbuffer_write(b, fd[0]) > 0)
			;
		while ((more = read(fd[1], got + total, n + 1 - (size_t)total)) > 0)
			total += more;
	} else {
		total = evbuffer_remove(b, got, n + 1);
	}
	say("%zd bytes of %zu from %zu, right: %s, left %zu", total, n, pos,
	    yes(total == (ssize_t)n && memcmp(want, got, n) == 0), evbuffer_get_length(b));
	free(want);
	free(got);
}

static void one_segment(unsigned flags, bool to_fd, ev_off_t file_offset, ev_off_t length,
    ev_off_t offset, ev_off_t part)
{
	struct evbuffer *b = new_buf();
	int file = new_file(FILE_SIZE);
	struct evbuffer_file_segment *seg =
	    new_segment(file, file_offset, length, flags | EVBUF_FS_CLOSE_ON_FREE, "seg");

	if (to_fd)
		evbuffer_set_flags(b, EVBUFFER_FLAG_DRAINS_TO_FD);
	say("add %ld, %ld of %ld, %ld: %d", (long)offset, (long)part, (long)file_offset,
	    (long)length, evbuffer_add_file_segment(b, seg, offset, part));
	say("position %ld", (long)lseek(file, 0, SEEK_CUR));
	evbuffer_file_segment_free(seg);
	if (part < 0)
		part = length - offset;
	say_stream(b, to_fd, (size_t)(file_offset + offset), (size_t)part);
	evbuffer_free(b);
}

static void all_parts(unsigned flags, bool to_fd)
{
	new_pair(fd);
	one_segment(flags, to_fd, 0, FILE_SIZE, 0, FILE_SIZE);
	one_segment(flags, to_fd, 0, FILE_SIZE, 0, -1);
	one_segment(flags, to_fd, 0, FILE_SIZE, 4096, 4096);
	one_segment(flags, to_fd, 0, FILE_SIZE, 4097, 1);
	one_segment(flags, to_fd, 4096, 8192, 0, -1);
	one_segment(flags, to_fd, 5000, 20000, 0, -1);
	one_segment(flags, to_fd, 5000, 20000, 5000, -1);
	one_segment(flags, to_fd, 5000, 20000, 4999, 3);
	one_segment(flags, to_fd, 29999, 1, 0, 1);
	one_segment(flags, to_fd, 100, 100, 100, -1);
	one_segment(flags, to_fd, 100, 100, 100, 0);
	one_segment(flags, to_fd, 100, 100, 3, 0);
}

static void sent_segments(void)
{
	all_parts(0, true);
}

static void segments_that_may_be_sent_but_are_not(void)
{
	all_parts(0, false);
}

static void mapped_segments(void)
{
	all_parts(EVBUF_FS_DISABLE_SENDFILE, false);
}

static void mapped_segments_to_an_fd(void)
{
	all_parts(EVBUF_FS_DISABLE_SENDFILE | EVBUF_FS_DISABLE_LOCKING, true);
}

static void read_segments(void)
{
	all_parts(EVBUF_FS_DISABLE_SENDFILE | EVBUF_FS_DISABLE_MMAP, false);
}

static void read_segments_to_an_fd(void)
{
	all_parts(EVBUF_FS_DISABLE_SENDFILE | EVBUF_FS_DISABLE_MMAP, true);
}

static void segments_that_cannot_be(void)
{
	const unsigned memory = EVBUF_FS_DISABLE_SENDFILE, no_map = memory | EVBUF_FS_DISABLE_MMAP;
	int file = new_file(100), empty = new_file(0);

	new_pipe(fd);
	new_segment(file, -1, 10, 0, "negative offset");
	new_segment(file, 0, -2, 0, "negative length");
	new_segment(file, INT64_MAX, 1, 0, "too far");
	new_segment(file, 1, INT64_MAX, 0, "too long");
	new_segment(file, 0, INT64_MAX, memory, "longest, mapped");
	new_segment(file, 50, 100, no_map, "longer than the file, read");
	new_segment(-1, 0, -1, 0, "no file");
	new_segment(-1, 0, 10, memory, "no file, mapped");
	new_segment(-1, 0, 10, no_map, "no file, read");
	new_segment(fd[0], 0, 10, memory, "pipe, mapped");
	new_segment(fd[0], 0, 10, no_map, "pipe, read");
	new_segment(empty, 0, -1, memory, "empty, mapped");
	new_segment(empty, 0, -1, no_map, "empty, read");
	say("open: %s %s", yes(is_open(file)), yes(is_open(empty)));
}

/* A refused segment loses the caller's reference. */
static void refuse(ev_off_t offset, ev_off_t length, int freeze, bool to_fd)
{
	struct evbuffer *b = new_buf();
	int file = new_file(1000);
	struct evbuffer_file_segment *seg =
	    new_segment(file, 100, 800, EVBUF_FS_CLOSE_ON_FREE, "seg");

	if (to_fd)
		evbuffer_set_flags(b, EVBUFFER_FLAG_DRAINS_TO_FD);
	if (freeze)
		evbuffer_freeze(b, 0);
	say("add %ld, %ld: %d, length %zu", (long)offset, (long)length,
	    evbuffer_add_file_segment(b, seg, offset, length), evbuffer_get_length(b));
	evbuffer_free(b);
}

static void refused_segments(void)
{
	for (int to_fd = 0; to_fd < 2; to_fd++) {
		refuse(0, 801, 0, to_fd);
		refuse(700, 101, 0, to_fd);
		refuse(801, -1, 0, to_fd);
		refuse(900, 0, 0, to_fd);
		refuse(0, 10, 1, to_fd);
		refuse(0, -1, 1, to_fd);
	}
}

/* What merely cannot be read stays the caller's. */
static void unreadable_segments(void)
{
	struct evbuffer *b = new_buf();
	struct evbuffer_file_segment *seg;
	int empty = new_file(0);

	new_pipe(fd);
	seg = new_segment(fd[0], 0, 10, EVBUF_FS_CLOSE_ON_FREE, "pipe");
	say("add: %d", evbuffer_add_file_segment(b, seg, 0, -1));
	say("add: %d", evbuffer_add_file_segment(b, seg, 0, 5));
	evbuffer_file_segment_free(seg);
	seg = new_segment(empty, 0, -1, 0, "empty");
	say("add: %d", evbuffer_add_file_segment(b, seg, 0, -1));
	evbuffer_set_flags(b, EVBUFFER_FLAG_DRAINS_TO_FD);
	say("add to an fd: %d", evbuffer_add_file_segment(b, seg, 0, -1));
	evbuffer_file_segment_free(seg);
	show("b", b);
	evbuffer_free(b);
	say("open: %s", yes(is_open(empty)));
}

static void a_segment_in_many_places(void)
{
	struct evbuffer *a = new_buf(), *b = new_buf();
	int file = new_file(FILE_SIZE);
	struct evbuffer_file_segment *seg =
	    new_segment(file, 0, FILE_SIZE, EVBUF_FS_CLOSE_ON_FREE, "seg");

	new_pair(fd);
	listen_to(a, "a");
	evbuffer_set_flags(b, EVBUFFER_FLAG_DRAINS_TO_FD);
	say("b: %d", evbuffer_add_file_segment(b, seg, 10, 20));
	say("a: %d", evbuffer_add_file_segment(a, seg, 10, 20));
	say("a: %d", evbuffer_add_file_segment(a, seg, 0, 5));
	add_text(a, "text");
	say("a: %d", evbuffer_add_file_segment(a, seg, 100, 5));
	evbuffer_file_segment_free(seg);
	show("a", a);
	say("line end: %zd", evbuffer_search(a, "text", 4, NULL).pos);
	say("write a: %d", evbuffer_write(a, fd[0]));
	say_arrived(fd[1]);
	say("shared: %d", evbuffer_add_buffer_reference(a, b));
	say("write b: %d", evbuffer_write(b, fd[0]));
	evbuffer_free(a);
	evbuffer_free(b);
}

static void segments_cannot_be_shared(void)
{
	struct evbuffer *a = new_buf(), *b = new_buf();
	int file = new_file(100);

	say("add: %d", evbuffer_add_file(a, file, 10, 20));
	add_text(b, "b");
	say("share: %d", evbuffer_add_buffer_reference(b, a));
	say("move: %d", evbuffer_add_buffer(b, a));
	show("b", b);
	say("pull up: %s", evbuffer_pullup(b, -1) ? "done" : "NULL");
	say("open: %s", yes(is_open(file)));
	show("b", b);
	evbuffer_free(a);
	evbuffer_free(b);
}

/* Bytes, file, bytes: each write stops where the way of sending changes. */
static void memory_and_files_in_turn(void)
{
	struct evbuffer *b = new_buf();
	int file = new_file(FILE_SIZE);
	struct evbuffer_file_segment *seg =
	    new_segment(file, 0, FILE_SIZE, EVBUF_FS_CLOSE_ON_FREE, "seg");

	new_pair(fd);
	evbuffer_set_flags(b, EVBUFFER_FLAG_DRAINS_TO_FD);
	add_text(b, "head ");
	evbuffer_add_file_segment(b, seg, 10, 30);
	evbuffer_add_file_segment(b, seg, 20, 10);
	add_pieces(b, " between ", "them ", NULL);
	evbuffer_add_file_segment(b, seg, 100, 1);
	evbuffer_file_segment_free(seg);
	add_text(b, " tail");
	listen_to(b, "b");
	say_write(b, fd[0], 3);
	say_write(b, fd[0], 1000);
	say_write(b, fd[0], 3);
	say_write(b, fd[0], -1);
	say_write(b, fd[0], 2);
	say_write(b, fd[0], -1);
	say_write(b, fd[0], 1);
	say_write(b, fd[0], -1);
	say_arrived(fd[1]);
	evbuffer_free(b);
}

static void draining_what_would_be_sent(void)
{
	struct evbuffer *b = new_buf(), *c = new_buf();
	int file = new_file(1000);

	new_pair(fd);
	evbuffer_set_flags(b, EVBUFFER_FLAG_DRAINS_TO_FD);
	say("add: %d", evbuffer_add_file(b, file, 100, 50));
	add_text(b, "tail");
	say("prepend: %d", evbuffer_prepend(b, "head", 4));
	say("drain: %d", evbuffer_drain(b, 14));
	say("move: %d", evbuffer_add_buffer(c, b));
	say("length %zu", evbuffer_get_length(c));
	say_write(c, fd[0], 1);
	say_write(c, fd[0], -1);
	say_arrived(fd[1]);
	say("open: %s", yes(is_open(file)));
	evbuffer_free(b);
	evbuffer_free(c);
}

static void sending_when_there_is_no_room_or_nobody(void)
{
	struct evbuffer *b = new_buf();
	int file = new_file(1000);

	signal(SIGPIPE, SIG_IGN);
	new_pair(fd);
	evbuffer_set_flags(b, EVBUFFER_FLAG_DRAINS_TO_FD);
	say("add: %d", evbuffer_add_file(b, file, 0, 1000));
	listen_to(b, "b");
	fill(fd[0]);
	say_write(b, fd[0], -1);
	say_write(b, fd[0], 10);
	close(fd[1]);
	say_write(b, fd[0], -1);
	say_write(b, -1, -1);
	MUST(ftruncate(file, 400) == 0);
	new_pair(fd);
	say_write(b, fd[0], -1);
	say_write(b, fd[0], -1);
	evbuffer_freeze(b, 1);
	say_write(b, fd[0], -1);
	evbuffer_free(b);
	say("open: %s", yes(is_open(file)));
}

/* ---- add_file ---- */

static void say_add_file(
    const char *name, int file, ev_off_t offset, ev_off_t length, int freeze, bool to_fd)
{
	struct evbuffer *b = new_buf();

	if (to_fd)
		evbuffer_set_flags(b, EVBUFFER_FLAG_DRAINS_TO_FD);
	if (freeze)
		evbuffer_freeze(b, 0);
	listen_to(b, "b");
	int result = evbuffer_add_file(b, file, offset, length);
	say("%s: %d, length %zu, open: %s", name, result, evbuffer_get_length(b),
	    yes(is_open(file)));
	evbuffer_free(b);
	say("then open: %s", yes(is_open(file)));
}

static void adding_files(void)
{
	for (int to_fd = 0; to_fd < 2; to_fd++) {
		say_add_file("whole", new_file(100), 0, -1, 0, to_fd);
		say_add_file("part", new_file(100), 10, 20, 0, to_fd);
		say_add_file("part, length -1", new_file(100), 10, -1, 0, to_fd);
		say_add_file("frozen", new_file(100), 0, -1, 1, to_fd);
		say_add_file("negative offset", new_file(100), -1, 10, 0, to_fd);
		say_add_file("negative length", new_file(100), 0, -2, 0, to_fd);
		say_add_file("empty", new_file(0), 0, -1, 0, to_fd);
		say_add_file("nothing", new_file(100), 0, 0, 0, to_fd);
		say_add_file("not a file", -1, 0, 10, 0, to_fd);
		new_pipe(fd);
		say_add_file("pipe", fd[0], 0, 10, 0, to_fd);
		say_add_file("pipe, length -1", fd[0], 0, -1, 0, to_fd);
	}
}

static const struct diff_scenario scenarios[] = {
    DIFF_SCENARIO(read_bounds),
    DIFF_SCENARIO(reading_calls_back),
    DIFF_SCENARIO(reading_behind_anything),
    DIFF_SCENARIO(reading_pipes_and_files),
    DIFF_SCENARIO(write_bounds),
    DIFF_SCENARIO(writing_into_a_full_or_closed_socket),
    DIFF_SCENARIO(pumping),
    DIFF_SCENARIO(writing_many_pieces),
    DIFF_SCENARIO(sent_segments),
    DIFF_SCENARIO(segments_that_may_be_sent_but_are_not),
    DIFF_SCENARIO(mapped_segments),
    DIFF_SCENARIO(mapped_segments_to_an_fd),
    DIFF_SCENARIO(read_segments),
    DIFF_SCENARIO(read_segments_to_an_fd),
    DIFF_SCENARIO(segments_that_cannot_be),
    DIFF_SCENARIO(refused_segments),
    DIFF_SCENARIO(unreadable_segments),
    DIFF_SCENARIO(a_segment_in_many_places),
    DIFF_SCENARIO(segments_cannot_be_shared),
    DIFF_SCENARIO(memory_and_files_in_turn),
    DIFF_SCENARIO(draining_what_would_be_sent),
    DIFF_SCENARIO(sending_when_there_is_no_room_or_nobody),
    DIFF_SCENARIO(adding_files),
};

DIFF_MAIN(scenarios)
