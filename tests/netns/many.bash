# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Hosts srv and c1 with many.py's device between them, which has as many peers as it is told.

# shellcheck source-path=SCRIPTDIR
load leases

# srv and c1, whose wg0 are the ends of one cable that carries each packet without any question.
many_hosts() { # NUMBER
	local host n
	host_new srv c1
	nsenter -t "$(<"$NS/srv/pid")" -n ip link add wg0 address 02:00:00:00:00:01 type veth \
		peer name wg0 address 02:00:00:00:00:01 netns "$(<"$NS/c1/pid")"
	for host in srv c1; do
		on "$host" ip link set wg0 addrgenmode none
		on "$host" ip link set wg0 arp off mtu 1420 up
	done
	on srv ip address add fe80::/64 dev wg0 nodad
	for ((n = 1; n <= $1; ++n)); do
		printf 'address add fe80::1:%x:%x/128 dev wg0 nodad\n' $((n >> 16)) $((n & 65535))
	done | on c1 ip -batch -
	on c1 ip route add fe80::/128 dev wg0
	on srv ip route add fe80::1:0:0/96 dev wg0
	spawn srv device /usr/bin/python3 "$NETNS/many.py" device "$1"
	wait_for 5 on srv test -S /var/run/wireguard/wg0.sock
}
