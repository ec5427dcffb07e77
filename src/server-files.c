// SPDX-License-Identifier: MIT
/* The files of a server: its journal, a new one beside that, and the note of what is served. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "log.h"
#include "sandbox.h"
#include "server-setup.h"

enum { LOCK_TRIES = 40 /* of 50 ms: an engine that is being killed still holds the lock */ };

static void state_name(const struct server_setup *setup, const char *suffix, char name[static 64])
{
	snprintf(name, 64, "%s%s", setup->start.interface, suffix);
}

/* Opens and locks the journal; the file of that name, not one that was just replaced. */
static int open_locked(struct server_setup *setup)
{
	const int flags = O_RDWR | O_NOFOLLOW | O_CLOEXEC;
	struct stat opened, named;
	char name[64];
	int fd;

	state_name(setup, ".leases", name);
	for (int i = 0; i < LOCK_TRIES; ++i) {
		fd = openat(setup->state_fd, name, flags);
		if (fd < 0 && errno == ENOENT) {
			fd = openat(setup->state_fd, name, flags | O_CREAT | O_EXCL, 0600);
			setup->journal_made = fd >= 0;
		}
		if (fd < 0)
			return -errno;
		if (!flock(fd, LOCK_EX | LOCK_NB) && !fstat(fd, &opened) &&
		    !fstatat(setup->state_fd, name, &named, AT_SYMLINK_NOFOLLOW) &&
		    opened.st_ino == named.st_ino)
			return S_ISREG(opened.st_mode) ? fd : -EINVAL;
		close(fd);
		usleep(50000);
	}
	return -EWOULDBLOCK;
}

bool server_files_open(struct server_setup *setup)
{
	const char *name = setup->start.interface;

	setup->fresh_fd = -1;
	setup->state_fd = sandbox_dir(STATEDIR, 0770);
	if (setup->state_fd < 0) {
		log_failure("cannot make " STATEDIR ": %s", strerror(-setup->state_fd));
		return false;
	}
	setup->journal_fd = open_locked(setup);
	if (setup->journal_fd == -EWOULDBLOCK)
		log_failure("another server has %s/%s.leases open: stop it first", STATEDIR, name);
	else if (setup->journal_fd == -ELOOP || setup->journal_fd == -EISDIR ||
		 setup->journal_fd == -EINVAL)
		log_failure("%s/%s.leases is not a regular file: move it away", STATEDIR, name);
	else if (setup->journal_fd < 0)
		log_failure("cannot open %s/%s.leases: %s", STATEDIR, name,
			    strerror(-setup->journal_fd));
	if (setup->journal_fd < 0)
		return false;
	if (!fsync(setup->state_fd))
		return true;
	log_failure("cannot make " STATEDIR " durable: %s", strerror(errno));
	return false;
}

void server_setup_read_served(const struct server_setup *setup, struct served *served)
{
	char name[64];
	int ret;

	state_name(setup, ".served", name);
	ret = served_read(served, setup->state_fd, name);
	if (ret)
		log_line(LOG_WARNING, "ignored: " STATEDIR "/%s: %s: leases from pools that are "
			 "not served any more end", name,
			 ret == -EILSEQ ? "no server has written this" : strerror(-ret));
}

int server_setup_write_served(const struct server_setup *setup, const struct served *served)
{
	char name[64];

	state_name(setup, ".served", name);
	return served_write(served, setup->state_fd, name);
}

/* Who has lost it must hear of that: those addresses may go to others. */
void server_files_begun(const struct server_setup *setup)
{
	const char *name = setup->start.interface;
	struct stat st;

	if (setup->journal_made)
		log_line(LOG_NOTICE, "no journal at %s/%s.leases: begun anew, no lease is known",
			 STATEDIR, name);
	else if (!fstat(setup->journal_fd, &st) && !st.st_size)
		log_line(LOG_WARNING, "%s/%s.leases is empty: begun anew, no lease is known",
			 STATEDIR, name);
}

void server_files_drop_made(const struct server_setup *setup)
{
	char name[64];

	state_name(setup, ".leases", name);
	if (setup->journal_made)
		unlinkat(setup->state_fd, name, 0);
}

bool server_setup_journal_stands(const struct server_setup *setup)
{
	struct stat opened, named;
	char path[sizeof(STATEDIR) + 64] = STATEDIR "/";

	/* By its whole path: the folder may be another one, too. */
	state_name(setup, ".leases", path + sizeof(STATEDIR));
	if (lstat(path, &named) < 0)
		return errno != ENOENT;
	return !fstat(setup->journal_fd, &opened) && opened.st_dev == named.st_dev &&
	       opened.st_ino == named.st_ino;
}

/* The folder may have been moved or removed. */
static void open_folder(struct server_setup *setup)
{
	int fd;

	mkdir(STATEDIR, 0770);
	fd = open(STATEDIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	close(setup->state_fd);
	setup->state_fd = fd;
}

int server_setup_new_journal(struct server_setup *setup)
{
	char name[64];
	int ret;

	server_setup_drop_fresh(setup);
	open_folder(setup);
	state_name(setup, ".leases.new", name);
	if (unlinkat(setup->state_fd, name, 0) < 0 && errno != ENOENT)
		return -errno;
	setup->fresh_fd = openat(setup->state_fd, name,
				 O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (setup->fresh_fd < 0)
		return -errno;
	if (!flock(setup->fresh_fd, LOCK_EX | LOCK_NB))
		return setup->fresh_fd;
	ret = -errno;
	server_setup_drop_fresh(setup);
	return ret;
}

int server_setup_rename_journal(struct server_setup *setup, uint32_t *stands)
{
	char from[64], to[64];

	*stands = false;
	if (setup->fresh_fd < 0)
		return -ENOENT;
	state_name(setup, ".leases.new", from);
	state_name(setup, ".leases", to);
	if (fsync(setup->fresh_fd) < 0 ||
	    renameat(setup->state_fd, from, setup->state_fd, to) < 0)
		return -errno;
	*stands = true;
	close(setup->journal_fd);
	setup->journal_fd = setup->fresh_fd;
	setup->fresh_fd = -1;
	return fsync(setup->state_fd) < 0 ? -errno : 0;
}

void server_setup_drop_fresh(struct server_setup *setup)
{
	if (setup->fresh_fd >= 0)
		close(setup->fresh_fd);
	setup->fresh_fd = -1;
}
