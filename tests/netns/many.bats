#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Many clients at once, of a device that many.py plays, and what such a device shows of starts.

bats_require_minimum_version 1.5.0

setup() {
	load many
}

teardown() {
	hosts_del
}

@test "a reload reaches 200 clients within 5 s, by one call each" {
	many_hosts 200
	many_device 200
	printf '[Server]\nPool = 10.9.0.0/16\nRoute = 10.1.0.0/16\n' |
		on srv tee /etc/wireguard/server.conf >/dev/null
	on srv wg dynamic server wg0 config /etc/wireguard/server.conf
	spawn c1 clients /usr/bin/python3 "$NETNS/many.py" clients 200
	wait_for 20 grep -qx leased "$NS/c1/clients.out"
	on srv sed -i 's,^Route.*,&\, 10.2.0.0/16,' /etc/wireguard/server.conf
	local calls before=$EPOCHREALTIME
	on srv wg dynamic reload wg0
	wait_for 5 grep -q ' 10.1.0.0/16 10.2.0.0/16$' "$NS/c1/clients.out"
	echo "# of 200 clients the last had it $(awk -v before="$before" '
		END { printf "%.2f", $1 - before }' "$NS/c1/clients.out") s after the reload began" >&3
	# Who takes longer than a second is called again.
	calls=$(on srv wg dynamic show wg0 dump | awk '$3 == "calls" { print $4 }')
	((calls >= 200 && calls <= 210))
}

# A client gives up an exchange after 10 s, so that is what its first may take.
@test "1,000 clients that start at once all have an address by their first request" {
	many_hosts 1000
	many_device 1000
	on srv wg dynamic server wg0 pool 10.9.0.0/16 lease-time 600
	spawn c1 burst /usr/bin/python3 "$NETNS/day.py" burst 1000
	wait_for 15 not on c1 test -e "/proc/$SPID"
	[[ $(out c1 burst) == [0-9].[0-9][0-9] ]]
	echo "# of 1,000 clients the last had its address after $(out c1 burst) s" >&3
	[ "$(on srv wg dynamic show wg0 dump | grep -c $'\tlease\t')" -eq 1000 ]
}

# As after a start of the host.
@test "60,000 leases that are in no AllowedIPs are put back, all of them, by one engine" {
	local engine
	many_hosts 1
	many_device 60000
	on srv wg dynamic server wg0 pool 10.64.0.0/10,2001:db8::/64
	on srv wg dynamic stop wg0
	on srv sed -i '/^ *$/d' /var/lib/wg-dynamic/wg0.leases
	/usr/bin/python3 "$NETNS/many.py" leases 60000 |
		on srv bash -c 'cat >>/var/lib/wg-dynamic/wg0.leases'
	on srv wg dynamic server wg0 pool 10.64.0.0/10,2001:db8::/64
	engine=$(pids srv server engine)
	all_back() { # each with its key, link-local and two addresses.
		[ "$(on srv wg show wg0 allowed-ips | wc -w)" -eq 240000 ]
	}
	wait_for 60 all_back || { : >"$NS/srv/log" && false; } # nobody wants to read all that
	[ "$(pids srv server engine)" = "$engine" ]
}

# As the kernel's can't be read while it is changed.
@test "a device that new leases change all the time is read all the same" {
	local load=$BUILD/bench/load readings
	[[ -x $load ]] || skip "needs build/bench/load, which \`make check' builds"
	many_hosts 1
	on c1 ip route add local fe80::1:0:0/96 dev wg0 table local
	many_device 20000 0.2
	on srv wg dynamic server wg0 pool 10.64.0.0/10,2001:db8::/64
	readings() {
		on srv wg dynamic show wg0 dump | awk '$3 == "readings" { print $4 }'
	}
	spawn c1 load "$load" -p 20000 -r 200 -t 13
	sleep 2
	readings=$(readings)
	on srv wg dynamic reload wg0 # which is told what the device says then
	(($(readings) > readings))
	on c1 test -e "/proc/$SPID" # and not since it has ended
	wait_for 20 not on c1 test -e "/proc/$SPID"
	logged srv "cannot read the device" 0
	out c1 load
	[[ $(out c1 load) == *'"failed": 0,'* ]]
}

@test "one reading that takes very long, as over a suspend, does not make others rare" {
	local device
	many_hosts 1
	many_device 2
	device=$SPID
	on srv wg dynamic server wg0 pool 10.9.0.0/16
	raw c1 client 'request_ip=1\n\n' | grep -qx errno=0
	on srv kill -STOP "$device"
	spawn srv reload wg dynamic reload wg0
	sleep 3
	on srv kill -CONT "$device"
	wait_for 5 not on srv test -e "/proc/$SPID"
	# A link-local that is new is not known before there is another.
	on srv wg set wg0 peer AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE= allowed-ips fe80::1:0:1234/128
	on c1 ip address add fe80::1:0:1234/128 dev wg0 nodad
	raw c1 client --from fe80::1:0:1234 --limit 6 'request_ip=1\n\n' | grep -qx errno=0
}

@test "an address that the kernel has not made usable yet is waited for" {
	many_hosts 1
	many_device 1
	on srv ip address del fe80::/64 dev wg0
	on srv ip link set wg0 arp on
	on srv ip address add fe80::/64 dev wg0 # which asks first whether it is another's
	on srv ip -o address show dev wg0 tentative | grep -q fe80::/64
	on srv wg dynamic server wg0 pool 10.9.0.0/16
	on srv ip -o address show dev wg0 tentative | not grep -q fe80::/64
	three srv server
}
