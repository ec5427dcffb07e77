// SPDX-License-Identifier: MIT
/*
 * The lease table against a model that is too simple to be wrong, over a long row of random
 * operations; and SipHash against its published vectors.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <cmocka.h>

#include "lease.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct pools pools;
static struct leases leases;
static const uint8_t secret[16] = "not very secret";

static struct cidr cidr(const char *text)
{
	struct cidr c;

	assert_true(cidr_parse(&c, text, strlen(text)));
	return c;
}

static int open_table(void **state)
{
	(void)state;
	assert_null(pools_add(&pools, "10.0.0.0/26", 11));
	assert_null(pools_add(&pools, "2001:db8::/122", 14));
	assert_true(pools_allocate(&pools));
	leases_open(&leases, &pools, secret);
	return 0;
}

static int close_table(void **state)
{
	(void)state;
	leases_close(&leases);
	for (uint32_t i = 0; i < pools.count; ++i)
		free(pools.list[i].used);
	memset(&pools, 0, sizeof(pools));
	return 0;
}

/* --- SipHash --- */

static void siphash_vectors(void **state)
{
	/* The first outputs of the reference implementation, and that of the paper (15 bytes). */
	static const struct {
		size_t len;
		uint64_t hash;
	} vectors[] = {
		{ 0, 0x726fdb47dd0e0e31 }, { 1, 0x74f839c593dc67fd }, { 2, 0x0d6c8009d9a94f5a },
		{ 3, 0x85676696d7fb7e2d }, { 4, 0xcf2794e0277187b7 }, { 5, 0x18765564cd99a68d },
		{ 6, 0xcbc9466e58fee3ce }, { 7, 0xab0200f58b01d137 }, { 8, 0x93f5f5799a932462 },
		{ 15, 0xa129ca6149be45e5 },
	};
	uint8_t key[16], data[15];

	(void)state;
	for (int i = 0; i < 16; ++i)
		key[i] = i;
	for (int i = 0; i < 15; ++i)
		data[i] = i;
	for (size_t i = 0; i < COUNT(vectors); ++i)
		assert_true(siphash(key, data, vectors[i].len) == vectors[i].hash);
	key[15] ^= 1;
	assert_false(siphash(key, data, 15) == vectors[COUNT(vectors) - 1].hash);
}

/* --- the model --- */

enum { KEYS = 40, ADDRESSES = 64 + 4 /* the last are of no pool */, OPERATIONS = 100000 };

struct model {
	bool live;
	uint32_t index;
	enum holding holding[FAMILIES];
	int address[FAMILIES];
	bool ending[FAMILIES], in_device[FAMILIES];
	uint64_t expires;
	uint64_t past[FAMILIES]; /* rises in the order in which they are remembered */
};

static struct model model[KEYS];
static uint64_t clock_now;
static uint32_t most_live;
static unsigned int seed;

static unsigned int dice(unsigned int sides)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 16) % sides;
}

static const uint8_t *key_of(int k)
{
	static uint8_t key[KEY_LEN];

	memset(key, 0x80, sizeof(key));
	key[k % 2 ? 0 : KEY_LEN - 1] = k;
	return key;
}

static struct cidr address_of(int v, int n)
{
	struct cidr ip = cidr(v == V4 ? n < 64 ? "10.0.0.0" : "192.0.2.0" :
				n < 64 ? "2001:db8::" : "2001:db8:1::");

	ip.ip[v == V4 ? 3 : 15] = n;
	return ip;
}

static bool expires(const struct model *m)
{
	bool any = false;

	for (int v = V4; v < FAMILIES; ++v)
		any |= m->holding[v] >= HOLDING_LEASED && !m->ending[v];
	return m->live && any;
}

static void model_drop(struct model *m, int v)
{
	m->holding[v] = HOLDING_NONE;
	m->ending[v] = m->in_device[v] = false;
	if (!m->holding[V4] && !m->holding[V6])
		m->live = false;
}

static void do_set(int k)
{
	struct model *m = &model[k];
	int v = dice(2), n = dice(ADDRESSES);
	enum holding holding = HOLDING_PAST + dice(3);
	struct cidr ip = address_of(v, n);
	uint32_t index = leases_make(&leases, key_of(k));

	assert_true(index != LEASE_NONE);
	if (!m->live) {
		*m = (struct model){ .live = true, .index = index };
	} else {
		assert_int_equal(index, m->index);
	}
	leases_set(&leases, index, holding, &ip);
	for (int other = 0; other < KEYS; ++other) {
		if (other != k && model[other].live && model[other].holding[v] &&
		    model[other].address[v] == n)
			model_drop(&model[other], v);
	}
	if (!m->holding[v] || m->address[v] != n)
		m->ending[v] = m->in_device[v] = false;
	m->holding[v] = holding;
	m->address[v] = n;
	m->past[v] = clock_now * KEYS;
}

static void do_expire(int k)
{
	if (!model[k].live)
		return;
	/* All different, so that the order is known. */
	model[k].expires = (uint64_t)dice(1000) << 32 | clock_now;
	leases_expire_at(&leases, model[k].index, model[k].expires);
}

static void do_forget(int k, int v)
{
	if (!model[k].live || !model[k].holding[v])
		return;
	leases_forget(&leases, model[k].index, v);
	model_drop(&model[k], v);
}

static void do_ending(int k, int v)
{
	bool ending = dice(2);

	if (!model[k].live || model[k].holding[v] < HOLDING_LEASED)
		return;
	leases_set_ending(&leases, model[k].index, v, ending);
	model[k].ending[v] = ending;
	leases.list[model[k].index].flags |= LEASE_IN_DEVICE << v;
	model[k].in_device[v] = true;
}

static void do_sort(void)
{
	assert_true(leases_sort_past(&leases));
	for (int k = 0; k < KEYS; ++k) {
		uint64_t rank = 0;

		for (int other = 0; other < KEYS; ++other)
			rank += model[other].expires < model[k].expires;
		model[k].past[V4] = model[k].past[V6] = clock_now * KEYS + rank;
	}
}

/* --- comparing --- */

static void compare_keys(void)
{
	const struct lease *lease;
	struct cidr ip, expected;
	uint32_t live = 0;

	for (int k = 0; k < KEYS; ++k) {
		const struct model *m = &model[k];

		if (!m->live) {
			assert_int_equal(leases_find(&leases, key_of(k)), LEASE_NONE);
			continue;
		}
		++live;
		assert_int_equal(leases_find(&leases, key_of(k)), m->index);
		assert_true(m->index < leases.count);
		lease = &leases.list[m->index];
		assert_memory_equal(lease->key, key_of(k), KEY_LEN);
		assert_true(lease->expires == m->expires);
		for (int v = V4; v < FAMILIES; ++v) {
			assert_int_equal(lease->holding[v], m->holding[v]);
			assert_int_equal(lease_holds(lease, v), m->holding[v] >= HOLDING_LEASED);
			assert_int_equal(!!(lease->flags & LEASE_ENDING << v), m->ending[v]);
			assert_int_equal(!!(lease->flags & LEASE_IN_DEVICE << v), m->in_device[v]);
			assert_int_equal(lease_ip(lease, v, &ip), m->holding[v] != HOLDING_NONE);
			if (!m->holding[v])
				continue;
			expected = address_of(v, m->address[v]);
			assert_int_equal(cidr_compare(&ip, &expected), 0);
		}
		assert_int_equal(lease_holds(lease, FAMILIES),
				 lease_holds(lease, V4) || lease_holds(lease, V6));
	}
	assert_int_equal(leases.live, live);
	if (live > most_live)
		most_live = live;
	/* Those that were removed are used again, before new ones are. */
	assert_true(leases.count <= most_live + 1);
}

static void compare_addresses(int v)
{
	uint64_t leased = 0, bit;
	struct cidr ip;

	for (int n = 0; n < ADDRESSES; ++n) {
		const struct model *owner = NULL;

		for (int k = 0; k < KEYS; ++k) {
			if (model[k].live && model[k].holding[v] && model[k].address[v] == n)
				owner = &model[k];
		}
		ip = address_of(v, n);
		assert_int_equal(leases_owner(&leases, &ip), owner ? owner->index : LEASE_NONE);
		if (n >= 64)
			continue;
		bit = pools.list[v].used[0] >> n & 1;
		assert_int_equal(bit, owner != NULL);
		leased += owner && owner->holding[v] >= HOLDING_LEASED;
	}
	assert_true(pools.list[v].leased == leased);
}

static void compare_next(void)
{
	const struct model *next = NULL;

	for (int k = 0; k < KEYS; ++k) {
		if (expires(&model[k]) && (!next || model[k].expires < next->expires))
			next = &model[k];
	}
	if (!next)
		assert_int_equal(leases_next(&leases), LEASE_NONE);
	else /* several may have 0, until they are told theirs */
		assert_true(leases.list[leases_next(&leases)].expires == next->expires);
}

static void compare_past(int v)
{
	uint32_t at = leases.oldest[v], before = LEASE_NONE;
	uint64_t last = 0;
	int expected = 0, found = 0;

	for (int k = 0; k < KEYS; ++k)
		expected += model[k].live && model[k].holding[v] == HOLDING_PAST &&
			    model[k].address[v] < 64;
	for (; at != LEASE_NONE; at = leases.list[at].newer[v], ++found) {
		int k = 0;

		while (k < KEYS && !(model[k].live && model[k].index == at))
			++k;
		assert_true(k < KEYS);
		assert_int_equal(model[k].holding[v], HOLDING_PAST);
		assert_true(model[k].address[v] < 64);
		assert_true(model[k].past[v] >= last);
		last = model[k].past[v];
		assert_int_equal(leases.list[at].older[v], before);
		before = at;
	}
	assert_int_equal(found, expected);
	assert_int_equal(leases.newest[v], before);
}

static void random_operations(void **state)
{
	(void)state;
	seed = 1;
	for (clock_now = 1; clock_now <= OPERATIONS; ++clock_now) {
		int k = dice(KEYS), v = dice(2);

		/* For a while it grows, then it shrinks. */
		switch (dice(clock_now / 1000 % 2 ? 12 : 30)) {
		case 0:
		case 1:
		case 2:
		case 3:
			do_set(k);
			do_expire(k);
			break;
		case 4:
			do_set(k);
			break;
		case 5:
			do_expire(k);
			break;
		case 6:
			do_ending(k, v);
			break;
		case 7:
			if (!dice(20))
				do_sort();
			break;
		default:
			do_forget(k, v);
			break;
		}
		compare_keys();
		compare_addresses(v);
		compare_next();
		compare_past(v);
	}
	assert_true(most_live > KEYS / 2);
}

/* --- by hand --- */

static uint32_t hold(int k, enum holding holding, const char *text, uint64_t expires)
{
	uint32_t index = leases_make(&leases, key_of(k));
	struct cidr ip = cidr(text);

	leases_set(&leases, index, holding, &ip);
	leases_expire_at(&leases, index, expires);
	return index;
}

static void an_empty_table(void **state)
{
	struct cidr ip = cidr("10.0.0.1");

	(void)state;
	assert_int_equal(leases_find(&leases, key_of(1)), LEASE_NONE);
	assert_int_equal(leases_owner(&leases, &ip), LEASE_NONE);
	assert_int_equal(leases_next(&leases), LEASE_NONE);
	assert_int_equal(leases.oldest[V4], LEASE_NONE);
	assert_true(leases_sort_past(&leases));
}

static void ends_in_order(void **state)
{
	static const int ends[] = { 50, 10, 40, 10, 30, 20, 60, 5, 70, 1 };
	uint64_t last = 0;
	char text[CIDR_STRLEN];
	uint32_t next;

	(void)state;
	for (size_t i = 0; i < COUNT(ends); ++i) {
		sprintf(text, "10.0.0.%zu", i + 1);
		hold(i, HOLDING_LEASED, text, ends[i]);
	}
	for (size_t i = 0; i < COUNT(ends); ++i) {
		next = leases_next(&leases);
		assert_true(leases.list[next].expires >= last);
		last = leases.list[next].expires;
		leases_set_ending(&leases, next, V4, true);
	}
	assert_int_equal(last, 70);
	assert_int_equal(leases_next(&leases), LEASE_NONE);
}

static void a_renewal_moves_the_end(void **state)
{
	uint32_t a = hold(1, HOLDING_LEASED, "10.0.0.1", 100);
	uint32_t b = hold(2, HOLDING_LEASED, "10.0.0.2", 200);

	(void)state;
	assert_int_equal(leases_next(&leases), a);
	leases_expire_at(&leases, a, 300);
	assert_int_equal(leases_next(&leases), b);
	leases_expire_at(&leases, a, UINT64_MAX);
	leases_expire_at(&leases, b, UINT64_MAX - 1);
	assert_int_equal(leases_next(&leases), b);
}

static void one_family_ending_still_expires(void **state)
{
	uint32_t a = hold(1, HOLDING_LEASED, "10.0.0.1", 100);

	(void)state;
	assert_int_equal(hold(1, HOLDING_LEASED, "2001:db8::1", 100), a);
	leases_set_ending(&leases, a, V4, true);
	assert_int_equal(leases_next(&leases), a);
	leases_set_ending(&leases, a, V6, true);
	assert_int_equal(leases_next(&leases), LEASE_NONE);
	leases_set_ending(&leases, a, V6, false);
	assert_int_equal(leases_next(&leases), a);
	/* It is remembered, and no longer ending: nothing of it expires. */
	hold(1, HOLDING_PAST, "10.0.0.1", 100);
	hold(1, HOLDING_PAST, "2001:db8::1", 100);
	assert_int_equal(leases_next(&leases), LEASE_NONE);
}

static void what_is_remembered_goes_to_the_next_holder(void **state)
{
	uint32_t a = hold(1, HOLDING_PAST, "10.0.0.1", 100), b;
	struct cidr ip = cidr("10.0.0.1");

	(void)state;
	hold(1, HOLDING_LEASED, "2001:db8::1", 100);
	b = hold(2, HOLDING_LEASED, "10.0.0.1", 200);
	assert_int_equal(leases_owner(&leases, &ip), b);
	assert_int_equal(leases.list[a].holding[V4], HOLDING_NONE);
	assert_int_equal(leases.list[a].holding[V6], HOLDING_LEASED);
	/* With nothing left, its place is the next one's. */
	hold(3, HOLDING_LEASED, "2001:db8::1", 100);
	assert_int_equal(leases_find(&leases, key_of(1)), LEASE_NONE);
	assert_int_equal(hold(4, HOLDING_LEASED, "10.0.0.4", 100), a);
	assert_int_equal(leases.list[a].holding[V6], HOLDING_NONE);
	assert_int_equal(leases.list[a].flags, 0);
}

static void the_oldest_is_remembered_first(void **state)
{
	uint32_t a = hold(1, HOLDING_PAST, "10.0.0.1", 300);
	uint32_t b = hold(2, HOLDING_PAST, "10.0.0.2", 100);
	uint32_t c = hold(3, HOLDING_PAST, "10.0.0.3", 200);

	(void)state;
	/* In the order in which they came; after sorting, in that in which they ended. */
	assert_int_equal(leases.oldest[V4], a);
	assert_true(leases_sort_past(&leases));
	assert_int_equal(leases.oldest[V4], b);
	assert_int_equal(leases.list[b].newer[V4], c);
	assert_int_equal(leases.list[c].newer[V4], a);
	assert_int_equal(leases.newest[V4], a);
	assert_int_equal(leases.oldest[V6], LEASE_NONE);
	/* Held again, and ended again: the newest. */
	hold(2, HOLDING_LEASED, "10.0.0.2", 400);
	assert_int_equal(leases.oldest[V4], c);
	hold(2, HOLDING_PAST, "10.0.0.2", 400);
	assert_int_equal(leases.newest[V4], b);
	/* One of no pool can't be given to anybody. */
	hold(4, HOLDING_PAST, "192.0.2.1", 50);
	assert_int_equal(leases.newest[V4], b);
}

static void room_in_advance(void **state)
{
	uint32_t index = hold(1, HOLDING_LEASED, "10.0.0.1", 100);
	struct cidr ip = cidr("10.0.0.1");
	const struct lease *list;
	uint8_t key[KEY_LEN] = { 0 };

	(void)state;
	assert_true(leases_reserve(&leases, 10000));
	list = leases.list;
	assert_int_equal(leases_find(&leases, key_of(1)), index);
	assert_int_equal(leases_owner(&leases, &ip), index);
	ip = cidr("fd00::");
	for (uint32_t i = 0; i < 9999; ++i) {
		memcpy(key, &i, sizeof(i));
		memcpy(ip.ip + 8, &i, sizeof(i));
		leases_set(&leases, leases_make(&leases, key), HOLDING_LEASED, &ip);
		leases_expire_at(&leases, leases_find(&leases, key), 10000 - i);
	}
	assert_ptr_equal(leases.list, list);
	assert_int_equal(leases.live, 10000);
	/* And on: by itself. */
	hold(2, HOLDING_LEASED, "10.0.0.2", 50);
	for (uint32_t i = 0; i < 9999; ++i) {
		memcpy(key, &i, sizeof(i));
		memcpy(ip.ip + 8, &i, sizeof(i));
		assert_int_equal(leases_owner(&leases, &ip), leases_find(&leases, key));
	}
	assert_int_equal(leases.list[leases_next(&leases)].expires, 2);
}

/* A device with one peer, say, after which others come. */
static void room_for_one_and_for_more(void **state)
{
	uint8_t key[KEY_LEN] = { 0 };

	(void)state;
	assert_true(leases_reserve(&leases, 1));
	for (uint8_t i = 0; i < 40; ++i) {
		key[0] = i;
		assert_int_equal(leases_make(&leases, key), i);
		assert_true(leases.count <= leases.room);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_table, close_table)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(siphash_vectors),
		TEST(an_empty_table),
		TEST(room_for_one_and_for_more),
		TEST(ends_in_order),
		TEST(a_renewal_moves_the_end),
		TEST(one_family_ending_still_expires),
		TEST(what_is_remembered_goes_to_the_next_holder),
		TEST(the_oldest_is_remembered_first),
		TEST(room_in_advance),
		TEST(random_operations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
