/* SPDX-License-Identifier: MIT */
/*
 * What a server pushes beside addresses: routes, resolvers, search domains, an MTU. Keys and
 * values as on the wire; no I/O, no allocation. What a value may do, others decide.
 */

#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cidr.h"

enum {
	OPTIONS_ROUTES = 128,
	OPTIONS_DNS = 8,
	OPTIONS_SEARCH = 8,
	OPTIONS_TEXT = 9216, /* bytes, enough for the lines of any options */
	DOMAIN_LEN = 254, /* the longest domain, and the NUL */
	MTU_MIN = 1280, /* RFC 8200, 5 */
	MTU_MAX = 65535,
};

/* What a client may ask for, a bit each. */
enum {
	WANT_ROUTE = 1 << 0,
	WANT_DNS = 1 << 1, /* search domains too */
	WANT_MTU = 1 << 2,
	WANT_CALL = 1 << 3, /* to be called when something has changed */
	WANT_ALL = (1 << 4) - 1,
};

struct options {
	uint32_t routes, dns_count, searches; /* of the arrays, in the order in which they came */
	uint32_t mtu; /* bytes, 0: none */
	uint32_t dropped; /* bits (WANT_...) of which there was more than there is room for */
	struct cidr route[OPTIONS_ROUTES]; /* masked */
	struct cidr dns[OPTIONS_DNS]; /* host prefixes */
	char search[OPTIONS_SEARCH][DOMAIN_LEN];
};

/*
 * Adds the value of a key `route' (a prefix), `dns' (an address), `search' (a domain) or `mtu'.
 * What is there already is not added again. Returns 0; -ENOENT: another key; -EINVAL: no such
 * value; -EEXIST: there is an MTU; -ENOSPC: there is no room, and so all that belongs to that bit
 * (WANT_...) is dropped, whatever else may come.
 */
int options_add(struct options *options, const char *key, const char *value);

/* The bit (WANT_...) that a key of options_add() belongs to, or 0 for another key. */
uint32_t options_bit(const char *key);

/* Writes a line `KEY=VALUE' for each of those asked for (WANT_...); returns the length. */
size_t options_encode(char buf[static OPTIONS_TEXT], const struct options *options, uint32_t want);

/* The bits (WANT_...) of which there is something. */
uint32_t options_present(const struct options *options);

/* Empties what belongs to these bits (WANT_...). */
void options_clear(struct options *options, uint32_t want);

/* Whether they can have come from options_add(): for those that another process has made. */
bool options_valid(const struct options *options);

/* Whether the same is in both, in the same order. */
bool options_equal(const struct options *a, const struct options *b);

/* The bit of a word of `want=', or 0 for one that is not known; len: of the word. */
uint32_t want_bit(const char *word, size_t len);

/* The word of the lowest of these bits: "route", ...; NULL for none. */
const char *want_word(uint32_t want);

/*
 * Letters, digits, `-' (not the first), `_' and `.'; labels of 1 to 63 characters, 253 in all
 * (RFC 1035, 2.3.4).
 */
bool domain_valid(const char *text);

/* Whether the last label is a number, as in an IPv4 address, which no domain's is. */
bool domain_is_number(const char *text);

#endif
