// SPDX-License-Identifier: MIT
/* The checks of the client's start, each with its remedy. */

#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "client-check.h"
#include "daemon.h"
#include "encoding.h"
#include "log.h"
#include "net.h"

enum { READING_MS = 20000 };

const struct cidr client_server_address = { AF_INET6, 128, { 0xfe, 0x80 } };

static bool check_link(struct client_setup *setup)
{
	struct net_link link;
	int ret = net_link_get(setup->interface, &link);

	setup->ifindex = link.ifindex;
	if (ret == -ENODEV)
		log_failure("there is no such interface: bring it up first, as by `wg-quick up "
			    "%s'", setup->interface);
	else if (ret)
		log_failure("cannot look at the interface: %s", strerror(-ret));
	else if (strcmp(link.kind, "wireguard") && strcmp(link.kind, "tun"))
		log_failure("is not a WireGuard interface: name that of the tunnel");
	else
		return true;
	return false;
}

static bool check_up(const struct client_setup *setup)
{
	struct net_link link;

	if (!net_link_get(setup->interface, &link) && link.up)
		return true;
	log_failure("the interface is down: bring it up first, by `ip link set %s up'",
		    setup->interface);
	return false;
}

struct link_locals {
	unsigned int ifindex, count;
	struct cidr first, second;
};

static bool link_local_each(const struct net_address *address, void *data)
{
	struct link_locals *found = data;

	/* A shorter prefix is one that the kernel made. */
	if (address->ifindex != found->ifindex || !cidr_is_host(&address->cidr) ||
	    !cidr_is_link_local(&address->cidr))
		return true;
	*(found->count++ ? &found->second : &found->first) = address->cidr;
	return true;
}

static bool check_link_local(struct client_setup *setup)
{
	struct link_locals found = { .ifindex = setup->ifindex };
	char first[CIDR_STRLEN], second[CIDR_STRLEN];
	int ret = net_addresses(link_local_each, &found);

	setup->link_local = found.first;
	if (ret)
		log_failure("cannot read the interface's addresses: %s", strerror(-ret));
	else if (!found.count)
		log_failure("has no link-local address with prefix length 128: give it the one "
			    "that the server knows, in wg-quick's Address or by `ip address add "
			    "fe80::abcd:abcd:abcd:abcd/128 dev %s'", setup->interface);
	else if (found.count > 1)
		log_failure("has more than one link-local address with /128, %s and %s: remove "
			    "all but the one that the server knows",
			    cidr_format_ip(first, &found.first),
			    cidr_format_ip(second, &found.second));
	else
		return true;
	return false;
}

/* Waits for the reading child; gives up with the parent, or when it takes too long. */
static int wait_reading(pid_t child)
{
	struct pollfd polled[2] = { { .events = POLLIN }, { .events = POLLIN } };
	int status = -1;

	polled[0].fd = syscall(SYS_pidfd_open, child, 0);
	polled[1].fd = daemon_parent();
	if (polled[0].fd >= 0) {
		poll(polled, 2, READING_MS);
		if (!polled[0].revents)
			kill(child, SIGKILL);
		close(polled[0].fd);
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : ETIMEDOUT;
}

int client_reading(const char *interface, struct reading *reading)
{
	int fd, ret;
	pid_t child = device_read(interface, &fd);

	if (child < 0)
		return child;
	ret = -wait_reading(child);
	if (!ret)
		ret = reading_map(reading, fd);
	close(fd);
	return ret;
}

static bool check_device(const struct client_setup *setup, struct reading *reading)
{
	int ret = client_reading(setup->interface, reading);

	if (ret)
		log_failure("is not a WireGuard interface (`wg show interfaces' lists those): %s",
			    strerror(-ret));
	return !ret;
}

bool client_server(const struct reading *reading, uint8_t key[static KEY_LEN])
{
	const struct device_ip *holder;

	/* The host's own addresses are in the reading too; check_route() has looked at them. */
	holder = reading_holder(reading, &client_server_address, -1, DEVICE_SELF);
	if (!holder || holder->peer >= reading->head->peers)
		return false;
	memcpy(key, reading->peers[holder->peer].key, KEY_LEN);
	return true;
}

bool client_server_moved(const struct client_setup *setup, uint8_t key[static KEY_LEN])
{
	static bool told;
	struct reading reading = { 0 };
	char text[WG_KEY_LEN_BASE64];
	bool found;

	if (client_reading(setup->interface, &reading))
		return false;
	found = client_server(&reading, key);
	reading_unmap(&reading);
	if (!found && !told)
		log_line(LOG_WARNING, "no peer's allowed-ips cover fe80::, the server's address, "
			 "any more: add fe80::/128 to those of the server, or the lease ends with "
			 "its time");
	told = !found;
	if (!found || !memcmp(key, setup->server, KEY_LEN))
		return false;
	key_to_base64(text, key);
	log_line(LOG_NOTICE, "the server is peer %s from now on, whose allowed-ips cover fe80:: "
		 "by now", text);
	return true;
}

static bool check_peer(struct client_setup *setup, const struct reading *reading)
{
	if (client_server(reading, setup->server))
		return true;
	log_failure("no peer's allowed-ips cover fe80::, the server's address: add "
		    "fe80::/128 to those of the server");
	return false;
}

/* With no route at all the monitor adds one. */
static bool check_route(const struct client_setup *setup)
{
	uint8_t type;

	if (net_route_type(setup->ifindex, &client_server_address, &type))
		return true;
	if (type == RTN_ANYCAST)
		log_failure("fe80:: is an anycast address of this host itself, since it forwards "
			    "IPv6 and the kernel gave the interface a link-local: `ip link set %s "
			    "addrgenmode none' before it goes up", setup->interface);
	else if (type == RTN_LOCAL)
		log_failure("fe80:: is this host's own address, as on the interface of a server: "
			    "remove it to run a client");
	else
		return true;
	return false;
}

bool client_check(struct client_setup *setup)
{
	struct reading reading = { 0 };
	bool fine;

	/* Own addresses before allowed-ips: on a server's interface both are wrong. */
	fine = check_link(setup) && check_device(setup, &reading) && check_up(setup) &&
	       check_route(setup) && check_link_local(setup) && check_peer(setup, &reading);
	reading_unmap(&reading);
	return fine;
}
