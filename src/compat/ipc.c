// SPDX-License-Identifier: MIT
/*
 * Tells the devices of userspace programs from those of the kernel, and has the one or the other
 * backend do what is asked.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <net/if.h>

#include "backend.h"
#include "containers.h"
#include "ipc.h"

bool is_interface_name(const char *name)
{
	return *name && strnlen(name, IFNAMSIZ) < IFNAMSIZ && !strchr(name, '/');
}

int name_list_add(struct name_list *list, const char *name)
{
	size_t size = strlen(name) + 1;
	char *names = realloc(list->names, list->len + size + 1);

	if (!names)
		return -ENOMEM;
	memcpy(names + list->len, name, size);
	list->names = names;
	list->len += size;
	names[list->len] = '\0';
	return 0;
}

int ipc_set_device(struct wgdevice *dev)
{
	int fd, ret;

	ret = fd = is_interface_name(dev->name) ? uapi_connect(dev->name) : -EINVAL;
	if (fd >= 0) {
		ret = uapi_set_device(dev, fd);
		close(fd);
	} else if (fd == -ENOENT) {
		ret = kernel_set_device(dev);
	}
	errno = -ret;
	return ret;
}

int ipc_get_device(struct wgdevice **dev, const char *interface)
{
	int fd, ret;

	*dev = NULL;
	ret = fd = is_interface_name(interface) ? uapi_connect(interface) : -EINVAL;
	if (fd >= 0) {
		ret = uapi_get_device(dev, interface, fd);
		close(fd);
	} else if (fd == -ENOENT) {
		ret = kernel_get_device(dev, interface);
	}
	errno = -ret;
	return ret;
}

char *ipc_list_devices(void)
{
	struct name_list list = { 0 };
	int ret = kernel_list_devices(&list);

	if (!ret)
		ret = uapi_list_devices(&list);
	if (!ret && !list.names) {
		list.names = calloc(1, 1);
		ret = list.names ? 0 : -ENOMEM;
	}
	if (ret) {
		free(list.names);
		list.names = NULL;
	}
	errno = -ret;
	return list.names;
}
