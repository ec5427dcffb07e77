// SPDX-License-Identifier: MIT
/*
 * Of an engine's end two signs come, in any order: its channel closes, and the spawner tells how
 * it ended. The first of them decides when the next one starts; the spawner's is for the log, where
 * it stands even after an engine has had the monitor say all that it may.
 */

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "sandbox.h"
#include "supervisor.h"

enum {
	PAUSE_MAX = 64, /* seconds */
	BURST = 64, /* messages taken in one go, so that one engine can't keep the monitor busy */
};

static void schedule(struct supervisor *s)
{
	uint64_t now = now_ms();

	if (s->draining || s->start_at != NEVER)
		return;
	if (now - s->started >= PAUSE_MAX * 1000)
		s->pause = 1;
	s->start_at = now + s->pause * 1000;
	s->pause = s->pause < PAUSE_MAX / 2 ? s->pause * 2 : PAUSE_MAX;
}

static void cut_off(struct supervisor *s)
{
	if (s->channel.fd < 0)
		return;
	loop_remove(s->loop, &s->engine);
	channel_close(&s->channel);
	s->broken = s->held = false;
	schedule(s);
	s->calls->down(s);
}

static void want_events(struct supervisor *s)
{
	loop_change(s->loop, &s->engine,
		    (s->held ? 0 : EPOLLIN) | (s->channel.first ? EPOLLOUT : 0));
}

static void engine_ready(struct watch *watch, uint32_t events)
{
	struct supervisor *s = watch_owner(watch, struct supervisor, engine);
	union message_buffer buffer;
	int fd, ret;

	if (events & (EPOLLHUP | EPOLLERR))
		supervisor_hold(s, false); /* it has ended */
	if (events & EPOLLOUT) {
		channel_flush(&s->channel);
		want_events(s);
	}
	for (int i = 0; i < BURST && s->channel.fd >= 0 && !s->held; ++i) {
		ret = channel_receive(&s->channel, &buffer, &fd);
		if (ret == -EAGAIN)
			return;
		if (ret <= 0) {
			if (ret == -EPROTO)
				log_failure("the engine broke the rules of the channel");
			cut_off(s);
			return;
		}
		s->calls->message(s, &buffer, ret, fd);
	}
}

static void log_end(const struct supervisor *s, int status)
{
	uint64_t now = now_ms(), wait = 0;

	if (s->start_at != NEVER && s->start_at > now)
		wait = (s->start_at - now + 999) / 1000;
	if (status == -1)
		log_failure("cannot start an engine; next try in %u s", (unsigned int)wait);
	else if (WIFSIGNALED(status))
		log_failure("the engine was killed by signal %d (%s); the next starts in %u s",
			    WTERMSIG(status), strsignal(WTERMSIG(status)), (unsigned int)wait);
	else if (!s->draining || WEXITSTATUS(status))
		log_failure("the engine ended with status %d; the next starts in %u s",
			    WEXITSTATUS(status), (unsigned int)wait);
}

static void spawner_ready(struct watch *watch, uint32_t events)
{
	struct supervisor *s = watch_owner(watch, struct supervisor, spawner);
	bool gone = false;
	int status;

	(void)events;
	/* What it said comes before its end. */
	if (s->channel.fd >= 0)
		engine_ready(&s->engine, EPOLLHUP);
	while (spawner_status(watch->fd, &status, &gone)) {
		if (s->running && --s->running == 0)
			schedule(s);
		log_end(s, status);
	}
	if (!gone)
		return;
	loop_remove(s->loop, watch);
	if (!s->draining)
		log_failure("the process that starts engines has died: this daemon ends, and is "
		    "to be started again");
	s->lost = true;
	cut_off(s);
}

bool supervisor_open(struct supervisor *s, int spawner)
{
	s->channel.fd = -1;
	s->pause = 1;
	return loop_watch(s->loop, &s->spawner, spawner, spawner_ready);
}

/* False when it can't be, which is logged. */
static bool engine_start(struct supervisor *s)
{
	int fds[2], ret;

	if (!channel_pair(fds)) {
		log_failure("cannot start an engine: %s", strerror(errno));
		return false;
	}
	ret = spawner_spawn(s->spawner.fd, fds[1]);
	close(fds[1]);
	if (ret)
		goto failed;
	++s->running;
	channel_open(&s->channel, fds[0], s->rules, s->types);
	s->engine = (struct watch){ .fd = fds[0], .ready = engine_ready };
	if (loop_add(s->loop, &s->engine, EPOLLIN))
		return true;
	ret = -errno;
	s->channel.fd = -1;
failed:
	close(fds[0]);
	log_failure("cannot start an engine: %s", strerror(-ret));
	return false;
}

uint64_t supervisor_turn(struct supervisor *s, uint64_t now)
{
	if (s->broken) {
		log_failure("the engine does not take its messages");
		cut_off(s);
	}
	if (s->lost || s->channel.fd >= 0 || s->start_at > now)
		return s->lost || s->channel.fd >= 0 ? NEVER : s->start_at;
	s->start_at = NEVER;
	s->started = now;
	if (engine_start(s))
		s->calls->up(s);
	else
		schedule(s);
	return s->broken ? 0 : s->start_at;
}

bool supervisor_running(const struct supervisor *s)
{
	return s->channel.fd >= 0;
}

bool supervisor_behind(const struct supervisor *s)
{
	return s->channel.first;
}

int supervisor_send(struct supervisor *s, const struct message *message, size_t len, int fd)
{
	int ret;

	if (s->channel.fd < 0)
		return -EPIPE;
	ret = channel_send(&s->channel, message, len, fd);
	/* With these it has just ended: the loop tells of that. */
	if (ret && ret != -EPIPE && ret != -ECONNRESET)
		s->broken = true;
	want_events(s);
	return ret;
}

void supervisor_hold(struct supervisor *s, bool hold)
{
	if (s->channel.fd < 0 || s->held == hold)
		return;
	s->held = hold;
	want_events(s);
}

void supervisor_drain(struct supervisor *s)
{
	s->draining = true;
	s->start_at = NEVER;
}

void supervisor_close(struct supervisor *s)
{
	supervisor_drain(s);
	loop_remove(s->loop, &s->engine);
	channel_close(&s->channel);
	loop_remove(s->loop, &s->spawner);
	spawner_close(s->spawner.fd);
}
