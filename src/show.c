// SPDX-License-Identifier: MIT
/*
 * `show': asks the daemons and prints what they say, for people or, with `dump', `json' or
 * `allowed-ips', for programs. An answer is a sequence of records. What is printed of a daemon is
 * composed first, so that it is all or nothing.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control.h"
#include "dynamic.h"
#include "encoding.h"
#include "log.h"
#include "network-state.h"
#include "show.h"

#define COUNTER_PREFIX "counter_"

const struct record_kind record_kinds[KINDS] = {
	[CLIENT] = { "client", {
		{ "state", "state", TEXT },
		{ "server_public_key", "server", KEY },
		{ "link_local", "link-local", TEXT },
		{ "ip", "addresses", LIST },
		{ "lease_time", "lease time", DURATION },
		{ "request_in", "next request", UNTIL },
		{ "expires_in", "expiry", UNTIL },
		{ "last_error", "last error", TEXT },
		{ "route", "routes", LIST },
		{ "dns", "dns", LIST },
		{ "search", "search", LIST },
		{ "mtu", "mtu", NUMBER },
		{ "refused", "refused", LIST },
	} },
	[SERVER] = { "server", {
		{ "lease_time", "lease time", DURATION },
		{ "config", "config", TEXT },
		{ "route", "routes", LIST },
		{ "dns", "dns", LIST },
		{ "search", "search", LIST },
		{ "mtu", "mtu", NUMBER },
		{ "journal_error", "journal", TEXT },
	} },
	[COUNTER] = { "counter", {
		{ "name", "", TEXT },
		{ "value", "", NUMBER },
	} },
	[POOL] = { "pool", {
		{ "pool", "pool", TEXT },
		{ "pool_leased", "leased", NUMBER },
		{ "pool_free", "free", NUMBER },
	} },
	[LEASE] = { "lease", {
		{ "public_key", "peer", KEY },
		{ "ip", "addresses", LIST },
		{ "expires_in", "expiry", UNTIL },
	} },
};

static void dump_record(const struct record *r)
{
	const struct record_kind *kind = &record_kinds[r->kind];

	fprintf(r->out, "%s\t%s", r->interface, kind->name);
	for (int i = 0; i < FIELDS && kind->fields[i].key; ++i)
		fprintf(r->out, "\t%s", *r->values[i] ? r->values[i] : "(none)");
	putc('\n', r->out);
}

static void dump_end(const struct record *r)
{
	(void)r;
}

static const struct {
	void (*record)(const struct record *r);
	void (*end)(const struct record *r);
} styles[] = {
	[PEOPLE] = { people_record, people_end },
	[DUMP] = { dump_record, dump_end },
	[JSON] = { json_record, json_end },
};

/* --- records --- */

static void record_end(struct record *r)
{
	styles[r->style].record(r);
	for (int i = 0; i < FIELDS; ++i)
		*r->values[i] = '\0';
}

static void record_value(struct record *r, const char *key, const char *value)
{
	const struct field *fields = record_kinds[r->kind].fields;
	uint8_t public_key[WG_KEY_LEN];
	size_t len;

	for (int i = 0; i < FIELDS && fields[i].key; ++i) {
		if (strcmp(fields[i].key, key))
			continue;
		len = fields[i].form == LIST ? strlen(r->values[i]) : 0;
		if (fields[i].form == KEY && key_from_hex(public_key, value))
			key_to_base64(r->values[i], public_key);
		else
			snprintf(r->values[i] + len, VALUE - len, "%s%s", len ? "," : "", value);
	}
}

static void record_line(struct record *r, const char *key, const char *value)
{
	const size_t prefix = sizeof(COUNTER_PREFIX) - 1;
	enum kind begins = KINDS;

	if (r->kind == KINDS) {
		if (!strcmp(key, "role"))
			r->kind = r->role;
		return;
	}
	if (!strncmp(key, COUNTER_PREFIX, prefix))
		begins = COUNTER;
	else if (!strcmp(key, record_kinds[POOL].fields[0].key))
		begins = POOL;
	else if (!strcmp(key, record_kinds[LEASE].fields[0].key))
		begins = LEASE;
	if (begins != KINDS) {
		record_end(r);
		r->kind = begins;
	}
	if (begins == COUNTER) {
		record_value(r, "name", key + prefix);
		key = "value";
	}
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

/* --- allowed-ips --- */

bool show_served(const char *interface, struct served *served)
{
	char path[PATH_MAX];
	int ret;

	snprintf(path, sizeof(path), STATEDIR "/%s.served", interface);
	ret = served_read(served, AT_FDCWD, path);
	if (ret)
		log_failure("cannot read %s: %s", path,
			    ret == -EILSEQ ? "no server has written this" : strerror(-ret));
	return !ret;
}

int show_unknown(const char *interface, enum kind role, const char *ip)
{
	return log_failure("the %s says that it has put %s into AllowedIPs, of which %s/%s.%s, its "
			   "monitor's, does not know", record_kinds[role].name, ip,
			   role == SERVER ? STATEDIR : CONTROL_DIR, interface,
			   role == SERVER ? "served" : "client.state");
}

/*
 * In the form of `wg show INTERFACE allowed-ips': a line for each key, however long. SaveConfig
 * leaves out what is printed here, so an engine that has been taken over must not have it forget
 * what the administrator has written: only that counts which its monitor has noted.
 */
struct allowed {
	struct served served; /* of a server */
	struct network_state network; /* of a client */
	uint8_t key[WG_KEY_LEN]; /* whose the next are */
	bool has_key;
	char last[WG_KEY_LEN_BASE64]; /* whose line is open, or "" */
	char unknown[CIDR_STRLEN]; /* what the monitor has not noted */
};

/* False after a line in the log. */
static bool allowed_begin(struct allowed *a, const struct record *r)
{
	memset(a, 0, sizeof(*a));
	if (r->style == ALLOWED && r->role == SERVER)
		return show_served(r->interface, &a->served);
	if (r->style == ALLOWED)
		network_state_read(&a->network, r->interface);
	return true;
}

static bool is_noted(const struct allowed *a, enum kind role, const struct cidr *ip)
{
	int route;

	if (role == SERVER)
		return served_gave(&a->served, a->key, ip);
	route = network_state_route(&a->network, ip);
	return route >= 0 && a->network.allowed[route];
}

/* False for what the monitor has not noted. */
static bool allowed_line(struct record *r, struct allowed *a, const char *key, const char *value)
{
	static const char end[] = "_key";
	char text[CIDR_STRLEN], base64[WG_KEY_LEN_BASE64];
	uint8_t bytes[WG_KEY_LEN];
	size_t len = strlen(key);
	struct cidr ip;

	if (len >= strlen(end) && !strcmp(key + len - strlen(end), end) &&
	    key_from_hex(bytes, value)) {
		memcpy(a->key, bytes, sizeof(bytes));
		a->has_key = true;
	}
	if (strcmp(key, "allowed_ip") || !a->has_key)
		return true;
	if (!cidr_parse(&ip, value, strlen(value)) || !is_noted(a, r->role, &ip)) {
		snprintf(a->unknown, sizeof(a->unknown), "%s", value);
		return false;
	}
	cidr_format(text, &ip);
	key_to_base64(base64, a->key);
	if (strcmp(base64, a->last))
		fprintf(r->out, "%s%s\t%s", *a->last ? "\n" : "", base64, text);
	else
		fprintf(r->out, " %s", text);
	strcpy(a->last, base64);
	return true;
}

/* --- answers --- */

/* Returns 0, or EPIPE for an answer without any record. */
static int answer_end(struct record *r, const struct allowed *allowed)
{
	if (r->style == ALLOWED) {
		if (*allowed->last)
			putc('\n', r->out);
		return 0;
	}
	if (r->kind == KINDS)
		return EPIPE;
	record_end(r);
	styles[r->style].end(r);
	return 0;
}

/*
 * Reads the answer and composes what is to be printed. Returns 0; EPIPE when it breaks off;
 * ETIMEDOUT or EFBIG, when it would have no end; or EPERM, when the monitor knows nothing of it.
 */
static int read_answer(FILE *stream, struct record *r, struct allowed *allowed)
{
	char line[CONTROL_LINE], *equals;

	while (fgets(line, sizeof(line), stream)) {
		line[strcspn(line, "\n")] = '\0';
		if (!*line)
			return answer_end(r, allowed);
		make_printable(line);
		equals = strchr(line, '=');
		if (!equals)
			return EPIPE;
		if (ftello(r->out) > CONTROL_ANSWER) /* of short lines, records are long */
			return EFBIG;
		*equals = '\0';
		if (r->style != ALLOWED)
			record_line(r, line, equals + 1);
		else if (!allowed_line(r, allowed, line, equals + 1))
			return EPERM;
	}
	return ferror(stream) ? errno : EPIPE;
}

/* --- daemons --- */

static int log_broken(const struct record *r, const struct allowed *allowed, int error)
{
	const char *name = record_kinds[r->role].name;

	if (error == EPERM)
		return show_unknown(r->interface, r->role, allowed->unknown);
	return log_failure("the answer of the %s breaks off%s", name,
			   error == ETIMEDOUT ? ": it takes too long" :
			   error == EFBIG ? ": it is too long" : "");
}

/* What a daemon that does not run has left in AllowedIPs, as show_daemon(). */
static int show_ended(const char *interface, enum kind role, char **text)
{
	size_t len;
	FILE *out = open_memstream(text, &len);
	int ret = out ? show_left(interface, role, out) : 0;

	return out && !fclose(out) ? ret : log_failure("out of memory");
}

/*
 * Composes what is to be printed of one daemon: *text, the caller's to free. Returns 0, 1 after a
 * line that says why not, or -1: none runs there.
 */
static int show_daemon(const char *interface, enum kind role, enum style style, char **text)
{
	struct record record = { .interface = interface, .style = style, .role = role,
				 .kind = KINDS };
	const char *name = record_kinds[role].name;
	FILE *stream = control_ask(interface, name);
	struct allowed allowed;
	int error = -1;
	size_t len;

	log_open(interface);
	if (!stream && (errno == ENOENT || errno == ECONNREFUSED))
		return style == ALLOWED ? show_ended(interface, role, text) : -1;
	if (!stream)
		return log_failure("cannot ask the %s: %s", name, strerror(errno));
	record.out = open_memstream(text, &len);
	if (record.out && allowed_begin(&allowed, &record))
		error = read_answer(stream, &record, &allowed);
	fclose(stream);
	if (!record.out || fclose(record.out))
		return log_failure("out of memory");
	return error > 0 ? log_broken(&record, &allowed, error) : -error;
}

/* `allowed-ips' of all interfaces, like that of wg(8), says before each line of which it is. */
static void print_named(const char *interface, const char *text)
{
	for (size_t len; *text; text += len) {
		len = strcspn(text, "\n") + 1;
		printf("%s\t%.*s", interface, (int)len, text);
	}
}

/* All daemons of an interface, which may be one of `all': as above, the worst of them. */
static int show_interface(const char *interface, enum style style, bool all)
{
	int status = -1, ret;
	char *text;

	for (enum kind role = CLIENT; role <= SERVER; ++role) {
		text = NULL;
		ret = show_daemon(interface, role, style, &text);
		if (!ret && style == JSON)
			json_daemon(interface, text);
		else if (!ret && text && all && style == ALLOWED)
			print_named(interface, text);
		else if (!ret && text)
			fputs(text, stdout);
		free(text);
		if (ret > status)
			status = ret;
	}
	return status;
}

/* The length of the interface's name in that of a status socket; 0: not one. */
static size_t socket_name(const char *file)
{
	char end[32];
	size_t len;

	for (int i = 0; i < CONTROL_ROLES; ++i) {
		len = snprintf(end, sizeof(end), ".%s.sock", control_roles[i]);
		if (strlen(file) > len && !strcmp(file + strlen(file) - len, end))
			return strlen(file) - len;
	}
	return 0;
}

static int show_all(enum style style)
{
	struct dirent **files;
	int count = scandir(CONTROL_DIR, &files, NULL, alphasort), status = 0, first;

	if (count < 0 && errno != ENOENT)
		return log_failure("cannot read " CONTROL_DIR ": %s", strerror(errno));
	for (int i = 0; i < count; ++i) {
		files[i]->d_name[socket_name(files[i]->d_name)] = '\0';
		for (first = 0; strcmp(files[first]->d_name, files[i]->d_name);)
			++first;
		if (first == i && *files[i]->d_name &&
		    show_interface(files[i]->d_name, style, true) == 1)
			status = 1;
	}
	return status; /* nothing is freed: the process ends */
}

static int show_one(const char *interface, enum style style)
{
	int status = show_interface(interface, style, false);

	if (status >= 0)
		return status;
	log_open(interface);
	return log_failure("neither client nor server runs");
}

int dynamic_show(int argc, const char *argv[])
{
	static const char *const words[] = {
		[DUMP] = "dump", [JSON] = "json", [ALLOWED] = "allowed-ips",
	};
	enum style style = argc == 1 ? PEOPLE : ALLOWED;
	int status;

	while (style != PEOPLE && strcmp(argv[argc - 1], words[style]))
		--style;
	argc -= style != PEOPLE;
	if (argc > 2)
		return dynamic_usage(argv[0], "an interface or `all', and `dump', `json' or "
				     "`allowed-ips' at the end, is all");
	if (geteuid())
		return log_failure("must be run as root");
	status = argc == 1 || !strcmp(argv[1], "all") ? show_all(style) : show_one(argv[1], style);
	if (style == JSON)
		json_finish();
	return status;
}
