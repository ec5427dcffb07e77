// SPDX-License-Identifier: MIT
/* The simulated connections, the channel to the monitor and the loop. */

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "kernel.h"

struct sim_socket sim_sockets[SIM_CONNECTIONS];
struct sim_queue sim_to_engine = { .end = &sim_to_engine.first };
struct sim_queue sim_to_monitor = { .end = &sim_to_monitor.first };

static struct watch *listener, *monitor;

void *__real_malloc(size_t len);
void __real_free(void *at);
int __real_close(int fd);

/* --- connections --- */

static struct sim_socket *socket_of(int fd)
{
	return &sim_sockets[fd - SIM_SOCKETS];
}

void sim_connections_end(void)
{
	listener = monitor = NULL;
	for (int i = 0; i < SIM_CONNECTIONS; ++i)
		sim_sockets[i].used = false;
}

void sim_closed(int fd)
{
	socket_of(fd)->closed = true;
	socket_of(fd)->watch = NULL;
}

struct sim_socket *sim_connect(const uint8_t from[static 16], uint16_t port)
{
	struct sim_socket *s = sim_sockets;

	while (s < sim_sockets + SIM_CONNECTIONS && s->used)
		++s;
	if (s == sim_sockets + SIM_CONNECTIONS)
		return NULL;
	s->used = true;
	s->accepted = s->closed = s->eof = s->edge = false;
	s->port = port;
	s->in_len = s->out_len = 0;
	s->out_room = SIM_BACKLOG;
	s->watch = NULL;
	memcpy(s->from, from, sizeof(s->from));
	return s;
}

void sim_send(struct sim_socket *s, const char *bytes, size_t len)
{
	if (len > sizeof(s->in) - s->in_len)
		len = sizeof(s->in) - s->in_len;
	memcpy(s->in + s->in_len, bytes, len);
	s->in_len += len;
	s->edge = true;
}

void sim_hang_up(struct sim_socket *s)
{
	s->eof = s->edge = true;
	if (!s->accepted)
		s->used = false;
}

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags)
{
	struct sockaddr_in6 *from = (struct sockaddr_in6 *)address;

	(void)fd;
	(void)len;
	(void)flags;
	sim_system_call();
	for (int i = 0; i < SIM_CONNECTIONS; ++i) {
		struct sim_socket *s = &sim_sockets[i];

		if (!s->used || s->accepted)
			continue;
		s->accepted = true;
		*from = (struct sockaddr_in6){ .sin6_family = AF_INET6,
					       .sin6_port = htons(s->port) };
		memcpy(&from->sin6_addr, s->from, sizeof(s->from));
		return SIM_SOCKETS + i;
	}
	errno = EAGAIN;
	return -1;
}

ssize_t __wrap_recv(int fd, void *buf, size_t len, int flags)
{
	struct sim_socket *s = socket_of(fd);

	(void)flags;
	sim_system_call();
	if (!s->in_len && s->eof)
		return 0;
	if (!s->in_len) {
		errno = EAGAIN;
		return -1;
	}
	if (len > s->in_len)
		len = s->in_len;
	memcpy(buf, s->in, len);
	memmove(s->in, s->in + len, s->in_len - len);
	s->in_len -= len;
	return len;
}

/* What has been sent has arrived here already. */
int __wrap_shutdown(int fd, int how)
{
	(void)fd;
	(void)how;
	sim_system_call();
	return 0;
}

ssize_t __wrap_send(int fd, const void *buf, size_t len, int flags)
{
	struct sim_socket *s = socket_of(fd);

	(void)flags;
	sim_system_call();
	if (!s->out_room || s->out_len == sizeof(s->out)) {
		errno = EAGAIN;
		return -1;
	}
	if (len > s->out_room)
		len = s->out_room;
	if (len > sizeof(s->out) - s->out_len)
		len = sizeof(s->out) - s->out_len;
	memcpy(s->out + s->out_len, buf, len);
	s->out_len += len;
	s->out_room -= len;
	return len;
}

ssize_t __wrap_sendto(int fd, const void *buf, size_t len, int flags,
		      const struct sockaddr *address, socklen_t address_len)
{
	(void)fd;
	(void)buf;
	(void)flags;
	(void)address;
	(void)address_len;
	sim_system_call();
	return len;
}

/* --- the channel --- */

void sim_queue_add(struct sim_queue *queue, const void *message, size_t len, int fd)
{
	struct sim_message *new = __real_malloc(sizeof(*new));

	new->next = NULL;
	new->len = len;
	new->fd = fd;
	new->note = 0;
	memcpy(&new->buffer, message, len);
	*queue->end = new;
	queue->end = &new->next;
}

struct sim_message *sim_queue_take(struct sim_queue *queue)
{
	struct sim_message *message = queue->first;

	if (message && !(queue->first = message->next))
		queue->end = &queue->first;
	return message;
}

void sim_message_free(struct sim_message *message)
{
	__real_free(message);
}

void sim_queue_clear(struct sim_queue *queue)
{
	struct sim_message *message;

	while ((message = sim_queue_take(queue))) {
		if (message->fd >= 0 && message->fd < SIM_FD)
			__real_close(message->fd);
		sim_message_free(message);
	}
}

/* Nobody here starts processes. */
bool channel_pair(int fds[2])
{
	(void)fds;
	abort();
}

void channel_open(struct channel *channel, int fd, const struct message_rule *rules,
		  uint32_t types)
{
	*channel = (struct channel){ .fd = fd, .rules = rules, .types = types };
}

int channel_send(struct channel *channel, const struct message *message, size_t len, int fd)
{
	(void)channel;
	sim_system_call();
	sim_queue_add(&sim_to_monitor, message, len, fd);
	return 0;
}

int channel_flush(struct channel *channel)
{
	(void)channel;
	return 0;
}

int channel_receive(struct channel *channel, union message_buffer *buf, int *fd)
{
	struct sim_message *message;
	int len;

	(void)channel;
	sim_system_call();
	message = sim_queue_take(&sim_to_engine);
	if (!message)
		return -EAGAIN;
	memcpy(buf, &message->buffer, message->len);
	*fd = message->fd;
	sim_hand(*fd);
	len = message->len;
	sim_message_free(message);
	return len;
}

/* --- the loop --- */

bool loop_open(struct loop *loop)
{
	*loop = (struct loop){ .epoll_fd = -1 };
	return true;
}

void loop_close(struct loop *loop)
{
	(void)loop;
}

/* The test itself goes round. */
void loop_run(struct loop *loop, uint64_t (*turn)(void *data), void *data)
{
	(void)loop;
	(void)turn;
	(void)data;
	abort();
}

bool loop_add(struct loop *loop, struct watch *watch, uint32_t events)
{
	(void)loop;
	sim_system_call();
	watch->events = events;
	watch->added = true;
	if (watch->fd >= SIM_SOCKETS)
		socket_of(watch->fd)->watch = watch;
	else if (watch->fd == SIM_LISTENER)
		listener = watch;
	else
		monitor = watch;
	return true;
}

bool loop_watch(struct loop *loop, struct watch *watch, int fd,
		void (*ready)(struct watch *watch, uint32_t events))
{
	*watch = (struct watch){ .fd = fd, .ready = ready };
	return loop_add(loop, watch, EPOLLIN);
}

void loop_change(struct loop *loop, struct watch *watch, uint32_t events)
{
	(void)loop;
	if (!watch->added || watch->events == events)
		return;
	sim_system_call();
	watch->events = events;
	if (watch->fd >= SIM_SOCKETS)
		socket_of(watch->fd)->edge = true;
}

void loop_remove(struct loop *loop, struct watch *watch)
{
	(void)loop;
	if (watch->added && watch->fd >= SIM_SOCKETS)
		socket_of(watch->fd)->watch = NULL;
	watch->added = false;
}

void loop_close_watch(struct loop *loop, struct watch *watch)
{
	loop_remove(loop, watch);
	if (watch->fd >= 0)
		close(watch->fd);
	watch->fd = -1;
}

static bool waits_for_accept(void)
{
	for (int i = 0; i < SIM_CONNECTIONS; ++i) {
		if (sim_sockets[i].used && !sim_sockets[i].accepted)
			return true;
	}
	return false;
}

static bool has_event(const struct sim_socket *s)
{
	return s->used && s->watch && s->edge;
}

bool sim_pending(void)
{
	if ((monitor && sim_to_engine.first) ||
	    (listener && listener->events & EPOLLIN && waits_for_accept()))
		return true;
	for (int i = 0; i < SIM_CONNECTIONS; ++i) {
		if (has_event(&sim_sockets[i]))
			return true;
	}
	return false;
}

void sim_deliver(void)
{
	sim_system_call();
	if (monitor && sim_to_engine.first)
		monitor->ready(monitor, EPOLLIN);
	if (listener && listener->events & EPOLLIN && waits_for_accept())
		listener->ready(listener, EPOLLIN);
	for (int i = 0; i < SIM_CONNECTIONS; ++i) {
		struct sim_socket *s = &sim_sockets[i];

		if (!has_event(s))
			continue;
		s->edge = false;
		s->watch->ready(s->watch, EPOLLIN | (s->out_room ? EPOLLOUT : 0) |
						  (s->eof ? EPOLLRDHUP : 0));
	}
}
