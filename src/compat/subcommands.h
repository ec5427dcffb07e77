/* SPDX-License-Identifier: MIT */
/*
 * What main() calls: the subcommand `dynamic`, in the way of wireguard-tools' own subcommands.
 */

#ifndef SUBCOMMANDS_H
#define SUBCOMMANDS_H

/* The program's name, for messages and usage lines. */
extern const char *PROG_NAME;

/*
 * Runs `dynamic` with its words, of which argv[0] is "dynamic" itself. Returns the exit status.
 */
int dynamic_main(int argc, const char *argv[]);

#endif
