// SPDX-License-Identifier: MIT
/* One place that knows where log lines go. */

#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "text.h"

/* Held: not more than what a pipe takes at once, so that others' lines do not come between. */
enum { LOG_HEAD = 48, LOG_TEXT = 1024, LOG_HELD = PIPE_BUF };

static char log_interface[IFNAMSIZ];
static bool log_to_syslog, log_with_priority;
static unsigned int log_burst, log_rate, log_left, log_dropped; /* burst 0: no limit */
static char log_held[LOG_HELD];
static size_t log_held_len;
static bool log_holds;
static time_t log_last; /* s, when the last line was to be logged */

/* Whether standard error is the very stream that systemd says it connected to the journal. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
	       !fstat(STDERR_FILENO, &st) && st.st_dev == dev && st.st_ino == ino;
}

void log_open(const char *interface)
{
	snprintf(log_interface, sizeof(log_interface), "%s", interface);
	log_with_priority = stderr_is_journal();
}

void log_background(void)
{
	openlog("wg-dynamic", LOG_PID | LOG_NDELAY, LOG_DAEMON);
	log_to_syslog = true;
}

static void log_put(const char *text, size_t len)
{
	/* Whom should it be told to, if that fails? */
	(void)!write(STDERR_FILENO, text, len);
}

static void log_flush(void)
{
	if (log_held_len)
		log_put(log_held, log_held_len);
	log_held_len = 0;
}

void log_hold(bool hold)
{
	int saved = errno;

	log_holds = hold;
	log_flush();
	errno = saved;
}

/* Writes the len bytes behind the first LOG_HEAD of a buffer, which has room for one more. */
static void log_write(int priority, char *line, size_t len)
{
	char head[LOG_HEAD], *at = head;
	int saved = errno;

	if (log_to_syslog) {
		syslog(priority, "%s: %.*s", log_interface, (int)len, line + LOG_HEAD);
		errno = saved;
		return;
	}
	if (log_with_priority) {
		*at++ = '<';
		*at++ = '0' + (priority & 7);
		*at++ = '>';
	}
	at = text_put(at, "wg-dynamic: ");
	if (*log_interface)
		at = text_put(text_put(at, log_interface), ": ");
	line[LOG_HEAD + len++] = '\n';
	line += LOG_HEAD - (at - head);
	memcpy(line, head, at - head);
	len += at - head;
	if (log_held_len + len > LOG_HELD)
		log_flush();
	if (log_holds) {
		memcpy(log_held + log_held_len, line, len);
		log_held_len += len;
	} else {
		log_put(line, len);
	}
	errno = saved;
}

static void log_format(int priority, const char *format, va_list args)
{
	char line[LOG_HEAD + LOG_TEXT + 1];
	int len = vsnprintf(line + LOG_HEAD, LOG_TEXT, format, args);

	if (len >= 0)
		log_write(priority, line, len < LOG_TEXT ? len : LOG_TEXT - 1);
}

void log_limit(unsigned int burst, unsigned int rate)
{
	log_burst = log_left = burst;
	log_rate = rate;
}

/* Whether there is room for a line. */
static bool log_room(void)
{
	struct timespec now;
	time_t passed;
	uint64_t more;

	if (!log_burst)
		return true;
	clock_gettime(CLOCK_MONOTONIC, &now);
	passed = now.tv_sec - log_last;
	log_last = now.tv_sec;
	more = (uint64_t)passed * log_rate;
	log_left = more < log_burst - log_left ? log_left + more : log_burst;
	return log_left;
}

bool log_full(void)
{
	bool full = !log_room();

	log_dropped += full;
	return full;
}

/* Whether there is room for a line, which is taken; first says how many were left out before. */
static bool log_take(void)
{
	unsigned int dropped = log_dropped;

	if (log_full())
		return false;
	log_left -= log_burst != 0;
	log_dropped = 0;
	if (dropped)
		log_failure("there was too much to say: %u lines are left out", dropped);
	return true;
}

void log_line(int priority, const char *format, ...)
{
	va_list args;

	if (!log_take())
		return;
	va_start(args, format);
	log_format(priority, format, args);
	va_end(args);
}

void log_text(int priority, const char *text, size_t len)
{
	char line[LOG_HEAD + LOG_TEXT + 1];

	if (!log_take())
		return;
	if (len > LOG_TEXT)
		len = LOG_TEXT;
	memcpy(line + LOG_HEAD, text, len);
	log_write(priority, line, len);
}

int log_failure(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_format(LOG_ERR, format, args);
	va_end(args);
	return 1;
}
