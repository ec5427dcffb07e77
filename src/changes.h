/* SPDX-License-Identifier: MIT */
/*
 * What was done to addresses on the device since it was read, by address: where there is something,
 * the reading is out of date.
 */

#ifndef CHANGES_H
#define CHANGES_H

#include <stdbool.h>
#include <stdint.h>

#include "device.h"

/* The last that was done to an address. */
struct changed {
	struct cidr ip; /* family 0: a free place in the table */
	bool taken; /* else allowed, to: */
	uint8_t key[KEY_LEN];
	uint32_t stamp; /* counts what is done to the device; may wrap */
	uint32_t hash; /* of ip */
};

/* Zeroed but for the hash to begin with. */
struct changes {
	struct changed *list; /* a hash table with open addressing */
	uint32_t places, used; /* places: a power of two, or 0 */
	struct hash hash;
};

/* Notes that it was done; false when there is no memory. */
bool changes_note(struct changes *changes, const struct device_change *change, bool taken,
		  uint32_t stamp);

/* What was done to the address, or NULL. */
const struct changed *changes_of(const struct changes *changes, const struct cidr *ip);

/* Forgets all up to this stamp, which is in a reading now; without memory that happens later. */
void changes_forget(struct changes *changes, uint32_t stamp);

#endif
