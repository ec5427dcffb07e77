#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Time goes by: leases are renewed, end when nobody renews them, and come again by themselves.

setup() {
	load leases
}

teardown() {
	hosts_del
}

set_again() { # HOST CIDR: how often, since watch_addresses.
	out "$1" watch | grep -cF " $2 "
}

@test "two lifetimes of renewal, and the addresses are never missing" {
	local host
	local -A four six
	star "0.0.0.0/0, ::/0" c1 c2
	conf_client c2 srv "fe80::/128"
	up_server pool "$POOLS" lease-time 8
	for host in c1 c2; do
		wgq "$host" up wg0
		four[$host]=$(v4 "$host") six[$host]=$(v6 "$host")
		watch_addresses "$host"
	done
	for host in c1 c2; do
		# At half a lifetime each; that sets both addresses again.
		wait_for 30 at_least 4 set_again "$host" "${four[$host]}/32"
		wait_for 5 at_least 4 set_again "$host" "${six[$host]}/128"
		bound "$host" "${four[$host]}" "${six[$host]}"
		not lost "$host"
		wgq "$host" down wg0
		lost "$host" # it would have been noticed
	done
	logged srv " leased " 2
	logged srv "ended: expired" 0
	logged srv "put back" 0
}

# What the client does while the server is away, until its lease of 8 s has ended.
gone_on_time() { # CLIENT IPv4 IPv6
	local end
	end=$(end_of "$1" "$2")
	wait_for 9 not has_addr "$1" wg0 "$3"
	wait_for 1 no_addrs "$1"
	((EPOCHSECONDS >= end - 2)) # and not when it can't be renewed, after half of it
	wait_for 1 logged "$1" "wg0: the lease of $2, $3 has ended, not renewed: removed"
	pids "$1" client engine
	[[ $(on "$1" wg dynamic show wg0 dump) == *$'\t(none)\t'* ]]
}

@test "server killed for longer than the lease: addresses gone on time, then the same again" {
	local four six
	two_hosts
	up_server pool "$POOLS" lease-time 8
	wgq c1 up wg0
	four=$(v4 c1) six=$(v6 c1)
	kill_all srv server
	gone_on_time c1 "$four" "$six"
	sleep 6
	logged c1 'cannot connect to the server: Connection refused: does `wg dynamic server'\'' run' 1
	serve pool "$POOLS" lease-time 8
	wait_for 15 bound c1 "$four" "$six"
	agree c1
	wait_for 2 logged c1 "wg0: leased $four, $six for 8 s"
	lease_ended c1 "expired" "$four"
}

@test "server's port filtered for longer than the lease: gone on time, then the same again" {
	local four six
	star "fe80::/128" c1
	up_server pool "$POOLS" lease-time 8
	wgq c1 up wg0
	four=$(v4 c1) six=$(v6 c1)
	on srv nft -f - <<-'EOF'
		table inet filter {
			chain input {
				type filter hook input priority 0;
				tcp dport 970 drop
			}
		}
	EOF
	gone_on_time c1 "$four" "$six"
	wait_for 6 not lease_of c1
	[ "$(allowed srv wg0 "${PUB[c1]}")" = "${LL[c1]}/128" ]
	wait_for 15 logged c1 "the server is not reachable: timed out: there has been a handshake, so does \`wg dynamic server' run there, is ${LL[c1]}/128" 1
	on srv nft delete table inet filter
	wait_for 15 bound c1 "$four" "$six"
	agree c1
}

@test "server away for less than the lease: the addresses stay, and one line says that it is back" {
	local four six
	two_hosts
	up_server pool "$POOLS" lease-time 10
	wgq c1 up wg0
	four=$(v4 c1) six=$(v6 c1)
	watch_addresses c1
	on srv wg dynamic stop wg0
	wait_for 8 logged c1 "cannot connect to the server: Connection refused"
	serve pool "$POOLS" lease-time 10
	wait_for 5 logged c1 "wg0: the server answers again: $four, $six renewed"
	bound c1 "$four" "$six"
	not lost c1
	agree c1
}
