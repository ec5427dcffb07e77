/* SPDX-License-Identifier: MIT */
/*
 * May a route that a server pushes be set? A server must not be able to draw the host's other
 * traffic to itself: what the host has besides the tunnel speaks against a route. Judgement
 * alone, on facts; route-facts.h gathers them.
 */

#ifndef ROUTE_CHECK_H
#define ROUTE_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "accept.h"
#include "cidr.h"

/* What a network or address is to the host. */
enum fact_kind {
	FACT_CONNECTED, /* by another interface, without a gateway */
	FACT_ROUTED, /* by another interface, through a gateway; no default route */
	FACT_BLOCKED, /* by a route that goes nowhere; no default route */
	FACT_GATEWAY, /* of another interface */
	FACT_RESOLVER, /* not one that the tunnel's server pushed */
	FACT_PEER, /* in the AllowedIPs of another peer of the interface */
	FACT_ENDPOINT, /* of a peer of the interface */
	FACT_OWN, /* the host's own address, by another interface */
	FACTS,
};

struct fact {
	enum fact_kind kind;
	struct cidr net; /* masked */
};

enum route_verdict {
	ROUTE_GOOD,
	ROUTE_SPECIAL, /* loopback, link-local, multicast */
	ROUTE_DEFAULT, /* default-route is not accepted */
	ROUTE_PRIVATE, /* to a private network, which is not accepted */
	ROUTE_OUTSIDE, /* of private networks and of the prefixes that are accepted */
	ROUTE_CONFLICT, /* with a fact */
};

/*
 * The verdict on a route (masked). *conflict becomes the fact that speaks against it, of those at
 * facts[0..count), or NULL. A default route is good if it is accepted, whatever the facts are.
 */
enum route_verdict route_check(const struct accept *accept, const struct cidr *route,
			       const struct fact *facts, size_t count,
			       const struct fact **conflict);

/* Writes why it is refused, for people, without a full stop. */
void route_refusal(char *buf, size_t size, enum route_verdict verdict,
		   const struct fact *conflict);

#endif
