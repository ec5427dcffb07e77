// SPDX-License-Identifier: MIT
/* Pieces of text, against what the C library and encoding.h make of the same. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "containers.h"
#include "encoding.h"
#include "text.h"

static void numbers(void **state)
{
	static const uint64_t list[] = { 0, 9, 10, 99, 100, UINT32_MAX, UINT64_MAX };
	char expected[32], text[TEXT_NUMBER + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(list) / sizeof(*list); ++i) {
		sprintf(expected, "%" PRIu64, list[i]);
		*text_number(text, list[i]) = '\0';
		assert_string_equal(text, expected);
	}
	*text_hex(text, 0xdeadbeef, 8) = '\0';
	assert_string_equal(text, "deadbeef");
	*text_hex(text, 0x0a, 4) = '\0';
	assert_string_equal(text, "000a");
	*text_put(text_put(text, "ab"), "c") = '\0';
	assert_string_equal(text, "abc");
}

static void random_key(uint8_t key[static WG_KEY_LEN])
{
	for (int i = 0; i < WG_KEY_LEN; ++i)
		key[i] = rand();
}

static void keys(void **state)
{
	char text[TEXT_KEY_HEX + 1], base64[WG_KEY_LEN_BASE64], hex[WG_KEY_LEN_HEX];
	uint8_t key[WG_KEY_LEN], back[WG_KEY_LEN];

	(void)state;
	for (int n = 0; n < 10000; ++n) {
		random_key(key);
		key_to_base64(base64, key);
		*text_key(text, key) = '\0';
		assert_string_equal(text, base64);
		assert_true(text_to_key(back, text, TEXT_KEY));
		assert_memory_equal(back, key, sizeof(key));
		key_to_hex(hex, key);
		*text_key_hex(text, key) = '\0';
		assert_string_equal(text, hex);
	}
}

/* Whatever stands in whichever place: it is a key for just those texts that are one elsewhere. */
static void texts_that_are_no_key(void **state)
{
	char text[WG_KEY_LEN_BASE64];
	uint8_t key[WG_KEY_LEN], back[WG_KEY_LEN];

	(void)state;
	random_key(key);
	key_to_base64(text, key);
	assert_false(text_to_key(back, text, TEXT_KEY - 1));
	assert_false(text_to_key(back, text, TEXT_KEY + 1));
	assert_false(text_to_key(back, text, 0));
	for (int i = 0; i < TEXT_KEY; ++i) {
		char was = text[i];

		for (int c = 1; c < 256; ++c) {
			text[i] = c;
			assert_int_equal(text_to_key(back, text, TEXT_KEY),
					 key_from_base64(key, text));
		}
		text[i] = was;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers),
		cmocka_unit_test(keys),
		cmocka_unit_test(texts_that_are_no_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
