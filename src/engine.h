/* SPDX-License-Identifier: MIT */
/*
 * What the files of the server's engine share. server.c has the loop and the messages; store.c the
 * journal; status.c what people are told; session.c the connections; grant.c what is decided and in
 * what order it is made good; reconcile.c makes leases and device agree; link-locals.c gives peers
 * theirs; calls.c takes settings and calls whom they concern.
 */

#ifndef ENGINE_H
#define ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "allocate.h"
#include "control.h"
#include "journal.h"
#include "link-locals.h"
#include "loop.h"
#include "server.h"

enum {
	SESSIONS = 1024, /* connections at a time */
	SESSIONS_PEER = 2,
	SESSION_MS = 10000, /* for a whole request, and for taking an answer */
	RETRY_S = 5, /* retry= of an errno 4 */
	ABSENT_MS = 2000, /* between two readings that must both miss a peer */
	SWEEP_SLICE = 128, /* leases looked at in one turn, at most */
	COMPACT_SLICE = 512, /* leases written anew in one turn */
	BATCHES = 64, /* of orders to take back, under way at a time */
	READING_MS = 30000, /* from one reading to the next, if nobody wants one before */
	LARGE_DEVICE = 8192, /* allowed-ips, with more of which it is not read for each decision */
	CHANGE_RECORDS = 1 + FAMILIES + 1, /* `synced', the ends of both families, the new lease */
	CALLS = 3, /* of one client, at most, until it comes */
	GATHER_MS = 4, /* that a request may wait for those before it */
};

enum session_state {
	SESSION_READING, /* a request is to come */
	SESSION_READY, /* one has come, to be decided: grant_at() */
	SESSION_WAITING, /* for a reading of the device, or for the end of a lease */
	SESSION_COMMITTED, /* decided; journal and device are at work */
	SESSION_ANSWERING, /* the socket does not take the answer yet */
	SESSION_CLOSED, /* the connection is gone, orders are under way */
};

struct session {
	struct watch watch;
	struct server *server;
	struct session *next, **before; /* all of them; the oldest first */
	struct cidr from; /* the peer's link-local */
	uint64_t peer; /* the first bytes of the key of who may use it; 0: not known */
	enum session_state state;
	uint64_t deadline; /* ms */
	uint64_t reading_after; /* waits for a reading that began then or later; 0: not so */
	uint32_t lease; /* waits for the end of this one; or LEASE_NONE */
	bool claims; /* has some, for: */
	uint8_t claimant[KEY_LEN];
	uint32_t orders; /* addresses ordered for it, not yet done */
	bool failed; /* the journal or the device could not make it good */
	bool new_address[FAMILIES]; /* granted by this request */
	struct request request;
	struct response response;
	char *rest; /* bytes that came behind the request at hand, or NULL */
	char *out; /* what is left to send of an answer, or NULL */
	size_t rest_len, out_len;
	struct lines lines; /* the last: its buffer is not zeroed */
};

/* Changes of the device that were ordered together. */
struct batch {
	struct batch *next;
	bool take;
	enum server_reason reason[DEVICE_BATCH]; /* of ends */
	uint32_t lease[DEVICE_BATCH]; /* LEASE_NONE: it is a link-local */
	struct session *session[DEVICE_BATCH]; /* that waits for it, or NULL */
	struct server_orders orders;
};

/* Since this engine began. */
struct counters {
	uint64_t connections, readings, grants, renewals, calls;
	uint64_t reloads[2]; /* done; refused */
	uint64_t reasons[REASON_TYPES]; /* ends of leases, and refusals, by their reason */
};

/* Clients that are being called, each up to CALLS times. */
struct calls {
	int fd; /* UDP; -1: none */
	bool marked; /* some lease may have LEASE_CALL */
	uint32_t *leases, count; /* to be called, unless they have come meanwhile; NULL: none */
	uint32_t done[CALLS]; /* how many have been called for the first time, the second, ... */
	uint64_t began; /* ms */
	uint32_t spread; /* ms, from the first's first call to the last's */
};

struct server {
	struct loop loop;
	struct channel channel;
	struct watch monitor, listener;
	struct control control;
	bool have_control, started, loaded, ready, stopping;
	char interface[16];
	uint32_t ifindex;
	struct journal_start place;
	uint8_t secret[JOURNAL_SECRET];

	struct pools pools;
	struct policy policy;
	uint64_t digest; /* of both, for which a lease may be another one */
	char config[SETTINGS_FILE];
	struct leases leases;
	struct reading reading, old_reading; /* old: being unmapped */
	struct book book;
	struct link_locals link_locals;
	struct counters counters;
	uint64_t began; /* ms */

	struct claim claims[SESSIONS * FAMILIES]; /* book.claim_count of them */
	struct session *sessions, **sessions_end;
	uint32_t session_count;
	uint16_t open[SESSIONS]; /* how many of them by peer: session.c */
	uint64_t accept_at; /* accept again from this time on; 0: accepting */

	/* readings */
	uint64_t reading_began, reading_asked; /* ms; asked: of the last SERVER_READ */
	uint64_t reading_wanted; /* a reading is to begin then; NEVER */
	uint32_t reading_cost; /* ms */
	uint32_t sweep; /* the lease to be looked at next; LEASE_NONE: all done */
	bool sweep_marks; /* this sweep notes which peers are absent */
	bool absent_seen;
	uint64_t marked; /* when the reading of the last such sweep began */

	/* reloading */
	uint64_t reload_at; /* of a reading for it, ms; 0: none under way */
	char reload_error[SETTINGS_ERROR]; /* of the last one, if it was refused */
	bool reload_refused, reload_ordered; /* ordered: all that it puts back */
	uint32_t reload_order; /* the last of these orders */
	struct calls calls;

	/* journal */
	struct journal journal, fresh; /* fresh: being written anew */
	int old; /* the file that it was written anew from, to be freed; -1: none */
	uint32_t compact; /* the lease to be written next; LEASE_NONE: none */
	bool journal_broken; /* not to be written to: only a new one helps */
	bool journal_stale; /* it has records by the clock of an earlier boot, or lacks some */
	bool journal_asked, renaming, fresh_failed;
	int journal_error; /* why nothing can be recorded, as was logged; 0: it can */
	bool served_known; /* of the settings that were last in force: */
	uint64_t served; /* the digest in the journal */
	bool same_place; /* the device is still the one that the journal speaks of */
	uint32_t compact_slices;
	uint64_t journal_retry; /* ms: ask again for a new file */

	/* orders */
	uint32_t order; /* the last number given */
	struct batch *batches, *allow, *take; /* sent; being filled */
	uint32_t taking; /* batches to take back that are under way */
	uint32_t awaiting; /* sessions that wait for some of them */
	uint64_t gather_until; /* ms: these are not waited for by others after that */

	struct server_log log;
	uint64_t refusals_second;
	uint32_t refusals_logged, refusals_suppressed;
};

/* --- server.c --- */

/* Sends a message without anything but its type. */
void server_tell(struct server *server, enum server_message type);

/* The next line of the log, to be filled in; sent at the end of the turn, or when all are full. */
struct server_log_item *server_log(struct server *server, enum server_event event);

/* Likewise about a lease, with its key and what it holds. */
struct server_log_item *server_log_lease(struct server *server, enum server_event event,
					 uint32_t lease);

/*
 * A refusal: counted, and logged if there have not been too many in this second. Returns its line,
 * as server_log(), or NULL.
 */
struct server_log_item *server_refuse(struct server *server, enum server_reason reason,
				      const struct cidr *from);

/* Wants a reading that begins after this call; stranger: caused by nobody whom we know. */
void server_read(struct server *server, bool stranger);

/* --- store.c: the journal while serving --- */

/* Reads the journal into the table. False after an EVENT_FATAL. */
bool store_load(struct server *server);

/* Records a lease as it stands; false when that can't be had now. store_write() writes it. */
bool store_lease(struct server *server, uint32_t lease);

/* Likewise for a record that is made up already. */
bool store_record(struct server *server, const struct journal_lease *record);

/* Likewise, that a key is given its derived link-local, or has it no more. */
bool store_link_local(struct server *server, const uint8_t key[static KEY_LEN], bool given);

/* Records the digest of the settings in force, unless the journal has it. */
void store_settings(struct server *server);

/* Whether so many records could be written, `synced' counts as one; if not, that is logged. */
bool store_room(struct server *server, uint32_t records);

/* The line of the status that says why nothing can be recorded, if that is so; its length. */
size_t store_status(const struct server *server, char *buf, size_t size);

/* Writes the records. Returns whether they are in the file(s). */
bool store_write(struct server *server);

/* Makes them durable. Returns whether they are; if not, the file is given up. */
bool store_sync(struct server *server);

/* Notes where the device lives now, durably. */
bool store_place(struct server *server);

/* What is written does not count any more: nothing is, until there is a new file. */
void store_gone(struct server *server);

/* A new file has come, or an errno. */
void store_new_file(struct server *server, int fd, int error);

/* The monitor has renamed it (it stands), or could not; or it did, but not durably. */
void store_renamed(struct server *server, const struct server_journal *message);

/* Writes anew a slice; asks for a new file when it's worth it. Returns when to be called again. */
uint64_t store_turn(struct server *server, uint64_t now);

/* --- status.c, as control_open() takes them: data is the server --- */

size_t status_fill(void *data, uint64_t *cursor, char *buf);
int status_release(void *data, const char *value, bool again);

/* --- session.c --- */

/* A connection can be accepted. */
void sessions_accept(struct watch *listener, uint32_t events);

/* Answers, and goes on with the next request or closes. */
void session_answer(struct session *session);

/* Waits for what others do, until it is woken. */
void session_wait(struct session *session);

/* Closes at once. */
void session_close(struct session *session);

/* Ends what takes too long; returns when to be called again. */
uint64_t sessions_turn(struct server *server, uint64_t now);

/* --- grant.c --- */

/*
 * When what is ready is to be decided, ms; 0: at once; NEVER: nothing is. While addresses of more
 * sessions than that are on their way to the device, it is gathered, for GATHER_MS at most: to
 * decide a few would let those wait for one more fdatasync(), and costs as much as to decide many.
 */
uint64_t grant_at(const struct server *server, uint64_t now);

/* Decides all that is ready, and makes it good. */
void grant_all(struct server *server, uint64_t now);

/* Those whose reading has come, or whose lease has ended, are ready again. */
void grant_wake(struct server *server);

/* Gives up what a session has claimed. */
void grant_unclaim(struct session *session);

/* Those who wait for the end of this lease are told to try again later. */
void grant_fail(struct server *server, uint32_t lease);

/* Answers a session of which all orders are done; lease: the one that it was given. */
void grant_finish(struct session *session, uint32_t lease);

/* --- calls.c --- */

/*
 * Settings have come, with their policy (fd stays the caller's). Leases stay as they are; who gets
 * something else from now on is to be called. False when there is no memory.
 */
bool settings_came(struct server *server, const struct server_settings *message, int fd);

/* The first reading is there: who may get something else than before the start is to be called. */
void calls_start(struct server *server);

/* A reading has come: those that slept when it was time to call them, and are awake, are called. */
void calls_reading(struct server *server);

/* The leased peer has come, and is about to be answered: adds its options. */
void calls_came(struct session *session, uint32_t lease);

/* Ends a reload when all is put back; calls whom it is time to call. Returns when to go on. */
uint64_t calls_turn(struct server *server, uint64_t now);

/* The administrator has ended a lease: its peer is called, if it asked for that. */
void calls_released(struct server *server, uint32_t lease);

/* --- reconcile.c --- */

/* A reading has come. */
void reconcile_reading(struct server *server, const struct server_reading *message, int fd);

/*
 * Compares a lease with the reading, which has its peer. put_back: orders what is missing. May
 * begin its end.
 */
void reconcile_lease(struct server *server, uint32_t lease, uint32_t peer, bool put_back,
		     uint64_t now);

/* Goes on comparing all; returns when to be called again. */
uint64_t reconcile_turn(struct server *server, uint64_t now);

/*
 * Ends what the lease holds in family v, if anything: the device first, then the record; it is
 * LEASE_ENDING until both are done, which may be when this returns.
 */
void lease_end(struct server *server, uint32_t lease, int v, enum server_reason reason);

/* Ends what has expired, as much as is well at a time; returns when to be called again. */
uint64_t leases_turn(struct server *server, uint64_t now);

/* Adds an address to the orders of this turn; false when there is no memory. */
bool order_allow(struct server *server, uint32_t lease, int v, struct session *session);

/* Likewise for the derived link-local of a key, which is given or taken. */
bool order_link_local(struct server *server, bool take, const uint8_t key[static KEY_LEN],
		      const struct cidr *ip);

/* Whether so much is under way, or waits for the monitor to take it, that more has to wait, too. */
bool orders_busy(const struct server *server);

/* Whether one of the orders up to this number has not been carried out yet. */
bool orders_pending(const struct server *server, uint32_t order);

/* Sends the orders of this turn. */
void orders_send(struct server *server);

/*
 * Or, before any request has ordered something, forgets those that put addresses in: their records
 * could not be written, and without them they would be the administrator's after a crash.
 */
void orders_drop(struct server *server);

/* The monitor has carried out orders. */
void orders_done(struct server *server, const struct server_done *done);

#endif
