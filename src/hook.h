/* SPDX-License-Identifier: MIT */
/*
 * The program of the user's that is told what has happened to the lease: its arguments are the
 * interface and the event, and its environment has the facts.
 */

#ifndef HOOK_H
#define HOOK_H

#include <stdint.h>

#include "device.h"
#include "options.h"
#include "runner.h"

enum hook_event {
	HOOK_BOUND, /* leased, where nothing was */
	HOOK_RENEWED, /* all is as before */
	HOOK_CHANGED, /* an address, or something else that the server pushes */
	HOOK_EXPIRED, /* ended, not renewed */
	HOOK_RELEASED, /* given back, or taken back by the server */
};

/* At the time of the event: V4 and V6, family 0 for none. */
struct hook_facts {
	struct cidr ip[2], old[2]; /* held now, and before */
	uint32_t lease_time; /* seconds; 0: no lease any more */
	const struct options *options; /* in force */
	const uint8_t *server; /* its public key, of KEY_LEN */
};

/*
 * Adds a run of the program (a whole path) to the queue. Facts are copied. Where runs of it wait
 * already that it was too slow for, those are skipped, after a line in the log.
 */
void hook_run(struct runner *runner, const char *program, const char *interface,
	      enum hook_event event, const struct hook_facts *facts);

#endif
