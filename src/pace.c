// SPDX-License-Identifier: MIT
/*
 * If nobody can be served, each client of N comes once in a pause of P: N / P a second, which is
 * what they bring when the server is back. With leases of T, renewed at about T / 2, they bring
 * 2 N / T otherwise. A pause of T / 4 is what keeps the one below 3 times the other, and makes
 * nobody wait longer than a quarter of the lease; tests/bench/million.c shows it by simulation.
 */

#include "lifecycle.h"
#include "pace.h"

struct pace pace_of(uint32_t lease_time, uint32_t clients, uint64_t left, uint64_t chance)
{
	struct pace pace = { .renew = lease_time / 2, .retry = clients / PACE_CLIENTS };

	if (pace.retry > lease_time / 4)
		pace.retry = lease_time / 4;
	if (pace.retry > PACE_LONGEST)
		pace.retry = PACE_LONGEST;
	if (pace.retry <= LIFECYCLE_PAUSE_MAX)
		pace.retry = 0;
	/* Who is on time has half the lease left, or more; some of it may go by on the way. */
	else if (left < lease_time * UINT64_C(400))
		pace.renew -= chance % (lease_time / 4 + 1);
	return pace;
}
