// SPDX-License-Identifier: MIT
/*
 * Each time the whole is looked at anew: what is on the device, what the host is connected to, and
 * so what may be set. Then comes what is to be taken away, the state file, and what is to be set.
 */

#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>

#include "client-check.h"
#include "client-interface.h"
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

/*
 * What the interface is called: it may have been renamed, and another may have the name that it had
 * before. "" when it is gone.
 */
static const char *device_name(const struct network *n)
{
	static char name[IF_NAMESIZE];

	return if_indextoname(n->ifindex, name) ? name : "";
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
	int ret = batch->flush(device_name(batch->network), batch->changes, batch->count);

	/* The interface has gone, or its userspace program has. */
	if (ret && ret != -ENODEV && ret != -EPROTONOSUPPORT)
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
	net_link_get(device_name(n), &link);
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

static uint32_t default_bit(const struct cidr *route)
{
	if (route->prefix)
		return 0;
	return route->family == AF_INET6 ? DEFAULT_ROUTE_V6 : DEFAULT_ROUTE_V4;
}

/* The default routes that are wg-quick's to set: those of the user are not. */
static uint32_t defaults(const struct network_state *state)
{
	uint32_t mask = 0;

	for (uint32_t i = 0; i < state->options.routes; ++i) {
		const struct cidr *route = &state->options.route[i];

		if (state->allowed[i] && state->table == RT_TABLE_MAIN)
			mask |= default_bit(route);
	}
	return mask;
}

/* Before the state file is written: what other programs will have done. */
static void programs_plan(const struct network *n, struct network_state *next,
			  const struct reading *reading)
{
	next->unmark = n->default_route.unmark;
	if (!n->default_route.there && !defaults(&n->now) && defaults(next))
		next->unmark = reading->head && !reading->head->mark;
	next->defaults = n->now.defaults | defaults(next);
	memcpy(next->dns, n->now.dns, sizeof(next->dns));
	if (n->words->own.dns_count || next->options.dns_count)
		memcpy(next->dns, n->resolver.name, sizeof(next->dns));
}

static void programs_run(struct network *n, const struct network_state *next)
{
	n->default_route.unmark = next->unmark;
	resolver_set(&n->resolver, &next->options);
	default_route_set(&n->default_route, defaults(next));
}

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
	programs_plan(n, next, reading);
	withdraw(n, next, reading, server);
	ret = network_state_write(next, n->interface);
	if (ret)
		log_line(LOG_ERR, "cannot write the state file: %s", strerror(-ret));
	routes_add(n, next, reading, server);
	mtu_set(n, next);
	programs_run(n, next);
	n->now = *next;
}

/* Without the mark of wg-quick's default routes, the tunnel's own packets go into the tunnel. */
static bool is_unmarked(const struct network *n, const struct reading *reading)
{
	return reading->head && !reading->head->mark && default_route_whole(&n->default_route);
}

/* Where it is known, the mark alone is set: else there would be no default route for a moment. */
static void keep_mark(struct network *n, const struct reading *reading)
{
	if (!default_route_whole(&n->default_route))
		n->mark = 0; /* the next may be another */
	else if (reading->head && reading->head->mark)
		n->mark = reading->head->mark;
	if (is_unmarked(n, reading) && (!n->mark || device_mark(device_name(n), n->mark)))
		default_route_again(&n->default_route);
}

/* Without a reading that can be had, nothing is added; what goes, goes as far as it can. */
static void set(struct network *n, const struct options *pushed)
{
	struct network_state next = {
		.ifindex = n->ifindex,
		.table = n->words->table,
		.options = *pushed,
	};
	struct reading reading = { 0 };
	struct host_resolvers resolvers;
	struct route_facts facts = {
		.ifindex = n->ifindex,
		.reading = &reading,
		.pushed = &next.options,
		.resolvers = &resolvers,
	};
	int ret = 0;

	network_resolvers(n, &resolvers);
	next.resolvers = n->now.resolvers;
	n->pushed = *pushed;
	options_clear(&next.options, ~accept_want(&n->words->accept));
	if (next.options.routes || n->now.options.routes)
		ret = client_reading(device_name(n), &reading);
	facts.server = reading_peer(&reading, n->server);
	if (facts.server == DEVICE_NOBODY)
		next.options.routes = 0;
	if (!ret && next.options.routes)
		ret = route_facts(&facts);
	/* Else it has just gone, or nothing is to be added. */
	if (ret && options_present(pushed) && *device_name(n))
		log_line(LOG_ERR, "cannot look at the host's networks: %s", strerror(-ret));
	if (!ret || !options_present(pushed)) {
		network_judge(n, &next.options, &facts);
		resolver_check(&n->resolver, &next.options);
		configure(n, &next, &reading, facts.server);
	}
	keep_mark(n, &reading);
	free(facts.list);
	reading_unmap(&reading);
}

/* Not at each look at the host, which wg-quick's own changes would bring about again. */
void network_set(struct network *n, const struct options *pushed)
{
	default_route_retry(&n->default_route);
	set(n, pushed);
}

void network_shown(const struct network *n, struct options *options,
		   uint8_t waiting[static OPTIONS_ROUTES])
{
	uint32_t missing = defaults(&n->now) & ~default_route_in_force(&n->default_route);

	*options = n->now.options;
	for (uint32_t i = 0; i < options->routes; ++i)
		waiting[i] = !!(default_bit(&options->route[i]) & missing);
	if (!n->resolver.there)
		options_clear(options, WANT_DNS);
}

void network_told(const struct network *n, struct options *options)
{
	uint32_t count = 0;

	*options = n->now.options;
	for (uint32_t i = 0; i < options->routes; ++i) {
		if (!(default_bit(&options->route[i]) & n->default_route.failed))
			options->route[count++] = options->route[i];
	}
	options->routes = count;
}

void network_again(struct network *n)
{
	const struct options pushed = n->pushed;

	if (pushed.routes)
		set(n, &pushed);
}

/* Whether the peers speak against other routes than when they were judged. */
static bool is_claimed_anew(const struct network *n, const struct reading *reading, uint32_t server)
{
	for (uint32_t i = 0; i < n->now.options.routes; ++i) {
		const struct cidr *route = &n->now.options.route[i];

		if (route->prefix && route_facts_claimed(reading, server, route))
			return true;
	}
	for (uint32_t i = 0; i < n->refusals; ++i) {
		const struct network_refusal *refusal = &n->refused[i];

		if ((refusal->kind == FACT_PEER || refusal->kind == FACT_ENDPOINT) &&
		    refusal->route.prefix &&
		    !route_facts_claimed(reading, server, &refusal->route))
			return true;
	}
	return false;
}

bool network_whole(const struct network *n)
{
	const struct options *options = &n->now.options;
	struct reading reading = { 0 };
	bool whole = !route_facts_resolvers_changed();
	uint32_t server;

	if (!client_reading(device_name(n), &reading)) {
		whole &= !is_unmarked(n, &reading);
		server = reading_peer(&reading, n->server);
		whole &= n->pushed.routes == options->routes + n->refusals;
		for (uint32_t i = 0; i < options->routes; ++i)
			whole &= reading_has(&reading, server, &options->route[i]);
		whole &= !is_claimed_anew(n, &reading, server);
	}
	reading_unmap(&reading);
	return whole;
}

void network_leave(struct network *n)
{
	struct batch take = {
		.network = n,
		.flush = device_take,
		.what = "take out of AllowedIPs",
	};
	struct reading reading = { 0 };
	uint32_t server = DEVICE_NOBODY;

	if (!client_reading(device_name(n), &reading))
		server = reading_peer(&reading, n->server);
	for (uint32_t i = 0; server != DEVICE_NOBODY && i < n->now.options.routes; ++i) {
		const struct cidr *route = &n->now.options.route[i];

		if (n->now.allowed[i] && reading_has(&reading, server, route))
			batch_add(&take, route);
	}
	batch_flush(&take);
	reading_unmap(&reading);
}

void network_restore(struct network *n)
{
	network_again(n);
	default_route_again(&n->default_route);
}

void network_clear(struct network *n)
{
	const struct options nothing = { 0 };

	network_set(n, &nothing);
}

void network_end(struct network *n)
{
	network_clear(n);
	resolver_unset(&n->resolver);
	runner_drain(n->runner);
	memset(&n->now, 0, sizeof(n->now));
	network_state_write(&n->now, n->interface);
}

/* --- what one that was killed has left --- */

/* On a new interface of the name there may be default routes that are not ours. */
static void forget(struct network *n)
{
	struct network_state *now = &n->now;

	options_clear(&now->options, WANT_ROUTE | WANT_MTU);
	memset(now->allowed, 0, sizeof(now->allowed));
	now->ifindex = now->table = now->mtu_before = now->unmark = 0;
	if (now->defaults && n->ifindex)
		now->defaults &= ~default_route_on(n->interface);
}

void network_gone(struct network *n)
{
	if (*device_name(n))
		return;
	n->ifindex = if_nametoindex(n->interface);
	forget(n);
	n->default_route.there &= n->now.defaults;
	n->default_route.stale &= n->now.defaults;
	n->default_route.unmark = false;
}

void network_adopt(struct network *n)
{
	const struct client_words *words = n->words;
	struct network_state *now = &n->now;

	route_facts_resolvers_changed(); /* from now on */
	network_state_read(now, n->interface);
	if (now->ifindex != n->ifindex)
		forget(n);
	resolver_init(&n->resolver, n->runner, n->interface, &words->own);
	n->resolver.changed = n->resolver_changed;
	n->default_route = (struct default_route){
		.runner = n->runner,
		.interface = n->interface,
		.ifindex = n->ifindex,
		.added = n->default_added,
		.unmark = now->unmark,
		.there = now->defaults,
		.stale = now->defaults,
	};
	if (*now->dns && !strcmp(now->dns, n->resolver.name) &&
	    (words->accept.words & ACCEPT_DNS || words->own.dns_count)) {
		resolver_adopt(&n->resolver);
	} else if (*now->dns) {
		resolver_remove(n->runner, now->dns);
		*now->dns = '\0';
	}
	if (!(words->accept.words & ACCEPT_DEFAULT_ROUTE)) {
		default_route_set(&n->default_route, 0);
		now->defaults = 0;
	}
	runner_drain(n->runner);
	network_state_write(now, n->interface);
}

bool network_undo(const char *interface)
{
	static struct client_words nothing; /* is accepted */
	struct runner runner = { 0 };
	uint8_t server[KEY_LEN] = { 0 };
	struct reading reading = { 0 };
	struct net_link link = { 0 };
	struct network network = {
		.interface = interface,
		.server = server,
		.words = &nothing,
		.runner = &runner,
	};

	if (!net_link_get(interface, &link)) {
		network.ifindex = link.ifindex;
		interface_route_delete(link.ifindex);
	}
	if (!network_state_there(interface))
		return false;
	if (!client_reading(interface, &reading))
		client_server(&reading, server);
	reading_unmap(&reading);
	network_adopt(&network);
	network_end(&network);
	return true;
}
