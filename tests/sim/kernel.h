/* SPDX-License-Identifier: MIT */
/*
 * What the server's engine takes for the system, in a simulation of it: a clock, files, sockets,
 * memory and the channel to its monitor, all of them the test's. The linker hands the engine's
 * system calls over (--wrap); loop.c and channel.c are replaced.
 *
 * Any system call may be the last: then all that the process had is gone, and what was written
 * stays. Cutting the power takes what is not on disk as well.
 */

#ifndef SIM_KERNEL_H
#define SIM_KERNEL_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "channel.h"
#include "loop.h"

enum {
	SIM_FD = 1000, /* the first of the simulated descriptors */
	SIM_LISTENER = SIM_FD,
	SIM_CALLER,
	SIM_MONITOR,
	SIM_FILES, /* descriptors of files begin here */
	SIM_SOCKETS = SIM_FD + 100, /* and of connections here */
	SIM_CONNECTIONS = 16,
	SIM_BACKLOG = 4096, /* bytes that an answer may have */
};

/* --- time --- */

extern uint64_t sim_now; /* ms of CLOCK_BOOTTIME */
extern int64_t sim_wall; /* what time(2) says */

/* --- the process --- */

extern jmp_buf sim_crash; /* where it goes on when the process has died */
extern uint32_t sim_calls_left; /* system calls until it dies; 0: it does not */

/* Whose code runs: memory is the engine's or the monitor's, and only the engine dies at a call. */
enum sim_process { SIM_OF_TEST, SIM_OF_ENGINE, SIM_OF_MONITOR, SIM_PROCESSES };
void sim_enter(enum sim_process process);

/* Each system call of the engine begins with this: it may be its last. */
void sim_system_call(void);

/* Frees all memory of the process; the engine's connections and descriptors end. */
void sim_process_end(enum sim_process process);

/* The engine has been given a real descriptor. */
void sim_hand(int fd);

/* --- files --- */

enum sim_disk { SIM_DISK_GOOD, SIM_DISK_FULL, SIM_DISK_BROKEN };

struct sim_file {
	char *bytes;
	size_t len, room;
	size_t end, durable; /* behind the records; and those on the disk */
	bool named; /* it stands under the journal's name */
};

extern enum sim_disk sim_disk;
extern struct sim_file *sim_journal; /* the one with the name */
extern struct sim_file *sim_fresh; /* one that is being written anew, or NULL */

/* Called whenever more of the journal is written. */
extern void (*sim_written)(const struct sim_file *file, size_t from);

/* Called whenever more of a file is durable, and for all that is, when it has got the name. */
extern void (*sim_durable)(const struct sim_file *file, size_t from);

void sim_files_reset(void); /* an empty journal, durable */
void sim_file_make_fresh(void);
void sim_file_drop_fresh(void);
void sim_file_rename(void);

/* Of what is not durable there are so many bytes left, the last of them garbage if torn. */
void sim_power_cut(size_t kept, bool torn);

/* The descriptor of a file, as the monitor hands it over. */
int sim_file_fd(struct sim_file *file);

/* --- connections --- */

struct sim_socket {
	bool used, accepted, closed; /* closed: by the server */
	bool eof; /* by the client */
	bool edge; /* something has happened that epoll has not told yet */
	uint8_t from[16];
	uint16_t port;
	char in[8192], out[SIM_BACKLOG];
	size_t in_len, out_len, out_room; /* room: bytes that send() takes until more is made */
	struct watch *watch;
};

extern struct sim_socket sim_sockets[SIM_CONNECTIONS];

/* A connection from this address and port; NULL when all are in use. */
struct sim_socket *sim_connect(const uint8_t from[static 16], uint16_t port);
void sim_connections_end(void); /* all that the engine has */
void sim_closed(int fd); /* by the engine */
void sim_send(struct sim_socket *socket, const char *bytes, size_t len);
void sim_hang_up(struct sim_socket *socket);

/* --- the channel --- */

struct sim_message {
	struct sim_message *next;
	size_t len;
	int fd;
	uint64_t note; /* the test's own; 0 at first */
	union message_buffer buffer;
};

struct sim_queue {
	struct sim_message *first, **end;
};

extern struct sim_queue sim_to_engine, sim_to_monitor;

void sim_queue_add(struct sim_queue *queue, const void *message, size_t len, int fd);

/* The first of them, to be freed by sim_message_free(); NULL if there is none. */
struct sim_message *sim_queue_take(struct sim_queue *queue);
void sim_message_free(struct sim_message *message);
void sim_queue_clear(struct sim_queue *queue);

/* --- the loop --- */

/* Tells the engine of all that has happened, as epoll would, once. */
void sim_deliver(void);

/* Whether there is something to tell. */
bool sim_pending(void);

#endif
