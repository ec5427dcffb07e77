/* SPDX-License-Identifier: MIT */
/*
 * What a server pushes beside addresses, as far as the user accepts it, on the client: routes, in
 * the AllowedIPs of the server's peer and in a routing table, the MTU, DNS and default routes.
 * Nothing that somebody else has set is replaced or removed. Kept by the monitor.
 */

#ifndef NETWORK_H
#define NETWORK_H

#include <stdbool.h>
#include <stdint.h>

#include "client-words.h"
#include "client.h"
#include "default-route.h"
#include "network-state.h"
#include "protocol.h"
#include "resolver.h"
#include "route-facts.h"

/* A route that was refused, and why: has been told. */
struct network_refusal {
	struct cidr route;
	enum route_verdict verdict;
	enum fact_kind kind; /* of the conflict */
};

struct network {
	/* set by the caller: */
	const char *interface;
	unsigned int ifindex;
	const uint8_t *server; /* the public key */
	const struct client_words *words;
	struct runner *runner; /* for what other programs do */
	void (*default_added)(void); /* is called after that, and after one that has failed */
	void (*resolver_changed)(void); /* is called after network_shown() has, by resolvconf */

	struct network_state now; /* what is configured */
	struct options pushed; /* as it came last */
	struct network_refusal refused[OPTIONS_ROUTES];
	uint32_t refusals;
	struct cidr refused_ip[FAMILIES]; /* leased, likewise; family 0: none */
	struct resolver resolver;
	struct default_route default_route;
	uint32_t mark; /* seen with default routes that are whole; 0: none yet */
};

/*
 * Takes over what a client that was killed has left: it stays as it is until network_set(). What
 * has ended with an interface that is no more is forgotten. What only other programs could undo,
 * and this client will not run, is undone at once.
 */
void network_adopt(struct network *network);

/*
 * Takes out of these leased addresses what is a gateway or a resolver of the host, or in a network
 * of another interface: who has it there would be out of reach if the host itself had the address;
 * and what another interface of the host has, which the firewall would cut off. Logs it, once.
 * Where that can't be known, what is not held already.
 */
void network_addresses(struct network *network, struct cidr ip[static FAMILIES],
		       const struct cidr held[static FAMILIES]);

/*
 * What is accepted of these, and no more, shall be configured from now on; the options keep
 * options_valid(). Logs what is done, what is refused and why (once), and what can't be done.
 * Default routes that could not be set are tried again.
 */
void network_set(struct network *network, const struct options *pushed);

/*
 * What is configured. Those routes are waiting[] that are not in force (yet): default routes are
 * once wg-quick has set them. Of the rest, that is given which is in force: resolvers are once
 * resolvconf has taken them.
 */
void network_shown(const struct network *network, struct options *options,
		   uint8_t waiting[static OPTIONS_ROUTES]);

/* What was leased or pushed last and is refused; returns how many there are. */
uint32_t network_refused(const struct network *network,
			 struct cidr refused[static CLIENT_REFUSED]);

/* What is configured, but for default routes that could not be set. */
void network_told(const struct network *network, struct options *options);

/* Judges again what was pushed last, and puts back what is gone; for when the host has changed. */
void network_again(struct network *network);

/*
 * Whether AllowedIPs, endpoints, the firewall mark and the host's resolvers are as network_set()
 * would leave or has found them; of a change nobody tells. True, too, when they can't be read.
 */
bool network_whole(const struct network *network);

/*
 * Takes what is pushed out of the server's AllowedIPs, for when another peer becomes the server:
 * network_again() then gives it to that.
 */
void network_leave(struct network *network);

/* Puts back what the interface has lost by going down. */
void network_restore(struct network *network);

/*
 * The interface has gone or got another name, and another may be called as it was by now: what that
 * has, as default routes of its own, is not undone. DNS can't be told apart, which goes by the name
 * alone.
 */
void network_gone(struct network *network);

/* Nothing of it shall be configured any more, but what the user has given himself. */
void network_clear(struct network *network);

/* Nor that. Waits until it is done. */
void network_end(struct network *network);

/*
 * Undoes what a client that was killed has left; none may run. Returns whether there was
 * anything.
 */
bool network_undo(const char *interface);

/* --- network-check.c, for network.c --- */

/* The host's resolvers. */
void network_resolvers(struct network *network, struct host_resolvers *host);

/* Leaves in options the routes that may be; the others are noted, and logged, once. */
void network_judge(struct network *network, struct options *options,
		   const struct route_facts *facts);

#endif
