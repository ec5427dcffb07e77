/* SPDX-License-Identifier: MIT */
/*
 * Keys as text: base64 (RFC 4648, section 4) for people, hexadecimal for the UAPI.
 */

#ifndef ENCODING_H
#define ENCODING_H

#include <stdbool.h>
#include <stdint.h>

#include "containers.h"

/* Sizes of a key's two forms, with the NUL at the end. */
#define WG_KEY_LEN_BASE64 ((((WG_KEY_LEN) + 2) / 3) * 4 + 1)
#define WG_KEY_LEN_HEX (WG_KEY_LEN * 2 + 1)

/* Writes a key as 44 characters and a NUL. Takes the same time for every key. */
void key_to_base64(char base64[static WG_KEY_LEN_BASE64], const uint8_t key[static WG_KEY_LEN]);

/*
 * Reads a key from exactly 44 characters, the last of them '=', with no stray bits. False for all
 * else; then key is undefined. Takes the same time for every text of the right length.
 */
bool key_from_base64(uint8_t key[static WG_KEY_LEN], const char *base64);

/* Writes a key as 64 lower-case digits and a NUL. Takes the same time for every key. */
void key_to_hex(char hex[static WG_KEY_LEN_HEX], const uint8_t key[static WG_KEY_LEN]);

/*
 * Reads a key from exactly 64 digits of either case. False for all else; then key is undefined.
 * Takes the same time for every text of the right length.
 */
bool key_from_hex(uint8_t key[static WG_KEY_LEN], const char *hex);

/* Says whether all bytes are 0, which stands for "no key". Takes the same time for every key. */
bool key_is_zero(const uint8_t key[static WG_KEY_LEN]);

#endif
