// SPDX-License-Identifier: MIT
/* The engine's numbers in words. */

#include <errno.h>
#include <stdio.h>
#include <syslog.h>

#include "client-report.h"
#include "client-status.h"
#include "daemon.h"
#include "holding.h"
#include "log.h"

enum { HINT = 256 /* bytes, of the usual causes of a failure */ };

/* What of WireGuard itself is missing is said, before anything is asked. */
static void hint_unreachable(char *buf, size_t size, const struct client_setup *setup)
{
	const struct device_peer *peer = NULL;
	struct reading reading = { 0 };
	uint32_t server = DEVICE_NOBODY;
	char text[CIDR_STRLEN];

	if (!client_reading(setup->interface, &reading))
		server = reading_peer(&reading, setup->server);
	if (server != DEVICE_NOBODY)
		peer = &reading.peers[server];
	cidr_format(text, &setup->link_local);
	if (peer && peer->handshake != UINT32_MAX)
		snprintf(buf, size, ": there has been a handshake, so does `wg dynamic server' run "
			 "there, is %s in the AllowedIPs of our peer, and TCP port 970 open?",
			 text);
	else if (peer && !peer->endpoint.family)
		snprintf(buf, size, ": the server's peer has no endpoint here: add its Endpoint");
	else
		snprintf(buf, size, ": there has been no handshake yet: is the server up, is our "
			 "public key that of a peer there, with AllowedIPs %s, and is the "
			 "endpoint here right?", text);
	reading_unmap(&reading);
}

static const char *hint_connect(int error)
{
	switch (error) {
	case ECONNREFUSED:
		return ": does `wg dynamic server' run there? Is TCP port 970 filtered?";
	case EADDRNOTAVAIL:
		return ": the last connection is not over yet";
	case ENETUNREACH:
		return ": no route leads to fe80:: by this interface: has it been removed?";
	case EDESTADDRREQ:
		return ": its peer has no endpoint here: add its Endpoint";
	default:
		return NULL;
	}
}

/* The usual causes, where there are any. */
static void hint(char *buf, size_t size, const struct failure *failure,
		 const struct client_setup *setup)
{
	char link_local[CIDR_STRLEN];
	const char *text = NULL;

	*buf = '\0';
	switch (failure->kind) {
	case FAILURE_SOCKET:
		if (failure->error == EADDRNOTAVAIL)
			text = ": has the link-local address been removed?";
		break;
	case FAILURE_CONNECT:
		text = hint_connect(failure->error);
		if (!text)
			hint_unreachable(buf, size, setup);
		break;
	case FAILURE_CONNECT_TIMEOUT:
		hint_unreachable(buf, size, setup);
		break;
	case FAILURE_CLOSED:
		if (!failure->error)
			snprintf(buf, size, ": is our link-local in its AllowedIPs for us, as %s?",
				 cidr_format(link_local, &setup->link_local));
		break;
	case FAILURE_REFUSED:
		if (failure->status == STATUS_UNAVAILABLE)
			text = ": are its pools used up?";
		break;
	}
	if (text)
		snprintf(buf, size, "%s", text);
}

static void log_failed(const struct failure *failure, const struct client_setup *setup)
{
	char text[256], cause[HINT];

	client_failure_text(text, sizeof(text), failure);
	hint(cause, sizeof(cause), failure, setup);
	log_line(LOG_WARNING, "%s%s", text, cause);
}

/* The wait is over: perhaps a request is still under way. */
void client_report_waited(const struct failure *failure, const struct client_setup *setup)
{
	const char *waited = daemon_parent() < 0 ? "no addresses yet" :
			     "no addresses yet, going on in the background";
	char text[256], cause[HINT];

	client_failure_text(text, sizeof(text), failure);
	if (*text) { /* the hint has been said */
		log_line(LOG_WARNING, "%s: %s", waited, text);
		return;
	}
	hint_unreachable(cause, sizeof(cause), setup);
	log_line(LOG_WARNING, "%s%s", waited, cause);
}

/* What the server sends in vain, once. */
static void log_ignored(const struct client_change *change)
{
	static uint32_t told, dropped;
	uint32_t unasked = change->unasked & ~told, more = change->options.dropped & ~dropped;

	told |= unasked;
	dropped = change->options.dropped;
	for (; want_word(unasked); unasked &= unasked - 1)
		log_line(LOG_NOTICE, "the server sends a %s, which was not asked for: ignored",
			 want_word(unasked));
	for (; want_word(more); more &= more - 1)
		log_line(LOG_WARNING, "the server sends more values of %s than there is room for: "
			 "none of them is taken", want_word(more));
}

void client_report(const struct client_change *change, const struct client_setup *setup,
		   const struct lifecycle_lease *lease, const struct lifecycle_lease *was)
{
	char now[2 * CIDR_STRLEN], before[2 * CIDR_STRLEN];

	if (change->set)
		log_ignored(change);
	holding_text(now, lease);
	holding_text(before, was);
	switch (change->report) {
	case REPORT_NONE:
		if (change->set && !*now && *before)
			log_line(LOG_NOTICE, "%s given up, which the server could not be told: "
				 "there the lease runs on", before);
		break;
	case REPORT_GRANTED:
		log_line(LOG_INFO, "leased %s for %u s", now, change->lease_time);
		break;
	case REPORT_CHANGED:
		log_line(LOG_NOTICE, "leased %s for %u s, instead of %s", now, change->lease_time,
			 before);
		break;
	case REPORT_RECOVERED:
		log_line(LOG_INFO, "the server answers again: %s renewed", now);
		break;
	case REPORT_FAILED:
		log_failed(&change->failure, setup);
		break;
	case REPORT_EXPIRED:
		if (*before) /* else it has been told already */
			log_line(LOG_WARNING, "the lease of %s has ended, not renewed: removed",
				 before);
		break;
	case REPORT_RELEASED:
		log_line(LOG_INFO, "released %s", before);
		break;
	}
}
