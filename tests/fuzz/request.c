// SPDX-License-Identifier: MIT
/*
 * Requests of clients: the same comes out however the bytes come, and what is taken can be written
 * and is then read as the same.
 */

#include "fuzz.h"
#include "protocol.h"

enum { REQUESTS = 32 };

/* What a connection brought. */
struct outcome {
	struct request requests[REQUESTS];
	uint32_t count;
	enum decoded last;
};

static void check_limits(const struct lines *lines)
{
	must(lines->len < PROTOCOL_LINE && lines->total <= PROTOCOL_REQUEST);
}

static void check_again(const struct request *request)
{
	char text[PROTOCOL_ENCODED], second[PROTOCOL_ENCODED];
	size_t len = request_encode(text, request), used;
	struct request again = { 0 };
	struct lines lines = { 0 };

	must(len <= sizeof(text));
	must(request_decode(&again, &lines, text, len, &used) == DECODED_WHOLE && used == len);
	must(again.command == request->command);
	must(request_encode(second, &again) == len && !memcmp(text, second, len));
	if (request->command == COMMAND_RELEASE_IP)
		return;
	must(again.extended == request->extended && again.want == request->want);
	must(again.lease_time == request->lease_time);
	for (int v = V4; v < FAMILIES; ++v) {
		must(again.wish[v] == request->wish[v]);
		must(request->wish[v] != WISH_THIS ||
		     !cidr_compare(&again.ip[v], &request->ip[v]));
	}
}

static void check_request(const struct request *request)
{
	must(request->command == COMMAND_REQUEST_IP || request->command == COMMAND_RELEASE_IP);
	for (int v = V4; v < FAMILIES; ++v) {
		must(request->wish[v] <= WISH_THIS);
		must(request->wish[v] != WISH_THIS ||
		     (cidr_is_host(&request->ip[v]) && family_index(request->ip[v].family) == v));
	}
	check_again(request);
}

static void converse(struct outcome *outcome, struct pieces pieces)
{
	struct request request = { 0 };
	struct lines lines = { 0 };
	size_t len, used, at;
	char *piece;

	memset(outcome, 0, sizeof(*outcome));
	while (outcome->last <= DECODED_WHOLE && outcome->count < REQUESTS) {
		piece = pieces_next(&pieces, SIZE_MAX, &len);
		for (at = 0; at < len && outcome->count < REQUESTS; at += used) {
			outcome->last = request_decode(&request, &lines, piece + at, len - at,
						       &used);
			must(used <= len - at);
			if (outcome->last > DECODED_WHOLE)
				break;
			check_limits(&lines);
			if (outcome->last == DECODED_MORE)
				continue;
			check_request(&request);
			outcome->requests[outcome->count++] = request;
			memset(&request, 0, sizeof(request));
		}
		free(piece);
		if (!len)
			return;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct outcome whole, pieces;
	struct input input = { data, len };
	uint8_t seed = input_byte(&input);

	converse(&whole, (struct pieces){ input.data, input.len, 0 });
	converse(&pieces, (struct pieces){ input.data, input.len, seed });
	must(whole.count == pieces.count && whole.last == pieces.last);
	must(!memcmp(whole.requests, pieces.requests, whole.count * sizeof(*whole.requests)));
	return 0;
}
