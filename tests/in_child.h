/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * in_child.h - for tests whose subject ends the process or changes it for good.
 *
 * in_child() runs a function in a process of its own and gives back how that ended and what it
 * wrote to stderr, whether the suite itself forks for each test or not (CK_FORK=no). Inside the
 * child check's own macros must not be used, they would speak for the suite: use must(), which ends
 * the child with a code that no test expects.
 */
#ifndef TESTS_IN_CHILD_H
#define TESTS_IN_CHILD_H

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define IN_CHILD_MUST_FAILED 119

#define must(cond)                                                                         \
	do {                                                                               \
		if (!(cond)) {                                                             \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #cond); \
			_exit(IN_CHILD_MUST_FAILED);                                       \
		}                                                                          \
	} while (0)

struct in_child {
	int exit_code;          /* -1 if a signal ended it */
	int signal;             /* 0 if it exited */
	char stderr_text[4096]; /* the beginning of it, zero-terminated */
};

/* A child whose body returns exits with 0, without the handlers that the suite may have. */
static inline void in_child_run(int err_fd, void (*body)(void))
{
	struct rlimit no_core = {0, 0};

	setrlimit(RLIMIT_CORE, &no_core);
	dup2(err_fd, STDERR_FILENO);
	body();
	fflush(NULL);
	_exit(0);
}

static inline void in_child_read(struct in_child *c, int fd)
{
	size_t len = 0;
	ssize_t n = 1;

	while (n > 0 || (n < 0 && errno == EINTR)) {
		n = read(fd, c->stderr_text + len, sizeof(c->stderr_text) - 1 - len);
		if (n > 0)
			len += (size_t)n;
	}
	c->stderr_text[len] = '\0';
}

/* An exit code of -1 and a signal of 0 mean that no child could be had. */
static inline struct in_child in_child(void (*body)(void))
{
	struct in_child c = {.exit_code = -1};
	int fds[2], status;
	pid_t pid;

	fflush(NULL);
	if (pipe(fds) < 0)
		return c;
	pid = fork();
	if (pid == 0)
		in_child_run(fds[1], body);
	close(fds[1]);
	if (pid > 0) {
		in_child_read(&c, fds[0]);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		if (WIFEXITED(status))
			c.exit_code = WEXITSTATUS(status);
		else
			c.signal = WTERMSIG(status);
	}
	close(fds[0]);
	return c;
}

#endif
