// SPDX-License-Identifier: MIT
/*
 * Whose an address is, is asked of the kernel before each change: it bears our mark (IFA_PROTO);
 * or, with kernels before 5.18, which forget the mark, we have set it and it has a lifetime.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "firewall.h"
#include "holding.h"
#include "log.h"
#include "net.h"

struct search {
	unsigned int ifindex;
	struct cidr ip;
	bool found;
	struct net_address address;
};

static bool search_each(const struct net_address *address, void *data)
{
	struct search *search = data;
	struct cidr ip;

	cidr_host(&ip, address->cidr.family, address->cidr.ip);
	if (address->ifindex != search->ifindex || cidr_compare(&ip, &search->ip))
		return true;
	search->found = true;
	search->address = *address;
	return false;
}

enum owner { NOBODY, OURS, SOMEBODY };

static enum owner owner(const struct holding *h, int v, const struct cidr *ip)
{
	struct search search = { .ifindex = h->ifindex, .ip = *ip };
	bool set_by_us = h->ours[v] && !cidr_compare(ip, &h->lease.ip[v]);

	if (net_addresses(search_each, &search))
		return SOMEBODY;
	if (!search.found)
		return NOBODY;
	if (!cidr_is_host(&search.address.cidr) || search.address.valid == NET_FOREVER)
		return SOMEBODY;
	return search.address.protocol == NET_PROTOCOL || set_by_us ? OURS : SOMEBODY;
}

static void complain(const char *what, const struct cidr *ip, int error)
{
	char text[CIDR_STRLEN];

	log_line(LOG_ERR, "cannot %s %s: %s", what, cidr_format_ip(text, ip), strerror(-error));
}

/* Without a default route into the tunnel there is no set, and nothing to do. */
static void firewall(const struct holding *h, const struct cidr *ip, bool add)
{
	int ret = (add ? firewall_add : firewall_remove)(h->interface, ip);

	if (ret && add && ret != -ENOENT && ret != -EPROTONOSUPPORT && ret != -EOPNOTSUPP)
		complain("keep packets from outside the tunnel away from", ip, ret);
}

static void take_off(struct holding *h, int v)
{
	const struct cidr *ip = &h->lease.ip[v];
	int ret;

	if (h->ours[v]) {
		firewall(h, ip, false);
		if (owner(h, v, ip) == OURS) {
			ret = net_address_delete(h->ifindex, ip);
			if (ret && ret != -ENODEV)
				complain("remove", ip, ret);
		}
	}
	h->ours[v] = false;
	memset(&h->lease.ip[v], 0, sizeof(*ip));
}

/* Sets or renews. Returns whether it is there. */
static bool put_on(struct holding *h, int v, const struct cidr *ip, uint64_t now)
{
	bool known = !cidr_compare(&h->lease.ip[v], ip);
	uint32_t valid = h->lease.until > now ? (h->lease.until - now) / 1000 : 0;
	char text[CIDR_STRLEN];
	int ret;

	if (owner(h, v, ip) == SOMEBODY) {
		if (!known || h->ours[v])
			log_line(LOG_WARNING,
				 "%s has been set on the interface by somebody else: left alone",
				 cidr_format_ip(text, ip));
		if (h->ours[v])
			firewall(h, &h->lease.ip[v], false);
		h->ours[v] = false;
		return true;
	}
	firewall(h, ip, true);
	ret = net_address_set(h->ifindex, ip, valid ? valid : 1);
	h->ours[v] = !ret;
	if (ret)
		complain("set", ip, ret);
	return !ret;
}

bool holding_set(struct holding *h, const struct lifecycle_lease *lease, uint64_t now)
{
	bool all = true;

	h->lease.until = lease->until;
	for (int v = V4; v < FAMILIES; ++v) {
		if (h->lease.ip[v].family && cidr_compare(&h->lease.ip[v], &lease->ip[v]))
			take_off(h, v);
		if (!lease->ip[v].family)
			continue;
		all &= put_on(h, v, &lease->ip[v], now);
		h->lease.ip[v] = lease->ip[v];
	}
	return all;
}

void holding_restore(struct holding *h, uint64_t now)
{
	const struct lifecycle_lease lease = h->lease;

	if (lease.until > now)
		holding_set(h, &lease, now);
}

struct adoption {
	struct holding *holding;
	uint64_t now;
};

static bool adopt_each(const struct net_address *address, void *data)
{
	struct adoption *adoption = data;
	struct holding *h = adoption->holding;
	int v = family_index(address->cidr.family);
	uint64_t until = adoption->now + address->valid * 1000ULL;

	if (address->ifindex != h->ifindex || address->protocol != NET_PROTOCOL ||
	    address->valid == NET_FOREVER || !cidr_is_host(&address->cidr) ||
	    !cidr_is_assignable(&address->cidr))
		return true;
	if (h->lease.ip[v].family) {
		net_address_delete(h->ifindex, &address->cidr);
		return true;
	}
	h->lease.ip[v] = address->cidr;
	h->ours[v] = true;
	if (until < h->lease.until)
		h->lease.until = until;
	return true;
}

int holding_adopt(struct holding *h, uint64_t now)
{
	struct adoption adoption = { .holding = h, .now = now };
	int ret;

	memset(&h->lease, 0, sizeof(h->lease));
	h->lease.until = UINT64_MAX;
	ret = net_addresses(adopt_each, &adoption);
	if (!h->lease.ip[V4].family && !h->lease.ip[V6].family)
		h->lease.until = 0;
	return ret;
}

const char *holding_text(char buf[static 2 * CIDR_STRLEN], const struct lifecycle_lease *lease)
{
	char text[CIDR_STRLEN];
	size_t len = 0;

	*buf = '\0';
	for (int v = V4; v < FAMILIES; ++v) {
		if (lease->ip[v].family)
			len += snprintf(buf + len, 2 * CIDR_STRLEN - len, "%s%s", len ? ", " : "",
					cidr_format_ip(text, &lease->ip[v]));
	}
	return buf;
}
