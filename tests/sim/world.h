/* SPDX-License-Identifier: MIT */
/*
 * The simulation of the server: its engine, whole and unchanged, in a world that does to it whatever
 * bytes say: clients that ask, an administrator, time, a disk that fails, and its own death at any
 * system call. The monitor's judgement (guard.c) is the real one, too; the device is a list. After
 * each step what must always hold is checked, and now and then, when all has come to rest, what must
 * hold then:
 *
 * - no two clients have been promised the same address at the same time;
 * - what a client has been told is on disk, and in the device;
 * - what the administrator has given to a peer is never taken from it;
 * - free and leased addresses make up the pool;
 * - at rest: a promise is kept across any end of any process, the device has the administrator's
 *   addresses and those leased and no others, and whoever asks is answered.
 *
 * Peers are told apart by their index here. Time is in ms of sim_now.
 */

#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "encoding.h"
#include "engine.h"
#include "guard.h"
#include "kernel.h"
#include "server-setup.h"
#include "server_sim.h"

enum {
	PEERS = 12,
	WITHOUT = 10, /* from this peer on they have no link-local of the administrator's */
	CONFIGS = 3,
	ENTRIES = 256,
	REST_MS = 45000, /* longer than from one reading of the device to the next */
	STEPS = 20000, /* until then: else it is busy for ever */
	SLACK_MS = 1000, /* of a promise: it is counted in whole seconds */
	PROBE_MS = 12000,
	TAKES = 64,
	LARGE_WORLDS = 24, /* of 256 worlds, so many have a large device */
};

/* An address that the server has told a client to be its own until then. */
struct promise {
	struct cidr ip; /* family 0: none */
	uint64_t until;
};

struct peer {
	uint8_t key[KEY_LEN];
	char text[WG_KEY_LEN_BASE64];
	uint8_t link_local[16];
	bool there;
	uint64_t changed; /* when the administrator last touched it */
	struct promise promise[FAMILIES];
	uint32_t changing; /* requests under way that want another address, or none */
	uint32_t change; /* counts them */
	struct promise durable[FAMILIES]; /* as the journal on disk says */
};

/* An entry of some peer's allowed-ips. */
struct entry {
	struct cidr ip;
	int peer;
	bool ours; /* put there by the server */
	bool leased; /* given by the administrator to who holds it by a lease, too */
	uint64_t changed; /* by the administrator */
};

struct connection {
	struct sim_socket *socket; /* NULL: free */
	int peer;
	bool asked, changes;
	bool overlaps; /* another request of this peer, of which one changes something, is under way */
	uint32_t change;
	uint64_t asked_at;
	uint64_t known; /* what the administrator did before, the server knew then */
};

extern struct world {
	struct peer peers[PEERS];
	struct entry entries[ENTRIES];
	uint32_t entry_count;
	struct connection connections[SIM_CONNECTIONS];
	uint32_t config; /* index */
	struct served served; /* what the monitor has on disk of it */
	uint32_t device, boot; /* count those that there have been */
	uint64_t engine_at; /* when the engine wants to be called again */
	bool engine_runs;
	bool large; /* the device: not read for each decision */
} world;

extern struct configs {
	struct server_config config[CONFIGS];
	int policy_fd[CONFIGS];
	struct policy policy[CONFIGS];
	bool made;
} configs;

extern struct monitor {
	struct guard guard;
	uint32_t stamp, engine_stamp;
	struct server_reading reading; /* as told */
	int reading_fd; /* -1: none */
	uint64_t adopted, read_at;
	uint32_t cost; /* ms that a reading takes */
	uint32_t failing; /* times that the device will not do what it is told */
	bool reading_runs;
	int child_fd;
	uint64_t child_began, child_ends;
	uint32_t child_stamp;
	struct {
		struct server_orders orders;
		uint64_t came;
	} takes[TAKES];
	uint32_t take_count;
} monitor;

extern struct server server; /* the engine */

/* --- world.c --- */

/* A new world, with the peers in their first state; made from the bytes that byte() will give. */
void world_make(const uint8_t *bytes, size_t len);

/* The next byte of what drives the world; 0 when there is none left. */
uint8_t byte(void);
bool bytes_left(void);

/* Ends the test, with what is wrong; ip may be NULL. */
void wrong(const char *what, int peer, const struct cidr *ip) __attribute__((noreturn));

/* With SIM_TRACE in the environment, all that happens is told. */
void trace(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* For it: valid until the next call. */
const char *text_of(const struct cidr *ip);

struct cidr address(const char *text);

/* Some address of the first pools, or near them. */
struct cidr some_address(uint8_t which);

/* --- device.c --- */

/* -1: no peer's. */
int peer_of_key(const uint8_t *key);

/* The entry of exactly this network, or NULL. */
struct entry *entry_of(const struct cidr *ip);

/* Gives it to this peer, and takes it from who has it; ours: by the server. */
void entry_set(const struct cidr *ip, int peer, bool ours);

/* The peer has no allowed-ips; or what the administrator's file has for it. */
void peer_empty(int peer);
void peer_static(int peer);

/*
 * What the monitor does to the device; returns 0, or an errno. known: the time of the reading by
 * which it was ordered.
 */
int device_do_allow(const struct device_change *change, uint64_t known);
int device_do_take(const struct device_change *change);

/* A sealed memory file, as the child of device_read() leaves it. */
int reading_make(void);

/* --- monitor.c --- */

/* Sends to the engine, if it runs; fd is given away. */
void tell(const void *message, size_t len, int fd);
void tell_plain(enum server_message type, int fd);
void tell_journal(enum server_message type, int fd, int error, bool stands);
void tell_settings(void);
void tell_reading(void);

/* The reading that was begun is done. */
void read_end(void);

/* At most so many messages; returns whether there was anything to do. */
bool monitor_turn(uint32_t messages);

/* When it has something to do at the latest. */
uint64_t monitor_at(void);

/* --- processes.c --- */

/* The monitor starts the engine; the administrator starts or restarts the daemon. */
void engine_start(void);
void daemon_begin(void);
void daemon_begin_anew(void);

/* All that the process had is gone. */
void engine_died(void);
void monitor_died(void);

/* One turn of the engine's loop, unless it dies in it. */
void engine_turn(void);

/* The administrator asks the engine, as `wg dynamic release' and `show' do. */
void engine_release(const uint8_t key[static KEY_LEN]);
void engine_show(void);

/* --- clients.c --- */

bool promised(const struct promise *promise);
void promises_drop(int peer);

/* The administrator has given it to this peer: other leases of it end. */
void promises_drop_address(const struct cidr *ip, int except);

/* What was changed in the device before then, the server takes into account for this peer. */
uint64_t known_of(int peer);

/* What happens to clients, as bytes say; and all that have been answered read it. */
void client_asks(void);
void client_babbles(void);
void client_hangs_up(void);
void client_reads_slowly(void);
void client_reads_on(void);
void clients_read(void);
void connections_drop(void);

/* --- checks.c --- */

/* More of the journal has been written: from this byte on. */
void was_written(const struct sim_file *file, size_t from);

/* More of the journal is on disk: from this byte on. */
void became_durable(const struct sim_file *file, size_t from);

/* What must hold after each step. */
void check_always(void);

/* Lets everything that is under way come to its end, and checks what must hold then. */
void rest(void);

#endif
