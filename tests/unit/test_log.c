// SPDX-License-Identifier: MIT
/* Lines on standard error, which is a pipe here; how many there may be, and in how many writes. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>
#include <cmocka.h>

#include "log.h"

static int stderr_fd, log_fd;
static char text[65536];

/* Each write is a packet, so that they can be counted. */
static int begin(void **state)
{
	int fds[2];

	(void)state;
	assert_false(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds));
	stderr_fd = dup(STDERR_FILENO);
	dup2(fds[1], STDERR_FILENO);
	close(fds[1]);
	log_fd = fds[0];
	log_open("wg0");
	log_limit(0, 0);
	return 0;
}

static int end(void **state)
{
	(void)state;
	dup2(stderr_fd, STDERR_FILENO);
	close(stderr_fd);
	close(log_fd);
	return 0;
}

/* What was written since the last call is in text; returns by how many writes. */
static int written(void)
{
	ssize_t len;
	int writes = 0;
	size_t at = 0;

	for (; (len = read(log_fd, text + at, sizeof(text) - 1 - at)) > 0; ++writes)
		at += len;
	text[at] = '\0';
	return writes;
}

static void line_by_line(void **state)
{
	(void)state;
	errno = EDOM;
	log_line(LOG_INFO, "one of %d", 2);
	log_text(LOG_INFO, "twofold", 3);
	assert_int_equal(errno, EDOM);
	assert_int_equal(log_failure("three"), 1);
	assert_int_equal(written(), 3);
	assert_string_equal(text, "wg-dynamic: wg0: one of 2\nwg-dynamic: wg0: two\n"
				  "wg-dynamic: wg0: three\n");
}

static void held(void **state)
{
	char expected[sizeof(text)], *at = expected, longest[1024];

	(void)state;
	log_hold(true);
	for (int i = 0; i < 200; ++i) {
		log_line(LOG_INFO, "line %d", i);
		at += sprintf(at, "wg-dynamic: wg0: line %d\n", i);
	}
	memset(longest, 'x', sizeof(longest));
	log_text(LOG_INFO, longest, sizeof(longest));
	at += sprintf(at, "wg-dynamic: wg0: %.1024s\n", longest);
	log_hold(false);
	assert_in_range(written(), 2, 3);
	assert_string_equal(text, expected);
	/* Nothing is left, and nothing is held any more. */
	log_hold(false);
	assert_int_equal(written(), 0);
	log_line(LOG_INFO, "at once");
	assert_int_equal(written(), 1);
}

static void limited(void **state)
{
	(void)state;
	log_limit(2, 1);
	log_line(LOG_INFO, "1");
	assert_false(log_full());
	log_text(LOG_INFO, "2", 1);
	written();
	assert_true(log_full());
	log_line(LOG_INFO, "3");
	log_text(LOG_INFO, "4", 1);
	assert_int_equal(written(), 0);
	assert_int_equal(log_failure("whatever the limit"), 1);
	assert_int_equal(written(), 1);
	sleep(2);
	log_line(LOG_INFO, "5");
	written();
	assert_string_equal(text, "wg-dynamic: wg0: there was too much to say: 3 lines are left "
				  "out\nwg-dynamic: wg0: 5\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(line_by_line, begin, end),
		cmocka_unit_test_setup_teardown(held, begin, end),
		cmocka_unit_test_setup_teardown(limited, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
