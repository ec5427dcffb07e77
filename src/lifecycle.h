/* SPDX-License-Identifier: MIT */
/*
 * The life of a client: when it asks, what it holds and until when, and what it does when nobody
 * answers. Events and the time go in, actions come out; no I/O, no clock, no allocation. All times
 * are milliseconds of CLOCK_BOOTTIME unless they say otherwise.
 */

#ifndef LIFECYCLE_H
#define LIFECYCLE_H

#include <stdbool.h>
#include <stdint.h>

#include "cidr.h"
#include "protocol.h"

enum {
	LIFECYCLE_EXCHANGE_MS = 10000, /* for a request, from connecting to the whole response */
	LIFECYCLE_RELEASE_MS = 1000, /* the same for the last one, which somebody waits for */
	LIFECYCLE_PAUSE_MIN = 1, /* seconds between attempts */
	LIFECYCLE_PAUSE_MAX = 64,
	/* of one of many clients, as its server says (pace.h): */
	LIFECYCLE_PATIENCE_MAX = 3600, /* seconds between attempts that it may wish for */
	LIFECYCLE_HASTE = 64, /* the first pause of a renewal: such a part of the lease time */
	LIFECYCLE_PROBE_MS = 3000, /* to connect, once nobody was there */
	LIFECYCLE_SKEW = 15, /* seconds that two clocks may differ and count as the same */
};

enum lifecycle_state {
	LIFECYCLE_NEW, /* not started */
	LIFECYCLE_DOWN, /* the link is; addresses may be held */
	/* nothing is held: */
	LIFECYCLE_ASKING, /* a request is under way */
	LIFECYCLE_WAITING, /* until the next attempt */
	/* addresses are held: */
	LIFECYCLE_BOUND, /* until it is time to renew */
	LIFECYCLE_RENEWING, /* a request is under way */
	LIFECYCLE_RETRYING, /* until the next attempt */
	/* after a stop: */
	LIFECYCLE_RELEASING, /* a release is under way */
	LIFECYCLE_ENDED,
	LIFECYCLE_STATES,
};

/* Why an attempt failed. */
enum failure_kind {
	FAILURE_NONE,
	FAILURE_SOCKET, /* none could be had; error */
	FAILURE_CONNECT, /* error */
	FAILURE_CONNECT_TIMEOUT,
	FAILURE_ANSWER_TIMEOUT, /* connected, but no whole response in time */
	FAILURE_CLOSED, /* before the whole response; error, or 0 */
	FAILURE_MALFORMED,
	FAILURE_LATE, /* the lease was over when it came */
	FAILURE_REFUSED, /* status */
	FAILURE_KINDS,
};

struct failure {
	uint32_t kind; /* enum failure_kind */
	int32_t error; /* errno */
	uint32_t status; /* enum status */
};

enum lifecycle_event_type {
	EVENT_START, /* held, up */
	EVENT_CONNECTED, /* the request is being sent */
	EVENT_FAILED, /* failure: the request under way came to nothing */
	EVENT_RESPONSE, /* response, wall */
	EVENT_UP, /* the link is */
	EVENT_DOWN,
	EVENT_CALLED, /* the server wants to be asked at once */
	EVENT_STOP,
	EVENT_TIME, /* nothing but that time has passed */
};

/* Addresses until a time. */
struct lifecycle_lease {
	struct cidr ip[FAMILIES]; /* host prefixes; family 0: none */
	uint64_t until;
};

struct lifecycle_event {
	enum lifecycle_event_type type;
	const struct lifecycle_lease *held; /* what an earlier client left, or NULL */
	bool up; /* the link is, at the start */
	struct failure failure;
	const struct response *response; /* whole, as response_decode() takes it */
	uint64_t wall; /* milliseconds since 1970 UTC, now */
};

/* What is worth a line in the log. */
enum report {
	REPORT_NONE,
	REPORT_GRANTED, /* addresses, where none were held */
	REPORT_CHANGED, /* other addresses than those held */
	REPORT_RECOVERED, /* the same addresses, after a failure was reported */
	REPORT_FAILED, /* an attempt, by a reason that is not the last one's */
	REPORT_EXPIRED, /* the lease ended with no answer */
	REPORT_RELEASED, /* the server has taken them back */
	REPORTS,
};

struct lifecycle_actions {
	bool ask; /* abandon what is under way, connect, and send this request */
	struct request request;
	bool cancel; /* abandon what is under way */
	bool set; /* the interface shall have what is in lease and options, and no more of ours */
	bool finished;
	enum report report; /* with REPORT_FAILED, the reason is in failure */
};

/* Since lifecycle_init(). */
struct lifecycle_counters {
	uint64_t requests, grants, renewals, expiries, calls;
	uint64_t failures[FAILURE_KINDS]; /* of requests */
	uint64_t refusals[STATUS_LATER + 1]; /* of these, FAILURE_REFUSED by status */
};

struct lifecycle {
	enum lifecycle_state state;
	struct lifecycle_lease lease; /* held; no address: nothing */
	struct options options; /* that came with it */
	uint32_t lease_time; /* seconds, as granted; 0: not known (an earlier client asked) */
	uint64_t renew_at;
	struct failure failure; /* of the last attempt; kind 0 when it was a success */
	struct lifecycle_counters counters;

	/* lifecycle.c's own: */
	uint64_t deadline; /* of the state */
	uint64_t sent; /* when the request under way was */
	bool connected, called; /* since the request under way was made */
	uint32_t want;
	uint32_t patience; /* seconds, the longest pause, as the server wished; 0: it didn't */
	uint32_t pause; /* seconds, the longest that the next one may be */
	uint32_t retry; /* seconds, as the server wished; 0: it didn't */
	uint64_t random;
};

/*
 * Begins; seed is any number, and decides all that is random; want (WANT_...) is asked for with
 * each lease.
 */
void lifecycle_init(struct lifecycle *l, uint64_t seed, uint32_t want);

/*
 * Takes an event at the time now, and says what to do. Events that do not fit the state, as those
 * of a connection that has been abandoned, do nothing.
 */
void lifecycle_event(struct lifecycle *l, uint64_t now, const struct lifecycle_event *event,
		     struct lifecycle_actions *actions);

/* When EVENT_TIME is due; UINT64_MAX: never. */
uint64_t lifecycle_deadline(const struct lifecycle *l);

/* Whether there can be such a lease at the time now: for one that another process has made. */
bool lifecycle_lease_valid(const struct lifecycle_lease *lease, uint64_t now);

/* Whether there is any address in it. */
bool lifecycle_lease_any(const struct lifecycle_lease *lease);

/* Whether any address is held. */
bool lifecycle_holds(const struct lifecycle *l);

/* A state's name, as `wg dynamic show' has it. */
const char *lifecycle_name(enum lifecycle_state state);

#endif
