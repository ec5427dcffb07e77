// SPDX-License-Identifier: MIT
/* `address': the link-local address that is derived from a public key. */

#include <stdio.h>
#include <string.h>

#include "cidr.h"
#include "dynamic.h"
#include "encoding.h"
#include "log.h"

int dynamic_address(int argc, const char *argv[])
{
	uint8_t key[WG_KEY_LEN];
	char text[CIDR_STRLEN];
	struct cidr ip;

	if (argc != 2)
		return dynamic_usage(argv[0], "exactly one public key is needed");
	/* So `wg show INTERFACE public-key' says it. */
	if (!strcmp(argv[1], "(none)"))
		return log_failure("there is no public key: the interface needs a PrivateKey");
	if (!key_from_base64(key, argv[1]))
		return dynamic_usage(argv[0], "`%.64s' is no key: 44 characters, as `wg pubkey' "
				     "prints them", argv[1]);
	cidr_derived(&ip, key);
	puts(cidr_format_ip(text, &ip));
	return 0;
}
