// SPDX-License-Identifier: MIT
/* memfd_create(2) and its seals. */

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sealed.h"

enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };

int sealed_open(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	return fd < 0 ? -errno : fd;
}

int sealed_write(int fd, const void *bytes, size_t len)
{
	const char *p = bytes;
	ssize_t written;

	for (; len; p += written, len -= written) {
		written = write(fd, p, len);
		if (written < 0)
			return -errno;
	}
	return 0;
}

int sealed_close(int fd)
{
	return fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_SEAL) < 0 ? -errno : 0;
}

int sealed_map(int fd, size_t least, const void **bytes, size_t *size)
{
	struct stat st;

	if ((fcntl(fd, F_GET_SEALS) & SEALS) != SEALS || fstat(fd, &st) < 0 ||
	    (size_t)st.st_size < least)
		return -EPROTO;
	*bytes = mmap(NULL, st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	*size = st.st_size;
	return *bytes == MAP_FAILED ? -errno : 0;
}
