// SPDX-License-Identifier: MIT
/* Users, capabilities, root directory, and the spawner of engines. */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "channel.h"
#include "log.h"
#include "sandbox.h"

enum { CLOSE_MS = 1000 };

/* What goes between monitor and spawner, in the frame of channel.h. */
enum { SPAWN = 1, ENDED, SPAWNER_TYPES };

struct spawner_message {
	struct message head;
	int32_t wait_status;
};

static const struct message_rule spawner_rules[SPAWNER_TYPES] = {
	[SPAWN] = { sizeof(struct spawner_message), 0, 0, true },
	[ENDED] = { sizeof(struct spawner_message), 0, 0, false },
};

void sandbox_close_from(int first)
{
	if (!syscall(SYS_close_range, first, ~0U, 0U))
		return;
	for (int fd = first; fd < sysconf(_SC_OPEN_MAX); ++fd) /* before Linux 5.9 */
		close(fd);
}

/*
 * From /etc/passwd, where users of the system stand. Only one that is not there is asked for by
 * getpwnam(), for which glibc loads whatever nsswitch.conf(5) names, and keeps it.
 */
static const struct passwd *find_user(const char *name)
{
	FILE *file = fopen("/etc/passwd", "re");
	const struct passwd *user = NULL;

	while (file && (user = fgetpwent(file)) && strcmp(user->pw_name, name))
		;
	if (file)
		fclose(file);
	return user ? user : getpwnam(name);
}

/* Root's alone: NULL for others, and where there is none. */
static const struct passwd *own_user(void)
{
	static struct passwd user; /* of it, what is a number stays valid */
	static bool known, there;
	const struct passwd *found;

	if (!known && !geteuid()) {
		found = find_user(SANDBOX_USER);
		there = found;
		if (there)
			user = *found;
		known = true;
	}
	return there ? &user : NULL;
}

int sandbox_dir(const char *path, mode_t mode)
{
	const struct passwd *user = own_user();
	struct stat st;
	uid_t owner;
	int fd;

	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (geteuid() || fstat(fd, &st) < 0)
		return fd;
	owner = user ? user->pw_uid : st.st_uid;
	if ((st.st_uid != owner || st.st_gid || (st.st_mode & 07777) != mode) &&
	    (fchmod(fd, mode) < 0 || fchown(fd, owner, 0) < 0))
		log_line(LOG_WARNING, "cannot give %s to " SANDBOX_USER " and the group root: %s",
			 path, strerror(errno));
	return fd;
}

static uint64_t capabilities_get(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data) < 0)
		return 0;
	return (uint64_t)data[1].effective << 32 | data[0].effective;
}

bool sandbox_allowed(void)
{
	if (capabilities_get() >> CAP_NET_ADMIN & 1)
		return true;
	log_failure("CAP_NET_ADMIN is missing: run it as root, or give that capability to the "
		    "container or unit");
	return false;
}

/*
 * Goes before all else that is given up: afterwards the right to narrow the set is gone. To who
 * has never had it, and is not root, no_new_privs leaves nothing of the set anyway.
 */
static int bounding_set(uint64_t keep)
{
	bool may = !geteuid() || capabilities_get() >> CAP_SETPCAP & 1;

	for (int cap = 0; may && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; ++cap) {
		/* What a supervisor has taken away already needs no right to be dropped. */
		if (!(keep >> cap & 1) && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) &&
		    prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return -errno;
	}
	return 0;
}

static int capabilities_set(uint64_t keep)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {
		{ .effective = keep, .permitted = keep },
		{ .effective = keep >> 32, .permitted = keep >> 32 },
	};

	if (syscall(SYS_capset, &head, data) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return 0;
}

int sandbox_keep(uint64_t capabilities)
{
	int ret;

	if (geteuid())
		capabilities |= 1ULL << CAP_DAC_OVERRIDE;
	ret = bounding_set(capabilities);
	if (!ret)
		ret = capabilities_set(capabilities & capabilities_get());
	return ret ? ret : filter_monitor();
}

/* A folder that is removed already: nothing can ever be made in it. */
static int enter_nowhere(const char *dir)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/root.XXXXXX", dir);
	if (!mkdtemp(path))
		return -errno;
	if (chdir(path) < 0 || rmdir(path) < 0 || chroot(".") < 0)
		return -errno;
	return 0;
}

/* Without a user, as the one that we are already. */
static int confine(const char *dir, const struct passwd *user)
{
	const struct rlimit none = { 0, 0 };
	int ret;

	/* A Ctrl-C, or what a supervisor sends to all, is for the monitor: that ends us. */
	setsid();
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	ret = bounding_set(0);
	if (ret)
		return ret;
	ret = enter_nowhere(dir);
	if (ret)
		return ret;
	if (user && (setgroups(0, NULL) < 0 ||
		     setresgid(user->pw_gid, user->pw_gid, user->pw_gid) < 0 ||
		     setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0))
		return -errno;
	ret = capabilities_set(0);
	if (ret)
		return ret;
	if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	if (!setuid(0)) /* nothing above may have failed silently */
		return -EPERM;
	return filter_monitor();
}

static int engine_run(const struct sandbox_engine *engine, int fd)
{
	const struct rlimit none = { 0, 0 }, files = { engine->files, engine->files };
	struct rlimit size;

	/* Where there are fewer, accepting pauses when they run out. */
	setrlimit(RLIMIT_NOFILE, &files);
	/* An engine must not outlive a spawner that was killed. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ||
	    setrlimit(RLIMIT_NPROC, &none) < 0 || getrlimit(RLIMIT_FSIZE, &size) < 0)
		return 1;
	if (size.rlim_max > (rlim_t)engine->file_size)
		size.rlim_max = engine->file_size;
	size.rlim_cur = size.rlim_max;
	if (setrlimit(RLIMIT_FSIZE, &size) < 0 || signal(SIGXFSZ, SIG_IGN) == SIG_ERR ||
	    filter_engine(engine->filter))
		return 1;
	return engine->run(fd);
}

/*
 * Waits until the engine ends; kills it when the monitor goes away first, or wants another: one
 * that was cut off may well stay.
 */
static int engine_wait(int fd, pid_t engine)
{
	struct pollfd polled[2] = {
		{ .fd = fd, .events = POLLIN | POLLRDHUP }, { .events = POLLIN }
	};
	int status;

	polled[1].fd = syscall(SYS_pidfd_open, engine, 0);
	while (polled[1].fd >= 0 && !(polled[1].revents & POLLIN)) {
		if (poll(polled, 2, -1) > 0 && polled[0].revents) {
			kill(engine, SIGKILL);
			break;
		}
	}
	close(polled[1].fd);
	while (waitpid(engine, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

static void spawner_run(int fd, const struct sandbox_engine *engine)
{
	struct spawner_message ended = { .head.type = ENDED };
	union message_buffer buffer;
	struct channel channel;
	int engine_fd;
	pid_t pid;

	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	channel_open(&channel, fd, spawner_rules, SPAWNER_TYPES);
	while (channel_receive(&channel, &buffer, &engine_fd) > 0) {
		if (engine_fd < 0)
			break;
		pid = fork();
		if (!pid) {
			close(fd);
			_exit(engine_run(engine, engine_fd));
		}
		close(engine_fd);
		ended.wait_status = pid > 0 ? engine_wait(fd, pid) : -1;
		if (channel_send(&channel, &ended.head, sizeof(ended), -1))
			break;
	}
	_exit(0);
}

/*
 * Leaves the process nothing open but this one descriptor, whose new number it returns: standard
 * error, too, is somebody's pipe, who waits for its end.
 */
static int keep_alone(int fd, int null)
{
	int kept = fcntl(fd, F_DUPFD_CLOEXEC, 16);

	for (int i = STDIN_FILENO; i <= STDERR_FILENO; ++i)
		dup2(null, i);
	dup2(kept, STDERR_FILENO + 1);
	sandbox_close_from(STDERR_FILENO + 2);
	return STDERR_FILENO + 1;
}

int spawner_start(const char *dir, const struct sandbox_engine *engine)
{
	const bool root = !geteuid();
	const struct passwd *user = own_user();
	int ret, fds[2], null;
	pid_t pid;

	if (root && !user) {
		log_line(LOG_NOTICE, "there is no user " SANDBOX_USER ", which `useradd --system "
			 "--no-create-home " SANDBOX_USER "' makes: the engine runs as nobody");
		user = find_user("nobody");
	}
	if (root && (!user || !user->pw_uid)) {
		log_failure("neither " SANDBOX_USER " nor nobody is an ordinary user: make one");
		return -ENOENT;
	}
	if (!filter_available()) {
		log_failure("the kernel has no system call filters: it must be one that was built "
			    "with CONFIG_SECCOMP_FILTER");
		return -ENOSYS;
	}
	if (!channel_pair(fds) || (pid = fork()) < 0) {
		ret = -errno;
		log_failure("cannot start a process: %s", strerror(-ret));
		return ret;
	}
	if (!pid) {
		null = open("/dev/null", O_RDWR | O_CLOEXEC);
		ret = null < 0 ? -errno : confine(dir, user);
		if (!ret)
			spawner_run(keep_alone(fds[1], null), engine);
		log_failure("cannot confine a process: %s", strerror(-ret));
		_exit(1);
	}
	close(fds[1]);
	return fds[0];
}

int spawner_spawn(int spawner, int channel_fd)
{
	struct spawner_message message = { .head.type = SPAWN };
	struct channel channel;

	channel_open(&channel, spawner, spawner_rules, SPAWNER_TYPES);
	return channel_send(&channel, &message.head, sizeof(message), channel_fd);
}

void spawner_close(int spawner)
{
	struct pollfd polled = { .fd = spawner, .events = POLLIN };
	char buf[CHANNEL_MESSAGE];

	/* It takes that for our end; its own end closes when the engine and it are gone. */
	shutdown(spawner, SHUT_WR);
	while (poll(&polled, 1, CLOSE_MS) > 0 && recv(spawner, buf, sizeof(buf), 0) > 0)
		;
	close(spawner);
}

bool spawner_status(int spawner, int *wait_status, bool *gone)
{
	union message_buffer buffer;
	struct channel channel;
	int ret, fd;

	channel_open(&channel, spawner, spawner_rules, SPAWNER_TYPES);
	ret = channel_receive(&channel, &buffer, &fd);
	if (fd >= 0)
		close(fd);
	*gone = ret <= 0 && ret != -EAGAIN;
	if (ret <= 0)
		return false;
	*wait_status = ((struct spawner_message *)&buffer)->wait_status;
	return true;
}
