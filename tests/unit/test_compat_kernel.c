// SPDX-License-Identifier: MIT
/*
 * src/compat: devices of the kernel, which is played by fake_mnl.c. There must be no socket of a
 * userspace program for wg0 in RUNSTATEDIR.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <linux/genetlink.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <cmocka.h>

#include "backend.h"
#include "containers.h"
#include "fake_mnl.h"
#include "ipc.h"

static struct nlmsghdr *queue_device(uint16_t flags)
{
	struct nlmsghdr *header = fake_answer(FAKE_FAMILY, NLM_F_MULTI | flags);

	mnl_nlmsg_put_extra_header(header, sizeof(struct genlmsghdr));
	mnl_attr_put_strz(header, WGDEVICE_A_IFNAME, "wg0");
	return header;
}

static void put_key(struct nlmsghdr *header, uint16_t type, uint8_t fill)
{
	uint8_t key[WG_KEY_LEN];

	memset(key, fill, sizeof(key));
	mnl_attr_put(header, type, sizeof(key), key);
}

static void put_allowedip(struct nlmsghdr *header, uint16_t family, size_t len, uint8_t last,
			  uint8_t cidr)
{
	struct nlattr *nest = mnl_attr_nest_start(header, 0);
	uint8_t ip[32] = { 0 };

	ip[len - 1] = last;
	mnl_attr_put_u16(header, WGALLOWEDIP_A_FAMILY, family);
	mnl_attr_put(header, WGALLOWEDIP_A_IPADDR, len, ip);
	mnl_attr_put_u8(header, WGALLOWEDIP_A_CIDR_MASK, cidr);
	mnl_attr_nest_end(header, nest);
}

/* One message with one peer and two of its allowed-ips, 0.0.0.N and ::N. */
static void queue_peer(uint16_t flags, uint8_t key, uint8_t n)
{
	struct nlmsghdr *header = queue_device(flags);
	struct nlattr *peers = mnl_attr_nest_start(header, WGDEVICE_A_PEERS);
	struct nlattr *peer = mnl_attr_nest_start(header, 0);
	struct nlattr *allowedips;

	put_key(header, WGPEER_A_PUBLIC_KEY, key);
	allowedips = mnl_attr_nest_start(header, WGPEER_A_ALLOWEDIPS);
	put_allowedip(header, AF_INET, 4, n, 32);
	put_allowedip(header, AF_INET6, 16, n, 128);
	mnl_attr_nest_end(header, allowedips);
	mnl_attr_nest_end(header, peer);
	mnl_attr_nest_end(header, peers);
}

static void queue_full_device(void)
{
	const struct timespec64 handshake = { 1700000000, 999999999 };
	struct sockaddr_in6 endpoint = { .sin6_family = AF_INET6, .sin6_scope_id = 9 };
	struct nlmsghdr *header = queue_device(0);
	struct nlattr *peers, *peer;

	mnl_attr_put_u32(header, WGDEVICE_A_IFINDEX, 77);
	put_key(header, WGDEVICE_A_PRIVATE_KEY, 0x11);
	put_key(header, WGDEVICE_A_PUBLIC_KEY, 0x22);
	mnl_attr_put_u16(header, WGDEVICE_A_LISTEN_PORT, 51820);
	mnl_attr_put_u32(header, WGDEVICE_A_FWMARK, 42);
	peers = mnl_attr_nest_start(header, WGDEVICE_A_PEERS);
	peer = mnl_attr_nest_start(header, 0);
	put_key(header, WGPEER_A_PRESHARED_KEY, 0x33);
	mnl_attr_put(header, WGPEER_A_ENDPOINT, sizeof(endpoint), &endpoint);
	mnl_attr_put_u16(header, WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, 25);
	mnl_attr_put(header, WGPEER_A_LAST_HANDSHAKE_TIME, sizeof(handshake), &handshake);
	mnl_attr_put_u64(header, WGPEER_A_RX_BYTES, UINT64_MAX);
	mnl_attr_put_u64(header, WGPEER_A_TX_BYTES, 5);
	put_key(header, WGPEER_A_PUBLIC_KEY, 1);
	mnl_attr_nest_end(header, peer);
	mnl_attr_nest_end(header, peers);
}

static int reset(void **state)
{
	(void)state;
	fake_reset();
	return 0;
}

static int check_end(void **state)
{
	(void)state;
	return fake_is_done() ? 0 : -1;
}

/* --- reading --- */

static void check_refused(int expected)
{
	struct wgdevice *dev = (void *)1;

	assert_int_equal(ipc_get_device(&dev, "wg0"), expected);
	assert_int_equal(errno, -expected);
	assert_null(dev);
}

static size_t count_allowedips(const struct wgpeer *peer)
{
	struct wgallowedip *allowedip;
	size_t count = 0;

	for_each_wgallowedip(peer, allowedip)
		count++;
	return count;
}

static void get_reads_all(void **state)
{
	const struct wgpeer *peer;
	struct wgdevice *dev;

	(void)state;
	queue_full_device();
	fake_end(NLMSG_DONE, 0);
	assert_int_equal(ipc_get_device(&dev, "wg0"), 0);
	assert_int_equal(errno, 0);
	assert_true(fake_requests[0].header.nlmsg_flags & NLM_F_DUMP);
	assert_string_equal(dev->name, "wg0");
	assert_int_equal(dev->ifindex, 77);
	assert_int_equal(dev->flags, WGDEVICE_HAS_PRIVATE_KEY | WGDEVICE_HAS_PUBLIC_KEY);
	assert_int_equal(dev->private_key[31], 0x11);
	assert_int_equal(dev->public_key[31], 0x22);
	assert_int_equal(dev->listen_port, 51820);
	assert_int_equal(dev->fwmark, 42);
	peer = dev->first_peer;
	assert_int_equal(peer->flags, WGPEER_HAS_PUBLIC_KEY | WGPEER_HAS_PRESHARED_KEY);
	assert_int_equal(peer->public_key[31], 1);
	assert_int_equal(peer->preshared_key[31], 0x33);
	assert_int_equal(peer->endpoint.addr.sa_family, AF_INET6);
	assert_int_equal(peer->endpoint.addr6.sin6_scope_id, 9);
	assert_int_equal(peer->persistent_keepalive_interval, 25);
	assert_true(peer->last_handshake_time.tv_sec == 1700000000);
	assert_true(peer->last_handshake_time.tv_nsec == 999999999);
	assert_true(peer->rx_bytes == UINT64_MAX && peer->tx_bytes == 5);
	assert_null(peer->first_allowedip);
	assert_null(peer->next_peer);
	free_wgdevice(dev);
}

static void get_joins_what_is_continued(void **state)
{
	struct wgdevice *dev;

	(void)state;
	queue_full_device();
	queue_peer(0, 1, 10);
	queue_peer(0, 1, 11);
	queue_peer(0, 2, 12);
	queue_peer(0, 2, 13);
	queue_peer(0, 3, 14);
	fake_end(NLMSG_DONE, 0);
	assert_int_equal(ipc_get_device(&dev, "wg0"), 0);
	assert_int_equal(count_allowedips(dev->first_peer), 4);
	assert_int_equal(dev->first_peer->persistent_keepalive_interval, 25);
	assert_int_equal(ntohl(dev->first_peer->first_allowedip->ip4.s_addr), 10);
	assert_int_equal(dev->first_peer->last_allowedip->ip6.s6_addr[15], 11);
	assert_int_equal(count_allowedips(dev->first_peer->next_peer), 4);
	assert_ptr_equal(dev->first_peer->next_peer->next_peer, dev->last_peer);
	assert_int_equal(count_allowedips(dev->last_peer), 2);
	free_wgdevice(dev);
}

static void get_begins_anew_after_a_change(void **state)
{
	struct wgdevice *dev;

	(void)state;
	queue_peer(0, 1, 10);
	queue_peer(NLM_F_DUMP_INTR, 2, 11);
	queue_peer(0, 1, 10);
	fake_end(NLMSG_DONE, 0)->nlmsg_flags = NLM_F_DUMP_INTR;
	queue_peer(0, 3, 12);
	fake_end(NLMSG_DONE, 0);
	assert_int_equal(ipc_get_device(&dev, "wg0"), 0);
	assert_int_equal(fake_request_count, 3);
	assert_int_equal(dev->first_peer->public_key[0], 3);
	assert_ptr_equal(dev->first_peer, dev->last_peer);
	free_wgdevice(dev);
}

static void get_gives_up_in_the_end(void **state)
{
	(void)state;
	for (int i = 0; i < 8; i++)
		queue_peer(NLM_F_DUMP_INTR, 1, 10);
	check_refused(-EINTR);
	assert_int_equal(fake_request_count, 8);
}

static void get_hands_on_errors(void **state)
{
	(void)state;
	fake_end(NLMSG_ERROR, -ENODEV);
	check_refused(-ENODEV);
	fake_end(NLMSG_ERROR, -EOPNOTSUPP);
	check_refused(-EOPNOTSUPP);
	queue_peer(0, 1, 10);
	fake_end(NLMSG_DONE, -ENOMEM); /* in the middle */
	check_refused(-ENOMEM);
	fake_has_wireguard = false;
	check_refused(-EPROTONOSUPPORT);
}

static void get_refuses_nonsense(void **state)
{
	static const struct {
		uint16_t family;
		size_t len;
		uint8_t cidr, key_len;
	} cases[] = {
		{ AF_INET, 4, 33, 32 }, { AF_INET6, 16, 129, 32 }, { AF_INET, 16, 32, 32 },
		{ AF_INET6, 4, 32, 32 }, { AF_INET, 3, 32, 32 }, { 0, 4, 32, 32 },
		{ AF_UNIX, 16, 32, 32 }, { AF_INET, 4, 32, 31 }, { AF_INET, 4, 32, 33 },
		{ AF_INET, 4, 32, 0 },
	};
	const uint8_t key[64] = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct nlmsghdr *header = queue_device(0);
		struct nlattr *peers = mnl_attr_nest_start(header, WGDEVICE_A_PEERS);
		struct nlattr *peer = mnl_attr_nest_start(header, 0), *allowedips;

		mnl_attr_put(header, WGPEER_A_PUBLIC_KEY, cases[i].key_len, key);
		allowedips = mnl_attr_nest_start(header, WGPEER_A_ALLOWEDIPS);
		put_allowedip(header, cases[i].family, cases[i].len, 1, cases[i].cidr);
		mnl_attr_nest_end(header, allowedips);
		mnl_attr_nest_end(header, peer);
		mnl_attr_nest_end(header, peers);
		check_refused(-EPROTO);
	}
}

/* --- changing --- */

static struct wgdevice *new_device(void)
{
	struct wgdevice *dev = calloc(1, sizeof(*dev));

	strcpy(dev->name, "wg0");
	return dev;
}

static struct wgpeer *append_peer(struct wgdevice *dev, uint8_t key, uint32_t flags)
{
	struct wgpeer *peer = add_peer(dev);

	memset(peer->public_key, key, sizeof(peer->public_key));
	peer->flags = flags | WGPEER_HAS_PUBLIC_KEY;
	return peer;
}

/* 0.0.0.N for an even N, ::N for an odd one. */
static void append_allowedip(struct wgpeer *peer, uint32_t n)
{
	struct wgallowedip *allowedip = add_allowedip(peer);

	allowedip->family = n % 2 ? AF_INET6 : AF_INET;
	allowedip->cidr = n % 2 ? 128 : 32;
	allowedip->ip6.s6_addr32[n % 2 ? 3 : 0] = htonl(n);
}

static const struct nlattr *find(const struct nlattr *nest, uint16_t type)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, nest) {
		if (mnl_attr_get_type(attr) == type)
			return attr;
	}
	return NULL;
}

static void describe_peer(FILE *f, const struct nlattr *peer)
{
	const struct nlattr *allowedips = find(peer, WGPEER_A_ALLOWEDIPS), *attr, *ip;
	const uint8_t *key = mnl_attr_get_payload(find(peer, WGPEER_A_PUBLIC_KEY));
	char text[INET6_ADDRSTRLEN];

	fprintf(f, " %u:%u", key[31], mnl_attr_get_u32(find(peer, WGPEER_A_FLAGS)));
	if (find(peer, WGPEER_A_PRESHARED_KEY))
		fprintf(f, "P");
	if (find(peer, WGPEER_A_ENDPOINT))
		fprintf(f, "E%u", mnl_attr_get_payload_len(find(peer, WGPEER_A_ENDPOINT)));
	if (find(peer, WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL))
		fprintf(f, "K");
	if (!allowedips)
		return;
	mnl_attr_for_each_nested(attr, allowedips) {
		ip = find(attr, WGALLOWEDIP_A_IPADDR);
		inet_ntop(mnl_attr_get_u16(find(attr, WGALLOWEDIP_A_FAMILY)),
			  mnl_attr_get_payload(ip), text, sizeof(text));
		fprintf(f, ",%s/%u", text, mnl_attr_get_u8(find(attr, WGALLOWEDIP_A_CIDR_MASK)));
	}
}

/* A line for each request: name+attributes, then each peer as key:flags,allowed-ips. */
static char *describe_requests(void)
{
	const struct nlattr *attr, *peer;
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	for (size_t i = 0; i < fake_request_count; i++) {
		mnl_attr_for_each(attr, &fake_requests[i].header, sizeof(struct genlmsghdr)) {
			if (mnl_attr_get_type(attr) == WGDEVICE_A_IFNAME)
				fprintf(f, "%s", mnl_attr_get_str(attr));
			else if (mnl_attr_get_type(attr) != WGDEVICE_A_PEERS)
				fprintf(f, "+%u", mnl_attr_get_type(attr));
			else
				mnl_attr_for_each_nested(peer, attr)
					describe_peer(f, peer);
		}
		fprintf(f, "\n");
	}
	fclose(f);
	return text;
}

static void check_requests(const char *expected)
{
	char *text = describe_requests();

	assert_string_equal(text, expected);
	free(text);
}

static void set_keeps_the_order(void **state)
{
	struct wgdevice *dev = new_device();
	struct wgpeer *peer;

	(void)state;
	append_allowedip(append_peer(dev, 7, 0), 0x0a000002);
	append_peer(dev, 7, WGPEER_REMOVE_ME);
	peer = append_peer(dev, 8, WGPEER_UPDATE_ONLY);
	append_allowedip(peer, 3);
	append_allowedip(peer, 4);
	fake_end(NLMSG_ERROR, 0);
	assert_int_equal(ipc_set_device(dev), 0);
	assert_int_equal(errno, 0);
	check_requests("wg0 7:0,10.0.0.2/32 7:1 8:4,::3/128,0.0.0.4/32\n");
	free_wgdevice(dev);
}

static void set_sends_every_member(void **state)
{
	struct wgdevice *dev = new_device();
	struct wgpeer *peer;

	(void)state;
	fake_end(NLMSG_ERROR, 0);
	assert_int_equal(ipc_set_device(dev), 0);
	dev->flags = WGDEVICE_HAS_PRIVATE_KEY | WGDEVICE_HAS_LISTEN_PORT | WGDEVICE_HAS_FWMARK |
		     WGDEVICE_REPLACE_PEERS;
	peer = append_peer(dev, 1, WGPEER_HAS_PRESHARED_KEY | WGPEER_REPLACE_ALLOWEDIPS |
				   WGPEER_HAS_PERSISTENT_KEEPALIVE_INTERVAL);
	peer->endpoint.addr.sa_family = AF_INET;
	append_peer(dev, 2, 0)->endpoint.addr.sa_family = AF_INET6;
	fake_end(NLMSG_ERROR, 0);
	assert_int_equal(ipc_set_device(dev), 0);
	check_requests("wg0\nwg0+3+6+7+5 1:2PE16K 2:0E28\n");
	free_wgdevice(dev);
}

/* What holds once is in the first part alone, update-only in each; none is lost or doubled. */
static void set_splits_a_peer(void **state)
{
	struct wgdevice *dev = new_device();
	struct wgpeer *peer;
	char *text, *at, expected[64];

	(void)state;
	dev->flags = WGDEVICE_REPLACE_PEERS;
	peer = append_peer(dev, 1, WGPEER_UPDATE_ONLY | WGPEER_REPLACE_ALLOWEDIPS |
				   WGPEER_HAS_PRESHARED_KEY);
	peer->endpoint.addr.sa_family = AF_INET;
	for (uint32_t i = 0; i < 2000; i += 2)
		append_allowedip(peer, i);
	append_peer(dev, 2, WGPEER_REMOVE_ME);
	for (int i = 0; i < 4; i++)
		fake_end(NLMSG_ERROR, 0);
	assert_int_equal(ipc_set_device(dev), 0);
	assert_int_equal(fake_request_count, 4);
	at = text = describe_requests();
	for (unsigned int i = 0; i < 1000; i++) {
		const char *begin = !i ? "wg0+5 1:6PE16" : *at == '\n' ? "\nwg0 1:4" : "";

		snprintf(expected, sizeof(expected), "%s,0.0.%u.%u/32", begin, 2 * i >> 8,
			 2 * i & 255);
		assert_int_equal(strncmp(at, expected, strlen(expected)), 0);
		at += strlen(expected);
	}
	assert_string_equal(at, " 2:1\n");
	free(text);
	free_wgdevice(dev);
}

/* Whatever the sizes: every message fits, and the list comes out whole. */
static void set_splits_anywhere(void **state)
{
	char *text, *word, *rest;

	(void)state;
	for (uint32_t per_peer = 0; per_peer < 400; per_peer += 7) {
		struct wgdevice *dev = new_device();
		uint32_t words = 0;

		for (int i = 0; i < 20; i++) {
			struct wgpeer *peer = append_peer(dev, i, 0);

			for (uint32_t j = 0; j < per_peer; j++)
				append_allowedip(peer, j);
		}
		for (int i = 0; i < 100; i++)
			fake_end(NLMSG_ERROR, 0);
		assert_int_equal(ipc_set_device(dev), 0);
		rest = text = describe_requests();
		while ((word = strsep(&rest, ",")))
			words++;
		assert_int_equal(words, 20 * per_peer + 1);
		free(text);
		free_wgdevice(dev);
		fake_reset(); /* more answers were queued than needed */
	}
}

static void set_stops_at_an_error(void **state)
{
	struct wgdevice *dev = new_device();
	struct wgpeer *peer;

	(void)state;
	peer = append_peer(dev, 1, 0);
	for (uint32_t i = 0; i < 1000; i++)
		append_allowedip(peer, i);
	fake_end(NLMSG_ERROR, 0);
	fake_end(NLMSG_ERROR, -EINVAL);
	assert_int_equal(ipc_set_device(dev), -EINVAL);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(fake_request_count, 2);
	fake_has_wireguard = false;
	assert_int_equal(ipc_set_device(dev), -EPROTONOSUPPORT);
	free_wgdevice(dev);
}

/* --- listing --- */

static void queue_link(uint16_t flags, const char *name, const char *kind)
{
	struct nlmsghdr *header = fake_answer(RTM_NEWLINK, NLM_F_MULTI | flags);
	struct nlattr *nest;

	mnl_nlmsg_put_extra_header(header, sizeof(struct ifinfomsg));
	if (kind) {
		nest = mnl_attr_nest_start(header, IFLA_LINKINFO);
		mnl_attr_put_strz(header, IFLA_INFO_KIND, kind);
		mnl_attr_nest_end(header, nest);
	}
	mnl_attr_put_strz(header, IFLA_IFNAME, name);
}

static void list_has_wireguard_alone(void **state)
{
	static const char expected[] = "wg0\0wg1\0";
	char *names;

	(void)state;
	queue_link(0, "gone", "wireguard");
	queue_link(NLM_F_DUMP_INTR, "wg0", "wireguard");
	queue_link(0, "lo", NULL);
	queue_link(0, "wg0", "wireguard");
	queue_link(0, "tun0", "tun");
	queue_link(0, "wg1", "wireguard");
	fake_end(NLMSG_DONE, 0);
	names = ipc_list_devices();
	assert_non_null(names);
	assert_memory_equal(names, expected, sizeof(expected));
	free(names);
	fake_end(NLMSG_DONE, 0);
	names = ipc_list_devices();
	assert_string_equal(names, "");
	free(names);
	fake_end(NLMSG_ERROR, -EPERM);
	assert_null(ipc_list_devices());
	assert_int_equal(errno, EPERM);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, reset, check_end)
	const struct CMUnitTest tests[] = {
		TEST(get_reads_all),
		TEST(get_joins_what_is_continued),
		TEST(get_begins_anew_after_a_change),
		TEST(get_gives_up_in_the_end),
		TEST(get_hands_on_errors),
		TEST(get_refuses_nonsense),
		TEST(set_keeps_the_order),
		TEST(set_sends_every_member),
		TEST(set_splits_a_peer),
		TEST(set_splits_anywhere),
		TEST(set_stops_at_an_error),
		TEST(list_has_wireguard_alone),
	};

	return cmocka_run_group_tests_name("compat_kernel", tests, NULL, NULL);
}
