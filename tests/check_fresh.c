/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_fresh.c - a connection that was just accepted takes data, so nobody has to ask the kernel
 * before its first write callback. Counts the polls that the engine arms, at its door to the ring.
 */
#include <check.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base.h"
#include "poll.h"
#include "ring.h"

enum { PASSES = 1000 };

static struct event_base *base;
static const struct evu_ring_ops *real;
static struct evu_ring_ops counting;
static struct bufferevent *bev;
static int watched, polls, polls_before, writes;

static int count_arm(struct evu_ring *ring, struct evu_op *op, int fd, unsigned mask,
    enum evu_poll_kind kind, bool again)
{
	polls += fd == watched;
	return real->arm(ring, op, fd, mask, kind, again);
}

/* From now on polls of `fd` are counted. */
static void count_polls(int fd)
{
	struct evu_ring *ring = base->engine->ring;

	watched = fd;
	polls = writes = 0;
	if (ring->ops == &counting)
		return;
	real = ring->ops;
	counting = *real;
	counting.arm = count_arm;
	ring->ops = &counting;
}

static void write_cb(struct bufferevent *b, void *arg)
{
	(void)b;
	(void)arg;
	if (!writes++)
		polls_before = polls;
}

static void talk_on(int fd)
{
	count_polls(fd);
	bev = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
	ck_assert_ptr_nonnull(bev);
	bufferevent_setcb(bev, NULL, write_cb, NULL, NULL);
	bufferevent_enable(bev, EV_READ | EV_WRITE);
}

static void accept_cb(
    struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *peer, int length, void *arg)
{
	(void)l;
	(void)peer;
	(void)length;
	(void)arg;
	talk_on(fd);
}

/* A pass looks and does not sleep for ever, should nothing come. */
static void run_until_written(void)
{
	const struct timeval pause = {0, 10000};
	int i;

	for (i = 0; i < PASSES && !writes; i++) {
		event_base_loopexit(base, &pause);
		ck_assert_int_ge(event_base_loop(base, EVLOOP_ONCE), 0);
	}
	ck_assert_msg(writes > 0, "the write callback never came");
}

static void start(void)
{
	base = event_base_new();
	ck_assert_ptr_nonnull(base);
}

static void stop(void)
{
	bufferevent_free(bev);
	event_base_free(base);
}

/* A bufferevent that has been there makes the base move to the ring of data. */
static bool moves_data(void)
{
	int sv[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv), 0);
	bev = bufferevent_socket_new(base, sv[0], BEV_OPT_CLOSE_ON_FREE);
	bufferevent_enable(bev, EV_READ | EV_WRITE);
	event_base_loop(base, EVLOOP_NONBLOCK);
	bufferevent_free(bev);
	event_base_loop(base, EVLOOP_NONBLOCK);
	close(sv[1]);
	return base->engine->ring->moves != 0;
}

START_TEST(test_an_accepted_connection_is_not_polled_before_its_first_write_callback)
{
	struct sockaddr_in sin = {.sin_family = AF_INET};
	socklen_t length = sizeof(sin);
	struct evconnlistener *l;
	int client;

	start();
	if (!moves_data()) {
		event_base_free(base);
		return;
	}
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	l = evconnlistener_new_bind(
	    base, accept_cb, NULL, LEV_OPT_CLOSE_ON_FREE, 16, (struct sockaddr *)&sin, sizeof(sin));
	ck_assert_ptr_nonnull(l);
	getsockname(evconnlistener_get_fd(l), (struct sockaddr *)&sin, &length);
	client = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(client, (struct sockaddr *)&sin, sizeof(sin)), 0);
	run_until_written();
	ck_assert_int_eq(polls_before, 0);
	evconnlistener_free(l);
	close(client);
	stop();
}
END_TEST

START_TEST(test_any_other_connection_is_polled_before_its_first_write_callback)
{
	int sv[2];

	start();
	if (!moves_data()) {
		event_base_free(base);
		return;
	}
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv), 0);
	talk_on(sv[0]);
	run_until_written();
	ck_assert_int_eq(polls_before, 1);
	close(sv[1]);
	stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fresh");
	TCase *tc = tcase_create("fresh");
	SRunner *runner;
	int failed;

	tcase_add_test(
	    tc, test_an_accepted_connection_is_not_polled_before_its_first_write_callback);
	tcase_add_test(tc, test_any_other_connection_is_polled_before_its_first_write_callback);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
