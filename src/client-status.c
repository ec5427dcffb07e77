// SPDX-License-Identifier: MIT
/* What the client's engine answers when people ask how it is. */

#include <stdio.h>
#include <string.h>

#include "client-status.h"
#include "control.h"
#include "encoding.h"
#include "loop.h"

void client_failure_text(char *buf, size_t size, const struct failure *failure)
{
	switch (failure->kind) {
	case FAILURE_SOCKET:
		snprintf(buf, size, "no socket: %s", strerror(failure->error));
		break;
	case FAILURE_CONNECT:
		snprintf(buf, size, "cannot connect to the server: %s", strerror(failure->error));
		break;
	case FAILURE_CONNECT_TIMEOUT:
		snprintf(buf, size, "the server is not reachable: timed out");
		break;
	case FAILURE_ANSWER_TIMEOUT:
		snprintf(buf, size, "the server took the connection, but does not answer");
		break;
	case FAILURE_CLOSED:
		snprintf(buf, size, "the server closed the connection without a whole answer%s%s",
			 failure->error ? ": " : "",
			 failure->error ? strerror(failure->error) : "");
		break;
	case FAILURE_MALFORMED:
		snprintf(buf, size, "the server's answer is malformed");
		break;
	case FAILURE_LATE:
		snprintf(buf, size, "the lease was over when it came");
		break;
	case FAILURE_REFUSED:
		snprintf(buf, size, "the server refused: %s", status_message(failure->status));
		break;
	default:
		*buf = '\0';
	}
}

static unsigned long long seconds_until(uint64_t at)
{
	uint64_t now = now_ms();

	return at > now ? (at - now) / 1000 : 0;
}

static size_t status_lease(const struct client_status *status, char *buf, size_t size)
{
	const struct lifecycle *l = &status->lifecycle;
	char text[CIDR_STRLEN];
	size_t len = 0;

	for (int v = V4; v < FAMILIES; ++v) {
		if (l->lease.ip[v].family)
			len += snprintf(buf + len, size - len, "ip=%s\n",
					cidr_format(text, &l->lease.ip[v]));
	}
	if (lifecycle_holds(l) && l->lease_time)
		len += snprintf(buf + len, size - len, "lease_time=%u\n", l->lease_time);
	if (l->state == LIFECYCLE_BOUND || l->state == LIFECYCLE_WAITING ||
	    l->state == LIFECYCLE_RETRYING)
		len += snprintf(buf + len, size - len, "request_in=%llu\n",
				seconds_until(lifecycle_deadline(l)));
	if (lifecycle_holds(l))
		len += snprintf(buf + len, size - len, "expires_in=%llu\n",
				seconds_until(l->lease.until));
	return len;
}

/* In the server's own words too, where they are other than the protocol's. */
static size_t status_error(const struct client_status *status, char *buf, size_t size)
{
	const struct failure *failure = &status->lifecycle.failure;
	bool own = failure->kind == FAILURE_REFUSED && *status->said &&
		   strcmp(status->said, status_message(failure->status));
	char text[256];

	client_failure_text(text, sizeof(text), failure);
	if (!*text)
		return 0;
	return snprintf(buf, size, "last_error=%s%s%s\n", text, own ? ": " : "",
			own ? status->said : "");
}

static const char failure_counters[FAILURE_REFUSED][28] = {
	[FAILURE_SOCKET] = "failures_socket",
	[FAILURE_CONNECT] = "failures_connect",
	[FAILURE_CONNECT_TIMEOUT] = "failures_connect_timeout",
	[FAILURE_ANSWER_TIMEOUT] = "failures_answer_timeout",
	[FAILURE_CLOSED] = "failures_closed",
	[FAILURE_MALFORMED] = "failures_malformed",
	[FAILURE_LATE] = "failures_late",
};

static const char refusal_counters[STATUS_LATER + 1][24] = {
	[STATUS_INVALID] = "refusals_invalid",
	[STATUS_UNSUPPORTED] = "refusals_unsupported",
	[STATUS_UNAVAILABLE] = "refusals_unavailable",
	[STATUS_LATER] = "refusals_later",
};

static size_t status_counters(const struct client_status *status, char *buf, size_t size)
{
	const struct lifecycle_counters *c = &status->lifecycle.counters;
	size_t len = control_counter(buf, size, "uptime", (now_ms() - status->began) / 1000);

	len += control_counter(buf + len, size - len, "requests", c->requests);
	len += control_counter(buf + len, size - len, "grants", c->grants);
	len += control_counter(buf + len, size - len, "renewals", c->renewals);
	len += control_counter(buf + len, size - len, "expiries", c->expiries);
	len += control_counter(buf + len, size - len, "calls", c->calls);
	len += control_counter(buf + len, size - len, "reloads", status->network.reloads);
	for (int i = FAILURE_NONE + 1; i < FAILURE_REFUSED; ++i)
		len += control_counter(buf + len, size - len, failure_counters[i], c->failures[i]);
	for (int i = STATUS_OK + 1; i <= STATUS_LATER; ++i)
		len += control_counter(buf + len, size - len, refusal_counters[i], c->refusals[i]);
	return len;
}

static size_t status_first(const struct client_status *status, char *buf)
{
	char hex[WG_KEY_LEN_HEX], link_local[CIDR_STRLEN];
	size_t len;

	key_to_hex(hex, status->start.server);
	len = snprintf(buf, CONTROL_CHUNK,
		       "interface=%.16s\nrole=client\nstate=%s\nserver_public_key=%s\n"
		       "link_local=%s\n",
		       status->start.interface, lifecycle_name(status->lifecycle.state), hex,
		       cidr_format_ip(link_local, &status->start.link_local));
	len += status_lease(status, buf + len, CONTROL_CHUNK - len);
	return len + status_error(status, buf + len, CONTROL_CHUNK - len);
}

static size_t status_route(const struct client_status *status, char *buf, uint64_t i)
{
	char text[CIDR_STRLEN];
	size_t len = 0;

	cidr_format(text, &status->network.options.route[i]);
	if (!status->network.waiting[i])
		len = snprintf(buf, CONTROL_LINE, "route=%s\n", text);
	if (status->network.allowed[i])
		len += snprintf(buf + len, CONTROL_LINE - len, "allowed_ip=%s\n", text);
	return len;
}

/* What is configured beside routes. */
static size_t status_rest(const struct client_status *status, char *buf)
{
	char text[OPTIONS_TEXT];
	size_t len = options_encode(text, &status->network.options, WANT_DNS | WANT_MTU);

	memcpy(buf, text, len);
	return len;
}

static size_t status_refused(const struct client_status *status, char *buf, uint64_t i)
{
	char text[CIDR_STRLEN];

	return snprintf(buf, CONTROL_LINE, "refused=%s\n",
			cidr_format(text, &status->network.refused[i]));
}

/* The cursor: 0, each route and each refusal there may be, counted from 1, then the rest. */
enum {
	STATUS_REFUSED = 1 + OPTIONS_ROUTES,
	STATUS_REST = STATUS_REFUSED + CLIENT_REFUSED,
	STATUS_COUNTERS,
	STATUS_END,
};

/* What goes line by line, as far as there is room. */
static size_t status_lines(const struct client_status *status, char *buf, uint64_t *cursor)
{
	size_t len = 0;

	for (; *cursor < STATUS_REST && len < CONTROL_CHUNK - CONTROL_LINE; ++*cursor) {
		uint64_t i = *cursor < STATUS_REFUSED ? *cursor - 1 : *cursor - STATUS_REFUSED;

		if (*cursor < STATUS_REFUSED && i < status->network.options.routes)
			len += status_route(status, buf + len, i);
		else if (*cursor >= STATUS_REFUSED && i < status->network.refusals)
			len += status_refused(status, buf + len, i);
	}
	return len;
}

size_t client_status_fill(void *data, uint64_t *cursor, char *buf)
{
	const struct client_status *status = data;
	size_t len = 0;

	if (!*cursor) {
		++*cursor;
		return status_first(status, buf);
	}
	len = status_lines(status, buf, cursor);
	if (!len && *cursor == STATUS_REST) {
		*cursor = STATUS_COUNTERS;
		len = status_rest(status, buf);
	}
	if (!len && *cursor == STATUS_COUNTERS) {
		*cursor = STATUS_END;
		len = status_counters(status, buf, CONTROL_CHUNK);
	}
	return len;
}
