/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * log.h - messages of compat/ and the ways to die.
 *
 * err: logs, then ends the process (never returns). warn and msg only log. A name without x appends
 * ": " and the text of errno. The siblings (extra, openssl) call these too, and read
 * event_debug_logging_mask_ directly: it is a data object of the ABI, 4 bytes.
 */
#ifndef COMPAT_LOG_H
#define COMPAT_LOG_H

#include <stdarg.h>
#include <event2/util.h>

/* Exit code that asks for abort() in place of exit(); a fatal callback gets to see the number. */
#define EVENT_ERR_ABORT_ ((int)0xdeaddead)

#define EVC_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define EVC_NORETURN __attribute__((noreturn))

/* Nonzero iff debug messages are wanted (event_enable_debug_logging()). */
extern ev_uint32_t event_debug_logging_mask_;

void event_err(int eval, const char *fmt, ...) EVC_PRINTF(2, 3) EVC_NORETURN;
void event_warn(const char *fmt, ...) EVC_PRINTF(1, 2);
void event_sock_err(int eval, evutil_socket_t sock, const char *fmt, ...)
    EVC_PRINTF(3, 4) EVC_NORETURN;
void event_sock_warn(evutil_socket_t sock, const char *fmt, ...) EVC_PRINTF(2, 3);
void event_errx(int eval, const char *fmt, ...) EVC_PRINTF(2, 3) EVC_NORETURN;
void event_warnx(const char *fmt, ...) EVC_PRINTF(1, 2);
void event_msgx(const char *fmt, ...) EVC_PRINTF(1, 2);
void event_debugx_(const char *fmt, ...) EVC_PRINTF(1, 2);

/* The bottom of them all. errstr, if any, is appended behind ": "; fmt may be NULL for no text. */
void event_logv_(int severity, const char *errstr, const char *fmt, va_list ap) EVC_PRINTF(3, 0);

/* Takes a format and its arguments, without the doubled parentheses that libevent's own has. The
 * arguments are evaluated only if debug messages are wanted. */
#define event_debug(...)                                                 \
	do {                                                             \
		if (__builtin_expect(event_debug_logging_mask_ != 0, 0)) \
			event_debugx_(__VA_ARGS__);                      \
	} while (0)

/* Behind evc_assert: logs the place and ends the process with EVENT_ERR_ABORT_. */
void evc_assert_failed(const char *file, int line, const char *func, const char *cond) EVC_NORETURN;

/* Checked in every build: programs rely on misuse ending here and not in silent damage. */
#define evc_assert(cond)                                                        \
	do {                                                                    \
		if (__builtin_expect(!(cond), 0))                               \
			evc_assert_failed(__FILE__, __LINE__, __func__, #cond); \
	} while (0)

#endif
