// SPDX-License-Identifier: MIT
/*
 * The monitor of the client (client.c says what the processes are), while it runs: it checks the
 * interface at the start, makes the sockets, follows the link, and sees to what the host and the
 * user do. client-orders.c carries out what the engine wants.
 */

#include <errno.h>
#include <linux/capability.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include "client-interface.h"
#include "client-monitor.h"
#include "client-report.h"
#include "client-socket.h"
#include "control.h"
#include "daemon.h"
#include "dynamic.h"
#include "log.h"
#include "net.h"
#include "sandbox.h"

enum {
	STOP_MS = LIFECYCLE_RELEASE_MS + 500, /* for the engine to end in order */
	LOOK_MS = 1000, /* from one look at the host's networks to the next, at least */
	LOOK_SHARE = 10, /* of the time, looks may take one part in so many */
	CHECK_MS = 30000, /* from one look at the peers to the next */
	FILES = 32, /* that the engine may have open */
	LOG_BURST = 512, /* lines: more than any one answer of a server is worth */
	LOG_RATE = 1, /* a second */
};

static struct client_monitor monitor; /* large, and zero: so it takes no room in the file */

const struct message_rule client_monitor_rules[CLIENT_TYPES] = {
	[CLIENT_CONNECT] = { sizeof(struct client_connect), 0, 0, false },
	[CLIENT_CHANGE] = { sizeof(struct client_change), 0, 0, false },
	[CLIENT_FINISHED] = { sizeof(struct client_plain), 0, 0, false },
};

/* --- to the engine --- */

static void tell_link(void)
{
	struct client_link link = { .head.type = CLIENT_LINK, .up = monitor.up };

	memcpy(link.server, monitor.setup.server, KEY_LEN);
	supervisor_send(&monitor.supervisor, &link.head, sizeof(link), -1);
}

/* Ends in order: the engine releases, and says when it has finished. */
static void stop(void)
{
	struct client_plain order = { .head.type = CLIENT_STOP };

	if (monitor.stop_at != NEVER)
		return;
	daemon_stopping();
	supervisor_drain(&monitor.supervisor);
	monitor.stop_at = now_ms() + STOP_MS;
	if (supervisor_send(&monitor.supervisor, &order.head, sizeof(order), -1))
		monitor.loop.stop = true;
}

/* --- the interface --- */

static void restore(void)
{
	int ret = interface_restore(&monitor.setup);

	if (ret)
		log_line(LOG_ERR, "cannot put back what the interface had before it went down: %s",
			 strerror(-ret));
	holding_restore(&monitor.holding, now_ms());
	network_restore(&monitor.network);
}

static void link_change(bool up)
{
	if (up == monitor.up)
		return;
	monitor.up = up;
	log_line(LOG_INFO, up ? "the interface is up again" : "the interface is down: waiting");
	if (up)
		restore();
	tell_link();
	if (up)
		client_socket_calls(&monitor.setup, &monitor.supervisor);
}

static void link_gone(void)
{
	char name[IF_NAMESIZE];

	if (!monitor.gone) {
		if (if_indextoname(monitor.setup.ifindex, name))
			log_line(LOG_NOTICE, "the interface has been renamed to %s: this client "
				 "ends, `wg dynamic client %s' starts another", name, name);
		else
			log_line(LOG_INFO, "the interface has been removed");
		daemon_stopping();
	}
	monitor.gone = monitor.loop.stop = true;
}

/* Asks, instead of being told. */
static void link_look(void)
{
	struct net_link link;
	int ret = net_link_get(monitor.setup.interface, &link);

	if (ret == -ENODEV || (!ret && link.ifindex != monitor.setup.ifindex))
		link_gone();
	else if (!ret)
		link_change(link.up);
}

/* Some address or route of the host has changed. */
static void look_soon(void)
{
	uint64_t now = now_ms();

	if (monitor.look_at == NEVER)
		monitor.look_at = monitor.look_after > now ? monitor.look_after : now;
}

static void link_event(enum net_event event, void *data)
{
	(void)data;
	switch (event) {
	case NET_LINK_GONE:
		link_gone();
		break;
	case NET_LINK_DOWN:
		link_change(false); /* though it be up again: what it had is gone */
		link_look();
		break;
	case NET_LOST:
		link_look();
		if (monitor.gone)
			break;
		look_soon();
		if (monitor.up)
			restore(); /* it may have been down and up again */
		break;
	case NET_LINK_UP:
		link_look(); /* orders go by name, which may be another now */
		break;
	case NET_ADDRESSES:
		look_soon();
		break;
	}
}

/* --- the server --- */

/* The user may have given the server another key: it's asked at once, as after an `up'. */
static bool follow(void)
{
	uint8_t key[KEY_LEN];
	const bool up = monitor.up;

	if (!client_server_moved(&monitor.setup, key))
		return false;
	network_leave(&monitor.network);
	memcpy(monitor.setup.server, key, KEY_LEN);
	monitor.up = false;
	tell_link();
	monitor.up = up;
	if (up)
		tell_link();
	return true;
}

/* What `wg set' has done tells nobody: so it is looked at from time to time. */
static bool check(uint64_t now)
{
	if (monitor.check_at > now)
		return false;
	monitor.check_at = now + CHECK_MS;
	if (!follow())
		return false;
	monitor.look_at = now;
	return true;
}

/* --- the engine --- */

static void engine_up(struct supervisor *supervisor)
{
	struct client_start start = {
		.head.type = CLIENT_START,
		.held = monitor.lease,
		.link_local = monitor.setup.link_local,
		.up = monitor.up,
		.want = accept_want(&monitor.words.accept),
	};

	snprintf(start.interface, sizeof(start.interface), "%s", monitor.setup.interface);
	memcpy(start.server, monitor.setup.server, KEY_LEN);
	if (getrandom(&start.seed, sizeof(start.seed), GRND_NONBLOCK) < 0)
		start.seed = now_ms(); /* spreads clients in time, protects nothing */
	supervisor_send(supervisor, &start.head, sizeof(start), monitor.control);
	client_tell_network(&monitor);
	if (monitor.up)
		client_socket_calls(&monitor.setup, supervisor);
}

static void engine_message(struct supervisor *supervisor, const union message_buffer *message,
			   size_t len, int fd)
{
	(void)len;
	(void)fd; /* the rules allow none */
	/* AllowedIPs go by name: that another interface is called so now, the kernel has told. */
	net_events(monitor.events.fd, monitor.setup.ifindex, link_event, NULL);
	if (monitor.gone)
		return;
	switch (message->head.type) {
	case CLIENT_CONNECT:
		/* If that is another by now, it is asked instead. */
		if (monitor.stop_at != NEVER || !check(now_ms()))
			client_socket_connect(&monitor.setup, supervisor,
					      (const struct client_connect *)message);
		break;
	case CLIENT_CHANGE:
		client_change(&monitor, (const struct client_change *)message);
		break;
	case CLIENT_FINISHED:
		if (monitor.stop_at != NEVER)
			monitor.loop.stop = true;
		break;
	}
}

static void engine_down(struct supervisor *supervisor)
{
	(void)supervisor;
	if (monitor.stop_at != NEVER)
		monitor.loop.stop = true; /* nobody left to release anything */
}

static const struct supervisor_calls calls = { engine_up, engine_message, engine_down };

/* --- the daemon --- */

static void events_ready(struct watch *watch, uint32_t events)
{
	(void)events;
	net_events(watch->fd, monitor.setup.ifindex, link_event, NULL);
}

/* Where routes change all the time, they are heard of again with the next look alone. */
static void routes_ready(struct watch *watch, uint32_t events)
{
	(void)events;
	loop_remove(&monitor.loop, watch);
	look_soon();
}

static void routes_watch(void)
{
	net_routes_drain(monitor.routes.fd);
	if (monitor.network.pushed.routes && !monitor.routes.added)
		loop_add(&monitor.loop, &monitor.routes, EPOLLIN);
}

/* In this turn. */
static void reload(void)
{
	monitor.look_at = now_ms();
	++monitor.reloads;
}

static void signals_ready(struct watch *watch, uint32_t events)
{
	struct signalfd_siginfo info;

	(void)events;
	while (read(watch->fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGHUP)
			reload();
		else if (info.ssi_signo != SIGCHLD)
			stop();
	}
	runner_child(&monitor.runner);
}

static void parent_gone(struct watch *watch, uint32_t events)
{
	(void)events;
	loop_remove(&monitor.loop, watch);
	stop();
}

static void ready(void)
{
	monitor.waiting = false;
	monitor.wait_until = NEVER;
	loop_remove(&monitor.loop, &monitor.parent);
	daemon_ready();
}

static void tell_hook(void)
{
	struct options options;

	network_told(&monitor.network, &options);
	hook_options(&monitor.hook, &options);
}

/* A network that this host has come to be connected to forbids routes into it. */
static void look_again(uint64_t now)
{
	uint64_t cost;

	if (monitor.look_at > now)
		return;
	monitor.look_at = NEVER;
	routes_watch();
	if (monitor.up) {
		follow();
		network_again(&monitor.network);
	}
	cost = now_ms() - now;
	monitor.look_after = now + (cost > LOOK_MS / LOOK_SHARE ? cost * LOOK_SHARE : LOOK_MS);
	client_tell_network(&monitor);
	tell_hook();
}

/*
 * What is taken out of AllowedIPs is put back soon. Without routes there is nothing of ours there:
 * no reason to wake up before the next request.
 */
static uint64_t routes_turn(uint64_t now)
{
	if (!monitor.network.pushed.routes)
		return NEVER;
	if (monitor.check_at <= now && !check(now) && !network_whole(&monitor.network))
		monitor.look_at = now;
	return monitor.check_at;
}

/* Programs that have come to run for the first addresses are waited for, too. */
static bool is_ready(uint64_t now)
{
	return monitor.wait_until <= now || (monitor.wait_until != NEVER && !monitor.waiting &&
					     runner_idle(&monitor.runner));
}

static uint64_t turn(void *data)
{
	uint64_t now = now_ms(), at, check;

	(void)data;
	client_expire(&monitor, now);
	check = routes_turn(now);
	if (monitor.network.pushed.routes && !monitor.routes.added)
		look_soon(); /* which then waits for changes */
	look_again(now);
	at = sooner(runner_turn(&monitor.runner, now), supervisor_turn(&monitor.supervisor, now));
	if (is_ready(now)) {
		if (monitor.waiting && monitor.words.wait)
			client_report_waited(&monitor.failure, &monitor.setup);
		ready();
	}
	if (monitor.stop_at <= now)
		monitor.loop.stop = true;
	if (monitor.supervisor.lost)
		monitor.loop.stop = true;
	at = sooner(sooner(at, client_expiry(&monitor)), sooner(monitor.look_at, check));
	return sooner(at, sooner(monitor.stop_at, monitor.wait_until));
}

/* Default routes have come, and with them the set of addresses that the firewall guards. */
static void default_added(void)
{
	holding_restore(&monitor.holding, now_ms());
	client_tell_network(&monitor);
	if (monitor.stop_at == NEVER)
		tell_hook();
}

static void resolver_changed(void)
{
	client_tell_network(&monitor);
}

static void network_start(void)
{
	monitor.runner.verbose = monitor.words.foreground;
	monitor.hook = (struct hook){
		.runner = &monitor.runner,
		.program = monitor.words.hook,
		.interface = monitor.setup.interface,
		.server = monitor.setup.server,
	};
	monitor.network = (struct network){
		.interface = monitor.setup.interface,
		.ifindex = monitor.setup.ifindex,
		.server = monitor.setup.server,
		.words = &monitor.words,
		.runner = &monitor.runner,
		.default_added = default_added,
		.resolver_changed = resolver_changed,
	};
	network_adopt(&monitor.network);
}

/* Everything that needs root; false after a line in the log. */
static bool privileged_start(void)
{
	static const struct sandbox_engine engine = { client_engine, FILTER_CLIENT, FILES, 0 };
	const uint64_t keep = 1ULL << CAP_NET_ADMIN | 1ULL << CAP_NET_BIND_SERVICE;
	int spawner, ret;

	monitor.control = control_listen(monitor.setup.interface, "client");
	if (monitor.control < 0) {
		if (monitor.control == -EADDRINUSE)
			log_failure("a client runs on this interface already: `wg dynamic stop "
				    "%s' ends it", monitor.setup.interface);
		else
			log_failure("cannot make the status socket in " CONTROL_DIR ": %s",
				    strerror(-monitor.control));
		return false;
	}
	spawner = spawner_start(CONTROL_DIR, &engine);
	if (spawner < 0)
		goto failed;
	monitor.supervisor = (struct supervisor){
		.loop = &monitor.loop,
		.calls = &calls,
		.rules = client_monitor_rules,
		.types = CLIENT_TYPES,
	};
	network_start();
	/* Other programs do what they must as the root that they are. */
	ret = client_words_programs(&monitor.words) ? 0 : sandbox_keep(keep);
	if (!ret && supervisor_open(&monitor.supervisor, spawner))
		return true;
	log_failure("cannot give up privileges: %s", strerror(ret ? -ret : errno));
failed:
	control_unlink(monitor.setup.interface, "client");
	return false;
}

static bool events_start(void)
{
	const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGCHLD };

	if (!loop_open(&monitor.loop) ||
	    !loop_watch(&monitor.loop, &monitor.signals, loop_signals(signals, 4),
			signals_ready) ||
	    !loop_watch(&monitor.loop, &monitor.events, net_events_open(), events_ready) ||
	    !loop_watch(&monitor.loop, &monitor.routes, net_routes_open(), routes_ready) ||
	    (daemon_parent() >= 0 &&
	     !loop_watch(&monitor.loop, &monitor.parent, daemon_parent(), parent_gone))) {
		log_failure("cannot start: %s", strerror(errno));
		return false;
	}
	return true;
}

/* The interface as it is, from which the events go on. */
static void interface_start(void)
{
	int ret;

	monitor.up = true; /* it was, a moment ago */
	link_look();
	ret = interface_route(&monitor.setup);
	if (ret)
		log_line(LOG_ERR, "cannot add a route to fe80::: %s", strerror(-ret));
	monitor.holding.ifindex = monitor.setup.ifindex;
	monitor.holding.interface = monitor.setup.interface;
	ret = holding_adopt(&monitor.holding, now_ms());
	if (ret)
		log_line(LOG_ERR, "cannot read the interface's addresses: %s", strerror(-ret));
	monitor.lease = monitor.holding.lease;
	if (!client_holds(&monitor) || !(monitor.words.accept.words & ACCEPT_ADDRESS))
		client_hold_nothing(&monitor);
}

static void end(void)
{
	static const struct client_change ended = { .set = true };

	supervisor_close(&monitor.supervisor);
	hook_skip(&monitor.hook);
	if (monitor.gone)
		network_gone(&monitor.network);
	monitor.before = monitor.lease;
	client_hold_nothing(&monitor);
	if (!monitor.gone)
		client_report(&ended, &monitor.setup, &monitor.lease, &monitor.before);
	network_end(&monitor.network);
	hook_end(&monitor.hook, HOOK_RELEASED);
	runner_drain(&monitor.runner);
	interface_route_delete(monitor.setup.ifindex);
	control_unlink(monitor.setup.interface, "client");
}

static int run(void)
{
	monitor.stop_at = monitor.look_at = NEVER;
	monitor.check_at = now_ms() + CHECK_MS;
	if (!client_check(&monitor.setup) || !events_start() || !privileged_start())
		return 1;
	interface_start();
	monitor.waiting = true;
	monitor.wait_until = now_ms() + monitor.words.wait * 1000ULL;
	loop_run(&monitor.loop, turn, NULL);
	end();
	return monitor.supervisor.lost;
}

int dynamic_client(int argc, const char *argv[])
{
	if (!client_words(&monitor.words, argc, argv))
		return 1;
	if (monitor.words.check)
		return 0;
	log_open(monitor.words.interface);
	log_limit(LOG_BURST, LOG_RATE);
	if (geteuid() && client_words_root(&monitor.words))
		return log_failure("DNS and default routes are set by other programs, as root: "
				   "run it as root");
	if (!sandbox_allowed() || !daemon_start(monitor.words.foreground))
		return 1;
	monitor.setup.interface = monitor.words.interface;
	return run();
}
