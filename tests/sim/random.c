// SPDX-License-Identifier: MIT
/*
 * Drives the simulation by random bytes: EVENTS of them, or more, from this SEED on; the same seed
 * is the same run. Prints what there was.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "server_sim.h"

enum { LIFE = 4096 /* bytes */ };

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t next(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

int main(int argc, char *argv[])
{
	uint64_t events = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
	uint64_t state = argc > 2 ? strtoull(argv[2], NULL, 10) : 0, lives = 0;
	uint8_t bytes[LIFE];

	if (argc != 3 || !events) {
		fprintf(stderr, "usage: %s EVENTS SEED\n", argv[0]);
		return 1;
	}
	for (; sim_events < events; ++lives) {
		for (int i = 0; i < LIFE; ++i)
			bytes[i] = next(&state);
		LLVMFuzzerTestOneInput(bytes, LIFE);
	}
	printf("%" PRIu64 " events in %" PRIu64 " lives, %" PRIu64 " promises, %" PRIu64 " deaths\n",
	       sim_events, lives, sim_promises, sim_deaths);
	for (int i = 0; i < SIM_EVENT_TYPES; ++i)
		printf("%8" PRIu64 " %s\n", sim_event_counts[i], sim_event_name(i));
	return 0;
}
