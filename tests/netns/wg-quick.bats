#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What wg-quick does besides up and down with a client: save, strip, and what happens when the
# client is dead already or the server is not there.

setup() {
	load leases
}

teardown() {
	hosts_del
}

@test "save: auto is kept, and what was leased is not written" {
	local four six
	two_hosts
	on c1 sed -i '/^PrivateKey/a SaveConfig = true' /etc/wireguard/wg0.conf
	up_server
	wgq c1 up wg0
	four=$(v4 c1) six=$(v6 c1)
	on c1 ip address add 198.51.100.1/24 dev wg0
	wgq c1 save wg0
	on c1 grep -qx 'Address = auto' /etc/wireguard/wg0.conf
	on c1 grep -qx "Address = ${LL[c1]}/128" /etc/wireguard/wg0.conf
	on c1 grep -qx "Address = 198.51.100.1/24" /etc/wireguard/wg0.conf
	[ "$(on c1 grep -c ^Address /etc/wireguard/wg0.conf)" -eq 3 ]
	wgq c1 down wg0 # which saves as well
	[ "$(on c1 grep -c ^Address /etc/wireguard/wg0.conf)" -eq 3 ]
	on c1 sed -i /198.51/d /etc/wireguard/wg0.conf
	wgq c1 up wg0
	bound c1 "$four" "$six"
}

@test "strip prints what wg setconf understands, without auto" {
	two_hosts
	[ "$(wgq c1 strip wg0)" = "$(on c1 grep -v ^Address /etc/wireguard/wg0.conf)" ]
	up_server
	wgq c1 up wg0
	[ "$(wgq c1 strip wg0)" = "$(on c1 grep -v ^Address /etc/wireguard/wg0.conf)" ]
	on c1 bash -c 'wg syncconf wg0 <(wg-quick strip wg0)'
	bound c1
}

@test "down: a client that is dead already is no error" {
	local before
	two_hosts
	up_server
	before=$(state c1)
	wgq c1 up wg0
	kill_all c1 client
	run wgq c1 down wg0
	[ "$status" -eq 0 ]
	[[ $output == *"[#] wg dynamic stop wg0"$'\n'* && $output == *"neither client nor server runs"* ]]
	diff <(echo "$before") <(state c1 | grep -v ^/run/wg-dynamic/)
}

@test "down: a server that is away holds it up for a second or so" {
	local before gone
	star "fe80::/128" c1
	up_server
	before=$(state c1)
	wgq c1 up wg0
	gone="$(v4 c1), $(v6 c1)"
	wgq srv down wg0
	elapsed wgq c1 down wg0
	((MS < 9000)) # else 10 s
	diff <(echo "$before") <(state c1)
	logged c1 "$gone given up, which the server could not be told: there the lease runs on"
}

@test "no server: up warns, succeeds, and the addresses come when the server does" {
	star "0.0.0.0/0, ::/0" c1
	up_server
	on srv wg dynamic stop wg0
	elapsed run wgq c1 up wg0
	((MS > 9000 && MS < 45000))
	[ "$status" -eq 0 ]
	[[ $output == *$'\n'"wg-dynamic: wg0: no addresses yet, going on in the background: cannot connect"* ]]
	pids c1 client engine
	no_addrs c1
	serve
	wait_for 20 bound c1 # pauses have grown to 16 s at most
	logged_of c1 leased
}

# An up that is interrupted while the client waits for a server leaves nothing behind. The interface
# outlives the signal, as the kernel's do: wireguard-go is kept out of wg-quick's process group.
interrupted() { # SIGNAL -|"" ALLOWEDIPS: to the process group, or to wg-quick alone
	local before
	two_hosts "$3"
	stub c1 wireguard-go <<-EOF
		#!/bin/sh
		exec setsid -w $(type -p wireguard-go) "\$@"
	EOF
	wgq srv up wg0 # but no server on it
	on c1 sed -i '/^PrivateKey/a PostUp = touch /run/up' /etc/wireguard/wg0.conf
	before=$(state c1)
	spawn c1 up wg-quick up wg0
	wait_for 5 pids c1 client engine
	on c1 kill "-$1" -- "$2$SPID"
	wait_for 15 not on c1 test -e "/proc/$SPID"
	wait_for 2 not pids c1 client
	diff <(echo "$before") <(state c1)
	not on c1 test -e /run/up
	[[ $(out c1 up) == *"[#] wg dynamic stop wg0"* ]]
}

@test "up interrupted by Ctrl-C leaves nothing behind" {
	interrupted INT - "0.0.0.0/0, ::/0"
}

@test "up ended by SIGTERM to all of its processes leaves nothing behind" {
	interrupted TERM - "0.0.0.0/0, ::/0"
}

@test "up ended by SIGTERM to wg-quick alone leaves nothing behind" {
	interrupted TERM "" "fe80::/128"
}

# Each tunnel has a server at fe80::.
@test "a host with three tunnels, client in two of them and server in one" {
	local host n=0 link_local
	star "fe80::/128" c1 c2
	up_server pool "$POOLS" lease-time 8
	link_local=$(on srv wg dynamic address "${PUB[srv]}")
	for host in c1 c2; do
		wgq "$host" up wg0
		((++n))
		conf "$host" wg1 <<-EOF
			[Interface]
			PrivateKey = ${KEY[$host]}
			ListenPort = 51821
			Address = 203.0.113.$((n * 64 + 1))/26
			Pool = 203.0.113.$((n * 64))/26
			LeaseTime = 8

			[Peer]
			PublicKey = ${PUB[srv]}
			AllowedIPs = $link_local/128
		EOF
		wgq "$host" up wg1
		conf srv "wg$n" <<-EOF
			[Interface]
			PrivateKey = ${KEY[srv]}
			Address = auto

			[Peer]
			PublicKey = ${PUB[$host]}
			AllowedIPs = fe80::/128
			Endpoint = ${IP[$host]}:51821
		EOF
		wgq srv up "wg$n"
	done
	in_all() { # each client has its address, and its server is at its end.
		bound c1 && bound c2 && [[ $(addrs srv wg1) == 203.0.113.*/32 ]] &&
			[[ $(addrs srv wg2) == 203.0.113.*/32 ]]
	}
	in_all
	# What going down has taken away is put back, beside what the others have.
	on srv ip link set wg2 down
	on srv ip link set wg2 up
	sleep 10 # longer than a lease
	in_all
	wgq srv down wg1
	sleep 10
	[[ $(addrs srv wg2) == 203.0.113.*/32 ]]
}
