// SPDX-License-Identifier: MIT
/*
 * Dumps that changes cut short begin anew, and nothing is told, or forgotten, of what they had
 * brought. The kernel is fake_mnl.c's.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <cmocka.h>

#include "fake_mnl.h"
#include "net.h"

#define IFINDEX 7

static void queue_address(uint16_t flags, uint8_t last)
{
	struct nlmsghdr *header = fake_answer(RTM_NEWADDR, flags);
	struct ifaddrmsg *info = mnl_nlmsg_put_extra_header(header, sizeof(*info));
	const uint8_t ip[] = { 192, 0, 2, last };

	info->ifa_family = AF_INET;
	info->ifa_prefixlen = 32;
	info->ifa_index = IFINDEX;
	mnl_attr_put(header, IFA_LOCAL, sizeof(ip), ip);
}

static void queue_route(uint16_t flags, uint8_t last)
{
	struct nlmsghdr *header = fake_answer(RTM_NEWROUTE, flags);
	struct rtmsg *info = mnl_nlmsg_put_extra_header(header, sizeof(*info));
	const uint8_t ip[] = { 198, 51, 100, last };

	info->rtm_family = AF_INET;
	info->rtm_dst_len = 32;
	info->rtm_type = RTN_UNICAST;
	info->rtm_protocol = RTPROT_STATIC;
	mnl_attr_put(header, RTA_DST, sizeof(ip), ip);
	mnl_attr_put_u32(header, RTA_OIF, IFINDEX);
}

static bool tell_address(const struct net_address *address, void *data)
{
	uint32_t *told = data;

	assert_int_equal(address->ifindex, IFINDEX);
	*told = *told << 8 | address->cidr.ip[3];
	return true;
}

static void tell_route(const struct net_route *route, void *data)
{
	uint32_t *told = data;

	*told |= 1U << route->to.ip[3];
}

static void addresses_are_told_once(void **state)
{
	uint32_t told = 0;

	(void)state;
	queue_address(0, 1);
	queue_address(NLM_F_DUMP_INTR, 2);
	queue_address(0, 1);
	fake_end(NLMSG_DONE, 0)->nlmsg_flags = NLM_F_DUMP_INTR;
	queue_address(0, 3);
	queue_address(0, 4);
	fake_end(NLMSG_DONE, 0);
	assert_int_equal(net_addresses(tell_address, &told), 0);
	assert_int_equal(told, 0x0304);
	assert_int_equal(fake_request_count, 3);
}

static void half_of_the_addresses_are_none(void **state)
{
	uint32_t told = 0;

	(void)state;
	for (int i = 0; i < 8; ++i) {
		queue_address(0, 1);
		queue_address(NLM_F_DUMP_INTR, 2);
	}
	assert_int_equal(net_addresses(tell_address, &told), -EINTR);
	assert_int_equal(told, 0);
	queue_address(0, 1);
	fake_end(NLMSG_DONE, -EBUSY);
	assert_int_equal(net_addresses(tell_address, &told), -EBUSY);
	assert_int_equal(told, 0);
}

static void routes_are_all_told(void **state)
{
	uint32_t told = 0;

	(void)state;
	queue_route(0, 1);
	queue_route(NLM_F_DUMP_INTR, 2);
	queue_route(0, 3);
	queue_route(0, 4);
	fake_end(NLMSG_DONE, 0);
	assert_int_equal(net_routes(tell_route, &told), 0);
	assert_int_equal(told & 0x18, 0x18);
}

/* The last octets of the routes that were put back, in order. */
static uint64_t routes_put_back(size_t from)
{
	uint64_t octets = 0;

	for (size_t i = from; i < fake_request_count; ++i) {
		const struct nlmsghdr *header = &fake_requests[i].header;
		const struct nlattr *attr;

		assert_int_equal(header->nlmsg_type, RTM_NEWROUTE);
		mnl_attr_for_each(attr, header, sizeof(struct rtmsg)) {
			if (mnl_attr_get_type(attr) == RTA_DST)
				octets = octets << 8 | ((uint8_t *)mnl_attr_get_payload(attr))[3];
		}
	}
	return octets;
}

/* Each twice: one may need another. */
static void every_route_is_put_back(void **state)
{
	const struct cidr ip = { AF_INET, 32, { 192, 0, 2, 1 } };

	(void)state;
	queue_route(0, 1);
	queue_route(NLM_F_DUMP_INTR, 2);
	queue_route(0, 1);
	queue_route(0, 2);
	queue_route(0, 3);
	fake_end(NLMSG_DONE, 0);
	for (int i = 0; i < 7; ++i)
		fake_end(NLMSG_ERROR, 0);
	assert_int_equal(net_address_delete(IFINDEX, &ip), 0);
	assert_int_equal(fake_requests[2].header.nlmsg_type, RTM_DELADDR);
	assert_int_equal(routes_put_back(3), 0x010203010203);
}

static void changes_hand_on_errors(void **state)
{
	const struct cidr ip = { AF_INET6, 128, { 0x20, 0x01 } };

	(void)state;
	fake_end(NLMSG_ERROR, -EBUSY);
	assert_int_equal(net_address_set(IFINDEX, &ip, 60), -EBUSY);
	fake_end(NLMSG_ERROR, -ENOBUFS);
	assert_int_equal(net_address_delete(IFINDEX, &ip), -ENOBUFS);
	fake_end(NLMSG_ERROR, -EADDRNOTAVAIL);
	assert_int_equal(net_address_delete(IFINDEX, &ip), 0);
}

/* The monitors have their signals by signalfd. */
static int reset(void **state)
{
	(void)state;
	fake_reset();
	fake_has_signals = false;
	return 0;
}

static int check_end(void **state)
{
	(void)state;
	assert_true(fake_is_done());
	return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, reset, check_end)
	const struct CMUnitTest tests[] = {
		TEST(addresses_are_told_once),
		TEST(half_of_the_addresses_are_none),
		TEST(routes_are_all_told),
		TEST(every_route_is_put_back),
		TEST(changes_hand_on_errors),
	};

	return cmocka_run_group_tests_name("net", tests, NULL, NULL);
}
