// SPDX-License-Identifier: MIT
/* The simulated system. What is not ours (memory files, mappings) goes to the real one. */

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "kernel.h"

uint64_t sim_now;
int64_t sim_wall;
jmp_buf sim_crash;
uint32_t sim_calls_left;
enum sim_disk sim_disk;
struct sim_file *sim_journal, *sim_fresh;
void (*sim_written)(const struct sim_file *file, size_t from);
void (*sim_durable)(const struct sim_file *file, size_t from);

static enum sim_process running;
static struct sim_file files[4];
static bool handed[SIM_FD];

void *__real_malloc(size_t len);
void __real_free(void *at);
ssize_t __real_read(int fd, void *buf, size_t len);
int __real_close(int fd);

void sim_system_call(void)
{
	if (running == SIM_OF_ENGINE && sim_calls_left && !--sim_calls_left)
		longjmp(sim_crash, 1);
}

/* --- memory: all that the process has, so that it can be freed when the process dies --- */

struct block {
	struct block *next, **before;
	size_t len, unused;
};

static struct block *blocks[SIM_PROCESSES];

void *__wrap_malloc(size_t len)
{
	struct block *block = __real_malloc(sizeof(*block) + len);

	if (!block)
		abort();
	block->len = len;
	block->next = blocks[running];
	block->before = &blocks[running];
	if (block->next)
		block->next->before = &block->next;
	blocks[running] = block;
	return block + 1;
}

void __wrap_free(void *at)
{
	struct block *block;

	if (!at)
		return;
	block = (struct block *)at - 1;
	*block->before = block->next;
	if (block->next)
		block->next->before = block->before;
	__real_free(block);
}

void *__wrap_calloc(size_t count, size_t len)
{
	void *at = __wrap_malloc(count * len);

	return memset(at, 0, count * len);
}

void *__wrap_realloc(void *at, size_t len)
{
	void *new = __wrap_malloc(len);
	size_t old = at ? ((struct block *)at - 1)->len : 0;

	if (old)
		memcpy(new, at, old < len ? old : len);
	__wrap_free(at);
	return new;
}

void *__wrap_reallocarray(void *at, size_t count, size_t len)
{
	return __wrap_realloc(at, count * len);
}

void sim_enter(enum sim_process process)
{
	running = process;
}

void sim_process_end(enum sim_process process)
{
	while (blocks[process])
		__wrap_free(blocks[process] + 1);
	if (process == SIM_OF_MONITOR)
		return;
	sim_connections_end();
	for (int fd = 0; fd < SIM_FD; ++fd) {
		if (handed[fd])
			__real_close(fd);
		handed[fd] = false;
	}
}

void sim_hand(int fd)
{
	if (fd >= 0 && fd < SIM_FD)
		handed[fd] = true;
}

/* --- time --- */

uint64_t now_ms(void)
{
	return sim_now;
}

uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

time_t __wrap_time(time_t *at)
{
	(void)at;
	return sim_wall;
}

/* --- files --- */

static struct sim_file *file_of(int fd)
{
	return fd >= SIM_FILES && fd < SIM_SOCKETS ? &files[fd - SIM_FILES] : NULL;
}

int sim_file_fd(struct sim_file *file)
{
	return SIM_FILES + (file - files);
}

static struct sim_file *file_make(void)
{
	struct sim_file *file = files;

	while (file == sim_journal || file == sim_fresh)
		++file;
	file->len = file->end = file->durable = 0;
	file->named = false;
	return file;
}

void sim_files_reset(void)
{
	sim_fresh = NULL;
	sim_journal = file_make();
	sim_journal->named = true;
}

void sim_file_make_fresh(void)
{
	sim_fresh = file_make();
}

void sim_file_drop_fresh(void)
{
	sim_fresh = NULL;
}

void sim_file_rename(void)
{
	sim_journal->named = false;
	sim_journal = sim_fresh;
	sim_journal->named = true;
	sim_fresh = NULL;
	sim_durable(sim_journal, 0);
}

/* Behind the last record; lines of spaces are room for more. */
static void find_end(struct sim_file *file)
{
	file->end = file->len;
	while (file->end && (file->bytes[file->end - 1] == ' ' ||
			     file->bytes[file->end - 1] == '\n'))
		--file->end;
	file->end += file->end < file->len && file->bytes[file->end] == '\n';
}

void sim_power_cut(size_t kept, bool torn)
{
	struct sim_file *file = sim_journal;

	sim_fresh = NULL;
	if (file->durable + kept < file->end)
		file->end = file->durable + kept;
	if (torn && file->end > file->durable)
		memset(file->bytes + (file->durable + file->end) / 2, 0,
		       file->end - (file->durable + file->end) / 2);
	for (size_t i = file->end; i < file->len; ++i)
		file->bytes[i] = ' ';
	if (kept & 4) /* that it is longer is not durable either */
		file->len = file->end;
	file->durable = file->end;
	sim_durable(file, 0);
}

ssize_t __wrap_pwrite64(int fd, const void *buf, size_t len, off_t offset)
{
	struct sim_file *file = file_of(fd);
	size_t before = file->end;

	sim_system_call();
	/* What has reached the disk is never written over, and there are no gaps. */
	if ((size_t)offset < file->durable || (size_t)offset > file->len)
		abort();
	if (sim_disk == SIM_DISK_BROKEN) {
		errno = EIO;
		return -1;
	}
	if (sim_disk == SIM_DISK_FULL && len > 1) /* a part may still find room */
		len /= 2;
	else if (sim_disk == SIM_DISK_FULL) {
		errno = ENOSPC;
		return -1;
	}
	while (offset + len > file->room) {
		char *bytes = __real_malloc(2 * file->room + 4096);

		if (file->len)
			memcpy(bytes, file->bytes, file->len);
		__real_free(file->bytes);
		file->bytes = bytes;
		file->room = 2 * file->room + 4096;
	}
	memcpy(file->bytes + offset, buf, len);
	if (file->len < offset + len)
		file->len = offset + len;
	find_end(file);
	if (file == sim_journal && file->end > before)
		sim_written(file, before);
	return len;
}

int __wrap_fdatasync(int fd)
{
	struct sim_file *file = file_of(fd);
	size_t before = file->durable;

	sim_system_call();
	if (sim_disk == SIM_DISK_BROKEN) {
		errno = EIO;
		return -1;
	}
	file->durable = file->end;
	if (file->named && before < file->durable)
		sim_durable(file, before);
	return 0;
}

int __wrap_fallocate64(int fd, int mode, off_t offset, off_t len)
{
	(void)fd;
	(void)mode;
	(void)offset;
	(void)len;
	sim_system_call();
	errno = sim_disk == SIM_DISK_BROKEN ? EIO : ENOSPC;
	return sim_disk == SIM_DISK_GOOD ? 0 : -1;
}

int __wrap_ftruncate64(int fd, off_t len)
{
	struct sim_file *file = file_of(fd);

	sim_system_call();
	if (sim_disk == SIM_DISK_BROKEN) {
		errno = EIO;
		return -1;
	}
	file->len = len;
	if (file->end > file->len)
		file->end = file->len;
	if (file->durable > file->end)
		file->durable = file->end;
	return 0;
}

ssize_t __wrap_pread64(int fd, void *buf, size_t len, off_t offset)
{
	struct sim_file *file = file_of(fd);

	sim_system_call();
	if ((size_t)offset >= file->len)
		return 0;
	if (len > file->len - offset)
		len = file->len - offset;
	memcpy(buf, file->bytes + offset, len);
	return len;
}

int __real_fstat64(int fd, struct stat *st);

int __wrap_fstat64(int fd, struct stat *st)
{
	struct sim_file *file = file_of(fd);

	if (!file)
		return __real_fstat64(fd, st);
	sim_system_call();
	*st = (struct stat){ .st_size = file->len };
	return 0;
}

int __wrap_close(int fd)
{
	if (fd < SIM_FD) {
		handed[fd] = false;
		return __real_close(fd);
	}
	sim_system_call();
	if (fd >= SIM_SOCKETS)
		sim_closed(fd);
	return 0;
}
