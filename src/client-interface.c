// SPDX-License-Identifier: MIT
/* The client's link-local address, and its route to the server. */

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdint.h>

#include "client-interface.h"
#include "net.h"

enum { ROUTE_METRIC = 1024 };

int interface_route(const struct client_setup *setup)
{
	uint8_t type;
	int ret;

	if (!net_route_type(setup->ifindex, &client_server_address, &type))
		return 0;
	ret = net_route_add(setup->ifindex, RT_TABLE_MAIN, &client_server_address, ROUTE_METRIC);
	return ret == -EEXIST ? 0 : ret;
}

void interface_route_delete(unsigned int ifindex)
{
	net_route_delete(ifindex, RT_TABLE_MAIN, &client_server_address, ROUTE_METRIC);
}

struct look {
	const struct client_setup *setup;
	bool found;
};

static bool look_each(const struct net_address *address, void *data)
{
	struct look *look = data;

	if (address->ifindex == look->setup->ifindex &&
	    !cidr_compare(&address->cidr, &look->setup->link_local))
		look->found = true;
	return !look->found;
}

int interface_restore(const struct client_setup *setup)
{
	struct look look = { setup, false };
	int ret = net_addresses(look_each, &look);

	if (!ret && !look.found)
		ret = net_address_set(setup->ifindex, &setup->link_local, NET_FOREVER);
	return ret ? ret : interface_route(setup);
}
