#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The server ends, in whole or in part, and so does its interface: no lease is lost by it, and none
# doubled.

setup() {
	load leases
}

teardown() {
	hosts_del
}

@test "server's engine killed: another is there within seconds, leases and addresses are kept" {
	local four six engine monitor
	star "fe80::/128" c1 c2
	up_server pool "$POOLS" lease-time 10
	wgq c1 up wg0
	four=$(v4 c1) six=$(v6 c1) engine=$(pids srv server engine)
	monitor=$(pids srv server monitor)
	watch_addresses c1
	kill_half srv server engine
	wait_for 3 pids srv server engine
	[ "$(pids srv server engine)" != "$engine" ]
	[ "$(pids srv server monitor)" = "$monitor" ]
	logged srv "wg0: the engine was killed by signal 9 (Killed); the next starts in 1 s"
	wait_for 2 logged srv "wg0: leases: 1, and peers whose last address is remembered: 0"
	wgq c2 up wg0
	bound c2
	renews c1 "$four"
	bound c1 "$four" "$six"
	not lost c1
	agree c1 c2
	logged srv "ended:" 0
	wgq c1 down wg0
	lost c1
	logged_of c1 "ended: released"
}

@test "server's monitor takes no turn from the engine, unless the administrator has chosen one" {
	star "fe80::/128" c1
	up_server
	on srv chrt -p "$(pids srv server monitor)" | grep -q "policy: SCHED_BATCH$"
	on srv chrt -p "$(pids srv server engine)" | grep -q "policy: SCHED_OTHER$"
	on srv wg dynamic stop wg0
	on srv chrt -i 0 wg-dynamic server wg0
	on srv chrt -p "$(pids srv server monitor)" | grep -q "policy: SCHED_IDLE$"
}

@test "whoever starts a server may have fewer and smaller files than its engine is given at most" {
	local engine
	star "fe80::/128" c1
	on srv sed -i 's,^Address = fe80::/64$,&\, 192.0.2.1/24,' /etc/wireguard/wg0.conf
	wgq srv up wg0
	on srv bash -c 'ulimit -f 1000 -n 100 && exec wg dynamic server wg0'
	only_tunnel c1
	ask c1 | grep -qx errno=0
	engine=$(pids srv server engine)
	on srv grep -Eq "^Max file size +1024000 +1024000 " "/proc/$engine/limits"
	on srv grep -Eq "^Max open files +100 +100 " "/proc/$engine/limits"
}

# Among many peers, so that the reading of before is what a new engine would have at first.
@test "engine killed after an address went from one client to another: it stays where it is" {
	star "fe80::/128" c1 c2
	up_server pool 192.0.2.64/32 lease-time 600
	only_tunnel c1 c2
	/usr/bin/python3 - >"$NS/peers" <<-'EOF'
		import base64, os
		for i in range(4000):
		    key = base64.b64encode(os.urandom(32)).decode()
		    print(f"[Peer]\nPublicKey = {key}\nAllowedIPs = fe80::1:{i:x}/128")
	EOF
	on srv wg addconf wg0 "$NS/peers"
	[[ $(ask c1) == *ip=192.0.2.64/32* ]]
	[[ $(raw c1 client --limit 5 'release_ip=1\n\n') == errno=0* ]]
	[[ $(ask c2) == *ip=192.0.2.64/32* ]]
	kill_half srv server engine
	local end=$((SECONDS + 4))
	while ((SECONDS < end)); do
		has_allowed srv wg0 "${PUB[c2]}" 192.0.2.64/32
		sleep 0.1
	done
	[ "$(lease_of c2)" = 192.0.2.64/32 ]
	not grep -q "ended: the administrator" "$NS/srv/log"
}

# The second fsync after the record is that of the directory, when the new journal stands there.
@test "a directory that can't be made durable: the leases of after that are in the journal all the same" {
	local new many
	star "fe80::/128" c1 c2
	up_server pool 192.0.2.0/24 lease-time 600
	only_tunnel c1 c2
	spawn srv strace strace -e trace=fsync,renameat -e inject=fsync:error=EIO:when=2 \
		-p "$(pids srv server monitor)"
	wait_for 5 grep -q attached "$NS/srv/strace.out"
	many=$(printf 'request_ip=1\\n\\n%.0s' {1..90}) # what goes into one packet: who comes late is not served
	for _ in {1..13}; do
		raw c1 client "$many" >/dev/null
	done
	wait_for 5 grep -q "EIO.*INJECTED" "$NS/srv/strace.out"
	wait_for 15 grep -q "the journal was written anew" "$NS/srv/log"
	new=$(ask c2)
	[[ $new == *errno=0* ]]
	kill_all srv server
	serve pool 192.0.2.0/24 lease-time 600
	[[ $new == "ip=$(lease_of c2)"* ]]
	agree c1 c2
}

@test "a SIGTERM for all of its processes ends the server in order, and none is left behind" {
	local all
	star "fe80::/128" c1
	up_server
	wgq c1 up wg0
	mapfile -t all < <(three srv server)
	((${#all[@]} == 3))
	on srv kill -TERM "${all[@]}" || true # the last may have ended by then
	wait_for 3 not pids srv server
	not grep -qE "has died|the engine (ended|was killed)" "$NS/srv/log"
	for _ in {1..15}; do
		serve
		on srv wg dynamic stop wg0
		not pids srv server
	done
	not grep -qE "has died|the engine (ended|was killed)" "$NS/srv/log"
}

@test "server's engine killed three times: each time another comes, a little later" {
	two_hosts
	up_server pool "$POOLS" lease-time 60
	wgq c1 up wg0
	for pause in 1 2 4; do
		kill_half srv server engine
		wait_for 1 logged srv "the next starts in $pause s"
		wait_for 6 pids srv server engine
	done
	wait_for 1 agree c1
	on c1 wg dynamic stop wg0
	wait_for 1 logged_of c1 "ended: released"
}

@test "server's monitor killed: all of it ends; another takes over every lease" {
	local four six
	two_hosts
	up_server pool "$POOLS" lease-time 10
	wgq c1 up wg0
	four=$(v4 c1) six=$(v6 c1)
	watch_addresses c1
	kill_half srv server monitor
	wait_for 2 not pids srv server
	has_allowed srv wg0 "${PUB[c1]}" "$four/32"
	serve pool "$POOLS" lease-time 10
	wait_for 4 bound c1 "$four" "$six"
	renews c1 "$four"
	bound c1 "$four" "$six"
	not lost c1
	agree c1
	logged srv "wg0: leases: 1, and peers whose last address is remembered: 0" 1
}

@test "server's spawner killed: all of it ends and says so; another takes over every lease" {
	local four six
	two_hosts
	up_server pool "$POOLS" lease-time 10
	wgq c1 up wg0
	four=$(v4 c1) six=$(v6 c1)
	watch_addresses c1
	kill_half srv server spawner
	wait_for 4 not pids srv server
	logged srv "wg0: the process that starts engines has died"
	has_allowed srv wg0 "${PUB[c1]}" "$four/32"
	serve pool "$POOLS" lease-time 10
	wait_for 4 bound c1 "$four" "$six"
	not lost c1
	agree c1
}

@test "server stopped: leases stay in AllowedIPs; started again it ends those that are over" {
	local four six
	two_hosts
	up_server
	wgq c1 up wg0
	four=$(v4 c1) six=$(v6 c1)
	on srv wg dynamic stop wg0
	not pids srv server
	kill_all c1 client
	sleep 4.5
	has_allowed srv wg0 "${PUB[c1]}" "$four/32"
	has_allowed srv wg0 "${PUB[c1]}" "$six/128"
	serve
	wait_for 2 not has_allowed srv wg0 "${PUB[c1]}" "$four/32"
	wait_for 2 not has_allowed srv wg0 "${PUB[c1]}" "$six/128"
	agree c1
	lease_ended c1 "expired" "$four"
	run on c1 wg dynamic client wg0
	[[ $output == *"leased $four, $six for 4 s"* ]]
	agree c1
}

# Each client asks and releases all the time, and there is one address fewer than clients. In its
# log: `ask' or `release', and what came of it, once that is known: `have ADDRESS' or `nothing'.
crowd() { # HOST...
	local host
	for host; do
		# shellcheck disable=SC2016 # it expands there
		spawn "$host" crowd bash -c '
			say() {
				/usr/bin/python3 "$raw" client --limit 3 "$1=1\n\n"
			}
			raw=$0
			while :; do
				echo ask
				answer=$(say request_ip)
				[[ $answer != ip=*errno=[03]* ]] || echo "have ${answer%%[[:space:]]*}"
				((RANDOM % 3)) || continue
				echo release
				[[ $(say release_ip) != errno=0* ]] || echo nothing
			done' "$NETNS/raw.py"
		crowd[$host]=$SPID
	done
}

crowd_end() { # HOST...
	local host
	for host; do
		on "$host" kill -KILL -- "-${crowd[$host]}"
	done
}

# What was acknowledged last still holds, but for what may have come of a request without answer.
# What it holds is noted for the next round.
kept() { # HOST
	local now had=${held[$1]-} word ip asked="" released=""
	now=$(lease_of "$1") || now=""
	while read -r word ip; do
		case $word in
		have) had=${ip#ip=} asked="" released="" ;;
		nothing) had="" asked="" released="" ;;
		ask) asked=yes ;;
		release) released=yes ;;
		esac
	done <<<"$(out "$1" crowd)"
	[[ $now == "$had" || (-n $asked && -z $had) || (-n $released && -z $now) ]] ||
		fail_with "$1 holds ${now:-nothing}, had ${had:-nothing}" || return 1
	held[$1]=$now
}

leased() { # how often it has leased an address.
	logs srv | grep -c "leased 192"
}

more_leased() { # NUMBER
	(($(leased) > $1))
}

@test "server killed in the middle of requests: no lease lost, none doubled" {
	local host round clients=(c1 c2 c3 c4 c5)
	local -A crowd held
	local had small=192.0.2.8/31,192.0.2.10/31
	star "fe80::/128" "${clients[@]}"
	up_server pool "$small" lease-time 300
	only_tunnel "${clients[@]}"
	crowd "${clients[@]}"
	wait_for 10 logged srv "ended: released"
	for round in {1..30}; do
		((round <= 6 || $(leased) <= 20)) || break
		had=$(leased)
		wait_for 30 more_leased "$had"
		sleep "0.$((RANDOM % 900 + 100))"
		kill_all srv server
		crowd_end "${clients[@]}"
		serve pool "$small" lease-time 300
		wait_for 3 agree "${clients[@]}"
		for host in "${clients[@]}"; do
			kept "$host"
		done
		crowd "${clients[@]}"
	done
	# It was a crowd indeed.
	(($(leased) > 10))
	logged srv "refused: no address"
	logged srv "damaged" 0
}

@test "interface deleted under the server: it exits with status 0 and says so" {
	two_hosts
	up_server
	on srv wg dynamic stop wg0
	spawn srv server sh -c "wg dynamic server wg0 pool $POOLS foreground; echo \"status \$?\""
	wait_for 3 listens srv 970
	wgq c1 up wg0
	on srv ip link delete wg0
	wait_for 3 not pids srv server
	wait_for 1 grep -q '^status 0' "$NS/srv/server.out"
	[[ $(out srv server) == *"wg0: the interface is gone"* ]]
	[ -z "$(on srv find /run/wg-dynamic -type s)" ]
	wgq srv up wg0
	serve
	on srv ip link delete wg0
	wait_for 3 not pids srv server
	logged srv "wg0: the interface is gone"
	[ -z "$(on srv find /run/wg-dynamic -type s)" ]
}

@test "link down and up under the server: fe80::/64 is back, and the clients renew" {
	local four six
	star "fe80::/128" c1
	up_server pool "$POOLS" lease-time 10
	wgq c1 up wg0
	four=$(v4 c1) six=$(v6 c1)
	watch_addresses c1
	on srv ip link set wg0 down
	not has_addr srv wg0 fe80::
	sleep 0.5
	on srv ip link set wg0 up
	new_session c1 # the kernel has forgotten it
	wait_for 2 has_addr srv wg0 fe80::/64
	logged srv "wg0: added fe80::/64 to the interface, where clients will ask"
	renews c1 "$four"
	bound c1 "$four" "$six"
	not lost c1
	agree c1
	logged srv "ended:" 0
}

@test "wg-quick down and up under held leases: the same again; what the configuration has is reserved" {
	local host
	local -A four six
	star "fe80::/128" c1 c2 c3
	up_server pool "$POOLS" lease-time 30
	for host in c1 c2 c3; do
		wgq "$host" up wg0
		four[$host]=$(v4 "$host") six[$host]=$(v6 "$host")
	done
	# Meanwhile the administrator gives c2 what it has, and what c3 has to c2 as well.
	wgq srv down wg0
	wait_for 3 not pids srv server
	on srv sed -i "s,${LL[c2]}/128,&\, ${four[c2]}/32\, ${six[c2]}/128\, ${six[c3]}/128," \
		/etc/wireguard/wg0.conf
	wgq srv up wg0
	not has_allowed srv wg0 "${PUB[c1]}" "${four[c1]}/32"
	serve pool "$POOLS" lease-time 30
	wait_for 2 has_allowed srv wg0 "${PUB[c1]}" "${four[c1]}/32"
	has_allowed srv wg0 "${PUB[c1]}" "${six[c1]}/128"
	wait_for 2 has_allowed srv wg0 "${PUB[c3]}" "${four[c3]}/32"
	agree c1
	[ "$(lease_of c2)" = "$(printf '%s\n' "${four[c2]}/32" "${six[c2]}/128")" ]
	on srv grep -qF "${PUB[c2]} ${four[c2]},reserved ${six[c2]},reserved " \
		/var/lib/wg-dynamic/wg0.leases
	wait_for 2 lease_ended c3 "the administrator gave it to another" "${six[c3]}"
	has_allowed srv wg0 "${PUB[c2]}" "${six[c3]}/128"
	not has_allowed srv wg0 "${PUB[c3]}" "${six[c3]}/128"
	bound c1 "${four[c1]}" "${six[c1]}"
	new_session c1
	new_session c2
	wgq c1 down wg0
	wgq c2 down wg0
	[ "$(allowed srv wg0 "${PUB[c1]}")" = "${LL[c1]}/128" ]
	has_allowed srv wg0 "${PUB[c2]}" "${four[c2]}/32"
	has_allowed srv wg0 "${PUB[c2]}" "${six[c2]}/128"
	lease_ended c2 "released" "${four[c2]}"
}
