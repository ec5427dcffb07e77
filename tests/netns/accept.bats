#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Both ends as wg-quick's configuration has them: what the server gives besides addresses, what of it
# the client takes, what SaveConfig makes of that, and that down leaves nothing of it.

setup() {
	load leases
	star "fe80::/128" c1
	stub c1 resolvconf <<-'EOF_'
		#!/bin/sh
		case $1 in
		-a) cat >"/run/resolvconf.$2" ;;
		-d) rm -f "/run/resolvconf.$2" ;;
		-l) cat "/run/resolvconf.$2" ;;
		esac
	EOF_
	conf srv wg0 <<-EOF_
		[Interface]
		PrivateKey = ${KEY[srv]}
		ListenPort = 51820
		Address = 192.0.2.1/24, 2001:db8::1/64
		Pool = 192.0.2.0/24, 2001:db8::/64
		PushRoute = 0.0.0.0/0, ::/0
		PushRoute = 10.77.0.0/16
		PushDNS = 192.0.2.53
		PushSearch = corp.example
		PushMTU = 1380
		LinkLocals = auto

		[Peer]
		PublicKey = ${PUB[c1]}
	EOF_
	wgq srv up wg0
	on srv ip address add 203.0.113.1/32 dev lo
	on srv ip address add 10.77.0.1/32 dev lo
}

teardown() {
	hosts_del
}

client() { # LINE...: c1's configuration, with these in [Interface].
	conf c1 wg0 <<-EOF_
		[Interface]
		$(printf '%s\n' "$@")
		SaveConfig = true
		PrivateKey = ${KEY[c1]}

		[Peer]
		PublicKey = ${PUB[srv]}
		AllowedIPs = fe80::/128
		Endpoint = ${IP[srv]}:51820
	EOF_
	BEFORE=$(state c1)
}

mtu() {
	on c1 ip link show dev wg0 | sed -n 's/.* mtu \([0-9]*\) .*/\1/p'
}

record() {
	on c1 cat /run/resolvconf.wg0
}

reaches() { # ADDRESS...: each
	local address
	for address; do
		on c1 ping -n -c 1 -w 3 "$address" || return 1
	done
}

saved() { # nothing of all that was given has come into the configuration
	# wg showconf adds the port that it has been using.
	diff <(sort <<<"$1") <(on c1 cat /etc/wireguard/wg0.conf | grep -v ^ListenPort | sort)
}

@test "all that there is: routes, default routes, DNS and MTU, as long as the interface is up" {
	local config
	client "Address = auto" "DNS = auto" "DNS = 198.51.100.53" "DNS = home.example" "MTU = auto" \
		"Accept = default-route"
	config=$(on c1 cat /etc/wireguard/wg0.conf)
	for _ in 1 2; do
		wgq c1 up wg0
		wait_for 5 on c1 grep -q corp.example /run/resolvconf.wg0
		wait_for 5 reaches 203.0.113.1
		reaches 192.0.2.1 10.77.0.1 fe80::%wg0
		[[ $(on c1 ip route get 203.0.113.1) == *" dev wg0 table 51820 src $(v4 c1) "* ]]
		[[ $(on c1 nft list set ip wg-quick-wg0 leased) == *"elements = { $(v4 c1) }"* ]]
		[ "$(mtu)" = 1380 ]
		[[ $(record) == *"nameserver 192.0.2.53"* && $(record) == *"nameserver 198.51.100.53"* ]]
		[[ $(record) == *home.example* ]]
		wgq c1 save wg0
		saved "$config"
		wgq c1 down wg0
		saved "$config"
		on c1 test ! -e /run/resolvconf.wg0
		on c1 tee /etc/wireguard/wg0.conf <<<"$config" >/dev/null # in its own order
		diff <(echo "$BEFORE") <(state c1)
	done
}

@test "nothing but addresses and private routes, unless told" {
	client "Address = auto" "MTU = 1400" "DNS = 198.51.100.53"
	wgq c1 up wg0
	wait_for 5 reaches 10.77.0.1
	not on c1 ping -n -c 1 -w 1 203.0.113.1
	[ "$(mtu)" = 1400 ]
	[ "$(record)" = "nameserver 198.51.100.53" ]
	[ "$(on c1 wg show wg0 fwmark)" = off ]
}

@test "DNS alone, on an interface with addresses of its own" {
	client "Address = fe80::1/128" "DNS = auto" "MTU = 1400"
	on srv wg set wg0 peer "${PUB[c1]}" allowed-ips fe80::1/128
	wgq c1 up wg0
	wait_for 5 on c1 grep -q corp.example /run/resolvconf.wg0
	[ -z "$(addrs c1 wg0)" ]
	[ "$(mtu)" = 1400 ]
	[ "$(allowed c1 wg0 "${PUB[srv]}")" = fe80::/128 ]
	wgq c1 down wg0
	on c1 test ! -e /run/resolvconf.wg0
}

@test "a client that was killed: down undoes all that it has left" {
	client "Address = auto" "DNS = auto" "MTU = auto" "Accept = default-route"
	wgq c1 up wg0
	wait_for 5 on c1 grep -q corp.example /run/resolvconf.wg0
	wait_for 5 reaches 203.0.113.1
	kill_all c1 client
	run wgq c1 down wg0
	[[ $status == 0 && $output == *"Warning: \`/etc/wireguard/wg0.conf' is left as it was"* ]]
	on c1 test ! -e /run/resolvconf.wg0
	diff <(echo "$BEFORE") <(state c1 | grep -v '^/run/wg-dynamic/.*sock$')
}
