/* SPDX-License-Identifier: MIT */
/*
 * Default routes into the tunnel, by wg-quick's own functions: its firewall mark, policy rules,
 * table and firewall, so that the tunnel's own packets stay outside.
 */

#ifndef DEFAULT_ROUTE_H
#define DEFAULT_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "runner.h"

/* A bit for each default route there is. */
enum {
	DEFAULT_ROUTE_V4 = 1 << 0, /* 0.0.0.0/0 */
	DEFAULT_ROUTE_V6 = 1 << 1, /* ::/0 */
};

struct default_route {
	/* set by the caller: */
	struct runner *runner;
	const char *interface;
	unsigned int ifindex; /* by which it is told from another of that name */
	void (*added)(void); /* is called each time that some have been added, or could not be */
	bool unmark; /* the device had no firewall mark before, and shall have none afterwards */
	uint32_t there; /* as far as we know; at first, what one that was killed has left */
	uint32_t stale; /* of these, what is perhaps not whole */

	uint32_t wanted;
	uint32_t failed; /* of these, what could not be added when that was last tried */
	uint32_t again; /* of these, what is to be tried again */
	uint32_t busy; /* what the run that is under way is about */
};

/* Those in the AllowedIPs of the device that has this name; both, if it can't be read. */
uint32_t default_route_on(const char *interface);

/*
 * These, a mask, shall there be, and no others; those that somebody else has set are none of them.
 * What fails is in the log, and not tried again until default_route_retry() or
 * default_route_again().
 */
void default_route_set(struct default_route *route, uint32_t routes);

/* What has failed is tried again by the next default_route_set(), without a word if it fails. */
void default_route_retry(struct default_route *route);

/* Those of which it is known that they are there, whole. */
uint32_t default_route_in_force(const struct default_route *route);

/* Whether there are some, as far as we know all that are wanted, and nothing is under way. */
bool default_route_whole(const struct default_route *route);

/* Sets up anew those that there are: for when the interface was down, which takes parts away. */
void default_route_again(struct default_route *route);

#endif
