#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The main job, with both of a client's configurations: up, addresses, traffic, down; and what
# happens to the interface and to the client's processes meanwhile.

setup() {
	load leases
}

teardown() {
	hosts_del
}

# Up leases before PostUp runs, down gives back, and nothing is left.
up_and_down() { # ALLOWEDIPS
	local before four six
	star "$1" c1
	on c1 sed -i '/^PrivateKey/a PostUp = ip -o address show dev %i >/run/seen' \
		/etc/wireguard/wg0.conf
	before=$(state c1)
	up_server
	run wgq c1 up wg0
	[ "$status" -eq 0 ]
	[[ $output == *$'\n[#] wg dynamic client wg0\n'*$'\n[#] ip -o address show dev wg0 >/run/seen' ]]

	bound c1
	four=$(v4 c1) six=$(v6 c1)
	[[ $four == 192.0.2.* && $six == 2001:db8::* ]]
	(($(lifetime c1 "$four") <= 4 && $(lifetime c1 "$six") <= 4))
	on c1 grep -q "inet $four/32 .* dynamic" /run/seen
	on c1 grep -q "inet6 $six/128 .* dynamic" /run/seen
	has_allowed srv wg0 "${PUB[c1]}" "${LL[c1]}/128"
	agree c1
	logged_of c1 "at ${LL[c1]}: leased $four/32, $six/128 for 4 s"
	[[ $(on c1 wg dynamic show wg0 dump) == \
		"wg0"$'\t'"client"$'\t'"bound"$'\t'"${PUB[srv]}"$'\t'"${LL[c1]}"$'\t'"$four/32,$six/128"$'\t4\t'* ]]
	on c1 ping -n -c 1 -w 3 fe80::%wg0

	run wgq c1 down wg0
	[ "$status" -eq 0 ]
	[[ $output == "[#] wg dynamic stop wg0"$'\n'* ]]
	diff <(echo "$before") <(state c1)
	not pids c1 client
	[ "$(allowed srv wg0 "${PUB[c1]}")" = "${LL[c1]}/128" ]
	not lease_of c1
	lease_ended c1 "released" "$four" "$six"
	logged c1 "released $four, $six"
}

# bats test_tags=vm
@test "up and down with AllowedIPs = 0.0.0.0/0, ::/0" {
	up_and_down "0.0.0.0/0, ::/0"
}

@test "up and down with AllowedIPs = fe80::/128" {
	up_and_down "fe80::/128"
}

@test "with a default route the firewall guards the leased addresses, and them alone" {
	two_hosts
	up_server
	wgq c1 up wg0
	[[ $(on c1 nft list set ip wg-quick-wg0 leased) == *"elements = { $(v4 c1) }"* ]]
	[[ $(on c1 nft list set ip6 wg-quick-wg0 leased) == *"elements = { $(v6 c1) }"* ]]
	on c1 wg dynamic stop wg0
	not grep elements <<<"$(on c1 nft list ruleset)"
	wgq c1 down wg0
	[ -z "$(on c1 nft list tables)" ]
}

@test "wg-quick up wg0 | tee log returns, and the client goes on" {
	two_hosts
	up_server
	# shellcheck disable=SC2016 # it expands there
	timeout 20 bash -c '. "$0"; on c1 bash -c "wg-quick up wg0 2>&1 | tee /run/log"' \
		"$NETNS/lib.bash"
	on c1 grep -qxF "[#] wg dynamic client wg0" /run/log
	on c1 grep -qF "leased $(v4 c1), $(v6 c1) for 4 s" /run/log
	bound c1
	pids c1 client engine
}

@test "two clients with 0.0.0.0/0 ping each other through the server by their leased addresses" {
	star "0.0.0.0/0, ::/0" c1 c2
	up_server
	on srv sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
	wgq c1 up wg0
	wgq c2 up wg0
	bound c1
	bound c2
	agree c1 c2
	[[ $(v4 c1) != "$(v4 c2)" && $(v6 c1) != "$(v6 c2)" ]]
	on c1 ping -n -c 2 -i 0.1 -w 5 192.0.2.1
	on c1 ping -n -c 2 -i 0.1 -w 5 -I "$(v4 c1)" "$(v4 c2)"
	on c1 ping -n -c 2 -i 0.1 -w 5 -I "$(v6 c1)" "$(v6 c2)"
	on c2 ping -n -c 2 -i 0.1 -w 5 -I "$(v4 c2)" "$(v4 c1)"
	on c2 ping -n -c 2 -i 0.1 -w 5 -I "$(v6 c2)" "$(v6 c1)"
}

@test "interface deleted under the client: it exits with status 0 and says so" {
	star "fe80::/128" c1 c2
	up_server
	only_tunnel c1
	spawn c1 client sh -c 'wg dynamic client wg0 foreground; echo "status $?"'
	wgq c2 up wg0
	wait_for 5 bound c1
	on c1 ip link delete wg0
	on c2 ip link delete wg0
	wait_for 3 not pids c1 client
	wait_for 3 not pids c2 client
	wait_for 3 grep -q '^status' "$NS/c1/client.out"
	[[ $(out c1 client) == *"wg0: the interface has been removed"$'\n'"status 0" ]]
	logged c2 "wg0: the interface has been removed"
	[ -z "$(on c1 find /run/wg-dynamic -type s)" ]
	[ -z "$(on c2 find /run/wg-dynamic -type s)" ]
}

@test "deleted and made anew: the next client waits until the last one has ended" {
	two_hosts "fe80::/128"
	up_server
	stub c1 slow <<-'EOF_'
		#!/bin/bash
		[[ $2 != released ]] || sleep 2
	EOF_
	only_tunnel c1
	on c1 wg dynamic client wg0 hook slow
	conf_client c1 srv fe80::/128
	on c1 ip link del wg0
	wgq c1 up wg0
	bound c1
	[ "$(pids c1 client monitor | wc -l)" -eq 1 ]
	run on c1 wg dynamic client wg0
	[ "$status" -eq 1 ]
	[ "$output" = "wg-dynamic: wg0: a client runs on this interface already: \`wg dynamic stop wg0' ends it" ]
}

@test "link down and up: link-local, route to fe80:: and addresses are back, renewed at once" {
	local host
	local -A four six ends
	star "fe80::/128" c1 c2
	conf_client c2 srv "0.0.0.0/0, ::/0"
	up_server pool "$POOLS" lease-time 60
	for host in c1 c2; do
		wgq "$host" up wg0
		bound "$host"
		four[$host]=$(v4 "$host") six[$host]=$(v6 "$host")
		ends[$host]=$(end_of "$host" "${four[$host]}")
	done
	sleep 5 # of the lease
	for host in c1 c2; do
		on "$host" ip link set wg0 down
		wait_for 2 logged "$host" "wg0: the interface is down: waiting"
		not has_addr "$host" wg0 "${LL[$host]}"
		on "$host" ip link set wg0 up
	done
	for host in c1 c2; do
		wait_for 3 bound "$host" "${four[$host]}" "${six[$host]}"
		has_addr "$host" wg0 "${LL[$host]}/128"
		[[ $(on "$host" ip -6 route get fe80:: oif wg0) == *" dev wg0 "* ]]
		logged "$host" "wg0: the interface is up again"
		wait_for 3 at_least $((ends[$host] + 3)) end_of "$host" "${four[$host]}"
		at_least $((ends[$host] + 3)) end_of "$host" "${six[$host]}"
		pids "$host" client engine
	done
}

@test "link down and up before the client has looked: what was lost is back all the same" {
	local monitor
	two_hosts "fe80::/128"
	up_server pool "$POOLS" lease-time 60
	wgq c1 up wg0
	monitor=$(pids c1 client monitor)
	on c1 kill -STOP "$monitor"
	on c1 ip link set wg0 down
	on c1 ip link set wg0 up
	not has_addr c1 wg0 "${LL[c1]}"
	on c1 kill -CONT "$monitor"
	wait_for 3 has_addr c1 wg0 "${LL[c1]}/128"
	wait_for 3 has_addr c1 wg0 "$(lease_of c1 | grep :)"
	[[ $(on c1 ip -6 route get fe80:: oif wg0) == *" dev wg0 "* ]]
}

# bats test_tags=vm
@test "client killed: the kernel ends the addresses, the server the lease; a new one gets the same" {
	local four six
	two_hosts
	up_server
	wgq c1 up wg0
	four=$(v4 c1) six=$(v6 c1)
	kill_all c1 client
	has_addr c1 wg0 "$four/32"
	has_addr c1 wg0 "$six/128"
	wait_for 6 not has_addr c1 wg0 "$four"
	wait_for 2 not has_addr c1 wg0 "$six"
	wait_for 2 not lease_of c1
	[ "$(allowed srv wg0 "${PUB[c1]}")" = "${LL[c1]}/128" ]
	lease_ended c1 "expired" "$four" "$six"
	on c1 wg dynamic client wg0
	bound c1 "$four" "$six"
	agree c1
}

@test "client killed and started again at once: it takes over the addresses, which stay" {
	local four six
	two_hosts
	up_server pool "$POOLS" lease-time 10
	wgq c1 up wg0
	four=$(v4 c1) six=$(v6 c1)
	watch_addresses c1
	kill_all c1 client
	on c1 wg dynamic client wg0
	bound c1 "$four" "$six"
	renews c1 "$four"
	bound c1 "$four" "$six"
	not lost c1
	wgq c1 down wg0
	lost c1
}

@test "client's engine killed: another is there within seconds, the addresses stay" {
	local four six engine monitor
	two_hosts
	up_server pool "$POOLS" lease-time 10
	wgq c1 up wg0
	four=$(v4 c1) six=$(v6 c1) engine=$(pids c1 client engine) monitor=$(pids c1 client monitor)
	watch_addresses c1
	kill_half c1 client engine
	wait_for 3 pids c1 client engine
	[ "$(pids c1 client engine)" != "$engine" ]
	[ "$(pids c1 client monitor)" = "$monitor" ]
	logged c1 "wg0: the engine was killed by signal 9 (Killed); the next starts in 1 s"
	renews c1 "$four"
	bound c1 "$four" "$six"
	not lost c1
	wgq c1 down wg0
	lost c1
	logged_of c1 "ended: released"
}

@test "client's monitor killed: all of it ends, the addresses by themselves; a new one starts" {
	local four six
	two_hosts
	up_server
	wgq c1 up wg0
	four=$(v4 c1) six=$(v6 c1)
	kill_half c1 client monitor
	wait_for 2 not pids c1 client
	has_addr c1 wg0 "$four/32"
	wait_for 6 no_addrs c1
	on c1 wg dynamic client wg0
	bound c1 "$four" "$six"
}

@test "client's spawner killed: all of it ends in order and says so; a new one starts" {
	local four six
	two_hosts
	up_server
	wgq c1 up wg0
	four=$(v4 c1) six=$(v6 c1)
	kill_half c1 client spawner
	wait_for 3 not pids c1 client
	logged c1 "wg0: the process that starts engines has died"
	no_addrs c1
	[ -z "$(on c1 find /run/wg-dynamic -type s)" ]
	on c1 wg dynamic client wg0
	bound c1 "$four" "$six"
}
