/* SPDX-License-Identifier: MIT */
/*
 * What a server pushes beside addresses, as far as the user accepts it, on the client: routes, in
 * the AllowedIPs of the server's peer and in a routing table, and the MTU. Nothing that somebody
 * else has set is replaced or removed. Kept by the monitor.
 */

#ifndef NETWORK_H
#define NETWORK_H

#include <stdbool.h>
#include <stdint.h>

#include "client-words.h"
#include "network-state.h"
#include "route-check.h"

/* A route that was refused, and why: has been told. */
struct network_refusal {
	struct cidr route;
	enum route_verdict verdict;
	enum fact_kind kind; /* of the conflict */
};

struct network {
	/* set by the caller: */
	const char *interface;
	unsigned int ifindex;
	const uint8_t *server; /* the public key */
	const struct client_words *words;

	struct network_state now; /* what is configured */
	struct options pushed; /* as it came last */
	struct network_refusal refused[OPTIONS_ROUTES];
	uint32_t refusals;
};

/*
 * Takes over what a client that was killed has left: it stays as it is until network_set(). What
 * has ended with an interface that is no more is forgotten.
 */
void network_adopt(struct network *network);

/*
 * What is accepted of these, and no more, shall be configured from now on; the options keep
 * options_valid(). Logs what is done, what is refused and why (once), and what can't be done.
 */
void network_set(struct network *network, const struct options *pushed);

/* Judges again what was pushed last, and puts back what is gone; for when the host has changed. */
void network_again(struct network *network);

/* Nothing of it shall be configured any more. */
void network_clear(struct network *network);

#endif
