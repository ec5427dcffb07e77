// SPDX-License-Identifier: MIT
/*
 * The runner, with real programs: what they get, in which order, how they end, and what is said
 * of those that fail.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "fake_program.h"
#include "log.h"
#include "loop.h"
#include "runner.h"

static struct runner runner;
static char outcome[64]; /* a letter for each done() */

/* Standard error is a file meanwhile. */
static int begin(void **state)
{
	(void)state;
	memset(&runner, 0, sizeof(runner));
	memset(outcome, 0, sizeof(outcome));
	unlink("out");
	log_catch();
	log_open("wg7");
	return 0;
}

static int end(void **state)
{
	(void)state;
	log_restore();
	return 0;
}

static void count(void *data, bool success)
{
	outcome[strlen(outcome)] = success ? *(const char *)data : '-';
}

static int add(const char *path, const char *one, const char *two, const char *letter)
{
	const char *argv[] = { path, one, two, NULL };
	const struct program program = { .argv = argv, .done = count, .data = (void *)letter };

	return runner_add(&runner, &program);
}

static void arguments_and_environment(void **state)
{
	char path[PATH_MAX], out[PATH_MAX];
	const char *argv[] = { path, "$(touch canary)", "; touch canary\n", "", out, NULL };
	const char *env[] = { "ONE=`touch canary`", "TWO=", NULL };
	const struct program program = {
		.argv = argv, .env = env, .input = "first\nsecond", .done = count, .data = "a",
	};

	(void)state;
	assert_non_null(realpath(".", out));
	strcat(out, "/out");
	fake_program(path, "show", "#!/bin/sh\n{ printf '<%s>' \"$@\" \"$ONE\" \"${TWO-unset}\" "
	       "\"${HOME-unset}\" \"$PWD\" ; /bin/cat; } >\"$4\"\n");
	setenv("HOME", "/nowhere", 1);
	assert_int_equal(runner_add(&runner, &program), 0);
	assert_false(runner_idle(&runner));
	runner_drain(&runner);
	assert_true(runner_idle(&runner));
	assert_string_equal(outcome, "a");
	argv[0] = content("out");
	assert_non_null(strstr(argv[0], "<$(touch canary)><; touch canary\n><><"));
	assert_non_null(strstr(argv[0], "/out><`touch canary`><><unset></>first\nsecond"));
	assert_int_equal(access("canary", F_OK), -1);
	assert_string_equal(content("log"), "");
}

static void one_at_a_time_in_order(void **state)
{
	char path[PATH_MAX], out[PATH_MAX];

	(void)state;
	assert_non_null(realpath(".", out));
	strcat(out, "/out");
	fake_program(path, "twice", "#!/bin/sh\necho $1 >>$2\nsleep 0.1\necho $1 >>$2\n");
	for (int i = 0; i < 3; ++i)
		assert_int_equal(add(path, i == 0 ? "x" : i == 1 ? "y" : "z", out,
				     i == 0 ? "x" : i == 1 ? "y" : "z"), 0);
	runner_drain(&runner);
	assert_string_equal(content("out"), "x\nx\ny\ny\nz\nz\n");
	assert_string_equal(outcome, "xyz");
}

static void failures_are_named(void **state)
{
	char fails[PATH_MAX], dies[PATH_MAX], foreign[PATH_MAX];

	(void)state;
	fake_program(fails, "fails", "#!/bin/sh\nexit 3\n");
	fake_program(dies, "dies", "#!/bin/sh\nkill -SEGV $$\n");
	fake_program(foreign, "foreign", "neither this\n");
	add(fails, NULL, NULL, "a");
	add(dies, NULL, NULL, "b");
	add("no-such-program", NULL, NULL, "c");
	add("./fails", NULL, NULL, "d"); /* neither absolute nor of PATH */
	add(foreign, NULL, NULL, "e");
	add("true", NULL, NULL, "f");
	runner_drain(&runner);
	assert_string_equal(outcome, "-----f");
	assert_non_null(strstr(content("log"), "/fails' ended with status 3\n"));
	assert_non_null(strstr(content("log"), "/dies' was killed by signal 11 "));
	assert_non_null(strstr(content("log"), "cannot run `no-such-program': No such file"));
	assert_non_null(strstr(content("log"), "cannot run `./fails': No such file"));
	assert_non_null(strstr(content("log"), "/foreign'")); /* says the kernel, or a status */
}

static void what_hangs_is_killed_with_its_children(void **state)
{
	char path[PATH_MAX], out[PATH_MAX];
	uint64_t began = now_ms(), at;

	(void)state;
	assert_non_null(realpath(".", out));
	strcat(out, "/out");
	fake_program(path, "hangs", "#!/bin/sh\ntrap '' TERM INT\necho $$ >$1\nsleep 1000 &\n"
	       "echo $! >>$1\nwait\nwait\n");
	add(path, out, NULL, "a");
	add("true", NULL, NULL, "b");
	at = runner_turn(&runner, began);
	assert_true(at >= began + 10000 && at <= began + 10100);
	while (strlen(content("out")) < 3 || !strchr(strchr(content("out"), '\n') + 1, '\n'))
		usleep(10000);
	runner_child(&runner); /* nothing has ended */
	assert_int_equal(runner_turn(&runner, at - 1), at);
	assert_int_equal(runner_turn(&runner, at), NEVER);
	runner_drain(&runner);
	assert_string_equal(outcome, "-b");
	assert_non_null(strstr(content("log"), "/hangs' has not ended within 10 s: killed\n"));
	assert_null(strstr(content("log"), "signal"));
	at = atoi(strchr(content("out"), '\n') + 1);
	for (int i = 0; i < 500; ++i) {
		char name[64];
		const char *text;

		snprintf(name, sizeof(name), "/proc/%d/stat", (int)at);
		text = content(name);
		if (!*text || strstr(text, ") Z"))
			return;
		usleep(10000);
	}
	fail_msg("the child of what hung lives");
}

static void the_queue_ends(void **state)
{
	(void)state;
	for (int i = 0; i < RUNNER_QUEUE; ++i)
		assert_int_equal(add("true", NULL, NULL, "a"), 0);
	assert_int_equal(add("false", NULL, NULL, "b"), -ENOBUFS);
	assert_non_null(strstr(content("log"), "cannot run `false': No buffer space"));
	runner_drain(&runner);
	assert_int_equal(strlen(outcome), RUNNER_QUEUE);
	assert_null(strchr(outcome, '-'));
}

static void what_waits_can_be_dropped(void **state)
{
	const char *argv[] = { "true", NULL };
	struct program program = { .argv = argv, .done = count };
	const char names[] = "abab";

	(void)state;
	for (int i = 0; names[i]; ++i) {
		program.data = (void *)&names[i];
		program.owner = names[i] == 'a' ? &runner : NULL;
		assert_int_equal(runner_add(&runner, &program), 0);
	}
	runner_turn(&runner, now_ms()); /* the first runs already */
	assert_int_equal(runner_waiting(&runner, &runner), 1);
	runner_drop(&runner, &runner);
	assert_int_equal(runner_waiting(&runner, &runner), 0);
	runner_drain(&runner);
	assert_string_equal(outcome, "abb");
}

static void only_its_own_child_is_waited_for(void **state)
{
	pid_t other = fork();

	(void)state;
	if (!other)
		_exit(7);
	add("true", NULL, NULL, "a");
	runner_drain(&runner);
	assert_string_equal(outcome, "a");
	usleep(50000);
	runner_child(&runner);
	assert_int_equal(waitpid(other, NULL, 0), other);
}

/* Signals that the daemon blocks or ignores are the program's again; output goes where it should. */
static void signals_and_output(void **state)
{
	char path[PATH_MAX];
	const char *ignored;

	(void)state;
	fake_program(path, "speaks", "#!/bin/sh\necho spoken; echo moaned >&2\n"
	       "grep -E '^Sig(Blk|Ign)' /proc/self/status\n");
	signal(SIGPIPE, SIG_IGN);
	runner.verbose = true;
	add(path, NULL, NULL, "a");
	runner_drain(&runner);
	assert_non_null(strstr(content("log"), "spoken\nmoaned\n"));
	assert_non_null(strstr(content("log"), "SigBlk:\t0000000000000000\n"));
	ignored = strstr(content("log"), "SigIgn:\t");
	assert_non_null(ignored);
	/* Above bit 30 are those of the C library. */
	assert_int_equal(strtoull(ignored + 8, NULL, 16) & 0x7fffffff, 0);
}

static void programs_are_found(void **state)
{
	char path[PATH_MAX], here[PATH_MAX], wanted[PATH_MAX + 8];

	(void)state;
	assert_non_null(realpath(".", here));
	fake_program(path, "mine", "#!/bin/sh\n");
	fake_program(path, "text", "");
	chmod("text", 0644);
	mkdir("folder", 0755);
	setenv("PATH", ".:relative", 1);
	assert_false(runner_find(path, "mine"));
	setenv("PATH", here, 1);
	assert_true(runner_find(path, "mine"));
	snprintf(wanted, sizeof(wanted), "%s/mine", here);
	assert_string_equal(path, wanted);
	assert_true(runner_find(path, wanted));
	assert_false(runner_find(path, "text"));
	assert_false(runner_find(path, "folder"));
	assert_false(runner_find(path, "./mine"));
	assert_false(runner_find(path, ""));
	setenv("PATH", "/usr/bin:/bin", 1);
	assert_true(runner_find(path, "true"));
	unsetenv("PATH");
	assert_false(runner_find(path, "true"));
	setenv("PATH", "/usr/bin:/bin", 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(arguments_and_environment, begin, end),
		cmocka_unit_test_setup_teardown(one_at_a_time_in_order, begin, end),
		cmocka_unit_test_setup_teardown(failures_are_named, begin, end),
		cmocka_unit_test_setup_teardown(what_hangs_is_killed_with_its_children, begin, end),
		cmocka_unit_test_setup_teardown(the_queue_ends, begin, end),
		cmocka_unit_test_setup_teardown(what_waits_can_be_dropped, begin, end),
		cmocka_unit_test_setup_teardown(only_its_own_child_is_waited_for, begin, end),
		cmocka_unit_test_setup_teardown(signals_and_output, begin, end),
		cmocka_unit_test_setup_teardown(programs_are_found, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
