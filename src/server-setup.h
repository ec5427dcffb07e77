/* SPDX-License-Identifier: MIT */
/*
 * What the server is started with: the command line, the interface as it is, and the sockets and
 * files that need root to be opened.
 */

#ifndef SERVER_SETUP_H
#define SERVER_SETUP_H

#include <stdbool.h>
#include <stdint.h>

#include "guard.h"
#include "server.h"

/* What can be reloaded. */
struct server_config {
	struct server_settings message; /* what the engine is told */
	struct pools pools; /* without bitmaps */
	struct policy policy;
	int policy_fd; /* the same */
};

struct server_setup {
	struct server_start start; /* what the engine is told */
	const char *file; /* with settings, from the root folder on; NULL: none */
	const char **words; /* settings of the command line, with their values */
	size_t word_count;
	struct server_config config;
	bool foreground;
	int listen_fd, control_fd; /* listening: TCP and status */
	int call_fd; /* UDP */
	int state_fd; /* the directory of journals */
	int journal_fd; /* locked */
	bool journal_made; /* there was none */
	int fresh_fd; /* of a journal that is being written anew; -1: none */
	pid_t reader; /* of the first reading of the device, which it is at: */
	int reading_fd; /* where it comes to */
	uint64_t reading_began; /* ms */
};

/* --- server-setup.c --- */

/*
 * Checks and opens all, in the daemon; the command line has been read into start, file, words and
 * foreground. False after a line in the log that says what is missing and how to mend it.
 */
bool server_setup_open(struct server_setup *setup);

/* By what a device is known again. False when that can't be read. */
bool server_place(struct journal_start *place, unsigned int ifindex);

/*
 * Reads the file, if there is one, and takes the pools from the interface, if none are named. False
 * with one line that says what is wrong; then nothing is to be closed.
 */
bool server_setup_config(const struct server_setup *setup, struct server_config *config,
			 char error[static SETTINGS_ERROR]);

/* Unmaps and closes what it holds. */
void server_config_close(struct server_config *config);

/* Puts fe80::/64 on the interface if fe80:: is not there, and says so. False after a log line. */
bool server_setup_address(const struct server_setup *setup);

/* A warning in the log for each pool that the host has no route to by way of the interface. */
void server_setup_routes(const struct server_setup *setup);

/* --- server-files.c --- */

/*
 * Opens and locks the journal, made if it is missing, and its folder. False after a line in the log
 * that says what is wrong and how to mend it.
 */
bool server_files_open(struct server_setup *setup);

/* Says that a journal begins, for who has lost one: its addresses may go to others. */
void server_files_begun(const struct server_setup *setup);

/* Removes one that was made by a start which then failed. */
void server_files_drop_made(const struct server_setup *setup);

/* Whether the journal in use is still the one that a start would read. */
bool server_setup_journal_stands(const struct server_setup *setup);

/* Opens an empty journal beside the one in use. Returns its descriptor, the setup's, or -errno. */
int server_setup_new_journal(struct server_setup *setup);

/*
 * Puts it in the place of the one in use, and sees that this has reached the disk. Returns 0 or
 * -errno; *stands says whether it stands there: it may, with an error, but not durably.
 */
int server_setup_rename_journal(struct server_setup *setup, uint32_t *stands);

/* Forgets a new journal that has not been renamed. */
void server_setup_drop_fresh(struct server_setup *setup);

/* What was served before; nothing, after a line in the log, where that can't be read. */
void server_setup_read_served(const struct server_setup *setup, struct served *served);

/* Notes what is served now. Returns 0 or -errno. */
int server_setup_write_served(const struct server_setup *setup, const struct served *served);

/* --- server-monitor.c --- */

/* Runs until it is stopped or the interface is gone. Returns the exit status. */
int server_monitor(const struct server_setup *setup);

#endif
