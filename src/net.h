/* SPDX-License-Identifier: MIT */
/*
 * rtnetlink: links, addresses and routes, by libmnl (rtnetlink(7)). Each call but the last two
 * opens a socket, asks, and waits for the kernel's answer; all return 0 or -errno.
 */

#ifndef NET_H
#define NET_H

#include <stdbool.h>
#include <stdint.h>

#include "cidr.h"

/*
 * What marks our addresses (IFA_PROTO, Linux 5.18) and routes (rtm_protocol), so that the next
 * of us knows them. Neither is taken in iproute2's rt_protos or rt_addrprotos.
 */
enum { NET_PROTOCOL = 97 };

#define NET_FOREVER UINT32_MAX /* a lifetime without end */

struct net_link {
	unsigned int ifindex;
	bool up;
	uint32_t mtu; /* bytes */
	char kind[16]; /* "wireguard", "tun", ... or "" */
};

struct net_address {
	unsigned int ifindex;
	struct cidr cidr; /* the host's own; where it has a far end, the prefix is that of far */
	struct cidr far; /* the far end's network, or the same again: what is connected by it */
	uint32_t flags; /* IFA_F_... */
	uint32_t valid; /* seconds, or NET_FOREVER */
	uint8_t protocol; /* NET_PROTOCOL: ours */
	uint8_t scope; /* RT_SCOPE_... */
};

/* -ENODEV when there is no such interface. */
int net_link_get(const char *name, struct net_link *link);

/* Calls each(address, data) for all addresses of the host, until it returns false. */
int net_addresses(bool (*each)(const struct net_address *address, void *data), void *data);

/*
 * Sets an address, or renews the same: valid for so many seconds, or NET_FOREVER. No duplicate
 * address detection (it can't work inside a tunnel).
 */
int net_address_set(unsigned int ifindex, const struct cidr *cidr, uint32_t valid);

/*
 * Removes an address; one that is not there is no error. With its last IPv4 address the kernel
 * takes all IPv4 routes of the interface away: they are put back.
 */
int net_address_delete(unsigned int ifindex, const struct cidr *cidr);

/* Sets the MTU of an interface. */
int net_mtu_set(unsigned int ifindex, uint32_t mtu);

/*
 * Adds a route to this routing table, marked as ours; -EEXIST when one like it is there already; to
 * link-locals, of which each interface has its own, when this one has it. Metric 0: as the kernel
 * has it.
 */
int net_route_add(unsigned int ifindex, uint32_t table, const struct cidr *cidr, uint32_t metric);

/* Removes a route that is marked as ours; one that is not there is no error. */
int net_route_delete(unsigned int ifindex, uint32_t table, const struct cidr *cidr,
		     uint32_t metric);

/* A route, by one of its ways. */
struct net_route {
	unsigned int ifindex; /* 0: no interface */
	bool blocks; /* it goes nowhere: blackhole, unreachable, prohibit */
	struct cidr to, gateway; /* a host; family 0: none */
};

/*
 * Calls each(route, data) for each way of all routes to others or to nowhere, of all tables; of
 * one that changes meanwhile perhaps more than once.
 */
int net_routes(void (*each)(const struct net_route *route, void *data), void *data);

/*
 * How the kernel would send to this address on this interface: *type becomes RTN_UNICAST,
 * RTN_LOCAL, RTN_ANYCAST, ... -ENETUNREACH and the like when it would not.
 */
int net_route_type(unsigned int ifindex, const struct cidr *to, uint8_t *type);

enum net_event {
	NET_LINK_UP,
	NET_LINK_DOWN,
	NET_LINK_GONE,
	NET_ADDRESSES, /* some address came or went, on any interface */
	NET_LOST, /* the kernel had more to say than we read: look for yourself */
};

/* A non-blocking socket that tells of links and addresses, for net_events(); or -errno. */
int net_events_open(void);

/* Likewise one that tells of routes alone, of all tables. */
int net_routes_open(void);

/* Throws away what is there: that routes have changed is all that it says. */
void net_routes_drain(int fd);

/* Reads what is there and calls each(event, data) for what concerns this interface. */
void net_events(int fd, unsigned int ifindex, void (*each)(enum net_event event, void *data),
		void *data);

#endif
