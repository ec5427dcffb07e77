// SPDX-License-Identifier: MIT
/*
 * Talks netlink with the kernel: generic netlink for WireGuard's own messages, rtnetlink to find
 * its devices among the interfaces.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/genetlink.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/wireguard.h>

#include "backend.h"
#include "ipc-kernel.h"

static int open_netlink(struct netlink *nl, int bus)
{
	int ret;

	nl->socket = mnl_socket_open2(bus, SOCK_CLOEXEC);
	if (!nl->socket)
		return -errno;
	if (!mnl_socket_bind(nl->socket, 0, MNL_SOCKET_AUTOPID))
		return 0;
	ret = -errno;
	mnl_socket_close(nl->socket);
	return ret;
}

void netlink_close(struct netlink *nl)
{
	mnl_socket_close(nl->socket);
	explicit_bzero(nl->buf, sizeof(nl->buf));
}

/* Both the end of a dump and the answer to all else begin with an error number. */
static int end_cb(const struct nlmsghdr *header, void *data)
{
	int error = -EPROTO;

	(void)data;
	if (mnl_nlmsg_get_payload_len(header) >= sizeof(error))
		memcpy(&error, mnl_nlmsg_get_payload(header), sizeof(error));
	if (error >= 0)
		return MNL_CB_STOP;
	errno = -error;
	return MNL_CB_ERROR;
}

int netlink_exchange(struct netlink *nl, mnl_cb_t cb, void *data)
{
	mnl_cb_t control[NLMSG_MIN_TYPE] = {
		[NLMSG_ERROR] = end_cb, [NLMSG_DONE] = end_cb,
	};
	unsigned int port = mnl_socket_get_portid(nl->socket);
	ssize_t len;
	int ret;

	if (mnl_socket_sendto(nl->socket, nl->buf, nl->header.nlmsg_len) < 0)
		return -errno;
	do {
		do
			len = mnl_socket_recvfrom(nl->socket, nl->buf, sizeof(nl->buf));
		while (len < 0 && errno == EINTR);
		if (len < 0)
			return -errno;
		ret = mnl_cb_run2(nl->buf, len, 0, port, cb, data, control, NLMSG_MIN_TYPE);
	} while (ret > MNL_CB_STOP);
	return ret == MNL_CB_STOP ? 0 : -errno;
}

static struct nlmsghdr *put_header(struct netlink *nl, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *header = mnl_nlmsg_put_header(nl->buf);

	header->nlmsg_type = type;
	header->nlmsg_flags = NLM_F_REQUEST | flags;
	return header;
}

struct nlmsghdr *netlink_prepare(struct netlink *nl, uint8_t command, uint16_t flags)
{
	struct nlmsghdr *header = put_header(nl, nl->family, flags);
	struct genlmsghdr *generic = mnl_nlmsg_put_extra_header(header, sizeof(*generic));

	generic->cmd = command;
	generic->version = WG_GENL_VERSION;
	return header;
}

static int family_cb(const struct nlmsghdr *header, void *data)
{
	const struct nlattr *attr;
	uint16_t *family = data;

	mnl_attr_for_each(attr, header, sizeof(struct genlmsghdr)) {
		if (mnl_attr_get_type(attr) == CTRL_ATTR_FAMILY_ID &&
		    !mnl_attr_validate(attr, MNL_TYPE_U16))
			*family = mnl_attr_get_u16(attr);
	}
	return MNL_CB_OK;
}

/* Asking for the family makes the kernel load its module. */
int netlink_open_wireguard(struct netlink *nl)
{
	struct nlmsghdr *header;
	uint16_t family = 0;
	int ret = open_netlink(nl, NETLINK_GENERIC);

	if (ret)
		return ret;
	nl->family = GENL_ID_CTRL;
	header = netlink_prepare(nl, CTRL_CMD_GETFAMILY, NLM_F_ACK);
	mnl_attr_put_strz(header, CTRL_ATTR_FAMILY_NAME, WG_GENL_NAME);
	ret = netlink_exchange(nl, family_cb, &family);
	nl->family = family;
	if (!ret && family)
		return 0;
	netlink_close(nl);
	return !ret || ret == -ENOENT ? -EPROTONOSUPPORT : ret;
}

static bool is_wireguard(const struct nlattr *linkinfo)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, linkinfo) {
		if (mnl_attr_get_type(attr) == IFLA_INFO_KIND &&
		    !mnl_attr_validate(attr, MNL_TYPE_NUL_STRING))
			return !strcmp(mnl_attr_get_str(attr), WG_GENL_NAME);
	}
	return false;
}

static int link_cb(const struct nlmsghdr *header, void *data)
{
	const struct nlattr *attr;
	const char *name = NULL;
	bool found = false;

	mnl_attr_for_each(attr, header, sizeof(struct ifinfomsg)) {
		if (mnl_attr_get_type(attr) == IFLA_IFNAME &&
		    !mnl_attr_validate(attr, MNL_TYPE_NUL_STRING))
			name = mnl_attr_get_str(attr);
		else if (mnl_attr_get_type(attr) == IFLA_LINKINFO)
			found = is_wireguard(attr);
	}
	if (!name || !found || !name_list_add(data, name))
		return MNL_CB_OK;
	errno = ENOMEM;
	return MNL_CB_ERROR;
}

static int list_links(struct name_list *list)
{
	struct netlink nl;
	struct nlmsghdr *header;
	int ret = open_netlink(&nl, NETLINK_ROUTE);

	if (ret)
		return ret;
	header = put_header(&nl, RTM_GETLINK, NLM_F_DUMP);
	mnl_nlmsg_put_extra_header(header, sizeof(struct ifinfomsg));
	ret = netlink_exchange(&nl, link_cb, list);
	netlink_close(&nl);
	return ret;
}

int kernel_list_devices(struct name_list *list)
{
	int ret = -EINTR;

	for (int i = 0; i < NETLINK_DUMP_TRIES && ret == -EINTR; i++) {
		free(list->names);
		*list = (struct name_list){ 0 };
		ret = list_links(list);
	}
	return ret;
}
