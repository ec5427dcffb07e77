#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Trouble with the device: gone and back, refilled, dead, busy; and with what netlink tells of it.
# (Dumps that are interrupted: unit/test_net.c, unit/test_compat_kernel.c. `wg syncconf': admin.bats.)

setup() {
	load leases
}

teardown() {
	hosts_del
}

# A monitor that does not look is told no more than its socket has room for; then a link that goes
# down and up, or is deleted.
overrun() { # HOST PID [delete]
	local n
	on "$1" kill -STOP "$2"
	for n in {1..1000}; do
		echo "address add 198.18.$((n >> 8)).$((n & 255))/32 dev lo"
	done | on "$1" ip -batch -
	if [[ ${3-} == delete ]]; then
		on "$1" ip link delete wg0
	else
		on "$1" ip link set wg0 down
		on "$1" ip link set wg0 up
	fi
	on "$1" kill -CONT "$2"
}

@test "netlink says more than a server has room for: fe80::/64 is back, leases are renewed" {
	local four six
	star "fe80::/128" c1
	up_server pool "$POOLS" lease-time 10
	wgq c1 up wg0
	four=$(v4 c1) six=$(v6 c1)
	watch_addresses c1
	overrun srv "$(pids srv server monitor)"
	not logged srv "the interface is gone"
	wait_for 5 has_addr srv wg0 fe80::/64
	new_session c1
	renews c1 "$four"
	bound c1 "$four" "$six"
	not lost c1
	agree c1
}

@test "netlink says more than a client has room for: link-local and addresses are back" {
	local four six
	star "fe80::/128" c1
	up_server pool "$POOLS" lease-time 30
	wgq c1 up wg0
	four=$(v4 c1) six=$(v6 c1)
	overrun c1 "$(pids c1 client monitor)"
	wait_for 5 has_addr c1 wg0 "${LL[c1]}/128"
	wait_for 5 has_addr c1 wg0 "$six/128"
	pids c1 client engine
	wait_for 20 at_least 25 lifetime c1 "$six" # renewed by the way that it needs for that
	bound c1 "$four" "$six"
}

@test "netlink says more than server and client have room for, and the interface is gone: so are they" {
	two_hosts "fe80::/128"
	up_server pool "$POOLS" lease-time 30
	only_client c1
	overrun c1 "$(pids c1 client monitor)" delete
	wait_for 5 not pids c1 client
	logged c1 "the interface has been removed"
	logs c1 | not grep cannot
	overrun srv "$(pids srv server monitor)" delete
	wait_for 5 not pids srv server
	logged srv "wg0: the interface is gone"
	logs srv | not grep cannot
}

under_strace() { # HOST PID WORD...: until no_strace.
	spawn "$1" strace strace -qq -o /run/trace "${@:3}" -p "$2"
	STRACE=$SPID
	wait_for 5 on "$1" grep -q '^TracerPid:.[1-9]' "/proc/$2/status"
}

no_strace() { # HOST
	on "$1" kill "$STRACE"
	wait_for 5 not on "$1" grep -q "^State:.[^Z]" "/proc/$STRACE/status"
}

slow_readings() { # HOST PID: of each the opening of a socket takes 0.5 s, which it learns by some.
	under_strace "$1" "$2" -f -e trace=socket -e inject=socket:delay_enter=500000
	on "$1" wg dynamic reload wg0
	on "$1" wg dynamic reload wg0
	on "$1" wg dynamic reload wg0
}

is_recorded() { # HOST
	[[ -n $(recorded "$1") ]]
}

# The order is there when the monitor wakes up, and the interface is another. It follows from what
# took long to read, and so is good for a while.
@test "device gone and back by the same name, under a server that does not look: it changes nothing there" {
	local held
	star "fe80::/128" c1 c2
	up_server pool "$POOLS" lease-time 600
	only_tunnel c1 c2
	slow_readings srv "$(pids srv server monitor)"
	ask c1
	held=$(lease_of c1)
	on srv kill -STOP "$(pids srv server monitor)" # before it can read quickly
	no_strace srv
	spawn c2 asks /usr/bin/python3 "$NETNS/raw.py" client --limit 5 'request_ip=1\n\n'
	wait_for 5 on c2 grep -q ':03CA 01 ' /proc/net/tcp6
	wait_for 2 is_recorded c2 # which comes before the order
	on srv ip link delete wg0
	wait_for 5 wgq srv up wg0
	on srv kill -CONT "$(pids srv server monitor)"
	wait_for 5 not pids srv server
	logged srv "wg0: the interface is gone"
	[ "$(allowed srv wg0 "${PUB[c1]}")" = "${LL[c1]}/128" ]
	[ "$(allowed srv wg0 "${PUB[c2]}")" = "${LL[c2]}/128" ]
	out c2 asks | not grep errno=0
	serve pool "$POOLS" lease-time 600
	wait_for 3 agree c1 c2
	[ "$(lease_of c1)" = "$held" ]
	new_session c1
	[[ $(ask c1) == *errno=0* && $(lease_of c1) == "$held" ]]
}

@test "a device that takes long to be set: who renews does not wait for those who are to get addresses" {
	local held host
	star "fe80::/128" c1 c2 c3
	up_server pool "$POOLS" lease-time 600
	only_tunnel c1 c2 c3
	slow_readings srv "$(pids srv server monitor)"
	held=$(ask c1 | grep ^ip=)
	on srv kill -STOP "$(pids srv server monitor)" # before it can read quickly
	no_strace srv
	for host in c2 c3; do
		spawn "$host" asks /usr/bin/python3 "$NETNS/raw.py" client --limit 9 'request_ip=1\n\n'
		wait_for 2 is_recorded "$host" # which comes before the order
	done
	[ "$(ask c1 | grep -E '^(ip|errno)=')" = "$held"$'\nerrno=0' ]
	not grep errno= "$NS"/c[23]/asks.out
	on srv kill -CONT "$(pids srv server monitor)"
	for host in c2 c3; do
		wait_for 5 grep -q errno=0 "$NS/$host/asks.out"
	done
	agree c1 c2 c3
}

@test "stopped while it reads its device, and started again at once" {
	local monitor
	star "fe80::/128" c1
	up_server pool "$POOLS" lease-time 60
	only_tunnel c1
	monitor=$(pids srv server monitor)
	under_strace srv "$monitor" -f -e trace=socket -e inject=socket:delay_enter=5000000
	spawn c1 asks /usr/bin/python3 "$NETNS/raw.py" client --limit 9 'request_ip=1\n\n'
	wait_for 5 has_children srv "$monitor" 2
	on srv wg dynamic stop wg0
	serve pool "$POOLS" lease-time 60
}

has_children() { # HOST PID NUMBER
	local pids
	read -ra pids < <(on "$1" cat "/proc/$2/task/$2/children")
	((${#pids[@]} == $3))
}

# Between its look at the device and the first of the kernel's events.
@test "device deleted while a server starts: it does not stay" {
	star "fe80::/128" c1
	wgq srv up wg0
	spawn srv server strace -f -qq -o /run/trace -e trace=socketpair \
		-e inject=socketpair:delay_enter=2000000:when=1 \
		wg dynamic server wg0 pool "$POOLS" foreground
	wait_for 5 listens srv 970
	on srv ip link delete wg0
	wait_for 10 not on srv grep -q "^State:.[^Z]" "/proc/$SPID/status"
	out srv server | grep -F "wg0: the interface is gone"
}

@test "wg setconf puts new peers in the place of all, at the server and at a client: leases go on" {
	local four six
	star "fe80::/128" c1 c2
	up_server pool "$POOLS" lease-time 60
	wgq c1 up wg0
	wgq c2 up wg0
	four=$(v4 c1) six=$(v6 c1)
	watch_addresses c1
	new_session srv
	not has_allowed srv wg0 "${PUB[c1]}" "$four/32"
	on c1 wg set wg0 peer "${PUB[srv]}" remove
	new_session c1
	new_session c2
	wait_for 32 bound c2
	bound c1 "$four" "$six"
	not lost c1
	agree c1 c2
	logged srv "ended:" 0
	at_least 2 logged_times srv "put back"
}

logged_times() { # HOST TEXT: how often it is in its syslog.
	logs "$1" | grep -cF -- "$2"
}

userspace() { # HOST: PID of what plays its device; fails where that is the kernel.
	# shellcheck disable=SC2016 # by the shell over there
	on "$1" bash -c 'for exe in /proc/[0-9]*/exe; do
		[[ $(readlink "$exe") != */wireguard-go ]] || echo "$exe"
	done' | cut -d/ -f3 | grep .
}

@test "wireguard-go killed under a server and a client: status 0, and with the next all goes on" {
	local four six
	star "fe80::/128" c1
	up_server pool "$POOLS" lease-time 60
	userspace srv >/dev/null || skip "the kernel has WireGuard"
	on srv wg dynamic stop wg0
	spawn srv server sh -c "wg dynamic server wg0 pool $POOLS lease-time 60 foreground; echo \"status \$?\""
	wait_for 3 listens srv 970
	only_client c1
	four=$(v4 c1) six=$(v6 c1)
	on srv kill -KILL "$(userspace srv)"
	wait_for 3 grep -qx "status 0" "$NS/srv/server.out"
	on c1 kill -KILL "$(userspace c1)"
	wait_for 3 not pids c1 client
	logged c1 "wg0: the interface has been removed"
	wgq srv up wg0
	serve pool "$POOLS" lease-time 60
	wgq c1 up wg0
	on c1 wg dynamic client wg0 wait 5
	bound c1 "$four" "$six"
	agree c1
}

# Each attempt to reach its device fails with EBUSY from now on, until no_strace; with -f also those
# of the children that read it.
busy() { # HOST PID [-f]
	under_strace "$1" "$2" ${3:+"$3"} -e trace=connect -e inject=connect:error=EBUSY
}

refused() { # HOST ADDRESS: it asks for that, and is told to try again later.
	raw "$1" client --limit 12 "request_ip=1\\nip=$2\\n\\n" | grep -x errno=4
}

@test "the device is busy: try again later; no end of a lease, and no other holder, until it is not" {
	local what
	local -A follow=([read]=-f)
	star "fe80::/128" c1 c2
	up_server pool 192.0.2.64/31 lease-time 6
	userspace srv || skip "the kernel has WireGuard" # strace can tell what goes to it from all else
	only_tunnel c1 c2
	for what in change read; do
		[[ $(ask c1 ip=192.0.2.64) == *ip=192.0.2.64/32* ]]
		busy srv "$(pids srv server monitor)" "${follow[$what]-}"
		refused c2 192.0.2.65
		[ "$(allowed srv wg0 "${PUB[c2]}")" = "${LL[c2]}/128" ]
		sleep 7 # that lease is over
		has_allowed srv wg0 "${PUB[c1]}" 192.0.2.64/32
		not lease_ended c1 expired 192.0.2.64
		not logged_of c2 leased
		[[ $(raw c2 client --limit 12 'request_ip=1\nip=192.0.2.64\n\n') != *errno=0* ]]
		(($(on srv grep -c INJECTED /run/trace) < 80)) # it is not tried all the time
		logged srv "cannot $what the device: Device or resource busy"
		no_strace srv
		wait_for 5 lease_ended c1 expired 192.0.2.64
		[ "$(allowed srv wg0 "${PUB[c1]}")" = "${LL[c1]}/128" ]
		[[ $(ask c2 ip=192.0.2.64) == *ip=192.0.2.64/32* ]]
		agree c1 c2
		[[ $(raw c2 client 'release_ip=1\n\n') == errno=0* ]]
		: >"$NS/srv/log"
	done
}

@test "a client's interface is busy every other time: it stays up, and has its addresses after that" {
	star "fe80::/128" c1
	up_server pool "$POOLS" lease-time 8
	on srv wg dynamic stop wg0
	only_client c1 0
	# Of what it sends to the kernel the monitor's syslog is no part.
	spawn c1 strace strace -qq -e trace=sendto -e inject=sendto:error=EBUSY:when=1+2 \
		-p "$(pids c1 client monitor)"
	wait_for 5 on c1 grep -q '^TracerPid:.[1-9]' "/proc/$(pids c1 client monitor)/status"
	serve pool "$POOLS" lease-time 8
	wait_for 5 lease_of c1
	sleep 5
	pids c1 client engine
	on c1 kill "$SPID"
	wait_for 20 bound c1
	agree c1
}

@test "an engine that hangs: reload and release say that it does not answer, stop ends it" {
	local lost="Connection timed out"
	star "fe80::/128" c1
	up_server
	on srv kill -STOP "$(pids srv server engine)"
	spawn srv reload wg dynamic reload wg0
	spawn srv release wg dynamic release wg0 peer "${PUB[c1]}"
	wait_for 25 grep -qx "wg-dynamic: wg0: cannot ask the server: $lost" "$NS/srv/reload.out"
	wait_for 25 grep -qx "wg-dynamic: wg0: cannot release: $lost" "$NS/srv/release.out"
	on srv wg dynamic stop wg0
	not pids srv server
}
