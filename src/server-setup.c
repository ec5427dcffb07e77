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
#include <sys/file.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
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
	LEASE_TIME = 3600, /* seconds, unless told */
	LOCK_TRIES = 40, /* of 50 ms: an engine that is being killed still holds the lock */
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

static bool read_device(struct server_setup *setup)
{
	const char *name = setup->start.interface;
	int status = 0, ret;
	pid_t child;

	setup->reading_began = now_ms();
	child = device_read(name, &setup->reading_fd);
	if (child > 0)
		waitpid(child, &status, 0);
	ret = child < 0 ? -child : WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
	if (!ret)
		ret = -reading_map(&setup->reading, setup->reading_fd);
	if (ret == ENODEV || ret == EOPNOTSUPP || ret == EPROTONOSUPPORT || ret == ENOENT)
		log_failure("is not a WireGuard interface: `wg show interfaces' lists those");
	else if (ret)
		log_failure("cannot read the device: %s", strerror(ret));
	setup->reading_cost = now_ms() - setup->reading_began;
	return !ret;
}

struct address_walk {
	struct server_setup *setup;
	bool found; /* fe80:: */
	const char *error;
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

/* The networks of the interface's global addresses: pools, unless others are named. */
static bool pool_of_address(const struct net_address *address, void *data)
{
	struct address_walk *walk = data;
	struct cidr net = address->cidr;

	if (address->ifindex != walk->setup->start.ifindex ||
	    address->scope != RT_SCOPE_UNIVERSE || cidr_is_host(&net))
		return true;
	cidr_mask(&net);
	for (uint32_t i = 0; i < walk->setup->pools.count; ++i) {
		if (!cidr_compare(&walk->setup->pools.list[i].net, &net))
			return true;
	}
	walk->error = pools_add_cidr(&walk->setup->pools, &net);
	if (walk->error) {
		char text[CIDR_STRLEN];

		log_failure("network %s of the interface %s", cidr_format(text, &net), walk->error);
	}
	return !walk->error;
}

static bool check_pools(struct server_setup *setup)
{
	struct address_walk walk = { .setup = setup };
	int ret;

	if (setup->pools.count)
		return true;
	ret = net_addresses(pool_of_address, &walk);
	if (ret)
		log_failure("cannot ask for addresses: %s", strerror(-ret));
	else if (!setup->pools.count && !walk.error)
		log_failure("there is no pool: name one (`pool 192.0.2.0/24'), or give the "
			    "interface an address with its network");
	return !ret && setup->pools.count && !walk.error;
}

/* --- sockets --- */

static bool open_listener(struct server_setup *setup)
{
	const char *name = setup->start.interface;
	const int one = 1;
	struct sockaddr_in6 address = {
		.sin6_family = AF_INET6,
		.sin6_port = htons(PROTOCOL_PORT),
		.sin6_scope_id = setup->start.ifindex,
	};
	socklen_t len = sizeof(setup->start.place.netns);
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	memcpy(&address.sin6_addr, server_address.ip, sizeof(address.sin6_addr));
	setup->listen_fd = fd;
	if (fd < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, strlen(name) + 1) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, SOMAXCONN) < 0) {
		log_failure("cannot listen on [fe80::%%%s]:%d: %s%s", name, PROTOCOL_PORT,
			    strerror(errno), errno == EADDRINUSE ? ": stop what does" : "");
		return false;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &setup->start.place.netns, &len) < 0)
		setup->start.place.netns = 0;
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

/* --- the journal --- */

static void journal_name(const struct server_setup *setup, const char *suffix, char name[static 64])
{
	snprintf(name, 64, "%s.leases%s", setup->start.interface, suffix);
}

/* Opens and locks the journal; the file of that name, not one that was just replaced. */
static int open_locked(const struct server_setup *setup)
{
	struct stat opened, named;
	char name[64];
	int fd;

	journal_name(setup, "", name);
	for (int i = 0; i < LOCK_TRIES; ++i) {
		fd = openat(setup->state_fd, name,
			    O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0)
			return -errno;
		if (!flock(fd, LOCK_EX | LOCK_NB) && !fstat(fd, &opened) &&
		    !fstatat(setup->state_fd, name, &named, AT_SYMLINK_NOFOLLOW) &&
		    opened.st_ino == named.st_ino)
			return S_ISREG(opened.st_mode) ? fd : -EINVAL;
		close(fd);
		usleep(50000);
	}
	return -EWOULDBLOCK;
}

static bool open_journal(struct server_setup *setup)
{
	const char *name = setup->start.interface;

	setup->fresh_fd = -1;
	setup->state_fd = sandbox_dir(STATEDIR, 0770);
	if (setup->state_fd < 0) {
		log_failure("cannot make " STATEDIR ": %s", strerror(-setup->state_fd));
		return false;
	}
	setup->journal_fd = open_locked(setup);
	if (setup->journal_fd == -EWOULDBLOCK)
		log_failure("another server has %s/%s.leases open: stop it first", STATEDIR, name);
	else if (setup->journal_fd < 0)
		log_failure("cannot open %s/%s.leases: %s", STATEDIR, name,
			    strerror(-setup->journal_fd));
	return setup->journal_fd >= 0 && !fsync(setup->state_fd);
}

int server_setup_new_journal(struct server_setup *setup)
{
	char name[64];
	int ret;

	server_setup_drop_fresh(setup);
	journal_name(setup, ".new", name);
	if (unlinkat(setup->state_fd, name, 0) < 0 && errno != ENOENT)
		return -errno;
	setup->fresh_fd = openat(setup->state_fd, name,
				 O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
				 0600);
	if (setup->fresh_fd < 0)
		return -errno;
	if (!flock(setup->fresh_fd, LOCK_EX | LOCK_NB))
		return setup->fresh_fd;
	ret = -errno;
	server_setup_drop_fresh(setup);
	return ret;
}

int server_setup_rename_journal(struct server_setup *setup, uint32_t *stands)
{
	char from[64], to[64];

	*stands = false;
	if (setup->fresh_fd < 0)
		return -ENOENT;
	journal_name(setup, ".new", from);
	journal_name(setup, "", to);
	if (fsync(setup->fresh_fd) < 0 ||
	    renameat(setup->state_fd, from, setup->state_fd, to) < 0)
		return -errno;
	*stands = true;
	close(setup->journal_fd);
	setup->journal_fd = setup->fresh_fd;
	setup->fresh_fd = -1;
	return fsync(setup->state_fd) < 0 ? -errno : 0;
}

void server_setup_drop_fresh(struct server_setup *setup)
{
	if (setup->fresh_fd >= 0)
		close(setup->fresh_fd);
	setup->fresh_fd = -1;
}

/* --- all of it --- */

static bool read_boot_id(struct server_setup *setup)
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, setup->start.place.boot_id, BOOT_ID_LEN);

	if (fd >= 0)
		close(fd);
	if (len != BOOT_ID_LEN ||
	    getrandom(setup->start.secret, sizeof(setup->start.secret), 0) < 0) {
		log_failure("cannot read /proc/sys/kernel/random/boot_id: mount /proc");
		return false;
	}
	setup->start.place.ifindex = setup->start.ifindex;
	return true;
}

bool server_setup_open(struct server_setup *setup)
{
	int ret;

	if (!sandbox_allowed() || !check_interface(setup) || !read_device(setup) ||
	    !check_pools(setup) || !read_boot_id(setup) || !open_control(setup))
		return false;
	if (!open_journal(setup) || !server_setup_address(setup) || !open_listener(setup))
		goto failed;
	ret = device_sweep(setup->start.interface);
	if (!ret)
		return true;
	log_failure("cannot change the device: %s", strerror(-ret));
failed:
	control_unlink(setup->start.interface, "server");
	return false;
}

static const char *parse_pools(struct server_setup *setup, const char *list)
{
	static char error[256];
	const char *what;
	size_t len;

	for (;; list += len + 1) {
		len = strcspn(list, ",");
		what = pools_add(&setup->pools, list, len);
		if (what) {
			snprintf(error, sizeof(error), "pool `%.*s' %s", (int)(len > 64 ? 64 : len),
				 list, what);
			return error;
		}
		if (!list[len])
			return NULL;
	}
}

/* Reads the command line; NULL, or what is wrong with it. */
static const char *parse(struct server_setup *setup, int argc, const char *argv[])
{
	static char error[256];
	const char *value, *wrong;

	setup->start.lease_time = LEASE_TIME;
	for (int i = 2; i < argc; ++i) {
		value = i + 1 < argc ? argv[i + 1] : NULL;
		if (!strcmp(argv[i], "foreground")) {
			setup->foreground = true;
			continue;
		}
		if (strcmp(argv[i], "pool") && strcmp(argv[i], "lease-time")) {
			snprintf(error, sizeof(error), "`%.64s' is no option", argv[i]);
			return error;
		}
		if (!value) {
			snprintf(error, sizeof(error), "`%s' needs a value", argv[i]);
			return error;
		}
		if (!strcmp(argv[i++], "pool")) {
			wrong = parse_pools(setup, value);
			if (wrong)
				return wrong;
		} else if (!number_parse(&setup->start.lease_time, value, LEASE_TIME_MAX) ||
			   !setup->start.lease_time) {
			snprintf(error, sizeof(error), "lease-time `%.64s' is not a number of "
				 "seconds from 1 to %d", value, LEASE_TIME_MAX);
			return error;
		}
	}
	return NULL;
}

int dynamic_server(int argc, const char *argv[])
{
	static struct server_setup setup;
	const char *wrong;
	int status;

	if (argc < 2)
		return dynamic_usage(argv[0], "the interface is missing");
	if (strlen(argv[1]) >= IFNAMSIZ || !*argv[1] || strchr(argv[1], '/'))
		return dynamic_usage(argv[0], "`%.64s' is no name of an interface", argv[1]);
	strcpy(setup.start.interface, argv[1]);
	wrong = parse(&setup, argc, argv);
	if (wrong)
		return dynamic_usage(argv[0], "%s", wrong);
	log_open(setup.start.interface);
	if (!daemon_start(setup.foreground) || !server_setup_open(&setup))
		return 1;
	status = server_monitor(&setup);
	control_unlink(setup.start.interface, "server");
	return status;
}
