/* SPDX-License-Identifier: MIT */
/*
 * The journal of leases: text, one record a line, each with a checksum (CRC-32C). Records are only
 * added, and the later one of a key stands. See wg-dynamic(8), FILES.
 *
 *     wg-dynamic-leases 1 IFACE SECRET CRC
 *     start BOOT-ID NETNS IFINDEX CRC
 *     lease KEY IP4 IP6 AT LEFT [WANT] CRC
 *     link-local KEY CRC
 *     no-link-local KEY CRC
 *     settings DIGEST CRC
 *     synced CRC
 *
 * IP4 and IP6 are `-' or an address, followed by `,reserved' or `,past' where that applies. AT is
 * the time of the record and LEFT what was left of the lease then, both in ms of CLOCK_BOOTTIME.
 * WANT is what its peer asks for beside addresses, in WANT_... bits, if anything. A key that is
 * given its derived link-local has it until `no-link-local', or the next `start'. DIGEST is that of
 * the settings that were last in force, 16 hexadecimal digits: whoever starts with others knows.
 * `synced' says that all before it has reached the disk: so what is damaged behind the last of
 * them is a write that a crash cut short, which nobody has been told of; elsewhere it is an error.
 *
 * Behind the last record there are lines of spaces, as room for more: fdatasync() of a file whose
 * length and blocks stay as they are has only data to write, which takes half the time on ext4.
 */

#ifndef JOURNAL_H
#define JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lease.h"

enum {
	JOURNAL_LINE = 256, /* bytes, the longest record */
	JOURNAL_SECRET = 16,
	BOOT_ID_LEN = 36, /* characters of /proc/sys/kernel/random/boot_id */
	JOURNAL_MAX = 1 << 30, /* bytes: enough for as many peers as the kernel's device may have */
};

/* Where a device lives: the same only until it is made anew, or the host starts again. */
struct journal_start {
	char boot_id[BOOT_ID_LEN + 1];
	uint64_t netns; /* SO_NETNS_COOKIE, 0 where the kernel has none */
	uint32_t ifindex;
};

struct journal_lease {
	uint8_t key[KEY_LEN];
	uint8_t holding[FAMILIES]; /* enum holding */
	struct cidr ip[FAMILIES];
	uint64_t at, left; /* ms */
	uint8_t want; /* WANT_... */
};

/* What is handed out by journal_replay(), in the order of the file. */
struct journal_reader {
	void (*header)(void *data, const char *interface, const uint8_t *secret);
	void (*start)(void *data, const struct journal_start *start);
	void (*lease)(void *data, const struct journal_lease *lease);
	void (*link_local)(void *data, const uint8_t *key, bool given);
	void (*settings)(void *data, uint64_t digest); /* may be NULL */
	void *data;
};

struct journal_result {
	uint32_t records; /* of leases, link-locals and settings */
	uint32_t dropped; /* damaged lines of a write cut short */
	uint32_t damaged_line; /* number of a line that stops the start, or 0 */
	bool header; /* there was one */
	off_t end, size; /* behind the last record; of the file */
};

/*
 * Reads all of the file from its start; changes nothing. Returns 0; -EILSEQ for a damaged file
 * (see result->damaged_line), or for one that is being written to just then; -EFBIG for one of more
 * than JOURNAL_MAX; or another -errno.
 */
int journal_replay(int fd, const struct journal_reader *reader, struct journal_result *result);

/*
 * A file that is written to, and the records that are not yet. Zeroed to begin with but for fd, and
 * for what journal_replay() has found of one that is not empty.
 */
struct journal {
	int fd; /* -1: none */
	off_t end; /* where the next record goes */
	off_t size; /* of the file: what is between them is room */
	bool synced; /* all that was written has reached the disk: the next write says so */
	bool dirty; /* something has not */
	bool header, headless; /* the header is to be written; it could not be */
	uint32_t records; /* of leases, link-locals and settings, in the file */
	char *buf; /* to be written */
	size_t len, room;
};

/* Adds a record to what is to be written; false when there is no memory. */
bool journal_header(struct journal *journal, const char *interface,
		    const uint8_t secret[static JOURNAL_SECRET]);
bool journal_start(struct journal *journal, const struct journal_start *start);
bool journal_lease(struct journal *journal, const struct journal_lease *lease);
bool journal_link_local(struct journal *journal, const uint8_t key[static KEY_LEN], bool given);
bool journal_settings(struct journal *journal, uint64_t digest);

/*
 * Whether the file can grow by so many bytes more than what is to be written, whatever room it has:
 * not every file system can write over that on a full disk. They are kept free for it, so far as
 * one that copies on write can. Returns 0, also where the file system can't tell (fallocate(2));
 * -ENOSPC, -EDQUOT or -EFBIG.
 */
int journal_room(struct journal *journal, size_t len);

/*
 * Writes what is to be written, whole or, as far as that can be had, not at all: a part that got
 * in is cut off again. Returns 0, or -errno: -EIO if a part is still there, so that the file must
 * not be used any more. What was to be written is forgotten in any case.
 */
int journal_write(struct journal *journal);

/* fdatasync(). Returns 0, or -errno: then the file must not be used any more (fsync(2)). */
int journal_sync(struct journal *journal);

/* Closes the file and frees the memory. */
void journal_close(struct journal *journal);

/* The record of lease index as it stands at this time. */
void journal_from_lease(struct journal_lease *record, const struct lease *lease, uint64_t now);

#endif
