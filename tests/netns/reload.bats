#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A server that reads its settings and its interface again, and the clients that it then calls.

setup() {
	load leases
}

teardown() {
	hosts_del
}

settings() { # LINE...: writes the server's file.
	printf '%s\n' "$@" | on srv tee /etc/wireguard/wg0.settings >/dev/null
}

reload() {
	on srv wg dynamic reload wg0
}

serves() { # CLIENT...: the server, with the settings above, and the clients' tunnels.
	up_server config /etc/wireguard/wg0.settings
	only_tunnel "$@"
}

counter() { # NAME: the server's.
	on srv wg dynamic show wg0 dump | sed -n "s/^wg0\tcounter\t$1\t//p"
}

is() { # TEXT CMD...: whether that is what it prints.
	[[ $("${@:2}") == "$1" ]]
}

listen() { # CLIENT: from now on notes each datagram to its link-local: what, and from where.
	stub "$1" listen <<-'EOF'
		#!/usr/bin/python3
		import socket, sys
		s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
		s.bind((sys.argv[1], 970, 0, socket.if_nametoindex("wg0")))
		print("listens", flush=True)
		while True:
		    print(*s.recvfrom(100), flush=True)
	EOF
	spawn "$1" calls listen "${LL[$1]}"
	wait_for 5 grep -q listens "$NS/$1/calls.out"
}

calls() { # CLIENT: how many have come.
	grep -c "^b'call=1" "$NS/$1/calls.out" || true
}

@test "reload: other values at the next request, leases and connections stay; SIGHUP does the same" {
	local held
	star "fe80::/128" c1
	settings '[Server]' 'Pool = 192.0.2.0/24' 'Route = 10.0.0.0/8'
	serves c1
	ask c1 want=route | grep -qx route=10.0.0.0/8
	held=$(lease_of c1)
	settings '[Server]' 'Pool = 192.0.2.0/24, 2001:db8::/64' 'Route = 10.9.0.0/16' 'LeaseTime = 77'
	reload
	[ "$(ask c1 want=route | grep -E '^(route|leasetime)=' | sort)" = $'leasetime=77\nroute=10.9.0.0/16' ]
	[ "$(lease_of c1 | head -n 1)" = "$held" ]
	[ "$(lease_of c1 | wc -l)" = 2 ]
	[ "$(counter connections_accepted)" = 2 ]
	settings '[Server]' 'Pool = 192.0.2.0/24' 'Route = 10.8.0.0/16'
	on srv kill -HUP "$(pids srv server monitor)"
	wait_for 2 is 2 counter reloads
	ask c1 want=route | grep -qx route=10.8.0.0/16
	logged srv "reloaded: /etc/wireguard/wg0.settings" 2
	agree c1
}

@test "reload: a file with an error is refused whole, with its line, and what was before counts" {
	local said status=0
	star "fe80::/128" c1
	settings '[Server]' 'Pool = 192.0.2.0/24' 'Route = 10.0.0.0/8'
	serves c1
	settings '[Server]' 'Pool = 192.0.2.0/24' 'Route = 10.9.0.0/16' 'MTU = 12'
	said=$(reload 2>&1) || status=$?
	[ "$status" = 1 ]
	[ "$said" = "wg-dynamic: wg0: /etc/wireguard/wg0.settings, line 4: MTU \`12' is not a number of bytes from 1280 to 65535" ]
	logged srv "wg0: /etc/wireguard/wg0.settings, line 4: MTU \`12' is not a number of bytes from 1280 to 65535: not reloaded, the settings of before stay in force" 1
	on srv kill -HUP "$(pids srv server monitor)"
	wait_for 2 logged srv "line 4: MTU \`12'" 2
	[ "$(ask c1 want=route,mtu | grep -E '^(route|mtu)=')" = route=10.0.0.0/8 ]
	wait_for 2 is 2 counter reloads_refused
	[ "$(counter reloads)" = 0 ]
	# The pool that a reservation is in is not the file's to see alone.
	settings '[Peer]' "PublicKey = ${PUB[c1]}" 'AllowedIPs = 198.51.100.9'
	said=$(reload 2>&1) || status=$?
	[ "$said" = "wg-dynamic: wg0: /etc/wireguard/wg0.settings, line 3: AllowedIPs 198.51.100.9/32 is in no pool: reserve one that is, or add its pool" ]
	logged srv "line 3: AllowedIPs 198.51.100.9/32 is in no pool: "
	settings '[Server]' 'Pool = 192.0.2.0/24' 'Route = 10.9.0.0/16'
	reload
	not grep -qi error <(on srv wg dynamic show wg0)
}

@test "a pool that is gone: its leases run out; who renews gets another address, or none" {
	local other first
	star "fe80::/128" c1 c2
	settings '[Server]' 'Pool = 192.0.2.0/25, 2001:db8::/64' 'LeaseTime = 20'
	serves c1 c2
	[[ $(ask c1) == *errno=0* && $(ask c2) == *errno=0* ]]
	first=$(lease_of c2 | head -n 1)
	settings '[Server]' 'Pool = 192.0.2.128/25, 2001:db8::/64' 'LeaseTime = 20'
	reload
	agree c1 c2
	[[ $(lease_of c1 | head -n 1) =~ ^192\.0\.2\.([0-9]+)/32$ ]] && ((BASH_REMATCH[1] < 128))
	other=$(ask c1 | sed -n 's,^ip=192.0.2.\(.*\)/32$,\1,p')
	((other > 128))
	[ "$(lease_of c1 | head -n 1)" = "192.0.2.$other/32" ]
	wait_for 30 lease_ended c2 expired "${first%/32}"
	[ -z "$(allowed_leased c2)" ]
	not grep -q "refused the engine's order" "$NS/srv/log"
	# No pool of its family is left: it goes without being renewed by the other.
	[[ $(ask c2) == *errno=0* ]]
	settings '[Server]' 'Pool = 2001:db8::/64' 'LeaseTime = 600'
	reload
	[ "$(ask c2 ip=0.0.0.0/32 | head -n 1)" = errno=3 ]
	[ "$(lease_of c2 | wc -l)" = 2 ]
	[[ $(ask c2) == ip=2001:db8::*errno=0* ]]
	[ "$(lease_of c2 | wc -l)" = 1 ]
	logged_of c2 "ended: its pool is gone"
	agree c1 c2
}

@test "reload: a reserved or an excluded address goes to nobody else, though somebody has it" {
	local four
	star "fe80::/128" c1 c2
	settings '[Server]' 'Pool = 192.0.2.0/29' 'LeaseTime = 600'
	serves c1 c2
	four=$(ask c1 | sed -n 's,^ip=\(.*\)/32$,\1,p')
	settings '[Server]' 'Pool = 192.0.2.0/29' 'LeaseTime = 600' \
		'[Peer]' "PublicKey = ${PUB[c2]}" "AllowedIPs = $four"
	reload
	# Taken out, it is put back for whoever has it still; asked for anew, it is not.
	on srv wg set wg0 peer "${PUB[c1]}" allowed-ips "${LL[c1]}/128"
	reload
	has_allowed srv wg0 "${PUB[c1]}" "$four/32"
	not grep -q "refused the engine's order" "$NS/srv/log"
	not grep -qx "ip=$four/32" <(ask c1)
	wait_for 2 not has_allowed srv wg0 "${PUB[c1]}" "$four/32"
	sleep 1 # until a reading shows that it is free
	ask c2 | grep -qx "ip=$four/32"
	settings '[Server]' 'Pool = 192.0.2.0/29' "Exclude = $four"
	reload
	not grep -qx "ip=$four/32" <(ask c2)
	agree c1 c2
}

@test "reload: the lease of an excluded address goes on, also where a peer has all around the pool" {
	local four
	star "fe80::/128" c1 c2
	on srv sed -i "s,^AllowedIPs = ${LL[c2]}/128,&\, 128.0.0.0/1," /etc/wireguard/wg0.conf
	settings '[Server]' 'Pool = 192.0.2.0/29' 'LeaseTime = 600'
	serves c1 c2
	four=$(ask c1 | sed -n 's,^ip=\(.*\)/32$,\1,p')
	settings '[Server]' 'Pool = 192.0.2.0/29' "Exclude = $four"
	reload
	on srv wg set wg0 peer "${PUB[c1]}" allowed-ips "${LL[c1]}/128"
	reload
	sleep 1
	[ "$(lease_of c1)" = "$four/32" ]
	agree c1
}

@test "reload after wg syncconf: what it took away is back, also without a file" {
	local all
	two_hosts
	up_server pool "$POOLS" lease-time 600
	only_tunnel c1
	ask c1 >/dev/null
	all=$(allowed srv wg0 "${PUB[c1]}" | sort)
	on srv bash -c 'wg syncconf wg0 <(wg-quick strip wg0)'
	[ "$(allowed srv wg0 "${PUB[c1]}" | sort)" != "$all" ]
	elapsed reload
	[ "$(allowed srv wg0 "${PUB[c1]}" | sort)" = "$all" ]
	((MS < 6000))
	[ "$(counter reloads)" = 1 ]
	logged srv "wg0: reloaded" 1
}

@test "reload after wg syncconf, with a file that has an error: what it took away is back all the same" {
	local all
	star "fe80::/128" c1
	settings '[Server]' 'Pool = 192.0.2.0/24' 'LeaseTime = 600'
	serves c1
	ask c1 >/dev/null
	all=$(allowed srv wg0 "${PUB[c1]}" | sort)
	settings '[Server]' 'Pool = 192.0.2.0/24' 'MTU = 1'
	on srv bash -c 'wg syncconf wg0 <(wg-quick strip wg0)'
	[ "$(allowed srv wg0 "${PUB[c1]}" | sort)" != "$all" ]
	not reload
	[ "$(allowed srv wg0 "${PUB[c1]}" | sort)" = "$all" ]
}

@test "reload: the interface's own networks are looked at again" {
	two_hosts
	up_server lease-time 600
	only_tunnel c1
	on srv ip address add 198.51.100.1/24 dev wg0
	on srv ip address del 192.0.2.1/24 dev wg0
	reload
	[[ $(ask c1 ip=0.0.0.0/32) == ip=198.51.100.* ]]
	on srv ip address flush dev wg0 scope global
	not reload
	logged srv "there is no pool: name one"
	[[ $(ask c1 ip=0.0.0.0/32) == ip=198.51.100.* ]]
}

@test "reload: nothing runs; more than an interface; not root" {
	two_hosts
	[ "$(on srv wg dynamic reload wg0 2>&1)" = \
		"wg-dynamic: wg0: neither client nor server runs" ]
	not on srv wg dynamic reload
	not on srv wg dynamic reload wg0 wg1
	[ "$(on srv setpriv --reuid=65534 --clear-groups wg-dynamic reload wg0 2>&1)" = \
		"wg-dynamic: wg0: must be run as root" ]
}

old_daemon() { # HOST ROLE LINE...: its status is these lines, and a SIGHUP ends it.
	stub "$1" old-daemon <<-'EOF'
		#!/usr/bin/python3
		import os, socket, sys
		s = socket.socket(socket.AF_UNIX)
		os.makedirs("/run/wg-dynamic", exist_ok=True)
		s.bind(sys.argv[1])
		s.listen()
		while True:
		    c = s.accept()[0]
		    if c.recv(64):
		        c.sendall("".join(l + "\n" for l in sys.argv[2:] + ["errno=0", ""]).encode())
		    c.close()
	EOF
	spawn "$1" old old-daemon "/run/wg-dynamic/wg0.$2.sock" "${@:3}"
	wait_for 5 on "$1" test -S "/run/wg-dynamic/wg0.$2.sock"
}

@test "reload: a daemon whose version cannot is named, and lives" {
	local role
	two_hosts
	for role in client server; do
		old_daemon c1 $role role=$role counter_uptime=7 counter_calls=1
		run on c1 wg dynamic reload wg0
		on c1 kill "$SPID" # fails where it has ended
		[ "$status" -eq 1 ]
		[ "$output" = "wg-dynamic: wg0: the $role is of a version that cannot reload: start it anew" ]
		on c1 rm "/run/wg-dynamic/wg0.$role.sock"
	done
}

@test "calls: to those that asked for them and whose values are others, again until they come" {
	local host called
	star "fe80::/128" c1 c2 c3
	settings '[Server]' 'Pool = 192.0.2.0/24' 'Route = 10.0.0.0/8' 'LeaseTime = 600' \
		'[Peer]' "PublicKey = ${PUB[c3]}" 'Route = 10.3.0.0/16'
	serves c1 c2 c3
	for host in c1 c2 c3; do
		listen "$host"
	done
	ask c1 want=route,call >/dev/null
	ask c2 want=route >/dev/null
	ask c3 want=route,call >/dev/null
	# Nothing new for anybody; nor is this.
	reload
	settings '[Server]' 'Pool = 192.0.2.0/24' 'Route = 10.0.0.0/8' 'LeaseTime = 600' 'DNS = 192.0.2.1' \
		'[Peer]' "PublicKey = ${PUB[c3]}" 'Route = 10.3.0.0/16'
	reload
	sleep 1
	[ "$(counter calls)" = 0 ]
	settings '[Server]' 'Pool = 192.0.2.0/24' 'Route = 10.9.0.0/16' 'LeaseTime = 600' \
		'[Peer]' "PublicKey = ${PUB[c3]}" 'Route = 10.3.0.0/16'
	reload
	wait_for 5 is 3 calls c1
	sleep 1.5
	grep -qF "b'call=1\n\n' ('fe80::', 970, " "$NS/c1/calls.out"
	[ "$(calls c1)" = 3 ]
	[ "$(calls c2)" = 0 ]
	[ "$(calls c3)" = 0 ]
	[ "$(counter calls)" = 3 ]
	# One that comes is not called again; a new engine knows who wants it.
	kill_half srv server engine
	wait_for 5 pids srv server engine
	wait_for 5 reload
	settings '[Server]' 'Pool = 192.0.2.0/24' 'Route = 10.8.0.0/16' 'LeaseTime = 600'
	reload
	wait_for 5 at_least 4 calls c1
	ask c1 want=route,call | grep -qx route=10.8.0.0/16
	called=$(calls c1)
	wait_for 5 is 3 calls c3
	((called < 6)) # that would be all three
	[ "$(calls c1)" = "$called" ]
	[ "$(calls c2)" = 0 ]
}

@test "calls: where nothing is pushed to all, to whoever has a section that has changed" {
	local host changed
	local -A before
	star "fe80::/128" c1 c2 c3
	sections() { # HOST THIRD-BYTE: that one has a route.
		settings '[Server]' 'Pool = 192.0.2.0/24' 'LeaseTime = 600' \
			'[Peer]' "PublicKey = ${PUB[$1]}" "Route = 10.77.$2.0/24"
	}
	sections c2 1
	serves c1 c2 c3
	for host in c1 c2 c3; do
		listen "$host"
		ask "$host" want=route,call >/dev/null
	done
	for changed in c2 c1 c3; do
		sections "$changed" 2
		reload # those who have lost theirs are called, too, and come
		sleep 1.5
		for host in c1 c2 c3; do
			ask "$host" want=route,call >/dev/null
			before[$host]=$(calls "$host")
		done
		sections "$changed" 3
		reload
		wait_for 5 at_least $((before[$changed] + 1)) calls "$changed"
		ask "$changed" want=route,call | grep -qx route=10.77.3.0/24
		for host in c1 c2 c3; do
			[[ $host == "$changed" ]] || is "${before[$host]}" calls "$host"
		done
	done
}

@test "a lease that the administrator releases: its client is called, and asks again" {
	local held
	star "fe80::/128" c1
	up_server
	only_client c1
	held=$(lease_of c1)
	on srv wg dynamic release wg0 peer "${PUB[c1]}"
	wait_for 3 is 2 counter grants
	[ "$(counter ends_admin)" -eq 1 ]
	[ "$(lease_of c1)" = "$held" ]
	[ "$(addrs c1 wg0)" = "$held" ]
}

again() { # WORD...: the server stopped and started.
	on srv wg dynamic stop wg0
	serve "$@"
}

routed() { # HOST CIDR
	on "$1" ip route show "$2" | grep -q "dev wg0"
}

called() { # at least once since it started.
	(($(counter calls)))
}

@test "started with other words, or after another change of its file: clients that run have it soon" {
	local held file=/etc/wireguard/wg0.settings
	star "fe80::/128" c1
	up_server pool 192.0.2.0/24 route 10.78.0.0/16
	wgq c1 up wg0
	held=$(lease_of c1)
	routed c1 10.78.0.0/16
	again pool 192.0.2.0/24 route 10.79.0.0/16
	wait_for 5 routed c1 10.79.0.0/16
	not routed c1 10.78.0.0/16
	[ "$(lease_of c1)" = "$held" ]
	# The same, told otherwise, is not another.
	settings '[Server]' '# Ours' 'Pool = 192.0.2.0/24' 'Route = 10.79.0.0/16' 'LeaseTime = 700'
	again config "$file"
	sleep 3
	[ "$(counter calls)" = 0 ]
	settings '[Server]' 'Pool = 192.0.2.0/24' 'Route = 10.79.0.0/16' \
		'[Peer]' "PublicKey = ${PUB[c1]}" 'AllowedIPs = 192.0.2.77'
	again config "$file"
	wait_for 5 called
	settings '[Server]' '# Ours' 'Pool = 192.0.2.0/24' 'Route = 10.79.0.0/16' \
		'[Peer]' "PublicKey = ${PUB[c1]}" 'AllowedIPs = 192.0.2.77'
	again config "$file"
	sleep 3
	[ "$(counter calls)" = 0 ]
	agree c1
}

@test "started with the same settings, or by a journal that does not know them: nobody is called" {
	local journal=/var/lib/wg-dynamic/wg0.leases
	star "fe80::/128" c1 c2
	settings '[Server]' 'Pool = 192.0.2.0/24' 'Route = 10.0.0.0/8' 'LeaseTime = 600'
	serves c1 c2
	listen c1
	listen c2
	ask c1 want=route,call >/dev/null
	ask c2 want=route >/dev/null
	again config /etc/wireguard/wg0.settings
	sleep 2
	[ "$(counter calls)" = 0 ]
	# What a reload has told is not told again, nor is what an engine finds that is started anew.
	settings '[Server]' 'Pool = 192.0.2.0/24' 'Route = 10.79.0.0/16' 'LeaseTime = 600'
	reload
	wait_for 5 is 3 counter calls
	kill_half srv server engine
	wait_for 5 pids srv server engine
	wait_for 5 is 0 counter calls
	again config /etc/wireguard/wg0.settings
	sleep 2
	[ "$(counter calls)" = 0 ]
	on srv wg dynamic stop wg0
	on srv sed -i '/^settings /d' "$journal"
	serve pool 192.0.2.0/24 route 10.7.0.0/16 lease-time 600
	sleep 2
	[ "$(counter calls)" = 0 ]
	on srv grep -Eqx 'settings [0-9a-f]{16} [0-9a-f]{8}' "$journal"
	[ "$(calls c1)" = 3 ]
	again pool 192.0.2.0/24 route 10.6.0.0/16 lease-time 600
	wait_for 5 is 6 calls c1
	[ "$(calls c2)" = 0 ]
}

# Its client's session is gone with the interface: it can be called when there is another.
@test "wg-quick down and up with other words: a client is called once it has shaken hands" {
	star "fe80::/128" c1
	on srv sed -i 's,^Address = .*,&\, 192.0.2.1/24\nPushRoute = 10.78.0.0/16,' /etc/wireguard/wg0.conf
	wgq srv up wg0
	wgq c1 up wg0
	wgq srv down wg0
	on srv sed -i 's,10.78.0.0,10.79.0.0,' /etc/wireguard/wg0.conf
	wgq srv up wg0
	sleep 2
	[ "$(counter calls)" = 0 ]
	new_session c1
	on c1 ping -6 -n -q -c 1 -w 5 fe80::%wg0
	# So that it looks soon, and not in half a minute.
	on srv ip address add 203.0.113.1/32 dev lo
	wait_for 10 called
	wait_for 5 routed c1 10.79.0.0/16
}
