/* SPDX-License-Identifier: MIT */
/* The simulation of the server, for who drives it. */

#ifndef SERVER_SIM_H
#define SERVER_SIM_H

#include <stddef.h>
#include <stdint.h>

/* One life of a world, as these bytes say; aborts when something is wrong. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What has happened so far, in all lives, and how often each. */
enum { SIM_EVENT_TYPES = 26 };
extern uint64_t sim_events, sim_event_counts[SIM_EVENT_TYPES];
const char *sim_event_name(int type);

/* Leases that were granted or renewed, and deaths of a process after which they were looked for. */
extern uint64_t sim_promises, sim_deaths;

#endif
