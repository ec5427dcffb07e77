// SPDX-License-Identifier: MIT
/*
 * src/compat: keys as text, and the configuration's parser. (Devices: test_compat_uapi.c and
 * test_compat_kernel.c.)
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <cmocka.h>

#include "config.h"
#include "containers.h"
#include "encoding.h"

#define KEY_1 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define HEX_1 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define HEX_2 "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0efeeedecebeae9e8e7e6e5e4e3e2e1e0"

/* --- keys --- */

static void base64_of_known_keys(void **state)
{
	static const struct {
		uint8_t first, step;
		const char *text;
	} cases[] = {
		{ 0, 1, KEY_1 },
		{ 0, 0, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" },
		{ 255, 0, "//////////////////////////////////////////8=" },
		{ 11, 37, "CzBVep/E6Q4zWH2ix+wRNluApcrvFDleg6jN8hc8YYY=" },
	};
	uint8_t key[WG_KEY_LEN], back[WG_KEY_LEN];
	char text[WG_KEY_LEN_BASE64];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t j = 0; j < sizeof(key); j++)
			key[j] = cases[i].first + j * cases[i].step;
		key_to_base64(text, key);
		assert_string_equal(text, cases[i].text);
		assert_true(key_from_base64(back, text));
		assert_memory_equal(back, key, sizeof(key));
	}
}

/* Any byte in any place; of the last digit only those whose two low bits are zero. */
static void base64_takes_its_digits_only(void **state)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint8_t key[WG_KEY_LEN];
	char text[] = KEY_1;

	(void)state;
	for (size_t i = 0; i < strlen(text); i++) {
		for (int c = 1; c < 256; c++) {
			const char *digit = strchr(digits, c);
			bool good = i < 42 ? digit != NULL : digit && (digit - digits) % 4 == 0;

			text[i] = c;
			assert_int_equal(key_from_base64(key, text), i < 43 ? good : c == '=');
		}
		text[i] = KEY_1[i];
	}
}

static void hex_takes_its_digits_only(void **state)
{
	static const char digits[] = "0123456789abcdefABCDEF";
	uint8_t key[WG_KEY_LEN];
	char text[] = HEX_2, back[WG_KEY_LEN_HEX];

	(void)state;
	for (size_t i = 0; i < strlen(text); i++) {
		for (int c = 1; c < 256; c++) {
			text[i] = c;
			assert_int_equal(key_from_hex(key, text), strchr(digits, c) != NULL);
			if (!strchr(digits, c))
				continue;
			key_to_hex(back, key);
			assert_int_equal(strcasecmp(back, text), 0);
		}
		text[i] = HEX_2[i];
	}
	key_to_hex(back, key);
}

static void keys_of_wrong_length(void **state)
{
	uint8_t key[WG_KEY_LEN];
	char text[128];

	(void)state;
	for (size_t len = 0; len < sizeof(text) - 1; len++) {
		memset(text, 'A', sizeof(text));
		text[len] = '\0';
		assert_int_equal(key_from_hex(key, text), len == 64);
		assert_false(key_from_base64(key, text));
		if (len)
			text[len - 1] = '=';
		assert_int_equal(key_from_base64(key, text), len == 44);
	}
}

static void zero_key(void **state)
{
	uint8_t key[WG_KEY_LEN] = { 0 };

	(void)state;
	assert_true(key_is_zero(key));
	for (int bit = 0; bit < WG_KEY_LEN * 8; bit++) {
		key[bit / 8] = 1 << bit % 8;
		assert_false(key_is_zero(key));
		key[bit / 8] = 0;
	}
}

/* --- configuration --- */

/* Reads the lines of text; what goes to stderr is in message. NULL: refused. */
static struct wgdevice *read_config(const char *text, bool append, char message[static 512])
{
	struct config_ctx ctx;
	struct wgdevice *dev = NULL;
	char *copy = strdup(text), *rest = copy, *line;
	int saved = dup(STDERR_FILENO);
	FILE *f = tmpfile();
	bool ok;

	fflush(stderr);
	dup2(fileno(f), STDERR_FILENO);
	ok = config_read_init(&ctx, append);
	while (ok && (line = strsep(&rest, "\n")))
		ok = config_read_line(&ctx, line);
	if (ok)
		dev = config_read_finish(&ctx);
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(f);
	message[fread(message, 1, 511, f)] = '\0';
	fclose(f);
	free(copy);
	return dev;
}

static void check_allowedip(const struct wgallowedip *allowedip, const char *ip, int cidr)
{
	char text[INET6_ADDRSTRLEN];

	assert_non_null(allowedip);
	assert_non_null(inet_ntop(allowedip->family, &allowedip->ip6, text, sizeof(text)));
	assert_string_equal(text, ip);
	assert_int_equal(allowedip->cidr, cidr);
}

static void config_of_two_peers(void **state)
{
	struct wgallowedip *allowedip;
	struct wgpeer *peer;
	struct wgdevice *dev;
	char message[512], hex[WG_KEY_LEN_HEX];

	(void)state;
	dev = read_config("# reservations\n\n"
			  " [peer] # first\n"
			  "\tPublicKey = " KEY_1 " # his\n"
			  "AllowedIPs = 10.0.0.1, 10.1.0.0/16 ,fe80::1\r\n"
			  "ALLOWEDIPS=2001:db8::/32\n"
			  "[Peer]\nallowedips =\nPublicKey=" KEY_1, true, message);
	assert_non_null(dev);
	assert_string_equal(message, "");
	assert_int_equal(dev->flags, 0);
	peer = dev->first_peer;
	assert_int_equal(peer->flags, WGPEER_HAS_PUBLIC_KEY | WGPEER_REPLACE_ALLOWEDIPS);
	key_to_hex(hex, peer->public_key);
	assert_string_equal(hex, HEX_1);
	allowedip = peer->first_allowedip;
	check_allowedip(allowedip, "10.0.0.1", 32);
	check_allowedip(allowedip = allowedip->next_allowedip, "10.1.0.0", 16);
	check_allowedip(allowedip = allowedip->next_allowedip, "fe80::1", 128);
	check_allowedip(allowedip = allowedip->next_allowedip, "2001:db8::", 32);
	assert_null(allowedip->next_allowedip);
	peer = peer->next_peer;
	assert_non_null(peer);
	assert_null(peer->first_allowedip);
	assert_null(peer->next_peer);
	free_wgdevice(dev);
}

static void config_of_nothing(void **state)
{
	struct wgdevice *dev;
	char message[512];

	(void)state;
	dev = read_config("", false, message);
	assert_int_equal(dev->flags, WGDEVICE_REPLACE_PEERS | WGDEVICE_HAS_PRIVATE_KEY |
				     WGDEVICE_HAS_FWMARK | WGDEVICE_HAS_LISTEN_PORT);
	assert_null(dev->first_peer);
	free_wgdevice(dev);
	free_wgdevice(NULL);
}

static void config_warns_of_host_bits(void **state)
{
	struct wgdevice *dev;
	char message[512];

	(void)state;
	dev = read_config("[Peer]\nPublicKey=" KEY_1 "\nAllowedIPs=10.0.0.1/31", true, message);
	assert_non_null(dev);
	assert_non_null(strstr(message, "`10.0.0.1/31'"));
	check_allowedip(dev->first_peer->first_allowedip, "10.0.0.1", 31);
	free_wgdevice(dev);
}

static void config_refuses(void **state)
{
	static const struct {
		const char *text, *quoted;
	} cases[] = {
		{ "PublicKey=" KEY_1, "Line unrecognized: `PublicKey=" KEY_1 "'" },
		{ "[Interface]", "Line unrecognized: `[Interface]'" },
		{ "[Peer", "Line unrecognized: `[Peer'" },
		{ "[Peer]\nEndpoint = a:1", "Line unrecognized: `Endpoint=a:1'" },
		{ "[Peer]\nPublicKey", "Line unrecognized: `PublicKey'" },
		{ "[Peer]\nPublicKeys=" KEY_1, "Line unrecognized: `PublicKeys=" },
		{ "[Peer]\nPublicKey=", "`'" },
		{ "[Peer]\nPublicKey=A" KEY_1, "`A" KEY_1 "'" },
		{ "[Peer]\nAllowedIPs=10.0.0.1/33", "`10.0.0.1/33'" },
		{ "[Peer]\nAllowedIPs=fe80::1/129", "`fe80::1/129'" },
		{ "[Peer]\nAllowedIPs=10.0.0.1/4294967297", "`10.0.0.1/4294967297'" },
		{ "[Peer]\nAllowedIPs=10.0.0.1/", "`10.0.0.1/'" },
		{ "[Peer]\nAllowedIPs=10.0.0.1/-1", "`10.0.0.1/-1'" },
		{ "[Peer]\nAllowedIPs=10.0.0.1/1/1", "`10.0.0.1/1/1'" },
		{ "[Peer]\nAllowedIPs=10.0.0.1/24x", "`10.0.0.1/24x'" },
		{ "[Peer]\nAllowedIPs=10.0.0", "`10.0.0'" },
		{ "[Peer]\nAllowedIPs=10.0.0.1,,10.0.0.2", "`'" },
		{ "[Peer]\nAllowedIPs=10.0.0.1,", "`'" },
		{ "[Peer]\nAllowedIPs=localhost", "`localhost'" },
		{ "[Peer]\nAllowedIPs=10.0.0.1\n[Peer]\nPublicKey=" KEY_1, "no PublicKey" },
	};
	char message[512];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_null(read_config(cases[i].text, true, message));
		assert_non_null(strstr(message, cases[i].quoted));
		assert_ptr_equal(strchr(message, '\n'), message + strlen(message) - 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(base64_of_known_keys),
		cmocka_unit_test(base64_takes_its_digits_only),
		cmocka_unit_test(hex_takes_its_digits_only),
		cmocka_unit_test(keys_of_wrong_length),
		cmocka_unit_test(zero_key),
		cmocka_unit_test(config_of_two_peers),
		cmocka_unit_test(config_of_nothing),
		cmocka_unit_test(config_warns_of_host_bits),
		cmocka_unit_test(config_refuses),
	};

	return cmocka_run_group_tests_name("compat", tests, NULL, NULL);
}
