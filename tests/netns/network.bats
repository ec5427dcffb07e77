#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What lies behind the server, from its file to its clients' traffic: our server and clients, each
# by wg-quick, as people set them up.

bats_require_minimum_version 1.5.0

# Two networks behind the server: an address of each on its loopback.
setup() {
	load leases
	star "fe80::/128" c1 c2
	settings
	on srv sed -i 's,^Address = fe80::/64$,&\, 192.0.2.1/24\, 2001:db8::1/64\
PostUp = wg dynamic server %i config /etc/wireguard/wg0.settings\
PreDown = wg dynamic stop %i,' /etc/wireguard/wg0.conf
	on srv ip address add 10.77.1.1/24 dev lo
	on srv ip address add 10.77.2.1/24 dev lo
}

teardown() {
	hosts_del
}

# The route for all but c2, and for c2; and more lines at the end.
settings() { # [ROUTE [ROUTE [LINE...]]]
	printf '%s\n' '[Server]' 'Pool = 192.0.2.0/24, 2001:db8::/64' "Route = ${1-10.77.1.0/24}" \
		'[Peer]' "PublicKey = ${PUB[c2]}" "Route = ${2-10.77.2.0/24}" "${@:3}" |
		on srv tee /etc/wireguard/wg0.settings >/dev/null
}

pinged() { # HOST ADDRESS
	on "$1" ping -n -q -c 1 -W 1 "$2"
}

route_gone() { # HOST CIDR: from routing table and AllowedIPs.
	[[ -z $(on "$1" ip route show "$2") ]] && not has_allowed "$1" wg0 "${PUB[srv]}" "$2"
}

# bats test_tags=vm
@test "traffic flows by a pushed route, and stops within 5 s of a reload without it" {
	wgq srv up wg0
	wgq c1 up wg0
	[ "$(allowed c1 wg0 "${PUB[srv]}" | sort)" = "$(printf '%s\n' 10.77.1.0/24 fe80::/128 | sort)" ]
	pinged c1 10.77.1.1
	not pinged c1 10.77.2.1
	settings "10.77.2.0/24"
	on srv wg dynamic reload wg0
	wait_for 5 route_gone c1 10.77.1.0/24
	not pinged c1 10.77.1.1
	wait_for 5 pinged c1 10.77.2.1
	wgq c1 down wg0
	wgq srv down wg0
}

@test "what wg-quick@'s reload takes from a client is back after wg dynamic reload" {
	wgq srv up wg0
	wgq c1 up wg0
	pinged c1 10.77.1.1
	on c1 bash -c 'wg syncconf wg0 <(exec wg-quick strip wg0)'
	not has_allowed c1 wg0 "${PUB[srv]}" 10.77.1.0/24
	on c1 wg dynamic reload wg0
	wait_for 2 has_allowed c1 wg0 "${PUB[srv]}" 10.77.1.0/24
	pinged c1 10.77.1.1
	pids c1 client
}

peer_is() { # KEY: the client takes that for the server, and has what it pushes.
	[[ $(on c1 wg dynamic show wg0 dump) == *$'\tclient\tbound\t'"$1"$'\t'* ]] &&
		[ "$(allowed c1 wg0 "$1" | sort)" = "$(printf '%s\n' 10.77.1.0/24 fe80::/128 | sort)" ] &&
		pinged c1 10.77.1.1
}

new_key() { # of the server.
	wg genkey >"$NS/srv/key"
	on srv wg set wg0 private-key "$NS/srv/key"
	wg pubkey <"$NS/srv/key"
}

@test "a server whose key changes is followed: within 30 s, and by a reload at once" {
	local four six new third endpoint=${IP[srv]}:51820
	wgq srv up wg0
	wgq c1 up wg0
	four=$(v4 c1) six=$(v6 c1)
	peer_is "${PUB[srv]}"
	sleep 1.5 # it has looked at the host's networks
	new=$(new_key)
	on c1 wg set wg0 peer "${PUB[srv]}" remove \
		peer "$new" allowed-ips fe80::/128 endpoint "$endpoint"
	wait_for 40 peer_is "$new"
	logged c1 "the server is peer $new from now on" 1
	bound c1 "$four" "$six"

	# The old peer stays, and has nothing of ours any more.
	third=$(new_key)
	on c1 wg set wg0 peer "$third" allowed-ips fe80::/128 endpoint "$endpoint"
	on c1 wg dynamic reload wg0
	wait_for 5 peer_is "$third"
	[ -z "$(allowed c1 wg0 "$new")" ]
	bound c1 "$four" "$six"
	logged c1 "no peer's allowed-ips cover fe80::" 0
	logged c1 "route 10.77.1.0/24 withdrawn" 0
}

sleeps() { # HOST: how often each process of its client has gone to sleep so far.
	local pid
	for pid in $(pids "$1" client); do
		on "$1" grep ^voluntary "/proc/$pid/status"
	done
}

@test "a client without routes sleeps until it next asks, and then follows a server's new key" {
	local new before
	settings "" ""
	on srv sed -i '/^Pool/a LeaseTime = 100' /etc/wireguard/wg0.settings
	wgq srv up wg0
	wgq c1 up wg0
	sleep 7 # what there is to do after a start
	before=$(sleeps c1)
	new=$(new_key)
	on c1 wg set wg0 peer "${PUB[srv]}" remove \
		peer "$new" allowed-ips fe80::/128 endpoint "${IP[srv]}:51820"
	sleep 26
	[ "$(grep -c . <<<"$before")" -eq 3 ]
	[ "$(sleeps c1)" = "$before" ]
	wait_for 30 logged c1 "the server is peer $new from now on" 1
	wait_for 5 bound c1
}

@test "a server that is no peer for a while: said once with the remedy, and taken back" {
	local four six
	wgq srv up wg0
	wgq c1 up wg0
	four=$(v4 c1) six=$(v6 c1)
	on c1 wg set wg0 peer "${PUB[srv]}" remove
	on c1 wg dynamic reload wg0
	wait_for 5 logged c1 "no peer's allowed-ips cover fe80::, the server's address, any more: add fe80::/128 to those of the server"
	on c1 wg dynamic reload wg0
	wait_for 5 route_gone c1 10.77.1.0/24
	bound c1 "$four" "$six"
	on c1 bash -c 'wg syncconf wg0 <(exec wg-quick strip wg0)'
	on c1 wg dynamic reload wg0
	wait_for 5 peer_is "${PUB[srv]}"
	bound c1 "$four" "$six"
	logged c1 "no peer's allowed-ips cover fe80::" 1
	logged c1 "the server is peer" 0
}

@test "two clients with values of their own; a reload with an error changes nothing for either" {
	wgq srv up wg0
	wgq c1 up wg0
	wgq c2 up wg0
	pinged c1 10.77.1.1 && route_gone c1 10.77.2.0/24
	pinged c2 10.77.2.1 && route_gone c2 10.77.1.0/24

	settings 10.77.2.0/24 10.77.1.0/24 'Route = 10.77.0.0/33'
	run -1 on srv wg dynamic reload wg0
	[ "${#lines[@]}" -eq 1 ]
	[[ $output == *"wg0.settings, line 7: Route \`10.77.0.0/33'"* ]]
	logged srv "not reloaded, the settings of before stay in force" 1
	sleep 1
	pinged c1 10.77.1.1 && route_gone c1 10.77.2.0/24
	pinged c2 10.77.2.1 && route_gone c2 10.77.1.0/24

	settings 10.77.2.0/24 10.77.1.0/24
	on srv wg dynamic reload wg0
	wait_for 5 pinged c1 10.77.2.1
	wait_for 5 pinged c2 10.77.1.1
	wait_for 5 route_gone c1 10.77.1.0/24
	wait_for 5 route_gone c2 10.77.2.0/24
}

@test "a server that is stopped: routes stay for as long as the lease, and go with it" {
	on srv sed -i '/^Pool/a LeaseTime = 6' /etc/wireguard/wg0.settings
	wgq srv up wg0
	wgq c1 up wg0
	pinged c1 10.77.1.1
	on srv wg dynamic stop wg0
	sleep 2
	pinged c1 10.77.1.1
	wait_for 8 route_gone c1 10.77.1.0/24
	addrs c1 wg0 | not grep .
}
