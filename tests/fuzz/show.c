// SPDX-License-Identifier: MIT
/*
 * What daemons answer to `show', which runs as root while they do not: all that is printed is
 * printable, of the form that programs expect, and JSON is JSON. (Its source is part of this one.)
 */

#include <ctype.h>

#include "fuzz.h"

#include "../../src/show.c"

enum { DEPTH = 8 };

/* --- JSON, RFC 8259, as far as it is printed --- */

static const char *json_value(const char *at, int depth);

static const char *json_text(const char *at)
{
	must(*at == '"');
	for (++at; *at != '"'; ++at) {
		must(*at >= ' ' && *at <= '~');
		if (*at != '\\')
			continue;
		must(*++at == 'u');
		for (int i = 0; i < 4; ++i)
			must(isxdigit((unsigned char)*++at));
	}
	return at + 1;
}

static const char *json_members(const char *at, char end, int depth)
{
	if (*at == end)
		return at + 1;
	for (;; ++at) {
		if (end != ']') {
			at = json_text(at);
			must(*at++ == ':');
		}
		at = json_value(at, depth + 1);
		if (*at == end)
			return at + 1;
		must(*at == ',');
	}
}

static const char *json_value(const char *at, int depth)
{
	must(depth < DEPTH);
	if (*at == '{')
		return json_members(at + 1, '}', depth);
	if (*at == '[')
		return json_members(at + 1, ']', depth);
	if (*at == '"')
		return json_text(at);
	must(isdigit((unsigned char)*at) && (*at != '0' || !isdigit((unsigned char)at[1])));
	return at + strspn(at, "0123456789");
}

/* One member of an object. */
static void check_json(const char *text)
{
	const char *end = json_members(text, '\0', DEPTH - 6);

	must(end == text + strlen(text) + 1);
}

/* --- tables --- */

static size_t count(const char *text, size_t len, char what)
{
	size_t n = 0;

	while (len--)
		n += *text++ == what;
	return n;
}

/* Only what the monitor has noted; the administrator's own must not look as if it were leased. */
static void check_allowed(const char *text, const struct allowed *allowed, enum kind role)
{
	char key[WG_KEY_LEN_BASE64];
	uint8_t bytes[WG_KEY_LEN];
	struct cidr ip, derived;
	size_t len;

	while (*text) {
		memcpy(key, text, sizeof(key));
		key[sizeof(key) - 1] = '\0';
		must(key_from_base64(bytes, key));
		cidr_derived(&derived, bytes);
		text += sizeof(key) - 1;
		must(*text == '\t');
		for (; *text != '\n'; text += len) {
			len = strcspn(++text, " \n");
			must(cidr_parse(&ip, text, len));
			if (role == CLIENT)
				must(!cidr_compare(&ip, &allowed->network.options.route[1]));
			else
				must(!cidr_compare(&ip, &derived) ||
				     (cidr_is_host(&ip) && served_has(&allowed->served, &ip)));
		}
		++text;
	}
}

/* As many columns as its kind has, and none of them empty. */
static void check_dump(const char *text)
{
	size_t len, columns;

	for (; *text; text += len + 1) {
		len = strcspn(text, "\n");
		must(text[len] == '\n' && !strncmp(text, "wg0\t", 4));
		columns = 1;
		for (int k = 0; k < KINDS; ++k) {
			size_t name = strlen(record_kinds[k].name), fields = 0;

			while (fields < FIELDS && record_kinds[k].fields[fields].key)
				++fields;
			if (!strncmp(text + 4, record_kinds[k].name, name) &&
			    text[4 + name] == '\t')
				columns = 1 + fields;
		}
		must(columns > 1 && count(text, len, '\t') == columns);
		must(!memmem(text, len, "\t\t", 2) && text[len - 1] != '\t');
	}
}

/* What a monitor has noted. Of a client's routes, the second alone is in AllowedIPs by us. */
static struct allowed noted(void)
{
	struct allowed allowed = { .served = { .link_locals = true } };
	struct cidr net;

	must(cidr_parse(&net, "192.0.2.0/24", 12) && served_add(&allowed.served, &net));
	must(cidr_parse(&net, "2001:db8::/64", 13) && served_add(&allowed.served, &net));
	must(!options_add(&allowed.network.options, "route", "10.1.0.0/16"));
	must(!options_add(&allowed.network.options, "route", "10.2.0.0/16"));
	allowed.network.allowed[1] = 1;
	return allowed;
}

static void check(const uint8_t *data, size_t len, enum kind role, enum style style)
{
	static struct record record;
	struct allowed allowed = noted();
	FILE *stream = len ? fmemopen((void *)data, len, "r") : NULL;
	size_t text_len;
	char *text;
	bool whole;

	if (!stream)
		return;
	record = (struct record){ .interface = "wg0", .style = style, .role = role,
				  .kind = KINDS, .out = open_memstream(&text, &text_len) };
	must(record.out);
	whole = !read_answer(stream, &record, &allowed);
	must(!fclose(record.out));
	fclose(stream);
	must(strlen(text) == text_len && is_printable(text, text_len));
	must(!whole || style < DUMP || style == JSON || !text_len || text[text_len - 1] == '\n');
	if (whole && style == JSON)
		check_json(text);
	if (whole && style == DUMP)
		check_dump(text);
	if (whole && style == ALLOWED)
		check_allowed(text, &allowed, role);
	free(text);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return setenv("WG_COLOR_MODE", "never", 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct input input = { data, len };
	enum kind role = input_byte(&input) & 1 ? SERVER : CLIENT;

	for (enum style style = PEOPLE; style <= ALLOWED; ++style)
		check(input.data, input.len, role, style);
	return 0;
}
