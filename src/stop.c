// SPDX-License-Identifier: MIT
/* `stop': asks the daemons of an interface to end, and waits until they are gone. */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <syslog.h>
#include <unistd.h>

#include "control.h"
#include "dynamic.h"
#include "log.h"
#include "loop.h"
#include "network.h"

enum { PATIENCE_MS = 45000 }; /* a client may have four programs to run, of 10 s each */

static bool wait_gone(struct pollfd *polled)
{
	uint64_t end = now_ms() + PATIENCE_MS, now;

	while ((now = now_ms()) < end) {
		if (poll(polled, 1, end - now) > 0)
			return true;
	}
	return false;
}

int dynamic_stop(int argc, const char *argv[])
{
	struct pollfd polled[CONTROL_ROLES];
	bool found = false;
	int status = 0;

	if (argc != 2)
		return dynamic_usage(argv[0], "exactly one interface is needed");
	log_open(argv[1]);
	if (geteuid())
		return log_failure("must be run as root");
	for (int i = 0; i < CONTROL_ROLES; ++i) {
		polled[i].fd = control_process(argv[1], control_roles[i]);
		polled[i].events = POLLIN;
		if (polled[i].fd == -ENOENT || polled[i].fd == -ECONNREFUSED) {
			found |= !strcmp(control_roles[i], "client") && network_undo(argv[1]);
			continue;
		}
		found = true;
		if (polled[i].fd == -EAGAIN)
			status = log_failure("cannot stop the %s: its engine hangs, and too many "
					     "have asked it: end wg-dynamic by kill(1)",
					     control_roles[i]);
		else if (polled[i].fd < 0 ||
		    syscall(SYS_pidfd_send_signal, polled[i].fd, SIGTERM, NULL, 0) < 0)
			status = log_failure("cannot stop the %s: %s", control_roles[i],
					     strerror(polled[i].fd < 0 ? -polled[i].fd : errno));
	}
	for (int i = 0; i < CONTROL_ROLES; ++i) {
		if (polled[i].fd < 0)
			continue;
		if (!status && !wait_gone(&polled[i]))
			status = log_failure("the %s has not ended within %d s", control_roles[i],
					     PATIENCE_MS / 1000);
		close(polled[i].fd);
	}
	if (!found)
		log_line(LOG_INFO, "neither client nor server runs");
	return status;
}
