/* SPDX-License-Identifier: MIT */
/*
 * The WireGuard device: who its peers are and what they may send from, and how that is changed.
 *
 * A reading is taken by a child process, since a large device takes long and since what the kernel
 * gives holds the private key. The child leaves compact, sorted records in a sealed memory file;
 * monitor and engine map the same one, and neither can change it.
 */

#ifndef DEVICE_H
#define DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cidr.h"

enum { KEY_LEN = 32, DEVICE_BATCH = 64 /* prefixes in one change */ };

#define DEVICE_NOBODY UINT32_MAX /* no such peer */
#define DEVICE_SELF (UINT32_MAX - 1) /* the holder of the host's own addresses */

struct device_peer {
	uint8_t key[KEY_LEN];
	uint32_t first, count; /* its allowed-ips, in ips[] */
	struct cidr endpoint; /* family 0: none */
	uint32_t handshake; /* seconds since the last, UINT32_MAX: there was none, or long ago */
};

struct device_ip {
	struct cidr cidr; /* masked */
	uint16_t unused;
	uint32_t peer; /* index, or DEVICE_SELF */
};

/* The head of the memory file; peers, ips and order follow it. */
struct device_head {
	uint32_t peers, ips;
	uint32_t mark; /* the firewall mark, 0: none */
	uint32_t wide_link_local; /* some allowed-ips wider than /128 overlap fe80::/10 */
	uint8_t lengths[2][129]; /* which prefix lengths there are: of IPv4, of IPv6 */
};

struct reading {
	const struct device_head *head; /* NULL: none yet */
	const struct device_peer *peers; /* sorted by key */
	const struct device_ip *ips; /* by peer, and sorted within; the host's own last */
	const uint32_t *order; /* indices of ips, sorted by cidr_compare() */
	size_t size;
};

/*
 * Starts to read the device of this name into a new memory file, *fd. Returns the child's pid, or
 * -errno. The child ends with status 0 when all is there, else with the errno of what failed.
 */
pid_t device_read(const char *name, int *fd);

/*
 * Maps a memory file that the child has filled; fd may be closed afterwards. Returns 0; -EPROTO
 * for a file that is not whole or not sealed; or another -errno.
 */
int reading_map(struct reading *reading, int fd);
void reading_unmap(struct reading *reading);

/* The index of the peer with this key, or DEVICE_NOBODY. */
uint32_t reading_peer(const struct reading *reading, const uint8_t key[static KEY_LEN]);

/* The entry that is exactly this prefix (masked), or NULL. */
const struct device_ip *reading_exact(const struct reading *reading, const struct cidr *cidr);

/*
 * The most specific entry that contains all of cidr and has a prefix longer than over bits, not
 * counting those of the peer except (an index, or DEVICE_NOBODY). NULL if there is none.
 */
const struct device_ip *reading_holder(const struct reading *reading, const struct cidr *cidr,
				       int over, uint32_t except);

/* Whether the peer has just this prefix (masked) in its allowed-ips. */
bool reading_has(const struct reading *reading, uint32_t peer, const struct cidr *ip);

/* One prefix for one peer. */
struct device_change {
	uint8_t key[KEY_LEN];
	struct cidr ip; /* masked */
};

/*
 * Adds each prefix to the allowed-ips of its peer; nothing else of any peer changes, except that
 * whoever held just this prefix loses it. A peer that is not there is not made. At most
 * DEVICE_BATCH. Returns 0 (which does not say that the peers were there) or -errno (some may
 * have been made all the same).
 */
int device_allow(const char *name, const struct device_change *changes, size_t count);

/*
 * Takes the prefixes from whichever peers hold just them (the keys are not looked at), by handing
 * them to a throw-away peer that is removed in the same message. At most DEVICE_BATCH. Returns 0
 * or -errno.
 */
int device_take(const char *name, const struct device_change *changes, size_t count);

/* Removes the throw-away peer that a crash may have left. Returns 0 or -errno. */
int device_sweep(const char *name);

/* Takes the firewall mark away from the device's own packets. Returns 0 or -errno. */
int device_unmark(const char *name);

#endif
