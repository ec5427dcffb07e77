#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Link-locals that nobody writes down: the server gives its peers those that are derived from their
# keys, and takes back just these; a client has its own from wg-quick.

bats_require_minimum_version 1.5.0

setup() {
	load leases
	star "fe80::/128" c1 c2
}

teardown() {
	hosts_del
}

# Peers of these keys, without AllowedIPs, on a server that is told to give them theirs.
conf_derived() { # KEY...
	local key
	{
		printf '[Interface]\nPrivateKey = %s\nListenPort = 51820\n' "${KEY[srv]}"
		printf 'Address = 192.0.2.1/24\nLinkLocals = auto\n'
		for key; do
			printf '\n[Peer]\nPublicKey = %s\n' "$key"
		done
	} | conf srv wg0
}

derived() { # KEY
	on srv wg dynamic address "$1"
}

# A key that begins with the bytes of another's derived address, or with these in hexadecimal.
like() { # KEY|HEX BYTE
	local first=$1 rest
	[[ $1 != *= ]] || first=$(base64 -d <<<"$1" | head -c 8 | od -An -v -tx1 | tr -d ' ')
	printf -v rest '%.0s'"$2" {1..24}
	first+=$rest
	for ((rest = 0; rest < ${#first}; rest += 2)); do
		printf '%b' "\\x${first:rest:2}"
	done | base64
}

records() { # what the journal says of link-locals.
	on srv grep -o '^[no-]*link-local [^ ]*' /var/lib/wg-dynamic/wg0.leases
}

recorded() { # RECORD
	records | grep -qxF "$1"
}

auto_client() { # HOST: no address but `auto'.
	conf "$1" wg0 <<-EOF
		[Interface]
		PrivateKey = ${KEY[$1]}
		Address = auto

		[Peer]
		PublicKey = ${PUB[srv]}
		Endpoint = ${IP[srv]}:51820
		AllowedIPs = 192.0.2.0/24, fe80::/128
	EOF
}

@test "no address on the client and no AllowedIPs on the server: the ping goes through" {
	local ll
	conf_derived "${PUB[c1]}" "${PUB[c2]}"
	auto_client c1
	wgq srv up wg0
	ll=$(derived "${PUB[c1]}")/128
	wait_for 3 has_allowed srv wg0 "${PUB[c1]}" "$ll"
	wait_for 3 has_allowed srv wg0 "${PUB[c2]}" "$(derived "${PUB[c2]}")/128"
	[ "$(records | sort)" = "$(printf 'link-local %s\n' "${PUB[c1]}" "${PUB[c2]}" | sort)" ]
	logged srv "derived link-locals: 2 given, 0 taken back"
	wgq c1 up wg0
	has_addr c1 wg0 "$ll"
	on c1 ping -n -c 1 -w 5 192.0.2.1
	[ "$(on srv wg dynamic show wg0 allowed-ips | sort)" = "$(printf '%s\t%s\n' \
		"${PUB[c1]}" "$(v4 c1)/32 $ll" "${PUB[c2]}" "$(derived "${PUB[c2]}")/128" | sort)" ]
	# None of it is saved.
	wgq srv save wg0
	on srv grep -c '^\[Peer\]' /etc/wireguard/wg0.conf
	not on srv grep -i AllowedIPs /etc/wireguard/wg0.conf
	on srv grep -x 'LinkLocals = auto' /etc/wireguard/wg0.conf
}

@test "told to stop doing so, it takes back what it gave, also after a crash, and nothing else" {
	local own=fe80::77/128
	conf_derived "${PUB[c1]}" "${PUB[c2]}"
	wgq srv up wg0
	wait_for 3 has_allowed srv wg0 "${PUB[c2]}" "$(derived "${PUB[c2]}")/128"
	on srv kill -9 "$(pids srv server monitor)"
	wait_for 3 not pids srv server
	# One is his now; and a peer that has one of its own needs none.
	on srv wg set wg0 peer "${PUB[c2]}" allowed-ips "$own"
	on srv wg dynamic server wg0 link-locals auto
	wait_for 3 recorded "no-link-local ${PUB[c2]}"
	[ "$(allowed srv wg0 "${PUB[c2]}")" = "$own" ]
	on srv wg dynamic stop wg0
	has_allowed srv wg0 "${PUB[c1]}" "$(derived "${PUB[c1]}")/128"
	# The derived address, but by his own hand: it stays.
	on srv wg set wg0 peer "${PUB[c2]}" allowed-ips "$(derived "${PUB[c2]}")/128"
	on srv wg dynamic server wg0
	wait_for 3 not has_allowed srv wg0 "${PUB[c1]}" "$(derived "${PUB[c1]}")/128"
	wait_for 3 recorded "no-link-local ${PUB[c1]}"
	logged srv "derived link-locals: 0 given, 1 taken back"
	has_allowed srv wg0 "${PUB[c2]}" "$(derived "${PUB[c2]}")/128"
}

@test "told to stop, with other pools: who asks meanwhile keeps the lease that it knows" {
	local asking
	conf_derived "${PUB[c1]}"
	auto_client c1
	wgq srv up wg0
	wgq c1 up wg0
	on srv wg dynamic stop wg0
	on srv wg dynamic server wg0 pool 198.51.100.7/32 link-locals auto
	wait_for 5 has_addr c1 wg0 198.51.100.7/32
	# With ever more requests on their way while the link-local is taken out.
	spawn c1 asking bash -c "while :; do timeout 1 /usr/bin/python3 '$NETNS/raw.py' client \
		'request_ip=1\n\n'; done"
	asking=$SPID
	sleep 0.5
	: >"$NS/srv/log"
	on srv wg dynamic stop wg0
	on srv wg dynamic server wg0
	wait_for 3 not has_allowed srv wg0 "${PUB[c1]}" "$(derived "${PUB[c1]}")/128"
	sleep 2
	on c1 kill "$asking"
	not logged srv "given up"
	[[ $(on srv wg dynamic show wg0 dump) == *"${PUB[c1]}"$'\t'198.51.100.7/32$'\t'* ]]
	has_allowed srv wg0 "${PUB[c1]}" 198.51.100.7/32
	has_addr c1 wg0 198.51.100.7/32
}

@test "a peer that is added, replaced and removed, each with a reload" {
	local new
	new=$(like 0102030405060708 09)
	conf_derived "${PUB[c1]}"
	wgq srv up wg0
	wait_for 3 has_allowed srv wg0 "${PUB[c1]}" "$(derived "${PUB[c1]}")/128"
	on srv wg set wg0 peer "$new"
	on srv wg dynamic reload wg0
	wait_for 1 has_allowed srv wg0 "$new" fe80::102:304:506:708/128
	# As `systemctl reload wg-quick@wg0' does: the new peer goes, AllowedIPs too.
	on srv bash -c 'wg syncconf wg0 <(wg-quick strip wg0)'
	not has_allowed srv wg0 "${PUB[c1]}" "$(derived "${PUB[c1]}")/128"
	on srv wg dynamic reload wg0
	wait_for 1 has_allowed srv wg0 "${PUB[c1]}" "$(derived "${PUB[c1]}")/128"
	wait_for 1 recorded "no-link-local $new"
	on srv wg show wg0 peers | not grep -qF "$new"
}

@test "two with the same, one that is taken, and fe80:: itself: nobody gets it, and a line says so" {
	local twin zero theirs
	twin=$(like "${PUB[c2]}" aa) zero=$(like 0000000000000000 0b) theirs=$(like 1112131415161718 0c)
	conf_derived "${PUB[c1]}" "${PUB[c2]}" "$twin" "$zero" "$theirs"
	printf '\n[Peer]\nPublicKey = %s\nAllowedIPs = fe80::1112:1314:1516:1718/128\n' \
		"$(like 2122232425262728 0d)" | on srv tee -a /etc/wireguard/wg0.conf
	wgq srv up wg0
	wait_for 3 has_allowed srv wg0 "${PUB[c1]}" "$(derived "${PUB[c1]}")/128"
	local key
	for key in "${PUB[c2]}" "$twin" "$zero" "$theirs"; do
		[ "$(allowed srv wg0 "$key")" = "" ]
	done
	logs srv | grep -qE "peer [^ ]*= at fe80::[^ ]*: can't have this derived link-local, which is taken \(4 such peers\): write another"
	[ "$(records)" = "link-local ${PUB[c1]}" ]
	# Once there is but one of the twins, it gets its own. What is the same is not said again.
	on srv wg set wg0 peer "$twin" remove
	on srv wg dynamic reload wg0
	wait_for 2 has_allowed srv wg0 "${PUB[c2]}" "$(derived "${PUB[c2]}")/128"
	wait_for 2 logged srv "(2 such peers)"
	on srv wg dynamic reload wg0
	on srv wg dynamic reload wg0
	logged srv "such peers" 2
}

@test "its engine killed: none is taken back, none recorded twice" {
	conf_derived "${PUB[c1]}" "${PUB[c2]}"
	wgq srv up wg0
	wait_for 3 has_allowed srv wg0 "${PUB[c1]}" "$(derived "${PUB[c1]}")/128"
	wait_for 3 has_allowed srv wg0 "${PUB[c2]}" "$(derived "${PUB[c2]}")/128"
	on srv kill -9 "$(pids srv server engine)"
	wait_for 5 logged srv "leases: 0, and" 2
	on srv wg dynamic reload wg0
	has_allowed srv wg0 "${PUB[c1]}" "$(derived "${PUB[c1]}")/128"
	[ "$(records | wc -l)" -eq 2 ]
}

@test "the disk is full: none is given that could not be recorded; later it is, by a reload" {
	conf_derived "${PUB[c1]}" "${PUB[c2]}"
	on srv sed -i '/LinkLocals/d' /etc/wireguard/wg0.conf
	wgq srv up wg0
	on srv touch /etc/wireguard/wg0.settings
	on srv wg dynamic server wg0 config /etc/wireguard/wg0.settings
	on srv mount -o remount,size=256k /var/lib/wg-dynamic
	not on srv dd if=/dev/zero of=/var/lib/wg-dynamic/filler bs=1k status=none 2>/dev/null
	on srv tee /etc/wireguard/wg0.settings <<<$'[Server]\nLinkLocals = Auto'
	on srv wg dynamic reload wg0
	on srv wg dynamic reload wg0
	not grep -q fe80 <(on srv wg show wg0 allowed-ips)
	[ "$(records)" = "" ]
	logs srv | grep -q "cannot write the journal: No space left on device"
	on srv rm /var/lib/wg-dynamic/filler
	on srv wg dynamic reload wg0
	has_allowed srv wg0 "${PUB[c1]}" "$(derived "${PUB[c1]}")/128"
	recorded "link-local ${PUB[c1]}"
	# Taken back without a restart.
	on srv wg set wg0 peer "${PUB[c2]}" remove peer "${PUB[c2]}" \
		allowed-ips "$(derived "${PUB[c2]}")/128"
	on srv tee /etc/wireguard/wg0.settings <<<$'[Server]\nLinkLocals = off'
	on srv wg dynamic reload wg0
	wait_for 2 not has_allowed srv wg0 "${PUB[c1]}" "$(derived "${PUB[c1]}")/128"
	not grep -q "refused the engine's order" "$NS/srv/log"
}

@test "peers that have no link-local, or lose it, and so cannot ask: one line at start and reload" {
	local set=/etc/wireguard/wg0.settings said
	printf '[Server]\nLinkLocals = off\n' | on srv tee "$set" >/dev/null
	on srv sed -i "s,^AllowedIPs.*${LL[c1]}.*,AllowedIPs = 198.51.100.1/32," /etc/wireguard/wg0.conf
	said=$(up_server config "$set" 2>&1)
	[[ $said == *"wg0: peer ${PUB[c1]} has no link-local address in its AllowedIPs and cannot ask: \`link-locals auto' gives it one"* ]]
	on srv wg set wg0 peer "${PUB[c2]}" allowed-ips fe80::/64
	on srv wg dynamic reload wg0
	wait_for 2 logged srv "wg0: 2 peers have no link-local address in their AllowedIPs and cannot ask: \`link-locals auto' gives them one" 1
	on srv sed -i s/off/auto/ "$set"
	on srv wg dynamic reload wg0
	wait_for 3 has_allowed srv wg0 "${PUB[c1]}" "$(derived "${PUB[c1]}")/128"
	on srv wg dynamic stop wg0
	said=$(serve config "$set" 2>&1)
	[[ $said != *"cannot ask"* ]]
	logged srv "cannot ask" 1
	on srv sed -i s/auto/off/ "$set"
	on srv wg dynamic reload wg0
	wait_for 2 logged srv "wg0: 2 peers have no link-local" 2
	on srv wg set wg0 peer "${PUB[c1]}" allowed-ips "${LL[c1]}/128"
	on srv wg set wg0 peer "${PUB[c2]}" allowed-ips "${LL[c2]}/128"
	on srv wg dynamic reload wg0
	sleep 1
	logged srv "cannot ask" 2
}
