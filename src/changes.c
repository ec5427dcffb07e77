// SPDX-License-Identifier: MIT
/* A hash table of addresses that grows with what is done, and is made anew with each reading. */

#include <stdlib.h>
#include <string.h>

#include "changes.h"

enum { FIRST_PLACES = 64 };

/* The place that an address has, or could have. */
static struct changed *place_of(const struct changes *changes, const struct cidr *ip, uint32_t hash)
{
	for (uint32_t at = hash;; ++at) {
		struct changed *place = &changes->list[at & (changes->places - 1)];

		if (!place->ip.family || (place->hash == hash && !cidr_compare(&place->ip, ip)))
			return place;
	}
}

const struct changed *changes_of(const struct changes *changes, const struct cidr *ip)
{
	const struct changed *place = NULL;

	if (changes->used)
		place = place_of(changes, ip, hash_ip(&changes->hash, ip));
	return place && place->ip.family ? place : NULL;
}

/* Moves all that is later than the stamp into a new table of so many places. */
static bool resize(struct changes *changes, uint32_t places, bool all, uint32_t stamp)
{
	struct changed *old = changes->list;
	uint32_t count = changes->places;

	changes->list = calloc(places, sizeof(*changes->list));
	if (!changes->list) {
		changes->list = old;
		return false;
	}
	changes->places = places;
	changes->used = 0;
	for (uint32_t i = 0; i < count; ++i) {
		if (!old[i].ip.family || (!all && (int32_t)(old[i].stamp - stamp) <= 0))
			continue;
		*place_of(changes, &old[i].ip, old[i].hash) = old[i];
		++changes->used;
	}
	free(old);
	return true;
}

bool changes_note(struct changes *changes, const struct device_change *change, bool taken,
		  uint32_t stamp)
{
	uint32_t hash = hash_ip(&changes->hash, &change->ip);
	struct changed *place;

	if (2 * (changes->used + 1) > changes->places &&
	    !resize(changes, changes->places ? 2 * changes->places : FIRST_PLACES, true, 0))
		return false;
	place = place_of(changes, &change->ip, hash);
	changes->used += !place->ip.family;
	*place = (struct changed){
		.ip = change->ip, .taken = taken, .stamp = stamp, .hash = hash
	};
	memcpy(place->key, change->key, sizeof(place->key));
	return true;
}

void changes_forget(struct changes *changes, uint32_t stamp)
{
	uint32_t later = 0, places = FIRST_PLACES;

	for (uint32_t i = 0; i < changes->places; ++i)
		later += changes->list[i].ip.family &&
			 (int32_t)(changes->list[i].stamp - stamp) > 0;
	while (places < 2 * (later + 1))
		places *= 2;
	/* Without memory the old table stays: it says too much, not too little. */
	if (changes->places)
		resize(changes, places, false, stamp);
}
