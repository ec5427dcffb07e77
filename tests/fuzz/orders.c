// SPDX-License-Identifier: MIT
/*
 * What an engine in somebody else's hands orders from the server's monitor. A device of ours takes
 * what the monitor lets through: nothing but addresses that may be leased, to peers that are there,
 * and from nobody else. Each order is answered once. (The monitor's source is part of this one.)
 */

#include <netinet/in.h>
#include <unistd.h>

#include "fuzz.h"
#include "sealed.h"
#include "server-monitor.h"

static int fake_allow(const char *name, const struct device_change *changes, size_t count);
static int fake_take(const char *name, const struct device_change *changes, size_t count);
static int fake_send(struct supervisor *supervisor, const struct message *message, size_t len,
		     int fd);
static int fake_new_journal(struct server_setup *setup);
static int fake_rename(struct server_setup *setup, uint32_t *stands);
static uint64_t fake_now(void);

#define device_allow fake_allow
#define device_take fake_take
#define supervisor_send fake_send
#define server_setup_new_journal fake_new_journal
#define server_setup_rename_journal fake_rename
#define now_ms fake_now
#include "../../src/server-monitor.c"
#include "../../src/server-orders.c"
#undef now_ms

enum { PEERS = 6, ENTRIES = 512, STEPS = 64, RESERVED_FOR = 1, RETIRED_OF = 4 };

/* The device: the truth, and as a child has read it. */
struct device {
	struct device_ip entries[ENTRIES];
	uint32_t count;
};

static struct device device, seen;
static bool reads; /* seen is to come */
static uint32_t seen_stamp, ordered, answered;
static uint64_t clock_ms, seen_began;
static int device_error; /* of the next change */
static struct policy policy;
static int journal_fd;

static const struct cidr retired_ip = { AF_INET, 32, { 198, 51, 100, 4 } };
static const struct cidr reserved_ip = { AF_INET, 32, { 192, 0, 2, 50 } };

/* Sorted; the first is one whose derived link-local would be fe80::. */
static void key_of(uint8_t key[static KEY_LEN], uint32_t peer)
{
	memset(key, peer, KEY_LEN);
	key[KEY_LEN - 1] = 7;
}

static uint32_t peer_of(const uint8_t key[static KEY_LEN])
{
	uint8_t other[KEY_LEN];

	for (uint32_t i = 0; i < PEERS; ++i) {
		key_of(other, i);
		if (!memcmp(key, other, KEY_LEN))
			return i;
	}
	return DEVICE_NOBODY;
}

static uint64_t fake_now(void)
{
	return ++clock_ms;
}

/* --- the device --- */

static void set(const struct cidr *ip, uint32_t peer)
{
	struct device_ip *entry = device.entries;

	while (entry < device.entries + device.count && cidr_compare(&entry->cidr, ip))
		++entry;
	must(entry < device.entries + ENTRIES);
	device.count += entry == device.entries + device.count;
	*entry = (struct device_ip){ .cidr = *ip, .peer = peer };
}

static uint32_t holder(const struct cidr *ip)
{
	for (uint32_t i = 0; i < device.count; ++i) {
		if (!cidr_compare(&device.entries[i].cidr, ip))
			return device.entries[i].peer;
	}
	return DEVICE_NOBODY;
}

static bool is_retired_here(const struct device_change *change)
{
	return !cidr_compare(&change->ip, &retired_ip) && peer_of(change->key) == RETIRED_OF;
}

static void check_allow(const struct device_change *change)
{
	const struct pool *pool = pools_find(&monitor.guard.pools, &change->ip);
	uint32_t peer = peer_of(change->key);
	struct cidr derived;

	must(peer != DEVICE_NOBODY && cidr_is_host(&change->ip));
	must(holder(&change->ip) == peer || holder(&change->ip) == DEVICE_NOBODY);
	cidr_derived(&derived, change->key);
	if (!cidr_compare(&derived, &change->ip)) {
		must(monitor.guard.link_locals && peer);
		return;
	}
	must(cidr_is_assignable(&change->ip));
	must(is_retired_here(change) || (pool && !pool_excludes(pool, &change->ip)));
	must(cidr_compare(&change->ip, &reserved_ip) || peer == RESERVED_FOR);
	for (uint32_t i = 0; i < device.count; ++i)
		must(device.entries[i].peer == peer || device.entries[i].peer == DEVICE_NOBODY ||
		     device.entries[i].cidr.prefix <= (pool ? pool->net.prefix : 0) ||
		     !cidr_contains(&device.entries[i].cidr, &change->ip));
}

static int fails(void)
{
	int ret = device_error;

	device_error = 0;
	return ret;
}

static int fake_allow(const char *name, const struct device_change *changes, size_t count)
{
	must(!strcmp(name, "wg0") && count <= DEVICE_BATCH);
	for (size_t i = 0; i < count && !device_error; ++i) {
		check_allow(&changes[i]);
		set(&changes[i].ip, peer_of(changes[i].key));
	}
	return fails();
}

static int fake_take(const char *name, const struct device_change *changes, size_t count)
{
	uint32_t peer;

	must(!strcmp(name, "wg0") && count <= DEVICE_BATCH);
	for (size_t i = 0; i < count && !device_error; ++i) {
		peer = holder(&changes[i].ip);
		must(peer == peer_of(changes[i].key) || peer == DEVICE_NOBODY);
		must(pools_find(&monitor.guard.pools, &changes[i].ip) ||
		     is_retired_here(&changes[i]));
		if (peer != DEVICE_NOBODY)
			set(&changes[i].ip, DEVICE_NOBODY);
	}
	return fails();
}

static int compare_entries(const void *a, const void *b)
{
	const struct device_ip *x = a, *y = b;
	int diff = (x->peer > y->peer) - (x->peer < y->peer);

	return diff ? diff : cidr_compare(&x->cidr, &y->cidr);
}

/* As the child of device_read() would make it. */
static struct reading reading_of(struct device *from)
{
	struct device_head head = { .peers = PEERS };
	struct device_peer peers[PEERS] = { 0 };
	struct reading reading = { 0 };
	int fd = sealed_open("reading");

	qsort(from->entries, from->count, sizeof(*from->entries), compare_entries);
	for (uint32_t i = 0; i < from->count; ++i) {
		const struct device_ip *ip = &from->entries[i];

		if (ip->peer == DEVICE_NOBODY)
			break; /* the last of them */
		if (ip->peer < PEERS && !peers[ip->peer].count++)
			peers[ip->peer].first = i;
		++head.ips;
	}
	for (uint32_t i = 0; i < PEERS; ++i)
		key_of(peers[i].key, i);
	must(fd >= 0 && !reading_write(fd, &head, peers, from->entries));
	must(!reading_map(&reading, fd));
	close(fd);
	return reading;
}

static void begin_reading(void)
{
	seen = device;
	seen_stamp = monitor.stamp;
	seen_began = fake_now();
	reads = true;
}

static void end_reading(void)
{
	struct reading reading;

	if (!reads)
		return;
	reads = false;
	reading = reading_of(&seen);
	guard_adopt(&monitor.guard, &reading, seen_stamp);
	monitor.reading.began = seen_began;
	monitor.adopted = fake_now();
	while (!orders_turn(fake_now()))
		;
}

/* --- the rest of the world --- */

static int fake_send(struct supervisor *supervisor, const struct message *message, size_t len,
		     int fd)
{
	const struct server_done *done = (const void *)message;

	must(supervisor == &monitor.supervisor);
	if (message->type != SERVER_DONE) {
		must(message->type == SERVER_JOURNAL || message->type == SERVER_RENAMED);
		return 0;
	}
	must(fd == -1 && len == SERVER_LENGTH(done, errors));
	must(done->order && done->order <= ordered);
	++answered;
	return 0;
}

static int fake_new_journal(struct server_setup *setup)
{
	must(setup == &monitor.setup);
	return -EIO;
}

static int fake_rename(struct server_setup *setup, uint32_t *stands)
{
	must(setup == &monitor.setup && stands);
	return -ENOENT;
}

/* --- the engine --- */

static void input_ip(struct input *input, struct cidr *ip, const uint8_t key[static KEY_LEN])
{
	uint8_t kind = input_byte(input);

	memset(ip, 0, sizeof(*ip));
	switch (kind) {
	case 'r':
		*ip = retired_ip;
		break;
	case 'd':
		cidr_derived(ip, key);
		break;
	case '6':
		*ip = (struct cidr){ AF_INET6, 128, { 0x20, 0x01, 0x0d, 0xb8 } };
		ip->ip[15] = input_byte(input);
		break;
	case 'n':
		*ip = (struct cidr){ AF_INET, input_byte(input) % 33, { 192, 0, 2 } };
		ip->ip[3] = input_byte(input);
		break;
	case 'x':
		input_bytes(input, ip, sizeof(*ip));
		break;
	default:
		*ip = (struct cidr){ AF_INET, 32, { 192, 0, 2, kind } };
	}
}

static void input_change(struct input *input, struct device_change *change)
{
	uint8_t who = input_byte(input);

	if (who == 'x')
		input_bytes(input, change->key, KEY_LEN);
	else
		key_of(change->key, who % (PEERS + 1));
	input_ip(input, &change->ip, change->key);
}

static void send_orders(struct input *input, uint32_t type)
{
	union message_buffer buffer = { .head.type = type };
	struct server_orders *orders = (void *)&buffer;

	orders->head.count = input_byte(input) % (DEVICE_BATCH + 1);
	orders->order = ordered += 1;
	for (uint32_t i = 0; i < orders->head.count; ++i)
		input_change(input, &orders->changes[i]);
	engine_message(&monitor.supervisor, &buffer, SERVER_LENGTH(orders, changes), -1);
}

static void send_log(struct input *input)
{
	union message_buffer buffer = { .head.type = SERVER_LOG };
	struct server_log *log = (void *)&buffer;

	log->head.count = input_byte(input) % (SERVER_LOG_ITEMS + 1);
	for (uint32_t i = 0; i < log->head.count; ++i) {
		input_bytes(input, &log->items[i], sizeof(log->items[i]));
		if (input->len & 1)
			log->items[i].event %= EVENT_TYPES;
	}
	engine_message(&monitor.supervisor, &buffer, SERVER_LENGTH(log, items), -1);
}

/* What the administrator does is read at once. */
static void administrate(struct input *input)
{
	uint32_t peer = input_byte(input) % (PEERS + 2);
	uint8_t key[KEY_LEN];
	struct cidr ip;

	key_of(key, peer);
	input_ip(input, &ip, key);
	if (!family_bits(ip.family) || ip.prefix > family_bits(ip.family))
		return;
	if (peer >= PEERS)
		peer = peer == PEERS ? DEVICE_NOBODY : DEVICE_SELF;
	if (peer == DEVICE_SELF)
		ip.prefix = family_bits(ip.family);
	cidr_mask(&ip);
	if (ip.family == AF_INET)
		memset(ip.ip + 4, 0, sizeof(ip.ip) - 4);
	set(&ip, peer);
	begin_reading();
	end_reading();
}

static void step(struct input *input)
{
	union message_buffer other = { 0 };
	uint32_t before = answered;

	switch (input_byte(input)) {
	case 'a':
		send_orders(input, SERVER_ALLOW);
		must(answered == before + 1);
		break;
	case 't':
		send_orders(input, SERVER_TAKE);
		break;
	case 'b':
		begin_reading();
		break;
	case 'e':
		end_reading();
		break;
	case 'g':
		administrate(input);
		break;
	case 'l':
		send_log(input);
		break;
	case 'f':
		device_error = input_byte(input) & 1 ? -EBUSY : -ENODEV;
		break;
	case 'o':
		other.head.type = input_byte(input);
		if (other.head.type != SERVER_READY && other.head.type != SERVER_ALLOW &&
		    other.head.type != SERVER_TAKE)
			engine_message(&monitor.supervisor, &other, sizeof(struct server_plain), -1);
		break;
	}
}

/* --- the monitor --- */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct reservation reserved = { .ip = reserved_ip };
	struct settings settings = { .reservations = &reserved, .reservation_count = 1 };
	struct journal journal = { .fd = memory_file("", 0) };
	struct journal_lease lease = { .holding = { HOLDING_LEASED }, .ip = { retired_ip } };

	(void)argc;
	(void)argv;
	key_of(reserved.key, RESERVED_FOR);
	must(!policy_map(&policy, policy_make(&settings)));
	key_of(lease.key, RETIRED_OF);
	must(journal_header(&journal, "wg0", reserved.key) && journal_lease(&journal, &lease));
	must(!journal_write(&journal));
	journal_fd = journal.fd;
	free(journal.buf);
	return 0;
}

static void begin(bool link_locals)
{
	memset(&monitor, 0, sizeof(monitor));
	monitor.takes_end = &monitor.takes;
	monitor.stop_at = monitor.read_at = NEVER;
	monitor.supervisor.channel.fd = -1;
	strcpy(monitor.setup.start.interface, "wg0");
	must(!pools_add(&monitor.guard.pools, "192.0.2.0/24", 12));
	must(!pools_add(&monitor.guard.pools, "2001:db8::/64", 13));
	must(!pools_exclude(&monitor.guard.pools, "192.0.2.64/28", 13));
	monitor.guard.policy = &policy;
	monitor.guard.link_locals = link_locals;
	must(served_add(&monitor.guard.served, &retired_ip));
	must(!guard_retired(&monitor.guard, journal_fd));
	monitor.served = monitor.guard.served;
	memset(&device, 0, sizeof(device));
	ordered = answered = device_error = reads = clock_ms = 0;
	begin_reading();
	end_reading();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct input input = { data, len };

	begin(input_byte(&input) & 1);
	for (int i = 0; i < STEPS && input.len; ++i)
		step(&input);
	begin_reading();
	end_reading();
	must(answered == ordered);
	reading_unmap(&monitor.guard.reading);
	free(monitor.guard.changes.list);
	free(monitor.guard.changes.buckets);
	free(monitor.guard.retired);
	return 0;
}
