// SPDX-License-Identifier: MIT
/*
 * `reload': has the server of an interface read its file and the device again, and its client put
 * back what is gone; waits for both.
 */

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "control.h"
#include "dynamic.h"
#include "log.h"
#include "loop.h"
#include "settings.h"

enum { PATIENCE_MS = 10000, PAUSE_MS = 10 };

/* Of a daemon's status, what is of interest here. */
struct answer {
	char error[SETTINGS_ERROR]; /* of the last reload, if it was refused */
	unsigned long reloads, refused; /* so many there have been */
	bool known; /* that it can reload at all */
};

static bool is_server(const char *role)
{
	return !strcmp(role, "server");
}

/* False with errno set: there is no answer. */
static bool ask(const char *interface, const char *role, struct answer *status)
{
	const char *last = is_server(role) ? "counter_reloads_refused" : "counter_reloads";
	FILE *stream = control_ask(interface, role);
	char line[CONTROL_LINE], *value;
	int error;

	*status = (struct answer){ 0 };
	/* What is sought stands before the leases, of which there may be many. */
	while (stream && !status->known && fgets(line, sizeof(line), stream)) {
		line[strcspn(line, "\n")] = '\0';
		value = strchr(line, '=');
		if (!value)
			break;
		*value++ = '\0';
		if (!strcmp(line, "reload_error"))
			strncpy(status->error, value, sizeof(status->error) - 1);
		else if (!strcmp(line, "counter_reloads"))
			status->reloads = strtoul(value, NULL, 10);
		else if (!strcmp(line, "counter_reloads_refused"))
			status->refused = strtoul(value, NULL, 10);
		status->known = !strcmp(line, last);
	}
	if (!stream)
		return false;
	error = ferror(stream) ? errno : 0;
	fclose(stream);
	errno = error;
	return !error;
}

static int wait_done(const char *interface, const char *role, const struct answer *before)
{
	uint64_t end = now_ms() + PATIENCE_MS;
	struct answer status;

	do {
		usleep(PAUSE_MS * 1000);
		if (!ask(interface, role, &status)) {
			if (errno == ETIMEDOUT)
				continue;
			return log_failure("the %s has ended: its log says why", role);
		}
		if (status.known && status.refused != before->refused)
			return log_failure("%s", status.error);
		if (status.reloads > before->reloads)
			return 0;
	} while (now_ms() < end);
	return log_failure("the %s has not reloaded within %d s: see its log", role,
			   PATIENCE_MS / 1000);
}

static int reload(const char *interface, const char *role, int fd)
{
	struct answer before;

	if (fd < 0 || !ask(interface, role, &before))
		return log_failure("cannot ask the %s: %s", role, strerror(fd < 0 ? -fd : errno));
	if (!before.known) /* a signal would end it */
		return log_failure("the %s is of a version that cannot reload: start it anew",
				   role);
	if (syscall(SYS_pidfd_send_signal, fd, SIGHUP, NULL, 0) < 0)
		return log_failure("cannot reach the %s: %s", role, strerror(errno));
	return wait_done(interface, role, &before);
}

int dynamic_reload(int argc, const char *argv[])
{
	int fd, status = 0;
	bool found = false;

	if (argc != 2)
		return dynamic_usage(argv[0], "exactly one interface is needed");
	log_open(argv[1]);
	if (geteuid())
		return log_failure("must be run as root");
	for (int i = 0; i < CONTROL_ROLES; ++i) {
		fd = control_process(argv[1], control_roles[i]);
		if (fd == -ENOENT || fd == -ECONNREFUSED)
			continue;
		found = true;
		status |= reload(argv[1], control_roles[i], fd);
		if (fd >= 0)
			close(fd);
	}
	return found ? status : log_failure("neither client nor server runs");
}
