// SPDX-License-Identifier: MIT
/* What the server's engine tells at its status socket: settings, counters, pools, leases. */

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "containers.h"
#include "encoding.h"
#include "engine.h"

enum { STATUS_MOST = 2048 /* bytes that are made in one piece: the counters */ };

static const char reason_counters[REASON_TYPES][24] = {
	[REASON_EXPIRED] = "ends_expired",
	[REASON_RELEASED] = "ends_released",
	[REASON_ADMIN] = "ends_admin",
	[REASON_GIVEN_UP] = "ends_given_up",
	[REASON_PEER_GONE] = "ends_peer_gone",
	[REASON_TAKEN] = "ends_taken",
	[REASON_FAILED] = "ends_failed",
	[REASON_RETIRED] = "ends_retired",
	[REASON_INVALID] = "refusals_invalid",
	[REASON_UNSUPPORTED] = "refusals_unsupported",
	[REASON_UNAVAILABLE] = "refusals_unavailable",
	[REASON_LATER] = "refusals_later",
	[REASON_STRANGER] = "refusals_stranger",
	[REASON_PORT] = "refusals_port",
	[REASON_TOO_MANY] = "refusals_too_many",
};

static size_t status_head(const struct server *server, char *buf)
{
	size_t len = snprintf(buf, CONTROL_CHUNK, "interface=%s\nrole=server\nlease_time=%u\n",
			      server->interface, server->book.lease_time);

	if (*server->config)
		len += snprintf(buf + len, CONTROL_CHUNK - len, "config=%s\n", server->config);
	if (*server->reload_error)
		len += snprintf(buf + len, CONTROL_CHUNK - len, "reload_error=%.*s\n",
				CONTROL_LINE - 32, server->reload_error);
	return len + store_status(server, buf + len, CONTROL_CHUNK - len);
}

/* The options of all who have none of their own, which are lines already; 0 behind the last. */
static size_t status_option(const struct server *server, uint64_t index, char *buf)
{
	const char *line = server->policy.text, *end = line + server->policy.head->len, *next;

	for (; line < end; line = next) {
		next = (const char *)memchr(line, '\n', end - line) + 1;
		if (!index--)
			return mempcpy(buf, line, next - line) - (void *)buf;
	}
	return 0;
}

static size_t status_counters(const struct server *server, char *buf)
{
	const struct counters *c = &server->counters;
	const struct {
		const char *name;
		uint64_t value;
	} counters[] = {
		{ "uptime", (now_ms() - server->began) / 1000 },
		{ "connections_accepted", c->connections },
		{ "connections_open", server->session_count },
		{ "readings", c->readings },
		{ "grants", c->grants },
		{ "renewals", c->renewals },
		{ "calls", c->calls },
		{ "reloads", c->reloads[false] },
		{ "reloads_refused", c->reloads[true] },
	};
	size_t len = 0;

	for (size_t i = 0; i < sizeof(counters) / sizeof(*counters); ++i)
		len += control_counter(buf + len, CONTROL_CHUNK - len, counters[i].name,
				       counters[i].value);
	for (int i = 0; i < REASON_TYPES; ++i) {
		if (*reason_counters[i])
			len += control_counter(buf + len, CONTROL_CHUNK - len, reason_counters[i],
					       c->reasons[i]);
	}
	return len;
}

/* What could be leased now, as far as that is known without looking at every peer. */
static uint64_t pool_free(const struct server *server, const struct pool *pool)
{
	const struct reading *reading = &server->reading;
	uint64_t gone = pool->leased, size = pool_size(&server->pools, pool);

	/* The host's own addresses, which are the last. */
	for (uint32_t i = reading->head ? reading->head->ips : 0; i--;) {
		const struct device_ip *ip = &reading->ips[i];

		if (ip->peer != DEVICE_SELF)
			break;
		/* One that several interfaces have counts once. */
		gone += pools_find(&server->pools, &ip->cidr) == pool &&
			!pool_excludes(pool, &ip->cidr) &&
			reading_exact(reading, &ip->cidr) == ip;
	}
	return gone < size ? size - gone : 0;
}

static size_t status_pool(const struct server *server, const struct pool *pool, char *buf)
{
	char net[CIDR_STRLEN];

	return snprintf(buf, CONTROL_LINE, "pool=%s\npool_leased=%llu\npool_free=%llu\n",
			cidr_format(net, &pool->net), (unsigned long long)pool->leased,
			(unsigned long long)pool_free(server, pool));
}

static size_t status_derived(const struct server *server, const uint8_t *key, char *buf)
{
	char text[CIDR_STRLEN];
	struct cidr ip;

	if (!link_locals_have(&server->link_locals, key))
		return 0;
	cidr_derived(&ip, key);
	return sprintf(buf, "allowed_ip=%s\n", cidr_format(text, &ip));
}

static size_t status_lease(const struct server *server, const struct lease *lease, char *buf,
			   uint64_t now)
{
	char key[WG_KEY_LEN_HEX], text[CIDR_STRLEN];
	struct cidr ip;
	size_t len;

	key_to_hex(key, lease->key);
	len = snprintf(buf, CONTROL_LINE, "public_key=%s\n", key);
	for (int v = V4; v < FAMILIES; ++v) {
		if (!lease_holds(lease, v) || !lease_ip(lease, v, &ip))
			continue;
		cidr_format(text, &ip);
		len += snprintf(buf + len, CONTROL_LINE - len, "ip=%s\n", text);
		if (lease->holding[v] == HOLDING_LEASED)
			len += snprintf(buf + len, CONTROL_LINE - len, "allowed_ip=%s\n", text);
	}
	len += status_derived(server, lease->key, buf + len);
	return len + snprintf(buf + len, CONTROL_LINE - len, "expires_in=%llu\n",
			      lease->expires > now ?
				      (unsigned long long)(lease->expires - now + 999) / 1000 :
				      0);
}

/* If it has one from us, and no lease with which it was told. */
static size_t status_link_local(const struct server *server, uint32_t index, char *buf)
{
	const uint8_t *key = link_locals_key(&server->link_locals, index);
	uint32_t lease = leases_find(&server->leases, key);
	char hex[WG_KEY_LEN_HEX];
	size_t len;

	if (lease != LEASE_NONE && lease_holds(&server->leases.list[lease], FAMILIES))
		return 0;
	key_to_hex(hex, key);
	len = sprintf(buf, "link_local_key=%s\n", hex);
	return len + status_derived(server, key, buf + len);
}

/* The high half of the cursor says what is at hand, the low half counts these. */
static size_t status_next(const struct server *server, uint64_t *cursor, char *buf, uint64_t now)
{
	enum { HEAD, OPTIONS, POOL_LIST, LEASE_LIST, LINK_LOCAL_LIST };
	const uint64_t part = UINT64_C(1) << 32;
	uint32_t index = *cursor;
	size_t len = 0;

	switch (*cursor / part) {
	case HEAD:
		*cursor = OPTIONS * part;
		return status_head(server, buf);
	case OPTIONS:
		++*cursor;
		len = status_option(server, index, buf);
		if (len)
			return len;
		*cursor = POOL_LIST * part;
		return status_counters(server, buf);
	case POOL_LIST:
		++*cursor;
		if (index < server->pools.count)
			return status_pool(server, &server->pools.list[index], buf);
		*cursor = LEASE_LIST * part;
		index = 0;
		/* fall through */
	case LEASE_LIST:
		for (; !len && index < server->leases.count; ++index) {
			if (lease_holds(&server->leases.list[index], FAMILIES))
				len = status_lease(server, &server->leases.list[index], buf, now);
		}
		*cursor = LEASE_LIST * part + index;
		if (len)
			return len;
		*cursor = LINK_LOCAL_LIST * part;
		index = 0;
		/* fall through */
	default:
		for (; !len && index < link_locals_count(&server->link_locals); ++index)
			len = status_link_local(server, index, buf);
		*cursor = LINK_LOCAL_LIST * part + index;
		return len;
	}
}

size_t status_fill(void *data, uint64_t *cursor, char *buf)
{
	uint64_t now = now_ms();
	size_t len = 0, more;

	do {
		more = status_next(data, cursor, buf + len, now);
		len += more;
	} while (more && len + STATUS_MOST <= CONTROL_CHUNK);
	return len;
}

int status_release(void *data, const char *value, bool again)
{
	struct server *server = data;
	uint8_t key[WG_KEY_LEN];
	const struct lease *lease;
	uint32_t index;

	if (!key_from_hex(key, value))
		return EINVAL;
	if (!server->same_place)
		return EIO; /* the journal can't be written */
	index = leases_find(&server->leases, key);
	lease = index == LEASE_NONE ? NULL : &server->leases.list[index];
	if (!lease || !lease_holds(lease, FAMILIES))
		return again ? 0 : ENODATA;
	for (int v = V4; !again && v < FAMILIES; ++v)
		lease_end(server, index, v, REASON_ADMIN);
	/* Also what has ended at once is to be on disk first. */
	if (!again || lease->flags & (LEASE_ENDING << V4 | LEASE_ENDING << V6))
		return EAGAIN;
	return lease_holds(lease, FAMILIES) ? EIO : 0; /* the device could not be changed */
}
