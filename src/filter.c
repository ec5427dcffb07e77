// SPDX-License-Identifier: MIT
/*
 * The filters are tables, and made into programs for the kernel (linux/seccomp.h, linux/filter.h)
 * when they are set. Numbers that an architecture lacks are left out by their names.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/net.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "filter.h"

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__i386__)
#define ARCHITECTURE AUDIT_ARCH_I386
#elif defined(__aarch64__)
#define ARCHITECTURE (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? AUDIT_ARCH_AARCH64 : 0)
#elif defined(__arm__)
#define ARCHITECTURE (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? AUDIT_ARCH_ARM : \
		      AUDIT_ARCH_ARMEB)
#elif defined(__s390x__)
#define ARCHITECTURE AUDIT_ARCH_S390X
#elif defined(__powerpc64__)
#define ARCHITECTURE (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? AUDIT_ARCH_PPC64LE : \
		      AUDIT_ARCH_PPC64)
#elif defined(__powerpc__)
#define ARCHITECTURE AUDIT_ARCH_PPC
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCHITECTURE AUDIT_ARCH_RISCV64
#elif defined(__mips64) && _MIPS_SIM == _ABI64
#define ARCHITECTURE (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? AUDIT_ARCH_MIPSEL64 : \
		      AUDIT_ARCH_MIPS64)
#elif defined(__mips__) && _MIPS_SIM == _ABIO32
#define ARCHITECTURE (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? AUDIT_ARCH_MIPSEL : \
		      AUDIT_ARCH_MIPS)
#elif defined(__loongarch64)
#define ARCHITECTURE AUDIT_ARCH_LOONGARCH64
#else
#error "which AUDIT_ARCH_ of linux/audit.h is this?"
#endif

enum { BOTH = FILTER_CLIENT | FILTER_SERVER, ANY = -1 };

/* With `arg' of ANY, the call as such; else if that argument, masked, is this value. */
struct allowed {
	uint16_t number;
	uint8_t filters;
	int8_t arg;
	uint32_t mask, value;
};

#define ALLOW(filters, name) { __NR_##name, filters, ANY, 0, 0 }
#define ALLOW_IF(filters, name, arg, mask, value) { __NR_##name, filters, arg, mask, value }

static const struct allowed engine[] = {
	/* The loop: what there is most of comes first. */
#ifdef __NR_epoll_wait
	ALLOW(BOTH, epoll_wait),
#endif
	ALLOW(BOTH, epoll_pwait), /* what epoll_wait() is where there is no such number */
	ALLOW(BOTH, epoll_ctl),
	ALLOW(BOTH, epoll_create1),
	ALLOW(BOTH, timerfd_create),
	ALLOW(BOTH, timerfd_settime),
#ifdef __NR_timerfd_settime64
	ALLOW(BOTH, timerfd_settime64),
#endif
	/* Time, where it takes a system call. */
	ALLOW(BOTH, clock_gettime),
#ifdef __NR_clock_gettime64
	ALLOW(BOTH, clock_gettime64),
#endif
	ALLOW(BOTH, gettimeofday),
#ifdef __NR_time
	ALLOW(BOTH, time),
#endif
	/*
	 * Sockets that are open already. With MSG_FASTOPEN, sending would connect one to anywhere
	 * when its own connection has failed. What socketcall() is given, a filter can't see.
	 */
#ifdef __NR_recv
	ALLOW(BOTH, recv),
#endif
#ifdef __NR_send
	ALLOW(BOTH, send),
#endif
#ifdef __NR_recvfrom
	ALLOW(BOTH, recvfrom),
	ALLOW_IF(BOTH, sendto, 3, MSG_FASTOPEN, 0),
	ALLOW(BOTH, recvmsg),
	ALLOW_IF(BOTH, sendmsg, 2, MSG_FASTOPEN, 0),
	ALLOW(BOTH, accept4),
	ALLOW(FILTER_SERVER, shutdown),
	ALLOW(BOTH, getsockopt),
#endif
#ifdef __NR_socketcall
	ALLOW_IF(BOTH, socketcall, 0, ~0U, SYS_RECV),
	ALLOW_IF(BOTH, socketcall, 0, ~0U, SYS_SEND),
	ALLOW_IF(BOTH, socketcall, 0, ~0U, SYS_RECVFROM),
	ALLOW_IF(BOTH, socketcall, 0, ~0U, SYS_SENDTO),
	ALLOW_IF(BOTH, socketcall, 0, ~0U, SYS_RECVMSG),
	ALLOW_IF(BOTH, socketcall, 0, ~0U, SYS_SENDMSG),
	ALLOW_IF(BOTH, socketcall, 0, ~0U, SYS_ACCEPT4),
	ALLOW_IF(FILTER_SERVER, socketcall, 0, ~0U, SYS_SHUTDOWN),
	ALLOW_IF(BOTH, socketcall, 0, ~0U, SYS_GETSOCKOPT),
#endif
	ALLOW(BOTH, read),
	ALLOW(BOTH, close),
	/* The journal, and readings of the device. */
	ALLOW(FILTER_SERVER, pwrite64),
	ALLOW(FILTER_SERVER, fdatasync),
	ALLOW(FILTER_SERVER, pread64),
	ALLOW(FILTER_SERVER, fallocate),
	ALLOW(FILTER_SERVER, ftruncate),
#ifdef __NR_ftruncate64
	ALLOW(FILTER_SERVER, ftruncate64),
#endif
	ALLOW_IF(FILTER_SERVER, fcntl, 1, ~0U, F_GET_SEALS),
#ifdef __NR_fcntl64
	ALLOW_IF(FILTER_SERVER, fcntl64, 1, ~0U, F_GET_SEALS),
#endif
	/* What fstat() is depends on the library and its version. */
#ifdef __NR_fstat
	ALLOW(FILTER_SERVER, fstat),
#endif
#ifdef __NR_fstat64
	ALLOW(FILTER_SERVER, fstat64),
#endif
#ifdef __NR_newfstatat
	ALLOW_IF(FILTER_SERVER, newfstatat, 3, ~0U, AT_EMPTY_PATH),
#endif
#ifdef __NR_statx
	ALLOW_IF(FILTER_SERVER, statx, 2, AT_EMPTY_PATH, AT_EMPTY_PATH),
#endif
	/* Memory, none of it to be run. */
	ALLOW(BOTH, brk),
	ALLOW(BOTH, munmap),
	ALLOW(BOTH, mremap),
	ALLOW(BOTH, madvise),
	ALLOW_IF(BOTH, mprotect, 2, PROT_EXEC, 0),
#if defined(__NR_mmap2)
	ALLOW_IF(BOTH, mmap2, 2, PROT_EXEC, 0),
#elif defined(__s390x__)
	ALLOW(BOTH, mmap), /* has one argument there, a pointer to all six */
#else
	ALLOW_IF(BOTH, mmap, 2, PROT_EXEC, 0),
#endif
	ALLOW(BOTH, getrandom), /* for malloc() */
	ALLOW(BOTH, sysinfo), /* for qsort(), to see how much memory there is */
	/* Signals that stop it and let it go on, and its end. */
	ALLOW(BOTH, restart_syscall),
	ALLOW(BOTH, rt_sigreturn),
	ALLOW(BOTH, exit_group),
};

/* Refused, not killed for: qsort() of older C libraries tries to read /proc/meminfo. */
static const uint16_t refused[] = {
#ifdef __NR_open
	__NR_open,
#endif
	__NR_openat,
};

static const uint16_t monitor[] = {
	/* Other programs, and other processes. */
	__NR_execve, __NR_execveat, __NR_ptrace, __NR_process_vm_readv, __NR_process_vm_writev,
	__NR_personality,
#ifdef __NR_pidfd_getfd
	__NR_pidfd_getfd,
#endif
	/* Other views of the system. */
	__NR_mount, __NR_umount2, __NR_pivot_root, __NR_chroot, __NR_setns, __NR_unshare,
	__NR_open_by_handle_at,
#ifdef __NR_mount_setattr
	__NR_open_tree, __NR_move_mount, __NR_fsopen, __NR_fsconfig, __NR_fsmount, __NR_fspick,
	__NR_mount_setattr,
#endif
	/* The kernel itself. */
	__NR_init_module, __NR_finit_module, __NR_delete_module, __NR_kexec_load, __NR_bpf,
	__NR_perf_event_open, __NR_userfaultfd, __NR_add_key, __NR_request_key, __NR_keyctl,
#ifdef __NR_kexec_file_load
	__NR_kexec_file_load,
#endif
#ifdef __NR_io_uring_setup
	__NR_io_uring_setup, __NR_io_uring_enter, __NR_io_uring_register,
#endif
#ifdef __NR_iopl
	__NR_iopl, __NR_ioperm,
#endif
	/* The machine as a whole. */
	__NR_reboot, __NR_swapon, __NR_swapoff, __NR_acct, __NR_quotactl, __NR_sethostname,
	__NR_setdomainname, __NR_settimeofday, __NR_clock_settime, __NR_clock_adjtime,
	__NR_adjtimex,
#ifdef __NR_clock_settime64
	__NR_clock_settime64, __NR_clock_adjtime64,
#endif
};

/*
 * Namespaces, which clone() makes as unshare() does. (That of time has its bit among those of the
 * signal there: only clone3() knows it.)
 */
enum {
	NAMESPACES = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
		     CLONE_NEWPID | CLONE_NEWNET,
#ifdef __s390x__
	CLONE_FLAGS = 1, /* the stack comes first */
#else
	CLONE_FLAGS = 0,
#endif
};

enum {
	PROGRAM = 512, /* instructions, which all tables together do not have */
	SKIPPED = -1, /* what a tracer makes of a call that is not to be made, as injected faults */
	X32 = 0x40000000, /* set in the numbers of x86-64's third set of system calls */
};

struct program {
	struct sock_filter code[PROGRAM];
	unsigned short length;
};

static void add(struct program *program, uint16_t code, uint32_t k, uint8_t yes, uint8_t no)
{
	program->code[program->length++] = (struct sock_filter){ code, yes, no, k };
}

static void load(struct program *program, uint32_t offset)
{
	add(program, BPF_LD | BPF_W | BPF_ABS, offset, 0, 0);
}

static void give(struct program *program, uint32_t action)
{
	add(program, BPF_RET | BPF_K, action, 0, 0);
}

/* The number of the system call is loaded, and again after each rule. */
static void rule(struct program *program, uint32_t number, uint32_t action)
{
	add(program, BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1);
	give(program, action);
}

/* All arguments that are looked at are ints, or have all their bits in the low half. */
static void load_arg(struct program *program, int arg)
{
	uint32_t low = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? sizeof(uint32_t) : 0;

	load(program, offsetof(struct seccomp_data, args[arg]) + low);
}

static void rule_arg(struct program *program, const struct allowed *allowed)
{
	add(program, BPF_JMP | BPF_JEQ | BPF_K, allowed->number, 0, 5);
	load_arg(program, allowed->arg);
	add(program, BPF_ALU | BPF_AND | BPF_K, allowed->mask, 0, 0);
	add(program, BPF_JMP | BPF_JEQ | BPF_K, allowed->value, 0, 1);
	give(program, SECCOMP_RET_ALLOW);
	load(program, offsetof(struct seccomp_data, nr));
}

/* Children, as they read the device, but not in namespaces of their own, where they were root. */
static void rule_clone(struct program *program)
{
#ifdef __NR_clone3
	/* Its flags are in memory, which a filter can't see; the C library then takes clone(). */
	rule(program, __NR_clone3, SECCOMP_RET_ERRNO | ENOSYS);
#endif
	add(program, BPF_JMP | BPF_JEQ | BPF_K, __NR_clone, 0, 4);
	load_arg(program, CLONE_FLAGS);
	add(program, BPF_JMP | BPF_JSET | BPF_K, NAMESPACES, 0, 1);
	give(program, SECCOMP_RET_ERRNO | EPERM);
	load(program, offsetof(struct seccomp_data, nr));
}

static void begin(struct program *program)
{
	program->length = 0;
	load(program, offsetof(struct seccomp_data, arch));
	add(program, BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
	give(program, SECCOMP_RET_KILL_PROCESS);
	load(program, offsetof(struct seccomp_data, nr));
	rule(program, SKIPPED, SECCOMP_RET_ALLOW);
#ifdef __x86_64__
	add(program, BPF_JMP | BPF_JSET | BPF_K, X32, 0, 1);
	give(program, SECCOMP_RET_KILL_PROCESS);
#endif
}

static int set(const struct program *program)
{
	struct sock_fprog code = { program->length, (struct sock_filter *)program->code };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return 0;
#endif
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &code) < 0 ? -errno : 0;
}

bool filter_available(void)
{
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL) < 0 && errno == EFAULT;
}

int filter_engine(enum filter filter)
{
	struct program program;

	begin(&program);
	for (size_t i = 0; i < sizeof(engine) / sizeof(engine[0]); ++i) {
		if (!(engine[i].filters & filter))
			continue;
		if (engine[i].arg == ANY)
			rule(&program, engine[i].number, SECCOMP_RET_ALLOW);
		else
			rule_arg(&program, &engine[i]);
	}
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); ++i)
		rule(&program, refused[i], SECCOMP_RET_ERRNO | EACCES);
	give(&program, SECCOMP_RET_KILL_PROCESS);
	return set(&program);
}

int filter_monitor(void)
{
	struct program program;

	begin(&program);
	for (size_t i = 0; i < sizeof(monitor) / sizeof(monitor[0]); ++i)
		rule(&program, monitor[i], SECCOMP_RET_ERRNO | EPERM);
	rule_clone(&program);
	give(&program, SECCOMP_RET_ALLOW);
	return set(&program);
}
