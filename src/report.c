// SPDX-License-Identifier: MIT
/* What happened, in words. Numbers outside their enum are said to be so, and nothing else. */

#include <string.h>
#include <syslog.h>

#include "log.h"
#include "report.h"
#include "text.h"

static const char *const reasons[REASON_TYPES] = {
	[REASON_NONE] = "",
	[REASON_EXPIRED] = "expired",
	[REASON_RELEASED] = "released",
	[REASON_ADMIN] = "the administrator released it",
	[REASON_GIVEN_UP] = "given up for another",
	[REASON_PEER_GONE] = "the peer was removed from the interface",
	[REASON_TAKEN] = "the administrator gave it to another peer",
	[REASON_FAILED] = "it could not be made good",
	[REASON_RETIRED] = "its pool is gone",
	[REASON_INVALID] = "invalid request",
	[REASON_UNSUPPORTED] = "unsupported command or version",
	[REASON_UNAVAILABLE] = "no address is left in the pools",
	[REASON_LATER] = "can't be done now, told to try again",
	[REASON_STRANGER] = "this link-local is in no peer's allowed-ips: add it, as /128",
	[REASON_PORT] = "its source port is not below 1024",
	[REASON_TOO_MANY] = "two connections of this peer are open",
	[REASON_JOURNAL_DAMAGED] = "damaged",
	[REASON_JOURNAL_FOREIGN] = "of another interface",
	[REASON_JOURNAL_UNREAD] = "not readable",
	[REASON_MEMORY] = "out of memory",
};

enum { IPS_TEXT = FAMILIES * (CIDR_STRLEN + 2), WHO_TEXT = 160 };

static const char *addresses(const struct server_log_item *item, char text[static IPS_TEXT])
{
	char *at = text;

	for (int v = V4; v < FAMILIES; ++v) {
		if (item->ip[v].family != family_of(v) || !cidr_is_host(&item->ip[v]))
			continue;
		if (at > text)
			at = text_put(at, ", ");
		at = cidr_put(at, &item->ip[v]);
	}
	*at = '\0';
	return text;
}

static const char *who(const struct server_log_item *item, char text[static WHO_TEXT])
{
	bool from = item->from.family == family_of(V6);
	char *at = text;

	if (item->has_key)
		at = text_key(text_put(at, "peer "), item->key);
	if (item->has_key && from)
		at = text_put(at, " at ");
	if (from)
		at = cidr_put_ip(at, &item->from);
	if (item->has_key || from)
		at = text_put(at, ": ");
	*at = '\0';
	return text;
}

static void fatal(const struct server_log_item *item, const char *interface)
{
	switch (item->reason) {
	case REASON_JOURNAL_DAMAGED:
		log_failure("line %u of %s/%s.leases is damaged, and so nothing was changed: "
			    "restore the file, or %s", item->number, STATEDIR, interface,
			    item->number == 1 ? "move it away, which forgets all leases" :
						"remove that line, and with it the lease that it "
						"may be of");
		break;
	case REASON_JOURNAL_FOREIGN:
		log_failure("%s/%s.leases holds the leases of another interface: move it away",
			    STATEDIR, interface);
		break;
	case REASON_JOURNAL_UNREAD:
		log_failure("cannot read %s/%s.leases, and so nothing was changed: %s: mend the "
			    "disk, or restore the file", STATEDIR, interface,
			    strerror(item->number));
		break;
	default:
		log_failure("out of memory");
	}
}

static void no_link_local(const struct server_log_item *item)
{
	char key[TEXT_KEY + 1];

	*text_key(key, item->key) = '\0';
	if (item->number == 1)
		log_line(LOG_NOTICE, "peer %s has no link-local address in its AllowedIPs and "
			 "cannot ask: `link-locals auto' gives it one", key);
	else
		log_line(LOG_NOTICE, "%u peers have no link-local address in their AllowedIPs and "
			 "cannot ask: `link-locals auto' gives them one", item->number);
}

/* The one line of which there may be thousands in a second. */
static void granted(const char *peer, const char *before, const char *ips, const char *behind,
		    uint32_t seconds)
{
	char text[WHO_TEXT + IPS_TEXT + 64], *at = text;

	at = text_put(text_put(at, peer), before);
	at = text_put(text_put(at, ips), behind);
	at = text_put(text_number(at, seconds), " s");
	log_text(LOG_INFO, text, at - text);
}

static void line(const struct server_log_item *item)
{
	const char *reason = item->reason < REASON_TYPES ? reasons[item->reason] : "?";
	char ips[IPS_TEXT], peer[WHO_TEXT];

	if (log_full())
		return;
	addresses(item, ips);
	who(item, peer);
	switch (item->event) {
	case EVENT_STARTED:
		log_line(LOG_INFO, "leases: %u, and peers whose last address is remembered: %u",
			 item->number, item->number2);
		break;
	case EVENT_GRANTED:
		granted(peer, "leased ", ips, " for ", item->lease_time);
		break;
	case EVENT_CHANGED:
		granted(peer, "now has ", ips, " leased for ", item->lease_time);
		break;
	case EVENT_ENDED:
		log_line(LOG_INFO, "%slease of %s ended: %s (of %u s)", peer, ips, reason,
			 item->lease_time);
		break;
	case EVENT_PUT_BACK:
		log_line(LOG_NOTICE, "%s%s is leased to it but was in no allowed-ips: put back",
			 peer, ips);
		break;
	case EVENT_REFUSED:
		if (item->reason == REASON_UNAVAILABLE && *ips)
			reason = "another's, in no pool, or the pools are used up";
		log_line(LOG_NOTICE, "%srefused%s%s: %s", peer, *ips ? " " : "", ips, reason);
		break;
	case EVENT_SUPPRESSED:
		log_line(LOG_NOTICE, "%u more lines were not logged", item->number);
		break;
	case EVENT_JOURNAL:
		log_line(LOG_ERR, "cannot write the journal: %s: no lease is given or renewed "
			 "that it can't record", strerror(item->error));
		break;
	case EVENT_JOURNAL_NEW:
		if (item->error)
			log_line(LOG_WARNING, "cannot write the journal anew, it goes on as it "
				 "is: %s", strerror(item->error));
		else
			log_line(LOG_INFO, "the journal was written anew: %u records are left",
				 item->number);
		break;
	case EVENT_JOURNAL_CUT:
		log_line(LOG_WARNING, "the journal ended in %u damaged lines, of a write that was "
			 "cut short: left out", item->number);
		break;
	case EVENT_DEVICE:
		log_line(LOG_ERR, "cannot change the device: %s", strerror(item->error));
		break;
	case EVENT_LINK_LOCALS:
		log_line(LOG_INFO, "derived link-locals: %u given, %u taken back", item->number,
			 item->number2);
		break;
	case EVENT_NO_LINK_LOCAL:
		no_link_local(item);
		break;
	case EVENT_LINK_LOCAL_CLASH:
		log_line(LOG_WARNING, "%scan't have this derived link-local, which is taken (%u "
			 "such peers): write another into its AllowedIPs", peer, item->number);
		break;
	default:
		log_line(LOG_ERR, "the engine reported an event that does not exist");
	}
}

bool report(const struct server_log *log, const char *interface, bool serving)
{
	bool serves = true;

	log_hold(true);
	for (uint32_t i = 0; i < log->head.count; ++i) {
		if (log->items[i].event == EVENT_FATAL && !serving) {
			fatal(&log->items[i], interface);
			serves = false;
		} else {
			line(&log->items[i]);
		}
	}
	log_hold(false);
	return serves;
}
