// SPDX-License-Identifier: MIT
/* What clients ask, and what they have been promised. */

#include <stdio.h>

#include "world.h"

/* --- promises --- */

bool promised(const struct promise *promise)
{
	return promise->ip.family && promise->until > sim_now;
}

void promises_drop(int p)
{
	memset(world.peers[p].promise, 0, sizeof(world.peers[p].promise));
}

void promises_drop_address(const struct cidr *ip, int except)
{
	for (int p = 0; p < PEERS; ++p) {
		if (p != except)
			++world.peers[p].change; /* answers on their way do not count */
		for (int v = V4; v < FAMILIES && p != except; ++v) {
			struct promise *promise = &world.peers[p].promise[v];

			if (promise->ip.family && cidr_overlaps(&promise->ip, ip))
				promise->ip.family = 0;
		}
	}
}

static void promise_make(int p, int v, const struct cidr *ip, uint64_t known, uint64_t until)
{
	struct peer *peer = &world.peers[p];
	const struct entry *entry = entry_of(ip);

	if (until <= sim_now + SLACK_MS) /* it counts from the request on, and that was long ago */
		return;
	++sim_promises;
	for (int other = 0; other < PEERS; ++other) {
		const struct promise *theirs = &world.peers[other].promise[v];

		if (other != p && promised(theirs) && !cidr_compare(&theirs->ip, ip))
			wrong("an address is promised twice", p, ip);
	}
	if (cidr_compare(&peer->durable[v].ip, ip) || peer->durable[v].until + SLACK_MS < until)
		wrong("a promise that is not on disk", p, ip);
	if (!entry || entry->peer != p) {
		if (peer->changed < known && (!entry || entry->changed < known))
			wrong("a promise that is not in the device", p, ip);
	}
	/* What the administrator has given to somebody else meanwhile is none. */
	for (uint32_t i = 0; i < world.entry_count; ++i) {
		const struct entry *given = &world.entries[i];

		if (given->peer == p || given->ours || !cidr_overlaps(&given->ip, ip))
			continue;
		if (given->changed < known)
			wrong("a promise of what is given to somebody else", p, ip);
		return;
	}
	peer->promise[v] = (struct promise){ *ip, until };
}

/* --- requests --- */

static struct connection *connection_of(int p)
{
	struct connection *free_one = NULL;
	uint8_t which = byte();
	uint16_t port = which & 0x0f ? 970 : 2000;

	for (int i = 0; i < SIM_CONNECTIONS; ++i) {
		struct connection *c = &world.connections[i];

		if (c->socket && c->peer == p && !(which & 0x80))
			return c;
		if (!c->socket)
			free_one = c;
	}
	if (!free_one)
		return NULL;
	free_one->peer = p;
	free_one->asked = false;
	free_one->socket = sim_connect(world.peers[p].link_local, port);
	return free_one->socket ? free_one : NULL;
}

/* A line for what the client wishes for in a family; nothing for none. Returns its length. */
static size_t wish(char *text, const struct promise *has, int v, uint8_t kind, bool *changes)
{
	struct cidr ip = has->ip;
	char ip_text[CIDR_STRLEN];

	if (kind == 0)
		return sprintf(text, "ip=%s\n", v == V4 ? "0.0.0.0/32" : "::/128");
	if (kind == 1 || (kind == 2 && !ip.family)) {
		*changes = true;
		return 0;
	}
	if (kind == 3) {
		ip = some_address((byte() & 0x7f) | (v == V6 ? 0x80 : 0));
		*changes |= !has->ip.family || cidr_compare(&ip, &has->ip);
	}
	return sprintf(text, "ip=%s\n", cidr_format(ip_text, &ip));
}

static size_t request_ip(char *text, const struct peer *peer, uint8_t kind, bool *changes)
{
	size_t len = sprintf(text, "request_ip=1\n"), lines = 0;
	uint8_t wishes = kind & 1 ? byte() : 0;

	for (int v = V4; v < FAMILIES && kind & 1; ++v)
		lines += wish(text + len + lines, &peer->promise[v], v, wishes >> 2 * v & 3,
			      changes);
	len += lines;
	if (kind & 0x10)
		len += sprintf(text + len, "leasetime=%u\n", 10 + byte());
	if (kind & 0x20)
		len += sprintf(text + len, "want=route,call\n");
	return len + sprintf(text + len, "\n");
}

/* What was changed in the device before then, the server takes into account for this peer. */
uint64_t known_of(int p)
{
	uint32_t lease = server.leases.count ?
		leases_find(&server.leases, world.peers[p].key) : LEASE_NONE;

	/* What we have ordered for it since the reading hides what that has. */
	return lease != LEASE_NONE &&
			       order_is_later(&server.book, server.leases.list[lease].order) ?
		       0 :
		       server.reading_began;
}

void client_asks(void)
{
	int p = byte() % PEERS;
	struct peer *peer = &world.peers[p];
	/* WireGuard lets nobody in who is no peer. */
	struct connection *c = peer->there ? connection_of(p) : NULL;
	uint8_t kind = byte();
	bool changes = false;
	char text[512];
	size_t len, part;

	if (!c || c->asked)
		return;
	if ((kind & 0xf0) == 0xf0) {
		changes = true;
		len = sprintf(text, "release_ip=1\n\n");
	} else {
		len = request_ip(text, peer, kind, &changes);
	}
	c->asked = true;
	c->asked_at = sim_now;
	c->known = known_of(p);
	c->changes = changes;
	c->overlaps = false;
	for (int i = 0; i < SIM_CONNECTIONS; ++i) {
		struct connection *other = &world.connections[i];

		/* If neither changes anything, both are told the same. */
		if (other != c && other->socket && other->asked && other->peer == p &&
		    (changes || other->changes))
			c->overlaps = other->overlaps = true;
	}
	if (changes) {
		promises_drop(p);
		++peer->change;
		++peer->changing;
	}
	c->change = peer->change;
	trace("peer %d asks on %d: %s", p, (int)(c - world.connections), text);
	part = kind & 0x08 ? byte() % len : len;
	sim_send(c->socket, text, part);
	if (part < len && byte() & 1)
		engine_turn();
	if (world.engine_runs && c->socket) /* not if it has died of the first part */
		sim_send(c->socket, text + part, len - part);
}

static void connection_end(struct connection *c)
{
	if (c->asked && c->changes)
		--world.peers[c->peer].changing;
	c->socket->used = false;
	c->socket = NULL;
}

void client_babbles(void)
{
	struct connection *c = connection_of(byte() % PEERS);
	char text[64];
	size_t len = byte() % sizeof(text);

	if (!c || c->asked)
		return;
	for (size_t i = 0; i < len; ++i)
		text[i] = byte();
	sim_send(c->socket, text, len);
	if (byte() & 1)
		sim_hang_up(c->socket);
	if (!c->socket->used)
		connection_end(c);
}

static void answer_came(struct connection *c, char *text)
{
	struct peer *peer = &world.peers[c->peer];
	const char *found = strstr(text, "errno="), *line = text;
	uint32_t status = found ? strtoul(found + 6, NULL, 10) : 99;
	bool stands = peer->change == c->change && peer->changing == (c->changes ? 1 : 0);
	uint64_t until = c->asked_at;

	trace("peer %d is answered (%s): %s", c->peer, stands ? "counts" : "overtaken", text);
	if (c->changes)
		--peer->changing;
	c->asked = false;
	if (status > STATUS_LATER)
		wrong("an answer without errno", c->peer, NULL);
	found = strstr(text, "leasetime=");
	if (status == STATUS_LATER || status == STATUS_INVALID || !found)
		return;
	until += strtoul(found + 10, NULL, 10) * 1000;
	promises_drop(c->peer);
	if (!stands || c->overlaps) /* which of them was decided last, it can't know */
		return;
	while ((line = strstr(line, "ip="))) {
		struct cidr ip;

		line += 3;
		if (!cidr_parse(&ip, line, strcspn(line, "\n")) || !cidr_is_host(&ip))
			wrong("an answer with what is no address", c->peer, NULL);
		promise_make(c->peer, family_index(ip.family), &ip, c->known, until);
	}
}

void clients_read(void)
{
	for (int i = 0; i < SIM_CONNECTIONS; ++i) {
		struct connection *c = &world.connections[i];
		char *end;

		if (!c->socket)
			continue;
		while ((end = memmem(c->socket->out, c->socket->out_len, "\n\n", 2))) {
			size_t len = end + 2 - c->socket->out;
			char text[SIM_BACKLOG + 1];

			memcpy(text, c->socket->out, len);
			text[len] = '\0';
			if (c->asked)
				answer_came(c, text);
			c->socket->out_len -= len;
			memmove(c->socket->out, end + 2, c->socket->out_len);
		}
		if (c->socket->closed)
			connection_end(c);
	}
}

void client_reads_slowly(void)
{
	struct connection *c = &world.connections[byte() % SIM_CONNECTIONS];

	if (c->socket)
		c->socket->out_room = byte() % 32;
}

void client_reads_on(void)
{
	for (int i = 0; i < SIM_CONNECTIONS; ++i) {
		struct connection *c = &world.connections[i];

		if (!c->socket || c->socket->out_room == SIM_BACKLOG)
			continue;
		c->socket->out_room = SIM_BACKLOG;
		c->socket->edge = true;
	}
}

void client_hangs_up(void)
{
	struct connection *c = &world.connections[byte() % SIM_CONNECTIONS];

	/* What comes of a change that nobody waits for, nobody knows. */
	if (!c->socket || (c->asked && c->changes))
		return;
	sim_hang_up(c->socket);
	if (!c->socket->used)
		connection_end(c);
}

void connections_drop(void)
{
	for (int i = 0; i < SIM_CONNECTIONS; ++i) {
		struct connection *c = &world.connections[i];

		if (c->socket && c->asked && c->changes)
			--world.peers[c->peer].changing;
		*c = (struct connection){ 0 };
	}
}
