// SPDX-License-Identifier: MIT
/*
 * What daemons that have ended have left in AllowedIPs, for `allowed-ips': a server leaves there
 * what it has leased, and its journal knows what that is.
 */

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "encoding.h"
#include "journal.h"
#include "log.h"
#include "network-state.h"
#include "server-setup.h"
#include "show.h"

/* A record of the journal: of each key and kind, the last one stands. */
struct entry {
	uint8_t key[KEY_LEN];
	bool link_local;
	uint32_t number;
	struct cidr ip[FAMILIES]; /* family 0: none */
};

struct left {
	const char *interface;
	struct journal_start place;
	bool foreign, no_memory;
	struct entry *list;
	uint32_t count, room, records;
};

static struct entry *add(struct left *left, const uint8_t *key, bool link_local)
{
	uint32_t room = left->room ? 2 * left->room : 64;
	struct entry *entry = left->list;

	if (left->count == left->room) {
		entry = reallocarray(left->list, room, sizeof(*entry));
		left->no_memory |= !entry;
		if (!entry)
			return NULL;
		left->list = entry;
		left->room = room;
	}
	entry += left->count++;
	memset(entry, 0, sizeof(*entry));
	memcpy(entry->key, key, KEY_LEN);
	entry->link_local = link_local;
	entry->number = left->records++;
	return entry;
}

static void left_header(void *data, const char *interface, const uint8_t *secret)
{
	struct left *left = data;

	(void)secret;
	left->foreign = strcmp(interface, left->interface);
}

/* On another device no link-local is the server's. */
static void left_start(void *data, const struct journal_start *start)
{
	struct left *left = data;
	uint32_t kept = 0;

	left->place = *start;
	for (uint32_t i = 0; i < left->count; ++i) {
		if (!left->list[i].link_local)
			left->list[kept++] = left->list[i];
	}
	left->count = kept;
}

static void left_lease(void *data, const struct journal_lease *lease)
{
	struct entry *entry = add(data, lease->key, false);

	for (int v = V4; entry && v < FAMILIES; ++v) {
		if (lease->holding[v] == HOLDING_LEASED)
			entry->ip[v] = lease->ip[v];
	}
}

static void left_link_local(void *data, const uint8_t *key, bool given)
{
	struct entry *entry = add(data, key, true);

	if (entry && given)
		cidr_derived(&entry->ip[V6], key);
}

static int compare(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int diff = memcmp(x->key, y->key, KEY_LEN);

	if (!diff)
		diff = x->link_local - y->link_local;
	return diff ? diff : (x->number > y->number) - (x->number < y->number);
}

/* Sorts them by their keys, and keeps the last of each key and kind. */
static void keep_last(struct left *left)
{
	struct entry *list = left->list;
	uint32_t kept = 0;

	if (left->count)
		qsort(list, left->count, sizeof(*list), compare);
	for (uint32_t i = 0; i < left->count; ++i) {
		if (i + 1 == left->count || memcmp(list[i + 1].key, list[i].key, KEY_LEN) ||
		    list[i + 1].link_local != list[i].link_local)
			list[kept++] = list[i];
	}
	left->count = kept;
}

/* The engine has written the journal: as of one that runs, only what is noted counts. */
static int check_noted(const struct left *left)
{
	struct served served;
	char text[CIDR_STRLEN];

	if (!show_served(left->interface, &served))
		return 1;
	for (uint32_t i = 0; i < left->count; ++i) {
		const struct entry *entry = &left->list[i];

		for (int v = V4; v < FAMILIES; ++v) {
			if (entry->ip[v].family && !served_gave(&served, entry->key, &entry->ip[v]))
				return show_unknown(left->interface, SERVER,
						    cidr_format(text, &entry->ip[v]));
		}
	}
	return 0;
}

static void print(const struct left *left, FILE *out)
{
	const uint8_t *last = NULL;
	char text[CIDR_STRLEN], key[WG_KEY_LEN_BASE64];

	for (uint32_t i = 0; i < left->count; ++i) {
		const struct entry *entry = &left->list[i];

		for (int v = V4; v < FAMILIES; ++v) {
			if (!entry->ip[v].family)
				continue;
			key_to_base64(key, entry->key);
			if (last && !memcmp(last, entry->key, KEY_LEN))
				fputc(' ', out);
			else
				fprintf(out, "%s%s\t", last ? "\n" : "", key);
			fputs(cidr_format(text, &entry->ip[v]), out);
			last = entry->key;
		}
	}
	if (last)
		fputc('\n', out);
}

/* Else all that the device has is the user's. What can't be told is taken for the same. */
static bool is_same_place(const struct journal_start *start, const char *interface)
{
	struct journal_start now = { .ifindex = 0 };

	return !server_place(&now, if_nametoindex(interface)) ||
	       (now.ifindex == start->ifindex && now.netns == start->netns &&
		!strcmp(now.boot_id, start->boot_id));
}

static int read_journal(struct left *left, int fd, const char *path)
{
	const struct journal_reader reader = {
		left_header, left_start, left_lease, left_link_local, NULL, left,
	};
	struct journal_result result;
	int ret = journal_replay(fd, &reader, &result);

	if (ret == -EILSEQ)
		return log_failure("%s, line %u is damaged: it does not tell what is leased", path,
				   result.damaged_line);
	if (!ret && left->no_memory)
		ret = -ENOMEM;
	if (ret)
		return log_failure("cannot read %s: %s", path, strerror(-ret));
	if (left->foreign)
		return log_failure("%s is of another interface", path);
	return 0;
}

static int left_by_server(const char *interface, FILE *out)
{
	struct left left = { .interface = interface };
	char path[sizeof(STATEDIR) + 64];
	int fd, ret;

	if (!if_nametoindex(interface)) /* then it is no name of a file either */
		return -1;
	snprintf(path, sizeof(path), STATEDIR "/%s.leases", interface);
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -1 : log_failure("cannot open %s: %s", path,
							  strerror(errno));
	ret = read_journal(&left, fd, path);
	close(fd);
	if (!ret && is_same_place(&left.place, interface)) {
		keep_last(&left);
		ret = check_noted(&left);
		if (!ret)
			print(&left, out);
	}
	free(left.list);
	return ret;
}

int show_left(const char *interface, enum kind role, FILE *out)
{
	if (role == SERVER)
		return left_by_server(interface, out);
	if (!network_state_there(interface))
		return -1;
	return log_failure("the client has not ended in order: `wg dynamic stop %s' undoes what "
			   "it has left", interface);
}
