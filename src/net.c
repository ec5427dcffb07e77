// SPDX-License-Identifier: MIT
/* rtnetlink requests, each built, sent and answered in one call. */

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net.h"

#ifndef IFA_PROTO
#define IFA_PROTO 11 /* linux/if_addr.h since 5.18 */
#endif

/* One request and the answers to it. Large enough for what we send and for any one answer. */
struct exchange {
	struct nlmsghdr *head;
	size_t extra; /* bytes of the header behind the head, in the answers as well */
	mnl_cb_t callback;
	void *data;
	char buf[32768];
};

static void *exchange_begin(struct exchange *x, uint16_t type, uint16_t flags, size_t extra)
{
	void *header;

	x->head = mnl_nlmsg_put_header(x->buf);
	x->head->nlmsg_type = type;
	x->head->nlmsg_flags = NLM_F_REQUEST | flags;
	x->head->nlmsg_seq = 1;
	x->extra = extra;
	header = mnl_nlmsg_put_extra_header(x->head, extra);
	memset(header, 0, extra);
	return header;
}

/* Callbacks take it for granted that the header is there. */
static int message_came(const struct nlmsghdr *head, void *data)
{
	const struct exchange *x = data;

	if (!x->callback || mnl_nlmsg_get_payload_len(head) < x->extra)
		return MNL_CB_OK;
	return x->callback(head, x->data);
}

/* An acknowledgement, or the end of a dump, which libmnl would take for whole in any case. */
static int answer_end(const struct nlmsghdr *head, void *data)
{
	const int *error = mnl_nlmsg_get_payload(head);

	(void)data;
	errno = mnl_nlmsg_get_payload_len(head) < sizeof(*error) ? EBADMSG : -*error;
	return errno ? MNL_CB_ERROR : MNL_CB_STOP;
}

/* Sends, and calls back for each message of the answer until the kernel says that it is all. */
static int exchange_run(struct exchange *x, mnl_cb_t callback, void *data)
{
	mnl_cb_t control[NLMSG_MIN_TYPE] = {
		[NLMSG_ERROR] = answer_end,
		[NLMSG_DONE] = answer_end,
	};
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	int ret = MNL_CB_ERROR;
	unsigned int portid;
	ssize_t len;

	if (!socket)
		return -errno;
	x->callback = callback;
	x->data = data;
	if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(socket, x->head, x->head->nlmsg_len) < 0)
		goto cleanup;
	portid = mnl_socket_get_portid(socket);
	do {
		len = mnl_socket_recvfrom(socket, x->buf, sizeof(x->buf));
		if (len < 0)
			break;
		ret = mnl_cb_run2(x->buf, len, 1, portid, message_came, x, control,
				  NLMSG_MIN_TYPE);
	} while (ret > MNL_CB_STOP);
	if (len < 0)
		ret = MNL_CB_ERROR;
cleanup:
	ret = ret == MNL_CB_ERROR ? -errno : 0;
	mnl_socket_close(socket);
	return ret;
}

/* A change: the kernel's answer is an error number alone. */
static int exchange_change(struct exchange *x)
{
	x->head->nlmsg_flags |= NLM_F_ACK;
	return exchange_run(x, NULL, NULL);
}

static int kind_attr(const struct nlattr *attr, void *data)
{
	struct net_link *link = data;

	if (mnl_attr_get_type(attr) == IFLA_INFO_KIND)
		snprintf(link->kind, sizeof(link->kind), "%.*s",
			 (int)mnl_attr_get_payload_len(attr), mnl_attr_get_str(attr));
	return MNL_CB_OK;
}

static int link_attr(const struct nlattr *attr, void *data)
{
	struct net_link *link = data;

	if (mnl_attr_get_type(attr) == IFLA_LINKINFO)
		return mnl_attr_parse_nested(attr, kind_attr, data);
	if (mnl_attr_get_type(attr) == IFLA_MTU && mnl_attr_get_payload_len(attr) >= 4)
		link->mtu = mnl_attr_get_u32(attr);
	return MNL_CB_OK;
}

static int link_message(const struct nlmsghdr *head, void *data)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(head);
	struct net_link *link = data;

	link->ifindex = info->ifi_index;
	link->up = info->ifi_flags & IFF_UP;
	mnl_attr_parse(head, sizeof(*info), link_attr, link);
	return MNL_CB_STOP;
}

int net_link_get(const char *name, struct net_link *link)
{
	struct exchange x;
	int ret;

	memset(link, 0, sizeof(*link));
	if (strlen(name) >= IFNAMSIZ)
		return -ENODEV;
	exchange_begin(&x, RTM_GETLINK, 0, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(x.head, IFLA_IFNAME, name);
	ret = exchange_run(&x, link_message, link);
	return ret ? ret : link->ifindex ? 0 : -ENODEV;
}

enum { DUMP_TRIES = 8 }; /* of one that changes cut short */

/* All are taken down before anybody is told: a dump that is cut short begins anew. */
struct address_walk {
	struct net_address *list;
	size_t count, room;
	bool local; /* of the last in the list, an IFA_LOCAL has come */
};

static int address_attr(const struct nlattr *attr, void *data)
{
	struct address_walk *walk = data;
	struct net_address *address = &walk->list[walk->count];
	uint16_t len = mnl_attr_get_payload_len(attr), type = mnl_attr_get_type(attr);
	const struct ifa_cacheinfo *cache;

	switch (type) {
	case IFA_ADDRESS:
	case IFA_LOCAL:
		/* With an IFA_LOCAL, the other is the far end's; they come in either order. */
		if (len != family_bits(address->cidr.family) / 8)
			break;
		if (!walk->local || type == IFA_LOCAL)
			memcpy(address->cidr.ip, mnl_attr_get_payload(attr), len);
		if (type == IFA_ADDRESS)
			memcpy(address->far.ip, mnl_attr_get_payload(attr), len);
		walk->local |= type == IFA_LOCAL;
		break;
	case IFA_FLAGS:
		if (len >= sizeof(uint32_t))
			address->flags = mnl_attr_get_u32(attr);
		break;
	case IFA_CACHEINFO:
		cache = mnl_attr_get_payload(attr);
		if (len >= sizeof(*cache))
			address->valid = cache->ifa_valid;
		break;
	case IFA_PROTO:
		if (len >= sizeof(uint8_t))
			address->protocol = mnl_attr_get_u8(attr);
		break;
	}
	return MNL_CB_OK;
}

static int address_message(const struct nlmsghdr *head, void *data)
{
	const struct ifaddrmsg *info = mnl_nlmsg_get_payload(head);
	struct address_walk *walk = data;

	if (!family_bits(info->ifa_family))
		return MNL_CB_OK;
	if (walk->count == walk->room) {
		size_t room = walk->room ? 2 * walk->room : 16;
		struct net_address *list = reallocarray(walk->list, room, sizeof(*list));

		if (!list)
			return MNL_CB_ERROR;
		walk->list = list;
		walk->room = room;
	}
	walk->local = false;
	walk->list[walk->count] = (struct net_address){
		.ifindex = info->ifa_index,
		.flags = info->ifa_flags,
		.valid = NET_FOREVER,
		.scope = info->ifa_scope,
		.cidr = { .family = info->ifa_family, .prefix = info->ifa_prefixlen },
		.far = { .family = info->ifa_family, .prefix = info->ifa_prefixlen },
	};
	mnl_attr_parse(head, sizeof(*info), address_attr, walk);
	++walk->count;
	return MNL_CB_OK;
}

int net_addresses(bool (*each)(const struct net_address *address, void *data), void *data)
{
	struct address_walk walk = { 0 };
	struct exchange x;
	int ret = -EINTR;

	for (int i = 0; i < DUMP_TRIES && ret == -EINTR; ++i) {
		walk.count = 0;
		exchange_begin(&x, RTM_GETADDR, NLM_F_DUMP, sizeof(struct ifaddrmsg));
		ret = exchange_run(&x, address_message, &walk);
	}
	for (size_t i = 0; !ret && i < walk.count && each(&walk.list[i], data); ++i)
		;
	free(walk.list);
	return ret;
}

static void address_begin(struct exchange *x, uint16_t type, uint16_t flags, unsigned int ifindex,
			  const struct cidr *cidr)
{
	struct ifaddrmsg *info = exchange_begin(x, type, flags, sizeof(*info));
	size_t len = family_bits(cidr->family) / 8;

	info->ifa_family = cidr->family;
	info->ifa_prefixlen = cidr->prefix;
	info->ifa_index = ifindex;
	info->ifa_scope = cidr_is_link_local(cidr) ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
	mnl_attr_put(x->head, IFA_LOCAL, len, cidr->ip);
	mnl_attr_put(x->head, IFA_ADDRESS, len, cidr->ip);
}

int net_address_set(unsigned int ifindex, const struct cidr *cidr, uint32_t valid)
{
	struct ifa_cacheinfo cache = { .ifa_prefered = valid, .ifa_valid = valid };
	struct exchange x;

	address_begin(&x, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, ifindex, cidr);
	mnl_attr_put_u32(x.head, IFA_FLAGS, cidr->family == AF_INET6 ? IFA_F_NODAD : 0);
	mnl_attr_put(x.head, IFA_CACHEINFO, sizeof(cache), &cache);
	mnl_attr_put_u8(x.head, IFA_PROTO, NET_PROTOCOL);
	return exchange_change(&x);
}

int net_mtu_set(unsigned int ifindex, uint32_t mtu)
{
	struct ifinfomsg *info;
	struct exchange x;

	info = exchange_begin(&x, RTM_NEWLINK, 0, sizeof(*info));
	info->ifi_index = ifindex;
	mnl_attr_put_u32(x.head, IFLA_MTU, mtu);
	return exchange_change(&x);
}

static void route_begin(struct exchange *x, uint16_t type, uint16_t flags, unsigned int ifindex,
			uint32_t table, const struct cidr *cidr, uint32_t metric)
{
	struct rtmsg *info = exchange_begin(x, type, flags, sizeof(*info));

	info->rtm_family = cidr->family;
	info->rtm_dst_len = cidr->prefix;
	info->rtm_protocol = NET_PROTOCOL;
	info->rtm_scope = cidr->family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
	info->rtm_type = RTN_UNICAST;
	mnl_attr_put_u32(x->head, RTA_TABLE, table);
	mnl_attr_put(x->head, RTA_DST, family_bits(cidr->family) / 8, cidr->ip);
	mnl_attr_put_u32(x->head, RTA_OIF, ifindex);
	if (metric)
		mnl_attr_put_u32(x->head, RTA_PRIORITY, metric);
}

int net_route_add(unsigned int ifindex, uint32_t table, const struct cidr *cidr, uint32_t metric)
{
	const uint16_t beside = cidr_is_link_local(cidr) ? NLM_F_APPEND : NLM_F_EXCL;
	struct exchange x;

	route_begin(&x, RTM_NEWROUTE, NLM_F_CREATE | beside, ifindex, table, cidr, metric);
	return exchange_change(&x);
}

int net_route_delete(unsigned int ifindex, uint32_t table, const struct cidr *cidr,
		     uint32_t metric)
{
	struct exchange x;
	int ret;

	route_begin(&x, RTM_DELROUTE, 0, ifindex, table, cidr, metric);
	ret = exchange_change(&x);
	return ret == -ESRCH ? 0 : ret;
}

struct route_walk {
	void (*each)(const struct net_route *route, void *data);
	void *data;
	struct net_route route;
	const struct rtnexthop *ways; /* where it has several */
	int ways_len;
};

static int way_attr(const struct nlattr *attr, void *data)
{
	uint16_t len = mnl_attr_get_payload_len(attr);
	const struct rtvia *via = mnl_attr_get_payload(attr);
	struct net_route *route = data;

	if (mnl_attr_get_type(attr) == RTA_GATEWAY && len == family_bits(route->to.family) / 8)
		cidr_host(&route->gateway, route->to.family, via);
	else if (mnl_attr_get_type(attr) == RTA_VIA && len > sizeof(*via) &&
		 len - sizeof(*via) == family_bits(via->rtvia_family) / 8)
		cidr_host(&route->gateway, via->rtvia_family, via->rtvia_addr);
	return MNL_CB_OK;
}

static int route_attr(const struct nlattr *attr, void *data)
{
	uint16_t len = mnl_attr_get_payload_len(attr);
	struct route_walk *walk = data;

	switch (mnl_attr_get_type(attr)) {
	case RTA_DST:
		if (len == family_bits(walk->route.to.family) / 8)
			memcpy(walk->route.to.ip, mnl_attr_get_payload(attr), len);
		break;
	case RTA_OIF:
		if (len >= sizeof(uint32_t))
			walk->route.ifindex = mnl_attr_get_u32(attr);
		break;
	case RTA_MULTIPATH:
		walk->ways = mnl_attr_get_payload(attr);
		walk->ways_len = len;
		break;
	}
	return way_attr(attr, &walk->route);
}

static void ways(struct route_walk *walk)
{
	const struct rtnexthop *way = walk->ways;

	for (; walk->ways_len >= (int)sizeof(*way) && RTNH_OK(way, walk->ways_len);
	     way = RTNH_NEXT(way)) {
		walk->route.ifindex = way->rtnh_ifindex;
		walk->route.gateway.family = 0;
		mnl_attr_parse_payload(RTNH_DATA(way), way->rtnh_len - RTNH_LENGTH(0), way_attr,
				       &walk->route);
		walk->each(&walk->route, walk->data);
		walk->ways_len -= RTNH_ALIGN(way->rtnh_len);
	}
}

static bool is_block(uint8_t type)
{
	return type == RTN_BLACKHOLE || type == RTN_UNREACHABLE || type == RTN_PROHIBIT;
}

static int routes_message(const struct nlmsghdr *head, void *data)
{
	const struct rtmsg *info = mnl_nlmsg_get_payload(head);
	struct route_walk *walk = data;

	if ((info->rtm_type != RTN_UNICAST && !is_block(info->rtm_type)) ||
	    !family_bits(info->rtm_family))
		return MNL_CB_OK;
	walk->route = (struct net_route){
		.blocks = is_block(info->rtm_type),
		.to = { .family = info->rtm_family, .prefix = info->rtm_dst_len },
	};
	walk->ways = NULL;
	mnl_attr_parse(head, sizeof(*info), route_attr, walk);
	if (walk->ways)
		ways(walk);
	else
		walk->each(&walk->route, walk->data);
	return MNL_CB_OK;
}

int net_routes(void (*each)(const struct net_route *route, void *data), void *data)
{
	struct route_walk walk = { .each = each, .data = data };
	struct exchange x;
	int ret = -EINTR;

	for (int i = 0; i < DUMP_TRIES && ret == -EINTR; ++i) {
		exchange_begin(&x, RTM_GETROUTE, NLM_F_DUMP, sizeof(struct rtmsg));
		ret = exchange_run(&x, routes_message, &walk);
	}
	return ret;
}

/* Routes of one interface, as messages that set them. */
struct kept_routes {
	unsigned int ifindex;
	struct nlmsghdr *messages;
	size_t len;
};

static int oif_attr(const struct nlattr *attr, void *data)
{
	const struct kept_routes *kept = data;

	if (mnl_attr_get_type(attr) == RTA_OIF && mnl_attr_get_payload_len(attr) >= 4 &&
	    mnl_attr_get_u32(attr) == kept->ifindex)
		return MNL_CB_STOP;
	return MNL_CB_OK;
}

static int keep_message(const struct nlmsghdr *head, void *data)
{
	size_t len = MNL_ALIGN(head->nlmsg_len);
	struct kept_routes *kept = data;
	struct nlmsghdr *message;
	struct rtmsg *info = mnl_nlmsg_get_payload(head);
	void *messages;

	if (info->rtm_type != RTN_UNICAST || info->rtm_protocol == RTPROT_KERNEL ||
	    mnl_attr_parse(head, sizeof(*info), oif_attr, kept) != MNL_CB_STOP)
		return MNL_CB_OK;
	messages = realloc(kept->messages, kept->len + len);
	if (!messages)
		return MNL_CB_ERROR;
	kept->messages = messages;
	message = (struct nlmsghdr *)((char *)messages + kept->len);
	kept->len += len;
	memcpy(message, head, head->nlmsg_len);
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL;
	message->nlmsg_seq = 1;
	message->nlmsg_pid = 0;
	info = mnl_nlmsg_get_payload(message);
	info->rtm_flags &= RTNH_F_ONLINK;
	return MNL_CB_OK;
}

static void put_back(struct kept_routes *kept)
{
	struct nlmsghdr *message = kept->messages;
	int len = kept->len;
	struct exchange x;

	for (; message && mnl_nlmsg_ok(message, len); message = mnl_nlmsg_next(message, &len)) {
		if (message->nlmsg_len > sizeof(x.buf))
			continue;
		x.head = memcpy(x.buf, message, message->nlmsg_len);
		exchange_change(&x); /* it may be there, or its way may not yet be */
	}
}

int net_address_delete(unsigned int ifindex, const struct cidr *cidr)
{
	struct kept_routes kept = { .ifindex = ifindex };
	struct rtmsg *info;
	struct exchange x;
	int ret = cidr->family == AF_INET ? -EINTR : 0;

	for (int i = 0; i < DUMP_TRIES && ret == -EINTR; ++i) {
		kept.len = 0;
		info = exchange_begin(&x, RTM_GETROUTE, NLM_F_DUMP, sizeof(*info));
		info->rtm_family = AF_INET;
		ret = exchange_run(&x, keep_message, &kept);
	}
	address_begin(&x, RTM_DELADDR, 0, ifindex, cidr);
	ret = exchange_change(&x);
	/* Twice: a route through a gateway needs the one to that. */
	put_back(&kept);
	put_back(&kept);
	free(kept.messages);
	return ret == -EADDRNOTAVAIL ? 0 : ret;
}

static int route_message(const struct nlmsghdr *head, void *data)
{
	const struct rtmsg *info = mnl_nlmsg_get_payload(head);
	uint8_t *type = data;

	*type = info->rtm_type;
	return MNL_CB_STOP;
}

int net_route_type(unsigned int ifindex, const struct cidr *to, uint8_t *type)
{
	struct rtmsg *info;
	struct exchange x;

	info = exchange_begin(&x, RTM_GETROUTE, 0, sizeof(*info));
	info->rtm_family = to->family;
	info->rtm_dst_len = family_bits(to->family);
	mnl_attr_put(x.head, RTA_DST, info->rtm_dst_len / 8, to->ip);
	mnl_attr_put_u32(x.head, RTA_OIF, ifindex);
	*type = RTN_UNSPEC;
	return exchange_run(&x, route_message, type);
}

static int events_open(uint32_t groups)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = groups };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE), ret;

	if (fd >= 0 && !bind(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	ret = -errno;
	if (fd >= 0)
		close(fd);
	return ret;
}

int net_events_open(void)
{
	return events_open(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR);
}

int net_routes_open(void)
{
	return events_open(RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE);
}

void net_routes_drain(int fd)
{
	char byte;

	/* Of each message the first byte; or more have come than there was room for. */
	while (recv(fd, &byte, sizeof(byte), 0) >= 0 || errno == ENOBUFS)
		;
}

struct event_walk {
	unsigned int ifindex;
	void (*each)(enum net_event event, void *data);
	void *data;
};

static int event_message(const struct nlmsghdr *head, void *data)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(head);
	struct event_walk *walk = data;

	if (head->nlmsg_type <= RTM_DELLINK && mnl_nlmsg_get_payload_len(head) < sizeof(*info))
		return MNL_CB_OK;
	switch (head->nlmsg_type) {
	case RTM_NEWLINK:
		if ((unsigned int)info->ifi_index == walk->ifindex)
			walk->each(info->ifi_flags & IFF_UP ? NET_LINK_UP : NET_LINK_DOWN,
				   walk->data);
		break;
	case RTM_DELLINK:
		if ((unsigned int)info->ifi_index == walk->ifindex)
			walk->each(NET_LINK_GONE, walk->data);
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		walk->each(NET_ADDRESSES, walk->data);
		break;
	}
	return MNL_CB_OK;
}

void net_events(int fd, unsigned int ifindex, void (*each)(enum net_event event, void *data),
		void *data)
{
	struct event_walk walk = { .ifindex = ifindex, .each = each, .data = data };
	struct sockaddr_nl from = { 0 };
	socklen_t from_len;
	char buf[32768];
	ssize_t len;

	for (;;) {
		from_len = sizeof(from);
		len = recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &from_len);
		if (len < 0 && errno == ENOBUFS)
			each(NET_LOST, data);
		else if (len < 0)
			return;
		else if (!from.nl_pid) /* from the kernel, not from another program */
			mnl_cb_run(buf, len, 0, 0, event_message, &walk);
	}
}
