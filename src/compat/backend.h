/* SPDX-License-Identifier: MIT */
/*
 * What the files of this folder share among themselves: list building, and the kernel's and the
 * userspace programs' side of ipc.h. Not for use outside.
 */

#ifndef BACKEND_H
#define BACKEND_H

#include <stdbool.h>
#include <stddef.h>

struct wgallowedip;
struct wgdevice;
struct wgpeer;

/* Names, each ended by a NUL, with an empty one after the last; names is NULL while none is in. */
struct name_list {
	char *names;
	size_t len; /* without the last, empty one */
};

/* Appends a zeroed peer, which the device owns. NULL when out of memory. */
struct wgpeer *add_peer(struct wgdevice *dev);

/* Appends a zeroed entry to the allowed-ips of a peer, which owns it. NULL when out of memory. */
struct wgallowedip *add_allowedip(struct wgpeer *peer);

/* Says whether name can be one of an interface: 1 to IFNAMSIZ - 1 bytes, no '/'. */
bool is_interface_name(const char *name);

/* Appends a copy of name. Returns 0 or -ENOMEM. */
int name_list_add(struct name_list *list, const char *name);

/* As ipc_get_device(), for a device of the kernel. (linux/wireguard.h) */
int kernel_get_device(struct wgdevice **dev, const char *interface);

/* As ipc_set_device(), for a device of the kernel. (linux/wireguard.h) */
int kernel_set_device(const struct wgdevice *dev);

/* Makes list that of the kernel's WireGuard interfaces. Returns 0 or -errno. */
int kernel_list_devices(struct name_list *list);

/*
 * Connects to the UAPI socket of an interface, by a name for which is_interface_name() is true.
 * Returns a descriptor that the caller closes, -ENOENT if there's no socket or nobody listens (so
 * it is none of a userspace program), or another -errno.
 */
int uapi_connect(const char *interface);

/*
 * As ipc_get_device(), over a connection of uapi_connect().
 * (https://www.wireguard.com/xplatform/)
 */
int uapi_get_device(struct wgdevice **dev, const char *interface, int fd);

/* As ipc_set_device(), over a connection of uapi_connect(). */
int uapi_set_device(const struct wgdevice *dev, int fd);

/*
 * Writes the lines of a set request that make the changes in dev, without "set=1" and the end, from
 * `at' on, where there are uapi_device_room(dev) bytes. Returns the place behind, without a NUL.
 */
char *uapi_write_device(char *at, const struct wgdevice *dev);
size_t uapi_device_room(const struct wgdevice *dev);

/*
 * Takes one line of the answer to a get request. value is changed. Returns 0, -EPROTO for a
 * value that makes no sense, or -ENOMEM; after an error dev may hold half of the line.
 */
int uapi_parse_line(struct wgdevice *dev, const char *key, char *value);

/* Reads an error number, which comes with either sign, as 0 or -errno. Returns 0 or -EPROTO. */
int uapi_parse_errno(int *error, const char *text);

/* Appends the names of all interfaces whose UAPI socket answers. Returns 0 or -errno. */
int uapi_list_devices(struct name_list *list);

#endif
