#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What the administrator has decided stands: pools, reservations, what he gives to others, and whom
# he removes. And what happens when a pool is used up.

setup() {
	load leases
}

teardown() {
	hosts_del
}

server_has() { # HOST ALLOWEDIPS: these too, for that client, in the server's configuration.
	on srv sed -i "s|${LL[$1]}/128|&, $2|" /etc/wireguard/wg0.conf
}

@test "pool of one address and two clients: a clear refusal, and its turn when the first releases" {
	star "fe80::/128" c1 c2
	up_server pool 192.0.2.9/32,2001:db8::9/128 lease-time 30
	wgq c1 up wg0
	bound c1 192.0.2.9 2001:db8::9
	run only_client c2 1
	[ "$status" -eq 0 ]
	[[ $output == *"wg-dynamic: wg0: the server refused: Chosen IP(s) unavailable: are its pools used up?"* ]]
	[[ $output == *"wg-dynamic: wg0: no addresses yet, going on in the background: the server refused:"* ]]
	no_addrs c2
	not lease_of c2
	logged_of c2 "at ${LL[c2]}: refused: no address is left in the pools"
	[[ $(on srv wg dynamic show wg0 dump) == *$'pool\t192.0.2.9/32\t1\t0\n'* ]]
	wgq c1 down wg0
	wait_for 15 bound c2 192.0.2.9 2001:db8::9
	agree c1 c2
	on c1 sed -i 's/, auto$//' /etc/wireguard/wg0.conf
	wgq c1 up wg0
	[[ $(ask c1) == *errno=3* ]]
	bound c2 192.0.2.9 2001:db8::9
}

@test "a client that reaches no server says what may be wrong, with its link-local" {
	local waited="no addresses yet, going on in the background: there has been"
	two_hosts fe80::/128
	up_server
	on srv wg set wg0 peer "${PUB[c1]}" remove
	run only_client c1 1
	[ "$status" -eq 0 ]
	[[ ${lines[-1]} == "wg-dynamic: wg0: $waited no handshake yet: is the server up, is our public key that of a peer there, with AllowedIPs ${LL[c1]}/128, and is the endpoint here right?" ]]
	on c1 wg dynamic stop wg0

	on srv wg set wg0 peer "${PUB[c1]}" allowed-ips fe80::9/128
	new_session c1
	run on c1 wg dynamic client wg0 wait 2
	[ "$status" -eq 0 ]
	[[ ${lines[-1]} == "wg-dynamic: wg0: $waited a handshake, so does \`wg dynamic server' run there, is ${LL[c1]}/128 in the AllowedIPs of our peer, and TCP port 970 open?" ]]
	wait_for 15 logged c1 "the server is not reachable: timed out: there has been a handshake, so does \`wg dynamic server' run there, is ${LL[c1]}/128 in"
	on srv wg set wg0 peer "${PUB[c1]}" allowed-ips "${LL[c1]}/128"
	wait_for 20 bound c1
}

@test "a client whose server's peer has no endpoint says so" {
	two_hosts fe80::/128
	on c1 sed -i '/^Endpoint/d' /etc/wireguard/wg0.conf
	run only_client c1 1
	[ "$status" -eq 0 ]
	[[ $output == *" peer has no endpoint here: add its Endpoint"* ]]
}

@test "reservation: leased to its peer, and there after release and expiry" {
	two_hosts
	server_has c1 "192.0.2.50/32, 2001:db8::50/128"
	up_server
	wgq c1 up wg0
	bound c1 192.0.2.50 2001:db8::50
	agree c1
	on srv grep -qF "${PUB[c1]} 192.0.2.50,reserved 2001:db8::50,reserved " \
		/var/lib/wg-dynamic/wg0.leases
	on c1 wg dynamic stop wg0
	not lease_of c1
	lease_ended c1 "released" "192.0.2.50"
	has_allowed srv wg0 "${PUB[c1]}" 192.0.2.50/32
	has_allowed srv wg0 "${PUB[c1]}" 2001:db8::50/128
	on c1 wg dynamic client wg0
	bound c1 192.0.2.50 2001:db8::50
	kill_all c1 client
	wait_for 6 not lease_of c1
	lease_ended c1 "expired" "192.0.2.50"
	has_allowed srv wg0 "${PUB[c1]}" 192.0.2.50/32
	has_allowed srv wg0 "${PUB[c1]}" 2001:db8::50/128
}

@test "reservation while another address is held: given as soon as that is released" {
	two_hosts
	up_server
	wgq c1 up wg0
	bound c1
	local four six reserved=192.0.2.50
	four=$(v4 c1) six=$(v6 c1)
	[[ $four != "$reserved" ]] || reserved=192.0.2.51 # its key is a new one each time
	on srv wg set wg0 peer "${PUB[c1]}" allowed-ips "${LL[c1]}/128,$reserved/32"
	on srv wg dynamic reload wg0
	on srv wg dynamic release wg0 peer "${PUB[c1]}"
	# Its client is called, and asks again before the device has been read since.
	wait_for 10 bound c1 "$reserved" "$six"
	lease_ended c1 "the administrator released it" "$four"
	has_allowed srv wg0 "${PUB[c1]}" "$reserved/32"
}

@test "reservation in one family: what comes of the other does not touch it" {
	two_hosts
	server_has c1 192.0.2.50/32
	up_server pool "$POOLS" lease-time 30
	only_tunnel c1
	for _ in 1 2 3; do
		[[ $(ask c1) == *ip=192.0.2.50/32*errno=0* ]]
		agree c1
		[[ $(raw c1 client 'release_ip=1\n\n') == errno=0* ]]
		[ "$(allowed_leased c1)" = 192.0.2.50/32 ]
	done
}

@test "another peer's static AllowedIPs inside the pool are never leased" {
	star "fe80::/128" c1 c2 c3
	server_has c2 "192.0.2.8/30, 192.0.2.12/32, 2001:db8::/126"
	up_server pool 192.0.2.8/29,2001:db8::/125 lease-time 30
	only_tunnel c1 c2 c3
	# Of 9 to 14 just 13 and 14 are left, of ::1 to ::7 just four.
	[[ $(ask c1 ip=192.0.2.9/32) == *errno=3* ]]
	[[ $(ask c1 ip=192.0.2.12/32) == *errno=3* ]]
	[[ $(ask c1 ip=2001:db8::3/128) == *errno=3* ]]
	not lease_of c1
	local host answer
	for host in c1 c3; do
		answer=$(ask "$host")
		[[ $answer == *errno=0* && $answer == *ip=192.0.2.1[34]/32* ]]
		[[ $answer == *ip=2001:db8::[4-7]/128* ]]
	done
	agree c1 c3
	# It is the one that the configuration gives to c2 as a host that c2 is leased.
	[[ $(ask c2) == *ip=192.0.2.12/32* ]]
	[ "$(allowed_leased c2 | head -n 2 | xargs)" = "192.0.2.12/32 192.0.2.8/30" ]
	[[ $(on srv wg dynamic show wg0 dump) == *$'pool\t192.0.2.8/29\t3\t'* ]]
}

@test "an exit peer with 0.0.0.0/0 and ::/0 does not empty the pool" {
	star "fe80::/128" c1 c2
	server_has c2 "0.0.0.0/0, ::/0"
	up_server
	wgq c1 up wg0
	wgq c2 up wg0
	bound c1
	has_allowed srv wg0 "${PUB[c1]}" "$(v4 c1)/32"
	has_allowed srv wg0 "${PUB[c2]}" "$(v4 c2)/32"
	has_allowed srv wg0 "${PUB[c2]}" 0.0.0.0/0
	has_allowed srv wg0 "${PUB[c2]}" ::/0
	[[ $(v4 c1) != "$(v4 c2)" && $(v6 c1) != "$(v6 c2)" ]]
	wgq c2 down wg0
	has_allowed srv wg0 "${PUB[c2]}" 0.0.0.0/0
	[ "$(allowed_leased c2 | xargs)" = "0.0.0.0/0 ::/0" ]
}

@test "what one client has released another may have at once, and keeps" {
	star "fe80::/128" c1 c2
	up_server pool "$POOLS" lease-time 30
	only_tunnel c1 c2
	local answer
	for _ in 1 2 3; do
		[[ $(ask c1 ip=192.0.2.77/32) == *errno=0* ]]
		[[ $(raw c1 client 'release_ip=1\n\n') == errno=0* ]]
		[[ $(ask c2 ip=192.0.2.77/32) == *errno=0* ]]
		[[ $(ask c2 ip=192.0.2.77/32) == *errno=0* ]]
		[[ $(ask c2) == *ip=192.0.2.77/32* ]]
		agree c1 c2
		[[ $(raw c2 client 'release_ip=1\n\n') == errno=0* ]]
	done
}

@test "a free address that the administrator has just given to a peer is not leased to another" {
	local first ip=192.0.2.88/32
	star "fe80::/128" c1 c2
	up_server pool 192.0.2.0/24 lease-time 600
	only_tunnel c1 c2
	ask c1 >/dev/null # the device has been read
	first=$(lease_of c1)
	[[ $first != "$ip" ]] || ip=192.0.2.89/32 # its key is a new one each time
	sleep 1
	on srv wg set wg0 peer "${PUB[c2]}" allowed-ips "${LL[c2]}/128,$ip"
	[[ $(ask c1 "ip=$ip") == *errno=3* ]]
	[ "$(lease_of c1)" = "$first" ]
	has_allowed srv wg0 "${PUB[c2]}" "$ip"
	[[ $(ask c2) == *"ip=$ip"* ]]
}

@test "the administrator gives a leased address to another peer: his stands, the client gets another" {
	local four six
	star "fe80::/128" c1 c2
	up_server
	wgq c1 up wg0
	four=$(v4 c1) six=$(v6 c1)
	on srv wg set wg0 peer "${PUB[c2]}" allowed-ips "${LL[c2]}/128,$four/32"
	wait_for 4 lease_ended c1 "the administrator gave it to another peer" "$four"
	wait_for 2 bound c1
	[[ $(v4 c1) != "$four" && $(v6 c1) == "$six" ]]
	wait_for 1 logged c1 "wg0: leased $(v4 c1), $six for 4 s, instead of $four, $six"
	[ "$(allowed_leased c2)" = "$four/32" ]
	agree c1
	# With neither of the two is it taken out, when all there was has expired.
	wgq c1 down wg0
	[ "$(allowed_leased c2)" = "$four/32" ]
	[ "$(allowed srv wg0 "${PUB[c1]}")" = "${LL[c1]}/128" ]
}

# Requests for one address after the other, sent in one go: the server is at them for seconds, with
# an order to the device for each, and has them all even when their peer is there no more.
ask_much() { # HOST
	local requests="" n
	for n in {2..251} {2..251} {2..251} {2..251}; do
		requests+="request_ip=1\\nip=192.0.2.$n/32\\n\\n"
	done
	spawn "$1" asks /usr/bin/python3 "$NETNS/raw.py" client "$requests"
}

# So many that it takes longer to read the device.
strangers() { # NUMBER: peers that never come.
	/usr/bin/python3 -c 'import base64, os, sys
for i in range(int(sys.argv[1])):
    print("[Peer]\nPublicKey = %s\nAllowedIPs = fe80::9:%x:%x/128" % (
        base64.b64encode(os.urandom(32)).decode(), i >> 16, i & 0xffff))' "$1" >"$NS/strangers"
	on srv wg addconf wg0 /dev/stdin <"$NS/strangers"
	on srv wg dynamic reload wg0
}

@test "what the administrator gives to another peer just before the lease ends stays there" {
	local key ip
	star "fe80::/128" c1
	up_server pool "$POOLS"
	only_tunnel c1
	key=$(wg genkey | wg pubkey)
	on srv wg set wg0 peer "$key" allowed-ips fe80::7/128
	strangers 6000
	for _ in 1 2 3; do
		ip=$(ask c1 ip=0.0.0.0/32 | sed -n 's/^ip=//p')
		on srv wg dynamic reload wg0 # there is a reading in which the client has it
		on srv wg set wg0 peer "$key" allowed-ips "fe80::7/128,$ip"
		raw c1 client 'release_ip=1\n\n' | grep -qx errno=0
		has_allowed srv wg0 "$key" "$ip"
		on srv wg set wg0 peer "$key" allowed-ips fe80::7/128
	done
}

@test "release returns when the lease has ended: what is given to another peer then stays there" {
	local key ip count
	star "fe80::/128" c1
	up_server pool "$POOLS"
	only_tunnel c1
	key=$(wg genkey | wg pubkey)
	on srv wg set wg0 peer "$key" allowed-ips fe80::7/128
	for count in 0 3000; do
		strangers "$count"
		for _ in {1..5}; do
			ip=$(ask c1 ip=0.0.0.0/32 | sed -n 's/^ip=//p')
			on srv bash -c "wg dynamic release wg0 peer '${PUB[c1]}' &&
				! wg show wg0 allowed-ips | grep -F '$ip' &&
				wg set wg0 peer '$key' allowed-ips fe80::7/128,$ip"
			sleep 0.3
			has_allowed srv wg0 "$key" "$ip"
			on srv wg set wg0 peer "$key" allowed-ips fe80::7/128
			on srv wg dynamic reload wg0
		done
	done
}

@test "a release that can't be carried out says so" {
	star "fe80::/128" c1
	up_server pool "$POOLS"
	only_tunnel c1
	ask c1
	on srv kill -STOP "$(pids srv server monitor)" # which is to take it out of the device
	run on srv wg dynamic release wg0 peer "${PUB[c1]}"
	on srv kill -CONT "$(pids srv server monitor)"
	[ "$status" -eq 1 ]
	[ "$output" = "wg-dynamic: wg0: cannot release: Connection timed out" ]
}

# bats test_tags=vm
@test "a peer that is removed while it asks is not brought back, nor when its lease ends" {
	local host monitor
	star "fe80::/128" c1 c2 c3
	up_server pool "$POOLS" lease-time 3
	only_tunnel c1 c2 c3
	ask_much c1
	wait_for 5 logged_of c1 "leased 192.0.2."
	on srv wg set wg0 peer "${PUB[c1]}" remove
	# Some are answered still, and none of that brings it back.
	for _ in {1..20}; do
		not allowed srv wg0 "${PUB[c1]}"
		sleep 0.05
	done

	# The order is on its way, and is carried out when the peer has gone.
	monitor=$(pids srv server monitor)
	ask c2
	raw c2 client 'release_ip=1\n\n'
	on srv kill -STOP "$monitor"
	spawn c2 asks /usr/bin/python3 "$NETNS/raw.py" client 'request_ip=1\n\n'
	sleep 0.3
	on srv wg set wg0 peer "${PUB[c2]}" remove
	on srv kill -CONT "$monitor"
	sleep 0.3
	not allowed srv wg0 "${PUB[c2]}"

	ask c3
	on srv wg set wg0 peer "${PUB[c3]}" remove
	for host in c1 c2 c3; do
		wait_for 6 not lease_of "$host"
	done
	logged_of c3 "ended: expired" || logged_of c3 "ended: the peer was removed"
	sleep 0.5
	[ -z "$(on srv wg show wg0 peers)" ]
}

@test "a peer that is removed: its lease ends, and the log says why; added again it has the same" {
	local four six
	star "fe80::/128" c1 c2
	up_server pool "$POOLS" lease-time 60
	wgq c1 up wg0
	four=$(v4 c1) six=$(v6 c1)
	on srv wg set wg0 peer "${PUB[c1]}" remove
	only_tunnel c2
	# A stranger's request has the device read again, at once; then it is looked for twice.
	sleep 1.1
	ask c2
	wait_for 35 lease_ended c1 "the peer was removed from the interface" "$four"
	not lease_of c1
	not allowed srv wg0 "${PUB[c1]}"
	on srv wg set wg0 peer "${PUB[c1]}" allowed-ips "${LL[c1]}/128"
	on c1 wg-quick down wg0
	wgq c1 up wg0
	bound c1 "$four" "$six"
}

syncconf() { # as `systemctl reload wg-quick@wg0' does
	on srv bash -c 'wg syncconf wg0 <(wg-quick strip wg0)'
}

# bats test_tags=vm
@test "wg syncconf takes leased AllowedIPs out: back when that client asks, and within 30 s" {
	local four six
	star "fe80::/128" c1 c2
	up_server pool "$POOLS" lease-time 120
	only_tunnel c2
	ask c2
	wgq c1 up wg0
	four=$(v4 c1) six=$(v6 c1)
	sleep 2.5 # the readings that a start brings about are over
	syncconf
	[ "$(allowed srv wg0 "${PUB[c1]}")" = "${LL[c1]}/128" ]
	[ "$(allowed srv wg0 "${PUB[c2]}")" = "${LL[c2]}/128" ]
	sleep 1.1 # what the server knows of the device may be a second old
	not has_allowed srv wg0 "${PUB[c1]}" "$four/32"
	ask c2
	[ "$(allowed_leased c2)" = "$(lease_of c2 | sort)" ] # it has been answered just now
	# c1 does not ask: half its lease is not over yet.
	wait_for 31 bound c1 "$four" "$six"
	agree c1 c2
	wait_for 1 logged_of c1 "$four/32 is leased to it but was in no allowed-ips: put back"
	logs srv | grep -F "${PUB[c1]}" | grep -qF "$six/128 is leased to it but was in no allowed-ips"
	logged srv "ended:" 0
}
