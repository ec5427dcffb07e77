/* SPDX-License-Identifier: MIT */
/* The command line of the client. */

#ifndef CLIENT_WORDS_H
#define CLIENT_WORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "accept.h"

struct client_words {
	const char *interface;
	bool foreground;
	uint32_t wait; /* seconds */
	struct accept accept;
	uint32_t table; /* the routing table for routes that are pushed; 0: none */
};

/* Reads it, as main() gets it. False after a line that says what is wrong, and the usage. */
bool client_words(struct client_words *words, int argc, const char *argv[]);

#endif
