// SPDX-License-Identifier: MIT
/* A line for each pool, and `link-locals'. */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "served.h"

static const char link_locals[] = "link-locals";

bool served_has(const struct served *served, const struct cidr *ip)
{
	for (uint32_t i = 0; i < served->count; ++i) {
		if (cidr_contains(&served->nets[i], ip))
			return true;
	}
	return false;
}

bool served_gave(const struct served *served, const uint8_t key[static 8], const struct cidr *ip)
{
	struct cidr derived;

	cidr_derived(&derived, key);
	if (!cidr_compare(&derived, ip))
		return served->link_locals;
	return cidr_is_host(ip) && served_has(served, ip);
}

bool served_add(struct served *served, const struct cidr *net)
{
	if (served_has(served, net))
		return true;
	if (served->count == SERVED_NETS)
		return false;
	served->nets[served->count++] = *net;
	return true;
}

bool served_equal(const struct served *a, const struct served *b)
{
	return a->link_locals == b->link_locals && a->count == b->count &&
	       !memcmp(a->nets, b->nets, a->count * sizeof(*a->nets));
}

static bool read_line(struct served *served, char *line)
{
	size_t len = strcspn(line, "\n");
	struct cidr net, masked;

	if (line[len] != '\n')
		return false;
	if (len == strlen(link_locals) && !memcmp(line, link_locals, len)) {
		served->link_locals = true;
		return true;
	}
	if (!cidr_parse(&net, line, len))
		return false;
	masked = net;
	cidr_mask(&masked);
	return !cidr_compare(&net, &masked) && served_add(served, &net);
}

int served_read(struct served *served, int dir_fd, const char *name)
{
	char line[CIDR_STRLEN + 1];
	FILE *file;
	int fd, ret = 0;

	memset(served, 0, sizeof(*served));
	fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	file = fdopen(fd, "r");
	if (!file) {
		close(fd);
		return -ENOMEM;
	}
	while (!ret && fgets(line, sizeof(line), file)) {
		if (!read_line(served, line))
			ret = -EILSEQ;
	}
	if (!ret && ferror(file))
		ret = -EIO;
	fclose(file);
	if (ret)
		memset(served, 0, sizeof(*served));
	return ret;
}

static int write_all(const struct served *served, int fd)
{
	char text[CIDR_STRLEN];

	for (uint32_t i = 0; i < served->count; ++i) {
		if (dprintf(fd, "%s\n", cidr_format(text, &served->nets[i])) < 0)
			return -errno;
	}
	if (served->link_locals && dprintf(fd, "%s\n", link_locals) < 0)
		return -errno;
	return fsync(fd) < 0 ? -errno : 0;
}

int served_write(const struct served *served, int dir_fd, const char *name)
{
	char new[NAME_MAX + 1];
	int fd, ret;

	snprintf(new, sizeof(new), "%s.new", name);
	fd = openat(dir_fd, new, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	ret = write_all(served, fd);
	close(fd);
	if (!ret && renameat(dir_fd, new, dir_fd, name) < 0)
		ret = -errno;
	if (!ret && fsync(dir_fd) < 0)
		ret = -errno;
	return ret;
}
