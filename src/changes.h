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
	struct cidr ip;
	bool taken; /* else allowed, to: */
	uint8_t key[KEY_LEN];
	uint32_t stamp; /* counts what is done to the device; may wrap */
	uint32_t hash, next; /* of ip; of those in its bucket, by index */
};

/* Zeroed but for the hash to begin with. */
struct changes {
	struct changed *list;
	uint32_t used, room; /* room: a power of two, or 0 */
	uint32_t *buckets; /* the first in each, by index; twice the room */
	struct hash hash;
};

/*
 * As many addresses as may be changed between two readings: as much as an engine in its right mind
 * has to do with so many peers.
 */
uint64_t changes_most(uint32_t peers);

/* Makes room for so many more addresses; false when there is no memory: then all is as before. */
bool changes_reserve(struct changes *changes, uint32_t count);

/* Notes that it was done. There has to be room. */
void changes_note(struct changes *changes, const struct device_change *change, bool taken,
		  uint32_t stamp);

/* What was done to the address, or NULL. */
const struct changed *changes_of(const struct changes *changes, const struct cidr *ip);

/* Forgets all up to this stamp, which is in a reading now. */
void changes_forget(struct changes *changes, uint32_t stamp);

#endif
