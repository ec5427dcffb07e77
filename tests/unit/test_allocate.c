// SPDX-License-Identifier: MIT
/*
 * Who gets which address: the rules of the protocol's section 4, one by one.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <cmocka.h>

#include "allocate.h"
#include "fake_reading.h"

enum { LEASE_TIME = 3600 };

static struct pools pools;
static struct leases leases;
static struct reading reading;
static struct policy policy;
static struct book book = {
	.leases = &leases,
	.pools = &pools,
	.policy = &policy,
	.reading = &reading,
};
static const uint8_t secret[16] = "a secret of ours";
static struct decision d;

static const struct request any = {
	.command = COMMAND_REQUEST_IP,
	.wish = { WISH_ANY, WISH_ANY },
};
static const struct request any4 = {
	.command = COMMAND_REQUEST_IP,
	.listed = true,
	.wish = { WISH_ANY, WISH_NONE },
};
static const struct request any6 = {
	.command = COMMAND_REQUEST_IP,
	.listed = true,
	.wish = { WISH_NONE, WISH_ANY },
};

/* --- a world --- */

static int clear(void **state)
{
	(void)state;
	leases_close(&leases);
	for (uint32_t i = 0; i < pools.count; ++i)
		free(pools.list[i].used);
	reading_unmap(&reading);
	policy_unmap(&policy);
	free(book.changes.list);
	free(book.changes.buckets);
	memset(&book.changes, 0, sizeof(book.changes));
	memset(&leases, 0, sizeof(leases));
	memset(&pools, 0, sizeof(pools));
	return 0;
}

static void device(const char *text)
{
	reading_unmap(&reading);
	reading = fake_reading(text);
}

/* Pools with commas between, and a device as fake_reading() takes it. */
static void world(const char *pool_list, const char *text)
{
	size_t len;

	clear(NULL);
	for (; *pool_list; pool_list += len + (pool_list[len] == ',')) {
		len = strcspn(pool_list, ",");
		assert_null(pools_add(&pools, pool_list, len));
	}
	assert_true(pools_allocate(&pools));
	leases_open(&leases, &pools, secret);
	book.reading_stamp = 0;
	book.lease_time = LEASE_TIME;
	device(text);
}

static uint32_t peer(char name)
{
	uint32_t index = reading_peer(&reading, fake_key(name));

	assert_true(index != DEVICE_NOBODY);
	return index;
}

/* What is decided leaves everything as it was. */
static enum status ask(char name, const struct request *request)
{
	uint32_t count = leases.count, live = leases.live;

	decide(&book, peer(name), leases_find(&leases, fake_key(name)), request, &d);
	assert_int_equal(leases.count, count);
	assert_int_equal(leases.live, live);
	return d.status;
}

static enum status ask_this(char name, const char *text)
{
	struct cidr ip = fake_cidr(text);
	struct request request = { .command = COMMAND_REQUEST_IP, .listed = true };

	request.wish[family_index(ip.family)] = WISH_THIS;
	request.ip[family_index(ip.family)] = ip;
	return ask(name, &request);
}

static struct lease *has(char name, enum holding holding, const char *text)
{
	struct cidr ip = fake_cidr(text);
	uint32_t index = leases_make(&leases, fake_key(name));

	leases_set(&leases, index, holding, &ip);
	return &leases.list[index];
}

/* Asks for both families, and makes it good as the server does. */
static enum status lease(char name, const struct request *request)
{
	enum status status = ask(name, request);
	char text[CIDR_STRLEN];

	for (int v = V4; v < FAMILIES; ++v) {
		if (d.granted[v])
			has(name, d.holding[v], cidr_format(text, &d.ip[v]));
	}
	return status;
}

static void ends(char name)
{
	uint32_t index = leases_find(&leases, fake_key(name));
	struct cidr ip;

	for (int v = V4; v < FAMILIES; ++v) {
		if (lease_ip(&leases.list[index], v, &ip))
			leases_set(&leases, index, HOLDING_PAST, &ip);
	}
}

static void assert_granted(int v, const char *text)
{
	char buf[CIDR_STRLEN];

	assert_true(d.granted[v]);
	assert_string_equal(cidr_format_ip(buf, &d.ip[v]), text);
	assert_true(cidr_is_host(&d.ip[v]));
}

/* A refusal of everything changes nothing. */
static void assert_refused(void)
{
	static const struct decision refusal = { .status = STATUS_UNAVAILABLE };

	assert_memory_equal(&d, &refusal, sizeof(refusal));
}

/* --- a free choice --- */

static void everybody_gets_another_one(void **state)
{
	bool seen[8] = { false };

	(void)state;
	world("192.0.2.0/29,2001:db8::/64", "A; B; C; D; E; F; G;");
	for (char name = 'A'; name <= 'F'; ++name) {
		assert_int_equal(lease(name, &any), STATUS_OK);
		assert_true(d.granted[V4]);
		assert_true(d.granted[V6]);
		assert_true(d.new_address);
		assert_false(d.ends[V4]);
		assert_false(d.ends[V6]);
		assert_int_equal(d.holding[V4], HOLDING_LEASED);
		assert_int_equal(d.holding[V6], HOLDING_LEASED);
		assert_int_equal(d.lease_time, LEASE_TIME);
		assert_true(cidr_contains(&pools.list[0].net, &d.ip[V4]));
		assert_true(cidr_contains(&pools.list[1].net, &d.ip[V6]));
		/* Neither the network's nor the broadcast address. */
		assert_in_range(d.ip[V4].ip[3], 1, 6);
		assert_false(seen[d.ip[V4].ip[3]]);
		seen[d.ip[V4].ip[3]] = true;
	}
	/* The seventh: none of IPv4 is left. */
	assert_int_equal(ask('G', &any), STATUS_UNAVAILABLE);
	assert_false(d.granted[V4]);
	assert_true(d.granted[V6]);
	assert_int_equal(ask('G', &any4), STATUS_UNAVAILABLE);
	assert_refused();
	/* Those who have one keep it. */
	for (char name = 'A'; name <= 'F'; ++name) {
		assert_int_equal(ask(name, &any), STATUS_OK);
		assert_false(d.new_address);
	}
}

static void a_renewal_keeps_the_address(void **state)
{
	struct cidr ip[FAMILIES];

	(void)state;
	world("192.0.2.0/24,2001:db8::/64", "A; B;");
	assert_int_equal(lease('A', &any), STATUS_OK);
	memcpy(ip, d.ip, sizeof(ip));
	/* It is in its allowed-ips now; it is not a reservation for that. */
	leases.list[0].order = 1;
	for (book.reading_stamp = 0; book.reading_stamp < 3; ++book.reading_stamp) {
		char text[2 * CIDR_STRLEN + 16], one[CIDR_STRLEN], two[CIDR_STRLEN];

		sprintf(text, "A %s %s; B;", cidr_format(one, &ip[V4]), cidr_format(two, &ip[V6]));
		device(text);
		assert_int_equal(lease('A', &any), STATUS_OK);
		assert_memory_equal(d.ip, ip, sizeof(ip));
		assert_false(d.new_address);
		assert_false(d.ends[V4] || d.ends[V6]);
		assert_int_equal(d.holding[V4], HOLDING_LEASED);
		assert_int_equal(d.holding[V6], HOLDING_LEASED);
	}
	/* Asked for by name, it is the same. */
	assert_int_equal(ask_this('A', cidr_format_ip((char[CIDR_STRLEN]){ 0 }, &ip[V4])),
			 STATUS_OK);
	assert_memory_equal(&d.ip[V4], &ip[V4], sizeof(*ip));
	assert_false(d.new_address);
	assert_false(d.ends[V4]);
}

static void the_same_after_expiry(void **state)
{
	struct cidr ip[FAMILIES];

	(void)state;
	world("192.0.2.0/29,2001:db8::/125", "A; B; C; D; E; F;");
	assert_int_equal(lease('A', &any), STATUS_OK);
	memcpy(ip, d.ip, sizeof(ip));
	ends('A');
	/* Others come meanwhile; there is enough for all. */
	for (char name = 'B'; name <= 'F'; ++name) {
		assert_int_equal(lease(name, &any), STATUS_OK);
		assert_memory_not_equal(&d.ip[V4], &ip[V4], sizeof(*ip));
		assert_memory_not_equal(&d.ip[V6], &ip[V6], sizeof(*ip));
	}
	assert_int_equal(lease('A', &any), STATUS_OK);
	assert_memory_equal(d.ip, ip, sizeof(ip));
	assert_true(d.new_address);
	assert_false(d.ends[V4] || d.ends[V6]);
}

static void the_hash_is_keyed_and_stable(void **state)
{
	const uint8_t other[16] = "another secret";
	struct cidr ip[FAMILIES], first;

	(void)state;
	world("10.0.0.0/8,2001:db8::/32", "A; B;");
	assert_int_equal(ask('A', &any), STATUS_OK);
	memcpy(ip, d.ip, sizeof(ip));
	/* In another table of the same secret, with other peers. */
	world("10.0.0.0/8,2001:db8::/32", "A; B; C; Z fe80::/10;");
	assert_int_equal(lease('B', &any), STATUS_OK);
	assert_memory_not_equal(&d.ip[V4], &ip[V4], sizeof(*ip));
	assert_int_equal(ask('A', &any), STATUS_OK);
	assert_memory_equal(d.ip, ip, sizeof(ip));
	/* Nobody can tell it without the secret. */
	memcpy(leases.secret, other, sizeof(other));
	leases_close(&leases);
	leases_open(&leases, &pools, other);
	assert_int_equal(ask('A', &any), STATUS_OK);
	first = d.ip[V4];
	assert_memory_not_equal(&first, &ip[V4], sizeof(first));
	assert_memory_not_equal(&d.ip[V6], &ip[V6], sizeof(first));
}

static void the_next_one_if_that_is_not_free(void **state)
{
	static const char *const lists[] = { "10.0.0.0/8", "2001:db8::/64" };

	(void)state;
	for (int v = V4; v < FAMILIES; ++v) {
		int last = v == V4 ? 3 : 15;
		char text[CIDR_STRLEN];
		struct cidr ip;

		for (enum holding holding = HOLDING_PAST; holding <= HOLDING_RESERVED; ++holding) {
			world(lists[v], "A; B;");
			assert_int_equal(ask('A', &any), STATUS_OK);
			ip = d.ip[v];
			assert_in_range(ip.ip[last], 1, 254); /* as the secret has it */
			has('B', holding, cidr_format(text, &ip));
			assert_int_equal(ask('A', &any), STATUS_OK);
			++ip.ip[last];
			assert_memory_equal(&d.ip[v], &ip, sizeof(ip));
		}
	}
}

static void blocks_of_others_are_stepped_over(void **state)
{
	static const char *const lists[] = { "10.0.0.0/8", "2001:db8::/64" };

	(void)state;
	for (int v = V4; v < FAMILIES; ++v) {
		int last = v == V4 ? 3 : 15;
		char text[2 * CIDR_STRLEN], one[CIDR_STRLEN];
		struct cidr ip;

		world(lists[v], "A; B;");
		assert_int_equal(ask('A', &any), STATUS_OK);
		ip = d.ip[v];
		assert_int_not_equal(ip.ip[last - 1], 255); /* as the secret has it */
		ip.prefix -= 8;
		sprintf(text, "A; B %s;", cidr_format(one, &ip));
		device(text);
		assert_int_equal(ask('A', &any), STATUS_OK);
		/* The first behind it. */
		ip.prefix += 8;
		ip.ip[last] = 0;
		++ip.ip[last - 1];
		assert_memory_equal(&d.ip[v], &ip, sizeof(ip));
		/* Inside its own it is free to it. */
		sprintf(text, "A %s; B;", one);
		device(text);
		assert_int_equal(ask('A', &any), STATUS_OK);
		assert_memory_not_equal(&d.ip[v], &ip, sizeof(ip));
	}
	/* Half of a large pool, and all of it in two halves. */
	world("2001:db8::/32", "A; B 2001:db8::/33;");
	assert_int_equal(ask('A', &any), STATUS_UNAVAILABLE);
	world("2001:db8::/64", "A; B 2001:db8::/65;");
	assert_int_equal(ask('A', &any), STATUS_OK);
	assert_true(d.ip[V6].ip[8] & 0x80);
	device("A; B 2001:db8::/65; C 2001:db8:0:0:8000::/65;");
	assert_int_equal(ask('A', &any), STATUS_UNAVAILABLE);
	world("10.0.0.0/8", "A; B 10.0.0.0/9; C 10.128.0.0/9;");
	assert_int_equal(ask('A', &any), STATUS_UNAVAILABLE);
	assert_refused();
}

static void never_one_that_is_somebody_elses(void **state)
{
	(void)state;
	/* Own addresses, another's /32, another's /31 (.4 and .5); left are .3 and .6. */
	world("192.0.2.0/29", "A; B; C; D 192.0.2.2/32; E 192.0.2.4/31; * 192.0.2.1 fe80::;");
	for (char name = 'A'; name <= 'B'; ++name) {
		assert_int_equal(lease(name, &any), STATUS_OK);
		assert_true(d.ip[V4].ip[3] == 3 || d.ip[V4].ip[3] == 6);
	}
	assert_int_equal(ask('C', &any), STATUS_UNAVAILABLE);
	assert_refused();
	/* Those peers get their own. */
	assert_int_equal(ask('D', &any), STATUS_OK);
	assert_granted(V4, "192.0.2.2");
	assert_int_equal(ask('E', &any), STATUS_OK);
	assert_true(d.ip[V4].ip[3] == 4 || d.ip[V4].ip[3] == 5);
	/* Likewise of IPv6: the anycast address, two of the host, another's /126. */
	world("2001:db8::/125", "A; B; C; D 2001:db8::4/126; * 2001:db8::1 2001:db8::2;");
	assert_int_equal(lease('A', &any), STATUS_OK);
	assert_granted(V6, "2001:db8::3");
	assert_int_equal(ask('B', &any), STATUS_UNAVAILABLE);
}

static void what_contains_the_whole_pool_does_not_count(void **state)
{
	static const char *const devices[] = {
		"A; B 0.0.0.0/0 ::/0;", "A; B 192.0.2.0/24 2001:db8::/64;",
		"A; B 192.0.0.0/16 2001:db8::/32;", "A; B 0.0.0.0/0; C ::/0 192.0.2.0/24;",
		"A 0.0.0.0/0 ::/0; B;",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(devices) / sizeof(*devices); ++i) {
		world("192.0.2.0/24,2001:db8::/64", devices[i]);
		assert_int_equal(ask('A', &any), STATUS_OK);
		assert_true(d.granted[V4] && d.granted[V6]);
		assert_int_equal(ask('B', &any), STATUS_OK);
		assert_int_equal(d.holding[V4], HOLDING_LEASED);
	}
	/* One bit longer, it does. */
	world("192.0.2.0/24", "A; B 192.0.2.0/25;");
	for (int i = 1; i < 255; ++i) {
		char text[CIDR_STRLEN];

		sprintf(text, "192.0.2.%d", i);
		assert_int_equal(ask_this('A', text), i < 128 ? STATUS_UNAVAILABLE : STATUS_OK);
		assert_int_equal(ask_this('B', text), STATUS_OK);
	}
	/* Another's /32 is never given away, even where that is the pool. */
	world("192.0.2.7/32", "A; B 192.0.2.7/32;");
	assert_int_equal(ask('A', &any), STATUS_UNAVAILABLE);
	assert_int_equal(ask('B', &any), STATUS_OK);
}

static void several_pools(void **state)
{
	(void)state;
	world("192.0.2.4/32,2001:db8::1/128,192.0.2.8/31,198.51.100.0/30", "A; B; C; D; E; F;");
	for (char name = 'A'; name <= 'E'; ++name) {
		assert_int_equal(lease(name, &any4), STATUS_OK);
		assert_non_null(pools_find(&pools, &d.ip[V4]));
		assert_false(d.granted[V6]);
	}
	for (uint32_t i = 0; i < pools.count; ++i) {
		const struct pool *pool = &pools.list[i];

		assert_int_equal(pool->leased,
				 pool->net.family == AF_INET ? pool_size(&pools, pool) : 0);
	}
	assert_int_equal(ask('F', &any4), STATUS_UNAVAILABLE);
}

/* --- reservations --- */

static void the_lowest_reservation(void **state)
{
	(void)state;
	world("192.0.2.0/24,2001:db8::/64",
	      "A 192.0.2.77/32 192.0.2.9/32 198.51.100.1/32 10.0.0.1/32 2001:db8::9/128"
	      " 2001:db8::10/128 fe80::a; B;");
	assert_int_equal(lease('A', &any), STATUS_OK);
	assert_granted(V4, "192.0.2.9");
	assert_granted(V6, "2001:db8::9");
	assert_int_equal(d.holding[V4], HOLDING_RESERVED);
	assert_int_equal(d.holding[V6], HOLDING_RESERVED);
	/* Held, it stays one, as long as it is there: else we put it in, and take it out. */
	leases.list[leases_find(&leases, fake_key('A'))].flags |= LEASE_IN_DEVICE << V4;
	assert_int_equal(ask('A', &any), STATUS_OK);
	assert_int_equal(d.holding[V4], HOLDING_RESERVED);
	assert_int_equal(d.holding[V6], HOLDING_LEASED);
	assert_false(d.new_address);
	assert_false(d.unsure);
	/* And so after it has ended. */
	ends('A');
	assert_int_equal(ask('A', &any), STATUS_OK);
	assert_granted(V4, "192.0.2.9");
	assert_int_equal(d.holding[V4], HOLDING_RESERVED);
	/* The other one may be asked for. */
	assert_int_equal(ask_this('A', "192.0.2.77"), STATUS_OK);
	assert_int_equal(d.holding[V4], HOLDING_RESERVED);
	/* No other peer may have them. */
	assert_int_equal(ask_this('B', "192.0.2.9"), STATUS_UNAVAILABLE);
	assert_int_equal(ask_this('B', "192.0.2.77"), STATUS_UNAVAILABLE);
}

static void what_no_reservation_can_be(void **state)
{
	(void)state;
	/* The network's own address, one of the host, a network. */
	world("192.0.2.0/24", "A 192.0.2.0/32 192.0.2.1/32 192.0.2.16/28 192.0.2.200/32; *"
			      " 192.0.2.1;");
	assert_int_equal(ask('A', &any), STATUS_OK);
	assert_granted(V4, "192.0.2.200");
	/* One that another peer holds by a lease. */
	world("192.0.2.0/24", "A 192.0.2.5/32 192.0.2.6/32; B;");
	has('B', HOLDING_LEASED, "192.0.2.5");
	assert_int_equal(ask('A', &any), STATUS_OK);
	assert_granted(V4, "192.0.2.6");
	/* But not one that another only remembers. */
	has('B', HOLDING_PAST, "192.0.2.5");
	assert_int_equal(ask('A', &any), STATUS_OK);
	assert_granted(V4, "192.0.2.5");
}

static void changed(char name, const char *text, bool taken, uint32_t stamp)
{
	struct device_change change = { .ip = fake_cidr(text) };

	memcpy(change.key, fake_key(name), KEY_LEN);
	assert_true(changes_reserve(&book.changes, 1));
	changes_note(&book.changes, &change, taken, stamp);
}

static void what_it_holds_comes_before_a_reservation_but_not_what_it_had(void **state)
{
	(void)state;
	world("192.0.2.0/24", "A 192.0.2.9/32;");
	has('A', HOLDING_LEASED, "192.0.2.50");
	assert_int_equal(ask('A', &any), STATUS_OK);
	assert_granted(V4, "192.0.2.50");
	has('A', HOLDING_PAST, "192.0.2.50");
	assert_int_equal(ask('A', &any), STATUS_OK);
	assert_granted(V4, "192.0.2.9");
	assert_int_equal(d.holding[V4], HOLDING_RESERVED);
	/* Also when that has just been taken out; but not what was taken out itself. */
	book.reading_stamp = 4;
	has('A', HOLDING_PAST, "192.0.2.50")->order = 5;
	changed('A', "192.0.2.50", true, 5);
	assert_int_equal(ask('A', &any), STATUS_OK);
	assert_granted(V4, "192.0.2.9");
	changed('A', "192.0.2.9", true, 5);
	assert_int_equal(ask('A', &any), STATUS_OK);
	assert_granted(V4, "192.0.2.50");
	book.reading_stamp = 5;
	assert_int_equal(ask('A', &any), STATUS_OK);
	assert_granted(V4, "192.0.2.9");
}

/* --- the last resort --- */

static void the_one_that_ended_longest_ago(void **state)
{
	(void)state;
	world("192.0.2.0/29", "A; B; C; D; E; F; G;");
	for (char name = 'A'; name <= 'F'; ++name)
		assert_int_equal(lease(name, &any), STATUS_OK);
	ends('C');
	ends('A');
	ends('E');
	/* Free ones come first: there is one, again. */
	leases_forget(&leases, leases_find(&leases, fake_key('F')), V4);
	assert_int_equal(ask('G', &any), STATUS_OK);
	assert_int_equal(leases_owner(&leases, &d.ip[V4]), LEASE_NONE);
	lease('F', &any);
	/* Now the order in which they ended. */
	assert_int_equal(ask('G', &any), STATUS_OK);
	assert_int_equal(leases_owner(&leases, &d.ip[V4]), leases_find(&leases, fake_key('C')));
	/* One that can't be had is passed over. */
	{
		char text[2 * CIDR_STRLEN], one[CIDR_STRLEN];

		sprintf(text, "A; B %s; C; D; E; F; G;", cidr_format(one, &d.ip[V4]));
		device(text);
	}
	assert_int_equal(lease('G', &any), STATUS_OK);
	assert_true(d.new_address);
	assert_int_equal(leases_find(&leases, fake_key('A')), LEASE_NONE);
	/* Who lost what it remembered gets the next; and then there is nothing left. */
	device("A; B; C; D; E; F; G; H; I;");
	assert_int_equal(lease('A', &any), STATUS_OK);
	assert_int_equal(leases_find(&leases, fake_key('C')), LEASE_NONE);
	assert_int_equal(lease('H', &any), STATUS_OK);
	assert_int_equal(leases_find(&leases, fake_key('E')), LEASE_NONE);
	assert_int_equal(ask('I', &any), STATUS_UNAVAILABLE);
	assert_refused();
}

/* --- this very address --- */

static void a_wish_that_can_be_had(void **state)
{
	(void)state;
	world("192.0.2.0/24,2001:db8::/64", "A; B; C;");
	assert_int_equal(ask_this('A', "192.0.2.50"), STATUS_OK);
	assert_granted(V4, "192.0.2.50");
	assert_true(d.new_address);
	assert_int_equal(d.holding[V4], HOLDING_LEASED);
	/* One that another remembers is free. */
	has('B', HOLDING_PAST, "192.0.2.50");
	assert_int_equal(ask_this('A', "192.0.2.50"), STATUS_OK);
	/* What it held in that family is given up. */
	has('A', HOLDING_LEASED, "192.0.2.60");
	has('A', HOLDING_LEASED, "2001:db8::60");
	assert_int_equal(ask_this('A', "192.0.2.50"), STATUS_OK);
	assert_granted(V4, "192.0.2.50");
	assert_true(d.ends[V4]);
	assert_true(d.ends[V6]); /* not listed */
	assert_true(d.new_address);
	assert_int_equal(ask_this('A', "2001:db8::ffff"), STATUS_OK);
	assert_granted(V6, "2001:db8::ffff");
}

static void a_wish_that_can_not_be_had(void **state)
{
	static const char *const bad[] = {
		"192.0.2.7", /* held by another */
		"192.0.2.8", /* reserved for another */
		"192.0.2.65", /* inside another's network */
		"192.0.2.1", /* the host's own */
		"192.0.2.0", "192.0.2.255", /* network, broadcast */
		"192.0.3.1", "10.0.0.1", "127.0.0.1", "224.0.0.1", /* in no pool */
		"2001:db8::", /* anycast */
		"2001:db8::1", "2001:db8:0:1::1", "fe80::1", "ff02::1", "::1",
	};

	(void)state;
	world("192.0.2.0/24,2001:db8::/64",
	      "A; B 192.0.2.8/32 192.0.2.64/26; * 192.0.2.1 2001:db8::1;");
	has('B', HOLDING_LEASED, "192.0.2.7");
	for (int holds = 0; holds < 2; ++holds) {
		for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); ++i) {
			if (ask_this('A', bad[i]) != STATUS_UNAVAILABLE)
				fail_msg("%s is granted", bad[i]);
			assert_refused();
		}
		/* What it holds, it keeps; so it is neither listed as granted nor as ended. */
		has('A', HOLDING_LEASED, "192.0.2.50");
		has('A', HOLDING_LEASED, "2001:db8::50");
	}
}

static void one_wish_of_two(void **state)
{
	struct request request = {
		.command = COMMAND_REQUEST_IP,
		.listed = true,
		.wish = { WISH_THIS, WISH_ANY },
		.ip[V4] = fake_cidr("192.0.2.7"),
	};

	(void)state;
	world("192.0.2.0/24,2001:db8::/64", "A; B;");
	has('B', HOLDING_LEASED, "192.0.2.7");
	assert_int_equal(ask('A', &request), STATUS_UNAVAILABLE);
	assert_false(d.granted[V4]);
	assert_true(d.granted[V6]);
	assert_int_equal(d.lease_time, LEASE_TIME);
	/* With something held: it is kept. */
	has('A', HOLDING_LEASED, "192.0.2.50");
	assert_int_equal(ask('A', &request), STATUS_UNAVAILABLE);
	assert_false(d.granted[V4]);
	assert_false(d.ends[V4]);
	assert_true(d.granted[V6]);
	/* The other way round. */
	request.wish[V4] = WISH_ANY;
	request.wish[V6] = WISH_THIS;
	request.ip[V6] = fake_cidr("2001:db9::1");
	assert_int_equal(ask('A', &request), STATUS_UNAVAILABLE);
	assert_granted(V4, "192.0.2.50");
	assert_false(d.granted[V6]);
	/* Both can be had. */
	request.ip[V6] = fake_cidr("2001:db8::5");
	assert_int_equal(ask('A', &request), STATUS_OK);
	assert_granted(V6, "2001:db8::5");
	assert_true(d.new_address);
	assert_false(d.ends[V4]);
}

static void families_that_are_not_listed(void **state)
{
	(void)state;
	world("192.0.2.0/24,2001:db8::/64", "A; B;");
	has('A', HOLDING_LEASED, "192.0.2.50");
	has('A', HOLDING_RESERVED, "2001:db8::50");
	assert_int_equal(ask('A', &any4), STATUS_OK);
	assert_granted(V4, "192.0.2.50");
	assert_false(d.granted[V6]);
	assert_false(d.ends[V4]);
	assert_true(d.ends[V6]);
	assert_false(d.new_address);
	assert_int_equal(ask('A', &any6), STATUS_OK);
	assert_true(d.ends[V4]);
	assert_false(d.ends[V6]);
	/* What is only remembered needs no end. */
	has('A', HOLDING_PAST, "192.0.2.50");
	assert_int_equal(ask('A', &any6), STATUS_OK);
	assert_false(d.ends[V4]);
	assert_int_equal(ask('B', &any6), STATUS_OK);
	assert_false(d.granted[V4]);
	assert_false(d.ends[V4]);
}

static void families_that_have_no_pool(void **state)
{
	const struct request both = {
		.command = COMMAND_REQUEST_IP,
		.listed = true,
		.wish = { WISH_ANY, WISH_ANY },
	};

	(void)state;
	world("192.0.2.0/24", "A;");
	assert_int_equal(ask('A', &any), STATUS_OK);
	assert_true(d.granted[V4]);
	assert_false(d.granted[V6]);
	/* By name it is a refusal. */
	assert_int_equal(ask('A', &both), STATUS_UNAVAILABLE);
	assert_true(d.granted[V4]);
	assert_int_equal(ask('A', &any6), STATUS_UNAVAILABLE);
	assert_refused();
	world("", "A;");
	assert_int_equal(ask('A', &any), STATUS_UNAVAILABLE);
	assert_refused();
}

static void lease_times(void **state)
{
	static const struct {
		uint32_t server, wish, given;
	} cases[] = {
		{ 3600, 0, 3600 }, { 3600, 1, 3600 }, { 3600, 9, 3600 }, { 3600, 10, 10 },
		{ 3600, 11, 11 }, { 3600, 3599, 3599 }, { 3600, 3600, 3600 }, { 3600, 3601, 3600 },
		{ 3600, UINT32_MAX, 3600 }, { 31536000, 31536000, 31536000 },
		{ 31536000, 31536001, 31536000 }, { 5, 0, 5 }, { 5, 4, 5 }, { 5, 5, 5 },
		{ 5, 10, 5 },
		{ 1, 10, 1 }, { 10, 10, 10 },
	};
	struct request request = any;

	(void)state;
	world("192.0.2.0/24", "A;");
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); ++i) {
		book.lease_time = cases[i].server;
		request.lease_time = cases[i].wish;
		assert_int_equal(ask('A', &request), STATUS_OK);
		assert_int_equal(d.lease_time, cases[i].given);
	}
}

static void pools_that_are_no_more(void **state)
{
	(void)state;
	world("192.0.2.0/24,2001:db8::/64", "A 203.0.113.5/32;");
	has('A', HOLDING_LEASED, "203.0.113.5");
	has('A', HOLDING_LEASED, "2001:db8::5");
	/* Not renewed: another takes its place. */
	assert_int_equal(ask('A', &any), STATUS_OK);
	assert_true(cidr_contains(&pools.list[0].net, &d.ip[V4]));
	assert_true(d.ends[V4]);
	assert_true(d.new_address);
	assert_granted(V6, "2001:db8::5");
	assert_int_equal(ask_this('A', "203.0.113.5"), STATUS_UNAVAILABLE);
	/* Where nothing can take its place, it runs out; */
	world("2001:db8::/64", "A 203.0.113.5/32;");
	has('A', HOLDING_LEASED, "203.0.113.5");
	assert_int_equal(ask('A', &any4), STATUS_UNAVAILABLE);
	assert_false(d.granted[V4] || d.granted[V6] || d.ends[V4] || d.ends[V6]);
	/* but the other family's renewal must not prolong it. */
	assert_int_equal(ask('A', &any), STATUS_UNAVAILABLE);
	assert_false(d.granted[V4]);
	assert_true(d.ends[V4]);
	assert_true(d.granted[V6]);
	assert_false(d.ends[V6]);
	/* Nor is it given again after it has ended. */
	has('A', HOLDING_PAST, "203.0.113.5");
	assert_int_equal(ask('A', &any), STATUS_OK);
	assert_false(d.granted[V4]);
}

/* --- a reading that is older than what we did --- */

static void what_is_later(void **state)
{
	static const struct {
		uint32_t order, stamp;
		bool later;
	} cases[] = {
		{ 0, 0, false }, { 0, 5, false }, { 0, UINT32_MAX, false }, { 1, 0, true },
		{ 5, 4, true }, { 5, 5, false }, { 5, 6, false },
		/* around the end */
		{ 1, UINT32_MAX, true }, { UINT32_MAX, 1, false }, { 100, UINT32_MAX - 100, true },
		{ UINT32_MAX - 100, 100, false }, { UINT32_MAX, UINT32_MAX - 1, true },
		{ UINT32_MAX, UINT32_MAX, false },
	};

	(void)state;
	world("192.0.2.0/24", "A;");
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); ++i) {
		book.reading_stamp = cases[i].stamp;
		assert_int_equal(order_is_later(&book, cases[i].order), cases[i].later);
	}
}

static void taken_back_since_the_reading(void **state)
{
	static const uint32_t stamps[] = { 4, UINT32_MAX };

	(void)state;
	for (int i = 0; i < 2; ++i) {
		/* The reading still shows what B's lease had put there. */
		world("192.0.2.0/29", "A; B 192.0.2.3/32;");
		book.reading_stamp = stamps[i];
		has('B', HOLDING_PAST, "192.0.2.3");
		changed('B', "192.0.2.3", true, stamps[i] == 4 ? 5 : 1);
		assert_int_equal(ask_this('A', "192.0.2.3"), STATUS_OK);
		/* B may have it again, and it's no reservation. */
		assert_int_equal(ask('B', &any), STATUS_OK);
		assert_granted(V4, "192.0.2.3");
		assert_int_equal(d.holding[V4], HOLDING_LEASED);
		assert_false(d.unsure);
		/* Seen after that, it is the administrator's. */
		book.reading_stamp = 5;
		assert_int_equal(ask_this('A', "192.0.2.3"), STATUS_UNAVAILABLE);
		assert_int_equal(ask('B', &any), STATUS_OK);
		assert_granted(V4, "192.0.2.3");
		assert_int_equal(d.holding[V4], HOLDING_RESERVED);
		assert_false(d.unsure);
	}
	/* Nor is it somebody else's whom we took it from, when the reading has B there. */
	world("192.0.2.0/29", "A; B 192.0.2.3/32; C;");
	book.reading_stamp = 4;
	changed('C', "192.0.2.3", true, 5);
	assert_int_equal(ask_this('A', "192.0.2.3"), STATUS_UNAVAILABLE);
	assert_int_equal(ask_this('B', "192.0.2.3"), STATUS_OK);
	assert_true(d.unsure);
	/* Only the very address was: another's network around it stays. */
	device("A; B 192.0.2.3/32; C 192.0.2.2/31;");
	changed('B', "192.0.2.3", true, 6);
	assert_int_equal(ask_this('A', "192.0.2.3"), STATUS_UNAVAILABLE);
}

static void taken_back_but_the_hosts_own_by_now(void **state)
{
	(void)state;
	world("192.0.2.0/29", "A; B 192.0.2.3/32; * 192.0.2.3;");
	changed('B', "192.0.2.3", true, 5);
	book.reading_stamp = 4;
	assert_int_equal(ask_this('A', "192.0.2.3"), STATUS_UNAVAILABLE);
	assert_int_equal(ask_this('B', "192.0.2.3"), STATUS_UNAVAILABLE);
}

/* Of what was given and taken since, no lease may tell any more: all have other addresses. */
static void passed_on_since_the_reading(void **state)
{
	(void)state;
	world("192.0.2.0/29", "A 192.0.2.3/32; B; C;");
	book.reading_stamp = 4;
	changed('A', "192.0.2.3", true, 5);
	assert_int_equal(ask_this('C', "192.0.2.3"), STATUS_OK);
	assert_int_equal(ask_this('A', "192.0.2.3"), STATUS_OK);
	assert_int_equal(d.holding[V4], HOLDING_LEASED);
	assert_false(d.unsure);
	changed('B', "192.0.2.3", false, 6);
	assert_int_equal(ask_this('B', "192.0.2.3"), STATUS_OK);
	assert_false(d.unsure);
	/* Had the administrator moved it from B to A, that would look the same. */
	changed('B', "192.0.2.3", true, 7);
	assert_int_equal(ask_this('C', "192.0.2.3"), STATUS_UNAVAILABLE);
	assert_int_equal(ask_this('A', "192.0.2.3"), STATUS_OK);
	assert_true(d.unsure);
	/* Seen after that, it is the administrator's. */
	book.reading_stamp = 7;
	changes_forget(&book.changes, 7);
	assert_null(changes_of(&book.changes, &d.ip[V4]));
	assert_int_equal(ask_this('C', "192.0.2.3"), STATUS_UNAVAILABLE);
	assert_int_equal(ask_this('A', "192.0.2.3"), STATUS_OK);
	assert_int_equal(d.holding[V4], HOLDING_RESERVED);
	assert_false(d.unsure);
}

static void who_else_covers_it(void **state)
{
	const struct device_ip *holder;
	struct cidr ip;

	(void)state;
	world("192.0.2.0/24,2001:db8::/64",
	      "A 192.0.2.0/26; B 192.0.2.0/25 192.0.2.3/32 ::/0; C 192.0.0.0/16; * 192.0.2.200;");
	ip = fake_cidr("192.0.2.3");
	holder = foreign_holder(&book, peer('A'), &ip);
	assert_int_equal(holder->peer, peer('B'));
	assert_int_equal(holder->cidr.prefix, 32);
	/* The most specific of the others. */
	holder = foreign_holder(&book, peer('B'), &ip);
	assert_int_equal(holder->peer, peer('A'));
	assert_int_equal(holder->cidr.prefix, 26);
	ip = fake_cidr("192.0.2.100");
	assert_int_equal(foreign_holder(&book, peer('A'), &ip)->cidr.prefix, 25);
	assert_null(foreign_holder(&book, peer('B'), &ip));
	ip = fake_cidr("192.0.2.199");
	assert_null(foreign_holder(&book, peer('A'), &ip));
	ip = fake_cidr("192.0.2.200");
	assert_int_equal(foreign_holder(&book, peer('A'), &ip)->peer, DEVICE_SELF);
	ip = fake_cidr("2001:db8::5");
	assert_null(foreign_holder(&book, peer('A'), &ip));
	/* Of an address of no pool, everything counts but 0/0. */
	ip = fake_cidr("192.0.77.1");
	assert_int_equal(foreign_holder(&book, peer('A'), &ip)->peer, peer('C'));
	ip = fake_cidr("2001:db9::1");
	assert_null(foreign_holder(&book, peer('A'), &ip));
}

/* B is to get .2 when its .1 has ended: until then nobody else may have .2, and B may. */
static void a_claim_stands_for_its_peer_alone(void **state)
{
	struct claim claim = { .ip = fake_cidr("192.0.2.2") };

	(void)state;
	world("192.0.2.0/30", "A; B; C;");
	has('B', HOLDING_LEASED, "192.0.2.1");
	memcpy(claim.key, fake_key('B'), KEY_LEN);
	book.claims = &claim;
	book.claim_count = 1;
	assert_int_equal(ask_this('A', "192.0.2.2"), STATUS_UNAVAILABLE);
	assert_int_equal(ask('A', &any4), STATUS_UNAVAILABLE);
	assert_int_equal(ask_this('B', "192.0.2.2"), STATUS_OK);
	/* Also when what it had has gone to another, and it has no lease any more. */
	leases_forget(&leases, leases_find(&leases, fake_key('B')), V4);
	assert_int_equal(leases_find(&leases, fake_key('B')), LEASE_NONE);
	assert_int_equal(ask_this('B', "192.0.2.2"), STATUS_OK);
	book.claim_count = 0;
	assert_int_equal(ask('A', &any4), STATUS_OK);
	assert_false(cidr_compare(&d.ip[V4], &claim.ip));
}

/* A large pool has no bitmap: there the search itself must pass over what is claimed. */
static void a_claim_stands_in_a_large_pool(void **state)
{
	struct claim claim = { .key = { 12 } };

	(void)state;
	world("2001:db8::/64", "A;");
	assert_int_equal(ask('A', &any6), STATUS_OK);
	claim.ip = d.ip[V6];
	book.claims = &claim;
	book.claim_count = 1;
	assert_int_equal(ask('A', &any6), STATUS_OK);
	book.claim_count = 0;
	assert_true(cidr_compare(&d.ip[V6], &claim.ip));
}

/* A reservation that was given back is still one, also before the next reading. */
static void a_reservation_stays_one(void **state)
{
	(void)state;
	world("192.0.2.0/24", "A 192.0.2.9/32;");
	has('A', HOLDING_PAST, "192.0.2.9")->order = book.reading_stamp + 1;
	assert_int_equal(ask('A', &any4), STATUS_OK);
	assert_int_equal(d.holding[V4], HOLDING_RESERVED);
	assert_false(d.unsure);
	changed('A', "192.0.2.9", true, book.reading_stamp + 1);
	assert_int_equal(ask('A', &any4), STATUS_OK);
	assert_int_equal(d.holding[V4], HOLDING_LEASED);
}

/* --- what the settings say --- */

static void reserved_by_the_file(void **state)
{
	(void)state;
	/* Of .1 to .6, B may have two and nobody else any of these. */
	world("192.0.2.0/29", "A; B; C; D; E; F;");
	policy = fake_policy("B 192.0.2.5 192.0.2.3;");
	assert_int_equal(ask_this('A', "192.0.2.3"), STATUS_UNAVAILABLE);
	for (char name = 'C'; name <= 'F'; ++name) {
		assert_int_equal(lease(name, &any4), STATUS_OK);
		assert_true(d.ip[V4].ip[3] != 3 && d.ip[V4].ip[3] != 5);
	}
	assert_int_equal(ask('A', &any4), STATUS_UNAVAILABLE);
	assert_refused();
	assert_int_equal(ask_this('B', "192.0.2.5"), STATUS_OK);
	assert_int_equal(lease('B', &any4), STATUS_OK);
	assert_granted(V4, "192.0.2.3");
	/* It is not in the device, and not to stay there. */
	assert_int_equal(d.holding[V4], HOLDING_LEASED);
	ends('B');
	/* When it has ended, and is the one unused for longest, it is still nobody else's. */
	assert_int_equal(ask('A', &any4), STATUS_UNAVAILABLE);
	assert_int_equal(ask('B', &any4), STATUS_OK);
	assert_granted(V4, "192.0.2.3");
}

static void reserved_by_the_file_while_another_has_it(void **state)
{
	struct lease *a;

	(void)state;
	world("192.0.2.0/29", "A 192.0.2.3/32; B;");
	a = has('A', HOLDING_LEASED, "192.0.2.3");
	assert_true(lease_grantable(&book, a, V4));
	policy = fake_policy("B 192.0.2.3;");
	assert_false(lease_grantable(&book, a, V4));
	assert_true(lease_grantable(&book, a, V6));
	/* B gets it by and by; A, which renews, something else. */
	assert_int_equal(ask('B', &any4), STATUS_OK);
	assert_true(d.ip[V4].ip[3] != 3);
	assert_int_equal(ask('A', &any4), STATUS_OK);
	assert_true(d.ends[V4] && d.ip[V4].ip[3] != 3);
	assert_int_equal(ask_this('A', "192.0.2.3"), STATUS_UNAVAILABLE);
}

static void the_lowest_of_device_and_file(void **state)
{
	(void)state;
	world("192.0.2.0/24,2001:db8::/64", "A 192.0.2.9/32 2001:db8::2/128 192.0.2.3/32; B;");
	policy = fake_policy("A 192.0.2.7 2001:db8::9;");
	assert_int_equal(ask('A', &any), STATUS_OK);
	assert_granted(V4, "192.0.2.3");
	assert_granted(V6, "2001:db8::2");
	assert_int_equal(d.holding[V4], HOLDING_RESERVED);
	policy_unmap(&policy);
	policy = fake_policy("A 192.0.2.2 2001:db8::1;");
	assert_int_equal(ask('A', &any), STATUS_OK);
	assert_granted(V4, "192.0.2.2");
	assert_granted(V6, "2001:db8::1");
	assert_int_equal(d.holding[V6], HOLDING_LEASED);
}

static void exclude(const char *text)
{
	assert_null(pools_exclude(&pools, text, strlen(text)));
}

static void excluded_addresses(void **state)
{
	(void)state;
	world("192.0.2.0/28,2001:db8::/64", "A 192.0.2.4/32; B; C; D;");
	exclude("192.0.2.4/30");
	exclude("192.0.2.8/29");
	exclude("2001:db8::/65");
	/* Not even to whom it is reserved. */
	assert_int_equal(ask_this('A', "192.0.2.4"), STATUS_UNAVAILABLE);
	for (char name = 'A'; name <= 'C'; ++name) {
		assert_int_equal(lease(name, &any), STATUS_OK);
		assert_true(d.ip[V4].ip[3] <= 3);
		assert_true(d.ip[V6].ip[8] & 0x80);
	}
	assert_int_equal(ask('D', &any4), STATUS_UNAVAILABLE);
	exclude("2001:db8::/64");
	assert_int_equal(ask('D', &any6), STATUS_UNAVAILABLE);
}

static void excluded_while_somebody_has_them(void **state)
{
	(void)state;
	world("192.0.2.0/29", "A 192.0.2.3/32; B;");
	assert_true(lease_grantable(&book, has('A', HOLDING_LEASED, "192.0.2.3"), V4));
	exclude("192.0.2.3");
	assert_false(lease_grantable(&book, &leases.list[0], V4));
	assert_int_equal(ask('A', &any4), STATUS_OK);
	assert_true(d.ends[V4] && d.ip[V4].ip[3] != 3);
}

static void other_pools(void **state)
{
	struct pools others = { 0 };

	(void)state;
	world("192.0.2.0/30,198.51.100.0/29", "A; B; C; D;");
	has('A', HOLDING_LEASED, "192.0.2.1");
	has('B', HOLDING_LEASED, "198.51.100.1");
	has('C', HOLDING_PAST, "198.51.100.2");
	has('D', HOLDING_PAST, "192.0.2.2");
	assert_null(pools_add(&others, "198.51.100.0/30", 15));
	assert_null(pools_add(&others, "203.0.113.4/32", 14));
	assert_true(pools_replace(&pools, &others));
	assert_true(leases_refill(&leases));
	assert_int_equal(pools.list[0].leased, 1);
	assert_int_equal(pools.list[1].leased, 0);
	/* Who has an address of a pool that is there still, has it still, or again. */
	assert_int_equal(ask('B', &any4), STATUS_OK);
	assert_granted(V4, "198.51.100.1");
	assert_false(d.ends[V4]);
	assert_int_equal(ask('C', &any4), STATUS_OK);
	assert_granted(V4, "198.51.100.2");
	/* All else goes where there is room, and at last to what is only remembered. */
	assert_int_equal(lease('A', &any4), STATUS_OK);
	assert_granted(V4, "203.0.113.4");
	assert_int_equal(lease('D', &any4), STATUS_OK);
	assert_granted(V4, "198.51.100.2");
	assert_int_equal(ask('C', &any4), STATUS_UNAVAILABLE);
	assert_int_equal(pools.list[0].leased, 2);
	/* And back again. */
	memset(&others, 0, sizeof(others));
	assert_null(pools_add(&others, "192.0.2.0/30", 12));
	assert_true(pools_replace(&pools, &others));
	assert_true(leases_refill(&leases));
	assert_int_equal(pools.list[0].leased, 0);
	assert_int_equal(lease('B', &any4), STATUS_OK);
	assert_int_equal(lease('C', &any4), STATUS_OK);
	assert_int_equal(ask('A', &any4), STATUS_UNAVAILABLE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, clear)
	const struct CMUnitTest tests[] = {
		TEST(everybody_gets_another_one),
		TEST(a_renewal_keeps_the_address),
		TEST(the_same_after_expiry),
		TEST(the_hash_is_keyed_and_stable),
		TEST(the_next_one_if_that_is_not_free),
		TEST(blocks_of_others_are_stepped_over),
		TEST(never_one_that_is_somebody_elses),
		TEST(what_contains_the_whole_pool_does_not_count),
		TEST(several_pools),
		TEST(the_lowest_reservation),
		TEST(what_no_reservation_can_be),
		TEST(what_it_holds_comes_before_a_reservation_but_not_what_it_had),
		TEST(the_one_that_ended_longest_ago),
		TEST(a_wish_that_can_be_had),
		TEST(a_wish_that_can_not_be_had),
		TEST(one_wish_of_two),
		TEST(families_that_are_not_listed),
		TEST(families_that_have_no_pool),
		TEST(lease_times),
		TEST(pools_that_are_no_more),
		TEST(what_is_later),
		TEST(taken_back_since_the_reading),
		TEST(taken_back_but_the_hosts_own_by_now),
		TEST(passed_on_since_the_reading),
		TEST(who_else_covers_it),
		TEST(a_claim_stands_for_its_peer_alone),
		TEST(a_claim_stands_in_a_large_pool),
		TEST(a_reservation_stays_one),
		TEST(reserved_by_the_file),
		TEST(reserved_by_the_file_while_another_has_it),
		TEST(the_lowest_of_device_and_file),
		TEST(excluded_addresses),
		TEST(excluded_while_somebody_has_them),
		TEST(other_pools),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
