/* SPDX-License-Identifier: MIT */
/*
 * Reads the [Peer] sections of a file in wg's configuration format, line by line. Of their keys
 * this implementation knows PublicKey and AllowedIPs; it has no [Interface] sections.
 */

#ifndef CONFIG_H
#define CONFIG_H

#include <stdbool.h>

struct wgallowedip;
struct wgdevice;
struct wgpeer;

/* Where a reading stands. Owns device until config_read_finish() or a line that fails. */
struct config_ctx {
	struct wgdevice *device;
	struct wgpeer *last_peer;
	struct wgallowedip *last_allowedip;
	bool is_peer_section, is_device_section;
};

/*
 * Begins a reading. The device will add to what exists (append), or say that it replaces all.
 * False with a line on stderr when out of memory; then there is nothing to free.
 */
bool config_read_init(struct config_ctx *ctx, bool append);

/*
 * Takes one line; blanks and comments (#) are skipped. False with a line on stderr that quotes
 * what is wrong; then the device is freed and the reading over.
 */
bool config_read_line(struct config_ctx *ctx, const char *line);

/*
 * Ends a reading. Returns the device, to be freed with free_wgdevice(), or NULL with a line on
 * stderr (and the device freed) if a peer has no public key.
 */
struct wgdevice *config_read_finish(struct config_ctx *ctx);

#endif
