/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rate limits: what their functions answer, and that bytes stop and go on as they say.
 *
 * Most scenarios have a tick of weeks, so that nothing is filled up by itself and every number is
 * exact. Where ticks are short, only what arrives in the end is in the transcript, and that it did
 * not come too early.
 */
#include "diff_common.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/thread.h>

static struct event_base *base;

static const size_t too_large = (size_t)EV_SSIZE_MAX + 1;

/* So long that it has no end while a scenario runs, and still within 32 bits of milliseconds. */
static const struct timeval weeks = {40 * 86400, 0};

enum { TICK_MS = 20, SETTLE_MS = 20, BOUND_MS = DIFF_BOUND_S * 1000 / 4 };

static struct ev_token_bucket_cfg *limit_of(size_t rate, size_t burst)
{
	struct ev_token_bucket_cfg *cfg = ev_token_bucket_cfg_new(rate, burst, rate, burst, &weeks);

	MUST(cfg != NULL);
	return cfg;
}

static struct ev_token_bucket_cfg *quick_limit_of(size_t rate)
{
	struct timeval tick = msec(TICK_MS);
	struct ev_token_bucket_cfg *cfg = ev_token_bucket_cfg_new(rate, rate, rate, rate, &tick);

	MUST(cfg != NULL);
	return cfg;
}

static struct bufferevent_rate_limit_group *group_of(size_t rate, size_t burst)
{
	struct bufferevent_rate_limit_group *group =
	    bufferevent_rate_limit_group_new(base, limit_of(rate, burst));

	MUST(group != NULL);
	return group;
}

/* ---- a bufferevent that reads, and its peer ---- */

struct line {
	struct bufferevent *bev;
	int peer;
	size_t sent;          /* by the peer */
	size_t got;           /* by the bufferevent */
	int reads;            /* callbacks */
	size_t longest_input; /* that one of them found */
	bool in_order;
};

/* Every position in the stream of bytes can be told from those around it. */
static char byte_at(size_t position)
{
	return (char)(position * 37 % 251);
}

static void fill_with(char *block, size_t n, size_t position)
{
	for (size_t i = 0; i < n; i++)
		block[i] = byte_at(position + i);
}

static void read_cb(struct bufferevent *bev, void *arg)
{
	struct line *line = arg;
	char block[4096];
	size_t n;

	line->reads++;
	n = evbuffer_get_length(bufferevent_get_input(bev));
	if (n > line->longest_input)
		line->longest_input = n;
	while ((n = bufferevent_read(bev, block, sizeof(block))) > 0) {
		for (size_t i = 0; i < n; i++)
			line->in_order = line->in_order && block[i] == byte_at(line->got + i);
		line->got += n;
	}
}

static void event_cb(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	(void)arg;
	say("an event: 0x%x", (unsigned)what);
}

static void line_new(struct line *line, int options)
{
	int fd[2];

	*line = (struct line){.in_order = true};
	new_pair(fd);
	line->peer = fd[1];
	line->bev = bufferevent_socket_new(base, fd[0], BEV_OPT_CLOSE_ON_FREE | options);
	MUST(line->bev != NULL);
	bufferevent_setcb(line->bev, read_cb, NULL, event_cb, line);
	MUST(bufferevent_enable(line->bev, EV_READ) == 0);
}

static void peer_sends(struct line *line, size_t n)
{
	char block[8192];

	MUST(n <= sizeof(block));
	fill_with(block, n, line->sent);
	MUST(write(line->peer, block, n) == (ssize_t)n);
	line->sent += n;
}

/* Runs the loop until the condition is true, but not for ever. */
#define until(condition)                                          \
	do {                                                      \
		int waited_ms_ = 0;                               \
		while (!(condition) && waited_ms_++ < BOUND_MS) { \
			one_pass(base);                           \
			sleep_ms(1);                              \
		}                                                 \
		if (waited_ms_ > BOUND_MS)                        \
			say("never came: %s", #condition);        \
	} while (0)

/* Gives what must not come the time to come. */
static void settle(void)
{
	for (int i = 0; i < SETTLE_MS; i++) {
		one_pass(base);
		sleep_ms(1);
	}
}

static void say_got(const struct line *line, size_t expected)
{
	until(line->got >= expected);
	settle();
	say("%zu bytes, %s", line->got, line->in_order ? "in order" : "garbled");
}

static size_t output(const struct line *line)
{
	return evbuffer_get_length(bufferevent_get_output(line->bev));
}

static void program_writes(struct line *line, size_t n)
{
	char block[8192];

	MUST(n <= sizeof(block));
	fill_with(block, n, 0);
	MUST(bufferevent_write(line->bev, block, n) == 0);
}

/* Takes what the bufferevent writes until there are n bytes. */
static void peer_gets(const struct line *line, size_t n)
{
	char got[8192], expected[8192];
	size_t have = 0;

	MUST(n < sizeof(got));
	for (int waited_ms = 0; have < n && waited_ms < BOUND_MS; waited_ms++) {
		ssize_t more = read(line->peer, got + have, sizeof(got) - have);

		if (more > 0)
			have += (size_t)more;
		one_pass(base);
		sleep_ms(1);
	}
	fill_with(expected, n, 0);
	say("the peer has %zu bytes, %s", have,
	    memcmp(got, expected, have < n ? have : n) == 0 ? "in order" : "garbled");
}

/* ---- what the functions say ---- */

static void say_limits(const char *when, struct bufferevent *bev)
{
	say("%s: limits %lld and %lld, at most %lld and %lld", when,
	    (long long)bufferevent_get_read_limit(bev), (long long)bufferevent_get_write_limit(bev),
	    (long long)bufferevent_get_max_to_read(bev),
	    (long long)bufferevent_get_max_to_write(bev));
}

static void say_group(const char *when, struct bufferevent_rate_limit_group *group)
{
	ev_uint64_t got = 7, put = 7;

	bufferevent_rate_limit_group_get_totals(group, &got, &put);
	say("%s: limits %lld and %lld, totals %llu and %llu", when,
	    (long long)bufferevent_rate_limit_group_get_read_limit(group),
	    (long long)bufferevent_rate_limit_group_get_write_limit(group), (unsigned long long)got,
	    (unsigned long long)put);
}

static struct bufferevent *new_bev(void)
{
	struct line *line = calloc(1, sizeof(*line));

	MUST(line != NULL);
	line_new(line, 0);
	return line->bev;
}

/* ---- answers ---- */

static void say_cfg(const char *what, struct ev_token_bucket_cfg *cfg)
{
	say("%s: %s", what, cfg ? "made" : "refused");
	if (cfg)
		ev_token_bucket_cfg_free(cfg);
}

static void configurations(void)
{
	const size_t most = EV_RATE_LIMIT_MAX;

	say_cfg("smallest", ev_token_bucket_cfg_new(1, 1, 1, 1, NULL));
	say_cfg("largest", ev_token_bucket_cfg_new(most, most, most, most, &weeks));
	say_cfg("no reading", ev_token_bucket_cfg_new(0, 1, 1, 1, NULL));
	say_cfg("no writing", ev_token_bucket_cfg_new(1, 1, 0, 1, NULL));
	say_cfg("read rate above burst", ev_token_bucket_cfg_new(2, 1, 1, 1, NULL));
	say_cfg("write rate above burst", ev_token_bucket_cfg_new(1, 1, 2, 1, NULL));
	say_cfg("read rate too large", ev_token_bucket_cfg_new(too_large, too_large, 1, 1, NULL));
	say_cfg("read burst too large", ev_token_bucket_cfg_new(1, too_large, 1, 1, NULL));
	say_cfg("write burst too large", ev_token_bucket_cfg_new(1, 1, 1, too_large, NULL));
}

static void without_a_limit(void)
{
	base = new_base();
	struct bufferevent *bev = new_bev();

	say("unlimited: %s and %s", yes(bufferevent_get_read_limit(bev) == EV_SSIZE_MAX),
	    yes(bufferevent_get_write_limit(bev) == EV_SSIZE_MAX));
	say("at most %lld and %lld", (long long)bufferevent_get_max_to_read(bev),
	    (long long)bufferevent_get_max_to_write(bev));
	say("configured: %s", yes(bufferevent_get_token_bucket_cfg(bev) != NULL));
	say("drop the limit: %d", bufferevent_set_rate_limit(bev, NULL));
	say("leave no group: %d", bufferevent_remove_from_rate_limit_group(bev));
	say("join no group: %d", bufferevent_add_to_rate_limit_group(bev, NULL));
	say("configured: %s", yes(bufferevent_get_token_bucket_cfg(bev) != NULL));
}

static void single_transfers(void)
{
	static const size_t sizes[] = {1, 5000, 0, 70000, (size_t)EV_SSIZE_MAX, SIZE_MAX};

	base = new_base();
	struct bufferevent *bev = new_bev();
	for (int i = 0; i < 6; i++) {
		say("read %d, write %d", bufferevent_set_max_single_read(bev, sizes[i]),
		    bufferevent_set_max_single_write(bev, sizes[5 - i]));
		say("singly %lld and %lld", (long long)bufferevent_get_max_single_read(bev),
		    (long long)bufferevent_get_max_single_write(bev));
		say("at most %lld and %lld", (long long)bufferevent_get_max_to_read(bev),
		    (long long)bufferevent_get_max_to_write(bev));
	}
}

static void limits_of_one(void)
{
	struct ev_token_bucket_cfg *cfg = ev_token_bucket_cfg_new(100000, 200000, 300, 400, &weeks);

	base = new_base();
	struct bufferevent *bev = new_bev();
	say("set: %d", bufferevent_set_rate_limit(bev, cfg));
	say("configured: %s", yes(bufferevent_get_token_bucket_cfg(bev) == cfg));
	say_limits("new", bev);
	say("take: %d and %d", bufferevent_decrement_read_limit(bev, 99999),
	    bufferevent_decrement_write_limit(bev, 299));
	say_limits("taken", bev);
	say("take: %d and %d", bufferevent_decrement_read_limit(bev, 1),
	    bufferevent_decrement_write_limit(bev, 1));
	say_limits("empty", bev);
	say("take: %d and %d", bufferevent_decrement_read_limit(bev, 1000),
	    bufferevent_decrement_write_limit(bev, 1000));
	say_limits("in debt", bev);
	say("give: %d and %d", bufferevent_decrement_read_limit(bev, -1000000),
	    bufferevent_decrement_write_limit(bev, -1500));
	say_limits("given", bev);
	bufferevent_set_max_single_read(bev, 10);
	say_limits("single reads of 10", bev);
}

static void another_configuration_only_cuts(void)
{
	struct ev_token_bucket_cfg *first = limit_of(500, 1000), *larger = limit_of(2000, 4000),
				   *smaller = limit_of(100, 200);

	base = new_base();
	struct bufferevent *bev = new_bev();
	bufferevent_set_rate_limit(bev, first);
	bufferevent_decrement_write_limit(bev, 600);
	say_limits("first", bev);
	say("again: %d", bufferevent_set_rate_limit(bev, first));
	say_limits("the same", bev);
	say("larger: %d", bufferevent_set_rate_limit(bev, larger));
	say_limits("larger", bev);
	say("smaller: %d", bufferevent_set_rate_limit(bev, smaller));
	say_limits("smaller", bev);
	say("none: %d", bufferevent_set_rate_limit(bev, NULL));
	say("unlimited: %s", yes(bufferevent_get_write_limit(bev) == EV_SSIZE_MAX));
	say("configured: %s", yes(bufferevent_get_token_bucket_cfg(bev) != NULL));
	bufferevent_set_rate_limit(bev, larger);
	say_limits("larger, from none", bev);
}

static void shares_of_a_group(void)
{
	base = new_base();
	struct bufferevent *a = new_bev(), *b = new_bev(), *c = new_bev();
	struct bufferevent_rate_limit_group *group = group_of(900, 1000);
	say_group("new", group);
	say("join: %d", bufferevent_add_to_rate_limit_group(a, group));
	say("unlimited: %s", yes(bufferevent_get_read_limit(a) == EV_SSIZE_MAX));
	say("one of one: %lld", (long long)bufferevent_get_max_to_read(a));
	say("join again: %d", bufferevent_add_to_rate_limit_group(a, group));
	bufferevent_add_to_rate_limit_group(b, group);
	bufferevent_add_to_rate_limit_group(c, group);
	say("one of three: %lld", (long long)bufferevent_get_max_to_read(a));
	say("take: %d and %d", bufferevent_rate_limit_group_decrement_read(group, 840),
	    bufferevent_rate_limit_group_decrement_write(group, -60));
	say_group("taken and given", group);
	say("at most %lld and %lld", (long long)bufferevent_get_max_to_read(b),
	    (long long)bufferevent_get_max_to_write(b));
	say("leave: %d", bufferevent_remove_from_rate_limit_group(c));
	say("at most %lld and %lld", (long long)bufferevent_get_max_to_read(b),
	    (long long)bufferevent_get_max_to_write(b));
	bufferevent_rate_limit_group_decrement_read(group, 60);
	say("of nothing: %lld", (long long)bufferevent_get_max_to_read(b));
	bufferevent_set_rate_limit(b, limit_of(33, 33));
	say_limits("with a limit of its own", b);
	bufferevent_rate_limit_group_decrement_read(group, -1000);
	say_limits("with a limit of its own", b);
}

static void the_minimal_share(void)
{
	static const size_t shares[] = {1, 200, 500, 501, 100000};

	base = new_base();
	struct bufferevent *a = new_bev();
	struct bufferevent_rate_limit_group *group = group_of(500, 1000);
	bufferevent_add_to_rate_limit_group(a, group);
	bufferevent_add_to_rate_limit_group(new_bev(), group);
	bufferevent_rate_limit_group_decrement_read(group, 490);
	say("by itself: %lld", (long long)bufferevent_get_max_to_read(a));
	for (int i = 0; i < 5; i++) {
		int result = bufferevent_rate_limit_group_set_min_share(group, shares[i]);

		say("%zu: %d, share %lld", shares[i], result,
		    (long long)bufferevent_get_max_to_read(a));
	}
	say("too large: %d", bufferevent_rate_limit_group_set_min_share(group, too_large));
	say("larger rate: %d", bufferevent_rate_limit_group_set_cfg(group, limit_of(7000, 7000)));
	say("what was asked for: %lld", (long long)bufferevent_get_max_to_read(a));
	bufferevent_rate_limit_group_set_min_share(group, 6000);
	say("share %lld", (long long)bufferevent_get_max_to_read(a));
}

static void a_group_gets_another_configuration(void)
{
	base = new_base();
	struct bufferevent_rate_limit_group *group = group_of(500, 1000);
	bufferevent_rate_limit_group_decrement_write(group, 700);
	say_group("first", group);
	say("none: %d", bufferevent_rate_limit_group_set_cfg(group, NULL));
	say("no group: %d", bufferevent_rate_limit_group_set_cfg(NULL, limit_of(1, 1)));
	say("larger: %d", bufferevent_rate_limit_group_set_cfg(group, limit_of(2000, 2000)));
	say_group("larger", group);
	say("smaller: %d", bufferevent_rate_limit_group_set_cfg(group, limit_of(20, 30)));
	say_group("smaller", group);
	bufferevent_rate_limit_group_free(group);
	say("events left: %d", event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED));
}

static void from_group_to_group(void)
{
	base = new_base();
	struct bufferevent *a = new_bev();
	struct bufferevent_rate_limit_group *small = group_of(100, 100),
					    *large = group_of(900, 900);
	bufferevent_add_to_rate_limit_group(a, small);
	say("small: %lld", (long long)bufferevent_get_max_to_read(a));
	bufferevent_rate_limit_group_decrement_read(small, 100);
	say("small and empty: %lld", (long long)bufferevent_get_max_to_read(a));
	say("move: %d", bufferevent_add_to_rate_limit_group(a, large));
	say("large: %lld", (long long)bufferevent_get_max_to_read(a));
	bufferevent_rate_limit_group_free(small);
	say("leave: %d", bufferevent_remove_from_rate_limit_group(a));
	say("none: %lld", (long long)bufferevent_get_max_to_read(a));
	bufferevent_rate_limit_group_free(large);
	say("leave again: %d", bufferevent_remove_from_rate_limit_group(a));
}

static void of_a_pair(void)
{
	struct bufferevent *pair[2];

	base = new_base();
	MUST(bufferevent_pair_new(base, 0, pair) == 0);
	say("set: %d", bufferevent_set_rate_limit(pair[0], limit_of(10, 10)));
	say_limits("one end", pair[0]);
	say("take: %d", bufferevent_decrement_write_limit(pair[0], 10));
	say_limits("one end, empty", pair[0]);
	say("the other end unlimited: %s",
	    yes(bufferevent_get_read_limit(pair[1]) == EV_SSIZE_MAX));
	bufferevent_free(pair[0]);
	bufferevent_free(pair[1]);
	settle();
	say("events left: %d", event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED));
}

/* ---- bytes stop and go on ---- */

static void reading_stops_at_the_limit(void)
{
	struct line a;

	base = new_base();
	line_new(&a, 0);
	bufferevent_set_rate_limit(a.bev, limit_of(100, 100));
	peer_sends(&a, 1000);
	say_got(&a, 100);
	say_limits("used up", a.bev);
	bufferevent_decrement_read_limit(a.bev, -50);
	say_got(&a, 150);
	say_limits("used up", a.bev);
	bufferevent_decrement_read_limit(a.bev, 30);
	bufferevent_decrement_read_limit(a.bev, -29);
	say_got(&a, 150);
	bufferevent_decrement_read_limit(a.bev, -2);
	say_got(&a, 151);
	say("enabled for %s", bits(bufferevent_get_enabled(a.bev)));
	bufferevent_set_rate_limit(a.bev, NULL);
	say_got(&a, 1000);
}

static void writing_stops_at_the_limit(void)
{
	struct line a;

	base = new_base();
	line_new(&a, 0);
	bufferevent_set_rate_limit(a.bev, limit_of(100, 100));
	program_writes(&a, 1000);
	until(output(&a) <= 900);
	settle();
	say("left: %zu", output(&a));
	say_limits("used up", a.bev);
	bufferevent_decrement_write_limit(a.bev, -50);
	until(output(&a) <= 850);
	settle();
	say("left: %zu", output(&a));
	bufferevent_set_rate_limit(a.bev, NULL);
	peer_gets(&a, 1000);
}

static void a_limit_in_debt_stays_so(void)
{
	struct line a;

	base = new_base();
	line_new(&a, 0);
	bufferevent_set_rate_limit(a.bev, limit_of(100, 100));
	bufferevent_decrement_read_limit(a.bev, 500);
	peer_sends(&a, 1000);
	say_got(&a, 0);
	bufferevent_set_rate_limit(a.bev, limit_of(1000, 1000));
	say_limits("another limit", a.bev);
	say_got(&a, 0);
	bufferevent_disable(a.bev, EV_READ);
	bufferevent_enable(a.bev, EV_READ);
	say_got(&a, 0);
	bufferevent_set_rate_limit(a.bev, NULL);
	bufferevent_set_rate_limit(a.bev, limit_of(1000, 1000));
	say_got(&a, 1000);
	say_limits("used up", a.bev);
}

static void single_reads(void)
{
	struct line a;

	base = new_base();
	line_new(&a, 0);
	bufferevent_set_max_single_read(a.bev, 10);
	peer_sends(&a, 1000);
	say_got(&a, 1000);
	say("in tens: %s", yes(a.longest_input == 10 && a.reads == 100));
}

static void a_limit_on_another_base(void)
{
	struct event_base *first;
	struct line a;

	base = first = new_base();
	line_new(&a, 0);
	bufferevent_set_max_single_read(a.bev, 10);
	bufferevent_disable(a.bev, EV_READ | EV_WRITE);
	base = new_base();
	say("moved: %d", bufferevent_base_set(base, a.bev));
	event_base_free(first);
	say("limited: %d", bufferevent_set_rate_limit(a.bev, quick_limit_of(100)));
	bufferevent_enable(a.bev, EV_READ);
	peer_sends(&a, 1000);
	say_got(&a, 1000);
}

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* The first tick may be nearly over, and clocks are read at different times. */
static void say_slow(long since_ms, int ticks)
{
	say("no faster than that: %s", yes(now_ms() - since_ms >= (ticks - 2) * TICK_MS));
}

static void reading_goes_on_with_every_tick(void)
{
	long start = now_ms();
	struct line a;

	base = new_base();
	line_new(&a, 0);
	bufferevent_set_rate_limit(a.bev, quick_limit_of(500));
	peer_sends(&a, 5000);
	say_got(&a, 5000);
	say_slow(start, 9);
	bufferevent_decrement_read_limit(a.bev, 2000);
	start = now_ms();
	peer_sends(&a, 500);
	say_got(&a, 5500);
	say_slow(start, 4);
}

static void writing_goes_on_with_every_tick(void)
{
	long start = now_ms();
	struct line a;

	base = new_base();
	line_new(&a, 0);
	bufferevent_set_rate_limit(a.bev, quick_limit_of(500));
	program_writes(&a, 5000);
	peer_gets(&a, 5000);
	say_slow(start, 9);
}

/* An end that has unread data is reset when the other one is closed. */
static bool is_open(int fd)
{
	return take(fd, 1) < 0 && errno == EAGAIN;
}

static void freed_while_suspended(void)
{
	struct line a;

	base = new_base();
	line_new(&a, 0);
	bufferevent_set_rate_limit(a.bev, quick_limit_of(500));
	bufferevent_decrement_read_limit(a.bev, 100000);
	bufferevent_decrement_write_limit(a.bev, 100000);
	peer_sends(&a, 1000);
	settle();
	bufferevent_free(a.bev);
	settle();
	until(!is_open(a.peer));
	say("events left: %d", event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED));
}

/* ---- groups ---- */

enum { MEMBERS = 3 };

static struct line members[MEMBERS];

static size_t group_got(void)
{
	size_t sum = 0;

	for (int i = 0; i < MEMBERS; i++)
		sum += members[i].got;
	return sum;
}

static void members_new(struct bufferevent_rate_limit_group *group, int options)
{
	for (int i = 0; i < MEMBERS; i++) {
		line_new(&members[i], options);
		MUST(bufferevent_add_to_rate_limit_group(members[i].bev, group) == 0);
	}
}

static void peers_send(size_t n)
{
	for (int i = 0; i < MEMBERS; i++)
		peer_sends(&members[i], n);
}

static void say_group_got(size_t expected)
{
	bool garbled = false;

	until(group_got() >= expected);
	settle();
	for (int i = 0; i < MEMBERS; i++)
		garbled = garbled || !members[i].in_order;
	say("together: %zu bytes, %s", group_got(), garbled ? "garbled" : "in order");
}

/* With a minimal share of one byte nobody takes more than there is. */
static void a_group_reads_what_it_may(void)
{
	base = new_base();
	struct bufferevent_rate_limit_group *group = group_of(500, 500);
	bufferevent_rate_limit_group_set_min_share(group, 1);
	members_new(group, 0);
	peers_send(1000);
	say_group_got(500);
	say_group("used up", group);
	bufferevent_rate_limit_group_decrement_read(group, -100);
	say_group_got(600);
	bufferevent_rate_limit_group_reset_totals(group);
	say_group("used up", group);
	bufferevent_remove_from_rate_limit_group(members[1].bev);
	say_got(&members[1], 1000);
	say_group("without one of them", group);
	bufferevent_add_to_rate_limit_group(members[1].bev, group);
	peer_sends(&members[1], 500);
	say_got(&members[1], 1000);
	bufferevent_rate_limit_group_decrement_read(group, -5000);
	say_group_got(3500);
	bufferevent_rate_limit_group_get_totals(group, NULL, NULL);
}

static size_t group_output(void)
{
	size_t sum = 0;

	for (int i = 0; i < MEMBERS; i++)
		sum += output(&members[i]);
	return sum;
}

static void a_group_writes_what_it_may(void)
{
	base = new_base();
	struct bufferevent_rate_limit_group *group = group_of(500, 500);
	bufferevent_rate_limit_group_set_min_share(group, 1);
	members_new(group, 0);
	for (int i = 0; i < MEMBERS; i++)
		program_writes(&members[i], 1000);
	until(group_output() <= 2500);
	settle();
	say("left together: %zu", group_output());
	say_group("used up", group);
	bufferevent_rate_limit_group_decrement_write(group, -2600);
	for (int i = 0; i < MEMBERS; i++)
		peer_gets(&members[i], 1000);
	say_group("all written", group);
}

static void a_suspended_group_suspends_who_joins(void)
{
	struct line a;

	base = new_base();
	struct bufferevent_rate_limit_group *group = group_of(500, 500);
	bufferevent_rate_limit_group_decrement_read(group, 500);
	line_new(&a, 0);
	peer_sends(&a, 100);
	bufferevent_add_to_rate_limit_group(a.bev, group);
	say_got(&a, 0);
	bufferevent_set_rate_limit(a.bev, limit_of(50, 50));
	say_got(&a, 0);
	bufferevent_remove_from_rate_limit_group(a.bev);
	say_got(&a, 50);
	bufferevent_set_rate_limit(a.bev, NULL);
	say_got(&a, 100);
}

static void ticks_of_a_group(int options)
{
	long start = now_ms();
	struct bufferevent_rate_limit_group *group =
	    bufferevent_rate_limit_group_new(base, quick_limit_of(1000));

	MUST(group != NULL);
	members_new(group, options);
	peers_send(5000);
	say_group_got(15000);
	/* Each tick may overdraw by one minimal share for each member. */
	say_slow(start, 12);
	for (int i = 0; i < MEMBERS; i++)
		bufferevent_free(members[i].bev);
	settle();
	bufferevent_rate_limit_group_free(group);
	say("events left: %d", event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED));
}

static void a_group_goes_on_with_every_tick(void)
{
	base = new_base();
	ticks_of_a_group(0);
}

static void a_group_with_locks(void)
{
	MUST(evthread_use_pthreads() == 0);
	evthread_enable_lock_debugging();
	base = new_base();
	ticks_of_a_group(BEV_OPT_THREADSAFE | BEV_OPT_DEFER_CALLBACKS);
}

static void in_debug_mode(void)
{
	event_enable_debug_mode();
	base = new_base();
	for (int i = 0; i < 3; i++)
		ticks_of_a_group(0);
	reading_stops_at_the_limit();
}

static const struct diff_scenario scenarios[] = {DIFF_SCENARIO(configurations),
    DIFF_SCENARIO(without_a_limit), DIFF_SCENARIO(single_transfers), DIFF_SCENARIO(limits_of_one),
    DIFF_SCENARIO(another_configuration_only_cuts), DIFF_SCENARIO(shares_of_a_group),
    DIFF_SCENARIO(the_minimal_share), DIFF_SCENARIO(a_group_gets_another_configuration),
    DIFF_SCENARIO(from_group_to_group), DIFF_SCENARIO(of_a_pair),
    DIFF_SCENARIO(reading_stops_at_the_limit), DIFF_SCENARIO(writing_stops_at_the_limit),
    DIFF_SCENARIO(a_limit_in_debt_stays_so), DIFF_SCENARIO(single_reads),
    DIFF_SCENARIO(a_limit_on_another_base), DIFF_SCENARIO(reading_goes_on_with_every_tick),
    DIFF_SCENARIO(writing_goes_on_with_every_tick), DIFF_SCENARIO(freed_while_suspended),
    DIFF_SCENARIO(a_group_reads_what_it_may), DIFF_SCENARIO(a_group_writes_what_it_may),
    DIFF_SCENARIO(a_suspended_group_suspends_who_joins),
    DIFF_SCENARIO(a_group_goes_on_with_every_tick), DIFF_SCENARIO(a_group_with_locks),
    DIFF_SCENARIO(in_debug_mode)};

DIFF_MAIN(scenarios)
