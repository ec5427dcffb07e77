// SPDX-License-Identifier: MIT
/*
 * What an engine in somebody else's hands orders from the client's monitor: whatever reaches the
 * interface, other programs and people is what a lease can be, by rules that are written anew
 * here. (The monitor's source is part of this one.)
 */

#include <netinet/in.h>

#include "client-report.h"
#include "client-socket.h"
#include "fuzz.h"
#include "holding.h"
#include "hook.h"
#include "network.h"
#include "supervisor.h"

static bool fake_hold(struct holding *holding, const struct lifecycle_lease *lease, uint64_t now);
static void fake_set(struct network *network, const struct options *pushed);
static void fake_clear(struct network *network);
static void fake_addresses(struct network *network, struct cidr ip[static FAMILIES],
			   const struct cidr held[static FAMILIES]);
static void fake_shown(const struct network *network, struct options *options,
		       uint8_t waiting[static OPTIONS_ROUTES]);
static void fake_told(const struct network *network, struct options *options);
static void fake_hook(struct hook *hook, const struct lifecycle_lease *lease, uint32_t lease_time,
		      const struct options *options);
static void fake_hook_end(struct hook *hook, enum hook_event event);
static void fake_connect(const struct client_setup *setup, struct supervisor *supervisor,
			 const struct client_connect *order);
static int fake_send(struct supervisor *supervisor, const struct message *message, size_t len,
		     int fd);
static uint64_t fake_now(void);

#define holding_set fake_hold
#define network_set fake_set
#define network_clear fake_clear
#define network_addresses fake_addresses
#define network_shown fake_shown
#define network_told fake_told
#define hook_lease fake_hook
#define hook_end fake_hook_end
#define client_socket_connect fake_connect
#define supervisor_send fake_send
#define now_ms fake_now
#include "../../src/client-orders.c"
#include "../../src/client-monitor.c"
#undef now_ms

enum { NOW = 5000000, YEAR_S = 31536000, STEPS = 16, TOLD_MTU = 1444 };

static struct { /* what an order has led to */
	bool held, set, cleared, hooked, ended, connected, told;
} done;

static uint64_t fake_now(void)
{
	return NOW;
}

/* --- what can be, written anew --- */

static bool starts(const struct cidr *ip, uint8_t mask, uint8_t value)
{
	return (ip->ip[0] & mask) == value;
}

static void check_address(const struct cidr *ip, uint8_t family)
{
	static const uint8_t zeros[16], mapped[12] = { [10] = 0xff, [11] = 0xff };

	must(ip->family == family);
	if (family == AF_INET) {
		must(ip->prefix == 32 && !memcmp(ip->ip + 4, zeros, 12));
		must(ip->ip[0] && ip->ip[0] != 127 && !starts(ip, 0xe0, 0xe0));
		must(ip->ip[0] != 169 || ip->ip[1] != 254);
		return;
	}
	must(ip->prefix == 128 && !starts(ip, 0xff, 0xff));
	must(ip->ip[0] != 0xfe || (ip->ip[1] & 0xc0) != 0x80);
	must(memcmp(ip->ip, mapped, sizeof(mapped)));
	must(memcmp(ip->ip, zeros, 15) || ip->ip[15] > 1);
}

static void check_lease(const struct lifecycle_lease *lease)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	bool any = false;

	for (int v = V4; v < FAMILIES; ++v) {
		if (lease->ip[v].family)
			check_address(&lease->ip[v], families[v]);
		any |= lease->ip[v].family;
	}
	must(!any || (lease->until > NOW && lease->until <= NOW + YEAR_S * 1000ULL));
}

static void check_prefix(const struct cidr *c, bool host)
{
	unsigned int bits = c->family == AF_INET ? 32 : 128;

	must(c->family == AF_INET || c->family == AF_INET6);
	must(c->prefix <= bits && (!host || c->prefix == bits));
	for (unsigned int i = c->prefix; i < 128; ++i)
		must(!(c->ip[i / 8] & 0x80 >> i % 8));
}

static void check_domain(const char *text)
{
	size_t len = strnlen(text, DOMAIN_LEN);

	must(len && len <= 253 && text[0] != '-' && text[0] != '.' && text[len - 1] != '.');
	must(!strstr(text, ".."));
	for (size_t i = 0; i < len; ++i)
		must(strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.",
			    text[i]));
}

static void check_options(const struct options *o)
{
	must(o->routes <= 128 && o->dns_count <= 8 && o->searches <= 8);
	must(!o->mtu || (o->mtu >= 1280 && o->mtu <= 65535));
	for (uint32_t i = 0; i < o->routes; ++i)
		check_prefix(&o->route[i], false);
	for (uint32_t i = 0; i < o->dns_count; ++i)
		check_prefix(&o->dns[i], true);
	for (uint32_t i = 0; i < o->searches; ++i)
		check_domain(o->search[i]);
}

/* --- the rest of the world --- */

static bool fake_hold(struct holding *holding, const struct lifecycle_lease *lease, uint64_t now)
{
	must(holding == &monitor.holding && now == NOW);
	check_lease(lease);
	must(monitor.words.accept.words & ACCEPT_ADDRESS ||
	     (!lease->ip[V4].family && !lease->ip[V6].family));
	done.held = true;
	return true;
}

static void fake_set(struct network *network, const struct options *pushed)
{
	must(network == &monitor.network);
	check_options(pushed);
	done.set = true;
}

static void fake_clear(struct network *network)
{
	must(network == &monitor.network);
	done.cleared = true;
}

static void fake_addresses(struct network *network, struct cidr ip[static FAMILIES],
			   const struct cidr held[static FAMILIES])
{
	must(network == &monitor.network && ip && held == monitor.holding.lease.ip);
}

static void fake_shown(const struct network *network, struct options *options,
		       uint8_t waiting[static OPTIONS_ROUTES])
{
	must(network == &monitor.network);
	memset(options, 0, sizeof(*options));
	memset(waiting, 0, OPTIONS_ROUTES);
}

static void fake_told(const struct network *network, struct options *options)
{
	must(network == &monitor.network);
	memset(options, 0, sizeof(*options));
	options->mtu = TOLD_MTU;
}

static void fake_hook(struct hook *hook, const struct lifecycle_lease *lease, uint32_t lease_time,
		      const struct options *options)
{
	(void)lease_time; /* a number for people, which nothing hangs on */
	must(hook == &monitor.hook && options->mtu == TOLD_MTU);
	check_lease(lease);
	done.hooked = true;
}

static void fake_hook_end(struct hook *hook, enum hook_event event)
{
	must(hook == &monitor.hook && (event == HOOK_EXPIRED || event == HOOK_RELEASED));
	done.ended = true;
}

static void fake_connect(const struct client_setup *setup, struct supervisor *supervisor,
			 const struct client_connect *order)
{
	must(setup == &monitor.setup && supervisor == &monitor.supervisor && order);
	done.connected = true;
}

static int fake_send(struct supervisor *supervisor, const struct message *message, size_t len,
		     int fd)
{
	must(supervisor == &monitor.supervisor && message->type == CLIENT_NETWORK);
	must(len == sizeof(struct client_network) && fd == -1);
	done.told = true;
	return 0;
}

/* --- the engine --- */

/* One that is good; what the input says is then put over it. */
static void good_change(struct client_change *change)
{
	struct options *o = &change->options;

	change->set = 1;
	change->report = REPORT_GRANTED;
	change->lease.ip[V4] = (struct cidr){ AF_INET, 32, { 192, 0, 2, 1 } };
	change->lease.ip[V6] = (struct cidr){ AF_INET6, 128, { 0x20, 1, 0xd, 0xb8, [15] = 1 } };
	change->lease.until = NOW + 600000;
	change->lease_time = 600;
	must(!options_add(o, "route", "10.0.0.0/8") && !options_add(o, "dns", "192.0.2.53") &&
	     !options_add(o, "search", "example.com") && !options_add(o, "mtu", "1400"));
}

static void input_change(struct input *input, struct client_change *change)
{
	uint8_t *bytes = (uint8_t *)change, patches = input_byte(input);
	uint32_t at;

	if (!(patches & 0x80))
		good_change(change);
	/* The lease is at the start, the ends of lists are far behind it. */
	for (patches &= 0x1f; patches; --patches) {
		at = input_byte(input);
		at = (at << 8 | input_byte(input)) % sizeof(*change);
		if (at >= sizeof(change->head))
			bytes[at] = input_byte(input);
	}
}

static void send_change(struct input *input)
{
	static union message_buffer buffer;
	struct client_change *order = (void *)&buffer;
	struct lifecycle_lease before = monitor.lease;

	memset(&buffer, 0, sizeof(buffer));
	order->head.type = CLIENT_CHANGE;
	input_change(input, order);
	engine_message(&monitor.supervisor, &buffer, sizeof(*order), -1);
	check_lease(&monitor.lease);
	must(order->set || !done.held);
	must(done.held || !memcmp(&before, &monitor.lease, sizeof(before)));
	must(!done.held || (done.told && done.set != done.cleared && !(done.hooked && done.ended)));
	must(done.held || !(done.set || done.cleared || done.hooked || done.ended || done.told));
	must(!done.connected);
}

static void step(struct input *input)
{
	static union message_buffer buffer;
	uint8_t kind = input_byte(input);

	memset(&done, 0, sizeof(done));
	if (kind == 'c') {
		send_change(input);
		return;
	}
	if (kind == 's')
		monitor.stop_at = NOW + 1;
	buffer.head.type = kind == 'o' ? CLIENT_CONNECT : kind;
	if (buffer.head.type == CLIENT_CHANGE)
		return;
	engine_message(&monitor.supervisor, &buffer, sizeof(struct client_connect), -1);
	must(!done.held && done.connected == (buffer.head.type == CLIENT_CONNECT));
	must(!monitor.loop.stop || monitor.stop_at != NEVER);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct input input = { data, len };

	memset(&monitor, 0, sizeof(monitor));
	monitor.stop_at = NEVER;
	monitor.setup.interface = "wg0";
	monitor.words.accept.words = input_byte(&input);
	for (int i = 0; i < STEPS && input.len; ++i)
		step(&input);
	return 0;
}
