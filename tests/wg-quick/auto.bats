#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# `Address = auto' in the patched wg-quick: which commands, in which order, and what is saved.

bats_require_minimum_version 1.5.0
load world

setup() {
	need_scripts
	mock LEASES "198.51.100.7/32 2001:db8::7/128"
}

# auto [ALLOWED-IPS [MISSING]...]: a world whose configuration has nearly everything
auto() {
	local ips="${1:-192.0.2.0/24, fe80::/128}"
	shift || true
	world "$WG_QUICK" "$@" <<-EOF_
	[Interface]
	PrivateKey = a2V5
	Address = fe80::abcd:abcd:abcd:abcd/128, auto
	Address = 192.0.2.2/24
	DNS = 192.0.2.53
	PreUp = hook preup
	PostUp = hook postup
	PreDown = hook predown
	PostDown = hook postdown
	$PEER
	AllowedIPs = $ips
	EOF_
}

# address LINE...: a world with these Address lines
address() {
	{
		printf '[Interface]\n'
		printf '%s\n' "$@" "$PEER" "AllowedIPs = fe80::/128"
	} | world "$WG_QUICK"
}

# interrupted SIGNAL TO: sends SIGNAL to wg-quick ("") or its whole group ("-") while the client waits
interrupted() {
	local pid i
	mock WAIT "wg dynamic client *"
	set -m
	(mocked "$WORLD/bin/wg-quick" up "$CONFIG" > "$WORLD/out" 2> "$WORLD/err" 3>&-) &
	pid=$!
	set +m
	for (( i = 0; i < 100; i++ )); do
		[[ ! -e $WORLD/waiting ]] || break
		sleep 0.05
	done
	[[ -e $WORLD/waiting ]] || fail "the client was never started"
	kill "-$1" -- "$2$pid"
	[[ -n $2 ]] || : > "$WORLD/go"
	wait "$pid" || true
}

# torn_down: an up that came as far as the client was taken back, the client first
torn_down() {
	in_order "wg dynamic client wg0" "wg dynamic stop wg0" "resolvconf -d wg0 -f" "ip link delete dev wg0"
	never "^hook postup"
	[[ ! -e $WORLD/state/device ]]
}

@test "up: the client comes after the routes and before PostUp, and is echoed" {
	auto
	wg_quick up
	in_order "hook preup" "ip -6 address add fe80::abcd:abcd:abcd:abcd/128 dev wg0" \
		"ip -4 address add 192.0.2.2/24 dev wg0" "ip link set mtu 1420 up dev wg0" \
		"resolvconf -a wg0 -m 0 -x" "ip -6 route append fe80::/128 dev wg0" \
		"wg dynamic client wg0" "hook postup"
	grep -qxF "[#] wg dynamic client wg0" "$WORLD/err"
	never "address add auto"
	never "dynamic stop"
}

@test "up: besides the client and a look at addrgenmode auto adds nothing" {
	auto
	wg_quick up
	grep -vxF -e "wg dynamic client wg0" -e "ip -d link show dev wg0" "$LOG" |
		sed "s/route append fe80:/route add fe80:/" > "$BATS_TEST_TMPDIR/auto"
	sed 's/, auto$//' "$CONFIG" > "$BATS_TEST_TMPDIR/plain.conf"
	world "$WG_QUICK_ORIG" < "$BATS_TEST_TMPDIR/plain.conf"
	wg_quick up
	ran "hook postup"
	diff -u "$LOG" "$BATS_TEST_TMPDIR/auto"
}

@test "auto in any case and at any place, with and without spaces" {
	local i
	for i in auto AUTO "Auto,192.0.2.2/24" "192.0.2.2/24,aUTO,2001:db8::2/64" " auto , auto # auto"; do
		address "Address = $i"
		wg_quick up
		ran "wg dynamic client wg0"
		[[ $(grep -c "dynamic client" "$LOG") -eq 1 ]]
		never "address add auto"
		[[ $i != *2001* ]] || in_order "ip -4 address add 192.0.2.2/24 dev wg0" \
			"ip -6 address add 2001:db8::2/64 dev wg0"
	done
}

@test "several Address lines, auto on one of its own" {
	address "Address = fe80::1/128" "Address = auto" "Address = 192.0.2.2/24"
	wg_quick up
	in_order "ip -6 address add fe80::1/128 dev wg0" "ip -4 address add 192.0.2.2/24 dev wg0" \
		"wg dynamic client wg0"
}

@test "words that only look like auto are no auto" {
	local i
	for i in automatic auto/32 xauto; do
		address "Address = $i"
		wg_quick up
		ran "ip -4 address add $i dev wg0"
		never "wg dynamic"
	done
}

@test "auto in a [Peer] section, or in Table, starts no client" {
	world "$WG_QUICK" <<-EOF_
	[Interface]
	Address = 192.0.2.2/24
	Table = auto
	$PEER
	AllowedIPs = 192.0.2.0/24
	Address = auto
	EOF_
	wg_quick up
	never "wg dynamic"
}

@test "addrgenmode: none stays as it is" {
	auto
	wg_quick up
	in_order "ip -d link show dev wg0" "ip link set mtu 1420 up dev wg0"
	never addrgenmode
}

@test "addrgenmode: anything else becomes none before the interface goes up" {
	local i
	for i in eui64 random stable_secret; do
		mock GENMODE "$i"
		auto
		wg_quick up
		in_order "ip link set dev wg0 addrgenmode none" "ip link set mtu 1420 up dev wg0"
	done
}

@test "down: stops the client before all else, after PreDown and save" {
	auto
	sed -i 's/^PreUp/SaveConfig = true\n&/' "$CONFIG"
	wg_quick up
	: > "$LOG"
	wg_quick down
	in_order "wg show interfaces" "hook predown" "wg showconf wg0" "wg dynamic stop wg0" \
		"wg show wg0 fwmark" "ip link delete dev wg0" "hook postdown"
	[[ $(grep -c "dynamic stop" "$LOG") -eq 1 ]]
	[[ $(sed -n '/dynamic stop/{n;p}' "$LOG") == "wg show wg0 fwmark" ]]
	grep -qxF "[#] wg dynamic stop wg0" "$WORLD/err"
}

@test "down: a stop that fails is no error" {
	auto
	wg_quick up
	mock FAIL "wg dynamic stop *"
	wg_quick down
	in_order "wg dynamic stop wg0" "ip link delete dev wg0" "hook postdown"
}

@test "an up that fails before the client tears down as before, and stops nothing" {
	mock FAIL "ip -6 route append *"
	auto
	run -1 wg_quick up
	in_order "resolvconf -d wg0 -f" "ip link delete dev wg0"
	never "dynamic client"
	never "dynamic stop" # which would say that nothing runs
	[[ ! -e $WORLD/state/device ]]
}

@test "an up that cannot make the interface" {
	mock FAIL "ip link add *"
	auto "" wireguard-go
	run ! wg_quick up
	in_order "ip link add wg0 type wireguard" "ip link delete dev wg0"
	never "dynamic client"
	never "dynamic stop"
}

@test "an up whose client fails is a failed up" {
	mock FAIL "wg dynamic client *"
	auto
	run -1 wg_quick up
	torn_down
}

@test "an up whose wg knows no dynamic is a failed up" {
	mock FAIL "wg dynamic *"
	auto
	run -1 wg_quick up
	torn_down
}

@test "an up whose PostUp fails stops the client" {
	mock FAIL "hook postup"
	auto
	run -1 wg_quick up
	in_order "wg dynamic client wg0" "hook postup" "wg dynamic stop wg0" "ip link delete dev wg0"
}

@test "an up that SIGTERM interrupts" {
	auto
	interrupted TERM ""
	torn_down
}

@test "an up that SIGINT interrupts" {
	auto
	interrupted INT ""
	torn_down
}

@test "an up that a terminal's SIGINT interrupts, client and all" {
	auto
	interrupted INT -
	torn_down
}

@test "an up of an interface that is there already leaves its client alone" {
	auto
	wg_quick up
	: > "$LOG"
	run -1 wg_quick up
	grep -q "already exists" "$WORLD/err"
	never "wg dynamic"
	[[ -e $WORLD/state/device ]]
}

@test "save: auto and the addresses of the configuration, no leased ones" {
	auto
	wg_quick up
	wg_quick save
	ran "ip -all -brief address show dev wg0 permanent"
	diff -u - <(grep ^Address "$CONFIG") <<-EOF_
	Address = fe80::abcd:abcd:abcd:abcd/128
	Address = 192.0.2.2/24
	Address = auto
	EOF_
}

@test "save: auto alone stays auto alone" {
	address "Address = Auto"
	wg_quick up
	wg_quick save
	[[ $(grep ^Address "$CONFIG") == "Address = auto" ]]
}

@test "SaveConfig: down and up again and again" {
	local i saved
	address "Address = fe80::1/128, auto" "SaveConfig = true"
	for i in 1 2 3; do
		: > "$LOG"
		wg_quick up
		ran "wg dynamic client wg0"
		wg_quick down
		saved="$(grep ^Address "$CONFIG")"
		[[ $saved == $'Address = fe80::1/128\nAddress = auto' ]]
	done
}

@test "strip prints what it printed before" {
	auto
	transcript strip > "$BATS_TEST_TMPDIR/patched"
	grep -q PrivateKey "$WORLD/out"
	[[ $(< "$WORLD/out") != *auto* ]]
	cp "$WG_QUICK_ORIG" "$WORLD/bin/wg-quick"
	transcript strip | diff -u - "$BATS_TEST_TMPDIR/patched"
}

@test "nft: a set for the leased addresses of each family with a default route" {
	local family type
	auto "0.0.0.0/0, ::/0"
	wg_quick up
	for i in "ip ipv4_addr" "ip6 ipv6_addr"; do
		read -r family type <<< "$i"
		in_order "add table $family wg-quick-wg0" \
			"add chain $family wg-quick-wg0 preraw { type filter hook prerouting priority -300; }" \
			"add set $family wg-quick-wg0 leased { type $type; }" \
			"add rule $family wg-quick-wg0 preraw iifname != \"wg0\" $family daddr @leased fib saddr type != local drop" \
			"wg dynamic client wg0"
		[[ $(grep -c "add set $family " "$LOG") -eq 1 ]]
	done
	in_order "add rule ip wg-quick-wg0 preraw iifname != \"wg0\" ip daddr 192.0.2.2 fib saddr type != local drop"
	never restore
}

@test "nft: no set for a family without a default route" {
	auto "::/0"
	wg_quick up
	in_order "add set ip6 wg-quick-wg0 leased { type ipv6_addr; }"
	never "add set ip "
	auto
	wg_quick up
	never "^nft"
}

@test "nft: the set goes with its table" {
	auto "0.0.0.0/0, ::/0"
	wg_quick up
	wg_quick down
	in_order "delete table ip wg-quick-wg0"
	in_order "delete table ip6 wg-quick-wg0"
	[[ ! -s $WORLD/state/nftables ]]
}

@test "iptables: rules for the leased addresses once the client has them, and away at down" {
	local comment='-m comment --comment "wg-quick(8) rule for wg0"'
	auto "0.0.0.0/0, ::/0" nft
	wg_quick up
	in_order "wg dynamic client wg0" "iptables-restore -n" "*raw" \
		"-I PREROUTING ! -i wg0 -d 198.51.100.7 -m addrtype ! --src-type LOCAL -j DROP $comment" \
		COMMIT "hook postup"
	in_order "wg dynamic client wg0" "ip6tables-restore -n" "*raw" \
		"-I PREROUTING ! -i wg0 -d 2001:db8::7 -m addrtype ! --src-type LOCAL -j DROP $comment" \
		COMMIT "hook postup"
	[[ $(grep -c -- "-d 192.0.2.2 " "$LOG") -eq 1 ]]
	wg_quick down
	[[ ! -s $WORLD/state/iptables && ! -s $WORLD/state/ip6tables ]]
}

@test "iptables: only for a family with a default route, and only if something is leased" {
	auto "0.0.0.0/0" nft
	wg_quick up
	[[ $(grep -c "^iptables-restore" "$LOG") -eq 2 ]]
	never "^ip6tables-restore"
	auto "" nft
	wg_quick up
	never "tables-restore"
	mock LEASES ""
	auto "0.0.0.0/0, ::/0" nft
	wg_quick up
	[[ $(grep -c "tables-restore" "$LOG") -eq 2 ]]
}

@test "iptables: a rule that cannot be set fails up, which stops the client" {
	auto "0.0.0.0/0" nft
	mock FAIL "iptables-restore *198.51.100.7*"
	run -1 wg_quick up
	in_order "wg dynamic client wg0" "iptables-restore -n" "wg dynamic stop wg0" \
		"ip link delete dev wg0"
	never "^hook postup"
}

@test "help tells of auto" {
	auto
	run mocked "$WORLD/bin/wg-quick" help
	[[ $status -eq 0 && $output == *"\`auto', addresses are leased"* ]]
}

@test "all of this with the tree in WIREGUARD_TOOLS" {
	with_tree
}
