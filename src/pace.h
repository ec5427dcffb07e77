/* SPDX-License-Identifier: MIT */
/*
 * When a server wishes its clients to come, so that after an outage of its own not all of them come
 * at once, nor again at half a lease from then. No I/O, no clock.
 */

#ifndef PACE_H
#define PACE_H

#include <stdint.h>

enum {
	PACE_CLIENTS = 16, /* so many may come in each second: then it matters to nobody */
	PACE_LONGEST = 900, /* seconds that one without an address is to wait at most */
};

/* Of one lease, in seconds. */
struct pace {
	uint32_t renew; /* after its start it is to be renewed */
	uint32_t retry; /* to pause at most, while the server does not answer; 0: no wish */
};

/*
 * For one of so many clients: half of the lease to renew at, and with few clients that is all.
 * Of many, one that comes late or without a lease was kept away by what kept others away too: it
 * is to renew at some other time than those. left is what was left of its lease, in ms, 0 without
 * one; chance any number, for it alone.
 */
struct pace pace_of(uint32_t lease_time, uint32_t clients, uint64_t left, uint64_t chance);

#endif
