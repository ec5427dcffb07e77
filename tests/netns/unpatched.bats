#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# An unpatched wg-quick: PostUp starts the daemons, PreDown ends them.

setup() {
	load leases
	ORIGINAL=${WG_QUICK_ORIG:-${WG_QUICK:-/usr/bin/wg-quick}}
	not grep -q dynamic "$ORIGINAL"
	two_hosts
	on c1 sed -i 's/, auto$//' /etc/wireguard/wg0.conf
	on srv sed -i 's,^Address = fe80::/64$,&\, 192.0.2.1/24\, 2001:db8::1/64,' \
		/etc/wireguard/wg0.conf
}

teardown() {
	hosts_del
}

# wg-quick looks for programs in its own folder first: one in /usr/bin finds the wg that is there.
# So this one is put where the wg that knows `dynamic' is found next.
beside() { # HOST...
	local host
	for host; do
		stub "$host" wg-quick <"$ORIGINAL"
	done
}

hooks() { # HOST ROLE WORD...: PostUp and PreDown of wg0, by these words
	on "$1" sed -i "/^PrivateKey/a PostUp = ${*:3} $2 %i\nPreDown = ${*:3} stop %i" \
		/etc/wireguard/wg0.conf
}

up_and_down() { # HOST-CMD...: how wg-quick is called on a host
	local before_srv before
	before_srv=$(state srv) before=$(state c1)
	on srv "$@" up wg0
	on c1 "$@" up wg0
	bound c1
	agree c1
	on c1 ping -n -c 1 -W 5 192.0.2.1
	on c1 "$@" down wg0
	not lease_of c1
	logged_of c1 "ended: released"
	diff <(echo "$before") <(state c1)
	on srv "$@" down wg0
	diff <(echo "$before_srv") <(state srv)
}

@test "wg dynamic in PostUp and PreDown: a lease, and nothing left" {
	beside srv c1
	hooks srv server wg dynamic
	hooks c1 client wg dynamic
	up_and_down wg-quick
}

@test "wg-dynamic, for a wg that knows no \`dynamic'" {
	hooks srv server wg-dynamic
	hooks c1 client wg-dynamic
	up_and_down "$ORIGINAL"
}

@test "down when the client was killed" {
	local before
	hooks srv server wg-dynamic
	hooks c1 client wg-dynamic
	before=$(state c1)
	on srv "$ORIGINAL" up wg0
	on c1 "$ORIGINAL" up wg0
	kill_all c1 client
	run on c1 "$ORIGINAL" down wg0
	[ "$status" -eq 0 ]
	[[ $output == *"neither client nor server runs"* ]]
	diff <(echo "$before") <(state c1 | grep -v ^/run/wg-dynamic/)
}

@test "the server's wg-quick goes down and up: its leases stay" {
	local before
	hooks srv server wg-dynamic
	hooks c1 client wg-dynamic
	on srv "$ORIGINAL" up wg0
	on c1 "$ORIGINAL" up wg0
	before=$(lease_of c1)
	on srv "$ORIGINAL" down wg0
	on srv "$ORIGINAL" up wg0
	[ "$(lease_of c1)" = "$before" ]
	agree c1
}

@test "a server that can't start fails the up, and takes the interface away" {
	hooks srv server wg-dynamic
	on srv sed -i 's,^PostUp.*,& pool 192.0.2.0/33,' /etc/wireguard/wg0.conf
	run on srv "$ORIGINAL" up wg0
	[ "$status" -ne 0 ]
	[[ $output == *"wg dynamic server: pool \`192.0.2.0/33' "* ]]
	not on srv ip link show dev wg0
}

@test "up interrupted by Ctrl-C leaves nothing behind" {
	local before
	# Like the kernel's, the interface outlives the signal.
	stub c1 wireguard-go <<-EOF_
		#!/bin/sh
		exec setsid -w $(type -p wireguard-go) "\$@"
	EOF_
	beside c1
	hooks c1 client wg dynamic
	on srv "$ORIGINAL" up wg0 # but no server on it
	before=$(state c1)
	spawn c1 up wg-quick up wg0
	wait_for 5 pids c1 client engine
	on c1 kill -INT -- "-$SPID"
	wait_for 15 not on c1 test -e "/proc/$SPID"
	wait_for 3 not pids c1 client
	diff <(echo "$before") <(state c1)
}
