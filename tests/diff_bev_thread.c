/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bufferevents that one thread loops and another writes, switches, gives away and frees.
 *
 * The order of what two threads do is nobody's promise: what is told is the sums, and that every
 * byte is at its place. The counters of a side are looked at under the bufferevent's lock, which
 * its callbacks hold too.
 */
#include "diff_bev_sock.h"

#include <pthread.h>

#include <event2/thread.h>

enum { CHUNK = 1000, CHUNKS = 300 };

static struct event_base *base;
static pthread_t looper;
static struct side a;

static void *loop(void *arg)
{
	(void)arg;
	event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY);
	return NULL;
}

static int start(int options)
{
	int fd[2];

	signal(SIGPIPE, SIG_IGN);
	MUST(evthread_use_pthreads() == 0);
	base = new_base();
	new_pair(fd);
	a.quiet = true;
	side_new(&a, "A", base, fd[0], BEV_OPT_THREADSAFE | options);
	MUST(pthread_create(&looper, NULL, loop, NULL) == 0);
	return fd[1];
}

static void stop(void)
{
	event_base_loopbreak(base);
	MUST(pthread_join(looper, NULL) == 0);
}

static uint64_t got(struct side *side)
{
	bufferevent_lock(side->bev);
	uint64_t n = side->got;
	bufferevent_unlock(side->bev);
	return n;
}

static int seen(struct side *side, const int *counter)
{
	bufferevent_lock(side->bev);
	int n = *counter;
	bufferevent_unlock(side->bev);
	return n;
}

#define wait_for(condition)                                      \
	do {                                                     \
		int waited_ = 0;                                 \
		while (!(condition) && waited_++ < BEV_BOUND_MS) \
			sleep_ms(1);                             \
		if (waited_ > BEV_BOUND_MS)                      \
			say("never came: %s", #condition);       \
	} while (0)

static void say_sum(void)
{
	bufferevent_lock(a.bev);
	side_sum(&a);
	bufferevent_unlock(a.bev);
}

/* ---- writing ---- */

static void read_all(int peer, uint64_t n)
{
	uint64_t have = 0;
	bool right = true;

	wait_for((right = stream_read(peer, &have, NULL) && right, have >= n));
	say("the peer has %llu, %s", (unsigned long long)have, right ? "in order" : "garbled");
}

static void write_chunks(void)
{
	for (uint64_t i = 0; i < CHUNKS; i++) {
		bufferevent_lock(a.bev);
		stream_add(out(&a), CHUNK, i * CHUNK);
		bufferevent_unlock(a.bev);
	}
}

static void written_by_another_thread(void)
{
	int peer = start(0);

	write_chunks();
	read_all(peer, CHUNK * CHUNKS);
	wait_for(evbuffer_get_length(out(&a)) == 0 && seen(&a, &a.writes) > 0);
	stop();
}

static void written_one_at_a_time(void)
{
	int peer = start(0);
	uint64_t have = 0;
	bool right = true;

	for (uint64_t i = 0; i < 200; i++) {
		bufferevent_lock(a.bev);
		stream_add(out(&a), 10, i * 10);
		bufferevent_unlock(a.bev);
		wait_for((right = stream_read(peer, &have, NULL) && right, have == (i + 1) * 10));
	}
	say("the peer has %llu, %s", (unsigned long long)have, right ? "in order" : "garbled");
	stop();
}

static void *write_letter(void *letter)
{
	char record[100];

	memset(record, *(char *)letter, sizeof(record));
	for (int i = 0; i < 500; i++)
		bufferevent_write(a.bev, record, sizeof(record));
	return NULL;
}

/* Records are not torn. */
static void written_by_three_threads(void)
{
	char letters[] = "abc", record[100];
	int peer = start(0), count[3] = {0};
	bool whole = true;
	pthread_t writer[3];

	MUST(fcntl(peer, F_SETFL, 0) == 0);
	for (int i = 0; i < 3; i++)
		MUST(pthread_create(&writer[i], NULL, write_letter, &letters[i]) == 0);
	for (int i = 0; i < 1500; i++) {
		if (recv(peer, record, sizeof(record), MSG_WAITALL) != sizeof(record))
			break;
		whole = whole && memcmp(record, record + 1, sizeof(record) - 1) == 0;
		count[record[0] - 'a']++;
	}
	for (int i = 0; i < 3; i++)
		MUST(pthread_join(writer[i], NULL) == 0);
	say("%d, %d and %d records, whole: %s", count[0], count[1], count[2], yes(whole));
	stop();
}

static void written_with_deferred_callbacks(void)
{
	int peer = start(BEV_OPT_DEFER_CALLBACKS | BEV_OPT_UNLOCK_CALLBACKS);

	write_chunks();
	read_all(peer, CHUNK * CHUNKS);
	stop();
}

/* ---- reading ---- */

static void *feed(void *arg)
{
	int fd = *(int *)arg;
	uint64_t sent = 0;

	while (sent < CHUNK * CHUNKS) {
		struct pollfd p = {.fd = fd, .events = POLLOUT};

		poll(&p, 1, 1000);
		stream_write(fd, &sent, sent + CHUNK);
	}
	return NULL;
}

static void switched_by_another_thread(void)
{
	int peer = start(0);
	pthread_t feeder;

	MUST(pthread_create(&feeder, NULL, feed, &peer) == 0);
	for (int i = 0; i < 500; i++) {
		bufferevent_enable(a.bev, EV_READ);
		if (i % 10 == 0)
			sleep_ms(1);
		bufferevent_disable(a.bev, EV_READ);
	}
	bufferevent_enable(a.bev, EV_READ);
	wait_for(got(&a) == CHUNK * CHUNKS);
	say_sum();
	MUST(pthread_join(feeder, NULL) == 0);
	stop();
}

static void watermarks_by_another_thread(void)
{
	int peer = start(0);
	pthread_t feeder;

	bufferevent_enable(a.bev, EV_READ);
	MUST(pthread_create(&feeder, NULL, feed, &peer) == 0);
	for (size_t i = 0; i < 200; i++) {
		bufferevent_setwatermark(a.bev, EV_READ, 0, (i % 3) * 4000);
		if (i % 10 == 0)
			sleep_ms(1);
	}
	bufferevent_setwatermark(a.bev, EV_READ, 0, 0);
	wait_for(got(&a) == CHUNK * CHUNKS);
	say_sum();
	MUST(pthread_join(feeder, NULL) == 0);
	stop();
}

/* What was received is in the input, the rest in the fd. */
static void disabled_then_the_fd_is_read(void)
{
	int peer = start(0);
	uint64_t sent = 0;

	bufferevent_enable(a.bev, EV_READ);
	for (int i = 0; i < 20; i++) {
		stream_write(peer, &sent, sent + 5000);
		sleep_ms(i % 2);
	}
	bufferevent_disable(a.bev, EV_READ);
	bufferevent_lock(a.bev);
	bool right = stream_remove(in(&a), &a.got);
	right = stream_read(bufferevent_getfd(a.bev), &a.got, NULL) && right && !a.garbled;
	bool all = a.got == sent;
	bufferevent_unlock(a.bev);
	say("all of it: %s, %s", yes(all), right ? "in order" : "garbled");
	stop();
}

static void end_of_the_stream(void)
{
	int peer = start(0);

	bufferevent_enable(a.bev, EV_READ);
	stream_put(peer, 0, 5000);
	close(peer);
	wait_for(seen(&a, &a.events) == 1);
	bufferevent_lock(a.bev);
	say("%s after %llu", bev_bits(a.what), (unsigned long long)a.got);
	bufferevent_unlock(a.bev);
	stop();
}

/* ---- made, triggered, freed ---- */

static void made_while_the_loop_runs(void)
{
	struct side more[20];
	int peers[20];

	(void)start(0);
	for (int i = 0; i < 20; i++) {
		int fd[2];

		new_pair(fd);
		peers[i] = fd[1];
		more[i] = (struct side){.quiet = true};
		side_reading(&more[i], "", base, fd[0], BEV_OPT_THREADSAFE | BEV_OPT_CLOSE_ON_FREE);
		stream_put(fd[1], 0, 3000);
	}
	for (int i = 0; i < 20; i++) {
		wait_for(got(&more[i]) == 3000);
		bufferevent_free(more[i].bev);
		bool eof = false;
		uint64_t position = 0;
		wait_for((stream_read(peers[i], &position, &eof), eof));
	}
	say("all came");
	stop();
}

static void triggered_by_another_thread(void)
{
	(void)start(0);
	for (int i = 1; i <= 50; i++) {
		bufferevent_trigger(a.bev, EV_WRITE, BEV_OPT_DEFER_CALLBACKS);
		wait_for(seen(&a, &a.writes) == i);
	}
	say("triggered %d times", seen(&a, &a.writes));
	stop();
}

static void timeouts_set_by_another_thread(void)
{
	struct timeval tv = msec(20);

	(void)start(0);
	bufferevent_enable(a.bev, EV_READ);
	bufferevent_set_timeouts(a.bev, &tv, NULL);
	wait_for(seen(&a, &a.events) == 1);
	say("%s", bev_bits(a.what));
	stop();
}

/* Freed while both directions are busy; the peer gets a beginning of what was written, and the end.
 */
static void freed_by_another_thread(void)
{
	enum { ROUNDS = 100 };
	int peer = start(0), ends = 0;
	bool right = true;

	close(peer);
	for (int i = 0; i < ROUNDS; i++) {
		struct side side = {.quiet = true};
		uint64_t sent = 0, have = 0;
		bool eof = false;
		int fd[2];

		new_pair(fd);
		side_reading(&side, "", base, fd[0], BEV_OPT_THREADSAFE | BEV_OPT_CLOSE_ON_FREE);
		stream_write(fd[1], &sent, 20000);
		bufferevent_lock(side.bev);
		stream_add(out(&side), 400000, 0);
		bufferevent_unlock(side.bev);
		if (i % 4 == 0)
			sleep_ms(1);
		bufferevent_setcb(side.bev, NULL, NULL, NULL, NULL);
		bufferevent_free(side.bev);
		/* Unread data make the end a reset. */
		for (int waited = 0; !eof && waited < BEV_BOUND_MS; waited++) {
			errno = 0;
			right = stream_read(fd[1], &have, &eof) && right;
			eof = eof || errno == ECONNRESET;
			if (!eof)
				sleep_ms(1);
		}
		ends += eof;
		close(fd[1]);
	}
	say("%d ends of %d, %s", ends, ROUNDS, right ? "in order" : "garbled");
	stop();
}

static const struct diff_scenario scenarios[] = {
    DIFF_SCENARIO(written_by_another_thread),
    DIFF_SCENARIO(written_one_at_a_time),
    DIFF_SCENARIO(written_by_three_threads),
    DIFF_SCENARIO(written_with_deferred_callbacks),
    DIFF_SCENARIO(switched_by_another_thread),
    DIFF_SCENARIO(watermarks_by_another_thread),
    DIFF_SCENARIO(disabled_then_the_fd_is_read),
    DIFF_SCENARIO(end_of_the_stream),
    DIFF_SCENARIO(made_while_the_loop_runs),
    DIFF_SCENARIO(triggered_by_another_thread),
    DIFF_SCENARIO(timeouts_set_by_another_thread),
    DIFF_SCENARIO(freed_by_another_thread),
};

DIFF_MAIN(scenarios)
