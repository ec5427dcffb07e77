// SPDX-License-Identifier: MIT
/*
 * Makes and frees the lists of containers.h.
 */

#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "containers.h"

struct wgpeer *add_peer(struct wgdevice *dev)
{
	struct wgpeer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		return NULL;
	if (dev->last_peer)
		dev->last_peer->next_peer = peer;
	else
		dev->first_peer = peer;
	dev->last_peer = peer;
	return peer;
}

struct wgallowedip *add_allowedip(struct wgpeer *peer)
{
	struct wgallowedip *allowedip = calloc(1, sizeof(*allowedip));

	if (!allowedip)
		return NULL;
	if (peer->last_allowedip)
		peer->last_allowedip->next_allowedip = allowedip;
	else
		peer->first_allowedip = allowedip;
	peer->last_allowedip = allowedip;
	return allowedip;
}

static void free_peer(struct wgpeer *peer)
{
	struct wgallowedip *allowedip = peer->first_allowedip, *next;

	for (; allowedip; allowedip = next) {
		next = allowedip->next_allowedip;
		free(allowedip);
	}
	explicit_bzero(peer->preshared_key, sizeof(peer->preshared_key));
	free(peer);
}

void free_wgdevice(struct wgdevice *dev)
{
	struct wgpeer *peer, *next;

	if (!dev)
		return;
	for (peer = dev->first_peer; peer; peer = next) {
		next = peer->next_peer;
		free_peer(peer);
	}
	explicit_bzero(dev->private_key, sizeof(dev->private_key));
	free(dev);
}
