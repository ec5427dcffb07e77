// SPDX-License-Identifier: MIT
/*
 * The make-believe kernel of fake_mnl.h.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <linux/genetlink.h>
#include <linux/rtnetlink.h>
#include <cmocka.h>

#include "fake_mnl.h"

#define PORT 4711

struct fake_message fake_requests[FAKE_MAX_MESSAGES];
size_t fake_request_count;
bool fake_has_wireguard, fake_has_signals;

static struct fake_message answers[FAKE_MAX_MESSAGES];
static size_t answers_queued, answers_given;
static bool is_family_asked;
static int open_sockets;

struct mnl_socket *mnl_socket_open2(int bus, int flags)
{
	assert_true(bus == NETLINK_GENERIC || bus == NETLINK_ROUTE);
	assert_int_equal(flags, SOCK_CLOEXEC);
	open_sockets++;
	return (struct mnl_socket *)&open_sockets;
}

int mnl_socket_bind(struct mnl_socket *nl, unsigned int groups, pid_t pid)
{
	return nl && !groups && pid == MNL_SOCKET_AUTOPID ? 0 : -1;
}

unsigned int mnl_socket_get_portid(const struct mnl_socket *nl)
{
	return nl ? PORT : 0;
}

int mnl_socket_close(struct mnl_socket *nl)
{
	open_sockets--;
	return nl ? 0 : -1;
}

static struct nlmsghdr *begin(void *buf, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *header = mnl_nlmsg_put_header(buf);

	header->nlmsg_type = type;
	header->nlmsg_flags = flags;
	header->nlmsg_pid = PORT;
	return header;
}

static struct nlmsghdr *put_end(void *buf, uint16_t type, int error)
{
	struct nlmsghdr *header = begin(buf, type, 0);

	*(int *)mnl_nlmsg_put_extra_header(header, sizeof(struct nlmsgerr)) = error;
	return header;
}

/* Two messages at once. */
static size_t answer_family(char *buf)
{
	struct nlmsghdr *header;
	size_t len = 0;

	if (fake_has_wireguard) {
		header = begin(buf, GENL_ID_CTRL, 0);
		mnl_nlmsg_put_extra_header(header, sizeof(struct genlmsghdr));
		mnl_attr_put_u16(header, CTRL_ATTR_FAMILY_ID, FAKE_FAMILY);
		len = header->nlmsg_len;
	}
	return len + put_end(buf + len, NLMSG_ERROR, fake_has_wireguard ? 0 : -ENOENT)->nlmsg_len;
}

ssize_t mnl_socket_sendto(const struct mnl_socket *nl, const void *buf, size_t len)
{
	const struct nlmsghdr *header = buf;

	(void)nl;
	assert_true(len <= FAKE_MESSAGE_SIZE);
	assert_int_equal(len, header->nlmsg_len);
	assert_true(header->nlmsg_flags & NLM_F_REQUEST);
	if (header->nlmsg_type == GENL_ID_CTRL) {
		is_family_asked = true;
		return len;
	}
	assert_in_range(header->nlmsg_type, RTM_BASE, RTM_MAX);
	assert_true(fake_request_count < FAKE_MAX_MESSAGES);
	memcpy(fake_requests[fake_request_count++].buf, buf, len);
	return len;
}

/* With signals, every other call is interrupted by one. */
ssize_t mnl_socket_recvfrom(const struct mnl_socket *nl, void *buf, size_t size)
{
	static bool is_interrupted;
	const struct fake_message *message;

	(void)nl;
	is_interrupted = fake_has_signals && !is_interrupted;
	if (is_interrupted) {
		errno = EINTR;
		return -1;
	}
	if (is_family_asked) {
		is_family_asked = false;
		return answer_family(buf);
	}
	assert_true(answers_given < answers_queued);
	message = &answers[answers_given++];
	assert_true(message->header.nlmsg_len <= size);
	memcpy(buf, message->buf, message->header.nlmsg_len);
	return message->header.nlmsg_len;
}

struct nlmsghdr *fake_answer(uint16_t type, uint16_t flags)
{
	assert_true(answers_queued < FAKE_MAX_MESSAGES);
	return begin(answers[answers_queued++].buf, type, flags);
}

struct nlmsghdr *fake_end(uint16_t type, int error)
{
	assert_true(answers_queued < FAKE_MAX_MESSAGES);
	return put_end(answers[answers_queued++].buf, type, error);
}

void fake_reset(void)
{
	answers_queued = answers_given = fake_request_count = 0;
	is_family_asked = false;
	fake_has_wireguard = fake_has_signals = true;
}

bool fake_is_done(void)
{
	return answers_given == answers_queued && !open_sockets;
}
