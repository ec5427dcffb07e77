// SPDX-License-Identifier: MIT
/*
 * Each time the whole is looked at anew: what is on the device, what the host is connected to, and
 * so what may be set. Then comes what is to be taken away, the state file, and what is to be set.
 */

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "client-check.h"
#include "device.h"
#include "log.h"
#include "net.h"
#include "network.h"
#include "route-facts.h"

static void complain(const char *what, const struct cidr *route, int error)
{
	char text[CIDR_STRLEN];

	log_line(LOG_ERR, "cannot %s %s: %s", what, cidr_format(text, route), strerror(-error));
}

static void inform(const char *what, const struct cidr *route)
{
	char text[CIDR_STRLEN];

	log_line(LOG_INFO, "route %s %s", cidr_format(text, route), what);
}

/* --- what may be --- */

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

/* Leaves in options the routes that may be. */
static void judge(struct network *n, struct options *options, const struct route_facts *facts)
{
	struct network_refusal refused[OPTIONS_ROUTES];
	const struct fact *conflict;
	uint32_t good = 0, bad = 0;

	for (uint32_t i = 0; i < options->routes; ++i) {
		struct network_refusal refusal = { .route = options->route[i] };

		refusal.verdict = route_check(&n->words->accept, &refusal.route, facts->list,
					      facts->count, &conflict);
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

/* --- AllowedIPs --- */

struct batch {
	const struct network *network;
	int (*flush)(const char *name, const struct device_change *changes, size_t count);
	const char *what;
	struct device_change changes[DEVICE_BATCH];
	size_t count;
};

static void batch_flush(struct batch *batch)
{
	int ret = batch->flush(batch->network->interface, batch->changes, batch->count);

	if (ret && ret != -ENODEV)
		complain(batch->what, &batch->changes[0].ip, ret);
	batch->count = 0;
}

static void batch_add(struct batch *batch, const struct cidr *route)
{
	struct device_change *change = &batch->changes[batch->count++];

	memcpy(change->key, batch->network->server, KEY_LEN);
	change->ip = *route;
	if (batch->count == DEVICE_BATCH)
		batch_flush(batch);
}

/* --- routes --- */

/* A default route is no route of the main table: wg-quick knows how. */
static bool is_plain(const struct network_state *state, const struct cidr *route)
{
	return state->table && (route->prefix || state->table != RT_TABLE_MAIN);
}

static void withdraw(struct network *n, const struct network_state *next,
		     const struct reading *reading, uint32_t server)
{
	struct batch take = {
		.network = n,
		.flush = device_take,
		.what = "take out of AllowedIPs",
	};

	for (uint32_t i = 0; i < n->now.options.routes; ++i) {
		const struct cidr *route = &n->now.options.route[i];
		bool stays = network_state_route(next, route) >= 0;
		int ret = 0;

		if (is_plain(&n->now, route) && (!stays || next->table != n->now.table))
			ret = net_route_delete(n->ifindex, n->now.table, route, 0);
		if (ret && ret != -ENODEV)
			complain("remove the route", route, ret);
		if (stays)
			continue;
		if (n->now.allowed[i] && reading_has(reading, server, route))
			batch_add(&take, route);
		inform("withdrawn", route);
	}
	batch_flush(&take);
}

static void route_add(const struct network *n, const struct network_state *next,
		      const struct cidr *route)
{
	bool new = network_state_route(&n->now, route) < 0;
	int ret = 0;

	if (is_plain(next, route))
		ret = net_route_add(n->ifindex, next->table, route, 0);
	if (ret == -EEXIST && new)
		inform("is there already: left alone", route);
	else if (ret && ret != -EEXIST)
		complain("set the route", route, ret);
	else if (new)
		inform("set", route);
}

static void routes_add(const struct network *n, const struct network_state *next,
		       const struct reading *reading, uint32_t server)
{
	struct batch allow = {
		.network = n,
		.flush = device_allow,
		.what = "add to AllowedIPs",
	};

	for (uint32_t i = 0; i < next->options.routes; ++i) {
		if (!reading_has(reading, server, &next->options.route[i]))
			batch_add(&allow, &next->options.route[i]);
	}
	batch_flush(&allow);
	for (uint32_t i = 0; i < next->options.routes; ++i)
		route_add(n, next, &next->options.route[i]);
}

/* --- MTU --- */

/* Before the state file is written: what it will have been. */
static void mtu_plan(const struct network *n, struct network_state *next)
{
	const struct network_state *now = &n->now;
	struct net_link link = { 0 };

	if (next->options.mtu == now->options.mtu) {
		next->mtu_before = now->mtu_before;
		return;
	}
	net_link_get(n->interface, &link);
	if (now->options.mtu && link.mtu == now->options.mtu)
		next->mtu_before = now->mtu_before;
	else if (next->options.mtu)
		next->mtu_before = link.mtu;
	/* Else somebody has set another since, who keeps it. */
}

static void mtu_set(const struct network *n, const struct network_state *next)
{
	uint32_t mtu = next->options.mtu ? next->options.mtu : next->mtu_before;
	int ret;

	if (next->options.mtu == n->now.options.mtu || !mtu)
		return;
	ret = net_mtu_set(n->ifindex, mtu);
	if (ret && ret != -ENODEV)
		log_line(LOG_ERR, "cannot set the MTU to %u: %s", mtu, strerror(-ret));
	else if (!ret)
		log_line(LOG_INFO, "MTU %u set", mtu);
}

/* --- all of it --- */

static void configure(struct network *n, struct network_state *next,
		      const struct reading *reading, uint32_t server)
{
	int ret;

	for (uint32_t i = 0; i < next->options.routes; ++i) {
		const struct cidr *route = &next->options.route[i];
		int before = network_state_route(&n->now, route);

		next->allowed[i] = (before >= 0 && n->now.allowed[before]) ||
				   !reading_has(reading, server, route);
	}
	mtu_plan(n, next);
	withdraw(n, next, reading, server);
	ret = network_state_write(next, n->interface);
	if (ret)
		log_line(LOG_ERR, "cannot write the state file: %s", strerror(-ret));
	routes_add(n, next, reading, server);
	mtu_set(n, next);
	n->now = *next;
}

/* Without a reading that can be had, nothing is added; what goes, goes as far as it can. */
void network_set(struct network *n, const struct options *pushed)
{
	struct network_state next = {
		.ifindex = n->ifindex,
		.table = n->words->table,
		.options = *pushed,
	};
	struct reading reading = { 0 };
	struct route_facts facts = {
		.ifindex = n->ifindex,
		.reading = &reading,
		.pushed = &next.options,
		.known = { &n->now.options, &next.options },
	};
	int ret = 0;

	n->pushed = *pushed;
	options_clear(&next.options, ~accept_want(&n->words->accept));
	if (next.options.routes || n->now.options.routes)
		ret = client_reading(n->interface, &reading);
	facts.server = reading_peer(&reading, n->server);
	if (facts.server == DEVICE_NOBODY)
		next.options.routes = 0;
	if (!ret && next.options.routes)
		ret = route_facts(&facts);
	if (ret && ret != -ENODEV)
		log_line(LOG_ERR, "cannot look at the host's networks: %s", strerror(-ret));
	if (!ret || !options_present(pushed)) {
		judge(n, &next.options, &facts);
		configure(n, &next, &reading, facts.server);
	}
	free(facts.list);
	reading_unmap(&reading);
}

void network_again(struct network *n)
{
	const struct options pushed = n->pushed;

	if (pushed.routes)
		network_set(n, &pushed);
}

void network_clear(struct network *n)
{
	const struct options nothing = { 0 };

	if (options_present(&n->now.options))
		network_set(n, &nothing);
	n->pushed = nothing;
	n->refusals = 0;
}

void network_adopt(struct network *n)
{
	network_state_read(&n->now, n->interface);
	if (n->now.ifindex == n->ifindex)
		return;
	memset(&n->now, 0, sizeof(n->now));
	network_state_write(&n->now, n->interface);
}
