#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Configurations without `auto': the patched wg-quick runs the commands, prints the lines and leaves
# the files that the unpatched one does.

bats_require_minimum_version 1.5.0
load world

setup() {
	need_scripts
}

# same [MISSING]...: compares the two scripts on the configuration on stdin
same() {
	local config
	config="$(cat)"
	world "$WG_QUICK_ORIG" "$@" <<< "$config"
	transcript strip up save down > "$BATS_TEST_TMPDIR/orig"
	world "$WG_QUICK" "$@" <<< "$config"
	transcript strip up save down > "$BATS_TEST_TMPDIR/patched"
	grep -qE '^ip link add (dev )?wg0 type wireguard$' "$BATS_TEST_TMPDIR/orig"
	diff -u "$BATS_TEST_TMPDIR/orig" "$BATS_TEST_TMPDIR/patched"
}

# saw LINE: that the compared runs had it, so that nothing is compared by its absence
saw() {
	grep -qF -- "$1" "$BATS_TEST_TMPDIR/orig" || fail "never seen: $1"
}

@test "plain" {
	same <<-EOF_
	[Interface]
	PrivateKey = a2V5
	Address = 192.0.2.2/24, fe80::abcd:abcd:abcd:abcd/128
	$PEER
	AllowedIPs = 192.0.2.0/24, fe80::/128
	EOF_
	saw "== up: status 0"
	saw "== down: status 0"
	saw "ip -6 address add fe80::abcd:abcd:abcd:abcd/128 dev wg0"
	saw "Address = 192.0.2.2/24"
	saw "ip link delete dev wg0"
}

@test "no address at all, and an empty Address" {
	same <<-EOF_
	[Interface]
	PrivateKey = a2V5
	Address =
	$PEER
	AllowedIPs = 192.0.2.0/24
	EOF_
	saw "== up: status 0"
}

@test "several Address lines, with spaces, comments and odd words" {
	same <<-EOF_
	[Interface]
	PrivateKey = a2V5
	Address = 192.0.2.2/24 ,192.0.2.3/32 # auto
	address=2001:db8::2/64,,automatic
	$PEER
	AllowedIPs = 192.0.2.0/24
	EOF_
	saw "ip -4 address add automatic dev wg0"
}

@test "Table = off" {
	same <<-EOF_
	[Interface]
	PrivateKey = a2V5
	Address = 192.0.2.2/24
	Table = off
	$PEER
	AllowedIPs = 0.0.0.0/0, ::/0
	EOF_
	saw "Table = off"
	[[ $(< "$BATS_TEST_TMPDIR/orig") != *" route add "* ]]
}

@test "Table = a number" {
	same <<-EOF_
	[Interface]
	PrivateKey = a2V5
	Address = 192.0.2.2/24
	Table = 1234
	$PEER
	AllowedIPs = 0.0.0.0/0, ::/0
	EOF_
	saw "ip -6 route add ::/0 dev wg0 table 1234"
}

@test "Table = auto" {
	same <<-EOF_
	[Interface]
	PrivateKey = a2V5
	Address = 192.0.2.2/24
	Table = auto
	$PEER
	AllowedIPs = 0.0.0.0/0
	EOF_
	saw "ip -4 rule add not fwmark 51820 table 51820"
}

@test "FwMark" {
	mock FWMARK 0x4d2
	same <<-EOF_
	[Interface]
	PrivateKey = a2V5
	Address = 192.0.2.2/24
	FwMark = 1234
	$PEER
	AllowedIPs = 0.0.0.0/0
	EOF_
	saw "ip -4 rule add not fwmark 1234 table 1234"
}

@test "SaveConfig = true" {
	same <<-EOF_
	[Interface]
	PrivateKey = a2V5
	Address = 192.0.2.2/24, 2001:db8::2/64
	SaveConfig = true
	$PEER
	AllowedIPs = 192.0.2.0/24
	EOF_
	saw "SaveConfig = true"
	saw "Address = 2001:db8::2/64"
}

@test "DNS and a search domain" {
	same <<-EOF_
	[Interface]
	PrivateKey = a2V5
	Address = 192.0.2.2/24
	DNS = 192.0.2.53, example.org
	SaveConfig = true
	$PEER
	AllowedIPs = 192.0.2.0/24
	EOF_
	saw "search example.org"
	saw "DNS = 192.0.2.53"
	saw "resolvconf -d "
}

@test "IPv6 only" {
	same <<-EOF_
	[Interface]
	PrivateKey = a2V5
	Address = 2001:db8::2/64
	$PEER
	AllowedIPs = 2001:db8::/64
	EOF_
	saw "ip -6 address add 2001:db8::2/64 dev wg0"
}

@test "two peers" {
	same <<-EOF_
	[Interface]
	PrivateKey = a2V5
	Address = 192.0.2.2/24
	$PEER
	AllowedIPs = 192.0.2.0/25
	[Peer]
	PublicKey = dHdvCnR3bwp0d28KdHdvCnR3bwp0d28KdHdvCnR3bwo=
	AllowedIPs = 192.0.2.128/25, 2001:db8:2::/64
	EOF_
	saw "ip -4 route add 192.0.2.0/25 dev wg0"
	saw "ip -6 route add 2001:db8:2::/64 dev wg0"
}

@test "0.0.0.0/0 with nft" {
	same <<-EOF_
	[Interface]
	PrivateKey = a2V5
	Address = 192.0.2.2/24
	$PEER
	AllowedIPs = 0.0.0.0/0
	EOF_
	saw "preraw iifname != \"wg0\" ip daddr 192.0.2.2 fib saddr type != local drop"
	saw "delete table ip wg-quick-wg0"
}

@test "::/0 and 0/0 with nft" {
	same <<-EOF_
	[Interface]
	PrivateKey = a2V5
	Address = 192.0.2.2/24, 2001:db8::2/64
	$PEER
	AllowedIPs = ::/0, 0.0.0.0/0
	EOF_
	saw "delete table ip wg-quick-wg0"
	saw "delete table ip6 wg-quick-wg0"
}

@test "::/0 and 0/0 with iptables" {
	same nft <<-EOF_
	[Interface]
	PrivateKey = a2V5
	Address = 192.0.2.2/24, 2001:db8::2/64
	$PEER
	AllowedIPs = ::/0, 0.0.0.0/0
	EOF_
	saw "-I PREROUTING ! -i wg0 -d 2001:db8::2 -m addrtype ! --src-type LOCAL -j DROP"
	saw "-D PREROUTING ! -i wg0 -d 192.0.2.2 -m addrtype ! --src-type LOCAL -j DROP"
}

@test "PreUp, PostUp, PreDown and PostDown" {
	same <<-EOF_
	[Interface]
	PrivateKey = a2V5
	Address = 192.0.2.2/24
	PreUp = hook preup %i
	PostUp = hook postup %i; hook more
	PreDown = hook predown %i
	PostDown = hook postdown %i
	SaveConfig = true
	$PEER
	AllowedIPs = 192.0.2.0/24
	EOF_
	saw "hook postup wg0"
	saw "hook postdown wg0"
}

@test "MTU" {
	same <<-EOF_
	[Interface]
	PrivateKey = a2V5
	Address = 192.0.2.2/24
	MTU = 1380
	$PEER
	AllowedIPs = 192.0.2.0/24
	EOF_
	saw "ip link set mtu 1380 up dev wg0"
	saw "MTU = 1420"
}

@test "wireguard-go, where the kernel has no WireGuard" {
	mock FAIL "ip link add *"
	same <<-EOF_
	[Interface]
	PrivateKey = a2V5
	Address = 192.0.2.2/24
	$PEER
	AllowedIPs = 192.0.2.0/24
	EOF_
	[[ -e /sys/module/wireguard ]] || saw "wireguard-go wg0"
}

@test "an up that fails half-way" {
	mock FAIL "ip -4 route add *"
	same <<-EOF_
	[Interface]
	PrivateKey = a2V5
	Address = 192.0.2.2/24
	DNS = 192.0.2.53
	$PEER
	AllowedIPs = 192.0.2.0/24
	EOF_
	saw "== up: status 1"
	saw "ip link delete dev wg0"
}

@test "the comparison notices a command more" {
	sed 's/^ACCEPT=""$/ACCEPT=address,route/' "$WG_QUICK" > "$BATS_TEST_TMPDIR/mutant"
	WG_QUICK="$BATS_TEST_TMPDIR/mutant"
	run same <<-EOF_
	[Interface]
	PrivateKey = a2V5
	Address = 192.0.2.2/24
	$PEER
	AllowedIPs = 0.0.0.0/0
	EOF_
	[[ $status -ne 0 ]]
	[[ $output == *$'\n+wg dynamic client wg0\n'* ]]
	[[ $output == *$'\n+ip -all -brief address show dev wg0 permanent\n'* ]]
	[[ $output == *"+	add set ip wg-quick-wg0 leased"* ]]
	[[ $output == *$'\n+wg dynamic stop wg0\n'* ]]
}

@test "all of this with the tree in WIREGUARD_TOOLS" {
	with_tree
}
