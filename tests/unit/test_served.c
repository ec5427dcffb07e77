// SPDX-License-Identifier: MIT
/* What a server has served: the file, and what counts as served. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "served.h"

static int dir_fd;

static struct cidr net(const char *text)
{
	struct cidr c;

	assert_true(cidr_parse(&c, text, strlen(text)));
	return c;
}

static bool has(const struct served *served, const char *text)
{
	const struct cidr c = net(text);

	return served_has(served, &c);
}

static bool add(struct served *served, const char *text)
{
	const struct cidr c = net(text);

	return served_add(served, &c);
}

static void put(const char *text, size_t len)
{
	int fd = openat(dir_fd, "wg0.served", O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(write(fd, text, len), len);
	close(fd);
}

static int open_dir(void **state)
{
	(void)state;
	dir_fd = open(".", O_RDONLY | O_DIRECTORY);
	return dir_fd < 0;
}

static void none(void **state)
{
	struct served served;

	(void)state;
	memset(&served, 1, sizeof(served));
	assert_int_equal(served_read(&served, dir_fd, "none.served"), 0);
	assert_int_equal(served.count, 0);
	assert_false(served.link_locals);
	assert_false(has(&served, "192.0.2.1"));
}

static void what_was_written_is_read(void **state)
{
	struct served served = { .link_locals = true }, again;
	struct stat stat;

	(void)state;
	assert_true(add(&served, "192.0.2.0/24"));
	assert_true(add(&served, "2001:db8::/64"));
	assert_true(add(&served, "192.0.2.128/25"));
	assert_int_equal(served.count, 2);
	assert_int_equal(served_write(&served, dir_fd, "wg0.served"), 0);
	assert_int_equal(served_read(&again, dir_fd, "wg0.served"), 0);
	assert_true(served_equal(&served, &again));
	assert_true(has(&again, "192.0.2.200"));
	assert_true(has(&again, "2001:db8::1"));
	assert_false(has(&again, "192.0.3.1"));
	assert_false(has(&again, "2001:db8:0:1::1"));
	assert_false(has(&again, "192.0.0.0/16"));

	/* The next takes its place. */
	assert_int_equal(served_write(&(struct served){ 0 }, dir_fd, "wg0.served"), 0);
	assert_int_equal(served_read(&again, dir_fd, "wg0.served"), 0);
	assert_int_equal(again.count, 0);
	assert_false(again.link_locals);
	assert_false(served_equal(&served, &again));
	assert_int_equal(fstatat(dir_fd, "wg0.served", &stat, 0), 0);
	assert_int_equal(stat.st_mode, S_IFREG | 0600);
	assert_int_equal(faccessat(dir_fd, "wg0.served.new", F_OK, 0), -1);
}

static void as_many_as_there_may_be(void **state)
{
	struct served served = { 0 }, again;
	struct cidr c = net("10.0.0.0/24");

	(void)state;
	for (int i = 0; i < SERVED_NETS; ++i) {
		c.ip[2] = i;
		assert_true(served_add(&served, &c));
	}
	assert_false(add(&served, "192.0.2.0/24"));
	assert_true(add(&served, "10.0.7.0/25"));
	assert_int_equal(served_write(&served, dir_fd, "wg0.served"), 0);
	assert_int_equal(served_read(&again, dir_fd, "wg0.served"), 0);
	assert_true(served_equal(&served, &again));
}

static void what_no_server_writes(void **state)
{
	static const char *const bad[] = {
		"192.0.2.0/33\n", "192.0.2.1/24\n", "192.0.2.0/24", "\n", "192.0.2.0/24 \n", "x\n",
		"192.0.2.0/24\nlink-local\n", "link-locals", "0.0.0.0/0\n\n", "::/129\n",
		"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc/128\n",
	};
	struct served served;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); ++i) {
		put(bad[i], strlen(bad[i]));
		assert_int_equal(served_read(&served, dir_fd, "wg0.served"), -EILSEQ);
		assert_int_equal(served.count, 0);
	}
	put("192.0.2.0/24\0\n", 14);
	assert_int_equal(served_read(&served, dir_fd, "wg0.served"), -EILSEQ);
	unlinkat(dir_fd, "wg0.served", 0);
	assert_int_equal(mkdirat(dir_fd, "wg0.served", 0700), 0);
	assert_true(served_read(&served, dir_fd, "wg0.served") < 0);
	assert_true(served_write(&served, dir_fd, "wg0.served") < 0);
	unlinkat(dir_fd, "wg0.served", AT_REMOVEDIR);
	assert_int_equal(symlinkat("wg0.served.new", dir_fd, "wg0.served"), 0);
	assert_int_equal(served_read(&served, dir_fd, "wg0.served"), -ELOOP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(none),
		cmocka_unit_test(what_was_written_is_read),
		cmocka_unit_test(as_many_as_there_may_be),
		cmocka_unit_test(what_no_server_writes),
	};

	return cmocka_run_group_tests(tests, open_dir, NULL);
}
