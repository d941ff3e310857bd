/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * log.c - one line per message, to the program's callback or to stderr.
 *
 * A message is formatted into a buffer of fixed size on the stack (it must work without memory),
 * the text of errno is put behind it, and the line goes out whole. What does not fit is cut off.
 *
 * The err functions then end the process: exit() with the given code, or abort() for
 * EVENT_ERR_ABORT_. A program may install a fatal callback and leave through that, by longjmp() or
 * _exit(); if it merely returns we exit anyway, because no caller is prepared to go on.
 *
 * Trap: errno must be read before anything else is called.
 */
#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

/* The longest line that goes out, with its terminating zero. */
#define LINE_SIZE 1024

ev_uint32_t event_debug_logging_mask_ = EVENT_DBG_NONE;

/* The program's callbacks. NULL: stderr, and a plain exit. */
static event_log_cb log_callback;
static event_fatal_cb fatal_callback;

void event_set_log_callback(event_log_cb cb)
{
	log_callback = cb;
}

void event_set_fatal_callback(event_fatal_cb cb)
{
	fatal_callback = cb;
}

void event_enable_debug_logging(ev_uint32_t which)
{
	event_debug_logging_mask_ = which;
}

static const char *severity_name(int severity)
{
	switch (severity) {
	case EVENT_LOG_DEBUG:
		return "debug";
	case EVENT_LOG_MSG:
		return "msg";
	case EVENT_LOG_WARN:
		return "warn";
	case EVENT_LOG_ERR:
		return "err";
	}
	return "???";
}

static void emit(int severity, const char *line)
{
	if (log_callback)
		log_callback(severity, line);
	else
		fprintf(stderr, "[%s] %s\n", severity_name(severity), line);
}

static void EVC_NORETURN die(int eval)
{
	if (fatal_callback)
		fatal_callback(eval);
	else if (eval == EVENT_ERR_ABORT_)
		abort();
	exit(eval);
}

void event_logv_(int severity, const char *errstr, const char *fmt, va_list ap)
{
	char line[LINE_SIZE];
	size_t len;

	if (severity == EVENT_LOG_DEBUG && event_debug_logging_mask_ == 0)
		return;

	line[0] = '\0';
	if (fmt && vsnprintf(line, sizeof(line), fmt, ap) < 0)
		line[0] = '\0';
	len = strlen(line);
	/* Only if at least one character of errstr has room behind ": ". */
	if (errstr && len + 3 < sizeof(line))
		snprintf(line + len, sizeof(line) - len, ": %s", errstr);
	emit(severity, line);
}

void event_err(int eval, const char *fmt, ...)
{
	const char *errstr = strerror(errno);
	va_list ap;

	va_start(ap, fmt);
	event_logv_(EVENT_LOG_ERR, errstr, fmt, ap);
	va_end(ap);
	die(eval);
}

void event_warn(const char *fmt, ...)
{
	const char *errstr = strerror(errno);
	va_list ap;

	va_start(ap, fmt);
	event_logv_(EVENT_LOG_WARN, errstr, fmt, ap);
	va_end(ap);
}

void event_sock_err(int eval, evutil_socket_t sock, const char *fmt, ...)
{
	const char *errstr = strerror(errno);
	va_list ap;

	(void)sock; /* a socket's last error is errno here */
	va_start(ap, fmt);
	event_logv_(EVENT_LOG_ERR, errstr, fmt, ap);
	va_end(ap);
	die(eval);
}

void event_sock_warn(evutil_socket_t sock, const char *fmt, ...)
{
	const char *errstr = strerror(errno);
	va_list ap;

	(void)sock; /* as above */
	va_start(ap, fmt);
	event_logv_(EVENT_LOG_WARN, errstr, fmt, ap);
	va_end(ap);
}

void event_errx(int eval, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	event_logv_(EVENT_LOG_ERR, NULL, fmt, ap);
	va_end(ap);
	die(eval);
}

void event_warnx(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	event_logv_(EVENT_LOG_WARN, NULL, fmt, ap);
	va_end(ap);
}

void event_msgx(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	event_logv_(EVENT_LOG_MSG, NULL, fmt, ap);
	va_end(ap);
}

void event_debugx_(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	event_logv_(EVENT_LOG_DEBUG, NULL, fmt, ap);
	va_end(ap);
}

void evc_assert_failed(const char *file, int line, const char *func, const char *cond)
{
	event_errx(EVENT_ERR_ABORT_, "%s:%d: %s() found this untrue: %s", file, line, func, cond);
}
