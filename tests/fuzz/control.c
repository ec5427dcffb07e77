// SPDX-License-Identifier: MIT
/*
 * Questions at the status socket: a whole one is answered, nothing else is, however it comes and
 * however slowly the answer is taken. (Its source is part of this one, so that recv() is ours.)
 */

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "loop.h"

static ssize_t fake_recv(int fd, void *buf, size_t size, int flags);
static ssize_t fake_send(int fd, const void *buf, size_t len, int flags);
static void fake_close_watch(struct loop *loop, struct watch *watch);
static void fake_change(struct loop *loop, struct watch *watch, uint32_t events);

#define recv fake_recv
#define send fake_send
#define loop_close_watch fake_close_watch
#define loop_change fake_change
#include "../../src/control.c"

enum { LINES = 5, FD = -77 };

static struct pieces question, pace; /* pace: how the answer is taken */
static char answer[2 * CONTROL_CHUNK * LINES], asked[QUESTION + 1];
static size_t answer_len, asked_len;
static uint32_t released, turns, closed;

static ssize_t fake_recv(int fd, void *buf, size_t size, int flags)
{
	size_t len;
	char *piece;

	must(fd == FD && !flags && size);
	piece = pieces_next(&question, size, &len);
	if (len)
		memcpy(buf, piece, len);
	free(piece);
	must(asked_len + len < sizeof(asked));
	memcpy(asked + asked_len, buf, len);
	asked_len += len;
	return len;
}

/* Takes as much as the next byte of the pace says; for 0, nothing now. */
static ssize_t fake_send(int fd, const void *buf, size_t len, int flags)
{
	size_t most = pace.len ? pace.data[0] : SIZE_MAX;

	must(fd == FD && flags == MSG_NOSIGNAL && len);
	if (pace.len) {
		++pace.data;
		--pace.len;
	}
	if (!most) {
		errno = EAGAIN;
		return -1;
	}
	len = len < most ? len : most;
	must(answer_len + len < sizeof(answer));
	memcpy(answer + answer_len, buf, len);
	answer_len += len;
	return len;
}

static void fake_close_watch(struct loop *loop, struct watch *watch)
{
	must(!loop && watch->fd == FD);
	++closed;
}

static void fake_change(struct loop *loop, struct watch *watch, uint32_t events)
{
	must(!loop && (watch->fd == FD || events == EPOLLIN));
}

/* Chunks of all lengths. */
static size_t fill(void *data, uint64_t *cursor, char *buf)
{
	size_t len = *cursor == LINES ? 0 : 1 + *cursor * 1023;

	must(!data && *cursor <= LINES);
	memset(buf, 'a' + *cursor, len);
	*cursor += *cursor < LINES;
	return len;
}

/* Takes some turns, in which what is asked for stays the same. */
static int release(void *data, const char *value, bool again)
{
	static char first[QUESTION];

	must(!data && strlen(value) < QUESTION && again == (released > 0));
	if (!again)
		strcpy(first, value);
	must(!strcmp(first, value));
	return released++ < turns ? EAGAIN : ENODATA;
}

static bool asks(const char *what, bool whole)
{
	size_t len = strlen(what);

	return asked_len >= len + 2 && asked_len < QUESTION && !memcmp(asked, what, len) &&
	       !memcmp(asked + asked_len - 2, "\n\n", 2) && !memchr(asked, '\0', asked_len) &&
	       (!whole || asked_len == len + 2);
}

static void check(bool may_release)
{
	static char all[sizeof(answer)], told[64];
	size_t len = 0;

	for (uint64_t cursor = 0, more; (more = fill(NULL, &cursor, all + len)); len += more)
		;
	len += sprintf(all + len, "errno=0\n\n");
	sprintf(told, "errno=%d\n\n", ENODATA);
	must(closed == 1 && (!released || released == turns + 1));
	if (asks("get=1", true)) {
		must(answer_len == len && !memcmp(answer, all, len) && !released);
	} else if (may_release && asks("release=", false)) {
		must(released && answer_len == strlen(told));
		must(!memcmp(answer, told, answer_len));
	} else {
		must(!answer_len && !released);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct control_session session;
	struct control control = { .fill = fill };
	struct input input = { data, len };
	uint8_t seed = input_byte(&input), how = input_byte(&input), may_release = how & 1;
	uint8_t pace_len = input_byte(&input);

	pace_len = pace_len < input.len ? pace_len : input.len;
	pace = (struct pieces){ input.data, pace_len, 0 };
	question = (struct pieces){ input.data + pace_len, input.len - pace_len, seed };
	control.release = may_release ? release : NULL;
	answer_len = asked_len = released = closed = 0;
	turns = how >> 1 & 3;
	session = (struct control_session){ .control = &control, .busy = true };
	session.watch.fd = control.listener.fd = FD;
	control.sessions[0] = &session;
	while (session.busy) {
		if (session.releasing)
			control_turn(&control, now_ms());
		else
			session_ready(&session.watch, EPOLLIN);
	}
	check(may_release);
	return 0;
}
