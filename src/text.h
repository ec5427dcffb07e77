/* SPDX-License-Identifier: MIT */
/*
 * Text made piece by piece, for what is written by the thousand: what snprintf() does costs ten
 * times as much. Each function writes from `at' on, where the caller has room for all of it, and
 * returns the place behind, without a NUL.
 */

#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TEXT_KEY = 44, TEXT_KEY_HEX = 64, TEXT_NUMBER = 20 /* characters, at most */ };

char *text_put(char *at, const char *text);

/* In decimal digits, at most TEXT_NUMBER. */
char *text_number(char *at, uint64_t number);

/* So many hexadecimal digits, the lowest last. */
char *text_hex(char *at, uint64_t number, int digits);

/*
 * A public key of 32 bytes in base64, TEXT_KEY characters, or in hexadecimal digits, TEXT_KEY_HEX.
 * (For secret ones there is encoding.h, whose time and cache tell nothing of a key.)
 */
char *text_key(char *at, const uint8_t key[static 32]);
char *text_key_hex(char *at, const uint8_t key[static 32]);

/* The key whose base64 stands in just these len characters; false if none does. */
bool text_to_key(uint8_t key[static 32], const char *text, size_t len);

#endif
