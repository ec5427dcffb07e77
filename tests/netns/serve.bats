#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A server as wg-quick's configuration has it: Pool starts it, down stops it, SaveConfig keeps leased
# addresses out of AllowedIPs, and the drop-in of wg-quick@ brings them back after a reload.

setup() {
	load leases
}

teardown() {
	hosts_del
}

# short HOST...: a server and clients that know nothing but each other's key, and a pool.
short() {
	local client
	star "fe80::/128" "$@"
	{
		printf '[Interface]\nPrivateKey = %s\nListenPort = 51820\n' "${KEY[srv]}"
		printf 'Address = 192.0.2.1/24\nPool = 192.0.2.0/24\nLinkLocals = auto\n'
		for client; do
			printf '\n[Peer]\nPublicKey = %s\n' "${PUB[$client]}"
		done
	} | conf srv wg0
	for client; do
		conf "$client" wg0 <<-EOF
			[Interface]
			PrivateKey = ${KEY[$client]}
			Address = auto

			[Peer]
			PublicKey = ${PUB[srv]}
			Endpoint = ${IP[srv]}:51820
			AllowedIPs = fe80::/128, 192.0.2.0/24
		EOF
		note "$client" LL "$(on "$client" wg dynamic address "${PUB[$client]}")"
	done
}

leased() { # CLIENT: it has an address of the pool, and reaches the server by it.
	[[ $(v4 "$1") == 192.0.2.* ]] && has_allowed srv wg0 "${PUB[$1]}" "$(v4 "$1")/32" &&
		on "$1" ping -n -c 1 -w 3 192.0.2.1
}

@test "two keys and a pool: up starts the server, clients lease, down stops it" {
	local before
	short c1 c2
	before=$(state srv)
	wgq srv up wg0
	on srv ip -6 address show dev wg0 | grep -q "inet6 fe80::/64"
	pids srv server monitor
	wgq c1 up wg0
	wgq c2 up wg0
	leased c1
	leased c2
	has_addr c1 wg0 "${LL[c1]}/128"
	has_allowed srv wg0 "${PUB[c2]}" "${LL[c2]}/128"
	[[ $(v4 c1) != "$(v4 c2)" ]]
	wgq srv down wg0
	not pids srv server
	diff <(echo "$before") <(state srv)
}

@test "SaveConfig on the server writes nothing that was leased, and what the administrator gave" {
	local once other=192.0.2.200
	short c1 c2
	on srv sed -i '/^PrivateKey/a SaveConfig = true' /etc/wireguard/wg0.conf
	wgq srv up wg0
	wgq c1 up wg0
	leased c1
	[[ $(v4 c1) != "$other" ]] || other=192.0.2.201 # its key is a new one each time
	on srv wg set wg0 peer "${PUB[c2]}" allowed-ips "$other/32,198.51.100.0/24"
	wait_for 35 has_allowed srv wg0 "${PUB[c2]}" "${LL[c2]}/128" # put back
	wgq srv save wg0
	once=$(on srv cat /etc/wireguard/wg0.conf)
	[[ $(on srv wg show wg0 allowed-ips) == *"$(v4 c1)/32"* ]]
	not grep -F -e "$(v4 c1)/32" -e "${LL[c1]}" -e "${LL[c2]}" -e fe80 <<<"$once"
	grep -qxE "AllowedIPs = ($other/32, 198.51.100.0/24|198.51.100.0/24, $other/32)" <<<"$once"
	grep -qx "Pool = 192.0.2.0/24" <<<"$once"
	grep -qx "LinkLocals = auto" <<<"$once"
	[[ $(grep ^Address <<<"$once") == "Address = 192.0.2.1/24" ]]
	wgq srv down wg0 # which saves as well
	not grep -F -e "$(v4 c1)/32" -e fe80 <<<"$(on srv cat /etc/wireguard/wg0.conf)"
	wgq srv up wg0
	pids srv server monitor
}

@test "SaveConfig saves nothing leased either where PostUp starts the server and PreDown stops it" {
	local addresses
	short c1
	# shellcheck disable=SC2016 # of wg-quick
	on srv sed -i -e '/^Pool/d' -e '/^LinkLocals/d' -e '/^PrivateKey/a SaveConfig = true\
PostUp = wg dynamic server %i config /etc/wireguard/wg0.pools\
PreDown = wg dynamic stop %i' /etc/wireguard/wg0.conf
	printf '[Server]\nPool = 192.0.2.0/24\nLinkLocals = auto\n' | on srv tee /etc/wireguard/wg0.pools
	wgq srv up wg0
	wgq c1 up wg0
	leased c1
	on srv wg set wg0 peer "${PUB[c1]}" allowed-ips "+198.51.100.0/24" 2>/dev/null ||
		on srv wg set wg0 peer "${PUB[c1]}" allowed-ips "198.51.100.0/24,$(v4 c1)/32,${LL[c1]}/128"
	addresses=$(v4 c1)
	for verb in save down; do
		wgq srv "$verb" wg0
		not grep -F -e "$addresses" -e "${LL[c1]}" <<<"$(on srv cat /etc/wireguard/wg0.conf)"
		on srv grep -qx "AllowedIPs = 198.51.100.0/24" /etc/wireguard/wg0.conf
	done
}

# What a peer has by lease beside what is the administrator's: 198.51.100.0/24 of c1.
peers_saved() { # the configuration has that alone.
	local saved
	saved=$(on srv cat /etc/wireguard/wg0.conf)
	grep -qx "AllowedIPs = 198.51.100.0/24" <<<"$saved"
	[[ $(grep -c ^AllowedIPs <<<"$saved") == 1 && $(grep -c "^PublicKey" <<<"$saved") == 2 ]]
}

@test "a server that has ended, in order or not: what it has left in AllowedIPs is not saved" {
	local way
	short c1 c2
	on srv sed -i -e '/^PrivateKey/a SaveConfig = true' \
		-e "\\,^PublicKey = ${PUB[c1]},a AllowedIPs = 198.51.100.0/24" /etc/wireguard/wg0.conf
	for way in orderly killed; do
		wgq srv up wg0
		wgq c1 up wg0
		wgq c2 up wg0
		leased c1 && leased c2
		if [[ $way == orderly ]]; then
			on srv wg dynamic stop wg0
		else
			kill_all srv server
		fi
		has_allowed srv wg0 "${PUB[c1]}" "$(v4 c1)/32"
		[ "$(on srv wg dynamic show wg0 allowed-ips | tr '\t' '\n' | tr ' ' '\n' | sort)" = \
			"$(printf '%s\n' "${PUB[c1]}" "${PUB[c2]}" "$(v4 c1)/32" "$(v4 c2)/32" \
				"${LL[c1]}/128" "${LL[c2]}/128" | sort)" ]
		wgq srv save wg0
		peers_saved
		wgq srv down wg0
		peers_saved
		wgq c1 down wg0
		wgq c2 down wg0
	done
}

@test "started by hand, and stopped before down: saved is what the administrator gave, now and later" {
	short c1
	on srv sed -i -e '/^Pool/d' -e '/^LinkLocals/d' -e '/^PrivateKey/a SaveConfig = true' \
		/etc/wireguard/wg0.conf
	wgq srv up wg0
	serve pool 192.0.2.0/24 link-locals auto
	wgq c1 up wg0
	leased c1
	on srv wg dynamic stop wg0
	wgq srv down wg0
	not on srv grep -q ^AllowedIPs /etc/wireguard/wg0.conf
	# On the interface made anew all is his, though the journal has the lease.
	wgq srv up wg0
	on srv wg set wg0 peer "${PUB[c1]}" allowed-ips "$(v4 c1)/32"
	wgq srv down wg0
	on srv grep -qx "AllowedIPs = $(v4 c1)/32" /etc/wireguard/wg0.conf
}

@test "a server that has died, with its journal: nothing is saved, with a warning, and down goes on" {
	local before journal=/var/lib/wg-dynamic/wg0.leases
	short c1
	on srv sed -i '/^PrivateKey/a SaveConfig = true' /etc/wireguard/wg0.conf
	before=$(on srv cat /etc/wireguard/wg0.conf)
	wgq srv up wg0
	wgq c1 up wg0
	kill_all srv server
	# The engine may have written there what it likes.
	on srv cp /var/lib/wg-dynamic/wg0.served /run/served
	echo 198.51.100.0/24 | on srv tee /var/lib/wg-dynamic/wg0.served >/dev/null
	run on srv wg dynamic show wg0 allowed-ips
	[[ $status == 1 && $output == "wg-dynamic: wg0: the server says that it has put "* && \
		$output == *" into AllowedIPs, of which /var/lib/wg-dynamic/wg0.served, its monitor's, does not know" ]]
	run wgq srv save wg0
	[[ $status == 1 && $output == *"Warning: \`/etc/wireguard/wg0.conf' is left as it was"* ]]
	on srv cp /run/served /var/lib/wg-dynamic/wg0.served
	on srv wg dynamic show wg0 allowed-ips
	on srv sed -i '2s/./X/' $journal
	run on srv wg dynamic show wg0 allowed-ips
	[[ $status == 1 && $output == "wg-dynamic: wg0: $journal, line 2 is damaged"* ]]
	on srv rm $journal
	run wgq srv save wg0
	[[ $status == 1 && $output == *"Warning: \`/etc/wireguard/wg0.conf' is left as it was"* ]]
	run wgq srv down wg0
	[[ $status == 0 && $output == *"Warning: \`/etc/wireguard/wg0.conf' is left as it was"* ]]
	diff <(echo "$before") <(on srv cat /etc/wireguard/wg0.conf)
	not on srv ip link show dev wg0
}

@test "a value that is none: up says so in one line, by wg-quick's name for it, and does nothing" {
	local before line where="wg-quick: \`/etc/wireguard/wg0.conf':"
	short c1
	on srv cp /etc/wireguard/wg0.conf /etc/wireguard/good
	while read -r line; do
		on srv sed "/^LinkLocals/a ${line%%: *}" /etc/wireguard/good |
			on srv tee /etc/wireguard/wg0.conf
		before=$(state srv)
		run wgq srv up wg0
		[[ $status == 1 && $output == "$where ${line#*: }"* && ${#lines[@]} == 1 ]]
		[[ $(state srv) == "$before" ]]
	done <<-EOF
		Pool = 198.51.100.0: Pool \`198.51.100.0' is not a network: write ADDRESS/BITS
		LeaseTime =: LeaseTime \`' is not a number of seconds
		LeaseTime = abc: LeaseTime \`abc' is not a number of seconds
		PushRoute = 10.0.0.0/33: PushRoute \`10.0.0.0/33' is not a network
		PushDNS = x: PushDNS \`x' is not the address of a resolver: domains are search domains
		PushSearch = a..b: PushSearch \`a..b' is not a domain
		PushMTU = 100: PushMTU \`100' is not a number of bytes from 1280
		LinkLocals = x: LinkLocals \`auto,x' is not one of its values
		Accept = foo: Accept \`foo' is neither address, route, default-route, dns or mtu
	EOF
}

@test "a server that cannot start is a failed up, which leaves nothing" {
	local before
	short c1
	on srv sed -i '/^Pool/d; s,^Address = .*,Address = fe80::/64,' /etc/wireguard/wg0.conf
	before=$(state srv)
	run wgq srv up wg0
	[[ $status == 1 && $output == *"there is no pool: name one"* ]]
	[[ $output != *"neither client nor server runs"* ]]
	diff <(echo "$before") <(state srv)
}

# Runs what a reload of wg-quick@wg0 does, the line of our drop-in last. Prints the milliseconds from
# the end of syncconf until all these are among AllowedIPs again; fails when it took none out.
reload() { # ALLOWED-IP...
	local ours
	ours=$(sed -n 's,^ExecReload=-@BINDIR@/,,p' \
		"$NETNS/../../src/systemd/wg-quick@.service.d/wg-dynamic.conf")
	on srv bash -s -- "${ours//%i/wg0}" "$@" <<-'EOF'
		back() {
			local all ip
			all=$(wg show wg0 allowed-ips)
			for ip; do
				[[ $all == *"$ip"* ]] || return 1
			done
		}
		now() {
			echo "$((${EPOCHREALTIME/[.,]/} / 1000))"
		}
		wg syncconf wg0 <(exec wg-quick strip wg0)
		start=$(now)
		! back "${@:2}" || exit 1
		$1 &
		until back "${@:2}"; do
			(($(now) < start + 10000)) || exit 1
		done
		echo "$(($(now) - start))"
		wait $!
	EOF
}

@test "what wg-quick@'s reload takes out of AllowedIPs is back within 100 ms by our drop-in" {
	local took=()
	short c1 c2
	# Without a line of AllowedIPs a peer's are left alone.
	on srv sed -i "\\,^PublicKey = ${PUB[c1]},a AllowedIPs = 198.51.100.0/24" \
		/etc/wireguard/wg0.conf
	wgq srv up wg0
	wgq c1 up wg0
	wgq c2 up wg0
	leased c1
	# The best of five, since the machine may have other work to do.
	for _ in {1..5}; do
		took+=("$(reload "$(v4 c1)/32" "${LL[c1]}/128")")
	done
	printf 'back after %s ms\n' "${took[@]}"
	((${#took[@]} == 5 && $(printf '%s\n' "${took[@]}" | sort -n | head -n 1) <= 100))
	leased c1
	leased c2
}

@test "pools that are not routed to the interface: a warning each, if PostUp sets no route either" {
	local -a warned=()
	short c1
	on srv sed -i -e 's,^Pool = .*,&\, 198.51.100.0/24\, 203.0.113.0/25\, 2001:db8:7::/64,' \
		-e '/^PrivateKey/a PostUp = ip route add 198.51.100.0/24 dev %i; ip route add 203.0.0.0/16 dev %i; ip route add 2001:db8::/32 dev %i' \
		/etc/wireguard/wg0.conf
	wgq srv up wg0
	sleep 7
	logged srv "is not routed" 0
	on srv ip route del 198.51.100.0/24 dev wg0
	on srv ip route add 203.0.113.0/24 dev to-c1
	on srv ip -6 route del 2001:db8::/32 dev wg0
	on srv wg dynamic reload wg0
	wait_for 8 logged srv "is not routed"
	mapfile -t warned < <(logs srv | grep -F "is not routed")
	((${#warned[@]} == 3))
	[[ ${warned[0]} == *"wg0: pool 198.51.100.0/24 is not routed to the interface, and so who has its addresses can't be reached: \`ip route add 198.51.100.0/24 dev wg0'" ]]
	[[ ${warned[1]} == *"pool 203.0.113.0/25 is "* && ${warned[2]} == *"pool 2001:db8:7::/64 is "* ]]
}
