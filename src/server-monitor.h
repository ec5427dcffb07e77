/* SPDX-License-Identifier: MIT */
/* What the files of the server's monitor share. */

#ifndef SERVER_MONITOR_H
#define SERVER_MONITOR_H

#include <stdbool.h>
#include <stdint.h>

#include "server-setup.h"
#include "supervisor.h"

struct monitor {
	struct server_setup setup;
	struct loop loop;
	struct supervisor supervisor;
	struct watch signals, events, parent;
	struct guard guard;
	uint32_t stamp; /* counts what was done to the device */
	uint32_t engine_stamp; /* at the start of the engine */
	int exit_status;
	bool gone; /* the interface */
	uint64_t stop_at, routes_at; /* NEVER; routes_at: routes to the pools are to be looked at */

	/* the reading that there is, and the one under way */
	int reading_fd, child_fd;
	struct server_reading reading; /* as told to the engine */
	pid_t child; /* 0: none under way */
	int read_error; /* why the last one failed, or 0 */
	uint64_t child_began, read_at; /* ms; read_at: one is to begin, NEVER */
	uint64_t adopted, read_after; /* not again before: the last one failed */
	uint32_t child_stamp;
	bool disturbed; /* the last one failed, as the device was changed meanwhile */

	struct take *takes, **takes_end; /* orders that wait for a reading */
	uint32_t take_count;
	bool serving; /* the engine has said that it does */
	bool retired_known; /* the guard has been told what the journal permits */
	struct served served; /* as the file has it */
	bool served_failed; /* to be written */
	bool journal_gone; /* which has been said */
	bool reload_due; /* by the next turn that knows the device */
};

extern struct monitor monitor;

/* --- server-monitor.c --- */

/*
 * Wants a reading that begins at `now' (ms) or later, and `pause' (ms) after the last one came:
 * not so that we do nothing else.
 */
void monitor_read_soon(uint64_t now, uint64_t pause);

/*
 * Whether the device by our name is ours. It is read and changed by name, and another may be called
 * so now: the kernel has told of it before that could be, and what it has told is heard first.
 */
bool monitor_is_ours(void);

/* --- server-orders.c --- */

/* Puts addresses into the device, as far as guard.c allows it, and answers. */
void orders_allow(const struct server_orders *orders);

/* Notes addresses to be taken back, in the turn of orders_turn() that knows who holds them. */
void orders_take(const struct server_orders *orders);

/* Takes back what a reading is there for, and answers; returns when to be called again (ms). */
uint64_t orders_turn(uint64_t now);

/* Forgets what waits to be taken back: the engine that wanted it has ended. */
void orders_drop_takes(void);

#endif
