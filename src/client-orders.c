// SPDX-License-Identifier: MIT
/*
 * The client's monitor carries out the engine's orders: what a lease can be, and nothing else. It
 * believes nothing that the engine says.
 */

#include <string.h>
#include <syslog.h>

#include "client-monitor.h"
#include "client-report.h"
#include "log.h"

enum {
	EXPIRY_MS = 1000, /* for the engine to have addresses removed whose lease has ended */
};

void client_tell_network(struct client_monitor *monitor)
{
	struct client_network network = {
		.head.type = CLIENT_NETWORK,
		.reloads = monitor->reloads,
	};

	network_shown(&monitor->network, &network.options, network.waiting);
	memcpy(network.allowed, monitor->network.now.allowed, sizeof(network.allowed));
	network.refusals = network_refused(&monitor->network, network.refused);
	supervisor_send(&monitor->supervisor, &network.head, sizeof(network), -1);
}

bool client_holds(const struct client_monitor *monitor)
{
	return lifecycle_lease_any(&monitor->lease);
}

uint64_t client_expiry(const struct client_monitor *monitor)
{
	return client_holds(monitor) ? monitor->lease.until + EXPIRY_MS : NEVER;
}

/* The lease, and what came with it, from now on. Returns whether its addresses are there. */
static bool hold(struct client_monitor *monitor, const struct lifecycle_lease *lease,
		 const struct options *options)
{
	struct lifecycle_lease set = *lease;
	bool there;

	monitor->lease = *lease;
	if (!lifecycle_lease_any(lease))
		network_clear(&monitor->network);
	if (!(monitor->words.accept.words & ACCEPT_ADDRESS))
		memset(&set.ip, 0, sizeof(set.ip));
	network_addresses(&monitor->network, set.ip, monitor->holding.lease.ip);
	there = holding_set(&monitor->holding, &set, now_ms());
	if (lifecycle_lease_any(lease))
		network_set(&monitor->network, options);
	client_tell_network(monitor);
	return there;
}

void client_hold_nothing(struct client_monitor *monitor)
{
	static const struct options no_options;
	const struct lifecycle_lease nothing = { 0 };

	hold(monitor, &nothing, &no_options);
}

/* False for what can't be, or is over. */
static bool lease_set(struct client_monitor *monitor, const struct client_change *change)
{
	const struct lifecycle_lease *lease = &change->lease;
	struct options options;
	uint64_t now = now_ms();

	/* A delay of ours may have eaten up what was left: what is held ends by itself. */
	if (lifecycle_lease_any(lease) && lease->until <= now)
		return false;
	if (!lifecycle_lease_valid(lease, now) || !options_valid(&change->options)) {
		log_line(LOG_ERR, "the engine wants what no lease can have: ignored");
		return false;
	}
	monitor->before = monitor->lease;
	if (hold(monitor, lease, &change->options) && lifecycle_lease_any(lease))
		monitor->waiting = false;
	network_told(&monitor->network, &options);
	if (lifecycle_lease_any(lease))
		hook_lease(&monitor->hook, lease, change->lease_time, &options);
	else if (monitor->stop_at == NEVER) /* else when all is undone */
		hook_end(&monitor->hook, change->report == REPORT_EXPIRED ? HOOK_EXPIRED :
						HOOK_RELEASED);
	return true;
}

void client_expire(struct client_monitor *monitor, uint64_t now)
{
	const struct client_change ended = { .report = REPORT_EXPIRED };

	if (client_expiry(monitor) > now)
		return;
	monitor->before = monitor->lease;
	client_hold_nothing(monitor);
	client_report(&ended, &monitor->setup, &monitor->lease, &monitor->before);
	hook_end(&monitor->hook, HOOK_EXPIRED);
}

void client_change(struct client_monitor *monitor, const struct client_change *change)
{
	if (change->set && !lease_set(monitor, change))
		return;
	if (change->report == REPORT_FAILED)
		monitor->failure = change->failure;
	client_report(change, &monitor->setup, &monitor->lease, &monitor->before);
}
