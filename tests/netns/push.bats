#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What a client does with routes, DNS and an MTU that a server pushes: the server's answers are
# written by hand, good and hostile. Its AllowedIPs are fe80::/128 alone.

setup() {
	load pushing
	pushing_add
	on srv ip address add 10.77.0.1/32 dev lo
	on srv ip address add fd77::1/128 dev lo
	on srv ip route add 192.0.2.7/32 dev wg0
	on srv ip route add 2001:db8::7/128 dev wg0
}

teardown() {
	hosts_del
}

client() { # WORD...
	on c1 wg dynamic client wg0 "$@"
}

routes() { # [TABLE]: those into the tunnel, one a line, but for link-locals and addresses.
	on c1 ip route show table "${1-main}" dev wg0 | sed 's/ .*//'
	on c1 ip -6 route show table "${1-main}" dev wg0 | sed 's/ .*//' | grep -v '^fe80\|^2001:db8::7'
}

ips() { # the AllowedIPs of the server on the client, but for fe80::/128.
	allowed c1 wg0 "${PUB[srv]}" | grep -v '^fe80::/128$'
}

has() { # CMD... -- LINE...: whether it prints just these, in any order.
	local cmd=()
	while [[ $1 != -- ]]; do
		cmd+=("$1")
		shift
	done
	diff <("${cmd[@]}" | sort) <(shift && (($#)) && printf '%s\n' "$@" | sort)
}

# Both ways in which a route is there.
routed() { # CIDR...: these are pushed and set, and no others.
	has routes -- "$@" && has ips -- "$@"
}

refused() { # what `show' says is refused, one a line.
	on c1 wg dynamic show wg0 dump | awk -F'\t' '$2 == "client" { print $15 }' | tr , '\n'
}

clean() { # nothing is left of what was pushed.
	routed && not on c1 test -e /run/wg-dynamic/wg0.client.state
}

call() { # HOST FROM PORT [TEXT [TIMES]]: datagrams to the client.
	on "$1" python3 - "$2" "$3" "${LL[c1]}" "${4-call=1\n\n}" "${5-1}" <<-'EOF'
		import socket, sys
		scope = socket.if_nametoindex("wg0")
		s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
		s.bind((sys.argv[1], int(sys.argv[2]), 0, scope))
		text = sys.argv[4].encode().decode("unicode_escape").encode()
		for _ in range(int(sys.argv[5])):
		    s.sendto(text, (sys.argv[3], 970, 0, scope))
	EOF
}

asked() { # how many requests for a lease the server has taken.
	out srv raw | grep -c 'request_ip=1' || true
}

@test "a pushed route carries traffic, and ends with the answer without it" {
	pushes route=10.77.0.0/16 route=fd77::/64
	client
	[[ $(out srv raw) == *'\nwant=route,call\n\n' ]]
	routed 10.77.0.0/16 fd77::/64
	on c1 ping -n -c 1 -w 3 10.77.0.1
	on c1 ping -n -c 1 -w 3 fd77::1
	[[ $(on c1 ip route show 10.77.0.0/16) == "10.77.0.0/16 dev wg0 proto 97 scope link "* ]]
	[[ $(on c1 wg dynamic show wg0) == *$'\n  routes: 10.77.0.0/16, fd77::/64\n'* ]]
	[ "$(on c1 wg dynamic show wg0 allowed-ips)" = "${PUB[srv]}"$'\t10.77.0.0/16 fd77::/64' ]

	pushes route=fd77::/64
	wait_for 10 routed fd77::/64
	not on c1 ping -n -c 1 -w 1 10.77.0.1
	on c1 ping -n -c 1 -w 3 fd77::1
	pushes
	wait_for 10 clean
	logged c1 "route 10.77.0.0/16 withdrawn" 1
	pushes route=10.77.0.0/16
	wait_for 10 routed 10.77.0.0/16
	on c1 wg dynamic stop wg0
	clean
	logged c1 "route 10.77.0.0/16 set" 1
	logged c1 "route 10.77.0.0/16 withdrawn" 2
}

# Hostile as can be: each is refused, with its reason, once.
@test "routes that would draw the host's other traffic to the tunnel are refused, and said so once" {
	local route keys
	local -A why=(
		[0.0.0.0/0]="\`accept default-route' would allow it"
		[::/0]="\`accept default-route' would allow it"
		[0.0.0.0/1]="it overlaps loopback, link-local, multicast or reserved addresses"
		[128.0.0.0/1]="it overlaps loopback, link-local, multicast or reserved addresses"
		[127.0.0.0/8]="it overlaps loopback, link-local, multicast or reserved addresses"
		[127.0.0.1/32]="it overlaps loopback, link-local, multicast or reserved addresses"
		[169.254.1.0/24]="it overlaps loopback, link-local, multicast or reserved addresses"
		[224.0.0.0/4]="it overlaps loopback, link-local, multicast or reserved addresses"
		[fe80::/10]="it overlaps loopback, link-local, multicast or reserved addresses"
		[::1/128]="it overlaps loopback, link-local, multicast or reserved addresses"
		[8000::/1]="it overlaps loopback, link-local, multicast or reserved addresses"
		[64.0.0.0/3]="it is in no private network, and in no prefix that \`accept' names"
		[198.51.100.0/24]="it is in no private network, and in no prefix that \`accept' names"
		[10.0.0.0/7]="it is in no private network, and in no prefix that \`accept' names"
		[10.0.0.0/8]="it overlaps 10.9.1.0/24, to which another interface connects this host"
		[10.9.1.128/25]="it overlaps 10.9.1.0/24, to which another interface connects this host"
		[172.20.5.0/24]="it overlaps 172.20.0.0/16, to which this host has a route by another interface"
		[192.168.200.0/25]="it overlaps 192.168.200.0/24, which a route of this host blocks"
		[192.168.201.0/24]="it overlaps 192.168.201.0/24, which a route of this host blocks"
		[fdbb::/64]="it overlaps fdbb::/48, which a route of this host blocks"
		[172.29.0.0/16]="it overlaps 172.29.1.1/32, a gateway of this host"
		[192.168.53.0/24]="it overlaps 192.168.53.53/32, a resolver of this host"
		[192.168.54.0/24]="it overlaps 192.168.54.54/32, a resolver of this host"
		[fd53::/64]="it overlaps fd53::53/128, a resolver of this host"
		[192.168.7.0/24]="it overlaps 192.168.7.8/32, of another peer's AllowedIPs"
		[192.168.99.0/24]="it overlaps 192.168.99.99/32, the endpoint of a peer"
	)
	wg genkey | wg pubkey >"$NS/other"
	on c1 wg set wg0 peer "$(<"$NS/other")" allowed-ips 192.168.7.8/32 \
		endpoint 192.168.99.99:51820
	on c1 tee /etc/resolv.conf <<<$'nameserver 192.168.53.53\nnameserver fd53::53%eth0'
	on c1 mkdir /run/NetworkManager
	on c1 tee /run/NetworkManager/no-stub-resolv.conf <<<'nameserver 192.168.54.54'
	on c1 ip route add 172.20.0.0/16 via "${IP[srv]}"
	on c1 ip route add 172.16.1.0/24 via 172.29.1.1 dev to-srv onlink table 77
	on c1 ip address add 10.77.7.7/32 dev lo
	on c1 ip route add blackhole 192.168.200.0/24
	on c1 ip route add prohibit 192.168.201.0/24 metric 4000
	on c1 ip route add unreachable fdbb::/48
	on c1 ip route add unreachable 10.77.99.0/24 # what is longer stands

	keys=("${!why[@]}")
	pushes "${keys[@]/#/route=}" route=10.77.0.0/16 'route=172.16.0.0/14'
	client wait 0
	wait_for 5 routed 10.77.0.0/16 172.16.0.0/14
	wait_for 5 at_least 3 asked
	for route in "${!why[@]}"; do
		logged c1 "the server pushes the route $route, which is refused: ${why[$route]}" 1
	done
	has refused -- "${!why[@]}"
	routed 10.77.0.0/16 172.16.0.0/14
	[[ $(on c1 wg show wg0 endpoints) == *"${IP[srv]}:51820"* ]]
	on c1 ping -n -c 1 -w 3 "${IP[srv]}"
}

@test "a server that pushes others each second does not fill the log" {
	local lease='ip=192.0.2.7/32\nleasestart=%now%\nleasetime=1\n' one two lines
	one=$(printf 'route=10.77.%s.0/24\\n' {0..127})
	two=$(printf 'route=198.51.%s.0/24\\n' {0..127})
	raw_server srv --limit 60 @read "$lease$one\n" @close @read "$lease$two\n" @close @repeat
	client wait 0
	wait_for 20 at_least 10 asked
	lines=$(logs c1 | wc -l)
	((lines < 600))
	wait_for 3 logged c1 "there was too much to say: "
	wait_for 5 at_least 14 asked
	(($(logs c1 | wc -l) - lines < 30))
}

@test "values that are none make the answer malformed: nothing is configured" {
	local value
	# shellcheck disable=SC2016 # is not to expand
	local values=('route=$(touch /run/canary)' 'route=10.0.0.0/8;touch /run/canary' 'route=10.0.0.0/33'
		'route=' 'route=../../run/canary' "route=$(printf '1%.0s' {1..300})"
		'dns=$(touch /run/canary)' 'dns=10.0.0.0/8' 'search=$(touch /run/canary)'
		'search=a;touch /run/canary' 'search=a b' 'search=../a' "search=$(printf 'a%.0s' {1..300})"
		'mtu=1279' 'mtu=65536' 'mtu=$(touch /run/canary)')
	pushes "${values[0]}"
	client wait 0 accept address,route,dns,mtu
	for value in "${values[@]}"; do
		pushes "$value" route=10.77.0.0/16
		call srv fe80:: 970
		wait_for 10 grep -q request_ip "$NS/srv/raw.out"
	done
	logged c1 "the server's answer is malformed"
	clean
	no_addrs c1
	not on c1 ls /run/canary
	pushes route=10.77.0.0/16
	wait_for 70 routed 10.77.0.0/16
}

@test "what is not accepted is not asked for, and ignored with one line" {
	pushes route=10.77.0.0/16 dns=10.77.0.53 search=corp.example mtu=1300
	client wait 0 accept address
	wait_for 5 at_least 3 asked
	[[ $(out srv raw) == *'\nwant=call\n\n'* ]]
	bound_alone
	clean
	logged c1 "the server sends a route, which was not asked for: ignored" 1
	logged c1 "the server sends a dns, which was not asked for: ignored" 1
	logged c1 "the server sends a mtu, which was not asked for: ignored" 1
	[[ $(on c1 ip link show wg0) == *" mtu 1420 "* ]]
}

bound_alone() { # the addresses are there.
	[[ $(v4 c1) == 192.0.2.7 && $(v6 c1) == 2001:db8::7 ]]
}

@test "an address that is a resolver or a gateway of the host is not set, and all else is" {
	on c1 tee /etc/resolv.conf <<<'nameserver 192.0.2.7'
	on c1 ip route add default via 2001:db8::7 dev to-srv onlink
	pushes route=10.77.0.0/16
	client wait 0
	wait_for 5 at_least 3 asked
	routed 10.77.0.0/16
	no_addrs c1
	logged c1 "the server leases 192.0.2.7, which is not set: it overlaps 192.0.2.7/32, a resolver of this host" 1
	logged c1 "the server leases 2001:db8::7, which is not set: it overlaps 2001:db8::7/128, a gateway of this host" 1
	[[ $(on c1 wg dynamic show wg0) == *$'\n  refused: 192.0.2.7/32, 2001:db8::7/128\n'* ]]
	on c1 tee /etc/resolv.conf <<<'nameserver 10.9.9.9'
	wait_for 5 has addrs c1 wg0 -- 192.0.2.7/32
	wait_for 5 has refused -- 2001:db8::7/128
	on c1 ip route del default via 2001:db8::7
	wait_for 5 bound_alone
	wait_for 5 has refused -- "(none)"
}

@test "a lease that ends while the host is still looked at: no address is set for longer" {
	local i most=0 left
	LEASE=1 pushes
	spawn c1 client strace -f -o /dev/null -e trace=recvmsg -e inject=recvmsg:delay_enter=250000 \
		wg dynamic client wg0 wait 0
	for ((i = 0; i < 80; ++i)); do
		left=$(on c1 ip -o address show dev wg0 | sed -n 's/.* valid_lft \([0-9]*\)sec.*/\1/p' |
			sort -n | tail -n 1)
		((${left:-0} <= most)) || most=$left
		sleep 0.1
	done
	((most == 1))
	no_server
	wait_for 5 no_addrs c1
}

@test "an address in a network of another interface is not set, as long as that has it" {
	on c1 ip address add 192.0.2.200/24 dev to-srv
	on c1 ip address add 2001:db8::1:0:0:7/64 dev to-srv
	on c1 ip route add 192.0.0.0/16 dev to-srv # no network of an interface by itself
	pushes
	client wait 0
	wait_for 5 at_least 3 asked
	no_addrs c1
	logged c1 "the server leases 192.0.2.7, which is not set: it overlaps 192.0.2.0/24, to which another interface connects this host" 1
	logged c1 "the server leases 2001:db8::7, which is not set: it overlaps 2001:db8::/64, to which another interface connects this host" 1
	on c1 ip address del 192.0.2.200/24 dev to-srv
	wait_for 5 has addrs c1 wg0 -- 192.0.2.7/32
	on c1 ip address del 2001:db8::1:0:0:7/64 dev to-srv
	wait_for 5 bound_alone
}

@test "an address at the far end of a link, or in its network, is not set" {
	on c1 ip address add 10.1.1.1 peer 192.0.2.7/32 dev to-srv
	on c1 ip address add 2001:db8:1::1 peer 2001:db8::/64 dev to-srv nodad
	pushes route=10.77.0.0/16
	client wait 0
	wait_for 5 at_least 3 asked
	no_addrs c1
	logged c1 "the server leases 192.0.2.7, which is not set: it overlaps 192.0.2.7/32, to which another interface connects this host" 1
	logged c1 "the server leases 2001:db8::7, which is not set: it overlaps 2001:db8::/64, to which another interface connects this host" 1
	on c1 ip address del 10.1.1.1 peer 192.0.2.7/32 dev to-srv
	on c1 ip address del 2001:db8:1::1 peer 2001:db8::/64 dev to-srv
	wait_for 5 bound_alone
}

@test "where the host's networks can't be looked at, no new address is set, and one that is there stays" {
	pushes
	client
	bound_alone
	no_server
	wait_for 5 logged c1 "cannot connect to the server" # which is sent, too
	# The first that it sends to the kernel then is the question for the host's addresses.
	spawn c1 strace strace -qq -e trace=sendto -e inject=sendto:error=ENOBUFS:when=1 \
		-p "$(pids c1 client monitor)"
	wait_for 5 on c1 grep -q '^TracerPid:.[1-9]' "/proc/$(pids c1 client monitor)/status"
	IP4=192.0.2.9 RENEW=3 pushes
	wait_for 20 logged c1 "cannot look at the host's networks: No buffer space available" 1
	[ "$(addrs c1 wg0)" = 2001:db8::7/128 ]
	wait_for 5 has addrs c1 wg0 -- 192.0.2.9/32 2001:db8::7/128
	logged c1 "cannot look at the host's networks" 1
}

@test "without the word address the routes are set, and no address" {
	pushes route=10.77.0.0/16 route=198.51.100.0/25 route=198.51.101.0/24
	client accept route,198.51.100.0/24
	routed 10.77.0.0/16 198.51.100.0/25
	no_addrs c1
	[[ $(on c1 wg dynamic show wg0) == *$'\n  state: bound\n'* ]]
	on c1 wg dynamic stop wg0
	clean
}

@test "prefixes that are accepted, and nothing else" {
	pushes route=10.77.0.0/16 route=198.51.100.0/25 route=198.51.101.0/24
	client accept address,198.51.100.0/24
	routed 198.51.100.0/25
	bound_alone
}

@test "table: routes go there, or nowhere but into AllowedIPs" {
	pushes route=10.77.0.0/16 route=fd77::/64
	client table 4711
	has routes 4711 -- 10.77.0.0/16 fd77::/64
	has routes --
	has ips -- 10.77.0.0/16 fd77::/64
	on c1 wg dynamic stop wg0
	has routes 4711 --
	clean
	client table off
	has routes --
	has ips -- 10.77.0.0/16 fd77::/64
	# The next client has another table.
	kill_all c1 client
	client
	routed 10.77.0.0/16 fd77::/64
	kill_all c1 client
	client table 4711
	has routes 4711 -- 10.77.0.0/16 fd77::/64
	has routes --
	on c1 wg dynamic stop wg0
	clean
}

own() { # all IPv4 routes and AllowedIPs.
	on c1 ip -4 route show table all
	ips
}

@test "what the user has set himself is neither replaced nor removed" {
	local before
	on c1 wg set wg0 peer "${PUB[srv]}" allowed-ips fe80::/128,10.77.0.0/16
	on c1 ip route add 10.78.0.0/16 dev wg0 proto static
	on c1 ip route add 10.79.0.0/16 dev wg0 proto static table 100
	before=$(own)
	LEASE=6 pushes route=10.77.0.0/16 route=10.78.0.0/16 route=fd77::/64
	client wait 0
	wait_for 5 routed 10.77.0.0/16 10.78.0.0/16 fd77::/64
	logged c1 "route 10.78.0.0/16 is there already: left alone" 1
	[ "$(on c1 wg dynamic show wg0 allowed-ips)" = "${PUB[srv]}"$'\t10.78.0.0/16 fd77::/64' ]
	kill_all c1 client
	client
	routed 10.77.0.0/16 10.78.0.0/16 fd77::/64
	on c1 wg dynamic stop wg0
	diff <(echo "$before") <(own)
	not on c1 test -e /run/wg-dynamic/wg0.client.state
}

@test "an AllowedIPs entry that the user gives to another peer stays there" {
	pushes route=10.77.0.0/16
	client
	wg genkey | wg pubkey >"$NS/other"
	on c1 wg set wg0 peer "$(<"$NS/other")" allowed-ips 10.77.0.0/16
	wait_for 5 has ips --
	wait_for 5 has routes --
	on c1 wg dynamic stop wg0
	has_allowed c1 wg0 "$(<"$NS/other")" 10.77.0.0/16
}

# As `systemctl reload wg-quick@wg0' does.
syncconf() {
	on c1 bash -c 'wg syncconf wg0 <(wg-quick strip wg0)'
}

@test "wg syncconf takes pushed AllowedIPs out: back within 30 s, and by a reload at once" {
	RENEW=3000 LEASE=3600 pushes route=10.77.0.0/16 route=fd77::/64 route=127.0.0.0/8
	client
	sleep 3 # it has looked at the host's networks
	syncconf
	has ips --
	wait_for 32 routed 10.77.0.0/16 fd77::/64
	on c1 wg set wg0 peer "${PUB[srv]}" remove
	on c1 wg dynamic reload wg0
	wait_for 2 has routes --
	syncconf
	on c1 wg dynamic reload wg0
	wait_for 2 routed 10.77.0.0/16 fd77::/64
	on c1 ping -n -c 1 -w 3 fd77::1
	logged c1 "the server pushes the route 127.0.0.0/8, which is refused" 1
	[ "$(asked)" -eq 1 ]
}

@test "killed and started again: what is still pushed stays, all else is undone" {
	pushes route=10.77.0.0/16 route=fd77::/64 mtu=1300
	client accept address,route,mtu
	routed 10.77.0.0/16 fd77::/64
	on c1 test -e /run/wg-dynamic/wg0.client.state
	kill_all c1 client
	routed 10.77.0.0/16 fd77::/64
	spawn c1 monitor ip monitor route
	pushes route=10.77.0.0/16 route=10.78.0.0/16 mtu=1300
	client accept address,route,mtu
	routed 10.77.0.0/16 10.78.0.0/16
	not grep "Deleted 10.77" "$NS/c1/monitor.out"
	[[ $(on c1 ip link show wg0) == *" mtu 1300 "* ]]
	kill_all c1 client
	no_server
	on c1 ip address flush dev wg0 scope global
	client wait 0
	wait_for 5 clean
	[[ $(on c1 ip link show wg0) == *" mtu 1420 "* ]]
}

@test "killed: its route to the server goes with a stop, and with the end of the next client" {
	own() {
		on c1 ip -6 route show dev wg0 proto 97 | grep '^fe80:: '
	}
	on c1 ip -6 route flush dev wg0 to root fe80::/10
	pushes
	client
	own
	kill_all c1 client
	own
	on c1 wg dynamic stop wg0
	not own
	client
	kill_all c1 client
	own
	client
	on c1 wg dynamic stop wg0
	not own
}

@test "killed, and the interface made anew: what the user set on that is not undone" {
	pushes route=10.77.0.0/16
	client
	kill_all c1 client
	wgq c1 down wg0
	on c1 sed -i 's,^AllowedIPs.*,&\, 10.77.0.0/16,' /etc/wireguard/wg0.conf
	wgq c1 up wg0
	pushes
	client
	routed 10.77.0.0/16
	on c1 wg dynamic stop wg0
	routed 10.77.0.0/16
}

@test "link down and up: routes are back at once" {
	pushes route=10.77.0.0/16 route=fd77::/64
	client
	no_server
	on c1 ip link set wg0 down
	wait_for 5 has routes --
	on c1 ip link set wg0 up
	wait_for 5 routed 10.77.0.0/16 fd77::/64
}

@test "a lease that ends takes its routes and its MTU with it, also when the engine hangs" {
	LEASE=4 pushes route=10.77.0.0/16 mtu=1300
	client accept address,route,mtu
	routed 10.77.0.0/16
	[[ $(on c1 ip link show wg0) == *" mtu 1300 "* ]]
	no_server
	wait_for 10 clean
	[[ $(on c1 ip link show wg0) == *" mtu 1420 "* ]]
	LEASE=4 pushes route=10.77.0.0/16 mtu=1300
	wait_for 10 routed 10.77.0.0/16
	on c1 kill -STOP "$(pids c1 client engine)"
	wait_for 10 clean
	[[ $(on c1 ip link show wg0) == *" mtu 1420 "* ]]
	no_addrs c1
}

@test "interface deleted: nothing is left" {
	pushes route=10.77.0.0/16
	client
	on c1 ip link delete wg0
	wait_for 5 not pids c1 client
	not on c1 test -e /run/wg-dynamic/wg0.client.state
	not grep "cannot look" "$NS/c1/log"
}

@test "deleted and made anew under a client that does not look: what the user set on it stays" {
	pushes route=10.77.0.0/16
	client
	on c1 kill -STOP "$(pids c1 client monitor)"
	on c1 ip link delete wg0
	on c1 sed -i 's,^AllowedIPs.*,&\, 10.77.0.0/16,' /etc/wireguard/wg0.conf
	wait_for 5 wgq c1 up wg0
	on c1 kill -CONT "$(pids c1 client monitor)"
	wait_for 5 not pids c1 client
	routed 10.77.0.0/16
	logged c1 "wg0: the interface has been removed"
}

# bats test_tags=vm
@test "renamed: routes, AllowedIPs and MTU are undone by its new name, and the log says so" {
	pushes route=10.77.0.0/16 mtu=1300
	client accept address,route,mtu
	routed 10.77.0.0/16
	# Kernels before 6.2 rename only what is down.
	on c1 ip link set wg0 name wg9 || { on c1 ip link set wg0 down && on c1 ip link set wg0 name wg9; }
	wait_for 5 not pids c1 client
	logged c1 "wg0: the interface has been renamed to wg9: this client ends, \`wg dynamic client wg9' starts another" 1
	logged c1 "cannot look at" 0
	on c1 ip link set wg9 up
	[ -z "$(on c1 ip route show 10.77.0.0/16)" ]
	[[ $(on c1 ip link show wg9) == *" mtu 1420 "* ]]
	[ -z "$(addrs c1 wg9)" ]
	# To wg(8), wireguard-go's device keeps its name.
	[ "$(on c1 wg show all allowed-ips | grep -c 10.77)" -eq 0 ] || on c1 wg show wg0
	not on c1 test -e /run/wg-dynamic/wg0.client.state
}

@test "mtu: set, changed, and what the user sets meanwhile is his" {
	pushes mtu=1300
	client accept address,mtu
	[[ $(on c1 ip link show wg0) == *" mtu 1300 "* ]]
	[[ $(on c1 wg dynamic show wg0) == *$'\n  mtu: 1300\n'* ]]
	pushes mtu=1320
	wait_for 10 grep -q "MTU 1320 set" "$NS/c1/log"
	[[ $(on c1 ip link show wg0) == *" mtu 1320 "* ]]
	on c1 ip link set wg0 mtu 1400
	pushes
	wait_for 10 clean
	[[ $(on c1 ip link show wg0) == *" mtu 1400 "* ]]
	on c1 wg dynamic stop wg0
	[[ $(on c1 ip link show wg0) == *" mtu 1400 "* ]]
}

@test "a host that comes to be connected to a network has its route withdrawn, until it leaves" {
	RENEW=50 pushes route=10.77.0.0/16 route=10.78.0.0/16
	client
	on c1 ip address add 10.77.3.4/24 dev to-srv
	wait_for 3 routed 10.78.0.0/16
	logged c1 "the server pushes the route 10.77.0.0/16, which is refused: it overlaps 10.77.3.0/24, to which another interface connects this host"
	on c1 ip address del 10.77.3.4/24 dev to-srv
	wait_for 3 routed 10.77.0.0/16 10.78.0.0/16
}

switches() { # how often the monitor has been woken.
	on c1 sed -n 's/^voluntary[^0-9]*//p' "/proc/$(pids c1 client monitor)/status"
}

@test "a gateway that the host comes to have withdraws a route; many changes do not keep it busy" {
	local before
	RENEW=50 pushes route=10.77.0.0/16 route=10.78.0.0/16
	client
	on c1 ip route add 172.31.0.0/16 via 10.77.3.4 dev to-srv onlink table 99
	wait_for 3 routed 10.78.0.0/16
	logged c1 "the server pushes the route 10.77.0.0/16, which is refused: it overlaps 10.77.3.4/32, a gateway of this host"
	on c1 ip route del 172.31.0.0/16 table 99
	wait_for 3 routed 10.77.0.0/16 10.78.0.0/16

	# Its own are no news for ever.
	sleep 3
	before=$(switches)
	sleep 3
	(($(switches) - before < 5))

	before=$(switches)
	on c1 bash -s <<-'EOF'
		for ((i = 0; i < 1500; ++i)); do
			ip route replace 172.31.0.0/16 via 172.30.0.$((i % 250)) dev to-srv onlink
		done
	EOF
	(($(switches) - before < 200))
	on c1 ip route replace 172.31.0.0/16 via 10.77.3.4 dev to-srv onlink
	wait_for 5 routed 10.78.0.0/16
}

@test "a resolver that the host comes to have withdraws a route within 30 s" {
	RENEW=50 pushes route=10.77.0.0/16 route=10.78.0.0/16
	client
	sleep 3 # it has looked at the host's networks
	on c1 tee /etc/resolv.conf <<<'nameserver 10.77.53.53'
	wait_for 35 routed 10.78.0.0/16
	logged c1 "which is refused: it overlaps 10.77.53.53/32, a resolver of this host" 1
}

@test "another peer's AllowedIPs and an endpoint withdraw routes within 30 s, until they are others" {
	local other
	other=$(wg genkey | wg pubkey)
	RENEW=3000 LEASE=3600 pushes route=10.77.0.0/16 route=10.78.0.0/16 route=10.79.0.0/16
	client
	sleep 3 # it has looked at the host's networks
	on c1 wg set wg0 peer "$other" allowed-ips 10.77.5.0/24 endpoint 10.78.0.9:5182
	wait_for 35 routed 10.79.0.0/16
	logged c1 "the server pushes the route 10.77.0.0/16, which is refused: it overlaps 10.77.5.0/24, of another peer's AllowedIPs" 1
	logged c1 "the server pushes the route 10.78.0.0/16, which is refused: it overlaps 10.78.0.9/32, the endpoint of a peer" 1
	has_allowed c1 wg0 "$other" 10.77.5.0/24
	on c1 wg set wg0 peer "$other" remove
	wait_for 35 routed 10.77.0.0/16 10.78.0.0/16 10.79.0.0/16
	[ "$(asked)" -eq 1 ]
}

@test "a call has the client renew at once; one from elsewhere, or too soon, does not" {
	RENEW=50 pushes
	client
	[ "$(asked)" -eq 1 ]
	on srv ip address add fe80::5/128 dev wg0
	on c1 wg set wg0 peer "${PUB[srv]}" allowed-ips fe80::/128,fe80::5/128
	call srv fe80::5 970
	call srv fe80:: 971
	call srv fe80:: 970 'call=2\n\n'
	call srv fe80:: 970 'call=1\n'
	call srv fe80:: 970 'call=1\n\n\n'
	sleep 1
	[ "$(asked)" -eq 1 ]
	call srv fe80:: 970 'call=1\n\n' 3
	wait_for 5 at_least 2 asked
	sleep 2.5
	[ "$(asked)" -eq 2 ]
	call srv fe80:: 970
	wait_for 5 at_least 3 asked
	on c1 wg dynamic show wg0
	[[ $(on c1 wg dynamic show wg0)$'\n' == *$'\n  calls: 2\n'* ]]

	# After the link has been down, and with another engine.
	on c1 ip link set wg0 down
	on c1 ip link set wg0 up
	wait_for 5 at_least 4 asked
	sleep 2.5
	call srv fe80:: 970
	wait_for 5 at_least 5 asked
	kill_half c1 client engine
	wait_for 5 at_least 6 asked
	sleep 2.5
	call srv fe80:: 970
	wait_for 5 at_least 7 asked
}
