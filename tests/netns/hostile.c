// SPDX-License-Identifier: MIT
/*
 * The daemons with another engine, that of somebody who has taken it over: linked in front of
 * server_engine() and client_engine(), it sends their monitor what $WG_HOSTILE says, and ends. The
 * next engine is the real one. That of a server begins when the device has been read.
 *
 * $WG_HOSTILE is a list of steps with blanks between: values, NAME=VALUE, of all that is sent from
 * then on; or messages, [TIMES*]NAME, as the tables below have them. Also:
 *   bytes=LENGTH,COUNT,TYPE  a message with these in its head
 *   fds=N                    so many descriptors come with each message from now on
 *   mute                     nothing of what the monitor says is read from now on
 *   hang                     stays, until it is killed
 *   pester                   likewise, and wants a reading a hundred times a second
 */

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"
#include "encoding.h"
#include "loop.h"
#include "server.h"

int __real_server_engine(int fd);
int __real_client_engine(int fd);
int __wrap_server_engine(int fd);
int __wrap_client_engine(int fd);

static struct {
	int fd, epoll_fd;
	uint32_t fds;
	bool mute;
	struct server_orders orders;
	struct server_log log;
	struct client_change change;
	struct client_connect connect;
} state;

static uint32_t *engines; /* that have been started, known to all of them */

__attribute__((constructor)) static void share(void)
{
	engines = mmap(NULL, sizeof(*engines), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
}

/* --- the channel --- */

static void listen_all(void)
{
	char buf[CHANNEL_MESSAGE];

	while (!state.mute && recv(state.fd, buf, sizeof(buf), 0) > 0)
		;
}

static void send_bytes(const void *bytes, size_t len)
{
	struct iovec iov = { .iov_base = (void *)bytes, .iov_len = len };
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(4 * sizeof(int))];
	} control = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct epoll_event event;

	if (state.fds) {
		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE(state.fds * sizeof(int));
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(state.fds * sizeof(int)); /* of /dev/null */
	}
	listen_all(); /* else it might be cut off before it has said all */
	while (sendmsg(state.fd, &msg, MSG_NOSIGNAL) < 0) {
		if (errno != EAGAIN)
			_exit(1);
		epoll_wait(state.epoll_fd, &event, 1, 10);
		listen_all();
	}
}

static void send_plain(uint32_t type)
{
	const struct message message = { .type = type };

	send_bytes(&message, sizeof(message));
}

static void send_orders(uint32_t type)
{
	state.orders.head.type = type;
	send_bytes(&state.orders, SERVER_LENGTH(&state.orders, changes));
	++state.orders.order;
}

/* Each for another address, which comes behind that of the one before. */
static void send_next(uint32_t type)
{
	static struct cidr ip;

	if (!ip.family)
		ip = state.orders.changes[0].ip;
	for (uint32_t i = 0; i < state.orders.head.count; ++i) {
		for (int byte = 15; !++ip.ip[byte] && byte; --byte)
			;
		state.orders.changes[i].ip = ip;
	}
	send_orders(type);
}

static void send_log(uint32_t type)
{
	state.log.head.type = type;
	send_bytes(&state.log, SERVER_LENGTH(&state.log, items));
}

static void send_change(uint32_t type)
{
	state.change.head.type = type;
	send_bytes(&state.change, sizeof(state.change));
}

static void send_connect(uint32_t type)
{
	state.connect.head.type = type;
	send_bytes(&state.connect, sizeof(state.connect));
	++state.connect.number;
}

static const struct message_step {
	const char *name;
	void (*send)(uint32_t type);
	uint32_t type;
} messages[] = {
	{ "ready", send_plain, SERVER_READY },
	{ "read", send_plain, SERVER_READ },
	{ "allow", send_orders, SERVER_ALLOW }, /* ip to key, by them all */
	{ "next", send_next, SERVER_ALLOW }, /* allow, to one address after the other */
	{ "take", send_orders, SERVER_TAKE },
	{ "new-journal", send_plain, SERVER_NEW_JOURNAL },
	{ "rename", send_plain, SERVER_RENAME },
	{ "log", send_log, SERVER_LOG },
	{ "stopped", send_plain, SERVER_STOPPED },
	{ "connect", send_connect, CLIENT_CONNECT },
	{ "change", send_change, CLIENT_CHANGE },
	{ "finished", send_plain, CLIENT_FINISHED },
};

/* --- values --- */

static struct device_change *last_order(void)
{
	return &state.orders.changes[state.orders.head.count - 1];
}

static void set_key(const char *value)
{
	key_from_base64(last_order()->key, value);
	memcpy(state.log.items[0].key, last_order()->key, KEY_LEN);
}

static void set_ip(const char *value)
{
	cidr_parse(&last_order()->ip, value, strlen(value));
}

static void set_family(const char *value)
{
	last_order()->ip.family = atoi(value);
}

static void set_prefix(const char *value)
{
	last_order()->ip.prefix = atoi(value);
}

static void set_has_key(const char *value)
{
	state.log.items[0].has_key = atoi(value);
}

static void set_from_family(const char *value)
{
	state.log.items[0].from.family = atoi(value);
}

/* So many in one message from now on: the first of them over and over. */
static void set_count(const char *value)
{
	state.orders.head.count = state.log.head.count = atoi(value);
	for (uint32_t i = 1; i < state.orders.head.count; ++i)
		state.orders.changes[i] = state.orders.changes[0];
	for (uint32_t i = 1; i < state.log.head.count && i < SERVER_LOG_ITEMS; ++i)
		state.log.items[i] = state.log.items[0];
	if (state.log.head.count > SERVER_LOG_ITEMS)
		state.log.head.count = SERVER_LOG_ITEMS;
}

/* Numbers that are one 32-bit field, by its place. */
static const struct number_step {
	const char *name;
	void *field;
} numbers[] = {
	{ "fds", &state.fds },
	{ "event", &state.log.items[0].event },
	{ "reason", &state.log.items[0].reason },
	{ "error", &state.log.items[0].error },
	{ "set", &state.change.set },
	{ "report", &state.change.report },
	{ "unasked", &state.change.unasked },
	{ "lease-time", &state.change.lease_time },
	{ "kind", &state.change.failure.kind },
	{ "errno", &state.change.failure.error },
	{ "status", &state.change.failure.status },
	{ "routes", &state.change.options.routes },
	{ "dns-count", &state.change.options.dns_count },
	{ "searches", &state.change.options.searches },
	{ "mtu", &state.change.options.mtu },
	{ "dropped", &state.change.options.dropped },
};

static void set_lease4(const char *value)
{
	cidr_parse(&state.change.lease.ip[V4], value, strlen(value));
}

static void set_lease6(const char *value)
{
	cidr_parse(&state.change.lease.ip[V6], value, strlen(value));
}

static void set_lease_family(const char *value)
{
	state.change.lease.ip[V4].family = atoi(value);
}

static void set_lease_prefix(const char *value)
{
	state.change.lease.ip[V4].prefix = atoi(value);
}

/* In seconds from now. */
static void set_until(const char *value)
{
	state.change.lease.until = now_ms() + strtoull(value, NULL, 10) * 1000;
}

static void set_route(const char *value)
{
	struct options *o = &state.change.options;

	cidr_parse(&o->route[o->routes++], value, strlen(value));
}

static void set_dns(const char *value)
{
	struct options *o = &state.change.options;

	cidr_parse(&o->dns[o->dns_count++], value, strlen(value));
}

/* To the end of its room, where it is longer. */
static void set_search(const char *value)
{
	struct options *o = &state.change.options;

	strncpy(o->search[o->searches++], value, DOMAIN_LEN);
}

static void set_nothing(const char *value)
{
	(void)value;
	memset(&state.change, 0, sizeof(state.change));
}

static void send_any(const char *value)
{
	static char bytes[2 * CHANNEL_MESSAGE];
	struct message *head = (struct message *)bytes;
	char *end;
	size_t len = strtoul(value, &end, 0);

	head->count = strtoul(end + 1, &end, 0);
	head->type = strtoul(end + 1, &end, 0);
	send_bytes(bytes, len);
}

static const struct value_step {
	const char *name;
	void (*set)(const char *value);
} values[] = {
	{ "key", set_key },
	{ "ip", set_ip },
	{ "family", set_family },
	{ "prefix", set_prefix },
	{ "count", set_count },
	{ "has-key", set_has_key },
	{ "from-family", set_from_family },
	{ "lease4", set_lease4 },
	{ "lease6", set_lease6 },
	{ "lease-family", set_lease_family },
	{ "lease-prefix", set_lease_prefix },
	{ "until", set_until },
	{ "route", set_route },
	{ "dns", set_dns },
	{ "search", set_search },
	{ "nothing", set_nothing },
	{ "bytes", send_any },
};

/* --- steps --- */

enum { VALUES = sizeof(values) / sizeof(*values), NUMBERS = sizeof(numbers) / sizeof(*numbers),
       MESSAGES = sizeof(messages) / sizeof(*messages) };

static void assign(const char *name, const char *value)
{
	uint32_t number = strtoul(value, NULL, 0);

	for (int i = 0; i < VALUES; ++i) {
		if (!strcmp(values[i].name, name)) {
			values[i].set(value);
			return;
		}
	}
	for (int i = 0; i < NUMBERS; ++i) {
		if (!strcmp(numbers[i].name, name)) {
			memcpy(numbers[i].field, &number, sizeof(number));
			return;
		}
	}
	_exit(99); /* which the test sees in the log */
}

static void message(const char *name, unsigned long times)
{
	for (int i = 0; i < MESSAGES; ++i) {
		if (strcmp(messages[i].name, name))
			continue;
		while (times--)
			messages[i].send(messages[i].type);
		return;
	}
	_exit(99);
}

static void step(char *text)
{
	char *equals = strchr(text, '='), *star = strchr(text, '*');
	struct epoll_event event;

	if (equals) {
		*equals = '\0';
		assign(text, equals + 1);
	} else if (star) {
		message(star + 1, strtoul(text, NULL, 10));
	} else if (!strcmp(text, "mute")) {
		state.mute = true;
	} else if (!strcmp(text, "hang") || !strcmp(text, "pester")) {
		for (;;) {
			epoll_wait(state.epoll_fd, &event, 1, 10);
			listen_all();
			if (*text == 'p')
				send_plain(SERVER_READ);
		}
	} else {
		message(text, 1);
	}
}

/* Before that the monitor knows no peer, and refuses all. */
static void await_reading(void)
{
	struct epoll_event event;
	union message_buffer buffer = { 0 };

	while (buffer.head.type != SERVER_READING) {
		if (recv(state.fd, &buffer, sizeof(buffer), 0) < 0)
			epoll_wait(state.epoll_fd, &event, 1, 10);
	}
}

static int hostile(int fd, bool server)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET };
	char *script = getenv("WG_HOSTILE"), *text;

	state.fd = fd;
	state.epoll_fd = epoll_create1(0);
	epoll_ctl(state.epoll_fd, EPOLL_CTL_ADD, fd, &event);
	if (server)
		await_reading();
	state.orders.head.count = state.log.head.count = 1;
	state.change.set = 1;
	while ((text = strsep(&script, " \n\t"))) {
		if (*text)
			step(text);
	}
	return 0;
}

int __wrap_server_engine(int fd)
{
	return (*engines)++ ? __real_server_engine(fd) : hostile(fd, true);
}

int __wrap_client_engine(int fd)
{
	return (*engines)++ ? __real_client_engine(fd) : hostile(fd, false);
}
