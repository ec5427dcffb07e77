#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The server against clients that mean harm (hostile.py), many more than there can be tunnels: it goes
# on, others are served, and memory and descriptors stay where they are. Where memory is not what is
# measured, under the sanitizers. (What one message can be, protocol.bats has.)

# shellcheck disable=SC2030,SC2031 # no test needs what another has set

bats_require_minimum_version 1.5.0

setup() {
	load many
}

teardown() {
	hosts_del
}

serve_many() { # PEERS [PROGRAM [WORD...]]
	many_hosts "$1"
	many_device "$1"
	PROGRAM=${2-$BUILD/asan/wg-dynamic}
	[[ ${WG_DYNAMIC_INSTALLED-} != 1 ]] || PROGRAM=wg-dynamic
	(($# > 2)) || set -- "$1" "$2" pool 10.9.0.0/16
	on srv "$PROGRAM" server wg0 "${@:3}"
	PIDS=$(three srv server | xargs)
	read -r MONITOR _ ENGINE <<<"$PIDS"
}

hostile() { # WORD...
	on c1 /usr/bin/python3 "$NETNS/hostile.py" "$@"
}

served() { # NUMBER: it asks, and is granted a lease.
	hostile ask "$1" | grep -qx errno=0
}

alive() { # the same processes, which serve.
	served 2
	[[ $(three srv server | xargs) == "$PIDS" ]]
	logs srv | not grep "the engine \(ended\|was killed\)"
}

memory() { # PID: what it has now, in KiB.
	on srv sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$1/status"
}

files() { # PID: how many it has open.
	on srv ls "/proc/$1/fd" | wc -l
}

counter() { # NAME
	on srv wg dynamic show wg0 dump | awk -v name="$1" '$3 == name { print $4 }'
}

@test "each message cut at each byte: closed, half-closed, reset, and with a NUL behind it" {
	serve_many 2
	hostile cut
	alive
}

@test "lines, messages and values without end: closed at the limit, memory is flat" {
	serve_many 2 "$BUILD/wg-dynamic"
	alive
	local before taken
	before=$(memory "$ENGINE")
	for _ in 1 2 3 4 5; do
		hostile endless
	done >"$BATS_TEST_TMPDIR/taken"
	alive
	[ "$(wc -l <"$BATS_TEST_TMPDIR/taken")" -eq 15 ]
	# What the sockets have room for, and no more.
	while read -r taken; do
		((taken < 16 << 20))
	done <"$BATS_TEST_TMPDIR/taken"
	(($(memory "$ENGINE") < before + 512))
}

@test "connects and closes by the thousand: memory and descriptors are flat" {
	local times=${CONNECTS-100000} before monitor descriptors
	serve_many 50 "$BUILD/wg-dynamic"
	hostile connects 500 >/dev/null
	alive
	before=$(memory "$ENGINE") monitor=$(memory "$MONITOR") descriptors=$(files "$ENGINE")
	echo "# $times connects, $(hostile connects "$times") a second" >&3
	alive
	wait_for 15 same_files "$descriptors"
	echo "# engine: $before KiB before, $(memory "$ENGINE") KiB after" >&3
	(($(counter connections_accepted) >= times))
	(($(memory "$ENGINE") < before + 512 && $(memory "$MONITOR") < monitor + 512))
}

ticks() { # PID: the processor time that it has taken, in hundredths of a second.
	local fields
	read -ra fields < <(on srv cat "/proc/$1/stat")
	echo $((fields[13] + fields[14]))
}

same_files() { # NUMBER
	(($(files "$ENGINE") <= $1))
}

slots_taken() {
	(($(counter connections_open) > 1000 && $(files "$ENGINE") < 1100))
}

@test "slow senders and slow readers in every slot, while others are served" {
	serve_many 540
	spawn c1 slots /usr/bin/python3 "$NETNS/hostile.py" slots 530
	wait_for 60 grep -qx open "$NS/c1/slots.out"
	wait_for 20 slots_taken
	for _ in {1..10}; do
		elapsed served 535
		((MS < 5000))
	done
	on c1 kill "$SPID"
	wait_for 20 same_files 40
	alive
}

used_up() {
	(($(files "$ENGINE") == 40))
}

@test "out of descriptors: accepting pauses, and goes on once there are some" {
	serve_many 30 "$BUILD/wg-dynamic"
	on srv wg-dynamic stop wg0
	# The engine has no right to have more than whoever started the server.
	on srv bash -c 'ulimit -n 40 && exec "$@"' bash "$PROGRAM" server wg0 pool 10.9.0.0/16
	PIDS=$(three srv server | xargs)
	read -r MONITOR _ ENGINE <<<"$PIDS"
	alive
	local before slots
	# The kernel takes them all, and lets them wait.
	spawn c1 slots /usr/bin/python3 "$NETNS/hostile.py" slots 29
	slots=$SPID
	wait_for 20 grep -qx open "$NS/c1/slots.out"
	wait_for 5 used_up
	# It does not spin meanwhile, nor for one that asks how it is, who waits as the others do.
	before=$(ticks "$ENGINE")
	sleep 3
	(($(ticks "$ENGINE") - before < 60))
	spawn srv show "$PROGRAM" show wg0 dump
	sleep 1
	before=$(ticks "$ENGINE")
	sleep 3
	(($(ticks "$ENGINE") - before < 60))
	on c1 kill "$slots"
	wait_for 5 grep -q $'\tserver\t' "$NS/srv/show.out"
	wait_for 20 same_files 20
	alive
}

@test "one peer that floods: of a hundred requests of others, 99 take at most twice as long" {
	chrt -f 1 true 2>/dev/null || skip "no real-time priorities"
	serve_many 3 "$BUILD/wg-dynamic"
	local pid pairs status=0
	# Nothing else that the machine does may come before these: its turns are of 4 ms and more.
	for pid in $PIDS; do
		on srv chrt -f -p 10 "$pid"
	done
	hostile fair 2 1000 60 >"$BATS_TEST_TMPDIR/fair" || status=$?
	sed 's/^/# 99th percentile: /' "$BATS_TEST_TMPDIR/fair" >&3
	echo "# $(counter renewals) renewals, $(counter refusals_too_many) refused" >&3
	pairs=$(wc -l <"$BATS_TEST_TMPDIR/fair")
	((status == 0))
	# That was a flood: more than a third of these are its own, and it got no other connections.
	(($(counter renewals) > 2500 * pairs))
	(($(counter refusals_too_many) > 100 * pairs))
	alive
}

key_of() { # NUMBER: as base64.
	printf '%064x' "$1" | sed 's/../\\x&/g' | xargs -0 printf %b | base64
}

held() { # NUMBER: the addresses that the server says this peer has.
	on srv wg dynamic show wg0 dump | awk -v key="$(key_of "$1")" '$2 == "lease" && $3 == key { print $4 }'
}

@test "pool used up: a clear answer, nobody is evicted, and the first that expires is had again" {
	local full=$'errno=3\nerrmsg=Chosen IP(s) unavailable' answer first second
	serve_many 3 "$BUILD/asan/wg-dynamic" pool 10.9.0.0/30 lease-time 15
	hostile ask 1 | grep -qx errno=0
	sleep 7 # so that they do not end together
	hostile ask 2 | grep -qx errno=0
	first=$(held 1) second=$(held 2)
	answer=$(hostile ask 3)
	[ "$answer" = "$full" ]
	while [[ $answer == "$full" ]]; do
		((SECONDS < 60))
		answer=$(hostile ask 3)
	done
	[[ $answer == "ip=$first"$'\n'* && $(held 2) == "$second" && -z $(held 1) ]]
	logged srv "lease of $first ended: expired" 1
	alive
}

@test "a link-local that goes from one peer to another: who has it now is who asks" {
	serve_many 3
	local first second
	first=$(hostile ask 1 | grep ^ip=) second=$(hostile ask 2 | grep ^ip=)
	[ "$first" != "$second" ]
	for _ in 1 2 3; do
		on srv wg set wg0 peer "$(key_of 2)" allowed-ips fe80::1:0:1/128 # as one more
		on srv "$PROGRAM" reload wg0
		hostile ask 1 | grep -qx "$second"
		on srv wg set wg0 peer "$(key_of 1)" allowed-ips fe80::1:0:1/128
		on srv "$PROGRAM" reload wg0
		hostile ask 1 | grep -qx "$first"
	done
	[[ ip=$(held 1) == "$first" && ip=$(held 2) == "$second" ]]
	alive
}
