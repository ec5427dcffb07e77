/* SPDX-License-Identifier: MIT */
/*
 * The lease table: for each key at most one IPv4 and one IPv6 address, each held or remembered
 * from before, with one expiry for both. Knows who has an address, whose lease ends next, and
 * which remembered address has been unused for longest. No I/O, no clock.
 */

#ifndef LEASE_H
#define LEASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cidr.h"
#include "reading.h"
#include "pool.h"
#include "siphash.h"

#define LEASE_NONE UINT32_MAX

/* What a key has in one family. */
enum holding {
	HOLDING_NONE,
	HOLDING_PAST, /* had it last; may have it again while nobody else does */
	HOLDING_LEASED,
	HOLDING_RESERVED, /* leased, and in the peer's allowed-ips by the administrator's will */
};

/* Flags of a family, shifted by V4 or V6. */
enum {
	LEASE_IN_DEVICE = 1 << 0, /* seen in, or put into, the peer's allowed-ips */
	LEASE_ENDING = 1 << 2, /* the device has been told to take it back */
	LEASE_ABSENT = 1 << 4, /* (no family) the last reading did not have the peer */
	LEASE_CALL = 1 << 5, /* (no family) to be called: there is something new for its peer */
	LEASE_CALLED = 1 << 6, /* (no family) it has been, and has not come yet */
};

struct lease {
	uint8_t key[KEY_LEN];
	uint8_t ip6[16], ip4[4];
	uint8_t holding[FAMILIES];
	uint8_t flags;
	uint8_t want; /* WANT_..., of its last request */
	uint64_t expires; /* ms of now_ms(); of one that has ended: when */
	uint32_t time; /* seconds, as leased */
	uint32_t order; /* stamp of our last change of the device for it, 0: none since the start */
	uint32_t heap; /* the table's own, as all below */
	uint32_t next_key, next_ip[FAMILIES];
	uint32_t older[FAMILIES], newer[FAMILIES];
};

struct leases {
	struct lease *list; /* by index; indices stay, pointers may move when one is added */
	uint32_t count, room, unused; /* unused: the first of those that were removed */
	uint32_t live; /* those not unused */
	uint32_t *by_key, *by_ip[FAMILIES], buckets; /* a power of two */
	uint32_t *heap, heaped;
	uint32_t oldest[FAMILIES], newest[FAMILIES]; /* remembered addresses of a pool */
	struct hash hash;
	uint8_t secret[16]; /* for the address that a key has by siphash() */
	struct pools *pools;
};

/* An empty table; the pools are the caller's and outlive it. */
void leases_open(struct leases *leases, struct pools *pools, const uint8_t secret[static 16]);
void leases_close(struct leases *leases);

/* Makes room for so many keys at once; false when there is no memory. */
bool leases_reserve(struct leases *leases, uint32_t count);

/* The lease of a key, by index, or LEASE_NONE. */
uint32_t leases_find(const struct leases *leases, const uint8_t key[static KEY_LEN]);

/* Likewise, made if there is none; LEASE_NONE when there is no memory. */
uint32_t leases_make(struct leases *leases, const uint8_t key[static KEY_LEN]);

/* Who holds or remembers an address, by index, or LEASE_NONE. */
uint32_t leases_owner(const struct leases *leases, const struct cidr *ip);

/*
 * What index has in the family of ip is from now on this address, held so; leases_expire_at() says
 * until when, before or after. An address that it had there before is forgotten, and so is whoever
 * else remembered this one.
 */
void leases_set(struct leases *leases, uint32_t index, enum holding holding,
		const struct cidr *ip);

/* What it has in family v becomes HOLDING_NONE; with nothing left in both, the index is unused. */
void leases_forget(struct leases *leases, uint32_t index, int v);

/* Notes whether the device has been told to take its address in family v back. */
void leases_set_ending(struct leases *leases, uint32_t index, int v, bool ending);

/* Puts the remembered addresses in the order in which they ended: after all have been read. */
bool leases_sort_past(struct leases *leases);

/*
 * After the pools have been replaced by others, of which nothing is marked: notes in them who has
 * what. False when there is no memory.
 */
bool leases_refill(struct leases *leases);

/* Sets the expiry, in ms; what holds nothing, or is ending, does not expire. */
void leases_expire_at(struct leases *leases, uint32_t index, uint64_t expires);

/* The lease that ends next, or LEASE_NONE. */
uint32_t leases_next(const struct leases *leases);

/* Its address in family v: false if it has none there. */
bool lease_ip(const struct lease *lease, int v, struct cidr *ip);

/* Whether it holds an address in family v, or in any if v is FAMILIES. */
bool lease_holds(const struct lease *lease, int v);

#endif
