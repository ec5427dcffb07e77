#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What the daemons rely on in WireGuard itself, be it the kernel's or wireguard-go. (Peers that are
# removed and `wg syncconf': admin.bats. Addresses that the kernel ends: client.bats.)
# bats file_tags=vm

setup() {
	load leases
}

teardown() {
	hosts_del
}

# All that an order to the device must not touch: of each peer its key, endpoint, last handshake and
# keepalive; and the allowed-ips that are no lease.
untouched() {
	on srv wg show wg0 dump | while read -r key _ endpoint ips handshake _ _ keepalive; do
		[[ -z $keepalive ]] || echo "$key $endpoint $handshake $keepalive" \
			"$(tr ',' '\n' <<<"$ips" | grep -vE '^(192\.0\.2\.|2001:db8:)' | sort)"
	done
}

@test "leases come and end: the peer's own AllowedIPs, endpoint and session stay, no packet is lost" {
	local before four
	star "fe80::/128" c1
	conf_client c1 srv "fe80::/128, 192.0.2.1/32" 198.51.100.7/32
	on srv sed -i "s,${LL[c1]}/128,198.51.100.7/32\, &\, 2001:db9::/64\nPersistentKeepalive = 25," \
		/etc/wireguard/wg0.conf
	up_server pool "$POOLS" lease-time 5
	wgq c1 up wg0
	ask c1
	before=$(untouched)
	[[ $before == *" ${IP[c1]}:"*" 25 198.51.100.7/32"*"2001:db9::/64"* ]]
	spawn c1 ping ping -n -q -i 0.01 -c 1500 192.0.2.1
	for _ in 1 2 3; do
		[[ $(ask c1) == *errno=0* ]]
		four=$(lease_of c1 | grep -v :)
		has_allowed srv wg0 "${PUB[c1]}" "$four"
		[[ $(raw c1 client 'release_ip=1\n\n') == errno=0* ]]
		not has_allowed srv wg0 "${PUB[c1]}" "$four"
	done
	[[ $(ask c1) == *errno=0* ]]
	on c1 test -e "/proc/$SPID" # pinging still
	wait_for 8 not lease_of c1
	lease_ended c1 expired "${four%/*}"
	not has_allowed srv wg0 "${PUB[c1]}" "$four"
	wait_for 25 grep -q received "$NS/c1/ping.out"
	[[ $(out c1 ping) == *"1500 packets transmitted, 1500 received, 0% packet loss"* ]]
	[ "$(untouched)" = "$before" ]
}

asking() { # HOST: is it connected to a server?
	on "$1" grep -q ':03CA 01 ' /proc/net/tcp6
}

@test "interface deleted under a client whose request is not answered yet: it exits with status 0" {
	star "fe80::/128" c1
	up_server
	on srv kill -STOP "$(pids srv server engine)"
	on c1 sed -i 's/, auto$//' /etc/wireguard/wg0.conf
	wgq c1 up wg0
	spawn c1 client sh -c 'wg dynamic client wg0 foreground; echo "status $?"'
	wait_for 5 asking c1
	on c1 ip link delete wg0
	wait_for 3 grep -q ^status "$NS/c1/client.out"
	[[ $(out c1 client) == *"wg0: the interface has been removed"$'\n'"status 0" ]]
	not pids c1 client
	[ -z "$(on c1 find /run/wg-dynamic -type s)" ]
}

@test "interface deleted under a server amid requests: status 0, and what was granted is kept" {
	local requests="" n
	star "fe80::/128" c1
	up_server
	on srv wg dynamic stop wg0
	spawn srv server sh -c "wg dynamic server wg0 pool $POOLS foreground; echo \"status \$?\""
	wait_for 3 listens srv 970
	only_tunnel c1
	for n in {2..251}; do
		requests+="request_ip=1\\nip=192.0.2.$n/32\\n\\n"
	done
	spawn c1 asks /usr/bin/python3 "$NETNS/raw.py" client "$requests"
	wait_for 5 grep -q "leased 192.0.2." "$NS/srv/server.out"
	on srv ip link delete wg0
	wait_for 3 grep -q ^status "$NS/srv/server.out"
	[[ $(out srv server) == *"wg0: the interface is gone"*$'\n'"status 0" ]]
	not grep -q "leased 192.0.2.251/32" "$NS/srv/server.out" # it was amid them
	not pids srv server
	[ -z "$(on srv find /run/wg-dynamic -type s)" ]
	wgq srv up wg0
	serve
	# It may have been between the address given up and the next.
	lease_of c1 | grep ^192.0.2 ||
		logged srv "leases: 0, and peers whose last address is remembered: 1"
	wait_for 2 agree c1
}

link_locals() { # HOST INTERFACE
	on "$1" ip -o -6 address show dev "$2" scope link | while read -r _ _ _ address _; do
		echo "$address"
	done
}

has_link_local() { # HOST INTERFACE
	[[ -n $(link_locals "$@") ]]
}

@test "wireguard-go's interface gets a link-local by itself and the kernel's none; with auto neither" {
	local kernel=""
	two_hosts fe80::/128
	up_server
	! on c1 ip link add wgk type wireguard 2>/dev/null || kernel=yes
	[[ -z $kernel ]] || on c1 ip link set wgk up
	spawn c1 go wireguard-go -f wgt
	wait_for 5 on c1 test -e /sys/class/net/wgt
	on c1 ip link set wgt up
	wait_for 3 has_link_local c1 wgt
	[[ -z $kernel ]] || not has_link_local c1 wgk

	wgq c1 up wg0
	[ "$(link_locals c1 wg0)" = "${LL[c1]}/128" ]
	wgq c1 down wg0
	on c1 mount -t tmpfs tmpfs /sys/module # wg-quick looks there
	stub c1 ip <<-EOF
		#!/bin/sh
		[ "\$*" != "link add wg0 type wireguard" ] || exit 1
		exec $(type -P ip) "\$@"
	EOF
	wgq c1 up wg0
	on c1 test -S /var/run/wireguard/wg0.sock
	[ "$(link_locals c1 wg0)" = "${LL[c1]}/128" ]
	bound c1
}
