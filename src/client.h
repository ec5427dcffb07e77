/* SPDX-License-Identifier: MIT */
/*
 * What the two halves of the client say to each other: fixed-size structs, native byte order. The
 * engine asks; the monitor checks all of it on its own knowledge before it does anything.
 */

#ifndef CLIENT_H
#define CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "channel.h"
#include "device.h"
#include "lifecycle.h"

enum client_message {
	/* monitor to engine */
	CLIENT_START = 1, /* the first; brings the listening status socket */
	CLIENT_SOCKET, /* answers CLIENT_CONNECT; brings the socket */
	CLIENT_LINK, /* has gone up or down */
	CLIENT_NETWORK, /* is configured now, for people to see */
	CLIENT_CALLS, /* brings the socket on which the server may call */
	CLIENT_STOP, /* end in order */
	/* engine to monitor */
	CLIENT_CONNECT, /* wants a connection to the server */
	CLIENT_CHANGE, /* of what is leased, or something for people to know, or both */
	CLIENT_FINISHED, /* answered CLIENT_STOP: nothing more will come */
	CLIENT_TYPES,
};

struct client_start {
	struct message head;
	uint64_t seed; /* random */
	struct lifecycle_lease held; /* by the interface already; no address: nothing */
	struct cidr link_local;
	char interface[16];
	uint8_t server[KEY_LEN]; /* public key */
	uint32_t up; /* the link is */
	uint32_t want; /* WANT_... */
};

/* CLIENT_CONNECT, and CLIENT_SOCKET with the same number. */
struct client_connect {
	struct message head;
	uint32_t number;
	struct failure failure; /* kind 0: the socket is there, connecting */
};

struct client_link {
	struct message head;
	uint32_t up;
	uint8_t server[KEY_LEN]; /* public key */
};

enum { CLIENT_REFUSED = FAMILIES + OPTIONS_ROUTES + OPTIONS_DNS };

struct client_network {
	struct message head;
	struct options options;
	uint8_t allowed[OPTIONS_ROUTES]; /* whether that route is in AllowedIPs by us */
	uint8_t waiting[OPTIONS_ROUTES]; /* whether it is not in force yet */
	uint32_t reloads; /* so many have been done */
	uint32_t refusals; /* of the array: what the server gives, and is not set */
	struct cidr refused[CLIENT_REFUSED];
};

/* CLIENT_CALLS, CLIENT_STOP, CLIENT_FINISHED. */
struct client_plain {
	struct message head;
};

struct client_change {
	struct message head;
	uint32_t set; /* the interface shall have what is in lease and options, no more of ours */
	uint32_t report; /* enum report */
	struct lifecycle_lease lease; /* with set; no address: none */
	struct options options; /* with set */
	uint32_t unasked; /* with set: WANT_..., what came all the same */
	uint32_t lease_time; /* seconds, with REPORT_GRANTED and _CHANGED */
	struct failure failure; /* with REPORT_FAILED */
};

/* What each half takes from the other. */
extern const struct message_rule client_engine_rules[CLIENT_TYPES];
extern const struct message_rule client_monitor_rules[CLIENT_TYPES];

/* The engine: runs on its end of the channel until told to stop. Returns its exit status. */
int client_engine(int channel_fd);

#endif
