// SPDX-License-Identifier: MIT
/*
 * An address is counted by its offset in the pool. Offsets have 64 bits: of a pool with more
 * host bits than that, just the part is used in which the others are zero.
 */

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "pool.h"

enum { LARGE_TRIES = 1 << 16 };

static unsigned int host_bits(const struct pool *pool)
{
	return family_bits(pool->net.family) - pool->net.prefix;
}

/* The highest offset. */
static uint64_t last_offset(const struct pool *pool)
{
	unsigned int bits = host_bits(pool);

	return bits >= 64 ? UINT64_MAX : ((uint64_t)1 << bits) - 1;
}

static uint64_t offset_of(const struct pool *pool, const struct cidr *ip)
{
	unsigned int bytes = family_bits(ip->family) / 8;
	uint64_t offset = 0;

	for (unsigned int i = bytes > 8 ? bytes - 8 : 0; i < bytes; ++i)
		offset = offset << 8 | ip->ip[i];
	return offset & last_offset(pool);
}

static void address_at(const struct pool *pool, uint64_t offset, struct cidr *ip)
{
	unsigned int bytes = family_bits(pool->net.family) / 8;

	*ip = pool->net;
	ip->prefix = family_bits(ip->family);
	for (unsigned int i = bytes; offset; offset >>= 8)
		ip->ip[--i] |= offset & 0xff;
}

const char *pools_add(struct pools *pools, const char *text, size_t len)
{
	struct cidr net;

	/* An address alone is a /32 to wg; for a pool that is a slip rather than a wish. */
	if (!memchr(text, '/', len) || !cidr_parse(&net, text, len))
		return "is not a network: write ADDRESS/BITS";
	return pools_add_cidr(pools, &net);
}

const char *pools_add_cidr(struct pools *pools, const struct cidr *net)
{
	struct cidr masked = *net;

	cidr_mask(&masked);
	if (cidr_compare(net, &masked))
		return "has bits set behind its prefix length: write the network's own address";
	if (net->prefix < (net->family == AF_INET ? 8 : 32))
		return "is too large for a pool: IPv4 goes up to /8, IPv6 up to /32";
	if (!cidr_is_assignable(net))
		return "holds addresses that no host may have: choose another network";
	for (uint32_t i = 0; i < pools->count; ++i) {
		if (cidr_overlaps(&pools->list[i].net, net))
			return "overlaps another pool: name each address once";
	}
	if (pools->count == POOLS)
		return "is one pool too many: 64 are the most";
	pools->list[pools->count++] = (struct pool){ .net = *net };
	return NULL;
}

const char *pools_exclude(struct pools *pools, const char *text, size_t len)
{
	struct cidr net, masked;
	uint32_t kept = 0;

	if (!cidr_parse(&net, text, len))
		return "is neither an address nor a network: write ADDRESS or ADDRESS/BITS";
	masked = net;
	cidr_mask(&masked);
	if (cidr_compare(&net, &masked))
		return "has bits set behind its prefix length: write the network's own address";
	for (uint32_t i = 0; i < pools->excludes; ++i) {
		if (cidr_contains(&pools->exclude[i], &net))
			return NULL;
		if (!cidr_contains(&net, &pools->exclude[i]))
			pools->exclude[kept++] = pools->exclude[i];
	}
	pools->excludes = kept;
	if (kept == EXCLUDES)
		return "is one exclusion too many: 64 are the most, but networks may be large";
	pools->exclude[pools->excludes++] = net;
	return NULL;
}

uint64_t pools_excluded(const struct pools *pools, const struct cidr *ip)
{
	for (uint32_t i = 0; i < pools->excludes; ++i) {
		if (cidr_contains(&pools->exclude[i], ip))
			return cidr_span(&pools->exclude[i], ip);
	}
	return 0;
}

bool pools_replace(struct pools *pools, const struct pools *others)
{
	for (uint32_t i = 0; i < pools->count; ++i)
		free(pools->list[i].used);
	*pools = *others;
	for (uint32_t i = 0; i < pools->count; ++i)
		pools->list[i] = (struct pool){ .net = others->list[i].net };
	return pools_allocate(pools);
}

bool pools_allocate(struct pools *pools)
{
	for (uint32_t i = 0; i < pools->count; ++i) {
		if (host_bits(&pools->list[i]) > POOL_BITMAP_BITS)
			continue;
		/* calloc() maps large areas untouched: only pages in use will count. */
		pools->list[i].used = calloc(last_offset(&pools->list[i]) / 64 + 1,
					     sizeof(uint64_t));
		if (!pools->list[i].used)
			return false;
	}
	return true;
}

bool pools_have(const struct pools *pools, int v)
{
	for (uint32_t i = 0; i < pools->count; ++i) {
		if (pools->list[i].net.family == family_of(v))
			return true;
	}
	return false;
}

static const struct pool *pool_of(const struct pools *pools, const struct cidr *ip)
{
	for (uint32_t i = 0; i < pools->count; ++i) {
		if (cidr_contains(&pools->list[i].net, ip))
			return &pools->list[i];
	}
	return NULL;
}

struct pool *pools_find(const struct pools *pools, const struct cidr *ip)
{
	const struct pool *pool = pool_of(pools, ip);

	return pool && !pools_excluded(pools, ip) ? (struct pool *)pool : NULL;
}

int pools_prefix(const struct pools *pools, const struct cidr *ip)
{
	const struct pool *pool = pool_of(pools, ip);

	return pool ? pool->net.prefix : 0;
}

bool pool_excludes(const struct pool *pool, const struct cidr *ip)
{
	uint64_t offset = offset_of(pool, ip);

	if (host_bits(pool) < 2)
		return false;
	if (pool->net.family == AF_INET)
		return !offset || offset == last_offset(pool);
	if (offset)
		return false;
	/* All of the host part must be zero, also what an offset does not hold. */
	return !memcmp(ip->ip, pool->net.ip, sizeof(ip->ip));
}

/* How many of the excluded addresses, which are in the pool, could be leased otherwise. */
static uint64_t excluded_size(const struct pool *pool, const struct cidr *excluded)
{
	uint64_t size = cidr_span(excluded, excluded);
	struct cidr first, last;

	cidr_host(&first, excluded->family, excluded->ip);
	address_at(pool, offset_of(pool, &first) + size - 1, &last);
	return size - pool_excludes(pool, &first) -
	       (size > 1 && pool_excludes(pool, &last));
}

uint64_t pool_size(const struct pools *pools, const struct pool *pool)
{
	uint64_t size = last_offset(pool);

	if (host_bits(pool) < 2)
		++size;
	else if (pool->net.family == AF_INET)
		--size;
	for (uint32_t i = 0; i < pools->excludes; ++i) {
		if (cidr_contains(&pools->exclude[i], &pool->net))
			return 0;
		if (host_bits(pool) < 64 && cidr_contains(&pool->net, &pools->exclude[i]))
			size -= excluded_size(pool, &pools->exclude[i]);
	}
	return size;
}

void pool_mark(struct pool *pool, const struct cidr *ip, bool used)
{
	uint64_t offset = offset_of(pool, ip), bit = (uint64_t)1 << (offset % 64);

	if (!pool->used)
		return;
	if (used)
		pool->used[offset / 64] |= bit;
	else
		pool->used[offset / 64] &= ~bit;
}

/* The first offset from start to end that is not marked; false when there is none. */
static bool unmarked(const struct pool *pool, uint64_t start, uint64_t end, uint64_t *found)
{
	uint64_t free;

	*found = start;
	if (!pool->used)
		return start <= end;
	for (uint64_t word = start / 64; start <= end && word <= end / 64; ++word) {
		free = ~pool->used[word];
		if (word == start / 64)
			free &= UINT64_MAX << (start % 64);
		if (free) {
			*found = word * 64 + __builtin_ctzll(free);
			return *found <= end;
		}
	}
	return false;
}

bool pool_search(const struct pool *pool, uint64_t hash, struct cidr *found,
		 uint64_t (*blocked)(void *data, const struct pool *pool, const struct cidr *ip),
		 void *data)
{
	uint64_t first = hash & last_offset(pool), at, skip;
	/* From the hash to the end, then from the beginning to the hash. */
	const uint64_t span[2][2] = { { first, last_offset(pool) }, { 0, first } };
	unsigned int tries = pool->used ? UINT32_MAX : LARGE_TRIES;

	for (int i = 0; i < 2; ++i) {
		for (uint64_t start = span[i][0]; unmarked(pool, start, span[i][1], &at);) {
			address_at(pool, at, found);
			skip = pool_excludes(pool, found) ? 1 : blocked(data, pool, found);
			if (!skip)
				return true;
			if (!--tries)
				return false;
			if (skip > span[i][1] - at)
				break;
			start = at + skip;
		}
	}
	return false;
}
