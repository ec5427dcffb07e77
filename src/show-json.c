// SPDX-License-Identifier: MIT
/*
 * What `show ... json' prints, RFC 8259, all in one line. Whatever a daemon says, it is valid. The
 * names are those of the keys in the daemons' answers, but inThisStyle.
 */

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "show.h"

static bool comma; /* is due before the next value */
static enum kind section; /* of the last record */
static const char *current; /* the interface whose object is open, or NULL */

/* Of all that come one after the other. */
static const char *const sections[KINDS] = {
	[COUNTER] = "counters",
	[POOL] = "pools",
	[LEASE] = "leases",
};

static void put(FILE *out, unsigned char byte)
{
	if (byte < ' ' || byte > '~' || byte == '"' || byte == '\\')
		fprintf(out, "\\u%04x", byte);
	else
		putc(byte, out);
}

static void begin(FILE *out, char first)
{
	if (comma)
		putc(',', out);
	putc(first, out);
	comma = false;
}

static void end(FILE *out, char last)
{
	putc(last, out);
	comma = true;
}

static void string(FILE *out, const char *text, size_t len)
{
	begin(out, '"');
	while (len--)
		put(out, *text++);
	end(out, '"');
}

static void name(FILE *out, const char *key)
{
	begin(out, '"');
	for (; *key; ++key) {
		if (*key == '_' && key[1])
			put(out, toupper((unsigned char)*++key));
		else
			put(out, *key);
	}
	end(out, '"');
	putc(':', out);
	comma = false;
}

static void number(FILE *out, const char *digits)
{
	if (comma)
		putc(',', out);
	fprintf(out, "%llu", isdigit((unsigned char)*digits) ? strtoull(digits, NULL, 10) : 0);
	comma = true;
}

static void list(FILE *out, const char *values)
{
	size_t len;

	begin(out, '[');
	for (; (len = strcspn(values, ",")); values += len + !!values[len])
		string(out, values, len);
	end(out, ']');
}

static void fields(const struct record *r)
{
	const struct field *field = record_kinds[r->kind].fields;

	for (int i = 0; i < FIELDS && field->key; ++i, ++field) {
		if (field->form == LIST) {
			name(r->out, field->label);
			list(r->out, r->values[i]);
		} else if (*r->values[i]) {
			name(r->out, r->kind == POOL ? field->label : field->key);
			if (field->form < NUMBER)
				string(r->out, r->values[i], strlen(r->values[i]));
			else
				number(r->out, r->values[i]);
		}
	}
}

/* Ends the section of the last record, and begins that of the next, if it has any. */
static void section_begin(FILE *out, enum kind next)
{
	if (next == section)
		return;
	if (section < KINDS && sections[section])
		end(out, section == COUNTER ? '}' : ']');
	section = next;
	if (next == KINDS)
		return;
	name(out, sections[next]);
	begin(out, next == COUNTER ? '{' : '[');
}

void json_record(const struct record *r)
{
	if (r->kind == r->role) {
		comma = false;
		section = KINDS;
		name(r->out, record_kinds[r->kind].name);
		begin(r->out, '{');
		fields(r);
		return;
	}
	section_begin(r->out, r->kind);
	if (r->kind == COUNTER) {
		name(r->out, r->values[0]);
		number(r->out, r->values[1]);
		return;
	}
	begin(r->out, '{');
	fields(r);
	end(r->out, '}');
}

void json_end(const struct record *r)
{
	if (r->role == SERVER)
		section_begin(r->out, LEASE); /* though it be empty */
	section_begin(r->out, KINDS);
	end(r->out, '}');
}

void json_daemon(const char *interface, const char *records)
{
	if (current && !strcmp(current, interface)) {
		putchar(',');
	} else {
		comma = current;
		if (current)
			putchar('}');
		else
			begin(stdout, '{');
		string(stdout, interface, strlen(interface));
		fputs(":{", stdout);
		current = interface;
	}
	fputs(records, stdout);
}

void json_finish(void)
{
	puts(current ? "}}" : "{}");
}
