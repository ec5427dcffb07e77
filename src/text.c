// SPDX-License-Identifier: MIT
/* Numbers, and public keys by tables. */

#include <string.h>

#include "text.h"

static const char digits64[64] = /* RFC 4648, section 4 */
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static const char digits16[16] = "0123456789abcdef";

char *text_put(char *at, const char *text)
{
	size_t len = strlen(text);

	return mempcpy(at, text, len);
}

char *text_number(char *at, uint64_t number)
{
	char digits[TEXT_NUMBER], *first = digits + TEXT_NUMBER;
	uint32_t low;

	/* Most numbers are small, and dividing those is quicker. */
	for (; number > UINT32_MAX; number /= 10)
		*--first = '0' + number % 10;
	low = number;
	do
		*--first = '0' + low % 10;
	while (low /= 10);
	return mempcpy(at, first, digits + TEXT_NUMBER - first);
}

char *text_hex(char *at, uint64_t number, int digits)
{
	while (digits--)
		*at++ = digits16[number >> 4 * digits & 15];
	return at;
}

char *text_key(char *at, const uint8_t key[static 32])
{
	uint32_t bits;

	for (int i = 0; i < 30; i += 3) {
		bits = key[i] << 16 | key[i + 1] << 8 | key[i + 2];
		*at++ = digits64[bits >> 18];
		*at++ = digits64[bits >> 12 & 63];
		*at++ = digits64[bits >> 6 & 63];
		*at++ = digits64[bits & 63];
	}
	bits = key[30] << 16 | key[31] << 8;
	*at++ = digits64[bits >> 18];
	*at++ = digits64[bits >> 12 & 63];
	*at++ = digits64[bits >> 6 & 63];
	*at++ = '=';
	return at;
}

char *text_key_hex(char *at, const uint8_t key[static 32])
{
	for (int i = 0; i < 32; ++i) {
		*at++ = digits16[key[i] >> 4];
		*at++ = digits16[key[i] & 15];
	}
	return at;
}

bool text_to_key(uint8_t key[static 32], const char *text, size_t len)
{
	static uint8_t values[256]; /* of each character, and 1; 0: it is none of them */
	uint32_t bits = 0, value, count = 0;

	for (int i = 0; !values[(int)'A'] && i < 64; ++i)
		values[(uint8_t)digits64[63 - i]] = 64 - i;
	if (len != TEXT_KEY || text[TEXT_KEY - 1] != '=')
		return false;
	for (int i = 0; i < TEXT_KEY - 1; ++i) {
		value = values[(uint8_t)text[i]];
		if (!value)
			return false;
		bits = bits << 6 | (value - 1);
		count += 6;
		if (count >= 8) {
			count -= 8;
			*key++ = bits >> count;
		}
	}
	return !(bits & 3); /* 43 digits hold two bits more than a key has */
}
