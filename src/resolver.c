// SPDX-License-Identifier: MIT
/* What goes into the record, and the calls of resolvconf. */

#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "log.h"
#include "resolver.h"

#define ORDER "/etc/resolvconf/interface-order"

/*
 * Where resolvconf ranks interfaces by patterns, the first one that is a word and a star, which
 * gives its interfaces the first rank, is that of wg-quick's records. "" where there is none.
 */
static void prefix_read(char prefix[static 256])
{
	static const char word[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				   "0123456789-";
	FILE *f = fopen(ORDER, "re");
	char line[256];
	size_t len;

	*prefix = '\0';
	while (f && !*prefix && fgets(line, sizeof(line), f)) {
		char *start = line + strspn(line, " \t");

		len = strspn(start, word);
		if (len && start[len] == '*' && !start[len + 1 + strspn(start + len + 1, " \t\n")])
			snprintf(prefix, 256, "%.*s.", (int)len, start);
	}
	if (f)
		fclose(f);
}

void resolver_init(struct resolver *r, struct runner *runner, const char *interface,
		   const struct options *own)
{
	char prefix[256];

	prefix_read(prefix);
	memset(r, 0, sizeof(*r));
	r->runner = runner;
	r->own = own;
	snprintf(r->name, sizeof(r->name), "%s%.15s", prefix, interface);
}

/* --- what is pushed --- */

static bool is_refused(const struct resolver *r, const struct cidr *ip)
{
	for (uint32_t i = 0; i < r->refused_count; ++i) {
		if (!cidr_compare(&r->refused[i], ip))
			return true;
	}
	return false;
}

void resolver_check(struct resolver *r, struct options *o)
{
	struct cidr refused[OPTIONS_DNS];
	uint32_t kept = 0, count = 0;
	char text[CIDR_STRLEN];

	for (uint32_t i = 0; i < o->dns_count; ++i) {
		if (cidr_is_assignable(&o->dns[i])) {
			o->dns[kept++] = o->dns[i];
			continue;
		}
		if (!is_refused(r, &o->dns[i]))
			log_line(LOG_WARNING, "the server pushes the resolver %s, which can't be "
				 "reached through a tunnel: ignored",
				 cidr_format_ip(text, &o->dns[i]));
		refused[count++] = o->dns[i];
	}
	o->dns_count = kept;
	r->refused_count = count;
	memcpy(r->refused, refused, count * sizeof(*refused));
}

/* --- the record --- */

static bool has_resolver(const struct options *o, const struct cidr *ip)
{
	for (uint32_t i = 0; i < o->dns_count; ++i) {
		if (!cidr_compare(&o->dns[i], ip))
			return true;
	}
	return false;
}

static bool has_search(const struct options *o, const char *domain)
{
	for (uint32_t i = 0; i < o->searches; ++i) {
		if (!strcasecmp(o->search[i], domain))
			return true;
	}
	return false;
}

struct text {
	char *buf;
	size_t len;
};

static void put(struct text *text, const char *before, const char *value)
{
	text->len += snprintf(text->buf + text->len, RESOLVER_TEXT - text->len, "%s%s", before,
			      value);
}

/* "" without a resolver: the record stands alone, so names would not be resolved at all. */
static void compose(char buf[static RESOLVER_TEXT], const struct options *own,
		    const struct options *pushed)
{
	struct text text = { buf, 0 };
	char ip[CIDR_STRLEN];
	bool any;

	*buf = '\0';
	for (uint32_t i = 0; i < own->dns_count; ++i)
		put(&text, text.len ? "\nnameserver " : "nameserver ",
		    cidr_format_ip(ip, &own->dns[i]));
	for (uint32_t i = 0; i < pushed->dns_count; ++i) {
		if (!has_resolver(own, &pushed->dns[i]))
			put(&text, text.len ? "\nnameserver " : "nameserver ",
			    cidr_format_ip(ip, &pushed->dns[i]));
	}
	if (!text.len)
		return;
	any = own->searches;
	for (uint32_t i = 0; i < own->searches; ++i)
		put(&text, i ? " " : "\nsearch ", own->search[i]);
	for (uint32_t i = 0; i < pushed->searches; ++i) {
		if (has_search(own, pushed->search[i]))
			continue;
		put(&text, any ? " " : "\nsearch ", pushed->search[i]);
		any = true;
	}
	put(&text, "\n", "");
}

static void set_done(void *data, bool success)
{
	struct resolver *r = data;

	r->there = success && !runner_waiting(r->runner, r);
	r->failed = !success;
	if (r->changed)
		r->changed();
}

static void resolvconf_add(struct resolver *r)
{
	/* -m and -x: no metric, and no other interface's resolvers beside these. */
	const char *argv[] = { "resolvconf", "-a", r->name, "-m", "0", "-x", NULL };
	const struct program program = {
		.argv = argv, .input = r->text, .owner = r, .done = set_done, .data = r,
	};

	runner_drop(r->runner, r);
	r->failed = runner_add(r->runner, &program);
}

static bool resolvconf_there(struct resolver *r)
{
	char path[PATH_MAX];

	if (runner_find(path, "resolvconf"))
		return true;
	if (!r->missing)
		log_line(LOG_ERR, "cannot set the resolvers: there is no `resolvconf' in PATH: "
			 "install openresolv, or that of systemd-resolved");
	r->missing = true;
	return false;
}

void resolver_set(struct resolver *r, const struct options *pushed)
{
	char text[RESOLVER_TEXT];

	compose(text, r->own, pushed);
	if (!*text && pushed->searches && !r->lonely)
		log_line(LOG_WARNING, "the server pushes search domains, but no resolver: ignored");
	r->lonely = !*text && pushed->searches;
	if (!*text) {
		resolver_unset(r);
		return;
	}
	if (!r->failed && !strcmp(text, r->text))
		return;
	r->there = false;
	if (!resolvconf_there(r))
		return;
	strcpy(r->text, text);
	resolvconf_add(r);
}

void resolver_adopt(struct resolver *r)
{
	strcpy(r->text, "?");
}

/* -f: no complaint if there is no such record, or no such interface any more. */
static void resolvconf_delete(struct runner *runner, const char *name, const void *owner)
{
	const char *argv[] = { "resolvconf", "-d", name, "-f", NULL };
	const struct program program = { .argv = argv, .owner = owner };

	runner_add(runner, &program);
}

void resolver_unset(struct resolver *r)
{
	if (!*r->text)
		return;
	*r->text = '\0';
	r->there = r->failed = false;
	runner_drop(r->runner, r);
	resolvconf_delete(r->runner, r->name, r);
}

void resolver_remove(struct runner *runner, const char *name)
{
	resolvconf_delete(runner, name, NULL);
}
