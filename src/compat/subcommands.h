/* SPDX-License-Identifier: MIT */
/*
 * What main() calls: the subcommand `dynamic`, in the way of wireguard-tools' own subcommands.
 */

#ifndef SUBCOMMANDS_H
#define SUBCOMMANDS_H

#include <stdbool.h>

/* The program's name, for messages and usage lines. */
extern const char *PROG_NAME;

/*
 * Runs `dynamic` with its words. argv[0] is "dynamic" itself, or a name by which dynamic_is_name()
 * knows the program. Returns the exit status.
 */
int dynamic_main(int argc, const char *argv[]);

/*
 * Says whether a program of this path or name is `dynamic` (wg-dynamic) or one of its two daemons
 * (wg-dynamic-client, wg-dynamic-server), whose words then are those of that subcommand.
 */
bool dynamic_is_name(const char *program);

#endif
