/* SPDX-License-Identifier: MIT */
/*
 * What a server is told to do, in words of its command line or in a file in wg's style, which has
 * sections [Server] and [Peer]: one table for both. Nothing here prints.
 */

#ifndef SETTINGS_H
#define SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device.h"
#include "options.h"
#include "pool.h"

enum {
	SETTINGS_ERROR = 512, /* bytes for a line that says what is wrong */
	SETTINGS_FILE = 256, /* bytes of a file's name, its NUL included */
	SETTINGS_LEASE_TIME = 3600, /* seconds, unless told */
};

/* A [Peer] section. */
struct settings_peer {
	uint8_t key[KEY_LEN];
	uint32_t line;
	uint32_t given; /* which of its options count instead of the server's: settings.c's bits */
	char *options; /* these, as lines of the protocol; NULL: empty */
};

/* An address that is to be leased to one peer alone. */
struct reservation {
	uint8_t key[KEY_LEN];
	struct cidr ip; /* a host prefix */
	uint16_t unused;
	uint32_t line;
};

struct settings {
	struct pools pools; /* none: those that the interface's addresses make */
	uint32_t lease_time; /* seconds */
	bool link_locals; /* peers without a link-local get theirs from the server */
	struct options options;
	struct settings_peer *peers; /* sorted by key */
	struct reservation *reservations; /* sorted by address */
	uint32_t peer_count, reservation_count;
	uint32_t given; /* by the source at hand: settings.c's bits */
};

/* What there is before anything is said. */
void settings_open(struct settings *settings);
void settings_close(struct settings *settings);

/* Whether the command line has a setting of this name; a value follows it. */
bool settings_word(const char *word);

/*
 * Reads a file. False with what is wrong and what would be right: `FILE, line N: ...'; settings
 * are then fit for settings_close() alone.
 */
bool settings_file(struct settings *settings, const char *file, char error[static SETTINGS_ERROR]);

/*
 * Reads count words of the command line, each setting and its value; they count instead of what a
 * file said, so they come after it. False as above, but with the setting instead of file and line.
 */
bool settings_words(struct settings *settings, const char *const *words, size_t count,
		    char error[static SETTINGS_ERROR]);

/*
 * Whether every reservation can be leased from the pools, when these are known. False with what
 * is wrong with which line of the file.
 */
bool settings_check(const struct settings *settings, const char *file,
		    char error[static SETTINGS_ERROR]);

/*
 * What a peer gets: the server's options, but its own (NULL: no section of its own) for those that
 * are given there.
 */
void settings_options(const struct settings *settings, const struct settings_peer *peer,
		      struct options *options);

/* Adds options from the lines that options_encode() made of them, len bytes. */
void settings_decode(struct options *options, const char *lines, size_t len);

#endif
