// SPDX-License-Identifier: MIT
/* Values are checked for their form alone: the same for what a server reads and a client gets. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "options.h"
#include "protocol.h"

enum { LABEL_LEN = 63 };

static const char words[][6] = { "route", "dns", "mtu", "call" };

enum { WORDS = sizeof(words) / sizeof(*words) };

uint32_t want_bit(const char *word, size_t len)
{
	for (int i = 0; i < WORDS; ++i) {
		if (strlen(words[i]) == len && !memcmp(words[i], word, len))
			return 1U << i;
	}
	return 0;
}

const char *want_word(uint32_t want)
{
	for (int i = 0; i < WORDS; ++i) {
		if (want & 1U << i)
			return words[i];
	}
	return NULL;
}

bool domain_valid(const char *text)
{
	size_t label = 0, len;

	if (*text == '-')
		return false; /* to a hook's programs it would be an option */
	for (len = 0; text[len]; ++len) {
		char c = text[len];

		if (c == '.') {
			if (!label)
				return false;
			label = 0;
		} else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			   (c >= '0' && c <= '9') || c == '-' || c == '_') {
			if (++label > LABEL_LEN)
				return false;
		} else {
			return false;
		}
		if (len == DOMAIN_LEN - 1)
			return false;
	}
	return label;
}

bool domain_is_number(const char *text)
{
	const char *dot = strrchr(text, '.'), *last = dot ? dot + 1 : text;

	return *last && !last[strspn(last, "0123456789")];
}

static int add_cidr(struct cidr *list, uint32_t *count, uint32_t most, const struct cidr *value)
{
	for (uint32_t i = 0; i < *count; ++i) {
		if (!cidr_compare(&list[i], value))
			return 0;
	}
	if (*count == most)
		return -ENOSPC;
	list[(*count)++] = *value;
	return 0;
}

static int add_search(struct options *options, const char *value)
{
	for (uint32_t i = 0; i < options->searches; ++i) {
		if (!strcmp(options->search[i], value))
			return 0;
	}
	if (options->searches == OPTIONS_SEARCH)
		return -ENOSPC;
	strcpy(options->search[options->searches++], value);
	return 0;
}

static int add(struct options *options, const char *key, const char *value)
{
	uint32_t mtu;
	struct cidr c;

	if (!strcmp(key, "route")) {
		if (!cidr_parse(&c, value, strlen(value)))
			return -EINVAL;
		cidr_mask(&c);
		return add_cidr(options->route, &options->routes, OPTIONS_ROUTES, &c);
	}
	if (!strcmp(key, "dns")) {
		if (!cidr_parse(&c, value, strlen(value)) || !cidr_is_host(&c))
			return -EINVAL;
		return add_cidr(options->dns, &options->dns_count, OPTIONS_DNS, &c);
	}
	if (!strcmp(key, "search"))
		return domain_valid(value) ? add_search(options, value) : -EINVAL;
	if (strcmp(key, "mtu"))
		return -ENOENT;
	if (!number_parse(&mtu, value, MTU_MAX) || mtu < MTU_MIN)
		return -EINVAL;
	if (options->mtu)
		return -EEXIST;
	options->mtu = mtu;
	return 0;
}

int options_add(struct options *options, const char *key, const char *value)
{
	uint32_t bit = options_bit(key);
	int ret = add(options, key, value);

	if (ret == -ENOSPC)
		options->dropped |= bit;
	if (ret == 0 && options->dropped & bit)
		ret = -ENOSPC;
	if (ret == -ENOSPC)
		options_clear(options, bit);
	return ret;
}

uint32_t options_bit(const char *key)
{
	return !strcmp(key, "search") ? WANT_DNS : want_bit(key, strlen(key)) & ~WANT_CALL;
}

size_t options_encode(char buf[static OPTIONS_TEXT], const struct options *o, uint32_t want)
{
	char text[CIDR_STRLEN];
	size_t len = 0;

	for (uint32_t i = 0; want & WANT_ROUTE && i < o->routes; ++i)
		len += snprintf(buf + len, OPTIONS_TEXT - len, "route=%s\n",
				cidr_format(text, &o->route[i]));
	for (uint32_t i = 0; want & WANT_DNS && i < o->dns_count; ++i)
		len += snprintf(buf + len, OPTIONS_TEXT - len, "dns=%s\n",
				cidr_format_ip(text, &o->dns[i]));
	for (uint32_t i = 0; want & WANT_DNS && i < o->searches; ++i)
		len += snprintf(buf + len, OPTIONS_TEXT - len, "search=%s\n", o->search[i]);
	if (want & WANT_MTU && o->mtu)
		len += snprintf(buf + len, OPTIONS_TEXT - len, "mtu=%u\n", o->mtu);
	return len;
}

uint32_t options_present(const struct options *o)
{
	return (o->routes ? WANT_ROUTE : 0) | (o->dns_count || o->searches ? WANT_DNS : 0) |
	       (o->mtu ? WANT_MTU : 0);
}

void options_clear(struct options *o, uint32_t want)
{
	if (want & WANT_ROUTE)
		o->routes = 0;
	if (want & WANT_DNS)
		o->dns_count = o->searches = 0;
	if (want & WANT_MTU)
		o->mtu = 0;
}

static bool cidrs_valid(const struct cidr *list, uint32_t count)
{
	struct cidr masked;

	for (uint32_t i = 0; i < count; ++i) {
		masked = list[i];
		cidr_mask(&masked);
		if (!family_bits(list[i].family) || list[i].prefix > family_bits(list[i].family) ||
		    cidr_compare(&masked, &list[i]))
			return false;
	}
	return true;
}

bool options_valid(const struct options *o)
{
	if (o->routes > OPTIONS_ROUTES || o->dns_count > OPTIONS_DNS ||
	    o->searches > OPTIONS_SEARCH || (o->mtu && (o->mtu < MTU_MIN || o->mtu > MTU_MAX)) ||
	    !cidrs_valid(o->route, o->routes) || !cidrs_valid(o->dns, o->dns_count))
		return false;
	for (uint32_t i = 0; i < o->dns_count; ++i) {
		if (!cidr_is_host(&o->dns[i]))
			return false;
	}
	for (uint32_t i = 0; i < o->searches; ++i) {
		if (!memchr(o->search[i], '\0', DOMAIN_LEN) || !domain_valid(o->search[i]))
			return false;
	}
	return true;
}

bool options_equal(const struct options *a, const struct options *b)
{
	if (a->routes != b->routes || a->dns_count != b->dns_count ||
	    a->searches != b->searches || a->mtu != b->mtu)
		return false;
	for (uint32_t i = 0; i < a->searches; ++i) {
		if (strcmp(a->search[i], b->search[i]))
			return false;
	}
	return !memcmp(a->route, b->route, a->routes * sizeof(*a->route)) &&
	       !memcmp(a->dns, b->dns, a->dns_count * sizeof(*a->dns));
}
