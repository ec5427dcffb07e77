// SPDX-License-Identifier: MIT
/* Addresses and routes of the other interfaces, resolvers, and the tunnel's own peers. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "net.h"
#include "route-facts.h"

/* With a resolver on the host itself, systemd or NetworkManager keeps the real ones elsewhere. */
static const char *const resolver_files[] = {
	"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf",
	"/run/NetworkManager/no-stub-resolv.conf",
};

enum { RESOLVER_FILES = sizeof(resolver_files) / sizeof(*resolver_files) };

static bool is_known(const struct options *known, const struct cidr *resolver)
{
	for (uint32_t i = 0; known && i < known->dns_count; ++i) {
		if (!cidr_compare(&known->dns[i], resolver))
			return true;
	}
	return false;
}

static void resolver_add(struct host_resolvers *host, const struct cidr *resolver)
{
	for (uint32_t i = 0; i < host->count; ++i) {
		if (!cidr_compare(&host->ip[i], resolver))
			return;
	}
	if (host->count < HOST_RESOLVERS)
		host->ip[host->count++] = *resolver;
}

void host_resolvers_add(struct host_resolvers *host, const struct options *const known[2])
{
	struct cidr resolver;
	char line[512], ip[64];

	for (size_t i = 0; i < RESOLVER_FILES; ++i) {
		FILE *file = fopen(resolver_files[i], "re"); /* NULL: then it names none */

		while (file && fgets(line, sizeof(line), file)) {
			if (sscanf(line, " nameserver %63[0-9a-fA-F.:]", ip) == 1 &&
			    cidr_parse(&resolver, ip, strlen(ip)) &&
			    !is_known(known[0], &resolver) && !is_known(known[1], &resolver))
				resolver_add(host, &resolver);
		}
		if (file)
			fclose(file);
	}
}

static bool matters(const struct route_facts *facts, const struct cidr *net)
{
	for (uint32_t i = 0; i < facts->pushed->routes; ++i) {
		if (facts->pushed->route[i].prefix && cidr_overlaps(&facts->pushed->route[i], net))
			return true;
	}
	return false;
}

static void add(struct route_facts *facts, enum fact_kind kind, const struct cidr *net)
{
	struct fact fact = { .kind = kind, .net = *net };
	struct fact *list;

	cidr_mask(&fact.net);
	if (!matters(facts, &fact.net))
		return;
	if (facts->count == facts->room) {
		facts->room = facts->room ? 2 * facts->room : 16;
		list = reallocarray(facts->list, facts->room, sizeof(*list));
		if (!list) {
			facts->room = facts->count;
			facts->lost = true;
			return;
		}
		facts->list = list;
	}
	facts->list[facts->count++] = fact;
}

/* A single address is the host's own, which no route can draw away. */
static bool address_each(const struct net_address *address, void *data)
{
	struct route_facts *facts = data;
	struct cidr ip;

	if (address->ifindex == facts->ifindex)
		return true;
	cidr_host(&ip, address->cidr.family, address->cidr.ip);
	if (facts->own)
		add(facts, FACT_OWN, &ip);
	if (cidr_compare(&address->far, &ip))
		add(facts, FACT_CONNECTED, &address->far);
	return true;
}

static void route_each(const struct net_route *route, void *data)
{
	struct route_facts *facts = data;

	if (route->ifindex == facts->ifindex)
		return;
	if (route->gateway.family)
		add(facts, FACT_GATEWAY, &route->gateway);
	/* A leased address in what is routed to another tunnel, as 10.0.0.0/8, is nothing odd. */
	if (route->to.prefix && !facts->own)
		add(facts, route->blocks ? FACT_BLOCKED :
			   route->gateway.family ? FACT_ROUTED : FACT_CONNECTED, &route->to);
}

static void peers(struct route_facts *facts)
{
	const struct reading *reading = facts->reading;

	for (uint32_t i = 0; i < reading->head->ips; ++i) {
		if (reading->ips[i].peer != facts->server && reading->ips[i].peer != DEVICE_SELF)
			add(facts, FACT_PEER, &reading->ips[i].cidr);
	}
	for (uint32_t i = 0; i < reading->head->peers; ++i) {
		if (reading->peers[i].endpoint.family)
			add(facts, FACT_ENDPOINT, &reading->peers[i].endpoint);
	}
}

bool route_facts_claimed(const struct reading *reading, uint32_t server, const struct cidr *route)
{
	for (uint32_t i = 0; i < reading->head->ips; ++i) {
		if (reading->ips[i].peer != server && reading->ips[i].peer != DEVICE_SELF &&
		    cidr_overlaps(&reading->ips[i].cidr, route))
			return true;
	}
	for (uint32_t i = 0; i < reading->head->peers; ++i) {
		if (reading->peers[i].endpoint.family &&
		    cidr_overlaps(&reading->peers[i].endpoint, route))
			return true;
	}
	return false;
}

int route_facts(struct route_facts *facts)
{
	int ret = net_addresses(address_each, facts);

	if (!ret)
		ret = net_routes(route_each, facts);
	for (uint32_t i = 0; i < facts->resolvers->count; ++i)
		add(facts, FACT_RESOLVER, &facts->resolvers->ip[i]);
	if (facts->reading)
		peers(facts);
	return ret ? ret : facts->lost ? -ENOMEM : 0;
}

bool route_facts_resolvers_changed(void)
{
	static struct stat seen[RESOLVER_FILES]; /* one that is not there is all zero */
	bool changed = false;

	for (size_t i = 0; i < RESOLVER_FILES; ++i) {
		struct stat now = { 0 };

		if (stat(resolver_files[i], &now))
			memset(&now, 0, sizeof(now));
		changed |= now.st_ino != seen[i].st_ino ||
			   memcmp(&now.st_mtim, &seen[i].st_mtim, sizeof(now.st_mtim));
		seen[i] = now;
	}
	return changed;
}
