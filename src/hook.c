// SPDX-License-Identifier: MIT
/* The environment of the hook: each value is one that has been parsed, written anew. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "encoding.h"
#include "hook.h"
#include "log.h"

enum {
	WAIT_MAX = 8,
	VARIABLES = 16,
	VALUES = OPTIONS_TEXT + PATH_MAX, /* the values of any options, and the rest */
};

static const char *const events[] = {
	[HOOK_BOUND] = "bound",
	[HOOK_RENEWED] = "renewed",
	[HOOK_CHANGED] = "changed",
	[HOOK_EXPIRED] = "expired",
	[HOOK_RELEASED] = "released",
};

struct environment {
	const char *list[VARIABLES + 1];
	uint32_t count;
	size_t len;
	char text[VALUES];
};

static void put(struct environment *e, const char *before, const char *value)
{
	int len = snprintf(e->text + e->len, VALUES - e->len, "%s%s", before, value);

	/* A PATH that is longer than any: cut off. */
	e->len += (size_t)len < VALUES - e->len ? (size_t)len : VALUES - e->len - 1;
}

static void begin(struct environment *e, const char *name)
{
	e->list[e->count++] = e->text + e->len;
	put(e, name, "=");
}

static void end(struct environment *e)
{
	e->len += e->len < VALUES - 1; /* keeps the NUL */
}

static void put_one(struct environment *e, const char *name, const char *value)
{
	begin(e, name);
	put(e, "", value ? value : "");
	end(e);
}

static void put_number(struct environment *e, const char *name, uint32_t number)
{
	char text[16] = "";

	if (number)
		snprintf(text, sizeof(text), "%u", number);
	put_one(e, name, text);
}

static void put_ip(struct environment *e, const char *name, const struct cidr *ip)
{
	char text[CIDR_STRLEN];

	put_one(e, name, ip->family ? cidr_format_ip(text, ip) : NULL);
}

/* Separated by blanks. */
static void put_cidrs(struct environment *e, const char *name, const struct cidr *list,
		      uint32_t count,
		      const char *(*format)(char buf[static CIDR_STRLEN], const struct cidr *c))
{
	char text[CIDR_STRLEN];

	begin(e, name);
	for (uint32_t i = 0; i < count; ++i)
		put(e, i ? " " : "", format(text, &list[i]));
	end(e);
}

static void fill(struct environment *e, const struct hook_facts *facts)
{
	const struct options *o = facts->options;
	char key[WG_KEY_LEN_BASE64];

	key_to_base64(key, facts->server);
	put_ip(e, "WG_DYNAMIC_IP4", &facts->ip[V4]);
	put_ip(e, "WG_DYNAMIC_IP6", &facts->ip[V6]);
	put_ip(e, "WG_DYNAMIC_OLD_IP4", &facts->old[V4]);
	put_ip(e, "WG_DYNAMIC_OLD_IP6", &facts->old[V6]);
	put_number(e, "WG_DYNAMIC_LEASE_TIME", facts->lease_time);
	put_cidrs(e, "WG_DYNAMIC_ROUTES", o->route, o->routes, cidr_format);
	put_cidrs(e, "WG_DYNAMIC_DNS", o->dns, o->dns_count, cidr_format_ip);
	begin(e, "WG_DYNAMIC_SEARCH");
	for (uint32_t i = 0; i < o->searches; ++i)
		put(e, i ? " " : "", o->search[i]);
	end(e);
	put_number(e, "WG_DYNAMIC_MTU", o->mtu);
	put_one(e, "WG_DYNAMIC_SERVER", key);
	put_one(e, "PATH", getenv("PATH"));
}

static void skip(struct runner *runner, const char *name)
{
	log_line(LOG_ERR, "`%s' is too slow: %u events are skipped", name,
		 runner_waiting(runner, name));
	runner_drop(runner, name);
}

void hook_run(struct runner *runner, const char *name, const char *interface,
	      enum hook_event event, const struct hook_facts *facts)
{
	const char *argv[] = { name, interface, events[event], NULL };
	struct environment environment = { .count = 0 };
	const struct program program = {
		.argv = argv, .env = environment.list, .owner = name,
	};

	fill(&environment, facts);
	if (runner_waiting(runner, name) >= WAIT_MAX)
		skip(runner, name);
	runner_add(runner, &program);
}

/* --- what is news --- */

static void tell(struct hook *h, enum hook_event event, const struct lifecycle_lease *lease)
{
	struct hook_facts facts = {
		.lease_time = h->lease_time,
		.options = &h->options,
		.server = h->server,
	};

	memcpy(facts.ip, lease->ip, sizeof(facts.ip));
	memcpy(facts.old, h->lease.ip, sizeof(facts.old));
	h->lease = *lease;
	if (*h->program)
		hook_run(h->runner, h->program, h->interface, event, &facts);
}

void hook_lease(struct hook *h, const struct lifecycle_lease *lease, uint32_t lease_time,
		const struct options *options)
{
	bool same = options_equal(&h->options, options) &&
		    !cidr_compare(&h->lease.ip[V4], &lease->ip[V4]) &&
		    !cidr_compare(&h->lease.ip[V6], &lease->ip[V6]);

	h->lease_time = lease_time;
	h->options = *options;
	tell(h, !lifecycle_lease_any(&h->lease) ? HOOK_BOUND : same ? HOOK_RENEWED : HOOK_CHANGED,
	     lease);
}

void hook_options(struct hook *h, const struct options *options)
{
	const struct lifecycle_lease lease = h->lease;

	if (!lifecycle_lease_any(&lease) || options_equal(&h->options, options))
		return;
	h->options = *options;
	tell(h, HOOK_CHANGED, &lease);
}

void hook_end(struct hook *h, enum hook_event event)
{
	const struct lifecycle_lease nothing = { 0 };

	if (!lifecycle_lease_any(&h->lease))
		return;
	h->lease_time = 0;
	memset(&h->options, 0, sizeof(h->options));
	tell(h, event, &nothing);
}

void hook_skip(struct hook *h)
{
	if (runner_waiting(h->runner, h->program))
		skip(h->runner, h->program);
}
