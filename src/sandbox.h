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

#include "filter.h"

#define SANDBOX_USER "_wg-dynamic"

/* What engines of a kind do, and may do. */
struct sandbox_engine {
	/*
	 * Its end of the channel is its only descriptor beside /dev/null as 0 to 2; the process
	 * ends with what this returns.
	 */
	int (*run)(int fd);
	enum filter filter;
	unsigned int files; /* that it may have open */
	off_t file_size; /* bytes, to which it may make one grow */
};

/* Closes all descriptors from this one on, as those of whoever started us. */
void sandbox_close_from(int first);

/*
 * Makes the directory, if it is missing, and opens it: for what daemons leave or share. Root gives
 * it to the user above and the group root, with this mode (0770 or 0775): so both, who take turns,
 * can write there without a capability; and a supervisor that starts a daemon as that user finds
 * nothing to change, which it would do to all files below, of a daemon that runs, too.
 * Returns the descriptor or -errno. That it can't be given away is a warning in the log.
 */
int sandbox_dir(const char *path, mode_t mode);

/* Whether we may be a monitor, which takes CAP_NET_ADMIN. False after a line in the log. */
bool sandbox_allowed(void);

/*
 * Forks the spawner, confined: as its root directory one that was made in dir and is removed
 * already, the user above (or nobody, after a line in the log; who isn't root stays who he is),
 * no capabilities, no_new_privs, not dumpable. Each engine is that, and has its filter, and may
 * neither fork nor, unless it keeps a journal, write files.
 * Returns a descriptor (a SOCK_SEQPACKET socket) for spawner_spawn() and spawner_status(), or
 * -errno after a line in the log that says what failed.
 */
int spawner_start(const char *dir, const struct sandbox_engine *engine);

/*
 * Asks for a new engine, and hands it its end of the channel, which stays open here too. One runs
 * at a time: if the last one still does, it is killed.
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
 * Keeps, of the capabilities that there are, just these (a mask of 1 << CAP_...), for good:
 * bounding set too; sets no_new_privs, and the monitor's filter. Who isn't root keeps
 * CAP_DAC_OVERRIDE as well, for files and sockets that are root's.
 * Returns 0 or -errno.
 */
int sandbox_keep(uint64_t capabilities);

#endif
