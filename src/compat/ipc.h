/* SPDX-License-Identifier: MIT */
/*
 * Reads and changes WireGuard devices, whether the kernel or a userspace program runs them.
 * A device is userspace if a program listens on its UAPI socket, RUNSTATEDIR/wireguard/NAME.sock.
 */

#ifndef IPC_H
#define IPC_H

struct wgdevice;

/*
 * Makes the changes in dev to the device dev->name: in the order of the list, and each entry by
 * itself, so a peer may be there twice. Lists too long for one netlink message are sent in
 * several. Returns 0, or -errno with errno set alike; then a part may have been done. -ENODEV: no
 * such interface. -EOPNOTSUPP: it is not WireGuard. -EPROTONOSUPPORT: the kernel has no
 * WireGuard. -ETIMEDOUT: the userspace program did not answer for 10 s.
 */
int ipc_set_device(struct wgdevice *dev);

/*
 * Reads the device `interface` whole into *dev, to be freed with free_wgdevice(). Returns 0, or
 * -errno with errno set alike and *dev NULL: as ipc_set_device(), -EINTR if the device kept
 * changing while it was read, or -EPROTO for an answer that makes no sense.
 */
int ipc_get_device(struct wgdevice **dev, const char *interface);

/*
 * Returns the names of all WireGuard interfaces, each ended by a NUL, and an empty one after the
 * last; to be freed with free(). NULL with errno set on error.
 */
char *ipc_list_devices(void);

#endif
