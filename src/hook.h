/* SPDX-License-Identifier: MIT */
/*
 * The program of the user's that is told what has happened to the lease: its arguments are the
 * interface and the event, and its environment has the facts.
 */

#ifndef HOOK_H
#define HOOK_H

#include <stdint.h>

#include "device.h"
#include "lifecycle.h"
#include "options.h"
#include "runner.h"

enum hook_event {
	HOOK_BOUND, /* leased, where nothing was */
	HOOK_RENEWED, /* all is as before */
	HOOK_CHANGED, /* an address, or something else that the server pushes */
	HOOK_EXPIRED, /* ended, not renewed */
	HOOK_RELEASED, /* given back */
};

/* At the time of the event. An address of family 0 is none. */
struct hook_facts {
	struct cidr ip[FAMILIES], old[FAMILIES]; /* held now, and before */
	uint32_t lease_time; /* seconds; 0: no lease any more */
	const struct options *options; /* in force */
	const uint8_t *server; /* its public key, of KEY_LEN */
};

/*
 * Adds a run of the program (a whole path) to the queue. Facts are copied. Where eight runs of it
 * wait, since it is too slow, those are skipped, after a line in the log.
 */
void hook_run(struct runner *runner, const char *program, const char *interface,
	      enum hook_event event, const struct hook_facts *facts);

/* What a hook has been told, and so what is news to it. */
struct hook {
	/* set by the caller: */
	struct runner *runner;
	const char *program; /* its whole path; "": none */
	const char *interface;
	const uint8_t *server;

	struct lifecycle_lease lease; /* no address: none */
	uint32_t lease_time;
	struct options options;
};

/* There is a lease of so many seconds, granted or renewed, with these options in force. */
void hook_lease(struct hook *hook, const struct lifecycle_lease *lease, uint32_t lease_time,
		const struct options *options);

/* The options in force may be others now. */
void hook_options(struct hook *hook, const struct options *options);

/* The lease, if there was one, has ended: HOOK_EXPIRED or HOOK_RELEASED. */
void hook_end(struct hook *hook, enum hook_event event);

/* Skips what waits, after a line in the log. */
void hook_skip(struct hook *hook);

#endif
