/* SPDX-License-Identifier: MIT */
/*
 * What the client has configured beside addresses, and the file that says so, CONTROL_DIR
 * IFACE.client.state: written before anything is done, so that the next client can undo what one
 * that was killed has left. Lines of key=value:
 *
 *	ifindex=	of the interface; routes, AllowedIPs and MTU end with it
 *	table=		of the routes; none: they are in AllowedIPs alone
 *	route=		repeated
 *	allowed=	repeated: of these, what was not in AllowedIPs before
 *	mtu= mtu_before=	what it was set to, and what it had been
 *	dns=		the name of resolvconf's record
 *	nameserver=	repeated: what that has of the server's
 *	resolver=	repeated: the host's own, which that hides
 *	default=	repeated: of the routes, what wg-quick has added
 *	fwmark=1	which the device had not before
 *
 * Record, default routes and mark stay until the client ends: to undo them twice does no harm.
 */

#ifndef NETWORK_STATE_H
#define NETWORK_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "options.h"
#include "resolver.h"
#include "route-facts.h"

struct network_state {
	unsigned int ifindex;
	uint32_t table; /* 0: none */
	struct options options; /* in force */
	uint8_t allowed[OPTIONS_ROUTES]; /* whether that route is in AllowedIPs by us */
	uint32_t mtu_before; /* bytes, with options.mtu */
	char dns[RESOLVER_NAME]; /* the name of our record; "": none */
	struct host_resolvers resolvers; /* which that hides; without it, as they were last */
	uint32_t defaults; /* DEFAULT_ROUTE_... */
	uint32_t unmark; /* the mark is ours, and to be taken away */
};

/*
 * Reads what an earlier client has left; all zero if nothing. Lines that make no sense are
 * skipped.
 */
void network_state_read(struct network_state *state, const char *interface);

/* Whether there is such a file. */
bool network_state_there(const char *interface);

/* Writes it; what says nothing is no file. Returns 0 or -errno. */
int network_state_write(const struct network_state *state, const char *interface);

/* The index of the route (masked) in options.route, or -1. */
int network_state_route(const struct network_state *state, const struct cidr *route);

#endif
