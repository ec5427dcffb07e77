/* SPDX-License-Identifier: MIT */
/*
 * The channel between monitor and engine: a SOCK_SEQPACKET pair that carries fixed-size structs.
 * Each message is a header and count items of one size; all that arrives is checked against a
 * table before anybody sees it, since the other end may have been taken over. Never blocks.
 */

#ifndef CHANNEL_H
#define CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	CHANNEL_MESSAGE = 8192, /* bytes, the largest message */
	CHANNEL_QUEUE = 4096, /* messages that may wait for the other end */
};

/* The head of each message; what follows belongs to its type. */
struct message {
	uint32_t type;
	uint32_t count; /* items behind the fixed part */
};

/* Room for any message. */
union message_buffer {
	struct message head;
	uint64_t align;
	char bytes[CHANNEL_MESSAGE];
};

/* What a type must look like; type 0 does not exist, and a rule of all zeros forbids a type. */
struct message_rule {
	uint16_t fixed; /* bytes before the items, the head included */
	uint16_t item; /* bytes of an item */
	uint16_t most; /* items */
	bool descriptor; /* may bring one descriptor */
};

struct channel {
	int fd;
	const struct message_rule *rules; /* of what arrives here */
	uint32_t types; /* of rules */
	struct queued *first, *last; /* sent, but not yet taken by the kernel; in order */
	uint32_t queued;
};

/* Makes both ends, non-blocking and close-on-exec; false with errno set. */
bool channel_pair(int fds[2]);

/* An end at this descriptor, which the channel owns from now on. */
void channel_open(struct channel *channel, int fd, const struct message_rule *rules,
		  uint32_t types);
void channel_close(struct channel *channel);

/*
 * Sends message (its type and count set) of len bytes, with a descriptor unless fd is -1; fd
 * stays the caller's. What the socket can't take is kept and sent by channel_flush(). Returns 0,
 * or -errno: -ENOBUFS when too much waits, -EPIPE when the other end is gone.
 */
int channel_send(struct channel *channel, const struct message *message, size_t len, int fd);

/* Sends what waits, as far as it goes: call it at EPOLLOUT. As channel_send(). */
int channel_flush(struct channel *channel);

/*
 * Takes one message into buf, and the descriptor that came with it into *fd (-1: none; it is the
 * caller's). Returns its length; 0 when the other end is gone; -EAGAIN; -EPROTO for a message that
 * breaks the rules (it is dropped, its descriptor closed); or another -errno.
 */
int channel_receive(struct channel *channel, union message_buffer *buf, int *fd);

#endif
