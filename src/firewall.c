// SPDX-License-Identifier: MIT
/* One change to an nft set is a batch of three messages: begin, the element, end. */

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "firewall.h"

enum { SEQUENCE = 1 }; /* of the messages that are answered: of a batch the element's alone */

static struct nlmsghdr *message_begin(void *buf, uint16_t type, uint16_t flags, uint8_t family,
				      uint16_t resource)
{
	struct nlmsghdr *head = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *nf;

	head->nlmsg_type = type;
	head->nlmsg_flags = NLM_F_REQUEST | flags;
	nf = mnl_nlmsg_put_extra_header(head, sizeof(*nf));
	*nf = (struct nfgenmsg){
		.nfgen_family = family,
		.version = NFNETLINK_V0,
		.res_id = htons(resource),
	};
	return head;
}

static void put_set(struct nlmsghdr *head, const char *interface, uint16_t table, uint16_t set)
{
	char name[64];

	snprintf(name, sizeof(name), "wg-quick-%s", interface);
	mnl_attr_put_strz(head, table, name);
	mnl_attr_put_strz(head, set, "leased");
}

static void put_element(struct nlmsghdr *head, const char *interface, const struct cidr *ip)
{
	struct nlattr *list, *element, *key;

	put_set(head, interface, NFTA_SET_ELEM_LIST_TABLE, NFTA_SET_ELEM_LIST_SET);
	list = mnl_attr_nest_start(head, NFTA_SET_ELEM_LIST_ELEMENTS);
	element = mnl_attr_nest_start(head, NFTA_LIST_ELEM);
	key = mnl_attr_nest_start(head, NFTA_SET_ELEM_KEY);
	mnl_attr_put(head, NFTA_DATA_VALUE, family_bits(ip->family) / 8, ip->ip);
	mnl_attr_nest_end(head, key);
	mnl_attr_nest_end(head, element);
	mnl_attr_nest_end(head, list);
}

/* The kernel's answer to the one message that has an NLM_F_ACK. */
static int answer(struct mnl_socket *socket)
{
	char buf[8192];
	ssize_t len = mnl_socket_recvfrom(socket, buf, sizeof(buf));

	if (len < 0)
		return -errno;
	return mnl_cb_run(buf, len, SEQUENCE, mnl_socket_get_portid(socket), NULL, NULL) < 0 ?
		       -errno : 0;
}

/* Whether there is a set to change; 0, or -errno. */
static int look(struct mnl_socket *socket, const char *interface, uint8_t family)
{
	struct nlmsghdr *head;
	char buf[1024];

	head = message_begin(buf, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETSET, 0, family, 0);
	head->nlmsg_seq = SEQUENCE;
	put_set(head, interface, NFTA_SET_TABLE, NFTA_SET_NAME);
	if (mnl_socket_sendto(socket, head, head->nlmsg_len) < 0)
		return -errno;
	return answer(socket);
}

static int send_change(struct mnl_socket *socket, const char *interface, const struct cidr *ip,
		       uint16_t type, uint16_t flags, uint8_t family)
{
	struct nlmsghdr *head;
	char buf[1024];
	size_t len = 0;

	head = message_begin(buf, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
	len += head->nlmsg_len;
	head = message_begin(buf + len, NFNL_SUBSYS_NFTABLES << 8 | type, flags | NLM_F_ACK,
			     family, 0);
	head->nlmsg_seq = SEQUENCE;
	put_element(head, interface, ip);
	len += head->nlmsg_len;
	head = message_begin(buf + len, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
	len += head->nlmsg_len;
	if (mnl_socket_sendto(socket, buf, len) < 0)
		return -errno;
	return answer(socket);
}

/* It looks first: to undo a batch that fails, the kernel waits 5 to 20 ms for all processors. */
static int change(const char *interface, const struct cidr *ip, uint16_t type, uint16_t flags)
{
	uint8_t family = ip->family == AF_INET6 ? NFPROTO_IPV6 : NFPROTO_IPV4;
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	int ret;

	if (!socket)
		return -errno;
	ret = mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno : 0;
	if (!ret && look(socket, interface, family) == -ENOENT)
		ret = -ENOENT;
	if (!ret)
		ret = send_change(socket, interface, ip, type, flags, family);
	mnl_socket_close(socket);
	return ret;
}

int firewall_add(const char *interface, const struct cidr *ip)
{
	return change(interface, ip, NFT_MSG_NEWSETELEM, NLM_F_CREATE);
}

int firewall_remove(const char *interface, const struct cidr *ip)
{
	return change(interface, ip, NFT_MSG_DELSETELEM, 0);
}
