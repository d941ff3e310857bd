/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_log.c - what a message looks like and how the process ends after a fatal one.
 *
 * Programs see the texts through a callback, so they are compared to the letter. Whatever ends the
 * process, or is to be seen on stderr, happens in a child.
 */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "in_child.h"
#include "log.h"

/* The last message that came to the callback. */
static int seen, seen_severity;
static char seen_text[2048];

static void remember(int severity, const char *msg)
{
	++seen;
	seen_severity = severity;
	snprintf(seen_text, sizeof(seen_text), "%s", msg);
}

static void start(void)
{
	seen = 0;
	seen_severity = -1;
	seen_text[0] = '\0';
	event_enable_debug_logging(EVENT_DBG_NONE);
	event_set_log_callback(remember);
}

static void stop(void)
{
	event_enable_debug_logging(EVENT_DBG_NONE);
	event_set_log_callback(NULL);
}

static void assert_seen(int severity, const char *text)
{
	ck_assert_int_eq(seen, 1);
	ck_assert_int_eq(seen_severity, severity);
	ck_assert_str_eq(seen_text, text);
	seen = 0;
}

/* text, ": " and what errno is called. */
static const char *with_error(const char *text, int error)
{
	static char buf[256];

	snprintf(buf, sizeof(buf), "%s: %s", text, strerror(error));
	return buf;
}

START_TEST(test_warnx_gives_the_bare_text)
{
	event_warnx("%d %s of them", 3, "score");
	assert_seen(EVENT_LOG_WARN, "3 score of them");
}
END_TEST

START_TEST(test_msgx_gives_the_bare_text)
{
	event_msgx("%s", "all is well");
	assert_seen(EVENT_LOG_MSG, "all is well");
}
END_TEST

START_TEST(test_warn_appends_the_text_of_errno)
{
	errno = ENOENT;
	event_warn("no %s", "luck");
	assert_seen(EVENT_LOG_WARN, with_error("no luck", ENOENT));
}
END_TEST

START_TEST(test_sock_warn_appends_the_text_of_errno)
{
	errno = EAGAIN;
	event_sock_warn(-1, "socket %d", 4);
	assert_seen(EVENT_LOG_WARN, with_error("socket 4", EAGAIN));
}
END_TEST

START_TEST(test_debug_messages_are_off_at_first)
{
	event_debugx_("hidden");
	event_debug("hidden");
	ck_assert_int_eq(seen, 0);
}
END_TEST

START_TEST(test_debug_messages_come_once_enabled)
{
	event_enable_debug_logging(EVENT_DBG_ALL);
	ck_assert_uint_eq(event_debug_logging_mask_, 0xffffffffu);
	event_debugx_("shown %d", 1);
	assert_seen(EVENT_LOG_DEBUG, "shown 1");
	event_debug("shown %d", 2);
	assert_seen(EVENT_LOG_DEBUG, "shown 2");
	event_debug("shown");
	assert_seen(EVENT_LOG_DEBUG, "shown");
	event_enable_debug_logging(EVENT_DBG_NONE);
	event_debugx_("hidden");
	ck_assert_int_eq(seen, 0);
}
END_TEST

START_TEST(test_event_debug_does_not_evaluate_in_vain)
{
	int evaluated = 0;

	event_debug("%d", ++evaluated);
	ck_assert_int_eq(evaluated, 0);
	event_enable_debug_logging(1);
	event_debug("%d", ++evaluated);
	ck_assert_int_eq(evaluated, 1);
}
END_TEST

START_TEST(test_the_mask_is_a_data_object_of_four_bytes)
{
	ck_assert_uint_eq(sizeof(event_debug_logging_mask_), 4);
}
END_TEST

static void logv(int severity, const char *errstr, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	event_logv_(severity, errstr, fmt, ap);
	va_end(ap);
}

START_TEST(test_logv_takes_any_severity_and_error_text)
{
	logv(EVENT_LOG_MSG, "the reason", "%s", "it failed");
	assert_seen(EVENT_LOG_MSG, "it failed: the reason");
	logv(42, NULL, "%s", "odd");
	assert_seen(42, "odd");
}
END_TEST

START_TEST(test_logv_without_format_has_no_text)
{
	logv(EVENT_LOG_WARN, NULL, NULL);
	assert_seen(EVENT_LOG_WARN, "");
	logv(EVENT_LOG_WARN, "the reason", NULL);
	assert_seen(EVENT_LOG_WARN, ": the reason");
}
END_TEST

START_TEST(test_a_long_message_is_cut_at_1023_characters)
{
	event_warnx("%02000d", 0);
	ck_assert_uint_eq(strlen(seen_text), 1023);
}
END_TEST

START_TEST(test_the_error_text_is_appended_as_far_as_it_fits)
{
	errno = ENOENT;
	event_warn("%01020d", 0);
	ck_assert_uint_eq(strlen(seen_text), 1023);
	ck_assert_int_eq(seen_text[1019], '0');
	ck_assert_int_eq(seen_text[1020], ':');
	ck_assert_int_eq(seen_text[1021], ' ');
	ck_assert_int_eq(seen_text[1022], strerror(ENOENT)[0]);
}
END_TEST

START_TEST(test_the_error_text_is_left_out_where_none_of_it_fits)
{
	errno = ENOENT;
	event_warn("%01021d", 0);
	ck_assert_uint_eq(strlen(seen_text), 1021);
	ck_assert_int_eq(seen_text[1020], '0');
}
END_TEST

static void log_one_of_each(void)
{
	event_set_log_callback(NULL);
	event_enable_debug_logging(EVENT_DBG_ALL);
	event_debugx_("one");
	event_msgx("two");
	event_warnx("three");
	logv(EVENT_LOG_ERR, NULL, "%s", "four");
	logv(77, NULL, "%s", "five");
}

START_TEST(test_without_callback_messages_go_to_stderr)
{
	struct in_child c = in_child(log_one_of_each);

	ck_assert_int_eq(c.exit_code, 0);
	ck_assert_str_eq(
	    c.stderr_text, "[debug] one\n[msg] two\n[warn] three\n[err] four\n[???] five\n");
}
END_TEST

static void to_stderr(void)
{
	event_set_log_callback(NULL);
	event_set_fatal_callback(NULL);
}

static void die_by_errx(void)
{
	to_stderr();
	event_errx(2, "too many %s", "kumquats");
}

START_TEST(test_errx_exits_with_its_code)
{
	struct in_child c = in_child(die_by_errx);

	ck_assert_int_eq(c.exit_code, 2);
	ck_assert_str_eq(c.stderr_text, "[err] too many kumquats\n");
}
END_TEST

static void die_by_err(void)
{
	to_stderr();
	errno = ENOENT;
	event_err(5, "cannot open %s", "it");
}

START_TEST(test_err_appends_the_text_of_errno_and_exits)
{
	struct in_child c = in_child(die_by_err);

	ck_assert_int_eq(c.exit_code, 5);
	ck_assert_ptr_nonnull(strstr(c.stderr_text, with_error("[err] cannot open it", ENOENT)));
}
END_TEST

static void die_by_sock_err(void)
{
	to_stderr();
	errno = EAGAIN;
	event_sock_err(20, -1, "unhappy");
}

START_TEST(test_sock_err_appends_the_text_of_errno_and_exits)
{
	struct in_child c = in_child(die_by_sock_err);

	ck_assert_int_eq(c.exit_code, 20);
	ck_assert_ptr_nonnull(strstr(c.stderr_text, with_error("[err] unhappy", EAGAIN)));
}
END_TEST

static void die_by_abort_code(void)
{
	to_stderr();
	event_errx(EVENT_ERR_ABORT_, "enough");
}

START_TEST(test_the_abort_code_aborts)
{
	struct in_child c = in_child(die_by_abort_code);

	ck_assert_int_eq(c.signal, SIGABRT);
	ck_assert_str_eq(c.stderr_text, "[err] enough\n");
}
END_TEST

static void leave_with_code_plus_one(int code)
{
	_exit(code + 1);
}

static void die_into_fatal_callback(void)
{
	to_stderr();
	event_set_fatal_callback(leave_with_code_plus_one);
	event_errx(30, "enough");
}

START_TEST(test_the_fatal_callback_gets_the_code_and_may_leave)
{
	ck_assert_int_eq(in_child(die_into_fatal_callback).exit_code, 31);
}
END_TEST

static void say_code(int code)
{
	fprintf(stderr, "code %x\n", (unsigned)code);
}

static void die_past_fatal_callback(void)
{
	to_stderr();
	event_set_fatal_callback(say_code);
	event_errx(7, "enough");
}

static void abort_past_fatal_callback(void)
{
	to_stderr();
	event_set_fatal_callback(say_code);
	event_errx(EVENT_ERR_ABORT_, "enough");
}

START_TEST(test_a_fatal_callback_that_returns_does_not_save_the_process)
{
	struct in_child c = in_child(die_past_fatal_callback);

	ck_assert_int_eq(c.exit_code, 7);
	ck_assert_str_eq(c.stderr_text, "[err] enough\ncode 7\n");
	c = in_child(abort_past_fatal_callback);
	ck_assert_int_eq(c.exit_code, 0xad);
	ck_assert_str_eq(c.stderr_text, "[err] enough\ncode deaddead\n");
}
END_TEST

static void assert_what_holds(void)
{
	to_stderr();
	evc_assert(1 + 1 == 2);
}

static void assert_what_does_not_hold(void)
{
	to_stderr();
	evc_assert(1 + 1 == 3);
}

START_TEST(test_an_assertion_aborts_and_names_what_was_untrue)
{
	struct in_child c = in_child(assert_what_holds);

	ck_assert_int_eq(c.exit_code, 0);
	ck_assert_str_eq(c.stderr_text, "");
	c = in_child(assert_what_does_not_hold);
	ck_assert_int_eq(c.signal, SIGABRT);
	ck_assert_ptr_nonnull(strstr(c.stderr_text, "1 + 1 == 3"));
	ck_assert_ptr_nonnull(strstr(c.stderr_text, "assert_what_does_not_hold"));
}
END_TEST

static TCase *messages_tcase(void)
{
	TCase *tc = tcase_create("messages");

	tcase_add_checked_fixture(tc, start, stop);
	tcase_add_test(tc, test_warnx_gives_the_bare_text);
	tcase_add_test(tc, test_msgx_gives_the_bare_text);
	tcase_add_test(tc, test_warn_appends_the_text_of_errno);
	tcase_add_test(tc, test_sock_warn_appends_the_text_of_errno);
	tcase_add_test(tc, test_debug_messages_are_off_at_first);
	tcase_add_test(tc, test_debug_messages_come_once_enabled);
	tcase_add_test(tc, test_event_debug_does_not_evaluate_in_vain);
	tcase_add_test(tc, test_the_mask_is_a_data_object_of_four_bytes);
	tcase_add_test(tc, test_logv_takes_any_severity_and_error_text);
	tcase_add_test(tc, test_logv_without_format_has_no_text);
	tcase_add_test(tc, test_a_long_message_is_cut_at_1023_characters);
	tcase_add_test(tc, test_the_error_text_is_appended_as_far_as_it_fits);
	tcase_add_test(tc, test_the_error_text_is_left_out_where_none_of_it_fits);
	tcase_add_test(tc, test_without_callback_messages_go_to_stderr);
	return tc;
}

static TCase *fatal_tcase(void)
{
	TCase *tc = tcase_create("fatal");

	tcase_add_test(tc, test_errx_exits_with_its_code);
	tcase_add_test(tc, test_err_appends_the_text_of_errno_and_exits);
	tcase_add_test(tc, test_sock_err_appends_the_text_of_errno_and_exits);
	tcase_add_test(tc, test_the_abort_code_aborts);
	tcase_add_test(tc, test_the_fatal_callback_gets_the_code_and_may_leave);
	tcase_add_test(tc, test_a_fatal_callback_that_returns_does_not_save_the_process);
	tcase_add_test(tc, test_an_assertion_aborts_and_names_what_was_untrue);
	return tc;
}

int main(void)
{
	Suite *s = suite_create("log");
	SRunner *sr;
	int failed;

	suite_add_tcase(s, messages_tcase());
	suite_add_tcase(s, fatal_tcase());
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
