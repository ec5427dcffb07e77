#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# wg-quick's add-default and del-default on real interfaces, as the client calls them: what they set
# carries traffic, and is gone again to the last rule, whatever AllowedIPs say by then.

setup() {
	load leases
	two_hosts "fe80::/128"
	up_server lease-time 600 pool "$POOLS"
	on srv ip address add 203.0.113.1/32 dev lo # far behind the server
	on srv ip address add 2001:db8:ffff::1/128 dev lo
	by_default
	# From outside the tunnel it is out of reach.
	on srv nft -f - <<-'EOF'
		table inet far {
			chain input {
				type filter hook input priority 0
				iifname "to-c1" ip daddr 203.0.113.1 drop
			}
		}
	EOF
	BEFORE=$(host)
	wgq c1 up wg0
	bound c1
	UP=$(host)
}

teardown() {
	hosts_del
}

host() { # all that c1 has set up, but for how long
	state c1 | sed 's/ expires [0-9]*sec//'
}

allow() { # CIDR...: the AllowedIPs of c1's peer, beside fe80::.
	local IFS=,
	on c1 wg set wg0 peer "${PUB[srv]}" allowed-ips "fe80::/128${1:+,$*}"
}

add_default() {
	allow 0.0.0.0/0 ::/0
	wgq c1 add-default wg0 0.0.0.0/0 ::/0
}

# What goes to the far addresses goes through the tunnel, and only its own packets do not.
full_tunnel() {
	on c1 ping -n -c 1 -w 3 203.0.113.1
	on c1 ping -n -c 1 -w 3 2001:db8:ffff::1
	[[ $(on c1 ip route get 203.0.113.1) == *" dev wg0 table 51820 src $(v4 c1) "* ]]
	[[ $(on c1 ip -6 route get 2001:db8:ffff::1) == *" dev wg0 table 51820"*" src $(v6 c1) "* ]]
	outside
}

half_tunnel() {
	not on c1 ping -n -c 1 -w 1 203.0.113.1
	not on c1 ping -n -c 1 -w 1 2001:db8:ffff::1
	on c1 ping -n -c 1 -w 3 fe80::%wg0
}

@test "all traffic through the tunnel, the leased addresses guarded, and all of it undone" {
	half_tunnel
	add_default
	full_tunnel
	[[ $(on c1 nft list set ip wg-quick-wg0 leased) == *"elements = { $(v4 c1) }"* ]]
	[[ $(on c1 nft list set ip6 wg-quick-wg0 leased) == *"elements = { $(v6 c1) }"* ]]
	not grep "daddr $(v4 c1)" <<<"$(on c1 nft list ruleset)"
	allow # as when the route is withdrawn
	wgq c1 del-default wg0
	diff <(echo "$UP") <(host)
	half_tunnel
	[ "$(on c1 wg show wg0 fwmark)" = 0xca6c ]
	bound c1
}

@test "done twice it is done once, and so is undone twice" {
	local once
	add_default
	once=$(host)
	run add_default
	[[ $status == 0 && $output != *"[#]"* ]]
	diff <(echo "$once") <(host)
	wgq c1 del-default wg0
	run wgq c1 del-default wg0
	[[ $status == 0 && $output != *"[#]"* ]]
	diff <(echo "$UP") <(host)
}

@test "after link down and up: undone and done anew it is whole" {
	local once
	add_default
	once=$(host)
	on c1 ip link set wg0 down
	on c1 ip link set wg0 up
	wait_for 10 on c1 ping -n -c 1 -w 1 fe80::%wg0
	wait_for 5 v6 c1
	wgq c1 del-default wg0
	wgq c1 add-default wg0 0.0.0.0/0 ::/0
	full_tunnel
	# The route to fe80:: is set by the client, this time.
	diff <(echo "$once" | sort) <(host | sed "s/^fe80:: proto 97 /fe80:: /" | sort)
}

@test "of one family alone" {
	allow 0.0.0.0/0 ::/0
	wgq c1 add-default wg0 ::/0
	on c1 ping -n -c 1 -w 3 2001:db8:ffff::1
	not on c1 ping -n -c 1 -w 1 203.0.113.1
	wgq c1 add-default wg0 0.0.0.0/0
	full_tunnel
	wgq c1 del-default wg0 ::/0
	on c1 ping -n -c 1 -w 3 203.0.113.1
	not on c1 ping -n -c 1 -w 1 2001:db8:ffff::1
	wgq c1 del-default wg0 0.0.0.0/0
	diff <(echo "$UP") <(host)
}

# Those of a plain wg-quick, which was there before or came later.
others() {
	on c1 bash -s <<-'EOF'
		for family in -4 -6; do
			ip "$family" rule add not fwmark 51821 table 51821
			ip "$family" rule add table main suppress_prefixlength 0
		done
		nft add table ip wg-quick-wg1
		nft add table ip6 wg-quick-wg1
	EOF
}

@test "what another interface has stays, were it there before" {
	local both
	others
	both=$(host)
	add_default
	full_tunnel
	wgq c1 del-default wg0
	diff <(echo "$both") <(host)
}

@test "what another interface has stays, did it come later" {
	local both
	add_default
	others
	on c1 ip rule >"$BATS_TEST_TMPDIR/rules"
	wgq c1 del-default wg0
	# Its two are the upper ones.
	diff <(sed -n '1,3p; /main $/p; /main$/p; /default/p' "$BATS_TEST_TMPDIR/rules") <(on c1 ip rule)
	both=$(on c1 nft list tables)
	[[ $both == $'table ip wg-quick-wg1\ntable ip6 wg-quick-wg1' ]]
}

@test "down undoes it as well, by itself" {
	add_default
	allow
	wgq c1 down wg0
	diff <(echo "$BEFORE") <(host)
}

@test "when the interface has gone, what was set for it can be undone" {
	add_default
	on c1 ip link delete wg0
	wait_for 5 not pids c1 client
	run wgq c1 del-default wg0
	[ "$status" -eq 0 ]
	diff <(echo "$BEFORE") <(host)
}

@test "a table that is somebody's is left to him, and a failure leaves nothing" {
	local all
	on c1 ip route add 198.51.100.0/24 dev to-srv table 51820
	allow 0.0.0.0/0
	wgq c1 add-default wg0 0.0.0.0/0
	[ "$(on c1 wg show wg0 fwmark)" = 0xca6d ]
	wgq c1 del-default wg0
	diff <(echo "$UP") <(host)
	stub c1 nft <<-EOF
		#!/bin/sh
		[ "\$1" != -f ] || exit 1
		exec $(type -p nft) "\$@"
	EOF
	all=$(host)
	not wgq c1 add-default wg0 0.0.0.0/0
	diff <(echo "$all") <(host)
	[[ $(on c1 ip route show table 51820) == "198.51.100.0/24 dev to-srv scope link"* ]]
}
