// SPDX-License-Identifier: MIT
/*
 * The server of the simulation: addresses and leases by the core, as grant.c and reconcile.c use
 * it; records by journal.c, counted instead of written; and a queue, as the kernel's of connections
 * that are not accepted yet, which the server works off as fast as it can.
 */

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "allocate.h"
#include "journal.h"
#include "million.h"
#include "pace.h"
#include "sealed.h"

enum {
	ANSWER_MS = 100, /* connecting, request and answer, on the way */
	BACKLOG = 4096, /* SOMAXCONN */
	DEAD_ALLOWED = 1024, /* as in store.c */
};

static struct pools pools;
static struct leases leases;
static struct policy policy;
static struct reading reading;
static struct book book;
static struct journal journal = { .fd = -1 };
static struct journal_growth growth;
static uint64_t free_at; /* microseconds: all that has come is answered */
static uint64_t written_at; /* ms, the last record */

static int compare_peers(const void *a, const void *b)
{
	return memcmp(a, b, KEY_LEN);
}

/* A device where each peer has a link-local, and nothing else. */
static bool read_device(void)
{
	struct device_head head = { .peers = plan.clients, .ips = plan.clients };
	struct device_peer *peers = calloc(plan.clients, sizeof(*peers));
	struct device_ip *ips = calloc(plan.clients, sizeof(*ips));
	int fd = sealed_open("reading");
	uint64_t part;
	bool ok;

	if (!peers || !ips || fd < 0)
		return false;
	for (uint32_t i = 0; i < plan.clients; ++i) {
		for (int j = 0; j < KEY_LEN / 8; ++j) {
			part = mix(plan.seed + ((uint64_t)i << 8) + j);
			memcpy(peers[i].key + j * 8, &part, 8);
		}
	}
	qsort(peers, plan.clients, sizeof(*peers), compare_peers);
	for (uint32_t i = 0; i < plan.clients; ++i) {
		const uint32_t number = htonl(i + 1);

		peers[i].first = i;
		peers[i].count = 1;
		ips[i].peer = i;
		ips[i].cidr = (struct cidr){ AF_INET6, 128, { 0xfe, 0x80 } };
		memcpy(ips[i].cidr.ip + 12, &number, sizeof(number));
	}
	ok = !reading_write(fd, &head, peers, ips) && !reading_map(&reading, fd);
	close(fd);
	free(peers);
	free(ips);
	return ok;
}

bool server_open(void)
{
	static const uint8_t secret[16] = "by chance, once";
	static const char net6[] = "2001:db8::/64";
	char net4[32];

	snprintf(net4, sizeof(net4), "10.0.0.0/%u", (unsigned int)plan.pool);
	if (pools_add(&pools, net4, strlen(net4)) || pools_add(&pools, net6, strlen(net6)) ||
	    !pools_allocate(&pools))
		return false;
	leases_open(&leases, &pools, secret);
	book = (struct book){
		.leases = &leases,
		.pools = &pools,
		.policy = &policy,
		.reading = &reading,
		.lease_time = plan.lease,
	};
	return leases_reserve(&leases, plan.clients) && read_device();
}

static bool within(uint64_t now, uint64_t begin, uint64_t length)
{
	return now >= begin * 1000 && now < (begin + length) * 1000;
}

bool server_silent(uint64_t now)
{
	return !plan.refused && within(now, plan.outage_at, plan.outage);
}

uint32_t server_life(uint64_t now)
{
	const uint64_t changes[] = {
		plan.outage_at, plan.outage_at + plan.outage,
		plan.restart_at, plan.restart_at + plan.restart,
	};
	uint32_t life = 0;

	for (int i = 0; i < 4; ++i)
		life += now >= changes[i] * 1000;
	return life;
}

enum reached server_connect(uint64_t now, uint64_t *answered)
{
	uint64_t begin = now * 1000 > free_at ? now * 1000 : free_at;

	if (server_silent(now))
		return REACHED_NOBODY;
	if (within(now, plan.outage_at, plan.outage) ||
	    within(now, plan.restart_at, plan.restart)) {
		free_at = 0;
		return REACHED_REFUSED;
	}
	if ((begin - now * 1000) * plan.capacity / 1000000 >= BACKLOG)
		return REACHED_FULL;
	free_at = begin + 1000000 / plan.capacity;
	*answered = free_at / 1000 + ANSWER_MS;
	return REACHED;
}

/* Adds the record of a lease. What came in an earlier ms has reached the disk before it. */
static void record(uint32_t lease, uint64_t now)
{
	struct journal_lease written;

	journal.synced = now > written_at;
	written_at = now;
	journal_from_lease(&written, &leases.list[lease], now);
	journal_lease(&journal, &written);
	++growth.records;
	growth.bytes += journal.len;
	growth.size += journal.len;
	if (journal.records > 2 * leases.live + DEAD_ALLOWED) {
		/* Written anew with lines as long as this one. */
		growth.size = (uint64_t)leases.live * journal.len;
		growth.written += growth.size;
		++growth.compactions;
		journal.records = leases.live;
	}
	journal.len = 0;
}

/* As the end of a lease is carried out by reconcile.c. */
static void expire(uint64_t now)
{
	struct cidr ip;

	for (uint32_t i; (i = leases_next(&leases)) != LEASE_NONE;) {
		if (leases.list[i].expires > now)
			break;
		for (int v = V4; v < FAMILIES; ++v) {
			if (!lease_holds(&leases.list[i], v))
				continue;
			lease_ip(&leases.list[i], v, &ip);
			leases_set(&leases, i, HOLDING_PAST, &ip);
			record(i, leases.list[i].expires);
		}
	}
}

void server_answer(uint64_t now, uint32_t client, const struct request *request,
		   struct response *response)
{
	struct decision decision;
	struct pace pace;
	uint64_t left = 0;
	uint32_t index;

	expire(now);
	decide(&book, client, leases_find(&leases, reading.peers[client].key), request, &decision);
	*response = (struct response){ .status = decision.status };
	if (!decision.granted[V4] && !decision.granted[V6])
		return;
	index = leases_make(&leases, reading.peers[client].key);
	if (lease_holds(&leases.list[index], FAMILIES))
		left = leases.list[index].expires - now;
	for (int v = V4; v < FAMILIES; ++v) {
		if (!decision.granted[v])
			continue;
		leases_set(&leases, index, decision.holding[v], &decision.ip[v]);
		response->ip[v] = decision.ip[v];
	}
	response->lease_start = now / 1000;
	response->lease_time = decision.lease_time;
	pace = pace_of(decision.lease_time, leases.live, left, mix(now ^ mix(client)));
	response->renew = pace.renew;
	response->retry = pace.retry;
	leases.list[index].time = decision.lease_time;
	leases_expire_at(&leases, index, now + decision.lease_time * UINT64_C(1000));
	record(index, now);
}

void server_journal(struct journal_growth *result)
{
	*result = growth;
}

uint32_t server_leases(uint32_t *held)
{
	*held = leases.heaped;
	return leases.live;
}
