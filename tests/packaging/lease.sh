#!/bin/bash
# SPDX-License-Identifier: MIT
# A lease from end to end with the wg, wg-quick and wg-dynamic that are installed, on two hosts in
# namespaces. `auto' has it made by that word, `hooks' by PostUp and PreDown.

set -e
how=$1
export WG_DYNAMIC_INSTALLED=1 LC_ALL=C
# shellcheck source=/dev/null
. "$(dirname "$0")/../netns/lib.bash"
trap hosts_del EXIT

two_hosts "fe80::/128, 192.0.2.0/24, 2001:db8::/64"
conf srv wg0 <<-EOF
	[Interface]
	PrivateKey = ${KEY[srv]}
	ListenPort = 51820
	Address = fe80::/64, 192.0.2.1/24, 2001:db8::1/64
	PostUp = wg dynamic server %i
	PreDown = wg dynamic stop %i

	[Peer]
	PublicKey = ${PUB[c1]}
	AllowedIPs = ${LL[c1]}/128
EOF
if [[ $how == hooks ]]; then
	on c1 sed -i 's/, auto$/\nPostUp = wg dynamic client %i\nPreDown = wg dynamic stop %i/' \
		/etc/wireguard/wg0.conf
fi

# service WORD HOST: what wg-quick@wg0 runs for it.
service() {
	local line
	line=$(sed -n "s/^Exec$1=//p" /lib/systemd/system/wg-quick@.service)
	# shellcheck disable=SC2086 # words of a command
	show "$2" ${line/\%i/wg0}
}

# show HOST CMD...: on, with the command.
show() {
	echo "$1# ${*:2}"
	on "$@"
}

service Start srv
service Start c1
show srv wg show
show srv wg dynamic show
show c1 wg dynamic show
show c1 ping -q -c 1 -w 10 192.0.2.1
show c1 ping -q -c 1 -w 10 2001:db8::1
show srv ps -C wg-dynamic -o user:12,args
[[ $(on srv ps -o user:20= -p "$(pids srv server engine)") == _wg-dynamic ]]
leased=$(addrs c1 wg0)
[[ $leased == *192.0.2.*2001:db8:* ]]
service Stop c1
not has_allowed srv wg0 "${PUB[c1]}" "${leased%%$'\n'*}"
service Stop srv
