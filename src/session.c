// SPDX-License-Identifier: MIT
/*
 * Connections: bytes in, requests out to grant.c, answers back. One request is at work at a time;
 * what has come behind it waits. The server closes first, when nothing more has come.
 */

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine.h"

enum {
	ACCEPT_BURST = 64,
	ACCEPT_PAUSE_MS = 1000,
	DRAIN = 16, /* reads, of what comes behind an error */
	PRIVILEGED_PORT = 1024,
};

/* How many sessions there are of this peer and of those that fall into the same place. */
static uint16_t *open_of(struct server *server, uint64_t peer)
{
	return &server->open[(peer ^ peer >> 32) % SESSIONS];
}

static void unlink_session(struct session *session)
{
	--*open_of(session->server, session->peer);
	*session->before = session->next;
	if (session->next)
		session->next->before = session->before;
	else
		session->server->sessions_end = session->before;
	--session->server->session_count;
}

void session_close(struct session *session)
{
	loop_close_watch(&session->server->loop, &session->watch);
	session->state = SESSION_CLOSED;
	grant_unclaim(session);
	if (session->orders) /* somebody will still speak of it */
		return;
	unlink_session(session);
	free(session->rest);
	free(session->out);
	free(session);
}

/* Ready for the next request on the same connection. */
static void begin(struct session *session)
{
	session->state = SESSION_READING;
	session->deadline = now_ms() + SESSION_MS;
	session->reading_after = 0;
	session->lease = LEASE_NONE;
	session->claims = false;
	session->failed = false;
	memset(&session->request, 0, sizeof(session->request));
	memset(&session->response, 0, sizeof(session->response));
}

/* Closing with bytes unread would reset the connection, and take the answer along. */
static void drain(struct session *session)
{
	char buf[4096];

	for (int i = 0; i < DRAIN; ++i) {
		if (recv(session->watch.fd, buf, sizeof(buf), 0) <= 0)
			break;
	}
	free(session->rest);
	session->rest = NULL;
	session->rest_len = 0;
}

static void session_ready(struct watch *watch, uint32_t events);

/*
 * Waits for these events, too. Most requests are there, whole, as soon as the connection is, and
 * are answered in the same turn: for those it would be two system calls for nothing.
 */
static bool session_watch(struct session *session, uint32_t events)
{
	struct loop *loop = &session->server->loop;

	/* Edges only: while a request is at work, what comes must not wake us again and again. */
	events |= EPOLLIN | EPOLLRDHUP | EPOLLET;
	if (!session->watch.added)
		return loop_add(loop, &session->watch, events);
	loop_change(loop, &session->watch, events);
	return true;
}

/*
 * Sends an answer, or what is left of one, with these flags of send(2). True when all is sent; if
 * not, the rest is kept, or the session is closed, for its peer is gone or there is no memory.
 */
static bool send_out(struct session *session, const char *text, size_t len, int flags)
{
	size_t done = 0;
	ssize_t sent = 0;
	char *rest;

	while (done < len && (sent = send(session->watch.fd, text + done, len - done,
					  MSG_NOSIGNAL | flags)) > 0)
		done += sent;
	rest = done < len && sent < 0 && errno == EAGAIN ? malloc(len - done) : NULL;
	if (rest)
		memcpy(rest, text + done, len - done);
	free(session->out);
	session->out = rest;
	session->out_len = len - done;
	if (done == len)
		return true;
	session->state = SESSION_ANSWERING;
	if (!rest || !session_watch(session, EPOLLOUT))
		session_close(session);
	return false;
}

/* Keeps what came behind the request, for session_read(). False: there is no memory. */
static bool keep_rest(struct session *session, const char *bytes, size_t len)
{
	session->rest = malloc(len);
	if (!session->rest)
		return false;
	memcpy(session->rest, bytes, len);
	session->rest_len = len;
	return true;
}

/*
 * Takes bytes that have come, from behind the last request or from the socket, until a request is
 * whole or nothing more is there.
 */
static void session_read(struct session *session, bool answered)
{
	char buf[PROTOCOL_REQUEST], *data, *rest;
	enum decoded decoded;
	size_t used;
	ssize_t len;

	for (;;) {
		rest = session->rest;
		data = rest ? rest : buf;
		len = rest ? (ssize_t)session->rest_len :
			     recv(session->watch.fd, buf, sizeof(buf), 0);
		session->rest = NULL;
		if (len < 0 && errno == EAGAIN) {
			if ((answered && !session->lines.total) || !session_watch(session, 0))
				session_close(session);
			return;
		}
		if (len <= 0) {
			session_close(session);
			return;
		}
		decoded = request_decode(&session->request, &session->lines, data, len, &used);
		if (decoded == DECODED_WHOLE && used < (size_t)len)
			keep_rest(session, data + used, len - used);
		free(rest);
		if (decoded == DECODED_MORE)
			continue;
		if (decoded == DECODED_WHOLE) {
			session->state = SESSION_READY;
			return;
		}
		server_refuse(session->server,
			      decoded == DECODED_INVALID ? REASON_INVALID : REASON_UNSUPPORTED,
			      &session->from);
		session->response.status =
			decoded == DECODED_INVALID ? STATUS_INVALID : STATUS_UNSUPPORTED;
		drain(session);
		session_answer(session);
		return;
	}
}

static void answered(struct session *session)
{
	enum status status = session->response.status;

	if (status == STATUS_INVALID || status == STATUS_UNSUPPORTED) {
		session_close(session);
		return;
	}
	begin(session);
	session_read(session, true);
}

/* Whether nothing has come behind the request; what has is kept. */
static bool is_last(struct session *session)
{
	char buf[PROTOCOL_REQUEST];
	ssize_t len;

	if (session->rest)
		return false;
	len = recv(session->watch.fd, buf, sizeof(buf), 0);
	return len <= 0 || !keep_rest(session, buf, len);
}

void session_answer(struct session *session)
{
	char text[PROTOCOL_ENCODED];
	size_t len;
	bool last;

	/* That nothing was changed would not be true: it has given up an address for another. */
	if (session->response.status == STATUS_LATER && session->claims) {
		session_close(session);
		return;
	}
	grant_unclaim(session);
	if (session->state == SESSION_CLOSED) {
		session_close(session);
		return;
	}
	len = response_encode(text, &session->response, &session->request);
	session->deadline = now_ms() + SESSION_MS;
	/*
	 * The last answer waits for the end of the connection: one packet for both. Not for
	 * close(), which would throw it away if more has come meanwhile.
	 */
	last = is_last(session);
	if (!send_out(session, text, len, last ? MSG_MORE : 0))
		return;
	if (!last) {
		answered(session);
		return;
	}
	shutdown(session->watch.fd, SHUT_WR);
	session_close(session);
}

static void session_ready(struct watch *watch, uint32_t events)
{
	struct session *session = watch_owner(watch, struct session, watch);

	if (events & (EPOLLERR | EPOLLHUP))
		session_close(session);
	else if (session->state == SESSION_READING)
		session_read(session, false);
	else if (session->state == SESSION_ANSWERING &&
		 send_out(session, session->out, session->out_len, 0))
		answered(session);
}

/*
 * Who may send from this link-local by cryptokey routing, also without having it as /128: all
 * that come from one peer count together.
 */
static uint64_t peer_of(const struct server *server, const struct cidr *ip)
{
	const struct device_ip *holder =
		reading_holder(&server->reading, ip, -1, DEVICE_SELF);
	uint64_t peer = 0;

	if (holder)
		memcpy(&peer, server->reading.peers[holder->peer].key, sizeof(peer));
	return peer;
}

static bool may_connect(struct server *server, const struct sockaddr_in6 *from,
			const struct cidr *ip, uint64_t peer)
{
	uint32_t same = 0;

	if (ntohs(from->sin6_port) >= PRIVILEGED_PORT) {
		server_refuse(server, REASON_PORT, ip);
		return false;
	}
	/* Mostly there is none, and nothing to be counted. */
	for (struct session *s = *open_of(server, peer) ? server->sessions : NULL; s; s = s->next)
		same += peer ? s->peer == peer : !cidr_compare(&s->from, ip);
	if (same >= SESSIONS_PEER) {
		server_refuse(server, REASON_TOO_MANY, ip);
		return false;
	}
	return true;
}

/* Makes room by cutting whoever has been sending a request for longest. */
static void make_room(struct server *server)
{
	for (struct session *s = server->sessions; s; s = s->next) {
		if (s->state == SESSION_READING || s->state == SESSION_ANSWERING) {
			session_close(s);
			return;
		}
	}
}

static void session_open(struct server *server, int fd, const struct cidr *from, uint64_t peer)
{
	struct session *session;

	if (server->session_count >= SESSIONS)
		make_room(server);
	session = server->session_count < SESSIONS ? malloc(sizeof(*session)) : NULL;
	if (!session) {
		close(fd);
		return;
	}
	/* All but the buffer for lines: it is large, and only what came is looked at. */
	memset(session, 0, offsetof(struct session, lines.line));
	session->watch = (struct watch){ .fd = fd, .ready = session_ready };
	session->server = server;
	session->from = *from;
	session->peer = peer;
	++*open_of(server, peer);
	session->before = server->sessions_end;
	*server->sessions_end = session;
	server->sessions_end = &session->next;
	++server->session_count;
	++server->counters.connections;
	begin(session);
	session_read(session, false);
}

void session_wait(struct session *session)
{
	session->state = SESSION_WAITING;
	/* Where that fails, a peer that hangs up goes unnoticed until it is answered. */
	session_watch(session, 0);
}

void sessions_accept(struct watch *watch, uint32_t events)
{
	struct server *server = watch_owner(watch, struct server, listener);
	struct sockaddr_in6 from = { 0 };
	struct cidr ip;
	uint64_t peer;
	socklen_t len;
	int fd;

	(void)events;
	for (int i = 0; i < ACCEPT_BURST; ++i) {
		len = sizeof(from);
		fd = accept4(watch->fd, (struct sockaddr *)&from, &len,
			     SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (fd < 0) {
			/* Out of descriptors: what waits would wake us for ever. */
			if (errno != ECONNABORTED && errno != EINTR) {
				loop_change(&server->loop, watch, 0);
				server->accept_at = now_ms() + ACCEPT_PAUSE_MS;
				return;
			}
			continue;
		}
		cidr_host(&ip, AF_INET6, &from.sin6_addr);
		peer = peer_of(server, &ip);
		if (may_connect(server, &from, &ip, peer))
			session_open(server, fd, &ip, peer);
		else
			close(fd);
	}
}

uint64_t sessions_turn(struct server *server, uint64_t now)
{
	uint64_t at = NEVER;
	struct session *s, *next;

	for (s = server->sessions; s; s = next) {
		next = s->next;
		if (s->state == SESSION_READY || s->state == SESSION_COMMITTED ||
		    s->state == SESSION_CLOSED)
			continue;
		if (s->deadline > now) {
			at = s->deadline < at ? s->deadline : at;
		} else if (s->state == SESSION_WAITING) {
			s->response = (struct response){ .status = STATUS_LATER, .retry = RETRY_S };
			server_refuse(server, REASON_LATER, &s->from);
			session_answer(s);
			at = 0; /* it may have more to ask */
		} else {
			session_close(s);
		}
	}
	if (server->accept_at && server->accept_at <= now) {
		server->accept_at = 0;
		loop_change(&server->loop, &server->listener, EPOLLIN);
	} else if (server->accept_at && server->accept_at < at) {
		at = server->accept_at;
	}
	return at;
}
