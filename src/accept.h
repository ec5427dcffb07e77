/* SPDX-License-Identifier: MIT */
/*
 * What a client accepts of a server, as its user has said: words, and prefixes within which routes
 * may lie. No I/O, no allocation.
 */

#ifndef ACCEPT_H
#define ACCEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cidr.h"

enum { ACCEPT_PREFIXES = 64 };

/* A bit for each word. */
enum {
	ACCEPT_ADDRESS = 1 << 0,
	ACCEPT_ROUTE = 1 << 1, /* to private networks; route-check.h has which */
	ACCEPT_DEFAULT_ROUTE = 1 << 2, /* 0.0.0.0/0 and ::/0 */
	ACCEPT_DNS = 1 << 3, /* search domains too */
	ACCEPT_MTU = 1 << 4,
	ACCEPT_USUAL = ACCEPT_ADDRESS | ACCEPT_ROUTE, /* unless told */
};

struct accept {
	uint32_t words; /* ACCEPT_... */
	uint32_t prefixes;
	struct cidr prefix[ACCEPT_PREFIXES]; /* masked */
};

/*
 * Adds one word of the list, text[0..len). Returns 0; -EINVAL: neither word nor prefix; -ENOSPC:
 * a prefix too many.
 */
int accept_add(struct accept *accept, const char *text, size_t len);

/* What to ask a server for (WANT_...): that, and to be called. */
uint32_t accept_want(const struct accept *accept);

#endif
