/* SPDX-License-Identifier: MIT */
/*
 * Lines for people: to standard error while there is a terminal or a supervisor, to syslog from
 * the background. Only monitors and commands log; engines send messages instead.
 */

#ifndef LOG_H
#define LOG_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Begins logging about an interface; the name is copied. To standard error; with a <n> prefix
 * on each line when that is the journal of systemd (sd-daemon(3)).
 */
void log_open(const char *interface);

/* From now on to syslog, facility daemon. */
void log_background(void);

/*
 * From now on not more than so many lines at once, and so many a second on average: for a daemon
 * that somebody else has say something at will. What is left out is counted in a line.
 */
void log_limit(unsigned int burst, unsigned int rate);

/* One line, without its newline; priority as in syslog(3). Keeps errno. */
void log_line(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Likewise a line that is text already, not ended by a NUL; of more than 1 KiB, the first. */
void log_text(int priority, const char *text, size_t len);

/*
 * Until it is called with false, lines to standard error are gathered, to be written many at once;
 * nothing may be waited for meanwhile. Keeps errno.
 */
void log_hold(bool hold);

/*
 * Whether a line would be left out by the limit now; if so it counts as left out, and need not be
 * made.
 */
bool log_full(void);

/* log_line() at LOG_ERR, whatever the limit; returns 1, to be returned from main. */
int log_failure(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
