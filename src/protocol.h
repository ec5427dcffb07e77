/* SPDX-License-Identifier: MIT */
/*
 * The wire format, version 1 and this project's extensions: grammar, limits, decoding, encoding.
 * Bytes in, structs out, and back; no I/O, no allocation, no clock. wg-dynamic(7) describes it.
 */

#ifndef PROTOCOL_H
#define PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cidr.h"
#include "options.h"

enum {
	PROTOCOL_PORT = 970,
	PROTOCOL_LINE = 4096, /* bytes, the newline included */
	PROTOCOL_REQUEST = 8192, /* bytes of a whole request, its blank line included */
	PROTOCOL_RESPONSE = 1 << 20,
	PROTOCOL_ENCODED = OPTIONS_TEXT + 512, /* enough for any message that we write */
	LEASE_TIME_MIN = 10, /* seconds, the shortest that a client may wish for */
	LEASE_TIME_MAX = 31536000,
	ERRMSG_LEN = 128,
};

/* The protocol's errno. */
enum status {
	STATUS_OK = 0,
	STATUS_INVALID = 1,
	STATUS_UNSUPPORTED = 2,
	STATUS_UNAVAILABLE = 3,
	STATUS_LATER = 4,
};

enum command { COMMAND_NONE, COMMAND_REQUEST_IP, COMMAND_RELEASE_IP };

/* What a client asks for in one family: nothing, any address, or this one. */
enum wish { WISH_NONE, WISH_ANY, WISH_THIS };

/* Index of a family in the arrays below. */
enum { V4, V6, FAMILIES };

struct request {
	enum command command;
	bool listed; /* there was an ip= line; without one, any of each family is meant */
	enum wish wish[FAMILIES];
	struct cidr ip[FAMILIES]; /* where the wish is WISH_THIS */
	uint32_t lease_time; /* seconds, 0: no preference */
	bool extended; /* there was a want= line: renew= and retry= may be sent */
	uint32_t want; /* WANT_..., of those known */
	uint32_t seen; /* which keys have come, by the decoder */
};

struct response {
	enum status status;
	char errmsg[ERRMSG_LEN]; /* printable ASCII, "" for none; whatever the server likes */
	struct cidr ip[FAMILIES]; /* family 0: none; prefix as sent */
	uint32_t lease_start; /* seconds since 1970 UTC */
	uint32_t lease_time; /* seconds, 0: none given */
	uint32_t renew, retry; /* seconds, 0: none given */
	struct options *options; /* what came, or is to be sent; NULL: nothing */
	uint32_t want; /* WANT_...: by the decoder's caller, which of them may come */
	uint32_t unasked; /* WANT_...: by the decoder, which of them came all the same, unread */
	uint32_t seen;
};

/* Splits bytes, however they come, into lines. Zeroed to begin with, and after each message. */
struct lines {
	uint32_t total; /* bytes of this message so far */
	uint32_t len; /* of the line that has begun */
	char line[PROTOCOL_LINE];
};

enum decoded {
	DECODED_MORE, /* all bytes taken, the message goes on */
	DECODED_WHOLE, /* the message is complete */
	DECODED_INVALID, /* malformed: STATUS_INVALID */
	DECODED_UNSUPPORTED, /* command or version not known: STATUS_UNSUPPORTED */
};

/*
 * Takes bytes of a request from data[0..len); *used says how many, and what lies behind a whole
 * message is left. A request starts with both structs zeroed. After DECODED_WHOLE lines is ready
 * for the next message; after an error the connection is of no more use.
 */
enum decoded request_decode(struct request *request, struct lines *lines, const char *data,
			    size_t len, size_t *used);

/*
 * Likewise for the response to a request_ip or, with expect_lease false, to a release_ip; options
 * point to zeroed ones (the caller's) if any are wanted. Whole
 * means also: an errno of 0 or 3 with an address comes with a leasestart and a lease time of 1 to
 * LEASE_TIME_MAX, and without an error a lease has an address. DECODED_UNSUPPORTED does not occur.
 */
enum decoded response_decode(struct response *response, struct lines *lines, bool expect_lease,
			     const char *data, size_t len, size_t *used);

/* Writes the message into buf; returns its length, without a NUL. */
size_t request_encode(char buf[static PROTOCOL_ENCODED], const struct request *request);

/*
 * Likewise, for this request: what it does not want is left out, and so is what is 0 or none. The
 * errmsg is that of the status, the struct's is not read.
 */
size_t response_encode(char buf[static PROTOCOL_ENCODED], const struct response *response,
		       const struct request *request);

/* What to tell people about a status: the errmsg of protocol version 1; "" for STATUS_OK. */
const char *status_message(enum status status);

/* Decimal digits only, at least one, at most max: as every number on the wire. */
bool number_parse(uint32_t *number, const char *text, uint32_t max);

/* The index for an address family, V4 or V6, and back. */
int family_index(uint8_t family);
uint8_t family_of(int index);

#endif
