// SPDX-License-Identifier: MIT
/* Files of a test's own. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <fcntl.h>
#include <unistd.h>
#include <cmocka.h>

#include "fake_program.h"

static int error_fd;

static void put(const char *name, const char *head, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);

	assert_true(fd >= 0);
	assert_true(dprintf(fd, "%s%s", head, text) >= 0);
	close(fd);
}

void fake_program(char path[static PATH_MAX], const char *name, const char *text)
{
	put(name, "", text);
	assert_non_null(realpath(name, path));
}

void fake_script(const char *name, const char *text)
{
	put(name, "#!/bin/sh\ncd \"${0%/*}\" || exit\n", text);
}

const char *content(const char *path)
{
	static char buf[32768];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? 0 : read(fd, buf, sizeof(buf) - 1);

	if (fd >= 0)
		close(fd);
	buf[len > 0 ? len : 0] = '\0';
	return buf;
}

void log_catch(void)
{
	int fd = open("log", O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	error_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	assert_true(error_fd >= 0);
	dup2(fd, STDERR_FILENO);
	close(fd);
}

void log_restore(void)
{
	dup2(error_fd, STDERR_FILENO);
	close(error_fd);
}
