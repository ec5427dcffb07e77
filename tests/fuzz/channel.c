// SPDX-License-Identifier: MIT
/*
 * The framing of messages between monitor and engine, by real sockets: of whatever one end sends,
 * with descriptors or without, the other takes what a table says that is written anew here, as it
 * was sent, and nothing else. No descriptor is lost or left open.
 */

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "channel.h"
#include "client.h"
#include "fuzz.h"
#include "server.h"

enum { STEPS = 64, SENT = CHANNEL_MESSAGE + 64, FDS = 2 };

/* What a type has: bytes; for each item, and so many at most; a descriptor, perhaps. */
struct shape {
	uint32_t type;
	size_t bytes, item, items;
	bool descriptor;
};

enum { HEAD = 8 };

static const struct shape to_client_engine[] = {
	{ CLIENT_START, sizeof(struct client_start), 0, 0, true },
	{ CLIENT_SOCKET, sizeof(struct client_connect), 0, 0, true },
	{ CLIENT_LINK, sizeof(struct client_link), 0, 0, false },
	{ CLIENT_NETWORK, sizeof(struct client_network), 0, 0, false },
	{ CLIENT_CALLS, HEAD, 0, 0, true }, { CLIENT_STOP, HEAD, 0, 0, false }, { 0 },
}, to_client_monitor[] = {
	{ CLIENT_CONNECT, sizeof(struct client_connect), 0, 0, false },
	{ CLIENT_CHANGE, sizeof(struct client_change), 0, 0, false },
	{ CLIENT_FINISHED, HEAD, 0, 0, false }, { 0 },
}, to_server_engine[] = {
	{ SERVER_START, sizeof(struct server_start), 0, 0, false },
	{ SERVER_SETTINGS, offsetof(struct server_settings, nets), sizeof(struct cidr),
	  POOLS + EXCLUDES, true },
	{ SERVER_LISTEN, HEAD, 0, 0, true }, { SERVER_CALLER, HEAD, 0, 0, true },
	{ SERVER_CONTROL, HEAD, 0, 0, true },
	{ SERVER_JOURNAL, sizeof(struct server_journal), 0, 0, true },
	{ SERVER_READING, sizeof(struct server_reading), 0, 0, true },
	{ SERVER_DONE, HEAD + 8, 1, DEVICE_BATCH, false },
	{ SERVER_JOURNAL_GONE, HEAD, 0, 0, false },
	{ SERVER_RENAMED, sizeof(struct server_journal), 0, 0, false },
	{ SERVER_RELOAD, sizeof(struct server_reload), 0, 0, false },
	{ SERVER_STOP, HEAD, 0, 0, false }, { 0 },
}, to_server_monitor[] = {
	{ SERVER_READY, HEAD, 0, 0, false }, { SERVER_READ, HEAD, 0, 0, false },
	{ SERVER_ALLOW, HEAD + 4, sizeof(struct device_change), DEVICE_BATCH, false },
	{ SERVER_TAKE, HEAD + 4, sizeof(struct device_change), DEVICE_BATCH, false },
	{ SERVER_NEW_JOURNAL, HEAD, 0, 0, false }, { SERVER_RENAME, HEAD, 0, 0, false },
	{ SERVER_LOG, offsetof(struct server_log, items), sizeof(struct server_log_item),
	  SERVER_LOG_ITEMS, false },
	{ SERVER_STOPPED, HEAD, 0, 0, false }, { 0 },
};

static const struct end {
	const struct shape *shapes;
	const struct message_rule *rules;
	uint32_t types;
} ends[] = {
	{ to_client_engine, client_engine_rules, CLIENT_TYPES },
	{ to_client_monitor, client_monitor_rules, CLIENT_TYPES },
	{ to_server_engine, server_engine_rules, SERVER_TYPES },
	{ to_server_monitor, server_monitor_rules, SERVER_TYPES },
};

static const struct shape *shape_of(const struct end *end, uint32_t type)
{
	const struct shape *shape = end->shapes;

	while (shape->type && shape->type != type)
		++shape;
	return shape->type ? shape : NULL;
}

static bool shall_pass(const struct end *end, const union message_buffer *message, size_t len,
		       int fds)
{
	const struct shape *shape;

	if (len < HEAD || len > CHANNEL_MESSAGE || !message->head.type)
		return false;
	shape = shape_of(end, message->head.type);
	return shape && message->head.count <= shape->items && fds <= shape->descriptor &&
	       len == shape->bytes + message->head.count * shape->item;
}

/* The number that the next descriptor gets: another one, if some are left open. */
static int next_fd(void)
{
	int fd = dup(STDERR_FILENO);

	must(fd >= 0 && !close(fd));
	return fd;
}

static void send_raw(int to, const void *bytes, size_t len, int fds)
{
	const int passed[FDS] = { STDIN_FILENO, STDERR_FILENO };
	struct iovec iov = { (void *)bytes, len };
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(passed))];
	} control = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fds) {
		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE(fds * sizeof(int));
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(fds * sizeof(int));
		memcpy(CMSG_DATA(&control.head), passed, fds * sizeof(int));
	}
	must(sendmsg(to, &msg, MSG_NOSIGNAL) == (ssize_t)len);
}

/* Lengths are mostly right, or wrong by a little. */
static size_t input_message(struct input *input, const struct end *end, char bytes[static SENT])
{
	const struct shape *shape;
	struct message head = { input_byte(input), 0 };
	uint8_t how = input_byte(input);
	size_t len;

	head.count = input_byte(input);
	if (how & 0x80)
		head.count = head.count << 24 | input_byte(input);
	if (how & 0x40)
		head.type |= (uint32_t)input_byte(input) << 8;
	shape = shape_of(end, head.type);
	len = shape ? shape->bytes + head.count * shape->item : HEAD;
	if (how & 0x20)
		len += (int8_t)input_byte(input);
	if (how & 0x10)
		len = input_byte(input) << 8 | input_byte(input);
	memset(bytes, input_byte(input), SENT);
	memcpy(bytes, &head, sizeof(head));
	return len && len <= SENT ? len : 1; /* nothing at all is the end */
}

static void step(struct input *input, const struct end *end, int from, struct channel *channel)
{
	static union { union message_buffer message; char bytes[SENT]; } sent;
	static union message_buffer got;
	size_t len = input_message(input, end, sent.bytes);
	int fds = input_byte(input) % (FDS + 1), before = next_fd(), fd, ret;

	send_raw(from, sent.bytes, len, fds);
	ret = channel_receive(channel, &got, &fd);
	if (shall_pass(end, &sent.message, len, fds)) {
		must(ret == (int)len && !memcmp(&got, &sent, len));
		must((fd >= 0) == fds);
		must(fd < 0 || fcntl(fd, F_GETFD) == FD_CLOEXEC);
	} else {
		must(ret == -EPROTO && fd == -1);
	}
	if (fd >= 0)
		close(fd);
	must(next_fd() == before);
	must(channel_receive(channel, &got, &fd) == -EAGAIN && fd == -1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct input input = { data, len };
	const struct end *end = &ends[input_byte(&input) % 4];
	struct channel channel;
	int fds[2];

	must(channel_pair(fds));
	channel_open(&channel, fds[0], end->rules, end->types);
	for (int i = 0; i < STEPS && input.len; ++i)
		step(&input, end, fds[1], &channel);
	close(fds[1]);
	channel_close(&channel);
	return 0;
}
