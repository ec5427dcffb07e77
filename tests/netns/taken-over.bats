#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Monitors whose engine is in somebody else's hands: that of hostile.c, which sends what it is told.
# Whatever that is, the monitor refuses it, says so, changes nothing, and goes on with the next
# engine, which is the real one. Where memory is not what is measured, under the sanitizers.

bats_require_minimum_version 1.5.0

setup() {
	load pushing
	[[ ${WG_DYNAMIC_INSTALLED-} != 1 ]] || skip "a program of the tests' own"
	PROGRAM=$BUILD/asan/hostile/wg-dynamic
	pushing_add
}

teardown() {
	hosts_del
}

# ---- both

# The first engine has said all, and the next is there.
hostile() { # HOST client|server SCRIPT [WORD...]
	on "$1" rm -f "/run/wg-dynamic/wg0.$2.sock"
	on "$1" env WG_HOSTILE="$3" "$PROGRAM" "$2" wg0 "${@:4}"
	MONITOR=$(pids "$1" "$2" monitor)
	[[ $3 == *@(hang|pester) ]] || next_engine "$1" "$2"
}

next_engine() { # HOST client|server
	wait_for 60 ended "$1" "$2"
	wait_for 5 pids "$1" "$2" engine
	[[ $(pids "$1" "$2" monitor) == "$MONITOR" ]]
}

ended() { # HOST client|server
	logs "$1" | grep -q "the engine ended with status [01]; the next starts" ||
		logged "$1" "the engine was killed by signal 9"
}

stop() { # HOST
	on "$1" "$BUILD/wg-dynamic" stop wg0
	: >"$NS/$1/log"
}

memory() { # HOST PID: the most that it has had at any time, in KiB.
	on "$1" sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$2/status"
}

refusals() { # HOST: what it has refused its engine, one a line.
	logs "$1" | sed -n "s/.*refused the engine's order to //p"
}

# ---- server

conf_pools() {
	on srv wg set wg0 peer "$(wg genkey | wg pubkey)" allowed-ips 192.0.2.64/26
	on srv wg set wg0 peer "${PUB[c1]}" allowed-ips "${LL[c1]}/128"
	OTHER=$(wg genkey | wg pubkey)
	on srv wg set wg0 peer "$OTHER" allowed-ips fe80::77/128,192.0.2.9/32,2001:db8::9/128
	on srv ip address add 192.0.2.1/24 dev wg0
	on srv tee /etc/wireguard/server.conf >/dev/null <<-EOF_
		[Server]
		Pool = 192.0.2.0/24, 2001:db8::/64
		Exclude = 192.0.2.128/25

		[Peer]
		PublicKey = $OTHER
		AllowedIPs = 192.0.2.20/32
	EOF_
	CONF=(config /etc/wireguard/server.conf)
	DEVICE=$(device)
}

device() {
	on srv wg show wg0 allowed-ips | sort
}

serves() { # the device is as before, and c1 gets what it asks for.
	diff <(echo "$DEVICE") <(device)
	ask_c1 ip=192.0.2.33 | grep -qx ip=192.0.2.33/32
	has_allowed srv wg0 "${PUB[c1]}" 192.0.2.33/32
	[[ $(pids srv server monitor) == "$MONITOR" ]]
}

ask_c1() { # LINE...
	raw c1 client --from "${LL[c1]}" "request_ip=1\n$(printf '%s\\n' "$@")\n"
}

@test "server: orders about addresses and peers that may not be" {
	conf_pools
	local script="ready key=${PUB[c1]}" ip nobody expected=() bad=(
		8.8.8.8 192.0.3.1 2001:db8:0:1::1 # in no pool
		192.0.2.200 192.0.2.128 # excluded
		192.0.2.0 192.0.2.255 192.0.2.1 2001:db8:: # nobody's, and the host's own
		192.0.2.20 # reserved for another
		192.0.2.9 192.0.2.70 2001:db8::9 # another's, and inside another's network
		0.0.0.0/0 ::/0 0.0.0.0 192.0.2.0/24 192.0.2.2/31 2001:db8::/64 2001:db8::2/127
		fe80::1 fe80::77 fe80:: fe80::/10 169.254.1.1 # link-locals
		224.0.0.1 255.255.255.255 ff02::1 127.0.0.1 ::1 :: ::ffff:192.0.2.2
	)
	for ip in "${bad[@]}"; do
		script+=" ip=$ip allow"
		case $ip in
		*/*) expected+=("$ip") ;;
		*:*) expected+=("$ip/128") ;;
		*) expected+=("$ip/32") ;;
		esac
	done
	script+=" ip=192.0.2.2 family=77 allow family=0 allow family=10 allow"
	script+=" ip=192.0.2.2 prefix=33 allow prefix=255 allow ip=2001:db8::2 prefix=129 allow"
	nobody=$(wg genkey | wg pubkey)
	script+=" key=$nobody ip=192.0.2.2 allow ip=2001:db8::2 allow"
	# All of a message, of which none may be.
	script+=" key=${PUB[c1]} ip=192.0.2.9 count=64 allow count=1"
	hostile srv server "$script" "${CONF[@]}"
	diff <(printf 'allow %s\n' "${expected[@]}") \
		<(refusals srv | head -n "${#bad[@]}" | sed 's/: .*//')
	[ "$(refusals srv | wc -l)" -eq $((${#bad[@]} + 6 + 2 + 64)) ]
	[ "$(refusals srv | grep -c "^allow 192.0.2.9/32: Address already in use")" -eq 65 ]
	[ "$(refusals srv | grep -c "^allow .*: No such process")" -eq 2 ]
	serves
}

@test "server: orders to take back what is not leased" {
	conf_pools
	local ip script="ready key=${PUB[c1]}"
	# Others', of nobody, and of whom there is not.
	for ip in 192.0.2.9 2001:db8::9 192.0.2.64/26 fe80::77 0.0.0.0/0 192.0.2.2; do
		script+=" ip=$ip take"
	done
	script+=" ip=${LL[c1]} take ip=192.0.2.9 family=77 take family=2 prefix=255 take"
	script+=" key=$(wg genkey | wg pubkey) ip=192.0.2.9 take ip=fe80::77 take"
	script+=" key=$OTHER ip=fe80::77 take hang"
	hostile srv server "$script" "${CONF[@]}"
	wait_for 5 logged srv "order to take back fe80::77/128: Invalid argument" 3
	kill_half srv server engine
	next_engine srv server
	[ "$(refusals srv | grep -c .)" -eq 8 ]
	serves
}

@test "server: messages that are none" {
	conf_pools
	local bytes
	# Length, count, type: shorter than a head, types that do not exist or go the other way, too
	# short, too long, too many, more than any message may be, and nothing at all.
	for bytes in 4,0,13 8,0,0 8,0,21 8,0,4294967295 40,0,1 8,0,8 12,1,15 61,1,15 63,1,15 \
		112,1,15 3262,65,15 16384,4294967295,15 16,0,13 8,1,13 0,0,0; do
		hostile srv server "ready bytes=$bytes hang" "${CONF[@]}"
		[[ $bytes == 0,* ]] || wait_for 5 logged srv "the engine broke the rules of the channel" 1
		next_engine srv server
		serves
		stop srv
		on srv rm /var/lib/wg-dynamic/wg0.leases
		on srv wg set wg0 peer "${PUB[c1]}" allowed-ips "${LL[c1]}/128"
	done
}

@test "server: numbers outside their enum, and what nobody has asked for" {
	conf_pools
	local script="ready stopped rename key=${PUB[c1]}" event
	for event in 15 16 77 2147483648 4294967295; do
		script+=" event=$event log"
	done
	script+=" reason=4294967295 error=2147483648 has-key=255 from-family=77"
	for event in {1..14}; do
		script+=" event=$event log"
	done
	script+=" ready ready rename"
	hostile srv server "$script" "${CONF[@]}"
	logged srv "the engine reported an event that does not exist" 6 # among them is what only one says that does not serve yet
	# The monitor's own lines and nothing that the engine has made up, each in one piece.
	logs srv | not grep -v '^<[0-9]*>[A-Z][a-z]* [ 0-9:]* wg-dynamic\[[0-9]*\]: wg0: [[:print:]]*$'
	logs srv | grep -qF "peer ${PUB[c1]}: refused: ?"
	serves
}

ordinary() { # the memory of a server's monitor that has a good engine.
	on srv "$BUILD/wg-dynamic" server wg0 "${CONF[@]}"
	ask_c1 ip=192.0.2.33 | grep -qx ip=192.0.2.33/32
	memory srv "$(pids srv server monitor)"
	ask_c1 ip=0.0.0.0 >/dev/null
	raw c1 client --from "${LL[c1]}" 'release_ip=1\n\n' >/dev/null
	stop srv
	on srv rm /var/lib/wg-dynamic/wg0.leases
}

@test "server: 10,000 of each order at once, and the log and memory have their limits" {
	conf_pools
	PROGRAM=$BUILD/hostile/wg-dynamic
	local before
	before=$(ordinary)
	hostile srv server "ready key=$OTHER ip=192.0.2.2 10000*read 10000*ready 10000*new-journal
		10000*rename key=${PUB[c1]} ip=192.0.2.2 count=64 10000*take count=1 10000*stopped
		ip=192.0.2.9 10000*allow event=5 reason=9 count=48 10000*log" "${CONF[@]}"
	echo "# monitor: $before KiB before, $(memory srv "$MONITOR") KiB at the most" >&3
	(($(memory srv "$MONITOR") < before + 4096))
	logged srv "order to take back 64 addresses: too much waits"
	logs srv | grep -q "there was too much to say: [0-9]* lines are left out"
	(($(logs srv | wc -l) < 40000))
	serves
}

files() { # PID: how many it has open.
	on srv ls "/proc/$1/fd" | wc -l
}

@test "server: an engine that reads nothing of what it is told" {
	conf_pools
	PROGRAM=$BUILD/hostile/wg-dynamic
	local before
	before=$(ordinary)
	# It is cut off for that.
	hostile srv server "ready mute key=${PUB[c1]} ip=192.0.2.9 10000*allow hang" "${CONF[@]}"
	wait_for 60 logged srv "the engine does not take its messages"
	next_engine srv server
	(($(memory srv "$MONITOR") < before + 4096))
	serves
	stop srv
	on srv rm /var/lib/wg-dynamic/wg0.leases
	on srv wg set wg0 peer "${PUB[c1]}" allowed-ips "${LL[c1]}/128"
	# Readings do not pile up for it.
	hostile srv server "ready mute ip=8.8.8.8 1000*allow pester" "${CONF[@]}"
	wait_for 10 logged srv "order to allow 8.8.8.8/32" 1000
	sleep 3
	(($(files "$MONITOR") < 30))
	(($(memory srv "$MONITOR") < before + 4096))
	kill_half srv server engine
	next_engine srv server
	serves
}

@test "server: ever more addresses for one peer, until the next reading" {
	on srv wg set wg0 peer "${PUB[c1]}" allowed-ips "${LL[c1]}/128"
	PROGRAM=$BUILD/hostile/wg-dynamic
	hostile srv server "ready key=${PUB[c1]} ip=2001:db8::1:0 count=64 320*next" \
		pool 2001:db8::/64
	logs srv | grep -q "order to allow 2001:db8:.*: Resource temporarily unavailable"
	(($(memory srv "$MONITOR") < 12000))
}

# ---- client

called() { # what other programs have been called with.
	on c1 cat /run/programs 2>/dev/null
}

programs() { # a resolvconf and a hook that note each call.
	stub c1 resolvconf <<-'EOF_'
		#!/bin/bash
		{ printf '<%s>' resolvconf "$@" && [[ $1 != -a ]] || cat; echo; } >>/run/programs
	EOF_
	stub c1 hook <<-'EOF_'
		#!/bin/bash
		{ printf '<%s>' hook "$@" && env | grep WG_DYNAMIC; } >>/run/programs
	EOF_
}

network() { # all that a client may change, but for the time that is left of addresses.
	on c1 bash -s <<-'EOF_'
		ip -o address show dev wg0 | sed 's/ valid_lft .*//'
		ip route show table all dev wg0 | sort
		ip -o link show dev wg0
		wg show wg0 allowed-ips
		find /run -name '*.state'
	EOF_
}

@test "client: leases and options that may not be" {
	programs
	only_tunnel_mtu
	local before what script="" bad=(
		"lease4=127.0.0.1" "lease4=0.0.0.0" "lease4=224.0.0.1" "lease4=255.255.255.255"
		"lease4=169.254.1.1" "lease4=10.0.0.0/8" "lease4=10.0.0.1/31" "lease4=0.0.0.0/0"
		"lease4=2001:db8::1" "lease6=192.0.2.66" "lease6=fe80::1" "lease6=::1"
		"lease6=ff02::1" "lease6=::" "lease6=::ffff:192.0.2.1" "lease6=2001:db8::/64"
		"lease4=192.0.2.66 lease-family=77" "lease4=192.0.2.66 lease-family=10"
		"lease4=192.0.2.66 lease-prefix=33" "lease4=192.0.2.66 lease-prefix=255"
		"lease4=192.0.2.66 until=31536100" "lease4=192.0.2.66 until=99999999999999"
		"lease4=192.0.2.66 routes=129" "lease4=192.0.2.66 routes=4294967295"
		"lease4=192.0.2.66 dns-count=9" "lease4=192.0.2.66 dns-count=4294967295"
		"lease4=192.0.2.66 searches=9" "lease4=192.0.2.66 searches=4294967295"
		"lease4=192.0.2.66 mtu=1279" "lease4=192.0.2.66 mtu=65536"
		"lease4=192.0.2.66 mtu=4294967295" "lease4=192.0.2.66 route=10.77.0.1/16"
		"lease4=192.0.2.66 dns=10.0.0.0/8"
		"lease4=192.0.2.66 search=a/b" "lease4=192.0.2.66 search=-a"
		"lease4=192.0.2.66 search=a;reboot" "lease4=192.0.2.66 search=\$(reboot)"
		$'lease4=192.0.2.66 search=a\rb' $'lease4=192.0.2.66 search=a\eb'
		"lease4=192.0.2.66 search=$(x_times 300)"
	)
	before=$(network)
	for what in "${bad[@]}"; do
		script+=" nothing= set=1 until=60 $what report=1 change"
	done
	hostile c1 client "$script" wait 0 accept address,route,dns,mtu hook "$NS/c1/bin/hook"
	[ "$(logs c1 | grep -c "the engine wants what no lease can have: ignored")" -eq "${#bad[@]}" ]
	logs c1 | not grep -q "leased"
	diff <(echo "$before") <(network)
	[ -z "$(called)" ]
	alive
}

x_times() { # COUNT: so many letters, in labels that are as long as they may be.
	printf 'x%.0s' $(seq "$1") | sed 's/.\{60\}/&./g'
}

only_tunnel_mtu() { # the link's own.
	[[ $(network) == *" mtu 1420 "* ]]
}

alive() { # the next engine gets a lease, and a stop undoes it.
	[[ $(pids c1 client monitor) == "$MONITOR" ]]
	IP4=192.0.2.7 pushes
	wait_for 15 has_addr c1 wg0 192.0.2.7/32
	stop c1
	not has_addr c1 wg0 192.0.2.7/32
}

@test "client: what was not accepted, and what is the host's own" {
	programs
	local before
	before=$(network)
	on c1 ip route add 10.88.0.0/16 via "${IP[srv]}"
	hostile c1 client "until=60 lease4=${IP[c1]} change lease4=${IP[srv]} change lease4=192.0.2.66
		route=8.8.8.0/24 route=0.0.0.0/0 route=::/0 route=${IP[srv]%.1}.0/24
		route=${IP[srv]}/32 route=10.88.7.0/24 route=127.0.0.0/8 route=fe80::/10
		route=224.0.0.0/4 route=2001:db8::/64 dns=9.9.9.9 search=corp.example mtu=1300 change" \
		wait 0 accept address,route
	diff <(echo "$before") <(network | grep -v "192.0.2.66\|client.state")
	logged c1 "the server leases ${IP[c1]}, which is not set: it overlaps ${IP[c1]}/32, this host's own address on another interface" 1
	logged c1 "the server leases ${IP[srv]}, which is not set: it overlaps ${IP[srv]}/32, a gateway of this host" 1
	[ "$(logs c1 | grep -c "the server pushes the route .*, which is refused")" -eq 10 ]
	[ -z "$(called)" ]
	alive
}

@test "client: numbers outside their enum, and messages that are none" {
	local bytes
	hostile c1 client "finished set=0 report=99 change report=4294967295 change report=4 kind=99 change
		kind=4294967295 change kind=8 status=99 change kind=2 errno=-1 change set=1 report=1 unasked=4294967295
		dropped=4294967295 lease-time=4294967295 until=60 lease4=192.0.2.66 change finished" wait 0
	logs c1 | not grep -v '^<[0-9]*>[A-Z][a-z]* [ 0-9:]* wg-dynamic\[[0-9]*\]: wg0: [[:print:]]*$'
	alive
	for bytes in 4,0,9 8,0,0 8,0,10 8,0,4294967295 8,0,1 8,0,8 8,1,9 16384,0,8 0,0,0; do
		hostile c1 client "bytes=$bytes hang" wait 0
		[[ $bytes == 0,* ]] || wait_for 5 logged c1 "the engine broke the rules of the channel" 1
		next_engine c1 client
		stop c1
	done
	hostile c1 client "fds=1 finished hang" wait 0
	wait_for 5 logged c1 "the engine broke the rules of the channel" 1
	next_engine c1 client
	alive
}

@test "client: 10,000 of each order at once, and memory, log and programs have their limits" {
	programs
	PROGRAM=$BUILD/hostile/wg-dynamic
	local before changes=""
	pushes
	on c1 "$BUILD/wg-dynamic" client wg0 hook "$NS/c1/bin/hook"
	before=$(memory c1 "$(pids c1 client monitor)")
	stop c1
	no_server
	for _ in {1..500}; do
		changes+=" lease4=192.0.2.66 route=10.77.0.0/16 change lease4=192.0.2.67 routes=0 change"
	done
	hostile c1 client "10000*connect 10000*finished until=0 lease4=192.0.2.66 10000*change until=60
		lease4=127.0.0.1 10000*change $changes" wait 0 hook "$NS/c1/bin/hook"
	echo "# monitor: $before KiB before, $(memory c1 "$MONITOR") KiB at the most" >&3
	(($(memory c1 "$MONITOR") < before + 2048))
	logged c1 "the engine wants what no lease can have: ignored"
	(($(logs c1 | wc -l) < 700))
	alive
	# And one that reads nothing is cut off.
	hostile c1 client "mute until=60 lease4=192.0.2.66 10000*connect hang" wait 0
	wait_for 60 logged c1 "the engine does not take its messages"
	next_engine c1 client
	(($(memory c1 "$MONITOR") < before + 4096))
	alive
}
