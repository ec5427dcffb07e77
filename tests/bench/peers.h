/* SPDX-License-Identifier: MIT */
/*
 * What device.c answers from: peers by their keys, and which of them may use which prefix. A prefix
 * belongs to one peer at a time, as in WireGuard.
 */

#ifndef PEERS_H
#define PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NONE UINT32_MAX

enum { KEY = 32 };

struct peer {
	uint8_t key[KEY];
	uint32_t ips; /* the first of its prefixes, or NONE */
	uint32_t next; /* in its hash chain, or of the free ones */
	bool used;
};

struct ip {
	uint8_t address[16];
	uint8_t v6, prefix;
	uint32_t peer;
	uint32_t next, before; /* of the peer; before is NONE for the first */
	uint32_t chain; /* in its hash chain, or of the free ones */
};

struct table {
	struct peer *peer;
	struct ip *ip;
	uint32_t *peer_heads, *ip_heads; /* as many as mask says, and one */
	uint32_t peer_mask, ip_mask;
	uint32_t peers, ips; /* entries ever used; those free again are in a list */
	uint32_t peer_room, ip_room, peer_free, ip_free;
	uint32_t peers_used, ips_used;
	uint64_t moved; /* prefixes that another peer had */
};

/* Ends the process when there is no memory, as do those that add. */
void table_open(struct table *table, uint32_t peers);

/* Peers 1 to this number, each with a key and a link-local of its own. */
void table_fill(struct table *table, uint32_t peers);

uint32_t peer_find(const struct table *table, const uint8_t key[static KEY]);
uint32_t peer_add(struct table *table, const uint8_t key[static KEY]);
void peer_clear(struct table *table, uint32_t peer);
void peer_remove(struct table *table, uint32_t peer);

/* Gives the prefix (masked) to the peer, whoever had it. */
void ip_give(struct table *table, uint32_t peer, const uint8_t address[static 16], bool v6,
	     uint8_t prefix);

/* Grown to have room for count of size; ends the process when there is no memory. */
void *grown(void *old, size_t count, size_t size);

#endif
