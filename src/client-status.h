/* SPDX-License-Identifier: MIT */
/* What the client's engine answers when people ask how it is. */

#ifndef CLIENT_STATUS_H
#define CLIENT_STATUS_H

#include "client.h"
#include "protocol.h"

struct client_status {
	struct client_start start;
	struct client_network network; /* what is configured */
	struct lifecycle lifecycle;
	uint64_t began; /* ms */
	char said[ERRMSG_LEN]; /* by the server with its last response, why it refuses */
};

/* As control_open() takes it: data is a struct client_status. */
size_t client_status_fill(void *data, uint64_t *cursor, char *buf);

/* Writes what a failure means, for people, without a full stop. */
void client_failure_text(char *buf, size_t size, const struct failure *failure);

#endif
