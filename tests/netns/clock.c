// SPDX-License-Identifier: MIT
/*
 * Loaded into a daemon by LD_PRELOAD, with clocks of its own: the file that CLOCKS names holds two
 * numbers, by which the wall clock (s) and that which counts while the host is suspended, too (ms),
 * are ahead of the kernel's. Both may be changed at any time, as by who sets the clock, and by a
 * suspend: timers that are due by then fire, as the kernel's do when it resumes.
 */

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { LOOK_MS = 20 };

static const volatile struct clocks {
	int64_t wall, boot;
} *clocks;

/* Of the loop, which has but one. */
static struct itimerspec timer;
static int timer_fd = -1;

/* Mapped before there is a filter, or an empty root directory. */
__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("CLOCKS");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *at;

	if (fd < 0)
		return;
	at = mmap(NULL, sizeof(*clocks), PROT_READ, MAP_SHARED, fd, 0);
	if (at != MAP_FAILED)
		clocks = at;
	close(fd);
}

static void add(struct timespec *time, int64_t ms)
{
	int64_t ns = time->tv_nsec + ms % 1000 * 1000000;

	time->tv_sec += ms / 1000 + (ns >= 1000000000) - (ns < 0);
	time->tv_nsec = ns + (ns < 0) * INT64_C(1000000000) - (ns >= 1000000000) * INT64_C(1000000000);
}

int clock_gettime(clockid_t id, struct timespec *now)
{
	if (syscall(SYS_clock_gettime, id, now) < 0)
		return -1;
	if (clocks && id == CLOCK_REALTIME)
		add(now, clocks->wall * 1000);
	else if (clocks && id == CLOCK_BOOTTIME)
		add(now, clocks->boot);
	return 0;
}

time_t time(time_t *at)
{
	struct timespec now = { 0 };

	clock_gettime(CLOCK_REALTIME, &now);
	if (at)
		*at = now.tv_sec;
	return now.tv_sec;
}

static int timer_set(void)
{
	struct itimerspec when = timer;

	if (clocks && (when.it_value.tv_sec || when.it_value.tv_nsec)) {
		add(&when.it_value, -clocks->boot);
		if (when.it_value.tv_sec < 0)
			when.it_value = (struct timespec){ .tv_nsec = 1 };
	}
	return syscall(SYS_timerfd_settime, timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

int timerfd_settime(int fd, int flags, const struct itimerspec *when, struct itimerspec *before)
{
	(void)flags;
	(void)before;
	timer_fd = fd;
	timer = *when;
	return timer_set();
}

int epoll_wait(int fd, struct epoll_event *events, int most, int timeout)
{
	int64_t boot = clocks ? clocks->boot : 0;
	int ret;

	if (!clocks || timeout >= 0)
		return epoll_pwait(fd, events, most, timeout, NULL);
	while (!(ret = epoll_pwait(fd, events, most, LOOK_MS, NULL))) {
		if (clocks->boot == boot)
			continue;
		boot = clocks->boot;
		timer_set();
	}
	return ret;
}
