// SPDX-License-Identifier: MIT
/* The state file is text of a few lines, replaced as a whole. */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "control.h"
#include "default-route.h"
#include "network-state.h"
#include "protocol.h"

static void path_make(char path[static PATH_MAX], const char *interface, const char *end)
{
	snprintf(path, PATH_MAX, CONTROL_DIR "/%s.client.state%s", interface, end);
}

int network_state_route(const struct network_state *state, const struct cidr *route)
{
	for (uint32_t i = 0; i < state->options.routes; ++i) {
		if (!cidr_compare(&state->options.route[i], route))
			return i;
	}
	return -1;
}

static void line_read(struct network_state *state, const char *key, const char *value)
{
	struct cidr route;
	int i;

	if (!strcmp(key, "ifindex"))
		number_parse(&state->ifindex, value, INT_MAX);
	else if (!strcmp(key, "table"))
		number_parse(&state->table, value, UINT32_MAX);
	else if (!strcmp(key, "mtu_before"))
		number_parse(&state->mtu_before, value, UINT32_MAX);
	else if (!strcmp(key, "route") || !strcmp(key, "mtu"))
		options_add(&state->options, key, value);
	else if (!strcmp(key, "allowed") && cidr_parse(&route, value, strlen(value)) &&
		 (i = network_state_route(state, &route)) >= 0)
		state->allowed[i] = 1;
	else if (!strcmp(key, "dns"))
		snprintf(state->dns, sizeof(state->dns), "%s", value);
	else if (!strcmp(key, "nameserver"))
		options_add(&state->options, "dns", value);
	else if (!strcmp(key, "resolver") && state->resolvers.count < HOST_RESOLVERS &&
		 cidr_parse(&route, value, strlen(value)))
		state->resolvers.ip[state->resolvers.count++] = route;
	else if (!strcmp(key, "default"))
		state->defaults |= strchr(value, ':') ? DEFAULT_ROUTE_V6 : DEFAULT_ROUTE_V4;
	else if (!strcmp(key, "fwmark"))
		state->unmark = 1;
}

void network_state_read(struct network_state *state, const char *interface)
{
	char path[PATH_MAX], line[512], *equals;
	FILE *file;
	int fd;

	memset(state, 0, sizeof(*state));
	path_make(path, interface, "");
	/* The folder may be that of a user who is not root: no pipe of his shall hold us up. */
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	file = fd < 0 ? NULL : fdopen(fd, "r");
	if (!file)
		return;
	while (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		equals = strchr(line, '=');
		if (!equals)
			continue;
		*equals = '\0';
		line_read(state, line, equals + 1);
	}
	fclose(file);
}

bool network_state_there(const char *interface)
{
	char path[PATH_MAX];

	path_make(path, interface, "");
	return !access(path, F_OK);
}

static void lines_write(FILE *file, const struct network_state *state)
{
	const struct options *options = &state->options;
	char text[CIDR_STRLEN];

	fprintf(file, "ifindex=%u\n", state->ifindex);
	if (state->table)
		fprintf(file, "table=%u\n", state->table);
	for (uint32_t i = 0; i < options->routes; ++i) {
		cidr_format(text, &options->route[i]);
		fprintf(file, "route=%s\n", text);
		if (state->allowed[i])
			fprintf(file, "allowed=%s\n", text);
	}
	if (options->mtu)
		fprintf(file, "mtu=%u\nmtu_before=%u\n", options->mtu, state->mtu_before);
	if (*state->dns)
		fprintf(file, "dns=%s\n", state->dns);
	for (uint32_t i = 0; *state->dns && i < options->dns_count; ++i)
		fprintf(file, "nameserver=%s\n", cidr_format_ip(text, &options->dns[i]));
	for (uint32_t i = 0; *state->dns && i < state->resolvers.count; ++i)
		fprintf(file, "resolver=%s\n", cidr_format_ip(text, &state->resolvers.ip[i]));
	fputs(state->defaults & DEFAULT_ROUTE_V4 ? "default=0.0.0.0/0\n" : "", file);
	fputs(state->defaults & DEFAULT_ROUTE_V6 ? "default=::/0\n" : "", file);
	fputs(state->unmark ? "fwmark=1\n" : "", file);
}

static bool is_empty(const struct network_state *state)
{
	return !options_present(&state->options) && !*state->dns && !state->defaults;
}

int network_state_write(const struct network_state *state, const char *interface)
{
	char path[PATH_MAX], new[PATH_MAX];
	FILE *file = NULL;
	bool failed;
	int fd;

	path_make(path, interface, "");
	path_make(new, interface, ".new");
	if (is_empty(state))
		return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
	unlink(new);
	fd = open(new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0)
		file = fdopen(fd, "w");
	if (!file)
		return -errno;
	lines_write(file, state);
	failed = ferror(file);
	if (fclose(file) || failed || rename(new, path) < 0)
		return -errno;
	return 0;
}
