/* SPDX-License-Identifier: MIT */
/*
 * DNS, through resolvconf(8), as wg-quick does it: one record for the interface, with what the
 * user has set himself and behind it what the server has pushed.
 */

#ifndef RESOLVER_H
#define RESOLVER_H

#include <stdbool.h>

#include "options.h"
#include "runner.h"

enum {
	RESOLVER_NAME = 256 + 16, /* bytes, of a record's name */
	RESOLVER_TEXT = (OPTIONS_DNS + OPTIONS_SEARCH) * 2 * (DOMAIN_LEN + 16),
};

struct resolver {
	struct runner *runner;
	const struct options *own; /* resolvers and search domains of the user; may be none */
	void (*changed)(void); /* set by the caller: is called after `there' has; or NULL */
	char name[RESOLVER_NAME]; /* of the record */
	char text[RESOLVER_TEXT]; /* what it says, or shall say soon; "": there is none */
	bool there; /* resolvconf has taken text */
	bool failed; /* text has not got there */
	bool missing; /* resolvconf is, which has been said */
	bool lonely; /* search domains without a resolver, which has been said */
	uint32_t refused_count;
	struct cidr refused[OPTIONS_DNS]; /* has been said of these */
};

/*
 * Finds out the record's name, for an interface of this name; does nothing else yet. Runner and
 * own stay the caller's, and must outlive the resolver.
 */
void resolver_init(struct resolver *resolver, struct runner *runner, const char *interface,
		   const struct options *own);

/*
 * Takes out of options, which keep options_valid(), the resolvers that can't be any, each after a
 * line in the log, which comes once as long as the same is pushed.
 */
void resolver_check(struct resolver *resolver, struct options *options);

/*
 * Lets the record say what the user has set and, of options that resolver_check() has seen, what
 * is pushed; with neither, or with no resolver among them, there is none. Does nothing if it says
 * so already. That there is no resolvconf is said once.
 */
void resolver_set(struct resolver *resolver, const struct options *pushed);

/* One that was killed has left a record of this name: it stays until it is set or unset. */
void resolver_adopt(struct resolver *resolver);

/* Removes the record, if there is one. */
void resolver_unset(struct resolver *resolver);

/* Removes a record of this name, which a client that was killed has left. */
void resolver_remove(struct runner *runner, const char *name);

#endif
