#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# No acknowledged lease is lost and no address held twice, whichever process of the server is killed
# at whichever of its system calls, while many clients ask. CRASH_POINTS says at how many.

bats_require_minimum_version 1.5.0

setup() {
	load many
	/usr/bin/python3 -c "import ctypes" 2>/dev/null || skip "there is no ctypes for Python"
}

teardown() {
	hosts_del
}

@test "killed at one system call after the other: what was acknowledged holds" {
	local clients site points=${CRASH_POINTS-100}
	many_hosts 80
	exec {clients}<"/proc/$(<"$NS/c1/pid")/ns/net"
	on srv /usr/bin/python3 "$NETNS/crash.py" "$clients" "$points" >"$BATS_TEST_TMPDIR/points"
	sed 's/^/# /' "$BATS_TEST_TMPDIR/points" >&3
	for site in "serve engine "{pwrite64,fdatasync,sendto,sendmsg} "start monitor renameat"; do
		tr -s ' ' <"$BATS_TEST_TMPDIR/points" | grep -q "^$site [1-9]"
	done
	tail -n 1 "$BATS_TEST_TMPDIR/points" | grep -q "^$points points hit (engine .* monitor .* server "
}
