// SPDX-License-Identifier: MIT
/*
 * limit transport | durable FILE [room]: a server at [fe80::%wg0]:970 that does nothing: accepts,
 * reads to the empty line, writes an answer of fixed bytes, closes. `durable' first appends 128
 * bytes for each request to FILE, with one fdatasync() for all that are ready. With `room' it
 * writes them into room that FILE has already, so that fdatasync() has no length to record, and
 * sends the end of the connection in the answer's packet, as our server does both.
 * What these do is about what a server can that is made likewise: one process, one epoll loop. It
 * may be less than one of more processes does; and where fdatasync() is quick, `durable', which
 * answers many together, may do more than `transport', which answers one by one as they come.
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
	ROOM = 65536, /* bytes, by which our journal becomes longer at most */
	READY = 1024,
	EVENTS = 256,
};

static const char answer[] = "ip=10.123.123.123/32\nip=2001:db8::1234:5678:9abc:def0/128\n"
			     "leasestart=1795000000\nleasetime=3600\nerrno=0\n\n";

static int epoll_fd, listen_fd, file_fd = -1;
static bool with_room;
static off_t end, size; /* of the records, and of FILE */
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

static void put(const char *bytes, ssize_t len, off_t at)
{
	if (pwrite(file_fd, bytes, len, at) != len)
		err(1, "write");
}

static void keep(uint32_t count)
{
	static const char blank[ROOM];
	ssize_t len = count * RECORD;

	put(records, len, end);
	end += len;
	if (with_room && end > size) {
		put(blank, ROOM, end);
		size = end + ROOM;
	}
	if (fdatasync(file_fd) < 0)
		err(1, "fdatasync");
}

static void answer_all(void)
{
	if (ready_count && file_fd >= 0)
		keep(ready_count);
	for (uint32_t i = 0; i < ready_count; ++i) {
		send(ready[i], answer, sizeof(answer) - 1,
		     MSG_NOSIGNAL | (with_room ? MSG_MORE : 0));
		if (with_room)
			shutdown(ready[i], SHUT_WR);
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

	with_room = argc == 4 && !strcmp(argv[3], "room");
	if ((argc == 3 || with_room) && !strcmp(argv[1], "durable"))
		open_file(argv[2]);
	else if (argc != 2 || strcmp(argv[1], "transport"))
		errx(1, "usage: limit transport | durable FILE [room]");
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
