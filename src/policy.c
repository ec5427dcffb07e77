// SPDX-License-Identifier: MIT
/* The memory file of what is set for each peer, and how it is looked into. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "policy.h"
#include "sealed.h"

/* --- in the monitor --- */

/* The texts, one behind the other, go to their place in the file while the peers are made. */
static int write_texts(const struct settings *settings, struct policy_head *head,
		       struct policy_peer *peers, int fd)
{
	static char text[OPTIONS_TEXT];
	struct options options;
	int ret;

	settings_options(settings, NULL, &options);
	head->len = head->text = options_encode(text, &options, UINT32_MAX);
	ret = sealed_write(fd, text, head->len);
	for (uint32_t i = 0; !ret && i < head->peers; ++i) {
		const struct settings_peer *peer = &settings->peers[i];

		memcpy(peers[i].key, peer->key, KEY_LEN);
		peers[i].len = head->len;
		if (!peer->given)
			continue;
		settings_options(settings, peer, &options);
		peers[i].at = head->text;
		peers[i].len = options_encode(text, &options, UINT32_MAX);
		head->text += peers[i].len;
		ret = sealed_write(fd, text, peers[i].len);
	}
	return ret;
}

int policy_make(const struct settings *settings)
{
	struct policy_head head = {
		.peers = settings->peer_count,
		.reservations = settings->reservation_count,
	};
	size_t peers_size = head.peers * sizeof(struct policy_peer);
	size_t reservations_size = head.reservations * sizeof(struct reservation);
	struct policy_peer *peers = calloc(head.peers + 1, sizeof(*peers));
	int fd = sealed_open("wg-dynamic settings"), ret = peers ? 0 : -ENOMEM;

	if (fd < 0)
		ret = fd;
	if (!ret && lseek(fd, sizeof(head) + peers_size + reservations_size, SEEK_SET) < 0)
		ret = -errno;
	if (!ret)
		ret = write_texts(settings, &head, peers, fd);
	if (!ret && lseek(fd, 0, SEEK_SET) < 0)
		ret = -errno;
	if (!ret)
		ret = sealed_write(fd, &head, sizeof(head));
	if (!ret)
		ret = sealed_write(fd, peers, peers_size);
	if (!ret)
		ret = sealed_write(fd, settings->reservations, reservations_size);
	if (!ret)
		ret = sealed_close(fd);
	free(peers);
	if (ret && fd >= 0)
		close(fd);
	return ret ? ret : fd;
}

/* --- in both halves --- */

int policy_map(struct policy *policy, int fd)
{
	const struct policy_head *head;
	const void *bytes;
	int ret = sealed_map(fd, sizeof(*head), &bytes, &policy->size);

	if (ret)
		return ret;
	policy->head = head = bytes;
	policy->peers = (const struct policy_peer *)(head + 1);
	policy->reservations = (const struct reservation *)(policy->peers + head->peers);
	policy->text = (const char *)(policy->reservations + head->reservations);
	if (policy->text + head->text == (const char *)head + policy->size)
		return 0;
	policy_unmap(policy);
	return -EPROTO;
}

void policy_unmap(struct policy *policy)
{
	if (policy->head)
		munmap((void *)policy->head, policy->size);
	memset(policy, 0, sizeof(*policy));
}

static int find_peer(const void *key, const void *peer)
{
	return memcmp(key, ((const struct policy_peer *)peer)->key, KEY_LEN);
}

static int find_reservation(const void *ip, const void *reservation)
{
	return cidr_compare(ip, &((const struct reservation *)reservation)->ip);
}

const char *policy_text(const struct policy *policy, const uint8_t key[static KEY_LEN],
			uint32_t *len, bool *own)
{
	const struct policy_peer *peer;

	*len = 0;
	*own = false;
	if (!policy->head)
		return "";
	peer = bsearch(key, policy->peers, policy->head->peers, sizeof(*peer), find_peer);
	*own = peer;
	*len = peer ? peer->len : policy->head->len;
	return policy->text + (peer ? peer->at : 0);
}

void policy_options(const struct policy *policy, const uint8_t key[static KEY_LEN],
		    struct options *options)
{
	uint32_t len;
	bool own;
	const char *text = policy_text(policy, key, &len, &own);

	memset(options, 0, sizeof(*options));
	settings_decode(options, text, len);
}

bool policy_forbids(const struct policy *policy, const struct cidr *ip,
		    const uint8_t key[static KEY_LEN])
{
	const struct reservation *r;

	if (!policy->head)
		return false;
	r = bsearch(ip, policy->reservations, policy->head->reservations, sizeof(*r),
		    find_reservation);
	return r && memcmp(r->key, key, KEY_LEN);
}
