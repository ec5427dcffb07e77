// SPDX-License-Identifier: MIT
/*
 * What the client is measured against, and a link to measure on:
 *
 *	bare lease INTERFACE ADDRESS     asks from that link-local, and runs `ip address add' for
 *	                                 each address that comes: the least that a client can do
 *	bare release INTERFACE ADDRESS   gives them back to the server
 *	bare time COMMAND...             runs it, and prints the microseconds that it took
 *	bare pause                       does nothing, and is as large as a program can't help to be
 *	bare tunnel PID PID              joins the network namespaces of these by a wg0 in each, of the
 *	                                 kind that userspace WireGuard has, but without encryption
 *	bare device KEY ALLOWED-IPS      answers as the WireGuard device wg0 with that one peer (the key
 *	                                 in hexadecimal); does nothing that it is told
 */

#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PORT = 970, PACKET = 65536 };

extern char **environ;

/* --- the least client --- */

static void address_add(const char *interface, const char *address)
{
	const char *const argv[] = { "ip", "address", "add", address, "dev", interface, NULL };
	pid_t pid = fork();
	int status;

	if (!pid) {
		execvp(argv[0], (char **)argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || status)
		errx(1, "cannot add %s", address);
}

static void ask(const char *interface, const char *from, const char *request, char *answer,
		size_t size)
{
	const int one = 1;
	const struct linger linger = { .l_onoff = 1 };
	struct sockaddr_in6 own = {
		.sin6_family = AF_INET6,
		.sin6_port = htons(PORT),
		.sin6_scope_id = if_nametoindex(interface),
	};
	struct sockaddr_in6 server = own;
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t len = 0;
	ssize_t got;

	inet_pton(AF_INET6, from, &own.sin6_addr);
	inet_pton(AF_INET6, "fe80::", &server.sin6_addr);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	if (bind(fd, (struct sockaddr *)&own, sizeof(own)) < 0 ||
	    connect(fd, (struct sockaddr *)&server, sizeof(server)) < 0 ||
	    send(fd, request, strlen(request), 0) < 0)
		err(1, "cannot ask");
	while (len < size - 1 && (got = recv(fd, answer + len, size - 1 - len, 0)) > 0) {
		len += got;
		answer[len] = '\0';
		if (strstr(answer, "\n\n"))
			break;
	}
	close(fd);
	if (!strstr(answer, "errno=0\n"))
		errx(1, "the server refused: %s", answer);
}

static int lease(const char *interface, const char *from)
{
	char answer[4096] = "", *line;

	ask(interface, from, "request_ip=1\n\n", answer, sizeof(answer));
	for (line = strtok(answer, "\n"); line; line = strtok(NULL, "\n")) {
		if (!strncmp(line, "ip=", 3))
			address_add(interface, line + 3);
	}
	return 0;
}

static int release(const char *interface, const char *from)
{
	char answer[4096] = "";

	ask(interface, from, "release_ip=1\n\n", answer, sizeof(answer));
	return 0;
}

/* --- time --- */

/* Whoever waits for the end of what we print must not wait for a daemon that the command starts. */
static int measure(char *argv[])
{
	posix_spawn_file_actions_t actions;
	struct timespec start, end;
	int status;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	clock_gettime(CLOCK_MONOTONIC, &start);
	if (posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ) ||
	    waitpid(pid, &status, 0) < 0)
		errx(1, "cannot run %s", argv[0]);
	clock_gettime(CLOCK_MONOTONIC, &end);
	if (status)
		errx(1, "%s failed", argv[0]);
	printf("%.1f\n", (end.tv_sec - start.tv_sec) * 1e6 +
			 (end.tv_nsec - start.tv_nsec) / 1e3);
	return 0;
}

/* --- the link --- */

static int tun(const char *pid)
{
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI, .ifr_name = "wg0" };
	char path[64];
	int ns, fd;

	snprintf(path, sizeof(path), "/proc/%s/ns/net", pid);
	ns = open(path, O_RDONLY | O_CLOEXEC);
	if (ns < 0 || setns(ns, CLONE_NEWNET) < 0)
		err(1, "cannot enter %s", path);
	close(ns);
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0)
		err(1, "cannot make a tunnel");
	return fd;
}

static int tunnel(char *pids[])
{
	struct pollfd polled[2] = { { .events = POLLIN }, { .events = POLLIN } };
	static char packet[PACKET];
	ssize_t len;

	polled[0].fd = tun(pids[0]);
	polled[1].fd = tun(pids[1]);
	puts("ready");
	fflush(stdout);
	while (poll(polled, 2, -1) > 0) {
		for (int i = 0; i < 2; ++i) {
			if (!polled[i].revents)
				continue;
			len = read(polled[i].fd, packet, sizeof(packet));
			if (len > 0 && write(polled[!i].fd, packet, len) < 0)
				continue; /* the other end is down */
		}
	}
	return 1;
}

static int device(const char *key, const char *allowed)
{
	struct sockaddr_un address = {
		.sun_family = AF_UNIX,
		.sun_path = "/var/run/wireguard/wg0.sock",
	};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), connection;
	char question[65536], answer[512];
	ssize_t len, got;

	signal(SIGPIPE, SIG_IGN);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 16) < 0)
		err(1, "cannot make the socket");
	while ((connection = accept(fd, NULL, NULL)) >= 0) {
		len = 0;
		while ((size_t)len < sizeof(question) - 1 &&
		       (got = read(connection, question + len, sizeof(question) - 1 - len)) > 0) {
			len += got;
			question[len] = '\0';
			if (strstr(question, "\n\n"))
				break;
		}
		if (!len) { /* who has only looked whether we are there */
			close(connection);
			continue;
		}
		if (!strncmp(question, "get=1\n", 6))
			len = snprintf(answer, sizeof(answer),
				       "private_key=%064d\nlisten_port=51820\npublic_key=%s\n"
				       "protocol_version=1\nallowed_ip=%s\nerrno=0\n\n",
				       1, key, allowed);
		else
			len = snprintf(answer, sizeof(answer), "errno=0\n\n");
		if (write(connection, answer, len) < 0)
			warn("cannot answer");
		close(connection);
	}
	return 1;
}

int main(int argc, char *argv[])
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "time") && argc > 2)
		return measure(argv + 2);
	if (!strcmp(what, "lease") && argc == 4)
		return lease(argv[2], argv[3]);
	if (!strcmp(what, "release") && argc == 4)
		return release(argv[2], argv[3]);
	if (!strcmp(what, "pause"))
		return pause();
	if (!strcmp(what, "tunnel") && argc == 4)
		return tunnel(argv + 2);
	if (!strcmp(what, "device") && argc == 4)
		return device(argv[2], argv[3]);
	errx(1, "what is there to do?");
}
