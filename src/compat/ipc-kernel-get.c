// SPDX-License-Identifier: MIT
/*
 * Reads a device of the kernel: one dump, whose messages each bring some of the peers.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/genetlink.h>
#include <linux/wireguard.h>

#include "backend.h"
#include "containers.h"
#include "encoding.h"
#include "ipc-kernel.h"

static bool copy_attr(void *to, size_t size, const struct nlattr *attr)
{
	if (mnl_attr_get_payload_len(attr) != size)
		return false;
	memcpy(to, mnl_attr_get_payload(attr), size);
	return true;
}

static int parse_allowedip(struct wgpeer *peer, const struct nlattr *nest)
{
	struct wgallowedip *allowedip = add_allowedip(peer);
	const struct nlattr *attr;
	bool has_ip4 = false, has_ip6 = false;

	if (!allowedip)
		return -ENOMEM;
	mnl_attr_for_each_nested(attr, nest) {
		switch (mnl_attr_get_type(attr)) {
		case WGALLOWEDIP_A_FAMILY:
			copy_attr(&allowedip->family, sizeof(allowedip->family), attr);
			break;
		case WGALLOWEDIP_A_IPADDR:
			has_ip4 = copy_attr(&allowedip->ip4, sizeof(allowedip->ip4), attr);
			has_ip6 = copy_attr(&allowedip->ip6, sizeof(allowedip->ip6), attr);
			break;
		case WGALLOWEDIP_A_CIDR_MASK:
			copy_attr(&allowedip->cidr, sizeof(allowedip->cidr), attr);
			break;
		}
	}
	if (allowedip->family == AF_INET && has_ip4 && allowedip->cidr <= 32)
		return 0;
	return allowedip->family == AF_INET6 && has_ip6 && allowedip->cidr <= 128 ? 0 : -EPROTO;
}

static void parse_peer_attr(struct wgpeer *peer, const struct nlattr *attr)
{
	switch (mnl_attr_get_type(attr)) {
	case WGPEER_A_PRESHARED_KEY:
		copy_attr(peer->preshared_key, sizeof(peer->preshared_key), attr);
		peer->flags &= ~WGPEER_HAS_PRESHARED_KEY;
		if (!key_is_zero(peer->preshared_key))
			peer->flags |= WGPEER_HAS_PRESHARED_KEY;
		break;
	case WGPEER_A_ENDPOINT:
		if (!copy_attr(&peer->endpoint.addr4, sizeof(peer->endpoint.addr4), attr))
			copy_attr(&peer->endpoint.addr6, sizeof(peer->endpoint.addr6), attr);
		break;
	case WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL:
		copy_attr(&peer->persistent_keepalive_interval,
			  sizeof(peer->persistent_keepalive_interval), attr);
		break;
	case WGPEER_A_LAST_HANDSHAKE_TIME:
		copy_attr(&peer->last_handshake_time, sizeof(peer->last_handshake_time), attr);
		break;
	case WGPEER_A_RX_BYTES:
		copy_attr(&peer->rx_bytes, sizeof(peer->rx_bytes), attr);
		break;
	case WGPEER_A_TX_BYTES:
		copy_attr(&peer->tx_bytes, sizeof(peer->tx_bytes), attr);
		break;
	}
}

/* A peer that does not fit into a message goes on in the next: its key, and more allowed-ips. */
static struct wgpeer *find_peer(struct wgdevice *dev, const struct nlattr *nest)
{
	struct wgpeer *peer = dev->last_peer;
	uint8_t public_key[WG_KEY_LEN];
	const struct nlattr *attr;
	bool has_key = false;

	mnl_attr_for_each_nested(attr, nest) {
		if (mnl_attr_get_type(attr) == WGPEER_A_PUBLIC_KEY)
			has_key = copy_attr(public_key, sizeof(public_key), attr);
	}
	if (!has_key) {
		errno = EPROTO;
		return NULL;
	}
	if (peer && !memcmp(peer->public_key, public_key, sizeof(public_key)))
		return peer;
	peer = add_peer(dev);
	if (peer) {
		memcpy(peer->public_key, public_key, sizeof(public_key));
		peer->flags = WGPEER_HAS_PUBLIC_KEY;
	}
	return peer;
}

static int parse_peer(struct wgdevice *dev, const struct nlattr *nest)
{
	struct wgpeer *peer = find_peer(dev, nest);
	const struct nlattr *attr, *inner;
	int ret;

	if (!peer)
		return -errno;
	mnl_attr_for_each_nested(attr, nest) {
		if (mnl_attr_get_type(attr) != WGPEER_A_ALLOWEDIPS) {
			parse_peer_attr(peer, attr);
			continue;
		}
		mnl_attr_for_each_nested(inner, attr) {
			ret = parse_allowedip(peer, inner);
			if (ret)
				return ret;
		}
	}
	return 0;
}

static int parse_device_attr(struct wgdevice *dev, const struct nlattr *attr)
{
	const struct nlattr *inner;
	int ret = 0;

	switch (mnl_attr_get_type(attr)) {
	case WGDEVICE_A_IFINDEX:
		copy_attr(&dev->ifindex, sizeof(dev->ifindex), attr);
		break;
	case WGDEVICE_A_PRIVATE_KEY:
		if (copy_attr(dev->private_key, sizeof(dev->private_key), attr))
			dev->flags |= WGDEVICE_HAS_PRIVATE_KEY;
		break;
	case WGDEVICE_A_PUBLIC_KEY:
		if (copy_attr(dev->public_key, sizeof(dev->public_key), attr))
			dev->flags |= WGDEVICE_HAS_PUBLIC_KEY;
		break;
	case WGDEVICE_A_LISTEN_PORT:
		copy_attr(&dev->listen_port, sizeof(dev->listen_port), attr);
		break;
	case WGDEVICE_A_FWMARK:
		copy_attr(&dev->fwmark, sizeof(dev->fwmark), attr);
		break;
	case WGDEVICE_A_PEERS:
		mnl_attr_for_each_nested(inner, attr) {
			ret = parse_peer(dev, inner);
			if (ret)
				break;
		}
		break;
	}
	return ret;
}

static int device_cb(const struct nlmsghdr *header, void *data)
{
	const struct nlattr *attr;
	int ret;

	mnl_attr_for_each(attr, header, sizeof(struct genlmsghdr)) {
		ret = parse_device_attr(data, attr);
		if (ret) {
			errno = -ret;
			return MNL_CB_ERROR;
		}
	}
	return MNL_CB_OK;
}

static int read_device(struct wgdevice *dev)
{
	struct netlink nl;
	struct nlmsghdr *header;
	int ret = netlink_open_wireguard(&nl);

	if (ret)
		return ret;
	header = netlink_prepare(&nl, WG_CMD_GET_DEVICE, NLM_F_DUMP);
	mnl_attr_put_strz(header, WGDEVICE_A_IFNAME, dev->name);
	ret = netlink_exchange(&nl, device_cb, dev);
	netlink_close(&nl);
	return ret;
}

int kernel_get_device(struct wgdevice **out, const char *interface)
{
	struct wgdevice *dev;
	int ret = -EINTR;

	for (int i = 0; i < NETLINK_DUMP_TRIES && ret == -EINTR; i++) {
		dev = calloc(1, sizeof(*dev));
		if (!dev)
			return -ENOMEM;
		strncpy(dev->name, interface, sizeof(dev->name) - 1);
		ret = read_device(dev);
		if (!ret)
			*out = dev;
		else
			free_wgdevice(dev);
	}
	return ret;
}
