/* SPDX-License-Identifier: MIT */
/* A keyed hash: who does not know the key can't choose what meets in one place of a table. */

#ifndef SIPHASH_H
#define SIPHASH_H

#include <stddef.h>
#include <stdint.h>

/* SipHash-2-4 (Aumasson, Bernstein 2012) of data under the 16 bytes of key. */
uint64_t siphash(const uint8_t key[static 16], const void *data, size_t len);

#endif
