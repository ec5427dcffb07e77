// SPDX-License-Identifier: MIT
/*
 * limit transport | durable FILE: a server at [fe80::%wg0]:970 that does nothing: accepts, reads to
 * the empty line, writes an answer of fixed bytes, closes. `durable' first appends 128 bytes for
 * each request to FILE, with one fdatasync() for all that are ready. What these do is about what a
 * server can that is made likewise: one process, one epoll loop. It may be less than one of more
 * processes does; and where fdatasync() is quick, `durable', which answers many together, may do more
 * than `transport', which answers one by one as they come.
 */

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	RECORD = 128, /* bytes: a lease of two addresses in our journal */
	READY = 1024,
	EVENTS = 256,
};

static const char answer[] = "ip=10.123.123.123/32\nip=2001:db8::1234:5678:9abc:def0/128\n"
			     "leasestart=1795000000\nleasetime=3600\nerrno=0\n\n";

static int epoll_fd, listen_fd, file_fd = -1;
static int ready[READY];
static uint32_t ready_count;
static char records[READY * RECORD];

static int open_listener(const char *interface)
{
	const int one = 1;
	struct sockaddr_in6 address = {
		.sin6_family = AF_INET6,
		.sin6_port = htons(970),
		.sin6_scope_id = if_nametoindex(interface),
	};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET6, "fe80::", &address.sin6_addr);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, SOMAXCONN) < 0)
		err(1, "[fe80::%%%s]:970", interface);
	return fd;
}

static void open_file(const char *name)
{
	file_fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (file_fd < 0 || fsync(file_fd) < 0)
		err(1, "%s", name);
}

static void keep(uint32_t count)
{
	ssize_t len = count * RECORD;

	if (write(file_fd, records, len) != len || fdatasync(file_fd) < 0)
		err(1, "write");
}

static void answer_all(void)
{
	if (ready_count && file_fd >= 0)
		keep(ready_count);
	for (uint32_t i = 0; i < ready_count; ++i) {
		send(ready[i], answer, sizeof(answer) - 1, MSG_NOSIGNAL);
		close(ready[i]);
	}
	ready_count = 0;
}

/* Whether the request was there, or the connection has ended. One comes in one piece. */
static bool take(int fd)
{
	char text[4096];
	ssize_t got = recv(fd, text, sizeof(text), 0);

	if (got < 0 && errno == EAGAIN)
		return false;
	if (got > 1 && !memcmp(text + got - 2, "\n\n", 2)) {
		ready[ready_count++] = fd;
		if (ready_count == READY)
			answer_all();
	} else {
		close(fd);
	}
	return true;
}

static void welcome(void)
{
	struct epoll_event event = { .events = EPOLLIN };
	int fd;

	while ((fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		event.data.fd = fd;
		if (!take(fd) && epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
			err(1, "epoll_ctl");
	}
}

int main(int argc, char **argv)
{
	struct epoll_event events[EVENTS] = { { .events = EPOLLIN } };
	int count;

	if (argc == 3 && !strcmp(argv[1], "durable"))
		open_file(argv[2]);
	else if (argc != 2 || strcmp(argv[1], "transport"))
		errx(1, "usage: limit transport | durable FILE");
	memset(records, 'x', sizeof(records));
	listen_fd = open_listener("wg0");
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	events->data.fd = listen_fd;
	if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, events) < 0)
		err(1, "epoll");
	puts("ready");
	fflush(stdout);
	for (;;) {
		count = epoll_wait(epoll_fd, events, EVENTS, -1);
		for (int i = 0; i < count; ++i) {
			if (events[i].data.fd == listen_fd)
				welcome();
			else
				take(events[i].data.fd);
		}
		answer_all();
	}
}
