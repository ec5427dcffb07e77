// SPDX-License-Identifier: MIT
/*
 * device PEERS [INTERFACE]: plays a WireGuard device of that many peers, on its UAPI socket, until
 * SIGTERM. It prints `ready' when it listens, and at SIGUSR1 a line of what there is.
 *
 * Peer n, from 1 on, has a key that is spread over the key space, as real ones are, and the
 * link-local fe80::1:X:Y of n; it has just shaken hands. A long answer is given in pieces, and what
 * others ask meanwhile is served in between, as the kernel does.
 */

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "peers.h"

enum {
	PIECE = 65536, /* bytes of an answer in one turn */
	REQUEST = 1 << 20, /* bytes, at most */
	EVENTS = 64,
};

struct buffer {
	char *text;
	size_t len, room, sent;
};

struct connection {
	int fd;
	struct buffer in, out;
	uint32_t at; /* the peer to be told of next; NONE: no answer to get is under way */
	bool waits; /* for the other end to take what is in out */
};

static struct table table;
static int epoll_fd, listen_fd, signal_fd;
static uint64_t gets, sets, given; /* given: prefixes in sets */

/* --- what is written --- */

static void put(struct buffer *b, const char *text, size_t len)
{
	if (b->len + len > b->room) {
		b->room = 2 * (b->len + len) + 256;
		b->text = grown(b->text, b->room, 1);
	}
	memcpy(b->text + b->len, text, len);
	b->len += len;
}

static void put_text(struct buffer *b, const char *text)
{
	put(b, text, strlen(text));
}

static void put_key(struct buffer *b, const uint8_t key[static KEY])
{
	static const char digits[] = "0123456789abcdef";
	char hex[2 * KEY];

	for (int i = 0; i < KEY; ++i) {
		hex[2 * i] = digits[key[i] >> 4];
		hex[2 * i + 1] = digits[key[i] & 15];
	}
	put_text(b, "public_key=");
	put(b, hex, sizeof(hex));
}

static void put_ip(struct buffer *b, const struct ip *ip)
{
	char text[INET6_ADDRSTRLEN + 8];

	inet_ntop(ip->v6 ? AF_INET6 : AF_INET, ip->address, text, INET6_ADDRSTRLEN);
	put_text(b, "allowed_ip=");
	put_text(b, text);
	put(b, text, sprintf(text, "/%u\n", ip->prefix));
}

/* All that wireguard-go says of a peer, too. */
static void put_peer(struct buffer *b, const struct peer *peer, time_t now)
{
	char text[256];

	put_key(b, peer->key);
	put(b, text, sprintf(text, "\npreshared_key=%064d\nprotocol_version=1\n"
			     "endpoint=192.0.2.1:51820\nlast_handshake_time_sec=%lld\n"
			     "last_handshake_time_nsec=0\ntx_bytes=1000\nrx_bytes=1000\n"
			     "persistent_keepalive_interval=0\n", 0, (long long)now));
	for (uint32_t i = peer->ips; i != NONE; i = table.ip[i].next)
		put_ip(b, &table.ip[i]);
}

/* The next piece of the answer to get. */
static void put_piece(struct connection *c)
{
	time_t now = time(NULL);

	while (c->at < table.peers && c->out.len < PIECE) {
		if (table.peer[c->at].used)
			put_peer(&c->out, &table.peer[c->at], now);
		++c->at;
	}
	if (c->at < table.peers)
		return;
	c->at = NONE;
	put_text(&c->out, "errno=0\n\n");
}

/* --- what is asked --- */

struct setting {
	uint8_t key[KEY];
	uint32_t peer; /* NONE: there is none */
	bool made, gone; /* made: at the next line, unless that tells otherwise */
};

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int set_key(struct setting *s, const char *hex)
{
	int high, low;

	for (int i = 0; i < KEY; ++i) {
		high = digit(hex[2 * i]);
		low = high < 0 ? -1 : digit(hex[2 * i + 1]);
		if (low < 0)
			return -EINVAL;
		s->key[i] = high << 4 | low;
	}
	s->peer = peer_find(&table, s->key);
	s->gone = false;
	s->made = s->peer == NONE;
	return 0;
}

static void make(struct setting *s)
{
	if (s->made)
		s->peer = peer_add(&table, s->key);
	s->made = false;
}

static int set_ip(struct setting *s, char *value)
{
	uint8_t address[16] = { 0 };
	char *slash = strchr(value, '/');
	bool v6 = strchr(value, ':');
	unsigned int bits = v6 ? 128 : 32, prefix;

	if (!slash)
		return -EINVAL;
	*slash = '\0';
	prefix = atoi(slash + 1);
	if (prefix > bits || inet_pton(v6 ? AF_INET6 : AF_INET, value, address) != 1)
		return -EINVAL;
	for (unsigned int i = prefix; i < bits; ++i)
		address[i / 8] &= ~(0x80 >> i % 8);
	++given;
	if (s->peer != NONE)
		ip_give(&table, s->peer, address, v6, prefix);
	return 0;
}

static int set_line(struct setting *s, const char *key, char *value)
{
	if (!strcmp(key, "public_key")) {
		make(s);
		return set_key(s, value);
	}
	if (!strcmp(key, "update_only")) {
		s->made = false;
		return 0;
	}
	if (!strcmp(key, "remove")) {
		s->made = false;
		if (s->peer != NONE)
			peer_remove(&table, s->peer);
		s->peer = NONE;
		return 0;
	}
	make(s);
	if (!strcmp(key, "replace_allowed_ips") && s->peer != NONE)
		peer_clear(&table, s->peer);
	return strcmp(key, "allowed_ip") ? 0 : set_ip(s, value);
}

/* text ends with the last line's newline. */
static int set(char *text)
{
	struct setting s = { .peer = NONE };
	char *line, *value;
	int ret;

	++sets;
	while ((line = strsep(&text, "\n")) && *line) {
		value = line;
		strsep(&value, "=");
		ret = value ? set_line(&s, line, value) : -EPROTO;
		if (ret)
			return ret;
	}
	make(&s);
	return 0;
}

/* One request, with the empty line at its end, which is made the end of the text. */
static void request(struct connection *c, char *text)
{
	char answer[32];

	if (!strncmp(text, "get=1\n", 6)) {
		++gets;
		c->at = 0;
	} else if (!strncmp(text, "set=1\n", 6)) {
		put(&c->out, answer, sprintf(answer, "errno=%d\n\n", set(text + 6)));
	} else {
		put(&c->out, answer, sprintf(answer, "errno=%d\n\n", -EPROTO));
	}
}

/* --- connections --- */

static void drop(struct connection *c)
{
	close(c->fd);
	free(c->in.text);
	free(c->out.text);
	free(c);
}

/* Whether the connection is to be kept. */
static bool take(struct connection *c)
{
	struct buffer *in = &c->in;
	ssize_t got;
	char *end;

	if (in->room - in->len < 4096) {
		in->room = 2 * in->room + 8192;
		if (in->room > REQUEST)
			return false;
		in->text = grown(in->text, in->room, 1);
	}
	got = recv(c->fd, in->text + in->len, in->room - in->len - 1, 0);
	if (got <= 0)
		return got < 0 && errno == EAGAIN;
	in->len += got;
	in->text[in->len] = '\0';
	while (c->at == NONE && (end = strstr(in->text, "\n\n"))) {
		end[1] = '\0';
		request(c, in->text);
		in->len -= end + 2 - in->text;
		memmove(in->text, end + 2, in->len + 1);
	}
	return true;
}

static bool give(struct connection *c)
{
	struct buffer *out = &c->out;
	struct epoll_event event = { .data.ptr = c };
	bool waits;
	ssize_t sent;

	if (c->at != NONE && out->len < PIECE)
		put_piece(c);
	if (out->len) {
		sent = send(c->fd, out->text + out->sent, out->len - out->sent, MSG_NOSIGNAL);
		if (sent < 0 && errno != EAGAIN)
			return false;
		out->sent += sent > 0 ? sent : 0;
		if (out->sent == out->len)
			out->sent = out->len = 0;
	}
	waits = out->len || c->at != NONE;
	event.events = waits ? EPOLLOUT : EPOLLIN;
	if (waits != c->waits && epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event) < 0)
		err(1, "epoll_ctl");
	c->waits = waits;
	return true;
}

static void serve(struct connection *c)
{
	if ((!c->waits && !take(c)) || !give(c))
		drop(c);
}

/* What it asks is mostly there already. */
static void welcome(void)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct connection *c;
	int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	c = calloc(1, sizeof(*c));
	if (!c)
		err(1, "no memory");
	c->fd = fd;
	c->at = NONE;
	event.data.ptr = c;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		err(1, "epoll_ctl");
	serve(c);
}

static void signalled(void)
{
	struct signalfd_siginfo info;

	if (read(signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo != SIGUSR1)
		exit(0);
	printf("peers=%u allowed_ips=%u gets=%llu sets=%llu given=%llu moved=%llu\n",
	       table.peers_used, table.ips_used, (unsigned long long)gets,
	       (unsigned long long)sets, (unsigned long long)given,
	       (unsigned long long)table.moved);
	fflush(stdout);
}

/* --- start --- */

static void listen_at(const char *interface)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	mkdir("/var/run/wireguard", 0700);
	snprintf(address.sun_path, sizeof(address.sun_path), "/var/run/wireguard/%s.sock",
		 interface);
	unlink(address.sun_path);
	listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listen_fd < 0 || bind(listen_fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(listen_fd, 128) < 0)
		err(1, "%s", address.sun_path);
}

static void add(int fd, void *which)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = which };

	if (fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		err(1, "epoll");
}

int main(int argc, char **argv)
{
	struct epoll_event events[EVENTS];
	sigset_t signals;
	int count;

	if (argc < 2 || argc > 3 || atoi(argv[1]) < 0)
		errx(1, "usage: device PEERS [INTERFACE]");
	table_open(&table, atoi(argv[1]));
	table_fill(&table, atoi(argv[1]));
	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	listen_at(argc == 3 ? argv[2] : "wg0");
	add(listen_fd, &listen_fd);
	add(signal_fd, &signal_fd);
	puts("ready");
	fflush(stdout);
	for (;;) {
		count = epoll_wait(epoll_fd, events, EVENTS, -1);
		for (int i = 0; i < count; ++i) {
			if (events[i].data.ptr == &listen_fd)
				welcome();
			else if (events[i].data.ptr == &signal_fd)
				signalled();
			else
				serve(events[i].data.ptr);
		}
	}
}
