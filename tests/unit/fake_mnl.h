/* SPDX-License-Identifier: MIT */
/*
 * A make-believe kernel in the place of libmnl's socket functions: it keeps the requests that are
 * sent to it, and answers with the messages that a test has queued.
 */

#ifndef FAKE_MNL_H
#define FAKE_MNL_H

#include <stdbool.h>
#include <stddef.h>
#include <libmnl/libmnl.h>

#define FAKE_FAMILY 33 /* WireGuard's number in generic netlink */
#define FAKE_MAX_MESSAGES 2000
#define FAKE_MESSAGE_SIZE 8192

struct fake_message {
	union {
		struct nlmsghdr header;
		char buf[FAKE_MESSAGE_SIZE];
	};
};

/* The requests kept, but for those that ask for the family, and how many. */
extern struct fake_message fake_requests[FAKE_MAX_MESSAGES];
extern size_t fake_request_count;

/* Whether there's WireGuard in this kernel. */
extern bool fake_has_wireguard;

/* Whether signals come while it is asked. */
extern bool fake_has_signals;

/* Forgets all requests and answers; the kernel has WireGuard, and there are signals. */
void fake_reset(void);

/* Says whether all answers were read and all sockets closed. */
bool fake_is_done(void);

/* Queues an answer without attributes yet; they are to be put after the header returned. */
struct nlmsghdr *fake_answer(uint16_t type, uint16_t flags);

/* Queues an end of a dump (NLMSG_DONE) or an acknowledgement (NLMSG_ERROR), error 0 or -errno. */
struct nlmsghdr *fake_end(uint16_t type, int error);

#endif
