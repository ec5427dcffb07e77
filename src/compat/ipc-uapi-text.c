// SPDX-License-Identifier: MIT
/*
 * The text of the UAPI: from a device to the lines of a request, and from the lines of an answer
 * to a device. No sockets here. Answers come from another program and are checked throughout.
 */

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>

#include "backend.h"
#include "cidr.h"
#include "containers.h"
#include "encoding.h"
#include "text.h"

static int parse_number(uint64_t *number, const char *text, uint64_t max)
{
	char *end;

	if (!isdigit((unsigned char)*text))
		return -EPROTO;
	errno = 0;
	*number = strtoull(text, &end, 10);
	return *end || errno || *number > max ? -EPROTO : 0;
}

int uapi_parse_errno(int *error, const char *text)
{
	uint64_t number;
	int ret = parse_number(&number, text + (*text == '-'), INT_MAX);

	if (!ret)
		*error = -(int)number;
	return ret;
}

static int parse_allowed_ip(struct wgpeer *peer, char *value)
{
	struct wgallowedip *allowedip;
	uint64_t cidr;
	bool is_ip6 = strchr(value, ':');
	char *ip = strsep(&value, "/");

	if (!value || parse_number(&cidr, value, is_ip6 ? 128 : 32))
		return -EPROTO;
	allowedip = add_allowedip(peer);
	if (!allowedip)
		return -ENOMEM;
	allowedip->family = is_ip6 ? AF_INET6 : AF_INET;
	allowedip->cidr = cidr;
	if (is_ip6)
		return inet_pton(AF_INET6, ip, &allowedip->ip6) == 1 ? 0 : -EPROTO;
	return inet_pton(AF_INET, ip, &allowedip->ip4) == 1 ? 0 : -EPROTO;
}

static uint32_t parse_zone(const char *zone)
{
	uint64_t number;
	uint32_t index = if_nametoindex(zone);

	if (index || parse_number(&number, zone, UINT32_MAX))
		return index;
	return number;
}

/* 192.0.2.1:51820 or [2001:db8::1]:51820 or [fe80::1%eth0]:51820 */
static int parse_endpoint(struct wgpeer *peer, char *value)
{
	char *zone, *ip = value, *port = strrchr(value, ':');
	uint64_t number;

	if (!port || parse_number(&number, port + 1, UINT16_MAX))
		return -EPROTO;
	if (*ip != '[') {
		*port = '\0';
		peer->endpoint.addr4.sin_family = AF_INET;
		peer->endpoint.addr4.sin_port = htons(number);
		return inet_pton(AF_INET, ip, &peer->endpoint.addr4.sin_addr) == 1 ? 0 : -EPROTO;
	}
	if (port[-1] != ']')
		return -EPROTO;
	port[-1] = '\0';
	zone = ++ip;
	strsep(&zone, "%");
	peer->endpoint.addr6.sin6_family = AF_INET6;
	peer->endpoint.addr6.sin6_port = htons(number);
	peer->endpoint.addr6.sin6_scope_id = zone ? parse_zone(zone) : 0;
	return inet_pton(AF_INET6, ip, &peer->endpoint.addr6.sin6_addr) == 1 ? 0 : -EPROTO;
}

static int parse_public_key(struct wgdevice *dev, const char *value)
{
	struct wgpeer *peer = add_peer(dev);

	if (!peer)
		return -ENOMEM;
	peer->flags = WGPEER_HAS_PUBLIC_KEY;
	return key_from_hex(peer->public_key, value) ? 0 : -EPROTO;
}

static int parse_preshared_key(struct wgpeer *peer, const char *value)
{
	if (!key_from_hex(peer->preshared_key, value))
		return -EPROTO;
	peer->flags &= ~WGPEER_HAS_PRESHARED_KEY;
	if (!key_is_zero(peer->preshared_key))
		peer->flags |= WGPEER_HAS_PRESHARED_KEY;
	return 0;
}

static int parse_peer_line(struct wgpeer *peer, const char *key, char *value)
{
	uint64_t number;
	int ret = 0;

	if (!strcmp(key, "allowed_ip"))
		return parse_allowed_ip(peer, value);
	if (!strcmp(key, "endpoint"))
		return parse_endpoint(peer, value);
	if (!strcmp(key, "preshared_key"))
		return parse_preshared_key(peer, value);
	if (!strcmp(key, "rx_bytes"))
		return parse_number(&peer->rx_bytes, value, UINT64_MAX);
	if (!strcmp(key, "tx_bytes"))
		return parse_number(&peer->tx_bytes, value, UINT64_MAX);
	if (!strcmp(key, "last_handshake_time_sec")) {
		ret = parse_number(&number, value, INT64_MAX);
		peer->last_handshake_time.tv_sec = ret ? 0 : number;
	} else if (!strcmp(key, "last_handshake_time_nsec")) {
		ret = parse_number(&number, value, INT64_MAX);
		peer->last_handshake_time.tv_nsec = ret ? 0 : number;
	} else if (!strcmp(key, "persistent_keepalive_interval")) {
		ret = parse_number(&number, value, UINT16_MAX);
		peer->persistent_keepalive_interval = ret ? 0 : number;
		peer->flags |= WGPEER_HAS_PERSISTENT_KEEPALIVE_INTERVAL;
	}
	return ret;
}

static int parse_device_line(struct wgdevice *dev, const char *key, const char *value)
{
	uint64_t number;
	int ret = 0;

	if (!strcmp(key, "private_key")) {
		dev->flags |= WGDEVICE_HAS_PRIVATE_KEY;
		return key_from_hex(dev->private_key, value) ? 0 : -EPROTO;
	}
	if (!strcmp(key, "listen_port")) {
		ret = parse_number(&number, value, UINT16_MAX);
		dev->listen_port = ret ? 0 : number;
		dev->flags |= WGDEVICE_HAS_LISTEN_PORT;
	} else if (!strcmp(key, "fwmark")) {
		ret = parse_number(&number, value, UINT32_MAX);
		dev->fwmark = ret ? 0 : number;
		dev->flags |= WGDEVICE_HAS_FWMARK;
	}
	return ret;
}

/* Unknown keys are skipped: a program may tell more than was known when this was written. */
int uapi_parse_line(struct wgdevice *dev, const char *key, char *value)
{
	if (!strcmp(key, "public_key"))
		return parse_public_key(dev, value);
	if (dev->last_peer)
		return parse_peer_line(dev->last_peer, key, value);
	return parse_device_line(dev, key, value);
}

static char *write_key(char *at, const char *name, const uint8_t key[static WG_KEY_LEN])
{
	at = text_put(at, name);
	key_to_hex(at, key);
	return text_put(at + WG_KEY_LEN_HEX - 1, "\n");
}

static char *write_number(char *at, const char *name, uint32_t number)
{
	return text_put(text_number(text_put(at, name), number), "\n");
}

static char *write_endpoint(char *at, const struct wgpeer *peer)
{
	const struct sockaddr_in6 *addr6 = &peer->endpoint.addr6;
	const struct sockaddr_in *addr4 = &peer->endpoint.addr4;
	char ip[INET6_ADDRSTRLEN], zone[IFNAMSIZ + 1] = "%";

	if (peer->endpoint.addr.sa_family == AF_INET) {
		inet_ntop(AF_INET, &addr4->sin_addr, ip, sizeof(ip));
		at = text_put(text_put(at, "endpoint="), ip);
		return write_number(at, ":", ntohs(addr4->sin_port));
	}
	if (peer->endpoint.addr.sa_family == AF_INET6) {
		if (!addr6->sin6_scope_id || !if_indextoname(addr6->sin6_scope_id, zone + 1))
			zone[0] = '\0';
		inet_ntop(AF_INET6, &addr6->sin6_addr, ip, sizeof(ip));
		at = text_put(text_put(text_put(at, "endpoint=["), ip), zone);
		return write_number(at, "]:", ntohs(addr6->sin6_port));
	}
	return at;
}

static char *write_allowedips(char *at, const struct wgpeer *peer)
{
	const struct wgallowedip *allowedip;
	struct cidr cidr;

	for_each_wgallowedip(peer, allowedip) {
		if (!family_bits(allowedip->family))
			continue;
		cidr_host(&cidr, allowedip->family, &allowedip->ip6);
		cidr.prefix = allowedip->cidr;
		at = text_put(cidr_put(text_put(at, "allowed_ip="), &cidr), "\n");
	}
	return at;
}

static char *write_peer(char *at, const struct wgpeer *peer)
{
	/* This one is public, and needs no care. */
	at = text_put(text_key_hex(text_put(at, "public_key="), peer->public_key), "\n");
	if (peer->flags & WGPEER_UPDATE_ONLY)
		at = text_put(at, "update_only=true\n");
	if (peer->flags & WGPEER_REMOVE_ME)
		return text_put(at, "remove=true\n");
	if (peer->flags & WGPEER_HAS_PRESHARED_KEY)
		at = write_key(at, "preshared_key=", peer->preshared_key);
	at = write_endpoint(at, peer);
	if (peer->flags & WGPEER_HAS_PERSISTENT_KEEPALIVE_INTERVAL)
		at = write_number(at, "persistent_keepalive_interval=",
				  peer->persistent_keepalive_interval);
	if (peer->flags & WGPEER_REPLACE_ALLOWEDIPS)
		at = text_put(at, "replace_allowed_ips=true\n");
	return write_allowedips(at, peer);
}

char *uapi_write_device(char *at, const struct wgdevice *dev)
{
	const struct wgpeer *peer;

	if (dev->flags & WGDEVICE_HAS_PRIVATE_KEY)
		at = write_key(at, "private_key=", dev->private_key);
	if (dev->flags & WGDEVICE_HAS_LISTEN_PORT)
		at = write_number(at, "listen_port=", dev->listen_port);
	if (dev->flags & WGDEVICE_HAS_FWMARK)
		at = write_number(at, "fwmark=", dev->fwmark);
	if (dev->flags & WGDEVICE_REPLACE_PEERS)
		at = text_put(at, "replace_peers=true\n");
	for_each_wgpeer(dev, peer)
		at = write_peer(at, peer);
	return at;
}

size_t uapi_device_room(const struct wgdevice *dev)
{
	/* Of the longest lines that there can be, and some; write_key() needs one byte more. */
	enum { DEVICE = 160, PEER = 384, IP = sizeof("allowed_ip=\n") + CIDR_STRLEN };
	const struct wgallowedip *allowedip;
	const struct wgpeer *peer;
	size_t room = DEVICE;

	for_each_wgpeer(dev, peer) {
		room += PEER;
		for_each_wgallowedip(peer, allowedip)
			room += IP;
	}
	return room;
}
