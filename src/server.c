// SPDX-License-Identifier: MIT
/*
 * The server is three processes (sandbox.h). The monitor (server-monitor.c) is root, holds the
 * sockets and files, reads and changes the WireGuard device, and never sees a byte from the
 * network. It starts, by way of the spawner, the engine: this file and those that engine.h lists.
 * The engine can do nothing but use what it was handed: it parses requests, keeps leases, pools
 * and journal, and asks the monitor for changes of the device, which the monitor checks. If the
 * engine dies the monitor starts the next, which reads the journal; if the monitor dies the engine
 * ends.
 */

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine.h"

enum { REFUSALS_LOGGED = 100 /* in a second */ };

#define PLAIN { sizeof(struct server_plain), 0, 0, false }
#define PLAIN_FD { sizeof(struct server_plain), 0, 0, true }

const struct message_rule server_engine_rules[SERVER_TYPES] = {
	[SERVER_START] = { sizeof(struct server_start), 0, 0, false },
	[SERVER_SETTINGS] = { offsetof(struct server_settings, nets), sizeof(struct cidr),
			      POOLS + EXCLUDES, true },
	[SERVER_LISTEN] = PLAIN_FD,
	[SERVER_CALLER] = PLAIN_FD,
	[SERVER_CONTROL] = PLAIN_FD,
	[SERVER_JOURNAL] = { sizeof(struct server_journal), 0, 0, true },
	[SERVER_JOURNAL_GONE] = PLAIN,
	[SERVER_READING] = { sizeof(struct server_reading), 0, 0, true },
	[SERVER_DONE] = { offsetof(struct server_done, errors), 1, DEVICE_BATCH, false },
	[SERVER_RENAMED] = { sizeof(struct server_journal), 0, 0, false },
	[SERVER_RELOAD] = { sizeof(struct server_reload), 0, 0, false },
	[SERVER_STOP] = PLAIN,
};

const struct message_rule server_monitor_rules[SERVER_TYPES] = {
	[SERVER_READY] = PLAIN,
	[SERVER_READ] = PLAIN,
	[SERVER_ALLOW] = { offsetof(struct server_orders, changes), sizeof(struct device_change),
			   DEVICE_BATCH, false },
	[SERVER_TAKE] = { offsetof(struct server_orders, changes), sizeof(struct device_change),
			  DEVICE_BATCH, false },
	[SERVER_NEW_JOURNAL] = PLAIN,
	[SERVER_RENAME] = PLAIN,
	[SERVER_LOG] = { offsetof(struct server_log, items), sizeof(struct server_log_item),
			 SERVER_LOG_ITEMS, false },
	[SERVER_STOPPED] = PLAIN,
};

/* --- to the monitor --- */

void server_tell(struct server *server, enum server_message type)
{
	const struct server_plain message = { .head.type = type };

	if (channel_send(&server->channel, &message.head, sizeof(message), -1))
		server->loop.stop = true;
}

static void log_flush(struct server *server)
{
	if (!server->log.head.count)
		return;
	server->log.head.type = SERVER_LOG;
	/* A line that there is no room for is lost; the monitor is told how many. */
	if (channel_send(&server->channel, &server->log.head,
			 SERVER_LENGTH(&server->log, items), -1))
		server->refusals_suppressed += server->log.head.count;
	server->log.head.count = 0;
}

struct server_log_item *server_log(struct server *server, enum server_event event)
{
	struct server_log_item *item;

	if (server->log.head.count == SERVER_LOG_ITEMS)
		log_flush(server);
	item = &server->log.items[server->log.head.count++];
	*item = (struct server_log_item){ .event = event };
	return item;
}

struct server_log_item *server_log_lease(struct server *server, enum server_event event,
					 uint32_t index)
{
	struct server_log_item *item = server_log(server, event);
	const struct lease *lease = &server->leases.list[index];
	struct cidr ip;

	memcpy(item->key, lease->key, KEY_LEN);
	item->has_key = true;
	item->lease_time = lease->time;
	for (int v = V4; v < FAMILIES; ++v) {
		if (lease_ip(lease, v, &ip) && lease_holds(lease, v))
			item->ip[v] = ip;
	}
	return item;
}

struct server_log_item *server_refuse(struct server *server, enum server_reason reason,
				      const struct cidr *from)
{
	const struct device_ip *ip = reading_exact(&server->reading, from);
	struct server_log_item *item;
	uint64_t second = now_ms() / 1000;

	++server->counters.reasons[reason];
	if (second != server->refusals_second) {
		server->refusals_second = second;
		server->refusals_logged = 0;
	}
	if (server->refusals_logged++ >= REFUSALS_LOGGED) {
		++server->refusals_suppressed;
		return NULL;
	}
	if (server->refusals_suppressed) {
		server_log(server, EVENT_SUPPRESSED)->number = server->refusals_suppressed;
		server->refusals_suppressed = 0;
	}
	item = server_log(server, EVENT_REFUSED);
	item->reason = reason;
	item->from = *from;
	if (ip && ip->peer != DEVICE_SELF) {
		item->has_key = true;
		memcpy(item->key, server->reading.peers[ip->peer].key, KEY_LEN);
	}
	return item;
}

void server_read(struct server *server, bool stranger)
{
	uint64_t at = now_ms(), pause = 20 * server->reading_cost;

	/* What strangers cause takes at most a twentieth of the time. */
	if (stranger && at < server->reading_asked + (pause > 1000 ? pause : 1000))
		at = server->reading_asked + (pause > 1000 ? pause : 1000);
	if (at < server->reading_wanted)
		server->reading_wanted = at;
}

/* --- from the monitor --- */

static void start(struct server *server, const struct server_start *start)
{
	memcpy(server->interface, start->interface, sizeof(server->interface));
	memcpy(server->secret, start->secret, sizeof(server->secret));
	server->ifindex = start->ifindex;
	server->place = start->place;
	server->began = now_ms();
	server->book = (struct book){
		.leases = &server->leases,
		.pools = &server->pools,
		.policy = &server->policy,
		.reading = &server->reading,
		.claims = server->claims,
	};
	hash_open(&server->book.changes.hash, server->secret);
	leases_open(&server->leases, &server->pools, server->secret);
}

static void summary(struct server *server)
{
	struct server_log_item *item = server_log(server, EVENT_STARTED);

	for (uint32_t i = 0; i < server->leases.count; ++i) {
		const struct lease *lease = &server->leases.list[i];

		if (lease_holds(lease, FAMILIES))
			++item->number;
		else if (lease->holding[V4] || lease->holding[V6])
			++item->number2;
	}
}

/* The journal that there is comes first; all others are those that were asked for. */
static void journal_came(struct server *server, const struct server_journal *message, int fd)
{
	if (server->loaded) {
		store_new_file(server, fd, message->error);
		return;
	}
	server->loaded = true;
	server->journal.fd = fd;
	if (fd < 0 || !store_load(server)) {
		log_flush(server);
		server->stopping = server->loop.stop = true; /* in order: why has been told */
	}
}

static void reading_came(struct server *server, const struct server_reading *message, int fd)
{
	if (fd >= 0 && server->loaded)
		reconcile_reading(server, message, fd);
	else
		server->reading_wanted = now_ms() + 1000; /* out of descriptors */
	if (fd >= 0)
		close(fd);
	if (server->ready)
		calls_reading(server);
	if (server->ready || !server->reading.head || !server->listener.added)
		return;
	server->ready = true;
	link_locals_missing(server);
	calls_start(server);
	store_room(server, CHANGE_RECORDS);
	log_flush(server); /* what is wrong, while the monitor's parent is there to show it */
	server_tell(server, SERVER_READY);
	summary(server);
}

static void settings(struct server *server, const struct server_settings *message, int fd)
{
	bool ok = settings_came(server, message, fd);

	if (fd >= 0)
		close(fd);
	/* Later on, the next engine may have more luck. */
	if (!ok && server->started)
		server->loop.stop = true;
	else if (!ok)
		server_log(server, EVENT_FATAL)->reason = REASON_MEMORY;
	server->started = ok;
}

static void reload(struct server *server, const struct server_reload *message)
{
	server->reload_at = message->at;
	server->reload_refused = message->refused;
	memcpy(server->reload_error, message->error, sizeof(server->reload_error) - 1);
	server->reload_ordered = false;
}

static void message_came(struct server *server, const union message_buffer *buffer, int fd)
{
	const void *message = buffer;

	switch (buffer->head.type) {
	case SERVER_START:
		start(server, message);
		break;
	case SERVER_SETTINGS:
		settings(server, message, fd);
		break;
	case SERVER_CALLER:
		server->calls.fd = fd;
		break;
	case SERVER_RELOAD:
		reload(server, message);
		break;
	case SERVER_LISTEN:
		if (!loop_watch(&server->loop, &server->listener, fd, sessions_accept))
			server->loop.stop = true;
		break;
	case SERVER_CONTROL:
		server->have_control = fd >= 0 && control_open(&server->control, &server->loop,
							       fd, status_fill, status_release,
							       server);
		break;
	case SERVER_JOURNAL:
		if (server->started)
			journal_came(server, message, fd);
		break;
	case SERVER_JOURNAL_GONE:
		store_gone(server);
		break;
	case SERVER_READING:
		reading_came(server, message, fd);
		break;
	case SERVER_DONE:
		orders_done(server, message);
		break;
	case SERVER_RENAMED:
		store_renamed(server, message);
		break;
	case SERVER_STOP:
		server->stopping = true;
		break;
	}
}

static void monitor_ready(struct watch *watch, uint32_t events)
{
	struct server *server = watch_owner(watch, struct server, monitor);
	union message_buffer buffer;
	int ret = -EAGAIN, fd;

	if (events & EPOLLOUT && channel_flush(&server->channel))
		server->loop.stop = true;
	while (!server->loop.stop && (ret = channel_receive(&server->channel, &buffer, &fd)) > 0)
		message_came(server, &buffer, fd);
	if (!server->loop.stop && ret != -EAGAIN)
		server->loop.stop = true;
}

/* --- the loop --- */

static bool flush(struct server *server)
{
	return store_write(server) && store_sync(server);
}

/* All is on disk that was promised; what is under way is lost to nobody. */
static void stop(struct server *server)
{
	flush(server);
	log_flush(server);
	server_tell(server, SERVER_STOPPED);
	channel_flush(&server->channel);
	server->loop.stop = true;
}

static uint64_t turn(void *data)
{
	struct server *server = data;
	uint64_t now = now_ms(), at = NEVER;
	bool broken = server->journal_broken; /* then nothing is ordered that needs a record */

	if (server->ready) {
		at = sooner(at, leases_turn(server, now));
		at = sooner(at, reconcile_turn(server, now));
		at = sooner(at, link_locals_turn(server));
		/* What has ended is on disk before anybody is told so. */
		if (!flush(server) && !broken)
			orders_drop(server);
	}
	/* Who waits for the end of a lease hears of it before its peer may have another. */
	if (server->have_control)
		at = sooner(at, control_turn(&server->control, now));
	if (server->ready) {
		if (!grant_at(server, now))
			grant_all(server, now);
		at = sooner(at, store_turn(server, now));
		at = sooner(at, sessions_turn(server, now));
		at = sooner(at, grant_at(server, now));
		orders_send(server);
		at = sooner(at, calls_turn(server, now));
		flush(server);
		if (server->reading_wanted <= now) {
			server->reading_wanted = now + READING_MS;
			server->reading_asked = now;
			server_tell(server, SERVER_READ);
		}
		at = sooner(at, server->reading_wanted);
	}
	if (server->stopping)
		stop(server);
	log_flush(server);
	loop_change(&server->loop, &server->monitor,
		    EPOLLIN | (server->channel.first ? EPOLLOUT : 0));
	return at;
}

int server_engine(int channel_fd)
{
	static struct server server; /* large, and all zero */

	server.sessions_end = &server.sessions;
	server.journal.fd = server.fresh.fd = server.old = server.calls.fd = -1;
	server.compact = server.sweep = LEASE_NONE;
	server.reading_wanted = NEVER;
	channel_open(&server.channel, channel_fd, server_engine_rules, SERVER_TYPES);
	if (!loop_open(&server.loop) ||
	    !loop_watch(&server.loop, &server.monitor, channel_fd, monitor_ready))
		return 1;
	server.loop.first = &server.monitor;
	loop_run(&server.loop, turn, &server);
	return server.stopping ? 0 : 1;
}
