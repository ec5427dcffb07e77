/* SPDX-License-Identifier: MIT */
/*
 * Which system calls a process may make from now on (seccomp(2)), for good. An engine may make just
 * those that serve what it was handed: none of them opens, connects, runs or changes anything else.
 * A monitor may make all but those that it never needs and that whoever took it over would.
 */

#ifndef FILTER_H
#define FILTER_H

#include <stdbool.h>

/* The processes that have filters of their own; masks. */
enum filter {
	FILTER_CLIENT = 1, /* engine of the client */
	FILTER_SERVER = 2, /* engine of the server: that writes a journal, too */
};

/* Whether the kernel has filters (CONFIG_SECCOMP_FILTER). */
bool filter_available(void);

/*
 * Confines an engine, which must have no_new_privs: any other system call, or one of another
 * architecture, kills it by SIGSYS. Returns 0 or -errno.
 * A program built for the sanitizers, which need many more, is not confined.
 */
int filter_engine(enum filter filter);

/*
 * Confines a monitor that runs no other program, and must have no_new_privs: what it never needs
 * fails with EPERM. It may still fork. Returns 0 or -errno.
 */
int filter_monitor(void);

#endif
