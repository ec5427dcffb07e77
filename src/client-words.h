/* SPDX-License-Identifier: MIT */
/* The command line of the client. */

#ifndef CLIENT_WORDS_H
#define CLIENT_WORDS_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "accept.h"
#include "options.h"

struct client_words {
	const char *interface;
	bool foreground;
	bool check; /* these words, and do nothing */
	uint32_t wait; /* seconds */
	struct accept accept;
	uint32_t table; /* the routing table for routes that are pushed; 0: none */
	struct options own; /* the user's resolvers and search domains */
	char hook[PATH_MAX]; /* the program; "": none */
};

/* Whether other programs are to be run that must be root. */
bool client_words_root(const struct client_words *words);

/* Whether any are to be run, which takes all privileges. */
bool client_words_programs(const struct client_words *words);

/* Reads it, as main() gets it. False after a line that says what is wrong, and the usage. */
bool client_words(struct client_words *words, int argc, const char *argv[]);

#endif
