// SPDX-License-Identifier: MIT
/*
 * Both the reading and the set are sorted by key, so that a pass is a merge. Derived addresses are
 * the beginning of the key: two peers with the same one stand next to each other.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

enum { PASS_SLICE = 512, DERIVED = 8 /* bytes of the key */ };

/* --- the set --- */

static void add(struct given *given, const uint8_t *key, bool gone)
{
	uint32_t room = given->room ? 2 * given->room : 64;
	struct given_key *list = given->list;

	if (given->count == given->room) {
		list = reallocarray(given->list, room, sizeof(*list));
		/* As if it were not known: so it stays where it is. */
		if (!list)
			return;
		given->list = list;
		given->room = room;
	}
	list += given->count++;
	memcpy(list->key, key, KEY_LEN);
	list->gone = gone;
}

void link_locals_load(struct link_locals *l, const uint8_t key[static KEY_LEN], bool given)
{
	add(&l->given, key, !given);
}

void link_locals_clear(struct link_locals *l)
{
	l->given.count = l->next.count = l->at = 0;
	l->passing = false;
}

static int key_compare(const void *a, const void *b)
{
	return memcmp(a, b, KEY_LEN); /* the key comes first */
}

/* Of one key the later place in the list comes later. */
static int load_compare(const void *a, const void *b, void *list)
{
	const uint32_t *x = a, *y = b;
	const struct given_key *keys = list;
	int diff = memcmp(keys[*x].key, keys[*y].key, KEY_LEN);

	return diff ? diff : (*x > *y) - (*x < *y);
}

void link_locals_loaded(struct link_locals *l)
{
	struct given read = l->given;
	uint32_t *order = calloc(read.count + 1, sizeof(*order));

	l->given = (struct given){ 0 };
	for (uint32_t i = 0; order && i < read.count; ++i)
		order[i] = i;
	if (order)
		qsort_r(order, read.count, sizeof(*order), load_compare, read.list);
	for (uint32_t i = 0; order && i < read.count; ++i) {
		const struct given_key *key = &read.list[order[i]];

		if (i + 1 < read.count && !key_compare(key, &read.list[order[i + 1]]))
			continue;
		if (!key->gone)
			add(&l->given, key->key, false);
	}
	free(order);
	free(read.list);
}

uint32_t link_locals_count(const struct link_locals *l)
{
	return l->next.count + l->given.count - l->at;
}

const uint8_t *link_locals_key(const struct link_locals *l, uint32_t index)
{
	if (index < l->next.count)
		return l->next.list[index].key;
	return l->given.list[l->at + index - l->next.count].key;
}

static struct given_key *find(const struct given *given, const uint8_t *key)
{
	return given->count ? bsearch(key, given->list, given->count, sizeof(*given->list),
				      key_compare) :
			      NULL;
}

static void forget(const struct given *given, const uint8_t *key)
{
	struct given_key *found = find(given, key);

	if (found)
		found->gone = true;
}

bool link_locals_have(const struct link_locals *l, const uint8_t key[static KEY_LEN])
{
	const struct given_key *found = find(&l->next, key);

	if (found)
		return !found->gone;
	found = find(&l->given, key);
	return found && found >= l->given.list + l->at && !found->gone;
}

/* --- a pass --- */

/* What the pass has not come to stays as it is. */
static void pass_end(struct link_locals *l)
{
	struct given given = l->given;

	for (; l->at < given.count; ++l->at)
		add(&l->next, given.list[l->at].key, given.list[l->at].gone);
	l->given = l->next;
	l->next = given;
	l->next.count = l->at = 0;
	l->passing = false;
}

void link_locals_reading(struct server *server)
{
	struct link_locals *l = &server->link_locals;

	if (l->passing)
		pass_end(l);
	/*
	 * What we have changed since is not in the reading: the next one comes soon. And as long as
	 * the journal can't be written, it may lack some of those that are given.
	 */
	l->passing = (l->wanted || l->given.count) && !l->pending && !server->journal_broken &&
		     !order_is_later(&server->book, l->stamp);
	l->peer = l->clashes = 0;
	l->clash_sum = 0;
}

/* Beside this one, which may be NULL. */
static bool has_link_local(const struct reading *reading, uint32_t peer, const struct cidr *beside)
{
	const struct device_peer *p = &reading->peers[peer];

	for (uint32_t i = p->first; i < p->first + p->count; ++i) {
		const struct cidr *ip = &reading->ips[i].cidr;

		if (cidr_is_host(ip) && cidr_is_link_local(ip) &&
		    (!beside || cidr_compare(ip, beside)))
			return true;
	}
	return false;
}

static bool same_derived(const struct reading *reading, uint32_t a, uint32_t b)
{
	return b < reading->head->peers &&
	       !memcmp(reading->peers[a].key, reading->peers[b].key, DERIVED);
}

/* fe80:: itself, one that somebody has, or one that two would get. */
static bool clashes(const struct reading *reading, uint32_t peer, const struct cidr *ip)
{
	static const uint8_t zero[DERIVED];

	return !memcmp(ip->ip + sizeof(ip->ip) - DERIVED, zero, DERIVED) ||
	       reading_exact(reading, ip) || same_derived(reading, peer, peer + 1) ||
	       (peer && same_derived(reading, peer, peer - 1));
}

static void clash(struct link_locals *l, const uint8_t *key, const struct cidr *ip)
{
	uint64_t first;

	memcpy(&first, key, sizeof(first));
	l->clash_sum += first + 1;
	if (l->clashes++)
		return;
	memcpy(l->clash.key, key, KEY_LEN);
	l->clash.ip = *ip;
}

static void drop(struct server *server, const uint8_t *key)
{
	store_link_local(server, key, false);
}

/* False when the file may not take it: the records of a turn are written together. */
static bool record(struct server *server, const uint8_t *key)
{
	struct link_locals *l = &server->link_locals;

	/* These are short. */
	l->room = l->room || store_room(server, PASS_SLICE / 3);
	return l->room && store_link_local(server, key, true);
}

/* One peer of the reading; given: it is in the set. */
static void look(struct server *server, uint32_t peer, bool given)
{
	struct link_locals *l = &server->link_locals;
	const struct reading *reading = &server->reading;
	const uint8_t *key = reading->peers[peer].key;
	struct cidr ip;
	bool derived;

	cidr_derived(&ip, key);
	derived = reading_has(reading, peer, &ip);
	if (given && derived && !l->wanted && order_link_local(server, true, key, &ip))
		++l->taken;
	if (derived || !l->wanted || has_link_local(reading, peer, NULL)) {
		if (given && derived)
			add(&l->next, key, false);
		else if (given)
			drop(server, key);
		return;
	}
	if (clashes(reading, peer, &ip)) {
		clash(l, key, &ip);
		if (given)
			drop(server, key);
		return;
	}
	/*
	 * Recorded first: what a crash leaves in the device would be the administrator's. So what
	 * can't be recorded is not given.
	 */
	if (!given && !record(server, key))
		return;
	if (order_link_local(server, false, key, &ip))
		++l->added;
	add(&l->next, key, false);
}

static void log_pass(struct server *server)
{
	struct link_locals *l = &server->link_locals;
	struct server_log_item *item;

	if (l->added || l->taken) {
		item = server_log(server, EVENT_LINK_LOCALS);
		item->number = l->added;
		item->number2 = l->taken;
		l->added = l->taken = 0;
	}
	if (l->clash_sum != l->clash_told && l->clashes) {
		item = server_log(server, EVENT_LINK_LOCAL_CLASH);
		item->number = l->clashes;
		item->has_key = true;
		memcpy(item->key, l->clash.key, KEY_LEN);
		item->from = l->clash.ip;
	}
	l->clash_told = l->clash_sum;
}

uint64_t link_locals_turn(struct server *server)
{
	struct link_locals *l = &server->link_locals;
	const struct reading *reading = &server->reading;
	int diff;

	if (!l->passing || orders_busy(server))
		return NEVER;
	l->room = false;
	for (int i = 0; i < PASS_SLICE && l->peer < reading->head->peers; ++i) {
		diff = l->at == l->given.count ?
			       1 :
			       memcmp(l->given.list[l->at].key, reading->peers[l->peer].key,
				      KEY_LEN);
		if (diff < 0) { /* its peer is not there any more */
			drop(server, l->given.list[l->at++].key);
			continue;
		}
		look(server, l->peer++, !diff && !l->given.list[l->at].gone);
		l->at += !diff;
	}
	if (l->peer < reading->head->peers)
		return 0;
	for (int i = 0; l->at < l->given.count; ++i) {
		if (i == PASS_SLICE)
			return 0;
		drop(server, l->given.list[l->at++].key);
	}
	pass_end(l);
	log_pass(server);
	return NEVER;
}

void link_locals_missing(struct server *server)
{
	const struct link_locals *l = &server->link_locals;
	const struct reading *reading = &server->reading;
	uint32_t missing = 0, first = 0;
	struct server_log_item *item;
	struct cidr ours;

	for (uint32_t i = 0; !l->wanted && i < reading->head->peers; ++i) {
		const uint8_t *key = reading->peers[i].key;

		cidr_derived(&ours, key);
		/* What we gave once is being taken out. */
		if (!has_link_local(reading, i, link_locals_have(l, key) ? &ours : NULL) &&
		    !missing++)
			first = i;
	}
	if (!missing)
		return;
	item = server_log(server, EVENT_NO_LINK_LOCAL);
	item->number = missing;
	item->has_key = true;
	memcpy(item->key, reading->peers[first].key, KEY_LEN);
}

bool link_locals_ending(const struct server *server, const struct cidr *ip,
			const uint8_t key[static KEY_LEN])
{
	const struct link_locals *l = &server->link_locals;
	struct cidr derived;

	cidr_derived(&derived, key);
	return !l->wanted && !cidr_compare(&derived, ip) &&
	       (link_locals_have(l, key) || order_is_later(&server->book, l->stamp));
}

void link_locals_done(struct server *server, const struct device_change *change, bool take,
		      uint32_t stamp, int error)
{
	struct link_locals *l = &server->link_locals;

	l->stamp = stamp;
	--l->pending;
	if (error)
		return; /* the next pass tries again, but not at once */
	if (!l->pending)
		server_read(server, false); /* who asks from there is known then */
	if (!take)
		return;
	forget(&l->given, change->key);
	forget(&l->next, change->key);
	store_link_local(server, change->key, false);
}
