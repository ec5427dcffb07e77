// SPDX-License-Identifier: MIT
/*
 * Responses of a server: the same comes out however the bytes come, what is taken can be written
 * and read again, and the client's life goes on with a lease that can be.
 */

#include "fuzz.h"
#include "lifecycle.h"
#include "protocol.h"

enum { EXPECT_LEASE = 1 << 7, NO_OPTIONS = 1 << 6, NOW = 1000000 };

struct outcome {
	struct response response;
	struct options options;
	enum decoded decoded;
	size_t used;
};

static void read_all(struct outcome *o, struct pieces pieces, uint8_t mode)
{
	struct lines lines = { 0 };
	size_t len, used;
	char *piece;

	memset(o, 0, sizeof(*o));
	o->response.options = mode & NO_OPTIONS ? NULL : &o->options;
	o->response.want = mode & NO_OPTIONS ? 0 : mode & (WANT_ROUTE | WANT_DNS | WANT_MTU);
	do {
		piece = pieces_next(&pieces, SIZE_MAX, &len);
		o->decoded = response_decode(&o->response, &lines, mode & EXPECT_LEASE, piece, len,
					     &used);
		must(used <= len && lines.len < PROTOCOL_LINE);
		must(o->decoded != DECODED_MORE || lines.total <= PROTOCOL_RESPONSE);
		must(o->decoded != DECODED_UNSUPPORTED);
		o->used += used;
		free(piece);
	} while (len && o->decoded == DECODED_MORE);
	must(options_valid(&o->options));
	must(memchr(o->response.errmsg, '\0', ERRMSG_LEN));
	must(is_printable(o->response.errmsg, strlen(o->response.errmsg)));
}

static void check_again(const struct outcome *o, uint8_t mode)
{
	const struct request request = { .extended = true, .want = o->response.want };
	const struct response *r = &o->response;
	char text[PROTOCOL_ENCODED];
	struct outcome again;
	size_t len = response_encode(text, r, &request);

	must(len <= sizeof(text));
	/* Without a lease time no start of the lease is written, which only such may lack. */
	if (!r->lease_time)
		must(!(mode & EXPECT_LEASE) || r->status || !r->ip[V4].family);
	read_all(&again, (struct pieces){ (uint8_t *)text, len, 0 }, mode);
	must(again.decoded == DECODED_WHOLE && again.used == len);
	must(again.response.status == r->status && again.response.lease_time == r->lease_time);
	must(!r->lease_time || again.response.lease_start == r->lease_start);
	must(again.response.renew == r->renew && again.response.retry == r->retry);
	must(!memcmp(again.response.ip, r->ip, sizeof(r->ip)));
	must(options_equal(&again.options, &o->options));
}

/* What a client makes of it, which has asked for a lease. */
static void live(const struct outcome *o, uint64_t wall)
{
	struct lifecycle_event event = { .type = EVENT_START, .up = true };
	struct lifecycle_actions actions;
	static struct lifecycle l;

	lifecycle_init(&l, 1, o->response.want);
	lifecycle_event(&l, NOW, &event, &actions);
	must(actions.ask);
	event.type = EVENT_CONNECTED;
	lifecycle_event(&l, NOW, &event, &actions);
	event = (struct lifecycle_event){
		.type = EVENT_RESPONSE,
		.response = &o->response,
		.wall = wall,
	};
	lifecycle_event(&l, NOW + 1, &event, &actions);
	must(!actions.set || lifecycle_lease_valid(&l.lease, NOW + 1));
	must(lifecycle_holds(&l) == (l.state == LIFECYCLE_BOUND));
	must(lifecycle_deadline(&l) > NOW);
	for (int v = V4; v < FAMILIES; ++v)
		must(!l.lease.ip[v].family ||
		     (cidr_is_host(&l.lease.ip[v]) && cidr_is_assignable(&l.lease.ip[v])));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct outcome whole, pieces;
	struct input input = { data, len };
	uint8_t seed = input_byte(&input), mode = input_byte(&input);

	read_all(&whole, (struct pieces){ input.data, input.len, 0 }, mode);
	read_all(&pieces, (struct pieces){ input.data, input.len, seed }, mode);
	must(whole.decoded == pieces.decoded && whole.used == pieces.used);
	must(!memcmp(&whole.options, &pieces.options, sizeof(whole.options)));
	whole.response.options = pieces.response.options = &whole.options;
	must(!memcmp(&whole.response, &pieces.response, sizeof(whole.response)));
	if (whole.decoded != DECODED_WHOLE)
		return 0;
	check_again(&whole, mode);
	if (mode & EXPECT_LEASE)
		live(&whole, whole.response.lease_start * UINT64_C(1000));
	return 0;
}
