// SPDX-License-Identifier: MIT
/*
 * What a client accepts, and whether a route that is pushed to it may be set.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <errno.h>
#include <cmocka.h>

#include "accept.h"
#include "options.h"
#include "route-check.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct cidr cidr(const char *text)
{
	struct cidr c;

	if (!cidr_parse(&c, text, strlen(text)))
		fail_msg("%s is no address", text);
	return c;
}

/* The words, separated by commas. */
static struct accept accepts(const char *words)
{
	struct accept accept = { 0 };
	size_t len;

	for (; (len = strcspn(words, ",")); words += len + !!words[len])
		assert_int_equal(accept_add(&accept, words, len), 0);
	return accept;
}

static void reads_words_and_prefixes(void **state)
{
	static const struct {
		const char *text;
		uint32_t words, want;
	} cases[] = {
		{ "address", ACCEPT_ADDRESS, WANT_CALL },
		{ "route", ACCEPT_ROUTE, WANT_CALL | WANT_ROUTE },
		{ "default-route", ACCEPT_DEFAULT_ROUTE, WANT_CALL | WANT_ROUTE },
		{ "dns", ACCEPT_DNS, WANT_CALL | WANT_DNS },
		{ "mtu", ACCEPT_MTU, WANT_CALL | WANT_MTU },
		{ "192.0.2.0/24", 0, WANT_CALL | WANT_ROUTE },
		{ "mtu,dns,mtu", ACCEPT_MTU | ACCEPT_DNS, WANT_CALL | WANT_MTU | WANT_DNS },
		{ "address,route,2001:db8::/32", ACCEPT_USUAL, WANT_CALL | WANT_ROUTE },
	};
	struct accept accept;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); ++i) {
		accept = accepts(cases[i].text);
		assert_int_equal(accept.words, cases[i].words);
		assert_int_equal(accept_want(&accept), cases[i].want);
	}
	accept = accepts("192.0.2.7/24,2001:db8::7");
	assert_int_equal(accept.prefixes, 2);
	assert_int_equal(cidr_compare(&accept.prefix[0], &(struct cidr){ AF_INET, 24,
			 { 192, 0, 2 } }), 0);
	assert_int_equal(accept.prefix[1].prefix, 128);
}

static void refuses_other_words(void **state)
{
	static const char *const none[] = {
		"", "addres", "addresses", "Route", "route ", " dns", "default_route", "auto",
		"192.0.2.0/33", "192.0.2", "10.0.0.0/", "/8", "::/129", "fe80::%wg0",
	};
	struct accept accept = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(none); ++i)
		assert_int_equal(accept_add(&accept, none[i], strlen(none[i])), -EINVAL);
	/* No more than the length that is told is read. */
	assert_int_equal(accept_add(&accept, "routes", 5), 0);
	assert_int_equal(accept.words, ACCEPT_ROUTE);
	for (int i = 0; i < ACCEPT_PREFIXES; ++i)
		assert_int_equal(accept_add(&accept, "192.0.2.0/24", 12), 0);
	assert_int_equal(accept_add(&accept, "192.0.2.0/24", 12), -ENOSPC);
	assert_int_equal(accept_add(&accept, "mtu", 3), 0);
}

static enum route_verdict verdict(const char *accept_words, const char *route,
				  enum fact_kind kind, const char *net)
{
	struct accept accept = accepts(accept_words);
	struct fact fact = { .kind = kind };
	const struct fact *conflict = &fact;
	struct cidr to = cidr(route);
	enum route_verdict found;
	char text[256] = "x";

	if (net)
		fact.net = cidr(net);
	found = route_check(&accept, &to, &fact, net ? 1 : 0, &conflict);
	if (found == ROUTE_CONFLICT)
		assert_ptr_equal(conflict, &fact);
	else
		assert_null(conflict);
	route_refusal(text, sizeof(text), found, conflict);
	assert_int_equal(!*text, found == ROUTE_GOOD);
	if (found == ROUTE_CONFLICT)
		assert_non_null(strstr(text, net));
	return found;
}

static void accepts_private_networks_and_what_is_named(void **state)
{
	static const struct {
		const char *accept, *route;
		enum route_verdict verdict;
	} cases[] = {
		{ "route", "10.0.0.0/8", ROUTE_GOOD },
		{ "route", "10.1.2.3/32", ROUTE_GOOD },
		{ "route", "10.0.0.0/7", ROUTE_OUTSIDE },
		{ "route", "11.0.0.0/8", ROUTE_OUTSIDE },
		{ "route", "172.16.0.0/12", ROUTE_GOOD },
		{ "route", "172.31.255.255/32", ROUTE_GOOD },
		{ "route", "172.32.0.0/16", ROUTE_OUTSIDE },
		{ "route", "172.16.0.0/11", ROUTE_OUTSIDE },
		{ "route", "192.168.0.0/16", ROUTE_GOOD },
		{ "route", "192.169.0.0/16", ROUTE_OUTSIDE },
		{ "route", "100.64.0.0/10", ROUTE_GOOD },
		{ "route", "100.128.0.0/10", ROUTE_OUTSIDE },
		{ "route", "fc00::/7", ROUTE_GOOD },
		{ "route", "fd00:5::/48", ROUTE_GOOD },
		{ "route", "fc00::/6", ROUTE_SPECIAL },
		{ "route", "2001:db8::/32", ROUTE_OUTSIDE },
		{ "route", "203.0.113.0/24", ROUTE_OUTSIDE },
		{ "route,203.0.113.0/24", "203.0.113.0/24", ROUTE_GOOD },
		{ "route,203.0.113.0/24", "203.0.113.128/25", ROUTE_GOOD },
		{ "route,203.0.113.0/24", "203.0.112.0/23", ROUTE_OUTSIDE },
		{ "route,203.0.113.0/24", "10.0.0.0/8", ROUTE_GOOD },
		{ "203.0.113.0/24", "10.0.0.0/8", ROUTE_PRIVATE },
		{ "address,dns,mtu", "10.0.0.0/8", ROUTE_PRIVATE },
		{ "2001:db8::/32", "2001:db8:7::/48", ROUTE_GOOD },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); ++i) {
		if (verdict(cases[i].accept, cases[i].route, 0, NULL) != cases[i].verdict)
			fail_msg("%s with %s", cases[i].route, cases[i].accept);
	}
}

static void a_default_route_needs_its_word_and_has_no_way_round(void **state)
{
	static const char *const halves[] = {
		"0.0.0.0/1", "128.0.0.0/1", "0.0.0.0/2", "192.0.0.0/2", "::/1", "8000::/1", "::/2",
		"c000::/2",
	};
	static const char *const all[] = { "0.0.0.0/0", "::/0" };
	static const char *const lists[] = {
		"route", "default-route", "route,default-route", "0.0.0.0/0,::/0",
		"route,0.0.0.0/0,::/0",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(all); ++i) {
		assert_int_equal(verdict("default-route", all[i], 0, NULL), ROUTE_GOOD);
		assert_int_equal(verdict("default-route", all[i], FACT_CONNECTED, "192.0.2.0/24"),
				 ROUTE_GOOD);
		assert_int_equal(verdict("route", all[i], 0, NULL), ROUTE_DEFAULT);
		assert_int_equal(verdict("route,0.0.0.0/0,::/0", all[i], 0, NULL), ROUTE_DEFAULT);
	}
	for (size_t i = 0; i < COUNT(halves); ++i) {
		for (size_t j = 0; j < COUNT(lists); ++j)
			assert_int_equal(verdict(lists[j], halves[i], 0, NULL), ROUTE_SPECIAL);
	}
}

static void never_special_addresses(void **state)
{
	static const char *const special[] = {
		"127.0.0.0/8", "127.0.0.1/32", "0.0.0.0/8", "169.254.0.0/16", "169.254.169.254/32",
		"224.0.0.0/4", "239.1.2.3/32", "255.255.255.255/32", "::1/128", "::/128",
		"fe80::/10", "fe80::/128", "fe80::7/128", "ff02::1/128", "ff00::/8",
		"::ffff:10.0.0.0/104", "fe00::/8",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(special); ++i)
		assert_int_equal(verdict("route,0.0.0.0/0,::/0", special[i], 0, NULL),
				 ROUTE_SPECIAL);
}

static void never_what_the_host_has(void **state)
{
	static const struct {
		enum fact_kind kind;
		const char *net, *route;
		bool conflict;
	} cases[] = {
		{ FACT_CONNECTED, "10.9.1.0/24", "10.9.1.0/24", true },
		{ FACT_CONNECTED, "10.9.1.0/24", "10.0.0.0/8", true },
		{ FACT_CONNECTED, "10.9.1.0/24", "10.9.1.128/25", true },
		{ FACT_CONNECTED, "10.9.1.0/24", "10.9.2.0/24", false },
		{ FACT_CONNECTED, "fd00:1::/64", "fd00:1::/48", true },
		{ FACT_CONNECTED, "fd00:1::/64", "10.0.0.0/8", false },
		{ FACT_GATEWAY, "10.9.1.1/32", "10.9.1.1/32", true },
		{ FACT_GATEWAY, "10.9.1.1/32", "10.9.0.0/16", true },
		{ FACT_RESOLVER, "10.53.0.53/32", "10.53.0.0/16", true },
		{ FACT_RESOLVER, "10.53.0.53/32", "10.54.0.0/16", false },
		{ FACT_PEER, "10.7.0.0/16", "10.7.7.0/24", true },
		{ FACT_PEER, "0.0.0.0/0", "10.7.7.0/24", true },
		{ FACT_ENDPOINT, "10.8.0.8/32", "10.8.0.0/24", true },
		/* By a shorter prefix no traffic is drawn away from a longer one. */
		{ FACT_ROUTED, "10.5.0.0/16", "10.0.0.0/8", false },
		{ FACT_ROUTED, "10.5.0.0/16", "10.5.0.0/16", true },
		{ FACT_ROUTED, "10.5.0.0/16", "10.5.6.0/24", true },
		{ FACT_ROUTED, "10.5.0.0/16", "10.6.0.0/16", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); ++i) {
		/* That it is accepted by name is no matter. */
		if ((verdict("route,10.0.0.0/8,fc00::/7", cases[i].route, cases[i].kind,
			     cases[i].net) == ROUTE_CONFLICT) != cases[i].conflict)
			fail_msg("%s against %s", cases[i].route, cases[i].net);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_words_and_prefixes),
		cmocka_unit_test(refuses_other_words),
		cmocka_unit_test(accepts_private_networks_and_what_is_named),
		cmocka_unit_test(a_default_route_needs_its_word_and_has_no_way_round),
		cmocka_unit_test(never_special_addresses),
		cmocka_unit_test(never_what_the_host_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
