// SPDX-License-Identifier: MIT
/* Bound to the interface and to the link-local: nothing outside the tunnel is ever reached. */

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client-socket.h"
#include "protocol.h"

int client_socket(const struct client_setup *setup, int type, struct failure *failure)
{
	const struct linger linger = { .l_onoff = 1 }; /* see client.c */
	const int one = 1;
	struct sockaddr_in6 address = {
		.sin6_family = AF_INET6,
		.sin6_port = htons(PROTOCOL_PORT),
		.sin6_scope_id = setup->ifindex,
	};
	const char *interface = setup->interface;
	int fd = socket(AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	memcpy(&address.sin6_addr, setup->link_local.ip, sizeof(address.sin6_addr));
	failure->kind = FAILURE_SOCKET;
	if (fd < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface, strlen(interface) + 1) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		goto failed;
	memcpy(&address.sin6_addr, client_server_address.ip, sizeof(address.sin6_addr));
	failure->kind = FAILURE_CONNECT;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 && errno != EINPROGRESS)
		goto failed;
	failure->kind = FAILURE_NONE;
	return fd;

failed:
	failure->error = errno;
	if (fd >= 0)
		close(fd);
	return -1;
}
