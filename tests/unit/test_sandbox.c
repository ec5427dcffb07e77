// SPDX-License-Identifier: MIT
/*
 * Engines that have been taken over: each tries one thing that none should, from inside of the
 * sandbox that the daemons' engines are in, and is killed for it, or refused by the kernel.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "channel.h"
#include "log.h"
#include "sandbox.h"

/* Sanitizers need calls that no filter of ours would allow; and qemu has no filters. */
static bool unfiltered(void)
{
#ifdef __SANITIZE_ADDRESS__
	return true;
#else
	return getenv("UNDER_QEMU_USER");
#endif
}

enum {
	DONE = 42, /* exit status of an engine that was let do it; 100 and more: refused, errno */
	REFUSED = 100,
};

/* What the next engine does; inherited. */
static long (*misdeed)(void);

static int engine(int fd)
{
	close(fd);
	errno = 0;
	return misdeed() >= 0 ? DONE : REFUSED + errno;
}

/* The wait status of an engine of this kind that does this. */
static int status_of(enum filter filter, long (*what)(void))
{
	const struct sandbox_engine kind = { engine, filter, 16, 0 };
	struct pollfd polled = { .events = POLLIN };
	int spawner, fds[2], status = 0;
	char here[PATH_MAX];
	bool gone;

	misdeed = what;
	log_open("wg7");
	assert_non_null(realpath(".", here));
	spawner = spawner_start(here, &kind);
	assert_true(spawner >= 0);
	assert_true(channel_pair(fds));
	assert_int_equal(spawner_spawn(spawner, fds[1]), 0);
	polled.fd = spawner;
	assert_int_equal(poll(&polled, 1, 60000), 1);
	assert_true(spawner_status(spawner, &status, &gone));
	close(fds[0]);
	close(fds[1]);
	spawner_close(spawner);
	return status;
}

static void assert_refused(enum filter filter, long (*what)(void), int error)
{
	int status = status_of(filter, what);

	if (!WIFEXITED(status) || WEXITSTATUS(status) != REFUSED + error)
		fail_msg("wait status 0x%x", (unsigned int)status);
}

static void assert_done(enum filter filter, long (*what)(void))
{
	int status = status_of(filter, what);

	if (!WIFEXITED(status) || WEXITSTATUS(status) != DONE)
		fail_msg("wait status 0x%x", (unsigned int)status);
}

static const enum filter filters[] = { FILTER_CLIENT, FILTER_SERVER };

static long opens(void)
{
	return open("/", O_RDONLY);
}

static long creates(void)
{
	return open("new", O_WRONLY | O_CREAT, 0600);
}

static long opens_by_openat2(void)
{
	uint64_t how[3] = { O_RDONLY };

	return syscall(SYS_openat2, AT_FDCWD, ".", how, sizeof(how));
}

static long runs(void)
{
	return execl("/bin/true", "true", NULL);
}

static long runs_from_descriptor(void)
{
	char *argv[] = { "true", NULL };

	return syscall(SYS_execveat, STDIN_FILENO, "", argv, argv + 1, AT_EMPTY_PATH);
}

static long makes_socket(void)
{
	return socket(AF_INET6, SOCK_STREAM, 0);
}

static long makes_pair(void)
{
	int fds[2];

	return socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
}

static long connects(void)
{
	const struct sockaddr_un address = { .sun_family = AF_UNIX };

	return connect(3, (const struct sockaddr *)&address, sizeof(address));
}

static long connects_by_sendto(void)
{
	const struct sockaddr address = { .sa_family = AF_UNSPEC };

	return sendto(3, "x", 1, MSG_FASTOPEN, &address, sizeof(address));
}

static long connects_by_sendmsg(void)
{
	const struct msghdr msg = { 0 };

	return sendmsg(3, &msg, MSG_FASTOPEN | MSG_NOSIGNAL);
}

static long binds(void)
{
	const struct sockaddr_un address = { .sun_family = AF_UNIX };

	return bind(3, (const struct sockaddr *)&address, sizeof(address));
}

static long traces(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static long forks(void)
{
	return fork();
}

/* In a user namespace of its own, as whoever is root there. */
static long forks_as_root(void)
{
#ifdef __s390x__
	long pid = syscall(SYS_clone, 0, CLONE_NEWUSER | SIGCHLD, 0, 0, 0);
#else
	long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
#endif

	if (!pid)
		_exit(0);
	return pid;
}

static long forks_by_clone3(void)
{
#ifdef SYS_clone3
	uint64_t args[8] = { CLONE_NEWUSER, 0, 0, 0, SIGCHLD };
	long pid = syscall(SYS_clone3, args, sizeof(args));

	if (!pid)
		_exit(0);
	return pid;
#else
	errno = ENOSYS;
	return -1;
#endif
}

static long kills_spawner(void)
{
	return kill(getppid(), 0);
}

static long kills_another(void)
{
	return kill(1, 0);
}

static long makes_memory_executable(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return page == MAP_FAILED ? 0 : mprotect(page, 4096, PROT_READ | PROT_EXEC);
}

static long maps_executable(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
	       MAP_FAILED ? -1 : 0;
}

static long controls_device(void)
{
	return ioctl(STDIN_FILENO, FIONREAD, NULL);
}

static long duplicates(void)
{
	return fcntl(0, F_DUPFD, 100);
}

static long limits_itself_less(void)
{
	const struct rlimit more = { 1 << 20, 1 << 20 };

	return setrlimit(RLIMIT_FSIZE, &more);
}

static long becomes_dumpable(void)
{
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static long leaves_root(void)
{
	return chroot("..");
}

static long filters_anew(void)
{
	return syscall(SYS_seccomp, 0, 0, NULL);
}

static long writes(void)
{
	return write(STDOUT_FILENO, "x", 1);
}

/* Where in the file, it says itself. */
static long writes_at(void)
{
	return pwrite(STDOUT_FILENO, "x", 1, 0);
}

static long skips(void)
{
	return syscall(-1) < 0 && errno == ENOSYS ? 0 : -1;
}

#ifdef __x86_64__
/* getpid(2) by the numbers of other sets than ours. */
static long calls_as_i386(void)
{
	long ret;

	__asm__ volatile("int $0x80" : "=a"(ret) : "a"(20) : "memory");
	return ret;
}

static long calls_as_x32(void)
{
	return syscall(0x40000000 + SYS_read, 0, NULL, 0);
}
#endif

static void kills_for(void **state)
{
	static const struct {
		const char *name;
		long (*what)(void);
	} misdeeds[] = {
#define MISDEED(name) { #name, name }
		MISDEED(opens_by_openat2), MISDEED(runs), MISDEED(runs_from_descriptor),
		MISDEED(makes_socket), MISDEED(makes_pair), MISDEED(connects),
		MISDEED(connects_by_sendto), MISDEED(connects_by_sendmsg), MISDEED(binds),
		MISDEED(traces), MISDEED(forks), MISDEED(kills_spawner), MISDEED(kills_another),
		MISDEED(makes_memory_executable), MISDEED(maps_executable),
		MISDEED(controls_device), MISDEED(duplicates), MISDEED(limits_itself_less),
		MISDEED(becomes_dumpable), MISDEED(leaves_root), MISDEED(filters_anew),
#ifdef __x86_64__
		MISDEED(calls_as_i386), MISDEED(calls_as_x32),
#endif
	};
	int status;

	(void)state;
	if (unfiltered())
		return;
	for (size_t f = 0; f < sizeof(filters) / sizeof(filters[0]); ++f) {
		for (size_t i = 0; i < sizeof(misdeeds) / sizeof(misdeeds[0]); ++i) {
			status = status_of(filters[f], misdeeds[i].what);
			if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
				fail_msg("filter %d, %s: wait status 0x%x", filters[f],
					 misdeeds[i].name, (unsigned int)status);
		}
	}
}

static void opens_nothing(void **state)
{
	(void)state;
	if (unfiltered())
		return;
	for (size_t f = 0; f < sizeof(filters) / sizeof(filters[0]); ++f) {
		assert_refused(filters[f], opens, EACCES);
		assert_refused(filters[f], creates, EACCES);
	}
}

/* Without the filter, too, nothing of this would work: each layer is tested by itself. */
static void what_else_stands_in_the_way(void **state)
{
	(void)state;
#ifndef __SANITIZE_ADDRESS__
	return; /* only the other build has no filter */
#endif
	assert_refused(FILTER_CLIENT, creates, EACCES);
	assert_refused(FILTER_CLIENT, runs, EACCES);
	assert_refused(FILTER_CLIENT, leaves_root, EACCES);
	assert_refused(FILTER_CLIENT, kills_another, EPERM);
	assert_refused(FILTER_CLIENT, forks, EAGAIN);
}

static void only_the_server_writes(void **state)
{
	(void)state;
	if (unfiltered())
		return;
	assert_int_equal(status_of(FILTER_CLIENT, writes_at) & 0x7f, SIGSYS);
	assert_done(FILTER_SERVER, writes_at);
	for (size_t f = 0; f < sizeof(filters) / sizeof(filters[0]); ++f)
		assert_int_equal(status_of(filters[f], writes) & 0x7f, SIGSYS);
}

/* As strace's injected faults do. */
static void a_call_that_a_tracer_skips(void **state)
{
	(void)state;
	if (getenv("UNDER_QEMU_USER"))
		return;
	assert_done(FILTER_CLIENT, skips);
	assert_done(FILTER_SERVER, skips);
}

/* A monitor, which no filter kills. */
static int monitor(void)
{
	if (sandbox_keep(1ULL << CAP_NET_ADMIN))
		return 1;
	if (runs() != -1 || errno != EPERM)
		return 2;
	if (runs_from_descriptor() != -1 || errno != EPERM)
		return 3;
	if (traces() != -1 || errno != EPERM)
		return 4;
	if (syscall(SYS_bpf, 0, NULL, 0) != -1 || errno != EPERM)
		return 5;
	if (leaves_root() != -1 || errno != EPERM)
		return 6;
	if (makes_socket() < 0 || opens() < 0)
		return 7;
	if (forks_as_root() != -1 || errno != EPERM)
		return 8;
	if (forks_by_clone3() != -1 || errno != ENOSYS)
		return 9;
	return forks() < 0 ? 10 : DONE; /* a child, of which nobody waits for the status */
}

static void a_monitor_runs_nothing(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	if (unfiltered())
		return;
	pid = fork();
	if (!pid)
		_exit(monitor());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), DONE);
}

static const struct {
	const char *name;
	long number;
} denied[] = {
#define DENIED(name) { #name, SYS_##name }
	DENIED(execve), DENIED(execveat), DENIED(ptrace), DENIED(process_vm_readv),
	DENIED(process_vm_writev), DENIED(personality),
#ifdef SYS_pidfd_getfd
	DENIED(pidfd_getfd),
#endif
	DENIED(mount), DENIED(umount2), DENIED(pivot_root), DENIED(chroot), DENIED(setns),
	DENIED(unshare), DENIED(open_by_handle_at),
#ifdef SYS_mount_setattr
	DENIED(open_tree), DENIED(move_mount), DENIED(fsopen), DENIED(fsconfig),
	DENIED(fsmount), DENIED(fspick), DENIED(mount_setattr),
#endif
	DENIED(init_module), DENIED(finit_module), DENIED(delete_module), DENIED(kexec_load),
	DENIED(bpf), DENIED(perf_event_open), DENIED(userfaultfd), DENIED(add_key),
	DENIED(request_key), DENIED(keyctl),
#ifdef SYS_kexec_file_load
	DENIED(kexec_file_load),
#endif
#ifdef SYS_io_uring_setup
	DENIED(io_uring_setup), DENIED(io_uring_enter), DENIED(io_uring_register),
#endif
#ifdef SYS_iopl
	DENIED(iopl), DENIED(ioperm),
#endif
	DENIED(reboot), DENIED(swapon), DENIED(swapoff), DENIED(acct), DENIED(quotactl),
	DENIED(sethostname), DENIED(setdomainname), DENIED(settimeofday),
	DENIED(clock_settime), DENIED(clock_adjtime), DENIED(adjtimex),
#ifdef SYS_clock_settime64
	DENIED(clock_settime64), DENIED(clock_adjtime64),
#endif
};

enum { DENIALS = sizeof(denied) / sizeof(denied[0]), UNFILTERED = DENIALS + 1 };

/*
 * Which is let through, or DENIALS. With all capabilities, and with arguments that are wrong
 * without any effect: so it is the filter that says EPERM, and not what a call looks at itself.
 */
static int first_let_through(void)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || filter_monitor())
		return UNFILTERED;
	for (int i = 0; i < DENIALS; ++i) {
		errno = 0;
		if (syscall(denied[i].number, -1L, -1L, -1L, -1L, -1L, -1L) != -1 || errno != EPERM)
			return i;
	}
	return DENIALS;
}

static void a_monitor_is_denied_the_system(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	if (unfiltered())
		return;
	pid = fork();
	if (!pid)
		_exit(first_let_through());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_not_equal(WEXITSTATUS(status), UNFILTERED);
	if (WEXITSTATUS(status) < DENIALS)
		fail_msg("%s is let through", denied[WEXITSTATUS(status)].name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kills_for),
		cmocka_unit_test(opens_nothing),
		cmocka_unit_test(what_else_stands_in_the_way),
		cmocka_unit_test(only_the_server_writes),
		cmocka_unit_test(a_call_that_a_tracer_skips),
		cmocka_unit_test(a_monitor_runs_nothing),
		cmocka_unit_test(a_monitor_is_denied_the_system),
	};

	return cmocka_run_group_tests_name("sandbox", tests, NULL, NULL);
}
