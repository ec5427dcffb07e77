// SPDX-License-Identifier: MIT
/*
 * Addresses and prefixes: what is read, what is refused, containment and order.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <cmocka.h>

#include "cidr.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct cidr cidr(const char *text)
{
	struct cidr c;

	if (!cidr_parse(&c, text, strlen(text)))
		fail_msg("%s is not read", text);
	return c;
}

static void reads_and_writes(void **state)
{
	static const struct {
		const char *text, *written;
	} cases[] = {
		{ "192.0.2.7/32", "192.0.2.7/32" },
		{ "192.0.2.7", "192.0.2.7/32" },
		{ "192.0.2.7/24", "192.0.2.7/24" }, /* host bits stay */
		{ "192.0.2.7/0", "192.0.2.7/0" },
		{ "0.0.0.0", "0.0.0.0/32" },
		{ "255.255.255.255/32", "255.255.255.255/32" },
		{ "192.0.2.7/08", "192.0.2.7/8" },
		{ "::", "::/128" },
		{ "::/0", "::/0" },
		{ "2001:DB8::7/64", "2001:db8::7/64" },
		{ "2001:db8:0:0:0:0:0:7", "2001:db8::7/128" },
		{ "fe80::abcd:abcd:abcd:abcd/128", "fe80::abcd:abcd:abcd:abcd/128" },
		{ "::ffff:192.0.2.1", "::ffff:192.0.2.1/128" },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255/128",
		  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128" },
	};
	char buf[CIDR_STRLEN];
	struct cidr c, again;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); ++i) {
		c = cidr(cases[i].text);
		assert_string_equal(cidr_format(buf, &c), cases[i].written);
		again = cidr(buf);
		assert_int_equal(cidr_compare(&c, &again), 0);
		*strchr(buf, '/') = '\0';
		again = c;
		assert_string_equal(cidr_format_ip((char[CIDR_STRLEN]){ 0 }, &again), buf);
	}
}

static void refuses(void **state)
{
	static const char *const bad[] = {
		"", "/", "/32", "192.0.2.7/", "192.0.2.7/33", "192.0.2.7/128", "192.0.2.7/-1",
		"192.0.2.7/+1", "192.0.2.7/ 1", "192.0.2.7/1 ", "192.0.2.7/0x1", "192.0.2.7/1/1",
		"192.0.2.7/0032", "192.0.2.7/4294967296", "192.0.2.7 ", " 192.0.2.7", "192.0.2",
		"192.0.2.256", "192.0.2.7.1", "192.0.02.7", "0xc0.0.2.7", "3221225985", "::/129",
		"::/1000", "2001:db8::7::", "2001:db8", "g::", "fe80::1%lo", ":", ":::", "a", "-",
		"1:2:3:4:5:6:7:8:9", "example.org",
		"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000",
	};
	struct cidr c;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); ++i) {
		if (cidr_parse(&c, bad[i], strlen(bad[i])))
			fail_msg("'%s' is read", bad[i]);
	}
	assert_false(cidr_parse(&c, "192.0.2.7\0", 10));
	assert_false(cidr_parse(&c, "192.0.2.7\0/32", 13));
	assert_false(cidr_parse(&c, "192.0.2.7/32\0", 13));
}

static void reads_no_further_than_its_length(void **state)
{
	const char *text = "192.0.2.7/321";
	char exact[12];
	struct cidr c;

	(void)state;
	/* With nothing behind it, so that the sanitizer sees a byte too many. */
	memcpy(exact, text, sizeof(exact));
	assert_true(cidr_parse(&c, exact, sizeof(exact)));
	assert_int_equal(c.prefix, 32);
	assert_true(cidr_parse(&c, exact, 11));
	assert_int_equal(c.prefix, 3);
	assert_true(cidr_parse(&c, exact, 9));
	assert_int_equal(c.prefix, 32);
	assert_false(cidr_parse(&c, exact, 10));
}

static void hosts(void **state)
{
	const uint8_t bytes[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
	struct cidr c, none = { 0 };

	(void)state;
	cidr_host(&c, AF_INET, bytes);
	assert_int_equal(c.prefix, 32);
	assert_memory_equal(c.ip, "\1\2\3\4\0\0\0\0\0\0\0\0\0\0\0", 16);
	assert_true(cidr_is_host(&c));
	--c.prefix;
	assert_false(cidr_is_host(&c));
	cidr_host(&c, AF_INET6, bytes);
	assert_int_equal(c.prefix, 128);
	assert_memory_equal(c.ip, bytes, 16);
	assert_true(cidr_is_host(&c));
	c.prefix = 32;
	assert_false(cidr_is_host(&c));
	assert_false(cidr_is_host(&none));
	assert_int_equal(family_bits(AF_INET), 32);
	assert_int_equal(family_bits(AF_INET6), 128);
	assert_int_equal(family_bits(0), 0);
	assert_int_equal(family_bits(AF_UNIX), 0);
}

static void masks(void **state)
{
	struct cidr c;
	int set;

	(void)state;
	for (int bits = 0; bits <= 128; ++bits) {
		c = (struct cidr){ .family = AF_INET6, .prefix = bits };
		memset(c.ip, 0xff, sizeof(c.ip));
		cidr_mask(&c);
		set = 0;
		for (int i = 0; i < 16; ++i) {
			set += __builtin_popcount(c.ip[i]);
			/* Those that are set stand in front. */
			if (i < bits / 8)
				assert_int_equal(c.ip[i], 0xff);
		}
		assert_int_equal(set, bits);
		if (bits % 8)
			assert_int_equal(c.ip[bits / 8], 0xff & 0xff00 >> bits % 8);
	}
	c = cidr("203.0.113.201/27");
	cidr_mask(&c);
	assert_string_equal(cidr_format((char[CIDR_STRLEN]){ 0 }, &c), "203.0.113.192/27");
}

static void contains(void **state)
{
	static const struct {
		const char *a, *b;
		bool a_has_b, b_has_a;
	} cases[] = {
		{ "0.0.0.0/0", "192.0.2.0/24", true, false },
		{ "192.0.2.0/24", "192.0.2.0/24", true, true },
		{ "192.0.2.0/24", "192.0.2.255/32", true, false },
		{ "192.0.2.0/24", "192.0.3.0/32", false, false },
		{ "192.0.2.0/25", "192.0.2.128/32", false, false },
		{ "192.0.2.0/23", "192.0.3.0/24", true, false },
		{ "192.0.2.0/31", "192.0.2.1", true, false },
		{ "192.0.2.0/31", "192.0.2.2", false, false },
		{ "::/0", "0.0.0.0/0", false, false },
		{ "::/0", "2001:db8::/32", true, false },
		{ "2001:db8::/127", "2001:db8::1", true, false },
		{ "2001:db8::/127", "2001:db8::2", false, false },
		{ "2001:db8::/65", "2001:db8::7fff:ffff:ffff:ffff", true, false },
		{ "2001:db8::/65", "2001:db8::8000:0:0:0", false, false },
	};
	struct cidr a, b;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); ++i) {
		a = cidr(cases[i].a);
		b = cidr(cases[i].b);
		assert_int_equal(cidr_contains(&a, &b), cases[i].a_has_b);
		assert_int_equal(cidr_contains(&b, &a), cases[i].b_has_a);
		assert_int_equal(cidr_overlaps(&a, &b), cases[i].a_has_b || cases[i].b_has_a);
		assert_int_equal(cidr_overlaps(&b, &a), cases[i].a_has_b || cases[i].b_has_a);
	}
}

static void order(void **state)
{
	static const char *const sorted[] = {
		"0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/32", "10.0.0.1/8", "192.0.2.0/24",
		"192.0.2.0/32",
		"::/0", "::/128", "::1/0", "2001:db8::/32", "2001:db8::/128", "fe80::/10",
	};
	struct cidr a, b;
	int diff;

	(void)state;
	for (size_t i = 0; i < COUNT(sorted); ++i) {
		for (size_t j = 0; j < COUNT(sorted); ++j) {
			a = cidr(sorted[i]);
			b = cidr(sorted[j]);
			diff = cidr_compare(&a, &b);
			assert_int_equal((diff > 0) - (diff < 0), (i > j) - (i < j));
		}
	}
}

static void link_local(void **state)
{
	static const char *const yes[] = { "fe80::", "fe80::1", "fe80::/10", "febf:ffff::1" };
	static const char *const no[] = { "fec0::", "fe7f::1", "fe00::/9", "::", "169.254.0.1" };
	struct cidr c;

	(void)state;
	for (size_t i = 0; i < COUNT(yes); ++i) {
		c = cidr(yes[i]);
		assert_true(cidr_is_link_local(&c));
	}
	for (size_t i = 0; i < COUNT(no); ++i) {
		c = cidr(no[i]);
		assert_false(cidr_is_link_local(&c));
	}
}

static void assignable(void **state)
{
	static const char *const yes[] = {
		"1.0.0.0", "10.0.0.1", "100.64.0.1", "126.255.255.255", "128.0.0.0",
		"169.253.255.255",
		"169.255.0.0", "172.16.0.1", "192.0.2.7", "198.18.0.1", "223.255.255.255", "::2",
		"::fffe:0:0", "::1:0:0:0", "64:ff9b::1", "2001:db8::7", "fd00::1", "fe7f::1",
		"fec0::1",
		"feff::1", "10.0.0.0/8", "168.0.0.0/8", "2001:db8::/32",
	};
	static const char *const no[] = {
		"0.0.0.0", "0.255.255.255", "127.0.0.0", "127.255.255.255", "169.254.0.0",
		"169.254.255.255", "224.0.0.0", "239.255.255.255", "240.0.0.0", "255.255.255.255",
		"::", "::1", "::ffff:0:0", "::ffff:192.0.2.1", "fe80::", "fe80::1", "febf::1",
		"ff00::",
		"ff02::1", "ffff::",
		/* networks that have such addresses in them */
		"0.0.0.0/0", "169.0.0.0/8", "::/32", "::/0", "fe00::/8",
	};
	struct cidr c = { 0 };

	(void)state;
	assert_false(cidr_is_assignable(&c));
	for (size_t i = 0; i < COUNT(yes); ++i) {
		c = cidr(yes[i]);
		if (!cidr_is_assignable(&c))
			fail_msg("%s can't be assigned", yes[i]);
	}
	for (size_t i = 0; i < COUNT(no); ++i) {
		c = cidr(no[i]);
		if (cidr_is_assignable(&c))
			fail_msg("%s can be assigned", no[i]);
	}
}

/* Groups of zeros in any places, and small ones. */
static void writes_as_the_library_does(void **state)
{
	char expected[INET6_ADDRSTRLEN], text[CIDR_STRLEN];
	struct cidr c = { AF_INET6, 128, { 0 } };

	(void)state;
	for (int n = 0; n < 100000; ++n) {
		for (int i = 0; i < 8; ++i) {
			uint32_t group = rand() % 3 ? (rand() & 0xffff) >> 4 * (rand() % 4) : 0;

			c.ip[2 * i] = group >> 8;
			c.ip[2 * i + 1] = group;
		}
		assert_non_null(inet_ntop(c.family, c.ip, expected, sizeof(expected)));
		assert_string_equal(cidr_format_ip(text, &c), expected);
		*cidr_put(text, &c) = '\0';
		strcat(expected, "/128");
		assert_string_equal(text, expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_and_writes),
		cmocka_unit_test(writes_as_the_library_does),
		cmocka_unit_test(refuses),
		cmocka_unit_test(reads_no_further_than_its_length),
		cmocka_unit_test(hosts),
		cmocka_unit_test(masks),
		cmocka_unit_test(contains),
		cmocka_unit_test(order),
		cmocka_unit_test(link_local),
		cmocka_unit_test(assignable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
