# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Hosts srv and c1 for many.py's device and clients: as many peers as wished.

# shellcheck source-path=SCRIPTDIR
load leases

many_up() { # srv|c1 [NUMBER]: its link up, with what IPv6 needs, which is gone when it goes down.
	local n
	on "$1" ip link set wg0 up
	if [[ $1 == srv ]]; then
		on srv ip address add fe80::/64 dev wg0 nodad 2>/dev/null || true # the server may have
		on srv ip route add fe80::1:0:0/96 dev wg0
		return
	fi
	for ((n = 1; n <= $2; ++n)); do
		printf 'address add fe80::1:%x:%x/128 dev wg0 nodad\n' $((n >> 16)) $((n & 65535))
	done | on c1 ip -batch -
	on c1 ip route add fe80::/128 dev wg0
}

# srv and c1, whose wg0 are the ends of one cable that carries each packet without any question.
many_hosts() { # NUMBER: of clients; their device is still to be played.
	local host
	host_new srv c1
	nsenter -t "$(<"$NS/srv/pid")" -n ip link add wg0 address 02:00:00:00:00:01 type veth \
		peer name wg0 address 02:00:00:00:00:01 netns "$(<"$NS/c1/pid")"
	for host in srv c1; do
		on "$host" ip link set wg0 addrgenmode none
		on "$host" ip link set wg0 arp off mtu 1420
	done
	many_up srv
	many_up c1 "$1"
}

many_device() { # NUMBER [SECONDS]: of peers, played by many.py.
	spawn srv device /usr/bin/python3 "$NETNS/many.py" device "$@"
	wait_for 5 on srv test -S /var/run/wireguard/wg0.sock
}
