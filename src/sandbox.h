/* SPDX-License-Identifier: MIT */
/*
 * How privileges are given up. The monitor keeps a few capabilities; all that touches bytes of the
 * network runs in an engine, which has none: another user, an empty root, no way back.
 *
 * The monitor, once it has given up its capabilities, could not confine a new engine any more. So
 * it starts, while it still can, a spawner: a process that is confined already, knows nothing, and
 * does nothing but fork engines on demand and say how they ended.
 */

#ifndef SANDBOX_H
#define SANDBOX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SANDBOX_USER "_wg-dynamic"

enum { SANDBOX_FILES = 1200 /* descriptors that an engine may have open */ };

/* Closes all descriptors but standard input, output and error: those of whoever started us. */
void sandbox_close_inherited(void);

/* Whether we may be a monitor: root, or a user whom a supervisor gave CAP_NET_ADMIN. */
bool sandbox_allowed(void);

/*
 * Forks the spawner, confined: as its root directory one that was made in dir and is removed
 * already, the user above (or nobody, after a line in the log; who isn't root stays who he is),
 * no capabilities, no_new_privs, not dumpable. Each engine is a call of engine(fd), fd being its
 * end of the channel, and its only descriptor beside /dev/null as 0 to 2; the process ends with
 * what it returns.
 * Returns a descriptor (a SOCK_SEQPACKET socket) for spawner_spawn() and spawner_status(), or
 * -errno after a line in the log that says what failed.
 */
int spawner_start(const char *dir, int (*engine)(int fd));

/*
 * Asks for a new engine, and hands it its end of the channel, which stays open here too. One runs
 * at a time: the next is asked for after spawner_status() has told of the last one's end.
 * Returns 0 or -errno.
 */
int spawner_spawn(int spawner, int channel_fd);

/*
 * Reads what the spawner says: the wait status (waitpid(2)) of an engine that ended. Returns true;
 * false when there is nothing to read (*gone false) or the spawner has died (*gone true).
 */
bool spawner_status(int spawner, int *wait_status, bool *gone);

/* Ends engine and spawner, and waits, for at most a second, until they are gone. */
void spawner_close(int spawner);

/*
 * Keeps just these capabilities (a mask of 1 << CAP_...), for good: bounding set too; and sets
 * no_new_privs. CAP_DAC_OVERRIDE is kept as well, if there, where dir is not root's: root and
 * a user run by a supervisor take turns then, and find files of each other.
 * Returns 0 or -errno.
 */
int sandbox_keep(uint64_t capabilities, const char *dir);

#endif
