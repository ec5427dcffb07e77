// SPDX-License-Identifier: MIT
/*
 * Settings, from the table to each value. What a source gives for the first time takes the place
 * of what there was from another; what it gives again, where that makes sense, is added.
 */

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "config.h"
#include "containers.h"
#include "encoding.h"
#include "settings.h"

enum setting { POOL, EXCLUDE, LEASE_TIME, LINK_LOCALS, ROUTE, DNS, SEARCH, MTU, SETTINGS };

/* The word of the command line; without its dash, and in any case, it is the key of the file. */
static const struct {
	const char *word;
	bool list; /* values with commas between */
	bool peer; /* may stand in a [Peer] section, too */
	bool empty; /* may have no value, which means none */
	const char *wrong; /* what is wrong with a value that it can't have */
	const char *many;
} table[SETTINGS] = {
	[POOL] = { "pool", true, false, false, NULL, NULL },
	[EXCLUDE] = { "exclude", true, false, true, NULL, NULL },
	[LEASE_TIME] = { "lease-time", false, false, false,
			 "is not a number of seconds from 1 to 31536000", NULL },
	[LINK_LOCALS] = { "link-locals", false, false, false,
			  "is not one of its values: write auto or off", NULL },
	[ROUTE] = { "route", true, true, true, "is not a network: write ADDRESS/BITS",
		    "is one route too many: 128 are the most" },
	[DNS] = { "dns", true, true, true,
		  "is not the address of a resolver: domains are search domains",
		  "is one resolver too many: 8 are the most" },
	[SEARCH] = { "search", true, true, true,
		     "is not a domain: write letters, digits, `-', `_' and dots between",
		     "is one domain too many: 8 are the most" },
	[MTU] = { "mtu", false, true, true, "is not a number of bytes from 1280 to 65535", NULL },
};

/* What a file is read with. */
struct parse {
	struct settings *settings;
	char *error;
	const char *file;
	uint32_t line;
	enum { NOWHERE, SERVER, PEER } section;
	struct config_ctx config; /* of wg's own keys */
	bool has_key;
	struct options options; /* of the peer at hand */
	uint32_t first; /* its first reservation */
};

void settings_open(struct settings *s)
{
	memset(s, 0, sizeof(*s));
	s->lease_time = SETTINGS_LEASE_TIME;
}

void settings_close(struct settings *s)
{
	for (uint32_t i = 0; i < s->peer_count; ++i)
		free(s->peers[i].options);
	free(s->peers);
	free(s->reservations);
	memset(s, 0, sizeof(*s));
}

/* --- values --- */

static void clear(struct settings *s, struct options *options, enum setting which)
{
	switch (which) {
	case POOL:
		s->pools.count = 0;
		break;
	case EXCLUDE:
		s->pools.excludes = 0;
		break;
	case ROUTE:
		options->routes = 0;
		break;
	case DNS:
		options->dns_count = 0;
		break;
	case SEARCH:
		options->searches = 0;
		break;
	case MTU:
		options->mtu = 0;
		break;
	default: /* has one value at any time */
		break;
	}
}

/* What clients would refuse, though its form is right; NULL: nothing. */
static const char *useless(enum setting which, const char *value)
{
	struct cidr ip;

	if (which == DNS && cidr_parse(&ip, value, strlen(value)) && cidr_is_host(&ip) &&
	    !cidr_is_assignable(&ip))
		return "can't be reached through a tunnel: write an address that the resolver has "
		       "for clients";
	if (which == ROUTE && cidr_parse(&ip, value, strlen(value)) && ip.prefix &&
	    !cidr_is_assignable(&ip))
		return "is taken by no client: it holds loopback, link-local, multicast or "
		       "reserved addresses";
	if (which == SEARCH && domain_is_number(value))
		return "is no domain, as it ends with a number: addresses of resolvers go to the "
		       "setting `dns'";
	return NULL;
}

/* NULL, or what is wrong with the value. */
static const char *add(struct settings *s, struct options *options, enum setting which,
		       const char *value)
{
	const char *wrong = useless(which, value);

	if (wrong)
		return wrong;
	switch (which) {
	case POOL:
		return pools_add(&s->pools, value, strlen(value));
	case EXCLUDE:
		return pools_exclude(&s->pools, value, strlen(value));
	case LEASE_TIME:
		return number_parse(&s->lease_time, value, LEASE_TIME_MAX) && s->lease_time ?
			       NULL : table[which].wrong;
	case LINK_LOCALS:
		s->link_locals = !strcasecmp(value, "auto");
		return s->link_locals || !strcasecmp(value, "off") ? NULL : table[which].wrong;
	default:
		break;
	}
	switch (options_add(options, table[which].word, value)) {
	case 0:
		return NULL;
	case -ENOSPC:
		return table[which].many;
	default:
		return table[which].wrong;
	}
}

/* Sets all of a value, which may be written into, given by this name. False with the error. */
static bool set(struct settings *s, struct options *options, uint32_t *given,
		enum setting which, const char *name, char *value, char *error)
{
	const char *wrong = NULL, *entry;

	if (!table[which].list && *given & 1U << which) {
		snprintf(error, SETTINGS_ERROR, "%.64s is given twice: once is enough", name);
		return false;
	}
	if (!(*given & 1U << which))
		clear(s, options, which);
	*given |= 1U << which;
	if (!*value && table[which].empty)
		return true;
	while (!wrong && (entry = table[which].list ? strsep(&value, ",") : value)) {
		wrong = add(s, options, which, entry);
		if (!table[which].list)
			break;
	}
	if (wrong)
		snprintf(error, SETTINGS_ERROR, "%.64s `%.64s' %s", name, entry, wrong);
	return !wrong;
}

bool settings_word(const char *word)
{
	for (int i = 0; i < SETTINGS; ++i) {
		if (!strcmp(table[i].word, word))
			return true;
	}
	return false;
}

bool settings_words(struct settings *s, const char *const *words, size_t count,
		    char error[static SETTINGS_ERROR])
{
	bool ok = true;
	char *value;

	s->given = 0;
	for (size_t i = 0; ok && i + 1 < count; i += 2) {
		value = strdup(words[i + 1]);
		if (!value) {
			strcpy(error, "out of memory");
			return false;
		}
		for (int which = 0; which < SETTINGS; ++which) {
			if (!strcmp(table[which].word, words[i]))
				ok = set(s, &s->options, &s->given, which, words[i], value, error);
		}
		free(value);
	}
	return ok;
}

/* --- the file --- */

/* Writes the error; false, to be returned. */
__attribute__((format(printf, 2, 3)))
static bool wrong(const struct parse *p, const char *format, ...)
{
	size_t len = snprintf(p->error, SETTINGS_ERROR, "%s, line %u: ", p->file, p->line);
	va_list args;

	va_start(args, format);
	vsnprintf(p->error + len, SETTINGS_ERROR - len, format, args);
	va_end(args);
	/* What can't be seen, such as a byte order mark, and what a terminal would obey. */
	for (char *c = p->error + len; *c; ++c) {
		if (*c < ' ' || *c > '~')
			*c = '?';
	}
	return false;
}

/* What a key is called in the table; -1: it's none. */
static int find(const char *key, bool peer)
{
	for (int i = 0; i < SETTINGS; ++i) {
		const char *word = table[i].word, *at = key;

		for (; *word; ++word) {
			if (*word != '-' && tolower((unsigned char)*at++) != *word)
				break;
		}
		if (!*word && !*at && (table[i].peer || !peer))
			return i;
	}
	return -1;
}

/* One more of size bytes, all zero, at the end of an array; NULL without memory. */
static void *grow(void **array, uint32_t *count, size_t size)
{
	char *larger = *array;

	if (!(*count & (*count - 1)))
		larger = reallocarray(*array, *count ? 2 * (size_t)*count : 1, size);
	if (!larger)
		return NULL;
	*array = larger;
	return memset(larger + size * (*count)++, 0, size);
}

static bool peer_begin(struct parse *p)
{
	struct settings *s = p->settings;
	struct settings_peer *peer;

	if (!config_read_line(&p->config, "[Peer]"))
		p->config.device = NULL;
	peer = grow((void **)&s->peers, &s->peer_count, sizeof(*peer));
	if (!peer || !p->config.device)
		return wrong(p, "out of memory");
	peer->line = p->line;
	p->section = PEER;
	p->has_key = false;
	memset(&p->options, 0, sizeof(p->options));
	p->first = s->reservation_count;
	return true;
}

/* At the end of a section: what belongs to a peer is known only when its key is. */
static bool peer_end(struct parse *p)
{
	static char lines[OPTIONS_TEXT];
	struct settings *s = p->settings;
	struct settings_peer *peer;
	size_t len;

	if (p->section != PEER)
		return true;
	peer = &s->peers[s->peer_count - 1];
	if (!p->has_key) {
		p->line = peer->line;
		return wrong(p, "this [Peer] has no PublicKey: a line `PublicKey = KEY' is needed");
	}
	for (uint32_t i = p->first; i < s->reservation_count; ++i)
		memcpy(s->reservations[i].key, peer->key, KEY_LEN);
	len = options_encode(lines, &p->options, UINT32_MAX);
	peer->options = strndup(lines, len);
	return peer->options || wrong(p, "out of memory");
}

/* These two go to wg's own parser, which says nothing when all has been looked at before. */
static bool public_key(struct parse *p, const char *line, const char *value)
{
	struct settings_peer *peer = &p->settings->peers[p->settings->peer_count - 1];

	if (p->has_key)
		return wrong(p, "PublicKey is given twice: each peer has a [Peer] of its own");
	if (!key_from_base64(peer->key, value))
		return wrong(p, "PublicKey `%.64s' is not a key: write what `wg pubkey' prints",
			     value);
	if (!config_read_line(&p->config, line)) {
		p->config.device = NULL;
		return wrong(p, "PublicKey `%.64s' is refused", value);
	}
	memcpy(peer->key, p->config.last_peer->public_key, KEY_LEN);
	p->has_key = true;
	return true;
}

static bool allowed_ips_valid(struct parse *p, const char *value)
{
	struct cidr ip;
	size_t len;

	for (;; value += len + 1) {
		len = strcspn(value, ",");
		if (!cidr_parse(&ip, value, len) || !cidr_is_host(&ip))
			return wrong(p, "AllowedIPs `%.*s' is not a single address, which is what "
				     "can be reserved: write it alone or with /32 or /128; "
				     "networks go into wg's own configuration",
				     (int)(len > 64 ? 64 : len), value);
		if (!cidr_is_assignable(&ip))
			return wrong(p, "AllowedIPs `%.*s' is an address that is never leased: "
				     "reserve one of a pool", (int)len, value);
		if (!value[len])
			return true;
	}
}

static bool allowed_ips(struct parse *p, const char *line, const char *value)
{
	const struct wgallowedip *ip = p->config.last_allowedip;
	struct settings *s = p->settings;
	struct reservation *r;

	if (*value && !allowed_ips_valid(p, value))
		return false;
	if (!config_read_line(&p->config, line)) {
		p->config.device = NULL;
		return wrong(p, "AllowedIPs `%.64s' are refused", value);
	}
	for (ip = ip ? ip->next_allowedip : p->config.last_peer->first_allowedip; ip;
	     ip = ip->next_allowedip) {
		r = grow((void **)&s->reservations, &s->reservation_count, sizeof(*r));
		if (!r)
			return wrong(p, "out of memory");
		cidr_host(&r->ip, ip->family, &ip->ip6);
		r->line = p->line;
	}
	return true;
}

static bool section(struct parse *p, const char *line)
{
	if (!peer_end(p))
		return false;
	if (!strcasecmp(line, "[Peer]"))
		return peer_begin(p);
	if (strcasecmp(line, "[Server]"))
		return wrong(p, "`%.64s' is no section of a server's file: those are [Server] and "
			     "[Peer]", line);
	p->section = SERVER;
	return true;
}

/* A line without blanks and comment. */
static bool parse_line(struct parse *p, char *line)
{
	struct settings *s = p->settings;
	struct settings_peer *peer = s->peer_count ? &s->peers[s->peer_count - 1] : NULL;
	char *value = strchr(line, '='), error[SETTINGS_ERROR], *whole;
	bool in_peer = p->section == PEER, ok;
	int which;

	if (*line == '[')
		return section(p, line);
	if (!value)
		return wrong(p, "`%.64s' is neither a section nor KEY = VALUE", line);
	if (p->section == NOWHERE)
		return wrong(p, "`%.64s' stands before any section: begin with [Server] or [Peer]",
			     line);
	whole = in_peer ? strdup(line) : NULL;
	*value++ = '\0';
	which = find(line, in_peer);
	if (in_peer && whole && !strcasecmp(line, "PublicKey")) {
		ok = public_key(p, whole, value);
	} else if (in_peer && whole && !strcasecmp(line, "AllowedIPs")) {
		ok = allowed_ips(p, whole, value);
	} else if (which < 0) {
		ok = wrong(p, "`%.64s' is no key of [%s], which has %s", line,
			   in_peer ? "Peer" : "Server",
			   in_peer ? "PublicKey, AllowedIPs, Route, DNS, Search and MTU" :
				     "Pool, Exclude, LeaseTime, Route, DNS, Search, MTU and "
				     "LinkLocals");
	} else {
		ok = set(s, in_peer ? &p->options : &s->options,
			 in_peer ? &peer->given : &s->given, which, line, value, error);
		if (!ok)
			wrong(p, "%s", error);
	}
	free(whole);
	return ok;
}

/* As wg does it: blanks count nowhere, and what follows a `#' is for people. */
static void strip(char *line)
{
	char *to = line;

	for (; *line && *line != '#'; ++line) {
		if (!isspace((unsigned char)*line))
			*to++ = *line;
	}
	*to = '\0';
}

static bool read_lines(struct parse *p, FILE *stream)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t len;
	bool ok = true;

	while (ok && (len = getline(&line, &room, stream)) >= 0) {
		++p->line;
		if (strlen(line) != (size_t)len)
			ok = wrong(p, "holds a zero byte: this is no text file");
		strip(line);
		ok = ok && (!*line || parse_line(p, line));
	}
	free(line);
	if (ok && ferror(stream)) {
		snprintf(p->error, SETTINGS_ERROR, "cannot read %s: %s", p->file, strerror(errno));
		ok = false;
	}
	return ok && peer_end(p);
}

static int compare_peers(const void *a, const void *b)
{
	const struct settings_peer *x = a, *y = b;
	int diff = memcmp(x->key, y->key, KEY_LEN);

	return diff ? diff : (x->line > y->line) - (x->line < y->line);
}

static int compare_reservations(const void *a, const void *b)
{
	const struct reservation *x = a, *y = b;
	int diff = cidr_compare(&x->ip, &y->ip);

	return diff ? diff : (x->line > y->line) - (x->line < y->line);
}

/* Puts all in order, and sees that nothing is there twice. */
static bool sort(struct parse *p)
{
	struct settings *s = p->settings;
	struct settings_peer *peer = s->peers;
	struct reservation *r = s->reservations;
	char ip[CIDR_STRLEN];

	if (s->peer_count)
		qsort(peer, s->peer_count, sizeof(*peer), compare_peers);
	if (s->reservation_count)
		qsort(r, s->reservation_count, sizeof(*r), compare_reservations);
	for (uint32_t i = 1; i < s->peer_count; ++i) {
		if (memcmp(peer[i].key, peer[i - 1].key, KEY_LEN))
			continue;
		p->line = peer[i].line;
		return wrong(p, "the key of this [Peer] is that of line %u already: put both into "
			     "one", peer[i - 1].line);
	}
	for (uint32_t i = 1; i < s->reservation_count; ++i) {
		if (cidr_compare(&r[i].ip, &r[i - 1].ip))
			continue;
		p->line = r[i].line;
		return wrong(p, "AllowedIPs %s is reserved in line %u already: reserve it once",
			     cidr_format(ip, &r[i].ip), r[i - 1].line);
	}
	return true;
}

/* NULL with the error. A pipe's other end could have us wait for ever. */
static FILE *open_file(const char *file, char *error)
{
	struct stat st;
	bool found = !stat(file, &st), regular = found && S_ISREG(st.st_mode);
	FILE *stream = regular ? fopen(file, "re") : NULL;

	if (!stream)
		snprintf(error, SETTINGS_ERROR, "cannot read %s: %s", file, found && !regular ?
			 "it is no regular file: write the settings into one" : strerror(errno));
	return stream;
}

bool settings_file(struct settings *s, const char *file, char error[static SETTINGS_ERROR])
{
	struct parse p = { .settings = s, .error = error, .file = file };
	FILE *stream = open_file(file, error);
	bool ok;

	if (!stream)
		return false;
	s->given = 0;
	ok = config_read_init(&p.config, true);
	if (!ok)
		wrong(&p, "out of memory");
	ok = ok && read_lines(&p, stream) && sort(&p);
	fclose(stream);
	if (p.config.device)
		free_wgdevice(p.config.device);
	return ok;
}

bool settings_check(const struct settings *s, const char *file,
		    char error[static SETTINGS_ERROR])
{
	const struct pool *pool;
	char ip[CIDR_STRLEN];

	for (uint32_t i = 0; i < s->reservation_count; ++i) {
		const struct reservation *r = &s->reservations[i];
		struct parse p = { .error = error, .file = file, .line = r->line };

		pool = pools_find(&s->pools, &r->ip);
		if (pool && !pool_excludes(pool, &r->ip))
			continue;
		return wrong(&p, "AllowedIPs %s %s", cidr_format(ip, &r->ip),
			     pool ? "is its pool's own address: reserve another" :
			     pools_excluded(&s->pools, &r->ip) ?
				    "is excluded: take it out of Exclude, or reserve another" :
				    "is in no pool: reserve one that is, or add its pool");
	}
	return true;
}

/* --- options --- */

void settings_decode(struct options *options, const char *lines, size_t len)
{
	char line[DOMAIN_LEN + 16], *value;
	size_t end;

	for (; len; lines += end + 1, len -= end + 1) {
		end = (const char *)memchr(lines, '\n', len) - lines;
		memcpy(line, lines, end);
		line[end] = '\0';
		value = strchr(line, '=');
		*value++ = '\0';
		options_add(options, line, value);
	}
}

void settings_options(const struct settings *s, const struct settings_peer *peer,
		      struct options *options)
{
	*options = s->options;
	if (!peer)
		return;
	for (int which = ROUTE; which <= MTU; ++which) {
		if (peer->given & 1U << which)
			clear(NULL, options, which);
	}
	settings_decode(options, peer->options, strlen(peer->options));
}
