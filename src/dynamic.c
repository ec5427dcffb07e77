// SPDX-License-Identifier: MIT
/* The subcommand `dynamic' of wg: finds the subcommand of its own, and knows how each is used. */

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "dynamic.h"
#include "subcommands.h"

static const struct {
	const char *name;
	int (*function)(int argc, const char *argv[]);
	const char *words;
	const char *description;
} subcommands[] = {
	{ "client", dynamic_client,
	  "<interface> [foreground] [check] [wait <seconds>] [accept <word>[,<word>]...] "
	  "[table <number> | off] [dns <value>[,<value>]...] [hook <program>]",
	  "Lease addresses for an interface, and keep them leased" },
	{ "server", dynamic_server,
	  "<interface> [foreground] [check] [config <file>] [pool <cidr>,...] "
	  "[exclude <cidr>,...] [lease-time <seconds>] [route <cidr>,...] [dns <ip>,...] "
	  "[search <domain>,...] [mtu <bytes>] [link-locals auto | off]",
	  "Lease addresses to the peers of an interface" },
	{ "show", dynamic_show, "[<interface> | all] [allowed-ips | dump | json]",
	  "Show what is leased, and to whom" },
	{ "reload", dynamic_reload, "<interface>",
	  "Read settings and interface again, and put back what is gone" },
	{ "release", dynamic_release, "<interface> peer <key>", "End the lease of a peer" },
	{ "stop", dynamic_stop, "<interface>", "End the client and the server of an interface" },
	{ "address", dynamic_address, "<key>",
	  "Print the link-local address that is derived from a public key" },
};

enum { SUBCOMMANDS = sizeof(subcommands) / sizeof(subcommands[0]) };

static void usage_line(FILE *stream, const char *before, int i)
{
	fprintf(stream, "%s%s dynamic %s %s\n", before, PROG_NAME, subcommands[i].name,
		subcommands[i].words);
}

static void usage(FILE *stream)
{
	fprintf(stream, "Usage: %s dynamic <subcommand> ...\n\n", PROG_NAME);
	for (int i = 0; i < SUBCOMMANDS; ++i) {
		usage_line(stream, "  ", i);
		fprintf(stream, "      %s.\n", subcommands[i].description);
	}
}

int dynamic_usage(const char *subcommand, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s dynamic %s: ", PROG_NAME, subcommand);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	for (int i = 0; i < SUBCOMMANDS; ++i) {
		if (!strcmp(subcommands[i].name, subcommand))
			usage_line(stderr, "Usage: ", i);
	}
	return 1;
}

static bool is_help(const char *word)
{
	return !strcmp(word, "help") || !strcmp(word, "-h") || !strcmp(word, "--help");
}

/* What follows `wg-dynamic' in the name of a program: "" or a role. NULL: it's none of ours. */
static const char *role_of(const char *program)
{
	static const char ours[] = "wg-dynamic";
	const char *slash = strrchr(program, '/'), *name = slash ? slash + 1 : program;

	if (strncmp(name, ours, strlen(ours)))
		return NULL;
	name += strlen(ours);
	if (!strcmp(name, "-client") || !strcmp(name, "-server"))
		return name + 1;
	return *name ? NULL : name;
}

bool dynamic_is_name(const char *program)
{
	return role_of(program);
}

/* As `dynamic ROLE ...'. */
static int run_role(const char *role, int argc, const char *argv[])
{
	const char *args[argc + 2];

	args[0] = "dynamic";
	args[1] = role;
	memcpy(args + 2, argv + 1, argc * sizeof(*args)); /* with the NULL at the end */
	return dynamic_main(argc + 1, args);
}

int dynamic_main(int argc, const char *argv[])
{
	static const char *const show[] = { "show", NULL };
	const char *role = role_of(argv[0]);

	if (role)
		PROG_NAME = "wg"; /* the subcommand is how people know it */
	if (argc == 1 && (!role || !*role))
		return dynamic_show(1, (const char **)show);
	if (argc == 2 && (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-v"))) {
		puts("wg-dynamic " WG_DYNAMIC_VERSION);
		return 0;
	}
	if (role && *role)
		return run_role(role, argc, argv);
	if (is_help(argv[1])) {
		usage(stdout);
		return 0;
	}
	for (int i = 0; i < SUBCOMMANDS; ++i) {
		if (strcmp(subcommands[i].name, argv[1]))
			continue;
		if (argc == 3 && is_help(argv[2])) {
			usage_line(stdout, "Usage: ", i);
			return 0;
		}
		return subcommands[i].function(argc - 1, argv + 1);
	}
	fprintf(stderr, "%s dynamic: there is no subcommand `%s'\n", PROG_NAME, argv[1]);
	usage(stderr);
	return 1;
}
