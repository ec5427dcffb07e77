#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A path that loses packets, one that is cut for longer than a lease, and many clients that start at
# the same moment. LONG_DAY=1 has it cut for longer than WireGuard keeps a session, too.

setup() {
	load leases
}

teardown() {
	hosts_del
}

# lossy HOST PERCENT: of what comes from the tunnel's other ends, so much is lost.
lossy() {
	on "$1" nft -f - <<-EOF
		table inet loss {
			chain input {
				type filter hook input priority 0;
				iifname != { "lo", "wg0" } meta l4proto udp numgen random mod 100 >= $((100 - $2)) counter drop
			}
		}
	EOF
}

whole() { # HOST...: nothing is lost any more; with one of them at least something was.
	local host lost=0
	for host; do
		if on "$host" nft list table inet loss | grep -q 'counter packets [1-9]'; then
			lost=1
		fi
		on "$host" nft delete table inet loss
	done
	((lost))
}

@test "a third of all packets lost, each way: leases of four clients are renewed, none is missing" {
	local host
	local -A four six
	star "fe80::/128" c1 c2 c3 c4
	# Of exchanges of 10 s some 7 % fail; there is time for three of them before a lease ends.
	up_server pool "$POOLS" lease-time 64
	for host in c1 c2 c3 c4; do
		wgq "$host" up wg0
		four[$host]=$(v4 "$host") six[$host]=$(v6 "$host")
		watch_addresses "$host"
	done
	for host in srv c1 c2 c3 c4; do
		lossy "$host" 30
	done
	sleep 68 # two renewals
	whole srv
	# A client alone gets so few packets that it may have had them all.
	whole c1 c2 c3 c4
	for host in c1 c2 c3 c4; do
		bound "$host" "${four[$host]}" "${six[$host]}"
		not lost "$host"
	done
	logged srv "ended:" 0
	agree c1 c2 c3 c4
}

@test "cut for longer than the lease: gone on both sides, and one exchange heals it" {
	local four six before
	star "fe80::/128" c1
	up_server pool "$POOLS" lease-time 10
	wgq c1 up wg0
	four=$(v4 c1) six=$(v6 c1)
	lossy srv 100
	lossy c1 100
	wait_for 15 no_addrs c1
	wait_for 15 lease_ended c1 expired "$four"
	sleep "$((${LONG_DAY:-0} ? 200 : 10))"
	before=$(grants)
	whole srv
	whole c1
	wait_for 90 bound c1 "$four" "$six"
	(($(grants) == before + 1))
	agree c1
}

grants() { # so many leases the server has granted anew
	on srv wg dynamic show wg0 json | grep -o '"grants": *[0-9]*' | grep -o '[0-9]*$'
}

@test "twelve clients that start in the same moment: all have addresses, none fails" {
	local host clients=()
	for host in {1..12}; do
		clients+=("c$host")
	done
	star "fe80::/128" "${clients[@]}"
	up_server pool "$POOLS" lease-time 600
	only_tunnel "${clients[@]}"
	for host in "${clients[@]}"; do
		spawn "$host" client wg dynamic client wg0 wait 20
	done
	for host in "${clients[@]}"; do
		wait_for 20 bound "$host"
		logged "$host" "no addresses yet" 0
	done
	agree "${clients[@]}"
}
