/* SPDX-License-Identifier: MIT */
/*
 * What a server has served, in a file that its monitor alone writes: so that a lease in the
 * journal, which the engine writes, counts after a start only where there was a pool once.
 */

#ifndef SERVED_H
#define SERVED_H

#include <stdbool.h>
#include <stdint.h>

#include "cidr.h"

/* Those of the settings in force, and room for those of before that still have leases. */
enum { SERVED_NETS = 256 };

struct served {
	bool link_locals; /* peers were given theirs */
	uint32_t count;
	struct cidr nets[SERVED_NETS]; /* pools, masked */
};

/* Adds a pool, if none of them holds it. False when there is no room. */
bool served_add(struct served *served, const struct cidr *net);

/* Whether the prefix lies in one of them. */
bool served_has(const struct served *served, const struct cidr *ip);

/* Whether a server of which this is all may have put the prefix into the AllowedIPs of a key. */
bool served_gave(const struct served *served, const uint8_t key[static 8], const struct cidr *ip);

/* Whether both say the same. */
bool served_equal(const struct served *a, const struct served *b);

/*
 * Reads the file of this name in the directory dir_fd; none is an empty one. Returns 0; -EILSEQ for
 * what no server has written, and then nothing has been served; or another -errno, likewise.
 */
int served_read(struct served *served, int dir_fd, const char *name);

/*
 * Puts a new file in the place of that of before, if there was one, and sees that this has reached
 * the disk. Returns 0; or -errno, and then the one of before may still stand.
 */
int served_write(const struct served *served, int dir_fd, const char *name);

#endif
