// SPDX-License-Identifier: MIT
/* Each word reads its own value, and says what is wrong with it. */

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#include "client-words.h"
#include "dynamic.h"
#include "log.h"
#include "protocol.h"
#include "runner.h"

enum {
	WAIT_S = 10, /* unless told */
	WAIT_MAX = 86400,
};

static bool wait_word(struct client_words *words, const char *self, const char *value)
{
	if (value && number_parse(&words->wait, value, WAIT_MAX))
		return true;
	dynamic_usage(self, "wait needs seconds, 0 to %d%s%s", WAIT_MAX, value ? ", not " : "",
		      value ? value : "");
	return false;
}

static bool accept_word(struct client_words *words, const char *self, const char *value)
{
	size_t len;
	int ret;

	if (!value) {
		dynamic_usage(self, "accept needs a list of address, route, default-route, dns, "
			      "mtu and prefixes");
		return false;
	}
	for (;; value += len + 1) {
		len = strcspn(value, ",");
		ret = accept_add(&words->accept, value, len);
		if (ret == -ENOSPC)
			dynamic_usage(self, "accept `%.*s' is one prefix too many: %d are the most",
				      (int)len, value, ACCEPT_PREFIXES);
		else if (ret)
			dynamic_usage(self, "accept `%.*s' is neither address, route, "
				      "default-route, dns or mtu, nor a prefix", (int)len, value);
		if (ret || !value[len])
			return !ret;
	}
}

static bool table_word(struct client_words *words, const char *self, const char *value)
{
	words->table = 0;
	if (value && (!strcmp(value, "off") ||
		      (number_parse(&words->table, value, UINT32_MAX) && words->table)))
		return true;
	dynamic_usage(self, "table needs a number, 1 to %u, or `off'%s%s", UINT32_MAX,
		      value ? ", not " : "", value ? value : "");
	return false;
}

/* An address is a resolver, anything else a search domain. */
static bool dns_word(struct client_words *words, const char *self, const char *value)
{
	char text[DOMAIN_LEN + 1];
	size_t len;
	int ret;

	if (!value) {
		dynamic_usage(self, "dns needs a list of resolvers and search domains");
		return false;
	}
	for (;; value += len + 1) {
		len = strcspn(value, ",");
		snprintf(text, sizeof(text), "%.*s", (int)len, value);
		ret = options_add(&words->own, "dns", text);
		if (ret == -EINVAL && !domain_is_number(text))
			ret = options_add(&words->own, "search", text);
		if (ret)
			dynamic_usage(self, "dns `%.*s' is %s", (int)len, value, ret == -ENOSPC ?
				      "one too many: 8 of a kind are the most" :
				      "neither an address nor a domain");
		if (ret || !value[len])
			return !ret;
	}
}

static bool hook_word(struct client_words *words, const char *self, const char *value)
{
	if (!value)
		dynamic_usage(self, "hook needs a program");
	else if (runner_find(words->hook, value))
		return true;
	else
		log_failure("hook `%s' is no program that can be run: give its whole path, or the "
			    "name of one in PATH", value);
	return false;
}

static const struct {
	const char *name;
	bool (*read)(struct client_words *words, const char *self, const char *value);
} words_with_value[] = {
	{ "wait", wait_word },
	{ "accept", accept_word },
	{ "table", table_word },
	{ "dns", dns_word },
	{ "hook", hook_word },
};

enum { WORDS_WITH_VALUE = sizeof(words_with_value) / sizeof(*words_with_value) };

static bool word(struct client_words *words, const char *argv[], int *i)
{
	const char *name = argv[*i];

	if (!strcmp(name, "foreground")) {
		words->foreground = true;
		return true;
	}
	if (!strcmp(name, "check")) {
		words->check = true;
		return true;
	}
	for (int j = 0; j < WORDS_WITH_VALUE; ++j) {
		if (!strcmp(name, words_with_value[j].name))
			return words_with_value[j].read(words, argv[0], argv[++*i]);
	}
	dynamic_usage(argv[0], "`%s' is not understood", name);
	return false;
}

bool client_words(struct client_words *words, int argc, const char *argv[])
{
	*words = (struct client_words){ .wait = WAIT_S, .table = RT_TABLE_MAIN };
	if (argc < 2) {
		dynamic_usage(argv[0], "which interface?");
		return false;
	}
	words->interface = argv[1];
	for (int i = 2; i < argc; ++i) {
		if (!word(words, argv, &i))
			return false;
	}
	if (!words->accept.words && !words->accept.prefixes)
		words->accept.words = ACCEPT_USUAL;
	return true;
}

bool client_words_root(const struct client_words *words)
{
	return words->accept.words & (ACCEPT_DNS | ACCEPT_DEFAULT_ROUTE) ||
	       options_present(&words->own);
}

bool client_words_programs(const struct client_words *words)
{
	return client_words_root(words) || *words->hook;
}
