// SPDX-License-Identifier: MIT
/*
 * src/compat: devices of userspace programs, which a child of this test plays on a socket. To be
 * compiled with a relative RUNSTATEDIR: the test runs in a folder of its own.
 */

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "containers.h"
#include "encoding.h"
#include "ipc.h"

#define SOCKET_DIR RUNSTATEDIR "/wireguard"
#define HEX_0 "0000000000000000000000000000000000000000000000000000000000000000"
#define HEX_1 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define HEX_2 "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0efeeedecebeae9e8e7e6e5e4e3e2e1e0"

static char folder[] = "/tmp/test_compat_uapi.XXXXXX";

static bool is_impatient;

/* Stands in for the C library's: checks the time limit, and makes it short for some tests. */
int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	const struct timeval shorter = { .tv_usec = 100000 };

	if (level == SOL_SOCKET && (name == SO_RCVTIMEO || name == SO_SNDTIMEO)) {
		assert_int_equal(((const struct timeval *)value)->tv_sec, 10);
		if (is_impatient)
			value = &shorter;
	}
	return syscall(SYS_setsockopt, fd, level, name, value, len);
}

static void check_allowedip(const struct wgallowedip *allowedip, const char *ip, int cidr)
{
	char text[INET6_ADDRSTRLEN];

	assert_non_null(allowedip);
	assert_non_null(inet_ntop(allowedip->family, &allowedip->ip6, text, sizeof(text)));
	assert_string_equal(text, ip);
	assert_int_equal(allowedip->cidr, cidr);
}

static int bind_socket(const char *name)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), SOCKET_DIR "/%s.sock", name);
	unlink(addr.sun_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static void send_whole(int fd, const char *text, size_t len)
{
	ssize_t sent;

	for (; len; text += sent, len -= sent) {
		sent = send(fd, text, len, MSG_NOSIGNAL);
		if (sent <= 0)
			return;
	}
}

/* Reads a request to its empty line, or limit bytes of it, and keeps it in the file `request`. */
static void keep_request(int fd, size_t limit)
{
	FILE *in = fdopen(dup(fd), "r"), *out = fopen("request", "w");
	int c, last = 0;

	setvbuf(in, NULL, _IONBF, 0);
	while (limit-- && (c = fgetc(in)) != EOF) {
		fputc(c, out);
		if (c == '\n' && last == '\n')
			break;
		last = c;
	}
	fclose(in);
	fclose(out);
}

/*
 * Plays wg0 in a child: to each of the connections to come, the next of the answers, of which the
 * first is cut after `from` bytes and the last after `to`.
 */
static pid_t serve(const char *answer, size_t from, size_t to, size_t request_limit)
{
	int listener = bind_socket("wg0"), fd;
	pid_t pid;

	assert_int_equal(listen(listener, 5), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid) {
		close(listener);
		return pid;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (; from <= to; from++) {
		fd = accept(listener, NULL, NULL);
		keep_request(fd, request_limit);
		send_whole(fd, answer, from);
		close(fd);
	}
	_exit(0);
}

static void end_server(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void check_refused(int expected)
{
	struct wgdevice *dev = (void *)1;

	errno = 0;
	assert_int_equal(ipc_get_device(&dev, "wg0"), expected);
	assert_int_equal(errno, -expected);
	assert_null(dev);
}

#define ANSWER \
	"private_key=" HEX_2 "\nlisten_port=51820\nfwmark=4294967295\nfuture=1=2\n" \
	"public_key=" HEX_1 "\npreshared_key=" HEX_2 "\nprotocol_version=1\n" \
	"endpoint=192.0.2.1:65535\nlast_handshake_time_sec=1700000000\n" \
	"last_handshake_time_nsec=999999999\ntx_bytes=18446744073709551615\nrx_bytes=7\n" \
	"persistent_keepalive_interval=25\nallowed_ip=10.0.0.1/32\nallowed_ip=fe80::1/128\n" \
	"public_key=" HEX_2 "\npreshared_key=" HEX_0 "\nendpoint=[fe80::7%lo]:1\n" \
	"allowed_ip=0.0.0.0/0\nerrno=0\n\n"

static void check_first_peer(const struct wgpeer *peer)
{
	char hex[WG_KEY_LEN_HEX];

	assert_int_equal(peer->flags, WGPEER_HAS_PUBLIC_KEY | WGPEER_HAS_PRESHARED_KEY |
				      WGPEER_HAS_PERSISTENT_KEEPALIVE_INTERVAL);
	key_to_hex(hex, peer->public_key);
	assert_string_equal(hex, HEX_1);
	key_to_hex(hex, peer->preshared_key);
	assert_string_equal(hex, HEX_2);
	assert_int_equal(peer->endpoint.addr.sa_family, AF_INET);
	assert_int_equal(ntohs(peer->endpoint.addr4.sin_port), 65535);
	assert_int_equal(ntohl(peer->endpoint.addr4.sin_addr.s_addr), 0xc0000201);
	assert_true(peer->last_handshake_time.tv_sec == 1700000000);
	assert_true(peer->last_handshake_time.tv_nsec == 999999999);
	assert_true(peer->tx_bytes == UINT64_MAX && peer->rx_bytes == 7);
	assert_int_equal(peer->persistent_keepalive_interval, 25);
	check_allowedip(peer->first_allowedip, "10.0.0.1", 32);
	check_allowedip(peer->last_allowedip, "fe80::1", 128);
	assert_ptr_equal(peer->first_allowedip->next_allowedip, peer->last_allowedip);
}

static void get_reads_all(void **state)
{
	pid_t pid = serve(ANSWER, strlen(ANSWER), strlen(ANSWER), SIZE_MAX);
	struct wgdevice *dev;
	struct wgpeer *peer;

	(void)state;
	assert_int_equal(ipc_get_device(&dev, "wg0"), 0);
	end_server(pid);
	assert_string_equal(dev->name, "wg0");
	assert_int_equal(dev->flags, WGDEVICE_HAS_PRIVATE_KEY | WGDEVICE_HAS_LISTEN_PORT |
				     WGDEVICE_HAS_FWMARK);
	assert_int_equal(dev->listen_port, 51820);
	assert_true(dev->fwmark == UINT32_MAX);
	check_first_peer(dev->first_peer);
	peer = dev->first_peer->next_peer;
	assert_ptr_equal(peer, dev->last_peer);
	assert_int_equal(peer->flags, WGPEER_HAS_PUBLIC_KEY);
	assert_int_equal(peer->endpoint.addr.sa_family, AF_INET6);
	assert_int_equal(peer->endpoint.addr6.sin6_scope_id, if_nametoindex("lo"));
	check_allowedip(peer->first_allowedip, "0.0.0.0", 0);
	free_wgdevice(dev);
}

static void get_refuses_half_an_answer(void **state)
{
	pid_t pid = serve(ANSWER, 0, strlen(ANSWER) - 1, SIZE_MAX);

	(void)state;
	for (size_t i = 0; i < strlen(ANSWER); i++)
		check_refused(-EPROTO);
	end_server(pid);
}

/* One byte changed, at each place in turn: a device or an error, never a crash. */
static void get_survives_a_wrong_byte(void **state)
{
	static const char wrong[] = { '\0', '\n', '=', '/', '9', '\xff' };
	struct wgdevice *dev;
	char *answer;
	int ret;

	(void)state;
	for (size_t i = 0; i < strlen(ANSWER) * sizeof(wrong); i += 7) {
		answer = strdup(ANSWER);
		answer[i / sizeof(wrong)] = wrong[i % sizeof(wrong)];
		pid_t pid = serve(answer, strlen(ANSWER), strlen(ANSWER), SIZE_MAX);

		ret = ipc_get_device(&dev, "wg0");
		end_server(pid);
		assert_int_equal(errno, -ret);
		assert_true(ret ? !dev : !!dev);
		free_wgdevice(dev);
		free(answer);
	}
}

static void get_refuses_a_nul(void **state)
{
	char answer[] = ANSWER;
	pid_t pid;

	(void)state;
	for (size_t i = 0; i < strlen(ANSWER); i += 9) {
		answer[i] = '\0';
		pid = serve(answer, strlen(ANSWER), strlen(ANSWER), SIZE_MAX);
		check_refused(-EPROTO);
		end_server(pid);
		answer[i] = ANSWER[i];
	}
}

static void get_refuses_nonsense(void **state)
{
	static const char *const answers[] = {
		"\n", "errno=0\n", "errno=\n\n", "errno=-\n\n", "errno=--1\n\n", "errno=0x\n\n",
		"errno=99999999999999999999\n\n", "nonsense\nerrno=0\n\n",
		"private_key=00\nerrno=0\n\n", "listen_port=65536\nerrno=0\n\n",
		"fwmark=-1\nerrno=0\n\n", "public_key=\nerrno=0\n\n",
#define IN_PEER(line) "public_key=" HEX_1 "\n" line "\nerrno=0\n\n"
		IN_PEER("allowed_ip="), IN_PEER("allowed_ip=10.0.0.1"),
		IN_PEER("allowed_ip=10.0.0.1/33"), IN_PEER("allowed_ip=fe80::1/129"),
		IN_PEER("allowed_ip=10.0.0.1/ 8"), IN_PEER("allowed_ip=host/8"),
		IN_PEER("allowed_ip=-10.0.0.1/32"), IN_PEER("allowed_ip=10.0.0.1/8/8"),
		IN_PEER("endpoint="), IN_PEER("endpoint=:1"), IN_PEER("endpoint=10.0.0.1"),
		IN_PEER("endpoint=10.0.0.1:65536"), IN_PEER("endpoint=[:1"),
		IN_PEER("endpoint=]:1"), IN_PEER("endpoint=[fe80::1:1"),
		IN_PEER("endpoint=host:1"), IN_PEER("endpoint=[10.0.0.1]:1"),
		IN_PEER("preshared_key=1"), IN_PEER("rx_bytes=18446744073709551616"),
		IN_PEER("tx_bytes="), IN_PEER("persistent_keepalive_interval=65536"),
		IN_PEER("last_handshake_time_sec=9223372036854775808"),
		IN_PEER("last_handshake_time_nsec=x"),
	};
	pid_t pid;

	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		pid = serve(answers[i], strlen(answers[i]), strlen(answers[i]), SIZE_MAX);
		check_refused(-EPROTO);
		end_server(pid);
	}
}

static void get_refuses_an_endless_line(void **state)
{
	static char answer[100000];
	pid_t pid;

	(void)state;
	memset(answer, 'a', sizeof(answer));
	answer[1] = '=';
	pid = serve(answer, sizeof(answer), sizeof(answer), SIZE_MAX);
	check_refused(-EPROTO);
	end_server(pid);
}

static void get_hands_on_the_error(void **state)
{
	pid_t pid = serve("errno=5\n\n", 9, 9, SIZE_MAX);

	(void)state;
	check_refused(-5);
	end_server(pid);
	pid = serve("public_key=" HEX_1 "\nerrno=-22\n\n", 88, 88, SIZE_MAX);
	check_refused(-22);
	end_server(pid);
}

/* 100,000 peers with three allowed-ips each, and one of them with as many again. */
static void get_reads_a_large_device(void **state)
{
	enum { PEERS = 100000 };
	struct timespec begin, end;
	struct wgallowedip *allowedip;
	struct wgdevice *dev;
	struct wgpeer *peer;
	size_t len, peers = 0, allowedips = 0;
	char *answer;
	FILE *f = open_memstream(&answer, &len);
	pid_t pid;

	(void)state;
	for (unsigned int i = 0; i < PEERS; i++)
		fprintf(f, "public_key=%064x\nrx_bytes=%u\nallowed_ip=10.%u.%u.%u/32\n"
			"allowed_ip=2001:db8::%x/128\nallowed_ip=fe80::%x:%x/128\n", i + 1, i,
			i >> 16, i >> 8 & 255, i & 255, i >> 16, i >> 16, i & 0xffff);
	for (unsigned int i = 0; i < PEERS; i++)
		fprintf(f, "allowed_ip=11.%u.%u.%u/32\n", i >> 16, i >> 8 & 255, i & 255);
	fprintf(f, "errno=0\n\n");
	fclose(f);
	pid = serve(answer, len, len, SIZE_MAX);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
	assert_int_equal(ipc_get_device(&dev, "wg0"), 0);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
	end_server(pid);
	assert_true(end.tv_sec - begin.tv_sec < 5);
	for_each_wgpeer(dev, peer) {
		assert_int_equal(peer->rx_bytes, peers++);
		for_each_wgallowedip(peer, allowedip)
			allowedips++;
	}
	assert_int_equal(peers, PEERS);
	assert_int_equal(allowedips, 4 * PEERS);
	free_wgdevice(dev);
	free(answer);
}

/* Lists as a caller makes them, of members that live on its stack. */
static struct wgdevice device_named(const char *name, struct wgpeer *first_peer)
{
	struct wgdevice dev = { .first_peer = first_peer };

	strcpy(dev.name, name);
	return dev;
}

static void check_request(const char *expected)
{
	char request[4096];
	FILE *f = fopen("request", "r");

	request[fread(request, 1, sizeof(request) - 1, f)] = '\0';
	fclose(f);
	assert_string_equal(request, expected);
}

static void set_sends_all_in_order(void **state)
{
	struct wgallowedip ip6 = { .family = AF_INET6, .cidr = 64 };
	struct wgallowedip ip4 = { .family = AF_INET, .cidr = 32, .next_allowedip = &ip6 };
	struct wgpeer last = { .flags = WGPEER_REMOVE_ME, .first_allowedip = &ip4 };
	struct wgpeer middle = { .flags = WGPEER_UPDATE_ONLY, .next_peer = &last,
				 .first_allowedip = &ip4 };
	struct wgpeer first = { .flags = WGPEER_REPLACE_ALLOWEDIPS | WGPEER_HAS_PRESHARED_KEY |
					 WGPEER_HAS_PERSISTENT_KEEPALIVE_INTERVAL,
				.persistent_keepalive_interval = 25, .next_peer = &middle };
	struct wgdevice dev = device_named("wg0", &first);
	pid_t pid = serve("errno=0\n\n", 9, 9, SIZE_MAX);

	(void)state;
	dev.flags = WGDEVICE_HAS_PRIVATE_KEY | WGDEVICE_HAS_LISTEN_PORT | WGDEVICE_HAS_FWMARK |
		    WGDEVICE_REPLACE_PEERS;
	dev.listen_port = 65535;
	dev.fwmark = UINT32_MAX;
	assert_int_equal(inet_pton(AF_INET, "10.0.0.1", &ip4.ip4), 1);
	assert_int_equal(inet_pton(AF_INET6, "2001:db8::", &ip6.ip6), 1);
	key_from_hex(middle.public_key, HEX_1);
	key_from_hex(last.public_key, HEX_1);
	first.endpoint.addr6.sin6_family = AF_INET6;
	first.endpoint.addr6.sin6_port = htons(7);
	first.endpoint.addr6.sin6_addr.s6_addr[15] = 1;
	assert_int_equal(ipc_set_device(&dev), 0);
	assert_int_equal(errno, 0);
	end_server(pid);
	check_request("set=1\nprivate_key=" HEX_0 "\nlisten_port=65535\nfwmark=4294967295\n"
		      "replace_peers=true\n"
		      "public_key=" HEX_0 "\npreshared_key=" HEX_0 "\nendpoint=[::1]:7\n"
		      "persistent_keepalive_interval=25\nreplace_allowed_ips=true\n"
		      "public_key=" HEX_1 "\nupdate_only=true\n"
		      "allowed_ip=10.0.0.1/32\nallowed_ip=2001:db8::/64\n"
		      "public_key=" HEX_1 "\nremove=true\n\n");
}

static void set_returns_what_is_answered(void **state)
{
	static const struct {
		const char *answer;
		int expected;
	} cases[] = {
		{ "errno=0\n\n", 0 }, { "errno=-22\n\n", -22 }, { "errno=22\n\n", -22 },
		{ "future=1\nerrno=1\n\n", -1 }, { "errno=0\n", -EPROTO }, { "", -EPROTO },
		{ "\n", -EPROTO }, { "errno\n\n", -EPROTO }, { "errno=x\n\n", -EPROTO },
	};
	struct wgdevice dev = device_named("wg0", NULL);
	pid_t pid;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		pid = serve(cases[i].answer, strlen(cases[i].answer), strlen(cases[i].answer),
			    SIZE_MAX);
		assert_int_equal(ipc_set_device(&dev), cases[i].expected);
		assert_int_equal(errno, -cases[i].expected);
		end_server(pid);
	}
	check_request("set=1\n\n");
}

/* A program that hangs up half-way: its answer counts if it is an error, and never as done. */
static void set_is_cut_short(void **state)
{
	enum { PEERS = 20000 };
	struct wgpeer *peers = calloc(PEERS, sizeof(*peers));
	struct wgdevice dev = device_named("wg0", peers);
	pid_t pid = serve("errno=-22\n\n", 11, 11, 100);
	int ret;

	(void)state;
	for (size_t i = 0; i < PEERS - 1; i++)
		peers[i].next_peer = &peers[i + 1];
	assert_int_equal(ipc_set_device(&dev), -22);
	end_server(pid);
	pid = serve("errno=0\n\n", 9, 9, 100);
	ret = ipc_set_device(&dev);
	assert_true(ret == -EPIPE || ret == -ECONNRESET);
	assert_int_equal(errno, -ret);
	end_server(pid);
	free(peers);
}

/* Nobody accepts: the connection stands, in the backlog, and nothing comes. */
static void silence_ends(void **state)
{
	struct wgdevice dev = device_named("wg0", NULL);
	int listener = bind_socket("wg0");

	(void)state;
	assert_int_equal(listen(listener, 1), 0);
	is_impatient = true;
	check_refused(-ETIMEDOUT);
	assert_int_equal(ipc_set_device(&dev), -ETIMEDOUT);
	check_refused(-ETIMEDOUT); /* the backlog is full */
	is_impatient = false;
	close(listener);
}

static void names_are_checked(void **state)
{
	static const char *const names[] = { "", "0123456789abcdef", "../wg0", "a/b", "/" };
	struct wgdevice *dev, change;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_int_equal(ipc_get_device(&dev, names[i]), -EINVAL);
		assert_null(dev);
		if (strlen(names[i]) >= IFNAMSIZ)
			continue;
		change = device_named(names[i], NULL);
		assert_int_equal(ipc_set_device(&change), -EINVAL);
	}
	memset(change.name, 'a', sizeof(change.name));
	assert_int_equal(ipc_set_device(&change), -EINVAL);
}

static bool is_listed(const char *wanted)
{
	char *names = ipc_list_devices();
	bool found = false;

	assert_non_null(names);
	for (const char *name = names; *name; name += strlen(name) + 1)
		found = found || !strcmp(name, wanted);
	free(names);
	return found;
}

/* Nobody listens: as if there were no socket, so the kernel is asked. The socket stays. */
static void stale_sockets_do_not_count(void **state)
{
	struct wgdevice *dev;
	int ret;

	(void)state;
	close(bind_socket("wg-stale"));
	ret = ipc_get_device(&dev, "wg-stale");
	assert_true(ret < 0);
	assert_null(dev);
	assert_false(is_listed("wg-stale"));
	assert_int_equal(unlink(SOCKET_DIR "/wg-stale.sock"), 0);
	assert_int_equal(ipc_get_device(&dev, "wg-stale"), ret);
}

static void list_has_those_who_answer(void **state)
{
	int listener = bind_socket("wg-listed"), other = bind_socket("name-far-too-long-for-one");

	(void)state;
	assert_int_equal(listen(listener, 5), 0);
	assert_int_equal(listen(other, 5), 0);
	assert_true(is_listed("wg-listed"));
	assert_false(is_listed("name-far-too-long-for-one"));
	close(listener);
	close(other);
	assert_false(is_listed("wg-listed"));
}

static int enter_folder(void **state)
{
	(void)state;
	if (RUNSTATEDIR[0] == '/' || !mkdtemp(folder) || chdir(folder))
		return -1;
	return mkdir(RUNSTATEDIR, 0700) || mkdir(SOCKET_DIR, 0700) ? -1 : 0;
}

static int remove_folder(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(get_reads_all),
		cmocka_unit_test(get_refuses_half_an_answer),
		cmocka_unit_test(get_survives_a_wrong_byte),
		cmocka_unit_test(get_refuses_a_nul),
		cmocka_unit_test(get_refuses_nonsense),
		cmocka_unit_test(get_refuses_an_endless_line),
		cmocka_unit_test(get_hands_on_the_error),
		cmocka_unit_test(get_reads_a_large_device),
		cmocka_unit_test(set_sends_all_in_order),
		cmocka_unit_test(set_returns_what_is_answered),
		cmocka_unit_test(set_is_cut_short),
		cmocka_unit_test(silence_ends),
		cmocka_unit_test(names_are_checked),
		cmocka_unit_test(stale_sockets_do_not_count),
		cmocka_unit_test(list_has_those_who_answer),
	};

	return cmocka_run_group_tests_name("compat_uapi", tests, enter_folder, remove_folder);
}
