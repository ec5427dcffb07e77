// SPDX-License-Identifier: MIT
/*
 * Changes a device of the kernel, in as many messages as it takes.
 */

#include <linux/wireguard.h>

#include "backend.h"
#include "containers.h"
#include "ipc-kernel.h"

#define SEND_SIZE 8192

/* Upper bounds of what a peer takes in a request without its allowed-ips, and of one of these. */
#define PEER_SPACE 192
#define ALLOWEDIP_SPACE 48

/* Where the next message begins: at a peer, or inside its allowed-ips. */
struct position {
	const struct wgpeer *peer;
	const struct wgallowedip *allowedip; /* NULL: at the peer's start */
};

static bool has_room(const struct nlmsghdr *header, size_t space)
{
	return header->nlmsg_len + space <= SEND_SIZE;
}

static void put_allowedip(struct nlmsghdr *header, const struct wgallowedip *allowedip)
{
	struct nlattr *nest = mnl_attr_nest_start(header, 0);

	mnl_attr_put_u16(header, WGALLOWEDIP_A_FAMILY, allowedip->family);
	if (allowedip->family == AF_INET6)
		mnl_attr_put(header, WGALLOWEDIP_A_IPADDR, sizeof(allowedip->ip6),
			     &allowedip->ip6);
	else
		mnl_attr_put(header, WGALLOWEDIP_A_IPADDR, sizeof(allowedip->ip4),
			     &allowedip->ip4);
	mnl_attr_put_u8(header, WGALLOWEDIP_A_CIDR_MASK, allowedip->cidr);
	mnl_attr_nest_end(header, nest);
}

/* What would undo the first part of a peer, or do its work twice, is only in that part. */
static void put_peer_attrs(struct nlmsghdr *header, const struct wgpeer *peer, bool is_first_part)
{
	uint32_t flags = 0;

	mnl_attr_put(header, WGPEER_A_PUBLIC_KEY, sizeof(peer->public_key), peer->public_key);
	if (peer->flags & WGPEER_REMOVE_ME)
		flags |= WGPEER_F_REMOVE_ME;
	if (peer->flags & WGPEER_UPDATE_ONLY)
		flags |= WGPEER_F_UPDATE_ONLY;
	if (is_first_part && peer->flags & WGPEER_REPLACE_ALLOWEDIPS)
		flags |= WGPEER_F_REPLACE_ALLOWEDIPS;
	mnl_attr_put_u32(header, WGPEER_A_FLAGS, flags);
	if (!is_first_part)
		return;
	if (peer->flags & WGPEER_HAS_PRESHARED_KEY)
		mnl_attr_put(header, WGPEER_A_PRESHARED_KEY, sizeof(peer->preshared_key),
			     peer->preshared_key);
	if (peer->endpoint.addr.sa_family == AF_INET)
		mnl_attr_put(header, WGPEER_A_ENDPOINT, sizeof(peer->endpoint.addr4),
			     &peer->endpoint.addr4);
	else if (peer->endpoint.addr.sa_family == AF_INET6)
		mnl_attr_put(header, WGPEER_A_ENDPOINT, sizeof(peer->endpoint.addr6),
			     &peer->endpoint.addr6);
	if (peer->flags & WGPEER_HAS_PERSISTENT_KEEPALIVE_INTERVAL)
		mnl_attr_put_u16(header, WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL,
				 peer->persistent_keepalive_interval);
}

/* Puts as much of a peer as fits, and moves on to what comes next. */
static void put_peer(struct nlmsghdr *header, struct position *at)
{
	const struct wgallowedip *allowedip = at->allowedip;
	struct nlattr *nest = mnl_attr_nest_start(header, 0), *inner;

	put_peer_attrs(header, at->peer, !allowedip);
	if (!allowedip)
		allowedip = at->peer->first_allowedip;
	if (allowedip) {
		inner = mnl_attr_nest_start(header, WGPEER_A_ALLOWEDIPS);
		for (; allowedip && has_room(header, ALLOWEDIP_SPACE);
		     allowedip = allowedip->next_allowedip)
			put_allowedip(header, allowedip);
		mnl_attr_nest_end(header, inner);
	}
	mnl_attr_nest_end(header, nest);
	at->allowedip = allowedip;
	if (!allowedip)
		at->peer = at->peer->next_peer;
}

static void put_device_attrs(struct nlmsghdr *header, const struct wgdevice *dev)
{
	if (dev->flags & WGDEVICE_HAS_PRIVATE_KEY)
		mnl_attr_put(header, WGDEVICE_A_PRIVATE_KEY, sizeof(dev->private_key),
			     dev->private_key);
	if (dev->flags & WGDEVICE_HAS_LISTEN_PORT)
		mnl_attr_put_u16(header, WGDEVICE_A_LISTEN_PORT, dev->listen_port);
	if (dev->flags & WGDEVICE_HAS_FWMARK)
		mnl_attr_put_u32(header, WGDEVICE_A_FWMARK, dev->fwmark);
	if (dev->flags & WGDEVICE_REPLACE_PEERS)
		mnl_attr_put_u32(header, WGDEVICE_A_FLAGS, WGDEVICE_F_REPLACE_PEERS);
}

int kernel_set_device(const struct wgdevice *dev)
{
	struct position at = { .peer = dev->first_peer };
	struct nlmsghdr *header;
	struct nlattr *nest;
	struct netlink nl;
	bool is_first = true;
	int ret = netlink_open_wireguard(&nl);

	if (ret)
		return ret;
	do {
		header = netlink_prepare(&nl, WG_CMD_SET_DEVICE, NLM_F_ACK);
		mnl_attr_put_strz(header, WGDEVICE_A_IFNAME, dev->name);
		if (is_first)
			put_device_attrs(header, dev);
		is_first = false;
		nest = mnl_attr_nest_start(header, WGDEVICE_A_PEERS);
		while (at.peer && has_room(header, PEER_SPACE + ALLOWEDIP_SPACE))
			put_peer(header, &at);
		mnl_attr_nest_end(header, nest);
		ret = netlink_exchange(&nl, NULL, NULL);
	} while (!ret && at.peer);
	netlink_close(&nl);
	return ret;
}
