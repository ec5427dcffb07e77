// SPDX-License-Identifier: MIT
/*
 * Into the background, by one fork and a socket that joins parent and daemon until it is ready. In
 * the foreground a service manager is told, by sd_notify(3)'s protocol.
 */

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "daemon.h"
#include "log.h"
#include "sandbox.h"

enum { MMAP_THRESHOLD = 128 * 1024 /* bytes */ };

static int parent_fd = -1, notify_fd = -1;

/* Connected while it can be: later the socket may be out of reach. */
static void notify_open(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *name = getenv("NOTIFY_SOCKET");
	size_t len = name ? strnlen(name, sizeof(address.sun_path)) : 0;

	if (!len)
		return;
	memcpy(address.sun_path, name, len);
	if (*name == '@')
		*address.sun_path = 0;
	notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (connect(notify_fd, (struct sockaddr *)&address,
		    offsetof(struct sockaddr_un, sun_path) + len) < 0)
		log_line(LOG_WARNING, "cannot reach NOTIFY_SOCKET: %s", strerror(errno));
	unsetenv("NOTIFY_SOCKET"); /* no program that we run is the service */
}

static void notify(const char *state)
{
	send(notify_fd, state, strlen(state), MSG_NOSIGNAL);
}

/* Standard input and output lead nowhere. Whichever of the three is closed is opened first. */
static bool quiet(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd < 0)
		return false;
	dup2(fd, STDIN_FILENO);
	dup2(fd, STDOUT_FILENO);
	close(fd);
	return true;
}

/* In the parent: the daemon says that it is ready, or ends. Returns the exit status. */
static int wait_ready(int fd, pid_t daemon)
{
	int status = 0;
	ssize_t len;
	char ready;

	do {
		len = read(fd, &ready, sizeof(ready));
	} while (len < 0 && errno == EINTR);
	if (len > 0)
		return 0;
	while (waitpid(daemon, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	return log_failure("killed by signal %d (%s)", WTERMSIG(status),
			   strsignal(WTERMSIG(status)));
}

bool daemon_start(bool foreground)
{
	int fds[2];
	pid_t pid;

	sandbox_close_from(STDERR_FILENO + 1);
	signal(SIGPIPE, SIG_IGN); /* standard error may be a pipe whose reader has gone */
	signal(SIGCHLD, SIG_DFL); /* if ignored, there would be no status to wait for */
	if (!quiet()) {
		log_failure("cannot open /dev/null: %s", strerror(errno));
		return false;
	}
#ifdef M_MMAP_THRESHOLD
	/* What is large is given back when freed; left alone, glibc comes to keep such blocks. */
	mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD);
#endif
	if (foreground) {
		notify_open();
		return true;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0 || (pid = fork()) < 0) {
		log_failure("cannot start a process: %s", strerror(errno));
		return false;
	}
	if (pid) {
		close(fds[1]);
		_exit(wait_ready(fds[0], pid));
	}
	close(fds[0]);
	parent_fd = fds[1];
	setsid();
	return true;
}

int daemon_parent(void)
{
	return parent_fd;
}

void daemon_ready(void)
{
	notify("READY=1");
	if (parent_fd < 0)
		return;
	log_background();
	dup2(STDIN_FILENO, STDERR_FILENO);
	if (chdir("/") < 0)
		log_line(LOG_WARNING, "cannot leave the working directory: %s", strerror(errno));
	send(parent_fd, "", 1, MSG_NOSIGNAL);
	close(parent_fd);
	parent_fd = -1;
}

void daemon_stopping(void)
{
	notify("STOPPING=1");
}
