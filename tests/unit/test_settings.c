// SPDX-License-Identifier: MIT
/*
 * Settings: each word and key, each error with its line, and what each peer gets in the end, by
 * way of the memory file that both halves of the server share.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "policy.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* Keys of 32 times the same byte: 1, 2 and 3. */
#define KEY1 "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
#define KEY2 "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="
#define KEY3 "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM="
#define FILE_NAME "settings.conf"

static struct settings settings;
static struct policy policy;
static char error[SETTINGS_ERROR];

static int clear(void **state)
{
	(void)state;
	settings_close(&settings);
	policy_unmap(&policy);
	unlink(FILE_NAME);
	return 0;
}

static bool read_bytes(const char *bytes, size_t len)
{
	FILE *file = fopen(FILE_NAME, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
	settings_close(&settings);
	settings_open(&settings);
	*error = '\0';
	return settings_file(&settings, FILE_NAME, error);
}

static bool read_text(const char *text)
{
	return read_bytes(text, strlen(text));
}

static void good(const char *text)
{
	if (!read_text(text))
		fail_msg("%s", error);
}

/* With words that end with NULL. */
static bool words(const char *const *list)
{
	size_t count = 0;

	while (list[count])
		++count;
	return settings_words(&settings, list, count, error);
}

static void share(void)
{
	int fd = policy_make(&settings);

	assert_true(fd >= 0);
	policy_unmap(&policy);
	assert_int_equal(policy_map(&policy, fd), 0);
	close(fd);
}

/* What the peer with this key, 32 times the byte, gets: the lines of an answer. */
static void assert_gets(uint8_t key, const char *text)
{
	char lines[OPTIONS_TEXT];
	struct options options;
	uint8_t bytes[KEY_LEN];
	size_t len;

	memset(bytes, key, KEY_LEN);
	policy_options(&policy, bytes, &options);
	len = options_encode(lines, &options, UINT32_MAX);
	lines[len] = '\0';
	assert_string_equal(lines, text);
}

static struct cidr cidr(const char *text)
{
	struct cidr c;

	assert_true(cidr_parse(&c, text, strlen(text)));
	return c;
}

static bool forbids(const char *ip, uint8_t key)
{
	struct cidr c = cidr(ip);
	uint8_t bytes[KEY_LEN];

	memset(bytes, key, KEY_LEN);
	return policy_forbids(&policy, &c, bytes);
}

/* --- tests --- */

static void every_key(void **state)
{
	(void)state;
	good("[Server]\nPool = 192.0.2.0/24, 2001:db8::/64\nExclude = 192.0.2.9, 192.0.2.16/28\n"
	     "LeaseTime = 600\nLinkLocals = auto\nRoute = 10.0.0.0/8,fd00:5::/48\n"
	     "DNS = 192.0.2.53,2001:db8::53\nSearch = corp.example\nMTU = 1380\n");
	assert_int_equal(settings.pools.count, 2);
	assert_int_equal(settings.pools.excludes, 2);
	assert_int_equal(settings.lease_time, 600);
	assert_true(settings.link_locals);
	share();
	assert_gets(1, "route=10.0.0.0/8\nroute=fd00:5::/48\ndns=192.0.2.53\n"
		       "dns=2001:db8::53\nsearch=corp.example\nmtu=1380\n");
}

static void nothing(void **state)
{
	static const char *const texts[] = { "", "\n\n", "# nothing\n", "[Server]", "[Server]\n#x" };

	(void)state;
	for (size_t i = 0; i < COUNT(texts); ++i) {
		good(texts[i]);
		assert_int_equal(settings.pools.count, 0);
		assert_int_equal(settings.lease_time, SETTINGS_LEASE_TIME);
		assert_false(settings.link_locals);
		share();
		assert_gets(1, "");
		assert_false(forbids("192.0.2.1", 1));
	}
}

static void blanks_case_and_comments(void **state)
{
	(void)state;
	good("  [ SERVER ]\t# here\r\n\tpOOL=192.0.2.0 / 24 , 198.51.100.0/24#Pool = x\n"
	     "lease TIME = 6 0\n#MTU = 1\nRoute =\n[PEER]\npublickey=" KEY1 "\nsearch=A.b,1.x2\n"
	     "[server]\nPool = 203.0.113.0/24");
	assert_int_equal(settings.pools.count, 3);
	assert_int_equal(settings.lease_time, 60);
	share();
	assert_gets(1, "search=A.b\nsearch=1.x2\n");
	assert_gets(2, "");
}

static void every_error(void **state)
{
	static const struct {
		uint32_t line;
		const char *text, *error;
	} cases[] = {
		{ 1, "Pool = 192.0.2.0/24", "`Pool=192.0.2.0/24' stands before any section" },
		{ 1, "[Interface]", "`[Interface]' is no section of a server's file: those are" },
		{ 2, "\n[Server", "`[Server' is no section" },
		{ 2, "[Server]\nPool 192.0.2.0/24", "`Pool192.0.2.0/24' is neither a section nor" },
		{ 2, "[Server]\nPublicKey = " KEY1, "`PublicKey' is no key of [Server], which has" },
		{ 2, "[Server]\nPools = x", "`Pools' is no key" },
		{ 2, "[Server]\nPoo = x", "`Poo' is no key" },
		{ 2, "[Server]\nlease-time = 5", "`lease-time' is no key" },
		{ 2, "[Server]\n = 5", "`' is no key" },
		{ 2, "[Peer]\nPool = x", "`Pool' is no key of [Peer], which has PublicKey," },
		{ 2, "[Peer]\nEndpoint = x", "`Endpoint' is no key of [Peer]" },
		{ 2, "[Server]\nPool =", "Pool `' is not a network: write ADDRESS/BITS" },
		{ 2, "[Server]\nPool = 192.0.2.0", "Pool `192.0.2.0' is not a network" },
		{ 2, "[Server]\nPool = 192.0.2.0/24,", "Pool `' is not a network" },
		{ 3, "[Server]\nPool = 192.0.2.0/24\nPool = 192.0.2.0/25",
		  "Pool `192.0.2.0/25' overlaps another pool" },
		{ 2, "[Server]\nExclude = x", "Exclude `x' is neither an address nor a network" },
		{ 2, "[Server]\nExclude = 192.0.2.1/24", "Exclude `192.0.2.1/24' has bits set" },
		{ 2, "[Server]\nLeaseTime =", "LeaseTime `' is not a number of seconds from 1" },
		{ 2, "[Server]\nLeaseTime = 0", "LeaseTime `0' is not" },
		{ 2, "[Server]\nLeaseTime = 31536001", "LeaseTime `31536001' is not" },
		{ 2, "[Server]\nLeaseTime = 5, 6", "LeaseTime `5,6' is not" },
		{ 3, "[Server]\nLeaseTime = 5\nLeaseTime = 5", "LeaseTime is given twice" },
		{ 2, "[Server]\nLinkLocals = on", "LinkLocals `on' is not one of its values" },
		{ 2, "[Server]\nLinkLocals =", "LinkLocals `' is not" },
		{ 2, "[Server]\nRoute = 10.0.0.0/33", "Route `10.0.0.0/33' is not a network" },
		{ 2, "[Server]\nRoute = 10.0.0.0/8,", "Route `' is not a network" },
		{ 2, "[Server]\nDNS = a.example", "DNS `a.example' is not the address of a resolver" },
		{ 2, "[Server]\nDNS = 192.0.2.0/24", "DNS `192.0.2.0/24' is not the address" },
		{ 2, "[Server]\nDNS=10.0.0.1,10.0.0.2,10.0.0.3,10.0.0.4,10.0.0.5,10.0.0.6,"
		     "10.0.0.7,10.0.0.8,10.0.0.9", "DNS `10.0.0.9' is one resolver too many" },
		{ 2, "[Server]\nDNS = 192.0.2.53, 127.0.0.53",
		  "DNS `127.0.0.53' can't be reached through a tunnel: write an address" },
		{ 2, "[Server]\nDNS = ::1", "DNS `::1' can't be reached" },
		{ 2, "[Server]\nDNS = 0.0.0.0", "DNS `0.0.0.0' can't be reached" },
		{ 2, "[Server]\nDNS = 224.0.0.1", "DNS `224.0.0.1' can't be reached" },
		{ 2, "[Peer]\nDNS = 169.254.1.1", "DNS `169.254.1.1' can't be reached" },
		{ 2, "[Server]\nDNS = fe80::1", "DNS `fe80::1' can't be reached" },
		{ 2, "[Server]\nSearch = 192.0.2.53", "Search `192.0.2.53' is no domain, as it ends "
		     "with a number: addresses of resolvers go to the setting `dns'" },
		{ 2, "[Peer]\nSearch = corp.1", "Search `corp.1' is no domain" },
		{ 2, "[Server]\nSearch = a..b", "Search `a..b' is not a domain" },
		{ 2, "[Server]\nSearch = $(x)", "Search `$(x)' is not a domain" },
		{ 2, "[Server]\nSearch=a,b,c,d,e,f,g,h,i", "Search `i' is one domain too many" },
		{ 2, "[Server]\nMTU = 1279", "MTU `1279' is not a number of bytes from 1280" },
		{ 3, "[Server]\nMTU = 1280\nmtu = 1280", "mtu is given twice: once is enough" },
		{ 3, "[Peer]\nMTU =\nMTU = 1280", "MTU is given twice" },
		{ 2, "[Peer]\nPublicKey =", "PublicKey `' is not a key" },
		{ 2, "[Peer]\nPublicKey = AAAA", "PublicKey `AAAA' is not a key: write what" },
		{ 3, "[Peer]\nPublicKey = " KEY1 "\nPublicKey = " KEY1, "PublicKey is given twice" },
		{ 1, "[Peer]", "this [Peer] has no PublicKey" },
		{ 2, "\n[Peer]\nMTU = 1300\n\n[Peer]\nPublicKey = " KEY1, "this [Peer] has no" },
		{ 2, "\n[Peer]\n\n[Server]\nMTU = 1300\n", "this [Peer] has no PublicKey" },
		{ 5, "[Peer]\nPublicKey = " KEY1 "\n\n#\n[Peer]\nPublicKey = " KEY1,
		  "the key of this [Peer] is that of line 1 already: put both into one" },
		{ 2, "[Peer]\nAllowedIPs = 192.0.2.0/24", "AllowedIPs `192.0.2.0/24' is not a single" },
		{ 2, "[Peer]\nAllowedIPs = 192.0.2.7,", "AllowedIPs `' is not a single address" },
		{ 2, "[Peer]\nAllowedIPs = fe80::1/128", "AllowedIPs `fe80::1/128' is an address that"
		     " is never leased" },
		{ 6, "[Peer]\nPublicKey = " KEY1 "\nAllowedIPs = 192.0.2.7\n[Peer]\n"
		     "PublicKey = " KEY2 "\nAllowedIPs = 192.0.2.8, 192.0.2.7/32",
		  "AllowedIPs 192.0.2.7/32 is reserved in line 3 already" },
		{ 3, "[Peer]\nPublicKey = " KEY1 "\nAllowedIPs = 192.0.2.7, 192.0.2.7",
		  "AllowedIPs 192.0.2.7/32 is reserved in line 3 already" },
	};
	char expected[SETTINGS_ERROR];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); ++i) {
		if (read_text(cases[i].text))
			fail_msg("taken: %s", cases[i].text);
		snprintf(expected, sizeof(expected), FILE_NAME ", line %u: %s", cases[i].line,
			 cases[i].error);
		if (strncmp(error, expected, strlen(expected)))
			fail_msg("not `%s' but `%s'", expected, error);
		assert_null(strchr(error, '\n'));
	}
}

static void no_text_and_no_file(void **state)
{
	char line[70000];

	(void)state;
	assert_false(read_bytes("[Server]\nMTU = 1300\0", 20));
	assert_string_equal(error, FILE_NAME ", line 2: holds a zero byte: this is no text file");
	/* However long a line is, what is quoted of it fits. */
	memset(line, 'x', sizeof(line));
	memcpy(line, "[Server]\nDNS=", 13);
	assert_false(read_bytes(line, sizeof(line)));
	assert_true(strlen(error) < 250);
	unlink(FILE_NAME);
	assert_false(settings_file(&settings, FILE_NAME, error));
	assert_string_equal(error, "cannot read " FILE_NAME ": No such file or directory");
	assert_false(settings_file(&settings, ".", error));
	assert_string_equal(error, "cannot read .: it is no regular file: write the settings "
			    "into one");
}

static void the_command_line_counts_more(void **state)
{
	static const char *const both[] = {
		"pool", "198.51.100.0/24", "pool", "203.0.113.0/24", "route", "10.3.0.0/16", "mtu",
		"1300", "lease-time", "9", "link-locals", "off", NULL,
	};
	static const char *const none[] = { "route", "", "exclude", "", "dns", "", NULL };

	(void)state;
	good("[Server]\nPool = 192.0.2.0/24\nRoute = 10.1.0.0/16\nRoute = 10.2.0.0/16\nMTU = 1400\n"
	     "DNS = 192.0.2.53\nExclude = 192.0.2.9\nLinkLocals = auto\nLeaseTime = 60\n");
	assert_true(words(both));
	assert_int_equal(settings.pools.count, 2);
	assert_int_equal(settings.pools.excludes, 1);
	assert_int_equal(settings.lease_time, 9);
	assert_false(settings.link_locals);
	share();
	assert_gets(1, "route=10.3.0.0/16\ndns=192.0.2.53\nmtu=1300\n");
	assert_true(words(none));
	assert_int_equal(settings.pools.excludes, 0);
	share();
	assert_gets(1, "mtu=1300\n");
}

static void words_that_are_wrong(void **state)
{
	static const struct {
		const char *words[5], *error;
	} cases[] = {
		{ { "pool", "x", NULL }, "pool `x' is not a network: write ADDRESS/BITS" },
		{ { "lease-time", "0", NULL },
		  "lease-time `0' is not a number of seconds from 1 to 31536000" },
		{ { "mtu", "1300", "mtu", "1300", NULL }, "mtu is given twice: once is enough" },
		{ { "link-locals", "", NULL },
		  "link-locals `' is not one of its values: write auto or off" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); ++i) {
		settings_close(&settings);
		settings_open(&settings);
		assert_false(words(cases[i].words));
		assert_string_equal(error, cases[i].error);
	}
	assert_true(settings_word("pool") && settings_word("link-locals"));
	assert_false(settings_word("Pool") || settings_word("linklocals") || settings_word(""));
}

static void peers_of_their_own(void **state)
{
	(void)state;
	/* In any order, also before the server's. */
	good("[Peer]\nRoute = 10.3.0.0/16\nSearch =\nPublicKey = " KEY3 "\n"
	     "[Server]\nRoute = 10.0.0.0/8\nDNS = 192.0.2.53\nSearch = a.example\nMTU = 1380\n"
	     "[Peer]\nPublicKey = " KEY2 "\nAllowedIPs = 192.0.2.9\n"
	     "[Peer]\nPublicKey = " KEY1 "\nDNS = 192.0.2.1\nDNS = 192.0.2.2\nMTU =\nRoute=");
	share();
	assert_gets(0, "route=10.0.0.0/8\ndns=192.0.2.53\nsearch=a.example\nmtu=1380\n");
	assert_gets(1, "dns=192.0.2.1\ndns=192.0.2.2\nsearch=a.example\n");
	assert_gets(2, "route=10.0.0.0/8\ndns=192.0.2.53\nsearch=a.example\nmtu=1380\n");
	assert_gets(3, "route=10.3.0.0/16\ndns=192.0.2.53\nmtu=1380\n");
	assert_gets(4, "route=10.0.0.0/8\ndns=192.0.2.53\nsearch=a.example\nmtu=1380\n");
}

static void reservations(void **state)
{
	(void)state;
	good("[Peer]\nAllowedIPs = 192.0.2.9, 2001:db8::9/128\nAllowedIPs =\nPublicKey = " KEY2 "\n"
	     "AllowedIPs = 192.0.2.8/32\n[Peer]\nPublicKey = " KEY1 "\nAllowedIPs = 192.0.2.1");
	share();
	assert_int_equal(policy.head->reservations, 4);
	assert_true(forbids("192.0.2.9", 1) && forbids("2001:db8::9", 1));
	assert_true(forbids("192.0.2.8", 3) && forbids("192.0.2.1", 2));
	assert_false(forbids("192.0.2.9", 2) || forbids("2001:db8::9", 2));
	assert_false(forbids("192.0.2.1", 1) || forbids("192.0.2.2", 1));
}

static void reservations_in_pools(void **state)
{
	static const struct {
		const char *ip, *error;
	} cases[] = {
		{ "192.0.2.7", NULL },
		{ "2001:db8::7", NULL },
		{ "198.51.100.7", "AllowedIPs 198.51.100.7/32 is in no pool: " },
		{ "192.0.2.255", "AllowedIPs 192.0.2.255/32 is its pool's own address: " },
		{ "2001:db8::", "AllowedIPs 2001:db8::/128 is its pool's own address: " },
		{ "192.0.2.17", "AllowedIPs 192.0.2.17/32 is excluded: " },
	};
	char text[512], expected[256];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); ++i) {
		snprintf(text, sizeof(text), "[Server]\nPool = 192.0.2.0/24,2001:db8::/64\n"
			 "Exclude = 192.0.2.16/28\n[Peer]\nPublicKey=" KEY1 "\nAllowedIPs=%s\n",
			 cases[i].ip);
		good(text);
		assert_int_equal(settings_check(&settings, FILE_NAME, error), !cases[i].error);
		if (!cases[i].error)
			continue;
		snprintf(expected, sizeof(expected), FILE_NAME ", line 6: %s", cases[i].error);
		assert_memory_equal(error, expected, strlen(expected));
	}
}

static void as_much_as_there_can_be(void **state)
{
	char *text = malloc(1 << 16);
	struct options options;
	size_t len;

	(void)state;
	assert_non_null(text);
	len = sprintf(text, "[Server]\n");
	for (int i = 0; i < OPTIONS_ROUTES; ++i)
		len += sprintf(text + len, "Route = 2001:db8:1234:5678:9abc:def0:1234:%x/128\n",
			       i + 0x1000);
	for (int i = 0; i < OPTIONS_SEARCH; ++i) {
		len += sprintf(text + len, "Search = %d", i);
		for (int j = 0; j < 252; ++j)
			len += sprintf(text + len, "%c", j % 64 == 62 ? '.' : 'a');
		len += sprintf(text + len, "\n");
	}
	good(text);
	share();
	policy_options(&policy, (const uint8_t[KEY_LEN]){ 0 }, &options);
	assert_int_equal(options.routes, OPTIONS_ROUTES);
	assert_int_equal(options.searches, OPTIONS_SEARCH);
	assert_true(options_equal(&options, &settings.options));
	sprintf(text + strlen(text), "Route = 10.0.0.0/8\n");
	assert_false(read_text(text));
	assert_non_null(strstr(error, "line 138: Route `10.0.0.0/8' is one route too many: 128"));
	free(text);
}

static void files_that_are_no_policy(void **state)
{
	struct policy other = { 0 };
	int fd = memfd_create("policy", MFD_ALLOW_SEALING), whole;
	char byte = 0;

	(void)state;
	good("[Peer]\nPublicKey = " KEY1 "\n");
	whole = policy_make(&settings);
	assert_true(whole >= 0);
	/* One that we could still change, one that is too short, and one that says too much. */
	assert_int_equal(policy_map(&other, fd), -EPROTO);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), 0);
	assert_int_equal(policy_map(&other, fd), -EPROTO);
	close(fd);
	fd = memfd_create("policy", MFD_ALLOW_SEALING);
	for (size_t i = 0; i < sizeof(struct policy_head); ++i)
		assert_int_equal(write(fd, &(uint8_t){ 1 }, 1), 1);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), 0);
	assert_int_equal(policy_map(&other, fd), -EPROTO);
	assert_null(other.head);
	close(fd);
	assert_int_equal(pwrite(whole, &byte, 1, 0), -1);
	close(whole);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(name, clear)
		TEST(every_key),
		TEST(nothing),
		TEST(blanks_case_and_comments),
		TEST(every_error),
		TEST(no_text_and_no_file),
		TEST(the_command_line_counts_more),
		TEST(words_that_are_wrong),
		TEST(peers_of_their_own),
		TEST(reservations),
		TEST(reservations_in_pools),
		TEST(as_much_as_there_can_be),
		TEST(files_that_are_no_policy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
