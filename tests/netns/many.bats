#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Many clients at once, of a device that many.py plays, and what such a device shows of starts.

bats_require_minimum_version 1.5.0

setup() {
	load many
}

teardown() {
	hosts_del
}

@test "a reload reaches 200 clients within 5 s, by one call each" {
	many_hosts 200
	many_device 200
	printf '[Server]\nPool = 10.9.0.0/16\nRoute = 10.1.0.0/16\n' |
		on srv tee /etc/wireguard/server.conf >/dev/null
	on srv wg dynamic server wg0 config /etc/wireguard/server.conf
	spawn c1 clients /usr/bin/python3 "$NETNS/many.py" clients 200
	wait_for 20 grep -qx leased "$NS/c1/clients.out"
	on srv sed -i 's,^Route.*,&\, 10.2.0.0/16,' /etc/wireguard/server.conf
	local before=$EPOCHREALTIME
	on srv wg dynamic reload wg0
	wait_for 5 grep -q ' 10.1.0.0/16 10.2.0.0/16$' "$NS/c1/clients.out"
	echo "# of 200 clients the last had it $(awk -v before="$before" '
		END { printf "%.2f", $1 - before }' "$NS/c1/clients.out") s after the reload began" >&3
	[ "$(on srv wg dynamic show wg0 dump | awk '$3 == "calls" { print $4 }')" -eq 200 ]
}

# A client gives up an exchange after 10 s, so that is what its first may take.
@test "1,000 clients that start at once all have an address by their first request" {
	many_hosts 1000
	many_device 1000
	on srv wg dynamic server wg0 pool 10.9.0.0/16 lease-time 600
	spawn c1 burst /usr/bin/python3 "$NETNS/day.py" burst 1000
	wait_for 15 not on c1 test -e "/proc/$SPID"
	[[ $(out c1 burst) == [0-9].[0-9][0-9] ]]
	echo "# of 1,000 clients the last had its address after $(out c1 burst) s" >&3
	[ "$(on srv wg dynamic show wg0 dump | grep -c $'\tlease\t')" -eq 1000 ]
}

@test "an address that the kernel has not made usable yet is waited for" {
	many_hosts 1
	many_device 1
	on srv ip address del fe80::/64 dev wg0
	on srv ip link set wg0 arp on
	on srv ip address add fe80::/64 dev wg0 # which asks first whether it is another's
	on srv ip -o address show dev wg0 tentative | grep -q fe80::/64
	on srv wg dynamic server wg0 pool 10.9.0.0/16
	on srv ip -o address show dev wg0 tentative | not grep -q fe80::/64
	three srv server
}
