/* SPDX-License-Identifier: MIT */
/*
 * A million clients and their server, through a day of virtual time: each client a real life cycle
 * (lifecycle.h), the server's addresses by the real core (allocate.h), both as the daemons use
 * them. Deterministic: the same arguments give the same day.
 */

#ifndef MILLION_H
#define MILLION_H

#include <stdbool.h>
#include <stdint.h>

#include "lifecycle.h"

#define NEVER UINT64_MAX

/* What the command line sets; times are seconds. */
struct plan {
	uint64_t clients, day, seed;
	uint64_t lease; /* the server's lease time */
	uint64_t capacity; /* requests a second that the server gets done */
	uint64_t outage_at, outage; /* nobody reaches the server */
	uint64_t refused; /* in the outage: 1: connections are refused, 0: nobody answers */
	uint64_t restart_at, restart; /* connections are refused */
	uint64_t pool; /* the prefix length of the IPv4 pool, from 10.0.0.0 on */
	uint64_t sleep; /* so many of a hundred clients sleep for 8 hours */
	uint64_t keepalive; /* 1: tunnels shake hands also when there is nothing to be sent */
	uint64_t storm; /* 1: all start in the first second */
};
extern struct plan plan;

uint64_t mix(uint64_t seed); /* any number from any other */

/* --- million-wheel.c: what is due when, to the millisecond --- */

bool wheel_open(uint32_t clients);
void wheel_set(uint32_t client, uint64_t when); /* instead of what was set before; may be NEVER */
uint32_t wheel_next(uint64_t until, uint64_t *now); /* who is due next, or UINT32_MAX */

/* --- million-server.c --- */

enum reached { REACHED, REACHED_FULL, REACHED_REFUSED, REACHED_NOBODY };

bool server_open(void);

/*
 * A packet that opens a connection comes at this time. REACHED: it will be answered at
 * *answered, unless server_life() is another number by then.
 */
enum reached server_connect(uint64_t now, uint64_t *answered);

uint32_t server_life(uint64_t now); /* counts the server's starts and ends */
bool server_silent(uint64_t now); /* nobody is there to refuse anything */

/* The answer to a request. */
void server_answer(uint64_t now, uint32_t client, const struct request *request,
		   struct response *response);

struct journal_growth {
	uint64_t records, bytes, written; /* written: by compaction, bytes */
	uint64_t compactions, size; /* of the file at the end */
};
void server_journal(struct journal_growth *growth);

/* How many leases there are, of which so many are held. */
uint32_t server_leases(uint32_t *held);

/* --- million-report.c --- */

enum { DAY_MAX = 7 * 86400 };

struct tally {
	uint32_t made[DAY_MAX], offered[DAY_MAX], served[DAY_MAX]; /* requests of each second */
	uint32_t *first; /* of all: seconds from their start to an address */
	uint32_t *waited; /* of those without an address at the server's return: seconds */
	uint32_t *late; /* who lost it after the return only: seconds without */
	uint32_t *behind; /* of those whose renewal was overdue at the return: seconds */
	uint32_t *without; /* of those who lost it in the outage: seconds without */
	uint64_t firsts, waits, lates, behinds, withouts;
	uint64_t changes, changed, same, bound; /* addresses, at the end: as the first one was */
	uint64_t full, timeouts;
};
extern struct tally tally;

void report(void);

#endif
