/* SPDX-License-Identifier: MIT */
/*
 * Pools: the ranges that addresses are leased from. A pool of up to 2^24 addresses has a bitmap, so
 * that the last free one is found as quickly as the first; a larger one can't get full.
 */

#ifndef POOL_H
#define POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cidr.h"
#include "protocol.h"

enum { POOLS = 64, EXCLUDES = 64, POOL_BITMAP_BITS = 24 };

struct pool {
	struct cidr net; /* masked */
	uint64_t *used; /* a bit for each address, or NULL for a large pool */
	uint64_t leased; /* held at present */
};

struct pools {
	uint32_t count, excludes;
	struct pool list[POOLS];
	struct cidr exclude[EXCLUDES]; /* never leased; none of them in another */
};

/*
 * Adds the pool of this text (CIDR). Returns NULL, or what is wrong with it and what to write
 * instead, for a person: the text itself is to be quoted before it.
 */
const char *pools_add(struct pools *pools, const char *text, size_t len);

/* Likewise for a prefix that is known already. */
const char *pools_add_cidr(struct pools *pools, const struct cidr *net);

/*
 * Likewise for what is never to be leased, an address or a network: it counts as being in no pool,
 * also where it is in none.
 */
const char *pools_exclude(struct pools *pools, const char *text, size_t len);

/* How many addresses from this one on are excluded so: 0 if this one is not. */
uint64_t pools_excluded(const struct pools *pools, const struct cidr *ip);

/*
 * Takes over networks and exclusions of others, with bitmaps of its own as pools_allocate() makes
 * them; those that were there are freed. False when there is no memory.
 */
bool pools_replace(struct pools *pools, const struct pools *others);

/* Makes the bitmaps, all free; false when there is no memory. What nobody uses costs nothing. */
bool pools_allocate(struct pools *pools);

/* Whether there is a pool of this family, V4 or V6. */
bool pools_have(const struct pools *pools, int v);

/*
 * The pool that this address lies in, or NULL, also if it's excluded; it may be changed as far as
 * the pools may.
 */
struct pool *pools_find(const struct pools *pools, const struct cidr *ip);

/*
 * The prefix length of the pool that this address lies in, excluded or not; 0 if it is in none.
 * Whoever is given a network that is not longer was given no part of the pool.
 */
int pools_prefix(const struct pools *pools, const struct cidr *ip);

/*
 * Whether the address of the pool is one that no host may have: network and broadcast address of
 * an IPv4 network (but RFC 3021 for /31), subnet-router anycast (RFC 4291, 2.6.1; but RFC 6164 for
 * /127).
 */
bool pool_excludes(const struct pool *pool, const struct cidr *ip);

/* How many addresses may be leased in all; UINT64_MAX for more than that. */
uint64_t pool_size(const struct pools *pools, const struct pool *pool);

/* Notes that an address of the pool is remembered for somebody, or no more. */
void pool_mark(struct pool *pool, const struct cidr *ip, bool used);

/*
 * Looks for an address that is not marked, starting at the one that hash points to. blocked()
 * says how many addresses from this one on can't be had: 0 if it can. False when there is none.
 */
bool pool_search(const struct pool *pool, uint64_t hash, struct cidr *found,
		 uint64_t (*blocked)(void *data, const struct pool *pool, const struct cidr *ip),
		 void *data);

#endif
