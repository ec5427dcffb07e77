// SPDX-License-Identifier: MIT
/* Bound to the interface and to the link-local: nothing outside the tunnel is ever reached. */

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client-socket.h"
#include "protocol.h"

/* Of this type, non-blocking; -1 with *failure filled in. */
static int open_socket(const struct client_setup *setup, int type, struct failure *failure)
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

void client_socket_connect(const struct client_setup *setup, struct supervisor *supervisor,
			   const struct client_connect *order)
{
	struct client_connect answer = { .head.type = CLIENT_SOCKET, .number = order->number };
	int fd = open_socket(setup, SOCK_STREAM, &answer.failure);

	supervisor_send(supervisor, &answer.head, sizeof(answer), fd);
	if (fd >= 0)
		close(fd);
}

void client_socket_calls(const struct client_setup *setup, struct supervisor *supervisor)
{
	const struct client_plain message = { .head.type = CLIENT_CALLS };
	struct failure failure;
	int fd = open_socket(setup, SOCK_DGRAM, &failure);

	if (fd < 0)
		return;
	supervisor_send(supervisor, &message.head, sizeof(message), fd);
	close(fd);
}
