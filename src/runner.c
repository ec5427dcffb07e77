// SPDX-License-Identifier: MIT
/* The queue, the start of a program in a process group of its own, and its end. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "loop.h"
#include "runner.h"

enum { PATIENCE_MS = 10000 };

extern char **environ;

/* In one block with the copies of its strings. */
struct run {
	struct run *next;
	pid_t pid;
	char **argv, **env; /* env NULL: ours */
	const char *input, *hint;
	bool quiet;
	const void *owner;
	bool (*start)(void *data);
	void (*done)(void *data, bool success);
	void *data;
};

static bool executable(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISREG(st.st_mode) && !access(path, X_OK);
}

bool runner_find(char path[static PATH_MAX], const char *name)
{
	const char *dir = getenv("PATH"), *end;

	if (strchr(name, '/'))
		return *name == '/' && snprintf(path, PATH_MAX, "%s", name) < PATH_MAX &&
		       executable(path);
	/* What is below the working directory is none of ours. */
	for (; dir; dir = *end ? end + 1 : NULL) {
		end = strchrnul(dir, ':');
		if (*dir == '/' && snprintf(path, PATH_MAX, "%.*s/%s", (int)(end - dir), dir,
					    name) < PATH_MAX && executable(path))
			return true;
	}
	return false;
}

/* --- the queue --- */

static size_t list_size(const char *const *list)
{
	size_t size = sizeof(*list);

	for (; list && *list; ++list)
		size += sizeof(*list) + strlen(*list) + 1;
	return size;
}

static char **list_copy(char ***pointers, char **text, const char *const *list)
{
	char **copy = *pointers;

	for (; *list; ++list) {
		*(*pointers)++ = *text;
		*text = stpcpy(*text, *list) + 1;
	}
	*(*pointers)++ = NULL;
	return copy;
}

static struct run *run_new(const struct program *program)
{
	size_t size = sizeof(struct run) + list_size(program->argv) + list_size(program->env) +
		      (program->input ? strlen(program->input) + 1 : 0);
	struct run *run = calloc(1, size);
	char **pointers, *text;
	size_t count = 2;

	if (!run)
		return NULL;
	for (int i = 0; program->argv[i]; ++i)
		++count;
	for (int i = 0; program->env && program->env[i]; ++i)
		++count;
	pointers = (char **)(run + 1);
	text = (char *)(pointers + count);
	run->argv = list_copy(&pointers, &text, program->argv);
	if (program->env)
		run->env = list_copy(&pointers, &text, program->env);
	if (program->input)
		run->input = strcpy(text, program->input);
	run->hint = program->hint ? program->hint : "";
	run->quiet = program->quiet;
	run->owner = program->owner;
	run->start = program->start;
	run->done = program->done;
	run->data = program->data;
	return run;
}

int runner_add(struct runner *runner, const struct program *program)
{
	struct run **last = &runner->first, *run;
	int count = 0, ret = -ENOBUFS;

	for (; *last; last = &(*last)->next)
		++count;
	if (count < RUNNER_QUEUE) {
		run = run_new(program);
		*last = run;
		ret = run ? 0 : -ENOMEM;
	}
	if (ret)
		log_line(LOG_ERR, "cannot run `%s': %s", *program->argv, strerror(-ret));
	return ret;
}

void runner_drop(struct runner *runner, const void *owner)
{
	struct run **at = &runner->first, *run;

	while ((run = *at)) {
		if (run->owner != owner) {
			at = &run->next;
			continue;
		}
		*at = run->next;
		free(run);
	}
}

uint32_t runner_waiting(const struct runner *runner, const void *owner)
{
	uint32_t count = 0;

	for (const struct run *run = runner->first; run; run = run->next)
		count += run->owner == owner;
	return count;
}

bool runner_idle(const struct runner *runner)
{
	return !runner->first && !runner->current;
}

/* --- what runs --- */

static void finish(struct runner *runner, bool success)
{
	struct run *run = runner->current;

	runner->current = NULL;
	if (run->done)
		run->done(run->data, success);
	free(run);
}

/* A descriptor from which the program reads its input. */
static int input_open(const char *input)
{
	int fd = memfd_create("input", MFD_CLOEXEC);
	size_t len = strlen(input);

	if (fd >= 0 && (write(fd, input, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET) < 0)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/*
 * Standard input and output of a daemon lead nowhere already, and all else that it has open is
 * closed by exec. Returns 0 or an errno.
 */
static int spawn(const struct runner *runner, struct run *run, const char *path, int input)
{
	const short flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
			    POSIX_SPAWN_SETSIGDEF;
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int ret;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, flags);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	ret = posix_spawn_file_actions_addchdir_np(&actions, "/");
	if (!ret && input >= 0)
		ret = posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
	if (!ret)
		ret = posix_spawn_file_actions_adddup2(&actions, runner->verbose ? STDERR_FILENO :
						       STDOUT_FILENO, STDOUT_FILENO);
	if (!ret)
		ret = posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
	if (!ret)
		ret = posix_spawn(&run->pid, path, &actions, &attributes, run->argv,
				  run->env ? run->env : environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return ret;
}

static void start(struct runner *runner, uint64_t now)
{
	struct run *run = runner->first;
	char path[PATH_MAX];
	int input = -1, error = ENOENT;

	runner->first = run->next;
	if (run->start && !run->start(run->data)) {
		free(run);
		return;
	}
	runner->current = run;
	runner->kill_at = now + PATIENCE_MS;
	if (runner_find(path, *run->argv)) {
		if (run->input)
			input = input_open(run->input);
		error = run->input && input < 0 ? errno : spawn(runner, run, path, input);
		if (input >= 0)
			close(input);
	}
	if (!error)
		return;
	if (!run->quiet)
		log_line(LOG_ERR, "cannot run `%s': %s%s", *run->argv, strerror(error), run->hint);
	finish(runner, false);
}

void runner_child(struct runner *runner)
{
	struct run *run = runner->current;
	int status;

	if (!run || waitpid(run->pid, &status, WNOHANG) != run->pid)
		return;
	if (runner->kill_at == NEVER || run->quiet)
		; /* that has been said */
	else if (WIFSIGNALED(status))
		log_line(LOG_ERR, "`%s' was killed by signal %d (%s)%s", *run->argv,
			 WTERMSIG(status), strsignal(WTERMSIG(status)), run->hint);
	else if (WEXITSTATUS(status))
		log_line(LOG_ERR, "`%s' ended with status %d%s", *run->argv, WEXITSTATUS(status),
			 run->hint);
	finish(runner, !status);
}

uint64_t runner_turn(struct runner *runner, uint64_t now)
{
	while (!runner->current && runner->first)
		start(runner, now);
	if (!runner->current)
		return NEVER;
	if (runner->kill_at <= now) {
		if (!runner->current->quiet)
			log_line(LOG_ERR, "`%s' has not ended within %d s: killed%s",
				 *runner->current->argv, PATIENCE_MS / 1000,
				 runner->current->hint);
		kill(-runner->current->pid, SIGKILL);
		runner->kill_at = NEVER;
	}
	return runner->kill_at;
}

void runner_drain(struct runner *runner)
{
	struct timespec wait;
	uint64_t now, until;
	sigset_t child, before;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, &before);
	while (!runner_idle(runner)) {
		now = now_ms();
		until = runner_turn(runner, now);
		runner_child(runner);
		if (!runner->current)
			continue;
		/* A signal of another child may have hidden this one's: so never for long. */
		if (until == NEVER || until > now + 1000)
			until = now + 1000;
		wait.tv_sec = (until - now) / 1000;
		wait.tv_nsec = (until - now) % 1000 * 1000000;
		sigtimedwait(&child, NULL, &wait);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
}
