// SPDX-License-Identifier: MIT
/*
 * New settings, and those whom they concern. A client that asked to be called is called when it
 * would be given something else now, or might be, after a start with other settings; and again if
 * it does not come. A datagram says nothing but that. Sleepers are not woken, but called when they
 * are awake. First calls are spread over up to two seconds, so that the answers to them are, too.
 */

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "engine.h"

enum {
	PER_MS = 5, /* first calls in a millisecond */
	SPREAD_MS = 2000, /* but all of them by then */
	AGAIN_MS = 1000, /* from one call of a client to its next */
	TICK_MS = 20,
	SLEEPS_S = 180, /* without a handshake for so long, WireGuard would need a new one */
};

/* --- settings --- */

static void digest_add(uint64_t *digest, const void *bytes, size_t len)
{
	uint8_t key[16] = { 0 };

	memcpy(key, digest, sizeof(*digest));
	*digest = siphash(key, bytes, len);
}

/* Of all that decides what a peer gets, but for the device; not of lines of the file. */
static uint64_t digest_of(const struct server_settings *message, const struct policy *policy)
{
	const struct policy_head *head = policy->head;
	uint64_t digest = message->pools;

	digest_add(&digest, message->nets, message->head.count * sizeof(*message->nets));
	digest_add(&digest, policy->peers, head->peers * sizeof(*policy->peers));
	digest_add(&digest, policy->text, head->text);
	for (uint32_t i = 0; i < head->reservations; ++i) {
		digest_add(&digest, policy->reservations[i].key, KEY_LEN);
		digest_add(&digest, &policy->reservations[i].ip, sizeof(struct cidr));
	}
	return digest;
}

static void mark_lease(struct server *server, struct lease *lease)
{
	lease->flags |= LEASE_CALL;
	lease->flags &= ~LEASE_CALLED;
	server->calls.marked = true;
}

enum compared { UNKNOWN, SAME, ELSE };

static bool differs(const char *before, uint32_t before_len, const char *now, uint32_t now_len,
		    uint32_t want)
{
	static struct options x, y; /* large */

	if (before_len == now_len && !memcmp(before, now, now_len))
		return false;
	memset(&x, 0, sizeof(x));
	memset(&y, 0, sizeof(y));
	settings_decode(&x, before, before_len);
	settings_decode(&y, now, now_len);
	options_clear(&x, ~want);
	options_clear(&y, ~want);
	return !options_equal(&x, &y);
}

/*
 * Most peers have no section of their own: what holds for one of these holds for all who want the
 * same, and to find out takes a tenth of a millisecond.
 */
static bool gets_else(const struct policy *before, const struct policy *now,
		      const struct lease *lease, enum compared common[static WANT_ALL + 1])
{
	enum compared alone = UNKNOWN, *known;
	uint32_t a_len, b_len;
	bool a_own, b_own;
	const char *a = policy_text(before, lease->key, &a_len, &a_own);
	const char *b = policy_text(now, lease->key, &b_len, &b_own);

	known = a_own || b_own ? &alone : &common[lease->want & WANT_ALL];
	if (*known == UNKNOWN)
		*known = differs(a, a_len, b, b_len, lease->want) ? ELSE : SAME;
	return *known == ELSE;
}

/* Marks who gets something else than with this policy, and these families of pools. */
static void mark(struct server *server, const struct policy *before, const bool *had)
{
	enum compared common[WANT_ALL + 1] = { UNKNOWN };

	for (uint32_t i = 0; i < server->leases.count; ++i) {
		struct lease *lease = &server->leases.list[i];
		bool call = false;

		if (!(lease->want & WANT_CALL) || !lease_holds(lease, FAMILIES))
			continue;
		for (int v = V4; v < FAMILIES; ++v)
			call |= !lease_grantable(&server->book, lease, v) ||
				(!had[v] && pools_have(&server->pools, v));
		if (call || gets_else(before, &server->policy, lease, common))
			mark_lease(server, lease);
	}
}

bool settings_came(struct server *server, const struct server_settings *message, int fd)
{
	const bool had[FAMILIES] = { pools_have(&server->pools, V4),
				     pools_have(&server->pools, V6) };
	struct policy before = server->policy, policy = { 0 };
	struct pools pools = { 0 };
	uint32_t nets = message->head.count;

	if (fd < 0 || message->pools > nets || policy_map(&policy, fd))
		return false;
	for (uint32_t i = 0; i < message->pools; ++i)
		pools_add_cidr(&pools, &message->nets[i]);
	for (uint32_t i = message->pools; i < nets && pools.excludes < EXCLUDES; ++i)
		pools.exclude[pools.excludes++] = message->nets[i];
	server->policy = policy;
	server->digest = digest_of(message, &policy);
	server->link_locals.wanted = message->link_locals;
	server->book.lease_time = message->lease_time;
	memcpy(server->config, message->config, sizeof(server->config));
	if (!pools_replace(&server->pools, &pools) || !leases_refill(&server->leases))
		return false;
	mark(server, &before, had);
	if (server->ready)
		store_settings(server);
	policy_unmap(&before);
	return true;
}

void calls_came(struct session *session, uint32_t lease)
{
	static struct options options; /* used up by the answer at once */
	struct server *server = session->server;

	server->leases.list[lease].flags &= ~(LEASE_CALL | LEASE_CALLED);
	if (!(session->request.want & ~WANT_CALL))
		return;
	policy_options(&server->policy, server->leases.list[lease].key, &options);
	session->response.options = &options;
}

/* --- calls --- */

static void calls_end(struct calls *calls)
{
	free(calls->leases);
	*calls = (struct calls){ .fd = calls->fd, .marked = calls->marked };
}

/* The peer of a lease that is to be called and does not sleep, or NULL. */
static const struct device_peer *awake(const struct server *server, const struct lease *lease,
				       uint64_t now)
{
	const struct reading *reading = &server->reading;
	uint32_t at;

	/* Also one whose lease has ended, but not an index that is unused by now. */
	if (!(lease->flags & LEASE_CALL) || (!lease->holding[V4] && !lease->holding[V6]))
		return NULL;
	at = reading_peer(reading, lease->key);
	if (at == DEVICE_NOBODY ||
	    reading->peers[at].handshake + (now - server->reading_began) / 1000 >= SLEEPS_S)
		return NULL;
	return &reading->peers[at];
}

/* again: also those that have been called, and not come. */
static void calls_begin(struct server *server, bool again, uint64_t now)
{
	const struct leases *leases = &server->leases;
	struct calls *calls = &server->calls;

	calls_end(calls);
	if (calls->fd >= 0 && calls->marked)
		calls->leases = calloc(leases->count + 1, sizeof(*calls->leases));
	if (!calls->leases)
		return;
	calls->marked = false;
	for (uint32_t i = 0; i < leases->count; ++i) {
		const struct lease *lease = &leases->list[i];

		calls->marked |= (lease->flags & LEASE_CALL) != 0;
		if (again ? lease->flags & LEASE_CALL :
			    !(lease->flags & LEASE_CALLED) && awake(server, lease, now))
			calls->leases[calls->count++] = i;
	}
	calls->began = now;
	calls->spread = calls->count / PER_MS < SPREAD_MS ? calls->count / PER_MS : SPREAD_MS;
}

void calls_released(struct server *server, uint32_t lease)
{
	if (!(server->leases.list[lease].want & WANT_CALL))
		return;
	mark_lease(server, &server->leases.list[lease]);
	calls_begin(server, true, now_ms());
}

void calls_start(struct server *server)
{
	for (uint32_t i = 0; i < server->leases.count; ++i) {
		struct lease *lease = &server->leases.list[i];

		/* What it had got before nobody knows: that it may be something else is enough. */
		if (server->served_known && server->served != server->digest &&
		    lease->want & WANT_CALL && lease_holds(lease, FAMILIES))
			mark_lease(server, lease);
	}
	store_settings(server);
	calls_reading(server);
}

void calls_reading(struct server *server)
{
	if (!server->calls.leases)
		calls_begin(server, false, now_ms());
}

/* False when the socket takes no more now. */
static bool call(struct server *server, const struct cidr *ip)
{
	static const char text[] = "call=1\n\n";
	struct sockaddr_in6 to = {
		.sin6_family = AF_INET6,
		.sin6_port = htons(PROTOCOL_PORT),
		.sin6_scope_id = server->ifindex,
	};

	memcpy(&to.sin6_addr, ip->ip, sizeof(to.sin6_addr));
	if (sendto(server->calls.fd, text, sizeof(text) - 1, MSG_NOSIGNAL, (struct sockaddr *)&to,
		   sizeof(to)) < 0)
		return errno != EAGAIN && errno != ENOBUFS;
	++server->counters.calls;
	return true;
}

/* Calls the peer of a lease, at each link-local that it may have, if it's still to be called. */
static bool call_lease(struct server *server, uint32_t index, uint64_t now)
{
	struct lease *lease = &server->leases.list[index];
	const struct device_peer *peer = awake(server, lease, now);
	bool sent = true;

	for (uint32_t i = 0; peer && sent && i < peer->count; ++i) {
		const struct cidr *ip = &server->reading.ips[peer->first + i].cidr;

		if (cidr_is_host(ip) && cidr_is_link_local(ip)) {
			sent = call(server, ip);
			if (sent)
				lease->flags |= LEASE_CALLED;
		}
	}
	return sent;
}

/* How many of the calls of this round are due. */
static uint32_t due(const struct calls *calls, int round, uint64_t now)
{
	uint64_t begin = calls->began + round * AGAIN_MS;

	if (now < begin)
		return 0;
	return now >= begin + calls->spread ? calls->count :
	       (now - begin) * calls->count / calls->spread;
}

/* A reload is done when a reading has been compared with all leases, and what it took is there. */
static void reload_turn(struct server *server, uint64_t now)
{
	if (!server->reload_at || server->reading_began < server->reload_at ||
	    server->sweep != LEASE_NONE || server->link_locals.passing)
		return;
	if (!server->reload_ordered) {
		server->reload_order = server->order;
		link_locals_missing(server); /* while it is known which ones are being taken out */
	}
	server->reload_ordered = true;
	if (orders_pending(server, server->reload_order))
		return;
	server->reload_at = 0;
	++server->counters.reloads[server->reload_refused];
	calls_begin(server, true, now);
}

uint64_t calls_turn(struct server *server, uint64_t now)
{
	struct calls *calls = &server->calls;

	reload_turn(server, now);
	for (int round = 0; calls->leases && round < CALLS; ++round) {
		uint32_t end = due(calls, round, now);

		while (calls->done[round] < end &&
		       call_lease(server, calls->leases[calls->done[round]], now))
			++calls->done[round];
	}
	if (!calls->leases)
		return NEVER;
	if (calls->done[CALLS - 1] < calls->count)
		return now + TICK_MS;
	calls_end(calls);
	return NEVER;
}
