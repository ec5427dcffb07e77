// SPDX-License-Identifier: MIT
/* Readings and changes of the device; ipc.h decides whether it is the kernel's or userspace's. */

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "containers.h"
#include "device.h"
#include "ipc.h"
#include "net.h"
#include "sandbox.h"
#include "sealed.h"

/* Says what it is to whoever finds it in `wg show'; no private key belongs to it. */
static const uint8_t throw_away_key[KEY_LEN] = "wg-dynamic takes back addresses.";

/* --- in the child --- */

struct builder {
	struct device_head head;
	struct device_peer *peers;
	struct device_ip *ips;
	size_t room; /* of ips */
};

static bool add_ip(struct builder *b, const struct cidr *cidr, uint32_t peer)
{
	struct device_ip *ip;

	if (b->head.ips == b->room) {
		b->room = b->room ? 2 * b->room : 64;
		ip = reallocarray(b->ips, b->room, sizeof(*ip));
		if (!ip)
			return false;
		b->ips = ip;
	}
	ip = &b->ips[b->head.ips++];
	*ip = (struct device_ip){ .cidr = *cidr, .peer = peer };
	cidr_mask(&ip->cidr);
	return true;
}

static bool add_own(const struct net_address *address, void *data)
{
	struct cidr host;

	cidr_host(&host, address->cidr.family, address->cidr.ip);
	return add_ip(data, &host, DEVICE_SELF);
}

static int peer_compare(const void *a, const void *b)
{
	return memcmp((*(struct wgpeer *const *)a)->public_key,
		      (*(struct wgpeer *const *)b)->public_key, KEY_LEN);
}

static int ip_compare(const void *a, const void *b)
{
	return cidr_compare(&((const struct device_ip *)a)->cidr,
			    &((const struct device_ip *)b)->cidr);
}

static void endpoint_of(struct cidr *endpoint, const struct wgpeer *peer)
{
	if (peer->endpoint.addr.sa_family == AF_INET)
		cidr_host(endpoint, AF_INET, &peer->endpoint.addr4.sin_addr);
	else if (peer->endpoint.addr.sa_family == AF_INET6)
		cidr_host(endpoint, AF_INET6, &peer->endpoint.addr6.sin6_addr);
}

/* The seconds since that time. The clock may have been set back meanwhile. */
static uint32_t age(int64_t when)
{
	int64_t now = time(NULL);

	if (!when || now - when >= UINT32_MAX)
		return UINT32_MAX;
	return now > when ? now - when : 0;
}

static bool add_peers(struct builder *b, struct wgpeer **sorted)
{
	struct device_peer *peer;
	struct wgallowedip *ip;
	struct cidr cidr;

	for (uint32_t i = 0; i < b->head.peers; ++i) {
		peer = &b->peers[i];
		memcpy(peer->key, sorted[i]->public_key, KEY_LEN);
		peer->handshake = age(sorted[i]->last_handshake_time.tv_sec);
		peer->first = b->head.ips;
		endpoint_of(&peer->endpoint, sorted[i]);
		for_each_wgallowedip(sorted[i], ip) {
			if (!family_bits(ip->family) || ip->cidr > family_bits(ip->family))
				continue;
			cidr_host(&cidr, ip->family, &ip->ip6);
			cidr.prefix = ip->cidr;
			if (!add_ip(b, &cidr, i))
				return false;
		}
		peer->count = b->head.ips - peer->first;
		if (b->ips)
			qsort(b->ips + peer->first, peer->count, sizeof(*b->ips), ip_compare);
	}
	return true;
}

static int build(struct builder *b, struct wgdevice *device)
{
	struct wgpeer *peer, **sorted;
	uint32_t i = 0;
	bool whole;

	for_each_wgpeer(device, peer)
		++b->head.peers;
	sorted = calloc(b->head.peers + 1, sizeof(*sorted));
	b->peers = calloc(b->head.peers + 1, sizeof(*b->peers));
	if (!sorted || !b->peers)
		return ENOMEM;
	for_each_wgpeer(device, peer)
		sorted[i++] = peer;
	qsort(sorted, b->head.peers, sizeof(*sorted), peer_compare);
	whole = add_peers(b, sorted);
	free(sorted);
	if (!whole)
		return ENOMEM;
	return -net_addresses(add_own, b);
}

static int read_into(const char *name, int fd)
{
	struct builder b = { 0 };
	struct wgdevice *device;
	int ret;

	ret = -ipc_get_device(&device, name);
	if (ret)
		return ret;
	b.head.mark = device->fwmark;
	ret = build(&b, device);
	/* Nothing is freed: the process ends. */
	return ret ? ret : -reading_write(fd, &b.head, b.peers, b.ips);
}

static int reader(const char *name, int fd)
{
	const int only = STDERR_FILENO + 1;
	sigset_t all;

	/* The monitor's signals are not for us: the default ends us with it. */
	sigfillset(&all);
	sigprocmask(SIG_UNBLOCK, &all, NULL);
	/* Nor are its files: the lock of a journal ends with the monitor. */
	if (fd != only && dup2(fd, only) < 0)
		return errno;
	sandbox_close_from(only + 1);
	return read_into(name, only);
}

/* --- in the monitor --- */

pid_t device_read(const char *name, int *fd)
{
	pid_t pid;
	int ret;

	*fd = sealed_open("wg-dynamic device");
	if (*fd < 0)
		return *fd;
	pid = fork();
	if (!pid)
		_exit(reader(name, *fd));
	if (pid < 0) {
		ret = -errno;
		close(*fd);
		return ret;
	}
	return pid;
}

static int change(const char *name, struct wgpeer *peers)
{
	struct wgdevice device = { .first_peer = peers };

	strncpy(device.name, name, sizeof(device.name) - 1);
	return ipc_set_device(&device);
}

static void ip_fill(struct wgallowedip *ip, const struct cidr *cidr)
{
	ip->family = cidr->family;
	ip->cidr = cidr->prefix;
	memcpy(&ip->ip6, cidr->ip, family_bits(cidr->family) / 8);
}

int device_allow(const char *name, const struct device_change *changes, size_t count)
{
	struct wgallowedip ips[DEVICE_BATCH];
	struct wgpeer peers[DEVICE_BATCH]; /* large: only what is needed is zeroed */
	size_t last = 0;

	for (size_t i = 0; i < count; ++i) {
		ips[i] = (struct wgallowedip){ 0 };
		ip_fill(&ips[i], &changes[i].ip);
		/* Both addresses of a peer come one after the other: one entry for both. */
		if (i && !memcmp(changes[i].key, changes[i - 1].key, KEY_LEN)) {
			ips[i - 1].next_allowedip = &ips[i];
		} else {
			last += i > 0;
			peers[last] = (struct wgpeer){
				.flags = WGPEER_HAS_PUBLIC_KEY | WGPEER_UPDATE_ONLY,
				.first_allowedip = &ips[i],
			};
			memcpy(peers[last].public_key, changes[i].key, KEY_LEN);
			if (last)
				peers[last - 1].next_peer = &peers[last];
		}
		peers[last].last_allowedip = &ips[i];
	}
	return count ? change(name, peers) : 0;
}

int device_take(const char *name, const struct device_change *changes, size_t count)
{
	struct wgallowedip ips[DEVICE_BATCH] = { 0 };
	struct wgpeer gone = { .flags = WGPEER_HAS_PUBLIC_KEY | WGPEER_REMOVE_ME };
	struct wgpeer taker = {
		.flags = WGPEER_HAS_PUBLIC_KEY,
		.first_allowedip = ips,
		.next_peer = &gone,
	};

	if (!count)
		return 0;
	memcpy(taker.public_key, throw_away_key, KEY_LEN);
	memcpy(gone.public_key, throw_away_key, KEY_LEN);
	for (size_t i = 0; i < count; ++i) {
		ip_fill(&ips[i], &changes[i].ip);
		if (i)
			ips[i - 1].next_allowedip = &ips[i];
	}
	taker.last_allowedip = &ips[count - 1];
	return change(name, &taker);
}

int device_sweep(const char *name)
{
	struct wgpeer gone = { .flags = WGPEER_HAS_PUBLIC_KEY | WGPEER_REMOVE_ME };

	memcpy(gone.public_key, throw_away_key, KEY_LEN);
	return change(name, &gone);
}

int device_mark(const char *name, uint32_t mark)
{
	struct wgdevice device = { .flags = WGDEVICE_HAS_FWMARK, .fwmark = mark };

	strncpy(device.name, name, sizeof(device.name) - 1);
	return ipc_set_device(&device);
}
