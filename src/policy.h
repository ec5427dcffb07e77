/* SPDX-License-Identifier: MIT */
/*
 * What is set for each peer, as monitor and engine share it: like a reading of the device, in a
 * sealed memory file that both map and neither can change.
 */

#ifndef POLICY_H
#define POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "settings.h"

/* The options of a peer that has a section of its own. */
struct policy_peer {
	uint8_t key[KEY_LEN];
	uint32_t at, len; /* bytes of the text */
};

/* The head of the memory file; peers, reservations and text follow it. */
struct policy_head {
	uint32_t peers, reservations, text;
	uint32_t len; /* of the text that is for all other peers, with which it begins */
};

struct policy {
	const struct policy_head *head; /* NULL: nothing is set for anybody */
	const struct policy_peer *peers; /* sorted by key */
	const struct reservation *reservations; /* sorted by address */
	const char *text; /* lines of the protocol */
	size_t size;
};

/* Makes the memory file: a descriptor of the caller's, or -errno. */
int policy_make(const struct settings *settings);

/* Maps one; fd may be closed afterwards. Returns 0, -EPROTO for another file, or -errno. */
int policy_map(struct policy *policy, int fd);
void policy_unmap(struct policy *policy);

/* The lines of what this peer gets, *len bytes; *own: it has a section of its own in the file. */
const char *policy_text(const struct policy *policy, const uint8_t key[static KEY_LEN],
			uint32_t *len, bool *own);

/* Likewise, decoded. */
void policy_options(const struct policy *policy, const uint8_t key[static KEY_LEN],
		    struct options *options);

/* Whether the address (a host prefix) is reserved for another peer than this. */
bool policy_forbids(const struct policy *policy, const struct cidr *ip,
		    const uint8_t key[static KEY_LEN]);

#endif
