#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Clocks: who sets the wall clock, by however much, changes nothing; and time that a host has slept
# through has passed. By daemons whose clocks the test sets (clock.c).

YEARS=315360000 # ten of them, in seconds
NIGHT=28800000 # eight hours, in ms

setup() {
	load leases
	[[ -e $BUILD/clock.so ]] || skip "$BUILD/clock.so is not built"
}

teardown() {
	hosts_del
}

# clocks HOST WALL BOOT: its daemons' are ahead by so much, in s and ms.
clocks() {
	on "$1" python3 -c 'import struct, sys
open(sys.argv[1], "r+b").write(struct.pack("=qq", int(sys.argv[2]), int(sys.argv[3])))' \
		/run/clocks "$2" "$3"
}

with_clocks() { # HOST CMD...
	on "$1" test -e /run/clocks || on "$1" truncate -s 16 /run/clocks
	on "$1" env CLOCKS=/run/clocks LD_PRELOAD="$BUILD/clock.so" "${@:2}"
}

clocked_server() { # LEASE-TIME
	with_clocks srv wg dynamic server wg0 pool "$POOLS" lease-time "$1"
}

clocked_client() { # CLIENT
	only_client_up "$1"
	with_clocks "$1" wg dynamic client wg0 wait 5
}

only_client_up() { # CLIENT: its wg0 up, without a client.
	on "$1" sed -i 's/, auto$//' /etc/wireguard/wg0.conf
	wgq "$1" up wg0
}

# The server, and clients, all with clocks of ours.
clocked() { # LEASE-TIME CLIENT...
	local host
	star "fe80::/128" "${@:2}"
	on srv sed -i 's,^Address = fe80::/64$,&\, 192.0.2.1/24\, 2001:db8::1/64,' \
		/etc/wireguard/wg0.conf
	wgq srv up wg0
	clocked_server "$1"
	for host in "${@:2}"; do
		clocked_client "$host"
	done
}

@test "the wall clock set forward and back by ten years, on both sides: no lease is cut short" {
	local four six host ahead
	clocked 8 c1
	four=$(v4 c1) six=$(v6 c1)
	watch_addresses c1
	for host in srv c1; do
		for ahead in $YEARS -$YEARS 0; do
			clocks $host "$ahead" 0
			renews c1 "$four"
			bound c1 "$four" "$six"
		done
	done
	not lost c1
	logged srv "ended:" 0
	agree c1
}

@test "a server started anew ten years earlier, and later: the same leases" {
	local four six ahead
	clocked 600 c1
	four=$(v4 c1) six=$(v6 c1)
	for ahead in -$YEARS $YEARS; do
		kill_all srv server
		clocks srv "$ahead" 0
		clocked_server 600
		bound c1 "$four" "$six"
		agree c1
	done
	logged srv "ended:" 0
	# What renews it is right by either's clock.
	clocks c1 0 310000
	clocks srv 0 310000
	wait_for 5 at_least 595 lifetime c1 "$six"
	bound c1 "$four" "$six"
}

@test "eight hours asleep: the lease has ended on both sides, and nobody keeps what others may have" {
	local four six
	clocked 600 c1
	four=$(v4 c1) six=$(v6 c1)
	# The server is awake first, or was all along: what it leased is free, and others may have it.
	clocks srv 0 $NIGHT
	wait_for 3 lease_ended c1 "expired" "$four"
	[[ -z $(allowed_leased c1) ]]
	has_addr c1 wg0 "$four/32"
	# Now the client: it drops the addresses before it knows whether it may have them again.
	on srv kill -STOP "$(pids srv server engine)" "$(pids srv server monitor)"
	clocks c1 0 $NIGHT
	wait_for 3 no_addrs c1
	logged c1 "wg0: the lease of $four, $six has ended, not renewed: removed"
	on srv kill -CONT "$(pids srv server engine)" "$(pids srv server monitor)"
	wait_for 30 bound c1 "$four" "$six"
	agree c1
}

@test "most of a lease asleep: both keep what is not over, and the client renews at once" {
	local four six
	clocked 600 c1
	four=$(v4 c1) six=$(v6 c1)
	watch_addresses c1
	clocks srv 0 500000
	sleep 1
	bound c1 "$four" "$six"
	clocks c1 0 500000
	wait_for 5 renewed 1
	bound c1 "$four" "$six"
	not lost c1
	logged srv "ended:" 0
}

renewed() { # TIMES: by what the server counts
	on srv wg dynamic show wg0 json | grep -qE "\"renewals\": *$1\\b"
}
