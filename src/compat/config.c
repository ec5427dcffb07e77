// SPDX-License-Identifier: MIT
/*
 * The parser of wg's configuration format, as far as config.h promises it. Blanks do not count
 * anywhere in a line, nor does the case of keys and section names.
 */

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>

#include "backend.h"
#include "config.h"
#include "containers.h"
#include "encoding.h"

static bool parse_cidr(struct wgallowedip *allowedip, const char *text, unsigned long max)
{
	char *end;
	unsigned long cidr = max;

	if (text) {
		if (!isdigit((unsigned char)*text))
			return false;
		cidr = strtoul(text, &end, 10);
		if (*end || cidr > max)
			return false;
	}
	allowedip->cidr = cidr;
	return true;
}

/* Cuts text in two at the slash. */
static bool parse_network(struct wgallowedip *allowedip, char *text)
{
	char *cidr = text, *ip = strsep(&cidr, "/");

	if (inet_pton(AF_INET, ip, &allowedip->ip4) == 1) {
		allowedip->family = AF_INET;
		return parse_cidr(allowedip, cidr, 32);
	}
	if (inet_pton(AF_INET6, ip, &allowedip->ip6) == 1) {
		allowedip->family = AF_INET6;
		return parse_cidr(allowedip, cidr, 128);
	}
	return false;
}

static bool has_host_bits(const struct wgallowedip *allowedip)
{
	bool is_ip6 = allowedip->family == AF_INET6;
	const uint8_t *bytes = (const uint8_t *)&allowedip->ip6;
	unsigned int bits = is_ip6 ? 128 : 32;

	for (unsigned int i = allowedip->cidr; i < bits; i++) {
		if (bytes[i / 8] & (0x80 >> i % 8))
			return true;
	}
	return false;
}

static bool parse_allowedip(struct config_ctx *ctx, const char *text)
{
	struct wgallowedip *allowedip = add_allowedip(ctx->last_peer);
	char *copy = strdup(text);
	bool ok = false;

	if (!allowedip || !copy) {
		perror("AllowedIPs");
		goto cleanup;
	}
	ok = parse_network(allowedip, copy);
	if (!ok)
		fprintf(stderr, "AllowedIPs: `%s' is neither an address nor a network\n", text);
	else if (has_host_bits(allowedip))
		fprintf(stderr, "Warning: AllowedIPs: `%s' has bits beyond its prefix\n", text);
	ctx->last_allowedip = allowedip;
cleanup:
	free(copy);
	return ok;
}

static bool parse_allowedips(struct config_ctx *ctx, char *value)
{
	char *entry;

	if (!*value)
		return true;
	while ((entry = strsep(&value, ","))) {
		if (!parse_allowedip(ctx, entry))
			return false;
	}
	return true;
}

static bool parse_public_key(struct config_ctx *ctx, const char *value)
{
	if (!key_from_base64(ctx->last_peer->public_key, value)) {
		fprintf(stderr, "PublicKey: `%s' is not a key of 44 base64 characters\n", value);
		return false;
	}
	ctx->last_peer->flags |= WGPEER_HAS_PUBLIC_KEY;
	return true;
}

static bool begin_peer(struct config_ctx *ctx)
{
	ctx->last_allowedip = NULL;
	ctx->last_peer = add_peer(ctx->device);
	if (!ctx->last_peer) {
		perror("[Peer]");
		return false;
	}
	ctx->last_peer->flags = WGPEER_REPLACE_ALLOWEDIPS;
	ctx->is_peer_section = true;
	return true;
}

/* The rest of line after "key=" if it begins so, else NULL. */
static char *value_of(char *line, const char *key)
{
	size_t len = strlen(key);

	return !strncasecmp(line, key, len) && line[len] == '=' ? line + len + 1 : NULL;
}

static bool parse_line(struct config_ctx *ctx, char *line)
{
	char *value;

	if (!strcasecmp(line, "[Peer]"))
		return begin_peer(ctx);
	if (ctx->is_peer_section && (value = value_of(line, "PublicKey")))
		return parse_public_key(ctx, value);
	if (ctx->is_peer_section && (value = value_of(line, "AllowedIPs")))
		return parse_allowedips(ctx, value);
	fprintf(stderr, "Line unrecognized: `%s'\n", line);
	return false;
}

/* A copy of a line without comment and blanks, for the caller to free. */
static char *strip(const char *line)
{
	size_t len = 0;
	char *copy = calloc(1, strlen(line) + 1);

	for (; copy && *line && *line != '#'; line++) {
		if (!isspace((unsigned char)*line))
			copy[len++] = *line;
	}
	return copy;
}

bool config_read_init(struct config_ctx *ctx, bool append)
{
	memset(ctx, 0, sizeof(*ctx));
	ctx->device = calloc(1, sizeof(*ctx->device));
	if (!ctx->device) {
		perror("Configuration");
		return false;
	}
	if (!append)
		ctx->device->flags = WGDEVICE_REPLACE_PEERS | WGDEVICE_HAS_PRIVATE_KEY |
				     WGDEVICE_HAS_FWMARK | WGDEVICE_HAS_LISTEN_PORT;
	return true;
}

bool config_read_line(struct config_ctx *ctx, const char *line)
{
	char *stripped = strip(line);
	bool ok = false;

	if (!stripped)
		perror("Configuration");
	else
		ok = !*stripped || parse_line(ctx, stripped);
	free(stripped);
	if (!ok) {
		free_wgdevice(ctx->device);
		ctx->device = NULL;
	}
	return ok;
}

struct wgdevice *config_read_finish(struct config_ctx *ctx)
{
	struct wgpeer *peer;

	for_each_wgpeer(ctx->device, peer) {
		if (peer->flags & WGPEER_HAS_PUBLIC_KEY)
			continue;
		fprintf(stderr, "A [Peer] section has no PublicKey\n");
		free_wgdevice(ctx->device);
		ctx->device = NULL;
		break;
	}
	return ctx->device;
}
