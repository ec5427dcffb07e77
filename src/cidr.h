/* SPDX-License-Identifier: MIT */
/*
 * IPv4 and IPv6 addresses and prefixes: text, comparison, containment. No I/O, no allocation.
 */

#ifndef CIDR_H
#define CIDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CIDR_STRLEN 50 /* the longest IPv6 text, "/128" and the NUL, rounded up */

/* An address with a prefix length. An address alone is one with its family's full length. */
struct cidr {
	uint8_t family; /* AF_INET, AF_INET6, or 0 for none */
	uint8_t prefix; /* bits */
	uint8_t ip[16]; /* network byte order; IPv4 in the first four, the rest zero */
};

/* The bits of an address of this family: 32, 128, or 0 for no family. */
unsigned int family_bits(uint8_t family);

/* Fills c with the address of 4 (AF_INET) or 16 bytes at ip, with a full-length prefix. */
void cidr_host(struct cidr *c, uint8_t family, const void *ip);

/*
 * Reads text[0..len) as ADDRESS or ADDRESS/BITS; BITS in decimal digits, host prefix if missing.
 * Host bits are kept as they stand. False (and c undefined) for anything else.
 */
bool cidr_parse(struct cidr *c, const char *text, size_t len);

/*
 * Writes ADDRESS/BITS (RFC 5952, as inet_ntop() does), or the address alone, from `at' on, where
 * there is room for CIDR_STRLEN; returns the place behind, without a NUL.
 */
char *cidr_put(char *at, const struct cidr *c);
char *cidr_put_ip(char *at, const struct cidr *c);

/* Writes ADDRESS/BITS and a NUL into buf; returns buf. */
const char *cidr_format(char buf[static CIDR_STRLEN], const struct cidr *c);

/* Likewise, the address alone. */
const char *cidr_format_ip(char buf[static CIDR_STRLEN], const struct cidr *c);

/* Whether c is a single address: /32 or /128. */
bool cidr_is_host(const struct cidr *c);

/* Sets the bits behind the prefix to zero. */
void cidr_mask(struct cidr *c);

/* Whether every address of inner is in outer too. Different families: no. */
bool cidr_contains(const struct cidr *outer, const struct cidr *inner);

/* Whether some address is in both. */
bool cidr_overlaps(const struct cidr *a, const struct cidr *b);

/*
 * How many addresses of the prefix there are from ip, which lies in it, to its end; UINT64_MAX when
 * there are more than that.
 */
uint64_t cidr_span(const struct cidr *prefix, const struct cidr *ip);

/* An order over family, address and prefix, for sorting and for equality (0): as memcmp. */
int cidr_compare(const struct cidr *a, const struct cidr *b);

/* Whether c is inside fe80::/10 (RFC 4291, 2.5.6). */
bool cidr_is_link_local(const struct cidr *c);

/*
 * The link-local address that is derived from a public key: fe80::/64 and the key's first 8 bytes,
 * as /128. It is fe80:: itself for a key that begins with 8 zeros.
 */
void cidr_derived(struct cidr *c, const uint8_t key[static 8]);

/*
 * Whether the address may be given to a host inside a tunnel at all. Not: unspecified and
 * 0.0.0.0/8, loopback, link-local, multicast, 240.0.0.0/4 (RFC 6890), IPv4-mapped (RFC 4291,
 * 2.5.5.2). Of a network: whether all its addresses may.
 */
bool cidr_is_assignable(const struct cidr *c);

#endif
