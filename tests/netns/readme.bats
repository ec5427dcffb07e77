#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The first example of the README, as it stands there, but for keys and the endpoint; and what it has
# a reload of wg-quick@wg0 do where wg-quick is in /usr/local.

bats_require_minimum_version 1.5.0

setup() {
	load leases
	host_new srv c1
	link_hosts srv c1
	keys srv c1
}

teardown() {
	hosts_del
}

# The lines of the README's block of that number that begins with [Interface].
example() { # NUMBER PRIVATE-KEY PUBLIC-KEY
	awk -v number="$1" '
		/^    \[Interface\]$/ { ++block }
		/^[^ ]/ { if (block == number) exit }
		block == number { sub(/^    /, ""); print }' "$BATS_TEST_DIRNAME/../../README.md" |
		sed "s,^PrivateKey = \.\.\.$,PrivateKey = $2,; s,^PublicKey = \.\.\.$,PublicKey = $3,
			s,^Endpoint = .*:,Endpoint = ${IP[c1]%.*}.1:,"
}

# As systemd does by the README's drop-in, and then by ours.
reloaded() { # HOST
	local line
	line=$(sed -n "s,^    ExecReload=/bin/bash -c '\(.*\)'$,\1,p" "$BATS_TEST_DIRNAME/../../README.md")
	line=${line//%i/wg0}
	[[ $line == *"/usr/local/bin/wg-quick strip wg0"* ]]
	line=${line//"/usr/local/bin/"/}
	on "$1" /bin/bash -c "${line//"/usr/bin/"/}"
	on "$1" wg dynamic reload wg0
}

@test "no address on the client, a pool on the server: six lines each, and the ping goes through" {
	example 1 "${KEY[srv]}" "${PUB[c1]}" | conf srv wg0
	example 2 "${KEY[c1]}" "${PUB[srv]}" | conf c1 wg0
	local host
	for host in srv c1; do
		(($(on "$host" grep -c ' = ' /etc/wireguard/wg0.conf) <= 6))
	done
	not on c1 grep -q '^Address = .*[0-9]' /etc/wireguard/wg0.conf
	wgq srv up wg0
	wgq c1 up wg0
	on c1 ping -n -c 1 -w 5 10.77.0.1
	on srv ping -n -c 1 -w 5 "$(v4 c1)"
	reloaded srv
	has_allowed srv wg0 "${PUB[c1]}" "$(v4 c1)/32"
	reloaded c1
	on c1 ping -n -c 1 -w 5 10.77.0.1
	wgq c1 down wg0
	wgq srv down wg0
}
