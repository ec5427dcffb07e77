// SPDX-License-Identifier: MIT
/*
 * The make-believe readings and policies of fake_reading.h.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <unistd.h>
#include <cmocka.h>

#include "fake_reading.h"
#include "sealed.h"

enum { PEERS = 64, IPS = 4096 };

static struct {
	struct device_head head;
	struct device_peer peers[PEERS];
	struct device_ip ips[IPS];
} fake;

const uint8_t *fake_key(char name)
{
	static uint8_t keys[128][KEY_LEN];

	memset(keys[(int)name], name, KEY_LEN);
	return keys[(int)name];
}

struct cidr fake_cidr(const char *text)
{
	struct cidr c;

	if (!cidr_parse(&c, text, strlen(text)))
		fail_msg("%s is no address", text);
	return c;
}

static int compare_ips(const void *a, const void *b)
{
	return cidr_compare(&((const struct device_ip *)a)->cidr,
			    &((const struct device_ip *)b)->cidr);
}

static void add_ip(struct cidr cidr, uint32_t peer)
{
	assert_true(fake.head.ips < IPS);
	cidr_mask(&cidr);
	fake.ips[fake.head.ips++] = (struct device_ip){ .cidr = cidr, .peer = peer };
}

/* The part of the text about this peer, if there is one: its allowed-ips. */
static const char *part_of(const char *text, char name)
{
	while (text && *text) {
		text += strspn(text, " ;");
		if (*text == name)
			return text + 1;
		text = strchr(text, ';');
	}
	return NULL;
}

static void add_part(const char *part, uint32_t peer)
{
	uint32_t first = fake.head.ips;
	char word[CIDR_STRLEN];

	while (part += strspn(part, " "), *part != ';') {
		assert_int_equal(sscanf(part, "%49[^ ;]", word), 1);
		add_ip(fake_cidr(word), peer);
		part += strlen(word);
	}
	qsort(fake.ips + first, fake.head.ips - first, sizeof(*fake.ips), compare_ips);
}

struct reading fake_reading(const char *text)
{
	int fd = sealed_open("reading");
	struct reading reading = { 0 };
	const char *part;

	memset(&fake, 0, sizeof(fake));
	/* Sorted by key, the host last. */
	for (char name = 'A'; name <= 'z'; ++name) {
		part = part_of(text, name);
		if (!part)
			continue;
		assert_true(fake.head.peers < PEERS);
		memcpy(fake.peers[fake.head.peers].key, fake_key(name), KEY_LEN);
		fake.peers[fake.head.peers].first = fake.head.ips;
		add_part(part, fake.head.peers);
		fake.peers[fake.head.peers].count =
			fake.head.ips - fake.peers[fake.head.peers].first;
		++fake.head.peers;
	}
	part = part_of(text, '*');
	if (part)
		add_part(part, DEVICE_SELF);

	assert_true(fd >= 0);
	assert_int_equal(reading_write(fd, &fake.head, fake.peers, fake.ips), 0);
	assert_int_equal(reading_map(&reading, fd), 0);
	close(fd);
	return reading;
}

static int compare_reservations(const void *a, const void *b)
{
	return cidr_compare(&((const struct reservation *)a)->ip,
			    &((const struct reservation *)b)->ip);
}

struct policy fake_policy(const char *text)
{
	struct reservation list[PEERS] = { 0 };
	struct settings settings = { .reservations = list };
	struct policy policy = { 0 };
	char word[CIDR_STRLEN];
	const char *part;
	int fd;

	for (char name = 'A'; name <= 'z'; ++name) {
		for (part = part_of(text, name); part && *part != ';';) {
			struct reservation *r = &list[settings.reservation_count++];

			part += strspn(part, " ");
			assert_int_equal(sscanf(part, "%49[^ ;]", word), 1);
			part += strlen(word);
			memcpy(r->key, fake_key(name), KEY_LEN);
			r->ip = fake_cidr(word);
		}
	}
	qsort(list, settings.reservation_count, sizeof(*list), compare_reservations);
	fd = policy_make(&settings);
	assert_true(fd >= 0);
	assert_int_equal(policy_map(&policy, fd), 0);
	close(fd);
	return policy;
}
