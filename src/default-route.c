// SPDX-License-Identifier: MIT
/* Calls of wg-quick's add-default and del-default. */

#include <net/if.h>
#include <string.h>
#include <syslog.h>

#include "client-check.h"
#include "default-route.h"
#include "device.h"
#include "log.h"

static const char hint[] = ": for default routes, the wg-quick that comes with wg-dynamic must "
			   "be the first in PATH";

uint32_t default_route_on(const char *interface)
{
	static const struct cidr v4 = { .family = AF_INET }, v6 = { .family = AF_INET6 };
	struct reading reading = { 0 };
	uint32_t routes = DEFAULT_ROUTE_V4 | DEFAULT_ROUTE_V6;

	if (!client_reading(interface, &reading))
		routes = (reading_exact(&reading, &v4) ? DEFAULT_ROUTE_V4 : 0) |
			 (reading_exact(&reading, &v6) ? DEFAULT_ROUTE_V6 : 0);
	reading_unmap(&reading);
	return routes;
}

static void next(struct default_route *r);

static bool is_ours(const struct default_route *r)
{
	return if_nametoindex(r->interface) == r->ifindex;
}

/* wg-quick goes by the name: while this waited for its turn, another may have come to have it. */
static bool may_add(void *data)
{
	struct default_route *r = data;

	if (is_ours(r))
		return true;
	r->failed |= r->busy;
	r->busy = 0;
	return false;
}

static bool may_delete(void *data)
{
	struct default_route *r = data;
	uint32_t others = 0;

	if (!is_ours(r) && if_nametoindex(r->interface))
		others = default_route_on(r->interface) & r->busy;
	if (!others)
		return true;
	r->there &= ~others;
	r->stale &= ~others;
	r->busy = 0;
	next(r);
	return false;
}

static void run(struct default_route *r, const char *word, uint32_t routes,
		bool (*start)(void *data), void (*done)(void *data, bool success))
{
	const char *argv[6] = { "wg-quick", word, r->interface };
	const struct program program = {
		.argv = argv,
		.hint = hint,
		.quiet = r->failed & routes,
		.start = start,
		.done = done,
		.data = r,
	};
	int count = 3;

	if (routes & DEFAULT_ROUTE_V4)
		argv[count++] = "0.0.0.0/0";
	if (routes & DEFAULT_ROUTE_V6)
		argv[count++] = "::/0";
	r->busy = runner_add(r->runner, &program) ? 0 : routes;
}

static void added(void *data, bool success)
{
	struct default_route *r = data;

	r->there |= r->busy; /* half done, if it failed */
	r->failed = success ? r->failed & ~r->busy : r->failed | (r->busy & r->wanted);
	r->again &= ~r->busy;
	r->busy = 0;
	r->added();
	next(r);
}

static void deleted(void *data, bool success)
{
	struct default_route *r = data;
	int ret = 0;

	(void)success;
	r->there &= ~r->busy;
	r->stale &= ~r->busy;
	r->busy = 0;
	if (!r->there && !r->wanted && r->unmark && is_ours(r))
		ret = device_mark(r->interface, 0);
	if (ret && is_ours(r))
		log_line(LOG_ERR, "cannot take away the firewall mark: %s", strerror(-ret));
	next(r);
}

/* One at a time: what is wanted may be something else when it has ended. */
static void next(struct default_route *r)
{
	uint32_t gone = (r->there & ~r->wanted) | r->stale;
	uint32_t new = r->wanted & ~r->there & (~r->failed | r->again);

	if (r->busy)
		return;
	if (gone)
		run(r, "del-default", gone, may_delete, deleted);
	else if (new)
		run(r, "add-default", new, may_add, added);
}

void default_route_set(struct default_route *r, uint32_t routes)
{
	r->wanted = routes;
	r->failed &= routes;
	r->again &= routes;
	next(r);
}

void default_route_retry(struct default_route *r)
{
	if (r->busy)
		return;
	r->again = r->failed;
	r->stale |= r->failed & r->there;
}

uint32_t default_route_in_force(const struct default_route *r)
{
	return r->there & r->wanted & ~r->failed & ~r->stale & ~r->busy;
}

bool default_route_whole(const struct default_route *r)
{
	return r->there && r->there == r->wanted && !r->failed && !r->stale && !r->busy;
}

void default_route_again(struct default_route *r)
{
	r->failed = 0;
	r->stale = r->there;
	next(r);
}
