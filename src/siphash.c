// SPDX-License-Identifier: MIT
/*
 * SipHash-2-4, a keyed hash for short inputs, after the paper "SipHash: a fast short-input PRF".
 */

#include <endian.h>
#include <string.h>

#include "siphash.h"

static inline uint64_t read_le(const uint8_t *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	return le64toh(word);
}

static inline uint64_t rotate(uint64_t word, int bits)
{
	return word << bits | word >> (64 - bits);
}

/* Figure 2.1 of the paper; a macro, so that all of it is in registers with any options. */
#define ROUND \
	v0 += v1; \
	v2 += v3; \
	v1 = rotate(v1, 13) ^ v0; \
	v3 = rotate(v3, 16) ^ v2; \
	v0 = rotate(v0, 32) + v3; \
	v2 += v1; \
	v3 = rotate(v3, 21) ^ v0; \
	v1 = rotate(v1, 17) ^ v2; \
	v2 = rotate(v2, 32)

uint64_t siphash(const uint8_t key[static 16], const void *data, size_t len)
{
	const uint64_t k0 = read_le(key), k1 = read_le(key + 8);
	uint64_t v0 = k0 ^ 0x736f6d6570736575, v1 = k1 ^ 0x646f72616e646f6d;
	uint64_t v2 = k0 ^ 0x6c7967656e657261, v3 = k1 ^ 0x7465646279746573;
	const uint8_t *bytes = data;
	uint8_t rest[8] = { 0 };
	uint64_t word;
	size_t left;

	for (left = len; left >= 8; left -= 8, bytes += 8) {
		word = read_le(bytes);
		v3 ^= word;
		ROUND;
		ROUND;
		v0 ^= word;
	}
	for (size_t i = 0; i < left; ++i)
		rest[i] = bytes[i];
	word = read_le(rest) | (uint64_t)len << 56;
	v3 ^= word;
	ROUND;
	ROUND;
	v0 ^= word;
	v2 ^= 0xff;
	ROUND;
	ROUND;
	ROUND;
	ROUND;
	return v0 ^ v1 ^ v2 ^ v3;
}
