/* SPDX-License-Identifier: MIT */
/*
 * The monitor's care for its engine: starts it, talks with it, logs how it died, and starts it
 * again after 1 to 64 s. Used by both daemons.
 */

#ifndef SUPERVISOR_H
#define SUPERVISOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "channel.h"
#include "loop.h"

struct supervisor;

/* What a monitor does with its engine. */
struct supervisor_calls {
	/* A new engine runs: send it all that it must know. */
	void (*up)(struct supervisor *supervisor);
	/* A message that keeps the rules; fd (or -1) is the callee's from now on. */
	void (*message)(struct supervisor *supervisor, const union message_buffer *message,
			size_t len, int fd);
	/* The engine is gone, whether it died or was cut off; called once for each up(). */
	void (*down)(struct supervisor *supervisor);
};

struct supervisor {
	struct loop *loop;
	const struct supervisor_calls *calls;
	const struct message_rule *rules; /* of what the engine sends */
	uint32_t types; /* of rules */
	void *data; /* the monitor's */
	bool lost; /* the spawner has died (logged): there will be no engine any more */

	/* supervisor.c's own: */
	struct watch spawner, engine;
	struct channel channel; /* fd -1: no engine */
	uint32_t running; /* engines that the spawner has not yet reported as ended */
	uint32_t pause; /* seconds, before the next start */
	uint64_t started; /* when the last one was */
	uint64_t start_at; /* NEVER: not to be */
	bool draining, broken; /* broken: to be cut off in the next turn */
	bool held;
};

/*
 * Takes over the descriptor of spawner_start(). The first five members are set by the caller, the
 * rest zero. The engine is started by the next supervisor_turn(). False with errno set.
 */
bool supervisor_open(struct supervisor *supervisor, int spawner);

/*
 * To be called in each turn of the loop: starts the engine when it is due. Returns when to be
 * called again, as loop_run()'s turn().
 */
uint64_t supervisor_turn(struct supervisor *supervisor, uint64_t now);

/* Whether there is an engine to talk to. */
bool supervisor_running(const struct supervisor *supervisor);

/* Whether it has not taken yet all that it was sent. What is large should wait until it has. */
bool supervisor_behind(const struct supervisor *supervisor);

/*
 * Sends to the engine, as channel_send(), now or when there is room. Returns 0, -EPIPE without an
 * engine, or another -errno. An engine that does not take its messages is cut off and replaced.
 */
int supervisor_send(struct supervisor *supervisor, const struct message *message, size_t len,
		    int fd);

/* Whether what the engine sends waits, and the engine with it once the channel is full. */
void supervisor_hold(struct supervisor *supervisor, bool hold);

/* No new engine from now on; the one that runs goes on, and may end without a line in the log. */
void supervisor_drain(struct supervisor *supervisor);

/* Ends engine and spawner, without calling down(). */
void supervisor_close(struct supervisor *supervisor);

#endif
