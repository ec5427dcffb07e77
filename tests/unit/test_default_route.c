// SPDX-License-Identifier: MIT
/*
 * Which calls of wg-quick bring about the default routes that are wanted, with a wg-quick that
 * writes them down: one at a time, and each change undone exactly.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <unistd.h>
#include <cmocka.h>

#include "default-route.h"
#include "fake_program.h"
#include "log.h"
#include "loop.h"

#define NOTE "echo \"$@\" >>calls\n"

enum { BOTH = DEFAULT_ROUTE_V4 | DEFAULT_ROUTE_V6 };

static struct runner runner;
static struct default_route route;
static int additions;

static const char *calls(void)
{
	const char *text;

	runner_drain(&runner);
	text = content("calls");
	unlink("calls");
	return text;
}

static void added(void)
{
	++additions;
}

static int begin(void **state)
{
	char here[PATH_MAX];

	(void)state;
	memset(&runner, 0, sizeof(runner));
	additions = 0;
	route = (struct default_route){
		.runner = &runner, .interface = "nosuch7", .added = added, .unmark = true,
	};
	unlink("calls");
	assert_non_null(realpath(".", here));
	setenv("PATH", here, 1);
	fake_script("wg-quick", NOTE);
	return 0;
}

static void comes_and_goes(void **state)
{
	(void)state;
	default_route_set(&route, 0);
	assert_string_equal(calls(), "");
	default_route_set(&route, BOTH);
	assert_string_equal(calls(), "add-default nosuch7 0.0.0.0/0 ::/0\n");
	assert_int_equal(additions, 1);
	default_route_set(&route, BOTH);
	assert_string_equal(calls(), "");
	default_route_set(&route, DEFAULT_ROUTE_V6);
	assert_string_equal(calls(), "del-default nosuch7 0.0.0.0/0\n");
	default_route_set(&route, DEFAULT_ROUTE_V4);
	assert_string_equal(calls(), "del-default nosuch7 ::/0\nadd-default nosuch7 0.0.0.0/0\n");
	default_route_set(&route, 0);
	assert_string_equal(calls(), "del-default nosuch7 0.0.0.0/0\n");
	assert_int_equal(additions, 2);
}

static void after_the_link_was_down(void **state)
{
	(void)state;
	default_route_again(&route);
	assert_string_equal(calls(), "");
	default_route_set(&route, BOTH);
	calls();
	default_route_again(&route);
	assert_string_equal(calls(), "del-default nosuch7 0.0.0.0/0 ::/0\n"
				     "add-default nosuch7 0.0.0.0/0 ::/0\n");
	assert_int_equal(additions, 2);
}

static void what_was_left_is_set_up_anew_or_undone(void **state)
{
	(void)state;
	route.there = route.stale = BOTH;
	default_route_set(&route, DEFAULT_ROUTE_V4);
	assert_string_equal(calls(), "del-default nosuch7 0.0.0.0/0 ::/0\n"
				     "add-default nosuch7 0.0.0.0/0\n");
	route.there = route.stale = DEFAULT_ROUTE_V6;
	default_route_set(&route, 0);
	assert_string_equal(calls(), "del-default nosuch7 ::/0\n");
}

/* What is wanted changes faster than wg-quick runs: it is called for the last of it alone. */
static void changes_meanwhile(void **state)
{
	(void)state;
	fake_script("wg-quick", NOTE "/bin/sleep 0.2\n");
	default_route_set(&route, DEFAULT_ROUTE_V4);
	runner_turn(&runner, now_ms());
	for (int i = 0; i < 100; ++i)
		default_route_set(&route, i % 4);
	assert_string_equal(calls(), "add-default nosuch7 0.0.0.0/0\nadd-default nosuch7 ::/0\n");
	default_route_set(&route, 0);
	runner_turn(&runner, now_ms());
	default_route_set(&route, BOTH);
	assert_string_equal(calls(), "del-default nosuch7 0.0.0.0/0 ::/0\n"
				     "add-default nosuch7 0.0.0.0/0 ::/0\n");
}

static void what_failed_is_undone_and_tried_again_when_told(void **state)
{
	const char *found;

	(void)state;
	log_catch();
	fake_script("wg-quick", NOTE "exit 1\n");
	default_route_set(&route, DEFAULT_ROUTE_V4);
	runner_drain(&runner);
	default_route_set(&route, DEFAULT_ROUTE_V4);
	assert_string_equal(calls(), "add-default nosuch7 0.0.0.0/0\n");
	assert_int_equal(default_route_in_force(&route), 0);
	for (int i = 0; i < 3; ++i) {
		default_route_retry(&route);
		default_route_set(&route, DEFAULT_ROUTE_V4);
		assert_string_equal(calls(), "del-default nosuch7 0.0.0.0/0\n"
					     "add-default nosuch7 0.0.0.0/0\n");
		assert_int_equal(route.failed, DEFAULT_ROUTE_V4);
	}
	assert_int_equal(additions, 4); /* or what was none */
	fake_script("wg-quick", NOTE);
	default_route_set(&route, 0);
	assert_string_equal(calls(), "del-default nosuch7 0.0.0.0/0\n");
	log_restore();
	found = strstr(content("log"), "`wg-quick' ended with status 1: for default routes, the "
				       "wg-quick that comes with wg-dynamic must be the first");
	assert_non_null(found);
	assert_null(strstr(found + 1, "`wg-quick' ended"));
}

/* One that works in the end is no failure, and what fails after it is said again. */
static void what_failed_comes_in_the_end(void **state)
{
	(void)state;
	log_catch();
	fake_script("wg-quick", NOTE "exit 1\n");
	default_route_set(&route, BOTH);
	runner_drain(&runner);
	fake_script("wg-quick", NOTE);
	default_route_retry(&route);
	assert_int_equal(default_route_in_force(&route), 0);
	default_route_set(&route, BOTH);
	runner_drain(&runner);
	assert_int_equal(default_route_in_force(&route), BOTH);
	assert_true(default_route_whole(&route));
	calls();
	default_route_retry(&route);
	default_route_set(&route, BOTH);
	assert_string_equal(calls(), "");
	default_route_set(&route, 0);
	calls();
	fake_script("wg-quick", NOTE "exit 2\n");
	default_route_set(&route, BOTH);
	calls();
	log_restore();
	assert_non_null(strstr(content("log"), "ended with status 2"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(comes_and_goes, begin),
		cmocka_unit_test_setup(after_the_link_was_down, begin),
		cmocka_unit_test_setup(what_was_left_is_set_up_anew_or_undone, begin),
		cmocka_unit_test_setup(changes_meanwhile, begin),
		cmocka_unit_test_setup(what_failed_is_undone_and_tried_again_when_told, begin),
		cmocka_unit_test_setup(what_failed_comes_in_the_end, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
