// SPDX-License-Identifier: MIT
/*
 * Devices of userspace programs, over their UAPI socket: finds it, sends a request, and reads the
 * lines of the answer. What they say is for ipc-uapi-text.c.
 */

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <net/if.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "backend.h"
#include "containers.h"
#include "text.h"

#ifndef RUNSTATEDIR
#define RUNSTATEDIR "/var/run"
#endif

#define SOCKET_DIR RUNSTATEDIR "/wireguard"
#define SOCKET_SUFFIX ".sock"
#define TIMEOUT_SECONDS 10

/* No line may be longer than the buffer. */
struct reader {
	int fd;
	size_t pos, len, used; /* used: the most that the buffer has ever held */
	char buf[32768];
};

static int open_socket(void)
{
	const struct timeval timeout = { .tv_sec = TIMEOUT_SECONDS };
	int ret, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (!setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) &&
	    !setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)))
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

int uapi_connect(const char *interface)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd, ret;

	_Static_assert(sizeof(SOCKET_DIR "/" SOCKET_SUFFIX) + IFNAMSIZ <= sizeof(addr.sun_path),
		       "RUNSTATEDIR is too long for the address of a socket");
	text_put(text_put(text_put(addr.sun_path, SOCKET_DIR "/"), interface), SOCKET_SUFFIX);
	fd = open_socket();
	if (fd < 0)
		return fd;
	do
		ret = connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) ? -errno : 0;
	while (ret == -EINTR);
	if (!ret)
		return fd;
	close(fd);
	switch (ret) {
	case -EACCES: /* may be a kernel device all the same: the kernel knows */
	case -ECONNREFUSED:
	case -ENOTDIR:
		return -ENOENT;
	case -EAGAIN:
		return -ETIMEDOUT;
	default:
		return ret;
	}
}

int uapi_list_devices(struct name_list *list)
{
	DIR *dir = opendir(SOCKET_DIR);
	struct dirent *entry;
	char *suffix;
	int fd, ret = 0;

	if (!dir)
		return errno == ENOENT || errno == EACCES ? 0 : -errno;
	while (!ret && (entry = readdir(dir))) {
		suffix = strrchr(entry->d_name, '.');
		if (!suffix || strcmp(suffix, SOCKET_SUFFIX))
			continue;
		*suffix = '\0';
		fd = is_interface_name(entry->d_name) ? uapi_connect(entry->d_name) : -EINVAL;
		if (fd < 0)
			continue;
		close(fd);
		ret = name_list_add(list, entry->d_name);
	}
	closedir(dir);
	return ret;
}

static int send_all(int fd, const char *text, size_t len)
{
	ssize_t sent;

	for (; len; text += sent, len -= sent) {
		sent = send(fd, text, len, MSG_NOSIGNAL);
		if (sent >= 0)
			continue;
		if (errno != EINTR)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		sent = 0;
	}
	return 0;
}

static int refill(struct reader *r)
{
	ssize_t got;

	r->len -= r->pos;
	memmove(r->buf, r->buf + r->pos, r->len);
	r->pos = 0;
	if (r->len == sizeof(r->buf))
		return -EPROTO;
	do
		got = recv(r->fd, r->buf + r->len, sizeof(r->buf) - r->len, 0);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	r->len += got;
	if (r->used < r->len)
		r->used = r->len;
	return got ? 0 : -EPROTO;
}

/*
 * Reads a line and cuts it in two at the first '='. At the empty line that ends an answer, value
 * is NULL. Both are good until the next call.
 */
static int read_line(struct reader *r, char **key, char **value)
{
	char *end;
	int ret;

	while (!(end = memchr(r->buf + r->pos, '\n', r->len - r->pos))) {
		ret = refill(r);
		if (ret)
			return ret;
	}
	*end = '\0';
	*key = *value = r->buf + r->pos;
	r->pos = end + 1 - r->buf;
	if (strlen(*key) != (size_t)(end - *key))
		return -EPROTO;
	strsep(value, "=");
	return *value || end == *key ? 0 : -EPROTO;
}

/* Reads to the end of the answer, which goes to dev unless that is NULL. */
static int read_answer(int fd, struct wgdevice *dev)
{
	struct reader r;
	char *key, *value;
	int ret, error = -EPROTO;

	/* All but the buffer, of which only what has come is looked at, and wiped. */
	r.fd = fd;
	r.pos = r.len = r.used = 0;
	while (!(ret = read_line(&r, &key, &value)) && value) {
		if (!strcmp(key, "errno"))
			ret = uapi_parse_errno(&error, value);
		else if (dev)
			ret = uapi_parse_line(dev, key, value);
		if (ret)
			break;
	}
	explicit_bzero(r.buf, r.used);
	return ret ? ret : error;
}

int uapi_get_device(struct wgdevice **out, const char *interface, int fd)
{
	static const char request[] = "get=1\n\n";
	struct wgdevice *dev = calloc(1, sizeof(*dev));
	int ret;

	if (!dev)
		return -ENOMEM;
	strncpy(dev->name, interface, sizeof(dev->name) - 1);
	ret = send_all(fd, request, strlen(request));
	if (!ret)
		ret = read_answer(fd, dev);
	if (ret) {
		free_wgdevice(dev);
		dev = NULL;
	}
	*out = dev;
	return ret;
}

int uapi_set_device(const struct wgdevice *dev, int fd)
{
	char *text = malloc(sizeof("set=1\n\n") + uapi_device_room(dev));
	int ret, answer;
	size_t len;

	if (!text)
		return -ENOMEM;
	len = text_put(uapi_write_device(text_put(text, "set=1\n"), dev), "\n") - text;
	ret = send_all(fd, text, len);
	/* A program that refuses the first lines may answer and hang up before it has read all. */
	if (!ret || ret == -EPIPE || ret == -ECONNRESET) {
		answer = read_answer(fd, NULL);
		if (!ret || (answer && answer != -EPROTO))
			ret = answer;
	}
	explicit_bzero(text, len);
	free(text);
	return ret;
}
