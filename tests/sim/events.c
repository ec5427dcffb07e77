// SPDX-License-Identifier: MIT
/* All that can happen. Entered by libFuzzer or by main() of random.c. */

#include "world.h"

/* --- what the administrator does --- */

static void touched(int p)
{
	world.peers[p].changed = sim_now;
}

static void admin_gives(void)
{
	int p = byte() % PEERS;
	struct cidr ip = some_address(byte());
	const struct entry *entry = entry_of(&ip);

	if (!world.peers[p].there || ip.ip[3] == 1)
		return;
	trace("%s is given to peer %d", text_of(&ip), p);
	if (entry)
		touched(entry->peer);
	promises_drop_address(&ip, p);
	if (!entry || entry->peer != p)
		entry_set(&ip, p, false);
	touched(p);
}

/* As `wg syncconf' does with what it does not know of. */
static void admin_resets(void)
{
	int p = byte() % PEERS;

	if (!world.peers[p].there)
		return;
	peer_empty(p);
	peer_static(p);
	touched(p);
}

static void admin_resets_all(void)
{
	for (int p = 0; p < PEERS; ++p) {
		if (!world.peers[p].there)
			continue;
		peer_empty(p);
		peer_static(p);
		touched(p);
	}
}

static void admin_removes(void)
{
	int p = byte() % PEERS;

	peer_empty(p);
	world.peers[p].there = false;
	touched(p);
	promises_drop(p);
	++world.peers[p].change; /* answers on their way do not count */
}

static void admin_adds(void)
{
	int p = byte() % PEERS;

	if (world.peers[p].there)
		return;
	world.peers[p].there = true;
	peer_static(p);
	touched(p);
}

/* What may not be leased to its holder any more ends when that comes to renew it. */
static void promises_drop_forbidden(const struct pools *pools, const struct policy *policy)
{
	for (int p = 0; p < PEERS; ++p) {
		struct peer *peer = &world.peers[p];

		++peer->change; /* answers on their way do not count */
		for (int v = V4; v < FAMILIES; ++v) {
			const struct cidr *ip = &peer->promise[v].ip;

			if (ip->family && (!pools_find(pools, ip) || pools_excluded(pools, ip) ||
					   policy_forbids(policy, ip, peer->key)))
				peer->promise[v].ip.family = 0;
		}
	}
}

static void admin_reloads(void)
{
	struct server_reload message = { .head.type = SERVER_RELOAD, .at = sim_now };
	uint32_t config = byte() % CONFIGS;

	sim_enter(SIM_OF_MONITOR);
	if (guard_reload(&monitor.guard, &configs.config[config].pools, &configs.policy[config],
			 configs.config[config].message.link_locals, sim_file_fd(sim_journal)))
		wrong("the guard cannot reload", -1, NULL);
	world.served = monitor.guard.served;
	sim_enter(SIM_OF_TEST);
	trace("config %u", config);
	world.config = config;
	promises_drop_forbidden(&configs.config[config].pools, &configs.policy[config]);
	tell_settings();
	tell(&message, sizeof(message), -1);
	monitor.read_at = sim_now;
}

static void admin_releases(void)
{
	int p = byte() % PEERS;

	promises_drop(p);
	++world.peers[p].change; /* an answer on its way does not count */
	engine_release(world.peers[p].key);
}

/* --- what time and chance do --- */

static void time_passes(void)
{
	sim_now += byte();
}

static void seconds_pass(void)
{
	sim_now += byte() * 100;
}

/* A suspend, too. */
static void hours_pass(void)
{
	sim_now += byte() * UINT64_C(360000);
	sim_wall += (int8_t)byte() * INT64_C(86400000);
}

static void engine_dies(void)
{
	sim_calls_left = 1 + byte();
	++sim_deaths;
}

static void daemon_dies(void)
{
	sim_calls_left = 1 + byte();
	for (int i = 0; i < 4 && world.engine_runs; ++i) {
		engine_turn();
		monitor_turn(byte() % 4);
	}
	++sim_deaths;
	daemon_begin_anew();
}

/* Everything that counts from the start of the machine begins anew. */
static void machine_starts(void)
{
	uint64_t before = sim_now;

	++world.boot;
	++world.device;
	world.entry_count = 0;
	sim_now = 60000 + byte();
	for (int p = 0; p < PEERS; ++p) {
		struct peer *peer = &world.peers[p];

		peer->changed = 0;
		/* What was left of a lease then, at least, is left now. */
		for (int v = V4; v < FAMILIES; ++v) {
			peer->promise[v].until = peer->promise[v].until > before ?
				peer->promise[v].until - before + sim_now : 0;
			peer->durable[v].until = UINT64_MAX / 2;
		}
		if (peer->there)
			peer_static(p);
		for (uint32_t i = 0; i < world.entry_count; ++i)
			world.entries[i].changed = 0;
	}
	for (int p = 0; p < PEERS; ++p) {
		for (int v = V4; v < FAMILIES; ++v) {
			const struct entry *entry = entry_of(&world.peers[p].promise[v].ip);

			if (entry && entry->peer != p)
				world.peers[p].promise[v].ip.family = 0;
		}
	}
	monitor.reading.began = monitor.adopted = 0;
}

static void power_fails(void)
{
	++sim_deaths;
	engine_died();
	monitor_died();
	sim_disk = SIM_DISK_GOOD;
	sim_power_cut(byte() * 4, byte() & 1);
	machine_starts();
	daemon_begin();
}

/* wg-quick down and up. */
static void device_is_made_anew(void)
{
	engine_died();
	monitor_died();
	++world.device;
	world.entry_count = 0;
	for (int p = 0; p < PEERS; ++p) {
		if (world.peers[p].there)
			peer_static(p);
		touched(p);
	}
	++sim_now;
	daemon_begin();
}

static void disk_changes(void)
{
	sim_disk = byte() % 3;
	trace("disk %d", sim_disk);
}

/* The engine is told so; that the file then is not there, tests of the real server show. */
static void journal_is_gone(void)
{
	tell_plain(SERVER_JOURNAL_GONE, -1);
}

static void device_slows(void)
{
	monitor.cost = byte() & 1 ? 0 : byte();
}

static void device_fails(void)
{
	monitor.failing = 1 + byte() % 4;
}

static void monitor_works(void)
{
	monitor_turn(byte());
}

/* --- all of it --- */

/* Of 256 events, so many are of each kind. */
static const struct {
	const char *name;
	void (*happens)(void);
	uint8_t weight;
} events[SIM_EVENT_TYPES] = {
	{ "client asks", client_asks, 84 },
	{ "client babbles", client_babbles, 6 },
	{ "client reads slowly", client_reads_slowly, 6 },
	{ "client reads on", client_reads_on, 12 },
	{ "client hangs up", client_hangs_up, 6 },
	{ "monitor works", monitor_works, 60 },
	{ "time passes", time_passes, 20 },
	{ "seconds pass", seconds_pass, 12 },
	{ "hours pass", hours_pass, 2 },
	{ "admin gives an address", admin_gives, 4 },
	{ "admin resets a peer", admin_resets, 4 },
	{ "admin resets all", admin_resets_all, 2 },
	{ "admin removes a peer", admin_removes, 2 },
	{ "admin adds a peer", admin_adds, 6 },
	{ "admin reloads", admin_reloads, 2 },
	{ "admin releases", admin_releases, 4 },
	{ "admin looks", engine_show, 2 },
	{ "engine dies", engine_dies, 4 },
	{ "daemon dies", daemon_dies, 3 },
	{ "device slows", device_slows, 3 },
	{ "device fails", device_fails, 4 },
	{ "disk changes", disk_changes, 3 },
	{ "journal is gone", journal_is_gone, 2 },
	{ "device is made anew", device_is_made_anew, 1 },
	{ "power fails", power_fails, 1 },
	{ "all rests", rest, 1 },
};

uint64_t sim_event_counts[SIM_EVENT_TYPES];
const char *sim_event_name(int type)
{
	return events[type].name;
}

static int event_of(uint8_t which)
{
	int type = 0;

	while (which >= events[type].weight)
		which -= events[type++].weight;
	return type;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t then;
	int type;

	world_make(data, size);
	daemon_begin();
	while (bytes_left()) {
		type = event_of(byte());
		++sim_events;
		++sim_event_counts[type];
		trace("- %s", events[type].name);
		events[type].happens();
		then = byte();
		if (then & 1)
			monitor_turn(1 + (then >> 5));
		if (!world.engine_runs)
			engine_start();
		if (then & 0x1e)
			engine_turn();
		clients_read();
		check_always();
	}
	rest();
	engine_died();
	monitor_died();
	return 0;
}
