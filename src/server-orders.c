// SPDX-License-Identifier: MIT
/* The server's monitor carries out the engine's orders: what guard.c allows, and nothing else. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "log.h"
#include "server-monitor.h"

enum {
	TAKES_TURN = 4, /* batches to take back, in one turn of the loop */
	TAKES = 256, /* batches to take back that may wait, more than our engine ever sends */
	PAUSE_TIMES = 4, /* as long as reading takes, between two for taking back */
	MANY_TAKES = 8, /* of these, of which each can't have a reading of its own */
};

/* An order to take addresses back, which waits for a reading. */
struct take {
	struct take *next;
	uint64_t came; /* ms */
	struct server_orders orders;
};

static void tell_done(const struct server_orders *orders, const uint8_t *errors)
{
	struct server_done done = {
		.head = { .type = SERVER_DONE, .count = orders->head.count },
		.order = orders->order,
		.stamp = monitor.stamp,
	};

	memcpy(done.errors, errors, orders->head.count);
	supervisor_send(&monitor.supervisor, &done.head, SERVER_LENGTH(&done, errors), -1);
}

/* A device that does not answer, or is not there, will not do so for one order alone. */
static bool worth_splitting(int ret)
{
	return ret != -ETIMEDOUT && ret != -ENODEV && ret != -ENOENT && ret != -EPIPE &&
	       ret != -ECONNREFUSED && ret != -EPROTONOSUPPORT;
}

/*
 * Does what has no error yet, by do_it(); if the device refuses the whole, one by one, so that a
 * bad one does not fail the others.
 */
static void carry_out(const struct server_orders *orders, uint8_t *errors, bool taken,
		      int (*do_it)(const char *, const struct device_change *, size_t))
{
	const char *name = monitor.setup.start.interface;
	struct device_change good[DEVICE_BATCH];
	size_t count = 0;
	int ret;

	for (uint32_t i = 0; i < orders->head.count; ++i) {
		if (!errors[i])
			good[count++] = orders->changes[i];
	}
	/* What has been done must be known: so room for that comes first. */
	if (!changes_reserve(&monitor.guard.changes, count)) {
		for (uint32_t i = 0; i < orders->head.count; ++i)
			errors[i] = errors[i] ? errors[i] : ENOMEM;
		return;
	}
	ret = monitor_is_ours() ? do_it(name, good, count) : -ENODEV;
	monitor.stamp += monitor.stamp == UINT32_MAX ? 2 : 1;
	for (uint32_t i = 0; i < orders->head.count; ++i) {
		if (errors[i])
			continue;
		if (ret)
			errors[i] = worth_splitting(ret) ? -do_it(name, &orders->changes[i], 1) :
							   -ret;
		if (!errors[i])
			changes_note(&monitor.guard.changes, &orders->changes[i], taken,
				     monitor.stamp);
	}
}

static void log_forbidden(const struct device_change *change, const char *what, int error)
{
	char ip[CIDR_STRLEN];

	log_line(LOG_ERR, "refused the engine's order to %s %s: %s", what,
		 cidr_format(ip, &change->ip), strerror(error));
}

/* What is ordered together the guard does not know of yet: nothing is given to two at once. */
static bool is_given(const struct server_orders *orders, const uint32_t *hashes, uint32_t i)
{
	for (uint32_t j = 0; j < i; ++j) {
		if (hashes[j] == hashes[i] &&
		    !cidr_compare(&orders->changes[j].ip, &orders->changes[i].ip) &&
		    memcmp(orders->changes[j].key, orders->changes[i].key, KEY_LEN))
			return true;
	}
	return false;
}

void orders_allow(const struct server_orders *orders)
{
	uint32_t hashes[DEVICE_BATCH];
	uint8_t errors[DEVICE_BATCH];

	for (uint32_t i = 0; i < orders->head.count; ++i) {
		hashes[i] = hash_ip(&monitor.guard.changes.hash, &orders->changes[i].ip);
		errors[i] = is_given(orders, hashes, i) ?
				    EADDRINUSE :
				    guard_allow(&monitor.guard, &orders->changes[i]);
		if (errors[i])
			log_forbidden(&orders->changes[i], "allow", errors[i]);
		if (errors[i] == EAGAIN)
			monitor_read_soon(now_ms(), monitor.reading.cost);
	}
	carry_out(orders, errors, false, device_allow);
	tell_done(orders, errors);
}

void orders_take(const struct server_orders *orders)
{
	struct take *take = monitor.take_count < TAKES ? malloc(sizeof(*take)) : NULL;
	uint8_t errors[DEVICE_BATCH];

	if (!take) {
		log_line(LOG_ERR, "refused the engine's order to take back %u addresses: too much "
			 "waits", orders->head.count);
		memset(errors, ENOMEM, sizeof(errors));
		tell_done(orders, errors);
		return;
	}
	++monitor.take_count;
	take->next = NULL;
	take->came = now_ms();
	memcpy(&take->orders, orders, SERVER_LENGTH(orders, changes));
	*monitor.takes_end = take;
	monitor.takes_end = &take->next;
}

static void take_now(const struct server_orders *orders)
{
	uint8_t errors[DEVICE_BATCH];

	for (uint32_t i = 0; i < orders->head.count; ++i) {
		errors[i] = guard_take(&monitor.guard, &orders->changes[i]);
		if (errors[i] && errors[i] != EALREADY)
			log_forbidden(&orders->changes[i], "take back", errors[i]);
	}
	carry_out(orders, errors, true, device_take);
	for (uint32_t i = 0; i < orders->head.count; ++i)
		errors[i] = errors[i] == EALREADY ? 0 : errors[i];
	tell_done(orders, errors);
}

/*
 * Taking hits whoever holds the address: so it is done on what the device says now. Where reading
 * takes long and very many wait, that is a reading of this second.
 */
static bool is_fresh(const struct take *take, bool quick, uint64_t now)
{
	return monitor.reading.began >= take->came ||
	       (!quick && monitor.take_count >= MANY_TAKES && monitor.adopted + FRESH_MS >= now);
}

uint64_t orders_turn(uint64_t now)
{
	const bool quick = monitor.reading.cost <= QUICK_MS;
	struct take *take;

	for (int i = 0; (take = monitor.takes); ++i) {
		if (!is_fresh(take, quick, now)) {
			monitor_read_soon(now, quick ? 0 : sooner(FRESH_MS, PAUSE_TIMES *
								  monitor.reading.cost));
			return NEVER;
		}
		if (i == TAKES_TURN)
			return 0;
		monitor.takes = take->next;
		if (!monitor.takes)
			monitor.takes_end = &monitor.takes;
		--monitor.take_count;
		take_now(&take->orders);
		free(take);
	}
	return NEVER;
}

void orders_drop_takes(void)
{
	struct take *take;

	while ((take = monitor.takes)) {
		monitor.takes = take->next;
		free(take);
	}
	monitor.takes_end = &monitor.takes;
	monitor.take_count = 0;
}
