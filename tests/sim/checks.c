// SPDX-License-Identifier: MIT
/* What must hold. */

#include <stdio.h>

#include "world.h"

/*
 * A line of the journal, read by other code than the product's: whose lease it is, its addresses
 * (family 0: none that is held) and its end; NULL for another line.
 */
static struct peer *lease_line(const char *line, struct cidr ip[FAMILIES], uint64_t *until)
{
	char key[64], text[FAMILIES][64];
	unsigned long long at, left;
	struct peer *peer;

	if (sscanf(line, "lease %63s %63s %63s %llu %llu", key, text[V4], text[V6], &at, &left) != 5)
		return NULL;
	for (peer = world.peers; strcmp(peer->text, key);) {
		if (++peer == world.peers + PEERS)
			wrong("a record of nobody", -1, NULL);
	}
	for (int v = V4; v < FAMILIES; ++v) {
		char *mark = strchr(text[v], ',');

		ip[v] = (struct cidr){ 0 };
		if (*text[v] == '-' || (mark && strcmp(mark, ",reserved")))
			continue;
		if (mark)
			*mark = '\0';
		ip[v] = address(text[v]);
	}
	*until = at + left;
	return peer;
}

static void durable_line(const char *line)
{
	struct cidr ip[FAMILIES];
	uint64_t until;
	struct peer *peer;

	trace("on disk: %s", line);
	peer = lease_line(line, ip, &until);
	for (int v = V4; peer && v < FAMILIES; ++v)
		peer->durable[v] = (struct promise){ .ip = ip[v], .until = until };
}

/*
 * What the administrator has given to the same peer meanwhile, both give at once: also where the
 * engine dies between its record and its order, so that the next one finds both.
 */
static void written_line(const char *line)
{
	struct cidr ip[FAMILIES];
	struct entry *entry;
	uint64_t until;
	struct peer *peer = lease_line(line, ip, &until);

	for (int v = V4; peer && v < FAMILIES; ++v) {
		entry = ip[v].family ? entry_of(&ip[v]) : NULL;
		if (entry && !entry->ours && entry->peer == peer - world.peers &&
		    entry->changed >= server.reading_began)
			entry->leased = true;
	}
}

static void lines_of(const struct sim_file *file, size_t from, size_t to,
		     void (*have)(const char *line))
{
	char line[JOURNAL_LINE + 1];

	while (from && file->bytes[from - 1] != '\n')
		--from;
	while (from < to) {
		const char *begin = file->bytes + from;
		const char *end = memchr(begin, '\n', to - from);

		if (!end || end - begin > JOURNAL_LINE)
			return;
		memcpy(line, begin, end - begin);
		line[end - begin] = '\0';
		have(line);
		from += end - begin + 1;
	}
}

void was_written(const struct sim_file *file, size_t from)
{
	lines_of(file, from, file->end, written_line);
}

void became_durable(const struct sim_file *file, size_t from)
{
	for (int p = 0; !from && p < PEERS; ++p)
		memset(world.peers[p].durable, 0, sizeof(world.peers[p].durable));
	lines_of(file, from, file->durable, durable_line);
}

static void check_pools(void)
{
	for (uint32_t i = 0; i < server.pools.count; ++i) {
		const struct pool *pool = &server.pools.list[i];
		uint64_t leased = 0, used = 0;
		struct cidr ip;

		for (uint32_t l = 0; l < server.leases.count; ++l) {
			const struct lease *lease = &server.leases.list[l];

			for (int v = V4; v < FAMILIES; ++v) {
				if (lease_ip(lease, v, &ip) &&
				    pools_find(&server.pools, &ip) == pool) {
					leased += lease_holds(lease, v);
					++used;
				}
			}
		}
		if (leased != pool->leased)
			wrong("a pool that has not leased what is leased from it", leased,
			      &pool->net);
		for (uint32_t w = 0; pool->used && w < 16; ++w) {
			ip = pool->net;
			ip.ip[family_index(ip.family) == V4 ? 3 : 15] += w;
			if (w < UINT64_C(1) << ((ip.family == AF_INET ? 32 : 128) - ip.prefix))
				used -= pool->used[0] >> w & 1;
		}
		if (pool->used && used)
			wrong("a pool that has marked what nobody has", used, &pool->net);
	}
}

/* All that can end comes up when its time is over: each is no sooner than the one above it. */
static void check_heap(void)
{
	const struct leases *leases = &server.leases;

	for (uint32_t i = 0; i < leases->heaped; ++i) {
		const struct lease *lease = &leases->list[leases->heap[i]];

		if (lease->heap != i)
			wrong("a lease that is elsewhere among those that end", i, NULL);
		if (i && lease->expires < leases->list[leases->heap[(i - 1) / 2]].expires)
			wrong("a lease that ends before one that comes up sooner", i, NULL);
	}
}

static void check_table(void)
{
	struct cidr ip;

	for (uint32_t l = 0; l < server.leases.count; ++l) {
		const struct lease *lease = &server.leases.list[l];

		if (!lease->holding[V4] && !lease->holding[V6])
			continue;
		if (leases_find(&server.leases, lease->key) != l)
			wrong("a lease that its key does not find", l, NULL);
		for (int v = V4; v < FAMILIES; ++v) {
			if (lease_ip(lease, v, &ip) && leases_owner(&server.leases, &ip) != l)
				wrong("an address that two have", l, &ip);
		}
	}
}

void check_always(void)
{
	if (!world.engine_runs || !server.loaded)
		return;
	check_pools();
	check_table();
	check_heap();
}

/* --- at rest --- */

/* Lets everything that is under way come to its end, for so long. */
static void settle(uint64_t ms)
{
	uint64_t end = sim_now + ms, at;

	for (int i = 0; sim_now < end; ++i) {
		bool worked = monitor_turn(UINT32_MAX);

		if (!world.engine_runs)
			engine_start();
		if (worked || sim_pending() || world.engine_at <= sim_now)
			engine_turn();
		clients_read();
		check_always();
		at = sooner(world.engine_at, monitor_at());
		if (!sim_to_monitor.first && !sim_pending() && at > sim_now)
			sim_now = sooner(at, end);
		if (i == STEPS)
			wrong("it does not come to rest", -1, NULL);
	}
}

static bool is_pooled(const struct cidr *ip)
{
	return pools_find(&configs.config[world.config].pools, ip);
}

static void check_promises(void)
{
	for (int p = 0; p < PEERS; ++p) {
		struct peer *peer = &world.peers[p];
		uint32_t lease = leases_find(&server.leases, peer->key);

		for (int v = V4; v < FAMILIES; ++v) {
			const struct promise *promise = &peer->promise[v];
			const struct entry *entry = entry_of(&promise->ip);
			struct cidr ip;

			/* What no pool has any more may end when its peer comes. */
			if (!promised(promise) || !is_pooled(&promise->ip))
				continue;
			if (lease == LEASE_NONE || !lease_holds(&server.leases.list[lease], v) ||
			    !lease_ip(&server.leases.list[lease], v, &ip) ||
			    cidr_compare(&ip, &promise->ip))
				wrong("a lease is lost", p, &promise->ip);
			if (!entry || entry->peer != p)
				wrong("a lease is not in the device", p, &promise->ip);
		}
	}
}

static void check_device(void)
{
	for (uint32_t i = 0; i < world.entry_count; ++i) {
		const struct entry *entry = &world.entries[i];
		uint32_t lease = leases_find(&server.leases, world.peers[entry->peer].key);
		int v = family_index(entry->ip.family);
		struct cidr ip;

		if (!entry->ours || link_locals_have(&server.link_locals,
						     world.peers[entry->peer].key))
			continue;
		if (lease == LEASE_NONE || !lease_holds(&server.leases.list[lease], v) ||
		    !lease_ip(&server.leases.list[lease], v, &ip) ||
		    cidr_compare(&ip, &entry->ip))
			wrong("the device has what nobody leases", entry->peer, &entry->ip);
	}
	for (uint32_t l = 0; l < server.leases.count; ++l) {
		const struct lease *lease = &server.leases.list[l];
		int p = peer_of_key(lease->key);
		const struct entry *entry;
		struct cidr ip;

		for (int v = V4; v < FAMILIES; ++v) {
			if (!lease_holds(lease, v) || !lease_ip(lease, v, &ip) ||
			    lease->expires <= sim_now || !world.peers[p].there)
				continue;
			entry = entry_of(&ip);
			if (!entry || entry->peer != p)
				wrong("the device lacks what is leased", p, &ip);
		}
	}
}

/* Some peer that could ask does, and has an answer. */
static void check_service(void)
{
	for (int i = 0; i < SIM_CONNECTIONS; ++i) {
		if (world.connections[i].socket)
			sim_hang_up(world.connections[i].socket);
	}
	settle(1);
	for (int p = 0; p < WITHOUT; ++p) {
		struct connection *c = &world.connections[0];
		struct cidr ip;
		const struct entry *entry;

		cidr_host(&ip, AF_INET6, world.peers[p].link_local);
		entry = entry_of(&ip);
		if (!world.peers[p].there || !entry || entry->peer != p)
			continue;
		if (c->socket)
			wrong("a connection that does not end", c->peer, NULL);
		c->peer = p;
		c->socket = sim_connect(world.peers[p].link_local, 970);
		c->asked = true;
		c->changes = c->overlaps = false;
		c->change = world.peers[p].change;
		c->asked_at = sim_now;
		c->known = known_of(p);
		sim_send(c->socket, "request_ip=1\n\n", 14);
		settle(PROBE_MS);
		if (c->asked)
			wrong("no answer", p, NULL);
		return;
	}
}

void rest(void)
{
	sim_disk = SIM_DISK_GOOD;
	sim_calls_left = 0;
	monitor.cost = monitor.failing = 0;
	client_reads_on();
	settle(REST_MS);
	check_promises();
	check_device();
	check_service();
}
