// SPDX-License-Identifier: MIT
/* Hash tables with chains of indices: 170 bytes for a peer with three prefixes. */

#include <err.h>
#include <stdlib.h>
#include <string.h>

#include "peers.h"

void *grown(void *old, size_t count, size_t size)
{
	void *new = reallocarray(old, count, size);

	if (!new)
		err(1, "no memory");
	return new;
}

static uint64_t mix(uint64_t x)
{
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93;
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93;
	return x ^ x >> 32;
}

static uint32_t key_hash(const uint8_t key[static KEY])
{
	uint64_t word[2];

	memcpy(word, key, sizeof(word));
	return mix(word[0] ^ mix(word[1]));
}

static uint32_t ip_hash(const uint8_t address[static 16], bool v6, uint8_t prefix)
{
	uint64_t word[2];

	memcpy(word, address, sizeof(word));
	return mix(word[0] ^ mix(word[1] ^ (v6 << 8 | prefix)));
}

static uint32_t *heads(uint32_t mask)
{
	uint32_t *new = grown(NULL, (size_t)mask + 1, sizeof(*new));

	memset(new, 0xff, ((size_t)mask + 1) * sizeof(*new));
	return new;
}

static void rehash_peers(struct table *t)
{
	uint32_t *head;

	free(t->peer_heads);
	t->peer_heads = heads(t->peer_mask);
	for (uint32_t i = 0; i < t->peers; ++i) {
		if (!t->peer[i].used)
			continue;
		head = &t->peer_heads[key_hash(t->peer[i].key) & t->peer_mask];
		t->peer[i].next = *head;
		*head = i;
	}
}

static void rehash_ips(struct table *t)
{
	uint32_t *head;

	free(t->ip_heads);
	t->ip_heads = heads(t->ip_mask);
	for (uint32_t i = 0; i < t->ips; ++i) {
		if (t->ip[i].peer == NONE)
			continue;
		head = &t->ip_heads[ip_hash(t->ip[i].address, t->ip[i].v6, t->ip[i].prefix) &
				    t->ip_mask];
		t->ip[i].chain = *head;
		*head = i;
	}
}

void table_open(struct table *t, uint32_t peers)
{
	memset(t, 0, sizeof(*t));
	t->peer_free = t->ip_free = NONE;
	t->peer_room = peers + 64;
	t->ip_room = 3 * peers + 64; /* a link-local and what is leased */
	for (t->peer_mask = 63; t->peer_mask < t->peer_room;)
		t->peer_mask = 2 * t->peer_mask + 1;
	for (t->ip_mask = 63; t->ip_mask < t->ip_room;)
		t->ip_mask = 2 * t->ip_mask + 1;
	t->peer = grown(NULL, t->peer_room, sizeof(*t->peer));
	t->ip = grown(NULL, t->ip_room, sizeof(*t->ip));
	t->peer_heads = heads(t->peer_mask);
	t->ip_heads = heads(t->ip_mask);
}

uint32_t peer_find(const struct table *t, const uint8_t key[static KEY])
{
	uint32_t i = t->peer_heads[key_hash(key) & t->peer_mask];

	while (i != NONE && memcmp(t->peer[i].key, key, KEY))
		i = t->peer[i].next;
	return i;
}

uint32_t peer_add(struct table *t, const uint8_t key[static KEY])
{
	uint32_t i = t->peer_free, *head;

	if (i != NONE) {
		t->peer_free = t->peer[i].next;
	} else {
		if (t->peers == t->peer_room) {
			t->peer_room *= 2;
			t->peer = grown(t->peer, t->peer_room, sizeof(*t->peer));
			t->peer_mask = 2 * t->peer_mask + 1;
			rehash_peers(t);
		}
		i = t->peers++;
	}
	head = &t->peer_heads[key_hash(key) & t->peer_mask];
	memcpy(t->peer[i].key, key, KEY);
	t->peer[i].ips = NONE;
	t->peer[i].next = *head;
	t->peer[i].used = true;
	*head = i;
	++t->peers_used;
	return i;
}

/* From the list of its peer. */
static void ip_unlink(struct table *t, uint32_t i)
{
	struct ip *ip = &t->ip[i];

	if (ip->before == NONE)
		t->peer[ip->peer].ips = ip->next;
	else
		t->ip[ip->before].next = ip->next;
	if (ip->next != NONE)
		t->ip[ip->next].before = ip->before;
}

static void ip_link(struct table *t, uint32_t i, uint32_t peer)
{
	struct ip *ip = &t->ip[i];

	ip->peer = peer;
	ip->before = NONE;
	ip->next = t->peer[peer].ips;
	if (ip->next != NONE)
		t->ip[ip->next].before = i;
	t->peer[peer].ips = i;
}

static void ip_remove(struct table *t, uint32_t i)
{
	struct ip *ip = &t->ip[i];
	uint32_t *at = &t->ip_heads[ip_hash(ip->address, ip->v6, ip->prefix) & t->ip_mask];

	while (*at != i)
		at = &t->ip[*at].chain;
	*at = ip->chain;
	ip_unlink(t, i);
	ip->peer = NONE;
	ip->chain = t->ip_free;
	t->ip_free = i;
	--t->ips_used;
}

void peer_clear(struct table *t, uint32_t peer)
{
	while (t->peer[peer].ips != NONE)
		ip_remove(t, t->peer[peer].ips);
}

void peer_remove(struct table *t, uint32_t peer)
{
	uint32_t *at = &t->peer_heads[key_hash(t->peer[peer].key) & t->peer_mask];

	peer_clear(t, peer);
	while (*at != peer)
		at = &t->peer[*at].next;
	*at = t->peer[peer].next;
	t->peer[peer].used = false;
	t->peer[peer].next = t->peer_free;
	t->peer_free = peer;
	--t->peers_used;
}

static uint32_t ip_new(struct table *t)
{
	uint32_t i = t->ip_free;

	++t->ips_used;
	if (i != NONE) {
		t->ip_free = t->ip[i].chain;
		return i;
	}
	if (t->ips == t->ip_room) {
		t->ip_room *= 2;
		t->ip = grown(t->ip, t->ip_room, sizeof(*t->ip));
		t->ip_mask = 2 * t->ip_mask + 1;
		rehash_ips(t);
	}
	return t->ips++;
}

void ip_give(struct table *t, uint32_t peer, const uint8_t address[static 16], bool v6,
	     uint8_t prefix)
{
	uint32_t hash = ip_hash(address, v6, prefix), i = t->ip_heads[hash & t->ip_mask];

	while (i != NONE && (t->ip[i].prefix != prefix || t->ip[i].v6 != v6 ||
			     memcmp(t->ip[i].address, address, 16)))
		i = t->ip[i].chain;
	if (i != NONE) {
		if (t->ip[i].peer == peer)
			return;
		++t->moved;
		ip_unlink(t, i);
		ip_link(t, i, peer);
		return;
	}
	i = ip_new(t);
	memcpy(t->ip[i].address, address, 16);
	t->ip[i].v6 = v6;
	t->ip[i].prefix = prefix;
	t->ip[i].chain = t->ip_heads[hash & t->ip_mask];
	t->ip_heads[hash & t->ip_mask] = i;
	ip_link(t, i, peer);
}

static uint64_t spread(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

void table_fill(struct table *t, uint32_t peers)
{
	uint8_t address[16] = { 0xfe, 0x80, [11] = 1 };
	uint64_t key[KEY / 8];

	for (uint32_t n = 1; n <= peers; ++n) {
		for (int i = 0; i < KEY / 8; ++i)
			key[i] = spread(((uint64_t)n * 4 + i) * 0x9e3779b97f4a7c15);
		address[12] = n >> 24;
		address[13] = n >> 16;
		address[14] = n >> 8;
		address[15] = n;
		ip_give(t, peer_add(t, (uint8_t *)key), address, true, 128);
	}
}
