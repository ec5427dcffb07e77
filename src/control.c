// SPDX-License-Identifier: MIT
/* The status socket, from its three sides. */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "control.h"
#include "sandbox.h"

enum {
	TIMEOUT_MS = 10000,
	RELEASE_MS = 9000, /* what a release may take */
	ACCEPT_PAUSE_MS = 1000,
	PAUSE_MS = 100, /* between two tries to listen */
	ANSWER_MS = 30000, /* what a whole answer may take */
	BACKLOG = 128, /* `stop' finds the monitor by it, also where an engine hangs */
	SHORT_ANSWER = 64, /* an errno alone, and more */
	QUESTION = 128, /* bytes, the longest and more */
};

const char *const control_roles[CONTROL_ROLES] = { "client", "server" };

static bool address_make(struct sockaddr_un *address, const char *interface, const char *role)
{
	int len;

	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	len = snprintf(address->sun_path, sizeof(address->sun_path), CONTROL_DIR "/%s.%s.sock",
		       interface, role);
	return len > 0 && (size_t)len < sizeof(address->sun_path) && !strchr(interface, '/');
}

static int connect_to(const char *interface, const char *role)
{
	const struct timeval timeout = { .tv_sec = TIMEOUT_MS / 1000 };
	struct sockaddr_un address;
	int fd, ret;

	if (!address_make(&address, interface, role))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

/* --- monitor --- */

static int listen_at(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), ret = 0;
	mode_t mask;

	if (fd < 0)
		return -errno;
	mask = umask(0177);
	if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ||
	    listen(fd, BACKLOG) < 0)
		ret = -errno;
	umask(mask);
	if (!ret)
		return fd;
	close(fd);
	return ret;
}

/* Listens; or, where a daemon does already, *other is a connection to it. */
static int listen_alone(const struct sockaddr_un *address, const char *interface,
			const char *role, int *other)
{
	/* Two that start at once must not both take the other's socket for a leftover. */
	int dir = sandbox_dir(CONTROL_DIR, 0775), fd = -EADDRINUSE;

	if (dir < 0)
		return dir;
	flock(dir, LOCK_EX);
	*other = connect_to(interface, role);
	if (*other == -ECONNREFUSED || *other == -ENOENT) {
		unlink(address->sun_path);
		fd = listen_at(address);
	} else if (*other < 0) {
		fd = *other;
	}
	close(dir);
	return fd;
}

/* One whose interface has gone may still have programs to run, and answers nothing any more. */
static bool ends(int fd)
{
	struct pollfd polled = { .fd = fd, .events = POLLIN };
	char byte;

	return dprintf(fd, "get=1\n\n") <= 0 ||
	       (poll(&polled, 1, TIMEOUT_MS) > 0 && recv(fd, &byte, sizeof(byte), 0) <= 0);
}

int control_listen(const char *interface, const char *role)
{
	const uint64_t until = now_ms() + TIMEOUT_MS;
	struct sockaddr_un address;
	int fd, other = -1;
	bool again = true;

	if (!address_make(&address, interface, role))
		return -ENAMETOOLONG;
	while ((fd = listen_alone(&address, interface, role, &other)) == -EADDRINUSE &&
	       other >= 0 && again) {
		/* Its engine may have ended, and the monitor not yet. */
		again = ends(other) && now_ms() < until && !poll(NULL, 0, PAUSE_MS);
		close(other);
		other = -1;
	}
	if (fd == -EADDRINUSE && other >= 0)
		close(other);
	return fd;
}

void control_unlink(const char *interface, const char *role)
{
	struct sockaddr_un address;

	if (address_make(&address, interface, role))
		unlink(address.sun_path);
}

/* --- engine --- */

static void session_close(struct control_session *session)
{
	loop_close_watch(session->control->loop, &session->watch);
	session->busy = false;
	loop_change(session->control->loop, &session->control->listener, EPOLLIN);
}

/* Sends what there is, and fills in more, until the socket is full or all is said. */
static void session_answer(struct control_session *session)
{
	static const char end[] = "errno=0\n\n";
	ssize_t sent;

	for (;;) {
		if (session->sent == session->len) {
			if (session->ended) {
				session_close(session);
				return;
			}
			session->sent = 0;
			session->len = session->control->fill(session->control->data,
							      &session->cursor, session->buf);
			if (!session->len) {
				session->ended = true;
				session->len = sizeof(end) - 1;
				memcpy(session->buf, end, session->len);
			}
		}
		sent = send(session->watch.fd, session->buf + session->sent,
			    session->len - session->sent, MSG_NOSIGNAL);
		if (sent < 0 && errno == EAGAIN) {
			loop_change(session->control->loop, &session->watch, EPOLLOUT);
			return;
		}
		if (sent < 0) {
			session_close(session);
			return;
		}
		session->sent += sent;
		session->deadline = now_ms() + TIMEOUT_MS;
	}
}

static const char release_key[] = "release=";

/* The question stays where it is until it is answered. */
static void session_release(struct control_session *session, bool again, bool late)
{
	int ret = session->control->release(session->control->data,
					    session->buf + sizeof(release_key) - 1, again);

	session->releasing = ret == EAGAIN && !late;
	if (session->releasing) {
		loop_change(session->control->loop, &session->watch, 0); /* but for its end */
		return;
	}
	session->len = sprintf(session->buf, "errno=%d\n\n", ret == EAGAIN ? ETIMEDOUT : ret);
	session->answering = session->ended = true;
	session_answer(session);
}

/* Answers a whole question; false if it is none. */
static bool session_begin(struct control_session *session)
{
	char *buf = session->buf;

	buf[session->len - 2] = '\0';
	if (strlen(buf) != session->len - 2)
		return false;
	session->sent = session->len = 0;
	if (!strcmp(buf, "get=1")) {
		session->answering = true;
		session_answer(session);
		return true;
	}
	if (!session->control->release || strncmp(buf, release_key, sizeof(release_key) - 1))
		return false;
	session->deadline = now_ms() + RELEASE_MS;
	session_release(session, false, false);
	return true;
}

static void session_ready(struct watch *watch, uint32_t events)
{
	struct control_session *session = watch_owner(watch, struct control_session, watch);
	ssize_t len;

	if (session->releasing && events & (EPOLLHUP | EPOLLERR)) {
		session_close(session);
		return;
	}
	if (session->answering) {
		session_answer(session);
		return;
	}
	len = recv(watch->fd, session->buf + session->len, QUESTION - session->len, 0);
	if (len < 0 && errno == EAGAIN)
		return;
	if (len > 0)
		session->len += len;
	if (len > 0 && session->len < QUESTION &&
	    (session->len < 2 || memcmp(session->buf + session->len - 2, "\n\n", 2)))
		return;
	if (len <= 0 || session->len == QUESTION || !session_begin(session))
		session_close(session);
}

static struct control_session *session_free(struct control *control)
{
	for (int i = 0; i < CONTROL_SESSIONS; ++i) {
		if (!control->sessions[i])
			control->sessions[i] = calloc(1, sizeof(**control->sessions));
		if (control->sessions[i] && !control->sessions[i]->busy)
			return control->sessions[i];
	}
	return NULL;
}

static void listener_ready(struct watch *watch, uint32_t events)
{
	struct control *control = watch_owner(watch, struct control, listener);
	struct control_session *session = session_free(control);
	int fd;

	(void)events;
	if (!session) { /* until one ends; or, without memory for one, for a moment */
		loop_change(control->loop, watch, 0);
		control->accept_at = now_ms() + ACCEPT_PAUSE_MS;
		return;
	}
	fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		/* Out of descriptors: who waits would wake us for ever. */
		if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) {
			loop_change(control->loop, watch, 0);
			control->accept_at = now_ms() + ACCEPT_PAUSE_MS;
		}
		return;
	}
	session->watch = (struct watch){ .fd = fd, .ready = session_ready };
	session->control = control;
	session->answering = session->releasing = session->ended = false;
	session->cursor = session->len = session->sent = 0;
	session->deadline = now_ms() + TIMEOUT_MS;
	session->busy = loop_add(control->loop, &session->watch, EPOLLIN);
	if (!session->busy)
		close(fd);
}

bool control_open(struct control *control, struct loop *loop, int fd, control_fill *fill,
		  control_release *release, void *data)
{
	*control = (struct control){
		.loop = loop,
		.fill = fill,
		.release = release,
		.data = data,
	};
	return loop_watch(loop, &control->listener, fd, listener_ready);
}

size_t control_counter(char *buf, size_t size, const char *name, uint64_t value)
{
	return snprintf(buf, size, "counter_%s=%llu\n", name, (unsigned long long)value);
}

uint64_t control_turn(struct control *control, uint64_t now)
{
	struct control_session *session;
	uint64_t at = NEVER;

	for (int i = 0; i < CONTROL_SESSIONS; ++i) {
		session = control->sessions[i];
		if (!session || !session->busy)
			continue;
		if (session->releasing)
			session_release(session, true, session->deadline <= now);
		else if (session->deadline <= now)
			session_close(session);
		if (session->busy && session->deadline < at)
			at = session->deadline;
	}
	if (control->accept_at && control->accept_at <= now) {
		control->accept_at = 0;
		loop_change(control->loop, &control->listener, EPOLLIN);
	} else if (control->accept_at && control->accept_at < at) {
		at = control->accept_at;
	}
	return at;
}

/* --- commands --- */

/* An engine that has been taken over may answer for ever, be it slowly or fast. */
struct answer {
	int fd;
	uint64_t deadline;
	size_t left; /* bytes that may still come */
};

static ssize_t answer_read(void *cookie, char *buf, size_t size)
{
	struct answer *answer = cookie;
	struct pollfd polled = { .fd = answer->fd, .events = POLLIN };
	uint64_t now = now_ms(), wait = answer->deadline > now ? answer->deadline - now : 0;
	ssize_t len;

	errno = answer->left ? ETIMEDOUT : EFBIG;
	if (!answer->left || !wait ||
	    poll(&polled, 1, wait < TIMEOUT_MS ? wait : TIMEOUT_MS) <= 0)
		return -1;
	len = recv(answer->fd, buf, size < answer->left ? size : answer->left, 0);
	answer->left -= len > 0 ? len : 0;
	return len;
}

static int answer_close(void *cookie)
{
	struct answer *answer = cookie;

	close(answer->fd);
	free(answer);
	return 0;
}

/* The stream owns the descriptor. */
static FILE *answer_open(int fd, size_t limit)
{
	static const cookie_io_functions_t functions = { answer_read, NULL, NULL, answer_close };
	struct answer *answer = malloc(sizeof(*answer));
	FILE *stream = NULL;

	if (answer) {
		*answer = (struct answer){ fd, now_ms() + ANSWER_MS, limit };
		stream = fopencookie(answer, "r", functions);
	}
	if (!stream) {
		free(answer);
		close(fd);
		errno = ENOMEM;
	}
	return stream;
}

static FILE *ask(const char *interface, const char *role, const char *key, const char *value,
		 size_t limit)
{
	int fd = connect_to(interface, role), error;

	if (fd < 0) {
		errno = -fd;
		return NULL;
	}
	if (dprintf(fd, "%s=%s\n\n", key, value) > 0)
		return answer_open(fd, limit);
	error = errno;
	close(fd);
	errno = error;
	return NULL;
}

FILE *control_ask(const char *interface, const char *role)
{
	return ask(interface, role, "get", "1", CONTROL_ANSWER);
}

int control_release_lease(const char *interface, const char *hex)
{
	FILE *stream = ask(interface, "server", "release", hex, SHORT_ANSWER);
	int error, ret;

	if (!stream)
		return -errno;
	if (fscanf(stream, "errno=%d\n", &error) == 1)
		ret = -error;
	else
		ret = ferror(stream) ? -errno : -EPIPE;
	fclose(stream);
	return ret;
}

pid_t control_pid(const char *interface, const char *role)
{
	int fd = connect_to(interface, role), ret = 0;
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (fd < 0)
		return fd;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		ret = -errno;
	close(fd);
	return ret ? ret : peer.pid;
}

int control_process(const char *interface, const char *role)
{
	pid_t pid = control_pid(interface, role), again;
	int fd;

	if (pid < 0)
		return pid;
	if (!pid) /* in a pid namespace that we don't see */
		return -EPERM;
	fd = syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return errno == ESRCH ? -ENOENT : -errno;
	/* The pid must still be the daemon's, and not another process's by now. */
	again = control_pid(interface, role);
	if (again == pid)
		return fd;
	close(fd);
	return again < 0 ? again : -EAGAIN;
}
