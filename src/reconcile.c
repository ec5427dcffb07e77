// SPDX-License-Identifier: MIT
/*
 * Leases and device are made to agree: what is leased is in its peer's allowed-ips, what has ended
 * is not, and the administrator wins wherever he has decided otherwise.
 */

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine.h"

enum {
	RETRY_END_MS = 1000,
	SWEEP_CLOCK = 8, /* leases, after which a turn in which a millisecond went by ends */
	EXPIRE_SLICE = 1024,
};

/* How long the last address of a peer that is gone is remembered. */
#define FORGET_MS (UINT64_C(30) * 24 * 3600 * 1000)

/* --- orders --- */

static struct batch *batch_for(struct batch **list, bool take)
{
	struct batch *batch = *list;

	if (batch && batch->orders.head.count < DEVICE_BATCH)
		return batch;
	batch = malloc(sizeof(*batch));
	if (!batch)
		return NULL;
	batch->take = take;
	batch->orders.head = (struct message){ .type = take ? SERVER_TAKE : SERVER_ALLOW };
	batch->next = *list;
	*list = batch;
	return batch;
}

static struct device_change *order_new(struct server *server, bool take, uint32_t index,
				       enum server_reason reason, struct session *session)
{
	struct batch *batch = batch_for(take ? &server->take : &server->allow, take);
	uint32_t at;

	if (!batch)
		return NULL;
	at = batch->orders.head.count++;
	batch->lease[at] = index;
	batch->session[at] = session;
	batch->reason[at] = reason;
	return &batch->orders.changes[at];
}

static bool order_add(struct server *server, bool take, uint32_t index, int v,
		      enum server_reason reason, struct session *session)
{
	struct device_change *change = order_new(server, take, index, reason, session);
	const struct lease *lease = &server->leases.list[index];

	if (!change)
		return false;
	memcpy(change->key, lease->key, KEY_LEN);
	lease_ip(lease, v, &change->ip);
	return true;
}

bool order_allow(struct server *server, uint32_t lease, int v, struct session *session)
{
	return order_add(server, false, lease, v, REASON_NONE, session);
}

bool order_link_local(struct server *server, bool take, const uint8_t key[static KEY_LEN],
		      const struct cidr *ip)
{
	struct device_change *change = order_new(server, take, LEASE_NONE, REASON_NONE, NULL);

	if (!change)
		return false;
	memcpy(change->key, key, KEY_LEN);
	change->ip = *ip;
	++server->link_locals.pending;
	return true;
}

/*
 * What is known of the device between an order and the reading that shows what came of it. Without
 * memory for that, the engine ends: the next one waits for a reading.
 */
static void note(struct server *server, const struct batch *batch, uint32_t i, uint32_t stamp)
{
	if (batch->lease[i] == LEASE_NONE)
		return;
	server->leases.list[batch->lease[i]].order = stamp;
	if (changes_reserve(&server->book.changes, 1))
		changes_note(&server->book.changes, &batch->orders.changes[i], batch->take, stamp);
	else
		server->loop.stop = true;
}

static void list_send(struct server *server, struct batch **list)
{
	struct batch *batch;

	while ((batch = *list)) {
		uint32_t count = batch->orders.head.count;

		*list = batch->next;
		batch->orders.order = ++server->order;
		/* Later than any reading, until it is done. */
		for (uint32_t i = 0; i < count; ++i)
			note(server, batch, i, server->book.reading_stamp + INT32_MAX);
		server->taking += batch->take;
		batch->next = server->batches;
		server->batches = batch;
		/* What can't be sent ends the engine: the monitor would not know of it. */
		if (channel_send(&server->channel, &batch->orders.head,
				 SERVER_LENGTH(&batch->orders, changes), -1))
			server->loop.stop = true;
	}
}

void orders_send(struct server *server)
{
	/* What is put back and ends in the same turn has come to that in this order, too. */
	list_send(server, &server->allow);
	list_send(server, &server->take);
}

bool orders_busy(const struct server *server)
{
	return server->taking >= BATCHES || server->channel.queued >= BATCHES;
}

bool orders_pending(const struct server *server, uint32_t order)
{
	const struct batch *batch = server->batches;

	while (batch && (int32_t)(batch->orders.order - order) > 0)
		batch = batch->next;
	return batch;
}

void orders_drop(struct server *server)
{
	struct batch *batch;

	while ((batch = server->allow)) {
		server->allow = batch->next;
		for (uint32_t i = 0; i < batch->orders.head.count; ++i)
			server->link_locals.pending -= batch->lease[i] == LEASE_NONE;
		free(batch);
	}
}

/* Whether the order still speaks of what the lease has now. */
static bool order_stands(const struct server *server, const struct batch *batch, uint32_t i)
{
	const struct lease *lease = &server->leases.list[batch->lease[i]];
	const struct cidr *ip = &batch->orders.changes[i].ip;
	struct cidr own;

	return !memcmp(lease->key, batch->orders.changes[i].key, KEY_LEN) &&
	       lease_ip(lease, family_index(ip->family), &own) && !cidr_compare(&own, ip);
}

/* Both addresses of a lease mostly end one right after the other: that is one line of the log. */
static void log_end(struct server *server, const struct lease *lease, const struct cidr *ip,
		    enum server_reason reason)
{
	int v = family_index(ip->family);
	uint32_t count = server->log.head.count;
	struct server_log_item *item = count ? &server->log.items[count - 1] : NULL;

	if (!item || item->event != EVENT_ENDED || item->reason != reason || item->ip[v].family ||
	    memcmp(item->key, lease->key, KEY_LEN)) {
		item = server_log(server, EVENT_ENDED);
		item->reason = reason;
		item->has_key = true;
		item->lease_time = lease->time;
		memcpy(item->key, lease->key, KEY_LEN);
	}
	item->ip[v] = *ip;
}

static void ended(struct server *server, uint32_t index, int v, enum server_reason reason)
{
	struct lease *lease = &server->leases.list[index];
	struct cidr ip;

	lease_ip(lease, v, &ip);
	log_end(server, lease, &ip, reason);
	/* A reservation stays in; all else has been taken out, and must be put in again. */
	if (lease->holding[v] != HOLDING_RESERVED)
		lease->flags &= ~(LEASE_IN_DEVICE << v);
	leases_set_ending(&server->leases, index, v, false);
	/* When it ended matters once nothing is held any more. */
	leases_set(&server->leases, index, HOLDING_PAST, &ip);
	if (!lease_holds(lease, FAMILIES)) {
		lease->expires = now_ms();
		++server->counters.reasons[reason];
		if (reason == REASON_ADMIN)
			calls_released(server, index);
	}
	store_lease(server, index);
}

static void allow_done(struct server *server, const struct batch *batch, uint32_t i, int error)
{
	int v = family_index(batch->orders.changes[i].ip.family);
	struct session *session = batch->session[i];
	uint32_t index = batch->lease[i];

	if (!error && order_stands(server, batch, i))
		server->leases.list[index].flags |= LEASE_IN_DEVICE << v;
	if (!session)
		return;
	if (!--session->orders)
		--server->awaiting;
	session->failed |= error != 0;
	grant_finish(session, index);
}

static void take_done(struct server *server, const struct batch *batch, uint32_t i, int error)
{
	int v = family_index(batch->orders.changes[i].ip.family);
	uint32_t index = batch->lease[i];

	if (!order_stands(server, batch, i) ||
	    !(server->leases.list[index].flags & LEASE_ENDING << v))
		return;
	if (!error) {
		ended(server, index, v, batch->reason[i]);
		return;
	}
	/* It goes on; if its time is over, that is tried again in a while. */
	leases_set_ending(&server->leases, index, v, false);
	if (server->leases.list[index].expires < now_ms() + RETRY_END_MS)
		leases_expire_at(&server->leases, index, now_ms() + RETRY_END_MS);
	grant_fail(server, index);
}

void orders_done(struct server *server, const struct server_done *done)
{
	struct batch **at = &server->batches, *batch;
	int error = 0;

	while (*at && (*at)->orders.order != done->order)
		at = &(*at)->next;
	batch = *at;
	if (!batch || batch->orders.head.count != done->head.count)
		return;
	*at = batch->next;
	server->taking -= batch->take;
	for (uint32_t i = 0; i < done->head.count; ++i) {
		if (done->errors[i])
			error = done->errors[i];
		if (batch->lease[i] == LEASE_NONE) {
			link_locals_done(server, &batch->orders.changes[i], batch->take,
					 done->stamp, done->errors[i]);
			continue;
		}
		note(server, batch, i, done->stamp);
		if (batch->take)
			take_done(server, batch, i, done->errors[i]);
		else
			allow_done(server, batch, i, done->errors[i]);
	}
	if (error)
		server_log(server, EVENT_DEVICE)->error = error;
	free(batch);
	grant_wake(server);
}

/* --- ends --- */

void lease_end(struct server *server, uint32_t index, int v, enum server_reason reason)
{
	struct lease *lease = &server->leases.list[index];

	if (!lease_holds(lease, v) || lease->flags & LEASE_ENDING << v)
		return;
	leases_set_ending(&server->leases, index, v, true);
	/* What is the administrator's stays; what has no peer any more is nowhere. */
	if (lease->holding[v] == HOLDING_RESERVED || reason == REASON_PEER_GONE)
		ended(server, index, v, reason);
	else if (!order_add(server, true, index, v, reason, NULL))
		leases_set_ending(&server->leases, index, v, false);
}

uint64_t leases_turn(struct server *server, uint64_t now)
{
	uint32_t index, next;
	const struct lease *lease;

	if (!server->same_place)
		return NEVER;
	for (int i = 0; i < EXPIRE_SLICE && server->taking < BATCHES; ++i) {
		index = leases_next(&server->leases);
		if (index == LEASE_NONE)
			return NEVER;
		lease = &server->leases.list[index];
		if (lease->expires > now)
			return lease->expires;
		for (int v = V4; v < FAMILIES; ++v)
			lease_end(server, index, v, REASON_EXPIRED);
		next = leases_next(&server->leases);
		/* Without memory for an order it would come up again at once. */
		if (next == index)
			leases_expire_at(&server->leases, index, now + RETRY_END_MS);
	}
	return server->taking < BATCHES ? 0 : NEVER;
}

/* --- comparing --- */

/* A peer that is on the device no more: when two readings have missed it. */
static void reconcile_absent(struct server *server, uint32_t index, uint64_t now)
{
	struct lease *lease = &server->leases.list[index];
	struct journal_lease record = { .at = now };

	if (!lease_holds(lease, FAMILIES)) {
		if (lease->expires + FORGET_MS > now)
			return;
		memcpy(record.key, lease->key, KEY_LEN);
		store_record(server, &record);
		/* The second makes the index unused. */
		if (lease->holding[V4] && lease->holding[V6])
			leases_forget(&server->leases, index, V4);
		leases_forget(&server->leases, index, lease->holding[V6] ? V6 : V4);
		return;
	}
	if (!server->sweep_marks)
		return;
	if (!(lease->flags & LEASE_ABSENT)) {
		lease->flags |= LEASE_ABSENT;
		server->absent_seen = true;
		return;
	}
	lease_end(server, index, V4, REASON_PEER_GONE);
	lease_end(server, index, V6, REASON_PEER_GONE);
}

static void put_back_address(struct server *server, uint32_t index, int v)
{
	struct lease *lease = &server->leases.list[index];
	struct server_log_item *item;
	struct cidr ip;

	/*
	 * The administrator has it there no more: it is ours now, to be taken out at the end. On
	 * disk before it is put in, for what a crash leaves there would be his again.
	 */
	if (lease->holding[v] == HOLDING_RESERVED && lease_ip(lease, v, &ip)) {
		leases_set(&server->leases, index, HOLDING_LEASED, &ip);
		if (!store_lease(server, index) || !store_write(server) || !store_sync(server)) {
			leases_set(&server->leases, index, HOLDING_RESERVED, &ip);
			return;
		}
	}
	if (!order_allow(server, index, v, NULL))
		return;
	item = server_log_lease(server, EVENT_PUT_BACK, index);
	item->ip[!v].family = 0;
}

void reconcile_lease(struct server *server, uint32_t index, uint32_t peer, bool put_back,
		     uint64_t now)
{
	struct lease *lease = &server->leases.list[index];
	struct cidr ip;

	lease->flags &= ~LEASE_ABSENT;
	/* What we have changed since is not in the reading. */
	if (order_is_later(&server->book, lease->order))
		return;
	lease->order = 0; /* what the reading has needs no stamp, which would wrap some day */
	for (int v = V4; v < FAMILIES; ++v) {
		if (!lease_ip(lease, v, &ip) || lease->flags & LEASE_ENDING << v)
			continue;
		lease->flags &= ~(LEASE_IN_DEVICE << v);
		if (reading_has(&server->reading, peer, &ip))
			lease->flags |= LEASE_IN_DEVICE << v;
		if (!lease_holds(lease, v))
			continue;
		if (foreign_holder(&server->book, peer, &ip))
			lease_end(server, index, v, REASON_TAKEN);
		else if (!(lease->flags & LEASE_IN_DEVICE << v) && put_back && lease->expires > now)
			put_back_address(server, index, v);
	}
}

/*
 * On a device that the journal does not know, all that stands is the administrator's, also where
 * it is just what was leased to the same peer. Until the journal says that it knows it, nothing may
 * be changed there: what we put in would be taken for his by the next start. Returns whether it
 * does.
 */
static bool adopt_device(struct server *server)
{
	const struct reading *reading = &server->reading;
	struct lease *lease;
	uint32_t index;

	if (server->same_place)
		return true;
	for (uint32_t i = 0; i < reading->head->ips; ++i) {
		const struct device_ip *ip = &reading->ips[i];

		if (ip->peer == DEVICE_SELF || !cidr_is_host(&ip->cidr))
			continue;
		index = leases_owner(&server->leases, &ip->cidr);
		if (index == LEASE_NONE)
			continue;
		lease = &server->leases.list[index];
		if (lease_holds(lease, family_index(ip->cidr.family)) &&
		    !memcmp(lease->key, reading->peers[ip->peer].key, KEY_LEN)) {
			leases_set(&server->leases, index, HOLDING_RESERVED, &ip->cidr);
			store_lease(server, index);
		}
	}
	link_locals_clear(&server->link_locals); /* as that record does when read */
	server->same_place = store_place(server);
	return server->same_place;
}

void reconcile_reading(struct server *server, const struct server_reading *message, int fd)
{
	struct reading reading = { 0 };

	if (fd < 0 || reading_map(&reading, fd)) {
		server->reading_wanted = now_ms() + RETRY_END_MS;
		return;
	}
	reading_unmap(&server->old_reading);
	server->old_reading = server->reading;
	server->reading = reading;
	server->book.reading_stamp = message->stamp;
	changes_forget(&server->book.changes, message->stamp);
	server->reading_began = message->began;
	server->reading_cost = message->cost;
	if (server->reading_wanted == NEVER)
		server->reading_wanted = message->began + READING_MS;
	++server->counters.readings;
	leases_reserve(&server->leases, reading.head->peers);
	if (adopt_device(server)) {
		server->sweep = 0;
		server->sweep_marks =
			!server->marked || message->began >= server->marked + ABSENT_MS;
		server->absent_seen = false;
		link_locals_reading(server);
	} else {
		server->reading_wanted = sooner(server->reading_wanted, now_ms() + RETRY_END_MS);
	}
	grant_wake(server);
}

uint64_t reconcile_turn(struct server *server, uint64_t now)
{
	uint64_t again, began = now_ms();

	if (reading_unmap_some(&server->old_reading))
		return 0;
	if (server->sweep == LEASE_NONE || orders_busy(server))
		return NEVER;
	for (int i = 0; i < SWEEP_SLICE && server->sweep < server->leases.count; ++i) {
		uint32_t index, peer;
		const struct lease *lease;

		/* In a reading whose pages have not been looked at yet, each takes far longer. */
		if (i && i % SWEEP_CLOCK == 0 && now_ms() != began)
			break;
		index = server->sweep++;
		lease = &server->leases.list[index];

		if (!lease->holding[V4] && !lease->holding[V6])
			continue;
		peer = reading_peer(&server->reading, lease->key);
		if (peer == DEVICE_NOBODY)
			reconcile_absent(server, index, now);
		else
			reconcile_lease(server, index, peer, true, now);
	}
	if (server->sweep < server->leases.count)
		return 0;
	server->sweep = LEASE_NONE;
	if (!server->sweep_marks)
		return NEVER;
	server->marked = server->reading_began;
	again = server->marked + ABSENT_MS;
	/* Who was missed for the first time is looked for again, soon. */
	if (server->absent_seen && server->reading_wanted > again)
		server->reading_wanted = again;
	return NEVER;
}
