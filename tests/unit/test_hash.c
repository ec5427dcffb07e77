// SPDX-License-Identifier: MIT
/* Hashes of keys and addresses: keyed, and spread also where those are alike. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <netinet/in.h>
#include <cmocka.h>

#include "hash.h"

enum { COUNT = 4096, PLACES = 1024 };

static struct hash hash, other;

static int open_hashes(void **state)
{
	(void)state;
	hash_open(&hash, (const uint8_t *)"a secret of ours");
	hash_open(&other, (const uint8_t *)"another one, too");
	return 0;
}

/* By chance one place of 1024 has 4 of 4096; that one has 20 happens once in a million tables. */
static void assert_spread(const uint32_t *hashes)
{
	uint32_t places[PLACES] = { 0 };

	for (int i = 0; i < COUNT; ++i)
		assert_true(++places[hashes[i] % PLACES] < 20);
}

static void addresses(void **state)
{
	uint32_t hashes[COUNT], same = 0;
	struct cidr ip;

	(void)state;
	for (int byte = 0; byte < 15; byte += 2) { /* alike but for two of their bytes */
		for (int i = 0; i < COUNT; ++i) {
			ip = (struct cidr){ AF_INET6, 128, { 0x20, 0x01, 0x0d, 0xb8 } };
			ip.ip[byte] += i >> 8;
			ip.ip[byte + 1] += i;
			hashes[i] = hash_ip(&hash, &ip);
			assert_int_equal(hashes[i], hash_ip(&hash, &ip));
			same += hashes[i] == hash_ip(&other, &ip);
		}
		assert_spread(hashes);
	}
	assert_true(same < 8);
}

static void keys(void **state)
{
	uint32_t hashes[COUNT], same = 0;
	uint8_t key[KEY_LEN];

	(void)state;
	for (int byte = 0; byte < KEY_LEN - 1; ++byte) {
		for (int i = 0; i < COUNT; ++i) {
			memset(key, 0, sizeof(key));
			key[byte] = i >> 8;
			key[byte + 1] = i;
			hashes[i] = hash_key(&hash, key);
			same += hashes[i] == hash_key(&other, key);
		}
		assert_spread(hashes);
	}
	assert_true(same < 8 + KEY_LEN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses),
		cmocka_unit_test(keys),
	};

	return cmocka_run_group_tests(tests, open_hashes, NULL);
}
