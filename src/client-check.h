/* SPDX-License-Identifier: MIT */
/*
 * What the client needs of its interface, looked at once, when it starts.
 */

#ifndef CLIENT_CHECK_H
#define CLIENT_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "cidr.h"
#include "device.h"

struct client_setup {
	const char *interface;
	unsigned int ifindex;
	struct cidr link_local; /* the only /128 one */
	uint8_t server[KEY_LEN]; /* of the peer that fe80:: is sent to */
};

/* fe80::, the server's address in every tunnel. */
extern const struct cidr client_server_address;

/*
 * Fills in setup for the interface named in it. False, after a line in the log that says what is
 * missing and how to mend it, for a setup that the client can't work with.
 */
bool client_check(struct client_setup *setup);

/* The key of the peer that fe80:: is sent to. False where there is none. */
bool client_server(const struct reading *reading, uint8_t key[static KEY_LEN]);

/*
 * Whether that is another peer than setup's by now: then it's in key, after a line in the log.
 * That there is none any more is logged once.
 */
bool client_server_moved(const struct client_setup *setup, uint8_t key[static KEY_LEN]);

/*
 * Reads the device, by a child that it waits for; *reading is the caller's to unmap. Returns 0 or
 * -errno: -ETIMEDOUT, too, when daemon_parent() has gone meanwhile.
 */
int client_reading(const char *interface, struct reading *reading);

#endif
