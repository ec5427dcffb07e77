// SPDX-License-Identifier: MIT
/*
 * The event loop: what is delivered, what is not any more, and when turns come.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <fcntl.h>
#include <unistd.h>
#include <cmocka.h>

#include "loop.h"

enum { WATCHES = 100 };

/* A pipe with something in it, and what happened to its watch. */
struct end {
	struct watch watch;
	int write_fd;
	int calls;
	uint32_t events;
};

static struct loop loop;
static struct end ends[WATCHES];
static int turns;
static uint64_t began;

static int open_loop(void **state)
{
	(void)state;
	assert_true(loop_open(&loop));
	memset(ends, 0, sizeof(ends));
	turns = 0;
	began = now_ms();
	return 0;
}

static int close_loop(void **state)
{
	(void)state;
	for (int i = 0; i < WATCHES && ends[i].watch.fd; ++i) {
		close(ends[i].watch.fd);
		close(ends[i].write_fd);
	}
	loop_close(&loop);
	return 0;
}

static void read_one(struct watch *watch, uint32_t events)
{
	struct end *end = watch_owner(watch, struct end, watch);
	char byte;

	++end->calls;
	end->events |= events;
	assert_int_equal(read(watch->fd, &byte, 1), 1);
}

static void open_end(struct end *end, void (*ready)(struct watch *, uint32_t), int bytes)
{
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	end->watch.fd = fds[0];
	end->watch.ready = ready;
	end->write_fd = fds[1];
	while (bytes--)
		assert_int_equal(write(fds[1], "x", 1), 1);
	assert_true(loop_add(&loop, &end->watch, EPOLLIN));
}

/* Ends the loop with its second turn. */
static uint64_t one_turn(void *data)
{
	(void)data;
	loop.stop = ++turns % 2 == 0;
	return NEVER;
}

static uint64_t until_quiet(void *data)
{
	/* Stops at the second turn in which nothing has come. */
	int *calls = data, now = 0;

	for (int i = 0; i < WATCHES; ++i)
		now += ends[i].calls;
	if (turns++ && now == *calls)
		loop.stop = true;
	*calls = now;
	return 0;
}

static void each_is_called(void **state)
{
	int calls = -1;

	(void)state;
	/* More than are handled together. */
	for (int i = 0; i < WATCHES; ++i)
		open_end(&ends[i], read_one, 1 + i % 3);
	loop_run(&loop, until_quiet, &calls);
	for (int i = 0; i < WATCHES; ++i) {
		assert_int_equal(ends[i].calls, 1 + i % 3);
		assert_int_equal(ends[i].events, EPOLLIN);
	}
}

/* Whoever comes first removes all others, and frees the way to reuse them. */
static void remove_others(struct watch *watch, uint32_t events)
{
	read_one(watch, events);
	for (int i = 0; i < WATCHES; ++i) {
		if (&ends[i].watch != watch)
			loop_remove(&loop, &ends[i].watch);
	}
}

static int order_of_calls;

static void note_order(struct watch *watch, uint32_t events)
{
	read_one(watch, events);
	watch_owner(watch, struct end, watch)->calls = ++order_of_calls;
}

static void one_comes_before_the_others(void **state)
{
	(void)state;
	for (int first = 0; first < 3; ++first) {
		order_of_calls = 0;
		for (int i = 0; i < 3; ++i) {
			if (!first)
				open_end(&ends[i], note_order, 3);
			ends[i].calls = 0;
		}
		loop.first = &ends[first].watch;
		loop.stop = false;
		loop_run(&loop, one_turn, NULL);
		assert_int_equal(ends[first].calls, 1);
		for (int i = 0; i < 3; ++i)
			assert_in_range(ends[i].calls, 1, 3);
	}
}

static void what_is_removed_is_not_called(void **state)
{
	int calls = -1, called = 0;

	(void)state;
	for (int i = 0; i < WATCHES; ++i)
		open_end(&ends[i], remove_others, 1);
	loop_run(&loop, until_quiet, &calls);
	for (int i = 0; i < WATCHES; ++i) {
		called += ends[i].calls;
		assert_int_equal(ends[i].watch.added, ends[i].calls);
	}
	assert_int_equal(called, 1);
	/* Twice does no harm. */
	loop_remove(&loop, &ends[0].watch);
	loop_remove(&loop, &ends[0].watch);
}

/* Likewise closes them. */
static void close_others(struct watch *watch, uint32_t events)
{
	read_one(watch, events);
	for (int i = 0; i < WATCHES; ++i) {
		if (&ends[i].watch != watch)
			loop_close_watch(&loop, &ends[i].watch);
	}
}

static void what_is_closed_is_not_called(void **state)
{
	int calls = -1, called = 0, fds[WATCHES];

	(void)state;
	for (int i = 0; i < WATCHES; ++i) {
		open_end(&ends[i], close_others, 1);
		fds[i] = ends[i].watch.fd;
	}
	loop_run(&loop, until_quiet, &calls);
	for (int i = 0; i < WATCHES; ++i) {
		called += ends[i].calls;
		assert_int_equal(ends[i].watch.added, ends[i].calls);
		assert_int_equal(ends[i].watch.fd, ends[i].calls ? fds[i] : -1);
		assert_int_equal(fcntl(fds[i], F_GETFD) >= 0, ends[i].calls);
	}
	assert_int_equal(called, 1);
	/* Twice does no harm; and one that was never waited for is closed as well. */
	loop_close_watch(&loop, &ends[0].watch);
	loop_close_watch(&loop, &ends[0].watch);
	ends[0].watch.fd = dup(ends[0].write_fd);
	assert_true(ends[0].watch.fd >= 0);
	fds[0] = ends[0].watch.fd;
	loop_close_watch(&loop, &ends[0].watch);
	assert_int_equal(fcntl(fds[0], F_GETFD), -1);
	for (int i = 0; i < WATCHES; ++i)
		close(ends[i].write_fd);
	ends[0].watch.fd = 0; /* nothing is left to be closed */
}

static void remove_itself(struct watch *watch, uint32_t events)
{
	read_one(watch, events);
	loop_remove(&loop, watch);
}

static void one_that_removes_itself(void **state)
{
	int calls = -1;

	(void)state;
	open_end(&ends[0], remove_itself, 3);
	open_end(&ends[1], read_one, 3);
	loop_run(&loop, until_quiet, &calls);
	assert_int_equal(ends[0].calls, 1);
	assert_int_equal(ends[1].calls, 3);
}

static void what_is_waited_for_can_change(void **state)
{
	int calls = -1;

	(void)state;
	open_end(&ends[0], read_one, 1);
	open_end(&ends[1], read_one, 1);
	loop_change(&loop, &ends[0].watch, 0);
	loop_run(&loop, until_quiet, &calls);
	assert_int_equal(ends[0].calls, 0);
	assert_int_equal(ends[1].calls, 1);
	loop_change(&loop, &ends[0].watch, EPOLLIN);
	/* One that is not there stays so. */
	loop_remove(&loop, &ends[1].watch);
	assert_int_equal(write(ends[1].write_fd, "x", 1), 1);
	loop_change(&loop, &ends[1].watch, EPOLLIN | EPOLLOUT);
	loop.stop = false;
	turns = 0;
	loop_run(&loop, until_quiet, &calls);
	assert_int_equal(ends[0].calls, 1);
	assert_int_equal(ends[1].calls, 1);
}

static void a_descriptor_that_can_not_be_waited_for(void **state)
{
	struct watch watch = { .fd = -1 };

	(void)state;
	assert_false(loop_add(&loop, &watch, EPOLLIN));
	assert_false(watch.added);
	loop_change(&loop, &watch, EPOLLOUT);
	loop_remove(&loop, &watch);
}

/* --- turns --- */

static uint64_t stop_at_third(void *data)
{
	const uint64_t *pauses = data;

	if (turns == 3)
		loop.stop = true;
	return now_ms() + pauses[turns++];
}

static void turns_come_in_time(void **state)
{
	uint64_t pauses[] = { 30, 20, 10, 100000 }, took;

	(void)state;
	loop_run(&loop, stop_at_third, pauses);
	took = now_ms() - began;
	assert_int_equal(turns, 4);
	/* Never early; and not by a poll that turns and turns. */
	assert_true(took >= 60);
	assert_true(took < 5000);
}

static uint64_t late_then_stop(void *data)
{
	/* A time that has gone by, however long ago, is now. */
	const uint64_t past[] = { 1, began - 1, began, 0 };

	(void)data;
	if (turns == 4)
		loop.stop = true;
	return turns < 4 ? past[turns++] : NEVER;
}

static void a_time_that_has_gone_by_is_now(void **state)
{
	(void)state;
	loop_run(&loop, late_then_stop, NULL);
	assert_int_equal(turns, 4);
	assert_true(now_ms() - began < 5000);
}

static void wake(struct watch *watch, uint32_t events)
{
	read_one(watch, events);
	loop.stop = true;
}

static uint64_t never(void *data)
{
	(void)data;
	/* The second turn is the one of a timer that should have been quiet. */
	if (turns++ == 1)
		assert_int_equal(write(ends[0].write_fd, "x", 1), 1);
	return turns == 1 ? now_ms() + 5 : NEVER;
}

static void never_means_never(void **state)
{
	(void)state;
	open_end(&ends[0], wake, 0);
	loop_run(&loop, never, NULL);
	/* Stopped by a handler: no turn after it. */
	assert_int_equal(turns, 2);
	assert_int_equal(ends[0].calls, 1);
}

static void stop_now(struct watch *watch, uint32_t events)
{
	(void)watch;
	(void)events;
	loop.stop = true;
}

static uint64_t soon_then_never(void *data)
{
	(void)data;
	return turns++ ? NEVER : now_ms() + 20;
}

/* Something comes before the time does: and then nobody wants to be called any more. */
static void a_time_that_is_not_wanted_any_more(void **state)
{
	const struct itimerspec later = { .it_value.tv_nsec = 100000000 };

	(void)state;
	open_end(&ends[0], read_one, 1);
	ends[1].watch.fd = timerfd_create(CLOCK_MONOTONIC, 0);
	ends[1].watch.ready = stop_now;
	ends[1].write_fd = -1;
	assert_int_equal(timerfd_settime(ends[1].watch.fd, 0, &later, NULL), 0);
	assert_true(loop_add(&loop, &ends[1].watch, EPOLLIN));
	loop_run(&loop, soon_then_never, NULL);
	assert_int_equal(turns, 2);
}

static void signals(void **state)
{
	const int list[] = { SIGUSR1, SIGUSR2 };
	struct signalfd_siginfo info;
	int fd = loop_signals(list, 2);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(read(fd, &info, sizeof(info)), -1);
	/* Neither ends the process. */
	assert_int_equal(raise(SIGUSR1), 0);
	assert_int_equal(raise(SIGUSR2), 0);
	assert_int_equal(read(fd, &info, sizeof(info)), sizeof(info));
	assert_int_equal(info.ssi_signo, SIGUSR1);
	assert_int_equal(read(fd, &info, sizeof(info)), sizeof(info));
	assert_int_equal(info.ssi_signo, SIGUSR2);
	close(fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_loop, close_loop)
	const struct CMUnitTest tests[] = {
		TEST(each_is_called),
		TEST(one_comes_before_the_others),
		TEST(what_is_removed_is_not_called),
		TEST(what_is_closed_is_not_called),
		TEST(one_that_removes_itself),
		TEST(what_is_waited_for_can_change),
		TEST(a_descriptor_that_can_not_be_waited_for),
		TEST(turns_come_in_time),
		TEST(a_time_that_has_gone_by_is_now),
		TEST(never_means_never),
		TEST(a_time_that_is_not_wanted_any_more),
		TEST(signals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
