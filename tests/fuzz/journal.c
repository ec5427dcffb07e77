// SPDX-License-Identifier: MIT
/*
 * The journal. Any file can be read; what has been read and is written again is read as the same.
 * A file that was written, and is cut short anywhere, has all up to there; with one bit changed it
 * has all that nobody could have changed, or is refused.
 */

#include <errno.h>
#include <unistd.h>

#include "fuzz.h"
#include "journal.h"

enum { RECORDS = 256 };

/* One record; of what a type has not, the bytes are zero. */
struct record {
	enum { HEADER = 1, START, LEASE, LINK_LOCAL, SETTINGS } type;
	char interface[16];
	uint8_t secret[JOURNAL_SECRET], key[KEY_LEN];
	struct journal_start start;
	struct journal_lease lease;
	uint64_t digest;
	bool given;
};

struct records {
	struct record list[RECORDS];
	uint32_t count;
};

static struct record *add(struct records *r, int type)
{
	static struct record beyond;
	struct record *record = r->count < RECORDS ? &r->list[r->count++] : &beyond;

	memset(record, 0, sizeof(*record));
	record->type = type;
	return record;
}

static void on_header(void *data, const char *interface, const uint8_t *secret)
{
	struct record *record = add(data, HEADER);

	must(strlen(interface) < sizeof(record->interface));
	strcpy(record->interface, interface);
	memcpy(record->secret, secret, JOURNAL_SECRET);
}

static void on_start(void *data, const struct journal_start *start)
{
	struct record *record = add(data, START);

	must(strlen(start->boot_id) == BOOT_ID_LEN);
	strcpy(record->start.boot_id, start->boot_id);
	record->start.netns = start->netns;
	record->start.ifindex = start->ifindex;
}

static void on_lease(void *data, const struct journal_lease *lease)
{
	struct record *record = add(data, LEASE);

	for (int v = V4; v < FAMILIES; ++v) {
		must(lease->holding[v] <= HOLDING_RESERVED);
		if (lease->holding[v])
			must(cidr_is_host(&lease->ip[v]) && lease->ip[v].family == family_of(v));
		record->lease.ip[v] = lease->ip[v];
		record->lease.holding[v] = lease->holding[v];
	}
	memcpy(record->lease.key, lease->key, KEY_LEN);
	must(lease->left <= (uint64_t)LEASE_TIME_MAX * 1000);
	record->lease.at = lease->at;
	record->lease.left = lease->left;
	record->lease.want = lease->want;
}

static void on_link_local(void *data, const uint8_t *key, bool given)
{
	struct record *record = add(data, LINK_LOCAL);

	memcpy(record->key, key, KEY_LEN);
	record->given = given;
}

static void on_settings(void *data, uint64_t digest)
{
	add(data, SETTINGS)->digest = digest;
}

static int replay(struct records *records, const void *bytes, size_t len)
{
	const struct journal_reader reader = { on_header, on_start, on_lease, on_link_local,
					       on_settings, records };
	struct journal_result result;
	int fd = memory_file(bytes, len), ret;

	records->count = 0;
	ret = journal_replay(fd, &reader, &result);
	must((ret == -EILSEQ) == !!result.damaged_line && (!ret || ret == -EILSEQ));
	close(fd);
	return ret;
}

/* Whether all of some are the first of others, but for those that have gone missing. */
static bool is_subsequence(const struct records *some, const struct records *others)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < some->count; ++i, ++at) {
		while (at < others->count &&
		       memcmp(&some->list[i], &others->list[at], sizeof(*some->list)))
			++at;
		if (at == others->count)
			return false;
	}
	return true;
}

/* --- reading what is sealed --- */

static uint32_t crc32c(const uint8_t *bytes, size_t len)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < 8 * len; ++i) {
		crc ^= bytes[i / 8] >> (i % 8) & 1;
		crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

/* Inputs have a `*' for each checksum that is to be right. */
static char *seal(const uint8_t *data, size_t len, size_t *sealed)
{
	char *out = malloc(10 * len + 1);
	size_t line = 0;

	must(out);
	*sealed = 0;
	for (size_t i = 0; i < len; ++i) {
		if (data[i] == '*' && *sealed > line)
			*sealed += sprintf(out + *sealed, "%08x",
					   crc32c((uint8_t *)out + line, *sealed - line - 1));
		else
			out[(*sealed)++] = data[i];
		if (data[i] == '\n')
			line = *sealed;
	}
	return out;
}

/* --- writing it again --- */

static void write_record(struct journal *journal, const struct record *r)
{
	switch (r->type) {
	case HEADER:
		must(journal_header(journal, r->interface, r->secret));
		break;
	case START:
		must(journal_start(journal, &r->start));
		break;
	case LEASE:
		must(journal_lease(journal, &r->lease));
		break;
	case LINK_LOCAL:
		must(journal_link_local(journal, r->key, r->given));
		break;
	case SETTINGS:
		must(journal_settings(journal, r->digest));
		break;
	}
}

/* Each bit of `synced' says whether all up to there has reached the disk. */
static size_t write_all(const struct records *records, uint32_t synced, char *bytes, size_t room)
{
	struct journal journal = { .fd = memory_file("", 0) };
	size_t len;

	for (uint32_t i = 0; i < records->count; ++i) {
		journal.synced = i && synced >> i % 32 & 1;
		write_record(&journal, &records->list[i]);
		must(!journal_write(&journal) && !journal_sync(&journal));
	}
	len = pread(journal.fd, bytes, room, 0);
	must(len < room);
	journal_close(&journal);
	return len;
}

static size_t lines(const char *text, size_t len)
{
	size_t count = 0;

	while (len--)
		count += *text++ == '\n';
	return count;
}

static const char *find(const char *text, size_t len, const char *what)
{
	return memmem(text, len, what, strlen(what));
}

static void check_flipped(const struct records *written, char *bytes, size_t len, size_t at,
			  uint8_t bits)
{
	static struct records again;
	const char *end;
	bool synced;
	int ret;

	/* A newline that comes or goes moves more than one line. */
	if (!bits || bytes[at] == '\n' || (bytes[at] ^ bits) == '\n')
		return;
	bytes[at] ^= bits;
	end = memchr(bytes + at, '\n', len - at);
	must(end);
	synced = find(end, bytes + len - end, "\nsynced ");
	ret = replay(&again, bytes, len);
	must(is_subsequence(&again, written));
	if (synced)
		must(ret == -EILSEQ);
	else if (!ret)
		must(again.count + 1 >= written->count - (written->count == RECORDS));
	bytes[at] ^= bits;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct records first, again;
	static char bytes[2 * RECORDS * JOURNAL_LINE];
	struct input input = { data, len };
	uint32_t synced, cut;
	uint8_t bits;
	size_t sealed, written;
	char *text;
	int ret;

	input_bytes(&input, &synced, sizeof(synced));
	input_bytes(&input, &cut, sizeof(cut));
	bits = input_byte(&input);
	text = seal(input.data, input.len, &sealed);
	ret = replay(&first, text, sealed);
	free(text);
	if (ret || !first.count || first.list[0].type != HEADER)
		return 0;
	written = write_all(&first, synced, bytes, sizeof(bytes));
	must(!replay(&again, bytes, written) && again.count == first.count);
	must(!memcmp(again.list, first.list, first.count * sizeof(*first.list)));
	check_flipped(&first, bytes, written, cut % written, bits);
	must(!replay(&again, bytes, cut % written));
	must(again.count <= lines(bytes, cut % written));
	must(!memcmp(again.list, first.list, again.count * sizeof(*first.list)));
	return 0;
}
