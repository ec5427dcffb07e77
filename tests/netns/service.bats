#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What a service manager sees of the daemons: sd_notify(3)'s messages, the priority of each line,
# and that spawner and engine have nothing of it.

setup() {
	load leases
}

teardown() {
	hosts_del
}

# supervised HOST TAG [SOCKET] COMMAND...: runs it as systemd would, its standard error being the
# socket that JOURNAL_STREAM names; prints what it says there, and to the notify socket, with who
# said that: the main process or another.
supervised() {
	local socket=/run/notify
	[[ $3 != [/@]* ]] || { socket=$3 && set -- "$1" "$2" "${@:4}"; }
	spawn "$1" "$2" /usr/bin/python3 -c '
import os, socket, subprocess, sys, threading

name, command = sys.argv[1], sys.argv[2:]
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
notify.bind("\0" + name[1:] if name[0] == "@" else name)
journal, stderr = socket.socketpair()
stat = os.fstat(stderr.fileno())
os.environ["NOTIFY_SOCKET"] = name
os.environ["JOURNAL_STREAM"] = "%d:%d" % (stat.st_dev, stat.st_ino)
main = subprocess.Popen(command, stderr=stderr)
stderr.close()

def say(*words): # by one write, as two threads do
	os.write(1, (" ".join(map(str, words)) + "\n").encode())

def listen():
	while True:
		data, ancillary, *_ = notify.recvmsg(4096, 64)
		pid = int.from_bytes(ancillary[0][2][:4], sys.byteorder)
		if pid == os.getpid():
			return
		say("main" if pid == main.pid else "other", data.decode())

listener = threading.Thread(target=listen)
listener.start()
for line in journal.makefile():
	say("journal", line.rstrip())
status = main.wait()
notify.sendto(b"", notify.getsockname()) # behind all that the others have sent
listener.join()
say("status", status)
' "$socket" "${@:3}"
}

has() { # HOST TAG LINE...: these are the messages so far, in this order.
	diff <(out "$1" "$2" | grep -E '^(main|other|status) ') <(printf '%s\n' "${@:3}")
}

datagrams() { # HOST PID: whether it has a datagram socket, as those of syslog and notify are
	local inode
	for inode in $(on "$1" find "/proc/$2/fd" -lname 'socket:*' -printf '%l\n' | tr -dc '0-9\n'); do
		on "$1" grep -qE "^[^ ]+ [^ ]+ [^ ]+ [^ ]+ 0002 [^ ]+ +$inode( |$)" /proc/net/unix &&
			return
	done
}

alone() { # HOST server|client: only the monitor can tell
	local pid monitor
	monitor=$(pids "$1" "$2" monitor)
	datagrams "$1" "$monitor"
	for pid in $(pids "$1" "$2"); do
		[ "$pid" = "$monitor" ] || not datagrams "$1" "$pid"
	done
}

@test "server: READY when it serves, STOPPING when it is stopped" {
	two_hosts
	up_server
	on srv wg dynamic stop wg0
	supervised srv server wg dynamic server wg0 foreground pool "$POOLS"
	wait_for 5 has srv server "main READY=1"
	listens srv 970
	on srv wg dynamic show wg0 >/dev/null
	alone srv server
	on srv wg dynamic stop wg0
	wait_for 5 has srv server "main READY=1" "main STOPPING=1" "status 0"
}

@test "client: READY when it has its addresses, at an abstract socket" {
	two_hosts
	up_server
	only_tunnel c1
	supervised c1 client @notify wg dynamic client wg0 foreground
	wait_for 5 has c1 client "main READY=1"
	bound c1
	alone c1 client
	[[ $(out c1 client) == *$'\n'"journal <6>wg-dynamic: wg0: leased "* ]]
	on c1 ip link delete wg0
	wait_for 5 has c1 client "main READY=1" "main STOPPING=1" "status 0"
}

@test "client: READY when its wait is over, with a warning" {
	two_hosts
	wgq srv up wg0 # but no server on it
	only_tunnel c1
	supervised c1 client wg dynamic client wg0 foreground wait 2
	wait_for 5 has c1 client "main READY=1"
	[[ $(out c1 client) == *"journal <4>wg-dynamic: wg0: no addresses yet: cannot connect"* ]]
	serve
	wait_for 20 bound c1
	on c1 wg dynamic stop wg0
	wait_for 5 has c1 client "main READY=1" "main STOPPING=1" "status 0"
}

@test "a failure says no READY, and is an error in the journal" {
	host_new srv
	supervised srv server wg dynamic server wg0 foreground
	wait_for 5 has srv server "status 1"
	[[ $(out srv server) == "journal <3>wg-dynamic: wg0: there is no such interface: "* ]]
}

@test "in the background nobody is told: it may be another's socket" {
	two_hosts
	up_server
	on srv wg dynamic stop wg0
	supervised srv server wg dynamic server wg0 pool "$POOLS"
	wait_for 5 has srv server "status 0"
	alone srv server
}

@test "a socket that is not there costs a warning, and no more; no prefix on any other stderr" {
	two_hosts
	up_server
	on srv wg dynamic stop wg0
	spawn srv server env NOTIFY_SOCKET=/run/nosuch JOURNAL_STREAM=1:1 \
		wg dynamic server wg0 foreground pool "$POOLS"
	wait_for 5 on srv wg dynamic show wg0
	[[ $(out srv server) == "wg-dynamic: wg0: cannot reach NOTIFY_SOCKET: No such file or directory"* ]]
}
