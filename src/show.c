// SPDX-License-Identifier: MIT
/*
 * `show': asks the daemons and prints what they say, for people or, with `dump', for programs.
 * An answer is a sequence of records; each kind of record has a table of the keys it is made of.
 */

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control.h"
#include "dynamic.h"
#include "encoding.h"
#include "log.h"

#define BOLD "\033[1m"
#define GREEN "\033[32m"
#define YELLOW "\033[33m"
#define CYAN "\033[36m"
#define RESET "\033[0m"

enum { FIELDS = 9, VALUE = 256 };

/* How a value is shown to people. */
enum form { TEXT, KEY, LIST, DURATION, UNTIL };

struct field {
	const char *key; /* as the daemon says it; its order here is that of the columns */
	const char *label;
	enum form form;
};

/* A record begins with its first key; but a daemon's own is told by the role. */
enum kind { CLIENT, SERVER, POOL, LEASE, KINDS };

static const struct {
	const char *name;
	struct field fields[FIELDS];
} records[KINDS] = {
	[CLIENT] = { "client", {
		{ "state", "state", TEXT },
		{ "server_public_key", "server", KEY },
		{ "link_local", "link-local", TEXT },
		{ "ip", "addresses", LIST },
		{ "lease_time", "lease time", DURATION },
		{ "renew_in", "renewal", UNTIL },
		{ "expires_in", "expiry", UNTIL },
		{ "last_error", "last error", TEXT },
	} },
	[SERVER] = { "server", {
		{ "lease_time", "lease time", DURATION },
	} },
	[POOL] = { "pool", {
		{ "pool", "pool", TEXT },
		{ "pool_leased", "leased", TEXT },
		{ "pool_free", "free", TEXT },
	} },
	[LEASE] = { "lease", {
		{ "public_key", "peer", KEY },
		{ "ip", "addresses", LIST },
		{ "expires_in", "expiry", UNTIL },
	} },
};

struct record {
	const char *interface;
	bool dump;
	enum kind kind;
	char values[FIELDS][VALUE];
};

static bool colored, shown; /* shown: something is above, which a blank line sets off */

static const char *color(const char *code)
{
	return colored ? code : "";
}

static bool color_wanted(void)
{
	const char *mode = getenv("WG_COLOR_MODE");

	if (mode && !strcmp(mode, "always"))
		return true;
	if (mode && !strcmp(mode, "never"))
		return false;
	return isatty(STDOUT_FILENO);
}

/* Seconds as `1 hour, 2 minutes', the units in colour. */
static void print_duration(const char *value)
{
	static const struct {
		uint64_t seconds;
		const char *name;
	} units[] = {
		{ 365 * 86400, "year" }, { 86400, "day" }, { 3600, "hour" },
		{ 60, "minute" }, { 1, "second" },
	};
	uint64_t left = strtoull(value, NULL, 10), count;
	const char *comma = "";

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); ++i) {
		count = left / units[i].seconds;
		left %= units[i].seconds;
		if (!count && (*comma || i + 1 < sizeof(units) / sizeof(units[0])))
			continue;
		printf("%s%llu %s%s%s%s", comma, (unsigned long long)count, color(CYAN),
		       units[i].name, count == 1 ? "" : "s", color(RESET));
		comma = ", ";
	}
}

static void print_value(enum form form, const char *value)
{
	if (form == UNTIL && strcmp(value, "0"))
		fputs("in ", stdout);
	if (form == UNTIL && !strcmp(value, "0"))
		fputs("now", stdout);
	else if (form == UNTIL || form == DURATION)
		print_duration(value);
	else
		fputs(value, stdout);
}

static void print_pool(const struct record *r)
{
	printf("  %spool%s: %s (%s leased, %s free)\n", color(BOLD), color(RESET), r->values[0],
	       r->values[1], r->values[2]);
}

/* The first line of a record, whose name is in colour. */
static void print_title(const char *code, const char *label, const char *value)
{
	if (shown)
		putchar('\n');
	shown = true;
	printf("%s%s%s%s: %s%s%s\n", color(code), color(BOLD), label, color(RESET), color(code),
	       value, color(RESET));
}

static void print_people(const struct record *r)
{
	const struct field *fields = records[r->kind].fields;
	int i = 0;

	if (r->kind == POOL) {
		print_pool(r);
		return;
	}
	if (r->kind == LEASE) {
		print_title(YELLOW, fields[0].label, r->values[0]);
		i = 1;
	} else {
		print_title(GREEN, "interface", r->interface);
		printf("  %srole%s: %s\n", color(BOLD), color(RESET), records[r->kind].name);
	}
	for (; i < FIELDS && fields[i].key; ++i) {
		if (!*r->values[i])
			continue;
		printf("  %s%s%s: ", color(BOLD), fields[i].label, color(RESET));
		print_value(fields[i].form, r->values[i]);
		putchar('\n');
	}
}

static void print_dump(const struct record *r)
{
	const struct field *fields = records[r->kind].fields;

	printf("%s\t%s", r->interface, records[r->kind].name);
	for (int i = 0; i < FIELDS && fields[i].key; ++i)
		printf("\t%s", *r->values[i] ? r->values[i] : "(none)");
	putchar('\n');
}

static void record_end(struct record *r)
{
	if (r->kind == KINDS)
		return;
	if (r->dump)
		print_dump(r);
	else
		print_people(r);
	memset(r->values, 0, sizeof(r->values));
}

static void record_value(struct record *r, const char *key, const char *value)
{
	const struct field *fields = records[r->kind].fields;
	uint8_t public_key[WG_KEY_LEN];
	size_t len;

	for (int i = 0; i < FIELDS && fields[i].key; ++i) {
		if (strcmp(fields[i].key, key))
			continue;
		len = fields[i].form == LIST ? strlen(r->values[i]) : 0;
		if (fields[i].form == KEY && key_from_hex(public_key, value))
			key_to_base64(r->values[i], public_key);
		else
			snprintf(r->values[i] + len, VALUE - len, "%s%s",
				 !len ? "" : r->dump ? "," : ", ", value);
	}
}

static void record_line(struct record *r, const char *key, const char *value)
{
	enum kind begins = KINDS;

	if (!strcmp(key, "role"))
		begins = !strcmp(value, "client") ? CLIENT : SERVER;
	else if (!strcmp(key, records[POOL].fields[0].key))
		begins = POOL;
	else if (!strcmp(key, records[LEASE].fields[0].key))
		begins = LEASE;
	if (begins != KINDS) {
		record_end(r);
		r->kind = begins;
	}
	if (r->kind != KINDS)
		record_value(r, key, value);
}

/* Engines are not trusted with the reader's terminal. */
static void make_printable(char *line)
{
	for (; *line; ++line) {
		if (*line < ' ' || *line > '~')
			*line = '?';
	}
}

/* Reads and prints the answer; false when it breaks off. */
static bool show_answer(FILE *stream, struct record *r)
{
	char line[CONTROL_LINE], *equals;

	while (fgets(line, sizeof(line), stream)) {
		line[strcspn(line, "\n")] = '\0';
		if (!*line) {
			record_end(r);
			return true;
		}
		make_printable(line);
		equals = strchr(line, '=');
		if (!equals)
			return false;
		*equals = '\0';
		record_line(r, line, equals + 1);
	}
	return false;
}

/* Shows one daemon. Returns 0, 1 after a line that says why not, or -1: none runs there. */
static int show_daemon(const char *interface, const char *role, bool dump)
{
	struct record record = { .interface = interface, .dump = dump, .kind = KINDS };
	FILE *stream = control_ask(interface, role);
	bool whole;

	if (!stream && (errno == ENOENT || errno == ECONNREFUSED))
		return -1;
	log_open(interface);
	if (!stream)
		return log_failure("cannot ask the %s: %s", role, strerror(errno));
	whole = show_answer(stream, &record);
	fclose(stream);
	return whole ? 0 : log_failure("the answer of the %s breaks off", role);
}

static int show_interface(const char *interface, bool dump)
{
	int client = show_daemon(interface, "client", dump);
	int server = show_daemon(interface, "server", dump);

	if (client < 0 && server < 0) {
		log_open(interface);
		return log_failure("neither client nor server runs");
	}
	return client == 1 || server == 1;
}

/* The length of the interface's name in that of a status socket, and its role; 0: not one. */
static size_t socket_name(const char *file, const char **role)
{
	static const char *const roles[] = { "client", "server" };
	char end[32];
	size_t len;

	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); ++i) {
		len = snprintf(end, sizeof(end), ".%s.sock", roles[i]);
		*role = roles[i];
		if (strlen(file) > len && !strcmp(file + strlen(file) - len, end))
			return strlen(file) - len;
	}
	return 0;
}

static int show_all(bool dump)
{
	struct dirent **files;
	int count = scandir(CONTROL_DIR, &files, NULL, alphasort), status = 0;
	const char *role;
	size_t len;

	if (count < 0 && errno != ENOENT)
		return log_failure("cannot read " CONTROL_DIR ": %s", strerror(errno));
	for (int i = 0; i < count; ++i) {
		len = socket_name(files[i]->d_name, &role);
		files[i]->d_name[len] = '\0';
		if (len && show_daemon(files[i]->d_name, role, dump) == 1)
			status = 1;
		free(files[i]);
	}
	if (count >= 0)
		free(files);
	return status;
}

int dynamic_show(int argc, const char *argv[])
{
	bool dump = argc > 1 && !strcmp(argv[argc - 1], "dump");

	argc -= dump;
	if (argc > 2)
		return dynamic_usage(argv[0],
				     "an interface or `all', and `dump' at the end, is all");
	if (geteuid())
		return log_failure("must be run as root");
	colored = color_wanted();
	if (argc == 1 || !strcmp(argv[1], "all"))
		return show_all(dump);
	return show_interface(argv[1], dump);
}
