/* SPDX-License-Identifier: MIT */
/* What the host has besides the tunnel, for route-check.h: asked of the kernel, each time anew. */

#ifndef ROUTE_FACTS_H
#define ROUTE_FACTS_H

#include "device.h"
#include "options.h"
#include "route-check.h"

enum { HOST_RESOLVERS = 32 };

/* The resolvers that the host has besides those of the tunnel. */
struct host_resolvers {
	struct cidr ip[HOST_RESOLVERS];
	uint32_t count;
};

/*
 * Adds those that its files name now, but for those of two known (or NULL), until there is no
 * room.
 */
void host_resolvers_add(struct host_resolvers *host, const struct options *const known[2]);

struct route_facts {
	/* set by the caller: */
	unsigned int ifindex; /* of the tunnel */
	const struct reading *reading; /* of it; NULL: its peers do not matter */
	uint32_t server; /* the peer's index in it */
	const struct options *pushed; /* what overlaps none of these routes is left out */
	bool own; /* they are addresses: the host's own matter, but no routes */
	const struct host_resolvers *resolvers;

	struct fact *list;
	size_t count, room;
	bool lost; /* out of memory */
};

/*
 * Gathers them; list is the caller's to free. Returns 0 or -errno: then they are not all there,
 * and nothing may be judged by them.
 */
int route_facts(struct route_facts *facts);

/* Whether another peer's AllowedIPs or an endpoint overlap the route. */
bool route_facts_claimed(const struct reading *reading, uint32_t server, const struct cidr *route);

/* Whether the files that name the host's resolvers have changed since the last call. */
bool route_facts_resolvers_changed(void);

#endif
