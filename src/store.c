// SPDX-License-Identifier: MIT
/*
 * The server's journal while it serves: what is recorded, when it is on disk, and how the file is
 * written anew. For that the monitor hands over an empty file; leases are copied into it by
 * slices, records go to both files meanwhile, and the monitor renames it when all is on disk.
 *
 * A record of something that was then refused does no harm: replayed, it is a lease that nobody
 * was told of, and a later record of the same address or key takes its place.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine.h"

enum {
	RECORD = 128, /* bytes, about as long as a record is */
	RESERVED = 1 << 20, /* keys: the peers that a device of the kernel may have */
	DEAD_ALLOWED = 1024, /* records, before a small file is worth writing anew */
	SYNC_SLICES = 8, /* so that no single fdatasync() takes long */
	RETRY_MS = 5000,
	FREE_SLICE = 4 << 20, /* bytes of a file that nobody needs, freed in one turn */
};

/* --- reading --- */

struct load {
	struct server *server;
	struct journal_start place; /* of the records at hand */
	bool same_boot, foreign, no_memory;
	uint64_t now;
};

static void load_header(void *data, const char *interface, const uint8_t *secret)
{
	struct load *load = data;

	load->foreign = strcmp(interface, load->server->interface);
	memcpy(load->server->secret, secret, JOURNAL_SECRET);
	memcpy(load->server->leases.secret, secret, JOURNAL_SECRET);
}

static void load_start(void *data, const struct journal_start *start)
{
	struct load *load = data;

	load->place = *start;
	load->same_boot = !strcmp(start->boot_id, load->server->place.boot_id);
	link_locals_clear(&load->server->link_locals); /* on another device all is his */
}

static void load_link_local(void *data, const uint8_t *key, bool given)
{
	struct load *load = data;

	link_locals_load(&load->server->link_locals, key, given);
}

static void load_settings(void *data, uint64_t digest)
{
	struct load *load = data;

	load->server->served = digest;
	load->server->served_known = true;
}

static void load_lease(void *data, const struct journal_lease *record)
{
	struct load *load = data;
	struct leases *leases = &load->server->leases;
	uint32_t index = leases_find(leases, record->key);
	/* Of another boot only what was left can be known; that runs from now on. */
	uint64_t from = load->same_boot ? record->at : load->now;

	if (record->holding[V4] || record->holding[V6])
		index = leases_make(leases, record->key);
	else if (index == LEASE_NONE)
		return;
	if (index == LEASE_NONE) {
		load->no_memory = true;
		return;
	}
	leases->list[index].time = record->left / 1000;
	leases->list[index].want = record->want;
	leases_expire_at(leases, index, from + record->left);
	for (int v = V4; v < FAMILIES; ++v) {
		if (record->holding[v])
			leases_set(leases, index, record->holding[v], &record->ip[v]);
	}
	for (int v = V4; v < FAMILIES; ++v) {
		if (!record->holding[v] && leases->list[index].holding[v])
			leases_forget(leases, index, v);
	}
}

static bool fatal(struct server *server, enum server_reason reason, uint32_t number)
{
	struct server_log_item *item = server_log(server, EVENT_FATAL);

	item->reason = reason;
	item->number = number;
	return false;
}

bool store_load(struct server *server)
{
	struct load load = { .server = server, .now = now_ms() };
	const struct journal_reader reader = {
		.header = load_header,
		.start = load_start,
		.lease = load_lease,
		.link_local = load_link_local,
		.settings = load_settings,
		.data = &load,
	};
	struct journal_result result;
	struct stat st;
	off_t keys;
	int ret;

	/*
	 * For as many keys as it has at least, if no more than half of it is dead: to make a table
	 * larger again and again takes long.
	 */
	keys = fstat(server->journal.fd, &st) ? 0 : st.st_size / RECORD / 2;
	leases_reserve(&server->leases, keys < RESERVED ? keys : RESERVED);
	ret = journal_replay(server->journal.fd, &reader, &result);
	if (ret == -EILSEQ)
		return fatal(server, REASON_JOURNAL_DAMAGED, result.damaged_line);
	link_locals_loaded(&server->link_locals);
	if (load.foreign)
		return fatal(server, REASON_JOURNAL_FOREIGN, 0);
	if (load.no_memory || ret == -ENOMEM || !leases_sort_past(&server->leases))
		return fatal(server, REASON_MEMORY, 0);
	/* What is not known must not be written over. */
	if (ret || fstat(server->journal.fd, &st) < 0)
		return fatal(server, REASON_JOURNAL_UNREAD, ret ? -ret : errno);
	if (result.dropped)
		server_log(server, EVENT_JOURNAL_CUT)->number = result.dropped;
	/* Behind a line that was cut short nothing can be appended. */
	server->journal_broken = result.dropped || (!result.header && st.st_size);
	server->journal.records = result.records;
	server->journal.end = result.end;
	server->journal.size = result.size;
	server->same_place = result.header && load.same_boot &&
			     load.place.netns == server->place.netns &&
			     load.place.ifindex == server->place.ifindex;
	/* Records of another boot must not be read by its clock again. */
	server->journal_stale = result.header && !load.same_boot;
	if (!result.header && !server->journal_broken)
		journal_header(&server->journal, server->interface, server->secret);
	return true;
}

/* --- writing --- */

bool store_record(struct server *server, const struct journal_lease *record)
{
	if (server->fresh.fd >= 0)
		journal_lease(&server->fresh, record);
	return !server->journal_broken && journal_lease(&server->journal, record);
}

bool store_link_local(struct server *server, const uint8_t key[static KEY_LEN], bool given)
{
	if (server->fresh.fd >= 0)
		journal_link_local(&server->fresh, key, given);
	return !server->journal_broken && journal_link_local(&server->journal, key, given);
}

void store_settings(struct server *server)
{
	if (server->served_known && server->served == server->digest)
		return;
	server->served = server->digest;
	server->served_known = true;
	if (server->fresh.fd >= 0)
		journal_settings(&server->fresh, server->digest);
	if (!server->journal_broken)
		journal_settings(&server->journal, server->digest);
}

bool store_lease(struct server *server, uint32_t lease)
{
	struct journal_lease record;

	journal_from_lease(&record, &server->leases.list[lease], now_ms());
	return store_record(server, &record);
}

/* Said once, as long as it is so. */
static void cannot_write(struct server *server, int error)
{
	if (error != server->journal_error)
		server_log(server, EVENT_JOURNAL)->error = error;
	server->journal_error = error;
}

size_t store_status(const struct server *server, char *buf, size_t size)
{
	return server->journal_error ?
		       snprintf(buf, size, "journal_error=cannot be written: %s\n",
				strerror(server->journal_error)) :
		       0;
}

/* The file that is being written anew is given up; the next try comes later. */
static void fresh_drop(struct server *server, int error)
{
	if (server->journal_broken)
		cannot_write(server, error);
	else if (error != server->journal_error) /* which has been said */
		server_log(server, EVENT_JOURNAL_NEW)->error = error;
	journal_close(&server->fresh);
	server->compact = LEASE_NONE;
	server->journal_retry = now_ms() + RETRY_MS;
}

static void journal_failed(struct server *server, int error)
{
	cannot_write(server, error);
	server->journal_broken = true;
	server->journal_retry = 0;
}

bool store_room(struct server *server, uint32_t records)
{
	int ret;

	if (server->journal_broken)
		return false;
	ret = journal_room(&server->journal, (size_t)records * JOURNAL_LINE);
	if (ret)
		cannot_write(server, -ret);
	return !ret;
}

bool store_write(struct server *server)
{
	bool any = server->journal.len;
	int ret;

	if (server->fresh.fd >= 0) {
		ret = journal_write(&server->fresh);
		if (ret && !server->renaming)
			fresh_drop(server, -ret);
		else if (ret)
			server->fresh_failed = true;
	}
	if (server->journal_broken)
		return false;
	ret = journal_write(&server->journal);
	/* The end of a lease is not undone when it can't be recorded: so the file may lack some. */
	server->journal_stale |= ret != 0;
	if (ret == -EIO || server->journal.headless) /* nothing may be appended */
		journal_failed(server, -ret);
	else if (ret)
		cannot_write(server, -ret);
	else if (any)
		server->journal_error = 0;
	/* Whichever of the two is read after a crash, the record must be there. */
	return !ret && !server->fresh_failed;
}

bool store_sync(struct server *server)
{
	int ret;

	if (server->renaming) {
		ret = journal_sync(&server->fresh);
		if (ret)
			server->fresh_failed = true;
	}
	ret = journal_sync(&server->journal);
	if (ret)
		journal_failed(server, -ret);
	return !ret && !server->fresh_failed;
}

bool store_place(struct server *server)
{
	return !server->journal_broken && journal_start(&server->journal, &server->place) &&
	       store_write(server) && store_sync(server);
}

/* --- writing anew --- */

void store_gone(struct server *server)
{
	if (server->journal_broken)
		return;
	server->journal_broken = true;
	server->journal_retry = 0;
}

void store_new_file(struct server *server, int fd, int error)
{
	server->journal_asked = false;
	server->fresh = (struct journal){ .fd = fd };
	if (fd < 0) {
		fresh_drop(server, error);
		return;
	}
	server->compact = 0;
	server->compact_slices = 0;
	if (!journal_header(&server->fresh, server->interface, server->secret) ||
	    !journal_start(&server->fresh, &server->place) ||
	    !journal_settings(&server->fresh, server->digest))
		fresh_drop(server, ENOMEM);
}

/*
 * Whoever closes a file that has no name any more frees all its blocks, which takes a third of a
 * millisecond for each megabyte: so it is shortened first, piece by piece. One that the
 * administrator has kept by another name stays as it is.
 */
static bool free_slice(struct server *server)
{
	struct stat st;

	if (server->old < 0)
		return false;
	if (!fstat(server->old, &st) && !st.st_nlink && st.st_size > FREE_SLICE &&
	    !ftruncate(server->old, st.st_size - FREE_SLICE))
		return true;
	close(server->old);
	server->old = -1;
	return false;
}

static void old_drop(struct server *server)
{
	if (server->old >= 0)
		close(server->old);
	server->old = server->journal.fd;
	server->journal.fd = -1;
	journal_close(&server->journal);
}

void store_renamed(struct server *server, const struct server_journal *message)
{
	int error = message->error;

	server->renaming = false;
	if (error || server->fresh_failed) {
		/* If it took the old one's place with a flaw, it is at once written anew. */
		if (message->stands) {
			old_drop(server);
			server->journal_broken = true;
		}
		server->fresh_failed = false;
		fresh_drop(server, error ? error : EIO);
		return;
	}
	old_drop(server);
	server->journal = server->fresh;
	server->fresh = (struct journal){ .fd = -1 };
	server->journal_broken = server->journal_stale = false;
	server->journal_error = 0;
	server->same_place = true; /* it begins with that */
	server_log(server, EVENT_JOURNAL_NEW)->number = server->journal.records;
}

static bool copy_slice(struct server *server)
{
	const struct leases *leases = &server->leases;
	uint32_t end = leases->count - server->compact > COMPACT_SLICE ?
			       server->compact + COMPACT_SLICE :
			       leases->count;
	struct journal_lease record;
	uint64_t now = now_ms();

	for (; server->compact < end; ++server->compact) {
		const struct lease *lease = &leases->list[server->compact];

		if (!lease->holding[V4] && !lease->holding[V6])
			continue;
		journal_from_lease(&record, lease, now);
		if (!journal_lease(&server->fresh, &record))
			return false;
	}
	if (end < leases->count)
		return true;
	/* All at once: a pass may change the order of the set in between. */
	for (uint32_t i = 0; i < link_locals_count(&server->link_locals); ++i) {
		const uint8_t *key = link_locals_key(&server->link_locals, i);

		/* One that is taken out stays in the set until the next pass. */
		if (link_locals_have(&server->link_locals, key) &&
		    !journal_link_local(&server->fresh, key, true))
			return false;
	}
	return true;
}

static void compact(struct server *server)
{
	bool last;
	int ret;

	ret = copy_slice(server) ? journal_write(&server->fresh) : -ENOMEM;
	last = server->compact >= server->leases.count;
	if (!ret && (last || ++server->compact_slices % SYNC_SLICES == 0))
		ret = journal_sync(&server->fresh);
	if (ret) {
		fresh_drop(server, -ret);
	} else if (last) {
		server->compact = LEASE_NONE;
		server->renaming = true;
		server_tell(server, SERVER_RENAME);
	}
}

uint64_t store_turn(struct server *server, uint64_t now)
{
	bool worth = server->journal_broken || server->journal_stale ||
		     server->journal.records > 2 * (server->leases.live +
						    link_locals_count(&server->link_locals)) +
					       DEAD_ALLOWED;

	if (free_slice(server))
		return 0;
	if (server->compact != LEASE_NONE) {
		compact(server);
		return 0;
	}
	if (!worth || server->journal_asked || server->renaming || server->stopping)
		return NEVER;
	if (server->journal_retry > now)
		return server->journal_retry;
	server->journal_asked = true;
	server_tell(server, SERVER_NEW_JOURNAL);
	return NEVER;
}
