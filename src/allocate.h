/* SPDX-License-Identifier: MIT */
/*
 * Who gets which address: the rules of the protocol's section 4, over pools, leases and a reading
 * of the device. Decides, and changes nothing.
 */

#ifndef ALLOCATE_H
#define ALLOCATE_H

#include <stdbool.h>
#include <stdint.h>

#include "changes.h"
#include "device.h"
#include "lease.h"
#include "policy.h"
#include "pool.h"
#include "protocol.h"

/* An address that will be leased to this peer as soon as what it holds has ended. */
struct claim {
	struct cidr ip;
	uint8_t key[KEY_LEN];
};

/* All that a decision is made on. */
struct book {
	struct leases *leases;
	struct pools *pools;
	const struct policy *policy;
	const struct reading *reading;
	uint32_t reading_stamp; /* what we did to the device up to this one is in the reading */
	struct changes changes; /* what we did, or are about to do, since then */
	uint32_t lease_time; /* seconds, the server's own */
	const struct claim *claims;
	uint32_t claim_count;
};

struct decision {
	enum status status; /* STATUS_OK, or STATUS_UNAVAILABLE for one wish or all */
	bool granted[FAMILIES]; /* an address is leased, or kept, and goes into the answer */
	bool ends[FAMILIES]; /* what it holds there must end before that */
	bool new_address; /* some address that it does not hold yet */
	bool unsure; /* how it will be held: decide again when there is a newer reading */
	enum holding holding[FAMILIES]; /* of those granted */
	struct cidr ip[FAMILIES];
	uint32_t lease_time; /* seconds */
};

/*
 * The peer is an index of the reading, lease that of its key or LEASE_NONE; what it holds must
 * agree with the reading (reconcile.c).
 */
void decide(const struct book *book, uint32_t peer, uint32_t lease, const struct request *request,
	    struct decision *decision);

/*
 * Somebody else, a peer or the host itself, who covers an address that is leased, or is to be, to
 * this peer: NULL when there is nobody. A prefix that contains the whole pool does not count.
 */
const struct device_ip *foreign_holder(const struct book *book, uint32_t peer,
				       const struct cidr *ip);

/*
 * Whether what the lease holds in family v could be granted to it now: it lies in a pool, is not
 * excluded and not reserved for another. Also true of one that holds nothing there.
 */
bool lease_grantable(const struct book *book, const struct lease *lease, int v);

/* Whether a change of the device is later than what the reading shows. */
bool order_is_later(const struct book *book, uint32_t order);

#endif
