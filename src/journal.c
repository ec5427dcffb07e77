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

#include "containers.h"
#include "encoding.h"
#include "journal.h"

#define HEADER "wg-dynamic-leases 1 "

enum { READ_CHUNK = 65536, CRC_DIGITS = 8 };

/* CRC-32C (RFC 3720, appendix B.4), reflected, a table of all bytes. */
static uint32_t crc32c(const char *bytes, size_t len)
{
	static uint32_t table[256];
	uint32_t crc = UINT32_MAX;

	for (uint32_t i = 0; !table[1] && i < 256; ++i) {
		uint32_t value = 255 - i;

		/* From the end, so that table[1] is there only when all are. */
		for (int bit = 0; bit < 8; ++bit)
			value = value >> 1 ^ (value & 1 ? 0x82f63b78 : 0);
		table[255 - i] = value;
	}
	for (size_t i = 0; i < len; ++i)
		crc = crc >> 8 ^ table[(crc ^ (uint8_t)bytes[i]) & 0xff];
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

/* Ends the line of len bytes that stands at the end of the buffer. */
static bool seal(struct journal *journal, int len)
{
	char *line = journal->buf + journal->len;

	journal->len += len;
	journal->len += sprintf(journal->buf + journal->len, " %08" PRIx32 "\n",
				crc32c(line, len));
	return true;
}

static bool begin(struct journal *journal)
{
	/* Room for the record and, where it is due, the one before it. */
	if (!room_for(journal, 2 * JOURNAL_LINE))
		return false;
	if (!journal->synced)
		return true;
	journal->synced = false;
	return seal(journal, sprintf(journal->buf + journal->len, "synced"));
}

bool journal_header(struct journal *journal, const char *interface,
		    const uint8_t secret[static JOURNAL_SECRET])
{
	int len;

	if (!begin(journal))
		return false;
	len = sprintf(journal->buf + journal->len, HEADER "%.15s ", interface);
	for (int i = 0; i < JOURNAL_SECRET; ++i)
		len += sprintf(journal->buf + journal->len + len, "%02x", secret[i]);
	journal->header = true;
	return seal(journal, len);
}

bool journal_start(struct journal *journal, const struct journal_start *start)
{
	return begin(journal) &&
	       seal(journal, sprintf(journal->buf + journal->len, "start %s %" PRIu64 " %" PRIu32,
				     start->boot_id, start->netns, start->ifindex));
}

static const char *const holding_suffix[] = {
	[HOLDING_PAST] = ",past",
	[HOLDING_LEASED] = "",
	[HOLDING_RESERVED] = ",reserved",
};

bool journal_lease(struct journal *journal, const struct journal_lease *lease)
{
	char key[WG_KEY_LEN_BASE64], ip[CIDR_STRLEN], *line;
	int len;

	if (!begin(journal))
		return false;
	line = journal->buf + journal->len;
	key_to_base64(key, lease->key);
	len = sprintf(line, "lease %s", key);
	for (int v = V4; v < FAMILIES; ++v) {
		if (lease->holding[v])
			len += sprintf(line + len, " %s%s", cidr_format_ip(ip, &lease->ip[v]),
				       holding_suffix[lease->holding[v]]);
		else
			len += sprintf(line + len, " -");
	}
	len += sprintf(line + len, " %" PRIu64 " %" PRIu64, lease->at, lease->left);
	if (lease->want)
		len += sprintf(line + len, " %u", lease->want);
	++journal->records;
	return seal(journal, len);
}

static const char *const link_local_words[] = { "no-link-local", "link-local" };

bool journal_link_local(struct journal *journal, const uint8_t key[static KEY_LEN], bool given)
{
	char text[WG_KEY_LEN_BASE64];

	if (!begin(journal))
		return false;
	key_to_base64(text, key);
	++journal->records;
	return seal(journal, sprintf(journal->buf + journal->len, "%s %s",
				     link_local_words[given], text));
}

bool journal_settings(struct journal *journal, uint64_t digest)
{
	if (!begin(journal))
		return false;
	++journal->records;
	return seal(journal, sprintf(journal->buf + journal->len, "settings %016" PRIx64, digest));
}

int journal_room(struct journal *journal, size_t len)
{
	off_t end = lseek(journal->fd, 0, SEEK_END);

	if (end < 0 || !fallocate(journal->fd, FALLOC_FL_KEEP_SIZE, end, journal->len + len) ||
	    (errno != ENOSPC && errno != EDQUOT))
		return 0;
	return -errno;
}

int journal_write(struct journal *journal)
{
	size_t done = 0;
	ssize_t written;
	off_t size;
	int ret = 0;

	if (!journal->len)
		return 0;
	while (done < journal->len) {
		written = write(journal->fd, journal->buf + done, journal->len - done);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0) {
			ret = written ? -errno : -ENOSPC;
			break;
		}
		done += written;
	}
	if (ret && done) {
		size = lseek(journal->fd, 0, SEEK_END);
		if (size < (off_t)done || ftruncate(journal->fd, size - done) < 0)
			ret = -EIO;
	}
	journal->headless |= ret && journal->header;
	journal->header = false;
	if (!ret)
		journal->dirty = true;
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
	bool torn; /* the only line may be what is left of a header */
};

/* Takes the next word of a line, or NULL at its end. */
static char *word(char **line)
{
	char *w = strsep(line, " ");

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

	if (!key || !key_from_base64(lease.key, key) || !word_holding(&line, V4, &lease) ||
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

	if (!text || !key_from_base64(key, text) || line)
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
	char crc[CRC_DIGITS + 2], *end, *type;
	bool first = replay->line == 1;

	if (len >= JOURNAL_LINE || len < CRC_DIGITS + 2 || memchr(line, '\0', len))
		return false;
	end = line + len - CRC_DIGITS - 1;
	sprintf(crc, " %08" PRIx32, crc32c(line, end - line));
	if (strcmp(end, crc))
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

/* Without a newline it is one that was cut short, even if nothing else is missing. */
static void replay_any(struct replay *replay, char *line, size_t len, bool newline)
{
	++replay->line;
	replay->torn = replay->line == 1 && !newline && is_torn_header(line, len);
	line[len] = '\0';
	if (newline && replay_line(replay, line, len))
		return;
	++replay->result->dropped;
	if (!replay->damaged)
		replay->damaged = replay->line;
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
