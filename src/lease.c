// SPDX-License-Identifier: MIT
/*
 * One array of leases; three chained hash tables over it (key, IPv4, IPv6), a binary heap by
 * expiry, and for each family a list of remembered addresses in the order in which they ended.
 * All refer to a lease by its index, of 32 bits: the memory of a lease is what limits a server.
 */

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "lease.h"

enum { FIRST_ROOM = 16 };

void leases_open(struct leases *leases, struct pools *pools, const uint8_t secret[static 16])
{
	memset(leases, 0, sizeof(*leases));
	leases->pools = pools;
	leases->unused = LEASE_NONE;
	for (int v = V4; v < FAMILIES; ++v)
		leases->oldest[v] = leases->newest[v] = LEASE_NONE;
	memcpy(leases->secret, secret, sizeof(leases->secret));
	hash_open(&leases->hash, secret);
}

void leases_close(struct leases *leases)
{
	free(leases->list);
	free(leases->heap);
	free(leases->by_key);
	free(leases->by_ip[V4]);
	free(leases->by_ip[V6]);
}

bool lease_ip(const struct lease *lease, int v, struct cidr *ip)
{
	cidr_host(ip, family_of(v), v == V4 ? lease->ip4 : lease->ip6);
	return lease->holding[v] != HOLDING_NONE;
}

bool lease_holds(const struct lease *lease, int v)
{
	if (v == FAMILIES)
		return lease_holds(lease, V4) || lease_holds(lease, V6);
	return lease->holding[v] >= HOLDING_LEASED;
}

/* --- hash tables --- */

static uint32_t key_bucket(const struct leases *leases, const uint8_t *key)
{
	return hash_key(&leases->hash, key) & (leases->buckets - 1);
}

static size_t ip_len(int v)
{
	return v == V4 ? 4 : 16;
}

static uint32_t ip_bucket(const struct leases *leases, const struct cidr *ip)
{
	return hash_ip(&leases->hash, ip) & (leases->buckets - 1);
}

static const uint8_t *ip_bytes(const struct lease *lease, int v)
{
	return v == V4 ? lease->ip4 : lease->ip6;
}

static void ip_link(struct leases *leases, uint32_t index, int v)
{
	struct lease *lease = &leases->list[index];
	struct cidr ip;
	uint32_t *bucket;

	lease_ip(lease, v, &ip);
	bucket = &leases->by_ip[v][ip_bucket(leases, &ip)];
	lease->next_ip[v] = *bucket;
	*bucket = index;
}

static void ip_unlink(struct leases *leases, uint32_t index, int v)
{
	struct lease *lease = &leases->list[index];
	struct cidr ip;
	uint32_t *at;

	lease_ip(lease, v, &ip);
	at = &leases->by_ip[v][ip_bucket(leases, &ip)];
	while (*at != index)
		at = &leases->list[*at].next_ip[v];
	*at = lease->next_ip[v];
}

static void key_link(struct leases *leases, uint32_t index)
{
	uint32_t *bucket = &leases->by_key[key_bucket(leases, leases->list[index].key)];

	leases->list[index].next_key = *bucket;
	*bucket = index;
}

static void key_unlink(struct leases *leases, uint32_t index)
{
	uint32_t *at = &leases->by_key[key_bucket(leases, leases->list[index].key)];

	while (*at != index)
		at = &leases->list[*at].next_key;
	*at = leases->list[index].next_key;
}

static bool grow(uint32_t **array, uint32_t count)
{
	uint32_t *larger = reallocarray(*array, count, sizeof(**array));

	if (larger)
		*array = larger;
	return larger;
}

static bool rehash(struct leases *leases, uint32_t buckets)
{
	if (!grow(&leases->by_key, buckets) || !grow(&leases->by_ip[V4], buckets) ||
	    !grow(&leases->by_ip[V6], buckets))
		return false;
	leases->buckets = buckets;
	memset(leases->by_key, 0xff, buckets * sizeof(uint32_t));
	memset(leases->by_ip[V4], 0xff, buckets * sizeof(uint32_t));
	memset(leases->by_ip[V6], 0xff, buckets * sizeof(uint32_t));
	for (uint32_t i = 0; i < leases->count; ++i) {
		struct lease *lease = &leases->list[i];

		if (lease->heap == LEASE_NONE - 1) /* unused */
			continue;
		key_link(leases, i);
		for (int v = V4; v < FAMILIES; ++v) {
			if (lease->holding[v])
				ip_link(leases, i, v);
		}
	}
	return true;
}

bool leases_reserve(struct leases *leases, uint32_t count)
{
	uint32_t buckets = leases->buckets ? leases->buckets : FIRST_ROOM;
	struct lease *list;

	/* Half stay empty: to find that nobody has an address, one look is mostly enough. */
	while (buckets / 2 < count)
		buckets *= 2;
	/* Buckets first: with room but no bucket, a lease could be made that nobody finds. */
	if (buckets != leases->buckets && !rehash(leases, buckets))
		return false;
	if (count <= leases->room)
		return true;
	if (!grow(&leases->heap, count))
		return false;
	list = reallocarray(leases->list, count, sizeof(*list));
	if (!list)
		return false;
	leases->list = list;
	leases->room = count;
	return true;
}

/* --- expiry: a binary heap of indices --- */

static uint64_t heap_key(const struct leases *leases, uint32_t place)
{
	return leases->list[leases->heap[place]].expires;
}

static void heap_put(struct leases *leases, uint32_t place, uint32_t index)
{
	leases->heap[place] = index;
	leases->list[index].heap = place;
}

static void heap_sift(struct leases *leases, uint32_t place)
{
	uint32_t index = leases->heap[place], child;
	uint64_t key = leases->list[index].expires;

	while (place && heap_key(leases, (place - 1) / 2) > key) {
		heap_put(leases, place, leases->heap[(place - 1) / 2]);
		place = (place - 1) / 2;
	}
	while ((child = 2 * place + 1) < leases->heaped) {
		if (child + 1 < leases->heaped &&
		    heap_key(leases, child + 1) < heap_key(leases, child))
			++child;
		if (heap_key(leases, child) >= key)
			break;
		heap_put(leases, place, leases->heap[child]);
		place = child;
	}
	heap_put(leases, place, index);
}

static void heap_remove(struct leases *leases, uint32_t index)
{
	uint32_t place = leases->list[index].heap;

	leases->list[index].heap = LEASE_NONE;
	if (place >= leases->heaped)
		return;
	if (place == --leases->heaped)
		return;
	heap_put(leases, place, leases->heap[leases->heaped]);
	heap_sift(leases, place);
}

/* In the heap is what holds something that does not end already. */
static void heap_update(struct leases *leases, uint32_t index)
{
	struct lease *lease = &leases->list[index];
	bool expires = false;

	for (int v = V4; v < FAMILIES; ++v)
		expires |= lease_holds(lease, v) && !(lease->flags & LEASE_ENDING << v);
	if (!expires) {
		heap_remove(leases, index);
	} else if (lease->heap >= leases->heaped) {
		heap_put(leases, leases->heaped++, index);
		heap_sift(leases, lease->heap);
	} else {
		heap_sift(leases, lease->heap);
	}
}

void leases_expire_at(struct leases *leases, uint32_t index, uint64_t expires)
{
	leases->list[index].expires = expires;
	heap_update(leases, index);
}

void leases_set_ending(struct leases *leases, uint32_t index, int v, bool ending)
{
	struct lease *lease = &leases->list[index];

	if (ending)
		lease->flags |= LEASE_ENDING << v;
	else
		lease->flags &= ~(LEASE_ENDING << v);
	heap_update(leases, index);
}

uint32_t leases_next(const struct leases *leases)
{
	return leases->heaped ? leases->heap[0] : LEASE_NONE;
}

/* --- remembered addresses, oldest first --- */

static void past_link(struct leases *leases, uint32_t index, int v)
{
	struct lease *lease = &leases->list[index];
	struct cidr ip;

	lease->older[v] = lease->newer[v] = LEASE_NONE;
	lease_ip(lease, v, &ip);
	/* One of no pool can't be given to others. */
	if (!pools_find(leases->pools, &ip))
		return;
	lease->older[v] = leases->newest[v];
	if (leases->newest[v] != LEASE_NONE)
		leases->list[leases->newest[v]].newer[v] = index;
	else
		leases->oldest[v] = index;
	leases->newest[v] = index;
}

static void past_unlink(struct leases *leases, uint32_t index, int v)
{
	struct lease *lease = &leases->list[index];

	if (lease->older[v] != LEASE_NONE)
		leases->list[lease->older[v]].newer[v] = lease->newer[v];
	else if (leases->oldest[v] == index)
		leases->oldest[v] = lease->newer[v];
	if (lease->newer[v] != LEASE_NONE)
		leases->list[lease->newer[v]].older[v] = lease->older[v];
	else if (leases->newest[v] == index)
		leases->newest[v] = lease->older[v];
}

static int past_compare(const void *a, const void *b, void *data)
{
	const struct lease *list = data;
	uint64_t x = list[*(const uint32_t *)a].expires, y = list[*(const uint32_t *)b].expires;

	return (x > y) - (x < y);
}

bool leases_sort_past(struct leases *leases)
{
	uint32_t *sorted = calloc(leases->count + 1, sizeof(*sorted)), count;

	if (!sorted)
		return false;
	for (int v = V4; v < FAMILIES; ++v) {
		count = 0;
		for (uint32_t i = leases->oldest[v]; i != LEASE_NONE; i = leases->list[i].newer[v])
			sorted[count++] = i;
		qsort_r(sorted, count, sizeof(*sorted), past_compare, leases->list);
		leases->oldest[v] = leases->newest[v] = LEASE_NONE;
		for (uint32_t i = 0; i < count; ++i)
			past_link(leases, sorted[i], v);
	}
	free(sorted);
	return true;
}

bool leases_refill(struct leases *leases)
{
	struct pool *pool;
	struct cidr ip;

	for (int v = V4; v < FAMILIES; ++v)
		leases->oldest[v] = leases->newest[v] = LEASE_NONE;
	for (uint32_t i = 0; i < 2 * leases->count; ++i) {
		struct lease *lease = &leases->list[i / 2];
		int v = i % 2;

		if (!lease_ip(lease, v, &ip))
			continue;
		pool = pools_find(leases->pools, &ip);
		if (pool) {
			pool_mark(pool, &ip, true);
			pool->leased += lease_holds(lease, v);
		}
		if (lease->holding[v] == HOLDING_PAST)
			past_link(leases, i / 2, v);
	}
	return leases_sort_past(leases);
}

/* --- the table --- */

uint32_t leases_find(const struct leases *leases, const uint8_t key[static KEY_LEN])
{
	uint32_t index = leases->buckets ? leases->by_key[key_bucket(leases, key)] : LEASE_NONE;

	while (index != LEASE_NONE && memcmp(leases->list[index].key, key, KEY_LEN))
		index = leases->list[index].next_key;
	return index;
}

uint32_t leases_make(struct leases *leases, const uint8_t key[static KEY_LEN])
{
	uint32_t index = leases_find(leases, key), room = leases->room;

	if (index != LEASE_NONE)
		return index;
	if (leases->unused != LEASE_NONE) {
		index = leases->unused;
		leases->unused = leases->list[index].next_key;
	} else {
		if (leases->count == room &&
		    !leases_reserve(leases, room + room / 2 + FIRST_ROOM))
			return LEASE_NONE;
		index = leases->count++;
	}
	memset(&leases->list[index], 0, sizeof(*leases->list));
	leases->list[index].heap = LEASE_NONE;
	memcpy(leases->list[index].key, key, KEY_LEN);
	key_link(leases, index);
	++leases->live;
	return index;
}

uint32_t leases_owner(const struct leases *leases, const struct cidr *ip)
{
	int v = family_index(ip->family);
	uint32_t index;

	if (!leases->buckets)
		return LEASE_NONE;
	index = leases->by_ip[v][ip_bucket(leases, ip)];
	while (index != LEASE_NONE && memcmp(ip_bytes(&leases->list[index], v), ip->ip, ip_len(v)))
		index = leases->list[index].next_ip[v];
	return index;
}

/* Takes what index has in family v out of all structures; the lease itself stays. */
static void drop(struct leases *leases, uint32_t index, int v)
{
	struct lease *lease = &leases->list[index];
	struct pool *pool;
	struct cidr ip;

	if (!lease_ip(lease, v, &ip))
		return;
	pool = pools_find(leases->pools, &ip);
	if (pool)
		pool_mark(pool, &ip, false);
	if (pool && lease_holds(lease, v))
		--pool->leased;
	if (lease->holding[v] == HOLDING_PAST)
		past_unlink(leases, index, v);
	ip_unlink(leases, index, v);
	lease->holding[v] = HOLDING_NONE;
	lease->flags &= ~((LEASE_IN_DEVICE | LEASE_ENDING) << v);
}

/* Holds what it has in family v in another way. What else is known of the address stays known. */
static void hold(struct leases *leases, uint32_t index, int v, enum holding holding)
{
	struct lease *lease = &leases->list[index];
	bool held = lease_holds(lease, v);
	struct pool *pool;
	struct cidr ip;

	if (lease->holding[v] != HOLDING_PAST && lease->holding[v] == holding)
		return;
	if (lease->holding[v] == HOLDING_PAST)
		past_unlink(leases, index, v);
	lease->holding[v] = holding;
	lease_ip(lease, v, &ip);
	pool = pools_find(leases->pools, &ip);
	if (pool)
		pool->leased += lease_holds(lease, v) - held;
	if (holding == HOLDING_PAST)
		past_link(leases, index, v);
	heap_update(leases, index);
}

void leases_set(struct leases *leases, uint32_t index, enum holding holding,
		const struct cidr *ip)
{
	struct lease *lease = &leases->list[index];
	int v = family_index(ip->family);
	struct pool *pool;
	uint32_t owner;

	if (lease->holding[v] && !memcmp(ip_bytes(lease, v), ip->ip, ip_len(v))) {
		hold(leases, index, v, holding);
		return;
	}
	owner = leases_owner(leases, ip);
	pool = pools_find(leases->pools, ip);
	if (owner != LEASE_NONE)
		leases_forget(leases, owner, v);
	drop(leases, index, v);
	memcpy(v == V4 ? lease->ip4 : lease->ip6, ip->ip, ip_len(v));
	lease->holding[v] = holding;
	ip_link(leases, index, v);
	if (pool)
		pool_mark(pool, ip, true);
	if (pool && lease_holds(lease, v))
		++pool->leased;
	if (holding == HOLDING_PAST)
		past_link(leases, index, v);
	heap_update(leases, index);
}

void leases_forget(struct leases *leases, uint32_t index, int v)
{
	struct lease *lease = &leases->list[index];

	drop(leases, index, v);
	heap_update(leases, index);
	if (lease->holding[V4] || lease->holding[V6])
		return;
	key_unlink(leases, index);
	lease->flags = 0;
	lease->heap = LEASE_NONE - 1;
	lease->next_key = leases->unused;
	leases->unused = index;
	--leases->live;
}
