/* SPDX-License-Identifier: MIT */
/*
 * What the client's interface must have for the server to be reached, whatever the lease: its
 * link-local address, and a route to fe80::.
 */

#ifndef CLIENT_INTERFACE_H
#define CLIENT_INTERFACE_H

#include "client-check.h"

/*
 * Where there is no route to the server, one is added, marked as ours; else it is left alone.
 * Returns 0 or -errno.
 */
int interface_route(const struct client_setup *setup);

/* Takes such a route away again, if there is one. */
void interface_route_delete(unsigned int ifindex);

/* Puts both back, as going down has taken away all that is IPv6. Returns 0 or -errno. */
int interface_restore(const struct client_setup *setup);

#endif
