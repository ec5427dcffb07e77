// SPDX-License-Identifier: MIT
/* The world that the engine is in: how it begins, and what drives it. */

#include <stdarg.h>
#include <stdio.h>

#include "world.h"

struct world world;
struct configs configs;

static const uint8_t *input;
static size_t input_left;
uint64_t sim_events, sim_promises, sim_deaths;

uint8_t byte(void)
{
	if (!input_left)
		return 0;
	--input_left;
	return *input++;
}

bool bytes_left(void)
{
	return input_left;
}

void wrong(const char *what, int peer, const struct cidr *ip)
{
	char text[CIDR_STRLEN] = "-";

	if (ip && ip->family)
		cidr_format(text, ip);
	fprintf(stderr, "server_sim: at %llu ms, event %llu: %s: peer %d, %s\n",
		(unsigned long long)sim_now, (unsigned long long)sim_events, what, peer, text);
	abort();
}

/* With SIM_TRACE in the environment, all that happens is told. */
void trace(const char *format, ...)
{
	static int wanted = -1;
	va_list list;

	if (wanted < 0)
		wanted = getenv("SIM_TRACE") != NULL;
	if (!wanted)
		return;
	fprintf(stderr, "%10llu %8llu ", (unsigned long long)sim_now,
		(unsigned long long)sim_events);
	va_start(list, format);
	vfprintf(stderr, format, list);
	va_end(list);
	fputc('\n', stderr);
}

const char *text_of(const struct cidr *ip)
{
	static char text[CIDR_STRLEN];

	return ip->family ? cidr_format(text, ip) : "-";
}

struct cidr address(const char *text)
{
	struct cidr ip;

	if (!cidr_parse(&ip, text, strlen(text)))
		wrong(text, -1, NULL);
	return ip;
}

/* Some address of the first pools, or near them. */
struct cidr some_address(uint8_t which)
{
	struct cidr ip = address(which & 0x80 ? "2001:db8::" : which & 0x40 ? "198.51.100.0" :
									      "192.0.2.0");

	ip.ip[which & 0x80 ? 15 : 3] = which & 0x1f;
	return ip;
}

/* --- the beginning --- */

static void config_make(int index, const char *const *nets, uint32_t pools, bool link_locals,
			uint32_t lease_time, struct reservation *reservations, uint32_t count)
{
	struct settings settings = { .reservations = reservations, .reservation_count = count };
	struct server_config *config = &configs.config[index];
	struct cidr net;

	config->message = (struct server_settings){ .head.type = SERVER_SETTINGS, .pools = pools,
						    .lease_time = lease_time,
						    .link_locals = link_locals };
	for (; *nets; ++nets) {
		net = address(*nets);
		config->message.nets[config->message.head.count++] = net;
		if (config->message.head.count <= pools)
			pools_add_cidr(&config->pools, &net);
		else
			config->pools.exclude[config->pools.excludes++] = net;
	}
	configs.policy_fd[index] = policy_make(&settings);
	if (policy_map(&configs.policy[index], configs.policy_fd[index]))
		wrong("no policy", index, NULL);
}

static void configs_make(void)
{
	static const char *const first[] = { "192.0.2.0/28", "2001:db8::/124", NULL };
	static const char *const second[] = { "192.0.2.0/28", "198.51.100.0/29",
					      "2001:db8::/124", "192.0.2.4/32", NULL };
	static const char *const third[] = { "198.51.100.0/29", NULL };
	struct reservation one[] = { { .ip = address("192.0.2.9") } };
	struct reservation two[] = { { .ip = address("192.0.2.9") },
				     { .ip = address("2001:db8::3") } };

	memcpy(one[0].key, world.peers[3].key, KEY_LEN);
	memcpy(two[0].key, world.peers[5].key, KEY_LEN);
	memcpy(two[1].key, world.peers[4].key, KEY_LEN);
	config_make(0, first, 2, false, 60, one, 1);
	config_make(1, second, 3, true, 600, two, 2);
	config_make(2, third, 1, true, 30, NULL, 0);
	configs.made = true;
}

void world_make(const uint8_t *bytes, size_t len)
{
	input = bytes;
	input_left = len;
	memset(&world, 0, sizeof(world));
	world.large = byte() < LARGE_WORLDS;
	sim_now = 100000;
	sim_wall = 1800000000;
	sim_disk = SIM_DISK_GOOD;
	sim_written = was_written;
	sim_durable = became_durable;
	sim_files_reset();
	for (int p = 0; p < PEERS; ++p) {
		struct peer *peer = &world.peers[p];
		struct cidr ip;

		memset(peer->key, 0x10 + p, KEY_LEN);
		key_to_base64(peer->text, peer->key);
		ip = address("fe80::");
		ip.ip[15] = 0x10 + p;
		if (p >= WITHOUT)
			cidr_derived(&ip, peer->key);
		memcpy(peer->link_local, ip.ip, sizeof(peer->link_local));
		peer->there = true;
		peer_static(p);
	}
	if (!configs.made)
		configs_make();
	memset(&monitor, 0, sizeof(monitor));
	monitor.reading_fd = monitor.child_fd = -1;
	monitor.read_at = NEVER;
}
