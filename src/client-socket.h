/* SPDX-License-Identifier: MIT */
/* The sockets by which client and server talk, made by the monitor and handed to the engine. */

#ifndef CLIENT_SOCKET_H
#define CLIENT_SOCKET_H

#include "client-check.h"
#include "client.h"
#include "supervisor.h"

/*
 * Hands the engine a socket that connects to the server, from the client's own link-local and
 * within the tunnel; or says why there can't be one. Answers this order of the engine.
 */
void client_socket_connect(const struct client_setup *setup, struct supervisor *supervisor,
			   const struct client_connect *order);

/*
 * Hands it one on which the server's calls come. That there can't be one is no failure: changes
 * are then learnt of by renewing alone.
 */
void client_socket_calls(const struct client_setup *setup, struct supervisor *supervisor);

#endif
