// SPDX-License-Identifier: MIT
/* What `show' prints for people, in the manner of `wg show': colours, units, and no zeros. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "show.h"

#define BOLD "\033[1m"
#define GREEN "\033[32m"
#define YELLOW "\033[33m"
#define CYAN "\033[36m"
#define RESET "\033[0m"

static const char *color(const char *code)
{
	const char *mode = getenv("WG_COLOR_MODE");

	if (mode && !strcmp(mode, "always"))
		return code;
	if (mode && !strcmp(mode, "never"))
		return "";
	return isatty(STDOUT_FILENO) ? code : "";
}

/* Seconds as `1 hour, 2 minutes', the units in colour. */
static void duration(FILE *out, const char *value)
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
		fprintf(out, "%s%llu %s%s%s%s", comma, (unsigned long long)count, color(CYAN),
			units[i].name, count == 1 ? "" : "s", color(RESET));
		comma = ", ";
	}
}

static void label(FILE *out, const char *text)
{
	fprintf(out, "  %s%s%s: ", color(BOLD), text, color(RESET));
}

static void list(FILE *out, const char *value)
{
	for (; *value; ++value) {
		putc(*value, out);
		if (*value == ',')
			putc(' ', out);
	}
}

static void line(FILE *out, const struct field *field, const char *value)
{
	if (!*value)
		return;
	label(out, field->label);
	if (field->form == UNTIL && !strcmp(value, "0"))
		fputs("now", out);
	else if (field->form == UNTIL)
		fputs("in ", out);
	if (field->form == LIST)
		list(out, value);
	else if (field->form <= NUMBER)
		fputs(value, out);
	else if (field->form == DURATION || strcmp(value, "0"))
		duration(out, value);
	putc('\n', out);
}

/* The first line of a record, whose name is in colour. */
static void title(FILE *out, const char *code, const char *text, const char *value)
{
	static bool shown;

	if (shown)
		putc('\n', out);
	shown = true;
	fprintf(out, "%s%s%s%s: %s%s%s\n", color(code), color(BOLD), text, color(RESET),
		color(code), value, color(RESET));
}

/*
 * Counters of one group, which is their name up to the first `_', are in one line. Whoever prints
 * the next record of another kind ends it.
 */
static char group[256];

static void group_end(FILE *out)
{
	if (*group)
		putc('\n', out);
	*group = '\0';
}

static void counter(FILE *out, const char *name, const char *value)
{
	size_t len = strcspn(name, "_");

	if (!strcmp(value, "0"))
		return;
	if (strlen(group) == len && !strncmp(group, name, len)) {
		fputs(", ", out);
	} else {
		group_end(out);
		snprintf(group, sizeof(group), "%.*s", (int)len, name);
		label(out, group);
	}
	if (!strcmp(name, "uptime"))
		duration(out, value);
	else
		fputs(value, out);
	for (name += len; *name; ++name)
		putc(*name == '_' ? ' ' : *name, out);
}

void people_record(const struct record *r)
{
	const struct field *fields = record_kinds[r->kind].fields;
	int i = 0;

	if (r->kind == COUNTER) {
		counter(r->out, r->values[0], r->values[1]);
		return;
	}
	group_end(r->out);
	if (r->kind == POOL) {
		label(r->out, fields[0].label);
		fprintf(r->out, "%s (%s leased, %s free)\n", r->values[0], r->values[1],
			r->values[2]);
		return;
	}
	if (r->kind == LEASE) {
		title(r->out, YELLOW, fields[0].label, r->values[0]);
		i = 1;
	} else {
		title(r->out, GREEN, "interface", r->interface);
		label(r->out, "role");
		fprintf(r->out, "%s\n", record_kinds[r->kind].name);
	}
	for (; i < FIELDS && fields[i].key; ++i)
		line(r->out, &fields[i], r->values[i]);
}

void people_end(const struct record *r)
{
	group_end(r->out);
}
