// SPDX-License-Identifier: MIT
/*
 * A server's settings: the file, and words of the command line after it. What is taken keeps its
 * order and its limits, and a peer gets from the policy what the settings say; wg's own parser has
 * nothing to say of a file that ours has looked at.
 */

#include <unistd.h>

#include "fuzz.h"
#include "policy.h"
#include "settings.h"

enum { WORDS = 16 };

/* Standard error of the functions under test. */
static char *said;
static size_t said_len;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	stderr = open_memstream(&said, &said_len);
	return stderr ? 0 : -1;
}

static void check_error(const char *error)
{
	size_t len = strnlen(error, SETTINGS_ERROR);

	must(len && len < SETTINGS_ERROR && is_printable(error, len));
	must(!strchr(error, '\n'));
}

static void check_options(const struct options *options)
{
	static char text[OPTIONS_TEXT];
	struct options again = { 0 };
	size_t len = options_encode(text, options, UINT32_MAX);

	must(options_valid(options) && len < OPTIONS_TEXT);
	settings_decode(&again, text, len);
	must(options_equal(&again, options));
}

static void check_order(const struct settings *s)
{
	for (uint32_t i = 0; i + 1 < s->peer_count; ++i)
		must(memcmp(s->peers[i].key, s->peers[i + 1].key, KEY_LEN) < 0);
	for (uint32_t i = 0; i < s->reservation_count; ++i) {
		must(cidr_is_host(&s->reservations[i].ip));
		must(cidr_is_assignable(&s->reservations[i].ip));
		must(!i || cidr_compare(&s->reservations[i - 1].ip, &s->reservations[i].ip) < 0);
	}
}

/* Each peer, and one without a section. */
static void check_policy(const struct settings *s)
{
	uint8_t nobody[KEY_LEN] = "nobody has such a key, we hope.";
	struct options wanted, got;
	struct policy policy = { 0 };
	int fd = policy_make(s);

	must(fd >= 0 && !policy_map(&policy, fd));
	close(fd);
	for (uint32_t i = 0; i <= s->peer_count; ++i) {
		const struct settings_peer *peer = i < s->peer_count ? &s->peers[i] : NULL;

		settings_options(s, peer, &wanted);
		check_options(&wanted);
		policy_options(&policy, peer ? peer->key : nobody, &got);
		must(options_equal(&wanted, &got));
	}
	for (uint32_t i = 0; i < s->reservation_count; ++i) {
		must(policy_forbids(&policy, &s->reservations[i].ip, nobody));
		must(!policy_forbids(&policy, &s->reservations[i].ip, s->reservations[i].key));
	}
	policy_unmap(&policy);
}

static void check(const struct settings *s)
{
	char error[SETTINGS_ERROR] = "";

	must(s->lease_time >= 1 && s->lease_time <= LEASE_TIME_MAX);
	must(s->pools.count <= POOLS && s->pools.excludes <= EXCLUDES);
	for (uint32_t i = 0; i < s->pools.count; ++i) {
		must(cidr_is_assignable(&s->pools.list[i].net));
		pool_size(&s->pools, &s->pools.list[i]);
		for (uint32_t j = 0; j < i; ++j)
			must(!cidr_overlaps(&s->pools.list[i].net, &s->pools.list[j].net));
	}
	check_options(&s->options);
	check_order(s);
	check_policy(s);
	if (!settings_check(s, "file", error))
		check_error(error);
}

/* The words are behind the file and a NUL, each ended by another. */
static void add_words(struct settings *s, char *text, size_t len)
{
	const char *words[WORDS];
	char error[SETTINGS_ERROR] = "";
	size_t count = 0;

	for (char *end = text + len; text < end && count < WORDS; text += strlen(text) + 1)
		words[count++] = text;
	for (size_t i = 0; i < count; i += 2) {
		if (!settings_word(words[i]))
			return;
	}
	if (settings_words(s, words, count & ~(size_t)1, error))
		check(s);
	else
		must(*error && strnlen(error, sizeof(error)) < sizeof(error));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const uint8_t *nul = memchr(data, '\0', len);
	size_t file_len = nul ? (size_t)(nul - data) : len;
	struct input input = { data, len };
	char name[32], error[SETTINGS_ERROR] = "", *words;
	struct settings s;
	int fd;

	/* A file that holds a NUL itself begins with one. */
	if (nul == data)
		file_len = len;
	fd = memory_file(data, file_len);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	settings_open(&s);
	if (!settings_file(&s, name, error)) {
		check_error(error);
	} else {
		check(&s);
		input.data += file_len + 1;
		if (nul && nul != data) {
			words = text_copy(input.data, len - file_len - 1);
			add_words(&s, words, len - file_len - 1);
			free(words);
		}
	}
	settings_close(&s);
	close(fd);
	must(!ftell(stderr));
	return 0;
}
