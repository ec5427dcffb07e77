/* SPDX-License-Identifier: MIT */
/*
 * Hashes for tables of keys and addresses, which peers may choose: keyed, so that nobody knows
 * which of them meet. Multilinear (Lemire, Kaser 2014): two that differ meet by chance alone.
 */

#ifndef HASH_H
#define HASH_H

#include <stdint.h>

#include "cidr.h"

enum { KEY_LEN = 32 };

/* Random numbers, one more than a key has words. */
struct hash {
	uint64_t words[KEY_LEN / 4 + 1];
};

/* Makes them of 16 bytes that nobody knows. */
void hash_open(struct hash *hash, const uint8_t secret[static 16]);

uint32_t hash_key(const struct hash *hash, const uint8_t key[static KEY_LEN]);

/* Of the address; its prefix length and family have no part in it. */
uint32_t hash_ip(const struct hash *hash, const struct cidr *cidr);

#endif
