// SPDX-License-Identifier: MIT
/*
 * Whom new settings concern, and how they are called: in virtual time, by a sendto() of our own.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "engine.h"
#include "sealed.h"

enum { PEERS = 10000, BEGIN = 1000000, STEP = 10 };

static struct server server;
static struct device_head head;
static struct device_peer peers[PEERS];
static struct device_ip ips[PEERS];
static struct settings settings;

/* What has been sent, to each peer. */
static struct {
	uint32_t count;
	uint64_t at[CALLS + 1];
} sent[PEERS];
static uint64_t now;
static uint32_t sent_now, sent_most, room;

ssize_t sendto(int fd, const void *bytes, size_t len, int flags, const struct sockaddr *address,
	       socklen_t address_len)
{
	const struct sockaddr_in6 *to = (const struct sockaddr_in6 *)address;
	uint32_t i;

	assert_int_equal(fd, 77);
	assert_int_equal(len, 8);
	assert_memory_equal(bytes, "call=1\n\n", 8);
	assert_true(flags & MSG_NOSIGNAL);
	assert_int_equal(address_len, sizeof(*to));
	assert_int_equal(to->sin6_family, AF_INET6);
	assert_int_equal(ntohs(to->sin6_port), 970);
	assert_int_equal(to->sin6_scope_id, 9);
	if (!room--) {
		room = 0;
		errno = EAGAIN;
		return -1;
	}
	i = to->sin6_addr.s6_addr[14] << 8 | to->sin6_addr.s6_addr[15];
	assert_true(i < PEERS && sent[i].count < CALLS);
	sent[i].at[sent[i].count++] = now;
	if (++sent_now > sent_most)
		sent_most = sent_now;
	return len;
}

static void key_of(uint8_t key[static KEY_LEN], uint32_t i)
{
	memset(key, 0, KEY_LEN);
	key[0] = i >> 8;
	key[1] = i;
}

/* What the words say, given to the engine as its monitor does. */
static void tell(const char *const *words)
{
	struct server_settings message = { .head.type = SERVER_SETTINGS };
	char error[SETTINGS_ERROR];
	size_t count = 0;
	int fd;

	while (words[count])
		++count;
	if (!settings_words(&settings, words, count, error))
		fail_msg("%s", error);
	message.pools = settings.pools.count;
	message.head.count = message.pools + settings.pools.excludes;
	for (uint32_t i = 0; i < settings.pools.excludes; ++i)
		message.nets[message.pools + i] = settings.pools.exclude[i];
	for (uint32_t i = 0; i < settings.pools.count; ++i)
		message.nets[i] = settings.pools.list[i].net;
	message.lease_time = settings.lease_time;
	fd = policy_make(&settings);
	assert_true(fd >= 0);
	assert_true(settings_came(&server, &message, fd));
	close(fd);
}

/* So many peers with a link-local, and a lease each that wants this. */
static void world(uint32_t count, uint8_t want)
{
	static const char *const words[] = {
		"pool", "10.0.0.0/16", "route", "10.1.0.0/16", "dns", "192.0.2.1", NULL,
	};
	struct cidr ip = { AF_INET, 32, { 10, 0 } };
	uint32_t index;
	int fd;

	memset(&server, 0, sizeof(server));
	memset(sent, 0, sizeof(sent));
	server.calls.fd = 77;
	server.journal.fd = server.fresh.fd = server.old = -1;
	server.ifindex = 9;
	server.sweep = LEASE_NONE;
	server.book = (struct book){
		.leases = &server.leases,
		.pools = &server.pools,
		.policy = &server.policy,
		.reading = &server.reading,
	};
	leases_open(&server.leases, &server.pools, server.secret);
	settings_open(&settings);
	tell(words);
	head.peers = head.ips = count;
	for (uint32_t i = 0; i < count; ++i) {
		key_of(peers[i].key, i);
		peers[i].first = i;
		peers[i].count = 1;
		peers[i].handshake = 100;
		ips[i] = (struct device_ip){ .cidr = { AF_INET6, 128, { 0xfe, 0x80 } }, .peer = i };
		ips[i].cidr.ip[14] = i >> 8;
		ips[i].cidr.ip[15] = i;
		index = leases_make(&server.leases, peers[i].key);
		assert_int_equal(index, i);
		ip.ip[2] = (i + 1) >> 8;
		ip.ip[3] = i + 1;
		leases_set(&server.leases, i, HOLDING_LEASED, &ip);
		server.leases.list[i].want = want;
	}
	fd = sealed_open("reading");
	assert_int_equal(reading_write(fd, &head, peers, ips), 0);
	assert_int_equal(reading_map(&server.reading, fd), 0);
	close(fd);
	server.reading.peers = peers; /* which the tests change */
	server.reading.ips = ips;
	now = BEGIN;
	room = UINT32_MAX;
}

static int clear(void **state)
{
	(void)state;
	leases_close(&server.leases);
	for (uint32_t i = 0; i < server.pools.count; ++i)
		free(server.pools.list[i].used);
	policy_unmap(&server.policy);
	reading_unmap(&server.reading);
	free(server.calls.leases);
	journal_close(&server.journal);
	settings_close(&settings);
	memset(&server, 0, sizeof(server));
	return 0;
}

/* A reload with the reading that it waits for; then so much time goes by. */
static void reload(void)
{
	server.reload_at = now;
	server.reading_began = now;
}

static void pass(uint64_t ms)
{
	uint64_t end = now + ms, at = now;

	sent_most = 0;
	for (; now <= end; now += STEP) {
		if (at > now)
			continue;
		sent_now = 0;
		at = calls_turn(&server, now);
	}
}

static uint32_t all_sent(void)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < PEERS; ++i)
		sum += sent[i].count;
	assert_int_equal(sum, server.counters.calls);
	return sum;
}

static const char *const other_route[] = { "route", "10.2.0.0/16", NULL };

/* --- tests --- */

static void ten_thousand(void **state)
{
	(void)state;
	world(PEERS, WANT_CALL | WANT_ROUTE);
	tell(other_route);
	reload();
	pass(10000);
	for (uint32_t i = 0; i < PEERS; ++i) {
		assert_int_equal(sent[i].count, CALLS);
		assert_true(sent[i].at[0] <= BEGIN + 2050);
		for (int j = 1; j < CALLS; ++j)
			assert_in_range(sent[i].at[j] - sent[i].at[j - 1], 950, 1100);
	}
	/* Never more than the slices of two rounds that go side by side. */
	assert_true(sent_most <= 3 * 10000 / 2000 * 50);
	assert_int_equal(server.counters.reloads[false], 1);
	assert_true(calls_turn(&server, now) == NEVER);
	assert_null(server.calls.leases);
}

static void who_comes_is_not_called_again(void **state)
{
	struct session session = { .server = &server, .request.want = WANT_CALL | WANT_ROUTE };

	(void)state;
	world(20, WANT_CALL | WANT_ROUTE);
	tell(other_route);
	reload();
	pass(500);
	assert_int_equal(all_sent(), 20);
	calls_came(&session, 7);
	assert_int_equal(session.response.options->route[0].ip[1], 2);
	leases_forget(&server.leases, 9, V4);
	pass(5000);
	assert_int_equal(sent[7].count, 1);
	assert_int_equal(sent[9].count, 1);
	assert_int_equal(sent[8].count, 3);
	/* Another reload, with nothing new: those that have not come are called once more. */
	memset(sent, 0, sizeof(sent));
	server.counters.calls = 0;
	reload();
	pass(500);
	assert_int_equal(all_sent(), 18);
	assert_int_equal(sent[7].count, 0);
}

static void whom_it_concerns(void **state)
{
	static const char *const mtu[] = { "mtu", "1300", NULL };
	static const char *const both[] = { "pool", "10.0.0.0/16,2001:db8::/64", NULL };
	static const char *const half[] = { "pool", "10.0.0.0/28,2001:db8::/64", NULL };
	static const char *const time[] = { "lease-time", "60", NULL };

	(void)state;
	world(40, WANT_CALL | WANT_ROUTE);
	server.leases.list[1].want = WANT_ROUTE;
	server.leases.list[2].want = WANT_CALL;
	server.leases.list[3].want = WANT_CALL | WANT_DNS | WANT_MTU;
	peers[4].handshake = UINT32_MAX;
	peers[5].handshake = 179;
	peers[6].handshake = 180;
	ips[7].cidr.prefix = 64;
	tell(time);
	reload();
	pass(100);
	assert_int_equal(all_sent(), 0);
	tell(mtu);
	reload();
	pass(100);
	assert_int_equal(all_sent(), 1);
	assert_int_equal(sent[3].count, 1);
	tell(other_route);
	reload();
	pass(100);
	/* All but 1, 2, who want nothing of it, 4 and 6, who sleep, and 7, who can't be reached. */
	assert_int_equal(sent[5].count, 1);
	assert_int_equal(sent[1].count + sent[2].count + sent[4].count + sent[6].count +
			 sent[7].count, 0);
	assert_int_equal(all_sent(), 1 + 1 + 34);
	/* A family that there was not; an address that is in no pool any more. */
	for (uint32_t i = 0; i < 40; ++i)
		server.leases.list[i].flags &= ~LEASE_CALL;
	tell(half);
	assert_true(server.leases.list[2].flags & LEASE_CALL);
	assert_false(server.leases.list[1].flags & LEASE_CALL);
	for (uint32_t i = 0; i < 40; ++i)
		server.leases.list[i].flags &= ~LEASE_CALL;
	tell(half);
	assert_false(server.leases.list[2].flags & LEASE_CALL);
	/* Of 10.0.0.0/28: those up to 10.0.0.15 may stay. */
	assert_true(server.leases.list[15].flags & LEASE_CALL);
	assert_false(server.leases.list[13].flags & LEASE_CALL);
	tell(both);
}

static void when_the_socket_is_full(void **state)
{
	(void)state;
	world(1000, WANT_CALL | WANT_ROUTE);
	tell(other_route);
	reload();
	room = 10;
	pass(300);
	assert_int_equal(all_sent(), 10);
	room = UINT32_MAX;
	pass(6000);
	assert_int_equal(all_sent(), 3000);
}

static void done_when_all_is_put_back(void **state)
{
	struct batch batch = { .orders.order = 5 };

	(void)state;
	world(10, WANT_CALL | WANT_ROUTE);
	tell(other_route);
	server.order = 5;
	server.batches = &batch;
	reload();
	server.reading_began = now - 1;
	pass(100);
	server.reading_began = now;
	server.sweep = 3;
	pass(100);
	server.sweep = LEASE_NONE;
	/* Nor has it looked at all peers before it has looked at their link-locals. */
	server.batches = NULL;
	server.link_locals.passing = true;
	pass(100);
	server.link_locals.passing = false;
	server.batches = &batch;
	pass(100);
	assert_int_equal(server.counters.reloads[false], 0);
	assert_int_equal(all_sent(), 0);
	/* What is ordered afterwards does not count. */
	server.order = 6;
	batch.orders.order = 6;
	server.reload_refused = true;
	pass(100);
	assert_int_equal(server.counters.reloads[true], 1);
	assert_int_equal(all_sent(), 10);
	pass(100);
	assert_int_equal(server.counters.reloads[true], 1);
}

/* The real clock's, as calls_start() takes it. */
static void started(void)
{
	now = server.reading_began = now_ms();
	calls_start(&server);
}

static void other_settings_than_before_the_start(void **state)
{
	(void)state;
	world(20, WANT_CALL | WANT_ROUTE);
	server.leases.list[1].want = WANT_ROUTE;
	leases_set(&server.leases, 2, HOLDING_PAST,
		   &(struct cidr){ AF_INET, 32, { 10, 0, 0, 3 } });
	peers[3].handshake = UINT32_MAX;
	/* A journal that says nothing of them; then the same; then others. */
	started();
	assert_true(server.served_known && server.served == server.digest);
	pass(3000);
	started();
	pass(3000);
	assert_int_equal(all_sent(), 0);
	tell((const char *const[]){ "lease-time", "60", "link-locals", "auto", NULL });
	assert_true(server.served == server.digest);
	server.served ^= 1;
	started();
	assert_true(server.served == server.digest);
	pass(6000);
	assert_int_equal(all_sent(), 17 * CALLS);
	assert_int_equal(sent[1].count + sent[2].count + sent[3].count, 0);
	/* One that has slept is called once it is awake, and nobody else again. */
	server.reading_began = now = now_ms();
	calls_reading(&server);
	pass(6000);
	assert_int_equal(all_sent(), 17 * CALLS);
	peers[3].handshake = 1;
	server.reading_began = now = now_ms();
	calls_reading(&server);
	pass(6000);
	calls_reading(&server);
	pass(6000);
	assert_int_equal(sent[3].count, CALLS);
	assert_int_equal(all_sent(), 18 * CALLS);
}

static void what_makes_a_digest(void **state)
{
	static const char *const others[][3] = {
		{ "route", "10.2.0.0/16" }, { "dns", "192.0.2.2" }, { "search", "a.example" },
		{ "mtu", "1300" }, { "pool", "10.0.0.0/17" }, { "exclude", "10.0.0.9" },
	};
	uint64_t before;

	(void)state;
	world(1, 0);
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); ++i) {
		before = server.digest;
		tell(others[i]);
		assert_true(server.digest != before);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(name, clear)
		TEST(ten_thousand),
		TEST(who_comes_is_not_called_again),
		TEST(whom_it_concerns),
		TEST(when_the_socket_is_full),
		TEST(done_when_all_is_put_back),
		TEST(other_settings_than_before_the_start),
		TEST(what_makes_a_digest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
