// SPDX-License-Identifier: MIT
/* Every order is refused unless there is a reason to allow it. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guard.h"
#include "journal.h"

enum {
	RETIRED = 64, /* room at first */
	TRIES = 5, /* to read the journal, while an engine writes to it */
};

static uint64_t most(const struct guard *guard)
{
	return changes_most(guard->reading.head ? guard->reading.head->peers : 0);
}

/* --- what the settings permit --- */

static int change_compare(const void *a, const void *b)
{
	const struct device_change *x = a, *y = b;
	int diff = cidr_compare(&x->ip, &y->ip);

	return diff ? diff : memcmp(x->key, y->key, KEY_LEN);
}

static bool is_retired(const struct guard *guard, const struct device_change *change)
{
	return guard->retired_count && bsearch(change, guard->retired, guard->retired_count,
					       sizeof(*guard->retired), change_compare);
}

/* Whether this peer could be granted the address. */
static bool is_granted(const struct guard *guard, const struct device_change *change)
{
	const struct pool *pool = pools_find(&guard->pools, &change->ip);

	return pool && !pool_excludes(pool, &change->ip) &&
	       (!guard->policy || !policy_forbids(guard->policy, &change->ip, change->key));
}

static bool is_permitted(const struct guard *guard, const struct device_change *change)
{
	return is_granted(guard, change) || is_retired(guard, change);
}

/* --- what was given, and would not be now --- */

/* Whether it is the link-local that is derived from the key, and may be anybody's. */
static bool is_derived(const struct device_change *change)
{
	static const uint8_t zero[8];
	struct cidr derived;

	cidr_derived(&derived, change->key);
	return !cidr_compare(&derived, &change->ip) && memcmp(change->key, zero, sizeof(zero));
}

struct scan {
	struct guard *guard;
	const struct guard *before; /* what was allowed; NULL: what was served */
	size_t room; /* of guard->retired */
	bool full, no_memory;
};

static void scan_header(void *data, const char *interface, const uint8_t *secret)
{
	(void)data;
	(void)interface;
	(void)secret;
}

/* Sorts them, each once: the journal has a line for each renewal. */
static void merge(struct guard *guard)
{
	struct device_change *list = guard->retired;
	size_t kept = 0;

	if (guard->retired_count)
		qsort(list, guard->retired_count, sizeof(*list), change_compare);
	for (size_t i = 0; i < guard->retired_count; ++i) {
		if (!kept || change_compare(&list[kept - 1], &list[i]))
			list[kept++] = list[i];
	}
	guard->retired_count = kept;
}

/*
 * Room for as many again as there are. A journal that has more than there can be is not that of an
 * engine in its right mind, and what is too much does not count.
 */
static void make_room(struct scan *scan)
{
	struct guard *guard = scan->guard;
	struct device_change *list;
	size_t room;

	merge(guard);
	room = guard->retired_count ? 2 * guard->retired_count : RETIRED;
	scan->full = guard->retired_count >= most(guard);
	if (scan->full || room <= scan->room)
		return;
	list = reallocarray(guard->retired, room, sizeof(*list));
	if (list) {
		guard->retired = list;
		scan->room = room;
	}
	scan->no_memory = !list;
}

static void retire(struct scan *scan, const struct device_change *change)
{
	struct guard *guard = scan->guard;

	if (guard->retired_count >= scan->room && !scan->full && !scan->no_memory)
		make_room(scan);
	if (guard->retired_count < scan->room && !scan->full && !scan->no_memory)
		guard->retired[guard->retired_count++] = *change;
}

/* On another device every link-local is the administrator's. */
static void scan_start(void *data, const struct journal_start *start)
{
	struct guard *guard = ((struct scan *)data)->guard;
	size_t kept = 0;

	(void)start;
	for (size_t i = 0; i < guard->retired_count; ++i) {
		if (!is_derived(&guard->retired[i]))
			guard->retired[kept++] = guard->retired[i];
	}
	guard->retired_count = kept;
}

static void scan_link_local(void *data, const uint8_t *key, bool given)
{
	struct scan *scan = data;
	struct device_change change;

	memcpy(change.key, key, KEY_LEN);
	cidr_derived(&change.ip, key);
	if (given && !scan->guard->link_locals &&
	    (scan->before ? scan->before->link_locals || is_retired(scan->before, &change) :
			    scan->guard->served.link_locals))
		retire(scan, &change);
}

static void scan_lease(void *data, const struct journal_lease *lease)
{
	struct scan *scan = data;
	struct device_change change;

	memcpy(change.key, lease->key, KEY_LEN);
	for (int v = V4; v < FAMILIES; ++v) {
		change.ip = lease->ip[v];
		if (lease->holding[v] >= HOLDING_LEASED && !is_granted(scan->guard, &change) &&
		    !is_derived(&change) &&
		    (scan->before ? is_permitted(scan->before, &change) :
				    served_has(&scan->guard->served, &change.ip)))
			retire(scan, &change);
	}
}

/* What is served from now on, and of what was before only what a lease still needs. */
static void serve(struct guard *guard)
{
	const struct served before = guard->served;
	const struct device_change *list = guard->retired;
	struct served *served = &guard->served;

	*served = (struct served){ .link_locals = guard->link_locals };
	for (uint32_t i = 0; i < guard->pools.count; ++i)
		served_add(served, &guard->pools.list[i].net);
	for (size_t i = 0; i < guard->retired_count; ++i) {
		served->link_locals |= is_derived(&list[i]);
		for (uint32_t j = 0; j < before.count && !served_has(served, &list[i].ip); ++j) {
			if (cidr_contains(&before.nets[j], &list[i].ip))
				served_add(served, &before.nets[j]);
		}
	}
}

static int scan_journal(struct guard *guard, const struct guard *before, int journal_fd)
{
	struct scan scan = { .guard = guard, .before = before, .room = guard->retired_count };
	const struct journal_reader reader = { scan_header, scan_start, scan_lease,
					       scan_link_local, NULL, &scan };
	struct journal_result result;
	int tries = TRIES, ret;

	/* A record may be written over room that has been read already: that looks like damage. */
	do
		ret = journal_replay(journal_fd, &reader, &result);
	while (ret == -EILSEQ && --tries);
	merge(guard);
	if (!scan.no_memory && !ret)
		serve(guard);
	return scan.no_memory ? -ENOMEM : ret;
}

int guard_retired(struct guard *guard, int journal_fd)
{
	return scan_journal(guard, NULL, journal_fd);
}

int guard_reload(struct guard *guard, const struct pools *pools, const struct policy *policy,
		 bool link_locals, int journal_fd)
{
	const struct guard before = *guard;
	int ret;

	guard->pools = *pools;
	guard->policy = policy;
	guard->link_locals = link_locals;
	guard->retired = NULL;
	guard->retired_count = 0;
	ret = scan_journal(guard, &before, journal_fd);
	if (ret) {
		free(guard->retired);
		*guard = before;
	} else {
		free(before.retired);
	}
	return ret;
}

void guard_adopt(struct guard *guard, const struct reading *reading, uint32_t stamp)
{
	reading_unmap(&guard->reading);
	guard->reading = *reading;
	changes_forget(&guard->changes, stamp);
}

/* --- judgement --- */

/* Whether it is an address that may be leased at all, and nothing stands behind its bytes. */
static bool is_address(const struct cidr *ip)
{
	struct cidr masked = *ip;

	cidr_mask(&masked);
	return cidr_is_host(ip) && !cidr_compare(ip, &masked) && cidr_is_assignable(ip);
}

static bool is_ours(const struct changed *done, const struct device_change *change)
{
	return !done->taken && !memcmp(done->key, change->key, sizeof(done->key));
}

/* One that nobody has, for as long as they are given at all. */
static int allow_link_local(const struct guard *guard, const struct device_change *change)
{
	const struct changed *done = changes_of(&guard->changes, &change->ip);
	uint32_t peer = reading_peer(&guard->reading, change->key);
	const struct device_ip *holder = reading_exact(&guard->reading, &change->ip);

	if (!guard->link_locals)
		return EPERM;
	if (peer == DEVICE_NOBODY)
		return ESRCH;
	if (done ? !done->taken && !is_ours(done, change) : holder && holder->peer != peer)
		return EADDRINUSE;
	return 0;
}

/* An engine that gives away ever more addresses must wait for a reading, which counts anew. */
static bool is_full(const struct guard *guard)
{
	return guard->changes.used >= most(guard);
}

int guard_allow(const struct guard *guard, const struct device_change *change)
{
	const struct cidr *ip = &change->ip;
	const struct changed *done;
	const struct device_ip *holder;
	struct cidr wider = *ip;
	uint32_t peer;

	if (is_full(guard))
		return EAGAIN;
	if (is_derived(change))
		return allow_link_local(guard, change);
	if (!is_address(ip))
		return EINVAL;
	if (!is_permitted(guard, change))
		return EPERM;
	peer = reading_peer(&guard->reading, change->key);
	if (peer == DEVICE_NOBODY)
		return ESRCH;
	done = changes_of(&guard->changes, ip);
	holder = reading_holder(&guard->reading, ip, ip->prefix - 1, peer);
	/* Behind a peer that had it there may still be the host itself. */
	if (done && holder && holder->peer != DEVICE_SELF)
		holder = reading_holder(&guard->reading, ip, ip->prefix - 1, holder->peer);
	if (holder && holder->peer == DEVICE_SELF)
		return EADDRINUSE;
	if (done ? !done->taken && !is_ours(done, change) : holder != NULL)
		return EADDRINUSE;
	--wider.prefix;
	if (reading_holder(&guard->reading, &wider, pools_prefix(&guard->pools, ip), peer))
		return EADDRINUSE;
	return 0;
}

int guard_take(const struct guard *guard, const struct device_change *change)
{
	const struct changed *done;
	bool holds;

	if (!is_derived(change) && !is_address(&change->ip))
		return EINVAL;
	done = changes_of(&guard->changes, &change->ip);
	holds = done ? is_ours(done, change) :
		       reading_has(&guard->reading, reading_peer(&guard->reading, change->key),
				   &change->ip);
	/* What is not there can't be done wrong: the engine may not know yet of other pools. */
	if (!holds)
		return EALREADY;
	return pools_find(&guard->pools, &change->ip) || is_retired(guard, change) ? 0 : EPERM;
}
