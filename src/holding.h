/* SPDX-License-Identifier: MIT */
/*
 * The leased addresses on the client's interface: sets them, renews them, removes them, and never
 * touches one that somebody else has set. Kept by the monitor.
 */

#ifndef HOLDING_H
#define HOLDING_H

#include <stdbool.h>
#include <stdint.h>

#include "lifecycle.h"

struct holding {
	unsigned int ifindex;
	const char *interface;
	struct lifecycle_lease lease; /* what the interface shall have */
	bool ours[FAMILIES]; /* we have set it; else it was somebody else's, and stays */
};

/*
 * Looks for what a client that was killed has left: addresses with our mark and a lifetime. One of
 * each family becomes ours, any others are removed. ifindex and interface are set by the caller.
 * Returns 0 or -errno.
 */
int holding_adopt(struct holding *holding, uint64_t now);

/*
 * The addresses shall be these, until lease->until; others of ours are removed. No address at all:
 * none. The lease has been checked by the caller. Logs what can't be done. Returns whether all of
 * the lease's addresses are on the interface now.
 */
bool holding_set(struct holding *holding, const struct lifecycle_lease *lease, uint64_t now);

/* Puts back what the interface has lost by going down. */
void holding_restore(struct holding *holding, uint64_t now);

/* Writes the addresses as text, "a, b"; returns buf. */
const char *holding_text(char buf[static 2 * CIDR_STRLEN], const struct lifecycle_lease *lease);

#endif
