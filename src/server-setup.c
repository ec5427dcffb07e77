// SPDX-License-Identifier: MIT
/* The server's command line, its checks, and what it opens while it is still allowed to. */

#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "control.h"
#include "daemon.h"
#include "dynamic.h"
#include "log.h"
#include "loop.h"
#include "net.h"
#include "sandbox.h"
#include "server-setup.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 /* asm-generic/socket.h since 5.14 */
#endif

enum {
	BIND_TRIES = 100, /* of 50 ms: the kernel makes an address that is new usable when it can */
};

static const struct cidr server_address = { AF_INET6, 64, { 0xfe, 0x80 } };

/* --- the interface --- */

static bool check_interface(struct server_setup *setup)
{
	const char *name = setup->start.interface;
	struct net_link link;
	int ret = net_link_get(name, &link);

	if (ret == -ENODEV)
		log_failure("there is no such interface: bring it up first, for instance with "
			    "`wg-quick up %s'", name);
	else if (ret)
		log_failure("cannot ask for the interface: %s", strerror(-ret));
	else if (!link.up)
		log_failure("the interface is down: `ip link set up dev %s'", name);
	setup->start.ifindex = link.ifindex;
	return !ret && link.up;
}

/* With many peers reading takes long: there is something else to do meanwhile. */
static bool begin_reading(struct server_setup *setup)
{
	const char *name = setup->start.interface;
	int ret = -device_sweep(name);

	if (ret == ENODEV || ret == EOPNOTSUPP || ret == EPROTONOSUPPORT || ret == ENOENT) {
		log_failure("is not a WireGuard interface: `wg show interfaces' lists those");
		return false;
	}
	if (ret) {
		log_failure("cannot change the device: %s", strerror(ret));
		return false;
	}
	setup->reading_began = now_ms();
	setup->reader = device_read(name, &setup->reading_fd);
	if (setup->reader < 0)
		log_failure("cannot read the device: %s", strerror(-setup->reader));
	return setup->reader > 0;
}

struct address_walk {
	struct server_setup *setup;
	bool found; /* fe80:: */
};

static bool find_address(const struct net_address *address, void *data)
{
	struct address_walk *walk = data;

	walk->found = address->ifindex == walk->setup->start.ifindex &&
		      address->cidr.family == AF_INET6 &&
		      !memcmp(address->cidr.ip, server_address.ip, sizeof(address->cidr.ip));
	return !walk->found;
}

bool server_setup_address(const struct server_setup *setup)
{
	struct address_walk walk = { .setup = (struct server_setup *)setup };
	int ret = net_addresses(find_address, &walk);

	if (!ret && walk.found)
		return true;
	if (!ret)
		ret = net_address_set(setup->start.ifindex, &server_address, NET_FOREVER);
	if (ret)
		log_failure("cannot add fe80::/64 to the interface: %s", strerror(-ret));
	else
		log_line(LOG_NOTICE, "added fe80::/64 to the interface, where clients will ask");
	return !ret;
}

/* --- settings --- */

struct pools_walk {
	uint32_t ifindex;
	struct pools *pools;
	char *error; /* "": none yet */
};

/* The networks of the interface's global addresses: pools, unless others are named. */
static bool pool_of_address(const struct net_address *address, void *data)
{
	struct pools_walk *walk = data;
	struct cidr net = address->cidr;
	char text[CIDR_STRLEN];
	const char *wrong;

	if (address->ifindex != walk->ifindex || address->scope != RT_SCOPE_UNIVERSE ||
	    cidr_is_host(&net))
		return true;
	cidr_mask(&net);
	for (uint32_t i = 0; i < walk->pools->count; ++i) {
		if (!cidr_compare(&walk->pools->list[i].net, &net))
			return true;
	}
	wrong = pools_add_cidr(walk->pools, &net);
	if (wrong)
		snprintf(walk->error, SETTINGS_ERROR, "network %s of the interface %s",
			 cidr_format(text, &net), wrong);
	return !wrong;
}

static bool find_pools(const struct server_setup *setup, struct pools *pools, char *error)
{
	struct pools_walk walk = { setup->start.ifindex, pools, error };
	int ret;

	if (pools->count)
		return true;
	*error = '\0';
	ret = net_addresses(pool_of_address, &walk);
	if (ret)
		snprintf(error, SETTINGS_ERROR, "cannot ask for addresses: %s", strerror(-ret));
	else if (!pools->count && !*error)
		strcpy(error, "there is no pool: name one (`pool 192.0.2.0/24'), or give the "
		       "interface an address with its network");
	return !*error;
}

static bool read_settings(const struct server_setup *setup, struct settings *settings,
			  char *error)
{
	settings_open(settings);
	return (!setup->file || settings_file(settings, setup->file, error)) &&
	       settings_words(settings, setup->words, setup->word_count, error);
}

static bool share(struct server_config *config, const struct settings *settings, char *error)
{
	int ret;

	config->policy_fd = ret = policy_make(settings);
	if (ret < 0) {
		config->policy_fd = -1;
	} else {
		ret = policy_map(&config->policy, ret);
		if (ret)
			close(config->policy_fd);
	}
	if (ret < 0)
		snprintf(error, SETTINGS_ERROR, "cannot share the settings: %s", strerror(-ret));
	return ret >= 0;
}

struct own_walk {
	const char *file;
	const struct policy *policy;
};

/* It may be on an interface for a while only: so this is no error. */
static bool warn_own(const struct net_address *address, void *data)
{
	static const uint8_t nobody[KEY_LEN];
	const struct own_walk *walk = data;
	char text[CIDR_STRLEN];
	struct cidr ip;

	cidr_host(&ip, address->cidr.family, address->cidr.ip);
	if (policy_forbids(walk->policy, &ip, nobody))
		log_line(LOG_WARNING, "%s: AllowedIPs %s is this host's own address, which nobody "
			 "is leased: reserve another", walk->file, cidr_format(text, &ip));
	return true;
}

/* Whoever is to have such a one would ask in vain. */
static void warn_reserved(const struct server_setup *setup, const struct policy *policy)
{
	struct own_walk walk = { setup->file, policy };

	if (policy->head && policy->head->reservations)
		net_addresses(warn_own, &walk);
}

bool server_setup_config(const struct server_setup *setup, struct server_config *config,
			 char error[static SETTINGS_ERROR])
{
	struct server_settings *message = &config->message;
	struct settings settings;
	bool ok;

	memset(config, 0, sizeof(*config));
	ok = read_settings(setup, &settings, error) &&
	     find_pools(setup, &settings.pools, error) &&
	     settings_check(&settings, setup->file, error) && share(config, &settings, error);
	config->pools = settings.pools;
	message->head.type = SERVER_SETTINGS;
	message->head.count = settings.pools.count + settings.pools.excludes;
	message->pools = settings.pools.count;
	message->lease_time = settings.lease_time;
	message->link_locals = settings.link_locals;
	if (setup->file)
		strcpy(message->config, setup->file);
	for (uint32_t i = 0; i < settings.pools.count; ++i)
		message->nets[i] = settings.pools.list[i].net;
	memcpy(message->nets + settings.pools.count, settings.pools.exclude,
	       settings.pools.excludes * sizeof(*message->nets));
	settings_close(&settings);
	if (ok)
		warn_reserved(setup, &config->policy);
	return ok;
}

void server_config_close(struct server_config *config)
{
	policy_unmap(&config->policy);
	close(config->policy_fd);
}

static bool read_config(struct server_setup *setup)
{
	char error[SETTINGS_ERROR];

	if (server_setup_config(setup, &setup->config, error))
		return true;
	log_failure("%s", error);
	return false;
}

struct routes_walk {
	const struct server_setup *setup;
	int prefix[POOLS]; /* the longest of a route to all of the pool; -1: none */
	bool ours[POOLS]; /* one of that length goes to the interface */
};

static void route_to_pools(const struct net_route *route, void *data)
{
	struct routes_walk *walk = data;
	const struct pools *pools = &walk->setup->config.pools;

	for (uint32_t i = 0; i < pools->count; ++i) {
		if (!cidr_contains(&route->to, &pools->list[i].net) ||
		    route->to.prefix < walk->prefix[i])
			continue;
		walk->ours[i] &= route->to.prefix == walk->prefix[i];
		walk->ours[i] |= route->ifindex == walk->setup->start.ifindex;
		walk->prefix[i] = route->to.prefix;
	}
}

void server_setup_routes(const struct server_setup *setup)
{
	const struct pools *pools = &setup->config.pools;
	struct routes_walk walk = { .setup = setup };
	const char *name = setup->start.interface;
	char text[CIDR_STRLEN];
	struct net_link link;

	memset(walk.prefix, -1, sizeof(walk.prefix));
	/* With the link its routes go, too. */
	if (net_routes(route_to_pools, &walk) || net_link_get(name, &link) || !link.up)
		return;
	for (uint32_t i = 0; i < pools->count; ++i) {
		if (!walk.ours[i])
			log_line(LOG_WARNING, "pool %s is not routed to the interface, and so who "
				 "has its addresses can't be reached: `ip route add %s dev %s'",
				 cidr_format(text, &pools->list[i].net), text, name);
	}
}

/* --- sockets --- */

static bool bind_patiently(int fd, const struct sockaddr_in6 *address)
{
	int ret;

	for (int i = 0; i < BIND_TRIES; ++i) {
		ret = bind(fd, (const struct sockaddr *)address, sizeof(*address));
		if (!ret || errno != EADDRNOTAVAIL)
			return !ret;
		usleep(50000);
	}
	return false;
}

/* A socket of this type at [fe80::]:970 of the interface and nowhere else; -1 with errno set. */
static int open_socket(const struct server_setup *setup, int type)
{
	const char *name = setup->start.interface;
	const int one = 1;
	struct sockaddr_in6 address = {
		.sin6_family = AF_INET6,
		.sin6_port = htons(PROTOCOL_PORT),
		.sin6_scope_id = setup->start.ifindex,
	};
	int fd = socket(AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	memcpy(&address.sin6_addr, server_address.ip, sizeof(address.sin6_addr));
	if (fd < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, strlen(name) + 1) < 0 ||
	    (type == SOCK_STREAM &&
	     setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0) ||
	    !bind_patiently(fd, &address))
		return -1; /* the process ends */
	return fd;
}

static bool open_sockets(struct server_setup *setup)
{
	setup->listen_fd = open_socket(setup, SOCK_STREAM);
	if (setup->listen_fd >= 0)
		setup->call_fd = open_socket(setup, SOCK_DGRAM);
	if (setup->listen_fd < 0 || setup->call_fd < 0 ||
	    listen(setup->listen_fd, SOMAXCONN) < 0) {
		log_failure("cannot listen on [fe80::%%%s]:%d: %s%s", setup->start.interface,
			    PROTOCOL_PORT, strerror(errno),
			    errno == EADDRINUSE ? ": stop what does" : "");
		return false;
	}
	return true;
}

static bool open_control(struct server_setup *setup)
{
	const char *name = setup->start.interface;

	if (control_pid(name, "client") > 0) {
		log_failure("a client runs on this interface: `wg dynamic stop %s' ends it", name);
		return false;
	}
	setup->control_fd = control_listen(name, "server");
	if (setup->control_fd == -EADDRINUSE)
		log_failure("a server runs on this interface already: `wg dynamic stop %s' ends it",
			    name);
	else if (setup->control_fd < 0)
		log_failure("cannot listen on " CONTROL_DIR "/%s.server.sock: %s", name,
			    strerror(-setup->control_fd));
	return setup->control_fd >= 0;
}

/* --- all of it --- */

bool server_place(struct journal_start *place, unsigned int ifindex)
{
	int file = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	int any = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ssize_t len = file < 0 ? -1 : read(file, place->boot_id, BOOT_ID_LEN);
	socklen_t size = sizeof(place->netns);

	place->ifindex = ifindex;
	if (getsockopt(any, SOL_SOCKET, SO_NETNS_COOKIE, &place->netns, &size) < 0)
		place->netns = 0;
	if (file >= 0)
		close(file);
	if (any >= 0)
		close(any);
	return len == BOOT_ID_LEN;
}

static bool read_place(struct server_setup *setup)
{
	if (server_place(&setup->start.place, setup->start.ifindex) &&
	    getrandom(setup->start.secret, sizeof(setup->start.secret), 0) >= 0)
		return true;
	log_failure("cannot read /proc/sys/kernel/random/boot_id: mount /proc");
	return false;
}

static bool open_files(struct server_setup *setup)
{
	if (!open_control(setup))
		return false;
	if (server_files_open(setup) && server_setup_address(setup) && open_sockets(setup)) {
		server_files_begun(setup);
		return true;
	}
	server_files_drop_made(setup);
	control_unlink(setup->start.interface, "server");
	return false;
}

bool server_setup_open(struct server_setup *setup)
{
	if (!sandbox_allowed() || !check_interface(setup) || !begin_reading(setup))
		return false;
	if (read_config(setup) && read_place(setup) && open_files(setup))
		return true;
	kill(setup->reader, SIGKILL);
	return false;
}

/* The daemon will not stay in the folder that it was started in. */
static const char *absolute(const char *file)
{
	static char path[SETTINGS_FILE];
	char dir[SETTINGS_FILE] = "";
	int len;

	if (*file != '/' && !getcwd(dir, sizeof(dir)))
		return NULL;
	len = snprintf(path, sizeof(path), "%s%s%s", dir, *dir && dir[1] ? "/" : "", file);
	return len < SETTINGS_FILE ? path : NULL;
}

/* Reads the command line; NULL, or what is wrong with it. */
static const char *parse(struct server_setup *setup, int argc, const char *argv[], bool *check)
{
	static char error[SETTINGS_ERROR];
	static struct settings settings;

	setup->words = calloc(argc, sizeof(*setup->words));
	if (!setup->words)
		return "out of memory";
	for (int i = 2; i < argc; ++i) {
		bool config = !strcmp(argv[i], "config");

		if (!strcmp(argv[i], "foreground")) {
			setup->foreground = true;
			continue;
		}
		if (!strcmp(argv[i], "check")) {
			*check = true;
			continue;
		}
		if (!config && !settings_word(argv[i])) {
			snprintf(error, sizeof(error), "`%.64s' is no option", argv[i]);
			return error;
		}
		if (i + 1 == argc) {
			snprintf(error, sizeof(error), "`%s' needs a value", argv[i]);
			return error;
		}
		if (config) {
			setup->file = absolute(argv[++i]);
			if (!setup->file)
				return "the name of the file is too long";
			continue;
		}
		setup->words[setup->word_count++] = argv[i];
		setup->words[setup->word_count++] = argv[++i];
	}
	settings_open(&settings);
	return settings_words(&settings, setup->words, setup->word_count, error) ? NULL : error;
}

/* Whether this stands where the interface's name belongs: a word, and no interface of that name. */
static bool is_word(const char *name)
{
	return (settings_word(name) || !strcmp(name, "config") || !strcmp(name, "foreground")) &&
	       !if_nametoindex(name);
}

/* Says nothing when all is well. */
static int check_only(const struct server_setup *setup)
{
	static struct settings settings;
	char error[SETTINGS_ERROR];

	/* Without pools, only the interface could tell what can be reserved. */
	if (read_settings(setup, &settings, error) &&
	    (!settings.pools.count || settings_check(&settings, setup->file, error)))
		return 0;
	return log_failure("%s", error);
}

int dynamic_server(int argc, const char *argv[])
{
	static struct server_setup setup;
	bool check = false;
	const char *wrong;
	int status;

	if (argc < 2)
		return dynamic_usage(argv[0], "the interface is missing");
	if (strlen(argv[1]) >= IFNAMSIZ || !*argv[1] || strchr(argv[1], '/'))
		return dynamic_usage(argv[0], "`%.64s' is no name of an interface", argv[1]);
	strcpy(setup.start.interface, argv[1]);
	wrong = parse(&setup, argc, argv, &check);
	if (is_word(argv[1]) && (wrong || !check))
		return dynamic_usage(argv[0], "the interface is missing: it comes before `%s'",
				     argv[1]);
	if (wrong)
		return dynamic_usage(argv[0], "%s", wrong);
	log_open(setup.start.interface);
	if (check)
		return check_only(&setup);
	if (!daemon_start(setup.foreground) || !server_setup_open(&setup))
		return 1;
	status = server_monitor(&setup);
	control_unlink(setup.start.interface, "server");
	return status;
}
