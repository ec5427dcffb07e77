// SPDX-License-Identifier: MIT
/*
 * Decisions on addresses. The reading may be older than our own last changes of the device: a
 * lease knows its last change, and where that is later than the reading, the lease is right. What
 * was done to an address is known by itself, too: its last holders may have others by now.
 */

#include <netinet/in.h>
#include <string.h>

#include "allocate.h"

enum { PAST_TRIES = 1024 };

bool order_is_later(const struct book *book, uint32_t order)
{
	return order && (int32_t)(order - book->reading_stamp) > 0;
}

/* What we have done to this very address since the reading, or NULL. */
static const struct changed *later_change(const struct book *book, const struct cidr *ip)
{
	const struct changed *changed = changes_of(&book->changes, ip);

	return changed && order_is_later(book, changed->stamp) ? changed : NULL;
}

bool lease_grantable(const struct book *book, const struct lease *lease, int v)
{
	struct cidr ip;

	return !lease_holds(lease, v) || !lease_ip(lease, v, &ip) ||
	       (pools_find(book->pools, &ip) && !policy_forbids(book->policy, &ip, lease->key));
}

static const struct lease *lease_at(const struct book *book, uint32_t index)
{
	return index == LEASE_NONE ? NULL : &book->leases->list[index];
}

/*
 * Whether what the reading says is over, by our own orders since: the holder's address has been
 * taken back, or the peer that asks has been given it. All others are the administrator's.
 */
static bool outdated(const struct book *book, uint32_t peer, const struct device_ip *holder)
{
	const struct changed *changed = later_change(book, &holder->cidr);

	if (changed && changed->taken)
		peer = holder->peer;
	return changed && !memcmp(changed->key, book->reading->peers[peer].key, KEY_LEN);
}

const struct device_ip *foreign_holder(const struct book *book, uint32_t peer,
				       const struct cidr *ip)
{
	const struct device_ip *holder;
	struct cidr wider = *ip;

	holder = reading_holder(book->reading, ip, ip->prefix - 1, peer);
	/* Behind a peer that had it there may still be the host itself. */
	if (holder && holder->peer != DEVICE_SELF && outdated(book, peer, holder))
		holder = reading_holder(book->reading, ip, ip->prefix - 1, holder->peer);
	if (holder)
		return holder;
	--wider.prefix;
	return reading_holder(book->reading, &wider, pools_prefix(book->pools, ip), peer);
}

/* --- one family of one request --- */

struct search {
	const struct book *book;
	uint32_t peer;
	const uint8_t *key;
	uint32_t lease; /* the peer's own, or LEASE_NONE */
	uint64_t hash; /* of the key, once it is needed; 0: not yet */
};

/* Whether it is as good as leased to somebody else. */
static bool claimed(const struct search *search, const struct cidr *ip)
{
	const struct book *book = search->book;

	for (uint32_t i = 0; i < book->claim_count; ++i) {
		if (!cidr_compare(&book->claims[i].ip, ip) &&
		    memcmp(book->claims[i].key, search->key, KEY_LEN))
			return true;
	}
	return false;
}

static uint64_t blocked(void *data, const struct pool *pool, const struct cidr *ip)
{
	const struct search *search = data;
	const struct device_ip *holder;
	uint64_t excluded = pools_excluded(search->book->pools, ip);

	if (excluded)
		return excluded;
	/* In a bitmap these are marked already. */
	if (!pool->used && leases_owner(search->book->leases, ip) != LEASE_NONE)
		return 1;
	if (claimed(search, ip) || policy_forbids(search->book->policy, ip, search->key))
		return 1;
	holder = foreign_holder(search->book, search->peer, ip);
	return holder ? cidr_span(&holder->cidr, ip) : 0;
}

/* Whether the peer can have this very address, given that nobody else holds it by a lease. */
static bool available(const struct search *search, const struct cidr *ip)
{
	const struct book *book = search->book;
	const struct pool *pool = pools_find(book->pools, ip);
	uint32_t owner = leases_owner(book->leases, ip);
	int v = family_index(ip->family);

	if (!pool || pool_excludes(pool, ip) || claimed(search, ip) ||
	    policy_forbids(book->policy, ip, search->key))
		return false;
	if (owner != LEASE_NONE && owner != search->lease &&
	    lease_holds(&book->leases->list[owner], v))
		return false;
	return !foreign_holder(book, search->peer, ip);
}

/* Takes ip for *lowest if it is that, and can be had. */
static void lower(const struct search *search, int v, const struct cidr *ip, struct cidr *lowest)
{
	if (ip->family == family_of(v) && cidr_is_host(ip) &&
	    (!lowest->family || cidr_compare(ip, lowest) < 0) && available(search, ip))
		*lowest = *ip;
}

/*
 * The reservation: the lowest pool address in the peer's own allowed-ips, or of the file's. What we
 * have put in or taken out since the reading is none.
 */
static bool reserved(const struct search *search, int v, struct cidr *ip)
{
	const struct reading *reading = search->book->reading;
	const struct policy *policy = search->book->policy;
	const struct device_peer *peer = &reading->peers[search->peer];

	*ip = (struct cidr){ 0 };
	for (uint32_t i = 0; i < peer->count; ++i) {
		const struct cidr *allowed = &reading->ips[peer->first + i].cidr;

		if (!later_change(search->book, allowed))
			lower(search, v, allowed, ip);
	}
	for (uint32_t i = 0; policy->head && i < policy->head->reservations; ++i) {
		if (!memcmp(policy->reservations[i].key, search->key, KEY_LEN))
			lower(search, v, &policy->reservations[i].ip, ip);
	}
	return ip->family;
}

/* By the keyed hash of its key, or the next that is free. */
static bool derived(struct search *search, int v, struct cidr *ip)
{
	const struct pools *pools = search->book->pools;

	if (!search->hash)
		search->hash = siphash(search->book->leases->secret, search->key, KEY_LEN);
	for (uint32_t i = 0; i < pools->count; ++i) {
		if (pools->list[i].net.family == family_of(v) &&
		    pool_search(&pools->list[i], search->hash, ip, blocked, search))
			return true;
	}
	return false;
}

/* What has been unused for longest. */
static bool oldest(const struct search *search, int v, struct cidr *ip)
{
	const struct leases *leases = search->book->leases;
	uint32_t at = leases->oldest[v];

	for (int tries = 0; at != LEASE_NONE && tries < PAST_TRIES; ++tries) {
		lease_ip(&leases->list[at], v, ip);
		if (available(search, ip))
			return true;
		at = leases->list[at].newer[v]; /* NOLINT: it was looked at above */
	}
	return false;
}

static bool choose(struct search *search, int v, struct cidr *ip)
{
	const struct lease *lease = lease_at(search->book, search->lease);
	bool holds = lease && lease_holds(lease, v);

	/* What is held stays; once it has ended, the administrator's will comes first. */
	if (!holds && reserved(search, v, ip))
		return true;
	if (lease && lease_ip(lease, v, ip) && available(search, ip))
		return true;
	return (holds && reserved(search, v, ip)) || derived(search, v, ip) ||
	       oldest(search, v, ip);
}

/*
 * How it will be held: what stands in the peer's allowed-ips, and not by us, is reserved. What the
 * reading has there may have been taken out since; or, when it has gone through other hands before,
 * only the next reading tells.
 */
static enum holding holding_of(const struct search *search, int v, const struct cidr *ip,
			       bool *unsure)
{
	const struct book *book = search->book;
	const struct lease *own = lease_at(book, search->lease);
	const struct changed *changed = later_change(book, ip);
	struct cidr held;

	/* A reservation that is not there any more is put in by us, and then ours. */
	if (own && lease_holds(own, v) && lease_ip(own, v, &held) && !cidr_compare(&held, ip))
		return own->flags & LEASE_IN_DEVICE << v ? own->holding[v] : HOLDING_LEASED;
	if (!reading_has(book->reading, search->peer, ip))
		return HOLDING_LEASED;
	if (!changed)
		return HOLDING_RESERVED;
	*unsure |= !changed->taken || memcmp(changed->key, search->key, KEY_LEN);
	return HOLDING_LEASED;
}

/* Decides on family v; false when a wish can't be had. */
static bool decide_family(struct search *search, const struct request *request, int v,
			  struct decision *decision)
{
	const struct lease *lease = lease_at(search->book, search->lease);
	bool holds = lease && lease_holds(lease, v);
	struct cidr held = { 0 }, *ip = &decision->ip[v];

	if (holds)
		lease_ip(lease, v, &held);
	switch (request->wish[v]) {
	case WISH_NONE:
		decision->ends[v] = holds;
		return true;
	case WISH_ANY:
		/* Not asked for by name, and nothing to be had: not a refusal. */
		if (!request->listed && !holds && !pools_have(search->book->pools, v))
			return true;
		if (!choose(search, v, ip))
			return false;
		break;
	case WISH_THIS:
		*ip = request->ip[v];
		if (!available(search, ip))
			return false;
		break;
	}
	decision->granted[v] = true;
	decision->holding[v] = holding_of(search, v, ip, &decision->unsure);
	decision->ends[v] = holds && cidr_compare(&held, ip);
	decision->new_address |= !holds || decision->ends[v];
	return true;
}

void decide(const struct book *book, uint32_t peer, uint32_t lease, const struct request *request,
	    struct decision *decision)
{
	struct search search = {
		.book = book,
		.peer = peer,
		.key = book->reading->peers[peer].key,
		.lease = lease,
	};
	bool all = true;

	*decision = (struct decision){ .lease_time = book->lease_time };
	for (int v = V4; v < FAMILIES; ++v)
		all &= decide_family(&search, request, v, decision);
	if (!decision->granted[V4] && !decision->granted[V6]) {
		/* Nothing to give is a refusal, and a refusal changes nothing. */
		*decision = (struct decision){ .status = STATUS_UNAVAILABLE };
		return;
	}
	decision->status = all ? STATUS_OK : STATUS_UNAVAILABLE;
	/* With the other family it would be prolonged. */
	for (int v = V4; search.lease != LEASE_NONE && v < FAMILIES; ++v)
		decision->ends[v] |= !decision->granted[v] &&
				     !lease_grantable(book, lease_at(book, search.lease), v);
	if (request->lease_time >= LEASE_TIME_MIN && request->lease_time <= book->lease_time)
		decision->lease_time = request->lease_time;
}
