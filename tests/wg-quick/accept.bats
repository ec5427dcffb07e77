#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What a client takes besides addresses: DNS = auto, MTU = auto, Accept, and the link-local that is
# derived: with which words the client is started, and what is saved.

bats_require_minimum_version 1.5.0
load world

setup() {
	need_scripts
}

# client LINE...: a world whose [Interface] has these lines
client() {
	{
		printf '[Interface]\nPrivateKey = a2V5\n'
		printf '%s\n' "$@" "$PEER" "AllowedIPs = fe80::/128"
	} | world "$WG_QUICK"
}

# started WORDS LINE...: up with these lines starts the client, once, with just these words
started() {
	client "Address = fe80::1/128" "${@:2}"
	wg_quick up
	ran "wg dynamic client wg0${1:+ $1}"
	[[ $(grep "dynamic client" "$LOG" | grep -cv " check$") -eq 1 ]]
}

# saved LINE...: what of [Interface] follows the key after up and save
saved() {
	wg_quick up
	wg_quick save
	diff -u <(printf '%s\n' "$@" "") <(sed -n '/^\[Interface\]/,/^PrivateKey/p' "$CONFIG" |
		sed '1d;$d'; echo)
}

@test "DNS = auto and MTU = auto: accepted beside what Address = auto takes" {
	started "accept address,route,dns" "Address = auto" "DNS = auto"
	started "accept address,route,mtu" "Address = auto" "MTU = auto"
	never "mtu auto"
	ran "ip link set mtu 1420 up dev wg0"
	started "accept address,route,mtu,dns" "Address = AUTO" "mtu = Auto" "dns=aUTO"
}

@test "without Address = auto the client takes just what it is told to" {
	started "accept dns" "DNS = auto"
	started "accept mtu" "MTU = auto"
	started "accept route,192.0.2.0/24" "Accept = route,192.0.2.0/24"
}

@test "Accept adds words, over several lines, in any case, each once" {
	started "accept address,route,default-route" "Address = auto" "Accept = default-route"
	started "accept address,route,default-route,dns,203.0.113.0/24,2001:db8::/48" \
		"Address = auto" "Accept = Default-Route, dns" "accept = 203.0.113.0/24 2001:DB8::/48,dns" \
		"DNS = auto"
	started "" "Address = auto" "Accept = route, address"
	started "" "Address = auto" "Accept = "
}

@test "words that the client does not understand: one line names the key, and nothing is done" {
	client "Address = fe80::1/128, auto" "Accept = foo" "Table = 0" "DNS = auto, ..a"
	mock WRONG "wg dynamic client: accept \`foo' is none
Usage: wg dynamic client"
	run -1 wg_quick up
	ran "wg dynamic client wg0 accept address,route,foo,dns table 0 dns ..a check"
	[[ $(< "$WORLD/err") == "wg-quick: \`$CONFIG': Accept \`foo' is none" ]]
	mock WRONG "wg dynamic client: dns \`..a' is none"
	run -1 wg_quick up
	[[ $(< "$WORLD/err") == "wg-quick: \`$CONFIG': DNS \`..a' is none" ]]
	never "ip link add"
}

@test "Table goes along: a number, or off" {
	started "table 1234" "Address = auto" "Table = 1234"
	started "table off" "Address = auto" "Table = off"
	started "" "Address = auto" "Table = auto"
	started "accept dns table 7" "DNS = auto" "Table = 7"
}

@test "static DNS entries are set at once, and go along when dns is accepted" {
	started "accept address,route,dns dns 192.0.2.53,2001:db8::53,corp.example" "Address = auto" \
		"DNS = 192.0.2.53, auto, corp.example" "DNS = 2001:db8::53"
	in_order "resolvconf -a wg0 -m 0 -x" \
		"wg dynamic client wg0 accept address,route,dns dns 192.0.2.53,2001:db8::53,corp.example"
	grep -qxF "	nameserver 192.0.2.53" "$LOG"
	run -1 grep -w auto "$LOG"
	started "accept address,route,dns dns 192.0.2.53" "Address = auto" "DNS = 192.0.2.53" \
		"Accept = dns"
	started "accept address,route,dns dns corp.example" "Address = auto" "DNS = auto, corp.example"
	never "^resolvconf"
	started "" "Address = auto" "DNS = 192.0.2.53"
	started "accept address,route,dns" "Address = auto" "DNS = auto"
	never "^resolvconf"
}

@test "these keys in a [Peer] section, and words that only look like auto, are none of ours" {
	world "$WG_QUICK" <<-EOF_
	[Interface]
	DNS = automatic, 192.0.2.53
	$PEER
	AllowedIPs = fe80::/128
	DNS = auto
	MTU = auto
	Accept = dns
	Pool = 192.0.2.0/24
	EOF_
	wg_quick up
	never "wg dynamic"
	grep -qxF "	search automatic" "$LOG"
	wg_quick strip
	grep -qxF "Pool = 192.0.2.0/24" "$WORLD/out" # for wg to refuse
}

@test "no link-local: the derived one is set before the interface goes up" {
	client "Address = 192.0.2.2/24, auto"
	wg_quick up
	in_order "ip -4 address add 192.0.2.2/24 dev wg0" "wg show wg0 public-key" \
		"wg dynamic address public=" "ip -6 address add fe80::d0d0:1:2:3/128 dev wg0" \
		"ip link set mtu 1420 up dev wg0" "wg dynamic client wg0"
	client "DNS = auto"
	wg_quick up
	ran "ip -6 address add fe80::d0d0:1:2:3/128 dev wg0"
}

@test "any link-local of the configuration's own: none is derived" {
	local i
	for i in fe80::1/128 FE80::2 fe80::3/64 febf:1::1/128 "192.0.2.2/24,fe90::1/128"; do
		client "Address = $i" "Address = auto"
		wg_quick up
		never "dynamic address"
	done
	client "Address = fe8::1/128, fec0::1/64, auto" # neither is one
	wg_quick up
	ran "ip -6 address add fe80::d0d0:1:2:3/128 dev wg0"
}

@test "an address that cannot be derived is a failed up" {
	mock FAIL "wg dynamic address *"
	client "Address = auto"
	run -1 wg_quick up
	never "dynamic client"
	never "dynamic stop"
	in_order "wg dynamic address public=" "ip link delete dev wg0"
}

@test "save: the keys, and nothing that came by them" {
	mock LEASES "198.51.100.7/32"
	client "address = auto" "DNS = auto, 192.0.2.1" "DNS = corp.example" "MTU = AUTO" \
		"Accept = default-route, 203.0.113.0/24" "Table = auto" "SaveConfig = true"
	saved "address = auto" "DNS = auto" "MTU = auto" "Accept = default-route, 203.0.113.0/24" \
		"DNS = 192.0.2.1" "DNS = corp.example" "Table = auto" "SaveConfig = true"
	cp "$CONFIG" "$BATS_TEST_TMPDIR/once"
	wg_quick down
	diff -u "$BATS_TEST_TMPDIR/once" "$CONFIG"
	: > "$LOG"
	wg_quick up
	ran "wg dynamic client wg0 accept address,route,dns,mtu,default-route,203.0.113.0/24 dns 192.0.2.1,corp.example"
}

@test "save: what Accept may change is saved as it was configured" {
	client "Address = fe80::1/128, auto" "Accept = mtu,dns" "MTU = 1380" "DNS = 192.0.2.1"
	saved "Address = fe80::1/128" "Address = auto" "Accept = mtu,dns" "MTU = 1380" "DNS = 192.0.2.1"
}

@test "save: what may not be changed is saved as it is" {
	client "Address = fe80::1/128, auto" "MTU = 1380" "DNS = 192.0.2.1"
	saved "Address = fe80::1/128" "Address = auto" "DNS = 192.0.2.53" "MTU = 1420"
}

@test "save: pushed AllowedIPs are left out, and the administrator's stay" {
	local key=${PEER##* }
	mock ALLOWED "$key	10.0.0.0/8 fd00:5::/48"$'\n'"other=	192.0.2.0/24"
	client "Address = fe80::1/128, auto"
	sed -i 's,^AllowedIPs.*,AllowedIPs = fe80::/128\, 10.0.0.0/8\, 192.0.2.0/24\, fd00:5::/48,' "$CONFIG"
	wg_quick up
	wg_quick save
	in_order "wg dynamic show wg0 allowed-ips" "wg showconf wg0" "wg dynamic show wg0 allowed-ips"
	[[ $(grep ^AllowedIPs "$CONFIG") == "AllowedIPs = fe80::/128, 192.0.2.0/24" ]]
	[[ $(grep -A 2 '^\[Peer' "$CONFIG") == "$PEER"$'\n'"AllowedIPs = fe80::/128, 192.0.2.0/24" ]]
}

@test "save: the mark that a pushed default route needs is not saved, one's own is" {
	local key=${PEER##* }
	client "Address = fe80::1/128, auto" "Accept = default-route"
	wg_quick up
	echo 51820 > "$WORLD/state/fwmark"
	wg_quick save
	grep -qx "FwMark = 0xca6c" "$CONFIG" # of nobody's doing but the administrator's
	client "Address = fe80::1/128, auto" "Accept = default-route"
	wg_quick up
	echo 51820 > "$WORLD/state/fwmark"
	mock ALLOWED "$key	0.0.0.0/0"
	wg_quick save
	run -1 grep FwMark "$CONFIG"
	client "Address = fe80::1/128, auto" "Accept = default-route" "FwMark = 51820"
	wg_quick up
	wg_quick save
	grep -q "^FwMark = " "$CONFIG"
}

@test "strip prints none of the keys" {
	client "Address = auto" "DNS = auto" "MTU = auto" "Accept = default-route" "ListenPort = 1"
	wg_quick strip
	[[ $(sed -n '/Interface/,/Peer/p' "$WORLD/out") == $'[Interface]\nPrivateKey = a2V5\nListenPort = 1\n[Peer]' ]]
}

@test "down stops the client, whatever it was that it took" {
	client "Address = fe80::1/128" "DNS = auto"
	wg_quick up
	: > "$LOG"
	wg_quick down
	in_order "wg dynamic stop wg0" "ip link delete dev wg0"
	[[ $(grep -c "dynamic stop" "$LOG") -eq 1 ]]
}

@test "all of this with the tree in WIREGUARD_TOOLS" {
	with_tree
}
