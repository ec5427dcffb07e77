// SPDX-License-Identifier: MIT
/*
 * The wire format, row by row: what is read, what is refused, byte by byte, and what we write.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <cmocka.h>

#include "protocol.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define BOTH { WISH_ANY, WISH_ANY }

static struct lines lines;

static struct cidr cidr(const char *text)
{
	struct cidr c;

	assert_true(cidr_parse(&c, text, strlen(text)));
	return c;
}

static void assert_ip(const struct cidr *ip, const char *text)
{
	char buf[CIDR_STRLEN];

	if (!text)
		assert_int_equal(ip->family, 0);
	else
		assert_string_equal(cidr_format(buf, ip), text);
}

/* --- feeding --- */

/* A message of either kind. */
struct message {
	struct request request;
	struct response response;
	struct options options; /* response's */
};

static uint32_t wanted; /* by the client that decodes */

static void message_init(struct message *m)
{
	memset(m, 0, sizeof(*m));
	m->response.options = &m->options;
	m->response.want = wanted;
}

typedef enum decoded (*decoder)(struct message *m, const char *data, size_t len, size_t *used);

static enum decoded as_request(struct message *m, const char *data, size_t len, size_t *used)
{
	return request_decode(&m->request, &lines, data, len, used);
}

static enum decoded as_lease(struct message *m, const char *data, size_t len, size_t *used)
{
	return response_decode(&m->response, &lines, true, data, len, used);
}

static enum decoded as_plain(struct message *m, const char *data, size_t len, size_t *used)
{
	return response_decode(&m->response, &lines, false, data, len, used);
}

static enum decoded feed_whole(decoder decode, struct message *m, const char *data, size_t len,
			       size_t *used)
{
	/* With nothing behind it, so that the sanitizer sees a byte too many. */
	char *exact = malloc(len ? len : 1);
	enum decoded decoded;

	assert_non_null(exact);
	memcpy(exact, data, len);
	message_init(m);
	memset(&lines, 0, sizeof(lines));
	decoded = decode(m, exact, len, used);
	free(exact);
	return decoded;
}

static enum decoded feed_bytes(decoder decode, struct message *m, const char *data, size_t len,
			       size_t *used)
{
	enum decoded decoded = DECODED_MORE;
	size_t one;
	char byte;

	message_init(m);
	memset(&lines, 0, sizeof(lines));
	for (*used = 0; *used < len && decoded == DECODED_MORE; ++*used) {
		byte = data[*used];
		decoded = decode(m, &byte, 1, &one);
		assert_int_equal(one, 1);
	}
	return decoded;
}

static void assert_same(const struct message *m, const struct message *other)
{
	static struct message copy;

	memcpy(&copy, other, sizeof(copy));
	copy.response.options = m->response.options; /* each has its own */
	assert_memory_equal(m, &copy, sizeof(copy));
}

/*
 * Decodes a message whole, one byte at a time, and in two pieces cut at each byte: always the
 * same comes out, and a complete one is never seen in less than all of it.
 */
static enum decoded decode(decoder how, struct message *m, const char *data, size_t len)
{
	static struct message other;
	enum decoded decoded;
	size_t used, used_bytes, first, second;

	decoded = feed_whole(how, m, data, len, &used);
	assert_int_equal(feed_bytes(how, &other, data, len, &used_bytes), decoded);
	assert_int_equal(used, used_bytes);
	assert_same(m, &other);
	if (decoded == DECODED_WHOLE || decoded == DECODED_MORE)
		assert_int_equal(used, len);
	for (size_t cut = 0; cut < used && used < 1000; ++cut) {
		assert_int_equal(feed_whole(how, &other, data, cut, &first), DECODED_MORE);
		assert_int_equal(first, cut);
		assert_int_equal(how(&other, data + cut, len - cut, &second), decoded);
		assert_int_equal(first + second, used);
		assert_same(m, &other);
	}
	return decoded;
}

static enum decoded decode_text(decoder how, struct message *m, const char *text)
{
	return decode(how, m, text, strlen(text));
}

/* --- requests --- */

static void requests(void **state)
{
	static const struct {
		const char *text;
		bool listed;
		enum wish wish[FAMILIES];
		const char *ip4, *ip6; /* WISH_THIS */
		uint32_t lease_time;
		bool extended;
	} cases[] = {
		/* no ip= at all: one of each family */
		{ .text = "request_ip=1\n\n", .wish = BOTH },
		{ .text = "request_ip=1\nip=0.0.0.0/32\n\n", .listed = true,
		  .wish[V4] = WISH_ANY },
		{ .text = "request_ip=1\nip=::/128\n\n", .listed = true, .wish[V6] = WISH_ANY },
		{ .text = "request_ip=1\nip=0.0.0.0/32\nip=::/128\n\n", .listed = true,
		  .wish = BOTH },
		{ .text = "request_ip=1\nip=::/128\nip=0.0.0.0/32\n\n", .listed = true,
		  .wish = BOTH },
		/* without the prefix length */
		{ .text = "request_ip=1\nip=0.0.0.0\nip=::\n\n", .listed = true, .wish = BOTH },
		{ .text = "request_ip=1\nip=192.0.2.7/32\n\n", .listed = true,
		  .ip4 = "192.0.2.7/32" },
		{ .text = "request_ip=1\nip=192.0.2.7\n\n", .listed = true,
		  .ip4 = "192.0.2.7/32" },
		{ .text = "request_ip=1\nip=2001:db8::7/128\n\n", .listed = true,
		  .ip6 = "2001:db8::7/128" },
		{ .text = "request_ip=1\nip=2001:db8::7\nip=192.0.2.7\n\n", .listed = true,
		  .ip4 = "192.0.2.7/32", .ip6 = "2001:db8::7/128" },
		{ .text = "request_ip=1\nip=0.0.0.0/32\nip=2001:db8::7\n\n", .listed = true,
		  .wish[V4] = WISH_ANY, .ip6 = "2001:db8::7/128" },
		/* times */
		{ .text = "request_ip=1\nleasetime=0\n\n", .wish = BOTH },
		{ .text = "request_ip=1\nleasetime=600\n\n", .wish = BOTH, .lease_time = 600 },
		{ .text = "request_ip=1\nleasetime=4294967295\n\n", .wish = BOTH,
		  .lease_time = UINT32_MAX },
		{ .text = "request_ip=1\nleasestart=1795000000\nip=192.0.2.7/32\n\n",
		  .listed = true, .ip4 = "192.0.2.7/32" },
		{ .text = "request_ip=1\nleasestart=4294967295\nleasetime=9\n\n", .wish = BOTH,
		  .lease_time = 9 },
		/* want */
		{ .text = "request_ip=1\nwant=\n\n", .wish = BOTH, .extended = true },
		{ .text = "request_ip=1\nwant=route\n\n", .wish = BOTH, .extended = true },
		{ .text = "request_ip=1\nwant=route,dns,mtu,call,peer\n\n", .wish = BOTH,
		  .extended = true },
		{ .text = "request_ip=1\nwant=nobody-knows,,=\n\n", .wish = BOTH,
		  .extended = true },
		/* keys that nobody knows, however they look */
		{ .text = "request_ip=1\nnext=1\nnext=1\nIP=x\n ip==\nerrno=x\n\xff=\xff\r\n\n",
		  .wish = BOTH },
		/* the 2019 prototype's bytes */
		{ .text = "request_ip=1\nip=0.0.0.0/32\nip=::/128\nleasestart=0\nleasetime=0\n\n",
		  .listed = true, .wish = BOTH },
		{ .text = "request_ip=01\n\n", .wish = BOTH },
	};
	const char *ip;
	struct message m;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); ++i) {
		if (decode_text(as_request, &m, cases[i].text) != DECODED_WHOLE)
			fail_msg("refused: %s", cases[i].text);
		assert_int_equal(m.request.command, COMMAND_REQUEST_IP);
		assert_int_equal(m.request.listed, cases[i].listed);
		assert_int_equal(m.request.lease_time, cases[i].lease_time);
		assert_int_equal(m.request.extended, cases[i].extended);
		for (int v = V4; v < FAMILIES; ++v) {
			ip = v == V4 ? cases[i].ip4 : cases[i].ip6;
			assert_int_equal(m.request.wish[v], ip ? WISH_THIS : cases[i].wish[v]);
			if (ip)
				assert_ip(&m.request.ip[v], ip);
		}
	}
}

static void releases(void **state)
{
	struct message m;

	(void)state;
	assert_int_equal(decode_text(as_request, &m, "release_ip=1\n\n"), DECODED_WHOLE);
	assert_int_equal(m.request.command, COMMAND_RELEASE_IP);
	assert_false(m.request.extended);
	/* Keys that a later version may have. */
	assert_int_equal(decode_text(as_request, &m, "release_ip=1\nip=all\nleasetime=x\n\n"),
			 DECODED_WHOLE);
	assert_int_equal(m.request.command, COMMAND_RELEASE_IP);
}

static void requests_refused(void **state)
{
	static const struct {
		const char *text;
		enum decoded decoded;
	} cases[] = {
		{ "\n", DECODED_INVALID },
		{ "\n\n", DECODED_INVALID },
		{ "\r\n", DECODED_INVALID },
		{ "request_ip\n\n", DECODED_INVALID },
		{ "=1\n\n", DECODED_INVALID },
		{ "=\n\n", DECODED_INVALID },
		{ "abc\n", DECODED_INVALID },
		{ "GET / HTTP/1.1\r\n\r\n", DECODED_INVALID },
		{ "request_ip=1\n=\n\n", DECODED_INVALID },
		{ "request_ip=1\n=x\n\n", DECODED_INVALID },
		{ "request_ip=1\nip\n\n", DECODED_INVALID },
		{ "request_ip=1\nunknown\n\n", DECODED_INVALID },
		{ "request_ip=1\n \n\n", DECODED_INVALID },
		{ "request_ip=1\n\r\n", DECODED_INVALID },
		{ "release_ip=1\nunknown\n\n", DECODED_INVALID },
		/* commands and versions */
		{ "request_up=1\n\n", DECODED_UNSUPPORTED },
		{ "request_ip2=1\n\n", DECODED_UNSUPPORTED },
		{ "Request_ip=1\n\n", DECODED_UNSUPPORTED },
		{ " request_ip=1\n\n", DECODED_UNSUPPORTED },
		{ "request_ip =1\n\n", DECODED_UNSUPPORTED },
		{ "ip=0.0.0.0/32\nrequest_ip=1\n\n", DECODED_UNSUPPORTED },
		{ "errno=0\n\n", DECODED_UNSUPPORTED },
		{ "request_ip=0\n\n", DECODED_UNSUPPORTED },
		{ "request_ip=2\n\n", DECODED_UNSUPPORTED },
		{ "request_ip=11\n\n", DECODED_UNSUPPORTED },
		{ "request_ip=4294967295\n\n", DECODED_UNSUPPORTED },
		{ "release_ip=2\n\n", DECODED_UNSUPPORTED },
		{ "request_ip=4294967296\n\n", DECODED_INVALID },
		{ "request_ip=4294967297\n\n", DECODED_INVALID }, /* 1, in 32 bits */
		{ "request_ip=18446744073709551617\n\n", DECODED_INVALID }, /* in 64 */
		{ "request_ip=\n\n", DECODED_INVALID },
		{ "request_ip=one\n\n", DECODED_INVALID },
		{ "request_ip=1.0\n\n", DECODED_INVALID },
		{ "request_ip=1\r\n\r\n", DECODED_INVALID },
		{ "request_ip=+1\n\n", DECODED_INVALID },
		{ "request_ip=-1\n\n", DECODED_INVALID },
		{ "request_ip= 1\n\n", DECODED_INVALID },
		{ "request_ip==1\n\n", DECODED_INVALID },
		{ "release_ip=x\n\n", DECODED_INVALID },
		{ "request_ip=1\nrequest_ip=1\n\n", DECODED_INVALID },
		{ "request_ip=1\nrelease_ip=1\n\n", DECODED_INVALID },
		{ "release_ip=1\nrequest_ip=1\n\n", DECODED_INVALID },
		{ "release_ip=1\nrelease_ip=1\n\n", DECODED_INVALID },
		{ "request_ip=1\nip=192.0.2.7\nrelease_ip=2\n\n", DECODED_INVALID },
		/* addresses */
		{ "request_ip=1\nip=\n\n", DECODED_INVALID },
		{ "request_ip=1\nip=/32\n\n", DECODED_INVALID },
		{ "request_ip=1\nip=any\n\n", DECODED_INVALID },
		{ "request_ip=1\nip=192.0.2.0/24\n\n", DECODED_INVALID },
		{ "request_ip=1\nip=192.0.2.7/31\n\n", DECODED_INVALID },
		{ "request_ip=1\nip=192.0.2.7/33\n\n", DECODED_INVALID },
		{ "request_ip=1\nip=0.0.0.0/0\n\n", DECODED_INVALID },
		{ "request_ip=1\nip=::/0\n\n", DECODED_INVALID },
		{ "request_ip=1\nip=2001:db8::7/127\n\n", DECODED_INVALID },
		{ "request_ip=1\nip=2001:db8::7/32\n\n", DECODED_INVALID },
		{ "request_ip=1\nip=192.0.2.7/\n\n", DECODED_INVALID },
		{ "request_ip=1\nip=192.0.2.7/+32\n\n", DECODED_INVALID },
		{ "request_ip=1\nip=192.0.2.7 \n\n", DECODED_INVALID },
		{ "request_ip=1\nip=fe80::1%wg0\n\n", DECODED_INVALID },
		{ "request_ip=1\nip=192.0.2.7,2001:db8::7\n\n", DECODED_INVALID },
		/* at most one a family */
		{ "request_ip=1\nip=0.0.0.0/32\nip=0.0.0.0/32\n\n", DECODED_INVALID },
		{ "request_ip=1\nip=0.0.0.0/32\nip=192.0.2.7\n\n", DECODED_INVALID },
		{ "request_ip=1\nip=::\nip=192.0.2.7\nip=2001:db8::7\n\n", DECODED_INVALID },
		/* numbers */
		{ "request_ip=1\nleasetime=\n\n", DECODED_INVALID },
		{ "request_ip=1\nleasetime=4294967296\n\n", DECODED_INVALID },
		{ "request_ip=1\nleasetime=18446744073709551616\n\n", DECODED_INVALID },
		{ "request_ip=1\nleasetime=9999999999999999999999999999\n\n", DECODED_INVALID },
		{ "request_ip=1\nleasetime=-1\n\n", DECODED_INVALID },
		{ "request_ip=1\nleasetime=+1\n\n", DECODED_INVALID },
		{ "request_ip=1\nleasetime= 1\n\n", DECODED_INVALID },
		{ "request_ip=1\nleasetime=1 \n\n", DECODED_INVALID },
		{ "request_ip=1\nleasetime=0x10\n\n", DECODED_INVALID },
		{ "request_ip=1\nleasetime=1e3\n\n", DECODED_INVALID },
		{ "request_ip=1\nleasestart=4294967296\n\n", DECODED_INVALID },
		{ "request_ip=1\nleasestart=now\n\n", DECODED_INVALID },
		/* a key given twice */
		{ "request_ip=1\nleasetime=1\nleasetime=1\n\n", DECODED_INVALID },
		{ "request_ip=1\nleasetime=0\nleasetime=0\n\n", DECODED_INVALID },
		{ "request_ip=1\nleasestart=1\nleasestart=1\n\n", DECODED_INVALID },
		{ "request_ip=1\nwant=route\nwant=dns\n\n", DECODED_INVALID },
		{ "request_ip=1\nwant=\nwant=\n\n", DECODED_INVALID },
	};
	struct message m;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); ++i) {
		if (decode_text(as_request, &m, cases[i].text) != cases[i].decoded)
			fail_msg("not refused as it should: %s", cases[i].text);
	}
}

static void requests_unfinished(void **state)
{
	struct message m;

	(void)state;
	assert_int_equal(decode_text(as_request, &m, ""), DECODED_MORE);
	assert_int_equal(decode_text(as_request, &m, "request_ip=1"), DECODED_MORE);
	assert_int_equal(decode_text(as_request, &m, "request_ip=1\n"), DECODED_MORE);
	assert_int_equal(decode_text(as_request, &m, "request_ip=1\nip=0.0.0.0/32\n"),
			 DECODED_MORE);
	/* What a line says counts only once the line has ended. */
	assert_int_equal(decode_text(as_request, &m, "garbage"), DECODED_MORE);
	assert_int_equal(decode_text(as_request, &m, "request_ip=2"), DECODED_MORE);
}

static void nul_anywhere(void **state)
{
	static const char text[] = "request_ip=1\nip=192.0.2.7/32\nunknown=value\nleasetime=7\n\n";
	static const char answer[] = "ip=192.0.2.7/32\nleasestart=1\nleasetime=2\nx=\nerrno=0\n\n";
	char with[128];
	struct message m;

	(void)state;
	for (size_t at = 0; at < sizeof(text) - 1; ++at) {
		memcpy(with, text, at);
		with[at] = '\0';
		memcpy(with + at + 1, text + at, sizeof(text) - at);
		assert_int_equal(decode(as_request, &m, with, sizeof(text)), DECODED_INVALID);
		memcpy(with, text, sizeof(text));
		with[at] = '\0';
		assert_int_equal(decode(as_request, &m, with, sizeof(text) - 1), DECODED_INVALID);
	}
	for (size_t at = 0; at < sizeof(answer) - 1; ++at) {
		memcpy(with, answer, sizeof(answer));
		with[at] = '\0';
		assert_int_equal(decode(as_lease, &m, with, sizeof(answer) - 1), DECODED_INVALID);
	}
}

/* Appends a line of len bytes in all, the newline included, with a key that nobody knows. */
static size_t filler(char *buf, size_t at, size_t len)
{
	memset(buf + at, 'x', len);
	buf[at + 1] = '=';
	buf[at + len - 1] = '\n';
	return at + len;
}

static void long_lines(void **state)
{
	static char buf[3 * PROTOCOL_LINE];
	const char *begin[] = { "request_ip=1\n", "errno=4\n" };
	const decoder how[] = { as_request, as_plain };
	size_t len;
	struct message m;

	(void)state;
	for (int i = 0; i < 2; ++i) {
		len = sprintf(buf, "%s", begin[i]);
		len = filler(buf, len, PROTOCOL_LINE);
		buf[len++] = '\n';
		assert_int_equal(decode(how[i], &m, buf, len), DECODED_WHOLE);

		len = sprintf(buf, "%s", begin[i]);
		len = filler(buf, len, PROTOCOL_LINE + 1);
		buf[len++] = '\n';
		assert_int_equal(decode(how[i], &m, buf, len), DECODED_INVALID);
		/* Seen before the newline comes. */
		assert_int_equal(decode(how[i], &m, buf, len - 2), DECODED_INVALID);
		assert_int_equal(decode(how[i], &m, buf, len - 3), DECODED_MORE);
	}
	/* The first line too. */
	memset(buf, '0', PROTOCOL_LINE);
	memcpy(buf, "request_ip=", 11);
	memcpy(buf + PROTOCOL_LINE - 2, "1\n\n", 3);
	assert_int_equal(decode(as_request, &m, buf, PROTOCOL_LINE + 1), DECODED_WHOLE);
	memset(buf, '0', PROTOCOL_LINE + 1);
	memcpy(buf, "request_ip=", 11);
	memcpy(buf + PROTOCOL_LINE - 1, "1\n\n", 3);
	assert_int_equal(decode(as_request, &m, buf, PROTOCOL_LINE + 2), DECODED_INVALID);
}

static void long_requests(void **state)
{
	static char buf[2 * PROTOCOL_REQUEST];
	struct message m;
	size_t len, used;

	(void)state;
	for (int over = 0; over < 2; ++over) {
		len = sprintf(buf, "request_ip=1\n");
		len = filler(buf, len, 4000);
		len = filler(buf, len, 4000);
		len = filler(buf, len, PROTOCOL_REQUEST - 1 + over - len);
		buf[len++] = '\n';
		assert_int_equal(len, PROTOCOL_REQUEST + over);
		assert_int_equal(decode(as_request, &m, buf, len),
				 over ? DECODED_INVALID : DECODED_WHOLE);
	}
	/* The bound is for each message: the second one on a connection has 8 KiB of its own. */
	len = sprintf(buf, "request_ip=1\n");
	len = filler(buf, len, 4000);
	len = filler(buf, len, 4000);
	buf[len++] = '\n';
	memcpy(buf + len, buf, len);
	assert_int_equal(feed_whole(as_request, &m, buf, 2 * len, &used), DECODED_WHOLE);
	assert_int_equal(used, len);
	memset(&m, 0, sizeof(m));
	assert_int_equal(request_decode(&m.request, &lines, buf + len, len, &used), DECODED_WHOLE);
	assert_int_equal(used, len);
	/* Lines without end are bounded as well. */
	for (len = sprintf(buf, "request_ip=1\n"); len + 4 < sizeof(buf); len += 4)
		memcpy(buf + len, "x=y\n", 4);
	assert_int_equal(decode(as_request, &m, buf, len), DECODED_INVALID);
}

static void several_in_one_buffer(void **state)
{
	static const char text[] = "request_ip=1\nip=192.0.2.7\nleasetime=60\nwant=\n\n"
				   "release_ip=1\n\n"
				   "request_ip=1\nip=::\n\nrequest";
	size_t used, at = 0;
	struct message m;

	(void)state;
	assert_int_equal(feed_whole(as_request, &m, text, sizeof(text) - 1, &used), DECODED_WHOLE);
	assert_int_equal(m.request.wish[V4], WISH_THIS);
	assert_int_equal(m.request.lease_time, 60);
	at += used;
	assert_memory_equal(text + at, "release", 7);

	memset(&m, 0, sizeof(m));
	assert_int_equal(as_request(&m, text + at, sizeof(text) - 1 - at, &used), DECODED_WHOLE);
	assert_int_equal(m.request.command, COMMAND_RELEASE_IP);
	at += used;

	memset(&m, 0, sizeof(m));
	assert_int_equal(as_request(&m, text + at, sizeof(text) - 1 - at, &used), DECODED_WHOLE);
	assert_int_equal(m.request.wish[V4], WISH_NONE);
	assert_int_equal(m.request.wish[V6], WISH_ANY);
	assert_int_equal(m.request.lease_time, 0);
	assert_false(m.request.extended);
	at += used;

	memset(&m, 0, sizeof(m));
	assert_int_equal(as_request(&m, text + at, sizeof(text) - 1 - at, &used), DECODED_MORE);
	assert_int_equal(at + used, sizeof(text) - 1);
	assert_int_equal(as_request(&m, "_ip=1\n\n", 7, &used), DECODED_WHOLE);
	/* Blank lines do not stand between messages. */
	memset(&m, 0, sizeof(m));
	assert_int_equal(as_request(&m, "\n", 1, &used), DECODED_INVALID);
}

/* --- responses --- */

static void responses(void **state)
{
	static const struct {
		const char *text;
		enum status status;
		const char *ip4, *ip6;
		uint32_t start, time, renew, retry;
		const char *errmsg;
	} cases[] = {
		/* the example of the specification, and the 2019 prototype's bytes */
		{ .text = "ip=192.0.2.7/32\nip=2001:db8::7/128\nleasestart=1795000000\n"
			  "leasetime=3600\nerrno=0\n\n",
		  .ip4 = "192.0.2.7/32", .ip6 = "2001:db8::7/128", .start = 1795000000,
		  .time = 3600 },
		{ .text = "ip=192.168.4.7/32\nip=2001:db8:7777::2/128\nleasestart=1795360517\n"
			  "leasetime=3600\nerrno=0\n\n",
		  .ip4 = "192.168.4.7/32", .ip6 = "2001:db8:7777::2/128", .start = 1795360517,
		  .time = 3600 },
		/* keys in any order, errno missing, keys that nobody knows */
		{ .text = "leasetime=1\nerrno=0\nleasestart=0\nip=192.0.2.7\n\n",
		  .ip4 = "192.0.2.7/32", .time = 1 },
		{ .text = "ip=2001:db8::7/128\nip=192.0.2.7/32\nleasestart=4294967295\n"
			  "leasetime=31536000\n\n",
		  .ip4 = "192.0.2.7/32", .ip6 = "2001:db8::7/128", .start = UINT32_MAX,
		  .time = 31536000 },
		{ .text = "hello=x=y\nip=2001:db8::7\nroute=10.0.0.0/8\nroute=x\ndns=\nsearch=a\n"
			  "mtu=x\nleasestart=5\nleasetime=6\nerrno=0\n\n",
		  .ip6 = "2001:db8::7/128", .start = 5, .time = 6 },
		{ .text = "ip=192.0.2.7\nleasestart=5\nleasetime=60\nrenew=30\nretry=0\n"
			  "errno=0\n\n",
		  .ip4 = "192.0.2.7/32", .start = 5, .time = 60, .renew = 30 },
		{ .text = "ip=192.0.2.7\nleasestart=5\nleasetime=60\nerrno=0\nerrmsg=\n\n",
		  .ip4 = "192.0.2.7/32", .start = 5, .time = 60 },
		/* a shorter prefix, as sent */
		{ .text = "ip=192.0.2.7/24\nip=2001:db8::7/0\nleasestart=5\nleasetime=60\n\n",
		  .ip4 = "192.0.2.7/24", .ip6 = "2001:db8::7/0", .start = 5, .time = 60 },
		/* errors */
		{ .text = "errno=1\nerrmsg=Invalid request\n\n", .status = STATUS_INVALID,
		  .errmsg = "Invalid request" },
		{ .text = "errno=2\n\n", .status = STATUS_UNSUPPORTED },
		{ .text = "errno=2\nerrmsg=Unsupported protocol\n\n", .status = STATUS_UNSUPPORTED,
		  .errmsg = "Unsupported protocol" },
		{ .text = "errno=3\nerrmsg=Chosen IP(s) unavailable\n\n",
		  .status = STATUS_UNAVAILABLE, .errmsg = "Chosen IP(s) unavailable" },
		{ .text = "ip=2001:db8::7/128\nleasestart=5\nleasetime=60\nerrno=3\n"
			  "errmsg=x=y\n\n",
		  .status = STATUS_UNAVAILABLE, .ip6 = "2001:db8::7/128", .start = 5, .time = 60,
		  .errmsg = "x=y" },
		{ .text = "retry=5\nerrno=4\nerrmsg=Try again later\n\n", .status = STATUS_LATER,
		  .retry = 5, .errmsg = "Try again later" },
		/* what another version may have */
		{ .text = "errno=5\nerrmsg=No coffee\n\n", .status = STATUS_LATER,
		  .errmsg = "No coffee" },
		{ .text = "errno=4294967295\n\n", .status = STATUS_LATER },
		/* with an error, times do not matter */
		{ .text = "leasestart=7\nleasetime=0\nerrno=1\n\n", .status = STATUS_INVALID,
		  .start = 7 },
	};
	struct message m;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); ++i) {
		if (decode_text(as_lease, &m, cases[i].text) != DECODED_WHOLE)
			fail_msg("refused: %s", cases[i].text);
		assert_int_equal(m.response.status, cases[i].status);
		assert_ip(&m.response.ip[V4], cases[i].ip4);
		assert_ip(&m.response.ip[V6], cases[i].ip6);
		assert_int_equal(m.response.lease_start, cases[i].start);
		assert_int_equal(m.response.lease_time, cases[i].time);
		assert_int_equal(m.response.renew, cases[i].renew);
		assert_int_equal(m.response.retry, cases[i].retry);
		assert_string_equal(m.response.errmsg, cases[i].errmsg ? cases[i].errmsg : "");
	}
}

static void responses_refused(void **state)
{
	static const char *const bad[] = {
		"\n", /* success, but no address */
		"errno=0\n\n",
		"leasestart=5\nleasetime=60\nerrno=0\n\n",
		/* without times, or with ones out of range */
		"ip=192.0.2.7\nerrno=0\n\n",
		"ip=192.0.2.7\nleasestart=5\nerrno=0\n\n",
		"ip=192.0.2.7\nleasetime=60\nerrno=0\n\n",
		"ip=192.0.2.7\nleasestart=5\nleasetime=0\nerrno=0\n\n",
		"ip=192.0.2.7\nleasestart=5\nleasetime=31536001\nerrno=0\n\n",
		"ip=192.0.2.7\nleasestart=5\nleasetime=4294967295\nerrno=0\n\n",
		"ip=192.0.2.7\nleasestart=5\nleasetime=0\nerrno=3\n\n",
		"ip=192.0.2.7\nleasestart=5\nleasetime=31536001\nerrno=3\n\n",
		/* values */
		"ip=\nleasestart=5\nleasetime=60\n\n",
		"ip=192.0.2.7/33\nleasestart=5\nleasetime=60\n\n",
		"ip=x\nerrno=3\n\n",
		"ip=192.0.2.7\nleasestart=-5\nleasetime=60\n\n",
		"ip=192.0.2.7\nleasestart=5\nleasetime=6O\n\n",
		"ip=192.0.2.7\nleasestart=4294967296\nleasetime=60\n\n",
		"ip=192.0.2.7\nleasestart=5\nleasetime=4294967296\n\n",
		"ip=192.0.2.7\nleasestart=5\nleasetime=60\nrenew=x\n\n",
		"retry=\nerrno=4\n\n",
		"errno=\n\n",
		"errno=-1\n\n",
		"errno=4294967296\n\n",
		/* twice */
		"ip=192.0.2.7\nip=192.0.2.7\nleasestart=5\nleasetime=60\n\n",
		"ip=::1\nip=192.0.2.7\nip=::2\nleasestart=5\nleasetime=60\n\n",
		"ip=192.0.2.7\nleasestart=5\nleasestart=5\nleasetime=60\n\n",
		"ip=192.0.2.7\nleasestart=5\nleasetime=60\nleasetime=60\n\n",
		"ip=192.0.2.7\nleasestart=5\nleasetime=60\nerrno=0\nerrno=0\n\n",
		"errno=1\nerrmsg=x\nerrmsg=x\n\n",
		"errno=4\nretry=1\nretry=1\n\n",
		"errno=4\nrenew=1\nrenew=1\n\n",
		/* lines */
		"errno=1\nerrmsg\n\n",
		"errno=1\n=x\n\n",
		"errno=1\r\n\r\n",
	};
	struct message m;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); ++i) {
		if (decode_text(as_lease, &m, bad[i]) != DECODED_INVALID)
			fail_msg("not refused: %s", bad[i]);
	}
}

static void responses_to_a_release(void **state)
{
	struct message m;

	(void)state;
	assert_int_equal(decode_text(as_plain, &m, "errno=0\n\n"), DECODED_WHOLE);
	assert_int_equal(m.response.status, STATUS_OK);
	assert_int_equal(decode_text(as_plain, &m, "\n"), DECODED_WHOLE);
	assert_int_equal(m.response.status, STATUS_OK);
	assert_int_equal(decode_text(as_plain, &m, "errno=2\n\n"), DECODED_WHOLE);
	assert_int_equal(m.response.status, STATUS_UNSUPPORTED);
	assert_int_equal(decode_text(as_plain, &m, "errno=x\n\n"), DECODED_INVALID);
}

static void errmsg_is_harmless(void **state)
{
	char text[2 * ERRMSG_LEN + 32], expected[ERRMSG_LEN];
	struct message m;
	int len = 0;

	(void)state;
	/* Each byte that may stand in a line, 100 at a time. */
	for (int first = 1; first < 256; first += 100) {
		memset(expected, 0, sizeof(expected));
		len = sprintf(text, "errno=1\nerrmsg=");
		for (int c = first, i = 0; c < first + 100 && c < 256; ++c) {
			if (c == '\n')
				continue;
			text[len++] = c;
			expected[i++] = c >= 32 && c <= 126 ? c : '?';
		}
		memcpy(text + len, "\n\n", 2);
		assert_int_equal(decode(as_lease, &m, text, len + 2), DECODED_WHOLE);
		assert_string_equal(m.response.errmsg, expected);
	}
	/* One that is too long is cut, and always ends. */
	for (int n = ERRMSG_LEN - 2; n < ERRMSG_LEN + 2; ++n) {
		len = sprintf(text, "errno=1\nerrmsg=");
		memset(text + len, 'm', n);
		memcpy(text + len + n, "\n\n", 2);
		assert_int_equal(decode(as_lease, &m, text, len + n + 2), DECODED_WHOLE);
		assert_int_equal(strlen(m.response.errmsg), n < ERRMSG_LEN ? n : ERRMSG_LEN - 1);
	}
}

static void long_responses(void **state)
{
	char *buf = malloc(PROTOCOL_RESPONSE + 8192);
	struct message m;
	size_t len;

	(void)state;
	assert_non_null(buf);
	for (int over = 0; over < 2; ++over) {
		len = sprintf(buf, "errno=4\n");
		while (PROTOCOL_RESPONSE - len > 8000)
			len = filler(buf, len, 4096);
		len = filler(buf, len, 4000);
		len = filler(buf, len, PROTOCOL_RESPONSE - 1 + over - len);
		buf[len++] = '\n';
		assert_int_equal(len, PROTOCOL_RESPONSE + over);
		assert_int_equal(decode(as_lease, &m, buf, len),
				 over ? DECODED_INVALID : DECODED_WHOLE);
	}
	free(buf);
}

static void what_follows_a_response_is_left(void **state)
{
	size_t used;
	struct message m;

	(void)state;
	assert_int_equal(feed_whole(as_plain, &m, "errno=0\n\nmore\n", 14, &used), DECODED_WHOLE);
	assert_int_equal(used, 9);
}

/* --- what we write --- */

static void assert_request(const struct request *request, const char *text)
{
	char buf[PROTOCOL_ENCODED];
	size_t len = request_encode(buf, request);

	assert_int_equal(len, strlen(text));
	assert_memory_equal(buf, text, len);
}

static void requests_written(void **state)
{
	struct request r = { .command = COMMAND_REQUEST_IP, .wish = { WISH_ANY, WISH_ANY } };

	(void)state;
	assert_request(&r, "request_ip=1\nip=0.0.0.0/32\nip=::/128\n\n");
	r.extended = true;
	assert_request(&r, "request_ip=1\nip=0.0.0.0/32\nip=::/128\nwant=\n\n");
	r.lease_time = 600;
	r.wish[V4] = WISH_NONE;
	r.wish[V6] = WISH_THIS;
	r.ip[V6] = cidr("2001:db8::7");
	assert_request(&r, "request_ip=1\nip=2001:db8::7/128\nleasetime=600\nwant=\n\n");
	r.extended = false;
	r.wish[V4] = WISH_THIS;
	r.ip[V4] = cidr("192.0.2.7");
	assert_request(&r, "request_ip=1\nip=192.0.2.7/32\nip=2001:db8::7/128\nleasetime=600\n\n");
	r.command = COMMAND_RELEASE_IP;
	assert_request(&r, "release_ip=1\n\n");
}

static void assert_response(const struct response *response, bool extended, const char *text)
{
	const struct request request = { .extended = extended };
	char buf[PROTOCOL_ENCODED];
	size_t len = response_encode(buf, response, &request);

	assert_int_equal(len, strlen(text));
	assert_memory_equal(buf, text, len);
}

static void responses_written(void **state)
{
	struct response r = {
		.ip = { cidr("192.0.2.7"), cidr("2001:db8::7") },
		.lease_start = 1795000000,
		.lease_time = 3600,
		.renew = 1800,
		.retry = 5,
		.errmsg = "not to be read",
	};

	(void)state;
	assert_response(&r, false, "ip=192.0.2.7/32\nip=2001:db8::7/128\nleasestart=1795000000\n"
				   "leasetime=3600\nerrno=0\n\n");
	r.retry = 0;
	assert_response(&r, true, "ip=192.0.2.7/32\nip=2001:db8::7/128\nleasestart=1795000000\n"
				  "leasetime=3600\nrenew=1800\nerrno=0\n\n");
	r.status = STATUS_UNAVAILABLE;
	r.ip[V4].family = 0;
	assert_response(&r, false, "ip=2001:db8::7/128\nleasestart=1795000000\nleasetime=3600\n"
				   "errno=3\nerrmsg=Chosen IP(s) unavailable\n\n");
	r = (struct response){ .status = STATUS_LATER, .retry = 5 };
	assert_response(&r, true, "retry=5\nerrno=4\nerrmsg=Try again later\n\n");
	assert_response(&r, false, "errno=4\nerrmsg=Try again later\n\n");
	r = (struct response){ .status = STATUS_INVALID };
	assert_response(&r, true, "errno=1\nerrmsg=Invalid request\n\n");
	r.status = STATUS_UNSUPPORTED;
	assert_response(&r, true, "errno=2\nerrmsg=Unsupported protocol\n\n");
	r.status = STATUS_UNAVAILABLE;
	assert_response(&r, true, "errno=3\nerrmsg=Chosen IP(s) unavailable\n\n");
	r.status = STATUS_OK;
	assert_response(&r, true, "errno=0\n\n");
	/* leasestart=0 is a time like any other. */
	r.ip[V4] = cidr("192.0.2.7");
	r.lease_time = 1;
	assert_response(&r, true, "ip=192.0.2.7/32\nleasestart=0\nleasetime=1\nerrno=0\n\n");
}

/* A valid domain of so many characters. */
static void long_domain(char *text, size_t len)
{
	for (size_t i = 0; i < len; ++i)
		text[i] = i % 64 == 63 ? '.' : 'a';
	text[len] = '\0';
}

static void the_longest_that_we_write(void **state)
{
	const struct cidr long4 = cidr("255.255.255.255"),
			  long6 = cidr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
	const struct request request = {
		.command = COMMAND_REQUEST_IP,
		.wish = { WISH_THIS, WISH_THIS },
		.ip = { long4, long6 },
		.lease_time = UINT32_MAX,
		.extended = true,
		.want = WANT_ROUTE | WANT_DNS | WANT_MTU | WANT_CALL,
	};
	static struct options options = { .mtu = MTU_MAX };
	const struct response response = {
		.status = STATUS_UNAVAILABLE,
		.ip = { long4, long6 },
		.lease_start = UINT32_MAX,
		.lease_time = LEASE_TIME_MAX,
		.renew = UINT32_MAX,
		.retry = UINT32_MAX,
		.options = &options,
	};
	char buf[PROTOCOL_ENCODED];
	struct message m;
	size_t len;

	(void)state;
	for (int i = 0; i < OPTIONS_ROUTES; ++i) {
		options.route[i] = long6;
		options.route[options.routes++].ip[0] ^= i;
	}
	for (int i = 0; i < OPTIONS_DNS; ++i) {
		options.dns[i] = long6;
		options.dns[options.dns_count++].ip[0] ^= i;
	}
	for (int i = 0; i < OPTIONS_SEARCH; ++i) {
		long_domain(options.search[i], DOMAIN_LEN - 1);
		options.search[options.searches++][0] += i;
	}
	assert_true(request_encode(buf, &request) < PROTOCOL_ENCODED);
	len = response_encode(buf, &response, &request);
	assert_true(len < PROTOCOL_ENCODED);
	wanted = request.want;
	assert_int_equal(decode(as_lease, &m, buf, len), DECODED_WHOLE);
	assert_true(options_equal(&m.options, &options));
	wanted = 0;
}

static void what_we_write_we_read(void **state)
{
	char buf[PROTOCOL_ENCODED];
	struct message m;
	size_t len;

	(void)state;
	for (int i = 0; i < 3 * 3 * 2 * 2; ++i) {
		struct request r = {
			.command = COMMAND_REQUEST_IP,
			.wish = { i % 3, i / 3 % 3 },
			.lease_time = i / 9 % 2 ? 3600 : 0,
			.extended = i / 18,
		};

		if (r.wish[V4] == WISH_THIS)
			r.ip[V4] = cidr("192.0.2.7");
		if (r.wish[V6] == WISH_THIS)
			r.ip[V6] = cidr("2001:db8::7");
		len = request_encode(buf, &r);
		assert_int_equal(decode(as_request, &m, buf, len), DECODED_WHOLE);
		assert_int_equal(m.request.listed, r.wish[V4] || r.wish[V6]);
		for (int v = V4; v < FAMILIES; ++v) {
			assert_int_equal(m.request.wish[v],
					 m.request.listed ? r.wish[v] : WISH_ANY);
			if (r.wish[v] == WISH_THIS)
				assert_int_equal(cidr_compare(&m.request.ip[v], &r.ip[v]), 0);
		}
		assert_int_equal(m.request.lease_time, r.lease_time);
		assert_int_equal(m.request.extended, r.extended);
	}
	for (int i = 0; i < 5 * 4 * 2; ++i) {
		struct response r = { .status = i % 5 };

		if (i / 5 & 1)
			r.ip[V4] = cidr("192.0.2.7");
		if (i / 5 & 2)
			r.ip[V6] = cidr("2001:db8::7");
		if (r.ip[V4].family || r.ip[V6].family) {
			r.lease_start = 1795000000;
			r.lease_time = 3600;
			r.renew = i / 20 ? 1800 : 0;
		}
		if (r.status == STATUS_OK && !r.lease_time)
			continue;
		len = response_encode(buf, &r, &(struct request){ .extended = true });
		assert_int_equal(decode(as_lease, &m, buf, len), DECODED_WHOLE);
		assert_int_equal(m.response.status, r.status);
		assert_string_equal(m.response.errmsg, status_message(r.status));
		assert_int_equal(m.response.lease_start, r.lease_start);
		assert_int_equal(m.response.lease_time, r.lease_time);
		assert_int_equal(m.response.renew, r.renew);
		assert_memory_equal(m.response.ip, r.ip, sizeof(r.ip));
	}
}

/* --- options --- */

static void wants_read_and_written(void **state)
{
	static const struct {
		const char *value;
		uint32_t want;
	} cases[] = {
		{ "", 0 },
		{ "route", WANT_ROUTE },
		{ "route,dns,mtu,call", WANT_ROUTE | WANT_DNS | WANT_MTU | WANT_CALL },
		{ "call,mtu,dns,route", WANT_ROUTE | WANT_DNS | WANT_MTU | WANT_CALL },
		{ "peer,dns,,routes,rout,DNS", WANT_DNS },
		{ "mtu,mtu", WANT_MTU },
		{ "route=dns", 0 },
	};
	char text[128];
	struct message m;
	struct request r = { .command = COMMAND_REQUEST_IP, .extended = true };

	(void)state;
	for (size_t i = 0; i < COUNT(cases); ++i) {
		snprintf(text, sizeof(text), "request_ip=1\nwant=%s\n\n", cases[i].value);
		assert_int_equal(decode_text(as_request, &m, text), DECODED_WHOLE);
		assert_true(m.request.extended);
		assert_int_equal(m.request.want, cases[i].want);
	}
	r.want = WANT_ROUTE | WANT_DNS | WANT_MTU | WANT_CALL;
	assert_request(&r, "request_ip=1\nwant=route,dns,mtu,call\n\n");
	r.want = WANT_DNS | WANT_CALL;
	assert_request(&r, "request_ip=1\nwant=dns,call\n\n");
}

#define LEASE "ip=192.0.2.7/32\nleasestart=1\nleasetime=60\n"
#define ALL LEASE "route=10.0.0.0/8\nroute=fd00:5::/48\ndns=192.0.2.53\ndns=2001:db8::53\n" \
		  "search=corp.example\nsearch=a_b.x-y\nmtu=1380\nerrno=0\n\n"

static void options_read_and_written(void **state)
{
	struct request request = { .extended = true, .want = WANT_ROUTE | WANT_DNS | WANT_MTU };
	char buf[PROTOCOL_ENCODED], text[CIDR_STRLEN];
	struct message m, plain;
	size_t len;

	(void)state;
	wanted = WANT_ROUTE | WANT_DNS | WANT_MTU;
	assert_int_equal(decode_text(as_lease, &m, ALL), DECODED_WHOLE);
	assert_int_equal(m.response.unasked, 0);
	assert_int_equal(m.options.routes, 2);
	assert_string_equal(cidr_format(text, &m.options.route[1]), "fd00:5::/48");
	assert_int_equal(m.options.dns_count, 2);
	assert_string_equal(cidr_format(text, &m.options.dns[0]), "192.0.2.53/32");
	assert_int_equal(m.options.searches, 2);
	assert_string_equal(m.options.search[0], "corp.example");
	assert_int_equal(m.options.mtu, 1380);
	assert_int_equal(options_present(&m.options), request.want);
	len = response_encode(buf, &m.response, &request);
	assert_int_equal(len, strlen(ALL));
	assert_memory_equal(buf, ALL, len);

	/* Only what is asked for. */
	request.want = WANT_MTU | WANT_CALL;
	len = response_encode(buf, &m.response, &request);
	assert_int_equal(len, strlen(LEASE "mtu=1380\nerrno=0\n\n"));
	assert_memory_equal(buf, LEASE "mtu=1380\nerrno=0\n\n", len);
	request.want = 0;
	len = response_encode(buf, &m.response, &request);
	assert_int_equal(len, strlen(LEASE "errno=0\n\n"));

	/* What was not asked for is not even read. */
	wanted = WANT_MTU | WANT_CALL;
	assert_int_equal(decode_text(as_lease, &plain, ALL), DECODED_WHOLE);
	assert_int_equal(plain.response.unasked, WANT_ROUTE | WANT_DNS);
	assert_int_equal(options_present(&plain.options), WANT_MTU);
	wanted = WANT_ROUTE | WANT_DNS;
	assert_int_equal(decode_text(as_lease, &plain, LEASE "mtu=x\ncall=1\nwant=y\n\n"),
			 DECODED_WHOLE);
	assert_int_equal(plain.response.unasked, WANT_MTU);

	/* Host bits go, the same again does not count. */
	assert_int_equal(decode_text(as_lease, &plain, LEASE "route=10.1.2.3/8\nroute=10.0.0.0/8\n"
				     "search=a\nsearch=a\ndns=192.0.2.1/32\ndns=192.0.2.1\n\n"),
			 DECODED_WHOLE);
	assert_string_equal(cidr_format(text, &plain.options.route[0]), "10.0.0.0/8");
	assert_int_equal(plain.options.routes, 1);
	assert_int_equal(plain.options.searches, 1);
	assert_int_equal(plain.options.dns_count, 1);
	assert_false(options_equal(&m.options, &plain.options));
	options_clear(&m.options, WANT_DNS);
	assert_int_equal(options_present(&m.options), WANT_ROUTE | WANT_MTU);
	assert_int_equal(m.options.searches, 0);
	options_clear(&m.options, WANT_ROUTE | WANT_MTU);
	assert_int_equal(options_present(&m.options), 0);
	wanted = 0;
}

static void options_malformed(void **state)
{
	static const char *const lines[] = {
		"route=", "route=10.0.0.0/33", "route=x", "route=$(id)", "route=10.0.0.0/8;id",
		"route=../etc/passwd", "route=fd00::/129", "route=10.0.0.0/8 ",
		"dns=", "dns=192.0.2.0/24", "dns=ns.example", "dns=$(id)", "dns=::1%lo",
		"search=", "search=.", "search=a..b", "search=.a", "search=a.", "search=a b",
		"search=-a", "search=--help", "search=$(id)", "search=a;id",
		"search=../x", "search=a/b", "search=\xc3\xa4",
		"search=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"mtu=", "mtu=0", "mtu=1279", "mtu=65536", "mtu=-1", "mtu=1380x",
		"mtu=1380\nmtu=1380",
	};
	char text[512], domain[DOMAIN_LEN + 1];
	struct message m;

	(void)state;
	wanted = WANT_ROUTE | WANT_DNS | WANT_MTU;
	for (size_t i = 0; i < COUNT(lines); ++i) {
		snprintf(text, sizeof(text), LEASE "%s\nerrno=0\n\n", lines[i]);
		if (decode_text(as_lease, &m, text) != DECODED_INVALID)
			fail_msg("not refused as it should: %s", lines[i]);
	}
	for (int more = 0; more < 2; ++more) {
		long_domain(domain, DOMAIN_LEN - 1 + more);
		snprintf(text, sizeof(text), LEASE "search=%s\n\n", domain);
		assert_int_equal(decode_text(as_lease, &m, text),
				 more ? DECODED_INVALID : DECODED_WHOLE);
	}
	wanted = 0;
}

static struct options some_options(void)
{
	struct options options = { 0 };

	assert_int_equal(options_add(&options, "route", "10.0.0.0/8"), 0);
	assert_int_equal(options_add(&options, "route", "fd00::/8"), 0);
	assert_int_equal(options_add(&options, "dns", "192.0.2.53"), 0);
	assert_int_equal(options_add(&options, "search", "corp.example"), 0);
	assert_int_equal(options_add(&options, "mtu", "1380"), 0);
	return options;
}

/* As the monitor sees them, of an engine that has been taken over. */
static void options_that_nobody_can_have_read(void **state)
{
	const struct options good = some_options(), none = { 0 };
	struct options o;

	(void)state;
	assert_true(options_valid(&good));
	assert_true(options_valid(&none));
#define BAD(change) do { o = good; change; assert_false(options_valid(&o)); } while (0)
	BAD(o.routes = OPTIONS_ROUTES + 1);
	BAD(o.routes = UINT32_MAX);
	BAD(o.routes = 3); /* no family */
	BAD(o.route[1].family = 77);
	BAD(o.route[0].prefix = 33);
	BAD(o.route[1].prefix = 129);
	BAD(o.route[0].ip[1] = 1);
	BAD(o.route[0].ip[15] = 1);
	BAD(o.dns_count = OPTIONS_DNS + 1);
	BAD(o.dns_count = 2);
	BAD(o.dns[0].prefix = 24; cidr_mask(&o.dns[0]));
	BAD(o.searches = OPTIONS_SEARCH + 1);
	BAD(o.searches = 2); /* "" */
	BAD(memset(o.search[0], 'a', DOMAIN_LEN));
	BAD(strcpy(o.search[0], "a b"));
	BAD(strcpy(o.search[0], "a;b"));
	BAD(strcpy(o.search[0], "a\nb"));
	BAD(o.mtu = 1279);
	BAD(o.mtu = 65536);
#undef BAD
}

static void more_options_than_there_is_room_for(void **state)
{
	static char text[16384];
	size_t len = sprintf(text, LEASE);
	struct message m;

	(void)state;
	wanted = WANT_ROUTE | WANT_DNS;
	for (int i = 0; i < OPTIONS_ROUTES; ++i)
		len += sprintf(text + len, "route=10.0.%d.0/24\n", i);
	for (int i = 0; i < OPTIONS_DNS; ++i)
		len += sprintf(text + len, "dns=192.0.2.%d\nsearch=%d.example\n", i, i);
	strcpy(text + len, "\n");
	assert_int_equal(decode_text(as_lease, &m, text), DECODED_WHOLE);
	assert_int_equal(m.options.routes, OPTIONS_ROUTES);
	assert_int_equal(m.options.dns_count, OPTIONS_DNS);
	assert_int_equal(m.options.searches, OPTIONS_SEARCH);
	assert_int_equal(m.options.dropped, 0);
	/* With more, nothing of that kind is taken; of another, all is. */
	strcpy(text + len, "search=more.example\nsearch=again.example\ndns=192.0.2.99\n\n");
	assert_int_equal(decode_text(as_lease, &m, text), DECODED_WHOLE);
	assert_int_equal(m.options.routes, OPTIONS_ROUTES);
	assert_int_equal(m.options.dns_count, 0);
	assert_int_equal(m.options.searches, 0);
	assert_int_equal(m.options.dropped, WANT_DNS);
	for (int i = 0; i < OPTIONS_ROUTES + 3; ++i)
		len += sprintf(text + len, "route=10.1.%d.0/24\n", i);
	strcpy(text + len, "mtu=1300\n\n");
	wanted |= WANT_MTU;
	assert_int_equal(decode_text(as_lease, &m, text), DECODED_WHOLE);
	assert_int_equal(m.options.routes, 0);
	assert_int_equal(m.options.dns_count, OPTIONS_DNS);
	assert_int_equal(m.options.mtu, 1300);
	assert_int_equal(m.options.dropped, WANT_ROUTE);
	/* It must be well-formed nevertheless. */
	strcpy(text + len, "route=x\n\n");
	assert_int_equal(decode_text(as_lease, &m, text), DECODED_INVALID);
	wanted = 0;
}

static void numbers(void **state)
{
	uint32_t n;

	(void)state;
	assert_true(number_parse(&n, "0", UINT32_MAX));
	assert_int_equal(n, 0);
	assert_true(number_parse(&n, "4294967295", UINT32_MAX));
	assert_int_equal(n, UINT32_MAX);
	assert_true(number_parse(&n, "00000000000000000007", 7));
	assert_int_equal(n, 7);
	assert_false(number_parse(&n, "8", 7));
	assert_false(number_parse(&n, "4294967296", UINT32_MAX));
	assert_false(number_parse(&n, "18446744073709551616", UINT32_MAX));
	assert_false(number_parse(&n, "", 7));
	assert_false(number_parse(&n, "-0", 7));
	assert_false(number_parse(&n, "+1", 7));
	assert_false(number_parse(&n, " 1", 7));
	assert_false(number_parse(&n, "1 ", 7));
	assert_false(number_parse(&n, "0x1", 7));
	assert_int_equal(n, 7);
}

static void families(void **state)
{
	(void)state;
	assert_int_equal(family_index(AF_INET), V4);
	assert_int_equal(family_index(AF_INET6), V6);
	assert_int_equal(family_of(V4), AF_INET);
	assert_int_equal(family_of(V6), AF_INET6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests),
		cmocka_unit_test(releases),
		cmocka_unit_test(requests_refused),
		cmocka_unit_test(requests_unfinished),
		cmocka_unit_test(nul_anywhere),
		cmocka_unit_test(long_lines),
		cmocka_unit_test(long_requests),
		cmocka_unit_test(several_in_one_buffer),
		cmocka_unit_test(responses),
		cmocka_unit_test(responses_refused),
		cmocka_unit_test(responses_to_a_release),
		cmocka_unit_test(errmsg_is_harmless),
		cmocka_unit_test(long_responses),
		cmocka_unit_test(what_follows_a_response_is_left),
		cmocka_unit_test(requests_written),
		cmocka_unit_test(responses_written),
		cmocka_unit_test(the_longest_that_we_write),
		cmocka_unit_test(what_we_write_we_read),
		cmocka_unit_test(wants_read_and_written),
		cmocka_unit_test(options_read_and_written),
		cmocka_unit_test(options_malformed),
		cmocka_unit_test(options_that_nobody_can_have_read),
		cmocka_unit_test(more_options_than_there_is_room_for),
		cmocka_unit_test(numbers),
		cmocka_unit_test(families),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
