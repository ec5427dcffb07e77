// SPDX-License-Identifier: MIT
/* One place that knows where log lines go. */

#include <errno.h>
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

static char log_interface[IFNAMSIZ];
static bool log_to_syslog, log_with_priority;
static unsigned int log_burst, log_rate, log_left, log_dropped; /* burst 0: no limit */
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

static void log_write(int priority, const char *format, va_list args)
{
	char line[1024], *text = line, *end;
	int saved = errno, len;

	if (!log_to_syslog) {
		if (log_with_priority)
			text += sprintf(text, "<%d>", priority & 7);
		text = text_put(text, "wg-dynamic: ");
		if (*log_interface)
			text = text_put(text_put(text, log_interface), ": ");
	}
	len = vsnprintf(text, line + sizeof(line) - text, format, args);
	end = line + sizeof(line) - 1;
	if (len < end - text)
		end = text + len;
	if (log_to_syslog) {
		syslog(priority, "%s: %s", log_interface, text);
	} else {
		*end++ = '\n';
		(void)!write(STDERR_FILENO, line, end - line); /* whom should it be told to? */
	}
	errno = saved;
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

void log_line(int priority, const char *format, ...)
{
	unsigned int dropped = log_dropped;
	va_list args;

	if (log_full())
		return;
	log_left -= log_burst != 0;
	log_dropped = 0;
	if (dropped)
		log_failure("there was too much to say: %u lines are left out", dropped);
	va_start(args, format);
	log_write(priority, format, args);
	va_end(args);
}

int log_failure(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_write(LOG_ERR, format, args);
	va_end(args);
	return 1;
}
