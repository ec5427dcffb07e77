// SPDX-License-Identifier: MIT
/* The device: a list of allowed-ips. */

#include "sealed.h"
#include "world.h"

int peer_of_key(const uint8_t *key)
{
	for (int p = 0; p < PEERS; ++p) {
		if (!memcmp(world.peers[p].key, key, KEY_LEN))
			return p;
	}
	return -1;
}

struct entry *entry_of(const struct cidr *ip)
{
	for (uint32_t i = 0; i < world.entry_count; ++i) {
		if (!cidr_compare(&world.entries[i].ip, ip))
			return &world.entries[i];
	}
	return NULL;
}

static void entry_remove(struct entry *entry)
{
	*entry = world.entries[--world.entry_count];
}

/* What a peer holds by a lease, and is then given by the administrator, counts as leased. */
static bool is_leased(const struct cidr *ip, int peer)
{
	uint32_t lease = server.leases.count ?
		leases_find(&server.leases, world.peers[peer].key) : LEASE_NONE;
	int v = family_index(ip->family);
	struct cidr held;

	return !cidr_compare(&world.peers[peer].durable[v].ip, ip) ||
	       (lease != LEASE_NONE && lease_ip(&server.leases.list[lease], v, &held) &&
		lease_holds(&server.leases.list[lease], v) && !cidr_compare(&held, ip));
}

void entry_set(const struct cidr *ip, int peer, bool ours)
{
	struct entry *entry = entry_of(ip);

	if (!entry)
		entry = &world.entries[world.entry_count++];
	if (world.entry_count == ENTRIES)
		wrong("too many entries", peer, ip);
	*entry = (struct entry){ *ip, peer, ours, !ours && is_leased(ip, peer), sim_now };
}

void peer_empty(int p)
{
	for (uint32_t i = world.entry_count; i--;) {
		if (world.entries[i].peer == p)
			entry_remove(&world.entries[i]);
	}
}

/* What the administrator's file has for it. */
void peer_static(int p)
{
	struct cidr ip;

	if (p < WITHOUT) {
		cidr_host(&ip, AF_INET6, world.peers[p].link_local);
		entry_set(&ip, p, false);
	}
	if (p == 1) {
		ip = address("192.0.2.5");
		entry_set(&ip, p, false);
		promises_drop_address(&ip, p);
	} else if (p == 2) {
		ip = address("2001:db8::8/126");
		entry_set(&ip, p, false);
		promises_drop_address(&ip, p);
	}
}

/* Only what is later than the reading that the monitor decides by, it may not know of. */
static bool is_known(uint64_t changed)
{
	return monitor.reading.began > changed;
}

/* known: the reading by which it was ordered. */
int device_do_allow(const struct device_change *change, uint64_t known)
{
	int p = peer_of_key(change->key);
	struct entry *entry = entry_of(&change->ip);

	trace("allow peer %d %s", p, text_of(&change->ip));
	if (p < 0)
		wrong("an order for a peer that never was", -1, &change->ip);
	if (!world.peers[p].there)
		return 0; /* nothing is made, and nobody is told */
	if (entry && entry->peer != p && !entry->ours && is_known(entry->changed))
		wrong("takes what the administrator gave to another", p, &change->ip);
	if (!entry || entry->peer != p)
		entry_set(&change->ip, p, true);
	else if (entry->changed >= known) /* both give it at once */
		entry->leased = true;
	return 0;
}

int device_do_take(const struct device_change *change)
{
	struct entry *entry = entry_of(&change->ip);

	trace("take %s", text_of(&change->ip));
	if (!entry)
		return 0;
	if (!entry->ours && !entry->leased && is_known(entry->changed))
		wrong("takes back what the administrator gave", entry->peer, &change->ip);
	entry_remove(entry);
	return 0;
}

static int by_address(const void *a, const void *b)
{
	return cidr_compare(&((const struct device_ip *)a)->cidr,
			    &((const struct device_ip *)b)->cidr);
}

/*
 * The peer that makes the device a large one: it has more allowed-ips than with which the device is
 * read for each decision, and nothing else ever happens to it.
 */
static struct device_peer large_peer(struct device_ip *ips, uint32_t first, uint32_t index)
{
	struct device_peer peer = { .first = first, .count = LARGE_DEVICE + 1 };
	struct cidr ip = address("fd00::");

	memset(peer.key, 0xff, KEY_LEN);
	for (uint32_t i = 0; i < LARGE_DEVICE; ++i) {
		ip.ip[14] = i >> 8;
		ip.ip[15] = i;
		ips[i] = (struct device_ip){ ip, 0, index, 0 };
	}
	ips[LARGE_DEVICE] = (struct device_ip){ address("fe80::ff"), 0, index, 0 };
	return peer;
}

/* As the child of device_read() leaves it. */
int reading_make(void)
{
	static struct {
		struct device_head head;
		struct device_peer peers[PEERS + 1];
		struct device_ip ips[ENTRIES + LARGE_DEVICE + 2];
	} r;
	const struct cidr own = address("192.0.2.1");
	int fd = sealed_open("reading");
	struct device_head *head = &r.head;

	memset(head, 0, sizeof(*head));
	for (int p = 0; p < PEERS; ++p) { /* in the order of their keys */
		struct device_peer *peer = &r.peers[head->peers];

		if (!world.peers[p].there)
			continue;
		*peer = (struct device_peer){ .first = head->ips };
		memcpy(peer->key, world.peers[p].key, KEY_LEN);
		for (uint32_t i = 0; i < world.entry_count; ++i) {
			if (world.entries[i].peer == p)
				r.ips[head->ips++] = (struct device_ip){ world.entries[i].ip, 0,
									 head->peers, 0 };
		}
		peer->count = head->ips - peer->first;
		qsort(r.ips + peer->first, peer->count, sizeof(*r.ips), by_address);
		++head->peers;
	}
	if (world.large) {
		r.peers[head->peers] = large_peer(r.ips + head->ips, head->ips, head->peers);
		head->ips += r.peers[head->peers++].count;
	}
	r.ips[head->ips++] = (struct device_ip){ own, 0, DEVICE_SELF, 0 };
	if (fd < 0 || reading_write(fd, head, r.peers, r.ips))
		wrong("no reading", -1, NULL);
	return fd;
}
