/* SPDX-License-Identifier: MIT */
/*
 * Sealed memory files: what one process has written, others map, and nobody can change any more.
 */

#ifndef SEALED_H
#define SEALED_H

#include <stddef.h>

/* An empty memory file of this name, which only people look at: a descriptor, or -errno. */
int sealed_open(const char *name);

/* Writes all of the bytes to where the file is at. Returns 0 or -errno. */
int sealed_write(int fd, const void *bytes, size_t len);

/* Seals it: nobody can change it from now on. Returns 0 or -errno. */
int sealed_close(int fd);

/*
 * Maps one of at least so many bytes, to be read; fd may be closed afterwards. Returns 0; -EPROTO
 * if it is shorter or not sealed; or another -errno. munmap() ends it.
 */
int sealed_map(int fd, size_t least, const void **bytes, size_t *size);

#endif
