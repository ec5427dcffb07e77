// SPDX-License-Identifier: MIT
/*
 * To read the enum of states, enter() and timeout() is to know the client: enter() is the only
 * place where the state changes, and sets what each state waits for.
 */

#include <string.h>

#include "lifecycle.h"

static const char *const names[LIFECYCLE_STATES] = {
	[LIFECYCLE_NEW] = "new",
	[LIFECYCLE_DOWN] = "down",
	[LIFECYCLE_ASKING] = "asking",
	[LIFECYCLE_WAITING] = "waiting",
	[LIFECYCLE_BOUND] = "bound",
	[LIFECYCLE_RENEWING] = "renewing",
	[LIFECYCLE_RETRYING] = "retrying",
	[LIFECYCLE_RELEASING] = "releasing",
	[LIFECYCLE_ENDED] = "ended",
};

const char *lifecycle_name(enum lifecycle_state state)
{
	return names[state];
}

void lifecycle_init(struct lifecycle *l, uint64_t seed, uint32_t want)
{
	*l = (struct lifecycle){
		.random = seed,
		.want = want,
		.deadline = UINT64_MAX,
		.pause = LIFECYCLE_PAUSE_MIN,
	};
}

bool lifecycle_lease_any(const struct lifecycle_lease *lease)
{
	return lease->ip[V4].family || lease->ip[V6].family;
}

bool lifecycle_holds(const struct lifecycle *l)
{
	return lifecycle_lease_any(&l->lease);
}

bool lifecycle_lease_valid(const struct lifecycle_lease *lease, uint64_t now)
{
	struct cidr masked;
	bool any = false;

	for (int v = V4; v < FAMILIES; ++v) {
		if (!lease->ip[v].family)
			continue;
		masked = lease->ip[v];
		cidr_mask(&masked); /* nothing behind an IPv4 address: it would be no one's */
		if (lease->ip[v].family != family_of(v) || !cidr_is_host(&lease->ip[v]) ||
		    !cidr_is_assignable(&lease->ip[v]) || cidr_compare(&masked, &lease->ip[v]))
			return false;
		any = true;
	}
	return !any || (lease->until > now && lease->until - now <= LEASE_TIME_MAX * 1000ULL);
}

uint64_t lifecycle_deadline(const struct lifecycle *l)
{
	/* While releasing, the end of the lease changes nothing any more. */
	if (lifecycle_holds(l) && l->state != LIFECYCLE_RELEASING && l->lease.until < l->deadline)
		return l->lease.until;
	return l->deadline;
}

/* 0 to most, both included: splitmix64, by Steele, Lea and Flood (2014). */
static uint64_t random_below(struct lifecycle *l, uint64_t most)
{
	uint64_t z = l->random += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (z ^ z >> 31) % (most + 1);
}

/* Milliseconds of the lease; it may be over, and EVENT_TIME still to come. */
static uint64_t left(const struct lifecycle *l, uint64_t now)
{
	return l->lease.until > now ? l->lease.until - now : 0;
}

/* Whether a lease is held, with time for a request before it ends. */
static bool ends_later(const struct lifecycle *l, uint64_t now)
{
	return lifecycle_holds(l) && left(l, now) > LIFECYCLE_EXCHANGE_MS;
}

/* Milliseconds, the longest pause. One of many clients has time while it holds a lease. */
static uint64_t longest_pause(const struct lifecycle *l, uint64_t now)
{
	uint64_t most = (l->patience ? l->patience : LIFECYCLE_PAUSE_MAX) * 1000ULL;
	uint64_t quarter = left(l, now) / 4;

	if (!l->patience)
		return lifecycle_holds(l) && quarter < most ? quarter : most;
	if (!ends_later(l, now))
		return most;
	return quarter > most / 2 ? quarter : most / 2;
}

/* Milliseconds until the next attempt, a part of it by chance; each may be longer. */
static uint64_t next_pause(struct lifecycle *l, uint64_t now)
{
	uint64_t longest = longest_pause(l, now), last = l->lease.until - LIFECYCLE_EXCHANGE_MS;
	uint64_t most = l->pause * 1000ULL, chance = most / 2, pause;

	if (l->patience) {
		if (most > longest || (lifecycle_holds(l) && !ends_later(l, now)))
			most = longest;
		chance = most / 4;
	}
	pause = most - chance + random_below(l, chance);
	if (l->retry)
		pause = l->retry < LIFECYCLE_PAUSE_MAX ? l->retry * 1000ULL :
							 LIFECYCLE_PAUSE_MAX * 1000;
	if (pause > longest)
		pause = longest;
	/* So that no lease is lost to a server that is there again before it ends. */
	if (l->patience && ends_later(l, now) && pause > last - now)
		pause = last - now;
	if (l->pause < (l->patience ? LIFECYCLE_PATIENCE_MAX : LIFECYCLE_PAUSE_MAX))
		l->pause *= 2;
	return pause > LIFECYCLE_PAUSE_MIN * 1000 ? pause : LIFECYCLE_PAUSE_MIN * 1000;
}

/* Seconds, the longest that the pause may be when a renewal has failed: there is time for it. */
static uint32_t first_pause(const struct lifecycle *l)
{
	uint32_t part = l->patience ? l->lease_time / LIFECYCLE_HASTE : 0;

	if (part > LIFECYCLE_PATIENCE_MAX)
		part = LIFECYCLE_PATIENCE_MAX;
	return part > LIFECYCLE_PAUSE_MIN ? part : LIFECYCLE_PAUSE_MIN;
}

/*
 * How long a request may take. All that are under way when a server comes back reach it at once, by
 * the next handshake of WireGuard: so of many, once nobody was there, few shall be.
 */
static uint64_t exchange_ms(const struct lifecycle *l)
{
	bool nobody = l->failure.kind == FAILURE_CONNECT_TIMEOUT && l->pause > LIFECYCLE_PAUSE_MAX;

	return l->patience && nobody ? LIFECYCLE_PROBE_MS : LIFECYCLE_EXCHANGE_MS;
}

static void lose(struct lifecycle *l)
{
	memset(&l->lease, 0, sizeof(l->lease));
	memset(&l->options, 0, sizeof(l->options));
}

/* Changes the state, and does what each begins with. */
static void enter(struct lifecycle *l, enum lifecycle_state state, uint64_t now,
		  struct lifecycle_actions *actions)
{
	bool pausing = l->state == LIFECYCLE_RETRYING && state == LIFECYCLE_WAITING;

	l->state = state;
	if (pausing) /* the lease has ended meanwhile */
		return;
	l->deadline = UINT64_MAX;
	switch (state) {
	case LIFECYCLE_ASKING:
	case LIFECYCLE_RENEWING:
		/* No wish: a server gives whoever holds an address the same again. */
		actions->ask = true;
		actions->request = (struct request){
			.command = COMMAND_REQUEST_IP,
			.wish = { WISH_ANY, WISH_ANY },
			.extended = true,
			.want = l->want,
		};
		l->connected = l->called = false;
		l->sent = now;
		l->deadline = now + exchange_ms(l);
		++l->counters.requests;
		break;
	case LIFECYCLE_WAITING:
	case LIFECYCLE_RETRYING:
		l->deadline = now + next_pause(l, now);
		break;
	case LIFECYCLE_BOUND:
		l->pause = first_pause(l);
		l->deadline = l->called ? now : l->renew_at;
		break;
	case LIFECYCLE_DOWN:
		actions->cancel = true;
		break;
	case LIFECYCLE_RELEASING:
		actions->ask = true;
		actions->request = (struct request){ .command = COMMAND_RELEASE_IP };
		l->connected = false;
		l->deadline = now + LIFECYCLE_RELEASE_MS;
		break;
	case LIFECYCLE_ENDED:
		actions->cancel = true;
		actions->set = lifecycle_holds(l);
		actions->finished = true;
		lose(l);
		break;
	case LIFECYCLE_NEW:
	case LIFECYCLE_STATES:
		break;
	}
}

/* Asks at once, with pauses from the shortest again. */
static void ask_afresh(struct lifecycle *l, uint64_t now, struct lifecycle_actions *actions)
{
	l->pause = LIFECYCLE_PAUSE_MIN;
	enter(l, lifecycle_holds(l) ? LIFECYCLE_RENEWING : LIFECYCLE_ASKING, now, actions);
}

static void fail(struct lifecycle *l, uint64_t now, const struct failure *failure,
		 struct lifecycle_actions *actions)
{
	if (l->state == LIFECYCLE_RELEASING) {
		enter(l, LIFECYCLE_ENDED, now, actions);
		return;
	}
	++l->counters.failures[failure->kind];
	if (failure->kind == FAILURE_REFUSED)
		++l->counters.refusals[failure->status];
	if (memcmp(failure, &l->failure, sizeof(*failure)))
		actions->report = REPORT_FAILED;
	l->failure = *failure;
	enter(l, lifecycle_holds(l) ? LIFECYCLE_RETRYING : LIFECYCLE_WAITING, now, actions);
	l->retry = 0;
}

static void fail_by(struct lifecycle *l, uint64_t now, enum failure_kind kind,
		    struct lifecycle_actions *actions)
{
	const struct failure failure = { .kind = kind };

	fail(l, now, &failure, actions);
}

static void expire(struct lifecycle *l, uint64_t now, struct lifecycle_actions *actions)
{
	lose(l);
	++l->counters.expiries;
	actions->set = true;
	actions->report = REPORT_EXPIRED;
	/* One of many has asked shortly before, and nobody has answered for long. */
	if (l->state == LIFECYCLE_RETRYING && l->patience && now < l->deadline)
		enter(l, LIFECYCLE_WAITING, now, actions);
	else if (l->state != LIFECYCLE_DOWN)
		ask_afresh(l, now, actions);
}

/* A deadline is over: the lease's, or the state's. */
static void timeout(struct lifecycle *l, uint64_t now, struct lifecycle_actions *actions)
{
	if (now < lifecycle_deadline(l))
		return;
	/* After a suspend what was found out before it does not count. */
	if (l->deadline != UINT64_MAX && now > l->deadline + LIFECYCLE_EXCHANGE_MS)
		l->pause = LIFECYCLE_PAUSE_MIN;
	if (lifecycle_holds(l) && l->state != LIFECYCLE_RELEASING && now >= l->lease.until) {
		expire(l, now, actions);
		return;
	}
	switch (l->state) {
	case LIFECYCLE_WAITING:
		enter(l, LIFECYCLE_ASKING, now, actions);
		break;
	case LIFECYCLE_BOUND:
	case LIFECYCLE_RETRYING:
		enter(l, LIFECYCLE_RENEWING, now, actions);
		break;
	case LIFECYCLE_ASKING:
	case LIFECYCLE_RENEWING:
		actions->cancel = true;
		fail_by(l, now, l->connected ? FAILURE_ANSWER_TIMEOUT : FAILURE_CONNECT_TIMEOUT,
			actions);
		break;
	case LIFECYCLE_RELEASING:
		enter(l, LIFECYCLE_ENDED, now, actions);
		break;
	case LIFECYCLE_NEW:
	case LIFECYCLE_DOWN:
	case LIFECYCLE_ENDED:
	case LIFECYCLE_STATES:
		break;
	}
}

/*
 * When the lease began: by the server's clock if that agrees with ours, but never later than the
 * request was sent, as it seems to be when our clock is behind. (leasestart has lost the parts of
 * a second.) Between clocks that agree just so a short lease could be over as soon as it comes;
 * then, too, the request counts.
 */
static uint64_t lease_start(const struct lifecycle *l, uint64_t now, uint64_t wall,
			    const struct response *r)
{
	int64_t ago = (int64_t)wall - (int64_t)r->lease_start * 1000;
	int64_t half = (int64_t)r->lease_time * 500, since_sent = now - l->sent;

	if (ago > LIFECYCLE_SKEW * 1000)
		return l->sent;
	ago -= 999;
	return ago > since_sent && ago < half && (uint64_t)ago <= now ? now - ago : l->sent;
}

/* When to renew: at half the lease, or when the server wishes, or up to a tenth earlier. */
static uint64_t renewal(struct lifecycle *l, uint64_t now, uint64_t start,
			const struct response *r)
{
	uint64_t after = r->lease_time * 500ULL, soonest = (l->lease.until - now) / 2, at;

	if (r->renew && r->renew < r->lease_time)
		after = r->renew * 1000ULL;
	at = start + after - random_below(l, after / 10);
	if (soonest > LIFECYCLE_PAUSE_MIN * 1000)
		soonest = LIFECYCLE_PAUSE_MIN * 1000;
	return at > now + soonest ? at : now + soonest;
}

/* What the server wishes, as far as it goes: it can't keep us from it for long. */
static uint32_t patience_of(const struct response *r)
{
	uint32_t patience = r->retry < r->lease_time / 4 ? r->retry : r->lease_time / 4;

	if (patience > LIFECYCLE_PATIENCE_MAX)
		return LIFECYCLE_PATIENCE_MAX;
	return patience > LIFECYCLE_PAUSE_MAX ? patience : 0;
}

/* Takes the addresses of a response as host prefixes; false when one can't be an address. */
static bool response_addresses(struct cidr ip[static FAMILIES], const struct response *r)
{
	memset(ip, 0, sizeof(*ip) * FAMILIES);
	for (int v = V4; v < FAMILIES; ++v) {
		if (!r->ip[v].family)
			continue;
		cidr_host(&ip[v], r->ip[v].family, r->ip[v].ip);
		if (!cidr_is_assignable(&ip[v]))
			return false;
	}
	return true;
}

static void lease_take(struct lifecycle *l, uint64_t now, uint64_t wall, const struct response *r,
		       struct lifecycle_actions *actions)
{
	uint64_t start = lease_start(l, now, wall, r), until = start + r->lease_time * 1000ULL;
	struct cidr ip[FAMILIES];

	if (!response_addresses(ip, r)) {
		fail_by(l, now, FAILURE_MALFORMED, actions);
		return;
	}
	if (until <= now) {
		fail_by(l, now, FAILURE_LATE, actions);
		return;
	}
	if (!lifecycle_holds(l))
		actions->report = REPORT_GRANTED;
	else if (memcmp(ip, l->lease.ip, sizeof(ip)))
		actions->report = REPORT_CHANGED;
	else if (l->failure.kind)
		actions->report = REPORT_RECOVERED;
	if (actions->report == REPORT_GRANTED || actions->report == REPORT_CHANGED)
		++l->counters.grants;
	else
		++l->counters.renewals;
	memcpy(l->lease.ip, ip, sizeof(ip));
	l->lease.until = until;
	if (r->options)
		l->options = *r->options;
	else
		memset(&l->options, 0, sizeof(l->options));
	l->lease_time = r->lease_time;
	l->patience = patience_of(r);
	l->renew_at = renewal(l, now, start, r);
	memset(&l->failure, 0, sizeof(l->failure));
	actions->set = true;
	enter(l, LIFECYCLE_BOUND, now, actions);
}

static void response(struct lifecycle *l, uint64_t now, const struct lifecycle_event *event,
		     struct lifecycle_actions *actions)
{
	const struct response *r = event->response;
	struct failure refused = { .kind = FAILURE_REFUSED, .status = r->status };

	if (l->state == LIFECYCLE_RELEASING) {
		if (r->status == STATUS_OK)
			actions->report = REPORT_RELEASED;
		enter(l, LIFECYCLE_ENDED, now, actions);
	} else if ((r->status == STATUS_OK || r->status == STATUS_UNAVAILABLE) &&
		   (r->ip[V4].family || r->ip[V6].family)) {
		lease_take(l, now, event->wall, r, actions);
	} else {
		if (r->status == STATUS_LATER)
			l->retry = r->retry;
		fail(l, now, &refused, actions);
	}
}

static void start(struct lifecycle *l, uint64_t now, const struct lifecycle_event *event,
		  struct lifecycle_actions *actions)
{
	if (event->held && event->held->until > now)
		l->lease = *event->held;
	if (event->up)
		ask_afresh(l, now, actions);
	else
		enter(l, LIFECYCLE_DOWN, now, actions);
}

/* A request may have been granted already though no response has come: that is given back too. */
static void stop(struct lifecycle *l, uint64_t now, struct lifecycle_actions *actions)
{
	bool under_way = l->state == LIFECYCLE_ASKING && l->connected;
	bool reachable = l->state != LIFECYCLE_NEW && l->state != LIFECYCLE_DOWN;

	if (reachable && (lifecycle_holds(l) || under_way))
		enter(l, LIFECYCLE_RELEASING, now, actions);
	else
		enter(l, LIFECYCLE_ENDED, now, actions);
}

/* What a request under way brings may be what was before the call: another follows it. */
static void call(struct lifecycle *l, uint64_t now, struct lifecycle_actions *actions)
{
	switch (l->state) {
	case LIFECYCLE_ASKING:
	case LIFECYCLE_RENEWING:
		l->called = true;
		break;
	case LIFECYCLE_WAITING:
	case LIFECYCLE_BOUND:
	case LIFECYCLE_RETRYING:
		ask_afresh(l, now, actions);
		break;
	default:
		return;
	}
	++l->counters.calls;
}

void lifecycle_event(struct lifecycle *l, uint64_t now, const struct lifecycle_event *event,
		     struct lifecycle_actions *actions)
{
	bool under_way = l->state == LIFECYCLE_ASKING || l->state == LIFECYCLE_RENEWING ||
			 l->state == LIFECYCLE_RELEASING;
	bool ending = l->state == LIFECYCLE_RELEASING || l->state == LIFECYCLE_ENDED;

	memset(actions, 0, sizeof(*actions));
	switch (event->type) {
	case EVENT_START:
		if (l->state == LIFECYCLE_NEW)
			start(l, now, event, actions);
		break;
	case EVENT_CONNECTED:
		if (under_way) {
			if (!l->connected && l->state != LIFECYCLE_RELEASING)
				l->deadline = l->sent + LIFECYCLE_EXCHANGE_MS;
			l->connected = true;
			l->sent = now;
		}
		break;
	case EVENT_FAILED:
		if (under_way)
			fail(l, now, &event->failure, actions);
		break;
	case EVENT_RESPONSE:
		if (under_way)
			response(l, now, event, actions);
		break;
	case EVENT_UP:
		if (l->state == LIFECYCLE_DOWN)
			ask_afresh(l, now, actions);
		break;
	case EVENT_DOWN:
		if (l->state == LIFECYCLE_RELEASING)
			enter(l, LIFECYCLE_ENDED, now, actions);
		else if (!ending && l->state != LIFECYCLE_NEW)
			enter(l, LIFECYCLE_DOWN, now, actions);
		break;
	case EVENT_CALLED:
		call(l, now, actions);
		break;
	case EVENT_STOP:
		if (!ending)
			stop(l, now, actions);
		break;
	case EVENT_TIME:
		timeout(l, now, actions);
		break;
	}
}
