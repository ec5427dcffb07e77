#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# add-default and del-default, by which the client has a default route set that its server gives.

bats_require_minimum_version 1.5.0
load world

OTHERS="-4 32764: from all lookup main suppress_prefixlength 0
-4 32765: not from all fwmark 0xca6d lookup 51821
-6 32764: from all lookup main suppress_prefixlength 0
-6 32765: not from all fwmark 0xca6d lookup 51821"

setup() {
	need_scripts
	world "$WG_QUICK" <<-EOF_
	[Interface]
	Address = fe80::1/128, 192.0.2.2/24, auto
	Accept = default-route
	$PEER
	AllowedIPs = fe80::/128
	EOF_
}

# up [LEASE]...: the interface, beside one with a default route of its own
up() {
	mock LEASES "$*"
	wg_quick up
	echo "$OTHERS" > "$WORLD/state/rules"
	printf '%s\n' "table ip wg-quick-wg1" "table ip6 wg-quick-wg1" > "$WORLD/state/nftables"
	rm "$CONFIG" # nothing of it is needed
	: > "$LOG"
}

# as_before: but for the mark all that add-default has done is undone
as_before() {
	[[ $(sort "$WORLD/state/rules") == "$OTHERS" ]]
	[[ ! -s $WORLD/state/routes ]]
	[[ $(< "$WORLD/state/nftables") == $'table ip wg-quick-wg1\ntable ip6 wg-quick-wg1' ]]
}

@test "add-default: mark, rules, route and firewall, as up does them" {
	up
	wg_quick add-default wg0 0.0.0.0/0
	in_order "wg set wg0 fwmark 51820" "ip -4 rule add not fwmark 51820 table 51820" \
		"ip -4 rule add table main suppress_prefixlength 0" "nft -f <(...)" \
		"add rule ip wg-quick-wg0 preraw iifname != \"wg0\" ip daddr 192.0.2.2 fib saddr type != local drop"
	ran "ip -4 route add 0.0.0.0/0 dev wg0 table 51820"
	never "^ip -6 r.* add"
	wg_quick add-default wg0 ::/0
	ran "ip -6 route add ::/0 dev wg0 table 51820"
	[[ $(grep -c "fwmark 51820$" <(grep "^wg set" "$LOG")) -eq 1 ]]
}

@test "add-default: leased addresses go into the client's set, and have no rule" {
	up 198.51.100.7/32 2001:db8::7/128
	wg_quick add-default wg0 0.0.0.0/0 ::/0
	in_order "add set ip wg-quick-wg0 leased { type ipv4_addr; }" \
		"add element ip wg-quick-wg0 leased { 198.51.100.7 }" \
		"add set ip6 wg-quick-wg0 leased { type ipv6_addr; }" \
		"add element ip6 wg-quick-wg0 leased { 2001:db8::7 }"
	never "daddr 198.51.100.7"
	never "daddr 2001:db8::7"
}

@test "add-default: with iptables, which has no sets, leased addresses have their rules" {
	rm "$WORLD/bin/nft"
	up 198.51.100.7/32
	wg_quick add-default wg0 0.0.0.0/0
	grep -q -- "-I PREROUTING ! -i wg0 -d 198.51.100.7 " "$LOG"
	grep -q -- "-I PREROUTING ! -i wg0 -d 192.0.2.2 " "$LOG"
	echo '-A PREROUTING -m comment --comment "wg-quick(8) rule for wg1"' >> "$WORLD/state/iptables"
	wg_quick del-default wg0
	[[ $(< "$WORLD/state/iptables") == '-A PREROUTING -m comment --comment "wg-quick(8) rule for wg1"' ]]
}

@test "add-default: what is there already is left alone" {
	up
	wg_quick add-default wg0 0.0.0.0/0 ::/0
	sort "$WORLD/state/rules" > "$BATS_TEST_TMPDIR/rules"
	: > "$LOG"
	wg_quick add-default wg0 0.0.0.0/0 ::/0
	never " add "
	never " delete "
	never "^nft -f"
	sort "$WORLD/state/rules" | diff "$BATS_TEST_TMPDIR/rules" -
}

@test "add-default: what is half there, as after link down, is done anew" {
	up
	wg_quick add-default wg0 0.0.0.0/0
	sort "$WORLD/state/rules" > "$BATS_TEST_TMPDIR/rules"
	rm "$WORLD/state/routes"
	wg_quick add-default wg0 0.0.0.0/0
	sort "$WORLD/state/rules" | diff "$BATS_TEST_TMPDIR/rules" -
	[[ $(< "$WORLD/state/routes") == "-4 0.0.0.0/0 51820" ]]
	wg_quick del-default wg0
	as_before
}

@test "add-default: one that fails is undone, and what was there before stays" {
	up
	wg_quick add-default wg0 0.0.0.0/0
	sort "$WORLD/state/rules" > "$BATS_TEST_TMPDIR/rules"
	mock FAIL "nft -f*ip6*"
	run -1 wg_quick add-default wg0 0.0.0.0/0 ::/0
	sort "$WORLD/state/rules" | diff "$BATS_TEST_TMPDIR/rules" -
	[[ $(< "$WORLD/state/routes") == "-4 0.0.0.0/0 51820" ]]
}

@test "del-default: undoes just that, whatever AllowedIPs are, and twice is as good as once" {
	up
	wg_quick add-default wg0 0.0.0.0/0 ::/0
	wg_quick del-default wg0
	as_before
	never "wg show wg0 allowed-ips"
	[[ $(< "$WORLD/state/fwmark") == 51820 ]]
	: > "$LOG"
	wg_quick del-default wg0
	as_before
	never " delete "
	never "^nft -f"
}

@test "del-default: takes the rule for table main that is its own, before and after another's" {
	up
	wg_quick add-default wg0 0.0.0.0/0
	wg_quick del-default wg0
	in_order "ip -4 rule delete pref 32763 table 51820" \
		"ip -4 rule delete pref 32762 table main suppress_prefixlength 0"
	: > "$WORLD/state/rules"
	wg_quick add-default wg0 0.0.0.0/0
	printf '%s\n' "-4 32762: from all lookup main suppress_prefixlength 0" \
		"-4 32763: not from all fwmark 0xca6d lookup 51821" "$(< "$WORLD/state/rules")" \
		> "$WORLD/state/more"
	mv "$WORLD/state/more" "$WORLD/state/rules"
	wg_quick del-default wg0
	in_order "ip -4 rule delete pref 32765 table 51820" \
		"ip -4 rule delete pref 32764 table main suppress_prefixlength 0"
	[[ $(wc -l < "$WORLD/state/rules") -eq 2 ]]
}

@test "del-default: of one family alone, if told" {
	up
	wg_quick add-default wg0 0.0.0.0/0 ::/0
	wg_quick del-default wg0 ::/0
	[[ $(< "$WORLD/state/routes") == "-4 0.0.0.0/0 51820" ]]
	grep -qx "table ip wg-quick-wg0" "$WORLD/state/nftables"
	run -1 grep -qx "table ip6 wg-quick-wg0" "$WORLD/state/nftables"
	wg_quick del-default wg0 0.0.0.0/0
	as_before
}

@test "del-default: of an interface that has gone, by the mark that the firewall knows" {
	up
	wg_quick add-default wg0 0.0.0.0/0 ::/0
	rm "$WORLD/state/device" "$WORLD/state/routes"
	mock FAIL "wg show wg0 *"
	wg_quick del-default wg0
	as_before
}

@test "down undoes a default route that was pushed" {
	cp "$CONFIG" "$BATS_TEST_TMPDIR/config"
	up
	cp "$BATS_TEST_TMPDIR/config" "$CONFIG"
	wg_quick add-default wg0 0.0.0.0/0 ::/0
	wg_quick down
	as_before
	[[ ! -e $WORLD/state/device ]]
	in_order "wg dynamic stop wg0" "ip -4 rule delete pref 32763 table 51820" \
		"ip link delete dev wg0"
}

@test "down leaves rules alone where Table says that they are not its own" {
	sed -i 's/^Accept/Table = 51820\n&/' "$CONFIG"
	cp "$CONFIG" "$BATS_TEST_TMPDIR/config"
	up
	cp "$BATS_TEST_TMPDIR/config" "$CONFIG"
	wg_quick add-default wg0 0.0.0.0/0
	wg_quick down
	never " rule delete "
}

@test "an up that fails undoes a default route of the configuration" {
	sed -i 's,^AllowedIPs.*,AllowedIPs = 0.0.0.0/0\, ::/0,; s/^Accept/PostUp = false\n&/' "$CONFIG"
	echo "$OTHERS" > "$WORLD/state/rules"
	run -1 wg_quick up
	[[ $(sort "$WORLD/state/rules") == "$OTHERS" && ! -s $WORLD/state/nftables ]]
}

@test "what is neither an interface nor a default route is refused, and nothing done" {
	up
	: > "$LOG"
	run -1 wg_quick add-default wg0 0.0.0.0/1
	grep -qxF "wg-quick: \`0.0.0.0/1' is neither 0.0.0.0/0 nor ::/0" "$WORLD/err"
	run -1 wg_quick add-default wg0 0.0.0.0/0 "::/0; hook"
	run -1 wg_quick del-default "wg0/.." 0.0.0.0/0
	grep -qF "is not a valid interface name" "$WORLD/err"
	[[ ! -s $LOG ]]
	run -1 wg_quick add-default wg9 0.0.0.0/0
	grep -qxF "wg-quick: \`wg9' is not a WireGuard interface" "$WORLD/err"
	[[ $(< "$LOG") == "wg show interfaces" ]]
}

@test "all of this with the tree in WIREGUARD_TOOLS" {
	with_tree
}
