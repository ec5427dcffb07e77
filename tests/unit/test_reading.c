// SPDX-License-Identifier: MIT
/* A large reading is unmapped piece by piece, and nothing of it is left. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "reading.h"
#include "sealed.h"

enum { PEERS = 200000, MEGABYTE = 1 << 20 };

static struct reading reading_of(uint32_t peers)
{
	struct device_head head = { .peers = peers };
	struct device_peer *list = calloc(peers, sizeof(*list));
	struct reading reading = { 0 };
	int fd = sealed_open("reading");

	assert_true(fd >= 0 && list);
	for (uint32_t i = 0; i < peers; ++i)
		*(uint32_t *)list[i].key = i;
	assert_int_equal(reading_write(fd, &head, list, NULL), 0);
	assert_int_equal(reading_map(&reading, fd), 0);
	close(fd);
	free(list);
	return reading;
}

static bool is_mapped(const void *at)
{
	const long page = sysconf(_SC_PAGESIZE);
	unsigned char there;

	return !mincore((void *)((uintptr_t)at & -page), 1, &there) || errno != ENOMEM;
}

static void unmapped_by_pieces(void **state)
{
	struct reading reading = reading_of(PEERS);
	const char *at = (const char *)reading.head;
	size_t size = reading.size, before;
	int pieces = 1;

	(void)state;
	assert_true(size > 10 * MEGABYTE);
	for (before = size; reading_unmap_some(&reading); before = reading.size, ++pieces) {
		assert_in_range(before - reading.size, 1, 8 * MEGABYTE);
		assert_true(is_mapped(at) && is_mapped(at + reading.size - 1));
		assert_false(is_mapped(at + reading.size));
	}
	assert_in_range(pieces, size / (8 * MEGABYTE), 1 + size / MEGABYTE);
	for (size_t i = 0; i < size; i += 4096)
		assert_false(is_mapped(at + i));
	assert_null(reading.head);
	/* Of nothing there is no more. */
	assert_false(reading_unmap_some(&reading));
}

static void a_small_one_at_once(void **state)
{
	struct reading reading = reading_of(1);
	const void *at = reading.head;

	(void)state;
	assert_false(reading_unmap_some(&reading));
	assert_false(is_mapped(at));
}

/* Or all of what is left of it. */
static void all_of_the_rest(void **state)
{
	struct reading reading = reading_of(PEERS);
	const char *at = (const char *)reading.head;

	(void)state;
	assert_true(reading_unmap_some(&reading));
	reading_unmap(&reading);
	assert_false(is_mapped(at));
	assert_null(reading.head);
	assert_int_equal(reading.size, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unmapped_by_pieces),
		cmocka_unit_test(a_small_one_at_once),
		cmocka_unit_test(all_of_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
