// SPDX-License-Identifier: MIT
/* How the engine and the daemon live and die. */

#include <stdio.h>
#include <unistd.h>

#include "../../src/server.c" /* for its static functions: the engine has no other entries */

#include "world.h"

struct server server;

/* By which reading it has ordered what it has ordered. */
static void note_orders(void)
{
	for (struct sim_message *m = sim_to_monitor.first; m; m = m->next) {
		if (!m->note)
			m->note = server.reading_began;
	}
}

void engine_died(void)
{
	sim_enter(SIM_OF_TEST);
	sim_calls_left = 0;
	clients_read(); /* what it has still sent they have */
	note_orders();
	reading_unmap(&server.reading);
	reading_unmap(&server.old_reading);
	trace("engine is gone");
	policy_unmap(&server.policy);
	memset(&server, 0, sizeof(server));
	sim_queue_clear(&sim_to_engine);
	sim_process_end(SIM_OF_ENGINE);
	connections_drop();
	world.engine_runs = false;
	world.engine_at = NEVER;
}

/* As engine_up() of the monitor. */
void engine_start(void)
{
	struct server_start start = {
		.head.type = SERVER_START,
		.ifindex = 5 + world.device,
		.place = { .netns = 1, .ifindex = 5 + world.device },
		.interface = "wg7",
	};

	/* What it ordered last is carried out, if it came so far. */
	sim_queue_clear(&sim_to_monitor);
	monitor.take_count = 0;
	sim_file_drop_fresh();
	snprintf(start.place.boot_id, sizeof(start.place.boot_id),
		 "00000000-0000-4000-8000-%012u", world.boot);
	server.sessions_end = &server.sessions;
	server.journal.fd = server.fresh.fd = server.old = server.calls.fd = -1;
	server.compact = server.sweep = LEASE_NONE;
	server.reading_wanted = NEVER;
	channel_open(&server.channel, SIM_MONITOR, server_engine_rules, SERVER_TYPES);
	loop_open(&server.loop);
	loop_watch(&server.loop, &server.monitor, SIM_MONITOR, monitor_ready);
	world.engine_runs = true;
	world.engine_at = 0;
	tell(&start, sizeof(start), -1);
	tell_settings();
	tell_plain(SERVER_LISTEN, SIM_LISTENER);
	tell_plain(SERVER_CALLER, SIM_CALLER);
	tell_journal(SERVER_JOURNAL, sim_file_fd(sim_journal), 0, false);
	monitor.engine_stamp = monitor.stamp;
	tell_reading();
	monitor.read_at = sim_now;
}

void monitor_died(void)
{
	if (monitor.reading_fd >= 0)
		close(monitor.reading_fd);
	if (monitor.reading_runs && monitor.child_fd >= 0)
		close(monitor.child_fd);
	reading_unmap(&monitor.guard.reading);
	sim_queue_clear(&sim_to_monitor);
	sim_process_end(SIM_OF_MONITOR);
	sim_file_drop_fresh();
	memset(&monitor.guard, 0, sizeof(monitor.guard));
	monitor.stamp = monitor.child_stamp = monitor.engine_stamp = monitor.take_count = 0;
	monitor.reading_fd = -1;
	monitor.reading_runs = false;
	monitor.read_at = NEVER;
}

/* The whole daemon, as the administrator starts it: the device is read first. */
void daemon_begin(void)
{
	trace("daemon starts");
	sim_enter(SIM_OF_MONITOR);
	monitor.guard.pools = configs.config[world.config].pools;
	monitor.guard.policy = &configs.policy[world.config];
	monitor.guard.link_locals = configs.config[world.config].message.link_locals;
	monitor.child_fd = -1;
	monitor.child_began = sim_now;
	read_end();
	monitor.guard.served = world.served;
	if (guard_retired(&monitor.guard, sim_file_fd(sim_journal)))
		wrong("the guard cannot read the journal", -1, NULL);
	world.served = monitor.guard.served;
	sim_enter(SIM_OF_TEST);
	engine_start();
}

void daemon_begin_anew(void)
{
	engine_died();
	monitor_died();
	daemon_begin();
}

/* One turn of the engine's loop, unless it dies in it. */
void engine_turn(void)
{
	if (!world.engine_runs)
		return;
	if (setjmp(sim_crash)) {
		engine_died();
		return;
	}
	sim_enter(SIM_OF_ENGINE);
	sim_deliver();
	world.engine_at = turn(&server);
	sim_enter(SIM_OF_TEST);
	note_orders();
	if (server.loop.stop)
		wrong("the engine ends by itself", -1, NULL);
	for (const struct session *s = server.ready ? server.sessions : NULL; s; s = s->next) {
		if (s->state == SESSION_READY && world.engine_at > sim_now + GATHER_MS)
			wrong("a request is to be decided, and nothing wakes the engine", -1, NULL);
	}
}

void engine_release(const uint8_t key[static KEY_LEN])
{
	char hex[WG_KEY_LEN_HEX];

	if (!world.engine_runs || !server.ready)
		return;
	key_to_hex(hex, key);
	if (setjmp(sim_crash)) {
		engine_died();
		return;
	}
	sim_enter(SIM_OF_ENGINE);
	status_release(&server, hex, false);
	sim_enter(SIM_OF_TEST);
}

void engine_show(void)
{
	char buf[CONTROL_CHUNK];
	uint64_t cursor = 0;

	if (!world.engine_runs || !server.loaded)
		return;
	while (status_fill(&server, &cursor, buf))
		;
}
