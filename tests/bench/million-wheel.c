// SPDX-License-Identifier: MIT
/* A timing wheel of two levels; each client stands in it once at most. */

#include <stdlib.h>

#include "million.h"

enum { FINE_BITS = 16, COARSE_BITS = 14, FINE = 1 << FINE_BITS, COARSE = 1 << COARSE_BITS };

#define NOBODY UINT32_MAX

/* Doubly linked, so that one who is set anew is found; before: a client, or a place. */
static struct place {
	uint64_t when;
	uint32_t next, *before;
} *places;
static uint32_t fine[FINE], coarse[COARSE];
static uint64_t at; /* all before this ms is done */

bool wheel_open(uint32_t clients)
{
	places = calloc(clients, sizeof(*places));
	for (int i = 0; i < FINE; ++i)
		fine[i] = NOBODY;
	for (int i = 0; i < COARSE; ++i)
		coarse[i] = NOBODY;
	return places;
}

static void link_in(uint32_t client, uint32_t *head)
{
	struct place *place = &places[client];

	place->next = *head;
	place->before = head;
	if (*head != NOBODY)
		places[*head].before = &place->next;
	*head = client;
}

static void unlink_one(struct place *place)
{
	if (!place->before)
		return;
	*place->before = place->next;
	if (place->next != NOBODY)
		places[place->next].before = place->before;
	place->before = NULL;
}

static void put(uint32_t client)
{
	uint64_t when = places[client].when;

	if (when >> FINE_BITS == at >> FINE_BITS)
		link_in(client, &fine[when % FINE]);
	else
		link_in(client, &coarse[(when >> FINE_BITS) % COARSE]);
}

void wheel_set(uint32_t client, uint64_t when)
{
	unlink_one(&places[client]);
	places[client].when = when < at ? at : when;
	/* What lies behind the wheel's turn, which is longer than any day, never comes. */
	if (when >> FINE_BITS < (at >> FINE_BITS) + COARSE)
		put(client);
}

uint32_t wheel_next(uint64_t until, uint64_t *now)
{
	uint32_t client;

	while (at < until) {
		client = fine[at % FINE];
		if (client != NOBODY) {
			unlink_one(&places[client]);
			*now = at;
			return client;
		}
		if (++at % FINE)
			continue;
		while ((client = coarse[(at >> FINE_BITS) % COARSE]) != NOBODY) {
			unlink_one(&places[client]);
			put(client);
		}
	}
	return NOBODY;
}
