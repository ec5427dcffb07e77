/* SPDX-License-Identifier: MIT */
/*
 * Runs other programs, one at a time and in the order in which they were added: with arguments,
 * never through a shell. One that has not ended after ten seconds is killed. Each failure is a
 * line in the log that names the program, unless it is to be quiet.
 */

#ifndef RUNNER_H
#define RUNNER_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { RUNNER_QUEUE = 16 /* programs that may wait */ };

/* What to run; all of it is copied. */
struct program {
	const char *const *argv; /* ends with NULL; argv[0] is looked for by runner_find() */
	const char *const *env; /* ends with NULL; NULL: our own environment */
	const char *input; /* for its standard input; NULL: none */
	const char *hint; /* ends the line in the log about a failure; a constant; NULL: none */
	bool quiet; /* its failures have been said before: no line in the log */
	const void *owner; /* whose it is, for runner_drop() and runner_waiting() */
	/* Its turn has come: is it still to run? If not, done() is not called. NULL: it is. */
	bool (*start)(void *data);
	/* It has ended, or could not be started: whether with status 0. NULL: nobody asks. */
	void (*done)(void *data, bool success);
	void *data;
};

struct run;

struct runner {
	struct run *first; /* waiting, in order */
	struct run *current; /* NULL: none runs */
	uint64_t kill_at; /* of current; NEVER: it has been killed */
	bool verbose; /* the output of the programs goes to standard error, else nowhere */
};

/*
 * The file that runs by this name: itself when it begins with a slash, else in PATH. False when
 * there is none that can be executed.
 */
bool runner_find(char path[static PATH_MAX], const char *name);

/*
 * Adds one. It is started by a later runner_turn(). Returns 0; -ENOBUFS when too many wait, or
 * -ENOMEM, each after a line in the log.
 */
int runner_add(struct runner *runner, const struct program *program);

/* Forgets those of an owner that still wait, without calling done(). */
void runner_drop(struct runner *runner, const void *owner);

/* How many of an owner wait. */
uint32_t runner_waiting(const struct runner *runner, const void *owner);

/* To be called at SIGCHLD: looks whether the program that runs, and no other child, has ended. */
void runner_child(struct runner *runner);

/*
 * To be called in each turn of the loop: starts the next, kills what has taken too long. Returns
 * when to be called again, as loop_run()'s turn().
 */
uint64_t runner_turn(struct runner *runner, uint64_t now);

/* Whether nothing runs or waits. */
bool runner_idle(const struct runner *runner);

/*
 * Runs all that waits, to the end, each with its ten seconds; what the programs' done() adds is
 * run too.
 */
void runner_drain(struct runner *runner);

#endif
