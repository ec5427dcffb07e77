/* SPDX-License-Identifier: MIT */
/*
 * What the two halves of the server say to each other: fixed-size structs, native byte order. The
 * engine asks; the monitor checks all of it on its own knowledge before it does anything.
 */

#ifndef SERVER_H
#define SERVER_H

#include <stddef.h>
#include <stdint.h>

#include "channel.h"
#include "device.h"
#include "journal.h"
#include "policy.h"
#include "pool.h"

enum server_message {
	/* monitor to engine */
	SERVER_START = 1, /* the first: all that is known before the sockets come */
	SERVER_SETTINGS, /* the second, and whenever they are others: brings a policy */
	SERVER_LISTEN, /* brings the listening TCP socket */
	SERVER_CALLER, /* brings the UDP socket by which clients are called */
	SERVER_CONTROL, /* brings the listening status socket */
	SERVER_JOURNAL, /* brings a journal: the one there is, or an empty one that was asked for */
	SERVER_JOURNAL_GONE, /* the journal's name is another file's by now, or nobody's */
	SERVER_READING, /* brings a reading of the device */
	SERVER_DONE, /* orders have been carried out */
	SERVER_RENAMED, /* the new journal stands in the old one's place */
	SERVER_RELOAD, /* told to read all again; settings that count now have come before */
	SERVER_STOP, /* end in order */
	/* engine to monitor */
	SERVER_READY, /* serves */
	SERVER_READ, /* wants a reading that begins from now on */
	SERVER_ALLOW, /* orders: add to allowed-ips */
	SERVER_TAKE, /* orders: take out of allowed-ips */
	SERVER_NEW_JOURNAL, /* wants an empty journal file */
	SERVER_RENAME, /* the new journal is whole and on disk: put it in the old one's place */
	SERVER_LOG, /* something for people to know */
	SERVER_STOPPED, /* answered SERVER_STOP: nothing more will come */
	SERVER_TYPES,
};

struct server_start {
	struct message head;
	uint32_t ifindex;
	struct journal_start place; /* where the device lives now */
	char interface[16];
	uint8_t secret[JOURNAL_SECRET]; /* random, for a journal that begins */
};

struct server_settings {
	struct message head; /* items: nets */
	uint32_t pools; /* so many of the nets; those behind are excluded from all */
	uint32_t lease_time; /* seconds */
	uint32_t link_locals; /* peers without a link-local get theirs from the server */
	char config[SETTINGS_FILE]; /* the file's name; "": none */
	struct cidr nets[POOLS + EXCLUDES];
};

struct server_reload {
	struct message head;
	uint32_t refused; /* the old settings stay */
	uint64_t at; /* ms: it is done when a reading that began from then on has been used */
	char error[SETTINGS_ERROR]; /* why they do */
};

/*
 * SERVER_LISTEN, _CALLER, _CONTROL, _JOURNAL_GONE, _STOP, _READY, _READ, _NEW_JOURNAL, _RENAME,
 * _STOPPED.
 */
struct server_plain {
	struct message head;
};

struct server_journal {
	struct message head;
	int32_t error; /* why there is no file, or why it is not durable, as an errno; or 0 */
	uint32_t stands; /* SERVER_RENAMED: it has taken the old one's place */
};

struct server_reading {
	struct message head;
	uint32_t stamp; /* what was done up to this one is in it */
	uint32_t cost; /* ms that it took */
	uint64_t began; /* ms of now_ms() */
};

/* SERVER_ALLOW, SERVER_TAKE: changes that are ordered together, under one number. */
struct server_orders {
	struct message head;
	uint32_t order;
	struct device_change changes[DEVICE_BATCH];
};

struct server_done {
	struct message head; /* items: as the orders had */
	uint32_t order;
	uint32_t stamp; /* counts what was done to the device; 0 is never used */
	uint8_t errors[DEVICE_BATCH]; /* of each change: 0, or an errno */
};

enum server_event {
	EVENT_STARTED, /* number: leases that are held; number2: remembered */
	EVENT_GRANTED,
	EVENT_CHANGED, /* one of the addresses is new */
	EVENT_ENDED, /* reason */
	EVENT_PUT_BACK, /* was in nobody's allowed-ips */
	EVENT_REFUSED, /* reason */
	EVENT_SUPPRESSED, /* number: refusals that were not logged */
	EVENT_JOURNAL, /* error: nothing can be recorded */
	EVENT_JOURNAL_NEW, /* number: records of the new file; error: there is none */
	EVENT_JOURNAL_CUT, /* number: damaged lines of a write that was cut short */
	EVENT_DEVICE, /* error: an order failed */
	EVENT_LINK_LOCALS, /* number: given; number2: taken back */
	EVENT_NO_LINK_LOCAL, /* number: peers without one; key: one of them */
	EVENT_LINK_LOCAL_CLASH, /* number: peers that can't have theirs; key, from: one of them */
	EVENT_FATAL, /* reason, number: the engine can't serve, and will not if started again */
	EVENT_TYPES,
};

enum server_reason {
	REASON_NONE,
	/* ends */
	REASON_EXPIRED,
	REASON_RELEASED,
	REASON_ADMIN, /* by `wg dynamic release' */
	REASON_GIVEN_UP, /* its peer asked for another address, or for none of this family */
	REASON_PEER_GONE,
	REASON_TAKEN, /* the administrator gave it to another peer */
	REASON_FAILED, /* could not be made good */
	REASON_RETIRED, /* no pool has it any more, and the other family was renewed */
	/* refusals */
	REASON_INVALID,
	REASON_UNSUPPORTED,
	REASON_UNAVAILABLE,
	REASON_LATER,
	REASON_STRANGER, /* no peer has this link-local */
	REASON_PORT, /* 1024 or above */
	REASON_TOO_MANY, /* connections of one peer */
	/* fatal */
	REASON_JOURNAL_DAMAGED, /* number: the line */
	REASON_JOURNAL_FOREIGN, /* of another interface */
	REASON_JOURNAL_UNREAD, /* number: the errno */
	REASON_MEMORY,
	REASON_TYPES,
};

struct server_log_item {
	uint32_t event, reason;
	uint32_t number, number2;
	int32_t error;
	uint32_t lease_time; /* seconds */
	struct cidr ip[FAMILIES]; /* family 0: none */
	struct cidr from; /* the link-local that asked */
	uint8_t has_key;
	uint8_t key[KEY_LEN];
};

enum {
	SERVER_LOG_ITEMS = 48,
	QUICK_MS = 20, /* a device that is read as quickly is read for each taking back */
	FRESH_MS = 1000, /* for that on others, and for a renewal: this old is as good as new */
};

struct server_log {
	struct message head;
	struct server_log_item items[SERVER_LOG_ITEMS];
};

/* The length of a message that ends with an array of items: of the items in use. */
#define SERVER_LENGTH(message, items) \
	(offsetof(__typeof__(*(message)), items) + \
	 (message)->head.count * sizeof(*(message)->items))

/* What each half takes from the other. */
extern const struct message_rule server_engine_rules[SERVER_TYPES];
extern const struct message_rule server_monitor_rules[SERVER_TYPES];

/* The engine: serves on its end of the channel until told to stop. Returns its exit status. */
int server_engine(int channel_fd);

#endif
