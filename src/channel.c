// SPDX-License-Identifier: MIT
/* Fixed-size messages, checked on arrival. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "channel.h"

struct queued {
	struct queued *next;
	size_t len;
	int fd;
	char bytes[];
};

bool channel_pair(int fds[2])
{
	return !socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds);
}

void channel_open(struct channel *channel, int fd, const struct message_rule *rules,
		  uint32_t types)
{
	*channel = (struct channel){ .fd = fd, .rules = rules, .types = types };
}

/* Takes the first of the queue away. */
static void queue_drop(struct channel *channel)
{
	struct queued *queued = channel->first;

	channel->first = queued->next;
	--channel->queued;
	if (queued->fd >= 0)
		close(queued->fd);
	free(queued);
}

void channel_close(struct channel *channel)
{
	while (channel->first)
		queue_drop(channel);
	if (channel->fd >= 0)
		close(channel->fd);
	channel->fd = -1;
}

static int send_now(struct channel *channel, const void *bytes, size_t len, int fd)
{
	struct iovec iov = { .iov_base = (void *)bytes, .iov_len = len };
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t sent;

	if (fd >= 0) {
		msg.msg_control = control.space;
		msg.msg_controllen = sizeof(control.space);
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(int));
	}
	/* A reset is told once, before all else; what it means is that the other end is gone. */
	do
		sent = sendmsg(channel->fd, &msg, MSG_NOSIGNAL);
	while (sent < 0 && errno == ECONNRESET);
	return sent < 0 ? -errno : 0;
}

int channel_send(struct channel *channel, const struct message *message, size_t len, int fd)
{
	struct queued *queued;
	int ret;

	if (!channel->first) {
		ret = send_now(channel, message, len, fd);
		if (ret != -EAGAIN)
			return ret;
	}
	if (channel->queued == CHANNEL_QUEUE)
		return -ENOBUFS;
	queued = malloc(sizeof(*queued) + len);
	if (!queued)
		return -ENOMEM;
	queued->next = NULL;
	queued->len = len;
	queued->fd = -1;
	if (fd >= 0) {
		queued->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (queued->fd < 0) {
			free(queued);
			return -errno;
		}
	}
	memcpy(queued->bytes, message, len);
	if (channel->first)
		channel->last->next = queued;
	else
		channel->first = queued;
	channel->last = queued;
	++channel->queued;
	return 0;
}

int channel_flush(struct channel *channel)
{
	int ret;

	while (channel->first) {
		ret = send_now(channel, channel->first->bytes, channel->first->len,
			       channel->first->fd);
		if (ret)
			return ret == -EAGAIN ? 0 : ret;
		queue_drop(channel);
	}
	return 0;
}

static bool message_valid(const struct channel *channel, const struct message *message,
			  size_t len, bool descriptor)
{
	const struct message_rule *rule;

	if (len < sizeof(*message) || message->type >= channel->types)
		return false;
	rule = &channel->rules[message->type];
	return rule->fixed && message->count <= rule->most &&
	       len == rule->fixed + (size_t)rule->item * message->count &&
	       (rule->descriptor || !descriptor);
}

int channel_receive(struct channel *channel, union message_buffer *buf, int *fd)
{
	struct iovec iov = { .iov_base = buf->bytes, .iov_len = sizeof(buf->bytes) };
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		/* Room for just one: the padding of CMSG_SPACE() would let in a second. */
		.msg_controllen = CMSG_LEN(sizeof(int)),
	};
	struct cmsghdr *head;
	ssize_t len;

	*fd = -1;
	/* If the other end closed with messages unread, that is told before what it had sent. */
	do
		len = recvmsg(channel->fd, &msg, MSG_CMSG_CLOEXEC);
	while (len < 0 && errno == ECONNRESET);
	if (len <= 0)
		return len < 0 ? -errno : 0;
	head = CMSG_FIRSTHDR(&msg);
	if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(head), sizeof(int));
	/* Without a descriptor to spare the one that came is lost: that is nobody's fault. */
	if (!(msg.msg_flags & MSG_TRUNC) && (*fd < 0 || !(msg.msg_flags & MSG_CTRUNC)) &&
	    message_valid(channel, &buf->head, len, *fd >= 0))
		return len;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	return -EPROTO;
}
