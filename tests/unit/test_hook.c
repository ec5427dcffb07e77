// SPDX-License-Identifier: MIT
/*
 * What a hook is called with: the event, and each variable with everything and with nothing in
 * it; and a hook that is slower than what happens.
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

#include "fake_program.h"
#include "hook.h"
#include "log.h"
#include "loop.h"

static struct runner runner;
static struct options options;
static const uint8_t key[KEY_LEN] = "the public key of the server ...";
static char hook[PATH_MAX];

static int begin(void **state)
{
	(void)state;
	memset(&runner, 0, sizeof(runner));
	memset(&options, 0, sizeof(options));
	unlink("out");
	setenv("PATH", "/usr/bin:/bin", 1);
	fake_program(hook, "hook", "#!/bin/sh\n{ echo \"$# $*\"; env; } >>\"${0%/*}/out\"\n");
	return 0;
}

static void has(const char *line)
{
	char whole[512];

	snprintf(whole, sizeof(whole), "\n%s\n", line);
	if (!strstr(content("out"), whole))
		fail_msg("`%s' is not in:\n%s", line, content("out"));
}

static void ip(struct cidr *c, const char *text)
{
	assert_true(cidr_parse(c, text, strlen(text)));
}

static void everything(void **state)
{
	struct hook_facts facts = { .lease_time = 3600, .options = &options, .server = key };

	(void)state;
	ip(&facts.ip[0], "192.0.2.7");
	ip(&facts.ip[1], "2001:db8::7");
	ip(&facts.old[0], "192.0.2.8");
	ip(&facts.old[1], "2001:db8::8");
	options_add(&options, "route", "10.0.0.0/8");
	options_add(&options, "route", "fd00:5::/48");
	options_add(&options, "dns", "192.0.2.53");
	options_add(&options, "dns", "2001:db8::53");
	options_add(&options, "search", "corp.example");
	options_add(&options, "search", "lab.example");
	options_add(&options, "mtu", "1380");
	setenv("SECRET", "of the caller", 1);
	hook_run(&runner, hook, "wg7", HOOK_CHANGED, &facts);
	runner_drain(&runner);
	assert_int_equal(strncmp(content("out"), "2 wg7 changed\n", 14), 0);
	has("WG_DYNAMIC_IP4=192.0.2.7");
	has("WG_DYNAMIC_IP6=2001:db8::7");
	has("WG_DYNAMIC_OLD_IP4=192.0.2.8");
	has("WG_DYNAMIC_OLD_IP6=2001:db8::8");
	has("WG_DYNAMIC_LEASE_TIME=3600");
	has("WG_DYNAMIC_ROUTES=10.0.0.0/8 fd00:5::/48");
	has("WG_DYNAMIC_DNS=192.0.2.53 2001:db8::53");
	has("WG_DYNAMIC_SEARCH=corp.example lab.example");
	has("WG_DYNAMIC_MTU=1380");
	has("WG_DYNAMIC_SERVER=dGhlIHB1YmxpYyBrZXkgb2YgdGhlIHNlcnZlciAuLi4=");
	has("PATH=/usr/bin:/bin");
	assert_null(strstr(content("out"), "SECRET"));
}

static void nothing(void **state)
{
	static const char *const names[] = { "IP4", "IP6", "OLD_IP4", "OLD_IP6", "LEASE_TIME",
					     "ROUTES", "DNS", "SEARCH", "MTU" };
	const struct hook_facts facts = { .options = &options, .server = key };
	char line[64];

	(void)state;
	hook_run(&runner, hook, "wg7", HOOK_RELEASED, &facts);
	runner_drain(&runner);
	assert_int_equal(strncmp(content("out"), "2 wg7 released\n", 15), 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); ++i) {
		snprintf(line, sizeof(line), "WG_DYNAMIC_%s=", names[i]);
		has(line);
	}
}

/* The longest that there can be, and the variables after it are whole. */
static void there_is_room(void **state)
{
	const struct hook_facts facts = { .options = &options, .server = key };
	char text[DOMAIN_LEN];

	(void)state;
	for (int i = 0; i < OPTIONS_ROUTES; ++i) {
		snprintf(text, sizeof(text), "2001:db8:aaaa:aaaa:aaaa:aaaa:aaaa:%x/128", 0xf000 + i);
		assert_int_equal(options_add(&options, "route", text), 0);
	}
	for (int i = 0; i < OPTIONS_SEARCH; ++i) {
		memset(text, 'a' + i, DOMAIN_LEN - 1);
		text[63] = text[127] = text[191] = '.';
		text[DOMAIN_LEN - 1] = '\0';
		assert_int_equal(options_add(&options, "search", text), 0);
	}
	for (int i = 0; i < OPTIONS_DNS; ++i) {
		snprintf(text, sizeof(text), "2001:db8:aaaa:aaaa:aaaa:aaaa:aaaa:%x", 0xf000 + i);
		assert_int_equal(options_add(&options, "dns", text), 0);
	}
	hook_run(&runner, hook, "wg7", HOOK_BOUND, &facts);
	runner_drain(&runner);
	has("WG_DYNAMIC_SERVER=dGhlIHB1YmxpYyBrZXkgb2YgdGhlIHNlcnZlciAuLi4=");
	has("PATH=/usr/bin:/bin");
	assert_non_null(strstr(content("out"), "aaaa:f07f/128\n"));
	assert_non_null(strstr(content("out"), "aaaa:f007\n"));
}

/* An absurd PATH is cut off, and nothing else comes to harm. */
static void too_long_a_path(void **state)
{
	const struct hook_facts facts = { .options = &options, .server = key };
	char *path = malloc(40000);

	(void)state;
	memset(path, 'x', 39999);
	memcpy(path, "/usr/bin:/bin:", 14);
	path[39999] = '\0';
	setenv("PATH", path, 1);
	free(path);
	hook_run(&runner, hook, "wg7", HOOK_RENEWED, &facts);
	runner_drain(&runner);
	assert_int_equal(strncmp(content("out"), "2 wg7 renewed\n", 14), 0);
	has("WG_DYNAMIC_SERVER=dGhlIHB1YmxpYyBrZXkgb2YgdGhlIHNlcnZlciAuLi4=");
}

static void events_of_a_slow_hook_are_skipped(void **state)
{
	const struct hook_facts facts = { .options = &options, .server = key };

	(void)state;
	log_catch();
	hook_run(&runner, hook, "wg7", HOOK_BOUND, &facts);
	runner_turn(&runner, now_ms());
	for (int i = 0; i < 8; ++i)
		hook_run(&runner, hook, "wg7", HOOK_RENEWED, &facts);
	hook_run(&runner, hook, "wg7", HOOK_EXPIRED, &facts);
	runner_drain(&runner);
	log_restore();
	assert_int_equal(strncmp(content("out"), "2 wg7 bound\n", 12), 0);
	assert_null(strstr(content("out"), "renewed"));
	assert_non_null(strstr(content("out"), "2 wg7 expired\n"));
	assert_non_null(strstr(content("log"), "/hook' is too slow: 8 events are skipped\n"));
}

/* The first lines of what the hook has written since the last time: its arguments, and so on. */
static void tells(const char *event, const char *now, const char *before)
{
	char line[64];

	runner_drain(&runner);
	if (!event) {
		assert_string_equal(content("out"), "");
		return;
	}
	snprintf(line, sizeof(line), "2 wg7 %s\n", event);
	assert_int_equal(strncmp(content("out"), line, strlen(line)), 0);
	assert_null(strstr(content("out") + 1, "2 wg7 ")); /* once */
	snprintf(line, sizeof(line), "WG_DYNAMIC_IP4=%s", now);
	has(line);
	snprintf(line, sizeof(line), "WG_DYNAMIC_OLD_IP4=%s", before);
	has(line);
	unlink("out");
}

static void news(void **state)
{
	struct hook h = { .runner = &runner, .program = hook, .interface = "wg7", .server = key };
	struct lifecycle_lease one = { 0 }, two = { 0 };

	(void)state;
	ip(&one.ip[V4], "192.0.2.1");
	ip(&two.ip[V4], "192.0.2.2");
	hook_options(&h, &options);
	hook_end(&h, HOOK_EXPIRED);
	tells(NULL, NULL, NULL); /* nothing has begun */
	hook_lease(&h, &one, 60, &options);
	tells("bound", "192.0.2.1", "");
	hook_lease(&h, &one, 60, &options);
	tells("renewed", "192.0.2.1", "192.0.2.1");
	hook_options(&h, &options);
	tells(NULL, NULL, NULL);
	options_add(&options, "route", "10.0.0.0/8");
	hook_options(&h, &options);
	tells("changed", "192.0.2.1", "192.0.2.1");
	hook_lease(&h, &two, 60, &options);
	tells("changed", "192.0.2.2", "192.0.2.1");
	options_clear(&options, WANT_ROUTE);
	hook_lease(&h, &two, 60, &options);
	tells("changed", "192.0.2.2", "192.0.2.2");
	hook_end(&h, HOOK_EXPIRED);
	tells("expired", "", "192.0.2.2");
	hook_end(&h, HOOK_RELEASED);
	tells(NULL, NULL, NULL);
	hook_lease(&h, &one, 60, &options);
	tells("bound", "192.0.2.1", "");
	h.program = ""; /* there need not be one */
	hook_lease(&h, &two, 60, &options);
	tells(NULL, NULL, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(everything, begin),
		cmocka_unit_test_setup(nothing, begin),
		cmocka_unit_test_setup(there_is_room, begin),
		cmocka_unit_test_setup(too_long_a_path, begin),
		cmocka_unit_test_setup(news, begin),
		cmocka_unit_test_setup(events_of_a_slow_hook_are_skipped, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
