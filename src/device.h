/* SPDX-License-Identifier: MIT */
/*
 * The WireGuard device: how it is read, and how what its peers may send from is changed.
 *
 * A reading (reading.h) is taken by a child process, since a large device takes long and since what
 * the kernel gives holds the private key.
 */

#ifndef DEVICE_H
#define DEVICE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cidr.h"
#include "reading.h"

enum { DEVICE_BATCH = 64 /* prefixes in one change */ };

/*
 * Starts to read the device of this name into a new memory file, *fd. Returns the child's pid, or
 * -errno. The child ends with status 0 when all is there, else with the errno of what failed.
 */
pid_t device_read(const char *name, int *fd);

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

/* Sets the firewall mark of the device's own packets; 0: none. Returns 0 or -errno. */
int device_mark(const char *name, uint32_t mark);

#endif
