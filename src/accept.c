// SPDX-License-Identifier: MIT
/* The words are the same as in wg-quick's Accept. */

#include <errno.h>
#include <string.h>

#include "accept.h"
#include "options.h"

static const char words[][14] = { "address", "route", "default-route", "dns", "mtu" };

enum { WORDS = sizeof(words) / sizeof(*words) };

int accept_add(struct accept *accept, const char *text, size_t len)
{
	struct cidr prefix;

	for (int i = 0; i < WORDS; ++i) {
		if (strlen(words[i]) == len && !memcmp(words[i], text, len)) {
			accept->words |= 1U << i;
			return 0;
		}
	}
	if (!cidr_parse(&prefix, text, len))
		return -EINVAL;
	if (accept->prefixes == ACCEPT_PREFIXES)
		return -ENOSPC;
	cidr_mask(&prefix);
	accept->prefix[accept->prefixes++] = prefix;
	return 0;
}

uint32_t accept_want(const struct accept *accept)
{
	uint32_t want = WANT_CALL;

	if (accept->words & (ACCEPT_ROUTE | ACCEPT_DEFAULT_ROUTE) || accept->prefixes)
		want |= WANT_ROUTE;
	if (accept->words & ACCEPT_DNS)
		want |= WANT_DNS;
	if (accept->words & ACCEPT_MTU)
		want |= WANT_MTU;
	return want;
}
