// SPDX-License-Identifier: MIT
/*
 * A list with a chained hash table over it. The table grows by what is in the list one after the
 * other, and not entry by entry from the old one: that is some 10 ns an entry, for which whoever
 * asks has to wait.
 */

#include <stdlib.h>
#include <string.h>

#include "changes.h"

#define NONE UINT32_MAX

enum {
	FIRST_ROOM = 32,
	MAX_ROOM = 1 << 30,
	PEER_CHANGES = 4, /* of each peer, and as many more as: */
	CHANGES = 16384,
};

uint64_t changes_most(uint32_t peers)
{
	return PEER_CHANGES * (uint64_t)peers + CHANGES;
}

/* Half of them stay empty: to find that there is nothing, one look is mostly enough. */
static uint32_t bucket_count(const struct changes *changes)
{
	return 2 * changes->room;
}

static uint32_t *bucket_of(const struct changes *changes, uint32_t hash)
{
	return &changes->buckets[hash & (bucket_count(changes) - 1)];
}

static void link_one(struct changes *changes, uint32_t index)
{
	uint32_t *bucket = bucket_of(changes, changes->list[index].hash);

	changes->list[index].next = *bucket;
	*bucket = index;
}

static void link_all(struct changes *changes)
{
	memset(changes->buckets, 0xff, bucket_count(changes) * sizeof(*changes->buckets));
	for (uint32_t i = 0; i < changes->used; ++i)
		link_one(changes, i);
}

/* Memory for so much room; what there was is kept where there is none. */
static bool allocate(struct changes *changes, uint32_t room)
{
	struct changed *list = reallocarray(changes->list, room, sizeof(*list));
	uint32_t *buckets;

	if (!list)
		return false;
	changes->list = list;
	buckets = reallocarray(changes->buckets, 2 * (size_t)room, sizeof(*buckets));
	if (buckets)
		changes->buckets = buckets;
	return buckets != NULL;
}

static struct changed *find(const struct changes *changes, const struct cidr *ip, uint32_t hash)
{
	uint32_t at = changes->room ? *bucket_of(changes, hash) : NONE;

	while (at != NONE && (changes->list[at].hash != hash ||
			      cidr_compare(&changes->list[at].ip, ip)))
		at = changes->list[at].next;
	return at == NONE ? NULL : &changes->list[at];
}

const struct changed *changes_of(const struct changes *changes, const struct cidr *ip)
{
	return changes->used ? find(changes, ip, hash_ip(&changes->hash, ip)) : NULL;
}

bool changes_reserve(struct changes *changes, uint32_t count)
{
	uint32_t room = changes->room ? changes->room : FIRST_ROOM;

	while (room - changes->used < count && room < MAX_ROOM)
		room *= 2;
	if (room - changes->used < count)
		return false;
	if (room == changes->room)
		return true;
	if (!allocate(changes, room))
		return false;
	changes->room = room;
	link_all(changes);
	return true;
}

void changes_note(struct changes *changes, const struct device_change *change, bool taken,
		  uint32_t stamp)
{
	uint32_t hash = hash_ip(&changes->hash, &change->ip);
	struct changed *changed = find(changes, &change->ip, hash);

	if (!changed) {
		changed = &changes->list[changes->used];
		changed->ip = change->ip;
		changed->hash = hash;
		link_one(changes, changes->used++);
	}
	changed->taken = taken;
	changed->stamp = stamp;
	memcpy(changed->key, change->key, sizeof(changed->key));
}

void changes_forget(struct changes *changes, uint32_t stamp)
{
	uint32_t kept = 0;

	if (!changes->room)
		return;
	for (uint32_t i = 0; i < changes->used; ++i) {
		if ((int32_t)(changes->list[i].stamp - stamp) > 0)
			changes->list[kept++] = changes->list[i];
	}
	changes->used = kept;
	while (changes->room > FIRST_ROOM && changes->room / 2 > kept)
		changes->room /= 2;
	link_all(changes);
	allocate(changes, changes->room); /* where that fails, there is more than is needed */
}
