// SPDX-License-Identifier: MIT
/*
 * A client's life in virtual time: what it asks when, what it holds until when, and what it tells.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <errno.h>
#include <cmocka.h>

#include "lifecycle.h"

#define BEGIN 5000000ULL /* ms since boot, when each test begins */
#define WALL 1795000000000ULL /* ms since 1970, at that moment */
#define NEVER UINT64_MAX

static struct lifecycle l;
static struct lifecycle_actions a;
static uint64_t now;

static const struct response granted = {
	.ip = {
		{ AF_INET, 32, { 192, 0, 2, 7 } },
		{ AF_INET6, 128, { 0x20, 0x01, 0x0d, 0xb8, [15] = 7 } },
	},
	.lease_start = WALL / 1000,
	.lease_time = 3600,
};

static void happens(const struct lifecycle_event *event)
{
	lifecycle_event(&l, now, event, &a);
}

static void happens_only(enum lifecycle_event_type type)
{
	const struct lifecycle_event event = { .type = type, .up = true };

	happens(&event);
}

/* Time goes on to the next deadline, and is told of. Returns how long that was. */
static uint64_t next(void)
{
	uint64_t before = now;

	now = lifecycle_deadline(&l);
	assert_true(now != NEVER);
	assert_true(now >= before);
	happens_only(EVENT_TIME);
	return now - before;
}

static void fails(enum failure_kind kind, int error)
{
	const struct lifecycle_event event = {
		.type = EVENT_FAILED,
		.failure = { .kind = kind, .error = error },
	};

	happens(&event);
}

static void responds(const struct response *response)
{
	const struct lifecycle_event event = {
		.type = EVENT_RESPONSE,
		.response = response,
		.wall = WALL + now - BEGIN,
	};

	happens(&event);
}

static void refuses(enum status status, uint32_t retry)
{
	const struct response response = { .status = status, .retry = retry };

	responds(&response);
}

static struct response lease_of(uint32_t seconds)
{
	struct response response = granted;

	response.lease_time = seconds;
	response.lease_start = (WALL + now - BEGIN) / 1000;
	return response;
}

static void grant(uint32_t seconds)
{
	const struct response response = lease_of(seconds);

	happens_only(EVENT_CONNECTED);
	responds(&response);
	assert_int_equal(l.state, LIFECYCLE_BOUND);
	assert_true(a.set);
}

static int begin(void **state)
{
	(void)state;
	now = BEGIN;
	lifecycle_init(&l, 1, WANT_CALL);
	happens_only(EVENT_START);
	return 0;
}

static void assert_asks(enum command command)
{
	assert_true(a.ask);
	assert_int_equal(a.request.command, command);
}

static void assert_between(uint64_t value, uint64_t low, uint64_t high)
{
	assert_in_range(value, low, high);
}

/* --- the way up --- */

static void names_are_there(void **state)
{
	(void)state;
	for (int i = 0; i < LIFECYCLE_STATES; ++i)
		assert_non_null(lifecycle_name(i));
	assert_string_equal(lifecycle_name(LIFECYCLE_BOUND), "bound");
}

static void asks_at_once(void **state)
{
	(void)state;
	assert_int_equal(l.state, LIFECYCLE_ASKING);
	assert_asks(COMMAND_REQUEST_IP);
	assert_int_equal(a.request.wish[V4], WISH_ANY);
	assert_int_equal(a.request.wish[V6], WISH_ANY);
	assert_true(a.request.extended);
	assert_int_equal(a.request.lease_time, 0);
	assert_false(a.set);
	assert_false(lifecycle_holds(&l));
	assert_int_equal(lifecycle_deadline(&l), now + LIFECYCLE_EXCHANGE_MS);
}

static void is_granted(void **state)
{
	(void)state;
	now += 40;
	grant(3600);
	assert_int_equal(a.report, REPORT_GRANTED);
	assert_false(a.ask);
	assert_int_equal(l.lease.until, now + 3600 * 1000);
	assert_memory_equal(l.lease.ip, granted.ip, sizeof(granted.ip));
	assert_int_equal(l.lease_time, 3600);
}

static void asks_when_started_with_the_link_down(void **state)
{
	const struct lifecycle_event event = { .type = EVENT_START };

	(void)state;
	lifecycle_init(&l, 1, WANT_CALL);
	happens(&event);
	assert_int_equal(l.state, LIFECYCLE_DOWN);
	assert_false(a.ask);
	assert_true(lifecycle_deadline(&l) == NEVER);
	happens_only(EVENT_UP);
	assert_int_equal(l.state, LIFECYCLE_ASKING);
	assert_asks(COMMAND_REQUEST_IP);
}

static void renews_at_once_what_another_has_left(void **state)
{
	struct lifecycle_lease held = { .until = BEGIN + 30000 };
	struct lifecycle_event event = { .type = EVENT_START, .held = &held, .up = true };
	struct response response;

	(void)state;
	memcpy(held.ip, granted.ip, sizeof(held.ip));
	lifecycle_init(&l, 1, WANT_CALL);
	happens(&event);
	assert_int_equal(l.state, LIFECYCLE_RENEWING);
	assert_asks(COMMAND_REQUEST_IP);
	assert_true(lifecycle_holds(&l));
	response = lease_of(3600);
	responds(&response);
	assert_int_equal(a.report, REPORT_NONE);

	/* What has ended is not held. */
	held.until = BEGIN;
	lifecycle_init(&l, 1, WANT_CALL);
	happens(&event);
	assert_int_equal(l.state, LIFECYCLE_ASKING);
}

/* --- renewal --- */

static void renews_at_half_the_lease_by_chance_earlier(void **state)
{
	uint64_t least = NEVER, most = 0, after;

	(void)state;
	for (int seed = 0; seed < 2000; ++seed) {
		now = BEGIN;
		lifecycle_init(&l, seed, WANT_CALL);
		happens_only(EVENT_START);
		grant(3600);
		after = next();
		assert_int_equal(l.state, LIFECYCLE_RENEWING);
		assert_asks(COMMAND_REQUEST_IP);
		assert_between(after, 1620000, 1800000);
		least = after < least ? after : least;
		most = after > most ? after : most;
	}
	assert_true(least < 1630000);
	assert_true(most > 1790000);
}

static void renews_when_the_server_wishes(void **state)
{
	struct response response = lease_of(3600);

	(void)state;
	response.renew = 600;
	responds(&response);
	assert_between(next(), 540000, 600000);
}

static void renews_once_a_second_at_most(void **state)
{
	struct response response = lease_of(3600);

	(void)state;
	happens_only(EVENT_CONNECTED);
	now += 5000;
	response.renew = 1;
	responds(&response);
	assert_int_equal(next(), 1000);
}

static void takes_no_renewal_at_or_behind_the_end(void **state)
{
	const uint32_t wishes[] = { 3600, 3601, UINT32_MAX };

	(void)state;
	for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); ++i) {
		struct response response;

		begin(NULL);
		response = lease_of(3600);
		response.renew = wishes[i];
		responds(&response);
		assert_between(next(), 1620000, 1800000);
	}
}

static void a_renewal_says_nothing_when_all_stays_the_same(void **state)
{
	(void)state;
	grant(3600);
	next();
	grant(3600);
	assert_int_equal(a.report, REPORT_NONE);
	assert_int_equal(l.lease.until, now + 3600 * 1000);
}

static void other_addresses_take_the_place(void **state)
{
	struct response response;

	(void)state;
	grant(3600);
	next();
	response = lease_of(1800);
	response.ip[V4].ip[3] = 8;
	responds(&response);
	assert_true(a.set);
	assert_int_equal(a.report, REPORT_CHANGED);
	assert_int_equal(l.lease.ip[V4].ip[3], 8);
	assert_int_equal(l.lease.ip[V6].ip[15], 7);
	assert_int_equal(l.lease.until, now + 1800 * 1000);

	/* One family only: the other is gone. */
	next();
	response = lease_of(1800);
	memset(&response.ip[V6], 0, sizeof(response.ip[V6]));
	responds(&response);
	assert_int_equal(a.report, REPORT_CHANGED);
	assert_int_equal(l.lease.ip[V6].family, 0);
	assert_int_equal(l.lease.ip[V4].family, AF_INET);
}

static void the_shortest_lease(void **state)
{
	uint64_t until;

	(void)state;
	grant(1);
	until = l.lease.until;
	assert_between(next(), 450, 500);
	assert_int_equal(l.state, LIFECYCLE_RENEWING);
	fails(FAILURE_CONNECT, ECONNREFUSED);
	next();
	assert_int_equal(now, until);
	assert_false(lifecycle_holds(&l));
}

static void the_longest_lease(void **state)
{
	(void)state;
	grant(LEASE_TIME_MAX);
	assert_int_equal(l.lease.until, now + LEASE_TIME_MAX * 1000ULL);
	assert_between(next(), LEASE_TIME_MAX * 450ULL, LEASE_TIME_MAX * 500ULL);
}

/* --- pauses --- */

static void pauses_double_up_to_a_minute(void **state)
{
	uint64_t pause, most = 1000;

	(void)state;
	for (int i = 0; i < 20; ++i) {
		fails(FAILURE_CONNECT, ECONNREFUSED);
		assert_int_equal(l.state, LIFECYCLE_WAITING);
		pause = next();
		assert_int_equal(l.state, LIFECYCLE_ASKING);
		assert_asks(COMMAND_REQUEST_IP);
		assert_between(pause, most / 2 < 1000 ? 1000 : most / 2, most);
		most = most < 64000 ? most * 2 : 64000;
	}
}

static void pauses_differ(void **state)
{
	uint64_t least = NEVER, most = 0, pause;

	(void)state;
	for (int i = 0; i < 200; ++i) {
		fails(FAILURE_CONNECT, ECONNREFUSED);
		pause = next();
		if (i < 7)
			continue;
		least = pause < least ? pause : least;
		most = pause > most ? pause : most;
	}
	assert_true(least < 35000);
	assert_true(most > 60000);
}

static void pauses_are_a_quarter_of_what_is_left_at_most(void **state)
{
	uint64_t pause, left, attempts = 0;

	(void)state;
	grant(3600);
	next();
	for (;;) {
		fails(FAILURE_CONNECT_TIMEOUT, 0);
		left = l.lease.until - now;
		pause = next();
		if (!lifecycle_holds(&l))
			break;
		++attempts;
		assert_int_equal(l.state, LIFECYCLE_RENEWING);
		assert_true(pause >= 1000);
		assert_true(pause <= 64000);
		assert_true(pause <= (left / 4 > 1000 ? left / 4 : 1000));
	}
	assert_true(attempts > 1800 / 64);
}

static void success_makes_the_next_pause_short_again(void **state)
{
	(void)state;
	for (int i = 0; i < 10; ++i) {
		fails(FAILURE_CONNECT, ECONNREFUSED);
		next();
	}
	grant(3600);
	next();
	fails(FAILURE_CONNECT, ECONNREFUSED);
	assert_int_equal(next(), 1000);
}

static void a_request_without_an_answer_is_given_up(void **state)
{
	(void)state;
	assert_int_equal(next(), LIFECYCLE_EXCHANGE_MS);
	assert_int_equal(l.state, LIFECYCLE_WAITING);
	assert_true(a.cancel);
	assert_int_equal(a.report, REPORT_FAILED);
	assert_int_equal(l.failure.kind, FAILURE_CONNECT_TIMEOUT);
	next();
	happens_only(EVENT_CONNECTED);
	next();
	assert_int_equal(l.failure.kind, FAILURE_ANSWER_TIMEOUT);
}

/* --- the end of a lease --- */

static void expires_exactly_on_time(void **state)
{
	uint64_t until;

	(void)state;
	grant(600);
	until = l.lease.until;
	while (now < until - 1 && lifecycle_deadline(&l) < until) {
		next();
		assert_true(lifecycle_holds(&l));
		assert_false(a.set);
		if (a.ask)
			fails(FAILURE_CONNECT, EHOSTUNREACH);
	}
	now = until - 1;
	happens_only(EVENT_TIME);
	assert_true(lifecycle_holds(&l));
	now = until;
	happens_only(EVENT_TIME);
	assert_false(lifecycle_holds(&l));
	assert_true(a.set);
	assert_int_equal(a.report, REPORT_EXPIRED);
	/* and goes on asking, at once */
	assert_int_equal(l.state, LIFECYCLE_ASKING);
	assert_asks(COMMAND_REQUEST_IP);
	fails(FAILURE_CONNECT, EHOSTUNREACH);
	assert_int_equal(next(), 1000);
	grant(600);
	assert_int_equal(a.report, REPORT_GRANTED);
}

static void expires_in_the_midst_of_a_request(void **state)
{
	(void)state;
	grant(10);
	next();
	assert_int_equal(l.state, LIFECYCLE_RENEWING);
	now = l.lease.until;
	happens_only(EVENT_TIME);
	assert_int_equal(a.report, REPORT_EXPIRED);
	assert_int_equal(l.state, LIFECYCLE_ASKING);
	assert_asks(COMMAND_REQUEST_IP);
}

static void a_suspend_over_the_renewal_renews_at_once(void **state)
{
	(void)state;
	grant(3600);
	now += 3000 * 1000;
	happens_only(EVENT_TIME);
	assert_int_equal(l.state, LIFECYCLE_RENEWING);
	assert_asks(COMMAND_REQUEST_IP);
	assert_false(a.set);
}

static void a_suspend_over_the_end_removes_and_asks(void **state)
{
	(void)state;
	grant(3600);
	now += 86400 * 1000;
	happens_only(EVENT_TIME);
	assert_true(a.set);
	assert_false(lifecycle_holds(&l));
	assert_int_equal(a.report, REPORT_EXPIRED);
	assert_asks(COMMAND_REQUEST_IP);
}

static void an_early_wakeup_changes_nothing(void **state)
{
	struct lifecycle before;

	(void)state;
	grant(3600);
	before = l;
	now += 1000;
	happens_only(EVENT_TIME);
	assert_memory_equal(&before, &l, sizeof(l));
	assert_false(a.ask || a.set || a.cancel || a.finished || a.report);
}

/* --- whose clock --- */

/* A lease of this many seconds that began, by the server's clock, so long before now. */
static uint64_t until_with_start(int64_t seconds_ago, uint32_t lease_time)
{
	struct response response;

	begin(NULL);
	happens_only(EVENT_CONNECTED);
	now += 200;
	response = lease_of(lease_time);
	response.lease_start -= seconds_ago;
	responds(&response);
	assert_int_equal(l.state, LIFECYCLE_BOUND);
	return l.lease.until;
}

static void a_clock_that_differs_does_not_count(void **state)
{
	(void)state;
	assert_int_equal(until_with_start(16, 3600), BEGIN + 3600000);
	assert_int_equal(until_with_start(86400, 3600), BEGIN + 3600000);
	assert_int_equal(until_with_start(-16, 3600), BEGIN + 3600000);
	assert_int_equal(until_with_start(-86400, 3600), BEGIN + 3600000);
	assert_int_equal(until_with_start(WALL / 1000, 3600), BEGIN + 3600000);
}

static void a_clock_that_agrees_counts_when_it_is_earlier(void **state)
{
	(void)state;
	assert_int_equal(until_with_start(0, 3600), BEGIN + 3600000);
	assert_int_equal(until_with_start(-10, 3600), BEGIN + 3600000);
	/* leasestart is the whole second: up to 999 ms may have been cut off */
	assert_between(until_with_start(10, 3600), BEGIN + 3590000, BEGIN + 3591000);
	/* a short lease would be over at once */
	assert_int_equal(until_with_start(14, 20), BEGIN + 20000);
}

static void counts_from_the_request_not_from_the_response(void **state)
{
	struct response response;

	(void)state;
	now += 3000; /* connecting */
	happens_only(EVENT_CONNECTED);
	now += 4000;
	response = lease_of(3600);
	responds(&response);
	assert_int_equal(l.lease.until, BEGIN + 3000 + 3600000);
}

static void a_lease_that_is_over_when_it_comes(void **state)
{
	struct response response;

	(void)state;
	happens_only(EVENT_CONNECTED);
	now += 5000;
	response = lease_of(5);
	responds(&response);
	assert_int_equal(l.state, LIFECYCLE_WAITING);
	assert_int_equal(l.failure.kind, FAILURE_LATE);
	assert_false(a.set);
}

/* --- what servers say --- */

static void refusals_are_told_once(void **state)
{
	(void)state;
	for (int status = STATUS_INVALID; status <= STATUS_LATER; ++status) {
		refuses(status, 0);
		assert_int_equal(l.state, LIFECYCLE_WAITING);
		assert_int_equal(a.report, REPORT_FAILED);
		assert_int_equal(l.failure.kind, FAILURE_REFUSED);
		assert_int_equal(l.failure.status, status);
		next();
		refuses(status, 0);
		assert_int_equal(a.report, REPORT_NONE);
		next();
	}
	fails(FAILURE_CLOSED, ECONNRESET);
	assert_int_equal(a.report, REPORT_FAILED);
	next();
	fails(FAILURE_CLOSED, 0);
	assert_int_equal(a.report, REPORT_FAILED);
	next();
	fails(FAILURE_CLOSED, 0);
	assert_int_equal(a.report, REPORT_NONE);
}

static void refusals_keep_what_is_held(void **state)
{
	uint64_t until;

	(void)state;
	grant(3600);
	until = l.lease.until;
	next();
	for (int status = STATUS_INVALID; status <= STATUS_LATER; ++status) {
		refuses(status, 0);
		assert_int_equal(l.state, LIFECYCLE_RETRYING);
		assert_false(a.set);
		assert_true(lifecycle_holds(&l));
		assert_int_equal(l.lease.until, until);
		next();
	}
	grant(3600);
	assert_int_equal(a.report, REPORT_RECOVERED);
	next();
	grant(3600);
	assert_int_equal(a.report, REPORT_NONE);
	next();
	refuses(STATUS_LATER, 0);
	assert_int_equal(a.report, REPORT_FAILED);
}

static void errno_3_with_an_address_is_a_success(void **state)
{
	struct response response = lease_of(3600);

	(void)state;
	response.status = STATUS_UNAVAILABLE;
	memset(&response.ip[V4], 0, sizeof(response.ip[V4]));
	responds(&response);
	assert_int_equal(l.state, LIFECYCLE_BOUND);
	assert_int_equal(a.report, REPORT_GRANTED);
	assert_int_equal(l.lease.ip[V4].family, 0);
	assert_int_equal(l.lease.ip[V6].family, AF_INET6);
}

static void errno_4_says_when(void **state)
{
	(void)state;
	refuses(STATUS_LATER, 20);
	assert_int_equal(next(), 20000);
	refuses(STATUS_LATER, UINT32_MAX);
	assert_int_equal(next(), LIFECYCLE_PAUSE_MAX * 1000);
	/* only once */
	fails(FAILURE_CONNECT, ECONNREFUSED);
	assert_between(next(), 2000, 4000);
	/* and not with other refusals */
	refuses(STATUS_UNAVAILABLE, 50);
	assert_between(next(), 4000, 8000);
}

static void errno_4_never_risks_the_lease(void **state)
{
	uint64_t left;

	(void)state;
	grant(100);
	next();
	left = l.lease.until - now;
	refuses(STATUS_LATER, 3600);
	assert_int_equal(next(), left / 4);
}

static void short_prefixes_become_host_prefixes(void **state)
{
	struct response response = lease_of(3600);

	(void)state;
	response.ip[V4].prefix = 24;
	response.ip[V6].prefix = 64;
	responds(&response);
	assert_int_equal(l.state, LIFECYCLE_BOUND);
	assert_memory_equal(l.lease.ip, granted.ip, sizeof(granted.ip));
}

static void addresses_that_nobody_can_have_are_malformed(void **state)
{
	const struct cidr bad[] = {
		{ AF_INET, 32, { 0 } },
		{ AF_INET, 32, { 127, 0, 0, 1 } },
		{ AF_INET, 32, { 224, 0, 0, 1 } },
		{ AF_INET, 32, { 169, 254, 0, 1 } },
		{ AF_INET, 32, { 255, 255, 255, 255 } },
		{ AF_INET6, 128, { 0 } },
		{ AF_INET6, 128, { [15] = 1 } },
		{ AF_INET6, 128, { 0xfe, 0x80, [15] = 1 } },
		{ AF_INET6, 128, { 0xff, 0x02, [15] = 1 } },
	};
	struct lifecycle_lease held;

	(void)state;
	grant(3600);
	next();
	held = l.lease;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); ++i) {
		struct response response = lease_of(3600);

		response.ip[family_index(bad[i].family)] = bad[i];
		responds(&response);
		assert_int_equal(l.state, LIFECYCLE_RETRYING);
		assert_int_equal(l.failure.kind, FAILURE_MALFORMED);
		assert_false(a.set);
		assert_memory_equal(&held, &l.lease, sizeof(held));
		next();
	}
}

static void malformed_and_closed_keep_what_is_held(void **state)
{
	(void)state;
	grant(3600);
	next();
	fails(FAILURE_MALFORMED, 0);
	assert_int_equal(l.state, LIFECYCLE_RETRYING);
	assert_true(lifecycle_holds(&l));
	next();
	fails(FAILURE_CLOSED, 0);
	assert_true(lifecycle_holds(&l));
}

static void events_of_an_abandoned_request_do_nothing(void **state)
{
	struct lifecycle before;

	(void)state;
	grant(3600);
	before = l;
	now += 5;
	responds(&granted);
	assert_false(a.set || a.report);
	fails(FAILURE_CONNECT, ECONNREFUSED);
	happens_only(EVENT_CONNECTED);
	happens_only(EVENT_START);
	happens_only(EVENT_UP);
	assert_false(a.ask);
	assert_memory_equal(&before, &l, sizeof(l));
}

/* --- the link --- */

static void waits_while_the_link_is_down(void **state)
{
	(void)state;
	grant(3600);
	now += 1000;
	happens_only(EVENT_DOWN);
	assert_int_equal(l.state, LIFECYCLE_DOWN);
	assert_true(a.cancel);
	assert_true(lifecycle_holds(&l));
	now += 2000 * 1000;
	happens_only(EVENT_TIME); /* renewal would be due */
	assert_false(a.ask);
	happens_only(EVENT_UP);
	assert_int_equal(l.state, LIFECYCLE_RENEWING);
	assert_asks(COMMAND_REQUEST_IP);
}

static void a_lease_ends_on_time_while_the_link_is_down(void **state)
{
	uint64_t until;

	(void)state;
	grant(3600);
	until = l.lease.until;
	happens_only(EVENT_DOWN);
	next();
	assert_int_equal(now, until);
	assert_true(a.set);
	assert_false(a.ask);
	assert_int_equal(a.report, REPORT_EXPIRED);
	assert_int_equal(l.state, LIFECYCLE_DOWN);
	assert_true(lifecycle_deadline(&l) == NEVER);
	happens_only(EVENT_UP);
	assert_int_equal(l.state, LIFECYCLE_ASKING);
}

static void down_and_up_in_every_state(void **state)
{
	(void)state;
	happens_only(EVENT_DOWN); /* asking */
	assert_true(a.cancel);
	happens_only(EVENT_DOWN);
	happens_only(EVENT_UP);
	assert_asks(COMMAND_REQUEST_IP);
	fails(FAILURE_CONNECT, ECONNREFUSED);
	happens_only(EVENT_DOWN); /* waiting */
	happens_only(EVENT_UP);
	assert_asks(COMMAND_REQUEST_IP);
	grant(3600);
	next();
	happens_only(EVENT_DOWN); /* renewing */
	happens_only(EVENT_UP);
	assert_asks(COMMAND_REQUEST_IP);
	fails(FAILURE_CONNECT, ECONNREFUSED);
	happens_only(EVENT_DOWN); /* retrying */
	happens_only(EVENT_UP);
	assert_int_equal(l.state, LIFECYCLE_RENEWING);
	happens_only(EVENT_STOP);
	happens_only(EVENT_DOWN); /* releasing */
	assert_int_equal(l.state, LIFECYCLE_ENDED);
	assert_true(a.finished && a.set);
	happens_only(EVENT_UP);
	assert_false(a.ask);
}

/* --- the end --- */

static void stop_releases(void **state)
{
	(void)state;
	grant(3600);
	now += 1000;
	happens_only(EVENT_STOP);
	assert_int_equal(l.state, LIFECYCLE_RELEASING);
	assert_asks(COMMAND_RELEASE_IP);
	assert_false(a.finished);
	happens_only(EVENT_CONNECTED);
	refuses(STATUS_OK, 0);
	assert_int_equal(l.state, LIFECYCLE_ENDED);
	assert_int_equal(a.report, REPORT_RELEASED);
	assert_true(a.set && a.finished);
	assert_false(lifecycle_holds(&l));
	assert_true(lifecycle_deadline(&l) == NEVER);
}

static void stop_waits_a_second_at_most(void **state)
{
	(void)state;
	grant(3600);
	happens_only(EVENT_STOP);
	assert_int_equal(next(), LIFECYCLE_RELEASE_MS);
	assert_true(a.finished && a.set && a.cancel);
	assert_int_equal(a.report, REPORT_NONE);
}

static void stop_with_a_server_that_fails(void **state)
{
	(void)state;
	grant(3600);
	happens_only(EVENT_STOP);
	fails(FAILURE_CONNECT, ECONNREFUSED);
	assert_true(a.finished && a.set);
	begin(NULL);
	grant(3600);
	happens_only(EVENT_STOP);
	refuses(STATUS_UNSUPPORTED, 0);
	assert_true(a.finished && a.set);
	assert_int_equal(a.report, REPORT_NONE);
}

static void stop_in_every_state(void **state)
{
	(void)state;
	happens_only(EVENT_STOP); /* asking, nothing sent */
	assert_true(a.finished && !a.set && !a.ask && a.cancel);
	happens_only(EVENT_STOP);
	assert_false(a.finished);

	begin(NULL); /* asking, and perhaps granted already */
	happens_only(EVENT_CONNECTED);
	happens_only(EVENT_STOP);
	assert_asks(COMMAND_RELEASE_IP);

	begin(NULL);
	fails(FAILURE_CONNECT, ECONNREFUSED); /* waiting */
	happens_only(EVENT_STOP);
	assert_true(a.finished && !a.ask);

	begin(NULL);
	grant(3600);
	next(); /* renewing */
	happens_only(EVENT_STOP);
	assert_asks(COMMAND_RELEASE_IP);

	begin(NULL);
	grant(3600);
	next();
	fails(FAILURE_CONNECT, ECONNREFUSED); /* retrying */
	happens_only(EVENT_STOP);
	assert_asks(COMMAND_RELEASE_IP);
	happens_only(EVENT_STOP); /* releasing */
	assert_false(a.ask);
	assert_int_equal(l.state, LIFECYCLE_RELEASING);

	begin(NULL);
	grant(3600);
	happens_only(EVENT_DOWN); /* down: nobody to be reached */
	happens_only(EVENT_STOP);
	assert_true(a.finished && a.set && !a.ask);

	lifecycle_init(&l, 1, WANT_CALL); /* new */
	happens_only(EVENT_STOP);
	assert_true(a.finished && !a.ask);
}

static void the_end_of_the_lease_does_not_disturb_the_release(void **state)
{
	(void)state;
	grant(10);
	now = l.lease.until - 100;
	happens_only(EVENT_STOP);
	assert_int_equal(next(), LIFECYCLE_RELEASE_MS);
	assert_true(a.finished);
}

/* --- one of many --- */

/* A lease whose server wishes for pauses of up to this many seconds. */
static void grant_patience(uint32_t seconds, uint32_t retry)
{
	struct response response = lease_of(seconds);

	response.retry = retry;
	happens_only(EVENT_CONNECTED);
	responds(&response);
	assert_int_equal(l.state, LIFECYCLE_BOUND);
}

/* The pauses of a renewal without an answer, up to the end of the lease; returns how many. */
static unsigned int pauses_of_a_renewal(uint64_t *pauses, unsigned int room)
{
	unsigned int count = 0;

	next();
	for (; lifecycle_holds(&l); ++count) {
		assert_true(count < room);
		fails(FAILURE_CONNECT, ECONNREFUSED);
		pauses[count] = next();
	}
	return count;
}

static void one_of_many_has_time_while_it_holds_a_lease(void **state)
{
	uint64_t pauses[32];
	unsigned int count;

	(void)state;
	grant_patience(3600, 900);
	count = pauses_of_a_renewal(pauses, 32);
	/* From a 64th of the lease on they double, */
	assert_between(pauses[0], 56000 * 3 / 4, 56000);
	assert_between(pauses[1], 112000 * 3 / 4, 112000);
	assert_between(pauses[2], 224000 * 3 / 4, 224000);
	/* up to a quarter of what is left, or half of the server's wish. */
	for (unsigned int i = 3; i < count; ++i)
		assert_true(pauses[i] <= 450000);
	assert_true(count >= 5 && count <= 9);
}

static void one_of_many_asks_once_more_before_the_end(void **state)
{
	uint64_t until, last;

	(void)state;
	for (int seed = 0; seed < 500; ++seed) {
		now = BEGIN;
		lifecycle_init(&l, seed, WANT_CALL);
		happens_only(EVENT_START);
		grant_patience(3600, 900);
		until = l.lease.until;
		for (last = 0; next(), lifecycle_holds(&l); last = now)
			fails(FAILURE_CONNECT, ECONNREFUSED);
		assert_int_equal(now, until);
		assert_between(last, until - LIFECYCLE_EXCHANGE_MS, until - 1000);
	}
}

static void one_of_many_waits_its_turn_once_the_lease_is_over(void **state)
{
	uint64_t ended, least = NEVER, most = 0, pause;

	(void)state;
	grant_patience(3600, 900);
	while (lifecycle_holds(&l)) {
		if (a.ask)
			fails(FAILURE_CONNECT, ECONNREFUSED);
		next();
	}
	ended = now;
	assert_true(a.set);
	assert_int_equal(a.report, REPORT_EXPIRED);
	assert_false(a.ask);
	assert_int_equal(l.state, LIFECYCLE_WAITING);
	next();
	assert_asks(COMMAND_REQUEST_IP);
	assert_between(now - ended, 675000 - LIFECYCLE_EXCHANGE_MS, 900000);
	for (int i = 0; i < 200; ++i) {
		fails(FAILURE_CONNECT, ECONNREFUSED);
		pause = next();
		least = pause < least ? pause : least;
		most = pause > most ? pause : most;
	}
	assert_between(least, 675000, 680000);
	assert_between(most, 895000, 900000);
	grant_patience(3600, 900);
	assert_int_equal(a.report, REPORT_GRANTED);
}

/* As it is when the process could not run for a moment. */
static void a_failure_that_is_heard_of_after_the_end_makes_no_longer_pause(void **state)
{
	(void)state;
	grant_patience(36000, 100);
	for (next(); l.lease.until - now > LIFECYCLE_EXCHANGE_MS; next())
		fails(FAILURE_CONNECT, ECONNREFUSED);
	assert_int_equal(l.state, LIFECYCLE_RENEWING);
	now = l.lease.until + 1;
	fails(FAILURE_CONNECT, ECONNREFUSED);
	happens_only(EVENT_TIME);
	assert_int_equal(a.report, REPORT_EXPIRED);
	assert_int_equal(l.state, LIFECYCLE_WAITING);
	assert_true(lifecycle_deadline(&l) - now <= 100000);
}

static void a_server_cannot_wish_for_more_than_a_quarter_of_the_lease(void **state)
{
	static const struct {
		uint32_t lease, wish, patience;
	} cases[] = {
		{ 3600, 0, 0 }, { 3600, 64, 0 }, { 3600, 65, 65 }, { 3600, 900, 900 },
		{ 3600, 901, 900 }, { 3600, UINT32_MAX, 900 }, { 600, 900, 150 }, { 256, 900, 0 },
		{ 260, 900, 65 }, { 86400, 900, 900 }, { 86400, 21600, LIFECYCLE_PATIENCE_MAX },
		{ LEASE_TIME_MAX, UINT32_MAX, LIFECYCLE_PATIENCE_MAX },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); ++i) {
		begin(NULL);
		grant_patience(cases[i].lease, cases[i].wish);
		assert_int_equal(l.patience, cases[i].patience);
	}
}

static void a_server_that_wishes_no_more_is_asked_as_before(void **state)
{
	(void)state;
	grant_patience(3600, 900);
	next();
	grant_patience(3600, 0);
	next();
	fails(FAILURE_CONNECT, ECONNREFUSED);
	assert_int_equal(next(), 1000);
}

/* Without addresses and with a long pause before it. */
static void loses_its_lease(void)
{
	begin(NULL);
	grant_patience(3600, 900);
	while (l.state != LIFECYCLE_WAITING) {
		if (a.ask)
			fails(FAILURE_CONNECT, ECONNREFUSED);
		next();
	}
	assert_true(lifecycle_deadline(&l) - now > 600000);
}

static void what_is_news_is_followed_at_once_also_by_one_of_many(void **state)
{
	(void)state;
	loses_its_lease();
	happens_only(EVENT_CALLED);
	assert_asks(COMMAND_REQUEST_IP);
	fails(FAILURE_CONNECT, ECONNREFUSED);
	assert_between(next(), 750, 1000);

	loses_its_lease();
	happens_only(EVENT_DOWN);
	happens_only(EVENT_UP);
	assert_asks(COMMAND_REQUEST_IP);
	fails(FAILURE_CONNECT, ECONNREFUSED);
	assert_between(next(), 750, 1000);

	/* After a suspend nobody knows how things are. */
	loses_its_lease();
	now += 4 * 3600 * 1000;
	happens_only(EVENT_TIME);
	assert_asks(COMMAND_REQUEST_IP);
	fails(FAILURE_CONNECT, EHOSTUNREACH);
	assert_between(next(), 750, 1000);
	fails(FAILURE_CONNECT, EHOSTUNREACH);
	assert_between(next(), 1500, 2000);

	/* Also one that began while a lease was held, and lasted beyond it. */
	begin(NULL);
	grant_patience(3600, 900);
	next();
	fails(FAILURE_CONNECT, ECONNREFUSED);
	assert_int_equal(l.state, LIFECYCLE_RETRYING);
	now += 4 * 3600 * 1000;
	happens_only(EVENT_TIME);
	assert_int_equal(a.report, REPORT_EXPIRED);
	assert_asks(COMMAND_REQUEST_IP);
}

static void errno_4_says_when_also_to_one_of_many(void **state)
{
	(void)state;
	grant_patience(3600, 900);
	next();
	refuses(STATUS_LATER, 5);
	assert_int_equal(next(), 5000);
	loses_its_lease();
	next();
	refuses(STATUS_LATER, 3600);
	assert_int_equal(next(), LIFECYCLE_PAUSE_MAX * 1000);
}

static void once_nobody_was_there_one_of_many_looks_for_less_long(void **state)
{
	(void)state;
	grant_patience(3600, 900);
	next();
	assert_int_equal(next(), LIFECYCLE_EXCHANGE_MS);
	assert_int_equal(l.failure.kind, FAILURE_CONNECT_TIMEOUT);
	next();
	assert_int_equal(next(), LIFECYCLE_PROBE_MS);
	assert_int_equal(l.failure.kind, FAILURE_CONNECT_TIMEOUT);
	/* Who is there has as much time to answer as ever. */
	next();
	now += 2900;
	happens_only(EVENT_CONNECTED);
	happens_only(EVENT_CONNECTED);
	assert_int_equal(next(), LIFECYCLE_EXCHANGE_MS - 2900);
	assert_int_equal(l.failure.kind, FAILURE_ANSWER_TIMEOUT);
	next();
	assert_int_equal(next(), LIFECYCLE_EXCHANGE_MS);
	/* So does what has been called. */
	next();
	assert_int_equal(next(), LIFECYCLE_PROBE_MS);
	happens_only(EVENT_CALLED);
	assert_int_equal(next(), LIFECYCLE_EXCHANGE_MS);
	assert_between(next(), 750, 1000);
}

/* --- two weeks --- */

static uint64_t chance(uint64_t below)
{
	static uint64_t x = 88172645463325252;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x % below;
}

static void check_invariants(void)
{
	switch (l.state) {
	case LIFECYCLE_ASKING:
	case LIFECYCLE_WAITING:
		assert_false(lifecycle_holds(&l));
		break;
	case LIFECYCLE_BOUND:
	case LIFECYCLE_RENEWING:
	case LIFECYCLE_RETRYING:
		assert_true(lifecycle_holds(&l));
		break;
	default:
		assert_int_equal(l.state, LIFECYCLE_DOWN);
	}
	if (lifecycle_holds(&l)) {
		assert_true(l.lease.until > now);
		assert_true(lifecycle_deadline(&l) <= l.lease.until);
	}
	assert_true(lifecycle_deadline(&l) > now);
	assert_false(a.ask && a.finished);
}

/* One answer of a server that is more often well than not. */
static void answer(bool server_away, uint64_t asked)
{
	struct response response = lease_of(10 + chance(4000));

	if (server_away) {
		if (chance(2))
			fails(FAILURE_CONNECT, ECONNREFUSED);
		return; /* else silence */
	}
	happens_only(EVENT_CONNECTED);
	now += chance(500);
	response.ip[V4].ip[3] = 1 + chance(3);
	response.lease_start += chance(40) - 20;
	response.retry = chance(3) ? 0 : chance(2000);
	switch (chance(12)) {
	case 0:
		fails(FAILURE_MALFORMED, 0);
		break;
	case 1:
		fails(FAILURE_CLOSED, ECONNRESET);
		break;
	case 2:
		refuses(1 + chance(4), chance(100));
		break;
	default:
		responds(&response);
		assert_true(l.state == LIFECYCLE_BOUND);
		assert_true(l.lease.until <= asked + response.lease_time * 1000ULL);
	}
}

static void two_weeks(void **state)
{
	uint64_t end = BEGIN + 14ULL * 86400 * 1000, away_until = 0, last_ask = 0, asks = 0;
	uint64_t held_ms = 0, before, pause;
	bool up = true;

	(void)state;
	begin(NULL);
	while (now < end) {
		if (a.ask) {
			++asks;
			last_ask = now;
			answer(now < away_until, now);
			check_invariants();
		}
		switch (chance(200)) {
		case 0:
			away_until = now + chance(7200 * 1000);
			break;
		case 1:
			up = !up;
			happens_only(up ? EVENT_UP : EVENT_DOWN);
			check_invariants();
			continue;
		}
		before = now;
		if (lifecycle_deadline(&l) == NEVER) {
			now += 60000;
			up = true;
			happens_only(EVENT_UP);
			continue;
		}
		/* On time, a little late, or after a night's sleep. */
		now = lifecycle_deadline(&l) + (chance(100) ? chance(3) : chance(30000 * 1000));
		if (lifecycle_holds(&l))
			held_ms += (now < l.lease.until ? now : l.lease.until) - before;
		pause = now - last_ask;
		happens_only(EVENT_TIME);
		assert_true(!a.ask || pause >= 1000 || a.report == REPORT_EXPIRED);
		check_invariants();
	}
	assert_true(asks > 500);
	assert_true(held_ms > (end - BEGIN) / 4);
	/* All is well again: addresses within a pause and an exchange. */
	happens_only(EVENT_UP);
	for (int i = 0; i < 4 && !lifecycle_holds(&l); ++i) {
		if (a.ask)
			grant(3600);
		else
			next();
	}
	assert_true(lifecycle_holds(&l));
}

/* --- options and calls --- */

static void options_come_and_go_with_the_lease(void **state)
{
	struct options options = { .mtu = 1300 };
	struct response response = lease_of(60);

	(void)state;
	response.options = &options;
	options_add(&options, "route", "10.0.0.0/8");
	responds(&response);
	assert_true(a.set);
	assert_true(options_equal(&l.options, &options));

	happens_only(EVENT_CALLED);
	options_clear(&options, WANT_MTU);
	responds(&response);
	assert_true(a.set);
	assert_true(options_equal(&l.options, &options));
	/* What fails changes nothing. */
	happens_only(EVENT_CALLED);
	refuses(STATUS_LATER, 0);
	assert_true(options_equal(&l.options, &options));

	while (l.counters.expiries == 0) {
		next();
		if (a.ask && l.state != LIFECYCLE_ASKING)
			fails(FAILURE_CLOSED, 0);
	}
	assert_true(a.set);
	assert_int_equal(options_present(&l.options), 0);

	response = lease_of(60);
	response.options = &options;
	responds(&response);
	assert_int_equal(options_present(&l.options), WANT_ROUTE);
	happens_only(EVENT_STOP);
	responds(&(struct response){ 0 });
	assert_int_equal(l.state, LIFECYCLE_ENDED);
	assert_true(a.set);
	assert_int_equal(options_present(&l.options), 0);
}

static void asks_for_what_is_wanted(void **state)
{
	(void)state;
	assert_int_equal(a.request.want, WANT_CALL);
	lifecycle_init(&l, 1, WANT_ROUTE | WANT_DNS);
	happens_only(EVENT_START);
	assert_int_equal(a.request.want, WANT_ROUTE | WANT_DNS);
	grant(60);
	happens_only(EVENT_STOP);
	assert_asks(COMMAND_RELEASE_IP);
	assert_int_equal(a.request.want, 0);
}

static void renews_at_once_when_called(void **state)
{
	(void)state;
	grant(3600);
	now += 5000;
	happens_only(EVENT_CALLED);
	assert_asks(COMMAND_REQUEST_IP);
	assert_int_equal(l.state, LIFECYCLE_RENEWING);
	assert_int_equal(l.counters.calls, 1);
	fails(FAILURE_CONNECT, ECONNREFUSED);
	assert_int_equal(l.state, LIFECYCLE_RETRYING);
	happens_only(EVENT_CALLED);
	assert_asks(COMMAND_REQUEST_IP);
	grant(3600);
	assert_true(lifecycle_deadline(&l) > now + 1000);
	assert_int_equal(l.counters.calls, 2);
}

static void asks_at_once_when_called_without_a_lease(void **state)
{
	(void)state;
	refuses(STATUS_LATER, 60);
	assert_int_equal(l.state, LIFECYCLE_WAITING);
	happens_only(EVENT_CALLED);
	assert_asks(COMMAND_REQUEST_IP);
	assert_int_equal(l.state, LIFECYCLE_ASKING);
}

/* Its answer may have been on the way already. */
static void asks_again_after_the_answer_when_called_meanwhile(void **state)
{
	(void)state;
	happens_only(EVENT_CALLED);
	assert_false(a.ask);
	happens_only(EVENT_CALLED);
	assert_false(a.ask);
	grant(3600);
	assert_int_equal(next(), 0);
	assert_asks(COMMAND_REQUEST_IP);
	grant(3600);
	assert_true(lifecycle_deadline(&l) > now + 1000);
}

static void a_call_means_nothing_when_down_or_at_the_end(void **state)
{
	(void)state;
	grant(3600);
	happens_only(EVENT_DOWN);
	happens_only(EVENT_CALLED);
	assert_false(a.ask);
	assert_int_equal(l.state, LIFECYCLE_DOWN);
	happens_only(EVENT_UP);
	grant(3600);
	happens_only(EVENT_STOP);
	happens_only(EVENT_CALLED);
	assert_false(a.ask);
	assert_int_equal(l.state, LIFECYCLE_RELEASING);
	responds(&(struct response){ 0 });
	happens_only(EVENT_CALLED);
	assert_int_equal(l.state, LIFECYCLE_ENDED);
	assert_int_equal(l.counters.calls, 0);
	lifecycle_init(&l, 1, WANT_CALL); /* new */
	happens_only(EVENT_CALLED);
	assert_false(a.ask);
}

/* By the other half, which believes nothing. */
static void a_lease_that_cannot_be_is_told_from_one_that_can(void **state)
{
	static const struct cidr bad[] = {
		{ AF_INET, 31, { 192, 0, 2, 6 } }, { AF_INET, 128, { 192, 0, 2, 7 } },
		{ AF_INET, 32, { 127, 0, 0, 1 } }, { AF_INET, 32, { 224, 0, 0, 1 } },
		{ AF_INET, 32, { 0 } }, { AF_INET6, 32, { 192, 0, 2, 7 } },
		{ AF_INET6, 128, { 0xfe, 0x80 } }, { AF_INET6, 128, { 0xff, 2, [15] = 1 } },
		{ AF_INET, 32, { 192, 0, 2, 7, [15] = 1 } },
		{ AF_INET6, 128, { [15] = 1 } }, { AF_INET6, 127, { 0x20, 1 } },
		{ AF_INET6, 128, { 0x20, 1, 0x0d, 0xb8, [15] = 7 } }, { 77, 32, { 192, 0, 2, 7 } },
	};
	const struct lifecycle_lease good = {
		.ip = { granted.ip[V4], granted.ip[V6] },
		.until = now + 1,
	};
	struct lifecycle_lease lease = { .until = 0 };

	(void)state;
	assert_true(lifecycle_lease_valid(&lease, now));
	assert_true(lifecycle_lease_valid(&good, now));
	assert_false(lifecycle_lease_valid(&good, now + 1));
	lease = good;
	lease.until = now + LEASE_TIME_MAX * 1000ULL;
	assert_true(lifecycle_lease_valid(&lease, now));
	++lease.until;
	assert_false(lifecycle_lease_valid(&lease, now));
	lease.until = NEVER;
	assert_false(lifecycle_lease_valid(&lease, now));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); ++i) {
		lease = good;
		lease.ip[V4] = bad[i];
		assert_false(lifecycle_lease_valid(&lease, now));
		if (bad[i].family != AF_INET6 || bad[i].ip[2] == 0x0d)
			continue;
		lease = good;
		lease.ip[V6] = bad[i];
		assert_false(lifecycle_lease_valid(&lease, now));
	}
}

#define TEST(function) cmocka_unit_test_setup(function, begin)

static void counts(void **state)
{
	static const enum failure_kind kinds[] = {
		FAILURE_SOCKET, FAILURE_CONNECT, FAILURE_CONNECT, FAILURE_CLOSED, FAILURE_MALFORMED,
	};
	const struct lifecycle_counters *c = &l.counters;
	struct response other, late = lease_of(1);

	(void)state;
	assert_int_equal(c->requests, 1);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); ++i) {
		fails(kinds[i], 0);
		next();
	}
	next(); /* nobody has answered, */
	next();
	happens_only(EVENT_CONNECTED);
	next(); /* nor when there was a connection */
	next();
	late.lease_start = 0;
	happens_only(EVENT_CONNECTED);
	now += 2000;
	responds(&late);
	next();
	for (enum status status = STATUS_INVALID; status <= STATUS_LATER; ++status) {
		refuses(status, 0);
		next();
	}
	refuses(STATUS_LATER, 7);
	next();
	assert_int_equal(c->requests, 14);
	assert_int_equal(c->failures[FAILURE_SOCKET], 1);
	assert_int_equal(c->failures[FAILURE_CONNECT], 2);
	assert_int_equal(c->failures[FAILURE_CONNECT_TIMEOUT], 1);
	assert_int_equal(c->failures[FAILURE_ANSWER_TIMEOUT], 1);
	assert_int_equal(c->failures[FAILURE_CLOSED], 1);
	assert_int_equal(c->failures[FAILURE_MALFORMED], 1);
	assert_int_equal(c->failures[FAILURE_LATE], 1);
	assert_int_equal(c->failures[FAILURE_REFUSED], 5);
	assert_int_equal(c->refusals[STATUS_INVALID], 1);
	assert_int_equal(c->refusals[STATUS_UNSUPPORTED], 1);
	assert_int_equal(c->refusals[STATUS_UNAVAILABLE], 1);
	assert_int_equal(c->refusals[STATUS_LATER], 2);
	assert_int_equal(c->grants + c->renewals + c->expiries, 0);

	grant(60);
	next();
	grant(60); /* the same again */
	next();
	fails(FAILURE_CLOSED, 0);
	next();
	grant(60); /* and again, when it has recovered */
	next();
	other = lease_of(10);
	other.ip[V4].ip[3] = 8;
	happens_only(EVENT_CONNECTED);
	responds(&other);
	assert_int_equal(c->grants, 2);
	assert_int_equal(c->renewals, 2);
	assert_int_equal(c->expiries, 0);
	happens_only(EVENT_DOWN);
	next();
	assert_int_equal(a.report, REPORT_EXPIRED);
	assert_int_equal(c->expiries, 1);
	assert_int_equal(c->requests, 18);
	happens_only(EVENT_UP);
	assert_int_equal(c->requests, 19);
	/* A release is none. */
	happens_only(EVENT_CONNECTED);
	happens_only(EVENT_STOP);
	assert_asks(COMMAND_RELEASE_IP);
	assert_int_equal(c->requests, 19);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(names_are_there),
		TEST(asks_at_once),
		TEST(is_granted),
		TEST(options_come_and_go_with_the_lease),
		TEST(asks_for_what_is_wanted),
		TEST(renews_at_once_when_called),
		TEST(asks_at_once_when_called_without_a_lease),
		TEST(asks_again_after_the_answer_when_called_meanwhile),
		TEST(a_call_means_nothing_when_down_or_at_the_end),
		TEST(a_lease_that_cannot_be_is_told_from_one_that_can),
		TEST(asks_when_started_with_the_link_down),
		TEST(renews_at_once_what_another_has_left),
		TEST(renews_at_half_the_lease_by_chance_earlier),
		TEST(renews_when_the_server_wishes),
		TEST(renews_once_a_second_at_most),
		TEST(takes_no_renewal_at_or_behind_the_end),
		TEST(a_renewal_says_nothing_when_all_stays_the_same),
		TEST(other_addresses_take_the_place),
		TEST(the_shortest_lease),
		TEST(the_longest_lease),
		TEST(pauses_double_up_to_a_minute),
		TEST(pauses_differ),
		TEST(pauses_are_a_quarter_of_what_is_left_at_most),
		TEST(success_makes_the_next_pause_short_again),
		TEST(a_request_without_an_answer_is_given_up),
		TEST(expires_exactly_on_time),
		TEST(expires_in_the_midst_of_a_request),
		TEST(a_suspend_over_the_renewal_renews_at_once),
		TEST(a_suspend_over_the_end_removes_and_asks),
		TEST(an_early_wakeup_changes_nothing),
		TEST(a_clock_that_differs_does_not_count),
		TEST(a_clock_that_agrees_counts_when_it_is_earlier),
		TEST(counts_from_the_request_not_from_the_response),
		TEST(a_lease_that_is_over_when_it_comes),
		TEST(refusals_are_told_once),
		TEST(refusals_keep_what_is_held),
		TEST(errno_3_with_an_address_is_a_success),
		TEST(errno_4_says_when),
		TEST(errno_4_never_risks_the_lease),
		TEST(short_prefixes_become_host_prefixes),
		TEST(addresses_that_nobody_can_have_are_malformed),
		TEST(malformed_and_closed_keep_what_is_held),
		TEST(events_of_an_abandoned_request_do_nothing),
		TEST(waits_while_the_link_is_down),
		TEST(a_lease_ends_on_time_while_the_link_is_down),
		TEST(down_and_up_in_every_state),
		TEST(stop_releases),
		TEST(stop_waits_a_second_at_most),
		TEST(stop_with_a_server_that_fails),
		TEST(stop_in_every_state),
		TEST(the_end_of_the_lease_does_not_disturb_the_release),
		TEST(one_of_many_has_time_while_it_holds_a_lease),
		TEST(one_of_many_asks_once_more_before_the_end),
		TEST(one_of_many_waits_its_turn_once_the_lease_is_over),
		TEST(a_failure_that_is_heard_of_after_the_end_makes_no_longer_pause),
		TEST(a_server_cannot_wish_for_more_than_a_quarter_of_the_lease),
		TEST(a_server_that_wishes_no_more_is_asked_as_before),
		TEST(what_is_news_is_followed_at_once_also_by_one_of_many),
		TEST(errno_4_says_when_also_to_one_of_many),
		TEST(once_nobody_was_there_one_of_many_looks_for_less_long),
		TEST(two_weeks),
		TEST(counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
