/* SPDX-License-Identifier: MIT */
/*
 * The peers that have their link-local address from the server, derived from their keys: each that
 * has none of its own. A set of keys that follows the readings of the device; part of the engine.
 */

#ifndef LINK_LOCALS_H
#define LINK_LOCALS_H

#include <stdbool.h>
#include <stdint.h>

#include "device.h"

struct given_key {
	uint8_t key[KEY_LEN];
	bool gone; /* to be left out */
};

/* Sorted by key, but while a journal is being read. */
struct given {
	struct given_key *list;
	uint32_t count, room;
};

struct link_locals {
	bool wanted; /* peers are to have them; else those that are there are taken out */
	/* The set is next, made by a pass over a reading, and what the pass has not come to yet. */
	struct given given, next;
	uint32_t at; /* of given */
	uint32_t peer; /* of the reading */
	bool passing;
	bool room; /* to record, in this turn */
	uint32_t pending, stamp; /* orders under way; what the last one was done at */
	uint32_t added, taken, clashes; /* by this pass */
	struct device_change clash; /* the first of them */
	uint64_t clash_sum, clash_told; /* over their keys; of the last pass that was told of */
};

struct server;

/* As the journal is read: a key is given its link-local, or has it no more. All of it: clear. */
void link_locals_load(struct link_locals *l, const uint8_t key[static KEY_LEN], bool given);
void link_locals_clear(struct link_locals *l);

/* When all has been read. */
void link_locals_loaded(struct link_locals *l);

/* How many there are, and the key of each (an index below that). */
uint32_t link_locals_count(const struct link_locals *l);
const uint8_t *link_locals_key(const struct link_locals *l, uint32_t index);

/* Whether this key is among them. */
bool link_locals_have(const struct link_locals *l, const uint8_t key[static KEY_LEN]);

/* A new reading: all peers are looked at again. */
void link_locals_reading(struct server *server);

/* Goes on with that; returns when to be called again, as loop_run()'s turn(). */
uint64_t link_locals_turn(struct server *server);

/* Has it logged, of the reading at hand, how many peers can't ask, unless each is to get one. */
void link_locals_missing(struct server *server);

/*
 * Whether this is the derived link-local of the key, and is about to be taken out, or may have been
 * since the reading.
 */
bool link_locals_ending(const struct server *server, const struct cidr *ip,
			const uint8_t key[static KEY_LEN]);

/* An order for this key has been carried out, at this stamp; error: 0 or an errno. */
void link_locals_done(struct server *server, const struct device_change *change, bool take,
		      uint32_t stamp, int error);

#endif
