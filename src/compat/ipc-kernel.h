/* SPDX-License-Identifier: MIT */
/*
 * Netlink as the files ipc-kernel*.c use it: one request at a time, its answer read to the end.
 * linux/wireguard.h describes the messages.
 */

#ifndef IPC_KERNEL_H
#define IPC_KERNEL_H

#include <stdint.h>
#include <libmnl/libmnl.h>

/* The kernel fills as much of the buffer as it can, so a larger one makes fewer, larger parts. */
#define NETLINK_RECEIVE_SIZE 32768

/* A dump that something changed underneath is begun anew so many times. */
#define NETLINK_DUMP_TRIES 8

struct netlink {
	struct mnl_socket *socket;
	uint16_t family; /* who is spoken to in generic netlink: WireGuard's number */
	union {
		struct nlmsghdr header;
		char buf[NETLINK_RECEIVE_SIZE];
	};
};

/*
 * Opens nl to WireGuard, to be closed with netlink_close(). Returns 0 or -errno:
 * -EPROTONOSUPPORT where the kernel has none.
 */
int netlink_open_wireguard(struct netlink *nl);

/* Closes nl and wipes its buffer, through which keys may have gone. */
void netlink_close(struct netlink *nl);

/*
 * Begins a request to WireGuard: command of enum wg_cmd, flags of NLM_F_*. The attributes are to
 * be put after the header that is returned, which lies in nl->buf.
 */
struct nlmsghdr *netlink_prepare(struct netlink *nl, uint8_t command, uint16_t flags);

/*
 * Sends the request in nl->buf and hands each message of the answer to cb, which returns
 * MNL_CB_OK, or MNL_CB_ERROR with errno set. Returns 0 or -errno; -EINTR: something changed
 * during a dump, so it is not whole.
 */
int netlink_exchange(struct netlink *nl, mnl_cb_t cb, void *data);

#endif
