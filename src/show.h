/* SPDX-License-Identifier: MIT */
/*
 * What the files of `show' share: the records that daemons answer with, and how each is printed.
 * show.c reads them, show-people.c and show-json.c print them, show-left.c does without a daemon.
 */

#ifndef SHOW_H
#define SHOW_H

#include <stdbool.h>
#include <stdio.h>

#include "served.h"

enum { FIELDS = 13, VALUE = 8192 }; /* room for a list of all that can be pushed */

enum style { PEOPLE, DUMP, JSON, ALLOWED };

/* How a value is printed; those from NUMBER on are decimal digits. */
enum form { TEXT, KEY, LIST, NUMBER, DURATION, UNTIL };

struct field {
	const char *key; /* as the daemon says it; its order here is that of the columns */
	const char *label;
	enum form form;
};

/*
 * A record begins with its first key; but a daemon's own is told by the role, and each counter is
 * a record, of its name and its value.
 */
enum kind { CLIENT, SERVER, COUNTER, POOL, LEASE, KINDS };

struct record_kind {
	const char *name;
	struct field fields[FIELDS]; /* those with a key */
};

extern const struct record_kind record_kinds[KINDS];

struct record {
	const char *interface;
	enum style style;
	enum kind role; /* of the daemon that was asked: the first record's kind */
	enum kind kind; /* KINDS: none yet */
	/* Printable ASCII, "": none; a LIST with commas, a KEY in base64. */
	char values[FIELDS][VALUE];
	FILE *out;
};

/* Each prints a record; and what is left to print when the answer is at its end. */
void people_record(const struct record *r);
void people_end(const struct record *r);
void json_record(const struct record *r);
void json_end(const struct record *r);

/*
 * On standard output: what json_record() has made of a daemon, as a member of the one object that
 * all is in; both daemons of an interface one after the other. json_finish() ends that object. The
 * name of the interface must last until then.
 */
void json_daemon(const char *interface, const char *records);
void json_finish(void);

/* Reads what the server's monitor has noted. False after a line that says why it can't. */
bool show_served(const char *interface, struct served *served);

/* Says that ip is claimed to be leased, and not noted; returns 1, to be returned from main. */
int show_unknown(const char *interface, enum kind role, const char *ip);

/*
 * Writes, as `allowed-ips', what a daemon that does not run has left in AllowedIPs. Returns 0; 1
 * after a line that says why that is not known; -1: it has never been there.
 */
int show_left(const char *interface, enum kind role, FILE *out);

#endif
