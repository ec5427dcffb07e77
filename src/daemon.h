/* SPDX-License-Identifier: MIT */
/*
 * How a daemon goes to the background: at once, while its parent stays in the foreground until the
 * daemon is ready or has failed. When the parent is interrupted before, the daemon stops too. One
 * that stays in the foreground tells the service manager instead, if there is one (sd_notify(3)).
 */

#ifndef DAEMON_H
#define DAEMON_H

#include <stdbool.h>

/*
 * Begins a daemon: call it first, before anything is opened, and after log_open(). Closes all
 * inherited descriptors but standard error (0 and 1 become /dev/null), and takes NOTIFY_SOCKET out
 * of the environment. In the foreground that is all. Else it forks; the child, in a session of its
 * own, is the daemon and returns; the parent never returns: it exits 0 at daemon_ready(), or with
 * the daemon's own exit status when that ends before. Returns false, after a line in the log, when
 * it can't.
 */
bool daemon_start(bool foreground);

/*
 * A descriptor that becomes readable when the parent is gone before the daemon was ready: stop
 * then, as by SIGTERM. It stays daemon.c's. -1 in the foreground, and after daemon_ready().
 */
int daemon_parent(void);

/*
 * Lets the parent exit with status 0, and goes on with syslog and /dev/null. Remove the watch on
 * daemon_parent() from the loop before, the descriptor is closed. In the foreground it tells the
 * service manager. Calling it again does no harm.
 */
void daemon_ready(void);

/* In the foreground, tells the service manager that the daemon is about to end. */
void daemon_stopping(void);

#endif
