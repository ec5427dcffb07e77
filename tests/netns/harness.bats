#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The harness itself: hosts are separate, real wg-quick works in them, nothing of them is left,
# and raw.py says and hears what it should. Addresses are static: no wg-dynamic is involved.

setup_file() {
	load lib
	star "0.0.0.0/0, ::/0" c1 c2
	on srv sed -i -e "s,^Address.*,&\, 192.0.2.1/24\, 2001:db8::1/64," \
		-e "s,\(${LL[c1]}/128\),\1\, 192.0.2.7/32\, 2001:db8::7/128," \
		-e "s,\(${LL[c2]}/128\),\1\, 192.0.2.8/32," /etc/wireguard/wg0.conf
	conf_client c1 srv "0.0.0.0/0, ::/0" "192.0.2.7/32, 2001:db8::7/128"
	conf_client c2 srv "fe80::/128, 192.0.2.0/24" 192.0.2.8/32
	local host
	for host in srv c1 c2; do
		wgq "$host" up wg0
	done
	on srv sysctl -q net.ipv4.ip_forward=1
}

teardown_file() {
	hosts_del
}

setup() {
	load lib
}

teardown() {
	local pid
	for pid in "${others[@]}"; do
		kill -KILL "$pid" 2>/dev/null || true
	done
	[[ -z ${SPID-} ]] || on srv kill -KILL "$SPID" 2>/dev/null || true
	hosts_del
}

# A shell with hosts of its own and a tunnel up between them: prints their folder and networks, then
# does as told.
other_shell() { # <<commands
	local script=$BATS_TEST_TMPDIR/$BASHPID.bash
	{
		cat <<-'EOS'
			. "$1/lib.bash"
			trap hosts_del EXIT
			two_hosts
			conf_client c1 srv "0.0.0.0/0, ::/0" 192.0.2.7/32
			wgq srv up wg0 && wgq c1 up wg0
			echo "$NS"
			readlink "/proc/$(<"$NS/srv/pid")/ns/net" "/proc/$(<"$NS/c1/pid")/ns/net"
		EOS
		cat
	} >"$script"
	exec env -u NS "${DEFAULT_SIGNALS[@]:1}" TMPDIR="$BATS_TEST_TMPDIR" \
		bash -e "$script" "$NETNS" 2>/dev/null </dev/null 3>&- 4>&-
}

# No process and no mount of the hosts that other_shell told of, and nobody in their networks.
nothing_left() { # FILE
	local folder net1 net2 used
	{ read -r folder && read -r net1 && read -r net2; } <"$1"
	[[ $folder == /*/wg-hosts.* && $net1$net2 == net:*net:* ]] || return 2
	used=$(readlink /proc/[0-9]*/ns/net || true) 2>/dev/null
	[[ $used == *net:* && $used != *"$net1"* && $used != *"$net2"* ]] &&
		not pgrep -f "$folder/" && not grep -qs "$folder/" /proc/[0-9]*/mountinfo
}

@test "a host has its own network, processes, folders and system log" {
	[ "$(on c1 ls /sys/class/net | xargs)" = "lo to-srv wg0" ]
	[[ "$(on c1 cat /proc/1/cmdline | tr '\0' ' ')" == "bash $NETNS/host.bash $NS/c1 "* ]]
	on c1 touch /run/x /etc/x /etc/wireguard/x /var/lib/wg-dynamic/x /dev/x
	run on c2 ls /run/x /etc/wireguard/x /var/lib/wg-dynamic/x /dev/x
	[ "$status" -ne 0 ]
	[[ ! -e /run/x && ! -e /etc/wireguard/x && ! -e /var/lib/wg-dynamic/x && ! -e /dev/x ]]
	on c1 logger -p daemon.warning "a line"
	wait_for 1 grep -q '^<28>.*a line$' "$NS/c1/log"
	logs c1 | grep -q 'a line'
	not grep -q 'a line' "$NS/c2/log"
}

@test "on: input, output and status are passed through, stubs are found" {
	[ "$(echo in | on c1 tr a-z A-Z)" = IN ]
	run on c1 sh -c 'exit 7'
	[ "$status" -eq 7 ]
	run on c1 sh -c 'kill -9 $$'
	[ "$status" -eq 137 ]
	run on nobody true
	[ "$status" -eq 1 ] && [ "$output" = "no host nobody" ]
	stub c1 resolvconf <<<$'#!/bin/sh\necho stub "$@"'
	[ "$(on c1 resolvconf -l)" = "stub -l" ]
}

@test "a process that ends in a host is reaped there" {
	on c1 sh -c '(sleep 0.05 & echo $! >/run/pid); exit'
	wait_for 2 not on c1 test -e "/proc/$(on c1 cat /run/pid)"
}

@test "wg-quick: ping through the tunnel, with the default route and with fe80::/128" {
	on c1 ping -n -c 1 -w 5 192.0.2.1
	on c1 ping -n -c 1 -w 5 2001:db8::1
	on c2 ping -n -c 1 -w 5 192.0.2.1
	on c1 ping -n -c 1 -w 5 192.0.2.8
}

@test "has_addr, addrs, allowed, has_allowed" {
	has_addr c1 wg0 192.0.2.7
	has_addr c1 wg0 192.0.2.7/32
	not has_addr c1 wg0 192.0.2.7/24
	not has_addr c1 wg0 192.0.2.70
	[ "$(addrs c1 wg0)" = $'192.0.2.7/32\n2001:db8::7/128' ]
	[ "$(allowed srv wg0 "${PUB[c2]}" | sort)" = "192.0.2.8/32"$'\n'"${LL[c2]}/128" ]
	has_allowed srv wg0 "${PUB[c2]}" 192.0.2.8/32
	not has_allowed srv wg0 "${PUB[c1]}" 192.0.2.8/32
	not allowed srv wg0 "${PUB[srv]}"
}

@test "wait_for and elapsed" {
	elapsed wait_for 5 true
	((MS < 4000))
	elapsed run wait_for 0.3 sh -c 'echo "not yet"; exit 1'
	((MS >= 600 && MS < 6000))
	[ "$status" -eq 1 ]
	[ "$output" = "waited twice 0.3 s in vain for: sh -c echo \"not yet\"; exit 1"$'\n'"not yet" ]
}

@test "pids: monitor, spawner and engine are told apart" {
	# Python shows as `wg-dynamic server wg0' when its script's name is server.
	stub srv server <<-'EOS'
		import os, time
		if os.fork() == 0:      # the spawner
		    os.setuid(65534)
		    os.fork()           # the engine
		else:
		    os.fork()           # a reader of the monitor's
		time.sleep(60)
	EOS
	spawn srv tree bash -c "cd '$NS/srv/bin' && exec -a wg-dynamic /usr/bin/python3 server wg0"
	wait_for 3 pids srv server engine wg0
	[ "$(pids srv server monitor)" = "$SPID" ]
	[ "$(pids srv server | wc -l)" -eq 4 ]
	local spawner engine
	spawner=$(pids srv server spawner) engine=$(pids srv server engine)
	[ "$(on srv ps -o ppid= -p "$spawner")" -eq "$SPID" ]
	[ "$(on srv ps -o ppid= -p "$engine")" -eq "$spawner" ]
	not pids srv server engine wg1
	not pids srv client
	on srv kill -9 "$engine" # a zombie now: its parent does not wait
	not pids srv server engine
	[ "$(pids srv server spawner)" = "$spawner" ]
}

@test "raw: an exchange, whole, byte by byte, in pieces; two on one connection" {
	local answer='ip=192.0.2.7/32\nerrno=0\n\n' how
	raw_server srv @read "$answer" @close @read "$answer" @close @read "$answer" @close \
		@read "$answer" @read 'a\0b' @close
	for how in "" --bytewise "--pieces 5 --pause 0.01"; do
		# shellcheck disable=SC2086 # options
		run raw c1 client -e $how 'request_ip=1\n\n'
		[ "$status" -eq 0 ] && [ "$output" = "$answer" ]
	done
	run raw c1 client -e 'request_ip=1\n\nrequest_ip=1\nx=y\n\n'
	[ "$status" -eq 0 ] && [ "$output" = "${answer}a\\x00b" ]
	local asked="[${LL[c1]}]:970 request_ip=1\\n"
	[ "$(out srv raw)" = "$(printf '%s\n' "$asked"'\n' "$asked"'\n' "$asked"'\n' \
		"$asked"'\n' "$asked"'x=y\n\n')" ]
}

@test "raw: half-close, standard input, the time, a script that repeats" {
	local start=$EPOCHSECONDS
	raw_server srv @read 'leasestart=%now%\n\n' @sleep=0.2 'end' @close @repeat
	for _ in 1 2; do
		run raw c1 client -t - @read @fin <<<$'a=1\n'
		[ "$status" -eq 0 ]
		[[ ${lines[0]} =~ ^leasestart=([0-9]+)$ ]]
		((BASH_REMATCH[1] >= start && BASH_REMATCH[1] <= EPOCHSECONDS))
		[[ ${lines[1]} == end*" s" ]]
	done
	[ "$(out srv raw)" = "[${LL[c1]}]:970 a=1\n\n"$'\n'"[${LL[c1]}]:970 a=1\n\n" ]
}

@test "raw: refused, no answer, reset, left open, many connections" {
	run raw c1 client 'x'
	[ "$status" -eq 3 ]
	run raw c1 client --to fe80::77 --limit 1 'x'
	[ "$status" -eq 4 ]
	raw_server srv @read a @rst @read @sleep=2
	run raw c1 client 'x=y\n\n'
	[ "$status" -eq 5 ] && [ "$output" = a ]
	run raw c1 client --limit 0.5 --port 900 'x=y\n\n'
	[ "$status" -eq 6 ] && [ "$output" = "" ]
	on srv kill "$SPID"
	wait_for 3 not listens srv 970
	raw_server srv @read @close @read @sleep=5
	run raw c1 client --connections 2 --limit 1 'x=y\n\n'
	[ "$status" -eq 6 ]
	[[ ${lines[0]} == "970 closed 0."* && ${lines[1]} == "969 open" ]]
}

@test "two instances side by side do not meet, and nothing is left of them" {
	local before folders
	before=$(ip -o link)
	for i in 1 2; do
		other_shell >"$BATS_TEST_TMPDIR/folder$i" <<-'EOS' &
			on c1 ping -n -q -c 20 -i 0.05 -w 10 10.9.1.1
			on srv ip address add 192.0.2.1/24 dev wg0
			on srv wg set wg0 peer "${PUB[c1]}" allowed-ips "${LL[c1]}/128,192.0.2.7/32"
			on c1 ping -n -q -c 20 -i 0.05 -w 10 192.0.2.1
		EOS
	done
	wait -n
	wait -n
	mapfile -t folders < <(head -qn 1 "$BATS_TEST_TMPDIR"/folder?)
	[[ ${#folders[@]} == 2 && ${folders[0]} != "${folders[1]}" ]]
	[ "$(grep -c '20 received' "$BATS_TEST_TMPDIR/folder1")" -eq 2 ]
	[ "$(grep -c '20 received' "$BATS_TEST_TMPDIR/folder2")" -eq 2 ]
	wait_for 3 nothing_left "$BATS_TEST_TMPDIR/folder1" # the kernel may still be ending them
	wait_for 3 nothing_left "$BATS_TEST_TMPDIR/folder2"
	for i in "${folders[@]}"; do
		[ ! -e "$i" ]
	done
	[ "$(ip -o link)" = "$before" ]
}

@test "nothing is left of the hosts of a shell that was killed or interrupted" {
	local signal pid
	others=()
	for signal in KILL TERM INT; do
		set -m # a process group of its own, for the interrupt to go to
		other_shell >"$BATS_TEST_TMPDIR/$signal" <<-'EOS' &
			read -r -t 60 _ <>"$NS/srv/ready" # says nothing more
		EOS
		pid=$!
		others+=("$pid")
		set +m
		wait_for 10 grep -q '^net:' "$BATS_TEST_TMPDIR/$signal"
		not nothing_left "$BATS_TEST_TMPDIR/$signal"
		kill -"$signal" -- "$([[ $signal == INT ]] && echo -$pid || echo $pid)"
		wait_for 3 nothing_left "$BATS_TEST_TMPDIR/$signal"
		[[ $signal == KILL || ! -e $(head -n 1 "$BATS_TEST_TMPDIR/$signal") ]]
	done
}
