// SPDX-License-Identifier: MIT
/*
 * The monitor's judgement: each order that an engine in somebody else's hands could send, and each
 * that ours does send.
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
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>
#include <cmocka.h>

#include "fake_reading.h"
#include "guard.h"
#include "journal.h"
#include "sealed.h"

static struct guard guard;
static const uint8_t secret[16] = "a secret of ours";

static int clear(void **state)
{
	(void)state;
	reading_unmap(&guard.reading);
	free(guard.changes.list);
	free(guard.changes.buckets);
	free(guard.retired);
	memset(&guard, 0, sizeof(guard));
	return 0;
}

static void adopt(const char *text, uint32_t stamp)
{
	struct reading reading = fake_reading(text);

	guard_adopt(&guard, &reading, stamp);
}

static void world(const char *text)
{
	clear(NULL);
	hash_open(&guard.changes.hash, secret);
	assert_null(pools_add(&guard.pools, "192.0.2.0/24", 12));
	assert_null(pools_add(&guard.pools, "2001:db8::/64", 13));
	assert_null(pools_add(&guard.pools, "198.51.100.6/31", 15));
	adopt(text, 0);
}

static struct device_change change(char name, const char *text)
{
	struct device_change c = { .ip = fake_cidr(text) };

	memcpy(c.key, fake_key(name), KEY_LEN);
	return c;
}

static int allow(char name, const char *text)
{
	const struct device_change c = change(name, text);

	return guard_allow(&guard, &c);
}

static int take(char name, const char *text)
{
	const struct device_change c = change(name, text);

	return guard_take(&guard, &c);
}

static void note_change(const struct device_change *c, bool taken, uint32_t stamp)
{
	assert_true(changes_reserve(&guard.changes, 1));
	changes_note(&guard.changes, c, taken, stamp);
}

static void note(char name, const char *text, bool taken, uint32_t stamp)
{
	const struct device_change c = change(name, text);

	note_change(&c, taken, stamp);
}

#define PEERS "A fe80::a; B fe80::b 192.0.2.8/32 192.0.2.64/26 2001:db8::8/125 192.0.2.0/32;" \
	      " C fe80::c 0.0.0.0/0 ::/0 192.0.2.0/24; * 192.0.2.1 2001:db8::1 fe80::;"

/* --- link-locals --- */

#define OF_A "fe80::4141:4141:4141:4141"
#define OF_B "fe80::4242:4242:4242:4242"

static void derived_link_locals(void **state)
{
	struct device_change zeros = { .ip = fake_cidr("fe80::") };

	(void)state;
	world("A 192.0.2.9/32; B " OF_B " fe80::b; C ::/0 fe80::/64;");
	assert_int_equal(allow('A', OF_A), EPERM);
	guard.link_locals = true;
	assert_int_equal(allow('A', OF_A), 0);
	assert_int_equal(allow('B', OF_B), 0);
	assert_int_equal(allow('X', "fe80::5858:5858:5858:5858"), ESRCH);
	/* Another's, anything else, and fe80:: itself. */
	assert_int_equal(allow('A', OF_B), EINVAL);
	assert_int_equal(allow('A', "fe80::a"), EINVAL);
	assert_int_equal(allow('A', OF_A "/127"), EINVAL);
	assert_int_equal(guard_allow(&guard, &zeros), EINVAL);
	/* None is taken back while they are given. */
	assert_int_equal(take('B', OF_B), EPERM);
	guard.link_locals = false;
	assert_int_equal(take('A', OF_A), EALREADY);
	/* Nor one that was never given. */
	assert_int_equal(take('B', OF_B), EPERM);
	assert_int_equal(take('B', "fe80::b"), EINVAL);
	assert_int_equal(take('B', OF_A), EINVAL);
	assert_int_equal(guard_take(&guard, &zeros), EINVAL);
	/* One that somebody else has, or has got since. */
	guard.link_locals = true;
	world("A 192.0.2.9/32; B " OF_A ";");
	guard.link_locals = true;
	assert_int_equal(allow('A', OF_A), EADDRINUSE);
	note('B', OF_A, true, 1);
	assert_int_equal(allow('A', OF_A), 0);
	world("A 192.0.2.9/32; * " OF_A ";");
	guard.link_locals = true;
	assert_int_equal(allow('A', OF_A), EADDRINUSE);
	note('A', OF_A, false, 2);
	assert_int_equal(allow('A', OF_A), 0);
}

/* Another peer, by a key that begins with the same bytes, does not take what one has got since. */
static void keys_that_begin_alike(void **state)
{
	struct device_head head = { .peers = 2 };
	struct reading reading = { 0 };
	struct device_change twin;
	struct device_peer peers[2];
	int fd = sealed_open("reading");

	(void)state;
	world("A; B;");
	guard.link_locals = true;
	memcpy(peers, guard.reading.peers, sizeof(peers));
	memset(peers[1].key, 'A', 8);
	assert_int_equal(reading_write(fd, &head, peers, NULL), 0);
	assert_int_equal(reading_map(&reading, fd), 0);
	close(fd);
	guard_adopt(&guard, &reading, 0);
	twin = change('B', OF_A);
	memset(twin.key, 'A', 8);
	assert_int_equal(guard_allow(&guard, &twin), 0);
	note('A', OF_A, false, 1);
	assert_int_equal(guard_allow(&guard, &twin), EADDRINUSE);
	twin.ip = fake_cidr("192.0.2.2");
	note('A', "192.0.2.2", false, 1);
	assert_int_equal(guard_allow(&guard, &twin), EADDRINUSE);
	assert_int_equal(guard_take(&guard, &twin), EALREADY);
}

/* --- adding --- */

static void allows_what_may_be(void **state)
{
	static const char *const good[] = {
		"192.0.2.2", "192.0.2.7", "192.0.2.9", "192.0.2.63", "192.0.2.128", "192.0.2.254",
		"2001:db8::2", "2001:db8::7", "2001:db8::10", "2001:db8::ffff:ffff:ffff:ffff",
		"198.51.100.6", "198.51.100.7",
	};

	(void)state;
	world(PEERS);
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); ++i) {
		if (allow('A', good[i]))
			fail_msg("%s: %s", good[i], strerror(allow('A', good[i])));
	}
	/* What a peer has already, and what is inside its own. */
	assert_int_equal(allow('B', "192.0.2.8"), 0);
	assert_int_equal(allow('B', "192.0.2.65"), 0);
	assert_int_equal(allow('B', "2001:db8::9"), 0);
	assert_int_equal(allow('C', "192.0.2.2"), 0);
}

static void refuses_what_may_not_be(void **state)
{
	static const struct {
		char name;
		const char *text;
		int error;
	} bad[] = {
		/* no such peer */
		{ 'X', "192.0.2.2", ESRCH },
		{ 'X', "2001:db8::2", ESRCH },
		/* in no pool */
		{ 'A', "192.0.3.1", EPERM },
		{ 'A', "192.0.1.255", EPERM },
		{ 'A', "8.8.8.8", EPERM },
		{ 'A', "198.51.100.5", EPERM },
		{ 'A', "2001:db8:0:1::1", EPERM },
		{ 'A', "2001:4860:4860::8888", EPERM },
		/* of a pool, but for no host */
		{ 'A', "192.0.2.0", EPERM },
		{ 'A', "192.0.2.255", EPERM },
		{ 'A', "2001:db8::", EPERM },
		{ 'B', "192.0.2.0", EPERM },
		/* no address at all */
		{ 'A', "0.0.0.0/0", EINVAL },
		{ 'A', "::/0", EINVAL },
		{ 'A', "192.0.2.0/24", EINVAL },
		{ 'A', "192.0.2.2/31", EINVAL },
		{ 'A', "2001:db8::/64", EINVAL },
		{ 'A', "2001:db8::2/127", EINVAL },
		{ 'A', "fe80::/10", EINVAL },
		/* addresses that nobody may have */
		{ 'A', "fe80::b", EINVAL },
		{ 'A', "fe80::1", EINVAL },
		{ 'A', "ff02::1", EINVAL },
		{ 'A', "224.0.0.1", EINVAL },
		{ 'A', "255.255.255.255", EINVAL },
		{ 'A', "127.0.0.1", EINVAL },
		{ 'A', "169.254.1.1", EINVAL },
		{ 'A', "0.0.0.0", EINVAL },
		{ 'A', "::", EINVAL },
		{ 'A', "::1", EINVAL },
		{ 'A', "::ffff:192.0.2.2", EINVAL },
		/* the host's own */
		{ 'A', "192.0.2.1", EADDRINUSE },
		{ 'A', "2001:db8::1", EADDRINUSE },
		/* another peer's, or inside that */
		{ 'A', "192.0.2.8", EADDRINUSE },
		{ 'A', "192.0.2.64", EADDRINUSE },
		{ 'A', "192.0.2.127", EADDRINUSE },
		{ 'A', "2001:db8::8", EADDRINUSE },
		{ 'A', "2001:db8::f", EADDRINUSE },
		{ 'C', "192.0.2.8", EADDRINUSE },
	};

	(void)state;
	world(PEERS);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); ++i) {
		if (allow(bad[i].name, bad[i].text) != bad[i].error)
			fail_msg("%s: %s", bad[i].text, strerror(allow(bad[i].name, bad[i].text)));
	}
}

/* Structs that no parser of ours makes. */
static void refuses_what_is_no_address(void **state)
{
	struct device_change c;

	(void)state;
	world("A; B;");
	c = change('A', "192.0.2.2");
	for (int prefix = 0; prefix < 256; ++prefix) {
		c.ip.prefix = prefix;
		assert_int_equal(guard_allow(&guard, &c), prefix == 32 ? 0 : EINVAL);
		assert_int_equal(guard_take(&guard, &c), prefix == 32 ? EALREADY : EINVAL);
	}
	c = change('A', "2001:db8::2");
	for (int prefix = 0; prefix < 256; ++prefix) {
		c.ip.prefix = prefix;
		assert_int_equal(guard_allow(&guard, &c), prefix == 128 ? 0 : EINVAL);
		assert_int_equal(guard_take(&guard, &c), prefix == 128 ? EALREADY : EINVAL);
	}
	for (int family = 0; family < 256; ++family) {
		if (family == AF_INET || family == AF_INET6)
			continue;
		for (int prefix = 0; prefix < 256; ++prefix) {
			c.ip.family = family;
			c.ip.prefix = prefix;
			assert_int_not_equal(guard_allow(&guard, &c), 0);
			assert_int_not_equal(guard_take(&guard, &c), 0);
		}
	}
	/*
	 * Bytes behind an IPv4 address: it would be another one to the table of changes, but the
	 * same one to the device.
	 */
	note('B', "192.0.2.2", false, 1);
	for (int i = 4; i < 16; ++i) {
		c = change('A', "192.0.2.2");
		assert_int_equal(guard_allow(&guard, &c), EADDRINUSE);
		c.ip.ip[i] = 1;
		assert_int_equal(guard_allow(&guard, &c), EINVAL);
		assert_int_equal(guard_take(&guard, &c), EINVAL);
	}
}

static void without_a_reading_nothing(void **state)
{
	(void)state;
	assert_null(pools_add(&guard.pools, "192.0.2.0/24", 12));
	assert_int_equal(allow('A', "192.0.2.2"), ESRCH);
	assert_int_equal(take('A', "192.0.2.2"), EALREADY);
}

/* --- taking --- */

static void takes_from_the_holder_only(void **state)
{
	(void)state;
	world("A 192.0.2.2/32 2001:db8::2/128 192.0.2.64/26 203.0.113.1/32 fe80::a;"
	      " B 192.0.2.3/32; * 192.0.2.1;");
	assert_int_equal(take('A', "192.0.2.2"), 0);
	assert_int_equal(take('A', "2001:db8::2"), 0);
	assert_int_equal(take('B', "192.0.2.3"), 0);
	/* Another has it, nobody has it, the host has it, no such peer. */
	assert_int_equal(take('A', "192.0.2.3"), EALREADY);
	assert_int_equal(take('B', "192.0.2.2"), EALREADY);
	assert_int_equal(take('A', "192.0.2.4"), EALREADY);
	assert_int_equal(take('A', "192.0.2.1"), EALREADY);
	assert_int_equal(take('X', "192.0.2.2"), EALREADY);
	/* A part of a network that it has. */
	assert_int_equal(take('A', "192.0.2.65"), EALREADY);
	/* In no pool, no address, none that we would have given. */
	assert_int_equal(take('A', "203.0.113.1"), EPERM);
	assert_int_equal(take('A', "192.0.2.64/26"), EINVAL);
	assert_int_equal(take('A', "fe80::a"), EINVAL);
	assert_int_equal(take('A', "0.0.0.0/0"), EINVAL);
}

/* --- since the reading --- */

static void what_was_added_counts(void **state)
{
	(void)state;
	world("A; B;");
	assert_int_equal(allow('B', "192.0.2.2"), 0);
	note('A', "192.0.2.2", false, 1);
	assert_int_equal(allow('B', "192.0.2.2"), EADDRINUSE);
	assert_int_equal(allow('A', "192.0.2.2"), 0);
	assert_int_equal(allow('B', "192.0.2.3"), 0);
	assert_int_equal(take('A', "192.0.2.2"), 0);
	assert_int_equal(take('B', "192.0.2.2"), EALREADY);
	/* From one to the other. */
	note('A', "192.0.2.2", true, 2);
	assert_int_equal(allow('B', "192.0.2.2"), 0);
	assert_int_equal(take('A', "192.0.2.2"), EALREADY);
	note('B', "192.0.2.2", false, 3);
	assert_int_equal(allow('A', "192.0.2.2"), EADDRINUSE);
	assert_int_equal(take('A', "192.0.2.2"), EALREADY);
	assert_int_equal(take('B', "192.0.2.2"), 0);
}

static void what_was_taken_counts(void **state)
{
	(void)state;
	world("A 192.0.2.2/32; B; C 192.0.2.64/26 192.0.2.65/32; * 192.0.2.1;");
	assert_int_equal(allow('B', "192.0.2.2"), EADDRINUSE);
	note('A', "192.0.2.2", true, 1);
	assert_int_equal(allow('B', "192.0.2.2"), 0);
	assert_int_equal(allow('A', "192.0.2.2"), 0);
	assert_int_equal(take('A', "192.0.2.2"), EALREADY);
	/* The network around it was not taken. */
	note('C', "192.0.2.65", true, 2);
	assert_int_equal(allow('B', "192.0.2.65"), EADDRINUSE);
	assert_int_equal(allow('C', "192.0.2.65"), 0);
	/* Nor is the host's own anybody's. */
	note('A', "192.0.2.1", true, 3);
	assert_int_equal(allow('A', "192.0.2.1"), EADDRINUSE);
	assert_int_equal(allow('B', "192.0.2.1"), EADDRINUSE);
}

static void the_hosts_own_behind_one_that_was_taken(void **state)
{
	(void)state;
	world("A 192.0.2.2/32; B; * 192.0.2.2;");
	assert_int_equal(allow('B', "192.0.2.2"), EADDRINUSE);
	note('A', "192.0.2.2", true, 1);
	assert_int_equal(allow('B', "192.0.2.2"), EADDRINUSE);
	assert_int_equal(allow('A', "192.0.2.2"), EADDRINUSE);
	note('B', "192.0.2.2", false, 2);
	assert_int_equal(allow('B', "192.0.2.2"), EADDRINUSE);
}

static void a_newer_reading_takes_its_place(void **state)
{
	(void)state;
	world("A; B;");
	note('A', "192.0.2.2", false, 5);
	note('A', "192.0.2.3", false, 6);
	note('A', "192.0.2.4", true, 7);
	/* Begun before 6 was done: so that is not in it. */
	adopt("A; B 192.0.2.4/32;", 5);
	assert_int_equal(guard.changes.used, 2);
	/* The first is: the reading says that A has lost it, by the administrator's hand. */
	assert_int_equal(allow('B', "192.0.2.2"), 0);
	assert_int_equal(take('A', "192.0.2.2"), EALREADY);
	assert_int_equal(allow('B', "192.0.2.3"), EADDRINUSE);
	assert_int_equal(take('A', "192.0.2.3"), 0);
	assert_int_equal(allow('A', "192.0.2.4"), 0);
	adopt("A; B 192.0.2.4/32;", 7);
	assert_int_equal(guard.changes.used, 0);
	assert_int_equal(allow('B', "192.0.2.3"), 0);
	assert_int_equal(allow('A', "192.0.2.4"), EADDRINUSE);
	/* A peer that has gone is gone, whatever was done. */
	note('B', "192.0.2.5", false, 8);
	adopt("A;", 7);
	assert_int_equal(allow('B', "192.0.2.5"), ESRCH);
	assert_int_equal(allow('A', "192.0.2.5"), EADDRINUSE);
}

static void stamps_go_around(void **state)
{
	(void)state;
	world("A; B;");
	note('A', "192.0.2.2", false, UINT32_MAX);
	note('A', "192.0.2.3", false, 1); /* 0 is never used */
	adopt("A; B;", UINT32_MAX - 1);
	assert_int_equal(guard.changes.used, 2);
	adopt("A; B;", UINT32_MAX);
	assert_int_equal(allow('B', "192.0.2.2"), 0);
	assert_int_equal(allow('B', "192.0.2.3"), EADDRINUSE);
	adopt("A; B;", 1);
	assert_int_equal(guard.changes.used, 0);
	note('A', "192.0.2.2", false, 2);
	adopt("A; B;", UINT32_MAX);
	assert_int_equal(allow('B', "192.0.2.2"), EADDRINUSE);
}

static void many_changes(void **state)
{
	struct device_change a = change('A', "2001:db8::"), b = change('B', "2001:db8::");

	(void)state;
	world("A; B;");
	for (int i = 1; i < 16000; ++i) {
		a.ip.ip[14] = i >> 8;
		a.ip.ip[15] = i;
		note_change(&a, i % 3 == 0, i);
		/* The same once more takes no more place. */
		note_change(&a, i % 3 == 0, i);
		assert_int_equal(guard.changes.used, i);
		assert_true(guard.changes.used <= guard.changes.room);
	}
	for (int stamp = 0; stamp < 16000; stamp += stamp < 15000 ? 5333 : 999) {
		adopt("A; B;", stamp);
		assert_int_equal(guard.changes.used, 15999 - stamp);
		assert_true(guard.changes.used <= guard.changes.room);
		for (int i = 1; i < 16000; ++i) {
			bool there = i > stamp && i % 3;

			b.ip.ip[14] = a.ip.ip[14] = i >> 8;
			b.ip.ip[15] = a.ip.ip[15] = i;
			assert_int_equal(guard_allow(&guard, &b), there ? EADDRINUSE : 0);
			assert_int_equal(guard_allow(&guard, &a), 0);
			assert_int_equal(guard_take(&guard, &a), there ? 0 : EALREADY);
		}
	}
	/* And it shrinks again. */
	adopt("A; B;", 15999);
	assert_int_equal(guard.changes.used, 0);
	assert_true(guard.changes.room <= 32);
}

static void room_for_changes(void **state)
{
	struct device_change a = change('A', "2001:db8::");
	const struct changed *list;

	(void)state;
	world("A;");
	note_change(&a, false, 1);
	assert_true(changes_reserve(&guard.changes, 1000));
	list = guard.changes.list;
	for (int i = 1; i <= 1000; ++i) {
		a.ip.ip[14] = i >> 8;
		a.ip.ip[15] = i;
		changes_note(&guard.changes, &a, false, i);
	}
	assert_ptr_equal(guard.changes.list, list);
	assert_int_equal(guard.changes.used, 1001);
	/* What can't be had changes nothing. */
	assert_false(changes_reserve(&guard.changes, UINT32_MAX));
	assert_ptr_equal(guard.changes.list, list);
	assert_int_equal(guard_take(&guard, &a), 0);
}

/* An engine that gives away ever more must wait for a reading; taking back it may. */
static void too_many_changes(void **state)
{
	const struct device_change mine = change('A', "2001:db8::1");
	struct device_change a = change('A', "2001:db8::");
	const int most = 16384 + 4 * 2; /* of two peers */

	(void)state;
	world("A; B;");
	for (int i = 1; i <= most; ++i) {
		assert_int_equal(allow('B', "192.0.2.2"), 0);
		a.ip.ip[14] = i >> 8;
		a.ip.ip[15] = i;
		note_change(&a, false, i);
	}
	assert_int_equal(allow('B', "192.0.2.2"), EAGAIN);
	assert_int_equal(guard_allow(&guard, &mine), EAGAIN);
	assert_int_equal(guard_take(&guard, &mine), 0);
	adopt("A; B;", 1);
	assert_int_equal(allow('B', "192.0.2.2"), 0);
}

/* --- pools that are no more --- */

static void write_lease(struct journal *journal, char name, enum holding holding, const char *text)
{
	struct journal_lease lease = { .at = 1, .left = 1000 };
	struct cidr ip = fake_cidr(text);
	int v = family_index(ip.family);

	memcpy(lease.key, fake_key(name), KEY_LEN);
	lease.holding[v] = holding;
	lease.ip[v] = ip;
	assert_true(journal_lease(journal, &lease));
}

static int races; /* readings of a journal's start yet, in which its second line is not there */

/* An engine writes to the journal while it is read: of some bytes the reader sees what was before. */
ssize_t pread(int fd, void *buf, size_t len, off_t offset)
{
	const struct iovec all = { buf, len };
	ssize_t got = preadv(fd, &all, 1, offset);
	char *line = got > 0 && !offset ? memchr(buf, '\n', got) : NULL;

	if (line && races) {
		--races;
		for (++line; *line != '\n'; ++line)
			*line = ' ';
	}
	return got;
}

static void a_journal_that_is_written_to(void **state)
{
	const struct cidr once = fake_cidr("203.0.113.0/24");
	struct journal journal = { .fd = memfd_create("journal", 0) };

	(void)state;
	world("A; B;");
	assert_true(journal_header(&journal, "wg0", secret));
	write_lease(&journal, 'A', HOLDING_LEASED, "203.0.113.5");
	assert_int_equal(journal_write(&journal), 0);
	assert_int_equal(journal_sync(&journal), 0);
	write_lease(&journal, 'B', HOLDING_LEASED, "203.0.113.7");
	assert_int_equal(journal_write(&journal), 0);
	assert_true(served_add(&guard.served, &once));
	races = 2;
	assert_int_equal(guard_retired(&guard, journal.fd), 0);
	assert_int_equal(races, 0);
	assert_int_equal(guard.retired_count, 2);
	assert_int_equal(allow('A', "203.0.113.5"), 0);
	/* What is so each time is damage. */
	races = 1000;
	assert_int_equal(guard_retired(&guard, journal.fd), -EILSEQ);
	assert_in_range(races, 900, 999);
	races = 0;
	journal_close(&journal);
}

static void leases_of_retired_pools(void **state)
{
	const struct cidr once[] = { fake_cidr("203.0.113.0/24"), fake_cidr("2001:db8:77::/64"),
				     fake_cidr("169.254.0.0/16"), fake_cidr("198.51.100.0/24") };
	struct journal journal = { .fd = memfd_create("journal", 0) };

	(void)state;
	world("A 203.0.113.5/32; B; C 203.0.113.9/32; D 203.0.113.128/25; E; F; G; H; I;"
	      " * 203.0.113.1;");
	/* An empty journal retires nothing. */
	assert_int_equal(guard_retired(&guard, journal.fd), 0);
	assert_int_equal(guard.retired_count, 0);
	assert_int_equal(allow('A', "203.0.113.5"), EPERM);

	assert_true(journal_header(&journal, "wg0", secret));
	write_lease(&journal, 'B', HOLDING_LEASED, "203.0.113.7");
	write_lease(&journal, 'A', HOLDING_LEASED, "203.0.113.5");
	write_lease(&journal, 'C', HOLDING_RESERVED, "2001:db8:77::1");
	write_lease(&journal, 'D', HOLDING_LEASED, "192.0.2.9");
	write_lease(&journal, 'E', HOLDING_PAST, "203.0.113.8");
	write_lease(&journal, 'F', HOLDING_LEASED, "203.0.113.9");
	write_lease(&journal, 'G', HOLDING_LEASED, "203.0.113.129");
	write_lease(&journal, 'H', HOLDING_LEASED, "203.0.113.1");
	write_lease(&journal, 'I', HOLDING_LEASED, "169.254.0.1");
	assert_int_equal(journal_write(&journal), 0);
	/* Of what has never been served no journal makes a lease. */
	assert_int_equal(guard_retired(&guard, journal.fd), 0);
	assert_int_equal(guard.retired_count, 0);
	assert_int_equal(allow('A', "203.0.113.5"), EPERM);
	assert_true(served_has(&guard.served, &guard.pools.list[0].net));
	assert_false(served_has(&guard.served, &once[0]));

	assert_true(served_add(&guard.served, &once[0]));
	assert_true(served_add(&guard.served, &once[1]));
	assert_true(served_add(&guard.served, &once[2]));
	assert_true(served_add(&guard.served, &once[3]));
	assert_int_equal(guard_retired(&guard, journal.fd), 0);
	/* What there are leases in goes on to count; what there are none in does not. */
	assert_true(served_has(&guard.served, &once[0]));
	assert_true(served_has(&guard.served, &once[1]));
	assert_false(served_has(&guard.served, &once[3]));
	assert_true(served_has(&guard.served, &guard.pools.list[0].net));

	/* These may go on, for just these peers. */
	assert_int_equal(allow('A', "203.0.113.5"), 0);
	assert_int_equal(take('A', "203.0.113.5"), 0);
	assert_int_equal(allow('B', "203.0.113.7"), 0);
	assert_int_equal(allow('C', "2001:db8:77::1"), 0);
	assert_int_equal(allow('B', "203.0.113.5"), EPERM);
	assert_int_equal(allow('A', "203.0.113.7"), EPERM);
	assert_int_equal(take('B', "203.0.113.5"), EALREADY);
	assert_int_equal(take('C', "203.0.113.9"), EPERM);
	assert_int_equal(allow('B', "2001:db8:77::1"), EPERM);
	assert_int_equal(allow('A', "203.0.113.6"), EPERM);
	/* What was only remembered is over. */
	assert_int_equal(allow('E', "203.0.113.8"), EPERM);
	assert_int_equal(take('E', "203.0.113.8"), EALREADY);
	/* And what somebody else has is his. */
	assert_int_equal(allow('F', "203.0.113.9"), EADDRINUSE);
	assert_int_equal(take('F', "203.0.113.9"), EALREADY);
	assert_int_equal(allow('G', "203.0.113.129"), EADDRINUSE);
	assert_int_equal(allow('H', "203.0.113.1"), EADDRINUSE);
	assert_int_equal(allow('I', "169.254.0.1"), EINVAL);
	/* Those of a pool need no journal. */
	assert_int_equal(allow('B', "192.0.2.9"), 0);
	journal_close(&journal);
}

/* The monitor's memory is bounded, whatever an engine has written. */
static void a_journal_without_end(void **state)
{
	enum { RENEWALS = 5000, MOST = 4 * 2 + 16384, BATCH = 1000 };
	const struct cidr once = fake_cidr("2001:db8:77::/64");
	struct journal journal = { .fd = memfd_create("journal", 0) };
	char ip[32];

	(void)state;
	world("A; B;");
	assert_true(served_add(&guard.served, &once));
	assert_true(journal_header(&journal, "wg0", secret));
	for (int i = 0; i < RENEWALS; ++i)
		write_lease(&journal, "AB"[i % 2], HOLDING_LEASED, "2001:db8:77::7");
	assert_int_equal(journal_write(&journal), 0);
	assert_int_equal(guard_retired(&guard, journal.fd), 0);
	assert_int_equal(guard.retired_count, 2);
	for (int i = 0; i < 3 * MOST; ++i) {
		snprintf(ip, sizeof(ip), "2001:db8:77::1:%x:%x", i >> 16, i & 0xffff);
		write_lease(&journal, 'A', HOLDING_LEASED, ip);
		if (i % BATCH == 0)
			assert_int_equal(journal_write(&journal), 0);
	}
	assert_int_equal(journal_write(&journal), 0);
	assert_int_equal(guard_retired(&guard, journal.fd), 0);
	assert_in_range(guard.retired_count, MOST, 2 * MOST);
	/* What came first counts, and what is too much does not. */
	assert_int_equal(allow('A', "2001:db8:77::7"), 0);
	assert_int_equal(allow('B', "2001:db8:77::7"), 0);
	assert_int_equal(allow('A', "2001:db8:77::1:0:0"), 0);
	assert_int_equal(allow('A', ip), EPERM);
	journal_close(&journal);
}

static void reserved_for_another(void **state)
{
	struct policy policy = fake_policy("A 192.0.2.7; B 2001:db8::7;");

	(void)state;
	world("A; B; C 192.0.2.7/32;");
	guard.policy = &policy;
	assert_int_equal(allow('B', "192.0.2.7"), EPERM);
	assert_int_equal(allow('A', "2001:db8::7"), EPERM);
	assert_int_equal(allow('B', "2001:db8::7"), 0);
	assert_int_equal(allow('C', "192.0.2.8"), 0);
	/* What somebody has nevertheless may be taken from him. */
	assert_int_equal(take('C', "192.0.2.7"), 0);
	note('C', "192.0.2.7", true, 1);
	assert_int_equal(allow('A', "192.0.2.7"), 0);
	assert_null(pools_exclude(&guard.pools, "192.0.2.7", 9));
	assert_int_equal(allow('A', "192.0.2.7"), EPERM);
	policy_unmap(&policy);
}

/* Only those that the journal says were given, on this device, are taken back. */
static void link_locals_that_were_given(void **state)
{
	static const struct journal_start start = {
		.boot_id = "00000000-0000-0000-0000-000000000000",
	};
	struct journal journal = { .fd = memfd_create("journal", 0) };
	struct pools pools;

	(void)state;
	world("A " OF_A "; B " OF_B "; C fe80::4343:4343:4343:4343; D fe80::4444:4444:4444:4444;");
	pools = guard.pools;
	assert_true(journal_header(&journal, "wg0", secret));
	assert_true(journal_link_local(&journal, fake_key('A'), true));
	write_lease(&journal, 'D', HOLDING_LEASED, "fe80::4444:4444:4444:4444");
	assert_true(journal_start(&journal, &start));
	assert_true(journal_link_local(&journal, fake_key('B'), true));
	assert_int_equal(journal_write(&journal), 0);
	/* None were, but for what a journal says. */
	assert_int_equal(guard_retired(&guard, journal.fd), 0);
	assert_int_equal(take('B', OF_B), EPERM);
	guard.served.link_locals = true;
	assert_int_equal(guard_retired(&guard, journal.fd), 0);
	assert_true(guard.served.link_locals);
	assert_int_equal(take('A', OF_A), EPERM);
	assert_int_equal(take('B', OF_B), 0);
	assert_int_equal(take('D', "fe80::4444:4444:4444:4444"), EPERM);
	/* What no engine could have given, no line of the journal makes its own. */
	assert_true(journal_link_local(&journal, fake_key('C'), true));
	assert_int_equal(journal_write(&journal), 0);
	assert_int_equal(guard_reload(&guard, &pools, NULL, false, journal.fd), 0);
	assert_int_equal(take('B', OF_B), 0);
	assert_int_equal(take('C', "fe80::4343:4343:4343:4343"), EPERM);
	/* While they are given, none is taken; afterwards all that were. */
	assert_int_equal(guard_reload(&guard, &pools, NULL, true, journal.fd), 0);
	assert_int_equal(take('B', OF_B), EPERM);
	assert_int_equal(allow('B', OF_B), 0);
	assert_int_equal(guard_reload(&guard, &pools, NULL, false, journal.fd), 0);
	assert_int_equal(take('B', OF_B), 0);
	assert_int_equal(take('C', "fe80::4343:4343:4343:4343"), 0);
	assert_int_equal(take('A', OF_A), EPERM);
	assert_int_equal(allow('B', OF_B), EPERM);
	journal_close(&journal);
}

static void other_settings(void **state)
{
	struct journal journal = { .fd = memfd_create("journal", 0) };
	struct policy policy = fake_policy("B 192.0.2.7;");
	struct pools pools = { 0 };

	(void)state;
	world("A 192.0.2.7/32 192.0.2.8/32 2001:db8::7/128; B; C 203.0.113.5/32;");
	assert_true(journal_header(&journal, "wg0", secret));
	write_lease(&journal, 'A', HOLDING_LEASED, "192.0.2.7");
	write_lease(&journal, 'A', HOLDING_LEASED, "192.0.2.8");
	write_lease(&journal, 'A', HOLDING_LEASED, "2001:db8::7");
	write_lease(&journal, 'C', HOLDING_LEASED, "203.0.113.5");
	assert_int_equal(journal_write(&journal), 0);
	assert_null(pools_add(&pools, "192.0.2.0/24", 12));
	assert_null(pools_exclude(&pools, "192.0.2.8", 9));
	assert_int_equal(guard_reload(&guard, &pools, &policy, false, journal.fd), 0);
	/* A keeps what it has: reserved for another by now, excluded, and in no pool. */
	assert_int_equal(allow('A', "192.0.2.7"), 0);
	assert_int_equal(allow('A', "192.0.2.8"), 0);
	assert_int_equal(allow('A', "2001:db8::7"), 0);
	assert_int_equal(take('A', "2001:db8::7"), 0);
	assert_int_equal(allow('B', "192.0.2.8"), EPERM);
	assert_int_equal(allow('B', "2001:db8::7"), EPERM);
	/* But what could not be ordered before, no line of the journal makes good. */
	assert_int_equal(allow('C', "203.0.113.5"), EPERM);
	assert_int_equal(take('C', "203.0.113.5"), EPERM);
	/* Once more: what went on goes on. */
	assert_int_equal(guard_reload(&guard, &pools, &policy, false, journal.fd), 0);
	assert_int_equal(guard.retired_count, 3);
	assert_int_equal(take('A', "2001:db8::7"), 0);
	/* Without a journal all stays. */
	assert_int_equal(guard_reload(&guard, &(struct pools){ 0 }, NULL, true, -1), -EBADF);
	assert_false(guard.link_locals);
	assert_int_equal(take('A', "2001:db8::7"), 0);
	assert_int_equal(allow('B', "192.0.2.9"), 0);
	journal_close(&journal);
	clear(NULL);
	policy_unmap(&policy);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, clear)
	const struct CMUnitTest tests[] = {
		TEST(derived_link_locals),
		TEST(keys_that_begin_alike),
		TEST(allows_what_may_be),
		TEST(refuses_what_may_not_be),
		TEST(refuses_what_is_no_address),
		TEST(without_a_reading_nothing),
		TEST(takes_from_the_holder_only),
		TEST(what_was_added_counts),
		TEST(what_was_taken_counts),
		TEST(the_hosts_own_behind_one_that_was_taken),
		TEST(a_newer_reading_takes_its_place),
		TEST(stamps_go_around),
		TEST(many_changes),
		TEST(room_for_changes),
		TEST(too_many_changes),
		TEST(a_journal_that_is_written_to),
		TEST(leases_of_retired_pools),
		TEST(a_journal_without_end),
		TEST(reserved_for_another),
		TEST(link_locals_that_were_given),
		TEST(other_settings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
