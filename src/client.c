// SPDX-License-Identifier: MIT
/*
 * The engine of the client, of which monitor and engine are the two that work (sandbox.h has
 * the third, the spawner):
 *
 *	monitor  root with two capabilities (client-monitor.c). Makes the sockets, sets
 *	         addresses, logs. No byte from the network reaches it.
 *	engine   here: no privileges, and nothing open but the channel, the status socket, and
 *	         at most one connection to the server. Reads what that says; lifecycle.c decides.
 */

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "client-status.h"
#include "control.h"
#include "loop.h"

enum {
	CLOSING_MS = 1000, /* that the server has to close first, after its response */
	CALL_MS = 1000, /* from one call that counts to the next */
};

enum phase {
	PHASE_IDLE,
	PHASE_WANTED, /* the monitor has been asked for a socket */
	PHASE_CONNECTING,
	PHASE_READING, /* the request is sent */
	PHASE_CLOSING, /* the whole response is there */
};

struct client {
	struct loop loop;
	struct channel channel;
	struct watch monitor;
	struct control control;
	struct watch calls; /* fd 0: none */
	uint64_t called; /* when last */
	struct client_status status; /* its start has type 0: not yet come */

	/* the exchange under way */
	struct watch server;
	enum phase phase;
	uint32_t number;
	uint64_t closing_until;
	struct request request;
	struct response response;
	struct options options; /* of the response */
	struct lines lines;
};

const struct message_rule client_engine_rules[CLIENT_TYPES] = {
	[CLIENT_START] = { sizeof(struct client_start), 0, 0, true },
	[CLIENT_SOCKET] = { sizeof(struct client_connect), 0, 0, true },
	[CLIENT_LINK] = { sizeof(struct client_link), 0, 0, false },
	[CLIENT_NETWORK] = { sizeof(struct client_network), 0, 0, false },
	[CLIENT_CALLS] = { sizeof(struct client_plain), 0, 0, true },
	[CLIENT_STOP] = { sizeof(struct client_plain), 0, 0, false },
};

static struct client client; /* of this process; zero when the engine starts */

/* --- to the monitor --- */

static void tell(const struct message *message, size_t len)
{
	/* If the monitor is gone, reading tells. */
	channel_send(&client.channel, message, len, -1);
	loop_change(&client.loop, &client.monitor,
		    EPOLLIN | (client.channel.first ? EPOLLOUT : 0));
}

static void tell_connect(void)
{
	struct client_connect connect = {
		.head.type = CLIENT_CONNECT,
		.number = ++client.number,
	};

	tell(&connect.head, sizeof(connect));
}

static void tell_change(const struct lifecycle_actions *actions)
{
	struct client_change change = {
		.head.type = CLIENT_CHANGE,
		.set = actions->set,
		.report = actions->report,
		.lease = client.status.lifecycle.lease,
		.options = client.status.lifecycle.options,
		.unasked = client.request.command == COMMAND_REQUEST_IP ?
				   client.response.unasked : 0,
		.lease_time = client.status.lifecycle.lease_time,
		.failure = client.status.lifecycle.failure,
	};

	tell(&change.head, sizeof(change));
}

static void tell_finished(void)
{
	struct client_plain finished = { .head.type = CLIENT_FINISHED };

	tell(&finished.head, sizeof(finished));
}

/* --- the exchange with the server --- */

/* The socket's SO_LINGER of 0 leaves no state that would keep the next one from connecting. */
static void exchange_drop(void)
{
	if (client.phase > PHASE_WANTED) {
		loop_remove(&client.loop, &client.server);
		close(client.server.fd);
	}
	client.phase = PHASE_IDLE;
}

static void exchange_begin(const struct request *request)
{
	client.request = *request;
	memset(&client.options, 0, sizeof(client.options));
	client.response = (struct response){
		.want = request->want,
		.options = &client.options,
	};
	memset(&client.lines, 0, sizeof(client.lines));
	client.phase = PHASE_WANTED;
	tell_connect();
}

static void happens(const struct lifecycle_event *event)
{
	struct lifecycle_actions actions;

	lifecycle_event(&client.status.lifecycle, now_ms(), event, &actions);
	if (actions.cancel || actions.ask)
		exchange_drop();
	if (actions.set || actions.report)
		tell_change(&actions);
	if (actions.ask)
		exchange_begin(&actions.request);
	if (actions.finished)
		tell_finished();
}

static void happens_only(enum lifecycle_event_type type)
{
	const struct lifecycle_event event = { .type = type };

	happens(&event);
}

static void exchange_fail(enum failure_kind kind, int error)
{
	const struct lifecycle_event event = {
		.type = EVENT_FAILED,
		.failure = { .kind = kind, .error = error },
	};

	exchange_drop();
	happens(&event);
}

static void exchange_connected(void)
{
	char buf[PROTOCOL_ENCODED];
	int error = 0;
	socklen_t error_len = sizeof(error);
	size_t len;

	getsockopt(client.server.fd, SOL_SOCKET, SO_ERROR, &error, &error_len);
	if (error) {
		exchange_fail(FAILURE_CONNECT, error);
		return;
	}
	len = request_encode(buf, &client.request);
	happens_only(EVENT_CONNECTED);
	/* A new connection always has room for so little. */
	if (send(client.server.fd, buf, len, MSG_NOSIGNAL) != (ssize_t)len) {
		exchange_fail(FAILURE_CLOSED, errno);
		return;
	}
	client.phase = PHASE_READING;
	loop_change(&client.loop, &client.server, EPOLLIN);
}

/* The server closes first: TIME_WAIT is then not ours, and a slow one gets no reset. */
static void exchange_whole(void)
{
	struct lifecycle_event event = { .type = EVENT_RESPONSE, .response = &client.response };
	struct timespec wall;

	clock_gettime(CLOCK_REALTIME, &wall);
	event.wall = (uint64_t)wall.tv_sec * 1000 + wall.tv_nsec / 1000000;
	memcpy(client.status.said, client.response.errmsg, sizeof(client.status.said));
	client.phase = PHASE_CLOSING;
	client.closing_until = now_ms() + CLOSING_MS;
	happens(&event);
}

static void exchange_read(void)
{
	bool lease = client.request.command == COMMAND_REQUEST_IP;
	char buf[4096];
	ssize_t len;
	size_t used;

	len = recv(client.server.fd, buf, sizeof(buf), 0);
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (client.phase == PHASE_CLOSING) {
		if (len <= 0)
			exchange_drop();
		return;
	}
	if (len <= 0) {
		exchange_fail(FAILURE_CLOSED, len ? errno : 0);
		return;
	}
	switch (response_decode(&client.response, &client.lines, lease, buf, len, &used)) {
	case DECODED_MORE:
		break;
	case DECODED_WHOLE:
		exchange_whole();
		break;
	default:
		exchange_fail(FAILURE_MALFORMED, 0);
	}
}

static void server_ready(struct watch *watch, uint32_t events)
{
	(void)watch;
	(void)events;
	if (client.phase == PHASE_CONNECTING)
		exchange_connected();
	else
		exchange_read();
}

static void socket_came(const struct client_connect *answer, int fd)
{
	const struct lifecycle_event event = {
		.type = EVENT_FAILED,
		.failure = answer->failure,
	};

	if (client.phase != PHASE_WANTED || answer->number != client.number) {
		if (fd >= 0)
			close(fd); /* the answer to a question that is no longer asked */
		return;
	}
	if (fd < 0) {
		client.phase = PHASE_IDLE;
		happens(&event);
		return;
	}
	client.phase = PHASE_CONNECTING;
	client.server = (struct watch){ .fd = fd, .ready = server_ready };
	if (!loop_add(&client.loop, &client.server, EPOLLOUT))
		exchange_fail(FAILURE_SOCKET, errno);
}

/* --- calls --- */

/*
 * The kernel lets through what comes from the server's address alone, but what had come before
 * the socket was connected may be anybody's.
 */
static bool is_call(int fd)
{
	static const char call[] = "call=1\n\n";
	static const struct in6_addr server = { { { 0xfe, 0x80 } } };
	struct sockaddr_in6 from = { 0 };
	socklen_t from_len = sizeof(from);
	char buf[sizeof(call)];
	ssize_t len = recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &from_len);

	return len == sizeof(call) - 1 && !memcmp(buf, call, len) &&
	       from.sin6_port == htons(PROTOCOL_PORT) &&
	       !memcmp(&from.sin6_addr, &server, sizeof(server));
}

static void calls_ready(struct watch *watch, uint32_t events)
{
	uint64_t now = now_ms();

	(void)events;
	if (!is_call(watch->fd) || now - client.called < CALL_MS)
		return;
	client.called = now;
	happens_only(EVENT_CALLED);
}

static void calls_came(int fd)
{
	if (fd < 0)
		return;
	if (client.calls.fd) {
		loop_remove(&client.loop, &client.calls);
		close(client.calls.fd);
	}
	client.calls = (struct watch){ 0 };
	if (!loop_watch(&client.loop, &client.calls, fd, calls_ready)) {
		close(fd);
		client.calls.fd = 0;
	}
}

/* --- from the monitor --- */

static void start(const struct client_start *message, int fd)
{
	const struct lifecycle_event event = {
		.type = EVENT_START,
		.held = &message->held,
		.up = message->up,
	};

	client.status.start = *message;
	client.status.began = now_ms();
	lifecycle_init(&client.status.lifecycle, message->seed, message->want);
	if (fd >= 0 && !control_open(&client.control, &client.loop, fd, client_status_fill, NULL,
				     &client.status))
		close(fd);
	happens(&event);
}

static void link_came(const struct client_link *link)
{
	memcpy(client.status.start.server, link->server, KEY_LEN);
	happens_only(link->up ? EVENT_UP : EVENT_DOWN);
}

static void message_came(const union message_buffer *message, int fd)
{
	switch (message->head.type) {
	case CLIENT_START:
		start((const struct client_start *)message, fd);
		break;
	case CLIENT_SOCKET:
		socket_came((const struct client_connect *)message, fd);
		break;
	case CLIENT_LINK:
		link_came((const struct client_link *)message);
		break;
	case CLIENT_NETWORK:
		client.status.network = *(const struct client_network *)message;
		break;
	case CLIENT_CALLS:
		calls_came(fd);
		break;
	case CLIENT_STOP:
		happens_only(EVENT_STOP);
		break;
	}
}

static void monitor_ready(struct watch *watch, uint32_t events)
{
	union message_buffer message;
	int fd, ret;

	if (events & EPOLLOUT) {
		channel_flush(&client.channel);
		loop_change(&client.loop, watch,
			    EPOLLIN | (client.channel.first ? EPOLLOUT : 0));
	}
	while ((ret = channel_receive(&client.channel, &message, &fd)) > 0)
		message_came(&message, fd);
	if (ret != -EAGAIN)
		client.loop.stop = true; /* the monitor is gone */
}

static uint64_t turn(void *data)
{
	uint64_t now = now_ms(), at, control_at = NEVER;

	(void)data;
	if (!client.status.start.head.type)
		return NEVER;
	if (lifecycle_deadline(&client.status.lifecycle) <= now)
		happens_only(EVENT_TIME);
	if (client.phase == PHASE_CLOSING && client.closing_until <= now)
		exchange_drop();
	if (client.control.loop)
		control_at = control_turn(&client.control, now);
	at = lifecycle_deadline(&client.status.lifecycle);
	if (client.phase == PHASE_CLOSING && client.closing_until < at)
		at = client.closing_until;
	return sooner(at, control_at);
}

int client_engine(int channel_fd)
{
	channel_open(&client.channel, channel_fd, client_engine_rules, CLIENT_TYPES);
	if (!loop_open(&client.loop) ||
	    !loop_watch(&client.loop, &client.monitor, channel_fd, monitor_ready))
		return 1;
	loop_run(&client.loop, turn, NULL);
	return 0;
}
