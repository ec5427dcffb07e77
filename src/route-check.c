// SPDX-License-Identifier: MIT
/* The rules, in the order in which they are told. */

#include <netinet/in.h>
#include <stdio.h>

#include "route-check.h"

static const struct cidr private_networks[] = {
	{ AF_INET, 8, { 10 } }, /* RFC 1918 */
	{ AF_INET, 12, { 172, 16 } },
	{ AF_INET, 16, { 192, 168 } },
	{ AF_INET, 10, { 100, 64 } }, /* RFC 6598 */
	{ AF_INET6, 7, { 0xfc } }, /* RFC 4193 */
};

enum { PRIVATE_NETWORKS = sizeof(private_networks) / sizeof(*private_networks) };

static bool inside(const struct cidr *route, const struct cidr *list, size_t count)
{
	for (size_t i = 0; i < count; ++i) {
		if (cidr_contains(&list[i], route))
			return true;
	}
	return false;
}

/*
 * Where the host has a route through a gateway or to nowhere, a longer prefix, or the same, would
 * draw traffic away from it; a shorter one does not.
 */
static bool conflicts(const struct fact *fact, const struct cidr *route)
{
	return fact->kind == FACT_ROUTED || fact->kind == FACT_BLOCKED ?
		       cidr_contains(&fact->net, route) :
		       cidr_overlaps(&fact->net, route);
}

enum route_verdict route_check(const struct accept *accept, const struct cidr *route,
			       const struct fact *facts, size_t count,
			       const struct fact **conflict)
{
	*conflict = NULL;
	if (!route->prefix)
		return accept->words & ACCEPT_DEFAULT_ROUTE ? ROUTE_GOOD : ROUTE_DEFAULT;
	if (!cidr_is_assignable(route))
		return ROUTE_SPECIAL;
	if (!inside(route, accept->prefix, accept->prefixes)) {
		if (!inside(route, private_networks, PRIVATE_NETWORKS))
			return ROUTE_OUTSIDE;
		if (!(accept->words & ACCEPT_ROUTE))
			return ROUTE_PRIVATE;
	}
	for (size_t i = 0; i < count; ++i) {
		if (conflicts(&facts[i], route)) {
			*conflict = &facts[i];
			return ROUTE_CONFLICT;
		}
	}
	return ROUTE_GOOD;
}

void route_refusal(char *buf, size_t size, enum route_verdict verdict,
		   const struct fact *conflict)
{
	static const char *const kinds[FACTS] = {
		[FACT_CONNECTED] = "to which another interface connects this host",
		[FACT_ROUTED] = "to which this host has a route by another interface",
		[FACT_BLOCKED] = "which a route of this host blocks",
		[FACT_GATEWAY] = "a gateway of this host",
		[FACT_RESOLVER] = "a resolver of this host",
		[FACT_PEER] = "of another peer's AllowedIPs",
		[FACT_ENDPOINT] = "the endpoint of a peer",
		[FACT_OWN] = "this host's own address on another interface",
	};
	char text[CIDR_STRLEN];

	switch (verdict) {
	case ROUTE_GOOD:
		*buf = '\0';
		break;
	case ROUTE_SPECIAL:
		snprintf(buf, size, "it overlaps loopback, link-local, multicast or reserved "
			 "addresses");
		break;
	case ROUTE_DEFAULT:
		snprintf(buf, size, "`accept default-route' would allow it");
		break;
	case ROUTE_PRIVATE:
		snprintf(buf, size, "`accept route' would allow it");
		break;
	case ROUTE_OUTSIDE:
		snprintf(buf, size, "it is in no private network, and in no prefix that `accept' "
			 "names");
		break;
	case ROUTE_CONFLICT:
		snprintf(buf, size, "it overlaps %s, %s", cidr_format(text, &conflict->net),
			 kinds[conflict->kind]);
		break;
	}
}
