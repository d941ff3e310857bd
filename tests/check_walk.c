/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_walk.c - the readiness machine against a model, in a random walk.
 *
 * A dozen fd numbers become ready and cease to be, are watched, changed, dropped, closed and opened
 * again, by the owner, by "another thread" and from the ready hook, while rings are lost and calls
 * refused. Behind the fake ring stands a model of io_uring's polls: a request completes when the
 * kernel first sees it if its file is ready, then at each rise, says by chance that it is over (as
 * after an overflow), and its cancel is answered at any later time. Completions of one request keep
 * their order; among requests they come in any.
 *
 * What must hold:
 * - What is told is watched, is so, and is told no oftener than its kind allows.
 * - The engine never sleeps while something that is so was not told.
 * - When all is dropped and all completions are in, no request is left.
 *
 * WALK_SEED in the environment chooses another walk, WALK_STEPS another length.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ring_fake.h"

#define FDS 12
#define BASE 1000
#define UNASKED (POLLERR | POLLHUP)

/* The program's side of one fd number. */
struct model {
	struct evu_poll *poll; /* NULL: not watched */
	unsigned mask;
	enum evu_watch watch;
	unsigned owed;    /* EDGE: rose and was not told; ONCE: the whole mask until told */
	bool void_;       /* the file was closed while watched: nothing is owed any more */
	int file;         /* changes when the number is closed */
	unsigned ready;   /* of that file */
	unsigned was;     /* ready at some time in this turn */
	int told_in_turn; /* the last one */
};

/* The kernel's side of one request; parallel to fake.reqs. */
struct kernel_req {
	int file;
	bool over; /* the last completion is in the bag, or posted */
	bool rose; /* truth only: EDGE requests have something to report */
};

/* Completions that were made and not yet posted. */
struct bag_item {
	int req;
	int res;
	bool more;
};

static struct model models[FDS];
static struct kernel_req kernel[FAKE_REQS];
static struct bag_item bag[FAKE_CQES];
static int nbag;
static unsigned closes_seen;
static int turns;
static bool truth;
static struct evu_engine *e;
static unsigned long
    slept_idle; /* how often the engine truly slept: else the walk proves nothing */
static unsigned long tells;

static int chance(int percent)
{
	return rand() % 100 < percent;
}

static unsigned random_mask(void)
{
	static const unsigned masks[] = {POLLIN, POLLOUT, POLLIN | POLLOUT, POLLIN | POLLRDHUP};

	return masks[rand() % 4];
}

/* ---- the kernel */

/* A ring that was closed took its requests with it. */
static void notice_closed_ring(void)
{
	if (closes_seen != fake.closes)
		nbag = 0;
	closes_seen = fake.closes;
}

static void make_completion(int req, int res)
{
	bool more = res >= 0 && fake.reqs[req].kind != EVU_POLL_ONCE && !chance(10);

	ck_assert_int_lt(nbag, FAKE_CQES);
	bag[nbag++] = (struct bag_item){req, res, more};
	kernel[req].over = !more;
}

static void first_look(struct fake_req *req)
{
	int i = (int)(req - fake.reqs);
	const struct model *m = &models[req->fd - BASE];

	notice_closed_ring();
	kernel[i] = (struct kernel_req){.file = m->file, .rose = true};
	if (!truth && m->ready & (req->mask | UNASKED))
		make_completion(i, (int)(m->ready & (req->mask | UNASKED)));
}

static void each_request_of(const struct model *m, unsigned rose)
{
	int i;

	for (i = 0; i < fake.nreqs; i++) {
		struct fake_req *r = &fake.reqs[i];

		if (!r->live || !r->seen || kernel[i].over || r->fd != BASE + (int)(m - models) ||
		    kernel[i].file != m->file || !(rose & (r->mask | UNASKED)))
			continue;
		kernel[i].rose = true;
		if (!truth)
			make_completion(i, (int)(rose & (r->mask | UNASKED)));
	}
}

static void answer_cancels(int percent)
{
	int i;

	for (i = 0; i < fake.nreqs; i++) {
		const struct fake_req *r = &fake.reqs[i];

		if (r->live && r->seen && r->cancelled && !kernel[i].over && r->fd >= BASE &&
		    r->fd < BASE + FDS && chance(percent))
			make_completion(i, -ECANCELED);
	}
}

/* Posts one of the completions at random, but none before an earlier one of its request. */
static void post_one(void)
{
	int pick = rand() % nbag, i;
	struct bag_item item;

	for (i = 0; bag[i].req != bag[pick].req; i++)
		;
	item = bag[i];
	memmove(&bag[i], &bag[i + 1], (size_t)(nbag - i - 1) * sizeof(bag[0]));
	nbag--;
	if (item.res > 0) /* what was so when it was made may be told now */
		models[fake.reqs[item.req].fd - BASE].was |= (unsigned)item.res;
	fake_post(&fake.reqs[item.req], item.res, item.more);
}

/* What epoll reports: the state, at the time of the wait. */
static void post_truth(void)
{
	int i, n = fake.nreqs;

	for (i = 0; i < n; i++) {
		struct fake_req *r = &fake.reqs[i];
		const struct model *m = models;
		unsigned mask;

		if (!r->live || r->fd < BASE || r->fd >= BASE + FDS)
			continue;
		m += r->fd - BASE;
		if (kernel[i].file != m->file)
			continue;
		mask = m->ready & (r->mask | UNASKED);
		if (mask && (r->kind != EVU_POLL_EDGE || kernel[i].rose))
			fake_post(r, (int)mask, r->kind != EVU_POLL_ONCE);
		kernel[i].rose = false;
	}
}

/* ---- the world */

static void set_ready(struct model *m, unsigned mask)
{
	unsigned rose = mask & ~m->ready;

	m->ready = mask;
	m->was |= mask;
	fake_set_ready(BASE + (int)(m - models), mask);
	if (m->watch == EVU_EDGE && !m->void_)
		m->owed = (m->owed | (rose & (m->mask | UNASKED))) & mask;
	if (rose)
		each_request_of(m, rose);
}

static void change_the_world(void)
{
	static const unsigned states[] = {0, 0, 0, POLLIN, POLLOUT, POLLIN | POLLOUT,
	    POLLIN | POLLRDHUP, POLLIN | POLLHUP, POLLERR};

	set_ready(&models[rand() % FDS], states[rand() % 9]);
}

/* close() without dropping first, and by chance the number is given to a new file at once. */
static void close_number(struct model *m)
{
	m->void_ = m->poll != NULL;
	m->owed = 0;
	m->file++;
	m->ready = chance(50) ? random_mask() : 0;
	fake_set_ready(BASE + (int)(m - models), m->ready ? m->ready : POLLNVAL);
}

/* ---- the program */

static void drop(struct model *m)
{
	if (!m->poll)
		return;
	evu_poll_drop(m->poll);
	memset(m->poll, 0xdd, sizeof(*m->poll));
	free(m->poll);
	m->poll = NULL;
	m->mask = m->owed = 0;
	m->void_ = false;
	if (fake.ready[BASE + (m - models)] & POLLNVAL) /* the number is opened anew */
		fake_set_ready(BASE + (int)(m - models), m->ready = 0);
}

static void watch(struct model *m)
{
	unsigned mask = random_mask();
	enum evu_watch how = (enum evu_watch)(rand() % 3);
	bool same = m->poll && m->mask == mask && m->watch == how && !(how == EVU_ONCE && !m->owed);
	int rc;

	if (m->void_)
		drop(m);
	if (!m->poll) {
		m->poll = malloc(sizeof(*m->poll));
		ck_assert_ptr_nonnull(m->poll);
		evu_poll_init(m->poll, e, BASE + (int)(m - models));
		m->told_in_turn = -1;
		same = false;
	}
	rc = evu_poll_want(m->poll, mask, how, true);
	if (rc < 0) {
		ck_assert(truth && rc == -ENOMEM);
		if (!m->mask) {
			free(m->poll);
			m->poll = NULL;
		}
		return;
	}
	m->mask = mask;
	m->watch = how;
	if (!same)
		m->owed = how == EVU_EDGE ? m->ready & (mask | UNASKED) : mask;
}

/* As if another thread called: the ring is not its. */
static void as_another_thread(void (*fn)(struct model *m), struct model *m)
{
	uint64_t owner = e->owner;

	if (e->owner)
		e->owner = UINT64_MAX;
	fn(m);
	if (e->ring && e->owner == UINT64_MAX)
		e->owner = owner;
}

static void random_call(void)
{
	struct model *m = &models[rand() % FDS];
	void (*fn)(struct model *) = chance(60) ? watch : drop;

	if (!fake.alone && chance(15))
		as_another_thread(fn, m);
	else
		fn(m);
}

static void ready(struct evu_poll *poll, unsigned mask)
{
	struct model *m = &models[poll->fd - BASE];

	tells++;
	ck_assert_ptr_eq(m->poll, poll);
	ck_assert_uint_ne(mask, 0);
	if (fake.alone) /* a hint is as old as its completion */
		ck_assert(m->void_ || !(mask & ~(m->was & (m->mask | UNASKED))));
	else
		ck_assert_uint_eq(mask, m->ready & (m->mask | UNASKED));
	ck_assert_msg(m->told_in_turn != turns, "told twice in a turn");
	ck_assert_msg(m->watch != EVU_ONCE || m->owed || m->void_, "ONCE is told again");
	m->told_in_turn = turns;
	m->owed = m->watch == EVU_EDGE ? m->owed & ~mask : 0;
}

static void must_not_owe(void)
{
	int i;

	for (i = 0; i < FDS; i++) {
		const struct model *m = &models[i];
		unsigned due = m->ready & (m->mask | UNASKED);

		if (!m->poll || m->void_)
			continue;
		if (m->watch == EVU_EDGE)
			due &= m->owed;
		if (m->watch == EVU_ONCE && !m->owed)
			due = 0;
		ck_assert_msg(!due, "asleep while fd %d, kind %d, is ready for 0x%x", BASE + i,
		    m->watch, due);
	}
}

/* ---- what happens while the engine is in the kernel */

static void in_wait(int64_t timeout_ns)
{
	notice_closed_ring();
	answer_cancels(50);
	while (chance(40))
		change_the_world();
	if (truth) {
		post_truth();
		return;
	}
	while (nbag && chance(70))
		post_one();
	if (timeout_ns == 0 || fake.ncqes)
		return;
	answer_cancels(100);
	if (nbag) {
		post_one();
		return;
	}
	if (timeout_ns > 0) /* something could not be armed: a nap, then it is tried again */
		return;
	slept_idle++;
	must_not_owe();
}

static void in_check(void)
{
	while (chance(20))
		change_the_world();
}

/* ---- the walk */

static void refuse_something(void)
{
	static const struct fake_refusal busy = {-EBUSY, 1, 0}, memory = {-ENOMEM, 2, 1},
					 bad = {-EBADF, 1, 0};

	if (truth) {
		fake.refuse_arm = memory;
		return;
	}
	switch (rand() % 5) {
	case 0:
		fake.refuse_arm = busy;
		break;
	case 1:
		fake.refuse_arm = memory;
		break;
	case 2:
		fake.refuse_cancel = busy;
		break;
	case 3:
		fake.refuse_wait = bad;
		break;
	case 4:
		fake.refuse_flush = bad;
		break;
	}
}

static void take_turn(void)
{
	int i;

	turns++;
	for (i = 0; i < FDS; i++)
		models[i].was = models[i].ready;
	fake_log_clear();
	ck_assert_int_eq(evu_engine_turn(e, chance(50) ? -1 : 0), 0);
	ck_assert(!evu_engine_unsettled(e));
}

static void drop_while_nobody_loops(void)
{
	evu_engine_leave(e, false);
	as_another_thread(drop, &models[rand() % FDS]);
	evu_engine_enter(e);
}

static void step(void)
{
	int what = rand() % 1000;

	if (!truth)
		e->method = EVU_IO_URING; /* a ring that is lost is opened again, for ever */
	if (what < 350)
		random_call();
	else if (what < 550)
		change_the_world();
	else if (what < 900)
		take_turn();
	else if (what < 950)
		(void)evu_engine_settle(e);
	else if (what < 980 && !truth)
		close_number(&models[rand() % FDS]);
	else if (what < 983 && !fake.alone)
		drop_while_nobody_loops();
	else if (what < 990)
		refuse_something();
	else
		evu_engine_wake(e);
}

static void all_ends(void)
{
	int i;

	fake.refuse_arm.times = fake.refuse_cancel.times = fake.refuse_wait.times =
	    fake.refuse_flush.times = 0;
	for (i = 0; i < FDS; i++)
		drop(&models[i]);
	for (i = 0; i < 3; i++) {
		take_turn();
		notice_closed_ring();
		answer_cancels(100);
		while (nbag)
			post_one();
	}
	take_turn();
	ck_assert_int_eq(fake_live(), 0);
	ck_assert_uint_eq(e->pool.in_flight, 1);
	ck_assert_int_eq(e->npolls, 0);
	ck_assert_int_eq(e->nhot, 0);
}

static int from_environment(const char *name, int otherwise)
{
	const char *value = getenv(name);

	return value ? atoi(value) : otherwise;
}

static void walk(bool with_truth, bool alone)
{
	int i, steps = from_environment("WALK_STEPS", 100000);
	int seed = from_environment("WALK_SEED", 28);

	srand((unsigned)seed);
	truth = with_truth;
	fake_install();
	fake_mem_install(-1);
	fake.cancel_by_hand = true;
	fake.all_hints = !truth;
	fake.alone = alone;
	fake.on_seen = first_look;
	fake.on_wait = in_wait;
	fake.on_check = in_check;
	e = fake_engine(truth ? 1u << EVU_EPOLL : FAKE_ALL_METHODS);
	fake_log.on_ready = ready;
	memset(models, 0, sizeof(models));
	for (i = 0; i < steps; i++)
		step();
	all_ends();
	ck_assert_uint_gt(tells, (unsigned long)steps / 100);
	ck_assert(truth || slept_idle > (unsigned long)steps / 200);
	fake_engine_done(e);
}

START_TEST(test_a_walk_on_hints_agrees_with_the_model)
{
	walk(false, false);
}
END_TEST

START_TEST(test_a_walk_on_hints_without_other_threads_agrees_with_the_model)
{
	walk(false, true);
}
END_TEST

START_TEST(test_a_walk_on_truth_agrees_with_the_model)
{
	walk(true, false);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("walk");
	TCase *tc = tcase_create("walk");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, test_a_walk_on_hints_agrees_with_the_model);
	tcase_add_test(tc, test_a_walk_on_hints_without_other_threads_agrees_with_the_model);
	tcase_add_test(tc, test_a_walk_on_truth_agrees_with_the_model);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
