#!/bin/bash
# SPDX-License-Identifier: MIT
# `make demo': two hosts, a tunnel between them by wg-quick, and a lease from its start to its end.
# Every claim is checked; the exit status is 0 only if all hold. Nothing is left, also after Ctrl-C.

cd "$(dirname "$0")" || exit 1
# shellcheck source=/dev/null
. netns/lib.bash

LEASE_TIME=10
LINK_LOCAL=fe80::abcd:abcd:abcd:abcd
BEHIND=10.77.5 # the beginning of a network behind the server

BOLD='' RED='' GREEN='' CYAN='' OFF=''
if [[ -t 1 ]]; then
	BOLD=$'\e[1m' RED=$'\e[1;31m' GREEN=$'\e[32m' CYAN=$'\e[36m' OFF=$'\e[0m'
	export WG_COLOR_MODE=always # into the pipe below
fi

step() { # HEADLINE
	printf '\n%s%d. %s%s\n' "$BOLD" "$((++STEP))" "$1" "$OFF"
}

# wireguard-go greets with a box of fifteen lines, which is left out.
show() { # HOST COMMAND...: as at that host's prompt; the output is in $OUTPUT, too.
	printf '\n%s%s#%s %s%s%s\n' "$CYAN" "$1" "$OFF" "$BOLD" "${*:2}" "$OFF"
	on "$@" 2>&1 </dev/null | grep --line-buffered -v '^[│┌└]' | tee "$NS/output"
	STATUS=${PIPESTATUS[0]}
	OUTPUT=$(sed 's/\x1b\[[0-9;]*m//g' "$NS/output")
}

fails() { # WHAT: ends the demo.
	printf '%snot as expected: %s%s\n' "$RED" "$1" "$OFF"
	hosts_dump
	exit 1
}

check() { # WHAT COMMAND...: that it succeeds.
	"${@:2}" >/dev/null 2>&1 || fails "$1"
	printf '%sok: %s%s\n' "$GREEN" "$1" "$OFF"
}

succeeds() { # HOST COMMAND...: shows it, and ends the demo if it fails.
	show "$@"
	((STATUS == 0)) || fails "\`${*:2}' ended with status $STATUS"
}

says() { # TEXT...: is each in the last output?
	local text
	for text; do
		[[ $OUTPUT == *"$text"* ]] || return 1
	done
}

silent() { # was the last output empty?
	[[ -z $OUTPUT ]]
}

leased() { # do both ends have the addresses?
	has_addr client wg0 "$V4/32" && has_addr client wg0 "$V6/128" &&
		has_allowed server wg0 "${PUB[client]}" "$V4/32" &&
		has_allowed server wg0 "${PUB[client]}" "$V6/128"
}

both_dynamic() { # has each address a lifetime?
	says "inet $V4/32" "inet6 $V6/128" && (($(grep -c ' dynamic' <<<"$OUTPUT") == 2))
}

renewed() { # has the journal a second record of this lease?
	(($(grep -c "^lease ${PUB[client]} $V4 $V6 " <<<"$OUTPUT") >= 2))
}

((UID == 0)) || { echo "${0##*/}: hosts need root: sudo make demo" >&2 && exit 1; }
[[ -x $BUILD/wg-dynamic && -x $BUILD/wg-quick ]] ||
	{ echo "${0##*/}: nothing is built yet: make demo" >&2 && exit 1; }
trap hosts_del EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

SECONDS=0 STEP=0
host_new server client && link_hosts server client && keys server client || exit 1

conf server wg0 <<-CONF
	[Interface]
	PrivateKey = ${KEY[server]}
	ListenPort = 51820
	Address = fe80::/64, 192.0.2.1/24, 2001:db8::1/64

	[Peer]
	PublicKey = ${PUB[client]}
	AllowedIPs = $LINK_LOCAL/128
CONF
conf client wg0 <<-CONF
	[Interface]
	PrivateKey = ${KEY[client]}
	Address = $LINK_LOCAL/128, auto

	[Peer]
	PublicKey = ${PUB[server]}
	Endpoint = ${IP[server]}:51820
	AllowedIPs = 0.0.0.0/0, ::/0
CONF

printf '%s\n' "Two hosts, made for this demo, with a cable between them. The server knows the client by" \
	"its key and one link-local address, and the client's configuration says: \`auto'."
step "The two configurations"
succeeds server cat /etc/wireguard/wg0.conf
succeeds client cat /etc/wireguard/wg0.conf

step "The server's tunnel, and the server; its pools are the networks of its addresses"
succeeds server wg-quick up wg0
succeeds server wg dynamic server wg0 lease-time "$LEASE_TIME"
succeeds server wg dynamic show
check "both pools are free" says "192.0.2.0/24 (0 leased" "2001:db8::/64 (0 leased"

step "The client's tunnel: \`auto' leases its addresses"
succeeds client wg-quick up wg0
V4=$(addrs client wg0 | sed -n 's,^\(192\.0\.2\..*\)/32$,\1,p')
V6=$(addrs client wg0 | sed -n 's,^\(2001:db8:.*\)/128$,\1,p')
check "the client has leased $V4 and $V6" test -n "$V4" -a -n "$V6"

step "The lease, as the client sees it"
succeeds client wg dynamic show
check "it is bound to these addresses" says "state: bound" "$V4/32" "$V6/128" "${PUB[server]}"
succeeds client ip address show dev wg0
check "the kernel will end them with the lease" both_dynamic

step "The lease, as the server sees it"
succeeds server wg dynamic show
check "it is the client's" says "peer: ${PUB[client]}" "$V4/32" "$V6/128"
succeeds server wg show wg0
check "the addresses are in the client's allowed ips" leased

step "Traffic, both ways"
succeeds client ping -n -c 2 -i 0.2 -W 2 192.0.2.1
succeeds client ping -n -c 2 -i 0.2 -W 2 2001:db8::1
succeeds server ping -n -c 2 -i 0.2 -W 2 "$V4"
succeeds server ping -n -c 2 -i 0.2 -W 2 "$V6"
check "IPv4 and IPv6 go through the tunnel" says "2 received"

step "For longer than the lease of $LEASE_TIME s: it is renewed, and no packet is lost"
succeeds client ping -n -q -c 22 -i 0.5 -W 2 192.0.2.1
check "22 of 22 were answered" says "22 received"
succeeds client wg dynamic show
check "the addresses are still the same" says "$V4/32" "$V6/128"
check "on both ends" leased
succeeds server grep ^lease /var/lib/wg-dynamic/wg0.leases
check "the server's journal has the lease and its renewal" renewed

step "The client's tunnel goes down: the lease is given back"
succeeds client wg-quick down wg0
show client ip address show dev wg0
check "the interface is gone, and its addresses with it" says "does not exist"
show client ip rule show table 51820
check "so are its routes" silent
show client nft list ruleset
check "so are its firewall rules" silent
show client pgrep -l wg-
check "no process is left" silent
succeeds server wg show wg0 allowed-ips
check "the server has taken the addresses back" test "${OUTPUT#*$'\t'}" = "$LINK_LOCAL/128"
succeeds server wg dynamic show
check "and has nothing leased" says "192.0.2.0/24 (0 leased" "2001:db8::/64 (0 leased"

step "The server goes, too"
succeeds server wg dynamic stop wg0
succeeds server wg-quick down wg0
show server pgrep -l wg-
check "no process is left" silent
succeeds server ls /var/run/wg-dynamic
check "no socket is left" silent
succeeds server ls /var/lib/wg-dynamic/wg0.leases
check "the journal stays: the client will get the same addresses again" says wg0.leases

conf server wg0 <<-CONF
	[Interface]
	PrivateKey = ${KEY[server]}
	ListenPort = 51820
	Address = 192.0.2.1/24
	LinkLocals = auto
	PushRoute = $BEHIND.0/24

	[Peer]
	PublicKey = ${PUB[client]}
CONF
conf client wg0 <<-CONF
	[Interface]
	PrivateKey = ${KEY[client]}
	Address = auto

	[Peer]
	PublicKey = ${PUB[server]}
	Endpoint = ${IP[server]}:51820
	AllowedIPs = fe80::/128
CONF

step "Once more, with no address on the client, and what lies behind the server from the server"
succeeds server cat /etc/wireguard/wg0.conf
succeeds client cat /etc/wireguard/wg0.conf
succeeds server ip address add "$BEHIND.1/24" dev lo
succeeds server wg-quick up wg0
succeeds client wg-quick up wg0
succeeds client ip route show dev wg0
check "the route is there" says "$BEHIND.0/24"
succeeds client wg show wg0 allowed-ips
check "and in the server's allowed ips" says "$BEHIND.0/24"
succeeds client ping -n -c 2 -i 0.2 -W 2 "$BEHIND.1"
check "the ping goes through" says "2 received"
succeeds client wg-quick down wg0
succeeds server wg-quick down wg0
show server pgrep -l wg-
check "no process is left" silent

printf '\n%sAll as expected, in %d s.%s\n' "$BOLD" "$SECONDS" "$OFF"
