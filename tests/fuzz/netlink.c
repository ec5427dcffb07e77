// SPDX-License-Identifier: MIT
/*
 * Answers of the kernel: devices, interfaces, addresses and routes. libmnl's socket functions are
 * those of this file; what lies behind a message in the reader's buffer must not be read. A device
 * that was read and is set is read as the same.
 */

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/wireguard.h>
#include <sanitizer/asan_interface.h>

#include "backend.h"
#include "containers.h"
#include "fuzz.h"
#include "net.h"

enum { PORT = 4711, FAMILY = 33, REQUESTS = 1 << 18 };

/* Each answer of an input has a head of two bytes: its length. */
static struct input answers;
static bool family_is_asked, family_is_fuzzed;
static char *poisoned; /* the reader's buffer behind the message */
static size_t poisoned_len;

/* What is asked after an answer that was whole: the device set, which is then to be read. */
static char requests[REQUESTS];
static size_t requests_len, requests_read;
static bool keeps, gives;

static void unpoison(void)
{
	if (poisoned)
		ASAN_UNPOISON_MEMORY_REGION(poisoned, poisoned_len);
	poisoned = NULL;
}

struct mnl_socket *mnl_socket_open2(int bus, int flags)
{
	must((bus == NETLINK_GENERIC || bus == NETLINK_ROUTE) && flags == SOCK_CLOEXEC);
	return (struct mnl_socket *)&answers;
}

/* The buffer is for a request now. */
struct nlmsghdr *mnl_nlmsg_put_header(void *buf)
{
	unpoison();
	memset(buf, 0, MNL_NLMSG_HDRLEN);
	((struct nlmsghdr *)buf)->nlmsg_len = MNL_NLMSG_HDRLEN;
	return buf;
}

int mnl_socket_bind(struct mnl_socket *nl, unsigned int groups, pid_t pid)
{
	must(nl && !groups && pid == MNL_SOCKET_AUTOPID);
	return 0;
}

unsigned int mnl_socket_get_portid(const struct mnl_socket *nl)
{
	must(nl);
	return PORT;
}

int mnl_socket_close(struct mnl_socket *nl)
{
	must(nl);
	unpoison();
	return 0;
}

ssize_t mnl_socket_sendto(const struct mnl_socket *nl, const void *buf, size_t len)
{
	const struct nlmsghdr *header = buf;

	must(nl && len == header->nlmsg_len);
	family_is_asked = header->nlmsg_type == GENL_ID_CTRL && !family_is_fuzzed;
	if (keeps && !family_is_asked) {
		must(requests_len + len <= sizeof(requests));
		memcpy(requests + requests_len, buf, len);
		requests_len += MNL_ALIGN(len);
	}
	return len;
}

static size_t put_end(char *buf, uint16_t type)
{
	struct nlmsghdr *header = mnl_nlmsg_put_header(buf);

	header->nlmsg_type = type;
	*(int *)mnl_nlmsg_put_extra_header(header, sizeof(int)) = 0;
	return header->nlmsg_len;
}

static size_t answer_family(char *buf)
{
	struct nlmsghdr *header = mnl_nlmsg_put_header(buf);

	header->nlmsg_type = GENL_ID_CTRL;
	mnl_nlmsg_put_extra_header(header, sizeof(struct genlmsghdr));
	mnl_attr_put_u16(header, CTRL_ATTR_FAMILY_ID, FAMILY);
	return header->nlmsg_len + put_end(buf + header->nlmsg_len, NLMSG_ERROR);
}

/* A request that set the device, as an answer that tells of it; then the end. */
static size_t answer_kept(char *buf)
{
	const struct nlmsghdr *header = (void *)(requests + requests_read);

	if (requests_read == requests_len)
		return put_end(buf, NLMSG_DONE);
	requests_read += MNL_ALIGN(header->nlmsg_len);
	memcpy(buf, header, header->nlmsg_len);
	((struct nlmsghdr *)buf)->nlmsg_flags = NLM_F_MULTI;
	return header->nlmsg_len;
}

/* libmnl takes lengths for ints and negates error numbers: the kernel's are far from the limits. */
static size_t messages_cut(const char *buf, size_t len)
{
	const struct nlmsghdr *header;
	size_t at = 0;
	int error;

	while (at + sizeof(*header) <= len) {
		header = (void *)(buf + at);
		error = 0;
		if (header->nlmsg_type < NLMSG_MIN_TYPE && len - at >= sizeof(*header) + 4)
			memcpy(&error, header + 1, sizeof(error));
		if (header->nlmsg_len > INT16_MAX || error == INT32_MIN)
			return at;
		at += header->nlmsg_len ? MNL_ALIGN(header->nlmsg_len) : len;
	}
	return len;
}

static ssize_t answer_fuzzed(char *buf, size_t size)
{
	uint16_t len;

	if (!answers.len) {
		errno = EIO;
		return -1;
	}
	input_bytes(&answers, &len, sizeof(len));
	len = len < size ? len : size;
	len = len < answers.len ? len : answers.len;
	input_bytes(&answers, buf, len);
	return messages_cut(buf, len);
}

ssize_t mnl_socket_recvfrom(const struct mnl_socket *nl, void *buf, size_t size)
{
	ssize_t len;

	must(nl);
	unpoison();
	if (family_is_asked)
		len = answer_family(buf);
	else if (keeps)
		len = put_end(buf, NLMSG_ERROR);
	else if (gives)
		len = answer_kept(buf);
	else
		len = answer_fuzzed(buf, size);
	family_is_asked = false;
	if (len < 0)
		return -1;
	poisoned = (char *)buf + MNL_ALIGN(len); /* the padding is the message's */
	poisoned_len = size - MNL_ALIGN(len);
	ASAN_POISON_MEMORY_REGION(poisoned, poisoned_len);
	return len;
}

/* --- devices --- */

static char *text_of(const struct wgdevice *dev, size_t *len)
{
	char *text = malloc(uapi_device_room(dev));

	must(text);
	*len = uapi_write_device(text, dev) - text;
	return text;
}

static void check_again(const struct wgdevice *dev)
{
	struct wgdevice *again = NULL;
	char *before, *after;
	size_t len, len_after;

	family_is_fuzzed = false;
	requests_len = requests_read = 0;
	keeps = true;
	must(!kernel_set_device(dev));
	keeps = false;
	gives = true;
	must(!kernel_get_device(&again, "wg0"));
	gives = false;
	before = text_of(dev, &len);
	after = text_of(again, &len_after);
	must(len == len_after && !memcmp(before, after, len));
	free(before);
	free(after);
	free_wgdevice(again);
}

static void read_device(void)
{
	struct wgdevice *dev = NULL;
	struct wgallowedip *ip;
	struct wgpeer *peer;

	if (kernel_get_device(&dev, "wg0"))
		return;
	for_each_wgpeer(dev, peer) {
		must(peer->flags & WGPEER_HAS_PUBLIC_KEY);
		for_each_wgallowedip(peer, ip)
			must(ip->family == AF_INET ? ip->cidr <= 32 :
						     ip->family == AF_INET6 && ip->cidr <= 128);
	}
	check_again(dev);
	free_wgdevice(dev);
}

/* --- the rest --- */

static void list_devices(void)
{
	struct name_list list = { 0 };

	if (!kernel_list_devices(&list) && list.names)
		must(!list.names[list.len]);
	free(list.names);
}

static bool on_address(const struct net_address *address, void *data)
{
	(void)data;
	must(family_bits(address->cidr.family));
	return true;
}

static void on_route(const struct net_route *route, void *data)
{
	(void)data;
	must(family_bits(route->to.family));
	must(!route->gateway.family || cidr_is_host(&route->gateway));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct net_link link;
	uint8_t what, type;

	answers = (struct input){ data, len };
	what = input_byte(&answers);
	family_is_fuzzed = what & 0x80;
	switch (what & 0x7f) {
	case 'd':
		read_device();
		break;
	case 'i':
		list_devices();
		break;
	case 'l':
		if (!net_link_get("wg0", &link))
			must(memchr(link.kind, '\0', sizeof(link.kind)));
		break;
	case 'a':
		net_addresses(on_address, NULL);
		break;
	case 'r':
		net_routes(on_route, NULL);
		break;
	case 't':
		net_route_type(1, &(struct cidr){ AF_INET, 32, { 10, 1 } }, &type);
		break;
	}
	return 0;
}
