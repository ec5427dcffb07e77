// SPDX-License-Identifier: MIT
/* epoll, with one care: a watch can be removed by the handler of another. */

#include <errno.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "loop.h"

uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

bool loop_open(struct loop *loop)
{
	/* The timer's own events have no watch, but the loop. */
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = loop };

	*loop = (struct loop){ .timer_fd = -1, .timer_at = NEVER };
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		return false;
	loop->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (loop->timer_fd >= 0 &&
	    !epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->timer_fd, &event))
		return true;
	loop_close(loop);
	return false;
}

void loop_close(struct loop *loop)
{
	int saved = errno;

	if (loop->timer_fd >= 0)
		close(loop->timer_fd);
	close(loop->epoll_fd);
	errno = saved;
}

bool loop_add(struct loop *loop, struct watch *watch, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };

	watch->events = events;
	watch->added = !epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, watch->fd, &event);
	return watch->added;
}

bool loop_watch(struct loop *loop, struct watch *watch, int fd,
		void (*ready)(struct watch *watch, uint32_t events))
{
	*watch = (struct watch){ .fd = fd, .ready = ready };
	return fd >= 0 && loop_add(loop, watch, EPOLLIN);
}

void loop_change(struct loop *loop, struct watch *watch, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };

	if (!watch->added || watch->events == events)
		return;
	watch->events = events;
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, watch->fd, &event);
}

/* An event that has come for it already is not delivered. */
static void forget(struct loop *loop, struct watch *watch)
{
	watch->added = false;
	for (int i = loop->next; i < loop->pending; ++i) {
		if (loop->batch[i].data.ptr == watch)
			loop->batch[i].data.ptr = NULL;
	}
}

void loop_remove(struct loop *loop, struct watch *watch)
{
	if (!watch->added)
		return;
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
	forget(loop, watch);
}

void loop_close_watch(struct loop *loop, struct watch *watch)
{
	if (watch->added)
		forget(loop, watch);
	if (watch->fd >= 0)
		close(watch->fd);
	watch->fd = -1;
}

static void timer_set(struct loop *loop, uint64_t at)
{
	struct itimerspec when = { 0 };

	if (at == loop->timer_at)
		return;
	loop->timer_at = at;
	if (at != NEVER) {
		when.it_value.tv_sec = at / 1000;
		/* All zero would mean never. */
		when.it_value.tv_nsec = at % 1000 * 1000000 + 1;
	}
	timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

/* Whoever waits for what this one brings has waited longer than those who come now. */
static void put_first(struct loop *loop)
{
	struct epoll_event first;

	for (int i = 1; loop->first && i < loop->pending; ++i) {
		if (loop->batch[i].data.ptr == loop->first) {
			first = loop->batch[i];
			loop->batch[i] = loop->batch[0];
			loop->batch[0] = first;
		}
	}
}

void loop_run(struct loop *loop, uint64_t (*turn)(void *data), void *data)
{
	uint64_t at = turn(data), expirations;
	struct watch *watch;

	while (!loop->stop) {
		if (at)
			timer_set(loop, at);
		loop->pending = epoll_wait(loop->epoll_fd, loop->batch,
					   sizeof(loop->batch) / sizeof(loop->batch[0]),
					   at ? -1 : 0);
		put_first(loop);
		for (loop->next = 0; loop->next < loop->pending;) {
			struct epoll_event *event = &loop->batch[loop->next++];

			watch = event->data.ptr;
			if (event->data.ptr == loop) {
				/* turn() runs anyhow; reading it makes it quiet. */
				if (read(loop->timer_fd, &expirations, sizeof(expirations)) > 0)
					loop->timer_at = NEVER;
			} else if (watch) {
				watch->ready(watch, event->events);
			}
		}
		if (loop->stop)
			break;
		at = turn(data);
	}
}

int loop_signals(const int *signals, int count)
{
	sigset_t set;

	sigemptyset(&set);
	for (int i = 0; i < count; ++i)
		sigaddset(&set, signals[i]);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -1;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}
