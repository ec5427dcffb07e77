// SPDX-License-Identifier: MIT
/*
 * Addresses and prefixes. All comparisons are on bytes in network order, so that IPv4 and IPv6
 * take the same way.
 */

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "cidr.h"
#include "text.h"

unsigned int family_bits(uint8_t family)
{
	return family == AF_INET ? 32 : family == AF_INET6 ? 128 : 0;
}

void cidr_host(struct cidr *c, uint8_t family, const void *ip)
{
	static const uint8_t zeros[16];

	c->family = family;
	c->prefix = family_bits(family);
	memcpy(c->ip, family == AF_INET6 ? ip : zeros, sizeof(c->ip));
	if (family == AF_INET)
		memcpy(c->ip, ip, 4);
}

bool cidr_parse(struct cidr *c, const char *text, size_t len)
{
	const char *slash = memchr(text, '/', len);
	size_t ip_len = slash ? (size_t)(slash - text) : len;
	unsigned int bits = 0, digits = 0;
	char ip[INET6_ADDRSTRLEN];

	/* inet_pton() stops at a NUL, which would hide what comes behind it. */
	if (ip_len >= sizeof(ip) || memchr(text, '\0', len))
		return false;
	memcpy(ip, text, ip_len);
	ip[ip_len] = '\0';

	memset(c, 0, sizeof(*c));
	c->family = strchr(ip, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(c->family, ip, c->ip) != 1)
		return false;
	c->prefix = family_bits(c->family);
	if (!slash)
		return true;
	for (const char *p = slash + 1; p < text + len; ++p, ++digits) {
		if (*p < '0' || *p > '9' || digits == 3)
			return false;
		bits = bits * 10 + (*p - '0');
	}
	if (!digits || bits > c->prefix)
		return false;
	c->prefix = bits;
	return true;
}

static char *put_ip4(char *at, const uint8_t *ip)
{
	for (int i = 0; i < 4; ++i) {
		uint32_t value = ip[i];

		if (value >= 100)
			*at++ = '0' + value / 100;
		if (value >= 10)
			*at++ = '0' + value / 10 % 10;
		*at++ = '0' + value % 10;
		*at++ = '.';
	}
	return at - 1;
}

static uint32_t group(const uint8_t *ip, int i)
{
	return ip[2 * i] << 8 | ip[2 * i + 1];
}

/* The longest run of zero groups, of at least two, the first of several: RFC 5952, section 4.2. */
static int longest_zeros(const uint8_t *ip, int *length)
{
	int best = 8, run = 0;

	*length = 1;
	for (int i = 0; i < 8; ++i) {
		run = group(ip, i) ? 0 : run + 1;
		if (run > *length) {
			*length = run;
			best = i + 1 - run;
		}
	}
	return best;
}

static char *put_ip6(char *at, const uint8_t *ip)
{
	static const char digits[16] = "0123456789abcdef";
	int length, zeros = longest_zeros(ip, &length);
	uint32_t value;

	for (int i = 0; i < 8; ++i) {
		if (i == zeros) {
			*at++ = ':';
			i += length - 1;
			if (i == 7)
				*at++ = ':';
			continue;
		}
		if (i)
			*at++ = ':';
		value = group(ip, i);
		if (value >= 0x1000)
			*at++ = digits[value >> 12];
		if (value >= 0x100)
			*at++ = digits[value >> 8 & 15];
		if (value >= 0x10)
			*at++ = digits[value >> 4 & 15];
		*at++ = digits[value & 15];
	}
	return at;
}

char *cidr_put_ip(char *at, const struct cidr *c)
{
	static const uint8_t zeros[10];

	if (c->family == AF_INET)
		return put_ip4(at, c->ip);
	if (c->family != AF_INET6)
		return text_put(at, "(none)");
	/* One that holds an IPv4 address is written with its dots. */
	if (memcmp(c->ip, zeros, sizeof(zeros)))
		return put_ip6(at, c->ip);
	return inet_ntop(AF_INET6, c->ip, at, INET6_ADDRSTRLEN) ? at + strlen(at) : at;
}

char *cidr_put(char *at, const struct cidr *c)
{
	at = cidr_put_ip(at, c);
	*at++ = '/';
	return text_number(at, c->prefix);
}

const char *cidr_format_ip(char buf[static CIDR_STRLEN], const struct cidr *c)
{
	*cidr_put_ip(buf, c) = '\0';
	return buf;
}

const char *cidr_format(char buf[static CIDR_STRLEN], const struct cidr *c)
{
	*cidr_put(buf, c) = '\0';
	return buf;
}

bool cidr_is_host(const struct cidr *c)
{
	return family_bits(c->family) && c->prefix == family_bits(c->family);
}

void cidr_mask(struct cidr *c)
{
	unsigned int byte = c->prefix / 8;

	if (byte >= sizeof(c->ip))
		return;
	c->ip[byte] &= 0xff00 >> (c->prefix % 8);
	memset(c->ip + byte + 1, 0, sizeof(c->ip) - byte - 1);
}

/* Whether the first bits of both are the same. */
static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned int bits)
{
	uint8_t rest = 0xff00 >> (bits % 8);

	if (memcmp(a, b, bits / 8))
		return false;
	return !(bits % 8) || !((a[bits / 8] ^ b[bits / 8]) & rest);
}

bool cidr_contains(const struct cidr *outer, const struct cidr *inner)
{
	return outer->family == inner->family && outer->prefix <= inner->prefix &&
	       same_bits(outer->ip, inner->ip, outer->prefix);
}

bool cidr_overlaps(const struct cidr *a, const struct cidr *b)
{
	return cidr_contains(a, b) || cidr_contains(b, a);
}

uint64_t cidr_span(const struct cidr *prefix, const struct cidr *ip)
{
	unsigned int bytes = family_bits(ip->family) / 8, bits = 8 * bytes - prefix->prefix;
	uint64_t offset = 0, size;

	if (bits >= 64)
		return UINT64_MAX;
	size = (uint64_t)1 << bits;
	for (unsigned int i = bytes > 8 ? bytes - 8 : 0; i < bytes; ++i)
		offset = offset << 8 | ip->ip[i];
	return size - (offset & (size - 1));
}

int cidr_compare(const struct cidr *a, const struct cidr *b)
{
	int diff = (a->family > b->family) - (a->family < b->family);

	if (!diff)
		diff = memcmp(a->ip, b->ip, sizeof(a->ip));
	return diff ? diff : (a->prefix > b->prefix) - (a->prefix < b->prefix);
}

void cidr_derived(struct cidr *c, const uint8_t key[static 8])
{
	*c = (struct cidr){ AF_INET6, 128, { 0xfe, 0x80 } };
	memcpy(c->ip + 8, key, 8);
}

bool cidr_is_link_local(const struct cidr *c)
{
	static const struct cidr link_local = { AF_INET6, 10, { 0xfe, 0x80 } };

	return cidr_contains(&link_local, c);
}

bool cidr_is_assignable(const struct cidr *c)
{
	static const struct cidr never[] = {
		{ AF_INET, 8, { 0 } },
		{ AF_INET, 8, { 127 } },
		{ AF_INET, 16, { 169, 254 } },
		{ AF_INET, 3, { 224 } }, /* multicast and 240.0.0.0/4 */
		{ AF_INET6, 127, { 0 } }, /* :: and ::1 */
		{ AF_INET6, 96, { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff } },
		{ AF_INET6, 10, { 0xfe, 0x80 } },
		{ AF_INET6, 8, { 0xff } },
	};

	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); ++i) {
		if (never[i].family == c->family &&
		    same_bits(never[i].ip, c->ip, never[i].prefix < c->prefix ? never[i].prefix :
										 c->prefix))
			return false;
	}
	return c->family;
}
