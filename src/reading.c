// SPDX-License-Identifier: MIT
/* The memory file of a reading: how it is made, and how it is looked into. */

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "reading.h"
#include "sealed.h"

#define NONE UINT32_MAX

enum { UNMAP = 4 << 20 /* bytes, at a time */ };

/* --- making --- */

/* Half of them stay empty: each entry that is looked at in vain is one more miss of the cache. */
static uint32_t buckets_for(uint32_t count)
{
	uint32_t buckets = 1;

	while (buckets / 2 < count)
		buckets *= 2;
	return buckets;
}

static uint32_t ip_bucket(const struct device_head *head, const struct cidr *cidr)
{
	return (hash_ip(&head->hash, cidr) + cidr->prefix) & (head->ip_buckets - 1);
}

static uint32_t peer_bucket(const struct device_head *head, const uint8_t *key)
{
	return hash_key(&head->hash, key) & (head->peer_buckets - 1);
}

/* From the last to the first, so that a bucket has them in their order. */
static void link_all(const struct device_head *head, struct device_peer *peers,
		     struct device_ip *ips, uint32_t *peer_buckets, uint32_t *ip_buckets)
{
	uint32_t *bucket;

	memset(peer_buckets, 0xff, head->peer_buckets * sizeof(*peer_buckets));
	memset(ip_buckets, 0xff, head->ip_buckets * sizeof(*ip_buckets));
	for (uint32_t i = head->peers; i--;) {
		bucket = &peer_buckets[peer_bucket(head, peers[i].key)];
		peers[i].next = *bucket;
		*bucket = i;
	}
	for (uint32_t i = head->ips; i--;) {
		bucket = &ip_buckets[ip_bucket(head, &ips[i].cidr)];
		ips[i].next = *bucket;
		*bucket = i;
	}
}

static void fill_head(struct device_head *head, const struct device_ip *ips)
{
	static const struct cidr all = { AF_INET6, 10, { 0xfe, 0x80 } };

	head->wide_link_local = 0;
	head->peer_buckets = buckets_for(head->peers);
	head->ip_buckets = buckets_for(head->ips);
	memset(head->lengths, 0, sizeof(head->lengths));
	for (uint32_t i = 0; i < head->ips; ++i) {
		const struct cidr *cidr = &ips[i].cidr;

		head->lengths[cidr->family == AF_INET6][cidr->prefix / 64] |=
			UINT64_C(1) << cidr->prefix % 64;
		head->wide_link_local |= ips[i].peer != DEVICE_SELF && !cidr_is_host(cidr) &&
					 cidr_overlaps(cidr, &all);
	}
}

int reading_write(int fd, struct device_head *head, struct device_peer *peers,
		  struct device_ip *ips)
{
	uint32_t *peer_buckets, *ip_buckets;
	uint8_t secret[16];
	int ret = -ENOMEM;

	if (getrandom(secret, sizeof(secret), 0) != sizeof(secret))
		return -errno;
	hash_open(&head->hash, secret);
	fill_head(head, ips);
	peer_buckets = calloc(head->peer_buckets, sizeof(*peer_buckets));
	ip_buckets = calloc(head->ip_buckets, sizeof(*ip_buckets));
	if (!peer_buckets || !ip_buckets)
		goto cleanup;
	link_all(head, peers, ips, peer_buckets, ip_buckets);
	ret = sealed_write(fd, head, sizeof(*head));
	if (!ret)
		ret = sealed_write(fd, peers, head->peers * sizeof(*peers));
	if (!ret)
		ret = sealed_write(fd, ips, head->ips * sizeof(*ips));
	if (!ret)
		ret = sealed_write(fd, peer_buckets, head->peer_buckets * sizeof(*peer_buckets));
	if (!ret)
		ret = sealed_write(fd, ip_buckets, head->ip_buckets * sizeof(*ip_buckets));
	if (!ret)
		ret = sealed_close(fd);
cleanup:
	free(peer_buckets);
	free(ip_buckets);
	return ret;
}

/* --- looking --- */

int reading_map(struct reading *reading, int fd)
{
	const void *bytes;
	const struct device_head *head;
	int ret = sealed_map(fd, sizeof(*head), &bytes, &reading->size);

	if (ret)
		return ret;
	reading->head = head = bytes;
	reading->peers = (const struct device_peer *)(head + 1);
	reading->ips = (const struct device_ip *)(reading->peers + head->peers);
	reading->peer_buckets = (const uint32_t *)(reading->ips + head->ips);
	reading->ip_buckets = reading->peer_buckets + head->peer_buckets;
	if (reading->size == sizeof(*head) + (size_t)head->peers * sizeof(*reading->peers) +
				     (size_t)head->ips * sizeof(*reading->ips) +
				     ((size_t)head->peer_buckets + head->ip_buckets) *
					     sizeof(uint32_t))
		return 0;
	reading_unmap(reading);
	return -EPROTO;
}

void reading_unmap(struct reading *reading)
{
	if (reading->head)
		munmap((void *)reading->head, reading->size);
	memset(reading, 0, sizeof(*reading));
}

bool reading_unmap_some(struct reading *reading)
{
	size_t rest = reading->size > UNMAP ? reading->size - UNMAP : 0;

	rest -= rest % UNMAP; /* whole pages */
	if (reading->head)
		munmap((char *)reading->head + rest, reading->size - rest);
	reading->size = rest;
	if (!rest)
		reading->head = NULL;
	return rest;
}

uint32_t reading_peer(const struct reading *reading, const uint8_t key[static KEY_LEN])
{
	uint32_t at = NONE;

	if (reading->head)
		at = reading->peer_buckets[peer_bucket(reading->head, key)];
	while (at != NONE && memcmp(reading->peers[at].key, key, KEY_LEN))
		at = reading->peers[at].next;
	return at;
}

/* The entry of exactly this prefix that is not the excepted peer's. */
static const struct device_ip *exact(const struct reading *reading, const struct cidr *cidr,
				     uint32_t except)
{
	uint32_t at = reading->ip_buckets[ip_bucket(reading->head, cidr)];

	for (; at != NONE; at = reading->ips[at].next) {
		const struct device_ip *ip = &reading->ips[at];

		if (ip->peer != except && !memcmp(&ip->cidr, cidr, sizeof(*cidr)))
			return ip;
	}
	return NULL;
}

const struct device_ip *reading_exact(const struct reading *reading, const struct cidr *cidr)
{
	return reading->head ? exact(reading, cidr, DEVICE_NOBODY) : NULL;
}

/* The longest prefix length of the family that there is, up to this one; -1: none. */
static int length_below(const struct device_head *head, uint8_t family, int prefix)
{
	const uint64_t *lengths = head->lengths[family == AF_INET6];
	uint64_t bits;

	for (int word = prefix / 64; prefix >= 0; prefix = word-- * 64 - 1) {
		bits = lengths[word] << (63 - prefix % 64);
		if (bits)
			return prefix - __builtin_clzll(bits);
	}
	return -1;
}

const struct device_ip *reading_holder(const struct reading *reading, const struct cidr *cidr,
				       int over, uint32_t except)
{
	const struct device_ip *found;
	struct cidr net = *cidr;
	int prefix = cidr->prefix;

	if (!reading->head)
		return NULL;
	while ((prefix = length_below(reading->head, cidr->family, prefix)) > over) {
		net.prefix = prefix--;
		cidr_mask(&net);
		found = exact(reading, &net, except);
		if (found)
			return found;
	}
	return NULL;
}

static int find_compare(const void *cidr, const void *ip)
{
	return cidr_compare(cidr, &((const struct device_ip *)ip)->cidr);
}

bool reading_has(const struct reading *reading, uint32_t peer, const struct cidr *ip)
{
	const struct device_peer *p;

	if (peer >= (reading->head ? reading->head->peers : 0))
		return false;
	p = &reading->peers[peer];
	return bsearch(ip, reading->ips + p->first, p->count, sizeof(*reading->ips), find_compare);
}
