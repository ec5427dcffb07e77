// SPDX-License-Identifier: MIT
/* When a server wishes its clients to come: few of them at half the lease, many one by one. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lifecycle.h"
#include "pace.h"

static void few_clients_are_left_alone(void **state)
{
	(void)state;
	for (uint32_t clients = 0; clients < 64 * PACE_CLIENTS; ++clients) {
		const struct pace pace = pace_of(3600, clients, 0, clients * 7919);

		assert_int_equal(pace.renew, 1800);
		assert_int_equal(pace.retry, 0);
	}
}

static void many_clients_pause_up_to_a_quarter_of_the_lease(void **state)
{
	static const struct {
		uint32_t lease, clients, retry;
	} cases[] = {
		{ 3600, 65 * PACE_CLIENTS, 65 }, { 3600, 10000, 625 }, { 3600, 14400, 900 },
		{ 3600, 1000000, 900 }, { 600, 1000000, 150 }, { 86400, 1000000, 900 },
		{ 256, 1000000, 0 }, { 1, UINT32_MAX, 0 }, { LEASE_TIME_MAX, UINT32_MAX, 900 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); ++i)
		assert_int_equal(pace_of(cases[i].lease, cases[i].clients, 0, 1).retry,
				 cases[i].retry);
}

static void who_is_on_time_renews_at_half_the_lease(void **state)
{
	(void)state;
	for (uint64_t left = 1440 * 1000; left <= 3600 * 1000; left += 1000)
		assert_int_equal(pace_of(3600, 1000000, left, left * 7919).renew, 1800);
}

static void who_comes_late_renews_at_some_other_time(void **state)
{
	uint32_t least = UINT32_MAX, most = 0;

	(void)state;
	for (uint64_t i = 0; i < 20000; ++i) {
		uint64_t left = i % 2 ? 0 : i * 71 % (1440 * 1000);
		uint32_t renew = pace_of(3600, 1000000, left, i).renew;

		least = renew < least ? renew : least;
		most = renew > most ? renew : most;
	}
	assert_int_equal(least, 900);
	assert_int_equal(most, 1800);
	assert_in_range(pace_of(260, 1000000, 0, UINT64_MAX).renew, 65, 130);
	assert_in_range(pace_of(LEASE_TIME_MAX, UINT32_MAX, 0, UINT64_MAX).renew,
			LEASE_TIME_MAX / 4, LEASE_TIME_MAX / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(few_clients_are_left_alone),
		cmocka_unit_test(many_clients_pause_up_to_a_quarter_of_the_lease),
		cmocka_unit_test(who_is_on_time_renews_at_half_the_lease),
		cmocka_unit_test(who_comes_late_renews_at_some_other_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
