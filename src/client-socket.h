/* SPDX-License-Identifier: MIT */
/* The sockets by which client and server talk, made by the monitor and handed to the engine. */

#ifndef CLIENT_SOCKET_H
#define CLIENT_SOCKET_H

#include "client-check.h"
#include "lifecycle.h"

/*
 * A socket of this type (SOCK_STREAM, SOCK_DGRAM) that connects to the server, from the client's
 * own link-local and within the tunnel; non-blocking. Returns -1, with *failure filled in, when
 * there can't be one.
 */
int client_socket(const struct client_setup *setup, int type, struct failure *failure);

#endif
