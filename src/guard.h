/* SPDX-License-Identifier: MIT */
/*
 * The monitor's judgement on what the engine orders: on its own reading of the device, its own
 * parse of the pools, and what it did itself since that reading; never on what the engine says.
 */

#ifndef GUARD_H
#define GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "changes.h"
#include "device.h"
#include "policy.h"
#include "pool.h"
#include "served.h"

struct guard {
	struct pools pools;
	bool link_locals; /* peers are to have theirs, derived */
	const struct policy *policy; /* the caller's */
	struct reading reading;
	struct changes changes; /* since then */
	struct served served; /* what can have been granted to whom is in the journal */
	/* Leases of the journal that could not be granted now, and link-locals that we gave. */
	struct device_change *retired;
	size_t retired_count;
};

/*
 * Reads from the journal which leases are held that could not be granted now, in what was served
 * before: they lie in no pool, or are reserved for another; and, where none is given any more,
 * which derived link-locals were. From then on, what is served now counts as well, and of what was
 * before only where there is such a lease. Returns 0 or -errno.
 */
int guard_retired(struct guard *guard, int journal_fd);

/*
 * Other pools and another policy count from now on, and link_locals. What the engine may do since
 * then for leases that could not be granted any more, and for link-locals that are not given any
 * more, it could before. What was served changes as with guard_retired(). Returns 0; or -errno, and
 * then all is as it was.
 */
int guard_reload(struct guard *guard, const struct pools *pools, const struct policy *policy,
		 bool link_locals, int journal_fd);

/* A new reading: the guard's from now on, and what was done up to this stamp is in it. */
void guard_adopt(struct guard *guard, const struct reading *reading, uint32_t stamp);

/*
 * Whether the address may be added to the peer's allowed-ips: 0; EAGAIN when so much was done since
 * the last reading that there must be another first; or an errno that says why not.
 */
int guard_allow(const struct guard *guard, const struct device_change *change);

/*
 * Whether the address may be taken from the peer: 0; EALREADY when the peer doesn't hold it, so
 * that nothing must be done; or an errno that says why not.
 */
int guard_take(const struct guard *guard, const struct device_change *change);

#endif
