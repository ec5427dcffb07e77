// SPDX-License-Identifier: MIT
/*
 * The stand-alone program: what the subcommand `dynamic' is in wireguard-tools' own tree.
 * By the names wg-dynamic-client and wg-dynamic-server it is those subcommands.
 */

#include <stdio.h>
#include <string.h>

#include "dynamic.h"
#include "subcommands.h"

/* As `wg dynamic ROLE ...'. */
static int run_role(const char *role, int argc, const char *argv[])
{
	const char *args[argc + 2];

	args[0] = "dynamic";
	args[1] = role;
	memcpy(args + 2, argv + 1, argc * sizeof(*args)); /* with the NULL at the end */
	return dynamic_main(argc + 1, args);
}

int main(int argc, const char *argv[])
{
	const char *slash, *name;

	if (!argc)
		return 1;
	slash = strrchr(argv[0], '/');
	name = slash ? slash + 1 : argv[0];
	if (argc == 2 && (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-v"))) {
		puts("wg-dynamic " WG_DYNAMIC_VERSION);
		return 0;
	}
	if (!strcmp(name, "wg-dynamic-client"))
		return run_role("client", argc, argv);
	if (!strcmp(name, "wg-dynamic-server"))
		return run_role("server", argc, argv);
	argv[0] = "dynamic";
	return dynamic_main(argc, argv);
}
