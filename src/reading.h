/* SPDX-License-Identifier: MIT */
/*
 * A reading of the WireGuard device: who its peers are and what they may send from, as compact
 * records in a sealed memory file. Monitor and engine map the same one, and neither can change it.
 * What is looked for is found by hash tables, so that it costs the same with a million addresses.
 */

#ifndef READING_H
#define READING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cidr.h"
#include "hash.h"

#define DEVICE_NOBODY UINT32_MAX /* no such peer */
#define DEVICE_SELF (UINT32_MAX - 1) /* the holder of the host's own addresses */

struct device_peer {
	uint8_t key[KEY_LEN];
	uint32_t first, count; /* its allowed-ips, in ips[] */
	struct cidr endpoint; /* family 0: none */
	uint32_t handshake; /* seconds since the last, UINT32_MAX: there was none, or long ago */
	uint32_t next; /* of the same bucket, UINT32_MAX: none */
};

struct device_ip {
	struct cidr cidr; /* masked */
	uint16_t unused;
	uint32_t peer; /* index, or DEVICE_SELF */
	uint32_t next; /* as above */
};

/* The head of the memory file; peers, ips, and the buckets of both follow it. */
struct device_head {
	uint32_t peers, ips;
	uint32_t mark; /* the firewall mark, 0: none */
	uint32_t wide_link_local; /* some allowed-ips wider than /128 overlap fe80::/10 */
	uint32_t peer_buckets, ip_buckets; /* powers of two */
	struct hash hash;
	uint64_t lengths[2][3]; /* a bit for each prefix length there is: of IPv4, of IPv6 */
};

struct reading {
	const struct device_head *head; /* NULL: none yet */
	const struct device_peer *peers; /* sorted by key */
	const struct device_ip *ips; /* by peer, and sorted within; the host's own last */
	const uint32_t *peer_buckets, *ip_buckets; /* the first index of each, or UINT32_MAX */
	size_t size;
};

/*
 * Writes a reading into an empty memory file and seals it. The caller has filled in peers, ips and
 * mark of the head, and what is sorted as above; the rest of the head, and what links buckets, is
 * filled in here. Returns 0 or -errno.
 */
int reading_write(int fd, struct device_head *head, struct device_peer *peers,
		  struct device_ip *ips);

/*
 * Maps a memory file that has been written so; fd may be closed afterwards. Returns 0; -EPROTO
 * for a file that is not whole or not sealed; or another -errno.
 */
int reading_map(struct reading *reading, int fd);
void reading_unmap(struct reading *reading);

/*
 * Unmaps some megabytes of it: all at once takes milliseconds. Returns whether there is more; all
 * but its size is of no use any more.
 */
bool reading_unmap_some(struct reading *reading);

/* The index of the peer with this key, or DEVICE_NOBODY. */
uint32_t reading_peer(const struct reading *reading, const uint8_t key[static KEY_LEN]);

/* The entry that is exactly this prefix (masked), or NULL; a peer's before the host's own. */
const struct device_ip *reading_exact(const struct reading *reading, const struct cidr *cidr);

/*
 * The most specific entry that contains all of cidr and has a prefix longer than over bits, not
 * counting those of the peer except (an index, or DEVICE_NOBODY). NULL if there is none.
 */
const struct device_ip *reading_holder(const struct reading *reading, const struct cidr *cidr,
				       int over, uint32_t except);

/* Whether the peer has just this prefix (masked) in its allowed-ips. */
bool reading_has(const struct reading *reading, uint32_t peer, const struct cidr *ip);

#endif
