// SPDX-License-Identifier: MIT
/*
 * Decoding is a line splitter that never looks at what a line means, and one function for each
 * kind of message that never looks at bytes. Both take hostile input: the length is checked
 * before the byte.
 */

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "protocol.h"
#include "text.h"

enum line { LINE_MORE, LINE_PAIR, LINE_BLANK, LINE_BAD };

/* Bits of `seen', for keys that may come once. */
enum {
	SEEN_LEASESTART = 1 << 0,
	SEEN_LEASETIME = 1 << 1,
	SEEN_WANT = 1 << 2,
	SEEN_ERRNO = 1 << 3,
	SEEN_ERRMSG = 1 << 4,
	SEEN_RENEW = 1 << 5,
	SEEN_RETRY = 1 << 6,
	SEEN_IP = 1 << 7, /* and the next, for the other family */
};

int family_index(uint8_t family)
{
	return family == AF_INET6 ? V6 : V4;
}

uint8_t family_of(int index)
{
	return index == V6 ? AF_INET6 : AF_INET;
}

const char *status_message(enum status status)
{
	switch (status) {
	case STATUS_INVALID:
		return "Invalid request";
	case STATUS_UNSUPPORTED:
		return "Unsupported protocol";
	case STATUS_UNAVAILABLE:
		return "Chosen IP(s) unavailable";
	case STATUS_LATER:
		return "Try again later";
	case STATUS_OK:
		break;
	}
	return "";
}

bool number_parse(uint32_t *number, const char *text, uint32_t max)
{
	uint64_t value = 0;

	if (!*text)
		return false;
	for (; *text; ++text) {
		if (*text < '0' || *text > '9')
			return false;
		value = value * 10 + (*text - '0');
		if (value > max)
			return false;
	}
	*number = value;
	return true;
}

/*
 * Takes bytes up to the end of a line. At LINE_PAIR key and value point into lines->line, each
 * ended by a NUL, until the next call.
 */
static enum line line_next(struct lines *lines, uint32_t limit, const char *data, size_t len,
			   size_t *used, char **key, char **value)
{
	const char *text = data + *used, *end = memchr(text, '\n', len - *used), *nul;
	size_t taken = end ? (size_t)(end - text) : len - *used;
	/* The last place in the buffer is the newline's. */
	size_t room = sizeof(lines->line) - 1 - lines->len, left = limit - lines->total;
	size_t most = room < left ? room : left;

	nul = memchr(text, '\0', taken < most ? taken : most);
	if (nul || taken > most || (end && taken == left)) {
		*used += (nul ? (size_t)(nul - text) : most) + 1;
		return LINE_BAD;
	}
	memcpy(lines->line + lines->len, text, taken);
	lines->len += taken;
	lines->total += taken + (end != NULL);
	*used += taken + (end != NULL);
	if (!end)
		return LINE_MORE;
	if (!lines->len) {
		lines->total = 0;
		return LINE_BLANK;
	}
	lines->line[lines->len] = '\0';
	lines->len = 0;
	*key = lines->line;
	*value = strchr(lines->line, '=');
	if (!*value || *value == *key)
		return LINE_BAD;
	*(*value)++ = '\0';
	return LINE_PAIR;
}

/* Notes that a key has come; false if it had come before. */
static bool once(uint32_t *seen, uint32_t bit)
{
	bool first = !(*seen & bit);

	*seen |= bit;
	return first;
}

static bool once_number(uint32_t *seen, uint32_t bit, uint32_t *number, const char *value)
{
	return once(seen, bit) && number_parse(number, value, UINT32_MAX);
}

static enum decoded command_decode(struct request *request, const char *key, const char *value)
{
	uint32_t version;

	if (!strcmp(key, "request_ip"))
		request->command = COMMAND_REQUEST_IP;
	else if (!strcmp(key, "release_ip"))
		request->command = COMMAND_RELEASE_IP;
	else
		return DECODED_UNSUPPORTED;
	if (!number_parse(&version, value, UINT32_MAX))
		return DECODED_INVALID;
	return version == 1 ? DECODED_MORE : DECODED_UNSUPPORTED;
}

static bool wish_decode(struct request *request, const char *value)
{
	static const char *const all[FAMILIES] = { "0.0.0.0/32", "::/128" };
	static const uint8_t any[16];
	struct cidr ip;
	int v;

	/* What nearly every request has needs no parser. */
	for (v = V4; v < FAMILIES; ++v) {
		if (!strcmp(value, all[v])) {
			request->listed = true;
			request->wish[v] = WISH_ANY;
			cidr_host(&request->ip[v], family_of(v), any);
			return once(&request->seen, SEEN_IP << v);
		}
	}
	if (!cidr_parse(&ip, value, strlen(value)) || !cidr_is_host(&ip))
		return false;
	v = family_index(ip.family);
	if (!once(&request->seen, SEEN_IP << v))
		return false;
	request->listed = true;
	request->wish[v] = memcmp(ip.ip, any, sizeof(any)) ? WISH_THIS : WISH_ANY;
	request->ip[v] = ip;
	return true;
}

static void want_decode(struct request *request, const char *words)
{
	size_t len;

	for (;; words += len + 1) {
		len = strcspn(words, ",");
		request->want |= want_bit(words, len);
		if (!words[len])
			return;
	}
}

/* A key behind the command. */
static bool request_key(struct request *request, const char *key, const char *value)
{
	uint32_t ignored;

	if (!strcmp(key, "request_ip") || !strcmp(key, "release_ip"))
		return false;
	if (request->command != COMMAND_REQUEST_IP)
		return true;
	if (!strcmp(key, "ip"))
		return wish_decode(request, value);
	if (!strcmp(key, "leasetime"))
		return once_number(&request->seen, SEEN_LEASETIME, &request->lease_time, value);
	if (!strcmp(key, "leasestart"))
		return once_number(&request->seen, SEEN_LEASESTART, &ignored, value);
	if (!strcmp(key, "want")) {
		request->extended = true;
		want_decode(request, value);
		return once(&request->seen, SEEN_WANT);
	}
	return true;
}

enum decoded request_decode(struct request *request, struct lines *lines, const char *data,
			    size_t len, size_t *used)
{
	enum decoded decoded;
	char *key, *value;

	*used = 0;
	for (;;) {
		switch (line_next(lines, PROTOCOL_REQUEST, data, len, used, &key, &value)) {
		case LINE_MORE:
			return DECODED_MORE;
		case LINE_BAD:
			return DECODED_INVALID;
		case LINE_BLANK:
			if (request->command == COMMAND_NONE)
				return DECODED_INVALID;
			if (!request->listed)
				request->wish[V4] = request->wish[V6] = WISH_ANY;
			return DECODED_WHOLE;
		case LINE_PAIR:
			break;
		}
		if (request->command == COMMAND_NONE) {
			decoded = command_decode(request, key, value);
			if (decoded != DECODED_MORE)
				return decoded;
		} else if (!request_key(request, key, value)) {
			return DECODED_INVALID;
		}
	}
}

/* A server's text goes to logs: what isn't printable ASCII becomes a question mark. */
static void errmsg_copy(char errmsg[static ERRMSG_LEN], const char *value)
{
	size_t i;

	for (i = 0; i < ERRMSG_LEN - 1 && value[i]; ++i)
		errmsg[i] = value[i] >= ' ' && value[i] <= '~' ? value[i] : '?';
	errmsg[i] = '\0';
}

static bool option_decode(struct options *options, const char *key, const char *value)
{
	int ret = options_add(options, key, value);

	return !ret || ret == -ENOSPC; /* none of its kind is taken then */
}

static bool response_key(struct response *r, const char *key, const char *value)
{
	uint32_t number, bit;
	struct cidr ip;

	if (!strcmp(key, "ip")) {
		if (!cidr_parse(&ip, value, strlen(value)))
			return false;
		r->ip[family_index(ip.family)] = ip;
		return once(&r->seen, SEEN_IP << family_index(ip.family));
	}
	if (!strcmp(key, "leasestart"))
		return once_number(&r->seen, SEEN_LEASESTART, &r->lease_start, value);
	if (!strcmp(key, "leasetime"))
		return once_number(&r->seen, SEEN_LEASETIME, &r->lease_time, value);
	if (!strcmp(key, "renew"))
		return once_number(&r->seen, SEEN_RENEW, &r->renew, value);
	if (!strcmp(key, "retry"))
		return once_number(&r->seen, SEEN_RETRY, &r->retry, value);
	if (!strcmp(key, "errno")) {
		if (!once_number(&r->seen, SEEN_ERRNO, &number, value))
			return false;
		/* A number of a later version is a refusal like any other: errmsg tells. */
		r->status = number <= STATUS_LATER ? (enum status)number : STATUS_LATER;
		return true;
	}
	if (!strcmp(key, "errmsg")) {
		errmsg_copy(r->errmsg, value);
		return once(&r->seen, SEEN_ERRMSG);
	}
	bit = options_bit(key);
	if (bit & r->want)
		return option_decode(r->options, key, value);
	r->unasked |= bit;
	return true;
}

static bool response_valid(const struct response *r, bool expect_lease)
{
	bool address = r->ip[V4].family || r->ip[V6].family;

	if (!expect_lease || (r->status != STATUS_OK && r->status != STATUS_UNAVAILABLE))
		return true;
	if (!address)
		return r->status == STATUS_UNAVAILABLE;
	return (r->seen & SEEN_LEASESTART) && r->lease_time >= 1 &&
	       r->lease_time <= LEASE_TIME_MAX;
}

enum decoded response_decode(struct response *response, struct lines *lines, bool expect_lease,
			     const char *data, size_t len, size_t *used)
{
	char *key, *value;

	*used = 0;
	for (;;) {
		switch (line_next(lines, PROTOCOL_RESPONSE, data, len, used, &key, &value)) {
		case LINE_MORE:
			return DECODED_MORE;
		case LINE_BLANK:
			return response_valid(response, expect_lease) ? DECODED_WHOLE :
									DECODED_INVALID;
		case LINE_PAIR:
			if (response_key(response, key, value))
				break;
			/* fall through */
		case LINE_BAD:
			return DECODED_INVALID;
		}
	}
}

/* Appends to a buffer that is known to be large enough for all that can come. */
static char *put(char *at, const char *key, const char *value)
{
	at = text_put(at, key);
	*at++ = '=';
	at = text_put(at, value);
	*at++ = '\n';
	return at;
}

static char *put_number(char *at, const char *key, uint32_t number)
{
	at = text_put(at, key);
	*at++ = '=';
	at = text_number(at, number);
	*at++ = '\n';
	return at;
}

static char *put_ip(char *at, const struct cidr *ip)
{
	at = cidr_put(text_put(at, "ip="), ip);
	*at++ = '\n';
	return at;
}

static char *put_want(char *at, uint32_t want)
{
	at = text_put(at, "want=");
	for (; want_word(want); want &= want - 1) {
		at = text_put(at, want_word(want));
		if (want_word(want & (want - 1)))
			*at++ = ',';
	}
	*at++ = '\n';
	return at;
}

size_t request_encode(char buf[static PROTOCOL_ENCODED], const struct request *request)
{
	char *at = buf;

	if (request->command == COMMAND_RELEASE_IP) {
		at = put_number(at, "release_ip", 1);
	} else {
		at = put_number(at, "request_ip", 1);
		if (request->wish[V4] == WISH_ANY)
			at = put(at, "ip", "0.0.0.0/32");
		if (request->wish[V4] == WISH_THIS)
			at = put_ip(at, &request->ip[V4]);
		if (request->wish[V6] == WISH_ANY)
			at = put(at, "ip", "::/128");
		if (request->wish[V6] == WISH_THIS)
			at = put_ip(at, &request->ip[V6]);
		if (request->lease_time)
			at = put_number(at, "leasetime", request->lease_time);
		if (request->extended)
			at = put_want(at, request->want);
	}
	*at++ = '\n';
	return at - buf;
}

size_t response_encode(char buf[static PROTOCOL_ENCODED], const struct response *response,
		       const struct request *request)
{
	char *at = buf;

	for (int v = V4; v < FAMILIES; ++v) {
		if (response->ip[v].family)
			at = put_ip(at, &response->ip[v]);
	}
	if (response->lease_time) {
		at = put_number(at, "leasestart", response->lease_start);
		at = put_number(at, "leasetime", response->lease_time);
	}
	if (request->extended && response->renew)
		at = put_number(at, "renew", response->renew);
	if (request->extended && response->retry)
		at = put_number(at, "retry", response->retry);
	if (response->options)
		at += options_encode(at, response->options, request->want);
	at = put_number(at, "errno", response->status);
	if (response->status)
		at = put(at, "errmsg", status_message(response->status));
	*at++ = '\n';
	return at - buf;
}
