// SPDX-License-Identifier: MIT
/*
 * Answers of a userspace device: the same device comes out however the bytes come, and what is
 * written of it is read as the same. (Its source is part of this one, so that recv() is ours.)
 */

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"

static ssize_t fake_recv(int fd, void *buf, size_t size, int flags);
static ssize_t fake_send(int fd, const void *buf, size_t len, int flags);

#define recv fake_recv
#define send fake_send
#include "../../src/compat/ipc-uapi.c"
#undef recv
#undef send

static struct pieces answer;

static ssize_t fake_recv(int fd, void *buf, size_t size, int flags)
{
	size_t len;
	char *piece;

	must(fd == -1 && !flags && size);
	piece = pieces_next(&answer, size, &len);
	if (len)
		memcpy(buf, piece, len);
	free(piece);
	return len;
}

static ssize_t fake_send(int fd, const void *buf, size_t len, int flags)
{
	(void)buf;
	must(fd == -1 && flags == MSG_NOSIGNAL);
	return len;
}

static void check_device(const struct wgdevice *dev)
{
	const struct wgallowedip *ip;
	const struct wgpeer *peer;

	must(dev->name[sizeof(dev->name) - 1] == '\0');
	for_each_wgpeer(dev, peer) {
		must(peer->flags & WGPEER_HAS_PUBLIC_KEY);
		must(peer->next_peer || peer == dev->last_peer);
		for_each_wgallowedip(peer, ip)
			must(ip->family == AF_INET ? ip->cidr <= 32 :
						     ip->family == AF_INET6 && ip->cidr <= 128);
	}
}

/* The device's text, as a request would have it, or NULL when the answer is none. */
static char *read_text(const uint8_t *data, size_t len, uint8_t seed, size_t *text_len, int *ret)
{
	struct wgdevice *dev = (void *)1;
	char *text, *end;

	answer = (struct pieces){ data, len, seed };
	*ret = uapi_get_device(&dev, "wg0", -1);
	must(*ret ? !dev && *ret < 0 : dev != NULL);
	if (*ret)
		return NULL;
	check_device(dev);
	text = malloc(uapi_device_room(dev) + sizeof("errno=0\n\n"));
	must(text);
	end = uapi_write_device(text, dev);
	must((size_t)(end - text) <= uapi_device_room(dev));
	*text_len = text_put(end, "errno=0\n\n") - text;
	free_wgdevice(dev);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct input input = { data, len };
	uint8_t seed = input_byte(&input);
	char *texts[3];
	size_t lens[3];
	int rets[3];

	texts[0] = read_text(input.data, input.len, 0, &lens[0], &rets[0]);
	texts[1] = read_text(input.data, input.len, seed, &lens[1], &rets[1]);
	must(rets[0] == rets[1]);
	if (texts[0]) {
		texts[2] = read_text((uint8_t *)texts[0], lens[0], seed, &lens[2], &rets[2]);
		for (int i = 1; i < 3; ++i) {
			must(texts[i] && lens[i] == lens[0]);
			must(!memcmp(texts[i], texts[0], lens[0]));
			free(texts[i]);
		}
		free(texts[0]);
	}
	/* The answer to a change is read in the same way, and only its end counts. */
	answer = (struct pieces){ input.data, input.len, seed };
	must(uapi_set_device(&(struct wgdevice){ .name = "wg0" }, -1) <= 0);
	return 0;
}
