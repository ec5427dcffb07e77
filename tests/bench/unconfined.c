// SPDX-License-Identifier: MIT
/*
 * Linked into the program that valgrind runs, to count its instructions where perf can't: processes
 * are confined as valgrind, which lives in them, can't be. They keep their user, root folder and
 * limits, and have no filter of system calls.
 */

#include <errno.h>
#include <grp.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <unistd.h>

int __wrap_filter_engine(int filter);
int __wrap_filter_monitor(void);
int __wrap_chroot(const char *path);
int __wrap_setresuid(uid_t real, uid_t effective, uid_t saved);
int __wrap_setresgid(gid_t real, gid_t effective, gid_t saved);
int __wrap_setuid(uid_t uid);
int __wrap_setrlimit(int resource, const struct rlimit *limit);
int __wrap_setrlimit64(int resource, const struct rlimit *limit);

int __wrap_filter_engine(int filter)
{
	(void)filter;
	return 0;
}

int __wrap_filter_monitor(void)
{
	return 0;
}

int __wrap_chroot(const char *path)
{
	(void)path;
	return 0;
}

int __wrap_setresuid(uid_t real, uid_t effective, uid_t saved)
{
	(void)real, (void)effective, (void)saved;
	return 0;
}

int __wrap_setresgid(gid_t real, gid_t effective, gid_t saved)
{
	(void)real, (void)effective, (void)saved;
	return 0;
}

/* It is tried as proof that it fails. */
int __wrap_setuid(uid_t uid)
{
	(void)uid;
	errno = EPERM;
	return -1;
}

int __wrap_setrlimit(int resource, const struct rlimit *limit)
{
	(void)resource, (void)limit;
	return 0;
}

int __wrap_setrlimit64(int resource, const struct rlimit *limit)
{
	return __wrap_setrlimit(resource, limit);
}
