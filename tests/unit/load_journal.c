// SPDX-License-Identifier: MIT
/*
 * Loads journals just as the server's engine does, one after the other: for tests that have
 * thousands of them. The argument is the id of the boot that it is. On standard input: the length
 * of each, four bytes in native order, and its bytes. On standard output for each: the line
 * `KEY IP4 IP6 END' of each lease that is held, with `-' for an address that is not, and the end in
 * ms of the clock since boot; then `ok DROPPED-LINES', or `refused REASON LINE'.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "containers.h"
#include "encoding.h"
#include "engine.h"

static void print_lease(const struct lease *lease)
{
	char key[WG_KEY_LEN_BASE64], text[FAMILIES][CIDR_STRLEN] = { "-", "-" };
	struct cidr ip;

	if (!lease_holds(lease, FAMILIES))
		return;
	key_to_base64(key, lease->key);
	for (int v = V4; v < FAMILIES; ++v) {
		if (lease_holds(lease, v) && lease_ip(lease, v, &ip))
			cidr_format_ip(text[v], &ip);
	}
	printf("%s %s %s %llu\n", key, text[V4], text[V6], (unsigned long long)lease->expires);
}

static void load(int fd, const char *boot_id)
{
	static struct server server;
	const struct server_log_item *item = server.log.items;
	uint32_t dropped = 0;

	memset(&server, 0, sizeof(server));
	strcpy(server.interface, "wg0");
	snprintf(server.place.boot_id, sizeof(server.place.boot_id), "%s", boot_id);
	server.journal.fd = fd;
	server.fresh.fd = server.old = -1;
	leases_open(&server.leases, &server.pools, server.secret);
	if (!store_load(&server)) {
		printf("refused %u %u\n", item->reason, item->number);
	} else {
		for (uint32_t i = 0; i < server.leases.count; ++i)
			print_lease(&server.leases.list[i]);
		for (uint32_t i = 0; i < server.log.head.count; ++i)
			dropped += item[i].event == EVENT_JOURNAL_CUT ? item[i].number : 0;
		printf("ok %u\n", dropped);
	}
	fflush(stdout);
	leases_close(&server.leases);
	free(server.journal.buf);
}

int main(int argc, char *argv[])
{
	static char buf[1 << 24];
	int fd = memfd_create("journal", 0);
	uint32_t len;

	while (argc == 2 && fd >= 0 && fread(&len, sizeof(len), 1, stdin) == 1) {
		if (len > sizeof(buf) || fread(buf, 1, len, stdin) != len ||
		    ftruncate(fd, 0) < 0 || pwrite(fd, buf, len, 0) != (ssize_t)len)
			return 1;
		load(fd, argv[1]);
	}
	return 0;
}
