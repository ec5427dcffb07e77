/* SPDX-License-Identifier: MIT */
/* What the files of the client's monitor share. */

#ifndef CLIENT_MONITOR_H
#define CLIENT_MONITOR_H

#include "client-check.h"
#include "client-words.h"
#include "client.h"
#include "holding.h"
#include "hook.h"
#include "network.h"
#include "runner.h"
#include "supervisor.h"

struct client_monitor {
	struct loop loop;
	struct supervisor supervisor;
	struct watch signals, events, routes, parent;
	struct client_words words;
	struct client_setup setup;
	struct lifecycle_lease lease; /* what is held */
	struct lifecycle_lease before; /* what was, before the last change */
	struct holding holding; /* of it, what the interface shall have */
	struct network network;
	struct runner runner;
	struct hook hook;
	struct failure failure; /* the last that was reported */
	int control; /* the listening socket */
	bool up, gone; /* of the interface */
	bool waiting; /* for the first addresses */
	uint64_t wait_until, stop_at, look_at, check_at; /* NEVER */
	uint64_t look_after; /* at the host's networks, not again before */
	uint32_t reloads;
};

/* --- client-orders.c --- */

/* What is configured, for the engine to show. */
void client_tell_network(struct client_monitor *monitor);

/* The lease that shall be held from now on, what came with it, and news for people. */
void client_change(struct client_monitor *monitor, const struct client_change *change);

/* No lease, and nothing that came with one. */
void client_hold_nothing(struct client_monitor *monitor);

/* Whether there is a lease. */
bool client_holds(const struct client_monitor *monitor);

/* When the monitor itself removes what is held, ms; NEVER: nothing is. */
uint64_t client_expiry(const struct client_monitor *monitor);

/* Removes it then: the engine, which should have, has not. It is being started again, or hangs. */
void client_expire(struct client_monitor *monitor, uint64_t now);

#endif
