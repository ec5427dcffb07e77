// SPDX-License-Identifier: MIT
/*
 * Pools: which are refused, which addresses they never give, and that each other one is found.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <sys/resource.h>
#include <cmocka.h>

#include "pool.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct pools pools;

static struct cidr cidr(const char *text)
{
	struct cidr c;

	assert_true(cidr_parse(&c, text, strlen(text)));
	return c;
}

static const char *add(const char *text)
{
	return pools_add(&pools, text, strlen(text));
}

/* Just this pool, with its bitmap. */
static struct pool *only(const char *text)
{
	assert_int_equal(pools.count, 0);
	assert_null(add(text));
	assert_true(pools_allocate(&pools));
	return &pools.list[0];
}

static int clear(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < pools.count; ++i)
		free(pools.list[i].used);
	memset(&pools, 0, sizeof(pools));
	return 0;
}

static void accepts(void **state)
{
	static const char *const good[] = {
		"192.0.2.0/24", "10.0.0.0/8", "172.16.0.0/12", "198.51.100.7/32",
		"203.0.113.2/31", "2001:db8::/32", "fd00:1::/64", "fd00:2::7/128", "fd00:3::/127",
		"64:ff9b:1::/48", "223.255.255.0/24",
	};

	for (size_t i = 0; i < COUNT(good); ++i) {
		clear(state);
		if (add(good[i]))
			fail_msg("%s %s", good[i], add(good[i]));
		assert_int_equal(pools.count, 1);
		assert_int_equal(pools.list[0].leased, 0);
		assert_null(pools.list[0].used);
	}
}

static void refuses(void **state)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "", "is not a network" },
		{ "pool", "is not a network" },
		{ "192.0.2.0", "is not a network" },
		{ "2001:db8::7", "is not a network" },
		{ "192.0.2.0/", "is not a network" },
		{ "192.0.2.0/33", "is not a network" },
		{ "192.0.2.0/24 ", "is not a network" },
		{ "192.0.2.0/24,", "is not a network" },
		{ "2001:db8::/129", "is not a network" },
		{ "192.0.2.1/24", "has bits set behind its prefix length" },
		{ "192.0.2.1/31", "has bits set behind its prefix length" },
		{ "2001:db8::1/64", "has bits set behind its prefix length" },
		{ "2001:db8::1/127", "has bits set behind its prefix length" },
		{ "0.0.0.0/0", "is too large" },
		{ "10.0.0.0/7", "is too large" },
		{ "::/0", "is too large" },
		{ "2001:db8::/31", "is too large" },
		{ "0.0.0.0/8", "holds addresses that no host may have" },
		{ "127.0.0.0/24", "holds addresses that no host may have" },
		{ "169.254.0.0/16", "holds addresses that no host may have" },
		{ "169.254.7.0/24", "holds addresses that no host may have" },
		{ "224.0.0.0/24", "holds addresses that no host may have" },
		{ "255.255.255.255/32", "holds addresses that no host may have" },
		{ "fe80::/64", "holds addresses that no host may have" },
		{ "ff02::/64", "holds addresses that no host may have" },
		{ "::1/128", "holds addresses that no host may have" },
		{ "::ffff:192.0.2.0/120", "holds addresses that no host may have" },
		/* some of them */
		{ "169.0.0.0/8", "holds addresses that no host may have" },
		{ "169.254.0.0/15", "holds addresses that no host may have" },
		{ "::/32", "holds addresses that no host may have" },
		{ "::/96", "holds addresses that no host may have" },
	};
	const char *why;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); ++i) {
		why = add(bad[i].text);
		if (!why || strncmp(why, bad[i].why, strlen(bad[i].why)))
			fail_msg("%s: %s", bad[i].text, why ? why : "accepted");
		/* It says what to do, too. */
		assert_non_null(strchr(why, ':'));
		assert_int_equal(pools.count, 0);
	}
}

static void refuses_overlaps(void **state)
{
	static const char *const bad[] = {
		"192.0.2.0/24", "192.0.2.0/25", "192.0.2.128/25", "192.0.2.7/32", "192.0.0.0/16",
		"192.0.0.0/8", "2001:db8::/64", "2001:db8::/48", "2001:db8::7/128",
	};
	static const char *const good[] = { "192.0.3.0/24", "192.0.1.0/24", "2001:db8:0:1::/64" };

	(void)state;
	assert_null(add("192.0.2.0/24"));
	assert_null(add("2001:db8::/64"));
	for (size_t i = 0; i < COUNT(bad); ++i) {
		if (!add(bad[i]) || strncmp(add(bad[i]), "overlaps", 8))
			fail_msg("%s: %s", bad[i], add(bad[i]));
	}
	assert_int_equal(pools.count, 2);
	for (size_t i = 0; i < COUNT(good); ++i)
		assert_null(add(good[i]));
}

static void refuses_one_too_many(void **state)
{
	char text[32];

	(void)state;
	for (int i = 0; i < POOLS; ++i) {
		sprintf(text, "10.0.%d.0/24", i);
		assert_null(add(text));
	}
	assert_memory_equal(add("192.0.2.0/24"), "is one pool too many", 20);
	assert_int_equal(pools.count, POOLS);
}

static void finds(void **state)
{
	struct cidr ip;

	(void)state;
	assert_false(pools_have(&pools, V4));
	assert_false(pools_have(&pools, V6));
	assert_null(add("192.0.2.0/25"));
	assert_true(pools_have(&pools, V4));
	assert_false(pools_have(&pools, V6));
	assert_null(add("2001:db8::/64"));
	assert_true(pools_have(&pools, V6));
	assert_null(add("192.0.2.128/26"));
	ip = cidr("192.0.2.127");
	assert_ptr_equal(pools_find(&pools, &ip), &pools.list[0]);
	ip = cidr("192.0.2.128");
	assert_ptr_equal(pools_find(&pools, &ip), &pools.list[2]);
	ip = cidr("192.0.2.192");
	assert_null(pools_find(&pools, &ip));
	ip = cidr("2001:db8::ffff:ffff:ffff:ffff");
	assert_ptr_equal(pools_find(&pools, &ip), &pools.list[1]);
	ip = cidr("2001:db8:0:1::");
	assert_null(pools_find(&pools, &ip));
}

static void excludes_and_counts(void **state)
{
	static const struct {
		const char *pool;
		uint64_t size;
		const char *excluded[2], *given[3];
	} cases[] = {
		{ "192.0.2.0/24", 254, { "192.0.2.0", "192.0.2.255" },
		  { "192.0.2.1", "192.0.2.254", "192.0.2.128" } },
		{ "192.0.2.128/30", 2, { "192.0.2.128", "192.0.2.131" },
		  { "192.0.2.129", "192.0.2.130" } },
		{ "192.0.2.6/31", 2, { NULL, NULL }, { "192.0.2.6", "192.0.2.7" } },
		{ "192.0.2.0/31", 2, { NULL, NULL }, { "192.0.2.0", "192.0.2.1" } },
		{ "192.0.2.0/32", 1, { NULL, NULL }, { "192.0.2.0" } },
		{ "192.0.2.255/32", 1, { NULL, NULL }, { "192.0.2.255" } },
		{ "10.0.0.0/8", (1 << 24) - 2, { "10.0.0.0", "10.255.255.255" },
		  { "10.0.0.1", "10.0.1.0", "10.255.254.255" } },
		{ "2001:db8::/126", 3, { "2001:db8::", NULL },
		  { "2001:db8::1", "2001:db8::2", "2001:db8::3" } },
		{ "2001:db8::/127", 2, { NULL, NULL }, { "2001:db8::", "2001:db8::1" } },
		{ "2001:db8::/128", 1, { NULL, NULL }, { "2001:db8::" } },
		{ "2001:db8::/104", (1 << 24) - 1, { "2001:db8::", NULL },
		  { "2001:db8::1", "2001:db8::ff:ffff", "2001:db8::1:0" } },
		{ "2001:db8::/65", UINT64_MAX >> 1, { "2001:db8::", NULL },
		  { "2001:db8::1", "2001:db8::7fff:ffff:ffff:ffff" } },
		{ "2001:db8::/64", UINT64_MAX, { "2001:db8::", NULL },
		  { "2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff" } },
		/* only the very first is the anycast address, however large the pool */
		{ "2001:db8::/32", UINT64_MAX, { "2001:db8::", NULL },
		  { "2001:db8::1", "2001:db8:0:1::", "2001:db8:ffff::" } },
	};
	struct cidr ip;

	for (size_t i = 0; i < COUNT(cases); ++i) {
		clear(state);
		assert_null(add(cases[i].pool));
		assert_int_equal(pool_size(&pools, &pools.list[0]), cases[i].size);
		for (int j = 0; j < 2 && cases[i].excluded[j]; ++j) {
			ip = cidr(cases[i].excluded[j]);
			if (!pool_excludes(&pools.list[0], &ip))
				fail_msg("%s gives %s", cases[i].pool, cases[i].excluded[j]);
		}
		for (int j = 0; j < 3 && cases[i].given[j]; ++j) {
			ip = cidr(cases[i].given[j]);
			if (pool_excludes(&pools.list[0], &ip))
				fail_msg("%s excludes %s", cases[i].pool, cases[i].given[j]);
		}
	}
}

static const char *exclude(const char *text)
{
	return pools_exclude(&pools, text, strlen(text));
}

static void exclusions(void **state)
{
	struct cidr ip = cidr("10.1.2.3");
	char text[32];

	(void)state;
	assert_null(add("10.0.0.0/8"));
	assert_ptr_equal(pools_find(&pools, &ip), &pools.list[0]);
	assert_int_equal(pools_excluded(&pools, &ip), 0);
	/* One in another is no second one. */
	assert_null(exclude("10.1.2.3"));
	assert_null(exclude("10.1.2.3/32"));
	assert_int_equal(pools.excludes, 1);
	assert_int_equal(pools_excluded(&pools, &ip), 1);
	assert_null(pools_find(&pools, &ip));
	assert_null(exclude("10.1.2.0/24"));
	assert_null(exclude("10.1.2.128/25"));
	assert_int_equal(pools.excludes, 1);
	assert_int_equal(pools_excluded(&pools, &ip), 253);
	ip = cidr("10.1.3.0");
	assert_int_equal(pools_excluded(&pools, &ip), 0);
	assert_non_null(exclude(""));
	assert_non_null(exclude("10.1.2.1/24"));
	assert_non_null(exclude("10.1.2.0/33"));
	for (int i = 1; i < EXCLUDES; ++i) {
		sprintf(text, "10.9.%d.0/30", i);
		assert_null(exclude(text));
	}
	assert_string_equal(exclude("192.0.2.1"), "is one exclusion too many: 64 are the most, but "
			    "networks may be large");
	assert_int_equal(pools.excludes, EXCLUDES);
	assert_null(exclude("10.9.0.0/16"));
	assert_int_equal(pools.excludes, 2);
	assert_null(exclude("::/0"));
	ip = cidr("2001:db8::1");
	assert_int_equal(pools_excluded(&pools, &ip), UINT64_MAX);
}

static void exclusions_count(void **state)
{
	static const struct {
		const char *pool, *excluded[3];
		uint64_t size;
	} cases[] = {
		{ "192.0.2.0/24", { "192.0.2.9" }, 253 },
		{ "192.0.2.0/24", { "192.0.2.0" }, 254 },
		{ "192.0.2.0/24", { "192.0.2.255" }, 254 },
		{ "192.0.2.0/24", { "192.0.2.0/25", "192.0.2.192/26" }, 64 },
		{ "192.0.2.0/24", { "192.0.2.0/25", "192.0.2.128/25" }, 0 },
		{ "192.0.2.0/24", { "192.0.2.0/24" }, 0 },
		{ "192.0.2.0/24", { "192.0.0.0/16" }, 0 },
		{ "192.0.2.0/24", { "198.51.100.0/24", "::/0" }, 254 },
		{ "192.0.2.4/31", { "192.0.2.4" }, 1 },
		{ "192.0.2.4/32", { "192.0.2.4" }, 0 },
		{ "2001:db8::/120", { "2001:db8::", "2001:db8::ff" }, 254 },
		{ "2001:db8::/65", { "2001:db8::/66" }, UINT64_C(1) << 62 },
		{ "2001:db8::/64", { "2001:db8::/65" }, UINT64_MAX },
		{ "2001:db8::/64", { "2001:db8::/64" }, 0 },
	};

	for (size_t i = 0; i < COUNT(cases); ++i) {
		clear(state);
		assert_null(add(cases[i].pool));
		for (int j = 0; j < 3 && cases[i].excluded[j]; ++j)
			assert_null(exclude(cases[i].excluded[j]));
		assert_true(pool_size(&pools, &pools.list[0]) == cases[i].size);
	}
}

/* --- searching --- */

/* Blocks first to last, and counts how often it is asked. */
struct block {
	uint64_t first, last, asked;
	bool one_by_one;
};

static uint64_t low_bits(const struct cidr *ip)
{
	uint64_t low = 0;

	for (int i = 0; i < (ip->family == AF_INET ? 4 : 16); ++i)
		low = low << 8 | ip->ip[i];
	return low;
}

static uint64_t blocked(void *data, const struct pool *pool, const struct cidr *ip)
{
	struct block *block = data;
	uint64_t at = low_bits(ip);

	++block->asked;
	assert_true(cidr_contains(&pool->net, ip));
	assert_true(cidr_is_host(ip));
	assert_false(pool_excludes(pool, ip));
	if (at < block->first || at > block->last)
		return 0;
	return block->one_by_one ? 1 : block->last - at + 1;
}

static struct block nothing(void)
{
	return (struct block){ .first = 1 };
}

static void each_address_from_every_hash(void **state)
{
	static const struct {
		const char *pool;
		unsigned int addresses, excluded;
	} cases[] = {
		{ "192.0.2.16/28", 16, 2 }, { "192.0.2.4/30", 4, 2 }, { "192.0.2.4/31", 2, 0 },
		{ "192.0.2.4/32", 1, 0 }, { "2001:db8::/124", 16, 1 }, { "2001:db8::/127", 2, 0 },
		{ "2001:db8::/128", 1, 0 }, { "10.1.0.0/24", 256, 2 }, { "10.1.0.0/25", 128, 2 },
	};
	struct block block = nothing();
	struct pool *pool;
	struct cidr ip;

	for (size_t i = 0; i < COUNT(cases); ++i) {
		for (unsigned int hash = 0; hash < cases[i].addresses; ++hash) {
			bool seen[256] = { false };
			unsigned int expected = hash, offset;

			clear(state);
			pool = only(cases[i].pool);
			for (unsigned int n = cases[i].excluded; n < cases[i].addresses; ++n) {
				/* High bits of the hash make no difference. */
				assert_true(pool_search(pool, hash + 7 * ((uint64_t)1 << 40), &ip,
							blocked, &block));
				offset = low_bits(&ip) % cases[i].addresses;
				assert_false(seen[offset]);
				seen[offset] = true;
				/* It is the next that can be had, around the end. */
				while (expected % cases[i].addresses != offset) {
					struct cidr skipped = pool->net;

					skipped.prefix = family_bits(skipped.family);
					skipped.ip[family_bits(skipped.family) / 8 - 1] |=
						expected % cases[i].addresses;
					assert_true(pool_excludes(pool, &skipped));
					++expected;
				}
				++expected;
				pool_mark(pool, &ip, true);
			}
			assert_false(pool_search(pool, hash, &ip, blocked, &block));
			/* One that comes back is found again. */
			offset = cases[i].addresses / 2;
			ip = pool->net;
			ip.prefix = family_bits(ip.family);
			ip.ip[family_bits(ip.family) / 8 - 1] |= offset;
			pool_mark(pool, &ip, false);
			assert_true(pool_search(pool, hash, &ip, blocked, &block));
			assert_int_equal(low_bits(&ip) % cases[i].addresses, offset);
		}
	}
}

/* Whether the address at this place of 256 can be had. */
static bool can_be_had(const struct pool *pool, int place, int first, int last)
{
	bool broadcast = pool->net.family == AF_INET && place == 255;

	return place && !broadcast && (place < first || place > last);
}

static void search_around(const struct pool *pool, uint64_t base, int first, int last, int hash)
{
	struct block block = { base + first, base + last, 0, hash & 1 };
	int expected = hash, tries = 256;
	struct cidr ip;

	while (!can_be_had(pool, expected, first, last) && tries--)
		expected = (expected + 1) % 256;
	if (tries < 0) {
		assert_false(pool_search(pool, hash, &ip, blocked, &block));
		return;
	}
	assert_true(pool_search(pool, hash, &ip, blocked, &block));
	assert_int_equal(low_bits(&ip), base + expected);
	/* A span is stepped over at once. */
	if (!block.one_by_one)
		assert_true(block.asked <= 3);
}

static void blocked_spans(void **state)
{
	static const char *const texts[] = { "10.1.0.0/24", "2001:db8::/120" };
	static const uint64_t base[] = { 10 << 24 | 1 << 16, 0 };

	for (int v = V4; v < FAMILIES; ++v) {
		struct pool *pool;

		clear(state);
		pool = only(texts[v]);
		for (int first = 0; first < 256; first += 5) {
			for (int last = first; last < 256; last += 1 + last % 3) {
				for (int hash = 0; hash < 256; hash += 3)
					search_around(pool, base[v], first, last, hash);
			}
		}
	}
}

static void spans_and_marks_together(void **state)
{
	struct pool *pool = only("10.1.0.0/24");
	const uint64_t base = 10 << 24 | 1 << 16;
	struct block block = { .first = base + 100, .last = base + 255 };
	struct cidr ip = cidr("10.1.0.0");

	(void)state;
	for (int i = 1; i < 100; ++i) {
		ip.ip[3] = i;
		pool_mark(pool, &ip, i != 42);
	}
	for (int hash = 0; hash < 256; ++hash) {
		assert_true(pool_search(pool, hash, &ip, blocked, &block));
		assert_int_equal(ip.ip[3], 42);
	}
	pool_mark(pool, &ip, true);
	assert_false(pool_search(pool, 7, &ip, blocked, &block));
	block.last = UINT64_MAX;
	assert_false(pool_search(pool, 200, &ip, blocked, &block));
}

static void a_full_slash_8(void **state)
{
	struct pool *pool = only("10.0.0.0/8");
	struct block block = nothing();
	struct cidr ip;

	(void)state;
	memset(pool->used, 0xff, (1 << 24) / 8);
	assert_false(pool_search(pool, 0x123456, &ip, blocked, &block));
	/* The last free one, just before the start: all others are passed over by the word. */
	ip = cidr("10.18.52.85");
	pool_mark(pool, &ip, false);
	assert_true(pool_search(pool, 0x123456, &ip, blocked, &block));
	assert_int_equal(low_bits(&ip), 10 << 24 | 0x123455);
	assert_int_equal(block.asked, 1);
	/* Free, but never given. */
	pool_mark(pool, &ip, true);
	ip = cidr("10.0.0.0");
	pool_mark(pool, &ip, false);
	ip = cidr("10.255.255.255");
	pool_mark(pool, &ip, false);
	assert_false(pool_search(pool, 0x123456, &ip, blocked, &block));
}

static void what_nobody_uses_costs_nothing(void **state)
{
	struct rusage before, after;

	(void)state;
	assert_int_equal(getrusage(RUSAGE_SELF, &before), 0);
	for (int i = 0; i < 16; ++i) {
		char text[24];

		sprintf(text, "%d.0.0.0/8", 10 + i);
		assert_null(add(text));
	}
	assert_true(pools_allocate(&pools));
	assert_int_equal(getrusage(RUSAGE_SELF, &after), 0);
	for (int i = 0; i < 16; ++i)
		assert_non_null(pools.list[i].used);
	/* 32 MiB, of which nothing is touched. */
	assert_true(after.ru_maxrss - before.ru_maxrss < 4096);
}

static void large_pools(void **state)
{
	static const char *const texts[] = { "2001:db8::/32", "2001:db8::/64", "2001:db8::/100",
					     "2001:db8::/103" };
	struct block block;
	struct pool *pool;
	struct cidr ip;

	for (size_t i = 0; i < COUNT(texts); ++i) {
		uint64_t last = i < 2 ? UINT64_MAX : ((uint64_t)1 << (i == 2 ? 28 : 25)) - 1;

		clear(state);
		pool = only(texts[i]);
		assert_null(pool->used);
		block = nothing();
		assert_true(pool_search(pool, 0x0123456789abcdef, &ip, blocked, &block));
		assert_int_equal(low_bits(&ip), 0x0123456789abcdef & last);
		assert_true(cidr_contains(&pool->net, &ip));
		/* The anycast address is stepped over. */
		assert_true(pool_search(pool, 0, &ip, blocked, &block));
		assert_int_equal(low_bits(&ip), 1);
		/* Around the end. */
		block = (struct block){ .first = last - 4, .last = last };
		assert_true(pool_search(pool, last - 2, &ip, blocked, &block));
		assert_int_equal(low_bits(&ip), 1);
		/* All of it blocked at once. */
		block = (struct block){ .first = 0, .last = UINT64_MAX };
		assert_false(pool_search(pool, last - 2, &ip, blocked, &block));
		assert_true(block.asked <= 4);
		/* Marks are no business of these. */
		ip = cidr("2001:db8::7");
		pool_mark(pool, &ip, true);
		block = nothing();
		assert_true(pool_search(pool, 7, &ip, blocked, &block));
		assert_int_equal(low_bits(&ip), 7);
	}
}

static void a_search_of_a_large_pool_ends(void **state)
{
	struct block block = { .first = 0, .last = UINT64_MAX, .one_by_one = true };
	struct pool *pool = only("2001:db8::/100");
	struct cidr ip;

	(void)state;
	/* From the middle, and from so near to the end that it goes on at the beginning. */
	assert_false(pool_search(pool, 1 << 27, &ip, blocked, &block));
	assert_true(block.asked <= 1 << 16);
	block.asked = 0;
	assert_false(pool_search(pool, (1 << 28) - 1000, &ip, blocked, &block));
	assert_true(block.asked <= 1 << 16);
	assert_true(block.asked > 1000);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, clear)
	const struct CMUnitTest tests[] = {
		TEST(accepts),
		TEST(refuses),
		TEST(refuses_overlaps),
		TEST(refuses_one_too_many),
		TEST(finds),
		TEST(excludes_and_counts),
		TEST(exclusions),
		TEST(exclusions_count),
		TEST(what_nobody_uses_costs_nothing),
		TEST(each_address_from_every_hash),
		TEST(blocked_spans),
		TEST(spans_and_marks_together),
		TEST(a_full_slash_8),
		TEST(large_pools),
		TEST(a_search_of_a_large_pool_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
