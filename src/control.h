/* SPDX-License-Identifier: MIT */
/*
 * The status socket of a daemon, RUNSTATEDIR/wg-dynamic/IFACE.ROLE.sock, mode 0600. It speaks the
 * text protocol of WireGuard's UAPI: `get=1' and a blank line; answered by key=value lines, errno=0
 * and a blank line. A server also takes `release=KEY' (in hexadecimal), which ends a peer's lease,
 * and is answered by an errno= alone. The monitor makes it, the engine answers, commands ask. That
 * it is there and answers is what says that the daemon runs.
 *
 * The keys, in this order; times are in seconds, and what there is not is left out:
 *
 *	interface= role=	first
 *	lease_time= config=	server; the file's name
 *	reload_error=	server: why the last reload was refused
 *	route= dns= search= mtu=	server, repeated: what it pushes
 *	state= server_public_key= link_local= ip= (repeated) lease_time= request_in= expires_in=
 *	last_error=		client
 *	route= allowed_ip= dns= search= (repeated) mtu=	client, what is configured
 *	refused=		client, repeated: what is not
 *	counter_uptime=		of the engine; all counters begin at 0 with it
 *	counter_NAME= or counter_GROUP_NAME=
 *	pool= pool_leased= pool_free=	server, for each pool
 *	public_key= ip= allowed_ip= (both repeated) expires_in=	server, for each lease
 *	link_local_key= allowed_ip=	server, for each derived link-local that is from us
 *
 * allowed_ip= is what the daemon has put into AllowedIPs, and the administrator has not.
 */

#ifndef CONTROL_H
#define CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "loop.h"

#define CONTROL_DIR RUNSTATEDIR "/wg-dynamic"

enum { CONTROL_ROLES = 2 };
extern const char *const control_roles[CONTROL_ROLES]; /* `client' and `server' */

enum {
	CONTROL_SESSIONS = 4, /* that are answered at a time; more wait */
	CONTROL_CHUNK = 4096, /* bytes that fill() has room for */
	CONTROL_LINE = 512, /* no more at a time than this is needed */
	CONTROL_ANSWER = 256 << 20, /* bytes: of 500,000 peers, and more */
};

/* --- monitor --- */

/*
 * Makes the directory and the socket, and listens. Returns the descriptor; -EADDRINUSE when there
 * is a daemon already, which answers or has not ended within 10 s; or another -errno. What a crash
 * left behind is replaced.
 */
int control_listen(const char *interface, const char *role);

/* Removes the socket's name. */
void control_unlink(const char *interface, const char *role);

/* --- engine --- */

/*
 * Writes the next lines of the status, each whole, into buf (CONTROL_CHUNK bytes); *cursor is 0 at
 * first and the callee's own afterwards. Returns their length, 0 at the end.
 */
typedef size_t control_fill(void *data, uint64_t *cursor, char *buf);

/*
 * Carries out `release=VALUE'. Returns 0 or an errno, for the answer; or EAGAIN, while it is under
 * way: then it is called `again' in each control_turn(), to say what came of it.
 */
typedef int control_release(void *data, const char *value, bool again);

struct control_session {
	struct watch watch;
	struct control *control;
	bool busy, answering, releasing, ended;
	uint64_t cursor, deadline;
	size_t len, sent;
	char buf[CONTROL_CHUNK];
};

struct control {
	struct loop *loop;
	struct watch listener;
	control_fill *fill;
	control_release *release; /* NULL: it is not known */
	void *data;
	struct control_session *sessions[CONTROL_SESSIONS];
	uint64_t accept_at; /* when to accept again; 0: always */
};

/*
 * Answers on the listening descriptor from now on, which it owns. False with errno set. release
 * may be NULL.
 */
bool control_open(struct control *control, struct loop *loop, int fd, control_fill *fill,
		  control_release *release, void *data);

/*
 * Writes a counter's line, with the prefix that makes its key one. Returns its length; there must
 * be room for it.
 */
size_t control_counter(char *buf, size_t size, const char *name, uint64_t value);

/*
 * Cuts whoever is too slow, and accepts again after a pause. Returns when to call it again: as
 * loop_run()'s turn().
 */
uint64_t control_turn(struct control *control, uint64_t now);

/* --- commands --- */

/*
 * Asks for the status. Returns a stream with the answer, to be read line by line and closed by
 * the caller; NULL with errno set (ENOENT or ECONNREFUSED: no such daemon runs).
 * Reading fails when nothing comes for 10 s, and when the answer takes more than 30 s (ETIMEDOUT)
 * or is longer than CONTROL_ANSWER (EFBIG).
 */
FILE *control_ask(const char *interface, const char *role);

/*
 * Tells a server to end the lease of this key (in hexadecimal), and waits for that. Returns 0;
 * -ENODATA: there is none; -EIO: it goes on; -ETIMEDOUT: perhaps; -ENOENT or -ECONNREFUSED: no
 * server runs; or another -errno.
 */
int control_release_lease(const char *interface, const char *hex);

/* A descriptor (pidfd) for the process of the monitor, the caller's; or -errno as above. */
int control_process(const char *interface, const char *role);

/* The pid of the monitor, by what the kernel says of who listens there; or -errno as above. */
pid_t control_pid(const char *interface, const char *role);

#endif
