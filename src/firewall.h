/* SPDX-License-Identifier: MIT */
/*
 * The nft set in which wg-quick keeps an interface's leased addresses: packets to them that do not
 * come through the tunnel are dropped (CVE-2019-14899). It is there when a default route is.
 */

#ifndef FIREWALL_H
#define FIREWALL_H

#include "cidr.h"

/*
 * Puts the address into the set `leased' of the table `wg-quick-INTERFACE' of its family. Returns
 * 0, also when it is in there already; -ENOENT: there is no such set; or another -errno.
 */
int firewall_add(const char *interface, const struct cidr *ip);

/* Takes it out. -ENOENT: it is not in there, or there is no such set. */
int firewall_remove(const char *interface, const struct cidr *ip);

#endif
