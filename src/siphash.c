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

static uint64_t rotate(uint64_t word, int bits)
{
	return word << bits | word >> (64 - bits);
}

static void rounds(uint64_t v[static 4], int count)
{
	while (count--) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = rotate(v[1], 13) ^ v[0];
		v[3] = rotate(v[3], 16) ^ v[2];
		v[0] = rotate(v[0], 32) + v[3];
		v[2] += v[1];
		v[3] = rotate(v[3], 21) ^ v[0];
		v[1] = rotate(v[1], 17) ^ v[2];
		v[2] = rotate(v[2], 32);
	}
}

uint64_t siphash(const uint8_t key[static 16], const void *data, size_t len)
{
	const uint64_t k0 = read_le(key), k1 = read_le(key + 8);
	uint64_t v[4] = {
		k0 ^ 0x736f6d6570736575,
		k1 ^ 0x646f72616e646f6d,
		k0 ^ 0x6c7967656e657261,
		k1 ^ 0x7465646279746573,
	};
	const uint8_t *bytes = data;
	uint8_t rest[8] = { 0 };
	uint64_t word;
	size_t left;

	for (left = len; left >= 8; left -= 8, bytes += 8) {
		word = read_le(bytes);
		v[3] ^= word;
		rounds(v, 2);
		v[0] ^= word;
	}
	memcpy(rest, bytes, left);
	word = read_le(rest) | (uint64_t)len << 56;
	v[3] ^= word;
	rounds(v, 2);
	v[0] ^= word;
	v[2] ^= 0xff;
	rounds(v, 4);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}
