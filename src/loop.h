/* SPDX-License-Identifier: MIT */
/*
 * The event loop of every process: epoll, one timer on CLOCK_BOOTTIME (which goes on during
 * suspend, and which nobody can set), and signals as events.
 */

#ifndef LOOP_H
#define LOOP_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

#define NEVER UINT64_MAX

/* The struct of this type that a watch is the member of. */
#define watch_owner(watch, type, member) ((type *)((char *)(watch) - offsetof(type, member)))

/* A descriptor that is waited for; part of the caller's struct. Zero it before loop_add(). */
struct watch {
	int fd;
	void (*ready)(struct watch *watch, uint32_t events); /* EPOLLIN, ... */
	uint32_t events; /* what is waited for now */
	bool added;
};

struct loop {
	int epoll_fd, timer_fd;
	uint64_t timer_at;
	bool stop;
	const struct watch *first; /* handled before what comes together with it; or NULL */
	int pending; /* of batch[], those not yet handled begin at next */
	int next;
	struct epoll_event batch[64];
};

/* Milliseconds of CLOCK_BOOTTIME. */
uint64_t now_ms(void);

/* False with errno set when descriptors run out. */
bool loop_open(struct loop *loop);
void loop_close(struct loop *loop);

/* The earlier of two times. */
uint64_t sooner(uint64_t a, uint64_t b);

/*
 * Sets the watch up for a descriptor (none below 0) and starts to wait for EPOLLIN. False with
 * errno set.
 */
bool loop_watch(struct loop *loop, struct watch *watch, int fd,
		void (*ready)(struct watch *watch, uint32_t events));

/* Starts to wait for events on watch->fd; false with errno set. */
bool loop_add(struct loop *loop, struct watch *watch, uint32_t events);

/* Waits for other events from now on. A watch that was not added stays so. */
void loop_change(struct loop *loop, struct watch *watch, uint32_t events);

/*
 * Stops waiting; an event that has come already is not delivered, so the watch may be freed.
 * The descriptor stays open.
 */
void loop_remove(struct loop *loop, struct watch *watch);

/*
 * Likewise, and closes the descriptor, if there is one; no other may stand for the same file, as
 * in the process that sent it here: then closing it ends the wait by itself.
 */
void loop_close_watch(struct loop *loop, struct watch *watch);

/*
 * Until loop->stop: waits, calls ready() for each event, then turn(data), once for all the events
 * that came together. turn() returns when it wants to be called again if nothing comes:
 * milliseconds of now_ms(), 0 for at once, or NEVER.
 */
void loop_run(struct loop *loop, uint64_t (*turn)(void *data), void *data);

/*
 * Blocks the signals, and returns a non-blocking signalfd that gets them; -1 with errno set.
 */
int loop_signals(const int *signals, int count);

#endif
