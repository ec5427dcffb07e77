/* SPDX-License-Identifier: MIT */
/*
 * A reading of a make-believe device, and a policy, for tests of what decides on these.
 */

#ifndef FAKE_READING_H
#define FAKE_READING_H

#include "device.h"
#include "policy.h"

/* The public key of the peer with this name, a letter: 32 times that. */
const uint8_t *fake_key(char name);

/* What cidr_parse() makes of it; fails the test if that is nothing. */
struct cidr fake_cidr(const char *text);

/*
 * Makes a reading by way of a sealed memory file, as the child of device_read() would. The text
 * has one peer after the other, each its letter and its allowed-ips, with blanks between and `;'
 * behind: "A fe80::a 192.0.2.0/24; B;". The letter `*' stands for the host itself. It is the
 * caller's, to be unmapped.
 */
struct reading fake_reading(const char *text);

/*
 * The policy of a file that reserves addresses, given likewise. It is the caller's, to be unmapped.
 */
struct policy fake_policy(const char *text);

#endif
