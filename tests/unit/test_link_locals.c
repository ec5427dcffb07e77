// SPDX-License-Identifier: MIT
/* The set of keys with a link-local of ours, as a journal is read; and what orders come to. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <cmocka.h>

#include "engine.h"

static struct link_locals set;

static int clear(void **state)
{
	(void)state;
	free(set.given.list);
	free(set.next.list);
	memset(&set, 0, sizeof(set));
	return 0;
}

static void note(char name, bool given)
{
	uint8_t key[KEY_LEN];

	memset(key, name, sizeof(key));
	link_locals_load(&set, key, given);
}

/* Each letter is the key of that name. */
static void assert_set(const char *names)
{
	assert_int_equal(link_locals_count(&set), strlen(names));
	for (uint32_t i = 0; names[i]; ++i)
		assert_int_equal(*link_locals_key(&set, i), names[i]);
}

static void nothing(void **state)
{
	(void)state;
	link_locals_loaded(&set);
	assert_set("");
}

static void the_last_word_on_each_key(void **state)
{
	(void)state;
	note('C', true);
	note('A', true);
	note('B', true);
	note('A', false);
	note('D', false);
	note('C', false);
	note('C', true);
	link_locals_loaded(&set);
	assert_set("BC");
}

static void all_is_forgotten_on_another_device(void **state)
{
	(void)state;
	note('A', true);
	link_locals_clear(&set);
	note('B', true);
	link_locals_loaded(&set);
	assert_set("B");
	link_locals_clear(&set);
	assert_set("");
}

static void many(void **state)
{
	uint8_t key[KEY_LEN] = { 0 };

	(void)state;
	for (int i = 0; i < 10000; ++i) {
		key[0] = i * 37 / 256;
		key[1] = i * 37;
		key[2] = i / 7;
		link_locals_load(&set, key, true);
		link_locals_load(&set, key, i % 2);
	}
	link_locals_loaded(&set);
	for (uint32_t i = 1; i < link_locals_count(&set); ++i)
		assert_true(memcmp(link_locals_key(&set, i - 1), link_locals_key(&set, i),
				   KEY_LEN) < 0);
	assert_in_range(link_locals_count(&set), 4000, 5000);
}

/* A device that refuses is not read again and again for that. */
static void read_again_when_done(void **state)
{
	static struct server server;
	struct device_change change = { .ip = { AF_INET6, 128, { 0xfe, 0x80 } } };

	(void)state;
	server.reading_wanted = NEVER;
	server.link_locals.pending = 3;
	link_locals_done(&server, &change, false, 1, 0);
	assert_true(server.reading_wanted == NEVER);
	link_locals_done(&server, &change, false, 1, 0);
	link_locals_done(&server, &change, false, 1, EIO);
	assert_true(server.reading_wanted == NEVER);
	assert_int_equal(server.link_locals.pending, 0);
	server.link_locals.pending = 1;
	link_locals_done(&server, &change, false, 1, 0);
	assert_true(server.reading_wanted != NEVER);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, clear)
	const struct CMUnitTest tests[] = {
		TEST(nothing),
		TEST(the_last_word_on_each_key),
		TEST(all_is_forgotten_on_another_device),
		TEST(many),
		TEST(read_again_when_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
