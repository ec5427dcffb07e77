// SPDX-License-Identifier: MIT
/*
 * The words of the client's command line: its lists have just the values that another reading of
 * them, by inet_pton(3), has, and what comes out can be written and read again. (The source is part
 * of this one, without the usage, which it would print.)
 */

#include <arpa/inet.h>
#include <stdarg.h>

#include "dynamic.h"
#include "fuzz.h"
#include "log.h"
#include "runner.h"

static int fake_usage(const char *self, const char *format, ...);
static bool fake_find(char path[static PATH_MAX], const char *name);

#define dynamic_usage fake_usage
#define log_failure(...) fake_usage("", __VA_ARGS__) /* that has what the user has typed */
#define runner_find fake_find
#include "../../src/client-words.c"

enum { ARGS = 12, TEXT = 4096 };

static int fake_usage(const char *self, const char *format, ...)
{
	char line[TEXT];
	va_list args;

	must(self);
	va_start(args, format);
	must(vsnprintf(line, sizeof(line), format, args) > 0);
	va_end(args);
	return 1;
}

static bool fake_find(char path[static PATH_MAX], const char *name)
{
	snprintf(path, PATH_MAX, "/bin/%s", name);
	return *name == 'h';
}

/* --- another reading --- */

/* ADDRESS or ADDRESS/BITS, of three digits at most. */
static bool is_prefix(const char *text, bool host)
{
	char ip[INET6_ADDRSTRLEN], bytes[16];
	const char *slash = strchrnul(text, '/');
	int most, bits = 0;

	if ((size_t)(slash - text) >= sizeof(ip))
		return false;
	snprintf(ip, sizeof(ip), "%.*s", (int)(slash - text), text);
	most = inet_pton(AF_INET, ip, bytes) == 1 ? 32 : 128;
	if (most == 128 && inet_pton(AF_INET6, ip, bytes) != 1)
		return false;
	if (!*slash)
		return true;
	if (!slash[1] || strlen(slash + 1) > 3 ||
	    strspn(slash + 1, "0123456789") != strlen(slash + 1))
		return false;
	for (const char *c = slash + 1; *c && bits <= most; ++c)
		bits = bits * 10 + (*c - '0');
	return bits <= most && (!host || bits == most);
}

static bool is_accept(const char *text)
{
	return !strcmp(text, "address") || !strcmp(text, "route") || !strcmp(text, "dns") ||
	       !strcmp(text, "default-route") || !strcmp(text, "mtu") || is_prefix(text, false);
}

static bool is_domain(const char *text)
{
	size_t len = strlen(text), label = 0;
	bool number = true; /* the last label */

	if (!len || len > 253 || *text == '-')
		return false;
	for (size_t i = 0; i < len; ++i) {
		if (text[i] == '.') {
			if (!label)
				return false;
			label = 0;
			number = true;
			continue;
		}
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_",
			    text[i]) || ++label > 63)
			return false;
		number = number && text[i] >= '0' && text[i] <= '9';
	}
	return label && !number;
}

static bool is_dns(const char *text)
{
	return is_prefix(text, true) || is_domain(text);
}

/* Whether all values of a list are such. */
static bool all(const char *list, bool (*is)(const char *text))
{
	char *value = text_copy(list, strlen(list)), *next = value, *one;
	bool fine = true;

	while (fine && (one = strsep(&next, ",")))
		fine = is(one);
	free(value);
	return fine;
}

/* --- the lists --- */

static void check_prefix(const struct cidr *c, bool host)
{
	struct cidr masked = *c;

	cidr_mask(&masked);
	must(!cidr_compare(c, &masked) && (!host || cidr_is_host(c)));
}

static void check_words(const struct client_words *words)
{
	const struct accept *accept = &words->accept;

	must(accept->words || accept->prefixes);
	must(accept->prefixes <= ACCEPT_PREFIXES && words->own.dns_count <= OPTIONS_DNS &&
	     words->own.searches <= OPTIONS_SEARCH);
	for (uint32_t i = 0; i < accept->prefixes; ++i)
		check_prefix(&accept->prefix[i], false);
	for (uint32_t i = 0; i < words->own.dns_count; ++i)
		check_prefix(&words->own.dns[i], true);
	for (uint32_t i = 0; i < words->own.searches; ++i)
		must(is_domain(words->own.search[i]));
	must(options_valid(&words->own) && !words->own.routes && !words->own.mtu);
	must(words->wait <= 86400);
	must(!(accept_want(accept) & WANT_DNS) == !(accept->words & ACCEPT_DNS));
}

/* One list, as the only word: taken just if each of its values is one and there is room. */
static void check_list(const char *word, const char *list, bool (*is)(const char *text))
{
	static struct client_words words, again;
	const char *argv[] = { "client", "wg0", word, list, word, NULL };
	char text[OPTIONS_TEXT], one[CIDR_STRLEN], *end = text;
	bool taken = client_words(&words, 4, argv), few;
	size_t values = 1;

	for (const char *c = list; *c; ++c)
		values += *c == ',';
	few = values <= OPTIONS_DNS;
	must(!taken || all(list, is));
	must(taken || !few || !all(list, is));
	if (!taken)
		return;
	check_words(&words);
	for (uint32_t i = 0; i < words.accept.prefixes; ++i)
		end += sprintf(end, "%s,", cidr_format(one, &words.accept.prefix[i]));
	for (uint32_t i = 0; i < words.own.dns_count; ++i)
		end += sprintf(end, "%s,", cidr_format_ip(one, &words.own.dns[i]));
	for (uint32_t i = 0; i < words.own.searches; ++i)
		end += sprintf(end, "%s,", words.own.search[i]);
	if (end == text)
		return; /* words alone */
	end[-1] = '\0';
	argv[3] = text;
	must(client_words(&again, 4, argv));
	must(again.accept.prefixes == words.accept.prefixes);
	must(!memcmp(again.accept.prefix, words.accept.prefix, sizeof(words.accept.prefix)));
	must(options_equal(&again.own, &words.own));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct client_words words;
	const char *argv[ARGS + 1] = { "client", "wg0" };
	char *text = text_copy(data, len), *next = text;
	int argc = 2;

	while (argc < ARGS && next && (argv[argc] = strsep(&next, "\n")))
		++argc;
	argv[argc] = NULL;
	if (client_words(&words, argc, argv))
		check_words(&words);
	for (int i = 2; i < argc; ++i) {
		check_list("accept", argv[i], is_accept);
		check_list("dns", argv[i], is_dns);
	}
	free(text);
	return 0;
}
