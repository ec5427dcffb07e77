// SPDX-License-Identifier: MIT
/*
 * load: asks a server for leases, each time from the next peer's link-local, and prints as JSON how
 * many answers came in a second and how long they took. One epoll loop; nothing is allocated for a
 * request. `load -h' lists the options.
 *
 * Either so many requests at a time, each beginning when another ends (-c); or, with -r, so many in
 * a second whatever becomes of them, whose times count from when each was due: one that began late
 * because the server kept others waiting has waited, too.
 */

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "measure.h"

enum {
	SLOTS = 1024,
	PORT = 970,
	PORTS = 16, /* tried, from PORT down */
	TIMEOUT_US = 10000000,
};

#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif

enum kind { OK, BIND, CONNECT, SEND, RESET, EMPTY, HALF, ERRNO, IPS, TIMEOUT, KINDS };

static const char *const kinds[KINDS] = {
	"ok", "bind", "connect", "send", "reset", "no answer", "half an answer", "errno",
	"addresses missing", "timeout",
};

struct slot {
	int fd; /* -1: free */
	uint32_t next; /* of the free ones */
	bool sent, whole;
	uint64_t began, ended;
	size_t len;
	char answer[2048];
};

static struct options {
	uint32_t concurrency, first, peers, rate, slowest;
	uint64_t requests;
	double seconds;
	const char *text, *interface;
	int ips;
} options = { 1, 1, 1, 0, 0, 0, 0, "request_ip=1\nip=0.0.0.0/32\nip=::/128\n\n", "wg0", 2 };

static struct slot slots[SLOTS];
static uint32_t free_slot, busy;
static int epoll_fd;
static struct sockaddr_in6 server, client;
static uint64_t started, counts[KINDS], other_ports;
static uint32_t turn; /* which peer is next */
static uint64_t stop_at; /* no request begins then or later */

/* --- the requests --- */

static void done(struct slot *s, enum kind kind)
{
	++counts[kind];
	if (kind == OK)
		measure(s->began, s->ended);
	close(s->fd);
	s->fd = -1;
	s->next = free_slot;
	free_slot = s - slots;
	--busy;
}

static enum kind check(struct slot *s)
{
	int ips = 0;

	s->answer[s->len] = '\0';
	if (!s->len)
		return EMPTY;
	if (!s->whole)
		return HALF;
	if (!strstr(s->answer, "\nerrno=0\n"))
		return ERRNO;
	for (const char *p = s->answer; (p = strstr(p, "ip=")); ++p)
		ips += p == s->answer || p[-1] == '\n';
	return ips == options.ips ? OK : IPS;
}

static void read_answer(struct slot *s, bool hung_up)
{
	size_t room;
	ssize_t got;

	for (;;) {
		room = sizeof(s->answer) - 1 - s->len;
		got = recv(s->fd, s->answer + s->len, room, 0);
		if (got < 0 && errno == EAGAIN)
			return;
		if (got > 0) {
			s->len += got;
			s->ended = now_us();
			s->whole = s->len > 1 && !memcmp(s->answer + s->len - 2, "\n\n", 2);
			/* What is read here was all that there is. */
			if (!hung_up || (size_t)got == room)
				continue;
		}
		done(s, got < 0 && !s->whole ? RESET : check(s));
		return;
	}
}

static bool send_request(struct slot *s)
{
	size_t len = strlen(options.text);

	if (send(s->fd, options.text, len, MSG_NOSIGNAL) == (ssize_t)len)
		s->sent = true;
	return s->sent || errno == EAGAIN;
}

/* The source port is 970, as the client's. Only where that can't be, it is another one. */
static bool bind_port(int fd)
{
	for (int i = 0; i < PORTS; ++i) {
		client.sin6_port = htons(PORT - i);
		if (!bind(fd, (struct sockaddr *)&client, sizeof(client))) {
			other_ports += i > 0;
			return true;
		}
	}
	return false;
}

static void begin(uint64_t when)
{
	const int one = 1;
	struct slot *s = &slots[free_slot];
	struct epoll_event event = { .data.ptr = s };
	uint32_t number = htonl(options.first + turn);

	free_slot = s->next;
	++busy;
	turn = (turn + 1) % options.peers;
	memcpy(&client.sin6_addr.s6_addr[12], &number, sizeof(number));
	s->sent = s->whole = false;
	s->len = 0;
	s->began = when;
	s->fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0 || setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    setsockopt(s->fd, SOL_IPV6, IPV6_FREEBIND, &one, sizeof(one)) < 0)
		err(1, "socket");
	if (!bind_port(s->fd))
		return done(s, BIND);
	if (connect(s->fd, (struct sockaddr *)&server, sizeof(server)) < 0 &&
	    errno != EINPROGRESS)
		return done(s, CONNECT);
	/* On a link within a machine the connection stands already. */
	if (!send_request(s))
		return done(s, errno == ECONNREFUSED ? CONNECT : SEND);
	event.events = EPOLLIN | EPOLLRDHUP | EPOLLET | (s->sent ? 0 : EPOLLOUT);
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, s->fd, &event) < 0)
		err(1, "epoll_ctl");
}

static void handle(struct slot *s, uint32_t events)
{
	if (s->fd < 0)
		return;
	if (!s->sent && events & EPOLLERR)
		return done(s, CONNECT);
	if (!s->sent && events & EPOLLOUT && !send_request(s))
		return done(s, SEND);
	if (events & ~EPOLLOUT)
		read_answer(s, events & (EPOLLRDHUP | EPOLLHUP));
}

static void time_out(uint64_t now)
{
	for (uint32_t i = 0; i < SLOTS; ++i) {
		if (slots[i].fd >= 0 && now > slots[i].began + TIMEOUT_US)
			done(&slots[i], TIMEOUT);
	}
}

/* --- the loop --- */

static uint64_t due(uint64_t begun)
{
	return started + begun * 1000000 / options.rate;
}

/* Begins what can begin now; says whether more will. */
static bool begin_more(uint64_t *begun, uint64_t now)
{
	uint32_t most = options.rate ? SLOTS : options.concurrency;

	while ((!options.requests || *begun < options.requests) && now < stop_at) {
		if (busy >= most || (options.rate && due(*begun) > now))
			return true;
		begin(options.rate ? due(*begun) : now);
		++*begun;
		now = now_us();
	}
	return false;
}

static int patience(bool more, uint64_t begun, uint64_t now)
{
	if (!more || !options.rate || busy >= SLOTS)
		return 1000;
	return due(begun) <= now ? 0 : due(begun) - now;
}

static uint64_t run(void)
{
	struct epoll_event events[64];
	uint64_t begun = 0, now, checked = started;
	struct timespec wait;
	bool more = true;
	int count, us;

	while (more || busy) {
		now = now_us();
		more = begin_more(&begun, now);
		if (now - checked > 1000000) {
			time_out(now);
			checked = now;
		}
		us = options.rate && more ? patience(more, begun, now_us()) : 1000000;
		wait = (struct timespec){ us / 1000000, us % 1000000 * 1000L };
		count = busy || more ? epoll_pwait2(epoll_fd, events, 64, &wait, NULL) : 0;
		for (int i = 0; i < count; ++i)
			handle(events[i].data.ptr, events[i].events);
	}
	return now_us();
}

/* --- */

static void report(uint64_t ended)
{
	uint64_t failed = 0;
	double seconds = (ended - started) / 1e6;

	printf("{\"seconds\": %.6f, \"ok\": %" PRIu64 ", \"rate\": %.1f", seconds, counts[OK],
	       counts[OK] / seconds);
	measure_print(options.slowest);
	for (int i = 1; i < KINDS; ++i)
		failed += counts[i];
	printf(", \"failed\": %" PRIu64 ", \"failures\": {", failed);
	for (int i = 1, n = 0; i < KINDS; ++i) {
		if (counts[i])
			printf("%s\"%s\": %" PRIu64, n++ ? ", " : "", kinds[i], counts[i]);
	}
	printf("}, \"other_ports\": %" PRIu64 ", \"began\": %.6f}\n", other_ports, started / 1e6);
}

static const char *unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from; ++from) {
		if (from[0] == '\\' && from[1] == 'n') {
			*to++ = '\n';
			++from;
		} else {
			*to++ = *from;
		}
	}
	*to = '\0';
	return text;
}

static void usage(void)
{
	errx(1, "usage: load [-c AT_ONCE | -r PER_SECOND] [-n REQUESTS] [-t SECONDS]\n"
	     "            [-f FIRST_PEER] [-p PEERS] [-q REQUEST] [-i IPS_EXPECTED] [-d wg0]\n"
	     "            [-s SLOWEST_LISTED]\n"
	     "REQUEST may have \\n in it; without -n and -t each peer asks once");
}

static void read_options(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "c:r:n:t:f:p:q:i:d:s:")) >= 0) {
		switch (option) {
		case 'c': options.concurrency = atoi(optarg); break;
		case 'r': options.rate = atoi(optarg); break;
		case 'n': options.requests = atoll(optarg); break;
		case 't': options.seconds = atof(optarg); break;
		case 'f': options.first = atoi(optarg); break;
		case 'p': options.peers = atoi(optarg); break;
		case 'q': options.text = unescape(optarg); break;
		case 'i': options.ips = atoi(optarg); break;
		case 'd': options.interface = optarg; break;
		case 's': options.slowest = atoi(optarg); break;
		default: usage();
		}
	}
	if (optind < argc || !options.peers || !options.concurrency || options.concurrency > SLOTS)
		usage();
	if (!options.requests && options.seconds <= 0)
		options.requests = options.peers;
}

int main(int argc, char **argv)
{
	read_options(argc, argv);
	server.sin6_family = client.sin6_family = AF_INET6;
	server.sin6_port = htons(PORT);
	server.sin6_scope_id = client.sin6_scope_id = if_nametoindex(options.interface);
	if (!server.sin6_scope_id)
		err(1, "%s", options.interface);
	inet_pton(AF_INET6, "fe80::", &server.sin6_addr);
	inet_pton(AF_INET6, "fe80::1:0:0", &client.sin6_addr);
	for (int i = SLOTS - 1; i >= 0; --i) {
		slots[i].fd = -1;
		slots[i].next = free_slot;
		free_slot = i;
	}
	measure_open(options.requests);
	prctl(PR_SET_TIMERSLACK, 1UL);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	started = now_us();
	stop_at = options.seconds > 0 ? started + (uint64_t)(options.seconds * 1e6) : UINT64_MAX;
	report(run());
}
