#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The order in which a lease is made good, read off the system calls of the server's engine: the
# record is written, then the device ordered, then the record is on disk, then the answer goes out.

setup_file() {
	load lib
	two_hosts fe80::/128
	conf_client c1 srv fe80::/128 ""
	wgq srv up wg0
	wgq c1 up wg0
	on srv wg dynamic server wg0 pool 192.0.2.0/24,2001:db8::/64
}

teardown_file() {
	hosts_del
}

setup() {
	load lib
	trace=$BATS_TEST_TMPDIR/trace
}

teardown() {
	[[ -z ${tracer-} ]] || on srv kill "$tracer" 2>/dev/null || true
	hosts_del
}

trace_engine() { # attaches strace to the engine; returns when it sees what that does.
	local engine
	engine=$(pids srv server engine)
	spawn srv strace strace -y -s 200 -o "$trace" \
		-e trace=pwrite64,sendmsg,fdatasync,sendto,epoll_wait,recvmsg -p "$engine"
	tracer=$SPID
	wait_for 5 grep -q . "$NS/srv/strace.out"
}

# The lines of the trace that matter, each as one word.
steps() {
	sed -n -e 's/^pwrite64(.*leases>, .*lease .*/record/p' \
		-e 's/^fdatasync(.*leases.*= 0$/durable/p' \
		-e 's/^sendmsg(.*/monitor/p' \
		-e 's/^recvmsg(.* = [1-9][0-9]*$/told/p' \
		-e 's/^sendto(.*"ip=.*/answer/p' \
		-e 's/^sendto(.*"errno=0.*/released/p' "$trace"
}

in_order() { # REGEX
	local all
	all=$(steps)
	echo "${all//$'\n'/ }"
	[[ ${all//$'\n'/ } =~ $1 ]]
}

answered() {
	[[ $(steps) == *"$1"* ]]
}

@test "a new lease is recorded, ordered and on disk before it is answered" {
	trace_engine
	run raw c1 client 'request_ip=1\n\n'
	[[ $output == *errno=0* ]]
	wait_for 5 answered answer
	# The monitor may first be asked for a reading; it must have told that the order is done.
	in_order "^(monitor |told )*record monitor durable (monitor )*told (monitor |told )*answer"
}

@test "a renewal is on disk before it is answered" {
	raw c1 client 'request_ip=1\n\n'
	trace_engine
	run raw c1 client 'request_ip=1\n\n'
	[[ $output == *errno=0* ]]
	wait_for 5 answered answer
	in_order "^(monitor |told )*record (monitor )?durable (monitor |told )*answer"
}

@test "what is released is out of the device before that is recorded and answered" {
	raw c1 client 'request_ip=1\n\n'
	trace_engine
	run raw c1 client 'release_ip=1\n\n'
	[[ $output == *errno=0* ]]
	[[ $(allowed srv wg0 "${PUB[c1]}") == "${LL[c1]}/128" ]]
	wait_for 5 answered released
	in_order "^monitor (monitor |told )*told record durable (monitor |told )*released"
}
