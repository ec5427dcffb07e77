/* SPDX-License-Identifier: MIT */
/*
 * A WireGuard device with its peers and their allowed-ips, as linked lists. Names and meaning are
 * those of wireguard-tools, so that the same sources build against either.
 */

#ifndef CONTAINERS_H
#define CONTAINERS_H

#include <stdint.h>
#include <sys/socket.h>
#include <net/if.h>
#include <netinet/in.h>
#include <linux/wireguard.h> /* WG_KEY_LEN */

/* struct __kernel_timespec of linux/time_types.h: the same on 32 and 64 bits. */
struct timespec64 {
	int64_t tv_sec;
	int64_t tv_nsec;
};

/*
 * One network that a peer may send from and is sent to. (Newer wireguard-tools have a member
 * `flags` here, older ones have not: sources that shall build with both cannot use it.)
 */
struct wgallowedip {
	uint16_t family; /* AF_INET or AF_INET6, host byte order */
	union {
		struct in_addr ip4;  /* network byte order */
		struct in6_addr ip6; /* network byte order */
	};
	uint8_t cidr; /* prefix length: 0 to 32 or 0 to 128 */
	struct wgallowedip *next_allowedip;
};

/* wgpeer.flags: what a change does, and which members have a value. */
enum {
	WGPEER_REMOVE_ME = 1U << 0,          /* remove the peer */
	WGPEER_REPLACE_ALLOWEDIPS = 1U << 1, /* clear its allowed-ips before adding those given */
	WGPEER_HAS_PUBLIC_KEY = 1U << 2,
	WGPEER_HAS_PRESHARED_KEY = 1U << 3,
	WGPEER_HAS_PERSISTENT_KEEPALIVE_INTERVAL = 1U << 4,
	WGPEER_UPDATE_ONLY = 1U << 5, /* an absent peer is not created, which is no error */
};

struct wgpeer {
	uint32_t flags;

	uint8_t public_key[WG_KEY_LEN];
	uint8_t preshared_key[WG_KEY_LEN];

	/* Ports and addresses in network byte order; sa_family 0: none. */
	union {
		struct sockaddr addr;
		struct sockaddr_in addr4;
		struct sockaddr_in6 addr6;
	} endpoint;

	struct timespec64 last_handshake_time; /* since 1970 UTC; zero: never */
	uint64_t rx_bytes, tx_bytes;
	uint16_t persistent_keepalive_interval; /* seconds; 0: off */

	struct wgallowedip *first_allowedip, *last_allowedip;
	struct wgpeer *next_peer;
};

/* wgdevice.flags: what a change does, and which members have a value. */
enum {
	WGDEVICE_REPLACE_PEERS = 1U << 0, /* remove all peers before adding those given */
	WGDEVICE_HAS_PRIVATE_KEY = 1U << 1,
	WGDEVICE_HAS_PUBLIC_KEY = 1U << 2,
	WGDEVICE_HAS_LISTEN_PORT = 1U << 3,
	WGDEVICE_HAS_FWMARK = 1U << 4,
};

/*
 * A device. Of userspace devices neither ifindex nor public_key is known: the first is 0, and the
 * second (which would have to be computed from the private key) has its flag unset.
 */
struct wgdevice {
	char name[IFNAMSIZ];
	uint32_t ifindex;

	uint32_t flags;

	uint8_t public_key[WG_KEY_LEN];
	uint8_t private_key[WG_KEY_LEN];

	uint32_t fwmark;
	uint16_t listen_port; /* host byte order */

	struct wgpeer *first_peer, *last_peer;
};

/* Loops over the peers of a device, in order; dev and peer are pointers. */
#define for_each_wgpeer(dev, peer) \
	for ((peer) = (dev)->first_peer; (peer); (peer) = (peer)->next_peer)

/* Loops over the allowed-ips of a peer, in order; peer and allowedip are pointers. */
#define for_each_wgallowedip(peer, allowedip) \
	for ((allowedip) = (peer)->first_allowedip; (allowedip); \
	     (allowedip) = (allowedip)->next_allowedip)

/* Frees a device with all its peers and allowed-ips, and wipes its secrets. NULL is allowed. */
void free_wgdevice(struct wgdevice *dev);

#endif
