// SPDX-License-Identifier: MIT
/*
 * The channel between the halves: what breaks the rules never gets through, descriptors do not
 * leak, and what waits keeps its order.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "channel.h"

enum { PLAIN = 1, ITEMS, FILE_TOO, FORBIDDEN, TYPES };

struct plain {
	struct message head;
	uint32_t number;
};

struct items {
	struct message head;
	uint32_t number;
	uint16_t items[10];
};

static const struct message_rule rules[TYPES + 1] = {
	[PLAIN] = { .fixed = sizeof(struct plain) },
	[ITEMS] = { .fixed = offsetof(struct items, items), .item = sizeof(uint16_t), .most = 10 },
	[FILE_TOO] = { .fixed = sizeof(struct plain), .descriptor = true },
	[TYPES] = { .fixed = sizeof(struct plain) }, /* behind the table */
};

static struct channel here, there;
static int open_before;

static int count_open(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		++count;
	closedir(dir);
	return count;
}

static int open_both(void **state)
{
	int fds[2];

	(void)state;
	open_before = count_open();
	assert_true(channel_pair(fds));
	channel_open(&here, fds[0], rules, TYPES);
	channel_open(&there, fds[1], rules, TYPES);
	return 0;
}

/* Whatever the test was about: no descriptor is left. */
static int close_both(void **state)
{
	(void)state;
	channel_close(&here);
	channel_close(&there);
	assert_int_equal(count_open(), open_before);
	return 0;
}

/* Sends as somebody would who does not care for rules. */
static void send_raw(const void *bytes, size_t len, const int *fds, int count)
{
	struct iovec iov = { .iov_base = (void *)bytes, .iov_len = len };
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(16 * sizeof(int))];
	} control = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (count) {
		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&control.head), fds, count * sizeof(int));
	}
	assert_int_equal(sendmsg(there.fd, &msg, 0), len);
}

static union message_buffer buf;
static int came;

static int receive(void)
{
	memset(&buf, 0xee, sizeof(buf));
	came = -2;
	return channel_receive(&here, &buf, &came);
}

static void assert_refused(void)
{
	assert_int_equal(receive(), -EPROTO);
	assert_int_equal(came, -1);
}

static int send_number(uint32_t type, uint32_t number, int fd)
{
	const struct plain plain = { .head.type = type, .number = number };

	return channel_send(&there, &plain.head, sizeof(plain), fd);
}

static void assert_number(uint32_t type, uint32_t number)
{
	const struct plain *plain = (const struct plain *)&buf;

	assert_int_equal(receive(), sizeof(*plain));
	assert_int_equal(plain->head.type, type);
	assert_int_equal(plain->number, number);
}

/* --- what goes through --- */

static void the_pair(void **state)
{
	int fds[2] = { here.fd, there.fd };

	(void)state;
	for (int i = 0; i < 2; ++i) {
		assert_true(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
		assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
	}
	assert_int_equal(receive(), -EAGAIN);
	assert_int_equal(came, -1);
}

static void messages_that_obey(void **state)
{
	struct items items = { .head.type = ITEMS, .number = 7 };

	(void)state;
	assert_int_equal(send_number(PLAIN, 4711, -1), 0);
	assert_number(PLAIN, 4711);
	assert_int_equal(came, -1);
	for (uint32_t count = 0; count <= 10; ++count) {
		items.head.count = count;
		for (uint32_t i = 0; i < count; ++i)
			items.items[i] = 100 + i;
		assert_int_equal(channel_send(&there, &items.head, 12 + 2 * count, -1), 0);
		assert_int_equal(receive(), 12 + 2 * count);
		assert_memory_equal(&buf, &items, 12 + 2 * count);
	}
}

static void a_descriptor_comes_along(void **state)
{
	struct stat sent, got;
	int fd = memfd_create("file", 0);

	(void)state;
	assert_int_equal(fstat(fd, &sent), 0);
	assert_int_equal(send_number(FILE_TOO, 1, fd), 0);
	/* It stays the sender's. */
	assert_int_equal(fcntl(fd, F_GETFD), 0);
	assert_number(FILE_TOO, 1);
	assert_true(came >= 0);
	assert_int_not_equal(came, fd);
	assert_true(fcntl(came, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(fstat(came, &got), 0);
	assert_true(sent.st_ino == got.st_ino && sent.st_dev == got.st_dev);
	close(came);
	/* It may, but it need not. */
	assert_int_equal(send_number(FILE_TOO, 2, -1), 0);
	assert_number(FILE_TOO, 2);
	assert_int_equal(came, -1);
	close(fd);
}

/* --- what does not --- */

static void lengths(void **state)
{
	struct items items = { .head = { .type = ITEMS, .count = 3 } };
	struct plain plain = { .head.type = PLAIN };
	char bytes[CHANNEL_MESSAGE + 1] = { 0 };

	(void)state;
	for (size_t len = 1; len < 40; ++len) {
		memcpy(bytes, &plain, sizeof(plain));
		send_raw(bytes, len, NULL, 0);
		if (len == sizeof(plain))
			assert_number(PLAIN, 0);
		else
			assert_refused();
		memcpy(bytes, &items, sizeof(items));
		send_raw(bytes, len, NULL, 0);
		if (len == 12 + 3 * 2)
			assert_int_equal(receive(), len);
		else
			assert_refused();
	}
	/* All that the buffer takes, and one more. */
	send_raw(bytes, CHANNEL_MESSAGE, NULL, 0);
	assert_refused();
	send_raw(bytes, CHANNEL_MESSAGE + 1, NULL, 0);
	assert_refused();
	/* It was dropped as a whole. */
	assert_int_equal(receive(), -EAGAIN);
}

static void a_message_that_is_cut_off(void **state)
{
	static const struct message_rule large[] = {
		[PLAIN] = { .fixed = CHANNEL_MESSAGE },
	};
	static union {
		struct message head;
		char bytes[CHANNEL_MESSAGE + 100];
	} message = { .head.type = PLAIN };
	int fd = memfd_create("file", 0);

	(void)state;
	here.rules = large;
	here.types = 2;
	send_raw(&message, CHANNEL_MESSAGE, NULL, 0);
	assert_int_equal(receive(), CHANNEL_MESSAGE);
	/* What fits looks right, but it was longer. */
	send_raw(&message, CHANNEL_MESSAGE + 1, NULL, 0);
	assert_refused();
	send_raw(&message, sizeof(message), &fd, 1);
	assert_refused();
	close(fd);
}

static void types(void **state)
{
	static const uint32_t bad[] = { 0, FORBIDDEN, TYPES, TYPES + 1, 256, 65536 + PLAIN,
					0x80000000, UINT32_MAX };
	struct plain plain = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); ++i) {
		plain.head.type = bad[i];
		send_raw(&plain, sizeof(plain), NULL, 0);
		assert_refused();
		/* A rule of all zeros does not let the shortest through either. */
		send_raw(&plain, sizeof(plain.head), NULL, 0);
		assert_refused();
	}
}

static void counts(void **state)
{
	static const uint32_t bad[] = { 0, 1, 3, 10, 11, 256, 65536, 0x40000002, 0x80000002,
					UINT32_MAX };
	struct items items = { .head.type = ITEMS };
	struct plain plain = { .head = { .type = PLAIN, .count = 1 } };
	char bytes[64] = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); ++i) {
		items.head.count = bad[i];
		send_raw(&items, 12 + 2 * 2, NULL, 0);
		assert_refused();
	}
	/* One too many, and all of it there. */
	items.head.count = 11;
	memcpy(bytes, &items, sizeof(items));
	send_raw(bytes, 12 + 2 * 11, NULL, 0);
	assert_refused();
	/* Items where there are none. */
	send_raw(&plain, sizeof(plain), NULL, 0);
	assert_refused();
}

static void descriptors_that_nobody_asked_for(void **state)
{
	const struct plain plain = { .head.type = PLAIN }, file = { .head.type = FILE_TOO };
	/* qemu-user hides that more of them came than there was room for. */
	const int most = getenv("UNDER_QEMU_USER") ? 1 : 16;
	int fds[16], before;

	(void)state;
	for (int i = 0; i < 16; ++i)
		fds[i] = memfd_create("file", MFD_CLOEXEC);
	before = count_open();
	send_raw(&plain, sizeof(plain), fds, 1);
	assert_refused();
	assert_int_equal(count_open(), before);
	for (int count = 2; count <= most; ++count) {
		send_raw(&file, sizeof(file), fds, count);
		assert_refused();
		assert_int_equal(count_open(), before);
		send_raw(&plain, sizeof(plain), fds, count);
		assert_refused();
		assert_int_equal(count_open(), before);
	}
	/* With a message that is wrong in another way. */
	send_raw(&file, sizeof(file) - 1, fds, 1);
	assert_refused();
	assert_int_equal(count_open(), before);
	/* The channel goes on. */
	send_raw(&file, sizeof(file), fds, 1);
	assert_number(FILE_TOO, 0);
	assert_int_equal(count_open(), before + 1);
	close(came);
	for (int i = 0; i < 16; ++i)
		close(fds[i]);
}

/* --- waiting --- */

static void what_waits_keeps_its_order(void **state)
{
	int fd = memfd_create("file", 0);
	uint32_t sent = 0, got = 0;

	(void)state;
	/* Until some have to wait; each third with a descriptor. */
	while (there.queued < 50) {
		assert_int_equal(send_number(FILE_TOO, sent, sent % 3 ? -1 : fd), 0);
		++sent;
		assert_true(sent < 10000);
	}
	assert_true(sent > 50);
	/* What waits has descriptors of its own. */
	close(fd);
	/* Even with room in the socket, none goes before those that wait. */
	for (int i = 0; i < 20; ++i, ++got) {
		assert_number(FILE_TOO, got);
		assert_int_equal(came >= 0, got % 3 == 0);
		if (came >= 0)
			close(came);
	}
	assert_int_equal(send_number(FILE_TOO, sent++, -1), 0);
	assert_int_equal(there.queued, 51);
	while (got < sent) {
		assert_int_equal(channel_flush(&there), 0);
		while (receive() > 0) {
			assert_int_equal(((struct plain *)&buf)->number, got);
			assert_int_equal(came >= 0, got % 3 == 0 && got < sent - 1);
			if (came >= 0)
				close(came);
			++got;
		}
	}
	assert_int_equal(there.queued, 0);
	assert_null(there.first);
	assert_int_equal(channel_flush(&there), 0);
	/* And straight through again. */
	assert_int_equal(send_number(PLAIN, 7, -1), 0);
	assert_int_equal(there.queued, 0);
	assert_number(PLAIN, 7);
}

static void what_waits_is_bounded(void **state)
{
	uint32_t sent = 0, got = 0;
	int ret;

	(void)state;
	while (!(ret = send_number(PLAIN, sent, -1)))
		assert_true(++sent < 20000);
	assert_int_equal(ret, -ENOBUFS);
	assert_int_equal(there.queued, CHANNEL_QUEUE);
	assert_int_equal(send_number(PLAIN, sent, -1), -ENOBUFS);
	/* Nothing of what was taken is lost. */
	while (got < sent) {
		assert_int_equal(channel_flush(&there), 0);
		while (receive() > 0)
			assert_int_equal(((struct plain *)&buf)->number, got++);
	}
	assert_int_equal(got, sent);
}

static void closed_while_some_wait(void **state)
{
	int fd = memfd_create("file", 0);

	(void)state;
	while (there.queued < 100)
		assert_int_equal(send_number(FILE_TOO, 0, fd), 0);
	close(fd);
	/* The teardown counts the descriptors. */
	channel_close(&there);
	assert_null(there.first);
	assert_int_equal(there.fd, -1);
}

static void the_other_end_is_gone(void **state)
{
	(void)state;
	assert_int_equal(send_number(PLAIN, 1, -1), 0);
	channel_close(&there);
	/* What was sent before is still to be had. */
	assert_number(PLAIN, 1);
	assert_int_equal(receive(), 0);
	assert_int_equal(came, -1);
	assert_int_equal(receive(), 0);
}

/* One that dies before it has read all: its last words count, and it is no other error. */
static void the_other_end_is_gone_without_reading(void **state)
{
	const struct plain plain = { .head.type = PLAIN };

	(void)state;
	assert_int_equal(channel_send(&here, &plain.head, sizeof(plain), -1), 0);
	assert_int_equal(send_number(PLAIN, 1, -1), 0);
	assert_int_equal(send_number(PLAIN, 2, -1), 0);
	channel_close(&there);
	assert_number(PLAIN, 1);
	assert_number(PLAIN, 2);
	assert_int_equal(receive(), 0);
	assert_int_equal(channel_send(&here, &plain.head, sizeof(plain), -1), -EPIPE);
}

static void sending_to_nobody(void **state)
{
	(void)state;
	while (there.queued < 10)
		assert_int_equal(send_number(PLAIN, 1, -1), 0);
	channel_close(&here);
	/* An error, and no signal. */
	assert_int_equal(channel_flush(&there), -EPIPE);
	close_both(NULL);
	open_both(NULL);
	channel_close(&here);
	assert_int_equal(send_number(PLAIN, 1, -1), -EPIPE);
	assert_int_equal(send_number(FILE_TOO, 1, there.fd), -EPIPE);
	assert_int_equal(there.queued, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_both, close_both)
	const struct CMUnitTest tests[] = {
		TEST(the_pair),
		TEST(messages_that_obey),
		TEST(a_descriptor_comes_along),
		TEST(lengths),
		TEST(a_message_that_is_cut_off),
		TEST(types),
		TEST(counts),
		TEST(descriptors_that_nobody_asked_for),
		TEST(what_waits_keeps_its_order),
		TEST(what_waits_is_bounded),
		TEST(closed_while_some_wait),
		TEST(the_other_end_is_gone),
		TEST(the_other_end_is_gone_without_reading),
		TEST(sending_to_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
