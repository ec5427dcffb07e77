// SPDX-License-Identifier: MIT
/*
 * From request to answer. All requests that are ready in one turn of the loop are decided together:
 * their records are written, then the device is ordered to follow while the records reach the
 * disk; an answer goes out when both are done, and those who have come meanwhile are next.
 */

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine.h"
#include "pace.h"

/* A lease as it was before a decision, in case it can't be written. */
struct undo {
	struct session *session;
	uint32_t lease;
	struct lease before;
};

struct commit {
	struct server *server;
	struct undo undo[SESSIONS];
	uint32_t count;
	uint64_t now;
};

static void answer(struct session *session, enum status status)
{
	session->response.status = status;
	if (status == STATUS_LATER)
		session->response.retry = RETRY_S;
	session_answer(session);
}

static void refuse(struct session *session, enum server_reason reason, enum status status)
{
	server_refuse(session->server, reason, &session->from);
	answer(session, status);
}

/* Waits for a reading that began at this time or later. */
static void wait_reading(struct session *session, uint64_t after, bool stranger)
{
	session_wait(session);
	session->reading_after = after;
	if (session->server->reading_began < after)
		server_read(session->server, stranger);
}

/* The peer that the request comes from; DEVICE_NOBODY when that is not known (yet). */
static uint32_t identify(struct session *session, uint64_t now)
{
	struct server *server = session->server;
	const struct device_ip *ip = reading_exact(&server->reading, &session->from);
	bool fresh = session->reading_after && server->reading_began >= session->reading_after;

	if (!server->reading.head) {
		wait_reading(session, now, false);
		return DEVICE_NOBODY;
	}
	if (!ip || ip->peer == DEVICE_SELF) {
		if (fresh) {
			server_refuse(server, REASON_STRANGER, &session->from);
			session_close(session);
		} else {
			wait_reading(session, now, true);
		}
		return DEVICE_NOBODY;
	}
	/* No answer would reach it any more, so nothing of its lease may change. */
	if (link_locals_ending(server, &session->from, server->reading.peers[ip->peer].key)) {
		wait_reading(session, now, false);
		return DEVICE_NOBODY;
	}
	/* Some peer could use any link-local that is nobody's at this moment. */
	if (server->reading.head->wide_link_local && !fresh) {
		wait_reading(session, now, false);
		return DEVICE_NOBODY;
	}
	return ip->peer;
}

/* Waits for the end of what the lease holds in all families of the mask. */
static void end_first(struct session *session, uint32_t lease, const bool *families,
		      enum server_reason reason)
{
	bool held = false;

	for (int v = V4; v < FAMILIES; ++v) {
		if (!families[v])
			continue;
		lease_end(session->server, lease, v, reason);
		held |= lease_holds(&session->server->leases.list[lease], v);
	}
	/* What needs no change of the device has ended already: nobody would wake it. */
	if (held)
		session_wait(session);
	else
		session->state = SESSION_READY;
	session->lease = held ? lease : LEASE_NONE;
}

static void release(struct session *session, uint32_t lease)
{
	static const bool all[FAMILIES] = { true, true };

	if (lease != LEASE_NONE && lease_holds(&session->server->leases.list[lease], FAMILIES))
		end_first(session, lease, all, REASON_RELEASED);
	else
		answer(session, STATUS_OK);
}

static void undo_one(struct server *server, const struct undo *undo)
{
	struct cidr ip;

	for (int v = V4; v < FAMILIES; ++v) {
		if (lease_ip(&undo->before, v, &ip))
			leases_set(&server->leases, undo->lease, undo->before.holding[v], &ip);
	}
	server->leases.list[undo->lease].time = undo->before.time;
	server->leases.list[undo->lease].want = undo->before.want;
	leases_expire_at(&server->leases, undo->lease, undo->before.expires);
	for (int v = V4; v < FAMILIES; ++v) {
		if (!undo->before.holding[v] && server->leases.list[undo->lease].holding[v])
			leases_forget(&server->leases, undo->lease, v);
	}
}

/* Carries a decision out in the table; the record is in the journal's buffer afterwards. */
static bool apply(struct commit *commit, struct session *session, uint32_t peer, uint32_t index,
		  const struct decision *decision)
{
	struct server *server = commit->server;
	struct undo *undo = &commit->undo[commit->count];
	uint64_t expires = commit->now + decision->lease_time * UINT64_C(1000);
	struct lease *lease;

	if (index == LEASE_NONE)
		index = leases_make(&server->leases, server->reading.peers[peer].key);
	if (index == LEASE_NONE)
		return false;
	lease = &server->leases.list[index];
	*undo = (struct undo){ .session = session, .lease = index, .before = *lease };
	/* A peer that misses the answer goes by what it was told before. */
	if (lease_holds(lease, FAMILIES) && lease->expires > expires)
		expires = lease->expires;
	/* First, so that one that is new takes its place among all at once. */
	leases_expire_at(&server->leases, index, expires);
	for (int v = V4; v < FAMILIES; ++v) {
		session->new_address[v] = false;
		if (!decision->granted[v])
			continue;
		session->new_address[v] = !lease_holds(lease, v);
		leases_set(&server->leases, index, decision->holding[v], &decision->ip[v]);
		if (session->new_address[v])
			lease->flags &= ~(LEASE_IN_DEVICE << v);
		if (decision->holding[v] == HOLDING_RESERVED &&
		    reading_has(&server->reading, peer, &decision->ip[v]))
			lease->flags |= LEASE_IN_DEVICE << v;
		session->response.ip[v] = decision->ip[v];
	}
	lease->time = decision->lease_time;
	lease->want = session->request.want;
	if (!store_lease(server, index)) {
		undo_one(server, undo);
		return false;
	}
	++commit->count;
	return true;
}

/* Orders what is not in the device yet. */
static void order(struct commit *commit, struct undo *undo)
{
	struct session *session = undo->session;
	const struct lease *lease = &commit->server->leases.list[undo->lease];

	for (int v = V4; v < FAMILIES; ++v) {
		if (!session->response.ip[v].family || lease->flags & LEASE_IN_DEVICE << v)
			continue;
		if (order_allow(commit->server, undo->lease, v, session))
			++session->orders;
		else
			session->failed = true;
	}
	commit->server->awaiting += session->orders > 0;
}

/* While old addresses end, nobody else may get the new ones, those that replace none included. */
static void claim(struct session *session, uint32_t peer, const struct decision *decision)
{
	struct server *server = session->server;

	grant_unclaim(session);
	session->claims = true;
	memcpy(session->claimant, server->reading.peers[peer].key, KEY_LEN);
	for (int v = V4; v < FAMILIES; ++v) {
		struct claim *claim = &server->claims[server->book.claim_count];

		if (!decision->granted[v])
			continue;
		claim->ip = decision->ip[v];
		memcpy(claim->key, session->claimant, KEY_LEN);
		++server->book.claim_count;
	}
}

void grant_unclaim(struct session *session)
{
	struct server *server = session->server;
	uint32_t kept = 0;

	if (!session->claims)
		return;
	for (uint32_t i = 0; i < server->book.claim_count; ++i) {
		if (memcmp(server->claims[i].key, session->claimant, KEY_LEN))
			server->claims[kept++] = server->claims[i];
	}
	server->book.claim_count = kept;
	session->claims = false;
}

/*
 * The administrator may have changed the device since it was read: given a free address to a peer,
 * or taken a leased one out. So a decision that changes something waits for a reading from about
 * now, and a renewal for one of this second. On a large device it shows with the next of the
 * readings that there are at any rate: more of them would take more of the processors, and keep
 * others waiting for longer, than all requests do.
 */
static bool reading_suffices(struct session *session, const struct decision *decision,
			     uint64_t now)
{
	struct server *server = session->server;
	bool renewal = !decision->new_address && (decision->granted[V4] || decision->granted[V6]);
	/* Under load, so that reading takes at most a twentieth of the time. */
	uint64_t age = server->reading_cost ? 20 * server->reading_cost : 20;

	if (session->reading_after || server->reading.head->ips > LARGE_DEVICE)
		return true;
	if (renewal && age < FRESH_MS)
		age = FRESH_MS;
	if (server->reading_began + age >= now) {
		/* What was changed before this came, but after the reading, shows soon. */
		if (server->reading_began + SESSION_MS < session->deadline)
			server->reading_wanted = sooner(server->reading_wanted,
							server->reading_began + FRESH_MS);
		return true;
	}
	wait_reading(session, now - age, false);
	return false;
}

/* What was wished for and can't be had; not where there never was a pool to have it from. */
static void log_unavailable(struct session *session)
{
	struct server *server = session->server;
	const struct request *request = &session->request;
	struct server_log_item *item;
	bool refused = false;

	for (int v = V4; v < FAMILIES; ++v)
		refused |= !session->response.ip[v].family &&
			   (request->wish[v] == WISH_THIS ||
			    (request->wish[v] == WISH_ANY && pools_have(&server->pools, v)));
	if (!refused)
		return;
	item = server_refuse(server, REASON_UNAVAILABLE, &session->from);
	for (int v = V4; item && v < FAMILIES; ++v) {
		if (!session->response.ip[v].family && request->wish[v] == WISH_THIS)
			item->ip[v] = request->ip[v];
	}
}

/* Whether something ends that its peer would rather have kept. */
static bool is_retired(const struct request *request, const struct decision *decision)
{
	bool retired = false;

	for (int v = V4; v < FAMILIES; ++v)
		retired |= decision->ends[v] && !decision->granted[v] &&
			   request->wish[v] != WISH_NONE;
	return retired;
}

/* When it is to come again, and how long to pause if nobody answers then. */
static struct pace pace(const struct commit *commit, uint32_t peer, uint32_t index,
			uint32_t lease_time)
{
	const struct server *server = commit->server;
	const struct lease *lease = index == LEASE_NONE ? NULL : &server->leases.list[index];
	const uint8_t *key = server->reading.peers[peer].key;
	uint64_t left = 0;

	if (lease && lease_holds(lease, FAMILIES) && lease->expires > commit->now)
		left = lease->expires - commit->now;
	return pace_of(lease_time, server->leases.live, left,
		       hash_key(&server->leases.hash, key) + commit->now);
}

/* The monitor would refuse any change, until a reading comes; and each takes memory here, too. */
static bool is_full(struct server *server)
{
	bool full = server->book.changes.used >= changes_most(server->reading.head->peers);

	if (full)
		server_read(server, true);
	return full;
}

static void request_ip(struct commit *commit, struct session *session, uint32_t peer,
		       uint32_t lease)
{
	struct server *server = commit->server;
	struct decision decision;
	struct pace wish = { 0 };

	if (server->journal_broken || server->stopping) {
		refuse(session, REASON_LATER, STATUS_LATER);
		return;
	}
	decide(&server->book, peer, lease, &session->request, &decision);
	if (!reading_suffices(session, &decision, commit->now))
		return;
	if (decision.unsure) {
		wait_reading(session, commit->now + 1, false);
		return;
	}
	if (decision.new_address && is_full(server)) {
		refuse(session, REASON_LATER, STATUS_LATER);
		return;
	}
	if (!decision.granted[V4] && !decision.granted[V6]) {
		log_unavailable(session);
		answer(session, STATUS_UNAVAILABLE);
		return;
	}
	if (decision.ends[V4] || decision.ends[V6]) {
		/* An errno 4 that came only then would have changed something. */
		if (!store_room(server, server->session_count * CHANGE_RECORDS)) {
			refuse(session, REASON_LATER, STATUS_LATER);
			return;
		}
		claim(session, peer, &decision);
		end_first(session, lease, decision.ends,
			  is_retired(&session->request, &decision) ? REASON_RETIRED :
								     REASON_GIVEN_UP);
		return;
	}
	if (session->request.extended)
		wish = pace(commit, peer, lease, decision.lease_time);
	session->response = (struct response){
		.status = decision.status,
		.lease_start = time(NULL),
		.lease_time = decision.lease_time,
		.renew = wish.renew,
		.retry = wish.retry,
	};
	session->state = SESSION_COMMITTED;
	session->failed = false;
	if (!apply(commit, session, peer, lease, &decision)) {
		session->response = (struct response){ 0 };
		refuse(session, REASON_LATER, STATUS_LATER);
	}
}

static void consider(struct commit *commit, struct session *session)
{
	struct server *server = commit->server;
	uint32_t peer = identify(session, commit->now), lease;
	const struct lease *l;

	if (peer == DEVICE_NOBODY)
		return;
	if (!server->same_place) {
		refuse(session, REASON_LATER, STATUS_LATER);
		return;
	}
	lease = leases_find(&server->leases, server->reading.peers[peer].key);
	if (lease != LEASE_NONE) {
		reconcile_lease(server, lease, peer, false, commit->now);
		l = &server->leases.list[lease];
		if (l->flags & (LEASE_ENDING << V4 | LEASE_ENDING << V6)) {
			session_wait(session);
			session->lease = lease;
			return;
		}
	}
	if (session->request.command == COMMAND_RELEASE_IP)
		release(session, lease);
	else
		request_ip(commit, session, peer, lease);
}

/* One that could not be made good: told so, and what was new in it ends. */
static void fail(struct session *session, uint32_t lease)
{
	for (int v = V4; v < FAMILIES; ++v) {
		if (session->new_address[v])
			lease_end(session->server, lease, v, REASON_FAILED);
	}
	session->response = (struct response){ 0 };
	refuse(session, REASON_LATER, STATUS_LATER);
}

static void log_grant(struct session *session, uint32_t lease)
{
	struct server *server = session->server;
	bool fresh = session->new_address[V4] || session->new_address[V6], all = true;
	struct server_log_item *item;

	for (int v = V4; v < FAMILIES; ++v)
		all &= session->new_address[v] || !lease_holds(&server->leases.list[lease], v);
	if (!fresh) {
		++server->counters.renewals;
		return;
	}
	++server->counters.grants;
	item = server_log_lease(server, all ? EVENT_GRANTED : EVENT_CHANGED, lease);
	item->from = session->from;
}

/* Another request of the peer for the same address may have failed meanwhile: then it ends. */
static bool is_ending(const struct session *session, uint32_t lease)
{
	const struct lease *l = &session->server->leases.list[lease];
	bool ending = false;

	for (int v = V4; v < FAMILIES; ++v)
		ending |= session->response.ip[v].family &&
			  (!lease_holds(l, v) || l->flags & LEASE_ENDING << v);
	return ending;
}

void grant_finish(struct session *session, uint32_t lease)
{
	if (session->orders)
		return;
	if (session->failed || is_ending(session, lease)) {
		fail(session, lease);
	} else {
		log_grant(session, lease);
		if (session->response.status == STATUS_UNAVAILABLE)
			log_unavailable(session);
		calls_came(session, lease);
		session_answer(session);
	}
}

uint64_t grant_at(const struct server *server, uint64_t now)
{
	uint32_t ready = 0;

	for (const struct session *s = server->sessions; s; s = s->next)
		ready += s->state == SESSION_READY;
	if (!ready)
		return NEVER;
	if (ready >= server->awaiting || server->gather_until <= now || server->stopping)
		return 0;
	return server->gather_until;
}

void grant_all(struct server *server, uint64_t now)
{
	static struct commit commit; /* large, and used anew each time */
	struct session *session, *next;
	uint32_t awaiting;

	commit.server = server;
	commit.now = now;
	commit.count = 0;
	for (session = server->sessions; session; session = next) {
		next = session->next;
		if (session->state == SESSION_READY)
			consider(&commit, session);
	}
	if (!commit.count)
		return;
	if (!store_write(server)) {
		while (commit.count) {
			struct undo *undo = &commit.undo[--commit.count];

			undo_one(server, undo);
			undo->session->response = (struct response){ 0 };
			refuse(undo->session, REASON_LATER, STATUS_LATER);
		}
		return;
	}
	awaiting = server->awaiting;
	for (uint32_t i = 0; i < commit.count; ++i)
		order(&commit, &commit.undo[i]);
	orders_send(server);
	if (server->awaiting != awaiting)
		server->gather_until = now_ms() + GATHER_MS;
	if (!store_sync(server)) {
		for (uint32_t i = 0; i < commit.count; ++i)
			commit.undo[i].session->failed = true;
	}
	for (uint32_t i = 0; i < commit.count; ++i)
		grant_finish(commit.undo[i].session, commit.undo[i].lease);
}

void grant_fail(struct server *server, uint32_t lease)
{
	struct session *next;

	for (struct session *s = server->sessions; s; s = next) {
		next = s->next;
		if (s->state == SESSION_WAITING && s->lease == lease)
			refuse(s, REASON_LATER, STATUS_LATER);
	}
}

void grant_wake(struct server *server)
{
	const uint8_t ending = LEASE_ENDING << V4 | LEASE_ENDING << V6;

	for (struct session *s = server->sessions; s; s = s->next) {
		if (s->state != SESSION_WAITING)
			continue;
		if (s->reading_after && server->reading_began < s->reading_after)
			continue;
		if (s->lease != LEASE_NONE && server->leases.list[s->lease].flags & ending)
			continue;
		s->lease = LEASE_NONE;
		s->state = SESSION_READY;
	}
}
