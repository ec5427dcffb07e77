// SPDX-License-Identifier: MIT
/* The monitor, as server-monitor.c would be, but that nothing of it is real but its judgement. */

#include <errno.h>
#include <unistd.h>

#include "world.h"

struct monitor monitor;

void tell(const void *message, size_t len, int fd)
{
	if (world.engine_runs)
		sim_queue_add(&sim_to_engine, message, len, fd);
	else if (fd >= 0 && fd < SIM_FD)
		close(fd);
}

void tell_plain(enum server_message type, int fd)
{
	const struct server_plain message = { .head.type = type };

	tell(&message, sizeof(message), fd);
}

void tell_journal(enum server_message type, int fd, int error, bool stands)
{
	const struct server_journal message = { { .type = type }, error, stands };

	tell(&message, sizeof(message), fd);
}

void tell_settings(void)
{
	const struct server_settings *message = &configs.config[world.config].message;

	tell(message, SERVER_LENGTH(message, nets), dup(configs.policy_fd[world.config]));
}

void tell_reading(void)
{
	if ((int32_t)(monitor.reading.stamp - monitor.engine_stamp) >= 0)
		tell(&monitor.reading, sizeof(monitor.reading), dup(monitor.reading_fd));
}

static void read_soon(uint64_t pause)
{
	uint64_t at = monitor.adopted + pause;

	monitor.read_at = sooner(monitor.read_at, at > sim_now ? at : sim_now);
}

static void read_begin(void)
{
	monitor.read_at = NEVER;
	monitor.reading_runs = true;
	monitor.child_began = sim_now;
	monitor.child_ends = sim_now + monitor.cost;
	monitor.child_stamp = monitor.stamp;
	/* What it shows is from any time between its beginning and its end. */
	monitor.child_fd = sim_now & 1 ? reading_make() : -1;
}

void read_end(void)
{
	struct reading reading = { 0 };

	trace("reading of %llu is there", (unsigned long long)monitor.child_began);
	monitor.reading_runs = false;
	if (monitor.child_fd < 0)
		monitor.child_fd = reading_make();
	if (reading_map(&reading, monitor.child_fd))
		wrong("a reading that is none", -1, NULL);
	guard_adopt(&monitor.guard, &reading, monitor.child_stamp);
	if (monitor.reading_fd >= 0)
		close(monitor.reading_fd);
	monitor.reading_fd = monitor.child_fd;
	monitor.adopted = sim_now;
	monitor.reading = (struct server_reading){
		.head.type = SERVER_READING,
		.stamp = monitor.child_stamp,
		.began = monitor.child_began,
		.cost = monitor.cost,
	};
	tell_reading();
}

static void carry_out(const struct server_orders *orders, bool take, uint64_t known)
{
	struct server_done done = {
		.head = { .type = SERVER_DONE, .count = orders->head.count },
		.order = orders->order,
	};
	const struct device_change *change = orders->changes;
	uint32_t count = orders->head.count;
	bool fails = monitor.failing && monitor.failing--;
	int error;

	monitor.stamp += monitor.stamp == UINT32_MAX ? 2 : 1;
	for (uint32_t i = 0; i < count; ++i) {
		error = take ? guard_take(&monitor.guard, change + i) :
			       guard_allow(&monitor.guard, change + i);
		done.errors[i] = error;
	}
	for (uint32_t i = 0; i < count; ++i) {
		if (done.errors[i])
			continue;
		if (fails) {
			done.errors[i] = EBUSY;
			continue;
		}
		error = take ? device_do_take(change + i) : device_do_allow(change + i, known);
		if (!changes_reserve(&monitor.guard.changes, 1))
			abort();
		changes_note(&monitor.guard.changes, change + i, take, monitor.stamp);
		done.errors[i] = error;
	}
	for (uint32_t i = 0; take && i < count; ++i)
		done.errors[i] = done.errors[i] == EALREADY ? 0 : done.errors[i];
	done.stamp = monitor.stamp;
	tell(&done, SERVER_LENGTH(&done, errors), -1);
}

static void takes_turn(void)
{
	while (monitor.take_count) {
		if (monitor.reading.cost <= QUICK_MS ?
			    monitor.reading.began < monitor.takes[0].came :
			    monitor.adopted + FRESH_MS < sim_now) {
			read_soon(0);
			return;
		}
		carry_out(&monitor.takes[0].orders, true, 0);
		memmove(monitor.takes, monitor.takes + 1,
			--monitor.take_count * sizeof(*monitor.takes));
	}
}

static void log_came(const struct server_log *log)
{
	for (uint32_t i = 0; i < log->head.count; ++i) {
		if (log->items[i].event == EVENT_FATAL)
			wrong("the engine cannot serve", log->items[i].reason, NULL);
		trace("log: event %u, reason %u, peer %d, %s %s, errno %d", log->items[i].event,
		      log->items[i].reason,
		      log->items[i].has_key ? peer_of_key(log->items[i].key) : -1,
		      text_of(&log->items[i].ip[V4]), "", log->items[i].error);
	}
}

/* The rules of channel.c, which is not there. */
static void check_message(const struct sim_message *m)
{
	const struct message_rule *rule = &server_monitor_rules[m->buffer.head.type];

	if (m->buffer.head.type >= SERVER_TYPES || m->buffer.head.count > rule->most ||
	    m->len != rule->fixed + m->buffer.head.count * (size_t)rule->item || m->fd >= 0)
		wrong("a message against the rules", m->buffer.head.type, NULL);
}

static void message_to_monitor(const struct sim_message *m)
{
	const void *message = &m->buffer;

	check_message(m);
	switch (m->buffer.head.type) {
	case SERVER_READ:
		read_soon(monitor.reading.cost);
		break;
	case SERVER_ALLOW:
		carry_out(message, false, m->note);
		break;
	case SERVER_TAKE:
		if (monitor.take_count == TAKES)
			wrong("too much to take back", -1, NULL);
		memcpy(&monitor.takes[monitor.take_count].orders, message, m->len);
		monitor.takes[monitor.take_count++].came = sim_now;
		break;
	case SERVER_NEW_JOURNAL:
		if (sim_disk == SIM_DISK_GOOD)
			sim_file_make_fresh();
		tell_journal(SERVER_JOURNAL, sim_disk == SIM_DISK_GOOD ? sim_file_fd(sim_fresh) : -1,
			     sim_disk == SIM_DISK_GOOD ? 0 : EIO, false);
		break;
	case SERVER_RENAME:
		if (sim_disk != SIM_DISK_BROKEN)
			sim_file_rename();
		else
			sim_file_drop_fresh();
		tell_journal(SERVER_RENAMED, -1, sim_disk == SIM_DISK_BROKEN ? EIO : 0,
			     sim_disk != SIM_DISK_BROKEN);
		break;
	case SERVER_LOG:
		log_came(message);
		break;
	}
}

/* At most so many messages; returns whether there was anything to do. */
bool monitor_turn(uint32_t messages)
{
	struct sim_message *message;
	bool worked = false;

	sim_enter(SIM_OF_MONITOR);
	if (monitor.reading_runs && monitor.child_ends <= sim_now) {
		read_end();
		worked = true;
	}
	while (messages-- && (message = sim_queue_take(&sim_to_monitor))) {
		message_to_monitor(message);
		sim_message_free(message);
		worked = true;
	}
	takes_turn();
	if (!monitor.reading_runs && monitor.read_at <= sim_now) {
		read_begin();
		worked = true;
	}
	sim_enter(SIM_OF_TEST);
	return worked;
}

uint64_t monitor_at(void)
{
	return monitor.reading_runs ? monitor.child_ends : monitor.read_at;
}
