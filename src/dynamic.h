/* SPDX-License-Identifier: MIT */
/*
 * The subcommands of `dynamic', each called with its own name as argv[0], and each returning the
 * exit status. dynamic_main() itself is in subcommands.h.
 */

#ifndef DYNAMIC_H
#define DYNAMIC_H

#define WG_DYNAMIC_VERSION "0.1.0"

/* `client <interface> [foreground] ...': client-monitor.c, and client-words.c for the words. */
int dynamic_client(int argc, const char *argv[]);

/* `server <interface> [foreground] [check] [config <file>] [SETTING VALUE]...': server-setup.c. */
int dynamic_server(int argc, const char *argv[]);

/* `show [<interface> | all] [allowed-ips | dump | json]': show.c. */
int dynamic_show(int argc, const char *argv[]);

/* `release <interface> peer <key>': release.c. */
int dynamic_release(int argc, const char *argv[]);

/* `reload <interface>': reload.c. */
int dynamic_reload(int argc, const char *argv[]);

/* `stop <interface>': stop.c. */
int dynamic_stop(int argc, const char *argv[]);

/* `address <key>': address.c. */
int dynamic_address(int argc, const char *argv[]);

/*
 * For a command line that can't be understood: prints the line that says why, and how the
 * subcommand (its argv[0]) is used, on standard error. Returns 1.
 */
int dynamic_usage(const char *subcommand, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
