// SPDX-License-Identifier: MIT
/* The engine's numbers in words. */

#include <errno.h>
#include <syslog.h>

#include "client-report.h"
#include "daemon.h"
#include "holding.h"
#include "log.h"

/* The usual causes, where there are any. */
static const char *hint(const struct failure *failure)
{
	switch (failure->kind) {
	case FAILURE_SOCKET:
		if (failure->error == EADDRNOTAVAIL)
			return ": has the link-local address been removed?";
		break;
	case FAILURE_CONNECT:
		if (failure->error == ECONNREFUSED)
			return ": does `wg dynamic server' run there? Is TCP port 970 filtered?";
		if (failure->error == EADDRNOTAVAIL)
			return ": the last connection is not over yet";
		if (failure->error == EDESTADDRREQ)
			return ": its peer has no endpoint";
		/* fall through */
	case FAILURE_CONNECT_TIMEOUT:
		return ": is the server up, is TCP port 970 filtered there, and is our link-local "
		       "in its AllowedIPs for us?";
	case FAILURE_CLOSED:
		if (!failure->error)
			return ": is our link-local in its AllowedIPs for us, as /128?";
		break;
	case FAILURE_REFUSED:
		if (failure->status == STATUS_UNAVAILABLE)
			return ": are its pools used up?";
		break;
	}
	return "";
}

static void log_failed(const struct failure *failure)
{
	char text[256];

	client_failure_text(text, sizeof(text), failure);
	log_line(LOG_WARNING, "%s%s", text, hint(failure));
}

/* The wait is over: perhaps a request is still under way. */
void client_report_waited(const struct failure *failure)
{
	const struct failure unreachable = { .kind = FAILURE_CONNECT_TIMEOUT };
	const char *waited = daemon_parent() < 0 ? "no addresses yet" :
			     "no addresses yet, going on in the background";
	char text[256];

	client_failure_text(text, sizeof(text), failure);
	if (*text) /* the hint has been said */
		log_line(LOG_WARNING, "%s: %s", waited, text);
	else
		log_line(LOG_WARNING, "%s%s", waited, hint(&unreachable));
}

/* What the server sends in vain, once. */
static void log_ignored(const struct client_change *change)
{
	static uint32_t told, dropped;
	uint32_t unasked = change->unasked & ~told;

	told |= unasked;
	for (; want_word(unasked); unasked &= unasked - 1)
		log_line(LOG_NOTICE, "the server sends a %s, which was not asked for: ignored",
			 want_word(unasked));
	if (change->options.dropped && !dropped)
		log_line(LOG_WARNING, "the server sends more than there is room for: %u values "
			 "are ignored", change->options.dropped);
	dropped = change->options.dropped;
}

void client_report(const struct client_change *change, const struct lifecycle_lease *lease,
		   const struct lifecycle_lease *was)
{
	char now[2 * CIDR_STRLEN], before[2 * CIDR_STRLEN];

	if (change->set)
		log_ignored(change);
	holding_text(now, lease);
	holding_text(before, was);
	switch (change->report) {
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
		log_failed(&change->failure);
		break;
	case REPORT_EXPIRED:
		log_line(LOG_WARNING, "the lease of %s has ended, not renewed: removed", before);
		break;
	case REPORT_RELEASED:
		log_line(LOG_INFO, "released %s", before);
		break;
	}
}
