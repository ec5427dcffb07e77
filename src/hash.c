// SPDX-License-Identifier: MIT
/* Sums of products of random numbers with words, of which the upper half counts. */

#include <string.h>

#include "hash.h"
#include "siphash.h"

void hash_open(struct hash *hash, const uint8_t secret[static 16])
{
	for (uint32_t i = 0; i < sizeof(hash->words) / sizeof(*hash->words); ++i)
		hash->words[i] = siphash(secret, &i, sizeof(i));
}

static inline uint32_t multilinear(const struct hash *hash, const uint8_t *bytes, int words)
{
	uint64_t sum = hash->words[words];
	uint32_t word;

	for (int i = 0; i < words; ++i) {
		memcpy(&word, bytes + 4 * i, sizeof(word));
		sum += hash->words[i] * word;
	}
	return sum >> 32;
}

uint32_t hash_key(const struct hash *hash, const uint8_t key[static KEY_LEN])
{
	return multilinear(hash, key, KEY_LEN / 4);
}

uint32_t hash_ip(const struct hash *hash, const struct cidr *cidr)
{
	return multilinear(hash, cidr->ip, sizeof(cidr->ip) / 4);
}
