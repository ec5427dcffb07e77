// SPDX-License-Identifier: MIT
/* `release': asks the server of an interface to end the lease of a peer. */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "client-check.h"
#include "control.h"
#include "dynamic.h"
#include "encoding.h"
#include "log.h"

/* By the device itself: what the server knows of it may be half a minute old. */
static bool is_peer(const char *interface, const uint8_t *key)
{
	struct reading reading = { 0 };

	return client_reading(interface, &reading) || reading_peer(&reading, key) != DEVICE_NOBODY;
}

int dynamic_release(int argc, const char *argv[])
{
	uint8_t key[WG_KEY_LEN];
	char hex[WG_KEY_LEN_HEX];
	int ret;

	if (argc != 4 || strcmp(argv[2], "peer"))
		return dynamic_usage(argv[0], "an interface, `peer' and a public key are needed");
	if (!key_from_base64(key, argv[3]))
		return dynamic_usage(argv[0], "`%.64s' is no key: 44 characters, as `wg show' "
				     "prints them", argv[3]);
	log_open(argv[1]);
	if (geteuid())
		return log_failure("must be run as root");
	key_to_hex(hex, key);
	ret = control_release_lease(argv[1], hex);
	if (!ret)
		return 0;
	if (ret == -ENOENT || ret == -ECONNREFUSED)
		return log_failure("no server runs");
	if (ret == -ENODATA && !is_peer(argv[1], key))
		return log_failure("%s is no peer of %s", argv[3], argv[1]);
	if (ret == -ENODATA)
		return log_failure("peer %s has no lease", argv[3]);
	return log_failure("cannot release: %s", strerror(-ret));
}
