#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Pool and the other keys of a server: how it is started and stopped, and what is saved.

bats_require_minimum_version 1.5.0
load world

KEYS="pool 192.0.2.0/24,2001:db8::/64 lease-time 600 route 10.0.0.0/8,fd00:5::/48 dns 192.0.2.53"
KEYS+=" search corp.example,example.org mtu 1380 link-locals auto"

setup() {
	need_scripts
}

# server LINE...: a world whose [Interface] has these lines, and one peer
server() {
	{
		printf '[Interface]\nPrivateKey = a2V5\n'
		printf '%s\n' "$@" "$PEER" "AllowedIPs = fe80::7/128"
	} | world "$WG_QUICK"
}

# full: all there is to configure
full() {
	server "Address = 192.0.2.1/24" "Pool = 192.0.2.0/24, 2001:DB8::/64" "LeaseTime = 600" \
		"PushRoute = 10.0.0.0/8" "pushroute=fd00:5::/48 # more" "PushDNS = 192.0.2.53" \
		"PushSearch = corp.example example.org" "PushMTU = 1380" "LinkLocals = Auto" \
		"SaveConfig = true" "PostUp = hook postup" "PreDown = hook predown"
}

@test "up: starts the server with all that is configured, before PostUp" {
	full
	wg_quick up
	in_order "ip -4 address add 192.0.2.1/24 dev wg0" "ip -6 address add fe80::/64 dev wg0" \
		"ip link set mtu 1420 up dev wg0" "wg dynamic server wg0 $KEYS" "hook postup"
	grep -qxF "[#] wg dynamic server wg0 $KEYS" "$WORLD/err"
	[[ $(grep "wg dynamic" "$LOG" | grep -cv " check$") -eq 1 ]]
}

@test "words that the server does not understand: one line names the key, and nothing is done" {
	local word key
	full
	while read -r word key; do
		mock WRONG "wg dynamic server: $word \`x' is none: write y
Usage: wg dynamic server"
		run -1 wg_quick up
		[[ $(< "$WORLD/err") == "wg-quick: \`$CONFIG': $key \`x' is none: write y" ]]
	done <<-EOF_
		pool Pool
		lease-time LeaseTime
		route PushRoute
		dns PushDNS
		search PushSearch
		mtu PushMTU
		link-locals LinkLocals
	EOF_
	ran "wg dynamic server wg0 $KEYS check"
	mock WRONG "Invalid subcommand: \`dynamic'"
	run -1 wg_quick up
	[[ $(< "$WORLD/err") == "wg-quick: Invalid subcommand: \`dynamic'" ]]
	run -1 grep -vxe "ip link show dev wg0" -e "wg dynamic server wg0 $KEYS check" "$LOG"
}

@test "up: any one of the keys will do, and an empty one is passed on, to be refused" {
	local i
	for i in "Pool = 192.0.2.0/24:pool 192.0.2.0/24" "LeaseTime = 60:lease-time 60" \
		"PushRoute = 10.0.0.0/8:route 10.0.0.0/8" "PushDNS = 192.0.2.53:dns 192.0.2.53" \
		"PushSearch = corp.example:search corp.example" "PushMTU = 1300:mtu 1300" \
		"LinkLocals = auto:link-locals auto"; do
		server "Address = 192.0.2.1/24" "${i%%:*}"
		wg_quick up
		ran "wg dynamic server wg0 ${i#*:}"
		never "dynamic client"
	done
	server "Address = 192.0.2.1/24" "Pool =" "PushRoute = # none"
	wg_quick up
	ran "wg dynamic server wg0 pool  route  check"
}

@test "up: fe80::/64 is added only where no address is fe80::" {
	local i
	for i in fe80::/64 FE80::/128 fe80::0/10 fe80:0:0:0:0:0:0:0/64 fe80::; do
		server "Address = 192.0.2.1/24, $i" "Pool = 192.0.2.0/24"
		wg_quick up
		[[ $(grep -ci "address add fe80" "$LOG") -eq 1 ]]
		ran "ip -6 address add $i dev wg0"
	done
	for i in fe80::1/64 2001:db8::1/64; do
		server "Address = $i" "Pool = 192.0.2.0/24"
		wg_quick up
		in_order "ip -6 address add $i dev wg0" "ip -6 address add fe80::/64 dev wg0"
	done
}

@test "up: a TUN interface is told to make no link-local of its own, which would be saved" {
	mock GENMODE eui64
	server "Pool = 192.0.2.0/24"
	wg_quick up
	in_order "ip link set dev wg0 addrgenmode none" "ip link set mtu 1420 up dev wg0"
}

@test "down: stops the server after PreDown and save, before the interface goes" {
	full
	wg_quick up
	: > "$LOG"
	wg_quick down
	in_order "hook predown" "wg dynamic show wg0 allowed-ips" "wg dynamic stop wg0" \
		"ip link delete dev wg0"
	[[ $(grep -c "dynamic stop" "$LOG") -eq 1 ]]
}

@test "down: a stop that fails is no error" {
	server "Pool = 192.0.2.0/24"
	wg_quick up
	mock FAIL "wg dynamic stop *"
	wg_quick down
	[[ ! -e $WORLD/state/device ]]
}

@test "an up whose server does not start is a failed up" {
	mock FAIL "wg dynamic server * auto"
	full
	run -1 wg_quick up
	in_order "wg dynamic server wg0 $KEYS" "ip link delete dev wg0"
	never "dynamic stop" # which would say that nothing runs
	never "hook postup"
	[[ ! -e $WORLD/state/device ]]
}

@test "an up whose PostUp fails stops the server" {
	mock FAIL "hook postup"
	full
	run -1 wg_quick up
	in_order "wg dynamic server wg0 $KEYS" "hook postup" "wg dynamic stop wg0" \
		"ip link delete dev wg0"
}

@test "an interface that serves and leases: both start, one stop" {
	server "Address = fe80::1/128, auto" "Pool = 192.0.2.0/24"
	wg_quick up
	in_order "ip -6 address add fe80::/64 dev wg0" "wg dynamic server wg0 pool 192.0.2.0/24" \
		"wg dynamic client wg0"
	: > "$LOG"
	wg_quick down
	[[ $(grep -c "wg dynamic" "$LOG") -eq 1 ]]
	ran "wg dynamic stop wg0"
}

@test "save: the keys as they were, no leased AllowedIPs, and no fe80::/64 that was added" {
	local key=${PEER##* }
	full
	sed -i 's,^AllowedIPs.*,AllowedIPs = fe80::7/128\, 192.0.2.7/32\, 2001:db8::7/128,' "$CONFIG"
	cat >> "$CONFIG" <<-EOF_

	[Peer]
	PublicKey = other=
	AllowedIPs = 192.0.2.8/32
	PersistentKeepalive = 25

	[Peer]
	PublicKey = third=
	AllowedIPs = 192.0.2.7/32, fe80::9/128
	EOF_
	mock ALLOWED "$key	192.0.2.7/32"$'\n'"third=	fe80::9/128"$'\n'"other=	192.0.2.8/32"
	wg_quick up
	wg_quick down
	diff -u - "$CONFIG" <<-EOF_
	[Interface]
	Address = 192.0.2.1/24
	Pool = 192.0.2.0/24, 2001:DB8::/64
	LeaseTime = 600
	PushRoute = 10.0.0.0/8
	pushroute = fd00:5::/48
	PushDNS = 192.0.2.53
	PushSearch = corp.example example.org
	PushMTU = 1380
	LinkLocals = Auto
	DNS = 192.0.2.53
	SaveConfig = true
	PostUp = hook postup
	PreDown = hook predown
	PrivateKey = a2V5
	$PEER
	AllowedIPs = fe80::7/128, 2001:db8::7/128

	[Peer]
	PublicKey = other=
	PersistentKeepalive = 25

	[Peer]
	PublicKey = third=
	AllowedIPs = 192.0.2.7/32
	EOF_
	cp "$CONFIG" "$BATS_TEST_TMPDIR/once"
	wg_quick up
	ran "wg dynamic server wg0 $KEYS"
	wg_quick down
	diff -u "$BATS_TEST_TMPDIR/once" "$CONFIG"
}

# by_hand LINE...: a world whose server is not of wg-quick's doing: its socket tells
by_hand() {
	mocked() {
		# shellcheck disable=SC2016 # expanded within
		exec unshare -m bash -c 'mount -t tmpfs none /var/run && mkdir /var/run/wg-dynamic &&
			: > /var/run/wg-dynamic/wg0.server.sock && exec "$@"' \
			- env -i PATH="$WORLD/tools" MOCK="$WORLD" "${BEHAVIOUR[@]}" "$@"
	}
	server "Address = 192.0.2.1/24" "SaveConfig = true" "$@"
	sed -i 's,^AllowedIPs.*,AllowedIPs = fe80::7/128\, 192.0.2.7/32,' "$CONFIG"
	mock ALLOWED "${PEER##* }	192.0.2.7/32"
	wg_quick up
	never "wg dynamic"
}

@test "save, down: a server that is started by hand or by PostUp tells what is leased, too" {
	local saved="AllowedIPs = fe80::7/128"
	by_hand
	wg_quick save
	[[ $(grep ^AllowedIPs "$CONFIG") == "$saved" ]]
	ran "wg dynamic show wg0 allowed-ips"
	by_hand
	wg_quick down
	[[ $(grep ^AllowedIPs "$CONFIG") == "$saved" ]]
	never "dynamic stop"
	by_hand "PreDown = rm /var/run/wg-dynamic/wg0.server.sock" # as it does when it is stopped
	wg_quick down
	[[ $(grep ^AllowedIPs "$CONFIG") == "$saved" ]]
}

@test "save: a server of somebody's own that does not answer, and the file stays" {
	mock FAIL "wg dynamic show *"
	by_hand
	cp "$CONFIG" "$BATS_TEST_TMPDIR/before"
	run -1 wg_quick save
	wg_quick down
	cmp "$BATS_TEST_TMPDIR/before" "$CONFIG"
	[[ $(grep -c "^Warning: .*wg0.conf' is left as it was" "$WORLD/err") -eq 1 ]]
}

@test "save: fe80::/64 that was configured is saved" {
	server "Address = 192.0.2.1/24, fe80::/64" "Pool = 192.0.2.0/24"
	wg_quick up
	wg_quick save
	[[ $(grep ^Address "$CONFIG") == $'Address = 192.0.2.1/24\nAddress = fe80::/64' ]]
}

@test "save: without an answer from the server the file stays, with one warning" {
	full
	wg_quick up
	cp "$CONFIG" "$BATS_TEST_TMPDIR/before"
	mock FAIL "wg dynamic show *"
	run -1 wg_quick save
	cmp "$BATS_TEST_TMPDIR/before" "$CONFIG"
	[[ $(grep -c "^Warning: .*wg0.conf' is left as it was" "$WORLD/err") -eq 1 ]]
	[[ ! -e $CONFIG.tmp ]]
	wg_quick down
	cmp "$BATS_TEST_TMPDIR/before" "$CONFIG"
	[[ $(grep -c "^Warning: .*wg0.conf' is left as it was" "$WORLD/err") -eq 1 ]]
	ran "ip link delete dev wg0"
}

@test "strip prints none of the keys" {
	full
	wg_quick strip
	[[ $(< "$WORLD/out") == "[Interface]
PrivateKey = a2V5
$PEER
AllowedIPs = fe80::7/128" ]]
}

@test "help tells of the keys" {
	full
	run -0 mocked "$WORLD/bin/wg-quick" help
	for i in Pool LeaseTime PushRoute PushDNS PushSearch PushMTU LinkLocals Accept; do
		[[ $output == *"$i"* ]]
	done
}

@test "all of this with the tree in WIREGUARD_TOOLS" {
	with_tree
}
