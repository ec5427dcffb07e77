// SPDX-License-Identifier: MIT
/*
 * Keys as text. No branch and no table look-up depends on a digit, so that the time taken and the
 * cache tell nothing of a secret key.
 */

#include <string.h>

#include "encoding.h"

/* All bits set if first <= c <= last, else none; all three are below 2^31. */
static uint32_t within(uint32_t c, uint32_t first, uint32_t last)
{
	uint32_t outside = (c - first) | (last - c);

	return (outside >> 31) - 1;
}

static char base64_digit(uint32_t value)
{
	return (within(value, 0, 25) & ('A' + value)) |
	       (within(value, 26, 51) & ('a' + value - 26)) |
	       (within(value, 52, 61) & ('0' + value - 52)) |
	       (within(value, 62, 62) & '+') | (within(value, 63, 63) & '/');
}

static uint32_t base64_value(uint8_t c, uint32_t *valid)
{
	uint32_t upper = within(c, 'A', 'Z'), lower = within(c, 'a', 'z');
	uint32_t digit = within(c, '0', '9');
	uint32_t plus = within(c, '+', '+'), slash = within(c, '/', '/');

	*valid &= upper | lower | digit | plus | slash;
	return (upper & (c - 'A')) | (lower & (c - 'a' + 26)) | (digit & (c - '0' + 52)) |
	       (plus & 62) | (slash & 63);
}

static char hex_digit(uint32_t value)
{
	return (within(value, 0, 9) & ('0' + value)) |
	       (within(value, 10, 15) & ('a' + value - 10));
}

static uint32_t hex_value(uint8_t c, uint32_t *valid)
{
	uint32_t digit = within(c, '0', '9');
	uint32_t lower = within(c, 'a', 'f'), upper = within(c, 'A', 'F');

	*valid &= digit | lower | upper;
	return (digit & (c - '0')) | (lower & (c - 'a' + 10)) | (upper & (c - 'A' + 10));
}

void key_to_base64(char base64[static WG_KEY_LEN_BASE64], const uint8_t key[static WG_KEY_LEN])
{
	uint32_t bits = 0, count = 0;

	for (size_t i = 0; i < WG_KEY_LEN; i++) {
		bits = bits << 8 | key[i];
		for (count += 8; count >= 6; count -= 6)
			*base64++ = base64_digit(bits >> (count - 6) & 63);
	}
	*base64++ = base64_digit(bits << (6 - count) & 63);
	*base64++ = '=';
	*base64 = '\0';
}

bool key_from_base64(uint8_t key[static WG_KEY_LEN], const char *base64)
{
	uint32_t bits = 0, count = 0, valid = UINT32_MAX;

	if (strlen(base64) != WG_KEY_LEN_BASE64 - 1 || base64[WG_KEY_LEN_BASE64 - 2] != '=')
		return false;
	for (size_t i = 0; i < WG_KEY_LEN_BASE64 - 2; i++) {
		bits = bits << 6 | base64_value(base64[i], &valid);
		count += 6;
		if (count >= 8) {
			count -= 8;
			*key++ = bits >> count;
		}
	}
	/* 43 digits hold two bits more than a key has. */
	return valid & within(bits & 3, 0, 0) & 1;
}

void key_to_hex(char hex[static WG_KEY_LEN_HEX], const uint8_t key[static WG_KEY_LEN])
{
	for (size_t i = 0; i < WG_KEY_LEN; i++) {
		*hex++ = hex_digit(key[i] >> 4);
		*hex++ = hex_digit(key[i] & 15);
	}
	*hex = '\0';
}

bool key_from_hex(uint8_t key[static WG_KEY_LEN], const char *hex)
{
	uint32_t valid = UINT32_MAX;

	if (strlen(hex) != WG_KEY_LEN_HEX - 1)
		return false;
	for (size_t i = 0; i < WG_KEY_LEN; i++)
		key[i] = hex_value(hex[2 * i], &valid) << 4 | hex_value(hex[2 * i + 1], &valid);
	return valid & 1;
}

bool key_is_zero(const uint8_t key[static WG_KEY_LEN])
{
	uint8_t any = 0;

	for (size_t i = 0; i < WG_KEY_LEN; i++)
		any |= key[i];
	return !any;
}
