// SPDX-License-Identifier: MIT
/* Writing and reading the journal. The order of writes and answers is the business of grant.c. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal.h"
#include "text.h"

#define HEADER "wg-dynamic-leases 1 "

enum {
	READ_CHUNK = 65536,
	CRC_DIGITS = 8,
	BLOCK = 4096, /* bytes: the file ends where one does */
	MORE = 65536, /* than that it is not made longer at a time */
};

/* CRC-32C (RFC 3720, appendix B.4), reflected, four bytes at a time by a table for each. */
static uint32_t crc32c(const char *text, size_t len)
{
	static uint32_t table[4][256];
	const uint8_t *bytes = (const uint8_t *)text;
	uint32_t crc = UINT32_MAX;

	for (uint32_t i = 0; !table[3][1] && i < 256; ++i) {
		uint32_t value = 255 - i;

		for (int bit = 0; bit < 8; ++bit)
			value = value >> 1 ^ (value & 1 ? 0x82f63b78 : 0);
		table[0][255 - i] = value;
	}
	/* From the end, so that table[3][1] is there only when all are. */
	for (int i = 255; !table[3][1] && i; --i) {
		for (int t = 1; t < 4; ++t)
			table[t][i] = table[t - 1][i] >> 8 ^ table[0][table[t - 1][i] & 0xff];
	}
	for (; len >= 4; len -= 4, bytes += 4) {
		crc ^= bytes[0] | bytes[1] << 8 | bytes[2] << 16 | (uint32_t)bytes[3] << 24;
		crc = table[3][crc & 0xff] ^ table[2][crc >> 8 & 0xff] ^
		      table[1][crc >> 16 & 0xff] ^ table[0][crc >> 24];
	}
	while (len--)
		crc = crc >> 8 ^ table[0][(crc ^ *bytes++) & 0xff];
	return ~crc;
}

/* --- writing --- */

static bool room_for(struct journal *journal, size_t len)
{
	size_t room = journal->room ? journal->room : 4096;
	char *buf;

	while (room - journal->len < len)
		room *= 2;
	if (room == journal->room)
		return true;
	buf = realloc(journal->buf, room);
	if (!buf)
		return false;
	journal->buf = buf;
	journal->room = room;
	return true;
}

/* Ends the line that stands behind the buffer's bytes, up to end. */
static bool seal(struct journal *journal, char *end)
{
	char *line = journal->buf + journal->len;
	uint32_t crc = crc32c(line, end - line);

	*end++ = ' ';
	end = text_hex(end, crc, CRC_DIGITS);
	*end++ = '\n';
	journal->len = end - journal->buf;
	return true;
}

/* Where the next line is to be written; NULL when there is no memory. */
static char *begin(struct journal *journal)
{
	/* Room for the record and, where it is due, the one before it. */
	if (!room_for(journal, 2 * JOURNAL_LINE))
		return NULL;
	if (journal->synced) {
		journal->synced = false;
		seal(journal, text_put(journal->buf + journal->len, "synced"));
	}
	return journal->buf + journal->len;
}

bool journal_header(struct journal *journal, const char *interface,
		    const uint8_t secret[static JOURNAL_SECRET])
{
	char *at = begin(journal);

	if (!at)
		return false;
	at += sprintf(at, HEADER "%.15s ", interface);
	for (int i = 0; i < JOURNAL_SECRET; ++i)
		at = text_hex(at, secret[i], 2);
	journal->header = true;
	return seal(journal, at);
}

bool journal_start(struct journal *journal, const struct journal_start *start)
{
	char *at = begin(journal);

	return at && seal(journal, at + sprintf(at, "start %s %" PRIu64 " %" PRIu32, start->boot_id,
						start->netns, start->ifindex));
}

static const char *const holding_suffix[] = {
	[HOLDING_PAST] = ",past",
	[HOLDING_LEASED] = "",
	[HOLDING_RESERVED] = ",reserved",
};

bool journal_lease(struct journal *journal, const struct journal_lease *lease)
{
	char *at = begin(journal);

	if (!at)
		return false;
	at = text_put(at, "lease ");
	at = text_key(at, lease->key);
	for (int v = V4; v < FAMILIES; ++v) {
		*at++ = ' ';
		if (lease->holding[v])
			at = text_put(cidr_put_ip(at, &lease->ip[v]),
				      holding_suffix[lease->holding[v]]);
		else
			*at++ = '-';
	}
	*at++ = ' ';
	at = text_number(at, lease->at);
	*at++ = ' ';
	at = text_number(at, lease->left);
	if (lease->want) {
		*at++ = ' ';
		at = text_number(at, lease->want);
	}
	++journal->records;
	return seal(journal, at);
}

static const char *const link_local_words[] = { "no-link-local", "link-local" };

bool journal_link_local(struct journal *journal, const uint8_t key[static KEY_LEN], bool given)
{
	char *at = begin(journal);

	if (!at)
		return false;
	at = text_put(at, link_local_words[given]);
	*at++ = ' ';
	++journal->records;
	return seal(journal, text_key(at, key));
}

bool journal_settings(struct journal *journal, uint64_t digest)
{
	char *at = begin(journal);

	if (!at)
		return false;
	++journal->records;
	return seal(journal, text_hex(text_put(at, "settings "), digest, 16));
}

int journal_room(struct journal *journal, size_t len)
{
	if (!fallocate(journal->fd, FALLOC_FL_KEEP_SIZE, journal->size, journal->len + len) ||
	    (errno != ENOSPC && errno != EDQUOT && errno != EFBIG))
		return 0;
	return -errno;
}

/* Makes the file longer by a quarter, in reason. Where that fails, the next write tries again. */
static void lengthen(struct journal *journal)
{
	off_t more = journal->end / 4, size = journal->end;
	char blank[BLOCK];
	ssize_t added = 1;

	memset(blank, ' ', sizeof(blank) - 1);
	blank[BLOCK - 1] = '\n';
	size += more < BLOCK ? BLOCK : more > MORE ? MORE : more;
	while (added > 0 && journal->size <= size - BLOCK) {
		off_t from = journal->size % BLOCK;

		added = pwrite(journal->fd, blank + from, BLOCK - from, journal->size);
		journal->size += added > 0 ? added : 0;
	}
}

/* So much was written at the end of the records. */
static void written(struct journal *journal, size_t len)
{
	/* What a crash leaves of the first ones is told from a file of somebody else's. */
	bool first = !journal->end;

	journal->end += len;
	journal->dirty = true;
	if (journal->size >= journal->end)
		return;
	journal->size = journal->end;
	if (!first)
		lengthen(journal);
}

int journal_write(struct journal *journal)
{
	size_t done = 0;
	ssize_t len;
	int ret = 0;

	if (!journal->len)
		return 0;
	while (done < journal->len) {
		len = pwrite(journal->fd, journal->buf + done, journal->len - done,
			     journal->end + done);
		if (len < 0 && errno == EINTR)
			continue;
		if (len <= 0) {
			ret = len ? -errno : -ENOSPC;
			break;
		}
		done += len;
	}
	if (!ret) {
		written(journal, done);
	} else if (done) {
		journal->size = journal->end;
		if (ftruncate(journal->fd, journal->end) < 0)
			ret = -EIO;
	}
	journal->headless |= ret && journal->header;
	journal->header = false;
	journal->len = 0;
	return ret;
}

int journal_sync(struct journal *journal)
{
	if (!journal->dirty)
		return 0;
	if (fdatasync(journal->fd) < 0)
		return -errno;
	journal->dirty = false;
	journal->synced = true;
	return 0;
}

void journal_close(struct journal *journal)
{
	if (journal->fd >= 0)
		close(journal->fd);
	free(journal->buf);
	*journal = (struct journal){ .fd = -1 };
}

void journal_from_lease(struct journal_lease *record, const struct lease *lease, uint64_t now)
{
	*record = (struct journal_lease){ .at = now, .want = lease->want };
	memcpy(record->key, lease->key, KEY_LEN);
	for (int v = V4; v < FAMILIES; ++v) {
		record->holding[v] = lease->holding[v];
		lease_ip(lease, v, &record->ip[v]);
	}
	if (lease_holds(lease, FAMILIES))
		record->left = lease->expires > now ? lease->expires - now : 0;
	else
		record->at = lease->expires; /* when it ended */
}

/* --- reading --- */

struct replay {
	const struct journal_reader *reader;
	struct journal_result *result;
	uint32_t line; /* number of the line at hand */
	uint32_t damaged; /* number of the first damaged line since the last `synced' */
	uint32_t blank; /* number of the first line of spaces behind the last record, or 0 */
	bool torn; /* the only line may be what is left of a header */
};

/* Takes the next word of a line, or NULL at its end. */
static char *word(char **line)
{
	char *w = *line, *end = w ? strchr(w, ' ') : NULL;

	if (end)
		*end++ = '\0';
	*line = end;
	return w && *w ? w : NULL;
}

static bool word_number(char **line, uint64_t *number)
{
	char *text = word(line), *end;

	if (!text || *text < '0' || *text > '9')
		return false;
	errno = 0;
	*number = strtoull(text, &end, 10);
	return !*end && !errno;
}

static bool replay_header(struct replay *replay, char *line)
{
	char *version = word(&line), *interface = word(&line), *hex = word(&line);
	uint8_t secret[JOURNAL_SECRET];

	if (!version || !interface || !hex || line || strcmp(version, "1") ||
	    strlen(interface) >= IFNAMSIZ || strlen(hex) != 2 * JOURNAL_SECRET ||
	    strspn(hex, "0123456789abcdef") != 2 * JOURNAL_SECRET)
		return false;
	for (int i = 0; i < JOURNAL_SECRET; ++i) {
		if (sscanf(hex + 2 * i, "%2hhx", &secret[i]) != 1)
			return false;
	}
	replay->result->header = true;
	replay->reader->header(replay->reader->data, interface, secret);
	return true;
}

static bool replay_start(struct replay *replay, char *line)
{
	struct journal_start start = { 0 };
	uint64_t ifindex;
	char *boot_id = word(&line);

	if (!boot_id || strlen(boot_id) != BOOT_ID_LEN || !word_number(&line, &start.netns) ||
	    !word_number(&line, &ifindex) || line || ifindex > INT32_MAX)
		return false;
	memcpy(start.boot_id, boot_id, BOOT_ID_LEN);
	start.ifindex = ifindex;
	replay->reader->start(replay->reader->data, &start);
	return true;
}

static bool word_holding(char **line, int v, struct journal_lease *lease)
{
	char *text = word(line), *suffix;

	if (!text)
		return false;
	if (!strcmp(text, "-"))
		return true;
	suffix = strchrnul(text, ',');
	for (int h = HOLDING_PAST; h <= HOLDING_RESERVED; ++h) {
		if (!strcmp(suffix, holding_suffix[h]))
			lease->holding[v] = h;
	}
	return lease->holding[v] && cidr_parse(&lease->ip[v], text, suffix - text) &&
	       cidr_is_host(&lease->ip[v]) && family_index(lease->ip[v].family) == v;
}

static bool replay_lease(struct replay *replay, char *line)
{
	struct journal_lease lease = { 0 };
	char *key = word(&line);
	uint64_t want = 0;

	if (!key || !text_to_key(lease.key, key, strlen(key)) || !word_holding(&line, V4, &lease) ||
	    !word_holding(&line, V6, &lease) || !word_number(&line, &lease.at) ||
	    !word_number(&line, &lease.left) ||
	    (line && !word_number(&line, &want)) || line || want > UINT8_MAX ||
	    lease.left > (uint64_t)LEASE_TIME_MAX * 1000)
		return false;
	lease.want = want;
	++replay->result->records;
	replay->reader->lease(replay->reader->data, &lease);
	return true;
}

static bool replay_link_local(struct replay *replay, char *line, bool given)
{
	uint8_t key[KEY_LEN];
	char *text = word(&line);

	if (!text || !text_to_key(key, text, strlen(text)) || line)
		return false;
	++replay->result->records;
	replay->reader->link_local(replay->reader->data, key, given);
	return true;
}

static bool replay_settings(struct replay *replay, char *line)
{
	char *text = word(&line);
	uint64_t digest;

	if (!text || line || strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16 ||
	    sscanf(text, "%" SCNx64, &digest) != 1)
		return false;
	++replay->result->records;
	if (replay->reader->settings)
		replay->reader->settings(replay->reader->data, digest);
	return true;
}

/* One line, without its newline; it may be written into. */
static bool replay_line(struct replay *replay, char *line, size_t len)
{
	char crc[CRC_DIGITS], *end, *type;
	bool first = replay->line == 1;

	if (len >= JOURNAL_LINE || len < CRC_DIGITS + 2 || memchr(line, '\0', len))
		return false;
	end = line + len - CRC_DIGITS - 1;
	text_hex(crc, crc32c(line, end - line), CRC_DIGITS);
	if (*end != ' ' || memcmp(end + 1, crc, CRC_DIGITS))
		return false;
	*end = '\0';
	type = word(&line);
	if (first || !type)
		return first && type && !strcmp(type, "wg-dynamic-leases") &&
		       replay_header(replay, line);
	if (!strcmp(type, "synced")) {
		if (replay->damaged && !replay->result->damaged_line)
			replay->result->damaged_line = replay->damaged;
		return !line;
	}
	if (!strcmp(type, "start"))
		return replay_start(replay, line);
	if (!strcmp(type, "settings"))
		return replay_settings(replay, line);
	for (int given = 0; given < 2; ++given) {
		if (!strcmp(type, link_local_words[given]))
			return replay_link_local(replay, line, given);
	}
	return !strcmp(type, "lease") && replay_lease(replay, line);
}

/*
 * What a crash may leave of a file's first write, which is a header and a start: a part of it, or
 * its length alone, which reads as zeros.
 */
static bool is_torn_header(const char *line, size_t len)
{
	size_t text = strnlen(line, len), head = strlen(HEADER);

	for (size_t i = text; i < len; ++i) {
		if (line[i])
			return false;
	}
	return len < 2 * JOURNAL_LINE && !memcmp(line, HEADER, text < head ? text : head);
}

static void damaged(struct replay *replay, uint32_t line)
{
	++replay->result->dropped;
	if (!replay->damaged)
		replay->damaged = line;
}

/* Without a newline it is one that was cut short, even if nothing else is missing. */
static void replay_any(struct replay *replay, char *line, size_t len, bool newline)
{
	++replay->line;
	replay->result->size += len + newline;
	line[len] = '\0';
	if (strspn(line, " ") == len && replay->line > 1) {
		replay->blank = replay->blank ? replay->blank : replay->line;
		return;
	}
	if (replay->blank) /* which was no room, but a record */
		damaged(replay, replay->blank);
	replay->blank = 0;
	replay->result->end = replay->result->size;
	replay->torn = replay->line == 1 && !newline && is_torn_header(line, len);
	if (!newline || !replay_line(replay, line, len))
		damaged(replay, replay->line);
}

int journal_replay(int fd, const struct journal_reader *reader, struct journal_result *result)
{
	struct replay replay = { .reader = reader, .result = result };
	char *buf = malloc(READ_CHUNK + 1), *line, *newline;
	size_t have = 0;
	off_t offset = 0;
	ssize_t len;

	*result = (struct journal_result){ 0 };
	if (!buf)
		return -ENOMEM;
	for (;;) {
		len = pread(fd, buf + have, READ_CHUNK - have, offset);
		if (len < 0 && errno == EINTR)
			continue;
		if (len <= 0)
			break;
		offset += len;
		have += len;
		if (offset > JOURNAL_MAX) {
			free(buf);
			return -EFBIG;
		}
		for (line = buf; (newline = memchr(line, '\n', buf + have - line));
		     line = newline + 1)
			replay_any(&replay, line, newline - line, true);
		have -= line - buf;
		memmove(buf, line, have);
		/* What is longer than any record is damaged; its rest will be, too. */
		if (have == READ_CHUNK) {
			replay_any(&replay, buf, have, false);
			have = 0;
		}
	}
	if (!len && have)
		replay_any(&replay, buf, have, false);
	free(buf);
	if (len < 0)
		return -errno;
	/* Nobody has been told of anything before the header was on the disk, whole. */
	if (offset && !result->header && !replay.torn)
		result->damaged_line = 1;
	return result->damaged_line ? -EILSEQ : 0;
}
