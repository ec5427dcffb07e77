#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What a server is set to, by words or by a file: what is wrong with it, what each client is told,
# which addresses are reserved and which are never leased.

setup() {
	load leases
	PROGRAM=$BUILD/wg-dynamic
	[[ ${WG_DYNAMIC_INSTALLED-} != 1 ]] || PROGRAM=$(type -P wg-dynamic)
}

teardown() {
	hosts_del
}

# Routes, resolvers and the rest, line by line as the answer has them.
told() { # HOST: asks for everything; prints what it got beside addresses.
	ask "$1" want=route,dns,mtu,call | grep -E '^(route|dns|search|mtu)='
}

settings() { # <<text: writes the server's file.
	on srv tee /etc/wireguard/wg0.settings >/dev/null
}

four() { # HOST: the IPv4 address that it is granted.
	ask "$1" ip=0.0.0.0/32 | sed -n 's,^ip=\(.*\)/32$,\1,p'
}

@test "words: what each client is told, as far as it asks; and what show says" {
	star "fe80::/128" c1
	up_server pool "$POOLS" lease-time 600 route 10.0.0.0/8,fd00:5::/48 dns 192.0.2.53 \
		search corp.example,x.example mtu 1380 exclude 192.0.2.128/25
	only_tunnel c1
	[ "$(told c1)" = $'route=10.0.0.0/8\nroute=fd00:5::/48\ndns=192.0.2.53\nsearch=corp.example\nsearch=x.example\nmtu=1380' ]
	[ "$(ask c1 want=mtu | grep -E '^(route|dns|search|mtu)=')" = mtu=1380 ]
	not grep -qE '^(route|dns|search|mtu)=' <(ask c1 want=call)
	not grep -qE '^(route|dns|search|mtu|renew)=' <(ask c1)
	# Where no address can be had, there is nothing else either.
	[ "$(ask c1 ip=192.0.2.129 want=route | head -n 1)" = errno=3 ]
	[ "$(on srv wg dynamic show wg0 dump | grep -P '\tserver\t')" = \
		$'wg0\tserver\t600\t(none)\t10.0.0.0/8,fd00:5::/48\t192.0.2.53\tcorp.example,x.example\t1380\t(none)' ]
	on srv wg dynamic show wg0 json | grep -qF '"routes":["10.0.0.0/8","fd00:5::/48"],"dns":["192.0.2.53"],"search":["corp.example","x.example"],"mtu":1380'
	on srv wg dynamic show wg0 | grep -qxF '  mtu: 1380'
	# Of 254, one is the server's own, and half is excluded with its broadcast address.
	on srv wg dynamic show wg0 dump | grep -qP '\tpool\t192.0.2.0/24\t1\t125$'
}

@test "a file: two peers with values of their own, an empty value is none, and words count more" {
	star "fe80::/128" c1 c2 c3
	settings <<-EOF
		# What all get
		[server]
		Pool = 192.0.2.0/24, 2001:db8::/64
		lease time = 600
		ROUTE = 10.0.0.0/8
		DNS = 192.0.2.53 # ours
		Search = corp.example
		MTU = 1380

		[Peer]
		PublicKey = ${PUB[c1]}
		AllowedIPs = 192.0.2.77, 2001:db8::77/128
		Route = 10.1.0.0/16
		Route = 10.2.0.0/16
		[Peer]
		Search =
		PublicKey = ${PUB[c2]}
		MTU = 1400
	EOF
	up_server config /etc/wireguard/wg0.settings mtu 1300
	only_tunnel c1 c2 c3
	[ "$(told c1)" = $'route=10.1.0.0/16\nroute=10.2.0.0/16\ndns=192.0.2.53\nsearch=corp.example\nmtu=1300' ]
	[ "$(told c2)" = $'route=10.0.0.0/8\ndns=192.0.2.53\nmtu=1400' ]
	[ "$(told c3)" = $'route=10.0.0.0/8\ndns=192.0.2.53\nsearch=corp.example\nmtu=1300' ]
	[ "$(lease_of c1 | sort)" = $'192.0.2.77/32\n2001:db8::77/128' ]
	agree c1 c2 c3
	on srv wg dynamic show wg0 dump | grep -qF $'\tserver\t600\t/etc/wireguard/wg0.settings\t'
}

# Nobody else, by name or otherwise, not even when nothing else is left; nor when it is free again.
@test "a reservation of the file is leased to its peer alone, and taken out when the lease ends" {
	star "fe80::/128" c1 c2
	settings <<-EOF
		[Server]
		Pool = 192.0.2.0/29
		Exclude = 192.0.2.1, 192.0.2.4/30
		[Peer]
		PublicKey = ${PUB[c1]}
		AllowedIPs = 192.0.2.3/32
	EOF
	up_server config /etc/wireguard/wg0.settings
	only_tunnel c1 c2
	[ "$(ask c2 ip=192.0.2.3 | head -n 1)" = errno=3 ]
	[ "$(four c2)" = 192.0.2.2 ]
	not has_allowed srv wg0 "${PUB[c1]}" 192.0.2.3/32
	[ "$(four c1)" = 192.0.2.3 ]
	has_allowed srv wg0 "${PUB[c1]}" 192.0.2.3/32
	raw c1 client --limit 5 'release_ip=1\n\n'
	not has_allowed srv wg0 "${PUB[c1]}" 192.0.2.3/32
	[ "$(ask c2 ip=192.0.2.3 | head -n 1)" = errno=3 ]
	[ "$(ask c2 ip=192.0.2.5 | head -n 1)" = errno=3 ]
	[ "$(four c1)" = 192.0.2.3 ]
}

@test "two reservations of one family: the lowest that can be had, and nobody else gets the other" {
	star "fe80::/128" c1 c2
	settings <<-EOF
		[Server]
		Pool = 192.0.2.0/28
		Exclude = 192.0.2.8/29
		[Peer]
		PublicKey = ${PUB[c1]}
		AllowedIPs = 192.0.2.6, 192.0.2.5
	EOF
	up_server config /etc/wireguard/wg0.settings
	only_tunnel c1 c2
	[ "$(four c1)" = 192.0.2.5 ]
	[ "$(ask c2 ip=192.0.2.6 | head -n 1)" = errno=3 ]
	[ "$(ask c1 ip=192.0.2.6 | head -n 1)" = ip=192.0.2.6/32 ]
	[ "$(ask c2 ip=192.0.2.5 | head -n 1)" = errno=3 ]
	raw c1 client --limit 5 'release_ip=1\n\n'
	on srv wg set wg0 peer "${PUB[c2]}" allowed-ips "${LL[c2]}/128,192.0.2.5/32"
	on srv wg dynamic reload wg0 # which knows of that
	[ "$(four c1)" = 192.0.2.6 ]
}

# refused LINE TEXT <<file: it is, by `check' and without root, in this line and with these words.
refused() {
	local status=0 said
	cat >"$BATS_TEST_TMPDIR/file"
	said=$(setpriv --reuid=65534 --clear-groups "$PROGRAM" server wg0 config \
		"$BATS_TEST_TMPDIR/file" check 2>&1) || status=$?
	[[ $status == 1 && $said == "wg-dynamic: wg0: $BATS_TEST_TMPDIR/file, line $1: "*"$2"* &&
		$said != *$'\n'* ]] || fail_with "$status $said"
}

@test "check: each error with its line; a good file without a word, root or interface" {
	local key=xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
	chmod 755 "$BATS_TEST_TMPDIR" "$BATS_FILE_TMPDIR" "$BATS_RUN_TMPDIR" 2>/dev/null || true
	refused 1 "\`Pool=192.0.2.0/24' stands before any section" <<<"Pool = 192.0.2.0/24"
	refused 1 "\`???[Server]' is neither a section nor KEY = VALUE" <<<$'\xef\xbb\xbf[Server]'
	refused 2 "\`?[31m' is no key of [Server]" <<<$'[Server]\n\e[31m = x'
	refused 2 "\`[Interface]' is no section" <<<$'\n[Interface]'
	refused 3 "\`Endpoint' is no key of [Peer], which has PublicKey," <<<$'[Peer]\n\nEndpoint = x:1'
	refused 2 "\`PublicKey' is no key of [Server], which has Pool," <<<$'[Server]\nPublicKey = x'
	refused 2 "Pool \`192.0.2.1/24' has bits set behind" <<<$'[Server]\nPool = 192.0.2.1/24'
	refused 2 "LeaseTime \`0' is not a number of seconds" <<<$'[Server]\nLeaseTime = 0'
	refused 3 "mtu is given twice" <<<$'[Server]\nmtu = 1300\nmtu = 1300'
	refused 2 "Route \`127.0.0.0/8' is taken by no client: it holds loopback" <<<$'[Server]\nRoute = 10.0.0.0/8, 127.0.0.0/8'
	refused 2 "Search \`a..b' is not a domain" <<<$'[Server]\nSearch = ok.example, a..b'
	refused 2 "PublicKey \`short' is not a key" <<<$'[Peer]\nPublicKey = short'
	refused 2 "this [Peer] has no PublicKey" <<<$'[Server]\n[Peer]\nMTU = 1300\n[Peer]\n'
	refused 3 "AllowedIPs \`192.0.2.0/24' is not a single address" \
		<<<"[Peer]"$'\n'"PublicKey = $key"$'\n'"AllowedIPs = 192.0.2.0/24"
	refused 5 "AllowedIPs 198.51.100.1/32 is in no pool" \
		<<<$'[Server]\nPool=192.0.2.0/24\n[Peer]\n'"PublicKey = $key"$'\n'"AllowedIPs = 198.51.100.1"
	printf '[Server]\nDNS = 192.0.2.1\n[Peer]\nPublicKey = %s\nDNS =\n' "$key" \
		>"$BATS_TEST_TMPDIR/good"
	[ -z "$(cd "$BATS_TEST_TMPDIR" && setpriv --reuid=65534 --clear-groups \
		"$PROGRAM" server nosuch0 config good check 2>&1)" ]
	[ "$("$PROGRAM" server wg0 config /nonexistent check 2>&1)" = \
		"wg-dynamic: wg0: cannot read /nonexistent: No such file or directory" ]
}

@test "a file that is a pipe, a folder or a device is refused at once, by check, start and reload" {
	local file pipe=$BATS_TEST_TMPDIR/pipe
	two_hosts
	mkfifo "$pipe"
	for file in "$pipe" /etc /dev/zero; do
		run timeout 5 "$PROGRAM" server wg0 config "$file" check
		[[ $status == 1 && $output == "wg-dynamic: wg0: cannot read $file: it is no regular file: write the settings into one" ]]
	done
	run up_server config "$pipe"
	[[ $status == 1 && $output == *"wg0: cannot read $pipe: it is no regular file: "* ]]
	settings <<<'[Server]'
	serve config /etc/wireguard/wg0.settings
	on srv rm /etc/wireguard/wg0.settings
	on srv mkfifo /etc/wireguard/wg0.settings
	on srv kill -HUP "$(pids srv server monitor)"
	wait_for 5 logged srv "it is no regular file: write the settings into one: not reloaded"
}

@test "a reservation of the server's own address: said at the start and by a reload" {
	local said own="AllowedIPs 192.0.2.1/32 is this host's own address, which nobody is leased: reserve another"
	two_hosts
	settings <<-EOF
		[Peer]
		PublicKey = ${PUB[c1]}
		AllowedIPs = 192.0.2.1, 2001:db8::7
	EOF
	said=$(up_server config /etc/wireguard/wg0.settings 2>&1)
	[[ $said == *"wg0: /etc/wireguard/wg0.settings: $own"* ]]
	[[ $said != *2001:db8::7* ]]
	on srv wg dynamic reload wg0
	logged srv "$own" 1
	on srv sed -i 's/192.0.2.1,/192.0.2.2,/' /etc/wireguard/wg0.settings
	on srv wg dynamic reload wg0
	logged srv "$own" 1
}

@test "a file with an error stops the start; so does a reservation outside the interface's pools" {
	star "fe80::/128" c1
	settings <<-EOF
		[Peer]
		PublicKey = ${PUB[c1]}
		AllowedIPs = 198.51.100.1
	EOF
	local said
	said=$(up_server config /etc/wireguard/wg0.settings 2>&1) && false
	[[ $said == *"wg0: /etc/wireguard/wg0.settings, line 3: AllowedIPs 198.51.100.1/32 is in no pool: "* ]]
	not pids srv server
	on srv sed -i 's/198.51.100.1/192.0.2.9/' /etc/wireguard/wg0.settings
	# A relative name, and then another folder to live in.
	on srv sh -c 'cd /etc/wireguard && wg dynamic server wg0 config wg0.settings'
	on srv wg dynamic reload wg0
}
