// SPDX-License-Identifier: MIT
/*
 * The monitor of the server (server.c says what the processes are), while it runs: it hands out
 * sockets and files, has the device read, and sees to what the kernel and the administrator do.
 * server-orders.c carries out what the engine wants.
 */

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "control.h"
#include "daemon.h"
#include "log.h"
#include "net.h"
#include "report.h"
#include "sandbox.h"
#include "server-monitor.h"

enum {
	STOP_MS = 3000, /* for the engine to end in order */
	ROUTES_MS = 5000, /* for others to set routes, as PostUp of wg-quick does */
	FAILED_READ_MS = 1000, /* before a reading that failed is tried again */
	SLOW_MS = 1000, /* that a reading may take, and so many times as long as the last: */
	SLOW_TIMES = 4, /* and no more than that counts of one that has taken longer */
	HOLD_MS = 5000, /* that orders wait for a reading, at most */
	FILES = 1200, /* that the engine may have open: all its sessions, and some */
	LOG_BURST = 16384, /* lines: that every client of a large server has its address again */
	LOG_RATE = 100, /* a second */
};

struct monitor monitor; /* large, and so not in the program's file */

/* --- to the engine --- */

static void tell(enum server_message type, int fd)
{
	const struct server_plain message = { .head.type = type };

	supervisor_send(&monitor.supervisor, &message.head, sizeof(message), fd);
}

static void tell_journal(int fd, int error)
{
	const struct server_journal message = { .head.type = SERVER_JOURNAL, .error = error };

	supervisor_send(&monitor.supervisor, &message.head, sizeof(message), fd);
}

static void tell_renamed(void)
{
	struct server_journal message = { .head.type = SERVER_RENAMED };

	message.error = -server_setup_rename_journal(&monitor.setup, &message.stands);
	supervisor_send(&monitor.supervisor, &message.head, sizeof(message), -1);
}

/* What was done between a reading and its start an engine does not know: it waits for the next. */
static void tell_reading(void)
{
	if ((int32_t)(monitor.reading.stamp - monitor.engine_stamp) >= 0)
		supervisor_send(&monitor.supervisor, &monitor.reading.head,
				sizeof(monitor.reading), monitor.reading_fd);
}

static void tell_settings(void)
{
	const struct server_settings *settings = &monitor.setup.config.message;

	supervisor_send(&monitor.supervisor, &settings->head, SERVER_LENGTH(settings, nets),
			monitor.setup.config.policy_fd);
}

static void stop(int exit_status)
{
	if (monitor.stop_at != NEVER)
		return;
	daemon_stopping();
	monitor.exit_status = exit_status;
	monitor.stop_at = now_ms() + STOP_MS;
	supervisor_drain(&monitor.supervisor);
	if (supervisor_running(&monitor.supervisor))
		tell(SERVER_STOP, -1);
	else
		monitor.loop.stop = true;
}

/*
 * Notes what is served now before the engine can grant anything of it; or, where that fails, as
 * soon as it can be done.
 */
static void write_served(void)
{
	struct server_setup *setup = &monitor.setup;
	const struct served *served = &monitor.guard.served;
	int ret = 0;

	if (!served_equal(&monitor.served, served))
		ret = server_setup_write_served(setup, served);
	if (!ret)
		monitor.served = *served;
	else if (!monitor.served_failed)
		log_line(LOG_ERR, "cannot write " STATEDIR "/%s.served: %s: a start with other "
			 "pools will end the leases from those of now",
			 setup->start.interface, strerror(-ret));
	monitor.served_failed = ret;
}

/*
 * What only leases of the journal permit. The first engine is given no socket before that: no byte
 * of the network can have had a part in what stands there.
 */
static void read_retired(void)
{
	int ret;

	if (monitor.retired_known)
		return;
	monitor.retired_known = true;
	ret = guard_retired(&monitor.guard, monitor.setup.journal_fd);
	if (ret == -ENOMEM)
		stop(log_failure("out of memory"));
	if (!ret)
		write_served();
}

/* All that an engine does not know of settings and journal alone: once the device has been read. */
static void engine_serve(void)
{
	read_retired();
	tell(SERVER_LISTEN, monitor.setup.listen_fd);
	tell(SERVER_CALLER, monitor.setup.call_fd);
	tell(SERVER_CONTROL, monitor.setup.control_fd);
	monitor.engine_stamp = monitor.stamp;
	tell_reading();
	/* What the last engine may have left undone shows in a new reading. */
	monitor.read_at = 0;
}

static void engine_up(struct supervisor *supervisor)
{
	struct server_start *start = &monitor.setup.start;

	monitor.serving = false;
	start->head.type = SERVER_START;
	supervisor_send(supervisor, &start->head, sizeof(*start), -1);
	tell_settings();
	tell_journal(monitor.setup.journal_fd, 0);
	if (monitor.reading_fd >= 0)
		engine_serve();
}

static void engine_down(struct supervisor *supervisor)
{
	(void)supervisor;
	orders_drop_takes();
	server_setup_drop_fresh(&monitor.setup);
}

/* --- the interface --- */

void monitor_read_soon(uint64_t now, uint64_t pause)
{
	uint64_t at = monitor.adopted + pause;

	if (at < now)
		at = now;
	if (at < monitor.read_after)
		at = monitor.read_after;
	if (at < monitor.read_at)
		monitor.read_at = at;
}

static bool is_there(void)
{
	struct net_link link;
	int ret = net_link_get(monitor.setup.start.interface, &link);

	return ret ? ret != -ENODEV : link.ifindex == monitor.setup.start.ifindex;
}

static void event(enum net_event event, void *data)
{
	(void)data;
	if (event == NET_ADDRESSES) {
		/* Looked at below. */
	} else if (event == NET_LINK_GONE || !is_there()) {
		if (monitor.stop_at == NEVER)
			log_line(LOG_INFO, "the interface is gone");
		monitor.gone = true;
		stop(0);
		return;
	} else if (event == NET_LINK_UP || event == NET_LOST) {
		server_setup_address(&monitor.setup); /* it may have been down unheard of */
	} else if (event == NET_LINK_DOWN) {
		return;
	}
	/* Addresses of our own are never leased; but they must not keep us busy. */
	monitor_read_soon(now_ms(), 20 * (uint64_t)monitor.reading.cost + FRESH_MS);
}

bool monitor_is_ours(void)
{
	net_events(monitor.events.fd, monitor.setup.start.ifindex, event, NULL);
	return !monitor.gone;
}

/* --- readings --- */

/* Leases that only a file without a name knows would be lost with the next start. */
static void check_journal(void)
{
	bool gone = !server_setup_journal_stands(&monitor.setup);

	if (gone)
		tell(SERVER_JOURNAL_GONE, -1);
	if (gone && !monitor.journal_gone)
		log_line(LOG_ERR, "%s/%s.leases was moved, removed or replaced: it is written anew "
			 "with all leases of now; to use another one, stop the server first",
			 STATEDIR, monitor.setup.start.interface);
	/* What stood beside it may be gone as well. */
	if (monitor.journal_gone && !gone)
		memset(&monitor.served, 0, sizeof(monitor.served));
	monitor.journal_gone = gone;
}

/*
 * The kernel can't tell of a device whole that is changed meanwhile, and wg(8) tries until it can.
 * So where the engine's orders may be what changes it, they wait for a reading that has failed for
 * that, or takes far longer than the last; but not for ever.
 */
static uint64_t hold_orders(uint64_t now)
{
	uint64_t from = monitor.child_began, until;
	bool hold = monitor.child && monitor.stop_at == NEVER;

	if (!monitor.disturbed)
		from += SLOW_MS + SLOW_TIMES * (uint64_t)monitor.reading.cost;
	until = from + HOLD_MS;
	supervisor_hold(&monitor.supervisor, hold && from <= now && now < until);
	return !hold || until <= now ? NEVER : from > now ? from : until;
}

static const char *read_error(int error)
{
	return error == EINTR ? "it is changed all the time" : strerror(error);
}

/* It is tried again, and said again when the reason is another; the first decides on a start. */
static void read_failed(uint64_t now, int error)
{
	monitor.disturbed = error == EINTR && !monitor.disturbed;
	if (monitor.disturbed) { /* at once, and this time in peace */
		monitor.read_at = now;
		return;
	}
	if (monitor.reading_fd < 0) {
		if (monitor.stop_at == NEVER)
			stop(log_failure("cannot read the device: %s", read_error(error)));
		return;
	}
	/* That the interface is gone, the kernel will tell. */
	if (error != monitor.read_error && error != ENODEV && error != EPROTONOSUPPORT)
		log_line(LOG_ERR, "cannot read the device: %s", read_error(error));
	monitor.read_error = error;
	monitor.read_at = monitor.read_after = now + FAILED_READ_MS;
}

static void read_now(uint64_t now)
{
	pid_t child = device_read(monitor.setup.start.interface, &monitor.child_fd);

	monitor.read_at = NEVER;
	if (child < 0) {
		read_failed(now, -child);
		return;
	}
	monitor.child = child;
	monitor.child_began = now;
	monitor.child_stamp = monitor.stamp;
}

/* Who does not run for a while, as the host is suspended, learns little of how long it takes. */
static uint32_t cost_of(uint64_t took, bool first)
{
	uint64_t most = QUICK_MS + SLOW_TIMES * (uint64_t)monitor.reading.cost;

	return first || took < most ? took : most;
}

static void reading_came(uint64_t now)
{
	const bool first = monitor.reading_fd < 0;
	struct reading reading = { 0 };
	int ret = reading_map(&reading, monitor.child_fd);

	if (ret) {
		close(monitor.child_fd);
		read_failed(now, -ret);
		return;
	}
	monitor.read_error = 0;
	monitor.disturbed = false;
	guard_adopt(&monitor.guard, &reading, monitor.child_stamp);
	if (!first)
		close(monitor.reading_fd);
	monitor.reading_fd = monitor.child_fd;
	monitor.adopted = now;
	monitor.reading.stamp = monitor.child_stamp;
	monitor.reading.began = monitor.child_began;
	monitor.reading.cost = cost_of(now - monitor.child_began, first);
	check_journal();
	if (!first)
		tell_reading();
	else if (supervisor_running(&monitor.supervisor))
		engine_serve();
	write_served();
}

static void child_ended(int status)
{
	uint64_t now = now_ms();
	int error = WIFEXITED(status) ? WEXITSTATUS(status) : EIO;

	monitor.child = 0;
	if (!status && monitor_is_ours()) {
		reading_came(now);
		return;
	}
	close(monitor.child_fd);
	if (status)
		read_failed(now, error);
}

/* --- messages --- */

static void ready(void)
{
	if (monitor.serving)
		return;
	monitor.serving = true;
	if (daemon_parent() >= 0)
		loop_remove(&monitor.loop, &monitor.parent);
	daemon_ready();
	monitor.routes_at = now_ms() + ROUTES_MS;
}

static void engine_message(struct supervisor *supervisor, const union message_buffer *buffer,
			   size_t len, int fd)
{
	const void *message = buffer;
	int ret;

	(void)supervisor;
	(void)len;
	(void)fd;
	switch (buffer->head.type) {
	case SERVER_READY:
		ready();
		break;
	case SERVER_READ:
		monitor_read_soon(now_ms(), monitor.reading.cost);
		break;
	case SERVER_ALLOW:
		orders_allow(message);
		break;
	case SERVER_TAKE:
		orders_take(message);
		break;
	case SERVER_NEW_JOURNAL:
		ret = server_setup_new_journal(&monitor.setup);
		tell_journal(ret < 0 ? -1 : ret, ret < 0 ? -ret : 0);
		break;
	case SERVER_RENAME:
		tell_renamed();
		break;
	case SERVER_LOG:
		if (!report(message, monitor.setup.start.interface, monitor.serving)) {
			stop(1);
			monitor.loop.stop = true;
		}
		break;
	case SERVER_STOPPED:
		if (monitor.stop_at != NEVER)
			monitor.loop.stop = true;
		break;
	}
}

/* --- reloading --- */

/* False with what is wrong; then all stays as it is. */
static bool reload_config(char error[static SETTINGS_ERROR])
{
	struct server_setup *setup = &monitor.setup;
	struct server_config config;
	int ret;

	read_retired(); /* before what permits it is other settings */
	if (!server_setup_config(setup, &config, error))
		return false;
	ret = guard_reload(&monitor.guard, &config.pools, &config.policy,
			   config.message.link_locals, setup->journal_fd);
	if (ret) {
		server_config_close(&config);
		snprintf(error, SETTINGS_ERROR, "cannot read the journal: %s", strerror(-ret));
		return false;
	}
	server_config_close(&setup->config);
	setup->config = config;
	monitor.guard.policy = &setup->config.policy;
	write_served();
	tell_settings();
	monitor.routes_at = now_ms() + ROUTES_MS;
	return true;
}

static void reload(void)
{
	struct server_reload message = { .head.type = SERVER_RELOAD, .at = now_ms() };
	const char *file = monitor.setup.file;

	monitor.reload_due = false;
	message.refused = !reload_config(message.error);
	if (message.refused)
		log_line(LOG_ERR, "%s: not reloaded, the settings of before stay in force",
			 message.error);
	else
		log_line(LOG_INFO, "reloaded%s%s", file ? ": " : "", file ? file : "");
	supervisor_send(&monitor.supervisor, &message.head, sizeof(message), -1);
	/* Whatever has become of the settings: what is missing is put back. */
	monitor.read_at = message.at;
}

/* --- the world --- */

static void events_ready(struct watch *watch, uint32_t events)
{
	(void)events;
	net_events(watch->fd, monitor.setup.start.ifindex, event, NULL);
}

static void children_ended(void)
{
	pid_t child;
	int status;

	while ((child = waitpid(-1, &status, WNOHANG)) > 0) {
		if (child == monitor.child)
			child_ended(status);
	}
}

static void signals_ready(struct watch *watch, uint32_t events)
{
	struct signalfd_siginfo info;

	(void)events;
	while (read(watch->fd, &info, sizeof(info)) > 0) {
		if (info.ssi_signo == SIGHUP)
			monitor.reload_due = true;
		else if (info.ssi_signo != SIGCHLD)
			stop(0);
	}
	children_ended();
}

static void parent_gone(struct watch *watch, uint32_t events)
{
	(void)events;
	loop_remove(&monitor.loop, watch);
	stop(1);
}

static uint64_t turn(void *data)
{
	uint64_t now = now_ms(), at;

	(void)data;
	if (monitor.stop_at <= now || monitor.supervisor.lost) {
		monitor.exit_status |= monitor.supervisor.lost && monitor.stop_at == NEVER;
		monitor.loop.stop = true;
		return NEVER;
	}
	if (monitor.reload_due && monitor.reading_fd >= 0)
		reload();
	if (monitor.routes_at <= now) {
		monitor.routes_at = NEVER;
		server_setup_routes(&monitor.setup);
	}
	at = sooner(monitor.routes_at, supervisor_turn(&monitor.supervisor, now));
	at = sooner(at, orders_turn(now));
	/* Who has not taken the last reading yet gets no other. */
	if (!monitor.child && !supervisor_behind(&monitor.supervisor)) {
		if (monitor.read_at <= now)
			read_now(now);
		if (!monitor.child)
			at = sooner(at, monitor.read_at);
	}
	at = sooner(at, hold_orders(now));
	return sooner(at, monitor.stop_at); /* which all of these may have set */
}

static bool open_all(int spawner)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGCHLD };
	static const struct supervisor_calls calls = { engine_up, engine_message, engine_down };

	monitor.supervisor = (struct supervisor){
		.loop = &monitor.loop,
		.calls = &calls,
		.rules = server_monitor_rules,
		.types = SERVER_TYPES,
	};
	return loop_open(&monitor.loop) &&
	       loop_watch(&monitor.loop, &monitor.signals, loop_signals(signals, 4),
			  signals_ready) &&
	       loop_watch(&monitor.loop, &monitor.events, net_events_open(), events_ready) &&
	       (daemon_parent() < 0 ||
		loop_watch(&monitor.loop, &monitor.parent, daemon_parent(), parent_gone)) &&
	       supervisor_open(&monitor.supervisor, spawner);
}

/*
 * Who is woken mostly runs at once, where the waker does: orders would be carried out before the
 * engine has told the disk to write, instead of while it waits for that. A process of this kind
 * takes no other's place (sched(7)); nor do those that it has read the device.
 */
static void let_engine_go_on(void)
{
	const struct sched_param param = { 0 };

	/* By number: musl has no such functions. If it is another, somebody has chosen that. */
	if (syscall(SYS_sched_getscheduler, 0) == SCHED_OTHER)
		syscall(SYS_sched_setscheduler, 0, SCHED_BATCH, &param);
}

int server_monitor(const struct server_setup *setup)
{
	static const struct sandbox_engine engine = { server_engine, FILTER_SERVER, FILES,
						      JOURNAL_MAX };
	const uint64_t capabilities = UINT64_C(1) << CAP_NET_ADMIN;
	uint8_t secret[JOURNAL_SECRET]; /* not the engine's, who could choose what meets */
	int spawner, ret;

	if (getrandom(secret, sizeof(secret), 0) != sizeof(secret))
		return log_failure("cannot get random numbers: %s", strerror(errno));
	monitor.setup = *setup;
	monitor.stop_at = monitor.routes_at = monitor.read_at = NEVER;
	monitor.guard.pools = setup->config.pools;
	monitor.guard.policy = &monitor.setup.config.policy;
	monitor.guard.link_locals = setup->config.message.link_locals;
	hash_open(&monitor.guard.changes.hash, secret);
	monitor.reading_fd = -1;
	monitor.reading.head.type = SERVER_READING;
	monitor.child = setup->reader;
	monitor.child_fd = setup->reading_fd;
	monitor.child_began = setup->reading_began;
	monitor.adopted = now_ms();
	monitor.takes_end = &monitor.takes;

	log_limit(LOG_BURST, LOG_RATE);
	spawner = spawner_start(CONTROL_DIR, &engine);
	if (spawner < 0)
		return 1;
	let_engine_go_on();
	server_setup_read_served(setup, &monitor.served);
	monitor.guard.served = monitor.served;
	if (!open_all(spawner))
		return log_failure("cannot start: %s", strerror(errno));
	ret = sandbox_keep(capabilities);
	if (ret)
		return log_failure("cannot give up privileges: %s", strerror(-ret));
	if (!is_there()) /* any more, which was before there were events of it */
		event(NET_LINK_GONE, NULL);
	children_ended(); /* one that has ended before there were signals of that */
	loop_run(&monitor.loop, turn, NULL);
	supervisor_close(&monitor.supervisor);
	return monitor.exit_status;
}
