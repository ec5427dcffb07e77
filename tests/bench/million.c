// SPDX-License-Identifier: MIT
/*
 * The clients of the simulation, and what happens to them. A life cycle is kept without its
 * options, of which there are none here, and put together for each event: a million with them
 * would need 5 GB.
 */

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "million.h"

enum {
	WAY_MS = 50, /* until a refusal is there */
	SLEEP_S = 8 * 3600,
	HANDSHAKE_MS = 5000, /* WireGuard tries again, */
	HANDSHAKE_JITTER_MS = 333, /* or a little later */
};

#define HEAD offsetof(struct lifecycle, options)
#define TAIL offsetof(struct lifecycle, lease_time)

/* What the network has for a client. */
enum net { NET_NOTHING, NET_CONNECT, NET_ANSWER, NET_REFUSED };

struct client {
	uint8_t head[HEAD], tail[sizeof(struct lifecycle) - TAIL];
	uint64_t started, net_at, asked; /* ms */
	uint64_t lost; /* ms, when it lost its address, 0: it has one */
	uint64_t sleeps; /* ms, when it falls asleep */
	uint64_t ip, first_ip; /* hashes of what it has or last had, and of its first */
	uint32_t life; /* the server's, at the request */
	uint8_t net, tries; /* packets that open the connection */
	bool behind; /* the renewal was overdue at the server's return */
};

struct plan plan = {
	.clients = 1000000,
	.day = 86400,
	.seed = 1,
	.lease = 3600,
	.capacity = 6000,
	.outage_at = 8 * 3600,
	.outage = 3600,
	.restart_at = 16 * 3600,
	.restart = 5,
	.pool = 8,
};
struct tally tally;

static struct client *clients;
static struct lifecycle l; /* the client at hand */
static struct lifecycle_actions actions;

uint64_t mix(uint64_t seed)
{
	uint64_t z = seed + 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static uint64_t hash_of(const struct cidr ip[static FAMILIES])
{
	uint64_t hash = 0, part;

	for (size_t i = 0; i + 8 <= sizeof(*ip) * FAMILIES; i += 8) {
		memcpy(&part, (const uint8_t *)ip + i, 8);
		hash = mix(hash ^ part);
	}
	memcpy(&part, (const uint8_t *)ip + sizeof(*ip) * FAMILIES - 8, 8);
	return mix(hash ^ part) | 1;
}

static void note_time(uint32_t *list, uint64_t *count, uint64_t begin, uint64_t now)
{
	if (*count < plan.clients)
		list[(*count)++] = (now - begin) / 1000;
}

static void note_grant(struct client *c, uint64_t now)
{
	const uint64_t gone = plan.outage_at * 1000, back = gone + plan.outage * 1000;
	uint64_t ip = hash_of(l.lease.ip);

	tally.changes += c->ip && c->ip != ip;
	c->ip = ip;
	if (!c->first_ip) {
		c->first_ip = ip;
		note_time(tally.first, &tally.firsts, c->started, now);
	}
	if (c->lost && c->lost >= gone && c->lost < back) {
		note_time(tally.waited, &tally.waits, back, now);
		note_time(tally.without, &tally.withouts, c->lost, now);
	} else if (c->lost && c->lost >= back && c->behind) {
		note_time(tally.late, &tally.lates, c->lost, now);
	} else if (c->behind) {
		note_time(tally.behind, &tally.behinds, back, now);
	}
	c->lost = 0;
	c->behind = false;
}

static void happens(uint64_t now, const struct lifecycle_event *event)
{
	struct lifecycle_actions more;

	lifecycle_event(&l, now, event, &more);
	/* What comes first of two events at once is not undone by the other. */
	if (!more.ask && actions.ask)
		more.ask = !more.cancel;
	actions = more;
}

static void happens_only(uint64_t now, enum lifecycle_event_type type)
{
	const struct lifecycle_event event = { .type = type, .up = true };

	happens(now, &event);
}

static void fails(uint64_t now, enum failure_kind kind, int error)
{
	const struct lifecycle_event event = {
		.type = EVENT_FAILED,
		.failure = { .kind = kind, .error = error },
	};

	happens(now, &event);
}

/* The next packet that opens the connection goes out. */
static void connects(struct client *c, uint64_t now)
{
	static const uint32_t again[] = { 1000, 3000, 7000 }; /* ms, as Linux sends them */
	enum reached reached = server_connect(now, &c->net_at);

	c->net = reached == REACHED ? NET_ANSWER : NET_REFUSED;
	c->life = server_life(now);
	if (!c->tries++ && (reached == REACHED || reached == REACHED_FULL))
		++tally.offered[now / 1000];
	else if (c->tries > 1 && reached == REACHED)
		++tally.offered[now / 1000]; /* was under way when the server came back, or full */
	if (reached == REACHED_REFUSED) {
		c->net_at = now + WAY_MS;
	} else if (reached != REACHED) {
		c->net = NET_CONNECT;
		/* Without a session WireGuard holds it back until a handshake is answered. */
		if (reached == REACHED_FULL)
			c->net_at = c->tries <= 3 ? c->asked + again[c->tries - 1] : NEVER;
		else if (plan.keepalive && c->tries == 1)
			c->net_at = now + mix(now ^ c->ip) % HANDSHAKE_MS;
		else
			c->net_at = now + HANDSHAKE_MS + mix(now ^ c->ip) % HANDSHAKE_JITTER_MS;
	}
	tally.full += reached == REACHED_FULL;
}

/* The server answers, if it's still there. */
static void answered(struct client *c, uint32_t i, uint64_t now)
{
	static struct response response;
	const struct lifecycle_event event = {
		.type = EVENT_RESPONSE,
		.response = &response,
		.wall = now,
	};

	happens_only(now, EVENT_CONNECTED);
	if (server_life(now) != c->life) {
		if (!server_silent(now))
			fails(now, FAILURE_CLOSED, ECONNRESET);
		return;
	}
	server_answer(now, i, &(struct request){
		.command = COMMAND_REQUEST_IP,
		.wish = { WISH_ANY, WISH_ANY },
		.extended = true,
	}, &response);
	++tally.served[now / 1000];
	happens(now, &event);
	if (l.state == LIFECYCLE_BOUND)
		note_grant(c, now);
}

static void comes(struct client *c, uint32_t i, uint64_t now)
{
	enum net net = c->net;
	uint64_t at = c->net_at;

	if (l.state == LIFECYCLE_NEW) {
		c->started = now;
		happens_only(now, EVENT_START);
	} else if (net != NET_NOTHING && now >= at) {
		c->net = NET_NOTHING;
		c->net_at = NEVER;
		if (net == NET_CONNECT)
			connects(c, now);
		else if (net == NET_ANSWER)
			answered(c, i, now);
		else
			fails(now, FAILURE_CONNECT, ECONNREFUSED);
	} else {
		happens_only(now, EVENT_TIME);
	}
}

static void follow(struct client *c, uint64_t now)
{
	const uint64_t back = (plan.outage_at + plan.outage) * 1000;

	if (actions.report == REPORT_EXPIRED)
		c->lost = now;
	tally.timeouts += actions.cancel && l.failure.kind == FAILURE_CONNECT_TIMEOUT;
	/* Its request came to nothing in the outage, and there may be others until it's over. */
	if (now < back && now >= plan.outage_at * 1000 && l.failure.kind)
		c->behind = true;
	if (actions.cancel || actions.ask) {
		c->net = NET_NOTHING;
		c->net_at = NEVER;
	}
	if (actions.ask) {
		++tally.made[now / 1000];
		c->asked = now;
		c->tries = 0;
		connects(c, now);
	}
}

/* Something is due for client i. */
static void turn(uint32_t i, uint64_t now)
{
	struct client *c = &clients[i];
	uint64_t at;

	if (now >= c->sleeps) {
		c->net = NET_NOTHING;
		c->net_at = NEVER;
		at = c->sleeps + SLEEP_S * UINT64_C(1000);
		c->sleeps = now < at ? c->sleeps : NEVER;
		if (now < at) {
			wheel_set(i, at);
			return;
		}
	}
	memcpy(&l, c->head, HEAD);
	memcpy((uint8_t *)&l + TAIL, c->tail, sizeof(c->tail));
	actions = (struct lifecycle_actions){ 0 };
	comes(c, i, now);
	follow(c, now);
	memcpy(c->head, &l, HEAD);
	memcpy(c->tail, (uint8_t *)&l + TAIL, sizeof(c->tail));
	at = lifecycle_deadline(&l);
	wheel_set(i, c->net_at < at ? c->net_at : at);
}

static bool open_clients(void)
{
	/* A client that has run for long renews at some time of half a lease. */
	uint64_t spread = plan.storm ? 1000 : plan.lease * 475;

	clients = calloc(plan.clients, sizeof(*clients));
	if (!clients || !wheel_open(plan.clients))
		return false;
	for (uint32_t i = 0; i < plan.clients; ++i) {
		struct client *c = &clients[i];
		uint64_t chance = mix(plan.seed * 1000003 + i);

		lifecycle_init(&l, chance, 0);
		memcpy(c->head, &l, HEAD);
		memcpy(c->tail, (uint8_t *)&l + TAIL, sizeof(c->tail));
		c->net_at = NEVER;
		c->sleeps = mix(chance) % 100 < plan.sleep ?
				    mix(chance + 1) % (plan.day * 1000) : NEVER;
		wheel_set(i, mix(chance + 2) % spread);
	}
	tally.waited = calloc(5 * plan.clients, sizeof(*tally.waited));
	tally.late = tally.waited + plan.clients;
	tally.behind = tally.late + plan.clients;
	tally.without = tally.behind + plan.clients;
	tally.first = tally.without + plan.clients;
	return tally.waited;
}

/* Who has what at the end. */
static void count_clients(void)
{
	for (uint32_t i = 0; i < plan.clients; ++i) {
		const struct client *c = &clients[i];

		memcpy(&l, c->head, HEAD);
		tally.bound += lifecycle_holds(&l);
		tally.same += c->first_ip == c->ip;
	}
}

static bool take_argument(const char *text)
{
	static const struct {
		const char *name;
		uint64_t *value, most;
	} words[] = {
		{ "clients", &plan.clients, 100000000 }, { "day", &plan.day, DAY_MAX - 1 },
		{ "seed", &plan.seed, UINT32_MAX }, { "lease", &plan.lease, LEASE_TIME_MAX },
		{ "capacity", &plan.capacity, 1000000 }, { "outage-at", &plan.outage_at, DAY_MAX },
		{ "outage", &plan.outage, DAY_MAX }, { "refused", &plan.refused, 1 },
		{ "restart-at", &plan.restart_at, DAY_MAX }, { "restart", &plan.restart, DAY_MAX },
		{ "pool", &plan.pool, 30 }, { "sleep", &plan.sleep, 100 },
		{ "storm", &plan.storm, 1 }, { "keepalive", &plan.keepalive, 1 },
	};
	const char *value = strchr(text, '=');
	uint32_t number;

	for (size_t i = 0; value && i < sizeof(words) / sizeof(*words); ++i) {
		if (strncmp(text, words[i].name, value - text) ||
		    strlen(words[i].name) != (size_t)(value - text))
			continue;
		if (!number_parse(&number, value + 1, words[i].most))
			break;
		*words[i].value = number;
		return true;
	}
	fprintf(stderr, "Usage: million [NAME=NUMBER]..., with any of:");
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); ++i)
		fprintf(stderr, " %s=%llu", words[i].name, (unsigned long long)*words[i].value);
	fprintf(stderr, "\n");
	return false;
}

int main(int argc, char **argv)
{
	uint64_t now;
	uint32_t i;

	while (*++argv) {
		if (!take_argument(*argv))
			return 1;
	}
	(void)argc;
	if (!plan.clients || !plan.lease || !plan.capacity || !server_open() || !open_clients()) {
		fprintf(stderr, "million: that can't be, or there is not enough memory\n");
		return 1;
	}
	while ((i = wheel_next(plan.day * 1000, &now)) != UINT32_MAX)
		turn(i, now);
	count_clients();
	report();
	return 0;
}
