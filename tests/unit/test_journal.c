// SPDX-License-Identifier: MIT
/*
 * The journal: what is written is read, to the byte; what a crash or a disk may do to it is
 * either dropped or found, never believed.
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
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "journal.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define SECRET_TEXT "000102030405060708090a0b0c0d0eff"
#define BOOT_ID "01234567-89ab-cdef-0123-456789abcdef"
#define KEY "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=" /* 32 times 1 */

enum { SEEN = 8192 };

static const uint8_t secret[JOURNAL_SECRET] = { 0, 1, 2,  3,  4,  5,  6,  7,
						8, 9, 10, 11, 12, 13, 14, 255 };
static const struct journal_start start = { BOOT_ID, 4711, 42 };

/* --- what a replay tells --- */

static struct {
	uint32_t headers, starts, leases;
	char interface[16];
	uint8_t secret[JOURNAL_SECRET];
	struct journal_start start;
	struct journal_lease lease[SEEN];
	uint32_t link_locals; /* records of them; the last: */
	uint8_t link_local[KEY_LEN];
	bool given;
	uint32_t settings; /* records of them; the last: */
	uint64_t digest;
} seen;

static void see_header(void *data, const char *interface, const uint8_t *bytes)
{
	assert_ptr_equal(data, &seen);
	++seen.headers;
	assert_true(strlen(interface) < sizeof(seen.interface));
	strcpy(seen.interface, interface);
	memcpy(seen.secret, bytes, JOURNAL_SECRET);
}

static void see_start(void *data, const struct journal_start *s)
{
	assert_ptr_equal(data, &seen);
	++seen.starts;
	seen.start = *s;
}

static void see_lease(void *data, const struct journal_lease *lease)
{
	assert_ptr_equal(data, &seen);
	assert_true(seen.leases < SEEN);
	seen.lease[seen.leases++] = *lease;
}

static void see_link_local(void *data, const uint8_t *key, bool given)
{
	assert_ptr_equal(data, &seen);
	++seen.link_locals;
	memcpy(seen.link_local, key, KEY_LEN);
	seen.given = given;
}

static void see_settings(void *data, uint64_t digest)
{
	assert_ptr_equal(data, &seen);
	++seen.settings;
	seen.digest = digest;
}

static struct journal_result result;

static int replay(int fd)
{
	static const struct journal_reader reader = { see_header, see_start, see_lease,
						     see_link_local, see_settings, &seen };
	int ret;

	memset(&seen, 0, sizeof(seen));
	memset(&result, 0xff, sizeof(result));
	ret = journal_replay(fd, &reader, &result);
	assert_int_equal(result.records, seen.leases + seen.link_locals + seen.settings);
	assert_int_equal(result.header, seen.headers);
	if (ret == -EILSEQ)
		assert_true(result.damaged_line);
	else
		assert_int_equal(result.damaged_line, 0);
	return ret;
}

/* --- files --- */

static int file(const char *bytes, size_t len)
{
	int fd = memfd_create("journal", 0);

	assert_true(fd >= 0);
	if (len)
		assert_int_equal(write(fd, bytes, len), len);
	return fd;
}

static int replay_bytes(const char *bytes, size_t len)
{
	int fd = file(bytes, len), ret = replay(fd);

	close(fd);
	return ret;
}

/* The records of a file, whatever room there is behind them; returns their length. */
static size_t contents(int fd, char *buf, size_t size)
{
	static char bytes[100000];
	ssize_t len = pread(fd, bytes, sizeof(bytes) - 1, 0);

	assert_true(len >= 0 && (size_t)len < sizeof(bytes) - 1);
	bytes[len] = '\0';
	while (len && strchr(" \n", bytes[len - 1]))
		--len;
	len += bytes[len] == '\n';
	assert_true((size_t)len < size);
	memcpy(buf, bytes, len);
	buf[len] = '\0';
	return len;
}

static off_t size_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_size;
}

static void assert_contents(int fd, const char *text)
{
	static char buf[65536];

	contents(fd, buf, sizeof(buf));
	assert_string_equal(buf, text);
}

/* Bit by bit, after the definition. */
static uint32_t crc32c(const char *bytes, size_t len)
{
	uint32_t crc = 0xffffffff;

	for (size_t i = 0; i < len; ++i) {
		crc ^= (uint8_t)bytes[i];
		for (int bit = 0; bit < 8; ++bit)
			crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
	}
	return crc ^ 0xffffffff;
}

/* Appends a line with its checksum to text; returns the number of bytes. */
static size_t line(char *text, const char *record)
{
	strcat(text, record);
	sprintf(text + strlen(text), " %08x\n", crc32c(record, strlen(record)));
	return strlen(text);
}

static struct journal_lease lease_of(uint8_t key)
{
	struct journal_lease lease = {
		.holding = { HOLDING_LEASED, HOLDING_LEASED },
		.ip = {
			{ AF_INET, 32, { 192, 0, 2, key } },
			{ AF_INET6, 128, { 0x20, 0x01, 0x0d, 0xb8, [15] = key } },
		},
		.at = 1000 + key,
		.left = 3600000,
	};

	memset(lease.key, key, KEY_LEN);
	return lease;
}

static void assert_lease(const struct journal_lease *a, const struct journal_lease *b)
{
	assert_memory_equal(a->key, b->key, KEY_LEN);
	assert_true(a->at == b->at);
	assert_true(a->left == b->left);
	assert_int_equal(a->want, b->want);
	for (int v = V4; v < FAMILIES; ++v) {
		assert_int_equal(a->holding[v], b->holding[v]);
		if (a->holding[v])
			assert_int_equal(cidr_compare(&a->ip[v], &b->ip[v]), 0);
	}
}

/* A header, a start, three leases, and a sync after the first and after the second of them. */
static size_t example(char *bytes, size_t size)
{
	struct journal journal = { .fd = file(NULL, 0) };
	struct journal_lease lease;
	size_t len;

	assert_true(journal_header(&journal, "wg0", secret));
	assert_true(journal_start(&journal, &start));
	for (int i = 1; i <= 3; ++i) {
		lease = lease_of(i);
		assert_true(journal_lease(&journal, &lease));
		assert_int_equal(journal_write(&journal), 0);
		if (i < 3)
			assert_int_equal(journal_sync(&journal), 0);
	}
	len = contents(journal.fd, bytes, size);
	journal_close(&journal);
	return len;
}

/* The place of line n (from 1) in the text, or of its end. */
static size_t place_of(const char *text, int n)
{
	const char *at = text;

	while (--n)
		at = strchr(at, '\n') + 1;
	return at - text;
}

/* --- writing --- */

static void exact_bytes(void **state)
{
	struct journal journal = { .fd = file(NULL, 0) };
	struct journal_lease lease = lease_of(1);
	char text[2048] = "";

	(void)state;
	/* The check value of the polynomial: our own is right, so that the other can be. */
	assert_int_equal(crc32c("123456789", 9), 0xe3069283);
	assert_true(journal_header(&journal, "wg0", secret));
	assert_true(journal_start(&journal, &start));
	lease.holding[V4] = HOLDING_RESERVED;
	lease.holding[V6] = HOLDING_PAST;
	assert_true(journal_lease(&journal, &lease));
	/* Nothing is in the file before it is written. */
	assert_contents(journal.fd, "");
	assert_int_equal(journal_write(&journal), 0);
	line(text, "wg-dynamic-leases 1 wg0 " SECRET_TEXT);
	line(text, "start " BOOT_ID " 4711 42");
	line(text, "lease " KEY " 192.0.2.1,reserved 2001:db8::1,past 1001 3600000");
	assert_contents(journal.fd, text);

	lease.holding[V4] = HOLDING_LEASED;
	lease.holding[V6] = HOLDING_NONE;
	assert_true(journal_lease(&journal, &lease));
	assert_int_equal(journal_write(&journal), 0);
	line(text, "lease " KEY " 192.0.2.1 - 1001 3600000");
	assert_contents(journal.fd, text);
	assert_int_equal(journal.records, 2);
	assert_int_equal(journal_write(&journal), 0);
	assert_contents(journal.fd, text);
	journal_close(&journal);
	assert_int_equal(journal.fd, -1);
	assert_null(journal.buf);
}

static void synced_only_when_there_was_something(void **state)
{
	struct journal journal = { .fd = file(NULL, 0) };
	struct journal_lease lease = lease_of(1);
	char text[2048] = "";

	(void)state;
	assert_int_equal(journal_sync(&journal), 0);
	assert_false(journal.synced);
	assert_true(journal_header(&journal, "wg0", secret));
	/* Not yet written: nothing to sync. */
	assert_int_equal(journal_sync(&journal), 0);
	assert_false(journal.synced);
	assert_int_equal(journal_write(&journal), 0);
	assert_true(journal.dirty);
	line(text, "wg-dynamic-leases 1 wg0 " SECRET_TEXT);
	assert_contents(journal.fd, text);
	assert_int_equal(journal_sync(&journal), 0);
	assert_true(journal.synced);
	assert_false(journal.dirty);
	assert_int_equal(journal_sync(&journal), 0);
	/* It is said with the next record, and once. */
	assert_contents(journal.fd, text);
	for (int i = 0; i < 2; ++i) {
		assert_true(journal_lease(&journal, &lease));
		assert_int_equal(journal_write(&journal), 0);
	}
	line(text, "synced");
	line(text, "lease " KEY " 192.0.2.1 2001:db8::1 1001 3600000");
	line(text, "lease " KEY " 192.0.2.1 2001:db8::1 1001 3600000");
	assert_contents(journal.fd, text);
	assert_int_equal(journal_sync(&journal), 0);
	assert_true(journal_start(&journal, &start));
	assert_int_equal(journal_write(&journal), 0);
	line(text, "synced");
	line(text, "start " BOOT_ID " 4711 42");
	assert_contents(journal.fd, text);
	assert_int_equal(replay(journal.fd), 0);
	assert_int_equal(result.records, 2);
	journal_close(&journal);
}

/* Writes more than fits; the file is as before, and goes on. */
static void a_full_disk_leaves_what_was_there(void **state)
{
	struct journal journal = { .fd = file(NULL, 0) };
	struct journal_lease lease = lease_of(1);
	struct rlimit old, limit;
	char text[4096] = "";
	size_t len;
	int ret;

	(void)state;
	assert_true(journal_header(&journal, "wg0", secret));
	assert_int_equal(journal_write(&journal), 0);
	assert_int_equal(journal_sync(&journal), 0);
	len = line(text, "wg-dynamic-leases 1 wg0 " SECRET_TEXT);

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	/* From nothing at all to all but one byte. */
	for (size_t more = 0; more < 2000; more += more < 200 ? 1 : 97) {
		for (int i = 0; i < 30; ++i)
			assert_true(journal_lease(&journal, &lease));
		assert_true(journal.len > 2000);
		limit = (struct rlimit){ len + more, old.rlim_max };
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
		ret = journal_write(&journal);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
		assert_int_equal(ret, -EFBIG);
		assert_contents(journal.fd, text);
		assert_int_equal(size_of(journal.fd), len);
		assert_int_equal(journal.end, len);
		assert_int_equal(journal.size, len);
		assert_int_equal(journal.len, 0);
		assert_false(journal.dirty);
	}
	assert_int_equal(journal_write(&journal), 0);
	assert_contents(journal.fd, text);
	/* There is room again. */
	assert_true(journal_lease(&journal, &lease));
	assert_int_equal(journal_write(&journal), 0);
	assert_true(journal.dirty);
	assert_int_equal(replay(journal.fd), 0);
	assert_int_equal(result.records, 1);
	assert_int_equal(result.dropped, 0);
	assert_lease(&seen.lease[0], &lease);
	journal_close(&journal);
}

static void a_device_that_is_full(void **state)
{
	struct journal journal = { .fd = open("/dev/full", O_WRONLY) };

	(void)state;
	assert_true(journal.fd >= 0);
	assert_true(journal_header(&journal, "wg0", secret));
	assert_int_equal(journal_write(&journal), -ENOSPC);
	assert_false(journal.dirty);
	assert_int_equal(journal.len, 0);
	assert_int_equal(journal_sync(&journal), 0);
	assert_false(journal.synced);
	journal_close(&journal);
}

/* More than fits, in a file that can't be made shorter again. */
static void a_part_that_stays_is_told(void **state)
{
	struct journal journal = { .fd = memfd_create("journal", MFD_ALLOW_SEALING) };
	const struct rlimit limit = { 300, RLIM_INFINITY };
	struct journal_lease lease = lease_of(1);
	struct rlimit old;
	int fds[2];

	(void)state;
	assert_int_equal(fcntl(journal.fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	for (int i = 0; i < 30; ++i)
		assert_true(journal_lease(&journal, &lease));
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(journal_write(&journal), -EIO);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(size_of(journal.fd), 300);
	assert_false(journal.dirty);
	/* What can't be synced. */
	close(journal.fd);
	assert_int_equal(pipe(fds), 0);
	journal.fd = fds[1];
	journal.dirty = true;
	assert_int_equal(journal_sync(&journal), -EINVAL);
	assert_true(journal.dirty);
	assert_false(journal.synced);
	journal_close(&journal);
	close(fds[0]);
}

/* A file that has records in it, as whoever starts on it finds it. */
static struct journal found(int fd)
{
	assert_int_equal(replay(fd), 0);
	assert_int_equal(result.dropped, 0);
	return (struct journal){ .fd = fd, .end = result.end, .size = result.size };
}

/* Where nothing but data changes, fdatasync() has nothing else to write. */
static void the_file_has_room_for_more(void **state)
{
	struct journal journal = { .fd = file(NULL, 0) }, next;
	struct journal_lease lease = lease_of(1);
	static char text[100000], bytes[150000];
	off_t size = 0, now;
	int grown = 0;

	(void)state;
	assert_true(journal_header(&journal, "wg0", secret));
	assert_int_equal(journal_write(&journal), 0);
	line(text, "wg-dynamic-leases 1 wg0 " SECRET_TEXT);
	/* What comes first is as long as it is. */
	assert_int_equal(size_of(journal.fd), strlen(text));
	for (int i = 0; i < 500; ++i) {
		assert_true(journal_lease(&journal, &lease));
		assert_int_equal(journal_write(&journal), 0);
		line(text, "lease " KEY " 192.0.2.1 2001:db8::1 1001 3600000");
		now = size_of(journal.fd);
		grown += now != size;
		size = now;
		/* Blocks, of which no more than a quarter is room, or one. */
		assert_int_equal(size % 4096, 0);
		assert_true(size - (off_t)strlen(text) <= (off_t)strlen(text) / 4 + 4096);
	}
	assert_in_range(grown, 2, 12);
	assert_true(size > (off_t)strlen(text));
	assert_contents(journal.fd, text);
	/* No line is longer than a block. */
	assert_int_equal(pread(journal.fd, bytes, sizeof(bytes), 0), size);
	for (off_t i = strlen(text); i < size; ++i)
		assert_int_equal(bytes[i], i % 4096 == 4095 ? '\n' : ' ');
	assert_int_equal(journal.end, strlen(text));
	assert_int_equal(journal.size, size);

	/* Whoever reads it goes on where the records end. */
	next = found(journal.fd);
	assert_int_equal(next.end, strlen(text));
	assert_int_equal(next.size, size);
	assert_true(journal_lease(&next, &lease));
	assert_int_equal(journal_write(&next), 0);
	line(text, "lease " KEY " 192.0.2.1 2001:db8::1 1001 3600000");
	assert_contents(journal.fd, text);
	assert_int_equal(size_of(journal.fd), size);
	assert_int_equal(replay(journal.fd), 0);
	assert_int_equal(result.records, 501);
	free(next.buf);
	journal_close(&journal);
}

/* A disk that takes the records, but no room for more. */
static void no_room_for_more(void **state)
{
	struct journal journal = { .fd = file(NULL, 0) };
	struct journal_lease lease = lease_of(1);
	struct rlimit old, limit;
	char text[4096] = "";
	size_t len;

	(void)state;
	assert_true(journal_header(&journal, "wg0", secret));
	assert_int_equal(journal_write(&journal), 0);
	line(text, "wg-dynamic-leases 1 wg0 " SECRET_TEXT);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	for (int more = 0; more < 10; ++more) {
		assert_true(journal_lease(&journal, &lease));
		len = line(text, "lease " KEY " 192.0.2.1 2001:db8::1 1001 3600000");
		limit = (struct rlimit){ len + more, old.rlim_max };
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
		assert_int_equal(journal_write(&journal), 0);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
		assert_contents(journal.fd, text);
		assert_int_equal(size_of(journal.fd), len + more);
		assert_int_equal(journal.size, len + more);
		assert_int_equal(replay(journal.fd), 0);
		assert_int_equal(result.dropped, 0);
	}
	journal_close(&journal);
}

static struct {
	int calls, error;
	off_t offset, len;
} asked;

/* The disk is asked for blocks, which it has or not. */
int fallocate(int fd, int mode, off_t offset, off_t len)
{
	assert_true(fd >= 0);
	assert_int_equal(mode, FALLOC_FL_KEEP_SIZE);
	++asked.calls;
	asked.offset = offset;
	asked.len = len;
	errno = asked.error;
	return asked.error ? -1 : 0;
}

static void room_for_what_comes(void **state)
{
	struct journal journal = { .fd = file(NULL, 0) };
	struct journal_lease lease = lease_of(1);

	(void)state;
	assert_true(journal_header(&journal, "wg0", secret));
	assert_int_equal(journal_write(&journal), 0);
	assert_int_equal(journal_room(&journal, 1000), 0);
	assert_int_equal(asked.offset, journal.end);
	assert_true(journal_lease(&journal, &lease));
	assert_int_equal(journal_write(&journal), 0);
	assert_true(journal.size > journal.end + 1000);
	/* The disk is asked though there is room, for not each can write over that. */
	assert_true(journal_lease(&journal, &lease));
	asked.error = ENOSPC;
	assert_int_equal(journal_room(&journal, 1000), -ENOSPC);
	assert_int_equal(asked.offset, journal.size);
	assert_int_equal(asked.len, journal.len + 1000);
	asked.error = EDQUOT;
	assert_int_equal(journal_room(&journal, 1000), -EDQUOT);
	/* What else it may say is no full disk. */
	asked.error = EOPNOTSUPP;
	assert_int_equal(journal_room(&journal, 1000), 0);
	asked.error = 0;
	assert_int_equal(journal_room(&journal, 1000), 0);
	assert_int_equal(asked.calls, 5);
	journal_close(&journal);
}

static void records_of_leases(void **state)
{
	struct lease lease = {
		.ip4 = { 192, 0, 2, 7 },
		.ip6 = { 0x20, 0x01, [15] = 7 },
		.holding = { HOLDING_LEASED, HOLDING_NONE },
		.expires = 5000,
	};
	struct journal_lease record;

	(void)state;
	memset(lease.key, 9, KEY_LEN);
	journal_from_lease(&record, &lease, 2000);
	assert_memory_equal(record.key, lease.key, KEY_LEN);
	assert_true(record.at == 2000 && record.left == 3000);
	assert_int_equal(record.holding[V4], HOLDING_LEASED);
	assert_int_equal(record.holding[V6], HOLDING_NONE);
	assert_memory_equal(record.ip[V4].ip, lease.ip4, 4);
	assert_int_equal(record.ip[V4].prefix, 32);
	/* Over, but not yet ended. */
	journal_from_lease(&record, &lease, 5000);
	assert_true(record.at == 5000 && record.left == 0);
	journal_from_lease(&record, &lease, 7000);
	assert_true(record.at == 7000 && record.left == 0);
	/* Of what has ended: when. */
	lease.holding[V4] = HOLDING_PAST;
	lease.holding[V6] = HOLDING_PAST;
	journal_from_lease(&record, &lease, 7000);
	assert_true(record.at == 5000 && record.left == 0);
	assert_memory_equal(record.ip[V6].ip, lease.ip6, 16);
	lease.holding[V6] = HOLDING_RESERVED;
	journal_from_lease(&record, &lease, 4000);
	assert_true(record.at == 4000 && record.left == 1000);
}

/* --- reading what was written --- */

static void all_kinds_of_records(void **state)
{
	struct journal journal = { .fd = file(NULL, 0) };
	struct journal_lease lease[16], last = lease_of(255);
	const struct journal_start far = { BOOT_ID, UINT64_MAX, INT32_MAX };

	(void)state;
	assert_true(journal_header(&journal, "a-15-byte-name.", secret));
	assert_true(journal_start(&journal, &far));
	for (int i = 0; i < 16; ++i) {
		lease[i] = lease_of(i);
		lease[i].holding[V4] = i % 4;
		lease[i].holding[V6] = i / 4;
		lease[i].at = i % 2 ? UINT64_MAX : 0;
		lease[i].want = i;
		lease[i].left = i % 3 ? 0 : (uint64_t)LEASE_TIME_MAX * 1000;
		assert_true(journal_lease(&journal, &lease[i]));
	}
	/* The longest there are. */
	memset(last.ip[V4].ip, 255, 4);
	memset(last.ip[V6].ip, 255, 16);
	last.holding[V4] = last.holding[V6] = HOLDING_RESERVED;
	last.at = UINT64_MAX;
	last.want = UINT8_MAX;
	last.left = (uint64_t)LEASE_TIME_MAX * 1000;
	assert_true(journal_lease(&journal, &last));
	assert_int_equal(journal_write(&journal), 0);

	assert_int_equal(replay(journal.fd), 0);
	assert_string_equal(seen.interface, "a-15-byte-name.");
	assert_memory_equal(seen.secret, secret, sizeof(secret));
	assert_int_equal(seen.starts, 1);
	assert_string_equal(seen.start.boot_id, BOOT_ID);
	assert_true(seen.start.netns == UINT64_MAX);
	assert_int_equal(seen.start.ifindex, INT32_MAX);
	assert_int_equal(result.records, 17);
	assert_int_equal(result.dropped, 0);
	for (int i = 0; i < 16; ++i)
		assert_lease(&seen.lease[i], &lease[i]);
	assert_lease(&seen.lease[16], &last);
	journal_close(&journal);
}

static void records_of_link_locals(void **state)
{
	struct journal journal = { .fd = file(NULL, 0) };
	uint8_t key[KEY_LEN];

	(void)state;
	memset(key, 255, sizeof(key));
	assert_true(journal_header(&journal, "wg0", secret));
	for (int given = 1; given >= 0; --given) {
		assert_true(journal_link_local(&journal, key, given));
		assert_int_equal(journal_write(&journal), 0);
		assert_int_equal(replay(journal.fd), 0);
		assert_int_equal(seen.link_locals, 2 - given);
		assert_int_equal(seen.given, given);
		assert_memory_equal(seen.link_local, key, sizeof(key));
	}
	assert_int_equal(journal.records, 2);
	journal_close(&journal);
}

static void a_record_of_settings(void **state)
{
	struct journal journal = { .fd = file(NULL, 0) };
	char expected[512] = "";

	(void)state;
	line(expected, "wg-dynamic-leases 1 wg0 " SECRET_TEXT);
	line(expected, "settings 0000000000000007");
	line(expected, "settings fedcba9876543210");
	assert_true(journal_header(&journal, "wg0", secret));
	assert_true(journal_settings(&journal, 7));
	assert_true(journal_settings(&journal, UINT64_C(0xfedcba9876543210)));
	assert_int_equal(journal.records, 2);
	assert_int_equal(journal_write(&journal), 0);
	assert_contents(journal.fd, expected);
	assert_int_equal(replay(journal.fd), 0);
	assert_int_equal(seen.settings, 2);
	assert_true(seen.digest == UINT64_C(0xfedcba9876543210));
	journal_close(&journal);
}

static void a_long_journal(void **state)
{
	struct journal journal = { .fd = file(NULL, 0) };
	struct journal_lease lease;

	(void)state;
	/* Records lie across each boundary of what is read at a time. */
	assert_true(journal_header(&journal, "wg0", secret));
	for (int i = 0; i < 8000; ++i) {
		lease = lease_of(i);
		lease.at = i;
		assert_true(journal_lease(&journal, &lease));
		if (i % 50)
			continue;
		assert_int_equal(journal_write(&journal), 0);
		assert_int_equal(journal_sync(&journal), 0);
	}
	assert_int_equal(journal_write(&journal), 0);
	assert_int_equal(replay(journal.fd), 0);
	assert_int_equal(result.records, 8000);
	for (int i = 0; i < 8000; ++i)
		assert_true(seen.lease[i].at == (uint64_t)i);
	journal_close(&journal);
}

static void nothing_at_all(void **state)
{
	(void)state;
	assert_int_equal(replay_bytes("", 0), 0);
	assert_false(result.header);
	assert_int_equal(result.dropped, 0);
	assert_int_equal(replay(-1), -EBADF);
}

/* --- damage --- */

static void a_last_record_cut_short(void **state)
{
	char bytes[4096], cut[4096];
	size_t len = example(bytes, sizeof(bytes)), last = place_of(bytes, 7);

	(void)state;
	assert_int_equal(replay_bytes(bytes, len), 0);
	assert_int_equal(result.records, 3);
	for (size_t at = last; at < len; ++at) {
		/* Cut off, or followed by what a file system puts there. */
		for (int rest = 0; rest < 3; ++rest) {
			size_t size = rest ? len : at;

			memcpy(cut, bytes, at);
			memset(cut + at, rest == 1 ? '\0' : 'x', len - at);
			assert_int_equal(replay_bytes(cut, size), 0);
			assert_true(result.header);
			assert_int_equal(result.records, 2);
			assert_int_equal(result.dropped, size > last);
			assert_int_equal(seen.lease[1].key[0], 2);
		}
	}
	/* The newline alone is missing: nothing may be appended to that, so it is told. */
	assert_int_equal(replay_bytes(bytes, len - 1), 0);
	assert_int_equal(result.dropped, 1);
}

static void cut_short_at_each_byte(void **state)
{
	char bytes[4096];
	size_t len = example(bytes, sizeof(bytes));
	uint32_t lines;

	(void)state;
	for (size_t at = 0; at <= len; ++at) {
		lines = 0;
		for (size_t i = 0; i < at; ++i)
			lines += bytes[i] == '\n';
		assert_int_equal(replay_bytes(bytes, at), 0);
		assert_int_equal(result.header, lines >= 1);
		assert_int_equal(seen.starts, lines >= 2);
		/* header start lease synced lease synced lease */
		assert_int_equal(result.records, (lines >= 3) + (lines >= 5) + (lines >= 7));
		assert_int_equal(result.dropped, at && bytes[at - 1] != '\n');
	}
}

static void damage_before_a_sync(void **state)
{
	char bytes[4096];
	size_t len = example(bytes, sizeof(bytes)), first, end;

	(void)state;
	/* Lines 1 to 4 have a `synced' behind them, even if they swallow the next line. */
	for (int n = 1; n <= 4; ++n) {
		first = place_of(bytes, n);
		end = place_of(bytes, n + 1);
		for (size_t at = first; at < end; ++at) {
			for (int bit = 0; bit < 8; ++bit) {
				bytes[at] ^= 1 << bit;
				if (replay_bytes(bytes, len) != -EILSEQ)
					fail_msg("line %d, byte %zu, bit %d", n, at - first, bit);
				assert_int_equal(result.damaged_line, n);
				bytes[at] ^= 1 << bit;
			}
		}
	}
	/* Of several, the first. */
	bytes[place_of(bytes, 5) + 7] ^= 1;
	bytes[place_of(bytes, 3) + 7] ^= 1;
	assert_int_equal(replay_bytes(bytes, len), -EILSEQ);
	assert_int_equal(result.damaged_line, 3);
	bytes[place_of(bytes, 3) + 7] ^= 1;
	assert_int_equal(replay_bytes(bytes, len), -EILSEQ);
	assert_int_equal(result.damaged_line, 5);
}

static void damage_behind_the_last_sync(void **state)
{
	char bytes[4096] = "";
	size_t len, first, end;
	char now;

	(void)state;
	line(bytes, "wg-dynamic-leases 1 wg0 " SECRET_TEXT);
	line(bytes, "lease " KEY " 192.0.2.1 - 1 1");
	line(bytes, "synced");
	line(bytes, "lease " KEY " 192.0.2.2 - 2 2");
	len = line(bytes, "lease " KEY " 192.0.2.3 - 3 3");
	first = place_of(bytes, 4);
	end = place_of(bytes, 5);
	for (size_t at = first; at < end; ++at) {
		for (int bit = 0; bit < 8; ++bit) {
			bytes[at] ^= 1 << bit;
			now = bytes[at];
			assert_int_equal(replay_bytes(bytes, len), 0);
			/* A newline that came counts as one more, one that went takes the next. */
			assert_int_equal(result.dropped, now == '\n' && at != first ? 2 : 1);
			assert_int_equal(result.records, at == end - 1 ? 1 : 2);
			assert_true(seen.lease[0].at == 1);
			if (at != end - 1)
				assert_true(seen.lease[1].at == 3);
			bytes[at] ^= 1 << bit;
		}
	}
	/* A file that says `synced' behind that has been damaged since. */
	bytes[first] ^= 1;
	len = line(bytes, "synced");
	assert_int_equal(replay_bytes(bytes, len), -EILSEQ);
	assert_int_equal(result.damaged_line, 4);
}

/* Spaces are room behind the last record; before one, they are what was lost. */
static void lines_of_spaces(void **state)
{
	char text[1024] = "";
	static char bytes[200000];
	size_t header = line(text, "wg-dynamic-leases 1 wg0 " SECRET_TEXT);
	size_t len = line(text, "lease " KEY " 192.0.2.1 - 1 1"), all;

	(void)state;
	for (int more = 0; more < 150000; more = 3 * more + 1) {
		for (int lines = 0; lines < 3; ++lines) {
			strcpy(bytes, text);
			memset(bytes + len, ' ', more);
			for (int i = 1; more && i < 3 && i <= lines; ++i)
				bytes[len + i * more / lines - 1] = '\n';
			all = len + more;
			assert_int_equal(replay_bytes(bytes, all), 0);
			assert_int_equal(result.dropped, 0);
			assert_int_equal(result.end, len);
			assert_int_equal(result.size, all);
			if (more && !lines)
				continue;
			/* A record behind them is one more that nobody has been told of. */
			bytes[all] = '\0';
			all = line(bytes + all, "lease " KEY " 192.0.2.2 - 2 2") + all;
			assert_int_equal(replay_bytes(bytes, all), 0);
			assert_int_equal(result.dropped, more > 0);
			assert_int_equal(result.records, 2);
			assert_int_equal(result.end, all);
			/* What has reached the disk had no gaps. */
			all = line(bytes + all, "synced") + all;
			assert_int_equal(replay_bytes(bytes, all), more ? -EILSEQ : 0);
			assert_int_equal(result.damaged_line, more ? 3 : 0);
		}
	}
	/* A record that is cut short by them. */
	for (size_t at = header + 1; at < len; ++at) {
		memcpy(bytes, text, len);
		memset(bytes + at, ' ', 100);
		bytes[at + 99] = '\n';
		assert_int_equal(replay_bytes(bytes, at + 100), 0);
		assert_int_equal(result.dropped, 1);
		assert_int_equal(result.records, 0);
	}
	/* Other space is none of ours. */
	memcpy(bytes, text, len);
	strcpy(bytes + len, "  \t \n");
	assert_int_equal(replay_bytes(bytes, strlen(bytes)), 0);
	assert_int_equal(result.dropped, 1);
}

static void headers(void **state)
{
	static const char *const bad[] = {
		"wg-dynamic-leases", "wg-dynamic-leases 1", "wg-dynamic-leases 1 wg0",
		"wg-dynamic-leases 2 wg0 " SECRET_TEXT, "wg-dynamic-leases 01 wg0 " SECRET_TEXT,
		"wg-dynamic-leases 1 wg0 " SECRET_TEXT " x",
		"wg-dynamic-leases 1 wg0 " SECRET_TEXT " ",
		"wg-dynamic-leases 1 wg0 " SECRET_TEXT "00", "wg-dynamic-leases 1 wg0 0001",
		"wg-dynamic-leases 1 wg0 x00102030405060708090a0b0c0d0eff",
		"wg-dynamic-leases 1 wg0 000102030405060708090a0b0c0d0efx",
		"wg-dynamic-leases 1 a-name-of-16-byte " SECRET_TEXT,
		"wg-dynamic-leases 1  " SECRET_TEXT, "wg-dynamic-leases  wg0 " SECRET_TEXT,
		"wg-dynamic-leases   " SECRET_TEXT, "wg-dynamic 1 wg0 " SECRET_TEXT, "synced", "",
		"start " BOOT_ID " 4711 42", "lease " KEY " - - 1 2",
	};
	char text[1024];

	(void)state;
	for (size_t i = 0; i < COUNT(bad); ++i) {
		*text = '\0';
		line(text, bad[i]);
		/* With nothing behind it as well: a line that has its end was not cut short. */
		if (replay_bytes(text, strlen(text)) != -EILSEQ)
			fail_msg("'%s' alone", bad[i]);
		assert_int_equal(result.damaged_line, 1);
		line(text, "lease " KEY " - - 1 2");
		if (replay_bytes(text, strlen(text)) != -EILSEQ)
			fail_msg("'%s'", bad[i]);
		assert_int_equal(result.damaged_line, 1);
	}
	*text = '\0';
	line(text, "wg-dynamic-leases 1 wg1 " SECRET_TEXT);
	assert_int_equal(replay_bytes(text, strlen(text)), 0);
	assert_string_equal(seen.interface, "wg1");
	/* A second one is none. */
	line(text, "wg-dynamic-leases 1 wg1 " SECRET_TEXT);
	line(text, "synced");
	assert_int_equal(replay_bytes(text, strlen(text)), -EILSEQ);
	assert_int_equal(result.damaged_line, 2);
	assert_int_equal(seen.headers, 1);
}

/* What is left of a first write: a part of it, or zeros; anything else is somebody's. */
static void a_header_cut_short(void **state)
{
	static const char *const bad[] = {
		"x", "wg-dynamic-leases", "rubbish", "wg-dynamic-leasez 1 wg0", " ",
		"wg-dynamic-leases 2 ", "lease " KEY " - - 1 2",
	};
	char text[1024] = "", bytes[1024];
	size_t header;

	(void)state;
	line(text, "wg-dynamic-leases 1 wg0 " SECRET_TEXT);
	header = strlen(text);
	line(text, "start " BOOT_ID " 4711 42");
	for (size_t at = 1; at < header; ++at) {
		/* Cut off, or zeros from there. */
		for (size_t len = at; len <= strlen(text); len += strlen(text) - at) {
			memset(bytes, 0, sizeof(bytes));
			memcpy(bytes, text, at);
			assert_int_equal(replay_bytes(bytes, len), 0);
			assert_false(result.header);
			assert_int_equal(result.dropped, 1);
			bytes[at - 1] ^= 1;
			if (at <= strlen("wg-dynamic-leases 1 "))
				assert_int_equal(replay_bytes(bytes, len), -EILSEQ);
		}
	}
	for (size_t i = 0; i < COUNT(bad); ++i) {
		strcpy(bytes, bad[i]);
		assert_int_equal(replay_bytes(bytes, strlen(bytes)), i == 1 ? 0 : -EILSEQ);
		/* With an end of its line, it is whole, and wrong. */
		strcat(bytes, "\n");
		assert_int_equal(replay_bytes(bytes, strlen(bytes)), -EILSEQ);
		assert_int_equal(result.damaged_line, 1);
	}
	/* Zeros, and then something. */
	memset(bytes, 0, sizeof(bytes));
	bytes[200] = 'x';
	assert_int_equal(replay_bytes(bytes, 201), -EILSEQ);
	/* More than a header and a start. */
	strcpy(bytes, "wg-dynamic-leases 1 ");
	memset(bytes + strlen(bytes), 'x', 800);
	assert_int_equal(replay_bytes(bytes, 2 * JOURNAL_LINE), -EILSEQ);
	assert_int_equal(replay_bytes("\n", 1), -EILSEQ);
}

static void records_that_no_one_wrote(void **state)
{
	static const char *const bad[] = {
		"", " ", "unknown", "synced 1", " synced", "synced ",
		"start", "start " BOOT_ID, "start " BOOT_ID " 1", "start " BOOT_ID " 1 2 3",
		"start " BOOT_ID " 1 2 ", "start " BOOT_ID " x 2", "start " BOOT_ID " -1 2",
		"start " BOOT_ID " 1 2147483648", "start " BOOT_ID " 18446744073709551616 2",
		"start " BOOT_ID "0 1 2", "start 01234567 1 2", "start  1 2",
		"lease", "lease " KEY, "lease " KEY " -", "lease " KEY " - -",
		"lease " KEY " - - 1",
		"lease " KEY " - - 1 2 3 4", "lease " KEY " - - 1 2 256", "lease " KEY " - - 1 2 x",
		"lease " KEY " - - 1 2 3 ", "lease " KEY " - - 1 2 ", "lease  " KEY " - - 1 2",
		"lease " KEY "  - - 1 2", "lease AAAA - - 1 2", "lease " KEY "= - - 1 2",
		"lease " KEY " -- - 1 2", "lease " KEY " 192.0.2.7/24 - 1 2",
		"lease " KEY " 192.0.2.256 - 1 2", "lease " KEY " 2001:db8::7 - 1 2",
		"lease " KEY " - 192.0.2.7 1 2", "lease " KEY " 192.0.2.7,gone - 1 2",
		"lease " KEY " ,past - 1 2", "lease " KEY " 192.0.2.7,past,past - 1 2",
		"lease " KEY " 192.0.2.7, - 1 2", "lease " KEY " - - 1 31536000001",
		"lease " KEY " - - 1 x", "lease " KEY " - - +1 2", "lease " KEY " - - 0x1 2",
		"lease " KEY " - - 18446744073709551616 2", "Lease " KEY " - - 1 2",
		"lease\t" KEY " - - 1 2",
		"link-local", "link-local AAAA", "link-local " KEY " ", "link-local " KEY " 1",
		"no-link-local", "no-link-local  " KEY, "no-no-link-local " KEY,
		"settings", "settings 7", "settings 000000000000000g", "settings 0x00000000000007",
		"settings 0000000000000007 1", "settings 00000000000000007",
	};
	char text[2048];

	(void)state;
	for (size_t i = 0; i < COUNT(bad); ++i) {
		*text = '\0';
		line(text, "wg-dynamic-leases 1 wg0 " SECRET_TEXT);
		line(text, bad[i]);
		line(text, "synced");
		if (replay_bytes(text, strlen(text)) != -EILSEQ)
			fail_msg("'%s'", bad[i]);
		assert_int_equal(result.damaged_line, 2);
	}
}

static void a_zero_within_a_line(void **state)
{
	const char record[] = "lease " KEY " - - 1 2\0 3";
	char text[512] = "";
	size_t len = line(text, "wg-dynamic-leases 1 wg0 " SECRET_TEXT);

	(void)state;
	memcpy(text + len, record, sizeof(record) - 1);
	len += sizeof(record) - 1;
	/* Its checksum is right: a reader that stops at the zero would take it. */
	len += sprintf(text + len, " %08x\n", crc32c(record, sizeof(record) - 1));
	assert_int_equal(replay_bytes(text, len), 0);
	assert_int_equal(result.records, 0);
	assert_int_equal(result.dropped, 1);
}

static void checksums(void **state)
{
	static const char *const bad[] = {
		"E3069283", "e306928", "e30692830", "0e306928", "+3069283", "0xe30692", " 3069283",
		"e3069284", "",
	};
	char text[512], record[] = "lease " KEY " - - 1 2";
	uint32_t crc = crc32c(record, strlen(record));

	(void)state;
	for (size_t i = 0; i < COUNT(bad); ++i) {
		*text = '\0';
		line(text, "wg-dynamic-leases 1 wg0 " SECRET_TEXT);
		sprintf(text + strlen(text), "123456789 %s\n", bad[i]);
		line(text, "synced");
		assert_int_equal(replay_bytes(text, strlen(text)), -EILSEQ);
	}
	/* The right one, but not as it is written. */
	*text = '\0';
	line(text, "wg-dynamic-leases 1 wg0 " SECRET_TEXT);
	sprintf(text + strlen(text), "%s\t%08x\n", record, crc);
	sprintf(text + strlen(text), "%s %08X\n", record, crc);
	sprintf(text + strlen(text), "%s%08x\n", record, crc);
	assert_int_equal(replay_bytes(text, strlen(text)), 0);
	assert_int_equal(result.records, 0);
	assert_int_equal(result.dropped, 3);
}

static void zeros(void **state)
{
	static char text[200000];
	size_t len;

	(void)state;
	/* A first write that a crash has left with its length alone; none is as long as the other. */
	assert_int_equal(replay_bytes(text, 160), 0);
	assert_false(result.header);
	assert_int_equal(result.dropped, 1);
	assert_int_equal(replay_bytes(text, 4096), -EILSEQ);
	len = line(text, "wg-dynamic-leases 1 wg0 " SECRET_TEXT);
	len = line(text, "lease " KEY " - - 1 2");
	for (size_t more = 1; more < 150000; more += more < 10 ? 1 : 9973) {
		assert_int_equal(replay_bytes(text, len + more), 0);
		assert_int_equal(result.records, 1);
		assert_true(result.dropped >= 1);
	}
	/* Before what has reached the disk they are damage. */
	text[len + 100] = '\n';
	sprintf(text + len + 101, "synced %08x\n", crc32c("synced", 6));
	assert_int_equal(replay_bytes(text, len + 101 + 16), -EILSEQ);
	assert_int_equal(result.damaged_line, 3);
}

static void lines_that_are_too_long(void **state)
{
	static const size_t sizes[] = { JOURNAL_LINE, 4096, 65535, 65536, 65537, 131072, 200000 };
	static char text[300000];
	size_t before;

	(void)state;
	for (size_t i = 0; i < COUNT(sizes); ++i) {
		memset(text, 0, sizeof(text));
		before = line(text, "wg-dynamic-leases 1 wg0 " SECRET_TEXT);
		before = line(text, "lease " KEY " - - 1 2");
		memset(text + before, 'x', sizes[i]);
		/* Without an end, with one, and with records behind it. */
		assert_int_equal(replay_bytes(text, before + sizes[i]), 0);
		assert_int_equal(result.records, 1);
		assert_true(result.dropped >= 1);
		text[before + sizes[i]] = '\n';
		assert_int_equal(replay_bytes(text, before + sizes[i] + 1), 0);
		assert_int_equal(result.records, 1);
		line(text, "lease " KEY " - - 1 2");
		assert_int_equal(replay_bytes(text, strlen(text)), 0);
		assert_int_equal(result.records, 2);
		line(text, "synced");
		assert_int_equal(replay_bytes(text, strlen(text)), -EILSEQ);
		assert_int_equal(result.damaged_line, 3);
	}
}

static void the_longest_line(void **state)
{
	char record[JOURNAL_LINE], text[1024];

	(void)state;
	/* One byte more is too much, however right its checksum may be. */
	for (int over = 0; over < 2; ++over) {
		sprintf(record, "lease " KEY " - - %0*d 2", JOURNAL_LINE - 67 + over, 1);
		*text = '\0';
		line(text, "wg-dynamic-leases 1 wg0 " SECRET_TEXT);
		line(text, record);
		assert_int_equal(strlen(strchr(text, '\n') + 1), JOURNAL_LINE + over);
		assert_int_equal(replay_bytes(text, strlen(text)), 0);
		assert_int_equal(result.records, !over);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exact_bytes),
		cmocka_unit_test(synced_only_when_there_was_something),
		cmocka_unit_test(a_full_disk_leaves_what_was_there),
		cmocka_unit_test(a_device_that_is_full),
		cmocka_unit_test(a_part_that_stays_is_told),
		cmocka_unit_test(the_file_has_room_for_more),
		cmocka_unit_test(no_room_for_more),
		cmocka_unit_test(room_for_what_comes),
		cmocka_unit_test(records_of_leases),
		cmocka_unit_test(all_kinds_of_records),
		cmocka_unit_test(a_long_journal),
		cmocka_unit_test(records_of_link_locals),
		cmocka_unit_test(a_record_of_settings),
		cmocka_unit_test(nothing_at_all),
		cmocka_unit_test(a_last_record_cut_short),
		cmocka_unit_test(cut_short_at_each_byte),
		cmocka_unit_test(damage_before_a_sync),
		cmocka_unit_test(damage_behind_the_last_sync),
		cmocka_unit_test(lines_of_spaces),
		cmocka_unit_test(headers),
		cmocka_unit_test(a_header_cut_short),
		cmocka_unit_test(records_that_no_one_wrote),
		cmocka_unit_test(a_zero_within_a_line),
		cmocka_unit_test(checksums),
		cmocka_unit_test(zeros),
		cmocka_unit_test(lines_that_are_too_long),
		cmocka_unit_test(the_longest_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
