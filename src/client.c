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

#include "client.h"
#include "control.h"
#include "encoding.h"
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
	struct client_start start; /* type 0: not yet come */
	struct client_network network; /* what is configured */
	struct watch calls; /* fd 0: none */
	uint64_t called; /* when last */
	struct lifecycle lifecycle;
	uint64_t began; /* ms */
	char said[ERRMSG_LEN]; /* by the server with its last response, why it refuses */

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
		.lease = client.lifecycle.lease,
		.options = client.lifecycle.options,
		.unasked = client.request.command == COMMAND_REQUEST_IP ?
				   client.response.unasked : 0,
		.lease_time = client.lifecycle.lease_time,
		.failure = client.lifecycle.failure,
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

	lifecycle_event(&client.lifecycle, now_ms(), event, &actions);
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
	memcpy(client.said, client.response.errmsg, sizeof(client.said));
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

/* --- status --- */

void client_failure_text(char *buf, size_t size, const struct failure *failure)
{
	switch (failure->kind) {
	case FAILURE_SOCKET:
		snprintf(buf, size, "no socket: %s", strerror(failure->error));
		break;
	case FAILURE_CONNECT:
		snprintf(buf, size, "cannot connect to the server: %s", strerror(failure->error));
		break;
	case FAILURE_CONNECT_TIMEOUT:
		snprintf(buf, size, "the server is not reachable: timed out");
		break;
	case FAILURE_ANSWER_TIMEOUT:
		snprintf(buf, size, "the server took the connection, but does not answer");
		break;
	case FAILURE_CLOSED:
		snprintf(buf, size, "the server closed the connection without a whole answer%s%s",
			 failure->error ? ": " : "",
			 failure->error ? strerror(failure->error) : "");
		break;
	case FAILURE_MALFORMED:
		snprintf(buf, size, "the server's answer is malformed");
		break;
	case FAILURE_LATE:
		snprintf(buf, size, "the lease was over when it came");
		break;
	case FAILURE_REFUSED:
		snprintf(buf, size, "the server refused: %s", status_message(failure->status));
		break;
	default:
		*buf = '\0';
	}
}

static unsigned long long seconds_until(uint64_t at)
{
	uint64_t now = now_ms();

	return at > now ? (at - now) / 1000 : 0;
}

static size_t status_lease(char *buf, size_t size)
{
	const struct lifecycle *l = &client.lifecycle;
	char text[CIDR_STRLEN];
	size_t len = 0;

	for (int v = V4; v < FAMILIES; ++v) {
		if (l->lease.ip[v].family)
			len += snprintf(buf + len, size - len, "ip=%s\n",
					cidr_format(text, &l->lease.ip[v]));
	}
	if (lifecycle_holds(l) && l->lease_time)
		len += snprintf(buf + len, size - len, "lease_time=%u\n", l->lease_time);
	if (l->state == LIFECYCLE_BOUND || l->state == LIFECYCLE_WAITING ||
	    l->state == LIFECYCLE_RETRYING)
		len += snprintf(buf + len, size - len, "request_in=%llu\n",
				seconds_until(lifecycle_deadline(l)));
	if (lifecycle_holds(l))
		len += snprintf(buf + len, size - len, "expires_in=%llu\n",
				seconds_until(l->lease.until));
	return len;
}

/* In the server's own words too, where they are other than the protocol's. */
static size_t status_error(char *buf, size_t size)
{
	const struct failure *failure = &client.lifecycle.failure;
	bool own = failure->kind == FAILURE_REFUSED && *client.said &&
		   strcmp(client.said, status_message(failure->status));
	char text[256];

	client_failure_text(text, sizeof(text), failure);
	if (!*text)
		return 0;
	return snprintf(buf, size, "last_error=%s%s%s\n", text, own ? ": " : "",
			own ? client.said : "");
}

static const char failure_counters[FAILURE_REFUSED][28] = {
	[FAILURE_SOCKET] = "failures_socket",
	[FAILURE_CONNECT] = "failures_connect",
	[FAILURE_CONNECT_TIMEOUT] = "failures_connect_timeout",
	[FAILURE_ANSWER_TIMEOUT] = "failures_answer_timeout",
	[FAILURE_CLOSED] = "failures_closed",
	[FAILURE_MALFORMED] = "failures_malformed",
	[FAILURE_LATE] = "failures_late",
};

static const char refusal_counters[STATUS_LATER + 1][24] = {
	[STATUS_INVALID] = "refusals_invalid",
	[STATUS_UNSUPPORTED] = "refusals_unsupported",
	[STATUS_UNAVAILABLE] = "refusals_unavailable",
	[STATUS_LATER] = "refusals_later",
};

static size_t status_counters(char *buf, size_t size)
{
	const struct lifecycle_counters *c = &client.lifecycle.counters;
	size_t len = control_counter(buf, size, "uptime", (now_ms() - client.began) / 1000);

	len += control_counter(buf + len, size - len, "requests", c->requests);
	len += control_counter(buf + len, size - len, "grants", c->grants);
	len += control_counter(buf + len, size - len, "renewals", c->renewals);
	len += control_counter(buf + len, size - len, "expiries", c->expiries);
	len += control_counter(buf + len, size - len, "calls", c->calls);
	len += control_counter(buf + len, size - len, "reloads", client.network.reloads);
	for (int i = FAILURE_NONE + 1; i < FAILURE_REFUSED; ++i)
		len += control_counter(buf + len, size - len, failure_counters[i], c->failures[i]);
	for (int i = STATUS_OK + 1; i <= STATUS_LATER; ++i)
		len += control_counter(buf + len, size - len, refusal_counters[i], c->refusals[i]);
	return len;
}

static size_t status_first(char *buf)
{
	char hex[WG_KEY_LEN_HEX], link_local[CIDR_STRLEN];
	size_t len;

	key_to_hex(hex, client.start.server);
	len = snprintf(buf, CONTROL_CHUNK,
		       "interface=%.16s\nrole=client\nstate=%s\nserver_public_key=%s\n"
		       "link_local=%s\n",
		       client.start.interface, lifecycle_name(client.lifecycle.state), hex,
		       cidr_format_ip(link_local, &client.start.link_local));
	len += status_lease(buf + len, CONTROL_CHUNK - len);
	return len + status_error(buf + len, CONTROL_CHUNK - len);
}

static size_t status_route(char *buf, uint64_t i)
{
	char text[CIDR_STRLEN];
	size_t len = 0;

	cidr_format(text, &client.network.options.route[i]);
	if (!client.network.waiting[i])
		len = snprintf(buf, CONTROL_LINE, "route=%s\n", text);
	if (client.network.allowed[i])
		len += snprintf(buf + len, CONTROL_LINE - len, "allowed_ip=%s\n", text);
	return len;
}

/* What is configured beside routes. */
static size_t status_rest(char *buf)
{
	char text[OPTIONS_TEXT];
	size_t len = options_encode(text, &client.network.options, WANT_DNS | WANT_MTU);

	memcpy(buf, text, len);
	return len;
}

static size_t status_refused(char *buf, uint64_t i)
{
	char text[CIDR_STRLEN];

	return snprintf(buf, CONTROL_LINE, "refused=%s\n",
			cidr_format(text, &client.network.refused[i]));
}

/* The cursor: 0, each route and each refusal there may be, counted from 1, then the rest. */
enum {
	STATUS_REFUSED = 1 + OPTIONS_ROUTES,
	STATUS_REST = STATUS_REFUSED + CLIENT_REFUSED,
	STATUS_COUNTERS,
	STATUS_END,
};

/* What goes line by line, as far as there is room. */
static size_t status_lines(char *buf, uint64_t *cursor)
{
	size_t len = 0;

	for (; *cursor < STATUS_REST && len < CONTROL_CHUNK - CONTROL_LINE; ++*cursor) {
		uint64_t i = *cursor < STATUS_REFUSED ? *cursor - 1 : *cursor - STATUS_REFUSED;

		if (*cursor < STATUS_REFUSED && i < client.network.options.routes)
			len += status_route(buf + len, i);
		else if (*cursor >= STATUS_REFUSED && i < client.network.refusals)
			len += status_refused(buf + len, i);
	}
	return len;
}

static size_t status_fill(void *data, uint64_t *cursor, char *buf)
{
	size_t len = 0;

	(void)data;
	if (!*cursor) {
		++*cursor;
		return status_first(buf);
	}
	len = status_lines(buf, cursor);
	if (!len && *cursor == STATUS_REST) {
		*cursor = STATUS_COUNTERS;
		len = status_rest(buf);
	}
	if (!len && *cursor == STATUS_COUNTERS) {
		*cursor = STATUS_END;
		len = status_counters(buf, CONTROL_CHUNK);
	}
	return len;
}

/* --- from the monitor --- */

static void start(const struct client_start *message, int fd)
{
	const struct lifecycle_event event = {
		.type = EVENT_START,
		.held = &message->held,
		.up = message->up,
	};

	client.start = *message;
	client.began = now_ms();
	lifecycle_init(&client.lifecycle, message->seed, message->want);
	if (fd >= 0 && !control_open(&client.control, &client.loop, fd, status_fill, NULL, NULL))
		close(fd);
	happens(&event);
}

static void link_came(const struct client_link *link)
{
	memcpy(client.start.server, link->server, KEY_LEN);
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
		client.network = *(const struct client_network *)message;
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
	if (!client.start.head.type)
		return NEVER;
	if (lifecycle_deadline(&client.lifecycle) <= now)
		happens_only(EVENT_TIME);
	if (client.phase == PHASE_CLOSING && client.closing_until <= now)
		exchange_drop();
	if (client.control.loop)
		control_at = control_turn(&client.control, now);
	at = lifecycle_deadline(&client.lifecycle);
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
