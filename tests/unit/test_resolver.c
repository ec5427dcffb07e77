// SPDX-License-Identifier: MIT
/*
 * The resolvconf record, by a resolvconf that writes down what it is called with: what the user
 * has set and what is pushed, side by side and each alone; and what no record may hold.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>
#include <cmocka.h>

#include "fake_program.h"
#include "log.h"
#include "resolver.h"

static struct runner runner;
static struct resolver resolver;
static struct options own, pushed;

static int begin(void **state)
{
	char here[PATH_MAX];

	(void)state;
	unlink("calls");
	log_catch();
	log_open("wg7");
	assert_non_null(realpath(".", here));
	setenv("PATH", here, 1);
	fake_script("resolvconf",
		    "{ printf '<%s>' \"$@\"; echo; [ \"$1\" != -a ] || /bin/cat; } >>calls\n");
	memset(&runner, 0, sizeof(runner));
	memset(&own, 0, sizeof(own));
	memset(&pushed, 0, sizeof(pushed));
	resolver_init(&resolver, &runner, "wg7", &own);
	strcpy(resolver.name, "wg7"); /* whatever this machine's resolvconf makes of it */
	return 0;
}

static int end(void **state)
{
	(void)state;
	runner_drain(&runner);
	log_restore();
	return 0;
}

static void push(const char *key, const char *value)
{
	assert_int_equal(options_add(&pushed, key, value), 0);
}

/* What resolvconf has been called with since the last time. */
static const char *calls(void)
{
	const char *text;

	runner_drain(&runner);
	text = content("calls");
	unlink("calls");
	return text;
}

static const char *set(void)
{
	resolver_check(&resolver, &pushed);
	resolver_set(&resolver, &pushed);
	return calls();
}

static void sets_and_removes(void **state)
{
	(void)state;
	push("dns", "192.0.2.53");
	push("dns", "2001:db8::53");
	push("search", "corp.example");
	push("search", "lab.example");
	assert_string_equal(set(), "<-a><wg7><-m><0><-x>\nnameserver 192.0.2.53\n"
				   "nameserver 2001:db8::53\nsearch corp.example lab.example\n");
	assert_string_equal(set(), ""); /* nothing has changed */
	options_clear(&pushed, WANT_DNS);
	push("dns", "192.0.2.54");
	assert_string_equal(set(), "<-a><wg7><-m><0><-x>\nnameserver 192.0.2.54\n");
	options_clear(&pushed, WANT_DNS);
	assert_string_equal(set(), "<-d><wg7><-f>\n");
	assert_string_equal(set(), "");
	resolver_unset(&resolver);
	assert_string_equal(calls(), "");
	assert_string_equal(content("log"), "");
}

static void the_users_own_stay(void **state)
{
	(void)state;
	options_add(&own, "dns", "127.0.0.53");
	options_add(&own, "search", "home.example");
	assert_string_equal(set(), "<-a><wg7><-m><0><-x>\nnameserver 127.0.0.53\n"
				   "search home.example\n");
	push("dns", "192.0.2.53");
	push("search", "corp.example");
	push("search", "HOME.example");
	assert_string_equal(set(), "<-a><wg7><-m><0><-x>\nnameserver 127.0.0.53\n"
				   "nameserver 192.0.2.53\nsearch home.example corp.example\n");
	options_clear(&pushed, WANT_DNS);
	assert_string_equal(set(), "<-a><wg7><-m><0><-x>\nnameserver 127.0.0.53\n"
				   "search home.example\n");
	resolver_unset(&resolver);
	assert_string_equal(calls(), "<-d><wg7><-f>\n");
	assert_string_equal(content("log"), "");
}

static void what_is_no_resolver_is_refused_once(void **state)
{
	static const char *const bad[] = { "127.0.0.53", "::1", "fe80::1", "224.0.0.251",
					   "0.0.0.0", "::ffff:192.0.2.1" };
	char line[128];

	(void)state;
	push("dns", "192.0.2.53");
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); ++i)
		push("dns", bad[i]);
	for (int i = 0; i < 2; ++i) {
		struct options again = pushed;

		resolver_check(&resolver, &again);
		assert_int_equal(again.dns_count, 1);
		resolver_set(&resolver, &again);
	}
	assert_string_equal(calls(), "<-a><wg7><-m><0><-x>\nnameserver 192.0.2.53\n");
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); ++i) {
		const char *found;

		snprintf(line, sizeof(line), "the resolver %s, which", bad[i]);
		found = strstr(content("log"), line);
		assert_non_null(found);
		assert_null(strstr(found + 1, line));
	}
}

static void search_domains_alone_are_none(void **state)
{
	(void)state;
	push("search", "corp.example");
	assert_string_equal(set(), "");
	assert_string_equal(set(), "");
	assert_string_equal(content("log"), "wg-dynamic: wg7: the server pushes search domains, "
					    "but no resolver: ignored\n");
}

static void no_resolvconf_is_said_once(void **state)
{
	(void)state;
	unlink("resolvconf");
	push("dns", "192.0.2.53");
	assert_string_equal(set(), "");
	push("dns", "192.0.2.54");
	assert_string_equal(set(), "");
	resolver_unset(&resolver);
	assert_true(runner_idle(&runner));
	assert_string_equal(content("log"), "wg-dynamic: wg7: cannot set the resolvers: there is "
		"no `resolvconf' in PATH: install openresolv, or that of systemd-resolved\n");
}

static void what_failed_is_tried_again(void **state)
{
	(void)state;
	push("dns", "192.0.2.53");
	fake_script("resolvconf", "echo failed >>calls; exit 1\n");
	assert_string_equal(set(), "failed\n");
	assert_false(resolver.there);
	assert_non_null(strstr(content("log"), "`resolvconf' ended with status 1\n"));
	fake_script("resolvconf", "echo fine >>calls\n");
	assert_string_equal(set(), "fine\n");
	assert_true(resolver.there);
	assert_string_equal(set(), "");
}

/* Of what still waits for a slow one, the last counts. */
static void what_waits_is_replaced(void **state)
{
	(void)state;
	push("dns", "192.0.2.53");
	resolver_set(&resolver, &pushed);
	push("dns", "192.0.2.54");
	resolver_set(&resolver, &pushed);
	push("dns", "192.0.2.55");
	assert_string_equal(set(), "<-a><wg7><-m><0><-x>\nnameserver 192.0.2.53\n"
				   "nameserver 192.0.2.54\nnameserver 192.0.2.55\n");
}

static void there_is_room_for_the_longest(void **state)
{
	char domain[DOMAIN_LEN], ip[64];
	const char *text;

	(void)state;
	for (int i = 0; i < OPTIONS_DNS; ++i) {
		snprintf(ip, sizeof(ip), "2001:db8:aaaa:aaaa:aaaa:aaaa:aaaa:%x", 0xf000 + i);
		assert_int_equal(options_add(&own, "dns", ip), 0);
		snprintf(ip, sizeof(ip), "2001:db8:bbbb:aaaa:aaaa:aaaa:aaaa:%x", 0xf000 + i);
		push("dns", ip);
	}
	for (int i = 0; i < OPTIONS_SEARCH; ++i) {
		memset(domain, 'a' + i, DOMAIN_LEN - 1);
		domain[63] = domain[127] = domain[191] = '.';
		domain[DOMAIN_LEN - 1] = '\0';
		assert_int_equal(options_add(&own, "search", domain), 0);
		domain[0] = 'z';
		push("search", domain);
	}
	text = set();
	assert_non_null(strstr(text, "bbbb:aaaa:aaaa:aaaa:aaaa:f007\nsearch aaa"));
	assert_int_equal(strlen(strstr(text, "search")), 7 + 16 * DOMAIN_LEN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(sets_and_removes, begin, end),
		cmocka_unit_test_setup_teardown(the_users_own_stay, begin, end),
		cmocka_unit_test_setup_teardown(what_is_no_resolver_is_refused_once, begin, end),
		cmocka_unit_test_setup_teardown(search_domains_alone_are_none, begin, end),
		cmocka_unit_test_setup_teardown(no_resolvconf_is_said_once, begin, end),
		cmocka_unit_test_setup_teardown(what_failed_is_tried_again, begin, end),
		cmocka_unit_test_setup_teardown(what_waits_is_replaced, begin, end),
		cmocka_unit_test_setup_teardown(there_is_room_for_the_longest, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
