// SPDX-License-Identifier: MIT
/* What of addresses and routes may be set, by what the host is connected to. */

#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "log.h"
#include "network.h"
#include "route-facts.h"

static bool told(const struct network *n, const struct network_refusal *refusal)
{
	for (uint32_t i = 0; i < n->refusals; ++i) {
		if (!cidr_compare(&n->refused[i].route, &refusal->route) &&
		    n->refused[i].verdict == refusal->verdict &&
		    n->refused[i].kind == refusal->kind)
			return true;
	}
	return false;
}

static void refuse(const struct network *n, struct network_refusal *refusal,
		   const struct fact *conflict)
{
	char text[CIDR_STRLEN], why[256];

	refusal->kind = conflict ? conflict->kind : FACTS;
	if (told(n, refusal))
		return;
	route_refusal(why, sizeof(why), refusal->verdict, conflict);
	log_line(LOG_WARNING, "the server pushes the route %s, which is refused: %s",
		 cidr_format(text, &refusal->route), why);
}

/*
 * A record of ours hides others in the files, and so those count that were there before. While a
 * program runs, that record may be there already, or still.
 */
void network_resolvers(struct network *n, struct host_resolvers *host)
{
	const struct options *const before[2] = { &n->words->own, NULL };
	const struct options *const beside[2] = { &n->words->own, &n->now.options };
	bool hidden = *n->resolver.text || !runner_idle(n->runner);

	if (!hidden) {
		n->now.resolvers.count = 0;
		host_resolvers_add(&n->now.resolvers, before);
	}
	*host = n->now.resolvers;
	if (hidden)
		host_resolvers_add(host, beside);
}

/* Taking all there is away from another peer is not what the user has accepted. */
static bool is_anothers(const struct route_facts *facts, const struct cidr *route)
{
	const struct device_ip *held = reading_exact(facts->reading, route);

	return held && !route->prefix && held->peer != facts->server;
}

void network_judge(struct network *n, struct options *options, const struct route_facts *facts)
{
	struct network_refusal refused[OPTIONS_ROUTES] = { 0 };
	struct fact another = { .kind = FACT_PEER };
	const struct fact *conflict;
	uint32_t good = 0, bad = 0;

	for (uint32_t i = 0; i < options->routes; ++i) {
		struct network_refusal refusal = { .route = options->route[i] };

		refusal.verdict = route_check(&n->words->accept, &refusal.route, facts->list,
					      facts->count, &conflict);
		if (is_anothers(facts, &refusal.route)) {
			another.net = refusal.route;
			refusal.verdict = ROUTE_CONFLICT;
			conflict = &another;
		}
		if (refusal.verdict == ROUTE_GOOD) {
			options->route[good++] = refusal.route;
			continue;
		}
		refuse(n, &refusal, conflict);
		refused[bad++] = refusal;
	}
	options->routes = good;
	memcpy(n->refused, refused, bad * sizeof(*refused));
	n->refusals = bad;
}

/* What speaks against the address, or NULL: of several facts the narrowest. */
static const struct fact *against(const struct route_facts *facts, const struct cidr *ip)
{
	const struct fact *found = NULL;

	for (size_t i = 0; i < facts->count; ++i) {
		const struct fact *fact = &facts->list[i];

		if (cidr_contains(&fact->net, ip) &&
		    (!found || fact->net.prefix > found->net.prefix))
			found = fact;
	}
	return found;
}

void network_addresses(struct network *n, struct cidr ip[static FAMILIES],
		       const struct cidr held[static FAMILIES])
{
	struct options leased = { 0 };
	struct host_resolvers resolvers;
	struct route_facts facts = {
		.ifindex = n->ifindex,
		.pushed = &leased,
		.own = true,
		.resolvers = &resolvers,
	};
	int ret = 0;

	for (int v = V4; v < FAMILIES; ++v) {
		if (ip[v].family)
			leased.route[leased.routes++] = ip[v];
	}
	network_resolvers(n, &resolvers);
	if (leased.routes)
		ret = route_facts(&facts);
	if (ret)
		log_line(LOG_ERR, "cannot look at the host's networks: %s", strerror(-ret));
	for (int v = V4; ret && v < FAMILIES; ++v) {
		if (cidr_compare(&ip[v], &held[v]))
			memset(&ip[v], 0, sizeof(ip[v]));
	}
	for (int v = V4; !ret && v < FAMILIES; ++v) {
		const struct fact *fact = ip[v].family ? against(&facts, &ip[v]) : NULL;
		char text[CIDR_STRLEN], why[256];

		if (!fact) {
			memset(&n->refused_ip[v], 0, sizeof(n->refused_ip[v]));
			continue;
		}
		route_refusal(why, sizeof(why), ROUTE_CONFLICT, fact);
		if (cidr_compare(&ip[v], &n->refused_ip[v]))
			log_line(LOG_WARNING, "the server leases %s, which is not set: %s",
				 cidr_format_ip(text, &ip[v]), why);
		n->refused_ip[v] = ip[v];
		memset(&ip[v], 0, sizeof(ip[v]));
	}
	free(facts.list);
}

uint32_t network_refused(const struct network *n, struct cidr refused[static CLIENT_REFUSED])
{
	uint32_t count = 0;

	for (int v = V4; v < FAMILIES; ++v) {
		if (n->refused_ip[v].family)
			refused[count++] = n->refused_ip[v];
	}
	for (uint32_t i = 0; i < n->refusals; ++i)
		refused[count++] = n->refused[i].route;
	for (uint32_t i = 0; i < n->resolver.refused_count; ++i)
		refused[count++] = n->resolver.refused[i];
	return count;
}
